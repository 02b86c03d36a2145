"""What calls leave for the next with the same arguments: bounded, and never seen in a result or an error."""

import numpy as np
import pytest

import fastconv as fc
import fastconv.functional as F
from fastconv import _core
from fastconv.functional import _algorithms

RNG = np.random.default_rng(0)
X, W, B = (RNG.standard_normal(shape).astype(np.float32) for shape in ((2, 3, 9, 8), (4, 3, 3, 2), (4,)))


def conv(x=X, w=W, b=B, **options):
    """A convolution whose shapes have been met before."""
    F.conv2d(X, W, B, **{name: 1 if name == "stride" else value for name, value in options.items() if name != "out"})
    return F.conv2d(x, w, b, **options)


class TestPlans:
    def test_the_number_kept_is_bounded(self):
        plans = _core.Plans(3)
        for size in range(10):
            plans.keep(size, ("name",), np.empty(size))
        assert len(plans) == 3
        assert [plans.find(("name",), np.empty(size)) for size in (6, 7, 8, 9)] == [None, 7, 8, 9]

    def test_arguments_that_are_only_equal_find_nothing(self):
        plans = _core.Plans(3)
        plans.keep("kept", ("name", 1, (1, 1)), X)
        for arguments in (("name", 1.0, (1, 1)), ("name", 1, (1, 1.0)), ("name", 1, [1, 1]), ("name", np.int64(1), 1)):
            assert plans.find(arguments, X) is None
        assert plans.find(("name", 1, (1, 1)), X) == "kept"

    def test_what_is_no_array_finds_and_leaves_nothing(self):
        plans = _core.Plans(3)
        for given in ([1, 2], np.float32(1), X.view(np.memmap)):
            plans.keep("kept", ("name",), given)
            assert plans.find(("name",), given) is None
        assert len(plans) == 0

    def test_convolutions_of_many_shapes_keep_a_bounded_number(self):
        for size in range(3, 1300):
            F.linear(np.ones((size, 1), np.float32), np.ones((1, 1), np.float32))
        assert len(_algorithms.plans) <= 1024


class TestConvolutionMetBefore:
    def test_nothing_is_worked_out_again(self, monkeypatch):
        gy = conv()
        F.conv2d_backward(gy, X, W, B)
        for name in ("conv_geometry", "to_arrays"):
            monkeypatch.delattr(f"fastconv.functional._conv.{name}")
        assert F.conv2d(X, W, B).shape == gy.shape
        assert F.conv2d(X, W, B, out=gy) is gy
        assert F.conv2d_backward(gy, X, W, B)[1].shape == W.shape
        with pytest.raises(NameError):
            F.conv2d(X[:1], W, B)

    def test_a_float_is_refused_as_it_is_the_first_time(self):
        conv(stride=(1, 1))
        with pytest.raises(TypeError, match=r"conv2d: stride must consist of integers, got 1\.0"):
            conv(stride=1.0)
        with pytest.raises(TypeError, match="conv2d: stride must consist of integers"):
            conv(stride=(1, 1.0))

    def test_values_changed_in_place_are_seen(self):
        w = W.copy()
        before = conv(w=w)
        w *= 2
        np.testing.assert_array_equal(conv(w=w, b=None), 2 * conv(b=None))
        np.testing.assert_allclose(conv(w=w), 2 * before - B[:, None, None], rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int32, ">f4"])
    def test_other_dtypes_are_promoted(self, dtype):
        x = (4 * X).astype(dtype)
        expected = F.conv2d(x.astype(np.float64), W.astype(np.float64), B.astype(np.float64))
        y = conv(x)
        assert y.dtype == np.result_type(x, np.float32)
        np.testing.assert_allclose(y, expected, rtol=1e-3, atol=1e-4)

    @pytest.mark.parametrize("dtypes", [(np.float32, np.float64), (np.float64, np.float32)])
    def test_both_dtypes_by_turns(self, dtypes):
        for dtype in dtypes * 2:
            y = F.conv2d(X.astype(dtype), W.astype(dtype), B.astype(dtype))
            assert y.dtype == dtype

    def test_mixed_dtypes_give_the_wider(self):
        assert conv(b=B.astype(np.float64)).dtype == np.float64

    def test_other_memory_layouts_give_the_same_bits(self):
        expected = conv()
        wide = np.zeros((2, 3, 9, 16), np.float32)
        wide[..., ::2] = X
        unaligned = np.frombuffer(b"0" + X.tobytes(), np.float32, offset=1).reshape(X.shape)
        for x in (np.asfortranarray(X), wide[..., ::2], unaligned, X.view(np.memmap)):
            np.testing.assert_array_equal(conv(x), expected)

    def test_masked_values_are_refused(self):
        with pytest.raises(TypeError, match="must have no masked values"):
            conv(np.ma.masked_less(X, 0))

    def test_out_is_checked_and_may_be_the_input(self):
        expected = conv(padding="same", w=np.ones((3, 3, 3, 3), np.float32), b=None)
        x = X.copy()
        assert F.conv2d(x, np.ones((3, 3, 3, 3), np.float32), padding="same", out=x) is x
        np.testing.assert_array_equal(x, expected)
        y = conv()
        for out, error in (
            (y.tolist(), TypeError),
            (y.astype(np.float64), TypeError),
            (y[:1], ValueError),
            (y.reshape(y.shape[::-1]), ValueError),
        ):
            with pytest.raises(error, match="conv2d: out must"):
                conv(out=out)
        read_only = y.copy()
        read_only.flags.writeable = False
        with pytest.raises(ValueError, match="conv2d: out must be writable"):
            conv(out=read_only)

    def test_out_of_a_subclass_is_filled(self):
        out = np.zeros_like(conv()).view(np.memmap)
        assert conv(out=out) is out
        np.testing.assert_array_equal(out, conv())

    def test_gradients_that_needs_leaves_out_are_none(self):
        gy = conv()
        all_three = F.conv2d_backward(gy, X, W, B)
        for needs in (("weight",), "input", ["bias"], ("input", "weight", "bias")):
            for name, found, expected in zip(
                ("input", "weight", "bias"), F.conv2d_backward(gy, X, W, B, needs=needs), all_three, strict=True
            ):
                assert (found is None) == (name not in needs)
                assert found is None or np.array_equal(found, expected)
        with pytest.raises(ValueError, match="needs must consist of"):
            F.conv2d_backward(gy, X, W, B, needs=("inputs",))

    def test_a_gradient_of_another_shape_is_refused(self):
        gy = conv()
        F.conv2d_backward(gy, X, W, B)
        with pytest.raises(ValueError, match="grad_output must have shape"):
            F.conv2d_backward(gy.reshape(gy.shape[::-1]), X, W, B)

    def test_a_tuning_table_that_is_loaded_later_decides(self):
        w = W[..., [0, 1, 1]]
        before, tuned = F.conv2d(X, w), F.conv2d(X, w, algorithm="winograd_4x4")
        assert (before != tuned).any()
        try:
            _algorithms.use_tuning({_algorithms.case_of("conv2d", X.shape, w.shape): "winograd_4x4"})
            np.testing.assert_array_equal(F.conv2d(X, w), tuned)
        finally:
            _algorithms.use_tuning({})
        np.testing.assert_array_equal(F.conv2d(X, w), before)


