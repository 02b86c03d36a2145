"""Where the files of a published data set are: in a folder, below FASTCONV_DATA, or on the network."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

StrPath = str | os.PathLike[str]


class Source(NamedTuple):
    """Where a set is published: file names below an address, each with its MD5."""

    name: str
    address: str
    checksums: dict[str, str]


def find(caller: str, source: Source, path: StrPath | None, match: Callable[[Path], list[Path]]) -> list[Path]:
    """Find the files of a set.

    Parameters
    ----------
    caller
        The public function, for the error text.
    source
        The set.
    path
        The only folder to look in; or None for the set's folder below FASTCONV_DATA, then the network.
    match
        Gives the files wanted from a folder, or none where one is missing.

    Raises
    ------
    FileNotFoundError
        The files are nowhere; the message says where they were looked for and how to set FASTCONV_DATA.
    ValueError
        A downloaded file does not have the published checksum.
    """
    if path is not None:
        files = match(Path(path))
        if not files:
            raise FileNotFoundError(
                f"{caller}: path must be a folder with {_names(source)}, got {os.fspath(path)!r}; "
                f"without a path, {_how_to_set(source)} is used"
            )
        return files
    root = os.environ.get("FASTCONV_DATA")
    if root:
        files = match(Path(root, source.name))
        if files:
            return files
    looked = f"in {Path(root, source.name)}" if root else "nowhere on disk, for FASTCONV_DATA is not set,"
    try:
        return match(_download(source))
    except (ImportError, OSError) as error:
        raise FileNotFoundError(
            f"{caller}: {_names(source)} must be on disk or within reach, looked {looked} and at {source.address} "
            f"({error}); set {_how_to_set(source)}"
        ) from error


def _names(source: Source) -> str:
    return ", ".join(source.checksums)


def _how_to_set(source: Source) -> str:
    return f"FASTCONV_DATA (a directory whose folder {source.name!r} holds the files)"


def _download(source: Source) -> Path:
    try:
        import pooch
    except ImportError as error:
        raise ImportError('downloading needs pooch: pip install "fastconv[demo]"') from error
    folder = Path(pooch.os_cache("fastconv"), source.name)
    for name, md5 in source.checksums.items():
        pooch.retrieve(source.address + name, known_hash=f"md5:{md5}", fname=name, path=folder)
    return folder


def existing(folder: Path, wanted: list[tuple[str, str]]) -> list[Path]:
    """For each wanted file the first of its two names that exists; nothing where a file has neither."""
    found = [next((folder / name for name in names if (folder / name).is_file()), None) for names in wanted]
    return [file for file in found if file is not None] if None not in found else []
