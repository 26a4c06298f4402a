"""Waiting until something is so."""

import time
from collections.abc import Callable
from typing import Any

PATIENCE = 60  # seconds; nothing here takes as long unless it is broken


def until(true: Callable[..., object], *args: Any) -> None:
    """Wait until something is true."""
    end = time.monotonic() + PATIENCE
    while not true(*args):
        assert time.monotonic() < end
        time.sleep(0.02)


def wait(told: Callable[[], bool]) -> None:
    """Wait until something is so; ten seconds at most."""
    end = time.monotonic() + 10
    while not told():
        assert time.monotonic() < end
        time.sleep(0.01)
