"""Activations and softmax."""

import numpy as np
from numpy.typing import ArrayLike

from fastconv.reference._windows import Array


def relu(input: ArrayLike) -> Array:
    """Rectified linear unit: y = x where x > 0, else 0. NaN stays NaN."""
    return np.maximum(np.asarray(input, dtype=np.float64), 0.0)


def relu_backward(grad_output: ArrayLike, input: ArrayLike) -> Array:
    """Gradient of relu: gx = gy where x > 0, else 0."""
    return np.where(np.asarray(input) > 0, np.asarray(grad_output, dtype=np.float64), 0.0)


def leaky_relu(input: ArrayLike, negative_slope: float = 0.01) -> Array:
    """Leaky rectified linear unit: y = x where x > 0, else negative_slope * x."""
    x = np.asarray(input, dtype=np.float64)
    return np.where(x > 0, x, negative_slope * x)


def leaky_relu_backward(grad_output: ArrayLike, input: ArrayLike, negative_slope: float = 0.01) -> Array:
    """Gradient of leaky_relu: gx = gy where x > 0, else negative_slope * gy."""
    gy = np.asarray(grad_output, dtype=np.float64)
    return np.where(np.asarray(input) > 0, gy, negative_slope * gy)


def sigmoid(input: ArrayLike) -> Array:
    """Logistic function: y = 1 / (1 + exp(-x)), written so that neither end overflows."""
    x = np.asarray(input, dtype=np.float64)
    tail = np.exp(-np.abs(x))
    return np.where(x < 0, tail, 1.0) / (1.0 + tail)


def sigmoid_backward(grad_output: ArrayLike, input: ArrayLike) -> Array:
    """Gradient of sigmoid: gx = gy * y * (1 - y), where 1 - sigmoid(x) = sigmoid(-x)."""
    return np.asarray(grad_output, dtype=np.float64) * sigmoid(input) * sigmoid(np.negative(input))


def tanh(input: ArrayLike) -> Array:
    """Hyperbolic tangent: y = (exp(x) - exp(-x)) / (exp(x) + exp(-x))."""
    return np.tanh(np.asarray(input, dtype=np.float64))


def tanh_backward(grad_output: ArrayLike, input: ArrayLike) -> Array:
    """Gradient of tanh: gx = gy * (1 - y**2)."""
    return np.asarray(grad_output, dtype=np.float64) * (1.0 - tanh(input) ** 2)


def softmax(input: ArrayLike, dim: int = -1) -> Array:
    """Shares that sum to one along `dim`: y = exp(x) / sum(exp(x)).

    The largest x is subtracted first: the shares are the same, and nothing overflows.
    """
    x = np.asarray(input, dtype=np.float64)
    powers: Array = np.exp(x - x.max(axis=dim, keepdims=True))
    total: Array = powers.sum(axis=dim, keepdims=True)
    return powers / total


def softmax_backward(grad_output: ArrayLike, input: ArrayLike, dim: int = -1) -> Array:
    """Gradient of softmax: gx = y * (gy - sum(gy * y))."""
    gy, y = np.asarray(grad_output, dtype=np.float64), softmax(input, dim)
    mean: Array = (gy * y).sum(axis=dim, keepdims=True)
    return y * (gy - mean)


def log_softmax(input: ArrayLike, dim: int = -1) -> Array:
    """Logarithm of softmax: y = x - log(sum(exp(x))) along `dim`, with the largest x subtracted first."""
    x = np.asarray(input, dtype=np.float64)
    shifted: Array = x - x.max(axis=dim, keepdims=True)
    total: Array = np.exp(shifted).sum(axis=dim, keepdims=True)
    return shifted - np.log(total)


def log_softmax_backward(grad_output: ArrayLike, input: ArrayLike, dim: int = -1) -> Array:
    """Gradient of log_softmax: gx = gy - softmax(x) * sum(gy)."""
    gy = np.asarray(grad_output, dtype=np.float64)
    total: Array = gy.sum(axis=dim, keepdims=True)
    return gy - softmax(input, dim) * total
