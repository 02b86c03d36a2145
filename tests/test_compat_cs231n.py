"""The layers of CS231n: against loops over their formulas, and gradients against differences."""

# ruff: noqa: NPY002 (dropout draws from the legacy stream, as the course does)

import copy
import importlib
import math

import cs231n_loops as loops
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastconv.compat import cs231n
from fastconv.testing import check_gradient

DTYPES = [(np.float64, np.float64), (np.float64, np.float32), (np.float32, np.float64), (np.float32, np.float32)]
LAYOUTS = ["C", "F", "strided", "reversed"]
TRAIN, TEST = {"mode": "train"}, {"mode": "test"}


def arranged(array, layout):
    """The same numbers with other strides."""
    if layout == "strided":
        wide = np.full((*array.shape[:-1], 2 * array.shape[-1]), np.nan, array.dtype)
        wide[..., ::2] = array
        return wide[..., ::2]
    if layout == "reversed":
        return array[::-1].copy()[::-1]
    return np.array(array, order=layout)


def draw(seed, layout, *shapes_and_dtypes):
    """Normally distributed arrays of these shapes and dtypes."""
    rng = np.random.default_rng(seed)
    return [arranged(rng.standard_normal(shape).astype(dtype), layout) for shape, dtype in shapes_and_dtypes]


def assert_near(actual, expected, dtype):
    """The course's measure, at most 1e-8 in float64; in float32 a few roundings of the largest number."""
    expected = np.asarray(expected)
    assert actual.dtype == dtype
    assert actual.shape == expected.shape
    if expected.size == 0:
        return
    error, size = np.abs(actual - expected), np.abs(actual) + np.abs(expected)
    if dtype == np.float64:
        assert (error / np.maximum(size, 1e-8)).max() <= 1e-8
    else:
        assert error.max() <= 100 * np.finfo(np.float32).eps * max(1, size.max())


def check_differences(forward, backward, arrays, *params):
    """Gradients against differences; each call gets fresh dicts."""

    def value(*arguments):
        return forward(*arguments, *copy.deepcopy(params))[0]

    def gradient(dout, *arguments):
        return backward(dout, forward(*arguments, *copy.deepcopy(params))[1])

    check_gradient(value, tuple(arrays), backward=gradient)


@st.composite
def images(draw):
    """Shapes of images and filters, where windows fit; dtypes and a layout."""
    n, c, h, w = (draw(st.integers(low, high)) for low, high in ((1, 3), (1, 3), (1, 7), (1, 7)))
    stride, pad = draw(st.integers(1, 4)), draw(st.integers(0, 2))
    fields = [draw(st.integers(1, size + 2 * pad)) for size in (h, w)]
    return {
        "shape": (n, c, h, w),
        "fields": fields,
        "filters": draw(st.integers(1, 5)),
        "stride": stride,
        "pad": pad,
        "dtypes": draw(st.sampled_from(DTYPES)),
        "layout": draw(st.sampled_from(LAYOUTS)),
        "seed": draw(st.integers(0, 99)),
    }


