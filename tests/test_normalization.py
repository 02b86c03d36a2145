"""Batch, layer, group and local response normalization."""

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import assert_same_bits, assert_within, every_setting

import fastconv.functional as F
from fastconv import reference
from fastconv.reference.normalization import updated_statistics
from fastconv.testing import check_gradient

FORMATS = ["channels_first", "channels_last"]
# (n, c, spatial...): odd sizes, one pixel, single channels, several pieces, and enough for several threads.
SHAPES = [
    (4, 3),
    (1, 5, 7),
    (2, 1, 9),
    (3, 6, 5, 5),
    (2, 70, 3, 3),
    (2, 4, 3, 2, 5),
    (2, 6, 70, 71),
    (300, 2, 8, 8),
    (64, 600),
]


def eps(dtype):
    return float(np.finfo(dtype).eps)


def arranged(x, data_format):
    """Bring (n, c, ...) into a format."""
    return np.ascontiguousarray(np.moveaxis(x, 1, -1)) if data_format == "channels_last" else x


def draw(rng, shape, dtype, mean=0.5):
    """Input, gradient, weight, bias and running statistics."""
    x, gy = (rng.standard_normal(shape) + mean).astype(dtype), rng.standard_normal(shape).astype(dtype)
    w, b, running_mean = rng.standard_normal((3, shape[1])).astype(dtype)
    return x, gy, w, b, running_mean, rng.uniform(0.5, 2, shape[1]).astype(dtype)


