"""Max unpooling over one, two and three axes, and its gradients."""

from typing import Any

from numpy.typing import ArrayLike

from fastconv import _core
from fastconv._checks import Array, channels_last, check_shape, deliver, to_arrays
from fastconv._memory import empty, empty_like
from fastconv.functional._pooling import outside, to_positions
from fastconv.geometry import unpool_geometry


def max_unpool1d(
    input: ArrayLike,
    indices: ArrayLike,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
    *,
    data_format: str = "channels_first",
) -> Array:
    r"""Put values back to where the maxima of `max_pool1d` were, with zero elsewhere.

    .. math:: y[n, c, \mathrm{indices}[n, c, j]] = x[n, c, j]

    Where an index occurs several times, as it does if windows overlap, the last value stays.

    Parameters
    ----------
    input : array_like, shape (n, c, iw) or (c, iw)
        With ``data_format="channels_last"``: (n, iw, c) or (iw, c). `n` may be 0.
    indices : array_like of int, of the input's shape
        From `max_pool1d` with ``return_indices=True``: columns in the output's channel.
    kernel_size, stride, padding
        As they were given to `max_pool1d`. They say how large the output is, and nothing else.
    output_size : tuple of int, optional
        The spatial sizes, or the whole shape, of what was pooled: several sizes give the same number of windows. By
        default ``(in - 1) * stride - before - after + kernel`` on each axis, ``in * stride`` with padding "same"; less
        than one stride away from that.
    data_format : {"channels_first", "channels_last"}

    Returns
    -------
    ndarray, shape (n, c, ow) or (c, ow)
        In the layout of the input, with a dtype by the rule of `max_pool2d`.

    Raises
    ------
    TypeError
        Complex, object or masked arrays; indices, sizes, stride or padding that are no integers.
    ValueError
        Indices of another shape than the input or outside of the output, those of -1 included, with which `max_pool1d`
        marks a window over padding alone; a size out of range.
    MemoryError
        No memory for the result.

    See Also
    --------
    max_unpool1d_backward : the gradient.

    References
    ----------
    ``torch.nn.functional.max_unpool1d``. Zeiler and Fergus, "Visualizing and Understanding Convolutional
    Networks", ECCV 2014, section 2.1.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> y, indices = F.max_pool1d(np.array([[3.0, 1.0, 4.0, 1.0, 5.0]]), 2, return_indices=True)
    >>> F.max_unpool1d(y, indices, 2, output_size=(5,))
    array([[3., 0., 4., 0., 0.]])
    """
    return _unpool("max_unpool1d", 1, input, indices, kernel_size, stride, padding, output_size, data_format)


def max_unpool1d_backward(
    grad_output: ArrayLike,
    input: ArrayLike,
    indices: ArrayLike,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
    *,
    data_format: str = "channels_first",
) -> Array:
    r"""Gradient of `max_unpool1d` by its input: what its indices find in the output's gradient.

    .. math::

        \frac{\partial L}{\partial x[n, c, j]} =
        \frac{\partial L}{\partial y[n, c, \mathrm{indices}[n, c, j]]}

    Values of which a later one took the place get its gradient as well, as in torch.

    Parameters
    ----------
    grad_output : array_like
        Gradient of the output, of the output's shape.
    input, indices, kernel_size, stride, padding, output_size, data_format
        As they were given to `max_unpool1d`. Of `input` only shape and dtype matter; `indices` have no gradient.

    Returns
    -------
    ndarray, of the input's shape
        Its dtype is ``np.result_type(grad_output, input)`` by the rule of `max_pool2d`.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `max_unpool1d`; also a `grad_output` of another shape than the output.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> F.max_unpool1d_backward(np.array([[1.0, 2.0, 3.0, 4.0]]), np.zeros((1, 2)), np.array([[1, 2]]), 2)
    array([[2., 3.]])
    """
    return _unpool_backward(
        "max_unpool1d_backward", 1, grad_output, input, indices, kernel_size, stride, padding, output_size, data_format
    )


