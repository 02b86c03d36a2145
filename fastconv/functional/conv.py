"""Convolution and its gradients."""

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastconv import _core
from fastconv._checks import (
    Array,
    Dtype,
    channels_last,
    check_shape,
    deliver,
    needed,
    output_buffer,
    to_arrays,
)
from fastconv.functional import _algorithms
from fastconv.functional._algorithms import AUTO, FORWARD, GRAD_INPUT, GRAD_WEIGHT
from fastconv.geometry import Geometry, conv_geometry

GRADIENTS = ("input", "weight", "bias")

_ACTIVATIONS = {
    None: _core.LINEAR,
    "relu": _core.RELU,
    "sigmoid": _core.SIGMOID,
    "tanh": _core.TANH,
}


def conv2d(
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    data_format: str = "channels_first",
    algorithm: str = "auto",
    out: Array | None = None,
    activation: str | None = None,
) -> Array:
    r"""2-D convolution (cross-correlation: the kernel is not flipped).

    .. math::

        y[n, o, i, j] = b[o] + \sum_{c, u, v} w[o, c, u, v] \;
            x[n,\; g(o) \, C/G + c,\; i s_h + u r_h - p_t,\; j s_w + v r_w - p_l]

    with zero outside of `x`, :math:`C` input channels in :math:`G` groups, and :math:`g(o)` the group of output channel
    :math:`o`. On each axis ``out = (in + before + after - dilation * (kernel - 1) - 1) // stride + 1``.

    Parameters
    ----------
    input : array_like, shape (n, c_in, ih, iw) or (c_in, ih, iw)
        With ``data_format="channels_last"``: (n, ih, iw, c_in) or (ih, iw, c_in). `n` and `c_in` may be 0.
    weight : array_like, shape (c_out, c_in/groups, kh, kw)
        With ``data_format="channels_last"``: (kh, kw, c_in/groups, c_out).
    bias : array_like, shape (c_out,), optional
    stride, dilation : int or tuple of int
        At least 1; one number, or one for height and one for width.
    padding : int, tuple or str
        Zeros around the input: one number, one for height and one for width, a pair (before, after) for each axis as in
        ``((1, 2), (0, 1))``, "valid" for none, or "same" for ``ceil(in / stride)`` outputs, where an odd zero comes
        after the input as in TensorFlow and Keras.
    groups : int
        Divides both channel counts. ``groups=c_in`` is a depthwise convolution.
    data_format : {"channels_first", "channels_last"}
    algorithm : str
        How it is computed, see Notes: "auto", "direct", "im2col", "toeplitz", "toeplitz_full", "winograd",
        "winograd_2x2" or "winograd_4x4". "auto" takes the one that is likely to be the fastest, by the geometry and
        the instruction set and never by timing: the same call gives the same bits on every run.
    out : ndarray, optional
        Array of the result's shape and dtype, to write to and return. It may share memory with the inputs.
    activation : {None, "relu", "sigmoid", "tanh"}
        Applied to the result while it is still in registers, for the price of the arithmetic alone: a call of its own
        would read and write the whole array once more. An argument that torch does not have; it is that of
        `prepare_conv2d` in the design. Activations with a parameter are left to their own function.

    Returns
    -------
    ndarray, shape (n, c_out, oh, ow) or (c_out, oh, ow)
        In the layout of the input. The dtype is ``np.result_type`` of the arrays: float32 and float64 are computed
        natively, float16 in float32; integers and booleans are promoted by ``np.result_type(..., np.float32)``.

    Raises
    ------
    TypeError
        Complex, object or masked arrays; a stride, padding or dilation that is not made of integers.
    ValueError
        Shapes that contradict each other, an empty output, an unknown word, an algorithm that does not apply.
    MemoryError
        No memory for the result.

    See Also
    --------
    conv2d_backward : the gradients.
    prepare_conv2d : the same function with weights that are packed once.
    fastconv.explain : the algorithms that apply to a layer, side by side.

    Notes
    -----
    ``2 * n * oh * ow * c_out * kh * kw * c_in / groups`` operations, fewer with Winograd. The same bits for every
    number of threads. NaN and infinity propagate.

    ================= =============================================== ==================================
    algorithm         method                                          applies to
    ================= =============================================== ==================================
    ``direct``        indirect GEMM on the image itself               everything
    ``im2col``        windows copied to a matrix, in blocks           everything
    ``toeplitz``      neighbouring outputs from one banded block of   everything; made for few channels
                      weights
    ``toeplitz_full`` the doubly blocked Toeplitz matrix of the       a matrix of at most 1 GiB
                      layer, built and multiplied
    ``winograd_2x2``  4 outputs from 16 products in place of 36       3x3, stride 1, dilation 1, groups 1
    ``winograd_4x4``  16 outputs from 36 products in place of 144     3x3, stride 1, dilation 1, groups 1
    ``winograd``      the better of the two                           as these
    ================= =============================================== ==================================

    The rounding error of an output is at most ``k * terms * eps * conv2d(|x|, |w|, |b|)``, a sum of ``terms`` products,
    with k = 1. Winograd's has no such bound that is of use: there the largest element of that sum counts for all, and
    k = 4 for 2x2 and 24 for 4x4 are several times what was measured (``fastconv.testing.error_bound``).

    What happens is far below. In two draws of normally distributed numbers for nine layers with 1 to 512 input channels
    in float32, and five with up to 256 in float64, the largest error of a layer, in units of eps times its largest
    result, was from and to

    ================= =========== ==================== ====================
    algorithm         ``conv2d``  gradient of input    gradient of weight
    ================= =========== ==================== ====================
    all others        0.2 to 23   0.5 to 9             0.7 to 9
    ``winograd_2x2``  0.6 to 6    0.8 to 4             0.6 to 18
    ``winograd_4x4``  5 to 125    8 to 63              5 to 90
    ================= =========== ==================== ====================

    (im2col and toeplitz_full in one of the draws, the latter in the layers that its matrix has room for).

    The error grows with the number of products in an output. Winograd adds fewer of them up, so that 2x2 tiles tend to
    be more accurate than ``direct`` in the forward pass of layers with many channels. "auto" never takes Winograd for
    float64 or after ``fastconv.set_precision("strict")``.

    The Toeplitz algorithms multiply with the zeros beside the band, and Winograd computes a tile of outputs from all
    the inputs that any of them meets. With these, NaN or infinity in one input makes NaN of outputs in its
    neighbourhood that do not depend on it.

    References
    ----------
    ``torch.nn.functional.conv2d`` for the signature, with the asymmetric padding and the "same" rule of TensorFlow
    (``tf.nn.convolution``). M. Dukhan, "The Indirect Convolution Algorithm", arXiv:1907.02129, for ``direct``.
    A. Lavin, S. Gray, "Fast Algorithms for Convolutional Neural Networks", arXiv:1509.09308, for Winograd.

    Examples
    --------
    A detector of a stroke from lower left to upper right, on the image of a smile:

    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> rows = "0000000 0100010 0000000 0001000 0100010 0011100 0000000"
    >>> image = np.array([[[int(pixel) for pixel in row] for row in rows.split()]])
    >>> detector = np.array([[[[0, 0, 1], [1, 0, 0], [0, 1, 1]]]])
    >>> F.conv2d(image, detector)[0].astype(int)
    array([[0, 1, 0, 0, 0],
           [0, 1, 1, 1, 0],
           [1, 0, 0, 2, 1],
           [1, 4, 2, 1, 0],
           [0, 0, 1, 2, 1]])
    """
    last = channels_last("conv2d", data_format)
    (x, w, b), dtype = to_arrays("conv2d", GRADIENTS, (input, weight, bias))
    geometry, shape = conv_geometry("conv2d", x.shape, w.shape, stride, padding, dilation, groups, channels_last=last)
    if b is not None:
        check_shape("conv2d", "bias", b, (geometry.out_channels,), " for as many output channels")
    number = _algorithms.number("conv2d", algorithm, geometry, x.itemsize == 8, last, FORWARD)
    applied = activation_number("conv2d", activation)
    y = output_buffer("conv2d", "out", out, shape, dtype, (x, w, b))
    _core.conv_forward(geometry, last, last, x, w, b, y, applied, 0.0, number)
    return deliver(y, out, dtype)


