"""Hypothesis strategies: convolutions and poolings of every form that the functions accept, small enough for plain
loops."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st
from numpy.typing import NDArray

Array = NDArray[Any]

# One, odd, and around the widths of vectors and tiles.
CHANNELS = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33)


@dataclass(frozen=True)
class Conv:
    """Arguments of one convolution, over as many axes as its weight has."""

    input_shape: tuple[int, ...]
    weight_shape: tuple[int, ...]
    options: dict[str, Any]
    dtype: type
    with_bias: bool
    seed: int

    @property
    def terms(self) -> int:
        """Products in one output element, and one for the bias."""
        spatial_and_input = slice(-1) if self.options["data_format"] == "channels_last" else slice(1, None)
        return math.prod(self.weight_shape[spatial_and_input]) + 1

    def arrays(self) -> tuple[Array, Array, Array | None]:
        """Input, weight and bias."""
        rng = np.random.default_rng(self.seed)
        co = self.weight_shape[-1 if self.options["data_format"] == "channels_last" else 0]
        x, w, b = (rng.standard_normal(shape).astype(self.dtype) for shape in (self.input_shape, self.weight_shape, co))
        return x, w, b if self.with_bias else None

    def grad_output(self, output_shape: tuple[int, ...]) -> Array:
        return np.random.default_rng(self.seed + 1).standard_normal(output_shape).astype(self.dtype)


@dataclass(frozen=True)
class Pool:
    """Arguments of one pooling over some axes."""

    axes: int
    input_shape: tuple[int, ...]
    options: dict[str, Any]
    dtype: type
    seed: int

    def functions(self, module: Any, name: str) -> tuple[Any, Any]:
        """Return the function of a module that has so many axes, and its gradient: "max_pool" is max_pool2d for two."""
        full = f"{name}{self.axes}d"
        return getattr(module, full), getattr(module, f"{full}_backward")

    def input(self) -> Array:
        """Return a few different numbers only, so that windows have several maxima."""
        return np.random.default_rng(self.seed).integers(-4, 5, self.input_shape).astype(self.dtype)

    def grad_output(self, output_shape: tuple[int, ...]) -> Array:
        return np.random.default_rng(self.seed + 1).standard_normal(output_shape).astype(self.dtype)


@dataclass(frozen=True)
class Unpool(Pool):
    """Arguments of one unpooling to images of `pixels`, and indices in any order, of which some are equal."""

    pixels: int

    def indices(self) -> Array:
        return np.random.default_rng(self.seed + 2).integers(0, self.pixels, self.input_shape)


@st.composite
def conv1d(draw: st.DrawFn, dtypes: tuple[type, ...] = (np.float32, np.float64)) -> Conv:
    return draw(_conv_of(1, 9, 4, 12, dtypes))


@st.composite
def conv2d(draw: st.DrawFn, dtypes: tuple[type, ...] = (np.float32, np.float64)) -> Conv:
    return draw(_conv_of(2, 7, 3, 7, dtypes))


@st.composite
def conv3d(draw: st.DrawFn, dtypes: tuple[type, ...] = (np.float32, np.float64)) -> Conv:
    return draw(_conv_of(3, 3, 2, 3, dtypes))


@st.composite
def _conv_of(
    draw: st.DrawFn, axes: int, largest_kernel: int, largest_step: int, spare: int, dtypes: tuple[type, ...]
) -> Conv:
    """Draw a convolution over so many axes, with strides and dilations up to `largest_step`."""
    kernel = draw(_each(axes, st.integers(1, largest_kernel)))
    stride, dilation = (draw(_each(axes, st.integers(1, largest_step))) for _ in range(2))
    return draw(_conv(kernel, stride, dilation, draw(_channels()), spare, dtypes))


@st.composite
def winograd_conv2d(draw: st.DrawFn, dtypes: tuple[type, ...] = (np.float32, np.float64)) -> Conv:
    """Draw what Winograd's algorithm applies to: outputs from one pixel to a few tiles, parts of tiles included."""
    channels = 1, draw(st.sampled_from(CHANNELS)), draw(st.sampled_from(CHANNELS))
    return draw(_conv((3, 3), (1, 1), (1, 1), channels, 10, dtypes))


