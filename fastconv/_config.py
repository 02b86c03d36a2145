"""Number of threads, precision, and what this installation can do."""

import os
import warnings
from collections.abc import Mapping
from types import TracebackType

import fastconv
from fastconv import _core

# Far above any use; far below where a process runs out of threads.
_MAX_THREADS = 1024


class _ThreadScope:
    """What `set_num_threads` returns: leaving a ``with`` block restores the earlier number."""

    def __init__(self, previous: int) -> None:
        self._previous = previous

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _core.set_threads(self._previous)


def get_num_threads() -> int:
    """Return the number of threads that an operation may use.

    At import it is FASTCONV_NUM_THREADS, else OMP_NUM_THREADS, else the smaller of the CPUs that this process may run
    on and the CPU quota of its control group. It is 1 in a forked child whose parent had used threads.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.get_num_threads() >= 1
    True
    """
    return _core.get_threads()


def set_num_threads(n: int) -> _ThreadScope:
    """Set the number of threads that an operation may use, for the whole process.

    Results do not depend on it, bit for bit. Small operations use one thread in any case.

    Parameters
    ----------
    n : int
        From 1 to 1024.

    Returns
    -------
    context manager
        For ``with fc.set_num_threads(1): ...``, at whose end the earlier number is back. Without ``with`` the number
        stays.

    Raises
    ------
    TypeError
        `n` is no integer.
    ValueError
        `n` is out of range.

    Examples
    --------
    >>> import fastconv as fc
    >>> before = fc.get_num_threads()
    >>> with fc.set_num_threads(1):
    ...     fc.get_num_threads()
    1
    >>> fc.get_num_threads() == before
    True
    """
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise TypeError(f"set_num_threads: n must be an integer, got {n!r}")
    if not 1 <= n <= _MAX_THREADS:
        raise ValueError(f"set_num_threads: n must be from 1 to {_MAX_THREADS}, got {n}")
    previous = _core.get_threads()
    _core.set_threads(int(n))
    return _ThreadScope(previous)


class _PrecisionScope:
    """What `set_precision` returns: leaving a ``with`` block restores the earlier precision."""

    def __init__(self, strict: bool) -> None:
        self._strict = strict

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _core.set_strict(self._strict)


def get_precision() -> str:
    """Return "fast" or "strict", see `set_precision`.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.get_precision()
    'fast'
    """
    return "strict" if _core.get_strict() else "fast"


def set_precision(precision: str) -> _PrecisionScope:
    """Choose between speed and accuracy where nobody names an algorithm, for the whole process.

    With "fast", which is the default, ``algorithm="auto"`` may take Winograd's algorithm in float32: about half the
    time, and errors several times those of direct convolution (`fastconv.functional.conv2d` has the figures). With
    "strict" it keeps to direct convolution. float64 is never computed with Winograd
    unless a call asks for it.

    Parameters
    ----------
    precision : {"fast", "strict"}

    Returns
    -------
    context manager
        For ``with fc.set_precision("strict"): ...``, at whose end the earlier precision is back. Without ``with`` it
        stays.

    Raises
    ------
    ValueError
        Another word.

    Examples
    --------
    >>> import fastconv as fc
    >>> with fc.set_precision("strict"):
    ...     fc.get_precision()
    'strict'
    >>> fc.get_precision()
    'fast'
    """
    if precision not in ("fast", "strict"):
        raise ValueError(f"set_precision: precision must be 'fast' or 'strict', got {precision!r}")
    previous = _core.get_strict()
    _core.set_strict(precision == "strict")
    return _PrecisionScope(previous)


