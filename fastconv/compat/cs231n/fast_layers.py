"""Convolution and max pooling, as the course's ``fast_layers.py`` has them."""

from collections.abc import Mapping
from typing import Any

from numpy.typing import ArrayLike

import fastconv.functional as F
from fastconv._checks import Array
from fastconv.compat.cs231n._arguments import Cache, array, check_fill, integer, parameters, unpack

__all__ = [
    "conv_forward_fast",
    "conv_backward_fast",
    "conv_forward_im2col",
    "conv_backward_im2col",
    "conv_forward_strides",
    "conv_backward_strides",
    "max_pool_forward_fast",
    "max_pool_backward_fast",
    "max_pool_forward_reshape",
    "max_pool_backward_reshape",
    "max_pool_forward_im2col",
    "max_pool_backward_im2col",
]

_CONV_CACHE = "(x, w, b, conv_param)"
_POOL_CACHE = "(x, pool_param)"


def conv_forward_fast(x: ArrayLike, w: ArrayLike, b: ArrayLike, conv_param: Mapping[str, int]) -> tuple[Array, Cache]:
    r"""Convolution of images with filters.

    .. math:: out[n, f, i, j] = b[f] + \sum_{c, u, v} w[f, c, u, v] \; x[n,\; c,\; i s + u - p,\; j s + v - p]

    with stride s, pad p, and zero outside of `x`. `conv_forward_strides` is another name for it.

    Parameters
    ----------
    x : array_like, shape (N, C, H, W)
    w : array_like, shape (F, C, HH, WW)
    b : array_like, shape (F,)
    conv_param : dict
        "stride", an int of at least 1, and "pad", an int of at least 0.

    Returns
    -------
    out : ndarray, shape (N, F, H', W')
        ``H' = 1 + (H + 2 * pad - HH) // stride``: rows at the end that no window reaches are left out. Its dtype is
        ``np.result_type`` of the arrays, see `fastconv.functional.conv2d`.
    cache : tuple
        (x, w, b, conv_param), for `conv_backward_fast`.

    Raises
    ------
    TypeError
        Complex, object or masked arrays; `conv_param` is no dict, or has values that are no integers.
    ValueError
        Shapes that contradict each other, filters larger than the padded image, missing or unknown keys of
        `conv_param`, values out of range.

    See Also
    --------
    conv_backward_fast : the gradients.
    fastconv.functional.conv2d : computes it; has rounding errors and sources.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.compat.cs231n import conv_forward_fast
    >>> x, w = np.arange(16.0).reshape(1, 1, 4, 4), np.ones((1, 1, 2, 2))
    >>> out, cache = conv_forward_fast(x, w, np.zeros(1), {"stride": 2, "pad": 0})
    >>> out[0, 0]
    array([[10., 18.],
           [42., 50.]])
    """
    return convolve("conv_forward_fast", x, w, b, conv_param)


def conv_backward_fast(dout: ArrayLike, cache: Cache) -> tuple[Array, Array, Array]:
    """Gradients of `conv_forward_fast`; `conv_backward_strides` and `conv_backward_im2col` are other names for it.

    Parameters
    ----------
    dout : array_like, shape (N, F, H', W')
        Gradient of the output.
    cache : tuple
        What the forward function returned.

    Returns
    -------
    dx, dw, db : ndarray
        Gradients of x, w and b, in their shapes. The dtype is ``np.result_type`` of all the arrays.

    Raises
    ------
    TypeError
        A `cache` of another layer; a complex, object or masked `dout`.
    ValueError
        A `dout` of another shape than the output.

    See Also
    --------
    fastconv.functional.conv2d_backward : computes it; has the formulas.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.compat.cs231n import conv_backward_fast, conv_forward_fast
    >>> x, w = np.arange(4.0).reshape(1, 1, 2, 2), np.array([[[[10.0, 20.0]]]])
    >>> out, cache = conv_forward_fast(x, w, np.zeros(1), {"stride": 1, "pad": 0})
    >>> dx, dw, db = conv_backward_fast(np.ones_like(out), cache)
    >>> dx[0, 0], dw, db
    (array([[10., 20.], [10., 20.]]), array([[[[2., 4.]]]]), array([2.]))
    """
    x, w, b, conv_param = unpack("conv_backward_fast", cache, _CONV_CACHE)
    # Of arrays, conv2d_backward returns a gradient for each.
    return F.conv2d_backward(dout, x, w, b, conv_param["stride"], conv_param["pad"])  # type: ignore[return-value]


