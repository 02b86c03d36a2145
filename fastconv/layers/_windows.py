"""What an output of a layer sees of its input, by the arguments of the layer."""

from collections.abc import Sequence
from typing import NamedTuple


class Window(NamedTuple):
    """A window that slides along every spatial axis.

    Output ``o`` of an axis sees the inputs from ``o * stride - before`` to ``o * stride - before + size - 1``.
    """

    size: tuple[int, ...]
    stride: tuple[int, ...]
    before: tuple[int, ...]


def own_place(axes: int) -> Window:
    """Return the window of a layer whose outputs see one input each, at their own place."""
    return Window((1,) * axes, (1,) * axes, (0,) * axes)


def shifted(before: Sequence[int]) -> Window:
    """Return the window of a layer that pads (or, where negative, cuts off) `before` values on each axis."""
    return own_place(len(before))._replace(before=tuple(before))


def whole(sizes: Sequence[int | None]) -> Window | None:
    """Return the window of a layer whose outputs see all of the input; None where a size is not known."""
    known = tuple(size for size in sizes if size is not None)
    return own_place(len(known))._replace(size=known) if len(known) == len(sizes) else None


def sliding(
    sizes: Sequence[int | None],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilation: Sequence[int],
    padding: str,
) -> Window | None:
    """Return the window of a convolution or pooling layer on an input of `sizes`.

    It is None where the padding is "same" and depends on a size that is not known.
    """
    extents = tuple((taps - 1) * step + 1 for taps, step in zip(kernel, dilation, strict=True))
    before = []
    for size, extent, stride in zip(sizes, extents, strides, strict=True):
        if padding == "same" and stride > 1:
            if size is None:
                return None
            before.append(max((-(-size // stride) - 1) * stride + extent - size, 0) // 2)
        else:
            before.append({"valid": 0, "same": (extent - 1) // 2, "causal": extent - 1}[padding])
    return Window(extents, tuple(strides), tuple(before))
