"""Optimizer steps against hand-worked numbers and torch."""

from types import ModuleType

import numpy as np
import pytest

from fastconv import optimizers
from fastconv.optimizers import SGD, Adam, Optimizer, RMSprop


def _run(optimizer: Optimizer, grads: list[float], start: float = 1.0) -> list[float]:
    params = {"w": np.array([start])}
    values = []
    for grad in grads:
        optimizer.update(params, {"w": np.array([grad])})
        values.append(float(params["w"][0]))
    return values


def test_sgd_by_hand() -> None:
    assert _run(SGD(0.1), [1.0, -2.0]) == pytest.approx([0.9, 1.1])


def test_sgd_with_momentum_by_hand() -> None:
    # v = -0.1, then 0.5 * -0.1 - 0.1 = -0.15.
    assert _run(SGD(0.1, momentum=0.5), [1.0, 1.0]) == pytest.approx([0.9, 0.75])


def test_sgd_with_nesterov_by_hand() -> None:
    # v = -0.1, w += 0.5 * -0.1 - 0.1; v = -0.15, w += 0.5 * -0.15 - 0.1.
    assert _run(SGD(0.1, momentum=0.5, nesterov=True), [1.0, 1.0]) == pytest.approx([0.85, 0.675])


def test_rmsprop_by_hand() -> None:
    # s = 0.25 * 16 = 4, then 0.75 * 4 + 0.25 * 4 = 4.
    assert _run(RMSprop(0.1, rho=0.75, epsilon=0.0), [4.0, 2.0]) == pytest.approx([0.8, 0.7])
    # m = 0.2, then 0.5 * 0.2 + 0.1.
    assert _run(RMSprop(0.1, rho=0.75, momentum=0.5, epsilon=0.0), [4.0, 2.0]) == pytest.approx([0.8, 0.6])
    # s = 4, a = 1: 4 / sqrt(3).
    assert _run(RMSprop(0.1, rho=0.75, epsilon=0.0, centered=True), [4.0]) == pytest.approx([1 - 0.4 / 3**0.5])


def test_adam_by_hand() -> None:
    # m = 0.5, v = 0.25, rate = 0.1 * sqrt(0.25) / 0.5 = 0.1: step 0.1 * 0.5 / 0.5.
    # m = 0.25 - 0.5 = -0.25, v = 0.75 * 0.25 + 0.25 = 0.4375, rate = 0.1 * sqrt(0.4375) / 0.75.
    steps = _run(Adam(0.1, beta_1=0.5, beta_2=0.75, epsilon=0.0), [1.0, -1.0])
    assert steps == pytest.approx([0.9, 0.9 + 0.1 * 0.25 / 0.75])


def test_defaults_are_those_of_keras() -> None:
    assert SGD().get_config() == {"learning_rate": 0.01, "momentum": 0.0, "nesterov": False}
    assert RMSprop().get_config() == {
        "learning_rate": 0.001,
        "rho": 0.9,
        "momentum": 0.0,
        "epsilon": 1e-7,
        "centered": False,
    }
    assert Adam().get_config() == {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}


@pytest.mark.parametrize("name", ["sgd", "momentum", "nesterov", "adam", "rmsprop"])
def test_ten_steps_match_torch(torch: ModuleType, name: str, rng: np.random.Generator) -> None:
    # Torch adds epsilon elsewhere than Keras, so it is 0 here.
    ours: Optimizer = {
        "sgd": SGD(0.05),
        "momentum": SGD(0.05, 0.9),
        "nesterov": SGD(0.05, 0.9, nesterov=True),
        "adam": Adam(0.05, epsilon=0.0),
        "rmsprop": RMSprop(0.05, epsilon=0.0),
    }[name]
    start = rng.standard_normal((3, 4))
    params = {"w": start.copy()}
    w = torch.tensor(start, requires_grad=True)
    theirs = {
        "sgd": lambda: torch.optim.SGD([w], 0.05),
        "momentum": lambda: torch.optim.SGD([w], 0.05, momentum=0.9),
        "nesterov": lambda: torch.optim.SGD([w], 0.05, momentum=0.9, nesterov=True),
        "adam": lambda: torch.optim.Adam([w], 0.05, eps=0.0),
        "rmsprop": lambda: torch.optim.RMSprop([w], 0.05, alpha=0.9, eps=0.0),
    }[name]()
    for _ in range(10):
        grad = rng.standard_normal((3, 4))
        ours.update(params, {"w": grad})
        w.grad = torch.tensor(grad)
        theirs.step()
    np.testing.assert_allclose(params["w"], w.detach().numpy(), rtol=1e-10)


@pytest.mark.parametrize("optimizer", [SGD(0.1, 0.9, True), Adam(), RMSprop(momentum=0.5, centered=True)], ids=repr)
def test_update_is_in_place_and_leaves_gradients_alone(optimizer: Optimizer) -> None:
    param, grad = np.ones((2, 3), np.float32), np.full((2, 3), 2, np.float32)
    optimizer.update({"w": param}, {"w": grad})
    first = param.copy()
    slots = [entries["w"] for entries in optimizer.slots.values()]
    optimizer.update({"w": param}, {"w": grad})
    assert (param < first).all()
    assert param.dtype == np.float32
    np.testing.assert_array_equal(grad, np.full((2, 3), 2, np.float32))
    assert all(kept is entries["w"] for kept, entries in zip(slots, optimizer.slots.values(), strict=True))
    assert {slot.dtype for slot in slots} == {np.dtype(np.float32)}


def test_weights_of_several_sizes_share_the_scratch_array() -> None:
    params = {"a": np.ones(2), "b": np.ones((3, 4)), "c": np.ones(())}
    Adam(0.1).update(params, {key: np.full_like(array, 5) for key, array in params.items()})
    for array in params.values():
        np.testing.assert_allclose(array, 0.9, rtol=1e-6)


def test_learning_rate_may_be_changed() -> None:
    optimizer = SGD(0.1)
    optimizer.learning_rate = 1.0
    assert _run(optimizer, [1.0]) == [0.0]
    with pytest.raises(ValueError, match="SGD: learning_rate must be finite and not negative, got -1"):
        optimizer.learning_rate = -1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SGD(float("nan")), "SGD: learning_rate must be finite"),
        (lambda: SGD(momentum=2), "SGD: momentum must be from 0 to 1, got 2"),
        (lambda: Adam(beta_1=1), "Adam: beta_1 must be from 0 to less than 1, got 1"),
        (lambda: optimizers.get("adma"), "optimizer must be one of 'sgd', 'rmsprop', 'adam' .* got 'adma'"),
    ],
)
def test_bad_arguments_are_refused(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]


def test_missing_and_misshapen_gradients_are_refused_before_any_change() -> None:
    params = {"a": np.ones(2), "b": np.ones(3)}
    with pytest.raises(ValueError, match=r"update: grads\['b'\] must have shape \(3,\), got none"):
        SGD().update(params, {"a": np.ones(2)})
    with pytest.raises(ValueError, match=r"update: grads\['b'\] must have shape \(3,\), got \(2,\)"):
        SGD().update(params, {"a": np.ones(2), "b": np.ones(2)})
    np.testing.assert_array_equal(params["a"], 1)
