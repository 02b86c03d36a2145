"""Losses of numbers: the mean over the last axis of what `fastconv.functional` computes of each."""

import fastconv.functional as F
from fastconv._numbers import positive
from fastconv.losses.base import Array, Loss, Reduction


class MeanSquaredError(Loss):
    """``mean((y_pred - y_true)**2)`` over the last axis.

    Parameters
    ----------
    reduction, name
        See `Loss`.

    Examples
    --------
    >>> MeanSquaredError()([[0.0, 1.0]], [[1.0, 1.0]])
    0.5
    """

    name = "mean_squared_error"

    def _values(self, targets: Array, y_pred: Array) -> Array:
        return _mean(F.mse_loss(y_pred, targets, "none"))

    def _gradient(self, targets: Array, y_pred: Array) -> Array:
        return F.mse_loss_backward(1 / y_pred.shape[-1], y_pred, targets, "sum")


class MeanAbsoluteError(Loss):
    """``mean(abs(y_pred - y_true))`` over the last axis.

    Parameters
    ----------
    reduction, name
        See `Loss`.

    Examples
    --------
    >>> MeanAbsoluteError()([[0.0, 1.0]], [[3.0, 1.0]])
    1.5
    """

    name = "mean_absolute_error"

    def _values(self, targets: Array, y_pred: Array) -> Array:
        return _mean(F.l1_loss(y_pred, targets, "none"))

    def _gradient(self, targets: Array, y_pred: Array) -> Array:
        return F.l1_loss_backward(1 / y_pred.shape[-1], y_pred, targets, "sum")


class Huber(Loss):
    """The mean over the last axis of ``e**2 / 2`` where ``abs(e) <= delta``, else ``delta * (abs(e) - delta / 2)``,
    of the errors ``e = y_pred - y_true``; see `fastconv.functional.huber_loss`.

    Parameters
    ----------
    delta : float
        Greater than 0.
    reduction, name
        See `Loss`.

    Examples
    --------
    >>> Huber()([[0.0, 1.0]], [[3.0, 2.0]])
    1.5
    """

    name = "huber"

    def __init__(
        self, delta: float = 1.0, reduction: Reduction = "sum_over_batch_size", name: str | None = None
    ) -> None:
        super().__init__(reduction, name)
        self.delta = positive("huber: delta", delta)

    def _values(self, targets: Array, y_pred: Array) -> Array:
        return _mean(F.huber_loss(y_pred, targets, "none", self.delta))

    def _gradient(self, targets: Array, y_pred: Array) -> Array:
        return F.huber_loss_backward(1 / y_pred.shape[-1], y_pred, targets, "sum", self.delta)


class Hinge(Loss):
    """``mean(max(1 - y_true * y_pred, 0))`` over the last axis, for targets -1 and 1.

    Targets that are all 0 or 1 are taken as -1 and 1.

    Parameters
    ----------
    reduction, name
        See `Loss`.

    Examples
    --------
    >>> Hinge()([[0, 1]], [[0.5, 2.0]])
    0.75
    """

    name = "hinge"

    def _targets(self, y_true: Array, y_pred: Array) -> Array:
        targets = self._same_shape(y_true, y_pred)
        return 2 * targets - 1 if ((targets == 0) | (targets == 1)).all() else targets

    def _values(self, targets: Array, y_pred: Array) -> Array:
        return _mean(F.relu(1 - targets * y_pred))

    def _gradient(self, targets: Array, y_pred: Array) -> Array:
        gradient: Array = F.relu_backward(targets, 1 - targets * y_pred)
        gradient /= -y_pred.shape[-1]
        return gradient


def _mean(values: Array) -> Array:
    mean: Array = values.mean(axis=-1)
    return mean
