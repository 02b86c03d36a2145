"""What the loss functions have in common: their arrays, and from one value per element or sample to the loss."""

from collections.abc import Collection
from typing import Any, Literal

import numpy as np

from fastconv._checks import Array, Dtype, check_shape, deliver, one_of, to_arrays

Reduction = Literal["none", "mean", "sum"]

_REDUCTIONS = ("none", "mean", "sum")


def check_reduction(function: str, reduction: str, *further: str) -> None:
    """Refuse what is no reduction with a ValueError; `further` ones are allowed as well."""
    one_of(function, "reduction", reduction, (*_REDUCTIONS, *further))


def operands(function: str, optional: Collection[str], **values: Any) -> tuple[list[Any], Dtype]:
    """Arrays as `to_arrays` makes them, and the dtype of the result.

    Those that are `optional` may be None, and stay it. A Python number takes the dtype of the arrays, as everywhere in
    NumPy: the gradient 1.0 of a loss does not turn float32 into float64.
    """
    given = [name for name, value in values.items() if value is not None or name not in optional]
    typed = [name for name in given if type(values[name]) not in (int, float, bool)] or given
    arrays, result = to_arrays(function, tuple(typed), tuple(values[name] for name in typed))
    found = dict(zip(typed, arrays, strict=True))
    ready = arrays[0].dtype
    return [
        found[name] if name in found else None if value is None else np.asarray(value, ready)
        for name, value in values.items()
    ], result


def reduced(values: Array, reduction: str, divisor: float, result: Dtype) -> Array:
    """Return the loss of single values: they themselves, their sum, or for any other reduction sum / `divisor`.

    0 / 0, the mean of nothing, is NaN as in torch.
    """
    if reduction == "none":
        return deliver(values, None, result)
    total = values.sum()
    if reduction != "sum":
        with np.errstate(divide="ignore", invalid="ignore"):
            total = total / total.dtype.type(divisor)
    return np.asarray(total, result)


def spread(function: str, grad_output: Array, reduction: str, divisor: float, shape: tuple[int, ...]) -> Array:
    """Return the gradient of the single values, of `shape` or a scalar, from that of the loss."""
    if reduction == "none":
        check_shape(function, "grad_output", grad_output, shape, ", that of the loss")
        return grad_output
    check_shape(function, "grad_output", grad_output, (), f", that of a loss with reduction={reduction!r}")
    if reduction == "sum":
        return grad_output
    return np.asarray(grad_output / grad_output.dtype.type(divisor) if divisor else 0, grad_output.dtype)
