"""Every algorithm of convolution: right within its bound in every pass, and the same bits for every thread count."""

import numpy as np
import pytest
import strategies
from hypothesis import assume, given, note, settings
from hypothesis import strategies as st
from oracle import (
    ALGORITHMS,
    LARGE,
    WINOGRAD,
    WINOGRAD_LARGE,
    LargeConv2D,
    assert_same_bits,
    assert_within,
    conv_bounds,
    every_setting,
    image_as,
    small_integers,
    solved,
    weight_as,
)

import fastconv as fc
import fastconv.functional as F
from fastconv import _core, reference
from fastconv.geometry import conv_geometry

NUMBERS = {name: number for number, name in enumerate(_core.ALGORITHMS)}
FORWARD, GRAD_INPUT, GRAD_WEIGHT = range(3)
THREADS = (1, 2, 3, 5)
GRADIENTS = {"needs": ("input", "weight")}
# Elements of a full Toeplitz matrix that a test builds: the algorithm's cost is their number times the batch.
FULL_MATRIX = 2**21

ANY_SHAPE = [name for name in ALGORITHMS if name not in WINOGRAD]

# Thin layers, which the blocked Toeplitz algorithm is for: outputs of a row fill a vector together.
THIN = [
    LargeConv2D(8, (32, 32), 1, 6, (5, 5)),
    LargeConv2D(9, (28, 28), 1, 8, (7, 7), stride=(2, 2)),
    LargeConv2D(2, (29, 31), 6, 16, (5, 5), padding=((2, 2), (2, 2))),
    LargeConv2D(2, (30, 37), 3, 5, (3, 4), (2, 3), (1, 1), ((0, 3), (2, 1))),
    LargeConv2D(1, (25, 66), 2, 3, (3, 3), (1, 1), (2, 3), ((2, 2), (3, 3))),
    LargeConv2D(1, (19, 50), 4, 2, (3, 5), (1, 2), (1, 3)),
    LargeConv2D(2, (20, 41), 6, 9, (3, 3), (1, 1), (1, 1), ((1, 1), (1, 1)), groups=3),
    LargeConv2D(1, (33, 34), 5, 10, (3, 3), (2, 2), (1, 1), ((1, 1), (1, 1)), groups=5),
    LargeConv2D(1, (3, 1000), 1, 1, (3, 9), padding=((1, 1), (4, 4))),
    LargeConv2D(1, (1000, 3), 1, 2, (9, 3), padding=((4, 4), (1, 1))),
    LargeConv2D(40, (5, 5), 2, 7, (3, 3), padding=((1, 1), (1, 1))),
    # Small enough for the full matrix, with more images than a tile has rows.
    LargeConv2D(70, (9, 8), 3, 4, (3, 3), padding=((1, 1), (1, 1))),
    LargeConv2D(5, (7, 9), 6, 10, (3, 2), (2, 1), (1, 2), ((1, 0), (2, 1)), groups=2),
]


