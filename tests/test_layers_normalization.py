"""Normalization layers, and those that draw random numbers in training."""

import re

import numpy as np
import pytest

import fastconv as fc
from fastconv import reference, utils
from fastconv.layers import (
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GaussianNoise,
    GroupNormalization,
    LayerNormalization,
    LocalResponseNormalization,
    SpatialDropout1D,
    SpatialDropout2D,
    SpatialDropout3D,
)
from fastconv.testing import check_gradient

MAKERS = [
    lambda **o: BatchNormalization(**o),
    lambda **o: BatchNormalization(axis=1, center=False, **o),
    lambda **o: BatchNormalization(axis=2, scale=False, **o),
    lambda **o: LayerNormalization(**o),
    lambda **o: LayerNormalization(axis=(1, -1), **o),
    lambda **o: LayerNormalization(axis=[-1, 1], center=False, **o),
    lambda **o: GroupNormalization(2, **o),
    lambda **o: GroupNormalization(1, axis=1, scale=False, **o),
    lambda **o: GroupNormalization(-1, axis=2, **o),
]
CLASSES = [BatchNormalization, LayerNormalization, GroupNormalization]


@pytest.mark.parametrize("shape", [(5, 3, 4), (2, 3, 5, 4)], ids=str)
@pytest.mark.parametrize("make", MAKERS)
def test_gradients(make, shape, rng):
    layer = make(gamma_initializer="random_normal", beta_initializer="random_normal", dtype="float64")
    check_gradient(layer, rng.standard_normal(shape))


@pytest.mark.parametrize("shape", [(5, 3, 4), (2, 3, 5, 4)], ids=str)
@pytest.mark.parametrize("axis", [1, 2, -1])
def test_any_axis_is_the_channels_axis(axis, shape, rng):
    x = rng.standard_normal(shape)
    last = np.moveaxis(x, axis, -1)
    y = BatchNormalization(axis=axis, dtype="float64").forward(x, training=True)
    expected = reference.batch_norm(last, None, None, training=True, eps=1e-3, data_format="channels_last")
    np.testing.assert_allclose(np.moveaxis(y, axis, -1), expected, rtol=1e-12, atol=1e-12)
    y = GroupNormalization(-1, axis=axis, dtype="float64")(x)
    expected = reference.group_norm(last, last.shape[-1], eps=1e-3, data_format="channels_last")
    np.testing.assert_allclose(np.moveaxis(y, axis, -1), expected, rtol=1e-12, atol=1e-12)


def test_layer_normalization_over_axes_in_any_order(rng):
    x = rng.standard_normal((2, 3, 4, 5))
    layer = LayerNormalization(axis=(3, 1), gamma_initializer="random_normal", dtype="float64")
    y = layer(x)
    expected = reference.layer_norm(x.transpose(0, 2, 3, 1), (5, 3), layer.params["gamma"], eps=1e-3)
    np.testing.assert_allclose(y.transpose(0, 2, 3, 1), expected, rtol=1e-12, atol=1e-12)


