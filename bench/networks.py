"""The networks of the comparison for fastconv and Keras, whose layers have the same names."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from types import ModuleType
from typing import Any

GRAY, COLOUR = (28, 28, 1), (32, 32, 3)
CLASSES = 10
# Filters of a residual block, and its number in the stage.
STAGES = [(filters, block) for filters in (16, 32, 64) for block in range(3)]


@dataclass(frozen=True)
class Network:
    """A classifier of images, with softmax outputs; `torch_networks.MODULES` has its twin by its name.

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
    same_outputs
        Whether torch computes the same numbers. "Same" padding with stride 2 puts the odd zero elsewhere there.
    """

    name: str
    image: tuple[int, int, int]
    batch: int
    model: Callable[[ModuleType], Any]
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


def separable(library: ModuleType) -> Any:
    """Return the textbook network with separable convolutions."""
    return textbook(library, "SeparableConv2D")


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


NETWORKS = (
    Network("textbook", GRAY, 128, textbook),
    Network("textbook-separable", GRAY, 128, separable),
    Network("LeNet-5", GRAY, 128, lenet5),
    Network("32-64", GRAY, 128, two_convolutions),
    Network("VGG-style", COLOUR, 32, vgg),
    Network("ResNet-20", COLOUR, 32, resnet20, same_outputs=False),
)
