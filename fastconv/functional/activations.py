"""The classical activations and their gradients."""

from typing import Any

from numpy.typing import ArrayLike

from fastconv import _core
from fastconv._checks import Array, number
from fastconv.functional._elementwise import backward, forward


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
    return forward("relu", _core.RELU, input, inplace)


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
    return backward("relu_backward", _core.RELU, grad_output, input)


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
    slope = number("leaky_relu", "negative_slope", negative_slope)
    return forward("leaky_relu", _core.LEAKY_RELU, input, inplace, slope=slope)


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
    slope = number(name, "negative_slope", negative_slope)
    return backward(name, _core.LEAKY_RELU, grad_output, input, slope=slope)


def relu6(input: ArrayLike, inplace: bool = False) -> Array:
    r"""Rectified linear unit that ends at six, :math:`y = \min(\max(x, 0), 6)`.

    Parameters
    ----------
    input : array_like, of any shape
    inplace : bool
        Write the result to `input`, which must be a writable array of a float dtype, and return it.

    Returns
    -------
    ndarray, of the input's shape
        Its dtype as in `relu`. NaN stays NaN.

    Raises
    ------
    TypeError, ValueError
        As `relu`.

    See Also
    --------
    relu6_backward : the gradient.

    References
    ----------
    ``torch.nn.functional.relu6``. A. Howard et al., "MobileNets", arXiv:1704.04861.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> F.relu6(np.array([-1.0, 2.0, 9.0]))
    array([0., 2., 6.])
    """
    return forward("relu6", _core.RELU6, input, inplace)


def relu6_backward(grad_output: ArrayLike, input: ArrayLike, inplace: bool = False) -> Array:
    r"""Gradient of `relu6`: that of the output where :math:`0 < x < 6`, else zero.

    Parameters
    ----------
    grad_output : array_like
        Gradient of the output, of the input's shape.
    input : array_like
        As it was given to `relu6`; its result serves as well, since both are between 0 and 6 at the same places.
    inplace : bool
        Accepted, so that the arguments of `relu6` can be passed on; changes nothing.

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
    >>> F.relu6_backward(np.array([5.0, 5.0, 5.0]), np.array([-1.0, 2.0, 9.0]))
    array([0., 5., 0.])
    """
    return backward("relu6_backward", _core.RELU6, grad_output, input)


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
    return forward("sigmoid", _core.SIGMOID, input)


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
    return _from_output("sigmoid_backward", _core.SIGMOID, grad_output, input, output)


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
    return forward("tanh", _core.TANH, input)


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
    return _from_output("tanh_backward", _core.TANH, grad_output, input, output)


def _from_output(function: str, activation: int, grad_output: Any, input: Any, output: Any) -> Array:
    if output is not None:
        return backward(function, activation, grad_output, output, "output")
    return backward(function, activation, grad_output, forward(function, activation, input))
