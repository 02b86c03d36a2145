"""Softmax, its logarithm, and their gradients."""

import math
import operator
from typing import Any

from numpy.typing import ArrayLike, DTypeLike

from fastconv import _core
from fastconv._checks import Array, check_shape, deliver, to_array, to_arrays, to_dtype
from fastconv._memory import empty_like


def softmax(input: ArrayLike, dim: int = -1, *, dtype: DTypeLike | None = None) -> Array:
    r"""Exponentials along an axis, scaled to a sum of 1.

    .. math:: y_i = \frac{e^{x_i - m}}{\sum_k e^{x_k - m}}, \quad m = \max_k x_k

    Parameters
    ----------
    input : array_like, of any shape
    dim : int
        The axis of the sum; the last one by default.
    dtype : dtype, optional
        Convert the input to it first.

    Returns
    -------
    ndarray, of the input's shape
        Its dtype as in `relu`. No overflow for any finite input.

    Raises
    ------
    TypeError
        Complex, object or masked arrays; a `dim` that is no integer.
    ValueError
        A `dim` that the input does not have.

    See Also
    --------
    softmax_backward : the gradient.
    log_softmax : the logarithm, exact where this one is 0.

    Notes
    -----
    One pass along the last axis; any other axis costs two copies.

    References
    ----------
    ``torch.nn.functional.softmax``.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> F.softmax(np.array([[0.0, 0.0], [-1000.0, 1000.0]]))
    array([[0.5, 0.5],
           [0. , 1. ]])
    """
    return _softmax("softmax", False, input, dim, dtype)


def softmax_backward(
    grad_output: ArrayLike,
    input: ArrayLike | None,
    dim: int = -1,
    *,
    dtype: DTypeLike | None = None,
    output: ArrayLike | None = None,
) -> Array:
    r"""Gradient of `softmax`.

    .. math::

        \frac{\partial L}{\partial x_i} = y_i \Big(g_i - \sum_k g_k y_k\Big), \quad g = \frac{\partial L}{\partial y}

    Parameters
    ----------
    grad_output : array_like
        Gradient of the output, of the input's shape.
    input : array_like or None
        As it was given to `softmax`. Not looked at where `output` is given; None will then do.
    dim, dtype
        As they were given to `softmax`.
    output : array_like, optional
        What `softmax` returned; it is then not computed again.

    Returns
    -------
    ndarray, of the input's shape
        Its dtype is ``np.result_type`` of the two arrays by the rule of `relu`.

    Raises
    ------
    TypeError, ValueError
        As `softmax`; also a `grad_output` of another shape than the input.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> F.softmax_backward(np.array([4.0, 0.0]), np.array([0.0, 0.0]))
    array([ 1., -1.])
    """
    return _softmax_backward("softmax_backward", False, grad_output, input, dim, dtype, output)


def log_softmax(input: ArrayLike, dim: int = -1, *, dtype: DTypeLike | None = None) -> Array:
    r"""Logarithm of `softmax`, without its underflow.

    .. math:: y_i = x_i - m - \log \sum_k e^{x_k - m}, \quad m = \max_k x_k

    Parameters
    ----------
    input : array_like, of any shape
    dim : int
        The axis of the sum; the last one by default.
    dtype : dtype, optional
        Convert the input to it first.

    Returns
    -------
    ndarray, of the input's shape
        Its dtype as in `relu`.

    Raises
    ------
    TypeError, ValueError
        As `softmax`.

    See Also
    --------
    log_softmax_backward : the gradient.

    References
    ----------
    ``torch.nn.functional.log_softmax``.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> F.log_softmax(np.array([-1000.0, 1000.0]))
    array([-2000.,     0.])
    """
    return _softmax("log_softmax", True, input, dim, dtype)


def log_softmax_backward(
    grad_output: ArrayLike,
    input: ArrayLike | None,
    dim: int = -1,
    *,
    dtype: DTypeLike | None = None,
    output: ArrayLike | None = None,
) -> Array:
    r"""Gradient of `log_softmax`.

    .. math:: \frac{\partial L}{\partial x_i} = g_i - e^{y_i} \sum_k g_k, \quad g = \frac{\partial L}{\partial y}

    Parameters
    ----------
    grad_output : array_like
        Gradient of the output, of the input's shape.
    input : array_like or None
        As it was given to `log_softmax`. Not looked at where `output` is given; None will then do.
    dim, dtype
        As they were given to `log_softmax`.
    output : array_like, optional
        What `log_softmax` returned; it is then not computed again.

    Returns
    -------
    ndarray, of the input's shape
        Its dtype is ``np.result_type`` of the two arrays by the rule of `relu`.

    Raises
    ------
    TypeError, ValueError
        As `softmax_backward`.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> F.log_softmax_backward(np.array([2.0, 0.0]), np.array([0.0, 0.0]))
    array([ 1., -1.])
    """
    return _softmax_backward("log_softmax_backward", True, grad_output, input, dim, dtype, output)


def _softmax(function: str, logarithm: bool, input: Any, dim: int, dtype: DTypeLike | None) -> Array:
    if dtype is None and type(dim) is int and dim == -1:
        done: Array | None = _core.softmaxed(logarithm, input)
        if done is not None:
            return done
    if dtype is not None:
        input = to_array(function, "input", input).astype(to_dtype(function, dtype), copy=False)
    (x,), result = to_arrays(function, ("input",), (input,))
    axis = _axis(function, dim, x.ndim)
    y = empty_like(x)
    if y.size:
        _core.softmax_forward(logarithm, *_sizes(x.shape, axis), x, y)
    return deliver(y, None, result)


def _softmax_backward(
    function: str, logarithm: bool, grad_output: Any, input: Any, dim: int, dtype: DTypeLike | None, output: Any
) -> Array:
    name = "input" if output is None else "output"
    y = _softmax(function, logarithm, input, dim, dtype) if output is None else output
    (gy, y), result = to_arrays(function, ("grad_output", name), (grad_output, y))
    check_shape(function, "grad_output", gy, y.shape, f", that of {name}")
    axis = _axis(function, dim, y.ndim)
    gx = empty_like(y)
    if gx.size:
        _core.softmax_backward(logarithm, *_sizes(y.shape, axis), y, gy, gx)
    return deliver(gx, None, result)


def _axis(function: str, dim: int, axes: int) -> int:
    """Count `dim` from 0 on; a scalar is one element of one axis."""
    try:
        axis = operator.index(dim)
    except TypeError:
        raise TypeError(f"{function}: dim must be an integer, got {dim!r}") from None
    axes = max(axes, 1)
    if not -axes <= axis < axes:
        raise ValueError(f"{function}: dim must be from {-axes} to {axes - 1}, got {axis}")
    return axis % axes


def _sizes(shape: tuple[int, ...], axis: int) -> tuple[int, int]:
    """Return the elements along `axis`, and the distance between them; a scalar is one element."""
    return (shape[axis], math.prod(shape[axis + 1 :])) if shape else (1, 1)
