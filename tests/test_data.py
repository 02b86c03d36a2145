"""Training data as Keras documents it: weights of classes and samples, the validation split, what yields batches."""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fastconv as fc
from fastconv import utils
from fastconv.layers import Activation, Add, Dense, Subtract
from fastconv.optimizers import SGD

# The model is the identity and its loss y**2 where x is 0: the loss of an epoch says what was counted how.
LOSSES = np.array([1.0, 4.0, 9.0, 16.0])
X, Y = np.zeros((4, 1)), np.sqrt(LOSSES)[:, np.newaxis]


def identity() -> fc.Sequential:
    model = fc.Sequential([Activation("linear", input_shape=(1,))])
    model.compile("sgd", "mse")
    return model


def epoch_loss(x: Any, y: Any = None, **options: Any) -> float:
    loss: float = identity().fit(x, y, verbose=0, shuffle=False, **options).history["loss"][0]
    return loss


class TestWeights:
    def test_sample_weights_multiply_and_the_divisor_stays_the_number_of_samples(self) -> None:
        assert epoch_loss(X, Y, sample_weight=[1, 0, 2, 0.5]) == pytest.approx((1 + 18 + 8) / 4)
        assert identity().evaluate(X, Y, sample_weight=np.array([1, 0, 2, 0.5]), verbose=0) == pytest.approx(27 / 4)

    def test_weights_of_positions_within_a_sample(self) -> None:
        model = fc.Sequential([Activation("linear", input_shape=(2, 1))])
        model.compile("sgd", "mse")
        y, weights = Y.reshape(2, 2, 1), [[1.0, 0.0], [0.0, 3.0]]
        assert model.evaluate(np.zeros((2, 2, 1)), y, sample_weight=weights, verbose=0) == pytest.approx((1 + 48) / 4)

    def test_classes_without_a_weight_count_once(self) -> None:
        y = np.array([0, 1, 2, 1])
        model = fc.Sequential([Dense(3, input_shape=(1,), kernel_initializer="zeros")])
        model.compile(SGD(0.0), fc.losses.SparseCategoricalCrossentropy(from_logits=True))
        history = model.fit(X, y, class_weight={1: 3.0}, verbose=0).history
        assert history["loss"][0] == pytest.approx((1 + 3 + 1 + 3) / 4 * np.log(3))

    @pytest.mark.parametrize("form", ["one-hot", "column"])
    def test_classes_of_one_hot_rows_and_columns(self, form: str) -> None:
        labels = np.array([0, 1, 1, 0])
        y = utils.to_categorical(labels, 2) if form == "one-hot" else labels[:, np.newaxis]
        loss: Any = fc.losses.CategoricalCrossentropy if form == "one-hot" else fc.losses.SparseCategoricalCrossentropy
        model = fc.Sequential([Dense(2, input_shape=(1,), kernel_initializer="zeros")])
        model.compile(SGD(0.0), loss(from_logits=True))
        history = model.fit(X, y, class_weight={0: 2.0, 1: 0.5}, verbose=0).history
        assert history["loss"][0] == pytest.approx((2 + 0.5 + 0.5 + 2) / 4 * np.log(2))

    def test_weights_of_class_and_sample_multiply(self) -> None:
        """Keras refuses both at once; their product is the only thing that they can mean."""
        y = np.array([[0.0], [1.0], [1.0], [2.0]])
        loss = epoch_loss(X, y, class_weight={1: 3.0, 2: 0.5}, sample_weight=[1, 2, 0, 1])
        assert loss == pytest.approx((0 + 1 * 3 * 2 + 0 + 4 * 0.5) / 4)

    def test_weights_of_class_and_position_multiply(self) -> None:
        model = fc.Sequential([Activation("linear", input_shape=(4, 1))])
        model.compile("sgd", "mse")
        y, weights = np.eye(4)[[0, 1, 2, 1]], np.arange(16.0).reshape(4, 4)
        history = model.fit(np.zeros((4, 4, 1)), y, class_weight={1: 3.0}, sample_weight=weights, verbose=0).history
        assert history["loss"][0] == pytest.approx((0 + 3 * 5 + 10 + 3 * 13) / 16)

    def test_weights_of_samples_may_be_a_column(self) -> None:
        weights = np.array([[1.0], [0.0], [2.0], [0.5]])
        assert epoch_loss(X, Y, sample_weight=weights) == pytest.approx(27 / 4)
        assert epoch_loss(X, Y, sample_weight=weights, class_weight={3: 2.0}) == pytest.approx((1 + 36 + 8) / 4)
        with pytest.raises(ValueError, match=r"mean_squared_error: sample_weight must have shape \(4,\), got \(4, 2\)"):
            epoch_loss(X, Y, sample_weight=np.ones((4, 2)))

    @pytest.mark.parametrize(
        ("class_weight", "error", "message"),
        [
            ([1.0, 2.0], TypeError, "fit: class_weight must be a mapping of classes to weights, got list"),
            ({1: "2"}, TypeError, r"fit: class_weight\[1\] must be a number, got '2'"),
            ({1: np.nan}, ValueError, r"fit: class_weight\[1\] must be finite, got nan"),
            ({"1": 2.0}, TypeError, "fit: a class of class_weight must be a number, got '1'"),
        ],
    )
    def test_class_weights_that_are_none_are_refused(
        self, class_weight: Any, error: type[Exception], message: str
    ) -> None:
        with pytest.raises(error, match=message):
            epoch_loss(X, Y, class_weight=class_weight)

    def test_several_labels_a_sample_have_no_class(self) -> None:
        model = fc.Sequential([Activation("linear", input_shape=(2, 1))])
        model.compile("sgd", "mse")
        with pytest.raises(
            ValueError, match=r"class_weight must be None where a sample has several labels, got y of \(2"
        ):
            model.fit(np.zeros((2, 2, 1)), np.zeros((2, 2, 1)), class_weight={0: 2.0}, verbose=0)

    def test_metrics_and_validation_are_not_weighted(self) -> None:
        options = {"class_weight": {1: 100.0}, "validation_split": 0.5}
        history = identity().fit(X, Y, verbose=0, **options).history
        assert history["val_loss"] == [pytest.approx((9 + 16) / 2)]
        assert history["loss"] == [pytest.approx((100 * 1 + 4) / 2)]


