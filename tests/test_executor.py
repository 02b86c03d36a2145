"""Steps that run as one: a ReLU's gradient behind max pooling; batch normalization, the sum and the ReLU behind it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from oracle import assert_same_bits

import fastconv as fc
from fastconv import activations
from fastconv.executor import Executor, Program
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


def assert_steps_alone_do_the_same(model: Any, x: Any) -> None:
    before = [dict(layer.state) for layer in model.layers]
    found = gradients(model, x, None)
    after = [layer.state for layer in model.layers]
    for layer, state in zip(model.layers, before, strict=True):
        layer.state = state
    expected = gradients(model, x, lambda *shown: None)  # who looks on sees the output and gradient of each layer
    assert len(found) == len(expected) > 2
    for one, other in zip(found, expected, strict=True):
        assert_same_bits(one, other)
    for layer, state in zip(model.layers, after, strict=True):
        for name, array in layer.state.items():
            assert_same_bits(state[name], array)


@pytest.mark.parametrize("rest", [*BEHIND, *BEFORE], ids=lambda rest: rest.__name__)
def test_gradients_are_those_of_every_step_alone(rest: Callable[[Any], Any], rng: np.random.Generator) -> None:
    inputs = fc.Input(IMAGE)
    model = fc.Model(inputs, Dense(3)(Flatten()(rest(inputs))))
    assert sum(step.rectified for step in model.program.steps) == BEHIND.get(rest, 0)
    x = rng.standard_normal((4, *IMAGE)).astype(np.float32)
    x[1] = -abs(x[1]).max()  # whole windows of zeros, perhaps
    x[2, 3, 3, 0] = np.nan
    assert_steps_alone_do_the_same(model, x)


def rectified(x: Any, **options: Any) -> Any:
    return ReLU()(BatchNormalization(gamma_initializer="random_normal", beta_initializer="random_normal", **options)(x))


def residual(x: Any) -> Any:
    y = rectified(Conv2D(4, 3, padding="same")(x))
    y = BatchNormalization()(Conv2D(4, 3, padding="same")(y))
    return Activation("relu")(Add()([y, BatchNormalization()(Conv2D(4, 1)(x))]))


def identity(x: Any) -> Any:
    shortcut = rectified(x)
    return ReLU()(Add()([shortcut, BatchNormalization(scale=False)(Conv2D(2, 3, padding="same")(shortcut))]))


def before_a_maximum(x: Any) -> Any:
    y = BatchNormalization(center=False)(Conv2D(4, 3, padding="same")(x))
    return MaxPooling2D(2)(ReLU()(Add()([Conv2D(4, 1)(x), y])))


def frozen(x: Any) -> Any:
    layer = BatchNormalization(moving_mean_initializer="random_normal", beta_initializer="random_normal")
    layer.trainable = False
    other = BatchNormalization()
    other.trainable = False
    y = ReLU()(layer(Conv2D(4, 3, padding="same")(x)))
    return ReLU()(Add()([Conv2D(4, 1)(x), other(Conv2D(4, 3, padding="same")(y))]))


def shared(x: Any) -> Any:
    layer = BatchNormalization(beta_initializer="random_normal")
    return ReLU()(layer(Conv2D(2, 3, padding="same")(ReLU()(layer(x)))))


def along_another_axis(x: Any) -> Any:
    y = rectified(Conv2D(4, 3, padding="same")(x), axis=1)
    return ReLU()(Add()([BatchNormalization(axis=2)(y), Conv2D(4, 1)(x)]))


def in_another_model(x: Any) -> Any:
    inner = fc.Input((None, None, 2))
    return fc.Model(inner, ReLU()(Add()([BatchNormalization()(Conv2D(2, 3, padding="same")(inner)), inner])))(x)


def of_a_repeated_row(x: Any) -> Any:
    y = BatchNormalization()(Conv2D(2, 3, padding="same")(x))
    return ReLU()(Add()([y, MaxPooling2D((9, 1))(x)]))


def of_itself(x: Any) -> Any:
    y = BatchNormalization()(x)
    return ReLU()(Add()([y, y]))


def of_three(x: Any) -> Any:
    return ReLU()(Add()([x, Conv2D(2, 1)(x), BatchNormalization()(x)]))


def seen_elsewhere(x: Any) -> Any:
    y = BatchNormalization()(x)
    return Add()([ReLU()(y), y])


def of_another_dtype(x: Any) -> Any:
    return ReLU()(BatchNormalization(dtype="float64")(x))


def cut(x: Any) -> Any:
    return ReLU(max_value=1)(BatchNormalization()(x))


JOINED = {
    residual: 2,
    identity: 2,
    before_a_maximum: 1,
    frozen: 2,
    along_another_axis: 2,
    in_another_model: 1,
    overlapping: 1,
}
APART = [shared, of_a_repeated_row, of_itself, of_three, seen_elsewhere, of_another_dtype, cut]


@pytest.mark.parametrize("rest", [*JOINED, *APART], ids=lambda rest: rest.__name__)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_joined_normalizations_do_what_their_layers_do(
    rest: Callable[[Any], Any], dtype: str, rng: np.random.Generator
) -> None:
    inputs = fc.Input(IMAGE)
    model = fc.Model(inputs, Dense(3)(Flatten()(rest(inputs))))
    if dtype == "float64":
        for layer in model.leaves().values():
            layer.dtype = np.dtype(dtype)
    program = Program.of_graph(model.graph)  # of the layers as they are now
    joined = sum(step.joined for step in program.joined)
    assert joined == (JOINED.get(rest, 0) if rest is not of_another_dtype or dtype == "float32" else 1)
    assert len(program.joined) < len(program.steps) or joined == 0
    x = rng.standard_normal((4, *IMAGE)).astype(dtype)
    assert_steps_alone_do_the_same(model, x)
    x[2, 3, 3, 0] = np.nan
    assert_steps_alone_do_the_same(model, x)


def test_a_joined_normalization_names_itself_in_errors(rng: np.random.Generator) -> None:
    inputs = fc.Input((4, 4, 3))
    layer = BatchNormalization(name="normal")
    model = fc.Model(inputs, ReLU()(layer(inputs)))
    layer.params["gamma"] = np.ones(2, np.float32)
    with pytest.raises(ValueError, match=r"normal: params\['gamma'\] must have shape \(3,\), got \(2,\)"):
        model(rng.standard_normal((2, 4, 4, 3)))
    layer.params["gamma"] = np.ones(3, np.float32)
    layer.state["moving_mean"] = np.ones(2)
    with pytest.raises(ValueError, match=r"normal: moving_mean must have shape \(3,\)"):
        model(rng.standard_normal((2, 4, 4, 3)))


class Turned(Layer):
    """A layer of one's own whose gradient has the shape of another one's."""

    def _forward(self, x: Any, training: bool) -> Any:
        return x, None

    def _backward(self, saved: None, grad_y: Any, needs_input: bool) -> Any:
        return grad_y.swapaxes(1, 2)


@pytest.mark.parametrize("added", [False, True])
def test_a_joined_normalization_refuses_gradients_of_another_shape(added: bool) -> None:
    inputs = fc.Input(IMAGE)
    y = BatchNormalization(name="normal")(inputs)
    model = fc.Model(inputs, Turned()(ReLU()(Add()([y, inputs]) if added else y)))
    executor = Executor(model.program)
    (output,) = executor.forward([np.ones((2, *IMAGE), np.float32)], training=True)
    with pytest.raises(ValueError, match=r"normal: grad_y must have the output's shape \(2, 9, 8, 2\), got \(2, 8,"):
        executor.backward([np.ones_like(output)])


def test_a_shortcut_whose_size_only_the_outer_model_knows(rng: np.random.Generator) -> None:
    inner = fc.Input((None, None, 2))
    y = BatchNormalization()(Conv2D(2, 3, padding="same")(inner))
    block = fc.Model(inner, ReLU()(Add()([y, MaxPooling2D(4, padding="same")(inner)])))
    inputs = fc.Input((4, 4, 2))
    model = fc.Model(inputs, Dense(3)(Flatten()(block(inputs))))  # there the shortcut is a pixel that is repeated
    assert_steps_alone_do_the_same(model, rng.standard_normal((3, 4, 4, 2)).astype(np.float32))


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
