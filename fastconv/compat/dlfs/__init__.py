"""The layers of the book "Deep Learning from Scratch", under its names: change the import, keep the network.

==============================================  ======================================================
in the book's scripts                           here
==============================================  ======================================================
``from common.layers import *``                 ``from fastconv.compat.dlfs import *``
``from common.util import im2col, col2im``      ``from fastconv.compat.dlfs import im2col, col2im``
scripts that are to stay as they are            ``fastconv.compat.dlfs.install()`` before they run
==============================================  ======================================================

Images are (N, C, H, W), filters (FN, C, FH, FW). A layer keeps the arrays that it was given: weights may be changed in
place, or assigned to ``layer.W`` and ``layer.b``, and the next call uses them.

What differs from the book's code:

- Results have the dtype ``np.result_type`` of the arrays. The book's convolutions and poolings are float64 always;
  here float32 stays float32, and float16 is computed in float32. With float64 weights, which NumPy draws, there is no
  difference.
- `Pooling` pads: with values that no maximum can be, where the book's raises an error. NaN in a window makes its
  maximum NaN.
- `Relu.backward` leaves the array that it is given as it was; the book's changes and returns it.
- `SoftmaxWithLoss.backward(dout)` multiplies by `dout`; the book's does not look at it. Both divide by the batch size,
  which for a single sample without a batch axis is 1.
- No columns are made, so `Convolution` has no attributes ``col`` and ``col_W``. Layers keep references to what they are
  given and return: do not change it in place between forward and backward.

References
----------
K. Saito, "Deep Learning from Scratch", O'Reilly Japan, 2016: the interfaces of ``common/layers.py`` and
``common/util.py``.
"""

from fastconv.compat.dlfs.installing import Installation, install
from fastconv.compat.dlfs.layers import (
    Affine,
    BatchNormalization,
    Convolution,
    Dropout,
    Pooling,
    Relu,
    Sigmoid,
    SoftmaxWithLoss,
)
from fastconv.compat.dlfs.util import col2im, im2col

__all__ = [
    "Convolution",
    "Pooling",
    "Affine",
    "Relu",
    "Sigmoid",
    "SoftmaxWithLoss",
    "Dropout",
    "BatchNormalization",
    "im2col",
    "col2im",
    "install",
    "Installation",
]
