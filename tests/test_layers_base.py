"""Names, weights, dtypes and the order of calls: what every layer does."""

import numpy as np
import pytest

from fastconv import utils
from fastconv.initializers import Constant
from fastconv.layers import (
    ELU,
    Activation,
    AveragePooling2D,
    Conv2D,
    Cropping2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    Layer,
    LeakyReLU,
    MaxPooling2D,
    Permute,
    PReLU,
    RandomCrop,
    RandomFlip,
    RandomTranslation,
    ReLU,
    Rescaling,
    Reshape,
    Softmax,
    UpSampling2D,
    ZeroPadding2D,
)

EVERY_LAYER = [
    Conv2D(4, 3, padding="same", activation="relu"),
    MaxPooling2D(2),
    AveragePooling2D(2),
    GlobalAveragePooling2D(),
    GlobalMaxPooling2D(keepdims=True),
    Dense(3, "tanh"),
    Activation("sigmoid"),
    ReLU(max_value=6.0),
    LeakyReLU(0.1),
    ELU(0.5),
    PReLU("ones", shared_axes=(1, 2)),
    Activation("gelu"),
    Softmax(),
    Dropout(0.5, seed=3),
    Flatten(),
    Reshape((-1, 2)),
    ZeroPadding2D(((1, 0), (2, 3))),
    Cropping2D(((1, 0), (2, 1))),
    UpSampling2D((3, 2), interpolation="bilinear"),
    Permute((3, 1, 2)),
    Rescaling(0.5, offset=(1.0, -1.0)),
    RandomFlip("vertical", seed=3),
    RandomCrop(3, 2, seed=3),
    RandomTranslation(0.3, (0.1, 0.4), "constant", fill_value=2.0, seed=3),
]


@pytest.fixture(params=EVERY_LAYER, ids=lambda layer: type(layer).__name__)
def layer(request: pytest.FixtureRequest) -> Layer:
    return type(request.param).from_config(request.param.get_config())


@pytest.mark.parametrize(
    ("cls", "arguments", "stem"),
    [
        (Conv2D, (1, 1), "conv2d"),
        (MaxPooling2D, (), "max_pooling2d"),
        (GlobalAveragePooling2D, (), "global_average_pooling2d"),
        (ReLU, (), "re_lu"),
        (LeakyReLU, (), "leaky_re_lu"),
        (ZeroPadding2D, (), "zero_padding2d"),
    ],
)
def test_automatic_names_are_those_of_keras(cls: type[Layer], arguments: tuple[int, ...], stem: str) -> None:
    first, second = cls(*arguments).name, cls(*arguments).name
    assert first.startswith(stem)
    number = int(first[len(stem) + 1 :] or 0)
    assert second == f"{stem}_{number + 1}"


def test_backward_without_a_training_forward_is_a_runtime_error(layer: Layer) -> None:
    x = np.ones((2, 4, 4, 2))
    grad = np.ones_like(layer(x))
    with pytest.raises(RuntimeError, match="backward needs a forward pass with training=True"):
        layer.backward(grad)


def test_release_forgets_the_training_forward(layer: Layer) -> None:
    grad = np.ones_like(layer.forward(np.ones((2, 4, 4, 2)), training=True))
    layer.release()
    with pytest.raises(RuntimeError):
        layer.backward(grad)


def test_output_shape_is_that_of_the_output(layer: Layer) -> None:
    assert layer.output_shape((None, 4, 4, 2)) == (None, *layer(np.ones((2, 4, 4, 2))).shape[1:])


def test_backward_returns_the_shape_and_dtype_of_the_input(layer: Layer) -> None:
    x = np.ones((2, 4, 4, 2), np.float32)
    grad_x = layer.backward(np.ones_like(layer.forward(x, training=True)))
    assert grad_x is not None
    assert grad_x.shape == x.shape
    assert grad_x.dtype == np.float32


