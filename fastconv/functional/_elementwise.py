"""What the activations have in common: one call of the core, forward or backward."""

import math
from typing import Any

from fastconv import _core
from fastconv._checks import Array, check_shape, deliver, flag, output_buffer, to_arrays
from fastconv._memory import empty_like


def forward(
    function: str,
    activation: int,
    input: Any,
    inplace: bool = False,
    *,
    slope: float = 0.0,
    threshold: float = math.inf,
) -> Array:
    """Apply an activation of the core, with its parameters, to every element; to `input` itself with `inplace`."""
    if inplace is False or not flag(function, "inplace", inplace):
        done: Array | None = _core.activated(activation, slope, threshold, input)
        if done is not None:
            return done
    (x,), dtype = to_arrays(function, ("input",), (input,))
    out = input if inplace else None
    # An element of y depends on that element of x alone, so y may be x: no inputs to keep from change.
    y = output_buffer(function, "input", out, x.shape, dtype)
    _core.activation_forward(activation, slope, threshold, x, y)
    return deliver(y, out, dtype)


def backward(
    function: str,
    activation: int,
    grad_output: Any,
    saved: Any,
    name: str = "input",
    *,
    slope: float = 0.0,
    threshold: float = math.inf,
) -> Array:
    """Return the gradient of `forward` from the array that the core needs for it, the argument `name` of the caller."""
    (gy, s), dtype = to_arrays(function, ("grad_output", name), (grad_output, saved))
    check_shape(function, "grad_output", gy, s.shape, f", that of {name}")
    gx = empty_like(s)
    _core.activation_backward(activation, slope, threshold, s, gy, gx)
    return deliver(gx, None, dtype)
