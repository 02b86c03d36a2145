"""The same computation by fastconv and by torch, and what its result must be."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from cases import Case, Conv

import fastconv.functional as F

Array = np.ndarray[Any, np.dtype[Any]]

GRADIENTS = {"input gradient": "input", "weight gradient": "weight"}
PEER_LAYOUTS = {"torch": torch.contiguous_format, "torch channels_last": torch.channels_last}


@dataclass
class Contestant:
    """A library's way to compute a case: `call` is what is timed, `result` turns its value to channels first."""

    name: str
    call: Callable[[], Any]
    result: Callable[[Any], Array]


class Problem:
    """Operands of a case, channels first; the result in float64, and by how much rounding may miss it."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.dtype = getattr(torch, case.dtype)
        self._rng = np.random.default_rng(0)
        if isinstance(case, Conv):
            self.operands = [
                self._drawn(case.batch, case.in_channels, case.size, case.size),
                self._drawn(case.out_channels, case.in_channels // case.groups, case.kernel, case.kernel),
                self._drawn(case.batch, case.out_channels, case.output_size, case.output_size),
            ]
        else:
            self.operands = [self._drawn(case.batch, case.channels, case.size, case.size)]
        exact = [operand.double() for operand in self.operands]
        self.expected = compute(case, *exact).numpy()
        self.bound: Array = np.zeros(())
        if isinstance(case, Conv):
            # Each product and each addition errs by epsilon / 2 of what is summed at most; torch's float64 errs too.
            terms = case.work / 2 / self.expected.size
            summed = compute(case, *[operand.abs() for operand in exact]).numpy()
            self.bound = (terms + 1) * np.finfo(case.dtype).eps * summed

    def _drawn(self, *shape: int) -> torch.Tensor:
        return torch.from_numpy(self._rng.standard_normal(shape)).to(self.dtype)

    def is_right(self, result: Array) -> bool:
        """Whether a result agrees with the one in float64."""
        return result.shape == self.expected.shape and bool(np.all(np.abs(result - self.expected) <= self.bound))


def compute(case: Case, x: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
    """Compute a case with torch, in the type and memory format of its operands."""
    if not isinstance(case, Conv):
        return torch.nn.functional.max_pool2d(x, case.kernel, case.stride)
    w, gy = others
    stride, padding, dilation = [case.stride] * 2, [case.padding] * 2, [case.dilation] * 2
    if case.direction == "forward":
        return torch.nn.functional.conv2d(x, w, None, stride, padding, dilation, case.groups)
    wanted = [case.direction == gradient for gradient in GRADIENTS]
    gradients = torch.ops.aten.convolution_backward(
        gy, x, w, None, stride, padding, dilation, False, [0, 0], case.groups, [*wanted, False]
    )
    return gradients[wanted.index(True)]


def torch_contestant(name: str, problem: Problem) -> Contestant:
    """Torch on operands in one memory format."""
    operands = [operand.contiguous(memory_format=PEER_LAYOUTS[name]) for operand in problem.operands]
    return Contestant(name, lambda: compute(problem.case, *operands), lambda result: result.contiguous().numpy())


def fastconv_contestant(problem: Problem, data_format: str) -> Contestant:
    """Fastconv's plain functions on operands in one data format."""
    case = problem.case
    last = data_format == "channels_last"
    x, *others = [operand.numpy() for operand in problem.operands]
    x = np.ascontiguousarray(x.transpose(0, 2, 3, 1)) if last else x

    def pixels_first(y: Array) -> Array:
        return y.transpose(0, 3, 1, 2) if last else y

    def filters_first(w: Array) -> Array:
        return w.transpose(3, 2, 0, 1) if last else w

    if not isinstance(case, Conv):
        kernel, stride = case.kernel, case.stride
        return Contestant("fastconv", lambda: F.max_pool2d(x, kernel, stride, data_format=data_format), pixels_first)
    w, gy = others
    if last:
        w, gy = np.ascontiguousarray(w.transpose(2, 3, 1, 0)), np.ascontiguousarray(gy.transpose(0, 2, 3, 1))
    how = (case.stride, case.padding, case.dilation, case.groups)
    if case.direction == "forward":
        return Contestant("fastconv", lambda: F.conv2d(x, w, None, *how, data_format=data_format), pixels_first)
    needs = (GRADIENTS[case.direction],)
    position = list(GRADIENTS).index(case.direction)
    return Contestant(
        "fastconv",
        lambda: F.conv2d_backward(gy, x, w, None, *how, needs=needs, data_format=data_format)[position],
        filters_first if case.direction == "weight gradient" else pixels_first,
    )


def contestants(problem: Problem, data_format: str) -> list[Contestant]:
    """Everyone who computes a case, fastconv first."""
    return [fastconv_contestant(problem, data_format), *[torch_contestant(name, problem) for name in PEER_LAYOUTS]]
