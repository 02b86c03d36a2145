"""numpy-ml's pooling layer."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

import fastconv.functional as F
from fastconv._checks import Array
from fastconv.compat.numpy_ml.base import LayerBase
from fastconv.compat.numpy_ml.utils import Pads, resolve_pads
from fastconv.layers._arguments import integer, integers, one_of

_FUNCTIONS: dict[str, tuple[Callable[..., Array], Callable[..., Array]]] = {
    "max": (F.max_pool2d, F.max_pool2d_backward),
    "average": (F.avg_pool2d, F.avg_pool2d_backward),
}


class Pool2D(LayerBase):
    """Maximum or mean of each window, see `fastconv.functional.max_pool2d` and `avg_pool2d`.

    Parameters
    ----------
    kernel_shape : pair of int
    stride : int
    pad : int, tuple of int or "same"
        Zeros, in the forms of `Conv2D`. They count: as values that may be the maximum, and in the divisor of the mean.
    mode : {"max", "average"}
    optimizer : object, optional
        Accepted, though there is nothing to update.

    Notes
    -----
    Inputs have shape (n_ex, in_rows, in_cols, in_ch). The gradient of a maximum goes to the first one of the window.

    Examples
    --------
    >>> import numpy as np
    >>> Pool2D((2, 2), stride=2).forward(np.arange(16.0).reshape(1, 4, 4, 1))[0, :, :, 0]
    array([[ 5.,  7.],
           [13., 15.]])
    """

    inputs = "(n_ex, in_rows, in_cols, in_ch)"
    hyperparameter_names = ("act_fn", "pad", "mode", "in_ch", "out_ch", "stride", "kernel_shape")

    def __init__(
        self, kernel_shape: Any, stride: int = 1, pad: Any = 0, mode: str = "max", optimizer: Any = None
    ) -> None:
        super().__init__(optimizer)
        self.kernel_shape = integers("Pool2D: kernel_shape", kernel_shape, 2)
        self.stride = integer("Pool2D: stride", stride)
        self.pad = pad
        self.mode = one_of("Pool2D: mode", mode, *_FUNCTIONS)
        self.in_ch: int | None = None
        self.out_ch: int | None = None
        resolve_pads("Pool2D", pad, (1, 1), self.kernel_shape, 1, 0)

    def _init_params(self, X: Array) -> None:
        self.in_ch = self.out_ch = X.shape[-1]

    def _padded(self, X: Array) -> tuple[Array, Pads]:
        pads = resolve_pads("Pool2D", self.pad, X.shape[1:3], self.kernel_shape, self.stride, 0)
        return np.pad(X, ((0, 0), *pads, (0, 0))) if np.any(pads) else X, pads

    def _fwd(self, X: Array, retain_derived: bool) -> tuple[Array, dict[str, Any]]:
        pool, _ = _FUNCTIONS[self.mode]
        Y = pool(self._padded(X)[0], self.kernel_shape, self.stride, data_format="channels_last")
        return Y, {"out_rows": Y.shape[1], "out_cols": Y.shape[2]}

    def _bwd(self, dLdy: Array, X: Array, derived: Mapping[str, Any]) -> tuple[Array, dict[str, Array]]:
        _, backward = _FUNCTIONS[self.mode]
        padded, ((top, _), (left, _)) = self._padded(X)
        gradient = backward(dLdy, padded, self.kernel_shape, self.stride, data_format="channels_last")
        rows, cols = X.shape[1:3]
        return gradient[:, top : top + rows, left : left + cols], {}
