"""How far `auto` is from the best algorithm, over random geometries: the check behind the costs in csrc/cost.c.

Run ``python bench/auto.py`` for 200 geometries, forward, one thread, or for instance
``python bench/auto.py --direction weight --count 50 --seed 1``.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable, Iterator

import numpy as np
from tqdm import tqdm

import fastconv as fc
from fastconv import _core
from fastconv.geometry import Geometry

DIRECTIONS = ("forward", "input", "weight")
AUTO = 0
LEAST_MULTIPLICATIONS, MOST_MULTIPLICATIONS = 2e5, 1e9


def geometries(count: int, seed: int) -> Iterator[Geometry]:
    """Draw layers as networks have them: sizes, channels, batches over usual ranges, evenly in the logarithm."""
    draw = random.Random(seed)
    while count:
        size, kernel = round(4 * 2 ** draw.uniform(0, 5.5)), draw.choice((1, 3, 3, 3, 5, 7))
        stride, dilation = draw.choice((1, 1, 1, 2)), draw.choice((1, 1, 1, 1, 2))
        channels = [round(2 ** draw.uniform(0, 9.2)) for _ in range(2)]
        batch, padding = round(2 ** draw.uniform(0, 6)), draw.choice((0, dilation * (kernel // 2)))
        out = (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
        if out < 1:
            continue
        work = batch * out**2 * kernel**2 * channels[0] * channels[1]
        if LEAST_MULTIPLICATIONS <= work <= MOST_MULTIPLICATIONS:
            count -= 1
            pads = (0, padding, padding)
            yield Geometry(
                *(batch, *channels, 1, (1, size, size), (1, out, out), (1, kernel, kernel)),
                *((1, stride, stride), (1, dilation, dilation), pads, pads),
            )


def calls(g: Geometry, direction: str, last: bool) -> Callable[[int], None]:
    """Return a function of the algorithm's number that computes this pass in float32."""
    rng = np.random.default_rng(0)
    # The core takes the shapes from the geometry.
    x = rng.standard_normal((g.batch, *g.input, g.in_channels), np.float32)
    w = rng.standard_normal((*g.kernel, g.in_channels, g.out_channels), np.float32)
    y = rng.standard_normal((g.batch, *g.output, g.out_channels), np.float32)
    if direction == "forward":
        return lambda algorithm: _core.conv_forward(g, last, last, x, w, None, y, 0, 0.0, algorithm)
    if direction == "input":
        return lambda algorithm: _core.conv_grad_input(g, last, last, y, w, x, algorithm)
    return lambda algorithm: _core.conv_grad_weight(g, last, last, x, y, w, algorithm)


def candidates(g: Geometry, direction: int, last: bool) -> list[int]:
    """Return the numbers of the algorithms that `auto` may take; toeplitz_full is there to be looked at."""
    names = ("direct", "im2col", "toeplitz", "winograd_2x2", "winograd_4x4")
    numbers = [_core.ALGORITHMS.index(name) for name in names]
    return [n for n in numbers if _core.choose(g, False, last, direction, n) == n]


def medians(call: Callable[[int], None], algorithms: list[int], rounds: int) -> list[float]:
    """Measure the seconds of each algorithm in interleaved rounds."""
    times: list[list[float]] = [[] for _ in algorithms]
    clock = time.thread_time if fc.get_num_threads() == 1 else time.perf_counter  # other processes do not count
    for algorithm in algorithms:
        call(algorithm)
    for _ in range(rounds):
        for algorithm, samples in zip(algorithms, times, strict=True):
            start = clock()
            call(algorithm)
            samples.append(clock() - start)
    return [statistics.median(samples) for samples in times]


def main() -> None:
    """Print the ten geometries where `auto` loses most, and how many lose more than 10%."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--direction", choices=DIRECTIONS, default="forward")
    parser.add_argument("--data-format", choices=("channels_first", "channels_last"), default="channels_last")
    options = parser.parse_args()
    fc.set_num_threads(options.threads)
    direction, last = DIRECTIONS.index(options.direction), options.data_format == "channels_last"
    names = _core.ALGORITHMS
    rows = []
    for g in tqdm(list(geometries(options.count, options.seed)), leave=False):
        able = candidates(g, direction, last)
        chosen = _core.choose(g, False, last, direction, AUTO)
        call = calls(g, options.direction, last)
        # auto itself is measured: it may compute channels first on turned arrays, what has a name does not.
        times = dict(zip([AUTO, *able], medians(call, [AUTO, *able], options.rounds), strict=True))
        best = min(able, key=lambda n, times=times: times[n])
        rows.append((times[AUTO] / times[best], g, names[chosen], names[best], times[AUTO] * 1e3))
    rows.sort(key=lambda row: -row[0])
    what = f"{options.direction}, {options.data_format}, {len(rows)} random geometries, seed {options.seed}"
    print(f"auto against the best, {what}:")
    median = statistics.median(row[0] for row in rows)
    print(f"  more than 10% slower: {sum(row[0] > 1.1 for row in rows)}; median ratio {median:.3f}")
    for ratio, g, chosen, best, ms in rows[:10]:
        layer = f"{g.batch}x{g.input[1]}x{g.input[2]} {g.in_channels}->{g.out_channels} {g.kernel[1]}x{g.kernel[2]}"
        form = f"s{g.stride[1]} d{g.dilation[1]} p{g.pad_lo[1]}"
        print(f"  {ratio:5.2f}  {layer} {form}: {chosen} {ms:.3f} ms, best {best}")


if __name__ == "__main__":
    main()
