"""Callbacks: when they are called, what they record, stop, save and show."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastconv as fc
from fastconv.callbacks import (
    Callback,
    CSVLogger,
    EarlyStopping,
    History,
    LambdaCallback,
    LearningRateScheduler,
    ModelCheckpoint,
    ProgressBar,
    ReduceLROnPlateau,
    TerminateOnNaN,
)
from fastconv.layers import Dense
from fastconv.optimizers import SGD
from fastconv.schedules import ExponentialDecay


def model_and_data() -> tuple[fc.Sequential, np.ndarray, np.ndarray]:
    x = np.linspace(-1, 1, 20, dtype=np.float32)[:, np.newaxis]
    model = fc.Sequential([Dense(1, kernel_initializer="zeros", input_shape=(1,))])
    model.compile(SGD(0.1), "mse")
    return model, x, 3 * x


class Script:
    """Stands for a model whose epochs give the numbers of a list."""

    def __init__(self, values: list[float], name: str = "val_loss") -> None:
        self.values = values
        self.name = name
        self.stop_training = False
        self.epoch = -1
        self.saved: list[str] = []
        self.weights: list[Any] = []
        self.optimizer = SGD(1.0)
        self.rates: list[float] = []
        self.logs: dict[str, float] = {}

    def run(self, *callbacks: Callback) -> int:
        """Return the number of epochs that were run."""
        for callback in callbacks:
            callback.set_model(self)  # type: ignore[arg-type]
            callback.on_train_begin({})
        for epoch, value in enumerate(self.values):
            self.epoch = epoch
            for callback in callbacks:
                callback.on_epoch_begin(epoch, {})
            self.rates.append(self.optimizer.learning_rate)
            self.logs = {self.name: value}
            for callback in callbacks:
                callback.on_epoch_end(epoch, self.logs)
            if self.stop_training:
                break
        for callback in callbacks:
            callback.on_train_end({})
        return self.epoch + 1

    def get_weights(self) -> list[Any]:
        return [self.epoch]

    def set_weights(self, weights: list[Any]) -> None:
        self.weights = weights

    def save(self, path: str) -> None:
        self.saved.append(path)


def test_callbacks_are_called_in_the_order_of_keras() -> None:
    calls = []

    class Recorder(Callback):
        def on_train_begin(self, logs: Any) -> None:
            calls.append("train begin")

        def on_train_end(self, logs: Any) -> None:
            calls.append("train end")

        def on_epoch_begin(self, epoch: int, logs: Any) -> None:
            calls.append(f"epoch {epoch} begin")

        def on_epoch_end(self, epoch: int, logs: Any) -> None:
            calls.append(f"epoch {epoch} end {sorted(logs)}")

        def on_train_batch_begin(self, batch: int, logs: Any) -> None:
            calls.append(f"batch {batch} begin {logs['size']}")

        def on_train_batch_end(self, batch: int, logs: Any) -> None:
            calls.append(f"batch {batch} end {sorted(logs)}")

    model, x, y = model_and_data()
    recorder = Recorder()
    model.fit(x, y, batch_size=15, verbose=0, callbacks=[recorder], validation_data=(x, y))
    assert calls == [
        "train begin",
        "epoch 0 begin",
        "batch 0 begin 15",
        "batch 0 end ['loss']",
        "batch 1 begin 5",
        "batch 1 end ['loss']",
        "epoch 0 end ['loss', 'val_loss']",
        "train end",
    ]
    assert recorder.params == {"epochs": 1, "steps": 2, "samples": 20}


def test_history_has_an_entry_per_epoch() -> None:
    model, x, y = model_and_data()
    history = model.fit(x, y, epochs=3, verbose=0)
    assert isinstance(history, History)
    assert history is model.history
    assert history.epoch == [0, 1, 2]
    assert len(history.history["loss"]) == 3
    assert history.history["loss"][2] < history.history["loss"][0]


def test_early_stopping_waits_for_its_patience() -> None:
    values = [1.0, 0.5, 0.6, 0.7, 0.4, 0.5, 0.5, 0.5]
    assert Script(values).run(EarlyStopping(patience=1)) == 3
    assert Script(values).run(EarlyStopping(patience=3)) == 8
    assert Script([3.0, 2.0, 1.0]).run(EarlyStopping()) == 3
    assert Script([0.1, 0.5, 0.4], "val_accuracy").run(EarlyStopping("val_accuracy")) == 3
    assert Script([0.1, 0.5, 0.4, 0.9], "val_accuracy").run(EarlyStopping("val_accuracy", mode="min")) == 2


def test_early_stopping_counts_small_changes_and_misses_of_the_baseline_as_none() -> None:
    values = [1.0, 0.95, 0.9, 0.85]
    assert Script(values).run(EarlyStopping(min_delta=0.2, patience=2)) == 3
    assert Script(values).run(EarlyStopping(baseline=0.5, patience=2)) == 4
    assert Script([1.0, 2.0, 3.0, 4.0]).run(EarlyStopping(start_from_epoch=2)) == 4


def test_a_change_of_just_min_delta_is_no_improvement_though_it_rounds_up() -> None:
    # 1.0 - 0.7 is 0.30000000000000004. Keras stops after the fourth epoch, too.
    assert Script([0.7, 1.0, 0.2, 0.4, 0.9]).run(EarlyStopping(mode="max", min_delta=0.3, patience=3)) == 4


def test_early_stopping_restores_the_best_weights() -> None:
    script = Script([1.0, 0.5, 0.6, 0.7])
    stopping = EarlyStopping(patience=2, restore_best_weights=True)
    script.run(stopping)
    assert script.weights == [1]
    assert (stopping.best_epoch, stopping.stopped_epoch, stopping.best) == (1, 3, 0.5)
    untouched = Script([1.0, 0.5])
    untouched.run(EarlyStopping())
    assert untouched.weights == []


def test_the_best_epoch_is_known_also_where_no_weights_are_kept() -> None:
    stopping = EarlyStopping(patience=2)
    Script([1.0, 0.5, 0.6, 0.7]).run(stopping)
    assert (stopping.best_epoch, stopping.stopped_epoch, stopping.best) == (1, 3, 0.5)


@pytest.mark.parametrize("metric", ["accuracy", "val_acc", "top_k", "auc", "precision", "f1"])
def test_what_is_better_when_larger_is_known_by_its_name(metric: str) -> None:
    assert Script([0.1, 0.2, 0.3, 0.2], metric).run(EarlyStopping(metric)) == 4


def test_nan_is_no_improvement() -> None:
    assert Script([1.0, float("nan"), float("nan")]).run(EarlyStopping(patience=1)) == 2


def test_early_stopping_ends_fit() -> None:
    model, x, y = model_and_data()
    model.optimizer.learning_rate = 0.0  # type: ignore[union-attr]
    history = model.fit(x, y, epochs=10, verbose=0, callbacks=[EarlyStopping("loss", patience=2)])
    assert history.epoch == [0, 1, 2]


def test_a_monitor_that_is_not_there_is_an_error() -> None:
    model, x, y = model_and_data()
    with pytest.raises(
        ValueError, match=r"EarlyStopping: monitor must be one of 'loss', got 'val_loss'; fit was given no"
    ):
        model.fit(x, y, verbose=0, callbacks=[EarlyStopping()])
    with pytest.raises(ValueError, match="ModelCheckpoint: mode must be 'auto', 'min' or 'max', got 'best'"):
        ModelCheckpoint("m.npz", mode="best")  # type: ignore[arg-type]


def test_checkpoints_of_the_best_epochs_only() -> None:
    script = Script([1.0, 2.0, 0.5, 0.5])
    script.run(ModelCheckpoint("m-{epoch:02d}-{val_loss:.1f}", save_best_only=True))
    assert script.saved == ["m-01-1.0", "m-03-0.5"]
    script = Script([0.1, 0.2, 0.1], "val_acc")
    script.run(ModelCheckpoint("{epoch}", monitor="val_acc", save_best_only=True))
    assert script.saved == ["1", "2"]


def test_checkpoints_of_every_epoch_can_be_loaded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, x, y = model_and_data()
    model.fit(x, y, epochs=2, verbose=0, callbacks=[ModelCheckpoint(tmp_path / "{epoch}.npz", verbose=1)])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.npz", "2.npz"]
    np.testing.assert_array_equal(fc.load_model(tmp_path / "2.npz").predict(x), model.predict(x))
    assert "Epoch 2: saved" in capsys.readouterr().out


def test_checkpoints_of_values_better_than_a_threshold_only() -> None:
    script = Script([1.0, 0.9, 0.7, 0.8])
    script.run(ModelCheckpoint("{epoch}", save_best_only=True, initial_value_threshold=0.9))
    assert script.saved == ["3"]


def test_checkpoints_every_so_many_batches_across_epochs(tmp_path: Path) -> None:
    model, x, y = model_and_data()
    checkpoint = ModelCheckpoint(tmp_path / "{epoch}-{batch}-{loss:.0f}", save_freq=3)
    model.fit(x, y, batch_size=5, epochs=2, verbose=0, callbacks=[checkpoint])  # 4 batches an epoch
    assert [path.name.rsplit("-", 1)[0] for path in sorted(tmp_path.iterdir())] == ["1-3", "2-2"]


def test_arguments_of_checkpoints_are_checked() -> None:
    with pytest.raises(ValueError, match="ModelCheckpoint: save_freq must be an integer from 1 on, got 0"):
        ModelCheckpoint("m.npz", save_freq=0)


def test_a_checkpoint_name_that_cannot_be_filled_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"filepath must name only epoch, val_loss, got '{acc}'"):
        Script([1.0]).run(ModelCheckpoint("{acc}"))


def test_progress_bar_shows_loss_metrics_and_images_per_second(capsys: pytest.CaptureFixture[str]) -> None:
    model, x, y = model_and_data()
    model.compile("sgd", "mse", metrics=["accuracy"])
    model.fit(x, y, epochs=2, batch_size=7, verbose=1, validation_data=(x, y))
    shown = capsys.readouterr().err
    assert "Epoch 1/2: 100%" in shown
    assert "Epoch 2/2: 100%" in shown
    for part in ("20/20", "images/s", "loss=", "accuracy=", "val_loss="):
        assert part in shown


def test_progress_bar_without_a_known_length() -> None:
    model, x, y = model_and_data()
    model.fit((batch for batch in [(x, y)]), verbose=0, callbacks=[ProgressBar()])


def test_verbose_2_prints_a_line_per_epoch_and_0_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    model, x, y = model_and_data()
    model.fit(x, y, epochs=2, verbose=2)
    printed = capsys.readouterr()
    assert [line.split(":")[0] for line in printed.out.splitlines()] == ["Epoch 1/2", "Epoch 2/2"]
    assert printed.err == ""
    model.fit(x, y, verbose=0)
    model.evaluate(x, y, verbose=0)
    model.predict(x, batch_size=3)
    assert capsys.readouterr() == ("", "")


def test_evaluate_and_predict_show_a_bar_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    model, x, y = model_and_data()
    model.evaluate(x, y, verbose=1)
    model.predict(x, batch_size=3, verbose=1)
    shown = capsys.readouterr().err
    assert "Evaluate: 100%" in shown
    assert "Predict: 100%" in shown


class TestLearningRateScheduler:
    def test_a_function_of_the_epoch_or_of_epoch_and_rate(self) -> None:
        script = Script([0.0] * 3)
        script.run(LearningRateScheduler(lambda epoch: 0.5**epoch))
        assert script.rates == [1.0, 0.5, 0.25]
        script = Script([0.0] * 3)
        script.run(LearningRateScheduler(lambda epoch, rate: rate / (epoch + 1)))
        assert script.rates == [1.0, 0.5, 0.5 / 3]
        assert script.logs["learning_rate"] == 0.5 / 3

    def test_a_schedule_counts_epochs(self) -> None:
        script = Script([0.0] * 3)
        script.run(LearningRateScheduler(ExponentialDecay(1.0, 1, 0.5)))
        assert script.rates == [1.0, 0.5, 0.25]

    def test_a_type_error_of_the_function_itself_is_shown(self) -> None:
        def broken(epoch: int, rate: float) -> float:
            return rate + "1"  # type: ignore[operator, no-any-return]

        with pytest.raises(TypeError, match="unsupported operand"):
            Script([0.0]).run(LearningRateScheduler(broken))

    def test_what_is_no_rate_is_refused(self) -> None:
        with pytest.raises(TypeError, match="what schedule returns must be a number, got None"):
            Script([0.0]).run(LearningRateScheduler(lambda epoch: None))  # type: ignore[arg-type, return-value]

    def test_verbose_prints_the_rate(self, capsys: pytest.CaptureFixture[str]) -> None:
        Script([0.0]).run(LearningRateScheduler(lambda epoch: 0.25, verbose=1))
        assert capsys.readouterr().out == "Epoch 1: learning rate 0.25\n"


class TestReduceLROnPlateau:
    def rates(self, values: list[float], **options: Any) -> list[float]:
        """Return the rates of the epochs, and the one after the last."""
        script = Script(values)
        script.run(ReduceLROnPlateau(**{"factor": 0.5, "patience": 2, **options}))
        return [*script.rates[1:], script.optimizer.learning_rate]

    def test_the_rate_falls_after_patience_epochs_without_improvement(self) -> None:
        assert self.rates([1.0, 0.9, 0.9, 0.9, 0.9, 0.9]) == [1, 1, 1, 0.5, 0.5, 0.25]
        assert self.rates([1.0, 0.9, 0.9, 0.8, 0.9, 0.9]) == [1, 1, 1, 1, 1, 0.5]

    def test_changes_of_at_most_min_delta_do_not_count(self) -> None:
        assert self.rates([1.0, 0.95, 0.9], min_delta=0.2) == [1, 1, 0.5]

    def test_nothing_is_counted_while_cooling_down(self) -> None:
        assert self.rates([1.0] * 8, cooldown=2) == [1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25]

    def test_the_rate_does_not_fall_below_min_lr(self) -> None:
        assert self.rates([1.0] * 6, patience=1, min_lr=0.3) == [1, 0.5, 0.3, 0.3, 0.3, 0.3]

    def test_a_value_that_should_rise(self) -> None:
        assert self.rates([0.1, 0.2, 0.1], mode="max", patience=1) == [1, 1, 0.5]

    def test_the_rate_is_recorded_for_callbacks_that_follow(self, capsys: pytest.CaptureFixture[str]) -> None:
        script = Script([1.0, 1.0])
        script.run(ReduceLROnPlateau(patience=1, verbose=1))
        assert script.logs["learning_rate"] == 1.0
        assert capsys.readouterr().out == "Epoch 2: learning rate reduced to 0.1\n"

    def test_bad_arguments_are_refused(self) -> None:
        with pytest.raises(ValueError, match="ReduceLROnPlateau: factor must be less than 1, got 1"):
            ReduceLROnPlateau(factor=1)
        with pytest.raises(ValueError, match=r"ReduceLROnPlateau: patience must be an integer from 0 on, got 0\.5"):
            ReduceLROnPlateau(patience=0.5)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="ReduceLROnPlateau: min_delta must be a number, got 'x'"):
            ReduceLROnPlateau(min_delta="x")  # type: ignore[arg-type]


class TestCSVLogger:
    def test_a_row_for_every_epoch(self, tmp_path: Path) -> None:
        model, x, y = model_and_data()
        history = model.fit(
            x, y, epochs=2, verbose=0, validation_data=(x, y), callbacks=[CSVLogger(tmp_path / "log.csv")]
        ).history
        lines = (tmp_path / "log.csv").read_text().splitlines()
        assert lines[0] == "epoch,loss,val_loss"
        rows = [[float(number) for number in line.split(",")] for line in lines[1:]]
        assert rows == [
            [0, history["loss"][0], history["val_loss"][0]],
            [1, history["loss"][1], history["val_loss"][1]],
        ]

    def test_rows_are_appended_or_replace_the_file(self, tmp_path: Path) -> None:
        path = tmp_path / "log.csv"
        for append, lines in (
            (True, ["epoch;val_loss", "0;1.0"]),
            (True, ["epoch;val_loss", "0;1.0", "0;1.0"]),
            (False, ["epoch;val_loss", "0;1.0"]),
        ):
            Script([1.0]).run(CSVLogger(path, separator=";", append=append))
            assert path.read_text().splitlines() == lines

    def test_a_row_is_in_the_file_when_its_epoch_ends(self, tmp_path: Path) -> None:
        path, seen = tmp_path / "log.csv", []
        look = LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(len(path.read_text().splitlines())))
        Script([1.0, 2.0]).run(CSVLogger(path), look)
        assert seen == [2, 3]

    def test_a_file_with_other_columns_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "log.csv"
        path.write_text("epoch,loss\n")
        logger = CSVLogger(path, append=True)
        with pytest.raises(
            ValueError, match=r"CSVLogger: the columns of '.*' must be epoch, val_loss, got epoch, loss"
        ):
            Script([1.0]).run(logger)
        logger.on_train_end({})
        assert path.read_text() == "epoch,loss\n"

    def test_a_separator_is_one_character(self) -> None:
        with pytest.raises(ValueError, match="CSVLogger: separator must be one character, got ', '"):
            CSVLogger("log.csv", separator=", ")


def test_terminate_on_nan_ends_the_training(capsys: pytest.CaptureFixture[str]) -> None:
    model, x, y = model_and_data()
    y[-1] = np.inf
    with np.errstate(invalid="ignore"):
        history = model.fit(x, y, epochs=5, verbose=0, callbacks=[TerminateOnNaN()])
    assert history.epoch == [0]
    assert "the loss is inf, training ends" in capsys.readouterr().out


def test_functions_as_a_callback() -> None:
    calls: list[Any] = []
    callback = LambdaCallback(
        on_train_begin=lambda logs: calls.append("begin"), on_epoch_end=lambda epoch, logs: calls.append((epoch, logs))
    )
    Script([1.0]).run(callback)
    assert calls == ["begin", (0, {"val_loss": 1.0})]


def test_one_callback_stands_for_a_list_of_it() -> None:
    model, x, y = model_and_data()
    history = History()
    model.fit(x, y, epochs=2, verbose=0, callbacks=history)
    assert history.epoch == [0, 1]
    with pytest.raises(TypeError, match="fit: callbacks must be a list of Callback objects, got int"):
        model.fit(x, y, verbose=0, callbacks=1)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"patience": "2"}, TypeError, "EarlyStopping: patience must be a number, got '2'"),
        ({"patience": -1}, ValueError, "EarlyStopping: patience must be finite and not negative, got -1"),
        (
            {"start_from_epoch": 1.5},
            ValueError,
            "EarlyStopping: start_from_epoch must be an integer from 0 on, got 1.5",
        ),
        ({"baseline": "0"}, TypeError, "EarlyStopping: baseline must be a number, got '0'"),
    ],
)
def test_early_stopping_refuses_what_are_no_numbers(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        EarlyStopping(**options)


class Calls(fc.callbacks.Callback):
    """Notes every call and the names in its logs."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("on_"):
            return super().__getattribute__(name)
        return lambda *arguments: self.calls.append((name, *arguments[:-1], sorted(arguments[-1])))


