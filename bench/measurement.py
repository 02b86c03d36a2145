"""One entry measured: everyone's times, as plain data."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from entry import EITHER, Entry

from fastconv import get_num_threads
from fastconv.bench import clock
from fastconv.bench import own as own_calls
from fastconv.bench.clock import Contestant
from fastconv.bench.peers import Peer, attempt

FEWEST_ROUNDS = 3


@dataclass(frozen=True)
class Measurement:
    """Everyone's medians, by names as "plain channels_last", "prepared channels_first", "torch"; None where wrong."""

    group: str
    title: str
    direction: str
    dtype: str
    flops: int
    read: int
    written: int
    tags: list[str]
    rounds: int
    milliseconds: dict[str, float | None]
    notes: list[str] = field(default_factory=list)
    peak: float | None = None
    """GFLOP/s of multiply-adds alone, the median of turns between the others', where an entry is bound by them."""


def measure(group: str, entry: Entry, data_formats: Sequence[str], peers: Sequence[Peer], end: float) -> Measurement:
    """Time everyone who computes an entry, in turns, until about `end` on the clock of `time.perf_counter`."""
    own = [
        replace(contestant, name=f"{contestant.name} {data_format}")
        for data_format in entry.data_formats
        if data_format in (*data_formats, EITHER)
        for contestant in entry.own(data_format)
    ]
    computed = [(contestant, contestant.result(contestant.call())) for contestant in own]
    notes = []
    for peer in peers:
        found, reasons = attempt(peer.name, partial(entry.of_peer, peer))
        computed += found
        notes += reasons
    right: list[Contestant] = [one for one, result in computed if entry.is_right(result, one.algorithm)]
    names = [one.name for one, _ in computed]
    del computed
    rates: list[float] = []
    if "FMA-bound" in entry.tags:
        peak = partial(own_calls.peak_gflops, entry.dtype, get_num_threads())
        right.append(Contestant("peak", "fastconv", lambda: rates.append(peak()), np.asarray))
    samples = clock.interleaved(right, max(0.0, end - time.perf_counter()), FEWEST_ROUNDS)
    return Measurement(
        *(group, entry.title, entry.direction, entry.dtype, entry.flops, entry.read, entry.written),
        list(entry.tags),
        max(map(len, samples.values()), default=0),
        {name: 1e3 * statistics.median(samples[name]) if name in samples else None for name in names},
        notes,
        statistics.median(rates) if rates else None,
    )
