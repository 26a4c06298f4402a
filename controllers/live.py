"""Live: the hub, and its three doors: WebSocket, event stream, long poll.

The news are only that a list has another version; each page then fetches its rows as itself, with
its own rights, language and filter. So a lost message costs nothing: the next one shows it.
"""

import asyncio
import json
import re
import time
from collections.abc import Coroutine
from typing import Any

from tornado.iostream import IOStream, StreamBufferFullError, StreamClosedError
from tornado.web import HTTPError
from tornado.websocket import WebSocketHandler, WebSocketProtocol, WebSocketProtocol13

from controllers.base import ID, PageHandler
from controllers.schema import STRICT
from models import lists, sessions
from models.errors import NotFound, TooMany, Unavailable
from models.tables import Person
from services.hub import ALL_IS_WELL, Hub, Message, Subscriber, message
from services.limits import TokenBucket

POLL = 25  # seconds that a poll waits
PER_PERSON, PER_ADDRESS = 20, 100  # sockets
RATE, BURST = 20, 100  # frames that a socket may send in a second, and at once
BUFFER = 1024 * 1024  # bytes that a slow reader may leave unread
LISTS = 50  # that one socket may watch


class Protocol(WebSocketProtocol13):
    """Tornado's, but every frame counts: pings and empty parts of messages could come for ever."""

    handler: "LiveHandler"

    def _receive_frame(self) -> Coroutine[Any, Any, None]:
        """Take in the next frame."""
        return super()._receive_frame() if self.handler.may_come() else self.slowly()

    async def slowly(self) -> None:
        """Take in the next frame of someone who was told to go: the farewell may be behind many."""
        await asyncio.sleep(0.001)
        await super()._receive_frame()


class LiveHandler(WebSocketHandler, PageHandler):
    """The first door: one socket for all the lists that a page watches."""

    async def prepare(self) -> None:
        """Let in who is logged in, and not too often; who asks from elsewhere gets 403 later."""
        self.current_user = await self.find_person()
        if self.current_user is None:
            raise HTTPError(401)
        self.person: Person = self.current_user
        self.hub: Hub = self.app.hub
        if self.app.config.throttle:
            mine = [s for s in self.hub.sockets if s.person.id == self.person.id]
            near = [s for s in self.hub.sockets if s.address == self.request.remote_ip]
            if len(mine) >= PER_PERSON or len(near) >= PER_ADDRESS:
                raise HTTPError(429)
        self.key = self.session_key()
        self.address = self.request.remote_ip
        self.watched: set[int] = set()
        self.present: set[int] = set()
        self.bad = 0
        self.pace = TokenBucket(RATE, BURST)
        self.late: dict[tuple[int, str], Message] = {}
        self.answered = True

    async def head(self, *args: str) -> None:
        """There is nothing to look at."""
        raise HTTPError(405)

    def open(self, *args: str, **kwargs: str) -> None:
        """Begin."""
        self.set_nodelay(True)
        connection: Any = self.ws_connection
        self.stream: IOStream = connection.stream
        self.stream.max_write_buffer_size = BUFFER
        if self.stream.closed():
            return  # it went before it was let in
        self.hub.sockets[self] = time.monotonic()
        self.hub.connect(self)
        self.hub.settle()
        if self.hub.closed:
            self.close(1001)

    def get_websocket_protocol(self) -> WebSocketProtocol | None:
        """Return who speaks with this browser, None for a version that Tornado doesn't know."""
        found: Any = super().get_websocket_protocol()
        return found and Protocol(self, False, found.params)

    def may_come(self) -> bool:
        """Count a frame, and say whether it may come; end when too many do."""
        self.hub.settle()
        try:
            if self.app.config.throttle:
                self.pace.take(self.person.id)
        except TooMany:
            self.close(1008, "too many messages")
            return False
        return True

    def on_pong(self, data: bytes) -> None:
        """Note that it is there."""
        self.answered = True

    async def on_message(self, data: str | bytes) -> None:
        """Watch a list, or watch it no more."""
        try:
            asked = STRICT.decode(data if isinstance(data, str) else data.decode())
            kind, number = asked["type"], asked["list"]
            version = asked.get("version", 0)  # who says none only listens
            if type(version) is not int or version < 0 or kind not in ("watch", "unwatch"):
                raise ValueError
            if not ID.fullmatch(json.dumps(number)):
                raise ValueError
        except (ValueError, TypeError, KeyError, RecursionError):
            self.send(message("error", status=400))
            self.bad += 1
            if self.bad >= 3:
                self.close(1008, "not understood")
            return
        if kind == "unwatch":
            self.hub.unsubscribe(self, number)
            return
        try:
            await self.lookup(lists.one, self.person, number)
            if self not in self.hub.sockets:
                return  # it has closed meanwhile
            if len(self.watched | {number}) > LISTS:
                self.send(message("error", number, status=429))
                return
            self.hub.subscribe(self, number, present="version" in asked)
            await asyncio.sleep(0)  # and look again, in another turn: so no news is missed
            seen = await self.lookup(lists.one, self.person, number)
            self.hub.know(number, seen.version)
            self.send(message("watching", number, version=seen.version))
        except (NotFound, Unavailable) as error:
            self.hub.unsubscribe(self, number)
            status = 404 if isinstance(error, NotFound) else 503
            self.send(message("error", number, status=status))

    def send(self, news: Message) -> None:
        """Send a message; to a slow reader the last of its kind, when it has read the others.

        The frame goes straight to the socket, five times as fast as by `write_message`.
        """
        try:
            if self.late or self.stream.writing():
                if not self.late:
                    self.stream.write(b"").add_done_callback(lambda _: self.catch_up())
                self.late[news.list, news.kind] = news
                return
            try:  # which costs a third of suppress()
                sent = self.stream.socket.send(news.frame)
            except BlockingIOError:
                sent = 0
            if sent < len(news.frame):
                self.stream.write(news.frame[sent:])
        except (OSError, AttributeError, StreamBufferFullError):  # gone, or it will never read
            self.stream.close()

    def catch_up(self) -> None:
        """Send what had to wait."""
        late, self.late = self.late, {}
        for news in late.values():
            self.send(news)

    def end(self) -> None:
        """End, as the session has ended."""
        self.close(4401, "the session has ended")

    def on_close(self) -> None:
        """Count it out, if it ever was in."""
        hub: Hub = self.app.hub
        if self in hub.sockets:
            self.stream.error = None  # whose traceback leads back to it: see `Hub.settle`
            del hub.sockets[self]
            hub.disconnect(self)
            for list_id in [*self.watched]:
                hub.unsubscribe(self, list_id)