@st.composite
def _conv(
    draw: st.DrawFn,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    channels: tuple[int, int, int],
    spare: int,
    dtypes: tuple[type, ...],
) -> Conv:
    """Draw the rest: padding, sizes, and how the arguments are written."""
    axes = len(kernel)
    even = _each(axes, st.integers(0, 4)).map(lambda pads: tuple((pad, pad) for pad in pads))
    padding = draw(st.one_of(st.sampled_from(["same", "valid"]), even, _each(axes, _two(st.integers(0, 4)))))
    reaches, pads = _reaches(kernel, dilation), _total_pads(padding, axes)
    sizes = tuple(draw(_size(reach, pad, spare)) for reach, pad in zip(reaches, pads, strict=True))
    groups, per_group, co_per_group = channels
    ci, co = groups * per_group, groups * co_per_group
    data_format = draw(st.sampled_from(["channels_first", "channels_last"]))
    weight_shape = (*kernel, per_group, co) if data_format == "channels_last" else (co, per_group, *kernel)
    options = {
        "stride": draw(_form(stride)),
        "padding": padding if isinstance(padding, str) else draw(_padding_form(padding)),
        "dilation": draw(_form(dilation)),
        "groups": groups,
        "data_format": data_format,
    }
    return Conv(
        draw(_input_shape(ci, sizes, data_format)),
        weight_shape,
        options,
        draw(st.sampled_from(dtypes)),
        draw(st.booleans()),
        draw(st.integers(0, 2**16)),
    )


@st.composite
def max_pool(draw: st.DrawFn) -> Pool:
    return draw(_pool(dilated=True))


@st.composite
def avg_pool(draw: st.DrawFn) -> Pool:
    case = draw(_pool(dilated=False))
    case.options["count_include_pad"] = draw(st.booleans())
    case.options["divisor_override"] = draw(st.sampled_from([None, None, 1, 3, -2]))
    return case


@st.composite
def adaptive_pool(draw: st.DrawFn) -> Pool:
    """Draw windows that share an input out: one for all, several that are alike or not, and more than elements."""
    axes = draw(st.sampled_from([1, 2, 2, 3]))
    most = {1: 70, 2: 14, 3: 6}[axes]
    sizes = draw(_each(axes, st.integers(1, most)))
    outputs = draw(_each(axes, st.integers(1, most)))
    data_format = draw(st.sampled_from(["channels_first", "channels_last"]))
    kept = draw(_each(axes, st.booleans()))
    wanted = tuple(None if keep else out for keep, out in zip(kept, outputs, strict=True))
    size = draw(st.sampled_from([1, outputs[0], outputs[:1], outputs, list(outputs), wanted]))
    return Pool(
        axes,
        draw(_input_shape(draw(st.sampled_from(CHANNELS)), sizes, data_format)),
        {"output_size": size, "data_format": data_format},
        draw(st.sampled_from([np.float32, np.float64])),
        draw(st.integers(0, 2**16)),
    )


