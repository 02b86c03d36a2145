"""The tools for tests: a wrong result or gradient does not pass."""

import numpy as np
import pytest

import fastconv.functional as F
from fastconv import reference
from fastconv.testing import check_gradient, error_bound


class TestErrorBound:
    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
    def test_bound_grows_with_terms_and_sizes(self, dtype):
        info = np.finfo(dtype)
        bound = error_bound([[0.0, 2.0]], 30, dtype)
        assert bound.dtype == np.float64
        small = 30 * float(info.tiny) / float(info.eps)
        np.testing.assert_allclose(bound, [[small, 60 * float(info.eps) + small]])

    def test_bound_holds_for_the_worst_order_of_summation(self):
        x = np.full(10_000, 0.1, np.float32)
        running = np.float32(0)
        for value in x:
            running += value
        error = abs(float(running) - float(x.astype(np.float64).sum()))
        assert 0 < error <= error_bound(np.abs(x).sum(dtype=np.float64), x.size)

    def test_bound_is_below_a_lost_product(self, rng):
        x, w = rng.uniform(1, 2, (1, 16, 6, 6)), rng.uniform(1, 2, (4, 16, 3, 3))
        smallest_product = 1.0
        assert error_bound(reference.conv2d(x, w), 16 * 9, np.float32).max() < smallest_product

    def test_winograd_is_bounded_by_the_largest_sum(self):
        bound = error_bound([[1.0, 4.0]], 10, algorithm="winograd_2x2")
        np.testing.assert_allclose(bound, 4 * 10 * 4 * np.finfo(np.float32).eps)
        assert bound.shape == (1, 2)
        assert error_bound(np.ones((0, 3)), 10, algorithm="winograd_4x4").shape == (0, 3)

    def test_unknown_algorithm(self):
        with pytest.raises(ValueError, match=r"error_bound: algorithm must be one of direct, .*, auto, got 'fft'"):
            error_bound(1.0, 1, algorithm="fft")


def square(x, scale=1.0):
    return scale * x**2


def square_backward(grad_output, x, scale=1.0):
    return grad_output * scale * 2 * x


def product(x, y):
    return x * y


def missing(x):
    return x


class TestFunctions:
    def test_right_gradient_passes(self, rng):
        check_gradient(square, rng.standard_normal((3, 4)))

    def test_options_reach_the_function_and_its_gradient(self, rng):
        check_gradient(square, rng.standard_normal((3, 4)), scale=7.0)

    def test_integers_are_checked_in_float64(self):
        check_gradient(square, np.arange(5))

    def test_absent_argument_is_not_checked(self, rng):
        check_gradient(F.conv2d, (rng.standard_normal((1, 2, 4, 4)), rng.standard_normal((3, 2, 3, 3)), None))

    @pytest.mark.parametrize("factor", [1.001, 0.0, -1.0])
    def test_wrong_gradient_fails(self, factor, rng):
        with pytest.raises(
            AssertionError, match=r"square, argument 0, direction 0: gradient gives .*, difference gives"
        ):
            check_gradient(square, rng.standard_normal(5), backward=lambda gy, x: factor * square_backward(gy, x))

    def test_one_wrong_element_of_many_fails(self, rng):
        def backward(gy, x):
            gx = square_backward(gy, x)
            gx[17, 3] *= 1.01
            return gx

        with pytest.raises(AssertionError, match="argument 0"):
            check_gradient(square, rng.standard_normal((40, 40)), backward=backward)

    def test_wrong_argument_is_named(self, rng):
        arguments = tuple(rng.standard_normal((2, 5)))
        check_gradient(product, arguments, backward=lambda gy, x, y: (gy * y, gy * x))
        with pytest.raises(AssertionError, match="product, argument 1, direction 0"):
            check_gradient(product, arguments, backward=lambda gy, x, y: (gy * y, gy * y))

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_gradient_that_is_not_finite_fails(self, bad, rng):
        with pytest.raises(AssertionError, match=r"square, argument 0: gradient must be finite, got \[(nan|inf)"):
            check_gradient(square, rng.standard_normal(5), backward=lambda gy, x: np.full(5, bad))

    def test_gradient_of_another_shape_fails(self, rng):
        with pytest.raises(AssertionError, match=r"gradient must be an array of shape \(5,\), got array"):
            check_gradient(square, rng.standard_normal(5), backward=lambda gy, x: np.ones(1))

    def test_missing_gradient_fails(self, rng):
        with pytest.raises(AssertionError, match=r"argument 1: gradient must be an array of shape \(5,\), got None"):
            check_gradient(product, tuple(rng.standard_normal((2, 5))), backward=lambda gy, x, y: (gy * y, None))

    def test_function_that_does_not_compute_in_float64_is_refused(self, rng):
        with pytest.raises(AssertionError, match="output must be float64, got float32"):
            check_gradient(lambda x: np.float32(x), rng.standard_normal(5), backward=lambda gy, x: gy)

    def test_function_without_a_gradient_is_refused(self):
        with pytest.raises(TypeError, match=r"backward must be given for missing; \w+ has no missing_backward"):
            check_gradient(missing, np.ones(3))


class Scale:
    """A layer y = kernel * x + bias."""

    def __init__(self, error=""):
        self.params = {"kernel": np.full(4, 3, np.float32), "bias": np.ones(4, np.float32)}
        self.grads = {}
        self.error = error

    def forward(self, x, training=False):
        if training:
            self.x = x
        return self.params["kernel"] * x + self.params["bias"]

    def backward(self, grad_y):
        self.grads["kernel"] = (grad_y * self.x).sum(axis=0)
        if self.error != "no bias":
            self.grads["bias"] = grad_y.sum(axis=0) * (2 if self.error == "bias" else 1)
        return None if self.error == "input" else grad_y * self.params["kernel"]


class TestLayers:
    def test_right_layer_passes_and_stays_as_it_was(self, rng):
        layer = Scale()
        check_gradient(layer, rng.standard_normal((6, 4)))
        np.testing.assert_array_equal(layer.params["kernel"], np.full(4, 3))
        assert layer.params["kernel"].dtype == np.float32
        assert not layer.grads

    @pytest.mark.parametrize(
        ("error", "match"),
        [
            ("bias", r"Scale, params\['bias'\], direction 0: gradient gives"),
            ("no bias", r"Scale, params\['bias'\]: gradient must be an array of shape \(4,\), got None"),
            ("input", r"Scale, input: gradient must be an array of shape \(6, 4\), got None"),
        ],
    )
    def test_wrong_gradient_is_named(self, error, match, rng):
        with pytest.raises(AssertionError, match=match):
            check_gradient(Scale(error), rng.standard_normal((6, 4)))

    def test_options_of_a_function_are_refused(self, rng):
        with pytest.raises(
            TypeError, match="check_gradient: backward and options must belong to a function, got a layer"
        ):
            check_gradient(Scale(), rng.standard_normal((6, 4)), stride=2)

    def test_layer_that_is_not_built_yet(self, rng):
        from fastconv.layers import Conv2D

        layer = Conv2D(3, 3, padding="same", activation="tanh")
        check_gradient(layer, rng.standard_normal((2, 5, 5, 2)))
        assert not layer.params
