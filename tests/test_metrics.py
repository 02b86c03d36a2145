"""Metrics and label helpers against hand-worked numbers and scikit-learn."""

import sys
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastconv as fc
from fastconv import losses, metrics, utils
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
    with pytest.raises(ValueError, match="top_k: k must be an integer from 1 on, got 0"):
        top_k([1], [[1.0, 2.0]], 0)
    with pytest.raises(TypeError, match="TopKAccuracy: k must be a number, got 'x'"):
        TopKAccuracy("x")  # type: ignore[arg-type]


@pytest.mark.parametrize("outputs", [[np.nan, 0.1, 0.2], [0.9, np.nan, 0.2]], ids=["its-own", "another"])
def test_a_nan_is_never_among_the_best(outputs: list[float]) -> None:
    assert top_k([0], [outputs], 3) == 0


@pytest.mark.parametrize(
    ("y_true", "y_pred", "message"),
    [
        ([3], [[0.1, 0.9]], "y_true must hold labels from 0 to 1, got 3"),
        ([-1], [[0.1, 0.9]], "y_true must hold labels from 0 to 1, got -1"),
        ([0, 1], [[0.1, 0.9]], r"y_true must have shape \(1,\) or \(1, 2\), got \(2,\)"),
        ([0], [0.1, 0.9], r"y_pred must have shape \(n, classes\), at least \(1, 1\), got \(2,\)"),
        ([], np.empty((0, 3)), r"y_pred must have shape .*, got \(0, 3\)"),
    ],
)
@pytest.mark.parametrize("function", [metrics.top_k, metrics.cross_entropy])
def test_functions_of_outputs_refuse(function, y_true, y_pred, message) -> None:
    with pytest.raises(ValueError, match=f"{function.__name__}: {message}"):
        function(y_true, y_pred)


def test_cross_entropy_by_hand() -> None:
    probabilities = np.array([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]])
    expected = -(np.log(0.25) + np.log(0.8)) / 2
    assert metrics.cross_entropy([1, 2], probabilities) == pytest.approx(expected)
    assert metrics.cross_entropy(np.eye(3)[[1, 2]], probabilities) == pytest.approx(expected)
    assert metrics.cross_entropy([1, 2], np.log(probabilities) + 7, from_logits=True) == pytest.approx(expected)


def test_outputs_count_as_the_class_with_the_largest(rng: np.random.Generator) -> None:
    true, outputs = rng.integers(0, 4, 30), rng.normal(size=(30, 4))
    predicted = outputs.argmax(axis=1)
    assert metrics.accuracy(true, outputs) == metrics.accuracy(true, predicted) == (true == predicted).mean()
    np.testing.assert_array_equal(confusion_matrix(true, outputs), confusion_matrix(true, predicted, 4))
    assert confusion_matrix([0], [[0.1, 0.2, 0.0]]).shape == (3, 3)


labels = st.integers(1, 40).flatmap(
    lambda n: st.tuples(*[st.lists(st.integers(0, 4), min_size=n, max_size=n)] * 2).map(np.array)
)


@pytest.fixture(scope="module")
def sklearn_metrics():
    return pytest.importorskip("sklearn.metrics")


