"""Adaptive pooling, whose windows share the input out among as many outputs as are wanted, and its gradients."""

from typing import Any, Literal, overload

from numpy.typing import ArrayLike

from fastconv._checks import Array
from fastconv.functional._pooling import Adaptive, avg_pool, avg_pool_backward, max_pool, max_pool_backward


def adaptive_avg_pool1d(input: ArrayLike, output_size: Any, *, data_format: str = "channels_first") -> Array:
    r"""Mean of each window of a signal, with as many windows as are wanted.

    .. math:: y[n, c, j] = \frac{1}{|W_j|} \sum_{v \in W_j} x[n, c, v]

    where window :math:`o` of an axis holds the elements from :math:`\lfloor o \, in / out \rfloor` to
    :math:`\lceil (o + 1) \, in / out \rceil - 1`. Windows cover the input; neighbours share an element where `out` does
    not divide `in`.

    Parameters
    ----------
    input : array_like, shape (n, c, iw) or (c, iw)
        With ``data_format="channels_last"``: (n, iw, c) or (iw, c). `n` may be 0.
    output_size : int or tuple of int
        Number of windows, alone or in a tuple; None keeps the input's size.
    data_format : {"channels_first", "channels_last"}

    Returns
    -------
    ndarray, shape (n, c, ow) or (c, ow)
        In the layout of the input, with a dtype by the rule of `avg_pool2d`.

    Raises
    ------
    TypeError
        Complex, object or masked arrays; an `output_size` that is not made of integers.
    ValueError
        A shape or number out of range, an unknown word.
    MemoryError
        No memory for the result.

    See Also
    --------
    adaptive_avg_pool1d_backward : the gradient.

    References
    ----------
    ``torch.nn.functional.adaptive_avg_pool1d``.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> F.adaptive_avg_pool1d(np.array([[1.0, 2.0, 3.0, 4.0, 5.0]]), 3)
    array([[1.5, 3. , 4.5]])
    """
    return avg_pool("adaptive_avg_pool1d", 1, input, Adaptive(output_size), data_format)


def adaptive_avg_pool1d_backward(
    grad_output: ArrayLike, input: ArrayLike, output_size: Any, *, data_format: str = "channels_first"
) -> Array:
    r"""Gradient of `adaptive_avg_pool1d`: each window's gradient, over its size, goes to all its elements.

    .. math::

        \frac{\partial L}{\partial x[n, c, v]} = \sum_{j} \frac{1}{|W_j|}
        \frac{\partial L}{\partial y[n, c, j]} \quad \text{over the windows with } v \in W_j

    Parameters
    ----------
    grad_output : array_like
        Gradient of the output, of the output's shape.
    input, output_size, data_format
        As they were given to `adaptive_avg_pool1d`. Of `input` only shape and dtype matter.

    Returns
    -------
    ndarray, of the input's shape
        Its dtype is ``np.result_type(grad_output, input)`` by the rule of `avg_pool2d`.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `adaptive_avg_pool1d`; also a `grad_output` of another shape than the output.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> F.adaptive_avg_pool1d_backward(np.array([[2.0, 4.0]]), np.zeros((1, 3)), 2)
    array([[1., 3., 2.]])
    """
    return avg_pool_backward("adaptive_avg_pool1d_backward", 1, grad_output, input, Adaptive(output_size), data_format)


