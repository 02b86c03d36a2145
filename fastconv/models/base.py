"""What all models do alike: they are graphs of layers that can be called, looked at, saved and used as layers."""

import json
import os
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from fastconv._checks import to_array
from fastconv._configurable import serialize
from fastconv.data import Arrays, listed
from fastconv.executor import Executor, Program
from fastconv.graph import Graph, Shape, SymbolicTensor
from fastconv.layers.base import Array, Call, Layer, WeightSource
from fastconv.receptive_field import ReceptiveField, receptive_fields
from fastconv.saving import read_weights, save_model, write_weights
from fastconv.summary import print_summary
from fastconv.trainer import Trainer


class BaseModel(Trainer, Layer):
    """A model: layers, how they are connected, and what `Trainer` does with them.

    It is a layer, too, and can be used as one in another model. Its weights are those of its layers: `params`, `grads`
    and `state` of the model itself are empty.
    """

    # Empty until a subclass has its own, also while Layer.__init__ sets `trainable` for all of them.
    _layers: Sequence[Layer] = ()

    def __init__(self, name: str | None = None) -> None:
        Layer.__init__(self, name=name)
        Trainer.__init__(self)
        self._program: Program | None = None

    # What subclasses define.

    @classmethod
    @abstractmethod
    def from_config(cls, config: Mapping[str, Any], weights: WeightSource | None = None) -> Self:
        """Return a new model.

        Parameters
        ----------
        config : mapping
            From `get_config`, or written by hand.
        weights : callable, optional
            ``weights(path, spec, dtype)`` returns the weights, which otherwise the initializers make.

        Raises
        ------
        ValueError
            If the configuration does not describe a model; the text says why.
        """

    # Layers, shapes and names.

    @property
    def layers(self) -> list[Layer]:
        """The layers in the order in which they run (a new list); some may be models."""
        return list(self._layers)

    @property
    def built(self) -> bool:
        """Whether the weights exist."""
        return self.graph is not None

    @property
    def input_shape(self) -> Any:
        """Shape of the input with None for the batch, a list for several; a RuntimeError before the model is built."""
        return self.joined([tensor.shape for tensor in self._known_graph("input").inputs])

    @property
    def output_shape(self) -> Any:
        """Shape of the output with None for the batch, a list for several; a RuntimeError before the model is built."""
        shapes = [tensor.shape for tensor in self._known_graph("output").outputs]
        return shapes if len(shapes) > 1 else shapes[0]

    @property
    def inputs(self) -> list[SymbolicTensor]:
        """The symbolic inputs: with `outputs`, what another graph can be built on."""
        return list(self._known_graph("input").inputs)

    @property
    def outputs(self) -> list[SymbolicTensor]:
        """The symbolic outputs."""
        return list(self._known_graph("output").outputs)

    @property
    def input(self) -> SymbolicTensor | list[SymbolicTensor]:
        """The symbolic input, or the list of several."""
        return self.inputs if len(self.inputs) > 1 else self.inputs[0]

    @property
    def output(self) -> SymbolicTensor | list[SymbolicTensor]:
        """The symbolic output, or the list of several."""
        return self.outputs if len(self.outputs) > 1 else self.outputs[0]

    @property
    def input_names(self) -> list[str]:
        """Names of the inputs: those given to `Input`."""
        return [tensor.name for tensor in self.graph.inputs] if self.graph else [self.name]

    @property
    def output_names(self) -> list[str]:
        """Names of the outputs: those of the layers that they come from, numbered where a layer has several."""
        names: list[str] = []
        for tensor in self.graph.outputs if self.graph else ():
            taken = sum(name == tensor.name or name.startswith(f"{tensor.name}_output_") for name in names)
            names.append(f"{tensor.name}_output_{taken}" if taken else tensor.name)
        return names or [self.name]

    @property
    def program(self) -> Program:
        """The steps that run."""
        if self._program is None:
            self._program = Program.of_graph(self._known_graph("input"))
        return self._program

    def leaves(self, by_branch: bool = False) -> dict[str, Layer]:
        """Return the layers that are no models, those within models included, by paths such as ``"encoder/conv"``.

        In the order of `layers`, or each branch of a graph to its end before the next.
        """
        found: dict[str, Layer] = {}
        seen: set[int] = set()
        for path, layer in self.paths(by_branch):
            if id(layer) not in seen:
                seen.add(id(layer))
                found[path] = layer
        return found

    def paths(self, by_branch: bool = False) -> list[tuple[str, Layer]]:
        """Return the layers that are no models with their paths; one that several models share, once for each."""
        found: list[tuple[str, Layer]] = []
        for layer in self._by_branch() if by_branch else self.layers:
            if isinstance(layer, BaseModel):
                found += [(f"{layer.name}/{path}", leaf) for path, leaf in layer.paths(by_branch)]
            else:
                found.append((layer.name, layer))
        return found

    def _by_branch(self) -> Sequence[Layer]:
        """Return the layers, each branch to its end before the next; a chain has none."""
        return self.layers

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """Return a layer by its name or its index.

        Raises
        ------
        ValueError
            If there is no such layer.
        """
        if (name is None) == (index is None):
            raise ValueError(f"get_layer: one of name and index must be given, got {name!r} and {index!r}")
        layers = self.layers
        if index is not None:
            if not 0 <= index < len(layers):
                raise ValueError(f"get_layer: index must be from 0 to {len(layers) - 1}, got {index}")
            return layers[index]
        for layer in layers:
            if layer.name == name:
                return layer
        raise ValueError(f"get_layer: name must be one of {[layer.name for layer in layers]}, got {name!r}")

    @property
    def trainable(self) -> bool:
        """Whether training changes the weights; setting it sets it for all layers."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
        for layer in self.layers:
            layer.trainable = self._trainable

    # As a layer.

    def declared_shape(self) -> Shape | None:
        """Return the shape of the only input, batch axis included, if it is known."""
        return self.input_shape if self.built and not self.several_inputs else None

    def output_shapes(self, input_shapes: Sequence[Shape]) -> list[Shape]:
        """Return the shapes of all outputs, given those of all inputs."""
        graph = self._known_graph("output")
        self._check_shapes(self.name, input_shapes)
        return graph.output_shapes(input_shapes)

    def run(self, x: Any, training: bool) -> tuple[Any, Call | None]:
        """Return the output, and in training what `run_backward` needs of this call."""
        function = type(self).__name__
        inputs = self._accept(function, self._columns(function, "x", self.input_names, x))
        executor = Executor(self.program)
        outputs = executor.forward(inputs, training, needs_inputs=True)
        if not training:
            return self._single(outputs), None
        shapes = [output.shape for output in outputs]
        return self._single(outputs), Call(self._single(shapes), executor)

    def run_backward(self, call: Call, grad_y: Any, needs_input: bool) -> Any:
        """Fill the `grads` of the layers, and return the gradient of the input, once for each call of `run`."""
        several = isinstance(call.output_shape, list)
        given, shapes = (grad_y, call.output_shape) if several else ([grad_y], [call.output_shape])
        grads = [to_array(type(self).__name__, "grad_y", grad) for grad in given]  # the layers convert it
        if [grad.shape for grad in grads] != shapes:
            raise ValueError(
                f"{self.name}: grad_y must have the output's shape {call.output_shape},"
                f" got {self._single([grad.shape for grad in grads])}"
            )
        found = call.saved.backward(grads)
        return self.joined(found) if needs_input else None

    # Looks.

    def summary(self, line_length: int | None = None, print_fn: Callable[[str], object] | None = None) -> None:
        """Print the layers as Keras does, and what each costs and sees.

        The columns are name and class, shape of the output, number of weights, multiplications with a weight for one
        input, and the receptive field with its stride and start, see `receptive_field`; in a graph that is no chain,
        what each layer is connected to, as ``name[call][output]``.

        Parameters
        ----------
        line_length : int, optional
            Width of the table in characters; by default that of the terminal, at most what the table needs.
        print_fn : callable, optional
            Receives the text instead of `print`.
        """
        print_summary(self, line_length, print_fn)

    def receptive_field(self) -> dict[str, ReceptiveField]:
        """Return what part of the input each layer sees, by the names of the layers, see `ReceptiveField`.

        Layers that have no such field are left out: those that see a part that no sliding window describes (after a
        `Permute`, say). After a `Flatten` the field is that of all its outputs together.

        Raises
        ------
        ValueError
            If the model has not one input with spatial axes, or joins branches of different strides.
        RuntimeError
            If the model is not built.

        Examples
        --------
        >>> from fastconv import Sequential
        >>> from fastconv.layers import Conv2D, MaxPooling2D
        >>> model = Sequential([Conv2D(4, 3, input_shape=(28, 28, 1), name="conv"), MaxPooling2D(2, name="pool")])
        >>> model.receptive_field()["pool"]
        ReceptiveField(size=(4, 4), stride=(2, 2), start=(0, 0))
        """
        return receptive_fields(self._known_graph("input"))

    # Configuration and files.

    def to_json(self, **kwargs: Any) -> str:
        """Return the configuration as JSON; keyword arguments go to `json.dumps`."""
        return json.dumps(serialize(self), **kwargs)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return a new model from what `to_json` returned.

        Raises
        ------
        ValueError
            If the text is no JSON or does not describe a model.
        """
        _, config = parse(text, {cls.__name__: cls})
        return cls.from_config(config)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write weights, configuration and, if the model is compiled, the state of the optimizer to one .npz file.

        ``np.load(path)`` reads its arrays. The file is complete or not there: it is written beside its place and then
        moved, so that whatever interrupts the writing leaves an older file intact. A loss, metric or optimizer of
        one's own is not saved; compile again after loading.

        Parameters
        ----------
        path : str or path
            Taken as it is: no ending is added.

        Raises
        ------
        ValueError
            If the model has no weights yet, or a layer stands in it twice, at different depths.
        """
        save_model(self, path)

    def save_weights(self, path: str | os.PathLike[str]) -> None:
        """Write the weights alone to one .npz file, complete or not at all, as `save` does.

        Parameters
        ----------
        path : str or path
            Taken as it is: no ending is added.

        Raises
        ------
        ValueError
            If the model has no weights yet.
        """
        write_weights(self, path)

    def load_weights(self, path: str | os.PathLike[str]) -> None:
        """Copy weights from a file of `save_weights` into a model of the same layers, whatever their names.

        Raises
        ------
        ValueError
            If the file is damaged or of another kind (`load_model` reads that of a whole model), or its arrays are not
            those of the model; then no weight has changed.
        """
        read_weights(self, path)

    def _known_graph(self, end: str) -> Graph:
        if self.graph is None:
            raise RuntimeError(f"{self.name}: the {end} shape is not known before the model is built")
        return self.graph

    def _single(self, values: list[Any]) -> Any:
        return values if len(values) > 1 else values[0]

    def _accept(self, function: str, x: Arrays) -> list[Array]:
        arrays = [to_array(function, "x", array) for array in listed(x)]
        if not self.built:
            self.build(arrays[0].shape)
        self._check_shapes(function, [array.shape for array in arrays])
        return arrays

    def _check_shapes(self, function: str, shapes: Sequence[Shape]) -> None:
        expected = [tensor.shape for tensor in self._known_graph("input").inputs]
        if len(shapes) != len(expected):
            raise ValueError(f"{function}: x must be a list of {len(expected)} inputs, got {len(shapes)}")
        for name, wanted, shape in zip(self.input_names, expected, shapes, strict=True):
            fits = len(shape) == len(wanted) and (
                shape[1:] == wanted[1:]
                or all(size is None or size == found for size, found in zip(wanted[1:], shape[1:], strict=True))
            )
            if not fits:
                argument = f"x[{name!r}]" if len(expected) > 1 else "x"
                sizes = "".join(f", {'any' if size is None else size}" for size in wanted[1:])
                raise ValueError(f"{function}: {argument} must have shape (n{sizes or ','}), got {shape}")


def parse(text: str, classes: Mapping[str, type[BaseModel]]) -> tuple[type[BaseModel], Any]:
    """Return class and configuration from what `BaseModel.to_json` returned; see `BaseModel.from_json`."""
    try:
        serialized = json.loads(text)
    except RecursionError as error:
        raise ValueError("from_json: text must be the JSON of a model, got one that is nested too deep") from error
    class_name = serialized.get("class_name") if isinstance(serialized, dict) else None
    if not isinstance(class_name, str) or class_name not in classes:
        raise ValueError(f"from_json: text must describe a {' or '.join(classes)}, got {str(serialized)[:80]!r}")
    return classes[class_name], serialized.get("config", {})
