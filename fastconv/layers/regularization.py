"""Layers that act only in training, against overfitting."""

from collections.abc import Sequence
from typing import Any, ClassVar, Unpack

import numpy as np

import fastconv.functional as F
from fastconv._numbers import not_negative
from fastconv.functional.dropout import random_mask
from fastconv.geometry import AXIS_NAMES
from fastconv.layers._arguments import DataFormat, entries, fraction
from fastconv.layers._arguments import data_format as check_data_format
from fastconv.layers._random_layer import RandomLayer
from fastconv.layers.base import Array, LayerOptions


class _Dropout(RandomLayer):
    """One that sets parts of the input to 0."""

    def __init__(self, rate: float, seed: int | None, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self._start(seed)
        self.rate = fraction(f"{type(self).__name__}: rate", rate)

    def _mask_shape(self, x: Array) -> tuple[int, ...]:
        """Return the shape of the mask, which is broadcast over the input."""
        raise NotImplementedError(f"{type(self).__name__} must define _mask_shape")

    def _forward(self, x: Array, training: bool) -> tuple[Array, Array | None]:
        if not training or self.rate == 0:
            return x, None
        kept = random_mask(self._random, self._mask_shape(x), self.rate)
        return F.dropout(x, self.rate, mask=kept), kept

    def _backward(self, saved: Array | None, grad_y: Array, needs_input: bool) -> Array | None:
        if not needs_input:
            return None
        return grad_y if saved is None else F.dropout_backward(grad_y, None, self.rate, mask=saved)


class Dropout(_Dropout):
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
        super().__init__(rate, seed, **options)
        self.noise_shape = None if noise_shape is None else entries("Dropout: noise_shape", noise_shape)

    def _mask_shape(self, x: Array) -> tuple[int, ...]:
        if self.noise_shape is None:
            return x.shape
        if len(self.noise_shape) != x.ndim:
            raise ValueError(f"Dropout: noise_shape must have {x.ndim} entries, got {self.noise_shape}")
        return tuple(size if entry is None else entry for size, entry in zip(x.shape, self.noise_shape, strict=True))


class _SpatialDropout(_Dropout):
    """One that drops whole channels."""

    spatial: ClassVar[int]
    data_format: DataFormat

    def __init__(self, rate: float, seed: int | None = None, **options: Unpack[LayerOptions]) -> None:
        super().__init__(rate, seed, **options)
        self._arrange("channels_last")

    def _arrange(self, data_format: DataFormat) -> None:
        """Set the axes that an input must have."""
        self.data_format = data_format
        names = ", ".join(AXIS_NAMES[self.spatial])
        last = data_format == "channels_last"
        self.axes = f"(batch, {names}, channels)" if last else f"(batch, channels, {names})"

    def _mask_shape(self, x: Array) -> tuple[int, ...]:
        ones = (1,) * self.spatial
        return (len(x), *ones, x.shape[-1]) if self.data_format == "channels_last" else (*x.shape[:2], *ones)


class _ImageDropout(_SpatialDropout):
    """One whose channels may be first."""

    def __init__(
        self,
        rate: float,
        data_format: str | None = None,
        seed: int | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(rate, seed, **options)
        self._arrange(check_data_format(type(self).__name__, data_format))


class SpatialDropout1D(_SpatialDropout):
    """Dropout of whole channels of signals of shape (batch, width, channels), see `fastconv.functional.dropout1d`.

    Parameters
    ----------
    rate : float
        From 0 to 1.
    seed : int, optional
        As in `Dropout`.
    **options
        ``name``, ``dtype`` and ``input_shape``, see `Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> y = SpatialDropout1D(0.5, seed=0)(np.ones((1, 3, 50)), training=True)
    >>> sorted({tuple(channel.tolist()) for channel in y[0].T})
    [(0.0, 0.0, 0.0), (2.0, 2.0, 2.0)]
    """

    spatial = 1


class SpatialDropout2D(_ImageDropout):
    """Dropout of whole channels of images, see `fastconv.functional.dropout2d`.

    Parameters
    ----------
    rate : float
        From 0 to 1.
    data_format : {"channels_last", "channels_first"}, optional
        By default channels last.
    seed : int, optional
        As in `Dropout`.
    **options
        ``name``, ``dtype`` and ``input_shape``, see `Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> y = SpatialDropout2D(0.5, seed=0)(np.ones((1, 2, 2, 50)), training=True)
    >>> sorted({tuple(channel.ravel().tolist()) for channel in y[0].T})
    [(0.0, 0.0, 0.0, 0.0), (2.0, 2.0, 2.0, 2.0)]
    """

    spatial = 2


class SpatialDropout3D(_ImageDropout):
    """Dropout of whole channels of volumes, see `fastconv.functional.dropout3d`.

    The arguments are those of `SpatialDropout2D`.

    Examples
    --------
    >>> import numpy as np
    >>> SpatialDropout3D(1.0)(np.ones((1, 1, 1, 1, 2)), training=True).ravel()
    array([0., 0.], dtype=float32)
    """

    spatial = 3


class GaussianNoise(RandomLayer):
    """Add normally distributed random numbers of mean 0 in training.

    Parameters
    ----------
    stddev : float
        Their standard deviation.
    seed : int, optional
        As in `Dropout`.
    **options
        ``name``, ``dtype`` and ``input_shape``, see `Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> y = GaussianNoise(0.5, seed=0)(np.zeros(10000), training=True)
    >>> round(float(y.std()), 1)
    0.5
    """

    def __init__(self, stddev: float, seed: int | None = None, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self._start(seed)
        self.stddev = not_negative("GaussianNoise: stddev", stddev)

    def _forward(self, x: Array, training: bool) -> tuple[Array, None]:
        if not training or self.stddev == 0:
            return x, None
        noise = self._random.standard_normal(x.shape, np.float32 if self.dtype == np.float32 else np.float64)
        noise *= self.stddev
        return x + noise, None

    def _backward(self, saved: Any, grad_y: Array, needs_input: bool) -> Array | None:
        return grad_y if needs_input else None
