"""Symbolic tensors, graphs and the program that runs them."""

import copy
import gc
import pickle
import weakref
from typing import Any

import numpy as np
import pytest

import fastconv as fc
from fastconv import Input
from fastconv.executor import Executor, Program
from fastconv.layers import Add, Conv2D, Dense, Dropout, Flatten, Layer, Multiply, ReLU


def test_a_call_gives_the_shape_and_builds_the_layer_at_once() -> None:
    layer = Conv2D(4, 3)
    y = layer(Input((8, None, 2)))
    assert y.shape == (None, 6, None, 4)
    assert y.ndim == 4
    assert layer.params["kernel"].shape == (3, 3, 2, 4)


def test_a_symbolic_tensor_has_no_values() -> None:
    x = Input((3,), name="x")
    assert repr(x) == "<SymbolicTensor shape=(None, 3), from 'x'>"
    with pytest.raises(TypeError, match=r"a symbolic tensor \(from 'x'\) has no values"):
        np.asarray(x)


def test_arrays_and_symbolic_tensors_do_not_mix() -> None:
    with pytest.raises(TypeError, match="sum: every input must be a symbolic tensor, got ndarray"):
        Add(name="sum")([Input((3,)), np.zeros((1, 3))])
    with pytest.raises(TypeError, match="Model: inputs: every input must be a symbolic tensor, got ndarray"):
        fc.Model(np.zeros((1, 3)), Input((3,)))  # type: ignore[arg-type]


def test_a_layer_that_does_not_fit_is_refused_when_it_is_called() -> None:
    with pytest.raises(ValueError, match="conv: input must have axes"):
        Conv2D(1, 3, name="conv")(Input((4,)))
    with pytest.raises(ValueError, match="dense: input must be one array, got 2"):
        Dense(1, name="dense")([Input((4,)), Input((4,))])


def test_a_shared_layer_refuses_an_input_that_its_weights_do_not_fit() -> None:
    layer = Dense(2, name="dense")
    layer(Input((3,)))
    with pytest.raises(ValueError, match=r"dense: params\['kernel'\] must have shape \(4, 2\), got \(3, 2\)"):
        layer(Input((4,)))
    assert layer(np.ones((1, 3))).shape == (1, 2)


def test_disconnected_graphs_are_refused() -> None:
    a, b = Input((3,), name="a"), Input((3,), name="b")
    y = Add()([a, b])
    with pytest.raises(ValueError, match="Model: inputs must hold all that the outputs need, got none for 'b'"):
        fc.Model(a, y)
    with pytest.raises(ValueError, match="Model: every input must lead to an output, got 'c', which leads to none"):
        fc.Model([a, b, Input((1,), name="c")], y)
    with pytest.raises(ValueError, match="Model: inputs must be made by Input, got the output of 'sum'"):
        fc.Model(Add(name="sum")([a, b]), y)
    with pytest.raises(ValueError, match=r"Model: inputs must differ, got \['a', 'a', 'b'\]"):
        fc.Model([a, a, b], y)
    with pytest.raises(ValueError, match="Model: inputs and outputs must not be empty, got 0 and 1"):
        fc.Model([], y)


def test_two_layers_of_one_name_are_refused() -> None:
    x = Input((3,))
    with pytest.raises(ValueError, match="Model: layers must have names that differ, got 'twin' twice"):
        fc.Model(x, Dense(2, name="twin")(Dense(2, name="twin")(x)))


def test_long_chains_are_no_recursion() -> None:
    x = y = Input((1,))
    for _ in range(3000):
        y = ReLU()(y)
    model = fc.Model(x, y)
    for again in (model, copy.deepcopy(model), pickle.loads(pickle.dumps(model)), fc.Model.from_json(model.to_json())):
        assert len(again.layers) == 3001
        assert again.predict([[2.0]]) == 2


def test_steps_stand_after_those_that_they_need() -> None:
    x = Input((2,))
    first, second = Dense(2, name="first"), Dense(2, name="second")
    y = first(x)
    model = fc.Model(x, Add(name="sum")([second(first(y)), y]))
    names = [step.layer.name for step in model.program.steps]
    assert names == ["first", "first", "second", "sum"]
    for step in model.program.steps:
        assert max(step.inputs) < step.output


