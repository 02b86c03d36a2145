"""Initial weights, by Keras' names, formulas and defaults.

An initializer is a callable ``initializer(shape, dtype="float32")`` that returns a new array. One that was given a
`seed` returns the same values every time it is called with the same shape; one that was not draws a fresh seed per
call, which `fastconv.utils.set_random_seed` makes repeatable.

The fans of a kernel of shape ``(..., inputs, outputs)`` are ``fan_in = taps * inputs`` and
``fan_out = taps * outputs``, with ``taps`` the product of the leading axes; a vector has both equal to its length.
"""

# ruff: noqa: D102 - what an overriding method does stands in Initializer.

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastconv._configurable import Configurable, resolve
from fastconv._random import check_seed, fresh_seed, generator

# Standard deviation of a standard normal that is truncated to (-2, 2).
_TRUNCATED_STDDEV = 0.87962566103423978

Shape = Sequence[int]


class Initializer(Configurable, ABC):
    """Base of all initializers."""

    @abstractmethod
    def __call__(self, shape: Shape, dtype: DTypeLike = "float32") -> NDArray[Any]:
        """Return a new array of `shape` and `dtype`."""


class Constant(Initializer):
    """All entries equal `value`.

    Examples
    --------
    >>> Constant(0.5)((2,))
    array([0.5, 0.5], dtype=float32)
    """

    def __init__(self, value: float = 0.0) -> None:
        self.value = value

    def __call__(self, shape: Shape, dtype: DTypeLike = "float32") -> NDArray[Any]:
        return np.full(shape, self.value, dtype)


class Zeros(Initializer):
    """All entries are 0."""

    def __call__(self, shape: Shape, dtype: DTypeLike = "float32") -> NDArray[Any]:
        return np.zeros(shape, dtype)


class Ones(Initializer):
    """All entries are 1."""

    def __call__(self, shape: Shape, dtype: DTypeLike = "float32") -> NDArray[Any]:
        return np.ones(shape, dtype)


class _Random(Initializer):
    """An initializer that draws numbers."""

    def __init__(self, seed: int | None = None) -> None:
        self.seed = None if seed is None else check_seed(type(self).__name__, seed)

    def _generator(self) -> "np.random.Generator":
        return generator(fresh_seed() if self.seed is None else self.seed)


class RandomNormal(_Random):
    """Normal distribution with `mean` and `stddev`."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        super().__init__(seed)
        self.mean = mean
        self.stddev = stddev

    def __call__(self, shape: Shape, dtype: DTypeLike = "float32") -> NDArray[Any]:
        return self._generator().normal(self.mean, self.stddev, tuple(shape)).astype(dtype)


class RandomUniform(_Random):
    """Uniform distribution on ``[minval, maxval)``."""

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None) -> None:
        super().__init__(seed)
        self.minval = minval
        self.maxval = maxval

    def __call__(self, shape: Shape, dtype: DTypeLike = "float32") -> NDArray[Any]:
        return self._generator().uniform(self.minval, self.maxval, tuple(shape)).astype(dtype)


class _VarianceScaling(_Random):
    """Mean 0 and variance ``scale / fan``, uniform or normal truncated at two standard deviations."""

    scale: float
    fan: Literal["in", "average"]
    uniform: bool

    def __call__(self, shape: Shape, dtype: DTypeLike = "float32") -> NDArray[Any]:
        fan_in, fan_out = compute_fans(shape)
        fan = fan_in if self.fan == "in" else (fan_in + fan_out) / 2
        stddev = math.sqrt(self.scale / max(1.0, fan))
        random = self._generator()
        if self.uniform:
            limit = math.sqrt(3.0) * stddev
            return random.uniform(-limit, limit, tuple(shape)).astype(dtype)
        return _truncated_normal(random, stddev / _TRUNCATED_STDDEV, shape).astype(dtype)


class GlorotUniform(_VarianceScaling):
    """Uniform on ``[-limit, limit)`` with ``limit = sqrt(6 / (fan_in + fan_out))`` (Glorot & Bengio 2010, eq. 16)."""

    scale, fan, uniform = 1.0, "average", True


class GlorotNormal(_VarianceScaling):
    """Truncated normal with standard deviation ``sqrt(2 / (fan_in + fan_out))`` (Glorot & Bengio 2010)."""

    scale, fan, uniform = 1.0, "average", False


class HeUniform(_VarianceScaling):
    """Uniform on ``[-limit, limit)`` with ``limit = sqrt(6 / fan_in)`` (He et al. 2015, arXiv:1502.01852)."""

    scale, fan, uniform = 2.0, "in", True


class HeNormal(_VarianceScaling):
    """Truncated normal with standard deviation ``sqrt(2 / fan_in)`` (He et al. 2015, arXiv:1502.01852)."""

    scale, fan, uniform = 2.0, "in", False


class LecunUniform(_VarianceScaling):
    """Uniform on ``[-limit, limit)`` with ``limit = sqrt(3 / fan_in)`` (LeCun et al. 1998, Efficient BackProp)."""

    scale, fan, uniform = 1.0, "in", True


class LecunNormal(_VarianceScaling):
    """Truncated normal with standard deviation ``sqrt(1 / fan_in)`` (LeCun et al. 1998, Efficient BackProp)."""

    scale, fan, uniform = 1.0, "in", False


_BY_NAME: dict[str, type[Initializer]] = {
    "zeros": Zeros,
    "ones": Ones,
    "constant": Constant,
    "random_normal": RandomNormal,
    "random_uniform": RandomUniform,
    "glorot_normal": GlorotNormal,
    "glorot_uniform": GlorotUniform,
    "he_normal": HeNormal,
    "he_uniform": HeUniform,
    "lecun_normal": LecunNormal,
    "lecun_uniform": LecunUniform,
}


def get(identifier: object, where: str = "get: initializer") -> Initializer:
    """Return the initializer of a name such as ``"he_normal"``, a class, a configuration or an object.

    Examples
    --------
    >>> get("he_normal")
    HeNormal(seed=None)
    """
    return resolve(where, identifier, Initializer, _BY_NAME)


def compute_fans(shape: Shape) -> tuple[int, int]:
    """Return how many inputs reach one output and how many outputs one input reaches, for a kernel of `shape`.

    Examples
    --------
    >>> compute_fans((3, 3, 16, 32))
    (144, 288)
    """
    if len(shape) < 2:
        return math.prod(shape), math.prod(shape)
    taps = math.prod(shape[:-2])
    return taps * shape[-2], taps * shape[-1]


def _truncated_normal(random: "np.random.Generator", stddev: float, shape: Shape) -> NDArray[np.float64]:
    values = random.standard_normal(tuple(shape))
    outside = np.abs(values) > 2
    while outside.any():
        values[outside] = random.standard_normal(np.count_nonzero(outside))
        outside = np.abs(values) > 2
    values *= stddev
    return values
