"""Arrays for results."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


def empty(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Return a new C-contiguous array whose values are undefined."""
    return np.empty(shape, dtype)


def empty_like(array: NDArray[Any]) -> NDArray[Any]:
    """Return a new C-contiguous array of the shape and dtype of `array`."""
    return empty(array.shape, array.dtype)
