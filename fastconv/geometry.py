"""From stride, padding and dilation as users write them to one Geometry, the only description of a window that the
core knows.

The forms, for two spatial axes (one and three go alike):

- ``kernel_size``, ``stride``, ``dilation``: ``3``, ``(3,)``, ``(3, 5)``, or a list or array of these; for pooling a
  ``stride`` of ``None`` or ``()`` means the kernel size.
- ``padding``: ``1`` pads each side by 1. ``(1, 2)`` has one number per axis: height by 1 and width by 2 on both
  sides. ``((1, 2), (0, 1))`` has a pair (before, after) per axis. So numbers inside one tuple are always axes, and only
  a tuple inside a tuple is a pair: ``((1, 2),)`` is that pair on every axis, and ``(1, (0, 1))`` mixes the two.
  ``"valid"`` is no padding. ``"same"`` gives ``ceil(in / stride)`` outputs as TensorFlow and Keras do: of ``total =
  max((out - 1) * stride + dilation * (kernel - 1) + 1 - in, 0)``, ``total // 2`` come before and the rest after.
"""

import math
import operator
from functools import lru_cache
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
        _canonical(function, "stride", stride),
        _canonical(function, "padding", padding),
        _canonical(function, "dilation", dilation),
        _canonical(function, "groups", groups),
        axes,
        channels_last,
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
        _canonical(function, "kernel_size", kernel_size),
        () if stride is None else _canonical(function, "stride", stride),
        _canonical(function, "padding", padding),
        _canonical(function, "dilation", dilation),
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
    sizes = tuple(None if size is None else _canonical(function, "output_size", size) for size in given)
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
        _canonical(function, "kernel_size", kernel_size),
        () if stride is None else _canonical(function, "stride", stride),
        _canonical(function, "padding", padding),
        None if output_size is None else _canonical(function, "output_size", output_size),
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
        _canonical(function, "stride", stride),
        _canonical(function, "padding", padding),
        _canonical(function, "output_padding", output_padding),
        _canonical(function, "dilation", dilation),
        _canonical(function, "groups", groups),
        axes,
        channels_last,
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
        _canonical(function, "kernel_size", kernel_size),
        _canonical(function, "dilation", dilation),
        _canonical(function, "padding", padding),
        _canonical(function, "stride", stride),
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
        _canonical(function, "output_size", output_size),
        _canonical(function, "kernel_size", kernel_size),
        _canonical(function, "dilation", dilation),
        _canonical(function, "padding", padding),
        _canonical(function, "stride", stride),
        axes,
    )


AXIS_NAMES = {1: ("width",), 2: ("height", "width"), 3: ("depth", "height", "width")}
# Past any kernel, stride or padding in use, and small enough that sums of them stay within 64 bits.
_LIMIT = 2**31 - 1
_MAX_ELEMENTS = 2**59

# An integer, a string, or nested tuples of them: what a look-up can tell apart. (A float must not get there, since
# 1.0 == 1 would make its refusal depend on earlier calls.)
_Canonical = Any


def _canonical(function: str, name: str, value: Any) -> _Canonical:
    if type(value) is int:
        return value
    if isinstance(value, tuple | list):
        return tuple([item if type(item) is int else _canonical(function, name, item) for item in value])
    if isinstance(value, np.ndarray):
        return _canonical(function, name, value.tolist())
    if isinstance(value, str) and name == "padding":
        return value
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{function}: {name} must consist of integers, got {value!r}") from None


@lru_cache(maxsize=1024)
def _conv_geometry(
    function: str,
    input_shape: Shape,
    weight_shape: Shape,
    stride: _Canonical,
    padding: _Canonical,
    dilation: _Canonical,
    groups: _Canonical,
    axes: int,
    channels_last: bool,
) -> tuple[Geometry, Shape]:
    batch, in_channels, sizes = _split(function, input_shape, axes, channels_last)
    _check_groups(function, groups, in_channels)
    out_channels, kernel = _split_weight(function, weight_shape, in_channels, groups, axes, channels_last)
    strides = _per_axis(function, "stride", stride, axes, 1)
    dilations = _per_axis(function, "dilation", dilation, axes, 1)
    pads = _pads(function, padding, sizes, kernel, strides, dilations)
    output = _outputs(function, sizes, kernel, strides, dilations, pads, False)
    geometry = _geometry(batch, in_channels, out_channels, groups, sizes, output, kernel, strides, dilations, pads)
    return geometry, _output_shape(function, input_shape, out_channels, output, channels_last)


