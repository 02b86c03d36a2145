"""Resizing and padding, axis by axis: each output is a sum of a few weighted inputs."""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastconv.reference._windows import Array

Taps = list[tuple[int, float]]
"""(input position, weight) of what one output is made of."""


def interpolate(
    input: ArrayLike,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    *,
    data_format: str = "channels_first",
) -> Array:
    r"""Resize the spatial axes.

    .. math:: y[n,c,i,j] = \sum_{u,v} a_{iu} \, b_{jv} \, x[n,c,u,v]

    with the weights of the mode: 1 at floor(s * i) for "nearest" and at floor(s * (i + 1/2)) for "nearest-exact";
    1 - f at floor(p) and f at floor(p) + 1, with f = p - floor(p), for the linear modes, at p = s * (i + 1/2) - 1/2, or
    with `align_corners` at the places that divide the axis from first to last element evenly; 1 / count at each of the
    elements that the i-th part of the axis touches for "area". s is the number of inputs for each output; a factor
    counts only if the size changes, for "nearest" to another one than the double. Places outside of the input move to
    its first or last element.
    """
    y = np.asarray(input, dtype=np.float64)
    arguments = (size, scale_factor, mode, align_corners, recompute_scale_factor, data_format)
    for axis, outputs, taps in _resized_axes(y.shape, *arguments):
        y = _gathered(y, axis, outputs, taps)
    return y


def interpolate_backward(
    grad_output: ArrayLike,
    input: ArrayLike,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    *,
    data_format: str = "channels_first",
) -> Array:
    r"""Gradient of sum(grad_output * interpolate(input, ...)).

    .. math:: gx[n,c,u,v] = \sum_{i,j} a_{iu} \, b_{jv} \, gy[n,c,i,j]
    """
    gx, shape = np.asarray(grad_output, dtype=np.float64), np.shape(input)
    arguments = (size, scale_factor, mode, align_corners, recompute_scale_factor, data_format)
    for axis, _, taps in _resized_axes(shape, *arguments):
        gx = _scattered(gx, axis, shape[axis], taps)
    return gx


def pad(input: ArrayLike, pad: Any, mode: str = "constant", value: float | None = None) -> Array:
    """Pad the last axes: an output is the input that its place stands for in the mode, or `value` where there is none.

    Pairs (before, after) of `pad` are for the last axis, the one before it and so on. Negative ones crop.
    """
    y = np.asarray(input, dtype=np.float64)
    for axis, before, after in _padded_axes(y.ndim, pad):
        x = np.moveaxis(y, axis, 0)
        padded = np.full((len(x) + before + after, *x.shape[1:]), 0.0 if value is None else float(value))
        for i in range(len(padded)):
            k = _source(mode, i - before, len(x), before, after)
            if k is not None:
                padded[i] = x[k]
        y = np.ascontiguousarray(np.moveaxis(padded, 0, axis))
    return y


def pad_backward(
    grad_output: ArrayLike, input: ArrayLike, pad: Any, mode: str = "constant", value: float | None = None
) -> Array:
    """Gradient of sum(grad_output * pad(input, ...)): each output's goes to the input that it is a copy of."""
    gx, shape = np.asarray(grad_output, dtype=np.float64), np.shape(input)
    for axis, before, after in _padded_axes(len(shape), pad):
        gx = _scattered(gx, axis, shape[axis], _copies(mode, shape[axis], before, after))
    return gx


def _gathered(x: Array, axis: int, outputs: int, taps: Callable[[int], Taps]) -> Array:
    moved = np.moveaxis(x, axis, 0)
    y = np.zeros((outputs, *moved.shape[1:]))
    for i in range(outputs):
        for k, weight in taps(i):
            y[i] += weight * moved[k]
    return np.ascontiguousarray(np.moveaxis(y, 0, axis))


def _scattered(gy: Array, axis: int, inputs: int, taps: Callable[[int], Taps]) -> Array:
    moved = np.moveaxis(gy, axis, 0)
    gx = np.zeros((inputs, *moved.shape[1:]))
    for i in range(len(moved)):
        for k, weight in taps(i):
            gx[k] += weight * moved[i]
    return np.ascontiguousarray(np.moveaxis(gx, 0, axis))


def _resized_axes(
    shape: tuple[int, ...],
    size: Any,
    scale_factor: Any,
    mode: str,
    align_corners: bool | None,
    recompute_scale_factor: bool | None,
    data_format: str,
) -> list[tuple[int, int, Callable[[int], Taps]]]:
    """(axis, outputs, taps of an output) for each spatial axis."""
    first = 1 if data_format == "channels_last" else 2
    axes = []
    for number, axis in enumerate(range(first, first + len(shape) - 2)):
        inputs = shape[axis]
        if scale_factor is None:
            outputs = size if np.ndim(size) == 0 else size[number]
            step = inputs / outputs
        else:
            factor = scale_factor if np.ndim(scale_factor) == 0 else scale_factor[number]
            outputs = math.floor(inputs * factor)
            step = inputs / outputs if recompute_scale_factor or mode == "area" else 1 / factor
        axes.append((axis, outputs, _resizing_taps(mode, inputs, outputs, step, bool(align_corners))))
    return axes


def _resizing_taps(mode: str, inputs: int, outputs: int, step: float, align_corners: bool) -> Callable[[int], Taps]:
    if mode == "nearest" and outputs in (inputs, 2 * inputs):
        step = inputs / outputs

    def nearest(i: int) -> Taps:
        # In single precision, as torch does it: rounding decides where a place falls upon an element.
        center = np.float32(0.5 if mode == "nearest-exact" else 0.0)
        return [(min(int((np.float32(i) + center) * np.float32(step)), inputs - 1), 1.0)]

    def area(i: int) -> Taps:
        part = Fraction(inputs, outputs)
        touched = range(math.floor(i * part), math.ceil((i + 1) * part))
        return [(k, 1 / len(touched)) for k in touched]

    def linear(i: int) -> Taps:
        if inputs == outputs:
            return [(i, 1.0)]
        place = i * (inputs - 1) / max(outputs - 1, 1) if align_corners else max(step * (i + 0.5) - 0.5, 0.0)
        left = math.floor(place)
        if left >= inputs - 1:
            return [(inputs - 1, 1.0)]
        return [(left, 1 - (place - left)), (left + 1, place - left)]

    return {"nearest": nearest, "nearest-exact": nearest, "area": area}.get(mode, linear)


def _padded_axes(axes: int, pad: Any) -> list[tuple[int, int, int]]:
    """(axis, before, after) for each pair."""
    return [(axes - 1 - pair, int(pad[2 * pair]), int(pad[2 * pair + 1])) for pair in range(len(pad) // 2)]


def _copies(mode: str, n: int, before: int, after: int) -> Callable[[int], Taps]:
    def taps(i: int) -> Taps:
        k = _source(mode, i - before, n, before, after)
        return [] if k is None else [(k, 1.0)]

    return taps


def _source(mode: str, k: int, n: int, before: int, after: int) -> int | None:
    """Which of n elements stands at place k, which may lie outside of them."""
    first, end = max(-before, 0), n - max(-after, 0)
    while mode == "circular" and not first <= k < end:
        k += end - first if k < first else first - end
    while mode == "reflect" and not 0 <= k < n:
        k = -k if k < 0 else 2 * (n - 1) - k
    if mode == "replicate":
        k = min(max(k, 0), n - 1)
    return k if 0 <= k < n else None
