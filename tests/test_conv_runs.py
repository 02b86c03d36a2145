"""Few input channels, channels first: rows of pixels around the length of a vector, read where they lie."""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from oracle import assert_same_bits, small_integers

import fastconv as fc
import fastconv.functional as F
from fastconv import reference

Array = NDArray[Any]


class Case(NamedTuple):
    """A convolution of `n` images (ci, ih, iw) with `co` filters (kh, kw)."""

    n: int
    ci: int
    ih: int
    iw: int
    co: int
    kh: int = 3
    kw: int = 3
    stride: Any = 1
    padding: Any = 0
    dilation: Any = 1

    @property
    def options(self) -> dict[str, Any]:
        """The keyword arguments."""
        return {"stride": self.stride, "padding": self.padding, "dilation": self.dilation}


# Rows of outputs from less than a vector of SSE2 to more than two of AVX-512.
WIDTHS = [
    Case(2, 1 + width % 3, 7, width + 2, 1 + width * 5 % 17) for width in (*range(1, 10), *range(15, 19), 24, 31, 33)
]
# As many output channels as there are rows in tiles, and one more or less.
CHANNELS = [Case(1, 2, 5, 19, co) for co in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 25, 29, 33, 40)]
GEOMETRIES = [
    Case(3, 3, 31, 31, 25, stride=2, padding=1),
    Case(2, 1, 28, 28, 30, 5, 5),
    Case(3, 1, 28, 28, 8, 7, 7, stride=2),
    Case(2, 4, 9, 40, 16, stride=(1, 2), padding=((0, 2), (1, 0))),
    Case(2, 3, 12, 60, 5, stride=3, padding=((2, 0), (0, 4))),
    Case(2, 2, 11, 30, 14, stride=(3, 1), padding=2, dilation=2),
    Case(2, 2, 9, 37, 4, 2, 4, dilation=(1, 3)),
    Case(2, 3, 20, 17, 6, 1, 5, padding=((0, 0), (4, 1))),
    Case(2, 3, 20, 17, 8, 5, 1, padding=((4, 1), (0, 0))),
    Case(3, 3, 5, 7, 9, 1, 1),
    Case(2, 1, 3, 8, 11, 3, 3, padding=3),
    Case(1, 2, 70, 70, 11),  # several boxes of an image
    Case(40, 1, 12, 20, 4),  # and of images
    Case(7, 3, 35, 20, 12, 3, 3, stride=2, padding=1),  # images of a box and a unit, and some left
    Case(2, 1, 150, 45, 12, stride=(3, 2), padding=(0, 1), dilation=(2, 3)),
    Case(2, 2, 40, 33, 17, 2, 3, stride=(4, 1)),  # rows that meet no tap
    Case(2, 2, 7, 18, 11, 3, 5, stride=(1, 2), padding=((0, 0), (12, 12))),  # taps that meet nothing but padding
    Case(1, 8, 12, 20, 7, 5, 5),  # more taps along a row than a tile has
]


class Known(NamedTuple):
    """Operands that are small integers, and results that are exact."""

    x: Array
    w: Array
    b: Array
    gy: Array
    y: Array
    gradients: tuple[Array, Array, Array]


@cache
def solved(case: Case) -> Known:
    rng = np.random.default_rng(5)
    x = small_integers(rng, (case.n, case.ci, case.ih, case.iw))
    w, b = small_integers(rng, (case.co, case.ci, case.kh, case.kw)), small_integers(rng, (case.co,))
    y = reference.conv2d(x, w, b, **case.options)
    gy = small_integers(rng, y.shape)
    return Known(x, w, b, gy, y, reference.conv2d_backward(gy, x, w, b, **case.options))


@pytest.mark.parametrize("case", [*WIDTHS, *CHANNELS, *GEOMETRIES], ids=str)
def test_results_are_exact_on_small_integers(case, isa, threads, dtype):
    known = solved(case)
    x, w, b, gy = (array.astype(dtype) for array in known[:4])
    np.testing.assert_array_equal(F.conv2d(x, w, b, **case.options, algorithm="direct"), known.y)
    np.testing.assert_array_equal(
        F.prepare_conv2d(w, b, **case.options, algorithm="direct", activation="relu")(x), np.maximum(known.y, 0)
    )
    for algorithm in ("direct", "im2col"):
        found = F.conv2d_backward(gy, x, w, b, **case.options, algorithm=algorithm)
        for name, gradient, expected in zip(("input", "weight", "bias"), found, known.gradients, strict=True):
            np.testing.assert_array_equal(gradient, expected, err_msg=f"{name}, {algorithm}")


