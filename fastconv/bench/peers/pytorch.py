"""PyTorch in both of its memory formats."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastconv.bench.cases import DIRECTIONS
from fastconv.bench.clock import Contestant
from fastconv.bench.peers.base import PEER_ROUNDING, Peer
from fastconv.bench.problem import Problem


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
