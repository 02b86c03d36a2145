"""Losses that compare an input with a target element by element, and their gradients."""

import math
import warnings
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from fastconv._checks import Array, deliver, flag, number
from fastconv._memory import empty
from fastconv.functional._reduction import Reduction, check_reduction, operands, reduced, spread

# From input and target of one shape to a new array of that shape: the losses of the elements, or their derivatives.
Elementwise = Callable[[Array, Array], Array]


def mse_loss(input: ArrayLike, target: ArrayLike, reduction: Reduction = "mean") -> Array:
    r"""Squared error, :math:`l = (x - t)^2`.

    Parameters
    ----------
    input, target : array_like, of the same shape
        Other shapes are broadcast; unless one is a scalar with a warning, since it is rarely meant.
    reduction : {"mean", "sum", "none"}
        The loss is the mean or the sum over all elements, or an array of the elements' losses.

    Returns
    -------
    ndarray
        Of shape ``()``, or with "none" of the input's shape. Its dtype is ``np.result_type(input, target)``; integers
        and booleans are promoted by ``np.result_type(..., np.float32)``, float16 is computed in float32.

    Raises
    ------
    TypeError
        Complex, object or masked arrays.
    ValueError
        Shapes that cannot be broadcast; an unknown `reduction`.

    See Also
    --------
    mse_loss_backward : the gradient.

    References
    ----------
    ``torch.nn.functional.mse_loss``.

    Examples
    --------
    >>> import fastconv.functional as F
    >>> F.mse_loss([1.0, 2.0], [1.0, 4.0])
    array(2.)
    """
    return _loss("mse_loss", _squared, input, target, reduction)


def mse_loss_backward(
    grad_output: ArrayLike, input: ArrayLike, target: ArrayLike, reduction: Reduction = "mean"
) -> Array:
    r"""Gradient of `mse_loss` by its input, :math:`2 (x - t)` times that of the element's loss.

    Parameters
    ----------
    grad_output : array_like
        Gradient of the loss: a scalar, or with ``reduction="none"`` of the loss's shape. A Python number takes the
        dtype of the other arrays.
    input, target, reduction
        As they were given to `mse_loss`.

    Returns
    -------
    ndarray, of the input's shape
        Its dtype is ``np.result_type`` of all arrays by the rule of `mse_loss`.

    Raises
    ------
    TypeError, ValueError
        As `mse_loss`; also a `grad_output` of another shape than the loss.

    Examples
    --------
    >>> import fastconv.functional as F
    >>> F.mse_loss_backward(1.0, [1.0, 2.0], [1.0, 4.0])
    array([ 0., -2.])
    """
    return _gradient("mse_loss_backward", _squared_slope, grad_output, input, target, reduction)


def l1_loss(input: ArrayLike, target: ArrayLike, reduction: Reduction = "mean") -> Array:
    r"""Absolute error, :math:`l = |x - t|`.

    Parameters, results and errors are those of `mse_loss`.

    See Also
    --------
    l1_loss_backward : the gradient.

    References
    ----------
    ``torch.nn.functional.l1_loss``.

    Examples
    --------
    >>> import fastconv.functional as F
    >>> F.l1_loss([1.0, 2.0], [1.0, 4.0])
    array(1.)
    """
    return _loss("l1_loss", _absolute, input, target, reduction)


def l1_loss_backward(
    grad_output: ArrayLike, input: ArrayLike, target: ArrayLike, reduction: Reduction = "mean"
) -> Array:
    r"""Gradient of `l1_loss` by its input: the sign of :math:`x - t`, 0 where they are equal or NaN.

    Parameters, results and errors are those of `mse_loss_backward`.

    Examples
    --------
    >>> import fastconv.functional as F
    >>> F.l1_loss_backward(1.0, [1.0, 2.0], [1.0, 4.0])
    array([ 0. , -0.5])
    """
    return _gradient("l1_loss_backward", _absolute_slope, grad_output, input, target, reduction)


def huber_loss(input: ArrayLike, target: ArrayLike, reduction: Reduction = "mean", delta: float = 1.0) -> Array:
    r"""Squared error near the target, absolute error far from it.

    .. math::

        l = \begin{cases} \frac12 e^2 & |e| \le \delta \\ \delta (|e| - \frac12 \delta) & |e| > \delta \end{cases},
        \quad e = x - t

    Parameters
    ----------
    input, target, reduction
        As for `mse_loss`.
    delta : float
        Where the one becomes the other; greater than 0.

    Returns
    -------
    ndarray
        As of `mse_loss`.

    Raises
    ------
    TypeError, ValueError
        As `mse_loss`; also a `delta` that is not positive.

    See Also
    --------
    huber_loss_backward : the gradient.

    References
    ----------
    ``torch.nn.functional.huber_loss``. P. Huber, "Robust Estimation of a Location Parameter", Ann. Math. Statist. 35,
    1964.

    Examples
    --------
    >>> import fastconv.functional as F
    >>> F.huber_loss([1.0, 2.0], [2.0, 4.0], reduction="none")
    array([0.5, 1.5])
    """
    limit = _positive("huber_loss", "delta", delta)
    return _loss("huber_loss", lambda x, t: _huber(x, t, limit), input, target, reduction)


