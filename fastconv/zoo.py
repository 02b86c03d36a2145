"""Small networks by name, each with the settings it is trained with by default.

The settings were chosen on a tenth of the training sets, held out; never on a test set. Those of ``alexnet``, for which
there is no set of large images here, on 1,000 of 6,000 images of Fashion-MNIST, enlarged to 67x67.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Unpack

from fastconv.initializers import Constant, RandomNormal
from fastconv.layers import (
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    Layer,
    LocalResponseNormalization,
    MaxPooling2D,
    SeparableConv2D,
    Softmax,
)
from fastconv.layers.base import LayerOptions
from fastconv.models import BaseModel, Sequential
from fastconv.optimizers import Adam

__all__ = ["RECIPES", "Recipe", "build"]

Shape = tuple[int, ...]

# 67 -> 15 -> 7 -> 3 -> 1 by AlexNet's first convolution and the three poolings.
ALEXNET_LEAST = 67


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
    image, classes
        What the network is meant for, and ``fastconv summary`` shows it with.
    """

    layers: Callable[[Shape, int], list[Layer]]
    summary: str
    epochs: int
    batch_size: int
    learning_rate: float = 1e-3
    image: Shape = (28, 28, 1)
    classes: int = 10


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

    References
    ----------
    ``lenet5``: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-Based Learning Applied to Document Recognition",
    Proc. IEEE 86, 1998. ``allconv``: J. Springenberg et al., "Striving for Simplicity: The All Convolutional Net",
    arXiv:1412.6806, 2015. ``alexnet``: A. Krizhevsky, I. Sutskever, G. Hinton, "ImageNet Classification with Deep
    Convolutional Neural Networks", NeurIPS 2012.

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


def _textbook(
    input_shape: Shape, classes: int, convolution: type[Conv2D] | type[SeparableConv2D] = Conv2D
) -> list[Layer]:
    """Stay with the published network, which has no activation but the softmax."""
    return [
        convolution(8, 7, strides=2, input_shape=input_shape),
        convolution(16, 5, strides=2),
        convolution(32, 3),
        GlobalAveragePooling2D(),
        Dense(classes, activation="softmax"),
    ]


def _textbook_separable(input_shape: Shape, classes: int) -> list[Layer]:
    return _textbook(input_shape, classes, SeparableConv2D)


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


def _alexnet(input_shape: Shape, classes: int) -> list[Layer]:
    """Krizhevsky et al. (2012): eight layers, of which 2, 4 and 5 are in two groups, once a GPU each.

    The first weights are those of section 5: from N(0, 0.01^2), and biases of 1 where they give ReLUs a start.
    """
    if len(input_shape) == 3 and min(input_shape[:2]) < ALEXNET_LEAST:
        height, width, _ = input_shape
        raise ValueError(
            f"alexnet: images must be at least {ALEXNET_LEAST}x{ALEXNET_LEAST}, got {height}x{width}; "
            "those of the paper are 227x227"
        )
    normal, one = RandomNormal(stddev=0.01), Constant(1.0)

    def convolve(filters: int, kernel: int, groups: int, bias: object = "zeros") -> Conv2D:
        return Conv2D(
            filters,
            kernel,
            padding="same",
            groups=groups,
            activation="relu",
            kernel_initializer=normal,
            bias_initializer=bias,
        )

    def normalized() -> LocalResponseNormalization:
        # Section 3.3; the paper's alpha of 0.0001 multiplies the sum of the five squares, the layer's their mean.
        return LocalResponseNormalization(5, alpha=5e-4, beta=0.75, k=2.0)

    def dense() -> list[Layer]:
        return [
            Dense(4096, activation="relu", kernel_initializer=normal, bias_initializer=one),
            Dropout(0.5),
        ]

    return [
        Conv2D(96, 11, 4, activation="relu", kernel_initializer=normal, input_shape=input_shape),
        normalized(),
        MaxPooling2D(3, 2),
        convolve(256, 5, 2, one),
        normalized(),
        MaxPooling2D(3, 2),
        convolve(384, 3, 1),
        convolve(384, 3, 2, one),
        convolve(256, 3, 2, one),
        MaxPooling2D(3, 2),
        Flatten(),
        *dense(),
        *dense(),
        Dense(classes, activation="softmax", kernel_initializer=normal),
    ]


RECIPES = {
    "linear": Recipe(_linear, "softmax regression", epochs=10, batch_size=64),
    "mlp": Recipe(_mlp, "one hidden layer of 128 units", epochs=10, batch_size=64),
    "lenet5": Recipe(_lenet5, "LeNet-5: two convolutions with pooling, three dense layers", epochs=10, batch_size=64),
    "textbook": Recipe(_textbook, "three convolutions and 8,586 parameters on 28x28", epochs=10, batch_size=64),
    "textbook-separable": Recipe(
        _textbook_separable,
        "the same with separable convolutions, 1,427 parameters",
        epochs=15,
        batch_size=64,
        learning_rate=3e-3,
    ),
    "fashion": Recipe(_fashion, "two wide convolutions with dropout, for Fashion-MNIST", epochs=8, batch_size=64),
    "allconv": Recipe(
        _allconv, "convolutions of stride 2 in place of pooling", epochs=8, batch_size=64, learning_rate=2e-3
    ),
    "alexnet": Recipe(
        _alexnet,
        "AlexNet: five convolutions, three dense layers, 60,965,224 parameters on 227x227x3",
        epochs=10,
        batch_size=128,
        learning_rate=3e-4,
        image=(227, 227, 3),
        classes=1000,
    ),
}
