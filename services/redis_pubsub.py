"""News and presence between processes, carried by one channel of Redis."""

import asyncio
import hmac
import json
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from services.app_base import BaseApp
from services.metrics import log

BEAT = 5  # seconds after which Redis is sent something, if only to hear that it is there
SILENCE = 12  # seconds without a word from Redis, after which it is gone
WAITING = 1000  # messages for Redis, at most
LONGEST = 1024 * 1024  # bytes of a message that are read


class RedisPubSub:
    """Carries news and presence between processes, by one channel of Redis.

    Redis keeps nothing, and is neither needed nor trusted: what it says of a list is a reason to
    look, what it loses is found by looking, and without it presence goes through the database.
    Messages are [list, version, kind], [process, places] of who is where in it, [process, null]
    of who has just come, which all answer, and [process] as a sign of life.
    """

    def __init__(self, app: BaseApp) -> None:
        self.app, self.change_feed, self.presence = app, app.change_feed, app.hub.presence
        self.queue: asyncio.Queue[str] = asyncio.Queue(WAITING)
        self.there, self.gone = False, False  # neither before it is known
        self.riding: asyncio.Task[None] | None = None

    def clients(self, url: str) -> None:
        """Make what connects, and what does so again and again."""
        from redis.asyncio import Redis, retry  # 5 MB that few houses need
        from redis.backoff import DecorrelatedJitterBackoff, NoBackoff

        once: Any = retry.Retry(NoBackoff(), 0)
        self.connect = partial(Redis.from_url, url, protocol=2, socket_timeout=BEAT, retry=once)
        # The other backoffs with jitter overflow after a quarter of an hour without a server.
        again = DecorrelatedJitterBackoff(cap=1, base=0.05)
        self.retry: Any = retry.Retry(again, -1, (Exception,))  # type: ignore[arg-type]

    async def open(self) -> None:
        """Begin, and begin again whenever it fails; without --redis, do nothing."""
        if not self.app.config.redis:
            return
        self.clients(self.app.config.redis)
        # The channel is that of this database, among all that share one Redis.
        name = Path(urlsplit(self.app.config.database).path).name
        key = self.app.settings["cookie_secret"]
        self.channel = hmac.digest(key.encode(), name.encode(), "sha256").hex()
        self.change_feed.publish = self.publish
        self.presence.publish = partial(self.publish, self.presence.process)
        riding = self.retry.call_with_retry(self.run, self.on_disconnect)
        self.riding = asyncio.get_running_loop().create_task(riding)

    def publish(self, *words: Any) -> bool:
        """Publish a message soon, if Redis is there and follows; say whether it is there."""
        if self.there:
            with suppress(asyncio.QueueFull):
                self.queue.put_nowait(json.dumps(words, separators=(",", ":")))
        return self.there

    async def run(self) -> None:
        """Send and hear until something fails."""
        async with self.connect() as client, client.pubsub() as heard:
            await heard.subscribe(self.channel)
            await heard.get_message(timeout=BEAT)  # that it is so
            async with asyncio.TaskGroup() as both:
                both.create_task(self.send(client))
                both.create_task(self.receive(heard))

    async def send(self, client: Any) -> None:
        """Publish what is said."""
        words = [json.dumps([self.presence.process, None])]
        while True:
            async with client.pipeline(transaction=False) as many:
                for each in words:
                    many.publish(self.channel, each)
                await many.execute()
            words = [json.dumps([self.presence.process])]
            with suppress(TimeoutError):
                words = [await asyncio.wait_for(self.queue.get(), BEAT)]
            while self.queue.qsize():
                words.append(self.queue.get_nowait())

    async def receive(self, heard: Any) -> None:
        """Take what is published, by this process too, and by anyone."""
        while message := await heard.get_message(timeout=SILENCE):
            if message["type"] == "message" and len(message["data"]) <= LONGEST:
                with suppress(ValueError, RecursionError):
                    await self.dispatch(json.loads(message["data"]))
        raise TimeoutError("no message for too long")

    async def dispatch(self, message: Any) -> None:
        """Do what a message is for; there may be any nonsense in it."""
        match message:
            case [int(list_id), int(version), str(kind)]:
                await self.change_feed.on_notification(list_id, version, kind)
            case [self.presence.process, *_]:
                if not self.there:
                    self.presence.note_anew()
                if self.gone:
                    log.warning("Redis is back")
                self.there, self.gone = True, False
            case [str(), None]:
                self.presence.note_anew()
            case [str(process), list(places)]:
                self.presence.hear(process, places)

    async def on_disconnect(self, error: Exception) -> None:
        """Do without Redis."""
        while isinstance(error, ExceptionGroup):
            error = error.exceptions[0]
        if not self.gone:
            reason = " ".join(str(error).split()) or type(error).__name__
            log.warning("Redis is down, updates may take a second longer: %s", reason)
        self.there, self.gone, self.queue = False, True, asyncio.Queue(WAITING)
        self.presence.heard.clear()
        self.presence.note_anew()

    async def close(self) -> None:
        """End, also when redis-py swallows the first word of it, as it may while it connects."""
        while self.riding and not self.riding.done():
            self.riding.cancel()
            await asyncio.wait([self.riding], timeout=1)