def huber_loss_backward(
    grad_output: ArrayLike, input: ArrayLike, target: ArrayLike, reduction: Reduction = "mean", delta: float = 1.0
) -> Array:
    r"""Gradient of `huber_loss` by its input: :math:`x - t`, kept from :math:`-\delta` to :math:`\delta`.

    Parameters, results and errors are those of `mse_loss_backward` and `huber_loss`.

    Examples
    --------
    >>> import fastconv.functional as F
    >>> F.huber_loss_backward([1.0, 1.0], [1.0, 2.0], [1.5, 4.0], reduction="none")
    array([-0.5, -1. ])
    """
    limit = _positive("huber_loss_backward", "delta", delta)
    return _gradient(
        "huber_loss_backward", lambda x, t: _huber_slope(x, t, limit), grad_output, input, target, reduction
    )


def smooth_l1_loss(input: ArrayLike, target: ArrayLike, reduction: Reduction = "mean", beta: float = 1.0) -> Array:
    r"""`huber_loss` with the slope 1 far from the target: that of ``delta=beta``, divided by `beta`.

    Parameters
    ----------
    input, target, reduction
        As for `mse_loss`.
    beta : float
        Where the squared error ends. 0 gives `l1_loss`.

    Returns
    -------
    ndarray
        As of `mse_loss`.

    Raises
    ------
    TypeError, ValueError
        As `mse_loss`; also a negative `beta`.

    See Also
    --------
    smooth_l1_loss_backward : the gradient.

    References
    ----------
    ``torch.nn.functional.smooth_l1_loss``. R. Girshick, "Fast R-CNN", ICCV 2015.

    Examples
    --------
    >>> import fastconv.functional as F
    >>> F.smooth_l1_loss([1.0, 2.0], [2.0, 6.0], reduction="none", beta=2.0)
    array([0.25, 3.  ])
    """
    name = "smooth_l1_loss"
    if number(name, "beta", beta) == 0:
        return _loss(name, _absolute, input, target, reduction)
    limit = _positive(name, "beta", beta, "not be negative")
    return _loss(name, lambda x, t: _scaled(_huber(x, t, limit), 1 / limit), input, target, reduction)


def smooth_l1_loss_backward(
    grad_output: ArrayLike, input: ArrayLike, target: ArrayLike, reduction: Reduction = "mean", beta: float = 1.0
) -> Array:
    r"""Gradient of `smooth_l1_loss` by its input: :math:`(x - t) / \beta`, kept from -1 to 1.

    Parameters, results and errors are those of `mse_loss_backward` and `smooth_l1_loss`.

    Examples
    --------
    >>> import fastconv.functional as F
    >>> F.smooth_l1_loss_backward([1.0, 1.0], [1.0, 2.0], [2.0, 6.0], reduction="none", beta=2.0)
    array([-0.5, -1. ])
    """
    name = "smooth_l1_loss_backward"
    if number(name, "beta", beta) == 0:
        return _gradient(name, _absolute_slope, grad_output, input, target, reduction)
    limit = _positive(name, "beta", beta, "not be negative")
    return _gradient(
        name, lambda x, t: _scaled(_huber_slope(x, t, limit), 1 / limit), grad_output, input, target, reduction
    )


def kl_div(
    input: ArrayLike,
    target: ArrayLike,
    reduction: Literal["none", "mean", "sum", "batchmean"] = "mean",
    log_target: bool = False,
) -> Array:
    r"""Kullback-Leibler divergence of log-probabilities from a target distribution, :math:`l = t (\log t - x)`.

    Parameters
    ----------
    input : array_like
        Log-probabilities, as `log_softmax` gives them.
    target : array_like, of the input's shape
        Probabilities, or with `log_target` their logarithms. A probability of 0 counts as :math:`l = 0`.
    reduction : {"mean", "batchmean", "sum", "none"}
        The divergence of the textbooks, of one distribution a sample, is "batchmean": the sum of all elements divided
        by the length of the first axis. "mean", though the default, divides by the number of elements.
    log_target : bool

    Returns
    -------
    ndarray
        As of `mse_loss`.

    Raises
    ------
    TypeError, ValueError
        As `mse_loss`.

    See Also
    --------
    kl_div_backward : the gradient.

    References
    ----------
    ``torch.nn.functional.kl_div``. S. Kullback, R. Leibler, "On Information and Sufficiency", Ann. Math. Statist. 22,
    1951.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> F.kl_div(np.log([[0.5, 0.5]]), [[1.0, 0.0]], reduction="batchmean").round(4)
    np.float64(0.6931)
    """
    elementwise = _divergence_of_logs if flag("kl_div", "log_target", log_target) else _divergence
    return _loss("kl_div", elementwise, input, target, reduction, "batchmean")


