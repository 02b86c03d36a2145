"""Activations that bend smoothly, and their gradients."""

from numpy.typing import ArrayLike

from fastconv import _core
from fastconv._checks import Array, number, one_of
from fastconv.functional._elementwise import backward, forward


def elu(input: ArrayLike, alpha: float = 1.0, inplace: bool = False) -> Array:
    r"""Exponential linear unit, :math:`y = x` where :math:`x > 0`, else :math:`\alpha (e^x - 1)`.

    Parameters
    ----------
    input : array_like, of any shape
    alpha : float
        The limit for :math:`x \to -\infty` is :math:`-\alpha`.
    inplace : bool
        Write the result to `input`, which must be a writable array of a float dtype, and return it.

    Returns
    -------
    ndarray, of the input's shape
        Its dtype as in `relu`. Within 3 units in the last place.

    Raises
    ------
    TypeError, ValueError
        As `relu`; also a TypeError for an `alpha` that is no number.

    See Also
    --------
    elu_backward : the gradient.

    References
    ----------
    ``torch.nn.functional.elu``. D. Clevert, T. Unterthiner, S. Hochreiter, "Fast and Accurate Deep Network Learning by
    Exponential Linear Units (ELUs)", arXiv:1511.07289.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> F.elu(np.array([-1000.0, 2.0]), 0.5)
    array([-0.5,  2. ])
    """
    return forward("elu", _core.ELU, input, inplace, slope=number("elu", "alpha", alpha))


def elu_backward(
    grad_output: ArrayLike,
    input: ArrayLike | None,
    alpha: float = 1.0,
    inplace: bool = False,
    *,
    output: ArrayLike | None = None,
) -> Array:
    r"""Gradient of `elu`: that of the output where :math:`x > 0`, else :math:`\alpha e^x` times it.

    Parameters
    ----------
    grad_output : array_like
        Gradient of the output, of the input's shape.
    input, alpha
        As they were given to `elu`. The input is not looked at where `output` is given; None will then do.
    inplace : bool
        Accepted, so that the arguments of `elu` can be passed on; changes nothing.
    output : array_like, optional
        What `elu` returned. :math:`\alpha e^x = y + \alpha` then takes no exponential, but is rounded to multiples of
        an epsilon of :math:`\alpha`. `alpha` must not be negative, or the output would not tell the sign of the input.

    Returns
    -------
    ndarray, of the input's shape
        Its dtype is ``np.result_type`` of the two arrays by the rule of `relu`.

    Raises
    ------
    TypeError, ValueError
        As `relu_backward`; also a ValueError for `output` with a negative `alpha`.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> F.elu_backward(np.array([4.0, 4.0]), None, output=np.array([-0.5, 2.0]))
    array([2., 4.])
    """
    name = "elu_backward"
    slope = number(name, "alpha", alpha)
    if output is None:
        return backward(name, _core.ELU, grad_output, input, slope=slope)
    if slope < 0:
        raise ValueError(f"{name}: alpha must not be negative where output is given, got {alpha!r}")
    return backward(name, _core.ELU_OUTPUT, grad_output, output, "output", slope=slope)


def gelu(input: ArrayLike, approximate: str = "none") -> Array:
    r"""Gaussian error linear unit, :math:`y = x \Phi(x)` with the distribution function of the normal distribution.

    .. math:: \Phi(x) = \frac12 \left(1 + \operatorname{erf} \frac{x}{\sqrt 2}\right) \approx
        \frac12 \left(1 + \tanh\left(\sqrt{\tfrac2\pi} \, (x + 0.044715 x^3)\right)\right)

    Parameters
    ----------
    input : array_like, of any shape
    approximate : {"none", "tanh"}
        "tanh" takes the second formula, which differs from the first by up to 0.0005.

    Returns
    -------
    ndarray, of the input's shape
        Its dtype as in `relu`. Within 6 units in the last place (7 on processors without fused multiply-adds), also
        where :math:`\Phi` is close to zero; "tanh" is there within as many as an argument of that size costs an
        exponential. Minus infinity gives zero, the limit,
        where torch has NaN.

    Raises
    ------
    TypeError
        As `relu`.
    ValueError
        An `approximate` that is neither "none" nor "tanh".

    See Also
    --------
    gelu_backward : the gradient.

    References
    ----------
    ``torch.nn.functional.gelu``. D. Hendrycks, K. Gimpel, "Gaussian Error Linear Units (GELUs)", arXiv:1606.08415.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> F.gelu(np.array([-1.0, 0.0, 1.0])).round(4)
    array([-0.1587,  0.    ,  0.8413])
    """
    return forward("gelu", _gelu("gelu", approximate), input)


