"""Normalization over the batch, layers or groups of channels, and its gradients."""

import math
import operator
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fastconv import _core
from fastconv._checks import Array, Dtype, channels_last, check_shape, deliver, flag, number, to_array
from fastconv._memory import empty_like
from fastconv.functional._reduction import operands

Gradients = tuple[Array, Array | None, Array | None]

_OPTIONAL = ("grad_output", "weight", "bias")


def batch_norm(
    input: ArrayLike,
    running_mean: ArrayLike | None,
    running_var: ArrayLike | None,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    data_format: str = "channels_first",
) -> Array:
    r"""Batch normalization: each channel with its mean and variance, and then a weight and a bias of its own.

    .. math:: y = \frac{x - \mu_c}{\sqrt{\sigma^2_c + \epsilon}} w_c + b_c

    In training :math:`\mu_c` and :math:`\sigma^2_c` are mean and mean squared deviation of channel c over all images
    and positions, else the running statistics.

    Parameters
    ----------
    input : array_like, shape (n, c) or (n, c, ...)
        With ``data_format="channels_last"``: (n, ..., c). `n` may be 0.
    running_mean, running_var : array_like of shape (c,), or None
        None is allowed in training only. With ``training=True`` they must be writable arrays of a float dtype, and
        are updated in place: ``running = (1 - momentum) * running + momentum * statistic``, where the variance is that
        of the sample, with the divisor m - 1 for m values. No other argument is ever modified.
    weight, bias : array_like of shape (c,), optional
        By default 1 and 0.
    training : bool
        Normalize with the statistics of the batch.
    momentum : float
        Share of the batch in the running statistics.
    eps : float
        Keeps the divisor away from 0.
    data_format : {"channels_first", "channels_last"}

    Returns
    -------
    ndarray, of the input's shape
        Of the dtype ``np.result_type(input, weight, bias)``, where float16 is computed in float32, and integers and
        booleans become ``np.result_type(..., np.float32)``. The running statistics have no part in it.

    Raises
    ------
    TypeError
        Complex, object or masked arrays; numbers that are none; in training, running statistics that are no float
        arrays.
    ValueError
        Shapes that do not fit; no running statistics without `training`; in training, one value per channel, which
        has no variance, or read-only running statistics.
    MemoryError
        No memory for the result.

    See Also
    --------
    batch_norm_backward : the gradients.

    Notes
    -----
    The moments are found in two passes over pieces that stay in cache, and combined in double precision: a mean that
    is large beside the deviation costs no digits. Training reads the input twice from memory.

    References
    ----------
    ``torch.nn.functional.batch_norm``. S. Ioffe, C. Szegedy, "Batch Normalization", 2015, arXiv:1502.03167. T. Chan,
    G. Golub, R. LeVeque, "Algorithms for Computing the Sample Variance", The American Statistician 37, 1983.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> x = np.array([[1.0, 20.0], [3.0, 60.0]])
    >>> mean, var = np.zeros(2), np.ones(2)
    >>> F.batch_norm(x, mean, var, training=True).round(4)
    array([[-1., -1.],
           [ 1.,  1.]])
    >>> mean
    array([0.2, 4. ])
    >>> F.batch_norm(x, mean, var, eps=0.0)[0].round(4)
    array([0.7628, 1.7789])
    """
    call = _batch_call("batch_norm", data_format, training, eps, None, input, weight, bias)
    momentum = number("batch_norm", "momentum", momentum)
    running = {"running_mean": running_mean, "running_var": running_var}
    y = empty_like(call.x)
    if not training:
        mean, variance = given_statistics("batch_norm", running, call.channels)
        _core.norm_forward(*call.leading, call.x, call.weight, call.bias, y, mean, variance, _core.CONSTANT)
        return deliver(y, None, call.dtype)
    for name, array in running.items():
        _check_running("batch_norm", name, array, call.channels)
    mean, variance = np.zeros((2, call.channels))
    _core.norm_forward(*call.leading, call.x, call.weight, call.bias, y, mean, variance)
    values = call.x.size // max(call.channels, 1)
    if values > 1:
        _update(running_mean, mean, momentum)
        _update(running_var, variance * (values / (values - 1)), momentum)
    return deliver(y, None, call.dtype)