def full_matrix(case):
    kh, kw = case.kernel
    (sh, sw), (rh, rw) = case.stride, case.dilation
    ih, iw = (size + sum(pads) for size, pads in zip(case.size, case.padding, strict=True))
    outputs = ((ih - (kh - 1) * rh - 1) // sh + 1) * ((iw - (kw - 1) * rw - 1) // sw + 1)
    return case.size[0] * case.size[1] * case.ci * outputs * case.co


def large_cases(algorithm):
    if algorithm in WINOGRAD:
        return WINOGRAD_LARGE
    cases = LARGE + THIN
    return [case for case in cases if full_matrix(case) <= FULL_MATRIX] if algorithm == "toeplitz_full" else cases


EVERY_LARGE = [pytest.param(name, case, id=f"{name}-{case}") for name in ALGORITHMS for case in large_cases(name)]
# One case for each algorithm, small enough for the full matrix, with channels beyond a vector and several tiles.
SMALL = LargeConv2D(2, (9, 10), 5, 19, (3, 3), padding=((1, 0), (2, 1)))


def arrays_as(case, data_format, dtype):
    known = solved(case)
    x, gy = (image_as(array, data_format, dtype) for array in (known.x, known.gy))
    return x, weight_as(known.w, data_format, dtype), known.b.astype(dtype), gy


def normal_arrays(case, data_format, dtype, seed=0):
    rng = np.random.default_rng(seed)
    x, w, b, gy = (rng.standard_normal(np.shape(array)) for array in solved(case)[:4])
    x, gy = (image_as(array, data_format, dtype) for array in (x, gy))
    return x, weight_as(w, data_format, dtype), b.astype(dtype), gy


def geometry_of(case):
    kernel = (*case.kernel, case.ci // case.groups, case.co)
    geometry, _ = conv_geometry("test", (case.n, *case.size, case.ci), kernel, **case.options, channels_last=True)
    return geometry


def assert_integers(actual, expected, algorithm, label=""):
    """Equal, or with Winograd nearer to the right integer than to any other: no product is lost or doubled."""
    if algorithm in WINOGRAD:
        assert_within(actual, expected, 0.25, label)
    else:
        np.testing.assert_array_equal(actual, expected, err_msg=label)


class TestReference:
    """At least 200 geometries for each algorithm and pass."""

    @staticmethod
    def check_forward(case, algorithm):
        x, w, b = case.arrays()
        expected = reference.conv2d(x, w, b, **case.options)
        bound = conv_bounds(algorithm, case.dtype, x, w, b, np.zeros(expected.shape), case.options).y
        bits = {}
        for setting in every_setting(THREADS):
            note(setting)
            y = F.conv2d(x, w, b, **case.options, algorithm=algorithm)
            assert y.dtype == case.dtype
            assert_within(y, expected, bound, setting)
            assert_same_bits(y, bits.setdefault(_core.isa(), y), setting)

    @staticmethod
    def check_gradients(case, algorithm):
        x, w, b = case.arrays()
        gy = case.grad_output(reference.conv2d(np.zeros(x.shape), np.zeros(w.shape), **case.options).shape)
        expected = reference.conv2d_backward(gy, x, w, b, **case.options)
        bounds = conv_bounds(algorithm, case.dtype, x, w, b, gy, case.options)
        bits = {}
        for setting in every_setting(THREADS):
            note(setting)
            gx, gw, _ = F.conv2d_backward(gy, x, w, b, **case.options, **GRADIENTS, algorithm=algorithm)
            assert gx.dtype == gw.dtype == case.dtype
            assert_within(gx, expected[0], bounds.gx, f"input, {setting}")
            assert_within(gw, expected[1], bounds.gw, f"weight, {setting}")
            for gradient, other in zip((gx, gw), bits.setdefault(_core.isa(), (gx, gw)), strict=True):
                assert_same_bits(gradient, other, setting)

    @pytest.mark.parametrize("algorithm", ["direct", "im2col", "toeplitz"])
    @settings(max_examples=200)
    @given(case=strategies.conv2d())
    def test_forward(self, algorithm, case):
        self.check_forward(case, algorithm)

    @pytest.mark.parametrize("algorithm", ["direct", "im2col", "toeplitz"])
    @settings(max_examples=200)
    @given(case=strategies.conv2d())
    def test_gradients(self, algorithm, case):
        self.check_gradients(case, algorithm)

    @settings(max_examples=200)
    @given(case=strategies.conv2d())
    def test_forward_of_the_full_matrix(self, case):
        assume(self.matrix_elements(case) <= FULL_MATRIX)
        self.check_forward(case, "toeplitz_full")

    @settings(max_examples=200)
    @given(case=strategies.conv2d())
    def test_gradients_of_the_full_matrix(self, case):
        assume(self.matrix_elements(case) <= FULL_MATRIX)
        self.check_gradients(case, "toeplitz_full")

    @staticmethod
    def matrix_elements(case):
        y = reference.conv2d(np.zeros(case.input_shape), np.zeros(case.weight_shape), **case.options)
        image = case.input_shape[-3:]
        return int(np.prod(image)) * int(np.prod(y.shape[-3:]))

    @pytest.mark.parametrize("algorithm", WINOGRAD)
    @settings(max_examples=200)
    @given(case=strategies.winograd_conv2d())
    def test_forward_of_winograd(self, algorithm, case):
        self.check_forward(case, algorithm)

    @pytest.mark.parametrize("algorithm", WINOGRAD)
    @settings(max_examples=200)
    @given(case=strategies.winograd_conv2d())
    def test_gradients_of_winograd(self, algorithm, case):
        self.check_gradients(case, algorithm)


class TestIntegers:
    @pytest.mark.parametrize(("algorithm", "case"), EVERY_LARGE)
    def test_forward_of_large_cases(self, algorithm, case, isa, dtype, data_format):
        x, w, b, _ = arrays_as(case, data_format, dtype)
        expected, first = image_as(solved(case).y, data_format, dtype), None
        for threads in THREADS:
            with fc.set_num_threads(threads):
                y = F.conv2d(x, w, b, **case.options, data_format=data_format, algorithm=algorithm)
            assert_integers(y, expected, algorithm)
            first = y if first is None else first
            assert_same_bits(y, first, f"{threads} threads")

    @pytest.mark.parametrize(("algorithm", "case"), EVERY_LARGE)
    def test_gradients_of_large_cases(self, algorithm, case, isa, dtype, data_format):
        x, w, _, gy = arrays_as(case, data_format, dtype)
        known, first = solved(case), None
        expected = image_as(known.gx, data_format, dtype), weight_as(known.gw, data_format, dtype)
        for threads in THREADS:
            with fc.set_num_threads(threads):
                gradients = F.conv2d_backward(
                    gy, x, w, None, **case.options, **GRADIENTS, data_format=data_format, algorithm=algorithm
                )[:2]
            first = gradients if first is None else first
            for name, gradient, value, other in zip(("input", "weight"), gradients, expected, first, strict=True):
                assert_integers(gradient, value, algorithm, name)
                assert_same_bits(gradient, other, f"{name}, {threads} threads")

    @pytest.mark.parametrize("ci", range(1, 41))
    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    def test_all_channel_counts(self, algorithm, ci, isa, dtype, rng):
        for co in (1, 2, 7, 8, 15, 16, 17, 31, 33, 40):
            x, w, gy = (small_integers(rng, shape, dtype) for shape in ((1, 7, 6, ci), (3, 3, ci, co), (1, 6, 5, co)))
            padded, y = np.zeros((1, 8, 7, ci)), np.zeros((1, 6, 5, co))
            padded[:, 1:, 1:] = x
            grad_x, grad_w = np.zeros(padded.shape), np.zeros(w.shape)
            for p, q in np.ndindex(3, 3):
                meets = np.s_[:, p : p + 6, q : q + 5]
                y += padded[meets] @ w[p, q]
                grad_x[meets] += gy @ w[p, q].T
                grad_w[p, q] = padded[meets].reshape(-1, ci).T @ gy.reshape(-1, co)
            how = {"padding": ((1, 0), (1, 0)), "data_format": "channels_last", "algorithm": algorithm}
            label = f"{co} output channels"
            assert_integers(F.conv2d(x, w, **how), y, algorithm, label)
            gx, gw, _ = F.conv2d_backward(gy, x, w, **GRADIENTS, **how)
            assert_integers(gx, grad_x[:, 1:, 1:], algorithm, label)
            assert_integers(gw, grad_w, algorithm, label)

    # One block of tiles, whose weights are transformed panel by panel, 64 input channels at a time, and several, which
    # share them; the last ones' take more than 16 MB.
    @pytest.mark.parametrize(
        "shape", [(1, 9, 6, 64, 40), (1, 5, 4, 65, 33), (9, 13, 17, 130, 16), (3, 13, 14, 352, 344)]
    )
    @pytest.mark.parametrize("algorithm", WINOGRAD)
    def test_many_channels_of_winograd(self, algorithm, shape, isa, threads, data_format, rng):
        *image, ci, co = shape
        x, w = small_integers(rng, (*image, ci)), small_integers(rng, (3, 3, ci, co))
        padded, y = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)]), np.zeros((*image, co))
        for p, q in np.ndindex(3, 3):
            y += padded[:, p : p + image[1], q : q + image[2]] @ w[p, q]
        x, w = image_as(x, data_format, np.float32), weight_as(w, data_format, np.float32)
        how = {"padding": 1, "data_format": data_format, "algorithm": algorithm}
        found = F.conv2d(x, w, **how)
        assert_integers(found, image_as(y, data_format, np.float32), algorithm)
        assert_same_bits(F.prepare_conv2d(w, **how)(x), found)

    @pytest.mark.parametrize("case", WINOGRAD_LARGE[:8], ids=str)
    def test_winograd_2x2_is_exact_on_weights_that_are_multiples_of_4(self, case, isa, dtype, data_format):
        """G holds halves, so that G g G^T is then whole; B and A hold 1 and -1. In the weight gradient only sums are
        halved, which is exact for any."""
        x, w, _, gy = arrays_as(case, data_format, dtype)
        known, how = solved(case), {"padding": case.padding, "data_format": data_format, "algorithm": "winograd_2x2"}
        np.testing.assert_array_equal(F.conv2d(x, 4 * w, **how), image_as(known.y - known.b, data_format, dtype) * 4)
        gx, gw, _ = F.conv2d_backward(gy, x, 4 * w, **GRADIENTS, **how)
        np.testing.assert_array_equal(gx, image_as(known.gx, data_format, dtype) * 4)
        np.testing.assert_array_equal(gw, weight_as(known.gw, data_format, dtype))

    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    @pytest.mark.parametrize("width", [*range(3, 36), 63, 64, 65])
    def test_all_widths(self, algorithm, width, isa, dtype, data_format, rng):
        x, w = small_integers(rng, (1, 4, width, 2)), small_integers(rng, (3, 3, 2, 3))
        expected = sum(x[:, p : p + 2, q : q + width - 2] @ w[p, q] for p, q in np.ndindex(3, 3))
        y = F.conv2d(
            image_as(x, data_format, dtype),
            weight_as(w, data_format, dtype),
            data_format=data_format,
            algorithm=algorithm,
        )
        assert_integers(y, image_as(expected, data_format, dtype), algorithm)


