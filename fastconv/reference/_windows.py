"""Where windows lie and how arrays lie, on one to three axes: what the formulas of convolution and pooling share."""

from collections.abc import Iterable, Iterator
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Index = tuple[int, ...]


class Axis(NamedTuple):
    """How windows lie along one axis of an image."""

    size: int
    kernel: int
    stride: int
    dilation: int
    before: int
    after: int
    outputs: int

    def window(self, i: int) -> list[tuple[int, int]]:
        """(tap, input position) for each tap of window i that meets the input and not the padding."""
        meetings = ((p, i * self.stride + p * self.dilation - self.before) for p in range(self.kernel))
        return [(p, u) for p, u in meetings if 0 <= u < self.size]

    def windows_over(self, u: int) -> list[tuple[int, int]]:
        """(tap, window) for each window that has input position u under one of its taps."""
        distances = ((p, u + self.before - p * self.dilation) for p in range(self.kernel))
        return [
            (p, t // self.stride) for p, t in distances if t % self.stride == 0 and 0 <= t // self.stride < self.outputs
        ]

    def padded_extent(self, i: int) -> int:
        """Positions of window i that lie in the input or its padding."""
        start = i * self.stride - self.before
        return min(start + self.kernel, self.size + self.after) - start


Axes = tuple[Axis, ...]


def window_axes(
    shape: tuple[int, ...], kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool = False
) -> Axes:
    """Lay windows of `kernel` along the spatial axes of images of `shape` (n, *spatial, c)."""
    sizes = shape[1:-1]
    arguments = (per_axis(value, len(sizes)) for value in (kernel, stride, padding, dilation))
    return tuple(
        window_axis(size, k, s, pad, r, ceil_mode) for size, k, s, pad, r in zip(sizes, *arguments, strict=True)
    )


def window_axis(size: int, kernel: int, stride: int, padding: Any, dilation: int, ceil_mode: bool) -> Axis:
    reach = (kernel - 1) * dilation + 1
    if padding == "valid":
        before = after = 0
    elif padding == "same":
        total = max((-(-size // stride) - 1) * stride + reach - size, 0)
        before, after = total // 2, total - total // 2
    else:
        before, after = padding if isinstance(padding, tuple | list) else (padding, padding)
    room = size + before + after - reach
    if ceil_mode:
        outputs = -(-room // stride) + 1
        if (outputs - 1) * stride >= size + before:
            outputs -= 1
    else:
        outputs = room // stride + 1
    if outputs < 1:
        raise ValueError(f"reference: a window of {reach} must fit into {size} + {before} + {after}")
    return Axis(size, kernel, stride, dilation, before, after, outputs)


def per_axis(value: Any, axes: int) -> tuple[Any, ...]:
    """One value for each axis, where there may be one for all."""
    values = tuple(value) if isinstance(value, tuple | list) else (value,)
    return values * axes if len(values) == 1 else values


def every_output(*axes: Axis) -> Iterator[Index]:
    return product(*(range(axis.outputs) for axis in axes))


def every_input(*axes: Axis) -> Iterator[Index]:
    return product(*(range(axis.size) for axis in axes))


def window(axes: Axes, output: Index) -> Iterator[tuple[Index, Index]]:
    """(tap, input position) for each tap of the window of `output` that meets the input and not the padding."""
    return _on_all(axis.window(i) for axis, i in zip(axes, output, strict=True))


def windows_over(axes: Axes, position: Index) -> Iterator[tuple[Index, Index]]:
    """(tap, window) for each window that has an input position under one of its taps."""
    return _on_all(axis.windows_over(u) for axis, u in zip(axes, position, strict=True))


def _on_all(pairs_per_axis: Iterable[list[tuple[int, int]]]) -> Iterator[tuple[Index, Index]]:
    """Every combination of one pair (tap, place) on each axis, as one tap and one place."""
    for pairs in product(*pairs_per_axis):
        taps, places = zip(*pairs, strict=True)
        yield taps, places


def at(position: Index) -> tuple[Any, ...]:
    """Index of a position in all images at once: x[at((u, v))] is x[:, u, v]."""
    return (slice(None), *position)


def to_images(x: ArrayLike, data_format: str, axes: int = 2) -> Array:
    """Return x as x[n][*position][c] with so many spatial axes, one image as a batch of one."""
    images = np.asarray(x, dtype=np.float64)
    if images.ndim == axes + 1:
        images = images[np.newaxis]
    return images if data_format == "channels_last" else np.moveaxis(images, 1, -1)


def as_given(images: NDArray[Any], like: ArrayLike, data_format: str) -> NDArray[Any]:
    """Undo `to_images` for a result that belongs to the argument `like`."""
    result = images if data_format == "channels_last" else np.moveaxis(images, -1, 1)
    return np.ascontiguousarray(result[0] if np.ndim(like) == images.ndim - 1 else result)


def grouped_weight(weight: ArrayLike, groups: int, data_format: str) -> Array:
    """Return weight as w[*tap][g][c][o], channels counted within their group."""
    w = np.asarray(weight, dtype=np.float64)
    if data_format != "channels_last":
        w = np.moveaxis(w, (1, 0), (-2, -1))
    *kernel, ci, co = w.shape
    return w.reshape(*kernel, ci, groups, co // groups).swapaxes(-3, -2)


def weight_as_given(grouped: Array, data_format: str) -> Array:
    """Undo `grouped_weight`."""
    w = join_groups(grouped.swapaxes(-3, -2))
    return np.ascontiguousarray(w if data_format == "channels_last" else np.moveaxis(w, (-2, -1), (1, 0)))


def split_groups(images: Array, groups: int) -> Array:
    """Images with their channels as [g][c]."""
    return images.reshape(*images.shape[:-1], groups, images.shape[-1] // groups)


def join_groups(array: Array) -> Array:
    """Undo the split of the last axis into [g][c]."""
    return array.reshape(*array.shape[:-2], array.shape[-2] * array.shape[-1])
