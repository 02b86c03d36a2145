"""The library ncnn on a network of one layer, whose weights it packs when it loads them."""

import tempfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from fastconv.bench.clock import Contestant
from fastconv.bench.peers.base import PEER_ROUNDING, Peer
from fastconv.bench.problem import Problem

Array = npt.NDArray[Any]

# The first line of every parameter file, and the tag of float32 weights.
MAGIC, FLOAT32_TAG = 7767517, bytes(4)


class Ncnn(Peer):
    """One image (c, h, w) in a matrix of its own; float32, forward."""

    packages = ("ncnn",)
    prepared = True

    def contestants(self, problem: Problem) -> list[Contestant]:
        """Return the one contestant, for forward in float32 at batch one."""
        case, geometry = problem.case, problem.case.geometry
        self._require_forward_float32(case.direction, case.dtype)
        parameters = {"num_output": case.filters, "weight_data_size": problem.w.size, "bias_term": 0}
        if geometry.groups > 1:
            parameters["group"] = geometry.groups
        spatial = {
            "kernel": geometry.kernel,
            "stride": geometry.stride,
            "dilation": geometry.dilation,
            "pad_begin": geometry.pad_lo,
            "pad_end": geometry.pad_hi,
        }
        for name, (_, height, width) in spatial.items():
            parameters |= {f"{name}_h": height, f"{name}_w": width}
        kind = "ConvolutionDepthWise" if geometry.groups > 1 else "Convolution"
        numbers = {CONVOLUTION[name]: value for name, value in parameters.items()}
        return [self.layer(kind, problem.x, numbers, problem.w.transpose(3, 2, 0, 1))]

    def layer(self, kind: str, x: Array, parameters: Mapping[int, int], weights: Array | None = None) -> Contestant:
        """Return the contestant of any layer, by its parameters' numbers, on images `x`, channels last."""
        if len(x) != 1:
            raise NotImplementedError(f"{self.name} has no batches")
        (library,) = self.modules
        network = library.Net()
        network.opt.num_threads = self.threads
        network.opt.use_fp16_packed = network.opt.use_fp16_storage = network.opt.use_fp16_arithmetic = False
        words = " ".join(f"{number}={value}" for number, value in parameters.items())
        network.load_param_mem(f"{MAGIC}\n2 2\nInput x 0 1 x\n{kind} y 1 1 x y {words}\n")
        with tempfile.NamedTemporaryFile() as file:
            if weights is not None:
                file.write(FLOAT32_TAG + weights.tobytes())
                file.flush()
            network.load_model(file.name)
        image = np.ascontiguousarray(x[0].transpose(2, 0, 1))
        matrix = library.Mat(image).clone()  # of its own alignment; a view would not keep the array alive

        def call() -> Any:
            extractor = network.create_extractor()
            extractor.input("x", matrix)
            status, y = extractor.extract("y")
            if status:
                raise RuntimeError(f"extract returned {status}")
            return y

        def channels_last(y: Any) -> Array:
            maps = np.array(y)
            return maps.reshape(len(maps), *(maps.shape[1:] or (1, 1))).transpose(1, 2, 0)[np.newaxis]

        return Contestant(self.name, self.name, call, channels_last, PEER_ROUNDING)


# The numbers by which a parameter file calls a convolution's parameters.
CONVOLUTION = {
    "num_output": 0,
    "kernel_w": 1,
    "kernel_h": 11,
    "dilation_w": 2,
    "dilation_h": 12,
    "stride_w": 3,
    "stride_h": 13,
    "pad_begin_w": 4,
    "pad_begin_h": 14,
    "pad_end_w": 15,
    "pad_end_h": 16,
    "bias_term": 5,
    "weight_data_size": 6,
    "group": 7,
}
