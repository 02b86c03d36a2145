"""Ending the training early."""

# ruff: noqa: D102 - what an overriding method does stands in Callback.

import math
from typing import Any

from numpy.typing import NDArray

from fastconv._numbers import count, finite
from fastconv.callbacks.base import Callback, Logs
from fastconv.callbacks.monitor import Mode, Monitor


class EarlyStopping(Monitor):
    """Ends the training when a number has not become better for some epochs.

    Parameters
    ----------
    monitor : str
    min_delta : float
        A change of at most this much is no improvement.
    patience : int
        How many epochs without improvement to bear.
    verbose : int
        1 prints why training ended.
    mode : {"auto", "min", "max"}
        As for `ModelCheckpoint`.
    baseline : float, optional
        Only values better than this count as improvement.
    restore_best_weights : bool
        Whether the model ends with the weights of its best epoch instead of the last.
    start_from_epoch : int
        Epochs before this one, counted from 0, are not looked at.

    Attributes
    ----------
    stopped_epoch : int
        The epoch that was the last one, or 0.
    best_epoch : int
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: int = 0,
        verbose: int = 0,
        mode: Mode = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.patience = count("EarlyStopping: patience", patience)
        self.verbose = verbose
        self.baseline = None if baseline is None else finite("EarlyStopping: baseline", baseline)
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = count("EarlyStopping: start_from_epoch", start_from_epoch)
        self.on_train_begin({})

    def on_train_begin(self, logs: Logs) -> None:
        self.best = self._worst
        self.best_epoch = 0
        self.stopped_epoch = 0
        self._wait = 0
        self._best_weights: list[NDArray[Any]] | None = None

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        value = self._value(logs)
        if epoch < self.start_from_epoch:
            return
        if self.restore_best_weights and self._best_weights is None:
            self._remember(epoch)
        self._wait += 1
        if self._improves(value, self.best):
            self.best = value
            self._remember(epoch)
            if self.baseline is None or self._improves(value, self.baseline):
                self._wait = 0
            return
        if self._wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: Logs) -> None:
        if self.verbose and self.stopped_epoch:
            print(f"Epoch {self.stopped_epoch + 1}: stopped, best {self.monitor} in epoch {self.best_epoch + 1}")
        if self._best_weights is not None:
            self.model.set_weights(self._best_weights)

    def _remember(self, epoch: int) -> None:
        self.best_epoch = epoch
        if self.restore_best_weights:
            self._best_weights = self.model.get_weights()


class TerminateOnNaN(Callback):
    """Ends the training when the loss is NaN or infinite; see also ``fit(check_finite=True)``, which says where."""

    def on_train_batch_end(self, batch: int, logs: Logs) -> None:
        if not math.isfinite(logs.get("loss", 0.0)):
            print(f"Batch {batch}: the loss is {logs['loss']}, training ends")
            self.model.stop_training = True
