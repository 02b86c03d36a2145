"""Forward convolution."""

from typing import ClassVar

import numpy as np
import pytest
import strategies
from hypothesis import given, note, settings
from oracle import LARGE, assert_same_bits, assert_within, every_setting, image_as, small_integers, solved, weight_as

import fastconv.functional as F
from fastconv import reference
from fastconv.testing import error_bound


@settings(max_examples=500)
@given(case=strategies.conv2d())
def test_conv2d_matches_reference(case):
    x, w, b = case.arrays()
    expected = reference.conv2d(x, w, b, **case.options)
    absolute = [None if array is None else np.abs(array) for array in (x, w, b)]
    bound = error_bound(reference.conv2d(*absolute, **case.options), case.terms, case.dtype)
    for setting in every_setting():
        note(setting)
        y = F.conv2d(x, w, b, **case.options)
        assert y.dtype == case.dtype
        assert y.flags.c_contiguous
        assert_within(y, expected, bound, setting)


@pytest.mark.parametrize("case", LARGE, ids=str)
def test_conv2d_is_exact_on_small_integers(case, isa, threads, dtype, data_format):
    known = solved(case)
    x, w = image_as(known.x, data_format, dtype), weight_as(known.w, data_format, dtype)
    y = F.conv2d(x, w, known.b.astype(dtype), **case.options, data_format=data_format, algorithm="direct")
    np.testing.assert_array_equal(y, image_as(known.y, data_format, dtype))


CHANNELS = [1, 3, 7, 8, 15, 16, 17, 31, 32, 33, 64, 65, 130]


@pytest.mark.parametrize("ci", CHANNELS)
def test_conv2d_is_exact_for_all_channel_counts(ci, isa, dtype, data_format, rng):
    for co in CHANNELS:
        x, w = small_integers(rng, (1, 4, 5, ci)), small_integers(rng, (2, 2, ci, co))
        expected = sum(x[:, p : p + 3, q : q + 4] @ w[p, q] for p in (0, 1) for q in (0, 1))
        y = F.conv2d(image_as(x, data_format, dtype), weight_as(w, data_format, dtype), data_format=data_format)
        np.testing.assert_array_equal(y, image_as(expected, data_format, dtype), err_msg=f"{co} output channels")


class TestDegenerateSizes:
    def test_empty_batch_gives_an_empty_batch(self, isa, dtype):
        y = F.conv2d(np.ones((0, 3, 8, 9), dtype), np.ones((5, 3, 2, 2), dtype), np.ones(5, dtype), stride=2)
        assert y.shape == (0, 5, 4, 4)
        assert y.dtype == dtype

    def test_no_input_channels_give_the_bias(self, isa, dtype):
        y = F.conv2d(np.ones((2, 0, 3, 3), dtype), np.ones((2, 0, 2, 2), dtype), np.array([4, 5], dtype))
        np.testing.assert_array_equal(y, np.broadcast_to(np.array([4, 5]).reshape(1, 2, 1, 1), (2, 2, 2, 2)))

    def test_one_pixel(self, isa, dtype, data_format):
        y = F.conv2d(np.full((1, 1, 1, 1), 3, dtype), np.full((1, 1, 1, 1), 5, dtype), data_format=data_format)
        np.testing.assert_array_equal(y, np.full((1, 1, 1, 1), 15))

    @pytest.mark.parametrize("padding", [0, 2, ((1, 0), (3, 1))])
    def test_kernel_as_large_as_the_padded_input(self, isa, dtype, padding, rng):
        x = small_integers(rng, (2, 3, 4, 5), dtype)
        (top, bottom), (left, right) = (
            padding if isinstance(padding, tuple) else ((padding, padding), (padding, padding))
        )
        w = small_integers(rng, (7, 3, 4 + top + bottom, 5 + left + right), dtype)
        expected = np.einsum("nchw,ochw->no", x, w[:, :, top : top + 4, left : left + 5])
        np.testing.assert_array_equal(F.conv2d(x, w, padding=padding), expected[:, :, None, None])

    def test_windows_that_meet_padding_alone_give_the_bias(self, isa, dtype):
        y = F.conv2d(np.ones((1, 1, 1, 1), dtype), np.ones((2, 1, 1, 1), dtype), np.array([5, 6], dtype), padding=2)
        expected = np.zeros((1, 2, 5, 5))
        expected[:, :, 2, 2] = 1
        np.testing.assert_array_equal(y, expected + np.array([5, 6]).reshape(2, 1, 1))


