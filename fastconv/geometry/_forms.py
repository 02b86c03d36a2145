"""The Geometry itself, and what users write for stride, padding and dilation as numbers for each axis."""

import math
import operator
from typing import Any, NamedTuple

import numpy as np

Axes = tuple[int, int, int]


Shape = tuple[int, ...]


class Geometry(NamedTuple):
    """One convolution or pooling over three spatial axes (depth, height, width).

    A case with fewer axes sets the leading ones to size 1, kernel 1, stride 1, dilation 1 and padding 0. On each axis
    ``out = (in + pad_lo + pad_hi - dilation * (kernel - 1) - 1) // stride + 1``; with ``ceil_mode`` pooling, ``out`` is
    what the last window needs. Pooling has ``in_channels == out_channels == groups``. A transposed convolution is the
    input gradient of the convolution described: `input` is its result, which ``output_padding`` may lengthen past the
    last window.
    """

    batch: int
    in_channels: int
    out_channels: int
    groups: int
    input: Axes
    output: Axes
    kernel: Axes
    stride: Axes
    dilation: Axes
    pad_lo: Axes
    pad_hi: Axes


AXIS_NAMES = {1: ("width",), 2: ("height", "width"), 3: ("depth", "height", "width")}


# Past any kernel, stride or padding in use, and small enough that sums of them stay within 64 bits.
_LIMIT = 2**31 - 1


_MAX_ELEMENTS = 2**59


# An integer, a string, or nested tuples of them: what a look-up can tell apart. (A float must not get there, since
# 1.0 == 1 would make its refusal depend on earlier calls.)
Canonical = Any


def canonical(function: str, name: str, value: Any) -> Canonical:
    if type(value) is int:
        return value
    if isinstance(value, tuple | list):
        return tuple([item if type(item) is int else canonical(function, name, item) for item in value])
    if isinstance(value, np.ndarray):
        return canonical(function, name, value.tolist())
    if isinstance(value, str) and name == "padding":
        return value
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{function}: {name} must consist of integers, got {value!r}") from None


def _layout(axes: int, channels_last: bool) -> tuple[str, ...]:
    letters = tuple(name[0] for name in AXIS_NAMES[axes])
    return (*letters, "c") if channels_last else ("c", *letters)


def _text(parts: tuple[Any, ...]) -> str:
    return f"({', '.join(map(str, parts))})"


def split_shape(function: str, shape: Shape, axes: int, channels_last: bool) -> tuple[int, int, Shape]:
    """Batch size, channels and spatial sizes of an input shape."""
    if len(shape) not in (axes + 1, axes + 2):
        form = _layout(axes, channels_last)
        raise ValueError(f"{function}: input must have shape {_text(('n', *form))} or {_text(form)}, got {shape}")
    image = shape[-axes - 1 :]
    channels, sizes = (image[-1], image[:-1]) if channels_last else (image[0], image[1:])
    if 0 in sizes:
        name = AXIS_NAMES[axes][sizes.index(0)]
        raise ValueError(f"{function}: input must have a positive {name}, got shape {shape}")
    return (shape[0] if len(shape) == axes + 2 else 1), channels, sizes


def split_pooled(function: str, shape: Shape, axes: int, channels_last: bool) -> tuple[int, int, Shape]:
    batch, channels, sizes = split_shape(function, shape, axes, channels_last)
    if channels == 0:
        raise ValueError(f"{function}: input must have at least one channel, got shape {shape}")
    return batch, channels, sizes


def check_groups(function: str, groups: Canonical, in_channels: int) -> None:
    if not isinstance(groups, int) or not 1 <= groups <= _LIMIT:
        raise ValueError(f"{function}: groups must be a positive integer, got {groups!r}")
    if in_channels % groups:
        raise ValueError(f"{function}: groups must divide the {in_channels} input channels, got {groups}")