class TestBlocks:
    """ "toeplitz_N": N outputs of a row from one window."""

    @pytest.mark.parametrize("block", [1, 2, 5, 100])
    @pytest.mark.parametrize("case", [*THIN[:2], LARGE[1], LARGE[5]], ids=str)
    def test_every_block_gives_the_result(self, case, block, isa, threads, dtype, data_format):
        known, how = solved(case), {**case.options, "data_format": data_format, "algorithm": f"toeplitz_{block}"}
        x, w, b, gy = arrays_as(case, data_format, dtype)
        np.testing.assert_array_equal(F.conv2d(x, w, b, **how), image_as(known.y, data_format, dtype))
        gx, _, _ = F.conv2d_backward(gy, x, w, b, **how, needs="input")
        np.testing.assert_array_equal(gx, image_as(known.gx, data_format, dtype))
        np.testing.assert_array_equal(
            F.prepare_conv2d(w, b, **how)(x), image_as(known.y, data_format, dtype), err_msg="packed"
        )

    def test_longer_blocks_multiply_more(self):
        geometry, number = geometry_of(THIN[0]), NUMBERS["toeplitz"]
        counts = [_core.toeplitz_multiplications(geometry, False, FORWARD, number + 256 * n) for n in (1, 2, 4, 10**6)]
        assert counts == sorted(set(counts))

    def test_block_past_the_limit_is_refused(self):
        x, w = np.ones((1, 8, 1, 100_000), np.float32), np.ones((8, 8, 1, 3), np.float32)
        assert F.conv2d(x, w, algorithm="toeplitz_8").shape == (1, 8, 1, 99_998)
        with pytest.raises(ValueError, match="'toeplitz_99999' needs matrices past the limit of 1073741824 bytes"):
            F.conv2d(x, w, algorithm="toeplitz_99999")

    @pytest.mark.parametrize("name", ["toeplitz_0", "toeplitz_-1", "toeplitz_", "toeplitz_4x4", "toeplitz_1e3"])
    def test_what_is_no_block_is_refused(self, name):
        with pytest.raises(ValueError, match="or 'toeplitz_N' with a number, got 'toeplitz_"):
            F.conv2d(np.ones((1, 1, 4, 4)), np.ones((1, 1, 3, 3)), algorithm=name)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
