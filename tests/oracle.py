"""Settings that a result must not depend on, and comparisons with an expectation."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

import fastconv as fc
import fastconv.functional as F
from fastconv import _core, reference
from fastconv.testing import error_bound

Array = NDArray[Any]


def every_setting(threads: tuple[int, ...] = (1, 2)) -> Iterator[str]:
    """Each instruction set of this CPU with each number of threads, in use while the loop's body runs.

    For hypothesis, where an expectation that is slow to compute serves all of them; other tests take the fixtures.
    """
    isa, count = _core.isa(), fc.get_num_threads()
    try:
        for name, available in _core.isas():
            if available:
                _core.select_isa(name)
                for number in threads:
                    fc.set_num_threads(number)
                    yield f"{name}, {number} threads"
    finally:
        _core.select_isa(isa)
        fc.set_num_threads(count)


def assert_within(actual: Any, expected: ArrayLike, bound: ArrayLike, label: str = "") -> None:
    """Shapes are equal, NaN and infinities in the same places, and all else is within `bound`."""
    expected = np.asarray(expected, dtype=np.float64)
    assert isinstance(actual, np.ndarray), f"{label}: {type(actual)}"
    assert actual.shape == expected.shape, f"{label}: shape {actual.shape}, expected {expected.shape}"
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(actual[~finite], expected[~finite], err_msg=label)
    with np.errstate(invalid="ignore"):
        error = np.where(finite, np.abs(actual.astype(np.float64) - expected), 0.0)
    excess = np.where(finite, error - np.broadcast_to(bound, expected.shape), 0.0)
    if excess.size and not excess.max() <= 0:
        worst = np.unravel_index(np.nanargmax(excess), excess.shape)
        raise AssertionError(
            f"{label}: {np.count_nonzero(~(excess <= 0))} of {excess.size} elements are out of bounds; at {worst} "
            f"{actual[worst]!r}, expected {expected[worst]!r}, error {error[worst]:.3g}, "
            f"bound {np.broadcast_to(bound, expected.shape)[worst]:.3g}"
        )


def assert_same_bits(actual: Array, expected: Array, label: str = "") -> None:
    """Both have the same shape, dtype and bytes."""
    assert actual.shape == expected.shape, label
    assert actual.dtype == expected.dtype, label
    assert actual.tobytes() == expected.tobytes(), label


def assert_threads_do_not_change_bits(compute: Callable[[], Iterable[Array]]) -> None:
    """What is computed with two and three threads has the bits that it has with one."""
    results, before = [], fc.get_num_threads()
    try:
        for number in (1, 2, 3):
            fc.set_num_threads(number)
            results.append(tuple(compute()))
    finally:
        fc.set_num_threads(before)
    for other in results[1:]:
        for one, first in zip(other, results[0], strict=True):
            assert_same_bits(one, first)


def small_integers(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any = np.float64) -> Array:
    """Integers from -3 to 3: as long as sums stay below 2**24, float32 adds their products without rounding.

    Results are then equal to the expectation, and not one lost or doubled product can hide in a tolerance.
    """
    return rng.integers(-3, 4, shape).astype(dtype)


class MatmulConv2D:
    """Convolution and gradients as matrix products over unfolded windows, in float64: an oracle for large images.

    Everything is channels last, with a number for stride and dilation on each axis, and pairs for padding.
    """

    def __init__(
        self, x: Array, w: Array, stride: tuple[int, int], pads: Any, dilation: tuple[int, int], groups: int
    ) -> None:
        self.pads, self.stride, self.dilation, self.groups = pads, stride, dilation, groups
        self.x_shape = x.shape
        padded = np.pad(x.astype(np.float64), ((0, 0), *pads, (0, 0)))
        self.padded_shape = padded.shape
        kh, kw, per_group, co = w.shape
        reach = [r * (k - 1) + 1 for r, k in zip(dilation, (kh, kw), strict=True)]
        windows = sliding_window_view(padded, reach, axis=(1, 2))
        windows = windows[:, :: stride[0], :: stride[1], :, :: dilation[0], :: dilation[1]]
        n, oh, ow = windows.shape[:3]
        self.output = (n, oh, ow)
        # Columns of group g: columns[g][n * oh * ow][c * kh * kw]; its weights: matrices[g][c * kh * kw][o].
        self.columns = windows.reshape(n * oh * ow, groups, per_group * kh * kw).transpose(1, 0, 2)
        self.w_shape = w.shape
        grouped = w.astype(np.float64).reshape(kh, kw, per_group, groups, co // groups)
        self.matrices = grouped.transpose(3, 2, 0, 1, 4).reshape(groups, per_group * kh * kw, co // groups)

    def forward(self) -> Array:
        y = self.columns @ self.matrices
        return y.transpose(1, 0, 2).reshape(*self.output, -1)

    def grad_weight(self, gy: Array) -> Array:
        kh, kw, per_group, co = self.w_shape
        gw = self.columns.transpose(0, 2, 1) @ self._rows(gy)
        gw = gw.reshape(self.groups, per_group, kh, kw, co // self.groups)
        return gw.transpose(2, 3, 1, 0, 4).reshape(self.w_shape)

    def grad_input(self, gy: Array) -> Array:
        kh, kw, per_group, _ = self.w_shape
        n, oh, ow = self.output
        columns = (self._rows(gy) @ self.matrices.transpose(0, 2, 1)).reshape(self.groups, n, oh, ow, per_group, kh, kw)
        columns = columns.transpose(5, 6, 1, 2, 3, 0, 4).reshape(kh, kw, n, oh, ow, -1)
        gx = np.zeros(self.padded_shape)
        (sh, sw), (rh, rw) = self.stride, self.dilation
        for p in range(kh):
            for q in range(kw):
                gx[:, p * rh :: sh, q * rw :: sw][:, :oh, :ow] += columns[p, q]
        (top, _), (left, _) = self.pads
        return gx[:, top : top + self.x_shape[1], left : left + self.x_shape[2]]

    def _rows(self, gy: Array) -> Array:
        return gy.astype(np.float64).reshape(-1, self.groups, self.w_shape[3] // self.groups).transpose(1, 0, 2)


@dataclass(frozen=True)
class LargeConv2D:
    """A convolution that crosses borders of tiles and blocks; images and weights channels last."""

    n: int
    size: tuple[int, int]
    ci: int
    co: int
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))
    groups: int = 1

    def __str__(self) -> str:
        numbers = [self.n, *self.size, self.ci, self.co, *self.kernel]
        extras = [f"s{self.stride[0]}{self.stride[1]}", f"r{self.dilation[0]}{self.dilation[1]}", f"g{self.groups}"]
        return "-".join([*map(str, numbers), *(extra for extra in extras if extra not in ("s11", "r11", "g1"))])

    @property
    def options(self) -> dict[str, Any]:
        names = ("stride", "padding", "dilation", "groups")
        return {name: getattr(self, name) for name in names}


LARGE = [
    LargeConv2D(1, (56, 56), 64, 64, (3, 3), padding=((1, 1), (1, 1))),
    LargeConv2D(3, (14, 14), 48, 80, (3, 3), padding=((1, 1), (1, 1))),
    LargeConv2D(2, (33, 17), 3, 40, (7, 7), stride=(2, 2), padding=((3, 3), (3, 3))),
    LargeConv2D(5, (28, 28), 1, 8, (7, 7), stride=(2, 2)),
    LargeConv2D(2, (14, 14), 6, 16, (5, 5)),
    LargeConv2D(2, (19, 23), 130, 65, (1, 1)),
    LargeConv2D(1, (7, 7), 600, 70, (1, 1)),
    LargeConv2D(70, (1, 1), 100, 10, (1, 1)),
    LargeConv2D(1, (9, 9), 130, 33, (7, 7), padding=((3, 3), (3, 3))),
    LargeConv2D(2, (13, 11), 16, 33, (5, 3), (1, 2), (2, 1), ((1, 2), (0, 3))),
    LargeConv2D(1, (20, 20), 15, 17, (3, 3), stride=(3, 3)),
    LargeConv2D(1, (3, 400), 7, 9, (3, 3), padding=((2, 0), (0, 2))),
    LargeConv2D(1, (400, 3), 8, 31, (3, 2), stride=(3, 1)),
    LargeConv2D(1, (40, 40), 31, 32, (3, 3), dilation=(3, 2), padding=((3, 3), (2, 2))),
    LargeConv2D(2, (7, 7), 512, 48, (3, 3), padding=((1, 1), (1, 1))),
    LargeConv2D(1, (8, 9), 256, 40, (2, 3), stride=(2, 1)),
    LargeConv2D(1, (11, 10), 24, 256, (3, 3), padding=((1, 1), (1, 1))),
    LargeConv2D(3, (60, 61), 33, 20, (3, 3), (2, 1), (1, 1), ((1, 1), (1, 1))),
    LargeConv2D(2, (15, 15), 66, 34, (3, 3), padding=((1, 1), (1, 1)), groups=2),
    LargeConv2D(1, (17, 16), 48, 128, (1, 1), stride=(2, 1), groups=4),
    LargeConv2D(1, (30, 29), 65, 65, (3, 3), padding=((1, 1), (1, 1)), groups=65),
    LargeConv2D(2, (12, 13), 31, 62, (5, 5), (2, 2), (1, 1), ((2, 2), (2, 2)), groups=31),
    LargeConv2D(2, (15, 14), 512, 512, (3, 3), (2, 1), (1, 1), ((1, 1), (1, 1)), groups=512),
    LargeConv2D(3, (21, 30), 64, 64, (5, 5), (1, 1), (1, 2), ((2, 2), (0, 3)), groups=64),
    LargeConv2D(2, (15, 22), 38, 38, (3, 3), padding=((1, 1), (1, 1)), groups=19),
    LargeConv2D(2, (16, 21), 68, 68, (3, 3), padding=((1, 1), (1, 1)), groups=17),
    LargeConv2D(1, (13, 30), 40, 40, (3, 3), (1, 2), (2, 1), ((2, 2), (0, 1)), groups=5),
]


# What Winograd's algorithm applies to. A block of tiles has 2 MiB, about 100 tiles of 64 -> 64 channels (8 MiB in the
# weight gradient), a stage of channels-first images 4 MiB; tiles are 2 or 4 pixels wide.
ONES = ((1, 1), (1, 1))
WINOGRAD_LARGE = [
    LargeConv2D(1, (56, 56), 64, 64, (3, 3), padding=ONES),
    LargeConv2D(3, (15, 13), 48, 80, (3, 3), padding=ONES),
    LargeConv2D(2, (7, 7), 130, 33, (3, 3)),
    LargeConv2D(9, (14, 14), 48, 33, (3, 3), padding=ONES),  # blocks that span images
    LargeConv2D(40, (6, 7), 33, 20, (3, 3), padding=ONES),  # several images in a block
    LargeConv2D(1, (12, 11), 256, 130, (3, 3), padding=((0, 2), (2, 1))),
    LargeConv2D(2, (13, 10), 520, 17, (3, 3), padding=ONES),
    LargeConv2D(1, (70, 69), 3, 5, (3, 3), padding=((2, 0), (0, 3))),
    LargeConv2D(1, (3, 300), 17, 18, (3, 3), padding=ONES),
    LargeConv2D(1, (300, 3), 18, 17, (3, 3)),
    LargeConv2D(1, (140, 131), 64, 9, (3, 3), padding=ONES),  # several stages of an image
    LargeConv2D(1, (131, 140), 9, 64, (3, 3), padding=((0, 1), (4, 0))),  # the same for its gradient
    LargeConv2D(33, (28, 27), 48, 8, (3, 3), padding=ONES),  # several stages of whole images
]


class Solved(NamedTuple):
    """Small integers for a case, with outputs and gradients, in float64."""

    x: Array
    w: Array
    b: Array
    gy: Array
    y: Array
    gx: Array
    gw: Array
    gb: Array


@cache
def solved(case: LargeConv2D) -> Solved:
    """Compute every array, channels last. No sum comes near 2**24, so that all results are exact in float32 too."""
    rng = np.random.default_rng(case.n + case.ci)
    x = small_integers(rng, (case.n, *case.size, case.ci))
    w = small_integers(rng, (*case.kernel, case.ci // case.groups, case.co))
    b = small_integers(rng, (case.co,))
    matmul = MatmulConv2D(x, w, case.stride, case.padding, case.dilation, case.groups)
    y = matmul.forward() + b
    gy = small_integers(rng, y.shape)
    return Solved(x, w, b, gy, y, matmul.grad_input(gy), matmul.grad_weight(gy), gy.sum(axis=(0, 1, 2)))


ALGORITHMS = ("direct", "im2col", "toeplitz", "toeplitz_full", "winograd", "winograd_2x2", "winograd_4x4")
WINOGRAD = ALGORITHMS[4:]


class SmallConv2D(NamedTuple):
    """A convolution of `n` images with `co` filters that takes one of the ways of few channels, in its data format."""

    n: int
    ih: int
    iw: int
    ci: int
    co: int
    kh: int = 3
    kw: int = 3
    stride: Any = 1
    padding: Any = 0
    dilation: Any = 1
    data_format: str = "channels_last"
    groups: int = 1

    @property
    def options(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("stride", "padding", "dilation", "data_format", "groups")}


@cache
def solved_small(case: SmallConv2D) -> Solved:
    """Compute every array of a case by the reference, in the case's data format."""
    rng = np.random.default_rng(5)
    image, kernel = (case.ih, case.iw), (case.kh, case.kw)
    last = case.data_format == "channels_last"
    x = small_integers(rng, (case.n, *image, case.ci) if last else (case.n, case.ci, *image))
    ci = case.ci // case.groups
    w = small_integers(rng, (*kernel, ci, case.co) if last else (case.co, ci, *kernel))
    b = small_integers(rng, (case.co,))
    y = reference.conv2d(x, w, b, **case.options)
    gy = small_integers(rng, y.shape)
    return Solved(x, w, b, gy, y, *reference.conv2d_backward(gy, x, w, b, **case.options))