def test_models_within_models_are_replaced_by_their_layers() -> None:
    inner = fc.Sequential([Dense(2, name="a"), fc.Sequential([Dense(2, name="b")], name="deep")], name="inner")
    x = Input((3,))
    model = fc.Model(x, ReLU(name="c")(inner(x)))
    assert [step.layer.name for step in model.program.steps] == ["a", "b", "c"]
    assert list(model.leaves()) == [x.name, "inner/a", "inner/deep/b", "c"]


def test_an_input_is_converted_where_a_dtype_was_given() -> None:
    seen = []

    class Recorder(ReLU):
        def run(self, x: Any, training: bool) -> Any:
            seen.append(x.dtype)
            return super().run(x, training)

    for dtype in (None, "float32", "float64"):
        x = Input((2,), dtype=dtype)
        fc.Model(x, Recorder()(x)).predict(np.ones((1, 2), np.uint8))
    assert seen == [np.uint8, np.float32, np.float64]


class _Watched(np.ndarray):
    """An array that can be weakly referenced."""


class _Watch(Layer):
    """Says whether the outputs of its kind that ran before are still there."""

    def __init__(self, alive: list[Any], counts: list[int], **options: Any) -> None:
        super().__init__(**options)
        self.alive, self.counts = alive, counts

    def _forward(self, x: np.ndarray, training: bool) -> tuple[np.ndarray, Any]:
        y = (x + 1).view(_Watched)
        self.alive.append(weakref.ref(y))
        gc.collect()
        self.counts.append(sum(reference() is not None for reference in self.alive))
        return y, y if training else None

    def _backward(self, saved: Any, grad_y: np.ndarray, needs_input: bool) -> np.ndarray:
        del saved
        gc.collect()
        self.counts.append(sum(reference() is not None for reference in self.alive))
        return grad_y


def _chain(count: int) -> tuple[fc.Model, list[int]]:
    alive: list[Any] = []
    counts: list[int] = []
    x = Input((4,))
    y = Dense(4)(x)
    for _ in range(count):
        y = _Watch(alive, counts)(y)
    return fc.Model(x, y), counts


def test_forward_drops_an_array_when_its_last_reader_has_run() -> None:
    model, counts = _chain(6)
    model.predict(np.ones((2, 4)))
    # Each layer sees its own output and its input.
    assert counts == [1, 2, 2, 2, 2, 2]


def test_backward_drops_what_it_has_consumed() -> None:
    model, counts = _chain(4)
    executor = Executor(model.program)
    y = executor.forward([np.ones((2, 4), np.float32)], training=True)[0]
    shape = y.shape
    del y
    assert counts == [1, 2, 3, 4]
    counts.clear()
    executor.backward([np.ones(shape, np.float32)])
    assert counts == [4, 3, 2, 1]


def test_nothing_is_kept_for_layers_that_no_gradient_passes() -> None:
    alive: list[Any] = []
    counts: list[int] = []
    x = Input((4,))
    y = x
    for _ in range(3):
        y = _Watch(alive, counts)(y)
    model = fc.Model(x, Dense(1)(y))
    Executor(model.program).forward([np.ones((2, 4), np.float32)], training=True)
    assert counts == [1, 2, 2]


def test_backward_of_a_run_that_was_not_for_training_is_refused() -> None:
    x = Input((4,))
    executor = Executor(fc.Model(x, Dense(1)(x)).program)
    executor.forward([np.ones((1, 4))])
    with pytest.raises(RuntimeError, match="backward needs a forward pass with training=True"):
        executor.backward([np.ones((1, 1))])


def test_a_tensor_that_is_an_output_and_read_again_gets_both_gradients() -> None:
    x = Input((2,))
    y = Dense(2, use_bias=False, kernel_initializer="ones", name="dense", dtype="float64")(x)
    model = fc.Model(x, [y, Multiply(dtype="float64")([y, y])])
    first, second = model.forward([[1.0, 2.0]], training=True)
    np.testing.assert_array_equal(first, [[3, 3]])
    np.testing.assert_array_equal(second, [[9, 9]])
    grad_x = model.backward([np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])])
    # d(y0 + y1**2)/dy = (1, 2 * 3).
    np.testing.assert_array_equal(model.get_layer("dense").grads["kernel"], [[1, 6], [2, 12]])
    np.testing.assert_array_equal(grad_x, [[7, 7]])


