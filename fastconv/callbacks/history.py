"""What every epoch gave: in memory, and as a table in a file."""

# ruff: noqa: D102 - what an overriding method does stands in Callback.

import csv
import os
from pathlib import Path
from typing import IO

from fastconv.callbacks.base import Callback, Logs


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


class CSVLogger(Callback):
    """Writes a row of numbers for every epoch to a table: "epoch", counted from 0, then the others by name.

    Each row is in the file when its epoch has ended.

    Parameters
    ----------
    filename : str or path
    separator : str
        One character.
    append : bool
        Whether to go on with a file that is there, whose columns are then kept, instead of replacing it.
    """

    def __init__(self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False) -> None:
        if not isinstance(separator, str) or len(separator) != 1:
            raise ValueError(f"CSVLogger: separator must be one character, got {separator!r}")
        self.filename = os.fspath(filename)
        self.separator = separator
        self.append = append
        self._columns: list[str] = []
        self._file: IO[str] | None = None

    def on_train_begin(self, logs: Logs) -> None:
        self._columns = self._header() if self.append else []
        self._file = open(self.filename, "a" if self.append else "w", newline="", encoding="utf-8")  # noqa: SIM115

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        assert self._file is not None, "on_train_begin opens it"
        writer = csv.writer(self._file, delimiter=self.separator)
        if not self._columns:
            self._columns = ["epoch", *sorted(logs)]
            writer.writerow(self._columns)
        row = {"epoch": epoch, **logs}
        if row.keys() != set(self._columns):
            raise ValueError(
                f"CSVLogger: the columns of {self.filename!r} must be {', '.join(sorted(row))}, "
                f"got {', '.join(sorted(self._columns))}"
            )
        writer.writerow([row[column] for column in self._columns])
        self._file.flush()

    def on_train_end(self, logs: Logs) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _header(self) -> list[str]:
        if not Path(self.filename).exists():
            return []
        with open(self.filename, newline="", encoding="utf-8") as file:
            return next(csv.reader(file, delimiter=self.separator), [])