class TestBatchNormalization:
    def test_moving_statistics_follow_the_batch(self, rng):
        x = rng.standard_normal((6, 5, 5, 3)) * [1, 2, 3] + [4, 5, 6]
        layer = BatchNormalization(momentum=0.75, dtype="float64")
        for _ in range(2):
            layer.forward(x, training=True)
        mean, variance = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))  # Keras' variance: of the batch itself
        kept = 0.75**2
        np.testing.assert_allclose(layer.state["moving_mean"], (1 - kept) * mean)
        np.testing.assert_allclose(layer.state["moving_variance"], kept + (1 - kept) * variance)

    def test_without_training_it_uses_the_moving_statistics_and_leaves_them(self, rng):
        x = rng.standard_normal((4, 3)).astype(np.float32)
        layer = BatchNormalization()
        layer.build(x.shape)
        layer.state["moving_mean"] = np.array([1.0, 2.0, 3.0])
        layer.state["moving_variance"][:] = [4.0, 5.0, 6.0]
        copies = {name: array.copy() for name, array in layer.state.items()}
        expected = (x - [1, 2, 3]) / np.sqrt(np.array([4, 5, 6]) + 1e-3)
        np.testing.assert_allclose(layer(x), expected, rtol=1e-5, atol=1e-6)
        for name, array in copies.items():
            np.testing.assert_array_equal(layer.state[name], array)

    def test_is_not_trained_where_it_is_not_trainable(self, rng):
        x = rng.standard_normal((4, 3)).astype(np.float32)
        layer = BatchNormalization()
        layer.trainable = False
        y = layer.forward(x, training=True)
        np.testing.assert_array_equal(y, layer(x))
        np.testing.assert_array_equal(layer.state["moving_mean"], 0)
        grad_x = layer.backward(np.ones_like(y))
        np.testing.assert_allclose(grad_x, np.full(x.shape, 1 / np.sqrt(1.001)), rtol=1e-6)
        assert layer.grads == {}

    @pytest.mark.parametrize("axis", [-1, 1])
    def test_a_batch_of_one_value_becomes_beta(self, axis):
        layer = BatchNormalization(axis=axis, momentum=0.5, beta_initializer="ones")
        y = layer.forward(np.array([[4.0, 8.0]]), training=True)
        np.testing.assert_array_equal(y, [[1, 1]])
        np.testing.assert_allclose(layer.backward(np.ones_like(y)), [[0, 0]], atol=1e-5)
        np.testing.assert_array_equal(layer.grads["beta"], [1, 1])
        np.testing.assert_array_equal(layer.state["moving_mean"], [2, 4])
        np.testing.assert_array_equal(layer.state["moving_variance"], [0.5, 0.5])

    def test_an_empty_batch_moves_nothing(self):
        layer = BatchNormalization()
        assert layer.forward(np.zeros((0, 3)), training=True).shape == (0, 3)
        np.testing.assert_array_equal(layer.state["moving_variance"], 1)

    def test_trains_in_a_model_and_comes_back_from_a_file(self, rng, tmp_path):
        utils.set_random_seed(0)
        x = rng.standard_normal((64, 6, 6, 2)).astype(np.float32)
        y = (x.mean(axis=(1, 2, 3)) > 0).astype(int)
        model = fc.Sequential(
            [Conv2D(4, 3, input_shape=(6, 6, 2)), BatchNormalization(), Flatten(), Dense(1, "sigmoid")]
        )
        model.compile("adam", "binary_crossentropy", ["accuracy"])
        history = model.fit(x, y, batch_size=16, epochs=5, seed=0, verbose=0).history
        assert history["loss"][-1] < history["loss"][0]
        layer = model.layers[1]
        assert (layer.state["moving_mean"] != 0).all()
        model.save(tmp_path / "model.npz")
        other = fc.load_model(tmp_path / "model.npz")
        np.testing.assert_array_equal(other.predict(x), model.predict(x))
        assert model.count_params() == 2 * 4 * 9 + 4 + 4 * 4 + 64 + 1


@pytest.mark.parametrize(
    "layer",
    [
        BatchNormalization(1, 0.5, 0.1, False, True, "ones", "zeros", "ones", "zeros", gamma_regularizer="l2"),
        LayerNormalization((1, 2), 0.1, True, False, "ones", "zeros", beta_regularizer="l1"),
        GroupNormalization(-1, 1, 0.1, False, False),
        SpatialDropout1D(0.25, 3),
        SpatialDropout2D(0.25, "channels_first", 3),
        SpatialDropout3D(0.25),
        GaussianNoise(0.5, 4),
        Dropout(0.5, seed=4),
    ],
    ids=lambda layer: layer.name,
)
def test_configuration_comes_back(layer):
    twin = type(layer).from_config(layer.get_config())
    assert twin.get_config() == layer.get_config()


def test_windows():
    shape = (None, 8, 9, 4)
    assert BatchNormalization().window(shape).size == (1, 1)
    assert LayerNormalization().window(shape).size == (1, 1)
    assert LayerNormalization(axis=(1, 2, 3)).window(shape) is None
    assert GroupNormalization(2).window(shape).size == (8, 9)


class TestLocalResponseNormalization:
    @pytest.mark.parametrize("shape", [(2, 3, 7), (2, 3, 4, 6)], ids=str)
    @pytest.mark.parametrize("data_format", [None, "channels_last", "channels_first"])
    def test_is_the_function_of_its_arguments(self, shape, data_format, rng):
        x, arguments = rng.standard_normal(shape), (4, 0.7, 0.6, 1.5)
        y = LocalResponseNormalization(*arguments, data_format=data_format, dtype="float64")(x)
        expected = reference.local_response_norm(x, *arguments, data_format=data_format or "channels_last")
        np.testing.assert_allclose(y, expected, rtol=1e-13)

    def test_gradient_with_channels_first(self, rng):
        layer = LocalResponseNormalization(3, 0.9, 0.7, 1.2, "channels_first", dtype="float64")
        check_gradient(layer, rng.standard_normal((2, 5, 3, 2)))

    def test_needs_a_place_beside_the_channels(self):
        with pytest.raises(ValueError, match=r"local: input must have at least 3 axes, got shape \(None, 8\)"):
            fc.Sequential([LocalResponseNormalization(3, name="local", input_shape=(8,))])


