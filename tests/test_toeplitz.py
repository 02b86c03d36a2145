"""Convolutions as matrices and linear operators.

Numbers are small integers, whose sums are exact in any order: equal means equal.
"""

import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
import strategies
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import image_as, small_integers, weight_as
from scipy import linalg
from scipy.sparse import csr_array
from scipy.sparse.linalg import aslinearoperator, lsqr, svds

import fastconv as fc
import fastconv.functional as F
from fastconv import reference, toeplitz
from fastconv.toeplitz import conv_matrix_1d, toeplitz_matrix, toeplitz_operator

# Elements of a dense matrix that a test of many cases may build.
SMALL = 2**21


class Problem:
    """A drawn convolution of one image, with the results of its formulas in loops."""

    def __init__(self, case, dtype):
        rng = np.random.default_rng(case.seed)
        self.shape, self.options = case.input_shape[-3:], case.options
        self.x, self.w = small_integers(rng, self.shape, dtype), small_integers(rng, case.weight_shape, dtype)
        self.y = reference.conv2d(self.x, self.w, **self.options)
        self.gy = small_integers(rng, self.y.shape, dtype)
        self.gx, _, _ = reference.conv2d_backward(self.gy, self.x, self.w, **self.options)

    @property
    def arguments(self):
        return {"weight": self.w, "input_shape": self.shape, **self.options}

    def taps_that_meet_the_image(self):
        ones = reference.conv2d(np.ones(self.shape), np.ones(self.w.shape), **self.options)
        return int(ones.sum())


def assert_equal(actual, expected, dtype):
    assert actual.dtype == dtype
    np.testing.assert_array_equal(actual, expected)


class TestMatrixOfAnyGeometry:
    @settings(max_examples=250)
    @given(case=strategies.conv2d())
    def test_products_are_the_convolution_and_its_input_gradient(self, case):
        problem = Problem(case, case.dtype)
        matrix = toeplitz_matrix(**problem.arguments, sparse=True)
        assert isinstance(matrix, csr_array)
        assert matrix.shape == (problem.y.size, problem.x.size)
        assert_equal(matrix @ problem.x.ravel(), problem.y.ravel(), case.dtype)
        assert_equal(matrix.T @ problem.gy.ravel(), problem.gx.ravel(), case.dtype)

    @settings(max_examples=100)
    @given(case=strategies.conv2d(dtypes=(np.float64,)))
    def test_products_are_those_of_the_functions(self, case):
        problem = Problem(case, np.float64)
        matrix = toeplitz_matrix(**problem.arguments, sparse=True)
        y = F.conv2d(problem.x, problem.w, **problem.options)
        gx, _, _ = F.conv2d_backward(problem.gy, problem.x, problem.w, **problem.options, needs="input")
        np.testing.assert_array_equal(matrix @ problem.x.ravel(), y.ravel())
        np.testing.assert_array_equal(matrix.T @ problem.gy.ravel(), gx.ravel())

    @settings(max_examples=100)
    @given(case=strategies.conv2d())
    def test_sparse_matrix_has_one_entry_for_each_tap_that_meets_the_image(self, case):
        problem = Problem(case, case.dtype)
        matrix = toeplitz_matrix(**problem.arguments, sparse=True)
        assert matrix.nnz == matrix.data.size == problem.taps_that_meet_the_image()
        assert matrix.has_canonical_format
        assert matrix.indices.dtype == np.int32

    @settings(max_examples=250)
    @given(case=strategies.conv2d())
    def test_dense_matrix_has_the_same_entries(self, case):
        problem = Problem(case, case.dtype)
        if problem.y.size * problem.x.size > SMALL:
            return
        matrix = toeplitz_matrix(**problem.arguments)
        assert type(matrix) is np.ndarray
        assert matrix.flags.c_contiguous
        assert_equal(matrix, toeplitz_matrix(**problem.arguments, sparse=True).toarray(), case.dtype)


GEOMETRIES = [
    {},
    {"padding": "same", "stride": 2},
    {"padding": ((1, 2), (0, 3)), "stride": (1, 2), "dilation": (2, 1)},
    {"padding": 3, "dilation": 2, "groups": 2},
]


