"""Convolution and transposed convolution."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastconv.reference._windows import (
    Array,
    Axis,
    as_given,
    every_output,
    grouped_weight,
    join_groups,
    pair,
    split_groups,
    to_images,
    weight_as_given,
    window_axes,
    window_axis,
)


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
    x, w = split_groups(to_images(input, data_format), groups), grouped_weight(weight, groups, data_format)
    rows, columns = window_axes(x.shape, w.shape[:2], stride, padding, dilation)
    y = np.zeros((len(x), rows.outputs, columns.outputs, groups, w.shape[4]))
    for i, j in every_output(rows, columns):
        for p, u in rows.window(i):
            for q, v in columns.window(j):
                y[:, i, j] += np.einsum("ngc,gco->ngo", x[:, u, v], w[p, q])
    if bias is not None:
        y += np.asarray(bias, dtype=np.float64).reshape(groups, -1)
    return as_given(join_groups(y), input, data_format)


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
    x, w = split_groups(to_images(input, data_format), groups), grouped_weight(weight, groups, data_format)
    gy = split_groups(to_images(grad_output, data_format), groups)
    rows, columns = window_axes(x.shape, w.shape[:2], stride, padding, dilation)

    gx = np.zeros(x.shape)
    for u in range(rows.size):
        for v in range(columns.size):
            for p, i in rows.windows_over(u):
                for q, j in columns.windows_over(v):
                    gx[:, u, v] += np.einsum("ngo,gco->ngc", gy[:, i, j], w[p, q])

    gw = np.zeros(w.shape)
    for i, j in every_output(rows, columns):
        for p, u in rows.window(i):
            for q, v in columns.window(j):
                gw[p, q] += np.einsum("ngo,ngc->gco", gy[:, i, j], x[:, u, v])

    grad_input = as_given(join_groups(gx), input, data_format)
    grad_bias = None if bias is None else gy.sum(axis=(0, 1, 2)).reshape(-1)
    return grad_input, weight_as_given(gw, data_format), grad_bias


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
    x, w = split_groups(to_images(input, data_format), groups), grouped_weight(weight, groups, data_format)
    rows, columns = _transposed_axes(x.shape, w.shape[:2], stride, padding, output_padding, dilation)
    y = np.zeros((len(x), rows.size, columns.size, groups, w.shape[3]))
    for i, j in every_output(rows, columns):
        for p, u in rows.window(i):
            for q, v in columns.window(j):
                y[:, u, v] += np.einsum("ngc,goc->ngo", x[:, i, j], w[p, q])
    if bias is not None:
        y += np.asarray(bias, dtype=np.float64).reshape(groups, -1)
    return as_given(join_groups(y), input, data_format)


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
    x, w = split_groups(to_images(input, data_format), groups), grouped_weight(weight, groups, data_format)
    gy = split_groups(to_images(grad_output, data_format), groups)
    rows, columns = _transposed_axes(x.shape, w.shape[:2], stride, padding, output_padding, dilation)
    gx, gw = np.zeros(x.shape), np.zeros(w.shape)
    for i, j in every_output(rows, columns):
        for p, u in rows.window(i):
            for q, v in columns.window(j):
                gx[:, i, j] += np.einsum("ngo,goc->ngc", gy[:, u, v], w[p, q])
                gw[p, q] += np.einsum("ngc,ngo->goc", x[:, i, j], gy[:, u, v])
    grad_input = as_given(join_groups(gx), input, data_format)
    grad_bias = None if bias is None else gy.sum(axis=(0, 1, 2)).reshape(-1)
    return grad_input, weight_as_given(gw, data_format), grad_bias


def _transposed_axes(
    shape: tuple[int, ...], kernel: Any, stride: Any, padding: Any, output_padding: Any, dilation: Any
) -> tuple[Axis, Axis]:
    """Rows and columns of the convolution that is transposed; its outputs are the images of `shape`."""
    per_axis = zip(*map(pair, (shape[1:3], kernel, stride, padding, output_padding, dilation)), strict=True)
    rows, columns = (_transposed_axis(*values) for values in per_axis)
    return rows, columns


def _transposed_axis(size: int, kernel: int, stride: int, padding: Any, output_padding: int, dilation: int) -> Axis:
    if padding == "same":
        return window_axis(size * stride, kernel, stride, "same", dilation, ceil_mode=False)
    before, after = padding if isinstance(padding, tuple | list) else (0 if padding == "valid" else padding,) * 2
    output = (size - 1) * stride + (kernel - 1) * dilation + 1 + output_padding - before - after
    return Axis(output, kernel, stride, dilation, before, after, size)
