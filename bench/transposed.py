"""Transposed convolutions as entries: each pass is another pass of the convolution that it is the transpose of."""

from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from entry import Array, Entry, title

import fastconv.functional as F
from fastconv.bench import DIRECTIONS, Case
from fastconv.bench.clock import Contestant
from fastconv.bench.peers import PEER_ROUNDING, Ncnn, OnnxPeer, Peer, TensorFlow, Torch
from fastconv.bench.peers.ncnn_layer import CONVOLUTION
from fastconv.bench.problem import Problem

# The pass of the convolution that has the same operands.
PASSES = {"forward": "input", "input": "forward", "weight": "weight"}


@dataclass(frozen=True)
class Transposed:
    """A transposed convolution with a square kernel; `shape` is the input's, channels last."""

    shape: tuple[int, int, int, int]
    filters: int
    kernel: int
    stride: int
    padding: int = 0
    dtype: str = "float32"
    direction: str = "forward"

    @cached_property
    def adjoint(self) -> Case:
        """The convolution, in the pass that computes the same."""
        n, height, width, channels = self.shape
        size = [(side - 1) * self.stride - 2 * self.padding + self.kernel for side in (height, width)]
        return Case(
            *((n, *size, self.filters), channels, self.kernel, self.stride),
            padding=self.padding,
            dtype=self.dtype,
            direction=PASSES[self.direction],
        )

    def __str__(self) -> str:
        shape = "x".join(map(str, self.shape))
        return f"{shape}, {self.filters} filters {self.kernel}x{self.kernel}, transposed, stride {self.stride}"


class TransposedConvolution(Entry):
    """One pass of a transposed convolution."""

    def __init__(self, case: Transposed) -> None:
        self.case, self.problem = case, Problem(case.adjoint)
        self.title, self.direction, self.dtype = title(case), case.direction, case.dtype
        self.flops = case.adjoint.work
        self.x, self.w, self.gy = self.problem.gy, self.problem.w, self.problem.x
        sizes = {"forward": self.gy.nbytes, "input": self.x.nbytes, "weight": self.w.nbytes}
        self.written = sizes.pop(case.direction)
        self.read = sum(sizes.values())

    def is_right(self, result: Array, algorithm: str) -> bool:
        """Whether a result differs from float64 by rounding only."""
        return self.problem.is_right(result, algorithm)

    def own(self, data_format: str) -> list[Contestant]:
        """Return `conv_transpose2d` or its gradient."""
        case, (x, w, gy) = self.case, (self.x, self.w, self.gy)
        if data_format == "channels_first":
            x, gy = (np.ascontiguousarray(a.transpose(0, 3, 1, 2)) for a in (x, gy))
            w = np.ascontiguousarray(w.transpose(3, 2, 0, 1))
        how = {"stride": case.stride, "padding": case.padding, "data_format": data_format}

        def gradient() -> Array:
            gradients = F.conv_transpose2d_backward(gy, x, w, needs=(case.direction,), **how)
            return gradients[DIRECTIONS.index(case.direction) - 1]

        call = partial(F.conv_transpose2d, x, w, **how) if case.direction == "forward" else gradient
        return [Contestant("plain", "fastconv", call, partial(self._channels_last, data_format=data_format))]

    def of_peer(self, peer: Peer) -> list[Contestant]:
        """Return the peer's own transposed convolution."""
        if isinstance(peer, Torch):
            return [self._of_torch(peer.modules[0], name, layout) for name, layout in peer.formats().items()]
        if isinstance(peer, TensorFlow):  # conv2d_transpose is this very operation
            return peer.contestants(self.problem)
        if self.direction != "forward" or self.dtype != "float32":
            raise NotImplementedError(f"{peer.name} computes no gradients, and float32 only")
        case, weights = self.case, self.w.transpose(3, 2, 0, 1)
        if isinstance(peer, OnnxPeer):
            attributes = {"strides": [case.stride] * 2, "pads": [case.padding] * 4}
            return [peer.node("ConvTranspose", self.x, {"w": weights}, attributes)]
        if isinstance(peer, Ncnn):
            numbers = {"num_output": case.filters, "weight_data_size": self.w.size, "bias_term": 0}
            for side in "hw":
                numbers |= {f"kernel_{side}": case.kernel, f"stride_{side}": case.stride}
                numbers |= {f"pad_{end}_{side}": case.padding for end in ("begin", "end")}
            parameters = {CONVOLUTION[name]: value for name, value in numbers.items()}
            return [peer.layer("Deconvolution", self.x, parameters, weights.swapaxes(0, 1))]
        raise NotImplementedError(f"{peer.name} has no transposed convolution here")

    def _of_torch(self, torch: Any, name: str, layout: Any) -> Contestant:
        case, orders = self.case, ((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2))
        x, w, gy = (
            torch.from_numpy(a).permute(order).contiguous(memory_format=layout)
            for a, order in zip((self.x, self.w, self.gy), orders, strict=True)
        )
        pair = [case.stride] * 2, [case.padding] * 2
        mask = [case.direction == direction for direction in DIRECTIONS[1:]]

        def forward() -> Any:
            return torch.nn.functional.conv_transpose2d(x, w, None, *pair)

        def gradient() -> Any:
            return torch.ops.aten.convolution_backward(gy, x, w, None, *pair, [1, 1], True, [0, 0], 1, [*mask, False])[
                mask.index(True)
            ]

        call = forward if case.direction == "forward" else gradient
        return Contestant(
            name, "torch", call, lambda y: self._channels_last(y.numpy(), "channels_first"), PEER_ROUNDING
        )

    def _channels_last(self, result: Array, data_format: str) -> Array:
        if data_format == "channels_last":
            return result
        return result.transpose((2, 3, 1, 0) if self.direction == "weight" else (0, 2, 3, 1))
