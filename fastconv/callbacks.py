"""What happens around the epochs and batches of `fit`: recording, stopping, saving, showing progress."""

# ruff: noqa: D102 - what an overriding method does stands in Callback.

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from numpy.typing import NDArray

if TYPE_CHECKING:
    from fastconv.trainer import Trainer

Logs = Mapping[str, float]
Mode = Literal["auto", "min", "max"]
T = TypeVar("T")


class Callback:
    """Base of all callbacks: every method may be overridden, none does anything here.

    Attributes
    ----------
    model : Trainer
        The model in training.
    params : dict
        "epochs" and "steps" of the run, and "samples" of an epoch; what is not known is None.
    """

    model: "Trainer"
    params: dict[str, Any]

    def set_model(self, model: "Trainer") -> None:
        """Take the model, before training begins."""
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        """Take what is known of the run, before training begins."""
        self.params = params

    def on_train_begin(self, logs: Logs) -> None:
        """Run once, before the first epoch."""

    def on_train_end(self, logs: Logs) -> None:
        """Run once, after the last epoch, also where an exception or Ctrl-C ends the training."""

    def on_epoch_begin(self, epoch: int, logs: Logs) -> None:
        """Run before an epoch; epochs count from 0."""

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Run after an epoch and its validation: `logs` has the epoch's loss and metrics."""

    def on_train_batch_begin(self, batch: int, logs: Logs) -> None:
        """Run before a batch; `logs` has its "size"."""

    def on_train_batch_end(self, batch: int, logs: Logs) -> None:
        """Run after a batch: `logs` has the means of loss and metrics over the epoch so far."""


class CallbackList(Callback):
    """Several callbacks as one."""

    def __init__(self, callbacks: Iterable[Callback]) -> None:
        self.callbacks = list(callbacks)
        for callback in self.callbacks:
            if not isinstance(callback, Callback):
                raise TypeError(f"fit: callbacks must hold Callback objects, got {callback!r}")

    def set_model(self, model: "Trainer") -> None:
        for callback in self.callbacks:
            callback.set_model(model)

    def set_params(self, params: dict[str, Any]) -> None:
        for callback in self.callbacks:
            callback.set_params(params)

    def on_train_begin(self, logs: Logs) -> None:
        for callback in self.callbacks:
            callback.on_train_begin(logs)

    def on_train_end(self, logs: Logs) -> None:
        for callback in self.callbacks:
            callback.on_train_end(logs)

    def on_epoch_begin(self, epoch: int, logs: Logs) -> None:
        for callback in self.callbacks:
            callback.on_epoch_begin(epoch, logs)

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        for callback in self.callbacks:
            callback.on_epoch_end(epoch, logs)

    def on_train_batch_begin(self, batch: int, logs: Logs) -> None:
        for callback in self.callbacks:
            callback.on_train_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs) -> None:
        for callback in self.callbacks:
            callback.on_train_batch_end(batch, logs)


class History(Callback):
    """Keeps what every epoch gave; `fit` adds one and returns it.

    Attributes
    ----------
    epoch : list of int
    history : dict of str to list of float
        "loss", the metrics, and with validation data "val_loss"...: one entry per finished epoch.
    """

    def __init__(self) -> None:
        self.epoch: list[int] = []
        self.history: dict[str, list[float]] = {}

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        self.epoch.append(epoch)
        for name, value in logs.items():
            self.history.setdefault(name, []).append(value)


class _Monitor(Callback):
    """A callback that compares one of the epoch's numbers with the best so far."""

    def __init__(self, monitor: str, mode: Mode, min_delta: float = 0.0) -> None:
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"{type(self).__name__}: mode must be 'auto', 'min' or 'max', got {mode!r}")
        self.monitor = monitor
        self.mode = mode
        self.min_delta = abs(min_delta)
        rises = mode == "max" or (mode == "auto" and any(part in monitor for part in ("acc", "top_k")))
        self._sign = 1 if rises else -1
        self.best = -self._sign * math.inf

    def _improves(self, value: float, on: float) -> bool:
        return self._sign * (value - on) > self.min_delta

    def _value(self, logs: Logs) -> float:
        if self.monitor not in logs:
            raise ValueError(
                f"{type(self).__name__}: monitor must be one of {', '.join(map(repr, logs))}, got {self.monitor!r}"
                + ("; fit was given no validation data" if self.monitor.startswith("val_") else "")
            )
        return logs[self.monitor]


