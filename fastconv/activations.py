"""Activation functions by the names of Keras.

Most gradients need only the output, so that training keeps no second array.
"""

# ruff: noqa: D102 - what an overriding method does stands in ActivationFunction.

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

import fastconv.functional as F
from fastconv._checks import number
from fastconv._configurable import Configurable, resolve

Array = NDArray[Any]

_SELU_SCALE = 1.0507009873554805
_SELU_LIMIT = _SELU_SCALE * 1.6732632423543772
_MISH_BOUND = 800.0


class ActivationFunction(Configurable, ABC):
    """A function of an array, as the `activation` argument of a layer names it.

    Attributes
    ----------
    name : str
        The name that Keras knows it by.
    fused : bool
        Whether ``F.conv2d(..., activation=name)`` applies it while it stores the result.
    needs_input : bool
        Whether `backward` takes the input of the function. Otherwise it takes the output.
    """

    name: ClassVar[str]
    fused: ClassVar[bool] = False
    needs_input: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, x: Array) -> Array:
        """Return ``y = f(x)``."""

    @abstractmethod
    def backward(self, grad_y: Array, saved: Array, /) -> Array:
        """Return the gradient of `x`, given that of ``y = f(x)`` and the array that it needs: `y`, or `x`."""

    def apply(self, x: Array) -> tuple[Array, Array]:
        """Return ``y = f(x)`` and what `backward` takes."""
        y = self(x)
        return y, x if self.needs_input else y


class Linear(ActivationFunction):
    """The identity."""

    name = "linear"

    def __call__(self, x: Array) -> Array:
        return x

    def backward(self, grad_y: Array, y: Array) -> Array:
        return grad_y


class Relu(ActivationFunction):
    """``max(x, 0)``, see `fastconv.functional.relu`."""

    name = "relu"
    fused = True

    def __call__(self, x: Array) -> Array:
        return F.relu(x)

    def backward(self, grad_y: Array, y: Array) -> Array:
        # y > 0 exactly where x > 0.
        return F.relu_backward(grad_y, y)


class LeakyRelu(ActivationFunction):
    """``x`` where it is positive, else ``negative_slope * x``, see `fastconv.functional.leaky_relu`."""

    name = "leaky_relu"

    def __init__(self, negative_slope: float = 0.2) -> None:
        self.negative_slope = _not_negative("leaky_relu", "negative_slope", negative_slope)

    def __call__(self, x: Array) -> Array:
        return F.leaky_relu(x, self.negative_slope)

    def backward(self, grad_y: Array, y: Array) -> Array:
        # A slope that is not negative keeps the sign: y > 0 exactly where x > 0.
        return F.leaky_relu_backward(grad_y, y, self.negative_slope)


class Relu6(ActivationFunction):
    """``min(max(x, 0), 6)``, see `fastconv.functional.relu6`."""

    name = "relu6"

    def __call__(self, x: Array) -> Array:
        return F.relu6(x)

    def backward(self, grad_y: Array, y: Array) -> Array:
        # 0 < y < 6 exactly where 0 < x < 6.
        return F.relu6_backward(grad_y, y)


class BoundedRelu(ActivationFunction):
    """Keras' general ReLU: 0 slope above `max_value`, identity above `threshold`, ``negative_slope * (x - threshold)``
    elsewhere."""

    name = "bounded_relu"

    def __init__(self, max_value: float | None = None, negative_slope: float = 0.0, threshold: float = 0.0) -> None:
        self.max_value = None if max_value is None else _not_negative("ReLU", "max_value", max_value)
        self.negative_slope = _not_negative("ReLU", "negative_slope", negative_slope)
        self.threshold = _not_negative("ReLU", "threshold", threshold)

    def __call__(self, x: Array) -> Array:
        # Without a slope, nothing is multiplied: 0 * -inf would be NaN. A NaN is on neither side and stays.
        below = self.negative_slope * (x - self.threshold) if self.negative_slope else 0
        y = np.where(x <= self.threshold, below, x)
        return y if self.max_value is None else np.minimum(y, self.max_value, out=y)

    def backward(self, grad_y: Array, y: Array) -> Array:
        # The threshold is not negative, so only an x above it gives a y above it.
        grad_x = np.where(y > self.threshold, grad_y, self.negative_slope * grad_y)
        if self.max_value is not None:
            grad_x[y >= self.max_value] = 0
        return grad_x


class Sigmoid(ActivationFunction):
    """``1 / (1 + exp(-x))``, see `fastconv.functional.sigmoid`."""

    name = "sigmoid"
    fused = True

    def __call__(self, x: Array) -> Array:
        return F.sigmoid(x)

    def backward(self, grad_y: Array, y: Array) -> Array:
        return F.sigmoid_backward(grad_y, y, output=y)


class Tanh(ActivationFunction):
    """Hyperbolic tangent, see `fastconv.functional.tanh`."""

    name = "tanh"
    fused = True

    def __call__(self, x: Array) -> Array:
        return F.tanh(x)

    def backward(self, grad_y: Array, y: Array) -> Array:
        return F.tanh_backward(grad_y, y, output=y)


