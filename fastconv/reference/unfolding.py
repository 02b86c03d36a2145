"""Windows as columns."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastconv.reference._windows import Array, every_output, per_axis, to_images, window_axes


def unfold(input: ArrayLike, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Array:
    r"""Copy each window of an image to a column.

    .. math:: y[n,\; (c k_h + p) k_w + q,\; i \, o_w + j] = x[n,c,\; i s + p r - b,\; j s + q r - b]

    with zero outside the image. Arrays are channels first.
    """
    x = to_images(input, "channels_first")
    rows, columns = window_axes(x.shape, kernel_size, stride, padding, dilation)
    y = np.zeros((len(x), x.shape[3], rows.kernel, columns.kernel, rows.outputs, columns.outputs))
    for i, j in every_output(rows, columns):
        for p, u in rows.window(i):
            for q, v in columns.window(j):
                y[:, :, p, q, i, j] = x[:, u, v]
    taps, windows = rows.kernel * columns.kernel, rows.outputs * columns.outputs
    matrix = y.reshape(len(x), x.shape[3] * taps, windows)
    return np.ascontiguousarray(matrix[0] if np.ndim(input) == 3 else matrix)


def unfold_backward(
    grad_output: ArrayLike,
    input: ArrayLike,
    kernel_size: Any,
    dilation: Any = 1,
    padding: Any = 0,
    stride: Any = 1,
) -> Array:
    """Gradient of sum(grad_output * unfold(input, ...)): the fold of grad_output."""
    return fold(grad_output, np.shape(input)[-2:], kernel_size, dilation, padding, stride)


def fold(
    input: ArrayLike, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Array:
    r"""Add up columns where `unfold` takes them from.

    .. math:: y[n,c,\; i s + p r - b,\; j s + q r - b] = \sum_{i,j,p,q} x[n,\; (c k_h + p) k_w + q,\; i \, o_w + j]

    and drop what falls outside the image. Arrays are channels first.
    """
    matrix = np.asarray(input, dtype=np.float64)
    batch = matrix if matrix.ndim == 3 else matrix[np.newaxis]
    height, width = per_axis(output_size, 2)
    rows, columns = window_axes((len(batch), height, width, 1), kernel_size, stride, padding, dilation)
    channels = batch.shape[1] // (rows.kernel * columns.kernel)
    x = batch.reshape(len(batch), channels, rows.kernel, columns.kernel, rows.outputs, columns.outputs)
    y = np.zeros((len(batch), channels, height, width))
    for i, j in every_output(rows, columns):
        for p, u in rows.window(i):
            for q, v in columns.window(j):
                y[:, :, u, v] += x[:, :, p, q, i, j]
    return y if matrix.ndim == 3 else y[0]


def fold_backward(
    grad_output: ArrayLike,
    input: ArrayLike,
    output_size: Any,
    kernel_size: Any,
    dilation: Any = 1,
    padding: Any = 0,
    stride: Any = 1,
) -> Array:
    """Gradient of sum(grad_output * fold(input, ...)): the unfolding of grad_output."""
    return unfold(grad_output, kernel_size, dilation, padding, stride)
