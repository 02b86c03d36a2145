"""Operations of convolutional networks on NumPy arrays, and their gradients, with the signatures of
``torch.nn.functional``.

They keep no state and never change their inputs (but for ``inplace=True``). Each ``name`` has a ``name_backward``,
which takes the gradient of the output and then the arguments of ``name``.
"""

from fastconv.functional.activations import (
    leaky_relu,
    leaky_relu_backward,
    relu,
    relu_backward,
    sigmoid,
    sigmoid_backward,
    tanh,
    tanh_backward,
)
from fastconv.functional.conv import conv2d, conv2d_backward
from fastconv.functional.conv_transpose import conv_transpose2d, conv_transpose2d_backward
from fastconv.functional.linear import linear, linear_backward
from fastconv.functional.padding import pad, pad_backward
from fastconv.functional.pooling import avg_pool2d, avg_pool2d_backward, max_pool2d, max_pool2d_backward
from fastconv.functional.prepare import prepare_conv2d
from fastconv.functional.resampling import interpolate, interpolate_backward
from fastconv.functional.softmax import log_softmax, log_softmax_backward, softmax, softmax_backward
from fastconv.functional.unfold import fold, fold_backward, unfold, unfold_backward

__all__ = [
    "conv2d",
    "conv2d_backward",
    "prepare_conv2d",
    "conv_transpose2d",
    "conv_transpose2d_backward",
    "unfold",
    "unfold_backward",
    "fold",
    "fold_backward",
    "max_pool2d",
    "max_pool2d_backward",
    "avg_pool2d",
    "avg_pool2d_backward",
    "interpolate",
    "interpolate_backward",
    "pad",
    "pad_backward",
    "linear",
    "linear_backward",
    "relu",
    "relu_backward",
    "leaky_relu",
    "leaky_relu_backward",
    "sigmoid",
    "sigmoid_backward",
    "tanh",
    "tanh_backward",
    "softmax",
    "softmax_backward",
    "log_softmax",
    "log_softmax_backward",
]
