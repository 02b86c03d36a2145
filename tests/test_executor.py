"""The gradient of a ReLU before max pooling, which is taken behind it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from oracle import assert_same_bits

import fastconv as fc
from fastconv import activations
from fastconv.executor import Executor
from fastconv.initializers import Ones
from fastconv.layers import (
    Activation,
    Add,
    AveragePooling2D,
    BatchNormalization,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Flatten,
    GlobalMaxPooling2D,
    Layer,
    MaxPooling2D,
    ReLU,
)
from fastconv.layers.base import WeightSpec

IMAGE = (9, 8, 2)


class Scale(Layer):
    """A layer of one's own, which makes a new dict of gradients."""

    def __init__(self, activation: str) -> None:
        super().__init__()
        self.activation = activations.get(activation)

    def weight_specs(self, input_shape: Any) -> dict[str, WeightSpec]:
        return {"scale": WeightSpec(input_shape[-1:], Ones())}

    def _forward(self, x: Any, training: bool) -> tuple[Any, Any]:
        y = x * self.params["scale"]
        return (y, (x, y)) if self.activation is None else (self.activation(y), (x, self.activation(y)))

    def _backward(self, saved: Any, grad_y: Any, needs_input: bool) -> Any:
        x, y = saved
        grad = grad_y if self.activation is None else self.activation.backward(grad_y, y)
        self.grads = {"scale": (grad * x).sum(axis=tuple(range(x.ndim - 1)))}
        return grad * self.params["scale"]


def pooled(x: Any) -> Any:
    return MaxPooling2D(2)(Conv2D(5, 3, activation="relu")(x))


def overlapping(x: Any) -> Any:
    return MaxPooling2D(3, strides=2, padding="same")(ReLU()(BatchNormalization()(Conv2D(4, 3)(x))))


def global_maximum(x: Any) -> Any:
    return GlobalMaxPooling2D()(DepthwiseConv2D(3, depth_multiplier=2, activation="relu")(x))


def twice(x: Any) -> Any:
    convolve = Conv2D(2, 3, padding="same", activation="relu")
    return MaxPooling2D(2)(convolve(MaxPooling2D(2)(convolve(x))))


def of_ones_own(x: Any) -> Any:
    return MaxPooling2D(2)(Scale("relu")(x))


def read_by_two(x: Any) -> Any:
    y = Conv2D(3, 3, padding="same", activation="relu")(x)
    return Add()([MaxPooling2D(3, strides=1, padding="same")(y), y])


def of_a_mean(x: Any) -> Any:
    return AveragePooling2D(2)(Conv2D(3, 3, activation="relu")(x))


def of_another_activation(x: Any) -> Any:
    return MaxPooling2D(2)(Activation("tanh")(Conv2D(3, 3)(x)))


def of_the_input(x: Any) -> Any:
    return MaxPooling2D(2)(x)


BEHIND = {pooled: 1, overlapping: 1, global_maximum: 1, twice: 2, of_ones_own: 1}
BEFORE = [read_by_two, of_a_mean, of_another_activation, of_the_input]


def gradients(model: Any, x: Any, inspect: Any) -> list[Any]:
    executor = Executor(model.program, inspect)
    y = executor.forward([x], training=True, needs_inputs=True)[0]
    grad_x = executor.backward([np.random.default_rng(1).standard_normal(y.shape).astype(x.dtype)])
    return [y, *grad_x, *(grad.copy() for layer in model.layers for grad in layer.grads.values())]


@pytest.mark.parametrize("rest", [*BEHIND, *BEFORE], ids=lambda rest: rest.__name__)
def test_gradients_are_those_of_every_step_alone(rest: Callable[[Any], Any], rng: np.random.Generator) -> None:
    inputs = fc.Input(IMAGE)
    model = fc.Model(inputs, Dense(3)(Flatten()(rest(inputs))))
    assert sum(step.rectified for step in model.program.steps) == BEHIND.get(rest, 0)
    x = rng.standard_normal((4, *IMAGE)).astype(np.float32)
    x[1] = -abs(x[1]).max()  # whole windows of zeros, perhaps
    x[2, 3, 3, 0] = np.nan
    state = {name: array.copy() for layer in model.layers for name, array in layer.state.items()}
    found = gradients(model, x, None)
    for layer in model.layers:
        for name, array in layer.state.items():
            array[...] = state[name]
    expected = gradients(model, x, lambda *shown: None)  # who looks on sees the gradient of each layer
    assert len(found) == len(expected) > 2
    for one, other in zip(found, expected, strict=True):
        assert_same_bits(one, other)


def test_new_gradients_of_an_output_layer_reach_the_optimizer(rng: np.random.Generator) -> None:
    model = fc.Sequential([Scale("softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.train_on_batch(rng.standard_normal((8, 3)), rng.integers(0, 3, 8))
    assert (model.layers[0].params["scale"] != 1).all()


def test_a_tensor_that_is_an_output_too_keeps_its_own_gradient(rng: np.random.Generator) -> None:
    inputs = fc.Input(IMAGE)
    maps = Conv2D(3, 3, activation="relu")(inputs)
    model = fc.Model(inputs, [maps, MaxPooling2D(2)(maps)])
    assert not any(step.rectified for step in model.program.steps)


def test_frozen_layers_before_are_left_alone(rng: np.random.Generator) -> None:
    inputs = fc.Input(IMAGE)
    frozen = Conv2D(3, 3, activation="relu")
    frozen.trainable = False
    model = fc.Model(inputs, Dense(2)(Flatten()(MaxPooling2D(2)(frozen(inputs)))))
    executor = Executor(model.program)
    y = executor.forward([rng.standard_normal((2, *IMAGE)).astype(np.float32)], training=True)[0]
    assert executor.backward([np.ones_like(y)]) == [None]
    assert not frozen.grads
