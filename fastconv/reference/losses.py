"""Losses: the mean over a batch, and its gradient by the prediction."""

import numpy as np
from numpy.typing import ArrayLike

from fastconv.reference._windows import Array
from fastconv.reference.activations import log_softmax, sigmoid, softmax


def categorical_crossentropy(
    y_true: ArrayLike, y_pred: ArrayLike, from_logits: bool = False, label_smoothing: float = 0.0
) -> float:
    """Mean over the n samples of -sum_c t[c] log p[c].

    p is `y_pred`, or softmax(y_pred) with `from_logits`; t is `y_true`, moved by `label_smoothing` towards 1 / classes.
    """
    t, z = _smoothed(y_true, label_smoothing), np.asarray(y_pred, dtype=np.float64)
    log_p = log_softmax(z) if from_logits else np.log(z)
    return float(-(t * log_p).sum() / len(z))


def categorical_crossentropy_backward(
    y_true: ArrayLike, y_pred: ArrayLike, from_logits: bool = False, label_smoothing: float = 0.0
) -> Array:
    """Gradient by `y_pred`: (p * sum_c t[c] - t) / n for logits, -t / (p * n) for probabilities."""
    t, z = _smoothed(y_true, label_smoothing), np.asarray(y_pred, dtype=np.float64)
    gradient: Array = softmax(z) * t.sum(axis=-1, keepdims=True) - t if from_logits else -t / z
    return gradient / len(z)


def sparse_categorical_crossentropy(y_true: ArrayLike, y_pred: ArrayLike, from_logits: bool = False) -> float:
    """`categorical_crossentropy` with labels 0, 1, 2, ... in place of one-hot rows."""
    return categorical_crossentropy(_one_hot(y_true, y_pred), y_pred, from_logits)


def sparse_categorical_crossentropy_backward(y_true: ArrayLike, y_pred: ArrayLike, from_logits: bool = False) -> Array:
    """`categorical_crossentropy_backward` with labels."""
    return categorical_crossentropy_backward(_one_hot(y_true, y_pred), y_pred, from_logits)


def binary_crossentropy(y_true: ArrayLike, y_pred: ArrayLike, from_logits: bool = False) -> float:
    """Mean of -(t log p + (1 - t) log(1 - p)), where p is `y_pred`, or sigmoid(y_pred) with `from_logits`."""
    t, z = np.asarray(y_true, dtype=np.float64), np.asarray(y_pred, dtype=np.float64)
    log_p, log_not_p = (-np.logaddexp(0, -z), -np.logaddexp(0, z)) if from_logits else (np.log(z), np.log1p(-z))
    return float(-(t * log_p + (1 - t) * log_not_p).mean())


def binary_crossentropy_backward(y_true: ArrayLike, y_pred: ArrayLike, from_logits: bool = False) -> Array:
    """Gradient by `y_pred`: (p - t) / size for logits, (p - t) / (p * (1 - p) * size) for probabilities."""
    t, z = np.asarray(y_true, dtype=np.float64), np.asarray(y_pred, dtype=np.float64)
    gradient: Array = (sigmoid(z) - t if from_logits else (z - t) / (z * (1 - z))) / z.size
    return gradient


def mean_squared_error(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Mean of (y_pred - y_true)**2."""
    return float(np.mean((np.asarray(y_pred, dtype=np.float64) - np.asarray(y_true, dtype=np.float64)) ** 2))


def mean_squared_error_backward(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """Gradient by `y_pred`: 2 * (y_pred - y_true) / size."""
    t, z = np.asarray(y_true, dtype=np.float64), np.asarray(y_pred, dtype=np.float64)
    gradient: Array = 2 * (z - t) / z.size
    return gradient


def _smoothed(y_true: ArrayLike, label_smoothing: float) -> Array:
    t = np.asarray(y_true, dtype=np.float64)
    smoothed: Array = t * (1 - label_smoothing) + label_smoothing / t.shape[-1]
    return smoothed


def _one_hot(labels: ArrayLike, y_pred: ArrayLike) -> Array:
    one_hot: Array = np.eye(np.shape(y_pred)[-1])[np.asarray(labels).reshape(-1)]
    return one_hot
