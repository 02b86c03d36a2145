"""Weights from and for PyTorch and Keras: arrays in other orders and under other names; neither is imported.

===========================  ==================================  ===========================================
layer                        PyTorch                             fastconv and Keras
===========================  ==================================  ===========================================
Conv1D, Conv2D, Conv3D       weight (out, in / groups, ...)      kernel (..., in / groups, out)
Conv1DTranspose...           weight (in, out, ...)               kernel (..., out, in)
DepthwiseConv2D              weight (in * multiplier, 1, kh, kw) kernel (kh, kw, in, multiplier)
SeparableConv1D, 2D          two convolutions                    depthwise_kernel, pointwise_kernel
SpatiallySeparableConv2D     two convolutions                    column_kernel, row_kernel (Keras has none)
Dense                        weight (out, in)                    kernel (in, out)
BatchNormalization           weight, bias,                       gamma, beta,
                             running_mean, running_var           moving_mean, moving_variance
LayerNormalization,          weight, bias                        gamma, beta
GroupNormalization
PReLU                        weight (channels) or (1)            alpha, of one size but for axes of length 1
===========================  ==================================  ===========================================

The weights are all that is carried over. For the same outputs a model must also do the same with them:

- **"same" with a stride of 2.** PyTorch pads by the same number on both sides, Keras and fastconv put the odd zero
  behind the input: 3x3 with stride 2 on 32x32 pixels pads (1, 1) in PyTorch's ``padding=1`` and (0, 1) in Keras'
  "same". Both give 16x16 outputs, of windows that lie one pixel apart. Weights of PyTorch need ``ZeroPadding2D(1)`` and
  then a ``Conv2D(..., padding="valid")``; with ``padding="same"`` the model is Keras'. With stride 1 and an odd kernel
  the two are one. The same holds for max pooling, where PyTorch's padding never is the maximum: after a ReLU, zeros do
  as well.
- **Flatten.** PyTorch flattens (channels, height, width), Keras and fastconv (height, width, channels). The functions
  here reorder what follows, so that a `Dense` layer after a `Flatten` is right as it is.
- **BatchNormalization.** epsilon is 1e-5 in PyTorch and 1e-3 in Keras: give ``epsilon=1e-5``. The momentum m of PyTorch
  is ``1 - m`` in Keras; PyTorch's running variance has the divisor m - 1, and matters in training only.
- **Transposed convolution.** PyTorch's `padding` is cut off on both sides; here "valid" cuts off nothing, and "same"
  leaves ``stride * in``.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fastconv._checks import Array, to_array
from fastconv.executor import Step
from fastconv.graph import Shape
from fastconv.layers import Dense, DepthwiseConv2D, Flatten, Permute, Reshape
from fastconv.layers.base import Layer
from fastconv.models.base import BaseModel

_TORCH_NAMES = {
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "alpha": "weight",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def from_torch_state_dict(
    model: BaseModel, state_dict: Mapping[str, ArrayLike], modules: Sequence[str] | None = None
) -> None:
    """Copy the weights of a PyTorch module into a model.

    Parameters
    ----------
    model : Sequential or Model
        Built: its weights exist.
    state_dict : mapping of str to array_like
        What ``module.state_dict()`` returns: tensors on the CPU, or arrays. ``num_batches_tracked`` is left out.
    modules : sequence of str, optional
        For each layer that has weights, in the order of ``model.layers`` but each branch of a graph to its end before
        the next, as modules are defined in PyTorch, the name of its module, such as
        ``"features.0"``; for separable layers two. By default all modules in the order of `state_dict`.

    Raises
    ------
    RuntimeError
        The model is not built.
    TypeError
        Something else than a model, or weights that are no arrays of real numbers.
    ValueError
        More or fewer modules than layers with weights, a weight that is missing, left over or of another shape; the
        text names the layer. No weight has changed then.
    NotImplementedError
        A layer that PyTorch has no counterpart of here, or features whose order cannot be followed.

    See Also
    --------
    to_torch_state_dict : the way back.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import Sequential
    >>> from fastconv.layers import Conv2D, Dense, Flatten
    >>> model = Sequential([Conv2D(2, 3, input_shape=(5, 5, 1)), Flatten(), Dense(4)])
    >>> state_dict = {
    ...     "conv.weight": np.ones((2, 1, 3, 3)), "conv.bias": np.zeros(2),
    ...     "fc.weight": np.arange(72.0).reshape(4, 18), "fc.bias": np.zeros(4),
    ... }
    >>> from_torch_state_dict(model, state_dict)
    >>> model.layers[2].params["kernel"][:4, 0]  # the channels of a pixel are 9 apart in PyTorch
    array([ 0.,  9.,  1., 10.], dtype=float32)
    """
    function = "from_torch_state_dict"
    blocks = _blocks(function, model)
    groups = _grouped(function, state_dict)
    names = _module_names(function, blocks, list(groups) if modules is None else modules)
    arrays = {}
    for block, name in zip(blocks, names, strict=True):
        if name not in groups:
            raise ValueError(
                f"{function}: state_dict must have weights of {name!r}, got {', '.join(map(repr, groups))}"
            )
        found = groups.pop(name)
        for weight in block.weights:
            array = found.pop(weight.torch_name, None)
            arrays[weight] = _from_torch(function, f"{name}.{weight.torch_name}", array, weight)
        if found:
            raise ValueError(
                f"{function}: layer {block.path!r} must have all weights of {name!r}, got none for {[*found]}"
            )
    if groups:
        raise ValueError(f"{function}: modules must name all that state_dict has, got none for {[*groups]}")
    for weight, array in arrays.items():
        weight.assign(array)


def to_torch_state_dict(model: BaseModel, modules: Sequence[str] | None = None) -> dict[str, Array]:
    """Return the weights of a model as PyTorch has them.

    Parameters
    ----------
    model : Sequential or Model
        Built: its weights exist.
    modules : sequence of str, optional
        As in `from_torch_state_dict`; by default the names of the layers, with a dot for each slash, and the step
        behind them for separable layers.

    Returns
    -------
    dict of str to ndarray
        Copies, such as ``"conv2d.weight"``; ``{name: torch.from_numpy(array) for name, array in ...}`` is what
        ``module.load_state_dict`` takes.

    Raises
    ------
    RuntimeError, TypeError, ValueError, NotImplementedError
        As `from_torch_state_dict`.

    Examples
    --------
    >>> from fastconv import Sequential
    >>> from fastconv.layers import BatchNormalization, Conv2D
    >>> model = Sequential([Conv2D(2, 3, input_shape=(5, 5, 1), name="conv"), BatchNormalization(name="norm")])
    >>> for name, array in to_torch_state_dict(model).items():
    ...     print(name, array.shape)
    conv.weight (2, 1, 3, 3)
    conv.bias (2,)
    norm.weight (2,)
    norm.bias (2,)
    norm.running_mean (2,)
    norm.running_var (2,)
    """
    function = "to_torch_state_dict"
    blocks = _blocks(function, model)
    names = _module_names(function, blocks, [block.torch_path for block in blocks] if modules is None else modules)
    return {
        f"{name}.{weight.torch_name}": weight.to_torch()
        for block, name in zip(blocks, names, strict=True)
        for weight in block.weights
    }


def from_keras_weights(model: BaseModel, weights: Sequence[ArrayLike] | Mapping[str, Sequence[ArrayLike]]) -> None:
    """Copy the weights of a Keras model into a model.

    The arrays have the same shapes and order in both, so nothing is transposed.

    Parameters
    ----------
    model : Sequential or Model
        Built: its weights exist.
    weights : sequence of array_like, or mapping of str to sequence of array_like
        What ``keras_model.get_weights()`` returns, or ``layer.get_weights()`` by the names of the layers here, where
        the layers of the two models stand in another order.

    Raises
    ------
    RuntimeError
        The model is not built.
    TypeError
        Something else than a model, or weights that are no arrays of real numbers.
    ValueError
        Layers or arrays that are missing or left over, an array of another shape; the text names the layer. No weight
        has changed then.

    See Also
    --------
    to_keras_weights : the way back.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import Sequential
    >>> from fastconv.layers import Dense
    >>> model = Sequential([Dense(2, input_shape=(3,))])
    >>> from_keras_weights(model, [np.ones((3, 2)), np.array([0.0, 10.0])])
    >>> model.predict(np.ones((1, 3)))
    array([[ 3., 13.]], dtype=float32)
    """
    function = "from_keras_weights"
    layers = _layers_with_weights(function, model)
    by_layer = weights if isinstance(weights, Mapping) else _dealt(function, layers, weights)
    for path in by_layer:
        if path not in layers:
            raise ValueError(f"{function}: weights must be of layers {[*layers]}, got some of {path!r}")
    arrays = []
    for path, layer in layers.items():
        if path not in by_layer:
            raise ValueError(f"{function}: weights must have those of layer {path!r}, got {[*by_layer]}")
        places = _places(layer)
        given = by_layer[path]
        if len(given) != len(places):
            names = ", ".join(name for _, name in places)
            raise ValueError(f"{function}: layer {path!r} must have {len(places)} weights ({names}), got {len(given)}")
        for (target, name), value in zip(places, given, strict=True):
            array = to_array(function, f"{name} of layer {path!r}", value)
            if array.shape != target[name].shape:
                raise ValueError(
                    f"{function}: {name} of layer {path!r} must have shape {target[name].shape}, got {array.shape}"
                )
            arrays.append((layer, target, name, array))
    for layer, target, name, array in arrays:
        target[name] = np.array(array, layer.dtype)


def to_keras_weights(model: BaseModel) -> list[Array]:
    """Return the weights of a model as ``keras_model.set_weights`` takes them.

    Parameters
    ----------
    model : Sequential or Model
        Built: its weights exist.

    Returns
    -------
    list of ndarray
        Copies, layer by layer, each with those that are trained first.

    Raises
    ------
    RuntimeError, TypeError
        As `from_keras_weights`.

    Examples
    --------
    >>> from fastconv import Sequential
    >>> from fastconv.layers import Dense
    >>> [array.shape for array in to_keras_weights(Sequential([Dense(2, input_shape=(3,))]))]
    [(3, 2), (2,)]
    """
    layers = _layers_with_weights("to_keras_weights", model)
    return [target[name].copy() for layer in layers.values() for target, name in _places(layer)]


class _Weight(NamedTuple):
    """A weight of a layer, and how PyTorch has it.

    Attributes
    ----------
    order : tuple of int or None
        For the axis of the layer's input features: the place of each in PyTorch.
    """

    path: str
    layer: Layer
    name: str
    torch_name: str
    order: tuple[int, ...] | None

    @property
    def target(self) -> dict[str, Array]:
        return self.layer.params if self.name in self.layer.params else self.layer.state

    def assign(self, array: Array) -> None:
        """Put in an array of PyTorch's."""
        value = self._turned(array) if array.ndim > 1 else array
        if self.order is not None:
            value = value[list(self.order)]
        self.target[self.name] = np.array(value.reshape(self.target[self.name].shape), self.layer.dtype, order="C")

    def to_torch(self) -> Array:
        """Return the array as PyTorch has it, a copy."""
        value = self.target[self.name]
        if self.name == "alpha":
            value = value.reshape(-1)
        if self.order is not None:
            value = value[np.argsort(self.order)]
        if value.ndim == 1:
            return value.copy()
        if isinstance(self.layer, Dense):
            return np.array(value.T, order="C")
        return np.array(np.moveaxis(self._with_one_input(value), (-1, -2), (0, 1)), order="C")

    def _turned(self, array: Array) -> Array:
        """Return PyTorch's array with the axes in the layer's order."""
        return array.T if isinstance(self.layer, Dense) else np.moveaxis(array, (0, 1), (-1, -2))

    def _with_one_input(self, kernel: Array) -> Array:
        """Return a depthwise kernel, kept as [*tap][channel][multiple], as [*tap][0][output channel]."""
        depthwise = self.name == "depthwise_kernel" or isinstance(self.layer, DepthwiseConv2D)
        return kernel.reshape(*kernel.shape[:-2], 1, -1) if depthwise else kernel


