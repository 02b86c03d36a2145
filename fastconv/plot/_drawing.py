"""What the pictures share: figures without global state, colours, signed mosaics, images, files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastconv.archive import atomic_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

Array = npt.NDArray[Any]
PathLike = str | os.PathLike[str]

# Okabe and Ito's colours for the colour-blind; what they tell apart differs in dash, marker or wording too.
BLUE, VERMILION = "#0072B2", "#D55E00"
NEUTRAL = "#999999"
# Black, grey and white carry values in signed pictures, so the gaps between the maps have a colour.
GAP = "#BFD7EA"
SIGNED_LEGEND = "black negative, grey zero, white positive"
# Small tiles are enlarged to about this many pixels, so that the gaps stay thin beside them.
TILE_PIXELS = 32
# Inches.
ROW_WIDTH = 8.0


def save(figure: Figure, path: PathLike) -> None:
    """Write a figure, whole or not at all, in the format of the name's ending.

    Parameters
    ----------
    figure
        What one of this module's functions returned.
    path
        The file; its folder must exist.

    Raises
    ------
    OSError
        The file cannot be written.
    ValueError
        matplotlib knows no format of that ending.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from fastconv import plot
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     plot.save(plot.history({"loss": [1.0, 0.5]}), pathlib.Path(folder, "loss.png"))
    """
    with atomic_file(path) as stream:
        figure.savefig(stream, format=Path(path).suffix.removeprefix("."), dpi=150)


def check_installed() -> None:
    """Raise an ImportError that says what to install where matplotlib is missing."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise ImportError('pictures need matplotlib: pip install "fastconv[demo]"') from error


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of a size in inches."""
    check_installed()
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def finished(figure: Figure, path: PathLike | None) -> Figure:
    """Return the figure, written to `path` where there is one."""
    if path is not None:
        save(figure, path)
    return figure


def literally(names: Iterable[object]) -> list[str]:
    """Return names as texts that matplotlib draws as they stand: dollars would begin a formula."""
    return [str(name).replace("$", r"\$") for name in names]


def mosaic(tiles: Array, columns: int) -> Array:
    """Lay tiles side by side in reading order; the gaps around them, and what the last row lacks, are NaN."""
    count, height, width = tiles.shape
    columns = min(columns, count)
    rows = -(-count // columns)
    enlargement = max(1, round(TILE_PIXELS / max(height, width)))
    height, width = height * enlargement, width * enlargement
    gap = max(height, width) // 16
    padded = np.full((rows * columns, height + gap, width + gap), np.nan)
    padded[:count, :height, :width] = tiles.repeat(enlargement, axis=1).repeat(enlargement, axis=2)
    padded = padded.reshape(rows, columns, height + gap, width + gap).swapaxes(1, 2)
    joined = padded.reshape(rows * (height + gap), columns * (width + gap))
    return np.pad(joined, ((gap, 0), (gap, 0)), constant_values=np.nan)


def draw_signed(axes: Axes, tiles: Array) -> AxesImage:
    """Draw a mosaic with black for minus its largest magnitude, grey for zero and white for plus that."""
    from matplotlib import colormaps

    shades = colormaps["gray"].with_extremes(bad=GAP)
    largest = np.abs(tiles[np.isfinite(tiles)]).max(initial=0) or 1.0
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    return axes.imshow(tiles, cmap=shades, vmin=-largest, vmax=largest, interpolation="nearest")


def draw_picture(axes: Axes, picture: Array) -> None:
    """Draw red, green and blue from 0 to 1, shape (h, w, 3), in a thin frame, for what is white at the border."""
    axes.imshow(picture, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(visible=True, color=NEUTRAL, linewidth=0.5)