class TestValidationSplit:
    @pytest.mark.parametrize(("fraction", "kept"), [(0.25, 3), (0.3, 2), (0.5, 2), (0.75, 1)])
    def test_the_last_samples_are_held_out_before_shuffling(self, fraction: float, kept: int) -> None:
        for shuffle in (False, True):
            history = identity().fit(X, Y, validation_split=fraction, shuffle=shuffle, verbose=0).history
            assert history["loss"][0] == pytest.approx(LOSSES[:kept].mean())
            assert history["val_loss"][0] == pytest.approx(LOSSES[kept:].mean())

    def test_weights_are_split_along(self) -> None:
        weights = np.array([1.0, 2.0, 3.0, 4.0])
        history = identity().fit(X, Y, validation_split=0.5, sample_weight=weights, verbose=0).history
        assert history["loss"][0] == pytest.approx((1 + 8) / 2)
        assert history["val_loss"][0] == pytest.approx((27 + 64) / 2)

    def test_validation_data_comes_first(self) -> None:
        history = identity().fit(X, Y, validation_split=0.5, validation_data=(X[:1], Y[:1]), verbose=0).history
        assert (history["loss"][0], history["val_loss"][0]) == (pytest.approx(LOSSES.mean()), 1.0)

    @pytest.mark.parametrize("fraction", ["0.5", True])
    def test_what_is_no_number_is_refused(self, fraction: Any) -> None:
        with pytest.raises(TypeError, match=f"fit: validation_split must be a number, got {fraction!r}"):
            identity().fit(X, Y, validation_split=fraction, verbose=0)


