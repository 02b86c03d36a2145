"""Pooling layers over one, two and three axes."""

# ruff: noqa: D102 - what an overriding method does stands in Layer.

from typing import Any, Unpack

import fastconv.functional as F
from fastconv.geometry import pool_geometry
from fastconv.layers._arguments import integers
from fastconv.layers._arguments import padding as check_padding
from fastconv.layers._images import ImageLayer
from fastconv.layers._windows import Window, sliding
from fastconv.layers.base import Array, LayerOptions, Shape

_MAXIMA: dict[int, tuple[Any, Any]] = {
    1: (F.max_pool1d, F.max_pool1d_backward),
    2: (F.max_pool2d, F.max_pool2d_backward),
    3: (F.max_pool3d, F.max_pool3d_backward),
}
_AVERAGES: dict[int, tuple[Any, Any]] = {
    1: (F.avg_pool1d, F.avg_pool1d_backward),
    2: (F.avg_pool2d, F.avg_pool2d_backward),
    3: (F.avg_pool3d, F.avg_pool3d_backward),
}


class Pooling(ImageLayer):
    """A window that slides over each channel: what the layers of this file have in common."""

    def __init__(
        self,
        pool_size: int | tuple[int, ...] = 2,
        strides: int | tuple[int, ...] | None = None,
        padding: str = "valid",
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(data_format, **options)
        layer = type(self).__name__
        self.pool_size = integers(f"{layer}: pool_size", pool_size, self.spatial)
        self.strides = self.pool_size if strides is None else integers(f"{layer}: strides", strides, self.spatial)
        self.padding = check_padding(layer, padding)

    def output_shape(self, input_shape: Shape) -> Shape:
        return self._window_output_shape(
            input_shape,
            lambda shape: pool_geometry(
                self.name,
                shape,
                self.pool_size,
                self.strides,
                self.padding,
                axes=self.spatial,
                channels_last=self._channels_last,
            )[1],
        )

    def window(self, input_shape: Shape) -> Window | None:
        sizes = self._split(input_shape)[1]
        return sliding(sizes, self.pool_size, self.strides, (1,) * self.spatial, self.padding)

    def _arguments(self) -> dict[str, Any]:
        return {
            "kernel_size": self.pool_size,
            "stride": self.strides,
            "padding": self.padding,
            "data_format": self.data_format,
        }


class _MaxPooling(Pooling):
    takes_maxima = True

    def _forward(self, x: Array, training: bool) -> tuple[Array, tuple[Array, Array | None]]:
        pool, _ = _MAXIMA[self.spatial]
        # Indices from the forward pass save the backward pass a search, and take twice the memory of the results. Both
        # passes, one thread, channels first: 3x3 with stride 2 on 64x32x28x28 3.1 ms with them, 3.5 without (AVX2 3.3
        # and 6.1), but 2x2, which has kernels of its own, 2.6 and 1.3.
        if training and self._keeps_indices():
            y, indices = pool(x, **self._arguments(), return_indices=True)
            return y, (x, indices)
        return pool(x, **self._arguments()), (x, None)

    def _keeps_indices(self) -> bool:
        side_by_side = self.padding == "valid" and self.pool_size == self.strides == (2, 2)
        return not self._channels_last and not side_by_side

    def _backward(self, saved: tuple[Array, Array | None], grad_y: Array, needs_input: bool) -> Array | None:
        if not needs_input:
            return None
        _, backward = _MAXIMA[self.spatial]
        x, indices = saved
        grad_x: Array = backward(grad_y, x, **self._arguments(), indices=indices)
        return grad_x


class MaxPooling1D(_MaxPooling):
    """The largest value of each window of a signal, see `fastconv.functional.max_pool1d`.

    The arguments are those of `MaxPooling2D`, with one number where it has a pair.

    Examples
    --------
    >>> import numpy as np
    >>> MaxPooling1D(2)(np.array([3.0, 1.0, 4.0, 1.0]).reshape(1, 4, 1)).ravel()
    array([3., 4.], dtype=float32)
    """

    spatial = 1


class MaxPooling2D(_MaxPooling):
    """The largest value of each window, see `fastconv.functional.max_pool2d`.

    Parameters
    ----------
    pool_size : int or pair of int
    strides : int or pair of int, optional
        By default `pool_size`.
    padding : {"valid", "same"}
        Padding never is the maximum.
    data_format : {"channels_last", "channels_first"}, optional
        By default channels last.
    **options
        ``name``, ``dtype`` and ``input_shape``, see `Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> MaxPooling2D(2)(np.arange(16.0).reshape(1, 4, 4, 1))[0, :, :, 0]
    array([[ 5.,  7.],
           [13., 15.]], dtype=float32)
    """


class MaxPooling3D(_MaxPooling):
    """The largest value of each window of a volume, see `fastconv.functional.max_pool3d`.

    The arguments are those of `MaxPooling2D`, with (depth, height, width) where it has a pair.

    Examples
    --------
    >>> import numpy as np
    >>> MaxPooling3D((1, 2, 2))(np.arange(8.0).reshape(1, 2, 2, 2, 1)).ravel()
    array([3., 7.], dtype=float32)
    """

    spatial = 3


class _AveragePooling(Pooling):
    def _arguments(self) -> dict[str, Any]:
        return {**super()._arguments(), "count_include_pad": False}

    def _forward(self, x: Array, training: bool) -> tuple[Array, Array]:
        pool, _ = _AVERAGES[self.spatial]
        return pool(x, **self._arguments()), x

    def _backward(self, saved: Array, grad_y: Array, needs_input: bool) -> Array | None:
        _, backward = _AVERAGES[self.spatial]
        return backward(grad_y, saved, **self._arguments()) if needs_input else None


class AveragePooling1D(_AveragePooling):
    """The mean of each window of a signal, see `fastconv.functional.avg_pool1d` and `AveragePooling2D`.

    Examples
    --------
    >>> import numpy as np
    >>> AveragePooling1D(2)(np.array([3.0, 1.0, 4.0, 1.0]).reshape(1, 4, 1)).ravel()
    array([2. , 2.5], dtype=float32)
    """

    spatial = 1


class AveragePooling2D(_AveragePooling):
    """The mean of each window, see `fastconv.functional.avg_pool2d`.

    With ``padding="same"`` a window at the border is divided by the number of values that are inside, as in Keras.
    The arguments are those of `MaxPooling2D`.

    Examples
    --------
    >>> import numpy as np
    >>> AveragePooling2D(2)(np.arange(16.0).reshape(1, 4, 4, 1))[0, :, :, 0]
    array([[ 2.5,  4.5],
           [10.5, 12.5]], dtype=float32)
    """


class AveragePooling3D(_AveragePooling):
    """The mean of each window of a volume, see `fastconv.functional.avg_pool3d` and `AveragePooling2D`.

    Examples
    --------
    >>> import numpy as np
    >>> AveragePooling3D(2)(np.arange(8.0).reshape(1, 2, 2, 2, 1)).ravel()
    array([3.5], dtype=float32)
    """

    spatial = 3
