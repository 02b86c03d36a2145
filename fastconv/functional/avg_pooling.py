"""Average pooling over one, two and three axes, and its gradients."""

from typing import Any

from numpy.typing import ArrayLike

from fastconv._checks import Array
from fastconv.functional._pooling import Sliding, avg_pool, avg_pool_backward


def avg_pool1d(
    input: ArrayLike,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    data_format: str = "channels_first",
) -> Array:
    r"""Mean of each window of a signal.

    .. math:: y[n, c, j] = \frac{1}{D} \sum_v x[n, c, j s + v - p]

    with zero outside of `x` and :math:`D` the divisor of `avg_pool2d`.

    Parameters
    ----------
    input : array_like, shape (n, c, iw) or (c, iw)
        With ``data_format="channels_last"``: (n, iw, c) or (iw, c). `n` may be 0.
    kernel_size, stride, padding, ceil_mode, data_format
        As in `max_pool1d`.
    count_include_pad, divisor_override
        As in `avg_pool2d`; torch has no `divisor_override` here.

    Returns
    -------
    ndarray, shape (n, c, ow) or (c, ow)
        In the layout of the input, with a dtype by the rule of `avg_pool2d`.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `avg_pool2d`.

    See Also
    --------
    avg_pool1d_backward : the gradient.

    References
    ----------
    ``torch.nn.functional.avg_pool1d``, with the paddings of `avg_pool2d`.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> F.avg_pool1d(np.array([[1.0, 3.0, 5.0, 7.0, 9.0]]), 3, stride=1)
    array([[3., 5., 7.]])
    """
    windows = Sliding(kernel_size, stride, padding, 1, ceil_mode)
    return avg_pool("avg_pool1d", 1, input, windows, data_format, count_include_pad, divisor_override)


def avg_pool1d_backward(
    grad_output: ArrayLike,
    input: ArrayLike,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    data_format: str = "channels_first",
) -> Array:
    r"""Gradient of 1-D average pooling: each window's gradient, over its divisor, goes to all its elements.

    .. math::

        \frac{\partial L}{\partial x[n, c, q]} = \sum_{j} \frac{1}{D}
        \frac{\partial L}{\partial y[n, c, j]} \quad \text{over the windows that hold } q

    Parameters
    ----------
    grad_output : array_like
        Gradient of the output, of the output's shape.
    input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, data_format
        As they were given to `avg_pool1d`. Of `input` only shape and dtype matter.

    Returns
    -------
    ndarray, of the input's shape
        Its dtype is ``np.result_type(grad_output, input)`` by the rule of `avg_pool2d`.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `avg_pool2d_backward`.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> F.avg_pool1d_backward(np.array([[4.0, 8.0]]), np.zeros((1, 4)), 2)
    array([[2., 2., 4., 4.]])
    """
    windows = Sliding(kernel_size, stride, padding, 1, ceil_mode)
    return avg_pool_backward(
        "avg_pool1d_backward", 1, grad_output, input, windows, data_format, count_include_pad, divisor_override
    )


def avg_pool2d(
    input: ArrayLike,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    data_format: str = "channels_first",
) -> Array:
    r"""Mean of each window.

    .. math:: y[n, c, i, j] = \frac{1}{D} \sum_{u, v} x[n, c, i s_h + u - p_t, j s_w + v - p_l]

    with zero outside of `x`, and :math:`D` the number of elements of the window: those of `x` and its padding (an
    overhang of `ceil_mode` never counts), those of `x` only without `count_include_pad`, or `divisor_override`.

    Parameters
    ----------
    input : array_like, shape (n, c, ih, iw) or (c, ih, iw)
        With ``data_format="channels_last"``: (n, ih, iw, c) or (ih, iw, c). `n` may be 0.
    kernel_size, stride, padding, ceil_mode, data_format
        As in `max_pool2d`.
    count_include_pad : bool
        Whether the divisor counts padding. False is what Keras does.
    divisor_override : int, optional
        The divisor, whatever the window; not 0.

    Returns
    -------
    ndarray, shape (n, c, oh, ow) or (c, oh, ow)
        In the layout of the input. float16, float32 and float64 keep their dtype; integers and booleans become
        ``np.result_type(input, np.float32)``.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `max_pool2d`; also a divisor of 0 or that is no integer.

    See Also
    --------
    avg_pool2d_backward : the gradient.

    References
    ----------
    ``torch.nn.functional.avg_pool2d``, with the asymmetric and "same" padding of TensorFlow.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> x = np.array([[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]])
    >>> F.avg_pool2d(x, 2, ceil_mode=True)
    array([[[3. , 4.5]]])
    >>> F.avg_pool2d(x, 2, padding="same", count_include_pad=False)
    array([[[3. , 4.5]]])
    >>> F.avg_pool2d(x, 2, padding="same")
    array([[[3.  , 2.25]]])
    """
    windows = Sliding(kernel_size, stride, padding, 1, ceil_mode)
    return avg_pool("avg_pool2d", 2, input, windows, data_format, count_include_pad, divisor_override)