def conv2d_backward(
    grad_output: ArrayLike,
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    needs: str | Collection[str] = GRADIENTS,
    data_format: str = "channels_first",
    algorithm: str = "auto",
) -> tuple[Array | None, Array | None, Array | None]:
    r"""Gradients of a 2-D convolution.

    With :math:`L` a function of :math:`y = \mathrm{conv2d}(x, w, b)` and :math:`\partial L / \partial y` given:

    .. math::

        \frac{\partial L}{\partial x[n, c, p, q]} &= \sum_{o, i, j, u, v}
            w[o, c, u, v] \; \frac{\partial L}{\partial y[n, o, i, j]}
            \quad \text{where } i s_h + u r_h - p_t = p, \; j s_w + v r_w - p_l = q \\
        \frac{\partial L}{\partial w[o, c, u, v]} &= \sum_{n, i, j}
            x[n, c, i s_h + u r_h - p_t, j s_w + v r_w - p_l] \; \frac{\partial L}{\partial y[n, o, i, j]} \\
        \frac{\partial L}{\partial b[o]} &= \sum_{n, i, j} \frac{\partial L}{\partial y[n, o, i, j]}

    (written for one group).

    Parameters
    ----------
    grad_output : array_like
        Gradient of the output, of the output's shape.
    input, weight, bias, stride, padding, dilation, groups, data_format, algorithm
        As they were given to `conv2d`. The values of `bias` do not matter.
    needs : str or collection of str
        Which gradients to compute, of "input", "weight" and "bias".

    Returns
    -------
    grad_input, grad_weight, grad_bias : ndarray or None
        In the shapes of `input`, `weight` and `bias`. None for what `needs` leaves out, and for a bias of None. All
        have one dtype, ``np.result_type`` of all the arrays, by the same rule as in `conv2d`.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `conv2d`; also a `grad_output` of another shape than the output, and a name in `needs` that is not known.

    Notes
    -----
    Each of the first two costs as much as `conv2d`. The same bits for every number of threads. `algorithm` is that of
    both; the weight gradient has no matrix of weights, so that there the two Toeplitz algorithms are ``direct``, and
    Winograd's stays in its domain: products of transformed tiles are summed and the sum is transformed back once.

    References
    ----------
    V. Dumoulin, F. Visin, "A guide to convolution arithmetic for deep learning", arXiv:1603.07285, section 4.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> x, w = np.ones((1, 1, 3, 3)), np.array([[[[1.0, 2.0], [3.0, 4.0]]]])
    >>> grad_x, grad_w, grad_b = F.conv2d_backward(np.ones((1, 1, 2, 2)), x, w)
    >>> grad_x[0, 0]
    array([[ 1.,  3.,  2.],
           [ 4., 10.,  6.],
           [ 3.,  7.,  4.]])
    >>> grad_w[0, 0]
    array([[4., 4.],
           [4., 4.]])
    >>> grad_b is None
    True
    """
    name = "conv2d_backward"
    last = channels_last(name, data_format)
    (gy, x, w, b), dtype = to_arrays(name, ("grad_output", *GRADIENTS), (grad_output, input, weight, bias))
    geometry, shape = conv_geometry(name, x.shape, w.shape, stride, padding, dilation, groups, channels_last=last)
    check_shape(name, "grad_output", gy, shape, ", that of the output")
    if b is not None:
        check_shape(name, "bias", b, (geometry.out_channels,), " for as many output channels")
    wanted = needed(name, needs, GRADIENTS)
    _algorithms.check_name(name, algorithm)
    numbers = [
        _algorithms.number(name, algorithm, geometry, x.itemsize == 8, last, direction) if gradient in wanted else AUTO
        for gradient, direction in (("input", GRAD_INPUT), ("weight", GRAD_WEIGHT))
    ]
    return gradients(geometry, last, last, gy, x, w, b, wanted, dtype, *numbers)


