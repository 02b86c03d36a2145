"""Networks that are built, trained, used and saved with the interface of Keras."""

import functools
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

from numpy.typing import ArrayLike

from fastconv import layers as layers_
from fastconv._checks import to_array
from fastconv._configurable import resolve, serialize
from fastconv.executor import Executor
from fastconv.layers.base import Array, Layer, Shape, auto_name
from fastconv.saving import WeightSource, read_model, save_model
from fastconv.summary import print_summary
from fastconv.trainer import Trainer

__all__ = ["Sequential", "load_model"]

_LAYERS: dict[str, type[Layer]] = {
    name: cls for name, cls in vars(layers_).items() if name in layers_.__all__ and cls is not Layer
}


class Sequential(Trainer):
    """Layers one after another.

    With ``input_shape=`` on the first layer the weights are made at once, otherwise when the first data arrive.

    Parameters
    ----------
    layers : iterable of Layer, optional
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

    def __init__(self, layers: Iterable[Layer] | None = None, name: str | None = None) -> None:
        super().__init__()
        self.name = auto_name(type(self)) if name is None else name
        self._layers: list[Layer] = []
        self._input_shape: Shape | None = None
        self._output_shape: Shape | None = None
        for layer in layers or ():
            self.add(layer)

    @property
    def layers(self) -> list[Layer]:
        """The layers in the order in which they run (a new list)."""
        return list(self._layers)

    @property
    def input_shape(self) -> Shape:
        """Shape of the input with None for the batch; a RuntimeError before the model is built."""
        if self._input_shape is None:
            raise RuntimeError(f"{self.name}: the input shape is not known before the model is built")
        return self._input_shape

    @property
    def output_shape(self) -> Shape:
        """Shape of the output with None for the batch; a RuntimeError before the model is built."""
        if self._output_shape is None:
            raise RuntimeError(f"{self.name}: the output shape is not known before the model is built")
        return self._output_shape

    @property
    def built(self) -> bool:
        """Whether the weights exist."""
        return self._input_shape is not None

    def add(self, layer: Layer) -> None:
        """Append a layer.

        Raises
        ------
        TypeError
            If it is no layer.
        ValueError
            If its name is taken, or it cannot take what comes before it; then the model is as it was.
        """
        if not isinstance(layer, Layer):
            raise TypeError(f"Sequential: layers must hold Layer objects, got {layer!r}")
        if any(layer.name == other.name for other in self._layers):
            raise ValueError(f"Sequential: layers must have names that differ, got {layer.name!r} twice")
        declared = layer.input_shape if not self._layers else None
        before = self._output_shape if declared is None else (None, *declared)
        if before is not None:
            (after,) = layer.output_shapes([before])
            layer.build(before)
            self._input_shape = self._input_shape or before
            self._output_shape = after
        self._layers.append(layer)

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Make the weights.

        Parameters
        ----------
        input_shape : sequence of int or None
            With the batch axis, which may be None.

        Raises
        ------
        ValueError
            If there are no layers, or one cannot take what comes before it.
        """
        if not self._layers:
            raise ValueError("build: the model must have at least one layer, got none")
        shapes: list[Shape] = [(None, *tuple(input_shape)[1:])]
        for layer in self._layers:
            shapes += layer.output_shapes(shapes[-1:])
        for layer, shape in zip(self._layers, shapes, strict=False):
            layer.build(shape)
        self._input_shape, self._output_shape = shapes[0], shapes[-1]

    def __call__(self, x: ArrayLike, training: bool = False) -> Array:
        """Return the output for one batch."""
        inputs = to_array("Sequential", "x", x)
        self._accept("Sequential", inputs)
        return Executor(self._layers).forward(inputs, training)

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """Return a layer by its name or its index.

        Raises
        ------
        ValueError
            If there is no such layer.
        """
        if (name is None) == (index is None):
            raise ValueError(f"get_layer: one of name and index must be given, got {name!r} and {index!r}")
        if index is not None:
            if not 0 <= index < len(self._layers):
                raise ValueError(f"get_layer: index must be from 0 to {len(self._layers) - 1}, got {index}")
            return self._layers[index]
        for layer in self._layers:
            if layer.name == name:
                return layer
        raise ValueError(f"get_layer: name must be one of {[layer.name for layer in self._layers]}, got {name!r}")

    def summary(self, line_length: int | None = None, print_fn: Any = None) -> None:
        """Print the layers with their output shapes and numbers of weights, as Keras does.

        Parameters
        ----------
        line_length : int, optional
            Width of the table in characters; by default that of the terminal, at most what the table needs.
        print_fn : callable, optional
            Receives the text instead of `print`.
        """
        print_summary(self, line_length, print_fn)

    # Configuration and files.

    def get_config(self) -> dict[str, Any]:
        """Return names, layers and, where it is known, the input shape, as values that JSON can hold."""
        return {
            "name": self.name,
            "layers": [serialize(layer) for layer in self._layers],
            "build_input_shape": None if self._input_shape is None else list(self._input_shape),
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any], weights: WeightSource | None = None) -> Self:
        """Return a new model, with weights if the input shape is known.

        Parameters
        ----------
        config : mapping
            From `get_config`, or written by hand: "layers" is needed, what else is left out takes its default.
        weights : callable, optional
            ``weights(layer, name, spec)`` returns the weights, which otherwise the initializers make.

        Raises
        ------
        ValueError
            If the configuration does not describe a model; the text says why.
        """
        layers = _layers_from_config(config)
        input_shape = config.get("build_input_shape")
        if layers and layers[0].input_shape is not None:
            input_shape = (None, *layers[0].input_shape)
        if input_shape is not None and weights is not None:
            shape = tuple(input_shape)
            for layer in layers:
                layer.build(shape, functools.partial(weights, layer))
                (shape,) = layer.output_shapes([shape])
        model = cls(layers, name=config.get("name"))
        if input_shape is not None and not model.built:
            model.build(input_shape)
        return model

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
        try:
            serialized = json.loads(text)
        except RecursionError as error:
            raise ValueError("from_json: text must be the JSON of a model, got one that is nested too deep") from error
        if not isinstance(serialized, dict) or serialized.get("class_name") != cls.__name__:
            raise ValueError(f"from_json: text must describe a {cls.__name__}, got {str(serialized)[:80]!r}")
        return cls.from_config(serialized.get("config", {}))

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
            If the model has no weights yet.
        """
        save_model(self, path)

    def _accept(self, function: str, x: Array) -> None:
        if self._input_shape is None:
            self.build(x.shape)
        assert self._input_shape is not None
        fits = len(x.shape) == len(self._input_shape) and all(
            expected is None or size == expected for size, expected in zip(x.shape, self._input_shape, strict=True)
        )
        if not fits:
            expected = ", ".join("any" if size is None else str(size) for size in self._input_shape[1:])
            raise ValueError(f"{function}: x must have shape (n, {expected}), got {x.shape}")


def load_model(path: str | os.PathLike[str]) -> Sequential:
    """Return the model that `Sequential.save` wrote, compiled if it was, to be used or trained further.

    Nothing in the file is run, and nothing larger than the file is allocated.

    Raises
    ------
    ValueError
        If the file is damaged, is no model, or contradicts itself; the text names the file and the reason.
    OSError
        If it cannot be opened.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from fastconv.layers import Dense
    >>> model = Sequential([Dense(2, input_shape=(3,))])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "model.npz"
    ...     model.save(path)
    ...     again = load_model(path)
    >>> bool((again.predict([[1, 2, 3]]) == model.predict([[1, 2, 3]])).all())
    True
    """
    model = read_model(path, {"Sequential": Sequential})
    assert isinstance(model, Sequential)
    return model


def _layers_from_config(config: object) -> list[Layer]:
    if not isinstance(config, Mapping) or not isinstance(config.get("layers"), list):
        raise ValueError(f"Sequential: config must hold a list of layers, got {str(config)[:80]!r}")
    layers = []
    for index, serialized in enumerate(config["layers"]):
        where = f"Sequential: config['layers'][{index}]"
        if not isinstance(serialized, Mapping):
            raise ValueError(f"{where} must be a mapping, got {str(serialized)[:80]!r}")
        try:
            layers.append(resolve(where, serialized, Layer, _LAYERS))
        except (TypeError, KeyError, AttributeError, OverflowError) as error:
            raise ValueError(f"{where} must hold arguments that the layer takes, got an error: {error}") from error
    return layers
