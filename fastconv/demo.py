"""The tour: train a small network on real digits, look at what it learnt, keep it, see how fast convolution is."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fastconv import _image_data, _report, bench, plot, utils
from fastconv.callbacks import Callback, Logs
from fastconv.layers import Conv2D, Dense, Dropout, Flatten, MaxPooling2D, ReLU, Softmax
from fastconv.models import Sequential
from fastconv.zoo import compile_classifier

Array = npt.NDArray[Any]

SEED = 0
# Chosen by 6-fold cross-validation on the training set with three seeds: 0.994 there. The last epochs take small steps,
# without which the accuracy differs more from seed to seed.
EPOCHS, SMALL_STEP_EPOCHS = 16, 4
BATCH_SIZE = 64
LEARNING_RATE, SMALL_LEARNING_RATE = 2e-3, 2e-4
BENCH_SECONDS = 3.0


def build() -> Sequential:
    """Build and compile the demo's network for 8x8 digits; every step is a layer of its own, so that it can be shown.

    Examples
    --------
    >>> from fastconv import demo
    >>> demo.build().count_params()
    53002
    """
    model = Sequential(
        [
            Conv2D(32, 3, padding="same", input_shape=(8, 8, 1)),
            ReLU(),
            MaxPooling2D(2),
            Conv2D(64, 3, padding="same"),
            ReLU(),
            MaxPooling2D(2),
            Flatten(),
            Dropout(0.5),
            Dense(128),
            ReLU(),
            Dropout(0.5),
            Dense(10),
            Softmax(),
        ],
        name="digits",
    )
    compile_classifier(model, LEARNING_RATE)
    return model


class SmallStepsAtTheEnd(Callback):
    """Lower the learning rate for the last epochs."""

    def on_epoch_begin(self, epoch: int, logs: Logs) -> None:
        """Set the learning rate when the time has come."""
        if epoch == EPOCHS - SMALL_STEP_EPOCHS and self.model.optimizer is not None:
            self.model.optimizer.learning_rate = SMALL_LEARNING_RATE


def with_shifts(images: Array, labels: Array) -> tuple[Array, Array]:
    """Return each image five times, in place and shifted by one pixel up, down, left and right, with its label.

    A shifted digit is the same digit: telling the network so makes up for the few images there are.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import demo
    >>> images, labels = demo.with_shifts(np.arange(4.0).reshape(1, 2, 2, 1), np.array([7]))
    >>> images[1, ..., 0]
    array([[2., 3.],
           [0., 0.]])
    >>> labels
    array([7, 7, 7, 7, 7])
    """
    height, width = images.shape[1:3]
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    corners = ((1, 1), (2, 1), (0, 1), (1, 2), (1, 0))
    views = [padded[:, top : top + height, left : left + width] for top, left in corners]
    return np.concatenate(views), np.tile(labels, len(corners))


def run(folder: Path) -> None:
    """Train, evaluate, draw and measure, telling what happens; leave model and pictures in `folder`.

    Parameters
    ----------
    folder
        Made where it is missing; files of an earlier run are replaced.

    Raises
    ------
    ImportError
        scikit-learn or matplotlib is missing; they come with ``pip install "fastconv[demo]"``.
    OSError
        `folder` cannot be made; nothing has been trained then.
    """
    plot.check_installed()
    start = time.perf_counter()
    data = _image_data.load("digits")
    folder.mkdir(parents=True, exist_ok=True)
    print(f"{len(data.x_train)} real digits of 8x8 pixels to learn from, {len(data.x_test)} others to be tested on.\n")
    utils.set_random_seed(SEED)
    model = build()
    model.summary()
    print(f"\nTraining, {EPOCHS} epochs (seed {SEED}), on each digit in place and shifted by a pixel four ways:")
    x_train, y_train = with_shifts(data.x_train, data.y_train)
    history = model.fit(
        x_train, y_train, batch_size=BATCH_SIZE, epochs=EPOCHS, callbacks=[SmallStepsAtTheEnd()], seed=SEED
    ).history
    result = _report.evaluate(model, data.x_test, data.y_test)
    print(f"\nTest accuracy {result.accuracy:.4f}, loss {result.loss:.4f}\n")
    print(_report.confusion_table(result.confusion, data.classes))
    files = _report.save_pictures(folder, model, data, result, history)
    files.append(folder / "digits.npz")
    model.save(files[-1])
    print(f"\nSaved in {folder}:")
    for file in files:
        print(f"  {file.name}")
    print("\nThree layers, each computed in every way that applies (fastconv bench measures more of them):\n")
    print(bench.run(bench.FEW_LAYERS, seconds=BENCH_SECONDS).as_text())
    print(f"\nDone in {time.perf_counter() - start:.1f} s.")
