"""Every refusal of the functions: type of the error, function, argument, rule and value."""

import re

import numpy as np
import pytest

import fastconv.functional as F

X, W, B, GY = np.ones((2, 4, 7, 6)), np.ones((8, 4, 3, 3)), np.ones(8), np.ones((2, 8, 5, 4))
IMAGE = np.ones((1, 2, 6, 6))

NOT_REAL = "must have a boolean, integer, float16, float32 or float64 dtype, got"


def refuses(call, error, text):
    """Expect `text` as the whole text of the error; "..." stands for anything."""
    pattern = re.escape(text).replace(re.escape("..."), ".*")
    with pytest.raises(error, match=f"^{pattern}$") as caught:
        call()
    assert caught.type is error


WINDOW_OPTIONS = [
    ({"stride": 0}, ValueError, "stride must be at least 1, got 0"),
    ({"stride": (1, -1)}, ValueError, "stride must be at least 1, got (1, -1)"),
    ({"stride": (1, 2, 3)}, ValueError, "stride must be an integer or 2 integers, got (1, 2, 3)"),
    ({"stride": 1.5}, TypeError, "stride must consist of integers, got 1.5"),
    ({"stride": 1.0}, TypeError, "stride must consist of integers, got 1.0"),
    ({"stride": "2"}, TypeError, "stride must consist of integers, got '2'"),
    ({"stride": 2**31}, ValueError, "stride must be at most 2147483647, got 2147483648"),
    ({"dilation": 0}, ValueError, "dilation must be at least 1, got 0"),
    ({"dilation": [1, 2, 3]}, ValueError, "dilation must be an integer or 2 integers, got (1, 2, 3)"),
    ({"dilation": 2.0}, TypeError, "dilation must consist of integers, got 2.0"),
    ({"padding": -1}, ValueError, "padding must be at least 0, got -1"),
    (
        {"padding": (1, 2, 3)},
        ValueError,
        "padding must be an integer, 2 integers, 2 pairs (before, after), 'valid' or 'same', got (1, 2, 3)",
    ),
    (
        {"padding": ((1, 2, 3), 4)},
        ValueError,
        "padding must be an integer, 2 integers, 2 pairs (before, after), 'valid' or 'same', got ((1, 2, 3), 4)",
    ),
    (
        {"padding": "full"},
        ValueError,
        "padding must be an integer, 2 integers, 2 pairs (before, after), 'valid' or 'same', got 'full'",
    ),
    ({"padding": 0.5}, TypeError, "padding must consist of integers, got 0.5"),
    ({"data_format": "NHWC"}, ValueError, "data_format must be 'channels_first' or 'channels_last', got 'NHWC'"),
]


