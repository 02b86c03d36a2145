"""The input gradient of few pixels and many weights by im2col: pixels as lanes, weights where they lie."""

import numpy as np
import pytest
from oracle import SmallConv2D as Case
from oracle import assert_threads_do_not_change_bits, solved_small

import fastconv.functional as F
from fastconv import _core, reference
from fastconv.geometry import conv_geometry

# Outputs of 1 to 72 pixels in all images: lanes left over, a vector, several, several panels, and beyond.
CASES = [
    Case(1, 3, 3, 70, 64),
    Case(1, 4, 4, 40, 130, 4, 4),
    Case(2, 5, 6, 64, 66, 3, 4, stride=2, padding=((1, 0), (2, 1))),
    Case(1, 8, 8, 35, 70, 4, 4, stride=2, padding=1),  # a layer of a network that makes images
    Case(1, 6, 6, 33, 129, 3, 3, stride=(2, 1), padding=1),
    Case(4, 4, 4, 130, 64, 2, 2, stride=2),
    Case(3, 7, 5, 65, 64, 3, 3, stride=3, padding=2, dilation=(1, 2)),
    Case(5, 2, 2, 64, 65, 3, 3, stride=2, padding=2),  # windows in the padding
    Case(1, 5, 6, 64, 64, 2, 3),
    Case(2, 6, 6, 64, 64, 3, 3),
    Case(1, 7, 7, 40, 64, 3, 3, padding=1),
    Case(2, 9, 10, 65, 63, 3, 3, stride=2, padding=1),
    Case(8, 3, 3, 64, 64, 2, 2, stride=1, padding=((0, 0), (0, 1))),
    Case(2, 6, 6, 70, 64, 3, 3, padding=1),
]
CASES += [case._replace(data_format="channels_first") for case in CASES]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_results_are_exact_on_small_integers(case, isa, threads, dtype):
    known = solved_small(case)
    x, w, _, gy = (array.astype(dtype) for array in known[:4])
    gx, _, _ = F.conv2d_backward(gy, x, w, **case.options, algorithm="im2col", needs=("input",))
    np.testing.assert_array_equal(gx, known.gx)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_weights_are_not_packed(data_format, isa, dtype, rng):
    last, bits = data_format == "channels_last", np.dtype(dtype) == np.float64
    small, large = (
        conv_geometry("", shape, (3, 3, 64, 256) if last else (256, 64, 3, 3), 1, 1, 1, 1, axes=2, channels_last=last)[
            0
        ]
        for shape in (((1, 2, 2, 64), (1, 12, 12, 64)) if last else ((1, 64, 2, 2), (1, 64, 12, 12)))
    )
    weights = 3 * 3 * 64 * 256 * np.dtype(dtype).itemsize
    number = _core.ALGORITHMS.index("im2col")
    few, many = (_core.workspace_bytes(geometry, bits, last, last, 1, number) for geometry in (small, large))
    assert few < weights < many


@pytest.mark.parametrize("case", CASES[::3], ids=str)
def test_threads_do_not_change_bits(case, isa, dtype, rng):
    known = solved_small(case)
    x, w, gy = (rng.standard_normal(known[i].shape).astype(dtype) for i in (0, 1, 3))
    assert_threads_do_not_change_bits(
        lambda: F.conv2d_backward(gy, x, w, **case.options, algorithm="im2col", needs=("input",))[:1]
    )


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_a_transposed_convolution_adds_its_bias_and_is_activated_once(data_format, isa, dtype, rng):
    last = data_format == "channels_last"
    x = rng.integers(-2, 3, (1, 4, 4, 70) if last else (1, 70, 4, 4)).astype(dtype)
    w = rng.integers(-2, 3, (4, 4, 40, 70) if last else (70, 40, 4, 4)).astype(dtype)
    b = rng.integers(-2, 3, 40).astype(dtype)
    options = {"stride": 2, "padding": 1, "data_format": data_format}
    plain = F.conv_transpose2d(x, w, **options)
    expected = reference.conv_transpose2d(x, w, **options)
    np.testing.assert_array_equal(plain, expected)
    added = plain + (b if last else b[:, None, None])
    np.testing.assert_array_equal(F.conv_transpose2d(x, w, b, **options), added)
    np.testing.assert_array_equal(F.conv_transpose2d(x, w, b, **options, activation="relu"), np.maximum(added, 0))


def test_what_is_not_finite_stays_with_its_pixel(isa, dtype):
    gy, w = np.ones((3, 1, 1, 70), dtype), np.ones((3, 3, 64, 70), dtype)
    gy[1, 0, 0, 69] = np.inf
    gx, _, _ = F.conv2d_backward(
        gy, np.empty((3, 3, 3, 64), dtype), w, data_format="channels_last", algorithm="im2col", needs=("input",)
    )
    assert np.isinf(gx[1]).all()
    assert (gx[[0, 2]] == 70).all()
