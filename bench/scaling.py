"""Two threads against one, beside two independent loops of multiply-adds against one: what a second core gives here.

Run ``python bench/scaling.py`` for all layers above 50 million operations, forward; ``--direction``, ``--data-format``,
``--group`` and ``--filter`` choose others. One thread and two take turns.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
from entry import DATA_FORMATS, title
from layers import LAYERS
from tqdm import tqdm

import fastconv as fc
from fastconv import _core
from fastconv.bench import DIRECTIONS, Case, clock, own
from fastconv.bench.problem import Problem

LEAST_FLOPS = 50e6
WANTED = 1.85
LOOP_ROUNDS, LOOP_CALLS = 15, 20
ONE, TWO = "one thread", "two threads"


def loops_speedup() -> float:
    """Return by how much two loops of multiply-adds at once do more than one: 2 on two free cores."""

    def loop(_: int) -> None:
        for _ in range(LOOP_CALLS):
            _core.peak_gflops(False)

    with ThreadPoolExecutor(2) as pool:

        def seconds(count: int) -> float:
            start = time.perf_counter()
            list(pool.map(loop, range(count)))
            return time.perf_counter() - start

        seconds(2)
        rounds = [2 * seconds(1) / seconds(2) for _ in range(LOOP_ROUNDS)]
    return statistics.median(rounds)


def layer_speedup(case: Case, seconds: float) -> float:
    """Return by how much two threads are faster than one on a layer."""
    (plain,) = own.contestants(Problem(case), ["auto"])

    def with_threads(count: int) -> Callable[[], object]:
        def call() -> object:
            if fc.get_num_threads() != count:
                fc.set_num_threads(count)
            return plain.call()

        return call

    # As if they were two libraries: threads that spin after the work of two must not meet that of one.
    both = [replace(plain, name=name, library=name, call=with_threads(n)) for name, n in ((ONE, 1), (TWO, 2))]
    with fc.set_num_threads(2):
        samples = clock.interleaved(both, seconds)
    return statistics.median(samples[ONE]) / statistics.median(samples[TWO])


def selected(args: argparse.Namespace) -> list[Case]:
    """Return the layers that the options choose and that have enough to do."""
    cases = [
        replace(case, direction=direction, data_format=data_format)
        for group in args.group.split(",")
        for direction in args.direction.split(",")
        for data_format in args.data_format.split(",")
        for case in LAYERS[group]
    ]
    return [case for case in cases if case.work > LEAST_FLOPS and args.filter in title(case)]


def main(words: Sequence[str] | None = None) -> int:
    """Print each layer's speed-up, relative to that of the loops, and return 1 if one is below what is wanted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--group", default=",".join(LAYERS), metavar="A,B")
    parser.add_argument("--filter", default="", metavar="TEXT")
    parser.add_argument("--direction", default="forward", metavar="A,B", help=", ".join(DIRECTIONS))
    parser.add_argument("--data-format", default=",".join(DATA_FORMATS), metavar="A,B")
    parser.add_argument("--budget", type=float, default=300, metavar="SECONDS")
    args = parser.parse_args(words)
    cases = selected(args)
    end = time.perf_counter() + args.budget
    loops = [loops_speedup()]
    speedups = []
    for number, case in enumerate(tqdm(cases, unit="case")):
        left = max(0.0, end - time.perf_counter())
        speedups.append(layer_speedup(case, left / (len(cases) - number)))
    loops.append(loops_speedup())
    reference = statistics.mean(loops) / 2
    print(f"two loops of multiply-adds do {loops[0]:.2f} and {loops[1]:.2f} times as much as one, before and after")
    print("\n| case | data format | speed-up | relative to the loops |\n|---|---|---:|---:|")
    for case, speedup in zip(cases, speedups, strict=True):
        print(f"| {title(case)} | {case.data_format} | {speedup:.2f} | {speedup / reference:.2f} |")
    relative = np.array(speedups) / reference
    lost = int((relative < WANTED).sum())
    if cases:
        print(f"\n7. two threads: wanted each {WANTED}, got least {relative.min():.2f}, {lost} of {len(cases)} below")
    return int(lost > 0)


if __name__ == "__main__":
    sys.exit(main())
