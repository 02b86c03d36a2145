"""Images with what a network takes them for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastconv.plot import _network
from fastconv.plot._drawing import (
    BLUE,
    NEUTRAL,
    VERMILION,
    Array,
    PathLike,
    draw_picture,
    finished,
    literally,
    new_figure,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fastconv.trainer import Trainer

BEST, PER_ROW, MOST_IMAGES = 5, 3, 24
# Inches, of one image with its bars.
CELL_WIDTH, CELL_HEIGHT, LEAST_WIDTH = 3.2, 1.35, 4.5


def guesses(
    model: Trainer,
    images: npt.ArrayLike,
    labels: npt.ArrayLike | None = None,
    classes: Sequence[str] | None = None,
    *,
    path: PathLike | None = None,
) -> Figure:
    """Draw images with the network's five best guesses as bars: blue for the right class, vermilion for wrong ones.

    Parameters
    ----------
    model
        A built `Sequential` or `Model` of one input, and one output of probabilities, one a class.
    images
        Inputs of shape ``(n, h, w, c)``, or ``(n, c, h, w)`` for a network with channels first; the first 24 are drawn.
    labels
        The right classes, integers of shape ``(n,)``; without them all bars are grey.
    classes
        The names of the classes; by default their numbers.
    path
        A file to write the picture to as well, see `fastconv.plot.save`.

    Returns
    -------
    matplotlib.figure.Figure
        For each image two axes, the picture and the bars.

    Raises
    ------
    TypeError
        `model` is no model.
    ValueError
        `model` has several inputs or other outputs, `images` is not what the network takes or empty, `labels` does not
        fit, or `classes` does not name each class.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv as fc
    >>> from fastconv import plot
    >>> layers = [fc.layers.Flatten(input_shape=(4, 4, 1)), fc.layers.Dense(3, activation="softmax")]
    >>> len(plot.guesses(fc.Sequential(layers), np.ones((2, 4, 4, 1)), [0, 2]).axes)
    4
    """
    model = _network.as_model("guesses", model)
    batch = _network.as_batch("guesses", "images", model, images)
    if batch.ndim != 4 or len(batch) == 0:
        raise ValueError(f"guesses: images must be one image or more, each with three axes, got shape {batch.shape}")
    if len(model.output_names) > 1 or len(model.output_shape) != 2:
        raise ValueError(f"guesses: model must have one output of shape (n, classes), got {model.output_shape}")
    probabilities = model.predict(batch[:MOST_IMAGES])
    names = [str(label) for label in range(probabilities.shape[1])] if classes is None else literally(classes)
    if len(names) != probabilities.shape[1]:
        raise ValueError(f"guesses: classes must name {probabilities.shape[1]} classes, got {len(names)}")
    right = None if labels is None else _checked_labels(labels, len(batch), len(names))
    pictures = _network.as_pictures(batch[: len(probabilities)], _network.channels_last(model))

    rows, columns = -(-len(pictures) // PER_ROW), min(PER_ROW, len(pictures))
    figure = new_figure(max(CELL_WIDTH * columns, LEAST_WIDTH), CELL_HEIGHT * rows + 0.6)
    cells = figure.add_gridspec(rows, 2 * columns, width_ratios=(1, 1.1) * columns)
    for index, (picture, shares) in enumerate(zip(pictures, probabilities, strict=True)):
        row, column = divmod(index, PER_ROW)
        label = None if right is None else int(right[index])
        _draw_image(figure.add_subplot(cells[row, 2 * column]), picture, shares, label, names)
        _draw_guesses(figure.add_subplot(cells[row, 2 * column + 1]), shares, label, names)
    figure.suptitle(_title(len(pictures), len(batch), probabilities, right), fontsize=10)
    return finished(figure, path)


def _checked_labels(labels: npt.ArrayLike, count: int, classes: int) -> Array:
    right = np.asarray(labels)
    if right.shape != (count,):
        raise ValueError(f"guesses: labels must have shape ({count},), got {right.shape}")
    if right.dtype.kind not in "iu" or not 0 <= right.min() <= right.max() < classes:
        raise ValueError(
            f"guesses: labels must be integers from 0 to {classes - 1}, got {right.min()} to {right.max()}"
        )
    return right


def _title(shown: int, available: int, probabilities: Array, right: Array | None) -> str:
    title = f"{shown} of {available} images" if shown < available else f"{shown} image{'s' * (shown > 1)}"
    if right is None:
        return title
    hits = np.count_nonzero(probabilities.argmax(axis=1) == right[:shown])
    return f"{title}, {hits} recognised; over each its right class\nbars: the right class blue, others vermilion"


def _draw_image(axes: Axes, picture: Array, shares: Array, label: int | None, names: Sequence[str]) -> None:
    draw_picture(axes, picture)
    if label is not None:
        hit = shares.argmax() == label
        axes.set_title(f"{'✓' if hit else '✗'} {names[label]}", fontsize=9, color=BLUE if hit else VERMILION)


def _draw_guesses(axes: Axes, shares: Array, label: int | None, names: Sequence[str]) -> None:
    best = np.argsort(-shares, kind="stable")[:BEST]
    colours = [NEUTRAL if label is None else BLUE if guess == label else VERMILION for guess in best]
    axes.barh(range(len(best)), shares[best], color=colours, height=0.75)
    text: dict[str, Any] = {"textcoords": "offset points", "va": "center", "fontsize": 7}
    for place, guess in enumerate(best):
        axes.annotate(f"{shares[guess]:.0%}", (shares[guess], place), (2, 0), **text)
    axes.set_yticks(range(len(best)), [names[guess] for guess in best], fontsize=8)
    axes.tick_params(axis="y", length=0)
    # Bars from the top down, room for the figures beside a full one, all bars at one scale.
    axes.set(xticks=[], xlim=(0, 1.35), ylim=(BEST - 0.5, -0.5))
    axes.spines[["top", "right", "bottom"]].set_visible(False)
