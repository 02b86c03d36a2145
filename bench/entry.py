"""What a line of the table measures, whatever it computes."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Protocol

import numpy as np

from fastconv.bench import DIRECTIONS
from fastconv.bench.clock import Contestant
from fastconv.bench.peers import Peer

Array = np.ndarray[Any, np.dtype[Any]]
DATA_FORMATS = ("channels_last", "channels_first")
EITHER = "either format"  # of what is the same in both


class Entry(ABC):
    """One computation, with operands: everyone who does it, and whether a result is right.

    Attributes
    ----------
    title
        What the table calls it.
    direction
        "forward", "input" or "weight", or the task of a network.
    flops
        Floating-point operations of the direct method; 0 where memory alone counts.
    read, written
        Bytes that the computation must at least read and write.
    tags
        The claims that it is a row of: see `summary`.
    """

    title: str
    direction: str
    dtype: str = "float32"
    flops: int = 0
    read: int = 0
    written: int = 0
    tags: tuple[str, ...] = ()
    data_formats: ClassVar[tuple[str, ...]] = DATA_FORMATS

    @abstractmethod
    def is_right(self, result: Array, algorithm: str) -> bool:
        """Whether a result is right, but for the rounding that this algorithm may do."""

    @abstractmethod
    def own(self, data_format: str) -> list[Contestant]:
        """Return fastconv, "plain" and, where weights can be packed ahead, "prepared"."""

    @abstractmethod
    def of_peer(self, peer: Peer) -> list[Contestant]:
        """Return a peer's ways to compute it.

        Raises
        ------
        NotImplementedError
            It has none; the text says why.
        """


class AnyCase(Protocol):
    """What is computed, as data; the string says neither pass nor type."""

    @property
    def direction(self) -> str:
        """The pass, or the task of a network."""

    @property
    def dtype(self) -> str:
        """Of all arrays."""


def title(case: AnyCase) -> str:
    """Return what the table calls a case, for example "16x28x28x128, 128 filters 3x3, weight gradient"."""
    kind = [f"{case.direction} gradient"] if case.direction in DIRECTIONS[1:] else []
    return ", ".join([str(case), *kind, *[case.dtype] * (case.dtype != "float32")])
