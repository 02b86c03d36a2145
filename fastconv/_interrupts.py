"""Ctrl-C, held back while something must not be left half-way."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interrupts_delayed() -> Iterator[None]:
    """Hold Ctrl-C back until the block is done, so that no update of the weights is left half-way.

    Only the main thread receives it, and only there may handlers be changed.
    """
    handler = signal.getsignal(signal.SIGINT) if threading.current_thread() is threading.main_thread() else None
    if handler is None:
        yield
        return
    received = False

    def remember(signum: int, frame: FrameType | None) -> None:
        nonlocal received
        received = True

    signal.signal(signal.SIGINT, remember)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if received:
            signal.raise_signal(signal.SIGINT)
