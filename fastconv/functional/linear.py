"""The linear map of a dense layer and its gradients."""

from collections.abc import Collection

from numpy.typing import ArrayLike

from fastconv import _core
from fastconv._checks import Array, channels_last, check_shape, deliver, needed, output_buffer, to_arrays
from fastconv.functional._algorithms import plans
from fastconv.functional._conv import GRADIENTS, Gradients, activation_number, chosen, gradients
from fastconv.geometry import linear_geometry


def linear(
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    data_format: str = "channels_first",
    out: Array | None = None,
    activation: str | None = None,
) -> Array:
    r"""Linear map of the last axis.

    .. math:: y[\dots, o] = b[o] + \sum_i w[o, i] \, x[\dots, i]

    Parameters
    ----------
    input : array_like, shape (..., in_features)
    weight : array_like, shape (out_features, in_features)
        With ``data_format="channels_last"``: (in_features, out_features), the kernel of a Keras Dense layer. A weight
        of shape (in_features,) gives an output without a feature axis.
    bias : array_like, shape (out_features,), optional
        Of shape () for a weight with one axis.
    data_format : {"channels_first", "channels_last"}
        Order of the axes of the weight.
    out : ndarray, optional
        Array of the result's shape and dtype, to write to and return. It may share memory with the inputs.
    activation : {None, "relu", "sigmoid", "tanh"}
        Applied to the result while it is stored, as by `conv2d`.

    Returns
    -------
    ndarray, shape (..., out_features)
        The dtype is ``np.result_type`` of the arrays: float32 and float64 are computed natively, float16 in float32;
        integers and booleans are promoted by ``np.result_type(..., np.float32)``.

    Raises
    ------
    TypeError
        Complex, object or masked arrays.
    ValueError
        Shapes that contradict each other, an unknown word.
    MemoryError
        No memory for the result.

    See Also
    --------
    linear_backward : the gradients.

    Notes
    -----
    It is a 1x1 convolution of images of one pixel, so it shares the threads of the convolutions instead of waking
    those of NumPy's BLAS. The same bits for every number of threads.

    References
    ----------
    ``torch.nn.functional.linear``.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> F.linear(np.array([[1.0, 2.0]]), np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), np.array([0.0, 0.0, 10.0]))
    array([[ 1.,  2., 13.]])
    """
    arguments = ("linear", data_format, activation)
    plan = plans.find(arguments, input, weight, bias)
    if plan is not None:
        done: Array | None = plan.forward(input, weight, bias, out)
        if done is not None:
            return done
    last = channels_last("linear", data_format)
    (x, w, b), dtype = to_arrays("linear", GRADIENTS, (input, weight, bias))
    geometry, shape = linear_geometry("linear", x.shape, w.shape, last)
    if b is not None:
        check_shape("linear", "bias", b, shape[x.ndim - 1 :], " for as many output features")
    plan = _core.Convolution(geometry, shape, True, last, activation_number("linear", activation))
    plans.keep(plan, arguments, input, weight, bias)
    y = output_buffer("linear", "out", out, shape, dtype, (x, w, b))
    plan.forward(x, w, b, y)
    return deliver(y, out, dtype)


def linear_backward(
    grad_output: ArrayLike,
    input: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    needs: str | Collection[str] = GRADIENTS,
    data_format: str = "channels_first",
) -> Gradients:
    r"""Gradients of a linear map.

    .. math::

        \frac{\partial L}{\partial x[\dots, i]} &= \sum_o w[o, i] \, \frac{\partial L}{\partial y[\dots, o]} \\
        \frac{\partial L}{\partial w[o, i]} &= \sum_{\dots} x[\dots, i] \, \frac{\partial L}{\partial y[\dots, o]} \\
        \frac{\partial L}{\partial b[o]} &= \sum_{\dots} \frac{\partial L}{\partial y[\dots, o]}

    Parameters
    ----------
    grad_output : array_like, shape (..., out_features)
        Gradient of the output.
    input, weight, bias, data_format
        As they were given to `linear`. The values of `bias` do not matter.
    needs : str or collection of str
        Which gradients to compute, of "input", "weight" and "bias".

    Returns
    -------
    grad_input, grad_weight, grad_bias : ndarray or None
        In the shapes of `input`, `weight` and `bias`. None for what `needs` leaves out, and for a bias of None. All
        have one dtype, ``np.result_type`` of all the arrays, by the same rule as in `linear`.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `linear`; also a `grad_output` of another shape than the output, and a name in `needs` that is not known.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> x, w, b = np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]]), np.array([0.0])
    >>> F.linear_backward(np.array([[10.0]]), x, w, b)
    (array([[30., 40.]]), array([[10., 20.]]), array([10.]))
    """
    name = "linear_backward"
    arguments = (name, needs, data_format)
    plan = plans.find(arguments, grad_output, input, weight, bias)
    if plan is not None:
        found: Gradients | None = plan.gradients(grad_output, input, weight, bias, *chosen(needs))
        if found is not None:
            return found
    last = channels_last(name, data_format)
    (gy, x, w, b), dtype = to_arrays(name, ("grad_output", *GRADIENTS), (grad_output, input, weight, bias))
    geometry, shape = linear_geometry(name, x.shape, w.shape, last)
    check_shape(name, "grad_output", gy, shape, ", that of the output")
    if b is not None:
        check_shape(name, "bias", b, shape[x.ndim - 1 :], " for as many output features")
    wanted = needed(name, needs, GRADIENTS)
    plan = _core.Convolution(geometry, shape, True, last)
    plans.keep(plan, arguments, grad_output, input, weight, bias)
    return gradients(plan, gy, x, w, b, wanted, dtype)
