"""Losses of probabilities, and of the logits that a softmax or sigmoid turns into them."""

# ruff: noqa: D102 - what an overriding method does stands in Loss.

import copy
from typing import ClassVar, Self

import numpy as np

import fastconv.functional as F
from fastconv._numbers import unit
from fastconv.activations import ActivationFunction, Sigmoid, Softmax
from fastconv.losses.base import Array, Loss, Reduction

# Keras' fuzz factor: probabilities are kept this far from 0 and 1.
EPSILON = 1e-7


class Crossentropy(Loss):
    """Negative log-likelihood of probabilities, or of the logits of `_activation`."""

    _activation: ClassVar[type[ActivationFunction]]

    from_logits: bool

    def on_logits(self, activation: ActivationFunction | None) -> Self | None:
        if self.from_logits or not isinstance(activation, self._activation):
            return None
        on_logits = copy.copy(self)
        on_logits.from_logits = True
        return on_logits


class SoftmaxCrossentropy(Crossentropy):
    """A loss of the logarithms of the normalised probabilities ``p`` along the last axis."""

    _activation = Softmax

    def on_logits(self, activation: ActivationFunction | None) -> Self | None:
        if isinstance(activation, Softmax) and activation.axis != -1:
            return None
        return super().on_logits(activation)

    def _log_probabilities(self, y_pred: Array) -> Array:
        if self.from_logits:
            return F.log_softmax(y_pred, -1)
        logarithms: Array = np.log(np.clip(_normalize(y_pred), EPSILON, 1 - EPSILON))
        return logarithms

    def _from_log_gradient(self, grad_log: Array, y_pred: Array) -> Array:
        """Return the gradient of `y_pred`, given that of `_log_probabilities`."""
        if self.from_logits:
            return F.log_softmax_backward(grad_log, y_pred, -1)
        p = _normalize(y_pred)
        inside = (p >= EPSILON) & (p <= 1 - EPSILON)
        grad_p = np.divide(grad_log, p, out=np.zeros_like(p), where=inside)
        grad_p -= np.einsum("...i,...i->...", grad_p, p)[..., np.newaxis]
        grad_p /= y_pred.sum(axis=-1, keepdims=True)
        return grad_p


class CategoricalCrossentropy(SoftmaxCrossentropy):
    """``-sum(t * log(p))`` over classes, for targets ``t`` given as rows of probabilities (one-hot, as a rule).

    Parameters
    ----------
    from_logits : bool
        Whether outputs are logits: ``p = softmax(y_pred)``. Otherwise they are divided by their sum and kept
        within 1e-7 of 0 and 1.
    label_smoothing : float
        From 0 to 1: targets become ``t * (1 - label_smoothing) + label_smoothing / classes``.
    reduction, name
        See `Loss`.

    Examples
    --------
    >>> round(CategoricalCrossentropy()([[0, 1]], [[0.5, 0.5]]), 4)
    0.6931
    """

    name = "categorical_crossentropy"

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        *,
        reduction: Reduction = "sum_over_batch_size",
        name: str | None = None,
    ) -> None:
        super().__init__(reduction, name)
        self.from_logits = bool(from_logits)
        self.label_smoothing = unit(f"{self.name}: label_smoothing", label_smoothing)

    def _targets(self, y_true: Array, y_pred: Array) -> Array:
        return smoothed(self._same_shape(y_true, y_pred), self.label_smoothing, y_pred.shape[-1])

    def _values(self, targets: Array, y_pred: Array) -> Array:
        values: Array = -np.einsum("...i,...i->...", targets, self._log_probabilities(y_pred))
        return values

    def _gradient(self, targets: Array, y_pred: Array) -> Array:
        return self._from_log_gradient(-targets, y_pred)


class SparseCategoricalCrossentropy(SoftmaxCrossentropy):
    """``-log(p[label])`` for integer labels from 0 to ``classes - 1``.

    Parameters
    ----------
    from_logits : bool
        As for `CategoricalCrossentropy`.
    ignore_class : int, optional
        A label, of a class or of none (255 for the borders of objects, -1), whose values and gradients are 0; means
        are over the others.
    reduction, name
        See `Loss`.

    Examples
    --------
    >>> round(SparseCategoricalCrossentropy()([1], [[0.5, 0.5]]), 4)
    0.6931
    >>> round(SparseCategoricalCrossentropy(ignore_class=255)([1, 255], [[0.5, 0.5], [0.9, 0.1]]), 4)
    0.6931
    """

    name = "sparse_categorical_crossentropy"

    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        *,
        reduction: Reduction = "sum_over_batch_size",
        name: str | None = None,
    ) -> None:
        super().__init__(reduction, name)
        self.from_logits = bool(from_logits)
        self.ignore_class = None if ignore_class is None else _label(f"{self.name}: ignore_class", ignore_class)

    def _kept(self, y_true: Array, values: Array) -> Array | None:
        return None if self.ignore_class is None else (y_true != self.ignore_class).reshape(values.shape)

    def _targets(self, y_true: Array, y_pred: Array) -> Array:
        if self.ignore_class is not None:
            y_true = np.where(y_true == self.ignore_class, 0, y_true)
        if y_true.shape == (*y_pred.shape[:-1], 1):
            y_true = y_true[..., 0]
        if y_true.shape != y_pred.shape[:-1]:
            raise ValueError(f"{self.name}: y_true must have shape {y_pred.shape[:-1]}, got {y_true.shape}")
        if y_true.dtype.kind == "f":
            with np.errstate(invalid="ignore"):
                labels = y_true.astype(np.intp)
            if not (labels == y_true).all():
                raise ValueError(f"{self.name}: y_true must hold whole numbers, got {y_true[labels != y_true][0]}")
        else:
            labels = y_true.astype(np.intp, copy=False)
        if not 0 <= labels.min() <= labels.max() < y_pred.shape[-1]:
            bad = labels.min() if labels.min() < 0 else labels.max()
            raise ValueError(
                f"{self.name}: y_true must hold labels from 0 to {y_pred.shape[-1] - 1} "
                f"for {y_pred.shape[-1]} outputs, got {bad}"
            )
        return labels

    def _values(self, targets: Array, y_pred: Array) -> Array:
        return _minus_at(self._log_probabilities(y_pred), targets)

    def _gradient(self, targets: Array, y_pred: Array) -> Array:
        return self._from_log_gradient(_minus_one_at(targets, y_pred), y_pred)

    def _values_and_gradient(self, targets: Array, y_pred: Array) -> tuple[Array, Array]:
        if not self.from_logits:
            return super()._values_and_gradient(targets, y_pred)
        log_p = self._log_probabilities(y_pred)
        with np.errstate(under="ignore"):
            gradient = np.exp(log_p)
        places = _places(targets, y_pred)
        # The softmax, less the labels' vectors of a one and zeros.
        gradient.reshape(-1)[places] -= 1
        return -log_p.reshape(-1)[places].reshape(targets.shape), gradient


