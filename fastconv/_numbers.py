"""Numbers that losses, optimizers, schedules and callbacks are configured with: what is accepted.

`where` names the class and the argument, for the error: ``"Adam: epsilon"``.
"""

import math
from typing import Any

import numpy as np


def finite(where: str, value: Any) -> float:
    """Return a number as a float."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"{where} must be a number, got {value!r}")
    if not math.isfinite(value):
        raise ValueError(f"{where} must be finite, got {value}")
    return float(value)


def not_negative(where: str, value: Any) -> float:
    """Return a number from 0 on as a float."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"{where} must be a number, got {value!r}")
    if not 0 <= value < math.inf:
        raise ValueError(f"{where} must be finite and not negative, got {value}")
    return float(value)


def positive(where: str, value: Any) -> float:
    """Return a number greater than 0 as a float."""
    number = not_negative(where, value)
    if not number:
        raise ValueError(f"{where} must be greater than 0, got {value}")
    return number


def unit(where: str, value: Any, *, below_one: bool = False) -> float:
    """Return a number from 0 to 1, or to less than 1, as a float."""
    number = not_negative(where, value)
    if number > 1 or (below_one and number == 1):
        raise ValueError(f"{where} must be {'from 0 to less than 1' if below_one else 'from 0 to 1'}, got {value}")
    return number


def count(where: str, value: Any, least: int = 0) -> int:
    """Return a whole number from `least` on as an int."""
    number = not_negative(where, value)
    if number < least or number != int(number):
        raise ValueError(f"{where} must be an integer from {least} on, got {value}")
    return int(number)
