"""Carries news: which lists have changed, through this process or another on the same database."""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from models import history, links, lists
from models.database import Doors
from models.errors import Unavailable
from models.postgres import PostgresDoors

log = logging.getLogger(__name__)
PERIOD = 0.05  # seconds between two looks for what other processes did; one takes 3 us
SWEEP = 1  # seconds between two looks at the versions of all lists that are watched
BEAT = 5  # seconds after which Redis is sent something, if only to hear that it is there
SILENCE = 12  # seconds without a word from Redis, after which it is gone
WAITING = 1000  # messages for Redis, at most
LONGEST = 1024 * 1024  # bytes of a message that are read

News = Callable[[int, int, str], None]  # takes a list, its version, and the kind of the change


class Bus:
    """Looks whether anyone has committed, and tells `announce` of each change since, in order.

    And of lists for whose links titles have arrived: these have the kind "title", and no version.
    What this process commits it is told at once: see `BaseHandler.commit`.
    """

    def __init__(self, doors: Doors, announce: News) -> None:
        self.doors = doors
        self.announce = announce
        self.publish: Callable[..., object] = lambda *news: None  # for other processes
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

    async def hint(self, list_id: int, version: int, kind: str) -> None:
        """Look at once, as another process says that it has committed this."""
        self.look()

    def look(self) -> None:
        """Announce what was committed since the last look; what can't be read now comes later."""
        own, self.called = self.called, False
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
            if own:
                self.publish(list_id, version, kind)
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
            news = self.doors.news.popleft()
            self.announce(*news)
            self.publish(*news)

    async def hint(self, list_id: int, version: int, kind: str) -> None:
        """Look at this list; what is said of it is only a reason to do so."""
        known = self.watched.get(list_id)
        if known is not None and (version > known or kind == "title"):
            await self.find([list_id])

    async def sweep(self) -> None:
        """Announce what others have committed, of whatever kind it was."""
        if time.monotonic() - self.swept < SWEEP or not self.watched:
            return
        self.swept = time.monotonic()
        self.arrived = {number: at for number, at in self.arrived.items() if number in self.watched}
        await self.find(self.watched)

    async def find(self, numbers: Iterable[int]) -> None:
        """Announce what has changed on some lists."""
        with suppress(Unavailable):  # the next sweep may find it
            for list_id, version, titles in await self.lookups(lists.versions, tuple(numbers)):
                if version > self.watched.get(list_id, version):
                    self.announce(list_id, version, "list")
                if titles > self.arrived.get(list_id, 0):
                    self.arrived[list_id] = titles
                    self.announce(list_id, 0, "title")


class Carrier:
    """Carries news and presence between processes, by one channel of Redis.

    Redis keeps nothing, and is neither needed nor trusted: what it says of a list is a reason to
    look, what it loses is found by looking, and without it presence goes through the database.
    Messages are [list, version, kind], [process, places] of who is where in it, [process, null]
    of who has just come, which all answer, and [process] as a sign of life.
    """

    def __init__(self, url: str, bus: Bus, company: Any) -> None:
        from redis.asyncio import Redis, retry  # 5 MB that few houses need
        from redis.backoff import DecorrelatedJitterBackoff, NoBackoff

        self.bus, self.company = bus, company
        self.queue: asyncio.Queue[str] = asyncio.Queue(WAITING)
        self.there, self.gone = False, False  # neither before it is known
        once: Any = retry.Retry(NoBackoff(), 0)
        self.connect = partial(Redis.from_url, url, protocol=2, socket_timeout=BEAT, retry=once)
        # The other backoffs with jitter overflow after a quarter of an hour without a server.
        again = DecorrelatedJitterBackoff(cap=1, base=0.05)
        self.retry: Any = retry.Retry(again, -1, (Exception,))  # type: ignore[arg-type]

    def open(self, channel: str) -> None:
        """Begin, and begin anew whenever it fails."""
        self.channel = channel
        self.bus.publish = self.say
        self.company.publish = partial(self.say, self.company.process)
        riding = self.retry.call_with_retry(self.ride, self.lose)
        self.riding = asyncio.get_running_loop().create_task(riding)

    def say(self, *words: Any) -> bool:
        """Publish a message soon, if Redis is there and follows; say whether it is there."""
        if self.there:
            with suppress(asyncio.QueueFull):
                self.queue.put_nowait(json.dumps(words, separators=(",", ":")))
        return self.there

    async def ride(self) -> None:
        """Send and hear until something fails."""
        async with self.connect() as client, client.pubsub() as heard:
            await heard.subscribe(self.channel)
            await heard.get_message(timeout=BEAT)  # that it is so
            async with asyncio.TaskGroup() as both:
                both.create_task(self.send(client))
                both.create_task(self.hear(heard))

    async def send(self, client: Any) -> None:
        """Publish what is said."""
        words = [json.dumps([self.company.process, None])]
        while True:
            async with client.pipeline(transaction=False) as many:
                for each in words:
                    many.publish(self.channel, each)
                await many.execute()
            words = [json.dumps([self.company.process])]
            with suppress(TimeoutError):
                words = [await asyncio.wait_for(self.queue.get(), BEAT)]
            while self.queue.qsize():
                words.append(self.queue.get_nowait())

    async def hear(self, heard: Any) -> None:
        """Take what is published, by this process too, and by anyone."""
        while message := await heard.get_message(timeout=SILENCE):
            if message["type"] == "message" and len(message["data"]) <= LONGEST:
                with suppress(ValueError, RecursionError):
                    await self.take(json.loads(message["data"]))
        raise TimeoutError("it is silent")

    async def take(self, message: Any) -> None:
        """Do what a message is for; there may be any nonsense in it."""
        match message:
            case [int(list_id), int(version), str(kind)]:
                await self.bus.hint(list_id, version, kind)
            case [self.company.process, *_]:
                if not self.there:
                    self.company.note_anew()
                if self.gone:
                    log.warning("Redis is back")
                self.there, self.gone = True, False
            case [str(), None]:
                self.company.note_anew()
            case [str(process), list(places)]:
                self.company.hear(process, places)

    async def lose(self, error: Exception) -> None:
        """Do without Redis."""
        while isinstance(error, ExceptionGroup):
            error = error.exceptions[0]
        if not self.gone:
            reason = " ".join(str(error).split()) or type(error).__name__
            log.warning("Redis is gone, so news may come a second later: %s", reason)
        self.there, self.gone, self.queue = False, True, asyncio.Queue(WAITING)
        self.company.heard.clear()
        self.company.note_anew()

    async def close(self) -> None:
        """End, also when redis-py swallows the first word of it, as it may while it connects."""
        while not self.riding.done():
            self.riding.cancel()
            await asyncio.wait([self.riding], timeout=1)
