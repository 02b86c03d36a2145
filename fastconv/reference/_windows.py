"""Where windows lie and how arrays lie: what the formulas of convolution and pooling share."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


class Axis(NamedTuple):
    """How windows lie along the rows (or the columns) of an image."""

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


def window_axes(
    shape: tuple[int, ...], kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool = False
) -> tuple[Axis, Axis]:
    """Rows and columns of images of `shape` (n, h, w, c) under windows of `kernel`."""
    per_axis = zip(shape[1:3], pair(kernel), pair(stride), pair(padding), pair(dilation), strict=True)
    rows, columns = (window_axis(size, k, s, pad, r, ceil_mode) for size, k, s, pad, r in per_axis)
    return rows, columns


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


def pair(value: Any) -> tuple[Any, Any]:
    """One value for rows and one for columns."""
    values = tuple(value) if isinstance(value, tuple | list) else (value,)
    return (values[0], values[0]) if len(values) == 1 else (values[0], values[1])


def every_output(rows: Axis, columns: Axis) -> Iterator[tuple[int, int]]:
    return ((i, j) for i in range(rows.outputs) for j in range(columns.outputs))


def to_images(x: ArrayLike, data_format: str) -> Array:
    """Return x as x[n][u][v][c], one image as a batch of one."""
    images = np.asarray(x, dtype=np.float64)
    if images.ndim == 3:
        images = images[np.newaxis]
    return images if data_format == "channels_last" else images.transpose(0, 2, 3, 1)


def as_given(images: NDArray[Any], like: ArrayLike, data_format: str) -> NDArray[Any]:
    """Undo `to_images` for a result that belongs to the argument `like`."""
    result = images if data_format == "channels_last" else images.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(result[0] if np.ndim(like) == 3 else result)


def grouped_weight(weight: ArrayLike, groups: int, data_format: str) -> Array:
    """Return weight as w[p][q][g][c][o], channels counted within their group."""
    w = np.asarray(weight, dtype=np.float64)
    if data_format != "channels_last":
        w = w.transpose(2, 3, 1, 0)
    kh, kw, ci, co = w.shape
    return w.reshape(kh, kw, ci, groups, co // groups).transpose(0, 1, 3, 2, 4)


def weight_as_given(grouped: Array, data_format: str) -> Array:
    """Undo `grouped_weight`."""
    w = join_groups(grouped.transpose(0, 1, 3, 2, 4))
    return np.ascontiguousarray(w if data_format == "channels_last" else w.transpose(3, 2, 0, 1))


def split_groups(images: Array, groups: int) -> Array:
    """Images with their channels as [g][c]."""
    return images.reshape(*images.shape[:3], groups, images.shape[3] // groups)


def join_groups(array: Array) -> Array:
    """Undo the split of the last axis into [g][c]."""
    return array.reshape(*array.shape[:3], array.shape[3] * array.shape[4])
