"""What layers that draw random numbers share: their seeds, and maps of images."""

from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from fastconv._numbers import finite
from fastconv._random import check_seed, fresh_seed, generator
from fastconv.functional._axis_maps import AxisMap, apply_maps, axis_map
from fastconv.layers._images import ImageLayer
from fastconv.layers.base import Array, Layer, LayerOptions

Factor = float | tuple[float, float]


class RandomLayer(Layer):
    """A layer that draws random numbers in training. Its constructor calls `_start`."""

    seed: int | None

    def _start(self, seed: int | None) -> None:
        """Take the seed of the constructor; without one the layer draws its own."""
        self.seed = None if seed is None else check_seed(type(self).__name__, seed)
        self._random = generator(fresh_seed() if self.seed is None else self.seed)

    def reseed(self, *entropy: int) -> None:
        if self.seed is not None:
            entropy = (self.seed, *entropy[1:])
        self._random = generator(*entropy)


class RandomImages(ImageLayer, RandomLayer):
    """In training, another linear map of rows and of columns for each image."""

    def __init__(
        self, seed: int | None = None, data_format: str | None = None, **options: Unpack[LayerOptions]
    ) -> None:
        super().__init__(data_format, **options)
        self._start(seed)

    def _draw(self, images: int, sizes: tuple[int, ...]) -> list[AxisMap]:
        """Return maps of rows and columns for so many images of (height, width)."""
        raise NotImplementedError(f"{type(self).__name__} must define _draw")

    def _forward(self, x: Array, training: bool) -> tuple[Array, Any]:
        if not training:
            return x, None
        maps = self._draw(len(x), self._sizes(x))
        return self._map(x, maps), maps

    def _backward(self, saved: Any, grad_y: Array, needs_input: bool) -> Array | None:
        return self._map(grad_y, [axis.transposed() for axis in saved]) if needs_input else None

    def _sizes(self, x: Array) -> tuple[int, ...]:
        """Return height and width."""
        return tuple(x.shape[axis] for axis in self._spatial_axes)

    def _taken(self, size: int, index: NDArray[np.int64]) -> AxisMap:
        """Return the map whose outputs are the elements ``index[image, output]`` of an axis."""
        return axis_map(size, index[..., np.newaxis], np.ones((*index.shape, 1)), self.dtype)

    def _map(self, x: Array, maps: Sequence[AxisMap]) -> Array:
        return apply_maps(np.ascontiguousarray(x), maps, channels_last=self._channels_last)


def factor_bounds(where: str, value: Any) -> tuple[float, float]:
    """Return the bounds (lower, upper) of a part of a size."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        bounds = tuple(finite(where, entry) for entry in value)
    else:
        bounds = -abs(finite(where, value)), abs(finite(where, value))
    if len(bounds) != 2 or not -1 <= min(bounds) <= max(bounds) <= 1:
        raise ValueError(f"{where} must be a number or a pair of numbers from -1 to 1, got {value!r}")
    return min(bounds), max(bounds)
