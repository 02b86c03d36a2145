"""Layers that prepare images: other units, and in training random changes that leave the labels as they are."""

# ruff: noqa: D102 - what an overriding method does stands in Layer.

from collections.abc import Sequence
from typing import Any, NamedTuple, Unpack

import numpy as np

import fastconv.functional as F
from fastconv._numbers import finite
from fastconv.functional._axis_maps import AxisMap
from fastconv.layers._arguments import integer, one_of
from fastconv.layers._images import ImageLayer
from fastconv.layers._random_layer import RandomImages
from fastconv.layers.base import Array, Layer, LayerOptions, Shape


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


class RandomFlip(RandomImages):
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


class RandomCrop(RandomImages, _Resizes):
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


def _numbers(where: str, value: Any) -> float | tuple[float, ...]:
    if isinstance(value, Sequence | np.ndarray) and not isinstance(value, str) and np.ndim(value) == 1:
        return tuple(finite(where, entry) for entry in value)
    return finite(where, value)
