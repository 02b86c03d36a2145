"""Networks by name have the published sizes and can be built for the data they are meant for."""

import numpy as np
import pytest

from fastconv import layers, zoo

# Of the shape and the number of classes that a network is meant for.
PARAMETERS = {
    "linear": 784 * 10 + 10,
    "mlp": 784 * 128 + 128 + 128 * 10 + 10,
    # LeCun et al. (1998) with all connections from S2 to C3.
    "lenet5": 61706,
    # The lectures' figure, in rows of 400, 3216, 4640, 0 and 330.
    "textbook": 8586,
    # In rows of 65, 344, 688, 0 and 330.
    "textbook-separable": 1427,
    "fashion": 320 + 18496 + (7 * 7 * 64 * 256 + 256) + 2570,
    "allconv": 320 + 9248 + 18496 + 36928 + 36928 + 650,
    # Krizhevsky et al. (2012), as Zeiler and Fergus count them (arXiv:1311.2901).
    "alexnet": 60965224,
}
SMALL = [name for name in zoo.RECIPES if name != "alexnet"]


def test_every_network_is_counted():
    assert PARAMETERS.keys() == zoo.RECIPES.keys()


@pytest.mark.parametrize("name", zoo.RECIPES)
def test_parameter_count(name):
    recipe = zoo.RECIPES[name]
    assert zoo.build(name, recipe.image, recipe.classes).count_params() == PARAMETERS[name]


@pytest.mark.parametrize(
    ("name", "rows"), [("textbook", [400, 3216, 4640, 0, 330]), ("textbook-separable", [65, 344, 688, 0, 330])]
)
def test_textbook_rows(name, rows):
    model = zoo.build(name, (28, 28, 1), 10)
    assert [layer.count_params() for layer in model.layers] == rows


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3)])
def test_outputs_are_probabilities_and_a_step_lowers_the_loss(name, shape):
    model = zoo.build(name, shape, 7)
    rng = np.random.default_rng(3)
    x, y = rng.random((14, *shape), dtype=np.float32), np.arange(14) % 7
    probabilities = model.predict(x)
    assert probabilities.shape == (14, 7)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    before = model.evaluate(x, y, verbose=0)[0]
    for _ in range(5):
        model.train_on_batch(x, y)
    assert model.evaluate(x, y, verbose=0)[0] < before


class TestAlexNet:
    def test_layers_have_the_published_shapes_and_weights(self):
        model = zoo.build("alexnet", (227, 227, 3), 1000)
        # Units and weights of the eight layers as published, and the maps that the poolings leave.
        shape, found, pooled = (None, 227, 227, 3), [], []
        for layer in model.layers:
            shape = layer.output_shape(shape)
            if layer.count_params():
                found.append((int(np.prod(shape[1:])), layer.count_params()))
            if isinstance(layer, layers.MaxPooling2D):
                pooled.append(shape[1:])
        assert found == [
            (290400, 34944),
            (186624, 307456),
            (64896, 885120),
            (64896, 663936),
            (43264, 442624),
            (4096, 37752832),
            (4096, 16781312),
            (1000, 4097000),
        ]
        assert pooled == [(27, 27, 96), (13, 13, 256), (6, 6, 256)]

    def test_a_step_changes_all_weights_of_the_least_network(self):
        model = zoo.build("alexnet", (67, 70, 2), 7)
        rng = np.random.default_rng(3)
        x, y = rng.random((5, 67, 70, 2), dtype=np.float32), np.arange(5)
        np.testing.assert_allclose(model.predict(x).sum(axis=1), 1, rtol=1e-5)
        before = model.get_weights()
        assert np.isfinite(model.train_on_batch(x, y)).all()
        assert all((new != old).any() for new, old in zip(model.get_weights(), before, strict=True))

    def test_activities_are_normalized_as_in_the_paper(self):
        model = zoo.build("alexnet", (67, 67, 1), 2)
        normalize = next(layer for layer in model.layers if isinstance(layer, layers.LocalResponseNormalization))
        a = np.zeros((1, 1, 1, 96), np.float32)
        a[..., 10:13] = 100, 200, 300
        b = normalize(a).ravel()
        # Section 3.3: n = 5 neighbours, k = 2, alpha = 0.0001, beta = 0.75.
        assert b[10] == pytest.approx(100 / (2 + 1e-4 * (100**2 + 200**2 + 300**2)) ** 0.75, rel=1e-6)
        assert b[12] == pytest.approx(300 / (2 + 1e-4 * (100**2 + 200**2 + 300**2)) ** 0.75, rel=1e-6)
        assert np.count_nonzero(b) == 3

    @pytest.mark.parametrize("shape", [(66, 67, 3), (67, 66, 3), (32, 32, 3), (28, 28, 1)])
    def test_images_that_are_too_small_are_refused(self, shape):
        message = f"alexnet: images must be at least 67x67, got {shape[0]}x{shape[1]}; those of the paper are 227x227"
        with pytest.raises(ValueError, match=f"^{message}$"):
            zoo.build("alexnet", shape, 10)

    def test_a_row_of_features_is_no_image(self):
        with pytest.raises(ValueError, match=r"conv2d.*must have axes"):
            zoo.build("alexnet", (784,), 10)


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"build: name must be one of linear, mlp, lenet5, .*got 'resnet'"):
        zoo.build("resnet", (28, 28, 1), 10)


@pytest.mark.parametrize("name", ["textbook", "textbook-separable"])
def test_too_small_input_is_a_value_error(name):
    with pytest.raises(ValueError, match="output height"):
        zoo.build(name, (8, 8, 1), 10)
