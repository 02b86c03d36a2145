"""Symbolic tensors: what layers note when they are called before there are data, and the graph that comes of it.

A node is one call of a layer; a symbolic tensor is one output of a node. Both only point back to what they were made
from, so that no graph has a cycle; a layer knows its calls by weak references alone, and none of them keeps a graph
alive.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

Shape = tuple[int | None, ...]


class Operation(Protocol):
    """What a node calls: a layer, or a model used as one."""

    name: str

    def output_shapes(self, input_shapes: Sequence[Shape]) -> list[Shape]:
        """Return the shapes of all outputs, given those of all inputs."""

    def note_call(self, outputs: "Sequence[SymbolicTensor]") -> None:
        """Take notice of a call by what came of it, without keeping its graph alive."""


class SymbolicTensor:
    """An output of a node: it has a shape, but no values.

    Attributes
    ----------
    shape : tuple of int or None
        With the batch axis in front, which is None.
    node : Node
    index : int
        Which of the node's outputs it is.
    """

    def __init__(self, shape: Shape, node: "Node", index: int) -> None:
        self.shape = shape
        self.node = node
        self.index = index

    @property
    def ndim(self) -> int:
        """Number of axes, the batch axis included."""
        return len(self.shape)

    @property
    def name(self) -> str:
        """Name of the layer that it comes from."""
        name: str = self.node.layer.name
        return name

    def __repr__(self) -> str:
        return f"<SymbolicTensor shape={self.shape}, from {self.name!r}>"

    def __array__(self, *arguments: object, **keywords: object) -> Any:
        """Refuse: there are no values."""
        raise TypeError(f"a symbolic tensor (from {self.name!r}) has no values: call a layer or a Model with it")


class Node:
    """One call of a layer on symbolic tensors; an input of a graph is a node without inputs.

    Attributes
    ----------
    layer : Layer
    inputs : tuple of SymbolicTensor
    shapes : tuple of tuple of int or None
        Shapes of its outputs.
    """

    def __init__(self, layer: Any, inputs: Sequence[SymbolicTensor], shapes: Sequence[Shape]) -> None:
        self.layer = layer
        self.inputs = tuple(inputs)
        self.shapes = tuple(shapes)


def connect(layer: Operation, inputs: Sequence[SymbolicTensor], shapes: Sequence[Shape]) -> list[SymbolicTensor]:
    """Return the outputs, which have `shapes`, of a new node."""
    node = Node(layer, inputs, shapes)
    outputs = [SymbolicTensor(shape, node, index) for index, shape in enumerate(shapes)]
    layer.note_call(outputs)
    return outputs


def is_symbolic(x: Any) -> bool:
    """Whether `x` is a symbolic tensor, or a list or tuple with one in it."""
    if isinstance(x, list | tuple):
        return any(isinstance(entry, SymbolicTensor) for entry in x)
    return isinstance(x, SymbolicTensor)


def symbolic_inputs(function: str, x: Any) -> list[SymbolicTensor]:
    """Return one symbolic tensor or several as a list.

    Raises
    ------
    TypeError
        If there is anything else among them.
    """
    tensors = list(x) if isinstance(x, list | tuple) else [x]
    for tensor in tensors:
        if not isinstance(tensor, SymbolicTensor):
            raise TypeError(f"{function}: every input must be a symbolic tensor, got {type(tensor).__name__}")
    return tensors


class Reference(NamedTuple):
    """A tensor within a graph: an output of a node, both by their positions."""

    node: int
    output: int


class Graph:
    """The nodes between some inputs and some outputs, each after those that it needs.

    Parameters
    ----------
    inputs, outputs : sequence of SymbolicTensor

    Raises
    ------
    ValueError
        If the outputs need an input that is not given, or one that is given leads to no output.

    Attributes
    ----------
    nodes : tuple of Node
        Those of the inputs included, each after those that it needs, in the order of Keras.
    layers : tuple of Layer
        What the nodes call, each once, in the order that Keras has for the layers and the weights of a model.
    by_branch : tuple of Layer
        The same, each branch to its end before the next, as modules are defined in PyTorch.
    """

    def __init__(self, inputs: Sequence[SymbolicTensor], outputs: Sequence[SymbolicTensor]) -> None:
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)
        searched, met = _topological([tensor.node for tensor in outputs])
        self.nodes, self.layers = _keras_order(searched, met)
        self.by_branch = tuple({id(node.layer): node.layer for node in searched}.values())
        self._check_inputs()
        self._position = {node: index for index, node in enumerate(self.nodes)}

    def reference(self, tensor: SymbolicTensor) -> Reference:
        """Return which node, by its position, and which of its outputs a tensor is."""
        return Reference(self._position[tensor.node], tensor.index)

    def calls(self) -> Iterator[tuple[Node, int]]:
        """Yield every node, and how many nodes before it call the same layer."""
        counts: dict[int, int] = {}
        for node in self.nodes:
            number = counts.get(id(node.layer), 0)
            counts[id(node.layer)] = number + 1
            yield node, number

    def output_shapes(self, input_shapes: Sequence[Shape]) -> list[Shape]:
        """Return the shapes of the outputs for inputs of other shapes than those that the graph was made with."""
        shapes = self.walk(input_shapes, lambda node, inputs: node.layer.output_shapes(inputs))
        return [shapes[self.reference(tensor)] for tensor in self.outputs]

    def walk(self, inputs: Sequence[Any], visit: Callable[[Node, list[Any]], Sequence[Any]]) -> dict[Reference, Any]:
        """Return a value for every tensor: `inputs`, and what `visit` makes of a node and the values of its inputs."""
        values = {self.reference(tensor): value for tensor, value in zip(self.inputs, inputs, strict=True)}
        for position, node in enumerate(self.nodes):
            if node.inputs:
                found = visit(node, [values[self.reference(tensor)] for tensor in node.inputs])
                values |= {Reference(position, index): value for index, value in enumerate(found)}
        return values

    def _check_inputs(self) -> None:
        given = {tensor.node for tensor in self.inputs}
        if len(given) < len(self.inputs):
            raise ValueError(f"Model: inputs must differ, got {[tensor.name for tensor in self.inputs]}")
        for tensor in self.inputs:
            if tensor.node.inputs:
                raise ValueError(f"Model: inputs must be made by Input, got the output of {tensor.name!r}")
            if tensor.node not in self.nodes:
                raise ValueError(f"Model: every input must lead to an output, got {tensor.name!r}, which leads to none")
        for node in self.nodes:
            if not node.inputs and node not in given:
                raise ValueError(f"Model: inputs must hold all that the outputs need, got none for {node.layer.name!r}")

    # Copied and pickled without recursion, however long the chain of nodes is.

    def __reduce__(self) -> tuple[Any, ...]:
        nodes = [(node.layer, [self.reference(tensor) for tensor in node.inputs], node.shapes) for node in self.nodes]
        ends = [[self.reference(tensor) for tensor in tensors] for tensors in (self.inputs, self.outputs)]
        return (_restore, (nodes, *ends))


def _restore(
    nodes: Sequence[tuple[Operation, Sequence[Reference], Sequence[Shape]]],
    inputs: Sequence[Reference],
    outputs: Sequence[Reference],
) -> Graph:
    tensors: list[list[SymbolicTensor]] = []
    for layer, references, shapes in nodes:
        tensors.append(connect(layer, [tensors[node][index] for node, index in references], shapes))
    first, last = ([tensors[node][index] for node, index in ends] for ends in (inputs, outputs))
    return Graph(first, last)


def _keras_order(nodes: Sequence[Node], met: Sequence[Any]) -> tuple[tuple[Node, ...], tuple[Any, ...]]:
    """Return what `_topological` has found, nodes and layers, in the order of Keras 3.

    Both are sorted by depth, the largest first: the length of the longest way to an output, for a layer the largest of
    its calls so far. Layers of one depth follow each other as a search from the outputs meets them, nodes of one depth
    as they get theirs. So weights stand in the order of ``keras_model.get_weights()``, and a layer that several
    branches share meets them in Keras' order: the moving averages of a `BatchNormalization` depend on it.
    """
    depths: dict[Node, int] = {}
    layer_depths: dict[int, int] = {}
    for node in reversed(nodes):
        depth = max(depths.get(node, 0), layer_depths.get(id(node.layer), 0))
        depths[node] = layer_depths[id(node.layer)] = depth
        for tensor in node.inputs:
            depths[tensor.node] = max(depths.get(tensor.node, 0), depth + 1)
    layers = sorted(met, key=lambda layer: -layer_depths[id(layer)])
    return tuple(sorted(depths, key=lambda node: -depths[node])), tuple(layers)


def _topological(ends: Sequence[Node]) -> tuple[tuple[Node, ...], tuple[Any, ...]]:
    """Return the nodes that `ends` need, each after its own, by a depth-first search without recursion.

    Also return their layers, as the search meets them first.
    """
    order: dict[Node, None] = {}
    met: dict[int, Any] = {}
    stack = [(node, False) for node in reversed(ends)]
    while stack:
        node, finished = stack.pop()
        if finished:
            order[node] = None
        elif node not in order:
            met.setdefault(id(node.layer), node.layer)
            stack.append((node, True))
            stack += [(tensor.node, False) for tensor in reversed(node.inputs)]
    return tuple(order), tuple(met.values())
