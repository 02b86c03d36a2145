"""Learning rates that change with the number of updates, by Keras' names and formulas.

A schedule is given to an optimizer in place of a learning rate, ``Adam(CosineDecay(1e-3, 10_000))``, and saved with it.
It depends on the number of updates alone: training that goes on from a file goes on with the same rates.
"""

import bisect
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

from fastconv._configurable import Configurable, resolve
from fastconv._numbers import count, not_negative


class LearningRateSchedule(Configurable, ABC):
    """Base of all schedules: a subclass gives the learning rate for each update."""

    @abstractmethod
    def __call__(self, step: int) -> float:
        """Return the learning rate of the update that `step` others came before."""


class _Decay(LearningRateSchedule):
    """A schedule that depends on how many times `decay_steps` have passed."""

    def __init__(
        self, initial_learning_rate: float, decay_steps: int, decay_rate: float, staircase: bool = False
    ) -> None:
        where = type(self).__name__
        self.initial_learning_rate = not_negative(f"{where}: initial_learning_rate", initial_learning_rate)
        self.decay_steps = count(f"{where}: decay_steps", decay_steps, 1)
        self.decay_rate = not_negative(f"{where}: decay_rate", decay_rate)
        self.staircase = bool(staircase)

    def _periods(self, step: int) -> float:
        return step // self.decay_steps if self.staircase else step / self.decay_steps


class ExponentialDecay(_Decay):
    """``initial_learning_rate * decay_rate ** (step / decay_steps)``.

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : int
    decay_rate : float
    staircase : bool
        Whether ``step / decay_steps`` is rounded down.

    Examples
    --------
    >>> schedule = ExponentialDecay(0.5, decay_steps=10, decay_rate=0.25)
    >>> schedule(0), schedule(5), schedule(10)
    (0.5, 0.25, 0.125)
    """

    def __call__(self, step: int) -> float:
        """Return the learning rate."""
        rate: float = self.initial_learning_rate * self.decay_rate ** self._periods(step)
        return rate


class InverseTimeDecay(_Decay):
    """``initial_learning_rate / (1 + decay_rate * step / decay_steps)``.

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : int
    decay_rate : float
    staircase : bool
        Whether ``step / decay_steps`` is rounded down.

    Examples
    --------
    >>> schedule = InverseTimeDecay(0.5, decay_steps=10, decay_rate=1.0)
    >>> schedule(0), schedule(10), schedule(30)
    (0.5, 0.25, 0.125)
    """

    def __call__(self, step: int) -> float:
        """Return the learning rate."""
        return self.initial_learning_rate / (1 + self.decay_rate * self._periods(step))


class PiecewiseConstantDecay(LearningRateSchedule):
    """``values[i]``, where ``i`` counts the boundaries that are less than `step`.

    Parameters
    ----------
    boundaries : sequence of int
        The last steps of the values but the last, in ascending order.
    values : sequence of float
        One more than `boundaries`.

    Examples
    --------
    >>> schedule = PiecewiseConstantDecay([100, 200], [1.0, 0.5, 0.25])
    >>> schedule(100), schedule(101), schedule(201)
    (1.0, 0.5, 0.25)
    """

    def __init__(self, boundaries: Sequence[int], values: Sequence[float]) -> None:
        self.boundaries = [not_negative("PiecewiseConstantDecay: boundaries", boundary) for boundary in boundaries]
        self.values = [not_negative("PiecewiseConstantDecay: values", value) for value in values]
        if len(self.values) != len(self.boundaries) + 1:
            raise ValueError(
                f"PiecewiseConstantDecay: values must hold one more than the {len(self.boundaries)} boundaries, "
                f"got {len(self.values)}"
            )
        if self.boundaries != sorted(self.boundaries):
            raise ValueError(f"PiecewiseConstantDecay: boundaries must ascend, got {list(boundaries)}")

    def __call__(self, step: int) -> float:
        """Return the learning rate."""
        return self.values[bisect.bisect_left(self.boundaries, step)]


