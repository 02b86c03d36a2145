"""What every metric of a model does: take in batches, return the mean so far."""

# ruff: noqa: D102 - what an overriding method does stands in Metric.

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastconv._configurable import Configurable

Array = NDArray[Any]


class Metric(Configurable, ABC):
    """The mean of a value per sample over all batches since the last reset.

    Parameters
    ----------
    name : str
        Key under which `History` keeps it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.reset_state()

    @abstractmethod
    def values(self, y_true: Array, y_pred: Array) -> Array:
        """Return one value per sample of a batch, or per whatever the mean is taken over."""

    def update_state(self, y_true: ArrayLike, y_pred: ArrayLike) -> None:
        """Take in a batch."""
        values = np.asarray(self.values(np.asarray(y_true), np.asarray(y_pred)))
        self._sum += float(values.sum(dtype=np.float64))
        self._count += values.size

    def result(self) -> float:
        """Return the mean; NaN if there was no batch."""
        return self._sum / self._count if self._count else float("nan")

    def reset_state(self) -> None:
        """Forget all batches."""
        self._sum, self._count = 0.0, 0


class MeanMetric(Metric):
    """The mean of a function of one's own, ``function(y_true, y_pred)``, weighted by the size of each result.

    A result without axes counts as that of every sample of its batch.
    """

    def __init__(self, function: Callable[[Array, Array], ArrayLike], name: str | None = None) -> None:
        super().__init__(name or str(getattr(function, "__name__", "metric")))
        self.function = function

    def values(self, y_true: Array, y_pred: Array) -> Array:
        values = np.asarray(self.function(y_true, y_pred))
        return values if values.ndim else np.broadcast_to(values, len(y_pred))
