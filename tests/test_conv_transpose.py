"""Transposed convolution and its gradients."""

import numpy as np
import pytest
import strategies
from hypothesis import assume, given, note, settings
from hypothesis import strategies as st
from oracle import assert_same_bits, assert_within, every_setting, image_as, small_integers, weight_as

import fastconv as fc
import fastconv.functional as F
from fastconv import reference
from fastconv.testing import check_gradient, error_bound

CONVOLUTIONS = {1: strategies.conv1d, 2: strategies.conv2d, 3: strategies.conv3d}


def conv_transpose(axes):
    return getattr(F, f"conv_transpose{axes}d")


def per_axis(value, axes):
    values = list(value) if isinstance(value, tuple | list) else [value]
    return [int(number) for number in (values * axes)[:axes]]


@st.composite
def transposed(draw, axes=2, dtypes=(np.float32, np.float64)):
    """Arguments of a transposed convolution: shapes of a convolution's case, its channels the other way round."""
    case = draw(CONVOLUTIONS[axes](dtypes=dtypes))
    options = dict(case.options)
    last = options["data_format"] == "channels_last"
    ci = case.weight_shape[-1 if last else 0]
    shape = list(case.input_shape)
    shape[-1 if last else -axes - 1] = ci
    steps = zip(per_axis(options["stride"], axes), per_axis(options["dilation"], axes), strict=True)
    extras = tuple(draw(st.integers(0, max(pair) - 1)) for pair in steps)
    options["output_padding"] = (0,) * axes if options["padding"] == "same" else extras
    rng = np.random.default_rng(case.seed)
    co = case.weight_shape[-2 if last else 1] * options["groups"]
    arrays = [rng.standard_normal(size).astype(case.dtype) for size in (shape, case.weight_shape, co)]
    forward = getattr(reference, f"conv_transpose{axes}d")
    try:
        y = forward(np.zeros(shape), np.zeros(case.weight_shape), **options)
    except ValueError:
        assume(False)
    assume(0 not in y.shape[-axes - 1 :])
    gy = rng.standard_normal(y.shape).astype(case.dtype)
    return (*arrays[:2], arrays[2] if case.with_bias else None), options, gy


def absolutes(arrays):
    return [None if array is None else np.abs(array) for array in arrays]


def assert_matches_reference(axes, case):
    (x, w, b), options, gy = case
    forward, backward = (getattr(reference, f"conv_transpose{axes}d{suffix}") for suffix in ("", "_backward"))
    algorithm = "direct" if x.dtype == np.float64 else "auto"
    expected = forward(x, w, b, **options), *backward(gy, x, w, b, **options)
    sums = forward(*absolutes((x, w, b)), **options), *backward(*absolutes((gy, x, w, b)), **options)
    terms = (w.size + 1, w.size, x.size + 1, gy.size + 1)
    bounds = [
        None if total is None else error_bound(total, count, x.dtype, algorithm)
        for total, count in zip(sums, terms, strict=True)
    ]
    gradients = getattr(F, f"conv_transpose{axes}d_backward")
    for setting in every_setting():
        note(setting)
        results = conv_transpose(axes)(x, w, b, **options), *gradients(gy, x, w, b, **options)
        for name, result, value, bound in zip(("y", "gx", "gw", "gb"), results, expected, bounds, strict=True):
            if value is None:
                assert result is None
                continue
            assert result.dtype == x.dtype
            assert result.flags.c_contiguous
            assert_within(result, value, bound, f"{name}, {setting}")


@settings(max_examples=200)
@given(case=transposed(1))
def test_conv_transpose1d_and_gradients_match_reference(case):
    assert_matches_reference(1, case)


@settings(max_examples=300)
@given(case=transposed(2))
def test_conv_transpose2d_and_gradients_match_reference(case):
    assert_matches_reference(2, case)


@settings(max_examples=100)
@given(case=transposed(3))
def test_conv_transpose3d_and_gradients_match_reference(case):
    assert_matches_reference(3, case)


@pytest.mark.parametrize("axes", [1, 2, 3])
@settings(max_examples=80)
@given(data=st.data())
def test_it_is_the_transpose_of_the_convolution(axes, data):
    """<conv_transpose(x), v> == <x, conv(v)> for the same weights, where the convolution gives x's size."""
    (x, w, _), options, v = data.draw(transposed(axes, dtypes=(np.float64,)))
    y = conv_transpose(axes)(x, w, **options)
    conv_options = {name: value for name, value in options.items() if name != "output_padding"}
    back = getattr(F, f"conv{axes}d")(v, w, **conv_options)
    assume(back.shape == x.shape)
    scale = np.abs(x).ravel() @ np.abs(back).ravel() + 1
    assert np.vdot(y, v) == pytest.approx(np.vdot(x, back), rel=0, abs=1e-11 * scale)


