"""Activations, softmax and their gradients."""

import numpy as np
import pytest
from oracle import assert_same_bits, assert_within, small_integers

import fastconv.functional as F
from fastconv import reference
from fastconv.testing import check_gradient

CURVED = ["sigmoid", "tanh", "elu", "gelu", "silu", "softplus"]
ELEMENTWISE = ["relu", "leaky_relu", "relu6", *CURVED]
SOFTMAX = ["softmax", "log_softmax"]
# Around the widths of vectors, and past the size from which several threads work.
SIZES = [0, 1, 3, 7, 8, 9, 15, 16, 17, 31, 33, 100, 70001]


def eps(dtype):
    return float(np.finfo(dtype).eps)


def tiny(dtype):
    """Subnormal results count as zero."""
    return float(np.finfo(dtype).tiny)


def numbers(rng, count, dtype, scale=10.0):
    """Numbers of all sizes, with both signs of zero and the ends among them."""
    x = rng.standard_normal(count) * scale ** rng.uniform(-3, 1, count)
    ends = [0.0, -0.0, 1e-30, -1e-30, 20.0, -20.0, 100.0, -100.0, 800.0, -800.0, 1e30, -1e30]
    x[: len(ends)] = ends[:count]
    return rng.permutation(x).astype(dtype)


class TestElementwise:
    @pytest.mark.parametrize("count", SIZES)
    @pytest.mark.parametrize("name", ["relu", "leaky_relu", "relu6"])
    def test_linear_units_are_exact_to_one_rounding(self, name, count, isa, threads, dtype, rng):
        x = numbers(rng, count, dtype)
        y = getattr(F, name)(x)
        expected = getattr(reference, name)(x)
        assert y.dtype == dtype
        assert_within(y, expected, eps(dtype) * np.abs(expected) + tiny(dtype))

    @pytest.mark.parametrize("name", ["relu", "silu"])  # whose loop writes there itself, and not
    def test_results_past_the_caches_are_those_of_parts(self, name, isa, threads, dtype, rng):
        forward, backward = getattr(F, name), getattr(F, f"{name}_backward")
        count = 2**23 // np.dtype(dtype).itemsize + 5
        x, gy = rng.standard_normal((2, count)).astype(dtype)
        parts = zip(np.array_split(x, 3), np.array_split(gy, 3), strict=True)
        y, gx = zip(*[(forward(a), backward(b, a)) for a, b in parts], strict=True)
        assert_same_bits(forward(x), np.concatenate(y))
        assert_same_bits(backward(gy, x), np.concatenate(gx))

    @pytest.mark.parametrize("slope", [0.0, 0.25, 1.0, 2.0, -0.5])
    def test_leaky_relu_with_any_slope(self, slope, isa, dtype, rng):
        x, gy = rng.integers(-8, 9, (2, 65)).astype(dtype)
        np.testing.assert_array_equal(F.leaky_relu(x, slope), reference.leaky_relu(x, slope))
        gx = F.leaky_relu_backward(gy, x, slope)
        np.testing.assert_array_equal(gx, reference.leaky_relu_backward(gy, x, slope))

    @pytest.mark.parametrize("count", SIZES)
    @pytest.mark.parametrize("name", CURVED)
    def test_curved_ones_are_within_a_few_roundings(self, name, count, isa, threads, dtype, rng):
        x = numbers(rng, count, dtype)
        y = getattr(F, name)(x)
        expected = getattr(reference, name)(x)
        assert y.dtype == dtype
        assert_within(y, expected, 8 * eps(dtype) * np.abs(expected) + 16 * tiny(dtype) + of_erfc(name, x, expected))

    @pytest.mark.parametrize("count", SIZES)
    @pytest.mark.parametrize("name", ELEMENTWISE)
    def test_gradient_matches_reference(self, name, count, isa, threads, dtype, rng):
        x, gy = numbers(rng, count, dtype), rng.standard_normal(count).astype(dtype)
        gx = getattr(F, f"{name}_backward")(gy, x)
        assert gx.dtype == dtype
        # 1 - y and 1 - y**2 cancel near the ends: what is lost is an eps of gy, times x in silu.
        assert_within(
            gx,
            getattr(reference, f"{name}_backward")(gy, x),
            (48 if name == "silu" else 16) * eps(dtype) * np.abs(gy) + tiny(dtype),
        )

    @pytest.mark.parametrize("name", ["sigmoid", "tanh"])
    def test_gradient_takes_the_output(self, name, isa, dtype, rng):
        x, gy = numbers(rng, 100, dtype), rng.standard_normal(100).astype(dtype)
        backward = getattr(F, f"{name}_backward")
        y = getattr(F, name)(x)
        assert_same_bits(backward(gy, None, output=y), backward(gy, x))

    @pytest.mark.parametrize("name", ["relu", "leaky_relu"])
    def test_gradient_of_linear_units_takes_the_output_for_the_input(self, name, isa, dtype, rng):
        x, gy = rng.standard_normal((2, 100)).astype(dtype)
        backward = getattr(F, f"{name}_backward")
        assert_same_bits(backward(gy, getattr(F, name)(x)), backward(gy, x))

    @pytest.mark.parametrize("name", ELEMENTWISE)
    def test_gradient_is_a_directional_derivative(self, name, isa, rng):
        x = rng.uniform(0.1, 3, (5, 7)) * rng.choice([-1, 1], (5, 7))
        check_gradient(getattr(F, name), x)

    @pytest.mark.parametrize("name", ELEMENTWISE)
    @pytest.mark.parametrize("size", [1, 40])
    def test_nan_stays_where_it_is(self, name, size, isa, dtype):
        x = np.ones((3, size), dtype)
        x[1] = np.nan
        np.testing.assert_array_equal(np.isnan(getattr(F, name)(x)), np.isnan(x))

    @pytest.mark.parametrize("size", [1, 40])
    @pytest.mark.parametrize(
        ("name", "ends"),
        [
            ("relu", (0, np.inf)),
            ("leaky_relu", (-np.inf, np.inf)),
            ("relu6", (0, 6)),
            ("sigmoid", (0, 1)),
            ("tanh", (-1, 1)),
            ("elu", (-1, np.inf)),
            ("gelu", (0, np.inf)),
            ("silu", (0, np.inf)),
            ("softplus", (0, np.inf)),
        ],
    )
    def test_infinities(self, name, ends, size, isa, dtype):
        for x, end in zip((-np.inf, np.inf), ends, strict=True):
            np.testing.assert_array_equal(getattr(F, name)(np.full(size, x, dtype)), end)

    @pytest.mark.parametrize("name", ["relu", "leaky_relu", "relu6", "elu", "silu"])
    def test_inplace_writes_to_the_input(self, name, dtype, rng):
        for x in (small_integers(rng, (4, 5), dtype), small_integers(rng, (4, 10), dtype)[:, ::2]):
            expected = getattr(reference, name)(x)
            y = getattr(F, name)(x, inplace=True)
            assert y is x
            assert_within(y, expected, 4 * eps(dtype) * np.abs(expected))