def adaptive_avg_pool2d(input: ArrayLike, output_size: Any, *, data_format: str = "channels_first") -> Array:
    r"""Mean of each window of an image, with as many windows as are wanted.

    .. math:: y[n, c, i, j] = \frac{1}{|W_i| |W_j|} \sum_{u \in W_i, v \in W_j} x[n, c, u, v]

    where window :math:`o` of an axis holds the elements from :math:`\lfloor o \, in / out \rfloor` to
    :math:`\lceil (o + 1) \, in / out \rceil - 1`. Windows cover the input; neighbours share an element where `out` does
    not divide `in`.

    Parameters
    ----------
    input : array_like, shape (n, c, ih, iw) or (c, ih, iw)
        With ``data_format="channels_last"``: (n, ih, iw, c) or (ih, iw, c). `n` may be 0.
    output_size : int or tuple of int
        Number of windows: one for both axes, or one for height and one for width. None in a tuple keeps the input's
        size; 0 gives an empty output.
    data_format : {"channels_first", "channels_last"}

    Returns
    -------
    ndarray, shape (n, c, oh, ow) or (c, oh, ow)
        In the layout of the input, with a dtype by the rule of `avg_pool2d`.

    Raises
    ------
    TypeError
        Complex, object or masked arrays; an `output_size` that is not made of integers.
    ValueError
        A shape or number out of range, an unknown word.
    MemoryError
        No memory for the result.

    See Also
    --------
    adaptive_avg_pool2d_backward : the gradient.

    References
    ----------
    ``torch.nn.functional.adaptive_avg_pool2d``.

    Examples
    --------
    The mean of each channel, and of each half:

    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> x = np.arange(12.0).reshape(1, 1, 3, 4)
    >>> F.adaptive_avg_pool2d(x, 1)
    array([[[[5.5]]]])
    >>> F.adaptive_avg_pool2d(x, (1, 2))
    array([[[[4.5, 6.5]]]])
    """
    return avg_pool("adaptive_avg_pool2d", 2, input, Adaptive(output_size), data_format)


def adaptive_avg_pool2d_backward(
    grad_output: ArrayLike, input: ArrayLike, output_size: Any, *, data_format: str = "channels_first"
) -> Array:
    r"""Gradient of `adaptive_avg_pool2d`: each window's gradient, over its size, goes to all its elements.

    .. math::

        \frac{\partial L}{\partial x[n, c, u, v]} = \sum_{i, j} \frac{1}{|W_i| |W_j|}
        \frac{\partial L}{\partial y[n, c, i, j]} \quad \text{over the windows with } u \in W_i, v \in W_j

    Parameters
    ----------
    grad_output : array_like
        Gradient of the output, of the output's shape.
    input, output_size, data_format
        As they were given to `adaptive_avg_pool2d`. Of `input` only shape and dtype matter.

    Returns
    -------
    ndarray, of the input's shape
        Its dtype is ``np.result_type(grad_output, input)`` by the rule of `avg_pool2d`.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `adaptive_avg_pool2d`; also a `grad_output` of another shape than the output.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> F.adaptive_avg_pool2d_backward(np.array([[[6.0]]]), np.zeros((1, 2, 3)), 1)
    array([[[1., 1., 1.],
            [1., 1., 1.]]])
    """
    return avg_pool_backward("adaptive_avg_pool2d_backward", 2, grad_output, input, Adaptive(output_size), data_format)


def adaptive_avg_pool3d(input: ArrayLike, output_size: Any, *, data_format: str = "channels_first") -> Array:
    r"""Mean of each window of a volume, with as many windows as are wanted.

    .. math:: y[n, c, h, i, j] = \frac{1}{|W_h| |W_i| |W_j|} \sum_{t \in W_h, u \in W_i, v \in W_j} x[n, c, t, u, v]

    where window :math:`o` of an axis holds the elements from :math:`\lfloor o \, in / out \rfloor` to
    :math:`\lceil (o + 1) \, in / out \rceil - 1`. Windows cover the input; neighbours share an element where `out` does
    not divide `in`.

    Parameters
    ----------
    input : array_like, shape (n, c, id, ih, iw) or (c, id, ih, iw)
        With ``data_format="channels_last"``: (n, id, ih, iw, c) or (id, ih, iw, c). `n` may be 0.
    output_size : int or tuple of int
        As in `adaptive_avg_pool2d`, one number or one each for depth, height and width.
    data_format : {"channels_first", "channels_last"}

    Returns
    -------
    ndarray, shape (n, c, od, oh, ow) or (c, od, oh, ow)
        In the layout of the input, with a dtype by the rule of `avg_pool2d`.

    Raises
    ------
    TypeError
        Complex, object or masked arrays; an `output_size` that is not made of integers.
    ValueError
        A shape or number out of range, an unknown word.
    MemoryError
        No memory for the result.

    See Also
    --------
    adaptive_avg_pool3d_backward : the gradient.

    References
    ----------
    ``torch.nn.functional.adaptive_avg_pool3d``.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> F.adaptive_avg_pool3d(np.arange(16.0).reshape(1, 2, 2, 4), (1, None, 2))
    array([[[[ 4.5,  6.5],
             [ 8.5, 10.5]]]])
    """
    return avg_pool("adaptive_avg_pool3d", 3, input, Adaptive(output_size), data_format)


