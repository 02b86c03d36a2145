"""What each layer of a network makes of one image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from fastconv.plot import _network
from fastconv.plot._drawing import (
    BLUE,
    ROW_WIDTH,
    SIGNED_LEGEND,
    TILE_PIXELS,
    VERMILION,
    Array,
    PathLike,
    draw_picture,
    draw_signed,
    finished,
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
# Inches: a row is at least as high as its two lines of label.
LEAST_ROW_HEIGHT, MAP_HEIGHT, UNIT_HEIGHT, BARS_HEIGHT = 0.36, 1.0, 0.36, 1.0


def feature_maps(
    model: Trainer, image: npt.ArrayLike, classes: Sequence[str] | None = None, *, path: PathLike | None = None
) -> Figure:
    """Draw what each layer makes of one image, from the input to the guess.

    Below the image each layer has a signed scale of its own: black is minus the largest magnitude, grey zero, white
    plus the largest magnitude. Maps stand side by side in the order of their channels, the first 32 of them; a layer
    without maps is a strip of its units, the first 256 of them; a last layer of at most 20 units is a bar for each
    class. An activation within a layer has a row of its own. Dropout, which does nothing outside training, is left out.

    Parameters
    ----------
    model
        A `Sequential` that has been built.
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
        `model` is no Sequential.
    ValueError
        `image` is not what the network takes, or `classes` does not name each class.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv as fc
    >>> from fastconv import plot
    >>> model = fc.Sequential([fc.layers.Conv2D(4, 3, activation="relu", input_shape=(8, 8, 1))])
    >>> len(plot.feature_maps(model, np.ones((8, 8, 1))).axes)
    3
    """
    model = _network.as_sequential("feature_maps", model)
    (checked,) = _network.as_batch("feature_maps", "image", model, np.asarray(image)[np.newaxis])
    steps = list(_network.steps(model, checked))
    last = steps[-1][1]
    bars = last.ndim == 1 and last.size <= MOST_BARS
    if bars and classes is not None and len(classes) != last.size:
        raise ValueError(f"feature_maps: classes must name {last.size} classes, got {len(classes)}")
    mosaics = [mosaic(*_tiles(values, channels_last)) for _, values, channels_last in steps]
    heights = [_row_height(tiles, values.ndim == 3) for (_, values, _), tiles in zip(steps, mosaics, strict=True)]
    if bars:
        heights[-1] = BARS_HEIGHT
    figure = new_figure(ROW_WIDTH + 2.0, sum(heights) + 0.12 * len(heights) + 0.6)
    rows = figure.add_gridspec(len(steps), 1, height_ratios=heights)
    for row, ((name, values, channels_last), tiles) in enumerate(zip(steps, mosaics, strict=True)):
        axes = figure.add_subplot(rows[row])
        shown, available = _shown(values, channels_last)
        size = "x".join(map(str, values.shape)) + (f" ({shown} shown)" if shown < available else "")
        if bars and values is last:
            _draw_bars(axes, values, classes)
            label = f"{name}\n{size}"
        else:
            if row == 0 and values.ndim == 3:
                draw_picture(axes, _network.as_pictures(values[np.newaxis], channels_last)[0])
                label = f"{name}\n{size}, {values.min():.2g} to {values.max():.2g}"
            else:
                draw_signed(axes, tiles)
                label = f"{name}\n{size}, ±{np.abs(values).max(initial=0):.2g}"
            axes.set_anchor("W")
        axes.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=9)
    figure.suptitle(f"{SIGNED_LEGEND}; each layer scaled to its largest magnitude (±)", fontsize=10)
    return finished(figure, path)


def _tiles(values: Array, channels_last: bool) -> tuple[Array, int]:
    """Return what is shown of one layer's output as tiles (count, h, w), and how many fit in a row."""
    if values.ndim == 3:
        maps = values.transpose(2, 0, 1) if channels_last else values
        return maps[:MOST_MAPS], MAPS_PER_ROW
    return values.reshape(-1, 1, 1)[:MOST_UNITS], UNITS_PER_ROW


def _shown(values: Array, channels_last: bool) -> tuple[int, int]:
    """Return how many maps or units of a layer's output are shown, and how many there are."""
    available = values.shape[-1 if channels_last else 0] if values.ndim == 3 else values.size
    return min(available, MOST_MAPS if values.ndim == 3 else MOST_UNITS), available


def _row_height(tiles: Array, maps: bool) -> float:
    """Return inches: what fills the row's width, but no map or unit too large, as that of the input would be."""
    height, width = tiles.shape
    largest = (MAP_HEIGHT if maps else UNIT_HEIGHT) / TILE_PIXELS
    return max(LEAST_ROW_HEIGHT, float(min(ROW_WIDTH / width, largest) * height))


def _draw_bars(axes: Axes, values: Array, classes: Sequence[str] | None) -> None:
    names = [str(unit) for unit in range(len(values))] if classes is None else list(classes)
    bars = axes.bar(range(len(values)), values, color=BLUE)
    bars[int(np.argmax(values))].set_color(VERMILION)
    axes.set_xticks(range(len(values)), names, fontsize=8)
    axes.set(
        yticks=[], ylim=(min(0, values.min()), max(1, values.max())), xlim=(-0.5, max(len(values), FEWEST_BARS) - 0.5)
    )
    axes.spines[["top", "right", "left"]].set_visible(False)
