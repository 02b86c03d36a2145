"""Few output channels, channels last: images, or pieces of them, as lanes, or pixels of a row in a tile."""

import numpy as np
import pytest
from oracle import SmallConv2D as Case
from oracle import (
    assert_same_bits,
    assert_small_is_activated_once,
    assert_small_is_exact,
    assert_threads_do_not_change_small,
    small_integers,
)

import fastconv.functional as F
from fastconv import reference

LAST = {"data_format": "channels_last"}

# More than a set of 16 images, or two of them, and less; every number of channels that leaves lanes empty.
CHANNELS = [Case(n, 4, 6, 1 + co % 3, co) for co in range(1, 13) for n in (3, 8, 17, 33)]
# A vector of channels, or nearly: rows of outputs around the length of tiles, in place and padded.
ROWS = [
    Case(1 + width % 2, 5, width + columns - 1 - 2 * padding, 1 + width % 3, co, 3, columns, padding=padding)
    for columns in (3, 5)
    for padding in (0, 1)
    for width, co in zip(range(2, 33), 5 * [2, 4, 7, 8, 13, 16, 15], strict=False)
]
NARROW = [
    Case(3, 12, 11, 6, 16, 5, 5),
    Case(2, 13, 9, 5, 8, 5, 3, stride=(2, 1), padding=((3, 0), (0, 2))),
    Case(2, 9, 16, 3, 4, 2, 5, padding=2, dilation=(3, 1)),
    Case(2, 9, 17, 3, 16, 3, 3, stride=(1, 2), padding=1),  # the input gradient's rows
    Case(1, 1, 1, 2, 16, 3, 3, padding=1),
    Case(1, 100, 61, 16, 16, padding=1),  # several boxes
]
# Few input channels, several vectors of output channels, the last one whole or not; rows of whole tiles and not.
PANELS = [
    Case(1 + width % 2, 4, width + columns - 1 - 2 * padding, 1 + width % 8, co, 3, columns, padding=padding)
    for columns, padding in ((3, 0), (3, 1), (5, 2))
    for width, co in zip((3, 7, 8, 13, 14, 15, 28, 29), (17, 33, 20, 64, 31, 24, 48, 70), strict=True)
] + [
    Case(2, 30, 33, 3, 64, padding=1),
    Case(1, 90, 70, 1, 40, padding=1),  # several boxes
    Case(2, 9, 16, 3, 36, 2, 5, padding=2, dilation=(3, 1)),
    Case(2, 12, 9, 40, 5, padding=1),  # the input gradient
    Case(2, 13, 9, 5, 41, 5, 3, stride=(2, 1), padding=((3, 0), (0, 2))),
]
GEOMETRIES = [
    # Less images than fill lanes by themselves, in pieces of as many rows or one less.
    Case(1, 29, 17, 1, 6, 5, 5, padding=2),
    Case(3, 23, 9, 3, 4, padding=((2, 0), (1, 1))),
    Case(2, 40, 30, 3, 7, 5, 3, stride=2, padding=1, dilation=(2, 1)),
    Case(5, 13, 8, 1, 5, 3, 3, stride=(3, 1)),
    Case(1, 400, 90, 3, 6, 7, 7, padding=3),  # several bands of a piece
    Case(9, 28, 28, 1, 8, 7, 7, stride=2),
    Case(10, 9, 7, 2, 4, stride=(1, 2), padding=((0, 2), (1, 0))),
    Case(9, 11, 14, 2, 12, stride=(3, 1), padding=2, dilation=2),
    Case(7, 9, 13, 2, 8, 2, 4, dilation=(1, 3)),
    Case(10, 2, 2, 1, 6, padding=4),
    Case(9, 90, 70, 2, 8),  # several boxes of a set
    # Batches in which channels last takes images as lanes.
    Case(19, 28, 28, 1, 6, 5, 5, padding=2),
    Case(32, 28, 28, 1, 8, 7, 7, stride=2),
    Case(17, 9, 7, 2, 3, stride=(1, 2), padding=((0, 2), (1, 0))),
    Case(18, 10, 12, 3, 5, stride=3, padding=((2, 0), (0, 4))),
    Case(20, 11, 14, 2, 7, stride=(3, 1), padding=2, dilation=2),
    Case(16, 9, 13, 2, 4, 2, 4, dilation=(1, 3)),
    Case(40, 6, 9, 3, 6, 1, 5, padding=((0, 0), (4, 1))),
    Case(40, 9, 6, 3, 6, 5, 1, padding=((4, 1), (0, 0))),
    Case(16, 2, 2, 1, 3, padding=4),  # windows in the padding
    Case(16, 3, 2, 1, 2, 5, 5, padding=2),  # the kernel larger than the image
    Case(18, 7, 3, 2, 1),  # rows of one output
    Case(17, 90, 70, 2, 3),  # several boxes of a set
]


