"""The linear map and its gradients."""

import ctypes
import mmap

import numpy as np
import pytest
from oracle import assert_same_bits, assert_within, small_integers

import fastconv.functional as F
from fastconv import reference
from fastconv.testing import check_gradient, error_bound

# Few samples of large layers, whose weights are read where they lie.
LARGE = [(1, 1100, 270), (2, 3000, 129), (3, 530, 500), (4, 517, 1001), (6, 2101, 1030), (5, 2050, 33), (1, 87454, 5)]
SIZES = [
    *[(1, 1, 1), (3, 5, 2), (32, 8, 16), (33, 17, 31), (7, 130, 65), (1, 1000, 10), (128, 64, 10), (200, 3, 33)],
    *LARGE,
]


def weight_shape(inputs, outputs, data_format):
    return (inputs, outputs) if data_format == "channels_last" else (outputs, inputs)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_linear_matches_reference(size, isa, threads, dtype, data_format, rng):
    samples, inputs, outputs = size
    shapes = (samples, inputs), weight_shape(inputs, outputs, data_format), outputs
    arrays = [rng.standard_normal(shape).astype(dtype) for shape in shapes]
    y = F.linear(*arrays, data_format=data_format)
    bound = error_bound(reference.linear(*map(np.abs, arrays), data_format=data_format), inputs + 1, dtype)
    assert y.dtype == dtype
    assert_within(y, reference.linear(*arrays, data_format=data_format), bound)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_linear_and_gradients_are_exact_on_small_integers(size, isa, threads, dtype, data_format, rng):
    samples, inputs, outputs = size
    shapes = (samples, inputs), weight_shape(inputs, outputs, data_format), outputs
    arrays = [small_integers(rng, shape, dtype) for shape in shapes]
    gy = small_integers(rng, (samples, outputs), dtype)
    y = F.linear(*arrays, data_format=data_format)
    np.testing.assert_array_equal(y, reference.linear(*arrays, data_format=data_format))
    gradients = F.linear_backward(gy, *arrays, data_format=data_format)
    expected = reference.linear_backward(gy, *arrays, data_format=data_format)
    for gradient, value in zip(gradients, expected, strict=True):
        np.testing.assert_array_equal(gradient, value)


@pytest.mark.parametrize("leading", [(), (4,), (2, 3), (2, 0, 3), (1, 2, 3, 4)], ids=str)
def test_any_number_of_leading_axes(leading, data_format, rng):
    x, w = small_integers(rng, (*leading, 5)), small_integers(rng, weight_shape(5, 7, data_format))
    b, gy = small_integers(rng, (7,)), small_integers(rng, (*leading, 7))
    np.testing.assert_array_equal(
        F.linear(x, w, b, data_format=data_format), reference.linear(x, w, b, data_format=data_format)
    )
    gradients = F.linear_backward(gy, x, w, b, data_format=data_format)
    for gradient, value in zip(gradients, reference.linear_backward(gy, x, w, b, data_format=data_format), strict=True):
        assert gradient.shape == value.shape
        np.testing.assert_array_equal(gradient, value)


@pytest.mark.parametrize("size", [(7, 5, 33), *LARGE[:4]], ids=str)
@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh"])
def test_fused_activation_is_that_of_the_result(activation, size, isa, dtype, data_format, rng):
    samples, inputs, outputs = size
    shapes = (samples, inputs), weight_shape(inputs, outputs, data_format), outputs
    x, w, b = (rng.standard_normal(shape).astype(dtype) / inputs**0.5 for shape in shapes)
    for _ in range(2):
        y = F.linear(x, w, b, data_format=data_format, activation=activation)
        assert_same_bits(y, getattr(F, activation)(F.linear(x, w, b, data_format=data_format)))


def test_unknown_activation_is_refused():
    with pytest.raises(
        ValueError, match="linear: activation must be one of None, 'relu', 'sigmoid', 'tanh', got 'gelu'"
    ):
        F.linear([[1.0]], [[1.0]], activation="gelu")


def test_gradients_are_directional_derivatives(isa, data_format, rng):
    w = rng.standard_normal(weight_shape(9, 17, data_format))
    check_gradient(F.linear, (rng.standard_normal((5, 9)), w, rng.standard_normal(17)), data_format=data_format)


def test_gradients_are_adjoints(isa, rng):
    x, w, gy = (rng.standard_normal(shape) for shape in ((20, 33), (65, 33), (20, 65)))
    gx, gw, _ = F.linear_backward(gy, x, w)
    product = np.vdot(F.linear(x, w), gy)
    assert np.vdot(x, gx) == pytest.approx(product, rel=1e-10)
    assert np.vdot(w, gw) == pytest.approx(product, rel=1e-10)


@pytest.mark.parametrize("needs", [(), ("input",), ("weight",), ("bias",), ("input", "bias"), "weight"])
def test_gradients_that_are_not_needed_are_none(needs, rng):
    x, w, b, gy = (small_integers(rng, shape) for shape in ((4, 3), (5, 3), (5,), (4, 5)))
    expected = reference.linear_backward(gy, x, w, b)
    wanted = (needs,) if isinstance(needs, str) else needs
    gradients = F.linear_backward(gy, x, w, b, needs=needs)
    for name, gradient, value in zip(("input", "weight", "bias"), gradients, expected, strict=True):
        if name in wanted:
            np.testing.assert_array_equal(gradient, value)
        else:
            assert gradient is None


