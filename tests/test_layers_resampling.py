"""Layers that pad, crop, enlarge, permute and rescale: values, gradients, refusals."""

import numpy as np
import pytest

import fastconv as fc
from fastconv.layers import (
    Cropping1D,
    Cropping2D,
    Cropping3D,
    Layer,
    Permute,
    Rescaling,
    UpSampling1D,
    UpSampling2D,
    UpSampling3D,
    ZeroPadding1D,
    ZeroPadding2D,
    ZeroPadding3D,
)
from fastconv.layers._windows import Window
from fastconv.testing import check_gradient

FORMATS = ["channels_last", "channels_first"]

# Spatial axes, layer, and what NumPy makes of a channels-last array.
CASES = [
    (1, lambda **o: ZeroPadding1D(2, **o), lambda x: np.pad(x, ((0, 0), (2, 2), (0, 0)))),
    (1, lambda **o: ZeroPadding1D((1, 3), **o), lambda x: np.pad(x, ((0, 0), (1, 3), (0, 0)))),
    (2, lambda **o: ZeroPadding2D(**o), lambda x: np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))),
    (2, lambda **o: ZeroPadding2D((2, 1), **o), lambda x: np.pad(x, ((0, 0), (2, 2), (1, 1), (0, 0)))),
    (2, lambda **o: ZeroPadding2D(((0, 1), (2, 3)), **o), lambda x: np.pad(x, ((0, 0), (0, 1), (2, 3), (0, 0)))),
    (3, lambda **o: ZeroPadding3D(**o), lambda x: np.pad(x, ((0, 0), (1, 1), (1, 1), (1, 1), (0, 0)))),
    (
        3,
        lambda **o: ZeroPadding3D(((0, 1), (2, 0), (1, 1)), **o),
        lambda x: np.pad(x, ((0, 0), (0, 1), (2, 0), (1, 1), (0, 0))),
    ),
    (1, lambda **o: Cropping1D(**o), lambda x: x[:, 1:-1]),
    (1, lambda **o: Cropping1D((2, 0), **o), lambda x: x[:, 2:]),
    (2, lambda **o: Cropping2D(**o), lambda x: x),
    (2, lambda **o: Cropping2D(1, **o), lambda x: x[:, 1:-1, 1:-1]),
    (2, lambda **o: Cropping2D((1, 2), **o), lambda x: x[:, 1:-1, 2:-2]),
    (2, lambda **o: Cropping2D(((1, 0), (0, 2)), **o), lambda x: x[:, 1:, :-2]),
    (3, lambda **o: Cropping3D(((1, 0), (0, 2), (1, 1)), **o), lambda x: x[:, 1:, :-2, 1:-1]),
    (1, lambda **o: UpSampling1D(**o), lambda x: x.repeat(2, axis=1)),
    (1, lambda **o: UpSampling1D(41, **o), lambda x: x.repeat(41, axis=1)),
    (2, lambda **o: UpSampling2D(**o), lambda x: x.repeat(2, axis=1).repeat(2, axis=2)),
    (2, lambda **o: UpSampling2D((3, 1), **o), lambda x: x.repeat(3, axis=1)),
    (3, lambda **o: UpSampling3D((1, 2, 3), **o), lambda x: x.repeat(2, axis=2).repeat(3, axis=3)),
]
PERMUTED = [((1,), (0, 1)), ((2, 1), (0, 2, 1)), ((3, 1, 2), (0, 3, 1, 2)), ((1, 2, 3), (0, 1, 2, 3))]


