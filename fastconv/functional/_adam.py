"""The step of the Adam optimizer."""

import numpy as np

from fastconv import _core
from fastconv._checks import Array
from fastconv._memory import converted


def adam_step(
    param: Array,
    grad: Array,
    momentum: Array,
    velocity: Array,
    largest: Array | None,
    *,
    beta_1: float,
    beta_2: float,
    epsilon: float,
    rate: float,
) -> None:
    """Change weights and what is remembered of them in place, all of one shape.

    Kingma & Ba 2015, arXiv:1412.6980; with `largest` Reddi et al. 2018, arXiv:1904.09237::

        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g**2
        w -= rate * m / (sqrt(v) + epsilon)

    They are computed in float64 where `param` is, else in float32. Arrays of another dtype, or that are not contiguous,
    are copied, and copied back.

    Parameters
    ----------
    param, grad, momentum, velocity : ndarray
        Weights, their gradient, and the running means of it and of its square.
    largest : ndarray, optional
        The largest `velocity` so far, which takes its place in the step.
    beta_1, beta_2, epsilon : float
    rate : float
        The learning rate, corrected for means that start at 0.

    Raises
    ------
    TypeError
        Weights that hold no fractions.
    """
    changed = [param, momentum, velocity, *(() if largest is None else (largest,))]
    dtype = np.result_type(param.dtype, np.float32)
    native = [converted(array, dtype) for array in changed]
    _core.adam_step(
        beta_1, beta_2, epsilon, rate, converted(grad, dtype), *native, *(() if largest is not None else (None,))
    )
    for array, copy in zip(changed, native, strict=True):
        if copy is not array:
            np.copyto(array, copy, casting="same_kind")
