"""Activations and their gradients."""

from typing import Any

from numpy.typing import ArrayLike

from fastconv import _core
from fastconv._checks import Array, check_shape, deliver, output_buffer, to_arrays
from fastconv._memory import empty_like


def relu(input: ArrayLike, inplace: bool = False) -> Array:
    r"""Rectified linear unit, :math:`y = \max(x, 0)`.

    Parameters
    ----------
    input : array_like, of any shape
    inplace : bool
        Write the result to `input`, which must be a writable array of a float dtype, and return it.

    Returns
    -------
    ndarray, of the input's shape
        float16, float32 and float64 keep their dtype (float16 is computed in float32); integers and booleans become
        ``np.result_type(input, np.float32)``. NaN stays NaN.

    Raises
    ------
    TypeError
        Complex, object or masked arrays; `inplace` with what is no array or has no float dtype.
    ValueError
        `inplace` with a read-only array.

    See Also
    --------
    relu_backward : the gradient.

    References
    ----------
    ``torch.nn.functional.relu``.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> F.relu(np.array([-1.0, 2.0]))
    array([0., 2.])
    """
    return _forward("relu", _core.RELU, 0.0, input, inplace)


def relu_backward(grad_output: ArrayLike, input: ArrayLike, inplace: bool = False) -> Array:
    r"""Gradient of `relu`: that of the output where :math:`x > 0`, else zero.

    Parameters
    ----------
    grad_output : array_like
        Gradient of the output, of the input's shape.
    input : array_like
        As it was given to `relu`; its result serves as well, since the two are positive at the same places.
    inplace : bool
        Accepted, so that the arguments of `relu` can be passed on; changes nothing.

    Returns
    -------
    ndarray, of the input's shape
        Its dtype is ``np.result_type(grad_output, input)`` by the rule of `relu`.

    Raises
    ------
    TypeError, ValueError
        As `relu`; also a `grad_output` of another shape than the input.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> F.relu_backward(np.array([5.0, 5.0]), np.array([-1.0, 2.0]))
    array([0., 5.])
    """
    return _backward("relu_backward", _core.RELU, 0.0, grad_output, "input", input)


def leaky_relu(input: ArrayLike, negative_slope: float = 0.01, inplace: bool = False) -> Array:
    r"""Leaky rectified linear unit, :math:`y = x` where :math:`x > 0`, else :math:`a x`.

    Parameters
    ----------
    input : array_like, of any shape
    negative_slope : float
        The slope :math:`a`.
    inplace : bool
        Write the result to `input`, which must be a writable array of a float dtype, and return it.

    Returns
    -------
    ndarray, of the input's shape
        Its dtype as in `relu`.

    Raises
    ------
    TypeError, ValueError
        As `relu`.

    See Also
    --------
    leaky_relu_backward : the gradient.

    References
    ----------
    ``torch.nn.functional.leaky_relu``. A. Maas, A. Hannun, A. Ng, "Rectifier Nonlinearities Improve Neural Network
    Acoustic Models", ICML 2013.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> F.leaky_relu(np.array([-1.0, 2.0]), 0.25)
    array([-0.25,  2.  ])
    """
    return _forward("leaky_relu", _core.LEAKY_RELU, _slope("leaky_relu", negative_slope), input, inplace)


def leaky_relu_backward(
    grad_output: ArrayLike, input: ArrayLike, negative_slope: float = 0.01, inplace: bool = False
) -> Array:
    r"""Gradient of `leaky_relu`: that of the output where :math:`x > 0`, else :math:`a` times it.

    Parameters
    ----------
    grad_output : array_like
        Gradient of the output, of the input's shape.
    input, negative_slope
        As they were given to `leaky_relu`. With a slope of at least 0, its result serves as well as the input.
    inplace : bool
        Accepted, so that the arguments of `leaky_relu` can be passed on; changes nothing.

    Returns
    -------
    ndarray, of the input's shape
        Its dtype is ``np.result_type(grad_output, input)`` by the rule of `relu`.

    Raises
    ------
    TypeError, ValueError
        As `relu_backward`.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> F.leaky_relu_backward(np.array([4.0, 4.0]), np.array([-1.0, 2.0]), 0.25)
    array([1., 4.])
    """
    name = "leaky_relu_backward"
    return _backward(name, _core.LEAKY_RELU, _slope(name, negative_slope), grad_output, "input", input)