class TestDegenerateSizes:
    def test_empty_batch(self, algorithm, isa, dtype, data_format):
        x, gy = (image_as(np.ones((0, 6, 6, c)), data_format, dtype) for c in (3, 5))
        w, how = weight_as(np.ones((3, 3, 3, 5)), data_format, dtype), {"padding": 1, "data_format": data_format}
        assert F.conv2d(x, w, np.ones(5, dtype), **how, algorithm=algorithm).shape == gy.shape
        gx, gw, _ = F.conv2d_backward(gy, x, w, None, **how, **GRADIENTS, algorithm=algorithm)
        assert gx.shape == x.shape
        np.testing.assert_array_equal(gw, np.zeros(w.shape))

    def test_no_input_channels(self, algorithm, isa, dtype, data_format):
        x, w = (np.ones(shape) for shape in ((2, 3, 4, 0), (3, 3, 0, 2)))
        arrays = image_as(x, data_format, dtype), weight_as(w, data_format, dtype)
        y = F.conv2d(*arrays, np.array([4, 5], dtype), data_format=data_format, algorithm=algorithm)
        expected = np.broadcast_to([4.0, 5.0], (2, 1, 2, 2))
        np.testing.assert_array_equal(y, image_as(expected, data_format, dtype))
        gx, gw, _ = F.conv2d_backward(y, *arrays, **GRADIENTS, data_format=data_format, algorithm=algorithm)
        assert (gx.shape, gw.shape) == (arrays[0].shape, arrays[1].shape)

    @pytest.mark.parametrize(("size", "padding"), [((3, 3), 0), ((1, 1), 1), ((1, 2), ((2, 0), (1, 0))), ((1, 1), 4)])
    def test_few_pixels(self, algorithm, size, padding, isa, dtype, data_format, rng):
        x, w = (
            image_as(small_integers(rng, (2, *size, 18)), data_format, dtype),
            weight_as(small_integers(rng, (3, 3, 18, 19)), data_format, dtype),
        )
        how = {"padding": padding, "data_format": data_format}
        expected = reference.conv2d(x, w, **how)
        gy = small_integers(rng, expected.shape, dtype)
        expected_x, expected_w, _ = reference.conv2d_backward(gy, x, w, **how)
        assert_integers(F.conv2d(x, w, **how, algorithm=algorithm), expected, algorithm)
        gx, gw, _ = F.conv2d_backward(gy, x, w, **how, **GRADIENTS, algorithm=algorithm)
        assert_integers(gx, expected_x, algorithm)
        assert_integers(gw, expected_w, algorithm)


