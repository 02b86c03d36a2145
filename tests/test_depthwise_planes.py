"""Depthwise convolution of channels-first arrays that are read where they lie, without padded copies."""

import functools

import numpy as np
import pytest
from oracle import assert_same_bits, small_integers

import fastconv as fc
import fastconv.functional as F
from fastconv import reference

# Vectors of one row and of two, full and partly filled, blocks that overlap, blocks beside the last one; rows that fill
# tiles of 7 and of 4, or none.
WIDTHS = [5, 6, 7, 8, 9, 13, 14, 15, 16, 17, 18, 31, 32, 33, 34, 35, 47, 50]
HEIGHTS = [1, 2, 3, 4, 7, 8, 14, 15]
# Taps, stride, dilation: a number, or one along rows and one along columns.
KERNELS = [(3, 1, 1), (3, 2, 1), (5, 1, 1), (5, 2, 1), (7, 1, 1), (3, 1, 2), (5, 1, (3, 1)), (3, 1, (1, 3)), (7, 1, 2)]
OTHERS = [(3, 3, 1), (7, 2, 1), (3, 2, 2), (4, 1, 1), (9, 1, 1)]
PADDING = {"same": (1, 1, 1, 1), "uneven": (0, 2, 2, 1), "none": (0, 0, 0, 0), "wide": (3, 1, 3, 2)}


