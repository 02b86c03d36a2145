"""What the pooling functions share: one implementation for one to three axes, sliding and adaptive windows."""

import operator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fastconv import _core
from fastconv._checks import Array, channels_last, check_shape, deliver, flag, to_array, to_arrays
from fastconv.geometry import Geometry, adaptive_pool_geometry, pool_geometry

_INT64 = np.dtype(np.int64)
# What calls have found out about their arguments, for the next call with the same.
_plans = _core.Plans(1024)


class Sliding(NamedTuple):
    """Windows of one size, a stride apart."""

    kernel_size: Any
    stride: Any
    padding: Any
    dilation: Any
    ceil_mode: bool

    def geometry(
        self, function: str, input_shape: tuple[int, ...], axes: int, last: bool
    ) -> tuple[Geometry, tuple[int, ...]]:
        ceil_mode = flag(function, "ceil_mode", self.ceil_mode)
        return pool_geometry(function, input_shape, *self[:-1], ceil_mode, axes=axes, channels_last=last)


class Adaptive(NamedTuple):
    """As many windows as outputs are wanted."""

    output_size: Any

    def geometry(
        self, function: str, input_shape: tuple[int, ...], axes: int, last: bool
    ) -> tuple[Geometry, tuple[int, ...]]:
        return adaptive_pool_geometry(function, input_shape, self.output_size, axes=axes, channels_last=last)


def max_pool(
    function: str, axes: int, input: ArrayLike, windows: Sliding | Adaptive, return_indices: bool, data_format: str
) -> Any:
    """Maximum of each window, with `return_indices` also where it is."""
    arguments = (function, data_format, *windows)
    plan = _plans.find(arguments, input)
    if plan is not None:
        done = plan.maxima(input, return_indices)
        if done is not None:
            return done
    last = channels_last(function, data_format)
    (x,), dtype = to_arrays(function, ("input",), (input,))
    geometry, shape = windows.geometry(function, x.shape, axes, last)
    plan = _core.Pooling(geometry, shape, last, isinstance(windows, Adaptive))
    _plans.keep(plan, arguments, input)
    found = plan.maxima(x, return_indices)
    return (deliver(found[0], None, dtype), found[1]) if return_indices else deliver(found, None, dtype)


def max_pool_backward(
    function: str,
    axes: int,
    grad_output: ArrayLike,
    input: ArrayLike,
    windows: Sliding | Adaptive,
    indices: ArrayLike | None,
    data_format: str,
) -> Array:
    """Gradient of `max_pool`, along `indices` where they are given."""
    arguments = (function, data_format, *windows)
    plan = _plans.find(arguments, grad_output, input) if indices is None else None
    if plan is not None:
        done: Array | None = plan.maxima_gradients(grad_output, input, None)
        if done is not None:
            return done
    last = channels_last(function, data_format)
    (gy, x), dtype = to_arrays(function, ("grad_output", "input"), (grad_output, input))
    geometry, shape = windows.geometry(function, x.shape, axes, last)
    check_shape(function, "grad_output", gy, shape, ", that of the output")
    positions = None if indices is None else to_positions(function, indices, shape, "output")
    plan = _core.Pooling(geometry, shape, last, isinstance(windows, Adaptive))
    _plans.keep(plan, arguments, grad_output, input)
    try:
        gx = plan.maxima_gradients(gy, x, positions)
    except ValueError:
        if positions is None:
            raise
        raise outside(function, positions, geometry, axes) from None
    return deliver(gx, None, dtype)


def avg_pool(
    function: str,
    axes: int,
    input: ArrayLike,
    windows: Sliding | Adaptive,
    data_format: str,
    count_include_pad: bool = False,
    divisor_override: int | None = None,
) -> Array:
    """Mean of each window."""
    arguments = (function, data_format, *windows, count_include_pad, divisor_override)
    plan = _plans.find(arguments, input)
    if plan is not None:
        done: Array | None = plan.means(input)
        if done is not None:
            return done
    last = channels_last(function, data_format)
    (x,), dtype = to_arrays(function, ("input",), (input,))
    geometry, shape = windows.geometry(function, x.shape, axes, last)
    padded, divisor = flag(function, "count_include_pad", count_include_pad), _divisor(function, divisor_override)
    plan = _core.Pooling(geometry, shape, last, isinstance(windows, Adaptive), padded, divisor)
    _plans.keep(plan, arguments, input)
    return deliver(plan.means(x), None, dtype)


def avg_pool_backward(
    function: str,
    axes: int,
    grad_output: ArrayLike,
    input: ArrayLike,
    windows: Sliding | Adaptive,
    data_format: str,
    count_include_pad: bool = False,
    divisor_override: int | None = None,
) -> Array:
    """Gradient of `avg_pool`."""
    arguments = (function, data_format, *windows, count_include_pad, divisor_override)
    plan = _plans.find(arguments, grad_output, input)
    if plan is not None:
        done: Array | None = plan.mean_gradients(grad_output, input)
        if done is not None:
            return done
    last = channels_last(function, data_format)
    (gy, x), dtype = to_arrays(function, ("grad_output", "input"), (grad_output, input))
    geometry, shape = windows.geometry(function, x.shape, axes, last)
    check_shape(function, "grad_output", gy, shape, ", that of the output")
    padded, divisor = flag(function, "count_include_pad", count_include_pad), _divisor(function, divisor_override)
    plan = _core.Pooling(geometry, shape, last, isinstance(windows, Adaptive), padded, divisor)
    _plans.keep(plan, arguments, grad_output, input)
    return deliver(plan.mean_gradients(gy, x), None, dtype)


def to_positions(function: str, indices: ArrayLike, shape: tuple[int, ...], of: str) -> Array:
    """Return indices as the core takes them: integers, of the shape of what `of` says."""
    positions = to_array(function, "indices", indices)
    check_shape(function, "indices", positions, shape, f", that of the {of}")
    if positions.dtype.kind not in "iu":
        raise TypeError(f"{function}: indices must be integers, got {positions.dtype}")
    return np.require(positions, _INT64, ("C", "A"))


def outside(function: str, positions: Array, geometry: Geometry, axes: int) -> ValueError:
    """Return what to raise where the core refuses indices: it looks at each, so nobody does before."""
    sizes = geometry.input[-axes:]
    product = " * ".join(map(str, sizes)) + (f" = {np.prod(sizes)}" if axes > 1 else "")
    return ValueError(
        f"{function}: indices must be positions in {product} pixels, got values from {positions.min()} to "
        f"{positions.max()}"
    )


def _divisor(function: str, divisor_override: int | None) -> int:
    """Convert to the core's form, where 0 stands for the number of elements."""
    if divisor_override is None:
        return 0
    try:
        divisor = operator.index(divisor_override)
    except TypeError:
        raise TypeError(f"{function}: divisor_override must be an integer, got {divisor_override!r}") from None
    if not 0 < abs(divisor) < 2**31:
        raise ValueError(f"{function}: divisor_override must not be 0 and fit in 32 bits, got {divisor}")
    return divisor