def batch_norm_backward(
    grad_output: ArrayLike,
    input: ArrayLike,
    running_mean: ArrayLike | None,
    running_var: ArrayLike | None,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    data_format: str = "channels_first",
) -> Gradients:
    r"""Gradients of `batch_norm`.

    .. math::

        \hat x = \frac{x - \mu_c}{\sqrt{\sigma^2_c + \epsilon}}, \quad
        \frac{\partial L}{\partial w_c} = \sum g \hat x, \quad
        \frac{\partial L}{\partial b_c} = \sum g, \quad
        \frac{\partial L}{\partial x} = \frac{w_c}{\sqrt{\sigma^2_c + \epsilon}}
        \big( g - \operatorname{mean}(g) - \hat x \operatorname{mean}(g \hat x) \big)

    with :math:`g = \partial L / \partial y`, sums and means over the channel. Without `training` the statistics are
    constants, and the two means are left out.

    Parameters
    ----------
    grad_output : array_like
        Gradient of the output, of the input's shape.
    input, running_mean, running_var, weight, bias, training, momentum, eps, data_format
        As they were given to `batch_norm`. In training the running statistics are not looked at: the update does not
        depend on the output. `bias` only says whether its gradient is wanted.

    Returns
    -------
    grad_input : ndarray, of the input's shape
    grad_weight, grad_bias : ndarray of shape (c,), or None
        None where weight or bias is None.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `batch_norm`; also a `grad_output` of another shape than the input.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> gy, x = np.array([[1.0], [0.0], [0.0]]), np.array([[-1.0], [0.0], [1.0]])
    >>> gx, gw, gb = F.batch_norm_backward(gy, x, None, None, [3.0], [0.0], training=True, eps=0.0)
    >>> gx.ravel().round(4), gw.round(4), gb
    (array([ 0.6124, -1.2247,  0.6124]), array([-1.2247]), array([1.]))
    """
    name = "batch_norm_backward"
    call = _batch_call(name, data_format, training, eps, grad_output, input, weight, bias)
    number(name, "momentum", momentum)
    if training:
        return _gradients(name, call)
    running = {"running_mean": running_mean, "running_var": running_var}
    return _gradients(name, call, *given_statistics(name, running, call.channels), _core.CONSTANT)


def layer_norm(
    input: ArrayLike,
    normalized_shape: int | Sequence[int],
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    eps: float = 1e-5,
) -> Array:
    r"""Layer normalization: over the last axes, with a weight and a bias for each of their elements.

    .. math:: y = \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} w + b

    Parameters
    ----------
    input : array_like, shape (..., *normalized_shape)
    normalized_shape : int or sequence of int
        The last sizes of the input's shape: the axes that mean :math:`\mu` and mean squared deviation
        :math:`\sigma^2` are taken over.
    weight, bias : array_like of shape `normalized_shape`, optional
        By default 1 and 0.
    eps : float
        Keeps the divisor away from 0.

    Returns
    -------
    ndarray, of the input's shape
        Its dtype as in `batch_norm`.

    Raises
    ------
    TypeError
        Complex, object or masked arrays; numbers that are none.
    ValueError
        Shapes that do not fit.
    MemoryError
        No memory for the result.

    See Also
    --------
    layer_norm_backward : the gradients.

    References
    ----------
    ``torch.nn.functional.layer_norm``. J. Ba, J. Kiros, G. Hinton, "Layer Normalization", 2016, arXiv:1607.06450.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> F.layer_norm(np.array([[1.0, 3.0], [50.0, 10.0]]), 2).round(4)
    array([[-1.,  1.],
           [ 1., -1.]])
    """
    call = _layer_call("layer_norm", normalized_shape, eps, None, input, weight, bias)
    return _normalized(call)


def layer_norm_backward(
    grad_output: ArrayLike,
    input: ArrayLike,
    normalized_shape: int | Sequence[int],
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    eps: float = 1e-5,
) -> Gradients:
    r"""Gradients of `layer_norm`.

    .. math::

        \frac{\partial L}{\partial x} = \frac{1}{\sqrt{\sigma^2 + \epsilon}}
        \big( w g - \operatorname{mean}(w g) - \hat x \operatorname{mean}(w g \hat x) \big)

    with :math:`g` and :math:`\hat x` as in `batch_norm_backward`, means over `normalized_shape`. The gradients of
    weight and bias are the sums of :math:`g \hat x` and :math:`g` over all other axes.

    Parameters
    ----------
    grad_output : array_like
        Gradient of the output, of the input's shape.
    input, normalized_shape, weight, bias, eps
        As they were given to `layer_norm`. `bias` only says whether its gradient is wanted.

    Returns
    -------
    grad_input : ndarray, of the input's shape
    grad_weight, grad_bias : ndarray of shape `normalized_shape`, or None
        None where weight or bias is None.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `layer_norm`; also a `grad_output` of another shape than the input.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> gx, gw, gb = F.layer_norm_backward([[1.0, 0.0, 0.0]], [[-1.0, 0.0, 1.0]], 3, np.ones(3), eps=0.0)
    >>> gx.round(4), gw.round(4), gb
    (array([[ 0.2041, -0.4082,  0.2041]]), array([-1.2247,  0.    ,  0.    ]), None)
    """
    name = "layer_norm_backward"
    return _gradients(name, _layer_call(name, normalized_shape, eps, grad_output, input, weight, bias))