class TestConv2D:
    @pytest.mark.parametrize(
        ("options", "error", "text"),
        [
            *WINDOW_OPTIONS,
            ({"groups": 0}, ValueError, "groups must be a positive integer, got 0"),
            ({"groups": 3}, ValueError, "groups must divide the 4 input channels, got 3"),
            (
                {"groups": 2},
                ValueError,
                "weight must have shape (8, 2, kh, kw) for 4 input channels in 2 groups, got (8, 4, 3, 3)",
            ),
            ({"groups": 1.5}, TypeError, "groups must consist of integers, got 1.5"),
            (
                {"algorithm": "fft"},
                ValueError,
                "algorithm must be one of 'auto', 'direct', 'im2col', 'toeplitz', 'toeplitz_full', 'winograd', "
                "'winograd_2x2', 'winograd_4x4' or 'toeplitz_N' with a number, got 'fft'",
            ),
            ({"algorithm": None}, ValueError, "algorithm must be one of ..., got None"),
            ({"algorithm": ["auto"]}, ValueError, "algorithm must be one of ..., got ['auto']"),
        ],
        ids=str,
    )
    def test_options(self, options, error, text):
        refuses(lambda: F.conv2d(X, W, B, **options), error, f"conv2d: {text}")
        refuses(lambda: F.conv2d_backward(GY, X, W, B, **options), error, f"conv2d_backward: {text}")

    @pytest.mark.parametrize(
        ("x", "w", "b", "error", "text"),
        [
            (X[0, 0], W, B, ValueError, "input must have shape (n, c, h, w) or (c, h, w), got (7, 6)"),
            (X[None], W, B, ValueError, "input must have shape (n, c, h, w) or (c, h, w), got (1, 2, 4, 7, 6)"),
            (X[:, :, :0], W, B, ValueError, "input must have a positive height, got shape (2, 4, 0, 6)"),
            (X[..., :0], W, B, ValueError, "input must have a positive width, got shape (2, 4, 7, 0)"),
            (
                X[:, :3],
                W,
                B,
                ValueError,
                "weight must have shape (8, 3, kh, kw) for 3 input channels, got (8, 4, 3, 3)",
            ),
            (X, W[0], B, ValueError, "weight must have shape (c_out, 4, kh, kw) for 4 input channels, got (4, 3, 3)"),
            (X, W[:0], B, ValueError, "weight must have positive c_out and kernel size, got shape (0, 4, 3, 3)"),
            (X, W[..., :0], B, ValueError, "weight must have positive c_out and kernel size, got shape (8, 4, 3, 0)"),
            (X, W, B[:7], ValueError, "bias must have shape (8,) for as many output channels, got (7,)"),
            (X, W, B[:, None], ValueError, "bias must have shape (8,) for as many output channels, got (8, 1)"),
            (X, W, 1.0, ValueError, "bias must have shape (8,) for as many output channels, got ()"),
            (X + 0j, W, B, TypeError, f"input {NOT_REAL} complex128"),
            (X, W + 0j, B, TypeError, f"weight {NOT_REAL} complex128"),
            (X, W, B + 0j, TypeError, f"bias {NOT_REAL} complex128"),
            (X.astype(object), W, B, TypeError, f"input {NOT_REAL} object"),
            (X.astype("U"), W, B, TypeError, f"input {NOT_REAL} <U..."),
            (X.astype("M8[s]"), W, B, TypeError, f"input {NOT_REAL} datetime64[s]"),
            (X.astype(np.longdouble), W, B, TypeError, f"input {NOT_REAL} float128"),
            (
                np.ma.masked_equal(X, 1),
                W,
                B,
                TypeError,
                "input must have no masked values, got 336; replace them first, as with .filled(0)",
            ),
            (None, W, B, TypeError, f"input {NOT_REAL} NoneType of dtype object"),
            (X, None, B, TypeError, f"weight {NOT_REAL} NoneType of dtype object"),
            ([[1, 2], [3]], W, B, ValueError, "input must be an array, got list (...)"),
            (
                X[:, :, :2],
                W,
                B,
                ValueError,
                "output height is (2 + 0 + 0 - 3)//1 + 1 = 0; kernel_size must not exceed the padded input",
            ),
            (
                X[..., :1],
                W,
                B,
                ValueError,
                "output width is (1 + 0 + 0 - 3)//1 + 1 = -1; kernel_size must not exceed the padded input",
            ),
        ],
    )
    def test_arrays(self, x, w, b, error, text):
        refuses(lambda: F.conv2d(x, w, b), error, f"conv2d: {text}")
        refuses(lambda: F.conv2d_backward(GY, x, w, b), error, f"conv2d_backward: {text}")

    def test_empty_output_shows_the_arithmetic(self):
        refuses(
            lambda: F.conv2d(X, W, stride=(2, 1), padding=((0, 1), (0, 0)), dilation=(4, 1)),
            ValueError,
            "conv2d: output height is (7 + 0 + 1 - (4*(3 - 1) + 1))//2 + 1 = 0; kernel_size must not exceed the padded "
            "input",
        )

    def test_channels_last_shapes(self):
        refuses(
            lambda: F.conv2d(np.ones((2, 7, 6, 5)), np.ones((3, 3, 4, 8)), data_format="channels_last"),
            ValueError,
            "conv2d: weight must have shape (kh, kw, 5, 8) for 5 input channels, got (3, 3, 4, 8)",
        )
        refuses(
            lambda: F.conv2d(np.ones((7, 6)), np.ones((3, 3, 4, 8)), data_format="channels_last"),
            ValueError,
            "conv2d: input must have shape (n, h, w, c) or (h, w, c), got (7, 6)",
        )

    def test_groups_that_do_not_divide_the_output_channels(self):
        refuses(
            lambda: F.conv2d(X, np.ones((7, 2, 3, 3)), groups=2),
            ValueError,
            "conv2d: groups must divide the 7 output channels, got 2",
        )

    def test_output_past_any_memory(self):
        x = np.broadcast_to(np.float32(1), (1, 1, 1, 1))
        refuses(
            lambda: F.conv2d(x, np.ones((1, 1, 1, 1), np.float32), padding=2**30),
            MemoryError,
            "conv2d: output of shape (1, 1, 2147483649, 2147483649) has 4611686022722355201 elements, past any memory",
        )

    @pytest.mark.parametrize(
        ("out", "error", "text"),
        [
            (GY[:1], ValueError, "out must have shape (2, 8, 5, 4), got (1, 8, 5, 4)"),
            (GY.astype(np.float32), TypeError, "out must have dtype float64, got float32"),
            (GY.tolist(), TypeError, "out must be an ndarray, got list"),
            (np.broadcast_to(1.0, GY.shape), ValueError, "out must be writable, got a read-only array"),
        ],
        ids=["shape", "dtype", "list", "read-only"],
    )
    def test_out(self, out, error, text):
        refuses(lambda: F.conv2d(X, W, out=out), error, f"conv2d: {text}")

    def test_nothing_is_written_to_out_when_refused(self):
        out = np.full((2, 8, 5, 4), 7.0)
        with pytest.raises(ValueError, match="bias must have shape"):
            F.conv2d(X, W, B[:7], out=out)
        np.testing.assert_array_equal(out, 7)

    def test_activation(self):
        refuses(
            lambda: F.conv2d(X, W, activation="swish"),
            ValueError,
            "conv2d: activation must be one of None, 'relu', 'sigmoid', 'tanh', got 'swish'",
        )

    def test_grad_output(self):
        refuses(
            lambda: F.conv2d_backward(GY[:1], X, W),
            ValueError,
            "conv2d_backward: grad_output must have shape (2, 8, 5, 4), that of the output, got (1, 8, 5, 4)",
        )
        refuses(
            lambda: F.conv2d_backward(GY + 0j, X, W),
            TypeError,
            f"conv2d_backward: grad_output {NOT_REAL} complex128",
        )

    @pytest.mark.parametrize(
        ("needs", "got"), [("output", "'output'"), (("input", "output"), "'output'"), (None, "None"), ([1], "1")]
    )
    def test_needs(self, needs, got):
        text = f"needs must consist of 'input', 'weight', 'bias', got {got}"
        refuses(lambda: F.conv2d_backward(GY, X, W, needs=needs), ValueError, f"conv2d_backward: {text}")


