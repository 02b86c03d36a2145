"""Pictures of graphs: each row is what its layer makes of the image, under a name that says which call it is."""

import numpy as np
import pytest

import fastconv as fc
from fastconv import plot
from fastconv.layers import (
    Activation,
    Add,
    Concatenate,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    Input,
    MaxPooling2D,
    Softmax,
)
from fastconv.plot._network import values

pytest.importorskip("matplotlib")


@pytest.fixture(autouse=True)
def same_weights():
    fc.utils.set_random_seed(0)


def residual(data_format="channels_last"):
    """Return a graph whose addition and last convolution do not read the step before them alone."""
    options = {"data_format": data_format, "padding": "same"}
    x = Input((6, 6, 2) if data_format == "channels_last" else (2, 6, 6), name="image")
    y = Conv2D(2, 3, name="first", activation="relu", **options)(x)
    z = Add(name="sum")([Dropout(0.5, name="dropout")(x), y])
    w = Conv2D(3, 3, name="second", **options)(x)
    w = Concatenate(axis=-1 if data_format == "channels_last" else 1, name="both")([w, z])
    w = GlobalAveragePooling2D(data_format=data_format, name="mean")(w)
    return fc.Model(x, Softmax(name="softmax")(Dense(4, name="dense")(w)))


def picture_of(model, rng):
    return rng.normal(size=model.input_shape[1:]).astype(np.float32)


class TestValues:
    def test_are_what_the_layers_return(self, data_format, rng):
        model = residual(data_format)
        image = picture_of(model, rng)
        layer = model.get_layer
        x = image[np.newaxis]
        linear = layer("first").without_activation()(x)
        total = x + np.maximum(linear, 0)
        second = layer("second")(x)
        both = np.concatenate([second, total], -1 if data_format == "channels_last" else 1)
        mean = both.mean(axis=(1, 2) if data_format == "channels_last" else (2, 3))
        dense = layer("dense")(mean)
        expected = [x, linear, np.maximum(linear, 0), second, total, both, mean, dense, model.predict(x)]
        found = values(model, image)
        assert [(value.name, value.sources) for value in found] == [
            ("input", ()),
            ("first", ()),
            ("first: relu", ()),
            ("second", ("input",)),
            ("sum", ("input", "first: relu")),
            ("both", ("second", "sum")),
            ("mean", ()),
            ("dense", ()),
            ("softmax", ()),
        ]
        for value, array in zip(found, expected, strict=True):
            np.testing.assert_allclose(value.array, array[0], rtol=1e-5, atol=1e-6)
            assert value.channels_last == (data_format == "channels_last")

    def test_each_call_of_a_layer_and_each_layer_of_a_model_has_a_name(self, rng):
        inner = fc.Sequential([Conv2D(2, 3, padding="same", input_shape=(6, 6, 2), name="conv")], name="block")
        again = Conv2D(2, 1, name="again")
        x = Input((6, 6, 2))
        model = fc.Model(x, again(inner(again(x))))
        assert [value.name for value in values(model, picture_of(model, rng))] == [
            "input",
            "again[0]",
            "block/conv",
            "again[1]",
        ]

    def test_an_input_that_only_converts_is_no_step(self, rng):
        x = Input((4, 4, 1), dtype="float32")
        model = fc.Model(x, Flatten(name="flat")(x))
        assert [value.name for value in values(model, rng.normal(size=(4, 4, 1)))] == ["input", "flat"]

    def test_names_of_later_layers_stay_as_they_would_be(self, rng):
        model = residual()
        Activation("relu")
        before = Activation("relu").name
        values(model, picture_of(model, rng))
        after = Activation("relu").name
        numbers = [int(name.removeprefix("activation_")) for name in (before, after)]
        assert numbers[1] == numbers[0] + 1


class TestFeatureMaps:
    def test_rows_say_what_they_are_made_from(self, data_format, rng):
        model = residual(data_format)
        figure = plot.feature_maps(model, picture_of(model, rng), list("abcd"))
        labels = [axes.get_ylabel() for axes in figure.axes]
        size = "6x6x2" if data_format == "channels_last" else "2x6x6"
        assert labels[3].startswith("second\nfrom input\n")
        assert labels[4].startswith(f"sum\nfrom input, first: relu\n{size}, ±")
        assert labels[-1] == "softmax\n4"
        assert [label.get_text() for label in figure.axes[-1].get_xticklabels()] == list("abcd")