def group_norm(
    input: ArrayLike,
    num_groups: int,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    eps: float = 1e-5,
    *,
    data_format: str = "channels_first",
) -> Array:
    r"""Group normalization: over the positions and a group of neighbouring channels of each image.

    .. math:: y = \frac{x - \mu_{n, g}}{\sqrt{\sigma^2_{n, g} + \epsilon}} w_c + b_c

    One group is layer normalization over all of an image, one for each channel is instance normalization.

    Parameters
    ----------
    input : array_like, shape (n, c) or (n, c, ...)
        With ``data_format="channels_last"``: (n, ..., c).
    num_groups : int
        Divides the number of channels.
    weight, bias : array_like of shape (c,), optional
        By default 1 and 0.
    eps : float
        Keeps the divisor away from 0.
    data_format : {"channels_first", "channels_last"}

    Returns
    -------
    ndarray, of the input's shape
        Its dtype as in `batch_norm`.

    Raises
    ------
    TypeError
        Complex, object or masked arrays; numbers that are none.
    ValueError
        Shapes that do not fit; a number of groups that does not divide the channels.
    MemoryError
        No memory for the result.

    See Also
    --------
    group_norm_backward : the gradients.

    References
    ----------
    ``torch.nn.functional.group_norm``. Y. Wu, K. He, "Group Normalization", 2018, arXiv:1803.08494.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> F.group_norm(np.array([[1.0, 3.0, 50.0, 10.0]]), 2).round(4)
    array([[-1.,  1.,  1., -1.]])
    """
    return _normalized(_group_call("group_norm", num_groups, data_format, eps, None, input, weight, bias))


def group_norm_backward(
    grad_output: ArrayLike,
    input: ArrayLike,
    num_groups: int,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    eps: float = 1e-5,
    *,
    data_format: str = "channels_first",
) -> Gradients:
    r"""Gradients of `group_norm`: as in `layer_norm_backward`, with means over a group of an image.

    Parameters
    ----------
    grad_output : array_like
        Gradient of the output, of the input's shape.
    input, num_groups, weight, bias, eps, data_format
        As they were given to `group_norm`. `bias` only says whether its gradient is wanted.

    Returns
    -------
    grad_input : ndarray, of the input's shape
    grad_weight, grad_bias : ndarray of shape (c,), or None
        None where weight or bias is None.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `group_norm`; also a `grad_output` of another shape than the input.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> gx, _, _ = F.group_norm_backward([[1.0, 0.0, 0.0, 4.0]], [[-1.0, 1.0, -2.0, 2.0]], 1, eps=0.0)
    >>> gx.round(4)
    array([[ 0.2846, -1.2333,  0.0949,  0.8538]])
    """
    name = "group_norm_backward"
    return _gradients(name, _group_call(name, num_groups, data_format, eps, grad_output, input, weight, bias))


class _Call(NamedTuple):
    """The arguments of one call, as the core takes them."""

    shape: tuple[int, int, int, int]  # n, channels, pixels, groups
    last: bool
    eps: float
    dtype: Dtype
    x: Array
    grad_output: Array | None
    weight: Array | None
    bias: Array | None

    @property
    def channels(self) -> int:
        return self.shape[1]

    @property
    def leading(self) -> tuple[tuple[int, int, int, int], bool, float]:
        return self.shape, self.last, self.eps


def _normalized(call: _Call) -> Array:
    y = empty_like(call.x)
    _core.norm_forward(*call.leading, call.x, call.weight, call.bias, y)
    return deliver(y, None, call.dtype)


def _gradients(name: str, call: _Call, *statistics: Any) -> Gradients:
    gy = to_array(name, "grad_output", call.grad_output)
    gx = empty_like(call.x)
    gw, gb = (np.empty(call.channels, gx.dtype) for _ in range(2))
    _core.norm_backward(*call.leading, call.x, gy, call.weight, call.bias, gx, gw, gb, *statistics)
    return (
        deliver(gx, None, call.dtype),
        None if call.weight is None else deliver(gw.reshape(call.weight.shape), None, call.dtype),
        None if call.bias is None else deliver(gb.reshape(call.bias.shape), None, call.dtype),
    )


