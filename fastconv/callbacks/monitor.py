"""Which epochs are better than others."""

import math
from typing import Literal

from fastconv._numbers import finite
from fastconv.callbacks.base import Callback, Logs

Mode = Literal["auto", "min", "max"]

# Parts of the names of what is better when it is larger.
_RISING = ("acc", "top_k", "auc", "precision", "recall", "f1", "kappa", "matthews")


class Monitor(Callback):
    """A callback that compares one of the epoch's numbers with the best so far."""

    def __init__(self, monitor: str, mode: Mode, min_delta: float = 0.0) -> None:
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"{type(self).__name__}: mode must be 'auto', 'min' or 'max', got {mode!r}")
        self.monitor = monitor
        self.mode = mode
        self.min_delta = abs(finite(f"{type(self).__name__}: min_delta", min_delta))
        rises = mode == "max" or (mode == "auto" and any(part in monitor for part in _RISING))
        self._sign = 1 if rises else -1
        self.best = self._worst

    @property
    def _worst(self) -> float:
        return -self._sign * math.inf

    def _improves(self, value: float, on: float) -> bool:
        # As Keras rounds it: 1.0 is no more than 0.3 better than 0.7, though 1.0 - 0.7 is more than 0.3.
        return self._sign * value - self.min_delta > self._sign * on

    def _value(self, logs: Logs) -> float:
        if self.monitor not in logs:
            raise ValueError(
                f"{type(self).__name__}: monitor must be one of {', '.join(map(repr, logs))}, got {self.monitor!r}"
                + ("; fit was given no validation data" if self.monitor.startswith("val_") else "")
            )
        return logs[self.monitor]
