"""What undoes max pooling, over one to three axes."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastconv.reference._windows import Array, as_given, per_axis, to_images


def max_unpool1d(
    input: ArrayLike,
    indices: ArrayLike,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
    *,
    data_format: str = "channels_first",
) -> Array:
    r"""Put values where indices say, and zero elsewhere.

    .. math:: y[n,index[n,j,c],c] = x[n,j,c]

    with the rules of `max_unpool2d`.
    """
    return _unpool(1, input, indices, kernel_size, stride, padding, output_size, data_format)


def max_unpool1d_backward(
    grad_output: ArrayLike,
    input: ArrayLike,
    indices: ArrayLike,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
    *,
    data_format: str = "channels_first",
) -> Array:
    r"""Gradient by the input, as if no index occurred twice.

    .. math:: gx[n,j,c] = gy[n,index[n,j,c],c]
    """
    return _unpool_backward(1, grad_output, input, indices, data_format)


def max_unpool2d(
    input: ArrayLike,
    indices: ArrayLike,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
    *,
    data_format: str = "channels_first",
) -> Array:
    r"""Put values where indices say, and zero elsewhere.

    .. math:: y[n,index[n,i,j,c],c] = x[n,i,j,c]

    Of several values for one position, in the order in which one reads, the last stays. Without `output_size` there are
    (in - 1) * stride - before - after + kernel positions on an axis, in * stride with padding "same".
    """
    return _unpool(2, input, indices, kernel_size, stride, padding, output_size, data_format)


def max_unpool2d_backward(
    grad_output: ArrayLike,
    input: ArrayLike,
    indices: ArrayLike,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
    *,
    data_format: str = "channels_first",
) -> Array:
    r"""Gradient by the input, as if no index occurred twice.

    .. math:: gx[n,i,j,c] = gy[n,index[n,i,j,c],c]
    """
    return _unpool_backward(2, grad_output, input, indices, data_format)


def max_unpool3d(
    input: ArrayLike,
    indices: ArrayLike,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
    *,
    data_format: str = "channels_first",
) -> Array:
    r"""Put values where indices say, and zero elsewhere.

    .. math:: y[n,index[n,h,i,j,c],c] = x[n,h,i,j,c]

    with the rules of `max_unpool2d`.
    """
    return _unpool(3, input, indices, kernel_size, stride, padding, output_size, data_format)


def max_unpool3d_backward(
    grad_output: ArrayLike,
    input: ArrayLike,
    indices: ArrayLike,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
    *,
    data_format: str = "channels_first",
) -> Array:
    r"""Gradient by the input, as if no index occurred twice.

    .. math:: gx[n,h,i,j,c] = gy[n,index[n,h,i,j,c],c]
    """
    return _unpool_backward(3, grad_output, input, indices, data_format)


def _unpool(
    axes: int,
    input: ArrayLike,
    indices: ArrayLike,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    output_size: Any,
    data_format: str,
) -> Array:
    x, index = _pixels(input, data_format, axes), _pixels(indices, data_format, axes).astype(np.int64)
    images = to_images(input, data_format, axes)
    if output_size is None:
        sizes = _sizes(images.shape[1:-1], kernel_size, stride, padding)
    else:
        whole = tuple(output_size) if len(output_size) == axes else _spatial(tuple(output_size), data_format)
        sizes = tuple(map(int, whole))
    y = np.zeros((len(x), int(np.prod(sizes)), x.shape[-1]))
    for n, i, c in np.ndindex(x.shape):
        y[n, index[n, i, c], c] = x[n, i, c]
    return as_given(y.reshape(len(x), *sizes, x.shape[-1]), input, data_format)


def _unpool_backward(
    axes: int, grad_output: ArrayLike, input: ArrayLike, indices: ArrayLike, data_format: str
) -> Array:
    gy, index = _pixels(grad_output, data_format, axes), _pixels(indices, data_format, axes).astype(np.int64)
    gx = np.take_along_axis(gy, index, axis=1)
    return as_given(gx.reshape(to_images(input, data_format, axes).shape), input, data_format)


def _pixels(array: ArrayLike, data_format: str, axes: int) -> Array:
    """Return an array as [n][pixel][c]."""
    images = to_images(array, data_format, axes)
    return images.reshape(len(images), int(np.prod(images.shape[1:-1])), images.shape[-1])


def _spatial(shape: tuple[int, ...], data_format: str) -> tuple[int, ...]:
    return shape[1:-1] if data_format == "channels_last" else shape[2:]


def _sizes(pooled: tuple[int, ...], kernel_size: Any, stride: Any, padding: Any) -> tuple[int, ...]:
    kernels = per_axis(kernel_size, len(pooled))
    side_by_side = stride is None or np.size(stride) == 0
    steps = kernels if side_by_side else per_axis(stride, len(pooled))
    if padding == "same":
        return tuple(size * s for size, s in zip(pooled, steps, strict=True))
    pads = per_axis(0 if padding == "valid" else padding, len(pooled))
    return tuple(
        (size - 1) * s - (sum(pad) if isinstance(pad, tuple) else 2 * pad) + k
        for size, k, s, pad in zip(pooled, kernels, steps, pads, strict=True)
    )
