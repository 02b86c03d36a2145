"""Fastconv itself: its algorithms as contestants, and what the core knows about them and the machine."""

import os
import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import fastconv
import fastconv.functional as F
from fastconv import _core
from fastconv.bench.cases import DIRECTIONS, Case
from fastconv.bench.clock import Contestant
from fastconv.bench.problem import Problem
from fastconv.functional import _algorithms

Array = npt.NDArray[Any]

ALGORITHMS = _algorithms.NAMES
is_known = _algorithms.is_known
# An algorithm that nobody has named is left out where it needs more than this.
MOST_WORKSPACE = 2**28


def resolved(case: Case, algorithm: str) -> str | None:
    """Return the algorithm that is used where this one is asked for, or None where it does not apply."""
    core_case = _core_case(case)
    return None if _algorithms.refusal(core_case, algorithm) else _algorithms.choose(core_case, algorithm)


def workspace(case: Case, algorithm: str) -> int:
    """Return the bytes of scratch memory that a call takes, packed weights included."""
    return _algorithms.workspace_bytes(_core_case(case), algorithm)


def applicable(case: Case) -> list[str]:
    """Return the algorithms that are worth a column: those that apply, are none of the others, and fit in memory."""
    own = [name for name in ALGORITHMS if resolved(case, name) == name]
    return [name for name in own if workspace(case, name) <= MOST_WORKSPACE]


def contestants(problem: Problem, algorithms: Sequence[str]) -> list[Contestant]:
    """Return the plain functions on operands in the case's data format, one contestant for each algorithm."""
    case = problem.case
    x, w, gy = _operands(problem)
    how = (case.stride, case.padding, case.dilation, case.groups)

    def call(name: str) -> Callable[[], Any]:
        if case.direction == "forward":
            return lambda: F.conv2d(x, w, None, *how, data_format=case.data_format, algorithm=name)
        position, needs = DIRECTIONS.index(case.direction) - 1, (case.direction,)
        return lambda: F.conv2d_backward(
            gy, x, w, None, *how, needs=needs, data_format=case.data_format, algorithm=name
        )[position]

    return [
        Contestant(name, "fastconv", call(name), _result(case), resolved(case, name) or name) for name in algorithms
    ]


def prepared(problem: Problem) -> Contestant:
    """Return "auto" with weights that are packed before the call, for forward."""
    case = problem.case
    x, w, _ = _operands(problem)
    how = (case.stride, case.padding, case.dilation, case.groups)
    convolution = F.prepare_conv2d(w, None, *how, data_format=case.data_format)
    return Contestant("prepared", "fastconv", lambda: convolution(x), _result(case), resolved(case, "auto") or "direct")


def _operands(problem: Problem) -> tuple[Array, Array, Array]:
    """Return x, w, gy in the case's data format."""
    x, w, gy = problem.x, problem.w, problem.gy
    if problem.case.data_format == "channels_last":
        return x, w, gy
    x, gy = (np.ascontiguousarray(images.transpose(0, 3, 1, 2)) for images in (x, gy))
    return x, np.ascontiguousarray(w.transpose(3, 2, 0, 1)), gy


def _result(case: Case) -> Callable[[Array], Array]:
    """Return what turns a result into channels last."""
    if case.data_format == "channels_last":
        return lambda computed: computed
    order = (2, 3, 1, 0) if case.direction == "weight" else (0, 2, 3, 1)
    return lambda computed: computed.transpose(order)


def peak_gflops(dtype: str, threads: int) -> float:
    """Return 10^9 operations a second that so many cores reach with FMA on registers alone, measured on one."""
    return threads * _core.peak_gflops(dtype == "float64")


def machine() -> dict[str, str]:
    """Describe where the numbers come from."""
    return {
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs, {_cpu_model()}",
        "instruction set": _core.isa(),
        "versions": f"fastconv {fastconv.__version__}, built by {_core.compiler()}; "
        f"Python {platform.python_version()}, NumPy {np.__version__}",
    }


def _core_case(case: Case) -> _algorithms.Case:
    last, direction = case.data_format == "channels_last", DIRECTIONS.index(case.direction)
    return _algorithms.Case(case.geometry, case.dtype == "float64", last, direction)


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown CPU"
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown CPU")
