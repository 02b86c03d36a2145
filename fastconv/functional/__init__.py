"""Operations of convolutional networks on NumPy arrays, and their gradients, with the signatures of
``torch.nn.functional``.

They keep no state and never change their inputs (but for ``inplace=True``). Each ``name`` has a ``name_backward``,
which takes the gradient of the output and then the arguments of ``name``.
"""

from fastconv.functional.activations import (
    leaky_relu,
    leaky_relu_backward,
    relu,
    relu6,
    relu6_backward,
    relu_backward,
    sigmoid,
    sigmoid_backward,
    tanh,
    tanh_backward,
)
from fastconv.functional.binary_cross_entropy import (
    binary_cross_entropy,
    binary_cross_entropy_backward,
    binary_cross_entropy_with_logits,
    binary_cross_entropy_with_logits_backward,
)
from fastconv.functional.conv import conv1d, conv1d_backward, conv2d, conv2d_backward, conv3d, conv3d_backward
from fastconv.functional.conv_transpose import (
    conv_transpose1d,
    conv_transpose1d_backward,
    conv_transpose2d,
    conv_transpose2d_backward,
    conv_transpose3d,
    conv_transpose3d_backward,
)
from fastconv.functional.cross_entropy import cross_entropy, cross_entropy_backward, nll_loss, nll_loss_backward
from fastconv.functional.linear import linear, linear_backward
from fastconv.functional.losses import (
    huber_loss,
    huber_loss_backward,
    kl_div,
    kl_div_backward,
    l1_loss,
    l1_loss_backward,
    mse_loss,
    mse_loss_backward,
    smooth_l1_loss,
    smooth_l1_loss_backward,
)
from fastconv.functional.pooling import avg_pool2d, avg_pool2d_backward, max_pool2d, max_pool2d_backward
from fastconv.functional.prelu import prelu, prelu_backward
from fastconv.functional.prepare import prepare_conv2d
from fastconv.functional.smooth_activations import (
    elu,
    elu_backward,
    gelu,
    gelu_backward,
    silu,
    silu_backward,
    softplus,
    softplus_backward,
)
from fastconv.functional.softmax import log_softmax, log_softmax_backward, softmax, softmax_backward
from fastconv.functional.unfold import fold, fold_backward, unfold, unfold_backward

__all__ = [
    "conv1d",
    "conv1d_backward",
    "conv2d",
    "conv2d_backward",
    "conv3d",
    "conv3d_backward",
    "prepare_conv2d",
    "conv_transpose1d",
    "conv_transpose1d_backward",
    "conv_transpose2d",
    "conv_transpose2d_backward",
    "conv_transpose3d",
    "conv_transpose3d_backward",
    "unfold",
    "unfold_backward",
    "fold",
    "fold_backward",
    "max_pool2d",
    "max_pool2d_backward",
    "avg_pool2d",
    "avg_pool2d_backward",
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
    "relu6",
    "relu6_backward",
    "prelu",
    "prelu_backward",
    "elu",
    "elu_backward",
    "gelu",
    "gelu_backward",
    "silu",
    "silu_backward",
    "softplus",
    "softplus_backward",
    "softmax",
    "softmax_backward",
    "log_softmax",
    "log_softmax_backward",
    "cross_entropy",
    "cross_entropy_backward",
    "nll_loss",
    "nll_loss_backward",
    "mse_loss",
    "mse_loss_backward",
    "l1_loss",
    "l1_loss_backward",
    "huber_loss",
    "huber_loss_backward",
    "smooth_l1_loss",
    "smooth_l1_loss_backward",
    "kl_div",
    "kl_div_backward",
    "binary_cross_entropy",
    "binary_cross_entropy_backward",
    "binary_cross_entropy_with_logits",
    "binary_cross_entropy_with_logits_backward",
]
