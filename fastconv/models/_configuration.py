"""Layers from configurations that nobody vouches for."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastconv import layers
from fastconv._configurable import resolve
from fastconv.layers.base import Array, Layer, WeightSource, WeightSpec
from fastconv.models.base import BaseModel

CLASSES: dict[str, type[Layer]] = {
    name: cls
    for name, cls in vars(layers).items()
    if isinstance(cls, type) and issubclass(cls, Layer) and cls is not Layer
}
"""What a configuration may name. The modules of the models add theirs."""


def check_config(model: str, config: object) -> Mapping[str, Any]:
    """Return a model's configuration, which must hold a list of layers."""
    if not isinstance(config, Mapping) or not isinstance(config.get("layers"), list):
        raise ValueError(f"{model}: config must hold a list of layers, got {str(config)[:80]!r}")
    return config


def layer_from_config(where: str, serialized: object, weights: WeightSource | None = None) -> Layer:
    """Return the layer or model of ``{"class_name": ..., "config": ...}``.

    Parameters
    ----------
    where : str
        What `serialized` is, for errors.
    serialized : mapping
    weights : callable, optional
        Source of the weights by their paths from the model around the layer; a model takes those of its layers.

    Raises
    ------
    ValueError
        If it describes no layer.
    """
    if not isinstance(serialized, Mapping):
        raise ValueError(f"{where} must be a mapping, got {str(serialized)[:80]!r}")
    cls, config = CLASSES.get(str(serialized.get("class_name"))), serialized.get("config")
    try:
        if cls is not None and issubclass(cls, BaseModel) and isinstance(config, Mapping):
            return cls.from_config(config, scoped(weights, str(config.get("name"))))
        return resolve(where, serialized, Layer, CLASSES)
    except (TypeError, KeyError, AttributeError, OverflowError) as error:
        raise ValueError(f"{where} must hold arguments that the layer takes, got an error: {error}") from error


def scoped(weights: WeightSource | None, name: str) -> WeightSource | None:
    """Return the source of the weights of one layer of a model, by their paths from that layer."""
    if weights is None:
        return None
    source = weights

    def of_layer(path: str, spec: WeightSpec, dtype: np.dtype[Any]) -> Array:
        return source(f"{name}/{path}", spec, dtype)

    return of_layer