def assert_small_is_exact(case: SmallConv2D, dtype: Any) -> None:
    """The direct method has every result of a case, which are small integers."""
    known = solved_small(case)
    x, w, b, gy = (array.astype(dtype) for array in known[:4])
    np.testing.assert_array_equal(F.conv2d(x, w, b, **case.options, algorithm="direct"), known.y)
    found = F.conv2d_backward(gy, x, w, b, **case.options, algorithm="direct")
    for name, gradient, expected in zip(("input", "weight", "bias"), found, known[5:], strict=True):
        np.testing.assert_array_equal(gradient, expected, err_msg=name)


def assert_small_is_activated_once(case: SmallConv2D, activation: str, dtype: Any) -> None:
    """So it is with packed weights, which serve any number of images."""
    known = solved_small(case)
    x, w, b = (array.astype(dtype) for array in known[:3])
    direct = {"algorithm": "direct", **case.options}
    expected = getattr(F, activation)(known.y.astype(dtype))
    np.testing.assert_array_equal(F.conv2d(x, w, b, activation=activation, **direct), expected)
    prepared = F.prepare_conv2d(w, b, activation=activation, **direct)
    for count in (case.n, 1, case.n - 1):
        np.testing.assert_array_equal(prepared(x[:count]), expected[:count])


