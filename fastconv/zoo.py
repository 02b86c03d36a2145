"""Small networks by name, each with the settings it is trained with by default.

The settings were chosen on a tenth of the training sets, held out; never on a test set.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Unpack

from fastconv.layers import (
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    Layer,
    MaxPooling2D,
    Softmax,
)
from fastconv.layers.base import LayerOptions
from fastconv.models import BaseModel, Sequential
from fastconv.optimizers import Adam

__all__ = ["RECIPES", "Recipe", "build"]

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Recipe:
    """A network and how it is trained by default: its layers, and Adam's settings.

    Parameters
    ----------
    layers
        From the shape of one input and the number of classes to a list of new layers.
    summary
        The network in a few words.
    epochs, batch_size, learning_rate
        What ``fastconv train`` uses where it is not told otherwise.
    """

    layers: Callable[[Shape, int], list[Layer]]
    summary: str
    epochs: int
    batch_size: int
    learning_rate: float = 1e-3


def build(name: str, input_shape: Shape, classes: int) -> Sequential:
    """Build and compile a network by name.

    Parameters
    ----------
    name
        A key of `RECIPES`.
    input_shape
        The shape of one input, ``(h, w, channels)``; ``linear`` and ``mlp`` take any.
    classes
        The number of classes, hence of the outputs.

    Returns
    -------
    fastconv.Sequential
        With random weights, compiled with Adam and cross-entropy for labels ``0 .. classes - 1``.

    Raises
    ------
    ValueError
        There is no such network, or the inputs are too small for it.

    Examples
    --------
    >>> from fastconv import zoo
    >>> zoo.build("textbook", (28, 28, 1), 10).count_params()
    8586
    """
    if name not in RECIPES:
        raise ValueError(f"build: name must be one of {', '.join(RECIPES)}, got {name!r}")
    recipe = RECIPES[name]
    model = Sequential(recipe.layers(input_shape, classes), name=name)
    compile_classifier(model, recipe.learning_rate)
    return model


def compile_classifier(model: BaseModel, learning_rate: float) -> None:
    """Compile a network with softmax outputs for class labels, as every network here is."""
    model.compile(
        optimizer=Adam(learning_rate=learning_rate), loss="sparse_categorical_crossentropy", metrics=["accuracy"]
    )


def _linear(input_shape: Shape, classes: int) -> list[Layer]:
    return [Flatten(input_shape=input_shape), Dense(classes, activation="softmax")]


def _mlp(input_shape: Shape, classes: int) -> list[Layer]:
    return [
        Flatten(input_shape=input_shape),
        Dense(128, activation="relu"),
        Dropout(0.2),
        Dense(classes, activation="softmax"),
    ]


def _lenet5(input_shape: Shape, classes: int) -> list[Layer]:
    """LeCun et al. (1998) with ReLU and max pooling; "same" padding makes a 28x28 image the paper's 32x32."""
    return [
        Conv2D(6, 5, padding="same", activation="relu", input_shape=input_shape),
        MaxPooling2D(2),
        Conv2D(16, 5, activation="relu"),
        MaxPooling2D(2),
        Flatten(),
        Dense(120, activation="relu"),
        Dense(84, activation="relu"),
        Dense(classes, activation="softmax"),
    ]


def _textbook(input_shape: Shape, classes: int) -> list[Layer]:
    """Stay with the published network, which has no activation but the softmax."""
    return [
        Conv2D(8, 7, strides=2, input_shape=input_shape),
        Conv2D(16, 5, strides=2),
        Conv2D(32, 3),
        GlobalAveragePooling2D(),
        Dense(classes, activation="softmax"),
    ]


def _fashion(input_shape: Shape, classes: int) -> list[Layer]:
    return [
        Conv2D(32, 3, padding="same", activation="relu", input_shape=input_shape),
        MaxPooling2D(2),
        Conv2D(64, 3, padding="same", activation="relu"),
        MaxPooling2D(2),
        Flatten(),
        Dropout(0.25),
        Dense(256, activation="relu"),
        Dropout(0.5),
        Dense(classes, activation="softmax"),
    ]


def _allconv(input_shape: Shape, classes: int) -> list[Layer]:
    """Springenberg et al. (2015), arXiv:1412.6806, on a small scale: a convolution of stride 2 wherever others pool."""

    def conv3x3(filters: int, strides: int = 1, **options: Unpack[LayerOptions]) -> Conv2D:
        # Five ReLU layers in a row: Glorot's smaller weights learn more slowly here.
        return Conv2D(
            filters, 3, strides, padding="same", activation="relu", kernel_initializer="he_uniform", **options
        )

    return [
        conv3x3(32, input_shape=input_shape),
        conv3x3(32, strides=2),
        conv3x3(64),
        conv3x3(64, strides=2),
        Dropout(0.25),
        conv3x3(64),
        Conv2D(classes, 1),
        GlobalAveragePooling2D(),
        Softmax(),
    ]


RECIPES = {
    "linear": Recipe(_linear, "softmax regression", epochs=10, batch_size=64),
    "mlp": Recipe(_mlp, "one hidden layer of 128 units", epochs=10, batch_size=64),
    "lenet5": Recipe(_lenet5, "LeNet-5: two convolutions with pooling, three dense layers", epochs=10, batch_size=64),
    "textbook": Recipe(_textbook, "three convolutions and 8,586 parameters on 28x28", epochs=10, batch_size=64),
    "fashion": Recipe(_fashion, "two wide convolutions with dropout, for Fashion-MNIST", epochs=8, batch_size=64),
    "allconv": Recipe(
        _allconv, "convolutions of stride 2 in place of pooling", epochs=8, batch_size=64, learning_rate=2e-3
    ),
}
