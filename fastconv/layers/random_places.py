"""Layers that in training show images from elsewhere: moved, larger or smaller, turned."""

from typing import Any, NamedTuple, Unpack

import numpy as np
from numpy.typing import NDArray

from fastconv._numbers import finite
from fastconv.functional._axis_maps import AxisMap, axis_map
from fastconv.layers._arguments import one_of
from fastconv.layers._random_layer import Factor, RandomImages, factor_bounds
from fastconv.layers.base import Array, LayerOptions


class _RandomPlaces(RandomImages):
    """In training, pixels seen at other places, which may lie between pixels or beyond the borders."""

    def __init__(
        self,
        fill_mode: str,
        interpolation: str,
        seed: int | None,
        fill_value: float,
        data_format: str | None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(seed, data_format, **options)
        cls = type(self).__name__
        self.fill_mode = one_of(f"{cls}: fill_mode", fill_mode, "reflect", "constant", "wrap", "nearest")
        self.interpolation = one_of(f"{cls}: interpolation", interpolation, "bilinear", "nearest")
        self.fill_value = finite(f"{cls}: fill_value", fill_value)

    def _neighbours(self, place: Array) -> tuple[NDArray[np.int64], Array]:
        """Return the pixels below and above places on an axis, in a new last axis, and their weights."""
        if self.interpolation == "nearest":
            place = np.floor(place + 0.5)
        below = np.floor(place).astype(np.int64)
        return np.stack([below, below + 1], axis=-1), np.stack([1 - (place - below), place - below], axis=-1)

    def _seen(self, size: int, place: Array) -> AxisMap:
        """Return the map whose output o of image i is what lies at ``place[i, o]`` of an axis."""
        neighbours, weight = self._neighbours(place)
        index = _filled(self.fill_mode, neighbours, size)
        return axis_map(size, np.where(weight == 0, -1, index), weight, self.dtype)

    def _forward(self, x: Array, training: bool) -> tuple[Array, Any]:
        y, maps = super()._forward(x, training)
        if maps is not None and self.fill_mode == "constant" and self.fill_value != 0:
            one_channel = np.ones_like(x[..., :1] if self._channels_last else x[:, :1], order="C")
            y += np.asarray(self.fill_value, self.dtype) * (1 - self._map(one_channel, maps))
        return y, maps


class RandomTranslation(_RandomPlaces):
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
        super().__init__(fill_mode, interpolation, seed, fill_value, data_format, **options)
        self.height_factor = factor_bounds("RandomTranslation: height_factor", height_factor)
        self.width_factor = factor_bounds("RandomTranslation: width_factor", width_factor)

    def _draw(self, images: int, sizes: tuple[int, ...]) -> list[AxisMap]:
        return [
            self._seen(size, np.arange(size) - size * self._random.uniform(*factor, (images, 1)))
            for size, factor in zip(sizes, (self.height_factor, self.width_factor), strict=True)
        ]


class RandomZoom(_RandomPlaces):
    """In training, make what each image shows larger or smaller by a random factor, about its middle.

    Parameters
    ----------
    height_factor : float or pair of float
        A number f stands for (-f, f). ``1 + u``, where u is uniformly distributed between the two, which are greater
        than -1 and at most 1, is how many times as much of the height is seen: positive numbers make things smaller.
    width_factor : float or pair of float, optional
        As `height_factor`, drawn by itself; by default things keep their aspect ratio.
    fill_mode : {"reflect", "constant", "wrap", "nearest"}
        What is seen beyond the borders: the image mirrored there (d c b a | a b c d), `fill_value`, the image again
        (a b c d | a b c d), or its nearest pixel (a a a a | a b c d).
    interpolation : {"bilinear", "nearest"}
        How values between pixels are found.
    seed : int, optional
        Makes the factors repeat exactly. Otherwise `fit` restarts the layer from its own seed.
    fill_value : float
        For the fill mode "constant".
    data_format : {"channels_last", "channels_first"}, optional
        By default channels last.
    **options
        ``name``, ``dtype`` and ``input_shape``, see `Layer`.

    References
    ----------
    ``keras.layers.RandomZoom``.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([0.0, 1, 5, 1, 0]).reshape(1, 1, 5, 1)
    >>> RandomZoom(0.0, (1.0, 1.0), fill_mode="constant")(x, training=True)[0, :, :, 0]
    array([[0., 0., 5., 0., 0.]], dtype=float32)
    """

    def __init__(
        self,
        height_factor: Factor,
        width_factor: Factor | None = None,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(fill_mode, interpolation, seed, fill_value, data_format, **options)
        self.height_factor = _zoom("RandomZoom: height_factor", height_factor)
        self.width_factor = None if width_factor is None else _zoom("RandomZoom: width_factor", width_factor)

    def _draw(self, images: int, sizes: tuple[int, ...]) -> list[AxisMap]:
        height = 1 + self._random.uniform(*self.height_factor, (images, 1))
        width = height if self.width_factor is None else 1 + self._random.uniform(*self.width_factor, (images, 1))
        middles = [(size - 1) / 2 for size in sizes]
        return [
            self._seen(size, middle + zoom * (np.arange(size) - middle))
            for size, middle, zoom in zip(sizes, middles, (height, width), strict=True)
        ]


class _Taps(NamedTuple):
    """For each image and output pixel, the pixels that it is a sum of, by their numbers, and their weights."""

    places: NDArray[np.int64]
    weight: Array


class RandomRotation(_RandomPlaces):
    """In training, turn each image by a random angle about its middle.

    Parameters
    ----------
    factor : float or pair of float
        A number f stands for (-f, f). The angle, as a part of a full turn and counterclockwise, is uniformly
        distributed between the two, which are from -1 to 1: 0.1 turns by up to 36 degrees either way.
    fill_mode : {"reflect", "constant", "wrap", "nearest"}
        What is seen beyond the borders: the image mirrored there (d c b a | a b c d), `fill_value`, the image again
        (a b c d | a b c d), or its nearest pixel (a a a a | a b c d).
    interpolation : {"bilinear", "nearest"}
        How values between pixels are found.
    seed : int, optional
        Makes the angles repeat exactly. Otherwise `fit` restarts the layer from its own seed.
    fill_value : float
        For the fill mode "constant".
    data_format : {"channels_last", "channels_first"}, optional
        By default channels last.
    **options
        ``name``, ``dtype`` and ``input_shape``, see `Layer`.

    Notes
    -----
    Other than rows and columns, which a translation and a zoom map one after the other, each pixel is a sum of four of
    its own: it takes some ten times as long.

    References
    ----------
    ``keras.layers.RandomRotation``.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.arange(4.0).reshape(1, 2, 2, 1)
    >>> RandomRotation((0.25, 0.25))(x, training=True)[0, :, :, 0].round(3)
    array([[1., 3.],
           [0., 2.]], dtype=float32)
    """

    def __init__(
        self,
        factor: Factor,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(fill_mode, interpolation, seed, fill_value, data_format, **options)
        self.factor = factor_bounds("RandomRotation: factor", factor)

    def _draw(self, images: int, sizes: tuple[int, ...]) -> Any:
        height, width = sizes
        angle = 2 * np.pi * self._random.uniform(*self.factor, (images, 1, 1))
        down, right = np.arange(height)[:, np.newaxis] - (height - 1) / 2, np.arange(width) - (width - 1) / 2
        # Rounded, so that a quarter turn finds pixels where they are, not beside them.
        rows = np.round((height - 1) / 2 + np.cos(angle) * down + np.sin(angle) * right, 9)
        columns = np.round((width - 1) / 2 - np.sin(angle) * down + np.cos(angle) * right, 9)
        (row, row_weight), (column, column_weight) = self._neighbours(rows), self._neighbours(columns)
        row, column = _filled(self.fill_mode, row, height), _filled(self.fill_mode, column, width)
        inside = ((row >= 0) & (row < height))[..., :, np.newaxis] & ((column >= 0) & (column < width))[
            ..., np.newaxis, :
        ]
        index = np.where(inside, row[..., :, np.newaxis] * width + column[..., np.newaxis, :], 0)
        weight = np.where(inside, row_weight[..., :, np.newaxis] * column_weight[..., np.newaxis, :], 0)
        shape = images, height * width, 4
        return _Taps(index.reshape(shape), weight.reshape(shape).astype(self.dtype))

    def _map(self, x: Array, maps: Any) -> Array:
        pixels = self._pixels(x)
        y = np.zeros(pixels.shape, pixels.dtype)
        for tap in range(4):
            index, weight = maps.places[..., tap, np.newaxis], maps.weight[..., tap, np.newaxis]
            # A pixel of weight 0 counts for nothing, infinities included.
            y += np.where(weight == 0, 0, np.take_along_axis(pixels, index, axis=1)) * weight
        return self._images(y, x.shape)

    def _backward(self, saved: Any, grad_y: Array, needs_input: bool) -> Array | None:
        if not needs_input:
            return None
        grads = self._pixels(grad_y)
        images, pixels, channels = grads.shape
        grad_x = np.zeros(grads.shape, grads.dtype)
        places = saved.places + pixels * np.arange(images)[:, np.newaxis, np.newaxis]
        for tap in range(4):
            part = grads * saved.weight[..., tap, np.newaxis]
            np.add.at(grad_x.reshape(-1, channels), places[..., tap].ravel(), part.reshape(-1, channels))
        return self._images(grad_x, grad_y.shape)

    def _pixels(self, x: Array) -> Array:
        """Return images as arrays of pixels, a row of channels each."""
        last = x if self._channels_last else np.moveaxis(x, 1, -1)
        return last.reshape(len(x), last.shape[1] * last.shape[2], last.shape[3])

    def _images(self, pixels: Array, shape: tuple[int, ...]) -> Array:
        """Return what `_pixels` was given."""
        if self._channels_last:
            return pixels.reshape(shape)
        return np.ascontiguousarray(np.moveaxis(pixels, -1, 1)).reshape(shape)


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


def _zoom(where: str, value: Any) -> tuple[float, float]:
    """Return the bounds of a zoom; at -1 nothing would be seen."""
    bounds = factor_bounds(where, value)
    if bounds[0] == -1:
        raise ValueError(f"{where} must be greater than -1, and a single number less than 1, got {value!r}")
    return bounds
