"""Saving the model while it is trained."""

# ruff: noqa: D102 - what an overriding method does stands in Callback.

import os
from typing import Literal

from fastconv._numbers import count
from fastconv.callbacks.base import Logs
from fastconv.callbacks.monitor import Mode, Monitor


class ModelCheckpoint(Monitor):
    """Saves the model after every epoch, after every epoch that is the best so far, or every so many batches.

    A file is replaced only once the new one is complete: a process killed while it writes leaves the old one intact.
    It holds the optimizer's state too. Training that is stopped after epoch 3 goes on from its file exactly as it would
    have, if `fit` gets the same data and seed::

        model.fit(x, y, epochs=6, seed=1, callbacks=[ModelCheckpoint("model.npz")])             # stopped
        fc.load_model("model.npz").fit(x, y, epochs=6, seed=1, initial_epoch=3)

    Callbacks count anew in every `fit`, as in Keras: what `EarlyStopping` waited for before is forgotten.

    Parameters
    ----------
    filepath : str or path
        May name the epoch, counted from 1, and what it gave: ``"model-{epoch:02d}-{val_loss:.2f}.npz"``; with batches
        also ``{batch}``, counted from 1.
    monitor : str
        What decides which epoch is best.
    verbose : int
        1 prints a line for every save.
    save_best_only : bool
    save_weights_only : bool
        Whether files are for ``model.load_weights``, and without the optimizer's state, not for `fastconv.load_model`.
    mode : {"auto", "min", "max"}
        Whether less or more is better; "auto" knows that more accuracy is.
    save_freq : "epoch" or int
        An integer saves after that many batches, counted across epochs. Training that goes on from such a file does so
        at the beginning of an epoch.
    initial_value_threshold : float, optional
        With `save_best_only`, only what is better than this is saved.
    """

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: Mode = "auto",
        save_freq: Literal["epoch"] | int = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        super().__init__(monitor, mode)
        self.filepath = os.fspath(filepath)
        self.verbose = verbose
        self.save_best_only = save_best_only
        self.save_weights_only = save_weights_only
        self.save_freq = save_freq if save_freq == "epoch" else count("ModelCheckpoint: save_freq", save_freq, 1)
        if initial_value_threshold is not None:
            self.best = initial_value_threshold
        self._epoch = 0
        self._batches = 0

    def on_epoch_begin(self, epoch: int, logs: Logs) -> None:
        self._epoch = epoch

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        if self.save_freq == "epoch":
            self._save(logs, epoch=epoch + 1)

    def on_train_batch_end(self, batch: int, logs: Logs) -> None:
        if self.save_freq == "epoch":
            return
        self._batches += 1
        if self._batches == self.save_freq:
            self._batches = 0
            self._save(logs, epoch=self._epoch + 1, batch=batch + 1)

    def _save(self, logs: Logs, **counts: int) -> None:
        if self.save_best_only:
            value = self._value(logs)
            if not self._improves(value, self.best):
                return
            self.best = value
        try:
            path = self.filepath.format(**counts, **logs)
        except (KeyError, IndexError, ValueError) as error:
            known = ", ".join((*counts, *logs))
            raise ValueError(f"ModelCheckpoint: filepath must name only {known}, got {self.filepath!r}") from error
        if self.save_weights_only:
            self.model.save_weights(path)
        else:
            self.model.save(path)
        if self.verbose:
            print(f"Epoch {counts['epoch']}: saved {path}")
