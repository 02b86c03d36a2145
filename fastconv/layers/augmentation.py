"""Layers that prepare images: other units, and in training random changes that leave the labels as they are."""

# ruff: noqa: D102 - what an overriding method does stands in Layer.

from collections.abc import Sequence
from typing import Any, NamedTuple, Unpack

import numpy as np
from numpy.typing import NDArray

import fastconv.functional as F
from fastconv._numbers import finite
from fastconv.functional._axis_maps import AxisMap, apply_maps, axis_map
from fastconv.layers._arguments import integer, one_of
from fastconv.layers._images import ImageLayer
from fastconv.layers._random_layer import RandomLayer
from fastconv.layers.base import Array, Layer, LayerOptions, Shape

Factor = float | tuple[float, float]


class Rescaling(Layer):
    """Input in other units: ``y = x * scale + offset``.

    Parameters
    ----------
    scale, offset : float or sequence of float
        One number, or one for each entry of the last axis.
    **options
        ``name``, ``dtype`` and ``input_shape``, see `Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> Rescaling(1 / 128, offset=-1)(np.array([[0, 64, 192]], np.uint8))
    array([[-1. , -0.5,  0.5]], dtype=float32)
    """

    def __init__(
        self,
        scale: float | Sequence[float],
        offset: float | Sequence[float] = 0.0,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.scale = _numbers("Rescaling: scale", scale)
        self.offset = _numbers("Rescaling: offset", offset)

    def output_shape(self, input_shape: Shape) -> Shape:
        for name, numbers in (("scale", self.scale), ("offset", self.offset)):
            if isinstance(numbers, tuple) and (not input_shape or input_shape[-1] not in (None, len(numbers))):
                raise ValueError(
                    f"{self.name}: {name} must have a number for each entry of the last axis, got {len(numbers)} for "
                    f"shape {input_shape}"
                )
        return input_shape

    def _forward(self, x: Array, training: bool) -> tuple[Array, None]:
        self.output_shape(x.shape)
        y = x * np.asarray(self.scale, self.dtype)
        y += np.asarray(self.offset, self.dtype)
        return y, None

    def _backward(self, saved: None, grad_y: Array, needs_input: bool) -> Array | None:
        return grad_y * np.asarray(self.scale, self.dtype) if needs_input else None


class _RandomImages(ImageLayer, RandomLayer):
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


class RandomFlip(_RandomImages):
    """In training, turn images over: each one, and each way, with a probability of one half.

    Parameters
    ----------
    mode : {"horizontal_and_vertical", "horizontal", "vertical"}
        "horizontal" exchanges left and right, "vertical" top and bottom.
    seed : int, optional
        Makes the choices repeat exactly. Otherwise `fit` restarts the layer from its own seed.
    data_format : {"channels_last", "channels_first"}, optional
        By default channels last.
    **options
        ``name``, ``dtype`` and ``input_shape``, see `Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.tile(np.arange(3.0).reshape(1, 1, 3, 1), (4, 1, 1, 1))
    >>> RandomFlip("horizontal", seed=1)(x, training=True)[:, 0, :, 0]
    array([[2., 1., 0.],
           [2., 1., 0.],
           [0., 1., 2.],
           [2., 1., 0.]], dtype=float32)
    """

    def __init__(
        self,
        mode: str = "horizontal_and_vertical",
        seed: int | None = None,
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(seed, data_format, **options)
        self.mode = one_of("RandomFlip: mode", mode, "horizontal_and_vertical", "horizontal", "vertical")

    def _draw(self, images: int, sizes: tuple[int, ...]) -> list[AxisMap]:
        turned = self._random.random((2, images, 1)) < 0.5
        turned[0] &= "vertical" in self.mode
        turned[1] &= "horizontal" in self.mode
        return [
            self._taken(size, np.where(flips, np.arange(size)[::-1], np.arange(size)))
            for size, flips in zip(sizes, turned, strict=True)
        ]


class RandomCrop(_RandomImages):
    """In training, a window of each image at a place of its own.

    Without training, and for images smaller than the window, it is the largest window in the middle of the image that
    has the same aspect ratio, resized to `height` and `width` (bilinear), as Keras documents it. In training Keras cuts
    the images of a batch at the same place.

    Parameters
    ----------
    height, width : int
        Of the window.
    seed : int, optional
        Makes the places repeat exactly. Otherwise `fit` restarts the layer from its own seed.
    data_format : {"channels_last", "channels_first"}, optional
        By default channels last.
    **options
        ``name``, ``dtype`` and ``input_shape``, see `Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.tile(np.arange(6.0).reshape(1, 1, 6, 1), (3, 1, 1, 1))
    >>> layer = RandomCrop(1, 3, seed=1)
    >>> layer(x, training=True)[:, 0, :, 0]
    array([[1., 2., 3.],
           [2., 3., 4.],
           [3., 4., 5.]], dtype=float32)
    >>> layer(x[:1])[:, 0, :, 0]
    array([[1., 2., 3.]], dtype=float32)
    """

    def __init__(
        self,
        height: int,
        width: int,
        seed: int | None = None,
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(seed, data_format, **options)
        self.height = integer("RandomCrop: height", height)
        self.width = integer("RandomCrop: width", width)

    def output_shape(self, input_shape: Shape) -> Shape:
        batch, _, channels = self._split(input_shape)
        return self._join(batch, (self.height, self.width), channels)

    def _draw(self, images: int, sizes: tuple[int, ...]) -> list[AxisMap]:
        return [
            self._taken(size, self._random.integers(0, size - kept + 1, (images, 1)) + np.arange(kept))
            for size, kept in zip(sizes, (self.height, self.width), strict=True)
        ]

    def _forward(self, x: Array, training: bool) -> tuple[Array, Any]:
        height, width = self._sizes(x)
        if training and height >= self.height and width >= self.width:
            return super()._forward(x, training)
        window = F.pad(x, self._cropping(height, width))
        y = F.interpolate(window, (self.height, self.width), mode="bilinear", data_format=self.data_format)
        return y, _Resized(x, window)

    def _backward(self, saved: Any, grad_y: Array, needs_input: bool) -> Array | None:
        if not needs_input or not isinstance(saved, _Resized):
            return super()._backward(saved, grad_y, needs_input)
        grad_window = F.interpolate_backward(
            grad_y, saved.window, (self.height, self.width), mode="bilinear", data_format=self.data_format
        )
        return F.pad_backward(grad_window, saved.x, self._cropping(*self._sizes(saved.x)))

    def _cropping(self, height: int, width: int) -> tuple[int, ...]:
        """Return the argument of `fastconv.functional.pad` that leaves the largest window."""
        rows = max(1, min(height, int(width * self.height / self.width)))
        columns = max(1, min(width, int(height * self.width / self.height)))
        top, left = (height - rows) // 2, (width - columns) // 2
        cropping = -left, left + columns - width, -top, top + rows - height
        return (0, 0, *cropping) if self._channels_last else cropping


class _Resized(NamedTuple):
    x: Array
    window: Array


class RandomTranslation(_RandomImages):
    """In training, move each image by a random part of its height and width.

    Parameters
    ----------
    height_factor, width_factor : float or pair of float
        A number f stands for (-f, f). The image moves down and right by a part of its height and width that is
        uniformly distributed between the two, which are from -1 to 1; negative is up and left.
    fill_mode : {"reflect", "constant", "wrap", "nearest"}
        What comes in at the borders: the image mirrored there (d c b a | a b c d), `fill_value`, the image again
        (a b c d | a b c d), or its nearest pixel (a a a a | a b c d).
    interpolation : {"bilinear", "nearest"}
        How values between pixels are found.
    seed : int, optional
        Makes the distances repeat exactly. Otherwise `fit` restarts the layer from its own seed.
    fill_value : float
        For the fill mode "constant".
    data_format : {"channels_last", "channels_first"}, optional
        By default channels last.
    **options
        ``name``, ``dtype`` and ``input_shape``, see `Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.arange(1.0, 5.0).reshape(1, 1, 4, 1)
    >>> RandomTranslation(0.0, (0.25, 0.25), fill_mode="constant")(x, training=True)[0, :, :, 0]
    array([[0., 1., 2., 3.]], dtype=float32)
    """

    def __init__(
        self,
        height_factor: Factor,
        width_factor: Factor,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(seed, data_format, **options)
        self.height_factor = _factor("RandomTranslation: height_factor", height_factor)
        self.width_factor = _factor("RandomTranslation: width_factor", width_factor)
        self.fill_mode = one_of("RandomTranslation: fill_mode", fill_mode, "reflect", "constant", "wrap", "nearest")
        self.interpolation = one_of("RandomTranslation: interpolation", interpolation, "bilinear", "nearest")
        self.fill_value = finite("RandomTranslation: fill_value", fill_value)

    def _draw(self, images: int, sizes: tuple[int, ...]) -> list[AxisMap]:
        return [
            self._shifted(size, size * self._random.uniform(*factor, (images, 1)))
            for size, factor in zip(sizes, (self.height_factor, self.width_factor), strict=True)
        ]

    def _shifted(self, size: int, distance: Array) -> AxisMap:
        """Return the map that moves image i by ``distance[i, 0]`` elements of an axis."""
        place = np.arange(size) - distance
        if self.interpolation == "nearest":
            place = np.floor(place + 0.5)
        left = np.floor(place).astype(np.int64)
        weight = np.stack([1 - (place - left), place - left], axis=-1)
        index = _filled(self.fill_mode, np.stack([left, left + 1], axis=-1), size)
        return axis_map(size, np.where(weight == 0, -1, index), weight, self.dtype)

    def _forward(self, x: Array, training: bool) -> tuple[Array, Any]:
        y, maps = super()._forward(x, training)
        if maps is not None and self.fill_mode == "constant" and self.fill_value != 0:
            one_channel = np.ones_like(x[..., :1] if self._channels_last else x[:, :1], order="C")
            y += np.asarray(self.fill_value, self.dtype) * (1 - self._map(one_channel, maps))
        return y, maps


def _filled(fill_mode: str, index: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Return the elements that places outside of an axis stand for; for "constant" the places as they are."""
    if fill_mode == "reflect":
        index = index % (2 * size)
        index = np.minimum(index, 2 * size - 1 - index)
    elif fill_mode == "wrap":
        index = index % size
    elif fill_mode == "nearest":
        index = np.clip(index, 0, size - 1)
    return index


def _numbers(where: str, value: Any) -> float | tuple[float, ...]:
    if isinstance(value, Sequence | np.ndarray) and not isinstance(value, str) and np.ndim(value) == 1:
        return tuple(finite(where, entry) for entry in value)
    return finite(where, value)


def _factor(where: str, value: Any) -> tuple[float, float]:
    """Return the bounds (lower, upper) of a part of a size."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        bounds = tuple(finite(where, entry) for entry in value)
    else:
        bounds = -abs(finite(where, value)), abs(finite(where, value))
    if len(bounds) != 2 or not -1 <= min(bounds) <= max(bounds) <= 1:
        raise ValueError(f"{where} must be a number or a pair of numbers from -1 to 1, got {value!r}")
    return min(bounds), max(bounds)
