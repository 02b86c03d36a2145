"""Convolution and transposed convolution over one, two and three axes."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastconv.reference._windows import (
    Array,
    Axes,
    Axis,
    as_given,
    at,
    every_input,
    every_output,
    grouped_weight,
    join_groups,
    per_axis,
    split_groups,
    to_images,
    weight_as_given,
    window,
    window_axes,
    window_axis,
    windows_over,
)


def conv1d(
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
    r"""Convolution of signals, one row of `conv2d`.

    .. math:: y[n,j,o] = bias[o] + \sum_{q,c} x[n,\; j s + q r - b,\; c] \; w[q,c,o]

    where x is zero outside the signal, and c runs over the channels of o's group.
    """
    return _convolution(input, weight, bias, stride, padding, dilation, groups, data_format)


def conv1d_backward(
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
    r"""Gradients of sum(grad_output * conv1d(input, weight, bias)) by input, weight and bias.

    .. math::
        gx[n,v,c] &= \sum_{q,o} gy[n,\; (v + b - q r)/s,\; o] \; w[q,c,o] \\
        gw[q,c,o] &= \sum_{n,j} gy[n,j,o] \; x[n,\; j s + q r - b,\; c] \\
        gbias[o] &= \sum_{n,j} gy[n,j,o]

    where gy is zero outside the output and at fractions.
    """
    return _gradients(grad_output, input, weight, bias, stride, padding, dilation, groups, data_format)


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
    return _convolution(input, weight, bias, stride, padding, dilation, groups, data_format)


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
    return _gradients(grad_output, input, weight, bias, stride, padding, dilation, groups, data_format)


def conv3d(
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
    r"""Convolution of volumes, whose slices h and depth positions t go as rows do.

    .. math:: y[n,h,i,j,o] = bias[o] + \sum_{d,p,q,c}
              x[n,\; h s + d r - b,\; i s + p r - b,\; j s + q r - b,\; c] \; w[d,p,q,c,o]

    where x is zero outside the volume, and c runs over the channels of o's group.
    """
    return _convolution(input, weight, bias, stride, padding, dilation, groups, data_format)


def conv3d_backward(
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
    r"""Gradients of sum(grad_output * conv3d(input, weight, bias)) by input, weight and bias.

    .. math::
        gx[n,t,u,v,c] &= \sum_{d,p,q,o}
            gy[n,\; (t + b - d r)/s,\; (u + b - p r)/s,\; (v + b - q r)/s,\; o] \; w[d,p,q,c,o] \\
        gw[d,p,q,c,o] &= \sum_{n,h,i,j} gy[n,h,i,j,o] \; x[n,\; h s + d r - b,\; i s + p r - b,\; j s + q r - b,\; c] \\
        gbias[o] &= \sum_{n,h,i,j} gy[n,h,i,j,o]

    where gy is zero outside the output and at fractions.
    """
    return _gradients(grad_output, input, weight, bias, stride, padding, dilation, groups, data_format)


def conv_transpose1d(
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
    r"""Transposed convolution of signals.

    .. math:: y[n,\; j s + q r - b,\; o] = bias[o] + \sum_{j,q,c} x[n,j,c] \; w[q,o,c]

    where c runs over the channels of o's group, and what falls outside the output is dropped.
    """
    return _transposed(input, weight, bias, stride, padding, output_padding, groups, dilation, data_format)


def conv_transpose1d_backward(
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
    r"""Gradients of sum(grad_output * conv_transpose1d(input, weight, bias)) by input, weight and bias.

    .. math::
        gx[n,j,c] &= \sum_{q,o} gy[n,\; j s + q r - b,\; o] \; w[q,o,c] \\
        gw[q,o,c] &= \sum_{n,j} x[n,j,c] \; gy[n,\; j s + q r - b,\; o] \\
        gbias[o] &= \sum_{n,v} gy[n,v,o]

    where gy is zero outside the output.
    """
    return _transposed_gradients(
        grad_output, input, weight, bias, stride, padding, output_padding, groups, dilation, data_format
    )


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
    return _transposed(input, weight, bias, stride, padding, output_padding, groups, dilation, data_format)


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
    return _transposed_gradients(
        grad_output, input, weight, bias, stride, padding, output_padding, groups, dilation, data_format
    )


def conv_transpose3d(
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
    r"""Transposed convolution of volumes.

    .. math:: y[n,\; h s + d r - b,\; i s + p r - b,\; j s + q r - b,\; o] =
              bias[o] + \sum_{h,i,j,d,p,q,c} x[n,h,i,j,c] \; w[d,p,q,o,c]

    where c runs over the channels of o's group, and what falls outside the output is dropped.
    """
    return _transposed(input, weight, bias, stride, padding, output_padding, groups, dilation, data_format)


def conv_transpose3d_backward(
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
    r"""Gradients of sum(grad_output * conv_transpose3d(input, weight, bias)) by input, weight and bias.

    .. math::
        gx[n,h,i,j,c] &= \sum_{d,p,q,o} gy[n,\; h s + d r - b,\; i s + p r - b,\; j s + q r - b,\; o] \; w[d,p,q,o,c] \\
        gw[d,p,q,o,c] &= \sum_{n,h,i,j} x[n,h,i,j,c] \; gy[n,\; h s + d r - b,\; i s + p r - b,\; j s + q r - b,\; o] \\
        gbias[o] &= \sum_{n,t,u,v} gy[n,t,u,v,o]

    where gy is zero outside the output.
    """
    return _transposed_gradients(
        grad_output, input, weight, bias, stride, padding, output_padding, groups, dilation, data_format
    )


def _convolution(
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
    data_format: str,
) -> Array:
    images, w = to_images(input, data_format, np.ndim(weight) - 2), grouped_weight(weight, groups, data_format)
    axes = window_axes(images.shape, w.shape[:-3], stride, padding, dilation)
    x = split_groups(images, groups)
    y = np.zeros((len(x), *(axis.outputs for axis in axes), groups, w.shape[-1]))
    for output in every_output(*axes):
        for tap, position in window(axes, output):
            y[at(output)] += np.einsum("ngc,gco->ngo", x[at(position)], w[tap])
    return as_given(join_groups(_with_bias(y, bias)), input, data_format)


def _gradients(
    grad_output: ArrayLike,
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
    data_format: str,
) -> tuple[Array, Array, Array | None]:
    spatial = np.ndim(weight) - 2
    images, w = to_images(input, data_format, spatial), grouped_weight(weight, groups, data_format)
    axes = window_axes(images.shape, w.shape[:-3], stride, padding, dilation)
    x, gy = split_groups(images, groups), split_groups(to_images(grad_output, data_format, spatial), groups)
    gx, gw = np.zeros(x.shape), np.zeros(w.shape)
    for position in every_input(*axes):
        for tap, output in windows_over(axes, position):
            gx[at(position)] += np.einsum("ngo,gco->ngc", gy[at(output)], w[tap])
    for output in every_output(*axes):
        for tap, position in window(axes, output):
            gw[tap] += np.einsum("ngo,ngc->gco", gy[at(output)], x[at(position)])
    return (
        as_given(join_groups(gx), input, data_format),
        weight_as_given(gw, data_format),
        _bias_gradient(gy, bias),
    )


def _transposed(
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None,
    stride: Any,
    padding: Any,
    output_padding: Any,
    groups: int,
    dilation: Any,
    data_format: str,
) -> Array:
    images, w = to_images(input, data_format, np.ndim(weight) - 2), grouped_weight(weight, groups, data_format)
    axes = _transposed_axes(images.shape, w.shape[:-3], stride, padding, output_padding, dilation)
    x = split_groups(images, groups)
    y = np.zeros((len(x), *(axis.size for axis in axes), groups, w.shape[-2]))
    for place in every_output(*axes):
        for tap, position in window(axes, place):
            y[at(position)] += np.einsum("ngc,goc->ngo", x[at(place)], w[tap])
    return as_given(join_groups(_with_bias(y, bias)), input, data_format)


def _transposed_gradients(
    grad_output: ArrayLike,
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None,
    stride: Any,
    padding: Any,
    output_padding: Any,
    groups: int,
    dilation: Any,
    data_format: str,
) -> tuple[Array, Array, Array | None]:
    spatial = np.ndim(weight) - 2
    images, w = to_images(input, data_format, spatial), grouped_weight(weight, groups, data_format)
    axes = _transposed_axes(images.shape, w.shape[:-3], stride, padding, output_padding, dilation)
    x, gy = split_groups(images, groups), split_groups(to_images(grad_output, data_format, spatial), groups)
    gx, gw = np.zeros(x.shape), np.zeros(w.shape)
    for place in every_output(*axes):
        for tap, position in window(axes, place):
            gx[at(place)] += np.einsum("ngo,goc->ngc", gy[at(position)], w[tap])
            gw[tap] += np.einsum("ngc,ngo->goc", x[at(place)], gy[at(position)])
    return (
        as_given(join_groups(gx), input, data_format),
        weight_as_given(gw, data_format),
        _bias_gradient(gy, bias),
    )


def _with_bias(y: Array, bias: ArrayLike | None) -> Array:
    """Add the bias to images with their channels as [g][c]."""
    return y if bias is None else y + np.asarray(bias, dtype=np.float64).reshape(y.shape[-2:])


def _bias_gradient(gy: Array, bias: ArrayLike | None) -> Array | None:
    return None if bias is None else gy.sum(axis=tuple(range(gy.ndim - 2))).reshape(-1)


def _transposed_axes(
    shape: tuple[int, ...], kernel: Any, stride: Any, padding: Any, output_padding: Any, dilation: Any
) -> Axes:
    """Lay the windows of the convolution that is transposed; its outputs are the images of `shape`."""
    sizes = shape[1:-1]
    arguments = (per_axis(value, len(sizes)) for value in (kernel, stride, padding, output_padding, dilation))
    return tuple(
        _transposed_axis(size, k, s, pad, extra, r) for size, k, s, pad, extra, r in zip(sizes, *arguments, strict=True)
    )


def _transposed_axis(size: int, kernel: int, stride: int, padding: Any, output_padding: int, dilation: int) -> Axis:
    if padding == "same":
        return window_axis(size * stride, kernel, stride, "same", dilation, ceil_mode=False)
    before, after = padding if isinstance(padding, tuple | list) else (0 if padding == "valid" else padding,) * 2
    output = (size - 1) * stride + (kernel - 1) * dilation + 1 + output_padding - before - after
    return Axis(output, kernel, stride, dilation, before, after, size)