@pytest.mark.usefixtures("sklearn_metrics")
class TestAgainstScikitLearn:
    @given(pair=labels)
    def test_figures_of_all_classes(self, sklearn_metrics, pair) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            correlation, kappa = (sklearn_metrics.matthews_corrcoef(*pair), sklearn_metrics.cohen_kappa_score(*pair))
        assert metrics.accuracy(*pair) == sklearn_metrics.accuracy_score(*pair)
        assert metrics.matthews_corrcoef(*pair) == correlation
        np.testing.assert_equal(metrics.cohen_kappa(*pair), kappa)

    @given(pair=labels)
    @pytest.mark.parametrize("name", ["precision", "recall", "f1"])
    @pytest.mark.parametrize("average", ["macro", "micro", "weighted"])
    def test_averages(self, sklearn_metrics, pair, name, average) -> None:
        expected = getattr(sklearn_metrics, f"{name}_score")(*pair, average=average, zero_division=0)
        assert getattr(metrics, name)(*pair, average) == expected

    @given(pair=labels)
    def test_class_by_class_as_the_confusion_matrix_has_it(self, pair) -> None:
        counts = confusion_matrix(*pair, 5)
        right = np.diag(counts)
        shares = {
            "precision": right / np.maximum(counts.sum(axis=0), 1),
            "recall": right / np.maximum(counts.sum(axis=1), 1),
            "f1": 2 * right / np.maximum(counts.sum(axis=0) + counts.sum(axis=1), 1),
        }
        for name, expected in shares.items():
            np.testing.assert_allclose(getattr(metrics, name)(*pair, None, 5), expected, rtol=1e-12)
        assert len(metrics.recall(*pair, None)) == pair.max() + 1

    def test_outputs_are_taken(self, rng) -> None:
        true, outputs = rng.integers(0, 3, 50), rng.normal(size=(50, 3))
        for function in (metrics.cohen_kappa, metrics.matthews_corrcoef, metrics.precision, metrics.f1):
            assert function(true, outputs) == function(true, outputs.argmax(axis=1))

    def test_one_class_only_is_no_warning(self) -> None:
        assert np.isnan(metrics.cohen_kappa([1, 1], [1, 1]))
        assert metrics.matthews_corrcoef([1, 1], [1, 1]) == 0
        assert metrics.precision([0, 1], [0, 0], None).tolist() == [0.5, 0]

    def test_average_must_be_known(self) -> None:
        with pytest.raises(ValueError, match=r"recall: average must be 'macro', .* or None, got 'binary'"):
            metrics.recall([0], [0], "binary")


@pytest.mark.parametrize("name", ["cohen_kappa", "matthews_corrcoef", "precision", "recall", "f1"])
def test_missing_scikit_learn_says_what_to_install(name, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ImportError, match=rf'{name} needs scikit-learn: pip install "fastconv\[demo\]"'):
        getattr(metrics, name)([0, 1], [0, 1])


def test_no_labels_are_a_value_error() -> None:
    with pytest.raises(ValueError, match="accuracy: y_true must hold at least one label, got none"):
        metrics.accuracy([], [])


