"""Optimizer steps against hand-worked numbers, the written formulas and torch."""

import json
import pickle
import re
import tracemalloc
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest

from fastconv import optimizers
from fastconv._configurable import serialize
from fastconv.optimizers import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop
from fastconv.schedules import CosineDecay, PiecewiseConstantDecay


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


def test_adagrad_by_hand() -> None:
    # s = 9 + 16 = 25, then 25 + 144 = 169.
    steps = _run(Adagrad(0.1, initial_accumulator_value=9.0, epsilon=0.0), [4.0, 12.0])
    assert steps == pytest.approx([1 - 0.4 / 5, 1 - 0.4 / 5 - 1.2 / 13])


def test_amsgrad_divides_by_the_largest_mean_square_by_hand() -> None:
    # v = 4, then 0.5 * 4 + 0 = 2, of which the largest so far is 4; m = 2, then 1.
    steps = _run(Adam(0.1, beta_1=0.5, beta_2=0.5, epsilon=0.0, amsgrad=True), [8**0.5, 0.0])
    first = 0.1 * 0.5**0.5 / 0.5 * 2**0.5 / 2
    assert steps == pytest.approx([1 - first, 1 - first - 0.1 * 0.75**0.5 / 0.75 * 0.5**0.5 / 2])


def test_weight_decay_by_hand() -> None:
    # 1 * (1 - 0.1 * 0.5) - 0.1 * 2.
    assert _run(SGD(0.1, weight_decay=0.5), [2.0]) == pytest.approx([0.75])
    # The moments do not see it: Adam's first step is the learning rate.
    assert _run(AdamW(0.1, weight_decay=0.5, epsilon=0.0), [2.0]) == pytest.approx([0.85])


def test_defaults_are_those_of_keras() -> None:
    common = {"weight_decay": None, "clipnorm": None, "clipvalue": None, "global_clipnorm": None}
    moments = {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7, "amsgrad": False}
    expected: dict[type[Optimizer], dict[str, Any]] = {
        SGD: {"learning_rate": 0.01, "momentum": 0.0, "nesterov": False},
        RMSprop: {"learning_rate": 0.001, "rho": 0.9, "momentum": 0.0, "epsilon": 1e-7, "centered": False},
        Adagrad: {"learning_rate": 0.001, "initial_accumulator_value": 0.1, "epsilon": 1e-7},
        Adam: {"learning_rate": 0.001, **moments},
        AdamW: {"learning_rate": 0.001, **moments, "weight_decay": 0.004},
    }
    assert expected.keys() == optimizers.CLASSES
    for cls, config in expected.items():
        assert cls().get_config() == common | config  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("ours", "theirs", "options"),
    [
        (SGD(0.05), "SGD", {}),
        (SGD(0.05, 0.9), "SGD", {"momentum": 0.9}),
        (SGD(0.05, 0.9, nesterov=True), "SGD", {"momentum": 0.9, "nesterov": True}),
        (Adam(0.05, epsilon=0.0), "Adam", {"eps": 0.0}),
        (AdamW(0.05, 0.1, epsilon=0.0), "AdamW", {"eps": 0.0, "weight_decay": 0.1}),
        (RMSprop(0.05, epsilon=0.0), "RMSprop", {"alpha": 0.9, "eps": 0.0}),
        (RMSprop(0.05, momentum=0.5, epsilon=0.0), "RMSprop", {"alpha": 0.9, "momentum": 0.5, "eps": 0.0}),
        (Adagrad(0.05, epsilon=0.0), "Adagrad", {"initial_accumulator_value": 0.1, "eps": 0.0}),
    ],
    ids=repr,
)
def test_ten_steps_match_torch(
    torch: ModuleType, ours: Optimizer, theirs: str, options: dict[str, Any], rng: np.random.Generator
) -> None:
    # Torch adds epsilon elsewhere than Keras, so it is 0 here.
    start = rng.standard_normal((3, 4))
    params = {"w": start.copy()}
    w = torch.tensor(start, requires_grad=True)
    optimizer = getattr(torch.optim, theirs)([w], 0.05, **options)
    for _ in range(10):
        grad = rng.standard_normal((3, 4))
        ours.update(params, {"w": grad})
        w.grad = torch.tensor(grad)
        optimizer.step()
    np.testing.assert_allclose(params["w"], w.detach().numpy(), rtol=1e-10)