def split_weight(
    function: str, shape: Shape, in_channels: int, groups: int, axes: int, channels_last: bool
) -> tuple[int, Shape]:
    """Output channels and kernel size of a weight shape."""
    kernel_letters = tuple("k" + name[0] for name in AXIS_NAMES[axes])
    per_group = in_channels // groups

    def form(out_channels: int | str) -> str:
        last = (*kernel_letters, per_group, out_channels)
        return _text(last if channels_last else (out_channels, per_group, *kernel_letters))

    channels = f"{in_channels} input channels" + (f" in {groups} groups" if groups > 1 else "")
    if len(shape) != axes + 2:
        raise ValueError(f"{function}: weight must have shape {form('c_out')} for {channels}, got {shape}")
    if channels_last:
        kernel, given, out_channels = shape[:-2], shape[-2], shape[-1]
    else:
        out_channels, given, kernel = shape[0], shape[1], shape[2:]
    if given != per_group:
        raise ValueError(f"{function}: weight must have shape {form(out_channels)} for {channels}, got {shape}")
    if out_channels == 0 or 0 in kernel:
        raise ValueError(f"{function}: weight must have positive c_out and kernel size, got shape {shape}")
    if out_channels % groups:
        raise ValueError(f"{function}: groups must divide the {out_channels} output channels, got {groups}")
    return out_channels, kernel


def split_transposed_weight(
    function: str, shape: Shape, in_channels: int, groups: int, axes: int, channels_last: bool
) -> tuple[int, Shape]:
    """Output channels and kernel size of the weight shape of a transposed convolution."""
    if channels_last:
        kernel, per_group, given = shape[:-2], shape[-2:-1], shape[-1:]
    else:
        given, per_group, kernel = shape[:1], shape[1:2], shape[2:]
    if len(shape) != axes + 2 or given != (in_channels,):
        kernel_letters = tuple("k" + name[0] for name in AXIS_NAMES[axes])
        per_group_letters = "c_out" if groups == 1 else f"c_out/{groups}"
        last = (*kernel_letters, per_group_letters, in_channels)
        form = _text(last if channels_last else (in_channels, per_group_letters, *kernel_letters))
        raise ValueError(f"{function}: weight must have shape {form} for {in_channels} input channels, got {shape}")
    if per_group == (0,) or 0 in kernel:
        raise ValueError(f"{function}: weight must have positive c_out and kernel size, got shape {shape}")
    return per_group[0] * groups, kernel


def _spread(value: Canonical, axes: int) -> Canonical:
    """One value for each axis, where there is one for all."""
    if isinstance(value, int):
        return (value,) * axes
    return value * axes if isinstance(value, tuple) and len(value) == 1 else value


def per_axis(function: str, name: str, value: Canonical, axes: int, minimum: int) -> Shape:
    values = _spread(value, axes)
    if not isinstance(values, tuple) or len(values) != axes or not all(isinstance(item, int) for item in values):
        raise ValueError(f"{function}: {name} must be an integer or {_several(axes, 'integer')}, got {value!r}")
    _check_range(function, name, value, values, minimum)
    return values


def _several(axes: int, noun: str) -> str:
    return f"a tuple of one {noun}" if axes == 1 else f"{axes} {noun}s"


def _check_range(function: str, name: str, value: Canonical, numbers: Shape, minimum: int) -> None:
    if min(numbers) < minimum:
        raise ValueError(f"{function}: {name} must be at least {minimum}, got {value!r}")
    if max(numbers) > _LIMIT:
        raise ValueError(f"{function}: {name} must be at most {_LIMIT}, got {value!r}")