@pytest.mark.parametrize("algorithm", ["winograd", "winograd_2x2", "winograd_4x4"])
class TestAlgorithmConditions:
    @pytest.mark.parametrize(
        ("weight_shape", "options", "text"),
        [
            ((8, 4, 3, 3), {"stride": 2}, "needs stride 1, got (2, 2)"),
            ((8, 4, 3, 3), {"stride": (1, 3)}, "needs stride 1, got (1, 3)"),
            ((8, 4, 3, 3), {"dilation": (2, 1)}, "needs dilation 1, got (2, 1)"),
            ((8, 2, 3, 3), {"groups": 2}, "needs groups 1, got 2"),
            ((8, 4, 1, 3), {}, "needs a 3x3 kernel, got (1, 3)"),
            ((8, 4, 5, 5), {}, "needs a 3x3 kernel, got (5, 5)"),
        ],
        ids=str,
    )
    def test_winograd(self, algorithm, weight_shape, options, text):
        w = np.ones(weight_shape)
        y = F.conv2d(X, w, **options)
        text = f"algorithm {algorithm!r} {text}"
        refuses(lambda: F.conv2d(X, w, **options, algorithm=algorithm), ValueError, f"conv2d: {text}")
        refuses(lambda: F.prepare_conv2d(w, **options, algorithm=algorithm), ValueError, f"prepare_conv2d: {text}")
        for needs in ("input", "weight"):
            refuses(
                lambda needs=needs: F.conv2d_backward(y, X, w, **options, algorithm=algorithm, needs=needs),
                ValueError,
                f"conv2d_backward: {text}",
            )

    def test_gradient_of_the_bias_alone_has_no_algorithm(self, algorithm):
        y = F.conv2d(X, W, stride=2)
        _, _, gb = F.conv2d_backward(y, X, W, B, stride=2, algorithm=algorithm, needs="bias")
        np.testing.assert_allclose(gb, y.sum(axis=(0, 2, 3)))


class TestFullMatrix:
    """(3 * 512 * 512) * (4 * 512 * 512) * 4 bytes: no machine has them."""

    SHAPES = (1, 3, 512, 512), (4, 3, 3, 3)
    TEXT = "algorithm 'toeplitz_full' needs a matrix of 3298534883328 bytes, which is past the limit of 1073741824"

    def test_matrix_past_the_memory_limit(self):
        x, w = (np.ones(shape, np.float32) for shape in self.SHAPES)
        refuses(
            lambda: F.conv2d(x, w, padding=1, algorithm="toeplitz_full"),
            ValueError,
            f"conv2d: {self.TEXT}",
        )
        gy = np.ones((1, 4, 512, 512), np.float32)
        refuses(
            lambda: F.conv2d_backward(gy, x, w, padding=1, algorithm="toeplitz_full", needs="input"),
            ValueError,
            f"conv2d_backward: {self.TEXT}",
        )

    def test_weight_gradient_needs_no_matrix(self):
        x, gy = np.ones((1, 1, 512, 512), np.float32), np.ones((1, 1, 510, 510), np.float32)
        w = np.ones((1, 1, 3, 3), np.float32)
        _, gw, _ = F.conv2d_backward(gy, x, w, algorithm="toeplitz_full", needs="weight")
        np.testing.assert_array_equal(gw, np.full(w.shape, 510 * 510))


