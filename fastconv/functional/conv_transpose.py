"""Transposed convolution over one, two and three axes, and its gradients."""

from collections.abc import Collection
from typing import Any

from numpy.typing import ArrayLike

from fastconv._checks import Array
from fastconv.functional._conv import GRADIENTS, Gradients, convolve_transposed, convolve_transposed_backward


def conv_transpose1d(
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
    activation: str | None = None,
) -> Array:
    r"""1-D transposed convolution: the linear map that is the transpose of a convolution, plus a bias.

    .. math::

        y[n, o, q] = b[o] + \sum_{c, j, v} w[c, o, v] \; x[n, c, j] \quad \text{where } j s + v r - p = q

    (written for one group). On each axis
    ``out = (in - 1) * stride - before - after + dilation * (kernel - 1) + output_padding + 1``.

    Parameters
    ----------
    input : array_like, shape (n, c_in, iw) or (c_in, iw)
        With ``data_format="channels_last"``: (n, iw, c_in) or (iw, c_in). `n` and `c_in` may be 0.
    weight : array_like, shape (c_in, c_out/groups, kw)
        With ``data_format="channels_last"``: (kw, c_out/groups, c_in). These are the weights of the convolution from
        c_out to c_in channels that is transposed.
    bias : array_like, shape (c_out,), optional
    stride, dilation : int or tuple of int
        Those of that convolution: at least 1; one number, alone or in a tuple.
    padding : int, tuple or str
        What is cut off the output: the padding of that convolution, in the forms that `conv1d` takes. "same" gives
        ``in * stride`` outputs, as Keras does.
    output_padding : int or tuple of int
        Elements added at the end of each axis. Smaller than stride or dilation.
    groups : int
        Divides both channel counts.
    data_format : {"channels_first", "channels_last"}
    out, activation
        As for `conv_transpose2d`.

    Returns
    -------
    ndarray, shape (n, c_out, ow) or (c_out, ow)
        In the layout of the input, with a dtype by the rule of `conv2d`.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `conv_transpose2d`.

    See Also
    --------
    conv_transpose1d_backward : the gradients.
    conv_transpose2d : how it is computed.

    Notes
    -----
    ``2 * n * iw * c_in * kw * c_out / groups`` operations. The same bits for every number of threads.

    References
    ----------
    ``torch.nn.functional.conv_transpose1d`` for the signature.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> F.conv_transpose1d(np.array([[1.0, 2.0]]), np.array([[[1.0, 10.0, 100.0]]]), stride=2)
    array([[  1.,  10., 102.,  20., 200.]])
    """
    return convolve_transposed(
        "conv_transpose1d",
        1,
        input,
        weight,
        bias,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
        data_format,
        out,
        activation,
    )


def conv_transpose1d_backward(
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
) -> Gradients:
    r"""Gradients of a 1-D transposed convolution.

    With :math:`L` a function of :math:`y = \mathrm{conv\_transpose1d}(x, w, b)` and :math:`\partial L / \partial y`
    given:

    .. math::

        \frac{\partial L}{\partial x[n, c, j]} &= \sum_{o, v} w[c, o, v] \;
            \frac{\partial L}{\partial y[n, o, j s + v r - p]} \\
        \frac{\partial L}{\partial w[c, o, v]} &= \sum_{n, j} x[n, c, j] \;
            \frac{\partial L}{\partial y[n, o, j s + v r - p]} \\
        \frac{\partial L}{\partial b[o]} &= \sum_{n, q} \frac{\partial L}{\partial y[n, o, q]}

    (written for one group): the first is the convolution of the gradient with the same weights.

    Parameters
    ----------
    grad_output : array_like
        Gradient of the output, of the output's shape.
    input, weight, bias, stride, padding, output_padding, groups, dilation, data_format
        As they were given to `conv_transpose1d`. The values of `bias` do not matter.
    needs : str or collection of str
        Which gradients to compute, of "input", "weight" and "bias".

    Returns
    -------
    grad_input, grad_weight, grad_bias : ndarray or None
        As `conv_transpose2d_backward`.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `conv_transpose2d_backward`.

    Notes
    -----
    Each of the first two costs as much as `conv_transpose1d`. The same bits for every number of threads.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> x, w = np.array([[1.0, 2.0]]), np.array([[[1.0, 10.0, 100.0]]])
    >>> F.conv_transpose1d_backward(np.ones((1, 5)), x, w, stride=2)
    (array([[111., 111.]]), array([[[3., 3., 3.]]]), None)
    """
    return convolve_transposed_backward(
        "conv_transpose1d_backward",
        1,
        grad_output,
        input,
        weight,
        bias,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
        needs,
        data_format,
    )


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
    activation: str | None = None,
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
    activation : {None, "relu", "sigmoid", "tanh"}
        Applied to the result while it is stored, as in `conv2d`.

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
    return convolve_transposed(
        "conv_transpose2d",
        2,
        input,
        weight,
        bias,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
        data_format,
        out,
        activation,
    )


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
) -> Gradients:
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
    return convolve_transposed_backward(
        "conv_transpose2d_backward",
        2,
        grad_output,
        input,
        weight,
        bias,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
        needs,
        data_format,
    )


