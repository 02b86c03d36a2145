"""Algorithms of convolution by name: where each applies, and the number that the core knows it by."""

import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from fastconv import _core
from fastconv._checks import FLOAT32, FLOAT64
from fastconv._checks import channels_last as is_channels_last
from fastconv.geometry import Geometry, Shape, conv_geometry

NAMES = _core.ALGORITHMS
AUTO, DIRECT = NAMES.index("auto"), NAMES.index("direct")
# The passes, in words and by the core's numbers.
DIRECTIONS = ("forward", "input", "weight")
FORWARD, GRAD_INPUT, GRAD_WEIGHT = range(3)

_TOEPLITZ = NAMES.index("toeplitz")
_BLOCK = 256  # times the block is added to the number of "toeplitz"


class Case(NamedTuple):
    """What the choice of an algorithm may depend on."""

    geometry: Geometry
    float64: bool
    channels_last: bool
    direction: int


def case_of(
    function: str,
    input_shape: Shape,
    weight_shape: Shape,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    data_format: str = "channels_first",
    dtype: DTypeLike = "float32",
    direction: str = "forward",
) -> Case:
    """Read a case as users write it, see `fastconv.explain`; a TypeError or ValueError where it is none."""
    last = is_channels_last(function, data_format)
    kind = np.dtype(dtype)
    if kind not in (FLOAT32, FLOAT64):
        raise TypeError(f"{function}: dtype must be float32 or float64, got {kind}")
    if direction not in DIRECTIONS:
        raise ValueError(f"{function}: direction must be one of {', '.join(map(repr, DIRECTIONS))}, got {direction!r}")
    shapes = tuple(map(int, input_shape)), tuple(map(int, weight_shape))
    geometry, _ = conv_geometry(function, *shapes, stride, padding, dilation, groups, channels_last=last)
    return Case(geometry, kind == FLOAT64, last, DIRECTIONS.index(direction))


plans = _core.Plans(1024)
"""What convolutions have found out about their arguments, for the next call with the same: all that "auto" computes."""

# What "auto" means for the cases of a tuning table that was loaded.
_tuned: Mapping[Case, int] = {}
_tables = 0


def use_tuning(table: Mapping[Case, str]) -> None:
    """Make "auto" take these algorithms for exactly these cases, and its own choice for all others."""
    global _tables, _tuned
    plans.clear()
    _tables += 1
    _tuned = {case: NAMES.index(name) for case, name in table.items()}


def is_settled(algorithm: str) -> bool:
    """Whether a number that `number` found holds for as long as no tuning table is loaded."""
    return algorithm == "auto" and not _tuned


def state() -> tuple[str, bool, int]:
    """Return all that decides, beside the case, which number is found."""
    return _core.isa(), _core.get_strict(), _tables


def is_tuned(case: Case) -> bool:
    """Whether a tuning table decides what "auto" takes."""
    return _tuned.get(case) == _number(case, "auto")


def is_known(algorithm: str) -> bool:
    """Whether it is one of `NAMES`, or "toeplitz_N" with the outputs of a block."""
    return isinstance(algorithm, str) and (algorithm in NAMES or _block(algorithm) is not None)


def check_name(function: str, algorithm: str) -> None:
    """Refuse an unknown algorithm with a ValueError."""
    if not is_known(algorithm):
        known = ", ".join(map(repr, NAMES))
        raise ValueError(
            f"{function}: algorithm must be one of {known} or 'toeplitz_N' with a number, got {algorithm!r}"
        )


def _block(algorithm: str) -> int | None:
    """Read the outputs of a block in ``"toeplitz_4"``; None where it is another word."""
    match = re.fullmatch(r"toeplitz_([1-9][0-9]{0,5})", algorithm)
    return None if match is None else int(match[1])


