"""Convolutional layers: the rules of Keras, values against the reference, gradients, what is saved."""

import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastconv as fc
import fastconv.functional as F
from fastconv import layers, reference, utils
from fastconv.layers import (
    Conv1D,
    Conv1DTranspose,
    Conv2D,
    Conv2DTranspose,
    Conv3D,
    Conv3DTranspose,
    DepthwiseConv2D,
    Layer,
    SeparableConv1D,
    SeparableConv2D,
    SpatiallySeparableConv2D,
)
from fastconv.testing import check_gradient

Array = np.ndarray[Any, Any]
Make = Callable[..., Layer]

# Name, constructor, spatial sizes of an input.
KINDS: list[tuple[str, Make, tuple[int, ...]]] = [
    ("conv1d", lambda **o: Conv1D(4, 3, **o), (9,)),
    ("conv1d-causal", lambda **o: Conv1D(4, 3, strides=2, padding="causal", **o), (9,)),
    ("conv1d-causal-dilated", lambda **o: Conv1D(4, 2, dilation_rate=3, padding="causal", groups=2, **o), (9,)),
    ("conv1d-same-strided", lambda **o: Conv1D(3, 4, strides=3, padding="same", **o), (10,)),
    ("conv3d", lambda **o: Conv3D(3, (2, 3, 2), groups=1, **o), (4, 5, 6)),
    ("conv3d-same-strided", lambda **o: Conv3D(4, 3, (1, 2, 3), "same", groups=2, **o), (4, 5, 6)),
    ("conv1d-transpose", lambda **o: Conv1DTranspose(3, 4, strides=3, **o), (5,)),
    ("conv2d-transpose", lambda **o: Conv2DTranspose(3, (3, 2), **o), (4, 5)),
    ("conv2d-transpose-same", lambda **o: Conv2DTranspose(3, 3, 2, "same", **o), (4, 5)),
    ("conv2d-transpose-extra", lambda **o: Conv2DTranspose(2, 3, 3, "valid", (1, 2), **o), (3, 4)),
    ("conv2d-transpose-dilated", lambda **o: Conv2DTranspose(2, 2, 2, "same", dilation_rate=(2, 3), **o), (3, 4)),
    ("conv3d-transpose", lambda **o: Conv3DTranspose(2, 2, (1, 2, 3), "same", **o), (2, 3, 2)),
    ("depthwise", lambda **o: DepthwiseConv2D(3, **o), (6, 7)),
    ("depthwise-multiplied", lambda **o: DepthwiseConv2D((3, 2), (2, 1), "same", 3, **o), (6, 7)),
    ("separable1d", lambda **o: SeparableConv1D(5, 3, padding="same", **o), (8,)),
    ("separable2d", lambda **o: SeparableConv2D(5, (3, 2), strides=2, padding="same", **o), (6, 7)),
    ("separable2d-multiplied", lambda **o: SeparableConv2D(3, 2, depth_multiplier=2, dilation_rate=2, **o), (6, 7)),
    ("spatially", lambda **o: SpatiallySeparableConv2D(3, (3, 2), **o), (6, 7)),
    ("spatially-same", lambda **o: SpatiallySeparableConv2D(3, 3, (2, 3), "same", **o), (6, 7)),
    ("spatially-dilated", lambda **o: SpatiallySeparableConv2D(3, (2, 3), dilation_rate=(2, 1), **o), (6, 7)),
]
CHANNELS = 4
LAST: dict[str, Any] = {"data_format": "channels_last"}
every_kind = pytest.mark.parametrize(("make", "sizes"), [kind[1:] for kind in KINDS], ids=[kind[0] for kind in KINDS])


def input_shape(layer: Layer, sizes: tuple[int, ...], n: int = 2) -> tuple[int, ...]:
    last = layer.get_config()["data_format"] == "channels_last"
    return (n, *sizes, CHANNELS) if last else (n, CHANNELS, *sizes)


def draw(layer: Layer, sizes: tuple[int, ...]) -> Array:
    return np.random.default_rng(1).standard_normal(input_shape(layer, sizes))