class TestConvolution:
    @settings(max_examples=150)
    @given(case=images())
    @pytest.mark.parametrize("variant", ["fast", "strides"])
    def test_matches_loops(self, variant, case):
        forward, backward = (getattr(cs231n, f"conv_{way}_{variant}") for way in ("forward", "backward"))
        first, second = case["dtypes"]
        w_shape = (case["filters"], case["shape"][1], *case["fields"])
        x, w, b = draw(
            case["seed"], case["layout"], (case["shape"], first), (w_shape, second), (case["filters"], second)
        )
        param = {"stride": case["stride"], "pad": case["pad"]}
        dtype = np.result_type(x, w)
        expected = loops.conv(x, w, b, **param)
        out, cache = forward(x, w, b, param)
        assert_near(out, expected, dtype)
        (dout,) = draw(1, case["layout"], (out.shape, first))
        for actual, gradient in zip(backward(dout, cache), loops.conv_backward(dout, x, w, **param), strict=True):
            assert_near(actual, gradient, dtype)

    def test_of_the_course_s_own_shapes_is_exact_to_1e_8(self, rng):
        x, w, b = rng.standard_normal((5, 3, 31, 31)), rng.standard_normal((25, 3, 3, 3)), rng.standard_normal(25)
        param = {"stride": 2, "pad": 1}
        out, cache = cs231n.conv_forward_fast(x, w, b, param)
        assert_near(out, loops.conv(x, w, b, **param), np.float64)
        dout = rng.standard_normal(out.shape)
        for actual, gradient in zip(
            cs231n.conv_backward_fast(dout, cache), loops.conv_backward(dout, x, w, **param), strict=True
        ):
            assert_near(actual, gradient, np.float64)

    def test_im2col_takes_windows_that_fill_the_image(self, rng):
        x, w, b = rng.standard_normal((2, 3, 7, 5)), rng.standard_normal((4, 3, 3, 1)), rng.standard_normal(4)
        param = {"stride": 2, "pad": 1}
        out, cache = cs231n.conv_forward_im2col(x, w, b, param)
        assert_near(out, loops.conv(x, w, b, **param), np.float64)
        dout = rng.standard_normal(out.shape)
        for actual, gradient in zip(
            cs231n.conv_backward_im2col(dout, cache), loops.conv_backward(dout, x, w, **param), strict=True
        ):
            assert_near(actual, gradient, np.float64)

    def test_gradients_are_those_of_differences(self, rng):
        arrays = [rng.standard_normal(shape) for shape in ((2, 3, 7, 6), (4, 3, 3, 2), 4)]
        check_differences(cs231n.conv_forward_fast, cs231n.conv_backward_fast, arrays, {"stride": 2, "pad": 1})

    def test_weights_may_change_in_place_between_calls(self, rng):
        x, w, b = rng.standard_normal((2, 3, 7, 7)), rng.standard_normal((4, 3, 3, 3)), rng.standard_normal(4)
        param = {"stride": 1, "pad": 1}
        cs231n.conv_forward_fast(x, w, b, param)
        w -= 0.1 * rng.standard_normal(w.shape)
        assert_near(cs231n.conv_forward_fast(x, w, b, param)[0], loops.conv(x, w, b, **param), np.float64)

    def test_inputs_stay_as_they_are(self, rng):
        arrays = [rng.standard_normal(shape) for shape in ((2, 3, 7, 6), (4, 3, 3, 2), 4)]
        before, param = copy.deepcopy(arrays), {"stride": 2, "pad": 1}
        out, cache = cs231n.conv_forward_fast(*arrays, param)
        cs231n.conv_backward_fast(out, cache)
        for array, copied in zip(arrays, before, strict=True):
            np.testing.assert_array_equal(array, copied)
        assert param == {"stride": 2, "pad": 1}


class TestMaxPooling:
    @settings(max_examples=150)
    @given(case=images(), ties=st.booleans())
    @pytest.mark.parametrize("variant", ["fast", "im2col"])
    def test_matches_loops(self, variant, case, ties):
        forward, backward = (getattr(cs231n, f"max_pool_{way}_{variant}") for way in ("forward", "backward"))
        first, second = case["dtypes"]
        (x,) = draw(case["seed"], case["layout"], (case["shape"], first))
        if ties:
            x = arranged(np.rint(x), case["layout"])
        fields = [min(field, size) for field, size in zip(case["fields"], x.shape[2:], strict=True)]
        param = {"pool_height": fields[0], "pool_width": fields[1], "stride": case["stride"]}
        out, cache = forward(x, param)
        expected = loops.pool(x, fields, case["stride"])
        np.testing.assert_array_equal(out, expected)
        assert out.dtype == first
        (dout,) = draw(1, case["layout"], (out.shape, second))
        dx = backward(dout, cache)
        assert_near(dx, loops.pool(x, fields, case["stride"], dout), np.result_type(x, dout))

    def test_reshape_takes_square_tiles(self, rng):
        x, param = rng.standard_normal((2, 3, 6, 9)), {"pool_height": 3, "pool_width": 3, "stride": 3}
        out, cache = cs231n.max_pool_forward_reshape(x, param)
        np.testing.assert_array_equal(out, loops.pool(x, (3, 3), 3))
        dout = rng.standard_normal(out.shape)
        np.testing.assert_array_equal(cs231n.max_pool_backward_reshape(dout, cache), loops.pool(x, (3, 3), 3, dout))

    def test_nan_wins_and_gets_the_gradient(self):
        x = np.arange(16.0).reshape(1, 1, 4, 4)
        x[0, 0, 0, 1] = np.nan
        out, cache = cs231n.max_pool_forward_fast(x, {"pool_height": 2, "pool_width": 2, "stride": 2})
        np.testing.assert_array_equal(out[0, 0], [[np.nan, 7], [13, 15]])
        dx = cs231n.max_pool_backward_fast(np.ones_like(out), cache)
        expected = np.zeros((4, 4))
        expected[[0, 1, 3, 3], [1, 3, 1, 3]] = 1
        np.testing.assert_array_equal(dx[0, 0], expected)

    def test_first_of_equal_maxima_gets_the_gradient(self):
        out, cache = cs231n.max_pool_forward_fast(
            np.zeros((1, 1, 2, 2)), {"pool_height": 2, "pool_width": 2, "stride": 2}
        )
        np.testing.assert_array_equal(cs231n.max_pool_backward_fast(np.ones_like(out), cache)[0, 0], [[1, 0], [0, 0]])

    @pytest.mark.parametrize("fields", [(2, 2), (3, 2)])
    def test_gradients_are_those_of_differences(self, rng, fields):
        x = rng.permutation(2 * 3 * 7 * 6).reshape(2, 3, 7, 6).astype(np.float64)
        param = {"pool_height": fields[0], "pool_width": fields[1], "stride": 2}
        check_differences(cs231n.max_pool_forward_fast, cs231n.max_pool_backward_fast, [x], param)