def test_input_is_unchanged_by_both_passes(layer: Layer) -> None:
    x = np.random.default_rng(0).standard_normal((2, 4, 4, 2)).astype(np.float32)
    before = x.copy()
    y = layer.forward(x, training=True)
    grad = np.ones_like(y)
    layer.backward(grad)
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(grad, np.ones_like(y))


def test_empty_batch_gives_an_empty_output(layer: Layer) -> None:
    expected = layer.output_shape((0, 4, 4, 2))
    assert layer(np.ones((0, 4, 4, 2), np.float32)).shape == expected


def test_config_builds_the_same_layer(layer: Layer) -> None:
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()


def test_integers_are_computed_in_the_layers_dtype(layer: Layer) -> None:
    assert layer(np.ones((2, 4, 4, 2), np.uint8)).dtype == np.float32


def test_wrong_gradient_shape_names_the_right_one(layer: Layer) -> None:
    y = layer.forward(np.ones((2, 4, 4, 2)), training=True)
    with pytest.raises(ValueError, match=r"grad_y must have the output's shape .*, got \(7,\)"):
        layer.backward(np.ones(7))
    assert y.shape[0] == 2


def test_float64_layer_computes_in_float64() -> None:
    layer = Dense(2, dtype="float64")
    layer.forward(np.ones((1, 3), np.float32), training=True)
    grad_x = layer.backward(np.ones((1, 2)))
    assert grad_x is not None
    assert {grad_x.dtype, layer.params["kernel"].dtype, layer.grads["kernel"].dtype} == {np.dtype("float64")}


def test_weights_assigned_between_calls_take_effect() -> None:
    layer = Dense(1, use_bias=False)
    layer(np.ones((1, 2)))
    layer.params["kernel"] = np.array([[2.0], [3.0]])
    assert layer(np.ones((1, 2))) == 5
    layer.params["kernel"][0, 0] = 4
    assert layer(np.ones((1, 2))) == 7


def test_weights_assigned_before_the_build_are_kept() -> None:
    layer = Dense(1, use_bias=False)
    layer.params["kernel"] = np.array([[2.0], [3.0]], np.float32)
    assert layer(np.ones((1, 2))) == 5


def test_weights_of_another_shape_are_refused() -> None:
    layer = Dense(1, name="last")
    layer(np.ones((1, 2)))
    layer.params["kernel"] = np.ones((3, 1), np.float32)
    with pytest.raises(ValueError, match=r"last: params\['kernel'\] must have shape \(2, 1\), got \(3, 1\)"):
        layer(np.ones((1, 2)))


def test_gradients_are_replaced_not_accumulated() -> None:
    layer = Dense(1, kernel_initializer=Constant(1))
    for _ in range(2):
        layer.forward([[2.0, 3.0]], training=True)
        layer.backward([[1.0]])
    np.testing.assert_array_equal(layer.grads["kernel"], [[2], [3]])


def test_gradient_of_the_input_is_left_out_on_request() -> None:
    for layer in (Conv2D(2, 3), Dense(2)):
        y = layer.forward(np.ones((1, 5, 5, 1)), training=True)
        assert layer.backward(np.ones_like(y), needs_input=False) is None
        assert set(layer.grads) == {"kernel", "bias"}


