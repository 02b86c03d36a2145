"""Training that is stopped, or killed, and goes on from its checkpoint."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastconv as fc
from fastconv import utils
from fastconv.callbacks import LambdaCallback, ModelCheckpoint
from fastconv.layers import Conv2D, Dense, Dropout, Flatten, MaxPooling2D
from fastconv.optimizers import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop
from fastconv.schedules import CosineDecay, ExponentialDecay

EPOCHS, STOP, SEED = 6, 3, 11

OPTIMIZERS = [
    Adam(CosineDecay(0.001, 40, warmup_target=0.01, warmup_steps=5), amsgrad=True),
    AdamW(0.01, clipnorm=1.0),
    SGD(ExponentialDecay(0.05, 4, 0.9), momentum=0.9, nesterov=True),
    RMSprop(0.005, momentum=0.5, centered=True, global_clipnorm=1.0),
    Adagrad(0.01, clipvalue=0.1),
]


def network(optimizer: Optimizer) -> fc.Sequential:
    utils.set_random_seed(5)
    model = fc.Sequential(
        [
            Conv2D(16, 3, activation="relu", input_shape=(16, 16, 1), name="first"),
            Dropout(0.3),
            Conv2D(16, 3, activation="relu", name="second"),  # large enough for two threads
            MaxPooling2D(4),
            Flatten(),
            Dense(8, activation="relu", name="hidden"),
            Dropout(0.5),
            Dense(3, activation="softmax", name="out"),
        ]
    )
    model.compile(optimizer.from_config(optimizer.get_config()), "sparse_categorical_crossentropy", ["accuracy"])
    return model


def fit(model: fc.Sequential, data: tuple[Any, Any], **options: Any) -> dict[str, list[float]]:
    return model.fit(*data, batch_size=8, verbose=0, seed=SEED, validation_split=0.2, **options).history


def state(model: fc.Sequential) -> dict[str, Any]:
    optimizer = model.optimizer
    assert optimizer is not None
    slots = {f"{slot}/{key}": array for slot, arrays in optimizer.slots.items() for key, array in arrays.items()}
    weights = {str(index): weight for index, weight in enumerate(model.get_weights())}
    numbers = {"iterations": np.array(optimizer.iterations), "rate": np.array(optimizer.learning_rate)}
    return weights | slots | numbers


@pytest.fixture
def data(rng: np.random.Generator) -> tuple[Any, Any]:
    return rng.random((50, 16, 16, 1), np.float32), rng.integers(0, 3, 50)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda optimizer: type(optimizer).__name__)
def test_a_run_that_goes_on_from_its_checkpoint_equals_the_uninterrupted_one_bit_for_bit(
    optimizer: Optimizer, data: tuple[Any, Any], tmp_path: Path
) -> None:
    with fc.set_num_threads(2):
        whole = network(optimizer)
        history = fit(whole, data, epochs=EPOCHS)
        stopped = network(optimizer)
        stop = LambdaCallback(on_epoch_end=lambda epoch, logs: setattr(stopped, "stop_training", epoch + 1 == STOP))
        fit(stopped, data, epochs=EPOCHS, callbacks=[ModelCheckpoint(tmp_path / "model.npz"), stop])
        resumed = fc.load_model(tmp_path / "model.npz")
        rest = fit(resumed, data, epochs=EPOCHS, initial_epoch=STOP)
    expected, got = state(whole), state(resumed)
    assert got.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(got[name], array, err_msg=name)
        assert got[name].dtype == array.dtype
    assert rest == {name: values[STOP:] for name, values in history.items()}


def test_another_seed_or_epoch_would_be_noticed(data: tuple[Any, Any], tmp_path: Path) -> None:
    """The claim above can fail: order, dropout and schedule each leave their mark."""
    first = network(OPTIMIZERS[0])
    fit(first, data, epochs=STOP)
    first.save(tmp_path / "model.npz")

    def rest(initial_epoch: int = STOP, iterations: int | None = None, **options: Any) -> list[float]:
        model = fc.load_model(tmp_path / "model.npz")
        assert model.optimizer is not None
        model.optimizer.iterations = model.optimizer.iterations if iterations is None else iterations
        options = {"epochs": initial_epoch + 1, "initial_epoch": initial_epoch, "seed": SEED, **options}
        return model.fit(*data, batch_size=8, verbose=0, **options).history["loss"]

    assert rest() == rest()
    assert rest(initial_epoch=STOP + 1) != rest()
    assert rest(seed=SEED + 1) != rest()
    assert rest(iterations=1) != rest()


WRITER = """
import sys
import numpy as np
import fastconv as fc
from fastconv.callbacks import ModelCheckpoint

model = fc.load_model(sys.argv[1])
checkpoint = ModelCheckpoint(sys.argv[1])
checkpoint.set_model(model)
print("ready", flush=True)
for number in range(10**9):
    model.set_weights([np.full_like(weight, number) for weight in model.get_weights()])
    checkpoint.on_epoch_end(number, {})
"""


def test_a_file_can_be_loaded_whenever_its_writer_is_killed(tmp_path: Path, rng: np.random.Generator) -> None:
    path = tmp_path / "model.npz"
    model = fc.Sequential([Dense(500, input_shape=(1000,)), Dense(500)])
    model.compile(SGD(0.1), "mse")
    model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
    model.save(path)
    killed_while_writing = 0
    for pause in rng.uniform(0, 0.05, 8):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"ready\n"
            time.sleep(pause)
            os.kill(writer.pid, signal.SIGKILL)
            assert writer.wait(timeout=60) == -signal.SIGKILL
        weights = fc.load_model(path).get_weights()
        # All of one write.
        assert {value for weight in weights for value in np.unique(weight)} == {weights[0].flat[0]}
        unfinished = [other for other in tmp_path.iterdir() if other != path]
        killed_while_writing += len(unfinished)
        for other in unfinished:
            other.unlink()
    assert killed_while_writing > 0
