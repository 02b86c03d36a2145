"""The algorithms of a convolution side by side, and the one that is taken."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastconv._config import get_precision
from fastconv.functional import _algorithms
from fastconv.functional._algorithms import FORWARD, GRAD_INPUT, GRAD_WEIGHT, Case
from fastconv.geometry import Geometry, Shape

# The largest error of a result, in units of eps times the largest result, is about a + b * sqrt(m) with m products
# added one after the other, chosen by eye for normally distributed data with 1 to 512 channels. What was measured then,
# in 14 layers, all passes and algorithms, was 0.2 to 2.6 times that. A weight gradient's long sums are sums of partial
# sums, which bounds m.
_ERRORS = {"direct": (0.0, 0.3), "winograd_2x2": (0.8, 0.25), "winograd_4x4": (10.0, 2.5)}
_PARTIAL_PIXELS, _PARTIAL_TILES = 128, 1024


@dataclass(frozen=True)
class AlgorithmRow:
    """One algorithm for one convolution; numbers are None where it does not apply.

    Attributes
    ----------
    algorithm : str
        The word for ``algorithm=``.
    applies : bool
        Whether it can compute the convolution.
    chosen : bool
        Whether "auto" takes it.
    note : str
        Why it does not apply, or what is special; may be empty.
    expected_time : float or None
        What "auto" expects a call to take, relative to "direct": a model of this package's kernels, fitted on one
        machine (csrc/choose.c). None also for "toeplitz_full" and for several groups, which it does not cover.
    multiplications : int or None
        Products of an input (or its transform) with a weight, zeros of padding and of matrices included.
    workspace_bytes : int or None
        Scratch memory of a call, packed weights included, with the number of threads in force.
    error : float or None
        Estimate of the largest rounding error relative to the largest result, for normally distributed numbers: what
        was measured was 0.2 to 2.6 times as large.
    """

    algorithm: str
    applies: bool
    chosen: bool
    note: str
    expected_time: float | None
    multiplications: int | None
    workspace_bytes: int | None
    error: float | None


@dataclass(frozen=True, repr=False)
class Explanation:
    """What `explain` returns; it prints as a table.

    Attributes
    ----------
    title : str
        The convolution in words.
    rows : tuple of AlgorithmRow
        In the order of the names' table in `fastconv.functional.conv2d`.
    chosen : str
        The algorithm that "auto" takes.
    why : str
        Why it does.
    """

    title: str
    rows: tuple[AlgorithmRow, ...]
    chosen: str
    why: str

    def __repr__(self) -> str:
        cells = [("", "algorithm", "time", "multiplications", "workspace", "error", "")]
        for row in self.rows:
            time = "-" if row.expected_time is None else f"{row.expected_time:.2f}"
            products = "-" if row.multiplications is None else f"{row.multiplications:,}"
            memory = "-" if row.workspace_bytes is None else _bytes_text(row.workspace_bytes)
            error = "-" if row.error is None else f"{row.error:.1e}"
            cells.append(("*" if row.chosen else "", row.algorithm, time, products, memory, error, row.note))
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = []
        for mark, name, *numbers, note in cells:
            columns = "".join(f"  {number:>{width}}" for number, width in zip(numbers, widths[2:-1], strict=True))
            lines.append(f"{mark:1} {name:{widths[1]}}{columns}  {note}")
        return "\n".join([self.title, *map(str.rstrip, lines), f"auto takes {self.chosen}: {self.why}"])


def explain(
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
) -> Explanation:
    """Compare the algorithms that `fastconv.functional.conv2d` has for a convolution, without computing it.

    Parameters
    ----------
    input_shape, weight_shape : tuple of int
        Shapes of the arrays.
    stride, padding, dilation, groups, data_format
        As for `conv2d`.
    dtype : dtype
        float32 or float64: what it is computed in.
    direction : {"forward", "input", "weight"}
        The convolution itself, or one of its gradients.

    Returns
    -------
    Explanation
        Prints as a table. `rows` has an `AlgorithmRow` for each algorithm, `chosen` the one that ``algorithm="auto"``
        takes at present, and `why` the reason. The same for every call, but for the workspace, which depends on the
        number of threads.

    Raises
    ------
    TypeError, ValueError
        As `conv2d`; also another dtype or direction.

    Examples
    --------
    >>> import fastconv as fc
    >>> table = fc.explain((16, 128, 28, 28), (128, 128, 3, 3), padding=1)
    >>> print(table)
    forward of input (16, 128, 28, 28) with weight (128, 128, 3, 3), channels_first, float32
      algorithm      time  multiplications  workspace  error
      direct         1.00    1,849,688,064  ...
    * winograd_4x4   0...     462,422,016  ...
    auto takes winograd_4x4: it saves more multiplications than its transforms cost
    >>> [row.note for row in fc.explain((1, 3, 9, 9), (8, 3, 5, 5)).rows if row.algorithm == "winograd_2x2"]
    ['needs a 3x3 kernel, got (5, 5)']
    """
    case = _algorithms.case_of(
        "explain",
        input_shape,
        weight_shape,
        stride,
        padding,
        dilation,
        groups,
        data_format=data_format,
        dtype=dtype,
        direction=direction,
    )
    chosen = _algorithms.choose(case, "auto")
    names = (name for name in _algorithms.NAMES if name not in ("auto", "winograd"))
    kind = np.dtype(dtype)
    rows = tuple(_row(case, name, float(np.finfo(kind).eps), chosen) for name in names)
    title = f"{direction} of input {tuple(input_shape)} with weight {tuple(weight_shape)}, {data_format}, {kind}"
    return Explanation(title, rows, chosen, _reason(case, chosen))


def _row(case: Case, algorithm: str, eps: float, chosen: str) -> AlgorithmRow:
    refusal = _algorithms.refusal(case, algorithm)
    if refusal is not None:
        return AlgorithmRow(algorithm, False, False, refusal, None, None, None, None)
    computed_by = _algorithms.choose(case, algorithm)
    return AlgorithmRow(
        algorithm,
        True,
        algorithm == chosen,
        "" if computed_by == algorithm else f"computed as {computed_by}",
        _algorithms.expected_time(case, algorithm),
        _multiplications(case, computed_by),
        _algorithms.workspace_bytes(case, algorithm),
        eps * _error(case, computed_by),
    )


def _multiplications(case: Case, algorithm: str) -> int:
    g = case.geometry
    pairs = g.in_channels * g.out_channels // g.groups
    if algorithm == "toeplitz":
        return _algorithms.toeplitz_multiplications(case)
    if algorithm == "toeplitz_full":
        return g.batch * g.in_channels * math.prod(g.input) * g.out_channels * math.prod(g.output)
    if algorithm.startswith("winograd"):
        return _tiles(case, algorithm) * (_tile_size(algorithm) + 2) ** 2 * pairs
    return g.batch * pairs * math.prod(g.output) * math.prod(g.kernel)


def _tile_size(algorithm: str) -> int:
    return 2 if algorithm == "winograd_2x2" else 4


def _tiles(case: Case, algorithm: str) -> int:
    """Tiles of outputs; those of an input gradient are pixels of the input."""
    g, m = case.geometry, _tile_size(algorithm)
    _, height, width = g.input if case.direction == GRAD_INPUT else g.output
    return g.batch * math.ceil(height / m) * math.ceil(width / m)


def _error(case: Case, algorithm: str) -> float:
    """Estimate of the largest error in units of eps times the largest result."""
    winograd = algorithm.startswith("winograd")
    if case.direction == GRAD_WEIGHT:
        pixels = case.geometry.batch * math.prod(case.geometry.output)
        products = min(_tiles(case, algorithm), _PARTIAL_TILES) if winograd else min(pixels, _PARTIAL_PIXELS)
    else:
        products = _summed_channels(case.geometry, case.direction) * (
            1 if winograd else math.prod(case.geometry.kernel)
        )
    constant, factor = _ERRORS[algorithm if winograd else "direct"]
    return constant + factor * math.sqrt(products)


def _summed_channels(geometry: Geometry, direction: int) -> int:
    channels = geometry.in_channels if direction == FORWARD else geometry.out_channels
    return channels // geometry.groups


def _reason(case: Case, chosen: str) -> str:
    if _algorithms.is_tuned(case):
        return "a tuning table was loaded that has this case"
    if _algorithms.turns(case):
        return "on copies of the arrays with channels last, and its result is copied back: these are few bytes"
    if chosen.startswith("winograd"):
        return "it saves more multiplications than its transforms cost"
    if chosen == "toeplitz":
        return "its vectors are full where those of direct are not"
    if chosen == "im2col":
        return "one product over all taps takes less time than tap after tap" + _without_winograd(case)
    if get_precision() == "strict":
        return 'set_precision("strict") keeps to it'
    if _algorithms.unmet_condition(case.geometry, "winograd") is not None:
        return "no other that applies is likely to be faster"
    if case.float64:
        return "float64 is for accuracy, and Winograd has less"
    return "here Winograd's transforms cost more than they save"


def _without_winograd(case: _algorithms.Case) -> str:
    applies = _algorithms.unmet_condition(case.geometry, "winograd") is None
    return "; float64 is for accuracy, and Winograd has less" if applies and case.float64 else ""


def _bytes_text(count: int) -> str:
    if count < 1024:
        return f"{count} B"
    power = min((count.bit_length() - 1) // 10, 4)
    return f"{count / 1024**power:.1f} {'KMGT'[power - 1]}iB"
