"""Fixtures shared by all tests: what a claim about an operation must hold for."""

import os
from collections.abc import Iterator
from types import ModuleType

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

import fastconv as fc
from fastconv import _core

# Deterministic: a failure on one machine repeats on another. HYPOTHESIS_PROFILE=explore draws new cases on every run.
# The fixtures of this file hold for all examples of a test.
_patient = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
settings.register_profile("repeat", _patient, derandomize=True)
settings.register_profile("explore", _patient)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeat"))


@pytest.fixture(
    params=[
        pytest.param(name, marks=[] if available else pytest.mark.skip(reason=f"this CPU has no {name}"))
        for name, available in _core.isas()
    ]
)
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Every instruction set of this CPU."""
    before = _core.isa()
    _core.select_isa(request.param)
    yield request.param
    _core.select_isa(before)


@pytest.fixture(params=[1, 2], ids="{}-threads".format)
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """One thread, and more than one."""
    before = fc.get_num_threads()
    fc.set_num_threads(request.param)
    yield request.param
    fc.set_num_threads(before)


@pytest.fixture(params=[np.float32, np.float64], ids=lambda dtype: dtype.__name__)
def dtype(request: pytest.FixtureRequest) -> type:
    """Every dtype with kernels of its own."""
    return request.param


@pytest.fixture(params=["channels_first", "channels_last"])
def data_format(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240229)


@pytest.fixture(scope="session")
def torch() -> ModuleType:
    """Skip where torch is not installed; fail there with FASTCONV_REQUIRE_TORCH=1."""
    if os.environ.get("FASTCONV_REQUIRE_TORCH") == "1":
        import torch

        return torch
    return pytest.importorskip("torch")
