"""Max pooling over one, two and three axes, and its gradients."""

from typing import Any, Literal, overload

from numpy.typing import ArrayLike

from fastconv._checks import Array
from fastconv.functional._pooling import Sliding, max_pool, max_pool_backward


@overload
def max_pool1d(
    input: ArrayLike,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: Literal[False] = False,
    *,
    data_format: str = "channels_first",
) -> Array: ...
@overload
def max_pool1d(
    input: ArrayLike,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    *,
    return_indices: Literal[True],
    data_format: str = "channels_first",
) -> tuple[Array, Array]: ...
@overload
def max_pool1d(
    input: ArrayLike,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    data_format: str = "channels_first",
) -> Array | tuple[Array, Array]: ...
def max_pool1d(
    input: ArrayLike,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    data_format: str = "channels_first",
) -> Array | tuple[Array, Array]:
    r"""Maximum of each window of a signal.

    .. math:: y[n, c, j] = \max_v x[n, c, j s + v r - p]

    over the elements of the window that lie in `x`: padding never wins. NaN does.

    Parameters
    ----------
    input : array_like, shape (n, c, iw) or (c, iw)
        With ``data_format="channels_last"``: (n, iw, c) or (iw, c). `n` may be 0.
    kernel_size, stride, padding, dilation, ceil_mode, return_indices, data_format
        As in `max_pool2d`, with one number, alone or in a tuple; a pair (before, after) of paddings is written
        ``((1, 0),)``.

    Returns
    -------
    output : ndarray, shape (n, c, ow) or (c, ow)
        In the layout of the input, with a dtype by the rule of `max_pool2d`.
    indices : ndarray of int64, of the output's shape
        With `return_indices`: column in the input of the first maximum, by the rule of `max_pool2d`.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `max_pool2d`.

    See Also
    --------
    max_pool1d_backward : the gradient.
    max_unpool1d : puts values back to where the maxima were.

    References
    ----------
    ``torch.nn.functional.max_pool1d``, with the paddings of `max_pool2d`.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> y, indices = F.max_pool1d(np.array([[3.0, 1.0, 4.0, 1.0, 5.0]]), 2, ceil_mode=True, return_indices=True)
    >>> y, indices
    (array([[3., 4., 5.]]), array([[0, 2, 4]]))
    """
    windows = Sliding(kernel_size, stride, padding, dilation, ceil_mode)
    return max_pool("max_pool1d", 1, input, windows, return_indices, data_format)  # type: ignore[no-any-return]


def max_pool1d_backward(
    grad_output: ArrayLike,
    input: ArrayLike,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    indices: ArrayLike | None = None,
    data_format: str = "channels_first",
) -> Array:
    r"""Gradient of 1-D max pooling: each window's gradient goes to its first maximum.

    .. math::

        \frac{\partial L}{\partial x[n, c, q]} = \sum_j \frac{\partial L}{\partial y[n, c, j]}
        \quad \text{over the windows whose first maximum is at } q

    Parameters
    ----------
    grad_output : array_like
        Gradient of the output, of the output's shape.
    input, kernel_size, stride, padding, dilation, ceil_mode, data_format
        As they were given to `max_pool1d`.
    return_indices, indices
        As in `max_pool2d_backward`.

    Returns
    -------
    ndarray, of the input's shape
        Its dtype is ``np.result_type(grad_output, input)`` by the rule of `max_pool2d`.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `max_pool2d_backward`.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> F.max_pool1d_backward(np.array([[10.0, 20.0]]), np.array([[1.0, 3.0, 5.0, 5.0]]), 2)
    array([[ 0., 10., 20.,  0.]])
    """
    windows = Sliding(kernel_size, stride, padding, dilation, ceil_mode)
    return max_pool_backward("max_pool1d_backward", 1, grad_output, input, windows, indices, data_format)