def _batch_call(
    name: str, data_format: str, training: bool, eps: float, grad_output: Any, input: Any, weight: Any, bias: Any
) -> _Call:
    training = flag(name, "training", training)
    call = _channels_call(name, data_format, 0, eps, grad_output, input, weight, bias)
    n, channels, pixels, _ = call.shape
    if training and n * pixels == 1 and channels > 0:
        raise ValueError(
            f"{name}: input must have more than one value per channel in training, got shape {call.x.shape}"
        )
    return call


def _group_call(
    name: str, num_groups: int, data_format: str, eps: float, grad_output: Any, input: Any, weight: Any, bias: Any
) -> _Call:
    groups = _integer(name, "num_groups", "be an integer", num_groups)
    call = _channels_call(name, data_format, groups, eps, grad_output, input, weight, bias)
    if groups < 1 or call.channels % groups:
        raise ValueError(f"{name}: num_groups must divide the {call.channels} channels of input, got {groups}")
    return call


def _channels_call(
    name: str, data_format: str, groups: int, eps: float, grad_output: Any, input: Any, weight: Any, bias: Any
) -> _Call:
    last = channels_last(name, data_format)
    (x, gy, w, b), dtype = operands(name, _OPTIONAL, input=input, grad_output=grad_output, weight=weight, bias=bias)
    if x.ndim < 2:
        raise ValueError(f"{name}: input must have at least the axes (n, c), got shape {x.shape}")
    n, (*spatial, channels) = x.shape[0], x.shape[1:] if last else (*x.shape[2:], x.shape[1])
    _check_parameters(name, (channels,), ", one number for each channel", w, b)
    _check_grad(name, gy, x)
    return _Call((n, channels, math.prod(spatial), groups), last, number(name, "eps", eps), dtype, x, gy, w, b)


def _layer_call(
    name: str, normalized_shape: Any, eps: float, grad_output: Any, input: Any, weight: Any, bias: Any
) -> _Call:
    try:
        entries = tuple(normalized_shape)
    except TypeError:
        entries = (normalized_shape,)
    normalized = tuple(_integer(name, "normalized_shape", "consist of integers", entry) for entry in entries)
    (x, gy, w, b), dtype = operands(name, _OPTIONAL, input=input, grad_output=grad_output, weight=weight, bias=bias)
    if not normalized or x.shape[-len(normalized) :] != normalized:
        raise ValueError(
            f"{name}: normalized_shape must be the last sizes of input's shape {x.shape}, got {normalized}"
        )
    _check_parameters(name, normalized, ", that of normalized_shape", w, b)
    _check_grad(name, gy, x)
    rows = math.prod(x.shape[: x.ndim - len(normalized)])
    return _Call((rows, math.prod(normalized), 1, 1), True, number(name, "eps", eps), dtype, x, gy, w, b)


def _check_parameters(name: str, shape: tuple[int, ...], reason: str, weight: Array | None, bias: Array | None) -> None:
    for argument, array in (("weight", weight), ("bias", bias)):
        if array is not None:
            check_shape(name, argument, array, shape, reason)


def _check_grad(name: str, grad_output: Array | None, x: Array) -> None:
    if grad_output is not None:
        check_shape(name, "grad_output", grad_output, x.shape, ", that of input")


def given_statistics(name: str, given: Mapping[str, Any], channels: int) -> list[Array]:
    """Return statistics, by the names of their arguments, as the core takes them."""
    found = []
    for argument, value in given.items():
        if value is None:
            raise ValueError(f"{name}: {argument} must be given without training, got None")
        array = to_array(name, argument, value)
        check_shape(name, argument, array, (channels,), ", one number for each channel")
        found.append(np.require(array, np.float64, ("C", "A")))
    return found


def _check_running(name: str, argument: str, array: Any, channels: int) -> None:
    """Refuse what could not be updated in place."""
    if array is None:
        return
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name}: {argument} must be an ndarray in training, got {type(array).__name__}")
    if to_array(name, argument, array).dtype.kind != "f":
        raise TypeError(f"{name}: {argument} must have a float dtype in training, got {array.dtype}")
    check_shape(name, argument, array, (channels,), ", one number for each channel")
    if not array.flags.writeable:
        raise ValueError(f"{name}: {argument} must be writable in training, got a read-only array")


def _update(running: Any, statistic: Array, momentum: float) -> None:
    if running is not None:
        running[...] = (1 - momentum) * running.astype(np.float64) + momentum * statistic


def _integer(name: str, argument: str, rule: str, value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name}: {argument} must {rule}, got {value!r}") from None