class TestClipping:
    """One step of SGD by 1 is minus the clipped gradient."""

    GRADS: ClassVar = {"a": np.array([3.0, -4.0]), "b": np.array([[12.0]]), "c": np.array(0.3)}

    def clipped(self, grads: dict[str, Any] | None = None, **options: float) -> dict[str, Any]:
        grads = self.GRADS if grads is None else grads
        params = {key: np.zeros_like(grad) for key, grad in grads.items()}
        before = {key: grad.copy() for key, grad in grads.items()}
        SGD(1.0, **options).update(params, grads)  # type: ignore[arg-type]
        for key, grad in grads.items():
            np.testing.assert_array_equal(grad, before[key])
        return {key: (-param).tolist() for key, param in params.items()}

    def test_clipvalue_bounds_each_element(self) -> None:
        assert self.clipped(clipvalue=3.5) == {"a": [3.0, -3.5], "b": [[3.5]], "c": 0.3}

    def test_clipnorm_bounds_each_gradient(self) -> None:
        assert self.clipped(clipnorm=2.5) == {"a": [1.5, -2.0], "b": [[2.5]], "c": 0.3}

    def test_global_clipnorm_bounds_all_gradients_together(self) -> None:
        grads = {"a": np.array([3.0, -4.0]), "b": np.array([[12.0]])}
        assert self.clipped(grads, global_clipnorm=6.5) == {"a": [1.5, -2.0], "b": [[6.0]]}
        assert self.clipped(grads, global_clipnorm=13.0) == {"a": [3.0, -4.0], "b": [[12.0]]}

    def test_gradients_that_torch_clips(self, torch: ModuleType, rng: np.random.Generator) -> None:
        grads = {"a": rng.standard_normal((3, 4)), "b": rng.standard_normal(5)}
        weights = [torch.zeros(grad.shape, dtype=torch.float64) for grad in grads.values()]
        for weight, grad in zip(weights, grads.values(), strict=True):
            weight.grad = torch.tensor(grad)
        torch.nn.utils.clip_grad_norm_(weights, 0.7)
        for got, weight in zip(self.clipped(grads, global_clipnorm=0.7).values(), weights, strict=True):
            np.testing.assert_allclose(got, weight.grad.numpy(), rtol=1e-5)  # torch adds 1e-6 to the norm

    def test_a_norm_that_is_not_finite_reaches_every_weight(self) -> None:
        grads = {"a": np.array([np.inf, 1.0]), "b": np.array([1.0])}
        assert np.isnan(self.clipped(grads, global_clipnorm=1.0)["b"]).all()
        assert self.clipped(grads, clipnorm=2.0)["b"] == [1.0]

    def test_zero_gradients_stay_zero(self) -> None:
        assert self.clipped({"a": np.zeros(2)}, clipnorm=1.0) == {"a": [0.0, 0.0]}

    def test_only_one_limit_is_allowed(self) -> None:
        with pytest.raises(ValueError, match=r"SGD: only one of clipnorm, .* must be given, got \(1.0, 2.0, None\)"):
            SGD(clipnorm=1.0, clipvalue=2.0)
        with pytest.raises(ValueError, match="Adam: clipnorm must be greater than 0, got 0"):
            Adam(clipnorm=0)


class TestSchedules:
    def test_a_schedule_gives_the_rate_of_each_update(self) -> None:
        optimizer = SGD(PiecewiseConstantDecay([0], [1.0, 0.5]))
        assert optimizer.learning_rate == 1.0
        assert _run(optimizer, [1.0, 1.0], 2.0) == [1.0, 0.5]
        assert optimizer.learning_rate == 0.5

    def test_a_schedule_is_part_of_the_configuration(self) -> None:
        optimizer = AdamW(CosineDecay(0.1, 10, warmup_target=0.2, warmup_steps=2), clipnorm=1.0)
        again = optimizers.get(json.loads(json.dumps(serialize(optimizer))))
        assert again.get_config() == optimizer.get_config()
        again.iterations = optimizer.iterations = 5
        assert again.learning_rate == optimizer.learning_rate

    def test_a_schedule_is_replaced_by_schedules_only(self) -> None:
        optimizer = SGD(CosineDecay(0.1, 10))
        with pytest.raises(TypeError, match="SGD: learning_rate must be another schedule where there is one"):
            optimizer.learning_rate = 0.5
        optimizer.learning_rate = CosineDecay(0.3, 10)
        assert optimizer.learning_rate == 0.3

    @pytest.mark.parametrize("config", [{"class_name": "SGD"}, {"class_name": "CosineDecay", "config": 1}, {}])
    def test_a_configuration_of_something_else_is_refused(self, config: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="SGD: learning_rate must have a c"):
            SGD(config)


