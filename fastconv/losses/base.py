"""What all losses do alike: checks, weights, means."""

from abc import ABC, abstractmethod
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastconv._checks import to_array
from fastconv._configurable import Configurable
from fastconv.activations import ActivationFunction

Array = NDArray[Any]
Reduction = Literal["sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", "none"] | None

_REDUCTIONS = ("sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", "none")


class Loss(Configurable, ABC):
    """Base of all losses: a subclass computes one value per sample, and its gradient.

    Parameters
    ----------
    reduction : {"sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", "none"} or None
        What becomes of the values ``v``, one per sample and further axis but the last, and their weights ``w``:

        - "sum_over_batch_size" and "mean": ``sum(w * v) / v.size``, whatever the weights;
        - "sum": ``sum(w * v)``;
        - "mean_with_sample_weight": ``sum(w * v) / sum(w)``, or 0 where all weights are 0. Where one weight stands for
          several values it counts for each of them;
        - "none" and None: ``w * v``, an array. A model trains on the sum, and reports the mean, as Keras does.
    name : str, optional
        By default that of the class, as in ``"mean_squared_error"``.

    Raises
    ------
    ValueError
        If `reduction` is none of these.

    References
    ----------
    ``keras.losses.Loss``.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.losses.MeanSquaredError("sum")([[0.0], [0.0]], [[1.0], [2.0]])
    5.0
    >>> fc.losses.MeanSquaredError("none")([[0.0], [0.0]], [[1.0], [2.0]], sample_weight=[1, 3])
    array([ 1., 12.])
    """

    name: str
    # Of the class, for a subclass whose constructor calls no other.
    reduction: Reduction = "sum_over_batch_size"

    def __init__(self, reduction: Reduction = "sum_over_batch_size", name: str | None = None) -> None:
        if name is not None:
            self.name = name
        if reduction is not None and reduction not in _REDUCTIONS:
            choices = ", ".join(map(repr, _REDUCTIONS))
            raise ValueError(f"{self.name}: reduction must be one of {choices} or None, got {reduction!r}")
        self.reduction = reduction

    def __call__(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> Any:
        """Return the loss.

        Parameters
        ----------
        y_true : array_like
            Targets; their form is the loss's.
        y_pred : array_like
            Outputs of a network, shape ``(n, ..., outputs)``.
        sample_weight : array_like, optional
            Shape ``(n,)``, or that of ``y_pred[..., 0]``, to which an axis of length 1 may be added.

        Returns
        -------
        float or ndarray
            An array of the shape of ``y_pred[..., 0]`` where `reduction` is "none".

        Raises
        ------
        ValueError
            If shapes do not fit, or a label is out of range.
        """
        outputs = self._outputs(y_pred)
        true = to_array(self.name, "y_true", y_true)
        values = self._values(self._targets(true, outputs), outputs)
        weights, divisor = self._weighting(true, sample_weight, values)
        if weights is not None:
            values = values * weights
        return values if self._keeps_values() else _quotient(values, divisor)

    def with_gradient(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> tuple[float, Array]:
        """Return the loss and its gradient with respect to `y_pred`; arguments as for a call.

        With the `reduction` "none" these are the mean of the values and the gradient of their sum.
        """
        outputs = self._outputs(y_pred)
        true = to_array(self.name, "y_true", y_true)
        values, gradient = self._values_and_gradient(self._targets(true, outputs), outputs)
        weights, divisor = self._weighting(true, sample_weight, values)
        scale = 1.0 if self._keeps_values() else 1 / divisor if divisor else 0.0
        if weights is None:
            gradient *= outputs.dtype.type(scale)
        else:
            values = values * weights
            gradient *= (weights * weights.dtype.type(scale))[..., np.newaxis]
        return _quotient(values, divisor), gradient

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

    def _kept(self, y_true: Array, values: Array) -> Array | None:
        """Return as booleans of the values' shape which of them count, or None for all; ignored ones are no samples."""
        return None

    def _keeps_values(self) -> bool:
        return self.reduction is None or self.reduction == "none"

    def _weighting(self, y_true: Array, sample_weight: ArrayLike | None, values: Array) -> tuple[Array | None, float]:
        """Return what multiplies the values, None for ones, and what their sum is divided by."""
        weights = None if sample_weight is None else self._weights(sample_weight, values)
        kept = self._kept(y_true, values)
        if kept is not None:
            weights = kept.astype(values.dtype) if weights is None else weights * kept
        if self.reduction == "sum":
            return weights, 1
        if self.reduction == "mean_with_sample_weight" and weights is not None:
            return weights, float(weights.sum(dtype=np.float64))
        if kept is not None and not self._keeps_values():
            return weights, int(np.count_nonzero(kept))
        return weights, values.size

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
                    if y_true.shape in (y_pred.shape[:-1], (*y_pred.shape[:-1], 1))
                    and type(self).name.startswith("categ")
                    else ""
                )
            )
        targets: Array = y_true.astype(y_pred.dtype, copy=False)
        return targets


def _quotient(values: Array, divisor: float) -> float:
    """Return the sum over a divisor; 0 where that is 0, as in Keras."""
    return float(values.sum(dtype=np.float64)) / divisor if divisor else 0.0