def image(rng: np.random.Generator, axes: int) -> np.ndarray:
    return rng.standard_normal((2, *(5, 6, 7)[:axes], 3))


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize(("axes", "make", "expected"), CASES)
class TestBorders:
    def test_values(self, axes, make, expected, data_format, rng):
        x, layer = image(rng, axes), make(data_format=data_format, dtype="float64")
        wanted = expected(x)
        given = np.moveaxis(x, -1, 1) if data_format == "channels_first" else x
        y = layer(given)
        np.testing.assert_array_equal(np.moveaxis(y, 1, -1) if data_format == "channels_first" else y, wanted)
        assert layer.output_shape((None, *given.shape[1:])) == (None, *y.shape[1:])

    def test_gradient(self, axes, make, expected, data_format, rng):
        x = image(rng, axes)
        check_gradient(make(data_format=data_format), np.moveaxis(x, -1, 1) if data_format == "channels_first" else x)

    def test_unknown_sizes_stay_unknown(self, axes, make, expected, data_format, rng):
        layer = make(data_format=data_format)
        shape = (None, *(None,) * axes, 3) if data_format == "channels_last" else (None, 3, *(None,) * axes)
        assert layer.output_shape(shape) == shape

    def test_config_builds_the_same_layer(self, axes, make, expected, data_format, rng):
        layer = make(data_format=data_format)
        again = type(layer).from_config(layer.get_config())
        assert again.get_config() == layer.get_config()
        x = np.moveaxis(image(rng, axes), -1, 1 if data_format == "channels_first" else -1)
        np.testing.assert_array_equal(again(x), layer(x))


def test_bilinear_upsampling_matches_torch(torch, rng):
    x = rng.standard_normal((2, 5, 4, 3))
    y = UpSampling2D((2, 3), interpolation="bilinear", dtype="float64")(x)
    expected = torch.nn.functional.interpolate(torch.tensor(x.transpose(0, 3, 1, 2)), size=(10, 12), mode="bilinear")
    np.testing.assert_allclose(y, expected.numpy().transpose(0, 2, 3, 1), rtol=0, atol=1e-12)
    check_gradient(UpSampling2D((2, 3), interpolation="bilinear"), x)


def test_receptive_fields_of_borders_are_shifted():
    assert ZeroPadding2D(((1, 2), (3, 4))).window((None, 8, 8, 1)) == Window((1, 1), (1, 1), (1, 3))
    assert Cropping2D(((1, 2), (3, 4))).window((None, 8, 8, 1)) == Window((1, 1), (1, 1), (-1, -3))
    assert UpSampling2D().window((None, 8, 8, 1)) is None


@pytest.mark.parametrize(("dims", "order"), PERMUTED)
def test_permute_is_a_transposition_and_its_gradient_the_inverse(dims, order, rng):
    x = rng.standard_normal((2, 3, 4, 5)[: len(order)])
    layer = Permute(dims, dtype="float64")
    np.testing.assert_array_equal(layer(x), x.transpose(order))
    assert layer.output_shape(x.shape) == layer(x).shape
    check_gradient(layer, x)


def test_permute_knows_no_window_where_axes_move():
    assert Permute((2, 1, 3)).window((None, 5, 5, 5)) is None
    assert Permute((1, 2, 3)).window((None, 5, 5, 5)) is not None


@pytest.mark.parametrize(("scale", "offset"), [(2, 0.0), (0.5, -1), ((1.0, 2.0, 4.0), (1, 0, -1)), (3.0, [1, 2, 3])])
def test_rescaling_is_affine(scale, offset, rng):
    x = rng.standard_normal((2, 4, 5, 3))
    layer = Rescaling(scale, offset, dtype="float64")
    np.testing.assert_array_equal(layer(x), x * np.array(scale) + np.array(offset))
    check_gradient(layer, x)
    np.testing.assert_array_equal(Rescaling.from_config(layer.get_config())(x), layer(x))


def test_rescaling_of_bytes_is_in_the_layers_dtype():
    y = Rescaling(1 / 255)(np.array([[0, 255]], np.uint8))
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y, [[0, 1]])


