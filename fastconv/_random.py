"""The one source of randomness for whatever was given no seed of its own."""

import threading
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.random import Generator, SeedSequence

_lock = threading.Lock()
_root: "SeedSequence | None" = None


def set_random_seed(seed: int) -> None:
    """Make everything random that is not given a seed repeat exactly from here on, as Keras' function of this name.

    It covers initial weights, and the seeds that `fit` and `Dropout` draw where they are given none. Whatever is given
    a seed of its own does not depend on it. NumPy's own global generator is left alone.

    Parameters
    ----------
    seed : int
        Not negative.

    Examples
    --------
    >>> from fastconv import layers, utils
    >>> utils.set_random_seed(1)
    >>> first = layers.Dense(2); first.build((None, 3))
    >>> utils.set_random_seed(1)
    >>> second = layers.Dense(2); second.build((None, 3))
    >>> bool((first.params["kernel"] == second.params["kernel"]).all())
    True
    """
    global _root
    entropy = check_seed("set_random_seed", seed)
    with _lock:
        _root = np.random.SeedSequence(entropy)


def fresh_seed() -> int:
    """Draw a new seed of 64 bits, the next one in the order that `set_random_seed` started."""
    global _root
    with _lock:
        if _root is None:
            _root = np.random.SeedSequence()
        (child,) = _root.spawn(1)
    return int(child.generate_state(1, np.uint64)[0])


def check_seed(function: str, seed: object) -> int:
    """Return a user's seed as an int."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise TypeError(f"{function}: seed must be an integer, got {seed!r}")
    if seed < 0:
        raise ValueError(f"{function}: seed must not be negative, got {seed}")
    return int(seed)


def generator(*entropy: int) -> "Generator":
    """Return a generator that depends on `entropy` alone."""
    return np.random.default_rng(list(entropy))
