"""Other libraries on the same problem. A new one is a class here and a line in `PEERS`."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from fastconv.bench.cases import DIRECTIONS
from fastconv.bench.clock import Contestant
from fastconv.bench.problem import Problem

# Old enough that every ONNX Runtime of these years reads it.
OPSET, IR_VERSION = 13, 8
ONNX_FLOAT = 1
# A peer may use Winograd's algorithm as well.
PEER_ROUNDING = "winograd_4x4"


class Peer(ABC):
    """A library that computes convolutions.

    Parameters
    ----------
    name
        What ``--against`` calls it.

    Raises
    ------
    ImportError
        One of its packages is not installed.
    """

    packages: tuple[str, ...]

    def __init__(self, name: str) -> None:
        try:
            self.modules = [importlib.import_module(package) for package in self.packages]
        except ImportError as error:
            raise ImportError(f"--against {name} needs it installed: pip install {' '.join(self.packages)}") from error
        self.name = name

    @property
    def version(self) -> str:
        """Of its first package."""
        return str(self.modules[0].__version__)

    @contextmanager
    def session(self, threads: int) -> Iterator[None]:
        """Set the library up for a run with this number of threads, and undo it."""
        self.threads = threads
        yield

    @abstractmethod
    def contestants(self, problem: Problem) -> list[Contestant]:
        """Return its ways to compute a problem.

        Raises
        ------
        NotImplementedError
            It has none; the text says why.
        """


class Torch(Peer):
    """PyTorch in both of its memory formats, in inference mode."""

    packages = ("torch",)

    @contextmanager
    def session(self, threads: int) -> Iterator[None]:
        """Set the number of threads and keep torch from recording gradients."""
        (torch,) = self.modules
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            with torch.inference_mode():
                yield
        finally:
            torch.set_num_threads(before)

    def contestants(self, problem: Problem) -> list[Contestant]:
        """Return one contestant for each memory format."""
        return [self._contestant(name, layout, problem) for name, layout in self.formats().items()]

    @staticmethod
    def formats() -> dict[str, Any]:
        """Return the memory formats by the names of their columns."""
        torch = importlib.import_module("torch")
        return {"torch": torch.contiguous_format, "torch channels_last": torch.channels_last}

    def _contestant(self, name: str, layout: Any, problem: Problem) -> Contestant:
        (torch,) = self.modules
        case, geometry = problem.case, problem.case.geometry
        if geometry.pad_lo != geometry.pad_hi:
            raise NotImplementedError("torch has no padding that differs before and after the input")
        orders = ((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2))
        operands = zip((problem.x, problem.w, problem.gy), orders, strict=True)
        x, w, gy = (torch.from_numpy(a).permute(order).contiguous(memory_format=layout) for a, order in operands)
        stride, padding, dilation = (list(axes[1:]) for axes in (geometry.stride, geometry.pad_lo, geometry.dilation))
        wanted = [case.direction == direction for direction in DIRECTIONS[1:]]

        def forward() -> Any:
            return torch.nn.functional.conv2d(x, w, None, stride, padding, dilation, case.groups)

        def gradient() -> Any:
            return torch.ops.aten.convolution_backward(
                gy, x, w, None, stride, padding, dilation, False, [0, 0], case.groups, [*wanted, False]
            )[wanted.index(True)]

        order = (2, 3, 1, 0) if case.direction == "weight" else (0, 2, 3, 1)
        call = forward if case.direction == "forward" else gradient
        return Contestant(name, "torch", call, lambda y: y.permute(order).contiguous().numpy(), PEER_ROUNDING)


class OnnxRuntime(Peer):
    """ONNX Runtime's CPU provider on a model of one node, whose weights are a constant that it packs once."""

    packages = ("onnxruntime", "onnx")

    def contestants(self, problem: Problem) -> list[Contestant]:
        """Return the one contestant, for forward in float32."""
        if problem.case.direction != "forward":
            raise NotImplementedError("onnxruntime computes no gradients")
        if problem.case.dtype != "float32":
            raise NotImplementedError("onnxruntime convolves in float32 only")
        runtime = self.modules[0]
        options = runtime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        session = runtime.InferenceSession(self._model(problem), options, providers=["CPUExecutionProvider"])
        feed = {"x": np.ascontiguousarray(problem.x.transpose(0, 3, 1, 2))}
        return [
            Contestant(
                self.name,
                self.name,
                lambda: session.run(None, feed)[0],
                lambda y: y.transpose(0, 2, 3, 1),
                PEER_ROUNDING,
            )
        ]

    def _model(self, problem: Problem) -> bytes:
        helper = importlib.import_module("onnx.helper")
        numpy_helper = importlib.import_module("onnx.numpy_helper")
        geometry = problem.case.geometry
        node = helper.make_node(
            "Conv",
            ["x", "w"],
            ["y"],
            strides=geometry.stride[1:],
            dilations=geometry.dilation[1:],
            pads=[*geometry.pad_lo[1:], *geometry.pad_hi[1:]],
            group=geometry.groups,
        )
        n, height, width, channels = problem.case.shape
        weights = np.ascontiguousarray(problem.w.transpose(3, 2, 0, 1))
        graph = helper.make_graph(
            [node],
            "convolution",
            [helper.make_tensor_value_info("x", ONNX_FLOAT, [n, channels, height, width])],
            [helper.make_tensor_value_info("y", ONNX_FLOAT, None)],
            [numpy_helper.from_array(weights, "w")],
        )
        opset = helper.make_opsetid("", OPSET)
        return bytes(helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION).SerializeToString())


PEERS: dict[str, type[Peer]] = {"torch": Torch, "onnxruntime": OnnxRuntime}


def load(names: Sequence[str]) -> list[Peer]:
    """Import the libraries of these names.

    Raises
    ------
    ImportError
        A library is not installed.
    ValueError
        There is no such peer.
    """
    for name in names:
        if name not in PEERS:
            raise ValueError(f"--against must name some of {', '.join(PEERS)}, got {name!r}")
    return [PEERS[name](name) for name in names]