class Sequence:
    """Batches by number, as Keras' PyDataset: without an end that indexing would notice."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return X[2 * (index % 2) :][:2], Y[2 * (index % 2) :][:2]


class TestBatches:
    def batches(self) -> Iterator[tuple[np.ndarray, ...]]:
        yield X[:3], Y[:3]
        yield X[3:], Y[3:], np.array([0.5])

    def test_a_generator_yields_batches_of_any_size_with_or_without_weights(self) -> None:
        assert epoch_loss(self.batches()) == pytest.approx((1 + 4 + 9 + 8) / 4)
        assert identity().evaluate(self.batches(), verbose=0) == pytest.approx((1 + 4 + 9 + 8) / 4)

    def test_a_list_is_iterated_anew_in_every_epoch(self) -> None:
        assert identity().fit(list(self.batches()), epochs=2, verbose=0).history["loss"] == [pytest.approx(22 / 4)] * 2

    def test_validation_data_may_yield_batches(self) -> None:
        history = identity().fit(X, Y, epochs=2, validation_data=list(self.batches()), verbose=0).history
        assert history["val_loss"] == [pytest.approx(22 / 4)] * 2

    def test_validation_data_may_be_a_list_of_arrays(self) -> None:
        for weights in ([], [np.array([1.0, 1.0, 1.0, 0.5])]):
            history = identity().fit(X, Y, validation_data=[X, Y, *weights], verbose=0).history
            assert history["val_loss"] == [pytest.approx(22 / 4 if weights else LOSSES.mean())]
        with pytest.raises(TypeError, match=r"fit: validation_data must yield batches \(x, y\) or .*, got tuple of 1"):
            identity().fit(X, Y, validation_data=[(X,)], verbose=0)
        with pytest.raises(ValueError, match="fit: validation_data must yield at least one batch in every epoch"):
            identity().fit(X, Y, validation_data=[], verbose=0)

    def test_a_sequence_of_known_length_is_indexed(self) -> None:
        assert epoch_loss(Sequence(), epochs=2) == pytest.approx(LOSSES.mean())
        assert identity().evaluate(Sequence(), verbose=0) == pytest.approx(LOSSES.mean())

    def test_class_weights_apply_to_batches(self) -> None:
        assert epoch_loss([(X, Y)], class_weight={2: 3.0}) == pytest.approx((1 + 12 + 9 + 16) / 4)

    def test_epochs_of_so_many_steps_go_on_where_the_last_one_ended(self) -> None:
        taken = []

        def endless() -> Iterator[tuple[np.ndarray, np.ndarray]]:
            for number in itertools.count():
                taken.append(number)
                yield X[:1], np.full((1, 1), float(number))

        options = {"validation_data": endless(), "validation_steps": 1}
        history = identity().fit(endless(), epochs=2, steps_per_epoch=3, verbose=0, **options).history
        assert history == {"loss": [pytest.approx(5 / 3), pytest.approx(50 / 3)], "val_loss": [0, 1]}
        assert taken == [0, 1, 2, 0, 3, 4, 5, 1]

    def test_epochs_of_so_many_steps_begin_anew_at_the_end(self) -> None:
        batches = [(X[:1], np.full((1, 1), float(number))) for number in range(3)]
        history = identity().fit(batches, epochs=3, steps_per_epoch=2, verbose=0).history["loss"]
        assert history == [pytest.approx((0 + 1) / 2), pytest.approx((4 + 0) / 2), pytest.approx((1 + 4) / 2)]

    @pytest.mark.parametrize(("steps", "got"), [(2, "none"), (3, "2")])
    def test_a_generator_with_too_few_batches_for_the_steps_is_refused(self, steps: int, got: str) -> None:
        batches = ((X, Y) for _ in range(steps + (0 if got == "none" else int(got))))
        with pytest.raises(ValueError, match=f"fit: x must yield {steps} batches in every epoch, got {got}"):
            identity().fit(batches, epochs=2, steps_per_epoch=steps, verbose=0)

    @pytest.mark.parametrize(
        ("x", "options", "error", "message"),
        [
            ([(X, Y)], {"steps_per_epoch": 0}, ValueError, "fit: steps_per_epoch must be an integer from 1 on, got 0"),
            ([(X, Y)], {"steps_per_epoch": "1"}, TypeError, "fit: steps_per_epoch must be a number, got '1'"),
            (X, {"y": Y, "steps_per_epoch": 2}, ValueError, "fit: steps_per_epoch must be None where no iterable"),
            ([(X, Y)], {"validation_steps": 2}, ValueError, "fit: validation_steps must be None where no iterable"),
            ([(X,)], {}, TypeError, r"fit: x must yield batches \(x, y\) or \(x, y, sample_weight\), got tuple of 1"),
            ([X], {}, TypeError, r"fit: x must yield batches .*, got ndarray"),
            ([(X, Y)], {"batch_size": 2}, ValueError, "fit: batch_size must be None where x yields batches, got 2"),
            ([(X, Y)], {"validation_split": 0.5}, ValueError, "validation_split must be 0 where x yields batches"),
            ([], {}, ValueError, "fit: x must yield at least one batch in every epoch, got none"),
        ],
    )
    def test_what_are_no_batches_is_refused(
        self, x: Any, options: dict[str, Any], error: type[Exception], message: str
    ) -> None:
        with pytest.raises(error, match=message):
            identity().fit(x, verbose=0, **options)


class TestSteps:
    """Of `evaluate` and `predict`."""

    def endless(self, taken: list[int]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for number in itertools.count():
            taken.append(number)
            yield np.full((1, 1), float(number)), np.zeros((1, 1))

    def test_evaluate_takes_what_a_generator_yields_next(self) -> None:
        taken: list[int] = []
        batches, model = self.endless(taken), identity()
        assert model.evaluate(batches, steps=3, verbose=0) == pytest.approx((0 + 1 + 4) / 3)
        assert model.evaluate(batches, steps=1, verbose=0) == pytest.approx(9)
        assert taken == [0, 1, 2, 3]

    def test_predict_takes_what_a_generator_yields_next(self) -> None:
        taken: list[int] = []
        batches, model = self.endless(taken), identity()
        np.testing.assert_array_equal(model.predict(batches, steps=3), [[0], [1], [2]])
        np.testing.assert_array_equal(model.predict(batches, steps=1), [[3]])
        assert taken == [0, 1, 2, 3]

    def test_of_arrays_the_first_batches_are_taken(self) -> None:
        model = identity()
        assert model.evaluate(X, Y, batch_size=3, steps=1, verbose=0) == pytest.approx(14 / 3)
        assert model.evaluate(X, Y, 3, 0, [1, 0, 1, 1], steps=2) == pytest.approx((1 + 9 + 16) / 4)
        assert model.predict(np.zeros((100, 1)), batch_size=32, steps=2).shape == (64, 1)
        assert model.predict(np.zeros((100, 1)), 30, 0, 4).shape == (100, 1)

    @pytest.mark.parametrize("steps", [1, 2, 3, 4])
    def test_arrays_without_a_batch_size_are_divided_into_the_steps(self, steps: int) -> None:
        model = identity()
        assert model.evaluate(X, Y, steps=steps, verbose=1) == pytest.approx(LOSSES.mean())
        assert model.predict(X, steps=steps).shape == (4, 1)

    def test_a_list_and_what_is_indexed_begin_anew_in_every_call(self) -> None:
        model = identity()
        for batches in ([(X[:1], Y[:1]), (X[1:], Y[1:])], Sequence()):
            first = len(batches[0][0])
            for _ in range(2):
                assert model.evaluate(batches, steps=1, verbose=0) == pytest.approx(LOSSES[:first].mean())
        assert model.predict(Sequence(), steps=1).shape == (2, 1)

    def test_predict_takes_batches_of_any_size_and_form(self) -> None:
        batches = [X[:1] + 1, (X[:2] + 2,), (X[:1] + 3, Y), (X[:0], Y, Y), [[4.0]]]
        np.testing.assert_array_equal(identity().predict(iter(batches)), [[1], [2], [2], [3], [4]])
        # A list itself is an array, as are its batches.
        np.testing.assert_array_equal(identity().predict([[1], [2]]), [[1], [2]])

    def test_predict_joins_each_of_several_outputs(self) -> None:
        a, b = fc.Input((1,), name="a"), fc.Input((1,), name="b")
        model = fc.Model([a, b], [Add()([a, b]), Subtract()([a, b])])
        batches = ({"a": X[:n] + n, "b": X[:n] + 1} for n in (2, 3))
        total, difference = model.predict(batches, verbose=1)
        np.testing.assert_array_equal(total, [[3], [3], [4], [4], [4]])
        np.testing.assert_array_equal(difference, [[1], [1], [2], [2], [2]])

    @pytest.mark.parametrize(
        ("function", "x", "options", "error", "message"),
        [
            ("evaluate", [(X, Y)], {"steps": 0}, ValueError, "evaluate: steps must be an integer from 1 on, got 0"),
            ("evaluate", X, {"y": Y, "steps": True}, TypeError, "evaluate: steps must be a number, got True"),
            ("evaluate", [(X, Y)], {"steps": 2}, ValueError, "evaluate: x must yield 2 batches, got 1"),
            (
                "evaluate",
                X,
                {"y": Y, "batch_size": 3, "steps": 3},
                ValueError,
                "evaluate: steps must be at most 2, as many batches of 3 as 4 samples make, got 3",
            ),
            ("evaluate", [], {}, ValueError, "evaluate: x must yield at least one batch, got none"),
            ("predict", X, {"steps": 1.5}, ValueError, "predict: steps must be an integer from 1 on, got 1.5"),
            ("predict", X, {"steps": 5}, ValueError, "predict: steps must be at most 4, as many batches as 4 samples"),
            ("predict", X[:0], {"steps": 1}, ValueError, "predict: steps must be at most 0, as many batches as 0 samp"),
            ("predict", (X, X), {"steps": 3}, ValueError, r"predict: x must have shape \(n, 1\), got \(2, 4, 1\)"),
            ("predict", iter([X]), {"steps": 2}, ValueError, "predict: x must yield 2 batches, got 1"),
            ("predict", iter([]), {}, ValueError, "predict: x must yield at least one batch, got none"),
            ("predict", iter([X]), {"batch_size": 2}, ValueError, "predict: batch_size must be None where x yields"),
            ("predict", iter([X[0, 0]]), {}, ValueError, "predict: x must have a first axis of samples, got a scalar"),
            ("predict", iter("ab"), {}, TypeError, "predict: x must have a boolean, integer, .*, got str"),
        ],
    )
    def test_what_cannot_be_taken_is_refused(
        self, function: str, x: Any, options: dict[str, Any], error: type[Exception], message: str
    ) -> None:
        with pytest.raises(error, match=message):
            getattr(identity(), function)(x, verbose=0, **options)
