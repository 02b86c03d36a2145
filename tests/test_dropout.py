"""Dropout of elements and of channels."""

import re

import numpy as np
import pytest
from oracle import assert_same_bits

import fastconv.functional as F
from fastconv import utils
from fastconv.testing import check_gradient

CHANNEL_DROPOUTS = [
    ("dropout1d", (4, 6, 7), (2,)),
    ("dropout1d", (6, 7), (1,)),
    ("dropout2d", (4, 6, 5, 3), (2, 3)),
    ("dropout2d", (4, 6, 7), (2,)),
    ("dropout3d", (4, 6, 2, 3, 2), (2, 3, 4)),
    ("dropout3d", (6, 2, 3, 2), (1, 2, 3)),
]
ALL = ["dropout", "dropout1d", "dropout2d", "dropout3d"]
SHAPE = {"dropout": (6, 5), "dropout1d": (2, 6, 5), "dropout2d": (2, 6, 5, 4), "dropout3d": (2, 6, 2, 3, 4)}


class TestDropout:
    def test_keeps_the_share_and_the_mean(self):
        y = F.dropout(np.ones((200, 200)), 0.3, rng=1)
        assert set(np.unique(y)) == {0, 1 / 0.7}
        assert abs((y == 0).mean() - 0.3) < 0.01
        assert abs(y.mean() - 1) < 0.02

    @pytest.mark.parametrize("name", ALL)
    def test_a_seed_repeats_and_a_generator_moves_on(self, name, rng):
        x = rng.standard_normal(SHAPE[name])
        function = getattr(F, name)
        assert_same_bits(function(x, rng=5), function(x, rng=5))
        assert (function(x, rng=5) != function(x, rng=6)).any()
        generator = np.random.default_rng(5)
        assert (function(x, rng=generator) != function(x, rng=generator)).any()

    def test_without_rng_it_follows_the_packages_seed(self, rng):
        x = rng.standard_normal(100)
        utils.set_random_seed(3)
        first = F.dropout(x)
        assert (F.dropout(x) != first).any()
        utils.set_random_seed(3)
        assert_same_bits(F.dropout(x), first)

    @pytest.mark.parametrize("name", ALL)
    def test_does_nothing_without_training_or_at_rate_0_but_copy(self, name, dtype, rng):
        x = rng.standard_normal(SHAPE[name]).astype(dtype)
        for options in ({"training": False}, {"p": 0}):
            y = getattr(F, name)(x, **options)
            assert_same_bits(y, x)
            assert y is not x
            assert_same_bits(getattr(F, f"{name}_backward")(x, None, **options, rng=1), x)

    @pytest.mark.parametrize("name", ALL)
    def test_drops_all_at_rate_1(self, name, dtype):
        y = getattr(F, name)(np.ones(SHAPE[name], dtype), 1.0)
        np.testing.assert_array_equal(y, 0)
        assert y.dtype == dtype

    @pytest.mark.parametrize("name", ALL)
    def test_gradient_has_the_mask_of_the_seed(self, name, rng):
        x = rng.standard_normal(SHAPE[name])
        y = getattr(F, name)(x, 0.4, rng=9)
        gx = getattr(F, f"{name}_backward")(np.ones_like(x), x, 0.4, rng=9)
        np.testing.assert_allclose(gx, y / x)
        check_gradient(getattr(F, name), x, p=0.4, rng=9)

    def test_mask_broadcasts(self, rng):
        x = rng.standard_normal((3, 4))
        mask = np.array([True, False, True, True])
        np.testing.assert_array_equal(F.dropout(x, 0.5, mask=mask), x * mask * 2)
        np.testing.assert_array_equal(F.dropout_backward(x, None, 0.5, mask=mask), x * mask * 2)

    def test_inplace_writes_to_the_input(self, rng):
        for x in (np.ones((4, 6)), np.ones((4, 12))[:, ::2], np.ones((4, 6), np.float16)):
            y = F.dropout(x, inplace=True, rng=0)
            assert y is x
            np.testing.assert_array_equal(np.unique(x), [0, 2])

    def test_nan_stays(self):
        assert np.isnan(F.dropout(np.full(9, np.nan), rng=0)).all()

    @pytest.mark.parametrize("name", ["dropout", "dropout_backward"])
    def test_infinite_and_largest_numbers_do_not_warn(self, name, dtype):
        x = np.array([np.inf, np.inf, -np.inf, np.finfo(dtype).max, np.finfo(dtype).max], dtype)
        arguments = (x, None) if name == "dropout_backward" else (x,)
        y = getattr(F, name)(*arguments, mask=[1, 0, 0, 1, 0])
        np.testing.assert_array_equal(y, [np.inf, np.nan, np.nan, np.inf, 0])

    @pytest.mark.parametrize(("code", "result"), [("f2", "f2"), ("u1", "f4"), ("?", "f4"), ("i8", "f8")])
    def test_result_has_the_promoted_dtype(self, code, result):
        assert F.dropout(np.ones(4, code), rng=0).dtype == result
        assert F.dropout([1, 2], training=False).dtype == np.float64


