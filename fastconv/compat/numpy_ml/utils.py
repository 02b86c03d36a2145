"""Padding, convolution, and windows as columns, as numpy-ml's ``neural_nets.utils`` has them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

import fastconv.functional as F
from fastconv._checks import Array, check_shape, to_array
from fastconv.geometry import unfold_geometry
from fastconv.layers._arguments import integer, integers

Pads = tuple[tuple[int, int], ...]

_FORMS = {
    1: "an integer, (before, after), 'same' or 'causal'",
    2: "an integer, (rows, columns), (top, bottom, left, right) or 'same'",
}


def resolve_pads(
    function: str, pad: Any, sizes: Sequence[int], kernel: Sequence[int], stride: int, dilation: int
) -> Pads:
    """Return how many zeros `pad` puts before and after each axis.

    Parameters
    ----------
    function : str
        Name of the caller, for error messages.
    pad : int, tuple of int or str
        For one axis an integer, ``(before, after)``, "same" or "causal"; for two an integer, ``(rows, columns)`` for
        both sides each, ``(top, bottom, left, right)``, or "same".
    sizes, kernel : sequence of int
        Of the input and the kernel, one for each axis.
    stride, dilation : int

    Examples
    --------
    >>> resolve_pads("conv2D", "same", (5, 6), (3, 2), stride=2, dilation=0)
    ((3, 3), (3, 3))
    """
    where = f"{function}: pad"
    if isinstance(pad, str):
        if pad not in (("same", "causal") if len(sizes) == 1 else ("same",)):
            raise ValueError(f"{where} must be {_FORMS[len(sizes)]}, got {pad!r}")
        totals = [
            stride * (size - 1) + dilated(width, dilation) - size for size, width in zip(sizes, kernel, strict=True)
        ]
        return tuple((total, 0) if pad == "causal" else (total // 2, total - total // 2) for total in totals)
    if isinstance(pad, tuple | list):
        if len(pad) not in (2, 2 * len(sizes)):
            raise ValueError(f"{where} must be {_FORMS[len(sizes)]}, got {pad!r}")
        numbers = [integer(where, number, 0) for number in pad]
        if len(pad) == 2 * len(sizes):
            return tuple(zip(numbers[::2], numbers[1::2], strict=True))
        return tuple((number, number) for number in numbers)
    number = integer(where, pad, 0)
    return ((number, number),) * len(sizes)


def dilated(width: int, dilation: int) -> int:
    """Return the reach of a kernel with `dilation` pixels inserted between its own."""
    return width + (width - 1) * dilation


def pad1D(
    X: ArrayLike, pad: Any, kernel_width: int | None = None, stride: int | None = None, dilation: int = 0
) -> tuple[Array, tuple[int, int]]:
    """Put zeros before and after signals.

    Parameters
    ----------
    X : array_like, shape (n_ex, l_in, in_ch)
    pad : int, pair of int, "same" or "causal"
        A pair is (before, after). "same" and "causal" give a convolution as many outputs as inputs, "causal" by zeros
        before the input alone.
    kernel_width, stride, dilation : int
        Of that convolution.

    Returns
    -------
    X_pad : ndarray
    p : tuple of int
        Zeros before and after.

    Raises
    ------
    TypeError, ValueError
        Another form of `pad`, or a word without `kernel_width` and `stride`.

    Examples
    --------
    >>> import numpy as np
    >>> pad1D(np.ones((1, 3, 1)), "causal", kernel_width=2, stride=1, dilation=1)[0].ravel()
    array([0., 0., 1., 1., 1.])
    """
    padded, (pads,) = _padded("pad1D", "(n_ex, l_in, in_ch)", X, pad, kernel_width, stride, dilation)
    return padded, pads


def pad2D(
    X: ArrayLike,
    pad: Any,
    kernel_shape: Sequence[int] | None = None,
    stride: int | None = None,
    dilation: int = 0,
) -> tuple[Array, tuple[int, int, int, int]]:
    """Put zeros around images.

    Parameters
    ----------
    X : array_like, shape (n_ex, in_rows, in_cols, in_ch)
    pad : int, tuple of int or "same"
        (rows, columns) on both sides each, or (top, bottom, left, right). "same" gives a convolution as many outputs as
        inputs.
    kernel_shape : pair of int, optional
    stride, dilation : int
        Of that convolution.

    Returns
    -------
    X_pad : ndarray
    p : tuple of int
        (top, bottom, left, right).

    Raises
    ------
    TypeError, ValueError
        Another form of `pad`, or "same" without `kernel_shape` and `stride`.

    Examples
    --------
    >>> import numpy as np
    >>> pad2D(np.ones((1, 2, 2, 1)), (1, 0))[0][0, :, :, 0]
    array([[0., 0.],
           [1., 1.],
           [1., 1.],
           [0., 0.]])
    """
    padded, (rows, columns) = _padded(
        "pad2D", "(n_ex, in_rows, in_cols, in_ch)", X, pad, kernel_shape, stride, dilation
    )
    return padded, (*rows, *columns)


def conv1D(X: ArrayLike, W: ArrayLike, stride: int, pad: Any, dilation: int = 0) -> Array:
    """Cross-correlation of signals, see `fastconv.functional.conv1d`.

    Parameters
    ----------
    X : array_like, shape (n_ex, l_in, in_ch)
    W : array_like, shape (kernel_width, in_ch, out_ch)
    stride : int
    pad : int, pair of int, "same" or "causal"
        As for `pad1D`.
    dilation : int
        Elements inserted between those of the kernel.

    Returns
    -------
    ndarray, shape (n_ex, l_out, out_ch)
        In the dtype ``np.result_type(X, W)``.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `fastconv.functional.conv1d` and `pad1D`.

    Examples
    --------
    >>> import numpy as np
    >>> conv1D(np.arange(4.0).reshape(1, 4, 1), np.ones((2, 1, 1)), stride=1, pad="causal").ravel()
    array([0., 1., 3., 5.])
    """
    return _conv("conv1D", ("(n_ex, l_in, in_ch)", "(kernel_width, in_ch, out_ch)"), X, W, stride, pad, dilation)


def conv2D(X: ArrayLike, W: ArrayLike, stride: int, pad: Any, dilation: int = 0) -> Array:
    """Cross-correlation of images, see `fastconv.functional.conv2d`.

    Parameters
    ----------
    X : array_like, shape (n_ex, in_rows, in_cols, in_ch)
    W : array_like, shape (kernel_rows, kernel_cols, in_ch, out_ch)
    stride : int
    pad : int, tuple of int or "same"
        As for `pad2D`.
    dilation : int
        Pixels inserted between those of the kernel.

    Returns
    -------
    ndarray, shape (n_ex, out_rows, out_cols, out_ch)
        In the dtype ``np.result_type(X, W)``.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `fastconv.functional.conv2d` and `pad2D`.

    Examples
    --------
    >>> import numpy as np
    >>> conv2D(np.ones((1, 4, 4, 1)), np.ones((2, 2, 1, 1)), stride=1, pad=0, dilation=1)[0, :, :, 0]
    array([[4., 4.],
           [4., 4.]])
    """
    axes = "(n_ex, in_rows, in_cols, in_ch)", "(kernel_rows, kernel_cols, in_ch, out_ch)"
    return _conv("conv2D", axes, X, W, stride, pad, dilation)


def im2col(
    X: ArrayLike, W_shape: Sequence[int], pad: Any, stride: int, dilation: int = 0
) -> tuple[Array, tuple[int, int, int, int]]:
    """Copy each window of each image to a column, see `fastconv.functional.unfold`.

    Parameters
    ----------
    X : array_like, shape (n_ex, in_rows, in_cols, in_ch)
    W_shape : sequence of int
        (kernel_rows, kernel_cols, in_ch, out_ch) of the filters.
    pad, stride, dilation
        As for `conv2D`.

    Returns
    -------
    X_col : ndarray, shape (in_ch * kernel_rows * kernel_cols, out_rows * out_cols * n_ex)
        Rows in the order (channel, y, x), columns in the order (y, x, image).
    p : tuple of int
        (top, bottom, left, right).

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `fastconv.functional.unfold` and `pad2D`.

    Examples
    --------
    >>> import numpy as np
    >>> X_col, p = im2col(np.arange(9.0).reshape(1, 3, 3, 1), (2, 2, 1, 1), pad=0, stride=1)
    >>> X_col
    array([[0., 1., 3., 4.],
           [1., 2., 4., 5.],
           [3., 4., 6., 7.],
           [4., 5., 7., 8.]])
    """
    x = array("im2col", "X", X, "(n_ex, in_rows, in_cols, in_ch)")
    kernel = _kernel("im2col", W_shape)
    if W_shape[2] != x.shape[3]:
        raise ValueError(f"im2col: W_shape must have the {x.shape[3]} channels of X, got {tuple(W_shape)}")
    pads = resolve_pads("im2col", pad, x.shape[1:3], kernel, stride, dilation)
    columns = F.unfold(np.moveaxis(x, -1, 1), kernel, dilation + 1, pads, stride)
    return columns.transpose(1, 2, 0).reshape(columns.shape[1], -1), (*pads[0], *pads[1])


def col2im(
    X_col: ArrayLike, X_shape: Sequence[int], W_shape: Sequence[int], pad: Any, stride: int, dilation: int = 0
) -> Array:
    """Add the columns of `im2col` up to images, each number where it came from, see `fastconv.functional.fold`.

    Parameters
    ----------
    X_col : array_like, shape (in_ch * kernel_rows * kernel_cols, out_rows * out_cols * n_ex)
    X_shape : sequence of int
        (n_ex, in_rows, in_cols, in_ch) of the images.
    W_shape, pad, stride, dilation
        As for `im2col`.

    Returns
    -------
    ndarray, shape (n_ex, in_ch, in_rows, in_cols)
        Channels first, as in numpy-ml.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `fastconv.functional.fold` and `pad2D`; also an `X_col` that does not fit `X_shape`.

    Examples
    --------
    >>> import numpy as np
    >>> col2im(np.ones((4, 4)), (1, 3, 3, 1), (2, 2, 1, 1), pad=0, stride=1)[0, 0]
    array([[1., 2., 1.],
           [2., 4., 2.],
           [1., 2., 1.]])
    """
    columns = to_array("col2im", "X_col", X_col)
    if len(X_shape) != 4:
        raise ValueError(f"col2im: X_shape must be (n_ex, in_rows, in_cols, in_ch), got {tuple(X_shape)}")
    samples, rows, cols, channels = X_shape
    kernel = _kernel("col2im", W_shape)
    pads = resolve_pads("col2im", pad, (rows, cols), kernel, stride, dilation)
    window = kernel, dilation + 1, pads, stride
    geometry = unfold_geometry("col2im", (samples, channels, rows, cols), *window)
    windows, values = geometry.output[1] * geometry.output[2], channels * kernel[0] * kernel[1]
    check_shape("col2im", "X_col", columns, (values, windows * samples), f" for images of shape {tuple(X_shape)}")
    return F.fold(columns.reshape(values, windows, samples).transpose(2, 0, 1), (rows, cols), *window)


def array(function: str, name: str, value: Any, axes: str) -> Array:
    """Return an array with the axes that a text like "(n_ex, n_in)" names."""
    found = to_array(function, name, value)
    if found.ndim != axes.count(",") + 1:
        raise ValueError(f"{function}: {name} must have axes {axes}, got shape {found.shape}")
    return found


def _padded(
    function: str, axes: str, X: ArrayLike, pad: Any, kernel: Any, stride: int | None, dilation: int
) -> tuple[Array, Pads]:
    x = array(function, "X", X, axes)
    spatial = x.ndim - 2
    if isinstance(pad, str) and (kernel is None or stride is None):
        raise ValueError(f"{function}: kernel and stride must be given where pad is {pad!r}, got {kernel} and {stride}")
    widths = (1,) * spatial if kernel is None else integers(f"{function}: kernel", kernel, spatial)
    step = 1 if stride is None else integer(f"{function}: stride", stride)
    pads = resolve_pads(function, pad, x.shape[1:-1], widths, step, integer(f"{function}: dilation", dilation, 0))
    return np.pad(x, ((0, 0), *pads, (0, 0))), pads


def _conv(
    function: str, axes: tuple[str, str], X: ArrayLike, W: ArrayLike, stride: int, pad: Any, dilation: int
) -> Array:
    x, w = array(function, "X", X, axes[0]), array(function, "W", W, axes[1])
    step = integer(f"{function}: stride", stride)
    inserted = integer(f"{function}: dilation", dilation, 0)
    pads = resolve_pads(function, pad, x.shape[1:-1], w.shape[:-2], step, inserted)
    convolve = F.conv1d if x.ndim == 3 else F.conv2d
    return convolve(x, w, None, step, pads, inserted + 1, data_format="channels_last")


def _kernel(function: str, W_shape: Sequence[int]) -> tuple[int, int]:
    if len(W_shape) != 4:
        raise ValueError(f"{function}: W_shape must be (kernel_rows, kernel_cols, in_ch, out_ch), got {tuple(W_shape)}")
    return integer(f"{function}: W_shape", W_shape[0]), integer(f"{function}: W_shape", W_shape[1])