class TestConvTranspose2D:
    X, W, GY = np.ones((2, 4, 5, 4)), np.ones((4, 3, 3, 2)), np.ones((2, 3, 7, 5))

    @pytest.mark.parametrize(
        ("options", "error", "text"),
        [
            *WINDOW_OPTIONS,
            ({"groups": 0}, ValueError, "groups must be a positive integer, got 0"),
            ({"groups": 3}, ValueError, "groups must divide the 4 input channels, got 3"),
            ({"output_padding": -1}, ValueError, "output_padding must be at least 0, got -1"),
            ({"output_padding": 0.5}, TypeError, "output_padding must consist of integers, got 0.5"),
            (
                {"output_padding": (0, 0, 0)},
                ValueError,
                "output_padding must be an integer or 2 integers, got (0, 0, 0)",
            ),
            (
                {"output_padding": 1},
                ValueError,
                "output_padding must be smaller than stride or dilation, max(1, 1) = 1 for height, got 1",
            ),
            (
                {"output_padding": (1, 3), "stride": 2, "dilation": (1, 3)},
                ValueError,
                "output_padding must be smaller than stride or dilation, max(2, 3) = 3 for width, got 3",
            ),
            (
                {"output_padding": 1, "stride": 2, "padding": "same"},
                ValueError,
                "output_padding must be 0 with padding 'same', got 1",
            ),
            (
                {"padding": (4, 0)},
                ValueError,
                "output height is (5 - 1)*1 - 4 - 4 + 1*(3 - 1) + 0 + 1 = -1; padding must leave at least one",
            ),
            (
                {"padding": ((0, 0), (2, 3))},
                ValueError,
                "output width is (4 - 1)*1 - 2 - 3 + 1*(2 - 1) + 0 + 1 = 0; padding must leave at least one",
            ),
        ],
        ids=str,
    )
    def test_options(self, options, error, text):
        refuses(lambda: F.conv_transpose2d(self.X, self.W, **options), error, f"conv_transpose2d: {text}")
        refuses(
            lambda: F.conv_transpose2d_backward(self.GY, self.X, self.W, **options),
            error,
            f"conv_transpose2d_backward: {text}",
        )

    @pytest.mark.parametrize(
        ("x", "w", "b", "error", "text"),
        [
            (X[0, 0], W, None, ValueError, "input must have shape (n, c, h, w) or (c, h, w), got (5, 4)"),
            (X[:, :, :0], W, None, ValueError, "input must have a positive height, got shape (2, 4, 0, 4)"),
            (
                X,
                W[:3],
                None,
                ValueError,
                "weight must have shape (4, c_out, kh, kw) for 4 input channels, got (3, 3, 3, 2)",
            ),
            (
                X,
                W[0],
                None,
                ValueError,
                "weight must have shape (4, c_out, kh, kw) for 4 input channels, got (3, 3, 2)",
            ),
            (X, W[:, :0], None, ValueError, "weight must have positive c_out and kernel size, got shape (4, 0, 3, 2)"),
            (
                X,
                W[..., :0],
                None,
                ValueError,
                "weight must have positive c_out and kernel size, got shape (4, 3, 3, 0)",
            ),
            (X, W, np.ones(4), ValueError, "bias must have shape (3,) for as many output channels, got (4,)"),
            (X + 0j, W, None, TypeError, f"input {NOT_REAL} complex128"),
            (X, W.astype(object), None, TypeError, f"weight {NOT_REAL} object"),
        ],
    )
    def test_arrays(self, x, w, b, error, text):
        refuses(lambda: F.conv_transpose2d(x, w, b), error, f"conv_transpose2d: {text}")
        refuses(lambda: F.conv_transpose2d_backward(self.GY, x, w, b), error, f"conv_transpose2d_backward: {text}")

    def test_channels_last_weight_in_groups(self):
        refuses(
            lambda: F.conv_transpose2d(
                np.ones((5, 4, 4)), np.ones((3, 2, 3, 5)), groups=2, data_format="channels_last"
            ),
            ValueError,
            "conv_transpose2d: weight must have shape (kh, kw, c_out/2, 4) for 4 input channels, got (3, 2, 3, 5)",
        )

    def test_grad_output(self):
        refuses(
            lambda: F.conv_transpose2d_backward(self.GY[:1], self.X, self.W),
            ValueError,
            "conv_transpose2d_backward: grad_output must have shape (2, 3, 7, 5), that of the output, got (1, 3, 7, 5)",
        )

    def test_needs(self):
        refuses(
            lambda: F.conv_transpose2d_backward(self.GY, self.X, self.W, needs="output"),
            ValueError,
            "conv_transpose2d_backward: needs must consist of 'input', 'weight', 'bias', got 'output'",
        )

    def test_out(self):
        refuses(
            lambda: F.conv_transpose2d(self.X, self.W, out=self.GY[:1]),
            ValueError,
            "conv_transpose2d: out must have shape (2, 3, 7, 5), got (1, 3, 7, 5)",
        )

    def test_output_past_any_memory(self):
        refuses(
            lambda: F.conv_transpose2d(np.ones((1, 2, 2)), np.ones((1, 1, 1, 1)), stride=2**31 - 1),
            MemoryError,
            "conv_transpose2d: output of shape (1, 2147483648, 2147483648) has 4611686018427387904 elements, past any "
            "memory",
        )


