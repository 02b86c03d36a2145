"""What the demo and the command line tell about a trained network: figures, a printed table, pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastconv import metrics, plot
from fastconv.layers import Conv2D
from fastconv.losses import SparseCategoricalCrossentropy
from fastconv.models import BaseModel

Array = npt.NDArray[Any]


class Result(NamedTuple):
    """How a classifier does on labelled inputs; ``confusion[true, predicted]`` counts them."""

    loss: float
    accuracy: float
    confusion: Array


def evaluate(model: BaseModel, x: Array, y: Array) -> Result:
    """Compare a classifier's guesses with the labels ``y``; the loss is the mean cross-entropy.

    One pass over `x` gives all three figures. The model's outputs must be probabilities, one a class.
    """
    probabilities = model.predict(x)
    loss = SparseCategoricalCrossentropy()(y, probabilities)
    confusion = metrics.confusion_matrix(y, probabilities.argmax(axis=1), probabilities.shape[1])
    return Result(loss, float(np.trace(confusion) / len(y)), confusion)


def confusion_table(confusion: Array, classes: Sequence[str]) -> str:
    """Lay out a confusion matrix as text: a row for each true class, a column for each predicted one.

    Columns are headed by class numbers, which stand beside the names of the rows.

    Examples
    --------
    >>> print(confusion_table(np.array([[9, 1], [0, 12]]), ["cat", "dog"]))
    true / predicted   0   1
               cat 0   9   1
               dog 1   .  12
    """
    numbers = [str(number) for number in range(len(classes))]
    rows = [name if name == number else f"{name} {number}" for name, number in zip(classes, numbers, strict=True)]
    corner = "true / predicted"
    first = max(map(len, [corner, *rows]))
    width = 2 + max(len(str(confusion.max())), len(numbers[-1]))
    lines = [f"{corner:>{first}}" + "".join(f"{number:>{width}}" for number in numbers)]
    for row, counts in zip(rows, confusion, strict=True):
        lines.append(f"{row:>{first}}" + "".join(f"{count or '.':>{width}}" for count in counts))
    return "\n".join(lines)


def save_pictures(
    folder: Path,
    model: BaseModel,
    history: Mapping[str, Sequence[float]],
    image: Array,
    confusion: Array,
    classes: Sequence[str],
) -> list[Path]:
    """Write training curve, filters, feature maps of `image` and confusion matrix as PNG; return the files.

    A model without convolutions has no filters, and its input may be no image: those pictures are left out.
    """
    figures = {"training-curve": plot.history(history)}
    if any(isinstance(layer, Conv2D) for layer in model.layers):
        figures["filters"] = plot.filters(model)
        figures["feature-maps"] = plot.feature_maps(model, image, classes)
    figures["confusion-matrix"] = plot.confusion_matrix(confusion, classes)
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, figure in figures.items():
        files.append(folder / f"{name}.png")
        plot.save(figure, files[-1])
    return files
