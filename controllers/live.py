"""The WebSocket that tells pages which of their lists have changed: see `services.hub`.

A message says only that a list has another version; each page then fetches its rows as itself, with
its own rights, language and filter. So a lost message costs nothing: the next one shows it.
"""

import asyncio
import json
from collections.abc import Awaitable
from typing import Any

from tornado.iostream import IOStream, StreamClosedError
from tornado.web import HTTPError
from tornado.websocket import WebSocketHandler

from controllers.base import ID, PageHandler
from controllers.errors import ERROR_STATUS
from models import lists
from models.errors import NotFound, TooMany, Unavailable
from models.tables import Person
from services.hub import Message, message
from services.limits import TokenBucket

RATE, BURST = 20, 100  # frames that a socket may send in a second, and at once
READS = 3  # of the stream, for a frame: its head, its mask, its content
LISTS = 50  # that one socket may watch
TEXT = 1  # the opcode of a message (RFC 6455, 5.2)


class LiveHandler(WebSocketHandler, PageHandler):
    """One socket for all the lists that a page watches."""

    SUPPORTED_METHODS = ("GET",)

    async def prepare(self) -> None:
        """Raise HTTPError 401 without a session, 429 for too many connections.

        Tornado refuses other origins after this.
        """
        await self.app.open()
        self.current_user = await self.find_person()
        if self.current_user is None:
            raise HTTPError(401)
        self.person: Person = self.current_user
        self.hub = self.app.hub
        if self.app.config.throttle and self.hub.is_full(self.person, self.request.remote_ip):
            raise HTTPError(429)
        self.key = self.session_key()
        self.address = self.request.remote_ip
        self.watched: dict[int, int] = {}
        self.starting: set[int] = set()  # lists of which the page doesn't know the version yet
        self.mistakes = 0
        self.pace = TokenBucket(READS * RATE, READS * BURST)
        self.writing: asyncio.Future[None] | None = None
        self.pending: dict[tuple[int, str], Message] = {}

    def read_bytes(self, num_bytes: int, partial: bool = False) -> Awaitable[bytes]:
        """Read a part of a frame; close the socket when its frames come too fast.

        Reads are counted, as empty parts of messages reach no method of ours, nor do pings, which
        Tornado answers without waiting: either could come without end.
        """
        try:
            self.pace.take(self.person.id)
        except TooMany:
            self.close(1008, "too many messages")
            return self.read_slowly(num_bytes, partial)
        return IOStream.read_bytes(self.stream, num_bytes, partial)

    async def read_slowly(self, num_bytes: int, partial: bool) -> bytes:
        """Read what comes until the page has read the farewell, which Tornado awaits for 5 s."""
        await asyncio.sleep(0.001)
        return await IOStream.read_bytes(self.stream, num_bytes, partial)

    def open(self, *args: str, **kwargs: str) -> None:
        """Join the hub, unless the visitor has gone meanwhile or the server closes."""
        connection: Any = self.ws_connection
        self.stream = connection.stream
        if self.stream.closed():
            return
        # Nobody asks for them any more, and they are a quarter of what an idle socket takes.
        self.request.headers.clear()
        self.request.cookies.clear()
        for name in self.default_headers:
            self.clear_header(name)
        if self.app.config.throttle:
            self.stream.read_bytes = self.read_bytes
        self.set_nodelay(True)
        self.hub.sockets.add(self)
        self.hub.connect(self)
        if self.hub.closed:
            self.close(1001)

    async def on_message(self, data: str | bytes) -> None:
        """Watch a list, or stop that; close after three messages that can't be read."""
        while self.writing:
            await asyncio.wait([self.writing])  # none of the answers replaces another
        if self.ws_connection is None:
            return  # it is closing, and what it still sends isn't answered
        try:
            asked = json.loads(data if isinstance(data, str) else data.decode())
            kind, list_id = asked["type"], asked["list"]
            version = asked.get("version", 0)
            known = type(version) is int and version >= 0 and kind in ("watch", "unwatch")
            every = list_id == "mine" and kind == "watch"
            if not (known and (every or ID.fullmatch(json.dumps(list_id)))):
                raise ValueError
        except (ValueError, TypeError, KeyError, RecursionError):
            self.send(message("error", status=400))
            self.mistakes += 1
            if self.mistakes >= 3:
                self.close(1008, "not understood")
            return
        if every:
            await self.watch_mine()
        elif kind == "unwatch":
            self.hub.unsubscribe(self, list_id)
        elif list_id not in self.watched and len(self.watched) >= LISTS:
            self.send(message("error", list_id, status=429))
        else:
            await self.watch(list_id, opens="version" in asked)

    async def watch(self, list_id: int, *, opens: bool) -> None:
        """Answer with the version of a list, and send its news from then on."""
        self.starting.add(list_id)
        try:
            await self.app.lookups(lists.get_for, self.person, list_id)
            if self not in self.hub.sockets:
                return  # it has closed meanwhile
            self.hub.subscribe(self, list_id, opens=opens)
            await asyncio.sleep(0)  # and look it up again, in another turn: no change is missed
            access = await self.app.lookups(lists.get_for, self.person, list_id)
            version = self.hub.know(self, list_id, access.version)
            answer = message("watching", list_id, version=version)
            self.pending.pop((list_id, "changed"), None)  # which is no newer
        except (NotFound, Unavailable) as error:
            self.hub.unsubscribe(self, list_id)
            answer = message("error", list_id, status=ERROR_STATUS[type(error)])
        finally:
            self.starting.discard(list_id)
        held = [self.pending.pop(key) for key in [*self.pending] if key[0] == list_id]
        for news in (answer, *held):
            self.send(news)

    async def watch_mine(self) -> None:
        """Send the news of all the reader's lists from now on; none of them is opened by that."""
        answer = message("watching")
        try:
            for _ in range(2):  # as in `watch`
                for access in await self.app.lookups(lists.mine, self.person):
                    if access.id not in self.watched and self in self.hub.sockets:
                        self.hub.subscribe(self, access.id, opens=False)
                    self.hub.know(self, access.id, access.version)
                await asyncio.sleep(0)
        except Unavailable as error:
            answer = message("error", status=ERROR_STATUS[type(error)])
        self.send(answer)

    def send(self, news: Message) -> None:
        """Send a message when those before have been sent; of those of a kind that wait, the last.

        So a slow reader costs no memory, and the ping ends one that never reads.
        """
        if self.writing or news.list in self.starting:
            self.pending[news.list, news.kind] = news
            return
        connection: Any = self.ws_connection
        if connection is None or connection.is_closing():
            return  # on_close follows
        try:
            # Private, as `write_message` makes a task of each: twice the CPU of telling 10,000.
            writing = connection._write_frame(True, TEXT, news.data)
        except StreamClosedError:
            return
        if not writing.done():  # the socket's buffer is full
            self.writing = writing
            writing.add_done_callback(self.on_written)

    def on_written(self, written: "asyncio.Future[None]") -> None:
        """Send what has waited, unless the socket has died."""
        self.writing = None
        if written.cancelled() or written.exception():
            self.pending.clear()
        pending, self.pending = self.pending, {}
        for news in pending.values():
            self.send(news)

    def wake(self) -> None:
        """Do nothing: a socket belongs to a session, whose end closes it."""

    end = WebSocketHandler.close

    def on_close(self) -> None:
        """Leave the hub, which it may never have joined."""
        if self in self.app.hub.sockets:
            self.app.hub.sockets.discard(self)
            self.app.hub.disconnect(self)
            self.pending.clear()
            # What refers back to it would keep it till the collector comes, which takes long.
            vars(self.stream).pop("read_bytes", None)
            self.stream.error = None
