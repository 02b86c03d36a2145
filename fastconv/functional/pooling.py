"""Pooling and its gradients."""

import operator
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike

from fastconv import _core
from fastconv._checks import Array, channels_last, check_shape, deliver, to_array, to_arrays
from fastconv.geometry import pool_geometry


@overload
def max_pool2d(
    input: ArrayLike,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: Literal[False] = False,
    *,
    data_format: str = "channels_first",
) -> Array: ...
@overload
def max_pool2d(
    input: ArrayLike,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    *,
    return_indices: Literal[True],
    data_format: str = "channels_first",
) -> tuple[Array, Array]: ...
@overload
def max_pool2d(
    input: ArrayLike,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    data_format: str = "channels_first",
) -> Array | tuple[Array, Array]: ...
def max_pool2d(
    input: ArrayLike,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    data_format: str = "channels_first",
) -> Array | tuple[Array, Array]:
    r"""Maximum of each window.

    .. math:: y[n, c, i, j] = \max_{u, v} x[n, c, i s_h + u r_h - p_t, j s_w + v r_w - p_l]

    over the elements of the window that lie in `x`: padding never wins. NaN does.

    Parameters
    ----------
    input : array_like, shape (n, c, ih, iw) or (c, ih, iw)
        With ``data_format="channels_last"``: (n, ih, iw, c) or (ih, iw, c). `n` may be 0.
    kernel_size : int or tuple of int
        Size of the window: one number, or one for height and one for width.
    stride : int or tuple of int, optional
        Step from window to window. None and () mean the kernel size.
    padding : int, tuple or str
        As in `conv2d`: a number, one per axis, a pair (before, after) per axis, "valid" or "same". Numbers are at
        most half of the kernel size.
    dilation : int or tuple of int
        Step within a window.
    ceil_mode : bool
        Round the number of windows up, so that a remainder at the end has one too. A window that would start past the
        input and its left padding is left out.
    return_indices : bool
        Return the positions of the maxima too.
    data_format : {"channels_first", "channels_last"}

    Returns
    -------
    output : ndarray, shape (n, c, oh, ow) or (c, oh, ow)
        In the layout of the input. float16, float32 and float64 keep their dtype; integers and booleans become
        ``np.result_type(input, np.float32)``.
    indices : ndarray of int64, of the output's shape
        With `return_indices`: position ``row * iw + column`` in the input's channel of the maximum, of the first one
        where there are several (of several NaN the last, as in torch); -1 where no element of a dilated window lies in
        the input, whose output is minus infinity.

    Raises
    ------
    TypeError
        Complex, object or masked arrays; a size, stride, padding or dilation that is not made of integers.
    ValueError
        A shape or number out of range, padding of more than half of the kernel size, an empty output, an unknown word.
    MemoryError
        No memory for the result.

    See Also
    --------
    max_pool2d_backward : the gradient.

    References
    ----------
    ``torch.nn.functional.max_pool2d``, with the asymmetric and "same" padding of TensorFlow.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> rows = "01000 01110 10021 14210 00121"
    >>> x = np.array([[[int(value) for value in row] for row in rows.split()]], np.float32)
    >>> y, indices = F.max_pool2d(x, 2, ceil_mode=True, return_indices=True)
    >>> y[0]
    array([[1., 1., 0.],
           [4., 2., 1.],
           [0., 2., 1.]], dtype=float32)
    >>> indices[0]
    array([[ 1,  7,  4],
           [16, 13, 14],
           [20, 23, 24]])
    """
    last = channels_last("max_pool2d", data_format)
    (x,), dtype = to_arrays("max_pool2d", ("input",), (input,))
    geometry, shape = pool_geometry(
        "max_pool2d", x.shape, kernel_size, stride, padding, dilation, ceil_mode, channels_last=last
    )
    y = np.empty(shape, x.dtype)
    indices = np.empty(shape, np.int64) if return_indices else None
    _core.max_pool_forward(geometry, last, x, y, indices)
    output = deliver(y, None, dtype)
    return output if indices is None else (output, indices)


def max_pool2d_backward(
    grad_output: ArrayLike,
    input: ArrayLike,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    indices: ArrayLike | None = None,
    data_format: str = "channels_first",
) -> Array:
    r"""Gradient of max pooling: each window's gradient goes to its first maximum.

    .. math::

        \frac{\partial L}{\partial x[n, c, p, q]} = \sum_{i, j} \frac{\partial L}{\partial y[n, c, i, j]}
        \quad \text{over the windows whose first maximum is at } (p, q)

    Parameters
    ----------
    grad_output : array_like
        Gradient of the output, of the output's shape.
    input, kernel_size, stride, padding, dilation, ceil_mode, data_format
        As they were given to `max_pool2d`.
    return_indices : bool
        Accepted, so that the arguments of `max_pool2d` can be passed on; changes nothing.
    indices : array_like of int, optional
        What `max_pool2d` returned with ``return_indices=True``; the maxima are then not looked for again, and of
        `input` only shape and dtype matter.

    Returns
    -------
    ndarray, of the input's shape
        Its dtype is ``np.result_type(grad_output, input)`` by the rule of `max_pool2d`.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `max_pool2d`; also a `grad_output` or `indices` of another shape than the output, and indices that are not
        integers or lie outside of the input.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> x = np.array([[[1.0, 2.0, 5.0, 5.0], [3.0, 0.0, 5.0, 5.0]]])
    >>> F.max_pool2d_backward(np.array([[[10.0, 20.0]]]), x, 2)[0]
    array([[ 0.,  0., 20.,  0.],
           [10.,  0.,  0.,  0.]])
    """
    name = "max_pool2d_backward"
    last = channels_last(name, data_format)
    (gy, x), dtype = to_arrays(name, ("grad_output", "input"), (grad_output, input))
    geometry, shape = pool_geometry(
        name, x.shape, kernel_size, stride, padding, dilation, ceil_mode, channels_last=last
    )
    check_shape(name, "grad_output", gy, shape, ", that of the output")
    positions = None
    if indices is not None:
        positions = to_array(name, "indices", indices)
        check_shape(name, "indices", positions, shape, ", that of the output")
        if positions.dtype.kind not in "iu":
            raise TypeError(f"{name}: indices must be integers, got {positions.dtype}")
        positions = np.require(positions, np.int64, ("C", "A"))
    gx = np.empty_like(x)
    try:
        _core.max_pool_backward(geometry, last, x, gy, positions, gx)
    except ValueError:
        # All else is checked above. The core looks at each index in any case, so they are not read twice.
        if positions is None:
            raise
        pixels = geometry.input[1] * geometry.input[2]
        raise ValueError(
            f"{name}: indices must be positions in {geometry.input[1]} * {geometry.input[2]} = {pixels} pixels, "
            f"got values from {positions.min()} to {positions.max()}"
        ) from None
    return deliver(gx, None, dtype)


