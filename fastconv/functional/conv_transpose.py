"""Transposed convolution and its gradients."""

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastconv import _core
from fastconv._checks import (
    Array,
    channels_last,
    check_shape,
    deliver,
    needed,
    output_buffer,
    to_arrays,
)
from fastconv.functional.conv import GRADIENTS
from fastconv.geometry import conv_transpose_geometry


def conv_transpose2d(
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
    *,
    data_format: str = "channels_first",
    out: Array | None = None,
) -> Array:
    r"""2-D transposed convolution: the linear map that is the transpose of a convolution, plus a bias.

    .. math::

        y[n, o, p, q] = b[o] + \sum_{c, i, j, u, v} w[c, o, u, v] \; x[n, c, i, j]
            \quad \text{where } i s_h + u r_h - p_t = p, \; j s_w + v r_w - p_l = q

    (written for one group). Each pixel of `x` is stamped as a kernel's worth of numbers on `y`, `stride` apart. On each
    axis ``out = (in - 1) * stride - before - after + dilation * (kernel - 1) + output_padding + 1``.

    Parameters
    ----------
    input : array_like, shape (n, c_in, ih, iw) or (c_in, ih, iw)
        With ``data_format="channels_last"``: (n, ih, iw, c_in) or (ih, iw, c_in). `n` and `c_in` may be 0.
    weight : array_like, shape (c_in, c_out/groups, kh, kw)
        With ``data_format="channels_last"``: (kh, kw, c_out/groups, c_in). These are the weights of the convolution
        from c_out to c_in channels that is transposed.
    bias : array_like, shape (c_out,), optional
    stride, dilation : int or tuple of int
        Those of that convolution: at least 1; one number, or one for height and one for width.
    padding : int, tuple or str
        Rows and columns cut off the output: the padding of that convolution, in the forms that `conv2d` takes. "same"
        gives ``in * stride`` outputs, as Keras does.
    output_padding : int or tuple of int
        Rows added at the bottom and columns added on the right: a convolution with a stride makes outputs of one size
        from inputs of several, and this chooses which. Smaller than stride or dilation.
    groups : int
        Divides both channel counts.
    data_format : {"channels_first", "channels_last"}
    out : ndarray, optional
        Array of the result's shape and dtype, to write to and return. It may share memory with the inputs.

    Returns
    -------
    ndarray, shape (n, c_out, oh, ow) or (c_out, oh, ow)
        In the layout of the input, with a dtype by the rule of `conv2d`.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `conv2d`; also an `output_padding` that is too large.

    See Also
    --------
    conv_transpose2d_backward : the gradients.
    conv2d_backward : the same sums, as the gradient of a convolution.

    Notes
    -----
    ``2 * n * ih * iw * c_in * kh * kw * c_out / groups`` operations, or fewer with Winograd, which is chosen as in
    `conv2d`. No zeros are inserted between the pixels: for a stride of 2 the output is four interleaved images, each a
    convolution with those kernel elements that meet it. The same bits for every number of threads.

    References
    ----------
    ``torch.nn.functional.conv_transpose2d`` for the signature. M. Zeiler et al., "Deconvolutional Networks", 2010;
    V. Dumoulin, F. Visin, "A guide to convolution arithmetic for deep learning", arXiv:1603.07285, section 4.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> image, kernel = np.array([[[1.0, 2.0], [3.0, 4.0]]]), np.array([[[[1.0, 1.0], [1.0, 0.0]]]])
    >>> F.conv_transpose2d(image, kernel, stride=2)[0]
    array([[1., 1., 2., 2.],
           [1., 0., 2., 0.],
           [3., 3., 4., 4.],
           [3., 0., 4., 0.]])
    """
    name = "conv_transpose2d"
    last = channels_last(name, data_format)
    (x, w, b), dtype = to_arrays(name, GRADIENTS, (input, weight, bias))
    geometry, shape = conv_transpose_geometry(
        name, x.shape, w.shape, stride, padding, output_padding, dilation, groups, channels_last=last
    )
    if b is not None:
        check_shape(name, "bias", b, (geometry.in_channels,), " for as many output channels")
    y = output_buffer(name, "out", out, shape, dtype, (x, w, b))
    _core.conv_grad_input(geometry, last, last, x, w, y, bias=b)
    return deliver(y, out, dtype)


