"""How good predictions are: metrics that a model follows batch by batch, and functions of whole label arrays."""

# ruff: noqa: D102 - what an overriding method does stands in Metric.

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastconv._configurable import Configurable, resolve

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
        """Return one value per sample of a batch."""

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


class CategoricalAccuracy(Metric):
    """How often the largest output is at the 1 of a one-hot target."""

    def __init__(self, name: str = "categorical_accuracy") -> None:
        super().__init__(name)

    def values(self, y_true: Array, y_pred: Array) -> Array:
        equal: Array = y_true.argmax(axis=-1) == y_pred.argmax(axis=-1)
        return equal


class SparseCategoricalAccuracy(Metric):
    """How often the largest output is at the integer label."""

    def __init__(self, name: str = "sparse_categorical_accuracy") -> None:
        super().__init__(name)

    def values(self, y_true: Array, y_pred: Array) -> Array:
        equal: Array = _labels(y_true, y_pred) == y_pred.argmax(axis=-1)
        return equal


class BinaryAccuracy(Metric):
    """How often an output is on the target's side of a threshold."""

    def __init__(self, name: str = "binary_accuracy", threshold: float = 0.5) -> None:
        super().__init__(name)
        self.threshold = threshold

    def values(self, y_true: Array, y_pred: Array) -> Array:
        equal: Array = y_true.reshape(y_pred.shape) == (y_pred > self.threshold)
        return equal


class Accuracy(Metric):
    """The accuracy that fits the data, as Keras chooses it for "accuracy".

    One output: `BinaryAccuracy`. Targets with an axis less than the outputs, or with a last axis of length 1:
    `SparseCategoricalAccuracy`. Otherwise `CategoricalAccuracy`.

    Examples
    --------
    >>> accuracy = Accuracy()
    >>> accuracy.update_state([1, 0], [[0.2, 0.8], [0.1, 0.9]])
    >>> accuracy.result()
    0.5
    """

    def __init__(self, name: str = "accuracy") -> None:
        super().__init__(name)

    def values(self, y_true: Array, y_pred: Array) -> Array:
        chosen: Metric
        if y_pred.shape[-1] == 1:
            chosen = BinaryAccuracy()
        elif y_true.ndim < y_pred.ndim or y_true.shape[-1] == 1:
            chosen = SparseCategoricalAccuracy()
        else:
            chosen = CategoricalAccuracy()
        return chosen.values(y_true, y_pred)


class TopKAccuracy(Metric):
    """How often the target's class is among the `k` largest outputs, see `top_k`."""

    def __init__(self, k: int = 5, name: str = "top_k") -> None:
        super().__init__(name)
        self.k = k

    def values(self, y_true: Array, y_pred: Array) -> Array:
        return _in_top_k(y_true, y_pred, self.k)


class MeanMetric(Metric):
    """The mean of a function of one's own, ``function(y_true, y_pred)``, weighted by the size of each result."""

    def __init__(self, function: Callable[[Array, Array], ArrayLike], name: str | None = None) -> None:
        super().__init__(name or str(getattr(function, "__name__", "metric")))
        self.function = function

    def values(self, y_true: Array, y_pred: Array) -> Array:
        values = np.asarray(self.function(y_true, y_pred))
        return values if values.ndim else np.broadcast_to(values, len(y_pred))


_BY_NAME: dict[str, type[Metric]] = {
    "accuracy": Accuracy,
    "acc": Accuracy,
    "categorical_accuracy": CategoricalAccuracy,
    "sparse_categorical_accuracy": SparseCategoricalAccuracy,
    "binary_accuracy": BinaryAccuracy,
    "top_k": TopKAccuracy,
}

CLASSES = frozenset(_BY_NAME.values())
"""What a model file can name."""


def get(identifier: object, where: str = "get: metric") -> Metric:
    """Return the metric of a name, a class, a configuration, an object or a function of (y_true, y_pred)."""
    if callable(identifier) and not isinstance(identifier, type | Metric):
        return MeanMetric(identifier)
    metric = resolve(where, identifier, Metric, _BY_NAME)
    if isinstance(identifier, str):
        metric.name = identifier
    return metric


def confusion_matrix(y_true: ArrayLike, y_pred: ArrayLike, num_classes: int | None = None) -> NDArray[np.int64]:
    """Count how often each class was taken for each: row ``i``, column ``j`` counts class ``i`` predicted as ``j``.

    Parameters
    ----------
    y_true, y_pred : array_like of int
        Labels of the same shape, from 0 to ``num_classes - 1``.
    num_classes : int, optional
        By default the largest label plus one.

    Raises
    ------
    TypeError
        If labels are not integers.
    ValueError
        If shapes differ or a label is out of range.

    Examples
    --------
    >>> confusion_matrix([0, 1, 1], [0, 0, 1])
    array([[1, 0],
           [1, 1]])
    """
    true, predicted = np.asarray(y_true), np.asarray(y_pred)
    if true.shape != predicted.shape:
        raise ValueError(f"confusion_matrix: y_pred must have y_true's shape {true.shape}, got {predicted.shape}")
    largest = -1
    for name, labels in (("y_true", true), ("y_pred", predicted)):
        if labels.size and not np.issubdtype(labels.dtype, np.integer):
            raise TypeError(f"confusion_matrix: {name} must hold integers, got {labels.dtype}")
        largest = max(largest, int(labels.max()) if labels.size else -1)
    classes = largest + 1 if num_classes is None else num_classes
    for name, labels in (("y_true", true), ("y_pred", predicted)):
        if labels.size and not 0 <= labels.min() <= labels.max() < classes:
            bad = labels.min() if labels.min() < 0 else labels.max()
            raise ValueError(f"confusion_matrix: {name} must hold labels from 0 to {classes - 1}, got {bad}")
    cells = true.astype(np.int64).ravel() * classes + predicted.astype(np.int64).ravel()
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes).astype(np.int64, copy=False)


def top_k(y_true: ArrayLike, y_pred: ArrayLike, k: int = 5) -> float:
    """Return the share of samples whose class is among the `k` with the largest outputs.

    A class counts as among them when fewer than `k` classes have a larger output.

    Parameters
    ----------
    y_true : array_like
        Integer labels, shape ``(n,)``, or one-hot rows, shape ``(n, classes)``.
    y_pred : array_like
        Probabilities or logits, shape ``(n, classes)``.
    k : int

    Examples
    --------
    >>> top_k([2, 0], [[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]], k=2)
    0.5
    """
    return float(np.mean(_in_top_k(np.asarray(y_true), np.asarray(y_pred), k)))


def _in_top_k(y_true: Array, y_pred: Array, k: int) -> Array:
    if k < 1:
        raise ValueError(f"top_k: k must be at least 1, got {k}")
    at_label = np.take_along_axis(y_pred, _labels(y_true, y_pred)[..., np.newaxis], axis=-1)
    within: Array = np.count_nonzero(y_pred > at_label, axis=-1) < k
    return within


def _labels(y_true: Array, y_pred: Array) -> Array:
    """Return integer labels of shape ``y_pred.shape[:-1]`` from labels or one-hot rows."""
    if y_true.shape == y_pred.shape and y_pred.shape[-1] > 1:
        from_rows: Array = y_true.argmax(axis=-1)
        return from_rows
    labels: Array = y_true.reshape(y_pred.shape[:-1]).astype(np.intp, copy=False)
    return labels