conv_forward_strides = conv_forward_fast
conv_backward_strides = conv_backward_fast


def conv_forward_im2col(x: ArrayLike, w: ArrayLike, b: ArrayLike, conv_param: Mapping[str, int]) -> tuple[Array, Cache]:
    """`conv_forward_fast` for windows that fill the padded images: the strictest of the course's three variants.

    Parameters
    ----------
    x, w, b, conv_param
        As for `conv_forward_fast`.

    Returns
    -------
    out, cache
        As of `conv_forward_fast`.

    Raises
    ------
    TypeError, ValueError
        As `conv_forward_fast`; also where the stride does not divide ``H + 2 * pad - HH`` or ``W + 2 * pad - WW``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.compat.cs231n import conv_forward_im2col
    >>> x, w, b = np.ones((1, 1, 5, 4)), np.ones((1, 1, 3, 3)), np.zeros(1)
    >>> conv_forward_im2col(x, w, b, {"stride": 2, "pad": 0})
    Traceback (most recent call last):
        ...
    ValueError: conv_forward_im2col: stride must divide what the first window leaves of the padded width, got
    (4 + 2 * 0 - 3) % 2 = 1
    """
    name = "conv_forward_im2col"
    stride, pad = _conv_parameters(name, conv_param)
    sizes, fields = array(name, "x", x, "(N, C, H, W)").shape[2:], array(name, "w", w, "(F, C, HH, WW)").shape[2:]
    for axis, size, field in zip(("height", "width"), sizes, fields, strict=True):
        check_fill(name, axis, size, field, pad, stride)
    return convolve(name, x, w, b, conv_param)


conv_backward_im2col = conv_backward_fast


def max_pool_forward_fast(x: ArrayLike, pool_param: Mapping[str, int]) -> tuple[Array, Cache]:
    r"""Maximum of each window.

    .. math:: out[n, c, i, j] = \max_{u, v} x[n, c, i s + u, j s + v]

    with stride s. Windows may overlap or leave gaps. `max_pool_forward_im2col` is another name for it.

    Parameters
    ----------
    x : array_like, shape (N, C, H, W)
    pool_param : dict
        "pool_height", "pool_width" and "stride", ints of at least 1.

    Returns
    -------
    out : ndarray, shape (N, C, H', W')
        ``H' = 1 + (H - pool_height) // stride``: rows at the end that no window reaches are left out. NaN wins. In the
        dtype of `x`; integers and booleans become ``np.result_type(x, np.float32)``.
    cache : tuple
        (x, pool_param), for `max_pool_backward_fast`.

    Raises
    ------
    TypeError
        A complex, object or masked `x`; `pool_param` is no dict, or has values that are no integers.
    ValueError
        `x` without 4 axes, windows larger than the image, missing or unknown keys of `pool_param`, values below 1.

    See Also
    --------
    max_pool_backward_fast : the gradient.
    fastconv.functional.max_pool2d : computes it.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.compat.cs231n import max_pool_forward_fast
    >>> x = np.arange(9.0).reshape(1, 1, 3, 3)
    >>> out, cache = max_pool_forward_fast(x, {"pool_height": 2, "pool_width": 2, "stride": 1})
    >>> out[0, 0]
    array([[4., 5.],
           [7., 8.]])
    """
    return pool("max_pool_forward_fast", x, pool_param)


