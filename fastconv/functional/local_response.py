"""Local response normalization and its gradient."""

import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fastconv._checks import Array, channels_last, check_shape, deliver, to_arrays
from fastconv._memory import empty_like


def local_response_norm(
    input: ArrayLike,
    size: int,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 1.0,
    *,
    data_format: str = "channels_first",
) -> Array:
    r"""Divide by a power of the mean square of neighbouring channels at the same place.

    .. math:: y_c = x_c s_c^{-\beta}, \quad s_c = k + \frac{\alpha}{size} \sum_{j = c - \lfloor size / 2 \rfloor}
        ^{c + \lfloor (size - 1) / 2 \rfloor} x_j^2

    where channels that do not exist count as 0.

    Parameters
    ----------
    input : array_like, shape (n, c, ...)
        With ``data_format="channels_last"``: (n, ..., c). At least three axes.
    size : int
        Number of channels in a sum.
    alpha, beta, k : float
    data_format : {"channels_first", "channels_last"}

    Returns
    -------
    ndarray, of the input's shape
        float16, float32 and float64 keep their dtype (float16 is computed in float32); integers and booleans become
        ``np.result_type(input, np.float32)``.

    Raises
    ------
    TypeError
        Complex, object or masked arrays; numbers that are none.
    ValueError
        An input of less than three axes, a size below 1.
    MemoryError
        No memory for the result.

    See Also
    --------
    local_response_norm_backward : the gradient.

    Notes
    -----
    It is computed image by image in NumPy, in about `size` + 5 passes; no thread but the caller's works on it.

    References
    ----------
    ``torch.nn.functional.local_response_norm``. A. Krizhevsky, I. Sutskever, G. Hinton, "ImageNet Classification with
    Deep Convolutional Neural Networks", NeurIPS 2012, section 3.3, whose alpha is alpha / size here.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> F.local_response_norm(np.array([[[1.0], [2.0], [3.0]]]), 3, alpha=3.0, beta=1.0).ravel().round(4)
    array([0.1667, 0.1333, 0.2143])
    """
    name = "local_response_norm"
    (x,), dtype = to_arrays(name, ("input",), (input,))
    window = _window(name, x, size, alpha, beta, k, data_format)
    y = empty_like(x)
    with np.errstate(all="ignore"):  # infinity and NaN come without a warning, as in the core
        for image, to in zip(x, y, strict=True):
            np.power(window.sums(image), -window.beta, out=to)
            to *= image
    return deliver(y, None, dtype)


def local_response_norm_backward(
    grad_output: ArrayLike,
    input: ArrayLike,
    size: int,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 1.0,
    *,
    data_format: str = "channels_first",
) -> Array:
    r"""Gradient of `local_response_norm`.

    .. math::

        \frac{\partial L}{\partial x_i} = g_i s_i^{-\beta}
        - \frac{2 \alpha \beta}{size} x_i \sum_c g_c x_c s_c^{-\beta - 1}, \quad g = \frac{\partial L}{\partial y}

    over the channels c in whose sum channel i is.

    Parameters
    ----------
    grad_output : array_like
        Gradient of the output, of the input's shape.
    input, size, alpha, beta, k, data_format
        As they were given to `local_response_norm`.

    Returns
    -------
    ndarray, of the input's shape
        Its dtype is ``np.result_type(grad_output, input)`` by the rule of `local_response_norm`.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `local_response_norm`; also a `grad_output` of another shape than the input.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv.functional as F
    >>> F.local_response_norm_backward([[[1.0]]], [[[1.0]]], 1, alpha=1.0, beta=1.0)
    array([[[0.]]])
    """
    name = "local_response_norm_backward"
    (gy, x), dtype = to_arrays(name, ("grad_output", "input"), (grad_output, input))
    window = _window(name, x, size, alpha, beta, k, data_format)
    check_shape(name, "grad_output", gy, x.shape, ", that of input")
    gx = empty_like(x)
    with np.errstate(all="ignore"):
        for image, grad, to in zip(x, gy, gx, strict=True):
            sums = window.sums(image)
            np.power(sums, -window.beta, out=to)
            to *= grad
            sums = to * image / sums
            to -= 2 * window.scale * window.beta * image * window.add(sums, transposed=True)
    return deliver(gx, None, dtype)


class _Window(NamedTuple):
    """The channels in a sum, on one image."""

    size: int
    axis: int
    scale: float
    beta: float
    k: float

    def sums(self, image: Array) -> Array:
        total: Array = self.add(np.square(image))
        total *= self.scale
        total += self.k
        return total

    def add(self, values: Array, transposed: bool = False) -> Array:
        """Sum over the neighbours of each channel, or over those that it is a neighbour of."""
        before, after = self.size // 2, (self.size - 1) // 2
        if transposed:
            before, after = after, before
        total, channels = values.copy(), values.shape[self.axis]
        for shift in range(1, min(max(before, after), channels - 1) + 1):
            low, high = self._slices(slice(None, -shift)), self._slices(slice(shift, None))
            if shift <= before:
                total[high] += values[low]
            if shift <= after:
                total[low] += values[high]
        return total

    def _slices(self, channels: slice) -> tuple[Any, ...]:
        return (..., channels) if self.axis == -1 else (channels,)


def _window(name: str, x: Array, size: Any, alpha: Any, beta: Any, k: Any, data_format: str) -> _Window:
    last = channels_last(name, data_format)
    if x.ndim < 3:
        raise ValueError(f"{name}: input must have at least 3 axes, got shape {x.shape}")
    count = _converted(name, "size", "an integer", operator.index, size)
    if count < 1:
        raise ValueError(f"{name}: size must be at least 1, got {count}")
    a, b, c = (_converted(name, n, "a number", float, v) for n, v in (("alpha", alpha), ("beta", beta), ("k", k)))
    return _Window(count, -1 if last else 0, a / count, b, c)


def _converted(name: str, argument: str, kind: str, convert: Callable[[Any], Any], value: Any) -> Any:
    try:
        return convert(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name}: {argument} must be {kind}, got {value!r}") from None
