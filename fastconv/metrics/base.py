"""What every metric of a model does: take in batches, return the mean so far."""

# ruff: noqa: D102 - what an overriding method does stands in Metric.

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastconv._checks import to_array
from fastconv._configurable import Configurable

Array = NDArray[Any]


class Metric(Configurable, ABC):
    """The mean of a value per sample over all batches since the last reset, weighted where weights are given.

    Parameters
    ----------
    name : str
        Key under which `History` keeps it.

    Examples
    --------
    >>> from fastconv.metrics import BinaryAccuracy
    >>> metric = BinaryAccuracy()
    >>> metric.update_state([[1.0], [0.0]], [[0.8], [0.7]], sample_weight=[3, 1])
    >>> metric.result()
    0.75
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.reset_state()

    @abstractmethod
    def values(self, y_true: Array, y_pred: Array) -> Array:
        """Return one value per sample of a batch, or per whatever the mean is taken over."""

    def update_state(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> None:
        """Take in a batch.

        Parameters
        ----------
        y_true, y_pred : array_like
            Targets and outputs.
        sample_weight : array_like, optional
            Of each value: the mean is ``sum(w * v) / sum(w)``. Shape ``(n,)``, or with further axes of the values'
            lengths or 1; for axes that it has not, one weight stands for all along them.

        Raises
        ------
        ValueError
            If `sample_weight` does not fit.
        """
        values = np.asarray(self.values(np.asarray(y_true), np.asarray(y_pred)))
        if sample_weight is None:
            self._add(values.sum(dtype=np.float64), values.size)
        else:
            weights = self._weights(sample_weight, values.shape)
            self._add((weights * values).sum(), weights.sum())

    def result(self) -> float:
        """Return the mean; NaN if there was no batch, 0, as in Keras, if all weights were 0."""
        if self._count:
            return self._sum / self._count
        return 0.0 if self._updated else float("nan")

    def reset_state(self) -> None:
        """Forget all batches."""
        self._sum, self._count, self._updated = 0.0, 0.0, False

    def _weights(self, sample_weight: ArrayLike, shape: tuple[int, ...]) -> Array:
        """Return weights of values of a shape, in float64."""
        weights = to_array(self.name, "sample_weight", sample_weight).astype(np.float64, copy=False)
        given = weights.shape
        if len(given) == len(shape) + 1 and given[-1] == 1:
            weights = weights[..., 0]
        elif len(given) < len(shape):
            weights = weights.reshape(*given, *(1,) * (len(shape) - len(given)))
        try:
            return np.broadcast_to(weights, shape)
        except ValueError:
            choices = " or ".join(dict.fromkeys((str(shape[:1]), str(shape))))
            raise ValueError(f"{self.name}: sample_weight must have shape {choices}, got {given}") from None

    def _add(self, total: Any, count: Any) -> None:
        self._sum += float(total)
        self._count += float(count)
        self._updated = True


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