def assert_threads_do_not_change_small(case: SmallConv2D, dtype: Any, rng: np.random.Generator) -> None:
    """Random numbers have the same bits in all passes for every number of threads."""
    x, w, b, gy = (rng.standard_normal(array.shape).astype(dtype) for array in solved_small(case)[:4])

    def compute() -> tuple[Any, ...]:
        gradients = F.conv2d_backward(gy, x, w, b, **case.options)
        return F.conv2d(x, w, b, **case.options), *gradients

    assert_threads_do_not_change_bits(compute)


class Bounds(NamedTuple):
    """How far rounding may take each element of a convolution and of its gradients by input and weight."""

    y: Array
    gx: Array
    gw: Array


def conv_bounds(
    algorithm: str, dtype: Any, x: Array, w: Array, b: Array | None, gy: Array, options: dict[str, Any]
) -> Bounds:
    """Bound an algorithm's errors; arguments as conv2d and conv2d_backward take them."""
    x, w, gy = np.abs(x), np.abs(w), np.abs(gy)
    b = None if b is None else np.abs(b)
    gx, gw, _ = reference.conv2d_backward(gy, x, w, b, **options)
    sums = Bounds(reference.conv2d(x, w, b, **options), gx, gw)
    last = options["data_format"] == "channels_last"
    ci, co = x.shape[-1 if last else -3], w.shape[-1 if last else 0]
    terms = w.size // co + 1, w.size // ci, gy.size // co
    return Bounds(*(error_bound(total, number, dtype, algorithm) for total, number in zip(sums, terms, strict=True)))


