"""Convolution and transposed convolution over one to three axes: what the public functions of each number share."""

from collections.abc import Collection
from typing import Any

from numpy.typing import ArrayLike

from fastconv import _core
from fastconv._checks import (
    Array,
    Dtype,
    channels_last,
    check_shape,
    deliver,
    needed,
    output_buffer,
    to_arrays,
)
from fastconv._memory import empty_like
from fastconv.functional import _algorithms
from fastconv.functional._algorithms import AUTO, FORWARD, GRAD_INPUT, GRAD_WEIGHT, plans
from fastconv.geometry import conv_geometry, conv_transpose_geometry

GRADIENTS = ("input", "weight", "bias")

Gradients = tuple[Array | None, Array | None, Array | None]

_ACTIVATIONS = {
    None: _core.LINEAR,
    "relu": _core.RELU,
    "sigmoid": _core.SIGMOID,
    "tanh": _core.TANH,
}


def convolve(
    name: str,
    axes: int,
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
    data_format: str,
    algorithm: str,
    out: Array | None,
    activation: str | None,
) -> Array:
    """Compute the convolution `name` over so many axes."""
    arguments = (name, stride, padding, dilation, groups, data_format, algorithm, activation)
    plan = plans.find(arguments, input, weight, bias)
    if plan is not None:
        done: Array | None = plan.forward(input, weight, bias, out)
        if done is not None:
            return done
    last = channels_last(name, data_format)
    (x, w, b), dtype = to_arrays(name, GRADIENTS, (input, weight, bias))
    geometry, shape = conv_geometry(
        name, x.shape, w.shape, stride, padding, dilation, groups, axes=axes, channels_last=last
    )
    if b is not None:
        check_shape(name, "bias", b, (geometry.out_channels,), " for as many output channels")
    number = _algorithms.number(name, algorithm, geometry, x.itemsize == 8, last, FORWARD)
    applied = activation_number(name, activation)
    plan = _core.Convolution(geometry, shape, last, last, applied, number)
    if _algorithms.is_settled(algorithm):
        plans.keep(plan, arguments, input, weight, bias)
    y = output_buffer(name, "out", out, shape, dtype, (x, w, b))
    plan.forward(x, w, b, y)
    return deliver(y, out, dtype)


def convolve_backward(
    name: str,
    axes: int,
    grad_output: ArrayLike,
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
    needs: str | Collection[str],
    data_format: str,
    algorithm: str,
) -> Gradients:
    """Compute the gradients `name` of a convolution over so many axes."""
    arguments = (name, stride, padding, dilation, groups, needs, data_format, algorithm)
    plan = plans.find(arguments, grad_output, input, weight, bias)
    if plan is not None:
        found: Gradients | None = plan.gradients(grad_output, input, weight, bias, *chosen(needs))
        if found is not None:
            return found
    last = channels_last(name, data_format)
    (gy, x, w, b), dtype = to_arrays(name, ("grad_output", *GRADIENTS), (grad_output, input, weight, bias))
    geometry, shape = conv_geometry(
        name, x.shape, w.shape, stride, padding, dilation, groups, axes=axes, channels_last=last
    )
    check_shape(name, "grad_output", gy, shape, ", that of the output")
    if b is not None:
        check_shape(name, "bias", b, (geometry.out_channels,), " for as many output channels")
    wanted = needed(name, needs, GRADIENTS)
    _algorithms.check_name(name, algorithm)
    numbers = [
        _algorithms.number(name, algorithm, geometry, x.itemsize == 8, last, direction) if gradient in wanted else AUTO
        for gradient, direction in (("input", GRAD_INPUT), ("weight", GRAD_WEIGHT))
    ]
    plan = _core.Convolution(geometry, shape, last, last)
    if _algorithms.is_settled(algorithm):
        plans.keep(plan, arguments, grad_output, input, weight, bias)
    return gradients(plan, gy, x, w, b, wanted, dtype, *numbers)