class TestChannels:
    @pytest.mark.parametrize(("name", "shape", "axes"), CHANNEL_DROPOUTS, ids=str)
    @pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
    def test_are_dropped_whole(self, name, shape, axes, data_format):
        x = np.ones(shape)
        channel = 0 if 0 not in axes and 1 in axes else 1
        if data_format == "channels_last":
            x = np.moveaxis(x, channel, -1)
        y = getattr(F, name)(x, 0.5, rng=3, data_format=data_format)
        if data_format == "channels_last":
            y = np.moveaxis(y, -1, channel)
        np.testing.assert_array_equal(y.min(axis=axes), y.max(axis=axes))
        assert {0.0, 2.0} == set(np.unique(y))

    @pytest.mark.parametrize(("name", "shape", "axes"), CHANNEL_DROPOUTS, ids=str)
    def test_have_the_axes_of_torch(self, torch, name, shape, axes):
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.manual_seed(0)
            y = getattr(torch.nn.functional, name)(torch.ones((64, *shape[1:])), 0.5).numpy()
        np.testing.assert_array_equal(y.min(axis=axes), y.max(axis=axes))


REFUSALS = [
    (lambda: F.dropout([1.0], 1.5), ValueError, "dropout: p must be from 0 to 1, got 1.5"),
    (lambda: F.dropout([1.0], float("nan")), ValueError, "dropout: p must be from 0 to 1, got nan"),
    (lambda: F.dropout([1.0], "a"), TypeError, "dropout: p must be a number, got 'a'"),
    (
        lambda: F.dropout([1.0], rng="a"),
        TypeError,
        "dropout: rng must be a numpy.random.Generator or an integer, got 'a'",
    ),
    (lambda: F.dropout([1.0], rng=-1), ValueError, "dropout: seed must not be negative, got -1"),
    (
        lambda: F.dropout([1.0, 2.0], mask=[1, 1, 1]),
        ValueError,
        "dropout: mask must broadcast to shape (2,), got shape (3,)",
    ),
    (lambda: F.dropout([1.0], inplace=True), TypeError, "dropout: input must be an ndarray, got list"),
    (
        lambda: F.dropout([1j]),
        TypeError,
        "dropout: input must have a boolean, integer, float16, float32 or float64 dtype, got list of dtype complex128",
    ),
    (
        lambda: F.dropout_backward([1.0], [1.0]),
        ValueError,
        "dropout_backward: mask or a seed as rng must be given, as it was to dropout, got None",
    ),
    (lambda: F.dropout1d([1.0]), ValueError, "dropout1d: input must have 2 or 3 axes, got shape (1,)"),
    (lambda: F.dropout2d([[1.0]]), ValueError, "dropout2d: input must have 3 or 4 axes, got shape (1, 1)"),
    (lambda: F.dropout3d([[1.0]]), ValueError, "dropout3d: input must have 4 or 5 axes, got shape (1, 1)"),
    (
        lambda: F.dropout1d([[1.0]], data_format="NCW"),
        ValueError,
        "dropout1d: data_format must be 'channels_first' or 'channels_last', got 'NCW'",
    ),
]


@pytest.mark.parametrize(("call", "error", "text"), REFUSALS, ids=[text for _, _, text in REFUSALS])
def test_refuses(call, error, text):
    with pytest.raises(error, match=f"^{re.escape(text)}$"):
        call()