class WaitingHandler(PageHandler):
    """What the other two doors share: one list, from a version on."""

    public = True  # who is not logged in gets 401 here, and no page to log in
    gone = False

    async def begin(self) -> tuple[Subscriber, Message | None]:
        """Return a watcher, and the news that there are already. Raises NotFound."""
        if self.current_user is None:
            raise HTTPError(401)
        # What Tornado asks of forms only, and of sockets: is the page that asks one of ours?
        if self._check_cross_origin(self.check_trusted_origin):
            raise HTTPError(403)
        asked = self.get_query_argument("list", "")
        known = self.request.headers.get("Last-Event-ID") or self.get_query_argument("version", "")
        if not ID.fullmatch(asked) or not re.fullmatch("[0-9]{1,15}", known):
            raise HTTPError(400)
        number = int(asked)
        hub: Hub = self.app.hub
        await self.lookup(lists.one, self.current_user, number)
        if self.gone:
            raise HTTPError(400)
        self.watcher = Subscriber(hub, number, self.current_user, self.session_key())
        try:
            await asyncio.sleep(0)  # and look again, in another turn: so no news is missed
            version = (await self.lookup(lists.one, self.current_user, number)).version
        except BaseException:
            self.watcher.end()
            raise
        hub.know(number, version)
        news = message("changed", number, version=version) if version != int(known) else None
        return self.watcher, news

    async def head(self, *args: str) -> None:
        """Answer at once, as there is no body that could come later."""
        (await self.begin())[0].end()

    def on_connection_close(self) -> None:
        """End with the page."""
        super().on_connection_close()
        self.gone = True
        if watcher := getattr(self, "watcher", None):
            watcher.end()


class EventsHandler(WaitingHandler):
    """The second door: an event stream, for where sockets can't get through."""

    async def get(self) -> None:
        """Send the news as they come."""
        watcher, first = await self.begin()
        self.set_header("Content-Type", "text/event-stream; charset=utf-8")
        self.set_header("X-Accel-Buffering", "no")  # nginx would hold it back
        news = [first or ALL_IS_WELL]
        try:
            while True:
                for each in news:
                    number = f"id: {each.version}\n" if each.version else ""
                    self.write(f"{number}data: {each.text}\n\n")
                await self.flushed()
                if watcher.ended or not await self.lookup(sessions.session_for, watcher.key):
                    return
                news = await watcher.wait() or [ALL_IS_WELL]
        except StreamClosedError:
            pass  # the page has gone
        finally:
            watcher.end()


class PollHandler(WaitingHandler):
    """The third door: an answer when there are news, or after a while."""

    async def get(self) -> None:
        """Wait for news."""
        watcher, first = await self.begin()
        try:
            news = [first] if first else await watcher.wait(POLL)
        finally:
            watcher.end()
        if news:
            self.set_header("Content-Type", "application/json; charset=utf-8")
            self.finish(f"[{','.join(each.text for each in news)}]")
        else:
            self.set_status(204)
