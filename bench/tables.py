"""The rows as Markdown, a table for each group and data format."""

from collections.abc import Mapping, Sequence
from itertools import groupby

from rows import PLAIN_PEERS, PREPARED_PEERS, Limits, Row


def page(about: Mapping[str, str], rows: Sequence[Row], limits: Limits, summary: Sequence[str]) -> str:
    """Return the whole result file."""
    lines = ["# fastconv against other libraries", "", *(f"- {key}: {value}" for key, value in about.items()), ""]
    lines += [*summary, ""]
    for (group, data_format), members in groupby(rows, key=lambda row: (row.measured.group, row.data_format)):
        lines += [f"## {group}, {data_format}", "", *table(list(members), limits), ""]
    return "\n".join(lines)


def table(rows: Sequence[Row], limits: Limits) -> list[str]:
    """Return one table: milliseconds, rate, share of what the machine can do, and the ratio to the best peer."""
    peers = [name for name in (*PLAIN_PEERS, *PREPARED_PEERS) if any(name in row.measured.milliseconds for row in rows)]
    has_prepared = any(f"prepared {row.data_format}" in row.measured.milliseconds for row in rows)
    own = ["plain", *["prepared"] * has_prepared]
    heads = ["case", *(f"{name}, ms" for name in (*own, *peers)), "fastconv", "share", "ratio"]
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "---:|" * (len(heads) - 1)]
    notes: dict[str, None] = {}
    for row in rows:
        times = row.measured.milliseconds
        cells = [cell(times, f"{name} {row.data_format}") for name in own] + [cell(times, name) for name in peers]
        share = row.share(limits)
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        cells += [row.rate(), "" if share is None else f"{100 * share:.0f}%", ratio]
        lines.append("| " + " | ".join([row.measured.title, *cells]) + " |")
        notes |= dict.fromkeys(row.measured.notes)
    return [*lines, *[""] * bool(notes), *(f"- {note}" for note in notes)]


def cell(milliseconds: Mapping[str, float | None], name: str) -> str:
    """Return a time, "wrong" where the result was, or nothing."""
    if name not in milliseconds:
        return ""
    value = milliseconds[name]
    return "wrong" if value is None else f"{value:.3f}"
