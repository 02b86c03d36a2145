"""Windows of images as columns of a matrix and back: im2col and col2im."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastconv._checks import Array, check_shape, deliver, to_arrays
from fastconv.geometry import Geometry, fold_geometry, unfold_geometry


def unfold(input: ArrayLike, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Array:
    r"""Copy each window of an image to a column (im2col).

    .. math:: y[n,\; (c \, k_h + u) k_w + v,\; i \, o_w + j] = x[n, c,\; i s_h + u r_h - p_t,\; j s_w + v r_w - p_l]

    with zero outside of `x`. A convolution is then one matrix product: ``weight.reshape(c_out, -1) @ unfold(x)``.

    Parameters
    ----------
    input : array_like, shape (n, c, ih, iw) or (c, ih, iw)
    kernel_size, dilation, stride : int or tuple of int
        At least 1; one number, or one for height and one for width.
    padding : int, tuple or str
        As for `conv2d`.

    Returns
    -------
    ndarray, shape (n, c * kh * kw, oh * ow) or (c * kh * kw, oh * ow)
        In the dtype of `input`; integers and booleans are promoted by ``np.result_type(..., np.float32)``.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `conv2d`.

    See Also
    --------
    fold : adds the columns up again; the transposed map and the gradient.

    Notes
    -----
    The result is ``kh * kw / (s_h * s_w)`` times as large as the input. ``conv2d(..., algorithm="im2col")`` makes the
    same copy in blocks that stay in the cache.

    References
    ----------
    ``torch.nn.functional.unfold`` for the signature. K. Chellapilla, S. Puri, P. Simard, "High Performance
    Convolutional Neural Networks for Document Processing", 2006, section 3.1, for the method.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> image = np.arange(9.0).reshape(1, 3, 3)
    >>> F.unfold(image, 2)
    array([[0., 1., 3., 4.],
           [1., 2., 4., 5.],
           [3., 4., 6., 7.],
           [4., 5., 7., 8.]])
    """
    (x,), dtype = to_arrays("unfold", ("input",), (input,))
    geometry = unfold_geometry("unfold", x.shape, kernel_size, dilation, padding, stride)
    return deliver(_to_columns(geometry, x), None, dtype)


def unfold_backward(
    grad_output: ArrayLike,
    input: ArrayLike,
    kernel_size: Any,
    dilation: Any = 1,
    padding: Any = 0,
    stride: Any = 1,
) -> Array:
    """Gradient of `unfold`: `fold` of the gradient of its output.

    Parameters
    ----------
    grad_output : array_like, shape (n, c * kh * kw, oh * ow) or (c * kh * kw, oh * ow)
        Gradient of the output.
    input, kernel_size, dilation, padding, stride
        As they were given to `unfold`. The values of `input` do not matter.

    Returns
    -------
    ndarray
        In the shape of `input`; the dtype is ``np.result_type`` of both arrays by the rule of `conv2d`.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `unfold`; also a `grad_output` of another shape than the output.

    Examples
    --------
    Each element counts the windows that it is in:

    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> F.unfold_backward(np.ones((4, 4)), np.zeros((1, 3, 3)), 2)
    array([[[1., 2., 1.],
            [2., 4., 2.],
            [1., 2., 1.]]])
    """
    name = "unfold_backward"
    (gy, x), dtype = to_arrays(name, ("grad_output", "input"), (grad_output, input))
    geometry = unfold_geometry(name, x.shape, kernel_size, dilation, padding, stride)
    check_shape(name, "grad_output", gy, _columns_shape(geometry, x.shape), ", that of the output")
    return deliver(_to_images(geometry, gy, x.shape), None, dtype)


def fold(
    input: ArrayLike, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Array:
    r"""Add columns up to images, each number where `unfold` would have taken it from (col2im).

    .. math:: y[n, c, p, q] = \sum_{i, j, u, v} x[n,\; (c \, k_h + u) k_w + v,\; i \, o_w + j]
              \quad \text{where } i s_h + u r_h - p_t = p, \; j s_w + v r_w - p_l = q

    Parameters
    ----------
    input : array_like, shape (n, c * kh * kw, oh * ow) or (c * kh * kw, oh * ow)
        Columns as `unfold` makes them from images of `output_size`.
    output_size : int or tuple of int
        Height and width of the images.
    kernel_size, dilation, padding, stride
        As for `unfold`.

    Returns
    -------
    ndarray, shape (n, c, h, w) or (c, h, w)
        Windows that overlap are summed, kernel element by kernel element; what falls on the padding is left out. In the
        dtype of `input`; integers and booleans are promoted by ``np.result_type(..., np.float32)``.

    Raises
    ------
    TypeError, ValueError
        As `unfold`; also an input whose shape contradicts the windows.

    See Also
    --------
    unfold : the transposed map.

    References
    ----------
    ``torch.nn.functional.fold``.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> columns = F.unfold(np.arange(16.0).reshape(1, 4, 4), 2, stride=2)
    >>> F.fold(columns, 4, 2, stride=2)
    array([[[ 0.,  1.,  2.,  3.],
            [ 4.,  5.,  6.,  7.],
            [ 8.,  9., 10., 11.],
            [12., 13., 14., 15.]]])
    """
    (x,), dtype = to_arrays("fold", ("input",), (input,))
    geometry, shape = fold_geometry("fold", x.shape, output_size, kernel_size, dilation, padding, stride)
    return deliver(_to_images(geometry, x, shape), None, dtype)


def fold_backward(
    grad_output: ArrayLike,
    input: ArrayLike,
    output_size: Any,
    kernel_size: Any,
    dilation: Any = 1,
    padding: Any = 0,
    stride: Any = 1,
) -> Array:
    """Gradient of `fold`: `unfold` of the gradient of its output.

    Parameters
    ----------
    grad_output : array_like, shape (n, c, h, w) or (c, h, w)
        Gradient of the output.
    input, output_size, kernel_size, dilation, padding, stride
        As they were given to `fold`. The values of `input` do not matter.

    Returns
    -------
    ndarray
        In the shape of `input`; the dtype is ``np.result_type`` of both arrays by the rule of `conv2d`.

    Raises
    ------
    TypeError, ValueError
        As `fold`; also a `grad_output` of another shape than the output.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> F.fold_backward(np.array([[[1.0, 2.0, 3.0]]]), np.zeros((2, 2)), (1, 3), (1, 2))
    array([[1., 2.],
           [2., 3.]])
    """
    name = "fold_backward"
    (gy, x), dtype = to_arrays(name, ("grad_output", "input"), (grad_output, input))
    geometry, shape = fold_geometry(name, x.shape, output_size, kernel_size, dilation, padding, stride)
    check_shape(name, "grad_output", gy, shape, ", that of the output")
    return deliver(_to_columns(geometry, gy), None, dtype)


def _columns_shape(geometry: Geometry, image_shape: tuple[int, ...]) -> tuple[int, ...]:
    (_, kh, kw), (_, oh, ow) = geometry.kernel, geometry.output
    return (*image_shape[:-3], geometry.in_channels * kh * kw, oh * ow)


def _to_columns(geometry: Geometry, images: Array) -> Array:
    (_, ih, iw), (_, oh, ow), (_, kh, kw) = geometry.input, geometry.output, geometry.kernel
    # Only padding leaves elements that no copy reaches.
    make = np.zeros if any(geometry.pad_lo + geometry.pad_hi) else np.empty
    columns = make((geometry.batch, geometry.in_channels, kh, kw, oh, ow), images.dtype)
    batch = images.reshape(geometry.batch, geometry.in_channels, ih, iw)
    for windows, pixels in _taps(geometry):
        columns[windows] = batch[pixels]
    return columns.reshape(_columns_shape(geometry, images.shape))


def _to_images(geometry: Geometry, columns: Array, shape: tuple[int, ...]) -> Array:
    (_, ih, iw), (_, oh, ow), (_, kh, kw) = geometry.input, geometry.output, geometry.kernel
    images = np.zeros((geometry.batch, geometry.in_channels, ih, iw), columns.dtype)
    batch = columns.reshape(geometry.batch, geometry.in_channels, kh, kw, oh, ow)
    for windows, pixels in _taps(geometry):
        images[pixels] += batch[windows]
    return images.reshape(shape)


def _taps(geometry: Geometry) -> Iterator[tuple[tuple[Any, ...], tuple[Any, ...]]]:
    """For each kernel element, indices of the windows where it meets the image, and of the pixels that it meets."""
    rows, columns = _meetings(geometry, 1), _meetings(geometry, 2)
    for u, windows_i, pixels_i in rows:
        for v, windows_j, pixels_j in columns:
            yield (..., u, v, windows_i, windows_j), (..., pixels_i, pixels_j)


def _meetings(geometry: Geometry, axis: int) -> list[tuple[int, slice, slice]]:
    """Along one axis: (kernel element, windows, pixels), where there is any."""
    size, out, stride = geometry.input[axis], geometry.output[axis], geometry.stride[axis]
    found = []
    for k in range(geometry.kernel[axis]):
        start = k * geometry.dilation[axis] - geometry.pad_lo[axis]
        first = max(-(start // stride), 0)
        last = min((size - 1 - start) // stride, out - 1)
        if first <= last:
            pixels = slice(first * stride + start, last * stride + start + 1, stride)
            found.append((k, slice(first, last + 1), pixels))
    return found