class TestFields:
    def test_crops_are_what_the_layer_sees(self, data_format, rng):
        model = residual(data_format)
        images = rng.random((70, *model.input_shape[1:])).astype(np.float32)
        figure = plot.activating_crops(model, images, "second", channels=[1], count=4)
        maps, shown = model.get_layer("second")(images), images
        if data_format == "channels_first":
            maps, shown = np.moveaxis(maps, 1, -1), np.moveaxis(images, 1, -1)
        padded = np.pad(shown.mean(axis=-1), ((0, 0), (1, 1), (1, 1)), constant_values=np.nan)
        best = maps[..., 1].max(axis=(1, 2)).argsort()[::-1][:4]
        for axes, number in zip(figure.axes, best, strict=True):
            one = maps[number, :, :, 1]
            top, left = np.unravel_index(one.argmax(), one.shape)
            crop = padded[number, top : top + 3, left : left + 3]
            inside = ~np.isnan(crop)
            assert axes.get_title() == f"{one.max():.3g}"
            np.testing.assert_allclose(axes.images[0].get_array()[inside, 0], crop[inside], rtol=1e-6)

    def test_by_default_the_last_layer_that_sees_a_part(self, rng):
        model = residual()
        figure = plot.receptive_field(model, picture_of(model, rng), unit=(2, 2))
        assert figure.get_suptitle() == "both, unit (2, 2) of 6x6\nsees 3x3 pixels, in steps of 1x1"

    def test_the_maps_of_a_model_within_the_model(self, rng):
        layers = [Conv2D(2, 3, input_shape=(8, 8, 1)), MaxPooling2D(2), Conv2D(3, 2)]
        x = Input((8, 8, 1))
        block = fc.Sequential(layers, name="block")
        model = fc.Model(x, Flatten()(block(x)))
        images = rng.random((3, 8, 8, 1)).astype(np.float32)
        figure = plot.activating_crops(model, images, "block", channels=[2], count=1)
        strongest = max(block.predict(images)[..., 2].max(), 0)
        assert figure.axes[0].get_title() == (f"{strongest:.3g}" if strongest else "")
        field = plot.receptive_field(model, images[0], "block").get_suptitle()
        assert field == "block, unit (1, 1) of 2x2\nsees 6x6 pixels, in steps of 2x2"


def test_guesses_are_the_probabilities(rng):
    model = residual()
    images = rng.random((2, 6, 6, 2)).astype(np.float32)
    bars = plot.guesses(model, images).axes[1::2]
    for axes, shares in zip(bars, model.predict(images), strict=True):
        np.testing.assert_allclose([bar.get_width() for bar in axes.patches], np.sort(shares)[::-1])


def test_guesses_need_one_output_of_classes():
    x = Input((4, 4, 1))
    flat = Flatten()(x)
    two = fc.Model(x, [Dense(2)(flat), Dense(3)(flat)])
    with pytest.raises(
        ValueError, match=r"guesses: model must have one output of shape \(n, classes\), got \[\(None, 2"
    ):
        plot.guesses(two, np.ones((1, 4, 4, 1)))
    maps = fc.Model(x, Conv2D(2, 1)(x))
    with pytest.raises(ValueError, match=r"one output of shape \(n, classes\), got \(None, 4, 4, 2\)"):
        plot.guesses(maps, np.ones((1, 4, 4, 1)))


def test_filters_of_a_layer_within_a_model():
    block = fc.Sequential([Conv2D(5, 3, input_shape=(6, 6, 2), name="conv")], name="block")
    x = Input((6, 6, 2))
    model = fc.Model(x, Flatten()(block(x)))
    assert plot.filters(model).get_suptitle().startswith("block/conv: 5 filters of 3x3x2")
    with pytest.raises(ValueError, match="must name a Conv2D out of block/conv, got 'conv'"):
        plot.filters(model, "conv")


@pytest.mark.parametrize("function", [plot.guesses, plot.feature_maps, plot.activating_crops, plot.receptive_field])
def test_several_inputs_are_refused(function):
    ends = [Input((4, 4, 1), name="left"), Input((4, 4, 1), name="right")]
    model = fc.Model(ends, Flatten()(Add()(ends)))
    with pytest.raises(ValueError, match=f"{function.__name__}: model must have one input, got 2: left, right"):
        function(model, np.ones((1, 4, 4, 1)))


@pytest.mark.parametrize("function", [plot.activating_crops, plot.receptive_field])
def test_fields_that_are_not_known_are_a_value_error(function):
    x = Input((8, 8, 1))
    joined = Add(name="joined")([Conv2D(1, 2, strides=2)(x), Conv2D(1, 5)(x)])
    model, images = fc.Model(x, joined), np.ones((2, 8, 8, 1))
    with pytest.raises(ValueError, match="'joined' must join branches of one stride"):
        function(model, images if function is plot.activating_crops else images[0])