@st.composite
def max_unpool(draw: st.DrawFn) -> Unpool:
    axes = draw(st.sampled_from([1, 2, 2, 3]))
    sizes, kernel = (draw(_each(axes, st.integers(1, {1: 30, 2: 5, 3: 3}[axes]))) for _ in range(2))
    stride = draw(st.one_of(st.none(), st.just(()), _each(axes, st.integers(1, 4))))
    steps = stride or kernel
    pads = tuple(draw(_two(st.integers(0, k // 2))) for k in kernel)
    padding = draw(st.sampled_from(["same", "valid", pads]))
    if padding == "same":
        usual = tuple(size * s for size, s in zip(sizes, steps, strict=True))
    else:
        totals = _total_pads(padding, axes)
        usual = tuple(
            (size - 1) * s - (pad or 0) + k for size, s, k, pad in zip(sizes, steps, kernel, totals, strict=True)
        )
    assume(all(size + s > 1 for size, s in zip(usual, steps, strict=True)))
    wanted = tuple(draw(st.integers(max(size - s + 1, 1), size + s - 1)) for size, s in zip(usual, steps, strict=True))
    channels = draw(st.sampled_from(CHANNELS))
    data_format = draw(st.sampled_from(["channels_first", "channels_last"]))
    whole = (1, *wanted, channels) if data_format == "channels_last" else (1, channels, *wanted)
    output_size = draw(st.sampled_from([None, wanted, list(wanted), whole])) if min(usual) > 0 else wanted
    return Unpool(
        axes,
        draw(_input_shape(channels, sizes, data_format)),
        {
            "kernel_size": draw(_form(kernel)),
            "stride": draw(_form(stride)) if stride else stride,
            "padding": padding if isinstance(padding, str) else draw(_padding_form(padding)),
            "output_size": output_size,
            "data_format": data_format,
        },
        draw(st.sampled_from([np.float32, np.float64])),
        draw(st.integers(0, 2**16)),
        math.prod(usual if output_size is None else wanted),
    )


@st.composite
def _pool(draw: st.DrawFn, dilated: bool) -> Pool:
    axes = draw(st.sampled_from([1, 2, 2, 3]))
    kernel = draw(_each(axes, st.integers(1, {1: 9, 2: 5, 3: 3}[axes])))
    dilation = draw(_each(axes, st.integers(1, 3 if axes < 3 else 2))) if dilated else (1,) * axes
    reaches = _reaches(kernel, dilation)
    stride = draw(st.one_of(st.none(), st.just(()), _each(axes, st.integers(1, 4))))
    pads = st.tuples(*(_two(st.integers(0, k // 2)) for k in kernel))
    even = st.tuples(*(st.integers(0, k // 2).map(lambda pad: (pad, pad)) for k in kernel))
    padding = draw(st.one_of(st.sampled_from(["same", "valid"]), even, pads))
    spare = {1: 40, 2: 7, 3: 3}[axes]
    sizes = tuple(
        draw(_size(reach, pad, spare)) for reach, pad in zip(reaches, _total_pads(padding, axes), strict=True)
    )
    data_format = draw(st.sampled_from(["channels_first", "channels_last"]))
    options = {
        "kernel_size": draw(_form(kernel)),
        "stride": draw(_form(stride)) if stride else stride,
        "padding": padding if isinstance(padding, str) else draw(_padding_form(padding)),
        "ceil_mode": draw(st.booleans()),
        "data_format": data_format,
    }
    if dilated:
        options["dilation"] = draw(_form(dilation))
    return Pool(
        axes,
        draw(_input_shape(draw(st.sampled_from(CHANNELS)), sizes, data_format)),
        options,
        draw(st.sampled_from([np.float32, np.float64])),
        draw(st.integers(0, 2**16)),
    )


def _two(elements: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, Any]]:
    return st.tuples(elements, elements)


def _each(axes: int, elements: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    """Draw one for every axis."""
    return st.tuples(*(elements,) * axes)


def _reaches(kernel: tuple[int, ...], dilation: tuple[int, ...]) -> tuple[int, ...]:
    return tuple((k - 1) * r + 1 for k, r in zip(kernel, dilation, strict=True))


def _total_pads(padding: Any, axes: int) -> tuple[int | None, ...]:
    """Sum the padding of each axis; None where any input is large enough."""
    if isinstance(padding, str):
        return (None if padding == "same" else 0,) * axes
    return tuple(map(sum, padding))


def _size(reach: int, pad: int | None, spare: int = 7) -> st.SearchStrategy[int]:
    """Input sizes that hold one to a few windows; the smallest is the window itself, or less by the padding."""
    smallest = 1 if pad is None else max(reach - pad, 1)
    return st.integers(smallest, smallest + spare)


@st.composite
def _channels(draw: st.DrawFn) -> tuple[int, int, int]:
    """Draw groups, and input and output channels of each."""
    kind = draw(st.sampled_from(["one group", "one group", "two groups", "depthwise", "small groups"]))
    if kind == "depthwise":
        return draw(st.sampled_from(CHANNELS)), 1, draw(st.integers(1, 3))
    if kind == "small groups":
        width = draw(st.sampled_from((2, 4, 8)))
        return draw(st.integers(2, 40 // width)), width, width
    return 1 if kind == "one group" else 2, draw(st.sampled_from(CHANNELS)), draw(st.sampled_from(CHANNELS))


@st.composite
def _input_shape(draw: st.DrawFn, channels: int, sizes: tuple[int, ...], data_format: str) -> tuple[int, ...]:
    image = (*sizes, channels) if data_format == "channels_last" else (channels, *sizes)
    batch = draw(st.sampled_from([(1,), (2,), (3,), (1,), (2,), (3,), (), (0,)]))
    return (*batch, *image)


@st.composite
def _form(draw: st.DrawFn, numbers: tuple[int, ...]) -> Any:
    """Draw a way to write one number for each axis down."""
    forms: list[Any] = [numbers, list(numbers)]
    if len(set(numbers)) == 1:
        forms += [numbers[0], numbers[:1], np.int64(numbers[0])]
    return draw(st.sampled_from(forms))


@st.composite
def _padding_form(draw: st.DrawFn, pairs: tuple[tuple[int, int], ...]) -> Any:
    if all(before == after for before, after in pairs):
        return draw(_form(tuple(before for before, _ in pairs)))
    return pairs