def avg_pool2d_backward(
    grad_output: ArrayLike,
    input: ArrayLike,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    data_format: str = "channels_first",
) -> Array:
    r"""Gradient of average pooling: each window's gradient, over its divisor, goes to all its elements.

    .. math::

        \frac{\partial L}{\partial x[n, c, p, q]} = \sum_{i, j} \frac{1}{D} \frac{\partial L}{\partial y[n, c, i, j]}
        \quad \text{over the windows that hold } (p, q)

    Parameters
    ----------
    grad_output : array_like
        Gradient of the output, of the output's shape.
    input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, data_format
        As they were given to `avg_pool2d`. Of `input` only shape and dtype matter.

    Returns
    -------
    ndarray, of the input's shape
        Its dtype is ``np.result_type(grad_output, input)`` by the rule of `avg_pool2d`.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `avg_pool2d`; also a `grad_output` of another shape than the output.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> F.avg_pool2d_backward(np.array([[[4.0, 8.0]]]), np.zeros((1, 2, 4)), 2)
    array([[[1., 1., 2., 2.],
            [1., 1., 2., 2.]]])
    """
    windows = Sliding(kernel_size, stride, padding, 1, ceil_mode)
    return avg_pool_backward(
        "avg_pool2d_backward", 2, grad_output, input, windows, data_format, count_include_pad, divisor_override
    )


def avg_pool3d(
    input: ArrayLike,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    data_format: str = "channels_first",
) -> Array:
    r"""Mean of each window of a volume.

    .. math::

        y[n, c, h, i, j] = \frac{1}{D} \sum_{t, u, v} x[n, c, h s_d + t - p_f, i s_h + u - p_t, j s_w + v - p_l]

    with zero outside of `x` and :math:`D` the divisor of `avg_pool2d`.

    Parameters
    ----------
    input : array_like, shape (n, c, id, ih, iw) or (c, id, ih, iw)
        With ``data_format="channels_last"``: (n, id, ih, iw, c) or (id, ih, iw, c). `n` may be 0.
    kernel_size, stride, padding, ceil_mode, data_format
        As in `max_pool3d`.
    count_include_pad, divisor_override
        As in `avg_pool2d`.

    Returns
    -------
    ndarray, shape (n, c, od, oh, ow) or (c, od, oh, ow)
        In the layout of the input, with a dtype by the rule of `avg_pool2d`.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `avg_pool2d`.

    See Also
    --------
    avg_pool3d_backward : the gradient.

    References
    ----------
    ``torch.nn.functional.avg_pool3d``, with the paddings of `avg_pool2d`.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> F.avg_pool3d(np.arange(16.0).reshape(1, 2, 2, 4), 2)
    array([[[[6.5, 8.5]]]])
    """
    windows = Sliding(kernel_size, stride, padding, 1, ceil_mode)
    return avg_pool("avg_pool3d", 3, input, windows, data_format, count_include_pad, divisor_override)


def avg_pool3d_backward(
    grad_output: ArrayLike,
    input: ArrayLike,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    data_format: str = "channels_first",
) -> Array:
    r"""Gradient of 3-D average pooling: each window's gradient, over its divisor, goes to all its elements.

    .. math::

        \frac{\partial L}{\partial x[n, c, p, q, r]} = \sum_{h, i, j} \frac{1}{D}
        \frac{\partial L}{\partial y[n, c, h, i, j]} \quad \text{over the windows that hold } (p, q, r)

    Parameters
    ----------
    grad_output : array_like
        Gradient of the output, of the output's shape.
    input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, data_format
        As they were given to `avg_pool3d`. Of `input` only shape and dtype matter.

    Returns
    -------
    ndarray, of the input's shape
        Its dtype is ``np.result_type(grad_output, input)`` by the rule of `avg_pool2d`.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `avg_pool2d_backward`.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> F.avg_pool3d_backward(np.array([[[[8.0, 16.0]]]]), np.zeros((1, 2, 2, 4)), 2)[0, 0]
    array([[1., 1., 2., 2.],
           [1., 1., 2., 2.]])
    """
    windows = Sliding(kernel_size, stride, padding, 1, ceil_mode)
    return avg_pool_backward(
        "avg_pool3d_backward", 3, grad_output, input, windows, data_format, count_include_pad, divisor_override
    )