@overload
def max_pool2d(
    input: ArrayLike,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: Literal[False] = False,
    *,
    data_format: str = "channels_first",
) -> Array: ...
@overload
def max_pool2d(
    input: ArrayLike,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    *,
    return_indices: Literal[True],
    data_format: str = "channels_first",
) -> tuple[Array, Array]: ...
@overload
def max_pool2d(
    input: ArrayLike,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    data_format: str = "channels_first",
) -> Array | tuple[Array, Array]: ...
def max_pool2d(
    input: ArrayLike,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    data_format: str = "channels_first",
) -> Array | tuple[Array, Array]:
    r"""Maximum of each window.

    .. math:: y[n, c, i, j] = \max_{u, v} x[n, c, i s_h + u r_h - p_t, j s_w + v r_w - p_l]

    over the elements of the window that lie in `x`: padding never wins. NaN does.

    Parameters
    ----------
    input : array_like, shape (n, c, ih, iw) or (c, ih, iw)
        With ``data_format="channels_last"``: (n, ih, iw, c) or (ih, iw, c). `n` may be 0.
    kernel_size : int or tuple of int
        Size of the window: one number, or one for height and one for width.
    stride : int or tuple of int, optional
        Step from window to window. None and () mean the kernel size.
    padding : int, tuple or str
        As in `conv2d`: a number, one per axis, a pair (before, after) per axis, "valid" or "same". Numbers are at
        most half of the kernel size.
    dilation : int or tuple of int
        Step within a window.
    ceil_mode : bool
        Round the number of windows up, so that a remainder at the end has one too. A window that would start past the
        input and its left padding is left out.
    return_indices : bool
        Return the positions of the maxima too.
    data_format : {"channels_first", "channels_last"}

    Returns
    -------
    output : ndarray, shape (n, c, oh, ow) or (c, oh, ow)
        In the layout of the input. float16, float32 and float64 keep their dtype; integers and booleans become
        ``np.result_type(input, np.float32)``.
    indices : ndarray of int64, of the output's shape
        With `return_indices`: position ``row * iw + column`` in the input's channel of the maximum, of the first one
        where there are several (of several NaN the last, as in torch); -1 where no element of a dilated window lies in
        the input, whose output is minus infinity.

    Raises
    ------
    TypeError
        Complex, object or masked arrays; a size, stride, padding or dilation that is not made of integers.
    ValueError
        A shape or number out of range, padding of more than half of the kernel size, an empty output, an unknown word.
    MemoryError
        No memory for the result.

    See Also
    --------
    max_pool2d_backward : the gradient.
    max_unpool2d : puts values back to where the maxima were.

    References
    ----------
    ``torch.nn.functional.max_pool2d``, with the asymmetric and "same" padding of TensorFlow.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> rows = "01000 01110 10021 14210 00121"
    >>> x = np.array([[[int(value) for value in row] for row in rows.split()]], np.float32)
    >>> y, indices = F.max_pool2d(x, 2, ceil_mode=True, return_indices=True)
    >>> y[0]
    array([[1., 1., 0.],
           [4., 2., 1.],
           [0., 2., 1.]], dtype=float32)
    >>> indices[0]
    array([[ 1,  7,  4],
           [16, 13, 14],
           [20, 23, 24]])
    """
    windows = Sliding(kernel_size, stride, padding, dilation, ceil_mode)
    return max_pool("max_pool2d", 2, input, windows, return_indices, data_format)  # type: ignore[no-any-return]


def max_pool2d_backward(
    grad_output: ArrayLike,
    input: ArrayLike,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    indices: ArrayLike | None = None,
    data_format: str = "channels_first",
) -> Array:
    r"""Gradient of max pooling: each window's gradient goes to its first maximum.

    .. math::

        \frac{\partial L}{\partial x[n, c, p, q]} = \sum_{i, j} \frac{\partial L}{\partial y[n, c, i, j]}
        \quad \text{over the windows whose first maximum is at } (p, q)

    Parameters
    ----------
    grad_output : array_like
        Gradient of the output, of the output's shape.
    input, kernel_size, stride, padding, dilation, ceil_mode, data_format
        As they were given to `max_pool2d`.
    return_indices : bool
        Accepted, so that the arguments of `max_pool2d` can be passed on; changes nothing.
    indices : array_like of int, optional
        What `max_pool2d` returned with ``return_indices=True``; the maxima are then not looked for again, and of
        `input` only shape and dtype matter.

    Returns
    -------
    ndarray, of the input's shape
        Its dtype is ``np.result_type(grad_output, input)`` by the rule of `max_pool2d`.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `max_pool2d`; also a `grad_output` or `indices` of another shape than the output, and indices that are not
        integers or lie outside of the input.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> x = np.array([[[1.0, 2.0, 5.0, 5.0], [3.0, 0.0, 5.0, 5.0]]])
    >>> F.max_pool2d_backward(np.array([[[10.0, 20.0]]]), x, 2)[0]
    array([[ 0.,  0., 20.,  0.],
           [10.,  0.,  0.,  0.]])
    """
    windows = Sliding(kernel_size, stride, padding, dilation, ceil_mode)
    return max_pool_backward("max_pool2d_backward", 2, grad_output, input, windows, indices, data_format)


