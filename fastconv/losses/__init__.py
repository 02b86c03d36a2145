"""Loss functions with their gradients, by Keras' names, formulas and averages.

A loss is the mean over samples (and over further axes but the last) of one value per sample, each multiplied by its
weight where weights are given; the divisor is the number of values, whatever the weights. That is Keras'
"sum_over_batch_size"; ``reduction=`` takes its others too, see `Loss`.

Cross-entropies take probabilities, or with ``from_logits=True`` what a softmax or sigmoid would turn into them. From
logits they are exact for any finite input, and their gradient is ``softmax(logits) - target``. A model whose last
layer applies the softmax or sigmoid trains on its logits, without being told.
"""

from fastconv._configurable import resolve
from fastconv.losses.base import Loss
from fastconv.losses.focal import BinaryFocalCrossentropy, CategoricalFocalCrossentropy
from fastconv.losses.probabilistic import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    KLDivergence,
    SparseCategoricalCrossentropy,
)
from fastconv.losses.regression import Hinge, Huber, MeanAbsoluteError, MeanSquaredError

__all__ = [
    "Loss",
    "CategoricalCrossentropy",
    "SparseCategoricalCrossentropy",
    "BinaryCrossentropy",
    "CategoricalFocalCrossentropy",
    "BinaryFocalCrossentropy",
    "KLDivergence",
    "MeanSquaredError",
    "MeanAbsoluteError",
    "Huber",
    "Hinge",
    "CLASSES",
    "get",
]

_CLASSES: tuple[type[Loss], ...] = (
    CategoricalCrossentropy,
    SparseCategoricalCrossentropy,
    BinaryCrossentropy,
    CategoricalFocalCrossentropy,
    BinaryFocalCrossentropy,
    KLDivergence,
    MeanSquaredError,
    MeanAbsoluteError,
    Huber,
    Hinge,
)

CLASSES = frozenset(_CLASSES)
"""What a model file can name."""

_ABBREVIATIONS: dict[str, type[Loss]] = {
    "bce": BinaryCrossentropy,
    "kld": KLDivergence,
    "mae": MeanAbsoluteError,
    "mse": MeanSquaredError,
    "focal": CategoricalFocalCrossentropy,
}

_BY_NAME: dict[str, type[Loss]] = {
    **{cls.name: cls for cls in _CLASSES},
    **_ABBREVIATIONS,
    **{name.upper(): cls for name, cls in _ABBREVIATIONS.items()},
    **{cls.__name__: cls for cls in _CLASSES},
}


def get(identifier: object, where: str = "get: loss") -> Loss:
    """Return the loss of a name such as ``"mse"`` or ``"MeanSquaredError"``, a class, a configuration or an object.

    Examples
    --------
    >>> get("hinge")
    Hinge(reduction='sum_over_batch_size', name='hinge')
    """
    return resolve(where, identifier, Loss, _BY_NAME)
