"""Sequential: building, shapes, summary, configuration."""

import json
from typing import Any

import numpy as np
import pytest

import fastconv as fc
from fastconv.layers import (
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    Input,
    InputLayer,
    Layer,
    MaxPooling2D,
)


def textbook() -> fc.Sequential:
    return fc.Sequential(
        [
            Conv2D(8, 7, input_shape=(28, 28, 1), strides=2),
            Conv2D(16, 5, strides=2),
            Conv2D(32, 3),
            GlobalAveragePooling2D(),
            Dense(10, activation="softmax"),
        ],
        name="textbook",
    )


def _summary(model: fc.Sequential, line_length: int | None = None) -> list[str]:
    lines: list[str] = []
    model.summary(line_length, print_fn=lines.append)
    return "\n".join(lines).split("\n")


def test_textbook_network_has_the_published_parameter_counts() -> None:
    model = textbook()
    assert [layer.count_params() for layer in model.layers] == [400, 3216, 4640, 0, 330]
    assert model.count_params() == 8586


def test_summary_is_the_table_of_keras(capsys: pytest.CaptureFixture[str]) -> None:
    textbook().summary(line_length=90)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == 'Model: "textbook"'
    assert lines[2].split("  ")[0] == "Layer (type)"
    assert lines[2].endswith("Param #  Mult-adds  Field/")
    rows = [line for line in lines if "(None, " in line]
    assert [row.split()[-3:] for row in rows] == [
        ["400", "47,432", "7/2/0"],
        ["3,216", "51,200", "15/4/0"],
        ["4,640", "18,432", "23/4/0"],
        ["0", "0", "27/4/0"],
        ["330", "320", "27/4/0"],
    ]
    shapes = ["(None, 11, 11, 8)", "(None, 4, 4, 16)", "(None, 2, 2, 32)", "(None, 32)", "(None, 10)"]
    assert all(shape in row for shape, row in zip(shapes, rows, strict=True))
    assert "(Conv2D)" in rows[0]
    assert lines[-3:] == [
        "Total params: 8,586 (33.54 KB)",
        "Trainable params: 8,586 (33.54 KB)",
        "Non-trainable params: 0 (0.00 B)",
    ]


@pytest.mark.parametrize("width", [45, 60, 90])
def test_summary_fits_a_narrow_terminal_without_losing_a_word(width: int) -> None:
    lines = _summary(textbook(), width)
    assert max(map(len, lines)) <= width
    words = " ".join(lines).split()
    assert {"(GlobalAveragePooling2D)", "3,216", "8,586"} <= set(words)


def test_summary_counts_what_the_optimizer_remembers() -> None:
    model = fc.Sequential([Dense(2, input_shape=(3,))])
    model.compile("adam", "mse")
    model.train_on_batch(np.ones((1, 3)), np.ones((1, 2)))
    assert _summary(model)[-1] == "Optimizer params: 16 (64.00 B)"


def test_a_model_without_input_shape_is_built_by_its_first_data() -> None:
    model = fc.Sequential([Flatten(), Dense(3)])
    assert not model.built
    assert "0 (unbuilt)" in "\n".join(_summary(model))
    with pytest.raises(RuntimeError, match="input shape is not known before the model is built"):
        _ = model.input_shape
    assert model.predict(np.ones((2, 4, 5))).shape == (2, 3)
    assert (model.input_shape, model.output_shape) == ((None, 4, 5), (None, 3))


def test_layers_added_to_a_built_model_are_built() -> None:
    model = fc.Sequential([Dense(4, input_shape=(3,))])
    model.add(Dense(2))
    assert model.count_params() == 16 + 10
    assert model.output_shape == (None, 2)


@pytest.mark.parametrize("make", [Input, InputLayer])
def test_the_input_that_a_chain_begins_with_names_its_data(make: Any) -> None:
    model = fc.Sequential([make((4,), name="rows"), Dense(2)])
    assert model.input_names == ["rows"]
    assert fc.Sequential.from_json(model.to_json()).input_names == ["rows"]
    later = fc.Sequential(name="chain")
    later.add(make((4,), name="columns"))
    assert later.input_names == ["columns"]


@pytest.mark.parametrize("make", [Input, InputLayer])
def test_a_chain_may_begin_with_an_input_that_leaves_data_as_they_are(make: Any) -> None:
    model = fc.Sequential([make((2,)), Dense(1, dtype="float64", use_bias=False)])
    weights = np.array([[1.0], [3.0]])
    model.set_weights([weights])
    x = np.array([[1 + 1e-12, 1e-12]])
    np.testing.assert_array_equal(model.predict(x), x @ weights)
    again = fc.Sequential.from_json(model.to_json())
    again.set_weights([weights])
    np.testing.assert_array_equal(again.predict(x), x @ weights)


