"""Few input channels, channels first: rows of pixels around the length of a vector, read where they lie."""

from functools import partial

import numpy as np
import pytest
from oracle import (
    SmallConv2D,
    assert_same_bits,
    assert_threads_do_not_change_bits,
    small_integers,
    solved_small,
)

import fastconv.functional as F
from fastconv import reference

Case = partial(SmallConv2D, data_format="channels_first")

# Rows of outputs from less than a vector of SSE2 to more than two of AVX-512.
WIDTHS = [
    Case(2, 7, width + 2, 1 + width % 3, 1 + width * 5 % 17) for width in (*range(1, 10), *range(15, 19), 24, 31, 33)
]
# As many output channels as there are rows in tiles, and one more or less.
CHANNELS = [Case(1, 5, 19, 2, co) for co in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 25, 29, 33, 40)]
GEOMETRIES = [
    Case(3, 31, 31, 3, 25, stride=2, padding=1),
    Case(2, 28, 28, 1, 30, 5, 5),
    Case(3, 28, 28, 1, 8, 7, 7, stride=2),
    Case(2, 9, 40, 4, 16, stride=(1, 2), padding=((0, 2), (1, 0))),
    Case(2, 12, 60, 3, 5, stride=3, padding=((2, 0), (0, 4))),
    Case(2, 11, 30, 2, 14, stride=(3, 1), padding=2, dilation=2),
    Case(2, 9, 37, 2, 4, 2, 4, dilation=(1, 3)),
    Case(2, 20, 17, 3, 6, 1, 5, padding=((0, 0), (4, 1))),
    Case(2, 20, 17, 3, 8, 5, 1, padding=((4, 1), (0, 0))),
    Case(3, 5, 7, 3, 9, 1, 1),
    Case(2, 3, 8, 1, 11, 3, 3, padding=3),
    Case(1, 70, 70, 2, 11),  # several boxes of an image
    Case(40, 12, 20, 1, 4),  # and of images
    Case(7, 35, 20, 3, 12, 3, 3, stride=2, padding=1),  # images of a box and a unit, and some left
    Case(2, 150, 45, 1, 12, stride=(3, 2), padding=(0, 1), dilation=(2, 3)),
    Case(2, 40, 33, 2, 17, 2, 3, stride=(4, 1)),  # rows that meet no tap
    Case(2, 7, 18, 2, 11, 3, 5, stride=(1, 2), padding=((0, 0), (12, 12))),  # taps that meet nothing but padding
    Case(1, 12, 20, 8, 7, 5, 5),  # more taps along a row than a tile has
]


@pytest.mark.parametrize("case", [*WIDTHS, *CHANNELS, *GEOMETRIES], ids=str)
def test_results_are_exact_on_small_integers(case, isa, threads, dtype):
    known = solved_small(case)
    x, w, b, gy = (array.astype(dtype) for array in known[:4])
    np.testing.assert_array_equal(F.conv2d(x, w, b, **case.options, algorithm="direct"), known.y)
    np.testing.assert_array_equal(
        F.prepare_conv2d(w, b, **case.options, algorithm="direct", activation="relu")(x), np.maximum(known.y, 0)
    )
    for algorithm in ("direct", "im2col"):
        found = F.conv2d_backward(gy, x, w, b, **case.options, algorithm=algorithm)
        for name, gradient, expected in zip(("input", "weight", "bias"), found, known[5:], strict=True):
            np.testing.assert_array_equal(gradient, expected, err_msg=f"{name}, {algorithm}")


@pytest.mark.parametrize("case", GEOMETRIES, ids=str)
def test_threads_do_not_change_bits(case, isa, dtype, rng):
    known = solved_small(case)
    x, w, b, gy = (rng.standard_normal(array.shape).astype(dtype) for array in known[:4])

    def compute():
        gradients = F.conv2d_backward(gy, x, w, b, **case.options)
        return F.conv2d(x, w, b, **case.options, activation="tanh"), *gradients

    assert_threads_do_not_change_bits(compute)


