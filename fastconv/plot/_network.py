"""What pictures need to know of a network: its input, the order of its axes, its values layer by layer."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from fastconv._checks import to_array
from fastconv.layers import Layer
from fastconv.models import Sequential
from fastconv.plot._drawing import Array
from fastconv.trainer import Trainer


def as_sequential(function: str, model: Trainer) -> Sequential:
    """Return the model if its layers run one after another, which the pictures of layers take for granted."""
    if not isinstance(model, Sequential):
        raise TypeError(f"{function}: model must be a Sequential, got {type(model).__name__}")
    return model


def as_batch(function: str, name: str, model: Sequential, images: npt.ArrayLike) -> Array:
    """Return images as the network takes them; a ValueError where it does not."""
    batch = to_array(function, name, images)
    wanted = model.input_shape[1:]
    if len(batch.shape) != 1 + len(wanted) or any(
        size not in (None, found) for size, found in zip(wanted, batch.shape[1:], strict=True)
    ):
        raise ValueError(f"{function}: {name} must have the network's input shape {wanted}, got {batch.shape[1:]}")
    return batch


def channels_last(layers: list[Layer]) -> bool:
    """Whether channels are the last axis of what goes into the first of `layers`."""
    formats = (layer.data_format for layer in layers if hasattr(layer, "data_format"))
    return next(formats, "channels_last") == "channels_last"


def as_pictures(images: Array, last: bool) -> Array:
    """Return inputs (n, h, w, c) or (n, c, h, w) as red, green and blue from 0 to 1, shape (n, h, w, 3).

    Inputs that are not of three channels become grey, the mean of their channels. Values from 0 to 1 stay as they are;
    others are scaled, the smallest of all to black, the largest to white.
    """
    pictures = np.asarray(images if last else np.moveaxis(images, 1, -1), np.float64)
    low, high = pictures.min(initial=0), pictures.max(initial=1)
    pictures = (pictures - low) / (high - low)
    if pictures.shape[-1] != 3:
        pictures = pictures.mean(axis=-1, keepdims=True)
    return np.broadcast_to(pictures, (*pictures.shape[:3], 3))


def steps(model: Sequential, image: Array) -> Iterator[tuple[str, Array, bool]]:
    """Yield name, values and "channels last" of one input and of each layer, an activation within a layer apart.

    What returns its very input, as dropout does outside training, is left out.
    """
    layers = model.layers
    last, values = channels_last(layers), image[np.newaxis]
    yield "input", values[0], last
    for layer in layers:
        last = channels_last([layer]) if hasattr(layer, "data_format") else last
        before = values
        if layer.params and layer.activation is not None:
            values = layer.without_activation().forward(before)
            yield layer.name, values[0], last
            before, values = values, layer.activation(values)
            name = f"{layer.name}: {layer.activation.name}"
        else:
            values, name = layer.forward(before), layer.name
        if values is not before:
            yield name, values[0], last