def test_empty_batch_gives_zero_for_weight_and_bias(isa, dtype):
    x, w, b = np.ones((0, 3), dtype), np.ones((5, 3), dtype), np.ones(5, dtype)
    assert F.linear(x, w, b).shape == (0, 5)
    gx, gw, gb = F.linear_backward(np.ones((0, 5), dtype), x, w, b)
    assert gx.shape == (0, 3)
    np.testing.assert_array_equal(gw, np.zeros((5, 3)))
    np.testing.assert_array_equal(gb, np.zeros(5))


def test_inputs_are_unchanged_and_their_order_in_memory_does_not_matter(dtype, rng):
    arrays = [small_integers(rng, shape, dtype) for shape in ((6, 5), (7, 5), (7,))]
    copies = [array.copy() for array in arrays]
    expected = reference.linear(*arrays)
    np.testing.assert_array_equal(F.linear(*arrays), expected)
    for array, copy in zip(arrays, copies, strict=True):
        assert_same_bits(array, copy)
    x, w, b = arrays
    np.testing.assert_array_equal(F.linear(np.asfortranarray(x), np.asfortranarray(w), b), expected)
    np.testing.assert_array_equal(
        F.linear(np.ascontiguousarray(x[:, ::-1])[:, ::-1], w, np.repeat(b, 2)[::2]), expected
    )


def test_out_is_written_and_returned(dtype, rng):
    x, w = small_integers(rng, (6, 5), dtype), small_integers(rng, (7, 5), dtype)
    out = np.full((6, 7), np.nan, dtype)
    assert F.linear(x, w, out=out) is out
    np.testing.assert_array_equal(out, reference.linear(x, w))


@pytest.mark.parametrize(
    ("codes", "result"), [("f8 f4", "f8"), ("f4 f8", "f8"), ("f2 f2", "f2"), ("u1 f4", "f4"), ("i8 i8", "f8")]
)
def test_result_has_the_promoted_dtype(codes, result, rng):
    x, w = (rng.integers(0, 3, shape).astype(code) for shape, code in zip(((4, 5), (6, 5)), codes.split(), strict=True))
    y = F.linear(x, w)
    assert y.dtype == result
    np.testing.assert_array_equal(y, reference.linear(x, w))


def test_nan_stays_in_its_sample(isa, dtype, rng):
    x, w = small_integers(rng, (40, 33), dtype), small_integers(rng, (35, 33), dtype)
    expected = reference.linear(x, w)
    x[17, 32] = np.nan
    expected[17] = np.nan
    np.testing.assert_array_equal(F.linear(x, w), expected)


@pytest.mark.parametrize("shape", [(4, 3), (3,), (2, 4, 3)], ids=str)
@pytest.mark.parametrize("outputs", [(5,), ()], ids=str)
def test_same_as_torch(torch, shape, outputs, rng):
    arrays = [rng.standard_normal(s) for s in (shape, (*outputs, 3), outputs)]
    if not outputs:
        arrays.pop()  # torch takes no bias for a weight with one axis
    tensors = [torch.tensor(array, requires_grad=True) for array in arrays]
    expected = torch.nn.functional.linear(*tensors)
    y = F.linear(*arrays)
    assert y.shape == tuple(expected.shape)
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-13, atol=1e-13)
    gy = rng.standard_normal(y.shape)
    expected.backward(torch.tensor(gy))
    for gradient, tensor in zip(F.linear_backward(gy, *arrays), tensors, strict=False):
        np.testing.assert_allclose(gradient, tensor.grad.numpy(), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("outputs", range(1, 9))
def test_weights_of_few_outputs_are_not_read_past_their_end(outputs, isa, dtype, rng):
    """A page that may not be read lies behind them."""
    inputs = 2**20 // (outputs * np.dtype(dtype).itemsize) // 8 * 8 + 10
    size = inputs * outputs * np.dtype(dtype).itemsize
    pages = -(-size // mmap.PAGESIZE)
    memory = mmap.mmap(-1, (pages + 1) * mmap.PAGESIZE)
    first = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.mprotect(ctypes.c_void_p(first + pages * mmap.PAGESIZE), mmap.PAGESIZE, 0) == 0
    try:
        w = np.frombuffer(memory, dtype, inputs * outputs, pages * mmap.PAGESIZE - size).reshape(inputs, outputs)
        w[:] = small_integers(rng, w.shape, dtype)
        x = small_integers(rng, (2, inputs), dtype)
        np.testing.assert_array_equal(F.linear(x, w, data_format="channels_last"), x @ w)
        gy = small_integers(rng, (2, inputs), dtype)
        gx = F.linear_backward(gy, np.zeros((2, outputs), dtype), w, needs="input")[0]
        np.testing.assert_array_equal(gx, gy @ w)
    finally:
        libc.mprotect(ctypes.c_void_p(first + pages * mmap.PAGESIZE), mmap.PAGESIZE, 3)
