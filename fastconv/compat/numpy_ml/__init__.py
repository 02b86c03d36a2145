"""The convolutional layers of numpy-ml, under its names: change the import, keep the network.

======================================================  ==========================================================
there                                                   here
======================================================  ==========================================================
``from numpy_ml.neural_nets.layers import Conv2D``      ``from fastconv.compat.numpy_ml import Conv2D``
``from numpy_ml.neural_nets.utils import im2col``       ``from fastconv.compat.numpy_ml import im2col``
======================================================  ==========================================================

Images are (n_ex, rows, cols, channels), filters (rows, cols, in_ch, out_ch). `dilation` counts the pixels that are
inserted between those of a kernel: 0 inserts none, 1 is what other libraries call a dilation of 2. ``pad="same"`` gives
as many outputs as inputs with any stride, `out`, by ``stride * (out - 1) + kernel - in`` zeros, of which the odd one
comes after the input; Keras' "same" differs from it where the stride is not 1.

What differs from the original:

- Results have the dtype ``np.result_type`` of the arrays. Weights are float64, drawn from NumPy's global generator:
  after ``np.random.seed`` they are those of the original for "glorot_uniform", "he_uniform" and "std_normal".
- `Pool2D` with padding has a gradient for maxima, which fails in the original. As there, padding is zero and may be the
  maximum.
- ``backward`` refuses another number of gradients than there were forward passes, where the original leaves some out.
- A frozen layer raises RuntimeError, not AssertionError.
- An optimizer is None, which is `SGD` with a rate of 0.01, or an object that is called as numpy-ml's are, see
  `LayerBase`. numpy-ml's own optimizers will do.

References
----------
D. Bourgin, "numpy-ml", 2019: the interfaces of ``neural_nets.layers`` and ``neural_nets.utils``.
"""

from fastconv.compat.numpy_ml.activations import Affine, LeakyReLU, ReLU, Sigmoid, Tanh
from fastconv.compat.numpy_ml.base import LayerBase
from fastconv.compat.numpy_ml.convolution import Conv1D, Conv2D, Deconv2D
from fastconv.compat.numpy_ml.dense import Flatten, FullyConnected
from fastconv.compat.numpy_ml.normalization import BatchNorm2D
from fastconv.compat.numpy_ml.pooling import Pool2D
from fastconv.compat.numpy_ml.sgd import SGD
from fastconv.compat.numpy_ml.utils import col2im, conv1D, conv2D, im2col, pad1D, pad2D

__all__ = [
    "LayerBase",
    "Conv1D",
    "Conv2D",
    "Deconv2D",
    "Pool2D",
    "FullyConnected",
    "Flatten",
    "BatchNorm2D",
    "Affine",
    "ReLU",
    "LeakyReLU",
    "Sigmoid",
    "Tanh",
    "SGD",
    "conv1D",
    "conv2D",
    "im2col",
    "col2im",
    "pad1D",
    "pad2D",
]
