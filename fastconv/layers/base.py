"""What every layer does: its name, its weights, when they are made, and what it keeps for the gradient."""

import re
import weakref
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, NotRequired, Self, TypedDict, overload

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fastconv import regularizers
from fastconv._checks import to_array, to_dtype
from fastconv._configurable import Configurable, serialize
from fastconv._memory import converted
from fastconv._weights import Weighted
from fastconv.activations import ActivationFunction
from fastconv.graph import Graph, SymbolicTensor, connect, is_symbolic, symbolic_inputs
from fastconv.graph import Shape as Shape
from fastconv.initializers import Initializer
from fastconv.layers._arguments import integer
from fastconv.layers._windows import Window, own_place

Array = NDArray[Any]

_names_given: Counter[str] = Counter()


class WeightSpec(NamedTuple):
    """Shape of a weight and what fills it first."""

    shape: tuple[int, ...]
    initializer: Initializer


class LayerOptions(TypedDict):
    """Keyword arguments that every layer takes, and the regularizers of those that have such weights."""

    name: NotRequired[str | None]
    dtype: NotRequired[DTypeLike]
    input_shape: NotRequired[Sequence[int | None] | None]
    trainable: NotRequired[bool]
    kernel_regularizer: NotRequired[object]
    bias_regularizer: NotRequired[object]
    depthwise_regularizer: NotRequired[object]
    pointwise_regularizer: NotRequired[object]
    gamma_regularizer: NotRequired[object]
    beta_regularizer: NotRequired[object]
    alpha_regularizer: NotRequired[object]


class Call(NamedTuple):
    """What a forward pass left for the gradient: the shape of its output, and what the layer saved."""

    output_shape: tuple[int, ...]
    saved: Any


WeightSource = Callable[[str, WeightSpec, np.dtype[Any]], Array]
"""Returns the weight of a name: its path within the layer or model that is built."""