class TestColumns:
    @settings(max_examples=150)
    @given(case=images())
    def test_cython_names_match_loops(self, case):
        dtype, fields, stride, pad = case["dtypes"][0], case["fields"], case["stride"], case["pad"]
        (x,) = draw(case["seed"], case["layout"], (case["shape"], dtype))
        cols = cs231n.im2col_cython(x, *fields, pad, stride)
        assert cols.dtype == dtype
        np.testing.assert_array_equal(cols, loops.im2col(x, fields, stride, pad))
        (numbers,) = draw(1, case["layout"], (cols.shape, dtype))
        expected = loops.col2im(numbers, x.shape, fields, stride, pad)
        assert_near(cs231n.col2im_cython(numbers, *x.shape, *fields, pad, stride), expected, dtype)
        n, c = x.shape[:2]
        six = numbers.reshape(c, *fields, *loops.output_shape(x.shape[2:], fields, stride, pad), n).transpose(
            0, 1, 2, 5, 3, 4
        )
        assert_near(cs231n.col2im_6d_cython(six, *x.shape, *fields, pad, stride), expected, dtype)

    @pytest.mark.parametrize(("fields", "stride", "pad"), [((3, 3), 2, 1), ((2, 4), 1, 0), ((5, 1), 2, 0)])
    def test_indices_names_match_loops(self, rng, fields, stride, pad):
        x = rng.standard_normal((2, 3, 7, 7))
        expected = loops.im2col(x, fields, stride, pad)
        np.testing.assert_array_equal(cs231n.im2col_indices(x, *fields, pad, stride), expected)
        k, i, j = cs231n.get_im2col_indices(x.shape, *fields, pad, stride)
        assert k.shape == (3 * math.prod(fields), 1)
        picked = loops.padded(x, pad)[:, k, i, j]
        np.testing.assert_array_equal(picked.transpose(1, 2, 0).reshape(expected.shape), expected)
        numbers = rng.standard_normal(expected.shape)
        images = cs231n.col2im_indices(numbers, x.shape, *fields, pad, stride)
        assert_near(images, loops.col2im(numbers, x.shape, fields, stride, pad), np.float64)

    def test_defaults_are_3x3_with_padding_1_and_stride_1(self, rng):
        x = rng.standard_normal((2, 3, 5, 4))
        cols = cs231n.im2col_indices(x, 3, 3)
        np.testing.assert_array_equal(cols, loops.im2col(x, (3, 3), 1, 1))
        assert_near(cs231n.col2im_indices(cols, x.shape), loops.col2im(cols, x.shape, (3, 3), 1, 1), np.float64)
        assert cs231n.get_im2col_indices(x.shape, 3, 3)[1].shape == cols[:, ::2].shape


