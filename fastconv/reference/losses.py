"""Losses and their gradients by the prediction: those of Keras, as means over a batch, then those of torch."""

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


# The loss functions of `fastconv.functional`. gl is the gradient of each element's or sample's loss.


def mse_loss(input: ArrayLike, target: ArrayLike, reduction: str = "mean") -> Array:
    """Squared error: (x - t)**2."""
    x, t = _pair(input, target)
    return _reduced((x - t) ** 2, reduction)


def mse_loss_backward(grad_output: ArrayLike, input: ArrayLike, target: ArrayLike, reduction: str = "mean") -> Array:
    """Gradient: gx = gl * 2 (x - t)."""
    x, t = _pair(input, target)
    return _each(grad_output, reduction, x.size) * 2 * (x - t)


def l1_loss(input: ArrayLike, target: ArrayLike, reduction: str = "mean") -> Array:
    """Absolute error: |x - t|."""
    x, t = _pair(input, target)
    return _reduced(np.abs(x - t), reduction)


def l1_loss_backward(grad_output: ArrayLike, input: ArrayLike, target: ArrayLike, reduction: str = "mean") -> Array:
    """Gradient: gx = gl * sign(x - t)."""
    x, t = _pair(input, target)
    return _each(grad_output, reduction, x.size) * np.sign(x - t)


def huber_loss(input: ArrayLike, target: ArrayLike, reduction: str = "mean", delta: float = 1.0) -> Array:
    """e**2 / 2 where |e| <= delta, else delta (|e| - delta / 2), with e = x - t."""
    x, t = _pair(input, target)
    e = np.abs(x - t)
    return _reduced(np.where(e <= delta, e**2 / 2, delta * (e - delta / 2)), reduction)


def huber_loss_backward(
    grad_output: ArrayLike, input: ArrayLike, target: ArrayLike, reduction: str = "mean", delta: float = 1.0
) -> Array:
    """Gradient: gx = gl * e where |e| <= delta, else gl * delta * sign(e)."""
    x, t = _pair(input, target)
    e = x - t
    return _each(grad_output, reduction, x.size) * np.where(np.abs(e) <= delta, e, delta * np.sign(e))


def smooth_l1_loss(input: ArrayLike, target: ArrayLike, reduction: str = "mean", beta: float = 1.0) -> Array:
    """huber_loss(delta=beta) / beta; l1_loss for beta = 0."""
    return huber_loss(input, target, reduction, beta) / beta if beta else l1_loss(input, target, reduction)


def smooth_l1_loss_backward(
    grad_output: ArrayLike, input: ArrayLike, target: ArrayLike, reduction: str = "mean", beta: float = 1.0
) -> Array:
    """huber_loss_backward(delta=beta) / beta; l1_loss_backward for beta = 0."""
    if not beta:
        return l1_loss_backward(grad_output, input, target, reduction)
    gradient: Array = huber_loss_backward(grad_output, input, target, reduction, beta) / beta
    return gradient


def kl_div(input: ArrayLike, target: ArrayLike, reduction: str = "mean", log_target: bool = False) -> Array:
    """Divergence: t (log t - x), 0 where t is 0; "batchmean" is the sum divided by the length of the first axis."""
    x, t = _pair(input, target)
    p = np.exp(t) if log_target else t
    log_p = t if log_target else np.log(np.where(p == 0, 1, p))
    values = np.where(p == 0, 0, p * (log_p - np.where(p == 0, 0, x)))
    return _reduced(values, reduction, len(x) if reduction == "batchmean" else None)


def kl_div_backward(
    grad_output: ArrayLike, input: ArrayLike, target: ArrayLike, reduction: str = "mean", log_target: bool = False
) -> Array:
    """Gradient: gx = -gl * t."""
    x, t = _pair(input, target)
    divisor = len(x) if reduction == "batchmean" else x.size
    return _each(grad_output, reduction, divisor) * -(np.exp(t) if log_target else t)


def binary_cross_entropy(
    input: ArrayLike, target: ArrayLike, weight: ArrayLike | None = None, reduction: str = "mean"
) -> Array:
    """-w (t log p + (1 - t) log(1 - p)), logarithms at least -100."""
    p, t = _pair(input, target)
    with np.errstate(divide="ignore"):
        log_p, log_not_p = np.maximum(np.log(p), -100), np.maximum(np.log1p(-p), -100)
    return _reduced(-_weights(weight) * (t * log_p + (1 - t) * log_not_p), reduction)


def binary_cross_entropy_backward(
    grad_output: ArrayLike,
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    reduction: str = "mean",
) -> Array:
    """Gradient: gx = gl * w (p - t) / max(p (1 - p), 1e-12)."""
    p, t = _pair(input, target)
    slope = _weights(weight) * (p - t) / np.maximum(p * (1 - p), 1e-12)
    return _each(grad_output, reduction, p.size) * slope


def binary_cross_entropy_with_logits(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    reduction: str = "mean",
    pos_weight: ArrayLike | None = None,
) -> Array:
    """-w (q t log p + (1 - t) log(1 - p)) with p = sigmoid(x), of which log p = -log(1 + exp(-x))."""
    x, t = _pair(input, target)
    values = _weights(pos_weight) * t * np.logaddexp(0, -x) + (1 - t) * np.logaddexp(0, x)
    return _reduced(_weights(weight) * values, reduction)


