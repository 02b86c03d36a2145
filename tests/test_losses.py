"""Losses against hand-worked numbers, torch, central differences and extreme logits."""

import math
from types import ModuleType

import numpy as np
import pytest

import fastconv.functional as F
from fastconv import activations, losses
from fastconv._configurable import serialize
from fastconv.losses import (
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    Hinge,
    Huber,
    KLDivergence,
    Loss,
    MeanAbsoluteError,
    MeanSquaredError,
    SparseCategoricalCrossentropy,
)

# Two networks on three rows, from the lectures.
TARGETS = np.array([[1.0, 0], [0, 1], [1, 0]])
NETWORK_1 = np.array([[0.9, 0.1], [0.1, 0.9], [0.4, 0.6]])
NETWORK_2 = np.array([[0.6, 0.4], [0.3, 0.7], [0.1, 0.9]])


def test_cross_entropy_and_squared_error_of_the_lectures() -> None:
    assert CategoricalCrossentropy()(TARGETS, NETWORK_1) == pytest.approx(0.38, abs=5e-3)
    assert CategoricalCrossentropy()(TARGETS, NETWORK_2) == pytest.approx(1.06, abs=5e-3)
    assert MeanSquaredError()(TARGETS, NETWORK_1) == pytest.approx(0.38 / 3)
    assert MeanSquaredError()(TARGETS, NETWORK_2) == pytest.approx(1.06 / 3)


def test_values_worked_by_hand() -> None:
    log = math.log
    assert SparseCategoricalCrossentropy()([1, 0], [[0.2, 0.8], [0.5, 0.5]]) == pytest.approx(
        -(log(0.8) + log(0.5)) / 2
    )
    assert BinaryCrossentropy()([[1, 0]], [[0.9, 0.2]]) == pytest.approx(-(log(0.9) + log(0.8)) / 2)
    assert MeanSquaredError()([[1, 2], [3, 4]], [[1, 0], [3, 1]]) == pytest.approx((0 + 4 + 0 + 9) / 4)

    assert MeanAbsoluteError()([[1, 2], [3, 4]], [[1, 0], [3, 1]]) == pytest.approx((0 + 2 + 0 + 3) / 4)
    assert Huber(2.0)([[0, 0]], [[1, 5]]) == pytest.approx((0.5 + 2 * (5 - 1)) / 2)
    assert KLDivergence()([[0.5, 0.5]], [[0.25, 0.75]]) == pytest.approx(0.5 * log(2) + 0.5 * log(2 / 3))
    assert KLDivergence()([[1, 0]], [[0.5, 0.5]]) == pytest.approx(log(2), abs=1e-5)
    # (1 - 0.8)**2 * -log(0.8), and (1 - 0.5)**2 * -log(0.5), both times 0.25.
    assert CategoricalFocalCrossentropy()([[0, 1], [1, 0]], [[0.2, 0.8], [0.5, 0.5]]) == pytest.approx(
        -0.25 * (0.04 * log(0.8) + 0.25 * log(0.5)) / 2
    )
    # 0.9 of a 1 and 0.2 of a 0 are right with 0.9 and 0.8.
    assert BinaryFocalCrossentropy()([[1, 0]], [[0.9, 0.2]]) == pytest.approx(-(0.01 * log(0.9) + 0.04 * log(0.8)) / 2)
    assert BinaryFocalCrossentropy(True, alpha=0.3)([[1, 0]], [[0.9, 0.2]]) == pytest.approx(
        -(0.3 * 0.01 * log(0.9) + 0.7 * 0.04 * log(0.8)) / 2
    )


def test_hinge_takes_0_as_minus_1_where_targets_are_0_and_1_only() -> None:
    assert Hinge()([[-1, 1]], [[0.5, 0.5]]) == (1.5 + 0.5) / 2
    assert Hinge()([[0, 1]], [[0.5, 0.5]]) == (1.5 + 0.5) / 2
    assert Hinge()([[0, -1]], [[0.5, 0.5]]) == (1 + 1.5) / 2


