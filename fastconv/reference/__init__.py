"""Every operation of fastconv by its formula, in float64: slow, short and complete. Read these files first.

Functions have the names, arguments and results of `fastconv.functional`; only what concerns speed (``algorithm``,
``out``, ``needs``, ``indices``, ``output``) is left out. Whatever comes in, arithmetic and results are float64. The
tests hold the fast code to it, and it to hand-worked cases, torch and SciPy; it shares no code with the rest of the
package.

Inside, arrays are channels last, and the letters of the formulas are

====== ===================================== ====== =====================================
``n``  image of the batch                    ``s``  stride
``i j``  output row, column                  ``r``  dilation
``u v``  input row, column                   ``b``  padding before the first row, column
``p q``  kernel row, column (a tap)          ``g``  group of channels
``c o``  input channel, output channel       ``gx`` gradient by x; ``gy``, ``gw`` likewise
====== ===================================== ====== =====================================

so that output row ``i`` meets input row ``u = i*s + p*r - b`` at tap ``p``, and columns go likewise. Of volumes, output
slice ``h`` meets input slice ``t`` at tap ``d``; signals have columns alone.

Examples
--------
The edges of a step, found by the difference of neighbours:

>>> import numpy as np
>>> from fastconv import reference
>>> image = np.array([[[0, 0, 5, 5, 0]]])
>>> difference = np.array([[[[-1, 1]]]])
>>> reference.conv2d(image, difference)
array([[[ 0.,  5.,  0., -5.]]])
"""

from fastconv.reference.activations import (
    leaky_relu,
    leaky_relu_backward,
    log_softmax,
    log_softmax_backward,
    relu,
    relu_backward,
    sigmoid,
    sigmoid_backward,
    softmax,
    softmax_backward,
    tanh,
    tanh_backward,
)
from fastconv.reference.adaptive_pooling import (
    adaptive_avg_pool1d,
    adaptive_avg_pool1d_backward,
    adaptive_avg_pool2d,
    adaptive_avg_pool2d_backward,
    adaptive_avg_pool3d,
    adaptive_avg_pool3d_backward,
    adaptive_max_pool1d,
    adaptive_max_pool1d_backward,
    adaptive_max_pool2d,
    adaptive_max_pool2d_backward,
    adaptive_max_pool3d,
    adaptive_max_pool3d_backward,
)
from fastconv.reference.convolution import (
    conv1d,
    conv1d_backward,
    conv2d,
    conv2d_backward,
    conv3d,
    conv3d_backward,
    conv_transpose1d,
    conv_transpose1d_backward,
    conv_transpose2d,
    conv_transpose2d_backward,
    conv_transpose3d,
    conv_transpose3d_backward,
)
from fastconv.reference.linear import linear, linear_backward
from fastconv.reference.losses import (
    binary_cross_entropy,
    binary_cross_entropy_backward,
    binary_cross_entropy_with_logits,
    binary_cross_entropy_with_logits_backward,
    binary_crossentropy,
    binary_crossentropy_backward,
    categorical_crossentropy,
    categorical_crossentropy_backward,
    cross_entropy,
    cross_entropy_backward,
    huber_loss,
    huber_loss_backward,
    kl_div,
    kl_div_backward,
    l1_loss,
    l1_loss_backward,
    mean_squared_error,
    mean_squared_error_backward,
    mse_loss,
    mse_loss_backward,
    nll_loss,
    nll_loss_backward,
    smooth_l1_loss,
    smooth_l1_loss_backward,
    sparse_categorical_crossentropy,
    sparse_categorical_crossentropy_backward,
)
from fastconv.reference.normalization import (
    batch_norm,
    batch_norm_backward,
    group_norm,
    group_norm_backward,
    layer_norm,
    layer_norm_backward,
    local_response_norm,
    local_response_norm_backward,
)
from fastconv.reference.pooling import (
    avg_pool1d,
    avg_pool1d_backward,
    avg_pool2d,
    avg_pool2d_backward,
    avg_pool3d,
    avg_pool3d_backward,
    max_pool1d,
    max_pool1d_backward,
    max_pool2d,
    max_pool2d_backward,
    max_pool3d,
    max_pool3d_backward,
)
from fastconv.reference.resampling import interpolate, interpolate_backward, pad, pad_backward
from fastconv.reference.unfolding import fold, fold_backward, unfold, unfold_backward
from fastconv.reference.unpooling import (
    max_unpool1d,
    max_unpool1d_backward,
    max_unpool2d,
    max_unpool2d_backward,
    max_unpool3d,
    max_unpool3d_backward,
)

__all__ = [
    "conv1d",
    "conv1d_backward",
    "conv2d",
    "conv2d_backward",
    "conv3d",
    "conv3d_backward",
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
    "max_pool1d",
    "max_pool1d_backward",
    "max_pool2d",
    "max_pool2d_backward",
    "max_pool3d",
    "max_pool3d_backward",
    "avg_pool1d",
    "avg_pool1d_backward",
    "avg_pool2d",
    "avg_pool2d_backward",
    "interpolate",
    "interpolate_backward",
    "pad",
    "pad_backward",
    "avg_pool3d",
    "avg_pool3d_backward",
    "adaptive_avg_pool1d",
    "adaptive_avg_pool1d_backward",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool2d_backward",
    "adaptive_avg_pool3d",
    "adaptive_avg_pool3d_backward",
    "adaptive_max_pool1d",
    "adaptive_max_pool1d_backward",
    "adaptive_max_pool2d",
    "adaptive_max_pool2d_backward",
    "adaptive_max_pool3d",
    "adaptive_max_pool3d_backward",
    "max_unpool1d",
    "max_unpool1d_backward",
    "max_unpool2d",
    "max_unpool2d_backward",
    "max_unpool3d",
    "max_unpool3d_backward",
    "linear",
    "linear_backward",
    "batch_norm",
    "batch_norm_backward",
    "layer_norm",
    "layer_norm_backward",
    "group_norm",
    "group_norm_backward",
    "local_response_norm",
    "local_response_norm_backward",
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
    "categorical_crossentropy",
    "categorical_crossentropy_backward",
    "sparse_categorical_crossentropy",
    "sparse_categorical_crossentropy_backward",
    "binary_crossentropy",
    "binary_crossentropy_backward",
    "mean_squared_error",
    "mean_squared_error_backward",
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
