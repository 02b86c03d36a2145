"""From stride, padding and dilation as users write them to one Geometry, the only description of a window that the
core knows.

The forms, for two spatial axes (one and three go alike):

- ``kernel_size``, ``stride``, ``dilation``: ``3``, ``(3,)``, ``(3, 5)``, or a list or array of these; for pooling a
  ``stride`` of ``None`` or ``()`` means the kernel size.
- ``padding``: ``1`` pads each side by 1. ``(1, 2)`` has one number per axis: height by 1 and width by 2 on both
  sides. ``((1, 2), (0, 1))`` has a pair (before, after) per axis. So numbers inside one tuple are always axes, and only
  a tuple inside a tuple is a pair: ``((1, 2),)`` is that pair on every axis, and ``(1, (0, 1))`` mixes the two.
  ``"valid"`` is no padding. ``"same"`` gives ``ceil(in / stride)`` outputs as TensorFlow and Keras do: of ``total =
  max((out - 1) * stride + dilation * (kernel - 1) + 1 - in, 0)``, ``total // 2`` come before and the rest after.
"""

from fastconv.geometry._forms import AXIS_NAMES, Axes, Geometry, Shape
from fastconv.geometry.convolution import conv_geometry, conv_transpose_geometry, linear_geometry
from fastconv.geometry.pooling import adaptive_pool_geometry, pool_geometry, unpool_geometry
from fastconv.geometry.unfolding import fold_geometry, unfold_geometry

__all__ = [
    "AXIS_NAMES",
    "Axes",
    "Geometry",
    "Shape",
    "conv_geometry",
    "conv_transpose_geometry",
    "linear_geometry",
    "pool_geometry",
    "adaptive_pool_geometry",
    "unpool_geometry",
    "unfold_geometry",
    "fold_geometry",
]