def sigmoid(input: ArrayLike) -> Array:
    r"""Logistic function, :math:`y = 1 / (1 + e^{-x})`.

    Parameters
    ----------
    input : array_like, of any shape

    Returns
    -------
    ndarray, of the input's shape
        Its dtype as in `relu`. Values from 0 to 1; no overflow for any input.

    Raises
    ------
    TypeError
        Complex, object or masked arrays.

    See Also
    --------
    sigmoid_backward : the gradient.

    References
    ----------
    ``torch.nn.functional.sigmoid``.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> F.sigmoid(np.array([-1000.0, 0.0, 1000.0]))
    array([0. , 0.5, 1. ])
    """
    return _forward("sigmoid", _core.SIGMOID, 0.0, input, False)


def sigmoid_backward(grad_output: ArrayLike, input: ArrayLike | None, *, output: ArrayLike | None = None) -> Array:
    r"""Gradient of `sigmoid`, :math:`y (1 - y)` times that of the output.

    Parameters
    ----------
    grad_output : array_like
        Gradient of the output, of the input's shape.
    input : array_like or None
        As it was given to `sigmoid`. Not looked at where `output` is given; None will then do.
    output : array_like, optional
        What `sigmoid` returned; it is then not computed again.

    Returns
    -------
    ndarray, of the input's shape
        Its dtype is ``np.result_type`` of the two arrays by the rule of `relu`.

    Raises
    ------
    TypeError, ValueError
        As `relu_backward`.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> F.sigmoid_backward(np.array([4.0]), np.array([0.0]))
    array([1.])
    """
    return _backward_from_output("sigmoid_backward", _core.SIGMOID, grad_output, input, output)


def tanh(input: ArrayLike) -> Array:
    r"""Hyperbolic tangent, :math:`y = (e^x - e^{-x}) / (e^x + e^{-x})`.

    Parameters
    ----------
    input : array_like, of any shape

    Returns
    -------
    ndarray, of the input's shape
        Its dtype as in `relu`. Values from -1 to 1.

    Raises
    ------
    TypeError
        Complex, object or masked arrays.

    See Also
    --------
    tanh_backward : the gradient.

    References
    ----------
    ``torch.nn.functional.tanh``.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> F.tanh(np.array([-1000.0, 1000.0]))
    array([-1.,  1.])
    """
    return _forward("tanh", _core.TANH, 0.0, input, False)


def tanh_backward(grad_output: ArrayLike, input: ArrayLike | None, *, output: ArrayLike | None = None) -> Array:
    r"""Gradient of `tanh`, :math:`1 - y^2` times that of the output.

    Parameters
    ----------
    grad_output : array_like
        Gradient of the output, of the input's shape.
    input : array_like or None
        As it was given to `tanh`. Not looked at where `output` is given; None will then do.
    output : array_like, optional
        What `tanh` returned; it is then not computed again.

    Returns
    -------
    ndarray, of the input's shape
        Its dtype is ``np.result_type`` of the two arrays by the rule of `relu`.

    Raises
    ------
    TypeError, ValueError
        As `relu_backward`.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> F.tanh_backward(np.array([4.0]), None, output=np.array([0.5]))
    array([3.])
    """
    return _backward_from_output("tanh_backward", _core.TANH, grad_output, input, output)


def _forward(function: str, activation: int, slope: float, input: Any, inplace: bool) -> Array:
    (x,), dtype = to_arrays(function, ("input",), (input,))
    out = input if inplace else None
    # An element of y depends on that element of x alone, so y may be x: no inputs to keep from change.
    y = output_buffer(function, "input", out, x.shape, dtype)
    _core.activation_forward(activation, slope, x, y)
    return deliver(y, out, dtype)


def _backward(function: str, activation: int, slope: float, grad_output: Any, name: str, saved: Any) -> Array:
    (gy, s), dtype = to_arrays(function, ("grad_output", name), (grad_output, saved))
    check_shape(function, "grad_output", gy, s.shape, f", that of {name}")
    gx = empty_like(s)
    _core.activation_backward(activation, slope, s, gy, gx)
    return deliver(gx, None, dtype)


def _backward_from_output(function: str, activation: int, grad_output: Any, input: Any, output: Any) -> Array:
    if output is not None:
        return _backward(function, activation, 0.0, grad_output, "output", output)
    return _backward(function, activation, 0.0, grad_output, "input", _forward(function, activation, 0.0, input, False))


def _slope(function: str, negative_slope: float) -> float:
    try:
        return float(negative_slope)
    except (TypeError, ValueError):
        raise TypeError(f"{function}: negative_slope must be a number, got {negative_slope!r}") from None
