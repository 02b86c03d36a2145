"""What was measured: plain data, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from typing import Any

from fastconv.bench.cases import Case

# The mark at what `algorithm="auto"` takes.
MARK = "*"
COLUMNS = ("median ms", "min ms", "GFLOP/s", "of peak", "workspace", "error")
WIDTHS = (10, 10, 9, 8, 10, 9)


@dataclass(frozen=True)
class Result:
    """One contestant in one case. A time stands here only if what was computed in it is right."""

    name: str
    right: bool
    auto: bool  # whether it is what `algorithm="auto"` takes
    error: float | None  # largest, as a share of the largest element; None if the result has another shape or NaN
    workspace_bytes: int | None  # None for another library
    rounds: int = 0
    median_ms: float | None = None
    min_ms: float | None = None
    gflops: float | None = None


@dataclass(frozen=True)
class Row:
    """All contestants in one case; `value` is what a sweep has set."""

    case: Case
    auto: str
    results: list[Result]
    notes: list[str] = field(default_factory=list)
    value: int | None = None

    def fastest(self) -> Result | None:
        """Return the contestant of the least median time, if any was right."""
        timed = [result for result in self.results if result.median_ms is not None]
        return min(timed, key=_median, default=None)


@dataclass(frozen=True)
class Report:
    """A whole run."""

    machine: dict[str, str]
    threads: int
    peak_gflops: float
    rows: list[Row]
    swept: str | None = None

    @property
    def all_right(self) -> bool:
        """Whether every result was right."""
        return all(result.right for row in self.rows for result in row.results)

    def peak_percent(self, result: Result) -> float | None:
        """Return the share of the machine's FMA peak that a contestant reaches; above 100 with fewer operations."""
        return None if result.gflops is None else 100 * result.gflops / self.peak_gflops

    def as_dict(self) -> dict[str, Any]:
        """Return everything as what JSON knows.

        Keys: ``machine`` (words), ``threads``, ``peak_gflops``, ``swept`` (a word or null), and ``rows``, each with
        ``case`` (its fields, and ``text``), ``work`` (floating-point operations), ``auto``, ``value``, ``notes`` and
        ``results``: the fields of `Result` and ``peak_percent``, null where there is no number or it belongs to a
        wrong result.
        """
        rows = [
            {
                "case": {**asdict(row.case), "text": str(row.case)},
                "work": row.case.work,
                "auto": row.auto,
                "value": row.value,
                "notes": row.notes,
                "results": [{**asdict(result), "peak_percent": self.peak_percent(result)} for result in row.results],
            }
            for row in self.rows
        ]
        return {
            "machine": self.machine,
            "threads": self.threads,
            "peak_gflops": self.peak_gflops,
            "swept": self.swept,
            "rows": rows,
        }

    def as_text(self) -> str:
        """Return the run as a page for people."""
        body = self._curves() if self.swept else self._tables()
        return "\n".join([*self._header(), "", *body, "", *self._legend()])

    def _header(self) -> list[str]:
        case = self.rows[0].case
        kind = "forward" if case.direction == "forward" else f"gradient of the {case.direction}"
        threads = f"{self.threads} thread{'s' * (self.threads > 1)}"
        return [
            *(f"{label}: {text}" for label, text in self.machine.items()),
            f"{kind}, {case.dtype}, {case.data_format}, {threads}; FMA peak {self.peak_gflops:.0f} GFLOP/s",
        ]

    def _tables(self) -> list[str]:
        width = max(len(result.name) for row in self.rows for result in row.results) + 2
        lines = [" " * (width + 2) + _cells(COLUMNS, [w + 1 for w in WIDTHS])]
        for row in self.rows:
            title = f"{row.case.name}: {row.case}" if row.case.name else str(row.case)
            lines += ["", title, *(self._line(result, width) for result in row.results)]
            lines += [f"    ({note})" for note in row.notes]
        return lines

    def _line(self, result: Result, width: int) -> str:
        mark = MARK if result.auto else " "
        numbers = ("wrong", "", "", "")
        if result.median_ms is not None:
            percent = f"{self.peak_percent(result):.0f}%"
            numbers = (f"{result.median_ms:.3f}", f"{result.min_ms:.3f}", f"{result.gflops:.1f}", percent)
        cells = (*numbers, _bytes(result.workspace_bytes), "" if result.error is None else f"{result.error:.1e}")
        return f"  {mark} {result.name:<{width - 2}}" + _cells(cells, [w + 1 for w in WIDTHS])

    def _curves(self) -> list[str]:
        """One line a value, one column a contestant: medians."""
        names = list(dict.fromkeys(result.name for row in self.rows for result in row.results))
        widths = [max(len(name), 10) + 2 for name in names]
        base = self.rows[-1].case
        lines = [f"median ms, last: {base}", f"{self.swept:>10}" + _cells(names, widths)]
        for row in self.rows:
            found = {result.name: result for result in row.results}
            lines.append(f"{row.value:>10}" + _cells([_cell(found.get(name)) for name in names], widths))
        return [*lines, "", *self._crossovers(), *dict.fromkeys(note for row in self.rows for note in row.notes)]

    def _crossovers(self) -> list[str]:
        """Say which contestant is the fastest in which range of the values."""
        fastest = [(row.value, best.name) for row in self.rows if (best := row.fastest()) is not None]
        lines = []
        for name, group in groupby(fastest, key=lambda pair: pair[1]):
            values = [value for value, _ in group]
            span = str(values[0]) if len(values) == 1 else f"{values[0]} to {values[-1]}"
            lines.append(f"fastest at {self.swept} {span}: {name}")
        return lines

    def _legend(self) -> list[str]:
        lines = [f'{MARK} what algorithm="auto" takes. GFLOP/s count the direct method\'s operations for everyone.']
        if not self.swept:
            lines.append("error: the largest against float64, as a share of the largest element.")
        if not self.all_right:
            lines.append("wrong: further from float64 than rounding explains; its time is not shown.")
        return lines


def _median(result: Result) -> float:
    return float("inf") if result.median_ms is None else result.median_ms


def _cell(result: Result | None) -> str:
    if result is None:
        return ""
    return f"{MARK * result.auto} " + ("wrong" if result.median_ms is None else f"{result.median_ms:.3f}")


def _cells(texts: Sequence[str], widths: Sequence[int]) -> str:
    return "".join(f"{text:>{width}}" for text, width in zip(texts, widths, strict=True))


def _bytes(count: int | None) -> str:
    if count is None:
        return ""
    return f"{count / 2**20:.1f} MiB" if count >= 2**20 else f"{count / 2**10:.1f} KiB"
