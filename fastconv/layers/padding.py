"""Layers that put zeros around images, signals and volumes, or cut off what is at their borders."""

from collections.abc import Iterable
from typing import Any, Unpack

import fastconv.functional as F
from fastconv.layers._arguments import Pair, pair
from fastconv.layers._images import ImageLayer
from fastconv.layers._windows import Window, shifted
from fastconv.layers.base import Array, LayerOptions, Shape

Sides = tuple[Pair, ...]


class _Borders(ImageLayer):
    """More or fewer elements on both sides of each spatial axis."""

    sides: Sides
    """(before, after) on each axis; negative where elements are cut off."""

    def output_shape(self, input_shape: Shape) -> Shape:
        batch, sizes, channels = self._split(input_shape)
        outputs = tuple(
            None if size is None else size + before + after
            for size, (before, after) in zip(sizes, self.sides, strict=True)
        )
        if any(size is not None and size < 1 for size in outputs):
            raise ValueError(f"{self.name}: output must have positive sizes, got {outputs} for input {input_shape}")
        return self._join(batch, outputs, channels)

    def window(self, input_shape: Shape) -> Window:
        return shifted([before for before, _ in self.sides])

    def _forward(self, x: Array, training: bool) -> tuple[Array, None]:
        self.output_shape(x.shape)
        return F.pad(x, self._pad(1)), None

    def _backward(self, saved: None, grad_y: Array, needs_input: bool) -> Array | None:
        return F.pad(grad_y, self._pad(-1)) if needs_input else None

    def _pad(self, sign: int) -> list[int]:
        """Return the argument of `fastconv.functional.pad`, whose pairs begin with the last axis."""
        sides = (*self.sides, (0, 0)) if self._channels_last else self.sides
        return [sign * side for sides_of_axis in reversed(sides) for side in sides_of_axis]


class ZeroPadding1D(_Borders):
    """Zeros before and after each signal.

    Parameters
    ----------
    padding : int or pair of int
        For both sides, or (left, right).
    data_format : {"channels_last", "channels_first"}, optional
        By default channels last.
    **options
        ``name``, ``dtype`` and ``input_shape``, see `Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> ZeroPadding1D((0, 2))(np.ones((1, 3, 1)))[0, :, 0]
    array([1., 1., 1., 0., 0.], dtype=float32)
    """

    spatial = 1

    def __init__(
        self, padding: int | Pair = 1, data_format: str | None = None, **options: Unpack[LayerOptions]
    ) -> None:
        super().__init__(data_format, **options)
        self.sides = _sides("ZeroPadding1D: padding", padding, 1)
        self.padding = self.sides[0]


class ZeroPadding2D(_Borders):
    """Zeros around each image.

    Parameters
    ----------
    padding : int, pair of int, or pair of pairs of int
        For all sides, for (height, width), or ((top, bottom), (left, right)).
    data_format : {"channels_last", "channels_first"}, optional
        By default channels last.
    **options
        ``name``, ``dtype`` and ``input_shape``, see `Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> ZeroPadding2D(((0, 1), (2, 0)))(np.zeros((2, 4, 4, 3))).shape
    (2, 5, 6, 3)
    """

    def __init__(
        self,
        padding: int | tuple[int | Pair, int | Pair] = (1, 1),
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(data_format, **options)
        self.sides = _sides("ZeroPadding2D: padding", padding, 2)
        self.padding = self.sides


class ZeroPadding3D(_Borders):
    """Zeros around each volume.

    Parameters
    ----------
    padding : int, three int, or three pairs of int
        For all sides, for (depth, height, width), or (before, after) for each of them.
    data_format : {"channels_last", "channels_first"}, optional
        By default channels last.
    **options
        ``name``, ``dtype`` and ``input_shape``, see `Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> ZeroPadding3D((0, 1, 2))(np.zeros((2, 4, 4, 4, 3))).shape
    (2, 4, 6, 8, 3)
    """

    spatial = 3

    def __init__(
        self,
        padding: int | tuple[int | Pair, int | Pair, int | Pair] = ((1, 1), (1, 1), (1, 1)),
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(data_format, **options)
        self.sides = _sides("ZeroPadding3D: padding", padding, 3)
        self.padding = self.sides


class Cropping1D(_Borders):
    """Each signal without its first and last elements.

    Parameters
    ----------
    cropping : int or pair of int
        How many on both sides, or (left, right).
    data_format : {"channels_last", "channels_first"}, optional
        By default channels last.
    **options
        ``name``, ``dtype`` and ``input_shape``, see `Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> Cropping1D((1, 2))(np.arange(6.0).reshape(1, 6, 1))[0, :, 0]
    array([1., 2., 3.], dtype=float32)
    """

    spatial = 1

    def __init__(
        self, cropping: int | Pair = (1, 1), data_format: str | None = None, **options: Unpack[LayerOptions]
    ) -> None:
        super().__init__(data_format, **options)
        cut = _sides("Cropping1D: cropping", cropping, 1)
        self.cropping = cut[0]
        self.sides = _negative(cut)


class Cropping2D(_Borders):
    """Each image without some rows and columns at its borders.

    Parameters
    ----------
    cropping : int, pair of int, or pair of pairs of int
        For all sides, for (height, width), or ((top, bottom), (left, right)).
    data_format : {"channels_last", "channels_first"}, optional
        By default channels last.
    **options
        ``name``, ``dtype`` and ``input_shape``, see `Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> Cropping2D(((2, 1), (4, 4)))(np.zeros((2, 28, 28, 3))).shape
    (2, 25, 20, 3)
    """

    def __init__(
        self,
        cropping: int | tuple[int | Pair, int | Pair] = ((0, 0), (0, 0)),
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(data_format, **options)
        cut = _sides("Cropping2D: cropping", cropping, 2)
        self.cropping = cut
        self.sides = _negative(cut)


class Cropping3D(_Borders):
    """Each volume without some slices, rows and columns at its borders.

    Parameters
    ----------
    cropping : int, three int, or three pairs of int
        For all sides, for (depth, height, width), or (before, after) for each of them.
    data_format : {"channels_last", "channels_first"}, optional
        By default channels last.
    **options
        ``name``, ``dtype`` and ``input_shape``, see `Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> Cropping3D(2)(np.zeros((2, 28, 28, 10, 3))).shape
    (2, 24, 24, 6, 3)
    """

    spatial = 3

    def __init__(
        self,
        cropping: int | tuple[int | Pair, int | Pair, int | Pair] = ((1, 1), (1, 1), (1, 1)),
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(data_format, **options)
        cut = _sides("Cropping3D: cropping", cropping, 3)
        self.cropping = cut
        self.sides = _negative(cut)


def _negative(sides: Sides) -> Sides:
    return tuple((-before, -after) for before, after in sides)


def _sides(where: str, value: Any, axes: int) -> Sides:
    """Return (before, after) for each axis; an integer stands for both."""
    if axes == 1:
        return (pair(where, value, 0),)
    entries = tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else (value,) * axes
    if len(entries) != axes:
        raise ValueError(f"{where} must be an integer, {axes} integers or {axes} pairs of integers, got {value!r}")
    return tuple(pair(where, entry, 0) for entry in entries)
