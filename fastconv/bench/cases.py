"""What is measured: convolutions as data, the table of named layers, and families of layers for curves."""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from fastconv.geometry import Geometry, conv_geometry

Size = int | tuple[int, int]

# By number in the core; also the words of the command line.
DIRECTIONS = ("forward", "input", "weight")


@dataclass(frozen=True)
class Case:
    """One pass of one convolution.

    Parameters
    ----------
    shape
        Of the input as (n, h, w, c), whatever `data_format` is.
    filters
        Number of output channels.
    kernel, stride, dilation, padding, groups
        As `fastconv.functional.conv2d` takes them; `kernel` is one number or (height, width).
    dtype
        "float32" or "float64".
    direction
        "forward", "input" (gradient of the input) or "weight" (gradient of the weights).
    data_format
        The layout of fastconv's arrays, "channels_last" or "channels_first".
    name
        What the table calls it, if anything.

    Raises
    ------
    TypeError, ValueError
        There is no such convolution.

    Examples
    --------
    >>> from fastconv.bench import Case
    >>> case = Case((16, 28, 28, 128), 256, 3, stride=2, padding=1)
    >>> str(case)
    '16x28x28x128, 256 filters 3x3, stride 2'
    >>> case.work  # products with padding included, an addition for each
    1849688064
    """

    shape: tuple[int, int, int, int]
    filters: int
    kernel: Size
    stride: Size = 1
    dilation: Size = 1
    padding: Any = "same"
    groups: int = 1
    dtype: str = "float32"
    direction: str = "forward"
    data_format: str = "channels_last"
    name: str = ""

    def __post_init__(self) -> None:
        if self.shape[-1] % self.groups:
            raise ValueError(f"bench: groups must divide the input's {self.shape[-1]} channels, got {self.groups}")
        _ = self.geometry

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """(kh, kw, c / groups, filters)."""
        height, width = (self.kernel, self.kernel) if isinstance(self.kernel, int) else self.kernel
        return height, width, self.shape[-1] // self.groups, self.filters

    @cached_property
    def geometry(self) -> Geometry:
        """The convolution as the core knows it."""
        how = (self.stride, self.padding, self.dilation, self.groups)
        return conv_geometry("bench", self.shape, self.weight_shape, *how, channels_last=True)[0]

    @property
    def work(self) -> int:
        """Floating-point operations of the direct method, products with padding included; the same for each pass."""
        geometry = self.geometry
        return 2 * geometry.batch * math.prod(geometry.output) * math.prod(self.weight_shape)

    @property
    def terms(self) -> int:
        """Products that are added up for one element of the result, at most."""
        geometry = self.geometry
        taps = math.prod(geometry.kernel)
        return {
            "forward": taps * geometry.in_channels // geometry.groups,
            "input": taps * geometry.out_channels // geometry.groups,
            "weight": geometry.batch * math.prod(geometry.output),
        }[self.direction]

    def __str__(self) -> str:
        stride, dilation = self.geometry.stride[1:], self.geometry.dilation[1:]
        parts = ["x".join(map(str, self.shape)), f"{self.filters} filters " + "x".join(map(str, self.weight_shape[:2]))]
        for word, (down, across) in (("stride", stride), ("dilation", dilation)):
            if (down, across) != (1, 1):
                parts.append(f"{word} {down}" if down == across else f"{word} {down}x{across}")
        return ", ".join(parts + [f"{self.groups} groups"] * (self.groups != 1))


LAYERS = (
    Case((64, 32, 32, 1), 6, 5, padding=0, name="thin 5x5"),
    Case((256, 28, 28, 1), 8, 7, stride=2, padding=3, name="thin 7x7, stride 2"),
    Case((1, 224, 224, 3), 64, 7, stride=2, padding=3, name="first 7x7, stride 2"),
    Case((8, 28, 28, 32), 64, 5, padding=2, name="5x5"),
    Case((1, 56, 56, 64), 64, 3, padding=1, name="3x3, one image"),
    Case((16, 28, 28, 128), 128, 3, padding=1, name="3x3"),
    Case((16, 7, 7, 512), 512, 3, padding=1, name="wide 3x3"),
    Case((8, 56, 56, 64), 128, 3, stride=2, padding=1, name="3x3, stride 2"),
    Case((4, 28, 28, 128), 128, 3, dilation=2, padding=2, name="dilated 3x3"),
    Case((8, 14, 14, 256), 256, 3, padding=1, groups=32, name="grouped 3x3"),
    Case((1, 56, 56, 64), 256, 1, padding=0, name="1x1, one image"),
    Case((16, 14, 14, 1024), 256, 1, padding=0, name="wide 1x1"),
)

# A demonstration's three: one for each algorithm that is worth its name.
FEW_LAYERS = tuple(layer for layer in LAYERS if layer.name in ("thin 5x5", "3x3", "1x1, one image"))

# What a sweep varies if nothing else is asked for.
SWEPT_LAYER = Case((4, 28, 28, 64), 64, 3)
SWEEPS = {
    "channels": (1, 2, 4, 8, 16, 32, 64, 128, 256),
    "size": (7, 14, 28, 56, 112),
    "kernel": (1, 3, 5, 7, 9, 11),
    "batch": (1, 2, 4, 8, 16, 32, 64),
}


def sweep(case: Case, over: str, filters: int | None = None) -> list[tuple[int, Case]]:
    """Return variants of `case` with what varies: its channels, size (height and width), kernel or batch.

    Values that the rest of the case does not allow are left out. Input and output channels grow together unless
    `filters` fixes the latter.

    Raises
    ------
    ValueError
        No value is possible.

    Examples
    --------
    >>> from fastconv.bench import Case, sweep
    >>> [str(case) for _, case in sweep(Case((1, 9, 9, 4), 4, 3, padding=0), "kernel")][-1]
    '1x9x9x4, 4 filters 9x9'
    """
    n, height, width, channels = case.shape
    found, error = [], None
    for value in SWEEPS[over]:
        changes: dict[str, dict[str, Any]] = {
            "channels": {"shape": (n, height, width, value), "filters": filters or value},
            "size": {"shape": (n, value, value, channels)},
            "kernel": {"kernel": value},
            "batch": {"shape": (value, height, width, channels)},
        }
        try:
            found.append((value, replace(case, **changes[over])))
        except ValueError as impossible:
            error = impossible
    if error is not None and not found:
        raise error
    return found