@pytest.mark.parametrize("axes", [1, 2, 3])
@settings(max_examples=30)
@given(data=st.data())
def test_gradients_are_directional_derivatives(axes, data):
    arrays, options, _ = data.draw(transposed(axes, dtypes=(np.float64,)))
    check_gradient(conv_transpose(axes), arrays, directions=2, **options)


X, W, B = (2, 6, 5, 4), (6, 3, 3, 2), (3,)


def draw(rng, *shapes):
    return [rng.standard_normal(shape) for shape in shapes]


def assert_same_as_torch(torch, arrays, *args, **options):
    """Compare output and all gradients, in float64; the weight tells the number of axes."""
    name = f"conv_transpose{arrays[1].ndim - 2}d"
    tensors = [None if array is None else torch.tensor(array, requires_grad=True) for array in arrays]
    expected = getattr(torch.nn.functional, name)(*tensors, *args, **options)
    y = getattr(F, name)(*arrays, *args, **options)
    assert y.shape == tuple(expected.shape)
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=0, atol=1e-12)
    gy = np.random.default_rng(1).standard_normal(y.shape)
    expected.backward(torch.tensor(gy))
    gradients = getattr(F, f"{name}_backward")(gy, *arrays, *args, **options)
    for gradient, tensor in zip(gradients, [*tensors, None][:3], strict=True):
        if tensor is None:
            assert gradient is None
        else:
            np.testing.assert_allclose(gradient, tensor.grad.numpy(), rtol=0, atol=1e-11)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stride": 2},
        {"stride": (2, 3)},
        {"stride": [3, 1], "output_padding": (2, 0)},
        {"stride": (2,), "padding": (1,), "output_padding": (1,)},
        {"padding": 1},
        {"padding": (2, 0)},
        {"dilation": 2},
        {"dilation": (1, 3), "output_padding": (0, 2)},
        {"dilation": [3, 2], "stride": 2, "output_padding": [2, 1]},
        {"groups": 3},
        {"groups": 6},
        {"stride": 2, "padding": (1, 2), "output_padding": 1, "groups": 2, "dilation": (3, 2)},
    ],
    ids=str,
)
@pytest.mark.parametrize("with_bias", [True, False])
def test_options_are_those_of_torch(torch, options, with_bias, rng):
    co = 3 * options.get("groups", 1)
    x, w, b = draw(rng, X, W, (co,))
    assert_same_as_torch(torch, [x, w, b if with_bias else None], **options)


def test_arguments_by_position_are_those_of_torch(torch, rng):
    x, w, b = draw(rng, X, W, (6,))
    assert_same_as_torch(torch, [x, w, b], 2, (1, 0), 1, 2, (2, 1))


def test_arguments_by_name_are_those_of_torch(torch, rng):
    x, w, b = draw(rng, X, W, (6,))
    names = {"bias": b, "stride": 2, "padding": 1, "output_padding": 1, "groups": 2, "dilation": 1}
    tensors = {name: torch.tensor(value) if name == "bias" else value for name, value in names.items()}
    expected = torch.nn.functional.conv_transpose2d(input=torch.tensor(x), weight=torch.tensor(w), **tensors)
    np.testing.assert_allclose(F.conv_transpose2d(input=x, weight=w, **names), expected.numpy(), rtol=0, atol=1e-12)


def test_image_without_a_batch_axis(torch, rng):
    assert_same_as_torch(torch, draw(rng, X[1:], W, B), stride=2)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stride": 2, "output_padding": 1},
        {"stride": (3,), "padding": (1,), "output_padding": (2,)},
        {"stride": [2], "padding": 2},
        {"dilation": (3,), "output_padding": [2]},
        {"groups": 3, "stride": 2},
    ],
    ids=str,
)
@pytest.mark.parametrize("with_bias", [True, False])
def test_options_of_conv_transpose1d_are_those_of_torch(torch, options, with_bias, rng):
    x, w, b = draw(rng, (2, 6, 9), (6, 3, 4), (3 * options.get("groups", 1),))
    assert_same_as_torch(torch, [x, w, b if with_bias else None], **options)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stride": 2, "output_padding": 1},
        {"stride": (1, 2, 3), "output_padding": (0, 1, 2)},
        {"stride": (2,), "padding": (1,), "output_padding": (1,)},
        {"padding": (0, 1, 2)},
        {"dilation": [1, 3, 2], "output_padding": [0, 2, 1]},
        {"groups": 2},
        {"stride": (2, 1, 2), "padding": (1, 0, 1), "output_padding": (1, 0, 0), "groups": 2, "dilation": (1, 2, 1)},
    ],
    ids=str,
)
@pytest.mark.parametrize("with_bias", [True, False])
def test_options_of_conv_transpose3d_are_those_of_torch(torch, options, with_bias, rng):
    x, w, b = draw(rng, (2, 4, 4, 5, 6), (4, 3, 3, 2, 4), (3 * options.get("groups", 1),))
    assert_same_as_torch(torch, [x, w, b if with_bias else None], **options)