@pytest.mark.parametrize("from_logits", [False, True])
def test_focal_losses_without_focus_are_cross_entropies(from_logits: bool, rng: np.random.Generator) -> None:
    p = rng.dirichlet(np.ones(3), 4)
    y_pred, y_true = np.log(p) if from_logits else p, np.eye(3)[[0, 2, 1, 1]]
    for focal, plain in (
        (CategoricalFocalCrossentropy(1.0, 0.0, from_logits), CategoricalCrossentropy(from_logits)),
        (BinaryFocalCrossentropy(gamma=0.0, from_logits=from_logits), BinaryCrossentropy(from_logits)),
    ):
        value, gradient = focal.with_gradient(y_true, y_pred)
        expected, expected_gradient = plain.with_gradient(y_true, y_pred)
        assert value == pytest.approx(expected)
        np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_focal_losses_of_logits_agree_with_those_of_probabilities_and_stay_finite(
    gamma: float, rng: np.random.Generator
) -> None:
    z, y_true = rng.standard_normal((4, 3)), np.eye(3)[[0, 2, 1, 1]]
    for cls, activation in (
        (CategoricalFocalCrossentropy, activations.Softmax()),
        (BinaryFocalCrossentropy, activations.Sigmoid()),
    ):
        loss = cls(gamma=gamma)
        on_logits = loss.on_logits(activation)
        assert on_logits is not None
        assert on_logits(y_true, z) == pytest.approx(loss(y_true, activation(z)))
        for sign in (1, -1):
            value, gradient = on_logits.with_gradient(y_true, (sign * 1e4 * (2 * y_true - 1)).astype(np.float32))
            assert np.isfinite(value)
            assert np.isfinite(gradient).all()


def test_outputs_beyond_the_bounds_of_probabilities_have_no_gradient() -> None:
    for loss in (KLDivergence(), BinaryCrossentropy(), BinaryFocalCrossentropy()):
        _, gradient = loss.with_gradient([[1.0, 1.0, 0.5]], [[0.0, 1.5, 0.5]])
        assert gradient[0, :2].tolist() == [0, 0], loss


@pytest.mark.parametrize(
    ("names", "cls"),
    [
        (("categorical_crossentropy", "CategoricalCrossentropy"), CategoricalCrossentropy),
        (("sparse_categorical_crossentropy", "SparseCategoricalCrossentropy"), SparseCategoricalCrossentropy),
        (("binary_crossentropy", "bce", "BCE", "BinaryCrossentropy"), BinaryCrossentropy),
        (("mean_squared_error", "mse", "MSE", "MeanSquaredError"), MeanSquaredError),
        (("mean_absolute_error", "mae", "MAE", "MeanAbsoluteError"), MeanAbsoluteError),
        (("kl_divergence", "kld", "KLD", "KLDivergence"), KLDivergence),
        (("hinge", "Hinge"), Hinge),
        (("huber", "Huber"), Huber),
        (("categorical_focal_crossentropy", "focal", "CategoricalFocalCrossentropy"), CategoricalFocalCrossentropy),
        (("binary_focal_crossentropy", "BinaryFocalCrossentropy"), BinaryFocalCrossentropy),
    ],
)
def test_names_of_keras(names: tuple[str, ...], cls: type[Loss]) -> None:
    for name in names:
        assert type(losses.get(name)) is cls
    assert type(losses.get(serialize(cls()))) is cls


def test_probabilities_that_do_not_sum_to_one_are_normalised() -> None:
    assert CategoricalCrossentropy()([[1, 0]], [[3.0, 1.0]]) == pytest.approx(-math.log(0.75))
    assert SparseCategoricalCrossentropy()([0], [[3.0, 1.0]]) == pytest.approx(-math.log(0.75))


def test_label_smoothing_worked_by_hand() -> None:
    p = [[0.9, 0.1]]
    # Targets become 0.95 and 0.05.
    expected = -0.95 * math.log(0.9) - 0.05 * math.log(0.1)
    assert CategoricalCrossentropy(label_smoothing=0.1)([[1, 0]], p) == pytest.approx(expected)
    expected = -0.95 * math.log(0.9) - 0.05 * math.log(0.1)
    assert BinaryCrossentropy(label_smoothing=0.1)([[1]], [[0.9]]) == pytest.approx(expected)


