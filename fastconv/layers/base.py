"""What every layer does: its name, its weights, when they are made, and what it keeps for the gradient."""

import copy
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple, NotRequired, Self, TypedDict

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fastconv._checks import to_array
from fastconv._configurable import Configurable
from fastconv.activations import ActivationFunction
from fastconv.initializers import Initializer
from fastconv.layers._arguments import integer

Array = NDArray[Any]
Shape = tuple[int | None, ...]

_names_given: Counter[str] = Counter()


class WeightSpec(NamedTuple):
    """Shape of a weight and what fills it first."""

    shape: tuple[int, ...]
    initializer: Initializer


class LayerOptions(TypedDict):
    """Keyword arguments that every layer takes."""

    name: NotRequired[str | None]
    dtype: NotRequired[DTypeLike]
    input_shape: NotRequired[Sequence[int | None] | None]


class Layer(Configurable):
    """A step of a network that owns its weights. It works alone as well as in a model.

    A subclass defines `_forward`, `_backward`, and, where they are not trivial, `output_shape` and `weight_specs`.
    Constructor arguments are kept in attributes of their names.

    Parameters
    ----------
    name : str, optional
        By default the class name in snake case, numbered as Keras does: ``conv2d``, ``conv2d_1``...
    dtype : {"float32", "float64"}, default "float32"
        In which the layer computes; other input is converted.
    input_shape : tuple of int, optional
        Shape of one input without the batch axis; on the first layer of a `Sequential` it builds the model at once.

    Attributes
    ----------
    params : dict of str to ndarray
        Weights that are trained, by Keras' names. They may be changed in place or assigned at any time. An array of
        another dtype is replaced by a converted copy when the layer next runs.
    grads : dict of str to ndarray
        Gradients of `params`, as the last `backward` left them: each call replaces them, nothing accumulates.
    state : dict of str to ndarray
        Weights that are not trained by gradients.

    Notes
    -----
    Shapes given to `build` and `output_shape` have the batch axis in front, where None stands for any size, as in
    Keras. A training forward pass keeps references to its input and output, no copies: they must not be changed
    before `backward`.
    """

    axes: str | None = None
    """Axes that an input must have, such as "(batch, height, width, channels)"; None for any number."""

    activation: ActivationFunction | None = None
    """What the layer applies last, where it has such a thing."""

    def __init__(
        self, *, name: str | None = None, dtype: DTypeLike = "float32", input_shape: Sequence[int | None] | None = None
    ) -> None:
        self.dtype = np.dtype(dtype)
        if self.dtype not in (np.float32, np.float64):
            raise ValueError(f"{type(self).__name__}: dtype must be 'float32' or 'float64', got {self.dtype.name!r}")
        if name is not None and (not isinstance(name, str) or not name or "/" in name):
            raise ValueError(f"{type(self).__name__}: name must be a string that is not empty, without /, got {name!r}")
        self.name = auto_name(type(self)) if name is None else name
        self.input_shape = None if input_shape is None else _check_input_shape(type(self).__name__, input_shape)
        self.params: dict[str, Array] = {}
        self.grads: dict[str, Array] = {}
        self.state: dict[str, Array] = {}
        self._specs: dict[str, WeightSpec] | None = None
        self._saved: tuple[tuple[int, ...], Any] | None = None

    # What subclasses define.

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of the output for an input of `input_shape`, batch axis included."""
        return input_shape

    def weight_specs(self, input_shape: Shape) -> dict[str, WeightSpec]:
        """Return shape and initializer of every trained weight for an input of `input_shape`."""
        return {}

    def state_specs(self, input_shape: Shape) -> dict[str, WeightSpec]:
        """Return shape and initializer of every entry of `state`, what is kept but not trained by gradients."""
        return {}

    def _forward(self, x: Array, training: bool) -> tuple[Array, Any]:
        """Return the output and what `_backward` needs."""
        raise NotImplementedError(f"{type(self).__name__} must define _forward")

    def _backward(self, saved: Any, grad_y: Array, needs_input: bool) -> Array | None:
        """Fill `grads`; return the gradient of the input, or None where it is not needed."""
        raise NotImplementedError(f"{type(self).__name__} must define _backward")

    # What users call.

    def plan(self, input_shape: Shape) -> tuple[dict[str, WeightSpec], Shape]:
        """Return the weights that `build` would make and the shape of the output, and make nothing."""
        input_shape = tuple(input_shape)
        self._check_axes(input_shape)
        return self.weight_specs(input_shape), self.output_shape(input_shape)

    @property
    def built(self) -> bool:
        """Whether the weights exist."""
        return self._specs is not None

    def build(self, input_shape: Shape) -> None:
        """Make the weights for inputs of `input_shape`; those that were assigned before are kept.

        Raises
        ------
        ValueError
            If the layer cannot take such an input, or an assigned weight has another shape.
        """
        specs, _ = self.plan(input_shape)
        for name, spec in specs.items():
            if name not in self.params:
                self.params[name] = spec.initializer(spec.shape, self.dtype)
            self._checked(name, spec)
        for name, spec in self.state_specs(tuple(input_shape)).items():
            if name not in self.state:
                self.state[name] = spec.initializer(spec.shape, self.dtype)
        self._specs = specs

    def __call__(self, x: ArrayLike, training: bool = False) -> Array:
        """Return ``forward(x, training)``."""
        return self.forward(x, training)

    def forward(self, x: ArrayLike, training: bool = False) -> Array:
        """Return the layer's output; `training` also keeps what `backward` needs, and turns dropout on.

        Raises
        ------
        ValueError
            If the layer cannot take an input of this shape.
        """
        x = to_array(type(self).__name__, "input", x).astype(self.dtype, copy=False)
        if self._specs is None:
            self.build(x.shape)
        self._check_axes(x.shape)
        y, saved = self._forward(x, training)
        if training:
            self._saved = y.shape, saved
        return y

    def backward(self, grad_y: ArrayLike, *, needs_input: bool = True) -> Array | None:
        """Fill `grads` and return the gradient of the input of the last training forward pass.

        Parameters
        ----------
        grad_y : array_like
            Gradient of the output.
        needs_input : bool, default True
            Whether the gradient of the input is wanted; without it, None is returned where leaving it out saves work.

        Raises
        ------
        RuntimeError
            If there was no ``forward(..., training=True)``.
        """
        if self._saved is None:
            raise RuntimeError(f"{self.name}: backward needs a forward pass with training=True before it")
        shape, saved = self._saved
        grad_y = to_array(type(self).__name__, "grad_y", grad_y).astype(self.dtype, copy=False)
        if grad_y.shape != shape:
            raise ValueError(f"{self.name}: grad_y must have the output's shape {shape}, got {grad_y.shape}")
        return self._backward(saved, grad_y, needs_input)

    def release(self) -> None:
        """Drop what the last training forward pass kept for `backward`."""
        self._saved = None

    def reseed(self, *entropy: int) -> None:
        """Restart the layer's random numbers, where it draws any, from `entropy`.

        The first number is the seed of the training, which a layer with a seed of its own replaces by that.
        """

    def count_params(self) -> int:
        """Return the number of weights, trained or not."""
        return sum(array.size for array in (*self.params.values(), *self.state.values()))

    def without_activation(self) -> Self:
        """Return a layer on the same weights and gradients that leaves the last activation out.

        A loss that includes the softmax or sigmoid reads its logits from it.
        """
        twin = copy.copy(self)
        twin.activation = None
        return twin

    def weight(self, name: str) -> Array:
        """Return an entry of `params` as the layer computes with it: of its dtype, and of the shape it was built with.

        Raises
        ------
        ValueError
            If an array of another shape was assigned.
        """
        assert self._specs is not None, "build makes the weights"
        return self._checked(name, self._specs[name])

    def _checked(self, name: str, spec: WeightSpec) -> Array:
        array = self.params[name]
        if not isinstance(array, np.ndarray) or array.dtype != self.dtype:
            array = self.params[name] = to_array(self.name, f"params[{name!r}]", array).astype(self.dtype)
        if array.shape != spec.shape:
            raise ValueError(f"{self.name}: params[{name!r}] must have shape {spec.shape}, got {array.shape}")
        return array

    def _check_axes(self, shape: Shape) -> None:
        if self.axes is not None and len(shape) != self.axes.count(",") + 1:
            raise ValueError(f"{self.name}: input must have axes {self.axes}, got shape {shape}")


def auto_name(cls: type) -> str:
    """Return the next free name for an object of `cls`: its class name in snake case, with a number from the second on.

    Examples
    --------
    >>> class MaxPooling9D: ...
    >>> auto_name(MaxPooling9D), auto_name(MaxPooling9D)
    ('max_pooling9d', 'max_pooling9d_1')
    """
    stem = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", cls.__name__)
    stem = re.sub(r"([a-z])([A-Z])", r"\1_\2", stem).lower()
    number = _names_given[stem]
    _names_given[stem] += 1
    return f"{stem}_{number}" if number else stem


def _check_input_shape(layer: str, shape: Sequence[int | None]) -> Shape:
    if isinstance(shape, int | str) or not isinstance(shape, Sequence):
        raise TypeError(f"{layer}: input_shape must be a tuple without the batch axis, got {shape!r}")
    return tuple(None if size is None else integer(f"{layer}: input_shape", size) for size in shape)