class TestPreparedMetBefore:
    def test_precision_that_is_set_later_decides(self):
        x, w = RNG.standard_normal((1, 64, 28, 28), np.float32), RNG.standard_normal((64, 64, 3, 3), np.float32)
        prepared = F.prepare_conv2d(w, padding=1)
        for _ in range(2):
            np.testing.assert_array_equal(prepared(x), F.conv2d(x, w, padding=1))
            with fc.set_precision("strict"):
                np.testing.assert_array_equal(prepared(x), F.conv2d(x, w, padding=1, algorithm="direct"))

    def test_other_sizes_and_dtypes_by_turns(self):
        prepared = F.prepare_conv2d(W, B)
        for dtype in (np.float32, np.float64, np.float16) * 2:
            for x in (X.astype(dtype), X[:1, :, :5].astype(dtype), X[0].astype(dtype)):
                y = prepared(x)
                assert y.dtype == np.result_type(dtype, np.float32)
                np.testing.assert_array_equal(y, F.conv2d(x, W, B))


class TestPoolingMetBefore:
    def test_nothing_is_worked_out_again(self, monkeypatch):
        expected = F.max_pool2d(X, 2), F.avg_pool2d(X, 2), F.adaptive_avg_pool2d(X, 1)
        monkeypatch.delattr("fastconv.functional._pooling.to_arrays")
        found = F.max_pool2d(X, 2), F.avg_pool2d(X, 2), F.adaptive_avg_pool2d(X, 1)
        for y, wanted in zip(found, expected, strict=True):
            np.testing.assert_array_equal(y, wanted)

    def test_arguments_that_are_only_equal_are_refused(self):
        F.max_pool2d(X, 2)
        with pytest.raises(TypeError, match="kernel_size must consist of integers"):
            F.max_pool2d(X, 2.0)
        F.avg_pool2d(X, 2, divisor_override=3)
        with pytest.raises(TypeError, match="divisor_override must be an integer"):
            F.avg_pool2d(X, 2, divisor_override=3.0)

    def test_every_argument_counts(self):
        ones = np.ones((1, 1, 4, 4), np.float32)
        for _ in range(2):
            assert F.avg_pool2d(ones, 3, 1, 1)[0, 0, 0, 0] == np.float32(4 / 9)
            assert F.avg_pool2d(ones, 3, 1, 1, count_include_pad=False)[0, 0, 0, 0] == 1
            assert F.avg_pool2d(ones, 3, 1, 1, divisor_override=2)[0, 0, 0, 0] == 2
            assert F.max_pool2d(ones, 2).shape == (1, 1, 2, 2)
            assert F.max_pool2d(ones, 2, ceil_mode=True, data_format="channels_last").shape == (1, 1, 2, 4)
            y, indices = F.max_pool2d(ones, 2, return_indices=True)
            assert (y.dtype, indices.dtype) == (np.float32, np.int64)


def test_softmax_refuses_a_float_that_equals_the_last_axis():
    assert F.softmax(X, -1).shape == X.shape
    with pytest.raises(TypeError, match="softmax: dim must be an integer"):
        F.softmax(X, -1.0)