def of_erfc(name, x, expected):
    """Return how far the reference may err: erfc of x / sqrt(2), rounded to float64, errs by x**2 units."""
    return np.minimum(x.astype(float) ** 2, 1600) * eps(float) * np.abs(expected) if name == "gelu" else 0


class TestSoftmax:
    @pytest.mark.parametrize(
        "shape", [(1, 1), (3, 1), (5, 7), (4, 10), (3, 16), (2, 33), (2, 1000), (3000, 10), (0, 4)], ids=str
    )
    @pytest.mark.parametrize("name", SOFTMAX)
    def test_rows_match_reference(self, name, shape, isa, threads, dtype, rng):
        x = (10 * rng.standard_normal(shape)).astype(dtype)
        y = getattr(F, name)(x)
        expected = getattr(reference, name)(x)
        assert y.dtype == dtype
        assert_within(y, expected, rounding(name, x, expected, dtype))

    @pytest.mark.parametrize("dim", [0, 1, 2, 3, -1, -2])
    @pytest.mark.parametrize("name", SOFTMAX)
    def test_any_axis(self, name, dim, isa, dtype, rng):
        x, gy = rng.standard_normal((2, 2, 3, 4, 5)).astype(dtype)
        y = getattr(F, name)(x, dim)
        expected = getattr(reference, name)(x, dim)
        assert y.flags.c_contiguous
        assert_within(y, expected, 16 * eps(dtype))
        gx = getattr(F, f"{name}_backward")(gy, x, dim)
        assert_within(gx, getattr(reference, f"{name}_backward")(gy, x, dim), 32 * eps(dtype) * np.abs(gy).max())

    @pytest.mark.parametrize("shape", [(1, 1), (5, 7), (3, 16), (2, 33), (3000, 10), (0, 4)], ids=str)
    @pytest.mark.parametrize("name", SOFTMAX)
    def test_gradient_matches_reference(self, name, shape, isa, threads, dtype, rng):
        x, gy = (3 * rng.standard_normal(shape)).astype(dtype), rng.standard_normal(shape).astype(dtype)
        gx = getattr(F, f"{name}_backward")(gy, x)
        expected = getattr(reference, f"{name}_backward")(gy, x)
        scale = np.abs(gy).sum(axis=-1, keepdims=True)
        assert_within(gx, expected, 64 * eps(dtype) * scale + tiny(dtype))

    @pytest.mark.parametrize("name", SOFTMAX)
    def test_gradient_takes_the_output(self, name, isa, dtype, rng):
        x, gy = rng.standard_normal((2, 6, 9)).astype(dtype)
        backward = getattr(F, f"{name}_backward")
        for dim in (0, 1):
            assert_same_bits(backward(gy, None, dim, output=getattr(F, name)(x, dim)), backward(gy, x, dim))

    @pytest.mark.parametrize("name", SOFTMAX)
    @pytest.mark.parametrize("dim", [0, -1])
    def test_gradient_is_a_directional_derivative(self, name, dim, isa, rng):
        check_gradient(getattr(F, name), rng.standard_normal((5, 7)), dim=dim)

    @pytest.mark.parametrize("columns", [2, 7, 40])
    def test_large_numbers_do_not_overflow(self, columns, isa, dtype):
        x = np.full((3, columns), np.finfo(dtype).max / 2, dtype)
        assert_within(F.softmax(x), np.full(x.shape, 1 / columns), 4 * eps(dtype))
        assert_within(F.log_softmax(x), np.full(x.shape, -np.log(columns)), 4 * eps(dtype) * np.log(columns))

    @pytest.mark.parametrize("columns", [2, 7, 40])
    def test_minus_infinity_has_no_share(self, columns, isa, dtype):
        x = np.zeros((2, columns), dtype)
        x[0, 1:] = -np.inf
        np.testing.assert_array_equal(F.softmax(x)[0], [1] + (columns - 1) * [0])
        np.testing.assert_array_equal(F.log_softmax(x)[0], [0] + (columns - 1) * [-np.inf])

    @pytest.mark.parametrize("columns", [2, 7, 40])
    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    @pytest.mark.parametrize("name", SOFTMAX)
    def test_nan_and_infinity_make_their_row_nan_and_no_other(self, name, bad, columns, isa, dtype):
        x = np.zeros((3, columns), dtype)
        expected = getattr(F, name)(x)
        x[1, -1] = bad
        y = getattr(F, name)(x)
        assert np.isnan(y[1, -1])
        np.testing.assert_array_equal(y[[0, 2]], expected[[0, 2]])
        if np.isnan(bad):
            assert np.isnan(y[1]).all()

    @pytest.mark.parametrize("name", SOFTMAX)
    def test_vector_and_scalar(self, name, dtype):
        assert_within(getattr(F, name)(np.zeros(4, dtype)), getattr(reference, name)(np.zeros(4)), 4 * eps(dtype))
        assert getattr(F, name)(dtype(3)).shape == ()


