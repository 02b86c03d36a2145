"""The layers of Stanford's course CS231n, under its names: change the import, keep the network.

=================================================  =====================================================
in the course's files                              here
=================================================  =====================================================
``from cs231n.fast_layers import *``               ``from fastconv.compat.cs231n.fast_layers import *``
``from cs231n.layers import *``                    ``from fastconv.compat.cs231n.layers import *``
``from cs231n.layer_utils import *``               ``from fastconv.compat.cs231n.layer_utils import *``
``from cs231n.im2col import *``                    ``from fastconv.compat.cs231n.im2col import *``
=================================================  =====================================================

This package has all of these names. Images are (N, C, H, W), filters (F, C, HH, WW), one pad and one stride; a forward
function returns ``(out, cache)``, and its backward function takes ``(dout, cache)``.

What differs from the course's code:

- Pooling windows may overlap, and need not tile the image; filters and windows need not be square.
- Fortran-ordered and other non-contiguous arrays give the right result.
- NaN in a pooling window makes its maximum NaN, and the gradient goes to a NaN.
- Where a window has several maxima, the first has the whole gradient. ``max_pool_backward_reshape`` of the course
  divides it among them; its ``max_pool_backward_im2col`` and its naive exercise do as this package.
- A dict of parameters with a key missing or unknown is a ValueError.

Results have the dtype ``np.result_type`` of the arrays: float64 images with float32 weights give float64. Arrays are
referenced by the cache, not copied, and so is the result of a fused layer (`layer_utils`): do not change them in place
before the backward pass. ``w -= lr * dw`` after it is all right.

References
----------
CS231n, "Deep Learning for Computer Vision", Stanford University, assignment 2: the interfaces.
"""

from fastconv.compat.cs231n.fast_layers import (
    conv_backward_fast,
    conv_backward_im2col,
    conv_backward_strides,
    conv_forward_fast,
    conv_forward_im2col,
    conv_forward_strides,
    max_pool_backward_fast,
    max_pool_backward_im2col,
    max_pool_backward_reshape,
    max_pool_forward_fast,
    max_pool_forward_im2col,
    max_pool_forward_reshape,
)
from fastconv.compat.cs231n.im2col import (
    col2im_6d_cython,
    col2im_cython,
    col2im_indices,
    get_im2col_indices,
    im2col_cython,
    im2col_indices,
)
from fastconv.compat.cs231n.layer_utils import (
    affine_relu_backward,
    affine_relu_forward,
    conv_bn_relu_backward,
    conv_bn_relu_forward,
    conv_relu_backward,
    conv_relu_forward,
    conv_relu_pool_backward,
    conv_relu_pool_forward,
)
from fastconv.compat.cs231n.layers import (
    affine_backward,
    affine_forward,
    batchnorm_backward,
    batchnorm_backward_alt,
    batchnorm_forward,
    dropout_backward,
    dropout_forward,
    layernorm_backward,
    layernorm_forward,
    relu_backward,
    relu_forward,
    softmax_loss,
    spatial_batchnorm_backward,
    spatial_batchnorm_forward,
    spatial_groupnorm_backward,
    spatial_groupnorm_forward,
    svm_loss,
)

__all__ = [
    "conv_forward_fast",
    "conv_backward_fast",
    "conv_forward_im2col",
    "conv_backward_im2col",
    "conv_forward_strides",
    "conv_backward_strides",
    "max_pool_forward_fast",
    "max_pool_backward_fast",
    "max_pool_forward_reshape",
    "max_pool_backward_reshape",
    "max_pool_forward_im2col",
    "max_pool_backward_im2col",
    "get_im2col_indices",
    "im2col_indices",
    "col2im_indices",
    "im2col_cython",
    "col2im_cython",
    "col2im_6d_cython",
    "affine_forward",
    "affine_backward",
    "relu_forward",
    "relu_backward",
    "batchnorm_forward",
    "batchnorm_backward",
    "batchnorm_backward_alt",
    "layernorm_forward",
    "layernorm_backward",
    "spatial_batchnorm_forward",
    "spatial_batchnorm_backward",
    "spatial_groupnorm_forward",
    "spatial_groupnorm_backward",
    "dropout_forward",
    "dropout_backward",
    "svm_loss",
    "softmax_loss",
    "affine_relu_forward",
    "affine_relu_backward",
    "conv_relu_forward",
    "conv_relu_backward",
    "conv_bn_relu_forward",
    "conv_bn_relu_backward",
    "conv_relu_pool_forward",
    "conv_relu_pool_backward",
]
