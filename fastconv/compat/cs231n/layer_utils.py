"""Layers that often follow each other, as the course's ``layer_utils.py`` has them, fused where that saves a pass.

The relu is applied where the numbers are: in the registers of the convolution, or in place. Its gradient is told from
the result, which is positive where the argument was, so that no array in between is kept.
"""

from collections.abc import Mapping
from typing import Any

from numpy.typing import ArrayLike

import fastconv.functional as F
from fastconv._checks import Array
from fastconv.compat.cs231n._arguments import Cache, unpack
from fastconv.compat.cs231n.fast_layers import conv_backward_fast, convolve, max_pool_backward_fast, pool
from fastconv.compat.cs231n.layers import affine_backward, affine_forward
from fastconv.compat.cs231n.normalization import batchnorm, spatial_batchnorm_backward

__all__ = [
    "affine_relu_forward",
    "affine_relu_backward",
    "conv_relu_forward",
    "conv_relu_backward",
    "conv_bn_relu_forward",
    "conv_bn_relu_backward",
    "conv_relu_pool_forward",
    "conv_relu_pool_backward",
]


def affine_relu_forward(x: ArrayLike, w: ArrayLike, b: ArrayLike) -> tuple[Array, Cache]:
    """Affine map, then relu.

    Parameters
    ----------
    x, w, b
        As for `affine_forward`.

    Returns
    -------
    out : ndarray, shape (N, M)
    cache : tuple
        For `affine_relu_backward`. It holds `out` itself.

    Raises
    ------
    TypeError, ValueError
        As `affine_forward`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.compat.cs231n import affine_relu_forward
    >>> affine_relu_forward(np.array([[1.0, 2.0]]), np.array([[3.0, -3.0], [4.0, 1.0]]), np.zeros(2))[0]
    array([[11.,  0.]])
    """
    out, cache = affine_forward(x, w, b)
    out = F.relu(out, inplace=True)
    return out, (cache, out)


def affine_relu_backward(dout: ArrayLike, cache: Cache) -> tuple[Array, Array, Array]:
    """Gradients of `affine_relu_forward`.

    Parameters
    ----------
    dout : array_like, shape (N, M)
        Gradient of the output.
    cache : tuple
        What `affine_relu_forward` returned.

    Returns
    -------
    dx, dw, db : ndarray
        Gradients of x, w and b, in their shapes.

    Raises
    ------
    TypeError, ValueError
        As `affine_backward`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.compat.cs231n import affine_relu_backward, affine_relu_forward
    >>> out, cache = affine_relu_forward(np.array([[1.0, 2.0]]), np.array([[3.0, -3.0], [4.0, 1.0]]), np.zeros(2))
    >>> affine_relu_backward(np.ones((1, 2)), cache)[0]
    array([[3., 4.]])
    """
    affine_cache, out = unpack("affine_relu_backward", cache, "(affine cache, out)")
    return affine_backward(F.relu_backward(dout, out), affine_cache)


def conv_relu_forward(x: ArrayLike, w: ArrayLike, b: ArrayLike, conv_param: Mapping[str, int]) -> tuple[Array, Cache]:
    """Convolution, then relu, in one pass.

    Parameters
    ----------
    x, w, b, conv_param
        As for `conv_forward_fast`.

    Returns
    -------
    out : ndarray, shape (N, F, H', W')
    cache : tuple
        For `conv_relu_backward`. It holds `out` itself.

    Raises
    ------
    TypeError, ValueError
        As `conv_forward_fast`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.compat.cs231n import conv_relu_forward
    >>> x, w = np.array([[[[1.0, 4.0, 2.0]]]]), np.array([[[[-1.0, 1.0]]]])
    >>> conv_relu_forward(x, w, np.zeros(1), {"stride": 1, "pad": 0})[0]
    array([[[[3., 0.]]]])
    """
    out, cache = convolve("conv_relu_forward", x, w, b, conv_param, "relu")
    return out, (cache, out)


def conv_relu_backward(dout: ArrayLike, cache: Cache) -> tuple[Array, Array, Array]:
    """Gradients of `conv_relu_forward`.

    Parameters
    ----------
    dout : array_like, shape (N, F, H', W')
        Gradient of the output.
    cache : tuple
        What `conv_relu_forward` returned.

    Returns
    -------
    dx, dw, db : ndarray
        Gradients of x, w and b, in their shapes.

    Raises
    ------
    TypeError, ValueError
        As `conv_backward_fast`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.compat.cs231n import conv_relu_backward, conv_relu_forward
    >>> x, w = np.array([[[[1.0, 4.0, 2.0]]]]), np.array([[[[-1.0, 1.0]]]])
    >>> out, cache = conv_relu_forward(x, w, np.zeros(1), {"stride": 1, "pad": 0})
    >>> conv_relu_backward(np.ones_like(out), cache)[0]
    array([[[[-1.,  1.,  0.]]]])
    """
    conv_cache, out = unpack("conv_relu_backward", cache, "(conv cache, out)")
    return conv_backward_fast(F.relu_backward(dout, out), conv_cache)


