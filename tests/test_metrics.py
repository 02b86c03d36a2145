"""Metrics and label helpers against hand-worked numbers and scikit-learn."""

import numpy as np
import pytest

from fastconv import metrics, utils
from fastconv.metrics import Accuracy, BinaryAccuracy, Metric, TopKAccuracy, confusion_matrix, top_k


@pytest.mark.parametrize(
    ("y_true", "y_pred", "expected"),
    [
        ([1, 0, 1], [[0.2, 0.8], [0.4, 0.6], [0.3, 0.7]], 2 / 3),
        ([[1], [0]], [[0.2, 0.8], [0.4, 0.6]], 1 / 2),
        ([[0, 1], [1, 0]], [[0.2, 0.8], [0.4, 0.6]], 1 / 2),
        ([1, 0, 1, 1], [[0.6], [0.4], [0.5], [0.9]], 3 / 4),
        ([[1], [0]], [[0.6], [0.7]], 1 / 2),
    ],
    ids=["labels", "labels-column", "one-hot", "binary", "binary-column"],
)
def test_accuracy_chooses_by_shape(y_true: object, y_pred: object, expected: float) -> None:
    metric = Accuracy()
    metric.update_state(y_true, y_pred)  # type: ignore[arg-type]
    assert metric.result() == pytest.approx(expected)


def test_a_metric_is_the_mean_over_samples_not_over_batches() -> None:
    metric = BinaryAccuracy()
    metric.update_state([[1], [1], [1]], [[1.0], [1.0], [1.0]])
    metric.update_state([[1]], [[0.0]])
    assert metric.result() == 0.75
    metric.reset_state()
    assert np.isnan(metric.result())


def test_names_are_kept_as_they_were_given() -> None:
    assert [metrics.get(name).name for name in ("acc", "accuracy", "top_k")] == ["acc", "accuracy", "top_k"]
    with pytest.raises(ValueError, match=r"metric must be one of .* got 'f2'"):
        metrics.get("f2")


def test_a_function_is_a_metric() -> None:
    def largest_error(y_true: np.ndarray, y_pred: np.ndarray) -> float:
        return float(np.abs(y_true - y_pred).max())

    metric: Metric = metrics.get(largest_error)
    metric.update_state([[1.0], [2.0]], [[1.5], [2.0]])
    assert (metric.name, metric.result()) == ("largest_error", 0.5)


def test_top_k_by_hand() -> None:
    y_pred = [[0.5, 0.3, 0.2], [0.1, 0.3, 0.6]]
    assert [top_k([1, 0], y_pred, k) for k in (1, 2, 3)] == [0, 0.5, 1]
    assert top_k(np.eye(3)[[1, 0]], y_pred, 2) == 0.5
    metric = TopKAccuracy(k=2)
    metric.update_state([1, 0], y_pred)
    assert metric.result() == 0.5
    with pytest.raises(ValueError, match="top_k: k must be at least 1, got 0"):
        top_k([1], [[1.0, 2.0]], 0)


def test_confusion_matrix_has_true_classes_as_rows(rng: np.random.Generator) -> None:
    np.testing.assert_array_equal(confusion_matrix([0, 0, 2], [0, 1, 2]), [[1, 1, 0], [0, 0, 0], [0, 0, 1]])
    assert confusion_matrix([], [], 2).shape == (2, 2)
    sklearn_metrics = pytest.importorskip("sklearn.metrics")
    true, predicted = rng.integers(0, 7, (2, 500))
    np.testing.assert_array_equal(confusion_matrix(true, predicted), sklearn_metrics.confusion_matrix(true, predicted))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([0, 1], [0]), ValueError, r"y_pred must have y_true's shape \(2,\), got \(1,\)"),
        (([0, 2], [0, 1], 2), ValueError, "y_true must hold labels from 0 to 1, got 2"),
        (([0, 1], [0, -1]), ValueError, "y_pred must hold labels from 0 to 1, got -1"),
        (([0.0, 1.0], [0, 1]), TypeError, "y_true must hold integers, got float64"),
    ],
)
def test_confusion_matrix_refuses(arguments: tuple[object, ...], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"confusion_matrix: {message}"):
        confusion_matrix(*arguments)  # type: ignore[arg-type]


def test_unsigned_labels_as_data_sets_have_them() -> None:
    labels = np.array([0, 2, 2], np.uint8)
    np.testing.assert_array_equal(metrics.confusion_matrix(labels, labels), np.diag([1, 0, 2]))
    np.testing.assert_array_equal(utils.to_categorical(labels), [[1, 0, 0], [0, 0, 1], [0, 0, 1]])


def test_to_categorical() -> None:
    np.testing.assert_array_equal(utils.to_categorical([[1], [0]], 3), [[0, 1, 0], [1, 0, 0]])
    assert utils.to_categorical(np.zeros((2, 3), np.uint8), 4).shape == (2, 3, 4)
    with pytest.raises(ValueError, match="to_categorical: x must hold labels from 0 to 2, got 3"):
        utils.to_categorical([3], 3)
    with pytest.raises(ValueError, match="got -1"):
        utils.to_categorical([-1, 1])
    with pytest.raises(TypeError, match="must hold integers, got float64"):
        utils.to_categorical([0.5])
