"""Fits the prices that `auto` compares algorithms by, and prints the tables of csrc/cost.c.

Run ``python bench/fit_auto.py`` on an idle machine of the kind that the tables are for, one thread, float32: random
layers are computed by each algorithm, in each pass and data format, and their times divided by that of a multiply-add
at full speed. The fit minimizes relative errors, without negative prices (`scipy.optimize.nnls`). ``bench/auto.py``
then says how well `auto` chooses, on layers of another seed.
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
from auto import DIRECTIONS, calls, candidates, geometries, medians
from scipy.optimize import nnls
from tqdm import tqdm

import fastconv as fc
from fastconv import _core

# The methods of csrc/cost.c in their order.
METHODS = (
    *("DIRECT", "PLANES", "IM2COL", "COL2IM", "COL2IM_PLANES", "TOEPLITZ", "WINOGRAD"),
    *("SUM_DIRECT", "SUM_PLANES", "SUM_IM2COL", "SUM_WINOGRAD"),
    *("LANES", "SUM_LANES", "NARROW_ROWS"),
)
FORMATS = ("CHANNELS_FIRST", "CHANNELS_LAST")


def measure(count: int, rounds: int, seed: int) -> list[tuple[int, int, list[float], float]]:
    """Return data format, method, work by kind and cost in multiply-adds of each layer, pass and algorithm."""
    multiply_adds_a_second = _core.peak_gflops(False) * 1e9 / 2
    rows = []
    for g in tqdm(list(geometries(count, seed))):
        for last in (0, 1):
            for direction, name in enumerate(DIRECTIONS):
                able = candidates(g, direction, bool(last))
                times = medians(calls(g, name, bool(last)), able, rounds)
                for algorithm, seconds in zip(able, times, strict=True):
                    method, work = _core.expected_work(g, bool(last), direction, algorithm)
                    rows.append((last, method, work, seconds * multiply_adds_a_second))
    return rows


def fit(rows: list[tuple[list[float], float]]) -> tuple[np.ndarray, float]:
    """Return prices, and the share of costs that they meet within a tenth."""
    work, cost = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    relative = work / cost[:, np.newaxis]
    scale = relative.max(axis=0)
    scale[scale == 0] = 1
    prices = nnls(relative / scale, np.ones(len(cost)))[0] / scale
    return prices, float((abs(relative @ prices - 1) < 0.1).mean())


def main() -> None:
    """Measure, or take what was measured before, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--measured", type=Path, help="a file that keeps what was measured")
    options = parser.parse_args()
    fc.set_num_threads(1)
    if options.measured and options.measured.exists():
        rows = json.loads(options.measured.read_text())
    else:
        rows = measure(options.count, options.rounds, options.seed)
        if options.measured:
            options.measured.write_text(json.dumps(rows))
    by_method = defaultdict(list)
    for last, method, work, cost in rows:
        by_method[last, method].append((work, cost))
    for last, data_format in enumerate(FORMATS):
        print(f"    [FCV_{data_format}] =\n        {{")
        for method, name in enumerate(METHODS):
            if by_method[last, method]:
                prices, share = fit(by_method[last, method])
                numbers = ", ".join(f"{price:.3g}" for price in prices)
                print(f"            [{name}] = {{{{{numbers}}}}}, /* {share:.0%} within a tenth */")
        print("        },")


if __name__ == "__main__":
    main()
