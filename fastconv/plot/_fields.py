"""Which pixels of the input a unit of a layer sees.

A layer with window `k`, stride `s` and `p` zeros before the input takes fields of size `S`, stride `T` and first pixel
`A` to ``S + (k - 1) * T``, ``T * s`` and ``A - p * T`` on each axis.
"""

from typing import Any, NamedTuple

from fastconv.layers import Layer, ZeroPadding2D
from fastconv.models import Sequential

Pair = tuple[int, int]


class Field(NamedTuple):
    """Pixels seen along (height, width): unit ``i`` sees `size` of them from ``start + i * stride`` on.

    Those with negative numbers, and those beyond the image, are padding.
    """

    size: Pair
    stride: Pair
    start: Pair


def receptive_fields(model: Sequential, input_shape: tuple[int, ...]) -> dict[str, Field]:
    """Return the fields of the layers by name, up to the first whose units see the whole image or are no image.

    Parameters
    ----------
    model
        A network of images.
    input_shape
        Of one input.
    """
    fields: dict[str, Field] = {}
    field = Field((1, 1), (1, 1), (0, 0))
    shape: tuple[int | None, ...] = (None, *input_shape)
    last = True
    for layer in model.layers:
        last = getattr(layer, "data_format", "channels_last" if last else "channels_first") == "channels_last"
        after = layer.output_shape(shape)
        if len(after) != 4:
            break
        sizes = zip(_spatial(shape, last), _spatial(after, last), strict=True)
        windows = [_window(layer, axis, size, out) for axis, (size, out) in enumerate(sizes)]
        known = [window for window in windows if window is not None]
        if len(known) < 2:
            break
        field = _through(field, known)
        fields[layer.name], shape = field, after
    return fields


def _spatial(shape: tuple[int | None, ...], last: bool) -> tuple[Any, Any]:
    return (shape[1], shape[2]) if last else (shape[2], shape[3])


def _through(field: Field, windows: list[tuple[int, int, int]]) -> Field:
    axes = [
        (size + (window - 1) * step, step * stride, first - before * step)
        for size, step, first, (window, stride, before) in zip(*field, windows, strict=True)
    ]
    (height, width), stride, start = zip(*axes, strict=True)
    return Field((height, width), stride, start)


def _window(layer: Layer, axis: int, size: Any, out: Any) -> tuple[int, int, int] | None:
    """Return a layer's window, stride and padding before its input along an axis, or None if it has none."""
    if isinstance(layer, ZeroPadding2D):
        return 1, 1, layer.padding[axis][0]
    taps: Any = getattr(layer, "kernel_size", getattr(layer, "pool_size", None))
    if taps is None:
        return (1, 1, 0) if size == out else None
    options: Any = layer
    window = (taps[axis] - 1) * getattr(options, "dilation_rate", (1, 1))[axis] + 1
    stride: int = options.strides[axis]
    # What windows stand on beyond the input; "same" puts the odd one after it.
    padding = max((out - 1) * stride + window - size, 0) if options.padding == "same" else 0
    return (window, stride, padding // 2) if out == (size + padding - window) // stride + 1 else None