def calls(shape):
    """Each function of a channel's weight and bias, with its arguments; several values to a statistic."""
    values = math.prod(shape[1:])
    divisors = [g for g in range(1, shape[1] + 1) if shape[1] % g == 0 and values > g] or [1]
    groups = [("group_norm", (g,), {}) for g in sorted({1, divisors[len(divisors) // 2], divisors[-1]})]
    return [("batch_norm", (None, None), {"training": True}), ("batch_norm", "running", {}), *groups]


def assert_gradients_within(actual, expected, bound):
    for name, found, wanted in zip(("input", "weight", "bias"), actual, expected, strict=True):
        # Sums over the batch of what rounds once a term: a bound on the largest of an array serves all of it.
        assert_within(found, wanted, bound * max(1.0, np.abs(wanted).max(initial=0)), name)


class TestByReference:
    @pytest.mark.parametrize("shape", SHAPES, ids=str)
    def test_values_and_gradients(self, shape, isa, threads, dtype, data_format, rng):
        x, gy, w, b, *running = draw(rng, shape, dtype)
        x, gy = arranged(x, data_format), arranged(gy, data_format)
        for name, arguments, options in calls(shape):
            given_ = (*(running if arguments == "running" else arguments), w, b)
            options = {**options, "data_format": data_format}
            y = getattr(F, name)(x, *given_, **options)
            expected = getattr(reference, name)(x, *given_, **options)
            assert y.dtype == dtype
            assert_within(y, expected, 32 * eps(dtype) * max(1.0, np.abs(expected).max()), name)
            gradients = getattr(F, f"{name}_backward")(gy, x, *given_, **options)
            wanted = getattr(reference, f"{name}_backward")(gy, x, *given_, **options)
            assert_gradients_within(gradients, wanted, 256 * eps(dtype))

    @pytest.mark.parametrize(
        ("rows", "normalized"),
        [
            ((), (1,)),
            ((4,), (3,)),
            ((2, 3), (17,)),
            ((5,), (2, 3, 4)),
            ((3,), (5000,)),
            ((300,), (33,)),
            ((2000,), (8,)),
        ],
        ids=str,
    )
    def test_layer_norm(self, rows, normalized, isa, threads, dtype, rng):
        x, gy = rng.standard_normal((2, *rows, *normalized)).astype(dtype)
        w, b = rng.standard_normal((2, *normalized)).astype(dtype)
        y = F.layer_norm(x, normalized, w, b)
        expected = reference.layer_norm(x, normalized, w, b)
        assert_within(y, expected, 64 * eps(dtype) * np.abs(expected).max())
        gradients = F.layer_norm_backward(gy, x, normalized, w, b)
        assert_gradients_within(gradients, reference.layer_norm_backward(gy, x, normalized, w, b), 512 * eps(dtype))

    @given(
        shape=st.lists(st.integers(1, 6), min_size=2, max_size=5),
        channels=st.sampled_from([1, 2, 3, 4, 6, 16, 17, 33, 64, 65]),
        data_format=st.sampled_from(FORMATS),
        dtype=st.sampled_from([np.float32, np.float64]),
        weighted=st.tuples(st.booleans(), st.booleans()),
        seed=st.integers(0, 999),
    )
    def test_any_shape(self, shape, channels, data_format, dtype, weighted, seed):
        shape = (shape[0] + 1, channels, *shape[2:])
        x, gy, w, b, *running = draw(np.random.default_rng(seed), shape, dtype)
        w, b = w if weighted[0] else None, b if weighted[1] else None
        x, gy = arranged(x, data_format), arranged(gy, data_format)
        for name, arguments, options in calls(shape):
            given_ = (*(running if arguments == "running" else arguments), w, b)
            options = {**options, "eps": 0.01, "data_format": data_format}
            expected = getattr(reference, name)(x, *given_, **options)
            wanted = getattr(reference, f"{name}_backward")(gy, x, *given_, **options)
            for label in every_setting((1,)):
                y = getattr(F, name)(x, *given_, **options)
                assert_within(y, expected, 64 * eps(dtype) * max(1.0, np.abs(expected).max()), label)
                found = getattr(F, f"{name}_backward")(gy, x, *given_, **options)
                assert [gradient is None for gradient in found] == [False, w is None, b is None]
                for gradient, want in zip(found, wanted, strict=True):
                    if want is not None:
                        assert_within(gradient, want, 4096 * eps(dtype) * max(1.0, np.abs(want).max()), label)

    @pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 12])
    @pytest.mark.parametrize("shape", [(2, 1, 3), (2, 5, 3), (1, 8, 3, 4), (0, 4, 3)], ids=str)
    def test_local_response_norm(self, shape, size, dtype, data_format, rng):
        x, gy = rng.standard_normal((2, *shape)).astype(dtype)
        x, gy = arranged(x, data_format), arranged(gy, data_format)
        arguments = {"size": size, "alpha": 0.5, "beta": 0.7, "k": 1.5, "data_format": data_format}
        expected = reference.local_response_norm(x, **arguments)
        assert_within(F.local_response_norm(x, **arguments), expected, 16 * eps(dtype) * (1 + np.abs(expected)))
        gx = F.local_response_norm_backward(gy, x, **arguments)
        assert_within(gx, reference.local_response_norm_backward(gy, x, **arguments), 64 * eps(dtype) * 4)


class TestRounding:
    @pytest.mark.parametrize("shape", [(64, 3), (4, 4, 40, 41), (2, 34, 7, 7)], ids=str)
    @pytest.mark.parametrize("mean", [1e4, -1e6])
    def test_a_large_mean_costs_no_digits(self, shape, mean, isa, data_format, rng):
        x, gy, w, b, *_ = draw(rng, shape, np.float32, mean)
        x, gy = arranged(x, data_format), arranged(gy, data_format)
        for name, arguments, options in calls(shape):
            if arguments == "running":
                continue
            given_, options = (*arguments, w, b), {**options, "data_format": data_format}
            expected = getattr(reference, name)(x, *given_, **options)
            assert_within(getattr(F, name)(x, *given_, **options), expected, 1e-5 * np.abs(expected).max(), name)
            gradients = getattr(F, f"{name}_backward")(gy, x, *given_, **options)
            wanted = getattr(reference, f"{name}_backward")(gy, x, *given_, **options)
            assert_gradients_within(gradients, wanted, 1e-4)

    def test_a_first_value_far_from_all_others_costs_no_digits(self, isa, data_format, rng):
        x = rng.standard_normal((8, 3, 50, 50)).astype(np.float32)
        x[0, :, 0, 0] = 1e4
        x = arranged(x, data_format)
        expected = reference.batch_norm(x, None, None, training=True, data_format=data_format)
        y = F.batch_norm(x, None, None, training=True, data_format=data_format)
        assert_within(y, expected, 1e-5 * (1 + np.abs(expected)))

    def test_a_constant_channel_becomes_its_bias(self, isa, dtype, data_format):
        x = arranged(np.full((4, 3, 5, 5), 0.1, dtype), data_format)
        y = F.batch_norm(x, None, None, None, [1.0, 2.0, 3.0], True, data_format=data_format)
        np.testing.assert_allclose(
            y,
            np.broadcast_to([1, 2, 3], (4, 5, 5, 3))
            if data_format == "channels_last"
            else np.broadcast_to(np.reshape([1, 2, 3], (3, 1, 1)), x.shape),
            rtol=1e-6,
        )

    def test_one_value_becomes_its_bias_and_has_no_gradient(self, isa, dtype, data_format, rng):
        x, gy, w, b, *_ = draw(rng, (3, 40), dtype)
        np.testing.assert_array_equal(F.group_norm(x, 40, w, b, data_format=data_format), np.tile(b, (3, 1)))
        gx, gw, gb = F.group_norm_backward(gy, x, 40, w, b, data_format=data_format)
        # What cancels is gy * weight / sqrt(eps).
        assert_within(gx, np.zeros(x.shape), 4 * eps(dtype) * np.abs(gy * w) / np.sqrt(1e-5))
        np.testing.assert_array_equal(gw, 0)
        assert_within(gb, gy.sum(axis=0, dtype=np.float64), 4 * eps(dtype) * np.abs(gy).sum(axis=0))

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_a_bad_value_spoils_its_own_statistic_only(self, bad, isa, dtype, data_format, rng):
        x = rng.standard_normal((2, 4, 5, 5)).astype(dtype)
        x[1, 2, 3, 3] = bad
        batch = F.batch_norm(arranged(x, data_format), None, None, training=True, data_format=data_format)
        group = F.group_norm(arranged(x, data_format), 2, data_format=data_format)
        if data_format == "channels_last":
            batch, group = np.moveaxis(batch, -1, 1), np.moveaxis(group, -1, 1)
        np.testing.assert_array_equal(np.isnan(batch).any(axis=(0, 2, 3)), [False, False, True, False])
        np.testing.assert_array_equal(np.isnan(group).any(axis=(2, 3)), [[False] * 4, [False, False, True, True]])
        assert np.isnan(batch[:, 2]).all()
        assert np.isnan(F.layer_norm(x[1, 2], 5)[3]).all()

    def test_constant_statistics_keep_bad_values_where_they_are(self, isa, dtype, data_format):
        x = np.ones((2, 3, 4, 4), dtype)
        x[0, 1, 2, 3] = np.nan
        x = arranged(x, data_format)
        statistics = np.zeros(3, dtype), np.ones(3, dtype)
        y = F.batch_norm(x, *statistics, data_format=data_format)
        np.testing.assert_array_equal(np.isnan(y), np.isnan(x))
        gx, _, _ = F.batch_norm_backward(np.ones_like(x), x, *statistics, data_format=data_format)
        assert np.isfinite(gx).all()

    def test_local_response_norm_of_infinite_and_largest_numbers_does_not_warn(self, dtype, data_format):
        x = np.array([np.inf, 1, 1, 1, np.finfo(dtype).max], dtype).reshape(1, 5, 1)
        x = arranged(x, data_format)
        y = F.local_response_norm(x, 3, data_format=data_format).ravel()
        gx = F.local_response_norm_backward(np.ones_like(x), x, 3, data_format=data_format).ravel()
        np.testing.assert_array_equal(y[[0, 1, 3, 4]], [np.nan, 0, 0, 0])
        np.testing.assert_array_equal(np.isnan(gx), [True, True, False, False, False])
        assert 0 < gx[2] < y[2] < 1
        assert gx[4] == 0

    def test_local_response_norm_of_zeros_without_k_does_not_warn(self, dtype, data_format):
        x = np.zeros((2, 3, 4), dtype)
        assert np.isnan(F.local_response_norm(x, 3, k=0.0, data_format=data_format)).all()
        assert np.isnan(F.local_response_norm_backward(x, x, 3, k=0.0, data_format=data_format)).all()


class TestSettings:
    @pytest.mark.parametrize("shape", [(64, 600), (8, 24, 31, 33), (300, 2, 8, 8)], ids=str)
    def test_threads_do_not_change_bits(self, shape, dtype, data_format, isa, rng):
        import fastconv as fc

        x, gy, w, b, *running = draw(rng, shape, dtype)
        x, gy = arranged(x, data_format), arranged(gy, data_format)
        before = fc.get_num_threads()
        for name, arguments, options in calls(shape):
            given_ = (*(running if arguments == "running" else arguments), w, b)
            options = {**options, "data_format": data_format}
            results = []
            for count in (1, 2, 3):
                fc.set_num_threads(count)
                y = getattr(F, name)(x, *given_, **options)
                results.append((y, *getattr(F, f"{name}_backward")(gy, x, *given_, **options)))
            fc.set_num_threads(before)
            for result in results[1:]:
                for found, first in zip(result, results[0], strict=True):
                    assert_same_bits(found, first, name)

    def test_inputs_are_unchanged_and_their_order_in_memory_does_not_matter(self, isa, dtype, data_format, rng):
        x, gy, w, b, *running = draw(rng, (3, 4, 6, 6), dtype)
        arrays = [x, gy, w, b, *running]
        copies = [array.copy() for array in arrays]
        wide = np.repeat(x, 2, axis=-1)[..., ::2]
        for name, arguments, options in calls(x.shape):
            given_ = (*(running if arguments == "running" else arguments), w, b)
            options = {**options, "data_format": "channels_first"}
            y = getattr(F, name)(x, *given_, **options)
            gradients = getattr(F, f"{name}_backward")(gy, x, *given_, **options)
            for other in (wide, np.asfortranarray(x)):
                assert_same_bits(getattr(F, name)(other, *given_, **options), y)
                found = getattr(F, f"{name}_backward")(np.asfortranarray(gy), other, *given_, **options)
                for gradient, expected in zip(found, gradients, strict=True):
                    assert_same_bits(gradient, expected)
        for array, copy in zip(arrays, copies, strict=True):
            assert_same_bits(array, copy)

    @pytest.mark.parametrize(("code", "result"), [("f2", "f2"), ("u1", "f4"), ("?", "f4"), ("i8", "f8"), (">f4", "f4")])
    def test_result_has_the_promoted_dtype(self, code, result):
        x = np.array([[[0, 1], [1, 1]], [[1, 0], [0, 1]]]).astype(code)
        for name, arguments, options in calls(x.shape):
            given_ = ([0.5, 0.5], [1.0, 1.0]) if arguments == "running" else arguments
            y = getattr(F, name)(x, *given_, **options)
            assert y.dtype == result
            assert_within(y, getattr(reference, name)(x, *given_, **options), 8 * eps(result))
            gx, gw, gb = getattr(F, f"{name}_backward")(x, x, *given_, **options)
            assert (gx.dtype, gw, gb) == (result, None, None)

    def test_empty_batch(self, dtype, data_format):
        x = arranged(np.zeros((0, 3, 4), dtype), data_format)
        w = np.ones(3, dtype)
        mean, var = np.full(3, 0.5, dtype), np.full(3, 2.0, dtype)
        y = F.batch_norm(x, mean, var, w, w, True, data_format=data_format)
        gx, gw, gb = F.batch_norm_backward(y, x, None, None, w, w, True, data_format=data_format)
        assert y.shape == gx.shape == x.shape
        np.testing.assert_array_equal([gw, gb], 0)
        np.testing.assert_array_equal([mean, var], [[0.5] * 3, [2.0] * 3])
        assert F.group_norm(x, 3, w, w, data_format=data_format).shape == x.shape
        np.testing.assert_array_equal(F.layer_norm_backward(np.zeros((0, 2)), np.zeros((0, 2)), 2, [1, 1])[1], 0)


class TestRunningStatistics:
    @pytest.mark.parametrize("code", ["f2", "f4", "f8"])
    def test_are_updated_in_place_in_their_own_dtype(self, code, isa, data_format, rng):
        x, _, w, b, mean, var = draw(rng, (4, 3, 5, 5), np.float32)
        x, mean, var = arranged(x, data_format), mean.astype(code), var.astype(code)
        expected = updated_statistics(x, mean, var, 0.3, data_format=data_format)
        y = F.batch_norm(x, mean, var, w, b, True, 0.3, data_format=data_format)
        assert y.dtype == np.float32
        np.testing.assert_allclose([mean, var], expected, rtol=max(1e-6, 2 * eps(code)))

    def test_need_not_be_contiguous(self, rng):
        x, *_ = draw(rng, (4, 3, 5), np.float32)
        both = np.zeros((3, 2), np.float32)
        F.batch_norm(x, both[:, 0], both[::-1, 1], training=True)
        expected = updated_statistics(x, np.zeros(3), np.zeros(3))
        np.testing.assert_allclose([both[:, 0], both[::-1, 1]], expected, rtol=1e-5, atol=1e-6)

    def test_are_left_alone_without_training_and_by_the_gradient(self, rng):
        x, gy, *_, mean, var = draw(rng, (4, 3, 5), np.float64)
        copies = mean.copy(), var.copy()
        F.batch_norm(x, mean, var)
        F.batch_norm_backward(gy, x, mean, var)
        F.batch_norm_backward(gy, x, mean, var, training=True)
        np.testing.assert_array_equal([mean, var], copies)

    def test_one_of_them_may_be_none_in_training(self, rng):
        x, *_, mean, var = draw(rng, (4, 3, 5), np.float64)
        expected = updated_statistics(x, mean, var)
        F.batch_norm(x, mean, None, training=True)
        F.batch_norm(x, None, var, training=True)
        np.testing.assert_allclose([mean, var], expected)


class TestGradients:
    @pytest.mark.parametrize("shape", [(5, 4), (3, 4, 5, 2)], ids=str)
    def test_are_directional_derivatives(self, shape, isa, data_format, rng):
        x, _, w, b, mean, var = draw(rng, shape, np.float64)
        x = arranged(x, data_format)

        def batch(x, w, b):
            return F.batch_norm(x, None, None, w, b, True, data_format=data_format)

        def batch_backward(gy, x, w, b):
            return F.batch_norm_backward(gy, x, None, None, w, b, True, data_format=data_format)

        def constant(x, w, b):
            return F.batch_norm(x, mean, var, w, b, data_format=data_format)

        def constant_backward(gy, x, w, b):
            return F.batch_norm_backward(gy, x, mean, var, w, b, data_format=data_format)

        def group(x, w, b):
            return F.group_norm(x, 2, w, b, data_format=data_format)

        def group_backward(gy, x, w, b):
            return F.group_norm_backward(gy, x, 2, w, b, data_format=data_format)

        check_gradient(batch, (x, w, b), backward=batch_backward)
        check_gradient(constant, (x, w, b), backward=constant_backward)
        check_gradient(group, (x, w, b), backward=group_backward)

    def test_layer_and_local_response_norm(self, isa, data_format, rng):
        x, w, b = rng.standard_normal((2, 3, 4)), *rng.standard_normal((2, 3, 4))

        def layer(x, w, b):
            return F.layer_norm(x, (3, 4), w, b)

        def layer_backward(gy, x, w, b):
            return F.layer_norm_backward(gy, x, (3, 4), w, b)

        check_gradient(layer, (x, w, b), backward=layer_backward)
        check_gradient(F.local_response_norm, x, size=3, alpha=0.5, data_format=data_format)


class TestTorch:
    """Values, gradients and running statistics of ``torch.nn.functional``."""

    def gradients(self, torch, function, arrays, gy):
        tensors = [None if array is None else torch.tensor(array, requires_grad=True) for array in arrays]
        y = function(*tensors)
        y.backward(torch.tensor(gy))
        return y.detach().numpy(), [None if tensor is None else tensor.grad.numpy() for tensor in tensors]

    def compare(self, found, expected):
        for actual, wanted in zip(found, expected, strict=True):
            assert (actual is None) == (wanted is None)
            if wanted is not None:
                np.testing.assert_allclose(actual, wanted, rtol=1e-9, atol=1e-11)

    @pytest.mark.parametrize("training", [True, False])
    @pytest.mark.parametrize("shape", [(4, 3), (2, 3, 7), (2, 3, 5, 4), (2, 3, 2, 3, 4)], ids=str)
    @pytest.mark.parametrize("weighted", [(True, True), (False, False), (True, False), (False, True)], ids=str)
    def test_batch_norm(self, torch, shape, training, weighted, rng):
        x, gy, w, b, mean, var = draw(rng, shape, np.float64)
        w, b = w if weighted[0] else None, b if weighted[1] else None
        running = torch.tensor(mean), torch.tensor(var)
        y, gradients = self.gradients(
            torch,
            lambda x, w, b: torch.nn.functional.batch_norm(x, *running, w, b, training, 0.3, 1e-3),
            (x, w, b),
            gy,
        )
        found = F.batch_norm_backward(gy, x, mean, var, w, b, training, 0.3, 1e-3)
        self.compare([F.batch_norm(x, mean, var, w, b, training, 0.3, 1e-3), *found], [y, *gradients])
        self.compare([mean, var], [tensor.numpy() for tensor in running])

    @pytest.mark.parametrize("normalized", [5, (5,), [4, 5], (3, 4, 5)], ids=str)
    @pytest.mark.parametrize("weighted", [(True, True), (False, False), (True, False), (False, True)], ids=str)
    def test_layer_norm(self, torch, normalized, weighted, rng):
        shape = (normalized,) if isinstance(normalized, int) else tuple(normalized)
        x, gy = rng.standard_normal((2, 2, 3, 4, 5))
        w, b = (rng.standard_normal(shape) if wanted else None for wanted in weighted)
        y, gradients = self.gradients(
            torch, lambda x, w, b: torch.nn.functional.layer_norm(x, shape, w, b, 1e-3), (x, w, b), gy
        )
        found = F.layer_norm_backward(gy, x, normalized, w, b, 1e-3)
        self.compare([F.layer_norm(x, normalized, w, b, 1e-3), *found], [y, *gradients])

    @pytest.mark.parametrize("groups", [1, 2, 3, 6])
    @pytest.mark.parametrize("shape", [(4, 6), (2, 6, 7), (2, 6, 5, 4), (2, 6, 2, 3, 4)], ids=str)
    def test_group_norm(self, torch, shape, groups, rng):
        x, gy, w, b, *_ = draw(rng, shape, np.float64)
        y, gradients = self.gradients(
            torch, lambda x, w, b: torch.nn.functional.group_norm(x, groups, w, b, 1e-3), (x, w, b), gy
        )
        found = F.group_norm_backward(gy, x, groups, w, b, 1e-3)
        self.compare([F.group_norm(x, groups, w, b, 1e-3), *found], [y, *gradients])

    @pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 9])
    @pytest.mark.parametrize("shape", [(2, 5, 7), (2, 5, 3, 4), (2, 5, 2, 3, 2)], ids=str)
    def test_local_response_norm(self, torch, shape, size, rng):
        x, gy = rng.standard_normal((2, *shape))
        arguments = (size, 0.5, 0.7, 1.5)
        y, gradients = self.gradients(torch, lambda x: torch.nn.functional.local_response_norm(x, *arguments), (x,), gy)
        found = F.local_response_norm_backward(gy, x, *arguments)
        self.compare([F.local_response_norm(x, *arguments), found], [y, *gradients])


