"""Outputs of layers against hand-worked numbers, torch, and the rules of Keras."""

from types import ModuleType

import numpy as np
import pytest

from fastconv.layers import (
    AveragePooling2D,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    MaxPooling2D,
    ReLU,
    Softmax,
    ZeroPadding2D,
)


@pytest.mark.parametrize("activation", [None, "relu", "sigmoid", "tanh", "leaky_relu"])
def test_conv_matches_torch(torch: ModuleType, activation: str | None, rng: np.random.Generator) -> None:
    x = rng.standard_normal((2, 9, 8, 4))
    layer = Conv2D(6, (3, 2), strides=(2, 1), dilation_rate=(1, 2), groups=2, activation=activation, dtype="float64")
    y = layer(x)
    expected = torch.nn.functional.conv2d(
        torch.from_numpy(x.transpose(0, 3, 1, 2)),
        torch.from_numpy(layer.params["kernel"].transpose(3, 2, 0, 1)),
        torch.from_numpy(layer.params["bias"]),
        stride=(2, 1),
        dilation=(1, 2),
        groups=2,
    )
    if activation == "leaky_relu":
        expected = torch.nn.functional.leaky_relu(expected, 0.2)
    elif activation is not None:
        expected = getattr(torch, activation)(expected)
    np.testing.assert_allclose(y, expected.numpy().transpose(0, 2, 3, 1), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "make",
    [
        lambda **o: Conv2D(4, 3, strides=2, padding="same", activation="relu", **o),
        lambda **o: MaxPooling2D(3, 2, "same", **o),
        lambda **o: AveragePooling2D(3, 2, "same", **o),
        lambda **o: GlobalAveragePooling2D(keepdims=True, **o),
        lambda **o: GlobalMaxPooling2D(keepdims=True, **o),
        lambda **o: ZeroPadding2D(((1, 2), (3, 0)), **o),
    ],
)
def test_both_data_formats_agree_on_the_same_weights(make: object, rng: np.random.Generator) -> None:
    x = rng.standard_normal((2, 7, 6, 2))
    last = make(dtype="float64")  # type: ignore[operator]
    first = make(data_format="channels_first", dtype="float64")  # type: ignore[operator]
    y = last.forward(x, training=True)
    first.params = {name: array.copy() for name, array in last.params.items()}
    y_first = first.forward(x.transpose(0, 3, 1, 2), training=True)
    np.testing.assert_allclose(y_first.transpose(0, 2, 3, 1), y, atol=1e-14)
    grad = rng.standard_normal(y.shape)
    grad_x, grad_first = last.backward(grad), first.backward(grad.transpose(0, 3, 1, 2))
    np.testing.assert_allclose(grad_first.transpose(0, 2, 3, 1), grad_x, atol=1e-14)
    for name in last.grads:
        np.testing.assert_allclose(first.grads[name], last.grads[name], atol=1e-13)


def test_kernel_is_height_width_in_per_group_out_in_both_formats() -> None:
    for data_format, shape in (("channels_last", (None, 8, 9, 6)), ("channels_first", (None, 6, 8, 9))):
        layer = Conv2D(4, (3, 2), groups=2, data_format=data_format)
        layer.build(shape)
        assert layer.params["kernel"].shape == (3, 2, 3, 4)
        assert layer.params["bias"].shape == (4,)


def test_same_average_pooling_divides_by_the_values_inside() -> None:
    x = np.arange(1.0, 10.0).reshape(1, 3, 3, 1)
    y = AveragePooling2D(2, padding="same")(x)
    np.testing.assert_array_equal(y[0, :, :, 0], [[3, 4.5], [7.5, 9]])


def test_same_padding_puts_the_odd_row_below() -> None:
    layer = Conv2D(1, 2, padding="same", use_bias=False, kernel_initializer="ones")
    y = layer(np.arange(1.0, 5.0).reshape(1, 2, 2, 1))
    np.testing.assert_array_equal(y[0, :, :, 0], [[10, 6], [7, 4]])


def test_flatten_of_channels_first_has_channels_last_order() -> None:
    x = np.arange(8).reshape(1, 2, 2, 2)
    np.testing.assert_array_equal(Flatten("channels_first")(x), [[0, 4, 1, 5, 2, 6, 3, 7]])
    np.testing.assert_array_equal(Flatten()(x), [np.arange(8)])


def test_dense_works_on_the_last_axis(rng: np.random.Generator) -> None:
    x = rng.standard_normal((2, 3, 4, 5))
    layer = Dense(6, dtype="float64")
    y = layer(x)
    np.testing.assert_allclose(y, x @ layer.params["kernel"] + layer.params["bias"], atol=1e-14)


def test_relu_with_all_arguments_by_hand() -> None:
    layer = ReLU(max_value=3.0, negative_slope=0.5, threshold=1.0)
    y = layer([[-1.0, 1.0, 1.5, 3.0, 4.0, np.nan]])
    np.testing.assert_array_equal(y, [[-1, 0, 1.5, 3, 3, np.nan]])
    np.testing.assert_array_equal(ReLU(max_value=6.0)([[-np.inf, np.inf]]), [[0, 6]])


def test_softmax_along_another_axis() -> None:
    np.testing.assert_allclose(Softmax(axis=1)(np.zeros((1, 4, 2))), np.full((1, 4, 2), 0.25))


def test_dropout_keeps_the_mean_and_scales_what_is_left() -> None:
    y = Dropout(0.25, seed=0).forward(np.ones((100, 100)), training=True)
    assert set(np.unique(y)) == {np.float32(0), np.float32(4 / 3)}
    assert abs(float((y == 0).mean()) - 0.25) < 0.02


def test_dropout_is_the_identity_without_training() -> None:
    x = np.ones((4, 4), np.float32)
    assert Dropout(0.5)(x) is x


def test_dropout_of_everything_gives_zeros() -> None:
    layer = Dropout(1.0)
    assert not layer.forward(np.ones((2, 3)), training=True).any()
    grad_x = layer.backward(np.ones((2, 3)))
    assert grad_x is not None
    assert not grad_x.any()


def test_dropout_with_a_seed_repeats_and_goes_on() -> None:
    x = np.ones((4, 100))
    first, second = Dropout(0.5, seed=4), Dropout(0.5, seed=4)
    a, b = first.forward(x, training=True), first.forward(x, training=True)
    assert not np.array_equal(a, b)
    np.testing.assert_array_equal(second.forward(x, training=True), a)
    np.testing.assert_array_equal(second.forward(x, training=True), b)


def test_dropout_noise_shape_shares_the_mask() -> None:
    y = Dropout(0.5, noise_shape=(None, 1, 1, None), seed=1).forward(np.ones((4, 3, 3, 8)), training=True)
    np.testing.assert_array_equal(y, np.broadcast_to(y[:, :1, :1], y.shape))