@every_kind
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("options", [{}, {"activation": "relu"}, {"activation": "leaky_relu"}, {"use_bias": False}])
def test_gradients(make: Make, sizes: tuple[int, ...], data_format: str, options: dict[str, Any]) -> None:
    utils.set_random_seed(2)  # weights that keep a relu away from its kink, at every run
    layer = make(data_format=data_format, dtype="float64", bias_initializer="ones", **options)
    check_gradient(layer, draw(layer, sizes))


@every_kind
class TestEveryKind:
    def test_both_data_formats_agree_on_the_same_weights(self, make: Make, sizes: tuple[int, ...]) -> None:
        last = make(dtype="float64", activation="tanh", bias_initializer="ones")
        first = make(dtype="float64", activation="tanh", data_format="channels_first")
        x = draw(last, sizes)
        y = last.forward(x, training=True)
        first.params = {name: array.copy() for name, array in last.params.items()}
        y_first = first.forward(np.moveaxis(x, -1, 1), training=True)
        np.testing.assert_allclose(np.moveaxis(y_first, 1, -1), y, atol=1e-14)
        grad = np.random.default_rng(3).standard_normal(y.shape)
        grad_x, grad_first = last.backward(grad), first.backward(np.moveaxis(grad, -1, 1))
        np.testing.assert_allclose(np.moveaxis(grad_first, 1, -1), grad_x, atol=1e-13)
        for name in last.params:
            assert last.grads[name].shape == last.params[name].shape
            np.testing.assert_allclose(first.grads[name], last.grads[name], atol=1e-12)

    def test_output_shape_is_that_of_the_output(self, make: Make, sizes: tuple[int, ...]) -> None:
        for data_format in ("channels_last", "channels_first"):
            layer = make(data_format=data_format)
            shape = input_shape(layer, sizes)
            y = layer(np.zeros(shape, np.float32))
            assert layer.output_shape(shape) == y.shape

    def test_unknown_sizes_stay_unknown(self, make: Make, sizes: tuple[int, ...]) -> None:
        layer = make()
        channels = layer.output_shape((None, *sizes, CHANNELS))[-1]
        assert layer.output_shape((None, *(None,) * len(sizes), CHANNELS)) == (None, *(None,) * len(sizes), channels)

    def test_config_builds_the_same_layer(self, make: Make, sizes: tuple[int, ...]) -> None:
        layer = make(activation="relu", use_bias=False, name="some")
        again = type(layer).from_config(layer.get_config())
        assert again.get_config() == layer.get_config()
        x = draw(layer, sizes)
        layer(x)
        again.params = layer.params
        np.testing.assert_array_equal(again(x), layer(x))

    def test_saved_model_predicts_the_same(self, make: Make, sizes: tuple[int, ...], tmp_path: Path) -> None:
        model = fc.Sequential([make(input_shape=(*sizes, CHANNELS), activation="relu", name="only")])
        model.save(tmp_path / "model.npz")
        loaded = fc.load_model(tmp_path / "model.npz")
        x = np.random.default_rng(0).standard_normal((3, *sizes, CHANNELS)).astype(np.float32)
        np.testing.assert_array_equal(loaded.predict(x), model.predict(x))
        assert loaded.to_json() == model.to_json()

    def test_layer_without_its_activation_shares_the_weights(self, make: Make, sizes: tuple[int, ...]) -> None:
        layer = make(activation="sigmoid", dtype="float64")
        x = draw(layer, sizes)
        y = layer(x)
        logits = layer.without_activation()(x)
        np.testing.assert_allclose(F.sigmoid(logits), y, atol=1e-15)

    def test_empty_batch(self, make: Make, sizes: tuple[int, ...]) -> None:
        layer = make()
        y = layer.forward(np.zeros((0, *sizes, CHANNELS), np.float32), training=True)
        assert y.shape == layer.output_shape((0, *sizes, CHANNELS))
        grad_x = layer.backward(np.zeros(y.shape, np.float32))
        assert grad_x is not None
        assert grad_x.shape == (0, *sizes, CHANNELS)

    def test_frozen_layer_has_the_gradient_of_its_input_alone(self, make: Make, sizes: tuple[int, ...]) -> None:
        layer = make(dtype="float64")
        x = draw(layer, sizes)
        grad = np.ones_like(layer.forward(x, training=True))
        expected = layer.backward(grad)
        layer.trainable = False
        layer.grads.clear()
        layer.forward(x, training=True)
        np.testing.assert_array_equal(layer.backward(grad), expected)
        assert layer.grads == {}

    def test_input_of_another_rank_is_refused(self, make: Make, sizes: tuple[int, ...]) -> None:
        layer = make(name="some")
        with pytest.raises(
            ValueError, match=r"^some: input must have axes \(batch, .*, channels\), got shape \(2, 4\)$"
        ):
            layer(np.zeros((2, 4), np.float32))


