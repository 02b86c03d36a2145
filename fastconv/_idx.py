"""The IDX file format, in which MNIST and its relatives are published."""

import gzip
import math
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

GZIP_MAGIC = b"\x1f\x8b"
DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: str | os.PathLike[str]) -> npt.NDArray[Any]:
    """Read one array from an IDX file, gzipped or not.

    An IDX file is two zero bytes, a byte for the element type, a byte for the rank ``r``, ``r`` sizes as big-endian
    uint32, and the elements in C order, big-endian. Whether the file is gzipped is told by its content, not its name.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    numpy.ndarray
        A new array of the file's shape and type (uint8, int8, int16, int32, float32 or float64) in the machine's byte
        order.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The file is no IDX file, is damaged, or is longer or shorter than its header says.

    References
    ----------
    Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits", section "File formats".

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from fastconv.datasets import read_idx
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder, "labels-idx1-ubyte")
    ...     _ = file.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 1]))
    ...     read_idx(file)
    array([7, 2, 1], dtype=uint8)
    """
    content = _content(Path(path))
    if len(content) < 4 or content[:2] != b"\0\0":
        raise ValueError(
            f"read_idx: {path} must be an IDX file, which starts with two zero bytes, an element type and a rank, "
            f"got {_first_bytes(content)}"
        )
    code, rank = content[2], content[3]
    if code not in DTYPES:
        known = ", ".join(f"0x{known:02x}" for known in DTYPES)
        raise ValueError(f"read_idx: {path} must have an element type out of {known}, got 0x{code:02x}")
    dtype = np.dtype(DTYPES[code])
    start = 4 + 4 * rank
    if len(content) < start:
        raise ValueError(
            f"read_idx: {path} must hold {start} bytes of header for rank {rank}, got {len(content)} bytes: truncated"
        )
    shape = tuple(int.from_bytes(content[i : i + 4], "big") for i in range(4, start, 4))
    wanted = start + math.prod(shape) * dtype.itemsize
    if len(content) != wanted:
        fault = "truncated" if len(content) < wanted else "trailing bytes"
        raise ValueError(
            f"read_idx: {path} must hold {wanted} bytes for an array of shape {shape} and type {dtype.name}, "
            f"got {len(content)}: {fault}"
        )
    return np.frombuffer(content, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))


def _content(path: Path) -> bytes:
    raw = path.read_bytes()
    if not raw.startswith(GZIP_MAGIC):
        return raw
    try:
        return gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"read_idx: {path} must be a whole gzip file, got a damaged one: {error}") from error


def _first_bytes(content: bytes) -> str:
    return f"bytes {content[:4].hex(' ')}" if content else "an empty file"
