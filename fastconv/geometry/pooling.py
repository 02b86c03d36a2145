"""Pooling, adaptive pooling and its undoing."""

from functools import lru_cache
from typing import Any

import numpy as np

from fastconv.geometry._forms import (
    AXIS_NAMES,
    Canonical,
    Geometry,
    Shape,
    canonical,
    make_geometry,
    output_shape,
    output_sizes,
    padding_sizes,
    per_axis,
    split_pooled,
)


def pool_geometry(
    function: str,
    input_shape: Shape,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    *,
    axes: int = 2,
    channels_last: bool = False,
) -> tuple[Geometry, Shape]:
    """Geometry and output shape of a pooling.

    As `conv_geometry`, but the kernel size is an argument, the stride defaults to it, and a padding given in numbers
    is at most half of it (torch's rule). With `ceil_mode` the number of outputs is rounded up,
    and the last window is dropped again if it would start past the input and its left padding (torch's rule).

    Examples
    --------
    >>> pool_geometry("max_pool2d", (1, 4, 7, 7), 2)[1]
    (1, 4, 3, 3)
    >>> pool_geometry("max_pool2d", (1, 4, 7, 7), 2, ceil_mode=True)[1]
    (1, 4, 4, 4)
    """
    return _pool_geometry(
        function,
        input_shape,
        canonical(function, "kernel_size", kernel_size),
        () if stride is None else canonical(function, "stride", stride),
        canonical(function, "padding", padding),
        canonical(function, "dilation", dilation),
        bool(ceil_mode),
        axes,
        channels_last,
    )


def adaptive_pool_geometry(
    function: str, input_shape: Shape, output_size: Any, *, axes: int = 2, channels_last: bool = False
) -> tuple[Geometry, Shape]:
    """Geometry and output shape of an adaptive pooling.

    Window ``o`` of an axis begins at ``floor(o * in / out)`` and ends before ``ceil((o + 1) * in / out)``. The core
    finds them: `kernel`, `stride` and padding of the geometry stand for nothing.

    Parameters
    ----------
    output_size : int, None or tuple of these
        ``out`` of each axis, or one for all; None keeps the size of the input. 0 gives an empty output (torch's rule).

    Examples
    --------
    >>> adaptive_pool_geometry("adaptive_avg_pool2d", (1, 4, 7, 7), (None, 3))[1]
    (1, 4, 7, 3)
    """
    given = output_size if isinstance(output_size, tuple | list | np.ndarray) else (output_size,)
    sizes = tuple(None if size is None else canonical(function, "output_size", size) for size in given)
    return _adaptive_pool_geometry(function, input_shape, sizes, axes, channels_last)


def unpool_geometry(
    function: str,
    input_shape: Shape,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
    *,
    axes: int = 2,
    channels_last: bool = False,
) -> tuple[Geometry, Shape]:
    """Geometry of the pooling that a max unpooling undoes, and the unpooling's output shape.

    Arguments are as for `pool_geometry`, but `input_shape` is that of pooled images: the `output` of the geometry. On
    each axis ``out = (in - 1) * stride - before - after + kernel``, ``in * stride`` with padding "same", or what
    `output_size` says, which is less than one stride away from that (torch's rule).

    Parameters
    ----------
    output_size : tuple of int, optional
        The spatial sizes, or the whole shape, of the images before they were pooled.

    Examples
    --------
    >>> geometry, shape = unpool_geometry("max_unpool2d", (1, 4, 3, 3), 2, output_size=(7, 6))
    >>> shape
    (1, 4, 7, 6)
    >>> geometry.input, geometry.output
    ((1, 7, 6), (1, 3, 3))
    """
    return _unpool_geometry(
        function,
        input_shape,
        canonical(function, "kernel_size", kernel_size),
        () if stride is None else canonical(function, "stride", stride),
        canonical(function, "padding", padding),
        None if output_size is None else canonical(function, "output_size", output_size),
        axes,
        channels_last,
    )


