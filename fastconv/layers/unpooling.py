"""The layer that undoes max pooling."""

# ruff: noqa: D102 - what an overriding method does stands in Layer.

from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple, Self, Unpack

import fastconv.functional as F
from fastconv.graph import SymbolicTensor
from fastconv.layers._windows import Window
from fastconv.layers.base import Array, LayerOptions, Shape
from fastconv.layers.pooling import MaxPooling2D, Pooling


class _Saved(NamedTuple):
    x: Array
    indices: Array
    sizes: tuple[int, ...]


class MaxUnpooling2D(Pooling):
    """Puts values back to where the maxima of a max pooling were, with zero elsewhere, see
    `fastconv.functional.max_unpool2d`.

    It has two inputs: what is to be unpooled, and the images that were pooled. In these it finds the maxima again, so
    that indices need no way of their own through a network, and it takes over their size. It passes no gradient on to
    them, as a step in them moves no maximum. Keras has no such layer; SegNet and other autoencoders do.

    Parameters
    ----------
    pool_size, strides, padding, data_format
        Those of the pooling that is undone, see `MaxPooling2D`.
    pool : str, optional
        Name of that pooling layer. The layer may then be called with the first input alone, on symbolic tensors or in a
        `Sequential`: the second is the input of the nearest layer of that name which led to the first.
    **options
        ``name``, ``dtype`` and ``input_shape``, see `Layer`.

    Notes
    -----
    `MaxUnpooling2D.from_pooling` takes all arguments from the pooling layer.

    References
    ----------
    V. Badrinarayanan, A. Kendall and R. Cipolla, "SegNet: A Deep Convolutional Encoder-Decoder Architecture for Image
    Segmentation", arXiv:1511.00561, section 3.

    Examples
    --------
    >>> import numpy as np
    >>> images = np.array([[1.0, 2.0, 3.0, 4.0], [8.0, 7.0, 6.0, 5.0]]).reshape(1, 2, 4, 1)
    >>> MaxUnpooling2D(2)([np.array([10.0, 20.0]).reshape(1, 1, 2, 1), images])[0, :, :, 0]
    array([[ 0.,  0.,  0.,  0.],
           [10.,  0., 20.,  0.]], dtype=float32)

    In an autoencoder:

    >>> import fastconv as fc
    >>> from fastconv.layers import Conv2D
    >>> pool = MaxPooling2D(2, name="pool")
    >>> model = fc.Sequential([
    ...     Conv2D(8, 3, padding="same", activation="relu", input_shape=(28, 28, 1)),
    ...     pool,
    ...     Conv2D(8, 3, padding="same", activation="relu"),
    ...     MaxUnpooling2D.from_pooling(pool),
    ...     Conv2D(1, 3, padding="same", activation="sigmoid"),
    ... ])
    >>> model.predict(np.zeros((2, 28, 28, 1))).shape
    (2, 28, 28, 1)
    """

    several_inputs = True

    def __init__(
        self,
        pool_size: int | tuple[int, ...] = 2,
        strides: int | tuple[int, ...] | None = None,
        padding: str = "valid",
        data_format: str | None = None,
        pool: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(pool_size, strides, padding, data_format, **options)
        if pool is not None and not isinstance(pool, str):
            raise TypeError(f"MaxUnpooling2D: pool must be the name of a layer, got {pool!r}")
        self.pool = pool

    @classmethod
    def from_pooling(cls, pool: MaxPooling2D, **options: Unpack[LayerOptions]) -> Self:
        """Return the layer that undoes `pool`, which has to come before it in the same model."""
        if not isinstance(pool, MaxPooling2D):
            raise TypeError(f"MaxUnpooling2D.from_pooling: pool must be a MaxPooling2D layer, got {pool!r}")
        return cls(pool.pool_size, pool.strides, pool.padding, pool.data_format, pool.name, **options)

    def output_shape(self, input_shape: Any) -> Shape:
        if len(input_shape) != 2:
            raise ValueError(
                f"{self.name}: input must be a list of two, what is to be unpooled and the images that were pooled, "
                f"got {len(input_shape)}; or name the pooling layer with pool="
            )
        pooled, images = input_shape
        expected = super().output_shape(images)
        fits = len(pooled) == len(expected) and all(
            None in (size, other) or size == other for size, other in zip(pooled, expected, strict=True)
        )
        if not fits:
            raise ValueError(
                f"{self.name}: the first input must have shape {expected}, that of the pooled images, got {pooled}"
            )
        return (pooled[0] if images[0] is None else images[0], *images[1:])

    def window(self, input_shape: Any) -> Window | None:
        return None

    def sources(self, tensors: Sequence[SymbolicTensor]) -> list[SymbolicTensor]:
        found = list(tensors)
        if len(found) == 1 and self.pool is not None:
            found.append(self._pooled_images(found[0]))
        return found

    def _pooled_images(self, tensor: SymbolicTensor) -> SymbolicTensor:
        """Return the input of the nearest layer called `pool` among those that led to a tensor."""
        nodes, seen = deque([tensor.node]), {tensor.node}
        while nodes:
            node = nodes.popleft()
            if node.layer.name == self.pool and node.inputs:
                return node.inputs[0]
            before = [source.node for source in node.inputs if source.node not in seen]
            nodes.extend(before)
            seen.update(before)
        raise ValueError(f"{self.name}: pool must name a layer that leads to this one, got {self.pool!r}")

    def _check_axes(self, shape: Any) -> None:
        for of_one in shape:
            super()._check_axes(of_one)

    def _forward(self, x: Any, training: bool) -> tuple[Array, _Saved]:
        pooled, images = x
        _, indices = F.max_pool2d(images, **self._arguments(), return_indices=True)
        sizes = tuple(images.shape[axis] for axis in self._spatial_axes)
        y = F.max_unpool2d(pooled, indices, **self._arguments(), output_size=sizes)
        return y, _Saved(pooled, indices, sizes)

    def _backward(self, saved: _Saved, grad_y: Array, needs_input: bool) -> Any:
        if not needs_input:
            return None
        grad_x = F.max_unpool2d_backward(grad_y, saved.x, saved.indices, **self._arguments(), output_size=saved.sizes)
        return [grad_x, None]