class Elu(ActivationFunction):
    """``x`` where it is positive, else ``alpha * (exp(x) - 1)``, see `fastconv.functional.elu`."""

    name = "elu"

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = _not_negative("elu", "alpha", alpha)

    def __call__(self, x: Array) -> Array:
        return F.elu(x, self.alpha)

    def backward(self, grad_y: Array, y: Array) -> Array:
        return F.elu_backward(grad_y, None, self.alpha, output=y)


class Selu(ActivationFunction):
    """``scale * elu(x, alpha)`` with the constants that keep mean 0 and variance 1 (Klambauer et al. 2017,
    arXiv:1706.02515)."""

    name = "selu"

    def __call__(self, x: Array) -> Array:
        y = F.elu(x, _SELU_LIMIT)
        with np.errstate(over="ignore"):
            return np.multiply(y, _SELU_SCALE, out=y, where=x > 0)

    def backward(self, grad_y: Array, y: Array) -> Array:
        grad_x = F.elu_backward(grad_y, None, _SELU_LIMIT, output=y)
        return np.multiply(grad_x, _SELU_SCALE, out=grad_x, where=y > 0)


class Exponential(ActivationFunction):
    """``exp(x)``; infinity where that is too large for the dtype."""

    name = "exponential"

    def __call__(self, x: Array) -> Array:
        with np.errstate(over="ignore", under="ignore"):
            return np.exp(x)

    def backward(self, grad_y: Array, y: Array) -> Array:
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            return grad_y * y


class Gelu(ActivationFunction):
    """``x * P(X <= x)`` for a normally distributed X, or its approximation, see `fastconv.functional.gelu`."""

    name = "gelu"
    needs_input = True

    def __init__(self, approximate: bool = False) -> None:
        self.approximate = bool(approximate)

    def __call__(self, x: Array) -> Array:
        return F.gelu(x, self._formula())

    def backward(self, grad_y: Array, x: Array) -> Array:
        return F.gelu_backward(grad_y, x, self._formula())

    def _formula(self) -> str:
        return "tanh" if self.approximate else "none"


class Silu(ActivationFunction):
    """``x * sigmoid(x)``, also called swish, see `fastconv.functional.silu`."""

    name = "silu"
    needs_input = True

    def __call__(self, x: Array) -> Array:
        return F.silu(x)

    def backward(self, grad_y: Array, x: Array) -> Array:
        return F.silu_backward(grad_y, x)


class Softplus(ActivationFunction):
    """``log(1 + exp(x))``, see `fastconv.functional.softplus`."""

    name = "softplus"
    needs_input = True

    def __call__(self, x: Array) -> Array:
        return F.softplus(x)

    def backward(self, grad_y: Array, x: Array) -> Array:
        return F.softplus_backward(grad_y, x)


class LogSigmoid(ActivationFunction):
    """``-log(1 + exp(-x))``."""

    name = "log_sigmoid"
    needs_input = True

    def __call__(self, x: Array) -> Array:
        return -F.softplus(-x, threshold=math.inf)

    def backward(self, grad_y: Array, x: Array) -> Array:
        return F.softplus_backward(grad_y, -x, threshold=math.inf)


class Mish(ActivationFunction):
    """``x * tanh(softplus(x))`` (Misra 2019, arXiv:1908.08681)."""

    name = "mish"
    needs_input = True

    def __call__(self, x: Array) -> Array:
        # The other factor is 0 before the bound. Minus infinity times 0 would be NaN.
        return np.maximum(x, -_MISH_BOUND) * F.tanh(F.softplus(x))

    def backward(self, grad_y: Array, x: Array) -> Array:
        gate = F.tanh(F.softplus(x))
        inner = F.tanh_backward(grad_y * np.clip(x, -_MISH_BOUND, _MISH_BOUND), None, output=gate)
        return grad_y * gate + F.softplus_backward(inner, x)


class Softsign(ActivationFunction):
    """``x / (1 + abs(x))``."""

    name = "softsign"
    needs_input = True

    def __call__(self, x: Array) -> Array:
        with np.errstate(invalid="ignore"):  # infinity gives NaN, as in Keras
            y: Array = x / (1 + np.abs(x))
        return y

    def backward(self, grad_y: Array, x: Array) -> Array:
        scale = 1 + np.abs(x)
        grad_x: Array = grad_y / scale / scale  # a square could overflow
        return grad_x


class HardSigmoid(ActivationFunction):
    """``min(max(x + 3, 0), 6) / 6``."""

    name = "hard_sigmoid"

    def __call__(self, x: Array) -> Array:
        return F.relu6(x + 3) / 6

    def backward(self, grad_y: Array, y: Array) -> Array:
        return np.where((y > 0) & (y < 1), grad_y / 6, 0)


