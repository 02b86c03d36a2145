"""The same computation by fastconv's plain functions and by torch. Convolutions are those of ``fastconv bench``."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from cases import MaxPool

import fastconv.functional as F
from fastconv.bench import Case, own
from fastconv.bench.clock import Contestant
from fastconv.bench.peers import Torch
from fastconv.bench.problem import Problem

Array = np.ndarray[Any, np.dtype[Any]]


class MaxPoolProblem:
    """An input, channels last, and its maxima by NumPy."""

    def __init__(self, case: MaxPool) -> None:
        self.case = case
        shape = (case.batch, case.size, case.size, case.channels)
        self.x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        windows = np.lib.stride_tricks.sliding_window_view(self.x, (case.kernel, case.kernel), axis=(1, 2))
        self.expected = windows[:, :: case.stride, :: case.stride].max(axis=(-1, -2))

    def is_right(self, result: Array, algorithm: str) -> bool:
        """Whether a result has exactly these maxima, whatever the algorithm."""
        return np.array_equal(result, self.expected)


def contestants(
    case: Case | MaxPool, data_format: str, torch_peer: Torch
) -> tuple[Problem | MaxPoolProblem, list[Contestant]]:
    """Return a case's problem and everyone who computes it, fastconv first."""
    if isinstance(case, MaxPool):
        pooling = MaxPoolProblem(case)
        return pooling, [_own_max_pool(pooling, data_format), *_torch_max_pools(pooling)]
    problem = Problem(replace(case, data_format=data_format))
    (plain,) = own.contestants(problem, ["auto"])
    return problem, [replace(plain, name="fastconv"), *torch_peer.contestants(problem)]


def _own_max_pool(problem: MaxPoolProblem, data_format: str) -> Contestant:
    case, last = problem.case, data_format == "channels_last"
    x = problem.x if last else np.ascontiguousarray(problem.x.transpose(0, 3, 1, 2))
    return Contestant(
        "fastconv",
        "fastconv",
        lambda: F.max_pool2d(x, case.kernel, case.stride, data_format=data_format),
        lambda y: y if last else y.transpose(0, 2, 3, 1),
    )


def _torch_max_pools(problem: MaxPoolProblem) -> list[Contestant]:
    return [_torch_max_pool(name, layout, problem) for name, layout in Torch.formats().items()]


def _torch_max_pool(name: str, layout: torch.memory_format, problem: MaxPoolProblem) -> Contestant:
    case = problem.case
    x = torch.from_numpy(problem.x).permute(0, 3, 1, 2).contiguous(memory_format=layout)
    return Contestant(
        name,
        "torch",
        lambda: torch.nn.functional.max_pool2d(x, case.kernel, case.stride),
        lambda y: y.permute(0, 2, 3, 1).numpy(),
    )
