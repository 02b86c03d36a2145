"""Layers that move values and compute nothing."""

# ruff: noqa: D102 - what an overriding method does stands in Layer.

import math
from collections.abc import Sequence
from typing import Unpack

import numpy as np

from fastconv.layers._arguments import data_format as check_data_format
from fastconv.layers._arguments import entries, integer
from fastconv.layers._windows import Window, whole
from fastconv.layers.base import Array, Layer, LayerOptions, Shape


class Flatten(Layer):
    """One axis for everything but the batch.

    Parameters
    ----------
    data_format : {"channels_last", "channels_first"}, optional
        By default channels last. Channels-first input is flattened in channels-last order, as in Keras, so that the
        same weights follow in both formats.
    **options
        ``name``, ``dtype`` and ``input_shape``, see `Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> Flatten()(np.zeros((2, 4, 4, 3))).shape
    (2, 48)
    """

    def __init__(self, data_format: str | None = None, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.data_format = check_data_format("Flatten", data_format)

    def output_shape(self, input_shape: Shape) -> Shape:
        if not input_shape:
            raise ValueError(f"{self.name}: input must have a batch axis, got shape ()")
        return (input_shape[0], _product(input_shape[1:]))

    def window(self, input_shape: Shape) -> Window | None:
        """Return the whole input, which the outputs see together: what follows sees all of them."""
        return whole(input_shape[1:-1] if self.data_format == "channels_last" else input_shape[2:])

    def _forward(self, x: Array, training: bool) -> tuple[Array, tuple[int, ...]]:
        moved = self._channels_last(x)
        return moved.reshape(len(x), math.prod(x.shape[1:])), moved.shape

    def _backward(self, saved: tuple[int, ...], grad_y: Array, needs_input: bool) -> Array | None:
        if not needs_input:
            return None
        grad_x = grad_y.reshape(saved)
        return np.moveaxis(grad_x, -1, 1) if self._moves(grad_x) else grad_x

    def _channels_last(self, x: Array) -> Array:
        return np.moveaxis(x, 1, -1) if self._moves(x) else x

    def _moves(self, x: Array) -> bool:
        return self.data_format == "channels_first" and x.ndim > 2


class Reshape(Layer):
    """Another shape for each input, in C order.

    Parameters
    ----------
    target_shape : sequence of int
        Without the batch axis; one entry may be -1, which stands for what is left.
    **options
        ``name``, ``dtype`` and ``input_shape``, see `Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> Reshape((2, -1))(np.zeros((5, 6))).shape
    (5, 2, 3)
    """

    def __init__(self, target_shape: Sequence[int], **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        where = "Reshape: target_shape"
        self.target_shape = tuple(integer(where, size, -1) for size in entries(where, target_shape))
        if self.target_shape.count(-1) > 1:
            raise ValueError(f"Reshape: target_shape must have at most one -1, got {self.target_shape}")

    def output_shape(self, input_shape: Shape) -> Shape:
        size = _product(input_shape[1:])
        if size is None:
            return (input_shape[0], *(None if entry == -1 else entry for entry in self.target_shape))
        return (input_shape[0], *self._shape_for(size))

    def _shape_for(self, size: int) -> tuple[int, ...]:
        """Return the target shape for inputs of `size` values."""
        known = math.prod(entry for entry in self.target_shape if entry != -1)
        fits = known > 0 and size % known == 0 if -1 in self.target_shape else size == known
        if not fits:
            raise ValueError(f"{self.name}: target_shape must hold the input's {size} values, got {self.target_shape}")
        return tuple(size // known if entry == -1 else entry for entry in self.target_shape)

    def _forward(self, x: Array, training: bool) -> tuple[Array, tuple[int, ...]]:
        return x.reshape(len(x), *self._shape_for(math.prod(x.shape[1:]))), x.shape

    def _backward(self, saved: tuple[int, ...], grad_y: Array, needs_input: bool) -> Array | None:
        return grad_y.reshape(saved) if needs_input else None


class Permute(Layer):
    """The axes of each input in another order.

    Parameters
    ----------
    dims : sequence of int
        Which axis comes first, second and so on, counted from 1: the batch axis, which stays in front, is 0.
    **options
        ``name``, ``dtype`` and ``input_shape``, see `Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> Permute((2, 3, 1))(np.zeros((10, 3, 32, 40))).shape
    (10, 32, 40, 3)
    """

    def __init__(self, dims: Sequence[int], **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.dims = tuple(integer("Permute: dims", axis) for axis in entries("Permute: dims", dims))
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise ValueError(f"Permute: dims must be an order of 1 to {len(self.dims)}, got {self.dims}")

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) != len(self.dims) + 1:
            raise ValueError(f"{self.name}: input must have {len(self.dims) + 1} axes, got shape {input_shape}")
        return (input_shape[0], *(input_shape[axis] for axis in self.dims))

    def window(self, input_shape: Shape) -> Window | None:
        return super().window(input_shape) if self.dims == tuple(sorted(self.dims)) else None

    def _forward(self, x: Array, training: bool) -> tuple[Array, None]:
        self.output_shape(x.shape)
        return np.ascontiguousarray(x.transpose(0, *self.dims)), None

    def _backward(self, saved: None, grad_y: Array, needs_input: bool) -> Array | None:
        return np.ascontiguousarray(grad_y.transpose(np.argsort((0, *self.dims)))) if needs_input else None


def _product(sizes: Shape) -> int | None:
    return None if None in sizes else math.prod(n for n in sizes if n is not None)
