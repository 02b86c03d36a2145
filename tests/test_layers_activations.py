"""Activations by name, and layers that are an activation: values, configurations, refusals."""

from types import ModuleType

import numpy as np
import pytest

import fastconv as fc
from fastconv import activations, reference
from fastconv.initializers import Constant
from fastconv.layers import ELU, Activation, Conv2D, Dense, PReLU, Softmax

X = np.array([[-1000.0, -2.0, -0.5, 0.0, 0.5, 2.0, 1000.0]])


@pytest.mark.parametrize("name", ["relu6", "elu", "gelu", "silu", "softplus"])
def test_named_activation_is_the_function_of_that_name(name: str) -> None:
    np.testing.assert_allclose(Activation(name, dtype="float64")(X), getattr(reference, name)(X), rtol=1e-13)


def test_swish_is_silu() -> None:
    assert isinstance(activations.get("swish"), activations.Silu)


def test_approximate_gelu() -> None:
    layer = Activation(activations.Gelu(approximate=True), dtype="float64")
    np.testing.assert_allclose(layer(X), reference.gelu(X, "tanh"), rtol=1e-13)


def test_exponential_overflows_in_silence() -> None:
    layer = Activation("exponential")
    y = layer.forward(X, training=True)
    np.testing.assert_allclose(y[0, :-1], np.exp(X[0, :-1]), rtol=1e-6)
    assert y[0, -1] == np.inf
    assert np.isnan(layer.backward(np.zeros_like(X))[0, -1])


def hard_sigmoid(x: np.ndarray) -> np.ndarray:
    return np.clip(x / 6 + 0.5, 0, 1)


FORMULAS = {
    "selu": lambda x: 1.0507009873554805 * reference.elu(x, 1.6732632423543772),
    "log_sigmoid": lambda x: -np.logaddexp(0, -x),
    "mish": lambda x: x * np.tanh(np.logaddexp(0, x)),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "hard_sigmoid": hard_sigmoid,
    "hard_silu": lambda x: x * hard_sigmoid(x),
    "hard_swish": lambda x: x * hard_sigmoid(x),
    "hard_tanh": lambda x: np.clip(x, -1, 1),
    "log_softmax": lambda x: x - 1000,
}


@pytest.mark.parametrize("name", FORMULAS)
def test_named_activation_is_its_formula(name: str, dtype: type) -> None:
    y = Activation(name, dtype=dtype)(X)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, FORMULAS[name](X), rtol=16 * np.finfo(dtype).eps, atol=np.finfo(dtype).tiny)


@pytest.mark.parametrize(
    ("name", "limits", "slopes"),
    [
        ("selu", (-1.7580993408473766, np.inf), (0, 1.0507009873554805)),
        ("log_sigmoid", (-np.inf, 0), (1, 0)),
        ("mish", (0, np.inf), (0, 1)),
        ("softsign", (np.nan, np.nan), (0, 0)),
        ("hard_sigmoid", (0, 1), (0, 0)),
        ("hard_silu", (0, np.inf), (0, 1)),
        ("hard_tanh", (-1, 1), (0, 0)),
    ],
)
def test_limits(name: str, limits: tuple[float, float], slopes: tuple[float, float], dtype: type) -> None:
    layer = Activation(name, dtype=dtype)
    assert np.isnan(layer(np.array([np.nan], dtype))).all()
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(layer.forward([-np.inf, np.inf], training=True), limits, rtol=2 * eps)
    np.testing.assert_allclose(layer.backward([1.0, 1.0]), slopes, rtol=2 * eps, atol=4 * eps)
    layer.forward([-np.finfo(dtype).max, np.finfo(dtype).max], training=True)
    np.testing.assert_allclose(layer.backward([1.0, 1.0]), slopes, rtol=2 * eps, atol=4 * eps)


@pytest.mark.parametrize(
    ("name", "name_in_torch"),
    [
        ("selu", "selu"),
        ("log_sigmoid", "logsigmoid"),
        ("mish", "mish"),
        ("softsign", "softsign"),
        ("hard_sigmoid", "hardsigmoid"),
        ("hard_silu", "hardswish"),
        ("hard_tanh", "hardtanh"),
    ],
)
def test_values_and_gradients_are_those_of_torch(
    name: str, name_in_torch: str, torch: ModuleType, rng: np.random.Generator
) -> None:
    x, grad_y = 5 * rng.standard_normal((2, 500))
    layer = Activation(name, dtype="float64")
    x_in_torch = torch.tensor(x, requires_grad=True)
    y_in_torch = getattr(torch.nn.functional, name_in_torch)(x_in_torch)
    y_in_torch.backward(torch.tensor(grad_y))
    np.testing.assert_allclose(layer.forward(x, training=True), y_in_torch.detach(), rtol=1e-12, atol=1e-15)
    # torch has the sixth of hard_sigmoid in single precision.
    rtol = 1e-7 if name == "hard_sigmoid" else 1e-12
    np.testing.assert_allclose(layer.backward(grad_y), x_in_torch.grad, rtol=rtol, atol=1e-14)


