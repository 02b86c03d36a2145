"""What another library must offer to be measured beside fastconv."""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

from fastconv.bench.clock import Contestant
from fastconv.bench.problem import Problem

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
    distributions: tuple[str, ...] = ()  # what pip calls the packages, where that differs
    prepared = False  # whether it packs weights before the call that is timed

    def __init__(self, name: str) -> None:
        try:
            self.modules = [importlib.import_module(package) for package in self.packages]
        except ImportError as error:
            wanted = " ".join(self.distributions or self.packages)
            raise ImportError(f"--against {name} needs it installed: pip install {wanted}") from error
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

    def _require_forward_float32(self, direction: str, dtype: str) -> None:
        if direction != "forward":
            raise NotImplementedError(f"{self.name} computes no gradients")
        if dtype != "float32":
            raise NotImplementedError(f"{self.name} convolves in float32 only")
