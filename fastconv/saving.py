"""A model as one archive: what stands where.

The JSON text ``config`` holds the format's version, the model's class and configuration, and what it was compiled with.
``weights/PATH`` are the weights, trained or not, ``optimizer/SLOT/PATH`` what the optimizer remembers of them. A path
is ``LAYER/NAME``, or for a layer of a model within the model ``MODEL/LAYER/NAME``.

A file of weights alone is for any model of the same layers, whatever their names: ``weights/NUMBER/NAME``, where layers
that have weights are numbered.
"""

import os
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from fastconv import archive, losses, metrics, optimizers
from fastconv._configurable import serialize
from fastconv.layers.base import Array, Layer, WeightSource, WeightSpec

if TYPE_CHECKING:
    from fastconv.models.base import BaseModel

_FORMAT = {"format": "fastconv model", "version": 2}
_WEIGHTS_FORMAT = {"format": "fastconv weights", "version": 1}


class ModelClass(Protocol):
    """A class of models that can be built from their configuration."""

    def from_config(self, config: Mapping[str, Any], weights: WeightSource | None = None) -> "BaseModel":
        """Return a model whose weights come from `weights`."""


def save_model(model: "BaseModel", path: str | os.PathLike[str]) -> None:
    """Write a model; see `BaseModel.save`."""
    if not model.built:
        raise ValueError("save: the model must have weights, got one that is not built yet")
    _check_sharing(model)
    arrays = {
        f"weights/{path}/{name}": np.ascontiguousarray(array)
        for path, layer in model.leaves().items()
        for name, array in _weights(layer).items()
    }
    config: dict[str, Any] = {**_FORMAT, "model": serialize(model)}
    if _can_be_named(model):
        assert model.optimizer is not None
        assert model.objective is not None
        targets = model.objective.targets
        config["training"] = {
            "optimizer": serialize(model.optimizer),
            "iterations": model.optimizer.iterations,
            "remembered": sorted({key for entries in model.optimizer.slots.values() for key in entries}),
            "loss": [None if target.loss is None else serialize(target.loss) for target in targets.values()],
            "metrics": [[serialize(metric) for metric in target.metrics] for target in targets.values()],
            "loss_weights": [target.weight for target in targets.values()],
            "weighted_metrics": [
                [serialize(metric) for metric in target.weighted_metrics] for target in targets.values()
            ],
        }
        arrays |= {
            f"optimizer/{slot}/{key}": np.ascontiguousarray(array)
            for slot, entries in model.optimizer.slots.items()
            for key, array in entries.items()
        }
    archive.write(path, config, arrays)


def write_weights(model: "BaseModel", path: str | os.PathLike[str]) -> None:
    """Write the weights of a model; see `BaseModel.save_weights`."""
    arrays = {key: np.ascontiguousarray(array) for key, array in _numbered_weights("save_weights", model).items()}
    archive.write(path, {**_WEIGHTS_FORMAT, "weights": list(arrays)}, arrays)


def read_weights(model: "BaseModel", path: str | os.PathLike[str]) -> None:
    """Copy weights from a file into a model; see `BaseModel.load_weights`."""
    targets = _numbered_weights("load_weights", model)
    with archive.Archive("load_weights", path, "weights") as file:
        config = file.config()
        found = {key: config.get(key) for key in _WEIGHTS_FORMAT}
        if found != _WEIGHTS_FORMAT:
            raise ValueError(f"config must say {_WEIGHTS_FORMAT}, got {found}")
        if config.get("weights") != list(targets):
            given = config.get("weights")
            count = f"{len(given)} arrays" if isinstance(given, list) else repr(given)
            raise ValueError(f"it must hold the {len(targets)} arrays that the model has, got {count} or other names")
        arrays = {key: file.read(key, target.shape, target.dtype) for key, target in targets.items()}
    for key, target in targets.items():
        target[...] = arrays[key]


def _numbered_weights(function: str, model: "BaseModel") -> dict[str, Array]:
    if not model.built:
        raise ValueError(f"{function}: the model must have weights, got one that is not built yet")
    layers = [found for found in map(_weights, model.leaves().values()) if found]
    return {f"weights/{number}/{name}": array for number, found in enumerate(layers) for name, array in found.items()}


def read_model(path: str | os.PathLike[str], classes: Mapping[str, ModelClass]) -> "BaseModel":
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

        def weights(path: str, spec: WeightSpec, dtype: np.dtype[Any]) -> Array:
            return file.read(f"weights/{path}", spec.shape, dtype)

        model = classes[class_name].from_config(_mapping(serialized, "config"), weights)
        if not model.built:
            raise ValueError("config['model'] must hold the input shape, got none")
        if config.get("training") is not None:
            _read_training(model, _mapping(config, "training"), file)
        return model


def _weights(layer: Layer) -> dict[str, Array]:
    return {**{name: layer.weight(name) for name in layer.params}, **layer.state}


def _check_sharing(model: "BaseModel") -> None:
    """Refuse layers that a file would hold twice: they would share their weights no more."""
    paths = model.paths()
    counts = Counter(id(layer) for _, layer in paths)
    for path, layer in paths:
        if counts[id(layer)] > 1:
            twice = " and ".join(repr(other) for other, found in paths if found is layer)
            raise ValueError(f"save: every layer must belong to one model, got {path!r} as {twice}")


def _can_be_named(model: "BaseModel") -> bool:
    """Whether the model is compiled, and with nothing but what this package defines."""
    return (
        model.objective is not None
        and type(model.optimizer) in optimizers.CLASSES
        and all(
            (target.loss is None or type(target.loss) in losses.CLASSES)
            and all(type(metric) in metrics.CLASSES for metric in target.all_metrics())
            for target in model.objective.targets.values()
        )
    )


def _read_training(model: "BaseModel", training: Mapping[str, Any], file: archive.Archive) -> None:
    outputs = len(model.output_names)
    keys = ("loss", "metrics", "loss_weights", "weighted_metrics")
    # Files of earlier versions have no weighted metrics.
    found: list[Any] = [training.get(key, [[]] * outputs if key == "weighted_metrics" else None) for key in keys]
    for key, value in zip(keys, found, strict=True):
        if not isinstance(value, list) or len(value) != outputs:
            raise ValueError(f"config['training'][{key!r}] must be a list of {outputs}, got {str(value)[:80]!r}")
    loss, metrics_by_output, weights, weighted_by_output = found
    try:
        # With one output, metrics are its list, not a list of lists.
        metrics_given, weighted_given = (
            by_output if outputs > 1 else by_output[0] for by_output in (metrics_by_output, weighted_by_output)
        )
        model.compile(training.get("optimizer"), loss, metrics_given, weights, weighted_given)
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
    params = {f"{path}/{name}": param for path, layer in model.leaves().items() for name, param in layer.params.items()}
    remembered = training.get("remembered")
    if not isinstance(remembered, list) or not all(isinstance(key, str) and key in params for key in remembered):
        raise ValueError(f"config['training']['remembered'] must name weights, got {str(remembered)[:80]!r}")
    for slot, entries in optimizer.slots.items():
        for key in remembered:
            entries[key] = file.read(f"optimizer/{slot}/{key}", params[key].shape, params[key].dtype)


def _mapping(parent: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = parent.get(key)
    if not isinstance(value, Mapping):
        raise ValueError(f"config must hold an object {key!r}, got {str(value)[:80]!r}")
    return value
