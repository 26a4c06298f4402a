"""Carries news: which lists have changed, through this process or another on the same database."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

from models import history, links, lists
from models.errors import Unavailable

log = logging.getLogger(__name__)
PERIOD = 0.05  # seconds between two looks for what other processes did; one takes 3 us
SWEEP = 1  # seconds between two looks at the versions of all lists that are watched

News = Callable[[int, int, str], None]  # takes a list, its version, and the kind of the change


class ChangeFeed:
    """Looks whether anyone has committed, and tells `announce` of each change since, in order.

    And of lists for whose links titles have arrived: these have the kind "title", and no version.
    What this process commits it is told at once: see `BaseHandler.commit`.
    """

    def __init__(self, app: Any) -> None:
        self.store: Any = app.store
        self.announce: News = app.hub.announce
        self.publish: Callable[..., object] = lambda *news: None  # for other processes
        self.called = False

    async def open(self) -> None:
        """Begin with what comes from now on."""
        self.last = history.newest(self.store.lookup)
        self.titled = links.newest(self.store.lookup)
        self.as_of = 0
        self.riding = asyncio.get_running_loop().create_task(self.run())

    def schedule_poll(self) -> None:
        """Look in this turn of the event loop, once however many ask."""
        if not self.called:
            self.called = True
            asyncio.get_running_loop().call_soon(self.poll)

    async def run(self) -> None:
        """Look every now and then."""
        while True:
            await asyncio.sleep(PERIOD)
            try:
                self.poll()
                await self.poll_versions()
            except Exception:  # the next look may go well, and no news for ever would be worse
                log.exception("Looking for changes has failed")

    async def on_notification(self, list_id: int, version: int, kind: str) -> None:
        """Look at once, as another process says that it has committed this."""
        self.poll()

    def poll(self) -> None:
        """Announce what was committed since the last look; what can't be read now comes later."""
        own, self.called = self.called, False
        try:
            commits = self.store.commits()
            if commits == self.as_of:
                return
            news = history.news(self.last, self.store.lookup)
            titled = links.news(self.titled, self.store.lookup)
        except Unavailable:
            self.as_of = 0  # another connection counts from the start
            return
        self.as_of = commits
        for number, list_id, version, kind in news:
            self.last = number
            self.announce(list_id, version, kind)
            if own:
                self.publish(list_id, version, kind)
        for number, list_id in titled:
            self.titled = number
            self.announce(list_id, 0, "title")

    async def poll_versions(self) -> None:
        """Look for what `look` can't see."""

    async def close(self) -> None:
        """End."""
        self.riding.cancel()
        await asyncio.wait([self.riding])


class PostgresChangeFeed(ChangeFeed):
    """The same on PostgreSQL, where changes don't get their ids in the order of their commits.

    What this process commits is reported by `store.on_changes`. What others commit shows in the versions of the lists that are `watched` here, which `lookups` finds.
    """

    def __init__(self, app: Any) -> None:
        super().__init__(app)
        self.watched: Mapping[int, int] = app.hub.versions
        self.arrived: dict[int, int] = {}  # by list: when the last title of a link came
        self.lookups = app.lookups
        self.committed: deque[tuple[int, int, str]] = deque()
        self.store.on_changes = self.committed.extend

    async def open(self) -> None:
        """Begin with what comes from now on."""
        self.swept = time.monotonic()
        self.riding = asyncio.get_running_loop().create_task(self.run())

    def poll(self) -> None:
        """Announce what this process has committed since the last look."""
        self.called = False
        while self.committed:
            news = self.committed.popleft()
            self.announce(*news)
            self.publish(*news)

    async def on_notification(self, list_id: int, version: int, kind: str) -> None:
        """Look at this list; what is said of it is only a reason to do so."""
        known = self.watched.get(list_id)
        if known is not None and (version > known or kind == "title"):
            await self.find([list_id])

    async def poll_versions(self) -> None:
        """Announce what others have committed, of whatever kind it was."""
        if time.monotonic() - self.swept < SWEEP or not self.watched:
            return
        self.swept = time.monotonic()
        self.arrived = {number: at for number, at in self.arrived.items() if number in self.watched}
        await self.find(self.watched)

    async def find(self, numbers: Iterable[int]) -> None:
        """Announce what has changed on some lists."""
        with suppress(Unavailable):  # the next sweep may find it
            for list_id, version, revision in await self.lookups(lists.versions, tuple(numbers)):
                if version > self.watched.get(list_id, version):
                    self.announce(list_id, version, "list")
                if revision > self.arrived.get(list_id, 0):
                    self.arrived[list_id] = revision
                    self.announce(list_id, 0, "title")
