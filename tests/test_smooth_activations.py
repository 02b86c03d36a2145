"""Activations with parameters: elu, gelu, silu, softplus, prelu."""

import inspect
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from oracle import assert_same_bits, assert_within

import fastconv.functional as F
from fastconv import reference
from fastconv.testing import check_gradient

FORMS = [
    ("relu6", (), {}),
    ("elu", (), {}),
    ("elu", (0.5,), {}),
    ("elu", (), {"alpha": -0.5}),
    ("gelu", (), {}),
    ("gelu", (), {"approximate": "none"}),
    ("gelu", (), {"approximate": "tanh"}),
    ("silu", (), {}),
    ("softplus", (), {}),
    ("softplus", (2,), {}),
    ("softplus", (0.5, 1.0), {}),
    ("softplus", (), {"beta": -1.0, "threshold": 2}),
    ("softplus", (), {"threshold": float("inf")}),
]
INPLACE = [("relu6", (False,), {}), ("elu", (2.0, False), {}), ("silu", (), {"inplace": False})]


def each(*forms):
    return pytest.mark.parametrize(("name", "args", "options"), forms, ids=lambda value: str(value))


def eps(dtype):
    return float(np.finfo(dtype).eps)


def numbers(rng, shape, dtype):
    """Return numbers of all sizes between those that change nothing and those at which functions are flat."""
    return (rng.choice([-1, 1], shape) * 10 ** rng.uniform(-4, 1.4, shape)).astype(dtype)


@given(data=st.data(), form=st.sampled_from(FORMS), dtype=st.sampled_from([np.float32, np.float64]))
def test_values_and_gradients_match_reference(data, form, dtype):
    name, args, options = form
    shape = data.draw(st.lists(st.integers(0, 9), max_size=4).map(tuple))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**16)))
    # Numbers that float32 holds: both see the same.
    if name == "elu" and data.draw(st.booleans()):
        args, options = (data.draw(st.floats(-3, 3, width=32)),), {}
    if name == "softplus" and data.draw(st.booleans()):
        beta = data.draw(st.floats(0.125, 8, width=32)) * data.draw(st.sampled_from([-1, 1]))
        args, options = (beta, data.draw(st.floats(-30, 50, width=32))), {}
    x, gy = numbers(rng, shape, dtype), rng.standard_normal(shape).astype(dtype)
    y, expected = (getattr(module, name)(x, *args, **options) for module in (F, reference))
    assert y.dtype == dtype
    # The exponential of an argument z errs by |z| of the units in which z is rounded; |z| <= 200 here.
    assert_within(y, expected, 1000 * eps(dtype) * np.abs(expected) + 16 * float(np.finfo(dtype).tiny))
    gx, expected = (getattr(module, f"{name}_backward")(gy, x, *args, **options) for module in (F, reference))
    assert gx.dtype == dtype
    assert_within(gx, expected, 128 * eps(dtype) * np.abs(gy))


@each(*FORMS, *INPLACE)
class TestArgumentsOfTorch:
    @pytest.mark.parametrize("shape", [(), (5,), (2, 3, 4, 5), (0, 3)], ids=str)
    def test_same_as_torch(self, torch, name, args, options, shape, dtype, rng):
        x, gy = numbers(rng, shape, dtype), rng.standard_normal(shape).astype(dtype)
        tensor = torch.tensor(x, requires_grad=True)
        expected = getattr(torch.nn.functional, name)(tensor, *args, **options)
        expected.backward(torch.tensor(gy))
        tolerance = {"rtol": 64 * eps(dtype), "atol": 16 * eps(dtype)}
        np.testing.assert_allclose(getattr(F, name)(x, *args, **options), expected.detach().numpy(), **tolerance)
        gx = getattr(F, f"{name}_backward")(gy, x, *args, **options)
        np.testing.assert_allclose(gx, tensor.grad.numpy(), **tolerance)