@pytest.mark.parametrize("shape", [(4, 1, 9), (4, 3, 1), (12, 1, 1), (4, 2, 8)], ids=str)
@pytest.mark.parametrize("groups", [1, 2])
def test_a_voxel_kernel_joins_slices_that_are_shorter_than_a_vector(shape, groups, isa, threads, dtype, rng):
    x, gy = (small_integers(rng, (16, 4 * groups, *shape)) for _ in range(2))
    w = np.zeros((4 * groups, 4, 1, 1, 1), dtype)
    _, gw, gb = F.conv3d_backward(gy.astype(dtype), x.astype(dtype), w, np.zeros(4 * groups, dtype), groups=groups)
    by_group = (gy.reshape(16, groups, 4, -1), x.reshape(16, groups, 4, -1))
    np.testing.assert_array_equal(gw.ravel(), np.einsum("ngjp,ngkp->gjk", *by_group).ravel())
    np.testing.assert_array_equal(gb, gy.sum(axis=(0, 2, 3, 4)))


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("width", [16, 21, 26])
def test_what_is_not_finite_stays_with_the_pixels_that_meet_it(value, width, isa, dtype):
    x, w = np.zeros((2, 2, 6, width), dtype), np.ones((5, 2, 3, 3), dtype)
    x[1, 1, 3, width - 1] = value
    gy = np.zeros((2, 5, 4, width - 2), dtype)
    expected = reference.conv2d(x, w)
    np.testing.assert_array_equal(F.conv2d(x, w, algorithm="direct"), expected)
    gy[1, 2, 1, width - 3] = 1  # meets it at one tap
    _, gw, _ = F.conv2d_backward(gy, x, w, algorithm="direct")
    with np.errstate(invalid="ignore"):
        _, expected, _ = reference.conv2d_backward(gy, x, w)
    np.testing.assert_array_equal(np.isfinite(gw), np.isfinite(expected))


def test_the_bias_gradient_is_the_same_alone(isa, dtype, rng):
    x, w, gy = (rng.standard_normal(shape).astype(dtype) for shape in ((9, 2, 30, 30), (7, 2, 3, 3), (9, 7, 28, 28)))
    *_, together = F.conv2d_backward(gy, x, w, np.zeros(7, dtype))
    *_, alone = F.conv2d_backward(gy, x, w, np.zeros(7, dtype), needs="bias")
    exact = gy.astype(np.float64).sum(axis=(0, 2, 3))
    for found in (together, alone):
        np.testing.assert_allclose(found, exact, atol=64 * np.finfo(dtype).eps * np.abs(gy).sum(axis=(0, 2, 3)).max())


def placed(array, element):
    """Return a copy that begins this many elements after a multiple of 64 bytes."""
    memory = np.full(array.size + 32, np.nan, array.dtype)
    first = -(memory.ctypes.data // array.itemsize) % (64 // array.itemsize) + element
    copy = memory[first : first + array.size].reshape(array.shape)
    copy[...] = array
    return copy


@pytest.mark.parametrize("case", GEOMETRIES, ids=str)
def test_where_arrays_begin_makes_no_difference_to_bits(case, isa, dtype, rng):
    known = solved_small(case)
    x, w, b, gy = (rng.standard_normal(array.shape).astype(dtype) for array in known[:4])
    results = []
    for element in range(0, 64 // np.dtype(dtype).itemsize, 3):
        operands = (placed(gy, element), placed(x, element // 2), placed(w, 1), b)
        results += [F.conv2d_backward(*operands, **case.options, algorithm=name) for name in ("direct", "im2col")]
    for n, found in enumerate(results):
        for one, first in zip(found, results[n % 2], strict=True):
            assert_same_bits(one, first)


@pytest.mark.parametrize("case", [case._replace(n=11) for case in GEOMETRIES], ids=str)
def test_gradients_have_the_same_bits_alone(case, isa, threads, dtype, rng):
    x, w, b, gy = (rng.standard_normal(array.shape).astype(dtype) for array in solved_small(case)[:4])
    together = F.conv2d_backward(gy, x, w, b, **case.options)
    for n, need in enumerate(("input", "weight")):
        assert_same_bits(together[n], F.conv2d_backward(gy, x, w, b, **case.options, needs=need)[n])
