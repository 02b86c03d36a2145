"""The optimizer that a layer has where none was given."""

from typing import Any

import numpy as np

from fastconv._checks import Array
from fastconv._numbers import not_negative


class SGD:
    """Gradient descent with momentum, for one layer: ``update = momentum * update + lr * grad; param - update``.

    Parameters
    ----------
    lr : float
    momentum : float

    Attributes
    ----------
    cur_step : int
        Number of steps so far.
    cache : dict of str to ndarray
        Last update of each parameter.

    Examples
    --------
    >>> import numpy as np
    >>> optimizer = SGD(lr=0.5)
    >>> optimizer(np.array([1.0]), np.array([0.5]), "W")
    array([0.75])
    """

    def __init__(self, lr: float = 0.01, momentum: float = 0.0) -> None:
        self.lr = not_negative("SGD: lr", lr)
        self.momentum = not_negative("SGD: momentum", momentum)
        self.cache: dict[str, Array] = {}
        self.cur_step = 0

    def __str__(self) -> str:
        return f"SGD(lr={self.lr}, momentum={self.momentum})"

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """The arguments, and the name of the method as ``"id"``."""
        return {"id": "SGD", "lr": self.lr, "momentum": self.momentum}

    def step(self) -> None:
        """Count a step; a layer calls it before it updates its parameters."""
        self.cur_step += 1

    def __call__(self, param: Array, param_grad: Array, param_name: str, cur_loss: float | None = None) -> Array:
        """Return the parameter after a step."""
        before = self.cache.get(param_name, np.zeros_like(param_grad))
        update: Array = self.momentum * before + self.lr * param_grad
        self.cache[param_name] = update
        return param - update