class TestUnfold:
    @pytest.mark.parametrize(
        ("options", "error", "text"),
        [
            *(option for option in WINDOW_OPTIONS if "data_format" not in option[0]),
            ({"kernel_size": 0}, ValueError, "kernel_size must be at least 1, got 0"),
            ({"kernel_size": 1.0}, TypeError, "kernel_size must consist of integers, got 1.0"),
            (
                {"kernel_size": (2, 9)},
                ValueError,
                "output width is (6 + 0 + 0 - 9)//1 + 1 = -2; kernel_size must not exceed the padded input",
            ),
        ],
        ids=str,
    )
    def test_options(self, options, error, text):
        options = {"kernel_size": 2, **options}
        columns = np.ones((1, 8, 25))
        refuses(lambda: F.unfold(IMAGE, **options), error, f"unfold: {text}")
        refuses(lambda: F.unfold_backward(columns, IMAGE, **options), error, f"unfold_backward: {text}")
        refuses(lambda: F.fold(columns, 6, **options), error, f"fold: {text}")
        refuses(lambda: F.fold_backward(IMAGE, columns, 6, **options), error, f"fold_backward: {text}")

    def test_input_of_unfold(self):
        refuses(
            lambda: F.unfold(np.ones((6, 6)), 2),
            ValueError,
            "unfold: input must have shape (n, c, h, w) or (c, h, w), got (6, 6)",
        )
        refuses(lambda: F.unfold(IMAGE + 0j, 2), TypeError, f"unfold: input {NOT_REAL} complex128")

    @pytest.mark.parametrize("shape", [(1, 7, 25), (1, 8, 24), (8, 26)], ids=str)
    def test_input_of_fold(self, shape):
        for call, name in (
            (lambda: F.fold(np.ones(shape), 6, 2), "fold"),
            (lambda: F.fold_backward(IMAGE, np.ones(shape), 6, 2), "fold_backward"),
        ):
            refuses(
                call,
                ValueError,
                f"{name}: input must have shape (n, c*4, 25) for 2*2 kernel elements and 5*5 windows, got {shape}",
            )

    def test_axes_of_the_input_of_fold(self):
        refuses(
            lambda: F.fold(np.ones(3), 6, 2),
            ValueError,
            "fold: input must have shape (n, c * kernel elements, windows) or (c * kernel elements, windows), got (3,)",
        )

    @pytest.mark.parametrize(
        ("size", "error", "text"),
        [
            (0, ValueError, "output_size must be at least 1, got 0"),
            ((6, 6, 6), ValueError, "output_size must be an integer or 2 integers, got (6, 6, 6)"),
            (None, TypeError, "output_size must consist of integers, got None"),
        ],
    )
    def test_output_size(self, size, error, text):
        refuses(lambda: F.fold(np.ones((1, 8, 25)), size, 2), error, f"fold: {text}")

    def test_grad_output(self):
        refuses(
            lambda: F.unfold_backward(np.ones((1, 8, 24)), IMAGE, 2),
            ValueError,
            "unfold_backward: grad_output must have shape (1, 8, 25), that of the output, got (1, 8, 24)",
        )
        refuses(
            lambda: F.fold_backward(IMAGE[0], np.ones((1, 8, 25)), 6, 2),
            ValueError,
            "fold_backward: grad_output must have shape (1, 2, 6, 6), that of the output, got (2, 6, 6)",
        )


class TestPrepareConv2D:
    @pytest.mark.parametrize(
        ("options", "error", "text"),
        [
            *WINDOW_OPTIONS,
            ({"groups": 0}, ValueError, "groups must be a positive integer, got 0"),
            ({"groups": 1.5}, TypeError, "groups must consist of integers, got 1.5"),
            ({"groups": 3}, ValueError, "groups must divide the 8 output channels, got 3"),
            ({"algorithm": "fft"}, ValueError, "algorithm must be one of ..., got 'fft'"),
            (
                {"activation": "swish"},
                ValueError,
                "activation must be one of None, 'relu', 'sigmoid', 'tanh', got 'swish'",
            ),
        ],
        ids=str,
    )
    def test_options_are_refused_at_once(self, options, error, text):
        refuses(lambda: F.prepare_conv2d(W, B, **options), error, f"prepare_conv2d: {text}")

    @pytest.mark.parametrize(
        ("w", "b", "error", "text"),
        [
            (W[0], B, ValueError, "weight must have four axes, got shape (4, 3, 3)"),
            (W[:0], B, ValueError, "weight must have positive c_out and kernel size, got shape (0, 4, 3, 3)"),
            (W, B[:7], ValueError, "bias must have shape (8,) for as many output channels, got (7,)"),
            (W + 0j, B, TypeError, f"weight {NOT_REAL} complex128"),
            (W, B + 0j, TypeError, f"bias {NOT_REAL} complex128"),
        ],
    )
    def test_arrays_are_refused_at_once(self, w, b, error, text):
        refuses(lambda: F.prepare_conv2d(w, b), error, f"prepare_conv2d: {text}")

    @pytest.mark.parametrize(
        ("x", "error", "text"),
        [
            (
                X[:, :3],
                ValueError,
                "weight must have shape (8, 3, kh, kw) for 3 input channels, got (8, 4, 3, 3)",
            ),
            (X[0, 0], ValueError, "input must have shape (n, c, h, w) or (c, h, w), got (7, 6)"),
            (
                X[..., :1],
                ValueError,
                "output width is (1 + 0 + 0 - 3)//1 + 1 = -1; kernel_size must not exceed the padded input",
            ),
            (X + 0j, TypeError, f"input {NOT_REAL} complex128"),
        ],
    )
    def test_input_is_refused_at_the_call(self, x, error, text):
        refuses(lambda: F.prepare_conv2d(W, B)(x), error, f"prepare_conv2d: {text}")

    def test_out(self):
        refuses(
            lambda: F.prepare_conv2d(W)(X, out=GY[:1]),
            ValueError,
            "prepare_conv2d: out must have shape (2, 8, 5, 4), got (1, 8, 5, 4)",
        )


