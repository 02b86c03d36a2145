"""Padding in every mode, and its gradient."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st
from oracle import assert_same_bits, assert_within, every_setting, small_integers

import fastconv.functional as F
from fastconv import reference
from fastconv.testing import check_gradient

MODES = ["constant", "reflect", "replicate", "circular"]


@dataclass(frozen=True)
class Case:
    shape: tuple[int, ...]
    pad: list[int]
    options: dict[str, Any]
    dtype: type
    seed: int

    def input(self):
        return np.random.default_rng(self.seed).standard_normal(self.shape).astype(self.dtype)


@st.composite
def cases(draw, modes=tuple(MODES), crops=True):
    mode = draw(st.sampled_from(modes))
    axes = draw(st.integers(0 if mode == "constant" else 1, 3))
    sizes = draw(st.tuples(*[st.integers(1, 20 if axis == axes - 1 else 5) for axis in range(axes)]))
    lead = draw(st.sampled_from([(2,), (2, 3), (0, 2), (3, 1), (1,)]))
    pad = []
    for size in reversed(sizes):
        before = draw(st.integers(-(size // 2) if crops else 0, 4))
        after = draw(st.integers(-((size - 1) // 2) if crops else 0, 4))
        kept = size + min(before, 0) + min(after, 0)
        reach = {"reflect": size - 1, "circular": kept}.get(mode, 4)
        pad += [min(before, reach), min(after, reach)]
    value = draw(st.sampled_from([None, 0, -1.5, 7])) if mode == "constant" else None
    return Case(
        lead + sizes,
        pad,
        {"mode": mode, "value": value},
        draw(st.sampled_from([np.float32, np.float64])),
        draw(st.integers(0, 2**16)),
    )


class TestReference:
    @settings(max_examples=400)
    @given(case=cases())
    def test_values_and_gradient_match_reference(self, case):
        x = case.input()
        expected = reference.pad(x, case.pad, **case.options)
        gy = np.random.default_rng(1).standard_normal(expected.shape).astype(case.dtype)
        gradient = reference.pad_backward(gy, x, case.pad, **case.options)
        bound = 16 * np.finfo(case.dtype).eps * reference.pad_backward(np.abs(gy), x, case.pad, **case.options)
        for setting in every_setting():
            note(setting)
            y = F.pad(x, case.pad, **case.options)
            assert y.dtype == case.dtype
            np.testing.assert_array_equal(y, expected)
            gx = F.pad_backward(gy, x, case.pad, **case.options)
            assert gx.dtype == case.dtype
            assert_within(gx, gradient, bound, setting)

    @settings(max_examples=60)
    @given(case=cases())
    def test_gradient_is_the_adjoint(self, case):
        options = {**case.options, "value": None}
        x = case.input().astype(np.float64)
        y = F.pad(x, case.pad, **options)
        gy = np.random.default_rng(1).standard_normal(y.shape)
        gx = F.pad_backward(gy, x, case.pad, **options)
        assert np.vdot(x, gx) == pytest.approx(np.vdot(y, gy), rel=0, abs=1e-12 * max(np.abs(y * gy).sum(), 1))

    @pytest.mark.parametrize("mode", MODES)
    def test_gradient_is_a_directional_derivative(self, mode, rng):
        check_gradient(F.pad, rng.standard_normal((2, 3, 6, 7)), directions=1, pad=(3, -1, 2, 5), mode=mode)


class TestTorch:
    @settings(max_examples=200)
    @given(case=cases())
    def test_values_and_gradient(self, torch, case):
        x = case.input().astype(np.float64)
        tensor = torch.tensor(x, requires_grad=True)
        expected = torch.nn.functional.pad(tensor, case.pad, **case.options)
        y = F.pad(x, case.pad, **case.options)
        np.testing.assert_array_equal(y, expected.detach().numpy())
        gy = np.random.default_rng(1).standard_normal(y.shape)
        expected.backward(torch.tensor(gy))
        gx = F.pad_backward(gy, x, case.pad, **case.options)
        np.testing.assert_allclose(gx, tensor.grad.numpy(), rtol=0, atol=1e-13)

    @pytest.mark.parametrize(
        "arguments",
        [
            ((1, 2),),
            ([1, 2],),
            ((),),
            (np.array([1, 2, 0, 1]),),
            ((1, 1, 0, 0, 2, 0),),
            ((1, 2), "constant", 3),
            ((1, 2), "constant", np.float32(0.5)),
            ((1, 2), "constant", None),
            ((1, -1, -2, 3, 0, 0, 1, 1),),
            ((-3, -3),),
        ],
        ids=str,
    )
    def test_forms_of_constant(self, torch, arguments, rng):
        x = rng.standard_normal((2, 3, 5, 6))
        forms = tuple(tuple(a.tolist()) if isinstance(a, np.ndarray) else a for a in arguments)
        forms = tuple(float(a) if isinstance(a, np.generic) else a for a in forms)
        expected = torch.nn.functional.pad(torch.tensor(x), *forms).numpy()
        np.testing.assert_array_equal(F.pad(x, *arguments), expected)

    @pytest.mark.parametrize("mode", MODES[1:])
    @pytest.mark.parametrize("pairs", [1, 2, 3])
    @pytest.mark.parametrize("more", [0, 1, 2, 3])
    def test_axes_of_the_modes_that_look_at_the_input(self, torch, mode, pairs, more, rng):
        x = rng.standard_normal((2, 3, 3, 4, 5, 4)[-(pairs + more) :])
        pad = (1, 2) * pairs
        if more in (1, 2):
            np.testing.assert_array_equal(F.pad(x, pad, mode), torch.nn.functional.pad(torch.tensor(x), pad, mode))
        else:
            with pytest.raises(NotImplementedError):
                torch.nn.functional.pad(torch.tensor(x), pad, mode)
            with pytest.raises(ValueError, match="input must have 1 or 2 axes more than pad has pairs"):
                F.pad(x, pad, mode)


class TestByHand:
    @pytest.mark.parametrize(
        ("mode", "pad", "expected"),
        [
            ("constant", (2, 1), [0, 0, 1, 2, 3, 4, 0]),
            ("reflect", (3, 1), [4, 3, 2, 1, 2, 3, 4, 3]),
            ("replicate", (2, 1), [1, 1, 1, 2, 3, 4, 4]),
            ("circular", (2, 1), [3, 4, 1, 2, 3, 4, 1]),
            ("constant", (-1, 2), [2, 3, 4, 0, 0]),
            ("reflect", (-2, 3), [3, 4, 3, 2, 1]),
            ("replicate", (-1, 2), [2, 3, 4, 4, 4]),
            ("circular", (-1, 2), [2, 3, 4, 2, 3]),
            ("constant", (-3, -1), []),
        ],
    )
    def test_a_row(self, mode, pad, expected, isa, dtype):
        np.testing.assert_array_equal(F.pad(np.arange(1, 5, dtype=dtype)[None], pad, mode)[0], expected)

    def test_gradient_adds_up_the_copies(self, isa, dtype):
        gy = np.array([[1, 10, 100, 1000, 10000]], dtype)
        x = np.zeros((1, 2), dtype)
        np.testing.assert_array_equal(F.pad_backward(gy, x, (2, 1), "replicate"), [[111, 11000]])
        np.testing.assert_array_equal(F.pad_backward(gy, x, (2, 1), "circular"), [[10101, 1010]])
        np.testing.assert_array_equal(F.pad_backward(gy, x, (2, 1)), [[100, 1000]])
        np.testing.assert_array_equal(F.pad_backward(gy[:, :3], np.zeros((1, 5)), (-1, -1)), [[0, 1, 10, 100, 0]])


class TestEveryMode:
    @pytest.mark.parametrize("mode", MODES)
    def test_threads_do_not_change_bits(self, mode, isa, dtype, rng):
        x = rng.standard_normal((8, 16, 40, 50)).astype(dtype)
        gy = rng.standard_normal((8, 16, 45, 58)).astype(dtype)
        results = [(F.pad(x, (3, 5, 4, 1), mode), F.pad_backward(gy, x, (3, 5, 4, 1), mode)) for _ in every_threads()]
        for first, second in zip(*results, strict=True):
            assert_same_bits(first, second)

    @pytest.mark.parametrize("mode", MODES)
    def test_not_finite_values_reach_their_copies_and_no_others(self, mode, isa, dtype):
        x = np.ones((1, 4), dtype)
        x[0, 1] = np.nan
        marked = np.where(np.isnan(x), 5.0, x)
        y = F.pad(x, (2, 2), mode)
        np.testing.assert_array_equal(np.isnan(y), F.pad(marked, (2, 2), mode) == 5)

    @pytest.mark.parametrize("mode", MODES)
    def test_input_stays_and_may_be_any_array(self, mode, rng):
        x = small_integers(rng, (4, 6, 3), np.float32)
        frozen = x.copy()
        frozen.flags.writeable = False
        expected = F.pad(x, (1, 2), mode)
        assert_same_bits(F.pad(frozen, (1, 2), mode), expected)
        assert_same_bits(F.pad(np.asfortranarray(x), (1, 2), mode), expected)
        assert_same_bits(F.pad(np.repeat(x, 2, axis=1)[:, ::2], (1, 2), mode), expected)
        np.testing.assert_array_equal(frozen, x)
        gy = rng.standard_normal(expected.shape).astype(np.float32)
        before = gy.copy()
        F.pad_backward(gy, x, (1, 2), mode)
        np.testing.assert_array_equal(gy, before)

    @pytest.mark.parametrize("mode", MODES)
    def test_dtypes(self, mode):
        for given_dtype, expected in [(np.float16, np.float16), (np.int8, np.float32), (bool, np.float32)]:
            x = np.ones((1, 3), given_dtype)
            assert F.pad(x, (1, 1), mode).dtype == expected
            assert F.pad_backward(np.ones((1, 5), given_dtype), x, (1, 1), mode).dtype == expected
        assert F.pad([[1.0, 2.0]], (0, 1), mode).dtype == np.float64

    @pytest.mark.parametrize("mode", MODES)
    def test_the_result_is_new_even_if_nothing_is_padded(self, mode):
        x = np.ones((1, 3, 3), np.float32)
        y = F.pad(x, (0, 0, 0, 0), mode)
        np.testing.assert_array_equal(y, x)
        assert not np.shares_memory(y, x)

    def test_no_axes(self):
        assert F.pad(3.0, ()) == 3.0


def every_threads():
    """One thread, then two, with the instruction set in use."""
    import fastconv as fc

    before = fc.get_num_threads()
    try:
        for count in (1, 2):
            fc.set_num_threads(count)
            yield count
    finally:
        fc.set_num_threads(before)


X = np.ones((2, 3, 4, 5))


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        (((1,),), ValueError, r"pad must consist of pairs, got 1 numbers \(1,\)"),
        (((1,) * 10,), ValueError, r"pad must have at most a pair for each of 4 axes, got \(1, 1, .*\)"),
        (((-3, -3),), ValueError, r"pad must crop at most 5 elements, got \(-3, -3\)"),
        (((-6, 4),), ValueError, r"pad must crop at most 5 elements, got \(-6, 4\)"),
        (((-3, -3, 0, 0), "reflect"), ValueError, r"pad must crop at most 5 elements, got \(-3, -3\)"),
        (((0, 0, 4, 0), "reflect"), ValueError, r"pad must be at most 3 for mode 'reflect' and 4 elements, got \(4, 0"),
        (((0, 6, 0, 0), "circular"), ValueError, r"pad must be at most 5 for mode 'circular' and 5 elements, got"),
        (((-5, 1, 0, 0), "circular"), ValueError, r"pad must be at most 0 for mode 'circular' and 5 elements, got"),
        (((1, 1), "same"), ValueError, "mode must be one of 'constant', 'reflect', 'replicate', 'circular', got 'same"),
        (((1, 1, 1, 1), "reflect", 2.0), ValueError, "value must be None for mode 'reflect', got 2.0"),
        (((1, 1), "reflect"), ValueError, r"input must have 1 or 2 axes more .*, got shape \(2, 3, 4, 5\) and 1 pairs"),
        (((), "replicate"), ValueError, r"input must have 1 or 2 axes more .*, got shape \(2, 3, 4, 5\) and 0 pairs"),
        ((1,), TypeError, "pad must be a sequence of integers, got 1"),
        (((1.0, 1),), TypeError, r"pad must be a sequence of integers, got \(1.0, 1\)"),
        (((True, 1),), TypeError, r"pad must be a sequence of integers, got \(True, 1\)"),
        (((1, 1), "constant", "0"), TypeError, "value must be a number, got '0'"),
    ],
    ids=str,
)
def test_errors(arguments, error, text):
    with pytest.raises(error, match=f"^pad: {text}"):
        F.pad(X, *arguments)
    with pytest.raises(error, match=f"^pad_backward: {text}"):
        F.pad_backward(X, X, *arguments)


def test_errors_of_arrays():
    with pytest.raises(TypeError, match=r"^pad: input must have a boolean, integer, float16, float32 or float64 dtype"):
        F.pad(X + 0j, (1, 1))
    with pytest.raises(ValueError, match=r"^pad_backward: grad_output must have shape \(2, 3, 4, 7\), that of the out"):
        F.pad_backward(X, X, (1, 1))
    with pytest.raises(ValueError, match="pad must be at most 0 for mode 'replicate' and 0 elements"):
        F.pad(np.ones((1, 0)), (1, 0), "replicate")
