"""ReLU as an entry: one number read for each that is written."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from entry import EITHER, Array, Entry, title

import fastconv.functional as F
from fastconv.bench.clock import Contestant
from fastconv.bench.peers import Ncnn, OnnxPeer, Peer, TensorFlow, Torch


@dataclass(frozen=True)
class Relu:
    """ReLU in float32; `shape` is channels last, `direction` "forward" or "input"."""

    shape: tuple[int, int, int, int]
    direction: str = "forward"
    dtype: str = "float32"

    def __str__(self) -> str:
        return f"{'x'.join(map(str, self.shape))}, ReLU"


class Rectified(Entry):
    """One pass of ReLU; to fastconv both data formats are the same."""

    data_formats = (EITHER,)
    tags = ("memory-bound",)

    def __init__(self, case: Relu) -> None:
        self.title, self.direction = title(case), case.direction
        rng = np.random.default_rng(0)
        self.x, self.gy = (rng.standard_normal(case.shape, np.float32) for _ in range(2))
        self.expected = np.maximum(self.x, 0) if case.direction == "forward" else self.gy * (self.x > 0)
        self.read = self.x.nbytes * (1 if case.direction == "forward" else 2)
        self.written = self.x.nbytes

    def is_right(self, result: Array, algorithm: str) -> bool:
        """Whether a result is exact."""
        return np.array_equal(result, self.expected)

    def own(self, data_format: str) -> list[Contestant]:
        """Return the plain function."""
        x, gy = self.x, self.gy
        call = partial(F.relu, x) if self.direction == "forward" else partial(F.relu_backward, gy, x)
        return [Contestant("plain", "fastconv", call, lambda y: y)]

    def of_peer(self, peer: Peer) -> list[Contestant]:
        """Return the peer's ReLU; torch's two memory formats are the same to it."""
        call: Callable[[], Any]
        if isinstance(peer, Torch):
            (torch,) = peer.modules
            x, gy = torch.from_numpy(self.x), torch.from_numpy(self.gy)
            backward = partial(torch.ops.aten.threshold_backward, gy, x, 0)
            call = partial(torch.relu, x) if self.direction == "forward" else backward
            return [Contestant(peer.name, peer.name, call, lambda y: y.numpy())]
        if isinstance(peer, TensorFlow):
            (library,) = peer.modules
            x, gy = library.constant(self.x), library.constant(self.gy)
            backward = partial(library.raw_ops.ReluGrad, gradients=gy, features=x)
            call = partial(library.raw_ops.Relu, features=x) if self.direction == "forward" else backward
            return [Contestant(peer.name, peer.name, call, lambda y: y.numpy())]
        if self.direction != "forward":
            raise NotImplementedError(f"{peer.name} computes no gradients")
        if isinstance(peer, OnnxPeer):
            return [peer.node("Relu", self.x, {}, {})]
        if isinstance(peer, Ncnn):
            return [peer.layer("ReLU", self.x, {})]
        raise NotImplementedError(f"{peer.name} has no ReLU here")