@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d"])
class TestPooling:
    @pytest.mark.parametrize(
        ("options", "error", "text"),
        [
            *(option for option in WINDOW_OPTIONS if "dilation" not in option[0]),
            ({"kernel_size": 0}, ValueError, "kernel_size must be at least 1, got 0"),
            ({"kernel_size": (1, 2, 3)}, ValueError, "kernel_size must be an integer or 2 integers, got (1, 2, 3)"),
            ({"kernel_size": 2.0}, TypeError, "kernel_size must consist of integers, got 2.0"),
            ({"kernel_size": None}, TypeError, "kernel_size must consist of integers, got None"),
            ({"padding": 2}, ValueError, "padding must be at most half of kernel_size, 2//2 = 1 for height, got 2"),
            (
                {"padding": ((0, 0), (0, 2))},
                ValueError,
                "padding must be at most half of kernel_size, 2//2 = 1 for width, got 2",
            ),
            (
                {"kernel_size": 7},
                ValueError,
                "output height is (6 + 0 + 0 - 7)//7 + 1 = 0; kernel_size must not exceed the padded input",
            ),
        ],
        ids=str,
    )
    def test_options(self, name, options, error, text):
        options = {"kernel_size": 2, **options}
        refuses(lambda: getattr(F, name)(IMAGE, **options), error, f"{name}: {text}")
        backward = getattr(F, f"{name}_backward")
        refuses(lambda: backward(IMAGE[..., :3, :3], IMAGE, **options), error, f"{name}_backward: {text}")

    @pytest.mark.parametrize(
        ("x", "error", "text"),
        [
            (IMAGE[0, 0], ValueError, "input must have shape (n, c, h, w) or (c, h, w), got (6, 6)"),
            (IMAGE[:, :, :0], ValueError, "input must have a positive height, got shape (1, 2, 0, 6)"),
            (IMAGE[:, :0], ValueError, "input must have at least one channel, got shape (1, 0, 6, 6)"),
            (
                IMAGE + 0j,
                TypeError,
                f"input {NOT_REAL} complex128",
            ),
        ],
        ids=["axes", "height", "channels", "complex"],
    )
    def test_input(self, name, x, error, text):
        refuses(lambda: getattr(F, name)(x, 2), error, f"{name}: {text}")
        refuses(lambda: getattr(F, f"{name}_backward")(np.ones(1), x, 2), error, f"{name}_backward: {text}")

    def test_grad_output(self, name):
        refuses(
            lambda: getattr(F, f"{name}_backward")(IMAGE, IMAGE, 2),
            ValueError,
            f"{name}_backward: grad_output must have shape (1, 2, 3, 3), that of the output, got (1, 2, 6, 6)",
        )


def test_dilation_of_max_pool2d():
    refuses(
        lambda: F.max_pool2d(IMAGE, 2, dilation=0),
        ValueError,
        "max_pool2d: dilation must be at least 1, got 0",
    )


@pytest.mark.parametrize(
    ("indices", "error", "text"),
    [
        (
            np.zeros((1, 2, 3, 2), int),
            ValueError,
            "indices must have shape (1, 2, 3, 3), that of the output, got (1, 2, 3, 2)",
        ),
        (np.zeros((1, 2, 3, 3)), TypeError, "indices must be integers, got float64"),
        (
            np.full((1, 2, 3, 3), 36),
            ValueError,
            "indices must be positions in 6 * 6 = 36 pixels, got values from 36 to 36",
        ),
        (
            np.full((1, 2, 3, 3), -2),
            ValueError,
            "indices must be positions in 6 * 6 = 36 pixels, got values from -2 to -2",
        ),
    ],
    ids=["shape", "dtype", "too large", "negative"],
)
def test_indices_of_max_pool2d_backward(indices, error, text):
    gy = np.ones((1, 2, 3, 3))
    refuses(lambda: F.max_pool2d_backward(gy, IMAGE, 2, indices=indices), error, f"max_pool2d_backward: {text}")


@pytest.mark.parametrize(
    ("divisor", "error", "text"),
    [
        (0, ValueError, "divisor_override must not be 0 and fit in 32 bits, got 0"),
        (2**40, ValueError, "divisor_override must not be 0 and fit in 32 bits, got 1099511627776"),
        (1.5, TypeError, "divisor_override must be an integer, got 1.5"),
    ],
)
def test_divisor_of_avg_pool2d(divisor, error, text):
    gy = np.ones((1, 2, 3, 3))
    refuses(lambda: F.avg_pool2d(IMAGE, 2, divisor_override=divisor), error, f"avg_pool2d: {text}")
    refuses(
        lambda: F.avg_pool2d_backward(gy, IMAGE, 2, divisor_override=divisor), error, f"avg_pool2d_backward: {text}"
    )


