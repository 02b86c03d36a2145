"""Models that are chains of layers."""

# ruff: noqa: D102 - what an overriding method does stands in BaseModel.

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

from fastconv._configurable import serialize
from fastconv.graph import Graph, Shape, SymbolicTensor, connect
from fastconv.layers.base import Layer, WeightSource
from fastconv.layers.input import Input, InputLayer, symbolic_input
from fastconv.models._configuration import CLASSES, check_config, layer_from_config, scoped
from fastconv.models.base import BaseModel


class Sequential(BaseModel):
    """Layers one after another.

    With ``input_shape=`` on the first layer the weights are made at once, otherwise when the first data arrive.

    Parameters
    ----------
    layers : iterable of Layer, optional
        May begin with what `Input` returns.
    name : str, optional
        By default "sequential", "sequential_1"...

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.layers import Conv2D, Dense, GlobalAveragePooling2D
    >>> model = Sequential([
    ...     Conv2D(4, 3, activation="relu", input_shape=(8, 8, 1)),
    ...     GlobalAveragePooling2D(),
    ...     Dense(2, activation="softmax"),
    ... ])
    >>> model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    >>> x, y = np.zeros((6, 8, 8, 1), np.uint8), np.array([0, 1, 0, 1, 0, 1])
    >>> sorted(model.fit(x, y, epochs=2, verbose=0, seed=1).history)
    ['accuracy', 'loss']
    >>> model.predict(x).shape
    (6, 2)
    """

    _layers: list[Layer]

    def __init__(self, layers: Iterable[Layer | SymbolicTensor] | None = None, name: str | None = None) -> None:
        super().__init__(name)
        self._layers = []
        for layer in layers or ():
            self.add(layer)

    @property
    def layers(self) -> list[Layer]:
        """The layers in the order in which they run (a new list), without that of an `Input`; some may be models."""
        return _following(self._layers)

    def pop(self) -> Layer:
        """Remove the last layer, which keeps its weights, and return it.

        Raises
        ------
        ValueError
            If there are no layers.
        """
        if not self.layers:
            raise ValueError("pop: the model must have at least one layer, got none")
        last = self._layers.pop()
        if self.graph is not None:
            (tensor,) = self.graph.outputs
            self.graph = Graph(self.graph.inputs, tensor.node.inputs[:1]) if self._layers else None
            self._program = None
        return last

    def add(self, layer: Layer | SymbolicTensor) -> None:
        """Append a layer; what `Input` returns may be the first one.

        Raises
        ------
        TypeError
            If it is no layer.
        ValueError
            If its name is taken, or it cannot take what comes before it; then the model is as it was.
        """
        if isinstance(layer, SymbolicTensor) and isinstance(layer.node.layer, InputLayer) and not self._layers:
            layer = layer.node.layer
        if not isinstance(layer, Layer):
            raise TypeError(f"Sequential: layers must hold Layer objects, got {layer!r}")
        if any(layer.name == other.name for other in self._layers):
            raise ValueError(f"Sequential: layers must have names that differ, got {layer.name!r} twice")
        before = layer.declared_shape() if not self._layers else None
        if self.graph is not None:
            self._build_from(self.graph, [layer])
        elif before is not None:
            self._build_from(_start(before, layer), _following([layer]))
        self._layers.append(layer)

    def build(self, input_shape: Sequence[int | None], weights: WeightSource | None = None) -> None:
        """Make the weights.

        Parameters
        ----------
        input_shape : sequence of int or None
            With the batch axis, which may be None.
        weights : callable, optional
            ``weights(path, spec, dtype)`` returns what the initializers make otherwise.

        Raises
        ------
        ValueError
            If there are no layers, or one cannot take what comes before it.
        """
        if not self._layers:
            raise ValueError("build: the model must have at least one layer, got none")
        if self.built:
            self._check_shapes(self.name, [tuple(input_shape)])
            return
        self._build_from(_start(tuple(input_shape), self._layers[0]), _following(self._layers), weights)

    def output_shapes(self, input_shapes: Sequence[Shape]) -> list[Shape]:
        if self.built:
            return super().output_shapes(input_shapes)
        _, outputs = _chained(connect(self, [], input_shapes), self._layers)
        return [tensor.shape for tensor in outputs]

    def _build_from(self, graph: Graph, layers: Sequence[Layer], weights: WeightSource | None = None) -> None:
        """Continue a graph with some layers; if one of them does not fit, no other has been built."""
        input_shapes, outputs = _chained(graph.outputs, layers)
        for layer, shape in zip(layers, input_shapes, strict=True):
            layer.build(shape, scoped(weights, layer.name))
        self.graph = Graph(graph.inputs, outputs)
        self._program = None

    # Configuration.

    def get_config(self) -> dict[str, Any]:
        """Return names, layers and, where it is known, the input shape, as values that JSON can hold."""
        return {
            "name": self.name,
            "layers": [serialize(layer) for layer in self._layers],
            "build_input_shape": list(self.input_shape) if self.built else None,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any], weights: WeightSource | None = None) -> Self:
        config = check_config("Sequential", config)
        layers = [
            layer_from_config(f"Sequential: config['layers'][{index}]", serialized, weights)
            for index, serialized in enumerate(config["layers"])
        ]
        input_shape = _shape("Sequential: config['build_input_shape']", config.get("build_input_shape"))
        model = cls(name=config.get("name"))
        first = layers[0].declared_shape() if layers else None
        names = [layer.name for layer in layers]
        if len(set(names)) != len(names):
            raise ValueError(f"Sequential: layers must have names that differ, got {names}")
        model._layers = layers
        if first is not None or input_shape is not None:
            model.build(first or input_shape or (), weights)
        return model


def _chained(tensors: Sequence[SymbolicTensor], layers: Sequence[Layer]) -> tuple[list[Any], list[SymbolicTensor]]:
    """Connect layers one after another, starting from `tensors`; return the shape that each takes, and the outputs."""
    input_shapes, outputs = [], list(tensors)
    for layer in layers:
        inputs = layer.sources(outputs)
        shapes = layer.output_shapes([tensor.shape for tensor in inputs])
        if len(shapes) != 1:
            raise ValueError(f"Sequential: layers must have one output, got {len(shapes)} of {layer.name!r}")
        input_shapes.append(layer.joined([tensor.shape for tensor in inputs]))
        outputs = connect(layer, inputs, shapes)
    return input_shapes, outputs


def _shape(where: str, value: object) -> Shape | None:
    """Return a shape with the batch axis from a configuration."""
    if value is None:
        return None
    if not isinstance(value, list | tuple) or not value or not all(size is None or type(size) is int for size in value):
        raise ValueError(f"{where} must be a shape with the batch axis, got {str(value)[:80]!r}")
    return tuple(value)


def _start(input_shape: Shape, first: Layer) -> Graph:
    """Return the graph of the data alone, which an input layer stands for where there is one."""
    tensor = symbolic_input(first) if isinstance(first, InputLayer) else Input(input_shape[1:])
    return Graph([tensor], [tensor])


def _following(layers: list[Layer]) -> list[Layer]:
    """Return the layers that follow the data: without an input layer in front."""
    return layers[1:] if layers and isinstance(layers[0], InputLayer) else list(layers)


CLASSES["Sequential"] = Sequential
