"""Gradients of convolution: by their formulas, as derivatives, and as adjoints."""

import numpy as np
import pytest
import strategies
from hypothesis import given, note, settings
from oracle import (
    LARGE,
    SmallConv2D,
    assert_same_bits,
    assert_small_is_exact,
    assert_within,
    every_setting,
    image_as,
    small_integers,
    solved,
    weight_as,
)

import fastconv.functional as F
from fastconv import reference
from fastconv.testing import check_gradient, error_bound


@settings(max_examples=400)
@given(case=strategies.conv2d())
def test_gradients_match_reference(case):
    x, w, b = case.arrays()
    gy = case.grad_output(output_shape(x, w, case.options))
    expected = reference.conv2d_backward(gy, x, w, b, **case.options)
    absolute = [None if array is None else np.abs(array) for array in (gy, x, w, b)]
    sums = reference.conv2d_backward(*absolute, **case.options)
    # As many products as there are in gy at the most: per pixel of x, w and bias.
    bounds = [None if total is None else error_bound(total, gy.size + 1, case.dtype) for total in sums]
    for setting in every_setting():
        note(setting)
        gradients = F.conv2d_backward(gy, x, w, b, **case.options)
        for name, gradient, value, bound in zip(("input", "weight", "bias"), gradients, expected, bounds, strict=True):
            if value is None:
                assert gradient is None, f"{name}, {setting}"
            else:
                assert gradient.dtype == case.dtype, f"{name}, {setting}"
                assert gradient.flags.c_contiguous, f"{name}, {setting}"
                assert_within(gradient, value, bound, f"{name}, {setting}")


def output_shape(x, w, options):
    return reference.conv2d(np.zeros(x.shape), np.zeros(w.shape), **options).shape


@pytest.mark.parametrize("case", LARGE, ids=str)
def test_gradients_are_exact_on_small_integers(case, isa, threads, dtype, data_format):
    known = solved(case)
    x, gy = (image_as(array, data_format, dtype) for array in (known.x, known.gy))
    w, b = weight_as(known.w, data_format, dtype), known.b.astype(dtype)
    gx, gw, gb = F.conv2d_backward(gy, x, w, b, **case.options, data_format=data_format, algorithm="direct")
    np.testing.assert_array_equal(gx, image_as(known.gx, data_format, dtype))
    np.testing.assert_array_equal(gw, weight_as(known.gw, data_format, dtype))
    np.testing.assert_array_equal(gb, known.gb)


CHANNELS = [1, 3, 7, 8, 15, 16, 17, 31, 32, 33, 64, 65, 130]


@pytest.mark.parametrize("ci", CHANNELS)
def test_gradients_are_exact_for_all_channel_counts(ci, isa, dtype, data_format, rng):
    for co in CHANNELS:
        x, w, gy = (small_integers(rng, shape) for shape in ((1, 4, 5, ci), (2, 2, ci, co), (1, 3, 4, co)))
        grad_x, grad_w = np.zeros(x.shape), np.zeros(w.shape)
        for p in (0, 1):
            for q in (0, 1):
                grad_x[:, p : p + 3, q : q + 4] += gy @ w[p, q].T
                grad_w[p, q] = x[:, p : p + 3, q : q + 4].reshape(-1, ci).T @ gy.reshape(-1, co)
        arrays = image_as(gy, data_format, dtype), image_as(x, data_format, dtype), weight_as(w, data_format, dtype)
        gx, gw, gb = F.conv2d_backward(*arrays, np.zeros(co, dtype), data_format=data_format)
        np.testing.assert_array_equal(gx, image_as(grad_x, data_format, dtype), err_msg=f"{co} output channels")
        np.testing.assert_array_equal(gw, weight_as(grad_w, data_format, dtype), err_msg=f"{co} output channels")
        np.testing.assert_array_equal(gb, gy.sum(axis=(0, 1, 2)), err_msg=f"{co} output channels")


@settings(max_examples=60)
@given(case=strategies.conv2d(dtypes=(np.float64,)))
def test_gradients_are_directional_derivatives(case, isa):
    check_gradient(F.conv2d, case.arrays(), directions=2, **case.options)


@settings(max_examples=100)
@given(case=strategies.conv2d(dtypes=(np.float64,)))
def test_gradients_are_adjoints(case, isa):
    x, w, _ = case.arrays()
    y = F.conv2d(x, w, **case.options)
    gy = case.grad_output(y.shape)
    gx, gw, _ = F.conv2d_backward(gy, x, w, **case.options)
    product, scale = np.vdot(y, gy), np.abs(y).ravel() @ np.abs(gy).ravel()
    tolerance = 1e-12 * max(scale, 1)
    assert np.vdot(x, gx) == pytest.approx(product, rel=0, abs=tolerance)
    assert np.vdot(w, gw) == pytest.approx(product, rel=0, abs=tolerance)


