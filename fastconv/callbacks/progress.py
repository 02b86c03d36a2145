"""Showing how far the work is."""

# ruff: noqa: D102 - what an overriding method does stands in Callback.

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from fastconv.callbacks.base import Callback, Logs

T = TypeVar("T")


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
