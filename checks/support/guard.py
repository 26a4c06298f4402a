"""Ending what would never end."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class EndlessError(Exception):
    """It was still at it after thousands of times what it may take."""


@contextmanager
def guarded(seconds: float = 60) -> Iterator[None]:
    """Raise EndlessError in the main thread, if what is inside doesn't end."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise EndlessError

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
