"""Taps that meet padding alone are left out: at the edges of an image, with dilation, with more padding than kernel."""

import pytest
from oracle import SmallConv2D, assert_small_is_exact, assert_threads_do_not_change_small

# Rows of outputs that are whole tiles of pixels, or share them, with all, some and none of the taps inside.
CASES = [
    SmallConv2D(2, 9, 14, 5, 33, 3, 3, padding=4, dilation=4),
    SmallConv2D(1, 12, 28, 17, 20, 3, 3, padding=6, dilation=6),
    SmallConv2D(1, 14, 14, 20, 40, 5, 5, padding=2),
    SmallConv2D(1, 3, 14, 16, 20, 2, 1, padding=(5, 0)),
    SmallConv2D(1, 17, 17, 32, 19, 7, 1, padding=(3, 0)),
    SmallConv2D(3, 6, 7, 64, 40, 3, 3, padding=3, stride=2),
    SmallConv2D(1, 10, 30, 16, 24, 3, 3, padding=5, dilation=5, stride=(1, 2)),
    SmallConv2D(1, 8, 12, 12, 12, 3, 3, padding=4, dilation=3, groups=2),
]


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_results_are_exact_on_small_integers(case, data_format, isa, threads, dtype):
    assert_small_is_exact(case._replace(data_format=data_format), dtype)


@pytest.mark.parametrize("case", CASES[:4], ids=str)
def test_threads_do_not_change_bits(case, isa, dtype, rng):
    assert_threads_do_not_change_small(case._replace(data_format="channels_last"), dtype, rng)


@pytest.mark.parametrize(("kernel", "stride", "dilation"), [(3, 1, 1), (3, 2, 1), (5, 1, 1), (3, 1, 2), (5, 2, 1)])
@pytest.mark.parametrize("width", [3, 4, 5, 6, 7, 8, 11, 18])
def test_rows_of_depthwise_convolution_are_exact(width, kernel, stride, dilation, isa, dtype):
    # A row is computed by tiles, of which the first and the last have taps outside: the same one in a narrow row.
    for padding in (0, 1, kernel // 2 * dilation, kernel * dilation):
        if width + 2 * padding <= (kernel - 1) * dilation:
            continue
        case = SmallConv2D(
            2,
            width + 1,
            width,
            35,
            35,
            kernel,
            kernel,
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=35,
            data_format="channels_last",
        )
        assert_small_is_exact(case, dtype)


@pytest.mark.parametrize("channels", [(3, 1), (40, 11), (70, 37), (530, 13)], ids=str)
@pytest.mark.parametrize("pixels", [(8, 16), (9, 23), (16, 16)], ids=str)
def test_panels_that_the_first_tile_packs_are_exact(pixels, channels, isa, threads, dtype):
    assert_small_is_exact(SmallConv2D(2, *pixels, *channels, 1, 1, data_format="channels_first"), dtype)