class Layer(Weighted, Configurable):
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
    trainable : bool, default True
        Whether `backward` finds gradients of the weights, and training changes them. May be set at any time.
    kernel_regularizer, bias_regularizer... : str or Regularizer, optional
        For the layers that have such weights: a penalty that training adds to the loss, see `fastconv.regularizers`.

    Attributes
    ----------
    params : dict of str to ndarray
        Weights that are trained, by Keras' names. They may be changed in place or assigned at any time. An array of
        another dtype is replaced by a converted copy when the layer next runs.
    grads : dict of str to ndarray
        Gradients of `params`, as the last `backward` left them: each call replaces them, nothing accumulates.
    state : dict of str to ndarray
        Weights that are not trained by gradients.
    regularizers : dict of str to Regularizer
        Those that were given, by the names of their weights.

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

    takes_maxima: ClassVar[bool] = False
    """Whether each value of the output is one of the input's, the largest of some, and its gradient goes there."""

    several_inputs: bool = False
    """Whether the layer takes a list of inputs; shapes, arrays and gradients of its input are then lists, too."""

    regularized: ClassVar[tuple[str, ...]] = ()
    """Names of the weights that a regularizer may be given for, as the argument `_regularizer_argument`."""

    graph: Graph | None = None
    """The layers that stand in for this one when a model runs: a model that is used as a layer has them."""

    def __init__(
        self,
        *,
        name: str | None = None,
        dtype: DTypeLike = "float32",
        input_shape: Sequence[int | None] | None = None,
        trainable: bool = True,
        **regularizer: object,
    ) -> None:
        self.dtype = to_dtype(type(self).__name__, dtype)
        if self.dtype not in (np.float32, np.float64):
            raise ValueError(f"{type(self).__name__}: dtype must be 'float32' or 'float64', got {self.dtype.name!r}")
        if name is not None and (not isinstance(name, str) or not name or "/" in name):
            raise ValueError(f"{type(self).__name__}: name must be a string that is not empty, without /, got {name!r}")
        self.name = auto_name(type(self)) if name is None else name
        self._declared_shape = None if input_shape is None else _check_input_shape(type(self).__name__, input_shape)
        self.trainable = bool(trainable)
        self.regularizers = self._check_regularizers(regularizer)
        self.params: dict[str, Array] = {}
        self._grads: dict[str, Array] = {}
        self.state: dict[str, Array] = {}
        self._specs: dict[str, WeightSpec] | None = None
        self._saved: Call | None = None
        self._calls: list[list[weakref.ref[SymbolicTensor]]] = []

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

    def window(self, input_shape: Shape) -> Window | None:
        """Return what an output sees of an input of `input_shape`; None where no window says that.

        By default an output sees its own place alone, which holds where the shape stays as it is.
        """
        if self.output_shape(input_shape) != input_shape:
            return None
        return own_place(max(len(input_shape) - 2, 0))

    def multiply_adds(self, input_shape: Shape) -> int:
        """Return how many multiplications with a weight one input takes; sizes that are not known count as 1."""
        return 0

    def _forward(self, x: Array, training: bool) -> tuple[Array, Any]:
        """Return the output and what `_backward` needs."""
        raise NotImplementedError(f"{type(self).__name__} must define _forward")

    def _backward(self, saved: Any, grad_y: Array, needs_input: bool) -> Array | list[Array] | None:
        """Fill `grads`; return the gradient of the input, or None where it is not needed."""
        raise NotImplementedError(f"{type(self).__name__} must define _backward")

    # What users call.

    @property
    def grads(self) -> dict[str, Array]:
        """Gradients of `params`, by the same names. Assigning them fills the same dict, which `without_activation`
        shares."""
        return self._grads

    @grads.setter
    def grads(self, value: Mapping[str, Array]) -> None:
        found = dict(value)
        self._grads.clear()
        self._grads.update(found)

    @property
    def input_shape(self) -> Shape | None:
        """The argument `input_shape`: the shape of one input."""
        return self._declared_shape

    @property
    def built(self) -> bool:
        """Whether the weights exist."""
        return self._specs is not None

    def build(self, input_shape: Shape, weights: WeightSource | None = None) -> None:
        """Make the weights for inputs of `input_shape`; those that were assigned before are kept.

        Parameters
        ----------
        input_shape : tuple of int or None
        weights : callable, optional
            ``weights(name, spec, dtype)`` returns what the initializers make otherwise.

        Raises
        ------
        ValueError
            If the layer cannot take such an input, or an assigned weight has another shape.
        """
        self._check_axes(input_shape)
        self.output_shape(input_shape)
        specs = self.weight_specs(input_shape)
        for arrays, wanted in ((self.params, specs), (self.state, self.state_specs(input_shape))):
            for name, spec in wanted.items():
                if name not in arrays:
                    given = None if weights is None else weights(name, spec, self.dtype)
                    arrays[name] = spec.initializer(spec.shape, self.dtype) if given is None else given
        for name, spec in specs.items():
            self._checked(name, spec)
        self._specs = specs

    @overload
    def __call__(self, x: SymbolicTensor | Sequence[SymbolicTensor], training: bool = False) -> SymbolicTensor: ...

    @overload
    def __call__(self, x: ArrayLike, training: bool = False) -> Array: ...

    def __call__(self, x: Any, training: bool = False) -> Any:
        """Return ``forward(x, training)``; for what `fastconv.Input` made, note the call in its graph.

        A layer that several calls note is the same layer in all of them: its weights are shared.
        """
        return self.connect(x) if is_symbolic(x) else self.forward(x, training)

    def connect(self, x: Any, weights: WeightSource | None = None) -> Any:
        """Build the layer for symbolic input, with weights as in `build`, and return its symbolic output."""
        tensors = self.sources(symbolic_inputs(self.name, x))
        shapes = [tensor.shape for tensor in tensors]
        outputs = connect(self, tensors, self.output_shapes(shapes))
        self.build(self.joined(shapes), weights)
        return outputs[0] if len(outputs) == 1 else outputs

    @property
    def input(self) -> SymbolicTensor | list[SymbolicTensor]:
        """The symbolic input of the layer's first call in a graph, or a list of them where it takes several.

        Raises
        ------
        AttributeError
            If no model that still exists has the layer.
        """
        output = self._first_call("input")[0]
        tensors = list(output.node.inputs) or [output]
        return tensors if self.several_inputs else tensors[0]

    @property
    def output(self) -> SymbolicTensor | list[SymbolicTensor]:
        """The symbolic output of the layer's first call in a graph: with it, a model ends at this layer.

        Raises
        ------
        AttributeError
            If no model that still exists has the layer.

        Examples
        --------
        >>> import fastconv as fc
        >>> model = fc.Sequential([fc.layers.Conv2D(8, 3, input_shape=(28, 28, 1)), fc.layers.MaxPooling2D(2)])
        >>> maps = fc.Model(inputs=model.inputs, outputs=[layer.output for layer in model.layers])
        >>> [tensor.shape for tensor in maps.outputs]
        [(None, 26, 26, 8), (None, 13, 13, 8)]
        """
        outputs = self._first_call("output")
        return outputs if len(outputs) > 1 else outputs[0]

    def note_call(self, outputs: Sequence[SymbolicTensor]) -> None:
        """Remember the outputs of a call in a graph as long as the graph exists, for `input` and `output`."""
        self._calls = [*self._living_calls(), [weakref.ref(tensor) for tensor in outputs]]

    def _living_calls(self) -> list[list[weakref.ref[SymbolicTensor]]]:
        return [call for call in self._calls if any(tensor() is not None for tensor in call)]

    def _first_call(self, wanted: str) -> list[SymbolicTensor]:
        for call in self._living_calls():
            return [tensor for tensor in (reference() for reference in call) if tensor is not None]
        raise AttributeError(
            f"{self.name}: {wanted} is known where the layer is part of a model, or was called with Input"
        )

    def declared_shape(self) -> Shape | None:
        """Return the shape of the input that the layer was made for, batch axis included, if it is known."""
        return None if self.input_shape is None else (None, *self.input_shape)

    def output_shapes(self, input_shapes: Sequence[Shape]) -> list[Shape]:
        """Return the shapes of all outputs, given those of all inputs."""
        input_shape = self.joined(input_shapes)
        self._check_axes(input_shape)
        return [self.output_shape(input_shape)]

    def sources(self, tensors: Sequence[SymbolicTensor]) -> list[SymbolicTensor]:
        """Return the inputs that the layer takes where it is called with `tensors`, or follows them in a model.

        By default these; a layer that undoes an earlier one takes what that one had, too.
        """
        return list(tensors)

    def joined(self, values: Sequence[Any]) -> Any:
        """Return shapes or arrays of all inputs as the layer's methods take them: a list, or the only one."""
        if self.several_inputs:
            return list(values)
        if len(values) != 1:
            raise ValueError(f"{self.name}: input must be one array, got {len(values)}")
        return values[0]

    def forward(self, x: ArrayLike, training: bool = False) -> Any:
        """Return the layer's output; `training` also keeps what `backward` needs, and turns dropout on.

        Raises
        ------
        ValueError
            If the layer cannot take an input of this shape.
        """
        y, call = self.run(x, training)
        if training:
            self._saved = call
        return y

    def backward(self, grad_y: ArrayLike, *, needs_input: bool = True) -> Any:
        """Fill `grads` and return the gradient of the input of the last training forward pass.

        Parameters
        ----------
        grad_y : array_like
            Gradient of the output.
        needs_input : bool, default True
            Whether the gradient of the input is wanted; without it, None is returned where leaving it out saves work.

        Returns
        -------
        ndarray, list of ndarray or None
            A list for a layer of several inputs.

        Raises
        ------
        RuntimeError
            If there was no ``forward(..., training=True)``.
        """
        if self._saved is None:
            raise RuntimeError(f"{self.name}: backward needs a forward pass with training=True before it")
        return self.run_backward(self._saved, grad_y, needs_input)

    def run(self, x: Any, training: bool) -> tuple[Any, Call | None]:
        """Return the output, and in training what `run_backward` needs of this call; the layer itself keeps nothing."""
        y, saved = self._forward(self._ready(x), training)
        return y, Call(y.shape, saved) if training else None

    def run_backward(self, call: Call, grad_y: Any, needs_input: bool) -> Any:
        """Fill `grads` and return the gradient of the input of one call of `run`, as `backward` does."""
        grad_x = self._backward(call.saved, self._ready_gradient(call, grad_y), needs_input)
        if not self.trainable:
            self.grads.clear()
        return grad_x

    @property
    def trains(self) -> bool:
        """Whether there are weights that training changes."""
        return self.trainable and bool(self.params)

    def penalty(self) -> float:
        """Return the sum of what the regularizers take for the weights; 0 where they are not trained."""
        if not (self.regularizers and self.trains):
            return 0.0
        return sum(
            regularizer(self.params[name]) for name, regularizer in self.regularizers.items() if name in self.params
        )

    def add_penalty_gradients(self) -> None:
        """Add the gradient of `penalty` to `grads`."""
        for name, regularizer in self.regularizers.items():
            if name in self.grads:
                self.grads[name] = self.grads[name] + regularizer.gradient(self.params[name])

    def release(self) -> None:
        """Drop what the last training forward pass kept for `backward`."""
        self._saved = None

    def reseed(self, *entropy: int) -> None:
        """Restart the layer's random numbers, where it draws any, from `entropy`.

        The first number is the seed of the training, which a layer with a seed of its own replaces by that.
        """

    @property
    def weights(self) -> list[Array]:
        """The arrays themselves, trained or not, in the order of Keras: what is written into one, the layer has."""
        return [*(self.weight(name) for name in self.params), *self.state.values()]

    @property
    def trainable_weights(self) -> list[Array]:
        """Those of `weights` that training changes."""
        return [self.weight(name) for name in self.params] if self.trainable else []

    @property
    def non_trainable_weights(self) -> list[Array]:
        """The others."""
        return list(self.state.values()) if self.trainable else self.weights

    def count_params(self) -> int:
        """Return the number of weights, trained or not."""
        return sum(array.size for array in (*self.params.values(), *self.state.values()))

    def without_activation(self) -> Self:
        """Return a layer on the same weights and gradients that leaves the last activation out.

        A loss that includes the softmax or sigmoid reads its logits from it.
        """
        # Once a step: copy.copy takes four times as long.
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__, _saved=None, activation=None)
        return twin

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments by name, as values that JSON can hold."""
        given = {
            self._regularizer_argument(name): serialize(self.regularizers[name]) if name in self.regularizers else None
            for name in self.regularized
        }
        return {**super().get_config(), **given}

    def weight(self, name: str) -> Array:
        """Return an entry of `params` as the layer computes with it: of its dtype, and of the shape it was built with.

        Raises
        ------
        ValueError
            If an array of another shape was assigned.
        """
        assert self._specs is not None, "build makes the weights"
        spec, array = self._specs[name], self.params[name]
        fits = type(array) is np.ndarray and array.dtype == self.dtype and array.shape == spec.shape
        return array if fits else self._checked(name, spec)

    def _needs(self, needs_input: bool) -> tuple[str, ...]:
        """Return what `needs` is for a function whose gradients are those of (input, weight, bias)."""
        return (*(("input",) if needs_input else ()), *(("weight", "bias") if self.trainable else ()))

    def _ready(self, x: Any) -> Any:
        """Return what `_forward` takes, of the layer's dtype and of axes that it can have; the layer is built then."""
        inputs: Any
        shape: Any
        if self.several_inputs:
            inputs, shape = self._list_of_inputs(x)
        else:
            inputs = self._convert("input", x)
            shape = inputs.shape
        if self._specs is None:
            self.build(shape)
        self._check_axes(shape)
        return inputs

    def _ready_gradient(self, call: Call, grad_y: Any) -> Array:
        """Return what `_backward` takes, of the layer's dtype and the output's shape."""
        gradient = self._convert("grad_y", grad_y)
        if gradient.shape != call.output_shape:
            raise ValueError(
                f"{self.name}: grad_y must have the output's shape {call.output_shape}, got {gradient.shape}"
            )
        return gradient

    def _list_of_inputs(self, x: Any) -> tuple[list[Array], list[Shape]]:
        """Return several inputs and their shapes as `_forward` and `build` take them."""
        if not isinstance(x, list | tuple):
            raise TypeError(f"{self.name}: input must be a list of arrays, got {type(x).__name__}")
        arrays = [self._convert(f"input[{index}]", array) for index, array in enumerate(x)]
        return arrays, [array.shape for array in arrays]

    def _convert(self, argument: str, value: Any) -> Array:
        """Return an input or a gradient as an array of the layer's dtype."""
        if type(value) is np.ndarray and value.dtype == self.dtype:
            return value
        array = to_array(type(self).__name__, argument, value)
        return array if array.dtype == self.dtype else converted(array, self.dtype)

    @staticmethod
    def _regularizer_argument(weight: str) -> str:
        """Return the name of the argument for the regularizer of a weight."""
        return f"{weight.removesuffix('_kernel')}_regularizer"

    def _check_regularizers(self, arguments: dict[str, object]) -> dict[str, regularizers.Regularizer]:
        weights = {self._regularizer_argument(name): name for name in self.regularized}
        layer = type(self).__name__
        for argument in arguments:
            if argument not in weights:
                raise TypeError(f"{layer}.__init__() got an unexpected keyword argument {argument!r}")
        return {
            weights[argument]: regularizers.get(value, f"{layer}: {argument}")
            for argument, value in arguments.items()
            if value is not None
        }

    def __getstate__(self) -> dict[str, Any]:
        """Leave out of copies and pickles what is kept for `backward`, and calls: the copied graph notes its own."""
        return {**self.__dict__, "_saved": None, "_calls": []}

    def _checked(self, name: str, spec: WeightSpec) -> Array:
        array = self.params[name]
        if not isinstance(array, np.ndarray) or array.dtype != self.dtype:
            array = self.params[name] = to_array(self.name, f"params[{name!r}]", array).astype(self.dtype)
        if array.shape != spec.shape:
            raise ValueError(f"{self.name}: params[{name!r}] must have shape {spec.shape}, got {array.shape}")
        return array

    def _check_axes(self, shape: Any) -> None:
        if self.axes is not None and not self.several_inputs and len(shape) != self.axes.count(",") + 1:
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