class PolynomialDecay(LearningRateSchedule):
    """``(initial - end) * (1 - step / decay_steps) ** power + end``, and after `decay_steps` the end.

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : int
    end_learning_rate : float
    power : float
    cycle : bool
        Whether to rise again instead of staying at the end: `decay_steps` is multiplied by the least integer that
        makes it at least `step`.

    Examples
    --------
    >>> schedule = PolynomialDecay(0.5, decay_steps=10, end_learning_rate=0.25)
    >>> schedule(0), schedule(5), schedule(20)
    (0.5, 0.375, 0.25)
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
    ) -> None:
        self.initial_learning_rate = not_negative("PolynomialDecay: initial_learning_rate", initial_learning_rate)
        self.decay_steps = count("PolynomialDecay: decay_steps", decay_steps, 1)
        self.end_learning_rate = not_negative("PolynomialDecay: end_learning_rate", end_learning_rate)
        self.power = not_negative("PolynomialDecay: power", power)
        self.cycle = bool(cycle)

    def __call__(self, step: int) -> float:
        """Return the learning rate."""
        decay_steps = self.decay_steps
        if self.cycle:
            decay_steps *= max(1, math.ceil(step / decay_steps))
        left = 1 - min(step, decay_steps) / decay_steps
        rate: float = (self.initial_learning_rate - self.end_learning_rate) * left**self.power + self.end_learning_rate
        return rate


class CosineDecay(LearningRateSchedule):
    """Half a cosine wave down to ``alpha`` times where it began (Loshchilov & Hutter 2017, arXiv:1608.03983), on demand
    after a straight way up.

    Over the first `warmup_steps`, where there is a `warmup_target`, the rate goes in a line from
    `initial_learning_rate` to `warmup_target`. From there, over `decay_steps`, it is::

        top * ((1 - alpha) * (1 + cos(pi * step / decay_steps)) / 2 + alpha)

    with the target as the top, and without a target `initial_learning_rate`.

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : int
        Without the warm-up.
    alpha : float
    warmup_target : float, optional
    warmup_steps : int

    Examples
    --------
    >>> schedule = CosineDecay(0.0, decay_steps=10, warmup_target=0.5, warmup_steps=4)
    >>> schedule(2), schedule(4), schedule(9), schedule(14)
    (0.25, 0.5, 0.25, 0.0)
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        alpha: float = 0.0,
        warmup_target: float | None = None,
        warmup_steps: int = 0,
    ) -> None:
        self.initial_learning_rate = not_negative("CosineDecay: initial_learning_rate", initial_learning_rate)
        self.decay_steps = count("CosineDecay: decay_steps", decay_steps, 1)
        self.alpha = not_negative("CosineDecay: alpha", alpha)
        self.warmup_target = (
            None if warmup_target is None else not_negative("CosineDecay: warmup_target", warmup_target)
        )
        self.warmup_steps = count("CosineDecay: warmup_steps", warmup_steps)

    def __call__(self, step: int) -> float:
        """Return the learning rate."""
        top = self.initial_learning_rate
        if self.warmup_target is not None:
            if step < self.warmup_steps:
                return top + (self.warmup_target - top) * step / self.warmup_steps
            top = self.warmup_target
            step -= self.warmup_steps
        cosine = math.cos(math.pi * min(step, self.decay_steps) / self.decay_steps)
        return top * ((1 - self.alpha) * (1 + cosine) / 2 + self.alpha)


_CLASSES: tuple[type[LearningRateSchedule], ...] = (
    ExponentialDecay,
    InverseTimeDecay,
    PiecewiseConstantDecay,
    PolynomialDecay,
    CosineDecay,
)

CLASSES = frozenset(_CLASSES)
"""What a model file can name."""


def get(identifier: object, where: str = "get: schedule") -> LearningRateSchedule:
    """Return the schedule of a configuration, or the schedule that is given.

    Examples
    --------
    >>> get({"class_name": "CosineDecay", "config": {"initial_learning_rate": 0.5, "decay_steps": 10}})(5)
    0.25
    """
    return resolve(where, identifier, LearningRateSchedule, {cls.__name__: cls for cls in _CLASSES})
