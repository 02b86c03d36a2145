"""Pooling and unpooling layers: shapes, values, gradients, configurations, and unpooling within models."""

import pickle

import numpy as np
import pytest
from oracle import assert_same_bits, image_as

import fastconv as fc
from fastconv import layers, reference
from fastconv.layers import Conv2D, Flatten, MaxPooling2D, MaxUnpooling2D
from fastconv.testing import check_gradient

SIZES = {1: (9,), 2: (7, 6), 3: (5, 4, 6)}
AXES = pytest.mark.parametrize("axes", SIZES)
KINDS = ["MaxPooling", "AveragePooling", "GlobalMaxPooling", "GlobalAveragePooling"]
WINDOWS = [{}, {"pool_size": 3, "strides": 2, "padding": "same"}, {"pool_size": 2, "strides": 1}]


def pooling(kind, axes, **options):
    return getattr(layers, f"{kind}{axes}D")(**options)


def distinct(rng, shape, data_format):
    """Return images whose values all differ, so that each maximum has a gradient."""
    return image_as(rng.permutation(np.prod(shape)).reshape(shape) / 8, data_format, np.float64)


@AXES
class TestEveryNumberOfAxes:
    @pytest.mark.parametrize("options", WINDOWS, ids=str)
    @pytest.mark.parametrize("kind", KINDS[:2])
    def test_gradients(self, kind, axes, options, data_format, rng):
        layer = pooling(kind, axes, **options, data_format=data_format, dtype="float64")
        check_gradient(layer, distinct(rng, (2, *SIZES[axes], 3), data_format))

    @pytest.mark.parametrize("keepdims", [False, True])
    @pytest.mark.parametrize("kind", KINDS[2:])
    def test_gradients_of_global_pooling(self, kind, axes, keepdims, data_format, rng):
        layer = pooling(kind, axes, keepdims=keepdims, data_format=data_format, dtype="float64")
        check_gradient(layer, distinct(rng, (2, *SIZES[axes], 3), data_format))

    @pytest.mark.parametrize("options", WINDOWS, ids=str)
    def test_values_of_max_pooling(self, axes, options, data_format, rng):
        x = distinct(rng, (2, *SIZES[axes], 3), data_format)
        layer = pooling("MaxPooling", axes, **options, data_format=data_format)
        size = options.get("pool_size", 2)
        arguments = size, options.get("strides", size), options.get("padding", "valid")
        expected = getattr(reference, f"max_pool{axes}d")(x, *arguments, data_format=data_format)
        np.testing.assert_array_equal(layer(x), expected)
        np.testing.assert_array_equal(layer(x, training=True), expected)
        assert layer.output_shape(x.shape) == expected.shape

    @pytest.mark.parametrize("options", WINDOWS, ids=str)
    def test_values_of_average_pooling_which_counts_no_padding(self, axes, options, data_format, rng):
        x = distinct(rng, (2, *SIZES[axes], 3), data_format)
        layer = pooling("AveragePooling", axes, **options, data_format=data_format, dtype="float64")
        size = options.get("pool_size", 2)
        arguments = size, options.get("strides", size), options.get("padding", "valid"), False, False
        expected = getattr(reference, f"avg_pool{axes}d")(x, *arguments, data_format=data_format)
        np.testing.assert_allclose(layer(x), expected, rtol=1e-14)
        assert layer.output_shape(x.shape) == expected.shape

    @pytest.mark.parametrize("keepdims", [False, True])
    @pytest.mark.parametrize(("kind", "function"), [("GlobalMaxPooling", np.max), ("GlobalAveragePooling", np.mean)])
    def test_values_of_global_pooling(self, kind, function, axes, keepdims, data_format, rng):
        x = distinct(rng, (2, *SIZES[axes], 3), data_format)
        spatial = tuple(range(1, axes + 1)) if data_format == "channels_last" else tuple(range(2, axes + 2))
        layer = pooling(kind, axes, keepdims=keepdims, data_format=data_format, dtype="float64")
        expected = function(x, axis=spatial, keepdims=keepdims)
        for training in (False, True):
            np.testing.assert_allclose(layer(x, training=training), expected, rtol=1e-14)
        assert layer.output_shape(x.shape) == expected.shape

    @pytest.mark.parametrize("kind", KINDS)
    def test_configuration_makes_the_same_layer(self, kind, axes, rng):
        options = {"keepdims": True} if "Global" in kind else {"pool_size": 3, "strides": 2, "padding": "same"}
        layer = pooling(kind, axes, **options, data_format="channels_first", name="p")
        twin = type(layer).from_config(layer.get_config())
        assert twin.get_config() == layer.get_config()
        x = rng.standard_normal((2, 3, *SIZES[axes])).astype(np.float32)
        assert_same_bits(twin(x), layer(x))

    @pytest.mark.parametrize("kind", KINDS)
    def test_shapes_with_unknown_sizes(self, kind, axes):
        unknown = (None,) * (axes + 1)
        expected = (None, 3) if "Global" in kind else (*unknown, 3)
        assert pooling(kind, axes).output_shape((*unknown, 3)) == expected

    @pytest.mark.parametrize("kind", KINDS)
    def test_input_with_another_number_of_axes(self, kind, axes):
        with pytest.raises(ValueError, match=r"input must have axes \(batch, .*\), got shape"):
            pooling(kind, axes)(np.ones((2, 3)))

    @pytest.mark.parametrize("kind", KINDS[:2])
    @pytest.mark.parametrize(
        ("options", "error", "text"),
        [
            ({"pool_size": 0}, ValueError, "pool_size must be at least 1, got 0"),
            ({"pool_size": 1.5}, TypeError, "pool_size must be an integer, got 1.5"),
            ({"pool_size": (2,) * 4}, ValueError, "pool_size must be an integer or "),
            ({"strides": -1}, ValueError, "strides must be at least 1, got -1"),
            ({"padding": "full"}, ValueError, "padding must be 'valid' or 'same', got 'full'"),
        ],
        ids=str,
    )
    def test_argument_out_of_range(self, kind, axes, options, error, text):
        with pytest.raises(error, match=f"^{kind}{axes}D: {text}"):
            pooling(kind, axes, **options)


