"""Cross-entropies that count little where a prediction is already right (Lin et al. 2017, arXiv:1708.02002)."""

import numpy as np

import fastconv.functional as F
from fastconv._numbers import not_negative, unit
from fastconv.activations import Sigmoid
from fastconv.losses.base import Array, Reduction
from fastconv.losses.probabilistic import EPSILON, Crossentropy, SoftmaxCrossentropy, smoothed


class CategoricalFocalCrossentropy(SoftmaxCrossentropy):
    """``-sum(alpha * (1 - p)**gamma * t * log(p))`` over classes.

    Parameters
    ----------
    alpha : float
        A factor of the whole loss.
    gamma : float
        How little right predictions count; 0 gives `CategoricalCrossentropy` times `alpha`.
    from_logits, label_smoothing
        As for `CategoricalCrossentropy`.
    reduction, name
        See `Loss`.

    Examples
    --------
    >>> round(CategoricalFocalCrossentropy()([[0, 1]], [[0.5, 0.5]]), 4)
    0.0433
    """

    name = "categorical_focal_crossentropy"

    def __init__(
        self,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        *,
        reduction: Reduction = "sum_over_batch_size",
        name: str | None = None,
    ) -> None:
        super().__init__(reduction, name)
        self.alpha = not_negative(f"{self.name}: alpha", alpha)
        self.gamma = not_negative(f"{self.name}: gamma", gamma)
        self.from_logits = bool(from_logits)
        self.label_smoothing = unit(f"{self.name}: label_smoothing", label_smoothing)

    def _targets(self, y_true: Array, y_pred: Array) -> Array:
        return smoothed(self._same_shape(y_true, y_pred), self.label_smoothing, y_pred.shape[-1])

    def _values(self, targets: Array, y_pred: Array) -> Array:
        log_p = self._log_probabilities(y_pred)
        values: Array = -self.alpha * np.einsum("...i,...i,...i->...", _complement(log_p) ** self.gamma, targets, log_p)
        return values

    def _gradient(self, targets: Array, y_pred: Array) -> Array:
        # By log p: -alpha t (1 - p)**gamma (1 - gamma p log p / (1 - p)). The last fraction tends to -1 as p to 1.
        log_p = self._log_probabilities(y_pred)
        wrong = _complement(log_p)
        fraction = np.divide(np.exp(log_p) * log_p, wrong, out=np.full_like(wrong, -1), where=wrong > 0)
        grad_log = -self.alpha * targets * wrong**self.gamma * (1 - self.gamma * fraction)
        return self._from_log_gradient(grad_log, y_pred)


class BinaryFocalCrossentropy(Crossentropy):
    """``mean((1 - q)**gamma * c)`` over the last axis, of the `BinaryCrossentropy` ``c`` of each output, with the
    probability ``q = t * p + (1 - t) * (1 - p)`` that it is right.

    Parameters
    ----------
    apply_class_balancing : bool
        Whether to multiply by ``t * alpha + (1 - t) * (1 - alpha)``.
    alpha : float
    gamma : float
        How little right predictions count; 0 gives `BinaryCrossentropy`.
    from_logits, label_smoothing
        As for `BinaryCrossentropy`.
    reduction, name
        See `Loss`.

    Examples
    --------
    >>> round(BinaryFocalCrossentropy()([[1]], [[0.5]]), 4)
    0.1733
    """

    name = "binary_focal_crossentropy"
    _activation = Sigmoid

    def __init__(
        self,
        apply_class_balancing: bool = False,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        *,
        reduction: Reduction = "sum_over_batch_size",
        name: str | None = None,
    ) -> None:
        super().__init__(reduction, name)
        self.apply_class_balancing = bool(apply_class_balancing)
        self.alpha = not_negative(f"{self.name}: alpha", alpha)
        self.gamma = not_negative(f"{self.name}: gamma", gamma)
        self.from_logits = bool(from_logits)
        self.label_smoothing = unit(f"{self.name}: label_smoothing", label_smoothing)

    def _targets(self, y_true: Array, y_pred: Array) -> Array:
        return smoothed(self._same_shape(y_true, y_pred), self.label_smoothing, 2)

    def _values(self, targets: Array, y_pred: Array) -> Array:
        _, wrong, crossentropy = self._terms(targets, y_pred)
        mean: Array = (self._balance(targets) * wrong**self.gamma * crossentropy).mean(axis=-1)
        return mean

    def _gradient(self, targets: Array, y_pred: Array) -> Array:
        # By the logit: (1 - q)**gamma (p - t + gamma (1 - 2 t) c p (1 - p) / (1 - q)), where c = 0 if q = 1.
        p, wrong, crossentropy = self._terms(targets, y_pred)
        slope = p * (1 - p)
        fraction = np.divide(slope, wrong, out=np.zeros_like(wrong), where=wrong > 0)
        gradient: Array = p - targets + self.gamma * (1 - 2 * targets) * crossentropy * fraction
        gradient *= self._balance(targets) * wrong**self.gamma / y_pred.shape[-1]
        if not self.from_logits:
            gradient /= slope
            gradient[p != y_pred] = 0
        return gradient

    def _terms(self, targets: Array, y_pred: Array) -> tuple[Array, Array, Array]:
        """Return ``p``, ``1 - q`` and ``c``."""
        if self.from_logits:
            p, not_p = F.sigmoid(y_pred), F.sigmoid(-y_pred)
            crossentropy = F.binary_cross_entropy_with_logits(y_pred, targets, reduction="none")
        else:
            p = np.clip(y_pred, EPSILON, 1 - EPSILON)
            not_p = 1 - p
            crossentropy = F.binary_cross_entropy(p, targets, reduction="none")
        return p, targets * not_p + (1 - targets) * p, crossentropy

    def _balance(self, targets: Array) -> Array | float:
        return targets * self.alpha + (1 - targets) * (1 - self.alpha) if self.apply_class_balancing else 1.0


def _complement(log_p: Array) -> Array:
    """Return ``1 - p``; a logarithm that rounding left above 0 counts as 0."""
    complement: Array = np.maximum(-np.expm1(log_p), 0)
    return complement