class TestNeeds:
    @pytest.mark.parametrize(
        "needs", [(), ("input",), ("weight",), ("bias",), ("weight", "bias"), ["bias", "input"], {"input"}, "weight"]
    )
    def test_gradients_that_are_not_needed_are_none(self, needs, rng):
        x, w, b, gy = (small_integers(rng, shape) for shape in ((2, 3, 5, 5), (4, 3, 2, 2), (4,), (2, 4, 4, 4)))
        everything = dict(zip(("input", "weight", "bias"), reference.conv2d_backward(gy, x, w, b), strict=True))
        wanted = {needs} if isinstance(needs, str) else needs
        for name, gradient in zip(everything, F.conv2d_backward(gy, x, w, b, needs=needs), strict=True):
            if name in wanted:
                np.testing.assert_array_equal(gradient, everything[name])
            else:
                assert gradient is None

    def test_bias_of_none_has_no_gradient(self):
        assert F.conv2d_backward(np.ones((1, 1, 1, 1)), np.ones((1, 1, 1, 1)), np.ones((1, 1, 1, 1)))[2] is None


class TestDegenerateSizes:
    def test_empty_batch_gives_zero_for_weight_and_bias(self, isa, threads, dtype, data_format):
        x, gy = (image_as(np.ones((0, 6, 6, c)), data_format, dtype) for c in (3, 5))
        w = weight_as(np.ones((1, 1, 3, 5)), data_format, dtype)
        gx, gw, gb = F.conv2d_backward(gy, x, w, np.ones(5, dtype), data_format=data_format)
        assert gx.shape == x.shape
        np.testing.assert_array_equal(gw, np.zeros(w.shape))
        np.testing.assert_array_equal(gb, np.zeros(5))

    def test_one_pixel(self, isa, dtype, data_format):
        gx, gw, gb = F.conv2d_backward(
            np.full((1, 1, 1, 1), 2, dtype),
            np.full((1, 1, 1, 1), 3, dtype),
            np.full((1, 1, 1, 1), 5, dtype),
            np.zeros(1, dtype),
            data_format=data_format,
        )
        assert (gx.item(), gw.item(), gb.item()) == (10, 6, 2)

    def test_pixels_that_no_window_meets_have_no_gradient(self, isa, threads, dtype, data_format):
        x, gy = (image_as(np.ones((2, size, size, c)), data_format, dtype) for size, c in ((11, 4), (3, 6)))
        w = weight_as(np.ones((2, 2, 4, 6)), data_format, dtype)
        gx, _, _ = F.conv2d_backward(gy, x, w, stride=4, data_format=data_format)
        met = np.zeros((2, 11, 11, 4))
        for i in (0, 1, 4, 5, 8, 9):
            met[:, i, [0, 1, 4, 5, 8, 9]] = 6
        np.testing.assert_array_equal(gx, image_as(met, data_format, dtype))


