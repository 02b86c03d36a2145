"""Learning rate schedules against numbers worked by hand, torch, and through their configuration."""

import math
from types import ModuleType
from typing import Any

import pytest

import fastconv as fc
from fastconv._configurable import serialize
from fastconv.schedules import (
    CLASSES,
    CosineDecay,
    ExponentialDecay,
    InverseTimeDecay,
    LearningRateSchedule,
    PiecewiseConstantDecay,
    PolynomialDecay,
)

EXAMPLES: list[LearningRateSchedule] = [
    ExponentialDecay(0.1, 10, 0.5, staircase=True),
    InverseTimeDecay(0.1, 10, 0.5),
    PiecewiseConstantDecay([3, 6], [0.1, 0.05, 0.01]),
    PolynomialDecay(0.1, 10, cycle=True),
    CosineDecay(0.1, 10, 0.1, 0.2, 5),
]


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        (ExponentialDecay(0.1, 10, 0.5), {0: 0.1, 5: 0.1 * 0.5**0.5, 10: 0.05, 25: 0.1 * 0.5**2.5}),
        (ExponentialDecay(0.1, 10, 0.5, staircase=True), {0: 0.1, 9: 0.1, 10: 0.05, 29: 0.025}),
        (InverseTimeDecay(0.1, 10, 0.5), {0: 0.1, 5: 0.1 / 1.25, 40: 0.1 / 3}),
        (InverseTimeDecay(0.1, 10, 0.5, staircase=True), {9: 0.1, 19: 0.1 / 1.5, 20: 0.05}),
        (PiecewiseConstantDecay([3, 6], [0.1, 0.05, 0.01]), {0: 0.1, 3: 0.1, 4: 0.05, 6: 0.05, 7: 0.01}),
        (PiecewiseConstantDecay([], [0.1]), {0: 0.1, 7: 0.1}),
        (PolynomialDecay(0.1, 10, 0.01, 2.0), {0: 0.1, 5: 0.09 * 0.25 + 0.01, 10: 0.01, 99: 0.01}),
        (PolynomialDecay(0.1, 10, 0.0, cycle=True), {0: 0.1, 10: 0.0, 15: 0.025, 20: 0.0, 25: 0.1 * 5 / 30}),
        (CosineDecay(0.1, 10), {0: 0.1, 5: 0.05, 10: 0.0, 99: 0.0}),
        (CosineDecay(0.1, 10, alpha=0.2), {5: 0.1 * (0.8 * 0.5 + 0.2), 10: 0.02}),
        (CosineDecay(0.1, 10, 0.0, 0.3, 4), {0: 0.1, 1: 0.15, 4: 0.3, 9: 0.15, 14: 0.0, 99: 0.0}),
        (CosineDecay(0.1, 10, warmup_steps=4), {0: 0.1, 5: 0.05}),
        (CosineDecay(0.1, 10, warmup_target=0.3), {0: 0.3, 5: 0.15}),
    ],
    ids=repr,
)
def test_rates_worked_by_hand(schedule: LearningRateSchedule, rates: dict[int, float]) -> None:
    for step, rate in rates.items():
        assert schedule(step) == pytest.approx(rate, abs=1e-15), step


def test_rates_of_torch(torch: ModuleType) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1)], 0.1)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10, eta_min=0.02)
    ours = CosineDecay(0.1, 10, alpha=0.2)
    for step in range(10):
        assert ours(step) == pytest.approx(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()


def test_every_schedule_is_rebuilt_from_its_configuration() -> None:
    assert {type(schedule) for schedule in EXAMPLES} == CLASSES
    for schedule in EXAMPLES:
        again = fc.schedules.get(serialize(schedule))
        assert type(again) is type(schedule)
        assert again.get_config() == schedule.get_config()
        assert [again(step) for step in range(20)] == [schedule(step) for step in range(20)]
        assert fc.schedules.get(schedule) is schedule


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: ExponentialDecay(-1, 1, 1),
            ValueError,
            "initial_learning_rate must be finite and not negative, got -1",
        ),
        (lambda: ExponentialDecay(1, 0, 1), ValueError, "decay_steps must be an integer from 1 on, got 0"),
        (lambda: InverseTimeDecay(1, 2.5, 1), ValueError, "decay_steps must be an integer from 1 on, got 2.5"),  # type: ignore[arg-type]
        (lambda: PolynomialDecay("1", 1), TypeError, "initial_learning_rate must be a number, got '1'"),  # type: ignore[arg-type]
        (lambda: CosineDecay(math.nan, 1), ValueError, "CosineDecay: initial_learning_rate must be finite"),
        (lambda: PiecewiseConstantDecay([1], [1.0]), ValueError, "one more than the 1 boundaries, got 1"),
        (lambda: PiecewiseConstantDecay([2, 1], [1, 1, 1]), ValueError, r"boundaries must ascend, got \[2, 1\]"),
        (lambda: fc.schedules.get("cosine"), ValueError, "schedule must be one of 'ExponentialDecay', .* got 'cosine'"),
    ],
)
def test_bad_arguments_are_refused(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()