def padding_sizes(
    function: str, padding: Canonical, sizes: Shape, kernel: Shape, strides: Shape, dilations: Shape
) -> tuple[tuple[int, int], ...]:
    """(before, after) for each axis."""
    axes = len(sizes)
    if padding == "valid":
        return ((0, 0),) * axes
    if padding == "same":
        pads = []
        for size, k, s, r in zip(sizes, kernel, strides, dilations, strict=True):
            total = max((-(-size // s) - 1) * s + r * (k - 1) + 1 - size, 0)
            pads.append((total // 2, total - total // 2))
        return tuple(pads)
    pairs = tuple((item, item) if isinstance(item, int) else item for item in _spread(padding, axes))
    if len(pairs) != axes or not all(map(_is_pair, pairs)):
        raise ValueError(
            f"{function}: padding must be an integer, {_several(axes, 'integer')}, "
            f"{_several(axes, 'pair')} (before, after), 'valid' or 'same', got {padding!r}"
        )
    for pair in pairs:
        _check_range(function, "padding", padding, pair, 0)
    return pairs


def _is_pair(item: Canonical) -> bool:
    return isinstance(item, tuple) and len(item) == 2 and all(isinstance(number, int) for number in item)


def output_sizes(
    function: str,
    sizes: Shape,
    kernel: Shape,
    strides: Shape,
    dilations: Shape,
    pads: tuple[tuple[int, int], ...],
    ceil_mode: bool,
) -> Shape:
    outputs = []
    names = AXIS_NAMES[len(sizes)]
    for name, size, k, s, r, (lo, hi) in zip(names, sizes, kernel, strides, dilations, pads, strict=True):
        room = size + lo + hi - r * (k - 1) - 1
        out = (-(-room // s) if ceil_mode else room // s) + 1
        if ceil_mode and (out - 1) * s >= size + lo:
            out -= 1
        if out < 1:
            window = str(k) if r == 1 else f"({r}*({k} - 1) + 1)"
            room_text = f"({size} + {lo} + {hi} - {window})"
            windows = f"ceil({room_text}/{s})" if ceil_mode else f"{room_text}//{s}"
            raise ValueError(
                f"{function}: output {name} is {windows} + 1 = {out}; kernel_size must not exceed the padded input"
            )
        outputs.append(out)
    return tuple(outputs)


def transposed_outputs(
    function: str,
    sizes: Shape,
    kernel: Shape,
    strides: Shape,
    dilations: Shape,
    pads: tuple[tuple[int, int], ...],
    extras: Shape,
) -> Shape:
    outputs = []
    names = AXIS_NAMES[len(sizes)]
    for name, size, k, s, r, (lo, hi), extra in zip(
        names, sizes, kernel, strides, dilations, pads, extras, strict=True
    ):
        out = (size - 1) * s - lo - hi + r * (k - 1) + extra + 1
        if out < 1:
            raise ValueError(
                f"{function}: output {name} is ({size} - 1)*{s} - {lo} - {hi} + {r}*({k} - 1) + {extra} + 1 = {out}; "
                f"padding must leave at least one"
            )
        outputs.append(out)
    return tuple(outputs)


def output_shape(function: str, input_shape: Shape, channels: int, output: Shape, channels_last: bool) -> Shape:
    image = (*output, channels) if channels_last else (channels, *output)
    shape = input_shape[: len(input_shape) - len(image)] + image
    if math.prod(shape) > _MAX_ELEMENTS:
        raise MemoryError(f"{function}: output of shape {shape} has {math.prod(shape)} elements, past any memory")
    return shape


def make_geometry(
    batch: int,
    in_channels: int,
    out_channels: int,
    groups: int,
    sizes: Shape,
    output: Shape,
    kernel: Shape,
    strides: Shape,
    dilations: Shape,
    pads: tuple[tuple[int, int], ...],
) -> Geometry:
    lo, hi = zip(*pads, strict=True)
    return Geometry(
        batch,
        in_channels,
        out_channels,
        groups,
        _three(sizes, 1),
        _three(output, 1),
        _three(kernel, 1),
        _three(strides, 1),
        _three(dilations, 1),
        _three(lo, 0),
        _three(hi, 0),
    )


def _three(values: Shape, fill: int) -> Axes:
    depth, height, width = (fill,) * (3 - len(values)) + values
    return depth, height, width
