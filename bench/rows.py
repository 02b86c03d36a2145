"""The table's rows: a measurement seen from one of fastconv's data formats."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from machine import Bandwidth
from measurement import Measurement

# A peer that packs its weights ahead of the call is compared with a convolution that does so too.
PLAIN_PEERS = ("torch", "torch channels_last", "tensorflow", "keras")
PREPARED_PEERS = ("onnxruntime", "openvino", "ncnn")
TORCH = PLAIN_PEERS[:2]
# Those that compute channels-first arrays as they are.
FIRST_PEERS = ("torch", *PREPARED_PEERS)


@dataclass(frozen=True)
class Limits:
    """What the machine can do, by `_core.peak_gflops` and `machine.bandwidth`, with the threads of the run."""

    gflops: dict[str, float]
    bandwidth: Bandwidth


@dataclass(frozen=True)
class Row:
    """One measurement in one data format."""

    measured: Measurement
    data_format: str

    def time(self, kind: str) -> float | None:
        """Return the milliseconds of fastconv, "plain" or "prepared"."""
        return self.measured.milliseconds.get(f"{kind} {self.data_format}")

    @property
    def plain(self) -> float | None:
        """Milliseconds of the plain function."""
        return self.time("plain")

    @property
    def prepared(self) -> float | None:
        """Milliseconds with packed weights; of the plain function where there are none to be packed."""
        weighs = f"prepared {self.data_format}" in self.measured.milliseconds
        return self.time("prepared" if weighs else "plain")

    def against(self, peers: Sequence[str]) -> float | None:
        """Return how many times as fast fastconv is as the best of these peers, each compared as it is to be.

        None where nobody of them computes this, or fastconv was wrong.
        """
        ratios = []
        for names, mine in ((PLAIN_PEERS, self.plain), (PREPARED_PEERS, self.prepared)):
            for name in set(names) & set(peers):
                theirs = self.measured.milliseconds.get(name)
                if mine is not None and theirs is not None:
                    ratios.append(theirs / mine)
        return min(ratios, default=None)

    @cached_property
    def ratio(self) -> float | None:
        """Against the best of all peers."""
        return self.against([*PLAIN_PEERS, *PREPARED_PEERS])

    @property
    def best(self) -> float | None:
        """Milliseconds of the faster of fastconv's ways."""
        return min((t for t in (self.plain, self.prepared) if t is not None), default=None)

    @property
    def memory_bound(self) -> bool:
        """Whether bytes count and not operations."""
        return "memory-bound" in self.measured.tags

    def rate(self) -> str:
        """Return GFLOP/s or GB/s in words."""
        if self.best is None:
            return ""
        if self.memory_bound:
            return f"{(self.measured.read + self.measured.written) / self.best / 1e6:.1f} GB/s"
        return f"{self.measured.flops / self.best / 1e6:.1f} GFLOP/s" if self.measured.flops else ""

    def share(self, limits: Limits) -> float | None:
        """Return the share of the FMA peak, or of what memory allows; above 1 for fewer operations, or from caches."""
        if self.best is None:
            return None
        if self.memory_bound:
            return 1e3 * limits.bandwidth.least_seconds(self.measured.read, self.measured.written) / self.best
        return self.measured.flops / self.best / 1e6 / limits.gflops[self.measured.dtype] or None

    @property
    def share_in_turn(self) -> float | None:
        """Return the share of the FMA peak that was measured in turn with it."""
        if self.best is None or self.measured.peak is None:
            return None
        return self.measured.flops / self.best / 1e6 / self.measured.peak


def rows_of(measurements: Sequence[Measurement]) -> list[Row]:
    """Return each measurement in each data format that it was made in, format by format."""
    formats = {
        name.partition(" ")[2]: None for one in measurements for name in one.milliseconds if name.startswith("plain ")
    }
    return [Row(one, form) for form in formats for one in measurements if f"plain {form}" in one.milliseconds]
