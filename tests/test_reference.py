"""The oracle itself: hand-worked cases, SciPy and torch."""

import numpy as np
import pytest
import strategies
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import torch_conv

from fastconv import reference
from fastconv.testing import check_gradient


def grid(rows):
    """Digits to a matrix."""
    return np.array([[int(digit) for digit in row] for row in rows.split()], dtype=np.float64)


SMILE = grid("0000000 0100010 0000000 0001000 0100010 0011100 0000000")
DETECTOR = grid("001 100 011")
FEATURE_MAP = grid("01000 01110 10021 14210 00121")


class TestHandWorked:
    def test_feature_map_of_the_lectures_smile(self):
        y = reference.conv2d(SMILE[None], DETECTOR[None, None])
        np.testing.assert_array_equal(y[0], FEATURE_MAP)

    @pytest.mark.parametrize("slip", [0, 1])
    def test_pooled_feature_map_of_the_lectures_smile(self, slip):
        feature_map = FEATURE_MAP.copy()
        feature_map[2, 2] = slip  # the slides print 1, the arithmetic gives 0
        y = reference.max_pool2d(feature_map[None], 2, ceil_mode=True)
        np.testing.assert_array_equal(y[0], grid("110 421 021"))

    def test_stride_dilation_and_uneven_padding(self):
        x = np.arange(1.0, 7.0).reshape(1, 1, 6)
        # Row 0 0 1 2 3 4 5 6 0; taps two apart, windows three apart: 1*0 + 10*1, 1*2 + 10*4, 1*5 + 10*0.
        y = reference.conv2d(x, [[[[1.0, 10.0]]]], stride=(1, 3), padding=((0, 0), (2, 1)), dilation=(1, 2))
        np.testing.assert_array_equal(y, [[[10.0, 42.0, 5.0]]])

    def test_groups_see_their_own_channels_only(self):
        x = np.array([1.0, 10.0, 100.0, 1000.0]).reshape(4, 1, 1)
        w = np.array([[1.0, 2.0], [3.0, 4.0]]).reshape(2, 2, 1, 1)
        y = reference.conv2d(x, w, groups=2)
        np.testing.assert_array_equal(y.ravel(), [1 + 20, 300 + 4000])

    def test_bias_is_added_once_to_each_output_channel(self):
        y = reference.conv2d(np.ones((1, 1, 2, 2)), np.ones((2, 1, 1, 1)), [10.0, 20.0])
        np.testing.assert_array_equal(y[0], [[[11, 11], [11, 11]], [[21, 21], [21, 21]]])

    @pytest.mark.parametrize(
        ("size", "kernel", "stride", "outputs"), [(5, 2, 1, 5), (5, 3, 2, 3), (6, 3, 2, 3), (4, 1, 3, 2)]
    )
    def test_same_padding_gives_size_over_stride_outputs_and_the_odd_zero_at_the_end(
        self, size, kernel, stride, outputs
    ):
        x, w = np.arange(1.0, size + 1).reshape(1, 1, size), np.ones((1, 1, 1, kernel))
        total = max((outputs - 1) * stride + kernel - size, 0)
        padded = np.concatenate([np.zeros(total // 2), x.ravel(), np.zeros(total - total // 2)])
        expected = [padded[i * stride : i * stride + kernel].sum() for i in range(outputs)]
        np.testing.assert_array_equal(reference.conv2d(x, w, stride=stride, padding="same").ravel(), expected)

    def test_gradients_of_a_row(self):
        x, w, gy = np.array([[[1.0, 2.0, 3.0]]]), np.array([[[[10.0, 100.0]]]]), np.array([[[5.0, 7.0]]])
        gx, gw, gb = reference.conv2d_backward(gy, x, w, [0.0])
        np.testing.assert_array_equal(gx, [[[50.0, 570.0, 700.0]]])
        np.testing.assert_array_equal(gw.ravel(), [5 * 1 + 7 * 2, 5 * 2 + 7 * 3])
        np.testing.assert_array_equal(gb, [12.0])

    def test_first_of_equal_maxima_is_taken(self):
        x = np.array([[[1.0, 3.0, 3.0], [3.0, 3.0, 0.0]]])
        y, indices = reference.max_pool2d(x, 2, stride=1, return_indices=True)
        np.testing.assert_array_equal(y, [[[3.0, 3.0]]])
        np.testing.assert_array_equal(indices, [[[1, 1]]])
        gx = reference.max_pool2d_backward(np.array([[[5.0, 7.0]]]), x, 2, stride=1)
        np.testing.assert_array_equal(gx, [[[0.0, 12.0, 0.0], [0.0, 0.0, 0.0]]])

    def test_nan_is_the_maximum(self):
        y, indices = reference.max_pool2d([[[1.0, np.nan, np.inf]]], (1, 3), return_indices=True)
        assert np.isnan(y).all()
        assert indices.item() == 1

    def test_last_of_several_nan_is_taken_as_in_torch(self):
        _, indices = reference.max_pool2d([[[np.nan, np.nan, np.inf]]], (1, 3), return_indices=True)
        assert indices.item() == 1

    def test_window_over_padding_alone_has_no_maximum(self):
        # Taps at -1 and 2 around rows 0 and 1.
        y, indices = reference.max_pool2d(np.ones((1, 2, 2)), 2, padding=1, dilation=3, return_indices=True)
        assert y.item() == -np.inf
        assert indices.item() == -1
        gx = reference.max_pool2d_backward([[[1.0]]], np.ones((1, 2, 2)), 2, padding=1, dilation=3)
        np.testing.assert_array_equal(gx, np.zeros((1, 2, 2)))

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ({}, [0.5, 2.5, 2.0]),
            ({"count_include_pad": False}, [1.0, 2.5, 4.0]),
            ({"divisor_override": 4}, [0.25, 1.25, 1.0]),
        ],
    )
    def test_divisors_of_a_padded_row(self, options, expected):
        # 0 1 | 2 3 | 4 0
        y = reference.avg_pool2d([[[1.0, 2.0, 3.0, 4.0]]], (1, 2), padding=(0, 1), **options)
        np.testing.assert_array_equal(y, [[expected]])

    def test_overhang_of_ceil_mode_never_counts(self):
        y = reference.avg_pool2d([[[1.0, 2.0, 6.0]]], (1, 2), ceil_mode=True)
        np.testing.assert_array_equal(y, [[[1.5, 6.0]]])

    def test_window_that_starts_in_the_right_padding_is_dropped(self):
        x = np.ones((1, 1, 3))
        assert reference.avg_pool2d(x, (1, 2), padding=((0, 0), (0, 1)), stride=3, ceil_mode=True).shape == (1, 1, 1)

    def test_linear(self):
        x, w, b = [[1.0, 2.0], [3.0, 4.0]], [[1.0, 0.0], [1.0, 1.0], [0.0, 10.0]], [0.0, 100.0, 0.0]
        np.testing.assert_array_equal(reference.linear(x, w, b), [[1, 103, 20], [3, 107, 40]])
        np.testing.assert_array_equal(
            reference.linear(x, np.transpose(w), b, data_format="channels_last"), [[1, 103, 20], [3, 107, 40]]
        )
        gx, gw, gb = reference.linear_backward([[1.0, 0.0, 0.0], [0.0, 2.0, 1.0]], x, w, b)
        np.testing.assert_array_equal(gx, [[1, 0], [2, 12]])
        np.testing.assert_array_equal(gw, [[1, 2], [6, 8], [3, 4]])
        np.testing.assert_array_equal(gb, [1, 2, 1])

    def test_softmax_of_large_numbers(self):
        np.testing.assert_allclose(reference.softmax([[1000.0, 1000.0 + np.log(3)]]), [[0.25, 0.75]], rtol=1e-12)
        np.testing.assert_allclose(reference.log_softmax([[0.0, 2000.0]]), [[-2000.0, 0.0]])

    def test_sigmoid_at_both_ends(self):
        np.testing.assert_allclose(reference.sigmoid([-1000.0, -np.log(3), 0, 1000.0]), [0, 0.25, 0.5, 1], rtol=1e-15)

    def test_categorical_crossentropy_is_the_mean_negative_log_of_the_true_class(self):
        p = np.array([[0.5, 0.5], [0.25, 0.75]])
        expected = (np.log(2) + np.log(4)) / 2
        assert reference.sparse_categorical_crossentropy([1, 0], p) == pytest.approx(expected)
        assert reference.categorical_crossentropy(np.eye(2)[[1, 0]], np.log(p) + 7, from_logits=True) == pytest.approx(
            expected
        )

    def test_binary_crossentropy_of_logits_and_probabilities(self):
        expected = -(np.log(0.75) + np.log(1 - 0.25)) / 2
        assert reference.binary_crossentropy([1, 0], [0.75, 0.25]) == pytest.approx(expected)
        assert reference.binary_crossentropy([1, 0], [np.log(3), -np.log(3)], from_logits=True) == pytest.approx(
            expected
        )

    def test_mean_squared_error(self):
        assert reference.mean_squared_error([[1.0, 2.0]], [[3.0, 5.0]]) == (4 + 9) / 2
        np.testing.assert_array_equal(reference.mean_squared_error_backward([[1.0, 2.0]], [[3.0, 5.0]]), [[2.0, 3.0]])

    def test_window_larger_than_the_padded_input_is_refused(self):
        with pytest.raises(ValueError, match=r"a window of 5 must fit into 3 \+ 1 \+ 0"):
            reference.conv2d(np.ones((1, 3, 9)), np.ones((1, 1, 5, 1)), padding=((1, 0), (0, 0)))


class TestGradientsAreDerivatives:
    @settings(max_examples=40)
    @given(case=strategies.conv2d(dtypes=(np.float64,)))
    def test_conv2d(self, case):
        check_gradient(reference.conv2d, case.arrays(), directions=1, **case.options)

    @settings(max_examples=40)
    @given(case=strategies.avg_pool())
    def test_avg_pool(self, case):
        forward, _ = case.functions(reference, "avg_pool")
        check_gradient(forward, case.input(), directions=1, **case.options)

    @settings(max_examples=40)
    @given(case=strategies.adaptive_pool())
    def test_adaptive_avg_pool(self, case):
        forward, _ = case.functions(reference, "adaptive_avg_pool")
        check_gradient(forward, case.input(), directions=1, **case.options)

    @settings(max_examples=40)
    @given(case=strategies.max_pool())
    def test_max_pool_where_no_two_are_equal(self, case):
        x = np.random.default_rng(case.seed).permutation(np.prod(case.input_shape)).reshape(case.input_shape)
        forward, _ = case.functions(reference, "max_pool")
        with np.errstate(invalid="ignore"):
            y = forward(x, **case.options)
        if np.isfinite(y).all():
            check_gradient(forward, x, directions=1, **case.options)

    @pytest.mark.parametrize("name", ["relu", "leaky_relu", "sigmoid", "tanh", "softmax", "log_softmax"])
    def test_activations(self, name, rng):
        x = rng.standard_normal((4, 5))
        check_gradient(getattr(reference, name), x[np.abs(x) > 0.01][:16].reshape(4, 4))

    @pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
    def test_linear(self, data_format, rng):
        w = rng.standard_normal((5, 3) if data_format == "channels_first" else (3, 5))
        arguments = rng.standard_normal((2, 4, 3)), w, rng.standard_normal(5)
        check_gradient(reference.linear, arguments, data_format=data_format)

    @pytest.mark.parametrize("from_logits", [False, True])
    @pytest.mark.parametrize(
        "name", ["categorical_crossentropy", "sparse_categorical_crossentropy", "binary_crossentropy"]
    )
    def test_crossentropies(self, name, from_logits, rng):
        prediction = rng.uniform(0.1, 0.9, (4, 3))
        truth = rng.integers(0, 3, 4) if name.startswith("sparse") else rng.uniform(0, 1, (4, 3))
        options = {"label_smoothing": 0.1} if name == "categorical_crossentropy" else {}
        loss, gradient = getattr(reference, name), getattr(reference, f"{name}_backward")
        check_gradient(
            lambda y: loss(truth, y, from_logits, **options),
            prediction,
            backward=lambda grad, y: grad * gradient(truth, y, from_logits, **options),
        )

    def test_mean_squared_error(self, rng):
        truth = rng.standard_normal((4, 3))
        check_gradient(
            lambda y: reference.mean_squared_error(truth, y),
            rng.standard_normal((4, 3)),
            backward=lambda grad, y: grad * reference.mean_squared_error_backward(truth, y),
        )


class TestAgainstSciPy:
    @pytest.mark.parametrize("mode", ["valid", "same", "full"])
    @pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (3, 5), (5, 3)])
    def test_conv2d_is_correlation(self, kernel, mode, rng):
        signal = pytest.importorskip("scipy.signal")
        x, w = rng.standard_normal((9, 8)), rng.standard_normal(kernel)
        padding = [(k - 1, k - 1) for k in kernel] if mode == "full" else mode
        y = reference.conv2d(x[None], w[None, None], padding=padding)
        np.testing.assert_allclose(y[0], signal.correlate2d(x, w, mode), rtol=1e-12, atol=1e-12)

    def test_softmax(self, rng):
        special = pytest.importorskip("scipy.special")
        x = 20 * rng.standard_normal((3, 4, 5))
        for dim in (0, 1, -1):
            np.testing.assert_allclose(reference.softmax(x, dim), special.softmax(x, dim), rtol=1e-13)
            np.testing.assert_allclose(
                reference.log_softmax(x, dim), special.log_softmax(x, dim), rtol=1e-13, atol=1e-13
            )


