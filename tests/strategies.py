"""Hypothesis strategies: convolutions and poolings of every form that the functions accept, small enough for plain
loops."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
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
class Pool2D:
    """Arguments of one pooling."""

    input_shape: tuple[int, ...]
    options: dict[str, Any]
    dtype: type
    seed: int

    def input(self) -> Array:
        """Return a few different numbers only, so that windows have several maxima."""
        return np.random.default_rng(self.seed).integers(-4, 5, self.input_shape).astype(self.dtype)

    def grad_output(self, output_shape: tuple[int, ...]) -> Array:
        return np.random.default_rng(self.seed + 1).standard_normal(output_shape).astype(self.dtype)


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
def max_pool2d(draw: st.DrawFn) -> Pool2D:
    return draw(_pool2d(dilated=True))


@st.composite
def avg_pool2d(draw: st.DrawFn) -> Pool2D:
    case = draw(_pool2d(dilated=False))
    case.options["count_include_pad"] = draw(st.booleans())
    case.options["divisor_override"] = draw(st.sampled_from([None, None, 1, 3, -2]))
    return case


@st.composite
def _pool2d(draw: st.DrawFn, dilated: bool) -> Pool2D:
    kernel = draw(_two(st.integers(1, 5)))
    dilation = draw(_two(st.integers(1, 3))) if dilated else (1, 1)
    reaches = _reaches(kernel, dilation)
    stride = draw(st.one_of(st.none(), st.just(()), _two(st.integers(1, 4))))
    pads = st.tuples(*(_two(st.integers(0, k // 2)) for k in kernel))
    even = st.tuples(*(st.integers(0, k // 2).map(lambda pad: (pad, pad)) for k in kernel))
    padding = draw(st.one_of(st.sampled_from(["same", "valid"]), even, pads))
    sizes = tuple(draw(_size(reach, pad)) for reach, pad in zip(reaches, _total_pads(padding, 2), strict=True))
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
    return Pool2D(
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
    kind = draw(st.sampled_from(["one group", "one group", "two groups", "depthwise"]))
    if kind == "depthwise":
        return draw(st.sampled_from(CHANNELS)), 1, draw(st.integers(1, 3))
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