def max_pool_backward_fast(dout: ArrayLike, cache: Cache) -> Array:
    """Gradient of `max_pool_forward_fast`: each window's gradient goes to its first maximum.

    The course's version for tiling windows divides it among equal maxima; its others do not.
    `max_pool_backward_reshape` and `max_pool_backward_im2col` are other names for this function.

    Parameters
    ----------
    dout : array_like, shape (N, C, H', W')
        Gradient of the output.
    cache : tuple
        What the forward function returned.

    Returns
    -------
    dx : ndarray, shape (N, C, H, W)
        Gradients of overlapping windows are summed. The dtype is ``np.result_type(dout, x)``.

    Raises
    ------
    TypeError
        A `cache` of another layer; a complex, object or masked `dout`.
    ValueError
        A `dout` of another shape than the output.

    See Also
    --------
    fastconv.functional.max_pool2d_backward : computes it.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.compat.cs231n import max_pool_backward_fast, max_pool_forward_fast
    >>> x = np.array([[[[1.0, 2.0, 5.0, 5.0], [3.0, 0.0, 5.0, 5.0]]]])
    >>> out, cache = max_pool_forward_fast(x, {"pool_height": 2, "pool_width": 2, "stride": 2})
    >>> max_pool_backward_fast(np.array([[[[10.0, 20.0]]]]), cache)[0, 0]
    array([[ 0.,  0., 20.,  0.],
           [10.,  0.,  0.,  0.]])
    """
    x, pool_param = unpack("max_pool_backward_fast", cache, _POOL_CACHE)
    # The maxima are looked for again: forward, their positions would cost more than the maxima.
    window = pool_param["pool_height"], pool_param["pool_width"]
    return F.max_pool2d_backward(dout, x, window, pool_param["stride"])


def max_pool_forward_reshape(x: ArrayLike, pool_param: Mapping[str, int]) -> tuple[Array, Cache]:
    """`max_pool_forward_fast` for square windows that tile the images.

    Parameters
    ----------
    x, pool_param
        As for `max_pool_forward_fast`.

    Returns
    -------
    out, cache
        As of `max_pool_forward_fast`.

    Raises
    ------
    TypeError, ValueError
        As `max_pool_forward_fast`; also windows that are not square, a stride that is not their side, and a stride that
        does not divide H and W.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.compat.cs231n import max_pool_forward_reshape
    >>> x, pool_param = np.eye(4).reshape(1, 1, 4, 4), {"pool_height": 2, "pool_width": 2, "stride": 2}
    >>> max_pool_forward_reshape(x, pool_param)[0][0, 0]
    array([[1., 0.],
           [0., 1.]])
    """
    name = "max_pool_forward_reshape"
    height, width, stride = _pool_parameters(name, pool_param)
    if not height == width == stride:
        raise ValueError(
            f"{name}: pool_param must have a pool_height, pool_width and stride that are equal, "
            f"got {height}, {width} and {stride}"
        )
    shape = array(name, "x", x, "(N, C, H, W)").shape
    if shape[2] % stride or shape[3] % stride:
        raise ValueError(f"{name}: x must have a height and a width divisible by {stride}, got shape {shape}")
    return pool(name, x, pool_param)


max_pool_backward_reshape = max_pool_backward_fast
max_pool_forward_im2col = max_pool_forward_fast
max_pool_backward_im2col = max_pool_backward_fast


def convolve(
    function: str, x: ArrayLike, w: ArrayLike, b: ArrayLike, conv_param: Any, activation: str | None = None
) -> tuple[Array, Cache]:
    """Convolve for `function`, with an activation in the same pass; the cache is that of the convolution."""
    stride, pad = _conv_parameters(function, conv_param)
    x, w = array(function, "x", x, "(N, C, H, W)"), array(function, "w", w, "(F, C, HH, WW)")
    out = F.conv2d(x, w, array(function, "b", b, "(F)"), stride, pad, activation=activation)
    return out, (x, w, b, {"stride": stride, "pad": pad})


def pool(function: str, x: ArrayLike, pool_param: Any) -> tuple[Array, Cache]:
    """Pool for `function`."""
    height, width, stride = _pool_parameters(function, pool_param)
    x = array(function, "x", x, "(N, C, H, W)")
    out: Array = F.max_pool2d(x, (height, width), stride)
    return out, (x, {"pool_height": height, "pool_width": width, "stride": stride})


def _conv_parameters(function: str, conv_param: Any) -> tuple[int, int]:
    given = parameters(function, "conv_param", conv_param, ("stride", "pad"))
    stride = integer(function, "conv_param['stride']", given["stride"], 1)
    return stride, integer(function, "conv_param['pad']", given["pad"], 0)


def _pool_parameters(function: str, pool_param: Any) -> tuple[int, ...]:
    keys = ("pool_height", "pool_width", "stride")
    given = parameters(function, "pool_param", pool_param, keys)
    return tuple(integer(function, f"pool_param[{key!r}]", given[key], 1) for key in keys)
