"""Other libraries on the same problem. A new one is a class in a module here and a line in `PEERS`."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy.typing as npt

from fastconv.bench.clock import Contestant
from fastconv.bench.peers.base import PEER_ROUNDING, Peer
from fastconv.bench.peers.ncnn_layer import Ncnn
from fastconv.bench.peers.onnx_node import OnnxPeer, OnnxRuntime, OpenVino
from fastconv.bench.peers.pytorch import Torch
from fastconv.bench.peers.tensorflow_ops import TensorFlow

__all__ = [
    "PEERS",
    "PEER_ROUNDING",
    "load",
    "attempt",
    "Peer",
    "Torch",
    "OnnxPeer",
    "OnnxRuntime",
    "OpenVino",
    "Ncnn",
    "TensorFlow",
]

PEERS: dict[str, type[Peer]] = {
    "torch": Torch,
    "onnxruntime": OnnxRuntime,
    "openvino": OpenVino,
    "ncnn": Ncnn,
    "tensorflow": TensorFlow,
}


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


def attempt(
    name: str, contestants: Callable[[], Sequence[Contestant]]
) -> tuple[list[tuple[Contestant, npt.NDArray[Any]]], list[str]]:
    """Let a peer compute; return its contestants with their results, and in words what it could not do.

    Whatever another library raises is a note: it must not end a run.
    """
    computed: list[tuple[Contestant, npt.NDArray[Any]]] = []
    notes = []
    try:
        # extend keeps what came before an exception.
        computed.extend((contestant, contestant.result(contestant.call())) for contestant in contestants())
    except NotImplementedError as reason:
        notes.append(str(reason))
    except Exception as error:
        notes.append(f"{name} failed: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
    return computed, notes