def test_sample_weights_multiply_and_the_divisor_stays_the_batch_size() -> None:
    y, p = [[0.0], [0.0]], [[1.0], [2.0]]
    assert MeanSquaredError()(y, p, sample_weight=[1, 3]) == pytest.approx((1 * 1 + 3 * 4) / 2)
    value, gradient = MeanSquaredError().with_gradient(y, p, sample_weight=[1, 3])
    assert value == pytest.approx(6.5)
    np.testing.assert_allclose(gradient, [[1.0], [6.0]])


@pytest.mark.parametrize(
    ("reduction", "value", "weighted"),
    [
        ("sum_over_batch_size", 5 / 2, 13 / 2),
        ("mean", 5 / 2, 13 / 2),
        ("sum", 5, 13),
        ("mean_with_sample_weight", 5 / 2, 13 / 4),
        ("none", [1, 4], [1, 12]),
        (None, [1, 4], [1, 12]),
    ],
)
def test_reductions_worked_by_hand(reduction: object, value: object, weighted: object) -> None:
    # The same in Keras 3.15.
    loss = MeanSquaredError(reduction=reduction)  # type: ignore[arg-type]
    y, p = [[0.0], [0.0]], [[1.0], [2.0]]
    np.testing.assert_allclose(loss(y, p), value)
    np.testing.assert_allclose(loss(y, p, sample_weight=[1, 3]), weighted)
    np.testing.assert_allclose(loss(y, p, sample_weight=[[1], [3]]), weighted)


def test_a_weight_of_a_sample_counts_for_each_of_its_values() -> None:
    y_pred = np.array([[[1.0], [2.0]], [[3.0], [4.0]]])
    loss = MeanSquaredError("mean_with_sample_weight")
    assert loss(np.zeros((2, 2, 1)), y_pred, [1, 3]) == pytest.approx((1 + 4 + 3 * (9 + 16)) / (1 + 1 + 3 + 3))
    assert loss(np.zeros((2, 2, 1)), y_pred, [0, 0]) == 0
    np.testing.assert_array_equal(loss.with_gradient(np.zeros((2, 2, 1)), y_pred, [0, 0])[1], np.zeros((2, 2, 1)))


ROWS = np.array([[0.2, 0.5, 0.3], [0.6, 0.3, 0.1], [0.1, 0.1, 0.8], [0.4, 0.4, 0.2]])


@pytest.mark.parametrize("weights", [None, [1.0, 0.5, 3.0, 2.0]])
@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", "mean_with_sample_weight", "none"])
@pytest.mark.parametrize("cls", sorted(losses.CLASSES, key=lambda cls: cls.__name__))
def test_gradients_of_reductions_match_differences(
    cls: type[Loss], reduction: str, weights: list[float] | None
) -> None:
    loss = cls(reduction=reduction)  # type: ignore[call-arg]
    y_true = np.array([0, 2, 2, 1]) if cls is SparseCategoricalCrossentropy else np.eye(3)[[0, 2, 2, 1]]
    _, gradient = loss.with_gradient(y_true, ROWS, weights)
    direction = np.random.default_rng(0).standard_normal(ROWS.shape)

    def total(step: float) -> float:
        return float(np.sum(loss(y_true, ROWS + step * direction, weights)))

    assert np.vdot(gradient, direction) == pytest.approx((total(1e-6) - total(-1e-6)) / 2e-6, rel=1e-5)


@pytest.mark.parametrize(
    ("reduction", "divisor", "weighted"), [("mean", 2, 2), ("sum", 1, 1), ("mean_with_sample_weight", 2, 1.5)]
)
@pytest.mark.parametrize("ignored", [255, -1, 1])
def test_an_ignored_class_is_no_sample(ignored: int, reduction: str, divisor: float, weighted: float) -> None:
    # The divisors are those of Keras 3.15.
    loss = SparseCategoricalCrossentropy(ignore_class=ignored, reduction=reduction)  # type: ignore[arg-type]
    labels, log = [0, ignored, 2, ignored], math.log
    assert loss(labels, ROWS) == pytest.approx(-(log(0.2) + log(0.8)) / divisor)
    assert loss(labels, ROWS, [1, 7, 0.5, 7]) == pytest.approx(-(log(0.2) + 0.5 * log(0.8)) / weighted)
    gradient = loss.with_gradient(labels, ROWS)[1]
    np.testing.assert_array_equal(gradient[[1, 3]], np.zeros((2, 3)))
    assert np.abs(gradient[[0, 2]]).min() > 0
    assert loss([ignored] * 4, ROWS) == 0
    column = np.array(labels)[:, np.newaxis]
    assert loss(column, ROWS) == loss(labels, ROWS)
    with pytest.raises(ValueError, match="must hold labels from 0 to 2 for 3 outputs, got 9"):
        loss([0, 9, ignored, 2], ROWS)