@pytest.mark.parametrize("dtypes", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
class TestPlainLayers:
    def test_affine_matches_loops(self, dtypes, layout):
        x, w, b = draw(2, layout, ((3, 2, 5), dtypes[0]), ((10, 4), dtypes[1]), (4, dtypes[1]))
        dtype = np.result_type(*dtypes)
        out, cache = cs231n.affine_forward(x, w, b)
        assert_near(out, loops.affine(x, w, b), dtype)
        (dout,) = draw(3, layout, (out.shape, dtypes[0]))
        dx, dw, db = cs231n.affine_backward(dout, cache)
        assert_near(dx, loops.affine(dout, w.T, np.zeros(10)).reshape(x.shape), dtype)
        assert_near(dw, loops.affine(x.reshape(3, 10).T, dout, np.zeros(4)), dtype)
        assert_near(db, loops.affine(np.ones((1, 3)), dout, np.zeros(4))[0], dtype)

    def test_relu_matches_loops(self, dtypes, layout):
        x, dout = draw(4, layout, ((3, 4, 5), dtypes[0]), ((3, 4, 5), dtypes[1]))
        out, cache = cs231n.relu_forward(x)
        dx = cs231n.relu_backward(dout, cache)
        assert (out.dtype, dx.dtype) == (dtypes[0], np.result_type(*dtypes))
        for index in np.ndindex(x.shape):
            assert out[index] == max(x[index], 0)
            assert dx[index] == (dout[index] if x[index] > 0 else 0)

    @pytest.mark.parametrize(("loss", "naive"), [(cs231n.svm_loss, loops.svm), (cs231n.softmax_loss, loops.softmax)])
    def test_losses_match_loops(self, dtypes, layout, loss, naive):
        (x,) = draw(5, layout, ((6, 4), dtypes[0]))
        y = np.array([0, 3, 1, 1, 2, 0], np.uint8)
        value, dx = loss(x, y)
        expected, gradient = naive(x, y)
        assert_near(value, expected, dtypes[0])
        assert_near(dx, gradient, dtypes[0])

    @pytest.mark.parametrize("spatial", [False, True])
    def test_batch_normalization_matches_loops(self, dtypes, layout, spatial):
        shape = (4, 3, 2, 5) if spatial else (6, 3)
        x, gamma, beta = draw(6, layout, (shape, dtypes[0]), (3, dtypes[1]), (3, dtypes[1]))
        forward = cs231n.spatial_batchnorm_forward if spatial else cs231n.batchnorm_forward
        before = np.array([1.0, 2.0, 3.0])
        bn_param = {"mode": "train", "eps": 0.01, "momentum": 0.75, "running_mean": before, "running_var": before}
        dtype = np.result_type(*dtypes)
        scale, shift = gamma.tolist(), beta.tolist()
        out, _ = forward(x, gamma, beta, bn_param)
        for c in range(3):
            values = np.asarray(x[:, c], np.float64)
            assert_near(out[:, c], scale[c] * loops.normalize(values, 0.01) + shift[c], dtype)
            for name, statistic in (("running_mean", values.mean()), ("running_var", values.var())):
                assert bn_param[name][c] == pytest.approx(0.75 * before[c] + 0.25 * statistic, rel=1e-6)
        np.testing.assert_array_equal(before, [1, 2, 3])
        bn_param["mode"] = "test"
        out, _ = forward(x, gamma, beta, bn_param)
        for c in range(3):
            deviation = math.sqrt(bn_param["running_var"][c] + 0.01)
            expected = scale[c] / deviation * (x[:, c] - bn_param["running_mean"][c]) + shift[c]
            assert_near(out[:, c], expected, dtype)

    def test_layer_normalization_matches_loops(self, dtypes, layout):
        x, gamma, beta = draw(7, layout, ((4, 6), dtypes[0]), (6, dtypes[1]), (6, dtypes[1]))
        out, _ = cs231n.layernorm_forward(x, gamma, beta, {"eps": 0.01})
        for n in range(4):
            assert_near(out[n], gamma * loops.normalize(x[n], 0.01) + beta, np.result_type(*dtypes))

    @pytest.mark.parametrize("parameters_shape", [(1, 6, 1, 1), (6,)])
    def test_group_normalization_matches_loops(self, dtypes, layout, parameters_shape):
        x, gamma, beta = draw(
            8, layout, ((2, 6, 4, 3), dtypes[0]), (parameters_shape, dtypes[1]), (parameters_shape, dtypes[1])
        )
        out, cache = cs231n.spatial_groupnorm_forward(x, gamma, beta, 3, {"eps": 0.01})
        scale, shift = gamma.reshape(6, 1, 1), beta.reshape(6, 1, 1)
        for n in range(2):
            for group in (slice(0, 2), slice(2, 4), slice(4, 6)):
                expected = scale[group] * loops.normalize(x[n, group], 0.01) + shift[group]
                assert_near(out[n, group], expected, np.result_type(*dtypes))
        _, dgamma, dbeta = cs231n.spatial_groupnorm_backward(out, cache)
        assert dgamma.shape == dbeta.shape == parameters_shape

    def test_dropout_matches_loops(self, dtypes, layout):
        x, dout = draw(9, layout, ((4, 5, 6), dtypes[0]), ((4, 5, 6), dtypes[1]))
        out, cache = cs231n.dropout_forward(x, {"p": 0.75, "mode": "train", "seed": 12})
        dx = cs231n.dropout_backward(dout, cache)
        assert (out.dtype, dx.dtype) == dtypes
        numbers = np.random.RandomState(12)
        for index in np.ndindex(x.shape):
            kept = numbers.rand() < 0.75
            assert out[index] == pytest.approx(x[index] / 0.75 if kept else 0, rel=1e-6)
            assert dx[index] == pytest.approx(dout[index] / 0.75 if kept else 0, rel=1e-6)
        out, cache = cs231n.dropout_forward(x, {"p": 0.75, "mode": "test"})
        np.testing.assert_array_equal(out, x)
        np.testing.assert_array_equal(cs231n.dropout_backward(dout, cache), dout)


class TestGradientsOfPlainLayers:
    def test_affine(self, rng):
        check_differences(
            cs231n.affine_forward, cs231n.affine_backward, [rng.standard_normal(s) for s in ((3, 2, 5), (10, 4), 4)]
        )

    @pytest.mark.parametrize("backward", [cs231n.batchnorm_backward, cs231n.batchnorm_backward_alt])
    @pytest.mark.parametrize("bn_param", [TRAIN, {**TEST, "running_mean": np.ones(5), "running_var": np.full(5, 3.0)}])
    def test_batchnorm(self, rng, backward, bn_param):
        check_differences(
            cs231n.batchnorm_forward, backward, [rng.standard_normal(s) for s in ((4, 5), 5, 5)], bn_param
        )

    def test_spatial_batchnorm(self, rng):
        arrays = [rng.standard_normal(s) for s in ((2, 3, 4, 5), 3, 3)]
        check_differences(cs231n.spatial_batchnorm_forward, cs231n.spatial_batchnorm_backward, arrays, TRAIN)

    def test_layernorm(self, rng):
        arrays = [rng.standard_normal(s) for s in ((4, 5), 5, 5)]
        check_differences(cs231n.layernorm_forward, cs231n.layernorm_backward, arrays, {})

    def test_spatial_groupnorm(self, rng):
        arrays = [rng.standard_normal(s) for s in ((2, 6, 3, 4), (1, 6, 1, 1), (1, 6, 1, 1))]
        check_differences(cs231n.spatial_groupnorm_forward, cs231n.spatial_groupnorm_backward, arrays, 2, {})

    def test_dropout(self, rng):
        dropout_param = {"p": 0.6, "mode": "train", "seed": 3}
        check_differences(cs231n.dropout_forward, cs231n.dropout_backward, [rng.standard_normal((5, 6))], dropout_param)


class TestBatchNormalizationStatistics:
    def test_first_call_starts_from_zeros_and_each_stores_new_arrays(self, rng):
        x, bn_param = rng.standard_normal((8, 3)), {"mode": "train"}
        cs231n.batchnorm_forward(x, np.ones(3), np.zeros(3), bn_param)
        first = bn_param["running_mean"]
        np.testing.assert_allclose(first, 0.1 * x.mean(axis=0))
        np.testing.assert_allclose(bn_param["running_var"], 0.1 * x.var(axis=0))
        cs231n.batchnorm_forward(x, np.ones(3), np.zeros(3), bn_param)
        np.testing.assert_allclose(first, 0.1 * x.mean(axis=0))
        np.testing.assert_allclose(bn_param["running_mean"], 0.19 * x.mean(axis=0))

    def test_single_value_has_variance_0(self):
        bn_param = {"mode": "train"}
        out, cache = cs231n.batchnorm_forward(np.array([[5.0, 7.0]]), np.ones(2), np.array([1.0, 2.0]), bn_param)
        np.testing.assert_array_equal(out, [[1, 2]])
        np.testing.assert_allclose(bn_param["running_mean"], [0.5, 0.7])
        np.testing.assert_array_equal(bn_param["running_var"], [0, 0])
        dx, dgamma, dbeta = cs231n.batchnorm_backward(np.array([[3.0, 4.0]]), cache)
        np.testing.assert_array_equal([dx[0], dgamma, dbeta], [[0, 0], [0, 0], [3, 4]])

    def test_keep_their_dtype(self, rng):
        bn_param = {"mode": "train", "running_mean": np.zeros(3, np.float32), "running_var": [0, 0, 0]}
        cs231n.batchnorm_forward(rng.standard_normal((8, 3)), np.ones(3), np.zeros(3), bn_param)
        assert bn_param["running_mean"].dtype == np.float32
        assert bn_param["running_var"].dtype == np.float64
        assert bn_param["running_var"].all()

    def test_mode_of_layernorm_and_groupnorm_changes_nothing(self, rng):
        x, ones = rng.standard_normal((4, 6)), np.ones(6)
        plain = cs231n.layernorm_forward(x, ones, ones, {})[0]
        np.testing.assert_array_equal(cs231n.layernorm_forward(x, ones, ones, TEST)[0], plain)
        x = x.reshape(2, 6, 2, 1)
        plain = cs231n.spatial_groupnorm_forward(x, ones, ones, 2, {})[0]
        np.testing.assert_array_equal(cs231n.spatial_groupnorm_forward(x, ones, ones, 2, TRAIN)[0], plain)


class TestDropoutNumbers:
    def test_without_a_seed_come_from_the_global_stream(self):
        state = np.random.get_state()
        try:
            np.random.seed(7)
            out, _ = cs231n.dropout_forward(np.ones((3, 4)), {"p": 0.5, "mode": "train"})
            np.random.seed(7)
            np.testing.assert_array_equal(out != 0, np.random.rand(3, 4) < 0.5)
        finally:
            np.random.set_state(state)

    def test_a_seed_leaves_the_global_stream_alone(self):
        before = np.random.get_state()[1].copy()
        cs231n.dropout_forward(np.ones((3, 4)), {"p": 0.5, "mode": "train", "seed": 7})
        np.testing.assert_array_equal(np.random.get_state()[1], before)

    def test_p_is_the_share_that_is_kept(self):
        out, _ = cs231n.dropout_forward(np.ones(10000), {"p": 0.9, "mode": "train", "seed": 1})
        assert 0.88 < np.count_nonzero(out) / out.size < 0.92
        np.testing.assert_array_equal(cs231n.dropout_forward(np.ones(9), {"p": 1, "mode": "train"})[0], np.ones(9))


CONV, POOL = {"stride": 1, "pad": 1}, {"pool_height": 2, "pool_width": 2, "stride": 2}


class TestSandwiches:
    """Each against the layers that it is made of, and against differences."""

    @pytest.fixture
    def conv(self, rng):
        return [rng.standard_normal(shape) for shape in ((2, 3, 6, 8), (4, 3, 3, 3), 4)]

    def assert_all_near(self, actual, expected, dtype=np.float64):
        for one, other in zip(actual, expected, strict=True):
            assert_near(one, other, dtype)

    @pytest.mark.parametrize("dtypes", DTYPES)
    @pytest.mark.parametrize("layout", LAYOUTS)
    def test_affine_relu(self, dtypes, layout):
        arrays = draw(1, layout, ((3, 2, 5), dtypes[0]), ((10, 4), dtypes[1]), (4, dtypes[1]))
        out, cache = cs231n.affine_relu_forward(*arrays)
        a, affine_cache = cs231n.affine_forward(*arrays)
        assert_near(out, np.where(a > 0, a, 0), np.result_type(*dtypes))
        dout = np.ones_like(out)
        expected = cs231n.affine_backward(np.where(a > 0, dout, 0).astype(a.dtype), affine_cache)
        self.assert_all_near(cs231n.affine_relu_backward(dout, cache), expected, np.result_type(*dtypes))

    @pytest.mark.parametrize("dtypes", DTYPES)
    @pytest.mark.parametrize("layout", LAYOUTS)
    def test_conv_relu_and_pool(self, dtypes, layout):
        x, w, b = draw(1, layout, ((2, 3, 6, 8), dtypes[0]), ((4, 3, 3, 3), dtypes[1]), (4, dtypes[1]))
        a, dtype = loops.conv(x, w, b, **CONV), np.result_type(*dtypes)
        rectified = np.where(a > 0, a, 0)
        out, cache = cs231n.conv_relu_forward(x, w, b, CONV)
        assert_near(out, rectified, dtype)
        (dout,) = draw(2, layout, (a.shape, dtypes[1]))
        expected = loops.conv_backward(np.where(a > 0, dout, 0), x, w, **CONV)
        self.assert_all_near(cs231n.conv_relu_backward(dout, cache), expected, dtype)
        out, cache = cs231n.conv_relu_pool_forward(x, w, b, CONV, POOL)
        assert_near(out, loops.pool(rectified, (2, 2), 2), dtype)
        dout = dout[:, :, ::2, ::2]
        expected = loops.conv_backward(loops.pool(rectified, (2, 2), 2, dout) * (a > 0), x, w, **CONV)
        self.assert_all_near(cs231n.conv_relu_pool_backward(dout, cache), expected, dtype)

    def test_conv_bn_relu_is_its_layers(self, conv, rng):
        gamma, beta = rng.standard_normal((2, 4))
        fused, plain = {"mode": "train"}, {"mode": "train"}
        out, cache = cs231n.conv_bn_relu_forward(*conv, gamma, beta, CONV, fused)
        a, conv_cache = cs231n.conv_forward_fast(*conv, CONV)
        normalized, bn_cache = cs231n.spatial_batchnorm_forward(a, gamma, beta, plain)
        assert_near(out, np.where(normalized > 0, normalized, 0), np.float64)
        np.testing.assert_array_equal(fused["running_var"], plain["running_var"])
        dout = rng.standard_normal(out.shape)
        da, dgamma, dbeta = cs231n.spatial_batchnorm_backward(np.where(normalized > 0, dout, 0), bn_cache)
        expected = (*cs231n.conv_backward_fast(da, conv_cache), dgamma, dbeta)
        self.assert_all_near(cs231n.conv_bn_relu_backward(dout, cache), expected)

    def test_gradients_are_those_of_differences(self, conv, rng):
        check_differences(
            cs231n.affine_relu_forward,
            cs231n.affine_relu_backward,
            [rng.standard_normal(s) for s in ((3, 5), (5, 4), 4)],
        )
        check_differences(cs231n.conv_relu_forward, cs231n.conv_relu_backward, conv, CONV)
        check_differences(cs231n.conv_relu_pool_forward, cs231n.conv_relu_pool_backward, conv, CONV, POOL)
        arrays = [*conv, *rng.standard_normal((2, 4))]
        check_differences(cs231n.conv_bn_relu_forward, cs231n.conv_bn_relu_backward, arrays, CONV, TRAIN)

    def test_caches_serve_a_network_s_own_sandwich(self, conv, rng):
        """Parts of a cache fit the single layers, as in networks that take them apart."""
        out, (conv_cache, relu_cache) = cs231n.conv_relu_forward(*conv, CONV)
        dout = rng.standard_normal(out.shape)
        expected = cs231n.conv_backward_fast(cs231n.relu_backward(dout, relu_cache), conv_cache)
        self.assert_all_near(cs231n.conv_relu_backward(dout, (conv_cache, relu_cache)), expected)
        x, w, b, conv_param = conv_cache
        assert x is conv[0]
        assert w is conv[1]
        assert b is conv[2]
        assert conv_param == CONV


@pytest.mark.parametrize("module", ["", ".fast_layers", ".layers", ".layer_utils", ".im2col"])
def test_star_imports_the_names_of_the_course_s_files(module):
    namespace = {}
    exec(f"from fastconv.compat.cs231n{module} import *", namespace)
    names = namespace.keys() - {"__builtins__"}
    assert names == set(importlib.import_module(f"fastconv.compat.cs231n{module}").__all__)
    assert names <= set(cs231n.__all__)
    assert len(names) > 5