class TestSpatialDropout:
    @pytest.mark.parametrize(
        ("layer", "shape", "axes"),
        [
            (SpatialDropout1D(0.5, seed=1), (4, 7, 8), (1,)),
            (SpatialDropout2D(0.5, seed=1), (4, 3, 5, 8), (1, 2)),
            (SpatialDropout2D(0.5, "channels_first", seed=1), (4, 8, 3, 5), (2, 3)),
            (SpatialDropout3D(0.5, seed=1), (4, 2, 3, 2, 8), (1, 2, 3)),
        ],
        ids=["1d", "2d", "2d-first", "3d"],
    )
    def test_drops_whole_channels_in_training_only(self, layer, shape, axes):
        x = np.ones(shape, np.float32)
        assert layer(x) is x
        y = layer.forward(x, training=True)
        np.testing.assert_array_equal(y.min(axis=axes), y.max(axis=axes))
        np.testing.assert_array_equal(np.unique(y), [0, 2])
        np.testing.assert_array_equal(layer.backward(x), y)

    def test_repeats_after_reseed(self):
        layer, x = SpatialDropout2D(0.5), np.ones((4, 3, 5, 8))
        layer.reseed(7, 1)
        first = layer.forward(x, training=True)
        assert (layer.forward(x, training=True) != first).any()
        layer.reseed(7, 1)
        np.testing.assert_array_equal(layer.forward(x, training=True), first)


class TestGaussianNoise:
    def test_adds_noise_in_training_only(self, dtype):
        layer, x = GaussianNoise(0.5, seed=1, dtype=np.dtype(dtype)), np.full((100, 100), 3, dtype)
        assert layer(x) is x
        y = layer.forward(x, training=True)
        assert y.dtype == dtype
        assert abs(y.mean() - 3) < 0.02
        assert abs(y.std() - 0.5) < 0.02
        assert layer.backward(x, needs_input=False) is None
        np.testing.assert_array_equal(layer.backward(x), x)


REFUSALS = [
    (lambda: BatchNormalization(axis=1.5), TypeError, "BatchNormalization: axis must be an integer, got 1.5"),
    (lambda: BatchNormalization(momentum=2), ValueError, "BatchNormalization: momentum must be from 0 to 1, got 2"),
    (
        lambda: BatchNormalization(epsilon=-1),
        ValueError,
        "BatchNormalization: epsilon must be finite and not negative, got -1",
    ),
    (
        lambda: BatchNormalization(axis=0, name="b")(np.ones((2, 3))),
        ValueError,
        "b: axis must be one of input's behind the batch's, got 0 for shape (2, 3)",
    ),
    (
        lambda: BatchNormalization(axis=2, name="b")(np.ones((2, 3))),
        ValueError,
        "b: axis must be one of input's behind the batch's, got 2 for shape (2, 3)",
    ),
    (
        lambda: BatchNormalization(name="b").build((None, None)),
        ValueError,
        "b: input must have a known size on axis -1, got shape (None, None)",
    ),
    (lambda: LayerNormalization(axis=()), ValueError, "LayerNormalization: axis must name at least one axis, got ()"),
    (
        lambda: LayerNormalization(axis=(1, -1), name="n")(np.ones((2, 3))),
        ValueError,
        "n: axis must name each axis once, got (1, -1) for shape (2, 3)",
    ),
    (lambda: GroupNormalization(0), ValueError, "GroupNormalization: groups must be at least 1, got 0"),
    (
        lambda: GroupNormalization(2, name="g")(np.ones((2, 3))),
        ValueError,
        "g: groups must divide the 3 channels of input, got 2",
    ),
    (
        lambda: SpatialDropout2D(0.5, name="d")(np.ones((2, 3))),
        ValueError,
        "d: input must have axes (batch, height, width, channels), got shape (2, 3)",
    ),
    (lambda: SpatialDropout2D(1.5), ValueError, "SpatialDropout2D: rate must be from 0 to 1, got 1.5"),
    (lambda: GaussianNoise(-1), ValueError, "GaussianNoise: stddev must be finite and not negative, got -1"),
]


@pytest.mark.parametrize(("call", "error", "text"), REFUSALS, ids=[text for _, _, text in REFUSALS])
def test_refuses(call, error, text):
    with pytest.raises(error, match=f"^{re.escape(text)}$"):
        call()
