"""Direct convolution of channels-first images along their pixels: those that fill no vector, images beyond the caches,
zeros between the rows and columns of a gradient."""

import numpy as np
import pytest
from oracle import (
    SmallConv2D,
    assert_small_is_activated_once,
    assert_small_is_exact,
    assert_threads_do_not_change_bits,
    small_integers,
    solved_small,
)

import fastconv.functional as F


def case(n, ih, iw, ci, co, kernel=1, **options):
    return SmallConv2D(n, ih, iw, ci, co, kernel, kernel, data_format="channels_first", **options)


# Pixels of all images: less than a vector, a few beyond vectors of 2 to 16, in one panel, in several chunks; terms of
# one block and of several; more channels than one tile, and a part of one. The first are for one thread.
FEW_PIXELS = [
    case(1, 3, 3, 70, 31, 3),
    case(1, 1, 3, 600, 13),
    case(1, 2, 2, 64, 40, 3, padding=1),
    case(1, 5, 5, 9, 26),
    case(1, 7, 7, 520, 25),
    case(1, 7, 7, 61, 13, 3, padding=1),
    case(2, 7, 7, 17, 14, 3, padding=1),
    case(1, 14, 14, 40, 27),
    case(1, 17, 17, 24, 13),
    case(1, 9, 9, 130, 12, 3, padding=1, stride=2),
    case(1, 6, 3, 14, 12, 3, padding=2, dilation=2, groups=2),
    case(1, 7, 7, 100, 250, 3, padding=1),
    case(1, 17, 17, 512, 100),
    case(1, 17, 17, 512, 20),
    case(2, 10, 10, 60, 100, 3),
    case(1, 7, 7, 200, 200, 3, padding=1, groups=2),
]
# 1x1 with stride 2, or taps on every second pixel: of images with an odd and an even number of rows and columns.
EVERY_SECOND = [
    case(2, 8, 10, 20, 30, stride=2),
    case(1, 9, 11, 20, 14, stride=2),
    case(3, 7, 6, 530, 13, stride=2),
    case(1, 14, 15, 18, 12, 3, stride=2, dilation=2, padding=2),
    case(2, 10, 9, 24, 24, stride=2, groups=2),
    case(2, 9, 8, 20, 14, stride=(2, 1)),
    case(2, 8, 9, 20, 14, stride=2, padding=1),
    case(2, 14, 14, 256, 128, stride=2),
    case(1, 33, 40, 130, 90, stride=2),
]


@pytest.mark.parametrize("small", FEW_PIXELS + EVERY_SECOND, ids=str)
def test_results_are_exact_on_small_integers(small, isa, threads, dtype):
    assert_small_is_exact(small, dtype)


@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
@pytest.mark.parametrize("small", [FEW_PIXELS[1], FEW_PIXELS[6]], ids=str)
def test_pixels_that_fill_no_vector_are_activated_once(small, activation, isa, dtype):
    assert_small_is_activated_once(small._replace(n=2), activation, dtype)


@pytest.mark.parametrize("small", FEW_PIXELS[-5:] + EVERY_SECOND[-2:], ids=str)
def test_threads_do_not_change_bits(small, isa, dtype, rng):
    x, w, b, gy = (rng.standard_normal(array.shape).astype(dtype) for array in solved_small(small)[:4])
    options = {**small.options, "algorithm": "direct"}
    assert_threads_do_not_change_bits(
        lambda: (F.conv2d(x, w, b, **options), *F.conv2d_backward(gy, x, w, b, **options))
    )


# Images beyond the caches, whose next pixels are fetched meanwhile, and results that are written past them: planes of
# whole vectors and others, several images in a panel, channels in blocks, groups, few terms, rows that are staged.
FAR = [
    ((9, 96, 56, 56), 80, {}),
    ((40, 600, 14, 14), 17, {}),
    ((3, 128, 55, 57), 96, {}),
    ((5, 24, 112, 112), 48, {}),
    ((12, 96, 32, 32), 192, {"groups": 2}),
    ((12, 128, 30, 30), 40, {"stride": 2}),
    ((2, 90, 112, 100), 26, {"stride": 2, "padding": 1}),
    ((9, 50, 56, 56), 80, {"padding": 1}),
]


def last(array):
    return np.ascontiguousarray(np.moveaxis(array, 1, -1))


@pytest.mark.parametrize(("shape", "co", "options"), FAR, ids=str)
@pytest.mark.parametrize("kernel", [1, 3])
def test_images_beyond_the_caches(shape, co, options, kernel, isa, threads, rng):
    x = small_integers(rng, shape).astype(np.float32)
    w = small_integers(rng, (co, shape[1] // options.get("groups", 1), kernel, kernel)).astype(np.float32)
    b = small_integers(rng, (co,)).astype(np.float32)
    other = {**options, "algorithm": "im2col" if kernel > 1 else "direct", "data_format": "channels_last"}
    y = F.conv2d(x, w, b, data_format="channels_first", algorithm="direct", **options)
    w_last = np.ascontiguousarray(np.transpose(w, (2, 3, 1, 0)))
    np.testing.assert_array_equal(last(y), F.conv2d(last(x), w_last, b, **other))
    gy = small_integers(rng, y.shape).astype(np.float32)
    gx, _, _ = F.conv2d_backward(
        gy, x, w, data_format="channels_first", algorithm="direct", needs=("input",), **options
    )
    gx_last, _, _ = F.conv2d_backward(last(gy), last(x), w_last, needs=("input",), **{**other, "algorithm": "direct"})
    np.testing.assert_array_equal(last(gx), gx_last)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_results_past_the_caches_are_activated_once(activation, isa, threads, dtype, rng):
    x = small_integers(rng, (6, 40, 56, 56)).astype(dtype)
    w = small_integers(rng, (64, 40, 1, 1)).astype(dtype)
    options = {"data_format": "channels_first", "algorithm": "direct"}
    expected = getattr(F, activation)(F.conv2d(x, w, **options))
    np.testing.assert_array_equal(F.conv2d(x, w, activation=activation, **options), expected)
