"""What the layers of CS231n refuse: type of the error, function, argument, rule and value."""

import re

import numpy as np
import pytest

from fastconv.compat import cs231n

CONV, POOL = {"stride": 1, "pad": 1}, {"pool_height": 2, "pool_width": 2, "stride": 2}
TRAIN = {"mode": "train"}
X, W, B = np.ones((2, 3, 6, 6)), np.ones((4, 3, 3, 3)), np.ones(4)
ROWS, ONES, LABELS = np.ones((4, 3)), np.ones(3), np.zeros(4, int)
CHANNELS = np.ones((1, 3, 1, 1))
DROPOUT = {"p": 0.5, "mode": "train"}

REFUSALS = {
    "missing key": (
        cs231n.conv_forward_fast,
        (X, W, B, {"stride": 1}),
        ValueError,
        "conv_param must have the key 'pad', got",
    ),
    "unknown key": (
        cs231n.conv_forward_fast,
        (X, W, B, {**CONV, "padding": 1}),
        ValueError,
        "conv_param must have no keys but 'stride', 'pad', got 'padding'",
    ),
    "no dict": (cs231n.conv_forward_fast, (X, W, B, 1), TypeError, "conv_param must be a dict, got int"),
    "stride 0": (
        cs231n.conv_forward_fast,
        (X, W, B, {"stride": 0, "pad": 1}),
        ValueError,
        "conv_param['stride'] must be at least 1, got 0",
    ),
    "pad -1": (
        cs231n.conv_forward_fast,
        (X, W, B, {"stride": 1, "pad": -1}),
        ValueError,
        "conv_param['pad'] must be at least 0, got -1",
    ),
    "pad 1.0": (
        cs231n.conv_forward_fast,
        (X, W, B, {"stride": 1, "pad": 1.0}),
        TypeError,
        "conv_param['pad'] must be an integer, got 1.0",
    ),
    "x of 3 axes": (
        cs231n.conv_forward_fast,
        (X[0], W, B, CONV),
        ValueError,
        "x must have the axes (N, C, H, W), got shape (3, 6, 6)",
    ),
    "w of 2 axes": (
        cs231n.conv_forward_fast,
        (X, W[0, 0], B, CONV),
        ValueError,
        "w must have the axes (F, C, HH, WW), got",
    ),
    "no b": (cs231n.conv_forward_fast, (X, W, None, CONV), TypeError, "b must have a boolean, integer, float16"),
    "complex x": (cs231n.conv_forward_fast, (X + 1j, W, B, CONV), TypeError, "x must have a boolean, integer, float16"),
    "stride does not divide": (
        cs231n.conv_forward_im2col,
        (X, W, B, {"stride": 2, "pad": 0}),
        ValueError,
        "stride must divide what the first window leaves of the padded height, got (6 + 2 * 0 - 3) % 2 = 1",
    ),
    "conv cache": (
        cs231n.conv_backward_fast,
        (X, (X, W)),
        TypeError,
        "cache must be what the forward function returned",
    ),
    "pool cache": (
        cs231n.max_pool_backward_fast,
        (X, X),
        TypeError,
        "cache must be what the forward function returned, (x, pool_param), got ndarray",
    ),
    "pool key": (
        cs231n.max_pool_forward_fast,
        (X, {"pool_height": 2, "pool_width": 2}),
        ValueError,
        "pool_param must have the key 'stride', got",
    ),
    "pool size": (
        cs231n.max_pool_forward_fast,
        (X, {**POOL, "pool_width": 0}),
        ValueError,
        "pool_param['pool_width'] must be at least 1, got 0",
    ),
    "pool axes": (cs231n.max_pool_forward_fast, (X[0], POOL), ValueError, "x must have the axes (N, C, H, W), got"),
    "tiles": (
        cs231n.max_pool_forward_reshape,
        (X[..., 1:], POOL),
        ValueError,
        "x must have a height and a width divisible by 2",
    ),
    "square": (
        cs231n.max_pool_forward_reshape,
        (X, {**POOL, "stride": 1}),
        ValueError,
        "pool_param must have a pool_height, pool_width and stride that are equal, got 2, 2 and 1",
    ),
    "indices divide": (
        cs231n.get_im2col_indices,
        ((1, 1, 4, 5), 2, 2, 0, 2),
        ValueError,
        "stride must divide what the first window leaves of the padded width, got (5 + 2 * 0 - 2) % 2 = 1",
    ),
    "indices shape": (
        cs231n.get_im2col_indices,
        ((4, 5), 2, 2),
        ValueError,
        "x_shape must be (N, C, H, W), got (4, 5)",
    ),
    "field": (
        cs231n.im2col_cython,
        (X, 9, 3, 1, 1),
        ValueError,
        "field_height must not exceed the padded height 6 + 2 * 1, got 9",
    ),
    "field 0": (cs231n.im2col_cython, (X, 3, 0, 1, 1), ValueError, "field_width must be at least 1, got 0"),
    "stride of columns": (cs231n.im2col_cython, (X, 3, 3, 1, 1.5), TypeError, "stride must be an integer, got 1.5"),
    "columns": (
        cs231n.col2im_cython,
        (np.ones((4, 9)), 1, 1, 3, 3, 2, 2, 0, 1),
        ValueError,
        "cols must have shape (4, 4), (C * field_height * field_width, H' * W' * N), got (4, 9)",
    ),
    "six axes": (
        cs231n.col2im_6d_cython,
        (np.ones((4, 4)), 1, 1, 3, 3, 2, 2, 0, 1),
        ValueError,
        "cols must have shape (1, 2, 2, 1, 2, 2)",
    ),
    "affine": (
        cs231n.affine_forward,
        (X, ROWS, ONES),
        ValueError,
        "x must have the axes (N, ...) with 4 values a sample",
    ),
    "affine w": (cs231n.affine_forward, (ROWS, ONES, ONES), ValueError, "w must have the axes (D, M), got shape (3,)"),
    "relu": (cs231n.relu_forward, ("x",), TypeError, "x must have a boolean, integer, float16"),
    "bn mode": (
        cs231n.batchnorm_forward,
        (ROWS, ONES, ONES, {"mode": "eval"}),
        ValueError,
        "bn_param['mode'] must be 'train' or 'test', got 'eval'",
    ),
    "bn no mode": (
        cs231n.batchnorm_forward,
        (ROWS, ONES, ONES, {}),
        ValueError,
        "bn_param must have the key 'mode', got {}",
    ),
    "bn key": (
        cs231n.batchnorm_forward,
        (ROWS, ONES, ONES, {**TRAIN, "epsilon": 1}),
        ValueError,
        "bn_param must have no keys but 'mode', 'eps', 'momentum', 'running_mean', 'running_var', got 'epsilon'",
    ),
    "bn momentum": (
        cs231n.batchnorm_forward,
        (ROWS, ONES, ONES, {**TRAIN, "momentum": "0.9x"}),
        TypeError,
        "bn_param['momentum'] must be a number, got '0.9x'",
    ),
    "bn running": (
        cs231n.batchnorm_forward,
        (ROWS, ONES, ONES, {**TRAIN, "running_mean": np.ones(1)}),
        ValueError,
        "bn_param['running_mean'] must have shape (3,), one number for each feature, got (1,)",
    ),
    "bn gamma": (cs231n.batchnorm_forward, (ROWS, B, ONES, dict(TRAIN)), ValueError, "gamma must have shape (3,)"),
    "bn axes": (cs231n.batchnorm_forward, (X, ONES, ONES, dict(TRAIN)), ValueError, "x must have the axes (N, D), got"),
    "bn cache": (
        cs231n.batchnorm_backward,
        (ROWS, ROWS),
        TypeError,
        "cache must be what the forward function returned",
    ),
    "spatial bn axes": (
        cs231n.spatial_batchnorm_forward,
        (ROWS, ONES, ONES, dict(TRAIN)),
        ValueError,
        "x must have the axes (N, C, H, W)",
    ),
    "ln key": (
        cs231n.layernorm_forward,
        (ROWS, ONES, ONES, {"momentum": 1}),
        ValueError,
        "ln_param must have no keys but 'eps', 'mode'",
    ),
    "gn gamma": (
        cs231n.spatial_groupnorm_forward,
        (X, CHANNELS[:, :2], CHANNELS, 3, {}),
        ValueError,
        "gamma must have shape (1, 3, 1, 1)",
    ),
    "dropout p": (
        cs231n.dropout_forward,
        (X, {**DROPOUT, "p": 0}),
        ValueError,
        "dropout_param['p'] must be above 0 and at most 1, got 0.0",
    ),
    "dropout p text": (
        cs231n.dropout_forward,
        (X, {**DROPOUT, "p": "half"}),
        TypeError,
        "dropout_param['p'] must be a number, got 'half'",
    ),
    "dropout key": (
        cs231n.dropout_forward,
        (X, {"p": 0.5}),
        ValueError,
        "dropout_param must have the key 'mode', got {'p': 0.5}",
    ),
    "dropout dout": (
        cs231n.dropout_backward,
        (X[0], cs231n.dropout_forward(X, {**DROPOUT, "seed": 1})[1]),
        ValueError,
        "dout must have shape (2, 3, 6, 6), that of the output, got (3, 6, 6)",
    ),
    "labels range": (cs231n.softmax_loss, (ROWS, LABELS - 1), ValueError, "y must be from 0 to 2, got -1 to -1"),
    "labels float": (cs231n.svm_loss, (ROWS, LABELS + 0.5), TypeError, "y must be integers, got float64"),
    "labels shape": (
        cs231n.svm_loss,
        (ROWS, LABELS[:2]),
        ValueError,
        "y must have shape (4,), one label for each sample, got (2,)",
    ),
    "no samples": (
        cs231n.softmax_loss,
        (ROWS[:0], LABELS[:0]),
        ValueError,
        "x must have at least 1 sample, got shape (0, 3)",
    ),
    "sandwich": (
        cs231n.conv_relu_pool_forward,
        (X, W, B, CONV, {}),
        ValueError,
        "pool_param must have the key 'pool_height'",
    ),
    "sandwich cache": (
        cs231n.conv_relu_backward,
        (X, ()),
        TypeError,
        "cache must be what the forward function returned",
    ),
}


