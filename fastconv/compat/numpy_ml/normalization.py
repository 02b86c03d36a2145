"""numpy-ml's batch normalization of images."""

from collections.abc import Mapping
from typing import Any

import numpy as np

import fastconv.functional as F
from fastconv._checks import Array
from fastconv._numbers import not_negative, unit
from fastconv.compat._batch_norm import batch_norm_training, batch_norm_training_backward
from fastconv.compat.numpy_ml.base import LayerBase


class BatchNorm2D(LayerBase):
    """Each channel with mean 0 and variance 1 over the batch, then scaled and shifted.

    With the statistics of the batch where `forward` retains what `backward` needs and the layer is not frozen, and the
    running ones otherwise, see `fastconv.functional.batch_norm`.

    Parameters
    ----------
    momentum : float
        From 0 to 1: how much of the running statistics a batch leaves.
    epsilon : float
        Added to the variance.
    optimizer : object, optional
        See `LayerBase`.

    Notes
    -----
    ``parameters["scaler"]``, drawn from ``np.random.rand``, ``"intercept"``, ``"running_mean"`` and ``"running_var"``
    have shape (in_ch,). The running variance is that of the batch itself, with the divisor m for m values. Inputs have
    shape (n_ex, in_rows, in_cols, in_ch).

    Examples
    --------
    >>> import numpy as np
    >>> layer = BatchNorm2D()
    >>> layer.forward(np.ones((2, 4, 4, 3))).shape, layer.parameters["running_mean"]
    ((2, 4, 4, 3), array([0.1, 0.1, 0.1]))
    """

    inputs = "(n_ex, in_rows, in_cols, in_ch)"
    hyperparameter_names = ("act_fn", "in_ch", "out_ch", "epsilon", "momentum")

    def __init__(self, momentum: float = 0.9, epsilon: float = 1e-5, optimizer: Any = None) -> None:
        super().__init__(optimizer)
        self.in_ch: int | None = None
        self.out_ch: int | None = None
        self.epsilon = not_negative("BatchNorm2D: epsilon", epsilon)
        self.momentum = unit("BatchNorm2D: momentum", momentum)
        self.parameters = {"scaler": None, "intercept": None, "running_var": None, "running_mean": None}

    def _init_params(self, X: Array) -> None:
        self.in_ch = self.out_ch = X.shape[-1]
        self.parameters = {
            "scaler": np.random.rand(self.in_ch),  # noqa: NPY002 - scripts seed the global generator
            "intercept": np.zeros(self.in_ch),
            "running_var": np.ones(self.in_ch),
            "running_mean": np.zeros(self.in_ch),
        }
        self._make_gradients()

    def _make_gradients(self) -> None:
        self.gradients = {name: np.zeros_like(self.parameters[name]) for name in ("scaler", "intercept")}

    def reset_running_stats(self) -> None:
        """Set the running mean to 0 and the running variance to 1."""
        if not self.trainable:
            raise RuntimeError(
                "BatchNorm2D: reset_running_stats needs a layer that is not frozen; call unfreeze() first"
            )
        if self.is_initialized:
            self.parameters["running_mean"] = np.zeros_like(self.parameters["running_mean"])
            self.parameters["running_var"] = np.ones_like(self.parameters["running_var"])

    def _fwd(self, X: Array, retain_derived: bool) -> tuple[Array, dict[str, Any]]:
        scaler, intercept = self._weights()
        if not (self.trainable and retain_derived):
            running = self.parameters["running_mean"], self.parameters["running_var"]
            y = F.batch_norm(X, *running, scaler, intercept, eps=self.epsilon, data_format="channels_last")
            return y, {}
        y, mean, variance = batch_norm_training(X, scaler, intercept, self.epsilon, "channels_last")
        for name, statistic in (("running_mean", mean), ("running_var", variance)):
            self.parameters[name] = self.momentum * self.parameters[name] + (1 - self.momentum) * statistic
        return y, {}

    def _bwd(self, dLdy: Array, X: Array, derived: Mapping[str, Any]) -> tuple[Array, dict[str, Array]]:
        dX, scaler, intercept = batch_norm_training_backward(dLdy, X, *self._weights(), self.epsilon, "channels_last")
        return dX, {"scaler": scaler, "intercept": intercept}

    def _weights(self) -> tuple[Array, Array]:
        return np.asarray(self.parameters["scaler"]), np.asarray(self.parameters["intercept"])
