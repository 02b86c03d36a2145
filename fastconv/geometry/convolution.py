"""Convolution, transposed convolution and the linear layer."""

import math
from functools import lru_cache
from typing import Any

from fastconv.geometry._forms import (
    AXIS_NAMES,
    Canonical,
    Geometry,
    Shape,
    canonical,
    check_groups,
    make_geometry,
    output_shape,
    output_sizes,
    padding_sizes,
    per_axis,
    split_shape,
    split_transposed_weight,
    split_weight,
    transposed_outputs,
)


def conv_geometry(
    function: str,
    input_shape: Shape,
    weight_shape: Shape,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: Any = 1,
    *,
    axes: int = 2,
    channels_last: bool = False,
) -> tuple[Geometry, Shape]:
    """Geometry and output shape of a convolution.

    A repeated call with the same arguments is a look-up.

    Parameters
    ----------
    function : str
        Name of the caller, for error messages.
    input_shape : tuple of int
        (n, c, *spatial), or (n, *spatial, c) with `channels_last`; the first axis may be absent.
    weight_shape : tuple of int
        (c_out, c_in/groups, *kernel), or (*kernel, c_in/groups, c_out) with `channels_last`.
    stride, padding, dilation
        See the module's text.
    groups : int
        Groups of channels that do not see each other; divides both channel counts.
    axes : int
        Number of spatial axes, 1 to 3.
    channels_last : bool
        Order of the axes of both shapes.

    Returns
    -------
    geometry : Geometry
    output_shape : tuple of int
        Without a batch axis where the input has none.

    Raises
    ------
    TypeError
        An argument that is no integer.
    ValueError
        Shapes that contradict each other, a number out of range, or an output with no elements on a spatial axis.
    MemoryError
        An output past any memory.

    Examples
    --------
    >>> geometry, shape = conv_geometry("conv2d", (8, 3, 32, 32), (16, 3, 5, 5), stride=2, padding="same")
    >>> shape
    (8, 16, 16, 16)
    >>> geometry.pad_lo, geometry.pad_hi
    ((0, 1, 1), (0, 2, 2))
    """
    return _conv_geometry(
        function,
        input_shape,
        weight_shape,
        canonical(function, "stride", stride),
        canonical(function, "padding", padding),
        canonical(function, "dilation", dilation),
        canonical(function, "groups", groups),
        axes,
        channels_last,
    )


def conv_transpose_geometry(
    function: str,
    input_shape: Shape,
    weight_shape: Shape,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    dilation: Any = 1,
    groups: Any = 1,
    *,
    axes: int = 2,
    channels_last: bool = False,
) -> tuple[Geometry, Shape]:
    """Geometry of the convolution whose input gradient is a transposed convolution, and the latter's output shape.

    On each axis ``out = (in - 1) * stride - before - after + dilation * (kernel - 1) + output_padding + 1``.

    Parameters
    ----------
    function : str
        Name of the caller, for error messages.
    input_shape : tuple of int
        As for `conv_geometry`. It is the `output` of the geometry.
    weight_shape : tuple of int
        (c_in, c_out/groups, *kernel), or (*kernel, c_out/groups, c_in) with `channels_last`: the weights of that
        convolution.
    stride, padding, dilation
        See the module's text. "same" gives ``in * stride`` outputs.
    output_padding : int or tuple of int
        Elements added at the end of each axis, fewer than the larger of stride and dilation: of the inputs from which a
        strided convolution makes the same output, it chooses a longer one.
    groups, axes, channels_last
        As for `conv_geometry`.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `conv_geometry`.

    Examples
    --------
    >>> geometry, shape = conv_transpose_geometry("conv_transpose2d", (8, 16, 5, 5), (16, 3, 3, 3), stride=2)
    >>> shape
    (8, 3, 11, 11)
    >>> geometry.input, geometry.output, geometry.in_channels, geometry.out_channels
    ((1, 11, 11), (1, 5, 5), 3, 16)
    """
    return _conv_transpose_geometry(
        function,
        input_shape,
        weight_shape,
        canonical(function, "stride", stride),
        canonical(function, "padding", padding),
        canonical(function, "output_padding", output_padding),
        canonical(function, "dilation", dilation),
        canonical(function, "groups", groups),
        axes,
        channels_last,
    )


