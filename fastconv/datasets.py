"""Image data sets to learn from: real digits at hand, MNIST, Fashion-MNIST and CIFAR-10 from a folder or the network.

A set is looked for in ``path`` where one is given, and nowhere else; otherwise in the set's folder under the directory
that the environment variable ``FASTCONV_DATA`` names (``mnist``, ``fashion-mnist``, ``cifar10``); otherwise it is
downloaded once, checked against its published checksum, into pooch's cache. Local files are judged by their content.
Pixels and labels are uint8, as published.
"""

import os
import tarfile
import warnings
import zipfile
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from fastconv._data_files import Source, StrPath, existing, find
from fastconv._idx import read_idx

__all__ = [
    "cifar10",
    "fashion_mnist",
    "load_cifar10",
    "load_digits",
    "load_fashion_mnist",
    "load_mnist",
    "load_npz",
    "mnist",
    "read_idx",
]

Array = npt.NDArray[Any]
Split = tuple[Array, Array]

DIGITS_SPLIT_SEED = 0
DIGITS_TEST_FRACTION = 0.2

IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
CIFAR10_ARCHIVE = "cifar-10-binary.tar.gz"
CIFAR10_FOLDER = "cifar-10-batches-bin"
CIFAR10_FILES = (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin")

FASHION_MNIST_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


MNIST = Source(
    "mnist",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    {
        "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
    },
)
FASHION_MNIST = Source(
    "fashion-mnist",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    {
        "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
    },
)
CIFAR10 = Source("cifar10", "https://www.cs.toronto.edu/~kriz/", {CIFAR10_ARCHIVE: "c32a1d4ab5d03f1284b67883e8d87530"})


def load_digits(path: StrPath | None = None) -> tuple[Split, Split]:
    """Load 1,797 real handwritten digits of 8x8 pixels, the set that needs no download.

    The split is fixed: of each class, one fifth, drawn with ``numpy.random.RandomState(0)`` (whose stream never
    changes), is the test set.

    Parameters
    ----------
    path
        A folder with scikit-learn's ``digits.csv.gz`` (64 pixels and the label a row), or None for the copy inside
        scikit-learn.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        uint8 arrays of shapes (n, 8, 8), with pixels 0 to 16, and (n,), with labels 0 to 9; n is 1,438 and 359.

    Raises
    ------
    FileNotFoundError
        `path` has no ``digits.csv.gz``.
    ImportError
        `path` is None and scikit-learn is not installed.
    ValueError
        The file is damaged.

    References
    ----------
    E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998.

    Examples
    --------
    >>> from fastconv.datasets import load_digits
    >>> (x_train, y_train), (x_test, y_test) = load_digits()
    >>> x_train.shape, x_train.dtype, x_test.shape
    ((1438, 8, 8), dtype('uint8'), (359, 8, 8))
    """
    table = _digits_table(path)
    images, labels = table[:, :64].astype(np.uint8).reshape(-1, 8, 8), table[:, 64].astype(np.uint8)
    random = np.random.RandomState(DIGITS_SPLIT_SEED)
    test = np.zeros(len(labels), bool)
    for label in range(10):
        members = np.flatnonzero(labels == label)
        test[random.permutation(members)[: round(DIGITS_TEST_FRACTION * len(members))]] = True
    return (images[~test], labels[~test]), (images[test], labels[test])


def load_mnist(path: StrPath | None = None) -> tuple[Split, Split]:
    """Load MNIST: 60,000 training and 10,000 test images of handwritten digits, 28x28 grey pixels.

    Parameters
    ----------
    path
        The folder with the four IDX files (``train-images-idx3-ubyte`` and so on, gzipped or not), or None to look in
        ``FASTCONV_DATA/mnist`` and then on the network.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        uint8 arrays of shapes (n, 28, 28), with pixels 0 (background) to 255, and (n,), with labels 0 to 9.

    Raises
    ------
    FileNotFoundError
        The files are not there and cannot be downloaded; the message says where they were looked for.
    ValueError
        A file is damaged or is not what its name says.

    References
    ----------
    Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document recognition", 1998.

    Examples
    --------
    >>> from fastconv.datasets import load_mnist
    >>> (x_train, y_train), (x_test, y_test) = load_mnist()  # doctest: +SKIP
    """
    return _load_idx_set("load_mnist", MNIST, path)


def load_fashion_mnist(path: StrPath | None = None) -> tuple[Split, Split]:
    """Load Fashion-MNIST: 60,000 training and 10,000 test images of clothes, 28x28 grey pixels.

    Parameters
    ----------
    path
        The folder with the four IDX files, or None to look in ``FASTCONV_DATA/fashion-mnist`` and then on the network.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        As `load_mnist`; the labels stand for the names in ``fastconv.datasets.FASHION_MNIST_CLASSES``.

    Raises
    ------
    FileNotFoundError, ValueError
        As `load_mnist`.

    References
    ----------
    H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine learning
    algorithms", arXiv:1708.07747, 2017.

    Examples
    --------
    >>> from fastconv.datasets import load_fashion_mnist
    >>> (x_train, y_train), (x_test, y_test) = load_fashion_mnist()  # doctest: +SKIP
    """
    return _load_idx_set("load_fashion_mnist", FASHION_MNIST, path)


def load_cifar10(path: StrPath | None = None) -> tuple[Split, Split]:
    """Load CIFAR-10: 50,000 training and 10,000 test colour photographs of 32x32 pixels.

    The binary version is read; the Python version is pickled, and unpickling can run any code.

    Parameters
    ----------
    path
        A folder with ``cifar-10-binary.tar.gz``, or with the files unpacked from it (in ``cifar-10-batches-bin`` or
        directly), or None to look in ``FASTCONV_DATA/cifar10`` and then on the network.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        uint8 arrays of shapes (n, 32, 32, 3), red, green and blue 0 to 255, and (n,), with labels 0 to 9, which stand
        for the names in ``fastconv.datasets.CIFAR10_CLASSES``.

    Raises
    ------
    FileNotFoundError, ValueError
        As `load_mnist`.

    References
    ----------
    A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009.

    Examples
    --------
    >>> from fastconv.datasets import load_cifar10
    >>> (x_train, y_train), (x_test, y_test) = load_cifar10()  # doctest: +SKIP
    """
    files = find("load_cifar10", CIFAR10, path, _cifar10_files)
    records = _cifar10_archive(files[0]) if len(files) == 1 else {str(file): file.read_bytes() for file in files}
    splits = [_cifar10_split(name, content) for name, content in records.items()]
    images, labels = (np.concatenate(arrays) for arrays in zip(*splits[:-1], strict=True))
    return (images, labels), splits[-1]


# As programs written for Keras name them: ``mnist.load_data()``. Labels of CIFAR-10 have one axis, in Keras two.
mnist = SimpleNamespace(load_data=load_mnist)
fashion_mnist = SimpleNamespace(load_data=load_fashion_mnist)
cifar10 = SimpleNamespace(load_data=load_cifar10)


def load_npz(path: StrPath) -> tuple[Split, Split]:
    """Load a data set of one's own from a ``.npz`` file.

    Parameters
    ----------
    path
        A file as ``numpy.savez`` writes it, with the arrays ``x_train``, ``y_train``, ``x_test`` and ``y_test``.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        The arrays as they are.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The file is no ``.npz`` file, is damaged, lacks an array, holds Python objects (which could run code), or holds
        arrays that do not fit together.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> from fastconv.datasets import load_npz
    >>> x, y = np.zeros((5, 8, 8), np.uint8), np.arange(5)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder, "mine.npz")
    ...     np.savez(file, x_train=x[:4], y_train=y[:4], x_test=x[4:], y_test=y[4:])
    ...     (x_train, y_train), (x_test, y_test) = load_npz(file)
    >>> x_train.shape, y_test
    ((4, 8, 8), array([4]))
    """
    x_train, y_train, x_test, y_test = _npz_arrays(Path(path), ("x_train", "y_train", "x_test", "y_test"))
    for part, x, y in (("train", x_train, y_train), ("test", x_test, y_test)):
        if x.ndim == 0 or y.ndim == 0 or len(x) != len(y):
            raise ValueError(
                f"load_npz: {path} must hold one label for each example, "
                f"got x_{part} of shape {x.shape} and y_{part} of shape {y.shape}"
            )
    for kind, train, test in (("x", x_train, x_test), ("y", y_train, y_test)):
        if train.shape[1:] != test.shape[1:]:
            raise ValueError(
                f"load_npz: {path} must hold {kind}_train and {kind}_test alike but for their length, "
                f"got shapes {train.shape} and {test.shape}"
            )
    return (x_train, y_train), (x_test, y_test)


def _idx_files(folder: Path) -> list[Path]:
    return existing(folder, [(f"{name}.gz", name) for name in IDX_FILES])


def _load_idx_set(caller: str, source: Source, path: StrPath | None) -> tuple[Split, Split]:
    x_train, y_train, x_test, y_test = find(caller, source, path, _idx_files)
    return _idx_split(caller, x_train, y_train), _idx_split(caller, x_test, y_test)


def _idx_split(caller: str, image_file: Path, label_file: Path) -> Split:
    images, labels = read_idx(image_file), read_idx(label_file)
    if images.dtype != np.uint8 or images.shape[1:] != (28, 28):
        raise ValueError(
            f"{caller}: {image_file} must hold uint8 images of shape (n, 28, 28), "
            f"got {images.dtype} of shape {images.shape}"
        )
    if labels.dtype != np.uint8 or labels.shape != images.shape[:1]:
        raise ValueError(
            f"{caller}: {label_file} must hold {len(images)} uint8 labels, one for each image in {image_file.name}, "
            f"got {labels.dtype} of shape {labels.shape}"
        )
    _check_labels(caller, str(label_file), labels)
    return images, labels


def _check_labels(caller: str, file: str, labels: Array) -> None:
    wrong = np.flatnonzero(labels > 9)
    if wrong.size:
        raise ValueError(f"{caller}: {file} must hold labels 0 to 9, got {labels[wrong[0]]:g} at position {wrong[0]}")


def _digits_table(path: StrPath | None) -> Array:
    """1,797 rows of 64 pixels and a label."""
    if path is None:
        try:
            from sklearn.datasets import load_digits as bundled_digits
        except ImportError as error:
            raise ImportError('load_digits: the digits come with scikit-learn: pip install "fastconv[demo]"') from error
        return np.column_stack(bundled_digits(return_X_y=True))
    file = Path(path, "digits.csv.gz")
    if not file.is_file():
        raise FileNotFoundError(f"load_digits: path must be a folder with digits.csv.gz, got {os.fspath(path)!r}")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "loadtxt: input contained no data")
            table = np.loadtxt(file, delimiter=",", ndmin=2)
    except (ValueError, OSError, EOFError, zlib.error) as error:
        raise ValueError(
            f"load_digits: {file} must be a gzipped table of numbers, got a damaged one: {error}"
        ) from error
    if table.shape[1] != 65 or (table[:, :64] > 16).any() or (table < 0).any() or (table % 1).any():
        values = f"values {table.min():g} to {table.max():g}" if table.size else "no values"
        raise ValueError(
            f"load_digits: {file} must hold rows of 64 pixels 0 to 16 and a label, whole numbers, "
            f"got shape {table.shape} and {values}"
        )
    _check_labels("load_digits", str(file), table[:, 64])
    return table