def test_a_program_of_a_graph_without_layers_returns_its_input() -> None:
    x = Input((2,))
    program = Program.of_graph(fc.Model(x, x).graph)
    assert program.steps == ()
    assert Executor(program).forward([5]) == [5]


def test_dropout_draws_anew_at_each_call_and_backward_has_both_masks() -> None:
    x = Input((400,))
    dropout = Dropout(0.5, seed=1)
    model = fc.Model(x, [dropout(x), dropout(x)])
    first, second = model.forward(np.ones((1, 400)), training=True)
    assert not np.array_equal(first, second)
    grad_x = model.backward([np.ones((1, 400)), np.ones((1, 400))])
    np.testing.assert_array_equal(grad_x, first + second)


def test_a_nested_model_of_any_size_takes_the_shape_that_it_is_called_with() -> None:
    inner_x = Input((None, None, 1))
    inner = fc.Model(inner_x, Conv2D(2, 3)(inner_x), name="inner")
    x = Input((8, 7, 1))
    y = inner(x)
    assert y.shape == (None, 6, 5, 2)
    assert fc.Model(x, Flatten()(y)).predict(np.zeros((2, 8, 7, 1))).shape == (2, 60)
    with pytest.raises(ValueError, match=r"inner: x must have shape \(n, any, any, 1\), got \(None, 8, 7, 3\)"):
        inner(Input((8, 7, 3)))


def _residual(library: Any) -> Any:
    """Two residual blocks, the first with a convolution on its shortcut; all kernels have one shape."""
    layers = library.layers

    def normalized(x: Any, name: str) -> Any:
        x = layers.Conv2D(2, 3, padding="same", name=name)(x)
        return layers.BatchNormalization(name=f"{name}_norm")(x)

    x = library.Input((5, 5, 2), name="images")
    shortcut = normalized(x, "short")
    y = normalized(layers.ReLU(name="relu")(normalized(x, "first")), "second")
    y = layers.Add(name="sum")([y, shortcut])
    z = layers.Add(name="whole")([normalized(y, "third"), y])
    return library.Model(x, z)


def _shared(library: Any) -> Any:
    """A normalization on two branches, one of which has a layer more behind it."""
    layers = library.layers
    norm = layers.BatchNormalization(momentum=0.5, name="norm")
    x, y = library.Input((2,), name="x"), library.Input((2,), name="y")
    first = layers.ReLU(name="relu_x")(norm(x))
    second = layers.ReLU(name="relu_y")(norm(y))
    return library.Model([x, y], layers.Add(name="sum")([first, second]))


def test_layers_stand_in_the_order_of_keras() -> None:
    # As Keras 3.15 has them: by depth, and of one depth as a search from the outputs meets them.
    assert [layer.name for layer in _residual(fc).layers] == [
        *("images", "first", "first_norm", "relu", "second", "short", "second_norm", "short_norm", "sum", "third"),
        *("third_norm", "whole"),
    ]
    assert [layer.name for layer in _shared(fc).layers] == ["x", "y", "norm", "relu_x", "relu_y", "sum"]


def test_a_normalization_that_branches_share_meets_them_in_the_order_of_keras() -> None:
    model = _shared(fc)
    x, y = np.full((4, 2), 8.0), np.full((4, 2), 32.0)
    model.compile("sgd", "mse")
    model.train_on_batch([x, y], np.zeros((4, 2)))
    # Keras 3.15 calls it on y first: 0 -> (0 + 32) / 2 = 16 -> (16 + 8) / 2 = 12; the other way round it would be 18.
    np.testing.assert_allclose(model.get_layer("norm").state["moving_mean"], 12, rtol=1e-6)


def test_modules_of_torch_stand_branch_by_branch() -> None:
    # A residual block of torchvision: the path, then what its shortcut has.
    model = _residual(fc)
    assert [key.split(".")[0] for key in fc.convert.to_torch_state_dict(model) if key.endswith("running_mean")] == [
        *("first_norm", "second_norm", "short_norm", "third_norm")
    ]
