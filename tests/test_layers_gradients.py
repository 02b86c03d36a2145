"""Gradients of every layer against central differences in float64."""

import numpy as np
import pytest

from fastconv import activations, utils
from fastconv.layers import (
    ELU,
    Activation,
    AveragePooling2D,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    Layer,
    LeakyReLU,
    MaxPooling2D,
    PReLU,
    ReLU,
    Reshape,
    Softmax,
    ZeroPadding2D,
)
from fastconv.testing import check_gradient

NAMES = ["linear", "relu", "leaky_relu", "relu6", "sigmoid", "tanh", "softmax"]
NAMES += ["elu", "exponential", "gelu", "silu", "swish", "softplus"]
NAMES += ["selu", "log_sigmoid", "mish", "softsign", "hard_sigmoid", "hard_silu", "hard_tanh", "log_softmax"]
FORMATS = ["channels_last", "channels_first"]

IMAGE_LAYERS = [
    ("conv", lambda **o: Conv2D(4, (3, 2), **o)),
    ("conv-same-strided", lambda **o: Conv2D(4, 3, strides=(2, 3), padding="same", **o)),
    ("conv-dilated", lambda **o: Conv2D(2, 2, dilation_rate=(2, 3), **o)),
    ("conv-groups", lambda **o: Conv2D(4, 3, groups=2, **o)),
    ("conv-no-bias", lambda **o: Conv2D(4, 3, use_bias=False, **o)),
    ("conv-relu", lambda **o: Conv2D(4, 3, activation="relu", **o)),
    ("conv-tanh", lambda **o: Conv2D(4, 3, activation="tanh", **o)),
    ("conv-sigmoid", lambda **o: Conv2D(4, 3, activation="sigmoid", **o)),
    ("conv-leaky", lambda **o: Conv2D(4, 3, activation="leaky_relu", **o)),
    ("conv-gelu", lambda **o: Conv2D(4, 3, activation="gelu", **o)),
    ("conv-silu", lambda **o: Conv2D(4, 3, activation="silu", **o)),
    ("conv-elu", lambda **o: Conv2D(4, 3, activation="elu", **o)),
    ("conv-softmax", lambda **o: Conv2D(4, 3, activation="softmax", **o)),
    ("max", lambda **o: MaxPooling2D(2, **o)),
    ("max-overlapping-same", lambda **o: MaxPooling2D(3, strides=2, padding="same", **o)),
    ("average", lambda **o: AveragePooling2D((2, 3), **o)),
    ("average-same", lambda **o: AveragePooling2D(3, strides=2, padding="same", **o)),
    ("global-average", GlobalAveragePooling2D),
    ("global-average-keepdims", lambda **o: GlobalAveragePooling2D(keepdims=True, **o)),
    ("global-max", GlobalMaxPooling2D),
    ("flatten", Flatten),
    ("zero-padding", lambda **o: ZeroPadding2D(((1, 2), (0, 3)), **o)),
]


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("make", [make for _, make in IMAGE_LAYERS], ids=[name for name, _ in IMAGE_LAYERS])
def test_gradients_of_image_layers(make: object, data_format: str, rng: np.random.Generator) -> None:
    utils.set_random_seed(0)  # weights that keep a relu away from its kink, at every run
    layer = make(data_format=data_format, dtype="float64")  # type: ignore[operator]
    shape = (2, 7, 6, 4) if data_format == "channels_last" else (2, 4, 7, 6)
    check_gradient(layer, rng.standard_normal(shape))


@pytest.mark.parametrize(
    "layer",
    [
        Dense(3, dtype="float64"),
        Dense(3, activation="relu", dtype="float64"),
        Dense(3, activation="softmax", use_bias=False, dtype="float64"),
        Dense(3, activation="softplus", dtype="float64"),
        *(Activation(name, dtype="float64") for name in NAMES),
        Activation(activations.Gelu(approximate=True), dtype="float64"),
        ReLU(dtype="float64"),
        ReLU(max_value=1.0, negative_slope=0.25, threshold=0.5, dtype="float64"),
        LeakyReLU(0.1, dtype="float64"),
        ELU(0.5, dtype="float64"),
        PReLU("random_normal", dtype="float64"),
        PReLU("random_normal", shared_axes=1, dtype="float64"),
        Softmax(axis=1, dtype="float64"),
        Softmax(axis=[1], dtype="float64"),
        Softmax(axis=(-1, 0), dtype="float64"),
        Reshape((5, -1), dtype="float64"),
    ],
    ids=lambda layer: layer.name,
)
@pytest.mark.parametrize("shape", [(4, 10), (2, 3, 10)])
def test_gradients_of_other_layers(layer: Layer, shape: tuple[int, ...], rng: np.random.Generator) -> None:
    utils.set_random_seed(0)
    check_gradient(layer, rng.standard_normal(shape))


def test_dropout_gradient_has_the_mask_of_the_forward_pass(rng: np.random.Generator) -> None:
    layer = Dropout(0.5, seed=1)
    x = rng.standard_normal((8, 50)).astype(np.float32)
    y = layer.forward(x, training=True)
    grad_x = layer.backward(np.ones_like(y))
    np.testing.assert_allclose(grad_x, y / x)