@AXES
@pytest.mark.parametrize(("pool_size", "padding"), [(3, "same"), (2, "valid")])
def test_indices_kept_for_the_gradient_change_nothing(axes, pool_size, padding, rng):
    """Channels first keeps them, but for windows of 2x2; else maxima are looked for again: equal values included."""
    x = rng.integers(-2, 3, (2, *SIZES[axes], 5)).astype(np.float32)
    gradients = []
    for data_format in ("channels_last", "channels_first"):
        layer = pooling("MaxPooling", axes, pool_size=pool_size, strides=2, padding=padding, data_format=data_format)
        y = layer(image_as(x, data_format, np.float32), training=True)
        sizes = y.shape[1:-1] if data_format == "channels_last" else y.shape[2:]
        grad_y = np.random.default_rng(1).standard_normal((2, *sizes, 5))
        gradients.append(layer.backward(image_as(grad_y, data_format, np.float32)))
    np.testing.assert_allclose(gradients[1], image_as(gradients[0], "channels_first", np.float32), rtol=1e-6, atol=1e-6)


def autoencoder(data_format="channels_last", dtype="float32", **first):
    options = {"data_format": data_format, "dtype": dtype}
    pool = MaxPooling2D(2, name="pool", **options)
    return fc.Sequential(
        [
            Conv2D(4, 3, padding="same", **options, **first),
            pool,
            Conv2D(4, 3, padding="same", name="middle", **options),
            MaxUnpooling2D.from_pooling(pool, name="unpool", dtype=dtype),
            Conv2D(1, 3, padding="same", **options),
        ]
    )