@pytest.mark.parametrize("name", ["elu", "exponential", "gelu", "leaky_relu", "relu6", "silu", "softplus", *FORMULAS])
def test_activation_survives_its_configuration(name: str) -> None:
    for layer in (Activation(name), Dense(2, name), Conv2D(2, 1, activation=name)):
        twin = type(layer).from_config(layer.get_config())
        assert twin.get_config() == layer.get_config()
        assert type(twin.activation) is type(activations.get(name))


@pytest.mark.parametrize("name", ["gelu", "silu", "softplus", "log_sigmoid", "mish", "softsign", "hard_silu"])
def test_training_keeps_the_input_only_where_the_gradient_needs_it(name: str) -> None:
    x = np.ones((1, 2))
    for function in (activations.get(name), activations.get("elu")):
        y, saved = function.apply(x)
        assert saved is (x if function.needs_input else y)
    assert activations.get(name).needs_input
    assert not activations.get("elu").needs_input


@pytest.mark.parametrize("name", ["gelu", "silu", "elu", "selu", "mish", "hard_silu"])
def test_network_with_it_learns(name: str) -> None:
    fc.utils.set_random_seed(1)
    x = np.random.default_rng(0).standard_normal((64, 6, 6, 1)).astype(np.float32)
    y = (x.mean(axis=(1, 2, 3)) > 0).astype(int)
    model = fc.Sequential(
        [Conv2D(4, 3, activation=name, input_shape=(6, 6, 1)), fc.layers.Flatten(), PReLU(), Dense(2, "softmax")]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    history = model.fit(x, y, epochs=5, verbose=0).history["loss"]
    assert history[-1] < history[0]


class TestPReLU:
    @pytest.mark.parametrize(
        ("shared_axes", "shape"),
        [(None, (2, 3, 4)), ((1, 2), (1, 1, 4)), ((2, 3), (2, 1, 1)), (2, (2, 1, 4)), ((1, 2, 3), (1, 1, 1))],
    )
    def test_values_and_gradients_by_the_formula(
        self, shared_axes: object, shape: tuple[int, ...], rng: np.random.Generator
    ) -> None:
        x, grad_y = rng.standard_normal((2, 5, 2, 3, 4))
        layer = PReLU("random_normal", shared_axes, dtype="float64")  # type: ignore[arg-type]
        y = layer.forward(x, training=True)
        alpha = layer.params["alpha"]
        assert alpha.shape == shape
        np.testing.assert_allclose(y, np.where(x > 0, x, alpha * x), rtol=1e-15)
        np.testing.assert_allclose(layer.backward(grad_y), np.where(x > 0, 1, alpha) * grad_y, rtol=1e-15)
        terms = (np.where(x > 0, 0, x) * grad_y).sum(axis=0)
        expected = terms.sum(axis=tuple(i for i in range(3) if shape[i] == 1), keepdims=True)
        np.testing.assert_allclose(layer.grads["alpha"], expected, atol=1e-13)

    def test_is_relu_by_default(self) -> None:
        np.testing.assert_array_equal(PReLU()(X), np.maximum(X, 0))

    def test_same_as_torch(self, torch: ModuleType, rng: np.random.Generator) -> None:
        x = rng.standard_normal((2, 3, 4, 4))
        layer = PReLU(Constant(0.25), shared_axes=(2, 3), dtype="float64")
        module = torch.nn.PReLU(3, dtype=torch.float64)
        np.testing.assert_array_equal(layer(x), module(torch.tensor(x)).detach().numpy())

    def test_configuration_and_regularizer(self) -> None:
        layer = PReLU("ones", [1, 2], alpha_regularizer="l2", name="some")
        twin = PReLU.from_config(layer.get_config())
        assert twin.get_config() == layer.get_config()
        twin.build((None, 5, 6, 3))
        assert twin.penalty() > 0

    def test_empty_batch(self) -> None:
        layer = PReLU()
        y = layer.forward(np.ones((0, 3)), training=True)
        assert y.shape == layer.backward(y).shape == (0, 3)
        np.testing.assert_array_equal(layer.grads["alpha"], np.zeros(3))


def test_elu_has_its_alpha() -> None:
    np.testing.assert_allclose(ELU(0.5, dtype="float64")(X), reference.elu(X, 0.5), rtol=1e-15)
    assert ELU(0.5).get_config()["alpha"] == 0.5


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: ELU(-1), ValueError, r"^elu: alpha must not be negative, got -1$"),
        (lambda: PReLU(shared_axes=0), ValueError, r"^PReLU: shared_axes must be at least 1, got 0$"),
        (lambda: PReLU(shared_axes=[1.5]), TypeError, r"^PReLU: shared_axes must be an integer, got 1.5$"),
        (lambda: PReLU("some"), ValueError, r"^PReLU: alpha_initializer must be one of"),
        (
            lambda: PReLU(shared_axes=3, name="p")(np.ones((2, 3))),
            ValueError,
            r"^p: input must have the shared axes \(3,",
        ),
        (lambda: PReLU(name="p").build((None, None, 3)), ValueError, r"^p: input must have known sizes but on shared"),
        (lambda: Activation("gulu"), ValueError, r"^Activation: activation must be one of .*'gelu'.* got 'gulu'$"),
    ],
)
def test_refusals(make: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()  # type: ignore[operator]


@pytest.mark.parametrize("axis", [[1, 2], (3, 1), [-1, -2, 1], (2,), [0, -1]])
def test_softmax_along_several_axes_sums_over_all_of_them(axis: list[int], dtype: type) -> None:
    x = 3 * np.random.default_rng(0).standard_normal((2, 3, 4, 5)).astype(dtype)
    exponentials = np.exp(x.astype(float))
    layer = Softmax(axis, dtype=dtype)
    y = layer(x)
    assert y.dtype == dtype
    expected = exponentials / exponentials.sum(axis=tuple(axis), keepdims=True)
    np.testing.assert_allclose(y, expected, rtol=64 * np.finfo(dtype).eps)
    assert y.flags.c_contiguous
    np.testing.assert_array_equal(Softmax.from_config(layer.get_config())(x), y)


def test_softmax_of_a_plane_is_that_of_keras() -> None:
    # keras.layers.Softmax(axis=[1, 2])(np.arange(4.0).reshape(1, 2, 2, 1)), Keras 3.15.
    y = Softmax(axis=[1, 2])(np.arange(4.0).reshape(1, 2, 2, 1))
    np.testing.assert_allclose(y.ravel(), [0.0320586, 0.08714432, 0.2368828, 0.6439142], rtol=1e-6)
    np.testing.assert_array_equal(Softmax((1, 2))(np.full((1, 2, 2), 1e30)), np.full((1, 2, 2), 0.25))


def test_a_model_with_a_softmax_of_planes_trains_and_is_saved(tmp_path, rng: np.random.Generator) -> None:
    model = fc.Sequential([Conv2D(2, 3, padding="same", input_shape=(4, 4, 1)), Softmax(axis=[1, 2])])
    model.compile("sgd", "mse")
    x = rng.standard_normal((4, 4, 4, 1))
    model.fit(x, np.full((4, 4, 4, 2), 1 / 16), epochs=1, verbose=0)
    model.save(tmp_path / "planes.npz")
    np.testing.assert_array_equal(fc.load_model(tmp_path / "planes.npz").predict(x), model.predict(x))
    np.testing.assert_allclose(model.predict(x).sum(axis=(1, 2)), np.ones((4, 2)), rtol=1e-6)


@pytest.mark.parametrize(
    ("axis", "error", "message"),
    [
        ("last", TypeError, "axis must be an integer or a sequence of integers, got 'last'"),
        ([1, 1.5], TypeError, r"axis must be an integer or a sequence of integers, got \[1, 1.5\]"),
        (True, TypeError, "axis must be an integer or a sequence of integers, got True"),
        ([], ValueError, r"axis must name at least one axis, got \[\]"),
        ([1, 3], ValueError, r"axis must hold integers from -3 to 2, got \(1, 3\)"),
        ([1, -2], ValueError, r"axis must name each axis once, got \(1, -2\) for 3 axes"),
    ],
)
def test_softmax_refuses(axis: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"Softmax: {message}"):
        Softmax(axis)(np.zeros((2, 3, 4)))  # type: ignore[arg-type]


def test_functions_by_the_names_of_keras() -> None:
    np.testing.assert_array_equal(activations.relu(np.array([-1.0, 2.0])), [0, 2])
    np.testing.assert_allclose(activations.softmax(np.array([[0.0, 0.0]])), [[0.5, 0.5]])
    layer = Dense(2, activation=activations.tanh)
    assert layer.get_config()["activation"] == Dense(2, activation="tanh").get_config()["activation"]
    with pytest.raises(AttributeError, match=r"module 'fastconv\.activations' has no attribute 'rleu'"):
        _ = activations.rleu
