"""Constructor arguments of layers as Keras takes them: checked, and brought into one form."""

from collections.abc import Iterable
from typing import Any, Literal

import numpy as np

Pair = tuple[int, int]
DataFormat = Literal["channels_last", "channels_first"]
Padding = Literal["valid", "same"]


def integer(where: str, value: Any, minimum: int = 1) -> int:
    """Return `value` as an int; `where` names function and argument: ``"Dense: units"``."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise TypeError(f"{where} must be an integer, got {value!r}")
    if value < minimum:
        raise ValueError(f"{where} must be at least {minimum}, got {value}")
    return int(value)


def pair(where: str, value: Any, minimum: int = 1) -> Pair:
    """Return `value` as (height, width); one integer stands for both."""
    if isinstance(value, Iterable) and not isinstance(value, str):
        entries = tuple(value)
        if len(entries) != 2:
            raise ValueError(f"{where} must be an integer or a pair of integers, got {value!r}")
        return integer(where, entries[0], minimum), integer(where, entries[1], minimum)
    return (integer(where, value, minimum),) * 2


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


def padding(layer: str, value: Any) -> Padding:
    """Return the padding mode in lower case, as Keras does."""
    mode: Padding = one_of(f"{layer}: padding", value.lower() if isinstance(value, str) else value, "valid", "same")
    return mode


def fraction(where: str, value: Any) -> float:
    """Return `value` as a float from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"{where} must be a number, got {value!r}")
    if not 0 <= value <= 1:
        raise ValueError(f"{where} must be from 0 to 1, got {value}")
    return float(value)
