"""Runs the layers of a model, forward and backward, without any of what a model offers its users.

A program is a graph as a list of steps in topological order, models within models replaced by their layers. Every
tensor has a slot: the inputs come first, then the output of each step.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np

import fastconv.functional as F
from fastconv._memory import empty_like
from fastconv.activations import Relu
from fastconv.graph import Graph, Node, Shape
from fastconv.layers.activations import Activation, ReLU
from fastconv.layers.base import Array, Call, Layer
from fastconv.layers.input import InputLayer
from fastconv.layers.merging import Add
from fastconv.layers.normalization import BatchNormalization

Inspect = Callable[[Layer, str, Array], None]
"""Is shown each array as it appears: the layer, what the array is ("output", "gradient of kernel"...), the array."""


class Step(NamedTuple):
    """One call of a layer.

    Attributes
    ----------
    layer : Layer
    inputs : tuple of int
        Slots that it reads.
    output : int
        Slot that it fills.
    last_read : tuple of int
        Slots that no later step reads, and that are no outputs of the program.
    rectified : bool
        Whether the layer takes maxima of what the layer before ends with a ReLU for, and nothing else reads that.
    joined : bool
        Whether the step is a batch normalization with the sum and the ReLU behind it: the sum's other summand is its
        second input.
    """

    layer: Layer
    inputs: tuple[int, ...]
    output: int
    last_read: tuple[int, ...] = ()
    rectified: bool = False
    joined: bool = False

    @property
    def ends_with_relu(self) -> bool:
        """Whether the output is that of a ReLU."""
        return self.joined or isinstance(self.layer.activation, Relu)


class Program(NamedTuple):
    """Steps, each after those that it needs.

    Attributes
    ----------
    inputs : int
        Number of inputs; they have the slots 0, 1...
    steps : tuple of Step
        One for each call of a layer.
    outputs : tuple of int
        Slots of the outputs.
    joined : tuple of Step
        The same with less passes over memory: some steps stand for several calls, whose other slots stay empty.
    """

    inputs: int
    steps: tuple[Step, ...]
    outputs: tuple[int, ...]
    joined: tuple[Step, ...]

    @classmethod
    def of_graph(cls, graph: Graph) -> Self:
        """Return the program that computes the outputs of a graph."""
        steps: list[Step] = []
        shapes = {slot: tensor.shape for slot, tensor in enumerate(graph.inputs)}

        def call(node: Node, inputs: list[int]) -> list[int]:
            if node.layer.graph is not None:
                return inline(node.layer.graph, inputs)
            if isinstance(node.layer, InputLayer) and not node.layer.converts:
                return inputs
            output = len(graph.inputs) + len(steps)
            steps.append(Step(node.layer, tuple(inputs), output))
            (shapes[output],) = node.layer.output_shapes([shapes[slot] for slot in inputs])
            return [output]

        def enter(node: Node, slot: int) -> int:
            return call(node, [slot])[0] if isinstance(node.layer, InputLayer) else slot

        def inline(inner: Graph, inputs: list[int]) -> list[int]:
            entered = [enter(tensor.node, slot) for tensor, slot in zip(inner.inputs, inputs, strict=True)]
            slots = inner.walk(entered, call)
            return [slots[inner.reference(tensor)] for tensor in inner.outputs]

        outputs = tuple(inline(graph, list(range(len(graph.inputs)))))
        joined = _with_joined(steps, outputs, shapes)
        return cls(len(graph.inputs), _finished(steps, outputs), outputs, _finished(joined, outputs))

    def replaced(self, layers: Mapping[int, Layer]) -> Self:
        """Return the program with other layers in some steps, by the slots of their outputs."""

        def change(steps: Sequence[Step]) -> tuple[Step, ...]:
            return tuple(step._replace(layer=layers[step.output]) if step.output in layers else step for step in steps)

        return self._replace(steps=change(self.steps), joined=change(self.joined))

    def shapes(self, inputs: Sequence[Shape]) -> list[Shape]:
        """Return the shape of every slot."""
        shapes = list(inputs)
        for step in self.steps:
            shapes += step.layer.output_shapes([shapes[slot] for slot in step.inputs])
        return shapes


class Executor:
    """One run of a program: forward, and where that was for training, backward.

    The gradient of a ReLU before max pooling is taken behind it, where there are a few times less values: a maximum is
    positive exactly where the value is that its gradient goes to. A batch normalization takes in the sum and the ReLU
    behind it. Who inspects sees every layer's own outputs and gradients.

    Parameters
    ----------
    program : Program
    inspect : callable, optional
        Called as ``inspect(layer, what, array)`` with every output and gradient.

    Attributes
    ----------
    trained : list of Layer
        The layers whose `grads` the last backward pass has filled.
    """

    def __init__(self, program: Program, inspect: Inspect | None = None) -> None:
        self.program = program
        self.inspect = inspect
        self._steps = program.joined if inspect is None else program.steps
        self.trained: list[Layer] = []
        self._wanted: list[bool] = []
        self._calls: list[Call | None] = []
        self._maxima: dict[int, Array] = {}

    def forward(self, inputs: Sequence[Any], training: bool = False, needs_inputs: bool = False) -> list[Array]:
        """Return the outputs.

        Each array is dropped when the last step that reads it has run. With `training`, what `backward` needs is kept;
        `needs_inputs` says that this includes the gradients of the inputs.
        """
        self._wanted = self._gradients_wanted(needs_inputs) if training else []
        self._calls, self._maxima = [], {}
        values = [*inputs, *[None] * len(self.program.steps)]
        for step in self._steps:
            layer, output = step.layer, step.output
            try:
                if step.joined or layer.several_inputs:
                    values[output], call = _run_on_several(step, [values[slot] for slot in step.inputs], training)
                else:
                    values[output], call = layer.run(values[step.inputs[0]], training)
            except (TypeError, ValueError) as error:
                error.add_note(f"in layer {layer.name!r} ({type(layer).__name__})")
                raise
            if training:
                self._calls.append(call if self._wanted[output] else None)
                del call
                if step.rectified and self.inspect is None:
                    self._maxima[output] = values[output]
            if self.inspect is not None:
                self.inspect(layer, "output", values[output])
            for slot in step.last_read:
                values[slot] = None
        return [values[slot] for slot in self.program.outputs]

    def backward(self, grads: Sequence[Array | None]) -> list[Array | None]:
        """Fill the gradients of all trained weights, from those of the outputs, and return those of the inputs.

        A tensor that several steps read gets the sum of their gradients, and so does a weight that several steps
        use. Steps that no trained weight lies before, and those that no gradient reaches, do nothing. What the forward
        pass kept for a step is dropped as soon as its gradient is found.

        Parameters
        ----------
        grads : sequence of ndarray or None
            None for an output that nothing depends on.
        """
        program = self.program
        if len(self._calls) != len(self._steps):
            raise RuntimeError("backward needs a forward pass with training=True before it, one for each call")
        self.trained = []
        slots: list[Any] = [None] * (program.inputs + len(program.steps))
        plain: set[int] = set()  # slots whose gradient has the activation's behind it
        for slot, grad_output in zip(program.outputs, grads, strict=True):
            slots[slot] = _sum(slots[slot], grad_output)
        for step in reversed(self._steps):
            grad: Array | None = slots[step.output]
            slots[step.output] = None
            call = self._calls.pop()
            maxima = self._maxima.pop(step.output, None)
            if grad is None or call is None:
                continue
            if maxima is not None:
                grad = F.relu_backward(grad, maxima)
                plain.add(step.inputs[0])
            found = self._step_backward(step, call, grad, step.output in plain)
            del call, grad, maxima
            for slot, grad_input in zip(step.inputs, found, strict=True):
                if self._wanted[slot]:
                    slots[slot] = _sum(slots[slot], grad_input)
        return slots[: program.inputs]

    def _step_backward(self, step: Step, call: Call, grad_y: Array, plain: bool) -> Sequence[Array | None]:
        """Return the gradients of a step's inputs; plain: the layer's activation has had its turn."""
        layer = step.layer
        earlier = dict(layer.grads) if layer in self.trained else {}
        grad_x: Any
        if step.joined:
            assert isinstance(layer, BatchNormalization)
            grad_x = list(layer.run_rectified_backward(call, grad_y, plain)[: len(step.inputs)])
        else:
            runs = layer.without_activation() if plain else layer
            grad_x = runs.run_backward(call, grad_y, any(self._wanted[slot] for slot in step.inputs))
        for name, array in earlier.items():
            layer.grads[name] = layer.grads[name] + array
        if layer.trains and not earlier:
            self.trained.append(layer)
        found: list[Array | None] = grad_x if isinstance(grad_x, list) else [grad_x] * len(step.inputs)
        if self.inspect is not None:
            for name, array in layer.grads.items():
                self.inspect(layer, f"gradient of {name}", array)
            for grad in found:
                if grad is not None:
                    self.inspect(layer, "gradient of the input", grad)
        return found

    def _gradients_wanted(self, needs_inputs: bool) -> list[bool]:
        """Return for each slot whether its gradient leads to a trained weight, or to an input that needs it."""
        wanted = [needs_inputs] * self.program.inputs
        for step in self.program.steps:
            wanted.append(step.layer.trains or any(wanted[slot] for slot in step.inputs))
        return wanted


def _run_on_several(step: Step, values: list[Any], training: bool) -> tuple[Array, Call | None]:
    layer = step.layer
    if not step.joined:
        return layer.run(values, training)
    assert isinstance(layer, BatchNormalization)
    x, addend = values if len(values) == 2 else (*values, None)
    return layer.run_rectified(x, addend, training)


def _with_joined(steps: Sequence[Step], outputs: Sequence[int], shapes: Mapping[int, Shape]) -> list[Step]:
    """Return the steps with each batch normalization, the sum with one other tensor and the ReLU behind it in one.

    Nothing else reads what lies between them; the sum is of two tensors of the same known shape. A normalization that
    several steps call stays where it is: its moving averages depend on the order.
    """
    made = {step.output: step for step in steps}
    reads = _reads(steps, outputs)
    calls = Counter(id(step.layer) for step in steps)

    def inner(slot: int, kind: type[Layer], dtype: np.dtype[Any]) -> Step | None:
        step = made.get(slot)
        if step is None or type(step.layer) is not kind or step.layer.dtype != dtype or reads[slot] > 1:
            return None
        return step if kind is Add or calls[id(step.layer)] == 1 else None

    replaced: dict[int, Step] = {}
    dropped: set[int] = set()
    for step in steps:
        if type(step.layer) not in (ReLU, Activation) or not isinstance(step.layer.activation, Relu):
            continue
        dtype = step.layer.dtype
        total = inner(step.inputs[0], Add, dtype)
        if total is None:
            orders = [step.inputs]
        elif len(set(total.inputs)) == len(total.inputs) == 2:
            # The summand that is made last, if it may be either: the other one is there sooner, and read again.
            orders = [(max(total.inputs), min(total.inputs)), (min(total.inputs), max(total.inputs))]
        else:
            continue
        for slot, *others in orders:
            normalization = inner(slot, BatchNormalization, dtype)
            if normalization is None or any(None in shapes[slot][1:] or shapes[slot] != shapes[o] for o in others):
                continue
            inputs = (*normalization.inputs, *others)
            replaced[step.output] = Step(normalization.layer, inputs, step.output, joined=True)
            dropped |= {slot, *step.inputs}
            break
    return [replaced.get(step.output, step) for step in steps if step.output not in dropped]


def _finished(steps: Sequence[Step], outputs: Sequence[int]) -> tuple[Step, ...]:
    return _with_rectified(_with_last_reads(steps, outputs), outputs)


def _with_last_reads(steps: Sequence[Step], outputs: Sequence[int]) -> tuple[Step, ...]:
    read_later = set(outputs)
    result = []
    for step in reversed(steps):
        result.append(step._replace(last_read=tuple({*step.inputs, step.output} - read_later)))
        read_later |= {*step.inputs, step.output}
    return tuple(reversed(result))


def _with_rectified(steps: Sequence[Step], outputs: Sequence[int]) -> tuple[Step, ...]:
    reads = _reads(steps, outputs)
    once = {step.output for step in steps if step.ends_with_relu and reads[step.output] == 1}
    return tuple(step._replace(rectified=step.layer.takes_maxima and step.inputs[0] in once) for step in steps)


def _reads(steps: Sequence[Step], outputs: Sequence[int]) -> Counter[int]:
    """Return how often each slot is read, as an output too."""
    return Counter([*(slot for step in steps for slot in step.inputs), *outputs])


def _sum(first: Array | None, second: Array | None) -> Array | None:
    if first is None or second is None:
        return second if first is None else first
    total = empty_like(first)
    np.add(first, second, out=total)
    return total
