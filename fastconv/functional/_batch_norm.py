"""Batch normalization as layers run it: the statistics are kept for the gradient, and what stands behind it joins in.

A sum with another array and a ReLU take no pass over memory of their own then.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fastconv import _core
from fastconv._checks import Array
from fastconv._memory import converted, empty_like

__all__ = ["Statistics", "normalize", "normalize_backward"]


class Statistics(NamedTuple):
    """Of each channel, in float64.

    Attributes
    ----------
    mean, variance : ndarray of shape (c,)
        The variance is the mean squared deviation.
    constant : bool
        Whether they do not depend on the batch.
    """

    mean: Array
    variance: Array
    constant: bool


def normalize(
    x: Array,
    weight: Array | None,
    bias: Array | None,
    constants: Sequence[Array] | None,
    eps: float,
    channels_last: bool,
    addend: Array | None = None,
    rectified: bool = False,
) -> tuple[Array, Statistics]:
    """Return ``batch_norm(x) + addend``, with ``rectified`` no less than 0, and the statistics.

    Parameters
    ----------
    x
        Of shape (n, c, ...), or (n, ..., c); of a dtype that the core computes in, like `weight`, `bias` and `addend`.
    constants
        Mean and variance in float64; None for those of the batch.
    """
    shape = _sizes(x, channels_last)
    mean, variance = np.zeros((2, shape[1])) if constants is None else constants
    x, weight, bias = _contiguous(x, weight, bias)
    y = empty_like(x)
    _core.norm_forward(
        shape,
        channels_last,
        eps,
        x,
        weight,
        bias,
        y,
        mean,
        variance,
        _core.FOUND if constants is None else _core.CONSTANT,
        addend=_contiguous(addend)[0],
        rectified=rectified,
    )
    return y, Statistics(mean, variance, constants is not None)


def normalize_backward(
    grad: Array,
    x: Array,
    weight: Array | None,
    bias: Array | None,
    statistics: Statistics,
    eps: float,
    channels_last: bool,
    rectified: bool = False,
) -> tuple[Array, Array | None, Array | None]:
    """Return the gradients of input, weight and bias; None for what is None.

    Parameters
    ----------
    statistics
        What `normalize` has returned.
    rectified
        Whether there was a ReLU, and no addend: the sign of its input is found again. Not for constant statistics.
    """
    x, grad, weight, bias = _contiguous(x, grad, weight, bias)
    shape = _sizes(x, channels_last)
    grad_x = empty_like(x)
    grad_weight, grad_bias = (np.empty(shape[1], x.dtype) for _ in range(2))
    _core.norm_backward(
        shape,
        channels_last,
        eps,
        x,
        grad,
        weight,
        bias,
        grad_x,
        grad_weight,
        grad_bias,
        statistics.mean,
        statistics.variance,
        _core.CONSTANT if statistics.constant else _core.KNOWN,
        rectified=rectified,
    )
    return grad_x, None if weight is None else grad_weight, None if bias is None else grad_bias


def _sizes(x: Array, channels_last: bool) -> tuple[int, int, int, int]:
    n, channels = x.shape[0], x.shape[-1 if channels_last else 1]
    return n, channels, x.size // max(n * channels, 1), 0


def _contiguous(*arrays: Array | None) -> list[Any]:
    return [None if array is None else converted(array, array.dtype) for array in arrays]