def adaptive_avg_pool3d_backward(
    grad_output: ArrayLike, input: ArrayLike, output_size: Any, *, data_format: str = "channels_first"
) -> Array:
    r"""Gradient of `adaptive_avg_pool3d`: each window's gradient, over its size, goes to all its elements.

    .. math::

        \frac{\partial L}{\partial x[n, c, t, u, v]} = \sum_{h, i, j} \frac{1}{|W_h| |W_i| |W_j|}
        \frac{\partial L}{\partial y[n, c, h, i, j]} \quad \text{over the windows with } t \in W_h, u \in W_i, v \in W_j

    Parameters
    ----------
    grad_output : array_like
        Gradient of the output, of the output's shape.
    input, output_size, data_format
        As they were given to `adaptive_avg_pool3d`. Of `input` only shape and dtype matter.

    Returns
    -------
    ndarray, of the input's shape
        Its dtype is ``np.result_type(grad_output, input)`` by the rule of `avg_pool2d`.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `adaptive_avg_pool3d`; also a `grad_output` of another shape than the output.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> F.adaptive_avg_pool3d_backward(np.array([[[[6.0]]]]), np.zeros((1, 1, 2, 3)), 1)
    array([[[[1., 1., 1.],
             [1., 1., 1.]]]])
    """
    return avg_pool_backward("adaptive_avg_pool3d_backward", 3, grad_output, input, Adaptive(output_size), data_format)


@overload
def adaptive_max_pool1d(
    input: ArrayLike,
    output_size: Any,
    return_indices: Literal[False] = False,
    *,
    data_format: str = "channels_first",
) -> Array: ...
@overload
def adaptive_max_pool1d(
    input: ArrayLike,
    output_size: Any,
    *,
    return_indices: Literal[True],
    data_format: str = "channels_first",
) -> tuple[Array, Array]: ...
@overload
def adaptive_max_pool1d(
    input: ArrayLike,
    output_size: Any,
    return_indices: bool = False,
    *,
    data_format: str = "channels_first",
) -> Array | tuple[Array, Array]: ...
def adaptive_max_pool1d(
    input: ArrayLike,
    output_size: Any,
    return_indices: bool = False,
    *,
    data_format: str = "channels_first",
) -> Array | tuple[Array, Array]:
    r"""Maximum of each window of a signal, with as many windows as are wanted.

    .. math:: y[n, c, j] = \max_{v \in W_j} x[n, c, v]

    over the windows of `adaptive_avg_pool1d`. NaN is larger than any number.

    Parameters
    ----------
    input, output_size, data_format
        As in `adaptive_avg_pool1d`.
    return_indices : bool
        Return the positions of the maxima too.

    Returns
    -------
    output : ndarray, shape (n, c, ow) or (c, ow)
        In the layout of the input, with a dtype by the rule of `max_pool2d`.
    indices : ndarray of int64, of the output's shape
        With `return_indices`: positions of the first maxima, as `max_pool1d` gives them.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `adaptive_avg_pool1d`.

    See Also
    --------
    adaptive_max_pool1d_backward : the gradient.

    References
    ----------
    ``torch.nn.functional.adaptive_max_pool1d``.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> F.adaptive_max_pool1d(np.array([[1.0, 2.0, 3.0, 4.0, 5.0]]), 3, return_indices=True)
    (array([[2., 4., 5.]]), array([[1, 3, 4]]))
    """
    return max_pool(  # type: ignore[no-any-return]
        "adaptive_max_pool1d", 1, input, Adaptive(output_size), return_indices, data_format
    )


