"""What the lecture scripts share: figures with their bounds, pictures, a table in the end; images to learn from, and
how a network is trained on them.

A script makes a `Lecture`, notes each figure with what the course says and whether its own agrees, and ends with
``sys.exit(lecture.finish())``: 0 if every figure agrees, 1 if one does not. Options of every script:

--small         a reduced form that runs in seconds, with bounds of its own; for the tests
--output DIR    where pictures and the figures (SCRIPT.json) go; by default build/examples

``make examples`` runs them all in full and prints one table (`examples/all.py`).
"""

import argparse
import io
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

import fastconv as fc

Array = np.ndarray
Split = tuple[Array, Array]

DEFAULT_OUTPUT = Path(__file__).resolve().parent.parent / "build" / "examples"


class Figure(NamedTuple):
    """One number of a lecture, wanted and got."""

    name: str
    wanted: str
    got: str
    holds: bool
    source: str


class Lecture:
    """The run of one script.

    Parameters
    ----------
    title : str
        What the script shows, in a line.
    arguments : sequence of str, optional
        Of the command line, by default that of the process.
    """

    def __init__(self, title: str, arguments: Sequence[str] | None = None) -> None:
        self.script = Path(sys.argv[0]).stem
        parser = argparse.ArgumentParser(prog=f"{self.script}.py", description=title)
        parser.add_argument("--small", action="store_true", help="a reduced form that runs in seconds")
        parser.add_argument(
            "--output", type=Path, default=DEFAULT_OUTPUT, metavar="DIR", help="for pictures and figures"
        )
        options = parser.parse_args(arguments)
        self.small: bool = options.small
        self.output: Path = options.output
        self.output.mkdir(parents=True, exist_ok=True)
        self.figures: list[Figure] = []
        print(title)

    def check(self, name: str, wanted: str, got: Any, holds: bool, source: str = "") -> None:
        """Note a figure and print it.

        Parameters
        ----------
        name : str
        wanted : str
            What the course says, or the bound, as in "at least 0.9155".
        got : str or number
        holds : bool
            Whether it is so.
        source : str
            Lecture, paper or formula that the wanted figure is from.
        """
        text = f"{got:.4g}" if isinstance(got, float) else str(got)
        figure = Figure(name, wanted, text, bool(holds), source)
        self.figures.append(figure)
        print(f"  {name}: {text} (wanted: {wanted}){'' if figure.holds else '  FAILED'}")

    def picture(self, figure: Any, name: str) -> Path:
        """Write a matplotlib figure as SCRIPT_NAME.png, in 256 colours, and return its path."""
        path = self.output / f"{self.script}_{name}.png"
        drawn = io.BytesIO()
        figure.savefig(drawn, dpi=120)
        # A third of the size, which counts for those that the README shows; by eye, no difference.
        Image.open(drawn).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
        print(f"  {path}")
        return path

    def finish(self) -> int:
        """Write the figures, say how many failed, and return the process's exit status."""
        figures = [figure._asdict() for figure in self.figures]
        content = {"script": self.script, "small": self.small, "figures": figures}
        (self.output / f"{self.script}.json").write_text(json.dumps(content, indent=1))
        failed = sum(not figure.holds for figure in self.figures)
        print(f"{failed} failed" if failed else "every figure holds")
        return 1 if failed else 0


def images(load: Callable[[], tuple[Split, Split]], small: bool) -> tuple[Split, Split]:
    """Return images (n, 28, 28, 1) from 0 to 1 and their labels, for training and for tests.

    They are those of `load`, or in the small form scikit-learn's digits, each of their 8x8 pixels drawn as 3x3 within a
    frame of 2: they need no files, and the networks for the others take them.
    """
    splits = fc.datasets.load_digits() if small else load()
    brightest = np.float32(splits[0][0].max())
    (x, y), (x_test, y_test) = ((_framed(x) if small else x, y) for x, y in splits)
    return (x[..., np.newaxis] / brightest, y), (x_test[..., np.newaxis] / brightest, y_test)


def _framed(digits: Array) -> Array:
    return np.pad(np.kron(digits, np.ones((1, 3, 3), digits.dtype)), ((0, 0), (2, 2), (2, 2)))


def train(
    layers: Sequence[fc.layers.Layer] | Callable[[], fc.Model],
    data: Split,
    epochs: int,
    batch_size: int = 64,
    learning_rate: float = 0.001,
    seed: int = 0,
) -> fc.Sequential | fc.Model:
    """Train a network whose outputs are probabilities of classes, by cross-entropy and Adam; the last epoch counts.

    The learning rate falls as half a cosine wave from `learning_rate` to 0, so that the end of training is no matter of
    luck. Weights, the order of the images and dropout come from `seed`; a graph has to be made after it is set, so that
    a function which returns it takes the place of layers.
    """
    x, y = data
    fc.utils.set_random_seed(seed)
    model = layers() if callable(layers) else fc.Sequential(list(layers))
    rate = fc.schedules.CosineDecay(learning_rate, epochs * -(-len(x) // batch_size))
    model.compile(fc.optimizers.Adam(rate), "sparse_categorical_crossentropy", ["accuracy"])
    model.fit(x, y, batch_size=batch_size, epochs=epochs, verbose=0, seed=seed)
    return model


def scores(model: fc.Sequential | fc.Model, data: Split) -> tuple[float, float]:
    """Return cross-entropy and accuracy."""
    loss, accuracy = model.evaluate(*data, batch_size=256, verbose=0)
    return loss, accuracy