class TestLinear:
    @pytest.mark.parametrize(
        ("x", "w", "b", "options", "error", "text"),
        [
            (1.0, np.ones((5, 3)), None, {}, ValueError, "input must have at least one axis, got shape ()"),
            (
                np.ones((2, 4)),
                np.ones((5, 3)),
                None,
                {},
                ValueError,
                "weight must have shape (out, 4) for 4 input features, got (5, 3)",
            ),
            (
                np.ones((2, 4)),
                np.ones((3, 5)),
                None,
                {"data_format": "channels_last"},
                ValueError,
                "weight must have shape (4, out) for 4 input features, got (3, 5)",
            ),
            (
                np.ones((2, 3)),
                np.ones((1, 5, 3)),
                None,
                {},
                ValueError,
                "weight must have one or two axes, got shape (1, 5, 3)",
            ),
            (
                np.ones((2, 3)),
                np.ones((5, 3)),
                np.ones(4),
                {},
                ValueError,
                "bias must have shape (5,) for as many output features, got (4,)",
            ),
            (np.ones((2, 3)) + 0j, np.ones((5, 3)), None, {}, TypeError, f"input {NOT_REAL} complex128"),
            (
                np.ones((2, 3)),
                np.ones((5, 3)),
                None,
                {"data_format": "last"},
                ValueError,
                "data_format must be 'channels_first' or 'channels_last', got 'last'",
            ),
        ],
        ids=["no axis", "features", "features last", "axes", "bias", "complex", "data_format"],
    )
    def test_arguments(self, x, w, b, options, error, text):
        refuses(lambda: F.linear(x, w, b, **options), error, f"linear: {text}")
        refuses(lambda: F.linear_backward(np.ones((2, 5)), x, w, b, **options), error, f"linear_backward: {text}")

    def test_grad_output_and_needs(self):
        x, w = np.ones((2, 3)), np.ones((5, 3))
        refuses(
            lambda: F.linear_backward(np.ones((2, 4)), x, w),
            ValueError,
            "linear_backward: grad_output must have shape (2, 5), that of the output, got (2, 4)",
        )
        refuses(
            lambda: F.linear_backward(np.ones((2, 5)), x, w, needs="kernel"),
            ValueError,
            "linear_backward: needs must consist of 'input', 'weight', 'bias', got 'kernel'",
        )

    def test_out(self):
        refuses(
            lambda: F.linear(np.ones((2, 3)), np.ones((5, 3)), out=np.ones((5, 2))),
            ValueError,
            "linear: out must have shape (2, 5), got (5, 2)",
        )


@pytest.mark.parametrize(
    "name",
    ["relu", "leaky_relu", "relu6", "sigmoid", "tanh", "elu", "gelu", "silu", "softplus", "softmax", "log_softmax"],
)
class TestActivations:
    def test_complex_input(self, name):
        text = f"input {NOT_REAL} complex128"
        refuses(lambda: getattr(F, name)(np.ones(3) + 0j), TypeError, f"{name}: {text}")

    def test_grad_output_of_another_shape(self, name):
        refuses(
            lambda: getattr(F, f"{name}_backward")(np.ones(3), np.ones(4)),
            ValueError,
            f"{name}_backward: grad_output must have shape (4,), that of input, got (3,)",
        )


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "elu", "softmax", "log_softmax"])
def test_grad_output_of_another_shape_than_output(name):
    refuses(
        lambda: getattr(F, f"{name}_backward")(np.ones(3), None, output=np.ones(4)),
        ValueError,
        f"{name}_backward: grad_output must have shape (4,), that of output, got (3,)",
    )


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_axis_of_softmax(name):
    function, backward = getattr(F, name), getattr(F, f"{name}_backward")
    x = np.ones((2, 3))
    for dim in (2, -3):
        refuses(lambda dim=dim: function(x, dim), ValueError, f"{name}: dim must be from -2 to 1, got {dim}")
        refuses(
            lambda dim=dim: backward(x, x, dim), ValueError, f"{name}_backward: dim must be from -2 to 1, got {dim}"
        )
    refuses(lambda: function(x, 0.5), TypeError, f"{name}: dim must be an integer, got 0.5")
    refuses(lambda: function(x, None), TypeError, f"{name}: dim must be an integer, got None")


