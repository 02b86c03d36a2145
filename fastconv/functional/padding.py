"""Padding of any axes, and its gradient."""

import math
import operator
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastconv._checks import Array, Dtype, check_shape, deliver, one_of, to_arrays
from fastconv._memory import empty, empty_like
from fastconv.functional._axis_maps import AxisMap, apply_maps, axis_map

_MODES = ("constant", "reflect", "replicate", "circular")

Sides = tuple[int, int]


def pad(input: ArrayLike, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Array:
    r"""Put elements before and after the input along its last axes, or crop it there.

    On an axis of `n` elements, output :math:`i` is input :math:`k = i - \text{before}` where there is one. Elsewhere

    =========== ===================================================================
    constant    it is `value`
    reflect     the input goes on mirrored at its first and last element: c b a b c
    replicate   it is the nearest element: a a a b c
    circular    the input, without what is cropped, repeats: b c a b c
    =========== ===================================================================

    Parameters
    ----------
    input : array_like
    pad : sequence of int
        Pairs (before, after) from the last axis on: ``(left, right, top, bottom)``. A negative number crops as many
        elements.
    mode : {"constant", "reflect", "replicate", "circular"}
        "constant" pads any number of axes. The others pad the last one, two or three of an input with one or two axes
        more.
    value : float, optional
        For "constant"; None is 0.

    Returns
    -------
    ndarray
        float16, float32 and float64 keep their dtype; integers and booleans become
        ``np.result_type(input, np.float32)``.

    Raises
    ------
    TypeError
        Complex, object or masked arrays; a `pad` that is not made of integers; a `value` that is no number.
    ValueError
        An odd number of entries, more pairs than axes, cropping of more than there is, an unknown mode, a value for
        a mode that takes none; outside of "constant" another number of axes, and padding out of reach: "reflect"
        reaches n - 1 elements, "circular" n.
    MemoryError
        No memory for the result.

    See Also
    --------
    pad_backward : the gradient.

    References
    ----------
    ``torch.nn.functional.pad``.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> x = np.array([[1.0, 2.0, 3.0]])
    >>> F.pad(x, (2, 1, 0, 1), value=9)
    array([[9., 9., 1., 2., 3., 9.],
           [9., 9., 9., 9., 9., 9.]])
    >>> F.pad(x, (2, 1), "reflect"), F.pad(x, (-1, 2), "replicate")
    (array([[3., 2., 1., 2., 3., 2.]]), array([[2., 3., 3., 3.]]))
    """
    (x,), dtype = to_arrays("pad", ("input",), (input,))
    sides = _check_sides("pad", pad, x.shape, mode)
    fill = _check_value("pad", mode, value)
    if mode == "constant":
        return deliver(_pad_constant(x, sides, fill), None, dtype)
    sizes = x.shape[-len(sides) :]
    maps = [_map(mode, size, side, x.dtype, transposed=False) for size, side in zip(sizes, sides, strict=True)]
    return deliver(_apply(x, maps), None, dtype)


def pad_backward(
    grad_output: ArrayLike, input: ArrayLike, pad: Sequence[int], mode: str = "constant", value: float | None = None
) -> Array:
    r"""Gradient of padding: what was copied from an element is added up; what was cropped gets 0.

    .. math:: \frac{\partial L}{\partial x_k} = \sum_i \frac{\partial L}{\partial y_i}
              \quad \text{over the outputs } i \text{ that are copies of } x_k

    Parameters
    ----------
    grad_output : array_like
        Gradient of the output, of the output's shape.
    input, pad, mode, value
        As they were given to `pad`. Of `input` only shape and dtype matter.

    Returns
    -------
    ndarray, of the input's shape
        Its dtype is ``np.result_type(grad_output, input)`` by the rule of `pad`.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `pad`; also a `grad_output` of another shape than the output.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> F.pad_backward(np.array([[1.0, 10.0, 100.0, 1000.0]]), np.zeros((1, 3)), (1, 0), "reflect")
    array([[  10.,  101., 1000.]])
    """
    name = "pad_backward"
    (gy, x), dtype = to_arrays(name, ("grad_output", "input"), (grad_output, input))
    sides = _check_sides(name, pad, x.shape, mode)
    _check_value(name, mode, value)
    sizes = x.shape[x.ndim - len(sides) :]
    padded = tuple(size + before + after for size, (before, after) in zip(sizes, sides, strict=True))
    check_shape(name, "grad_output", gy, x.shape[: x.ndim - len(sides)] + padded, ", that of the output")
    if mode == "constant":
        return deliver(_unpad_constant(gy, x, sides), None, dtype)
    maps = [_map(mode, size, side, x.dtype, transposed=True) for size, side in zip(sizes, sides, strict=True)]
    return deliver(_apply(gy, maps), None, dtype)


def _check_sides(function: str, pad: Any, shape: tuple[int, ...], mode: str) -> list[Sides]:
    """Return (before, after) of the last axes, in the order of the axes."""
    one_of(function, "mode", mode, _MODES)
    numbers = _integers(function, pad)
    if len(numbers) % 2:
        raise ValueError(f"{function}: pad must consist of pairs, got {len(numbers)} numbers {numbers}")
    sides = list(zip(numbers[::2], numbers[1::2], strict=True))[::-1]
    if mode != "constant" and not (1 <= len(sides) <= 3 and len(shape) - len(sides) in (1, 2)):
        raise ValueError(
            f"{function}: input must have 1 or 2 axes more than pad has pairs, of 1 to 3, for mode {mode!r}, "
            f"got shape {shape} and {len(sides)} pairs"
        )
    if len(sides) > len(shape):
        raise ValueError(f"{function}: pad must have at most a pair for each of {len(shape)} axes, got {numbers}")
    for size, pair in zip(shape[len(shape) - len(sides) :], sides, strict=True):
        _check_reach(function, mode, size, pair)
    return sides


def _integers(function: str, pad: Any) -> tuple[int, ...]:
    try:
        if not any(isinstance(entry, bool) for entry in pad):
            return tuple(operator.index(entry) for entry in pad)
    except TypeError:
        pass
    raise TypeError(f"{function}: pad must be a sequence of integers, got {pad!r}")


def _check_reach(function: str, mode: str, size: int, sides: Sides) -> None:
    """Refuse what a mode cannot make of an axis."""
    kept = size + sum(min(side, 0) for side in sides)
    if (kept if mode in ("constant", "circular") else size + sum(sides)) < 0:
        raise ValueError(f"{function}: pad must crop at most {size} elements, got {sides}")
    reach = {
        "constant": math.inf,
        "reflect": max(size - 1, 0),
        "replicate": math.inf if size else 0,
        "circular": size if kept else 0,
    }[mode]
    if max(sides) > reach:
        raise ValueError(f"{function}: pad must be at most {reach} for mode {mode!r} and {size} elements, got {sides}")


def _check_value(function: str, mode: str, value: Any) -> float:
    if value is None:
        return 0.0
    if not isinstance(value, bool | int | float | np.integer | np.floating):
        raise TypeError(f"{function}: value must be a number, got {value!r}")
    if mode != "constant" and value != 0:
        raise ValueError(f"{function}: value must be None for mode {mode!r}, got {value!r}")
    return float(value)


def _pad_constant(x: Array, sides: list[Sides], value: float) -> Array:
    whole = [(0, 0)] * (x.ndim - len(sides)) + sides
    y = empty(tuple(size + before + after for size, (before, after) in zip(x.shape, whole, strict=True)), x.dtype)
    inner = y
    for axis, (before, after) in enumerate(whole):
        ahead = (slice(None),) * axis
        first, end = max(before, 0), inner.shape[axis] - max(after, 0)
        inner[(*ahead, slice(first))] = value
        inner[(*ahead, slice(end, None))] = value
        inner = inner[(*ahead, slice(first, end))]
    inner[...] = x[_kept(x.shape, whole)]
    return y


def _unpad_constant(gy: Array, x: Array, sides: list[Sides]) -> Array:
    whole = [(0, 0)] * (x.ndim - len(sides)) + sides
    inner = gy[
        tuple(
            slice(max(before, 0), size - max(after, 0)) for size, (before, after) in zip(gy.shape, whole, strict=True)
        )
    ]
    gx = empty_like(x)
    if inner.shape != x.shape:
        gx.fill(0)
    gx[_kept(x.shape, whole)] = inner
    return gx


def _kept(shape: tuple[int, ...], sides: list[Sides]) -> tuple[slice, ...]:
    """Return where the input lies that is not cropped."""
    return tuple(
        slice(max(-before, 0), size - max(-after, 0)) for size, (before, after) in zip(shape, sides, strict=True)
    )


@lru_cache(maxsize=256)
def _map(mode: str, size: int, sides: Sides, dtype: Dtype, transposed: bool) -> AxisMap:
    """Return the map of one axis. A network pads the same sizes at every step, so maps are kept."""
    if transposed:
        return _map(mode, size, sides, dtype, transposed=False).transposed()
    index = _sources(mode, size, *sides)[:, np.newaxis]
    return axis_map(size, index, np.ones(index.shape), dtype)


def _sources(mode: str, size: int, before: int, after: int) -> NDArray[np.int64]:
    """Return which element of the input each output is."""
    place: NDArray[np.int64] = np.arange(-before, size + after)
    if mode == "reflect":
        place = size - 1 - np.abs(size - 1 - np.abs(place))
    elif mode == "replicate":
        place = np.clip(place, 0, size - 1)
    else:
        first, period = max(-before, 0), size - max(-before, 0) - max(-after, 0)
        place = first + (place - first) % max(period, 1)
    return place


def _apply(x: Array, maps: list[AxisMap]) -> Array:
    """Map the last axes; those before them are a batch."""
    lead, sizes = x.shape[: -len(maps)], x.shape[-len(maps) :]
    y = apply_maps(x.reshape(math.prod(lead), 1, *sizes), maps, channels_last=False)
    return y.reshape(lead + y.shape[2:])