def options(taps, stride, padding="same", groups=1, dilation=1):
    down, along = (d * (taps // 2) for d in np.broadcast_to(dilation, 2).tolist())
    top, bottom, left, right = PADDING[padding]
    return {
        "stride": stride,
        "padding": ((top * down, bottom * down), (left * along, right * along)),
        "dilation": dilation,
        "groups": groups,
        "data_format": "channels_first",
        "algorithm": "direct",
    }


def gradients(gy, x, w, given):
    return F.conv2d_backward(gy, x, w, **given)[:2]


@functools.cache
def solved(taps, stride, dilation, padding):
    """Cases of all widths, as options, arrays and results."""
    rng, cases = np.random.default_rng(taps * 10 + stride), []
    for number, width in enumerate(WIDTHS):
        height, channels = HEIGHTS[(number * 3 + taps + stride) % len(HEIGHTS)], 1 + number % 3
        given = options(taps, stride, padding, channels, dilation)
        known = {key: value for key, value in given.items() if key != "algorithm"}
        (top, bottom), (left, right) = given["padding"]
        down, along = (1 + d * (taps - 1) for d in np.broadcast_to(dilation, 2).tolist())
        height, width = max(height, down - top - bottom), max(width, along - left - right)
        x, w = small_integers(rng, (2, channels, height, width)), small_integers(rng, (channels, 1, taps, taps))
        y = reference.conv2d(x, w, **known)
        gy = small_integers(rng, y.shape)
        cases.append((given, (x, w, gy), (y, *reference.conv2d_backward(gy, x, w, **known)[:2])))
    return cases


@pytest.mark.parametrize("padding", PADDING)
@pytest.mark.parametrize(("taps", "stride", "dilation"), KERNELS + OTHERS)
def test_results_are_exact_on_small_integers(taps, stride, dilation, padding, isa, dtype):
    for given, arrays, expected in solved(taps, stride, dilation, padding):
        x, w, gy = (array.astype(dtype) for array in arrays)
        results = F.conv2d(x, w, **given), *gradients(gy, x, w, given)
        for found, known in zip(results, expected, strict=True):
            np.testing.assert_array_equal(found, known, err_msg=f"{x.shape} {given}")


@pytest.mark.parametrize("width", [7, 8, 14, 16, 17, 34])
@pytest.mark.parametrize(("taps", "stride", "dilation"), KERNELS)
def test_not_finite_pixels_reach_their_windows_and_no_others(taps, stride, dilation, width, isa, dtype, rng):
    """Each row's ends are neighbours in memory of what is outside of other rows and planes."""
    given = options(taps, stride, groups=3, dilation=dilation)
    x = rng.standard_normal((2, 3, 7, width)).astype(dtype)
    w = rng.uniform(1, 2, (3, 1, taps, taps)).astype(dtype)
    gy = np.ones_like(F.conv2d(x, w, **given))
    for row in (0, 3, 6):
        for column in (0, width // 2, width - 1):
            seen = np.zeros_like(x)
            seen[0, 1, row, column] = seen[1, 2, row, column] = 1
            met = F.conv2d(seen, np.ones_like(w), **given) != 0
            y = F.conv2d(np.where(seen > 0, np.nan, x).astype(dtype), w, **given)
            np.testing.assert_array_equal(np.isnan(y), met)
            taken = F.conv2d_backward(gy, seen, np.ones_like(w), **given)[1] != 0
            gw = F.conv2d_backward(gy, np.where(seen > 0, np.inf, x).astype(dtype), w, **given)[1]
            np.testing.assert_array_equal(~np.isfinite(gw), taken)
    for row in (0, gy.shape[2] - 1):
        for column in (0, gy.shape[3] - 1):
            seen = np.zeros_like(gy)
            seen[0, 2, row, column] = seen[1, 0, row, column] = 1
            met = gradients(seen, np.ones_like(x), np.ones_like(w), given)
            gx, gw = gradients(np.where(seen > 0, np.inf, gy).astype(dtype), np.abs(x) + 1, w, given)
            np.testing.assert_array_equal(~np.isfinite(gx), met[0] != 0)
            assert not np.isfinite(gw[met[1] != 0]).any()  # others may meet padding, and zero times infinity
            assert np.isfinite(gw[1]).all()


@pytest.mark.parametrize("width", [7, 14, 33])
def test_not_finite_weights_reach_all_pixels_that_they_meet(width, isa, dtype, rng):
    x = rng.uniform(1, 2, (1, 2, 6, width)).astype(dtype)
    w = np.ones((2, 1, 3, 3), dtype)
    w[1, 0, 1, 0] = np.inf
    y = F.conv2d(x, w, **options(3, 1, groups=2))
    assert np.isfinite(y[:, 0]).all()
    assert (y[:, 1, :, 1:] == np.inf).all()


@pytest.mark.parametrize("shape", [(1, 3, 7, 7), (2, 5, 8, 14), (1, 1, 9, 33), (3, 2, 200, 200)])
@pytest.mark.parametrize("activation", [None, "relu", "tanh"])
def test_bias_activation_and_prepared_weights(shape, activation, isa, threads, dtype, rng):
    channels = shape[1]
    x, w, b = (rng.standard_normal(s).astype(dtype) for s in (shape, (channels, 1, 3, 3), (channels,)))
    given = options(3, 1, groups=channels)
    y = F.conv2d(x, w, b, **given, activation=activation)
    plain = F.conv2d(x, w, b, **given)
    known = {None: plain, "relu": np.maximum(plain, 0), "tanh": np.tanh(plain)}[activation]
    np.testing.assert_allclose(y, known, rtol=1e-5, atol=1e-6)
    assert_same_bits(F.prepare_conv2d(w, b, **given, activation=activation)(x), y)


@pytest.mark.parametrize("shape", [(16, 40, 7, 7), (8, 17, 14, 14), (2, 3, 230, 201), (4, 40, 28, 28)])
@pytest.mark.parametrize(("taps", "stride", "dilation"), [(3, 1, 1), (3, 2, 1), (7, 1, 1), (3, 1, 5)])
def test_bits_do_not_depend_on_threads_or_batch(shape, taps, stride, dilation, isa, dtype, rng):
    channels, before = shape[1], fc.get_num_threads()
    given = options(taps, stride, groups=channels, dilation=dilation)
    x, w = rng.standard_normal(shape).astype(dtype), rng.standard_normal((channels, 1, taps, taps)).astype(dtype)
    results = []
    try:
        for count in (1, 2, 5):
            fc.set_num_threads(count)
            y = F.conv2d(x, w, **given)
            results.append((y, *gradients(y, x, w, given)))
    finally:
        fc.set_num_threads(before)
    for other in results[1:]:
        for first, second in zip(results[0], other, strict=True):
            assert_same_bits(first, second)
    assert_same_bits(np.concatenate([F.conv2d(image[None], w, **given) for image in x]), results[0][0])


@pytest.mark.parametrize("width", [7, 8, 14, 17])
@pytest.mark.parametrize("dilation", [1, 2, (3, 1)])
def test_nothing_is_written_around_the_results(width, dilation, isa, dtype, rng):
    x, w = rng.standard_normal((2, 3, 7, width)).astype(dtype), rng.standard_normal((3, 1, 3, 3)).astype(dtype)
    given = options(3, 1, groups=3, dilation=dilation)
    memory = np.full(x.size + 256, np.nan, dtype)
    out = memory[128:-128].reshape(x.shape)
    F.conv2d(x, w, **given, out=out)
    assert_same_bits(out.copy(), F.conv2d(x, w, **given))
    assert np.isnan(memory[:128]).all()
    assert np.isnan(memory[-128:]).all()


def test_a_slice_meets_its_own_taps_of_a_deeper_kernel(isa, dtype):
    rng = np.random.default_rng(3)
    x, w = small_integers(rng, (2, 6, 1, 9, 9)), small_integers(rng, (6, 1, 3, 5, 5))
    given = {"stride": (3, 1, 1), "padding": (1, 2, 2), "groups": 6}
    gy = small_integers(rng, reference.conv3d(x, w, **given).shape)
    expected, *_ = reference.conv3d_backward(gy, x, w, **given)
    found, *_ = F.conv3d_backward(gy.astype(dtype), x.astype(dtype), w.astype(dtype), **given)
    np.testing.assert_array_equal(found, expected)
