"""A step of an optimizer."""

from typing import Literal

import numpy as np

from fastconv import _core
from fastconv._checks import Array
from fastconv._memory import converted

_OPTIMIZERS = {"sgd": _core.SGD, "rmsprop": _core.RMSPROP, "adagrad": _core.ADAGRAD, "adam": _core.ADAM}


def optimizer_step(
    optimizer: Literal["sgd", "rmsprop", "adagrad", "adam"],
    param: Array,
    grad: Array,
    momentum: Array | None = None,
    squares: Array | None = None,
    further: Array | None = None,
    *,
    rate: float,
    beta_1: float = 0.0,
    beta_2: float = 0.0,
    epsilon: float = 0.0,
    nesterov: bool = False,
) -> None:
    """Change weights ``w`` and what is remembered of them in place, all of one shape, in one pass.

    With the gradient ``g``, ``m`` for `momentum`, ``s`` for `squares` and ``a`` for `further`; where ``m`` or ``a`` is
    not given its line is left out::

        sgd         m = beta_1 * m - rate * g
                    w += m                                  # nesterov: beta_1 * m - rate * g; without m: -rate * g
        rmsprop     s = beta_2 * s + (1 - beta_2) * g**2
                    a = beta_2 * a + (1 - beta_2) * g
                    m = beta_1 * m + rate * g / sqrt(maximum(s - a**2, 0) + epsilon)
                    w -= m
        adagrad     s += g**2
                    w -= rate * g / sqrt(s + epsilon)
        adam        m = beta_1 * m + (1 - beta_1) * g
                    s = beta_2 * s + (1 - beta_2) * g**2
                    a = maximum(a, s)                       # and stands for s below
                    w -= rate * m / (sqrt(s) + epsilon)

    They are computed in float64 where `param` is, else in float32. Arrays of another dtype, or that are not contiguous,
    are copied, and copied back. The sources are named by the classes in `fastconv.optimizers`.

    Parameters
    ----------
    optimizer : {"sgd", "rmsprop", "adagrad", "adam"}
    param, grad : ndarray
        Weights, and their gradient, which is not changed.
    momentum, squares, further : ndarray, optional
        rmsprop and adagrad need `squares`, adam `momentum` and `squares`.
    rate, beta_1, beta_2, epsilon : float
        For adam, a rate corrected for means that start at 0.
    nesterov : bool

    Raises
    ------
    TypeError
        Weights that hold no fractions.
    """
    dtype = np.promote_types(param.dtype, np.float32)
    kept = (momentum, squares, further)
    native = converted(param, dtype)
    native_kept = [None if array is None else converted(array, dtype) for array in kept]
    _core.optimizer_step(
        _OPTIMIZERS[optimizer], rate, beta_1, beta_2, epsilon, nesterov, converted(grad, dtype), native, *native_kept
    )
    for array, copy in zip((param, *kept), (native, *native_kept), strict=True):
        if copy is not array and array is not None and copy is not None:
            np.copyto(array, copy, casting="same_kind")