@pytest.mark.parametrize("case", GEOMETRIES, ids=str)
def test_threads_do_not_change_bits(case, isa, dtype, rng):
    known = solved(case)
    x, w, b, gy = (rng.standard_normal(array.shape).astype(dtype) for array in known[:4])
    results = []
    before = fc.get_num_threads()
    try:
        for number in (1, 2, 3):
            fc.set_num_threads(number)
            gradients = F.conv2d_backward(gy, x, w, b, **case.options)
            results.append((F.conv2d(x, w, b, **case.options, activation="tanh"), *gradients))
    finally:
        fc.set_num_threads(before)
    for other in results[1:]:
        for one, first in zip(other, results[0], strict=True):
            assert_same_bits(one, first)


@pytest.mark.parametrize("shape", [(4, 1, 9), (4, 3, 1), (12, 1, 1), (4, 2, 8)], ids=str)
@pytest.mark.parametrize("groups", [1, 2])
def test_a_voxel_kernel_joins_slices_that_are_shorter_than_a_vector(shape, groups, isa, threads, dtype, rng):
    x, gy = (small_integers(rng, (16, 4 * groups, *shape)) for _ in range(2))
    w = np.zeros((4 * groups, 4, 1, 1, 1), dtype)
    _, gw, gb = F.conv3d_backward(gy.astype(dtype), x.astype(dtype), w, np.zeros(4 * groups, dtype), groups=groups)
    by_group = (gy.reshape(16, groups, 4, -1), x.reshape(16, groups, 4, -1))
    np.testing.assert_array_equal(gw.ravel(), np.einsum("ngjp,ngkp->gjk", *by_group).ravel())
    np.testing.assert_array_equal(gb, gy.sum(axis=(0, 2, 3, 4)))


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("width", [16, 21, 26])
def test_what_is_not_finite_stays_with_the_pixels_that_meet_it(value, width, isa, dtype):
    x, w = np.zeros((2, 2, 6, width), dtype), np.ones((5, 2, 3, 3), dtype)
    x[1, 1, 3, width - 1] = value
    gy = np.zeros((2, 5, 4, width - 2), dtype)
    expected = reference.conv2d(x, w)
    np.testing.assert_array_equal(F.conv2d(x, w, algorithm="direct"), expected)
    gy[1, 2, 1, width - 3] = 1  # meets it at one tap
    _, gw, _ = F.conv2d_backward(gy, x, w, algorithm="direct")
    with np.errstate(invalid="ignore"):
        _, expected, _ = reference.conv2d_backward(gy, x, w)
    np.testing.assert_array_equal(np.isfinite(gw), np.isfinite(expected))


def test_the_bias_gradient_is_the_same_alone(isa, dtype, rng):
    x, w, gy = (rng.standard_normal(shape).astype(dtype) for shape in ((9, 2, 30, 30), (7, 2, 3, 3), (9, 7, 28, 28)))
    *_, together = F.conv2d_backward(gy, x, w, np.zeros(7, dtype))
    *_, alone = F.conv2d_backward(gy, x, w, np.zeros(7, dtype), needs="bias")
    exact = gy.astype(np.float64).sum(axis=(0, 2, 3))
    for found in (together, alone):
        np.testing.assert_allclose(found, exact, atol=64 * np.finfo(dtype).eps * np.abs(gy).sum(axis=(0, 2, 3)).max())


def placed(array: Array, element: int) -> Array:
    """Return a copy that begins this many elements after a multiple of 64 bytes."""
    memory = np.full(array.size + 32, np.nan, array.dtype)
    first = -(memory.ctypes.data // array.itemsize) % (64 // array.itemsize) + element
    copy = memory[first : first + array.size].reshape(array.shape)
    copy[...] = array
    return copy


@pytest.mark.parametrize("case", GEOMETRIES, ids=str)
def test_where_arrays_begin_makes_no_difference_to_bits(case, isa, dtype, rng):
    known = solved(case)
    x, w, b, gy = (rng.standard_normal(array.shape).astype(dtype) for array in known[:4])
    results = []
    for element in range(0, 64 // np.dtype(dtype).itemsize, 3):
        operands = (placed(gy, element), placed(x, element // 2), placed(w, 1), b)
        results += [F.conv2d_backward(*operands, **case.options, algorithm=name) for name in ("direct", "im2col")]
    for n, found in enumerate(results):
        for one, first in zip(found, results[n % 2], strict=True):
            assert_same_bits(one, first)


@pytest.mark.parametrize("case", [case._replace(n=11) for case in GEOMETRIES], ids=str)
def test_gradients_have_the_same_bits_alone(case, isa, threads, dtype, rng):
    x, w, gy = (
        rng.standard_normal(shape).astype(dtype)
        for shape in ((case.n, case.ci, case.ih, case.iw), (case.co, case.ci, case.kh, case.kw), solved(case).y.shape)
    )
    b = np.zeros(case.co, dtype)
    together = F.conv2d_backward(gy, x, w, b, **case.options)
    for n, need in enumerate(("input", "weight")):
        assert_same_bits(together[n], F.conv2d_backward(gy, x, w, b, **case.options, needs=need)[n])
