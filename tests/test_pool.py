"""Max and average pooling over one to three axes, and their gradients."""

import numpy as np
import pytest
import strategies
from hypothesis import given, note, settings
from oracle import assert_same_bits, assert_within, every_setting, image_as, small_integers

import fastconv.functional as F
from fastconv import reference
from fastconv.testing import check_gradient, error_bound

CHANNELS = [1, 2, 3, 7, 8, 15, 16, 17, 31, 32, 33, 64, 65, 130]


class TestMaxPool:
    @settings(max_examples=500)
    @given(case=strategies.max_pool())
    def test_values_indices_and_gradient_match_reference(self, case):
        forward, backward = case.functions(F, "max_pool")
        reference_forward, reference_backward = case.functions(reference, "max_pool")
        x = case.input()
        expected, positions = reference_forward(x, **case.options, return_indices=True)
        gy = case.grad_output(expected.shape)
        gradient = reference_backward(gy, x, **case.options)
        bound = error_bound(reference_backward(np.abs(gy), x, **case.options), max(gy.size, 1), case.dtype)
        for setting in every_setting():
            note(setting)
            y, indices = forward(x, **case.options, return_indices=True)
            assert y.dtype == case.dtype
            assert indices.dtype == np.int64
            np.testing.assert_array_equal(y, expected)
            np.testing.assert_array_equal(indices, positions)
            assert_same_bits(forward(x, **case.options), y)
            gx = backward(gy, x, **case.options)
            assert gx.dtype == case.dtype
            assert_within(gx, gradient, bound, setting)
            assert_same_bits(backward(gy, x, **case.options, indices=indices), gx)

    @pytest.mark.parametrize("channels", CHANNELS)
    def test_all_channel_counts(self, channels, isa, threads, dtype, data_format, rng):
        x = image_as(rng.integers(-50, 50, (2, 9, 10, channels)), data_format, dtype)
        options = {"kernel_size": (3, 2), "stride": 2, "padding": (1, 0), "data_format": data_format}
        y, indices = F.max_pool2d(x, **options, return_indices=True)
        expected, positions = reference.max_pool2d(x, **options, return_indices=True)
        np.testing.assert_array_equal(y, expected)
        np.testing.assert_array_equal(indices, positions)
        gy = small_integers(rng, y.shape, dtype)
        gradient = reference.max_pool2d_backward(gy, x, **options)
        np.testing.assert_array_equal(F.max_pool2d_backward(gy, x, **options), gradient)
        np.testing.assert_array_equal(F.max_pool2d_backward(gy, x, **options, indices=indices), gradient)

    @pytest.mark.parametrize("slip", [0, 1])
    def test_the_lectures_feature_map(self, isa, dtype, slip):
        rows = f"01000 01110 10{slip}21 14210 00121"
        x = np.array([[[int(digit) for digit in row] for row in rows.split()]], dtype)
        expected = [[1, 1, 0], [4, 2, 1], [0, 2, 1]]
        np.testing.assert_array_equal(F.max_pool2d(x, 2, 2, ceil_mode=True)[0], expected)

    def test_large_image_tiled_by_windows_without_overlap(self, isa, threads, dtype, data_format, rng):
        x = rng.standard_normal((8, 56, 56, 64)).astype(dtype)
        windows = x.reshape(8, 28, 2, 28, 2, 64).transpose(0, 1, 3, 5, 2, 4).reshape(8, 28, 28, 64, 4)
        y, indices = F.max_pool2d(image_as(x, data_format, dtype), 2, return_indices=True, data_format=data_format)
        np.testing.assert_array_equal(y, image_as(windows.max(axis=-1), data_format, dtype))
        first = windows.argmax(axis=-1)
        rows, columns = np.indices((28, 28))
        positions = (2 * rows[..., None] + first // 2) * 56 + 2 * columns[..., None] + first % 2
        np.testing.assert_array_equal(indices, image_as(positions, data_format, np.int64))

    def test_nan_wins_and_the_last_of_several(self, isa, dtype, data_format):
        for channels in (1, 40):
            x = np.zeros((1, 4, 4, channels))
            x[0, 0, 0], x[0, 1, 0] = np.inf, np.nan
            x[0, 2, 3], x[0, 3, 2] = np.nan, np.nan
            y, indices = F.max_pool2d(image_as(x, data_format, dtype), 2, return_indices=True, data_format=data_format)
            expected = np.zeros((1, 2, 2, channels))
            expected[0, 0, 0] = expected[0, 1, 1] = np.nan
            np.testing.assert_array_equal(y, image_as(expected, data_format, dtype))
            positions = np.empty((1, 2, 2, channels))
            positions[0] = np.array([[4, 2], [8, 14]])[..., None]
            np.testing.assert_array_equal(indices, image_as(positions, data_format, np.int64))

    def test_padding_never_wins(self, isa, dtype, data_format):
        x = np.full((1, 3, 3, 5), -np.inf)
        x[0, 0, 0] = -1e30
        y, indices = F.max_pool2d(
            image_as(x, data_format, dtype), 3, padding=1, return_indices=True, data_format=data_format
        )
        np.testing.assert_array_equal(y, np.full(y.shape, dtype(-1e30)))
        np.testing.assert_array_equal(indices, 0)

    def test_all_minus_infinity_gives_the_first_element(self, isa, dtype, data_format):
        x = image_as(np.full((1, 2, 4, 9), -np.inf), data_format, dtype)
        y, indices = F.max_pool2d(x, 2, return_indices=True, data_format=data_format)
        assert np.isneginf(y).all()
        positions = np.broadcast_to(np.array([0, 2])[None, None, :, None], (1, 1, 2, 9))
        np.testing.assert_array_equal(indices, image_as(positions, data_format, np.int64))

    def test_window_over_padding_alone(self, isa, dtype):
        x = np.ones((1, 2, 2), dtype)
        y, indices = F.max_pool2d(x, 2, padding=1, dilation=3, return_indices=True)
        assert (y.item(), indices.item()) == (-np.inf, -1)
        np.testing.assert_array_equal(
            F.max_pool2d_backward(np.ones_like(y), x, 2, padding=1, dilation=3), np.zeros_like(x)
        )

    def test_positions_of_int32_are_taken(self, dtype, rng):
        x = small_integers(rng, (2, 3, 6, 6), dtype)
        y, indices = F.max_pool2d(x, 2, return_indices=True)
        gx = F.max_pool2d_backward(y, x, 2, indices=indices.astype(np.int32))
        np.testing.assert_array_equal(gx, reference.max_pool2d_backward(y, x, 2))

    def test_return_indices_changes_nothing_in_the_gradient(self, dtype, rng):
        x = small_integers(rng, (2, 3, 6, 6), dtype)
        gy = small_integers(rng, (2, 3, 3, 3), dtype)
        assert_same_bits(F.max_pool2d_backward(gy, x, 2, return_indices=True), F.max_pool2d_backward(gy, x, 2))

    @settings(max_examples=60)
    @given(case=strategies.max_pool())
    def test_gradient_is_a_directional_derivative_where_no_two_are_equal(self, case, isa):
        forward, _ = case.functions(F, "max_pool")
        x = np.random.default_rng(case.seed).permutation(np.prod(case.input_shape)).reshape(case.input_shape)
        if np.isfinite(forward(x, **case.options)).all():
            check_gradient(forward, x, directions=1, **case.options)


class TestAveragePool:
    @settings(max_examples=500)
    @given(case=strategies.avg_pool())
    def test_values_and_gradient_match_reference(self, case):
        forward, backward = case.functions(F, "avg_pool")
        reference_forward, reference_backward = case.functions(reference, "avg_pool")
        x = case.input()
        expected = reference_forward(x, **case.options)
        gy = case.grad_output(expected.shape)
        gradient = reference_backward(gy, x, **case.options)
        positive = {**case.options, "divisor_override": abs(case.options["divisor_override"] or 0) or None}
        bound = error_bound(reference_forward(np.abs(x), **positive), 27 + 1, case.dtype)
        bound_x = error_bound(reference_backward(np.abs(gy), x, **positive), 2 * max(gy.size, 1), case.dtype)
        for setting in every_setting():
            note(setting)
            y = forward(x, **case.options)
            assert y.dtype == case.dtype
            assert_within(y, expected, bound, setting)
            gx = backward(gy, x, **case.options)
            assert gx.dtype == case.dtype
            assert_within(gx, gradient, bound_x, setting)

    @pytest.mark.parametrize("channels", CHANNELS)
    def test_all_channel_counts(self, channels, isa, threads, dtype, data_format, rng):
        # Divisors are powers of two: every mean is exact.
        x = image_as(small_integers(rng, (2, 9, 10, channels)), data_format, dtype)
        options = {"kernel_size": (4, 2), "stride": (3, 2), "data_format": data_format}
        y = F.avg_pool2d(x, **options)
        np.testing.assert_array_equal(y, reference.avg_pool2d(x, **options))
        gy = small_integers(rng, y.shape, dtype)
        np.testing.assert_array_equal(
            F.avg_pool2d_backward(gy, x, **options), reference.avg_pool2d_backward(gy, x, **options)
        )

    def test_whole_image(self, isa, threads, dtype, data_format, rng):
        x = small_integers(rng, (3, 32, 16, 70))
        y = F.avg_pool2d(image_as(x, data_format, dtype), (32, 16), data_format=data_format)
        np.testing.assert_array_equal(y, image_as(x.mean(axis=(1, 2), keepdims=True), data_format, dtype))

    def test_large_image_tiled_by_windows_without_overlap(self, isa, threads, dtype, data_format, rng):
        x = small_integers(rng, (8, 56, 56, 64))
        means = x.reshape(8, 28, 2, 28, 2, 64).mean(axis=(2, 4))
        y = F.avg_pool2d(image_as(x, data_format, dtype), 2, data_format=data_format)
        np.testing.assert_array_equal(y, image_as(means, data_format, dtype))
        gx = F.avg_pool2d_backward(y, image_as(x, data_format, dtype), 2, data_format=data_format)
        np.testing.assert_array_equal(gx, image_as(means.repeat(2, axis=1).repeat(2, axis=2) / 4, data_format, dtype))

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_not_finite_input_reaches_its_windows_and_no_others(self, isa, dtype, data_format, value):
        for channels in (1, 33):
            x = np.ones((1, 6, 6, channels))
            x[0, 2, 3, -1] = value
            expected = np.ones((1, 3, 3, channels))
            expected[0, 1, 1, -1] = value
            y = F.avg_pool2d(image_as(x, data_format, dtype), 2, data_format=data_format)
            np.testing.assert_array_equal(y, image_as(expected, data_format, dtype))

    @settings(max_examples=60)
    @given(case=strategies.avg_pool())
    def test_gradient_is_a_directional_derivative(self, case, isa):
        check_gradient(case.functions(F, "avg_pool")[0], case.input(), directions=1, **case.options)

    @settings(max_examples=60)
    @given(case=strategies.avg_pool())
    def test_gradient_is_the_adjoint(self, case, isa):
        forward, backward = case.functions(F, "avg_pool")
        x = case.input().astype(np.float64)
        y = forward(x, **case.options)
        gy = case.grad_output(y.shape).astype(np.float64)
        gx = backward(gy, x, **case.options)
        scale = np.abs(y).ravel() @ np.abs(gy).ravel()
        assert np.vdot(x, gx) == pytest.approx(np.vdot(y, gy), rel=0, abs=1e-12 * max(scale, 1))


WIDE_WINDOWS = [
    {"kernel_size": 3, "stride": 2, "padding": 1},
    {"kernel_size": (5, 2), "stride": 1, "padding": (2, 1)},
    {"kernel_size": 2, "stride": (3, 4), "ceil_mode": True},
    {"kernel_size": (1, 4), "stride": (1, 3)},
    {"kernel_size": (12, 7), "stride": (9, 5), "padding": (6, 3)},
]


@pytest.mark.parametrize("options", WIDE_WINDOWS, ids=str)
class TestChannelsTogether:
    """Vectors with a lane for each channel, some rows of an image at a time."""

    SHAPE = (1, 19, 61, 70)  # 68 KB even where a vector has four lanes

    def test_maxima_and_their_gradient(self, options, isa, threads, dtype, rng):
        x = rng.integers(-50, 50, self.SHAPE).astype(dtype)
        x[0, 7, 30:33, 20:40] = np.nan
        y, indices = F.max_pool2d(x, **options, return_indices=True)
        expected, positions = reference.max_pool2d(x, **options, return_indices=True)
        np.testing.assert_array_equal(y, expected)
        np.testing.assert_array_equal(indices, positions)
        np.testing.assert_array_equal(F.max_pool2d(x, **options), expected)
        gy = small_integers(rng, y.shape, dtype)
        gradient = reference.max_pool2d_backward(gy, x, **options)
        np.testing.assert_array_equal(F.max_pool2d_backward(gy, x, **options), gradient)

    @pytest.mark.parametrize("padded", [False, True])
    def test_averages_and_their_gradient(self, options, padded, isa, threads, dtype, rng):
        x = rng.integers(1, 50, self.SHAPE).astype(dtype)
        y = F.avg_pool2d(x, **options, count_include_pad=padded)
        np.testing.assert_allclose(y, reference.avg_pool2d(x, **options, count_include_pad=padded), rtol=1e-5)
        gy = rng.integers(1, 50, y.shape).astype(dtype)
        gradient = reference.avg_pool2d_backward(gy, x, **options, count_include_pad=padded)
        gx = F.avg_pool2d_backward(gy, x, **options, count_include_pad=padded)
        np.testing.assert_allclose(gx, gradient, rtol=1e-5)


@pytest.mark.parametrize("width", [*range(2, 12), *range(28, 38), 61, 66])
@pytest.mark.parametrize("height", [2, 5])
def test_positions_of_2x2_in_rows_of_any_width(height, width, isa, dtype, rng):
    x = rng.choice([-1.0, 0.0, 1.0, np.nan], (2, 3, height, width), p=[0.3, 0.3, 0.3, 0.1]).astype(dtype)
    y, indices = F.max_pool2d(x, 2, return_indices=True)
    expected, positions = reference.max_pool2d(x, 2, return_indices=True)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(indices, positions)


@pytest.mark.parametrize("planes", [1, 7, 16, 33, 150])
def test_position_of_a_whole_planes_maximum(planes, isa, threads, dtype, rng):
    for count in [*range(1, 70), 127, 200]:
        x = rng.integers(0, 3, (1, planes, count)).astype(dtype)  # ties
        x[0, 0] = -np.inf
        x[0, -1, ::2] = -0.0
        x[0, planes // 2, rng.integers(count, size=2)] = np.nan
        y, indices = F.max_pool1d(x, count, return_indices=True)
        expected, positions = reference.max_pool1d(x, count, return_indices=True)
        assert_same_bits(np.isnan(y) | np.signbit(y), np.isnan(expected) | np.signbit(expected))
        np.testing.assert_array_equal(y, expected, err_msg=str(count))
        np.testing.assert_array_equal(indices, positions, err_msg=str(count))
        gy = small_integers(rng, y.shape, dtype)
        gradient = reference.max_pool1d_backward(gy, x, count)
        np.testing.assert_array_equal(F.max_pool1d_backward(gy, x, count), gradient, err_msg=str(count))


@pytest.mark.parametrize("name", ["max_pool", "avg_pool"])
class TestWholePlanes:
    @pytest.mark.parametrize("planes", [1, 7, 16, 33])
    def test_one_window_over_any_number_of_elements(self, planes, name, isa, threads, dtype, rng):
        forward, backward = getattr(F, f"{name}1d"), getattr(F, f"{name}1d_backward")
        for count in [*range(1, 70), 127, 129, 200]:
            x = rng.permutation(planes * count).reshape(1, planes, count).astype(dtype)
            x[0, -1, -1] = x[0, planes // 2, 0] = -1e6  # a neighbour's element would not show in a maximum or a mean
            y = forward(x, count)
            expected = x.max(axis=2) if name == "max_pool" else x.astype(np.float64).mean(axis=2)
            np.testing.assert_allclose(y[..., 0], expected, rtol=1e-5, atol=1, err_msg=str(count))
            x[0, -1, count // 2] = np.nan
            np.testing.assert_array_equal(np.isnan(forward(x, count)[0, :, 0]), np.arange(planes) == planes - 1)
            if name == "avg_pool":
                gy = small_integers(rng, y.shape, dtype)
                gx = backward(gy, x, count)
                np.testing.assert_allclose(gx, np.repeat(gy / count, count, axis=2), rtol=1e-6)


SIZES = {1: (35,), 2: (5, 7), 3: (3, 4, 5)}


@pytest.mark.parametrize("axes", SIZES)
@pytest.mark.parametrize("name", ["max_pool", "avg_pool"])
class TestEveryNumberOfAxes:
    def test_one_window_over_everything(self, name, axes, isa, threads, dtype, data_format, rng):
        x = rng.permutation(2 * 19 * np.prod(SIZES[axes])).reshape(2, *SIZES[axes], 19).astype(np.float64)
        spatial = tuple(range(1, axes + 1))
        expected = (np.max if name == "max_pool" else np.mean)(x, axis=spatial, keepdims=True)
        given_x = image_as(x, data_format, dtype)
        forward, backward = getattr(F, f"{name}{axes}d"), getattr(F, f"{name}{axes}d_backward")
        y = forward(given_x, SIZES[axes], data_format=data_format)
        np.testing.assert_allclose(y, image_as(expected, data_format, np.float64), rtol=1e-6)
        gy = small_integers(rng, y.shape, dtype)
        share = (x == expected) if name == "max_pool" else np.full(x.shape, 1 / np.prod(SIZES[axes]))
        gx = backward(gy, given_x, SIZES[axes], data_format=data_format)
        np.testing.assert_allclose(gx, image_as(share, data_format, np.float64) * gy, rtol=1e-6)

    def test_empty_batch_gives_an_empty_batch(self, name, axes, isa, threads, dtype, data_format):
        x = image_as(np.ones((0, *SIZES[axes], 3)), data_format, dtype)
        y = getattr(F, f"{name}{axes}d")(x, 2, data_format=data_format)
        assert y.shape == image_as(np.ones((0, *(size // 2 for size in SIZES[axes]), 3)), data_format, dtype).shape
        assert getattr(F, f"{name}{axes}d_backward")(y, x, 2, data_format=data_format).shape == x.shape

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_not_finite_input_reaches_its_window_and_no_other(self, name, axes, isa, dtype, data_format, value):
        x = np.ones((1, *(6,) * axes, 18))
        x[(0, *(3,) * axes, -1)] = value
        expected = np.ones((1, *(3,) * axes, 18))
        expected[(0, *(1,) * axes, -1)] = value
        y = getattr(F, f"{name}{axes}d")(image_as(x, data_format, dtype), 2, data_format=data_format)
        np.testing.assert_array_equal(y, image_as(expected, data_format, dtype))

    @pytest.mark.parametrize(
        ("arguments", "text"),
        [
            ({"kernel_size": 0}, "kernel_size must be at least 1, got 0"),
            ({"kernel_size": 2, "stride": 0}, "stride must be at least 1, got 0"),
            ({"kernel_size": 2, "padding": 2}, "padding must be at most half of kernel_size, 2//2 = 1 for .*, got 2"),
            ({"kernel_size": (2,) * 4}, "kernel_size must be an integer or "),
            ({"kernel_size": 9}, "output .* is .* kernel_size must not exceed the padded input"),
            ({"kernel_size": 2, "data_format": "nchw"}, "data_format must be 'channels_first' or 'channels_last'"),
        ],
        ids=str,
    )
    def test_errors_name_the_function(self, name, axes, arguments, text):
        x = np.ones((2, *(8,) * axes))
        with pytest.raises(ValueError, match=f"^{name}{axes}d: {text}"):
            getattr(F, f"{name}{axes}d")(x, **arguments)
        with pytest.raises(ValueError, match=f"^{name}{axes}d_backward: {text}"):
            getattr(F, f"{name}{axes}d_backward")(x, x, **arguments)


def test_maximum_of_a_long_run_is_the_first_one_or_the_last_nan(isa, threads, dtype, data_format):
    """Where vectors run along one window, their lanes have to agree on the first of all."""
    x = np.zeros((1, 200, 6))
    x[0, 137:190, 0] = 1
    x[0, [31, 64], 1] = 2
    x[0, [5, 100, 190, 3], 2] = np.inf, np.nan, np.nan, np.nan
    x[0, :, 3] = -np.inf
    x[0, 199, 4] = 3
    x[0, 0, 5] = np.nan
    given_x = image_as(x, data_format, dtype)
    y, indices = F.max_pool1d(given_x, 200, return_indices=True, data_format=data_format)
    np.testing.assert_array_equal(y.ravel(), [1, 2, np.nan, -np.inf, 3, np.nan])
    np.testing.assert_array_equal(indices.ravel(), [137, 31, 190, 0, 199, 0])
    gx = F.max_pool1d_backward(np.ones_like(y), given_x, 200, data_format=data_format)
    expected = np.zeros((1, 200, 6))
    expected[0, [137, 31, 190, 0, 199, 0], range(6)] = 1
    np.testing.assert_array_equal(gx, image_as(expected, data_format, dtype))


# Side by side, apart, overlapping, over padding on both sides, and more windows than a vector has lanes.
WINDOWS = [
    ((10, 12), {"kernel_size": 2}),
    ((7, 9), {"kernel_size": 2}),
    ((9, 12), {"kernel_size": 3}),
    ((8, 11), {"kernel_size": 2, "stride": 3}),
    ((9, 8), {"kernel_size": 3, "stride": 2, "padding": 1}),
    ((6, 7), {"kernel_size": (5, 3), "stride": 1, "padding": (2, 1)}),
    ((8, 40), {"kernel_size": 2, "stride": (2, 1)}),
    ((6, 41), {"kernel_size": (4, 2), "stride": (1, 4), "padding": (2, 1), "ceil_mode": True}),
    ((2, 2), {"kernel_size": 2}),
]


@pytest.mark.parametrize(("size", "window"), WINDOWS, ids=str)
@pytest.mark.parametrize("channels", [1, 2, 3, 6, 10, 20])
class TestFewChannels:
    """Less than a vector of channels, and a vector and a part: windows side by side are written over each other."""

    def test_maxima(self, channels, size, window, dtype, data_format, rng):
        values = rng.choice([-2, -1, -0.0, 0, 1, 2, np.nan, np.inf, -np.inf], (5, *size, channels))
        x, how = image_as(values, data_format, dtype), {**window, "data_format": data_format}
        expected, positions = reference.max_pool2d(x, **how, return_indices=True)
        gy = small_integers(rng, expected.shape, dtype)
        gradient = reference.max_pool2d_backward(gy, x, **how)
        for setting in every_setting():
            y, indices = F.max_pool2d(x, **how, return_indices=True)
            np.testing.assert_array_equal(indices, positions, setting)
            assert_same_bits(y, expected.astype(dtype), setting)
            alone = F.max_pool2d(x, **how)
            np.testing.assert_array_equal(alone, y, setting)
            if data_format == "channels_last":  # columns first take another of -0.0 and 0.0
                assert_same_bits(alone, y, setting)
            np.testing.assert_array_equal(F.max_pool2d_backward(gy, x, **how), gradient, setting)
            np.testing.assert_array_equal(F.max_pool2d_backward(gy, x, **how, indices=indices), gradient, setting)

    def test_averages(self, channels, size, window, dtype, data_format, rng):
        how = {**window, "divisor_override": 4, "data_format": data_format}
        x = image_as(small_integers(rng, (5, *size, channels)), data_format, dtype)
        expected = reference.avg_pool2d(x, **how)
        gy = small_integers(rng, expected.shape, dtype)
        gradient = reference.avg_pool2d_backward(gy, x, **how)
        for setting in every_setting():
            np.testing.assert_array_equal(F.avg_pool2d(x, **how), expected, setting)
            np.testing.assert_array_equal(F.avg_pool2d_backward(gy, x, **how), gradient, setting)


def test_gradient_from_indices_past_the_caches_is_that_of_each_image(isa, threads, dtype, data_format, rng):
    """Of indices that pooling gives, each of which is in its window, and of others."""
    images = 2**23 // (64 * 62 * 35 * np.dtype(dtype).itemsize) + 1
    x = image_as(rng.standard_normal((images, 64, 62, 35)), data_format, dtype)
    gy = image_as(rng.standard_normal((images, 32, 31, 35)), data_format, dtype)
    how = {"kernel_size": 2, "data_format": data_format}
    _, indices = F.max_pool2d(x, **how, return_indices=True)
    assert_same_bits(F.max_pool2d_backward(gy, x, **how, indices=indices), F.max_pool2d_backward(gy, x, **how))
    indices[1] = rng.integers(0, 64 * 62, indices[1].shape)
    each = [F.max_pool2d_backward(gy[[i]], x[[i]], **how, indices=indices[[i]]) for i in range(images)]
    assert_same_bits(F.max_pool2d_backward(gy, x, **how, indices=indices), np.concatenate(each))
    indices[-1, -1, -1, -1] = 64 * 62
    with pytest.raises(ValueError, match="indices must be positions in 64 \\* 62 = 3968 pixels"):
        F.max_pool2d_backward(gy, x, **how, indices=indices)


@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d"])
class TestBoth:
    def test_one_pixel(self, name, isa, dtype, data_format):
        x = np.full((1, 1, 1, 1), 3, dtype)
        assert getattr(F, name)(x, 1, data_format=data_format).item() == 3
        assert getattr(F, f"{name}_backward")(2 * x, x, 1, data_format=data_format).item() == 6

    def test_inputs_are_unchanged(self, name, isa, threads, dtype, data_format, rng):
        x = image_as(rng.standard_normal((2, 8, 8, 17)), data_format, dtype)
        gy = image_as(rng.standard_normal((2, 4, 4, 17)), data_format, dtype)
        copies = x.copy(), gy.copy()
        getattr(F, name)(x, 2, data_format=data_format)
        getattr(F, f"{name}_backward")(gy, x, 2, data_format=data_format)
        assert_same_bits(x, copies[0])
        assert_same_bits(gy, copies[1])

    def test_gradient_past_the_caches_is_that_of_each_image(self, name, isa, threads, dtype, data_format, rng):
        images = 2**23 // (64 * 62 * 35 * np.dtype(dtype).itemsize) + 1
        x = image_as(rng.standard_normal((images, 64, 62, 35)), data_format, dtype)
        gy = image_as(rng.standard_normal((images, 32, 31, 35)), data_format, dtype)
        backward = getattr(F, f"{name}_backward")
        each = [backward(gy[[i]], x[[i]], 2, data_format=data_format) for i in range(images)]
        assert_same_bits(backward(gy, x, 2, data_format=data_format), np.concatenate(each))

    def test_order_of_elements_in_memory_does_not_matter(self, name, dtype, rng):
        x, gy = small_integers(rng, (2, 3, 6, 8), dtype), small_integers(rng, (2, 3, 3, 4), dtype)
        read_only = x.copy()
        read_only.flags.writeable = False
        forward, backward = getattr(F, name), getattr(F, f"{name}_backward")
        expected = getattr(reference, name)(x, 2)
        gradient = getattr(reference, f"{name}_backward")(gy, x, 2)
        for other in (np.asfortranarray(x), np.ascontiguousarray(x[::-1, :, ::-1])[::-1, :, ::-1], read_only):
            np.testing.assert_array_equal(forward(other, 2), expected)
            np.testing.assert_array_equal(backward(np.asfortranarray(gy), other, 2), gradient)

    def test_broadcast_input(self, name, dtype):
        x = np.broadcast_to(dtype(3), (2, 3, 6, 8))
        np.testing.assert_array_equal(getattr(F, name)(x, 2), np.full((2, 3, 3, 4), 3))

    @pytest.mark.parametrize(
        ("code", "result"), [("f2", "f2"), ("u1", "f4"), ("i2", "f4"), ("?", "f4"), ("i4", "f8"), ("i8", "f8")]
    )
    def test_result_has_the_promoted_dtype(self, name, code, result, rng):
        x = rng.integers(0, 2, (2, 3, 6, 8)).astype(code)
        y = getattr(F, name)(x, 2)
        assert y.dtype == result
        np.testing.assert_array_equal(y, getattr(reference, name)(x, 2))
        gx = getattr(F, f"{name}_backward")(y, x, 2)
        assert gx.dtype == result
        np.testing.assert_array_equal(gx, getattr(reference, f"{name}_backward")(y, x, 2))

    def test_gradient_of_mixed_dtypes_is_promoted(self, name, rng):
        x, gy = small_integers(rng, (1, 2, 4, 4), np.float32), small_integers(rng, (1, 2, 2, 2), np.float64)
        gx = getattr(F, f"{name}_backward")(gy, x, 2)
        assert gx.dtype == np.float64
        np.testing.assert_array_equal(gx, getattr(reference, f"{name}_backward")(gy, x, 2))


def windows(axes):
    """Return torch's argument forms for so many axes."""

    def first(*numbers):
        return numbers[:axes]

    return [
        {"kernel_size": 2},
        {"kernel_size": first(3, 2, 1)},
        {"kernel_size": [*first(2, 3, 2)], "stride": ()},
        {"kernel_size": (2,), "stride": (1,)},
        {"kernel_size": 3, "stride": 2, "padding": 1},
        {"kernel_size": 3, "stride": [*first(2, 1, 2)], "padding": first(1, 0, 1), "ceil_mode": True},
        {"kernel_size": 2, "stride": 3, "padding": 1, "ceil_mode": True},
        {"kernel_size": 5, "stride": 4, "padding": 2, "ceil_mode": True},
    ]


def dilated(axes):
    return [{"kernel_size": 3, "dilation": (2, 1, 2)[:axes]}, {"kernel_size": 2, "dilation": 3, "padding": 1}]


def divided(axes):
    """Return the forms of an average. torch's avg_pool1d has no divisor_override."""
    divisors = [{}, {"count_include_pad": False}]
    if axes > 1:
        divisors += [{"divisor_override": 3}, {"divisor_override": -2}]
    return [{**options, **divisor} for options in windows(axes) for divisor in divisors]


def cases(*lists):
    """Return (axes, options) for every number of axes."""
    every = [(axes, options) for axes in (1, 2, 3) for of_axes in lists for options in of_axes(axes)]
    return pytest.mark.parametrize(("axes", "options"), every, ids=str)


TORCH_SHAPES = {1: (3, 23), 2: (3, 11, 10), 3: (2, 9, 8, 7)}


class TestSameAsTorch:
    @cases(windows, dilated)
    @pytest.mark.parametrize("batch", [(2,), (), (0,)], ids=str)
    def test_max_pool(self, torch, axes, options, batch, rng):
        name = f"max_pool{axes}d"
        x = rng.integers(-4, 5, (*batch, *TORCH_SHAPES[axes])).astype(np.float64)
        tensor = torch.tensor(x, requires_grad=True)
        expected, positions = getattr(torch.nn.functional, name)(tensor, **options, return_indices=True)
        y, indices = getattr(F, name)(x, **options, return_indices=True)
        np.testing.assert_array_equal(y, expected.detach().numpy())
        np.testing.assert_array_equal(indices, positions.numpy())
        gy = rng.standard_normal(y.shape)
        expected.backward(torch.tensor(gy))
        gx = getattr(F, f"{name}_backward")(gy, x, **options)
        np.testing.assert_allclose(gx, tensor.grad.numpy(), rtol=1e-13, atol=1e-13)

    @cases(divided)
    @pytest.mark.parametrize("batch", [(2,), ()], ids=str)
    def test_avg_pool(self, torch, axes, options, batch, rng):
        name = f"avg_pool{axes}d"
        x = rng.standard_normal((*batch, *TORCH_SHAPES[axes]))
        tensor = torch.tensor(x, requires_grad=True)
        expected = getattr(torch.nn.functional, name)(tensor, **options)
        y = getattr(F, name)(x, **options)
        np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-13, atol=1e-13)
        gy = rng.standard_normal(y.shape)
        expected.backward(torch.tensor(gy))
        gx = getattr(F, f"{name}_backward")(gy, x, **options)
        np.testing.assert_allclose(gx, tensor.grad.numpy(), rtol=1e-13, atol=1e-13)

    def test_position_of_the_last_nan(self, torch, data_format, rng):
        x = rng.choice([0.0, np.inf, np.nan], (2, 8, 8, 17))
        tensor = torch.tensor(image_as(x, "channels_first", np.float64))
        _, positions = torch.nn.functional.max_pool2d(tensor, 3, 2, 1, return_indices=True)
        _, indices = F.max_pool2d(
            image_as(x, data_format, np.float64), 3, 2, 1, return_indices=True, data_format=data_format
        )
        np.testing.assert_array_equal(indices, image_as(positions.numpy().transpose(0, 2, 3, 1), data_format, np.int64))

    def test_arguments_by_position(self, torch, rng):
        x = rng.standard_normal((2, 3, 11, 10))
        tensor = torch.tensor(x)
        largest = torch.nn.functional.max_pool2d(tensor, 3, 2, 1, 2, True)
        np.testing.assert_array_equal(F.max_pool2d(x, 3, 2, 1, 2, True), largest.numpy())
        mean = torch.nn.functional.avg_pool2d(tensor, 3, 2, 1, True, False, 5)
        np.testing.assert_allclose(F.avg_pool2d(x, 3, 2, 1, True, False, 5), mean.numpy(), rtol=1e-13, atol=1e-13)