class TestStreaming:
    """Metrics of a model: batches of unequal size must give what all the data give at once."""

    @pytest.fixture
    def data(self, rng):
        outputs = np.exp(rng.normal(size=(50, 4)))
        return rng.integers(0, 4, 50), (outputs / outputs.sum(axis=1, keepdims=True)).astype(np.float32)

    def fed(self, metric, y_true, y_pred):
        for part in (slice(0, 7), slice(7, 40), slice(40, None)):
            metric.update_state(y_true[part], y_pred[part])
        return metric.result()

    @pytest.mark.parametrize(
        "name", ["top_k", "top_k_categorical_accuracy", "sparse_top_k_categorical_accuracy", "accuracy", "acc"]
    )
    def test_shares(self, data, name) -> None:
        metric, (y_true, y_pred) = metrics.get(name), data
        k = 1 if name in ("accuracy", "acc") else 2
        if k == 2:
            metric.k = 2
        assert metric.name == name
        for targets in (y_true, y_true[:, np.newaxis], np.eye(4)[y_true]):
            metric.reset_state()
            assert self.fed(metric, targets, y_pred) == pytest.approx(top_k(y_true, y_pred, k))

    @pytest.mark.parametrize("name", ["crossentropy", "cross_entropy", "ce", "sparse_categorical_crossentropy"])
    def test_cross_entropy_of_labels(self, data, name) -> None:
        assert self.fed(metrics.get(name), *data) == pytest.approx(metrics.cross_entropy(*data))

    @pytest.mark.parametrize("name", ["crossentropy", "categorical_crossentropy"])
    def test_cross_entropy_of_rows(self, data, name) -> None:
        rows = np.eye(4, dtype=np.float32)[data[0]]
        assert self.fed(metrics.get(name), rows, data[1]) == pytest.approx(metrics.cross_entropy(*data))

    @pytest.mark.parametrize("name", ["crossentropy", "binary_crossentropy"])
    def test_cross_entropy_of_one_output(self, data, name) -> None:
        targets, outputs = data[0] % 2, data[1][:, :1]
        expected = losses.BinaryCrossentropy()(targets, outputs)
        assert self.fed(metrics.get(name), targets, outputs) == pytest.approx(expected)

    @pytest.mark.parametrize(("name", "power"), [("mse", 2), ("mae", 1)])
    def test_distances(self, rng, name, power) -> None:
        targets, outputs = rng.normal(size=20), rng.normal(size=(20, 1))
        expected = (np.abs(targets - outputs[:, 0]) ** power).mean()
        assert self.fed(metrics.get(name), targets, outputs) == pytest.approx(expected)

    @pytest.mark.parametrize("name", ["precision", "recall"])
    @pytest.mark.parametrize("class_id", [None, 2])
    @pytest.mark.parametrize("threshold", [0.2, 0.5])
    def test_precision_and_recall(self, sklearn_metrics, data, name, class_id, threshold) -> None:
        y_true, y_pred = data
        rows, above = np.eye(4)[y_true], y_pred > threshold
        chosen = slice(None) if class_id is None else class_id
        expected = getattr(sklearn_metrics, f"{name}_score")(rows[:, chosen].ravel(), above[:, chosen].ravel())
        for targets in (y_true, rows):
            metric = metrics.Precision if name == "precision" else metrics.Recall
            assert self.fed(metric(threshold, class_id), targets, y_pred) == pytest.approx(expected)

    def test_nothing_predicted_is_a_precision_of_zero(self) -> None:
        metric = metrics.Precision()
        assert metric.result() == 0
        metric.update_state([0, 1], [[0.4, 0.3], [0.4, 0.3]])
        assert metric.result() == 0

    def test_k_must_be_positive(self) -> None:
        with pytest.raises(ValueError, match="TopKCategoricalAccuracy: k must be an integer from 1 on, got 0"):
            metrics.TopKCategoricalAccuracy(0)

    @pytest.mark.parametrize("cls", sorted(metrics.CLASSES, key=lambda cls: cls.__name__))
    def test_configuration_makes_an_equal_metric(self, cls) -> None:
        metric = cls()
        assert repr(metrics.get({"class_name": cls.__name__, "config": metric.get_config()})) == repr(metric)

    def test_a_model_follows_them(self, rng) -> None:
        model = fc.Sequential([fc.layers.Dense(4, activation="softmax", input_shape=(6,))])
        wanted = ["acc", "top_k", "ce", "precision", metrics.Recall(0.2)]
        model.compile("sgd", "sparse_categorical_crossentropy", metrics=wanted)
        x, y = rng.normal(size=(40, 6)), rng.integers(0, 4, 40)
        found = model.evaluate(x, y, batch_size=16, verbose=0, return_dict=True)
        assert list(found) == ["loss", "acc", "top_k", "ce", "precision", "recall"]
        assert found["ce"] == pytest.approx(found["loss"])
        assert found["top_k"] == 1
        assert found["acc"] == pytest.approx(metrics.accuracy(y, model.predict(x)))


