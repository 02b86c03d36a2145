"""Measured choices of algorithms: for those who prefer this machine's clock to general rules."""

import json
import os
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fastconv import functional
from fastconv.archive import atomic_file
from fastconv.functional import _algorithms
from fastconv.functional._algorithms import DIRECTIONS, FORWARD, GRAD_INPUT, Case

_FORMAT = {"format": "fastconv tuning", "version": 1}


def tune(
    cases: Iterable[Mapping[str, Any]], path: str | os.PathLike[str], *, seconds: float = 1.0
) -> list[dict[str, Any]]:
    """Measure the algorithms that apply to some convolutions on this machine, and save which is the fastest.

    Parameters
    ----------
    cases : iterable of mapping
        Each has arguments of `fastconv.explain` by name: "input_shape" and "weight_shape", and where they differ from
        the defaults "stride", "padding", "dilation", "groups", "data_format", "dtype" and "direction".
    path : path
        The file, which is replaced when all cases have been measured.
    seconds : float
        Time for each case. The algorithms take turns, so that the machine's moods meet all alike.

    Returns
    -------
    list of dict
        What the file holds for each case: its arguments, the "algorithm" that is the fastest, and the median
        "milliseconds" of a call for each that was measured. Winograd is not, where it is float64.

    Raises
    ------
    TypeError, ValueError
        A case that `explain` would refuse; the file is then left as it was.
    OSError
        The file cannot be written.

    See Also
    --------
    load_tuning : puts the file to use.

    Notes
    -----
    The numbers are those of this machine, with the number of threads in force and nothing else running.

    Examples
    --------
    >>> import os, tempfile
    >>> import fastconv as fc
    >>> layer = {"input_shape": (1, 4, 8, 8), "weight_shape": (4, 4, 3, 3), "padding": 1}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "tuning.json")
    ...     (row,) = fc.tune([layer], path, seconds=0.01)
    ...     fc.load_tuning(path)
    >>> fc.explain(**layer).chosen == row["algorithm"]
    True
    >>> fc.load_tuning(None)
    """
    rows = [_measure(_algorithms.case_of("tune", **case), seconds) for case in [dict(case) for case in cases]]
    with atomic_file(path) as stream:
        stream.write(json.dumps({**_FORMAT, "cases": rows}, indent=1).encode())
    return rows


def load_tuning(path: str | os.PathLike[str] | None) -> None:
    """Make ``algorithm="auto"`` use a file that `tune` wrote, for exactly the convolutions in it.

    Parameters
    ----------
    path : path or None
        The file; it takes the place of one that was loaded before. None forgets it.

    Raises
    ------
    ValueError
        The file is damaged, or names an algorithm that does not apply. Nothing has changed then.
    OSError
        The file cannot be read.

    Notes
    -----
    A layer is in the file only with the same sizes, batch and all, options, data format, dtype and direction. The
    choice is that of the process. It stays deterministic: the file is measured, the calls are not. After
    ``set_precision("strict")`` entries with Winograd do not count.
    """
    table: dict[Case, str] = {}
    if path is not None:
        content = Path(path).read_bytes()
        try:
            table = dict(map(_entry, _rows(content)))
        except (AttributeError, KeyError, OverflowError, RecursionError, MemoryError, TypeError, ValueError) as error:
            raise ValueError(f"load_tuning: {os.fspath(path)} must be a complete tuning file ({error})") from error
    _algorithms.use_tuning(table)


def _measure(case: Case, seconds: float) -> dict[str, Any]:
    from fastconv.bench.clock import Contestant, interleaved

    compute = _problem(case)
    names = [name for name in _algorithms.NAMES if _competes(case, name)]
    contestants = [Contestant(name, "fastconv", partial(compute, name), np.asarray) for name in names]
    samples = interleaved(contestants, seconds)
    times = {name: 1e3 * float(np.median(samples[name])) for name in names}
    fastest = min(names, key=times.__getitem__)
    return {**_arguments(case), "algorithm": fastest, "milliseconds": times}


def _competes(case: Case, name: str) -> bool:
    """Whether an algorithm applies, is no other under another name, and rounds as little as the dtype promises."""
    if _algorithms.refusal(case, name) is not None or _algorithms.choose(case, name) != name:
        return False
    return not (case.float64 and name.startswith("winograd"))


def _problem(case: Case) -> Callable[[str], Any]:
    """Make arrays for a case, and a call that computes it with an algorithm."""
    arguments = _arguments(case)
    direction, dtype = arguments.pop("direction"), arguments.pop("dtype")
    rng = np.random.default_rng(0)
    x, w = (rng.standard_normal(arguments.pop(name), dtype) for name in ("input_shape", "weight_shape"))
    if case.direction == FORWARD:
        return lambda algorithm: functional.conv2d(x, w, **arguments, algorithm=algorithm)
    gy = np.ones_like(functional.conv2d(x, w, **arguments, algorithm="direct"))
    needs = direction.removeprefix("grad_")
    which = 0 if case.direction == GRAD_INPUT else 1
    return lambda algorithm: functional.conv2d_backward(gy, x, w, **arguments, needs=needs, algorithm=algorithm)[which]


def _arguments(case: Case) -> dict[str, Any]:
    """Return the arguments of `explain` for a case, as JSON has them."""
    g = case.geometry
    (_, *sizes), (_, *kernel) = g.input, g.kernel
    per_group = g.in_channels // g.groups
    last = case.channels_last
    return {
        "input_shape": [g.batch, *sizes, g.in_channels] if last else [g.batch, g.in_channels, *sizes],
        "weight_shape": [*kernel, per_group, g.out_channels] if last else [g.out_channels, per_group, *kernel],
        "stride": list(g.stride[1:]),
        "padding": [list(pair) for pair in zip(g.pad_lo[1:], g.pad_hi[1:], strict=True)],
        "dilation": list(g.dilation[1:]),
        "groups": g.groups,
        "data_format": "channels_last" if last else "channels_first",
        "dtype": "float64" if case.float64 else "float32",
        "direction": DIRECTIONS[case.direction],
    }


def _rows(content: bytes) -> list[dict[str, Any]]:
    table = json.loads(content)
    found = {key: table.get(key) for key in _FORMAT}
    if found != _FORMAT:
        raise ValueError(f"it must say {_FORMAT}, got {found}")
    rows = table["cases"]
    if not isinstance(rows, list):
        raise TypeError(f"'cases' must be a list, got {type(rows).__name__}")
    return rows


def _entry(row: dict[str, Any]) -> tuple[Case, str]:
    arguments = {name: value for name, value in row.items() if name not in ("algorithm", "milliseconds")}
    case = _algorithms.case_of("load_tuning", **arguments)
    algorithm = row["algorithm"]
    _algorithms.check_name("load_tuning", algorithm)
    refusal = _algorithms.refusal(case, algorithm)
    if refusal is not None:
        raise ValueError(f"algorithm {algorithm!r} {refusal}")
    return case, algorithm
