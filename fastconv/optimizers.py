"""Optimizers with Keras' formulas, defaults and epsilon.

An optimizer changes weights in place: ``optimizer.update(params, grads)`` on two dicts of arrays with the same keys.
What it remembers of a weight (momentum, mean squares) is allocated when the weight is first seen. `learning_rate` may
be set at any time.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastconv._configurable import Configurable, resolve

Array = NDArray[Any]


class Optimizer(Configurable, ABC):
    """Base of all optimizers.

    Attributes
    ----------
    iterations : int
        Number of updates so far.
    slots : dict of str to dict of str to ndarray
        What is remembered: for each slot name, arrays by the keys of the weights.
    """

    def __init__(self, learning_rate: float) -> None:
        self.learning_rate = learning_rate
        self.iterations = 0
        self.slots: dict[str, dict[str, Array]] = {name: {} for name in self._used_slots()}
        self._scratch = np.empty(0)

    @property
    def learning_rate(self) -> float:
        """The step size; may be set at any time."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self._learning_rate = _not_negative(self, "learning_rate", value)

    def update(self, params: Mapping[str, Array], grads: Mapping[str, Array]) -> None:
        """Take one step.

        Parameters
        ----------
        params : mapping of str to ndarray
            Weights, changed in place.
        grads : mapping of str to ndarray
            Gradients of the weights, by the same keys.

        Raises
        ------
        ValueError
            If a gradient is missing or has another shape than its weight.
        """
        for key, param in params.items():
            if key not in grads or grads[key].shape != param.shape:
                got = grads[key].shape if key in grads else "none"
                raise ValueError(f"update: grads[{key!r}] must have shape {param.shape}, got {got}")
        self.iterations += 1
        for key, param in params.items():
            slots = [self._slot(name, key, param) for name in self.slots]
            self._step(param, grads[key], *slots, scratch=self._scratch_like(param))

    @abstractmethod
    def _step(self, param: Array, grad: Array, *slots: Array, scratch: Array) -> None:
        """Change `param` and its `slots` in place; `scratch` has their shape and dtype and holds anything."""

    @abstractmethod
    def _used_slots(self) -> tuple[str, ...]:
        """Return the names of the slots that `_step` takes, in its order."""

    def _slot(self, name: str, key: str, param: Array) -> Array:
        slot = self.slots[name].get(key)
        if slot is None or slot.shape != param.shape or slot.dtype != param.dtype:
            slot = self.slots[name][key] = np.zeros_like(param)
        return slot

    def _scratch_like(self, param: Array) -> Array:
        if self._scratch.size < param.size or self._scratch.dtype != param.dtype:
            self._scratch = np.empty(param.size, param.dtype)
        return self._scratch[: param.size].reshape(param.shape)


class SGD(Optimizer):
    """Gradient descent, ``w -= learning_rate * g``, with momentum on demand.

    With momentum (Sutskever et al. 2013, ICML)::

        v = momentum * v - learning_rate * g
        w += v                                          # or with nesterov
        w += momentum * v - learning_rate * g

    Parameters
    ----------
    learning_rate : float
    momentum : float
        From 0 to 1.
    nesterov : bool

    Examples
    --------
    >>> import numpy as np
    >>> params = {"w": np.array([1.0, 2.0])}
    >>> SGD(learning_rate=0.5).update(params, {"w": np.array([1.0, -1.0])})
    >>> params["w"]
    array([0.5, 2.5])
    """

    def __init__(self, learning_rate: float = 0.01, momentum: float = 0.0, nesterov: bool = False) -> None:
        self.momentum = _unit(self, "momentum", momentum)
        self.nesterov = bool(nesterov)
        super().__init__(learning_rate)

    def _used_slots(self) -> tuple[str, ...]:
        return ("momentum",) if self.momentum else ()

    def _step(self, param: Array, grad: Array, *slots: Array, scratch: Array) -> None:
        np.multiply(grad, self.learning_rate, out=scratch)
        if not slots:
            param -= scratch
            return
        (velocity,) = slots
        velocity *= self.momentum
        velocity -= scratch
        if self.nesterov:
            param -= scratch
            param += np.multiply(velocity, self.momentum, out=scratch)
        else:
            param += velocity


