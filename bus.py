"""Carries news: which lists have changed, through this process or another on the same database."""

import asyncio
import logging
from collections.abc import Callable

from models import history, links
from models.database import Doors
from models.errors import Unavailable

log = logging.getLogger(__name__)
PERIOD = 0.05  # seconds between two looks for what other processes did; one takes 3 us

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

    async def close(self) -> None:
        """End."""
        self.riding.cancel()
        await asyncio.wait([self.riding])
