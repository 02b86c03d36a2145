"""What each layer of a network makes of one image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from fastconv.plot import _network
from fastconv.plot._drawing import (
    BLUE,
    NEUTRAL,
    ROW_WIDTH,
    SIGNED_LEGEND,
    TILE_PIXELS,
    Array,
    PathLike,
    draw_picture,
    draw_signed,
    finished,
    literally,
    mosaic,
    new_figure,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fastconv.trainer import Trainer

MAPS_PER_ROW, MOST_MAPS = 16, 32
UNITS_PER_ROW, MOST_UNITS = 64, 256
MOST_BARS = 20
# Bars are no wider than if there were so many.
FEWEST_BARS = 10
# Inches: a row is at least as high as the lines of its label.
LINE_HEIGHT, PICTURE_HEIGHT, MAP_HEIGHT, UNIT_HEIGHT, BARS_HEIGHT = 0.18, 1.0, 0.62, 0.36, 1.0


def feature_maps(
    model: Trainer, image: npt.ArrayLike, classes: Sequence[str] | None = None, *, path: PathLike | None = None
) -> Figure:
    """Draw what each layer makes of one image, from the input to the guess.

    Below the image each layer has a signed scale of its own: black is minus the largest magnitude, grey zero, white
    plus the largest magnitude. Maps stand side by side in the order of their channels, the first 32 of them; a layer
    without maps is a strip of its units, the first 256 of them; a last layer of at most 20 units is a bar for each
    class, the largest blue. An activation within a layer has a row of its own. Dropout, which does nothing outside
    training, is left out. In a graph, a row that is not made from the row above it alone says what it is made from.

    Parameters
    ----------
    model
        A built `Sequential`, or a `Model` with one input.
    image
        One input, of shape ``(h, w, c)``, or ``(c, h, w)`` for a network with channels first.
    classes
        The names under the bars; by default their numbers.
    path
        A file to write the picture to as well, see `fastconv.plot.save`.

    Returns
    -------
    matplotlib.figure.Figure
        A row for the input and for each layer.

    Raises
    ------
    TypeError
        `model` is no model.
    ValueError
        `model` has several inputs, `image` is not what the network takes, or `classes` does not name each class.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv as fc
    >>> from fastconv import plot
    >>> model = fc.Sequential([fc.layers.Conv2D(4, 3, activation="relu", input_shape=(8, 8, 1))])
    >>> len(plot.feature_maps(model, np.ones((8, 8, 1))).axes)
    3
    """
    model = _network.as_model("feature_maps", model)
    (checked,) = _network.as_batch("feature_maps", "image", model, np.asarray(image)[np.newaxis])
    values = _network.values(model, checked)
    last = values[-1].array
    bars = last.ndim == 1 and last.size <= MOST_BARS
    if bars and classes is not None and len(classes) != last.size:
        raise ValueError(f"feature_maps: classes must name {last.size} classes, got {len(classes)}")
    mosaics = [mosaic(*_tiles(value)) for value in values]
    heights = [_row_height(value, tiles) for value, tiles in zip(values, mosaics, strict=True)]
    if checked.ndim == 3:
        heights[0] = PICTURE_HEIGHT
    if bars:
        heights[-1] = BARS_HEIGHT
    figure = new_figure(ROW_WIDTH + 2.0, sum(heights) + 0.12 * len(heights) + 0.6)
    rows = figure.add_gridspec(len(values), 1, height_ratios=heights)
    for row, (value, tiles) in enumerate(zip(values, mosaics, strict=True)):
        axes = figure.add_subplot(rows[row])
        label = _label(value)
        if bars and value is values[-1]:
            _draw_bars(axes, last, classes)
        else:
            if row == 0 and checked.ndim == 3:
                draw_picture(axes, _network.as_pictures(value.array[np.newaxis], value.channels_last)[0])
                label += f", {value.array.min():.2g} to {value.array.max():.2g}"
            else:
                draw_signed(axes, tiles)
                label += f", ±{np.abs(value.array).max(initial=0):.2g}"
            axes.set_anchor("W")
        axes.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=9)
    figure.suptitle(f"{SIGNED_LEGEND}; each layer scaled to its largest magnitude (±)", fontsize=10)
    return finished(figure, path)


def _tiles(value: _network.Value) -> tuple[Array, int]:
    """Return what is shown of one layer's output as tiles (count, h, w), and how many fit in a row."""
    if value.array.ndim == 3:
        maps = value.array.transpose(2, 0, 1) if value.channels_last else value.array
        return maps[:MOST_MAPS], MAPS_PER_ROW
    return value.array.reshape(-1, 1, 1)[:MOST_UNITS], UNITS_PER_ROW


def _label(value: _network.Value) -> str:
    """Return name, sources, and how many maps or units there are and are shown."""
    array, maps = value.array, value.array.ndim == 3
    available = array.shape[-1 if value.channels_last else 0] if maps else array.size
    shown = min(available, MOST_MAPS if maps else MOST_UNITS)
    sources = f"\nfrom {', '.join(value.sources)}" if value.sources else ""
    size = "x".join(map(str, array.shape)) + (f" ({shown} shown)" if shown < available else "")
    return f"{value.name}{sources}\n{size}"


def _row_height(value: _network.Value, tiles: Array) -> float:
    """Return inches: what fills the row's width, but a few maps or units are no larger than many."""
    height, width = tiles.shape
    largest = (MAP_HEIGHT if value.array.ndim == 3 else UNIT_HEIGHT) / TILE_PIXELS
    least = LINE_HEIGHT * (3 if value.sources else 2)
    return max(least, float(min(ROW_WIDTH / width, largest) * height))


def _draw_bars(axes: Axes, values: Array, classes: Sequence[str] | None) -> None:
    names = [str(unit) for unit in range(len(values))] if classes is None else literally(classes)
    best = int(np.argmax(values))
    bars = axes.bar(
        range(len(values)), values, color=[BLUE if unit == best else NEUTRAL for unit in range(len(values))]
    )
    axes.bar_label(bars, fmt="{:.2f}", fontsize=7, padding=1)
    axes.set_xticks(range(len(values)), names, fontsize=8)
    axes.set(
        yticks=[], ylim=(min(0, values.min()), max(1, values.max())), xlim=(-0.5, max(len(values), FEWEST_BARS) - 0.5)
    )
    axes.spines[["top", "right", "left"]].set_visible(False)