def test_only_an_input_may_stand_for_a_layer_and_only_as_the_first() -> None:
    with pytest.raises(TypeError, match="Sequential: layers must hold Layer objects, got <SymbolicTensor shape="):
        fc.Sequential([Dense(2)(Input((3,)))])
    with pytest.raises(TypeError, match="Sequential: layers must hold Layer objects, got <SymbolicTensor shape="):
        fc.Sequential([Dense(2), Input((3,))])


def test_call_and_predict_agree_with_the_layers_one_by_one(rng: np.random.Generator) -> None:
    model = textbook()
    x = rng.standard_normal((3, 28, 28, 1)).astype(np.float32)
    y = x
    for layer in model.layers:
        y = layer(y)
    np.testing.assert_array_equal(model(x), y)
    np.testing.assert_array_equal(model.predict(x), y)


def test_predict_gives_the_same_bits_for_every_batch_size(rng: np.random.Generator) -> None:
    model = textbook()
    x = rng.integers(0, 255, (37, 28, 28, 1)).astype(np.uint8)
    # Without "strict" the algorithm may depend on the size of the batch.
    with fc.set_precision("strict"):
        expected = model.predict(x, batch_size=37)
        for size in (1, 8, 36, 100):
            np.testing.assert_array_equal(model.predict(x, batch_size=size), expected)
    for size in (1, 8, 36, 100):
        np.testing.assert_allclose(model.predict(x, batch_size=size), expected, rtol=1e-4, atol=1e-6)


def test_predict_of_nothing_is_empty() -> None:
    assert textbook().predict(np.zeros((0, 28, 28, 1))).shape == (0, 10)


def test_get_layer_by_name_and_index() -> None:
    model = fc.Sequential([Dense(1, name="only", input_shape=(1,))])
    assert model.get_layer("only") is model.get_layer(index=0) is model.layers[0]
    with pytest.raises(ValueError, match=r"get_layer: name must be one of \['only'\], got 'other'"):
        model.get_layer("other")
    with pytest.raises(ValueError, match="get_layer: index must be from 0 to 0, got 1"):
        model.get_layer(index=1)


def test_weights_round_trip_and_wrong_ones_change_nothing() -> None:
    model, other = textbook(), textbook()
    other.set_weights(model.get_weights())
    for mine, theirs in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    wrong = [np.zeros_like(weight) for weight in model.get_weights()]
    wrong[-1] = np.zeros(11)
    with pytest.raises(ValueError, match=r"set_weights: weights\[7\] must have shape \(10,\), got \(11,\)"):
        model.set_weights(wrong)
    with pytest.raises(ValueError, match="set_weights: weights must hold 8 arrays, got 1"):
        model.set_weights(wrong[:1])
    assert model.get_weights()[0].any()


def test_get_weights_returns_copies() -> None:
    model = textbook()
    model.get_weights()[0][...] = 0
    assert model.layers[0].params["kernel"].any()


def test_json_describes_the_same_network() -> None:
    model = textbook()
    text = model.to_json()
    again = fc.Sequential.from_json(text)
    assert again.to_json() == text
    assert again.input_shape == (None, 28, 28, 1)
    assert again.count_params() == 8586


def test_json_written_by_hand_may_leave_defaults_out() -> None:
    layers = [
        {"class_name": "Conv2D", "config": {"filters": 4, "kernel_size": 3, "input_shape": [8, 8, 1]}},
        {"class_name": "Flatten"},
        {"class_name": "Dense", "config": {"units": 2, "activation": "softmax"}},
    ]
    model = fc.Sequential.from_json(json.dumps({"class_name": "Sequential", "config": {"layers": layers}}))
    assert model.output_shape == (None, 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "Expecting property name"),
        ("[" * 100_000, "nested too deep"),
        ("[]", "from_json: text must describe a Sequential"),
        ('{"class_name": "Model"}', "must describe a Sequential"),
        ('{"class_name": "Sequential", "config": {}}', "config must hold a list of layers"),
        ('{"class_name": "Sequential", "config": {"layers": [3]}}', r"layers'\]\[0\] must be a mapping, got '3'"),
        (
            '{"class_name": "Sequential", "config": {"layers": [{"class_name": "Layer"}]}}',
            r"config\['layers'\]\[0\] must have a class_name among .*Conv2D.*, got 'Layer'",
        ),
        (
            '{"class_name": "Sequential", "config": {"layers": ['
            '{"class_name": "Dense", "config": {"units": 3, "unit": 3}}]}}',
            r"layers'\]\[0\] must hold arguments that the layer takes, got an error: .*'unit'",
        ),
    ],
)
def test_bad_json_is_a_value_error_that_says_where(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fc.Sequential.from_json(text)


def test_layers_that_do_not_fit_are_refused_and_leave_the_model_as_it_was() -> None:
    model = fc.Sequential([Conv2D(2, 3, input_shape=(4, 4, 1))])
    with pytest.raises(ValueError, match="pool: output height is"):
        model.add(MaxPooling2D(3, name="pool"))
    with pytest.raises(TypeError, match="Sequential: layers must hold Layer objects, got 'relu'"):
        model.add("relu")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="names that differ"):
        model.add(Dropout(0.1, name=model.layers[0].name))
    assert len(model.layers) == 1
    assert model.output_shape == (None, 2, 2, 2)


