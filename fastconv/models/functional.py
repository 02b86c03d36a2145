"""Models that are graphs of layers."""

# ruff: noqa: D102 - what an overriding method does stands in BaseModel.

from collections import Counter
from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any, Self

from fastconv._configurable import serialize
from fastconv.graph import Graph, SymbolicTensor, symbolic_inputs
from fastconv.layers.base import Layer, WeightSource
from fastconv.layers.input import InputLayer, symbolic_input
from fastconv.models._configuration import CLASSES, check_config, layer_from_config, scoped
from fastconv.models.base import BaseModel

Tensors = SymbolicTensor | Sequence[SymbolicTensor]


class Model(BaseModel):
    """A graph of layers, from inputs to outputs.

    Layers are called with what `Input` returns, and with what such calls return; a model is everything between some
    inputs and some outputs. A layer called twice is one layer with one set of weights, whose gradients add up. A model
    can be called like a layer.

    Parameters
    ----------
    inputs, outputs : SymbolicTensor or sequence of SymbolicTensor
        With one output, methods take and return arrays, with several lists.
    name : str, optional
        By default "model", "model_1"...

    Raises
    ------
    TypeError
        If inputs or outputs are no symbolic tensors.
    ValueError
        If the outputs need an input that is not given, one that is given leads to no output, or two layers have one
        name.

    Examples
    --------
    A residual block (He et al. 2016, arXiv:1512.03385):

    >>> import numpy as np
    >>> from fastconv.layers import Add, Conv2D, Dense, GlobalAveragePooling2D, Input, ReLU
    >>> x = Input((8, 8, 4))
    >>> y = Conv2D(4, 3, padding="same", activation="relu")(x)
    >>> y = Conv2D(4, 3, padding="same")(y)
    >>> y = ReLU()(Add()([x, y]))
    >>> model = Model(x, Dense(2, activation="softmax")(GlobalAveragePooling2D()(y)))
    >>> model.predict(np.zeros((5, 8, 8, 4))).shape
    (5, 2)
    """

    graph: Graph

    def __init__(self, inputs: Tensors, outputs: Tensors, name: str | None = None) -> None:
        first, last = (
            symbolic_inputs(f"Model: {argument}", tensors)
            for argument, tensors in (("inputs", inputs), ("outputs", outputs))
        )
        if not first or not last:
            raise ValueError(f"Model: inputs and outputs must not be empty, got {len(first)} and {len(last)}")
        graph = Graph(first, last)
        layers = list(graph.layers)
        counts = Counter(layer.name for layer in layers)
        for layer in layers:
            if counts[layer.name] > 1:
                raise ValueError(f"Model: layers must have names that differ, got {layer.name!r} twice")
        super().__init__(name)
        self.graph = graph
        self.several_inputs = len(first) > 1
        self._layers = layers

    def _by_branch(self) -> Sequence[Layer]:
        return self.graph.by_branch

    def build(self, input_shape: Any, weights: WeightSource | None = None) -> None:
        """Refuse inputs that do not fit; the weights exist from the start."""
        self._check_shapes(self.name, input_shape if self.several_inputs else [input_shape])

    def get_config(self) -> dict[str, Any]:
        """Return the layers and for each of their calls, as in Keras, its inputs as [layer, call, output]."""
        calls: dict[str, list[Any]] = {layer.name: [] for layer in self._layers}
        places = {node: [node.layer.name, number] for node, number in self.graph.calls()}
        for node in self.graph.nodes:
            if node.inputs:
                calls[node.layer.name].append([[*places[tensor.node], tensor.index] for tensor in node.inputs])
        return {
            "name": self.name,
            "layers": [
                {**serialize(layer), "name": layer.name, "inbound_nodes": calls[layer.name]} for layer in self._layers
            ],
            "input_layers": [[*places[tensor.node], tensor.index] for tensor in self.graph.inputs],
            "output_layers": [[*places[tensor.node], tensor.index] for tensor in self.graph.outputs],
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any], weights: WeightSource | None = None) -> Self:
        assembly = _Assembly(config, weights)
        return cls(assembly.ends("input_layers"), assembly.ends("output_layers"), name=config.get("name"))


class _Assembly:
    """The tensors of a graph, made again from a configuration that nobody vouches for."""

    def __init__(self, config: object, weights: WeightSource | None) -> None:
        self.config = check_config("Model", config)
        self.layers: dict[str, Layer] = {}
        self.weights = weights
        # Inputs of each call, and the outputs of those that are made, by layer and number of the call.
        self.calls: dict[_Call, list[_Place]] = {}
        self.made: dict[_Call, list[SymbolicTensor]] = {}
        for index, serialized in enumerate(self.config["layers"]):
            self._add(f"Model: config['layers'][{index}]", serialized)
        self._connect()

    def ends(self, key: str) -> list[SymbolicTensor]:
        """Return the inputs or the outputs."""
        return [self._tensor(place) for place in _places(f"Model: config[{key!r}]", self.config.get(key))]

    def _add(self, where: str, serialized: Any) -> None:
        layer = layer_from_config(where, serialized, self.weights)
        if layer.name in self.layers:
            raise ValueError(f"{where} must have a name of its own, got {layer.name!r} again")
        self.layers[layer.name] = layer
        if isinstance(layer, InputLayer):
            self.made[layer.name, 0] = [symbolic_input(layer)]
            return
        calls = serialized.get("inbound_nodes")
        if not isinstance(calls, list):
            raise ValueError(f"{where} must have a list of inbound_nodes, got {calls!r}")
        for number, places in enumerate(calls):
            self.calls[layer.name, number] = _places(f"{where}['inbound_nodes'][{number}]", places)

    def _connect(self) -> None:
        """Make the calls, each when those that it needs are made."""
        order = TopologicalSorter(
            {call: {(name, number) for name, number, _ in places} for call, places in self.calls.items()}
        )
        try:
            calls = list(order.static_order())
        except CycleError as error:
            raise ValueError("Model: config must hold a graph without circles, got one with a circle") from error
        for name, number in calls:
            if (name, number) in self.calls:
                inputs = [self._tensor(place) for place in self.calls[name, number]]
                layer = self.layers[name]
                outputs = layer.connect(inputs, scoped(self.weights, name))
                self.made[name, number] = outputs if isinstance(outputs, list) else [outputs]

    def _tensor(self, place: "_Place") -> SymbolicTensor:
        name, number, output = place
        found = self.made.get((name, number), [])
        if not 0 <= output < len(found):
            raise ValueError(f"Model: config must name outputs of calls that it holds, got {list(place)}")
        return found[output]


_Call = tuple[str, int]
_Place = tuple[str, int, int]


def _places(where: str, entries: object) -> list[_Place]:
    """Return a list of [layer, call, output], checked."""
    if not isinstance(entries, list) or not entries:
        raise ValueError(f"{where} must be a list of [layer, call, output], got {str(entries)[:80]!r}")
    places: list[_Place] = []
    for entry in entries:
        if not isinstance(entry, list) or [type(part) for part in entry] != [str, int, int]:
            raise ValueError(f"{where} must hold [layer, call, output], got {str(entry)[:80]!r}")
        places.append((entry[0], entry[1], entry[2]))
    return places


CLASSES["Model"] = Model
