"""The networks of the comparison: once for fastconv and Keras, whose layers have the same names, once for torch."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from types import ModuleType
from typing import Any

from torch import Tensor, nn

GRAY, COLOUR = (28, 28, 1), (32, 32, 3)
CLASSES = 10
# Keras' defaults, in torch's words.
EPSILON, MOMENTUM = 1e-3, 0.01


@dataclass(frozen=True)
class Network:
    """A classifier of images, with softmax outputs; in torch without it, as its cross-entropy wants.

    Parameters
    ----------
    name
        In the table.
    image
        Shape of an image, channels last.
    batch
        Of a training step.
    model
        From `fastconv` or `keras` to a model.
    module
        To the torch module whose weights are defined in the same order.
    same_outputs
        Whether torch computes the same numbers. "Same" padding with stride 2 puts the odd zero elsewhere there.
    """

    name: str
    image: tuple[int, int, int]
    batch: int
    model: Callable[[ModuleType], Any]
    module: Callable[[], nn.Module]
    same_outputs: bool = True


def textbook(library: ModuleType, convolution: str = "Conv2D") -> Any:
    """Return three convolutions without activations: 8,586 weights, or 1,427 if separable."""
    layers = library.layers
    convolve = getattr(layers, convolution)
    return library.Sequential(
        [
            layers.InputLayer(GRAY),
            convolve(8, 7, strides=2),
            convolve(16, 5, strides=2),
            convolve(32, 3),
            layers.GlobalAveragePooling2D(),
            layers.Dense(CLASSES, activation="softmax"),
        ]
    )


def textbook_module() -> nn.Module:
    """Return the textbook network for torch."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 7, 2), nn.Conv2d(8, 16, 5, 2), nn.Conv2d(16, 32, 3), nn.AdaptiveAvgPool2d(1), *head(32)
    )


def separable(library: ModuleType) -> Any:
    """Return the textbook network with separable convolutions."""
    return textbook(library, "SeparableConv2D")


def separable_module() -> nn.Module:
    """Return its separable twin for torch."""

    def convolve(channels: int, filters: int, kernel: int, stride: int = 1) -> list[nn.Module]:
        depthwise = nn.Conv2d(channels, channels, kernel, stride, groups=channels, bias=False)
        return [depthwise, nn.Conv2d(channels, filters, 1)]

    blocks = [*convolve(1, 8, 7, 2), *convolve(8, 16, 5, 2), *convolve(16, 32, 3)]
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), *head(32))


