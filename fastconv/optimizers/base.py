"""What all optimizers do alike: the learning rate, clipping, weight decay, and what is remembered of each weight."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray

from fastconv import schedules
from fastconv._configurable import Configurable, serialize
from fastconv._numbers import not_negative, positive
from fastconv.schedules import LearningRateSchedule

Array = NDArray[Any]
Rate = float | LearningRateSchedule | Mapping[str, Any]
"""A learning rate as a constructor takes it: a number, a schedule, or a schedule's configuration."""


class ClippingOptions(TypedDict):
    """Keyword arguments that say how gradients are clipped."""

    clipnorm: NotRequired[float | None]
    clipvalue: NotRequired[float | None]
    global_clipnorm: NotRequired[float | None]


class OptimizerOptions(ClippingOptions):
    """Keyword arguments that every optimizer takes."""

    weight_decay: NotRequired[float | None]


class Optimizer(Configurable, ABC):
    """Base of all optimizers.

    A subclass defines `_used_slots` and `_step`. Constructor arguments are kept in attributes of their names.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
    weight_decay : float, optional
        Before each step, weights are multiplied by ``1 - learning_rate * weight_decay`` (Loshchilov & Hutter 2019,
        arXiv:1711.05101).
    clipnorm : float, optional
        Gradients whose Euclidean norm is larger are scaled down to it, each on its own.
    clipvalue : float, optional
        Gradients are kept from ``-clipvalue`` to ``clipvalue``, element by element.
    global_clipnorm : float, optional
        Gradients are scaled by one factor so that the norm of all together is at most this. A norm that is not finite
        makes all weights NaN. Only one of the three may be given.

    Attributes
    ----------
    iterations : int
        Number of updates so far.
    slots : dict of str to dict of str to ndarray
        What is remembered: for each slot name, arrays by the keys of the weights.
    """

    def __init__(
        self,
        learning_rate: Rate,
        *,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        **unexpected: object,
    ) -> None:
        where = type(self).__name__
        for name in unexpected:
            hint = ", the learning rate is learning_rate" if name == "lr" else ""
            raise TypeError(f"{where}.__init__() got an unexpected keyword argument {name!r}{hint}")
        self._rate: float | LearningRateSchedule = 0.0
        self.learning_rate = learning_rate
        self.weight_decay = None if weight_decay is None else not_negative(f"{where}: weight_decay", weight_decay)
        self.clipnorm = None if clipnorm is None else positive(f"{where}: clipnorm", clipnorm)
        self.clipvalue = None if clipvalue is None else positive(f"{where}: clipvalue", clipvalue)
        self.global_clipnorm = (
            None if global_clipnorm is None else positive(f"{where}: global_clipnorm", global_clipnorm)
        )
        limits = (clipnorm, clipvalue, global_clipnorm)
        if sum(limit is not None for limit in limits) > 1:
            raise ValueError(
                f"{where}: only one of clipnorm, clipvalue and global_clipnorm must be given, got {limits}"
            )
        self.iterations = 0
        self.slots: dict[str, dict[str, Array]] = {name: {} for name in self._used_slots()}
        self._scratch: dict[np.dtype[Any], Array] = {}

    @property
    def learning_rate(self) -> float:
        """The step size of the next update. It may be set at any time, to a number only where there is no schedule."""
        return self._rate(self.iterations) if isinstance(self._rate, LearningRateSchedule) else self._rate

    @learning_rate.setter
    def learning_rate(self, value: Rate) -> None:
        where = f"{type(self).__name__}: learning_rate"
        if isinstance(value, LearningRateSchedule | Mapping):
            self._rate = schedules.get(value, where)
        elif isinstance(self._rate, LearningRateSchedule):
            raise TypeError(f"{where} must be another schedule where there is one already, got {value!r}")
        else:
            self._rate = not_negative(where, value)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments by name, as values that JSON can hold."""
        rate = serialize(self._rate) if isinstance(self._rate, LearningRateSchedule) else self._rate
        return super().get_config() | {"learning_rate": rate}

    def update(self, params: Mapping[str, Array], grads: Mapping[str, Array]) -> None:
        """Take one step.

        Parameters
        ----------
        params : mapping of str to ndarray
            Weights, changed in place.
        grads : mapping of str to ndarray
            Gradients of the weights, by the same keys; they are not changed.

        Raises
        ------
        ValueError
            If a gradient is missing or has another shape than its weight.
        """
        for key, param in params.items():
            if key not in grads or grads[key].shape != param.shape:
                got = grads[key].shape if key in grads else "none"
                raise ValueError(f"update: grads[{key!r}] must have shape {param.shape}, got {got}")
        rate = self.learning_rate
        scale = None
        if self.global_clipnorm is not None:
            scale = _shrinking(self._norm(grads[key] for key in params), self.global_clipnorm)
        for key, param in params.items():
            grad = self._clipped(grads[key], scale)
            if self.weight_decay:
                param *= 1 - rate * self.weight_decay
            slots = {name: self._slot(name, key, param) for name in self.slots}
            self._step(param, grad, slots, rate)
        self.iterations += 1

    @abstractmethod
    def _step(self, param: Array, grad: Array, slots: dict[str, Array], rate: float) -> None:
        """Change `param` and its `slots` in place, by the learning rate `rate`."""

    @abstractmethod
    def _used_slots(self) -> tuple[str, ...]:
        """Return the names of the slots that `_step` takes."""

    def _first(self, slot: str) -> float:
        """Return what a slot is filled with when its weight is first seen."""
        return 0.0

    def _slot(self, name: str, key: str, param: Array) -> Array:
        slot = self.slots[name].get(key)
        if slot is None or slot.shape != param.shape:
            slot = self.slots[name][key] = np.full_like(param, self._first(name))
        elif slot.dtype != param.dtype:  # pickle turns bytes of foreign order round
            slot = self.slots[name][key] = slot.astype(param.dtype)
        return slot

    # Clipping.

    def _clipped(self, grad: Array, scale: float | None) -> Array:
        """Return `grad`, or a clipped copy of it that holds until the next call."""
        if self.clipvalue is not None:
            return np.clip(grad, -self.clipvalue, self.clipvalue, out=self._scratch_like(grad))
        if self.clipnorm is not None:
            scale = _shrinking(self._norm([grad]), self.clipnorm)
        if scale is None or scale == 1:
            return grad
        return np.multiply(grad, scale, out=self._scratch_like(grad))

    def _norm(self, grads: Iterable[Array]) -> float:
        squares = (np.multiply(grad, grad, out=self._scratch_like(grad)).sum(dtype=np.float64) for grad in grads)
        return math.sqrt(sum(squares))

    def _scratch_like(self, array: Array) -> Array:
        """Return an array like `array`, the same memory for every array of a dtype."""
        scratch = self._scratch.get(array.dtype)
        if scratch is None or scratch.size < array.size:
            scratch = self._scratch[array.dtype] = np.empty(array.size, array.dtype)
        return scratch[: array.size].reshape(array.shape)


def _shrinking(norm: float, limit: float) -> float:
    """Return the factor that brings `norm` to at most `limit`: NaN where it is not finite."""
    return 1.0 if norm <= limit else limit / norm if math.isfinite(norm) else math.nan