@each(*FORMS)
class TestForms:
    def test_gradient_is_a_directional_derivative(self, name, args, options, isa, rng):
        x = rng.uniform(0.1, 0.9, (5, 7)) * rng.choice([-1, 1], (5, 7))
        names = list(inspect.signature(getattr(F, name)).parameters)[1:]
        check_gradient(getattr(F, name), x, **dict(zip(names, args, strict=False)), **options)

    def test_extreme_and_special_numbers(self, name, args, options, isa, dtype):
        largest = np.finfo(dtype).max
        x = np.array([np.nan, -np.inf, np.inf, -largest, largest, -1e4, 1e4, 0.0, -0.0], dtype)
        y = getattr(F, name)(x, *args, **options)
        gx = getattr(F, f"{name}_backward")(np.ones_like(x), x, *args, **options)
        np.testing.assert_array_equal(np.isnan(y), np.isnan(x))
        assert not np.isnan(gx[1:]).any()
        with np.errstate(over="ignore"):
            np.testing.assert_allclose(y[5:], getattr(reference, name)(x[5:], *args, **options), rtol=8 * eps(dtype))
        with np.errstate(over="ignore"):
            expected = getattr(reference, f"{name}_backward")(np.ones(9), x, *args, **options)
        np.testing.assert_allclose(gx[1:], expected[1:], rtol=8 * eps(dtype))

    def test_keeps_precision_near_zero(self, name, args, options, isa, dtype):
        x = np.array([1e-12, -1e-12, 3e-6, -3e-6], dtype)
        expected = getattr(reference, name)(x, *args, **options)
        assert_within(getattr(F, name)(x, *args, **options), expected, 8 * eps(dtype) * np.abs(expected))


class TestElu:
    @pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0, 3.0])
    def test_gradient_takes_the_output(self, alpha, isa, dtype, rng):
        x, gy = numbers(rng, 100, dtype), rng.standard_normal(100).astype(dtype)
        gx = F.elu_backward(gy, None, alpha, output=F.elu(x, alpha))
        assert_within(gx, reference.elu_backward(gy, x, alpha), 4 * eps(dtype) * max(alpha, 1) * np.abs(gy))

    def test_gradient_from_the_input_is_precise_where_it_is_small(self, dtype):
        gx = F.elu_backward(np.ones(1, dtype), np.full(1, -30, dtype))
        assert_within(gx, np.exp([-30.0]), 4 * eps(dtype) * np.exp(-30.0))

    def test_output_needs_an_alpha_that_is_not_negative(self):
        with pytest.raises(
            ValueError, match=r"^elu_backward: alpha must not be negative where output is given, got -1$"
        ):
            F.elu_backward([1.0], None, -1, output=[1.0])


# Function, units in the last place that its result may be off, arguments; below results are subnormal.
UNITS = [
    ("sigmoid", 3, (-86, 90)),
    ("tanh", 3, (-20, 20)),
    ("elu", 2, (-30, 5)),
    ("silu", 3, (-86, 90)),
    ("softplus", 4, (-86, 19)),
    ("gelu", 7, (-12.8, 9)),
]
EXACT = {
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "softplus": lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))),
    "gelu": lambda x: x * np.array([math.erfc(-v / math.sqrt(2)) / 2 for v in x]),
}


def units_off(y, expected):
    return np.abs(y.astype(expected.dtype) - expected) / np.spacing(np.abs(expected.astype(y.dtype)))


@pytest.mark.parametrize(("name", "units", "bounds"), UNITS, ids=lambda value: str(value))
def test_units_in_the_last_place_over_a_dense_range(name, units, bounds, isa, rng):
    wide = np.linspace(*bounds, 100_003)
    small = rng.choice([-1, 1], 20_000) * np.exp(rng.uniform(-30, 0, 20_000))
    x = np.concatenate([wide, small]).astype(np.float32)
    assert units_off(getattr(F, name)(x), EXACT[name](x.astype(np.float64))).max() <= units


@pytest.mark.skipif(np.finfo(np.longdouble).eps > 1e-18, reason="needs a longer type than float64")
@pytest.mark.parametrize(("name", "units", "bounds"), UNITS[:-1], ids=lambda value: str(value))
def test_units_in_the_last_place_of_float64(name, units, bounds, isa, rng):
    x = np.concatenate([np.linspace(*bounds, 30_011), rng.choice([-1, 1], 9999) * np.exp(rng.uniform(-60, 0, 9999))])
    assert units_off(getattr(F, name)(x), EXACT[name](x.astype(np.longdouble))).max() <= units