class TestWeights:
    """``sum(w * v) / sum(w)``; the figures of the planes are those of Keras 3.15 as well."""

    TRUE = np.array([[[1, 0], [0, 1], [1, 1]], [[0, 0], [1, 0], [1, 1]]])
    PREDICTED = np.array([[[0.9, 0.6], [0.2, 0.8], [0.1, 0.7]], [[0.6, 0.4], [0.7, 0.1], [0.3, 0.2]]])
    # Where PREDICTED > 0.5 is right: 1 0 / 1 1 / 0 1 and 0 1 / 1 1 / 0 0.

    @pytest.mark.parametrize(
        ("weights", "expected"),
        [
            ([1, 3], (4 + 3 * 3) / (6 + 3 * 6)),
            ([[1], [3]], (4 + 3 * 3) / (6 + 3 * 6)),
            ([[1, 2, 3], [4, 5, 6]], (1 + 4 + 3 + 4 + 10) / (2 * 21)),
            ([[[1], [2], [3]], [[4], [5], [6]]], (1 + 4 + 3 + 4 + 10) / (2 * 21)),
            (5.0, 7 / 12),
            ([0, 0], 0),
        ],
    )
    def test_of_planes(self, weights, expected) -> None:
        metric = metrics.BinaryAccuracy()
        metric.update_state(self.TRUE, self.PREDICTED, sample_weight=weights)
        assert metric.result() == pytest.approx(expected)

    def test_batches_with_weights_and_without(self) -> None:
        metric = metrics.BinaryAccuracy()
        metric.update_state(self.TRUE, self.PREDICTED)
        metric.update_state(self.TRUE[:1], self.PREDICTED[:1], [2])
        assert metric.result() == pytest.approx((7 + 2 * 4) / (12 + 2 * 6))

    @pytest.mark.parametrize(
        ("name", "values"),
        [
            ("mse", [1, 4, 0]),
            ("mae", [1, 2, 0]),
            ("accuracy", [0, 0, 1]),
            ("binary_crossentropy", -np.log([1e-7, 1e-7, 1 - 1e-7])),
        ],
    )
    def test_of_one_output(self, name, values) -> None:
        metric = metrics.get(name)
        y_true, y_pred = np.array([[0.0], [1], [1]]), np.array([[1.0], [-1 if name in ("mse", "mae") else 0], [1]])
        for weights in ([2, 0.5, 1], [[2], [0.5], [1]]):
            metric.reset_state()
            metric.update_state(y_true, y_pred, weights)
            assert metric.result() == pytest.approx(np.average(values, weights=[2, 0.5, 1]), rel=1e-5)

    @pytest.mark.parametrize("name", ["ce", "sparse_categorical_crossentropy", "sparse_categorical_accuracy", "top_k"])
    def test_of_classes(self, name) -> None:
        y_pred, y_true = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]]), [1, 2]
        metric = metrics.TopKAccuracy(2) if name == "top_k" else metrics.get(name)
        values = {"sparse_categorical_accuracy": [0, 1], "top_k": [1, 1]}.get(name, -np.log([0.3, 0.7]))
        metric.update_state(y_true, y_pred, [3, 1])
        assert metric.result() == pytest.approx(np.average(values, weights=[3, 1]))

    @pytest.mark.parametrize("class_id", [None, 1])
    def test_precision_and_recall_of_samples(self, sklearn_metrics, rng, class_id) -> None:
        y_true, y_pred, weights = rng.integers(0, 2, (20, 3)), rng.random((20, 3)), rng.random(20)
        chosen = slice(None) if class_id is None else slice(class_id, class_id + 1)
        each = np.broadcast_to(weights[:, np.newaxis], (20, 3))[:, chosen].ravel()
        for cls, score in (
            (metrics.Precision, sklearn_metrics.precision_score),
            (metrics.Recall, sklearn_metrics.recall_score),
        ):
            metric = cls(class_id=class_id)
            for part in (slice(0, 7), slice(7, None)):
                metric.update_state(y_true[part], y_pred[part], weights[part])
            expected = score(y_true[:, chosen].ravel(), y_pred[:, chosen].ravel() > 0.5, sample_weight=each)
            assert metric.result() == pytest.approx(expected)

    def test_precision_worked_by_hand(self) -> None:
        metric = metrics.Precision()
        metric.update_state([0, 1, 1, 1], [[0.6], [0.9], [0.8], [0.1]], [4, 2, 2, 9])
        assert metric.result() == 0.5

    def test_of_a_function(self) -> None:
        metric = metrics.get(lambda y_true, y_pred: np.abs(y_true - y_pred))
        metric.update_state([1.0, 2.0], [2.0, 4.0], [3, 1])
        assert metric.result() == (3 * 1 + 2) / 4

    @pytest.mark.parametrize("weights", [[1, 2, 3], [[1, 2]], np.ones((2, 3, 2, 2))])
    def test_that_do_not_fit(self, weights) -> None:
        for metric in (metrics.BinaryAccuracy(), metrics.Recall()):
            with pytest.raises(
                ValueError, match=rf"{metric.name}: sample_weight must have shape \(2,\) or \(2, 3, 2\), got"
            ):
                metric.update_state(self.TRUE, self.PREDICTED, weights)


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


