"""Convolution over one and three axes: what conv1d and conv3d promise, for every algorithm."""

import math
import re

import numpy as np
import pytest
import strategies
from hypothesis import assume, given, note, settings
from hypothesis import strategies as st
from oracle import assert_same_bits, assert_within, every_setting, small_integers

import fastconv as fc
import fastconv.functional as F
from fastconv import reference
from fastconv.testing import check_gradient, error_bound

AXES = pytest.mark.parametrize("axes", [1, 3])
ALGORITHMS = ("direct", "im2col", "toeplitz", "toeplitz_full")
WINOGRAD = ("winograd", "winograd_2x2", "winograd_4x4")
# Elements of a full Toeplitz matrix that a test builds.
FULL_MATRIX = 2**18


def conv(axes):
    return getattr(F, f"conv{axes}d")


def conv_backward(axes):
    return getattr(F, f"conv{axes}d_backward")


def image_as(array, data_format, dtype):
    """Return a channels-last image in another layout and dtype."""
    moved = array if data_format == "channels_last" else np.moveaxis(array, -1, 1)
    return np.ascontiguousarray(moved, dtype=dtype)


def weight_as(array, data_format, dtype):
    """Return channels-last weights in another layout and dtype."""
    moved = array if data_format == "channels_last" else np.moveaxis(array, (-1, -2), (0, 1))
    return np.ascontiguousarray(moved, dtype=dtype)


def absolutes(*arrays):
    return [None if array is None else np.abs(array) for array in arrays]


def assert_matches_reference(axes, case, algorithm):
    """Output and gradients are within their bounds, and the same for one and two threads."""
    x, w, b = case.arrays()
    forward, backward = (getattr(reference, f"conv{axes}d{suffix}") for suffix in ("", "_backward"))
    y = forward(x, w, b, **case.options)
    assume(algorithm != "toeplitz_full" or x.size * y.size <= FULL_MATRIX * max(len(x), 1) ** 2)
    gy = case.grad_output(y.shape)
    expected = y, *backward(gy, x, w, b, **case.options)
    sums = (
        forward(*absolutes(x, w, b), **case.options),
        *backward(*absolutes(gy, x, w, b), **case.options),
    )
    # A full matrix adds a zero for every product that is not there, which rounds nothing.
    terms = case.terms, w.size, gy.size + 1, gy.size + 1
    factor = "auto" if algorithm == "auto" and case.dtype == np.float32 else "direct"
    bounds = [
        None if total is None else error_bound(total, count, case.dtype, factor)
        for total, count in zip(sums, terms, strict=True)
    ]
    for setting in every_setting():
        note(setting)
        results = (
            conv(axes)(x, w, b, **case.options, algorithm=algorithm),
            *conv_backward(axes)(gy, x, w, b, **case.options, algorithm=algorithm),
        )
        for name, result, value, bound in zip(("y", "gx", "gw", "gb"), results, expected, bounds, strict=True):
            if value is None:
                assert result is None, f"{name}, {setting}"
                continue
            assert result.dtype == case.dtype, f"{name}, {setting}"
            assert result.flags.c_contiguous, f"{name}, {setting}"
            assert_within(result, value, bound, f"{name}, {setting}")


class TestReference:
    @settings(max_examples=300)
    @given(case=strategies.conv1d(), algorithm=st.sampled_from(("auto", *ALGORITHMS)))
    def test_conv1d_and_gradients(self, case, algorithm):
        assert_matches_reference(1, case, algorithm)

    @settings(max_examples=150)
    @given(case=strategies.conv3d(), algorithm=st.sampled_from(("auto", *ALGORITHMS)))
    def test_conv3d_and_gradients(self, case, algorithm):
        assert_matches_reference(3, case, algorithm)

    @settings(max_examples=40)
    @given(case=strategies.conv1d(dtypes=(np.float64,)))
    def test_gradients_of_conv1d_are_directional_derivatives(self, case):
        check_gradient(F.conv1d, case.arrays(), directions=2, **case.options)

    @settings(max_examples=40)
    @given(case=strategies.conv3d(dtypes=(np.float64,)))
    def test_gradients_of_conv3d_are_directional_derivatives(self, case):
        check_gradient(F.conv3d, case.arrays(), directions=2, **case.options)


