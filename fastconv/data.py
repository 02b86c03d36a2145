"""Training data as batches: from arrays, or from whatever yields them."""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastconv._checks import to_array
from fastconv._numbers import count, finite

if TYPE_CHECKING:
    from numpy.random import Generator

Array = NDArray[Any]

DEFAULT_BATCH_SIZE = 32


class Columns:
    """Several arrays of as many samples each, cut into batches together: the data of a model of several inputs.

    Parameters
    ----------
    function, argument : str
        Name of the caller and of the argument, for errors.
    names : sequence of str
        Names of the arrays.
    values : sequence or mapping
        The arrays in the order of their names, or by their names.
    """

    def __init__(self, function: str, argument: str, names: Sequence[str], values: Any) -> None:
        if isinstance(values, Mapping):
            if set(values) != set(names):
                raise ValueError(f"{function}: {argument} must have the keys {list(names)}, got {list(values)}")
            values = [values[name] for name in names]
        if not isinstance(values, list | tuple) or len(values) != len(names):
            got = f"{len(values)}" if isinstance(values, list | tuple) else type(values).__name__
            raise ValueError(
                f"{function}: {argument} must be a list of {len(names)} arrays, one for each of"
                f" {', '.join(map(repr, names))}, got {got}"
            )
        self.arrays = [
            samples_of(function, f"{argument}[{name!r}]", value) for name, value in zip(names, values, strict=True)
        ]
        for name, array in zip(names, self.arrays, strict=True):
            if len(array) != len(self.arrays[0]):
                raise ValueError(
                    f"{function}: {argument}[{name!r}] must have as many samples as"
                    f" {argument}[{names[0]!r}], {len(self.arrays[0])}, got {len(array)}"
                )

    def __len__(self) -> int:
        return len(self.arrays[0])

    def __getitem__(self, which: Any) -> "Columns":
        taken = copy.copy(self)
        taken.arrays = [array[which] for array in self.arrays]
        return taken

    @property
    def shape(self) -> list[tuple[int, ...]]:
        """Shapes of the arrays."""
        return [array.shape for array in self.arrays]


Arrays = Array | Columns


def listed(arrays: Arrays) -> list[Array]:
    """Return one array or several as a list."""
    return arrays.arrays if isinstance(arrays, Columns) else [arrays]


class Batch(NamedTuple):
    """Inputs, targets and weights of some samples."""

    x: Arrays
    y: Arrays
    sample_weight: Arrays | None


Arrange = Callable[[str, Any, Any, Any], tuple[Any, Any, Any]]
"""Returns x, y and sample_weight with `Columns` in place of several arrays; the first argument is the function."""


def as_they_are(function: str, x: Any, y: Any, sample_weight: Any) -> tuple[Any, Any, Any]:
    """Return data of a model that has one input and one output."""
    return x, y, sample_weight


