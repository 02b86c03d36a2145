"""Convolution with frozen weights."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import strategies
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import assert_same_bits, assert_within, every_setting, small_integers

import fastconv as fc
import fastconv.functional as F
from fastconv import _core, reference
from fastconv.geometry import conv_geometry
from fastconv.testing import error_bound

ALGORITHMS = ["auto", "direct", "im2col", "toeplitz", "toeplitz_full", "winograd_2x2", "winograd_4x4", "winograd"]


def has(algorithm):
    rows = {row.algorithm: row.applies for row in fc.explain((1, 1, 3, 3), (1, 1, 3, 3)).rows}
    return rows.get(algorithm, True)


def assert_agrees(y, x, w, b=None, **options):
    """Results of prepared weights are those of conv2d: to the bit, unless auto was free to take another algorithm."""
    expected = F.conv2d(x, w, b, **options)
    if options["algorithm"] != "auto":
        assert_same_bits(y, expected, options["algorithm"])
        return
    linear = {name: value for name, value in options.items() if name != "activation"}
    x, w, b = (None if array is None else np.abs(array).astype(np.float64) for array in (x, w, b))
    channels = w.shape[-1 if options["data_format"] == "channels_last" else 0]
    bound = 2 * error_bound(F.conv2d(x, w, b, **linear), w.size // channels + 1, y.dtype, "auto")
    assert y.dtype == expected.dtype
    assert_within(y, expected, bound)


@settings(max_examples=200)
@given(case=strategies.conv2d(), activation=st.sampled_from([None, "relu", "sigmoid", "tanh"]))
def test_results_are_those_of_conv2d(case, activation):
    x, w, b = case.arrays()
    for algorithm in ("auto", "direct", "toeplitz"):
        options = {**case.options, "activation": activation, "algorithm": algorithm}
        conv = F.prepare_conv2d(w, b, **options)
        for _ in range(2):
            assert_agrees(conv(x), x, w, b, **options)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("sizes", [[(12, 12), (5, 7), (12, 12)], [(1, 1), (2, 2), (30, 9), (2, 2)]], ids=str)
def test_inputs_of_several_sizes(algorithm, sizes, isa, threads, dtype, data_format, rng):
    if not has(algorithm):
        pytest.skip(f"the core has no {algorithm}")
    last = data_format == "channels_last"
    w, b = rng.standard_normal((3, 3, 17, 18) if last else (18, 17, 3, 3)).astype(dtype), np.ones(18, dtype)
    conv = F.prepare_conv2d(w, b, padding=1, data_format=data_format, algorithm=algorithm)
    for height, width in sizes:
        x = rng.standard_normal((2, height, width, 17) if last else (2, 17, height, width)).astype(dtype)
        assert_agrees(conv(x), x, w, b, padding=1, data_format=data_format, algorithm=algorithm)


def test_auto_takes_what_is_chosen_for_packed_weights(rng):
    # Where packing has a price, as in a call of conv2d, another algorithm may be.
    for size, channels in ((7, 512), (13, 256), (14, 64)):
        x, w = (rng.standard_normal(s).astype(np.float32) for s in ((1, size, size, channels), (3, 3, channels, 512)))
        geometry, _ = conv_geometry("test", x.shape, w.shape, 1, 1, 1, 1, channels_last=True)
        chosen = _core.ALGORITHMS[_core.choose(geometry, False, True, 0, 0, True)]
        y = F.prepare_conv2d(w, padding=1, data_format="channels_last")(x)
        assert_same_bits(y, F.conv2d(x, w, padding=1, data_format="channels_last", algorithm=chosen))


def test_another_instruction_set_packs_again(rng):
    x, w = rng.standard_normal((1, 20, 9, 9)), rng.standard_normal((40, 20, 3, 3))
    conv = F.prepare_conv2d(w, algorithm="direct")
    before = _core.isa()
    try:
        for name, available in [*_core.isas(), *_core.isas()]:
            if available:
                _core.select_isa(name)
                assert_same_bits(conv(x), F.conv2d(x, w, algorithm="direct"), name)
    finally:
        _core.select_isa(before)


def test_precision_is_that_at_the_call(rng):
    x, w = (rng.standard_normal(shape).astype(np.float32) for shape in ((2, 64, 28, 28), (64, 64, 3, 3)))
    conv = F.prepare_conv2d(w)
    fast = conv(x)
    with fc.set_precision("strict"):
        assert_same_bits(conv(x), F.conv2d(x, w, algorithm="direct"))
    assert_same_bits(conv(x), fast)


class TestFrozen:
    def test_later_changes_of_the_arrays_do_not_reach_it(self, dtype, rng):
        w, b, x = (small_integers(rng, shape, dtype) for shape in ((4, 3, 2, 2), (4,), (2, 3, 5, 5)))
        expected = reference.conv2d(x, w, b, padding=1)
        stride = [1, 1]
        conv = F.prepare_conv2d(w, b, stride, 1)
        w[...], b[...], stride[0] = np.nan, np.nan, 2
        np.testing.assert_array_equal(conv(x), expected)
        np.testing.assert_array_equal(conv(x.astype(np.float64)), expected)

    def test_arrays_are_not_changed(self, dtype, rng):
        arrays = [rng.standard_normal(shape).astype(dtype) for shape in ((4, 3, 2, 2), (4,), (2, 3, 5, 5))]
        copies = [array.copy() for array in arrays]
        F.prepare_conv2d(*arrays[:2])(arrays[2])
        for array, copy in zip(arrays, copies, strict=True):
            assert_same_bits(array, copy)
            assert array.flags.writeable

    def test_packed_weights_are_bounded(self, rng):
        conv = F.prepare_conv2d(rng.standard_normal((4, 3, 3, 3)))
        for _ in every_setting(threads=(1,)):
            for dtype in (np.float32, np.float64):
                for width in (3, 40):
                    conv(rng.standard_normal((1, 3, width, width)).astype(dtype))
        assert 2 <= len(conv._packed) <= 4

    def test_weights_are_packed_once_for_sizes_that_need_no_other(self, rng):
        conv = F.prepare_conv2d(rng.standard_normal((4, 3, 3, 3)), algorithm="direct")
        conv(rng.standard_normal((1, 3, 9, 9)))
        (packed,) = conv._packed.values()
        conv(rng.standard_normal((5, 3, 4, 30)))
        assert list(conv._packed.values()) == [packed]
        assert next(iter(conv._packed.values())) is packed


class TestForms:
    @pytest.mark.parametrize(
        "codes", ["f4 f4 f4", "f8 f4 f4", "f4 f8 f4", "f4 f4 f8", "f2 f2 f2", "i1 f2 i1", "i1 u1 ?", "i8 i8 i8"]
    )
    def test_result_has_the_dtype_that_conv2d_gives(self, codes, rng):
        shapes = (2, 3, 5, 5), (4, 3, 2, 2), (4,)
        x, w, b = (rng.integers(0, 2, shape).astype(code) for shape, code in zip(shapes, codes.split(), strict=True))
        assert_same_bits(F.prepare_conv2d(w, b)(x), F.conv2d(x, w, b))

    def test_both_dtypes_in_turn(self, rng):
        w, x = (rng.standard_normal(shape).astype(np.float32) for shape in ((4, 3, 2, 2), (2, 3, 5, 5)))
        conv = F.prepare_conv2d(w)
        for dtype in (np.float32, np.float64, np.float32):
            assert_same_bits(conv(x.astype(dtype)), F.conv2d(x.astype(dtype), w))

    def test_lists_and_one_image(self):
        conv = F.prepare_conv2d([[[[1, 2]]]], [3], padding="same")
        np.testing.assert_array_equal(conv([[[1, 1, 1]]]), [[[6, 6, 4]]])

    def test_groups(self, rng):
        x, w = rng.standard_normal((2, 6, 8, 7)), rng.standard_normal((9, 2, 3, 2))
        for groups in (3, np.int64(3)):
            assert_same_bits(F.prepare_conv2d(w, stride=2, groups=groups)(x), F.conv2d(x, w, stride=2, groups=3))

    def test_empty_batch(self):
        assert F.prepare_conv2d(np.ones((4, 3, 2, 2)))(np.ones((0, 3, 5, 5))).shape == (0, 4, 4, 4)

    def test_out_is_filled_and_returned(self, rng):
        x, w = small_integers(rng, (2, 3, 5, 5)), small_integers(rng, (4, 3, 2, 2))
        out = np.full((2, 4, 4, 4), np.nan)
        assert F.prepare_conv2d(w)(x, out) is out
        np.testing.assert_array_equal(out, reference.conv2d(x, w))

    def test_out_may_be_the_input(self, rng):
        x, w = small_integers(rng, (1, 2, 4, 4)), small_integers(rng, (2, 2, 1, 1))
        expected = reference.conv2d(x, w)
        np.testing.assert_array_equal(F.prepare_conv2d(w)(x, out=x), expected)

    def test_input_is_unchanged(self, rng):
        x = rng.standard_normal((2, 3, 5, 5))
        copy = x.copy()
        F.prepare_conv2d(rng.standard_normal((4, 3, 2, 2)), activation="relu")(x)
        assert_same_bits(x, copy)


def test_it_may_be_pickled_before_and_after_use(rng):
    x, w, b = (rng.standard_normal(shape) for shape in ((2, 3, 9, 9), (4, 3, 3, 3), (4,)))
    conv = F.prepare_conv2d(w, b, stride=2, padding="same", activation="tanh")
    for _ in range(2):
        loaded = pickle.loads(pickle.dumps(conv))
        assert_same_bits(loaded(x), conv(x))
        assert repr(loaded) == repr(conv)
    assert len(pickle.dumps(conv)) < 8 * w.size + 2000


def test_several_threads_may_call_it(rng):
    w = rng.standard_normal((16, 16, 3, 3)).astype(np.float32)
    inputs = [rng.standard_normal((1, 16, 6 + i % 7, 9)).astype(np.float32) for i in range(60)]
    for algorithm in ("auto", "toeplitz"):
        alone = F.prepare_conv2d(w, algorithm=algorithm)
        expected = [alone(x) for x in inputs]
        conv = F.prepare_conv2d(w, algorithm=algorithm)
        with ThreadPoolExecutor(6) as pool:
            for y, value in zip(pool.map(conv, inputs), expected, strict=True):
                assert_same_bits(y, value)


def test_repr_shows_the_arguments():
    conv = F.prepare_conv2d(np.ones((8, 2, 3, 3), np.float32), np.ones(8), 2, 1, groups=2, activation="relu")
    assert repr(conv) == (
        "<PreparedConv2D: weight (8, 2, 3, 3) float32 with bias, stride=(2, 2), padding=((1, 1), (1, 1)), "
        "dilation=(1, 1), groups=2, activation='relu', algorithm='auto', data_format='channels_first'>"
    )
    assert "without bias" in repr(F.prepare_conv2d(np.ones((1, 1, 1, 1))))
