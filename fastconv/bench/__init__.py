"""The ways to compute a convolution side by side, on this machine: what ``fastconv bench`` runs.

Each layer is computed by every algorithm that applies and, if asked, by other libraries, in interleaved rounds. A
result is compared with float64 before it is timed; a number whose result was wrong is not given.
"""

import math
import statistics
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

from fastconv._config import get_num_threads, set_num_threads
from fastconv.bench import clock, own, peers
from fastconv.bench.cases import DIRECTIONS, FEW_LAYERS, LAYERS, SWEEPS, SWEPT_LAYER, Case, sweep
from fastconv.bench.own import ALGORITHMS
from fastconv.bench.peers import PEERS, Peer
from fastconv.bench.problem import Problem
from fastconv.bench.results import Report, Result, Row

__all__ = [
    "Case",
    "LAYERS",
    "FEW_LAYERS",
    "sweep",
    "SWEEPS",
    "SWEPT_LAYER",
    "ALGORITHMS",
    "DIRECTIONS",
    "PEERS",
    "run",
    "SECONDS",
    "Report",
    "Row",
    "Result",
]

# For the whole run, the comparison with float64 not counted: a page of twelve layers in well under two minutes.
SECONDS = 60.0


def run(
    cases: Sequence[Case],
    algorithms: Sequence[str] | None = None,
    against: Sequence[str] = (),
    *,
    threads: int | None = None,
    seconds: float = SECONDS,
    swept: tuple[str, Sequence[int]] | None = None,
) -> Report:
    """Measure some layers.

    Parameters
    ----------
    cases
        At least one; all with the same dtype, direction and data format.
    algorithms
        Names out of ``ALGORITHMS``, or ``"toeplitz_4"`` for blocks of 4 outputs; by default all that apply and need no
        more than 256 MiB. With several cases an algorithm is left out where it does not apply.
    against
        Names out of ``PEERS``.
    threads
        For every library; by default what `fastconv.get_num_threads` says.
    seconds
        For the timing of all cases together; each contestant gets 5 to 60 rounds.
    swept
        The word and the values, one a case, if the cases are a sweep.

    Returns
    -------
    Report

    Raises
    ------
    ImportError
        A peer is not installed; the text says what to install.
    ValueError
        An unknown name; algorithms of which none applies to any case.

    Examples
    --------
    >>> from fastconv import bench
    >>> report = bench.run([bench.Case((1, 8, 8, 2), 4, 3)], ["direct"], threads=1, seconds=0)
    >>> [(result.name, result.right) for result in report.rows[0].results]
    [('direct', True)]
    """
    from tqdm import tqdm

    for name in algorithms or ():
        if not own.is_known(name):
            raise ValueError(f"--algorithms must name some of {', '.join(ALGORITHMS)}, got {name!r}")
    others = peers.load(against)
    values = swept[1] if swept else [None] * len(cases)
    with ExitStack() as stack:
        threads = get_num_threads() if threads is None else threads
        stack.enter_context(set_num_threads(threads))
        for peer in others:
            stack.enter_context(peer.session(threads))
        # Where standard error is no terminal there is nobody to watch.
        progress = stack.enter_context(tqdm(total=len(cases), unit="layer", leave=False, disable=None))
        rows, peak = [], 0.0
        for case, value in zip(cases, values, strict=True):
            progress.set_description(case.name or str(case))
            names = algorithms if len(cases) == 1 else _applicable(case, algorithms)
            rows.append(_row(case, value, names, others, seconds / len(cases)))
            # The best of all: what else the machine does can only make it look lower.
            peak = max(peak, own.peak_gflops(case.dtype, threads))
            progress.update()
    if not any(row.results for row in rows):
        raise ValueError(f"--algorithms must name one that applies here, got {', '.join(algorithms or ('none',))}")
    versions = {peer.name: peer.version for peer in others}
    return Report({**own.machine(), **versions}, threads, peak, rows, swept[0] if swept else None)


def _applicable(case: Case, algorithms: Sequence[str] | None) -> list[str] | None:
    return None if algorithms is None else [name for name in algorithms if own.resolved(case, name)]


def _row(
    case: Case, value: int | None, algorithms: Sequence[str] | None, others: Sequence[Peer], seconds: float
) -> Row:
    problem, notes = Problem(case), []
    mine = own.contestants(problem, own.applicable(case) if algorithms is None else algorithms)
    pairs = [(contestant, contestant.result(contestant.call())) for contestant in mine]
    for peer in others:
        computed, reasons = peers.attempt(peer.name, partial(peer.contestants, problem))
        pairs += computed
        notes += reasons
    right = [contestant for contestant, y in pairs if problem.is_right(y, contestant.algorithm)]
    samples = clock.interleaved(right, seconds)
    auto = own.resolved(case, "auto") or "direct"
    results = []
    for contestant, y in pairs:
        error, is_own = problem.error(y), contestant.library == "fastconv"
        results.append(
            Result(
                contestant.name,
                right=contestant in right,
                auto=is_own and contestant.name in ("auto", auto),
                error=error if math.isfinite(error) else None,
                workspace_bytes=own.workspace(case, contestant.name) if is_own else None,
                **_figures(samples.get(contestant.name, []), case),
            )
        )
    return Row(case, auto, results, notes, value)


def _figures(samples: Sequence[float], case: Case) -> dict[str, Any]:
    if not samples:
        return {}
    median = statistics.median(samples)
    return {
        "rounds": len(samples),
        "median_ms": median * 1e3,
        "min_ms": min(samples) * 1e3,
        "gflops": case.work / median / 1e9,
    }