def conv_transpose3d(
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
    activation: str | None = None,
) -> Array:
    r"""3-D transposed convolution: the linear map that is the transpose of a convolution, plus a bias.

    .. math::

        y[n, o, a, p, q] = b[o] + \sum_{c, h, i, j, t, u, v} w[c, o, t, u, v] \; x[n, c, h, i, j]
            \quad \text{where } h s_d + t r_d - p_f = a, \; i s_h + u r_h - p_t = p, \; j s_w + v r_w - p_l = q

    (written for one group). On each axis
    ``out = (in - 1) * stride - before - after + dilation * (kernel - 1) + output_padding + 1``.

    Parameters
    ----------
    input : array_like, shape (n, c_in, id, ih, iw) or (c_in, id, ih, iw)
        With ``data_format="channels_last"``: (n, id, ih, iw, c_in) or (id, ih, iw, c_in). `n` and `c_in` may be 0.
    weight : array_like, shape (c_in, c_out/groups, kd, kh, kw)
        With ``data_format="channels_last"``: (kd, kh, kw, c_out/groups, c_in). These are the weights of the convolution
        from c_out to c_in channels that is transposed.
    bias : array_like, shape (c_out,), optional
    stride, dilation : int or tuple of int
        Those of that convolution: at least 1; one number, or one for depth, height and width each.
    padding : int, tuple or str
        What is cut off the output: the padding of that convolution, in the forms that `conv3d` takes. "same" gives
        ``in * stride`` outputs, as Keras does.
    output_padding : int or tuple of int
        Elements added at the end of each axis. Smaller than stride or dilation.
    groups : int
        Divides both channel counts.
    data_format : {"channels_first", "channels_last"}
    out, activation
        As for `conv_transpose2d`.

    Returns
    -------
    ndarray, shape (n, c_out, od, oh, ow) or (c_out, od, oh, ow)
        In the layout of the input, with a dtype by the rule of `conv2d`.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `conv_transpose2d`.

    See Also
    --------
    conv_transpose3d_backward : the gradients.
    conv_transpose2d : how it is computed.

    Notes
    -----
    ``2 * n * id * ih * iw * c_in * kd * kh * kw * c_out / groups`` operations. The same bits for every number of
    threads.

    References
    ----------
    ``torch.nn.functional.conv_transpose3d`` for the signature.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> y = F.conv_transpose3d(np.array([1.0, 2.0]).reshape(1, 2, 1, 1), np.ones((1, 1, 2, 2, 1)), stride=(2, 1, 1))
    >>> y[0, :, :, 0]
    array([[1., 1.],
           [1., 1.],
           [2., 2.],
           [2., 2.]])
    """
    return convolve_transposed(
        "conv_transpose3d",
        3,
        input,
        weight,
        bias,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
        data_format,
        out,
        activation,
    )


def conv_transpose3d_backward(
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
) -> Gradients:
    r"""Gradients of a 3-D transposed convolution.

    With :math:`L` a function of :math:`y = \mathrm{conv\_transpose3d}(x, w, b)` and :math:`\partial L / \partial y`
    given:

    .. math::

        \frac{\partial L}{\partial x[n, c, h, i, j]} &= \sum_{o, t, u, v} w[c, o, t, u, v] \;
            \frac{\partial L}{\partial y[n, o,\; h s_d + t r_d - p_f,\; i s_h + u r_h - p_t,\; j s_w + v r_w - p_l]} \\
        \frac{\partial L}{\partial w[c, o, t, u, v]} &= \sum_{n, h, i, j} x[n, c, h, i, j] \;
            \frac{\partial L}{\partial y[n, o,\; h s_d + t r_d - p_f,\; i s_h + u r_h - p_t,\; j s_w + v r_w - p_l]} \\
        \frac{\partial L}{\partial b[o]} &= \sum_{n, a, p, q} \frac{\partial L}{\partial y[n, o, a, p, q]}

    (written for one group): the first is the convolution of the gradient with the same weights.

    Parameters
    ----------
    grad_output : array_like
        Gradient of the output, of the output's shape.
    input, weight, bias, stride, padding, output_padding, groups, dilation, data_format
        As they were given to `conv_transpose3d`. The values of `bias` do not matter.
    needs : str or collection of str
        Which gradients to compute, of "input", "weight" and "bias".

    Returns
    -------
    grad_input, grad_weight, grad_bias : ndarray or None
        As `conv_transpose2d_backward`.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `conv_transpose2d_backward`.

    Notes
    -----
    Each of the first two costs as much as `conv_transpose3d`. The same bits for every number of threads.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> x, w = np.array([1.0, 2.0]).reshape(1, 2, 1, 1), np.ones((1, 1, 2, 2, 1))
    >>> grad_x, grad_w, _ = F.conv_transpose3d_backward(np.ones((1, 4, 2, 1)), x, w, stride=(2, 1, 1))
    >>> grad_x.ravel(), grad_w.ravel()
    (array([4., 4.]), array([3., 3., 3., 3.]))
    """
    return convolve_transposed_backward(
        "conv_transpose3d_backward",
        3,
        grad_output,
        input,
        weight,
        bias,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
        needs,
        data_format,
    )
