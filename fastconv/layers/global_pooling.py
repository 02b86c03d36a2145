"""Layers that make one number of each channel."""

from typing import Any, Unpack

import numpy as np

import fastconv.functional as F
from fastconv.layers._images import ImageLayer
from fastconv.layers._windows import Window, whole
from fastconv.layers.base import Array, LayerOptions, Shape

_MAXIMA: dict[int, tuple[Any, Any]] = {
    1: (F.adaptive_max_pool1d, F.adaptive_max_pool1d_backward),
    2: (F.adaptive_max_pool2d, F.adaptive_max_pool2d_backward),
    3: (F.adaptive_max_pool3d, F.adaptive_max_pool3d_backward),
}
_AVERAGES: dict[int, tuple[Any, Any]] = {
    1: (F.adaptive_avg_pool1d, F.adaptive_avg_pool1d_backward),
    2: (F.adaptive_avg_pool2d, F.adaptive_avg_pool2d_backward),
    3: (F.adaptive_avg_pool3d, F.adaptive_avg_pool3d_backward),
}


class _GlobalPooling(ImageLayer):
    """A window that is the whole image."""

    def __init__(self, data_format: str | None = None, keepdims: bool = False, **options: Unpack[LayerOptions]) -> None:
        super().__init__(data_format, **options)
        self.keepdims = bool(keepdims)

    def output_shape(self, input_shape: Shape) -> Shape:
        batch, _, channels = self._split(input_shape)
        return self._join(batch, (1,) * self.spatial, channels) if self.keepdims else (batch, channels)

    def window(self, input_shape: Shape) -> Window | None:
        return whole(self._split(input_shape)[1])

    def _drop_axes(self, pooled: Array) -> Array:
        return pooled if self.keepdims else pooled.squeeze(self._spatial_axes)

    def _restore_axes(self, grad_y: Array) -> Array:
        return grad_y if self.keepdims else np.expand_dims(grad_y, self._spatial_axes)


class _GlobalAveragePooling(_GlobalPooling):
    def _forward(self, x: Array, training: bool) -> tuple[Array, Array]:
        pool, _ = _AVERAGES[self.spatial]
        return self._drop_axes(pool(x, 1, data_format=self.data_format)), x

    def _backward(self, saved: Array, grad_y: Array, needs_input: bool) -> Array | None:
        if not needs_input:
            return None
        _, backward = _AVERAGES[self.spatial]
        grad_x: Array = backward(self._restore_axes(grad_y), saved, 1, data_format=self.data_format)
        return grad_x


class _GlobalMaxPooling(_GlobalPooling):
    takes_maxima = True

    def _forward(self, x: Array, training: bool) -> tuple[Array, tuple[Array, Array | None]]:
        pool, _ = _MAXIMA[self.spatial]
        if training:  # one index a channel takes no memory to speak of, and saves a search
            y, indices = pool(x, 1, return_indices=True, data_format=self.data_format)
            return self._drop_axes(y), (x, indices)
        return self._drop_axes(pool(x, 1, data_format=self.data_format)), (x, None)

    def _backward(self, saved: tuple[Array, Array | None], grad_y: Array, needs_input: bool) -> Array | None:
        if not needs_input:
            return None
        _, backward = _MAXIMA[self.spatial]
        x, indices = saved
        grad_x: Array = backward(self._restore_axes(grad_y), x, 1, indices=indices, data_format=self.data_format)
        return grad_x


class GlobalAveragePooling1D(_GlobalAveragePooling):
    """The mean of each channel of a signal. The arguments are those of `GlobalAveragePooling2D`.

    Examples
    --------
    >>> import numpy as np
    >>> GlobalAveragePooling1D()(np.arange(8.0).reshape(1, 4, 2))
    array([[3., 4.]], dtype=float32)
    """

    spatial = 1


class GlobalAveragePooling2D(_GlobalAveragePooling):
    """The mean of each channel.

    Parameters
    ----------
    data_format : {"channels_last", "channels_first"}, optional
        By default channels last.
    keepdims : bool
        Whether the spatial axes stay, with length 1.
    **options
        ``name``, ``dtype`` and ``input_shape``, see `Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> GlobalAveragePooling2D()(np.arange(8.0).reshape(1, 2, 2, 2))
    array([[3., 4.]], dtype=float32)
    """


class GlobalAveragePooling3D(_GlobalAveragePooling):
    """The mean of each channel of a volume. The arguments are those of `GlobalAveragePooling2D`.

    Examples
    --------
    >>> import numpy as np
    >>> GlobalAveragePooling3D()(np.arange(16.0).reshape(1, 2, 2, 2, 2))
    array([[7., 8.]], dtype=float32)
    """

    spatial = 3


class GlobalMaxPooling1D(_GlobalMaxPooling):
    """The largest value of each channel of a signal. The arguments are those of `GlobalAveragePooling2D`.

    Examples
    --------
    >>> import numpy as np
    >>> GlobalMaxPooling1D()(np.arange(8.0).reshape(1, 4, 2))
    array([[6., 7.]], dtype=float32)
    """

    spatial = 1


class GlobalMaxPooling2D(_GlobalMaxPooling):
    """The largest value of each channel. The arguments are those of `GlobalAveragePooling2D`.

    Examples
    --------
    >>> import numpy as np
    >>> GlobalMaxPooling2D()(np.arange(8.0).reshape(1, 2, 2, 2))
    array([[6., 7.]], dtype=float32)
    """


class GlobalMaxPooling3D(_GlobalMaxPooling):
    """The largest value of each channel of a volume. The arguments are those of `GlobalAveragePooling2D`.

    Examples
    --------
    >>> import numpy as np
    >>> GlobalMaxPooling3D()(np.arange(16.0).reshape(1, 2, 2, 2, 2))
    array([[14., 15.]], dtype=float32)
    """

    spatial = 3
