"""Loss functions with their gradients, by Keras' names, formulas and averages.

A loss is the mean over samples (and over further axes but the last) of one value per sample, each multiplied by its
weight where weights are given; the divisor is the number of values, whatever the weights (Keras'
"sum_over_batch_size").

Cross-entropies take probabilities, or with ``from_logits=True`` what a softmax or sigmoid would turn into them. From
logits they are exact for any finite input, and their gradient is ``softmax(logits) - target``. A model whose last
layer applies the softmax or sigmoid trains on its logits, without being told.
"""

import copy
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

import fastconv.functional as F
from fastconv._checks import to_array
from fastconv._configurable import Configurable, resolve
from fastconv.activations import ActivationFunction, Sigmoid, Softmax

Array = NDArray[Any]

# Keras' fuzz factor: probabilities are kept this far from 0 and 1.
_EPSILON = 1e-7


class Loss(Configurable, ABC):
    """Base of all losses: a subclass computes one value per sample, and its gradient."""

    name: ClassVar[str]

    def __call__(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return the loss.

        Parameters
        ----------
        y_true : array_like
            Targets; their form is the loss's.
        y_pred : array_like
            Outputs of a network, shape ``(n, ..., outputs)``.
        sample_weight : array_like, optional
            Shape ``(n,)`` or ``(n, ...)``.

        Raises
        ------
        ValueError
            If shapes do not fit, or a label is out of range.
        """
        outputs = self._outputs(y_pred)
        targets = self._targets(to_array(self.name, "y_true", y_true), outputs)
        values = self._values(targets, outputs)
        if sample_weight is not None:
            values = values * self._weights(sample_weight, values)
        return float(values.sum(dtype=np.float64)) / values.size

    def with_gradient(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> tuple[float, Array]:
        """Return the loss and its gradient with respect to `y_pred`; arguments as for a call."""
        outputs = self._outputs(y_pred)
        targets = self._targets(to_array(self.name, "y_true", y_true), outputs)
        values = self._values(targets, outputs)
        gradient = self._gradient(targets, outputs)
        if sample_weight is None:
            gradient *= outputs.dtype.type(1 / values.size)
        else:
            weights = self._weights(sample_weight, values)
            values = values * weights
            gradient *= (weights / values.size)[..., np.newaxis]
        return float(values.sum(dtype=np.float64)) / values.size, gradient

    def on_logits(self, activation: ActivationFunction | None) -> "Loss | None":
        """Return the loss that takes what `activation` is applied to, or None where there is no such loss."""
        return None

    @abstractmethod
    def _targets(self, y_true: Array, y_pred: Array) -> Array:
        """Return `y_true` checked and in the form that the other methods take."""

    @abstractmethod
    def _values(self, targets: Array, y_pred: Array) -> Array:
        """Return one value per sample, shape ``y_pred.shape[:-1]``."""

    @abstractmethod
    def _gradient(self, targets: Array, y_pred: Array) -> Array:
        """Return a new array of `y_pred`'s shape: the gradient of each sample's own value."""

    def _outputs(self, y_pred: ArrayLike) -> Array:
        outputs = to_array(self.name, "y_pred", y_pred)
        if outputs.dtype not in (np.float32, np.float64):
            outputs = outputs.astype(np.result_type(outputs, np.float32))
        if outputs.ndim == 0 or outputs.size == 0:
            raise ValueError(f"{self.name}: y_pred must hold at least one sample, got shape {outputs.shape}")
        return outputs

    def _weights(self, sample_weight: ArrayLike, values: Array) -> Array:
        weights = to_array(self.name, "sample_weight", sample_weight).astype(values.dtype, copy=False)
        if weights.shape == values.shape[:1]:
            weights = weights.reshape(-1, *(1,) * (values.ndim - 1))
        elif weights.shape != values.shape:
            raise ValueError(
                f"{self.name}: sample_weight must have shape {values.shape[:1]} or {values.shape}, got {weights.shape}"
            )
        return np.broadcast_to(weights, values.shape)

    def _same_shape(self, y_true: Array, y_pred: Array) -> Array:
        """Return targets of `y_pred`'s shape and dtype; a last axis of length 1 may be left out."""
        if y_true.shape == y_pred.shape[:-1] and y_pred.shape[-1] == 1:
            y_true = y_true[..., np.newaxis]
        if y_true.shape != y_pred.shape:
            raise ValueError(
                f"{self.name}: y_true must have the outputs' shape {y_pred.shape}, got {y_true.shape}"
                + (
                    "; for integer labels use sparse_categorical_crossentropy"
                    if y_true.shape in (y_pred.shape[:-1], (*y_pred.shape[:-1], 1)) and self.name.startswith("categ")
                    else ""
                )
            )
        targets: Array = y_true.astype(y_pred.dtype, copy=False)
        return targets


class MeanSquaredError(Loss):
    """``mean((y_pred - y_true)**2)`` over the last axis.

    Examples
    --------
    >>> MeanSquaredError()([[0.0, 1.0]], [[1.0, 1.0]])
    0.5
    """

    name = "mean_squared_error"

    def _targets(self, y_true: Array, y_pred: Array) -> Array:
        return self._same_shape(y_true, y_pred)

    def _values(self, targets: Array, y_pred: Array) -> Array:
        difference = y_pred - targets
        mean: Array = np.einsum("...i,...i->...", difference, difference) / y_pred.shape[-1]
        return mean

    def _gradient(self, targets: Array, y_pred: Array) -> Array:
        gradient: Array = y_pred - targets
        gradient *= 2 / y_pred.shape[-1]
        return gradient


class _Crossentropy(Loss):
    """Negative log-likelihood of probabilities, or of the logits of `_activation`."""

    _activation: ClassVar[type[ActivationFunction]]

    from_logits: bool

    def on_logits(self, activation: ActivationFunction | None) -> Self | None:
        if self.from_logits or not isinstance(activation, self._activation):
            return None
        on_logits = copy.copy(self)
        on_logits.from_logits = True
        return on_logits


class _SoftmaxCrossentropy(_Crossentropy):
    """``-log(p[target])`` with ``p`` the normalised probabilities along the last axis."""

    _activation = Softmax

    def on_logits(self, activation: ActivationFunction | None) -> Self | None:
        if isinstance(activation, Softmax) and activation.axis != -1:
            return None
        return super().on_logits(activation)

    def _log_probabilities(self, y_pred: Array) -> Array:
        if self.from_logits:
            return F.log_softmax(y_pred, -1)
        logarithms: Array = np.log(np.clip(_normalize(y_pred), _EPSILON, 1 - _EPSILON))
        return logarithms

    def _from_log_gradient(self, grad_log: Array, y_pred: Array) -> Array:
        """Return the gradient of probabilities, given that of the logarithms of the normalised ones."""
        p = _normalize(y_pred)
        inside = (p >= _EPSILON) & (p <= 1 - _EPSILON)
        grad_p = np.divide(grad_log, p, out=np.zeros_like(p), where=inside)
        grad_p -= np.einsum("...i,...i->...", grad_p, p)[..., np.newaxis]
        grad_p /= y_pred.sum(axis=-1, keepdims=True)
        return grad_p


class CategoricalCrossentropy(_SoftmaxCrossentropy):
    """``-sum(t * log(p))`` over classes, for targets ``t`` given as rows of probabilities (one-hot, as a rule).

    Parameters
    ----------
    from_logits : bool
        Whether outputs are logits: ``p = softmax(y_pred)``. Otherwise they are divided by their sum and kept
        within 1e-7 of 0 and 1.
    label_smoothing : float
        From 0 to 1: targets become ``t * (1 - label_smoothing) + label_smoothing / classes``.

    Examples
    --------
    >>> round(CategoricalCrossentropy()([[0, 1]], [[0.5, 0.5]]), 4)
    0.6931
    """

    name = "categorical_crossentropy"

    def __init__(self, from_logits: bool = False, label_smoothing: float = 0.0) -> None:
        self.from_logits = bool(from_logits)
        self.label_smoothing = _smoothing(self.name, label_smoothing)

    def _targets(self, y_true: Array, y_pred: Array) -> Array:
        targets = self._same_shape(y_true, y_pred)
        if self.label_smoothing:
            targets = targets * (1 - self.label_smoothing) + self.label_smoothing / y_pred.shape[-1]
        return targets

    def _values(self, targets: Array, y_pred: Array) -> Array:
        values: Array = -np.einsum("...i,...i->...", targets, self._log_probabilities(y_pred))
        return values

    def _gradient(self, targets: Array, y_pred: Array) -> Array:
        if not self.from_logits:
            return self._from_log_gradient(-targets, y_pred)
        gradient = F.softmax(y_pred, -1)
        gradient *= targets.sum(axis=-1, keepdims=True)
        gradient -= targets
        return gradient


class SparseCategoricalCrossentropy(_SoftmaxCrossentropy):
    """``-log(p[label])`` for integer labels from 0 to ``classes - 1``.

    Parameters
    ----------
    from_logits : bool
        As for `CategoricalCrossentropy`.

    Examples
    --------
    >>> round(SparseCategoricalCrossentropy()([1], [[0.5, 0.5]]), 4)
    0.6931
    """

    name = "sparse_categorical_crossentropy"

    def __init__(self, from_logits: bool = False) -> None:
        self.from_logits = bool(from_logits)

    def _targets(self, y_true: Array, y_pred: Array) -> Array:
        if y_true.shape == (*y_pred.shape[:-1], 1):
            y_true = y_true[..., 0]
        if y_true.shape != y_pred.shape[:-1]:
            raise ValueError(f"{self.name}: y_true must have shape {y_pred.shape[:-1]}, got {y_true.shape}")
        labels = y_true.astype(np.intp, copy=False)
        if y_true.dtype.kind == "f" and not (labels == y_true).all():
            raise ValueError(f"{self.name}: y_true must hold whole numbers, got {y_true[labels != y_true][0]}")
        if not 0 <= labels.min() <= labels.max() < y_pred.shape[-1]:
            bad = labels.min() if labels.min() < 0 else labels.max()
            raise ValueError(
                f"{self.name}: y_true must hold labels from 0 to {y_pred.shape[-1] - 1} "
                f"for {y_pred.shape[-1]} outputs, got {bad}"
            )
        return labels[..., np.newaxis]

    def _values(self, targets: Array, y_pred: Array) -> Array:
        return -np.take_along_axis(self._log_probabilities(y_pred), targets, axis=-1)[..., 0]

    def _gradient(self, targets: Array, y_pred: Array) -> Array:
        if not self.from_logits:
            grad_log = np.zeros_like(y_pred)
            np.put_along_axis(grad_log, targets, -1, axis=-1)
            return self._from_log_gradient(grad_log, y_pred)
        gradient = F.softmax(y_pred, -1)
        at_label = np.take_along_axis(gradient, targets, axis=-1)
        np.put_along_axis(gradient, targets, at_label - 1, axis=-1)
        return gradient


class BinaryCrossentropy(_Crossentropy):
    """``mean(-t * log(p) - (1 - t) * log(1 - p))`` over the last axis.

    Parameters
    ----------
    from_logits : bool
        Whether outputs are logits: ``p = sigmoid(y_pred)``. Otherwise they are kept within 1e-7 of 0 and 1.
    label_smoothing : float
        From 0 to 1: targets become ``t * (1 - label_smoothing) + label_smoothing / 2``.

    Examples
    --------
    >>> round(BinaryCrossentropy()([[1]], [[0.5]]), 4)
    0.6931
    """

    name = "binary_crossentropy"
    _activation = Sigmoid

    def __init__(self, from_logits: bool = False, label_smoothing: float = 0.0) -> None:
        self.from_logits = bool(from_logits)
        self.label_smoothing = _smoothing(self.name, label_smoothing)

    def _targets(self, y_true: Array, y_pred: Array) -> Array:
        targets = self._same_shape(y_true, y_pred)
        if self.label_smoothing:
            targets = targets * (1 - self.label_smoothing) + self.label_smoothing / 2
        return targets

    def _values(self, targets: Array, y_pred: Array) -> Array:
        if self.from_logits:
            # log(1 + exp(z)) - t*z without overflow.
            values = np.maximum(y_pred, 0) - targets * y_pred + np.log1p(np.exp(-np.abs(y_pred)))
        else:
            p = np.clip(y_pred, _EPSILON, 1 - _EPSILON)
            values = -targets * np.log(p) - (1 - targets) * np.log1p(-p)
        mean: Array = values.mean(axis=-1)
        return mean

    def _gradient(self, targets: Array, y_pred: Array) -> Array:
        if self.from_logits:
            gradient = F.sigmoid(y_pred) - targets
        else:
            inside = (y_pred >= _EPSILON) & (y_pred <= 1 - _EPSILON)
            slope = y_pred * (1 - y_pred)
            gradient = np.divide(y_pred - targets, slope, out=np.zeros_like(y_pred), where=inside)
        gradient /= y_pred.shape[-1]
        return gradient


_BY_NAME: dict[str, type[Loss]] = {
    CategoricalCrossentropy.name: CategoricalCrossentropy,
    SparseCategoricalCrossentropy.name: SparseCategoricalCrossentropy,
    BinaryCrossentropy.name: BinaryCrossentropy,
    MeanSquaredError.name: MeanSquaredError,
    "mse": MeanSquaredError,
}

CLASSES = frozenset(_BY_NAME.values())
"""What a model file can name."""


def get(identifier: object, where: str = "get: loss") -> Loss:
    """Return the loss of a name such as ``"mse"``, a class, a configuration or an object.

    Examples
    --------
    >>> get("binary_crossentropy")
    BinaryCrossentropy(from_logits=False, label_smoothing=0.0)
    """
    return resolve(where, identifier, Loss, _BY_NAME)


def _normalize(y_pred: Array) -> Array:
    normalized: Array = y_pred / y_pred.sum(axis=-1, keepdims=True)
    return normalized


def _smoothing(loss: str, value: float) -> float:
    if not 0 <= value <= 1:
        raise ValueError(f"{loss}: label_smoothing must be from 0 to 1, got {value!r}")
    return float(value)
