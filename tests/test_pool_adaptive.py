"""Adaptive average and max pooling over one to three axes, and their gradients."""

import numpy as np
import pytest
import strategies
from hypothesis import given, note, settings
from oracle import assert_same_bits, assert_within, every_setting, image_as, small_integers

import fastconv.functional as F
from fastconv import reference
from fastconv.testing import check_gradient, error_bound

NAMES = ["adaptive_avg_pool", "adaptive_max_pool"]
SIZES = {1: (17,), 2: (5, 7), 3: (3, 4, 5)}


class TestAverage:
    @settings(max_examples=400)
    @given(case=strategies.adaptive_pool())
    def test_values_and_gradient_match_reference(self, case):
        forward, backward = case.functions(F, "adaptive_avg_pool")
        reference_forward, reference_backward = case.functions(reference, "adaptive_avg_pool")
        x = case.input()
        expected = reference_forward(x, **case.options)
        gy = case.grad_output(expected.shape)
        gradient = reference_backward(gy, x, **case.options)
        bound = error_bound(reference_forward(np.abs(x), **case.options), x.size + 1, case.dtype)
        bound_x = error_bound(reference_backward(np.abs(gy), x, **case.options), 2 * max(gy.size, 1), case.dtype)
        for setting in every_setting():
            note(setting)
            y = forward(x, **case.options)
            assert y.dtype == case.dtype
            assert_within(y, expected, bound, setting)
            gx = backward(gy, x, **case.options)
            assert gx.dtype == case.dtype
            assert_within(gx, gradient, bound_x, setting)

    @settings(max_examples=60)
    @given(case=strategies.adaptive_pool())
    def test_gradient_is_a_directional_derivative(self, case, isa):
        check_gradient(case.functions(F, "adaptive_avg_pool")[0], case.input(), directions=1, **case.options)

    @settings(max_examples=60)
    @given(case=strategies.adaptive_pool())
    def test_gradient_is_the_adjoint(self, case, isa):
        forward, backward = case.functions(F, "adaptive_avg_pool")
        x = case.input().astype(np.float64)
        y = forward(x, **case.options)
        gy = case.grad_output(y.shape).astype(np.float64)
        scale = np.abs(y).ravel() @ np.abs(gy).ravel()
        gx = backward(gy, x, **case.options)
        assert np.vdot(x, gx) == pytest.approx(np.vdot(y, gy), rel=0, abs=1e-12 * max(scale, 1))

    def test_windows_that_divide_the_input_are_those_of_avg_pool2d(self, isa, threads, dtype, data_format, rng):
        x = image_as(rng.standard_normal((2, 12, 20, 33)), data_format, dtype)
        y = F.adaptive_avg_pool2d(x, (3, 4), data_format=data_format)
        assert_same_bits(y, F.avg_pool2d(x, (4, 5), data_format=data_format))


class TestMaximum:
    @settings(max_examples=400)
    @given(case=strategies.adaptive_pool())
    def test_values_indices_and_gradient_match_reference(self, case):
        forward, backward = case.functions(F, "adaptive_max_pool")
        reference_forward, reference_backward = case.functions(reference, "adaptive_max_pool")
        x = case.input()
        expected, positions = reference_forward(x, **case.options, return_indices=True)
        gy = case.grad_output(expected.shape)
        gradient = reference_backward(gy, x, **case.options)
        bound = error_bound(reference_backward(np.abs(gy), x, **case.options), max(gy.size, 1), case.dtype)
        for setting in every_setting():
            note(setting)
            y, indices = forward(x, **case.options, return_indices=True)
            assert (y.dtype, indices.dtype) == (case.dtype, np.int64)
            np.testing.assert_array_equal(y, expected)
            np.testing.assert_array_equal(indices, positions)
            assert_same_bits(forward(x, **case.options), y)
            gx = backward(gy, x, **case.options)
            assert gx.dtype == case.dtype
            assert_within(gx, gradient, bound, setting)
            assert_same_bits(backward(gy, x, **case.options, indices=indices), gx)

    @settings(max_examples=60)
    @given(case=strategies.adaptive_pool())
    def test_gradient_is_a_directional_derivative_where_no_two_are_equal(self, case, isa):
        x = np.random.default_rng(case.seed).permutation(np.prod(case.input_shape)).reshape(case.input_shape)
        check_gradient(case.functions(F, "adaptive_max_pool")[0], x, directions=1, **case.options)

    def test_windows_share_an_element(self, isa, dtype, data_format):
        x = image_as(np.array([1.0, 5.0, 3.0]).reshape(1, 3, 1), data_format, dtype)
        y, indices = F.adaptive_max_pool1d(x, 2, True, data_format=data_format)
        np.testing.assert_array_equal(y.ravel(), [5, 5])
        np.testing.assert_array_equal(indices.ravel(), [1, 1])
        gy = np.array([2, 4], dtype).reshape(y.shape)
        np.testing.assert_array_equal(
            F.adaptive_max_pool1d_backward(gy, x, 2, data_format=data_format).ravel(), [0, 6, 0]
        )

    def test_nan_wins_and_the_last_of_several(self, isa, dtype, data_format):
        x = np.zeros((1, 5, 7, 20))
        x[0, 0, 0], x[0, 1, 2], x[0, 4, 6] = np.nan, np.nan, np.inf
        y, indices = F.adaptive_max_pool2d(image_as(x, data_format, dtype), 2, True, data_format=data_format)
        expected, positions = reference.adaptive_max_pool2d(
            image_as(x, data_format, np.float64), 2, True, data_format=data_format
        )
        assert np.isnan(expected).any()
        np.testing.assert_array_equal(y, expected)
        np.testing.assert_array_equal(indices, positions)


