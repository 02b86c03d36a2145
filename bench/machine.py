"""What this machine can do at most: multiply-adds on registers, and bytes to and from memory."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from entry import Array

ARRAY_BYTES = 2**28  # far more than the caches hold
REPEATS = 5


@dataclass(frozen=True)
class Bandwidth:
    """Bytes a second of large arrays; `copy` counts those read and those written."""

    read: float
    write: float
    copy: float

    def least_seconds(self, read: int, written: int) -> float:
        """Return the time to move so many bytes: as a copy as far as both go, the rest by itself."""
        both = min(read, written)
        return 2 * both / self.copy + (read - both) / self.read + (written - both) / self.write


def bandwidth(threads: int) -> Bandwidth:
    """Measure NumPy's loops on arrays of 256 MiB, one part for each thread; the best of five."""
    source, target = (np.zeros(ARRAY_BYTES, np.uint8).view(np.float32) for _ in range(2))
    parts = list(zip(np.array_split(source, threads), np.array_split(target, threads), strict=True))

    def rate(work: Callable[[Array, Array], object], bytes_moved: int) -> float:
        best = 0.0
        with ThreadPoolExecutor(threads) as pool:
            for _ in range(REPEATS):
                start = time.perf_counter()
                list(pool.map(lambda part: work(*part), parts))
                best = max(best, bytes_moved / (time.perf_counter() - start))
        return best

    return Bandwidth(
        read=rate(lambda source, target: source.max(), ARRAY_BYTES),
        write=rate(lambda source, target: target.fill(1), ARRAY_BYTES),
        copy=rate(lambda source, target: np.copyto(target, source), 2 * ARRAY_BYTES),
    )