@pytest.mark.parametrize("axes", [1, 3])
class TestOneAndThreeAxes:
    @pytest.fixture
    def arrays(self, axes, rng):
        return draw(rng, (2, 4, *(5, 4, 6)[:axes]), (4, 3, *(3, 2, 2)[:axes]), (6,))

    def test_arguments_by_position(self, torch, arrays):
        assert_same_as_torch(torch, arrays, 3, (1,), 1, 2, 1)

    def test_arguments_by_name(self, torch, axes, arrays):
        x, w, b = arrays
        options = {"stride": 2, "padding": 1, "output_padding": 1, "groups": 2, "dilation": 2}
        tensors = {"input": torch.tensor(x), "weight": torch.tensor(w), "bias": torch.tensor(b)}
        expected = getattr(torch.nn.functional, f"conv_transpose{axes}d")(**tensors, **options)
        y = conv_transpose(axes)(input=x, weight=w, bias=b, **options)
        np.testing.assert_allclose(y, expected.numpy(), rtol=0, atol=1e-12)

    def test_image_without_a_batch_axis(self, torch, arrays):
        x, w, b = arrays
        assert_same_as_torch(torch, [x[0], w, b], stride=2, groups=2)

    def test_empty_batch(self, axes, arrays):
        x, w, b = arrays
        y = conv_transpose(axes)(x[:0], w, b, groups=2)
        assert y.shape == (0, 6, *(7, 5, 7)[:axes])
        gx, gw, gb = getattr(F, f"conv_transpose{axes}d_backward")(y, x[:0], w, b, groups=2)
        assert gx.shape == x[:0].shape
        np.testing.assert_array_equal(gw, np.zeros(w.shape))
        np.testing.assert_array_equal(gb, np.zeros(6))

    def test_same_gives_as_many_elements_as_stride_times_input(self, axes, rng):
        x, w = draw(rng, (2, 4, *(5, 4, 6)[:axes]), (4, 3, *(3, 2, 4)[:axes]))
        y = conv_transpose(axes)(x, w, stride=2, padding="same")
        assert y.shape == (2, 3, *(10, 8, 12)[:axes])

    def test_out_is_filled_and_returned(self, axes, arrays):
        expected = conv_transpose(axes)(*arrays, groups=2)
        out = np.full_like(expected, np.nan)
        assert conv_transpose(axes)(*arrays, groups=2, out=out) is out
        np.testing.assert_array_equal(out, expected)

    def test_threads_do_not_change_bits(self, axes, dtype, data_format, rng):
        sizes = (700,) if axes == 1 else (8, 9, 10)
        x, w = rng.standard_normal((2, 32, *sizes)), rng.standard_normal((32, 24, *(4,) * axes))
        if data_format == "channels_last":
            x, w = np.moveaxis(x, 1, -1), np.moveaxis(w, (1, 0), (-2, -1))
        results = []
        for threads in (1, 2, 3):
            with fc.set_num_threads(threads):
                results.append(
                    conv_transpose(axes)(x.astype(dtype), w.astype(dtype), None, 2, 1, data_format=data_format)
                )
        assert_same_bits(results[0], results[1])
        assert_same_bits(results[0], results[2])

    def test_function_and_rule_are_named(self, axes):
        x, w = np.ones((1, 4, *(5,) * axes)), np.ones((4, 3, *(3,) * axes))
        name, weight = f"conv_transpose{axes}d", ", ".join(("kd", "kh", "kw")[3 - axes :])
        with pytest.raises(ValueError, match=rf"^{name}: weight must have shape \(4, c_out, {weight}\) for 4 input "):
            conv_transpose(axes)(x, w[:3])
        with pytest.raises(ValueError, match=rf"^{name}: output_padding must be smaller than stride or dilation, max"):
            conv_transpose(axes)(x, w, output_padding=1)
        with pytest.raises(ValueError, match=rf"^{name}: output_padding must be an integer or .*, got \(0, 0, 0, 0\)$"):
            conv_transpose(axes)(x, w, output_padding=(0,) * 4)
        with pytest.raises(ValueError, match=rf"^{name}_backward: grad_output must have shape .*, that of the output"):
            getattr(F, f"{name}_backward")(x, x, w)