def test_an_ignored_class_stays_with_the_logits_that_a_model_trains_on() -> None:
    loss = SparseCategoricalCrossentropy(ignore_class=255, reduction="sum", name="borders")
    on_logits = loss.on_logits(activations.Softmax())
    assert on_logits is not None
    assert on_logits.get_config() == {
        "from_logits": True,
        "ignore_class": 255,
        "reduction": "sum",
        "name": "borders",
    }
    assert on_logits([0, 255], np.log(ROWS[:2])) == pytest.approx(-math.log(0.2))


def test_names_and_reductions_are_configured_as_in_keras() -> None:
    assert MeanSquaredError().name == "mean_squared_error"
    assert Huber(2.0, "sum", "far").get_config() == {"delta": 2.0, "reduction": "sum", "name": "far"}
    assert losses.get(serialize(Huber(2.0, "sum", "far"))).get_config() == Huber(2.0, "sum", "far").get_config()
    assert repr(losses.get({"class_name": "BinaryCrossentropy", "config": {"from_logits": True}})) == repr(
        BinaryCrossentropy(True)
    )
    with pytest.raises(
        ValueError, match=r"huber: reduction must be one of 'sum_over_batch_size', .* or None, got 'avg'"
    ):
        Huber(reduction="avg")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"ignore_class must be an integer or None, got 1\.5"):
        SparseCategoricalCrossentropy(ignore_class=1.5)  # type: ignore[arg-type]


@pytest.mark.parametrize("sign", [1, -1])
def test_logits_of_1e4_give_a_finite_loss_and_the_right_gradient(sign: int) -> None:
    z = np.array([[sign * 1e4, 0]], np.float32)
    lost = 0.0 if sign > 0 else 1e4
    wrong = 0.0 if sign > 0 else 1.0
    for loss, target in ((CategoricalCrossentropy(True), [[1, 0]]), (SparseCategoricalCrossentropy(True), [0])):
        value, gradient = loss.with_gradient(target, z)
        assert value == lost
        np.testing.assert_array_equal(gradient, [[-wrong, wrong]])
    value, gradient = BinaryCrossentropy(True).with_gradient([[1]], z[:, :1])
    assert value == lost
    np.testing.assert_array_equal(gradient, [[-wrong]])


