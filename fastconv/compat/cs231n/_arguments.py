"""What the layers check before they call a function: dicts of parameters, caches, numbers of axes."""

import operator
from collections.abc import Mapping
from typing import Any

from fastconv._checks import Array, to_array

Cache = tuple[Any, ...]


def parameters(
    function: str, name: str, given: Any, required: tuple[str, ...], optional: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return a dict of parameters with the defaults of `optional` filled in.

    Raises
    ------
    TypeError
        It is no dict.
    ValueError
        A key of `required` is missing, or a key is neither there nor in `optional`.
    """
    optional = optional or {}
    if not isinstance(given, dict):
        raise TypeError(f"{function}: {name} must be a dict, got {type(given).__name__}")
    known = ", ".join(map(repr, (*required, *optional)))
    for key in required:
        if key not in given:
            raise ValueError(f"{function}: {name} must have the key {key!r}, got {given!r}")
    for key in given:
        if key not in required and key not in optional:
            raise ValueError(f"{function}: {name} must have no keys but {known}, got {key!r}")
    return {**optional, **given}


def integer(function: str, name: str, value: Any, least: int) -> int:
    """Return an integer; a TypeError if it is none, a ValueError if it is below `least`."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{function}: {name} must be an integer, got {value!r}") from None
    if number < least:
        raise ValueError(f"{function}: {name} must be at least {least}, got {number}")
    return number


def number(function: str, name: str, value: Any) -> float:
    """Return a number; a TypeError if it is none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{function}: {name} must be a number, got {value!r}") from None


def mode(function: str, name: str, value: Any) -> bool:
    """Return whether a mode is "train"; a ValueError if it is not "test" either."""
    if value == "train":
        return True
    if value == "test":
        return False
    raise ValueError(f"{function}: {name}['mode'] must be 'train' or 'test', got {value!r}")


def array(function: str, name: str, value: Any, axes: str) -> Array:
    """Return an array with the axes that a text like "(N, D)" names; a ValueError if it has another number of them."""
    found = to_array(function, name, value)
    if found.ndim != axes.count(",") + 1:
        raise ValueError(f"{function}: {name} must have the axes {axes}, got shape {found.shape}")
    return found


def unpack(function: str, cache: Any, contents: str) -> Cache:
    """Return a cache that has as many entries as `contents` names; a TypeError if it is of another function."""
    if not isinstance(cache, tuple) or len(cache) != contents.count(",") + 1:
        got = f"a tuple of {len(cache)}" if isinstance(cache, tuple) else type(cache).__name__
        raise TypeError(f"{function}: cache must be what the forward function returned, {contents}, got {got}")
    return cache


def check_fill(function: str, axis: str, size: int, field: int, padding: int, stride: int) -> None:
    """Refuse windows after whose last one a part of the padded image would be left over with a ValueError."""
    rest = (size + 2 * padding - field) % stride
    if rest:
        raise ValueError(
            f"{function}: stride must divide what the first window leaves of the padded {axis}, "
            f"got ({size} + 2 * {padding} - {field}) % {stride} = {rest}"
        )