def kl_div_backward(
    grad_output: ArrayLike,
    input: ArrayLike,
    target: ArrayLike,
    reduction: Literal["none", "mean", "sum", "batchmean"] = "mean",
    log_target: bool = False,
) -> Array:
    r"""Gradient of `kl_div` by its input: minus the target's probability.

    Parameters, results and errors are those of `mse_loss_backward` and `kl_div`.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> F.kl_div_backward(1.0, np.log([[0.5, 0.5]]), [[0.75, 0.25]], reduction="batchmean")
    array([[-0.75, -0.25]])
    """
    name = "kl_div_backward"
    slope = _divergence_of_logs_slope if flag(name, "log_target", log_target) else _divergence_slope
    return _gradient(name, slope, grad_output, input, target, reduction, "batchmean")


def _loss(function: str, elementwise: Elementwise, input: Any, target: Any, reduction: str, *further: str) -> Array:
    check_reduction(function, reduction, *further)
    (x, t), result = operands(function, (), input=input, target=target)
    values = elementwise(*_broadcast(function, x, t))
    return reduced(values, reduction, _divisor(reduction, x.shape, values.size), result)


def _gradient(
    function: str, slope: Elementwise, grad_output: Any, input: Any, target: Any, reduction: str, *further: str
) -> Array:
    check_reduction(function, reduction, *further)
    (gy, x, t), result = operands(function, (), grad_output=grad_output, input=input, target=target)
    gradient = slope(*_broadcast(function, x, t))
    gradient *= spread(function, gy, reduction, _divisor(reduction, x.shape, gradient.size), gradient.shape)
    return deliver(_summed_to(gradient, x.shape), None, result)


def _divisor(reduction: str, shape: tuple[int, ...], size: int) -> int:
    return (shape[0] if shape else 1) if reduction == "batchmean" else size


def _broadcast(function: str, x: Array, t: Array) -> tuple[Array, ...]:
    if x.shape == t.shape:
        return x, t
    try:
        pair = np.broadcast_arrays(x, t)
    except ValueError:
        raise ValueError(f"{function}: target must have the input's shape {x.shape}, got {t.shape}") from None
    if x.ndim and t.ndim:
        warnings.warn(
            f"{function}: target has shape {t.shape}, the input {x.shape}: both are broadcast to {pair[0].shape}, "
            "which is rarely meant",
            UserWarning,
            stacklevel=4,
        )
    return tuple(pair)


def _summed_to(gradient: Array, shape: tuple[int, ...]) -> Array:
    """Undo broadcasting: the gradient of an element is the sum over its copies."""
    if gradient.shape == shape:
        return gradient
    added = gradient.ndim - len(shape)
    repeated = [added + axis for axis, size in enumerate(shape) if size == 1]
    summed: Array = gradient.sum(axis=(*range(added), *repeated)).reshape(shape)
    return summed


def _positive(function: str, name: str, value: float, rule: str = "be greater than 0") -> float:
    limit = number(function, name, value)
    if not 0 < limit < math.inf:
        raise ValueError(f"{function}: {name} must be finite and {rule}, got {value}")
    return limit


def _squared(x: Array, t: Array) -> Array:
    error = _error(x, t)
    error *= error
    return error


def _squared_slope(x: Array, t: Array) -> Array:
    return _scaled(_error(x, t), 2)


def _absolute(x: Array, t: Array) -> Array:
    error = _error(x, t)
    return np.abs(error, out=error)


def _absolute_slope(x: Array, t: Array) -> Array:
    # np.sign takes four times as long.
    error = _error(x, t)
    above, below = np.asarray(error > 0).view(np.int8), np.asarray(error < 0).view(np.int8)
    return np.subtract(above, below, out=error)


def _huber(x: Array, t: Array, delta: float) -> Array:
    # With c = min(|e|, delta), both cases are c (|e| - c / 2).
    error = _absolute(x, t)
    near = np.minimum(error, delta)
    error -= near / 2
    error *= near
    return error


def _huber_slope(x: Array, t: Array, delta: float) -> Array:
    error = _error(x, t)
    return np.clip(error, -delta, delta, out=error)


def _divergence(x: Array, t: Array) -> Array:
    logarithm = np.log(t, out=np.zeros_like(t), where=t != 0)
    logarithm -= x
    # t = 0 counts as 0 also where x is -inf.
    return np.multiply(t, logarithm, out=np.zeros_like(t), where=t != 0)


def _divergence_slope(x: Array, t: Array) -> Array:
    return np.negative(t, out=empty(t.shape, t.dtype))


def _divergence_of_logs(x: Array, t: Array) -> Array:
    divergence = _error(t, x)
    divergence *= np.exp(t)
    return divergence


def _divergence_of_logs_slope(x: Array, t: Array) -> Array:
    slope: Array = np.exp(t, out=empty(t.shape, t.dtype))
    slope *= -1
    return slope


def _error(x: Array, t: Array) -> Array:
    error: Array = np.subtract(x, t, out=empty(x.shape, x.dtype))
    return error


def _scaled(array: Array, factor: float) -> Array:
    array *= factor
    return array