def test_an_autoencoder_of_these_layers_trains():
    x = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 1), np.uint8)
    model = fc.Sequential(
        [
            Rescaling(1 / 255, input_shape=(8, 8, 1)),
            ZeroPadding2D(1),
            fc.layers.Conv2D(4, 3, strides=2, activation="relu"),
            UpSampling2D(3, interpolation="bilinear"),
            Cropping2D(2),
            fc.layers.Conv2D(1, 3, padding="same", activation="sigmoid"),
        ]
    )
    model.compile("adam", "mse")
    losses = model.fit(x, x / 255, epochs=8, batch_size=8, verbose=0, seed=1).history["loss"]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: ZeroPadding1D((1, 2, 3)), ValueError, r"ZeroPadding1D: padding must be an integer or a pair"),
        (
            lambda: ZeroPadding2D((1, 2, 3)),
            ValueError,
            r"ZeroPadding2D: padding must be an integer, 2 integers or 2 pai",
        ),
        (lambda: ZeroPadding2D(-1), ValueError, "ZeroPadding2D: padding must be at least 0, got -1"),
        (lambda: ZeroPadding2D("same"), TypeError, "ZeroPadding2D: padding must be an integer, got 'same'"),
        (lambda: ZeroPadding3D((1, 2)), ValueError, "ZeroPadding3D: padding must be an integer, 3 integers or 3 pairs"),
        (lambda: Cropping2D(1.5), TypeError, "Cropping2D: cropping must be an integer, got 1.5"),
        (
            lambda: Cropping3D(((1, 1), (1, 1), (1, 1, 1))),
            ValueError,
            "Cropping3D: cropping must be an integer or a pai",
        ),
        (lambda: UpSampling1D((1, 2)), ValueError, r"UpSampling1D: size must be an integer or a tuple of one integer"),
        (lambda: UpSampling2D(0), ValueError, "UpSampling2D: size must be at least 1, got 0"),
        (lambda: UpSampling2D(2.0), TypeError, "UpSampling2D: size must be an integer, got 2.0"),
        (
            lambda: UpSampling2D(interpolation="area"),
            ValueError,
            "UpSampling2D: interpolation must be 'nearest' or 'bilinear', got 'area'",
        ),
        (
            lambda: UpSampling2D(interpolation="bicubic"),
            NotImplementedError,
            "UpSampling2D: interpolation 'bicubic' is not supported, use 'bilinear'",
        ),
        (lambda: Permute((1, 3)), ValueError, r"Permute: dims must be an order of 1 to 2, got \(1, 3\)"),
        (lambda: Permute((0, 1)), ValueError, "Permute: dims must be at least 1, got 0"),
        (lambda: Rescaling("2"), TypeError, "Rescaling: scale must be a number, got '2'"),
        (lambda: Rescaling(1, np.nan), ValueError, "Rescaling: offset must be finite, got nan"),
    ],
)
def test_errors_of_arguments(make, error, text):
    with pytest.raises(error, match=f"^{text}"):
        make()


@pytest.mark.parametrize(
    ("layer", "shape", "text"),
    [
        (ZeroPadding1D(name="p"), (1, 2, 3, 4), r"p: input must have axes \(batch, .*, channels\), got shape"),
        (Cropping1D(2, name="c"), (1, 4, 3), r"c: output must have positive sizes, got \(0,\) for input \(1, 4, 3\)"),
        (Permute((2, 1), name="q"), (1, 2, 3, 4), r"q: input must have 3 axes, got shape \(1, 2, 3, 4\)"),
        (Rescaling((1, 2), name="r"), (1, 3), "r: scale must have a number for each entry of the last axis, got 2 for"),
        (Rescaling(1, (1, 2), name="r"), (1, 3), "r: offset must have a number for each entry of the last axis, got 2"),
    ],
)
def test_errors_of_shapes(layer: Layer, shape, text):
    with pytest.raises(ValueError, match=f"^{text}"):
        layer(np.ones(shape, np.float32))
    with pytest.raises(ValueError, match=f"^{text}"):
        type(layer).from_config(layer.get_config() | {"name": layer.name}).build(shape)
