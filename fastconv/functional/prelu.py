"""The activation with weights of its own, and its gradients."""

import math

import numpy as np
from numpy.typing import ArrayLike

from fastconv import _core
from fastconv._checks import Array, channels_last, check_shape, deliver, to_arrays
from fastconv._memory import empty_like
from fastconv.geometry import Geometry

_ONES, _ZEROS = (1, 1, 1), (0, 0, 0)


def prelu(input: ArrayLike, weight: ArrayLike, *, data_format: str = "channels_first") -> Array:
    r"""Parametric rectified linear unit, :math:`y = x` where :math:`x > 0`, else :math:`w_c x` in channel c.

    Parameters
    ----------
    input : array_like, of any shape
    weight : array_like
        One number for all channels, of shape () or (1,), or one for each, of shape (channels,).
    data_format : {"channels_first", "channels_last"}
        Whether channels are axis 1 or the last one. Fewer than two axes are one channel.

    Returns
    -------
    ndarray, of the input's shape
        Its dtype is ``np.result_type(input, weight)`` by the rule of `relu`.

    Raises
    ------
    TypeError
        As `relu`.
    ValueError
        A `weight` of several axes or of another size; an unknown `data_format`.

    See Also
    --------
    prelu_backward : the gradients.

    References
    ----------
    ``torch.nn.functional.prelu``. K. He, X. Zhang, S. Ren, J. Sun, "Delving Deep into Rectifiers", arXiv:1502.01852.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> F.prelu(np.array([[-1.0, -1.0], [2.0, -2.0]]), np.array([0.5, 0.25]))
    array([[-0.5 , -0.25],
           [ 2.  , -0.5 ]])
    """
    (x, w), dtype = to_arrays("prelu", ("input", "weight"), (input, weight))
    last, sizes = _channels("prelu", x, w, data_format)
    y = empty_like(x)
    _core.prelu(last, *sizes, w, x, x, y)
    return deliver(y, None, dtype)


def prelu_backward(
    grad_output: ArrayLike, input: ArrayLike, weight: ArrayLike, *, data_format: str = "channels_first"
) -> tuple[Array, Array]:
    r"""Gradients of `prelu`.

    .. math:: gx = gy \text{ where } x > 0 \text{, else } w_c \, gy, \qquad gw_c = \sum_{x \le 0} x \, gy

    Parameters
    ----------
    grad_output : array_like
        Gradient of the output, of the input's shape.
    input, weight, data_format
        As they were given to `prelu`.

    Returns
    -------
    grad_input, grad_weight : ndarray
        In the shapes of `input` and `weight`. Their dtype is ``np.result_type`` of the three arrays by the rule of
        `relu`. The bits do not depend on the number of threads.

    Raises
    ------
    TypeError, ValueError
        As `prelu`; also a `grad_output` of another shape than the input.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> F.prelu_backward(np.ones((2, 2)), np.array([[-1.0, -1.0], [2.0, -2.0]]), np.array([0.5, 0.25]))
    (array([[0.5 , 0.25],
           [1.  , 0.25]]), array([-1., -3.]))
    """
    name = "prelu_backward"
    (gy, x, w), dtype = to_arrays(name, ("grad_output", "input", "weight"), (grad_output, input, weight))
    check_shape(name, "grad_output", gy, x.shape, ", that of input")
    last, (n, channels, pixels) = _channels(name, x, w, data_format)
    gx, gw, terms = empty_like(x), empty_like(w), empty_like(x)
    _core.prelu(last, n, channels, pixels, w, x, gy, gx)
    # x * gy where x <= 0: relu's gradient at -x. Where x is positive the product may be anything.
    with np.errstate(all="ignore"):
        np.multiply(x, gy, out=terms)
    _core.activation_backward(_core.RELU, 0.0, math.inf, np.negative(x, out=empty_like(x)), terms, terms)
    if x.size == 0:
        gw[...] = 0
    else:
        _core.conv_grad_bias(_one_pixel_windows(n, channels, pixels), last, terms, gw)
    return deliver(gx, None, dtype), deliver(gw, None, dtype)


def _channels(function: str, x: Array, w: Array, data_format: str) -> tuple[bool, tuple[int, int, int]]:
    """Whether channels are last, and the sizes (batch, channels, pixels); a single weight has one channel."""
    last = channels_last(function, data_format)
    if w.ndim > 1:
        raise ValueError(f"{function}: weight must have at most one axis, got shape {w.shape}")
    if w.size == 1:
        return last, (1, 1, x.size)
    channels = 1 if x.ndim < 2 else x.shape[-1 if last else 1]
    if w.size != channels:
        raise ValueError(
            f"{function}: weight must have 1 element or {channels}, the channels of input, got shape {w.shape}"
        )
    if last:
        return last, (1, channels, math.prod(x.shape[:-1]))
    return last, (x.shape[0], channels, math.prod(x.shape[2:]))


def _one_pixel_windows(n: int, channels: int, pixels: int) -> Geometry:
    """Describe the images whose values the core sums by channel, as it does for the gradient of a bias."""
    size = (1, 1, pixels)
    return Geometry(n, channels, channels, channels, size, size, _ONES, _ONES, _ONES, _ZEROS, _ZEROS)
