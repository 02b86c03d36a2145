"""Cross-entropy of yes-or-no targets, from probabilities or logits, and its gradients."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fastconv._checks import Array, Dtype, check_shape, deliver, to_array
from fastconv._memory import empty_like
from fastconv.functional._reduction import Reduction, check_reduction, operands, reduced, spread
from fastconv.functional.activations import sigmoid

# torch's bounds: logarithms of probabilities are not below the one, divisors p (1 - p) not below the other.
_SMALLEST_LOGARITHM = -100.0
_SMALLEST_DIVISOR = 1e-12


def binary_cross_entropy(
    input: ArrayLike, target: ArrayLike, weight: ArrayLike | None = None, reduction: Reduction = "mean"
) -> Array:
    r"""Negative log-likelihood of yes-or-no targets, :math:`l = -w (t \log p + (1 - t) \log(1 - p))`.

    Parameters
    ----------
    input : array_like
        Probabilities :math:`p` from 0 to 1. Their logarithms count as at least -100.
    target : array_like, of the input's shape
        Probabilities :math:`t`, as a rule 0 or 1.
    weight : array_like, optional
        Factors :math:`w`, broadcast to the input's shape. The divisor of the mean remains the number of elements.
    reduction : {"mean", "sum", "none"}
        As for `mse_loss`.

    Returns
    -------
    ndarray
        As of `mse_loss`.

    Raises
    ------
    TypeError
        As `mse_loss`.
    ValueError
        A `target` of another shape, a `weight` that cannot be broadcast, an `input` that is no probability.

    See Also
    --------
    binary_cross_entropy_backward : the gradient.
    binary_cross_entropy_with_logits : exact where a sigmoid would round to 0 or 1.

    References
    ----------
    ``torch.nn.functional.binary_cross_entropy``.

    Examples
    --------
    >>> import fastconv.functional as F
    >>> F.binary_cross_entropy([0.5, 0.5], [0.0, 1.0]).round(4)
    np.float64(0.6931)
    """
    given = _operands("binary_cross_entropy", reduction, None, input, target, weight)
    _check_probabilities("binary_cross_entropy", given.x)
    return _loss(given, _likelihood(given.x, given.yes, given.no), reduction)


def binary_cross_entropy_backward(
    grad_output: ArrayLike,
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    reduction: Reduction = "mean",
) -> Array:
    r"""Gradient of `binary_cross_entropy` by its input, :math:`w (p - t) / (p (1 - p))`, the divisor at least 1e-12.

    Parameters, results and errors are those of `mse_loss_backward` and `binary_cross_entropy`.

    Examples
    --------
    >>> import fastconv.functional as F
    >>> F.binary_cross_entropy_backward(1.0, [0.5, 0.5], [0.0, 1.0])
    array([ 1., -1.])
    """
    name = "binary_cross_entropy_backward"
    given = _operands(name, reduction, grad_output, input, target, weight)
    _check_probabilities(name, given.x)
    return _gradient(name, given, _likelihood_slope(given.x, given.yes, given.no), reduction)


def binary_cross_entropy_with_logits(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    reduction: Reduction = "mean",
    pos_weight: ArrayLike | None = None,
) -> Array:
    r"""`binary_cross_entropy` of a sigmoid, from what the sigmoid is applied to: finite for any finite input.

    .. math:: l = -w \big(q t \log \sigma(x) + (1 - t) \log(1 - \sigma(x))\big)

    Parameters
    ----------
    input : array_like
        Logits :math:`x`.
    target, weight, reduction
        As for `binary_cross_entropy`.
    pos_weight : array_like, optional
        Factors :math:`q` of the positive targets, broadcast to the input's shape.

    Returns
    -------
    ndarray
        As of `mse_loss`.

    Raises
    ------
    TypeError, ValueError
        As `binary_cross_entropy`, but for the input's range.

    See Also
    --------
    binary_cross_entropy_with_logits_backward : the gradient.

    References
    ----------
    ``torch.nn.functional.binary_cross_entropy_with_logits``.

    Examples
    --------
    >>> import fastconv.functional as F
    >>> F.binary_cross_entropy_with_logits([-1000.0, 1000.0], [1.0, 1.0], reduction="none")
    array([1000.,    0.])
    """
    name = "binary_cross_entropy_with_logits"
    given = _operands(name, reduction, None, input, target, weight, pos_weight)
    return _loss(given, _logistic(given.x, given.yes, given.no), reduction)


def binary_cross_entropy_with_logits_backward(
    grad_output: ArrayLike,
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    reduction: Reduction = "mean",
    pos_weight: ArrayLike | None = None,
) -> Array:
    r"""Gradient of `binary_cross_entropy_with_logits` by its input, :math:`w ((q t + 1 - t) \sigma(x) - q t)`.

    Parameters, results and errors are those of `mse_loss_backward` and `binary_cross_entropy_with_logits`.

    Examples
    --------
    >>> import fastconv.functional as F
    >>> F.binary_cross_entropy_with_logits_backward(1.0, [0.0, 1000.0], [1.0, 0.0])
    array([-0.25,  0.5 ])
    """
    name = "binary_cross_entropy_with_logits_backward"
    given = _operands(name, reduction, grad_output, input, target, weight, pos_weight)
    return _gradient(name, given, _logistic_slope(given.x, given.yes, given.no), reduction)


class _Operands(NamedTuple):
    """The arguments as arrays."""

    x: Array
    yes: Array  # q t
    no: Array  # 1 - t
    weight: Array | None
    grad_output: Array | None
    result: Dtype


def _operands(
    function: str, reduction: str, grad_output: Any, input: Any, target: Any, weight: Any, pos_weight: Any = None
) -> _Operands:
    check_reduction(function, reduction)
    (gy, x, t, w, q), result = operands(
        function,
        ("grad_output", "weight", "pos_weight"),
        grad_output=grad_output,
        input=input,
        target=target,
        weight=weight,
        pos_weight=pos_weight,
    )
    check_shape(function, "target", t, x.shape, ", that of input")
    for name, factor in (("weight", w), ("pos_weight", q)):
        if factor is not None and not _broadcasts_to(factor.shape, x.shape):
            raise ValueError(f"{function}: {name} must have a shape that broadcasts to {x.shape}, got {factor.shape}")
    return _Operands(x, t if q is None else q * t, 1 - t, w, gy, result)


def _check_probabilities(function: str, p: Array) -> None:
    if p.size and (p.min() < 0 or p.max() > 1):
        raise ValueError(
            f"{function}: input must hold probabilities from 0 to 1, got {p.min() if p.min() < 0 else p.max()}"
        )


def _loss(given: _Operands, values: Array, reduction: str) -> Array:
    if given.weight is not None:
        values *= given.weight
    return reduced(values, reduction, values.size, given.result)


def _gradient(function: str, given: _Operands, slope: Array, reduction: str) -> Array:
    grad_output = to_array(function, "grad_output", given.grad_output)
    if given.weight is not None:
        slope *= given.weight
    slope *= spread(function, grad_output, reduction, slope.size, slope.shape)
    return deliver(slope, None, given.result)


def _broadcasts_to(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return len(shape) <= len(wanted) and all(
        size in (1, other) for size, other in zip(reversed(shape), reversed(wanted), strict=False)
    )


def _likelihood(p: Array, yes: Array, no: Array) -> Array:
    with np.errstate(divide="ignore"):
        values: Array = np.log(p, out=empty_like(p))
        log_no = np.log1p(-p)
    np.maximum(values, _SMALLEST_LOGARITHM, out=values)
    values *= yes
    values += np.maximum(log_no, _SMALLEST_LOGARITHM) * no
    values *= -1
    return values


def _likelihood_slope(p: Array, yes: Array, no: Array) -> Array:
    slope: Array = np.multiply(yes + no, p, out=empty_like(p))
    slope -= yes
    slope /= np.maximum(p * (1 - p), _SMALLEST_DIVISOR)
    return slope


def _logistic(x: Array, yes: Array, no: Array) -> Array:
    # -log(sigmoid(x)) = log(1 + exp(-|x|)) + max(-x, 0), and -log(1 - sigmoid(x)) the same of -x: no overflow.
    values: Array = np.abs(x, out=empty_like(x))
    np.log1p(np.exp(np.negative(values, out=values), out=values), out=values)
    values *= yes + no
    values += np.maximum(-x, 0) * yes
    values += np.maximum(x, 0) * no
    return values


def _logistic_slope(x: Array, yes: Array, no: Array) -> Array:
    slope: Array = sigmoid(x)
    slope *= yes + no
    slope -= yes
    return slope
