"""Networks by name have the published sizes and can be built for the data they are meant for."""

import numpy as np
import pytest

from fastconv import zoo

PARAMETERS = {
    "linear": 784 * 10 + 10,
    "mlp": 784 * 128 + 128 + 128 * 10 + 10,
    # LeCun et al. (1998) with all connections from S2 to C3.
    "lenet5": 61706,
    # The lectures' figure, in rows of 400, 3216, 4640, 0 and 330.
    "textbook": 8586,
    "fashion": 320 + 18496 + (7 * 7 * 64 * 256 + 256) + 2570,
    "allconv": 320 + 9248 + 18496 + 36928 + 36928 + 650,
}


def test_every_network_is_counted():
    assert PARAMETERS.keys() == zoo.RECIPES.keys()


@pytest.mark.parametrize("name", zoo.RECIPES)
def test_parameter_count_for_mnist(name):
    assert zoo.build(name, (28, 28, 1), 10).count_params() == PARAMETERS[name]


def test_textbook_rows():
    model = zoo.build("textbook", (28, 28, 1), 10)
    assert [layer.count_params() for layer in model.layers] == [400, 3216, 4640, 0, 330]


@pytest.mark.parametrize("name", zoo.RECIPES)
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


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"build: name must be one of linear, mlp, lenet5, .*got 'resnet'"):
        zoo.build("resnet", (28, 28, 1), 10)


def test_too_small_input_is_a_value_error():
    with pytest.raises(ValueError, match="output height"):
        zoo.build("textbook", (8, 8, 1), 10)