@lru_cache(maxsize=1024)
def _pool_geometry(
    function: str,
    input_shape: Shape,
    kernel_size: _Canonical,
    stride: _Canonical,
    padding: _Canonical,
    dilation: _Canonical,
    ceil_mode: bool,
    axes: int,
    channels_last: bool,
) -> tuple[Geometry, Shape]:
    batch, channels, sizes = _split_pooled(function, input_shape, axes, channels_last)
    kernel = _per_axis(function, "kernel_size", kernel_size, axes, 1)
    strides = kernel if stride == () else _per_axis(function, "stride", stride, axes, 1)
    dilations = _per_axis(function, "dilation", dilation, axes, 1)
    pads = _pool_pads(function, padding, sizes, kernel, strides, dilations)
    output = _outputs(function, sizes, kernel, strides, dilations, pads, ceil_mode)
    geometry = _geometry(batch, channels, channels, channels, sizes, output, kernel, strides, dilations, pads)
    return geometry, _output_shape(function, input_shape, channels, output, channels_last)


def _pool_pads(
    function: str, padding: _Canonical, sizes: Shape, kernel: Shape, strides: Shape, dilations: Shape
) -> tuple[tuple[int, int], ...]:
    pads = _pads(function, padding, sizes, kernel, strides, dilations)
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
    output_size: tuple[_Canonical | None, ...],
    axes: int,
    channels_last: bool,
) -> tuple[Geometry, Shape]:
    batch, channels, sizes = _split_pooled(function, input_shape, axes, channels_last)
    wanted = output_size * axes if len(output_size) == 1 else output_size
    if len(wanted) == axes:
        wanted = tuple(size if out is None else out for size, out in zip(sizes, wanted, strict=True))
    output = _per_axis(function, "output_size", wanted, axes, 0)
    ones = (1,) * axes
    geometry = _geometry(batch, channels, channels, channels, sizes, output, ones, ones, ones, ((0, 0),) * axes)
    return geometry, _output_shape(function, input_shape, channels, output, channels_last)


@lru_cache(maxsize=1024)
def _unpool_geometry(
    function: str,
    input_shape: Shape,
    kernel_size: _Canonical,
    stride: _Canonical,
    padding: _Canonical,
    output_size: _Canonical | None,
    axes: int,
    channels_last: bool,
) -> tuple[Geometry, Shape]:
    batch, channels, sizes = _split_pooled(function, input_shape, axes, channels_last)
    kernel = _per_axis(function, "kernel_size", kernel_size, axes, 1)
    strides = kernel if stride == () else _per_axis(function, "stride", stride, axes, 1)
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
    geometry = _geometry(batch, channels, channels, channels, output, sizes, kernel, strides, ones, pads)
    return geometry, _output_shape(function, input_shape, channels, output, channels_last)


def _unpooled_sizes(function: str, output_size: _Canonical, usual: Shape, strides: Shape, channels_last: bool) -> Shape:
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


@lru_cache(maxsize=1024)
def _conv_transpose_geometry(
    function: str,
    input_shape: Shape,
    weight_shape: Shape,
    stride: _Canonical,
    padding: _Canonical,
    output_padding: _Canonical,
    dilation: _Canonical,
    groups: _Canonical,
    axes: int,
    channels_last: bool,
) -> tuple[Geometry, Shape]:
    batch, in_channels, sizes = _split(function, input_shape, axes, channels_last)
    _check_groups(function, groups, in_channels)
    out_channels, kernel = _split_transposed_weight(function, weight_shape, in_channels, groups, axes, channels_last)
    strides = _per_axis(function, "stride", stride, axes, 1)
    dilations = _per_axis(function, "dilation", dilation, axes, 1)
    extras = _per_axis(function, "output_padding", output_padding, axes, 0)
    whole = tuple(size * s for size, s in zip(sizes, strides, strict=True))
    pads = _pads(function, padding, whole, kernel, strides, dilations)
    for name, s, r, extra in zip(AXIS_NAMES[axes], strides, dilations, extras, strict=True):
        if extra >= max(s, r):
            raise ValueError(
                f"{function}: output_padding must be smaller than stride or dilation, max({s}, {r}) = {max(s, r)} for "
                f"{name}, got {extra}"
            )
    if padding != "same":
        output = _transposed_outputs(function, sizes, kernel, strides, dilations, pads, extras)
    elif any(extras):
        raise ValueError(f"{function}: output_padding must be 0 with padding 'same', got {output_padding!r}")
    else:
        output = whole
    geometry = _geometry(batch, out_channels, in_channels, groups, output, sizes, kernel, strides, dilations, pads)
    return geometry, _output_shape(function, input_shape, out_channels, output, channels_last)


