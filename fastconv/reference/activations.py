"""Activations and softmax."""

import math

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


def relu6(input: ArrayLike) -> Array:
    """Rectified linear unit that ends at six: y = min(max(x, 0), 6). NaN stays NaN."""
    return np.minimum(np.maximum(np.asarray(input, dtype=np.float64), 0.0), 6.0)


def relu6_backward(grad_output: ArrayLike, input: ArrayLike) -> Array:
    """Gradient of relu6: gx = gy where 0 < x < 6, else 0."""
    x = np.asarray(input)
    return np.where((x > 0) & (x < 6), np.asarray(grad_output, dtype=np.float64), 0.0)


def prelu(input: ArrayLike, weight: ArrayLike, *, data_format: str = "channels_first") -> Array:
    """Parametric rectified linear unit: y = x where x > 0, else w[c] * x in channel c."""
    x = np.asarray(input, dtype=np.float64)
    return np.where(x > 0, x, _by_channel(weight, x, data_format) * x)


def prelu_backward(
    grad_output: ArrayLike, input: ArrayLike, weight: ArrayLike, *, data_format: str = "channels_first"
) -> tuple[Array, Array]:
    """Gradients of prelu: gx = gy where x > 0, else w[c] * gy; gw[c] = sum of x * gy over x <= 0."""
    gy, x, w = (np.asarray(array, dtype=np.float64) for array in (grad_output, input, weight))
    gx = np.where(x > 0, gy, _by_channel(w, x, data_format) * gy)
    products = np.where(x > 0, 0.0, x) * gy
    if w.size == 1:
        return gx, products.sum().reshape(w.shape)
    channel = x.ndim - 1 if data_format == "channels_last" else 1
    return gx, products.sum(axis=tuple(axis for axis in range(x.ndim) if axis != channel))


def _by_channel(weight: ArrayLike, x: Array, data_format: str) -> Array:
    """Spread weights over the axes of x: along the last one, or axis 1, or over all where there is one weight."""
    w = np.asarray(weight, dtype=np.float64).reshape(-1)
    if w.size == 1:
        return w.reshape(())
    return w if data_format == "channels_last" else w.reshape((-1,) + (1,) * (x.ndim - 2))


def elu(input: ArrayLike, alpha: float = 1.0) -> Array:
    """Exponential linear unit: y = x where x > 0, else alpha * (exp(x) - 1)."""
    x = np.asarray(input, dtype=np.float64)
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0.0)))


def elu_backward(grad_output: ArrayLike, input: ArrayLike, alpha: float = 1.0) -> Array:
    """Gradient of elu: gx = gy where x > 0, else gy * alpha * exp(x)."""
    gy, x = np.asarray(grad_output, dtype=np.float64), np.asarray(input, dtype=np.float64)
    return gy * np.where(x > 0, 1.0, alpha * np.exp(np.minimum(x, 0.0)))


def gelu(input: ArrayLike, approximate: str = "none") -> Array:
    """Gaussian error linear unit: y = x * P(X <= x) for a normally distributed X; "tanh" approximates P.

    A point from which on P is 0, or 1, in float64 stands for all beyond, the infinities included.
    """
    x = np.asarray(input, dtype=np.float64)
    y: Array = np.maximum(x, -_FAR) * _normal_probability(x, approximate)
    return y


def gelu_backward(grad_output: ArrayLike, input: ArrayLike, approximate: str = "none") -> Array:
    """Gradient of gelu: gx = gy * (P(X <= x) + x * dP/dx).

    dP/dx = exp(-x**2 / 2) / sqrt(2 pi); approximately P * (1 - P) * d/dx 2 sqrt(2 / pi) (x + 0.044715 x**3).
    """
    gy = np.asarray(grad_output, dtype=np.float64)
    x = np.clip(np.asarray(input, dtype=np.float64), -_FAR, _FAR)
    p = _normal_probability(x, approximate)
    if approximate == "tanh":
        density = p * _normal_probability(-x, approximate) * 2 * np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * x**2)
    else:
        density = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
    gx: Array = gy * (p + x * density)
    return gx


_FAR = 40.0


def _normal_probability(x: Array, approximate: str) -> Array:
    """P(X <= x) = erfc(-x / sqrt(2)) / 2, about (1 + tanh(u)) / 2 = 1 / (1 + exp(-2 u)), u = sqrt(2 / pi) * (...)."""
    near = np.clip(x, -_FAR, _FAR)
    if approximate == "tanh":
        return sigmoid(2 * np.sqrt(2 / np.pi) * (near + 0.044715 * near**3))
    p: Array = np.vectorize(math.erfc, otypes=[np.float64])(-near / np.sqrt(2)) / 2
    return p


def silu(input: ArrayLike) -> Array:
    """Sigmoid linear unit: y = x / (1 + exp(-x)); 0 at minus infinity."""
    x = np.asarray(input, dtype=np.float64)
    return np.maximum(x, np.finfo(np.float64).min) * sigmoid(x)


def silu_backward(grad_output: ArrayLike, input: ArrayLike) -> Array:
    """Gradient of silu: gx = gy * s * (1 + x * (1 - s)) with s = sigmoid(x), 1 - s = sigmoid(-x)."""
    largest = np.finfo(np.float64).max
    x = np.clip(np.asarray(input, dtype=np.float64), -largest, largest)
    return np.asarray(grad_output, dtype=np.float64) * sigmoid(x) * (1 + x * sigmoid(-x))


def softplus(input: ArrayLike, beta: float = 1.0, threshold: float = 20.0) -> Array:
    """Smooth form of relu: y = log(1 + exp(beta * x)) / beta, and x where beta * x > threshold."""
    x = np.asarray(input, dtype=np.float64)
    return np.where(beta * x > threshold, x, np.logaddexp(0.0, beta * x) / beta)


def softplus_backward(grad_output: ArrayLike, input: ArrayLike, beta: float = 1.0, threshold: float = 20.0) -> Array:
    """Gradient of softplus: gx = gy * sigmoid(beta * x), and gy where beta * x > threshold."""
    gy, x = np.asarray(grad_output, dtype=np.float64), np.asarray(input, dtype=np.float64)
    return gy * np.where(beta * x > threshold, 1.0, sigmoid(beta * x))


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