def rounding(name, x, expected, dtype):
    """Bound softmax: rounding of x - max changes a power by as much, relatively, and a logarithm absolutely."""
    distance = np.ptp(x, axis=-1, keepdims=True) if x.size else np.zeros(x.shape)
    spread = (distance.astype(np.float64) + 16) * eps(dtype)
    return spread * np.abs(expected) + 1.5 * tiny(dtype) if name == "softmax" else spread


@pytest.mark.parametrize("name", ELEMENTWISE + SOFTMAX)
class TestAll:
    def test_any_shape(self, name, dtype, rng):
        for shape in ((), (5,), (2, 0, 3), (2, 3, 4, 5)):
            x = rng.standard_normal(shape).astype(dtype)
            y = getattr(F, name)(x)
            assert y.shape == shape
            assert getattr(F, f"{name}_backward")(y, x).shape == shape

    def test_inputs_are_unchanged_and_their_order_in_memory_does_not_matter(self, name, isa, dtype, rng):
        x, gy = rng.standard_normal((2, 6, 8)).astype(dtype)
        copies = x.copy(), gy.copy()
        forward, backward = getattr(F, name), getattr(F, f"{name}_backward")
        y, gx = forward(x), backward(gy, x)
        assert_same_bits(x, copies[0])
        assert_same_bits(gy, copies[1])
        read_only = x.copy()
        read_only.flags.writeable = False
        for other in (np.asfortranarray(x), np.ascontiguousarray(x[:, ::-1])[:, ::-1], read_only):
            assert_same_bits(forward(other), y)
            assert_same_bits(backward(np.asfortranarray(gy), other), gx)

    @pytest.mark.parametrize(("code", "result"), [("f2", "f2"), ("u1", "f4"), ("?", "f4"), ("i8", "f8"), (">f4", "f4")])
    def test_result_has_the_promoted_dtype(self, name, code, result):
        x = np.array([[0, 1, 1], [1, 0, 1]]).astype(code)
        y = getattr(F, name)(x)
        assert y.dtype == result
        assert_within(y, getattr(reference, name)(x), 8 * eps(result))

    def test_lists_are_taken(self, name):
        assert_within(getattr(F, name)([[0, 1], [2, 3]]), getattr(reference, name)([[0, 1], [2, 3]]), 8 * eps("f8"))

    def test_same_as_torch(self, torch, name, rng):
        x, gy = 3 * rng.standard_normal((4, 5, 6)), rng.standard_normal((4, 5, 6))
        options = {"dim": 1} if name in SOFTMAX else {}
        tensor = torch.tensor(x, requires_grad=True)
        expected = getattr(torch.nn.functional, name)(tensor, **options)
        expected.backward(torch.tensor(gy))
        np.testing.assert_allclose(getattr(F, name)(x, **options), expected.detach().numpy(), rtol=1e-13, atol=1e-14)
        gx = getattr(F, f"{name}_backward")(gy, x, **options)
        np.testing.assert_allclose(gx, tensor.grad.numpy(), rtol=1e-11, atol=1e-14)