@lru_cache(maxsize=1024)
def _pool_geometry(
    function: str,
    input_shape: Shape,
    kernel_size: Canonical,
    stride: Canonical,
    padding: Canonical,
    dilation: Canonical,
    ceil_mode: bool,
    axes: int,
    channels_last: bool,
) -> tuple[Geometry, Shape]:
    batch, channels, sizes = split_pooled(function, input_shape, axes, channels_last)
    kernel = per_axis(function, "kernel_size", kernel_size, axes, 1)
    strides = kernel if stride == () else per_axis(function, "stride", stride, axes, 1)
    dilations = per_axis(function, "dilation", dilation, axes, 1)
    pads = _pool_pads(function, padding, sizes, kernel, strides, dilations)
    output = output_sizes(function, sizes, kernel, strides, dilations, pads, ceil_mode)
    geometry = make_geometry(batch, channels, channels, channels, sizes, output, kernel, strides, dilations, pads)
    return geometry, output_shape(function, input_shape, channels, output, channels_last)


def _pool_pads(
    function: str, padding: Canonical, sizes: Shape, kernel: Shape, strides: Shape, dilations: Shape
) -> tuple[tuple[int, int], ...]:
    pads = padding_sizes(function, padding, sizes, kernel, strides, dilations)
    for name, k, pad in zip(AXIS_NAMES[len(sizes)], kernel, pads, strict=True):
        if max(pad) > k // 2 and padding != "same":
            raise ValueError(
                f"{function}: padding must be at most half of kernel_size, {k}//2 = {k // 2} for {name}, got {max(pad)}"
            )
    return pads


@lru_cache(maxsize=1024)
def _adaptive_pool_geometry(
    function: str,
    input_shape: Shape,
    output_size: tuple[Canonical | None, ...],
    axes: int,
    channels_last: bool,
) -> tuple[Geometry, Shape]:
    batch, channels, sizes = split_pooled(function, input_shape, axes, channels_last)
    wanted = output_size * axes if len(output_size) == 1 else output_size
    if len(wanted) == axes:
        wanted = tuple(size if out is None else out for size, out in zip(sizes, wanted, strict=True))
    output = per_axis(function, "output_size", wanted, axes, 0)
    ones = (1,) * axes
    geometry = make_geometry(batch, channels, channels, channels, sizes, output, ones, ones, ones, ((0, 0),) * axes)
    return geometry, output_shape(function, input_shape, channels, output, channels_last)


@lru_cache(maxsize=1024)
def _unpool_geometry(
    function: str,
    input_shape: Shape,
    kernel_size: Canonical,
    stride: Canonical,
    padding: Canonical,
    output_size: Canonical | None,
    axes: int,
    channels_last: bool,
) -> tuple[Geometry, Shape]:
    batch, channels, sizes = split_pooled(function, input_shape, axes, channels_last)
    kernel = per_axis(function, "kernel_size", kernel_size, axes, 1)
    strides = kernel if stride == () else per_axis(function, "stride", stride, axes, 1)
    ones = (1,) * axes
    whole = tuple(size * s for size, s in zip(sizes, strides, strict=True))
    pads = _pool_pads(function, padding, whole, kernel, strides, ones)
    usual = tuple(
        size * s if padding == "same" else (size - 1) * s - lo - hi + k
        for size, k, s, (lo, hi) in zip(sizes, kernel, strides, pads, strict=True)
    )
    output = usual if output_size is None else _unpooled_sizes(function, output_size, usual, strides, channels_last)
    if min(output) < 1:
        raise ValueError(f"{function}: output must have at least one pixel on each axis, got sizes {output}")
    geometry = make_geometry(batch, channels, channels, channels, output, sizes, kernel, strides, ones, pads)
    return geometry, output_shape(function, input_shape, channels, output, channels_last)


def _unpooled_sizes(function: str, output_size: Canonical, usual: Shape, strides: Shape, channels_last: bool) -> Shape:
    """Return the spatial part of `output_size`, which must be within a stride of the usual sizes."""
    axes = len(usual)
    given = output_size if isinstance(output_size, tuple) else ()
    if len(given) == axes + 2:
        given = given[1:-1] if channels_last else given[2:]
    if len(given) != axes or not all(isinstance(size, int) for size in given):
        raise ValueError(f"{function}: output_size must consist of {axes} or {axes + 2} integers, got {output_size!r}")
    for name, size, middle, s in zip(AXIS_NAMES[axes], given, usual, strides, strict=True):
        if not middle - s < size < middle + s:
            raise ValueError(
                f"{function}: output_size must be more than {middle} - {s} and less than {middle} + {s} for {name}, "
                f"got {size}"
            )
    return given
