"""Few channels of many images: an image for each lane of the vectors, forward and in both gradients."""

import numpy as np
import pytest
from oracle import SmallConv2D as Case
from oracle import (
    assert_small_is_activated_once,
    assert_small_is_exact,
    assert_threads_do_not_change_small,
    small_integers,
    solved_small,
)

import fastconv.functional as F

LAYOUTS = ("channels_last", "channels_first")
# Batches that fill sets of 4, 8 or 16 images, and that leave lanes of the last one empty; rows shorter than a vector,
# so that both layouts take this way.
SHAPES = [
    Case(16, 6, 7, 1, 1),
    Case(27, 9, 10, 3, 7),  # several sets
    Case(23, 11, 9, 4, 13, 5, 5, stride=2),
    Case(16, 5, 6, 20, 4, padding=1),
    Case(17, 5, 5, 4, 20, padding=2),  # outputs that meet some of the taps, and none
    Case(16, 2, 3, 2, 3, 5, 4, padding=((4, 3), (1, 5))),
    Case(30, 8, 9, 2, 5, 2, 3, stride=(3, 4), padding=1),  # pixels that no output meets
    Case(16, 9, 9, 2, 3, 3, 2, padding=(2, 1), dilation=(3, 4)),
    Case(16, 12, 5, 2, 6, 3, 3, stride=(1, 2), dilation=(2, 1)),
    Case(16, 300, 40, 4, 4, 3, 3, padding=1),  # several bands
    Case(33, 200, 70, 1, 3, 5, 5, stride=2, padding=2),
]
CASES = [case._replace(data_format=layout) for case in SHAPES for layout in LAYOUTS]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_results_are_exact_on_small_integers(case, isa, threads, dtype):
    assert_small_is_exact(case, dtype)


@pytest.mark.parametrize("groups", [2, 3])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_groups_are_convolved_each_with_its_filters(layout, groups, isa, dtype, rng):
    axis, filters = (3, 3) if layout == "channels_last" else (1, 0)
    options = {"padding": 1, "data_format": layout, "algorithm": "direct"}
    parts = []
    for _ in range(groups):
        case = solved_small(Case(19, 7, 8, 3, 4, padding=1, data_format=layout))
        x, w, b, gy = (small_integers(rng, array.shape).astype(dtype) for array in case[:4])
        parts.append((x, w, b, gy, F.conv2d(x, w, b, **options), *F.conv2d_backward(gy, x, w, b, **options)))
    along = (axis, filters, 0, axis, axis, axis, filters, 0)
    x, w, b, gy, *expected = (np.concatenate(each, k) for each, k in zip(zip(*parts, strict=True), along, strict=True))
    found = F.conv2d(x, w, b, groups=groups, **options), *F.conv2d_backward(gy, x, w, b, groups=groups, **options)
    for array, right in zip(found, expected, strict=True):
        np.testing.assert_array_equal(array, right)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("case", CASES[:8], ids=str)
def test_activations_are_applied_once(case, activation, isa, dtype):
    assert_small_is_activated_once(case, activation, dtype)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_threads_do_not_change_bits(case, isa, dtype, rng):
    assert_threads_do_not_change_small(case, dtype, rng)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_image_does_not_depend_on_its_neighbours(layout, isa, dtype, rng):
    case = Case(18, 7, 6, 3, 5, padding=1, data_format=layout)
    x, w = (rng.standard_normal(array.shape).astype(dtype) for array in solved_small(case)[:2])
    y = F.conv2d(x, w, **case.options, algorithm="direct")
    others = np.arange(18) != 4
    x[4] = np.nan
    changed = F.conv2d(x, w, **case.options, algorithm="direct")
    np.testing.assert_array_equal(changed[others], y[others])
    assert np.isnan(changed[4]).all()


# A row of few taps at a time, to channels that fill most of a vector of some instruction set; images as lanes add up
# the same sums in another order.
@pytest.mark.parametrize("filters", [4, 8, 15])
@pytest.mark.parametrize("stride", [(2, 1), (3, 2)], ids=str)
def test_strided_images_have_the_same_bits_alone(stride, filters, isa, dtype, rng):
    options = {"stride": stride, "data_format": "channels_last", "algorithm": "direct"}
    x, w = rng.standard_normal((16, 9, 11, 6)).astype(dtype), rng.standard_normal((4, 5, 6, filters)).astype(dtype)
    together = F.conv2d(x, w, padding=1, **options)
    np.testing.assert_array_equal(F.conv2d(x[3:4], w, padding=1, **options), together[3:4])
    gx = np.zeros((16, 3 * stride[0] + 4, 4 * stride[1] + 5, filters), dtype)
    gy, w = rng.standard_normal((16, 4, 5, 6)).astype(dtype), np.ascontiguousarray(w.swapaxes(2, 3))
    together = F.conv2d_backward(gy, gx, w, needs="input", **options)[0]
    alone = F.conv2d_backward(gy[3:4], gx[3:4], w, needs="input", **options)[0]
    np.testing.assert_array_equal(alone, together[3:4])