def avg_pool2d(
    input: ArrayLike,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    data_format: str = "channels_first",
) -> Array:
    r"""Mean of each window.

    .. math:: y[n, c, i, j] = \frac{1}{D} \sum_{u, v} x[n, c, i s_h + u - p_t, j s_w + v - p_l]

    with zero outside of `x`, and :math:`D` the number of elements of the window: those of `x` and its padding (an
    overhang of `ceil_mode` never counts), those of `x` only without `count_include_pad`, or `divisor_override`.

    Parameters
    ----------
    input : array_like, shape (n, c, ih, iw) or (c, ih, iw)
        With ``data_format="channels_last"``: (n, ih, iw, c) or (ih, iw, c). `n` may be 0.
    kernel_size, stride, padding, ceil_mode, data_format
        As in `max_pool2d`.
    count_include_pad : bool
        Whether the divisor counts padding. False is what Keras does.
    divisor_override : int, optional
        The divisor, whatever the window; not 0.

    Returns
    -------
    ndarray, shape (n, c, oh, ow) or (c, oh, ow)
        In the layout of the input. float16, float32 and float64 keep their dtype; integers and booleans become
        ``np.result_type(input, np.float32)``.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `max_pool2d`; also a divisor of 0 or that is no integer.

    See Also
    --------
    avg_pool2d_backward : the gradient.

    References
    ----------
    ``torch.nn.functional.avg_pool2d``, with the asymmetric and "same" padding of TensorFlow.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> x = np.array([[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]])
    >>> F.avg_pool2d(x, 2, ceil_mode=True)
    array([[[3. , 4.5]]])
    >>> F.avg_pool2d(x, 2, padding="same", count_include_pad=False)
    array([[[3. , 4.5]]])
    >>> F.avg_pool2d(x, 2, padding="same")
    array([[[3.  , 2.25]]])
    """
    last = channels_last("avg_pool2d", data_format)
    (x,), dtype = to_arrays("avg_pool2d", ("input",), (input,))
    geometry, shape = pool_geometry(
        "avg_pool2d", x.shape, kernel_size, stride, padding, 1, ceil_mode, channels_last=last
    )
    divisor = _divisor("avg_pool2d", divisor_override)
    y = np.empty(shape, x.dtype)
    _core.avg_pool_forward(geometry, last, x, y, bool(count_include_pad), divisor)
    return deliver(y, None, dtype)


def avg_pool2d_backward(
    grad_output: ArrayLike,
    input: ArrayLike,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    data_format: str = "channels_first",
) -> Array:
    r"""Gradient of average pooling: each window's gradient, over its divisor, goes to all its elements.

    .. math::

        \frac{\partial L}{\partial x[n, c, p, q]} = \sum_{i, j} \frac{1}{D} \frac{\partial L}{\partial y[n, c, i, j]}
        \quad \text{over the windows that hold } (p, q)

    Parameters
    ----------
    grad_output : array_like
        Gradient of the output, of the output's shape.
    input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, data_format
        As they were given to `avg_pool2d`. Of `input` only shape and dtype matter.

    Returns
    -------
    ndarray, of the input's shape
        Its dtype is ``np.result_type(grad_output, input)`` by the rule of `avg_pool2d`.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `avg_pool2d`; also a `grad_output` of another shape than the output.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> F.avg_pool2d_backward(np.array([[[4.0, 8.0]]]), np.zeros((1, 2, 4)), 2)
    array([[[1., 1., 2., 2.],
            [1., 1., 2., 2.]]])
    """
    name = "avg_pool2d_backward"
    last = channels_last(name, data_format)
    (gy, x), dtype = to_arrays(name, ("grad_output", "input"), (grad_output, input))
    geometry, shape = pool_geometry(name, x.shape, kernel_size, stride, padding, 1, ceil_mode, channels_last=last)
    check_shape(name, "grad_output", gy, shape, ", that of the output")
    divisor = _divisor(name, divisor_override)
    gx = np.empty_like(x)
    _core.avg_pool_backward(geometry, last, gy, gx, bool(count_include_pad), divisor)
    return deliver(gx, None, dtype)


def _divisor(function: str, divisor_override: int | None) -> int:
    """Convert to the core's form, where 0 stands for the number of elements."""
    if divisor_override is None:
        return 0
    try:
        divisor = operator.index(divisor_override)
    except TypeError:
        raise TypeError(f"{function}: divisor_override must be an integer, got {divisor_override!r}") from None
    if not 0 < abs(divisor) < 2**31:
        raise ValueError(f"{function}: divisor_override must not be 0 and fit in 32 bits, got {divisor}")
    return divisor