def test_input_of_another_shape_names_the_right_one() -> None:
    model = textbook()
    with pytest.raises(ValueError, match=r"predict: x must have shape \(n, 28, 28, 1\), got \(5, 28, 28\)"):
        model.predict(np.zeros((5, 28, 28)))
    with pytest.raises(ValueError, match=r"Sequential: x must have shape .*, got \(28, 28, 1\)"):
        model(np.zeros((28, 28, 1)))
    with pytest.raises(ValueError, match="build: the model must have at least one layer"):
        fc.Sequential().predict(np.zeros((1, 2)))


def test_a_failed_lazy_build_can_be_tried_again() -> None:
    model = fc.Sequential([Dense(4), Conv2D(2, 3)])
    with pytest.raises(ValueError, match="input must have axes"):
        model.predict(np.zeros((1, 5)))
    assert model.predict(np.zeros((1, 6, 6, 3))).shape == (1, 4, 4, 2)


def test_the_error_of_a_layer_is_annotated_with_its_name() -> None:
    class Refusing(Layer):
        def _forward(self, x: np.ndarray, training: bool) -> tuple[np.ndarray, None]:
            raise ValueError("no")

    model = fc.Sequential([Refusing(name="third")])
    with pytest.raises(ValueError, match="no") as caught:
        model(np.zeros((1, 2)))
    assert caught.value.__notes__ == ["in layer 'third' (Refusing)"]


