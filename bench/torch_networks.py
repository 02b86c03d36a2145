"""The networks of `networks` for torch, without the softmax, which its cross-entropy contains.

Weights are defined in the same order.
"""

from networks import CLASSES, STAGES
from torch import Tensor, nn

# Keras' defaults, in torch's words.
EPSILON, MOMENTUM = 1e-3, 0.01


def textbook() -> nn.Module:
    """Return the textbook network."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 7, 2), nn.Conv2d(8, 16, 5, 2), nn.Conv2d(16, 32, 3), nn.AdaptiveAvgPool2d(1), *head(32)
    )


def separable() -> nn.Module:
    """Return its separable twin."""

    def convolve(channels: int, filters: int, kernel: int, stride: int = 1) -> list[nn.Module]:
        depthwise = nn.Conv2d(channels, channels, kernel, stride, groups=channels, bias=False)
        return [depthwise, nn.Conv2d(channels, filters, 1)]

    blocks = [*convolve(1, 8, 7, 2), *convolve(8, 16, 5, 2), *convolve(16, 32, 3)]
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), *head(32))


def lenet5() -> nn.Module:
    """Return LeNet-5."""
    convolutions = nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU()
    return nn.Sequential(*convolutions, nn.MaxPool2d(2), *head(400, 120, 84))


def two_convolutions() -> nn.Module:
    """Return 32 and 64 filters 3x3, and a dense layer of 128 units."""
    convolutions = nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), nn.ReLU()
    return nn.Sequential(*convolutions, nn.MaxPool2d(2), *head(1600, 128))


def vgg() -> nn.Module:
    """Return three pairs of 3x3 convolutions."""
    blocks: list[nn.Module] = []
    for channels, filters in ((3, 32), (32, 64), (64, 128)):
        blocks += [nn.Conv2d(channels, filters, 3, padding=1), nn.ReLU()]
        blocks += [nn.Conv2d(filters, filters, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*blocks, *head(2048, 128))


class Residual(nn.Module):
    """Two normalized 3x3 convolutions beside a shortcut."""

    def __init__(self, channels: int, filters: int) -> None:
        super().__init__()
        stride = 1 if channels == filters else 2
        self.path = nn.Sequential(
            *normalized(channels, filters, 3, stride), nn.ReLU(), *normalized(filters, filters, 3)
        )
        self.shortcut = nn.Identity() if stride == 1 else nn.Sequential(*normalized(channels, filters, 1, stride))
        self.last = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Add and rectify."""
        return self.last(self.path(x) + self.shortcut(x))


def resnet20() -> nn.Module:
    """Return ResNet-20."""
    channels = [16, *(filters for filters, _ in STAGES)]
    blocks = [Residual(before, filters) for before, (filters, _) in zip(channels, STAGES, strict=False)]
    return nn.Sequential(*normalized(3, 16, 3), nn.ReLU(), *blocks, nn.AdaptiveAvgPool2d(1), *head(64))


def normalized(channels: int, filters: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    """Return a convolution and its batch normalization."""
    convolution = nn.Conv2d(channels, filters, kernel, stride, kernel // 2, bias=False)
    return [convolution, nn.BatchNorm2d(filters, EPSILON, MOMENTUM)]


def head(features: int, *units: int) -> list[nn.Module]:
    """Return what flattens, rectified layers of these units, and one unit for each class."""
    sizes = [features, *units]
    hidden = [layer for size in zip(sizes, units, strict=False) for layer in (nn.Linear(*size), nn.ReLU())]
    return [nn.Flatten(), *hidden, nn.Linear(sizes[-1], CLASSES)]


MODULES = {
    "textbook": textbook,
    "textbook-separable": separable,
    "LeNet-5": lenet5,
    "32-64": two_convolutions,
    "VGG-style": vgg,
    "ResNet-20": resnet20,
}