class _Block(NamedTuple):
    """The weights of a layer, or of one step of it, that are one module in PyTorch."""

    path: str
    torch_path: str
    weights: tuple[_Weight, ...]


def _blocks(function: str, model: BaseModel) -> list[_Block]:
    """Return what has a module of its own in PyTorch, in the order that modules have there."""
    layers = _layers_with_weights(function, model, by_branch=True)
    orders = _FeatureOrders(function, model).of_input
    return [block for path, layer in layers.items() for block in _layer_blocks(function, path, layer, orders)]


def _layer_blocks(function: str, path: str, layer: Layer, orders: Mapping[int, "_Order"]) -> Iterator[_Block]:
    names = [*layer.params, *layer.state]
    kernels = [name for name in names if name.endswith("kernel")]
    others = [name for name in names if name not in kernels]
    unknown = [name for name in others if name not in _TORCH_NAMES or not _is_vector(layer, name)]
    order = orders.get(id(layer))
    if unknown or len(kernels) > 2:
        raise NotImplementedError(
            f"{function}: layer {path!r} must have a counterpart in PyTorch, got a {type(layer).__name__} with "
            f"{', '.join(unknown or kernels)}"
        )
    dotted = path.replace("/", ".")
    for kernel in kernels[:-1]:
        step = f"{dotted}.{kernel.removesuffix('_kernel')}"
        yield _Block(path, step, (_Weight(path, layer, kernel, "weight", None),))
    last = [_Weight(path, layer, kernel, "weight", order) for kernel in kernels[-1:]]
    # What belongs to the features of the input follows their order; a bias beside a kernel belongs to the output.
    last += [_Weight(path, layer, name, _TORCH_NAMES[name], None if kernels else order) for name in others]
    step = f"{dotted}.{kernels[-1].removesuffix('_kernel')}" if len(kernels) > 1 else dotted
    yield _Block(path, step, tuple(last))


