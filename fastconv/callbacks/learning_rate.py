"""Learning rates that are set between epochs; `fastconv.schedules` change them with every update."""

# ruff: noqa: D102 - what an overriding method does stands in Callback.

import inspect
from collections.abc import Callable

from fastconv._numbers import count, not_negative
from fastconv.callbacks.base import Callback, Logs
from fastconv.callbacks.monitor import Mode, Monitor
from fastconv.optimizers import Optimizer


class LearningRateScheduler(Callback):
    """Sets the learning rate before every epoch, and records it as "learning_rate".

    Parameters
    ----------
    schedule : callable
        ``schedule(epoch, learning_rate)`` or ``schedule(epoch)`` returns the new learning rate; epochs count from 0.
    verbose : int
        1 prints a line for every epoch.

    Examples
    --------
    >>> halved = LearningRateScheduler(lambda epoch, rate: rate / 2 if epoch % 10 == 9 else rate)
    """

    def __init__(self, schedule: Callable[[int, float], float] | Callable[[int], float], verbose: int = 0) -> None:
        self.schedule = schedule
        self.verbose = verbose
        try:
            inspect.signature(schedule).bind(0, 0.0)
            self._takes_rate = True
        except (TypeError, ValueError):
            self._takes_rate = False

    def on_epoch_begin(self, epoch: int, logs: Logs) -> None:
        optimizer = _optimizer(self)
        arguments = (epoch, optimizer.learning_rate) if self._takes_rate else (epoch,)
        rate = not_negative("LearningRateScheduler: what schedule returns", self.schedule(*arguments))
        optimizer.learning_rate = rate
        if self.verbose:
            print(f"Epoch {epoch + 1}: learning rate {rate:.6g}")

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        logs["learning_rate"] = _optimizer(self).learning_rate


class ReduceLROnPlateau(Monitor):
    """Lowers the learning rate when a number has not become better for some epochs, and records it as "learning_rate".

    Parameters
    ----------
    monitor : str
    factor : float
        What the learning rate is multiplied by; less than 1.
    patience : int
        How many epochs without improvement to bear.
    verbose : int
        1 prints a line for every change.
    mode : {"auto", "min", "max"}
        As for `ModelCheckpoint`.
    min_delta : float
        A change of at most this much is no improvement.
    cooldown : int
        For how many epochs after a change not to count.
    min_lr : float
        The learning rate does not become less than this.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: Mode = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.factor = not_negative("ReduceLROnPlateau: factor", factor)
        if self.factor >= 1:
            raise ValueError(f"ReduceLROnPlateau: factor must be less than 1, got {factor}")
        self.patience = count("ReduceLROnPlateau: patience", patience)
        self.verbose = verbose
        self.cooldown = count("ReduceLROnPlateau: cooldown", cooldown)
        self.min_lr = not_negative("ReduceLROnPlateau: min_lr", min_lr)
        self._wait = 0
        self._cooling = 0

    def on_train_begin(self, logs: Logs) -> None:
        self.best = self._worst
        self._wait = 0
        self._cooling = 0

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        optimizer = _optimizer(self)
        logs["learning_rate"] = optimizer.learning_rate
        value = self._value(logs)
        if self._cooling:
            self._cooling -= 1
            self._wait = 0
        if self._improves(value, self.best):
            self.best = value
            self._wait = 0
        elif not self._cooling:
            self._wait += 1
            if self._wait >= self.patience and optimizer.learning_rate > self.min_lr:
                self._reduce(optimizer, epoch)

    def _reduce(self, optimizer: Optimizer, epoch: int) -> None:
        optimizer.learning_rate = max(optimizer.learning_rate * self.factor, self.min_lr)
        self._cooling = self.cooldown
        self._wait = 0
        if self.verbose:
            print(f"Epoch {epoch + 1}: learning rate reduced to {optimizer.learning_rate:.6g}")


def _optimizer(callback: Callback) -> Optimizer:
    optimizer = callback.model.optimizer
    assert optimizer is not None, "fit needs a compiled model"
    return optimizer