EVERY_PATH = [
    SGD(0.1, 0.9, True, clipvalue=0.5),
    RMSprop(momentum=0.5, centered=True, clipnorm=0.5),
    Adagrad(weight_decay=0.1),
    Adam(amsgrad=True, global_clipnorm=0.5),
    AdamW(CosineDecay(0.1, 10)),
]


@pytest.mark.parametrize("optimizer", EVERY_PATH, ids=repr)
def test_in_steady_state_an_update_allocates_nothing_of_a_weights_size(optimizer: Optimizer) -> None:
    sizes = {"a": (500, 1000), "b": (3,), "c": (499, 1000)}
    params = {key: np.ones(shape, np.float64 if key == "c" else np.float32) for key, shape in sizes.items()}
    grads = {key: np.ones_like(param) for key, param in params.items()}
    optimizer.update(params, grads)
    tracemalloc.start()
    try:
        optimizer.update(params, grads)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # A norm is summed in float64, for which NumPy converts 8192 elements at a time.
    assert peak < params["a"].nbytes / 10


# Of the weights, the gradient, the number of the step and the slots: the slots and the weights after it.
FORMULAS = pytest.mark.parametrize(
    ("optimizer", "formula"),
    [
        (SGD(0.1), lambda w, g, t: (w - 0.1 * g,)),
        (SGD(0.1, 0.5), lambda w, g, t, m: (m := 0.5 * m - 0.1 * g, w + m)),
        (SGD(0.1, 0.5, True), lambda w, g, t, m: (m := 0.5 * m - 0.1 * g, w + 0.5 * m - 0.1 * g)),
        (
            RMSprop(0.1, 0.75, epsilon=0.25),
            lambda w, g, t, s: (s := 0.75 * s + 0.25 * g**2, w - 0.1 * g / np.sqrt(s + 0.25)),
        ),
        (
            RMSprop(0.1, 0.75, 0.5, 0.25, centered=True),
            lambda w, g, t, s, a, m: (
                s := 0.75 * s + 0.25 * g**2,
                a := 0.75 * a + 0.25 * g,
                m := 0.5 * m + 0.1 * g / np.sqrt(s - a**2 + 0.25),
                w - m,
            ),
        ),
        (Adagrad(0.1, 0.0, 0.25), lambda w, g, t, s: (s := s + g**2, w - 0.1 * g / np.sqrt(s + 0.25))),
        (
            AdamW(0.1, 0.2, 0.5, 0.75, 0.25),
            lambda w, g, t, m, s: (
                m := 0.5 * m + 0.5 * g,
                s := 0.75 * s + 0.25 * g**2,
                w * (1 - 0.1 * 0.2) - 0.1 * np.sqrt(1 - 0.75**t) / (1 - 0.5**t) * m / (np.sqrt(s) + 0.25),
            ),
        ),
        (
            Adam(0.1, 0.5, 0.75, 0.25, amsgrad=True),
            lambda w, g, t, m, s, a: (
                m := 0.5 * m + 0.5 * g,
                s := 0.75 * s + 0.25 * g**2,
                a := np.maximum(a, s),
                w - 0.1 * np.sqrt(1 - 0.75**t) / (1 - 0.5**t) * m / (np.sqrt(a) + 0.25),
            ),
        ),
    ],
    ids=lambda value: repr(value) if isinstance(value, Optimizer) else "",
)


@pytest.mark.parametrize("form", [np.float32, np.float64, np.float16, "strided", "big-endian"])
@FORMULAS
def test_a_step_is_its_formula_with_kerass_place_of_epsilon_in_every_form_of_array(
    optimizer: Optimizer, formula: Any, form: Any, isa: str, threads: int, rng: np.random.Generator
) -> None:
    dtype = np.dtype({"strided": "f4", "big-endian": ">f8"}.get(form, form))
    bound = 20 * np.finfo(dtype).eps
    for size in (0, 1, 15, 33, 9001):
        fresh = optimizers.get(serialize(optimizer))
        weights = rng.standard_normal(2 * size).astype(dtype)[:: 2 if form == "strided" else 1][:size]
        w, state = weights.astype(np.float64), [np.zeros(size) for _ in fresh.slots]
        for t in range(1, 4):
            grad = rng.standard_normal(size).astype(dtype)
            fresh.update({"w": weights}, {"w": grad})
            *state, w = formula(w, grad.astype(np.float64), t, *state)
            np.testing.assert_allclose(weights, w, bound, bound)
            for slot, values in zip(fresh.slots.values(), state, strict=True):
                np.testing.assert_allclose(slot["w"], values, bound, bound)


