"""Pooling under as many windows as outputs are wanted, over one to three axes."""

from typing import Any

from numpy.typing import ArrayLike

from fastconv.reference._pooling import Windows, max_gradient, maxima, mean_gradient, means
from fastconv.reference._windows import Array, as_given, per_axis, to_images


def adaptive_avg_pool1d(input: ArrayLike, output_size: Any, *, data_format: str = "channels_first") -> Array:
    r"""Average the inputs under each window.

    .. math:: y[n,j,c] = \frac{1}{|W_j|} \sum_{v \in W_j} x[n,v,c]

    where window j of an axis are the positions from floor(j * in / out) up to, but without, ceil((j + 1) * in / out).
    """
    return _average(1, input, output_size, data_format)


def adaptive_avg_pool1d_backward(
    grad_output: ArrayLike, input: ArrayLike, output_size: Any, *, data_format: str = "channels_first"
) -> Array:
    r"""Gradient of sum(grad_output * adaptive_avg_pool1d(input, ...)).

    .. math:: gx[n,v,c] = \sum_{j} \frac{gy[n,j,c]}{|W_j|}

    over the windows that v lies under.
    """
    return _average_backward(1, grad_output, input, output_size, data_format)


def adaptive_avg_pool2d(input: ArrayLike, output_size: Any, *, data_format: str = "channels_first") -> Array:
    r"""Average the inputs under each window.

    .. math:: y[n,i,j,c] = \frac{1}{|W_i \times W_j|} \sum_{(u,v) \in W_i \times W_j} x[n,u,v,c]

    with the windows of `adaptive_avg_pool1d`.
    """
    return _average(2, input, output_size, data_format)


def adaptive_avg_pool2d_backward(
    grad_output: ArrayLike, input: ArrayLike, output_size: Any, *, data_format: str = "channels_first"
) -> Array:
    r"""Gradient of sum(grad_output * adaptive_avg_pool2d(input, ...)).

    .. math:: gx[n,u,v,c] = \sum_{i,j} \frac{gy[n,i,j,c]}{|W_i \times W_j|}

    over the windows that (u, v) lies under.
    """
    return _average_backward(2, grad_output, input, output_size, data_format)


def adaptive_avg_pool3d(input: ArrayLike, output_size: Any, *, data_format: str = "channels_first") -> Array:
    r"""Average the inputs under each window.

    .. math:: y[n,h,i,j,c] = \frac{1}{|W_h \times W_i \times W_j|}
              \sum_{(t,u,v) \in W_h \times W_i \times W_j} x[n,t,u,v,c]

    with the windows of `adaptive_avg_pool1d`.
    """
    return _average(3, input, output_size, data_format)


def adaptive_avg_pool3d_backward(
    grad_output: ArrayLike, input: ArrayLike, output_size: Any, *, data_format: str = "channels_first"
) -> Array:
    r"""Gradient of sum(grad_output * adaptive_avg_pool3d(input, ...)).

    .. math:: gx[n,t,u,v,c] = \sum_{h,i,j} \frac{gy[n,h,i,j,c]}{|W_h \times W_i \times W_j|}

    over the windows that (t, u, v) lies under.
    """
    return _average_backward(3, grad_output, input, output_size, data_format)


def adaptive_max_pool1d(
    input: ArrayLike, output_size: Any, return_indices: bool = False, *, data_format: str = "channels_first"
) -> Any:
    r"""Take the largest input under each window.

    .. math:: y[n,j,c] = \max_{v \in W_j} x[n,v,c]

    with the windows of `adaptive_avg_pool1d`, and the positions of `max_pool1d`.
    """
    return _maximum(1, input, output_size, return_indices, data_format)


def adaptive_max_pool1d_backward(
    grad_output: ArrayLike,
    input: ArrayLike,
    output_size: Any,
    return_indices: bool = False,
    *,
    data_format: str = "channels_first",
) -> Array:
    r"""Gradient of sum(grad_output * adaptive_max_pool1d(input, ...)): all of a window's goes to its first maximum.

    .. math:: gx[n,v,c] = \sum_{j} gy[n,j,c] \; [index[n,j,c] = v]
    """
    return _maximum_backward(1, grad_output, input, output_size, data_format)


