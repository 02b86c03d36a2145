"""Loss functions and their gradients: by hand, against the reference, torch and differences; every form and refusal."""

import re
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastconv.functional as F
from fastconv import reference

ELEMENTWISE = [
    ("mse_loss", {}),
    ("l1_loss", {}),
    ("huber_loss", {}),
    ("huber_loss", {"delta": 0.3}),
    ("smooth_l1_loss", {}),
    ("smooth_l1_loss", {"beta": 0.3}),
    ("smooth_l1_loss", {"beta": 0}),
    ("kl_div", {}),
    ("kl_div", {"log_target": True}),
    ("binary_cross_entropy", {}),
    ("binary_cross_entropy_with_logits", {}),
]
BINARY = ("binary_cross_entropy", "binary_cross_entropy_with_logits")


@dataclass(frozen=True)
class Case:
    """One loss: its name, its arrays, and what else it takes."""

    name: str
    arrays: tuple[Any, ...]
    options: dict[str, Any] = field(default_factory=dict)

    def of(self, module: Any, *grad_output: Any) -> Any:
        function = getattr(module, self.name + ("_backward" if grad_output else ""))
        return function(*grad_output, *self.arrays, **self.options)


def elementwise_case(
    name: str, options: dict[str, Any], shape: tuple[int, ...], dtype: Any, rng: np.random.Generator
) -> Case:
    x, t = rng.standard_normal(shape), rng.uniform(0, 1, shape)
    if name == "binary_cross_entropy":
        x = rng.uniform(0, 1, shape)
    elif name == "kl_div":
        x = -rng.exponential(size=shape)
        t = np.log(t) if options.get("log_target") else np.where(t < 0.2, 0, t)
    return Case(name, (np.asarray(x, dtype), np.asarray(t, dtype)), options)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Case, int]:
    """Draw a loss and a seed for the gradient of its result."""
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    reduction = draw(st.sampled_from(["none", "mean", "sum"]))
    if draw(st.booleans()):
        name, options = draw(st.sampled_from(ELEMENTWISE))
        shape = tuple(draw(st.lists(st.integers(0, 4), max_size=4)))
        options = {**options, "reduction": reduction}
        if name == "kl_div" and shape and draw(st.booleans()):
            options["reduction"] = "batchmean"
        for weight in ("weight", "pos_weight"):
            if weight in ("weight", "pos_weight")[: 1 + name.endswith("logits")] and name in BINARY:
                broadcast = tuple(draw(st.sampled_from([size, 1])) for size in shape)[
                    draw(st.integers(0, len(shape))) :
                ]
                options[weight] = rng.uniform(0.5, 2, broadcast).astype(dtype)
        return elementwise_case(name, options, shape, dtype, rng), int(rng.integers(2**16))
    name = draw(st.sampled_from(["cross_entropy", "nll_loss"]))
    classes = draw(st.integers(1, 5))
    data_format = draw(st.sampled_from(["channels_first", "channels_last"]))
    batch = tuple(draw(st.lists(st.integers(0, 4), max_size=3)))
    last = data_format == "channels_last"
    shape = (*batch, classes) if last else (*batch[:1], classes, *batch[1:])
    options = {"reduction": reduction, "data_format": data_format}
    x = rng.standard_normal(shape).astype(dtype)
    target: Any = rng.integers(0, classes, batch)
    if draw(st.booleans()):
        options["weight"] = rng.uniform(0.5, 2, classes).astype(dtype)
    if name == "cross_entropy":
        options["label_smoothing"] = draw(st.sampled_from([0.0, 0.25, 1.0]))
    if name == "cross_entropy" and draw(st.booleans()):
        target = rng.uniform(0, 1, shape).astype(dtype)
    else:
        options["ignore_index"] = draw(st.sampled_from([-100, 0, classes - 1]))
    return Case(name, (x, target), options), int(rng.integers(2**16))