def lenet5(library: ModuleType) -> Any:
    """Return LeNet-5 with ReLU and max pooling, as in `fastconv.zoo`."""
    layers = library.layers
    return library.Sequential(
        [
            layers.InputLayer(GRAY),
            layers.Conv2D(6, 5, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(16, 5, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(120, activation="relu"),
            layers.Dense(84, activation="relu"),
            layers.Dense(CLASSES, activation="softmax"),
        ]
    )


def lenet5_module() -> nn.Module:
    """Return LeNet-5 for torch."""
    convolutions = nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU()
    return nn.Sequential(*convolutions, nn.MaxPool2d(2), *head(400, 120, 84))


def two_convolutions(library: ModuleType) -> Any:
    """Return 32 and 64 filters 3x3, with pooling, and a dense layer of 128 units."""
    layers = library.layers
    return library.Sequential(
        [
            layers.InputLayer(GRAY),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dense(CLASSES, activation="softmax"),
        ]
    )


def two_convolutions_module() -> nn.Module:
    """Return the same for torch."""
    convolutions = nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), nn.ReLU()
    return nn.Sequential(*convolutions, nn.MaxPool2d(2), *head(1600, 128))


def vgg(library: ModuleType) -> Any:
    """Return three pairs of 3x3 convolutions with 32, 64 and 128 filters, each followed by pooling."""
    layers = library.layers
    blocks = [
        layer
        for filters in (32, 64, 128)
        for layer in (
            layers.Conv2D(filters, 3, padding="same", activation="relu"),
            layers.Conv2D(filters, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
        )
    ]
    dense = layers.Dense(128, activation="relu"), layers.Dense(CLASSES, activation="softmax")
    return library.Sequential([layers.InputLayer(COLOUR), *blocks, layers.Flatten(), *dense])


def vgg_module() -> nn.Module:
    """Return the same for torch."""
    blocks: list[nn.Module] = []
    for channels, filters in ((3, 32), (32, 64), (64, 128)):
        blocks += [nn.Conv2d(channels, filters, 3, padding=1), nn.ReLU()]
        blocks += [nn.Conv2d(filters, filters, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*blocks, *head(2048, 128))


def resnet20(library: ModuleType) -> Any:
    """Return ResNet-20 of He et al. (2016), section 4.2, with a 1x1 convolution where the size of the maps changes."""
    layers, numbers = library.layers, count()

    def normalized(x: Any, filters: int, kernel: int, strides: int = 1) -> Any:
        # Named, as Keras does not keep layers in the order in which they are made.
        name, how = f"convolution_{next(numbers)}", {"padding": "same", "use_bias": False}
        x = layers.Conv2D(filters, kernel, strides=strides, name=name, **how)(x)
        return layers.BatchNormalization(name=f"{name}_normalized")(x)

    inputs = library.Input(COLOUR)
    x = layers.ReLU()(normalized(inputs, 16, 3))
    for filters, block in STAGES:
        strides = 2 if block == 0 and filters > 16 else 1
        y = layers.ReLU()(normalized(x, filters, 3, strides))
        y = normalized(y, filters, 3)
        shortcut = normalized(x, filters, 1, strides) if strides == 2 else x
        x = layers.ReLU()(layers.Add()([y, shortcut]))
    x = layers.GlobalAveragePooling2D()(x)
    return library.Model(inputs, layers.Dense(CLASSES, activation="softmax", name="classes")(x))


STAGES = [(filters, block) for filters in (16, 32, 64) for block in range(3)]


class Residual(nn.Module):
    """Two normalized 3x3 convolutions beside a shortcut."""

    def __init__(self, channels: int, filters: int) -> None:
        super().__init__()
        stride = 1 if channels == filters else 2
        self.path = nn.Sequential(
            *normalized_module(channels, filters, 3, stride), nn.ReLU(), *normalized_module(filters, filters, 3)
        )
        self.shortcut = (
            nn.Identity() if stride == 1 else nn.Sequential(*normalized_module(channels, filters, 1, stride))
        )
        self.last = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Add and rectify."""
        return self.last(self.path(x) + self.shortcut(x))


def resnet20_module() -> nn.Module:
    """Return ResNet-20 for torch."""
    channels = [16, *(filters for filters, _ in STAGES)]
    blocks = [Residual(before, filters) for before, (filters, _) in zip(channels, STAGES, strict=False)]
    return nn.Sequential(*normalized_module(3, 16, 3), nn.ReLU(), *blocks, nn.AdaptiveAvgPool2d(1), *head(64))


def normalized_module(channels: int, filters: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    """Return a convolution and its batch normalization."""
    convolution = nn.Conv2d(channels, filters, kernel, stride, kernel // 2, bias=False)
    return [convolution, nn.BatchNorm2d(filters, EPSILON, MOMENTUM)]


def head(features: int, *units: int) -> list[nn.Module]:
    """Return what flattens, rectified layers of these units, and one unit for each class."""
    sizes = [features, *units]
    hidden = [layer for size in zip(sizes, units, strict=False) for layer in (nn.Linear(*size), nn.ReLU())]
    return [nn.Flatten(), *hidden, nn.Linear(sizes[-1], CLASSES)]


NETWORKS = (
    Network("textbook", GRAY, 128, textbook, textbook_module),
    Network("textbook-separable", GRAY, 128, separable, separable_module),
    Network("LeNet-5", GRAY, 128, lenet5, lenet5_module),
    Network("32-64", GRAY, 128, two_convolutions, two_convolutions_module),
    Network("VGG-style", COLOUR, 32, vgg, vgg_module),
    Network("ResNet-20", COLOUR, 32, resnet20, resnet20_module, same_outputs=False),
)
