"""Small helpers with the names they have in Keras."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastconv._random import set_random_seed

__all__ = ["set_random_seed", "to_categorical"]


def to_categorical(x: ArrayLike, num_classes: int | None = None) -> NDArray[np.float32]:
    """Turn class labels into rows that hold 1 at the label and 0 elsewhere.

    Parameters
    ----------
    x : array_like of int
        Labels from 0 to ``num_classes - 1``, of any shape; a last axis of length 1 is dropped, as Keras does.
    num_classes : int, optional
        By default the largest label plus one.

    Returns
    -------
    ndarray of float32
        Shape ``(*x.shape, num_classes)``.

    Raises
    ------
    TypeError
        If the labels are not integers.
    ValueError
        If a label is out of range.

    Examples
    --------
    >>> to_categorical([0, 2])
    array([[1., 0., 0.],
           [0., 0., 1.]], dtype=float32)
    """
    labels = np.asarray(x)
    if labels.size and not np.issubdtype(labels.dtype, np.integer):
        raise TypeError(f"to_categorical: x must hold integers, got {labels.dtype}")
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    if num_classes is None:
        num_classes = int(labels.max()) + 1 if labels.size else 0
    if labels.size and not 0 <= labels.min() <= labels.max() < num_classes:
        bad = labels.min() if labels.min() < 0 else labels.max()
        raise ValueError(f"to_categorical: x must hold labels from 0 to {num_classes - 1}, got {bad}")
    rows = np.zeros((labels.size, num_classes), np.float32)
    rows[np.arange(labels.size), labels.astype(np.intp).ravel()] = 1
    return rows.reshape(*labels.shape, num_classes)
