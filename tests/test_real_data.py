"""Networks learn real images: short runs, with bounds that a broken gradient does not reach."""

import os
from pathlib import Path

import numpy as np
import pytest

from fastconv import _image_data, utils, zoo
from fastconv._image_data import ImageData

DATA = os.environ.get("FASTCONV_DATA")


def load(name: str) -> ImageData:
    if not DATA or not Path(DATA, name).is_dir():
        pytest.skip(f"needs the files of {name}: set FASTCONV_DATA to a directory with a folder {name}")
    return _image_data.load(name)


def accuracy_after(name: str, data: ImageData, epochs: int, images: int) -> float:
    utils.set_random_seed(0)
    model = zoo.build(name, data.x_train.shape[1:], len(data.classes))
    batch_size = zoo.RECIPES[name].batch_size
    model.fit(data.x_train[:images], data.y_train[:images], batch_size=batch_size, epochs=epochs, seed=0, verbose=0)
    return float(np.mean(model.predict(data.x_test).argmax(axis=1) == data.y_test))


@pytest.mark.parametrize(
    ("name", "images", "epochs", "bound"),
    [("linear", 60000, 1, 0.88), ("textbook", 60000, 1, 0.80), ("lenet5", 60000, 1, 0.95)],
)
def test_learns_mnist(name, images, epochs, bound):
    assert accuracy_after(name, load("mnist"), epochs, images) >= bound


@pytest.mark.parametrize(("name", "images", "epochs", "bound"), [("mlp", 60000, 1, 0.80), ("fashion", 15000, 1, 0.78)])
def test_learns_fashion_mnist(name, images, epochs, bound):
    assert accuracy_after(name, load("fashion-mnist"), epochs, images) >= bound