@overload
def max_pool3d(
    input: ArrayLike,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: Literal[False] = False,
    *,
    data_format: str = "channels_first",
) -> Array: ...
@overload
def max_pool3d(
    input: ArrayLike,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    *,
    return_indices: Literal[True],
    data_format: str = "channels_first",
) -> tuple[Array, Array]: ...
@overload
def max_pool3d(
    input: ArrayLike,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    data_format: str = "channels_first",
) -> Array | tuple[Array, Array]: ...
def max_pool3d(
    input: ArrayLike,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    data_format: str = "channels_first",
) -> Array | tuple[Array, Array]:
    r"""Maximum of each window of a volume.

    .. math::

        y[n, c, h, i, j] = \max_{t, u, v} x[n, c, h s_d + t r_d - p_f, i s_h + u r_h - p_t, j s_w + v r_w - p_l]

    over the elements of the window that lie in `x`: padding never wins. NaN does.

    Parameters
    ----------
    input : array_like, shape (n, c, id, ih, iw) or (c, id, ih, iw)
        With ``data_format="channels_last"``: (n, id, ih, iw, c) or (id, ih, iw, c). `n` may be 0.
    kernel_size, stride, padding, dilation, ceil_mode, return_indices, data_format
        As in `max_pool2d`, with one number, or one each for depth, height and width.

    Returns
    -------
    output : ndarray, shape (n, c, od, oh, ow) or (c, od, oh, ow)
        In the layout of the input, with a dtype by the rule of `max_pool2d`.
    indices : ndarray of int64, of the output's shape
        With `return_indices`: position ``(slice * ih + row) * iw + column`` in the input's channel of the first
        maximum, by the rule of `max_pool2d`.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `max_pool2d`.

    See Also
    --------
    max_pool3d_backward : the gradient.
    max_unpool3d : puts values back to where the maxima were.

    References
    ----------
    ``torch.nn.functional.max_pool3d``, with the paddings of `max_pool2d`.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> x = np.arange(16.0).reshape(1, 2, 2, 4)
    >>> F.max_pool3d(x, 2)
    array([[[[13., 15.]]]])
    """
    windows = Sliding(kernel_size, stride, padding, dilation, ceil_mode)
    return max_pool("max_pool3d", 3, input, windows, return_indices, data_format)  # type: ignore[no-any-return]


def max_pool3d_backward(
    grad_output: ArrayLike,
    input: ArrayLike,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    indices: ArrayLike | None = None,
    data_format: str = "channels_first",
) -> Array:
    r"""Gradient of 3-D max pooling: each window's gradient goes to its first maximum.

    .. math::

        \frac{\partial L}{\partial x[n, c, p, q, r]} = \sum_{h, i, j} \frac{\partial L}{\partial y[n, c, h, i, j]}
        \quad \text{over the windows whose first maximum is at } (p, q, r)

    Parameters
    ----------
    grad_output : array_like
        Gradient of the output, of the output's shape.
    input, kernel_size, stride, padding, dilation, ceil_mode, data_format
        As they were given to `max_pool3d`.
    return_indices, indices
        As in `max_pool2d_backward`.

    Returns
    -------
    ndarray, of the input's shape
        Its dtype is ``np.result_type(grad_output, input)`` by the rule of `max_pool2d`.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `max_pool2d_backward`.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> F.max_pool3d_backward(np.array([[[[5.0]]]]), np.arange(8.0).reshape(1, 2, 2, 2), 2)
    array([[[[0., 0.],
             [0., 0.]],
    <BLANKLINE>
            [[0., 0.],
             [0., 5.]]]])
    """
    windows = Sliding(kernel_size, stride, padding, dilation, ceil_mode)
    return max_pool_backward("max_pool3d_backward", 3, grad_output, input, windows, indices, data_format)
