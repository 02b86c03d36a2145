"""Resizing in every mode, and its gradient."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, note, settings
from hypothesis import strategies as st
from oracle import assert_same_bits, assert_within, every_setting, image_as, small_integers

import fastconv.functional as F
from fastconv import reference
from fastconv.testing import check_gradient

LINEAR = ("linear", "bilinear", "trilinear")
CHANNELS = [1, 2, 3, 7, 8, 15, 16, 17, 33, 64, 70]


@dataclass(frozen=True)
class Case:
    """Arguments of one resizing; the shape is that of channels first."""

    shape: tuple[int, ...]
    options: dict[str, Any]
    dtype: type
    seed: int

    def input(self):
        return np.random.default_rng(self.seed).standard_normal(self.shape).astype(self.dtype)


@st.composite
def cases(draw, modes=("nearest", "nearest-exact", "linear", "area")):
    axes = draw(st.integers(1, 3))
    sizes = draw(st.tuples(*[st.integers(1, 24 if axis == axes - 1 else 6) for axis in range(axes)]))
    mode = draw(st.sampled_from(modes))
    options = {"mode": LINEAR[axes - 1] if mode == "linear" else mode}
    if mode == "linear":
        options["align_corners"] = draw(st.sampled_from([None, False, True]))
    if draw(st.booleans()):
        size = draw(st.tuples(*[st.integers(1, 40 if axis == axes - 1 else 9) for axis in range(axes)]))
        options["size"] = draw(st.sampled_from([size, list(size)] + ([size[0]] if len(set(size)) == 1 else [])))
    else:
        factors = draw(st.tuples(*[st.floats(1 / s + 1e-6, 3.5) | st.sampled_from([1, 2, 3]) for s in sizes]))
        options["scale_factor"] = factors[0] if len(set(factors)) == 1 else draw(st.sampled_from([factors, [*factors]]))
        options["recompute_scale_factor"] = draw(st.sampled_from([None, False, True]))
    lead = draw(st.integers(0, 3)), draw(st.sampled_from([1, 2, 3, 5, 9, 17]))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    return Case(lead + sizes, options, dtype, draw(st.integers(0, 2**16)))


def formats(case):
    """Arrays and options of a case in both layouts, and what brings results back."""
    yield case.options, lambda array: array
    yield {**case.options, "data_format": "channels_last"}, lambda array: np.moveaxis(array, -1, 1)


class TestReference:
    @settings(max_examples=300)
    @given(case=cases())
    def test_values_and_gradient_match_reference(self, case):
        x = case.input()
        expected = reference.interpolate(x, **case.options)
        gy = np.random.default_rng(1).standard_normal(expected.shape).astype(case.dtype)
        gradient = reference.interpolate_backward(gy, x, **case.options)
        eps, rounding = np.finfo(case.dtype).eps, 64 * np.finfo(np.float64).eps  # of sums, and of places up to 64
        bound = 16 * eps * reference.interpolate(np.abs(x), **case.options) + rounding * np.abs(x).max(initial=0)
        bound_x = (16 + max(gy.shape)) * eps * reference.interpolate_backward(np.abs(gy), x, **case.options)
        bound_x += rounding * np.abs(gy).sum()
        for options, to_first in formats(case):
            x_as, gy_as = (a if to_first(a) is a else np.moveaxis(a, 1, -1) for a in (x, gy))
            for setting in every_setting():
                note(setting)
                y = F.interpolate(x_as, **options)
                assert y.dtype == case.dtype
                assert_within(to_first(y), expected, bound, setting)
                gx = F.interpolate_backward(gy_as, x_as, **options)
                assert gx.dtype == case.dtype
                assert_within(to_first(gx), gradient, bound_x, setting)

    @settings(max_examples=60)
    @given(case=cases())
    def test_gradient_is_the_adjoint(self, case):
        x = case.input().astype(np.float64)
        y = F.interpolate(x, **case.options)
        gy = np.random.default_rng(1).standard_normal(y.shape)
        gx = F.interpolate_backward(gy, x, **case.options)
        assert np.vdot(x, gx) == pytest.approx(np.vdot(y, gy), rel=0, abs=1e-12 * max(np.abs(y * gy).sum(), 1))

    @pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "bilinear", "area"])
    def test_gradient_is_a_directional_derivative(self, mode, data_format, rng):
        check_gradient(
            F.interpolate, rng.standard_normal((2, 5, 6, 3)), size=(7, 4), mode=mode, data_format=data_format
        )

    @pytest.mark.parametrize("channels", CHANNELS)
    @pytest.mark.parametrize("mode", ["nearest", "bilinear"])
    def test_all_channel_counts(self, channels, mode, isa, threads, dtype, data_format, rng):
        x = image_as(small_integers(rng, (2, 7, 9, channels)), data_format, dtype)
        options = {"scale_factor": 2, "mode": mode, "data_format": data_format}  # weights are sixteenths: exact
        y = F.interpolate(x, **options)
        np.testing.assert_array_equal(y, reference.interpolate(x, **options))
        gy = small_integers(rng, y.shape, dtype)
        np.testing.assert_array_equal(
            F.interpolate_backward(gy, x, **options), reference.interpolate_backward(gy, x, **options)
        )


WIDTHS = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 23, 31, 32, 33, 40]


class TestRows:
    """Channels first, rows around the length of a vector: whole ones, parts, one that overlaps the one before."""

    @pytest.mark.parametrize("width", WIDTHS)
    @pytest.mark.parametrize("mode", ["nearest", "bilinear", "area"])
    def test_widths_and_factors(self, width, mode, isa, threads, dtype, rng):
        for height, planes in [(1, (1, 1)), (5, (1, 3)), (3, (2, 25))]:
            x = rng.standard_normal((*planes, height, width)).astype(dtype)
            for factor in (2, 1.5, 4, 1.1, 0.6, 0.3):
                size = (max(1, int(height * factor)), max(1, int(width * factor)))
                y = F.interpolate(x, size, mode=mode)
                gy = rng.standard_normal(y.shape).astype(dtype)
                gx = F.interpolate_backward(gy, x, size, mode=mode)
                eps = np.finfo(dtype).eps
                bound = 16 * eps * reference.interpolate(np.abs(x), size, mode=mode) + 1e-12
                assert_within(y, reference.interpolate(x, size, mode=mode), bound, size)
                bound_x = (16 + max(gy.shape)) * eps * reference.interpolate_backward(np.abs(gy), x, size, mode=mode)
                assert_within(gx, reference.interpolate_backward(gy, x, size, mode=mode), bound_x + 1e-12, size)

    @pytest.mark.parametrize("mode", ["nearest", "bilinear", "area"])
    @pytest.mark.parametrize("shape", [(3, 5, 13, 13), (1, 2, 150, 170), (40, 3, 1, 9), (2, 1, 33, 4)])
    def test_values_do_not_depend_on_what_is_behind(self, shape, mode, isa, dtype, rng):
        x = rng.standard_normal(shape).astype(dtype)
        height, width = shape[2:]
        for size in [(2 * height, 2 * width), (height + 1, 3 * width), (height, max(1, width // 2))]:
            y = F.interpolate(x, size, mode=mode)
            assert_same_bits(F.interpolate(x[-1:, -1:], size, mode=mode), y[-1:, -1:])
            assert_same_bits(F.interpolate(x[:1, :1], size, mode=mode), y[:1, :1])

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_not_finite_values_stay_in_their_window(self, value, isa, dtype):
        x = np.zeros((1, 1, 6, 20), dtype)
        x[..., 19] = value  # of the last output a neighbour that does not exist
        y = F.interpolate(x, scale_factor=2, mode="bilinear")
        assert np.isfinite(y[..., :37]).all()
        gy = np.zeros((1, 1, 12, 40), dtype)
        gy[..., 39] = value  # the first elements have fewer taps than their neighbours
        gx = F.interpolate_backward(gy, x, scale_factor=2, mode="bilinear")
        assert np.isfinite(gx[..., :18]).all()


def torch_agrees_with_itself(case):
    """Whether torch takes the same elements for one, two and three axes, and in values and gradients.

    Where nearest neighbours are asked for with a factor and the size stays or doubles, its values for one and three
    axes alone depend on the factor. Places of "nearest-exact" are rounded twice with two axes, else once, by fused
    multiply-adds.
    """
    mode, scale = case.options["mode"], case.options.get("scale_factor")
    sizes = case.shape[2:]
    if mode not in ("nearest", "nearest-exact") or len(sizes) == 2:
        return True
    if mode == "nearest-exact" or scale is None:
        return mode == "nearest"
    factors = [scale] * len(sizes) if np.ndim(scale) == 0 else scale
    return all(int(s * f) not in (s, 2 * s) or f in (1, 2) for s, f in zip(sizes, factors, strict=True))


class TestTorch:
    @settings(max_examples=400)
    @given(case=cases())
    def test_values_and_gradient(self, torch, case):
        assume(torch_agrees_with_itself(case))
        x = case.input().astype(np.float32)
        tensor = torch.tensor(x, requires_grad=True)
        expected = torch.nn.functional.interpolate(tensor, **case.options)
        y = F.interpolate(x, **case.options)
        # The places of the linear modes are rounded to single precision in torch.
        np.testing.assert_allclose(y, expected.detach().numpy(), rtol=0, atol=1e-4)
        gy = np.random.default_rng(1).standard_normal(y.shape).astype(np.float32)
        expected.backward(torch.tensor(gy))
        gx = F.interpolate_backward(gy, x, **case.options)
        np.testing.assert_allclose(gx, tensor.grad.numpy(), rtol=0, atol=1e-3)

    @pytest.mark.parametrize("factors", [(1.1, 2.1), (1.5, 1.7), (2.0, 2.4)])
    def test_nearest_with_factors_that_keep_or_double_a_size(self, torch, factors, rng):
        x = rng.standard_normal((2, 3, 5, 7)).astype(np.float32)
        expected = torch.nn.functional.interpolate(torch.tensor(x), scale_factor=factors)
        np.testing.assert_array_equal(F.interpolate(x, scale_factor=factors), expected.numpy())

    @settings(max_examples=100)
    @given(case=cases(modes=("linear", "area")))
    def test_values_and_gradient_in_double_precision(self, torch, case):
        x = case.input().astype(np.float64)
        tensor = torch.tensor(x, requires_grad=True)
        expected = torch.nn.functional.interpolate(tensor, **case.options)
        y = F.interpolate(x, **case.options)
        np.testing.assert_allclose(y, expected.detach().numpy(), rtol=0, atol=1e-12)
        gy = np.random.default_rng(1).standard_normal(y.shape)
        expected.backward(torch.tensor(gy))
        np.testing.assert_allclose(F.interpolate_backward(gy, x, **case.options), tensor.grad.numpy(), atol=1e-11)

    @pytest.mark.parametrize("mode", ["nearest", "nearest-exact"])
    def test_nearest_takes_the_same_elements_for_all_sizes(self, torch, mode):
        for inputs in range(1, 70):
            x = np.arange(inputs, dtype=np.float32).reshape(1, 1, 1, inputs)
            for outputs in range(1, 70):
                expected = torch.nn.functional.interpolate(torch.tensor(x), (1, outputs), mode=mode)
                np.testing.assert_array_equal(F.interpolate(x, (1, outputs), mode=mode), expected.numpy())

    @pytest.mark.parametrize(
        ("args", "options"),
        [
            ((4,), {}),
            (([4, 9],), {}),
            (((4, 9), None, "bilinear"), {}),
            (((4, 9), None, "bilinear", True), {}),
            ((None, 2), {}),
            ((None, 1.5, "bilinear", None, True), {}),
            ((None, (2.5, 0.5)), {"mode": "bilinear", "recompute_scale_factor": False}),
            ((4,), {"recompute_scale_factor": False}),
            ((None, [2, 1.7]), {"mode": "area"}),
        ],
        ids=str,
    )
    def test_forms_of_the_arguments(self, torch, args, options, rng):
        x = rng.standard_normal((2, 3, 5, 6)).astype(np.float32)
        expected = torch.nn.functional.interpolate(torch.tensor(x), *args, **options)
        np.testing.assert_allclose(F.interpolate(x, *args, **options), expected.numpy(), rtol=0, atol=1e-6)


class TestByHand:
    X = np.array([[[10.0, 20.0, 40.0]]])

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ({"size": 6}, [10, 10, 20, 20, 40, 40]),
            ({"size": 2}, [10, 20]),
            ({"size": 2, "mode": "nearest-exact"}, [10, 40]),
            ({"size": 6, "mode": "linear"}, [10, 12.5, 17.5, 25, 35, 40]),
            ({"size": 5, "mode": "linear", "align_corners": True}, [10, 15, 20, 30, 40]),
            ({"size": 1, "mode": "linear", "align_corners": True}, [10]),
            ({"size": 1, "mode": "linear"}, [20]),
            ({"size": 2, "mode": "area"}, [15, 30]),
            # floor(3 * 1.4) = 4 outputs, places i / 1.4 or i * 3 / 4.
            ({"scale_factor": 1.4}, [10, 10, 20, 40]),
            ({"scale_factor": 1.4, "recompute_scale_factor": True}, [10, 10, 20, 40]),
            ({"scale_factor": 1.25, "mode": "linear"}, [10, 20, 40]),  # as in torch a copy, since the size stays
        ],
        ids=str,
    )
    def test_a_row(self, options, expected, isa, dtype):
        np.testing.assert_allclose(F.interpolate(self.X.astype(dtype), **options)[0, 0], expected, rtol=1e-6)

    def test_gradient_of_doubling_adds_up_in_fours(self, isa, dtype, data_format):
        gy = image_as(np.arange(16.0).reshape(1, 4, 4, 1), data_format, dtype)
        x = image_as(np.zeros((1, 2, 2, 1)), data_format, dtype)
        gx = F.interpolate_backward(gy, x, scale_factor=2, data_format=data_format)
        np.testing.assert_array_equal(gx.ravel(), [10, 18, 42, 50])

    def test_area_of_a_divisor_is_average_pooling(self, isa, dtype, data_format, rng):
        x = image_as(small_integers(rng, (2, 8, 12, 5)), data_format, dtype)
        expected = reference.avg_pool2d(x, (4, 2), data_format=data_format)
        np.testing.assert_array_equal(F.interpolate(x, (2, 6), mode="area", data_format=data_format), expected)


class TestEveryMode:
    @pytest.mark.parametrize("mode", ["nearest", "bilinear", "area"])
    def test_threads_do_not_change_bits(self, mode, isa, dtype, data_format, rng):
        import fastconv as fc

        x = image_as(rng.standard_normal((6, 20, 33, 24)), data_format, dtype)
        before = fc.get_num_threads()
        results = []
        for count in (1, 2):
            fc.set_num_threads(count)
            y = F.interpolate(x, (41, 50), mode=mode, data_format=data_format)
            results.append((y, F.interpolate_backward(y, x, (41, 50), mode=mode, data_format=data_format)))
        fc.set_num_threads(before)
        for first, second in zip(*results, strict=True):
            assert_same_bits(first, second)

    @pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "bilinear", "area"])
    def test_empty_batch_and_one_pixel(self, mode, isa, dtype, data_format):
        x = image_as(np.ones((0, 4, 5, 3)), data_format, dtype)
        y = F.interpolate(x, (2, 7), mode=mode, data_format=data_format)
        assert y.shape == image_as(np.ones((0, 2, 7, 3)), data_format, dtype).shape
        assert F.interpolate_backward(y, x, (2, 7), mode=mode, data_format=data_format).shape == x.shape
        pixel = image_as(np.full((1, 1, 1, 3), 5.0), data_format, dtype)
        y = F.interpolate(pixel, (2, 7), mode=mode, data_format=data_format)
        np.testing.assert_allclose(y, np.full(y.shape, 5), rtol=1e-6)
        gx = F.interpolate_backward(np.ones_like(y), pixel, (2, 7), mode=mode, data_format=data_format)
        np.testing.assert_allclose(gx, np.full(gx.shape, 14), rtol=1e-6)

    @pytest.mark.parametrize("mode", ["nearest", "bilinear", "area"])
    def test_the_same_size_is_a_copy_of_any_value(self, mode, data_format):
        x = np.array([np.nan, np.inf, -np.inf, -0.0, 1.0, 2.0], np.float32).reshape(1, 1, 2, 3)
        y = F.interpolate(x, (2, 3), mode=mode)
        assert_same_bits(y, x)
        assert not np.shares_memory(x, y)

    @pytest.mark.parametrize("mode", ["nearest", "bilinear", "area"])
    def test_not_finite_values_stay_in_their_channel(self, mode, isa, dtype, data_format):
        x = np.ones((2, 6, 6, 5))
        x[1, 2, 3, 4] = np.nan
        y = F.interpolate(image_as(x, data_format, dtype), (9, 9), mode=mode, data_format=data_format)
        expected = np.zeros((2, 5), bool)
        expected[1, 4] = True
        axes = (2, 3) if data_format == "channels_first" else (1, 2)
        np.testing.assert_array_equal(np.isnan(y).any(axes), expected)

    @pytest.mark.parametrize("mode", ["nearest", "bilinear", "area"])
    def test_input_stays_and_may_be_any_array(self, mode, rng):
        x = small_integers(rng, (2, 3, 4, 6), np.float32)
        expected = F.interpolate(x, 8, mode=mode)
        frozen = x.copy()
        frozen.flags.writeable = False
        for other in (frozen, np.asfortranarray(x), np.repeat(x, 2, axis=1)[:, ::2]):
            assert_same_bits(F.interpolate(other, 8, mode=mode), expected)
        gy, before = expected.copy(), expected.copy()
        F.interpolate_backward(gy, x, 8, mode=mode)
        np.testing.assert_array_equal(gy, before)
        np.testing.assert_array_equal(frozen, x)

    def test_dtypes(self):
        for given_dtype, expected in [(np.float16, np.float16), (np.int8, np.float32), (np.int64, np.float64)]:
            x = np.ones((1, 1, 2), given_dtype)
            assert F.interpolate(x, 4).dtype == expected
            assert F.interpolate_backward(np.ones((1, 1, 4), given_dtype), x, 4).dtype == expected


X = np.ones((1, 2, 3, 4))


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({}, ValueError, "size or scale_factor must be given, and not both, got neither"),
        ({"size": 2, "scale_factor": 3}, ValueError, "size or .* not both, got size=2 and scale_factor=3"),
        ({"size": (2,)}, ValueError, r"size must be one number or one for each of 2 axes, got \(2,\)"),
        ({"size": (2, 3, 4)}, ValueError, r"size must be one number or one for each of 2 axes, got \(2, 3, 4\)"),
        ({"scale_factor": [2]}, ValueError, r"scale_factor must be one number or one for each of 2 axes, got \(2,\)"),
        ({"size": 2.0}, TypeError, "size must consist of integers, got 2.0"),
        ({"size": (2, None)}, TypeError, "size must consist of integers, got None"),
        ({"size": True}, TypeError, "size must consist of integers, got True"),
        ({"size": 0}, ValueError, r"output must have positive spatial sizes, got \(0, 0\) for inputs \(3, 4\), size=0"),
        ({"scale_factor": 0.3}, ValueError, r"output must have positive .*, got \(0, 1\) .*, scale_factor=0.3"),
        ({"scale_factor": 0}, ValueError, "scale_factor must be positive and finite, got 0"),
        ({"scale_factor": (1, -2.0)}, ValueError, "scale_factor must be positive and finite, got -2.0"),
        ({"scale_factor": np.nan}, ValueError, "scale_factor must be positive and finite, got nan"),
        ({"scale_factor": np.inf}, ValueError, "scale_factor must be positive and finite, got inf"),
        ({"scale_factor": "2"}, TypeError, "scale_factor must consist of numbers, got '2'"),
        (
            {"size": 2, "mode": "linear"},
            ValueError,
            "mode must be one of .*'bilinear' for 2 spatial axes, got 'linear'",
        ),
        ({"size": 2, "mode": "cubic"}, ValueError, "mode must be one of .* for 2 spatial axes, got 'cubic'"),
        ({"size": 2, "mode": "bicubic"}, NotImplementedError, "mode 'bicubic' is not supported, use 'bilinear'"),
        ({"size": 2, "align_corners": False}, ValueError, "align_corners must be None for mode 'nearest', got False"),
        ({"size": 2, "recompute_scale_factor": True}, ValueError, "recompute_scale_factor must not be set where size"),
        (
            {"size": 2, "data_format": "NHWC"},
            ValueError,
            "data_format must be 'channels_first' or 'channels_last', got",
        ),
    ],
    ids=str,
)
def test_errors(options, error, text):
    with pytest.raises(error, match=f"^interpolate: {text}"):
        F.interpolate(X, **options)
    with pytest.raises(error, match=f"^interpolate_backward: {text}"):
        F.interpolate_backward(X, X, **options)


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        ((3, 4), r"input must have shape \(n, c, l\), \(n, c, h, w\) or \(n, c, d, h, w\), got \(3, 4\)"),
        ((1,) * 6, r"input must have shape .*, got \(1, 1, 1, 1, 1, 1\)"),
        ((1, 2, 0, 4), r"input must have positive spatial sizes, got shape \(1, 2, 0, 4\)"),
    ],
)
def test_errors_of_the_shape(shape, text):
    with pytest.raises(ValueError, match=f"^interpolate: {text}"):
        F.interpolate(np.ones(shape), 2)


def test_errors_of_arrays():
    with pytest.raises(
        TypeError, match=r"^interpolate: input must have a boolean, integer, float16, float32 or float6"
    ):
        F.interpolate(X + 0j, 2)
    with pytest.raises(ValueError, match=r"grad_output must have shape \(1, 2, 2, 2\), that of the output, got"):
        F.interpolate_backward(X, X, 2)
