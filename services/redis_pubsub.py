"""Messages to the other processes on the same database, by one channel of Redis."""

import asyncio
import hmac
import json
import logging
import secrets
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from config import Config, check_url
from services.app_base import BaseApp

BEAT = 5  # seconds after which something is sent, if only to see that Redis is there
SILENCE = 12  # seconds without a message, after which Redis is taken to be down
QUEUE = 1000  # messages that wait for Redis, at most
LONGEST = 1024 * 1024  # bytes of a message that are read
ADDRESS = ("rediss?", "(/[0-9]*)?", "redis://user:password@host:port, or rediss:// for TLS")
log = logging.getLogger(__name__)


def check(config: Config) -> None:
    """Raise Error unless --redis is empty or an address of Redis."""
    if config.redis:
        check_url("redis", config.redis, *ADDRESS)


class RedisPubSub:
    """Makes `app.publish` reach the `app.receivers` of other processes.

    Redis keeps nothing, and is neither needed nor trusted: anyone who can reach it may publish
    anything. Messages are [topic, ...]. A process that has just connected says ["connected", id],
    and now and then ["alive", id]; when it receives its own, Redis works.
    """

    def __init__(self, app: BaseApp) -> None:
        self.app, self.process = app, secrets.token_hex(16)
        self.queue: asyncio.Queue[str] = asyncio.Queue(QUEUE)
        self.up, self.down = False, False  # neither before it is known
        self.task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect, and again whenever that fails; without --redis, do nothing."""
        if not (url := self.app.config.redis):
            return
        from redis.asyncio import Redis, retry  # 5 MB that few installations need
        from redis.backoff import DecorrelatedJitterBackoff, NoBackoff

        once: Any = retry.Retry(NoBackoff(), 0)
        self.connect = partial(Redis.from_url, url, protocol=2, socket_timeout=BEAT, retry=once)
        # The channel is that of this database, among all that share one Redis.
        name = Path(urlsplit(self.app.config.database).path).name
        key = self.app.settings["cookie_secret"]
        self.channel = hmac.digest(key.encode(), name.encode(), "sha256").hex()
        self.app.publish = self.publish
        # The other backoffs with jitter overflow after a quarter of an hour without a server.
        again = DecorrelatedJitterBackoff(cap=1, base=0.05)
        retrying = retry.Retry(again, -1, (Exception,))  # type: ignore[arg-type]
        self.task = asyncio.create_task(retrying.call_with_retry(self.run, self.on_disconnect))

    def publish(self, *message: Any) -> bool:
        """Publish a message soon, if Redis is up and keeps pace; say whether it is up."""
        if self.up:
            with suppress(asyncio.QueueFull):
                self.queue.put_nowait(json.dumps(message, separators=(",", ":")))
        return self.up

    async def run(self) -> None:
        """Send and receive until something fails."""
        async with self.connect() as client, client.pubsub() as subscription:
            await subscription.subscribe(self.channel)
            await subscription.get_message(timeout=BEAT)  # that it is subscribed
            async with asyncio.TaskGroup() as both:
                both.create_task(self.send(client))
                both.create_task(self.receive(subscription))

    async def send(self, client: Any) -> None:
        messages = [json.dumps(["connected", self.process])]
        while True:
            async with client.pipeline(transaction=False) as pipeline:
                for each in messages:
                    pipeline.publish(self.channel, each)
                await pipeline.execute()
            messages = [json.dumps(["alive", self.process])]
            with suppress(TimeoutError):
                messages = [await asyncio.wait_for(self.queue.get(), BEAT)]
            while self.queue.qsize():
                messages.append(self.queue.get_nowait())

    async def receive(self, subscription: Any) -> None:
        """Dispatch what anyone publishes, this process too."""
        while message := await subscription.get_message(timeout=SILENCE):
            if message["type"] == "message" and len(message["data"]) <= LONGEST:
                with suppress(ValueError, RecursionError):
                    self.dispatch(json.loads(message["data"]))
        raise TimeoutError("no message for too long")

    def dispatch(self, message: Any) -> None:
        """Hand a message to the receiver of its topic; there may be any nonsense in it."""
        match message:
            case ["connected" | "alive", self.process]:
                if not self.up:
                    self.receive_as("connected")
                if self.down:
                    log.warning("Redis is back")
                self.up, self.down = True, False
            case ["connected", str()]:
                self.receive_as("connected")
            case ["change", _, _, _] | ["presence", _, _]:
                self.receive_as(*message)

    def receive_as(self, topic: str, *words: Any) -> None:
        """Call the receiver of a topic, if the application has one."""
        if receiver := self.app.receivers.get(topic):
            receiver(*words)

    async def on_disconnect(self, error: Exception) -> None:
        while isinstance(error, ExceptionGroup):
            error = error.exceptions[0]
        if not self.down:
            reason = " ".join(str(error).split()) or type(error).__name__
            log.warning("Redis is down, updates may take a second longer: %s", reason)
        self.up, self.down, self.queue = False, True, asyncio.Queue(QUEUE)
        self.receive_as("disconnected")

    async def close(self) -> None:
        """Send what is queued, and disconnect; redis-py may swallow a cancellation or two."""
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                while self.up and self.queue.qsize():  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        while self.task and not self.task.done():
            self.task.cancel()
            await asyncio.wait([self.task], timeout=1)
