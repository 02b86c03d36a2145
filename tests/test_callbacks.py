"""Callbacks: when they are called, what they record, stop, save and show."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastconv as fc
from fastconv.callbacks import Callback, EarlyStopping, History, ModelCheckpoint, ProgressBar
from fastconv.layers import Dense
from fastconv.optimizers import SGD


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

    def run(self, *callbacks: Callback) -> int:
        """Return the number of epochs that were run."""
        for callback in callbacks:
            callback.set_model(self)  # type: ignore[arg-type]
            callback.on_train_begin({})
        for epoch, value in enumerate(self.values):
            self.epoch = epoch
            for callback in callbacks:
                callback.on_epoch_end(epoch, {self.name: value})
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


def test_early_stopping_restores_the_best_weights() -> None:
    script = Script([1.0, 0.5, 0.6, 0.7])
    stopping = EarlyStopping(patience=2, restore_best_weights=True)
    script.run(stopping)
    assert script.weights == [1]
    assert (stopping.best_epoch, stopping.stopped_epoch, stopping.best) == (1, 3, 0.5)
    untouched = Script([1.0, 0.5])
    untouched.run(EarlyStopping())
    assert untouched.weights == []


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