def test_autoencoder_learns_to_restore_points(rng):
    fc.utils.set_random_seed(0)
    windows = rng.uniform(1, 2, (16, 4, 4, 1, 1)) * np.eye(4)[rng.integers(0, 4, (16, 4, 4, 1))]
    x = windows.reshape(16, 4, 4, 2, 2).transpose(0, 1, 3, 2, 4).reshape(16, 8, 8, 1)
    model = autoencoder(input_shape=(8, 8, 1))
    model.compile(fc.optimizers.Adam(0.01), "mse")
    losses = model.fit(x, x, epochs=60, verbose=0, seed=1).history["loss"]
    assert losses[-1] < 0.2 * losses[0]


class TestUnpooling:
    def test_values(self, data_format, rng):
        images = distinct(rng, (2, 7, 6, 3), data_format)
        x = image_as(rng.standard_normal((2, 3, 3, 3)), data_format, np.float64)
        _, indices = reference.max_pool2d(images, 2, return_indices=True, data_format=data_format)
        size = (7, 6)
        expected = reference.max_unpool2d(x, indices, 2, output_size=size, data_format=data_format)
        layer = MaxUnpooling2D(2, data_format=data_format, dtype="float64")
        np.testing.assert_array_equal(layer([x, images]), expected)
        assert layer.output_shape([x.shape, images.shape]) == expected.shape
        assert layer.output_shape([(None, *x.shape[1:]), images.shape]) == expected.shape
        assert layer.output_shape([(None, *x.shape[1:]), (None, *images.shape[1:])]) == (None, *expected.shape[1:])

    @pytest.mark.parametrize("options", WINDOWS, ids=str)
    def test_every_window_of_the_pooling_layer(self, options, data_format, rng):
        images = distinct(rng, (2, 7, 6, 3), data_format) + 1
        pool = MaxPooling2D(**options, data_format=data_format)
        y = MaxUnpooling2D.from_pooling(pool)([pool(images), images])
        kept = y != 0
        np.testing.assert_array_equal(y[kept], images.astype(np.float32)[kept])
        assert set(np.unique(y[kept])) == set(np.unique(pool(images)))

    def test_gradient_goes_back_where_values_came_from_and_none_to_the_images(self, data_format, rng):
        images = distinct(rng, (2, 7, 6, 3), data_format)
        x = image_as(rng.standard_normal((2, 3, 3, 3)), data_format, np.float64)
        layer = MaxUnpooling2D(2, data_format=data_format, dtype="float64")
        y = layer.forward([x, images], training=True)
        gy = rng.standard_normal(y.shape)
        grad_x, grad_images = layer.backward(gy)
        assert grad_images is None
        assert grad_x.shape == x.shape
        assert np.vdot(grad_x, x) == pytest.approx(np.vdot(gy, y))

    def test_gradients_of_a_sequential_autoencoder(self, data_format, rng):
        fc.utils.set_random_seed(0)
        shape = (7, 6, 2) if data_format == "channels_last" else (2, 7, 6)
        model = autoencoder(data_format, input_shape=shape, dtype="float64")
        x = rng.standard_normal((2, *shape))
        grad_y = rng.standard_normal(model.forward(x, training=True).shape)
        grad_x = model.backward(grad_y)
        kernel = model.layers[0].params["kernel"]
        for array, gradient in ((x, grad_x), (kernel, model.layers[0].grads["kernel"])):
            direction = rng.standard_normal(array.shape)
            ends = []
            for step in (1e-5, -2e-5):
                array += step * direction
                ends.append(np.vdot(grad_y, model.forward(x)))
            array += 1e-5 * direction
            assert np.vdot(gradient, direction) == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-6, abs=1e-6)

    def test_sequential_equals_the_layers_by_hand(self, rng):
        model = autoencoder(input_shape=(7, 6, 2))
        first, pool, middle, unpool, last = model.layers
        x = rng.standard_normal((3, 7, 6, 2)).astype(np.float32)
        features = first(x)
        assert_same_bits(model.predict(x), last(unpool([middle(pool(features)), features])))

    def test_model_without_input_shape_is_built_by_its_data_and_grown_by_add(self, rng):
        model = autoencoder()
        x = rng.standard_normal((2, 5, 9, 2)).astype(np.float32)
        assert model.output_shapes([(None, 5, 9, 2)]) == [(None, 5, 9, 1)]
        assert model(x).shape == (2, 5, 9, 1)
        model.add(Flatten())
        assert model.predict(x).shape == (2, 45)

    def test_saved_and_loaded_model_gives_the_same(self, tmp_path, rng):
        model = autoencoder(input_shape=(7, 6, 2))
        model.save(tmp_path / "autoencoder.npz")
        x = rng.standard_normal((3, 7, 6, 2)).astype(np.float32)
        for twin in (fc.load_model(tmp_path / "autoencoder.npz"), pickle.loads(pickle.dumps(model))):
            assert_same_bits(twin.predict(x), model.predict(x))

    @pytest.mark.parametrize("by_name", [False, True])
    def test_in_a_graph(self, by_name, tmp_path, rng):
        inputs = fc.Input((7, 6, 2))
        features = Conv2D(3, 3, padding="same")(inputs)
        pooled = MaxPooling2D(2, name="pool")(features)
        middle = Conv2D(3, 1)(pooled)
        y = MaxUnpooling2D(pool="pool")(middle) if by_name else MaxUnpooling2D()([middle, features])
        model = fc.Model(inputs, y)
        x = rng.standard_normal((3, 7, 6, 2)).astype(np.float32)
        expected = model.predict(x)
        assert expected.shape == (3, 7, 6, 3)
        assert np.count_nonzero(expected) == 3 * 3 * 3 * 3
        model.save(tmp_path / "graph.npz")
        assert_same_bits(fc.load_model(tmp_path / "graph.npz").predict(x), expected)

    def test_two_levels_find_their_own_pooling_layers(self, rng):
        outer, inner = MaxPooling2D(2, name="outer"), MaxPooling2D(2, name="inner")
        model = fc.Sequential([outer, inner, MaxUnpooling2D.from_pooling(inner), MaxUnpooling2D.from_pooling(outer)])
        x = rng.permutation(1 * 13 * 15 * 2).reshape(1, 13, 15, 2).astype(np.float32) + 1
        y = model.predict(x)
        assert y.shape == x.shape
        kept = y != 0
        np.testing.assert_array_equal(y[kept], x[kept])
        assert sorted(y[kept]) == sorted(inner(outer(x)).ravel())

    def test_configuration_makes_the_same_layer(self):
        layer = MaxUnpooling2D((3, 2), 2, "same", "channels_first", "pool", name="u")
        assert type(layer).from_config(layer.get_config()).get_config() == layer.get_config()
        assert layer.get_config()["pool"] == "pool"

    def test_summary_shows_both_inputs(self, capsys):
        autoencoder(input_shape=(7, 6, 2)).summary(200)
        assert "unpool" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("call", "error", "text"),
        [
            (lambda: MaxUnpooling2D(pool=MaxPooling2D()), TypeError, "pool must be the name of a layer"),
            (lambda: MaxUnpooling2D.from_pooling("pool"), TypeError, "pool must be a MaxPooling2D layer, got 'pool'"),
            (lambda: MaxUnpooling2D(name="u")(np.ones((1, 2, 2, 1))), TypeError, "u: input must be a list of arrays"),
            (
                lambda: MaxUnpooling2D(name="u")(fc.Input((2, 2, 1))),
                ValueError,
                "u: input must be a list of two.*got 1",
            ),
            (
                lambda: MaxUnpooling2D(name="u", pool="p")(fc.Input((2, 2, 1))),
                ValueError,
                "u: pool must name a layer that leads to this one, got 'p'",
            ),
            (
                lambda: MaxUnpooling2D(name="u")([np.ones((1, 2, 2, 1)), np.ones((1, 6, 4, 1))]),
                ValueError,
                r"u: the first input must have shape \(1, 3, 2, 1\), that of the pooled images, got \(1, 2, 2, 1\)",
            ),
            (
                lambda: fc.Sequential([Conv2D(1, 1, input_shape=(4, 4, 1)), MaxUnpooling2D(name="u")]),
                ValueError,
                "u: input must be a list of two",
            ),
        ],
    )
    def test_errors(self, call, error, text):
        with pytest.raises(error, match=text):
            call()
