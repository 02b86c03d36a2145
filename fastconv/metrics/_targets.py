"""Targets in the forms that networks are trained with: class numbers, columns of them, rows of one value a class."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def kind(y_true: Array, y_pred: Array) -> Literal["binary", "sparse", "categorical"]:
    """Return what targets and outputs are by their shapes, as Keras decides it for "accuracy"."""
    if y_pred.shape[-1] == 1:
        return "binary"
    if y_true.ndim < y_pred.ndim or y_true.shape[-1] == 1:
        return "sparse"
    return "categorical"


def labels(where: str, y_true: Array, y_pred: Array) -> Array:
    """Return the class numbers of targets, shape ``y_pred.shape[:-1]``, out of class numbers or rows.

    Raises
    ------
    ValueError
        `where`, as in "top_k: y_true", must hold labels of classes that `y_pred` has, in its shape.
    """
    if y_true.shape == y_pred.shape and y_pred.shape[-1] > 1:
        from_rows: Array = y_true.argmax(axis=-1)
        return from_rows
    shape, classes = y_pred.shape[:-1], y_pred.shape[-1]
    if y_true.shape not in (shape, (*shape, 1)):
        raise ValueError(f"{where} must have shape {shape} or {y_pred.shape}, got {y_true.shape}")
    check_range(where, y_true, classes)
    numbers: Array = y_true.reshape(shape).astype(np.intp, copy=False)
    return numbers


def check_range(where: str, numbers: Array, classes: int) -> None:
    """Refuse labels that are not from 0 to ``classes - 1`` with a ValueError."""
    if numbers.size and not 0 <= numbers.min() <= numbers.max() < classes:
        bad = numbers.min() if numbers.min() < 0 else numbers.max()
        raise ValueError(f"{where} must hold labels from 0 to {classes - 1}, got {bad}")


def rows(where: str, y_true: Array, y_pred: Array) -> Array:
    """Return targets as booleans of the shape of `y_pred`: rows as they are, class numbers as one-hot rows."""
    if y_true.size == y_pred.size:
        same: Array = y_true.reshape(y_pred.shape).astype(bool)
        return same
    one_hot: Array = labels(where, y_true, y_pred)[..., np.newaxis] == np.arange(y_pred.shape[-1])
    return one_hot


def in_top_k(where: str, y_true: Array, y_pred: Array, k: int) -> Array:
    """Return for each sample whether fewer than `k` outputs are larger than that of its class; never beside a NaN."""
    at_label = np.take_along_axis(y_pred, labels(where, y_true, y_pred)[..., np.newaxis], axis=-1)
    within: Array = np.count_nonzero(y_pred > at_label, axis=-1) < k
    return within & ~np.isnan(y_pred).any(axis=-1)