@FORMULAS
def test_a_nan_in_a_gradient_reaches_its_weight_alone(optimizer: Optimizer, formula: Any, isa: str) -> None:
    params, grad = {"w": np.ones(35, np.float32)}, np.ones(35, np.float32)
    grad[33] = np.nan
    optimizers.get(serialize(optimizer)).update(params, {"w": grad})
    assert np.flatnonzero(np.isnan(params["w"])).tolist() == [33]


@pytest.mark.parametrize("cls", sorted(optimizers.CLASSES, key=str))
def test_weights_that_hold_no_fractions_are_refused(cls: type[Optimizer]) -> None:
    params = {"w": np.ones(3, int)}
    with pytest.raises(TypeError, match="same_kind"):
        cls().update(params, {"w": np.ones(3)})
    assert (params["w"] == 1).all()


def test_centered_rmsprop_survives_rounding_of_the_variance(rng: np.random.Generator) -> None:
    params, grad = {"w": np.ones(100, np.float32)}, rng.uniform(1e3, 1e4, 100).astype(np.float32)
    optimizer = RMSprop(1e-3, centered=True)
    for _ in range(200):
        optimizer.update(params, {"w": grad})
    assert np.isfinite(params["w"]).all()


@pytest.mark.parametrize(
    "optimizer",
    [SGD(0.1, 0.9, True), Adam(amsgrad=True), RMSprop(momentum=0.5, centered=True), Adagrad(), AdamW(clipnorm=1.0)],
    ids=repr,
)
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


def test_weights_of_several_sizes_share_the_scratch_array_of_clipping() -> None:
    params = {"a": np.ones(2), "b": np.ones((3, 4)), "c": np.ones(())}
    Adam(0.1, clipvalue=4.0).update(params, {key: np.full_like(array, 5) for key, array in params.items()})
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
        (lambda: optimizers.get("adma"), "optimizer must be one of 'sgd', 'rmsprop', 'adagrad', .* got 'adma'"),
    ],
)
def test_bad_arguments_are_refused(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]


@pytest.mark.parametrize("cls", sorted(optimizers.CLASSES, key=str))
def test_unknown_arguments_are_refused_by_the_name_of_the_class(cls: type[Optimizer]) -> None:
    text = f"{cls.__name__}.__init__() got an unexpected keyword argument"
    with pytest.raises(TypeError, match=f"^{re.escape(text)} 'lr', the learning rate is learning_rate$"):
        cls(lr=0.1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=f"^{re.escape(text)} 'decay'$"):
        cls(decay=0.1)  # type: ignore[call-arg]


def test_missing_and_misshapen_gradients_are_refused_before_any_change() -> None:
    params = {"a": np.ones(2), "b": np.ones(3)}
    with pytest.raises(ValueError, match=r"update: grads\['b'\] must have shape \(3,\), got none"):
        SGD().update(params, {"a": np.ones(2)})
    with pytest.raises(ValueError, match=r"update: grads\['b'\] must have shape \(3,\), got \(2,\)"):
        SGD().update(params, {"a": np.ones(2), "b": np.ones(2)})
    np.testing.assert_array_equal(params["a"], 1)


def test_names_of_keras() -> None:
    for cls in optimizers.CLASSES:
        assert type(optimizers.get(cls.__name__)) is type(optimizers.get(cls.__name__.lower())) is cls


def test_bytes_in_foreign_order_are_remembered_through_a_pickle(rng: np.random.Generator) -> None:
    grads = rng.standard_normal((2, 5)).astype(">f4")
    param, unpickled_param = np.ones((2, 5), ">f4")
    optimizer = Adam(learning_rate=0.1)
    optimizer.update({"w": param}, {"w": grads[0]})
    unpickled_param[:] = param
    unpickled = pickle.loads(pickle.dumps(optimizer))
    optimizer.update({"w": param}, {"w": grads[1]})
    unpickled.update({"w": unpickled_param}, {"w": grads[1]})
    np.testing.assert_array_equal(unpickled_param, param)