class TestSpecialValues:
    SHAPE = (2, 14, 15)  # images, outputs; with padding 1 the inputs' too
    NOT_FINITE = (1, 4, 9)  # image, row and column

    def reached(self, algorithm):
        """Return masks (image, row, column): what must not be finite, and what may not be."""
        image, row, column = self.NOT_FINITE
        must, may = np.zeros((2, *self.SHAPE), bool)
        must[image, row - 1 : row + 2, column - 1 : column + 2] = True
        may |= must
        if algorithm == "toeplitz":  # zeros of the band meet the neighbours in a row
            may[image, row - 1 : row + 2] = True
        elif algorithm == "toeplitz_full":  # zeros of the matrix meet the whole image
            may[image] = True
        elif algorithm in WINOGRAD:
            tile = 2 if algorithm == "winograd_2x2" else 4
            for top in range(0, self.SHAPE[1], tile):
                for left in range(0, self.SHAPE[2], tile):
                    # Of an input with padding 1, a tile's window begins one before the tile.
                    if -1 <= row - top <= tile and -1 <= column - left <= tile:
                        may[image, top : top + tile, left : left + tile] = True
        return must, may

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    def test_not_finite_pixel_reaches_its_windows_or_their_tiles(self, algorithm, value, isa, dtype, data_format, rng):
        x, w = rng.standard_normal((*self.SHAPE, 9)), rng.standard_normal((3, 3, 9, 10))
        damaged = x.copy()
        damaged[*self.NOT_FINITE, 7] = value
        how = {"padding": 1, "data_format": data_format, "algorithm": algorithm}
        must, may = (
            image_as(np.repeat(mask[..., np.newaxis], 10, axis=-1), data_format, bool)
            for mask in self.reached(algorithm)
        )
        forward = [
            F.conv2d(image_as(a, data_format, dtype), weight_as(w, data_format, dtype), **how) for a in (x, damaged)
        ]
        # The input gradient of a layer 10 -> 9 is the same convolution, with turned weights.
        turned = weight_as(np.ascontiguousarray(w[::-1, ::-1].transpose(0, 1, 3, 2)), data_format, dtype)
        back = [
            F.conv2d_backward(
                image_as(a, data_format, dtype), np.zeros_like(forward[0]), turned, **how, needs=("input",)
            )[0]
            for a in (x, damaged)
        ]
        for clean, found in (forward, back):
            assert not np.isfinite(found[must]).any()
            np.testing.assert_array_equal(found[~may], clean[~may])

    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    def test_not_finite_weight_reaches_its_output_channel_only(self, algorithm, isa, dtype, data_format, rng):
        x, w = rng.standard_normal((2, 7, 8, 9)), rng.standard_normal((3, 3, 9, 21))
        image, how = image_as(x, data_format, dtype), {"data_format": data_format, "algorithm": algorithm}
        clean = F.conv2d(image, weight_as(w, data_format, dtype), **how)
        w[1, 1, 3, 17] = np.nan
        y = F.conv2d(image, weight_as(w, data_format, dtype), **how)
        channels = np.arange(21) != 17
        axis = -1 if data_format == "channels_last" else 1
        assert np.isnan(np.compress(~channels, y, axis)).all()
        assert_same_bits(np.compress(channels, y, axis), np.compress(channels, clean, axis))

    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    def test_not_finite_pixel_reaches_the_weights_of_its_channel_only(self, algorithm, isa, dtype, data_format, rng):
        x, w, gy = rng.standard_normal((2, 8, 9, 9)), np.zeros((3, 3, 9, 21)), rng.standard_normal((2, 6, 7, 21))
        how = {"data_format": data_format, "algorithm": algorithm, "needs": ("weight",)}
        weight, gradient = weight_as(w, data_format, dtype), image_as(gy, data_format, dtype)
        _, clean, _ = F.conv2d_backward(gradient, image_as(x, data_format, dtype), weight, **how)
        x[1, 3, 4, 5] = np.nan
        _, gw, _ = F.conv2d_backward(gradient, image_as(x, data_format, dtype), weight, **how)
        channels = np.arange(9) != 5
        axis = 2 if data_format == "channels_last" else 1
        assert np.isnan(np.compress(~channels, gw, axis)).all()
        assert_same_bits(np.compress(channels, gw, axis), np.compress(channels, clean, axis))

    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    def test_subnormal_numbers_count_as_zero(self, algorithm, isa, threads, dtype, data_format):
        tiny = np.finfo(dtype).smallest_subnormal * 1000
        ones, subnormal = (np.ones((2, 9, 8, 10)), np.ones((3, 3, 10, 10))), tiny
        for factors in ((1, subnormal), (subnormal, 1)):
            x, w = (array * factor for array, factor in zip(ones, factors, strict=True))
            arrays = image_as(x, data_format, dtype), weight_as(w, data_format, dtype)
            y = F.conv2d(*arrays, data_format=data_format, algorithm=algorithm)
            np.testing.assert_array_equal(y, 0)
        assert (np.array([tiny]) + tiny)[0] > 0


