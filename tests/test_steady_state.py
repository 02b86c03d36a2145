"""Training and prediction in steady state: no new memory for results, no temporary array as large as an activation."""

import tracemalloc

import numpy as np
import pytest

import fastconv as fc
from fastconv import _core
from fastconv.layers import (
    Add,
    BatchNormalization,
    Concatenate,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    MaxPooling2D,
    ReLU,
)

SAMPLES, SIZE, CHANNELS = 64, 32, 16
ACTIVATION_BYTES = SAMPLES * SIZE * SIZE * CHANNELS * 4


def plain():
    return fc.Sequential(
        [
            Conv2D(CHANNELS, 3, padding="same", activation="relu", input_shape=(SIZE, SIZE, 1)),
            Dropout(0.25),
            DepthwiseConv2D(3, padding="same"),
            BatchNormalization(),
            ReLU(),
            MaxPooling2D(2),
            Flatten(),
            Dense(10, activation="softmax"),
        ]
    )


def graph():
    inputs = fc.Input((SIZE, SIZE, 1))
    first = Conv2D(CHANNELS, 3, padding="same", activation="relu")(inputs)
    second = Conv2D(CHANNELS, 3, padding="same")(first)
    added = ReLU()(Add()([first, second]))
    features = GlobalAveragePooling2D()(Concatenate()([added, first]))
    return fc.Model(inputs, Dense(10, activation="softmax")(features))


@pytest.fixture(params=[plain, graph])
def trained(request):
    """A model that has made some steps, and a batch."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (SAMPLES, SIZE, SIZE, 1), dtype=np.uint8)
    y = rng.integers(0, 10, SAMPLES)
    model = request.param()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    for _ in range(4):
        model.train_on_batch(x, y)
        model.predict(x)
    return model, x, y


def peak_of(call):
    """Bytes of NumPy's and Python's memory that a call takes beside what it found."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        call()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def blocks_of(call):
    """Blocks of memory for results that a call has to ask of the system."""
    before = _core.array_blocks()
    call()
    return _core.array_blocks() - before


def test_a_training_step_makes_no_array_of_the_size_of_an_activation(trained):
    model, x, y = trained
    assert peak_of(lambda: model.train_on_batch(x, y)) < ACTIVATION_BYTES / 4


def test_prediction_makes_no_array_of_the_size_of_an_activation(trained):
    model, x, _ = trained
    assert peak_of(lambda: model.predict(x)) < ACTIVATION_BYTES / 4


def test_a_training_step_takes_all_memory_from_the_step_before(trained):
    model, x, y = trained
    assert blocks_of(lambda: [model.train_on_batch(x, y) for _ in range(3)]) == 0


def test_prediction_takes_all_memory_from_the_one_before(trained):
    model, x, _ = trained
    assert blocks_of(lambda: [model.predict(x) for _ in range(3)]) == 0


def test_new_memory_would_be_seen(trained):
    model, x, y = trained
    fc.release_memory()
    assert blocks_of(lambda: model.train_on_batch(x, y)) > 5
    assert peak_of(lambda: np.empty(ACTIVATION_BYTES // 4, np.float32)) >= ACTIVATION_BYTES
