"""A model as one archive: what stands where.

The JSON text ``config`` holds the format's version, the model's class and configuration, and what it was compiled with.
``weights/LAYER/NAME`` are the weights, ``optimizer/SLOT/LAYER/NAME`` what the optimizer remembers of them.
"""

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from fastconv import archive, losses, metrics, optimizers
from fastconv._configurable import serialize
from fastconv.layers.base import Array, Layer, WeightSpec

if TYPE_CHECKING:
    from fastconv.trainer import Trainer

WeightSource = Callable[[Layer, str, WeightSpec, np.dtype[Any]], Array]

_FORMAT = {"format": "fastconv model", "version": 1}


class ModelClass(Protocol):
    """A class of models that can be built from their configuration."""

    def from_config(self, config: Mapping[str, Any], weights: WeightSource | None = None) -> "Trainer":
        """Return a model whose weights come from `weights`."""


def save_model(model: "Trainer", path: str | os.PathLike[str]) -> None:
    """Write a model; see `Sequential.save`."""
    if not model.built:
        raise ValueError("save: the model must have weights, got one that is not built yet")
    arrays = {
        f"weights/{layer.name}/{name}": np.ascontiguousarray(layer.weight(name))
        for layer in model.layers
        for name in layer.params
    }
    config: dict[str, Any] = {**_FORMAT, "model": serialize(model)}
    if _can_be_named(model):
        assert model.optimizer is not None
        config["training"] = {
            "optimizer": serialize(model.optimizer),
            "iterations": model.optimizer.iterations,
            "loss": None if model.loss is None else serialize(model.loss),
            "metrics": [serialize(metric) for metric in model.metrics],
        }
        arrays |= {
            f"optimizer/{slot}/{key}": np.ascontiguousarray(array)
            for slot, entries in model.optimizer.slots.items()
            for key, array in entries.items()
        }
    archive.write(path, config, arrays)


def read_model(path: str | os.PathLike[str], classes: Mapping[str, ModelClass]) -> "Trainer":
    """Return the model in a file; see `load_model`."""
    with archive.Archive("load_model", path) as file:
        config = file.config()
        found = {key: config.get(key) for key in _FORMAT}
        if found != _FORMAT:
            raise ValueError(f"config must say {_FORMAT}, got {found}")
        serialized = _mapping(config, "model")
        class_name = serialized.get("class_name")
        if not isinstance(class_name, str) or class_name not in classes:
            raise ValueError(f"config['model']['class_name'] must be one of {list(classes)}, got {class_name!r}")

        def weights(layer: Layer, name: str, spec: WeightSpec, dtype: np.dtype[Any]) -> Array:
            return file.read(f"weights/{layer.name}/{name}", spec.shape, dtype)

        model = classes[class_name].from_config(_mapping(serialized, "config"), weights)
        if not model.built:
            raise ValueError("config['model'] must hold the input shape, got none")
        if config.get("training") is not None:
            _read_training(model, _mapping(config, "training"), file)
        return model


def _can_be_named(model: "Trainer") -> bool:
    """Whether the model is compiled, and with nothing but what this package defines."""
    return (
        type(model.optimizer) in optimizers.CLASSES
        and (model.loss is None or type(model.loss) in losses.CLASSES)
        and all(type(metric) in metrics.CLASSES for metric in model.metrics)
    )


def _read_training(model: "Trainer", training: Mapping[str, Any], file: archive.Archive) -> None:
    try:
        model.compile(training.get("optimizer"), training.get("loss"), training.get("metrics"))
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"config['training'] must hold arguments of compile, got an error: {error}") from error
    optimizer = model.optimizer
    iterations = training.get("iterations")
    if not isinstance(iterations, int) or isinstance(iterations, bool) or iterations < 0:
        raise ValueError(
            f"config['training']['iterations'] must be an integer that is not negative, got {iterations!r}"
        )
    assert optimizer is not None
    optimizer.iterations = iterations
    if iterations:
        for slot, entries in optimizer.slots.items():
            for layer in model.layers:
                for name, param in layer.params.items():
                    key = f"{layer.name}/{name}"
                    entries[key] = file.read(f"optimizer/{slot}/{key}", param.shape, param.dtype)


def _mapping(parent: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = parent.get(key)
    if not isinstance(value, Mapping):
        raise ValueError(f"config must hold an object {key!r}, got {str(value)[:80]!r}")
    return value