def test_gelu_of_float64_is_within_units_from_the_tail_to_zero(isa, rng):
    mpmath = pytest.importorskip("mpmath")
    x = np.concatenate([np.linspace(-37.4, 9, 2003), -np.exp(rng.uniform(-60, 0, 300))])
    with mpmath.workdps(40):
        exact = [v * mpmath.erfc(-v / mpmath.sqrt(2)) / 2 for v in map(mpmath.mpf, x.tolist())]
        pairs = zip(F.gelu(x).tolist(), exact, strict=True)
        off = [float(abs(y - e)) / np.spacing(abs(float(e))) for y, e in pairs]
    assert max(off) <= 7


@pytest.mark.parametrize("name", ["relu6", "elu", "gelu", "silu", "softplus", "sigmoid", "tanh"])
def test_limits_zeros_and_nan(name, isa, dtype):
    far = {"softplus": 0.0, "sigmoid": 0.0, "tanh": -1.0, "elu": -1.0}.get(name, -0.0)
    limit = {"relu6": 6.0, "sigmoid": 1.0, "tanh": 1.0}.get(name, np.inf)
    f = getattr(F, name)
    y = f(np.array([-np.inf, -1e30, -800.0, np.inf], dtype))
    assert_array_equal(y, np.array([far, far, far, limit], dtype))
    assert np.isnan(f(np.full(33, np.nan, dtype))).all()
    if name in {"gelu", "silu"}:
        assert np.signbit(f(np.array([-0.0, 0.0], dtype))).tolist() == [True, False]
    with np.errstate(invalid="ignore"):
        gx = getattr(F, f"{name}_backward")(np.ones(4, dtype), np.array([-np.inf, -1e30, np.nan, 1e30], dtype))
    assert_array_equal(gx[[0, 1, 3]], np.array([0, 0, 0 if name in {"relu6", "sigmoid", "tanh"} else 1], dtype))
    assert name == "relu6" or np.isnan(gx[2])


def test_gelu_keeps_its_relative_precision_in_the_tail(isa, dtype):
    x = np.linspace(-12, -3, 50).astype(dtype)
    # erfc errs by x**2 units in the reference, in float64.
    expected = reference.gelu(x)
    assert_within(F.gelu(x), expected, (8 * eps(dtype) + x.astype(float) ** 2 * eps(float)) * np.abs(expected))


def test_softplus_is_the_identity_above_the_threshold_and_not_at_it(isa, dtype):
    x = np.array([0.5, 1.0, 1.5], dtype)
    y = F.softplus(x, 2.0, 2.0)
    assert (y[:2] > x[:2]).all()
    assert y[2] == x[2]
    gx = F.softplus_backward(np.ones(3, dtype), x, 2.0, 2.0)
    assert (gx[:2] < 1).all()
    assert gx[2] == 1


# A weight for each channel, one for all; any number of axes.
PRELU = [((2, 3, 4, 5), (3,)), ((2, 3, 4, 5), (1,)), ((2, 3, 4, 5), ()), ((4, 3), (3,)), ((7,), (1,)), ((), ())]
PRELU += [((0, 3, 2), (3,)), ((2, 0, 2), (0,)), ((2, 3, 0), (3,)), ((3, 17, 1000), (17,)), ((2, 1, 5), (1,))]