class RMSprop(Optimizer):
    """Division by a running root mean square of the gradient.

    Hinton, Neural Networks for Machine Learning, lecture 6e::

        s = rho * s + (1 - rho) * g**2
        step = learning_rate * g / sqrt(s + epsilon)        # centered: sqrt(s - a**2 + epsilon), a the mean of g
        w -= step                                           # momentum: m = momentum * m + step; w -= m

    Parameters
    ----------
    learning_rate : float
    rho, momentum : float
        From 0 to 1.
    epsilon : float
    centered : bool
        Whether to divide by the estimated standard deviation instead.

    Examples
    --------
    >>> import numpy as np
    >>> params = {"w": np.array([1.0])}
    >>> RMSprop(learning_rate=0.1, rho=0.75).update(params, {"w": np.array([4.0])})
    >>> params["w"].round(6)
    array([0.8])
    """

    def __init__(
        self,
        learning_rate: float = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
    ) -> None:
        self.rho = _unit(self, "rho", rho)
        self.momentum = _unit(self, "momentum", momentum)
        self.epsilon = _not_negative(self, "epsilon", epsilon)
        self.centered = bool(centered)
        super().__init__(learning_rate)

    def _used_slots(self) -> tuple[str, ...]:
        average = ("average_gradient",) if self.centered else ()
        return ("velocity", *average, *(("momentum",) if self.momentum else ()))

    def _step(self, param: Array, grad: Array, *slots: Array, scratch: Array) -> None:
        by_name = dict(zip(self.slots, slots, strict=True))
        velocity = by_name["velocity"]
        velocity *= self.rho
        np.multiply(grad, grad, out=scratch)
        scratch *= 1 - self.rho
        velocity += scratch
        if self.centered:
            average = by_name["average_gradient"]
            average *= self.rho
            average += np.multiply(grad, 1 - self.rho, out=scratch)
            np.multiply(average, average, out=scratch)
            np.subtract(velocity, scratch, out=scratch)
            scratch += self.epsilon
        else:
            np.add(velocity, self.epsilon, out=scratch)
        np.sqrt(scratch, out=scratch)
        np.divide(grad, scratch, out=scratch)
        scratch *= self.learning_rate
        if self.momentum:
            momentum = by_name["momentum"]
            momentum *= self.momentum
            momentum += scratch
            param -= momentum
        else:
            param -= scratch


class Adam(Optimizer):
    """Adaptive moments.

    Kingma & Ba 2015, arXiv:1412.6980, in the order of computation that section 2 ends with::

        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g**2
        w -= learning_rate * sqrt(1 - beta_2**t) / (1 - beta_1**t) * m / (sqrt(v) + epsilon)

    Parameters
    ----------
    learning_rate : float
    beta_1, beta_2 : float
        From 0 to less than 1.
    epsilon : float

    Examples
    --------
    >>> import numpy as np
    >>> params = {"w": np.array([1.0])}
    >>> Adam(learning_rate=0.1).update(params, {"w": np.array([4.0])})
    >>> params["w"].round(6)
    array([0.9])
    """

    def __init__(
        self, learning_rate: float = 0.001, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7
    ) -> None:
        self.beta_1 = _unit(self, "beta_1", beta_1, below_one=True)
        self.beta_2 = _unit(self, "beta_2", beta_2, below_one=True)
        self.epsilon = _not_negative(self, "epsilon", epsilon)
        super().__init__(learning_rate)

    def _used_slots(self) -> tuple[str, ...]:
        return ("momentum", "velocity")

    def _step(self, param: Array, grad: Array, *slots: Array, scratch: Array) -> None:
        momentum, velocity = slots
        momentum *= self.beta_1
        momentum += np.multiply(grad, 1 - self.beta_1, out=scratch)
        velocity *= self.beta_2
        np.multiply(grad, grad, out=scratch)
        scratch *= 1 - self.beta_2
        velocity += scratch
        np.sqrt(velocity, out=scratch)
        scratch += self.epsilon
        np.divide(momentum, scratch, out=scratch)
        scratch *= self._corrected_rate()
        param -= scratch

    def _corrected_rate(self) -> float:
        """Return the learning rate with both corrections for moments that start at 0."""
        step = self.iterations
        return self.learning_rate * math.sqrt(1 - self.beta_2**step) / (1 - self.beta_1**step)


_BY_NAME: dict[str, type[Optimizer]] = {"sgd": SGD, "rmsprop": RMSprop, "adam": Adam}

CLASSES = frozenset(_BY_NAME.values())
"""What a model file can name."""


def get(identifier: object, where: str = "get: optimizer") -> Optimizer:
    """Return the optimizer of a name, a class, a configuration or an object.

    Examples
    --------
    >>> get("sgd")
    SGD(learning_rate=0.01, momentum=0.0, nesterov=False)
    """
    return resolve(where, identifier, Optimizer, _BY_NAME)


def _not_negative(optimizer: object, argument: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"{type(optimizer).__name__}: {argument} must be a number, got {value!r}")
    if not 0 <= value < math.inf:
        raise ValueError(f"{type(optimizer).__name__}: {argument} must be finite and not negative, got {value}")
    return float(value)


def _unit(optimizer: object, argument: str, value: Any, below_one: bool = False) -> float:
    number = _not_negative(optimizer, argument, value)
    if number > 1 or (below_one and number == 1):
        rule = "from 0 to less than 1" if below_one else "from 0 to 1"
        raise ValueError(f"{type(optimizer).__name__}: {argument} must be {rule}, got {value}")
    return number
