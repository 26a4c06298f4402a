"""Look-ups by key, remembered until anyone commits."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from models.clock import clock
from models.database import SqliteStore

T = TypeVar("T")
KEYS_LIMIT = 10_000  # that are remembered: tokens that are none, too


class LookupCache:
    """Looks things up by key, on the event loop itself, and remembers them until anyone commits.

    Nothing else is read on the loop: a look-up takes microseconds, a tenth of the way to another
    thread and back. Whether anyone has committed is asked once in a turn of the loop. A request is
    read after its turn began, so what it gets is never older than what was acknowledged before.
    """

    poll_every = 0.05  # seconds between two looks whether anyone has committed; one takes 3 us

    def __init__(self, store: SqliteStore) -> None:
        self.store = store
        self.known: dict[Any, Any] = {}
        self.as_of = (0, 0)
        self.asked = False

    async def __call__(self, unit: Callable[..., T], *args: Any) -> T:
        """Return what `unit` returns, a function of a model that takes a `lookup`."""
        try:
            if not self.asked:
                self.asked = True
                asyncio.get_running_loop().call_soon(self.begin_turn)
                now = self.store.commits(), int(clock.seconds())  # by which sessions end, too
                if now != self.as_of or len(self.known) > KEYS_LIMIT:
                    self.known.clear()
                    self.as_of = now
            key = (unit, args)
            if key not in self.known:
                self.known[key] = unit(*args, lookup=self.store.lookup)
            return self.known[key]  # type: ignore[no-any-return]
        except Exception:  # after which a new connection counts commits from the start
            self.known.clear()
            self.as_of = (0, 0)
            raise

    def begin_turn(self) -> None:
        self.asked = False

    async def snapshot_id(self) -> object:
        """Return what differs when anyone has committed since."""
        return self.store.commits()
