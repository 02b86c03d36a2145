"""Pooling under windows that slide, over one to three axes."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastconv.reference._pooling import Windows, max_gradient, maxima, mean_gradient, means
from fastconv.reference._windows import Array, as_given, to_images, window_axes


def max_pool1d(
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

    .. math:: y[n,j,c] = \max_{q} x[n,\; j s + q r - b,\; c]

    With `return_indices` also the position v of the first such input, as `max_pool2d` has it.
    """
    return _max_pool(1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices, data_format)


def max_pool1d_backward(
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
    r"""Gradient of sum(grad_output * max_pool1d(input, ...)): all of a window's goes to its first maximum.

    .. math:: gx[n,v,c] = \sum_{j} gy[n,j,c] \; [index[n,j,c] = v]
    """
    return _max_pool_backward(1, grad_output, input, kernel_size, stride, padding, dilation, ceil_mode, data_format)


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
    return _max_pool(2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices, data_format)


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
    return _max_pool_backward(2, grad_output, input, kernel_size, stride, padding, dilation, ceil_mode, data_format)


def max_pool3d(
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

    .. math:: y[n,h,i,j,c] = \max_{d,p,q} x[n,\; h s + d r - b,\; i s + p r - b,\; j s + q r - b,\; c]

    With `return_indices` also the position (t * height + u) * width + v of the first such input, as
    `max_pool2d` has it.
    """
    return _max_pool(3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices, data_format)


def max_pool3d_backward(
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
    r"""Gradient of sum(grad_output * max_pool3d(input, ...)): all of a window's goes to its first maximum.

    .. math:: gx[n,t,u,v,c] = \sum_{h,i,j} gy[n,h,i,j,c] \; [index[n,h,i,j,c] = (t, u, v)]
    """
    return _max_pool_backward(3, grad_output, input, kernel_size, stride, padding, dilation, ceil_mode, data_format)


def avg_pool1d(
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

    .. math:: y[n,j,c] = \frac{1}{divisor(j)} \sum_{q} x[n,\; j s + q - b,\; c]

    with the divisor of `avg_pool2d`.
    """
    options = kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    return _avg_pool(1, input, *options, data_format)


def avg_pool1d_backward(
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
    r"""Gradient of sum(grad_output * avg_pool1d(input, ...)).

    .. math:: gx[n,v,c] = \sum_{j} \frac{gy[n,j,c]}{divisor(j)}

    over the windows that v lies under.
    """
    options = kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    return _avg_pool_backward(1, grad_output, input, *options, data_format)


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

    .. math:: y[n,i,j,c] = \frac{1}{divisor(i, j)} \sum_{p,q} x[n,\; i s + p - b,\; j s + q - b,\; c]

    divisor(i, j) is `divisor_override` where given, else the number of positions of the window that lie in the input
    or, with `count_include_pad`, in the input or its padding. A window over padding alone gives 0.
    """
    options = kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    return _avg_pool(2, input, *options, data_format)


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

    .. math:: gx[n,u,v,c] = \sum_{i,j} \frac{gy[n,i,j,c]}{divisor(i, j)}

    over the windows that (u, v) lies under.
    """
    options = kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    return _avg_pool_backward(2, grad_output, input, *options, data_format)


def avg_pool3d(
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

    .. math:: y[n,h,i,j,c] = \frac{1}{divisor(h, i, j)}
              \sum_{d,p,q} x[n,\; h s + d - b,\; i s + p - b,\; j s + q - b,\; c]

    with the divisor of `avg_pool2d`.
    """
    options = kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    return _avg_pool(3, input, *options, data_format)


def avg_pool3d_backward(
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
    r"""Gradient of sum(grad_output * avg_pool3d(input, ...)).

    .. math:: gx[n,t,u,v,c] = \sum_{h,i,j} \frac{gy[n,h,i,j,c]}{divisor(h, i, j)}

    over the windows that (t, u, v) lies under.
    """
    options = kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    return _avg_pool_backward(3, grad_output, input, *options, data_format)


def _max_pool(
    axes: int,
    input: ArrayLike,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: bool,
    return_indices: bool,
    data_format: str,
) -> Any:
    x = to_images(input, data_format, axes)
    y, indices = maxima(x, _sliding(x.shape, kernel_size, stride, padding, dilation, ceil_mode))
    output = as_given(y, input, data_format)
    return (output, as_given(indices, input, data_format)) if return_indices else output


def _max_pool_backward(
    axes: int,
    grad_output: ArrayLike,
    input: ArrayLike,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: bool,
    data_format: str,
) -> Array:
    x, gy = to_images(input, data_format, axes), to_images(grad_output, data_format, axes)
    gx = max_gradient(gy, x, _sliding(x.shape, kernel_size, stride, padding, dilation, ceil_mode))
    return as_given(gx, input, data_format)


def _avg_pool(
    axes: int,
    input: ArrayLike,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
    data_format: str,
) -> Array:
    x = to_images(input, data_format, axes)
    windows = _sliding(x.shape, kernel_size, stride, padding, 1, ceil_mode, count_include_pad, divisor_override)
    return as_given(means(x, windows), input, data_format)


def _avg_pool_backward(
    axes: int,
    grad_output: ArrayLike,
    input: ArrayLike,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
    data_format: str,
) -> Array:
    gy, shape = to_images(grad_output, data_format, axes), to_images(input, data_format, axes).shape
    windows = _sliding(shape, kernel_size, stride, padding, 1, ceil_mode, count_include_pad, divisor_override)
    return as_given(mean_gradient(gy, shape, windows), input, data_format)


def _sliding(
    shape: tuple[int, ...],
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: bool,
    count_include_pad: bool = False,
    divisor_override: int | None = None,
) -> Windows:
    """Windows a stride apart; without a stride, side by side."""
    side_by_side = stride is None or np.size(stride) == 0
    axes = window_axes(shape, kernel_size, kernel_size if side_by_side else stride, padding, dilation, ceil_mode)
    inside = [[[u for _, u in axis.window(i)] for i in range(axis.outputs)] for axis in axes]
    padded = [[axis.padded_extent(i) for i in range(axis.outputs)] for axis in axes]
    counted = [[len(positions) for positions in windows] for windows in inside]
    return Windows(inside, padded if count_include_pad else counted, divisor_override)
