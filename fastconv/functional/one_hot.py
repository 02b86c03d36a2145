"""Class numbers as rows of zeros and a one."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastconv._checks import Array, to_array


def one_hot(input: ArrayLike, num_classes: int = -1) -> Array:
    """Class numbers as rows that hold 1 at the class and 0 elsewhere: ``y[..., k] = 1 if x[...] == k else 0``.

    Parameters
    ----------
    input : array_like of int
        Class numbers from 0 to ``num_classes - 1``, of any shape.
    num_classes : int
        How many there are; by default, -1, the largest in `input` plus one.

    Returns
    -------
    ndarray of int64
        Shape ``(*input.shape, num_classes)``.

    Raises
    ------
    TypeError
        If the input does not hold integers, or `num_classes` is none.
    ValueError
        If a class number is out of range; an empty input without `num_classes`.

    See Also
    --------
    fastconv.utils.to_categorical : the same in float32, as Keras has it.

    References
    ----------
    ``torch.nn.functional.one_hot``.

    Examples
    --------
    >>> import fastconv.functional as F
    >>> F.one_hot([0, 2])
    array([[1, 0, 0],
           [0, 0, 1]])
    """
    labels = to_array("one_hot", "input", input)
    if labels.dtype.kind not in "iu" and labels.size:
        raise TypeError(f"one_hot: input must hold integers, got {labels.dtype}")
    classes = _classes(labels, num_classes)
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        bad = labels.min() if labels.min() < 0 else labels.max()
        raise ValueError(f"one_hot: input must hold class numbers from 0 to {classes - 1}, got {bad}")
    rows = np.zeros((labels.size, classes), np.int64)
    rows[np.arange(labels.size), labels.ravel().astype(np.intp)] = 1
    return rows.reshape(*labels.shape, classes)


def _classes(labels: Array, num_classes: Any) -> int:
    if isinstance(num_classes, bool | np.bool_) or not isinstance(num_classes, int | np.integer):
        raise TypeError(f"one_hot: num_classes must be an integer, got {num_classes!r}")
    if num_classes != -1 and num_classes < 1:
        raise ValueError(f"one_hot: num_classes must be -1 or at least 1, got {num_classes}")
    if num_classes == -1 and not labels.size:
        raise ValueError(f"one_hot: num_classes must be given for an input without values, got shape {labels.shape}")
    return max(int(labels.max()) + 1, 1) if num_classes == -1 else int(num_classes)