def conv_bn_relu_forward(
    x: ArrayLike,
    w: ArrayLike,
    b: ArrayLike,
    gamma: ArrayLike,
    beta: ArrayLike,
    conv_param: Mapping[str, int],
    bn_param: dict[str, Any],
) -> tuple[Array, Cache]:
    """Convolution, then batch normalization of its channels, then relu.

    Parameters
    ----------
    x, w, b, conv_param
        As for `conv_forward_fast`.
    gamma, beta, bn_param
        As for `spatial_batchnorm_forward`.

    Returns
    -------
    out : ndarray, shape (N, F, H', W')
    cache : tuple
        For `conv_bn_relu_backward`. It holds `out` itself.

    Raises
    ------
    TypeError, ValueError
        As `conv_forward_fast` and `spatial_batchnorm_forward`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.compat.cs231n import conv_bn_relu_forward
    >>> x, w = np.array([[[[1.0, 4.0, 2.0]]]]), np.array([[[[-1.0, 1.0]]]])
    >>> out, cache = conv_bn_relu_forward(
    ...     x, w, np.zeros(1), np.ones(1), np.zeros(1), {"stride": 1, "pad": 0}, {"mode": "train"}
    ... )
    >>> out.round(4)
    array([[[[1., 0.]]]])
    """
    name = "conv_bn_relu_forward"
    a, conv_cache = convolve(name, x, w, b, conv_param)
    out, bn_cache = batchnorm(name, a, gamma, beta, bn_param, "(N, C, H, W)")
    out = F.relu(out, inplace=True)
    return out, (conv_cache, bn_cache, out)


def conv_bn_relu_backward(dout: ArrayLike, cache: Cache) -> tuple[Array, Array, Array, Array, Array]:
    """Gradients of `conv_bn_relu_forward`.

    Parameters
    ----------
    dout : array_like, shape (N, F, H', W')
        Gradient of the output.
    cache : tuple
        What `conv_bn_relu_forward` returned.

    Returns
    -------
    dx, dw, db, dgamma, dbeta : ndarray
        Gradients of x, w, b, gamma and beta, in their shapes.

    Raises
    ------
    TypeError, ValueError
        As `conv_backward_fast` and `spatial_batchnorm_backward`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.compat.cs231n import conv_bn_relu_backward, conv_bn_relu_forward
    >>> x, w = np.array([[[[1.0, 4.0, 2.0]]]]), np.array([[[[-1.0, 1.0]]]])
    >>> out, cache = conv_bn_relu_forward(
    ...     x, w, np.zeros(1), np.ones(1), np.zeros(1), {"stride": 1, "pad": 0}, {"mode": "train"}
    ... )
    >>> dx, dw, db, dgamma, dbeta = conv_bn_relu_backward(np.ones_like(out), cache)
    >>> dgamma.round(4), dbeta
    (array([1.]), array([1.]))
    """
    conv_cache, bn_cache, out = unpack("conv_bn_relu_backward", cache, "(conv cache, bn cache, out)")
    da, dgamma, dbeta = spatial_batchnorm_backward(F.relu_backward(dout, out), bn_cache)
    return *conv_backward_fast(da, conv_cache), dgamma, dbeta


def conv_relu_pool_forward(
    x: ArrayLike, w: ArrayLike, b: ArrayLike, conv_param: Mapping[str, int], pool_param: Mapping[str, int]
) -> tuple[Array, Cache]:
    """Convolution and relu in one pass, then max pooling.

    Parameters
    ----------
    x, w, b, conv_param
        As for `conv_forward_fast`.
    pool_param : dict
        As for `max_pool_forward_fast`.

    Returns
    -------
    out : ndarray, shape (N, F, H'', W'')
    cache : tuple
        For `conv_relu_pool_backward`.

    Raises
    ------
    TypeError, ValueError
        As `conv_forward_fast` and `max_pool_forward_fast`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.compat.cs231n import conv_relu_pool_forward
    >>> x, w = np.arange(16.0).reshape(1, 1, 4, 4), np.ones((1, 1, 1, 1))
    >>> conv_param, pool_param = {"stride": 1, "pad": 0}, {"pool_height": 2, "pool_width": 2, "stride": 2}
    >>> conv_relu_pool_forward(x, w, np.array([-6.0]), conv_param, pool_param)[0]
    array([[[[0., 1.],
             [7., 9.]]]])
    """
    name = "conv_relu_pool_forward"
    rectified, conv_cache = convolve(name, x, w, b, conv_param, "relu")
    out, pool_cache = pool(name, rectified, pool_param)
    return out, (conv_cache, rectified, pool_cache)


def conv_relu_pool_backward(dout: ArrayLike, cache: Cache) -> tuple[Array, Array, Array]:
    """Gradients of `conv_relu_pool_forward`.

    Parameters
    ----------
    dout : array_like, shape (N, F, H'', W'')
        Gradient of the output.
    cache : tuple
        What `conv_relu_pool_forward` returned.

    Returns
    -------
    dx, dw, db : ndarray
        Gradients of x, w and b, in their shapes.

    Raises
    ------
    TypeError, ValueError
        As `conv_backward_fast` and `max_pool_backward_fast`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.compat.cs231n import conv_relu_pool_backward, conv_relu_pool_forward
    >>> x, w = np.arange(16.0).reshape(1, 1, 4, 4), np.ones((1, 1, 1, 1))
    >>> conv_param, pool_param = {"stride": 1, "pad": 0}, {"pool_height": 2, "pool_width": 2, "stride": 2}
    >>> out, cache = conv_relu_pool_forward(x, w, np.array([-6.0]), conv_param, pool_param)
    >>> conv_relu_pool_backward(np.ones_like(out), cache)[0][0, 0]
    array([[0., 0., 0., 0.],
           [0., 0., 0., 1.],
           [0., 0., 0., 0.],
           [0., 1., 0., 1.]])
    """
    conv_cache, rectified, pool_cache = unpack("conv_relu_pool_backward", cache, "(conv cache, relu, pool cache)")
    return conv_backward_fast(F.relu_backward(max_pool_backward_fast(dout, pool_cache), rectified), conv_cache)