class TestConv:
    @pytest.mark.parametrize("axes", [1, 3])
    def test_values_are_those_of_the_reference(self, axes: int, rng: np.random.Generator) -> None:
        make = {1: Conv1D, 3: Conv3D}[axes]
        layer = make(6, 3, strides=2, padding="same", groups=2, dtype="float64", bias_initializer="ones")
        x = rng.standard_normal((2, *(8, 5, 6)[:axes], 4))
        y = layer(x)
        expected = getattr(reference, f"conv{axes}d")(
            x, layer.params["kernel"], np.ones(6), 2, "same", groups=2, data_format="channels_last"
        )
        np.testing.assert_allclose(y, expected, atol=1e-13)
        assert layer.params["kernel"].shape == (*(3,) * axes, 2, 6)

    def test_causal_output_depends_on_no_later_input(self, rng: np.random.Generator) -> None:
        layer = Conv1D(3, 4, padding="causal", dilation_rate=2, dtype="float64")
        x = rng.standard_normal((1, 20, 2))
        y = layer(x)
        assert y.shape == (1, 20, 3)
        changed = x.copy()
        changed[:, 12:] += 1
        np.testing.assert_array_equal(layer(changed)[:, :12], y[:, :12])
        assert (layer(changed)[:, 12] != y[:, 12]).any()

    def test_causal_padding_is_zeros_on_the_left(self, rng: np.random.Generator) -> None:
        layer = Conv1D(2, 3, strides=2, padding="causal", dilation_rate=2, dtype="float64")
        x = rng.standard_normal((2, 9, 3))
        y = layer(x)
        padded = np.pad(x, ((0, 0), (4, 0), (0, 0)))
        expected = reference.conv1d(padded, layer.params["kernel"], None, 2, 0, 2, data_format="channels_last")
        np.testing.assert_allclose(y, expected, atol=1e-13)

    def test_multiply_adds(self) -> None:
        assert Conv1D(8, 5, groups=2).multiply_adds((None, 100, 4)) == 96 * 8 * 5 * 2
        assert Conv3D(2, (1, 2, 3)).multiply_adds((None, 4, 5, 6, 7)) == 4 * 4 * 4 * 2 * 6 * 7
        assert DepthwiseConv2D(3, depth_multiplier=2).multiply_adds((None, 8, 8, 5)) == 36 * 10 * 9
        assert SeparableConv2D(7, 3, depth_multiplier=2).multiply_adds((None, 8, 8, 5)) == 36 * (10 * 9 + 10 * 7)
        assert SpatiallySeparableConv2D(6, (3, 5)).multiply_adds((None, 8, 9, 4)) == 6 * 6 * 9 * 3 * 4 + 6 * 6 * 5 * 5
        assert Conv2DTranspose(6, 3, 2).multiply_adds((None, 4, 5, 2)) == 4 * 5 * 2 * 6 * 9


