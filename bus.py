"""Carries news: which lists have changed, through this process or another on the same database."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from models import history, links, lists
from models.database import Doors
from models.errors import Unavailable
from models.postgres import PostgresDoors

log = logging.getLogger(__name__)
PERIOD = 0.05  # seconds between two looks for what other processes did; one takes 3 us
SWEEP = 1  # seconds between two looks at the versions of all lists that are watched

News = Callable[[int, int, str], None]  # takes a list, its version, and the kind of the change


class Bus:
    """Looks whether anyone has committed, and tells `announce` of each change since, in order.

    And of lists for whose links titles have arrived: these have the kind "title", and no version.
    What this process commits it is told at once: see `BaseHandler.commit`.
    """

    def __init__(self, doors: Doors, announce: News) -> None:
        self.doors = doors
        self.announce = announce
        self.called = False

    def open(self) -> None:
        """Begin with what comes from now on."""
        self.last = history.newest(self.doors.look)
        self.titled = links.newest(self.doors.look)
        self.as_of = 0
        self.riding = asyncio.get_running_loop().create_task(self.ride())

    def look_soon(self) -> None:
        """Look in this turn of the event loop, once however many ask."""
        if not self.called:
            self.called = True
            asyncio.get_running_loop().call_soon(self.look)

    async def ride(self) -> None:
        """Look every now and then."""
        while True:
            await asyncio.sleep(PERIOD)
            try:
                self.look()
                await self.sweep()
            except Exception:  # the next look may go well, and no news for ever would be worse
                log.exception("The bus could not look")

    def look(self) -> None:
        """Announce what was committed since the last look; what can't be read now comes later."""
        self.called = False
        try:
            commits = self.doors.commits()
            if commits == self.as_of:
                return
            news = history.news(self.last, self.doors.look)
            titled = links.news(self.titled, self.doors.look)
        except Unavailable:
            self.as_of = 0  # another connection counts from the start
            return
        self.as_of = commits
        for number, list_id, version, kind in news:
            self.last = number
            self.announce(list_id, version, kind)
        for number, list_id in titled:
            self.titled = number
            self.announce(list_id, 0, "title")

    async def sweep(self) -> None:
        """Look for what `look` can't see."""

    async def close(self) -> None:
        """End."""
        self.riding.cancel()
        await asyncio.wait([self.riding])


class PostgresBus(Bus):
    """The same on PostgreSQL, where changes don't get their ids in the order of their commits.

    What this process commits is noted as it does: see `models.database.Noted`. What others commit
    shows in the versions of the lists that are `watched` here, which `lookups` finds.
    """

    doors: PostgresDoors  # type: ignore[assignment]

    def __init__(
        self,
        doors: PostgresDoors,
        announce: News,
        watched: Mapping[int, int],
        lookups: Callable[..., Awaitable[Any]],
    ) -> None:
        super().__init__(doors, announce)  # type: ignore[arg-type]
        self.watched = watched
        self.arrived: dict[int, int] = {}  # by list: when the last title of a link came
        self.lookups = lookups

    def open(self) -> None:
        """Begin with what comes from now on."""
        self.swept = time.monotonic()
        self.riding = asyncio.get_running_loop().create_task(self.ride())

    def look(self) -> None:
        """Announce what this process has committed since the last look."""
        self.called = False
        while self.doors.news:
            self.announce(*self.doors.news.popleft())

    async def sweep(self) -> None:
        """Announce what others have committed, of whatever kind it was."""
        if time.monotonic() - self.swept < SWEEP or not self.watched:
            return
        self.swept = time.monotonic()
        with suppress(Unavailable):  # the next one may find it
            found = await self.lookups(lists.versions, tuple(self.watched))
            before, self.arrived = self.arrived, {number: titles for number, _, titles in found}
            for list_id, version, titles in found:
                if version > self.watched.get(list_id, version):
                    self.announce(list_id, version, "list")
                if titles > before.get(list_id, 0):
                    self.announce(list_id, 0, "title")
