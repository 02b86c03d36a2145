"""The clock: everyone computes one sample in each round, so that a drift of the machine meets all alike."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fastconv._config import get_num_threads

SAMPLE_SECONDS = 0.004  # at least, so that a call's own time is not the clock's
FEWEST_ROUNDS, MOST_ROUNDS = 5, 60
# Idle threads of libgomp spin for up to 8 ms, those of ONNX Runtime for 36 ms (both measured). CPU time is accounted in
# ticks of up to 4 ms, so a pause without any must be longer than a tick.
PAUSE_SECONDS, MOST_PAUSES = 0.006, 50
QUIET_SHARE = 0.1
# Calls before a sample: after the other libraries' the second call still took 1.4 times as long as the third (depthwise
# 16x14x14x512), as what the first one reads does not all stay in the last cache. A long call needs fewer, or none.
WARM_CALLS, FEW_SECONDS, NONE_SECONDS = 3, 0.02, 0.2


@dataclass(frozen=True)
class Contestant:
    """One way to compute a case.

    Parameters
    ----------
    name
        The column: an algorithm of fastconv, or another library.
    library
        Whose threads it runs on.
    call
        What is timed.
    result
        Turns what `call` returned into a NumPy array, channels last.
    algorithm
        The one whose rounding its result may show.
    """

    name: str
    library: str
    call: Callable[[], Any]
    result: Callable[[Any], Any]
    algorithm: str = "direct"


def interleaved(contestants: Sequence[Contestant], seconds: float, fewest: int | None = None) -> dict[str, list[float]]:
    """Time the contestants in turns for about `seconds`; return the seconds of a call in each round, by name.

    A sample is the mean of as many calls as take 4 ms, after three calls that are not timed and bring the operands back
    into the caches, or one where they take more than 20 ms. There are at least `fewest` rounds, or 5.
    """
    fewest = FEWEST_ROUNDS if fewest is None else fewest
    calls = {contestant.name: _calls(contestant) for contestant in contestants}
    samples: dict[str, list[float]] = {contestant.name: [] for contestant in contestants}
    end = time.perf_counter() + seconds
    last = contestants[-1].library if contestants else ""
    rounds = 0
    while contestants and (rounds < fewest or (rounds < MOST_ROUNDS and time.perf_counter() < end)):
        for contestant in contestants:
            if contestant.library != last and get_num_threads() > 1:
                wait_until_idle()
            last = contestant.library
            samples[contestant.name].append(_sample(contestant, *calls[contestant.name]))
        rounds += 1
    return samples


def wait_until_idle() -> None:
    """Sleep until this process uses no CPU time: a library's idle threads spin for a while before they sleep."""
    for _ in range(MOST_PAUSES):
        before = time.process_time()
        time.sleep(PAUSE_SECONDS)
        if time.process_time() - before < QUIET_SHARE * PAUSE_SECONDS:
            return


def _calls(contestant: Contestant) -> tuple[int, int]:
    """Return the calls before a sample and those in it, by the time of a second call where the first was quick."""
    for _ in range(2):
        start = time.perf_counter()
        contestant.call()
        elapsed = time.perf_counter() - start
        if elapsed > SAMPLE_SECONDS:
            return (WARM_CALLS if elapsed < FEW_SECONDS else int(elapsed < NONE_SECONDS)), 1
    return WARM_CALLS, round(SAMPLE_SECONDS / max(elapsed, 1e-6)) or 1


def _sample(contestant: Contestant, warm: int, timed: int) -> float:
    """Return the mean seconds of some calls after some that are not timed."""
    for _ in range(warm):
        contestant.call()
    start = time.perf_counter()
    for _ in range(timed):
        contestant.call()
    return (time.perf_counter() - start) / timed