def _is_vector(layer: Layer, name: str) -> bool:
    """Whether a weight has one axis, but for axes of length 1."""
    array = {**layer.params, **layer.state}[name]
    return array.size == max(array.shape, default=0)


def _grouped(function: str, state_dict: object) -> dict[str, dict[str, Any]]:
    """Return the entries of a state dict by their modules, in their order."""
    if not isinstance(state_dict, Mapping):
        raise TypeError(f"{function}: state_dict must be a mapping of names to arrays, got {type(state_dict).__name__}")
    groups: dict[str, dict[str, Any]] = {}
    for key, value in state_dict.items():
        module, _, name = str(key).rpartition(".")
        if name != "num_batches_tracked":
            groups.setdefault(module, {})[name] = value
    return groups


def _module_names(function: str, blocks: Sequence[_Block], modules: Sequence[str]) -> Sequence[str]:
    if isinstance(modules, str) or len(modules) != len(blocks):
        wanted = ", ".join(block.torch_path for block in blocks)
        raise ValueError(f"{function}: there must be {len(blocks)} modules with weights, for {wanted}, got {modules}")
    if len(set(modules)) != len(modules):
        raise ValueError(f"{function}: modules must differ, got {list(modules)}")
    return modules


def _from_torch(function: str, key: str, value: Any, weight: _Weight) -> Array:
    expected = weight.to_torch().shape
    if value is None:
        raise ValueError(
            f"{function}: layer {weight.path!r} must have {weight.name} from {key!r} of shape {expected}, got none"
        )
    array = to_array(function, f"state_dict[{key!r}]", value)
    if array.shape != expected:
        raise ValueError(
            f"{function}: layer {weight.path!r} must have {weight.name} from {key!r} of shape {expected}, "
            f"got {array.shape}"
        )
    return array


