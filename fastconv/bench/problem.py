"""Operands of a case, its result in float64, and by how much rounding may miss it."""

from copy import copy
from dataclasses import replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from fastconv.bench.cases import Case
from fastconv.testing import error_bound

Array = npt.NDArray[Any]

# The operands are drawn at random, so that roundings are independent and partial sums grow like a square root: the
# error stays below 3 eps times the sum of absolute products whatever the number of terms, where the bound for any
# operands grows with them and would let the loss of a whole product pass.
MOST_TERMS = 16


class Problem:
    """What every contestant gets and must return, channels last: x (n, h, w, c), w (kh, kw, c/groups, filters), gy.

    The expected result comes from NumPy's matrix product in float64, tap by tap, and shares no code with the core.
    """

    def __init__(self, case: Case) -> None:
        self.case = case
        geometry = case.geometry
        rng = np.random.default_rng(0)
        shapes = (case.shape, case.weight_shape, (geometry.batch, *geometry.output[1:], geometry.out_channels))
        self.x, self.w, self.gy = (rng.standard_normal(shape).astype(case.dtype) for shape in shapes)

    @cached_property
    def expected(self) -> Array:
        """The right result, in float64."""
        return by_taps(self.case, self.x, self.w, self.gy)

    @cached_property
    def _absolute_sum(self) -> Array:
        return by_taps(self.case, *(np.abs(operand) for operand in (self.x, self.w, self.gy)))

    def in_format(self, data_format: str) -> Self:
        """Return the same problem, operands shared, for fastconv's arrays in another format."""
        other = copy(self)
        other.case = replace(self.case, data_format=data_format)
        return other

    def error(self, result: Array) -> float:
        """Return the largest error, as a share of the largest element of the right result; NaN for another shape."""
        if result.shape != self.expected.shape:
            return float("nan")
        largest = float(np.abs(self.expected).max(initial=0)) or 1.0
        return float(np.abs(result - self.expected).max(initial=0)) / largest

    def is_right(self, result: Array, algorithm: str) -> bool:
        """Whether a result differs from the one in float64 by no more than this algorithm's rounding explains."""
        if result.shape != self.expected.shape:
            return False
        terms = min(self.case.terms, MOST_TERMS)
        bound = error_bound(self._absolute_sum, terms, self.case.dtype, algorithm)
        return bool(np.all(np.abs(result - self.expected) <= bound))


def by_taps(case: Case, x: Array, w: Array, gy: Array) -> Array:
    """Compute a case in float64: a matrix product for each kernel element and group."""
    x, w, gy = (operand.astype(np.float64) for operand in (x, w, gy))
    geometry = case.geometry
    _, oh, ow = geometry.output
    (_, top, left), (_, bottom, right) = geometry.pad_lo, geometry.pad_hi
    padded = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))
    kernels = w.reshape(*w.shape[:2], w.shape[2], geometry.groups, -1).swapaxes(2, 3)
    pixels = _by_group(gy, geometry.groups)
    y, gx, gw = np.zeros_like(pixels), np.zeros_like(padded), np.zeros_like(kernels)
    for u, v in np.ndindex(w.shape[:2]):
        first = u * geometry.dilation[1], v * geometry.dilation[2]
        rows, columns = (
            slice(start, start + (count - 1) * stride + 1, stride)
            for start, count, stride in zip(first, (oh, ow), geometry.stride[1:], strict=True)
        )
        if case.direction == "forward":
            y += _by_group(padded[:, rows, columns], geometry.groups) @ kernels[u, v]
        elif case.direction == "input":
            gx[:, rows, columns] += _together(pixels @ kernels[u, v].swapaxes(1, 2), (len(x), oh, ow))
        else:
            gw[u, v] = _by_group(padded[:, rows, columns], geometry.groups).swapaxes(1, 2) @ pixels
    if case.direction == "forward":
        return _together(y, gy.shape[:3])
    if case.direction == "input":
        return gx[:, top : top + x.shape[1], left : left + x.shape[2]]
    return gw.swapaxes(2, 3).reshape(w.shape)


def _by_group(images: Array, groups: int) -> Array:
    """(n, h, w, c) to (groups, pixels, c / groups)."""
    return images.reshape(-1, groups, images.shape[-1] // groups).swapaxes(0, 1)


def _together(rows: Array, pixels: tuple[int, ...]) -> Array:
    """Undo `_by_group` for images of (n, h, w) `pixels`."""
    return rows.swapaxes(0, 1).reshape(*pixels, -1)