@pytest.mark.parametrize("case", [*CHANNELS, *ROWS, *NARROW, *PANELS, *GEOMETRIES], ids=str)
def test_results_are_exact_on_small_integers(case, isa, threads, dtype):
    assert_small_is_exact(case, dtype)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("case", [*GEOMETRIES[:4], *NARROW[:3], *PANELS[:6]], ids=str)
def test_activations_are_applied_once(case, activation, isa, dtype):
    assert_small_is_activated_once(case, activation, dtype)


@pytest.mark.parametrize("co", [1, 2])
@pytest.mark.parametrize("ci", [15, 16, 33, 70, 200])
def test_pixels_as_rows(ci, co, isa, threads, dtype, rng):
    """One tap: with 32 channels and more a pixel is a row that is multiplied with those of the weights."""
    for shape in ((1, 1, 1), (2, 3, 5), (5, 17, 31)):
        x, w, b = (small_integers(rng, s, dtype) for s in ((*shape, ci), (1, 1, ci, co), (co,)))
        known = x.astype(np.float64) @ w[0, 0].astype(np.float64) + b
        y = F.conv2d(x, w, b, **LAST, algorithm="direct")
        np.testing.assert_array_equal(y, known)
        np.testing.assert_array_equal(F.conv2d(x, w, b, **LAST, activation="relu"), np.maximum(known, 0))
        assert_same_bits(F.prepare_conv2d(w, b, **LAST, algorithm="direct")(x), y)
        gy = small_integers(rng, y.shape, dtype)
        gx = F.conv2d_backward(gy, x, w, b, **LAST)[0]
        np.testing.assert_array_equal(gx, gy @ w[0, 0].T)


@pytest.mark.parametrize("case", [*GEOMETRIES, *NARROW, *PANELS], ids=str)
def test_threads_do_not_change_bits(case, isa, dtype, rng):
    assert_threads_do_not_change_small(case, dtype, rng)


@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize(
    ("inputs", "channels"), [(1, 3), (1, 6), (1, 12), (2, 2), (2, 4), (2, 6), (2, 8), (2, 16), (2, 36)]
)
def test_an_image_does_not_depend_on_its_neighbours(inputs, channels, dilation, isa, dtype, rng):
    x = rng.standard_normal((37, 9, 10, inputs)).astype(dtype)
    w = rng.standard_normal((3, 3, inputs, channels)).astype(dtype)
    direct = {"algorithm": "direct", "padding": 1, "dilation": dilation, **LAST}
    y = F.conv2d(x, w, **direct)
    assert_same_bits(F.conv2d(x[:1], w, **direct), y[:1])  # also where it has none
    assert_same_bits(F.conv2d(x[::-1].copy(), w, **direct)[::-1].copy(), y)
    x[5, 4, 4, -1] = np.nan
    changed = F.conv2d(x, w, **direct)
    others = np.ones(37, bool)
    others[5] = False
    assert_same_bits(changed[others], y[others])
    np.testing.assert_array_equal(np.isnan(changed[5]), np.isnan(F.conv2d(x[5:6], w, **direct)[0]))


@pytest.mark.parametrize("row", range(7))
@pytest.mark.parametrize("n", [1, 3, 17])
def test_gradients_meet_what_is_not_finite_where_the_formula_does(n, row, isa, dtype):
    x, w = np.zeros((n, 7, 8, 1), dtype), np.ones((3, 3, 1, 6), dtype)
    gy = np.zeros((n, 5, 6, 6), dtype)
    x[n - 1, row, 7, 0], gy[n - 1, row // 2, 5, 2] = np.inf, 1
    _, gw, _ = F.conv2d_backward(gy, x, w, algorithm="direct", **LAST)
    with np.errstate(invalid="ignore"):
        _, expected, _ = reference.conv2d_backward(gy, x, w, **LAST)
    np.testing.assert_array_equal(np.isfinite(gw), np.isfinite(expected))