def max_unpool2d(
    input: ArrayLike,
    indices: ArrayLike,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
    *,
    data_format: str = "channels_first",
) -> Array:
    r"""Put values back to where the maxima of `max_pool2d` were, with zero elsewhere.

    .. math:: y[n, c, \mathrm{indices}[n, c, i, j]] = x[n, c, i, j]

    Where an index occurs several times, as it does if windows overlap, the last value stays.

    Parameters
    ----------
    input : array_like, shape (n, c, ih, iw) or (c, ih, iw)
        With ``data_format="channels_last"``: (n, ih, iw, c) or (ih, iw, c). `n` may be 0.
    indices : array_like of int, of the input's shape
        From `max_pool2d` with ``return_indices=True``: positions ``row * ow + column`` in the output's channel.
    kernel_size, stride, padding
        As they were given to `max_pool2d`. They say how large the output is, and nothing else.
    output_size : tuple of int, optional
        The spatial sizes, or the whole shape, of what was pooled: several sizes give the same number of windows. By
        default ``(in - 1) * stride - before - after + kernel`` on each axis, ``in * stride`` with padding "same"; less
        than one stride away from that.
    data_format : {"channels_first", "channels_last"}

    Returns
    -------
    ndarray, shape (n, c, oh, ow) or (c, oh, ow)
        In the layout of the input, with a dtype by the rule of `max_pool2d`.

    Raises
    ------
    TypeError
        Complex, object or masked arrays; indices, sizes, stride or padding that are no integers.
    ValueError
        Indices of another shape than the input or outside of the output, those of -1 included, with which `max_pool2d`
        marks a window over padding alone; a size out of range.
    MemoryError
        No memory for the result.

    See Also
    --------
    max_unpool2d_backward : the gradient.

    References
    ----------
    ``torch.nn.functional.max_unpool2d``. Zeiler and Fergus, "Visualizing and Understanding Convolutional
    Networks", ECCV 2014, section 2.1.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> x = np.array([[[1.0, 2.0, 3.0, 4.0], [8.0, 7.0, 6.0, 5.0]]])
    >>> y, indices = F.max_pool2d(x, 2, return_indices=True)
    >>> F.max_unpool2d(y, indices, 2)
    array([[[0., 0., 0., 0.],
            [8., 0., 6., 0.]]])
    """
    return _unpool("max_unpool2d", 2, input, indices, kernel_size, stride, padding, output_size, data_format)


def max_unpool2d_backward(
    grad_output: ArrayLike,
    input: ArrayLike,
    indices: ArrayLike,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
    *,
    data_format: str = "channels_first",
) -> Array:
    r"""Gradient of `max_unpool2d` by its input: what its indices find in the output's gradient.

    .. math::

        \frac{\partial L}{\partial x[n, c, i, j]} =
        \frac{\partial L}{\partial y[n, c, \mathrm{indices}[n, c, i, j]]}

    Values of which a later one took the place get its gradient as well, as in torch.

    Parameters
    ----------
    grad_output : array_like
        Gradient of the output, of the output's shape.
    input, indices, kernel_size, stride, padding, output_size, data_format
        As they were given to `max_unpool2d`. Of `input` only shape and dtype matter; `indices` have no gradient.

    Returns
    -------
    ndarray, of the input's shape
        Its dtype is ``np.result_type(grad_output, input)`` by the rule of `max_pool2d`.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `max_unpool2d`; also a `grad_output` of another shape than the output.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> gy = np.array([[[1.0, 2.0], [3.0, 4.0]]])
    >>> F.max_unpool2d_backward(gy, np.zeros((1, 1, 1)), np.array([[[2]]]), 2)
    array([[[3.]]])
    """
    return _unpool_backward(
        "max_unpool2d_backward", 2, grad_output, input, indices, kernel_size, stride, padding, output_size, data_format
    )


