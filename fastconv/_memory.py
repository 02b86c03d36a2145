"""Arrays for results, in memory that is kept.

The first touch of a page costs more than a whole pass over it (a fault, and zeros that nobody reads), and memory of
the size of activations goes back to the system whenever it is freed. Arrays made here return theirs to the core, which
hands it to the next array of about that size: a network in training makes the same arrays at every step.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastconv import _core

_core.use_numpy(np)
empty = _core.empty
"""``empty(shape, dtype)``: a new C-contiguous array whose values are undefined; a MemoryError if there is none."""


def converted(array: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return `array` itself where it is C-contiguous, aligned and of `dtype`, else such a copy."""
    flags = array.flags
    if array.dtype == dtype and flags.c_contiguous and flags.aligned:
        return array
    copy = empty(array.shape, dtype)
    np.copyto(copy, array, casting="unsafe")
    return copy


def empty_like(array: NDArray[Any]) -> NDArray[Any]:
    """Return a new C-contiguous array of the shape and dtype of `array`, whose values are undefined."""
    return empty(array.shape, array.dtype)
