"""Stochastic gradient descent."""

from typing import Unpack

from fastconv._numbers import unit
from fastconv.functional._optimizer_step import optimizer_step
from fastconv.optimizers.base import Array, Optimizer, OptimizerOptions, Rate


class SGD(Optimizer):
    """Gradient descent, ``w -= learning_rate * g``, with momentum on demand.

    With momentum (Sutskever et al. 2013, ICML)::

        v = momentum * v - learning_rate * g
        w += v                                          # or with nesterov
        w += momentum * v - learning_rate * g

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
    momentum : float
        From 0 to 1.
    nesterov : bool
    **options
        ``weight_decay``, ``clipnorm``, ``clipvalue`` and ``global_clipnorm``, see `Optimizer`.

    Examples
    --------
    >>> import numpy as np
    >>> params = {"w": np.array([1.0, 2.0])}
    >>> SGD(learning_rate=0.5).update(params, {"w": np.array([1.0, -1.0])})
    >>> params["w"]
    array([0.5, 2.5])
    """

    def __init__(
        self,
        learning_rate: Rate = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        self.momentum = unit("SGD: momentum", momentum)
        self.nesterov = bool(nesterov)
        super().__init__(learning_rate, **options)

    def _used_slots(self) -> tuple[str, ...]:
        return ("momentum",) if self.momentum else ()

    def _step(self, param: Array, grad: Array, slots: dict[str, Array], rate: float) -> None:
        momentum = slots["momentum"] if self.momentum else None
        optimizer_step("sgd", param, grad, momentum, rate=rate, beta_1=self.momentum, nesterov=self.nesterov)