# Rows of whole vectors and not; columns that lie a power of two apart, which are copied, in blocks of several widths.
@pytest.mark.parametrize(
    ("shape", "axis"),
    [((5, 64), 1), ((3, 63), 1), ((2, 16), 1), ((2, 21, 1027), 1), ((2, 21, 1024), 1), ((1, 3, 2048), 1)],
)
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_of_every_way_matches_its_formula(name, shape, axis, isa, dtype, rng):
    x, gy = (3 * rng.standard_normal((2, *shape))).astype(dtype)
    log_p = x - np.log(np.exp(x.astype(float)).sum(axis, keepdims=True))
    p, eps = np.exp(log_p), float(np.finfo(dtype).eps)
    y = getattr(F, name)(x, axis)
    expected = p if name == "softmax" else log_p
    size = p * (4 + np.abs(x)) if name == "softmax" else 8 + np.abs(x)
    assert_within(y, expected, 4 * eps * size)
    gx = getattr(F, f"{name}_backward")(gy, None, axis, output=y)
    total = ((p if name == "softmax" else 1) * gy.astype(float)).sum(axis, keepdims=True)
    expected = p * (gy - total) if name == "softmax" else gy - p * total
    assert_within(gx, expected, 8 * eps * (shape[axis] + 8) * (np.abs(gy) + p * np.abs(gy).sum(axis, keepdims=True)))


def test_nan_in_a_row_of_softmax_stays_in_its_row(isa, dtype):
    for columns in (3, 16, 64, 1000):
        x = np.zeros((4, columns), dtype)
        x[1, columns // 2] = np.nan
        for y in (F.softmax(x), F.log_softmax(x), F.softmax(x.T.copy(), 0).T):
            assert np.isnan(y).all(axis=1).tolist() == [False, True, False, False]
            assert np.isfinite(y[[0, 2, 3]]).all()
