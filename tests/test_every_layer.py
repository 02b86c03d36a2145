"""What holds for every layer there is: its gradient, its configuration, its place in a file."""

import numpy as np
import pytest

import fastconv as fc
from fastconv import layers
from fastconv.layers import Conv2D
from fastconv.testing import check_gradient

SIGNAL, IMAGE, VOLUME, ROW = (2, 9, 4), (2, 8, 9, 4), (2, 5, 6, 7, 3), (3, 5)

# Constructor's arguments, and the shape of an input, or of several.
CASES = {
    "Conv1D": ((3, 3), SIGNAL),
    "Conv2D": ((3, 3), IMAGE),
    "Conv3D": ((2, 3), VOLUME),
    "Conv1DTranspose": ((3, 3, 2), SIGNAL),
    "Conv2DTranspose": ((3, 3, 2), IMAGE),
    "Conv3DTranspose": ((2, 2, 2), VOLUME),
    "DepthwiseConv2D": ((3,), IMAGE),
    "SeparableConv1D": ((3, 3), SIGNAL),
    "SeparableConv2D": ((3, 3), IMAGE),
    "SpatiallySeparableConv2D": ((3, 3), IMAGE),
    "MaxPooling1D": ((2,), SIGNAL),
    "MaxPooling2D": ((2,), IMAGE),
    "MaxPooling3D": ((2,), VOLUME),
    "AveragePooling1D": ((2,), SIGNAL),
    "AveragePooling2D": ((2,), IMAGE),
    "AveragePooling3D": ((2,), VOLUME),
    **{f"Global{kind}Pooling1D": ((), SIGNAL) for kind in ("Average", "Max")},
    **{f"Global{kind}Pooling2D": ((), IMAGE) for kind in ("Average", "Max")},
    **{f"Global{kind}Pooling3D": ((), VOLUME) for kind in ("Average", "Max")},
    "MaxUnpooling2D": ((2,), [(2, 4, 4, 4), IMAGE]),
    "Dense": ((6,), ROW),
    "Activation": (("tanh",), ROW),
    "ReLU": ((), ROW),
    "LeakyReLU": ((), ROW),
    "PReLU": (("ones",), IMAGE),
    "ELU": ((), ROW),
    "Softmax": ((), ROW),
    "BatchNormalization": ((), IMAGE),
    "LayerNormalization": ((), IMAGE),
    "GroupNormalization": ((2,), IMAGE),
    "LocalResponseNormalization": ((3, 0.5, 0.75, 2.0), IMAGE),
    "Dropout": ((0.3,), IMAGE),
    "SpatialDropout1D": ((0.3,), SIGNAL),
    "SpatialDropout2D": ((0.3,), IMAGE),
    "SpatialDropout3D": ((0.3,), VOLUME),
    "GaussianNoise": ((0.5,), IMAGE),
    "Flatten": ((), IMAGE),
    "Reshape": (((12, 24),), IMAGE),
    "Permute": (((3, 1, 2),), IMAGE),
    "UpSampling1D": ((2,), SIGNAL),
    "UpSampling2D": ((2, None, "bilinear"), IMAGE),
    "UpSampling3D": ((2,), VOLUME),
    "ZeroPadding1D": ((2,), SIGNAL),
    "ZeroPadding2D": ((2,), IMAGE),
    "ZeroPadding3D": ((1,), VOLUME),
    "Cropping1D": ((2,), SIGNAL),
    "Cropping2D": ((2,), IMAGE),
    "Cropping3D": ((1,), VOLUME),
    "Rescaling": ((0.5, 1.0), IMAGE),
    "Resizing": ((5, 3), IMAGE),
    "RandomFlip": ((), IMAGE),
    "RandomCrop": ((5, 6), IMAGE),
    "RandomTranslation": ((0.2, 0.3), IMAGE),
    "RandomRotation": ((0.2,), IMAGE),
    "RandomZoom": ((0.2, 0.3), IMAGE),
    "RandomBrightness": ((0.2, (-9.0, 9.0)), IMAGE),
    "RandomContrast": ((0.2, (-9.0, 9.0)), IMAGE),
    **{name: ((), [IMAGE, IMAGE]) for name in ("Add", "Subtract", "Multiply", "Average", "Maximum", "Concatenate")},
}


def make(name, **options):
    return getattr(layers, name)(*CASES[name][0], **options)


def inputs_of(name):
    rng = np.random.default_rng(len(name))
    shapes = CASES[name][1]
    if isinstance(shapes, list):
        return tuple(rng.standard_normal(shape) for shape in shapes)
    return rng.standard_normal(shapes)


def test_every_layer_is_here():
    classes = {name for name in layers.__all__ if name[0].isupper()}
    assert CASES.keys() == classes - {"Layer", "Input", "InputLayer"}


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_those_of_differences(name):
    layer, x = make(name, dtype="float64"), inputs_of(name)
    if not hasattr(layer, "seed") and name != "MaxUnpooling2D":
        check_gradient(layer, x)
        return

    # Layers that draw random numbers draw the same ones each time; what was pooled only says where values go.
    first, rest = (x[0], list(x[1:])) if isinstance(x, tuple) else (x, [])

    def forward(array):
        layer.reseed(1, 2, 3)
        return layer.forward([array, *rest] if rest else array, training=True)

    rng, step = np.random.default_rng(0), 1e-6
    direction, gy = rng.standard_normal(first.shape), rng.standard_normal(forward(first).shape)
    gradient = layer.backward(gy)
    analytic = float(((gradient[0] if rest else gradient) * direction).sum())
    difference = float((gy * (forward(first + step * direction) - forward(first - step * direction))).sum()) / (
        2 * step
    )
    assert analytic == pytest.approx(difference, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_a_copy_from_the_configuration_computes_the_same(name):
    layer, x = make(name), inputs_of(name)
    x = [array.astype(np.float32) for array in x] if isinstance(x, tuple) else x.astype(np.float32)
    y = layer.forward(x)
    twin = type(layer).from_config(layer.get_config())
    twin.forward(x)
    for mine, theirs in ((layer.params, twin.params), (layer.state, twin.state)):
        theirs.update({key: array.copy() for key, array in mine.items()})
    np.testing.assert_array_equal(twin.forward(x), y)
    shapes = [array.shape for array in x] if isinstance(x, list) else x.shape
    assert layer.output_shape(shapes) == y.shape


@pytest.mark.parametrize("name", CASES)
def test_a_model_with_the_layer_trains_and_is_saved(name, tmp_path):
    shapes = CASES[name][1]
    shapes = shapes if isinstance(shapes, list) else [shapes]
    sources = [fc.Input(shape[1:]) for shape in shapes]
    y = make(name)(sources if len(sources) > 1 else sources[0])
    model = fc.Model(sources, layers.Dense(1)(layers.Flatten()(y)))
    model.compile("sgd", "mean_squared_error")
    rng = np.random.default_rng(0)
    data = [rng.standard_normal((4, *shape[1:])).astype(np.float32) for shape in shapes]
    data = data if len(data) > 1 else data[0]
    loss = model.train_on_batch(data, np.ones((4, 1), np.float32))
    assert np.isfinite(loss)
    model.save(tmp_path / "model.npz")
    again = fc.load_model(tmp_path / "model.npz")
    np.testing.assert_array_equal(again.predict(data), model.predict(data))


def test_weights_are_kept_when_a_layer_is_renamed_in_a_copy():
    layer = Conv2D(2, 3, name="first", input_shape=(5, 5, 1))
    twin = Conv2D.from_config({**layer.get_config(), "name": "second"})
    assert (layer.name, twin.name) == ("first", "second")