def gelu_backward(grad_output: ArrayLike, input: ArrayLike, approximate: str = "none") -> Array:
    r"""Gradient of `gelu`, :math:`\Phi(x) + x \Phi'(x)` times that of the output.

    Parameters
    ----------
    grad_output : array_like
        Gradient of the output, of the input's shape.
    input, approximate
        As they were given to `gelu`.

    Returns
    -------
    ndarray, of the input's shape
        Its dtype is ``np.result_type(grad_output, input)`` by the rule of `relu`.

    Raises
    ------
    TypeError, ValueError
        As `gelu`; also a `grad_output` of another shape than the input.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> F.gelu_backward(np.array([5.0]), np.array([0.0]))
    array([2.5])
    """
    return backward("gelu_backward", _gelu("gelu_backward", approximate), grad_output, input)


def silu(input: ArrayLike, inplace: bool = False) -> Array:
    r"""Sigmoid linear unit, also called swish, :math:`y = \frac{x}{1 + e^{-x}}`.

    Parameters
    ----------
    input : array_like, of any shape
    inplace : bool
        Write the result to `input`, which must be a writable array of a float dtype, and return it.

    Returns
    -------
    ndarray, of the input's shape
        Its dtype as in `relu`. Within 3 units in the last place. Minus infinity gives zero, the limit, where torch has
        NaN.

    Raises
    ------
    TypeError, ValueError
        As `relu`.

    See Also
    --------
    silu_backward : the gradient.

    References
    ----------
    ``torch.nn.functional.silu``. S. Elfwing, E. Uchibe, K. Doya, "Sigmoid-Weighted Linear Units for Neural Network
    Function Approximation in Reinforcement Learning", arXiv:1702.03118.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> F.silu(np.array([-1000.0, 0.0, 1000.0]))
    array([  -0.,    0., 1000.])
    """
    return forward("silu", _core.SILU, input, inplace)


def silu_backward(grad_output: ArrayLike, input: ArrayLike, inplace: bool = False) -> Array:
    r"""Gradient of `silu`, :math:`s (1 + x (1 - s))` times that of the output, with the sigmoid s of x.

    Parameters
    ----------
    grad_output : array_like
        Gradient of the output, of the input's shape.
    input : array_like
        As it was given to `silu`.
    inplace : bool
        Accepted, so that the arguments of `silu` can be passed on; changes nothing.

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
    >>> F.silu_backward(np.array([4.0]), np.array([0.0]))
    array([2.])
    """
    return backward("silu_backward", _core.SILU, grad_output, input)


def softplus(input: ArrayLike, beta: float = 1.0, threshold: float = 20.0) -> Array:
    r"""Smooth form of ReLU, :math:`y = \frac1\beta \log(1 + e^{\beta x})`.

    Parameters
    ----------
    input : array_like, of any shape
    beta : float
        Not 0.
    threshold : float
        Where :math:`\beta x` is above it the result is x itself. ``float("inf")`` for the formula everywhere: it does
        not overflow here.

    Returns
    -------
    ndarray, of the input's shape
        Its dtype as in `relu`. Within 4 units in the last place, also where it is close to zero.

    Raises
    ------
    TypeError
        As `relu`; also a `beta` or `threshold` that is no number.
    ValueError
        A `beta` of 0.

    See Also
    --------
    softplus_backward : the gradient.

    References
    ----------
    ``torch.nn.functional.softplus``.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> F.softplus(np.array([-1000.0, 0.0, 10.0])).round(4)
    array([ 0.    ,  0.6931, 10.    ])
    """
    slope, limit = _softplus("softplus", beta, threshold)
    return forward("softplus", _core.SOFTPLUS, input, slope=slope, threshold=limit)


def softplus_backward(grad_output: ArrayLike, input: ArrayLike, beta: float = 1.0, threshold: float = 20.0) -> Array:
    r"""Gradient of `softplus`: the sigmoid of :math:`\beta x` times that of the output, which itself above `threshold`.

    Parameters
    ----------
    grad_output : array_like
        Gradient of the output, of the input's shape.
    input, beta, threshold
        As they were given to `softplus`.

    Returns
    -------
    ndarray, of the input's shape
        Its dtype is ``np.result_type(grad_output, input)`` by the rule of `relu`.

    Raises
    ------
    TypeError, ValueError
        As `softplus`; also a `grad_output` of another shape than the input.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> F.softplus_backward(np.array([4.0, 4.0]), np.array([0.0, 1000.0]))
    array([2., 4.])
    """
    name = "softplus_backward"
    slope, limit = _softplus(name, beta, threshold)
    return backward(name, _core.SOFTPLUS, grad_output, input, slope=slope, threshold=limit)


def _gelu(function: str, approximate: str) -> int:
    one_of(function, "approximate", approximate, ("none", "tanh"))
    return _core.GELU if approximate == "none" else _core.GELU_TANH


def _softplus(function: str, beta: float, threshold: float) -> tuple[float, float]:
    slope = number(function, "beta", beta)
    if slope == 0:
        raise ValueError(f"{function}: beta must not be 0, got {beta!r}")
    return slope, number(function, "threshold", threshold)