@pytest.mark.parametrize("axes", SIZES)
@pytest.mark.parametrize("name", NAMES)
class TestBoth:
    def test_empty_batch_gives_an_empty_batch(self, name, axes, isa, threads, dtype, data_format):
        x = image_as(np.ones((0, *SIZES[axes], 3)), data_format, dtype)
        y = getattr(F, f"{name}{axes}d")(x, 2, data_format=data_format)
        assert y.shape == image_as(np.ones((0, *(2,) * axes, 3)), data_format, dtype).shape
        assert getattr(F, f"{name}{axes}d_backward")(y, x, 2, data_format=data_format).shape == x.shape

    def test_no_windows_give_no_gradient(self, name, axes, isa, dtype, data_format):
        x = image_as(np.ones((2, *SIZES[axes], 3)), data_format, dtype)
        y = getattr(F, f"{name}{axes}d")(x, 0, data_format=data_format)
        assert y.size == 0
        gx = getattr(F, f"{name}{axes}d_backward")(y, x, 0, data_format=data_format)
        np.testing.assert_array_equal(gx, np.zeros_like(x))

    def test_a_window_for_every_element_changes_nothing(self, name, axes, isa, threads, dtype, data_format, rng):
        x = image_as(small_integers(rng, (2, *SIZES[axes], 19)), data_format, dtype)
        wanted = (None,) * axes
        assert_same_bits(getattr(F, f"{name}{axes}d")(x, wanted, data_format=data_format), x)
        assert_same_bits(getattr(F, f"{name}{axes}d_backward")(x, x, wanted, data_format=data_format), x)

    def test_inputs_are_unchanged(self, name, axes, isa, data_format, rng):
        x = image_as(rng.standard_normal((2, *SIZES[axes], 17)), data_format, np.float32)
        gy = image_as(rng.standard_normal((2, *(2,) * axes, 17)), data_format, np.float32)
        copies = x.copy(), gy.copy()
        getattr(F, f"{name}{axes}d")(x, 2, data_format=data_format)
        getattr(F, f"{name}{axes}d_backward")(gy, x, 2, data_format=data_format)
        assert_same_bits(x, copies[0])
        assert_same_bits(gy, copies[1])

    @pytest.mark.parametrize(("code", "result"), [("f2", "f2"), ("u1", "f4"), ("?", "f4"), ("i8", "f8")])
    def test_result_has_the_promoted_dtype(self, name, axes, code, result, rng):
        x = rng.integers(0, 2, (2, 3, *SIZES[axes])).astype(code)
        y = getattr(F, f"{name}{axes}d")(x, 1)
        assert y.dtype == result
        assert getattr(F, f"{name}{axes}d_backward")(y, x, 1).dtype == result

    @pytest.mark.parametrize(
        ("size", "text"),
        [
            (-1, "output_size must be at least 0, got "),
            (2**31, "output_size must be at most 2147483647, got "),
            ((2, 2, 2, 2), "output_size must be an integer or "),
            ((), "output_size must be an integer or "),
        ],
        ids=str,
    )
    def test_output_size_out_of_range(self, name, axes, size, text):
        with pytest.raises(ValueError, match=f"^{name}{axes}d: {text}"):
            getattr(F, f"{name}{axes}d")(np.ones((3, *SIZES[axes])), size)

    def test_output_size_that_is_no_integer(self, name, axes):
        x = np.ones((3, *SIZES[axes]))
        with pytest.raises(TypeError, match=f"^{name}{axes}d: output_size must consist of integers, got 2.5"):
            getattr(F, f"{name}{axes}d")(x, 2.5)

    def test_gradient_of_another_shape(self, name, axes):
        x = np.ones((3, *SIZES[axes]))
        with pytest.raises(ValueError, match=f"^{name}{axes}d_backward: grad_output must have shape .*, that of the"):
            getattr(F, f"{name}{axes}d_backward")(x, x, 2)

    def test_input_of_too_few_axes(self, name, axes):
        with pytest.raises(ValueError, match=f"^{name}{axes}d: input must have shape "):
            getattr(F, f"{name}{axes}d")(np.ones(SIZES[axes]), 2)