def binary_cross_entropy_with_logits_backward(
    grad_output: ArrayLike,
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    reduction: str = "mean",
    pos_weight: ArrayLike | None = None,
) -> Array:
    """Gradient: gx = gl * w ((1 - t) p - q t (1 - p))."""
    x, t = _pair(input, target)
    p = sigmoid(x)
    slope = _weights(weight) * ((1 - t) * p - _weights(pos_weight) * t * (1 - p))
    return _each(grad_output, reduction, x.size) * slope


def cross_entropy(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    *,
    data_format: str = "channels_first",
) -> Array:
    """-sum_c q[c] log softmax(x)[c] with the coefficients q of `_coefficients`."""
    axis = _class_axis(input, data_format)
    q, counted = _coefficients(input, target, weight, ignore_index, label_smoothing, axis)
    log_p = log_softmax(np.asarray(input, dtype=np.float64), axis)
    return _reduced(-(q * log_p).sum(axis=axis), reduction, counted)


def cross_entropy_backward(
    grad_output: ArrayLike,
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    *,
    data_format: str = "channels_first",
) -> Array:
    """Gradient: gx = gl * (p[c] * sum_k q[k] - q[c])."""
    axis = _class_axis(input, data_format)
    q, counted = _coefficients(input, target, weight, ignore_index, label_smoothing, axis)
    slope: Array = softmax(np.asarray(input, dtype=np.float64), axis) * q.sum(axis=axis, keepdims=True) - q
    each = _each(grad_output, reduction, counted)
    return slope * (np.expand_dims(each, axis) if each.ndim else each)


def nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    *,
    data_format: str = "channels_first",
) -> Array:
    """-w[k] x[k] for the label k."""
    axis = _class_axis(input, data_format)
    q, counted = _coefficients(input, target, weight, ignore_index, 0.0, axis)
    return _reduced(-(q * np.asarray(input, dtype=np.float64)).sum(axis=axis), reduction, counted)


def nll_loss_backward(
    grad_output: ArrayLike,
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    *,
    data_format: str = "channels_first",
) -> Array:
    """Gradient: gx = -gl * w[k] at the label k, else 0."""
    axis = _class_axis(input, data_format)
    q, counted = _coefficients(input, target, weight, ignore_index, 0.0, axis)
    each = _each(grad_output, reduction, counted)
    gradient: Array = -q * (np.expand_dims(each, axis) if each.ndim else each)
    return gradient


def _coefficients(
    input: ArrayLike, target: ArrayLike, weight: ArrayLike | None, ignore_index: int, smoothing: float, axis: int
) -> tuple[Array, float]:
    """Return what multiplies each -log p[c] in a sample's loss, and the divisor of the mean.

    For probabilities t it is w[c] t'[c], t' the smoothed t, and the divisor the number of samples. For a label k it is
    (1 - smoothing) w[k] at k, and everywhere smoothing * w[c] / classes; the divisor is the sum of w[k].
    """
    shape = np.shape(input)
    classes = shape[axis]
    w = np.ones(classes) if weight is None else np.asarray(weight, dtype=np.float64)
    samples = shape[:axis] + shape[axis + 1 :]
    if np.shape(target) == shape:
        t = np.moveaxis(np.asarray(target, dtype=np.float64), axis, -1)
        return np.moveaxis(w * (t * (1 - smoothing) + smoothing / classes), -1, axis), float(np.prod(samples))
    q, counted = np.zeros((*samples, classes)), 0.0
    for sample in np.ndindex(samples):
        k = int(np.asarray(target)[sample])
        if k != ignore_index:
            q[sample] = smoothing * w / classes
            q[sample][k] += (1 - smoothing) * w[k]
            counted += w[k]
    return np.moveaxis(q, -1, axis), counted


def _class_axis(input: ArrayLike, data_format: str) -> int:
    axes = np.ndim(input)
    return axes - 1 if data_format == "channels_last" or axes == 1 else 1


def _pair(input: ArrayLike, target: ArrayLike) -> tuple[Array, Array]:
    return np.asarray(input, dtype=np.float64), np.asarray(target, dtype=np.float64)


def _weights(weight: ArrayLike | None) -> Array:
    return np.asarray(1.0 if weight is None else weight, dtype=np.float64)


def _reduced(values: Array, reduction: str, divisor: float | None = None) -> Array:
    """Return the values, their sum, or their sum divided by `divisor`, by default their number."""
    if reduction == "none":
        return values
    total = np.asarray(values.sum())
    with np.errstate(invalid="ignore"):
        mean: Array = total / (values.size if divisor is None else divisor)
    return total if reduction == "sum" else mean


def _each(grad_output: ArrayLike, reduction: str, divisor: float) -> Array:
    """Return the gradient of each value, from that of the loss."""
    gl = np.asarray(grad_output, dtype=np.float64)
    return gl if reduction in ("none", "sum") else gl / (divisor or np.inf)