def image_as(array: Array, data_format: str, dtype: Any) -> Array:
    """Return channels-last images, of any number of axes, in another layout and dtype."""
    moved = array if data_format == "channels_last" else np.moveaxis(array, -1, 1)
    return np.ascontiguousarray(moved, dtype=dtype)


def weight_as(array: Array, data_format: str, dtype: Any) -> Array:
    """Return channels-last weights in another layout and dtype."""
    moved = array if data_format == "channels_last" else array.transpose(3, 2, 0, 1)
    return np.ascontiguousarray(moved, dtype=dtype)


def torch_conv(
    torch: Any, x: Any, w: Any, b: Any, stride: Any, padding: Any, dilation: Any, groups: int, data_format: str
) -> Any:
    """Say in torch's words what it has no word for: channels last, uneven padding, "same" with a stride."""
    axes = w.ndim - 2
    last = data_format == "channels_last"
    if last:
        x, w = x.movedim(-1, -axes - 1), w.movedim((-1, -2), (0, 1))
    strides, dilations = _per_axis(stride, axes), _per_axis(dilation, axes)
    if padding == "same":
        windows = zip(x.shape[-axes:], w.shape[2:], strides, dilations, strict=True)
        totals = [max((-(-size // s) - 1) * s + (k - 1) * r + 1 - size, 0) for size, k, s, r in windows]
        pads = [(total // 2, total - total // 2) for total in totals]
    elif padding == "valid":
        pads = [(0, 0)] * axes
    elif isinstance(padding, tuple) and isinstance(padding[0], tuple):
        pads = list(padding)
    else:
        pads = [(pad, pad) for pad in _per_axis(padding, axes)]
    padded = torch.nn.functional.pad(x, [number for pair in reversed(pads) for number in pair])
    y = getattr(torch.nn.functional, f"conv{axes}d")(padded, w, b, strides, 0, dilations, groups)
    return y.movedim(-axes - 1, -1) if last else y


def _per_axis(value: Any, axes: int) -> list[int]:
    values = list(value) if isinstance(value, tuple | list) else [value]
    return [int(number) for number in (values if len(values) == axes else values * axes)]
