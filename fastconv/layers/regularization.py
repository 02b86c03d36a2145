"""Layers that act only in training, against overfitting."""

# ruff: noqa: D102 - what an overriding method does stands in Layer.

from collections.abc import Sequence
from typing import Unpack

import numpy as np

from fastconv._random import check_seed, fresh_seed, generator
from fastconv.layers._arguments import fraction
from fastconv.layers.base import Array, Layer, LayerOptions


class Dropout(Layer):
    """Set a random part of the input to 0 in training, and scale the rest so that the sum is kept on average.

    ``y = x * mask / (1 - rate)``, with each entry of the mask 0 with probability `rate` and else 1. Without training
    ``y = x``. (Srivastava et al. 2014, J. Mach. Learn. Res. 15.)

    Parameters
    ----------
    rate : float
        From 0 to 1.
    noise_shape : sequence of int or None, optional
        Shape of the mask, broadcast over the input; None stands for the input's own size on that axis.
    seed : int, optional
        Makes the masks repeat exactly. Otherwise `fit` restarts the layer from its own seed.
    **options
        ``name``, ``dtype`` and ``input_shape``, see `Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> y = Dropout(0.25, seed=0)(np.ones((2, 4)), training=True)
    >>> sorted(set((3 * y).round(4).ravel().tolist()))
    [0.0, 4.0]
    """

    def __init__(
        self,
        rate: float,
        noise_shape: Sequence[int | None] | None = None,
        seed: int | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.rate = fraction("Dropout: rate", rate)
        self.noise_shape = None if noise_shape is None else tuple(noise_shape)
        self.seed = None if seed is None else check_seed("Dropout", seed)
        self._random = generator(fresh_seed() if self.seed is None else self.seed)

    def reseed(self, *entropy: int) -> None:
        if self.seed is not None:
            entropy = (self.seed, *entropy[1:])
        self._random = generator(*entropy)

    def _forward(self, x: Array, training: bool) -> tuple[Array, Array | None]:
        if not training or self.rate == 0:
            return x, None
        if self.rate == 1:
            return np.zeros_like(x), np.zeros((), self.dtype)
        kept = self._random.random(self._mask_shape(x), np.float32) >= self.rate
        mask = kept * np.asarray(1 / (1 - self.rate), self.dtype)
        return x * mask, mask

    def _backward(self, saved: Array | None, grad_y: Array, needs_input: bool) -> Array | None:
        if not needs_input:
            return None
        return grad_y if saved is None else grad_y * saved

    def _mask_shape(self, x: Array) -> tuple[int, ...]:
        if self.noise_shape is None:
            return x.shape
        if len(self.noise_shape) != x.ndim:
            raise ValueError(f"Dropout: noise_shape must have {x.ndim} entries, got {self.noise_shape}")
        return tuple(size if entry is None else entry for size, entry in zip(x.shape, self.noise_shape, strict=True))
