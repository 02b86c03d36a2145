"""TensorFlow's operations, called eagerly; on a CPU it knows channels last only."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from fastconv.bench.clock import Contestant
from fastconv.bench.peers.base import PEER_ROUNDING, Peer
from fastconv.bench.problem import Problem


class TensorFlow(Peer):
    """Forward and both gradients, float32 and float64."""

    packages = ("tensorflow",)
    distributions = ("tensorflow-cpu",)

    def __init__(self, name: str) -> None:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # it greets on standard error
        super().__init__(name)

    @contextmanager
    def session(self, threads: int) -> Iterator[None]:
        """Set the number of threads, which must not have been another one since TensorFlow's first operation."""
        threading = self.modules[0].config.threading
        threading.set_intra_op_parallelism_threads(threads)
        threading.set_inter_op_parallelism_threads(1)
        yield

    def contestants(self, problem: Problem) -> list[Contestant]:
        """Return the one contestant."""
        (library,) = self.modules
        case, geometry, ops = problem.case, problem.case.geometry, self.modules[0].raw_ops
        depthwise = 1 < geometry.groups == geometry.in_channels
        if case.direction != "forward" and geometry.groups > 1 and not depthwise:
            raise NotImplementedError("tensorflow has no gradients of grouped convolutions on a CPU")
        if case.direction != "forward" and max(geometry.dilation) > 1:
            raise NotImplementedError("tensorflow has no gradients of dilated convolutions on a CPU")
        x, gy = library.constant(problem.x), library.constant(problem.gy)
        shape = (*problem.w.shape[:2], geometry.in_channels, -1) if depthwise else problem.w.shape
        w = library.constant(problem.w.reshape(shape))
        (_, top, left), (_, bottom, right) = geometry.pad_lo, geometry.pad_hi
        how: dict[str, Any] = {
            "strides": [1, *geometry.stride[1:], 1],
            "dilations": [1, *geometry.dilation[1:], 1],
            "padding": "EXPLICIT",
            "explicit_paddings": [0, 0, top, bottom, left, right, 0, 0],
        }
        if case.direction == "forward":
            forward = ops.DepthwiseConv2dNative if depthwise else ops.Conv2D
            call = partial(forward, input=x, filter=w, **how)
        elif case.direction == "input":
            backward = ops.DepthwiseConv2dNativeBackpropInput if depthwise else ops.Conv2DBackpropInput
            call = partial(backward, input_sizes=x.shape, filter=w, out_backprop=gy, **how)
        else:
            backward = ops.DepthwiseConv2dNativeBackpropFilter if depthwise else ops.Conv2DBackpropFilter
            call = partial(backward, input=x, filter_sizes=w.shape, out_backprop=gy, **how)
        wanted = {"forward": gy, "input": x, "weight": problem.w}[case.direction].shape
        return [Contestant(self.name, self.name, call, lambda y: y.numpy().reshape(wanted), PEER_ROUNDING)]