X, C = np.ones((2, 4, 3, 3)), np.ones(4)

REFUSALS = [
    (
        lambda: F.batch_norm(np.ones(3), C, C),
        ValueError,
        "batch_norm: input must have at least the axes (n, c), got shape (3,)",
    ),
    (lambda: F.batch_norm(X, None, C), ValueError, "batch_norm: running_mean must be given without training, got None"),
    (lambda: F.batch_norm(X, C, None), ValueError, "batch_norm: running_var must be given without training, got None"),
    (
        lambda: F.batch_norm(X, C[:3], C),
        ValueError,
        "batch_norm: running_mean must have shape (4,), one number for each channel, got (3,)",
    ),
    (
        lambda: F.batch_norm(X, C, C, C[:2]),
        ValueError,
        "batch_norm: weight must have shape (4,), one number for each channel, got (2,)",
    ),
    (
        lambda: F.batch_norm(X, C, C, C, C[:2]),
        ValueError,
        "batch_norm: bias must have shape (4,), one number for each channel, got (2,)",
    ),
    (
        lambda: F.batch_norm(X[:1, :, 0, 0], C, C, training=True),
        ValueError,
        "batch_norm: input must have more than one value per channel in training, got shape (1, 4)",
    ),
    (
        lambda: F.batch_norm(X, [1.0] * 4, None, training=True),
        TypeError,
        "batch_norm: running_mean must be an ndarray in training, got list",
    ),
    (
        lambda: F.batch_norm(X, C, np.ones(4, int), training=True),
        TypeError,
        "batch_norm: running_var must have a float dtype in training, got int64",
    ),
    (
        lambda: F.batch_norm(X, np.broadcast_to(1.0, 4), C, training=True),
        ValueError,
        "batch_norm: running_mean must be writable in training, got a read-only array",
    ),
    (lambda: F.batch_norm(X, C, C, eps="a"), TypeError, "batch_norm: eps must be a number, got 'a'"),
    (
        lambda: F.batch_norm(X, C, C, training=True, momentum=None),
        TypeError,
        "batch_norm: momentum must be a number, got None",
    ),
    (
        lambda: F.batch_norm(X, C, C, data_format="NHWC"),
        ValueError,
        "batch_norm: data_format must be 'channels_first' or 'channels_last', got 'NHWC'",
    ),
    (
        lambda: F.batch_norm(X + 1j, C, C),
        TypeError,
        "batch_norm: input must have a boolean, integer, float16, float32 or float64 dtype, got complex128",
    ),
    (
        lambda: F.batch_norm_backward(X[0], X, C, C),
        ValueError,
        "batch_norm_backward: grad_output must have shape (2, 4, 3, 3), that of input, got (4, 3, 3)",
    ),
    (
        lambda: F.layer_norm(X, 4),
        ValueError,
        "layer_norm: normalized_shape must be the last sizes of input's shape (2, 4, 3, 3), got (4,)",
    ),
    (
        lambda: F.layer_norm(X, ()),
        ValueError,
        "layer_norm: normalized_shape must be the last sizes of input's shape (2, 4, 3, 3), got ()",
    ),
    (lambda: F.layer_norm(X, 3.0), TypeError, "layer_norm: normalized_shape must consist of integers, got 3.0"),
    (
        lambda: F.layer_norm(X, (3, 3), np.ones(3)),
        ValueError,
        "layer_norm: weight must have shape (3, 3), that of normalized_shape, got (3,)",
    ),
    (
        lambda: F.layer_norm_backward(X[0], X, 3),
        ValueError,
        "layer_norm_backward: grad_output must have shape (2, 4, 3, 3), that of input, got (4, 3, 3)",
    ),
    (lambda: F.group_norm(X, 3), ValueError, "group_norm: num_groups must divide the 4 channels of input, got 3"),
    (lambda: F.group_norm(X, 0), ValueError, "group_norm: num_groups must divide the 4 channels of input, got 0"),
    (lambda: F.group_norm(X, 2.0), TypeError, "group_norm: num_groups must be an integer, got 2.0"),
    (
        lambda: F.group_norm(X, 2, C[:1]),
        ValueError,
        "group_norm: weight must have shape (4,), one number for each channel, got (1,)",
    ),
    (
        lambda: F.local_response_norm(X[0, 0], 2),
        ValueError,
        "local_response_norm: input must have at least 3 axes, got shape (3, 3)",
    ),
    (lambda: F.local_response_norm(X, 0), ValueError, "local_response_norm: size must be at least 1, got 0"),
    (lambda: F.local_response_norm(X, 1.5), TypeError, "local_response_norm: size must be an integer, got 1.5"),
    (lambda: F.local_response_norm(X, 2, "a"), TypeError, "local_response_norm: alpha must be a number, got 'a'"),
    (
        lambda: F.local_response_norm_backward(X[0], X, 2),
        ValueError,
        "local_response_norm_backward: grad_output must have shape (2, 4, 3, 3), that of input, got (4, 3, 3)",
    ),
]


@pytest.mark.parametrize(("call", "error", "text"), REFUSALS, ids=[text for _, _, text in REFUSALS])
def test_refuses(call, error, text):
    with pytest.raises(error, match=f"^{re.escape(text)}"):
        call()


def test_reference_of_a_case_worked_by_hand():
    x = [[1.0, 2.0], [3.0, 6.0]]
    np.testing.assert_allclose(reference.batch_norm(x, None, None, training=True, eps=0.0), [[-1, -1], [1, 1]])
    np.testing.assert_allclose(reference.layer_norm(x, 2, [2, 4], [0, 1], eps=0.0), [[-2, 5], [-2, 5]])
    np.testing.assert_allclose(reference.group_norm(x, 2, eps=1.0), np.zeros((2, 2)))
    y = reference.local_response_norm(np.reshape([1.0, 2.0, 3.0], (1, 3, 1)), 2, alpha=2.0, beta=1.0, k=0.0)
    np.testing.assert_allclose(y.ravel(), [1, 2 / 5, 3 / 13])
    assert math.isclose(float(updated_statistics(x, [0, 0], [0, 0], 0.5)[1][0]), 1.0)
