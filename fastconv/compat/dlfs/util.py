"""Windows of images as rows of a matrix and back, as the book's ``common/util.py`` has them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

import fastconv.functional as F
from fastconv._checks import Array, check_shape, to_array
from fastconv.geometry import unfold_geometry


def im2col(input_data: ArrayLike, filter_h: int, filter_w: int, stride: int = 1, pad: int = 0) -> Array:
    """Copy each window of each image to a row, see `fastconv.functional.unfold`.

    Parameters
    ----------
    input_data : array_like, shape (N, C, H, W)
    filter_h, filter_w : int
        Size of the windows.
    stride, pad : int
        The same along both axes.

    Returns
    -------
    ndarray, shape (N * out_h * out_w, C * filter_h * filter_w)
        Rows in the order (image, y, x), columns in the order (channel, y, x). In the dtype of `input_data`, integers
        and booleans promoted by ``np.result_type(..., np.float32)``; the book's are float64.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `fastconv.functional.unfold`; also an input without four axes.

    Examples
    --------
    >>> import numpy as np
    >>> im2col(np.arange(9.0).reshape(1, 1, 3, 3), 2, 2)
    array([[0., 1., 3., 4.],
           [1., 2., 4., 5.],
           [3., 4., 6., 7.],
           [4., 5., 7., 8.]])
    """
    x = images("im2col", "input_data", input_data)
    columns = F.unfold(x, (filter_h, filter_w), 1, pad, stride)
    return columns.transpose(0, 2, 1).reshape(-1, columns.shape[1])


def col2im(
    col: ArrayLike, input_shape: Sequence[int], filter_h: int, filter_w: int, stride: int = 1, pad: int = 0
) -> Array:
    """Add the rows of `im2col` up to images, each number where it came from, see `fastconv.functional.fold`.

    Parameters
    ----------
    col : array_like, shape (N * out_h * out_w, C * filter_h * filter_w)
    input_shape : sequence of int
        (N, C, H, W) of the images.
    filter_h, filter_w, stride, pad : int
        As for `im2col`.

    Returns
    -------
    ndarray, shape (N, C, H, W)
        In the dtype of `col`, as `im2col`.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `fastconv.functional.fold`; also a `col` that does not fit `input_shape`.

    Examples
    --------
    >>> import numpy as np
    >>> col2im(np.ones((4, 4)), (1, 1, 3, 3), 2, 2)[0, 0]
    array([[1., 2., 1.],
           [2., 4., 2.],
           [1., 2., 1.]])
    """
    rows = to_array("col2im", "col", col)
    if len(input_shape) != 4:
        raise ValueError(f"col2im: input_shape must be (N, C, H, W), got {tuple(input_shape)}")
    samples, channels, height, width = input_shape
    geometry = unfold_geometry("col2im", tuple(input_shape), (filter_h, filter_w), 1, pad, stride)
    windows, values = geometry.output[1] * geometry.output[2], channels * filter_h * filter_w
    check_shape("col2im", "col", rows, (samples * windows, values), f" for images of shape {tuple(input_shape)}")
    columns = rows.reshape(samples, windows, values).transpose(0, 2, 1)
    return F.fold(columns, (height, width), (filter_h, filter_w), 1, pad, stride)


def images(function: str, name: str, value: Any) -> Array:
    """Return an array with the axes (N, C, H, W); a ValueError if it has another number of them."""
    array: Array = np.asarray(to_array(function, name, value))
    if array.ndim != 4:
        raise ValueError(f"{function}: {name} must have axes (N, C, H, W), got shape {array.shape}")
    return array
