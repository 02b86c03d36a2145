"""What a run must show, and what it shows: the numbered claims of the comparison."""

import math
import statistics
from collections.abc import Iterable, Sequence

from entry import DATA_FORMATS, EITHER
from rows import FIRST_PEERS, TORCH, Limits, Row

FORWARD_MEAN, GRADIENT_MEAN = 1.5, 1.5
DENSE_TORCH, DENSE_PREPARED = 1.7, 1.1
FMA_SHARE, FMA_ROWS, FMA_EXPLAINED = 0.85, 5, 0.60
MEMORY_RATIO, MEMORY_SHARE, FIRST_POOL_TORCH = 1.3, 0.85, 5.0
FLOAT64_TORCH = 2.0
TRAINING, TRAINING_MEAN, EVALUATION, LATENCY = 1.3, 1.8, 2.0, 3.0


def summary(rows: Sequence[Row], limits: Limits, instruction_set: str) -> list[str]:
    """Return Markdown: a table of means, one of the claims, and the rows that are lost."""
    lines = ["## Ratios", "", *means(rows), "", "## Claims", "", "| claim | wanted | got |", "|---|---|---|"]
    lines += [f"| {' | '.join(claim)} |" for claim in claims(rows, limits, instruction_set)]
    lost = sorted((row.ratio, name(row)) for row in rows if row.ratio is not None and row.ratio < 1)
    lines += ["", f"## Lost rows: {len(lost)}", "", *(f"- {ratio:.2f} {title}" for ratio, title in lost)]
    unbounded = sorted(
        (share, name(row))
        for row in tagged(rows, "FMA-bound", "forward")
        if (share := row.share(limits)) is not None and share < FMA_EXPLAINED
    )
    lines += ["", f"## FMA-bound rows below {FMA_EXPLAINED:.0%} of the peak: {len(unbounded)}", ""]
    return [*lines, *(f"- {share:.0%} {title}" for share, title in unbounded)]


def means(rows: Sequence[Row]) -> list[str]:
    """Return the geometric mean of the ratios, and how many are below 1, per direction, type and format."""
    keys = dict.fromkeys((row.measured.direction, row.measured.dtype, row.data_format) for row in rows)
    lines = [
        "| pass | type | data format | rows | geometric mean | below 1.0 | least |",
        "|---|---|---|---:|---:|---:|---:|",
    ]
    for key in keys:
        ratios = [
            row.ratio
            for row in rows
            if (row.measured.direction, row.measured.dtype, row.data_format) == key and row.ratio is not None
        ]
        if ratios:
            numbers = f"{len(ratios)} | {geometric_mean(ratios):.2f} | {below(ratios, 1)} | {min(ratios):.2f}"
            lines.append(f"| {' | '.join(key)} | {numbers} |")
    return lines


def claims(rows: Sequence[Row], limits: Limits, instruction_set: str) -> list[tuple[str, str, str]]:
    """Return each claim that there are rows for: what it says, what is wanted, what was measured."""
    lines: list[tuple[str, str, str]] = []

    def claim(text: str, values: Iterable[float | None], least: float, mean: float | None = None) -> None:
        known = [value for value in values if value is not None]
        if known:
            wanted = f"each {least:g}" + (f", mean {mean:g}" if mean is not None else "")
            got = (
                f"least {min(known):.2f}, mean {geometric_mean(known):.2f}, {below(known, least)} of {len(known)} below"
            )
            lines.append((text, wanted, got))

    single = [row for row in rows if row.measured.dtype == "float32"]
    for data_format in DATA_FORMATS:
        these = [row for row in single if row.data_format in (data_format, EITHER)]
        forward = [row.ratio for row in these if row.measured.direction == "forward"]
        claim(f"1. forward, {data_format}", forward, 1.0, FORWARD_MEAN)
        if data_format == "channels_first":
            same = [row.against(FIRST_PEERS) for row in these if row.measured.direction == "forward"]
            claim(f"1. forward, {data_format}, against peers that take such arrays", same, 1.0, FORWARD_MEAN)
    dense = tagged(single, "dense 3x3", "forward")
    claim("2. dense 3x3 against torch", (row.against(TORCH) for row in dense), DENSE_TORCH)
    for peer in ("ncnn", "openvino"):
        at_one = (row.against([peer]) for row in dense if row.measured.title.startswith("1x"))
        claim(f"2. dense 3x3 at batch 1 against {peer}", at_one, DENSE_PREPARED)
    bound = tagged(single, "FMA-bound", "forward")
    for text, shares in (
        ("3. FMA-bound rows", [row.share(limits) or 0.0 for row in bound]),
        ("3. the same, the peak measured in turn with them", [row.share_in_turn for row in bound]),
    ):
        known = [share for share in shares if share is not None]
        if known:
            enough = sum(share >= FMA_SHARE for share in known)
            lines.append((text, f"{FMA_ROWS} at {FMA_SHARE:.0%} of the peak", f"{enough} of {len(known)}"))
    memory = [row for row in tagged(single, "memory-bound") if row.best is not None]
    if memory:
        missed = [
            row
            for row in memory
            if (row.ratio or math.inf) < MEMORY_RATIO and (row.share(limits) or 0.0) < MEMORY_SHARE
        ]
        wanted = f"each {MEMORY_RATIO:g} times the best peer or {MEMORY_SHARE:.0%} of the bandwidth"
        lines.append(("4. memory-bound rows", wanted, f"{len(missed)} of {len(memory)} below"))
    first_pools = [row.against(TORCH) for row in tagged(single, "max pooling") if row.data_format == "channels_first"]
    claim("4. max pooling, channels_first, against torch", first_pools, FIRST_POOL_TORCH)
    for direction in ("input", "weight"):
        gradients = [row.against(TORCH) for row in single if row.measured.direction == direction]
        claim(f"5. {direction} gradient against torch", gradients, 1.0, GRADIENT_MEAN)
    double = [row.against(TORCH) for row in rows if row.measured.dtype == "float64"]
    claim("6. float64 against torch", double, FLOAT64_TORCH)
    if instruction_set == "avx2":
        layers = [row.against(TORCH) for row in single if row.measured.group != "networks"]
        claim("6. AVX2 against torch", layers, 1.0)
    networks = [row for row in rows if row.measured.group == "networks"]
    for direction, least, mean in (
        ("training", TRAINING, TRAINING_MEAN),
        ("evaluation", EVALUATION, None),
        ("latency", LATENCY, None),
    ):
        these = [row for row in networks if row.measured.direction == direction]
        for peers in (TORCH, ("keras",)):
            ratios = [row.against(peers) for row in these]
            claim(f"9. {direction} against {peers[0]}", ratios, least, mean)
    return lines


def tagged(rows: Iterable[Row], tag: str, direction: str | None = None) -> list[Row]:
    """Return the rows that a claim is about."""
    return [row for row in rows if tag in row.measured.tags and direction in (None, row.measured.direction)]


def name(row: Row) -> str:
    """Return what a list calls a row."""
    return f"{row.measured.title}, {row.data_format}"


def geometric_mean(values: Sequence[float]) -> float:
    """Return the geometric mean."""
    return statistics.geometric_mean(values)


def below(values: Iterable[float], least: float) -> int:
    """Count the values below a bound."""
    return sum(value < least for value in values)