class TestConvTranspose:
    """By definition: the gradient of the convolution that makes the input's size of the output's size."""

    @pytest.mark.parametrize("padding", ["valid", "same"])
    @pytest.mark.parametrize(
        ("kernel", "stride", "dilation"), list(itertools.product((1, 2, 3, 4, 5), (1, 2, 3), (1, 2)))
    )
    def test_it_is_the_gradient_of_a_convolution(
        self, kernel: int, stride: int, dilation: int, padding: str, rng: np.random.Generator
    ) -> None:
        reach = (kernel - 1) * dilation + 1
        for extra in (None, *range(stride)):
            if padding == "valid":
                tail = max(reach, stride) if extra is None else reach + extra
            else:
                tail = stride if extra is None else reach % 2 + extra
            if not tail:
                continue  # no convolution makes so many outputs of so few inputs
            output = 4 * stride + tail
            layer = Conv1DTranspose(
                3, kernel, stride, padding, extra, dilation_rate=dilation, use_bias=False, dtype="float64"
            )
            x = rng.standard_normal((2, 5, 2))
            y = layer(x)
            assert y.shape == (2, output, 3), extra
            kept = layer.params["kernel"]
            assert kept.shape == (kernel, 3, 2)
            expected, _, _ = reference.conv1d_backward(
                x, np.zeros((2, output, 3)), kept, None, stride, padding, dilation, data_format="channels_last"
            )
            np.testing.assert_allclose(y, expected, atol=1e-13)

    @pytest.mark.parametrize(("make", "axes"), [(Conv1DTranspose, 1), (Conv2DTranspose, 2), (Conv3DTranspose, 3)])
    def test_values_are_those_of_the_reference(self, make: Any, axes: int, rng: np.random.Generator) -> None:
        layer = make(3, (3, 2, 4)[:axes], (2, 3, 1)[:axes], "same", dtype="float64", bias_initializer="ones")
        x = rng.standard_normal((2, *(4, 3, 5)[:axes], 2))
        y = layer(x)
        expected = getattr(reference, f"conv_transpose{axes}d")(
            x, layer.params["kernel"], np.ones(3), (2, 3, 1)[:axes], "same", **LAST
        )
        np.testing.assert_allclose(y, expected, atol=1e-13)

    def test_each_axis_has_its_own_output_padding(self) -> None:
        layer = Conv2DTranspose(1, 2, 3, output_padding=(0, 2))
        assert layer.output_shape((None, 4, 5, 1)) == (None, 11, 16, 1)

    def test_autoencoder_returns_to_the_size_it_came_from(self) -> None:
        for size in (8, 9, 12):
            shape = Conv2D(2, 3, 2, "same").output_shape((None, size, size, 1))
            extra = 1 - size % 2
            assert Conv2DTranspose(1, 3, 2, "same", extra).output_shape(shape) == (None, size, size, 1)


class TestSeparable:
    def test_depthwise_convolution_sees_one_channel(self, rng: np.random.Generator) -> None:
        layer = DepthwiseConv2D(3, padding="same", depth_multiplier=2, dtype="float64")
        x = rng.standard_normal((2, 6, 5, 3))
        y, kernel = layer(x), layer.params["kernel"]
        assert kernel.shape == (3, 3, 3, 2)
        for c, m in itertools.product(range(3), range(2)):
            expected = reference.conv2d(x[..., [c]], kernel[:, :, [c], [m]][..., None], None, 1, "same", **LAST)
            np.testing.assert_allclose(y[..., [2 * c + m]], expected, atol=1e-14)

    @pytest.mark.parametrize(("make", "axes"), [(SeparableConv1D, 1), (SeparableConv2D, 2)])
    def test_separable_convolution_is_depthwise_then_pointwise(
        self, make: Any, axes: int, rng: np.random.Generator
    ) -> None:
        layer = make(4, 3, 2, "same", depth_multiplier=2, dtype="float64", bias_initializer="ones", activation="relu")
        x = rng.standard_normal((2, *(7, 6)[:axes], 3))
        y = layer(x)
        depthwise, pointwise = layer.params["depthwise_kernel"], layer.params["pointwise_kernel"]
        assert depthwise.shape == (*(3,) * axes, 3, 2)
        assert pointwise.shape == (*(1,) * axes, 6, 4)
        # One kernel of the product of the two steps for each output channel.
        kernel = np.einsum("...cm,cmo->...co", depthwise, pointwise.reshape(3, 2, 4))
        expected = getattr(reference, f"conv{axes}d")(x, kernel, np.ones(4), 2, "same", **LAST)
        np.testing.assert_allclose(y, np.maximum(expected, 0), atol=1e-13)


SOBEL = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])


