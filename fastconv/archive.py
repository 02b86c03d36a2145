"""Files of named arrays and one JSON text, in NumPy's .npz format: written all or nothing, read without trust.

A file may come from anywhere. What is read is compared with what is expected before memory is taken for it: entries
are stored, not compressed, so that none is larger than the file; no pickled object is ever loaded.
"""

import json
import math
import os
import secrets
import struct
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

Array = NDArray[Any]

_CONFIG = "config"


@contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Open a file for writing that takes the place of `path` only when the block has ended without an exception."""
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(target)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and str(error.filename) == str(temporary):
            raise OSError(error.errno, error.strerror, os.fspath(path)) from None
        raise


def write(path: str | os.PathLike[str], config: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
    """Write an archive, or leave what was at `path`."""
    text = np.frombuffer(json.dumps(config).encode(), np.uint8)
    with atomic_file(path) as stream:
        np.savez(stream, allow_pickle=False, **{_CONFIG: text}, **arrays)


class Archive:
    """An archive that is open for reading, as a context manager.

    Every ValueError that is raised in its block, by it or by whoever makes sense of its contents, gets the file's name
    in front of its text; errors of the zip format become ValueErrors.
    """

    def __init__(self, function: str, path: str | os.PathLike[str], kind: str = "model") -> None:
        self._prefix = f"{function}: {os.fspath(path)} must be a complete {kind} file"
        self._stream = open(path, "rb")  # noqa: SIM115 - closed by __exit__

    def __enter__(self) -> Self:
        try:
            self._size = os.fstat(self._stream.fileno()).st_size
            self._zip = zipfile.ZipFile(self._stream)
        except BaseException as error:
            self._stream.close()
            self._explain(error)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._zip.close()
        self._stream.close()
        if error is not None:
            self._explain(error)

    def config(self) -> dict[str, Any]:
        """Return the JSON text as a dict."""
        text = self._read(_CONFIG, None, np.dtype(np.uint8)).tobytes()
        config = json.loads(text)
        if not isinstance(config, dict):
            raise ValueError(f"config must be a JSON object, got {str(config)[:80]!r}")
        return config

    def __contains__(self, key: str) -> bool:
        return f"{key}.npy" in self._zip.NameToInfo

    def read(self, key: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """Return an array that must have this shape and dtype."""
        return self._read(key, shape, dtype)

    def _read(self, key: str, shape: tuple[int, ...] | None, dtype: np.dtype[Any]) -> Array:
        if key not in self:
            raise ValueError(f"entry {key!r} is missing")
        info = self._zip.getinfo(f"{key}.npy")
        if info.compress_type != zipfile.ZIP_STORED or info.file_size > self._size:
            raise ValueError(f"entry {key!r} must be stored without compression, within the file's {self._size} bytes")
        with self._zip.open(info) as stream:
            found, fortran, found_dtype = _read_header(key, stream)
            wanted = found if shape is None else shape
            if found != wanted or found_dtype != dtype or fortran:
                order = " in Fortran order" if fortran else ""
                raise ValueError(
                    f"entry {key!r} must have shape {wanted} and {dtype}, got {found} and {found_dtype}{order}"
                )
            size = math.prod(found) * dtype.itemsize
            if size > info.file_size:
                raise ValueError(f"entry {key!r} must hold {size} bytes for shape {found}, got {info.file_size}")
            data = stream.read()
        if len(data) != size:
            raise ValueError(f"entry {key!r} must hold {size} bytes for shape {found}, got {len(data)}")
        return np.frombuffer(bytearray(data), dtype).reshape(found)

    def _explain(self, error: BaseException) -> None:
        expected = (
            ValueError,
            zipfile.BadZipFile,
            EOFError,
            struct.error,
            NotImplementedError,
            RuntimeError,
            OverflowError,
        )
        if isinstance(error, (*expected, OSError)):
            raise ValueError(f"{self._prefix}: {error or type(error).__name__}") from error


def _read_header(key: str, stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = npy.read_magic(stream)
    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"entry {key!r} must be of npy version 1.0 or 2.0, got {version}")
    try:
        return readers[version](stream)
    except Exception as error:  # NumPy's parser lets through whatever its tokenizer and ast raise.
        raise ValueError(f"entry {key!r} must have an array header, got one that does not parse: {error}") from error
