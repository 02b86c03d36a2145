"""What layers on batches of images share: the data format, and shapes in which None stands for an unknown size."""

from collections.abc import Callable
from typing import Any, Unpack

from fastconv.layers._arguments import data_format as check_data_format
from fastconv.layers.base import Layer, LayerOptions, Shape

Size = tuple[int | None, int | None]

# Stands for an unknown size while output sizes are computed: larger than any window, and small enough that the number
# of elements stays within bounds.
_UNKNOWN = 2**15


class ImageLayer(Layer):
    """A layer on images with channels last or first."""

    def __init__(self, data_format: str | None, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.data_format = check_data_format(type(self).__name__, data_format)
        self._channels_last = self.data_format == "channels_last"
        self.axes = "(batch, height, width, channels)" if self._channels_last else "(batch, channels, height, width)"
        self._spatial_axes = (1, 2) if self._channels_last else (2, 3)

    def _split(self, shape: Shape) -> tuple[int | None, Size, int | None]:
        """Return batch size, (height, width) and channels."""
        if self._channels_last:
            batch, height, width, channels = shape
        else:
            batch, channels, height, width = shape
        return batch, (height, width), channels

    def _join(self, batch: int | None, size: Size, channels: int | None) -> Shape:
        """Return the shape that `_split` takes apart."""
        return (batch, *size, channels) if self._channels_last else (batch, channels, *size)

    def _known_channels(self, shape: Shape) -> int:
        channels = self._split(shape)[2]
        if channels is None:
            raise ValueError(f"{self.name}: input must have a known number of channels, got shape {shape}")
        return channels

    def _window_output_shape(self, shape: Shape, function: Callable[[Any], Shape]) -> Shape:
        """Return what `function` makes of a shape without unknowns, with the unknown sizes put back."""
        batch, (height, width), _ = self._split(shape)
        filled = (_UNKNOWN if height is None else height, _UNKNOWN if width is None else width)
        _, (rows, columns), channels = self._split(function(self._join(1, filled, self._known_channels(shape))))
        return self._join(batch, (None if height is None else rows, None if width is None else columns), channels)