def convolve_transposed(
    name: str,
    axes: int,
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None,
    stride: Any,
    padding: Any,
    output_padding: Any,
    groups: int,
    dilation: Any,
    data_format: str,
    out: Array | None,
    activation: str | None,
) -> Array:
    """Compute the transposed convolution `name` over so many axes."""
    last = channels_last(name, data_format)
    (x, w, b), dtype = to_arrays(name, GRADIENTS, (input, weight, bias))
    geometry, shape = conv_transpose_geometry(
        name, x.shape, w.shape, stride, padding, output_padding, dilation, groups, axes=axes, channels_last=last
    )
    if b is not None:
        check_shape(name, "bias", b, (geometry.in_channels,), " for as many output channels")
    applied = activation_number(name, activation)
    y = output_buffer(name, "out", out, shape, dtype, (x, w, b))
    _core.conv_grad_input(geometry, last, last, x, w, y, bias=b, activation=applied)
    return deliver(y, out, dtype)


def convolve_transposed_backward(
    name: str,
    axes: int,
    grad_output: ArrayLike,
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None,
    stride: Any,
    padding: Any,
    output_padding: Any,
    groups: int,
    dilation: Any,
    needs: str | Collection[str],
    data_format: str,
) -> Gradients:
    """Compute the gradients `name` of a transposed convolution over so many axes."""
    last = channels_last(name, data_format)
    (gy, x, w, b), dtype = to_arrays(name, ("grad_output", *GRADIENTS), (grad_output, input, weight, bias))
    geometry, shape = conv_transpose_geometry(
        name, x.shape, w.shape, stride, padding, output_padding, dilation, groups, axes=axes, channels_last=last
    )
    check_shape(name, "grad_output", gy, shape, ", that of the output")
    if b is not None:
        check_shape(name, "bias", b, (geometry.in_channels,), " for as many output channels")
    wanted = needed(name, needs, GRADIENTS)
    grad_input = grad_weight = grad_bias = None
    if "input" in wanted:
        gx = empty_like(x)
        _core.conv_forward(geometry, last, last, gy, w, None, gx)
        grad_input = deliver(gx, None, dtype)
    if "weight" in wanted:
        gw = empty_like(w)
        _core.conv_grad_weight(geometry, last, last, gy, x, gw)
        grad_weight = deliver(gw, None, dtype)
    if "bias" in wanted and b is not None:
        gb = empty_like(b)
        # The images that are summed are the input of the transposed convolution's geometry.
        summed = geometry._replace(out_channels=geometry.in_channels, output=geometry.input)
        _core.conv_grad_bias(summed, last, gy, gb)
        grad_bias = deliver(gb, None, dtype)
    return grad_input, grad_weight, grad_bias


def gradients(
    plan: _core.Convolution,
    gy: Array,
    x: Array,
    w: Array,
    b: Array | None,
    wanted: Collection[str],
    dtype: Dtype,
    input_algorithm: int = AUTO,
    weight_algorithm: int = AUTO,
) -> Gradients:
    """Those gradients of a checked convolution that are wanted, for functions built on one."""
    found = plan.gradients(gy, x, w, b, *chosen(wanted), input_algorithm, weight_algorithm)
    grad_input, grad_weight, grad_bias = (None if array is None else deliver(array, None, dtype) for array in found)
    return grad_input, grad_weight, grad_bias


def chosen(needs: Collection[str]) -> tuple[bool, bool, bool]:
    """Return for input, weight and bias whether their gradients are wanted."""
    return "input" in needs, "weight" in needs, "bias" in needs


def activation_number(function: str, activation: str | None) -> int:
    """Find the number of an activation that the core applies to results; a ValueError where it is unknown."""
    if not (activation is None or isinstance(activation, str)) or activation not in _ACTIVATIONS:
        known = ", ".join(map(repr, _ACTIVATIONS))
        raise ValueError(f"{function}: activation must be one of {known}, got {activation!r}")
    return _ACTIVATIONS[activation]