class TestBiasAndActivation:
    ACTIVATIONS = ("relu", "leaky_relu", "sigmoid", "tanh")

    @staticmethod
    def forward(case, arrays, bias, data_format, algorithm, activation="linear", slope=0.0):
        x, w, _, gy = arrays
        y, last = np.full_like(gy, np.nan), data_format == "channels_last"
        number = getattr(_core, activation.upper())
        _core.conv_forward(geometry_of(case), last, last, x, w, bias, y, number, slope, NUMBERS[algorithm])
        return y

    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    @pytest.mark.parametrize(
        "case", [SMALL, LargeConv2D(2, (10, 11), 3, 5, (3, 3)), LargeConv2D(3, (8, 20), 1, 3, (3, 3))], ids=str
    )
    def test_fused_activation_is_that_of_the_result(self, case, algorithm, isa, threads, dtype, data_format):
        """Also where outputs of a row, or of a tile, are computed twice."""
        arrays = normal_arrays(case, data_format, dtype)
        for bias in (None, arrays[2]):
            plain = self.forward(case, arrays, bias, data_format, algorithm)
            for activation in self.ACTIVATIONS:
                y = self.forward(case, arrays, bias, data_format, algorithm, activation, 0.25)
                slope = (0.25,) if activation == "leaky_relu" else ()
                assert_same_bits(y, getattr(F, activation)(plain, *slope), activation)

    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    def test_bias_of_a_transposed_convolution(self, algorithm, isa, threads, dtype, data_format, rng):
        _, w, _, gy = arrays_as(SMALL, data_format, dtype)
        bias, last = small_integers(rng, (SMALL.ci,)), data_format == "channels_last"
        expected = image_as(solved(SMALL).gx + bias, data_format, dtype)
        gx = np.full_like(expected, np.nan)
        geometry = geometry_of(SMALL)
        _core.conv_grad_input(geometry, last, last, gy, w, gx, NUMBERS[algorithm], bias.astype(dtype))
        assert_integers(gx, expected, algorithm)

    @pytest.mark.parametrize("algorithm", ANY_SHAPE)
    def test_bias_of_a_transposed_convolution_with_strides_and_groups(self, algorithm, isa, dtype, data_format, rng):
        # With dilation 2 and stride 2, some inputs meet no window: they get the bias alone.
        case = LargeConv2D(2, (11, 12), 6, 8, (2, 2), (3, 2), (1, 2), ((0, 1), (1, 0)), groups=2)
        _, w, _, gy = arrays_as(case, data_format, dtype)
        bias, last = small_integers(rng, (case.ci,)), data_format == "channels_last"
        expected = image_as(solved(case).gx + bias, data_format, dtype)
        gx = np.full_like(expected, np.nan)
        _core.conv_grad_input(geometry_of(case), last, last, gy, w, gx, NUMBERS[algorithm], bias.astype(dtype))
        np.testing.assert_array_equal(gx, expected)


class TestPacked:
    @pytest.mark.parametrize("weight_format", ["channels_first", "channels_last"])
    @pytest.mark.parametrize("with_bias", [False, True], ids=["no-bias", "bias"])
    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    def test_packed_weights_give_the_same_bits(
        self, algorithm, with_bias, weight_format, isa, threads, dtype, data_format
    ):
        for case in (SMALL, *([] if algorithm == "toeplitz_full" else WINOGRAD_LARGE[:3])):
            x, w, b, gy = normal_arrays(case, data_format, dtype)
            if weight_format != data_format:
                order = (2, 3, 1, 0) if weight_format == "channels_last" else (3, 2, 0, 1)
                w = np.ascontiguousarray(w.transpose(order))
            bias = b if with_bias else None
            geometry, float64 = geometry_of(case), dtype == np.float64
            last, weight_last = data_format == "channels_last", weight_format == "channels_last"
            number = _core.choose(geometry, float64, last, FORWARD, NUMBERS[algorithm])
            packed = np.full(_core.packed_elements(geometry, float64, last, weight_last, number), np.nan, dtype)
            _core.pack(geometry, last, weight_last, w, bias, packed, number)
            for activation in (_core.LINEAR, _core.RELU, _core.TANH):
                plain, y = np.full_like(gy, np.nan), np.full_like(gy, np.nan)
                _core.conv_forward(geometry, last, weight_last, x, w, bias, plain, activation, 0.0, number)
                before = packed.tobytes()
                convolution = _core.PackedConvolution(
                    geometry, y.shape, last, weight_last, packed, with_bias, activation, number
                )
                assert convolution.run(x, y) is y
                assert_same_bits(y, plain, str(case))
                assert packed.tobytes() == before

    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    def test_packed_weights_of_another_size_are_refused(self, algorithm):
        geometry = geometry_of(SMALL)
        number = _core.choose(geometry, False, True, FORWARD, NUMBERS[algorithm])
        elements = _core.packed_elements(geometry, False, True, True, number)
        x, w, _, y = arrays_as(SMALL, "channels_last", np.float32)
        for wrong in (elements - 1, elements + 1):
            packed = np.zeros(wrong, np.float32)
            with pytest.raises(ValueError, match="_core: "):
                _core.pack(geometry, True, True, w, None, packed, number)
            with pytest.raises(ValueError, match="_core: "):
                _core.PackedConvolution(geometry, y.shape, True, True, packed, False, 0, number).run(x, y)


