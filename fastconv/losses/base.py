"""What all losses do alike: checks, weights, means."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastconv._checks import to_array
from fastconv._configurable import Configurable
from fastconv.activations import ActivationFunction

Array = NDArray[Any]


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
            Shape ``(n,)``, or that of ``y_pred[..., 0]``, to which an axis of length 1 may be added.

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
        values, gradient = self._values_and_gradient(targets, outputs)
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

    def _targets(self, y_true: Array, y_pred: Array) -> Array:
        """Return `y_true` checked and in the form that the other methods take: here of the outputs' shape and dtype."""
        return self._same_shape(y_true, y_pred)

    @abstractmethod
    def _values(self, targets: Array, y_pred: Array) -> Array:
        """Return one value per sample, shape ``y_pred.shape[:-1]``."""

    @abstractmethod
    def _gradient(self, targets: Array, y_pred: Array) -> Array:
        """Return a new array of `y_pred`'s shape: the gradient of each sample's own value."""

    def _values_and_gradient(self, targets: Array, y_pred: Array) -> tuple[Array, Array]:
        """Return both at once, for a subclass whose gradient begins with what the values are made of."""
        return self._values(targets, y_pred), self._gradient(targets, y_pred)

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
        elif weights.shape == (*values.shape, 1):
            weights = weights.reshape(values.shape)
        elif weights.shape != values.shape:
            shapes = " or ".join(dict.fromkeys((str(values.shape[:1]), str(values.shape))))
            raise ValueError(f"{self.name}: sample_weight must have shape {shapes}, got {weights.shape}")
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