def adaptive_max_pool1d_backward(
    grad_output: ArrayLike,
    input: ArrayLike,
    output_size: Any,
    return_indices: bool = False,
    *,
    indices: ArrayLike | None = None,
    data_format: str = "channels_first",
) -> Array:
    r"""Gradient of `adaptive_max_pool1d`: each window's gradient goes to its first maximum.

    .. math::

        \frac{\partial L}{\partial x[n, c, v]} = \sum_{j} \frac{\partial L}{\partial y[n, c, j]}
        \quad \text{over the windows whose first maximum is at } v

    Parameters
    ----------
    grad_output : array_like
        Gradient of the output, of the output's shape.
    input, output_size, data_format
        As they were given to `adaptive_max_pool1d`.
    return_indices, indices
        As in `max_pool2d_backward`.

    Returns
    -------
    ndarray, of the input's shape
        Its dtype is ``np.result_type(grad_output, input)`` by the rule of `max_pool2d`.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `adaptive_max_pool1d` and `max_pool2d_backward`.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> F.adaptive_max_pool1d_backward(np.array([[2.0, 4.0]]), np.array([[1.0, 5.0, 3.0]]), 2)
    array([[0., 6., 0.]])
    """
    return max_pool_backward(
        "adaptive_max_pool1d_backward", 1, grad_output, input, Adaptive(output_size), indices, data_format
    )


@overload
def adaptive_max_pool2d(
    input: ArrayLike,
    output_size: Any,
    return_indices: Literal[False] = False,
    *,
    data_format: str = "channels_first",
) -> Array: ...
@overload
def adaptive_max_pool2d(
    input: ArrayLike,
    output_size: Any,
    *,
    return_indices: Literal[True],
    data_format: str = "channels_first",
) -> tuple[Array, Array]: ...
@overload
def adaptive_max_pool2d(
    input: ArrayLike,
    output_size: Any,
    return_indices: bool = False,
    *,
    data_format: str = "channels_first",
) -> Array | tuple[Array, Array]: ...
def adaptive_max_pool2d(
    input: ArrayLike,
    output_size: Any,
    return_indices: bool = False,
    *,
    data_format: str = "channels_first",
) -> Array | tuple[Array, Array]:
    r"""Maximum of each window of an image, with as many windows as are wanted.

    .. math:: y[n, c, i, j] = \max_{u \in W_i, v \in W_j} x[n, c, u, v]

    over the windows of `adaptive_avg_pool2d`. NaN is larger than any number.

    Parameters
    ----------
    input, output_size, data_format
        As in `adaptive_avg_pool2d`.
    return_indices : bool
        Return the positions of the maxima too.

    Returns
    -------
    output : ndarray, shape (n, c, oh, ow) or (c, oh, ow)
        In the layout of the input, with a dtype by the rule of `max_pool2d`.
    indices : ndarray of int64, of the output's shape
        With `return_indices`: positions of the first maxima, as `max_pool2d` gives them.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `adaptive_avg_pool2d`.

    See Also
    --------
    adaptive_max_pool2d_backward : the gradient.

    References
    ----------
    ``torch.nn.functional.adaptive_max_pool2d``.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> F.adaptive_max_pool2d(np.arange(12.0).reshape(1, 1, 3, 4), (2, 1))
    array([[[[ 7.],
             [11.]]]])
    """
    return max_pool(  # type: ignore[no-any-return]
        "adaptive_max_pool2d", 2, input, Adaptive(output_size), return_indices, data_format
    )


def adaptive_max_pool2d_backward(
    grad_output: ArrayLike,
    input: ArrayLike,
    output_size: Any,
    return_indices: bool = False,
    *,
    indices: ArrayLike | None = None,
    data_format: str = "channels_first",
) -> Array:
    r"""Gradient of `adaptive_max_pool2d`: each window's gradient goes to its first maximum.

    .. math::

        \frac{\partial L}{\partial x[n, c, u, v]} = \sum_{i, j} \frac{\partial L}{\partial y[n, c, i, j]}
        \quad \text{over the windows whose first maximum is at } (u, v)

    Parameters
    ----------
    grad_output : array_like
        Gradient of the output, of the output's shape.
    input, output_size, data_format
        As they were given to `adaptive_max_pool2d`.
    return_indices, indices
        As in `max_pool2d_backward`.

    Returns
    -------
    ndarray, of the input's shape
        Its dtype is ``np.result_type(grad_output, input)`` by the rule of `max_pool2d`.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `adaptive_max_pool2d` and `max_pool2d_backward`.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> F.adaptive_max_pool2d_backward(np.array([[[6.0]]]), np.array([[[1.0, 5.0], [7.0, 2.0]]]), 1)
    array([[[0., 0.],
            [6., 0.]]])
    """
    return max_pool_backward(
        "adaptive_max_pool2d_backward", 2, grad_output, input, Adaptive(output_size), indices, data_format
    )


