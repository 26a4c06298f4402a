"""Who has which list open, in any process: its page shows that to those who have it open too."""

import asyncio
import logging
import secrets
import time
from collections import defaultdict
from contextlib import suppress
from typing import Any

from models import presence
from models.errors import Unavailable
from services.app_base import BaseApp, Service
from services.hub import message

PERIOD = 1  # seconds between two looks
LINGER = 3  # seconds that someone who has left is still shown: a page that reloads
REPEAT = 15  # seconds after which other processes are told again, though nothing has changed
PROCESSES = 100  # from which messages are kept
log = logging.getLogger(__name__)

Place = tuple[int, str]  # a list's id, and the name of someone who has it open


class Presence(Service):
    """Tells windows who else has their list open, and other processes who is connected to this one.

    These are told through Redis while it is there, and otherwise by rows of the table.
    """

    def __init__(self, app: BaseApp) -> None:
        super().__init__(app)
        app.others_here = self.others
        self.process = secrets.token_hex(16)
        self.names: dict[int, str] = {}  # by id: of the connected users who show where they are
        self.seen: dict[Place, float] = {}  # when last, in any process
        self.shown: dict[int, tuple[str, ...]] = {}  # by list: what windows were told
        # By process: when it said who is there, and who.
        self.heard: dict[str, tuple[float, set[Place]]] = {}
        self.shared: tuple[set[tuple[int, int]] | None, float] = (set(), 0)  # what, and when
        self.stored = False  # whether there may be rows of this process
        app.receivers |= {
            "presence": self.hear,
            "connected": self.share_again,
            "disconnected": self.forget_others,
        }

    async def open(self) -> None:
        self.start(self.run())

    async def close(self) -> None:
        """Tell the others that nobody is here any more."""
        await super().close()
        self.share(set())

    async def run(self) -> None:
        while True:
            await asyncio.sleep(PERIOD)
            try:
                await self.update()
            except Exception:  # the next time may go well
                log.exception("Updating who is present has failed")

    def others(self, list_id: int, username: str) -> tuple[str, ...]:
        """Return the names of those who have a list open, but this one, in order."""
        return tuple(name for name in self.shown.get(list_id, ()) if name != username)

    async def update(self) -> None:
        """Find who is where, tell the windows what has changed, and the other processes."""
        opened = {
            (list_id, user)
            for list_id, watchers in self.app.hub.watchers.items()
            for user in {watcher.person.id for watcher, opens in watchers.items() if opens}
        }
        users = {user for _, user in opened}
        elsewhere: list[Place] = []
        before = self.names
        with suppress(Unavailable):  # meanwhile the names are as they were
            self.names, elsewhere = await self.app.read(presence.visible, self.process, users)
        now = time.monotonic()
        # Names of those who have switched it off, or have another one now.
        gone = {before[user] for user in users & before.keys()} - {*self.names.values()}
        if gone:
            self.share_again()
        visible = {(list_id, user) for list_id, user in opened if user in self.names}
        here = [(list_id, self.names[user]) for list_id, user in visible]
        believed_since = now - presence.BELIEVED_FOR.total_seconds()
        self.heard = {key: told for key, told in self.heard.items() if told[0] > believed_since}
        for places in (here, elsewhere, *(there for _, there in self.heard.values())):
            self.seen |= dict.fromkeys(places, now)
        self.seen = {
            place: at
            for place, at in self.seen.items()
            if at > now - LINGER and place[1] not in gone
        }
        self.tell_windows()
        self.share(visible)

    def tell_windows(self) -> None:
        """Send `present` to the windows of each list where someone has come or gone."""
        people: defaultdict[int, list[str]] = defaultdict(list)
        for list_id, name in self.seen:
            people[list_id].append(name)
        before, self.shown = self.shown, {n: tuple(sorted(names)) for n, names in people.items()}
        for list_id in before | self.shown:
            names = self.shown.get(list_id, ())
            if names != before.get(list_id, ()):
                news = message("present", list_id, open_only=True, people=names)
                self.app.hub.broadcast(news)

    def share(self, here: set[tuple[int, int]]) -> None:
        """Tell other processes who is here, as ids of lists and users, unless they know."""
        places, at = self.shared
        if here == places and not (here and at < time.monotonic() - REPEAT):
            return
        self.shared = (here, time.monotonic())
        named = sorted((list_id, self.names[user]) for list_id, user in here)
        published = self.app.publish("presence", self.process, named)
        if not published or self.stored:
            self.stored = not published
            self.app.write_soon(presence.store, self.process, () if published else here)

    def hear(self, process: Any, places: Any) -> None:
        """Believe for a while who another process says is there; anything may come, by anyone."""
        with suppress(TypeError, ValueError):
            there = {(n, name) for n, name in places if type(n) is int and type(name) is str}
            known = process in self.heard or len(self.heard) < PROCESSES
            if known and type(process) is str and process != self.process:
                self.heard[process] = (time.monotonic(), there)

    def share_again(self) -> None:
        """Tell the others soon who is here: one of them has just come."""
        self.shared = (None, 0)

    def forget_others(self) -> None:
        """Go by the table from now on, as Redis is gone."""
        self.heard.clear()
        self.share_again()
