"""The linear layer."""

import numpy as np
from numpy.typing import ArrayLike

from fastconv.reference._windows import Array


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
