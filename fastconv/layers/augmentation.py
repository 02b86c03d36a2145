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


class _Resized(NamedTuple):
    x: Array
    window: Array


class _Resizes(ImageLayer):
    """Images, or the largest window in their middle of the new aspect ratio, with another height and width."""

    height: int
    width: int

    def output_shape(self, input_shape: Shape) -> Shape:
        batch, _, channels = self._split(input_shape)
        return self._join(batch, (self.height, self.width), channels)

    def _resize(self, x: Array, interpolation: str, crop: bool) -> tuple[Array, _Resized]:
        window = F.pad(x, self._cropping(x)) if crop else x
        y = F.interpolate(window, (self.height, self.width), mode=interpolation, data_format=self.data_format)
        return y, _Resized(x, window)

    def _resize_backward(self, saved: _Resized, grad_y: Array, interpolation: str, crop: bool) -> Array:
        grad_window = F.interpolate_backward(
            grad_y, saved.window, (self.height, self.width), mode=interpolation, data_format=self.data_format
        )
        return F.pad_backward(grad_window, saved.x, self._cropping(saved.x)) if crop else grad_window

    def _cropping(self, x: Array) -> tuple[int, ...]:
        """Return the argument of `fastconv.functional.pad` that leaves the largest window."""
        height, width = (x.shape[axis] for axis in self._spatial_axes)
        rows = max(1, min(height, int(width * self.height / self.width)))
        columns = max(1, min(width, int(height * self.width / self.height)))
        top, left = (height - rows) // 2, (width - columns) // 2
        cropping = -left, left + columns - width, -top, top + rows - height
        return (0, 0, *cropping) if self._channels_last else cropping


class Resizing(_Resizes):
    """Images in another size, in training and without.

    Parameters
    ----------
    height, width : int
        Of the result.
    interpolation : {"bilinear", "nearest"}
        As `fastconv.functional.interpolate` with "bilinear" and, as Keras has it, "nearest-exact"; smaller images are
        not smoothed before.
    crop_to_aspect_ratio : bool
        Whether to take the largest window in the middle that has the aspect ratio of the result, where things would be
        distorted otherwise.
    data_format : {"channels_last", "channels_first"}, optional
        By default channels last.
    **options
        ``name``, ``dtype`` and ``input_shape``, see `Layer`.

    References
    ----------
    ``keras.layers.Resizing``.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([[0.0, 4.0], [8.0, 12.0]]).reshape(1, 2, 2, 1)
    >>> Resizing(1, 4)(x)[0, 0, :, 0]
    array([4., 5., 7., 8.], dtype=float32)
    """

    def __init__(
        self,
        height: int,
        width: int,
        interpolation: str = "bilinear",
        crop_to_aspect_ratio: bool = False,
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(data_format, **options)
        self.height = integer("Resizing: height", height)
        self.width = integer("Resizing: width", width)
        self.interpolation = one_of("Resizing: interpolation", interpolation, "bilinear", "nearest")
        self.crop_to_aspect_ratio = bool(crop_to_aspect_ratio)

    def _forward(self, x: Array, training: bool) -> tuple[Array, _Resized]:
        return self._resize(x, self._mode(), self.crop_to_aspect_ratio)

    def _backward(self, saved: _Resized, grad_y: Array, needs_input: bool) -> Array | None:
        if not needs_input:
            return None
        return self._resize_backward(saved, grad_y, self._mode(), self.crop_to_aspect_ratio)

    def _mode(self) -> str:
        return "nearest-exact" if self.interpolation == "nearest" else self.interpolation


class RandomCrop(_RandomImages, _Resizes):
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

    def _draw(self, images: int, sizes: tuple[int, ...]) -> list[AxisMap]:
        return [
            self._taken(size, self._random.integers(0, size - kept + 1, (images, 1)) + np.arange(kept))
            for size, kept in zip(sizes, (self.height, self.width), strict=True)
        ]

    def _forward(self, x: Array, training: bool) -> tuple[Array, Any]:
        height, width = self._sizes(x)
        if training and height >= self.height and width >= self.width:
            return super()._forward(x, training)
        return self._resize(x, "bilinear", True)

    def _backward(self, saved: Any, grad_y: Array, needs_input: bool) -> Array | None:
        if not needs_input or not isinstance(saved, _Resized):
            return super()._backward(saved, grad_y, needs_input)
        return self._resize_backward(saved, grad_y, "bilinear", True)


class _RandomPlaces(_RandomImages):
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
        self.height_factor = _factor("RandomTranslation: height_factor", height_factor)
        self.width_factor = _factor("RandomTranslation: width_factor", width_factor)

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
        self.factor = _factor("RandomRotation: factor", factor)

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
        self.factor = _factor("RandomBrightness: factor", factor)

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


def _zoom(where: str, value: Any) -> tuple[float, float]:
    """Return the bounds of a zoom; at -1 nothing would be seen."""
    bounds = _factor(where, value)
    if bounds[0] == -1:
        raise ValueError(f"{where} must be greater than -1, and a single number less than 1, got {value!r}")
    return bounds


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