class ArrayData:
    """Batches cut from whole arrays. They keep the arrays' dtype: a layer converts a batch, nobody converts them all.

    Parameters
    ----------
    function : str
        Name of the caller, for errors.
    x, y : array_like
        Of the same length.
    sample_weight : array_like, optional
        As long as `x`.
    batch_size : int, optional
        By default 32. The last batch of an epoch may be smaller.

    Attributes
    ----------
    samples, steps : int
        How many samples and batches an epoch has.
    """

    def __init__(self, function: str, x: Any, y: Any, sample_weight: Any = None, batch_size: int | None = None) -> None:
        self.x = samples_of(function, "x", x)
        if y is None:
            raise ValueError(f"{function}: y must be given where x is an array, got None")
        self.y = samples_of(function, "y", y)
        self.sample_weight = None if sample_weight is None else samples_of(function, "sample_weight", sample_weight)
        for name, array in (("y", self.y), ("sample_weight", self.sample_weight)):
            if array is not None and len(array) != len(self.x):
                raise ValueError(f"{function}: {name} must have as many samples as x, {len(self.x)}, got {len(array)}")
        if not len(self.x):
            raise ValueError(f"{function}: x must hold at least one sample, got shape {self.x.shape}")
        self.batch_size = check_batch_size(function, batch_size)
        self.samples: int | None = len(self.x)
        self.steps: int | None = -(-len(self.x) // self.batch_size)

    def batches(self, order: "Generator | None" = None) -> Iterator[Batch]:
        """Yield the batches of an epoch, in an order drawn from a generator or as the samples lie."""
        if order is None:
            for start in range(0, len(self.x), self.batch_size):
                yield self._take(slice(start, start + self.batch_size))
            return
        permutation = order.permutation(len(self.x))
        for start in range(0, len(self.x), self.batch_size):
            yield self._take(permutation[start : start + self.batch_size])

    def limit(self, function: str, steps: int, batch_size: int | None) -> None:
        """Keep the first so many batches of this size, or where it is None make so many of all samples."""
        self.batch_size, taken = _first_batches(function, steps, batch_size, len(self.x))
        self.x, self.y, self.sample_weight = self._take(slice(taken))
        self.samples, self.steps = len(self.x), -(-len(self.x) // self.batch_size)

    def split(self, function: str, fraction: float) -> tuple["ArrayData", "ArrayData"]:
        """Return all but the last `fraction` of the samples, and those."""
        if not 0 < finite(f"{function}: validation_split", fraction) < 1:
            raise ValueError(f"{function}: validation_split must be from 0 to less than 1, got {fraction}")
        kept = int(len(self.x) * (1 - fraction))
        if not 0 < kept < len(self.x):
            raise ValueError(
                f"{function}: validation_split must leave samples on both sides of {len(self.x)}, got {fraction}"
            )
        parts = [self._take(slice(0, kept)), self._take(slice(kept, None))]
        first, second = (ArrayData(function, *part, self.batch_size) for part in parts)
        return first, second

    def _take(self, which: Any) -> Batch:
        weight = self.sample_weight
        return Batch(self.x[which], self.y[which], None if weight is None else weight[which])


class IterableData:
    """Batches that an iterable yields as ``(x, y)`` or ``(x, y, sample_weight)``; iterated anew in every epoch.

    For `predict` it yields the inputs, alone or as the first of a tuple. Where there is no ``__iter__``, the entries
    from 0 to ``len(iterable) - 1`` are the batches, as of Keras' ``PyDataset``.
    """

    samples: int | None = None
    _limited: Iterator[Any] | None = None

    def __init__(self, function: str, iterable: Any, arrange: Arrange = as_they_are, name: str = "x") -> None:
        self.function = function
        self.name = name
        self.arrange = arrange
        self.iterable = iterable
        self.steps: int | None = len(iterable) if isinstance(iterable, Sized) else None

    def limit(self, steps: int, *, anew: bool = True) -> None:
        """Make so many batches an epoch; the next one goes on where it ends, and where there are no more, anew."""
        self.steps = steps
        self._limited = self._repeated() if anew else iter(self._items())

    def batches(self, order: "Generator | None" = None) -> Iterator[Batch]:
        """Yield the batches of an epoch in the iterable's own order."""
        for item in self._taken():
            if not isinstance(item, tuple | list) or len(item) not in (2, 3):
                raise TypeError(
                    f"{self.function}: {self.name} must yield batches (x, y) or (x, y, sample_weight), "
                    f"got {type(item).__name__}" + (f" of {len(item)}" if isinstance(item, tuple | list) else "")
                )
            x, y, *weight = item
            data = ArrayData(self.function, *self.arrange(self.function, x, y, weight[0] if weight else None))
            yield Batch(data.x, data.y, data.sample_weight)

    def inputs(self) -> Iterator[Any]:
        """Yield the inputs of each batch, as they come."""
        for item in self._taken():
            yield item[0] if isinstance(item, tuple) and len(item) in (1, 2, 3) else item

    def _taken(self) -> Iterator[Any]:
        """Yield what an epoch takes; a ValueError behind the last where that was not enough."""
        found = 0
        for item in self._items() if self._limited is None else islice(self._limited, self.steps):
            yield item
            found += 1
        if not found or (self._limited is not None and found != self.steps):
            wanted = "at least one batch" if self._limited is None else f"{self.steps} batches"
            every = " in every epoch" if self.function == "fit" else ""
            raise ValueError(
                f"{self.function}: {self.name} must yield {wanted}{every}, got {found or 'none'}"
                " (a generator can be used up only once: pass a list, or an object whose __iter__ starts anew)"
            )

    def _repeated(self) -> Iterator[Any]:
        found = True
        while found:
            found = False
            for item in self._items():
                yield item
                found = True

    def _items(self) -> Iterable[Any]:
        if isinstance(self.iterable, Iterable):
            return self.iterable
        return (self.iterable[index] for index in range(len(self.iterable)))


Data = ArrayData | IterableData


def make_data(
    function: str,
    x: Any,
    y: Any,
    sample_weight: Any,
    batch_size: int | None,
    arrange: Arrange = as_they_are,
    name: str = "x",
) -> Data:
    """Return the batches of arrays, or of an iterable where `y` is None and `x`, called `name`, is no array."""
    if y is not None or not yields_items(x):
        return ArrayData(function, *arrange(function, x, y, sample_weight), batch_size)
    for option, value in (("batch_size", batch_size), ("sample_weight", sample_weight)):
        if value is not None:
            raise ValueError(f"{function}: {option} must be None where x yields batches, got {value!r}")
    return IterableData(function, x, arrange, name)


def yields_items(x: Any) -> bool:
    """Whether `x` is no array, and has items one after the other."""
    return not hasattr(x, "__array__") and (
        isinstance(x, Iterable) or (isinstance(x, Sized) and hasattr(x, "__getitem__"))
    )


def yields_inputs(x: Any) -> bool:
    """Whether `x` yields batches of inputs for `predict`; lists are arrays, or those of several inputs."""
    return yields_items(x) and not isinstance(x, Sequence | Mapping) and not hasattr(x, "__dlpack__")


def limit_steps(function: str, name: str, data: Data | None, steps: int | None) -> None:
    """Make so many batches an epoch of data that are no arrays; None changes nothing."""
    if steps is None:
        return
    if not isinstance(data, IterableData):
        raise ValueError(f"{function}: {name} must be None where no iterable yields batches, got {steps!r}")
    data.limit(count(f"{function}: {name}", steps, 1))


def first_steps(function: str, data: Data, steps: int | None, batch_size: int | None) -> None:
    """Keep the first so many batches of any data, of arrays without a batch size all; None changes nothing."""
    if steps is None:
        return
    number = count(f"{function}: steps", steps, 1)
    if isinstance(data, IterableData):
        data.limit(number, anew=False)
    else:
        data.limit(function, number, batch_size)


def first_samples(function: str, arrays: Sequence[Array], batch_size: int | None, steps: int) -> list[Array]:
    """Return the samples of the first so many batches, of arrays without a batch size all."""
    _, taken = _first_batches(function, count(f"{function}: steps", steps, 1), batch_size, len(arrays[0]))
    return [array[:taken] for array in arrays]


def _first_batches(function: str, steps: int, batch_size: int | None, samples: int) -> tuple[int, int]:
    """Return the size of a batch, and how many samples so many of them have: as in Keras all, where none is given."""
    size = -(-samples // steps) if batch_size is None else batch_size
    most = samples if batch_size is None else -(-samples // size)
    if steps > most:
        batches = f"batches of {size}" if batch_size is not None else "batches"
        raise ValueError(
            f"{function}: steps must be at most {most}, as many {batches} as {samples} samples make, got {steps}"
        )
    return size, steps * size


def samples_of(function: str, name: str, value: Any) -> Any:
    """Return `value` as an array whose first axis counts samples; `Columns` are that already."""
    if isinstance(value, Columns):
        return value
    array = to_array(function, name, value)
    if array.ndim == 0:
        raise ValueError(f"{function}: {name} must have a first axis of samples, got a scalar")
    return array


def check_batch_size(function: str, value: int | None) -> int:
    """Return the batch size; None means 32, as in Keras."""
    if value is None:
        return DEFAULT_BATCH_SIZE
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{function}: batch_size must be an integer, got {value!r}")
    if value < 1:
        raise ValueError(f"{function}: batch_size must be at least 1, got {value}")
    return int(value)


def combine_weights(function: str, batch: Batch, class_weight: Mapping[int, float] | None) -> Arrays | None:
    """Return each sample's weight times that of its class, or None where all are 1.

    The class of a one-hot row is its largest entry. Classes without an entry have weight 1, as in Keras.
    """
    if class_weight is None:
        return batch.sample_weight
    if not isinstance(class_weight, Mapping):
        raise TypeError(
            f"{function}: class_weight must be a mapping of classes to weights, got {type(class_weight).__name__}"
        )
    y = batch.y
    if isinstance(y, Columns) or isinstance(batch.sample_weight, Columns):
        raise ValueError(f"{function}: class_weight must be None for a model with several outputs, got {class_weight}")
    if y.ndim > 2:
        raise ValueError(f"{function}: class_weight must be None where a sample has several labels, got y of {y.shape}")
    labels = y.argmax(axis=-1) if y.ndim == 2 and y.shape[-1] > 1 else y.reshape(len(y))
    weights = np.ones(len(labels))
    for label, weight in class_weight.items():
        number = finite(f"{function}: a class of class_weight", label)
        weights[labels == number] = finite(f"{function}: class_weight[{label!r}]", weight)
    if batch.sample_weight is None:
        return weights
    return weights.reshape(-1, *(1,) * (batch.sample_weight.ndim - 1)) * batch.sample_weight
