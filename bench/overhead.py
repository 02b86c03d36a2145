"""What a call costs beside the work: a tiny convolution, and numbers so small that some CPUs are slow with them.

Run ``python bench/overhead.py``. The overhead is the time of `conv2d` on 1x8x8x8 with 8 filters 3x3, less that of the
core's own function on the same arrays. Subnormal weights (1e-42) are compared with normal ones, pass by pass.
"""

import argparse
import statistics
import sys
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from entry import DATA_FORMATS, Array

import fastconv as fc
import fastconv.functional as F
from fastconv import _core
from fastconv.bench import DIRECTIONS, clock
from fastconv.bench.clock import Contestant
from fastconv.geometry import conv_geometry

MOST_MICROSECONDS = 3.0
SUBNORMAL, MOST_SLOWDOWN = 1e-42, 1.2
# Each algorithm's inner loop meets the weights.
LAYERS = (((1, 8, 8, 8), (3, 3, 8, 8)), ((1, 28, 28, 64), (3, 3, 64, 64)), ((1, 28, 28, 64), (1, 1, 64, 64)))


def contestant(name: str, call: Callable[[], object]) -> Contestant:
    """Return what the clock times."""
    return Contestant(name, "fastconv", call, lambda y: y)


def operands(shape: tuple[int, ...], weight_shape: tuple[int, ...], data_format: str) -> tuple[Array, Array]:
    """Return an input and weights, whose shapes are given channels last."""
    rng = np.random.default_rng(0)
    x, w = (rng.standard_normal(size, np.float32) for size in (shape, weight_shape))
    if data_format == "channels_last":
        return x, w
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2)), np.ascontiguousarray(w.transpose(3, 2, 0, 1))


def overhead(data_format: str, seconds: float) -> tuple[float, float]:
    """Return the microseconds of a call of `conv2d` and of the core's function in it."""
    x, w = operands(*LAYERS[0], data_format)
    last = data_format == "channels_last"
    geometry, shape = conv_geometry("overhead", x.shape, w.shape, 1, 0, 1, 1, channels_last=last)
    y = np.empty(shape, np.float32)
    calls = [
        contestant("call", lambda: F.conv2d(x, w, data_format=data_format)),
        contestant("kernel", lambda: _core.conv_forward(geometry, last, last, x, w, None, y, 0, 0.0, 0)),
    ]
    samples = clock.interleaved(calls, seconds)
    return 1e6 * statistics.median(samples["call"]), 1e6 * statistics.median(samples["kernel"])


def slowdown(layer: tuple[tuple[int, ...], tuple[int, ...]], direction: str, seconds: float) -> float:
    """Return how many times as long a pass takes with subnormal weights; the weight gradient, with such an input."""
    x, w = operands(*layer, "channels_last")
    gy = F.conv2d(x, w, padding="same", data_format="channels_last")

    def call(x: Array, w: Array) -> Callable[[], object]:
        if direction == "forward":
            return partial(F.conv2d, x, w, padding="same", data_format="channels_last")
        how = {"padding": "same", "needs": (direction,), "data_format": "channels_last"}
        return partial(F.conv2d_backward, gy, x, w, **how)

    def tiny(array: Array) -> Array:
        return np.full_like(array, SUBNORMAL)

    small = call(tiny(x), w) if direction == "weight" else call(x, tiny(w))
    samples = clock.interleaved([contestant("normal", call(x, w)), contestant("subnormal", small)], seconds)
    return statistics.median(samples["subnormal"]) / statistics.median(samples["normal"])


def main(words: Sequence[str] | None = None) -> int:
    """Print both, and return 1 if one is above what is wanted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1, metavar="N")
    parser.add_argument("--budget", type=float, default=30, metavar="SECONDS")
    args = parser.parse_args(words)
    passes = [(layer, direction) for layer in LAYERS for direction in DIRECTIONS]
    seconds, missed = args.budget / (len(passes) + len(DATA_FORMATS)), 0
    with fc.set_num_threads(args.threads):
        for data_format in DATA_FORMATS:
            whole, kernel = overhead(data_format, seconds)
            missed += whole - kernel > MOST_MICROSECONDS
            print(
                f"call on 1x8x8x8, 8 filters 3x3, {data_format}: wanted at most {MOST_MICROSECONDS:g} us over the "
                f"kernel, got {whole - kernel:.2f} ({whole:.2f} - {kernel:.2f})"
            )
        for layer, direction in passes:
            times = slowdown(layer, direction, seconds)
            missed += times > MOST_SLOWDOWN
            shape, kernel = ("x".join(map(str, part)) for part in (layer[0], layer[1][:2]))
            print(f"1e-42, {shape} {kernel}, {direction}: wanted at most {MOST_SLOWDOWN:g} times, got {times:.2f}")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
