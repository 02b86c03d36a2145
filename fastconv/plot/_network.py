"""What pictures need to know of a network: its input, the order of its axes, what its layers see and make of it."""

from collections import Counter
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fastconv._checks import to_array
from fastconv.executor import Executor, Program, Step
from fastconv.graph import Graph, SymbolicTensor
from fastconv.layers import Activation, Layer
from fastconv.layers.input import InputLayer
from fastconv.models import BaseModel
from fastconv.plot._drawing import Array
from fastconv.receptive_field import ReceptiveField
from fastconv.trainer import Trainer


def as_model(function: str, model: Trainer) -> BaseModel:
    """Return the model if it has one input, which the pictures of layers take for granted."""
    if not isinstance(model, BaseModel):
        raise TypeError(f"{function}: model must be a Sequential or a Model, got {type(model).__name__}")
    names = model.input_names
    if len(names) > 1:
        raise ValueError(f"{function}: model must have one input, got {len(names)}: {', '.join(names)}")
    return model


def as_batch(function: str, name: str, model: BaseModel, images: npt.ArrayLike) -> Array:
    """Return images as the network takes them; a ValueError where it does not."""
    batch = to_array(function, name, images)
    wanted = model.input_shape[1:]
    if len(batch.shape) != 1 + len(wanted) or any(
        size not in (None, found) for size, found in zip(wanted, batch.shape[1:], strict=True)
    ):
        raise ValueError(f"{function}: {name} must have the network's input shape {wanted}, got {batch.shape[1:]}")
    return batch


def channels_last(model: BaseModel) -> bool:
    """Whether channels are the last axis of the input: as the first layer says that has them in an order."""
    formats = (layer.data_format for layer in model.leaves().values() if hasattr(layer, "data_format"))
    return next(formats, "channels_last") == "channels_last"


def image_fields(model: BaseModel) -> dict[str, ReceptiveField]:
    """Return what a unit sees of the input, for each layer whose output is an image; by name."""
    shapes = {node.layer.name: node.shapes[0] for node in _graph(model).nodes}
    return {name: field for name, field in model.receptive_field().items() if len(shapes[name]) == 4}


def maps_program(model: BaseModel, name: str) -> tuple[Program, bool]:
    """Return what computes the output of a layer, of its last call, and whether channels are the output's last axis."""
    graph = _graph(model)
    node = {node.layer.name: node for node in graph.nodes}[name]
    program = Program.of_graph(Graph(graph.inputs, [SymbolicTensor(node.shapes[0], node, 0)]))
    return program, _channels_last(program, channels_last(model))[program.outputs[0]]


def as_pictures(images: Array, last: bool) -> Array:
    """Return inputs (n, h, w, c) or (n, c, h, w) as red, green and blue from 0 to 1, shape (n, h, w, 3).

    Inputs that are not of three channels become grey, the mean of their channels. Values from 0 to 1 stay as they are;
    others are scaled, the smallest of all to black, the largest to white. So is infinity; NaN is black.
    """
    pictures = np.asarray(images if last else np.moveaxis(images, 1, -1), np.float64)
    finite = pictures[np.isfinite(pictures)]
    low, high = finite.min(initial=0), finite.max(initial=1)
    pictures = (np.nan_to_num(pictures, nan=low, posinf=high, neginf=low) - low) / (high - low)
    if pictures.shape[-1] != 3:
        pictures = pictures.mean(axis=-1, keepdims=True)
    return np.broadcast_to(pictures, (*pictures.shape[:3], 3))


class Value(NamedTuple):
    """What a step of a network makes of one input.

    Attributes
    ----------
    name : str
        Of the layer, "input", or "LAYER: ACTIVATION".
    sources : tuple of str
        Names of the values that it is made from, unless that is just the one before it.
    array : ndarray
        Without a batch axis.
    channels_last : bool
    """

    name: str
    sources: tuple[str, ...]
    array: Array
    channels_last: bool


def values(model: BaseModel, image: Array) -> list[Value]:
    """Return one input and what each layer makes of it, in the order in which they run.

    An activation within a layer is apart. What returns its very input, as dropout does outside training, is left out.
    """
    program, names = _with_activations_apart(model)
    arrays = [image[np.newaxis]]
    Executor(program, lambda layer, what, array: arrays.append(array)).forward(arrays[:1])
    last = _channels_last(program, channels_last(model))
    found = [Value(names[0], (), image, last[0])]
    # For every slot the one that is shown for it.
    shown = [0]
    latest = 0
    for step in program.steps:
        sources = [shown[slot] for slot in step.inputs]
        if isinstance(step.layer, InputLayer) or arrays[step.output] is arrays[step.inputs[0]]:
            shown.append(sources[0])
            continue
        apart = () if sources == [latest] else tuple(dict.fromkeys(names[slot] for slot in sources))
        found.append(Value(names[step.output], apart, arrays[step.output][0], last[step.output]))
        latest = step.output
        shown.append(latest)
    return found


def _graph(model: BaseModel) -> Graph:
    assert model.graph is not None
    return model.graph


def _channels_last(program: Program, first: bool) -> list[bool]:
    """Return for each slot whether channels are its last axis: as its layer says, or as in what that reads."""
    found = [first]
    for step in program.steps:
        data_format = getattr(step.layer, "data_format", None)
        found.append(found[step.inputs[0]] if data_format is None else data_format == "channels_last")
    return found


def _with_activations_apart(model: BaseModel) -> tuple[Program, list[str]]:
    """Return the model's program with each activation within a layer as a step of its own, and names of the slots."""
    names, steps, slots = ["input"], list[Step](), [0]

    def add(layer: Layer, inputs: tuple[int, ...], name: str) -> int:
        names.append(name)
        steps.append(Step(layer, inputs, 1 + len(steps)))
        return steps[-1].output

    for step, name in zip(model.program.steps, _step_names(model), strict=True):
        layer, inputs = step.layer, tuple(slots[slot] for slot in step.inputs)
        if layer.params and layer.activation is not None:
            inputs = (add(layer.without_activation(), inputs, name),)
            name = f"{name}: {layer.activation.name}"
            layer = Activation(layer.activation, name=layer.name, dtype=layer.dtype)
        slots.append(add(layer, inputs, name))
    return Program(1, tuple(steps), tuple(slots[slot] for slot in model.program.outputs), tuple(steps)), names


def _step_names(model: BaseModel) -> list[str]:
    """Return the path of each step's layer, followed by the number of the call where the layer is called again."""
    paths = {id(layer): path for path, layer in model.leaves().items()}
    keys = [id(step.layer) for step in model.program.steps]
    calls = Counter(keys)
    return [
        f"{paths[key]}[{keys[:index].count(key)}]" if calls[key] > 1 else paths[key] for index, key in enumerate(keys)
    ]