@lru_cache(maxsize=1024)
def linear_geometry(
    function: str, input_shape: Shape, weight_shape: Shape, channels_last: bool = False
) -> tuple[Geometry, Shape]:
    """Geometry and output shape of a linear map: a 1x1 convolution of images of one pixel.

    Parameters
    ----------
    function : str
        Name of the caller, for error messages.
    input_shape : tuple of int
        (..., in_features).
    weight_shape : tuple of int
        (out_features, in_features), (in_features, out_features) with `channels_last`, or (in_features,), for which
        the output has no feature axis.
    channels_last : bool
        Order of the axes of `weight_shape`.

    Examples
    --------
    >>> geometry, shape = linear_geometry("linear", (2, 7, 3), (5, 3))
    >>> shape
    (2, 7, 5)
    >>> geometry.batch, geometry.in_channels, geometry.out_channels
    (14, 3, 5)
    """
    if not input_shape:
        raise ValueError(f"{function}: input must have at least one axis, got shape ()")
    if len(weight_shape) not in (1, 2):
        raise ValueError(f"{function}: weight must have one or two axes, got shape {weight_shape}")
    features = input_shape[-1]
    in_axis = 0 if channels_last else -1
    if weight_shape[in_axis] != features:
        expected = f"({features}, out)" if channels_last else f"(out, {features})"
        raise ValueError(
            f"{function}: weight must have shape {expected} for {features} input features, got {weight_shape}"
        )
    out_features = () if len(weight_shape) == 1 else (weight_shape[-1 - in_axis],)
    one, zero = (1, 1, 1), (0, 0, 0)
    rows = math.prod(input_shape[:-1])
    geometry = Geometry(rows, features, *(out_features or (1,)), 1, one, one, one, one, one, zero, zero)
    return geometry, input_shape[:-1] + out_features


@lru_cache(maxsize=1024)
def _conv_geometry(
    function: str,
    input_shape: Shape,
    weight_shape: Shape,
    stride: Canonical,
    padding: Canonical,
    dilation: Canonical,
    groups: Canonical,
    axes: int,
    channels_last: bool,
) -> tuple[Geometry, Shape]:
    batch, in_channels, sizes = split_shape(function, input_shape, axes, channels_last)
    check_groups(function, groups, in_channels)
    out_channels, kernel = split_weight(function, weight_shape, in_channels, groups, axes, channels_last)
    strides = per_axis(function, "stride", stride, axes, 1)
    dilations = per_axis(function, "dilation", dilation, axes, 1)
    pads = padding_sizes(function, padding, sizes, kernel, strides, dilations)
    output = output_sizes(function, sizes, kernel, strides, dilations, pads, False)
    geometry = make_geometry(batch, in_channels, out_channels, groups, sizes, output, kernel, strides, dilations, pads)
    return geometry, output_shape(function, input_shape, out_channels, output, channels_last)


@lru_cache(maxsize=1024)
def _conv_transpose_geometry(
    function: str,
    input_shape: Shape,
    weight_shape: Shape,
    stride: Canonical,
    padding: Canonical,
    output_padding: Canonical,
    dilation: Canonical,
    groups: Canonical,
    axes: int,
    channels_last: bool,
) -> tuple[Geometry, Shape]:
    batch, in_channels, sizes = split_shape(function, input_shape, axes, channels_last)
    check_groups(function, groups, in_channels)
    out_channels, kernel = split_transposed_weight(function, weight_shape, in_channels, groups, axes, channels_last)
    strides = per_axis(function, "stride", stride, axes, 1)
    dilations = per_axis(function, "dilation", dilation, axes, 1)
    extras = per_axis(function, "output_padding", output_padding, axes, 0)
    whole = tuple(size * s for size, s in zip(sizes, strides, strict=True))
    pads = padding_sizes(function, padding, whole, kernel, strides, dilations)
    for name, s, r, extra in zip(AXIS_NAMES[axes], strides, dilations, extras, strict=True):
        if extra >= max(s, r):
            raise ValueError(
                f"{function}: output_padding must be smaller than stride or dilation, max({s}, {r}) = {max(s, r)} for "
                f"{name}, got {extra}"
            )
    if padding != "same":
        output = transposed_outputs(function, sizes, kernel, strides, dilations, pads, extras)
    elif any(extras):
        raise ValueError(f"{function}: output_padding must be 0 with padding 'same', got {output_padding!r}")
    else:
        output = whole
    geometry = make_geometry(batch, out_channels, in_channels, groups, output, sizes, kernel, strides, dilations, pads)
    return geometry, output_shape(function, input_shape, out_channels, output, channels_last)
