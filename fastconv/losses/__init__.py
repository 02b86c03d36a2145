"""Loss functions with their gradients, by Keras' names, formulas and averages.

A loss is the mean over samples (and over further axes but the last) of one value per sample, each multiplied by its
weight where weights are given; the divisor is the number of values, whatever the weights. That is Keras'
"sum_over_batch_size"; ``reduction=`` takes its others too, see `Loss`.

Cross-entropies take probabilities, or with ``from_logits=True`` what a softmax or sigmoid would turn into them. From
logits they are exact for any finite input, and their gradient is ``softmax(logits) - target``. A model whose last
layer applies the softmax or sigmoid trains on its logits, without being told.
"""

from typing import Any

from numpy.typing import ArrayLike

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


class LossFunction:
    """A loss as Keras' function of its name: ``mean_squared_error(y_true, y_pred)`` returns one value per sample.

    Given to ``compile``, it stands for the loss with its defaults.

    Examples
    --------
    >>> mean_squared_error([[0.0], [0.0]], [[1.0], [2.0]])
    array([1., 4.])
    """

    def __init__(self, loss_class: type[Loss]) -> None:
        self.loss_class = loss_class
        self.__name__ = loss_class.name

    def __call__(self, y_true: ArrayLike, y_pred: ArrayLike, **arguments: Any) -> Any:
        """Return the values; `arguments` are those of the class."""
        return self.loss_class(**arguments, reduction="none")(y_true, y_pred)

    def __repr__(self) -> str:
        return f"<loss function {self.__name__}>"


categorical_crossentropy = LossFunction(CategoricalCrossentropy)
sparse_categorical_crossentropy = LossFunction(SparseCategoricalCrossentropy)
binary_crossentropy = LossFunction(BinaryCrossentropy)
categorical_focal_crossentropy = LossFunction(CategoricalFocalCrossentropy)
binary_focal_crossentropy = LossFunction(BinaryFocalCrossentropy)
kl_divergence = LossFunction(KLDivergence)
mean_squared_error = LossFunction(MeanSquaredError)
mean_absolute_error = LossFunction(MeanAbsoluteError)
huber = LossFunction(Huber)
hinge = LossFunction(Hinge)


def get(identifier: object, where: str = "get: loss") -> Loss:
    """Return the loss of a name such as ``"mse"`` or ``"MeanSquaredError"``, a function of this module, a class, a
    configuration or an object.

    Examples
    --------
    >>> get("hinge")
    Hinge(reduction='sum_over_batch_size', name='hinge')
    """
    if isinstance(identifier, LossFunction):
        return identifier.loss_class()
    return resolve(where, identifier, Loss, _BY_NAME)