class TestSpatiallySeparable:
    def test_it_is_a_convolution_with_products_of_columns_and_rows(self, rng: np.random.Generator) -> None:
        options = {"strides": (2, 1), "padding": "same", "dilation_rate": (1, 2)}
        layer = SpatiallySeparableConv2D(5, (4, 3), **options, dtype="float64", bias_initializer="ones")
        x = rng.standard_normal((2, 8, 9, 3))
        y = layer(x)
        columns, rows = layer.params["column_kernel"], layer.params["row_kernel"]
        assert columns.shape == (4, 1, 3, 5)
        assert rows.shape == (1, 3, 1, 5)
        expected = reference.conv2d(x, columns * rows, np.ones(5), (2, 1), "same", (1, 2), **LAST)
        np.testing.assert_allclose(y, expected, atol=1e-13)

    @pytest.mark.parametrize(
        ("kernel", "column", "row"),
        [
            (SOBEL, [1, 2, 1], [-1, 0, 1]),
            (SOBEL.T, [-1, 0, 1], [1, 2, 1]),
            (np.ones((3, 3)), [1, 1, 1], [1, 1, 1]),
            ([[1, 4, 6, 4, 1], [4, 16, 24, 16, 4]], [1, 4], [1, 4, 6, 4, 1]),
            ([[4, 6], [2, 3]], [2, 1], [2, 3]),
            ([[0, 0, 0], [0, 9, -6]], [0, 3], [0, 3, -2]),
            ([[6, 4], [-9, -6]], [2, -3], [3, 2]),
            ([[-7]], [-7], [1]),
        ],
    )
    def test_integers_are_split_into_integers(self, kernel: Any, column: list[int], row: list[int]) -> None:
        layer = SpatiallySeparableConv2D.from_kernel(kernel)
        found = layer.params["column_kernel"][:, 0, 0, 0], layer.params["row_kernel"][0, :, 0, 0]
        np.testing.assert_array_equal(found[0], column)
        np.testing.assert_array_equal(found[1], row)
        np.testing.assert_array_equal(np.outer(*found), kernel)
        assert not np.signbit(np.concatenate(found))[np.concatenate(found) == 0].any()

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_products_that_were_rounded_are_split(self, dtype: type, rng: np.random.Generator) -> None:
        column, row = rng.standard_normal(7).astype(dtype), rng.standard_normal(5).astype(dtype)
        kernel = np.outer(column, row)
        layer = SpatiallySeparableConv2D.from_kernel(kernel, dtype="float64")
        product = np.outer(layer.params["column_kernel"], layer.params["row_kernel"])
        np.testing.assert_allclose(product, kernel, rtol=0, atol=4 * np.finfo(dtype).eps * np.abs(kernel).max())

    @pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
    def test_bank_of_filters_over_several_channels(self, data_format: str, rng: np.random.Generator) -> None:
        kernel = rng.standard_normal((3, 1, 2, 4)) * rng.standard_normal((1, 5, 1, 4))
        layer = SpatiallySeparableConv2D.from_kernel(kernel, data_format=data_format, padding="same", dtype="float64")
        plain = Conv2D(4, (3, 5), padding="same", data_format=data_format, dtype="float64", use_bias=False)
        plain.params["kernel"] = kernel
        x = rng.standard_normal((2, 6, 7, 2) if data_format == "channels_last" else (2, 2, 6, 7))
        assert layer.built
        np.testing.assert_allclose(layer(x), plain(x), atol=1e-13)

    @pytest.mark.parametrize(
        ("kernel", "values"),
        [
            ([[0, -1, 0], [-1, 5, -1], [0, -1, 0]], "5.37228, 0.372281, "),
            (np.eye(2), "1, 1"),
            (np.eye(3, dtype=np.float32) / 3, "0.333333, 0.333333, 0.333333"),
            (np.zeros((2, 2)), "0, 0"),
            ([[1.0, 2.0], [2.0, 4.0 + 1e-9]], "5, 2e-10"),
        ],
    )
    def test_other_ranks_are_refused_with_their_singular_values(self, kernel: Any, values: str) -> None:
        text = f"SpatiallySeparableConv2D.from_kernel: kernel must have rank one, got singular values {values}"
        with pytest.raises(ValueError, match=re.escape(text)):
            SpatiallySeparableConv2D.from_kernel(kernel)

    @pytest.mark.parametrize(
        ("kernel", "error", "text"),
        [
            (np.ones(3), ValueError, r"kernel must have shape \(kh, kw\) or .*, got \(3,\)$"),
            (np.ones((3, 0)), ValueError, r"kernel must have shape .*, got \(3, 0\)$"),
            ([[1.0, np.nan]], ValueError, r"kernel must be finite, got \[\[ 1. nan\]\]$"),
            (np.ones((2, 2)) * 1j, TypeError, "kernel must have a boolean, integer, .* dtype, got complex128$"),
        ],
    )
    def test_other_kernels_are_refused(self, kernel: Any, error: type[Exception], text: str) -> None:
        with pytest.raises(error, match=f"^SpatiallySeparableConv2D.from_kernel: {text}"):
            SpatiallySeparableConv2D.from_kernel(kernel)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Conv1D(0, 3), ValueError, "Conv1D: filters must be at least 1, got 0"),
        (
            lambda: Conv1D(4, (3, 3)),
            ValueError,
            r"Conv1D: kernel_size must be an integer or a tuple of one integer, got",
        ),
        (
            lambda: Conv3D(4, (3, 3)),
            ValueError,
            r"Conv3D: kernel_size must be an integer or three integers, got \(3, 3\)",
        ),
        (
            lambda: Conv1D(4, 3, padding="full"),
            ValueError,
            "Conv1D: padding must be 'valid' or 'same' or 'causal', got",
        ),
        (lambda: Conv2D(4, 3, padding="causal"), ValueError, "Conv2D: padding must be 'valid' or 'same', got 'causal'"),
        (lambda: Conv3D(4, 3, groups=3), ValueError, "Conv3D: groups must divide filters 4, got 3"),
        (
            lambda: Conv2DTranspose(4, 3, 2, output_padding=2),
            ValueError,
            r"Conv2DTranspose: output_padding must be smaller than strides \(2, 2\), got \(2, 2\)",
        ),
        (
            lambda: Conv1DTranspose(4, 3, output_padding=-1),
            ValueError,
            "Conv1DTranspose: output_padding must be at least 0, got -1",
        ),
        (
            lambda: DepthwiseConv2D(3, depth_multiplier=0),
            ValueError,
            "DepthwiseConv2D: depth_multiplier must be at least",
        ),
        (lambda: SeparableConv2D(True, 3), TypeError, "SeparableConv2D: filters must be an integer, got True"),
        (
            lambda: SeparableConv1D(2, 3, pointwise_initializer="x"),
            ValueError,
            "SeparableConv1D: pointwise_initializer",
        ),
        (lambda: SpatiallySeparableConv2D(2, 3, data_format="x"), ValueError, "SpatiallySeparableConv2D: data_format"),
    ],
)
def test_bad_arguments_name_layer_argument_rule_and_value(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^{message}"):
        make()


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("Conv1D", "conv1d"),
        ("Conv2DTranspose", "conv2d_transpose"),
        ("DepthwiseConv2D", "depthwise_conv2d"),
        ("SeparableConv1D", "separable_conv1d"),
        ("SpatiallySeparableConv2D", "spatially_separable_conv2d"),
    ],
)
def test_automatic_names_are_those_of_keras(name: str, stem: str) -> None:
    cls = getattr(layers, name)
    layer = cls(3) if name == "DepthwiseConv2D" else cls(1, 3)
    assert re.fullmatch(rf"{stem}(_\d+)?", layer.name)


def test_transposed_convolution_over_three_axes_takes_the_data_format_before_the_output_padding() -> None:
    # The order of Keras, which has it the other way round for one and two axes.
    layer = Conv3DTranspose(4, 2, 2, "valid", "channels_first", 1)
    assert (layer.data_format, layer.output_padding) == ("channels_first", (1, 1, 1))
    assert layer(np.zeros((1, 3, 2, 2, 2), np.float32)).shape == (1, 4, 5, 5, 5)
