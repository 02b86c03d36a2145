"""Batch, layer and group normalization, as the course's ``layers.py`` has them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

import fastconv.functional as F
from fastconv._checks import Array, check_shape, to_array
from fastconv.compat._batch_norm import batch_norm_training, batch_norm_training_backward
from fastconv.compat.cs231n._arguments import Cache, array, mode, number, parameters, unpack

__all__ = [
    "batchnorm_forward",
    "batchnorm_backward",
    "batchnorm_backward_alt",
    "layernorm_forward",
    "layernorm_backward",
    "spatial_batchnorm_forward",
    "spatial_batchnorm_backward",
    "spatial_groupnorm_forward",
    "spatial_groupnorm_backward",
]

_EPS = 1e-5
_BATCH_DEFAULTS = {"eps": _EPS, "momentum": 0.9, "running_mean": None, "running_var": None}
# The course's notebooks pass {"mode": "train"} to functions that have no modes.
_MODELESS_DEFAULTS = {"eps": _EPS, "mode": "train"}


def batchnorm_forward(x: ArrayLike, gamma: ArrayLike, beta: ArrayLike, bn_param: dict[str, Any]) -> tuple[Array, Cache]:
    r"""Batch normalization of features.

    .. math:: out = \gamma \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta

    with mean :math:`\mu` and mean squared deviation :math:`\sigma^2` of each feature, in training those of the batch.

    Parameters
    ----------
    x : array_like, shape (N, D)
    gamma, beta : array_like, shape (D,)
    bn_param : dict
        "mode", "train" or "test"; and optionally "eps" (1e-5), "momentum" (0.9), "running_mean" and "running_var"
        (arrays of shape (D,), zeros). The latter two are stored here by every call, new arrays in training:
        ``running = momentum * running + (1 - momentum) * statistic``.

    Returns
    -------
    out : ndarray, shape (N, D)
        Its dtype is ``np.result_type(x, gamma, beta)``, where integers and booleans become ``np.result_type(...,
        np.float32)``.
    cache : tuple
        For `batchnorm_backward`, after either mode.

    Raises
    ------
    TypeError
        Complex, object or masked arrays; `bn_param` is no dict.
    ValueError
        Shapes that do not fit; missing or unknown keys of `bn_param`, an unknown mode.

    See Also
    --------
    batchnorm_backward : the gradients.
    fastconv.functional.batch_norm : computes it. Its momentum is the share of the new value, and its running variance
        that of the sample.

    References
    ----------
    S. Ioffe, C. Szegedy, "Batch Normalization", 2015, arXiv:1502.03167.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.compat.cs231n import batchnorm_forward
    >>> bn_param = {"mode": "train"}
    >>> x = np.array([[1.0, 20.0], [3.0, 60.0]])
    >>> batchnorm_forward(x, np.ones(2), np.zeros(2), bn_param)[0].round(4)
    array([[-1., -1.],
           [ 1.,  1.]])
    >>> bn_param["running_mean"], bn_param["running_var"]
    (array([0.2, 4. ]), array([ 0.1, 40. ]))
    """
    return batchnorm("batchnorm_forward", x, gamma, beta, bn_param, "(N, D)")


def batchnorm_backward(dout: ArrayLike, cache: Cache) -> tuple[Array, Array, Array]:
    """Gradients of `batchnorm_forward`; `batchnorm_backward_alt` is another name for it.

    Parameters
    ----------
    dout : array_like, shape (N, D)
        Gradient of the output.
    cache : tuple
        What `batchnorm_forward` returned. After a call in test mode the running statistics are constants.

    Returns
    -------
    dx, dgamma, dbeta : ndarray
        Gradients of x, gamma and beta, in their shapes.

    Raises
    ------
    TypeError
        A `cache` of another layer; a complex, object or masked `dout`.
    ValueError
        A `dout` of another shape than the output.

    See Also
    --------
    fastconv.functional.batch_norm_backward : computes it; has the formulas.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.compat.cs231n import batchnorm_backward, batchnorm_forward
    >>> x = np.array([[-1.0], [0.0], [1.0]])
    >>> out, cache = batchnorm_forward(x, np.array([3.0]), np.zeros(1), {"mode": "train", "eps": 0.0})
    >>> dx, dgamma, dbeta = batchnorm_backward(np.array([[1.0], [0.0], [0.0]]), cache)
    >>> dx.ravel().round(4), dgamma.round(4), dbeta
    (array([ 0.6124, -1.2247,  0.6124]), array([-1.2247]), array([1.]))
    """
    return _batchnorm_backward("batchnorm_backward", dout, cache)


batchnorm_backward_alt = batchnorm_backward


def spatial_batchnorm_forward(
    x: ArrayLike, gamma: ArrayLike, beta: ArrayLike, bn_param: dict[str, Any]
) -> tuple[Array, Cache]:
    """`batchnorm_forward` for images, whose channels are the features.

    Parameters
    ----------
    x : array_like, shape (N, C, H, W)
    gamma, beta : array_like, shape (C,)
    bn_param : dict
        As for `batchnorm_forward`, with running statistics of shape (C,).

    Returns
    -------
    out : ndarray, shape (N, C, H, W)
    cache : tuple
        For `spatial_batchnorm_backward`.

    Raises
    ------
    TypeError, ValueError
        As `batchnorm_forward`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.compat.cs231n import spatial_batchnorm_forward
    >>> x = np.array([1.0, 3.0]).reshape(1, 1, 1, 2)
    >>> spatial_batchnorm_forward(x, np.ones(1), np.zeros(1), {"mode": "train"})[0].round(4)
    array([[[[-1.,  1.]]]])
    """
    return batchnorm("spatial_batchnorm_forward", x, gamma, beta, bn_param, "(N, C, H, W)")


def spatial_batchnorm_backward(dout: ArrayLike, cache: Cache) -> tuple[Array, Array, Array]:
    """Gradients of `spatial_batchnorm_forward`.

    Parameters
    ----------
    dout : array_like, shape (N, C, H, W)
        Gradient of the output.
    cache : tuple
        What `spatial_batchnorm_forward` returned.

    Returns
    -------
    dx, dgamma, dbeta : ndarray
        Gradients of x, gamma and beta, in their shapes.

    Raises
    ------
    TypeError, ValueError
        As `batchnorm_backward`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.compat.cs231n import spatial_batchnorm_backward, spatial_batchnorm_forward
    >>> x = np.array([1.0, 3.0]).reshape(1, 1, 1, 2)
    >>> out, cache = spatial_batchnorm_forward(x, np.ones(1), np.zeros(1), {"mode": "train"})
    >>> spatial_batchnorm_backward(np.ones_like(out), cache)[2]
    array([2.])
    """
    return _batchnorm_backward("spatial_batchnorm_backward", dout, cache)


def layernorm_forward(
    x: ArrayLike, gamma: ArrayLike, beta: ArrayLike, ln_param: Mapping[str, Any]
) -> tuple[Array, Cache]:
    r"""Layer normalization of features.

    .. math:: out = \gamma \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta

    with mean :math:`\mu` and mean squared deviation :math:`\sigma^2` of each sample.

    Parameters
    ----------
    x : array_like, shape (N, D)
    gamma, beta : array_like, shape (D,)
    ln_param : dict
        Optionally "eps" (1e-5). "mode" is accepted and changes nothing.

    Returns
    -------
    out : ndarray, shape (N, D)
        Its dtype as in `batchnorm_forward`.
    cache : tuple
        For `layernorm_backward`.

    Raises
    ------
    TypeError
        Complex, object or masked arrays; `ln_param` is no dict.
    ValueError
        Shapes that do not fit; unknown keys of `ln_param`.

    See Also
    --------
    fastconv.functional.layer_norm : computes it.

    References
    ----------
    J. Ba, J. Kiros, G. Hinton, "Layer Normalization", 2016, arXiv:1607.06450.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.compat.cs231n import layernorm_forward
    >>> layernorm_forward(np.array([[1.0, 3.0], [50.0, 10.0]]), np.ones(2), np.zeros(2), {})[0].round(4)
    array([[-1.,  1.],
           [ 1., -1.]])
    """
    name = "layernorm_forward"
    x, eps = array(name, "x", x, "(N, D)"), _modeless_eps(name, "ln_param", ln_param)
    gamma, beta = _scale_and_shift(name, gamma, beta, x.shape[1:])
    return F.layer_norm(x, x.shape[1:], gamma, beta, eps), (x, gamma, beta, eps)


def layernorm_backward(dout: ArrayLike, cache: Cache) -> tuple[Array, Array, Array]:
    """Gradients of `layernorm_forward`.

    Parameters
    ----------
    dout : array_like, shape (N, D)
        Gradient of the output.
    cache : tuple
        What `layernorm_forward` returned.

    Returns
    -------
    dx, dgamma, dbeta : ndarray
        Gradients of x, gamma and beta, in their shapes.

    Raises
    ------
    TypeError
        A `cache` of another layer; a complex, object or masked `dout`.
    ValueError
        A `dout` of another shape than the output.

    See Also
    --------
    fastconv.functional.layer_norm_backward : computes it; has the formulas.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.compat.cs231n import layernorm_backward, layernorm_forward
    >>> out, cache = layernorm_forward([[-1.0, 0.0, 1.0]], np.ones(3), np.zeros(3), {"eps": 0.0})
    >>> layernorm_backward([[1.0, 0.0, 0.0]], cache)[0].round(4)
    array([[ 0.2041, -0.4082,  0.2041]])
    """
    x, gamma, beta, eps = unpack("layernorm_backward", cache, "(x, gamma, beta, eps)")
    return F.layer_norm_backward(dout, x, x.shape[1:], gamma, beta, eps)  # type: ignore[return-value]


def spatial_groupnorm_forward(
    x: ArrayLike, gamma: ArrayLike, beta: ArrayLike, G: int, gn_param: Mapping[str, Any]
) -> tuple[Array, Cache]:
    r"""Group normalization of images.

    .. math:: out = \gamma_c \frac{x - \mu_{n, g}}{\sqrt{\sigma^2_{n, g} + \epsilon}} + \beta_c

    with mean and mean squared deviation of each image in each of `G` groups of neighbouring channels.

    Parameters
    ----------
    x : array_like, shape (N, C, H, W)
    gamma, beta : array_like, shape (1, C, 1, 1) or (C,)
    G : int
        Divides the number of channels.
    gn_param : dict
        Optionally "eps" (1e-5). "mode" is accepted and changes nothing.

    Returns
    -------
    out : ndarray, shape (N, C, H, W)
        Its dtype as in `batchnorm_forward`.
    cache : tuple
        For `spatial_groupnorm_backward`.

    Raises
    ------
    TypeError
        Complex, object or masked arrays; a `G` that is no integer; `gn_param` is no dict.
    ValueError
        Shapes that do not fit; a `G` that does not divide the channels; unknown keys of `gn_param`.

    See Also
    --------
    fastconv.functional.group_norm : computes it.

    References
    ----------
    Y. Wu, K. He, "Group Normalization", 2018, arXiv:1803.08494.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.compat.cs231n import spatial_groupnorm_forward
    >>> x, gamma = np.array([1.0, 3.0, 50.0, 10.0]).reshape(1, 4, 1, 1), np.ones((1, 4, 1, 1))
    >>> spatial_groupnorm_forward(x, gamma, 0 * gamma, 2, {})[0].ravel().round(4)
    array([-1.,  1.,  1., -1.])
    """
    name = "spatial_groupnorm_forward"
    x, eps = array(name, "x", x, "(N, C, H, W)"), _modeless_eps(name, "gn_param", gn_param)
    channels = x.shape[1]
    gamma, beta = to_array(name, "gamma", gamma), to_array(name, "beta", beta)
    expected = (channels,) if gamma.ndim == 1 else (1, channels, 1, 1)
    gamma, beta = _scale_and_shift(name, gamma, beta, expected)
    return F.group_norm(x, G, gamma.ravel(), beta.ravel(), eps), (x, gamma, beta, G, eps)


def spatial_groupnorm_backward(dout: ArrayLike, cache: Cache) -> tuple[Array, Array, Array]:
    """Gradients of `spatial_groupnorm_forward`.

    Parameters
    ----------
    dout : array_like, shape (N, C, H, W)
        Gradient of the output.
    cache : tuple
        What `spatial_groupnorm_forward` returned.

    Returns
    -------
    dx, dgamma, dbeta : ndarray
        Gradients of x, gamma and beta, in their shapes.

    Raises
    ------
    TypeError
        A `cache` of another layer; a complex, object or masked `dout`.
    ValueError
        A `dout` of another shape than the output.

    See Also
    --------
    fastconv.functional.group_norm_backward : computes it.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.compat.cs231n import spatial_groupnorm_backward, spatial_groupnorm_forward
    >>> x, gamma = np.array([1.0, 3.0, 50.0, 10.0]).reshape(1, 4, 1, 1), np.ones((1, 4, 1, 1))
    >>> out, cache = spatial_groupnorm_forward(x, gamma, 0 * gamma, 2, {})
    >>> dx, dgamma, dbeta = spatial_groupnorm_backward(np.ones_like(out), cache)
    >>> dgamma.shape, dgamma.ravel().round(4)
    ((1, 4, 1, 1), array([-1.,  1.,  1., -1.]))
    """
    x, gamma, beta, groups, eps = unpack("spatial_groupnorm_backward", cache, "(x, gamma, beta, G, eps)")
    # Of arrays, group_norm_backward returns a gradient for each.
    dx, dgamma, dbeta = F.group_norm_backward(dout, x, groups, gamma.ravel(), beta.ravel(), eps)
    return dx, dgamma.reshape(gamma.shape), dbeta.reshape(beta.shape)  # type: ignore[union-attr]


def batchnorm(
    function: str, x: ArrayLike, gamma: ArrayLike, beta: ArrayLike, bn_param: Any, axes: str
) -> tuple[Array, Cache]:
    """Normalize for `function`, and store the running statistics in `bn_param`."""
    x = array(function, "x", x, axes)
    given = parameters(function, "bn_param", bn_param, ("mode",), _BATCH_DEFAULTS)
    training, eps = mode(function, "bn_param", given["mode"]), given["eps"]
    features = x.shape[1:2]
    gamma, beta = _scale_and_shift(function, gamma, beta, features)
    dtype = np.result_type(x, gamma, beta, np.float16)
    running_mean, running_var = (
        _running(function, name, given[name], features, dtype) for name in ("running_mean", "running_var")
    )
    if training:
        statistics = None
        out, mean, variance = batch_norm_training(x, gamma, beta, eps)
        kept = number(function, "bn_param['momentum']", given["momentum"])
        running_mean = (kept * running_mean + (1 - kept) * mean).astype(running_mean.dtype)
        running_var = (kept * running_var + (1 - kept) * variance).astype(running_var.dtype)
    else:
        statistics = running_mean, running_var
        out = F.batch_norm(x, *statistics, gamma, beta, eps=eps)
    bn_param.update(running_mean=running_mean, running_var=running_var)
    return out, (x, gamma, beta, eps, statistics)


def _batchnorm_backward(function: str, dout: ArrayLike, cache: Any) -> tuple[Array, Array, Array]:
    x, gamma, beta, eps, statistics = unpack(function, cache, "(x, gamma, beta, eps, statistics)")
    if statistics is None:
        return batch_norm_training_backward(to_array(function, "dout", dout), x, gamma, beta, eps)
    mean, variance = statistics
    # Of arrays, batch_norm_backward returns a gradient for each.
    return F.batch_norm_backward(dout, x, mean, variance, gamma, beta, eps=eps)  # type: ignore[return-value]


def _running(function: str, name: str, given: Any, shape: tuple[int, ...], dtype: Any) -> Array:
    if given is None:
        return np.zeros(shape, dtype)
    found = to_array(function, f"bn_param[{name!r}]", given)
    check_shape(function, f"bn_param[{name!r}]", found, shape, ", one number for each feature")
    return found.astype(np.result_type(found, np.float16), copy=False)


def _modeless_eps(function: str, name: str, given: Any) -> float:
    found = parameters(function, name, given, (), _MODELESS_DEFAULTS)
    mode(function, name, found["mode"])
    eps: float = found["eps"]
    return eps


def _scale_and_shift(function: str, gamma: ArrayLike, beta: ArrayLike, shape: tuple[int, ...]) -> tuple[Array, Array]:
    found = to_array(function, "gamma", gamma), to_array(function, "beta", beta)
    for name, values in zip(("gamma", "beta"), found, strict=True):
        check_shape(function, name, values, shape, ", one number for each feature")
    return found
