"""What layers on batches of images share: the data format, and shapes in which None stands for an unknown size."""

from collections.abc import Callable
from typing import Any, ClassVar, Unpack

from fastconv.geometry import AXIS_NAMES
from fastconv.layers._arguments import data_format as check_data_format
from fastconv.layers.base import Layer, LayerOptions, Shape

Sizes = tuple[int | None, ...]

# Stands for an unknown size while output sizes are computed: larger than any window.
_UNKNOWN = 2**30


class ImageLayer(Layer):
    """A layer on images, or on signals or volumes, with channels last or first."""

    spatial: ClassVar[int] = 2
    """Number of spatial axes: 1 for signals, 2 for images, 3 for volumes."""

    def __init__(self, data_format: str | None, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.data_format = check_data_format(type(self).__name__, data_format)
        self._channels_last = self.data_format == "channels_last"
        names = ", ".join(AXIS_NAMES[self.spatial])
        self.axes = f"(batch, {names}, channels)" if self._channels_last else f"(batch, channels, {names})"
        first = 1 if self._channels_last else 2
        self._channel_axis = -1 if self._channels_last else 1
        self._spatial_axes = tuple(range(first, first + self.spatial))

    def _split(self, shape: Shape) -> tuple[int | None, Sizes, int | None]:
        """Return batch size, spatial sizes and channels."""
        if self._channels_last:
            return shape[0], shape[1:-1], shape[-1]
        return shape[0], shape[2:], shape[1]

    def _join(self, batch: int | None, sizes: Sizes, channels: int | None) -> Shape:
        """Return the shape that `_split` takes apart."""
        return (batch, *sizes, channels) if self._channels_last else (batch, channels, *sizes)

    def _known_channels(self, shape: Shape) -> int:
        channels = self._split(shape)[2]
        if channels is None:
            raise ValueError(f"{self.name}: input must have a known number of channels, got shape {shape}")
        return channels

    def _window_output_shape(self, shape: Shape, function: Callable[[Any], Shape]) -> Shape:
        """Return what `function` makes of a shape without unknowns, with the unknown sizes put back."""
        batch, sizes, _ = self._split(shape)
        filled = tuple(_UNKNOWN if size is None else size for size in sizes)
        # A batch of no image: as many elements as the sizes that stand for unknowns make fit into no memory.
        _, outputs, channels = self._split(function(self._join(0, filled, self._known_channels(shape))))
        known = (None if size is None else output for size, output in zip(sizes, outputs, strict=True))
        return self._join(batch, tuple(known), channels)
