"""Batch normalization in training with what the drop-in modules need of it: the statistics of the batch."""

import numpy as np

import fastconv.functional as F
from fastconv._checks import Array


def batch_norm_training(
    x: Array, gamma: Array, beta: Array, eps: float, data_format: str = "channels_first"
) -> tuple[Array, Array, Array]:
    """Return the output, and mean and variance of each channel; the variance has the divisor m for m values.

    A single value per channel has variance 0: where torch's function refuses it, the networks of these modules run.

    Examples
    --------
    >>> import numpy as np
    >>> y, mean, variance = batch_norm_training(np.array([[1.0], [3.0]]), np.ones(1), np.zeros(1), 0.0)
    >>> y.ravel(), mean, variance
    (array([-1.,  1.]), array([2.]), array([1.]))
    """
    channels = gamma.size
    values = x.size // max(channels, 1)
    mean, variance = np.zeros((2, channels))
    if values == 1:
        return F.group_norm(x, channels, gamma, beta, eps, data_format=data_format), x.astype(float).ravel(), variance
    # With momentum 1 the running statistics become the batch's, with the variance over m - 1 as torch has it.
    y = F.batch_norm(x, mean, variance, gamma, beta, True, 1.0, eps, data_format=data_format)
    return y, mean, variance * ((values - 1) / max(values, 1))


def batch_norm_training_backward(
    grad_output: Array, x: Array, gamma: Array, beta: Array, eps: float, data_format: str = "channels_first"
) -> tuple[Array, Array, Array]:
    """Return the gradients of input, gamma and beta."""
    if x.size == gamma.size:
        found = F.group_norm_backward(grad_output, x, gamma.size, gamma, beta, eps, data_format=data_format)
    else:
        found = F.batch_norm_backward(grad_output, x, None, None, gamma, beta, True, eps=eps, data_format=data_format)
    grad_x, grad_gamma, grad_beta = found
    assert grad_gamma is not None, "gamma is given"
    assert grad_beta is not None, "beta is given"
    return grad_x, grad_gamma, grad_beta