@given(cases())
def test_values_and_gradients_match_the_reference(drawn: tuple[Case, int]) -> None:
    case, seed = drawn
    dtype = case.arrays[0].dtype
    tolerance = {"rtol": 50 * np.finfo(dtype).eps, "atol": 50 * np.finfo(dtype).eps}
    before = [array.copy() for array in case.arrays]
    loss, expected = case.of(F), case.of(reference)
    assert (loss.shape, loss.dtype) == (expected.shape, dtype)
    np.testing.assert_allclose(loss, expected, **tolerance)
    grad = np.random.default_rng(seed).standard_normal(loss.shape).astype(dtype)
    gradient, expected = case.of(F, grad), case.of(reference, grad)
    assert (gradient.shape, gradient.dtype) == (case.arrays[0].shape, dtype)
    assert gradient.flags.c_contiguous
    np.testing.assert_allclose(gradient, expected, **tolerance)
    for array, kept in zip(case.arrays, before, strict=True):
        np.testing.assert_array_equal(array, kept)


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides the total loss")  # kl_div's; it does as it says
@given(cases())
def test_values_and_gradients_match_torch(torch: ModuleType, drawn: tuple[Case, int]) -> None:
    case, seed = drawn
    options = {
        key: torch.from_numpy(value) if isinstance(value, np.ndarray) else value for key, value in case.options.items()
    }
    x, target = (torch.from_numpy(np.array(array)) for array in case.arrays)
    if options.pop("data_format", None) == "channels_last" and x.ndim > 1:
        x, target = x.movedim(-1, 1).contiguous(), target.movedim(-1, 1) if target.ndim == x.ndim else target
    x.requires_grad_()
    expected = getattr(torch.nn.functional, case.name)(x, target, **options)
    loss = case.of(F)
    eps = np.finfo(loss.dtype).eps
    assert loss.shape == tuple(expected.shape)
    np.testing.assert_allclose(loss, expected.detach().numpy(), rtol=100 * eps, atol=100 * eps)
    grad = np.random.default_rng(seed).standard_normal(loss.shape).astype(loss.dtype)
    (expected,) = torch.autograd.grad(expected, x, torch.from_numpy(np.asarray(grad)))
    if case.options.get("data_format") == "channels_last" and x.ndim > 1:
        expected = expected.movedim(1, -1)
    # A mean over ignored samples only is NaN in both; its gradient is 0 here, with label smoothing NaN in torch.
    np.testing.assert_allclose(case.of(F, grad), expected.nan_to_num(0).numpy(), rtol=200 * eps, atol=200 * eps)


@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss", *dict(ELEMENTWISE)])
def test_gradient_matches_differences(name: str, rng: np.random.Generator) -> None:
    if name in dict(ELEMENTWISE):
        case = elementwise_case(name, {}, (3, 4), np.float64, rng)
    else:
        case = Case(name, (rng.standard_normal((3, 4)), [1, 3, 0]), {"weight": [1.0, 2, 3, 4]})
    x, target = case.arrays
    direction, h = rng.standard_normal(x.shape), 1e-6
    ahead, behind = (Case(name, (x + step * direction, target), case.options).of(F) for step in (h, -h))
    assert (case.of(F, 1.0) * direction).sum() == pytest.approx((ahead - behind) / (2 * h), rel=1e-6)