class TestPrelu:
    @pytest.mark.parametrize(("shape", "weight_shape"), PRELU, ids=str)
    def test_values_and_gradients_match_reference(self, shape, weight_shape, data_format, isa, threads, dtype, rng):
        if data_format == "channels_last" and len(shape) > 2:
            shape = (shape[0], *shape[2:], shape[1])
        x, gy = rng.standard_normal((2, *shape)).astype(dtype)
        w = rng.standard_normal(weight_shape).astype(dtype)
        y = F.prelu(x, w, data_format=data_format)
        expected = reference.prelu(x, w, data_format=data_format)
        assert_within(y, expected, eps(dtype) * np.abs(expected))
        gx, gw = F.prelu_backward(gy, x, w, data_format=data_format)
        expected, expected_w = reference.prelu_backward(gy, x, w, data_format=data_format)
        assert gw.shape == weight_shape
        assert_within(gx, expected, eps(dtype) * np.abs(expected))
        assert_within(gw, expected_w, 64 * eps(dtype) * max(x.size, 1) ** 0.5 * np.ones(weight_shape))

    @pytest.mark.parametrize(("shape", "weight_shape"), PRELU, ids=str)
    def test_same_as_torch(self, torch, shape, weight_shape, rng):
        x, gy, w = rng.standard_normal(shape), rng.standard_normal(shape), rng.standard_normal(weight_shape)
        tensors = [torch.tensor(array, requires_grad=True) for array in (x, w)]
        expected = torch.nn.functional.prelu(*tensors)
        expected.backward(torch.tensor(gy))
        np.testing.assert_array_equal(F.prelu(x, w), expected.detach().numpy())
        for gradient, tensor in zip(F.prelu_backward(gy, x, w), tensors, strict=True):
            np.testing.assert_allclose(gradient, tensor.grad.numpy(), rtol=1e-12, atol=1e-13)

    def test_gradients_are_directional_derivatives(self, data_format, isa, rng):
        x = rng.uniform(0.1, 3, (4, 3, 3)) * rng.choice([-1, 1], (4, 3, 3))
        check_gradient(F.prelu, (x, rng.standard_normal(3)), data_format=data_format)

    def test_special_numbers(self, data_format, isa, dtype):
        x = np.array([np.nan, -np.inf, np.inf, 0.0], dtype).reshape(4, 1)
        w = np.array([0.5], dtype)
        np.testing.assert_array_equal(F.prelu(x, w, data_format=data_format), x * [[1], [0.5], [1], [1]])

    def test_what_is_positive_does_not_touch_the_gradient_of_the_weight(self, dtype):
        gy, x = np.array([np.inf, np.nan, 2], dtype), np.array([1, np.inf, -3], dtype)
        assert F.prelu_backward(gy, x, dtype(0.5))[1] == -6

    def test_dtypes(self):
        x, w = np.ones((2, 3), np.float16), np.ones(3, np.float16)
        assert F.prelu(x, w).dtype == np.float16
        assert [gradient.dtype for gradient in F.prelu_backward(x, x, w)] == [np.float16, np.float16]
        assert F.prelu([[1, -2]], [0, 1]).tolist() == [[1, -2]]

    def test_inputs_are_unchanged(self, data_format, rng):
        arrays = [rng.standard_normal(shape) for shape in ((3, 3, 3), (3, 3, 3), 3)]
        copies = [array.copy() for array in arrays]
        F.prelu(*arrays[1:], data_format=data_format)
        F.prelu_backward(*arrays, data_format=data_format)
        for array, copy in zip(arrays, copies, strict=True):
            assert_same_bits(array, copy)


X = np.ones((2, 3, 4))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.elu(X, "a"), TypeError, r"^elu: alpha must be a number, got 'a'$"),
        (lambda: F.elu_backward(X, X, None), TypeError, r"^elu_backward: alpha must be a number, got None$"),
        (lambda: F.gelu(X, "erf"), ValueError, r"^gelu: approximate must be 'none' or 'tanh', got 'erf'$"),
        (lambda: F.gelu_backward(X, X, 1), ValueError, r"^gelu_backward: approximate must be 'none' or 'tanh', got 1$"),
        (lambda: F.softplus(X, 0), ValueError, r"^softplus: beta must not be 0, got 0$"),
        (lambda: F.softplus(X, "b"), TypeError, r"^softplus: beta must be a number, got 'b'$"),
        (
            lambda: F.softplus_backward(X, X, 1, []),
            TypeError,
            r"^softplus_backward: threshold must be a number, got \[\]",
        ),
        (lambda: F.prelu(X, [1, 2]), ValueError, r"^prelu: weight must have 1 element or 3, .* got shape \(2,\)$"),
        (lambda: F.prelu(X, np.ones(4)), ValueError, r"^prelu: weight must have 1 element or 3, .* got shape \(4,\)$"),
        (lambda: F.prelu(X[0, 0], np.ones(4)), ValueError, r"^prelu: weight must have 1 element or 1, .* \(4,\)$"),
        (lambda: F.prelu(X, [[1]]), ValueError, r"^prelu: weight must have at most one axis, got shape \(1, 1\)$"),
        (lambda: F.prelu(X, 1j), TypeError, r"^prelu: weight must have a boolean, integer, .* dtype complex128$"),
        (lambda: F.prelu(X, 1, data_format="NCHW"), ValueError, r"^prelu: data_format must be .* got 'NCHW'$"),
        (
            lambda: F.prelu_backward(X[0], X, 1),
            ValueError,
            r"^prelu_backward: grad_output must have shape \(2, 3, 4\), ",
        ),
    ],
)
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call()
