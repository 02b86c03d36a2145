"""Images as a network takes them: float32 from 0 to 1, channels last; by the names the command line knows."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fastconv import datasets

Array = npt.NDArray[Any]
Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class ImageData:
    """A data set ready for training: inputs (n, h, w, c) or (n, features), int64 labels (n,), one name a class."""

    x_train: Array
    y_train: Array
    x_test: Array
    y_test: Array
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Named:
    """A built-in set: how it is loaded, its brightest pixel and its class names."""

    loader: Callable[[], tuple[tuple[Array, Array], tuple[Array, Array]]]
    brightest: int
    classes: tuple[str, ...]


NUMERALS = tuple("0123456789")
# The place of a camera's orientation in EXIF data; 1 is upright.
ORIENTATION = 0x0112
# There is a name and an output for each class up to the largest label; ImageNet in full has 21,841.
MOST_CLASSES = 100_000
NAMED = {
    "digits": Named(datasets.load_digits, 16, NUMERALS),
    "mnist": Named(datasets.load_mnist, 255, NUMERALS),
    "fashion-mnist": Named(datasets.load_fashion_mnist, 255, datasets.FASHION_MNIST_CLASSES),
    "cifar10": Named(datasets.load_cifar10, 255, datasets.CIFAR10_CLASSES),
}


def load(source: str) -> ImageData:
    """Load a set by name, or from a ``.npz`` file, and scale it.

    Integer pixels are divided by the brightest value there can be (16 for the digits, else 255), floats are taken as
    they are, and grey images get a channel axis of length 1.

    Parameters
    ----------
    source
        ``digits``, ``mnist``, ``fashion-mnist``, ``cifar10``, or a file that `fastconv.datasets.load_npz` reads.

    Returns
    -------
    ImageData
        The set, ready for training.

    Raises
    ------
    ValueError
        `source` is neither, or the file does not hold images and class numbers, or none to test with.
    FileNotFoundError
        The data are not there.

    Examples
    --------
    >>> from fastconv._image_data import load
    >>> load("digits").x_train.shape
    (1438, 8, 8, 1)
    """
    if source in NAMED:
        named = NAMED[source]
        (x_train, y_train), (x_test, y_test) = named.loader()
        brightest, classes = named.brightest, named.classes
    elif source.endswith(".npz"):
        (x_train, y_train), (x_test, y_test) = datasets.load_npz(source)
        brightest, classes = 255, _numbered_classes(source, y_train, y_test)
    else:
        raise ValueError(f"data must be one of {', '.join(NAMED)}, or a .npz file, got {source!r}")
    if not len(x_test):
        raise ValueError(f"{source} must hold at least one example to test with, got none")
    return ImageData(
        x_train=as_input(x_train, brightest),
        y_train=y_train.astype(np.int64),
        x_test=as_input(x_test, brightest),
        y_test=y_test.astype(np.int64),
        classes=classes,
    )


def as_input(images: Array, brightest: int = 255) -> Array:
    """Scale a batch of images to float32 from 0 to 1 and give grey ones a channel axis."""
    if images.ndim not in (2, 3, 4) or images.dtype.kind not in "uif":
        raise ValueError(
            "images must be numbers of shape (n, h, w), (n, h, w, channels) or (n, features), "
            f"got {images.dtype} of shape {images.shape}"
        )
    scaled = images.astype(np.float32)
    if images.dtype.kind != "f":
        scaled /= brightest
    return scaled[..., np.newaxis] if images.ndim == 3 else scaled


def read_picture(path: str | os.PathLike[str], shape: Shape, *, invert: bool = False) -> tuple[Array, str]:
    """Read a picture file as one input of a network.

    It is turned upright as its EXIF data say, grey of 16 bits is scaled, not cut, to 8, and what is transparent is
    white, as on paper.

    Parameters
    ----------
    path
        A PNG or JPEG file, or another format that pillow reads.
    shape
        The network's input (h, w, channels): 1 channel makes the picture grey, 3 make it RGB.
    invert
        Swap dark and light, for dark writing on light paper: the digit sets are light on dark.

    Returns
    -------
    picture, changes
        A float32 array of `shape` from 0 to 1, and what was done to get it, in words.

    Raises
    ------
    ImportError
        Pillow is not installed.
    FileNotFoundError
        There is no such file.
    ValueError
        The file is no picture, or `shape` is not that of a grey or RGB image.
    """
    try:
        from PIL import Image, ImageOps, UnidentifiedImageError
    except ImportError as error:
        raise ImportError('reading pictures needs pillow: pip install "fastconv[demo]"') from error
    sizes = [size for size in shape if size is not None]
    if len(shape) != 3 or len(sizes) != 3 or shape[2] not in (1, 3):
        raise ValueError(f"the model's input must be (height, width, 1 or 3) to take a picture, got {shape}")
    height, width, channels = sizes
    mode = "L" if channels == 1 else "RGB"
    changes = []
    try:
        with Image.open(Path(path)) as original:
            picture = ImageOps.exif_transpose(original)
            if original.getexif().get(ORIENTATION, 1) != 1:
                changes.append("turned upright")
            if picture.mode.startswith("I"):
                # Pillow would cut these off at 255.
                picture = Image.fromarray(((np.asarray(picture, np.int64) + 128) // 257).clip(0, 255).astype(np.uint8))
            elif picture.has_transparency_data:
                picture = picture.convert("RGBA")
                picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
                changes.append("on white")
            picture = picture.convert(mode)
            if original.mode != mode:
                changes.append(f"{original.mode} to {'grey' if mode == 'L' else mode}")
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise ValueError(f"{path} must be a picture that pillow reads, got: {error}") from error
    if picture.size != (width, height):
        changes.append(f"resized from {picture.width}x{picture.height} to {width}x{height}")
        picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    pixels = np.asarray(picture, np.uint8)
    if invert:
        changes.append("inverted")
        pixels = 255 - pixels
    return as_input(pixels.reshape(1, height, width, channels))[0], ", ".join(changes) or "unchanged"


def _numbered_classes(source: str, *labels: Array) -> tuple[str, ...]:
    """Class names 0, 1, ... up to the largest label."""
    for part in labels:
        if part.ndim != 1 or part.dtype.kind not in "ui" or part.min(initial=0) < 0:
            raise ValueError(
                f"{source} must hold labels of shape (n,), whole numbers from 0, got {part.dtype} of shape {part.shape}"
                + (f" with {part.min()}" if part.dtype.kind == "i" and part.size else "")
            )
    largest = max(int(part.max(initial=0)) for part in labels)
    if largest >= MOST_CLASSES:
        raise ValueError(f"{source} must hold labels below {MOST_CLASSES:,}, one for each class from 0, got {largest}")
    return tuple(map(str, range(1 + largest)))