def conv_transpose2d_backward(
    grad_output: ArrayLike,
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
    *,
    needs: str | Collection[str] = GRADIENTS,
    data_format: str = "channels_first",
) -> tuple[Array | None, Array | None, Array | None]:
    r"""Gradients of a 2-D transposed convolution.

    With :math:`L` a function of :math:`y = \mathrm{conv\_transpose2d}(x, w, b)` and :math:`\partial L / \partial y`
    given:

    .. math::

        \frac{\partial L}{\partial x[n, c, i, j]} &= \sum_{o, u, v} w[c, o, u, v] \;
            \frac{\partial L}{\partial y[n, o,\; i s_h + u r_h - p_t,\; j s_w + v r_w - p_l]} \\
        \frac{\partial L}{\partial w[c, o, u, v]} &= \sum_{n, i, j} x[n, c, i, j] \;
            \frac{\partial L}{\partial y[n, o,\; i s_h + u r_h - p_t,\; j s_w + v r_w - p_l]} \\
        \frac{\partial L}{\partial b[o]} &= \sum_{n, p, q} \frac{\partial L}{\partial y[n, o, p, q]}

    (written for one group): the first is the convolution of the gradient with the same weights.

    Parameters
    ----------
    grad_output : array_like
        Gradient of the output, of the output's shape.
    input, weight, bias, stride, padding, output_padding, groups, dilation, data_format
        As they were given to `conv_transpose2d`. The values of `bias` do not matter.
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
        As `conv_transpose2d`; also a `grad_output` of another shape than the output, and a name in `needs` that is not
        known.

    Notes
    -----
    Each of the first two costs as much as `conv_transpose2d`. The same bits for every number of threads.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> image, kernel = np.array([[[1.0, 2.0], [3.0, 4.0]]]), np.array([[[[1.0, 1.0], [1.0, 0.0]]]])
    >>> grad_x, grad_w, _ = F.conv_transpose2d_backward(np.ones((1, 4, 4)), image, kernel, stride=2)
    >>> grad_x[0]
    array([[3., 3.],
           [3., 3.]])
    >>> grad_w[0, 0]
    array([[10., 10.],
           [10., 10.]])
    """
    name = "conv_transpose2d_backward"
    last = channels_last(name, data_format)
    (gy, x, w, b), dtype = to_arrays(name, ("grad_output", *GRADIENTS), (grad_output, input, weight, bias))
    geometry, shape = conv_transpose_geometry(
        name, x.shape, w.shape, stride, padding, output_padding, dilation, groups, channels_last=last
    )
    check_shape(name, "grad_output", gy, shape, ", that of the output")
    if b is not None:
        check_shape(name, "bias", b, (geometry.in_channels,), " for as many output channels")
    wanted = needed(name, needs, GRADIENTS)
    grad_input = grad_weight = grad_bias = None
    if "input" in wanted:
        gx = np.empty_like(x)
        _core.conv_forward(geometry, last, last, gy, w, None, gx)
        grad_input = deliver(gx, None, dtype)
    if "weight" in wanted:
        gw = np.empty_like(w)
        _core.conv_grad_weight(geometry, last, last, gy, x, gw)
        grad_weight = deliver(gw, None, dtype)
    if "bias" in wanted and b is not None:
        gb = np.empty_like(b)
        # The images that are summed are the input of the transposed convolution's geometry.
        summed = geometry._replace(out_channels=geometry.in_channels, output=geometry.input)
        _core.conv_grad_bias(summed, last, gy, gb)
        grad_bias = deliver(gb, None, dtype)
    return grad_input, grad_weight, grad_bias