@pytest.mark.parametrize("size", [(7, 9), (20, 33), (60, 69), (2, 70), (66, 3)], ids=str)
def test_channels_together_some_rows_at_a_time(size, isa, threads, dtype, rng):
    x = rng.integers(1, 50, (1, 19, 61, 70)).astype(dtype)
    y, indices = F.adaptive_max_pool2d(x, size, return_indices=True)
    expected, positions = reference.adaptive_max_pool2d(x, size, return_indices=True)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(indices, positions)
    np.testing.assert_array_equal(F.adaptive_max_pool2d(x, size), expected)
    gy = rng.integers(1, 50, y.shape).astype(dtype)
    gradient = reference.adaptive_max_pool2d_backward(gy, x, size)
    np.testing.assert_array_equal(F.adaptive_max_pool2d_backward(gy, x, size), gradient)
    np.testing.assert_allclose(F.adaptive_avg_pool2d(x, size), reference.adaptive_avg_pool2d(x, size), rtol=1e-5)
    gradient = reference.adaptive_avg_pool2d_backward(gy, x, size)
    np.testing.assert_allclose(F.adaptive_avg_pool2d_backward(gy, x, size), gradient, rtol=1e-5)


def test_indices_outside_are_refused():
    with pytest.raises(ValueError, match=r"^adaptive_max_pool1d_backward: indices must be positions in 4 pixels, got"):
        F.adaptive_max_pool1d_backward(np.ones((1, 1)), np.ones((1, 4)), 1, indices=np.array([[4]]))


TORCH_SHAPES = {1: (3, 23), 2: (3, 11, 10), 3: (2, 9, 8, 7)}


class TestSameAsTorch:
    @pytest.mark.parametrize("axes", TORCH_SHAPES)
    @pytest.mark.parametrize("batch", [(2,), ()], ids=str)
    @pytest.mark.parametrize("size", [1, 3, (4, 3, 5), [2, 11, 1], (None, 2, 3), (30, 3, 9)], ids=str)
    @pytest.mark.parametrize("name", NAMES)
    def test_values_indices_and_gradient(self, torch, name, axes, size, batch, rng):
        options = {"return_indices": True} if name == "adaptive_max_pool" else {}
        wanted = size if isinstance(size, int) else size[:axes]
        if wanted == (None,):
            wanted = (TORCH_SHAPES[1][1],)  # torch refuses None for one axis
        x = rng.integers(-4, 5, (*batch, *TORCH_SHAPES[axes])).astype(np.float64)
        tensor = torch.tensor(x, requires_grad=True)
        expected = getattr(torch.nn.functional, f"{name}{axes}d")(tensor, wanted, **options)
        y = getattr(F, f"{name}{axes}d")(x, wanted, **options)
        if options:
            np.testing.assert_array_equal(y[1], expected[1].numpy())
            expected, y = expected[0], y[0]
        np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-13, atol=1e-13)
        gy = rng.standard_normal(y.shape)
        expected.backward(torch.tensor(gy))
        gx = getattr(F, f"{name}{axes}d_backward")(gy, x, wanted)
        np.testing.assert_allclose(gx, tensor.grad.numpy(), rtol=1e-13, atol=1e-13)

    @pytest.mark.parametrize("name", NAMES)
    def test_no_outputs(self, torch, name, rng):
        x = rng.standard_normal((2, 3, 5, 6))
        expected = getattr(torch.nn.functional, f"{name}2d")(torch.tensor(x), (0, 2))
        assert getattr(F, f"{name}2d")(x, (0, 2)).shape == tuple(expected.shape)