class TestValues:
    def test_inputs_are_unchanged(self, isa, threads, dtype, data_format, rng):
        x, gy = (image_as(rng.standard_normal((2, 9, 9, c)), data_format, dtype) for c in (8, 12))
        w = weight_as(rng.standard_normal((3, 3, 8, 12)), data_format, dtype)
        b = np.ones(12, dtype)
        copies = [array.copy() for array in (gy, x, w, b)]
        F.conv2d_backward(gy, x, w, b, padding=1, data_format=data_format)
        for array, copy in zip((gy, x, w, b), copies, strict=True):
            assert_same_bits(array, copy)

    def test_order_of_elements_in_memory_does_not_matter(self, dtype, rng):
        gy, x, w = (small_integers(rng, shape, dtype) for shape in ((2, 4, 4, 4), (2, 3, 6, 5), (4, 3, 3, 2)))
        expected = reference.conv2d_backward(gy, x, w)
        for gradients in (
            F.conv2d_backward(*map(np.asfortranarray, (gy, x, w))),
            F.conv2d_backward(*(np.ascontiguousarray(array[..., ::-1])[..., ::-1] for array in (gy, x, w))),
        ):
            np.testing.assert_array_equal(gradients[0], expected[0])
            np.testing.assert_array_equal(gradients[1], expected[1])

    def test_broadcast_grad_output(self, dtype, rng):
        x, w = small_integers(rng, (2, 3, 6, 5), dtype), small_integers(rng, (4, 3, 3, 2), dtype)
        gy = np.broadcast_to(dtype(1), (2, 4, 4, 4))
        expected = reference.conv2d_backward(gy, x, w, np.zeros(4))
        for gradient, value in zip(F.conv2d_backward(gy, x, w, np.zeros(4, dtype)), expected, strict=True):
            np.testing.assert_array_equal(gradient, value)

    def test_nan_reaches_what_it_touches_and_nothing_else(self, isa, dtype, data_format):
        x, w, gy = np.ones((2, 7, 9, 17)), np.ones((3, 3, 17, 18)), np.ones((2, 5, 7, 18))
        gy[1, 2, 3, 16] = np.nan
        arrays = image_as(gy, data_format, dtype), image_as(x, data_format, dtype), weight_as(w, data_format, dtype)
        gx, gw, gb = F.conv2d_backward(*arrays, np.zeros(18, dtype), data_format=data_format)
        nan_x, nan_w, nan_b = np.zeros(x.shape, bool), np.zeros(w.shape, bool), np.zeros(18, bool)
        nan_x[1, 2:5, 3:6] = True
        nan_w[..., 16] = True
        nan_b[16] = True
        np.testing.assert_array_equal(np.isnan(gx), image_as(nan_x, data_format, bool))
        np.testing.assert_array_equal(np.isnan(gw), weight_as(nan_w, data_format, bool))
        np.testing.assert_array_equal(np.isnan(gb), nan_b)

    def test_subnormal_numbers_count_as_zero(self, isa, threads, dtype, data_format):
        tiny = np.finfo(dtype).smallest_subnormal * 1000
        x, w = np.ones((2, 12, 12, 20)), weight_as(np.full((3, 3, 20, 20), tiny), data_format, dtype)
        gy = image_as(np.full((2, 10, 10, 20), tiny), data_format, dtype)
        x = image_as(x, data_format, dtype)
        gx, gw, gb = F.conv2d_backward(gy, x, np.ones_like(w), np.zeros(20, dtype), data_format=data_format)
        for gradient in (gx, gw, gb):
            np.testing.assert_array_equal(gradient, 0)
        gx, _, _ = F.conv2d_backward(np.ones_like(gy), x, w, data_format=data_format)
        np.testing.assert_array_equal(gx, 0)

    @pytest.mark.parametrize(
        ("codes", "result"),
        [
            ("f4 f4 f4 f4", "f4"),
            ("f4 f8 f4 f4", "f8"),
            ("f8 f4 f4 f4", "f8"),
            ("f2 f2 f2 f2", "f2"),
            ("i1 u1 ? f4", "f4"),
        ],
    )
    def test_gradients_have_the_promoted_dtype(self, codes, result, rng):
        shapes = ((2, 4, 4, 4), (2, 3, 5, 5), (4, 3, 2, 2), (4,))
        arrays = [rng.integers(0, 2, shape).astype(code) for shape, code in zip(shapes, codes.split(), strict=True)]
        expected = reference.conv2d_backward(*arrays)
        for gradient, value in zip(F.conv2d_backward(*arrays), expected, strict=True):
            assert gradient.dtype == result
            np.testing.assert_array_equal(gradient, value)

    def test_image_without_a_batch_axis(self, data_format, rng):
        gy, x = (image_as(small_integers(rng, (1, *size)), data_format, float) for size in ((3, 3, 4), (4, 4, 2)))
        w = weight_as(small_integers(rng, (2, 2, 2, 4)), data_format, float)
        batch = F.conv2d_backward(gy, x, w, data_format=data_format)
        image = F.conv2d_backward(gy[0], x[0], w, data_format=data_format)
        np.testing.assert_array_equal(image[0], batch[0][0])
        np.testing.assert_array_equal(image[1], batch[1])

    def test_gradient_of_the_bias_is_summed_without_loss(self, isa, threads, data_format):
        # One running float32 sum of 2**18 equal numbers is off by more than 1e-3.
        gy = image_as(np.full((1, 512, 512, 1), 0.1), data_format, np.float32)
        one = np.ones((1, 1, 1, 1), np.float32)
        _, _, gb = F.conv2d_backward(gy, gy, one, one.ravel(), needs="bias", data_format=data_format)
        assert gb.item() == pytest.approx(float(np.float32(0.1)) * 2**18, rel=1e-5)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_many_weights_of_few_pixels_are_exact_on_small_integers(data_format, isa, threads, dtype):
    # More than 2 MiB of weights and less than a block of pixels: rows of gw are finished one after the other, and the
    # other passes pack weights while the first tile of pixels multiplies them.
    assert_small_is_exact(SmallConv2D(1, 6, 5, 200, 300, 3, 3, padding=1, data_format=data_format), dtype)