def default_threads(environ: Mapping[str, str] = os.environ) -> int:
    """Determine the number of threads at import.

    Raises
    ------
    ValueError
        FASTCONV_NUM_THREADS is no number from 1 to 1024. (A bad OMP_NUM_THREADS, which may be meant for other
        libraries, is a RuntimeWarning and counts as not set.)
    """
    own = environ.get("FASTCONV_NUM_THREADS", "").strip()
    if own:
        if not _is_count(own):
            raise ValueError(f"FASTCONV_NUM_THREADS must be a number from 1 to {_MAX_THREADS}, got {own!r}")
        return int(own)
    shared = environ.get("OMP_NUM_THREADS", "").strip()
    if shared:
        # A list has one number for each level of nested parallel regions; there is one level here.
        outermost = shared.split(",")[0].strip()
        if _is_count(outermost):
            return int(outermost)
        warnings.warn(
            f"OMP_NUM_THREADS must be a number from 1 to {_MAX_THREADS}, or a list of them, got {shared!r}; ignored",
            RuntimeWarning,
            stacklevel=2,
        )
    return max(1, min(_affinity(), _cgroup_quota(), _MAX_THREADS))


def release_memory() -> int:
    """Give the memory that is kept for later calls back to the system.

    Operations keep up to 256 MiB of scratch memory and 512 MiB of arrays that nobody uses any more, since touching new
    memory for the first time costs more than a pass over it.

    Returns
    -------
    int
        Bytes given back.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv as fc
    >>> _ = fc.release_memory()
    >>> y = fc.functional.relu(np.ones((256, 1024), np.float32))
    >>> fc.release_memory()
    0
    >>> del y
    >>> fc.release_memory() >= 2**20
    True
    """
    kept = _core.scratch_bytes() + _core.array_bytes()
    _core.scratch_trim()
    _core.array_trim()
    return kept


def show_config() -> None:
    """Print version, instruction sets, compiler, OpenMP, threads, memory that is kept and the kernels in use by id.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.show_config()
    fastconv ...
    instruction set  ...
    """
    available = ", ".join(name for name, present in _core.isas() if present)
    rows = [
        ("instruction set", f"{_core.isa()} (available: {available})"),
        ("compiler", _core.compiler()),
        ("OpenMP", "yes" if _core.has_openmp() else "no: one thread"),
        ("threads", str(_core.get_threads())),
        ("precision", get_precision()),
        ("memory kept", f"{(_core.scratch_bytes() + _core.array_bytes()) / 2**20:.1f} MiB"),
        *((("" if row else "kernels"), kernel) for row, kernel in enumerate(_core.kernels())),
    ]
    print("fastconv", fastconv.__version__)
    for label, value in rows:
        print(f"{label:16} {value}")


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and 1 <= int(text) <= _MAX_THREADS


def _affinity() -> int:
    """Count the CPUs that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cgroup_quota(membership: str = "/proc/self/cgroup", mount: str = "/sys/fs/cgroup") -> int:
    """Read the CPU quota of this process's control group (version 1 or 2) in whole CPUs; `_MAX_THREADS` if none.

    The quotas of the groups above count too. In a container the path may be that of the host, of which only the group
    itself is mounted, as the root: reading every group from the root down finds the quota either way. Rounded down:
    a thread past the quota is stopped, and all the others wait for it.
    """
    smallest = float(_MAX_THREADS)
    for line in _read(membership).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        roots = [controllers, "cpu"] if controllers else ["", "unified"]
        parts = [part for part in path.split("/") if part not in ("", "..")]
        for root in roots:
            for depth in range(len(parts) + 1):
                group = os.path.join(mount, root, *parts[:depth])
                smallest = min(smallest, _group_quota(group, version=1 if controllers else 2))
    return max(1, int(smallest))


def _group_quota(group: str, version: int) -> float:
    if version == 2:
        fields = _read(os.path.join(group, "cpu.max")).split()
    else:
        fields = [
            *_read(os.path.join(group, "cpu.cfs_quota_us")).split(),
            *_read(os.path.join(group, "cpu.cfs_period_us")).split(),
        ]
    # "max" in version 2 and -1 in version 1 stand for no quota.
    if len(fields) == 2 and all(map(str.isdigit, fields)) and int(fields[1]) > 0:
        return int(fields[0]) / int(fields[1])
    return float("inf")


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