class TestMemory:
    @staticmethod
    def forms(array):
        """Lay the same numbers out in every order that memory can have them."""
        wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1] + 1), array.dtype)
        wide[..., 1::2] = array
        moved = np.ascontiguousarray(np.moveaxis(array, 1, -1))
        unaligned = np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
        unaligned[...] = array
        swapped = array.astype(array.dtype.newbyteorder())
        read_only = array.copy()
        read_only.flags.writeable = False
        return {
            "strided": wide[..., 1::2],
            "Fortran": np.asfortranarray(array),
            "transposed": np.moveaxis(moved, -1, 1),
            "reversed": np.ascontiguousarray(array[::-1, ..., ::-1])[::-1, ..., ::-1],
            "unaligned": unaligned,
            "byte-swapped": swapped,
            "read-only": read_only,
        }

    @pytest.mark.parametrize(
        "form", ["strided", "Fortran", "transposed", "reversed", "unaligned", "byte-swapped", "read-only"]
    )
    def test_order_of_elements_in_memory_does_not_matter(self, form, dtype, rng):
        x, w = small_integers(rng, (2, 3, 6, 5), dtype), small_integers(rng, (4, 3, 3, 2), dtype)
        expected = reference.conv2d(x, w)
        y = F.conv2d(self.forms(x)[form], self.forms(w)[form])
        assert y.dtype == dtype
        assert y.dtype.isnative
        np.testing.assert_array_equal(y, expected)

    @pytest.mark.parametrize("offset", [1, 3])
    def test_memory_beside_the_arrays_is_neither_used_nor_written(self, offset, isa, threads, dtype, data_format, rng):
        def between_nan(array):
            memory = np.full(array.size + 2 * offset, np.nan, dtype)
            memory[offset:-offset] = array.ravel()
            return memory[offset:-offset].reshape(array.shape), memory

        x, w = small_integers(rng, (2, 9, 7, 19)), small_integers(rng, (3, 2, 19, 21))
        expected = sum(x[:, p : p + 7, q : q + 6] @ w[p, q] for p in range(3) for q in range(2))
        inputs = image_as(x, data_format, dtype), weight_as(w, data_format, dtype), np.ones(21, dtype)
        out, memory = between_nan(image_as(np.zeros_like(expected), data_format, dtype))
        F.conv2d(*(between_nan(array)[0] for array in inputs), data_format=data_format, out=out)
        np.testing.assert_array_equal(out, image_as(expected + 1, data_format, dtype))
        assert np.isnan(memory[:offset]).all()
        assert np.isnan(memory[-offset:]).all()

    def test_broadcast_input(self, dtype, rng):
        x = np.broadcast_to(small_integers(rng, (1, 1, 6, 5), dtype), (2, 3, 6, 5))
        w = np.broadcast_to(dtype(2), (4, 3, 3, 2))
        np.testing.assert_array_equal(F.conv2d(x, w), reference.conv2d(x, w))

    def test_inputs_are_unchanged(self, isa, threads, dtype, data_format, rng):
        arrays = [rng.standard_normal(shape).astype(dtype) for shape in ((2, 8, 8, 8), (8, 3, 8, 8), (8,))]
        if data_format == "channels_first":
            arrays[1] = np.ascontiguousarray(arrays[1].transpose(2, 3, 0, 1))
        else:
            arrays[1] = np.ascontiguousarray(arrays[1].transpose(0, 1, 3, 2))
        copies = [array.copy() for array in arrays]
        F.conv2d(*arrays, padding=1, data_format=data_format)
        for array, copy in zip(arrays, copies, strict=True):
            assert_same_bits(array, copy)

    def test_out_is_written_and_returned(self, dtype, rng):
        x, w = small_integers(rng, (2, 3, 6, 5), dtype), small_integers(rng, (4, 3, 3, 2), dtype)
        out = np.full((2, 4, 4, 4), np.nan, dtype)
        assert F.conv2d(x, w, out=out) is out
        np.testing.assert_array_equal(out, reference.conv2d(x, w))

    def test_out_may_be_strided_and_its_gaps_stay(self, dtype, rng):
        x, w = small_integers(rng, (2, 3, 6, 5), dtype), small_integers(rng, (4, 3, 3, 2), dtype)
        base = np.full((2, 4, 4, 8), 7, dtype)
        F.conv2d(x, w, out=base[..., ::2])
        np.testing.assert_array_equal(base[..., ::2], reference.conv2d(x, w))
        np.testing.assert_array_equal(base[..., 1::2], 7)

    def test_out_may_be_the_input(self, dtype, rng):
        x, w = small_integers(rng, (2, 3, 6, 5), dtype), small_integers(rng, (3, 3, 3, 3), dtype)
        expected = reference.conv2d(x, w, padding=1)
        F.conv2d(x, w, padding=1, out=x)
        np.testing.assert_array_equal(x, expected)