class TestAsInKeras:
    """What programs written for Keras ask of models and layers."""

    def model(self) -> fc.Sequential:
        return fc.Sequential(
            [
                fc.Input((6, 6, 1), name="image"),
                Conv2D(2, 3, name="conv"),
                fc.layers.BatchNormalization(name="norm"),
                Flatten(),
                Dense(3, name="head"),
            ]
        )

    def test_an_input_is_no_layer_of_a_chain(self) -> None:
        model = self.model()
        assert [layer.name for layer in model.layers][:2] == ["conv", "norm"]
        assert model.get_layer(index=0) is model.get_layer("conv")
        assert model.input_names == ["image"]
        assert [layer.name for layer in fc.Sequential.from_json(model.to_json()).layers] == [
            layer.name for layer in model.layers
        ]

    def test_weights_of_a_layer(self) -> None:
        layer = self.model().get_layer("conv")
        kernel, bias = layer.get_weights()
        assert (kernel.shape, bias.shape) == ((3, 3, 1, 2), (2,))
        layer.set_weights([kernel + 1, bias + 2])
        np.testing.assert_array_equal(layer.params["kernel"], kernel + 1)
        np.testing.assert_array_equal(layer.params["bias"], [2, 2])
        kernel[...] = 9
        assert not (layer.params["kernel"] == 9).any()
        with pytest.raises(ValueError, match=r"set_weights: weights must hold 2 arrays, got 1"):
            layer.set_weights([kernel])
        with pytest.raises(ValueError, match=r"set_weights: weights\[1\] must have shape \(2,\), got \(3,\)"):
            layer.set_weights([kernel, np.zeros(3)])
        np.testing.assert_array_equal(layer.params["bias"], [2, 2])

    def test_trainable_weights(self) -> None:
        model = self.model()
        norm = model.get_layer("norm")
        assert [array.shape for array in model.trainable_weights] == [(3, 3, 1, 2), (2,), (2,), (2,), (32, 3), (3,)]
        assert [array is state for array, state in zip(model.non_trainable_weights, norm.state.values(), strict=True)]
        assert [array.shape for array in model.weights] == [array.shape for array in model.get_weights()]
        model.get_layer("conv").trainable = False
        assert len(model.trainable_weights) == 4
        assert len(model.non_trainable_weights) == 4
        assert model.get_layer("conv").trainable_weights == []
        model.trainable = False
        assert model.trainable_weights == []
        assert len(model.non_trainable_weights) == 8

    def test_a_model_of_feature_maps(self, rng: np.random.Generator) -> None:
        model = self.model()
        x = rng.standard_normal((2, 6, 6, 1)).astype(np.float32)
        maps = fc.Model(inputs=model.inputs, outputs=[layer.output for layer in model.layers])
        conv, _, flat, head = maps.predict(x)
        np.testing.assert_array_equal(conv, model.get_layer("conv").forward(x))
        np.testing.assert_array_equal(head, model.predict(x))
        assert flat.shape == (2, 32)
        assert model.layers[1].input is model.layers[0].output
        assert model.output is model.layers[-1].output
        assert model.input is model.inputs[0]
        model.get_layer("conv").set_weights([np.zeros((3, 3, 1, 2)), np.ones(2)])
        np.testing.assert_array_equal(maps.predict(x)[0], np.ones((2, 4, 4, 2)))

    def test_a_layer_of_several_graphs_has_the_output_of_the_first_that_is_left(self) -> None:
        layer = Dense(3)
        with pytest.raises(AttributeError, match="output is known where the layer is part of a model"):
            _ = layer.output
        first = fc.Sequential([fc.Input((4,)), layer])
        second = fc.Sequential([fc.Input((4,)), layer])
        assert layer.output is first.output
        first.pop()
        assert layer.output is second.output
        both = fc.layers.Add()
        x = fc.Input((4,))
        model = fc.Model(x, both([x, x]))
        assert both.input == [x, x]
        assert model.output is both.output

    def test_pop(self, rng: np.random.Generator) -> None:
        model = self.model()
        x = rng.standard_normal((2, 6, 6, 1))
        head = model.pop()
        assert head.name == "head"
        assert model.output_shape == (None, 32)
        assert model.predict(x).shape == (2, 32)
        model.add(Dense(5))
        assert model.predict(x).shape == (2, 5)
        with pytest.raises(ValueError, match="pop: the model must have at least one layer, got none"):
            fc.Sequential([fc.Input((3,))]).pop()
        lazy = fc.Sequential([Dense(3), Dense(4)])
        lazy.pop()
        assert lazy.predict(np.ones((1, 2))).shape == (1, 3)

    def test_a_batch_is_tested_and_predicted(self, rng: np.random.Generator) -> None:
        model = self.model()
        model.compile("sgd", "mse", metrics=["mae"])
        x, y = rng.standard_normal((4, 6, 6, 1)), rng.standard_normal((4, 3))
        weights = np.array([1.0, 0, 2, 1])
        assert model.test_on_batch(x, y) == model.evaluate(x, y, verbose=0)
        assert model.test_on_batch(x, y, weights, return_dict=True) == model.evaluate(
            x, y, verbose=0, sample_weight=weights, return_dict=True
        )
        np.testing.assert_array_equal(model.predict_on_batch(x), model.predict(x))
        with pytest.raises(ValueError, match="test_on_batch: "):
            model.test_on_batch(x, y[:2])

    def test_other_names(self) -> None:
        layers = fc.layers
        for short, long in (("MaxPool", "MaxPooling"), ("AvgPool", "AveragePooling")):
            for axes in (1, 2, 3):
                assert getattr(layers, f"{short}{axes}D") is getattr(layers, f"{long}{axes}D")
                assert getattr(layers, f"Global{short}{axes}D") is getattr(layers, f"Global{long}{axes}D")
        assert layers.Convolution2D is Conv2D
        assert fc.regularizers.l2(1e-4).l2 == 1e-4
        assert fc.optimizers.schedules.CosineDecay is fc.schedules.CosineDecay

    def test_functions_that_join(self) -> None:
        a, b = fc.Input((2, 3)), fc.Input((2, 3))
        for name in ("add", "subtract", "multiply", "average", "maximum"):
            tensor = getattr(fc.layers, name)([a, b], name=f"{name}_1")
            assert (tensor.shape, tensor.name) == ((None, 2, 3), f"{name}_1")
        assert fc.layers.concatenate([a, b], axis=1).shape == (None, 4, 3)
        np.testing.assert_array_equal(fc.layers.subtract([[3.0], [1.0]]), [2])
