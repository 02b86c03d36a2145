"""What the units of a layer look at: their receptive fields, and the crops that activate them most."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from fastconv.executor import Executor
from fastconv.plot import _network
from fastconv.plot._drawing import GAP, VERMILION, Array, PathLike, draw_picture, finished, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fastconv.models import BaseModel
    from fastconv.receptive_field import ReceptiveField
    from fastconv.trainer import Trainer

MOST_CHANNELS = 8
BATCH = 64
# Inches, of a crop with the line over it.
CROP_WIDTH, CROP_HEIGHT, LEAST_WIDTH = 0.95, 1.15, 6.5


def activating_crops(
    model: Trainer,
    images: npt.ArrayLike,
    layer: str | None = None,
    channels: Sequence[int] | None = None,
    count: int = 8,
    *,
    path: PathLike | None = None,
) -> Figure:
    """Draw the crops of images that activate channels of a layer most.

    A crop is what the unit with the channel's largest value sees: its receptive field, or along an axis on which that
    is no smaller than the image, the whole image. An image gives at most one crop to a channel. What is beyond the
    image is light blue; where fewer images than `count` activate a channel, places stay empty.

    Parameters
    ----------
    model
        A built `Sequential`, or a `Model` with one input.
    images
        Inputs of shape ``(n, h, w, c)``, or ``(n, c, h, w)`` for a network with channels first.
    layer
        The layer's name, or None for the last whose units see less than the whole image.
    channels
        Numbers of channels; by default the first eight.
    count
        Crops for a channel.
    path
        A file to write the picture to as well, see `fastconv.plot.save`.

    Returns
    -------
    matplotlib.figure.Figure
        A row for each channel, the strongest crop first, with the channel's value over it.

    Raises
    ------
    TypeError
        `model` is no model.
    ValueError
        `model` has several inputs, or `model.receptive_field` cannot tell what its layers see; `images` is not what the
        network takes, or empty; there is no such layer or channel; or `count` is less than 1.

    References
    ----------
    M. D. Zeiler, R. Fergus, "Visualizing and Understanding Convolutional Networks", arXiv:1311.2901, figure 2.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv as fc
    >>> from fastconv import plot
    >>> model = fc.Sequential([fc.layers.Conv2D(2, 3, input_shape=(8, 8, 1), name="edges")])
    >>> images = np.random.default_rng(0).random((5, 8, 8, 1))
    >>> print(plot.activating_crops(model, images, count=3).get_suptitle())
    edges: crops of 3x3 pixels that activate a channel most, out of 5 images
    over each the channel's value; light blue is beyond the image
    """
    model = _network.as_model("activating_crops", model)
    batch = _network.as_batch("activating_crops", "images", model, images)
    if batch.ndim != 4 or len(batch) == 0:
        raise ValueError(f"activating_crops: images must be one or more, each with three axes, got shape {batch.shape}")
    if count < 1:
        raise ValueError(f"activating_crops: count must be at least 1, got {count}")
    name, field = _chosen_field("activating_crops", model, batch.shape[1:], layer)
    values, units = _strongest(model, name, batch)
    chosen = list(range(min(MOST_CHANNELS, values.shape[1]))) if channels is None else list(channels)
    if not chosen or not all(0 <= channel < values.shape[1] for channel in chosen):
        raise ValueError(f"activating_crops: channels must be from 0 to {values.shape[1] - 1}, got {chosen}")

    best = np.argsort(-values[:, chosen].T, axis=1, kind="stable")[:, :count]
    needed = np.unique(best)
    pictures = dict(zip(needed, _network.as_pictures(batch[needed], _network.channels_last(model)), strict=True))
    figure = new_figure(max(CROP_WIDTH * count + 0.5, LEAST_WIDTH), CROP_HEIGHT * len(chosen) + 0.5)
    panels = figure.subplots(len(chosen), count, squeeze=False)
    for row, channel, order in zip(panels, chosen, best, strict=True):
        row[0].set_ylabel(f"channel {channel}", rotation=0, ha="right", va="center", fontsize=9)
        for axes in row:
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        for axes, number in zip(row, order, strict=False):
            if values[number, channel] > 0:
                draw_picture(axes, _crop(pictures[number], field, units[number, channel]))
                axes.set_title(f"{values[number, channel]:.3g}", fontsize=8, pad=2)
    size = "x".join(str(min(pair)) for pair in zip(field.size, pictures[needed[0]].shape, strict=False))
    figure.suptitle(
        f"{name}: crops of {size} pixels that activate a channel most, out of {len(batch)} images\n"
        "over each the channel's value; light blue is beyond the image",
        fontsize=10,
    )
    return finished(figure, path)


def receptive_field(
    model: Trainer,
    image: npt.ArrayLike,
    layer: str | None = None,
    unit: tuple[int, int] | None = None,
    *,
    path: PathLike | None = None,
) -> Figure:
    """Draw an image with the frame of what one unit of a layer sees of it.

    Parameters
    ----------
    model
        A built `Sequential`, or a `Model` with one input.
    image
        One input, of shape ``(h, w, c)``, or ``(c, h, w)`` for a network with channels first.
    layer
        The layer's name, or None for the last whose units see less than the whole image.
    unit
        Row and column of the unit in the layer's output; by default the middle.
    path
        A file to write the picture to as well, see `fastconv.plot.save`.

    Returns
    -------
    matplotlib.figure.Figure
        The image, paler outside of the frame; what the frame has beyond the image is padding, light blue.

    Raises
    ------
    TypeError
        `model` is no model.
    ValueError
        `model` has several inputs, or `model.receptive_field` cannot tell what its layers see; `image` is not what the
        network takes; there is no such layer, or it has no such unit.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv as fc
    >>> from fastconv import plot
    >>> layers = [fc.layers.Conv2D(2, 3, input_shape=(8, 8, 1)), fc.layers.MaxPooling2D(2, name="pool")]
    >>> print(plot.receptive_field(fc.Sequential(layers), np.ones((8, 8, 1)), unit=(0, 2)).get_suptitle())
    pool, unit (0, 2) of 3x3
    sees 4x4 pixels, in steps of 2x2
    """
    model = _network.as_model("receptive_field", model)
    batch = _network.as_batch("receptive_field", "image", model, np.asarray(image)[np.newaxis])
    if batch.ndim != 4:
        raise ValueError(f"receptive_field: image must have three axes, got shape {batch.shape[1:]}")
    name, field = _chosen_field("receptive_field", model, batch.shape[1:], layer)
    height, width = next(_maps(model, name, batch)).shape[1:3]
    row, column = (height // 2, width // 2) if unit is None else unit
    if not (0 <= row < height and 0 <= column < width):
        raise ValueError(f"receptive_field: unit must lie within {height}x{width}, got {(row, column)}")
    picture = _network.as_pictures(batch, _network.channels_last(model))[0]
    first = _first_pixel(field, (row, column))
    padded = any(
        low < 0 or low + size > length for low, size, length in zip(first, field.size, picture.shape[:2], strict=True)
    )
    figure = new_figure(5.5, 5.0)
    _draw_frame(figure.subplots(), picture, first, field.size)
    figure.suptitle(
        f"{name}, unit ({row}, {column}) of {height}x{width}\n"
        f"sees {field.size[0]}x{field.size[1]} pixels, in steps of {field.stride[0]}x{field.stride[1]}"
        + "; light blue is padding"
        * padded,
        fontsize=10,
    )
    return finished(figure, path)


def _chosen_field(
    function: str, model: BaseModel, input_shape: tuple[int, ...], layer: str | None
) -> tuple[str, ReceptiveField]:
    fields = _network.image_fields(model)
    size = input_shape[:2] if _network.channels_last(model) else input_shape[1:]
    partial = {known: field for known, field in fields.items() if np.less(field.size, size).any()}
    name = next(reversed(partial or fields), None) if layer is None else layer
    if name not in fields:
        known = ", ".join(fields) or "none"
        raise ValueError(f"{function}: layer must name one whose output is a map, out of {known}, got {layer!r}")
    return name, fields[name]


def _first_pixel(field: ReceptiveField, unit: tuple[int, int]) -> tuple[int, int]:
    return field.start[0] + unit[0] * field.stride[0], field.start[1] + unit[1] * field.stride[1]


def _maps(model: BaseModel, name: str, batch: Array) -> Iterator[Array]:
    """Yield what a layer makes of a batch, part by part, channels last."""
    program, channels_last = _network.maps_program(model, name)
    for start in range(0, len(batch), BATCH):
        (maps,) = Executor(program).forward([batch[start : start + BATCH]])
        yield maps if channels_last else np.moveaxis(maps, 1, -1)


def _strongest(model: BaseModel, name: str, batch: Array) -> tuple[Array, Array]:
    """Return for each image and channel the largest value, shape (n, c), and its row and column, (n, c, 2)."""
    values, units = [], []
    for maps in _maps(model, name, batch):
        flat = maps.reshape(len(maps), -1, maps.shape[-1])
        at = flat.argmax(axis=1)
        values.append(np.take_along_axis(flat, at[:, np.newaxis], axis=1)[:, 0])
        units.append(np.stack(np.unravel_index(at, maps.shape[1:3]), axis=-1))
    return np.concatenate(values), np.concatenate(units)


def _crop(picture: Array, field: ReceptiveField, unit: Array) -> Array:
    """Cut a unit's field out of a picture; what lies beyond it gets the colour of gaps."""
    from matplotlib.colors import to_rgb

    crop = picture
    for axis, (first, size) in enumerate(zip(_first_pixel(field, (unit[0], unit[1])), field.size, strict=True)):
        length = picture.shape[axis]
        if size >= length:
            continue
        places = np.arange(first, first + size)
        crop = crop.take(places.clip(0, length - 1), axis=axis)
        beyond = (places < 0) | (places >= length)
        crop[(slice(None),) * axis + (beyond,)] = to_rgb(GAP)
    return crop


def _draw_frame(axes: Axes, picture: Array, first: tuple[int, int], size: tuple[int, ...]) -> None:
    from matplotlib.patches import Rectangle

    height, width = picture.shape[:2]
    inside = np.zeros((height, width, 1), bool)
    inside[max(first[0], 0) : first[0] + size[0], max(first[1], 0) : first[1] + size[1]] = True
    axes.imshow(np.where(inside, picture, 0.5 * picture + 0.5), interpolation="nearest", zorder=1)
    # Pixel centres are at whole numbers.
    top, left = first[0] - 0.5, first[1] - 0.5
    axes.add_patch(Rectangle((left, top), size[1], size[0], color=GAP, zorder=0))
    axes.add_patch(Rectangle((left, top), size[1], size[0], fill=False, edgecolor=VERMILION, linewidth=2.5, zorder=3))
    margin = 0.02 * max(height, width)
    axes.set_xlim(min(-0.5, left) - margin, max(width - 0.5, left + size[1]) + margin)
    axes.set_ylim(max(height - 0.5, top + size[0]) + margin, min(-0.5, top) - margin)
    axes.set(xlabel="column", ylabel="row")
    axes.spines[:].set_visible(False)
