"""Layers that in training change the values of images: lighter or darker, of more contrast or less."""

from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np

from fastconv._numbers import finite
from fastconv.layers._images import ImageLayer
from fastconv.layers._random_layer import Factor, RandomLayer, factor_bounds
from fastconv.layers.base import Array, LayerOptions


class _RandomValues(ImageLayer, RandomLayer):
    """In training, change all values of each image by one random number, and keep them within a range."""

    def __init__(
        self,
        value_range: Sequence[float],
        seed: int | None,
        data_format: str | None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(data_format, **options)
        self._start(seed)
        self.value_range = _range(f"{type(self).__name__}: value_range", value_range)

    def _draw(self, images: int) -> Array:
        """Return a number for each image."""
        raise NotImplementedError(f"{type(self).__name__} must define _draw")

    def _changed(self, x: Array, drawn: Array) -> Array:
        """Return the values, before they are cut to the range."""
        raise NotImplementedError(f"{type(self).__name__} must define _changed")

    def _gradient(self, grad: Array, drawn: Array) -> Array:
        """Return the gradient of `_changed`."""
        raise NotImplementedError(f"{type(self).__name__} must define _gradient")

    def _forward(self, x: Array, training: bool) -> tuple[Array, Any]:
        if not training:
            return x, None
        drawn = self._draw(len(x)).astype(self.dtype).reshape(-1, 1, 1, 1)
        changed = self._changed(x, drawn)
        lowest, highest = self.value_range
        return np.clip(changed, lowest, highest), (drawn, (changed >= lowest) & (changed <= highest))

    def _backward(self, saved: Any, grad_y: Array, needs_input: bool) -> Array | None:
        if not needs_input:
            return None
        drawn, inside = saved
        return self._gradient(np.where(inside, grad_y, 0), drawn)


class RandomBrightness(_RandomValues):
    """In training, add one random number to all values of each image: ``clip(x + u * (high - low), low, high)``.

    Parameters
    ----------
    factor : float or pair of float
        u is uniformly distributed between the two numbers, which are from -1 to 1; f stands for (-f, f).
    value_range : pair of float
        The lowest and the highest value of an image, (0, 1) where they are scaled.
    seed : int, optional
        Makes the numbers repeat exactly. Otherwise `fit` restarts the layer from its own seed.
    data_format : {"channels_last", "channels_first"}, optional
        By default channels last.
    **options
        ``name``, ``dtype`` and ``input_shape``, see `Layer`.

    References
    ----------
    ``keras.layers.RandomBrightness``.

    Examples
    --------
    >>> import numpy as np
    >>> layer = RandomBrightness((0.5, 0.5), value_range=(0.0, 1.0))
    >>> layer(np.array([0.25, 0.75]).reshape(1, 1, 2, 1), training=True).ravel()
    array([0.75, 1.  ], dtype=float32)
    """

    def __init__(
        self,
        factor: Factor,
        value_range: Sequence[float] = (0, 255),
        seed: int | None = None,
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(value_range, seed, data_format, **options)
        self.factor = factor_bounds("RandomBrightness: factor", factor)

    def _draw(self, images: int) -> Array:
        lowest, highest = self.value_range
        return self._random.uniform(*self.factor, images) * (highest - lowest)

    def _changed(self, x: Array, drawn: Array) -> Array:
        return x + drawn

    def _gradient(self, grad: Array, drawn: Array) -> Array:
        return grad


class RandomContrast(_RandomValues):
    """In training, move the values of each image towards their mean or away: ``clip((x - m) * c + m, low, high)``,
    where m is the mean of the image's channel.

    Parameters
    ----------
    factor : float or pair of float
        c is uniformly distributed from ``1 - factor[0]`` to ``1 + factor[1]``; f, from 0 to 1, stands for (f, f).
    value_range : pair of float
        The lowest and the highest value of an image, (0, 1) where they are scaled.
    seed : int, optional
        Makes the numbers repeat exactly. Otherwise `fit` restarts the layer from its own seed.
    data_format : {"channels_last", "channels_first"}, optional
        By default channels last.
    **options
        ``name``, ``dtype`` and ``input_shape``, see `Layer`.

    References
    ----------
    ``keras.layers.RandomContrast``; of a single f, Keras 3.15 draws from 1 to ``1 + f``, other than it says.

    Examples
    --------
    >>> import numpy as np
    >>> layer = RandomContrast(1.0, value_range=(0.0, 1.0), seed=1)
    >>> layer(np.array([0.25, 0.75]).reshape(1, 1, 2, 1), training=True).ravel().round(2)
    array([0.24, 0.76], dtype=float32)
    """

    def __init__(
        self,
        factor: Factor,
        value_range: Sequence[float] = (0, 255),
        seed: int | None = None,
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(value_range, seed, data_format, **options)
        self.factor = _contrast("RandomContrast: factor", factor)

    def _draw(self, images: int) -> Array:
        return self._random.uniform(1 - self.factor[0], 1 + self.factor[1], images)

    def _changed(self, x: Array, drawn: Array) -> Array:
        mean = self._mean(x)
        changed: Array = (x - mean) * drawn + mean
        return changed

    def _gradient(self, grad: Array, drawn: Array) -> Array:
        gradient: Array = grad * drawn + self._mean(grad) * (1 - drawn)
        return gradient

    def _mean(self, x: Array) -> Array:
        """Return the mean of each image's channels, found in float64, so that formats agree."""
        mean: Array = x.mean(axis=self._spatial_axes, keepdims=True, dtype=np.float64).astype(x.dtype)
        return mean


def _contrast(where: str, value: Any) -> tuple[float, float]:
    """Return how far a contrast may fall below 1 and rise above."""
    pair = isinstance(value, Sequence) and not isinstance(value, str)
    numbers = tuple(finite(where, entry) for entry in (value if pair else (value, value)))
    if len(numbers) != 2 or not 0 <= min(numbers) <= max(numbers) <= 1:
        raise ValueError(f"{where} must be a number or a pair of numbers from 0 to 1, got {value!r}")
    return numbers[0], numbers[1]


def _range(where: str, value: Any) -> tuple[float, float]:
    """Return the bounds of values."""
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
        raise ValueError(f"{where} must be a pair of numbers, got {value!r}")
    bounds = sorted(finite(where, entry) for entry in value)
    if bounds[0] == bounds[1]:
        raise ValueError(f"{where} must be two numbers that differ, got {value!r}")
    return bounds[0], bounds[1]