class TestOfEvaluationAndPrediction:
    def model(self) -> fc.Sequential:
        model = fc.Sequential([fc.layers.Dense(1, input_shape=(2,))])
        model.compile("sgd", "mse", metrics=["mae"])
        return model

    def test_validation_is_between_the_batches_and_the_end_of_an_epoch(self) -> None:
        # The order of Keras 3.15.
        calls, x, y = Calls(), np.ones((4, 2)), np.ones((4, 1))
        self.model().fit(x, y, batch_size=4, epochs=1, verbose=0, callbacks=[calls], validation_data=(x, y))
        names, found = ["loss", "mae"], calls.calls
        assert found == [
            ("on_train_begin", []),
            ("on_epoch_begin", 0, []),
            ("on_train_batch_begin", 0, ["size"]),
            ("on_train_batch_end", 0, names),
            ("on_test_begin", []),
            ("on_test_batch_begin", 0, ["size"]),
            ("on_test_batch_end", 0, names),
            ("on_test_end", names),
            ("on_epoch_end", 0, [*names, "val_loss", "val_mae"]),
            ("on_train_end", [*names, "val_loss", "val_mae"]),
        ]

    def test_evaluate(self) -> None:
        calls, model = Calls(), self.model()
        model.evaluate(np.ones((5, 2)), np.ones((5, 1)), 2, 0, callbacks=[calls])
        assert [call[0] for call in calls.calls] == [
            "on_test_begin",
            *["on_test_batch_begin", "on_test_batch_end"] * 3,
            "on_test_end",
        ]
        assert calls.model is model
        assert (calls.params["steps"], calls.params["samples"]) == (3, 5)

    def test_predict(self) -> None:
        calls, model = Calls(), self.model()
        model.predict(np.ones((5, 2)), callbacks=calls)
        assert calls.calls == [("on_predict_begin", []), ("on_predict_end", [])]
        assert calls.model is model

    def test_functions(self) -> None:
        found: list[float] = []
        callback = fc.callbacks.LambdaCallback(on_test_end=lambda logs: found.append(logs["loss"]))
        loss, _ = self.model().evaluate(np.ones((2, 2)), np.ones((2, 1)), verbose=0, callbacks=[callback])
        assert found == [loss]
        with pytest.raises(TypeError, match="LambdaCallback: there is no 'on_tset_end', see Callback"):
            fc.callbacks.LambdaCallback(on_tset_end=print)

    def test_what_is_no_callback_is_refused(self) -> None:
        with pytest.raises(TypeError, match="evaluate: callbacks must hold Callback objects, got 'csv'"):
            self.model().evaluate(np.ones((2, 2)), np.ones((2, 1)), verbose=0, callbacks=["csv"])
        with pytest.raises(TypeError, match="predict: callbacks must be a list of Callback objects, got int"):
            self.model().predict(np.ones((2, 2)), callbacks=3)
