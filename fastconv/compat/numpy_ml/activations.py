"""Activation functions as numpy-ml's layers take them: objects with ``fn`` and ``grad``."""

import math
import re
from typing import Any, Protocol, runtime_checkable

import numpy as np

import fastconv.functional as F
from fastconv._checks import Array


@runtime_checkable
class Activation(Protocol):
    """A function and its derivative, both of the array before the activation."""

    def fn(self, z: Any) -> Any:
        """Return the function's values."""

    def grad(self, z: Any) -> Any:
        """Return the derivative at `z`, element by element."""


class _Named:
    """An activation that prints as numpy-ml's does."""

    gain: float = 1.0
    """What Glorot's initial weights are multiplied by before this activation."""

    def __call__(self, z: Any) -> Array:
        return self.fn(z)

    def fn(self, z: Any) -> Array:
        raise NotImplementedError(f"{type(self).__name__} must define fn")

    def __str__(self) -> str:
        return type(self).__name__


class Affine(_Named):
    """``slope * z + intercept``; by default the identity.

    Examples
    --------
    >>> import numpy as np
    >>> Affine(2, 1).fn(np.array([3.0])), Affine(2, 1).grad(np.array([3.0]))
    (array([7.]), array([2.]))
    """

    def __init__(self, slope: float = 1, intercept: float = 0) -> None:
        self.slope = slope
        self.intercept = intercept

    def __str__(self) -> str:
        return f"Affine(slope={self.slope}, intercept={self.intercept})"

    def fn(self, z: Any) -> Array:
        """Return the function's values."""
        if (self.slope, self.intercept) == (1, 0):
            return np.asarray(z)
        values: Array = self.slope * np.asarray(z) + self.intercept
        return values

    def grad(self, z: Any) -> Array:
        """Return the slope."""
        return np.full_like(z, self.slope)


class ReLU(_Named):
    """``max(z, 0)``, see `fastconv.functional.relu`."""

    gain = math.sqrt(2)

    def fn(self, z: Any) -> Array:
        """Return the function's values."""
        return F.relu(z)

    def grad(self, z: Any) -> Array:
        """Return 1 where `z` is positive, else 0."""
        return F.relu_backward(np.ones_like(z), z)


class LeakyReLU(_Named):
    """``z`` where it is positive, else ``alpha * z``, see `fastconv.functional.leaky_relu`."""

    def __init__(self, alpha: float = 0.3) -> None:
        self.alpha = alpha
        # numpy-ml's, not the sqrt(2 / (1 + alpha**2)) of He et al. 2015.
        self.gain = math.sqrt(2 + alpha**2)

    def __str__(self) -> str:
        return f"Leaky ReLU(alpha={self.alpha})"

    def fn(self, z: Any) -> Array:
        """Return the function's values."""
        return F.leaky_relu(z, self.alpha)

    def grad(self, z: Any) -> Array:
        """Return `alpha` where `z` is negative, else 1: also at 0, where `fastconv.functional` has `alpha`."""
        slopes: Array = np.ones_like(z)
        slopes[np.asarray(z) < 0] = self.alpha
        return slopes


class Sigmoid(_Named):
    """``1 / (1 + exp(-z))``, see `fastconv.functional.sigmoid`."""

    def fn(self, z: Any) -> Array:
        """Return the function's values."""
        return F.sigmoid(z)

    def grad(self, z: Any) -> Array:
        """Return the derivative."""
        return F.sigmoid_backward(np.ones_like(z), z)


class Tanh(_Named):
    """The hyperbolic tangent, see `fastconv.functional.tanh`."""

    gain = 5 / 3

    def fn(self, z: Any) -> Array:
        """Return the function's values."""
        return F.tanh(z)

    def grad(self, z: Any) -> Array:
        """Return the derivative."""
        return F.tanh_backward(np.ones_like(z), z)


_PLAIN: dict[str, type[_Named]] = {"relu": ReLU, "sigmoid": Sigmoid, "tanh": Tanh, "affine": Affine}
_NUMBER = r"([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)"
_AFFINE = re.compile(rf"affine\(slope={_NUMBER}, intercept={_NUMBER}\)")
_LEAKY = re.compile(rf"leaky relu\(alpha={_NUMBER}\)")


def get(layer: str, act_fn: object) -> Any:
    """Return the activation of a name as numpy-ml writes it, or the object itself; None is the identity.

    Raises
    ------
    ValueError
        If the name is not known.
    TypeError
        If it is neither a name nor an object with ``fn`` and ``grad``.

    Examples
    --------
    >>> str(get("Conv2D", "relu")), str(get("Conv2D", None)), str(get("Conv2D", "leaky relu(alpha=0.1)"))
    ('ReLU', 'Affine(slope=1, intercept=0)', 'Leaky ReLU(alpha=0.1)')
    """
    if act_fn is None:
        return Affine()
    if isinstance(act_fn, str):
        name = act_fn.lower()
        if name in _PLAIN:
            return _PLAIN[name]()
        if match := _AFFINE.fullmatch(name):
            return Affine(float(match[1]), float(match[2]))
        if match := _LEAKY.fullmatch(name):
            return LeakyReLU(float(match[1]))
        raise ValueError(
            f"{layer}: act_fn must be 'relu', 'sigmoid', 'tanh', 'affine(slope=1, intercept=0)' or "
            f"'leaky relu(alpha=0.3)', got {act_fn!r}"
        )
    if isinstance(act_fn, type) or not isinstance(act_fn, Activation):
        raise TypeError(f"{layer}: act_fn must be None, a name or an object with fn and grad, got {act_fn!r}")
    return act_fn
