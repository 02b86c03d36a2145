"""Convolution over one, two and three axes, and its gradients."""

from collections.abc import Collection
from typing import Any

from numpy.typing import ArrayLike

from fastconv._checks import Array
from fastconv.functional._conv import GRADIENTS, Gradients, convolve, convolve_backward


def conv1d(
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
    r"""1-D convolution (cross-correlation: the kernel is not flipped).

    .. math::

        y[n, o, j] = b[o] + \sum_{c, v} w[o, c, v] \; x[n,\; g(o) \, C/G + c,\; j s + v r - p]

    with zero outside of `x`, :math:`C` input channels in :math:`G` groups, and :math:`g(o)` the group of output channel
    :math:`o`. On each axis ``out = (in + before + after - dilation * (kernel - 1) - 1) // stride + 1``.

    Parameters
    ----------
    input : array_like, shape (n, c_in, iw) or (c_in, iw)
        With ``data_format="channels_last"``: (n, iw, c_in) or (iw, c_in). `n` and `c_in` may be 0.
    weight : array_like, shape (c_out, c_in/groups, kw)
        With ``data_format="channels_last"``: (kw, c_in/groups, c_out).
    bias : array_like, shape (c_out,), optional
    stride, dilation : int or tuple of int
        At least 1; one number, alone or in a tuple.
    padding : int, tuple or str
        Zeros around the input: one number, alone or in a tuple, a pair (before, after) as in ``((2, 0),)``, "valid" or
        "same", as in `conv2d`.
    groups : int
        Divides both channel counts.
    data_format : {"channels_first", "channels_last"}
    algorithm : str
        "auto", "direct", "im2col", "toeplitz" or "toeplitz_full", see `conv2d`. Winograd's do not apply.
    out, activation
        As for `conv2d`.

    Returns
    -------
    ndarray, shape (n, c_out, ow) or (c_out, ow)
        In the layout of the input, with a dtype by the rule of `conv2d`.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `conv2d`.

    See Also
    --------
    conv1d_backward : the gradients.
    conv2d : the algorithms, their rounding errors and their sources.

    Notes
    -----
    ``2 * n * ow * c_out * kw * c_in / groups`` operations: those of `conv2d` for images of one row. The same bits for
    every number of threads.

    References
    ----------
    ``torch.nn.functional.conv1d`` for the signature, with the paddings of `conv2d`.

    Examples
    --------
    A moving average over the present and the two values before it:

    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> signal = np.array([[3.0, 6.0, 9.0, 0.0, 3.0]])
    >>> F.conv1d(signal, np.full((1, 1, 3), 1 / 3), padding=((2, 0),))
    array([[1., 3., 6., 5., 4.]])
    """
    return convolve(
        "conv1d", 1, input, weight, bias, stride, padding, dilation, groups, data_format, algorithm, out, activation
    )


def conv1d_backward(
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
) -> Gradients:
    r"""Gradients of a 1-D convolution.

    With :math:`L` a function of :math:`y = \mathrm{conv1d}(x, w, b)` and :math:`\partial L / \partial y` given:

    .. math::

        \frac{\partial L}{\partial x[n, c, q]} &= \sum_{o, j, v} w[o, c, v] \; \frac{\partial L}{\partial y[n, o, j]}
            \quad \text{where } j s + v r - p = q \\
        \frac{\partial L}{\partial w[o, c, v]} &= \sum_{n, j}
            x[n, c, j s + v r - p] \; \frac{\partial L}{\partial y[n, o, j]} \\
        \frac{\partial L}{\partial b[o]} &= \sum_{n, j} \frac{\partial L}{\partial y[n, o, j]}

    (written for one group).

    Parameters
    ----------
    grad_output : array_like
        Gradient of the output, of the output's shape.
    input, weight, bias, stride, padding, dilation, groups, data_format, algorithm
        As they were given to `conv1d`. The values of `bias` do not matter.
    needs : str or collection of str
        Which gradients to compute, of "input", "weight" and "bias".

    Returns
    -------
    grad_input, grad_weight, grad_bias : ndarray or None
        As `conv2d_backward`.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `conv2d_backward`.

    Notes
    -----
    Each of the first two costs as much as `conv1d`. The same bits for every number of threads.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> x, w = np.array([[1.0, 2.0, 3.0]]), np.array([[[10.0, 20.0]]])
    >>> F.conv1d_backward(np.array([[1.0, 1.0]]), x, w)
    (array([[10., 30., 20.]]), array([[[3., 5.]]]), None)
    """
    return convolve_backward(
        "conv1d_backward",
        1,
        grad_output,
        input,
        weight,
        bias,
        stride,
        padding,
        dilation,
        groups,
        needs,
        data_format,
        algorithm,
    )


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
                      weights; ``toeplitz_4``: 4 outputs a block
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
    float64 or after ``fastconv.set_precision("strict")``. In float32 it may compute small channels-first images on
    copies with channels last, with the bits that its algorithm has there, but not after ``set_precision("strict")``.

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
    return convolve(
        "conv2d", 2, input, weight, bias, stride, padding, dilation, groups, data_format, algorithm, out, activation
    )


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
) -> Gradients:
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
    return convolve_backward(
        "conv2d_backward",
        2,
        grad_output,
        input,
        weight,
        bias,
        stride,
        padding,
        dilation,
        groups,
        needs,
        data_format,
        algorithm,
    )