def test_root_mean_squared_error_is_of_all_batches() -> None:
    metric = metrics.get("RootMeanSquaredError")
    metric.update_state([[0.0], [0.0]], [[3.0], [4.0]])
    metric.update_state([[0.0]], [[2.0]], [4])
    assert metric.result() == pytest.approx(((9 + 16 + 4 * 4) / 6) ** 0.5)
    assert metric.name == "root_mean_squared_error"


def test_names_of_classes_and_losses_as_metrics() -> None:
    for name in ("Precision", "Recall", "BinaryAccuracy", "MeanSquaredError"):
        metric = metrics.get(name)
        assert type(metric).__name__ == name
        assert metric.name == type(metric)().name
    metric = metrics.get(losses.mean_absolute_error)
    metric.update_state([[0.0], [0.0]], [[1.0], [4.0]])
    assert (metric.name, metric.result()) == ("mean_absolute_error", 2.5)


class TestAUC:
    TRUE, OUTPUTS = [0, 1, 1, 0, 1, 0], [0.1, 0.9, 0.35, 0.4, 0.35, 0.05]
    WEIGHTS = (1, 2, 0.5, 3, 1, 1)

    @pytest.mark.parametrize(
        ("thresholds", "weights", "roc", "pr"),
        [
            (200, None, 7 / 9, 0.7689509391784668),
            (200, WEIGHTS, 0.7428571581840515, 0.7751164436340332),
            (5, None, 8 / 9, 0.8804662227630615),
            (5, WEIGHTS, 0.8714285492897034, 0.8639562129974365),
        ],
    )
    def test_is_that_of_keras(self, thresholds, weights, roc, pr) -> None:
        # Keras 3.15, in float32.
        for curve, expected in (("ROC", roc), ("PR", pr)):
            metric = metrics.AUC(thresholds, curve)
            for part in (slice(0, 2), slice(2, 6)):
                given = () if weights is None else (weights[part],)
                metric.update_state(self.TRUE[part], self.OUTPUTS[part], *given)
            assert metric.result() == pytest.approx(expected, rel=1e-6)
            again = metrics.get({"class_name": "AUC", "config": metric.get_config()})
            again.update_state(np.array(self.TRUE)[:, None], np.array(self.OUTPUTS)[:, None], weights or 1)
            assert again.result() == pytest.approx(metric.result())
            metric.reset_state()
            assert metric.result() == 0

    def test_roc_is_the_share_of_pairs_in_the_right_order(self, rng) -> None:
        true, outputs, weights = rng.integers(0, 2, 50), rng.integers(0, 100, 50) / 100, rng.random(50)
        for chosen in (np.ones(50), weights):
            metric = metrics.AUC(1000)
            metric.update_state(true, outputs, chosen)
            pairs = np.outer(chosen[true == 1], chosen[true == 0])
            order = np.sign(np.subtract.outer(outputs[true == 1], outputs[true == 0])) / 2 + 0.5
            assert metric.result() == pytest.approx((pairs * order).sum() / pairs.sum())

    def test_one_kind_alone_has_no_area(self) -> None:
        metric = metrics.get("auc")
        metric.update_state([1, 1], [0.2, 0.9])
        assert metric.result() == 0

    def test_a_model_follows_it(self, rng) -> None:
        model = fc.Sequential([fc.layers.Dense(1, activation="sigmoid", input_shape=(3,))])
        model.compile("sgd", "binary_crossentropy", metrics=["AUC"])
        x, y = rng.standard_normal((30, 3)), rng.integers(0, 2, 30)
        found = model.evaluate(x, y, batch_size=7, verbose=0, return_dict=True)
        metric = metrics.AUC()
        metric.update_state(y, model.predict(x))
        assert found["auc"] == pytest.approx(metric.result())

    def test_refuses(self) -> None:
        with pytest.raises(ValueError, match="AUC: num_thresholds must be an integer from 2 on, got 1"):
            metrics.AUC(1)
        with pytest.raises(ValueError, match="AUC: curve must be 'ROC' or 'PR', got 'roc'"):
            metrics.AUC(curve="roc")
        with pytest.raises(ValueError, match="auc: sample_weight must have shape"):
            metrics.AUC().update_state([0, 1], [0.2, 0.4], [1, 2, 3])
