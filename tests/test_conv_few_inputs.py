"""Channels last, few input channels and whole vectors of output channels: weight gradients by strips of rows."""

import numpy as np
import pytest
from oracle import SmallConv2D as Case
from oracle import (
    assert_small_is_exact,
    assert_threads_do_not_change_bits,
    assert_threads_do_not_change_small,
)

import fastconv.functional as F

# One channel and several, vectors of every instruction set, terms of one tile and of several, rows that are cut.
CASES = [
    Case(2, 9, 11, 1, 32),
    Case(3, 8, 7, 1, 16, padding=1),
    Case(1, 12, 300, 1, 16, padding=1),  # parts of a row
    Case(2, 11, 12, 1, 48, 5, 5, padding=2),
    Case(1, 9, 10, 1, 64, 7, 7, stride=2, padding=3),
    Case(2, 10, 9, 1, 32, 3, 2, stride=(1, 3), padding=((2, 0), (0, 1))),
    Case(2, 13, 8, 1, 32, 3, 3, stride=(2, 1), padding=2, dilation=(2, 1)),
    Case(2, 3, 4, 1, 16, padding=3),  # windows in the padding
    Case(40, 12, 13, 1, 32),  # several chunks
    Case(3, 9, 8, 2, 16, padding=1),
    Case(2, 12, 17, 3, 64, padding=1),
    Case(1, 9, 8, 4, 32, 4, 4, padding=((1, 2), (0, 3))),
    Case(2, 7, 9, 6, 48),
    Case(1, 7, 6, 7, 16),
    Case(30, 16, 15, 3, 32, padding=1),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_results_are_exact_on_small_integers(case, isa, threads, dtype):
    assert_small_is_exact(case, dtype)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_threads_do_not_change_bits(case, isa, dtype, rng):
    assert_threads_do_not_change_small(case, dtype, rng)


def test_gradients_of_no_image_are_zero(isa, dtype):
    x, w, b = np.empty((0, 9, 8, 1), dtype), np.ones((3, 3, 1, 32), dtype), np.ones(32, dtype)
    gx, gw, gb = F.conv2d_backward(np.empty((0, 7, 6, 32), dtype), x, w, b, data_format="channels_last")
    assert gx.shape == x.shape
    assert not gw.any()
    assert not gb.any()


@pytest.mark.parametrize("inputs", [1, 2])
def test_volumes(inputs, isa, dtype, rng):
    x = rng.integers(-2, 3, (2, 4, 5, 20, inputs)).astype(dtype)
    w = rng.integers(-2, 3, (2, 3, 3, inputs, 32)).astype(dtype)
    b = np.zeros(32, dtype)
    options = {"padding": (1, 0, 2), "data_format": "channels_last"}
    gy = rng.integers(-2, 3, F.conv3d(x, w, **options).shape).astype(dtype)
    first = {"padding": (1, 0, 2)}
    _, gw, gb = F.conv3d_backward(gy, x, w, b, **options, algorithm="direct")
    moved = (np.moveaxis(array, -1, 1).copy() for array in (gy, x))
    _, expected, _ = F.conv3d_backward(*moved, w.transpose(4, 3, 0, 1, 2).copy(), **first, algorithm="im2col")
    np.testing.assert_array_equal(gw, expected.transpose(2, 3, 4, 1, 0))
    np.testing.assert_array_equal(gb, gy.sum(axis=(0, 1, 2, 3)))


def test_the_bias_gradient_is_the_same_alone(isa, dtype, rng):
    x, w, gy = (rng.standard_normal(shape).astype(dtype) for shape in ((5, 9, 8, 1), (3, 3, 1, 32), (5, 7, 6, 32)))
    options = {"data_format": "channels_last", "algorithm": "direct"}
    b = np.zeros(32, dtype)

    def compute():
        return F.conv2d_backward(gy, x, w, b, **options)[1:]

    assert_threads_do_not_change_bits(compute)
    _, _, alone = F.conv2d_backward(gy, x, w, b, **options, needs=("bias",))
    exact = gy.astype(np.float64).sum(axis=(0, 1, 2))
    for found in (alone, compute()[1]):
        np.testing.assert_allclose(found, exact, atol=64 * np.finfo(dtype).eps * abs(gy).sum(axis=(0, 1, 2)).max())
