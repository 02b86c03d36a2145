"""What pooling does under its windows, wherever these lie."""

from itertools import product
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastconv.reference._windows import Array, Index, at


class Windows(NamedTuple):
    """What lies under the windows of each axis: ``inside[axis][i]`` are the input positions under window i."""

    inside: list[list[list[int]]]
    divisors: list[list[int]]
    """By what an average over window i is divided, axis by axis."""
    divisor_override: int | None = None

    @property
    def outputs(self) -> Index:
        return tuple(map(len, self.inside))

    def under(self, output: Index) -> list[Index]:
        """Input positions under the window of `output`, in the order in which one reads."""
        return list(product(*(positions[i] for positions, i in zip(self.inside, output, strict=True))))

    def divisor(self, output: Index) -> int:
        if self.divisor_override is not None:
            return self.divisor_override
        return prod(numbers[i] for numbers, i in zip(self.divisors, output, strict=True)) or 1


def maxima(x: Array, windows: Windows) -> tuple[Array, NDArray[np.int64]]:
    """Return the maximum under each window, and its position: -inf and -1 where nothing is under it."""
    y = np.full((len(x), *windows.outputs, x.shape[-1]), -np.inf)
    indices = np.full(y.shape, -1, dtype=np.int64)
    for output in np.ndindex(windows.outputs):
        inside = windows.under(output)
        if inside:
            values = np.stack([x[at(position)] for position in inside])
            last_nan = len(values) - 1 - np.isnan(values[::-1]).argmax(axis=0)
            chosen = np.where(np.isnan(values).any(axis=0), last_nan, values.argmax(axis=0))
            y[at(output)] = np.take_along_axis(values, chosen[np.newaxis], axis=0)[0]
            indices[at(output)] = np.array([flat(position, x.shape[1:-1]) for position in inside])[chosen]
    return y, indices


def flat(position: Index, sizes: tuple[int, ...]) -> int:
    """Position as one number: (u, v) is u * width + v."""
    number = 0
    for u, size in zip(position, sizes, strict=True):
        number = number * size + u
    return number


def max_gradient(gy: Array, x: Array, windows: Windows) -> Array:
    """Add all of a window's gradient to its first maximum."""
    _, indices = maxima(x, windows)
    gx = np.zeros(x.shape)
    every_window = tuple(range(1, gy.ndim - 1))
    for position in np.ndindex(x.shape[1:-1]):
        here = indices == flat(position, x.shape[1:-1])
        gx[at(position)] = np.where(here, gy, 0.0).sum(axis=every_window)
    return gx


def means(x: Array, windows: Windows) -> Array:
    """Return the sum under each window, divided by its divisor."""
    y = np.zeros((len(x), *windows.outputs, x.shape[-1]))
    for output in np.ndindex(windows.outputs):
        for position in windows.under(output):
            y[at(output)] += x[at(position)]
        y[at(output)] /= windows.divisor(output)
    return y


def mean_gradient(gy: Array, shape: tuple[int, ...], windows: Windows) -> Array:
    """Add the same share of a window's gradient to all that is under it."""
    gx = np.zeros(shape)
    for output in np.ndindex(windows.outputs):
        for position in windows.under(output):
            gx[at(position)] += gy[at(output)] / windows.divisor(output)
    return gx
