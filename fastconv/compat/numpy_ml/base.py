"""What numpy-ml's layers do alike: parameters made at the first call, gradients that add up, updates."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from fastconv._checks import Array, check_shape, to_array
from fastconv.compat.numpy_ml import activations
from fastconv.compat.numpy_ml.sgd import SGD
from fastconv.initializers import compute_fans

_INITIALIZATIONS = ("glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "std_normal")


class LayerBase(ABC):
    """A layer of numpy-ml.

    Parameters
    ----------
    optimizer : object, optional
        What `update` calls, as ``parameter = optimizer(parameter, gradient, name, cur_loss)``, after
        ``optimizer.step()`` where it has that. By default ``SGD(lr=0.01)``.

    Attributes
    ----------
    parameters : dict of str to ndarray
        None each before the first forward pass. They may be changed in place or assigned at any time.
    gradients : dict of str to ndarray
        Sums of the gradients of all backward passes since the last `flush_gradients`.
    derived_variables : dict of str to list
        What forward passes kept for `backward`, beside `X`.
    X : list of ndarray
        Inputs of the forward passes since then.
    trainable : bool
        False after `freeze`.
    is_initialized : bool
        Whether the parameters exist.
    """

    inputs: str = "(n_ex, ...)"
    """Axes that an input must have."""

    hyperparameter_names: tuple[str, ...] = ()
    """Attributes that `hyperparameters` returns, apart from the layer's name and its optimizer."""

    def __init__(self, optimizer: Any = None) -> None:
        self.X: list[Array] = []
        self._output_shapes: list[tuple[int, ...]] = []
        self.act_fn: Any = None
        self.trainable = True
        self.is_initialized = False
        self.optimizer = _checked_optimizer(type(self).__name__, optimizer)
        self.parameters: dict[str, Any] = {}
        self.gradients: dict[str, Array] = {}
        self.derived_variables: dict[str, list[Any]] = {}

    # What subclasses define.

    def _init_params(self, X: Array) -> None:  # noqa: B027 - a layer may have none
        """Make the parameters for inputs like `X`."""

    @abstractmethod
    def _fwd(self, X: Array, retain_derived: bool) -> tuple[Array, dict[str, Any]]:
        """Return the output, and entries of `derived_variables` for `_bwd`."""

    @abstractmethod
    def _bwd(self, dLdy: Array, X: Array, derived: Mapping[str, Any]) -> tuple[Array, dict[str, Array]]:
        """Return the gradient of the input, and those of parameters by their names."""

    # What users call.

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """The layer's class, its constructor's arguments and what it has found out, by name."""
        values = {name: getattr(self, name) for name in self.hyperparameter_names}
        if self.act_fn is not None:
            values["act_fn"] = str(self.act_fn)
        optimizer = {
            "cache": getattr(self.optimizer, "cache", {}),
            "hyperparameters": getattr(self.optimizer, "hyperparameters", {}),
        }
        return {"layer": type(self).__name__, **values, "optimizer": optimizer}

    def forward(self, X: ArrayLike, retain_derived: bool = True) -> Array:
        """Return the output.

        Parameters
        ----------
        X : array_like
        retain_derived : bool
            Keep what `backward` needs. The input is kept as it is, not copied.

        Raises
        ------
        TypeError, ValueError
            If the layer cannot take such an input.
        """
        layer = type(self).__name__
        array = to_array(layer, "X", X)
        axes = self.inputs.count(",") + 1
        if array.ndim < 2 if "..." in self.inputs else array.ndim != axes:
            raise ValueError(f"{layer}: X must have axes {self.inputs}, got shape {array.shape}")
        if not self.is_initialized:
            self._init_params(array)
            self.is_initialized = True
        Y, derived = self._fwd(array, retain_derived)
        if retain_derived:
            self.X.append(array)
            self._output_shapes.append(Y.shape)
            for name, value in derived.items():
                self.derived_variables.setdefault(name, []).append(value)
        return Y

    def backward(self, dLdy: Any, retain_grads: bool = True) -> Any:
        """Return the gradient of the input of each forward pass since the last `flush_gradients`.

        Parameters
        ----------
        dLdy : array_like or list of array_like
            Gradient of the output; of several forward passes a list, in their order.
        retain_grads : bool
            Add the gradients of the parameters to `gradients`.

        Returns
        -------
        ndarray or list of ndarray
            A list for several passes.

        Raises
        ------
        RuntimeError
            If the layer is frozen, or there was no forward pass.
        ValueError
            If there are more or fewer gradients than forward passes, or one has another shape than the output.
        """
        layer = type(self).__name__
        self._check_trainable("backward")
        gradients = dLdy if isinstance(dLdy, list) else [dLdy]
        if not self.X:
            raise RuntimeError(f"{layer}: backward needs a forward pass with retain_derived=True before it")
        if len(gradients) != len(self.X):
            raise ValueError(
                f"{layer}: dLdy must be a list of {len(self.X)} gradients, one for each forward pass since "
                f"flush_gradients, got {len(gradients)}"
            )
        found = []
        for index, (given, X) in enumerate(zip(gradients, self.X, strict=True)):
            gradient = to_array(layer, "dLdy", given)
            check_shape(layer, "dLdy", gradient, self._output_shapes[index], ", that of the output")
            derived = {name: values[index] for name, values in self.derived_variables.items()}
            dX, own = self._bwd(gradient, X, derived)
            found.append(dX)
            if retain_grads:
                for name, value in own.items():
                    self.gradients[name] = self.gradients[name] + value
        return found if len(found) > 1 else found[0]

    def flush_gradients(self) -> None:
        """Set the gradients to 0, and forget what the forward passes kept."""
        self._check_trainable("flush_gradients")
        self.X = []
        self._output_shapes = []
        self.derived_variables = {name: [] for name in self.derived_variables}
        self.gradients = {name: np.zeros_like(value) for name, value in self.gradients.items()}

    def update(self, cur_loss: float | None = None) -> None:
        """Let the optimizer change the parameters, and flush the gradients."""
        self._check_trainable("update")
        if hasattr(self.optimizer, "step"):
            self.optimizer.step()
        for name, gradient in self.gradients.items():
            self.parameters[name] = self.optimizer(self.parameters[name], gradient, name, cur_loss)
        self.flush_gradients()

    def freeze(self) -> None:
        """Refuse `backward`, `update` and `flush_gradients` from now on."""
        self.trainable = False

    def unfreeze(self) -> None:
        """Take `freeze` back."""
        self.trainable = True

    def summary(self) -> dict[str, Any]:
        """Return name, parameters and hyperparameters, as `set_params` takes them."""
        return {
            "layer": type(self).__name__,
            "parameters": self.parameters,
            "hyperparameters": self.hyperparameters,
        }

    def set_params(self, summary_dict: Mapping[str, Any]) -> Self:
        """Take over parameters and hyperparameters; the optimizer stays.

        Parameters
        ----------
        summary_dict : mapping
            What `summary` returned, or parameters and hyperparameters by their names. Arrays are referenced, not
            copied.

        Returns
        -------
        LayerBase
            The layer itself.

        Raises
        ------
        ValueError
            A name that the layer does not have; nothing has changed then.
        """
        layer = type(self).__name__
        values = dict(summary_dict)
        for nested in ("parameters", "hyperparameters"):
            values |= values.pop(nested, {})
        kind = values.pop("layer", layer)
        if kind != layer:
            raise ValueError(f"{layer}: summary_dict must be of a {layer}, got one of a {kind}")
        values.pop("optimizer", None)
        values.pop("wrappers", None)
        for name in values:
            if name not in self.parameters and name not in self.hyperparameter_names:
                known = ", ".join((*self.parameters, *self.hyperparameter_names))
                raise ValueError(f"{layer}: summary_dict must have no names but {known}, got {name!r}")
        if values.get("act_fn") is not None:
            values["act_fn"] = activations.get(layer, values["act_fn"])
        for name, value in values.items():
            if name in self.parameters:
                self.parameters[name] = value
            else:
                setattr(self, name, value)
        if self.parameters and all(value is not None for value in self.parameters.values()):
            self._make_gradients()
            self.is_initialized = True
        return self

    def _make_gradients(self) -> None:
        """Start the sums of gradients of all parameters."""
        self.gradients = {name: np.zeros_like(value) for name, value in self.parameters.items()}

    def _initial(self, shape: tuple[int, ...], init: str) -> Array:
        """Return initial weights, drawn from NumPy's global generator as numpy-ml draws them."""
        fan_in, fan_out = compute_fans(shape)
        gain = getattr(self.act_fn, "gain", 1.0)
        if init == "std_normal":
            return np.random.randn(*shape)  # noqa: NPY002 - scripts seed the global generator
        deviation = gain * math.sqrt(2 / (fan_in + fan_out)) if init.startswith("glorot") else math.sqrt(2 / fan_in)
        if init.endswith("uniform"):
            limit = math.sqrt(3) * deviation
            return np.random.uniform(-limit, limit, shape)  # noqa: NPY002
        return deviation * _truncated_normal(shape)

    def _check_trainable(self, method: str) -> None:
        if not self.trainable:
            raise RuntimeError(
                f"{type(self).__name__}: {method} needs a layer that is not frozen; call unfreeze() first"
            )


def check_init(layer: str, init: object) -> str:
    """Return the name of an initialization; a ValueError if it is not known."""
    if init not in _INITIALIZATIONS:
        raise ValueError(f"{layer}: init must be one of {', '.join(map(repr, _INITIALIZATIONS))}, got {init!r}")
    return str(init)


def _checked_optimizer(layer: str, optimizer: Any) -> Callable[..., Array] | Any:
    if optimizer is None:
        return SGD()
    if not callable(optimizer):
        raise TypeError(
            f"{layer}: optimizer must be None or be callable as optimizer(param, grad, name, cur_loss), "
            f"got {optimizer!r}"
        )
    return optimizer


def _truncated_normal(shape: tuple[int, ...]) -> Array:
    """Draw from the standard normal distribution within (-2, 2)."""
    values = np.random.standard_normal(shape)  # noqa: NPY002
    while (outside := np.abs(values) >= 2).any():
        values[outside] = np.random.standard_normal(np.count_nonzero(outside))  # noqa: NPY002
    return values