@pytest.mark.parametrize("shape", [(5, 4), (2, 3, 4)])
@pytest.mark.parametrize(
    "loss",
    [
        MeanSquaredError(),
        CategoricalCrossentropy(),
        CategoricalCrossentropy(label_smoothing=0.2),
        CategoricalCrossentropy(from_logits=True),
        CategoricalCrossentropy(from_logits=True, label_smoothing=0.2),
        SparseCategoricalCrossentropy(),
        SparseCategoricalCrossentropy(from_logits=True),
        BinaryCrossentropy(),
        BinaryCrossentropy(from_logits=True, label_smoothing=0.2),
        CategoricalFocalCrossentropy(),
        CategoricalFocalCrossentropy(0.5, 0.5, from_logits=True, label_smoothing=0.2),
        CategoricalFocalCrossentropy(1.0, 0.0, from_logits=True),
        BinaryFocalCrossentropy(),
        BinaryFocalCrossentropy(True, 0.3, 1.5, from_logits=True, label_smoothing=0.2),
        BinaryFocalCrossentropy(True, label_smoothing=0.2),
        KLDivergence(),
        MeanAbsoluteError(),
        Huber(0.3),
        Hinge(),
    ],
    ids=repr,
)
@pytest.mark.parametrize("weighted", [False, True])
def test_gradient_matches_differences(
    loss: Loss, shape: tuple[int, ...], weighted: bool, rng: np.random.Generator
) -> None:
    y_pred = rng.uniform(0.1, 0.9, shape)
    sparse = isinstance(loss, SparseCategoricalCrossentropy)
    y_true = rng.integers(0, 4, shape[:-1]) if sparse else rng.uniform(0, 1, shape)
    weights = rng.uniform(0, 2, shape[0]) if weighted else None
    value, gradient = loss.with_gradient(y_true, y_pred, weights)
    assert value == loss(y_true, y_pred, weights)
    direction, h = rng.standard_normal(shape), 1e-6
    ahead = loss(y_true, y_pred + h * direction, weights)
    behind = loss(y_true, y_pred - h * direction, weights)
    assert (gradient * direction).sum() == pytest.approx((ahead - behind) / (2 * h), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("weighted", [False, True])
def test_sparse_cross_entropy_of_logits_takes_one_softmax(
    weighted: bool, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss = SparseCategoricalCrossentropy(from_logits=True)
    logits, labels = rng.standard_normal((2, 3, 5)), rng.integers(0, 5, (2, 3))
    weights = np.array([0.5, 2.0]) if weighted else None
    one_hot = CategoricalCrossentropy(from_logits=True)
    value, gradient = one_hot.with_gradient(np.eye(5)[labels], logits, weights)
    calls = []
    log_softmax = F.log_softmax
    monkeypatch.setattr(F, "log_softmax", lambda *arguments: calls.append(arguments) or log_softmax(*arguments))
    found, found_gradient = loss.with_gradient(labels, logits, weights)
    assert len(calls) == 1
    assert found == pytest.approx(value, rel=1e-14) == loss(labels, logits, weights)
    np.testing.assert_allclose(found_gradient, gradient, rtol=1e-12, atol=1e-15)


def test_losses_match_torch(torch: ModuleType, rng: np.random.Generator) -> None:
    z, labels = rng.standard_normal((6, 5)), rng.integers(0, 5, 6)
    targets = rng.uniform(0, 1, (6, 5))
    z_torch = torch.tensor(z, requires_grad=True)
    functional = torch.nn.functional
    cases = [
        (SparseCategoricalCrossentropy(True), labels, functional.cross_entropy(z_torch, torch.tensor(labels))),
        (
            BinaryCrossentropy(True),
            targets,
            functional.binary_cross_entropy_with_logits(z_torch, torch.tensor(targets)),
        ),
        (MeanSquaredError(), targets, functional.mse_loss(z_torch, torch.tensor(targets))),
        (MeanAbsoluteError(), targets, functional.l1_loss(z_torch, torch.tensor(targets))),
        (Huber(0.7), targets, functional.huber_loss(z_torch, torch.tensor(targets), delta=0.7)),
    ]
    for loss, y_true, expected in cases:
        value, gradient = loss.with_gradient(y_true, z)
        (expected_gradient,) = torch.autograd.grad(expected, z_torch)
        assert value == pytest.approx(expected.item(), rel=1e-12)
        np.testing.assert_allclose(gradient, expected_gradient.numpy(), rtol=1e-10, atol=1e-14)


def test_float32_outputs_have_float32_gradients() -> None:
    plain = [cls() for cls in losses.CLASSES - {SparseCategoricalCrossentropy}]
    for loss in (*plain, CategoricalCrossentropy(True), BinaryCrossentropy(True), BinaryFocalCrossentropy(True)):
        _, gradient = loss.with_gradient(np.eye(3), np.full((3, 3), 0.5, np.float32), np.ones(3))
        assert gradient.dtype == np.float32, loss


def test_a_single_output_takes_targets_without_an_axis() -> None:
    assert MeanSquaredError()([1.0, 2.0], [[1.0], [4.0]]) == 2


def test_on_logits_is_offered_only_for_the_matching_activation() -> None:
    softmax, sigmoid = activations.Softmax(), activations.Sigmoid()
    assert CategoricalCrossentropy(label_smoothing=0.1).on_logits(softmax).get_config() == {  # type: ignore[union-attr]
        "from_logits": True,
        "label_smoothing": 0.1,
        "reduction": "sum_over_batch_size",
        "name": "categorical_crossentropy",
    }
    assert isinstance(BinaryCrossentropy().on_logits(sigmoid), BinaryCrossentropy)
    for loss, activation in [
        (CategoricalCrossentropy(), sigmoid),
        (CategoricalCrossentropy(True), softmax),
        (CategoricalCrossentropy(), activations.Softmax(axis=1)),
        (BinaryCrossentropy(), softmax),
        (MeanSquaredError(), softmax),
        (CategoricalCrossentropy(), None),
    ]:
        assert loss.on_logits(activation) is None


@pytest.mark.parametrize(
    ("loss", "y_true", "y_pred", "message"),
    [
        ("sparse_categorical_crossentropy", [3], [[0.5, 0.5]], "must hold labels from 0 to 1 for 2 outputs, got 3"),
        ("sparse_categorical_crossentropy", [-1], [[0.5, 0.5]], "must hold labels from 0 to 1 .* got -1"),
        ("sparse_categorical_crossentropy", [0.5], [[0.5, 0.5]], "must hold whole numbers, got 0.5"),
        ("sparse_categorical_crossentropy", [np.nan], [[0.5, 0.5]], "must hold whole numbers, got nan"),
        ("sparse_categorical_crossentropy", [[0, 1]], [[0.5, 0.5]], r"y_true must have shape \(1,\), got \(1, 2\)"),
        ("categorical_crossentropy", [1], [[0.5, 0.5]], r"shape \(1, 2\), got \(1,\); for integer labels use sparse_"),
        ("mse", [1.0, 2.0], [[0.5, 0.5]], r"mean_squared_error: y_true must have the outputs' shape \(1, 2\), got"),
        ("mse", np.ones((0, 2)), np.ones((0, 2)), "y_pred must hold at least one sample"),
    ],
)
def test_unfit_targets_are_refused(loss: str, y_true: object, y_pred: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        losses.get(loss)(y_true, y_pred)  # type: ignore[arg-type]


def test_unfit_sample_weights_and_names_are_refused() -> None:
    with pytest.raises(ValueError, match=r"sample_weight must have shape \(2,\), got \(3,\)"):
        MeanSquaredError()([[1.0], [2.0]], [[1.0], [2.0]], [1, 1, 1])
    with pytest.raises(ValueError, match=r"loss must be one of 'categorical_crossentropy', .*, got 'mes'"):
        losses.get("mes")
    for cls in (CategoricalCrossentropy, BinaryCrossentropy, CategoricalFocalCrossentropy, BinaryFocalCrossentropy):
        with pytest.raises(ValueError, match=f"{cls.name}: label_smoothing must be from 0 to 1, got 2"):
            cls(label_smoothing=2)
    with pytest.raises(ValueError, match="huber: delta must be greater than 0, got 0"):
        Huber(0)
    with pytest.raises(
        ValueError, match="categorical_focal_crossentropy: gamma must be finite and not negative, got -1"
    ):
        CategoricalFocalCrossentropy(gamma=-1)
    with pytest.raises(ValueError, match="binary_focal_crossentropy: alpha must be finite and not negative, got nan"):
        BinaryFocalCrossentropy(alpha=float("nan"))


def test_functions_of_keras_return_a_value_per_sample_and_stand_for_their_losses() -> None:
    for cls in losses.CLASSES:
        function = getattr(losses, cls.name)
        assert type(losses.get(function)) is cls
        assert losses.get(function).reduction == "sum_over_batch_size"
        assert function.__name__ == cls.name
    rows = np.array([[0.25, 0.75], [0.5, 0.5]])
    values = losses.sparse_categorical_crossentropy([1, 0], rows)
    np.testing.assert_allclose(values, -np.log([0.75, 0.5]), rtol=1e-6)
    logits = losses.categorical_crossentropy(np.eye(2), np.log(rows), from_logits=True)
    np.testing.assert_allclose(logits, -np.log([0.25, 0.5]), rtol=1e-6)