class ModelCheckpoint(_Monitor):
    """Saves the model after every epoch, or after every epoch that is the best so far.

    A file is replaced only once the new one is complete: a process killed while it writes leaves the old one intact.

    Parameters
    ----------
    filepath : str or path
        May name the epoch, counted from 1, and what it gave: ``"model-{epoch:02d}-{val_loss:.2f}.npz"``.
    monitor : str
        What decides which epoch is best.
    verbose : int
        1 prints a line for every save.
    save_best_only : bool
    mode : {"auto", "min", "max"}
        Whether less or more is better; "auto" knows that more accuracy is.
    """

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        mode: Mode = "auto",
    ) -> None:
        super().__init__(monitor, mode)
        self.filepath = os.fspath(filepath)
        self.verbose = verbose
        self.save_best_only = save_best_only

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        if self.save_best_only:
            value = self._value(logs)
            if not self._improves(value, self.best):
                return
            self.best = value
        try:
            path = self.filepath.format(epoch=epoch + 1, **logs)
        except (KeyError, IndexError, ValueError) as error:
            raise ValueError(
                f"ModelCheckpoint: filepath must name only epoch, {', '.join(logs)}, got {self.filepath!r}"
            ) from error
        self.model.save(path)
        if self.verbose:
            print(f"Epoch {epoch + 1}: saved {path}")


class EarlyStopping(_Monitor):
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
        self.patience = patience
        self.verbose = verbose
        self.baseline = baseline
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = start_from_epoch
        self.on_train_begin({})

    def on_train_begin(self, logs: Logs) -> None:
        self.best = -self._sign * math.inf
        self.best_epoch = 0
        self.stopped_epoch = 0
        self._wait = 0
        self._best_weights: list[NDArray[Any]] | None = None

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        value = self._value(logs)
        if epoch < self.start_from_epoch:
            return
        if self._best_weights is None:
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


class ProgressBar(Callback):
    """One bar per epoch with loss, metrics and images per second, drawn by tqdm on standard error."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._size = 0

    def on_epoch_begin(self, epoch: int, logs: Logs) -> None:
        self._bar = _bar(f"Epoch {epoch + 1}/{self.params['epochs']}", self.params["samples"])

    def on_train_batch_begin(self, batch: int, logs: Logs) -> None:
        self._size = int(logs["size"])

    def on_train_batch_end(self, batch: int, logs: Logs) -> None:
        self._bar.set_postfix_str(_format(logs), refresh=False)
        self._bar.update(self._size)

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        self._bar.set_postfix_str(_format(logs), refresh=True)
        self._close()

    def on_train_end(self, logs: Logs) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class EpochPrinter(Callback):
    """One printed line per epoch, for logs: what ``verbose=2`` asks for."""

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        print(f"Epoch {epoch + 1}/{self.params['epochs']}: {_format(logs)}", flush=True)


def track(batches: Iterable[T], description: str, samples: int | None, size: Callable[[T], int]) -> Iterator[T]:
    """Yield the batches under a progress bar; `size` says how many images a batch has."""
    with _bar(description, samples) as bar:
        for batch in batches:
            yield batch
            bar.update(size(batch))


def _bar(description: str, samples: int | None) -> Any:
    from tqdm import tqdm

    return tqdm(desc=description, total=samples, unit=" images")


def _format(logs: Logs) -> str:
    return ", ".join(f"{name}={value:.4g}" for name, value in logs.items())