class TestRefusals:
    @pytest.mark.parametrize("case", REFUSALS)
    def test_names_function_argument_rule_and_value(self, case):
        function, arguments, error, text = REFUSALS[case]
        with pytest.raises(error, match=re.escape(f"{function.__name__}: {text}")) as caught:
            function(*arguments)
        assert caught.type is error

    @pytest.mark.parametrize(
        ("backward", "cache"),
        [
            (cs231n.conv_backward_fast, cs231n.conv_forward_fast(X, W, B, CONV)[1]),
            (cs231n.max_pool_backward_fast, cs231n.max_pool_forward_fast(X, POOL)[1]),
            (cs231n.affine_backward, cs231n.affine_forward(ROWS, ROWS[:3], ONES)[1]),
            (cs231n.relu_backward, ROWS),
            (cs231n.batchnorm_backward, cs231n.batchnorm_forward(ROWS, ONES, ONES, dict(TRAIN))[1]),
            (cs231n.layernorm_backward, cs231n.layernorm_forward(ROWS, ONES, ONES, {})[1]),
            (cs231n.spatial_groupnorm_backward, cs231n.spatial_groupnorm_forward(X, CHANNELS, CHANNELS, 3, {})[1]),
        ],
    )
    def test_gradient_of_another_shape(self, backward, cache):
        with pytest.raises(ValueError, match="grad_output must have shape"):
            backward(np.ones(7), cache)

    def test_shapes_that_do_not_fit(self):
        with pytest.raises(ValueError, match="weight must have"):
            cs231n.conv_forward_fast(X[:, :2], W, B, CONV)
        with pytest.raises(ValueError, match="bias must have shape"):
            cs231n.conv_forward_fast(X, W, B[:3], CONV)
        with pytest.raises(ValueError, match="kernel_size must not exceed the padded input"):
            cs231n.max_pool_forward_fast(X, {**POOL, "pool_height": 7})
        with pytest.raises(ValueError, match="num_groups must divide the 3 channels"):
            cs231n.spatial_groupnorm_forward(X, CHANNELS, CHANNELS, 2, {})
