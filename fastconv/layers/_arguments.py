"""Constructor arguments of layers as Keras takes them: checked, and brought into one form."""

from collections.abc import Iterable
from typing import Any, Literal

import numpy as np

Pair = tuple[int, int]
DataFormat = Literal["channels_last", "channels_first"]
Padding = Literal["valid", "same", "causal"]

_TUPLES = {1: "a tuple of one integer", 2: "a pair of integers", 3: "three integers"}


def integer(where: str, value: Any, minimum: int = 1) -> int:
    """Return `value` as an int; `where` names function and argument: ``"Dense: units"``."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise TypeError(f"{where} must be an integer, got {value!r}")
    if value < minimum:
        raise ValueError(f"{where} must be at least {minimum}, got {value}")
    return int(value)


def integers(where: str, value: Any, count: int, minimum: int = 1) -> tuple[int, ...]:
    """Return `value` as so many integers, one for each axis; one integer stands for all."""
    if isinstance(value, Iterable) and not isinstance(value, str):
        found = tuple(value)
        if len(found) != count:
            raise ValueError(f"{where} must be an integer or {_TUPLES[count]}, got {value!r}")
        return tuple(integer(where, entry, minimum) for entry in found)
    return (integer(where, value, minimum),) * count


def entries(where: str, value: Any) -> tuple[Any, ...]:
    """Return the entries of a sequence."""
    if not isinstance(value, Iterable):
        raise TypeError(f"{where} must be a sequence, got {value!r}")
    return tuple(value)


def pair(where: str, value: Any, minimum: int = 1) -> Pair:
    """Return `value` as (height, width); one integer stands for both."""
    height, width = integers(where, value, 2, minimum)
    return height, width


def one_of(where: str, value: Any, *choices: str) -> Any:
    """Return `value` if it is among `choices`."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{where} must be {' or '.join(map(repr, choices))}, got {value!r}")
    return value


def data_format(layer: str, value: Any) -> DataFormat:
    """Return the data format; None means ``"channels_last"``."""
    format_: DataFormat = one_of(
        f"{layer}: data_format", "channels_last" if value is None else value, "channels_last", "channels_first"
    )
    return format_


def padding(layer: str, value: Any, *others: str) -> Padding:
    """Return the padding mode in lower case, as Keras does: "valid", "same" or one of `others`."""
    lower = value.lower() if isinstance(value, str) else value
    mode: Padding = one_of(f"{layer}: padding", lower, "valid", "same", *others)
    return mode


def fraction(where: str, value: Any) -> float:
    """Return `value` as a float from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"{where} must be a number, got {value!r}")
    if not 0 <= value <= 1:
        raise ValueError(f"{where} must be from 0 to 1, got {value}")
    return float(value)
