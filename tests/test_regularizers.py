"""Penalties on weights, and weights that are not trained."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastconv as fc
from fastconv import regularizers
from fastconv.initializers import Zeros
from fastconv.layers import Conv2D, Dense, DepthwiseConv2D, Flatten, Layer
from fastconv.layers.base import WeightSpec
from fastconv.optimizers import SGD
from fastconv.regularizers import L1, L1L2, L2

ALL = [L1(0.3), L2(0.7), L1L2(0.2, 0.5)]


@pytest.mark.parametrize("regularizer", ALL, ids=repr)
def test_penalty_and_gradient_by_the_formula(regularizer: Any, rng: np.random.Generator) -> None:
    weight = rng.standard_normal((3, 2, 4))
    l1, l2 = getattr(regularizer, "l1", 0.0), getattr(regularizer, "l2", 0.0)
    assert regularizer(weight) == pytest.approx(l1 * np.abs(weight).sum() + l2 * (weight**2).sum(), rel=1e-14)
    direction = rng.standard_normal(weight.shape)
    difference = (regularizer(weight + 1e-6 * direction) - regularizer(weight - 1e-6 * direction)) / 2e-6
    assert (regularizer.gradient(weight) * direction).sum() == pytest.approx(difference, rel=1e-7)
    assert regularizer.gradient(weight.astype(np.float32)).dtype == np.float32
    assert regularizer.gradient(np.zeros(2)).tolist() == [0, 0]


def test_names_have_the_defaults_of_keras() -> None:
    assert repr(regularizers.get("l1")) == "L1(l1=0.01)"
    assert repr(regularizers.get("l2")) == "L2(l2=0.01)"
    assert repr(regularizers.get("l1_l2")) == "L1L2(l1=0.01, l2=0.01)"
    assert repr(L1L2()) == "L1L2(l1=0.0, l2=0.0)"


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: L2(-1), ValueError, "L2: l2 must be finite and not negative, got -1"),
        (lambda: L1(float("nan")), ValueError, "L1: l1 must be finite and not negative, got nan"),
        (lambda: L1L2("x"), TypeError, "L1L2: l1 must be a number, got 'x'"),  # type: ignore[arg-type]
        (lambda: Dense(2, kernel_regularizer="l3"), ValueError, "Dense: kernel_regularizer must be one of .*'l3'"),
        (lambda: Conv2D(2, 3, bias_regularizer=0.1), TypeError, "Conv2D: bias_regularizer must be one of .*0.1"),
        (lambda: Flatten(kernel_regularizer="l2"), TypeError, r"Flatten.*unexpected keyword argument 'kernel_reg"),
    ],
)
def test_what_is_no_regularizer_is_refused(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_the_kernel_of_a_depthwise_convolution_has_a_regularizer_by_its_name_in_keras() -> None:
    layer = DepthwiseConv2D(1, depthwise_initializer="ones", depthwise_regularizer=L1(0.5), bias_regularizer="l2")
    layer.build((None, 2, 2, 3))
    assert layer.penalty() == pytest.approx(1.5)
    assert DepthwiseConv2D.from_config(layer.get_config()).regularizers.keys() == {"kernel", "bias"}
    with pytest.raises(TypeError, match="unexpected keyword argument 'kernel_regularizer'"):
        DepthwiseConv2D(1, kernel_regularizer="l2")


def _model(**options: Any) -> fc.Sequential:
    return fc.Sequential([Dense(2, kernel_initializer="ones", input_shape=(3,), **options), Dense(1)])


def test_the_penalty_is_in_the_loss_and_its_gradient_in_the_step(rng: np.random.Generator) -> None:
    plain, penalized = _model(), _model(kernel_regularizer=L1L2(0.1, 0.2), bias_regularizer="l2")
    penalized.set_weights(plain.get_weights())
    x, y = rng.random((8, 3)), rng.random((8, 1))
    for model in (plain, penalized):
        model.compile(SGD(0.5), "mse")
    penalty = 0.1 * 6 + 0.2 * 6
    loss = plain.evaluate(x, y, verbose=0)
    assert penalized.evaluate(x, y, batch_size=3, verbose=0) == pytest.approx(loss + penalty, rel=1e-6)
    before = plain.get_weights()
    assert penalized.train_on_batch(x, y) == pytest.approx(plain.train_on_batch(x, y) + penalty, rel=1e-6)
    difference = plain.get_weights()[0] - penalized.get_weights()[0]
    np.testing.assert_allclose(difference, 0.5 * (0.1 + 2 * 0.2 * before[0]), rtol=1e-5)
    np.testing.assert_array_equal(plain.get_weights()[2], penalized.get_weights()[2])


def test_a_shared_layer_is_penalized_once() -> None:
    layer = Dense(1, use_bias=False, kernel_initializer="ones", kernel_regularizer=L2(1.0))
    x = fc.Input((1,))
    model = fc.Model(x, layer(layer(x)))
    model.compile(SGD(0.5), "mse")
    # The output 1 is right; of the loss 1 * w**2 the gradient 2 is left.
    assert model.train_on_batch([[1.0]], [[1.0]]) == 1
    assert layer.params["kernel"] == 0


def test_the_loss_of_an_epoch_holds_the_penalty_of_each_step() -> None:
    model = fc.Sequential(
        [Dense(1, use_bias=False, kernel_initializer="ones", input_shape=(1,), kernel_regularizer=L2(1))]
    )
    model.compile(SGD(0.25), "mse")
    # x = 0: only the penalty trains. w is 1, then 0.5; the means of 1 and 0.25 over batches of 3 and 1.
    history = model.fit(np.zeros((4, 1)), np.zeros((4, 1)), batch_size=3, shuffle=False, verbose=0).history
    assert history["loss"] == [(3 * 1 + 1 * 0.25) / 4]


def test_files_and_configurations_hold_regularizers(tmp_path: Path) -> None:
    model = _model(kernel_regularizer="l1_l2")
    assert model.layers[0].get_config()["kernel_regularizer"] == {
        "class_name": "L1L2",
        "config": {"l1": 0.01, "l2": 0.01},
    }
    model.compile("sgd", "mse")
    model.save(tmp_path / "m.npz")
    again = fc.load_model(tmp_path / "m.npz")
    assert again.to_json() == model.to_json()
    assert again.evaluate([[1, 2, 3]], [[0]], verbose=0) == model.evaluate([[1, 2, 3]], [[0]], verbose=0)


# trainable = False


class Mean(Layer):
    """As batch normalization does: training changes its state, unless it is frozen."""

    def state_specs(self, input_shape: Any) -> dict[str, WeightSpec]:
        return {"mean": WeightSpec((), Zeros())}

    def _forward(self, x: np.ndarray, training: bool) -> tuple[np.ndarray, None]:
        if training and self.trainable:
            self.state["mean"] = x.mean()
        return x, None

    def _backward(self, saved: None, grad_y: np.ndarray, needs_input: bool) -> np.ndarray:
        return grad_y


def test_frozen_layers_pass_gradients_on_but_have_none(rng: np.random.Generator) -> None:
    for layer in (Dense(2), Conv2D(2, 3, padding="same"), Conv2D(2, 3, padding="same", data_format="channels_first")):
        x = rng.standard_normal((2, 4, 4, 4)).astype(np.float32)
        y = layer.forward(x, training=True)
        grad_x = layer.backward(np.ones_like(y))
        assert set(layer.grads) == {"kernel", "bias"}
        layer.trainable = False
        np.testing.assert_array_equal(layer.backward(np.ones_like(y)), grad_x)
        assert layer.grads == {}


def test_frozen_layers_are_not_trained_nor_penalized(rng: np.random.Generator) -> None:
    model = fc.Sequential(
        [
            Dense(3, input_shape=(3,), name="first"),
            Dense(3, name="frozen", trainable=False, kernel_regularizer="l2"),
            Mean(name="mean"),
            Dense(1, name="last"),
        ]
    )
    model.compile("adam", "mse")
    x, y = rng.random((8, 3)), rng.random((8, 1))
    assert model.evaluate(x, y, verbose=0) == pytest.approx(((model.predict(x) - y) ** 2).mean(), rel=1e-5)
    before = {layer.name: [array.copy() for array in layer.params.values()] for layer in model.layers}
    model.fit(x, y, epochs=2, verbose=0)
    changed = {
        name: any(not np.array_equal(a, b) for a, b in zip(arrays, model.get_layer(name).params.values(), strict=True))
        for name, arrays in before.items()
    }
    assert changed == {"first": True, "frozen": False, "mean": False, "last": True}
    assert set(model.optimizer.slots["velocity"]) == {f"{n}/{w}" for n in ("first", "last") for w in ("kernel", "bias")}  # type: ignore[union-attr]
    assert model.get_layer("mean").state["mean"] != 0


def test_layers_before_the_first_trained_weight_are_not_run_backward(rng: np.random.Generator) -> None:
    class Frozen(Dense):
        def _backward(self, *arguments: Any) -> None:
            raise AssertionError("nobody needs it")

    model = fc.Sequential([Frozen(3, input_shape=(2,), trainable=False), Dense(1)])
    model.compile("sgd", "mse")
    model.train_on_batch(np.ones((4, 2)), np.ones((4, 1)))


def test_freezing_a_model_freezes_its_layers_also_their_state(rng: np.random.Generator) -> None:
    inner = fc.Sequential([Dense(3, name="dense"), Mean(name="mean")], name="inner")
    model = fc.Sequential([inner, Dense(1)])
    model.build((None, 2))
    inner.trainable = False
    assert [layer.trainable for layer in model.leaves().values()] == [False, False, True]
    model.compile("sgd", "mse")
    before = inner.get_weights()
    model.fit(rng.random((4, 2)), rng.random((4, 1)), verbose=0)
    for old, new in zip(before, inner.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    model.trainable = True
    assert all(layer.trainable for layer in model.leaves().values())


def test_summary_counts_what_is_trained() -> None:
    model = fc.Sequential([Dense(2, input_shape=(3,), trainable=False), Mean(), Dense(1)])
    lines: list[str] = []
    model.summary(print_fn=lines.append)
    totals = lines[0].splitlines()[-3:]
    assert [line.split(" (")[0] for line in totals] == [
        "Total params: 12",
        "Trainable params: 3",
        "Non-trainable params: 9",
    ]


def test_trainable_is_saved(tmp_path: Path, rng: np.random.Generator) -> None:
    model = fc.Sequential([Dense(2, input_shape=(3,), trainable=False, name="frozen"), Dense(1)])
    model.compile("adam", "mse")
    model.fit(rng.random((4, 3)), rng.random((4, 1)), verbose=0)
    model.save(tmp_path / "m.npz")
    again = fc.load_model(tmp_path / "m.npz")
    assert not again.get_layer("frozen").trainable
    x, y = rng.random((4, 3)), rng.random((4, 1))
    assert again.fit(x, y, verbose=0, seed=0).history == model.fit(x, y, verbose=0, seed=0).history