def conv3d(
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
    r"""3-D convolution (cross-correlation: the kernel is not flipped) of volumes or of videos.

    .. math::

        y[n, o, h, i, j] = b[o] + \sum_{c, t, u, v} w[o, c, t, u, v] \;
            x[n,\; g(o) \, C/G + c,\; h s_d + t r_d - p_f,\; i s_h + u r_h - p_t,\; j s_w + v r_w - p_l]

    with zero outside of `x`, :math:`C` input channels in :math:`G` groups, and :math:`g(o)` the group of output channel
    :math:`o`. On each axis ``out = (in + before + after - dilation * (kernel - 1) - 1) // stride + 1``.

    Parameters
    ----------
    input : array_like, shape (n, c_in, id, ih, iw) or (c_in, id, ih, iw)
        With ``data_format="channels_last"``: (n, id, ih, iw, c_in) or (id, ih, iw, c_in). `n` and `c_in` may be 0.
    weight : array_like, shape (c_out, c_in/groups, kd, kh, kw)
        With ``data_format="channels_last"``: (kd, kh, kw, c_in/groups, c_out).
    bias : array_like, shape (c_out,), optional
    stride, dilation : int or tuple of int
        At least 1; one number, or one for depth, height and width each.
    padding : int, tuple or str
        Zeros around the input: one number, or one for depth, height and width each, a pair (before, after) for each
        axis as in ``((1, 0), (1, 2), (0, 1))``, "valid" or "same", as in `conv2d`.
    groups : int
        Divides both channel counts.
    data_format : {"channels_first", "channels_last"}
    algorithm : str
        "auto", "direct", "im2col", "toeplitz" or "toeplitz_full", see `conv2d`. Winograd's apply to a depth of 1 alone.
    out, activation
        As for `conv2d`.

    Returns
    -------
    ndarray, shape (n, c_out, od, oh, ow) or (c_out, od, oh, ow)
        In the layout of the input, with a dtype by the rule of `conv2d`.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `conv2d`.

    See Also
    --------
    conv3d_backward : the gradients.
    conv2d : the algorithms, their rounding errors and their sources.

    Notes
    -----
    ``2 * n * od * oh * ow * c_out * kd * kh * kw * c_in / groups`` operations. The same bits for every number of
    threads.

    References
    ----------
    ``torch.nn.functional.conv3d`` for the signature, with the paddings of `conv2d`.

    Examples
    --------
    What changes from one frame of a video to the next:

    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> video = np.zeros((1, 3, 2, 2))
    >>> video[0, 1, 0, 1] = 5
    >>> F.conv3d(video, np.array([-1.0, 1.0]).reshape(1, 1, 2, 1, 1))[0]
    array([[[ 0.,  5.],
            [ 0.,  0.]],
    <BLANKLINE>
           [[ 0., -5.],
            [ 0.,  0.]]])
    """
    return convolve(
        "conv3d", 3, input, weight, bias, stride, padding, dilation, groups, data_format, algorithm, out, activation
    )


def conv3d_backward(
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
) -> Gradients:
    r"""Gradients of a 3-D convolution.

    With :math:`L` a function of :math:`y = \mathrm{conv3d}(x, w, b)` and :math:`\partial L / \partial y` given:

    .. math::

        \frac{\partial L}{\partial x[n, c, a, p, q]} &= \sum_{o, h, i, j, t, u, v}
            w[o, c, t, u, v] \; \frac{\partial L}{\partial y[n, o, h, i, j]}
            \quad \text{where } h s_d + t r_d - p_f = a, \; i s_h + u r_h - p_t = p, \; j s_w + v r_w - p_l = q \\
        \frac{\partial L}{\partial w[o, c, t, u, v]} &= \sum_{n, h, i, j}
            x[n, c, h s_d + t r_d - p_f, i s_h + u r_h - p_t, j s_w + v r_w - p_l] \;
            \frac{\partial L}{\partial y[n, o, h, i, j]} \\
        \frac{\partial L}{\partial b[o]} &= \sum_{n, h, i, j} \frac{\partial L}{\partial y[n, o, h, i, j]}

    (written for one group).

    Parameters
    ----------
    grad_output : array_like
        Gradient of the output, of the output's shape.
    input, weight, bias, stride, padding, dilation, groups, data_format, algorithm
        As they were given to `conv3d`. The values of `bias` do not matter.
    needs : str or collection of str
        Which gradients to compute, of "input", "weight" and "bias".

    Returns
    -------
    grad_input, grad_weight, grad_bias : ndarray or None
        As `conv2d_backward`.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `conv2d_backward`.

    Notes
    -----
    Each of the first two costs as much as `conv3d`. The same bits for every number of threads.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> x, w = np.ones((1, 3, 2, 2)), np.array([1.0, 2.0]).reshape(1, 1, 2, 1, 1)
    >>> grad_x, grad_w, _ = F.conv3d_backward(np.ones((1, 2, 2, 2)), x, w)
    >>> grad_x[0, :, 0, 0], grad_w.ravel()
    (array([1., 3., 2.]), array([8., 8.]))
    """
    return convolve_backward(
        "conv3d_backward",
        3,
        grad_output,
        input,
        weight,
        bias,
        stride,
        padding,
        dilation,
        groups,
        needs,
        data_format,
        algorithm,
    )
