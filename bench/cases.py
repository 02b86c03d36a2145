"""The rows of the comparison with torch, as data: a new row is a new line here."""

from dataclasses import dataclass, replace

from fastconv.bench import Case


@dataclass(frozen=True)
class MaxPool:
    """One max pooling of square windows in float32."""

    batch: int
    size: int
    channels: int
    kernel: int
    stride: int

    @property
    def work(self) -> int:
        """Bytes read."""
        return self.batch * self.size**2 * self.channels * 4

    def __str__(self) -> str:
        window = f"max pool {self.kernel}x{self.kernel}" + f" s{self.stride}" * (self.stride != self.kernel)
        return f"{self.batch}x{self.size}x{self.size}x{self.channels} {window}"


# The layers of a ResNet that issue 2 asks for.
LAYERS = [
    Case((16, 28, 28, 128), 128, 3, padding=1),
    Case((16, 14, 14, 256), 256, 3, padding=1),
    Case((1, 56, 56, 64), 64, 3, padding=1),
    Case((1, 56, 56, 64), 256, 1),
]

# The layers that issue 3 adds for Winograd's and the Toeplitz algorithm.
MORE_LAYERS = [
    Case((16, 56, 56, 64), 64, 3, padding=1),
    Case((16, 7, 7, 512), 512, 3, padding=1),
    Case((64, 32, 32, 1), 6, 5, padding=0),
    Case((256, 28, 28, 1), 8, 7, stride=2, padding=3),
]

CASES: list[Case | MaxPool] = [
    *LAYERS,
    *MORE_LAYERS,
    *[replace(layer, direction="weight") for layer in LAYERS],
    MaxPool(32, 56, 64, 2, 2),
    *[replace(layer, dtype="float64") for layer in LAYERS],
    *[replace(layer, direction="input") for layer in LAYERS],
]


def title(case: Case | MaxPool) -> str:
    """Return what the table calls a case, for example "16x28x28x128, 128 filters 3x3, weight gradient"."""
    if isinstance(case, MaxPool):
        return str(case)
    kind = [] if case.direction == "forward" else [f"{case.direction} gradient"]
    return ", ".join([str(case), *kind, *[case.dtype] * (case.dtype != "float32")])
