"""What the demo and the command line tell about a trained network: figures, printed tables, pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastconv import metrics, plot
from fastconv._image_data import ImageData
from fastconv.layers import Conv2D
from fastconv.models import BaseModel
from fastconv.plot._network import image_fields

Array = npt.NDArray[Any]

TOP_K = 5
# Of pictures that draw some of the test images, or look for the strongest responses among them.
IMAGES_DRAWN, IMAGES_SEARCHED = 12, 1000


class Result(NamedTuple):
    """How a classifier does on labelled inputs; ``confusion[true, predicted]`` counts them."""

    labels: Array
    probabilities: Array
    loss: float
    accuracy: float
    confusion: Array


def evaluate(model: BaseModel, x: Array, y: Array) -> Result:
    """Compare a classifier's guesses with the labels ``y``; the loss is the mean cross-entropy.

    One pass over `x` gives all figures. The model's outputs must be probabilities, one a class.
    """
    probabilities = model.predict(x)
    return Result(
        labels=y,
        probabilities=probabilities,
        loss=metrics.cross_entropy(y, probabilities),
        accuracy=metrics.accuracy(y, probabilities),
        confusion=metrics.confusion_matrix(y, probabilities),
    )


def full_text(result: Result, classes: Sequence[str]) -> str:
    """Lay out all figures and tables as text.

    Without scikit-learn a line that says so stands in the place of what is its.

    Examples
    --------
    >>> shares = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    >>> print(full_text(Result(np.array([0, 1, 1]), shares, 0.4, 2 / 3, np.array([[1, 0], [1, 1]])), ["cat", "dog"]))
    accuracy        0.6667
    top-5 accuracy  1.0000
    cross-entropy   0.4000
    <BLANKLINE>
    Cohen's kappa          0.4000
    Matthews' correlation  0.5000
    <BLANKLINE>
    class  precision  recall      F1  examples
      cat     0.5000  1.0000  0.6667         1
      dog     1.0000  0.5000  0.6667         2
     mean     0.7500  0.7500  0.6667         3
    <BLANKLINE>
    true / predicted   0   1
               cat 0   1   .
               dog 1   1   1
    """
    labels, probabilities = result.labels, result.probabilities
    named = {
        "accuracy": result.accuracy,
        f"top-{TOP_K} accuracy": metrics.top_k(labels, probabilities, TOP_K),
        "cross-entropy": result.loss,
    }
    parts = [_lines(named)]
    try:
        agreement = {
            "Cohen's kappa": metrics.cohen_kappa(labels, probabilities),
            "Matthews' correlation": metrics.matthews_corrcoef(labels, probabilities),
        }
        parts += [_lines(agreement), class_table(result, classes)]
    except ImportError as error:
        parts.append(str(error))
    parts.append(confusion_table(result.confusion, classes))
    return "\n\n".join(parts)


def _lines(figures: Mapping[str, float]) -> str:
    width = max(map(len, figures))
    return "\n".join(f"{name:<{width}}  {value:.4f}" for name, value in figures.items())


def class_table(result: Result, classes: Sequence[str]) -> str:
    """Lay out precision, recall and F1 of each class as text, with their means in the last line.

    Raises
    ------
    ImportError
        If scikit-learn is not installed.
    """
    columns = [
        function(result.labels, result.probabilities, average=None)
        for function in (metrics.precision, metrics.recall, metrics.f1)
    ]
    counts = result.confusion.sum(axis=1)
    rows = [*zip(classes, *columns, counts, strict=True), ("mean", *map(np.mean, columns), counts.sum())]
    first = max(len(name) for name in ("class", "mean", *classes))
    lines = [f"{'class':>{first}}  precision  recall      F1  examples"]
    for name, precision, recall, f1, count in rows:
        lines.append(f"{name:>{first}}  {precision:9.4f}  {recall:.4f}  {f1:.4f}  {count:8}")
    return "\n".join(lines)


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
    data: ImageData,
    result: Result,
    history: Mapping[str, Sequence[float]] | None = None,
) -> list[Path]:
    """Write pictures of a network, of its results on the test set and, where there is one, its history as PNG.

    A model without convolutions has no filters and no maps, its input may be no image, and what its layers see may not
    be known: those pictures are left out, as is that of the mistakes where there are none.

    Returns
    -------
    list of Path
        The files.
    """
    pictures = {} if history is None else {"training-curve": plot.history(history)}
    if any(isinstance(layer, Conv2D) for layer in model.leaves().values()):
        pictures["filters"] = plot.filters(model)
        pictures["feature-maps"] = plot.feature_maps(model, data.x_test[0], data.classes)
    if data.x_test.ndim == 4 and _fields_known(model):
        pictures["activating-crops"] = plot.activating_crops(model, data.x_test[:IMAGES_SEARCHED])
        pictures["receptive-field"] = plot.receptive_field(model, data.x_test[0])
    pictures["confusion-matrix"] = plot.confusion_matrix(result.confusion, data.classes)
    if data.x_test.ndim == 4:
        wrong = np.flatnonzero(result.probabilities.argmax(axis=1) != result.labels)
        for name, chosen in (("guesses", np.arange(len(result.labels))), ("mistakes", wrong)):
            if len(chosen):
                drawn = chosen[:IMAGES_DRAWN]
                pictures[name] = plot.guesses(model, data.x_test[drawn], data.y_test[drawn], data.classes)
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: folder / f"{name}.png" for name in pictures}
    for name, file in files.items():
        plot.save(pictures[name], file)
    return list(files.values())


def _fields_known(model: BaseModel) -> bool:
    """Whether there are layers of maps, and what part of an image they see is known."""
    try:
        return bool(image_fields(model))
    except ValueError:
        return False
