"""Optimizers with Keras' formulas, defaults and epsilon.

An optimizer changes weights in place: ``optimizer.update(params, grads)`` on two dicts of arrays with the same keys.
What it remembers of a weight (momentum, mean squares) is allocated when the weight is first seen; from then on an
update allocates nothing. `learning_rate` may be set at any time, or be one of `fastconv.schedules`,
which is here by Keras' name, ``optimizers.schedules``, as well.
"""

from fastconv import schedules
from fastconv._configurable import resolve
from fastconv.optimizers.adagrad import Adagrad
from fastconv.optimizers.adam import Adam, AdamW
from fastconv.optimizers.base import Optimizer
from fastconv.optimizers.rmsprop import RMSprop
from fastconv.optimizers.sgd import SGD

__all__ = ["Optimizer", "SGD", "RMSprop", "Adagrad", "Adam", "AdamW", "CLASSES", "get", "schedules"]

_CLASSES: tuple[type[Optimizer], ...] = (SGD, RMSprop, Adagrad, Adam, AdamW)

CLASSES = frozenset(_CLASSES)
"""What a model file can name."""

_BY_NAME: dict[str, type[Optimizer]] = {
    **{cls.__name__.lower(): cls for cls in _CLASSES},
    **{cls.__name__: cls for cls in _CLASSES},
}


def get(identifier: object, where: str = "get: optimizer") -> Optimizer:
    """Return the optimizer of a name such as ``"adam"`` or ``"Adam"``, a class, a configuration or an object.

    Examples
    --------
    >>> get("sgd").learning_rate
    0.01
    """
    return resolve(where, identifier, Optimizer, _BY_NAME)
