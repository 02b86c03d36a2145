"""Adaptive moments, without and with weight decay."""

import math
from typing import Unpack

from fastconv._numbers import not_negative, unit
from fastconv.functional._optimizer_step import optimizer_step
from fastconv.optimizers.base import Array, ClippingOptions, Optimizer, OptimizerOptions, Rate


class Adam(Optimizer):
    """Adaptive moments.

    Kingma & Ba 2015, arXiv:1412.6980, in the order of computation that section 2 ends with::

        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g**2
        w -= learning_rate * sqrt(1 - beta_2**t) / (1 - beta_1**t) * m / (sqrt(v) + epsilon)

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
    beta_1, beta_2 : float
        From 0 to less than 1.
    epsilon : float
    amsgrad : bool
        Whether to divide by the root of the largest ``v`` so far (Reddi et al. 2018, arXiv:1904.09237).
    **options
        ``weight_decay``, ``clipnorm``, ``clipvalue`` and ``global_clipnorm``, see `Optimizer`.

    Examples
    --------
    >>> import numpy as np
    >>> params = {"w": np.array([1.0])}
    >>> Adam(learning_rate=0.1).update(params, {"w": np.array([4.0])})
    >>> params["w"].round(6)
    array([0.9])
    """

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        where = type(self).__name__
        self.beta_1 = unit(f"{where}: beta_1", beta_1, below_one=True)
        self.beta_2 = unit(f"{where}: beta_2", beta_2, below_one=True)
        self.epsilon = not_negative(f"{where}: epsilon", epsilon)
        self.amsgrad = bool(amsgrad)
        super().__init__(learning_rate, **options)

    def _used_slots(self) -> tuple[str, ...]:
        return ("momentum", "velocity", "velocity_hat") if self.amsgrad else ("momentum", "velocity")

    def _step(self, param: Array, grad: Array, slots: dict[str, Array], rate: float) -> None:
        optimizer_step(
            "adam",
            param,
            grad,
            slots["momentum"],
            slots["velocity"],
            slots["velocity_hat"] if self.amsgrad else None,
            rate=self._corrected(rate),
            beta_1=self.beta_1,
            beta_2=self.beta_2,
            epsilon=self.epsilon,
        )

    def _corrected(self, rate: float) -> float:
        """Return the learning rate with both corrections for moments that start at 0."""
        step = self.iterations + 1
        return rate * math.sqrt(1 - self.beta_2**step) / (1 - self.beta_1**step)


class AdamW(Adam):
    """`Adam` with weight decay that the moments do not see.

    Loshchilov & Hutter 2019, arXiv:1711.05101::

        w *= 1 - learning_rate * weight_decay               # then as Adam

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
    weight_decay : float
    beta_1, beta_2, epsilon, amsgrad
        As for `Adam`.
    **options
        ``clipnorm``, ``clipvalue`` and ``global_clipnorm``, see `Optimizer`.

    Examples
    --------
    >>> import numpy as np
    >>> params = {"w": np.array([1.0])}
    >>> AdamW(learning_rate=0.1, weight_decay=0.5).update(params, {"w": np.array([4.0])})
    >>> params["w"].round(6)
    array([0.85])
    """

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **options: Unpack[ClippingOptions],
    ) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay=weight_decay, **options)
