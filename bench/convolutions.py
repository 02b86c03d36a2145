"""Convolutions as entries."""

from dataclasses import replace

from entry import Array, Entry, title

from fastconv.bench import Case, own
from fastconv.bench.clock import Contestant
from fastconv.bench.peers import Peer
from fastconv.bench.problem import Problem

WIDE = 64  # channels from which on a dense 3x3 layer is one of a network's inner layers
LARGE_KERNEL, FMA_BOUND_CHANNELS = 5, 32


class Convolution(Entry):
    """One pass of a convolution."""

    def __init__(self, case: Case) -> None:
        self.problem = Problem(case)
        self.title = title(case)
        self.direction, self.dtype, self.flops = case.direction, case.dtype, case.work
        sizes = {"forward": self.problem.gy, "input": self.problem.x, "weight": self.problem.w}
        self.written = sizes.pop(case.direction).nbytes
        self.read = sum(operand.nbytes for operand in sizes.values())
        self.tags = tags(case)

    def is_right(self, result: Array, algorithm: str) -> bool:
        """Whether a result differs from float64 by rounding only."""
        return self.problem.is_right(result, algorithm)

    def own(self, data_format: str) -> list[Contestant]:
        """Return `conv2d` or its gradient, and for forward `prepare_conv2d`."""
        problem = self.problem.in_format(data_format)
        (plain,) = own.contestants(problem, ["auto"])
        packed = [own.prepared(problem)] if self.direction == "forward" else []
        return [replace(plain, name="plain"), *packed]

    def of_peer(self, peer: Peer) -> list[Contestant]:
        """Return what ``fastconv bench --against`` runs."""
        return peer.contestants(self.problem)


def tags(case: Case) -> tuple[str, ...]:
    """Return the claims of `summary` that a convolution is a row of."""
    geometry = case.geometry
    kernel, channels = geometry.kernel[1:], min(geometry.in_channels, geometry.out_channels)
    undilated, unit_stride = max(geometry.dilation) == 1, max(geometry.stride) == 1
    if geometry.groups > 1:
        return ("memory-bound",) if geometry.groups == geometry.in_channels else ()
    if kernel == (3, 3) and unit_stride and undilated:
        return ("dense 3x3",) if channels >= WIDE else ()
    reused = kernel == (1, 1) or max(kernel) >= LARGE_KERNEL or not undilated or not unit_stride
    return ("FMA-bound",) if reused and channels >= FMA_BOUND_CHANNELS else ()
