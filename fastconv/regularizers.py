"""Penalties on weights, by Keras' names, formulas and defaults: training adds them to the loss.

A regularizer is a callable ``regularizer(weight) -> float``; ``regularizer.gradient(weight)`` is the gradient of that.
"""

# ruff: noqa: D102 - what an overriding method does stands in Regularizer.

import math
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastconv._configurable import Configurable, resolve

__all__ = ["Regularizer", "L1", "L2", "L1L2", "get"]

Array = NDArray[Any]


class Regularizer(Configurable, ABC):
    """Base of all regularizers."""

    @abstractmethod
    def __call__(self, weight: Array) -> float:
        """Return the penalty for a weight."""

    @abstractmethod
    def gradient(self, weight: Array) -> Array:
        """Return the gradient of the penalty, a new array of the weight's shape and dtype."""


class L1L2(Regularizer):
    """``l1 * sum(abs(w)) + l2 * sum(w**2)``.

    The gradient is ``l1 * sign(w) + 2 * l2 * w``, with sign(0) = 0.

    Parameters
    ----------
    l1, l2 : float
        Finite and not negative. By name, ``"l1_l2"``, both are 0.01.

    Examples
    --------
    >>> import numpy as np
    >>> L1L2(l1=1.0, l2=0.5)(np.array([1.0, -2.0]))
    5.5
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        self.l1 = _factor(self, "l1", l1)
        self.l2 = _factor(self, "l2", l2)

    def __call__(self, weight: Array) -> float:
        return _sum_of_magnitudes(self.l1, weight) + _sum_of_squares(self.l2, weight)

    def gradient(self, weight: Array) -> Array:
        return self.l1 * np.sign(weight) + 2 * self.l2 * weight


class L1(Regularizer):
    """``l1 * sum(abs(w))``.

    Parameters
    ----------
    l1 : float
        Finite and not negative.
    """

    def __init__(self, l1: float = 0.01) -> None:
        self.l1 = _factor(self, "l1", l1)

    def __call__(self, weight: Array) -> float:
        return _sum_of_magnitudes(self.l1, weight)

    def gradient(self, weight: Array) -> Array:
        return self.l1 * np.sign(weight)


class L2(Regularizer):
    """``l2 * sum(w**2)``.

    Parameters
    ----------
    l2 : float
        Finite and not negative.
    """

    def __init__(self, l2: float = 0.01) -> None:
        self.l2 = _factor(self, "l2", l2)

    def __call__(self, weight: Array) -> float:
        return _sum_of_squares(self.l2, weight)

    def gradient(self, weight: Array) -> Array:
        return 2 * self.l2 * weight


# Keras' other names of the classes.
l1, l2, l1_l2 = L1, L2, L1L2

_BY_NAME: dict[str, type[Regularizer]] = {"l1": L1, "l2": L2, "l1_l2": L1L2}


def get(identifier: object, where: str = "get: regularizer") -> Regularizer:
    """Return the regularizer of a name, a class, a configuration or an object.

    Examples
    --------
    >>> get("l1_l2")
    L1L2(l1=0.01, l2=0.01)
    """
    if identifier == "l1_l2":
        # As in Keras, where the name means another default than the class.
        return L1L2(0.01, 0.01)
    return resolve(where, identifier, Regularizer, _BY_NAME)


def _sum_of_magnitudes(factor: float, weight: Array) -> float:
    return factor * float(np.abs(weight).sum(dtype=np.float64))


def _sum_of_squares(factor: float, weight: Array) -> float:
    flat = weight.ravel().astype(np.float64, copy=False)
    return factor * float(flat @ flat)


def _factor(regularizer: object, argument: str, value: Any) -> float:
    name = type(regularizer).__name__
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"{name}: {argument} must be a number, got {value!r}")
    if not 0 <= value < math.inf:
        raise ValueError(f"{name}: {argument} must be finite and not negative, got {value}")
    return float(value)