@pytest.mark.parametrize("slope", ["steep", None, [1]])
def test_slope_of_leaky_relu(slope):
    text = f"negative_slope must be a number, got {slope!r}"
    refuses(lambda: F.leaky_relu(X, slope), TypeError, f"leaky_relu: {text}")
    refuses(lambda: F.leaky_relu_backward(X, X, slope), TypeError, f"leaky_relu_backward: {text}")


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "relu6", "elu", "silu"])
class TestInplace:
    def test_input_that_is_no_array(self, name):
        refuses(lambda: getattr(F, name)([1.0], inplace=True), TypeError, f"{name}: input must be an ndarray, got list")

    def test_integers(self, name):
        x = np.array([1, 2])
        refuses(
            lambda: getattr(F, name)(x, inplace=True), TypeError, f"{name}: input must have dtype float64, got int64"
        )

    def test_read_only_input(self, name):
        x = np.broadcast_to(1.0, 3)
        refuses(
            lambda: getattr(F, name)(x, inplace=True),
            ValueError,
            f"{name}: input must be writable, got a read-only array",
        )


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: F.group_norm(None, 2), "group_norm: input"),
        (lambda: F.layer_norm(None, 3), "layer_norm: input"),
        (lambda: F.mse_loss(None, [1.0]), "mse_loss: input"),
        (lambda: F.smooth_l1_loss([1.0], None), "smooth_l1_loss: target"),
        (lambda: F.mse_loss_backward(None, [1.0], [1.0]), "mse_loss_backward: grad_output"),
        (lambda: F.binary_cross_entropy([0.5], None), "binary_cross_entropy: target"),
        (lambda: F.binary_cross_entropy_backward(None, [0.5], [1.0]), "binary_cross_entropy_backward: grad_output"),
        (
            lambda: F.binary_cross_entropy_with_logits_backward(None, [0.5], [1.0]),
            "binary_cross_entropy_with_logits_backward: grad_output",
        ),
        (lambda: F.cross_entropy_backward(None, [0.5], 0), "cross_entropy_backward: grad_output"),
        (lambda: F.nll_loss_backward(None, [0.5], 0), "nll_loss_backward: grad_output"),
        (lambda: F.batch_norm_backward(None, X, B[:4], B[:4]), "batch_norm_backward: grad_output"),
        (lambda: F.layer_norm_backward(None, X, 6), "layer_norm_backward: grad_output"),
        (lambda: F.group_norm_backward(None, X, 2), "group_norm_backward: grad_output"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_none_in_place_of_an_array(call, argument):
    refuses(call, TypeError, f"{argument} {NOT_REAL} NoneType of dtype object")


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda value: F.cross_entropy(X, X, label_smoothing=value), "cross_entropy: label_smoothing"),
        (lambda value: F.cross_entropy_backward(1, X, X, label_smoothing=value), "cross_entropy_backward: label_..."),
        (lambda value: F.huber_loss(X, X, delta=value), "huber_loss: delta"),
        (lambda value: F.huber_loss_backward(1, X, X, delta=value), "huber_loss_backward: delta"),
        (lambda value: F.smooth_l1_loss(X, X, beta=value), "smooth_l1_loss: beta"),
        (lambda value: F.smooth_l1_loss_backward(1, X, X, beta=value), "smooth_l1_loss_backward: beta"),
        (lambda value: F.dropout(X, value), "dropout: p"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("value", ["x", None, [1, 2], 1j], ids=str)
def test_number_that_is_none(call, text, value):
    refuses(lambda: call(value), TypeError, f"{text} must be a number, got {value!r}")


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@pytest.mark.parametrize("dtype", [3, "x", [1, 2]], ids=str)
def test_dtype_of_softmax(name, dtype):
    refuses(lambda: getattr(F, name)(X, dtype=dtype), TypeError, f"{name}: dtype must be a dtype, got {dtype!r}")


# What an array, in the place of another argument, is compared with element by element.
@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda a: F.conv2d(X, W, data_format=a), ValueError, "conv2d: data_format must be ..., got array"),
        (lambda a: F.conv2d(X, W, algorithm=a), ValueError, "conv2d: algorithm must be one of ..., got array"),
        (lambda a: F.conv2d(X, W, activation=a), ValueError, "conv2d: activation must be one of ..., got array"),
        (lambda a: F.conv2d_backward(GY, X, W, needs=[a]), ValueError, "conv2d_backward: needs must ..., got array"),
        (lambda a: F.prepare_conv2d(W, groups=a), TypeError, "prepare_conv2d: groups must consist of integers, got"),
        (lambda a: F.max_pool2d(X, 2, data_format=a), ValueError, "max_pool2d: data_format must be ..., got array"),
        (lambda a: F.max_pool2d(X, 2, ceil_mode=a), TypeError, "max_pool2d: ceil_mode must be True or False, got nd"),
        (
            lambda a: F.avg_pool2d(X, 2, count_include_pad=a),
            TypeError,
            "avg_pool2d: count_include_pad must be True or False, got ndarray",
        ),
        (lambda a: F.mse_loss(X, X, a), ValueError, "mse_loss: reduction must be one of 'none', 'mean', 'sum', got ar"),
        (lambda a: F.kl_div(X, X, log_target=a), TypeError, "kl_div: log_target must be True or False, got ndarray"),
        (lambda a: F.pad(X, (1, 1), a), ValueError, "pad: mode must be one of ..., got array"),
        (lambda a: F.interpolate(X, 2, mode=a), ValueError, "interpolate: mode must be one of ..., got array"),
        (lambda a: F.gelu(X, a), ValueError, "gelu: approximate must be 'none' or 'tanh', got array"),
        (lambda a: F.relu(X, a), TypeError, "relu: inplace must be True or False, got ndarray"),
        (lambda a: F.dropout(X, training=a), TypeError, "dropout: training must be True or False, got ndarray"),
        (
            lambda a: F.batch_norm(X, B[:4], B[:4], training=a),
            TypeError,
            "batch_norm: training must be True or False, got ndarray",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_array_in_place_of_an_option(call, error, text):
    refuses(lambda: call(np.ones(2)), error, f"{text}...")