class TestMemory:
    @pytest.mark.parametrize("offset", [1, 3])
    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    def test_memory_beside_the_arrays_is_neither_used_nor_written(
        self, algorithm, offset, isa, threads, dtype, data_format
    ):
        memories = []

        def between_nan(array):
            memory = np.full(array.size + 2 * offset, np.nan, dtype)
            memory[offset:-offset] = array.ravel()
            memories.append(memory)
            return memory[offset:-offset].reshape(array.shape)

        known, last, number = solved(SMALL), data_format == "channels_last", NUMBERS[algorithm]
        x, w, b, gy = (between_nan(array) for array in arrays_as(SMALL, data_format, dtype))
        y, gx, gw = (between_nan(np.full_like(array, np.nan)) for array in (gy, x, w))
        geometry, copies = geometry_of(SMALL), [array.copy() for array in (x, w, b, gy)]
        _core.conv_forward(geometry, last, last, x, w, b, y, _core.LINEAR, 0.0, number)
        _core.conv_grad_input(geometry, last, last, gy, w, gx, number)
        _core.conv_grad_weight(geometry, last, last, x, gy, gw, number)
        assert_integers(y, image_as(known.y, data_format, dtype), algorithm)
        assert_integers(gx, image_as(known.gx, data_format, dtype), algorithm)
        assert_integers(gw, weight_as(known.gw, data_format, dtype), algorithm)
        for array, copy in zip((x, w, b, gy), copies, strict=True):
            assert_same_bits(array, copy)
        for memory in memories:
            assert np.isnan(memory[:offset]).all()
            assert np.isnan(memory[-offset:]).all()

    @pytest.mark.parametrize("direction", [FORWARD, GRAD_INPUT])
    def test_im2col_copies_windows_in_bounded_blocks(self, direction, data_format):
        case = LargeConv2D(16, (112, 112), 64, 64, (3, 3), padding=((1, 1), (1, 1)))
        last, images = data_format == "channels_last", 16 * 112 * 112 * 64 * 4
        number = NUMBERS["im2col"]
        needed = _core.workspace_bytes(geometry_of(case), False, last, last, direction, number)
        assert 0 < needed < images

    @pytest.mark.parametrize("direction", [FORWARD, GRAD_INPUT, GRAD_WEIGHT])
    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    def test_workspace_is_what_a_call_takes(self, algorithm, direction, dtype, data_format, threads):
        case = LargeConv2D(2, (5, 6), 7, 9, (3, 3), padding=((1, 0), (2, 1)))
        self.assert_workspace_is_taken(case, algorithm, direction, dtype, data_format)

    @pytest.mark.parametrize(
        "case",
        [
            LargeConv2D(8, (34, 34), 64, 128, (4, 4), (2, 2), padding=((1, 1), (1, 1))),  # merged, the last one alone
            LargeConv2D(3, (15, 14), 30, 40, (1, 1), (2, 2)),  # between zeros
        ],
        ids=str,
    )
    def test_workspace_of_strided_input_gradients(self, case):
        with fc.set_num_threads(1):  # with more what walks take differs, and blocks of each size are kept
            self.assert_workspace_is_taken(case, "direct", GRAD_INPUT, np.float32, "channels_first")

    @staticmethod
    def assert_workspace_is_taken(case, algorithm, direction, dtype, data_format):
        x, w, b, gy = arrays_as(case, data_format, dtype)
        geometry, last, number = geometry_of(case), data_format == "channels_last", NUMBERS[algorithm]
        needed = _core.workspace_bytes(geometry, dtype == np.float64, last, last, direction, number)
        _core.scratch_trim()
        if direction == FORWARD:
            _core.conv_forward(geometry, last, last, x, w, b, np.empty_like(gy), _core.LINEAR, 0.0, number)
        elif direction == GRAD_INPUT:
            _core.conv_grad_input(geometry, last, last, gy, w, np.empty_like(x), number)
        else:
            _core.conv_grad_weight(geometry, last, last, x, gy, np.empty_like(w), number)
        # All of it is kept for later calls, each block rounded up to lines of the cache.
        assert 0 < needed <= _core.scratch_bytes() < needed + 256


def choices():
    """Geometries that "auto" and "winograd" have to choose an algorithm for."""
    return st.builds(
        lambda n, size, ci, co, kernel, stride, dilation: geometry_of(
            LargeConv2D(n, size, ci, co, kernel, (stride,) * 2, (dilation,) * 2, ((1, 1), (1, 1)))
        ),
        st.integers(0, 20),
        st.tuples(st.integers(9, 80), st.integers(9, 80)),
        st.integers(1, 300),
        st.integers(1, 300),
        st.sampled_from([(3, 3), (3, 3), (1, 1), (5, 5), (3, 1)]),
        st.sampled_from([1, 1, 2]),
        st.sampled_from([1, 1, 2]),
    )


WINOGRAD_NUMBERS = {NUMBERS[name] for name in WINOGRAD}
DIRECTIONS = (FORWARD, GRAD_INPUT, GRAD_WEIGHT)