def max_unpool3d(
    input: ArrayLike,
    indices: ArrayLike,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
    *,
    data_format: str = "channels_first",
) -> Array:
    r"""Put values back to where the maxima of `max_pool3d` were, with zero elsewhere.

    .. math:: y[n, c, \mathrm{indices}[n, c, h, i, j]] = x[n, c, h, i, j]

    Where an index occurs several times, as it does if windows overlap, the last value stays.

    Parameters
    ----------
    input : array_like, shape (n, c, id, ih, iw) or (c, id, ih, iw)
        With ``data_format="channels_last"``: (n, id, ih, iw, c) or (id, ih, iw, c). `n` may be 0.
    indices : array_like of int, of the input's shape
        From `max_pool3d` with ``return_indices=True``: positions
        ``(slice * oh + row) * ow + column`` in the output's channel.
    kernel_size, stride, padding
        As they were given to `max_pool3d`. They say how large the output is, and nothing else.
    output_size : tuple of int, optional
        The spatial sizes, or the whole shape, of what was pooled: several sizes give the same number of windows. By
        default ``(in - 1) * stride - before - after + kernel`` on each axis, ``in * stride`` with padding "same"; less
        than one stride away from that.
    data_format : {"channels_first", "channels_last"}

    Returns
    -------
    ndarray, shape (n, c, od, oh, ow) or (c, od, oh, ow)
        In the layout of the input, with a dtype by the rule of `max_pool2d`.

    Raises
    ------
    TypeError
        Complex, object or masked arrays; indices, sizes, stride or padding that are no integers.
    ValueError
        Indices of another shape than the input or outside of the output, those of -1 included, with which `max_pool3d`
        marks a window over padding alone; a size out of range.
    MemoryError
        No memory for the result.

    See Also
    --------
    max_unpool3d_backward : the gradient.

    References
    ----------
    ``torch.nn.functional.max_unpool3d``. Zeiler and Fergus, "Visualizing and Understanding Convolutional
    Networks", ECCV 2014, section 2.1.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> y, indices = F.max_pool3d(np.arange(8.0).reshape(1, 2, 2, 2), 2, return_indices=True)
    >>> F.max_unpool3d(y, indices, 2)[0, 1]
    array([[0., 0.],
           [0., 7.]])
    """
    return _unpool("max_unpool3d", 3, input, indices, kernel_size, stride, padding, output_size, data_format)


def max_unpool3d_backward(
    grad_output: ArrayLike,
    input: ArrayLike,
    indices: ArrayLike,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
    *,
    data_format: str = "channels_first",
) -> Array:
    r"""Gradient of `max_unpool3d` by its input: what its indices find in the output's gradient.

    .. math::

        \frac{\partial L}{\partial x[n, c, h, i, j]} =
        \frac{\partial L}{\partial y[n, c, \mathrm{indices}[n, c, h, i, j]]}

    Values of which a later one took the place get its gradient as well, as in torch.

    Parameters
    ----------
    grad_output : array_like
        Gradient of the output, of the output's shape.
    input, indices, kernel_size, stride, padding, output_size, data_format
        As they were given to `max_unpool3d`. Of `input` only shape and dtype matter; `indices` have no gradient.

    Returns
    -------
    ndarray, of the input's shape
        Its dtype is ``np.result_type(grad_output, input)`` by the rule of `max_pool2d`.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `max_unpool3d`; also a `grad_output` of another shape than the output.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> gy = np.arange(8.0).reshape(1, 2, 2, 2)
    >>> F.max_unpool3d_backward(gy, np.zeros((1, 1, 1, 1)), np.array([[[[6]]]]), 2)
    array([[[[6.]]]])
    """
    return _unpool_backward(
        "max_unpool3d_backward", 3, grad_output, input, indices, kernel_size, stride, padding, output_size, data_format
    )


def _unpool(
    function: str,
    axes: int,
    input: ArrayLike,
    indices: ArrayLike,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    output_size: Any,
    data_format: str,
) -> Array:
    last = channels_last(function, data_format)
    (x,), dtype = to_arrays(function, ("input",), (input,))
    geometry, shape = unpool_geometry(
        function, x.shape, kernel_size, stride, padding, output_size, axes=axes, channels_last=last
    )
    positions = to_positions(function, indices, x.shape, "input")
    y = empty(shape, x.dtype)
    try:
        _core.max_unpool_forward(geometry, last, x, positions, y)
    except ValueError:
        raise outside(function, positions, geometry, axes) from None
    return deliver(y, None, dtype)


def _unpool_backward(
    function: str,
    axes: int,
    grad_output: ArrayLike,
    input: ArrayLike,
    indices: ArrayLike,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    output_size: Any,
    data_format: str,
) -> Array:
    last = channels_last(function, data_format)
    (gy, x), dtype = to_arrays(function, ("grad_output", "input"), (grad_output, input))
    geometry, shape = unpool_geometry(
        function, x.shape, kernel_size, stride, padding, output_size, axes=axes, channels_last=last
    )
    check_shape(function, "grad_output", gy, shape, ", that of the output")
    positions = to_positions(function, indices, x.shape, "input")
    gx = empty_like(x)
    try:
        _core.max_unpool_backward(geometry, last, gy, positions, gx)
    except ValueError:
        raise outside(function, positions, geometry, axes) from None
    return deliver(gx, None, dtype)