class BinaryCrossentropy(Crossentropy):
    """``mean(-t * log(p) - (1 - t) * log(1 - p))`` over the last axis.

    Parameters
    ----------
    from_logits : bool
        Whether outputs are logits: ``p = sigmoid(y_pred)``. Otherwise they are kept within 1e-7 of 0 and 1.
    label_smoothing : float
        From 0 to 1: targets become ``t * (1 - label_smoothing) + label_smoothing / 2``.
    reduction, name
        See `Loss`.

    Examples
    --------
    >>> round(BinaryCrossentropy()([[1]], [[0.5]]), 4)
    0.6931
    """

    name = "binary_crossentropy"
    _activation = Sigmoid

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        *,
        reduction: Reduction = "sum_over_batch_size",
        name: str | None = None,
    ) -> None:
        super().__init__(reduction, name)
        self.from_logits = bool(from_logits)
        self.label_smoothing = unit(f"{self.name}: label_smoothing", label_smoothing)

    def _targets(self, y_true: Array, y_pred: Array) -> Array:
        return smoothed(self._same_shape(y_true, y_pred), self.label_smoothing, 2)

    def _values(self, targets: Array, y_pred: Array) -> Array:
        if self.from_logits:
            values = F.binary_cross_entropy_with_logits(y_pred, targets, reduction="none")
        else:
            p = np.clip(y_pred, EPSILON, 1 - EPSILON)
            values = F.binary_cross_entropy(p, targets, reduction="none")
        mean: Array = values.mean(axis=-1)
        return mean

    def _gradient(self, targets: Array, y_pred: Array) -> Array:
        scale = 1 / y_pred.shape[-1]
        if self.from_logits:
            return F.binary_cross_entropy_with_logits_backward(scale, y_pred, targets, reduction="sum")
        p = np.clip(y_pred, EPSILON, 1 - EPSILON)
        gradient = F.binary_cross_entropy_backward(scale, p, targets, reduction="sum")
        gradient[p != y_pred] = 0
        return gradient


class KLDivergence(Loss):
    """``sum(t * log(t / p))`` over the last axis, of two rows of probabilities that are kept from 1e-7 to 1.

    Parameters
    ----------
    reduction, name
        See `Loss`.

    Examples
    --------
    >>> round(KLDivergence()([[0.5, 0.5]], [[0.25, 0.75]]), 4)
    0.1438
    """

    name = "kl_divergence"

    def _targets(self, y_true: Array, y_pred: Array) -> Array:
        return np.clip(self._same_shape(y_true, y_pred), EPSILON, 1)

    def _values(self, targets: Array, y_pred: Array) -> Array:
        values: Array = F.kl_div(np.log(np.clip(y_pred, EPSILON, 1)), targets, "none").sum(axis=-1)
        return values

    def _gradient(self, targets: Array, y_pred: Array) -> Array:
        p = np.clip(y_pred, EPSILON, 1)
        gradient = F.kl_div_backward(1.0, np.log(p), targets, "sum")
        gradient /= p
        gradient[p != y_pred] = 0
        return gradient


def _label(where: str, label: int) -> int:
    if isinstance(label, bool | np.bool_) or not isinstance(label, int | np.integer):
        raise TypeError(f"{where} must be an integer or None, got {label!r}")
    return int(label)


def smoothed(targets: Array, label_smoothing: float, classes: int) -> Array:
    """Return targets moved towards ``1 / classes``."""
    return targets * (1 - label_smoothing) + label_smoothing / classes if label_smoothing else targets


def _minus_at(log_p: Array, labels: Array) -> Array:
    """Return ``-log_p[..., label]``."""
    values: Array = -log_p.reshape(-1)[_places(labels, log_p)].reshape(labels.shape)
    return values


def _minus_one_at(labels: Array, y_pred: Array) -> Array:
    """Return the gradient of `_minus_at`."""
    gradient = np.zeros(y_pred.shape, y_pred.dtype)
    gradient.reshape(-1)[_places(labels, y_pred)] = -1
    return gradient


def _places(labels: Array, y_pred: Array) -> Array:
    """Return where each row's label is among all elements: np.take_along_axis takes four times as long to find it."""
    places: Array = labels.reshape(-1) + np.arange(0, y_pred.size, y_pred.shape[-1])
    return places


def _normalize(y_pred: Array) -> Array:
    normalized: Array = y_pred / y_pred.sum(axis=-1, keepdims=True)
    return normalized