class TestByHand:
    def test_cross_entropy_of_the_lectures(self) -> None:
        log_p = np.log([[0.9, 0.1], [0.1, 0.9], [0.4, 0.6]])
        expected = -(np.log(0.9) + np.log(0.9) + np.log(0.4)) / 3
        assert F.cross_entropy(log_p, [0, 1, 0]) == pytest.approx(expected)
        assert F.nll_loss(log_p, [0, 1, 0]) == pytest.approx(expected)
        assert F.cross_entropy(log_p, np.eye(2)[[0, 1, 0]]) == pytest.approx(expected)

    def test_ignored_samples_count_neither_above_nor_below(self) -> None:
        x = np.array([[0.0, 0.0], [np.nan, np.inf], [0.0, 0.0]])
        assert F.cross_entropy(x[[0, 2]], [0, 1]) == pytest.approx(np.log(2))
        with np.errstate(invalid="ignore"):
            assert F.nll_loss(x, [0, -100, 1], reduction="none").tolist() == [0, 0, 0]
            np.testing.assert_array_equal(F.nll_loss_backward(1.0, x, [0, -100, 1])[1], 0)

    def test_weights_divide_the_mean_of_labels_but_not_of_probabilities(self) -> None:
        x, w = np.zeros((2, 2)), [1.0, 3.0]
        assert F.cross_entropy(x, [0, 1], w, reduction="sum") == pytest.approx(4 * np.log(2))
        assert F.cross_entropy(x, [0, 1], w) == pytest.approx(np.log(2))
        assert F.cross_entropy(x, np.eye(2), w) == pytest.approx(2 * np.log(2))

    def test_pos_weight_and_weight(self) -> None:
        x, t = np.zeros(2), [1.0, 0.0]
        loss = F.binary_cross_entropy_with_logits(x, t, [2.0, 1.0], "none", [5.0, 7.0])
        np.testing.assert_allclose(loss, [2 * 5 * np.log(2), np.log(2)])

    def test_batchmean_is_the_divergence_of_the_textbooks(self) -> None:
        p, q = np.array([[0.5, 0.25, 0.25]] * 2), np.array([[1.0, 0, 0], [0.5, 0.25, 0.25]])
        assert F.kl_div(np.log(p), q, "batchmean") == pytest.approx(np.log(2) / 2)


class TestExtremes:
    def test_cross_entropy_of_logits_of_1e4(self) -> None:
        x = np.array([[1e4, -1e4]], np.float32)
        for label, lost in ((0, 0.0), (1, 2e4)):
            assert F.cross_entropy(x, [label]) == lost
            np.testing.assert_array_equal(F.cross_entropy_backward(1.0, x, [label]), [[label, -label]])

    def test_binary_cross_entropy_of_logits_of_1e4(self) -> None:
        x = np.array([1e4, -1e4], np.float32)
        np.testing.assert_array_equal(F.binary_cross_entropy_with_logits(x, [1, 1], reduction="none"), [0, 1e4])
        gradient = F.binary_cross_entropy_with_logits_backward(1.0, x, [1.0, 1.0], reduction="sum")
        np.testing.assert_array_equal(gradient, [0, -1])

    def test_probabilities_0_and_1_are_finite(self) -> None:
        np.testing.assert_array_equal(F.binary_cross_entropy([0.0, 1.0], [1.0, 0.0], reduction="none"), [100, 100])
        gradient = F.binary_cross_entropy_backward(1.0, [0.0, 1.0], [1.0, 0.0], reduction="sum")
        np.testing.assert_array_equal(gradient, [-1e12, 1e12])

    def test_nan_propagates(self) -> None:
        for name, options in ELEMENTWISE:
            assert np.isnan(Case(name, ([0.5, np.nan], [0.5, 0.5]), options).of(F))
        assert np.isnan(F.cross_entropy([[np.nan, 0.0]], [1]))


