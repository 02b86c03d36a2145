"""Normalization."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from fastconv.reference._windows import Array

Gradients = tuple[Array, Array | None, Array | None]


def batch_norm(
    input: ArrayLike,
    running_mean: ArrayLike | None,
    running_var: ArrayLike | None,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    data_format: str = "channels_first",
) -> Array:
    """Batch normalization: y = (x - mean) / sqrt(var + eps) * w + b, mean and var over all axes but the channels'.

    Without training they are the running statistics. These are not updated here: see updated_statistics.
    """
    x = _float64(input)
    axis = _channel_axis(x, data_format)
    mean, var = _batch_moments(x, axis, running_mean, running_var, training)
    w, b = (_along(value, x.ndim, axis) for value in (weight, bias))
    return (x - mean) / np.sqrt(var + eps) * (1.0 if w is None else w) + (0.0 if b is None else b)


def batch_norm_backward(
    grad_output: ArrayLike,
    input: ArrayLike,
    running_mean: ArrayLike | None,
    running_var: ArrayLike | None,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    data_format: str = "channels_first",
) -> Gradients:
    """Gradients of batch_norm: in training also through mean and var, else they are constants."""
    x, gy = _float64(input), _float64(grad_output)
    axis = _channel_axis(x, data_format)
    others = tuple(k for k in range(x.ndim) if k != axis)
    mean, var = _batch_moments(x, axis, running_mean, running_var, training)
    w = _along(weight, x.ndim, axis)
    scaled, hat = gy if w is None else gy * w, (x - mean) / np.sqrt(var + eps)
    gx = _through_moments(scaled, hat, others) if training else scaled
    return (gx / np.sqrt(var + eps), *_parameter_gradients(gy, hat, others, weight, bias))


def updated_statistics(
    input: ArrayLike,
    running_mean: ArrayLike,
    running_var: ArrayLike,
    momentum: float = 0.1,
    *,
    data_format: str = "channels_first",
) -> tuple[Array, Array]:
    """Return the running statistics after batch_norm in training: the variance has the divisor m - 1."""
    x = _float64(input)
    axis = _channel_axis(x, data_format)
    others = tuple(k for k in range(x.ndim) if k != axis)
    mean = (1 - momentum) * _float64(running_mean) + momentum * x.mean(axis=others)
    return mean, (1 - momentum) * _float64(running_var) + momentum * x.var(axis=others, ddof=1)


def layer_norm(
    input: ArrayLike,
    normalized_shape: int | Sequence[int],
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    eps: float = 1e-5,
) -> Array:
    """Layer normalization: y = (x - mean) / sqrt(var + eps) * w + b, mean and var over the axes of normalized_shape."""
    x = _float64(input)
    y = _hat(x, _last_axes(x, normalized_shape), eps)
    return y * (1.0 if weight is None else _float64(weight)) + (0.0 if bias is None else _float64(bias))


def layer_norm_backward(
    grad_output: ArrayLike,
    input: ArrayLike,
    normalized_shape: int | Sequence[int],
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    eps: float = 1e-5,
) -> Gradients:
    """Gradients of layer_norm."""
    x, gy = _float64(input), _float64(grad_output)
    axes = _last_axes(x, normalized_shape)
    hat, others = _hat(x, axes, eps), tuple(range(axes[0]))
    scaled = gy if weight is None else gy * _float64(weight)
    gx = _through_moments(scaled, hat, axes) / np.sqrt(x.var(axis=axes, keepdims=True) + eps)
    return (gx, *_parameter_gradients(gy, hat, others, weight, bias))


def group_norm(
    input: ArrayLike,
    num_groups: int,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    eps: float = 1e-5,
    *,
    data_format: str = "channels_first",
) -> Array:
    """Group normalization: y = (x - mean) / sqrt(var + eps) * w + b, mean and var over a group of an image."""
    x = _float64(input)
    axis = _channel_axis(x, data_format)
    grouped, axes = _grouped(x, axis, num_groups)
    w, b = (_along(value, x.ndim, axis) for value in (weight, bias))
    return _hat(grouped, axes, eps).reshape(x.shape) * (1.0 if w is None else w) + (0.0 if b is None else b)


def group_norm_backward(
    grad_output: ArrayLike,
    input: ArrayLike,
    num_groups: int,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    eps: float = 1e-5,
    *,
    data_format: str = "channels_first",
) -> Gradients:
    """Gradients of group_norm."""
    x, gy = _float64(input), _float64(grad_output)
    axis = _channel_axis(x, data_format)
    others = tuple(k for k in range(x.ndim) if k != axis)
    w = _along(weight, x.ndim, axis)
    grouped, axes = _grouped(x, axis, num_groups)
    scaled, _ = _grouped(gy if w is None else gy * w, axis, num_groups)
    hat = _hat(grouped, axes, eps)
    gx = _through_moments(scaled, hat, axes) / np.sqrt(grouped.var(axis=axes, keepdims=True) + eps)
    return (gx.reshape(x.shape), *_parameter_gradients(gy, hat.reshape(x.shape), others, weight, bias))


def local_response_norm(
    input: ArrayLike,
    size: int,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 1.0,
    *,
    data_format: str = "channels_first",
) -> Array:
    """Local response normalization: y[c] = x[c] * s[c]**-beta, s[c] = k + alpha / size * sum of x[j]**2.

    The sum is over the channels j from c - size // 2 to c + (size - 1) // 2 that there are.
    """
    axis = _channel_axis(np.asarray(input), data_format)
    x = np.moveaxis(_float64(input), axis, -1)
    s = k + alpha / size * x**2 @ _neighbours(x.shape[-1], size)
    return np.moveaxis(x * s**-beta, -1, axis)


def local_response_norm_backward(
    grad_output: ArrayLike,
    input: ArrayLike,
    size: int,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 1.0,
    *,
    data_format: str = "channels_first",
) -> Array:
    """Gradient of local_response_norm: gx = gy * s**-beta - 2 alpha beta / size * x * (sum of gy * x * s**(-beta - 1)).

    The sum is over the channels whose own sum has this one in it.
    """
    axis = _channel_axis(np.asarray(input), data_format)
    x, gy = (np.moveaxis(_float64(value), axis, -1) for value in (input, grad_output))
    window = _neighbours(x.shape[-1], size)
    s = k + alpha / size * x**2 @ window
    gx = gy * s**-beta - 2 * alpha * beta / size * x * ((gy * x * s ** (-beta - 1)) @ window.T)
    return np.moveaxis(gx, -1, axis)


def _neighbours(channels: int, size: int) -> Array:
    """Entry (j, c) is 1 where channel j counts in the sum of channel c."""
    j, c = np.ogrid[:channels, :channels]
    return ((j >= c - size // 2) & (j <= c + (size - 1) // 2)).astype(np.float64)


def _float64(value: ArrayLike) -> Array:
    return np.asarray(value, dtype=np.float64)


def _channel_axis(x: Array, data_format: str) -> int:
    return x.ndim - 1 if data_format == "channels_last" else 1


def _along(value: ArrayLike | None, ndim: int, axis: int) -> Array | None:
    """Give one number for each channel the axes that broadcasting needs."""
    return None if value is None else _float64(value).reshape([-1 if k == axis else 1 for k in range(ndim)])


def _last_axes(x: Array, normalized_shape: int | Sequence[int]) -> tuple[int, ...]:
    return tuple(range(x.ndim - np.size(normalized_shape), x.ndim))


def _grouped(x: Array, axis: int, groups: int) -> tuple[Array, tuple[int, ...]]:
    """Split the channels' axis into (group, channel), and name all axes but image and group."""
    shape = (*x.shape[:axis], groups, x.shape[axis] // groups, *x.shape[axis + 1 :])
    return x.reshape(shape), tuple(k for k in range(1, len(shape)) if k != axis)


def _hat(x: Array, axes: tuple[int, ...], eps: float) -> Array:
    hat: Array = (x - x.mean(axis=axes, keepdims=True)) / np.sqrt(x.var(axis=axes, keepdims=True) + eps)
    return hat


def _batch_moments(
    x: Array, axis: int, running_mean: ArrayLike | None, running_var: ArrayLike | None, training: bool
) -> tuple[Array, Array]:
    others = tuple(k for k in range(x.ndim) if k != axis)
    if training:
        return x.mean(axis=others, keepdims=True), x.var(axis=others, keepdims=True)
    mean, var = _along(running_mean, x.ndim, axis), _along(running_var, x.ndim, axis)
    assert mean is not None
    assert var is not None
    return mean, var


def _through_moments(gy: Array, hat: Array, axes: tuple[int, ...]) -> Array:
    """Take out of a gradient what the mean and the deviation hide: the parts along 1 and along hat."""
    gx: Array = gy - gy.mean(axis=axes, keepdims=True) - hat * (gy * hat).mean(axis=axes, keepdims=True)
    return gx


def _parameter_gradients(
    gy: Array, hat: Array, axes: tuple[int, ...], weight: ArrayLike | None, bias: ArrayLike | None
) -> tuple[Array | None, Array | None]:
    return None if weight is None else (gy * hat).sum(axis=axes), None if bias is None else gy.sum(axis=axes)
