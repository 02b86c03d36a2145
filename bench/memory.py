"""By how much calls grow the process, over what their results and packed weights take.

Run ``python bench/memory.py`` for all layers: each call is the first of a fresh process but for one on a tiny image.
``python bench/memory.py --shapes 1000`` calls convolutions of so many random shapes in one process, and says by how
much it grew after the first hundred. Linux only: the figures are those of /proc.
"""

import argparse
import ctypes
import math
import random
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from entry import DATA_FORMATS, title
from layers import LAYERS
from tqdm import tqdm

import fastconv as fc
import fastconv.functional as F
from fastconv import _core
from fastconv.bench import DIRECTIONS, Case, own
from fastconv.bench.problem import Problem

MIB = 2**20
MOST_PER_THREAD = 16 * MIB
WARM_SHAPES = 100
# The first shape is as large as any, so that what is kept for it serves the others.
MOST_SIDE, MOST_CHANNELS, MOST_BATCH = 32, 32, 8
NOISE = 2 * MIB  # pages that the allocators of Python and C take and give


def resident() -> int:
    """Return the bytes of this process that are in memory."""
    return field("VmRSS")


def field(name: str) -> int:
    """Return a line of /proc/self/status in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def growth_of(case: Case, threads: int) -> int:
    """Return by how many bytes the first call on a case grows this process at most, over results and packed weights."""
    with fc.set_num_threads(threads):
        problem = Problem(case)
        (contestant,) = own.contestants(problem, ["auto"])
        tiny = replace(case, shape=(1, *(min(side, 16) for side in case.shape[1:3]), case.shape[3]))
        own.contestants(Problem(tiny), ["auto"])[0].call()  # threads, and the code of the library
        fc.release_memory()
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins here
        before = resident()
        result = contestant.call()
        return field("VmHWM") - before - result.nbytes - packed_bytes(case)


def packed_bytes(case: Case) -> int:
    """Return what packed weights take in a pass that reads weights."""
    if case.direction == "weight":
        return 0
    last, float64 = case.data_format == "channels_last", case.dtype == "float64"
    chosen = _core.choose(case.geometry, float64, last, DIRECTIONS.index(case.direction), 0)
    elements = _core.packed_elements(case.geometry, float64, last, last, chosen)
    return elements * np.dtype(case.dtype).itemsize


def shapes(count: int, seed: int) -> Iterator[tuple[tuple[int, ...], tuple[int, ...], int]]:
    """Draw shapes of input and weights, channels last, and strides; the first is the largest."""
    draw = random.Random(seed)
    yield (MOST_BATCH, MOST_SIDE, MOST_SIDE, MOST_CHANNELS), (5, 5, MOST_CHANNELS, MOST_CHANNELS), 1
    for _ in range(count - 1):
        kernel, stride = draw.choice((1, 3, 5)), draw.choice((1, 1, 2))
        height, width = (draw.randint(kernel, MOST_SIDE) for _ in range(2))
        channels, filters = (draw.randint(1, MOST_CHANNELS) for _ in range(2))
        yield (draw.randint(1, MOST_BATCH), height, width, channels), (kernel, kernel, channels, filters), stride


def growth_over_shapes(count: int, seed: int = 0, release: bool = False, keep: bool = False) -> int:
    """Return by how many bytes all three passes on `count` random shapes grow the process after the first hundred.

    With `release`, not counting what is kept for later calls; with `keep`, results are: what a leak looks like.
    """
    kept: list[object] = []
    y = gradients = None
    # The operands are views, so that NumPy's memory for them is the same for all shapes.
    ones = np.ones(max(MOST_BATCH * MOST_SIDE**2 * MOST_CHANNELS, 25 * MOST_CHANNELS**2), np.float32)

    def now() -> int:
        if release:
            fc.release_memory()
            ctypes.CDLL(None).malloc_trim(0)  # what the C library keeps of it
        return resident()

    base = 0
    for number, (input_shape, weight_shape, stride) in enumerate(shapes(count, seed)):
        if number == WARM_SHAPES:
            y = gradients = None
            base = now()
        x, w = (ones[: math.prod(shape)].reshape(shape) for shape in (input_shape, weight_shape))
        y = F.conv2d(x, w, None, stride, data_format="channels_last")
        gradients = F.conv2d_backward(y, x, w, None, stride, needs=("input", "weight"), data_format="channels_last")
        if keep:
            kept += [y, gradients]
    y = gradients = None
    return now() - base


def main(words: Sequence[str] | None = None) -> int:
    """Print what grew, and return 1 if it was more than is allowed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", type=int, metavar="N", help="random shapes instead of the layers")
    parser.add_argument("--threads", type=int, default=1, metavar="N")
    parser.add_argument("--group", default=",".join(LAYERS), metavar="A,B")
    parser.add_argument("--filter", default="", metavar="TEXT")
    args = parser.parse_args(words)
    if args.shapes is not None:
        with fc.set_num_threads(args.threads):
            lost, grown = (growth_over_shapes(args.shapes, release=release) for release in (True, False))
        print(
            f"8. {args.shapes} random shapes: wanted nothing after {WARM_SHAPES}, got {grown / MIB:.2f} MiB, "
            f"{lost / MIB:.2f} MiB but for what is kept for later calls"
        )
        return int(grown > NOISE)
    cases = [
        replace(case, direction=direction, data_format=data_format)
        for group in args.group.split(",")
        for direction in DIRECTIONS
        for data_format in DATA_FORMATS
        for case in LAYERS[group]
        if args.filter in title(replace(case, direction=direction))
    ]
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as fresh:
        found = fresh.map(growth_of, cases, [args.threads] * len(cases))
        grown_by = list(tqdm(found, total=len(cases), unit="case"))
    pairs = sorted(zip(grown_by, cases, strict=True), key=lambda pair: -pair[0])
    above = [(grown, case) for grown, case in pairs if grown > MOST_PER_THREAD * args.threads]
    for grown, case in above:
        print(f"{grown / MIB:8.1f} MiB  {title(case)}, {case.data_format}")
    print(
        f"8. memory of a call: wanted at most {MOST_PER_THREAD // MIB} MiB for each of {args.threads} threads, "
        f"got most {pairs[0][0] / MIB:.1f}, {len(above)} of {len(cases)} above"
    )
    return int(bool(above))


if __name__ == "__main__":
    sys.exit(main())
