"""How training went, and what the trained network takes for what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from fastconv.plot._drawing import BLUE, VERMILION, PathLike, finished, literally, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PANELS_PER_ROW = 3


def history(history: Mapping[str, Sequence[float]], *, path: PathLike | None = None) -> Figure:
    """Draw loss and metrics over the epochs, validation beside training.

    Parameters
    ----------
    history
        The dict ``model.fit(...).history``: one value an epoch for ``loss`` and each metric, and for their ``val_``
        twins where there was validation.
    path
        A file to write the picture to as well, see `fastconv.plot.save`.

    Returns
    -------
    matplotlib.figure.Figure
        One panel for the loss and one for each metric.

    Raises
    ------
    ValueError
        `history` is empty.

    Examples
    --------
    >>> from fastconv import plot
    >>> figure = plot.history({"loss": [1.0, 0.5], "val_loss": [1.1, 0.7]})
    >>> [axes.get_ylabel() for axes in figure.axes]
    ['loss']
    """
    names = [name for name in history if not name.startswith("val_")]
    if not names or not history[names[0]]:
        raise ValueError("history: history must hold at least one value of one epoch, got none")
    rows, columns = -(-len(names) // PANELS_PER_ROW), min(PANELS_PER_ROW, len(names))
    figure = new_figure(4.5 * columns, 3.5 * rows)
    for place, name in enumerate(names, start=1):
        panel = figure.add_subplot(rows, columns, place)
        curves = (("training", name, BLUE, "-o"), ("validation", f"val_{name}", VERMILION, "--s"))
        for label, key, colour, line in curves:
            if key in history:
                panel.plot(range(1, 1 + len(history[key])), history[key], line, color=colour, label=label, markersize=4)
        panel.set(xlabel="epoch", ylabel=name)
        panel.locator_params(axis="x", integer=True)
        panel.grid(alpha=0.3)
        if f"val_{name}" in history:
            panel.legend()
    return finished(figure, path)


def confusion_matrix(
    matrix: npt.ArrayLike, classes: Sequence[str] | None = None, *, path: PathLike | None = None
) -> Figure:
    """Draw a confusion matrix: counts as numbers, the share of the true class as colour.

    Parameters
    ----------
    matrix
        Counts of shape (k, k), one row a true class and one column a predicted class.
    classes
        The names of the classes; by default their numbers.
    path
        A file to write the picture to as well, see `fastconv.plot.save`.

    Returns
    -------
    matplotlib.figure.Figure
        The matrix, darker where more of a true class went.

    Raises
    ------
    ValueError
        `matrix` is not square, or `classes` does not name each class.

    Examples
    --------
    >>> from fastconv import plot
    >>> plot.confusion_matrix([[9, 1], [0, 10]], ["cat", "dog"]).get_suptitle()
    '19 of 20 right (95.00%)'
    """
    counts = np.asarray(matrix)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or counts.size == 0:
        raise ValueError(f"confusion_matrix: matrix must have shape (k, k), got {counts.shape}")
    names = [str(label) for label in range(len(counts))] if classes is None else literally(classes)
    if len(names) != len(counts):
        raise ValueError(f"confusion_matrix: classes must name {len(counts)} classes, got {len(names)}")
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 1.8 + 0.45 * len(counts)
    figure = new_figure(side + 0.9, side)
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        if count:
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=8)
    axes.set_xticks(range(len(names)), names, rotation=90 if max(map(len, names)) > 2 else 0)
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="predicted", ylabel="true")
    figure.colorbar(image, ax=axes, label="share of the true class", fraction=0.05)
    right, total = np.trace(counts), counts.sum()
    figure.suptitle(f"{right} of {total} right ({right / max(total, 1):.2%})")
    return finished(figure, path)
