"""Windows of images as columns of a matrix and back, as the course's ``im2col.py`` and ``im2col_cython.pyx`` have them.

The columns are ordered by row and column of the window and then by image: those of a batch lie side by side, and
``w.reshape(F, -1) @ cols`` has the axes (F, H', W', N).
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

import fastconv.functional as F
from fastconv._checks import Array, check_shape, to_array
from fastconv.compat.cs231n._arguments import array, check_fill, integer

__all__ = [
    "get_im2col_indices",
    "im2col_indices",
    "col2im_indices",
    "im2col_cython",
    "col2im_cython",
    "col2im_6d_cython",
]


def get_im2col_indices(
    x_shape: Sequence[int], field_height: int, field_width: int, padding: int = 1, stride: int = 1
) -> tuple[Array, Array, Array]:
    """Return the indices of the windows of padded images.

    Parameters
    ----------
    x_shape : sequence of int
        (N, C, H, W), without the padding.
    field_height, field_width : int
        Size of the windows, at least 1.
    padding : int
        Zeros on each side, at least 0.
    stride : int
        Step from window to window, at least 1.

    Returns
    -------
    k, i, j : ndarray of int64
        Channels, shape (C * field_height * field_width, 1), and rows and columns, shape (C * field_height *
        field_width, H' * W'): ``padded[:, k, i, j]`` has the axes (N, place in a window, window).

    Raises
    ------
    TypeError
        Arguments that are no integers.
    ValueError
        Arguments out of range, windows larger than the padded images, a stride that leaves rows or columns over.

    Examples
    --------
    >>> from fastconv.compat.cs231n import get_im2col_indices
    >>> k, i, j = get_im2col_indices((1, 1, 3, 3), 2, 2, padding=0)
    >>> i
    array([[0, 0, 1, 1],
           [0, 0, 1, 1],
           [1, 1, 2, 2],
           [1, 1, 2, 2]])
    """
    name = "get_im2col_indices"
    _, c, h, w = _shape(name, x_shape)
    oh, ow = _windows(name, (h, w), (field_height, field_width), padding, stride, fill=True)
    k, u, v = np.indices((c, field_height, field_width)).reshape(3, -1, 1)
    first_row, first_column = np.indices((oh, ow)).reshape(2, 1, -1) * stride
    return k, u + first_row, v + first_column


def im2col_indices(x: ArrayLike, field_height: int, field_width: int, padding: int = 1, stride: int = 1) -> Array:
    """`im2col_cython` for windows that fill the padded images.

    Parameters
    ----------
    x, field_height, field_width, padding, stride
        As for `im2col_cython`.

    Returns
    -------
    ndarray, shape (C * field_height * field_width, H' * W' * N)
        As of `im2col_cython`.

    Raises
    ------
    TypeError, ValueError
        As `im2col_cython`; also a stride that leaves rows or columns over.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.compat.cs231n import im2col_indices
    >>> im2col_indices(np.arange(9.0).reshape(1, 1, 3, 3), 2, 2, padding=0)
    array([[0., 1., 3., 4.],
           [1., 2., 4., 5.],
           [3., 4., 6., 7.],
           [4., 5., 7., 8.]])
    """
    return _to_columns("im2col_indices", x, (field_height, field_width), padding, stride, fill=True)


def col2im_indices(
    cols: ArrayLike,
    x_shape: Sequence[int],
    field_height: int = 3,
    field_width: int = 3,
    padding: int = 1,
    stride: int = 1,
) -> Array:
    """Add the columns of `im2col_indices` up to images.

    Parameters
    ----------
    cols : array_like, shape (C * field_height * field_width, H' * W' * N)
    x_shape : sequence of int
        (N, C, H, W).
    field_height, field_width, padding, stride
        As for `im2col_indices`.

    Returns
    -------
    ndarray, shape (N, C, H, W)
        As of `col2im_cython`.

    Raises
    ------
    TypeError, ValueError
        As `col2im_cython`; also a stride that leaves rows or columns over.

    Examples
    --------
    Each pixel counts the windows that it is in:

    >>> import numpy as np
    >>> from fastconv.compat.cs231n import col2im_indices
    >>> col2im_indices(np.ones((4, 4)), (1, 1, 3, 3), 2, 2, padding=0)[0, 0]
    array([[1., 2., 1.],
           [2., 4., 2.],
           [1., 2., 1.]])
    """
    return _to_images("col2im_indices", cols, x_shape, (field_height, field_width), padding, stride, fill=True)


def im2col_cython(x: ArrayLike, field_height: int, field_width: int, padding: int, stride: int) -> Array:
    r"""Copy each window of images to a column.

    .. math:: cols[(c \, k_h + u) k_w + v,\; (i \, W' + j) N + n] = x[n,\; c,\; i s + u - p,\; j s + v - p]

    with stride s, padding p, and zero outside of `x`.

    Parameters
    ----------
    x : array_like, shape (N, C, H, W)
    field_height, field_width : int
        Size of the windows, at least 1.
    padding : int
        Zeros on each side, at least 0.
    stride : int
        Step from window to window, at least 1.

    Returns
    -------
    ndarray, shape (C * field_height * field_width, H' * W' * N)
        ``H' = (H + 2 * padding - field_height) // stride + 1``. In the dtype of `x`; integers and booleans become
        ``np.result_type(x, np.float32)``.

    Raises
    ------
    TypeError
        A complex, object or masked array; arguments that are no integers.
    ValueError
        `x` without 4 axes, arguments out of range, windows larger than the padded images.

    See Also
    --------
    col2im_cython : adds the columns up again.
    fastconv.functional.unfold : columns for each image.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.compat.cs231n import im2col_cython
    >>> x = np.array([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]]).reshape(2, 1, 1, 3)
    >>> im2col_cython(x, 1, 2, 0, 1)
    array([[ 1., 10.,  2., 20.],
           [ 2., 20.,  3., 30.]])
    """
    return _to_columns("im2col_cython", x, (field_height, field_width), padding, stride, fill=False)


def col2im_cython(
    cols: ArrayLike, N: int, C: int, H: int, W: int, field_height: int, field_width: int, padding: int, stride: int
) -> Array:
    """Add columns up to images, each number where `im2col_cython` would have taken it from.

    Parameters
    ----------
    cols : array_like, shape (C * field_height * field_width, H' * W' * N)
    N, C, H, W : int
        Shape of the images.
    field_height, field_width, padding, stride
        As for `im2col_cython`.

    Returns
    -------
    ndarray, shape (N, C, H, W)
        Windows that overlap are summed; what falls on the padding is left out. In the dtype of `cols`; integers and
        booleans become ``np.result_type(cols, np.float32)``.

    Raises
    ------
    TypeError
        A complex, object or masked array; arguments that are no integers.
    ValueError
        Arguments out of range, windows larger than the padded images, `cols` of another shape.

    See Also
    --------
    fastconv.functional.fold : computes it.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.compat.cs231n import col2im_cython
    >>> col2im_cython(np.array([[1.0, 10.0, 2.0, 20.0], [2.0, 20.0, 3.0, 30.0]]), 2, 1, 1, 3, 1, 2, 0, 1)[:, 0, 0]
    array([[ 1.,  4.,  3.],
           [10., 40., 30.]])
    """
    return _to_images("col2im_cython", cols, (N, C, H, W), (field_height, field_width), padding, stride, fill=False)


def col2im_6d_cython(cols: ArrayLike, N: int, C: int, H: int, W: int, HH: int, WW: int, pad: int, stride: int) -> Array:
    """`col2im_cython` for columns with an axis for each index.

    Parameters
    ----------
    cols : array_like, shape (C, HH, WW, N, H', W')
    N, C, H, W : int
        Shape of the images.
    HH, WW, pad, stride : int
        The windows, as for `im2col_cython`.

    Returns
    -------
    ndarray, shape (N, C, H, W)
        As of `col2im_cython`.

    Raises
    ------
    TypeError, ValueError
        As `col2im_cython`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.compat.cs231n import col2im_6d_cython
    >>> col2im_6d_cython(np.ones((1, 2, 2, 1, 2, 2)), 1, 1, 3, 3, 2, 2, 0, 1)[0, 0]
    array([[1., 2., 1.],
           [2., 4., 2.],
           [1., 2., 1.]])
    """
    name = "col2im_6d_cython"
    n, c, h, w = _shape(name, (N, C, H, W))
    oh, ow = _windows(name, (h, w), (HH, WW), pad, stride, fill=False)
    cols = to_array(name, "cols", cols)
    check_shape(name, "cols", cols, (c, HH, WW, n, oh, ow), ", (C, HH, WW, N, H', W')")
    by_image = cols.transpose(3, 0, 1, 2, 4, 5).reshape(n, c * HH * WW, oh * ow)
    return F.fold(by_image, (h, w), (HH, WW), 1, pad, stride)


def _to_columns(function: str, x: ArrayLike, field: tuple[int, int], padding: int, stride: int, *, fill: bool) -> Array:
    x = array(function, "x", x, "(N, C, H, W)")
    _windows(function, x.shape[2:], field, padding, stride, fill=fill)
    by_image = F.unfold(x, field, 1, padding, stride)
    places, count = by_image.shape[1:]
    return by_image.transpose(1, 2, 0).reshape(places, count * len(x))


def _to_images(
    function: str,
    cols: ArrayLike,
    x_shape: Sequence[int],
    field: tuple[int, int],
    padding: int,
    stride: int,
    *,
    fill: bool,
) -> Array:
    n, c, h, w = _shape(function, x_shape)
    count = math.prod(_windows(function, (h, w), field, padding, stride, fill=fill))
    places = c * math.prod(field)
    cols = to_array(function, "cols", cols)
    check_shape(function, "cols", cols, (places, count * n), ", (C * field_height * field_width, H' * W' * N)")
    return F.fold(cols.reshape(places, count, n).transpose(2, 0, 1), (h, w), field, 1, padding, stride)


def _shape(function: str, shape: Any) -> list[int]:
    """Return (N, C, H, W) as integers."""
    if not isinstance(shape, Sequence) or len(shape) != 4:
        raise ValueError(f"{function}: x_shape must be (N, C, H, W), got {shape!r}")
    return [integer(function, name, value, 0) for name, value in zip("NCHW", shape, strict=True)]


def _windows(
    function: str, size: tuple[int, ...], field: tuple[int, int], padding: int, stride: int, *, fill: bool
) -> list[int]:
    """Return how many windows there are along height and width; with `fill` they must leave nothing over."""
    integer(function, "padding", padding, 0)
    integer(function, "stride", stride, 1)
    counts = []
    for axis, pixels, places in zip(("height", "width"), size, field, strict=True):
        rest = pixels + 2 * padding - integer(function, f"field_{axis}", places, 1)
        if rest < 0:
            raise ValueError(
                f"{function}: field_{axis} must not exceed the padded {axis} {pixels} + 2 * {padding}, got {places}"
            )
        if fill:
            check_fill(function, axis, pixels, places, padding, stride)
        counts.append(rest // stride + 1)
    return counts
