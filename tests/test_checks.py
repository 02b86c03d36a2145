"""What counts as an array, in which dtype it is computed, and where the result goes."""

import itertools

import numpy as np
import pytest

from fastconv._checks import deliver, needed, output_buffer, to_arrays


def convert(*values):
    return to_arrays("f", tuple("xyz")[: len(values)], values)


class OnlyDlpack:
    """An array of another library, as far as NumPy can tell."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


class TestToArrays:
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_ready_array_is_not_copied(self, dtype):
        x, y = np.ones((2, 3), dtype), np.ones(4, dtype)
        (a, b), result = convert(x, y)
        assert a is x
        assert b is y
        assert result == dtype

    def test_result_follows_numpy_with_integers_promoted_to_float(self):
        dtypes = [np.bool_, np.int8, np.uint8, np.int16, np.int32, np.int64, np.float16, np.float32, np.float64]
        for first, second in itertools.product(dtypes, dtypes):
            arrays, result = convert(np.ones(2, first), np.ones(2, second))
            expected = np.result_type(first, second)
            if expected.kind != "f":
                expected = np.result_type(expected, np.float32)
            assert result == expected
            assert {array.dtype for array in arrays} == {np.dtype(np.float32) if expected == np.float16 else expected}

    @pytest.mark.parametrize(
        "make",
        [
            pytest.param(lambda x: x.tolist(), id="list"),
            pytest.param(lambda x: np.repeat(x, 2, axis=1)[:, ::2], id="strided"),
            pytest.param(np.asfortranarray, id="fortran"),
            pytest.param(lambda x: x.astype(x.dtype.newbyteorder()), id="byte-swapped"),
            pytest.param(
                lambda x: np.frombuffer(b"\0" + x.tobytes(), "u1")[1:].view(x.dtype).reshape(x.shape), id="unaligned"
            ),
            pytest.param(np.matrix, id="matrix", marks=pytest.mark.filterwarnings("ignore:.*matrix")),
            pytest.param(np.ma.array, id="nothing-masked"),
            pytest.param(OnlyDlpack, id="dlpack"),
            pytest.param(lambda x: np.broadcast_to(x[:1], x.shape), id="broadcast"),
        ],
    )
    def test_any_form_becomes_a_plain_native_contiguous_array(self, make):
        x = np.tile(np.arange(4.0, dtype=np.float32), (3, 1))
        (a, _), _ = convert(make(x), x)
        assert type(a) is np.ndarray
        assert a.flags.c_contiguous
        assert a.flags.aligned
        assert a.dtype.isnative
        np.testing.assert_array_equal(a, x)

    def test_memory_map_and_read_only_array_are_not_copied(self, tmp_path):
        np.arange(6, dtype=np.float32).tofile(tmp_path / "x")
        x = np.memmap(tmp_path / "x", np.float32, "r", shape=(2, 3))
        (a,), _ = convert(x)
        assert type(a) is np.ndarray
        assert np.shares_memory(a, x)

    def test_scalar_keeps_its_shape(self):
        (a,), result = convert(3.0)
        assert a.shape == ()
        assert result == np.float64

    def test_only_a_bias_may_be_absent(self):
        x = np.ones(3)
        assert to_arrays("f", ("input", "bias"), (x, None))[0][1] is None
        assert to_arrays("f", ("input", "bias"), ([1.0], None))[0][1] is None
        with pytest.raises(TypeError, match=r"f: weight must have a .* dtype, got NoneType of dtype object"):
            to_arrays("f", ("input", "weight"), (x, None))

    @pytest.mark.parametrize(
        "value", [np.ones(2, complex), np.ones(2, object), np.ones(2, np.longdouble), "text", {1}, np.ones(2, "M8[s]")]
    )
    def test_other_dtypes_are_a_type_error(self, value):
        with pytest.raises(
            TypeError, match="f: y must have a boolean, integer, float16, float32 or float64 dtype, got"
        ):
            convert(np.ones(2), value)

    def test_masked_values_are_refused(self):
        with pytest.raises(TypeError, match=r"f: x must have no masked values, got 2; replace them first"):
            convert(np.ma.masked_greater(np.arange(4.0), 1))

    def test_ragged_list_is_a_value_error(self):
        with pytest.raises(ValueError, match=r"f: x must be an array, got list \(.*inhomogeneous"):
            convert([[1, 2], [3]])

    def test_refusal_of_another_library_is_a_type_error(self):
        class Device:
            def __dlpack__(self, **options):
                raise BufferError("not on this device")

            def __dlpack_device__(self):
                return (2, 0)

        with pytest.raises(TypeError, match="f: x must be an array, got Device"):
            convert(Device())


class TestOutput:
    @staticmethod
    def write(out, shape, result, inputs=()):
        """Do what a function does: get a buffer, fill it, deliver."""
        buffer = output_buffer("f", "out", out, shape, np.dtype(result), inputs)
        assert buffer.flags.c_contiguous
        assert buffer.dtype == (np.float32 if result == np.float16 else result)
        buffer[...] = np.arange(buffer.size).reshape(shape)
        return buffer, deliver(buffer, out, np.dtype(result))

    def test_contiguous_array_is_written_itself(self):
        out = np.empty((2, 3))
        buffer, y = self.write(out, (2, 3), np.float64)
        assert buffer is out
        assert y is out

    @pytest.mark.parametrize("out", [np.empty((2, 6))[:, ::2], np.empty((3, 2)).T, np.empty((2, 3), np.float16)])
    def test_other_array_is_filled_afterwards(self, out):
        buffer, y = self.write(out, (2, 3), out.dtype)
        assert buffer is not out
        assert y is out
        np.testing.assert_array_equal(out, [[0, 1, 2], [3, 4, 5]])

    def test_array_that_overlaps_an_input_is_written_last(self):
        memory = np.zeros(9)
        out, x = memory[:6].reshape(2, 3), memory[3:]
        buffer, _ = self.write(out, (2, 3), np.float64, (None, x))
        assert not np.shares_memory(buffer, memory)
        np.testing.assert_array_equal(memory[:6], np.arange(6))

    def test_float16_result_is_converted(self):
        assert self.write(None, (2,), np.float16)[1].dtype == np.float16

    @pytest.mark.parametrize(
        ("out", "error", "message"),
        [
            ([0.0, 0.0], TypeError, "f: out must be an ndarray, got list"),
            (np.ma.zeros(2), TypeError, "f: out must be an ndarray, got MaskedArray"),
            (np.empty(2, np.float32), TypeError, "f: out must have dtype float64, got float32"),
            (np.empty(2, np.dtype(float).newbyteorder()), TypeError, "f: out must have dtype float64, got >f8"),
            (np.empty((2, 1)), ValueError, r"f: out must have shape \(2,\), got \(2, 1\)"),
            (np.broadcast_to(0.0, 2), ValueError, "f: out must be writable, got a read-only array"),
        ],
    )
    def test_unfit_array_is_refused(self, out, error, message):
        with pytest.raises(error, match=message):
            output_buffer("f", "out", out, (2,), np.dtype(np.float64))


def test_needs_takes_one_name_or_several():
    names = ("input", "weight", "bias")
    assert needed("f", "weight", names) == ("weight",)
    assert needed("f", ["input", "bias"], names) == ("input", "bias")
    assert needed("f", (), names) == ()
    with pytest.raises(ValueError, match="f: needs must consist of 'input', 'weight', 'bias', got 'inputs'"):
        needed("f", {"inputs"}, names)
