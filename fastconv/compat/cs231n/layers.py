"""Affine maps, relu, dropout, losses and normalization, as the course's ``layers.py`` has them."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

import fastconv.functional as F
from fastconv._checks import Array, check_shape, deliver, to_array, to_arrays
from fastconv.compat.cs231n._arguments import Cache, array, mode, number, parameters, unpack
from fastconv.compat.cs231n.normalization import (
    batchnorm_backward,
    batchnorm_backward_alt,
    batchnorm_forward,
    layernorm_backward,
    layernorm_forward,
    spatial_batchnorm_backward,
    spatial_batchnorm_forward,
    spatial_groupnorm_backward,
    spatial_groupnorm_forward,
)

__all__ = [
    "affine_forward",
    "affine_backward",
    "relu_forward",
    "relu_backward",
    "batchnorm_forward",
    "batchnorm_backward",
    "batchnorm_backward_alt",
    "layernorm_forward",
    "layernorm_backward",
    "spatial_batchnorm_forward",
    "spatial_batchnorm_backward",
    "spatial_groupnorm_forward",
    "spatial_groupnorm_backward",
    "dropout_forward",
    "dropout_backward",
    "svm_loss",
    "softmax_loss",
]


def affine_forward(x: ArrayLike, w: ArrayLike, b: ArrayLike) -> tuple[Array, Cache]:
    r"""Affine map of samples of any shape, taken as vectors.

    .. math:: out[n, m] = b[m] + \sum_d x[n, d] \, w[d, m]

    Parameters
    ----------
    x : array_like, shape (N, d_1, ..., d_k)
    w : array_like, shape (D, M)
        With ``D = d_1 * ... * d_k``.
    b : array_like, shape (M,)

    Returns
    -------
    out : ndarray, shape (N, M)
        Its dtype is ``np.result_type`` of the arrays, see `fastconv.functional.linear`.
    cache : tuple
        (x, w, b), for `affine_backward`.

    Raises
    ------
    TypeError
        Complex, object or masked arrays.
    ValueError
        Shapes that contradict each other.

    See Also
    --------
    fastconv.functional.linear : computes it.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.compat.cs231n import affine_forward
    >>> affine_forward(np.array([[[1.0, 2.0]]]), np.array([[3.0], [4.0]]), np.array([10.0]))[0]
    array([[21.]])
    """
    name = "affine_forward"
    x, w, b = to_array(name, "x", x), array(name, "w", w, "(D, M)"), array(name, "b", b, "(M)")
    if x.ndim < 1 or math.prod(x.shape[1:]) != w.shape[0]:
        raise ValueError(
            f"{name}: x must have the axes (N, ...) with {w.shape[0]} values a sample, got shape {x.shape}"
        )
    return F.linear(_as_vectors(x), w, b, data_format="channels_last"), (x, w, b)


def affine_backward(dout: ArrayLike, cache: Cache) -> tuple[Array, Array, Array]:
    """Gradients of `affine_forward`.

    Parameters
    ----------
    dout : array_like, shape (N, M)
        Gradient of the output.
    cache : tuple
        What `affine_forward` returned.

    Returns
    -------
    dx, dw, db : ndarray
        Gradients of x, w and b, in their shapes.

    Raises
    ------
    TypeError
        A `cache` of another layer; a complex, object or masked `dout`.
    ValueError
        A `dout` of another shape than the output.

    See Also
    --------
    fastconv.functional.linear_backward : computes it; has the formulas.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.compat.cs231n import affine_backward, affine_forward
    >>> out, cache = affine_forward(np.array([[[1.0, 2.0]]]), np.array([[3.0], [4.0]]), np.array([10.0]))
    >>> affine_backward(np.array([[10.0]]), cache)
    (array([[[30., 40.]]]), array([[10.], [20.]]), array([10.]))
    """
    x, w, b = unpack("affine_backward", cache, "(x, w, b)")
    # Of arrays, linear_backward returns a gradient for each.
    dx, dw, db = F.linear_backward(dout, _as_vectors(x), w, b, data_format="channels_last")
    return dx.reshape(x.shape), dw, db  # type: ignore[union-attr, return-value]


def relu_forward(x: ArrayLike) -> tuple[Array, Array]:
    """Rectified linear unit, max(x, 0).

    Parameters
    ----------
    x : array_like, of any shape

    Returns
    -------
    out : ndarray, of the shape of `x`
        In its dtype; integers and booleans become ``np.result_type(x, np.float32)``. NaN stays NaN.
    cache : ndarray
        x, for `relu_backward`.

    Raises
    ------
    TypeError
        A complex, object or masked array.

    See Also
    --------
    fastconv.functional.relu : computes it.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.compat.cs231n import relu_forward
    >>> relu_forward(np.array([-1.0, 2.0]))[0]
    array([0., 2.])
    """
    x = to_array("relu_forward", "x", x)
    return F.relu(x), x


def relu_backward(dout: ArrayLike, cache: ArrayLike) -> Array:
    """Gradient of `relu_forward`: that of the output where x is positive, else zero.

    Parameters
    ----------
    dout : array_like, of any shape
        Gradient of the output.
    cache : array_like
        What `relu_forward` returned.

    Returns
    -------
    dx : ndarray, of the shape of x
        The dtype is ``np.result_type(dout, x)``.

    Raises
    ------
    TypeError
        Complex, object or masked arrays.
    ValueError
        A `dout` of another shape than the output.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.compat.cs231n import relu_backward
    >>> relu_backward(np.array([5.0, 5.0]), np.array([-1.0, 2.0]))
    array([0., 5.])
    """
    return F.relu_backward(dout, to_array("relu_backward", "cache", cache))


def dropout_forward(x: ArrayLike, dropout_param: Mapping[str, Any]) -> tuple[Array, Cache]:
    """Inverted dropout: in training each element is kept with probability p and divided by p, or else zero.

    Parameters
    ----------
    x : array_like, of any shape
    dropout_param : dict
        "p", the probability to KEEP an element, above 0 and at most 1 (`fastconv.functional.dropout` and all of torch
        and Keras take the probability to drop it); "mode", "train" or "test"; and optionally "seed", an int.

    Returns
    -------
    out : ndarray, of the shape of `x`
        In its dtype; integers and booleans become ``np.result_type(x, np.float32)``. In test mode equal to `x`.
    cache : tuple
        (dropout_param, mask), for `dropout_backward`. The mask is a boolean array, true where an element is kept, or
        None in test mode.

    Raises
    ------
    TypeError
        A complex, object or masked `x`; `dropout_param` is no dict, p no number.
    ValueError
        Missing or unknown keys of `dropout_param`, a p out of range, an unknown mode.

    See Also
    --------
    fastconv.functional.dropout : computes it.

    Notes
    -----
    An element is kept where a number of NumPy's legacy stream is below p: ``np.random.rand(*x.shape)``, so that what
    ``np.random.seed`` was given decides, or that of ``RandomState(seed)``. A "seed" leaves NumPy's global state alone.

    References
    ----------
    N. Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting", JMLR 15, 2014.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.compat.cs231n import dropout_forward
    >>> dropout_forward(np.ones(6), {"p": 0.5, "mode": "train", "seed": 1})[0]
    array([2., 0., 2., 2., 2., 2.])
    """
    name = "dropout_forward"
    x = to_array(name, "x", x)
    given = parameters(name, "dropout_param", dropout_param, ("p", "mode"), {"seed": None})
    keep = number(name, "dropout_param['p']", given["p"])
    if not 0 < keep <= 1:
        raise ValueError(f"{name}: dropout_param['p'] must be above 0 and at most 1, got {keep}")
    mask = None
    if mode(name, "dropout_param", given["mode"]):
        # The legacy stream is the course's: the same seed drops the same elements.
        stream: Any = np.random if given["seed"] is None else np.random.RandomState(given["seed"])
        mask = stream.random_sample(x.shape) < keep
    return F.dropout(x, 1 - keep, training=mask is not None, mask=mask), ({**given, "p": keep}, mask)


def dropout_backward(dout: ArrayLike, cache: Cache) -> Array:
    """Gradient of `dropout_forward`: that of the output, divided by p where an element was kept, else zero.

    Parameters
    ----------
    dout : array_like, of the output's shape
        Gradient of the output.
    cache : tuple
        What `dropout_forward` returned.

    Returns
    -------
    dx : ndarray, of the shape of x
        In the dtype of `dout`.

    Raises
    ------
    TypeError
        A `cache` of another layer; a complex, object or masked `dout`.
    ValueError
        A `dout` of another shape than the output.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.compat.cs231n import dropout_backward, dropout_forward
    >>> out, cache = dropout_forward(np.ones(6), {"p": 0.5, "mode": "train", "seed": 1})
    >>> dropout_backward(np.arange(6.0), cache)
    array([ 0.,  0.,  4.,  6.,  8., 10.])
    """
    name = "dropout_backward"
    given, mask = unpack(name, cache, "(dropout_param, mask)")
    dout = to_array(name, "dout", dout)
    if mask is not None:
        check_shape(name, "dout", dout, mask.shape, ", that of the output")
    return F.dropout_backward(dout, None, 1 - given["p"], training=mask is not None, mask=mask)


def svm_loss(x: ArrayLike, y: ArrayLike) -> tuple[Any, Array]:
    r"""Multiclass hinge loss with margin 1, and its gradient.

    .. math:: L = \frac{1}{N} \sum_n \sum_{c \ne y_n} \max(0, x[n, c] - x[n, y_n] + 1)

    Parameters
    ----------
    x : array_like, shape (N, C)
        Scores of the classes.
    y : array_like of int, shape (N,)
        Labels from 0 to ``C - 1``.

    Returns
    -------
    loss : NumPy scalar
    dx : ndarray, shape (N, C)
        Gradient of the loss. Both in the dtype of `x`; integers and booleans become ``np.result_type(x, np.float32)``.

    Raises
    ------
    TypeError
        Complex, object or masked scores; labels that are no integers.
    ValueError
        Shapes that do not fit, no samples, a label out of range.

    References
    ----------
    J. Weston, C. Watkins, "Support Vector Machines for Multi-Class Pattern Recognition", ESANN 1999.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.compat.cs231n import svm_loss
    >>> svm_loss(np.array([[3.0, 2.5, -1.0]]), np.array([0]))
    (np.float64(0.5), array([[-1.,  1.,  0.]]))
    """
    scores, labels, dtype = _scores("svm_loss", x, y)
    samples = len(scores)
    true = np.arange(samples), labels
    margins = F.relu(scores - (scores[true] - 1)[:, np.newaxis], inplace=True)
    margins[true] = 0
    dx = (margins > 0).astype(scores.dtype)
    dx[true] = -dx.sum(axis=1)
    return dtype.type(margins.sum() / samples), deliver(dx / samples, None, dtype)


def softmax_loss(x: ArrayLike, y: ArrayLike) -> tuple[Any, Array]:
    r"""Mean cross-entropy of the softmax of scores, and its gradient.

    .. math:: L = -\frac{1}{N} \sum_n \log \frac{\exp x[n, y_n]}{\sum_c \exp x[n, c]}

    Parameters
    ----------
    x : array_like, shape (N, C)
        Scores of the classes.
    y : array_like of int, shape (N,)
        Labels from 0 to ``C - 1``.

    Returns
    -------
    loss : NumPy scalar
    dx : ndarray, shape (N, C)
        Gradient of the loss. Both in the dtype of `x`; integers and booleans become ``np.result_type(x, np.float32)``.

    Raises
    ------
    TypeError
        Complex, object or masked scores; labels that are no integers.
    ValueError
        Shapes that do not fit, no samples, a label out of range.

    See Also
    --------
    fastconv.functional.cross_entropy : computes it.

    Notes
    -----
    Finite for any finite scores.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.compat.cs231n import softmax_loss
    >>> loss, dx = softmax_loss(np.array([[0.0, 0.0]]), np.array([0]))
    >>> float(round(loss, 4)), dx
    (0.6931, array([[-0.5,  0.5]]))
    """
    _, labels, _ = _scores("softmax_loss", x, y)
    return F.cross_entropy(x, labels)[()], F.cross_entropy_backward(1.0, x, labels)


def _as_vectors(x: Array) -> Array:
    return x.reshape(len(x), math.prod(x.shape[1:]))


def _scores(function: str, x: ArrayLike, y: ArrayLike) -> tuple[Array, Array, np.dtype[Any]]:
    """Return scores as floats that a loss may compute with, labels, and the dtype of the result."""
    (scores,), dtype = to_arrays(function, ("x",), (x,))
    scores, labels = array(function, "x", scores, "(N, C)"), to_array(function, "y", y)
    samples, classes = scores.shape
    if not samples:
        raise ValueError(f"{function}: x must have at least 1 sample, got shape {scores.shape}")
    if labels.dtype.kind not in "iu":
        raise TypeError(f"{function}: y must be integers, got {labels.dtype}")
    check_shape(function, "y", labels, (samples,), ", one label for each sample")
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"{function}: y must be from 0 to {classes - 1}, got {labels.min()} to {labels.max()}")
    return scores, labels, dtype