@overload
def adaptive_max_pool3d(
    input: ArrayLike,
    output_size: Any,
    return_indices: Literal[False] = False,
    *,
    data_format: str = "channels_first",
) -> Array: ...
@overload
def adaptive_max_pool3d(
    input: ArrayLike,
    output_size: Any,
    *,
    return_indices: Literal[True],
    data_format: str = "channels_first",
) -> tuple[Array, Array]: ...
@overload
def adaptive_max_pool3d(
    input: ArrayLike,
    output_size: Any,
    return_indices: bool = False,
    *,
    data_format: str = "channels_first",
) -> Array | tuple[Array, Array]: ...
def adaptive_max_pool3d(
    input: ArrayLike,
    output_size: Any,
    return_indices: bool = False,
    *,
    data_format: str = "channels_first",
) -> Array | tuple[Array, Array]:
    r"""Maximum of each window of a volume, with as many windows as are wanted.

    .. math:: y[n, c, h, i, j] = \max_{t \in W_h, u \in W_i, v \in W_j} x[n, c, t, u, v]

    over the windows of `adaptive_avg_pool3d`. NaN is larger than any number.

    Parameters
    ----------
    input, output_size, data_format
        As in `adaptive_avg_pool3d`.
    return_indices : bool
        Return the positions of the maxima too.

    Returns
    -------
    output : ndarray, shape (n, c, od, oh, ow) or (c, od, oh, ow)
        In the layout of the input, with a dtype by the rule of `max_pool2d`.
    indices : ndarray of int64, of the output's shape
        With `return_indices`: positions of the first maxima, as `max_pool3d` gives them.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `adaptive_avg_pool3d`.

    See Also
    --------
    adaptive_max_pool3d_backward : the gradient.

    References
    ----------
    ``torch.nn.functional.adaptive_max_pool3d``.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> F.adaptive_max_pool3d(np.arange(16.0).reshape(1, 2, 2, 4), (1, None, 2))
    array([[[[ 9., 11.],
             [13., 15.]]]])
    """
    return max_pool(  # type: ignore[no-any-return]
        "adaptive_max_pool3d", 3, input, Adaptive(output_size), return_indices, data_format
    )


def adaptive_max_pool3d_backward(
    grad_output: ArrayLike,
    input: ArrayLike,
    output_size: Any,
    return_indices: bool = False,
    *,
    indices: ArrayLike | None = None,
    data_format: str = "channels_first",
) -> Array:
    r"""Gradient of `adaptive_max_pool3d`: each window's gradient goes to its first maximum.

    .. math::

        \frac{\partial L}{\partial x[n, c, t, u, v]} = \sum_{h, i, j} \frac{\partial L}{\partial y[n, c, h, i, j]}
        \quad \text{over the windows whose first maximum is at } (t, u, v)

    Parameters
    ----------
    grad_output : array_like
        Gradient of the output, of the output's shape.
    input, output_size, data_format
        As they were given to `adaptive_max_pool3d`.
    return_indices, indices
        As in `max_pool2d_backward`.

    Returns
    -------
    ndarray, of the input's shape
        Its dtype is ``np.result_type(grad_output, input)`` by the rule of `max_pool2d`.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `adaptive_max_pool3d` and `max_pool2d_backward`.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> F.adaptive_max_pool3d_backward(np.array([[[[6.0]]]]), np.array([[[[1.0, 5.0], [7.0, 2.0]]]]), 1)
    array([[[[0., 0.],
             [6., 0.]]]])
    """
    return max_pool_backward(
        "adaptive_max_pool3d_backward", 3, grad_output, input, Adaptive(output_size), indices, data_format
    )