def test_set_random_seed_repeats_weights_and_other_seeds_do_not() -> None:
    kernels = []
    for seed in (5, 5, 6):
        utils.set_random_seed(seed)
        layer = Conv2D(4, 3)
        layer.build((None, 8, 8, 2))
        kernels.append(layer.params["kernel"])
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert not np.array_equal(kernels[0], kernels[2])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Conv2D(0, 3), ValueError, "Conv2D: filters must be at least 1, got 0"),
        (lambda: Conv2D(True, 3), TypeError, "Conv2D: filters must be an integer, got True"),
        (lambda: Conv2D(4, (3, 3, 3)), ValueError, r"Conv2D: kernel_size must be an integer or a pair"),
        (lambda: Conv2D(4, 3, padding="full"), ValueError, "Conv2D: padding must be 'valid' or 'same', got 'full'"),
        (lambda: Conv2D(4, 3, groups=3), ValueError, "Conv2D: groups must divide filters 4, got 3"),
        (lambda: Conv2D(4, 3, activation="swush"), ValueError, "Conv2D: activation must be one of .*'swush'"),
        (lambda: Conv2D(4, 3, activation=np.tanh), TypeError, "Conv2D: activation must be one of"),
        (lambda: MaxPooling2D(data_format="nhwc"), ValueError, "MaxPooling2D: data_format must be .*'nhwc'"),
        (lambda: Dense(3, kernel_initializer="he"), ValueError, "Dense: kernel_initializer must be one of .*'he'"),
        (lambda: Dense(3, dtype="int32"), ValueError, "Dense: dtype must be 'float32' or 'float64', got 'int32'"),
        (lambda: Dense(3, dtype="x"), TypeError, "Dense: dtype must be a dtype, got 'x'"),
        (lambda: Dense(3, name="a/b"), ValueError, "Dense: name must be a string"),
        (lambda: Dense(3, input_shape=5), TypeError, "Dense: input_shape must be a tuple"),
        (lambda: Dropout(1.5), ValueError, "Dropout: rate must be from 0 to 1, got 1.5"),
        (lambda: Dropout(0.5, seed=-1), ValueError, "Dropout: seed must not be negative, got -1"),
        (lambda: Reshape((-1, -1)), ValueError, "Reshape: target_shape must have at most one -1"),
        (lambda: Reshape(4), TypeError, "Reshape: target_shape must be a sequence, got 4"),
        (lambda: Permute(2), TypeError, "Permute: dims must be a sequence, got 2"),
        (lambda: Dropout(0.5, 2), TypeError, "Dropout: noise_shape must be a sequence, got 2"),
        (lambda: ReLU(max_value="x"), TypeError, "ReLU: max_value must be a number, got 'x'"),
        (lambda: LeakyReLU(None), TypeError, "leaky_relu: negative_slope must be a number, got None"),
        (lambda: ELU([1, 2]), TypeError, r"elu: alpha must be a number, got \[1, 2\]"),
        (lambda: ReLU(max_value=-1), ValueError, "ReLU: max_value must not be negative, got -1"),
    ],
)
def test_bad_arguments_name_layer_argument_rule_and_value(make: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()  # type: ignore[operator]


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (Conv2D(4, 3, name="c"), (8, 8, 1), r"c: input must have axes \(batch, height, width, channels\), got shape"),
        (Conv2D(4, 9, name="c"), (1, 8, 8, 1), r"c: output height is \(8 \+ 0 \+ 0 - 9\)//1 \+ 1 = 0"),
        (Conv2D(4, 3, groups=2, name="c"), (1, 8, 8, 3), "c: groups must divide the 3 input channels, got 2"),
        (MaxPooling2D(5, name="p"), (1, 4, 4, 1), "p: output height is"),
        (Dense(2, name="d"), (3,), r"d: input must have at least the axes \(batch, inputs\)"),
        (Reshape((5,), name="r"), (1, 4), r"r: target_shape must hold the input's 4 values, got \(5,\)"),
    ],
)
def test_unfit_input_names_the_layer_and_the_reason(layer: Layer, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        layer(np.zeros(shape, np.float32))


def test_unknown_sizes_stay_unknown() -> None:
    assert Conv2D(4, 3, strides=2).output_shape((None, None, 9, 3)) == (None, None, 4, 4)
    assert Conv2D(4, 3, strides=2).output_shape((None, None, None, 3)) == (None, None, None, 4)
    assert MaxPooling2D(2).output_shape((None, 9, None, 3)) == (None, 4, None, 3)
    assert Flatten().output_shape((None, None, 3)) == (None, None)
