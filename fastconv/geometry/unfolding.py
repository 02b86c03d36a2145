"""Windows as columns, and back."""

import math
from functools import lru_cache
from typing import Any

from fastconv.geometry._forms import (
    Canonical,
    Geometry,
    Shape,
    canonical,
    make_geometry,
    output_shape,
    output_sizes,
    padding_sizes,
    per_axis,
    split_shape,
)


def unfold_geometry(
    function: str,
    input_shape: Shape,
    kernel_size: Any,
    dilation: Any = 1,
    padding: Any = 0,
    stride: Any = 1,
    *,
    axes: int = 2,
) -> Geometry:
    """Geometry of the windows that `unfold` copies from channels-first images.

    Parameters
    ----------
    function : str
        Name of the caller, for error messages.
    input_shape : tuple of int
        (n, c, *spatial); the first axis may be absent.
    kernel_size, dilation, padding, stride
        See the module's text.
    axes : int
        Number of spatial axes, 1 to 3.

    Raises
    ------
    TypeError, ValueError
        As `pool_geometry`, but padding may be of any size.

    Examples
    --------
    >>> unfold_geometry("unfold", (8, 3, 10, 12), (4, 5)).output
    (1, 7, 8)
    """
    return _unfold_geometry(
        function,
        input_shape,
        canonical(function, "kernel_size", kernel_size),
        canonical(function, "dilation", dilation),
        canonical(function, "padding", padding),
        canonical(function, "stride", stride),
        axes,
    )


def fold_geometry(
    function: str,
    input_shape: Shape,
    output_size: Any,
    kernel_size: Any,
    dilation: Any = 1,
    padding: Any = 0,
    stride: Any = 1,
    *,
    axes: int = 2,
) -> tuple[Geometry, Shape]:
    """Geometry of the windows that `fold` adds up, and the shape of the channels-first images it makes.

    Parameters
    ----------
    function : str
        Name of the caller, for error messages.
    input_shape : tuple of int
        (n, c * kernel elements, windows), as `unfold` returns it; the first axis may be absent.
    output_size : int or tuple of int
        Spatial sizes of the images.
    kernel_size, dilation, padding, stride, axes
        As for `unfold_geometry`.

    Raises
    ------
    TypeError, ValueError
        As `unfold_geometry`; also an input whose shape contradicts the windows.

    Examples
    --------
    >>> geometry, shape = fold_geometry("fold", (8, 60, 56), (10, 12), (4, 5))
    >>> shape
    (8, 3, 10, 12)
    """
    return _fold_geometry(
        function,
        input_shape,
        canonical(function, "output_size", output_size),
        canonical(function, "kernel_size", kernel_size),
        canonical(function, "dilation", dilation),
        canonical(function, "padding", padding),
        canonical(function, "stride", stride),
        axes,
    )


@lru_cache(maxsize=1024)
def _unfold_geometry(
    function: str,
    input_shape: Shape,
    kernel_size: Canonical,
    dilation: Canonical,
    padding: Canonical,
    stride: Canonical,
    axes: int,
) -> Geometry:
    batch, channels, sizes = split_shape(function, input_shape, axes, False)
    kernel = per_axis(function, "kernel_size", kernel_size, axes, 1)
    strides = per_axis(function, "stride", stride, axes, 1)
    dilations = per_axis(function, "dilation", dilation, axes, 1)
    pads = padding_sizes(function, padding, sizes, kernel, strides, dilations)
    output = output_sizes(function, sizes, kernel, strides, dilations, pads, False)
    output_shape(function, input_shape, channels * math.prod(kernel), output, False)
    return make_geometry(batch, channels, channels, channels, sizes, output, kernel, strides, dilations, pads)


@lru_cache(maxsize=1024)
def _fold_geometry(
    function: str,
    input_shape: Shape,
    output_size: Canonical,
    kernel_size: Canonical,
    dilation: Canonical,
    padding: Canonical,
    stride: Canonical,
    axes: int,
) -> tuple[Geometry, Shape]:
    if len(input_shape) not in (2, 3):
        raise ValueError(
            f"{function}: input must have shape (n, c * kernel elements, windows) or (c * kernel elements, windows), "
            f"got {input_shape}"
        )
    sizes = per_axis(function, "output_size", output_size, axes, 1)
    taps = math.prod(per_axis(function, "kernel_size", kernel_size, axes, 1))
    rows, columns = input_shape[-2:]
    shape = (*input_shape[:-2], rows // taps, *sizes)
    geometry = _unfold_geometry(function, shape, kernel_size, dilation, padding, stride, axes)
    windows = math.prod(geometry.output)
    if rows % taps or columns != windows:
        kernel_text = "*".join(map(str, geometry.kernel[-axes:]))
        windows_text = "*".join(map(str, geometry.output[-axes:]))
        raise ValueError(
            f"{function}: input must have shape (n, c*{taps}, {windows}) for {kernel_text} kernel elements and "
            f"{windows_text} windows, got {input_shape}"
        )
    return geometry, shape
