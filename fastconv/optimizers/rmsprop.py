"""Steps divided by a running root mean square."""

from typing import Unpack

from fastconv._numbers import not_negative, unit
from fastconv.functional._optimizer_step import optimizer_step
from fastconv.optimizers.base import Array, Optimizer, OptimizerOptions, Rate


class RMSprop(Optimizer):
    """Division by a running root mean square of the gradient.

    Hinton, Neural Networks for Machine Learning, lecture 6e::

        s = rho * s + (1 - rho) * g**2
        step = learning_rate * g / sqrt(s + epsilon)        # centered: sqrt(s - a**2 + epsilon), a the mean of g
        w -= step                                           # momentum: m = momentum * m + step; w -= m

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
    rho, momentum : float
        From 0 to 1.
    epsilon : float
    centered : bool
        Whether to divide by the estimated standard deviation instead.
    **options
        ``weight_decay``, ``clipnorm``, ``clipvalue`` and ``global_clipnorm``, see `Optimizer`.

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
        learning_rate: Rate = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        self.rho = unit("RMSprop: rho", rho)
        self.momentum = unit("RMSprop: momentum", momentum)
        self.epsilon = not_negative("RMSprop: epsilon", epsilon)
        self.centered = bool(centered)
        super().__init__(learning_rate, **options)

    def _used_slots(self) -> tuple[str, ...]:
        average = ("average_gradient",) if self.centered else ()
        return ("velocity", *average, *(("momentum",) if self.momentum else ()))

    def _step(self, param: Array, grad: Array, slots: dict[str, Array], rate: float) -> None:
        optimizer_step(
            "rmsprop",
            param,
            grad,
            slots["momentum"] if self.momentum else None,
            slots["velocity"],
            slots["average_gradient"] if self.centered else None,
            rate=rate,
            beta_1=self.momentum,
            beta_2=self.rho,
            epsilon=self.epsilon,
        )