def gradients(
    geometry: Geometry,
    channels_last: bool,
    weight_channels_last: bool,
    gy: Array,
    x: Array,
    w: Array,
    b: Array | None,
    wanted: Collection[str],
    dtype: Dtype,
    input_algorithm: int = AUTO,
    weight_algorithm: int = AUTO,
) -> tuple[Array | None, Array | None, Array | None]:
    """Those gradients of a checked convolution that are wanted, for functions built on one."""
    grad_input = grad_weight = grad_bias = None
    if "input" in wanted:
        gx = np.empty_like(x)
        _core.conv_grad_input(geometry, channels_last, weight_channels_last, gy, w, gx, input_algorithm)
        grad_input = deliver(gx, None, dtype)
    if "weight" in wanted:
        gw = np.empty_like(w)
        _core.conv_grad_weight(geometry, channels_last, weight_channels_last, x, gy, gw, weight_algorithm)
        grad_weight = deliver(gw, None, dtype)
    if "bias" in wanted and b is not None:
        gb = np.empty_like(b)
        _core.conv_grad_bias(geometry, channels_last, gy, gb)
        grad_bias = deliver(gb, None, dtype)
    return grad_input, grad_weight, grad_bias


def activation_number(function: str, activation: str | None) -> int:
    """Find the number of an activation that the core applies to results; a ValueError where it is unknown."""
    if activation not in _ACTIVATIONS:
        known = ", ".join(map(repr, _ACTIVATIONS))
        raise ValueError(f"{function}: activation must be one of {known}, got {activation!r}")
    return _ACTIVATIONS[activation]