class TestForms:
    def test_empty_batches_have_a_mean_of_nan_and_a_sum_of_0(self) -> None:
        empty = np.zeros((0, 3), np.float32)
        assert np.isnan(F.mse_loss(empty, empty))
        assert np.isnan(F.cross_entropy(empty, np.zeros(0, int)))
        assert F.cross_entropy(empty, np.zeros(0, int), reduction="sum") == 0
        assert F.cross_entropy_backward(1.0, empty, np.zeros(0, int)).shape == (0, 3)
        assert F.mse_loss_backward(1.0, empty, empty).shape == (0, 3)

    def test_dtypes_follow_the_rule_of_all_functions(self) -> None:
        x = np.ones((2, 3), np.float32)
        for dtype, result in ((np.float16, np.float16), (np.float64, np.float64), (np.int8, np.float32)):
            assert F.mse_loss(x.astype(dtype), x.astype(dtype)).dtype == result
            assert F.cross_entropy(x.astype(dtype), [0, 1]).dtype == result
            assert F.cross_entropy_backward(1.0, x.astype(dtype), [0, 1]).dtype == result
        assert F.mse_loss(x, 0).dtype == np.float32
        assert F.mse_loss_backward(np.float64(1), x, x).dtype == np.float64
        assert F.binary_cross_entropy_with_logits_backward(0.5, x, x, 2.0).dtype == np.float32

    def test_non_contiguous_and_read_only_arrays(self, rng: np.random.Generator) -> None:
        wide = rng.standard_normal((4, 6))
        wide.flags.writeable = False
        x = wide[::2, ::-2]
        assert F.cross_entropy(x, [0, 2]) == F.cross_entropy(x.copy(), [0, 2])
        assert F.huber_loss(x.T, x.T) == 0

    def test_other_shapes_are_broadcast_with_a_warning(self, rng: np.random.Generator) -> None:
        x, t = rng.standard_normal((3, 1)), rng.standard_normal(4)
        with pytest.warns(UserWarning, match=r"mse_loss: target has shape \(4,\), the input \(3, 1\)") as caught:
            loss = F.mse_loss(x, t)
        assert caught[0].filename == __file__
        assert loss == pytest.approx(((x - t) ** 2).mean())
        with pytest.warns(UserWarning, match="rarely meant"):
            gradient = F.mse_loss_backward(1.0, x, t)
        np.testing.assert_allclose(gradient, (2 * (x - t) / 12).sum(axis=1, keepdims=True))


X, T = np.full((2, 3), 0.5), np.zeros((2, 3))
REFUSED = [
    ("mse_loss", (X, T, "avg"), {}, ValueError, "mse_loss: reduction must be one of 'none', 'mean', 'sum', got 'avg'"),
    (
        "kl_div",
        (X, T, "avg"),
        {},
        ValueError,
        "kl_div: reduction must be one of 'none', 'mean', 'sum', 'batchmean', got 'avg'",
    ),
    ("l1_loss", (X, T[:, :2]), {}, ValueError, "l1_loss: target must have the input's shape (2, 3), got (2, 2)"),
    ("mse_loss", (X, T * 1j), {}, TypeError, "mse_loss: target must have a boolean, integer, float16,"),
    ("huber_loss", (X, T), {"delta": 0}, ValueError, "huber_loss: delta must be finite and be greater than 0, got 0"),
    (
        "smooth_l1_loss",
        (X, T),
        {"beta": -1},
        ValueError,
        "smooth_l1_loss: beta must be finite and not be negative, got -1",
    ),
    (
        "mse_loss_backward",
        (T, X, T),
        {},
        ValueError,
        "mse_loss_backward: grad_output must have shape (), that of a loss with reduction='mean', got (2, 3)",
    ),
    (
        "mse_loss_backward",
        (1.0, X, T, "none"),
        {},
        ValueError,
        "mse_loss_backward: grad_output must have shape (2, 3), that of the loss, got ()",
    ),
    (
        "binary_cross_entropy",
        (X, T[0]),
        {},
        ValueError,
        "binary_cross_entropy: target must have shape (2, 3), that of input, got (3,)",
    ),
    (
        "binary_cross_entropy",
        (X, T, [1.0, 2.0]),
        {},
        ValueError,
        "binary_cross_entropy: weight must have a shape that broadcasts to (2, 3), got (2,)",
    ),
    (
        "binary_cross_entropy_with_logits",
        (X, T),
        {"pos_weight": np.ones((4, 2, 3))},
        ValueError,
        "binary_cross_entropy_with_logits: pos_weight must have a shape that broadcasts to (2, 3), got (4, 2, 3)",
    ),
    (
        "binary_cross_entropy",
        (X + 1, T),
        {},
        ValueError,
        "binary_cross_entropy: input must hold probabilities from 0 to 1, got 1.5",
    ),
    (
        "binary_cross_entropy_backward",
        (1.0, X - 1, T),
        {},
        ValueError,
        "binary_cross_entropy_backward: input must hold probabilities from 0 to 1, got -0.5",
    ),
    (
        "cross_entropy",
        (X, [0]),
        {},
        ValueError,
        "cross_entropy: target must have shape (2,), that of input without the axis of classes, got (1,)",
    ),
    ("cross_entropy", (X, [0, 3]), {}, ValueError, "cross_entropy: target must hold labels from 0 to 2, got 3"),
    ("nll_loss", (X, [-1, 0]), {}, ValueError, "nll_loss: target must hold labels from 0 to 2, got -1"),
    (
        "cross_entropy",
        (X, [0.0, 1.0]),
        {},
        TypeError,
        "cross_entropy: target must hold integers, the labels, got float64",
    ),
    (
        "nll_loss",
        (X, T),
        {},
        ValueError,
        "nll_loss: target must have shape (2,), that of input without the axis of classes, got (2, 3)",
    ),
    (
        "cross_entropy",
        (X, [0, 1], [1.0, 1.0]),
        {},
        ValueError,
        "cross_entropy: weight must have shape (3,) for 3 classes, got (2,)",
    ),
    (
        "cross_entropy",
        (X, [0, 1]),
        {"label_smoothing": 2},
        ValueError,
        "cross_entropy: label_smoothing must be from 0 to 1, got 2",
    ),
    (
        "cross_entropy",
        (X, [0, 1]),
        {"ignore_index": 0.5},
        TypeError,
        "cross_entropy: ignore_index must be an integer, got 0.5",
    ),
    ("cross_entropy", (1.0, 1), {}, ValueError, "cross_entropy: input must have an axis of classes, got a scalar"),
    ("nll_loss", (X, [0, 1]), {"data_format": "NCHW"}, ValueError, "nll_loss: data_format must be 'channels_first'"),
]