def _layers_with_weights(function: str, model: object, by_branch: bool = False) -> dict[str, Layer]:
    if not isinstance(model, BaseModel):
        raise TypeError(f"{function}: model must be a Sequential or a Model, got {type(model).__name__}")
    if not model.built:
        raise RuntimeError(f"{function}: model must be built; give its first layer an input_shape, or call build")
    return {path: layer for path, layer in model.leaves(by_branch).items() if layer.params or layer.state}


def _places(layer: Layer) -> list[tuple[dict[str, Array], str]]:
    """Return where each weight is, in Keras' order: those that are trained, then the others."""
    return [(arrays, name) for arrays in (layer.params, layer.state) for name in arrays]


def _dealt(function: str, layers: Mapping[str, Layer], weights: Sequence[ArrayLike]) -> dict[str, Sequence[ArrayLike]]:
    """Return a list of all weights by layer."""
    counts = {path: len(_places(layer)) for path, layer in layers.items()}
    if len(weights) != sum(counts.values()):
        raise ValueError(
            f"{function}: weights must hold {sum(counts.values())} arrays, "
            f"{', '.join(f'{count} for {path!r}' for path, count in counts.items())}, got {len(weights)}"
        )
    dealt, start = {}, 0
    for path, count in counts.items():
        dealt[path] = weights[start : start + count]
        start += count
    return dealt


