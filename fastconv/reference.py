"""Every operation of fastconv by its formula, in float64: slow, short and complete. Read this file first.

Functions have the names, arguments and results of `fastconv.functional`; only what concerns speed (``algorithm``,
``out``, ``needs``, ``indices``, ``output``) is left out. Whatever comes in, arithmetic and results are float64. The
tests hold the fast code to this file, and this file to hand-worked cases, torch and SciPy; it shares no code with the
rest of the package.

Inside, arrays are channels last, and the letters of the formulas are

====== ===================================== ====== =====================================
``n``  image of the batch                    ``s``  stride
``i j``  output row, column                  ``r``  dilation
``u v``  input row, column                   ``b``  padding before the first row, column
``p q``  kernel row, column (a tap)          ``g``  group of channels
``c o``  input channel, output channel       ``gx`` gradient by x; ``gy``, ``gw`` likewise
====== ===================================== ====== =====================================

so that output row ``i`` meets input row ``u = i*s + p*r - b`` at tap ``p``, and columns go likewise.

Examples
--------
The edges of a step, found by the difference of neighbours:

>>> import numpy as np
>>> from fastconv import reference
>>> image = np.array([[[0, 0, 5, 5, 0]]])
>>> difference = np.array([[[[-1, 1]]]])
>>> reference.conv2d(image, difference)
array([[[ 0.,  5.,  0., -5.]]])
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


# --- Where a window lies ----------------------------------------------------------------------------------------------


class _Axis(NamedTuple):
    """How windows lie along the rows (or the columns) of an image."""

    size: int
    kernel: int
    stride: int
    dilation: int
    before: int
    after: int
    outputs: int

    def window(self, i: int) -> list[tuple[int, int]]:
        """(tap, input position) for each tap of window i that meets the input and not the padding."""
        meetings = ((p, i * self.stride + p * self.dilation - self.before) for p in range(self.kernel))
        return [(p, u) for p, u in meetings if 0 <= u < self.size]

    def windows_over(self, u: int) -> list[tuple[int, int]]:
        """(tap, window) for each window that has input position u under one of its taps."""
        distances = ((p, u + self.before - p * self.dilation) for p in range(self.kernel))
        return [
            (p, t // self.stride) for p, t in distances if t % self.stride == 0 and 0 <= t // self.stride < self.outputs
        ]

    def padded_extent(self, i: int) -> int:
        """Positions of window i that lie in the input or its padding."""
        start = i * self.stride - self.before
        return min(start + self.kernel, self.size + self.after) - start


def _axes(
    shape: tuple[int, ...], kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool = False
) -> tuple[_Axis, _Axis]:
    """Rows and columns of images of `shape` (n, h, w, c) under windows of `kernel`."""
    per_axis = zip(shape[1:3], _pair(kernel), _pair(stride), _pair(padding), _pair(dilation), strict=True)
    rows, columns = (_axis(size, k, s, pad, r, ceil_mode) for size, k, s, pad, r in per_axis)
    return rows, columns


def _axis(size: int, kernel: int, stride: int, padding: Any, dilation: int, ceil_mode: bool) -> _Axis:
    reach = (kernel - 1) * dilation + 1
    if padding == "valid":
        before = after = 0
    elif padding == "same":
        total = max((-(-size // stride) - 1) * stride + reach - size, 0)
        before, after = total // 2, total - total // 2
    else:
        before, after = padding if isinstance(padding, tuple | list) else (padding, padding)
    room = size + before + after - reach
    if ceil_mode:
        outputs = -(-room // stride) + 1
        if (outputs - 1) * stride >= size + before:
            outputs -= 1
    else:
        outputs = room // stride + 1
    if outputs < 1:
        raise ValueError(f"reference: a window of {reach} must fit into {size} + {before} + {after}")
    return _Axis(size, kernel, stride, dilation, before, after, outputs)


def _pair(value: Any) -> tuple[Any, Any]:
    """One value for rows and one for columns."""
    values = tuple(value) if isinstance(value, tuple | list) else (value,)
    return (values[0], values[0]) if len(values) == 1 else (values[0], values[1])


def _every_output(rows: _Axis, columns: _Axis) -> Iterator[tuple[int, int]]:
    return ((i, j) for i in range(rows.outputs) for j in range(columns.outputs))


# --- How arrays lie ---------------------------------------------------------------------------------------------------


def _images(x: ArrayLike, data_format: str) -> Array:
    """Return x as x[n][u][v][c], one image as a batch of one."""
    images = np.asarray(x, dtype=np.float64)
    if images.ndim == 3:
        images = images[np.newaxis]
    return images if data_format == "channels_last" else images.transpose(0, 2, 3, 1)


def _as_given(images: NDArray[Any], like: ArrayLike, data_format: str) -> NDArray[Any]:
    """Undo `_images` for a result that belongs to the argument `like`."""
    result = images if data_format == "channels_last" else images.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(result[0] if np.ndim(like) == 3 else result)


def _grouped_weight(weight: ArrayLike, groups: int, data_format: str) -> Array:
    """Return weight as w[p][q][g][c][o], channels counted within their group."""
    w = np.asarray(weight, dtype=np.float64)
    if data_format != "channels_last":
        w = w.transpose(2, 3, 1, 0)
    kh, kw, ci, co = w.shape
    return w.reshape(kh, kw, ci, groups, co // groups).transpose(0, 1, 3, 2, 4)


def _weight_as_given(grouped: Array, data_format: str) -> Array:
    """Undo `_grouped_weight`."""
    w = _ungrouped(grouped.transpose(0, 1, 3, 2, 4))
    return np.ascontiguousarray(w if data_format == "channels_last" else w.transpose(3, 2, 0, 1))


def _grouped(images: Array, groups: int) -> Array:
    """Images with their channels as [g][c]."""
    return images.reshape(*images.shape[:3], groups, images.shape[3] // groups)


def _ungrouped(array: Array) -> Array:
    """Undo the split of the last axis into [g][c]."""
    return array.reshape(*array.shape[:3], array.shape[3] * array.shape[4])


# --- Convolution ------------------------------------------------------------------------------------------------------


def conv2d(
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    data_format: str = "channels_first",
) -> Array:
    r"""Convolution as neural networks mean it: the kernel is not flipped (cross-correlation).

    .. math:: y[n,i,j,o] = bias[o] + \sum_{p,q,c} x[n,\; i s + p r - b,\; j s + q r - b,\; c] \; w[p,q,c,o]

    where x is zero outside the image, and c runs over the channels of o's group.
    """
    x, w = _grouped(_images(input, data_format), groups), _grouped_weight(weight, groups, data_format)
    rows, columns = _axes(x.shape, w.shape[:2], stride, padding, dilation)
    y = np.zeros((len(x), rows.outputs, columns.outputs, groups, w.shape[4]))
    for i, j in _every_output(rows, columns):
        for p, u in rows.window(i):
            for q, v in columns.window(j):
                y[:, i, j] += np.einsum("ngc,gco->ngo", x[:, u, v], w[p, q])
    if bias is not None:
        y += np.asarray(bias, dtype=np.float64).reshape(groups, -1)
    return _as_given(_ungrouped(y), input, data_format)


def conv2d_backward(
    grad_output: ArrayLike,
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    data_format: str = "channels_first",
) -> tuple[Array, Array, Array | None]:
    r"""Gradients of sum(grad_output * conv2d(input, weight, bias)) by input, weight and bias.

    .. math::
        gx[n,u,v,c] &= \sum_{p,q,o} gy[n,\; (u + b - p r)/s,\; (v + b - q r)/s,\; o] \; w[p,q,c,o] \\
        gw[p,q,c,o] &= \sum_{n,i,j} gy[n,i,j,o] \; x[n,\; i s + p r - b,\; j s + q r - b,\; c] \\
        gbias[o] &= \sum_{n,i,j} gy[n,i,j,o]

    where gy is zero outside the output and at fractions.
    """
    x, w = _grouped(_images(input, data_format), groups), _grouped_weight(weight, groups, data_format)
    gy = _grouped(_images(grad_output, data_format), groups)
    rows, columns = _axes(x.shape, w.shape[:2], stride, padding, dilation)

    gx = np.zeros(x.shape)
    for u in range(rows.size):
        for v in range(columns.size):
            for p, i in rows.windows_over(u):
                for q, j in columns.windows_over(v):
                    gx[:, u, v] += np.einsum("ngo,gco->ngc", gy[:, i, j], w[p, q])

    gw = np.zeros(w.shape)
    for i, j in _every_output(rows, columns):
        for p, u in rows.window(i):
            for q, v in columns.window(j):
                gw[p, q] += np.einsum("ngo,ngc->gco", gy[:, i, j], x[:, u, v])

    grad_input = _as_given(_ungrouped(gx), input, data_format)
    grad_bias = None if bias is None else gy.sum(axis=(0, 1, 2)).reshape(-1)
    return grad_input, _weight_as_given(gw, data_format), grad_bias


# --- Transposed convolution -------------------------------------------------------------------------------------------


def conv_transpose2d(
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
    *,
    data_format: str = "channels_first",
) -> Array:
    r"""Transposed convolution: each pixel of the input stamps the kernel on the output, `stride` apart.

    .. math:: y[n,\; i s + p r - b,\; j s + q r - b,\; o] = bias[o] + \sum_{i,j,p,q,c} x[n,i,j,c] \; w[p,q,o,c]

    where c runs over the channels of o's group, and what falls outside the output is dropped. The weights are those of
    the convolution from o to c whose transpose this is.
    """
    x, w = _grouped(_images(input, data_format), groups), _grouped_weight(weight, groups, data_format)
    rows, columns = _transposed_axes(x.shape, w.shape[:2], stride, padding, output_padding, dilation)
    y = np.zeros((len(x), rows.size, columns.size, groups, w.shape[3]))
    for i, j in _every_output(rows, columns):
        for p, u in rows.window(i):
            for q, v in columns.window(j):
                y[:, u, v] += np.einsum("ngc,goc->ngo", x[:, i, j], w[p, q])
    if bias is not None:
        y += np.asarray(bias, dtype=np.float64).reshape(groups, -1)
    return _as_given(_ungrouped(y), input, data_format)


def conv_transpose2d_backward(
    grad_output: ArrayLike,
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
    *,
    data_format: str = "channels_first",
) -> tuple[Array, Array, Array | None]:
    r"""Gradients of sum(grad_output * conv_transpose2d(input, weight, bias)) by input, weight and bias.

    .. math::
        gx[n,i,j,c] &= \sum_{p,q,o} gy[n,\; i s + p r - b,\; j s + q r - b,\; o] \; w[p,q,o,c] \\
        gw[p,q,o,c] &= \sum_{n,i,j} x[n,i,j,c] \; gy[n,\; i s + p r - b,\; j s + q r - b,\; o] \\
        gbias[o] &= \sum_{n,u,v} gy[n,u,v,o]

    where gy is zero outside the output.
    """
    x, w = _grouped(_images(input, data_format), groups), _grouped_weight(weight, groups, data_format)
    gy = _grouped(_images(grad_output, data_format), groups)
    rows, columns = _transposed_axes(x.shape, w.shape[:2], stride, padding, output_padding, dilation)
    gx, gw = np.zeros(x.shape), np.zeros(w.shape)
    for i, j in _every_output(rows, columns):
        for p, u in rows.window(i):
            for q, v in columns.window(j):
                gx[:, i, j] += np.einsum("ngo,goc->ngc", gy[:, u, v], w[p, q])
                gw[p, q] += np.einsum("ngc,ngo->goc", x[:, i, j], gy[:, u, v])
    grad_input = _as_given(_ungrouped(gx), input, data_format)
    grad_bias = None if bias is None else gy.sum(axis=(0, 1, 2)).reshape(-1)
    return grad_input, _weight_as_given(gw, data_format), grad_bias


def _transposed_axes(
    shape: tuple[int, ...], kernel: Any, stride: Any, padding: Any, output_padding: Any, dilation: Any
) -> tuple[_Axis, _Axis]:
    """Rows and columns of the convolution that is transposed; its outputs are the images of `shape`."""
    per_axis = zip(*map(_pair, (shape[1:3], kernel, stride, padding, output_padding, dilation)), strict=True)
    rows, columns = (_transposed_axis(*values) for values in per_axis)
    return rows, columns


def _transposed_axis(size: int, kernel: int, stride: int, padding: Any, output_padding: int, dilation: int) -> _Axis:
    if padding == "same":
        return _axis(size * stride, kernel, stride, "same", dilation, ceil_mode=False)
    before, after = padding if isinstance(padding, tuple | list) else (0 if padding == "valid" else padding,) * 2
    output = (size - 1) * stride + (kernel - 1) * dilation + 1 + output_padding - before - after
    return _Axis(output, kernel, stride, dilation, before, after, size)


# --- Windows as columns -----------------------------------------------------------------------------------------------


def unfold(input: ArrayLike, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Array:
    r"""Copy each window of an image to a column.

    .. math:: y[n,\; (c k_h + p) k_w + q,\; i \, o_w + j] = x[n,c,\; i s + p r - b,\; j s + q r - b]

    with zero outside the image. Arrays are channels first.
    """
    x = _images(input, "channels_first")
    rows, columns = _axes(x.shape, kernel_size, stride, padding, dilation)
    y = np.zeros((len(x), x.shape[3], rows.kernel, columns.kernel, rows.outputs, columns.outputs))
    for i, j in _every_output(rows, columns):
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
    height, width = _pair(output_size)
    rows, columns = _axes((len(batch), height, width, 1), kernel_size, stride, padding, dilation)
    channels = batch.shape[1] // (rows.kernel * columns.kernel)
    x = batch.reshape(len(batch), channels, rows.kernel, columns.kernel, rows.outputs, columns.outputs)
    y = np.zeros((len(batch), channels, height, width))
    for i, j in _every_output(rows, columns):
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


# --- Pooling ----------------------------------------------------------------------------------------------------------


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
    x = _images(input, data_format)
    rows, columns = _pool_axes(x.shape, kernel_size, stride, padding, dilation, ceil_mode)
    y, indices = _maxima(x, rows, columns)
    output = _as_given(y, input, data_format)
    return (output, _as_given(indices, input, data_format)) if return_indices else output


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
    x, gy = _images(input, data_format), _images(grad_output, data_format)
    rows, columns = _pool_axes(x.shape, kernel_size, stride, padding, dilation, ceil_mode)
    _, indices = _maxima(x, rows, columns)
    gx = np.zeros(x.shape)
    for u in range(rows.size):
        for v in range(columns.size):
            gx[:, u, v] = np.where(indices == u * columns.size + v, gy, 0.0).sum(axis=(1, 2))
    return _as_given(gx, input, data_format)


def _maxima(x: Array, rows: _Axis, columns: _Axis) -> tuple[Array, NDArray[np.int64]]:
    """Maximum under each window, and its position."""
    y = np.full((len(x), rows.outputs, columns.outputs, x.shape[3]), -np.inf)
    indices = np.full(y.shape, -1, dtype=np.int64)
    for i, j in _every_output(rows, columns):
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
    x = _images(input, data_format)
    rows, columns = _pool_axes(x.shape, kernel_size, stride, padding, 1, ceil_mode)
    y = np.zeros((len(x), rows.outputs, columns.outputs, x.shape[3]))
    for i, j in _every_output(rows, columns):
        for _, u in rows.window(i):
            for _, v in columns.window(j):
                y[:, i, j] += x[:, u, v]
        y[:, i, j] /= _divisor(rows, columns, i, j, count_include_pad, divisor_override)
    return _as_given(y, input, data_format)


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
    gy, shape = _images(grad_output, data_format), _images(input, data_format).shape
    rows, columns = _pool_axes(shape, kernel_size, stride, padding, 1, ceil_mode)
    gx = np.zeros(shape)
    for u in range(rows.size):
        for v in range(columns.size):
            for _, i in rows.windows_over(u):
                for _, j in columns.windows_over(v):
                    gx[:, u, v] += gy[:, i, j] / _divisor(rows, columns, i, j, count_include_pad, divisor_override)
    return _as_given(gx, input, data_format)


def _pool_axes(
    shape: tuple[int, ...], kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> tuple[_Axis, _Axis]:
    """As `_axes`; without a stride windows lie side by side."""
    side_by_side = stride is None or np.size(stride) == 0
    return _axes(shape, kernel_size, kernel_size if side_by_side else stride, padding, dilation, ceil_mode)


def _divisor(rows: _Axis, columns: _Axis, i: int, j: int, count_include_pad: bool, divisor_override: int | None) -> int:
    if divisor_override is not None:
        return divisor_override
    if count_include_pad:
        return rows.padded_extent(i) * columns.padded_extent(j)
    return len(rows.window(i)) * len(columns.window(j)) or 1


# --- Linear -----------------------------------------------------------------------------------------------------------


def linear(
    input: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None, *, data_format: str = "channels_first"
) -> Array:
    r"""Apply a fully connected layer to the last axis; weight has shape (outputs, inputs), channels last the reverse.

    .. math:: y[..., o] = bias[o] + \sum_c x[..., c] \; w[o, c]
    """
    x, w = np.asarray(input, dtype=np.float64), _rows_of_weights(weight, data_format)
    y = np.zeros((*x.shape[:-1], w.shape[0]))
    for o, row in enumerate(w):
        y[..., o] = (x * row).sum(axis=-1)
    return y if bias is None else y + np.asarray(bias, dtype=np.float64)


def linear_backward(
    grad_output: ArrayLike,
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    data_format: str = "channels_first",
) -> tuple[Array, Array, Array | None]:
    r"""Gradients of sum(grad_output * linear(input, weight, bias)) by input, weight and bias.

    .. math:: gx[..., c] = \sum_o gy[..., o] \; w[o, c], \quad gw[o, c] = \sum_{...} gy[..., o] \; x[..., c],
              \quad gbias[o] = \sum_{...} gy[..., o]
    """
    gy, x = np.asarray(grad_output, dtype=np.float64), np.asarray(input, dtype=np.float64)
    w = _rows_of_weights(weight, data_format)
    samples = tuple(range(x.ndim - 1))
    gx, gw = np.zeros(x.shape), np.zeros(w.shape)
    for o, row in enumerate(w):
        gx += gy[..., o, np.newaxis] * row
        gw[o] = (gy[..., o, np.newaxis] * x).sum(axis=samples)
    grad_weight = gw.T if data_format == "channels_last" else gw
    return gx, np.ascontiguousarray(grad_weight), None if bias is None else np.asarray(gy.sum(axis=samples))


def _rows_of_weights(weight: ArrayLike, data_format: str) -> Array:
    """Return weight as w[o][c]."""
    w = np.asarray(weight, dtype=np.float64)
    return w.T if data_format == "channels_last" else w


# --- Activations ------------------------------------------------------------------------------------------------------


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


# --- Losses: the mean over a batch, and its gradient by the prediction ------------------------------------------------


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