class HardSilu(ActivationFunction):
    """``x * hard_sigmoid(x)``, also called hard_swish (Howard et al. 2019, arXiv:1905.02244)."""

    name = "hard_silu"
    needs_input = True

    def __call__(self, x: Array) -> Array:
        # The other factor is 0 before -3. Minus infinity times 0 would be NaN.
        return np.maximum(x, -3) * (F.relu6(x + 3) / 6)

    def backward(self, grad_y: Array, x: Array) -> Array:
        return grad_y * np.where(np.abs(x) < 3, x / 3 + 0.5, x > 0)


class HardTanh(ActivationFunction):
    """``min(max(x, -1), 1)``."""

    name = "hard_tanh"

    def __call__(self, x: Array) -> Array:
        return np.clip(x, -1, 1)

    def backward(self, grad_y: Array, y: Array) -> Array:
        return np.where(np.abs(y) < 1, grad_y, 0)


class Softmax(ActivationFunction):
    """``exp(x) / sum(exp(x))`` along `axis`, see `fastconv.functional.softmax`; along several, the sum is over all."""

    name = "softmax"

    def __init__(self, axis: int | Sequence[int] = -1) -> None:
        self.axis = _axes("Softmax: axis", axis)

    def __call__(self, x: Array) -> Array:
        if isinstance(self.axis, int):
            return F.softmax(x, self.axis)
        rows, split = self._rows(x)
        return split(F.softmax(rows))

    def backward(self, grad_y: Array, y: Array) -> Array:
        if isinstance(self.axis, int):
            return F.softmax_backward(grad_y, y, self.axis, output=y)
        (grads, split), (rows, _) = self._rows(grad_y), self._rows(y)
        return split(F.softmax_backward(grads, None, output=rows))

    def _rows(self, x: Array) -> tuple[Array, Callable[[Array], Array]]:
        """Return `x` with its several axes as the last one, and what puts such an array back into its shape."""
        assert not isinstance(self.axis, int)
        for axis in self.axis:
            if not -x.ndim <= axis < x.ndim:
                raise ValueError(f"Softmax: axis must hold integers from {-x.ndim} to {x.ndim - 1}, got {self.axis}")
        if len({axis % x.ndim for axis in self.axis}) < len(self.axis):
            raise ValueError(f"Softmax: axis must name each axis once, got {self.axis} for {x.ndim} axes")
        last = tuple(range(-len(self.axis), 0))
        moved = np.moveaxis(x, self.axis, last)
        rows = moved.reshape(*moved.shape[: -len(last)], math.prod(moved.shape[-len(last) :]))
        return rows, lambda y: np.ascontiguousarray(np.moveaxis(y.reshape(moved.shape), last, self.axis))


class LogSoftmax(ActivationFunction):
    """The logarithm of `Softmax` along `axis`, see `fastconv.functional.log_softmax`."""

    name = "log_softmax"

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    def __call__(self, x: Array) -> Array:
        return F.log_softmax(x, self.axis)

    def backward(self, grad_y: Array, y: Array) -> Array:
        return F.log_softmax_backward(grad_y, y, self.axis, output=y)


_CLASSES: tuple[type[ActivationFunction], ...] = (
    *(Linear, Relu, LeakyRelu, Relu6, Sigmoid, Tanh, Elu, Selu, Exponential, Gelu, Silu, Softplus, LogSigmoid, Mish),
    *(Softsign, HardSigmoid, HardSilu, HardTanh, Softmax, LogSoftmax),
)
_BY_NAME: dict[str, type[ActivationFunction]] = {cls.name: cls for cls in _CLASSES}
_BY_NAME |= {"swish": Silu, "hard_swish": HardSilu}


def _axes(where: str, axis: int | Sequence[int]) -> int | tuple[int, ...]:
    """Return an axis, or the axes of a sequence."""
    several = isinstance(axis, list | tuple)
    entries = tuple(axis) if isinstance(axis, list | tuple) else (axis,)
    for entry in entries:
        if isinstance(entry, bool | np.bool_) or not isinstance(entry, int | np.integer):
            raise TypeError(f"{where} must be an integer or a sequence of integers, got {axis!r}")
    if not entries:
        raise ValueError(f"{where} must name at least one axis, got {axis!r}")
    return tuple(int(entry) for entry in entries) if several else int(entries[0])


def get(identifier: object, where: str = "get: activation") -> ActivationFunction:
    """Return the activation function of a name, a class, a configuration or an object; None means "linear".

    Examples
    --------
    >>> get("leaky_relu")
    LeakyRelu(negative_slope=0.2)
    """
    return Linear() if identifier is None else resolve(where, identifier, ActivationFunction, _BY_NAME)


def _not_negative(function: str, argument: str, value: Any) -> float:
    found = number(function, argument, value)
    if not found >= 0:
        raise ValueError(f"{function}: {argument} must not be negative, got {value!r}")
    return found


def __getattr__(name: str) -> ActivationFunction:
    """Return the function of a name, so that ``activations.relu`` is one, as in Keras."""
    if name not in _BY_NAME:
        raise AttributeError(f"module 'fastconv.activations' has no attribute {name!r}")
    return _BY_NAME[name]()