def adaptive_max_pool2d(
    input: ArrayLike, output_size: Any, return_indices: bool = False, *, data_format: str = "channels_first"
) -> Any:
    r"""Take the largest input under each window.

    .. math:: y[n,i,j,c] = \max_{(u,v) \in W_i \times W_j} x[n,u,v,c]

    with the windows of `adaptive_avg_pool1d`, and the positions of `max_pool2d`.
    """
    return _maximum(2, input, output_size, return_indices, data_format)


def adaptive_max_pool2d_backward(
    grad_output: ArrayLike,
    input: ArrayLike,
    output_size: Any,
    return_indices: bool = False,
    *,
    data_format: str = "channels_first",
) -> Array:
    r"""Gradient of sum(grad_output * adaptive_max_pool2d(input, ...)): all of a window's goes to its first maximum.

    .. math:: gx[n,u,v,c] = \sum_{i,j} gy[n,i,j,c] \; [index[n,i,j,c] = (u, v)]
    """
    return _maximum_backward(2, grad_output, input, output_size, data_format)


def adaptive_max_pool3d(
    input: ArrayLike, output_size: Any, return_indices: bool = False, *, data_format: str = "channels_first"
) -> Any:
    r"""Take the largest input under each window.

    .. math:: y[n,h,i,j,c] = \max_{(t,u,v) \in W_h \times W_i \times W_j} x[n,t,u,v,c]

    with the windows of `adaptive_avg_pool1d`, and the positions of `max_pool3d`.
    """
    return _maximum(3, input, output_size, return_indices, data_format)


def adaptive_max_pool3d_backward(
    grad_output: ArrayLike,
    input: ArrayLike,
    output_size: Any,
    return_indices: bool = False,
    *,
    data_format: str = "channels_first",
) -> Array:
    r"""Gradient of sum(grad_output * adaptive_max_pool3d(input, ...)): all of a window's goes to its first maximum.

    .. math:: gx[n,t,u,v,c] = \sum_{h,i,j} gy[n,h,i,j,c] \; [index[n,h,i,j,c] = (t, u, v)]
    """
    return _maximum_backward(3, grad_output, input, output_size, data_format)


def _average(axes: int, input: ArrayLike, output_size: Any, data_format: str) -> Array:
    x = to_images(input, data_format, axes)
    return as_given(means(x, _adaptive(x.shape, output_size)), input, data_format)


def _average_backward(axes: int, grad_output: ArrayLike, input: ArrayLike, output_size: Any, data_format: str) -> Array:
    gy, shape = to_images(grad_output, data_format, axes), to_images(input, data_format, axes).shape
    return as_given(mean_gradient(gy, shape, _adaptive(shape, output_size)), input, data_format)


def _maximum(axes: int, input: ArrayLike, output_size: Any, return_indices: bool, data_format: str) -> Any:
    x = to_images(input, data_format, axes)
    y, indices = maxima(x, _adaptive(x.shape, output_size))
    output = as_given(y, input, data_format)
    return (output, as_given(indices, input, data_format)) if return_indices else output


def _maximum_backward(axes: int, grad_output: ArrayLike, input: ArrayLike, output_size: Any, data_format: str) -> Array:
    x, gy = to_images(input, data_format, axes), to_images(grad_output, data_format, axes)
    return as_given(max_gradient(gy, x, _adaptive(x.shape, output_size)), input, data_format)


def _adaptive(shape: tuple[int, ...], output_size: Any) -> Windows:
    sizes = shape[1:-1]
    inside = []
    for size, wanted in zip(sizes, per_axis(output_size, len(sizes)), strict=True):
        out = size if wanted is None else wanted
        inside.append([list(range(i * size // out, -(-(i + 1) * size // out))) for i in range(out)])
    return Windows(inside, [[len(positions) for positions in windows] for windows in inside])