@pytest.mark.parametrize(("name", "arguments", "options", "error", "text"), REFUSED)
def test_refusals(
    name: str, arguments: tuple[Any, ...], options: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=f"^{re.escape(text)}"):
        getattr(F, name)(*arguments, **options)


class TestOneHot:
    @pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
    def test_rows_of_the_unit_matrix(self, dtype: type) -> None:
        labels = np.array([[0, 2], [1, 1]], dtype)
        for arguments, classes in (((), 3), ((-1,), 3), ((5,), 5)):
            rows = F.one_hot(labels, *arguments)
            assert rows.dtype == np.int64
            np.testing.assert_array_equal(rows, np.eye(classes, dtype=int)[labels])
        np.testing.assert_array_equal(F.one_hot(2), [0, 0, 1])
        np.testing.assert_array_equal(F.one_hot([0]), [[1]])
        assert F.one_hot(np.zeros((3, 0), int), num_classes=4).shape == (3, 0, 4)

    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            (([0.0, 1.0],), TypeError, "one_hot: input must hold integers, got float64"),
            (([0, -1],), ValueError, "one_hot: input must hold class numbers from 0 to 0, got -1"),
            (([0, 3], 3), ValueError, "one_hot: input must hold class numbers from 0 to 2, got 3"),
            (([0], 0), ValueError, "one_hot: num_classes must be -1 or at least 1, got 0"),
            (([0], 2.0), TypeError, "one_hot: num_classes must be an integer, got 2.0"),
            (([],), ValueError, r"one_hot: num_classes must be given for an input without values, got shape \(0,\)"),
        ],
    )
    def test_refuses(self, arguments: tuple[object, ...], error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            F.one_hot(*arguments)  # type: ignore[arg-type]

    def test_is_that_of_torch(self, torch: ModuleType) -> None:
        labels = np.array([[3, 0, 1], [2, 2, 0]])
        for classes in (-1, 6):
            expected = torch.nn.functional.one_hot(torch.from_numpy(labels), classes).numpy()
            np.testing.assert_array_equal(F.one_hot(labels, classes), expected)
            assert F.one_hot(labels, classes).dtype == expected.dtype
