"""Linear maps along axes: what resizing, padding and shifting have in common.

Each element of a result is a weighted sum of a few elements of the input, axis by axis. The gradient is the same
operation with the maps transposed: an element of the input gathers from all that it went to.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastconv import _core
from fastconv._checks import Array, Dtype
from fastconv._memory import empty


class AxisMap(NamedTuple):
    """A sparse matrix of shape (outputs, inputs) in compressed rows; one for a batch, or one for each image.

    Row ``r``, which is output ``r % outputs`` of image ``r // outputs``, has the entries ``weight[k]`` in columns
    ``source[k]`` for k from ``begin[r]`` to ``begin[r + 1] - 1``. Without arrays it is the identity.
    """

    inputs: int
    outputs: int
    begin: NDArray[np.int64] | None = None
    source: NDArray[np.int64] | None = None
    weight: Array | None = None

    def transposed(self) -> "AxisMap":
        """Return the transposed matrix, entries of a row in the order of its columns."""
        if self.begin is None or self.source is None or self.weight is None:
            return AxisMap(self.outputs, self.inputs)
        images = (len(self.begin) - 1) // self.outputs if self.outputs else 1
        rows = np.repeat(np.arange(len(self.begin) - 1), np.diff(self.begin))
        image, output = np.divmod(rows, max(self.outputs, 1))
        row = image * self.inputs + self.source
        order = np.argsort(row, kind="stable")
        begin = _begin(np.bincount(row, minlength=images * self.inputs))
        return AxisMap(self.outputs, self.inputs, begin, output[order], self.weight[order])


def identity(size: int) -> AxisMap:
    """Return the map of an axis that stays as it is."""
    return AxisMap(size, size)


def axis_map(inputs: int, index: NDArray[np.int64], weight: NDArray[np.float64], dtype: Dtype) -> AxisMap:
    """Return the map whose outputs are sums of ``weight * x[index]`` over the last axis.

    Parameters
    ----------
    inputs : int
    index, weight : ndarray, shape (outputs, taps) or (images, outputs, taps)
        An index outside of the input stands for nothing.
    dtype : dtype
        Of the arrays that are mapped.
    """
    inside = (index >= 0) & (index < inputs)
    begin = _begin(inside.sum(axis=-1).ravel())
    return AxisMap(inputs, index.shape[-2], begin, index[inside], weight[inside].astype(dtype))


def apply_maps(x: Array, maps: Sequence[AxisMap], *, channels_last: bool) -> Array:
    """Return `x` of shape (n, c, axes...) or (n, axes..., c) with its one to three axes mapped.

    `x` is C-contiguous, float32 or float64.
    """
    batch, channels = x.shape[0], x.shape[-1 if channels_last else 1]
    sizes = tuple(axis.outputs for axis in maps)
    y = empty((batch, *sizes, channels) if channels_last else (batch, channels, *sizes), x.dtype)
    _core.resample(batch, channels, channels_last, (identity(1),) * (3 - len(maps)) + tuple(maps), x, y)
    return y


def _begin(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where each row begins, and the end of the last."""
    begin = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=begin[1:])
    return begin