def _cifar10_files(folder: Path) -> list[Path]:
    archive = folder / CIFAR10_ARCHIVE
    return [archive] if archive.is_file() else existing(folder, [(f"{CIFAR10_FOLDER}/{n}", n) for n in CIFAR10_FILES])


def _cifar10_archive(archive: Path) -> dict[str, bytes]:
    """Read the six files inside the archive into memory: nothing is unpacked to disk."""
    contents = {}
    try:
        with tarfile.open(archive) as tar:
            for name in CIFAR10_FILES:
                member = tar.extractfile(f"{CIFAR10_FOLDER}/{name}")
                if member is None:
                    raise KeyError(f"{name} is not a file")
                contents[f"{archive}/{name}"] = member.read()
    except (tarfile.TarError, KeyError, OSError, EOFError, zlib.error) as error:
        raise ValueError(
            f"load_cifar10: {archive} must be a whole tar archive with {CIFAR10_FOLDER}/*.bin, got one with: {error}"
        ) from error
    return contents


def _cifar10_split(name: str, content: bytes) -> Split:
    size = 1 + 3 * 32 * 32
    if not content or len(content) % size:
        raise ValueError(
            f"load_cifar10: {name} must hold records of 1 + 3*32*32 = {size} bytes, "
            f"got {len(content)} = {len(content) // size}*{size} + {len(content) % size} bytes"
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, size)
    labels = records[:, 0].copy()
    _check_labels("load_cifar10", name, labels)
    return np.ascontiguousarray(records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)), labels


def _npz_arrays(path: Path, names: tuple[str, ...]) -> list[Array]:
    # NumPy leaves a file of its own open where zipfile refuses the directory.
    with path.open("rb") as file:
        if not zipfile.is_zipfile(file):
            raise ValueError(f"load_npz: {path} must be a whole .npz file, got another format or a truncated one")
        file.seek(0)
        return _arrays_of(path, file, names)


def _arrays_of(path: Path, file: IO[bytes], names: tuple[str, ...]) -> list[Array]:
    try:
        with np.load(file, allow_pickle=False) as arrays:
            missing = [name for name in names if name not in arrays]
            if missing:
                raise ValueError(f"it holds {', '.join(arrays.files) or 'nothing'} and lacks {', '.join(missing)}")
            return [arrays[name] for name in names]
    # zipfile raises OSError where it is sent beyond the file, RuntimeError for what it cannot decode.
    except (ValueError, zipfile.BadZipFile, EOFError, zlib.error, OSError, RuntimeError) as error:
        raise ValueError(
            f"load_npz: {path} must hold the arrays {', '.join(names)}, got a file with: {error}"
        ) from error