class TestAgainstTorch:
    @pytest.mark.parametrize("name", ["conv1d", "conv2d", "conv3d"])
    @settings(max_examples=60)
    @given(data=st.data())
    def test_convolution_and_gradients(self, torch, name, data):
        case = data.draw(getattr(strategies, name)(dtypes=(np.float64,)))
        arrays = case.arrays()
        y = getattr(reference, name)(*arrays, **case.options)
        gy = case.grad_output(y.shape)
        gradients = getattr(reference, f"{name}_backward")(gy, *arrays, **case.options)
        tensors = [None if array is None else torch.tensor(array, requires_grad=True) for array in arrays]
        expected = torch_conv(torch, *tensors, **case.options)
        np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-11, atol=1e-11)
        expected.backward(torch.tensor(gy))
        for gradient, tensor in zip(gradients, tensors, strict=True):
            if tensor is not None:
                np.testing.assert_allclose(gradient, tensor.grad.numpy(), rtol=1e-11, atol=1e-11)

    @pytest.mark.parametrize("axes", [1, 3])
    def test_transposed_convolution_and_gradients(self, torch, axes, rng):
        name, options = f"conv_transpose{axes}d", {"stride": 3, "padding": 1, "output_padding": 2, "groups": 2}
        shapes = (2, 4, *(4, 3, 5)[:axes]), (4, 3, *(2, 3, 4)[:axes]), (6,)
        arrays = [rng.standard_normal(shape) for shape in shapes]
        tensors = [torch.tensor(array, requires_grad=True) for array in arrays]
        expected = getattr(torch.nn.functional, name)(*tensors, **options)
        y = getattr(reference, name)(*arrays, **options)
        np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-11, atol=1e-11)
        gy = rng.standard_normal(y.shape)
        expected.backward(torch.tensor(gy))
        gradients = getattr(reference, f"{name}_backward")(gy, *arrays, **options)
        for gradient, tensor in zip(gradients, tensors, strict=True):
            np.testing.assert_allclose(gradient, tensor.grad.numpy(), rtol=1e-11, atol=1e-11)

    @pytest.mark.parametrize("name", ["relu", "leaky_relu", "sigmoid", "tanh", "softmax", "log_softmax"])
    def test_activations(self, torch, name, rng):
        x, gy = 5 * rng.standard_normal((2, 40, 6))
        options = {"dim": -1} if "softmax" in name else {}
        tensor = torch.tensor(x, requires_grad=True)
        expected = getattr(torch.nn.functional, name)(tensor, **options)
        expected.backward(torch.tensor(gy))
        np.testing.assert_allclose(
            getattr(reference, name)(x, **options), expected.detach().numpy(), rtol=1e-12, atol=1e-14
        )
        gx = getattr(reference, f"{name}_backward")(gy, x, **options)
        np.testing.assert_allclose(gx, tensor.grad.numpy(), rtol=1e-10, atol=1e-13)

    @pytest.mark.parametrize("ceil_mode", [False, True])
    @pytest.mark.parametrize("count_include_pad", [False, True])
    @pytest.mark.parametrize(
        ("kernel", "stride", "padding"), [(2, 2, 0), (3, 2, 1), ((3, 2), (1, 3), (1, 0)), (5, 4, 2)]
    )
    def test_pooling(self, torch, kernel, stride, padding, count_include_pad, ceil_mode, rng):
        x = rng.integers(0, 5, (2, 3, 11, 10)).astype(np.float64)
        arguments = (kernel, stride, padding)
        average = torch.nn.functional.avg_pool2d(torch.tensor(x), *arguments, ceil_mode, count_include_pad).numpy()
        np.testing.assert_allclose(
            reference.avg_pool2d(x, *arguments, ceil_mode, count_include_pad), average, rtol=1e-14
        )
        y, indices = reference.max_pool2d(x, *arguments, 1, ceil_mode, True)
        expected, positions = torch.nn.functional.max_pool2d(torch.tensor(x), *arguments, 1, ceil_mode, True)
        np.testing.assert_array_equal(y, expected.numpy())
        np.testing.assert_array_equal(indices, positions.numpy())
