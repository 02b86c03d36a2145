"""The benchmark's rows, as data: a new row is a new line here."""

from dataclasses import dataclass, replace
from typing import Literal

Direction = Literal["forward", "input gradient", "weight gradient"]


@dataclass(frozen=True)
class Conv:
    """One convolution; `size` is the height and width of the input."""

    batch: int
    size: int
    in_channels: int
    out_channels: int
    kernel: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    groups: int = 1
    dtype: str = "float32"
    direction: Direction = "forward"

    @property
    def output_size(self) -> int:
        """Height and width of the output."""
        reach = self.dilation * (self.kernel - 1) + 1
        return (self.size + 2 * self.padding - reach) // self.stride + 1

    @property
    def work(self) -> float:
        """Floating-point operations of the direct method, products with padding included."""
        taps = self.kernel**2 * self.in_channels // self.groups
        return 2.0 * self.batch * self.output_size**2 * self.out_channels * taps

    @property
    def name(self) -> str:
        """For example "16x28x28 128->128 3x3"."""
        parts = [
            f"{self.batch}x{self.size}x{self.size} {self.in_channels}->{self.out_channels} {self.kernel}x{self.kernel}"
        ]
        parts += [f"s{self.stride}"] * (self.stride > 1) + [f"d{self.dilation}"] * (self.dilation > 1)
        parts += [f"g{self.groups}"] * (self.groups > 1) + [self.dtype] * (self.dtype != "float32")
        return " ".join([*parts, self.direction])


@dataclass(frozen=True)
class MaxPool:
    """One max pooling of square windows."""

    batch: int
    size: int
    channels: int
    kernel: int
    stride: int
    dtype: str = "float32"

    @property
    def work(self) -> float:
        """Bytes read."""
        return float(self.batch * self.size**2 * self.channels * (4 if self.dtype == "float32" else 8))

    @property
    def name(self) -> str:
        """For example "32x56x56x64 max pool 2x2"."""
        window = f"max pool {self.kernel}x{self.kernel}" + f" s{self.stride}" * (self.stride != self.kernel)
        return f"{self.batch}x{self.size}x{self.size}x{self.channels} {window}"


Case = Conv | MaxPool

# The layers of a ResNet that issue 2 asks for.
LAYERS = [
    Conv(16, 28, 128, 128, 3, padding=1),
    Conv(16, 14, 256, 256, 3, padding=1),
    Conv(1, 56, 64, 64, 3, padding=1),
    Conv(1, 56, 64, 256, 1),
]

CASES: list[Case] = [
    *LAYERS,
    *[replace(layer, direction="weight gradient") for layer in LAYERS],
    MaxPool(32, 56, 64, 2, 2),
    *[replace(layer, dtype="float64") for layer in LAYERS],
    *[replace(layer, direction="input gradient") for layer in LAYERS],
]