class TestResultsPastTheCaches:
    """A result of 8 MiB and more is written past the caches: the same bits as image by image, where it is not."""

    CASES: ClassVar = {
        "few channels": (3, 64, 3, 1, "direct"),
        "1x1": (16, 128, 1, 1, "direct"),
        "Winograd": (16, 64, 3, 1, "winograd_4x4"),
        "im2col": (8, 64, 3, 1, "im2col"),
        "depthwise": (64, 64, 3, 64, "direct"),
        "groups of 4": (64, 64, 3, 16, "direct"),
        "a channel too many": (16, 65, 1, 1, "direct"),
    }

    @staticmethod
    def images(channels, dtype):
        """How many images of 48x40 a result of 8 MiB has."""
        return 2**23 // (channels * 48 * 40 * np.dtype(dtype).itemsize) + 1

    @pytest.mark.parametrize("name", CASES)
    def test_forward(self, name, isa, threads, dtype, data_format, rng):
        ci, co, kernel, groups, algorithm = self.CASES[name]
        if algorithm.startswith("winograd") and dtype == np.float64:
            pytest.skip("Winograd's algorithm is for float32 here")
        x = image_as(rng.standard_normal((self.images(co, dtype), 48, 40, ci)), data_format, dtype)
        w = weight_as(rng.standard_normal((kernel, kernel, ci // groups, co)), data_format, dtype)
        b = rng.standard_normal(co).astype(dtype)
        given = {"padding": kernel // 2, "groups": groups, "algorithm": algorithm, "data_format": data_format}
        each = [F.conv2d(x[[i]], w, b, activation="relu", **given) for i in range(len(x))]
        assert_same_bits(F.conv2d(x, w, b, activation="relu", **given), np.concatenate(each))

    @pytest.mark.parametrize("groups", [1, 16, 64])
    @pytest.mark.parametrize("stride", [1, 2])
    def test_input_gradient(self, groups, stride, isa, threads, dtype, data_format, rng):
        images = self.images(64, dtype)
        x = image_as(np.zeros((images, 48, 40, 64)), data_format, dtype)
        gy = image_as(rng.standard_normal((images, 48 // stride, 40 // stride, 64)), data_format, dtype)
        w = weight_as(rng.standard_normal((3, 3, 64 // groups, 64)), data_format, dtype)
        given = {"padding": 1, "groups": groups, "stride": stride, "algorithm": "direct", "data_format": data_format}
        given["needs"] = ("input",)
        each = [F.conv2d_backward(gy[[i]], x[[i]], w, **given)[0] for i in range(images)]
        assert_same_bits(F.conv2d_backward(gy, x, w, **given)[0], np.concatenate(each))


class TestSpecialValues:
    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_not_finite_input_reaches_its_windows_and_no_others(self, isa, dtype, data_format, value, rng):
        x, w = rng.standard_normal((2, 7, 9, 18)), rng.standard_normal((3, 3, 18, 19))
        clean = image_as(x, data_format, dtype), weight_as(w, data_format, dtype)
        x[1, 4, 5, 17] = value
        expected = F.conv2d(*clean, padding=1, data_format=data_format)
        y = F.conv2d(image_as(x, data_format, dtype), clean[1], padding=1, data_format=data_format)
        met = image_as(np.zeros((2, 7, 9, 19)), data_format, bool)
        (met if data_format == "channels_last" else np.moveaxis(met, 1, -1))[1, 3:6, 4:7] = True
        assert not np.isfinite(y[met]).any()
        np.testing.assert_array_equal(y[~met], expected[~met])

    def test_infinity_times_weight_has_its_sign(self, isa, dtype):
        x = np.array([1, np.inf, 1, -np.inf, 1], dtype).reshape(1, 1, 1, 5)
        y = F.conv2d(x, np.array([2, -3], dtype).reshape(1, 1, 1, 2))
        np.testing.assert_array_equal(y.ravel(), [-np.inf, np.inf, np.inf, -np.inf])

    def test_input_that_no_window_meets_does_not_matter(self, isa, dtype, data_format):
        x = np.full((1, 10, 10, 5), np.nan)
        x[:, ::3, ::3] = 1
        w = np.ones((1, 1, 5, 6))
        y = F.conv2d(
            image_as(x, data_format, dtype), weight_as(w, data_format, dtype), stride=3, data_format=data_format
        )
        np.testing.assert_array_equal(y, 5)

    def test_groups_do_not_see_each_other(self, isa, dtype, data_format):
        x, w = np.ones((1, 5, 5, 9)), np.ones((3, 3, 3, 12))
        x[..., 3:6] = np.nan
        arrays = image_as(x, data_format, dtype), weight_as(w, data_format, dtype)
        y = F.conv2d(*arrays, groups=3, data_format=data_format)
        expected = np.full((1, 3, 3, 12), 27.0)
        expected[..., 4:8] = np.nan
        np.testing.assert_array_equal(y, image_as(expected, data_format, dtype))

    def test_subnormal_numbers_count_as_zero(self, isa, threads, dtype, data_format):
        tiny = np.finfo(dtype).smallest_subnormal * 1000
        x, w = np.ones((2, 12, 12, 20)), np.full((3, 3, 20, 20), tiny)
        for pair in ((x, w), (np.full_like(x, tiny), np.ones_like(w))):
            y = F.conv2d(
                image_as(pair[0], data_format, dtype), weight_as(pair[1], data_format, dtype), data_format=data_format
            )
            np.testing.assert_array_equal(y, 0)

    def test_callers_floating_point_mode_is_kept(self, isa, threads, dtype):
        x = np.ones((4, 32, 24, 24), dtype)
        F.conv2d(x, np.ones((32, 32, 3, 3), dtype))
        tiny = np.array([np.finfo(dtype).smallest_subnormal])
        assert (tiny + tiny)[0] > 0


class TestDtypes:
    @pytest.mark.parametrize(
        ("x", "w", "b", "result"),
        [
            ("f4", "f4", "f4", "f4"),
            ("f8", "f4", None, "f8"),
            ("f4", "f8", None, "f8"),
            ("f4", "f4", "f8", "f8"),
            ("f2", "f2", "f2", "f2"),
            ("f2", "f4", None, "f4"),
            ("f4", "f2", "f2", "f4"),
            ("i1", "i1", None, "f4"),
            ("u1", "f4", None, "f4"),
            ("?", "?", None, "f4"),
            ("i2", "f4", None, "f4"),
            ("i4", "f4", None, "f8"),
            ("i8", "i8", "i8", "f8"),
            ("u1", "f2", None, "f2"),
            ("i2", "f2", None, "f4"),
        ],
    )
    def test_result_has_the_promoted_dtype_and_the_right_values(self, x, w, b, result, rng):
        arrays = [
            None if code is None else rng.integers(0, 2, shape).astype(code)
            for code, shape in ((x, (2, 3, 5, 5)), (w, (4, 3, 2, 2)), (b, (4,)))
        ]
        y = F.conv2d(*arrays)
        assert y.dtype == result
        np.testing.assert_array_equal(y, reference.conv2d(*arrays))

    def test_float16_is_summed_in_float32(self):
        # 2048 + 1 is not a float16: a sum in float16 would stay at 2048.
        x = np.concatenate([[2048], np.ones(64)]).astype(np.float16).reshape(1, 65, 1, 1)
        assert F.conv2d(x, np.ones((1, 65, 1, 1), np.float16)).item() == 2112

    def test_lists_are_taken(self):
        y = F.conv2d([[[1, 2, 3]]], [[[[1, 1]]]])
        assert y.dtype == np.result_type(np.int_, np.float32)
        np.testing.assert_array_equal(y, [[[3, 5]]])

    def test_objects_with_dlpack_are_taken(self):
        class Tensor:
            def __init__(self, array):
                self.array = array

            def __dlpack__(self, **options):
                return self.array.__dlpack__(**options)

            def __dlpack_device__(self):
                return self.array.__dlpack_device__()

        x, w = np.ones((1, 1, 3, 3), np.float32), np.ones((1, 1, 2, 2), np.float32)
        np.testing.assert_array_equal(F.conv2d(Tensor(x), Tensor(w)), np.full((1, 1, 2, 2), 4))


class TestForms:
    @pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
    def test_image_without_a_batch_axis(self, data_format, rng):
        x, w = small_integers(rng, (1, 6, 5, 3)), small_integers(rng, (2, 2, 3, 4))
        batch, weight = image_as(x, data_format, np.float64), weight_as(w, data_format, np.float64)
        y = F.conv2d(batch[0], weight, data_format=data_format)
        np.testing.assert_array_equal(y, F.conv2d(batch, weight, data_format=data_format)[0])

    @pytest.mark.parametrize("two", [2, (2, 2), [2, 2], (2,), np.int32(2), np.array([2, 2])])
    def test_numbers_may_be_written_in_any_form(self, two, rng):
        x, w = small_integers(rng, (1, 2, 9, 9)), small_integers(rng, (3, 2, 2, 2))
        expected = reference.conv2d(x, w, None, (2, 2), ((2, 2), (2, 2)), (2, 2))
        np.testing.assert_array_equal(F.conv2d(x, w, None, two, two, two), expected)
        np.testing.assert_array_equal(F.conv2d(input=x, weight=w, stride=two, padding=two, dilation=two), expected)

    def test_repeated_calls_give_the_same_bits(self, isa, threads, dtype, rng):
        x, w = (rng.standard_normal(shape).astype(dtype) for shape in ((2, 33, 20, 20), (40, 33, 3, 3)))
        first = F.conv2d(x, w, padding=1)
        for _ in range(3):
            assert_same_bits(F.conv2d(x, w, padding=1), first)

    @pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh"])
    def test_fused_activation_is_that_of_the_result(self, activation, isa, threads, dtype, data_format, rng):
        x, w, b = rng.standard_normal((3, 13, 14, 5)), rng.standard_normal((3, 3, 5, 37)) / 8, rng.standard_normal(37)
        arrays = image_as(x, data_format, dtype), weight_as(w, data_format, dtype), b.astype(dtype)
        y = F.conv2d(*arrays, data_format=data_format, activation=activation)
        plain = F.conv2d(*arrays, data_format=data_format)
        assert_same_bits(y, getattr(F, activation)(plain))
