"""Steps divided by the root of the sum of all squares."""

from typing import Unpack

from fastconv._numbers import not_negative
from fastconv.functional._optimizer_step import optimizer_step
from fastconv.optimizers.base import Array, Optimizer, OptimizerOptions, Rate


class Adagrad(Optimizer):
    """Division by the root of the sum of all squared gradients: weights that changed much change less.

    Duchi et al. 2011, J. Mach. Learn. Res. 12::

        s += g**2                                           # from initial_accumulator_value on
        w -= learning_rate * g / sqrt(s + epsilon)

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
    initial_accumulator_value : float
    epsilon : float
    **options
        ``weight_decay``, ``clipnorm``, ``clipvalue`` and ``global_clipnorm``, see `Optimizer`.

    Examples
    --------
    >>> import numpy as np
    >>> params = {"w": np.array([1.0])}
    >>> Adagrad(learning_rate=0.1, initial_accumulator_value=9.0).update(params, {"w": np.array([4.0])})
    >>> params["w"].round(6)
    array([0.92])
    """

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        self.initial_accumulator_value = not_negative("Adagrad: initial_accumulator_value", initial_accumulator_value)
        self.epsilon = not_negative("Adagrad: epsilon", epsilon)
        super().__init__(learning_rate, **options)

    def _used_slots(self) -> tuple[str, ...]:
        return ("accumulator",)

    def _first(self, slot: str) -> float:
        return self.initial_accumulator_value

    def _step(self, param: Array, grad: Array, slots: dict[str, Array], rate: float) -> None:
        optimizer_step("adagrad", param, grad, squares=slots["accumulator"], rate=rate, epsilon=self.epsilon)
