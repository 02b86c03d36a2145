"""fc.Model: known blocks train, save, load and copy; gradients of whole graphs; several inputs and outputs."""

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastconv as fc
from fastconv import Input, utils
from fastconv.layers import (
    Activation,
    Add,
    AveragePooling2D,
    Concatenate,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    Layer,
    MaxPooling2D,
    Multiply,
    ReLU,
    Subtract,
    ZeroPadding2D,
)
from fastconv.models import BaseModel
from fastconv.optimizers import SGD, Adam


class Repeat2D(Layer):
    """Every pixel four times: the nearest neighbour, for the way up in a U-Net."""

    def output_shape(self, input_shape: Any) -> Any:
        batch, height, width, channels = input_shape
        return batch, 2 * height, 2 * width, channels

    def _forward(self, x: np.ndarray, training: bool) -> tuple[np.ndarray, None]:
        return x.repeat(2, axis=1).repeat(2, axis=2), None

    def _backward(self, saved: None, grad_y: np.ndarray, needs_input: bool) -> np.ndarray:
        n, height, width, channels = grad_y.shape
        return grad_y.reshape(n, height // 2, 2, width // 2, 2, channels).sum(axis=(2, 4))


@pytest.fixture(autouse=True)
def _known_to_files(monkeypatch: pytest.MonkeyPatch) -> None:
    from fastconv.models import _configuration

    monkeypatch.setitem(_configuration.CLASSES, "Repeat2D", Repeat2D)


def residual(dtype: str = "float32", **options: Any) -> fc.Model:
    """He et al. 2016, with a projection on the short cut."""
    conv = lambda filters, size, strides=1, **more: Conv2D(  # noqa: E731
        filters, size, strides, padding="same", dtype=dtype, **more
    )
    x = Input((8, 8, 3), name="image")
    y = conv(4, 3, strides=2, activation="relu")(x)
    y = conv(4, 3)(y)
    y = ReLU(dtype=dtype)(Add(dtype=dtype)([y, conv(4, 1, strides=2, name="projection")(x)]))
    z = conv(4, 3)(conv(4, 3, activation="relu")(y))
    y = Activation("tanh", dtype=dtype)(Add(dtype=dtype)([y, z]))
    y = GlobalAveragePooling2D(dtype=dtype)(y)
    return fc.Model(x, Dense(3, activation="softmax", dtype=dtype)(y), name="residual")


def inception(dtype: str = "float32") -> fc.Model:
    """Szegedy et al. 2015: four branches, joined along the channels."""
    same: dict[str, Any] = {"padding": "same", "dtype": dtype, "activation": "relu"}
    x = Input((8, 8, 3), name="image")
    branches = [
        Conv2D(2, 1, **same)(x),
        Conv2D(3, 3, **same)(Conv2D(2, 1, **same)(x)),
        Conv2D(2, 5, **same)(Conv2D(2, 1, **same)(x)),
        Conv2D(2, 1, **same)(MaxPooling2D(3, 1, padding="same", dtype=dtype)(x)),
    ]
    y = Concatenate(dtype=dtype)(branches)
    y = AveragePooling2D(4, dtype=dtype)(y)
    return fc.Model(x, Dense(3, activation="softmax", dtype=dtype)(Flatten(dtype=dtype)(y)), name="inception")


def unet(dtype: str = "float32") -> fc.Model:
    """Ronneberger et al. 2015, two levels: a label for each pixel."""
    same: dict[str, Any] = {"padding": "same", "dtype": dtype, "activation": "relu"}
    x = Input((8, 8, 3), name="image")
    first = Conv2D(4, 3, **same)(x)
    second = Conv2D(6, 3, **same)(MaxPooling2D(2, dtype=dtype)(first))
    bottom = Conv2D(8, 3, **same)(MaxPooling2D(2, dtype=dtype)(second))
    up = Conv2D(6, 3, **same)(Concatenate(dtype=dtype)([second, Repeat2D(dtype=dtype)(bottom)]))
    up = Conv2D(4, 3, **same)(Concatenate(dtype=dtype)([first, Repeat2D(dtype=dtype)(up)]))
    return fc.Model(x, Conv2D(3, 1, activation="softmax", dtype=dtype)(up), name="unet")


def siamese(dtype: str = "float32") -> fc.Model:
    """Bromley et al. 1993: one network for both inputs, which are compared."""
    encoder = fc.Sequential(
        [
            Conv2D(4, 3, strides=2, activation="tanh", dtype=dtype, name="conv"),
            Flatten(dtype=dtype, name="flatten"),
            Dense(4, dtype=dtype, name="code"),
        ],
        name="encoder",
    )
    left, right = Input((8, 8, 3), name="left"), Input((8, 8, 3), name="right")
    difference = Subtract(dtype=dtype)([encoder(left), encoder(right)])
    squared = Multiply(dtype=dtype)([difference, difference])
    return fc.Model([left, right], Dense(1, activation="sigmoid", dtype=dtype)(squared), name="siamese")


def two_headed(dtype: str = "float32") -> fc.Model:
    """Two outputs on one trunk, one of them read by the other."""
    x = Input((6,), name="x")
    trunk = Dense(5, activation="tanh", dtype=dtype)(x)
    label = Dense(3, activation="softmax", dtype=dtype, name="label")(trunk)
    size = Dense(2, dtype=dtype, name="size")(Concatenate(dtype=dtype)([trunk, label]))
    return fc.Model(x, [label, size], name="two_headed")


def _data(model: BaseModel, samples: int, rng: np.random.Generator) -> tuple[Any, Any, Any]:
    """Return inputs, targets and losses for one of the models above."""
    x = [rng.random((samples, *shape[1:])) for shape in ([t.shape for t in model.graph.inputs])]  # type: ignore
    if model.name == "two_headed":
        y: Any = {"label": rng.integers(0, 3, samples), "size": rng.random((samples, 2))}
        return x[0], y, {"label": "sparse_categorical_crossentropy", "size": "mse"}
    if model.name == "siamese":
        return x, rng.integers(0, 2, (samples, 1)), "binary_crossentropy"
    shape = (samples, 8, 8) if model.name == "unet" else (samples,)
    return x[0], rng.integers(0, 3, shape), "sparse_categorical_crossentropy"


BLOCKS = [residual, inception, unet, siamese, two_headed]


@pytest.fixture(params=BLOCKS, ids=lambda make: make.__name__)
def make(request: pytest.FixtureRequest) -> Callable[..., fc.Model]:
    utils.set_random_seed(0)
    return request.param


def _assert_same(first: Any, second: Any) -> None:
    for a, b in zip(
        *((outputs if isinstance(outputs, list) else [outputs]) for outputs in (first, second)), strict=True
    ):
        np.testing.assert_array_equal(a, b)


def test_blocks_train_and_are_the_same_saved_loaded_copied_and_pickled(
    make: Callable[..., fc.Model], tmp_path: Path, rng: np.random.Generator
) -> None:
    model = make()
    x, y, loss = _data(model, 32, rng)
    model.compile(Adam(0.01), loss)
    history = model.fit(x, y, epochs=30, batch_size=16, verbose=0, seed=1, check_finite=True).history["loss"]
    assert history[-1] < 0.97 * history[0]
    model.save(tmp_path / "model.npz")
    expected = model.predict(x)
    again = {
        "loaded": fc.load_model(tmp_path / "model.npz"),
        "copied": copy.deepcopy(model),
        "pickled": pickle.loads(pickle.dumps(model)),
    }
    for other in again.values():
        assert other.to_json() == model.to_json()
        _assert_same(other.predict(x), expected)
    after = model.fit(x, y, epochs=2, verbose=0, seed=2).history
    for other in again.values():
        assert other.fit(x, y, epochs=2, verbose=0, seed=2).history == after
        _assert_same(other.predict(x), model.predict(x))


def test_json_makes_the_same_graph(make: Callable[..., fc.Model], rng: np.random.Generator) -> None:
    model = make()
    again = fc.Model.from_json(model.to_json())
    assert again.to_json() == model.to_json()
    again.set_weights(model.get_weights())
    x, *_ = _data(model, 3, rng)
    _assert_same(again.predict(x), model.predict(x))


def test_gradients_of_whole_graphs_are_those_of_differences(
    make: Callable[..., fc.Model], rng: np.random.Generator
) -> None:
    model = make(dtype="float64")
    x, *_ = _data(model, 3, rng)
    inputs = [array.astype(np.float64) for array in (x if isinstance(x, list) else [x])]
    outputs = model.forward(inputs if len(inputs) > 1 else inputs[0], training=True)
    outputs = outputs if isinstance(outputs, list) else [outputs]
    grads = [rng.standard_normal(output.shape) for output in outputs]
    grad_x = model.backward(grads if len(grads) > 1 else grads[0])
    grad_x = grad_x if isinstance(grad_x, list) else [grad_x]

    def value() -> float:
        found = model.forward(inputs if len(inputs) > 1 else inputs[0])
        found = found if isinstance(found, list) else [found]
        return sum(float((grad * array).sum()) for grad, array in zip(grads, found, strict=True))

    pairs = [(f"input {i}", array, grad) for i, (array, grad) in enumerate(zip(inputs, grad_x, strict=True))]
    pairs += [
        (f"{path}/{name}", layer.params[name], layer.grads[name])
        for path, layer in model.leaves().items()
        for name in layer.params
    ]
    step = 1e-6
    for label, array, grad in pairs:
        direction = rng.standard_normal(array.shape)
        kept = array.copy()
        array += step * direction
        ahead = value()
        array[...] = kept - step * direction
        behind = value()
        array[...] = kept
        expected = (ahead - behind) / (2 * step)
        scale = float(np.abs(grad * direction).sum())
        assert abs(float((grad * direction).sum()) - expected) <= 1e-5 * scale + 1e-8, label


def test_a_shared_layers_gradients_add_up(rng: np.random.Generator) -> None:
    layer = Dense(2, dtype="float64")
    x = Input((2,))
    model = fc.Model(x, layer(layer(layer(x))))
    twins = [Dense(2, dtype="float64") for _ in range(3)]
    unshared = fc.Sequential(twins)
    data = rng.standard_normal((4, 2))
    y = model.forward(data, training=True)
    unshared.build((None, 2))
    for twin in twins:
        twin.params.update({name: array.copy() for name, array in layer.params.items()})
    np.testing.assert_array_equal(unshared.forward(data, training=True), y)
    grad_y = rng.standard_normal(y.shape)
    np.testing.assert_allclose(model.backward(grad_y), unshared.backward(grad_y), rtol=1e-12)
    for name in ("kernel", "bias"):
        np.testing.assert_allclose(layer.grads[name], sum(twin.grads[name] for twin in twins), rtol=1e-12)


def test_a_shared_layer_is_updated_once(rng: np.random.Generator) -> None:
    layer = Dense(1, use_bias=False, kernel_initializer="ones")
    x = Input((1,))
    model = fc.Model(x, Add()([layer(x), layer(x)]))
    model.compile(SGD(0.25), "mse")
    # y = 2 w x with w = x = 1; d(y - 1)**2 / dw = 2 * (2 - 1) * 2 = 4.
    assert model.train_on_batch([[1.0]], [[1.0]]) == 1
    assert layer.params["kernel"] == 0
    assert model.count_params() == 1
    assert len(model.get_weights()) == 1


def test_a_chain_trains_bit_for_bit_as_sequential(rng: np.random.Generator) -> None:
    x, y = rng.random((32, 8, 8, 1), np.float32), rng.integers(0, 3, 32)

    def layers() -> list[Layer]:
        return [Conv2D(4, 3, activation="relu"), Flatten(), Dropout(0.5), Dense(3, activation="softmax")]

    results = []
    for build in ("model", "sequential", "nested"):
        utils.set_random_seed(3)
        chain = layers()
        model: BaseModel
        if build == "model":
            start = tensor = Input((8, 8, 1))
            for layer in chain:
                tensor = layer(tensor)
            model = fc.Model(start, tensor)
        elif build == "nested":
            model = fc.Sequential([fc.Sequential(chain[:2]), fc.Sequential(chain[2:])])
            model.build((None, 8, 8, 1))
        else:
            model = fc.Sequential(chain)
            model.build((None, 8, 8, 1))
        for index, layer in enumerate(chain):
            layer.reseed(index)
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        losses = [model.train_on_batch(x, y) for _ in range(3)]
        results.append((losses, [weight.tobytes() for weight in model.get_weights()]))
    assert results[0] == results[1] == results[2]


def test_saturated_softmax_at_the_end_of_a_nested_model_still_learns() -> None:
    x = Input((1,))
    inner = fc.Sequential([Dense(2, activation="softmax", name="last")], name="inner")
    model = fc.Model(x, inner(x))
    model.compile(SGD(1.0), "sparse_categorical_crossentropy")
    model.set_weights([[[1e4, -1e4]], [0.0, 0.0]])
    assert model.train_on_batch([[1.0]], [1]) == 2e4


def test_an_output_that_is_read_again_is_not_trained_on_logits() -> None:
    """Its softmax has a reader: the loss takes the probabilities, and gradients of both uses arrive."""
    model = two_headed()
    model.compile("sgd", {"label": "sparse_categorical_crossentropy", "size": "mse"})
    assert model.objective is not None
    program, heads = model.objective.heads(model.program)
    assert program is model.program
    assert [head.activation for head in heads] == [None, None]


# Several inputs and outputs: data, losses, metrics.


def test_losses_metrics_and_their_names_are_those_of_keras(rng: np.random.Generator) -> None:
    model = two_headed()
    x, y, loss = _data(model, 20, rng)
    model.compile("sgd", loss, metrics={"label": ["accuracy"]}, loss_weights={"size": 0.5})
    found = model.evaluate(x, y, verbose=0, return_dict=True)
    assert list(found) == ["loss", "label_loss", "size_loss", "label_accuracy"]
    label, size = model.predict(x)
    picked = label[np.arange(20), y["label"]]
    assert found["label_loss"] == pytest.approx(-np.log(picked).mean(), rel=1e-5)
    assert found["size_loss"] == pytest.approx(((size - y["size"]) ** 2).mean(), rel=1e-5)
    assert found["loss"] == pytest.approx(found["label_loss"] + 0.5 * found["size_loss"], rel=1e-12)
    assert found["label_accuracy"] == (label.argmax(-1) == y["label"]).mean()
    history = model.fit(x, y, epochs=1, verbose=0, validation_split=0.2).history
    assert set(history) == {*found, *(f"val_{name}" for name in found)}


def test_the_gradient_is_that_of_the_weighted_sum(rng: np.random.Generator) -> None:
    """Compared with one output that is the same sum: mse of two heads of equal width."""
    x = Input((3,))
    shared = Dense(2, name="shared")
    first, second = Dense(2, name="first"), Dense(2, name="second")
    model = fc.Model(x, [first(shared(x)), second(shared(x))])
    model.compile(SGD(1.0), "mse", loss_weights=[1.0, 3.0])
    before = [weight.copy() for weight in model.get_weights()]
    data, targets = rng.random((4, 3)), [rng.random((4, 2)), rng.random((4, 2))]
    model.train_on_batch(data, targets)
    together = [old - new for old, new in zip(before, model.get_weights(), strict=True)]
    apart = []
    for index in range(2):
        model.set_weights(before)
        model.compile(SGD(1.0), {"first": "mse"} if index == 0 else {"second": "mse"})
        model.train_on_batch(data, targets[index])
        apart.append([old - new for old, new in zip(before, model.get_weights(), strict=True)])
    for whole, one, other in zip(together, *apart, strict=True):
        np.testing.assert_allclose(whole, one + 3 * other, atol=1e-5)


def test_data_come_as_lists_dicts_and_batches(rng: np.random.Generator) -> None:
    left, right = rng.random((2, 20, 8, 8, 3))
    y = rng.integers(0, 2, (20, 1))
    results = []
    for x in ([left, right], (left, right), {"right": right, "left": left}):
        utils.set_random_seed(1)
        model = siamese()
        model.compile("sgd", "binary_crossentropy")
        history = model.fit(x, y, batch_size=8, shuffle=False, verbose=0).history
        results.append((history, model.predict(x).tobytes(), model.evaluate(x, y, verbose=0)))
    utils.set_random_seed(1)
    model = siamese()
    model.compile("sgd", "binary_crossentropy")
    batches = [({"left": left[i : i + 8], "right": right[i : i + 8]}, y[i : i + 8]) for i in range(0, 20, 8)]
    history = model.fit(batches, verbose=0).history
    results.append((history, model.predict([left, right]).tobytes(), model.evaluate([left, right], y, verbose=0)))
    assert all(result == results[0] for result in results)


def test_shuffling_keeps_what_belongs_together(rng: np.random.Generator) -> None:
    a, b = Input((1,), name="a"), Input((1,), name="b")
    model = fc.Model([a, b], [Subtract(name="d")([a, b]), Add(name="s")([a, b])])
    model.compile("sgd", "mse")
    values = rng.random((50, 1))
    y = {"d": np.zeros((50, 1)), "s": 2 * values}
    history = model.fit([values, values], y, batch_size=7, epochs=2, verbose=0).history
    assert history["loss"] == pytest.approx([0, 0], abs=1e-12)


def test_sample_weights_for_all_outputs_or_for_each(rng: np.random.Generator) -> None:
    model = two_headed()
    x, y, loss = _data(model, 8, rng)
    model.compile("sgd", loss)
    weights = rng.random(8)
    both = model.evaluate(x, y, sample_weight=weights, verbose=0)
    assert model.evaluate(x, y, sample_weight={"label": weights, "size": weights}, verbose=0) == both
    none = model.evaluate(x, y, verbose=0, return_dict=True)
    found = model.evaluate(x, y, sample_weight=[np.ones(8), weights], verbose=0, return_dict=True)
    assert found["label_loss"] == none["label_loss"]  # type: ignore[index, call-overload]
    assert found["size_loss"] < none["size_loss"]  # type: ignore[index, call-overload]
    with pytest.raises(ValueError, match="fit: class_weight must be None for a model with several outputs"):
        model.fit(x, y, class_weight={0: 1.0, 1: 1.0, 2: 1.0}, verbose=0)


def test_an_output_without_a_loss_is_not_trained(rng: np.random.Generator) -> None:
    model = two_headed()
    x, y, _ = _data(model, 8, rng)
    model.compile("sgd", {"label": "sparse_categorical_crossentropy"})
    before = [weight.copy() for weight in model.get_layer("size").params.values()]
    model.fit(x, y["label"], verbose=0)
    for old, new in zip(before, model.get_layer("size").params.values(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert model.get_layer("label").grads


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ([np.zeros((2, 8, 8, 3))], r"x must be a list of 2 arrays, one for each of 'left', 'right', got 1"),
        (np.zeros((2, 8, 8, 3)), "x must be a list of 2 arrays, .*, got ndarray"),
        ({"left": np.zeros((2, 8, 8, 3))}, r"x must have the keys \['left', 'right'\], got \['left'\]"),
        ([np.zeros((2, 8, 8, 3)), np.zeros((3, 8, 8, 3))], r"x\['right'\] must have as many samples as x\['left'\], 2"),
        (
            [np.zeros((2, 8, 8, 3)), np.zeros((2, 8, 8))],
            r"x\['right'\] must have shape \(n, 8, 8, 3\), got \(2, 8, 8\)",
        ),
    ],
)
def test_wrong_inputs_are_refused_by_name(x: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"predict: {message}"):
        siamese().predict(x)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"loss": ["mse"]}, ValueError, "compile: loss must have an entry for each of the 2 outputs, got 1"),
        (
            {"loss": {"laebl": "mse"}},
            ValueError,
            r"compile: loss must name outputs among \['label', 'size'\], got 'laebl'",
        ),
        ({"loss": "mse", "metrics": ["acc"]}, ValueError, "compile: metrics must have an entry for each of the 2"),
        ({"loss": "mse", "metrics": "acc"}, TypeError, "compile: metrics must be a list, got 'acc'"),
        ({"loss": "mse", "loss_weights": 2.0}, TypeError, "compile: loss_weights must be a list or dict .*, got 2.0"),
        ({"loss": "mse", "loss_weights": ["a", "b"]}, TypeError, "compile: loss_weights must hold numbers, got 'a'"),
    ],
)
def test_compile_refuses_what_fits_no_output(arguments: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        two_headed().compile("sgd", **arguments)


def test_fit_refuses_targets_that_fit_no_output(rng: np.random.Generator) -> None:
    model = two_headed()
    x, y, loss = _data(model, 8, rng)
    model.compile("sgd", loss)
    with pytest.raises(
        ValueError, match="fit: y must be a list of 2 arrays, one for each of 'label', 'size', got ndarray"
    ):
        model.fit(x, y["label"])
    with pytest.raises(ValueError, match=r"fit: y must have the keys \['label', 'size'\], got \['label'\]"):
        model.fit(x, {"label": y["label"]})


def test_check_finite_names_the_layer_in_a_nested_model(rng: np.random.Generator) -> None:
    model = siamese()
    x, y, loss = _data(model, 8, rng)
    model.compile("sgd", loss)
    model.get_layer("encoder").get_layer("code").params["kernel"][0, 0] = np.nan  # type: ignore[attr-defined]
    with pytest.raises(FloatingPointError, match=r"the output of layer 'code' must be finite.*epoch 1, batch 1"):
        model.fit(x, y, verbose=0, check_finite=True)


def test_predict_in_parts_gives_what_the_whole_gives(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    from fastconv import _micro_batches

    for make in BLOCKS:
        model = make()
        x, y, loss = _data(model, 11, rng)
        with fc.set_precision("strict"):
            whole = model.predict(x, batch_size=11)
            model.compile("sgd", loss)
            expected = model.evaluate(x, y, verbose=0)
            monkeypatch.setattr(_micro_batches, "BYTES_PER_THREAD", 1)
            assert _micro_batches.micro_batch_size(model.program, [t.shape for t in model.graph.inputs]) == 1
            _assert_same(model.predict(x), whole)
            assert model.evaluate(x, y, verbose=0) == pytest.approx(expected, rel=1e-6)
            monkeypatch.undo()


def test_one_sample_is_run_without_a_look_at_what_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    from fastconv import _micro_batches

    model = fc.Sequential([Conv2D(2, 3, input_shape=(6, 6, 1))])
    x = np.ones((2, 6, 6, 1), np.float32)
    expected = model.predict(x)
    monkeypatch.delattr(_micro_batches, "micro_batch_size")
    np.testing.assert_array_equal(model.predict(x[:1]), expected[:1])
    assert model.predict(x[:0]).shape == (0, 4, 4, 2)


def test_micro_batches_fill_the_budget_with_the_largest_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    from fastconv import _micro_batches

    model = fc.Sequential([Conv2D(8, 3, input_shape=(10, 10, 1)), Flatten(), Dense(2)])
    largest = 4 * (8 * 8 * 8 + 8 * 8 * 8)  # bytes of input and output of Flatten
    monkeypatch.setattr(_micro_batches, "BYTES_PER_THREAD", 3 * largest)
    with fc.set_num_threads(1):
        assert _micro_batches.micro_batch_size(model.program, [(100, 10, 10, 1)]) == 3


# Models as layers, copies, odds and ends.


def test_a_model_is_a_layer() -> None:
    encoder = fc.Sequential([Dense(3, input_shape=(2,))], name="encoder")
    assert isinstance(encoder, Layer)
    model = fc.Sequential([encoder, Dense(1)])
    assert model.input_shape == (None, 2)
    assert model.get_layer("encoder") is encoder
    assert model.layers[0] is encoder
    assert model.count_params() == 9 + 4


def test_a_graph_can_be_built_on_a_trained_model(rng: np.random.Generator) -> None:
    base = fc.Sequential([Dense(3, input_shape=(2,), name="kept")])
    model = fc.Model(base.inputs, Dense(1, name="new")(base.outputs[0]))
    assert model.get_layer("kept") is base.layers[0]
    base.trainable = False
    model.compile("sgd", "mse")
    before = base.get_weights()
    model.fit(rng.random((4, 2)), rng.random((4, 1)), verbose=0)
    for old, new in zip(before, base.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_an_unbuilt_sequential_is_built_when_it_is_called() -> None:
    inner = fc.Sequential([Flatten(), Dense(2)])
    x = Input((3, 4))
    assert inner(x).shape == (None, 2)
    assert inner.input_shape == (None, 3, 4)


def test_a_model_of_several_outputs_gives_a_list_when_it_is_called() -> None:
    x = Input((6,))
    label, size = two_headed()(x)
    assert (label.shape, size.shape) == ((None, 3), (None, 2))
    model = fc.Model(x, Add()([Dense(2)(label), size]))
    assert model(np.zeros((4, 6))).shape == (4, 2)
    with pytest.raises(ValueError, match="Sequential: layers must have one output, got 2 of 'two_headed'"):
        fc.Sequential([two_headed()])


def test_outputs_of_one_layer_have_names_that_differ() -> None:
    layer = Dense(1, name="dense")
    a, b = Input((2,)), Input((2,))
    assert fc.Model([a, b], [layer(a), layer(b)]).output_names == ["dense", "dense_output_1"]


def test_a_layer_that_two_models_share_is_trained_once_but_not_saved(tmp_path: Path) -> None:
    shared = Dense(2, name="shared")
    inner_x = Input((2,))
    inner = fc.Model(inner_x, shared(inner_x), name="inner")
    x = Input((2,))
    model = fc.Model(x, Add()([inner(x), shared(x)]))
    assert len(model.get_weights()) == 2
    with pytest.raises(
        ValueError, match=r"save: every layer must belong to one model, got .* 'inner/shared' and 'shared'"
    ):
        model.save(tmp_path / "m.npz")


def test_copies_of_layers_hold_no_activations() -> None:
    layer = Dense(2)
    layer.forward(np.ones((1, 2)), training=True)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        np.testing.assert_array_equal(other.params["kernel"], layer.params["kernel"])
        with pytest.raises(RuntimeError, match="backward needs a forward pass"):
            other.backward(np.ones((1, 2)))
    layer.backward(np.ones((1, 2)))


def test_state_is_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fastconv.initializers import Zeros
    from fastconv.layers.base import WeightSpec
    from fastconv.models import _configuration

    class Counter(Layer):
        """Counts its training passes."""

        def state_specs(self, input_shape: Any) -> dict[str, WeightSpec]:
            return {"count": WeightSpec((1,), Zeros())}

        def _forward(self, x: np.ndarray, training: bool) -> tuple[np.ndarray, None]:
            self.state["count"] += training
            return x, None

        def _backward(self, saved: None, grad_y: np.ndarray, needs_input: bool) -> np.ndarray:
            return grad_y

    monkeypatch.setitem(_configuration.CLASSES, "Counter", Counter)
    model = fc.Sequential([Counter(input_shape=(2,), name="counter"), Dense(1)])
    model.compile("sgd", "mse")
    for _ in range(3):
        model.train_on_batch(np.ones((1, 2)), np.ones((1, 1)))
    model.save(tmp_path / "m.npz")
    again = fc.load_model(tmp_path / "m.npz")
    assert again.get_layer("counter").state["count"] == 3
    assert [weight.shape for weight in again.get_weights()] == [(1,), (2, 1), (1,)]


def test_summary_of_a_graph_says_what_is_connected_to_what(capsys: pytest.CaptureFixture[str]) -> None:
    siamese().summary(line_length=160)
    lines = capsys.readouterr().out.splitlines()
    assert "Connected to" in lines[2]
    rows = {line.split()[0]: line for line in lines[4:10]}
    assert "left[0][0], right[0][0]" in rows["encoder"]
    assert "encoder[0][0], encoder[1][0]" in next(line for line in lines if "Subtract" in line)


def test_padding_and_nested_graphs_keep_running_on_any_batch_size(rng: np.random.Generator) -> None:
    x = Input((None, None, 1))
    model = fc.Model(x, Conv2D(1, 3)(ZeroPadding2D(1)(x)))
    for size in ((1, 5, 7, 1), (3, 9, 4, 1), (0, 6, 6, 1)):
        assert model.predict(rng.random(size)).shape == size
