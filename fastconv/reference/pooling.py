"""Pooling."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastconv.reference._windows import Array, Axis, as_given, every_output, to_images, window_axes


def max_pool2d(
    input: ArrayLike,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    data_format: str = "channels_first",
) -> Any:
    r"""Take the largest input under each window, padding left out; NaN counts as the largest of all.

    .. math:: y[n,i,j,c] = \max_{p,q} x[n,\; i s + p r - b,\; j s + q r - b,\; c]

    With `return_indices` also the position u * width + v of the first such input, in the order in which one reads; of
    several NaN it is the last, as in torch. A window over padding alone gives -inf and position -1.
    """
    x = to_images(input, data_format)
    rows, columns = _pool_axes(x.shape, kernel_size, stride, padding, dilation, ceil_mode)
    y, indices = _maxima(x, rows, columns)
    output = as_given(y, input, data_format)
    return (output, as_given(indices, input, data_format)) if return_indices else output


def max_pool2d_backward(
    grad_output: ArrayLike,
    input: ArrayLike,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    data_format: str = "channels_first",
) -> Array:
    r"""Gradient of sum(grad_output * max_pool2d(input, ...)): all of a window's goes to its first maximum.

    .. math:: gx[n,u,v,c] = \sum_{i,j} gy[n,i,j,c] \; [index[n,i,j,c] = (u, v)]
    """
    x, gy = to_images(input, data_format), to_images(grad_output, data_format)
    rows, columns = _pool_axes(x.shape, kernel_size, stride, padding, dilation, ceil_mode)
    _, indices = _maxima(x, rows, columns)
    gx = np.zeros(x.shape)
    for u in range(rows.size):
        for v in range(columns.size):
            gx[:, u, v] = np.where(indices == u * columns.size + v, gy, 0.0).sum(axis=(1, 2))
    return as_given(gx, input, data_format)


def _maxima(x: Array, rows: Axis, columns: Axis) -> tuple[Array, NDArray[np.int64]]:
    """Maximum under each window, and its position."""
    y = np.full((len(x), rows.outputs, columns.outputs, x.shape[3]), -np.inf)
    indices = np.full(y.shape, -1, dtype=np.int64)
    for i, j in every_output(rows, columns):
        inside = [(u, v) for _, u in rows.window(i) for _, v in columns.window(j)]
        if inside:
            values = np.stack([x[:, u, v] for u, v in inside])
            last_nan = len(values) - 1 - np.isnan(values[::-1]).argmax(axis=0)
            chosen = np.where(np.isnan(values).any(axis=0), last_nan, values.argmax(axis=0))
            y[:, i, j] = np.take_along_axis(values, chosen[np.newaxis], axis=0)[0]
            indices[:, i, j] = np.array([u * columns.size + v for u, v in inside])[chosen]
    return y, indices


def avg_pool2d(
    input: ArrayLike,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    data_format: str = "channels_first",
) -> Array:
    r"""Average the inputs under each window.

    .. math:: y[n,i,j,c] = \frac{1}{divisor(i,j)} \sum_{p,q} x[n,\; i s + p - b,\; j s + q - b,\; c]

    divisor(i, j) is `divisor_override` where given, else the number of positions of the window that lie in the input
    or, with `count_include_pad`, in the input or its padding. A window over padding alone gives 0.
    """
    x = to_images(input, data_format)
    rows, columns = _pool_axes(x.shape, kernel_size, stride, padding, 1, ceil_mode)
    y = np.zeros((len(x), rows.outputs, columns.outputs, x.shape[3]))
    for i, j in every_output(rows, columns):
        for _, u in rows.window(i):
            for _, v in columns.window(j):
                y[:, i, j] += x[:, u, v]
        y[:, i, j] /= _divisor(rows, columns, i, j, count_include_pad, divisor_override)
    return as_given(y, input, data_format)


def avg_pool2d_backward(
    grad_output: ArrayLike,
    input: ArrayLike,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    data_format: str = "channels_first",
) -> Array:
    r"""Gradient of sum(grad_output * avg_pool2d(input, ...)).

    .. math:: gx[n,u,v,c] = \sum_{p,q} \frac{gy[n,i,j,c]}{divisor(i,j)}
              \quad\text{with}\quad i = (u + b - p)/s, \; j = (v + b - q)/s

    where gy is zero outside the output and at fractions.
    """
    gy, shape = to_images(grad_output, data_format), to_images(input, data_format).shape
    rows, columns = _pool_axes(shape, kernel_size, stride, padding, 1, ceil_mode)
    gx = np.zeros(shape)
    for u in range(rows.size):
        for v in range(columns.size):
            for _, i in rows.windows_over(u):
                for _, j in columns.windows_over(v):
                    gx[:, u, v] += gy[:, i, j] / _divisor(rows, columns, i, j, count_include_pad, divisor_override)
    return as_given(gx, input, data_format)


def _pool_axes(
    shape: tuple[int, ...], kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> tuple[Axis, Axis]:
    """As `window_axes`; without a stride windows lie side by side."""
    side_by_side = stride is None or np.size(stride) == 0
    return window_axes(shape, kernel_size, kernel_size if side_by_side else stride, padding, dilation, ceil_mode)


def _divisor(rows: Axis, columns: Axis, i: int, j: int, count_include_pad: bool, divisor_override: int | None) -> int:
    if divisor_override is not None:
        return divisor_override
    if count_include_pad:
        return rows.padded_extent(i) * columns.padded_extent(j)
    return len(rows.window(i)) * len(columns.window(j)) or 1
