"""Metrics that a model follows batch by batch, by Keras' names."""

# ruff: noqa: D102 - what an overriding method does stands in Metric.

import math
from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastconv import losses
from fastconv._configurable import resolve
from fastconv._numbers import count
from fastconv.metrics import _targets
from fastconv.metrics.area import AUC
from fastconv.metrics.base import Array, MeanMetric, Metric


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
        equal: Array = _targets.labels(f"{self.name}: y_true", y_true, y_pred) == y_pred.argmax(axis=-1)
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
        chosen: dict[str, type[CategoricalAccuracy | SparseCategoricalAccuracy | BinaryAccuracy]] = {
            "binary": BinaryAccuracy,
            "sparse": SparseCategoricalAccuracy,
            "categorical": CategoricalAccuracy,
        }
        return chosen[_targets.kind(y_true, y_pred)](self.name).values(y_true, y_pred)


class TopKAccuracy(Metric):
    """How often the target's class is among the `k` largest outputs, see `fastconv.metrics.top_k`.

    Targets may be class numbers or one-hot rows, under all three of its names.

    Examples
    --------
    >>> metric = TopKAccuracy(k=2)
    >>> metric.update_state([2, 0], [[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]])
    >>> metric.result()
    0.5
    """

    def __init__(self, k: int = 5, name: str = "top_k") -> None:
        super().__init__(name)
        self.k = count(f"{type(self).__name__}: k", k, 1)

    def values(self, y_true: Array, y_pred: Array) -> Array:
        return _targets.in_top_k(f"{self.name}: y_true", y_true, y_pred, self.k)


class TopKCategoricalAccuracy(TopKAccuracy):
    """`TopKAccuracy` by the name that Keras has for one-hot targets."""

    def __init__(self, k: int = 5, name: str = "top_k_categorical_accuracy") -> None:
        super().__init__(k, name)


class SparseTopKCategoricalAccuracy(TopKAccuracy):
    """`TopKAccuracy` by the name that Keras has for class numbers."""

    def __init__(self, k: int = 5, name: str = "sparse_top_k_categorical_accuracy") -> None:
        super().__init__(k, name)


class _LossMetric(Metric):
    """A loss that is watched, not minimised."""

    @abstractmethod
    def _loss(self, y_true: Array, y_pred: Array) -> losses.Loss:
        """Return the loss to compute."""

    def values(self, y_true: Array, y_pred: Array) -> Array:
        loss = self._loss(y_true, y_pred)
        loss.reduction = "none"
        values: Array = loss(y_true, y_pred)
        return values


class CategoricalCrossentropy(_LossMetric):
    """The cross-entropy of one-hot targets, see `fastconv.losses.CategoricalCrossentropy`."""

    def __init__(
        self, name: str = "categorical_crossentropy", from_logits: bool = False, label_smoothing: float = 0.0
    ) -> None:
        super().__init__(name)
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing

    def _loss(self, y_true: Array, y_pred: Array) -> losses.Loss:
        return losses.CategoricalCrossentropy(self.from_logits, self.label_smoothing)


class SparseCategoricalCrossentropy(_LossMetric):
    """The cross-entropy of class numbers, see `fastconv.losses.SparseCategoricalCrossentropy`."""

    def __init__(self, name: str = "sparse_categorical_crossentropy", from_logits: bool = False) -> None:
        super().__init__(name)
        self.from_logits = from_logits

    def _loss(self, y_true: Array, y_pred: Array) -> losses.Loss:
        return losses.SparseCategoricalCrossentropy(self.from_logits)


class BinaryCrossentropy(_LossMetric):
    """The cross-entropy of independent outputs, see `fastconv.losses.BinaryCrossentropy`."""

    def __init__(
        self, name: str = "binary_crossentropy", from_logits: bool = False, label_smoothing: float = 0.0
    ) -> None:
        super().__init__(name)
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing

    def _loss(self, y_true: Array, y_pred: Array) -> losses.Loss:
        return losses.BinaryCrossentropy(self.from_logits, self.label_smoothing)


class Crossentropy(_LossMetric):
    """The cross-entropy that fits the data, chosen as by `Accuracy`; Keras' "crossentropy" and "ce".

    Examples
    --------
    >>> metric = Crossentropy()
    >>> metric.update_state([1, 0], [[0.5, 0.5], [0.5, 0.5]])
    >>> round(metric.result(), 4)
    0.6931
    """

    def __init__(self, name: str = "crossentropy", from_logits: bool = False) -> None:
        super().__init__(name)
        self.from_logits = from_logits

    def _loss(self, y_true: Array, y_pred: Array) -> losses.Loss:
        chosen: dict[
            str,
            type[losses.BinaryCrossentropy | losses.SparseCategoricalCrossentropy | losses.CategoricalCrossentropy],
        ] = {
            "binary": losses.BinaryCrossentropy,
            "sparse": losses.SparseCategoricalCrossentropy,
            "categorical": losses.CategoricalCrossentropy,
        }
        return chosen[_targets.kind(y_true, y_pred)](from_logits=self.from_logits)


class MeanSquaredError(Metric):
    """The mean of ``(y_pred - y_true)**2``."""

    def __init__(self, name: str = "mean_squared_error") -> None:
        super().__init__(name)

    def values(self, y_true: Array, y_pred: Array) -> Array:
        squares: Array = np.square(y_pred - y_true.reshape(y_pred.shape))
        return squares