@pytest.mark.parametrize("channels", [16, 33])
@pytest.mark.parametrize("padding", [0, 1, 2, 4])
def test_large_images_in_float32(torch, channels, padding, threads, rng):
    """Wide enough for Winograd: within its bound of float64."""
    x, w, b = draw(rng, (2, channels, 19, 23), (channels, 18, 3, 3), (18,))
    expected = torch.nn.functional.conv_transpose2d(*map(torch.tensor, (x, w, b)), padding=padding).numpy()
    sums = torch.nn.functional.conv_transpose2d(*map(torch.tensor, map(np.abs, (x, w, b))), padding=padding).numpy()
    arrays = [array.astype(np.float32) for array in (x, w, b)]
    rounded = torch.nn.functional.conv_transpose2d(
        *(torch.tensor(array).double() for array in arrays), padding=padding
    ).numpy()
    assert np.abs(rounded - expected).max() < 1e-4
    y = F.conv_transpose2d(*arrays, padding=padding)
    assert_within(y, rounded, error_bound(sums, 9 * channels + 1, np.float32, "auto"))


class TestKerasPadding:
    @pytest.mark.parametrize("stride", [1, 2, 3, 5])
    @pytest.mark.parametrize("kernel", [1, 2, 3, 4])
    def test_same_gives_as_many_pixels_as_stride_times_input(self, stride, kernel, data_format, rng):
        shape, weight = ((2, 4, 5, 3), (kernel, kernel, 2, 3))
        if data_format == "channels_first":
            shape, weight = (2, 3, 4, 5), (3, 2, kernel, kernel)
        x, w = small_integers(rng, shape), small_integers(rng, weight)
        y = F.conv_transpose2d(x, w, stride=stride, padding="same", data_format=data_format)
        expected = reference.conv_transpose2d(x, w, stride=stride, padding="same", data_format=data_format)
        pixels = y.shape[1:3] if data_format == "channels_last" else y.shape[2:]
        assert pixels == (4 * stride, 5 * stride)
        np.testing.assert_array_equal(y, expected)

    def test_valid_is_no_padding(self, rng):
        x, w = draw(rng, X, W)
        assert_same_bits(F.conv_transpose2d(x, w, stride=2, padding="valid"), F.conv_transpose2d(x, w, stride=2))


class TestDegenerateSizes:
    def test_no_input_channels_give_the_bias(self, isa, dtype):
        y = F.conv_transpose2d(np.ones((1, 0, 2, 2), dtype), np.ones((0, 3, 2, 2), dtype), np.arange(3, dtype=dtype))
        np.testing.assert_array_equal(y, np.broadcast_to(np.arange(3).reshape(1, 3, 1, 1), (1, 3, 3, 3)))

    def test_empty_batch(self, isa, dtype):
        x, w = np.ones((0, 2, 4, 5), dtype), np.ones((2, 3, 3, 3), dtype)
        assert F.conv_transpose2d(x, w, stride=2).shape == (0, 3, 9, 11)
        gx, gw, gb = F.conv_transpose2d_backward(np.ones((0, 3, 9, 11), dtype), x, w, np.ones(3, dtype), stride=2)
        assert gx.shape == x.shape
        np.testing.assert_array_equal(gw, np.zeros(w.shape))
        np.testing.assert_array_equal(gb, np.zeros(3))

    def test_pixels_that_no_kernel_reaches_have_the_bias(self, isa, threads, dtype, data_format):
        w = np.ones((2, 1, 1, 1), dtype) if data_format == "channels_first" else np.ones((1, 1, 1, 2), dtype)
        x = np.ones((1, 2, 3, 3) if data_format == "channels_first" else (1, 3, 3, 2), dtype)
        y = F.conv_transpose2d(x, w, np.array([5], dtype), 3, 0, 2, data_format=data_format)
        expected = np.full((9, 9), 5.0)
        expected[::3, ::3] = 7
        np.testing.assert_array_equal(y.reshape(9, 9), expected)