class TestMatrix:
    @pytest.mark.parametrize("options", GEOMETRIES, ids=str)
    def test_columns_are_the_images_of_unit_vectors(self, options, data_format, rng):
        shape = image_as(np.empty((1, 6, 7, 4)), data_format, np.float64).shape[1:]
        w = weight_as(small_integers(rng, (3, 2, 4 // options.get("groups", 1), 6)), data_format, np.float64)
        units = np.eye(6 * 7 * 4).reshape(-1, *shape)
        columns = reference.conv2d(units, w, **options, data_format=data_format).reshape(len(units), -1).T
        np.testing.assert_array_equal(toeplitz_matrix(w, shape, **options, data_format=data_format), columns)

    def test_3x3_image_and_2x2_kernel(self):
        k1, k2, k3, k4 = 2, 3, 5, 7
        expected = [
            [k1, k2, 0, k3, k4, 0, 0, 0, 0],
            [0, k1, k2, 0, k3, k4, 0, 0, 0],
            [0, 0, 0, k1, k2, 0, k3, k4, 0],
            [0, 0, 0, 0, k1, k2, 0, k3, k4],
        ]
        np.testing.assert_array_equal(toeplitz_matrix([[[[k1, k2], [k3, k4]]]], (1, 3, 3)), expected)
        np.testing.assert_array_equal(
            toeplitz_matrix([[[[k1]], [[k2]]], [[[k3]], [[k4]]]], (3, 3, 1), data_format="channels_last"), expected
        )

    def test_4x4_image_of_digits(self):
        image = np.array([[int(digit) for digit in row] for row in ("4587", "1888", "3664", "6578")])
        kernel = np.array([[int(digit) for digit in row] for row in ("141", "143", "331")])
        matrix = toeplitz_matrix(kernel[np.newaxis, np.newaxis], (1, 4, 4))
        assert matrix.shape == (4, 16)
        np.testing.assert_array_equal(matrix[0], [1, 4, 1, 0, 1, 4, 3, 0, 3, 3, 1, 0, 0, 0, 0, 0])
        np.testing.assert_array_equal(matrix @ image.ravel(), [122, 148, 126, 134])

    def test_number_of_entries_without_padding(self):
        matrix = toeplitz_matrix(np.ones((6, 2, 3, 5)), (4, 12, 13), stride=(2, 1), groups=2, sparse=True)
        assert matrix.nnz == 6 * 2 * (5 * 3) * (9 * 5)

    def test_weights_of_zero_are_entries(self):
        assert toeplitz_matrix(np.zeros((1, 1, 2, 2)), (1, 3, 3), sparse=True).nnz == 16

    def test_other_groups_are_zero(self):
        matrix = toeplitz_matrix(np.ones((4, 1, 2, 2)), (2, 3, 3), groups=2).reshape(2, 8, 2, 9)
        assert not matrix[0, :, 1].any()
        assert not matrix[1, :, 0].any()

    def test_infinity_and_nan_stand_where_their_weight_does(self):
        w = np.array([[[[np.inf, 1.0], [np.nan, 0.0]]]])
        plain = toeplitz_matrix([[[[2.0, 1.0], [3.0, 0.0]]]], (1, 4, 4), padding=1)
        expected = np.where(plain == 2, np.inf, np.where(plain == 3, np.nan, plain))
        np.testing.assert_array_equal(toeplitz_matrix(w, (1, 4, 4), padding=1), expected)

    @pytest.mark.parametrize("options", GEOMETRIES, ids=str)
    def test_transpose_is_the_transposed_convolution(self, options, rng):
        groups = options.get("groups", 1)
        w = small_integers(rng, (6, 4 // groups, 3, 2))
        matrix = toeplitz_matrix(w, (4, 6, 7), **options)
        y = small_integers(rng, F.conv2d(np.empty((4, 6, 7)), w, **options).shape)
        # Without padding the transposed convolution covers the padded image: cut out, or fill up, to the image.
        options = dict(options)
        (top, _), (left, _) = pads(options.pop("padding", 0))
        covered = F.conv_transpose2d(y, w, **options)
        image = np.zeros((4, top + 6 + 9, left + 7 + 9))
        image[:, : covered.shape[1], : covered.shape[2]] = covered
        np.testing.assert_array_equal(matrix.T @ y.ravel(), image[:, top : top + 6, left : left + 7].ravel())


def pads(padding):
    """Return the padding of `GEOMETRIES` as pairs; "same" there is that of a 6x7 image, a 3x2 kernel and stride 2."""
    if padding == "same":
        return (0, 1), (0, 1)
    return padding if isinstance(padding, tuple) else ((padding, padding), (padding, padding))


class TestToeplitzStructure:
    """Stride 1: a matrix for each pair of channels, made of blocks for each output row and input row."""

    CASES = (
        {"kernel": (3, 3), "pads": ((0, 0), (0, 0)), "dilation": (1, 1)},
        {"kernel": (2, 4), "pads": ((1, 0), (2, 3)), "dilation": (1, 1)},
        {"kernel": (3, 2), "pads": ((4, 4), (1, 1)), "dilation": (2, 3)},
    )

    @staticmethod
    def blocks(w, pads, dilation):
        """Return the matrix as [output channel][output row][output column][input channel][row][column]."""
        matrix = toeplitz_matrix(w, (w.shape[1], 6, 7), padding=pads, dilation=dilation)
        oh, ow = F.conv2d(np.empty((w.shape[1], 6, 7)), w, padding=pads, dilation=dilation).shape[1:]
        return matrix.reshape(w.shape[0], oh, ow, w.shape[1], 6, 7)

    @pytest.mark.parametrize("case", CASES, ids=str)
    def test_every_block_is_toeplitz(self, case, rng):
        w = rng.standard_normal((2, 3, *case["kernel"]))
        blocks = self.blocks(w, case["pads"], case["dilation"])
        for o, i, c, y in np.ndindex(2, blocks.shape[1], 3, 6):
            block = blocks[o, i, :, c, y]
            np.testing.assert_array_equal(block, linalg.toeplitz(block[:, 0], block[0]))

    @pytest.mark.parametrize("case", CASES, ids=str)
    def test_blocks_stand_in_toeplitz_order(self, case, rng):
        w = rng.standard_normal((2, 3, *case["kernel"]))
        blocks = self.blocks(w, case["pads"], case["dilation"])
        for i, y in np.ndindex(blocks.shape[1] - 1, 5):
            np.testing.assert_array_equal(blocks[:, i, :, :, y], blocks[:, i + 1, :, :, y + 1])

    @pytest.mark.parametrize("case", CASES, ids=str)
    def test_block_is_made_of_the_kernel_row_of_its_diagonal(self, case, rng):
        w = rng.standard_normal((1, 1, *case["kernel"]))
        blocks = self.blocks(w, case["pads"], case["dilation"])[0, :, :, 0]
        spread = np.zeros([(k - 1) * r + 1 for k, r in zip(case["kernel"], case["dilation"], strict=True)])
        spread[:: case["dilation"][0], :: case["dilation"][1]] = w[0, 0]
        (top, _), (left, _) = case["pads"]
        around = np.pad(spread, 50)
        for i, y in np.ndindex(blocks.shape[0], 6):
            row = around[50 + y - i + top]
            first_column = row[50 + left - np.arange(blocks.shape[1])]
            first_row = row[50 + left + np.arange(7)]
            np.testing.assert_array_equal(blocks[i, :, y], linalg.toeplitz(first_column, first_row))


class TestDtypes:
    CASES = (
        (np.float32, np.float32, np.float32),
        (np.float64, np.float64, np.float64),
        (np.float16, np.float16, np.float32),
        (np.bool_, np.float32, np.float32),
        (np.int8, np.float32, np.float32),
        (np.int64, np.float64, np.float64),
        (np.dtype(">f4"), np.float32, np.float32),
    )

    @pytest.mark.parametrize(("given", "dense", "sparse"), CASES)
    def test_matrix_has_the_dtype_of_the_weights(self, given, dense, sparse):
        w = np.array([[[[1, 0], [1, 1]]]]).astype(given)
        expected = toeplitz_matrix(np.array([[[[1.0, 0.0], [1.0, 1.0]]]]), (1, 3, 4))
        assert_equal(toeplitz_matrix(w, (1, 3, 4)), expected, dense)
        assert_equal(toeplitz_matrix(w, (1, 3, 4), sparse=True).toarray(), expected, sparse)
        assert toeplitz_operator(w, (1, 3, 4)).dtype == dense

    def test_every_form_of_array_is_taken_and_left_alone(self):
        w = np.arange(12.0).reshape(2, 1, 2, 3)
        expected = toeplitz_matrix(w, (1, 4, 4))
        view = np.repeat(w, 2, axis=3)[..., ::2]
        read_only = w.copy()
        read_only.flags.writeable = False
        for form in (view, read_only, w.tolist(), np.asfortranarray(w)):
            np.testing.assert_array_equal(toeplitz_matrix(form, np.array([1, 4, 4])), expected)
            np.testing.assert_array_equal(toeplitz_matrix(form, [1, 4, 4], sparse=True).toarray(), expected)
        np.testing.assert_array_equal(w, np.arange(12.0).reshape(2, 1, 2, 3))


class TestDegenerateSizes:
    @pytest.mark.parametrize("sparse", [False, True])
    def test_no_input_channels(self, sparse):
        assert toeplitz_matrix(np.ones((2, 0, 2, 2)), (0, 3, 3), sparse=sparse).shape == (8, 0)
        assert toeplitz_matrix(np.ones((2, 2, 0, 2)), (3, 3, 0), sparse=sparse, data_format="channels_last").shape == (
            8,
            0,
        )

    def test_one_pixel(self, data_format):
        np.testing.assert_array_equal(toeplitz_matrix([[[[5]]]], (1, 1, 1), data_format=data_format), [[5]])

    def test_windows_that_meet_padding_alone_are_rows_of_zeros(self):
        matrix = toeplitz_matrix([[[[5.0]]]], (1, 1, 1), padding=2)
        expected = np.zeros((25, 1))
        expected[12] = 5
        np.testing.assert_array_equal(matrix, expected)

    def test_kernel_as_large_as_the_padded_input(self, rng):
        w = small_integers(rng, (3, 2, 6, 9))
        matrix = toeplitz_matrix(w, (2, 4, 5), padding=((0, 2), (3, 1)))
        np.testing.assert_array_equal(matrix, w[:, :, :4, 3:8].reshape(3, -1))

    def test_long_kernel_over_a_short_signal_takes_memory_for_what_meets_only(self):
        taps = np.arange(1.0, 100_001.0)
        tracemalloc.start()
        matrix = conv_matrix_1d(taps, 1, padding=99_999)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        np.testing.assert_array_equal(matrix[:, 0], taps[::-1])
        assert peak < 200 * taps.size


class TestMemoryLimit:
    # 64 channels on 40x40: 102,400 x 102,400 floats.
    LARGE = (np.ones((64, 64, 3, 3), np.float32), (64, 40, 40))

    def test_matrix_of_40_gb_is_refused_before_anything_is_allocated(self):
        w, shape = self.LARGE
        tracemalloc.start()
        with pytest.raises(
            ValueError, match=r"got 102400 \* 102400 \* 4 = 41943040000 bytes; take a sparse matrix or an op"
        ):
            toeplitz_matrix(w, shape, padding=1)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 100_000

    def test_refusal_counts_the_bytes_of_the_dtype(self):
        with pytest.raises(ValueError, match="= 83886080000 bytes"):
            toeplitz_matrix(self.LARGE[0].astype(np.float64), self.LARGE[1], padding=1)
        with pytest.raises(ValueError, match="= 20971520000 bytes"):
            toeplitz_matrix(self.LARGE[0].astype(np.float16), self.LARGE[1], padding=1)

    def test_matrix_of_one_dimension_is_refused_too(self):
        size = 10**5 * (10**5 - 2) * 8
        with pytest.raises(ValueError, match=rf"conv_matrix_1d: a dense matrix must take at most .* = {size} bytes"):
            conv_matrix_1d([1.0, 2.0, 3.0], 10**5)

    def test_limit_is_the_largest_size_allowed(self, monkeypatch):
        assert toeplitz.MEMORY_LIMIT == 2**30
        monkeypatch.setattr(toeplitz, "MEMORY_LIMIT", 4 * 9 * 8)
        assert toeplitz_matrix(np.ones((1, 1, 2, 2)), (1, 3, 3)).nbytes == 4 * 9 * 8
        monkeypatch.setattr(toeplitz, "MEMORY_LIMIT", 4 * 9 * 8 - 1)
        with pytest.raises(
            ValueError, match=r"at most 287 bytes \(fastconv.toeplitz.MEMORY_LIMIT\), got 4 \* 9 \* 8 = 288"
        ):
            toeplitz_matrix(np.ones((1, 1, 2, 2)), (1, 3, 3))

    def test_sparse_matrices_and_operators_have_none(self, monkeypatch):
        monkeypatch.setattr(toeplitz, "MEMORY_LIMIT", 0)
        assert toeplitz_matrix(np.ones((1, 1, 2, 2)), (1, 3, 3), sparse=True).nnz == 16
        w, shape = self.LARGE
        assert toeplitz_operator(w, shape, padding=1).shape == (102_400, 102_400)


class TestConvMatrix1D:
    @pytest.mark.parametrize("n", [3, 4, 9])
    def test_is_np_correlate(self, n, rng):
        taps, signal = small_integers(rng, (3,)), small_integers(rng, (n,))
        np.testing.assert_array_equal(conv_matrix_1d(taps, n) @ signal, np.correlate(signal, taps, "valid"))
        np.testing.assert_array_equal(conv_matrix_1d(taps, n, padding=2) @ signal, np.correlate(signal, taps, "full"))
        np.testing.assert_array_equal(
            conv_matrix_1d(taps, n, padding="same") @ signal, np.correlate(signal, taps, "same")
        )

    def test_of_the_flipped_kernel_is_np_convolve(self, rng):
        taps, signal = small_integers(rng, (4,)), small_integers(rng, (9,))
        matrix = conv_matrix_1d(taps[::-1], 9, padding=3)
        np.testing.assert_array_equal(matrix @ signal, np.convolve(signal, taps))
        np.testing.assert_array_equal(matrix, linalg.convolution_matrix(taps, 9))

    def test_is_scipys_toeplitz_matrix(self, rng):
        taps = rng.standard_normal(4)
        np.testing.assert_array_equal(conv_matrix_1d(taps, 7), linalg.toeplitz([taps[0], 0, 0, 0], [*taps, 0, 0, 0]))
        np.testing.assert_array_equal(
            conv_matrix_1d(taps, 5, padding=((1, 2),)),
            linalg.toeplitz([taps[1], taps[0], 0, 0, 0], [*taps[1:], 0, 0]),
        )

    @settings(max_examples=200)
    @given(
        k=st.integers(1, 7),
        stride=st.integers(1, 3),
        dilation=st.integers(1, 3),
        pad=st.tuples(st.integers(0, 4), st.integers(0, 4)),
        extra=st.integers(0, 7),
        channels=st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4)),
        last=st.booleans(),
        sparse=st.booleans(),
        seed=st.integers(0, 2**16),
    )
    def test_products_are_those_of_an_image_of_one_row(
        self, k, stride, dilation, pad, extra, channels, last, sparse, seed
    ):
        rng = np.random.default_rng(seed)
        groups, per_group, co_per_group = channels
        ci, co = groups * per_group, groups * co_per_group
        length = max(dilation * (k - 1) + 1 - sum(pad), 1) + extra
        x = small_integers(rng, (length, ci) if last else (ci, length))
        w = small_integers(rng, (k, per_group, co) if last else (co, per_group, k))
        data_format = "channels_last" if last else "channels_first"
        y = reference.conv2d(
            np.expand_dims(x, -3 if last else -2),
            np.expand_dims(w, 0 if last else -2),
            stride=(1, stride),
            padding=((0, 0), pad),
            dilation=(1, dilation),
            groups=groups,
            data_format=data_format,
        )
        matrix = conv_matrix_1d(w, length, stride, (pad,), dilation, groups, data_format=data_format, sparse=sparse)
        assert isinstance(matrix, csr_array if sparse else np.ndarray)
        np.testing.assert_array_equal(matrix @ x.ravel(), y.ravel())

    def test_kernel_without_channels_is_that_of_one(self, data_format):
        channels = [[[1]], [[2]], [[3]]] if data_format == "channels_last" else [[[1, 2, 3]]]
        np.testing.assert_array_equal(
            conv_matrix_1d([1, 2, 3], np.int64(5), data_format=data_format),
            conv_matrix_1d(channels, 5, data_format=data_format),
        )


class TestOperator:
    @settings(max_examples=200)
    @given(case=strategies.conv2d(dtypes=(np.float64,)))
    def test_products_are_those_of_the_matrix(self, case):
        problem = Problem(case, np.float64)
        operator = toeplitz_operator(**problem.arguments)
        assert operator.shape == (problem.y.size, problem.x.size)
        np.testing.assert_array_equal(operator @ problem.x.ravel(), problem.y.ravel())
        np.testing.assert_array_equal(operator.rmatvec(problem.gy.ravel()), problem.gx.ravel())

    @settings(max_examples=100)
    @given(case=strategies.conv2d(dtypes=(np.float64,)), count=st.integers(0, 3))
    def test_columns_of_a_matrix_go_through_it_one_by_one(self, case, count):
        problem = Problem(case, np.float64)
        operator = toeplitz_operator(**problem.arguments)
        matrix = toeplitz_matrix(**problem.arguments, sparse=True)
        rng = np.random.default_rng(case.seed)
        x, y = small_integers(rng, (problem.x.size, count)), small_integers(rng, (problem.y.size, count))
        np.testing.assert_array_equal(operator @ x, matrix @ x)
        np.testing.assert_array_equal(operator.T @ y, matrix.T @ y)
        np.testing.assert_array_equal(operator.matmat(np.asfortranarray(x)), matrix @ x)

    @settings(max_examples=100)
    @given(case=strategies.conv2d(dtypes=(np.float64,)))
    def test_the_two_products_are_adjoint(self, case):
        rng = np.random.default_rng(case.seed)
        w = small_integers(rng, case.weight_shape)
        operator = toeplitz_operator(w, case.input_shape[-3:], **case.options)
        x, y = small_integers(rng, operator.shape[1]), small_integers(rng, operator.shape[0])
        assert (operator @ x) @ y == x @ (operator.H @ y)

    @pytest.fixture
    def layer(self, rng):
        return {
            "weight": small_integers(rng, (5, 3, 3, 2)),
            "input_shape": (3, 7, 6),
            "stride": (2, 1),
            "padding": ((1, 0), (0, 2)),
        }

    @pytest.mark.filterwarnings("ignore:the matrix subclass")
    def test_shapes_of_vectors_are_kept(self, layer, rng):
        operator, matrix = toeplitz_operator(**layer), toeplitz_matrix(**layer)
        x = small_integers(rng, (matrix.shape[1],))
        assert (operator @ x).shape == (matrix.shape[0],)
        assert (operator @ x[:, np.newaxis]).shape == (matrix.shape[0], 1)
        product = operator.matvec(np.asmatrix(x).T)
        assert isinstance(product, np.matrix)
        np.testing.assert_array_equal(product, (matrix @ x)[:, np.newaxis])

    def test_arithmetic_of_operators(self, layer, rng):
        operator, matrix = toeplitz_operator(**layer), toeplitz_matrix(**layer)
        x, y = small_integers(rng, (matrix.shape[1], 2)), small_integers(rng, (matrix.shape[0], 2))
        np.testing.assert_array_equal((2 * operator + aslinearoperator(matrix)) @ x, 3 * (matrix @ x))
        np.testing.assert_array_equal((operator.T @ operator) @ x, matrix.T @ (matrix @ x))
        np.testing.assert_array_equal((operator - aslinearoperator(matrix)).T @ y, np.zeros((matrix.shape[1], 2)))
        np.testing.assert_array_equal(aslinearoperator(operator) @ x, matrix @ x)

    def test_singular_values_are_those_of_the_matrix(self, layer, rng):
        operator, matrix = toeplitz_operator(**layer), toeplitz_matrix(**layer)
        values = svds(operator, k=5, return_singular_vectors=False, v0=rng.standard_normal(min(matrix.shape)))
        np.testing.assert_allclose(np.sort(values)[::-1], np.linalg.svd(matrix, compute_uv=False)[:5], rtol=1e-10)

    def test_least_squares_undo_the_convolution(self, rng):
        operator = toeplitz_operator(rng.standard_normal((4, 1, 3, 3)), (1, 6, 6), padding=1)
        x = rng.standard_normal(36)
        np.testing.assert_allclose(lsqr(operator, operator @ x, atol=1e-12, btol=1e-12)[0], x, atol=1e-8)

    @pytest.mark.parametrize("weights", [np.float32, np.float64])
    @pytest.mark.parametrize("factor", [np.float32, np.float64, np.int64])
    def test_products_have_the_result_type_of_both_factors(self, weights, factor, rng):
        operator = toeplitz_operator(small_integers(rng, (2, 1, 2, 2), weights), (1, 3, 3))
        expected = np.result_type(weights, factor)
        for product in (operator, operator.T):
            count = product.shape[1]
            assert (product @ np.ones(count, factor)).dtype == expected
            assert (product @ np.ones((count, 2), factor)).dtype == expected

    def test_float32_is_as_precise_as_its_convolution(self, rng):
        w = rng.standard_normal((8, 8, 3, 3)).astype(np.float32)
        operator = toeplitz_operator(w, (8, 10, 10), padding=1)
        matrix = toeplitz_matrix(w.astype(np.float64), (8, 10, 10), padding=1)
        x = rng.standard_normal((800, 2)).astype(np.float32)
        for product, exact in ((operator, matrix), (operator.T, matrix.T)):
            np.testing.assert_allclose(product @ x, exact @ x, rtol=0, atol=1e-4)

    def test_weights_are_copied(self, rng):
        for w in (small_integers(rng, (2, 1, 2, 2)), small_integers(rng, (2, 1, 2, 2), np.float16)):
            operator, matrix = toeplitz_operator(w, (1, 3, 3)), toeplitz_matrix(w, (1, 3, 3))
            w[...] = 0
            np.testing.assert_array_equal(operator @ np.ones(9), matrix @ np.ones(9))

    def test_no_input_channels(self):
        operator = toeplitz_operator(np.ones((2, 0, 2, 2)), (0, 3, 3))
        np.testing.assert_array_equal(operator @ np.empty(0), np.zeros(8))
        assert operator.rmatvec(np.ones(8)).shape == (0,)
        assert operator.rmatmat(np.ones((8, 3))).shape == (0, 3)

    def test_a_product_takes_memory_for_images_only(self):
        """The matrix would take 2.6 TB."""
        operator = toeplitz_operator(np.ones((1, 1, 3, 3)), (1, 757, 757))
        x = np.ones(operator.shape[1])
        tracemalloc.start()
        y = operator @ x
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 2 * x.nbytes
        np.testing.assert_array_equal(y, np.full(operator.shape[0], 9.0))

    def test_factors_that_are_not_real_arrays_are_refused(self):
        operator = toeplitz_operator(np.ones((1, 1, 2, 2)), (1, 3, 3))
        with pytest.raises(TypeError, match="dtype, got complex128"):
            operator @ np.ones(9, complex)
        with pytest.raises(TypeError, match="sparse"):
            operator.matmat(csr_array(np.eye(9)))
        with pytest.raises(ValueError, match="mismatch"):
            operator @ np.ones(8)


class TestErrors:
    ONES = np.ones((2, 3, 3, 3))
    CASES = (
        (ONES, (3, 5), {}, ValueError, r"input_shape must be \(c, h, w\), the shape of one image, got \(3, 5\)"),
        (ONES, (1, 3, 5, 5), {}, ValueError, r"input_shape must be \(c, h, w\), .* got \(1, 3, 5, 5\)"),
        (ONES, (3, -5, 5), {}, ValueError, r"input_shape must be .* got \(3, -5, 5\)"),
        (ONES, (5, 5), {"data_format": "channels_last"}, ValueError, r"input_shape must be \(h, w, c\)"),
        (ONES, (3, 5.0, 5), {}, TypeError, r"input_shape must consist of integers, got \(3, 5.0, 5\)"),
        (ONES, 5, {}, TypeError, "input_shape must consist of integers, got 5"),
        (ONES, (3, 0, 5), {}, ValueError, "input must have a positive height"),
        (ONES, (4, 5, 5), {}, ValueError, r"weight must have shape \(2, 4, kh, kw\) for 4 input channels"),
        (ONES[0], (3, 5, 5), {}, ValueError, "weight must have shape"),
        (ONES, (3, 2, 5), {}, ValueError, r"output height is \(2 \+ 0 \+ 0 - 3\)//1 \+ 1 = 0"),
        (ONES, (3, 5, 5), {"stride": 0}, ValueError, "stride must be at least 1, got 0"),
        (ONES, (3, 5, 5), {"padding": "full"}, ValueError, "padding must be .* got 'full'"),
        (ONES, (3, 5, 5), {"dilation": 1.5}, TypeError, "dilation must consist of integers, got 1.5"),
        (ONES, (3, 5, 5), {"groups": 2}, ValueError, "groups must divide the 3 input channels, got 2"),
        (ONES, (3, 5, 5), {"data_format": "nchw"}, ValueError, "data_format must be .* got 'nchw'"),
        (ONES + 1j, (3, 5, 5), {}, TypeError, "weight must have .* dtype, got complex128"),
    )

    @pytest.mark.parametrize("function", [toeplitz_matrix, toeplitz_operator], ids=lambda function: function.__name__)
    @pytest.mark.parametrize(("weight", "shape", "options", "kind", "text"), CASES, ids=[case[-1] for case in CASES])
    def test_of_two_dimensions(self, function, weight, shape, options, kind, text):
        with pytest.raises(kind, match=f"^{function.__name__}: .*{text}"):
            function(weight, shape, **options)

    CASES_1D = (
        ([1.0], 0, {}, ValueError, "length must be at least 1, got 0"),
        ([1.0], 2.0, {}, TypeError, "length must be an integer, got 2.0"),
        ([1.0], 4, {"groups": "two"}, TypeError, "groups must be an integer, got 'two'"),
        ([1.0], 4, {"groups": 2}, ValueError, "groups must divide the 1 output channels, got 2"),
        ([1.0], 4, {"groups": 0}, ValueError, "groups must be a positive integer, got 0"),
        (
            np.ones((3, 3)),
            4,
            {},
            ValueError,
            r"weight must have shape \(c_out, c_in/groups, k\) or \(k,\), got \(3, 3\)",
        ),
        (1.0, 4, {"data_format": "channels_last"}, ValueError, r"weight must have shape \(k, c_in/groups, c_out\) or"),
        ([], 4, {}, ValueError, "weight must have positive c_out and kernel size"),
        ([1.0, 2.0, 3.0], 2, {}, ValueError, r"output width is \(2 \+ 0 \+ 0 - 3\)//1 \+ 1 = 0"),
        ([1.0], 4, {"padding": (1, 2)}, ValueError, "padding must be .* got \\(1, 2\\)"),
        ([1.0], 4, {"data_format": "ncw"}, ValueError, "data_format must be .* got 'ncw'"),
        (["a"], 4, {}, TypeError, "weight must have .* dtype, got list of dtype <U1"),
    )

    @pytest.mark.parametrize(("weight", "length", "options", "kind", "text"), CASES_1D, ids=[c[-1] for c in CASES_1D])
    def test_of_one_dimension(self, weight, length, options, kind, text):
        with pytest.raises(kind, match=f"^conv_matrix_1d: .*{text}"):
            conv_matrix_1d(weight, length, **options)


class TestWithoutScipy:
    @pytest.fixture(autouse=True)
    def _no_scipy(self, monkeypatch):
        for name in [name for name in sys.modules if name.split(".")[0] == "scipy"]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "scipy", None)

    def test_dense_matrices_need_none(self):
        assert toeplitz_matrix(np.ones((1, 1, 2, 2)), (1, 3, 3)).shape == (4, 9)
        assert conv_matrix_1d([1.0, 2.0], 3).shape == (2, 3)

    @pytest.mark.parametrize(
        ("name", "call"),
        [
            ("toeplitz_matrix", lambda: toeplitz_matrix(np.ones((1, 1, 2, 2)), (1, 3, 3), sparse=True)),
            ("conv_matrix_1d", lambda: conv_matrix_1d([1.0, 2.0], 3, sparse=True)),
            ("toeplitz_operator", lambda: toeplitz_operator(np.ones((1, 1, 2, 2)), (1, 3, 3))),
        ],
    )
    def test_the_rest_says_what_to_install(self, name, call):
        with pytest.raises(ImportError, match=rf'^{name}: .* need scipy: pip install "fastconv\[toeplitz\]"$'):
            call()


def test_module_is_loaded_when_named_and_leaves_scipy_alone():
    code = (
        "import sys, fastconv as fc; assert 'fastconv.toeplitz' not in sys.modules;"
        "fc.toeplitz.toeplitz_matrix([[[[1]]]], (1, 2, 2)); sys.exit('scipy' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert fc.toeplitz is toeplitz
