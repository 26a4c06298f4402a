"""The same look-ups where the database is a server."""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from models.database import PreparedQuery, UnitResult
from models.errors import NotFound
from models.postgres import PostgresStore
from services.lookup_cache import LookupCache

T = TypeVar("T")


class PostgresLookupCache(LookupCache):
    """The same for a database that is asked in a thread, for all requests of a turn at once.

    Two equal snapshots of PostgreSQL see equal data. So what is known as of one need not be looked
    up again while the next is the same, which is asked after the requests that it is good for came.
    """

    poll_every = 1
    store: PostgresStore  # type: ignore[assignment]

    def __init__(self, store: PostgresStore) -> None:
        super().__init__(store)  # type: ignore[arg-type]
        self.as_of: tuple[str, int] = ("", 0)  # type: ignore[assignment]
        self.waiting: list[tuple[Any, asyncio.Future[Any]]] = []
        self.asking: asyncio.Task[None] | None = None

    async def __call__(self, unit: Callable[..., T], *args: Any) -> T:
        """Return what `unit` answers, a function of a model that takes a `look`."""
        key = (unit, args)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self.waiting.append((key, future))
        if not self.asking:
            self.asking = loop.create_task(self.ask())
        return await future

    async def ask(self) -> None:
        """Answer those who wait, and those who come meanwhile after them."""
        loop = asyncio.get_running_loop()
        while self.waiting:
            waiting, self.waiting = self.waiting, []
            keys = {key for key, _ in waiting}
            done: asyncio.Future[UnitResult] = loop.create_future()

            def answered(*outcome: Any, done: asyncio.Future[UnitResult] = done) -> None:
                loop.call_soon_threadsafe(done.set_result, outcome)

            self.store.lookup(partial(self.find, keys, self.known, self.as_of), answered)
            answer, error = await done
            if error is None:
                moment, found = answer
                if moment != self.as_of:
                    self.as_of, self.known = moment, {}
                self.known |= {key: result for key, (result, no) in found.items() if no is None}
            for key, future in waiting:
                result, refusal = (None, error) if error else found[key]
                if future.cancelled():
                    continue
                if refusal:
                    future.set_exception(refusal)
                else:
                    future.set_result(result)
        self.asking = None

    def find(self, keys: set[Any], known: dict[Any, Any], as_of: tuple[str, int]) -> Any:
        """Return the moment, and an outcome for each key (in a thread)."""
        now = (self.store.snapshot_id(), int(time.time()))
        found: dict[Any, UnitResult] = {}
        for key in keys:
            unit, args = key
            try:
                if now == as_of and key in known:
                    found[key] = (known[key], None)
                else:
                    found[key] = (unit(*args, lookup=PreparedQuery.__call__), None)
            except NotFound as refusal:
                found[key] = (None, refusal)
        return now, found

    async def snapshot_id(self) -> object:
        """Return what differs when anyone has committed since."""
        await self(nothing)
        return self.as_of[0]


def nothing(lookup: object) -> None:
    """Look nothing up."""
