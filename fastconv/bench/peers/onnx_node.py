"""ONNX Runtime and OpenVINO, each on a model of one ONNX node whose weights are a constant that it packs once."""

import importlib
import io
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from fastconv.bench.clock import Contestant
from fastconv.bench.peers.base import PEER_ROUNDING, Peer
from fastconv.bench.problem import Problem

Array = npt.NDArray[Any]

# Old enough that everyone reads it.
OPSET, IR_VERSION = 13, 8
ONNX_FLOAT = 1


class OnnxPeer(Peer):
    """A library that runs ONNX models: images are (n, c, h, w), float32, forward."""

    prepared = True

    def contestants(self, problem: Problem) -> list[Contestant]:
        """Return the one contestant, for forward in float32."""
        case, geometry = problem.case, problem.case.geometry
        self._require_forward_float32(case.direction, case.dtype)
        attributes = {
            "strides": geometry.stride[1:],
            "dilations": geometry.dilation[1:],
            "pads": [*geometry.pad_lo[1:], *geometry.pad_hi[1:]],
            "group": geometry.groups,
        }
        return [self.node("Conv", problem.x, {"w": problem.w.transpose(3, 2, 0, 1)}, attributes)]

    def node(self, op: str, x: Array, weights: Mapping[str, Array], attributes: Mapping[str, Any]) -> Contestant:
        """Return the contestant of any ONNX node on images `x`, channels last."""
        images = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
        call = self._compiled(one_node_model(op, images, weights, attributes), images)
        return Contestant(self.name, self.name, call, lambda y: y.transpose(0, 2, 3, 1).copy(), PEER_ROUNDING)

    @abstractmethod
    def _compiled(self, model: bytes, images: Array) -> Callable[[], Array]:
        """Return the model's output for `images` as a function."""


class OnnxRuntime(OnnxPeer):
    """ONNX Runtime's CPU provider."""

    packages = ("onnxruntime", "onnx")

    def _compiled(self, model: bytes, images: Array) -> Callable[[], Any]:
        runtime = self.modules[0]
        options = runtime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        feed = {"x": images}
        return lambda: session.run(None, feed)[0]


class OpenVino(OnnxPeer):
    """OpenVINO's CPU plugin on one request, whose output tensor every call writes to."""

    packages = ("openvino", "onnx")

    def _compiled(self, model: bytes, images: Array) -> Callable[[], Any]:
        runtime = self.modules[0]
        options = {
            "INFERENCE_NUM_THREADS": self.threads,
            "INFERENCE_PRECISION_HINT": "f32",
            "PERFORMANCE_HINT": "LATENCY",
        }
        core = runtime.Core()
        request = core.compile_model(core.read_model(io.BytesIO(model)), "CPU", options).create_infer_request()
        request.set_input_tensor(runtime.Tensor(images))
        output = request.get_output_tensor()

        def call() -> Any:
            request.infer()
            return output.data

        return call


def one_node_model(op: str, images: Array, weights: Mapping[str, Array], attributes: Mapping[str, Any]) -> bytes:
    """Return a serialized model: the node `op` from "x", of the shape of `images`, and constant weights to "y"."""
    helper, numpy_helper = (importlib.import_module(f"onnx.{name}") for name in ("helper", "numpy_helper"))
    graph = helper.make_graph(
        [helper.make_node(op, ["x", *weights], ["y"], **attributes)],
        "one_node",
        [helper.make_tensor_value_info("x", ONNX_FLOAT, images.shape)],
        [helper.make_tensor_value_info("y", ONNX_FLOAT, None)],
        [numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in weights.items()],
    )
    opset = helper.make_opsetid("", OPSET)
    return bytes(helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION).SerializeToString())