@lru_cache(maxsize=1024)
def _unfold_geometry(
    function: str,
    input_shape: Shape,
    kernel_size: _Canonical,
    dilation: _Canonical,
    padding: _Canonical,
    stride: _Canonical,
    axes: int,
) -> Geometry:
    batch, channels, sizes = _split(function, input_shape, axes, False)
    kernel = _per_axis(function, "kernel_size", kernel_size, axes, 1)
    strides = _per_axis(function, "stride", stride, axes, 1)
    dilations = _per_axis(function, "dilation", dilation, axes, 1)
    pads = _pads(function, padding, sizes, kernel, strides, dilations)
    output = _outputs(function, sizes, kernel, strides, dilations, pads, False)
    _output_shape(function, input_shape, channels * math.prod(kernel), output, False)
    return _geometry(batch, channels, channels, channels, sizes, output, kernel, strides, dilations, pads)


@lru_cache(maxsize=1024)
def _fold_geometry(
    function: str,
    input_shape: Shape,
    output_size: _Canonical,
    kernel_size: _Canonical,
    dilation: _Canonical,
    padding: _Canonical,
    stride: _Canonical,
    axes: int,
) -> tuple[Geometry, Shape]:
    if len(input_shape) not in (2, 3):
        raise ValueError(
            f"{function}: input must have shape (n, c * kernel elements, windows) or (c * kernel elements, windows), "
            f"got {input_shape}"
        )
    sizes = _per_axis(function, "output_size", output_size, axes, 1)
    taps = math.prod(_per_axis(function, "kernel_size", kernel_size, axes, 1))
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


def _layout(axes: int, channels_last: bool) -> tuple[str, ...]:
    letters = tuple(name[0] for name in AXIS_NAMES[axes])
    return (*letters, "c") if channels_last else ("c", *letters)


def _text(parts: tuple[Any, ...]) -> str:
    return f"({', '.join(map(str, parts))})"


def _split(function: str, shape: Shape, axes: int, channels_last: bool) -> tuple[int, int, Shape]:
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


def _split_pooled(function: str, shape: Shape, axes: int, channels_last: bool) -> tuple[int, int, Shape]:
    batch, channels, sizes = _split(function, shape, axes, channels_last)
    if channels == 0:
        raise ValueError(f"{function}: input must have at least one channel, got shape {shape}")
    return batch, channels, sizes


def _check_groups(function: str, groups: _Canonical, in_channels: int) -> None:
    if not isinstance(groups, int) or not 1 <= groups <= _LIMIT:
        raise ValueError(f"{function}: groups must be a positive integer, got {groups!r}")
    if in_channels % groups:
        raise ValueError(f"{function}: groups must divide the {in_channels} input channels, got {groups}")


def _split_weight(
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


def _split_transposed_weight(
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


def _spread(value: _Canonical, axes: int) -> _Canonical:
    """One value for each axis, where there is one for all."""
    if isinstance(value, int):
        return (value,) * axes
    return value * axes if isinstance(value, tuple) and len(value) == 1 else value


def _per_axis(function: str, name: str, value: _Canonical, axes: int, minimum: int) -> Shape:
    values = _spread(value, axes)
    if not isinstance(values, tuple) or len(values) != axes or not all(isinstance(item, int) for item in values):
        raise ValueError(f"{function}: {name} must be an integer or {_several(axes, 'integer')}, got {value!r}")
    _check_range(function, name, value, values, minimum)
    return values


def _several(axes: int, noun: str) -> str:
    return f"a tuple of one {noun}" if axes == 1 else f"{axes} {noun}s"


def _check_range(function: str, name: str, value: _Canonical, numbers: Shape, minimum: int) -> None:
    if min(numbers) < minimum:
        raise ValueError(f"{function}: {name} must be at least {minimum}, got {value!r}")
    if max(numbers) > _LIMIT:
        raise ValueError(f"{function}: {name} must be at most {_LIMIT}, got {value!r}")


def _pads(
    function: str, padding: _Canonical, sizes: Shape, kernel: Shape, strides: Shape, dilations: Shape
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


def _is_pair(item: _Canonical) -> bool:
    return isinstance(item, tuple) and len(item) == 2 and all(isinstance(number, int) for number in item)


def _outputs(
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


def _transposed_outputs(
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


def _output_shape(function: str, input_shape: Shape, channels: int, output: Shape, channels_last: bool) -> Shape:
    image = (*output, channels) if channels_last else (channels, *output)
    shape = input_shape[: len(input_shape) - len(image)] + image
    if math.prod(shape) > _MAX_ELEMENTS:
        raise MemoryError(f"{function}: output of shape {shape} has {math.prod(shape)} elements, past any memory")
    return shape


def _geometry(
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