def unmet_condition(geometry: Geometry, algorithm: str) -> str | None:
    """Say which condition of an algorithm a geometry does not meet, as in "needs stride 1, got (2, 2)"."""
    if not algorithm.startswith("winograd"):
        return None
    if geometry.kernel != (1, 3, 3):
        return f"needs a 3x3 kernel, got {geometry.kernel if geometry.kernel[0] > 1 else geometry.kernel[1:]}"
    if geometry.input[0] != 1 or geometry.output[0] != 1:
        return f"needs images of depth 1, got depth {geometry.input[0]} and an output of depth {geometry.output[0]}"
    if geometry.stride[1:] != (1, 1):
        return f"needs stride 1, got {geometry.stride[1:]}"
    if geometry.dilation[1:] != (1, 1):
        return f"needs dilation 1, got {geometry.dilation[1:]}"
    return None if geometry.groups == 1 else f"needs groups 1, got {geometry.groups}"


def refusal(case: Case, algorithm: str) -> str | None:
    """Say why an algorithm cannot be used; None where it can."""
    geometry = case.geometry
    unmet = unmet_condition(geometry, algorithm)
    if unmet is not None or _number(case, algorithm) >= 0:
        return unmet
    if algorithm != "toeplitz_full":
        return f"needs matrices past the limit of {_core.MATRIX_LIMIT} bytes; take a smaller block"
    sides = (geometry.in_channels, *geometry.input), (geometry.out_channels, *geometry.output)
    size = math.prod(sides[0]) * math.prod(sides[1]) * (8 if case.float64 else 4)
    return f"needs a matrix of {size} bytes, which is past the limit of {_core.MATRIX_LIMIT}"


def number(
    function: str, algorithm: str, geometry: Geometry, float64: bool, channels_last: bool, direction: int
) -> int:
    """Find the number of the algorithm to ask the core for.

    "auto" is AUTO, for the core to decide, but for the cases that were tuned.

    Raises
    ------
    ValueError
        The name is unknown, or the algorithm does not apply; the text says which condition fails.
    """
    check_name(function, algorithm)
    if algorithm == "auto" and not _tuned:
        return AUTO
    case = Case(geometry, float64, channels_last, direction)
    chosen = _number(case, algorithm)
    if chosen < 0:
        raise ValueError(f"{function}: algorithm {algorithm!r} {refusal(case, algorithm)}")
    return chosen


def choose(case: Case, algorithm: str) -> str:
    """Name of the algorithm that computes a case where `algorithm`, which applies, is asked for."""
    return NAMES[_core.choose(*case, _number(case, algorithm))]


def turns(case: Case) -> bool:
    """Whether "auto" computes a case of channels first on copies of its arrays with channels last."""
    return _core.turns(*case, _number(case, "auto"))


def expected_time(case: Case, algorithm: str) -> float | None:
    """Estimate the time of a call over that of "direct", as "auto" compares them; None where there is no estimate."""
    direct = _core.expected_cost(*case, DIRECT)
    own = _core.expected_cost(*case, _number(case, algorithm))
    return own / direct if own and direct else None


def workspace_bytes(case: Case, algorithm: str) -> int:
    """Scratch memory of a call, with the number of threads in force."""
    geometry, float64, channels_last, direction = case
    weight_channels_last = channels_last
    return _core.workspace_bytes(
        geometry, float64, channels_last, weight_channels_last, direction, _number(case, algorithm)
    )


def toeplitz_multiplications(case: Case) -> int:
    """Products of "toeplitz", whose blocks the core cuts to the width of its vectors."""
    return _core.toeplitz_multiplications(case.geometry, case.float64, case.direction, _TOEPLITZ)


def _number(case: Case, algorithm: str) -> int:
    """Find the number of an algorithm; -1 where it does not apply."""
    if algorithm == "auto":
        number = _tuned.get(case, AUTO)
        return AUTO if _core.get_strict() and NAMES[number].startswith("winograd") else number
    # A weight gradient has no matrix of weights: the Toeplitz algorithms are the direct one there.
    if case.direction == GRAD_WEIGHT and algorithm.startswith("toeplitz"):
        return DIRECT
    block = _block(algorithm)
    number = NAMES.index(algorithm) if block is None else _TOEPLITZ + _BLOCK * block
    chosen = _core.choose(*case, number)
    return chosen if block is None or chosen < 0 else number