class TestValues:
    def test_threads_do_not_change_bits(self, dtype, data_format, rng):
        x, w = (rng.standard_normal(shape).astype(dtype) for shape in ((3, 40, 33, 40), (40, 4, 4, 40)))
        if data_format == "channels_last":
            w = np.ascontiguousarray(w.transpose(1, 2, 0, 3))
        results = []
        for threads in (1, 2, 3):
            with fc.set_num_threads(threads):
                results.append(F.conv_transpose2d(x, w, None, 2, 1, 1, data_format=data_format))
        assert_same_bits(results[0], results[1])
        assert_same_bits(results[0], results[2])

    def test_inputs_are_unchanged(self, dtype, rng):
        arrays = [rng.standard_normal(shape).astype(dtype) for shape in (X, W, B)]
        copies = [array.copy() for array in arrays]
        gy = np.ones_like(F.conv_transpose2d(*arrays, stride=2))
        F.conv_transpose2d_backward(gy, *arrays, stride=2)
        for array, copy in zip(arrays, copies, strict=True):
            assert_same_bits(array, copy)

    def test_out_is_filled_and_returned(self, dtype, rng):
        x, w = small_integers(rng, X, dtype), small_integers(rng, W, dtype)
        out = np.full((2, 3, 7, 5), np.nan, dtype)
        assert F.conv_transpose2d(x, w, out=out) is out
        np.testing.assert_array_equal(out, reference.conv_transpose2d(x, w))

    @pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh"])
    @pytest.mark.parametrize("stride", [1, 2])
    def test_fused_activation_is_that_of_the_result(self, stride, activation, isa, threads, dtype, data_format, rng):
        x, w, b = rng.standard_normal((2, 9, 8, 5)), rng.standard_normal((3, 3, 37, 5)) / 8, rng.standard_normal(37)
        arrays = image_as(x, data_format, dtype), weight_as(w, data_format, dtype), b.astype(dtype)
        y = F.conv_transpose2d(*arrays, stride, data_format=data_format, activation=activation)
        plain = F.conv_transpose2d(*arrays, stride, data_format=data_format)
        assert_same_bits(y, getattr(F, activation)(plain))

    def test_out_may_be_the_input(self, rng):
        x, w = small_integers(rng, (1, 2, 4, 4)), small_integers(rng, (2, 2, 1, 1))
        expected = reference.conv_transpose2d(x, w)
        np.testing.assert_array_equal(F.conv_transpose2d(x, w, out=x), expected)

    @pytest.mark.parametrize(("codes", "result"), [("f4 f8 f4", "f8"), ("f2 f2 f2", "f2"), ("i1 u1 ?", "f4")])
    def test_result_has_the_promoted_dtype(self, codes, result, rng):
        shapes = ((2, 4, 4, 3), (4, 2, 2, 2), (2,))
        arrays = [rng.integers(0, 2, shape).astype(code) for shape, code in zip(shapes, codes.split(), strict=True)]
        y = F.conv_transpose2d(*arrays, stride=2)
        assert y.dtype == result
        np.testing.assert_array_equal(y, reference.conv_transpose2d(*arrays, stride=2))
        for gradient in F.conv_transpose2d_backward(np.ones(y.shape, codes[:2]), *arrays, stride=2):
            assert gradient.dtype == result

    @pytest.mark.parametrize("needs", [(), "input", ("weight", "bias"), ["bias"]])
    def test_gradients_that_are_not_needed_are_none(self, needs, rng):
        x, w, b = (small_integers(rng, shape) for shape in (X, W, B))
        gy = small_integers(rng, (2, 3, 7, 5))
        wanted = {needs} if isinstance(needs, str) else set(needs)
        expected = reference.conv_transpose2d_backward(gy, x, w, b)
        gradients = F.conv_transpose2d_backward(gy, x, w, b, needs=needs)
        for name, gradient, value in zip(("input", "weight", "bias"), gradients, expected, strict=True):
            if name in wanted:
                np.testing.assert_array_equal(gradient, value)
            else:
                assert gradient is None

    def test_no_array_is_made_that_grows_with_the_square_of_the_stride(self):
        """A zero-stuffed input would have 10,000 times the elements of the input."""
        from fastconv import _core

        _core.scratch_trim()
        F.conv_transpose2d(np.ones((1, 8, 20, 20), np.float32), np.ones((8, 1, 2, 2), np.float32), stride=100)
        assert _core.scratch_bytes() < 1 << 23