def sum_over_taps(x, w, gy, strides, dilations, pads, groups):
    """Output and gradients of channels-last integers: one product of matrices for each tap and group, without rounding.

    Returns y, gx, gw; gy has the shape of y.
    """
    padded = np.pad(x, ((0, 0), *pads, (0, 0)))
    kernel, (per_group, co) = w.shape[:-2], w.shape[-2:]
    y, grad_padded, grad_w = np.zeros(gy.shape), np.zeros(padded.shape), np.zeros(w.shape)
    for tap in np.ndindex(kernel):
        axes = zip(tap, dilations, strides, gy.shape[1:-1], strict=True)
        met = (slice(None), *(slice(t * r, t * r + (out - 1) * s + 1, s) for t, r, s, out in axes))
        for g in range(groups):
            inputs = slice(g * per_group, (g + 1) * per_group)
            outputs = slice(g * co // groups, (g + 1) * co // groups)
            under = padded[met][..., inputs]
            y[..., outputs] += under @ w[tap][:, outputs]
            grad_padded[met][..., inputs] += gy[..., outputs] @ w[tap][:, outputs].T
            flat = gy[..., outputs].reshape(-1, co // groups)
            grad_w[tap][:, outputs] = under.reshape(-1, per_group).T @ flat
    inner = tuple(slice(before, before + size) for (before, _), size in zip(pads, x.shape[1:-1], strict=True))
    return y, grad_padded[(slice(None), *inner)], grad_w


# Batch and sizes, channels, kernel, strides, dilations, pads, groups: across borders of tiles, blocks and slices.
LARGE = [
    (1, (1000,), 3, 5, (9,), (1,), (1,), ((4, 4),), 1),
    (3, (257,), 40, 33, (3,), (2,), (1,), ((1, 1),), 1),
    (2, (130,), 16, 48, (5,), (1,), (4,), ((16, 0),), 1),
    (2, (99,), 34, 66, (4,), (3,), (2,), ((0, 5),), 2),
    (1, (300,), 20, 20, (7,), (1,), (1,), ((3, 3),), 20),
    (40, (9,), 2, 7, (3,), (1,), (1,), ((1, 1),), 1),
    (1, (9, 14, 13), 16, 33, (3, 3, 3), (1, 1, 1), (1, 1, 1), ((1, 1), (1, 1), (1, 1)), 1),
    (2, (7, 12, 17), 3, 8, (3, 5, 5), (2, 2, 2), (1, 1, 1), ((1, 1), (2, 2), (2, 2)), 1),
    (2, (8, 9, 21), 1, 6, (2, 3, 4), (1, 1, 1), (2, 1, 3), ((2, 0), (0, 1), (1, 2)), 1),
    (1, (10, 8, 9), 12, 20, (3, 2, 1), (3, 1, 2), (1, 3, 1), ((0, 2), (3, 0), (0, 0)), 4),
    (1, (6, 10, 11), 18, 18, (3, 3, 3), (1, 2, 1), (1, 1, 1), ((1, 1), (0, 1), (1, 1)), 18),
    (2, (70,), 36, 36, (5,), (1,), (2,), ((4, 3),), 18),
    (1, (5, 6, 11), 36, 36, (2, 3, 3), (1, 1, 2), (2, 1, 1), ((1, 1), (0, 1), (1, 1)), 9),
    (1, (12, 1, 40), 5, 17, (4, 1, 3), (1, 1, 1), (1, 1, 1), ((0, 0), (0, 0), (1, 1)), 1),
    (2, (5, 6, 7), 64, 40, (1, 1, 1), (2, 1, 1), (1, 1, 1), ((0, 0), (0, 0), (0, 0)), 1),
    # Small enough for the full matrix.
    (20, (30,), 2, 5, (4,), (1,), (2,), ((3, 1),), 1),
    (5, (3, 4, 5), 4, 6, (2, 3, 2), (1, 1, 2), (2, 1, 1), ((1, 1), (0, 2), (1, 0)), 2),
]


def output_sizes(sizes, kernel, strides, dilations, pads):
    axes = zip(sizes, kernel, strides, dilations, pads, strict=True)
    return tuple((size + sum(pad) - r * (k - 1) - 1) // s + 1 for size, k, s, r, pad in axes)


def large_cases(algorithm):
    for case in LARGE:
        _, sizes, ci, co, *window, _ = case
        if algorithm != "toeplitz_full" or ci * co * math.prod(sizes + output_sizes(sizes, *window)) <= FULL_MATRIX:
            name = "-".join(map(str, (algorithm, *sizes, ci, co, *window[0])))
            yield pytest.param(algorithm, case, id=name)


@pytest.mark.parametrize(("algorithm", "case"), [case for name in ALGORITHMS for case in large_cases(name)])
def test_small_integers_are_exact(algorithm, case, isa, threads, dtype, data_format, rng):
    n, sizes, ci, co, kernel, strides, dilations, pads, groups = case
    x, w = small_integers(rng, (n, *sizes, ci)), small_integers(rng, (*kernel, ci // groups, co))
    gy = small_integers(rng, (n, *output_sizes(sizes, kernel, strides, dilations, pads), co))
    y, gx, gw = sum_over_taps(x, w, gy, strides, dilations, pads, groups)
    options = {"stride": strides, "padding": pads, "dilation": dilations, "groups": groups}
    options |= {"data_format": data_format, "algorithm": algorithm}
    arrays = image_as(x, data_format, dtype), weight_as(w, data_format, dtype)
    np.testing.assert_array_equal(conv(len(sizes))(*arrays, **options), image_as(y, data_format, dtype))
    gradients = conv_backward(len(sizes))(image_as(gy, data_format, dtype), *arrays, **options)
    np.testing.assert_array_equal(gradients[0], image_as(gx, data_format, dtype))
    np.testing.assert_array_equal(gradients[1], weight_as(gw, data_format, dtype))


@AXES
@pytest.mark.parametrize("algorithm", ["auto", "direct", "im2col", "toeplitz"])
def test_threads_do_not_change_bits(axes, algorithm, isa, dtype, data_format, rng):
    sizes = (2000,) if axes == 1 else (11, 13, 12)
    x, w = rng.standard_normal((2, *sizes, 24)), rng.standard_normal((*(3,) * axes, 24, 33))
    arrays = image_as(x, data_format, dtype), weight_as(w, data_format, dtype), np.ones(33, dtype)
    options = {"padding": 1, "data_format": data_format, "algorithm": algorithm}
    results = []
    for count in (1, 2, 3):
        with fc.set_num_threads(count):
            y = conv(axes)(*arrays, **options)
            results.append((y, *conv_backward(axes)(y, *arrays, **options)))
    for other in results[1:]:
        for array, expected in zip(other, results[0], strict=True):
            assert_same_bits(array, expected)


class TestAxes:
    def test_conv1d_is_conv2d_of_one_row(self, isa, dtype, rng):
        x, w = (rng.standard_normal(shape).astype(dtype) for shape in ((2, 6, 50), (8, 3, 4)))
        y = F.conv1d(x, w, None, 2, 3, 2, 2)
        assert_same_bits(y, F.conv2d(x[:, :, None], w[:, :, None], None, (1, 2), (0, 3), (1, 2), 2)[:, :, 0])

    def test_conv3d_with_a_kernel_of_depth_1_is_conv2d_of_every_slice(self, isa, dtype, rng):
        x, w = (small_integers(rng, shape, dtype) for shape in ((2, 6, 5, 11, 12), (9, 6, 1, 3, 3)))
        y = F.conv3d(x, w, padding=(0, 1, 1))
        for depth in range(5):
            np.testing.assert_array_equal(y[:, :, depth], F.conv2d(x[:, :, depth], w[:, :, 0], padding=1))

    @pytest.mark.parametrize("order", [(0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)], ids=str)
    def test_conv3d_of_turned_volumes_is_the_turned_result(self, order, rng):
        """No axis is taken for another: sizes, kernel, stride, dilation and padding differ on all three."""
        x, w = small_integers(rng, (2, 3, 9, 10, 11)), small_integers(rng, (4, 3, 2, 3, 4))
        options = {"stride": (1, 2, 3), "dilation": (3, 1, 2), "padding": ((1, 0), (2, 1), (0, 3))}
        turned = (0, 1, *(axis + 2 for axis in order))
        expected = F.conv3d(x, w, **options).transpose(turned)
        options = {name: tuple(values[axis] for axis in order) for name, values in options.items()}
        y = F.conv3d(x.transpose(turned), w.transpose(turned), **options)
        np.testing.assert_array_equal(y, expected)

    @AXES
    def test_image_without_a_batch_axis(self, axes, data_format, rng):
        x = image_as(small_integers(rng, (1, *(6, 5, 7)[:axes], 2)), data_format, float)
        w = weight_as(small_integers(rng, (*(3, 2, 2)[:axes], 2, 4)), data_format, float)
        batch = conv(axes)(x, w, data_format=data_format)
        np.testing.assert_array_equal(conv(axes)(x[0], w, data_format=data_format), batch[0])
        gradients = conv_backward(axes)(batch[0], x[0], w, data_format=data_format)
        expected = conv_backward(axes)(batch, x, w, data_format=data_format)
        np.testing.assert_array_equal(gradients[0], expected[0][0])
        np.testing.assert_array_equal(gradients[1], expected[1])


@AXES
class TestDegenerateSizes:
    def test_empty_batch(self, axes, isa, dtype, data_format):
        x = image_as(np.ones((0, *(6,) * axes, 3)), data_format, dtype)
        w = weight_as(np.ones((*(2,) * axes, 3, 5)), data_format, dtype)
        y = conv(axes)(x, w, stride=2, data_format=data_format)
        assert y.shape == image_as(np.ones((0, *(3,) * axes, 5)), data_format, dtype).shape
        gx, gw, gb = conv_backward(axes)(y, x, w, np.ones(5, dtype), stride=2, data_format=data_format)
        assert gx.shape == x.shape
        np.testing.assert_array_equal(gw, np.zeros(w.shape))
        np.testing.assert_array_equal(gb, np.zeros(5))

    @pytest.mark.parametrize("algorithm", ["auto", *ALGORITHMS])
    def test_no_input_channels_give_the_bias(self, axes, algorithm, isa, dtype):
        x, w = np.ones((2, 0, *(3,) * axes), dtype), np.ones((2, 0, *(2,) * axes), dtype)
        y = conv(axes)(x, w, np.array([4, 5], dtype), algorithm=algorithm)
        expected = np.broadcast_to(np.array([4, 5]).reshape(1, 2, *(1,) * axes), (2, 2, *(2,) * axes))
        np.testing.assert_array_equal(y, expected)

    @pytest.mark.parametrize("algorithm", ["auto", *ALGORITHMS])
    def test_windows_in_the_padding_alone_give_the_bias(self, axes, algorithm, isa, dtype):
        x, w = np.ones((1, 1, *(1,) * axes), dtype), np.ones((1, 1, *(2,) * axes), dtype)
        y = conv(axes)(x, w, np.array([7], dtype), padding=3, algorithm=algorithm)
        expected = np.full((6,) * axes, 7.0)
        expected[(slice(2, 4),) * axes] += 1
        np.testing.assert_array_equal(y[0, 0], expected)


@AXES
class TestArguments:
    @pytest.fixture
    def arrays(self, axes, rng):
        shapes = (2, 3, *(6, 5, 4)[:axes]), (4, 3, *(2,) * axes), (4,)
        return [small_integers(rng, shape) for shape in shapes]

    def test_out_is_filled_and_returned(self, axes, arrays):
        expected = conv(axes)(*arrays)
        out = np.full_like(expected, np.nan)
        assert conv(axes)(*arrays, out=out) is out
        np.testing.assert_array_equal(out, expected)

    @pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh"])
    def test_fused_activation_is_that_of_the_result(self, axes, arrays, activation):
        y = conv(axes)(*arrays, activation=activation)
        assert_same_bits(y, getattr(F, activation)(conv(axes)(*arrays)))

    @pytest.mark.parametrize("needs", [(), "input", ["weight"], ("bias", "input")])
    def test_gradients_that_are_not_needed_are_none(self, axes, arrays, needs):
        gy = np.ones_like(conv(axes)(*arrays))
        everything = conv_backward(axes)(gy, *arrays)
        wanted = {needs} if isinstance(needs, str) else set(needs)
        gradients = conv_backward(axes)(gy, *arrays, needs=needs)
        for name, gradient, value in zip(("input", "weight", "bias"), gradients, everything, strict=True):
            if name in wanted:
                np.testing.assert_array_equal(gradient, value)
            else:
                assert gradient is None

    @pytest.mark.parametrize(
        ("codes", "result"), [("f4 f4 f4", "f4"), ("f4 f8 f4", "f8"), ("f2 f2 f2", "f2"), ("i1 u1 ?", "f4")]
    )
    def test_result_has_the_promoted_dtype(self, axes, arrays, codes, result):
        given = [(array > 0).astype(code) for array, code in zip(arrays, codes.split(), strict=True)]
        y = conv(axes)(*given)
        assert y.dtype == result
        np.testing.assert_array_equal(y, conv(axes)(*(array.astype(np.float64) for array in given)))
        assert all(gradient.dtype == result for gradient in conv_backward(axes)(y, *given))

    def test_inputs_are_unchanged(self, axes, arrays):
        copies = [array.copy() for array in arrays]
        conv_backward(axes)(conv(axes)(*arrays), *arrays)
        for array, copy in zip(arrays, copies, strict=True):
            assert_same_bits(array, copy)

    def test_order_of_elements_in_memory_does_not_matter(self, axes, arrays):
        x, w, b = arrays
        expected = conv(axes)(x, w, b)
        np.testing.assert_array_equal(conv(axes)(np.asfortranarray(x), np.asfortranarray(w), b), expected)
        np.testing.assert_array_equal(conv(axes)(np.ascontiguousarray(x[..., ::-1])[..., ::-1], w, b), expected)


class TestWinograd:
    @pytest.mark.parametrize("algorithm", WINOGRAD)
    def test_it_applies_to_volumes_of_depth_1(self, algorithm, data_format, rng):
        x, w = rng.standard_normal((2, 1, 9, 8, 3)), rng.standard_normal((1, 3, 3, 3, 5))
        arrays = image_as(x, data_format, float), weight_as(w, data_format, float)
        y = F.conv3d(*arrays, data_format=data_format, algorithm=algorithm)
        np.testing.assert_allclose(y, F.conv3d(*arrays, data_format=data_format), atol=1e-12)

    @pytest.mark.parametrize("algorithm", WINOGRAD)
    @pytest.mark.parametrize(
        ("shape", "weight_shape", "options", "text"),
        [
            ((1, 2, 8), (3, 2, 3), {}, "needs a 3x3 kernel, got (1, 3)"),
            ((1, 2, 5, 8, 8), (3, 2, 3, 3, 3), {}, "needs a 3x3 kernel, got (3, 3, 3)"),
            ((1, 2, 5, 8, 8), (3, 2, 1, 3, 3), {}, "needs images of depth 1, got depth 5 and an output of depth 5"),
            (
                (1, 2, 1, 8, 8),
                (3, 2, 1, 3, 3),
                {"padding": (1, 0, 0)},
                "needs images of depth 1, got depth 1 and an output of depth 3",
            ),
            ((1, 2, 1, 8, 8), (3, 2, 1, 3, 3), {"stride": 2}, "needs stride 1, got (2, 2)"),
        ],
        ids=str,
    )
    def test_it_is_refused_elsewhere(self, algorithm, shape, weight_shape, options, text):
        name = f"conv{len(shape) - 2}d"
        x, w = np.ones(shape), np.ones(weight_shape)
        pattern = "^" + re.escape(f"{name}: algorithm {algorithm!r} {text}") + "$"
        with pytest.raises(ValueError, match=pattern):
            getattr(F, name)(x, w, **options, algorithm=algorithm)


class TestErrors:
    @pytest.mark.parametrize(
        ("name", "shape", "weight_shape", "options", "error", "text"),
        [
            ("conv1d", (4, 7, 6, 5), (8, 4, 3), {}, ValueError, "input must have shape (n, c, w) or (c, w), got"),
            (
                "conv3d",
                (4, 7, 6),
                (8, 4, 3, 3, 3),
                {},
                ValueError,
                "input must have shape (n, c, d, h, w) or (c, d, h, w), got (4, 7, 6)",
            ),
            (
                "conv1d",
                (4, 7),
                (8, 4, 3, 3),
                {},
                ValueError,
                "weight must have shape (c_out, 4, kw) for 4 input channels, got (8, 4, 3, 3)",
            ),
            (
                "conv3d",
                (4, 5, 6, 7),
                (8, 3, 3, 3, 3),
                {},
                ValueError,
                "weight must have shape (8, 4, kd, kh, kw) for 4 input channels, got (8, 3, 3, 3, 3)",
            ),
            (
                "conv1d",
                (4, 7),
                (8, 4, 3),
                {"stride": (1, 2)},
                ValueError,
                "stride must be an integer or a tuple of one integer",
            ),
            ("conv3d", (4, 5, 6, 7), (8, 4, 3, 3, 3), {"stride": (1, 2)}, ValueError, "stride must be an integer or 3"),
            ("conv1d", (4, 7), (8, 4, 3), {"dilation": 1.0}, TypeError, "dilation must consist of integers, got 1.0"),
            (
                "conv1d",
                (4, 7),
                (8, 4, 3),
                {"padding": (1, 2)},
                ValueError,
                "padding must be an integer, a tuple of one integer, a",
            ),
            (
                "conv3d",
                (4, 2, 6, 7),
                (8, 4, 3, 3, 3),
                {},
                ValueError,
                "output depth is (2 + 0 + 0 - 3)//1 + 1 = 0; kernel_size must not exceed the padded input",
            ),
            ("conv1d", (4, 7), (8, 4, 3), {"data_format": "NWC"}, ValueError, "data_format must be 'channels_first'"),
            ("conv3d", (4, 5, 6, 7), (8, 4, 3, 3, 3), {"groups": 3}, ValueError, "groups must divide the 4 input"),
        ],
    )
    def test_function_and_rule_are_named(self, name, shape, weight_shape, options, error, text):
        with pytest.raises(error, match="^" + re.escape(f"{name}: {text}")):
            getattr(F, name)(np.ones(shape), np.ones(weight_shape), **options)
        with pytest.raises(error, match="^" + re.escape(f"{name}_backward: {text}")):
            getattr(F, f"{name}_backward")(np.ones(shape), np.ones(shape), np.ones(weight_shape), **options)

    @AXES
    def test_grad_output_of_another_shape(self, axes):
        x, w = np.ones((1, 2, *(4,) * axes)), np.ones((3, 2, *(2,) * axes))
        with pytest.raises(ValueError, match=rf"^conv{axes}d_backward: grad_output must have shape \(1, 3, .*output, "):
            conv_backward(axes)(x, x, w)

    @AXES
    def test_what_is_checked_after_the_shapes(self, axes):
        x, w = np.ones((1, 2, *(4,) * axes)), np.ones((3, 2, *(4,) * axes))
        y = conv(axes)(x, w)
        with pytest.raises(ValueError, match=rf"^conv{axes}d: bias must have shape \(3,\) for .* got \(2,\)$"):
            conv(axes)(x, w, np.ones(2))
        with pytest.raises(ValueError, match=rf"^conv{axes}d_backward: bias must have shape \(3,\) for .* got \(2,\)$"):
            conv_backward(axes)(y, x, w, np.ones(2))
        with pytest.raises(ValueError, match=rf"^conv{axes}d_backward: algorithm must be one of .* got 'fft'$"):
            conv_backward(axes)(y, x, w, algorithm="fft")
        with pytest.raises(ValueError, match=rf"^conv{axes}d: activation must be one of .* got 'gelu'$"):
            conv(axes)(x, w, activation="gelu")
        with pytest.raises(ValueError, match=rf"^conv{axes}d_backward: needs must consist of .* got 'output'$"):
            conv_backward(axes)(y, x, w, needs="output")
        with pytest.raises(TypeError, match=rf"^conv{axes}d: out must have dtype float64, got float32$"):
            conv(axes)(x, w, out=y.astype(np.float32))