class RootMeanSquaredError(MeanSquaredError):
    """The square root of `MeanSquaredError`, of all data so far.

    Examples
    --------
    >>> metric = RootMeanSquaredError()
    >>> metric.update_state([0.0, 0.0], [3.0, 4.0])
    >>> round(metric.result(), 4)
    3.5355
    """

    def __init__(self, name: str = "root_mean_squared_error") -> None:
        super().__init__(name)

    def result(self) -> float:
        return math.sqrt(super().result())


class MeanAbsoluteError(Metric):
    """The mean of ``|y_pred - y_true|``."""

    def __init__(self, name: str = "mean_absolute_error") -> None:
        super().__init__(name)

    def values(self, y_true: Array, y_pred: Array) -> Array:
        magnitudes: Array = np.abs(y_pred - y_true.reshape(y_pred.shape))
        return magnitudes


class _Share(Metric):
    """The share of one set of outputs that is in another; 0, as in Keras, where the first is empty.

    Parameters
    ----------
    thresholds : float
        An output above it says that its class is there.
    class_id : int, optional
        Count this class only; by default all outputs of all samples count alike.
    name : str
    """

    def __init__(self, thresholds: float, class_id: int | None, name: str) -> None:
        super().__init__(name)
        self.thresholds = thresholds
        self.class_id = class_id

    def result(self) -> float:
        return super().result() if self._count else 0.0

    def values(self, y_true: Array, y_pred: Array) -> Array:
        first, second = self._pair(*self._sets(y_true, y_pred))
        found: Array = second[first]
        return found

    def update_state(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> None:
        if sample_weight is None:
            super().update_state(y_true, y_pred)
            return
        first, second = self._pair(*self._sets(np.asarray(y_true), np.asarray(y_pred)))
        weights = self._weights(sample_weight, first.shape)
        self._add(weights[first & second].sum(), weights[first].sum())

    @abstractmethod
    def _pair(self, true: Array, predicted: Array) -> tuple[Array, Array]:
        """Return the two sets of which the share of the first that is in the second is wanted."""

    def _sets(self, y_true: Array, y_pred: Array) -> tuple[Array, Array]:
        """Return as booleans of one shape where a class is, and where it was predicted."""
        true, predicted = _targets.rows(f"{self.name}: y_true", y_true, y_pred), y_pred > self.thresholds
        if self.class_id is None:
            return true, predicted
        return true[..., self.class_id], predicted[..., self.class_id]


class Precision(_Share):
    """How many of the outputs above a threshold are right: ``tp / (tp + fp)``.

    Parameters
    ----------
    thresholds : float
        An output above it is a prediction: with softmax outputs a sample whose largest is below has none.
    class_id : int, optional
        Count this class only; by default all classes together.
    name : str

    Examples
    --------
    >>> metric = Precision()
    >>> metric.update_state([0, 1, 1, 1], [[0.2], [0.9], [0.8], [0.1]])
    >>> metric.result()
    1.0
    """

    def __init__(self, thresholds: float = 0.5, class_id: int | None = None, name: str = "precision") -> None:
        super().__init__(thresholds, class_id, name)

    def _pair(self, true: Array, predicted: Array) -> tuple[Array, Array]:
        return predicted, true


class Recall(_Share):
    """How many of the targets have an output above a threshold: ``tp / (tp + fn)``. Arguments as for `Precision`.

    Examples
    --------
    >>> metric = Recall()
    >>> metric.update_state([0, 1, 1, 1], [[0.2], [0.9], [0.8], [0.1]])
    >>> round(metric.result(), 4)
    0.6667
    """

    def __init__(self, thresholds: float = 0.5, class_id: int | None = None, name: str = "recall") -> None:
        super().__init__(thresholds, class_id, name)

    def _pair(self, true: Array, predicted: Array) -> tuple[Array, Array]:
        return true, predicted


_BY_NAME: dict[str, type[Metric]] = {
    "accuracy": Accuracy,
    "acc": Accuracy,
    "categorical_accuracy": CategoricalAccuracy,
    "sparse_categorical_accuracy": SparseCategoricalAccuracy,
    "binary_accuracy": BinaryAccuracy,
    "top_k": TopKAccuracy,
    "top_k_categorical_accuracy": TopKCategoricalAccuracy,
    "sparse_top_k_categorical_accuracy": SparseTopKCategoricalAccuracy,
    "crossentropy": Crossentropy,
    "cross_entropy": Crossentropy,
    "ce": Crossentropy,
    "categorical_crossentropy": CategoricalCrossentropy,
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
    "binary_crossentropy": BinaryCrossentropy,
    "auc": AUC,
    "precision": Precision,
    "recall": Recall,
    "mean_squared_error": MeanSquaredError,
    "mse": MeanSquaredError,
    "root_mean_squared_error": RootMeanSquaredError,
    "mean_absolute_error": MeanAbsoluteError,
    "mae": MeanAbsoluteError,
}

_BY_CLASS_NAME = {cls.__name__: cls for cls in _BY_NAME.values()}

CLASSES = frozenset(_BY_NAME.values())
"""What a model file can name."""


def get(identifier: Any, where: str = "get: metric") -> Metric:
    """Return the metric of a name such as ``"mse"`` or ``"MeanSquaredError"``, a class, a configuration, an object or
    a function of (y_true, y_pred)."""
    if callable(identifier) and not isinstance(identifier, type | Metric):
        return MeanMetric(identifier)
    metric = resolve(where, identifier, Metric, {**_BY_NAME, **_BY_CLASS_NAME})
    if isinstance(identifier, str) and identifier in _BY_NAME:
        metric.name = identifier
    return metric