class TestChoice:
    def test_names(self):
        assert list(_core.ALGORITHMS) == ["auto", *ALGORITHMS]

    @pytest.mark.parametrize("direction", DIRECTIONS)
    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    def test_algorithm_that_is_asked_for_is_used(self, algorithm, direction, dtype, data_format):
        geometry, last = geometry_of(SMALL), data_format == "channels_last"
        chosen = _core.choose(geometry, dtype == np.float64, last, direction, NUMBERS[algorithm])
        if algorithm == "winograd":
            assert chosen in {NUMBERS["winograd_2x2"], NUMBERS["winograd_4x4"]}
        elif direction == GRAD_WEIGHT and algorithm.startswith("toeplitz"):
            assert chosen == NUMBERS["direct"]
        else:
            assert chosen == NUMBERS[algorithm]

    @settings(max_examples=200)
    @given(geometry=choices())
    def test_auto_takes_no_algorithm_that_rounds_more_for_float64_or_when_strict(self, geometry):
        before = _core.get_strict()
        try:
            for strict, float64 in ((True, False), (True, True), (False, True)):
                _core.set_strict(strict)
                chosen = {_core.choose(geometry, float64, last, d, 0) for last in (False, True) for d in DIRECTIONS}
                assert chosen.isdisjoint({-1, NUMBERS["auto"], *WINOGRAD_NUMBERS})
        finally:
            _core.set_strict(before)

    @settings(max_examples=200)
    @given(geometry=choices())
    def test_choice_is_the_same_for_every_thread_count(self, geometry):
        """An instruction set may have a choice of its own: its tiles waste more or less on few channels."""
        cases = [(float64, last, d) for float64 in (False, True) for last in (False, True) for d in DIRECTIONS]
        chosen = {}
        for setting in every_setting(THREADS):
            numbers = [_core.choose(geometry, *case, 0) for case in cases]
            assert not {-1, NUMBERS["auto"], NUMBERS["winograd"]} & set(numbers)
            assert chosen.setdefault(_core.isa(), numbers) == numbers, setting

    def test_auto_takes_winograd_where_it_pays(self):
        geometry = geometry_of(WINOGRAD_LARGE[0])
        for direction in DIRECTIONS:
            assert _core.choose(geometry, False, True, direction, 0) in WINOGRAD_NUMBERS

    @pytest.mark.parametrize("case", [WINOGRAD_LARGE[0], LARGE[2], LARGE[5], SMALL], ids=str)
    def test_auto_has_the_bits_of_the_algorithm_it_takes(self, case, isa, dtype, data_format):
        x, w, b, gy = normal_arrays(case, data_format, dtype)
        asked = geometry_of(case), dtype == np.float64, data_format == "channels_last"
        how = {**case.options, "data_format": data_format}
        results = F.conv2d(x, w, b, **how), *F.conv2d_backward(gy, x, w, b, **how)[:2]
        for result, direction in zip(results, DIRECTIONS, strict=True):
            arrays, moved = (gy, x, w), how
            turns = _core.turns(*asked, direction, 0)
            if turns:
                arrays = gy.transpose(0, 2, 3, 1), x.transpose(0, 2, 3, 1), w.transpose(2, 3, 1, 0)
                moved = {**case.options, "data_format": "channels_last"}
            moved = {**moved, "algorithm": _core.ALGORITHMS[_core.choose(*asked, direction, 0)]}
            if direction == FORWARD:
                again = F.conv2d(*arrays[1:], b, **moved)
            else:
                again = F.conv2d_backward(*arrays, b, **moved)[direction - 1]
            if turns:
                again = again.transpose((3, 2, 0, 1) if direction == GRAD_WEIGHT else (0, 3, 1, 2))
            assert_same_bits(result, np.ascontiguousarray(again))

    def test_small_images_of_channels_first_are_turned(self, dtype):
        case = LargeConv2D(64, (14, 14), 32, 64, (3, 3), padding=(1, 1))
        turned = [_core.turns(geometry_of(case), dtype == np.float64, False, d, 0) for d in DIRECTIONS]
        assert any(turned) == (dtype == np.float32)
        assert not any(_core.turns(geometry_of(case), dtype == np.float64, True, d, 0) for d in DIRECTIONS)
        assert not any(_core.turns(geometry_of(case), dtype == np.float64, False, d, 1) for d in DIRECTIONS)

    @pytest.mark.parametrize(
        "case",
        [
            LargeConv2D(1, (9, 9), 4, 4, (5, 5)),
            LargeConv2D(1, (9, 9), 4, 4, (3, 1)),
            LargeConv2D(1, (9, 9), 4, 4, (3, 3), stride=(1, 2)),
            LargeConv2D(1, (9, 9), 4, 4, (3, 3), dilation=(2, 1)),
            LargeConv2D(1, (9, 9), 4, 4, (3, 3), groups=2),
        ],
        ids=str,
    )
    @pytest.mark.parametrize("algorithm", WINOGRAD)
    def test_core_refuses_winograd_outside_its_conditions(self, algorithm, case, data_format):
        x, w, b, gy = arrays_as(case, data_format, np.float32)
        geometry, last, number = geometry_of(case), data_format == "channels_last", NUMBERS[algorithm]
        for direction in DIRECTIONS:
            assert _core.choose(geometry, False, last, direction, number) == -1
        with pytest.raises(ValueError, match="_core: "):
            _core.conv_forward(geometry, last, last, x, w, b, gy, _core.LINEAR, 0.0, number)
        with pytest.raises(ValueError, match="_core: "):
            _core.conv_grad_input(geometry, last, last, gy, w, x, number)
        with pytest.raises(ValueError, match="_core: "):
            _core.conv_grad_weight(geometry, last, last, x, gy, w, number)

    @pytest.mark.parametrize("number", [-1, len(_core.ALGORITHMS), 2**31 - 1])
    def test_core_refuses_unknown_numbers(self, number):
        geometry = geometry_of(SMALL)
        x, w, b, gy = arrays_as(SMALL, "channels_last", np.float32)
        with pytest.raises(ValueError, match="_core: "):
            _core.conv_forward(geometry, True, True, x, w, b, gy, _core.LINEAR, 0.0, number)
