"""numpy-ml's fully connected layer, and the one that makes its inputs flat."""

from collections.abc import Mapping
from typing import Any

import numpy as np

import fastconv.functional as F
from fastconv._checks import Array, check_shape
from fastconv.compat.numpy_ml import activations
from fastconv.compat.numpy_ml.base import LayerBase, check_init
from fastconv.layers._arguments import integer


class FullyConnected(LayerBase):
    """``act_fn(X @ W + b)``, see `fastconv.functional.linear`.

    Parameters
    ----------
    n_out : int
    act_fn, init, optimizer
        As for `Conv1D`.

    Notes
    -----
    ``parameters["W"]`` has shape (n_in, n_out), ``parameters["b"]`` has shape (1, n_out). Inputs have shape
    (n_ex, n_in).

    Examples
    --------
    >>> import numpy as np
    >>> FullyConnected(4, act_fn="tanh").forward(np.ones((2, 3))).shape
    (2, 4)
    """

    inputs = "(n_ex, n_in)"
    hyperparameter_names = ("init", "n_in", "n_out", "act_fn")

    def __init__(self, n_out: int, act_fn: object = None, init: str = "glorot_uniform", optimizer: Any = None) -> None:
        super().__init__(optimizer)
        self.n_in: int | None = None
        self.n_out = integer("FullyConnected: n_out", n_out)
        self.act_fn = activations.get("FullyConnected", act_fn)
        self.init = check_init("FullyConnected", init)
        self.parameters = {"W": None, "b": None}

    def _init_params(self, X: Array) -> None:
        self.n_in = X.shape[1]
        self.parameters["W"] = self._initial((self.n_in, self.n_out), self.init)
        self.parameters["b"] = np.zeros((1, self.n_out))
        self._make_gradients()

    def _arguments(self, X: Array) -> tuple[Array, Array, Array]:
        W, b = (np.asarray(self.parameters[name]) for name in ("W", "b"))
        reason = f" for X of shape {X.shape}"
        check_shape("FullyConnected", "parameters['W']", W, (X.shape[1], self.n_out), reason)
        check_shape("FullyConnected", "parameters['b']", b, (1, self.n_out), reason)
        return X, W, b.reshape(-1)

    def _fwd(self, X: Array, retain_derived: bool) -> tuple[Array, dict[str, Any]]:
        Z = F.linear(*self._arguments(X), data_format="channels_last")
        return self.act_fn.fn(Z), {"Z": Z}

    def _bwd(self, dLdy: Array, X: Array, derived: Mapping[str, Any]) -> tuple[Array, dict[str, Array]]:
        dZ = dLdy * self.act_fn.grad(derived["Z"])
        dX, dW, db = F.linear_backward(dZ, *self._arguments(X), data_format="channels_last")
        assert dX is not None, "it is asked for"
        assert dW is not None, "it is asked for"
        assert db is not None, "there is a bias"
        return dX, {"W": dW, "b": db.reshape(1, -1)}


class Flatten(LayerBase):
    """Two axes for each input.

    Parameters
    ----------
    keep_dim : {"first", "last", -1}
        Which axis stays: the first, the last, or none, for a single row.
    optimizer : object, optional
        Accepted, though there is nothing to update.

    Examples
    --------
    >>> import numpy as np
    >>> Flatten().forward(np.ones((2, 4, 4, 3))).shape, Flatten("last").forward(np.ones((2, 4, 4, 3))).shape
    ((2, 48), (32, 3))
    """

    hyperparameter_names = ("keep_dim",)

    def __init__(self, keep_dim: str | int = "first", optimizer: Any = None) -> None:
        super().__init__(optimizer)
        if keep_dim not in ("first", "last", -1):
            raise ValueError(f"Flatten: keep_dim must be 'first', 'last' or -1, got {keep_dim!r}")
        self.keep_dim = keep_dim

    def _fwd(self, X: Array, retain_derived: bool) -> tuple[Array, dict[str, Any]]:
        rows = {"first": X.shape[0], "last": X.size // max(X.shape[-1], 1), -1: 1}[self.keep_dim]
        columns = {"first": X.size // max(X.shape[0], 1), "last": X.shape[-1], -1: X.size}[self.keep_dim]
        return X.reshape(rows, columns), {"in_dims": X.shape}

    def _bwd(self, dLdy: Array, X: Array, derived: Mapping[str, Any]) -> tuple[Array, dict[str, Array]]:
        return dLdy.reshape(derived["in_dims"]), {}