_Order = tuple[int, ...] | None


class _FeatureOrders:
    """Which feature of PyTorch's each feature is, for arrays of two axes: `Flatten` is where the two part.

    Attributes
    ----------
    of_input : dict of int to tuple of int or None
        For each layer, by its identity: the places that the features of its input have in PyTorch; None where they have
        the same.
    """

    def __init__(self, function: str, model: BaseModel) -> None:
        self.of_input: dict[int, _Order] = {}
        self._function = function
        self._inputs = model.program.inputs
        self._shapes = model.program.shapes([tensor.shape for tensor in model.inputs])
        # By slots, as the shapes are; a tensor of images has the data format of the last layer that knows it.
        self._orders: list[_Order] = [None] * self._inputs
        self._formats = ["channels_last"] * self._inputs
        for step in model.program.steps:
            self.of_input[id(step.layer)] = self._orders[step.inputs[0]]
            self._orders.append(self._output_order(step))
            self._formats.append(getattr(step.layer, "data_format", None) or self._formats[step.inputs[0]])

    def _output_order(self, step: Step) -> _Order:
        layer, source = step.layer, step.inputs[0]
        before, after = self._shapes[source], self._shapes[step.output]
        read = [self._orders[slot] for slot in step.inputs]
        if isinstance(layer, Permute):
            raise self._refusal(layer, "keep the axes of images")
        if isinstance(layer, Flatten | Reshape):
            if len(before) > 2 and len(after) == 2:
                return self._flattened(layer, before[1:], self._formats[source])
            if len(before) == 2 and len(after) > 2 and source >= self._inputs and 1 not in (after[1], after[-1]):
                raise self._refusal(layer, "make no images of several channels from features")
        if isinstance(layer, Dense) or all(order is None for order in read):
            return None
        if after != before or any(order != read[0] for order in read):
            raise self._refusal(layer, "keep the order of features that were flattened")
        return read[0]

    def _flattened(self, layer: Flatten | Reshape, shape: Shape, data_format: str) -> _Order:
        """Return the order that an image of `shape` is flattened in."""
        channels_first = isinstance(layer, Flatten) and layer.data_format == "channels_first"
        if data_format == "channels_first" and not channels_first:
            return None  # flattened as it is, which is what PyTorch does
        sizes = [size for size in shape if size is not None]
        if len(sizes) < len(shape):
            raise ValueError(
                f"{self._function}: layer {layer.name!r} must have an input of known size, got {(None, *shape)}"
            )
        in_torch = sizes if channels_first else [sizes[-1], *sizes[:-1]]
        places = np.arange(math.prod(sizes)).reshape(in_torch)
        return tuple(np.moveaxis(places, 0, -1).ravel().tolist())

    def _refusal(self, layer: Layer, rule: str) -> NotImplementedError:
        return NotImplementedError(
            f"{self._function}: layer {layer.name!r} must {rule}, whose order differs in PyTorch, "
            f"got a {type(layer).__name__}"
        )
