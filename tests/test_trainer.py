"""fit, evaluate and train_on_batch: what they compute, repeat, refuse, and how they are interrupted."""

import signal
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fastconv as fc
from fastconv import utils
from fastconv.callbacks import Callback
from fastconv.layers import Activation, Conv2D, Dense, Dropout, Flatten, Layer, MaxPooling2D, Softmax
from fastconv.losses import CategoricalCrossentropy
from fastconv.optimizers import SGD, Adam


def network(seed: int = 0, dropout: float = 0.0) -> fc.Sequential:
    utils.set_random_seed(seed)
    model = fc.Sequential(
        [
            Conv2D(4, 3, activation="relu", input_shape=(8, 8, 1)),
            MaxPooling2D(2),
            Flatten(),
            Dropout(dropout),
            Dense(3, activation="softmax"),
        ]
    )
    model.compile(Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


@pytest.fixture
def images(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.random((50, 8, 8, 1), np.float32), rng.integers(0, 3, 50)


Images = tuple[np.ndarray, np.ndarray]


def _equal(first: fc.Sequential, second: fc.Sequential) -> bool:
    pairs = zip(first.get_weights(), second.get_weights(), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def test_32_random_samples_are_learnt_by_heart(rng: np.random.Generator) -> None:
    model = network()
    x, y = rng.random((32, 8, 8, 1), np.float32), rng.integers(0, 3, 32)
    history = model.fit(x, y, epochs=300, verbose=0, seed=0).history
    assert history["loss"][-1] < 0.01
    assert history["accuracy"][-1] == 1
    assert model.evaluate(x, y, verbose=0) == pytest.approx([0, 1], abs=0.01)


def test_one_step_of_sgd_by_hand() -> None:
    model = fc.Sequential([Dense(1, kernel_initializer="ones", input_shape=(2,))])
    model.compile(SGD(0.1), "mse")
    # y = 3, loss (3 - 1)**2, gradient 2 * 2 * x.
    assert model.train_on_batch([[1.0, 2.0]], [[1.0]]) == 4
    np.testing.assert_allclose(model.layers[0].params["kernel"], [[0.6], [0.2]], rtol=1e-6)
    np.testing.assert_allclose(model.layers[0].params["bias"], [-0.4], rtol=1e-6)


@pytest.mark.parametrize("shuffle", [True, False])
def test_a_seed_repeats_training_bit_for_bit(images: Images, shuffle: bool) -> None:
    models = [network(dropout=0.5) for _ in range(2)]
    histories = [
        model.fit(*images, epochs=3, batch_size=16, verbose=0, shuffle=shuffle, seed=7).history for model in models
    ]
    assert histories[0] == histories[1]
    assert _equal(*models)


def test_another_seed_trains_otherwise(images: Images) -> None:
    first, second = network(), network()
    first.fit(*images, verbose=0, batch_size=16, seed=1)
    second.fit(*images, verbose=0, batch_size=16, seed=2)
    assert not _equal(first, second)


def test_a_run_resumed_by_initial_epoch_equals_the_uninterrupted_one(images: Images) -> None:
    whole, parts = network(dropout=0.5), network(dropout=0.5)
    whole.fit(*images, epochs=4, batch_size=16, verbose=0, seed=3)
    parts.fit(*images, epochs=2, batch_size=16, verbose=0, seed=3)
    history = parts.fit(*images, epochs=4, initial_epoch=2, batch_size=16, verbose=0, seed=3)
    assert history.epoch == [2, 3]
    assert _equal(whole, parts)


def test_an_epochs_mean_weights_each_batch_by_its_size() -> None:
    model = fc.Sequential([Activation("linear", input_shape=(1,))])
    model.compile("sgd", "mse")
    # Batches of 3 and 1: their means are 1 and 9.
    x, y = np.zeros((4, 1)), np.array([[1.0], [1.0], [1.0], [3.0]])
    assert model.fit(x, y, batch_size=3, shuffle=False, verbose=0).history["loss"] == [3.0]
    assert model.evaluate(x, y, batch_size=3, verbose=0) == 3.0


def test_every_sample_is_seen_once_an_epoch_in_another_order(images: Images) -> None:
    seen: list[list[int]] = [[]]

    class Recorder(Layer):
        def _forward(self, x: np.ndarray, training: bool) -> tuple[np.ndarray, None]:
            seen[-1] += x[:, 0].astype(int).tolist()
            return x, None

    class NextEpoch(Callback):
        def on_epoch_end(self, epoch: int, logs: Any) -> None:
            seen.append([])

    model = fc.Sequential([Recorder(input_shape=(1,))])
    model.compile("sgd", "mse")
    samples = np.arange(10.0)[:, np.newaxis]
    model.fit(samples, samples, batch_size=4, epochs=2, verbose=0, seed=0, callbacks=[NextEpoch()])
    assert sorted(seen[0]) == sorted(seen[1]) == list(range(10))
    assert seen[0] != seen[1]


def test_a_trailing_softmax_trains_on_logits_whatever_layer_applies_it(images: Images) -> None:
    x, y = images
    results = []
    for tail in ([Dense(3, activation="softmax")], [Dense(3), Softmax()], [Dense(3), Activation("softmax")]):
        utils.set_random_seed(1)
        model = fc.Sequential([Flatten(input_shape=(8, 8, 1)), *tail])
        model.compile(SGD(0.1), "sparse_categorical_crossentropy")
        model.fit(x, y, verbose=0, seed=1)
        results.append(model.get_weights())
    utils.set_random_seed(1)
    logits = fc.Sequential([Flatten(input_shape=(8, 8, 1)), Dense(3)])
    logits.compile(SGD(0.1), CategoricalCrossentropy(from_logits=True))
    logits.fit(x, utils.to_categorical(y), verbose=0, seed=1)
    for weights in [*results[1:], logits.get_weights()]:
        for a, b in zip(weights, results[0], strict=True):
            np.testing.assert_allclose(a, b, atol=1e-7)


def test_saturated_softmax_and_sigmoid_still_learn() -> None:
    for activation, loss, y in (
        ("softmax", "sparse_categorical_crossentropy", [1]),
        ("sigmoid", "binary_crossentropy", [[0.0, 1.0]]),
    ):
        model = fc.Sequential([Dense(2, activation=activation, input_shape=(1,))])
        model.compile(SGD(1.0), loss)
        model.set_weights([[[1e4, -1e4]], [0.0, 0.0]])
        value = model.train_on_batch([[1.0]], y)
        assert value in (2e4, 1e4)
        assert model.layers[0].params["kernel"][0, 0] < 1e4
        assert np.isfinite(model.layers[0].params["kernel"]).all()


def test_predictions_are_probabilities_during_and_after_training(images: Images) -> None:
    outputs: list[np.ndarray] = []

    def record(y_true: np.ndarray, y_pred: np.ndarray) -> float:
        outputs.append(y_pred)
        return 0.0

    model = network()
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=[record])
    model.fit(*images, verbose=0)
    for y in (outputs[0], model.predict(images[0])):
        np.testing.assert_allclose(y.sum(axis=-1), 1, rtol=1e-5)


def test_layers_before_the_first_weights_are_not_run_backward(images: Images) -> None:
    class NoGradient(Layer):
        def _forward(self, x: np.ndarray, training: bool) -> tuple[np.ndarray, None]:
            return x, None

        def _backward(self, saved: None, grad_y: np.ndarray, needs_input: bool) -> None:
            raise AssertionError("nobody needs it")

    asked = []

    class First(Dense):
        def _backward(self, saved: Any, grad_y: np.ndarray, needs_input: bool) -> np.ndarray | None:
            asked.append(needs_input)
            return super()._backward(saved, grad_y, needs_input)

    model = fc.Sequential([NoGradient(input_shape=(2,)), First(3), First(1)])
    model.compile("sgd", "mse")
    model.train_on_batch(np.ones((4, 2)), np.ones((4, 1)))
    assert asked == [True, False]


def test_uint8_images_train_as_their_float_values_do(rng: np.random.Generator) -> None:
    x, y = rng.integers(0, 255, (20, 8, 8, 1)).astype(np.uint8), rng.integers(0, 3, 20)
    first, second = network(), network()
    first.fit(x, y, verbose=0, seed=1)
    second.fit(x.astype(np.float32), y, verbose=0, seed=1)
    assert _equal(first, second)


def test_training_leaves_the_data_unchanged(images: Images) -> None:
    before = [array.copy() for array in images]
    network().fit(*images, verbose=0, epochs=2)
    for array, copy in zip(images, before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_validation_split_takes_the_last_samples(images: Images) -> None:
    x, y = images
    first, second = network(), network()
    split = first.fit(x, y, validation_split=0.2, verbose=0, seed=1, epochs=2).history
    given = second.fit(x[:40], y[:40], validation_data=(x[40:], y[40:]), verbose=0, seed=1, epochs=2).history
    assert split == given
    assert set(split) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert second.evaluate(x[40:], y[40:], verbose=0) == [split["val_loss"][-1], split["val_accuracy"][-1]]


def test_an_iterable_of_batches_trains_as_its_arrays(images: Images) -> None:
    x, y = images
    batches = [(x[i : i + 20], y[i : i + 20]) for i in range(0, 50, 20)]
    first, second = network(), network()
    arrays = first.fit(x, y, batch_size=20, shuffle=False, verbose=0, epochs=2).history
    assert second.fit(batches, verbose=0, epochs=2).history == arrays
    assert _equal(first, second)
    assert second.evaluate(batches, verbose=0) == first.evaluate(x, y, batch_size=20, verbose=0)


def test_a_generator_that_is_used_up_is_an_error_in_the_second_epoch(images: Images) -> None:
    x, y = images

    def once() -> Iterator[Images]:
        yield x, y

    model = network()
    with pytest.raises(ValueError, match="x must yield at least one batch in every epoch, got none"):
        model.fit(once(), epochs=2, verbose=0)
    assert model.history is not None
    assert model.history.epoch == [0]


def test_class_weights_are_sample_weights_by_class(images: Images) -> None:
    x, y = images
    class_weight = {0: 0.5, 1: 2.0, 2: 1.0}
    first, second, one_hot = network(), network(), network()
    first.fit(x, y, class_weight=class_weight, verbose=0, seed=1)
    second.fit(x, y, sample_weight=np.array([class_weight[label] for label in y]), verbose=0, seed=1)
    assert _equal(first, second)
    one_hot.compile(Adam(0.01), "categorical_crossentropy")
    one_hot.fit(x, utils.to_categorical(y), class_weight=class_weight, verbose=0, seed=1)
    for a, b in zip(first.get_weights(), one_hot.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_samples_of_weight_zero_do_not_count(images: Images) -> None:
    x, y = images
    weights = (np.arange(50) < 25).astype(float)
    first, second = network(), network()
    first.train_on_batch(x, y, sample_weight=weights)
    second.train_on_batch(x, (y + (weights == 0)) % 3, sample_weight=weights)
    assert _equal(first, second)


def test_what_evaluate_and_train_on_batch_return(images: Images) -> None:
    model = network()
    loss, accuracy = model.evaluate(*images, verbose=0)  # type: ignore[misc]
    assert model.evaluate(*images, verbose=0, return_dict=True) == {"loss": loss, "accuracy": accuracy}
    assert model.train_on_batch(*images, return_dict=True) == {
        "loss": pytest.approx(loss),
        "accuracy": pytest.approx(accuracy),
    }
    model.compile(loss="sparse_categorical_crossentropy")
    assert isinstance(model.evaluate(*images, verbose=0), float)


class _InterruptUpdate(SGD):
    """Receives Ctrl-C in the middle of its third update."""

    def _step(self, *arguments: Any) -> None:
        super()._step(*arguments)
        if self.iterations == 2:
            signal.raise_signal(signal.SIGINT)


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Ctrl-C as at a terminal: a shell starts its background jobs with it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_finishes_the_update_and_leaves_a_usable_model(images: Images) -> None:
    handler = signal.getsignal(signal.SIGINT)
    stopped, reference = network(), network()
    stopped.compile(_InterruptUpdate(0.1), "sparse_categorical_crossentropy")
    reference.compile(SGD(0.1), "sparse_categorical_crossentropy")
    with pytest.raises(KeyboardInterrupt):
        stopped.fit(*images, batch_size=25, epochs=5, shuffle=False, verbose=0)
    assert signal.getsignal(signal.SIGINT) is handler
    assert stopped.history is not None
    assert stopped.history.epoch == [0]
    for part in (0, 25, 0):
        reference.train_on_batch(images[0][part : part + 25], images[1][part : part + 25])
    assert _equal(stopped, reference)
    stopped.compile(SGD(0.1), "sparse_categorical_crossentropy")
    assert len(stopped.fit(*images, verbose=0).epoch) == 1
    assert np.isfinite(stopped.predict(images[0])).all()


def test_callbacks_hear_of_the_end_also_after_an_interrupt(images: Images) -> None:
    heard = []

    class Interrupting(Callback):
        def on_train_batch_end(self, batch: int, logs: Any) -> None:
            raise KeyboardInterrupt

        def on_train_end(self, logs: Any) -> None:
            heard.append("end")

    with pytest.raises(KeyboardInterrupt):
        network().fit(*images, verbose=0, callbacks=[Interrupting()])
    assert heard == ["end"]


def test_fit_drops_what_backward_needed(images: Images) -> None:
    model = network()
    model.fit(*images, verbose=0)
    for layer in model.layers:
        with pytest.raises(RuntimeError):
            layer.backward(np.zeros(1))


def test_check_finite_names_layer_and_batch_before_the_weights_change(images: Images) -> None:
    x = images[0].copy()
    x[30, 2, 2] = np.nan
    model = network()
    name = model.layers[0].name
    with pytest.raises(FloatingPointError, match=rf"the output of layer '{name}' must be finite.*epoch 1, batch 2"):
        model.fit(x, images[1], batch_size=25, shuffle=False, verbose=0, check_finite=True)
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


def test_float64_networks_train_in_float64(rng: np.random.Generator) -> None:
    model = fc.Sequential([Dense(3, dtype="float64", input_shape=(4,)), Dense(1, dtype="float64")])
    model.compile("adam", "mse")
    model.fit(rng.random((8, 4)), rng.random((8, 1)), verbose=0)
    assert {weight.dtype for weight in model.get_weights()} == {np.dtype(np.float64)}
    assert model.predict(rng.random((8, 4))).dtype == np.float64


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"y": None}, ValueError, "fit: y must be given where x is an array, got None"),
        ({"y": np.zeros(49, int)}, ValueError, "fit: y must have as many samples as x, 50, got 49"),
        ({"y": np.full(50, 3)}, ValueError, "sparse_categorical_crossentropy: y_true must hold labels from 0 to 2"),
        ({"x": np.zeros((50, 8, 8))}, ValueError, r"fit: x must have shape \(n, 8, 8, 1\), got \(\d+, 8, 8\)"),
        ({"x": np.zeros((0, 8, 8, 1)), "y": []}, ValueError, "fit: x must hold at least one sample"),
        ({"x": np.zeros((50, 8, 8, 1), complex)}, TypeError, "fit: x must have a boolean, integer, .* got complex128"),
        ({"x": 3.0}, ValueError, "fit: x must have a first axis of samples, got a scalar"),
        ({"batch_size": 0}, ValueError, "fit: batch_size must be at least 1, got 0"),
        ({"batch_size": 2.5}, TypeError, r"fit: batch_size must be an integer, got 2\.5"),
        ({"epochs": -1}, ValueError, "fit: epochs must be an integer that is not negative, got -1"),
        ({"verbose": 3}, ValueError, "fit: verbose must be 'auto', 0, 1 or 2, got 3"),
        ({"validation_split": 1.0}, ValueError, r"fit: validation_split must be from 0 to less than 1, got 1\.0"),
        ({"validation_split": 0.99}, ValueError, "validation_split must leave samples on both sides of 50"),
        ({"validation_data": (1,)}, ValueError, r"fit: validation_data must be \(x, y\) or"),
        ({"sample_weight": np.ones(3)}, ValueError, "fit: sample_weight must have as many samples as x, 50, got 3"),
        ({"callbacks": ["stop"]}, TypeError, "fit: callbacks must hold Callback objects, got 'stop'"),
        ({"seed": -1}, ValueError, "fit: seed must not be negative, got -1"),
        ({"x": [1, 2], "y": None}, TypeError, r"fit: x must yield batches \(x, y\)"),
    ],
)
def test_fit_refuses(images: Images, arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    model = network()
    before = model.get_weights()
    with pytest.raises(error, match=message):
        model.fit(**{"x": images[0], "y": images[1], "verbose": 0, **arguments})
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_uncompiled_model_says_so(images: Images) -> None:
    model = fc.Sequential([Flatten(input_shape=(8, 8, 1)), Dense(3)])
    for call in (model.fit, model.evaluate, model.train_on_batch):
        with pytest.raises(RuntimeError, match="the model must be compiled with a loss first"):
            call(*images)
    model.compile("sgd")
    with pytest.raises(RuntimeError, match="fit: the model must be compiled with a loss"):
        model.fit(*images)
    with pytest.raises(ValueError, match=r"compile: optimizer must be one of .* got 'sdg'"):
        model.compile("sdg", "mse")
    with pytest.raises(TypeError, match="compile: metrics must be a list, got 'acc'"):
        model.compile("sgd", "mse", "acc")


# Errors -1, 0, 2 and -2, -0.5 of the weight 1, in batches of three and two: weighted, squares sum to 9 and 16.125, the
# weights to 3.5 and 4.5, and the gradient of the first sum is 2 * 2 * 2 * 2. What is left of that by each reduction.
PAIRS = np.array([[0.0], [1.0], [2.0], [3.0], [4.0]]), np.array([[1.0], [1.0], [0.0], [5.0], [4.5]])
REDUCED = {
    "sum_over_batch_size": (9 / 3, 16.125 / 2, 16 / 3),
    "sum": (9, 16.125, 16),
    "mean_with_sample_weight": (9 / 3.5, 16.125 / 4.5, 16 / 3.5),
    "none": (9 / 3, 16.125 / 2, 16),
}


@pytest.mark.parametrize("reduction", REDUCED)
def test_reduction_of_a_loss_in_training(reduction: str) -> None:
    (x, y), weights = PAIRS, np.array([1.0, 0.5, 2.0, 4.0, 0.5])
    first, second, gradient = REDUCED[reduction]
    model = fc.Sequential([Dense(1, use_bias=False, kernel_initializer="ones", dtype="float64", input_shape=(1,))])
    model.compile(SGD(0.1), fc.losses.MeanSquaredError(reduction=reduction))  # type: ignore[arg-type]
    # As in Keras, batches count by their sizes, whatever the reduction.
    assert model.evaluate(x, y, 3, 0, weights) == pytest.approx((3 * first + 2 * second) / 5)
    assert model.train_on_batch(x[:3], y[:3], weights[:3]) == pytest.approx(first)
    assert model.get_weights()[0].item() == pytest.approx(1 - 0.1 * gradient)


def squares_model(**arguments: Any) -> fc.Sequential:
    model = fc.Sequential([Dense(1, use_bias=False, kernel_initializer="ones", dtype="float64", input_shape=(1,))])
    model.compile(SGD(0.1), "mse", **arguments)
    return model


def test_weighted_metrics_take_the_sample_weights_and_metrics_do_not() -> None:
    (x, y), weights = PAIRS, np.array([1.0, 0.5, 2.0, 4.0, 0.5])
    model = squares_model(metrics=["mae"], weighted_metrics=["mae", "mse"])
    found = model.evaluate(x, y, 3, 0, weights, return_dict=True)
    assert list(found) == ["loss", "mae", "weighted_mae", "mse"]
    assert found["mae"] == pytest.approx((1 + 0 + 2 + 2 + 0.5) / 5)
    assert found["weighted_mae"] == pytest.approx((1 + 4 + 8 + 0.25) / 8)
    assert found["mse"] == pytest.approx((9 + 16.125) / 8)
    assert [metric.name for metric in model.metrics] == ["mae", "mae", "mse"]
    unweighted = model.evaluate(x, y, 3, 0, return_dict=True)
    assert unweighted["weighted_mae"] == unweighted["mae"] == pytest.approx(5.5 / 5)


def test_weighted_metrics_take_class_weights_and_those_of_validation_data() -> None:
    x, y = np.array([[0.0], [1.0], [2.0]]), np.array([[1.0], [1.0], [0.0]])
    model = squares_model(weighted_metrics=["mae"])
    history = model.fit(
        x, y, epochs=1, verbose=0, class_weight={0: 3.0, 1: 0.5}, validation_data=(x, y, [1, 1, 0])
    ).history
    assert history["mae"] == pytest.approx([(0.5 * 1 + 0 + 3 * 2) / 4])
    after = model.get_weights()[0].item()
    assert history["val_mae"] == pytest.approx([(1 + abs(after - 1)) / 2])
    found = model.train_on_batch(x, y, [0, 1, 0], return_dict=True)
    assert isinstance(found, dict)
    assert found["mae"] == pytest.approx(abs(after - 1))


def test_weighted_metrics_of_several_outputs(tmp_path: Any) -> None:
    x = fc.Input((2,))
    model = fc.Model(x, [Dense(1, name="one")(x), Dense(1, name="two")(x)])
    model.compile("sgd", "mse", metrics={"one": ["mae"]}, weighted_metrics={"one": ["mae"], "two": ["mse"]})
    data, targets = np.ones((4, 2)), [np.zeros((4, 1)), np.ones((4, 1))]
    found = model.evaluate(data, targets, verbose=0, sample_weight=np.array([1, 0, 0, 0]), return_dict=True)
    assert list(found) == ["loss", "one_loss", "two_loss", "one_mae", "one_weighted_mae", "two_mse"]
    model.save(tmp_path / "weighted.npz")
    again = fc.load_model(tmp_path / "weighted.npz")
    assert again.evaluate(data, targets, verbose=0, sample_weight=np.array([1, 0, 0, 0]), return_dict=True) == found
    with pytest.raises(TypeError, match="compile: weighted_metrics must be a list, got 'mae'"):
        squares_model(weighted_metrics="mae")
    with pytest.raises(ValueError, match=r"compile: weighted_metrics must be one of 'accuracy', .*, got 'mea'"):
        squares_model(weighted_metrics=["mea"])
