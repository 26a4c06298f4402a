"""Event stream and long poll: the same messages where a WebSocket can't get through."""

import asyncio
import re
from urllib.parse import urlsplit

from tornado.iostream import StreamClosedError
from tornado.web import HTTPError

from controllers.base import ID, READ_WITHIN, BaseHandler, PageHandler
from models import lists, sessions
from services.hub import ALIVE_MESSAGE, Message, message
from services.subscriber import Subscriber

POLL = 25  # seconds that a poll waits


class StreamHandler(BaseHandler):
    """What waits for news, or goes on sending them, until its client has gone."""

    subscriber: Subscriber | None = None
    disconnected = False

    def begin_stream(self) -> None:
        self.set_header("Content-Type", "text/event-stream; charset=utf-8")
        self.set_header("X-Accel-Buffering", "no")  # nginx would hold it back

    async def send(self, part: bytes | str) -> None:
        """Send a part of a stream. Raises StreamClosedError when nobody reads it."""
        self.write(part)
        try:
            await asyncio.wait_for(self.flush(), READ_WITHIN)
        except TimeoutError:
            self.drop_connection()
            raise StreamClosedError from None

    def on_connection_close(self) -> None:
        super().on_connection_close()
        self.disconnected = True
        if self.subscriber:
            self.subscriber.end()


class WaitingHandler(StreamHandler, PageHandler):
    """What both have in common: one list, from a version on."""

    public = True  # without a session the answer is 401, and no page to log in

    async def subscribe(self) -> tuple[Subscriber, Message | None]:
        """Return a subscriber, and the message for a page that knows an older version.

        Raises NotFound, TooMany, and HTTPError 400, 401 or 403.
        """
        if self.current_user is None:
            raise HTTPError(401)
        if self.is_cross_origin():
            raise HTTPError(403)
        asked = self.get_query_argument("list", "")
        known = self.request.headers.get("Last-Event-ID") or self.get_query_argument("version", "")
        if not ID.fullmatch(asked) or not re.fullmatch("[0-9]{1,15}", known):
            raise HTTPError(400)
        list_id = int(asked)
        await self.app.lookups(lists.get_for, self.current_user, list_id)
        if self.disconnected:
            raise HTTPError(400)
        hub = self.app.hub
        self.subscriber = Subscriber(self, list_id, self.session_key())
        try:
            await asyncio.sleep(0)  # and look it up again, in another turn: no change is missed
            version = (await self.app.lookups(lists.get_for, self.current_user, list_id)).version
        except BaseException:
            self.subscriber.end()
            raise
        version = hub.know(self.subscriber, list_id, version)
        self.subscriber.news.pop("changed", None)  # which is no newer
        news = message("changed", list_id, version=version) if version != int(known) else None
        return self.subscriber, news

    def is_cross_origin(self) -> bool:
        """Say whether a page of another site asks; Tornado checks that of forms and sockets only.

        Its rule is the same (its guide, "Cross-origin protection").
        """
        headers = self.request.headers
        origin, site = headers.get("Origin", ""), headers.get("Sec-Fetch-Site")
        if site is None:  # an old browser, or plain HTTP
            same = urlsplit(origin).netloc.lower() == self.request.host.lower() or not origin
        else:
            same = site in ("same-origin", "none")
        return not same and not self.check_trusted_origin(origin)

    async def head(self, *args: str) -> None:
        """Answer at once, as there is no body that could come later."""
        subscriber, _ = await self.subscribe()
        subscriber.end()


class EventsHandler(WaitingHandler):
    """GET /live/events: a stream of messages; the id of each is a version."""

    async def get(self) -> None:
        subscriber, first = await self.subscribe()
        self.begin_stream()
        news = [first or ALIVE_MESSAGE]
        try:
            while True:
                await self.send(b"".join(map(event, news)))
                if subscriber.ended or not await self.app.lookups(
                    sessions.session_for, subscriber.key
                ):
                    return
                news = await subscriber.wait() or [ALIVE_MESSAGE]
        except StreamClosedError:
            pass  # the page has gone
        finally:
            subscriber.end()


def event(news: Message) -> bytes:
    version = news.fields.get("version")
    return (b"id: %d\n" % version if version else b"") + b"data: %b\n\n" % news.data


class PollHandler(WaitingHandler):
    """GET /live/poll: an array of messages as soon as there are any, or 204."""

    async def get(self) -> None:
        subscriber, first = await self.subscribe()
        try:
            news = [first] if first else await subscriber.wait(POLL)
        finally:
            subscriber.end()
        if news:
            self.set_header("Content-Type", "application/json; charset=utf-8")
            self.finish(b"[" + b",".join(each.data for each in news) + b"]")
        else:
            self.set_status(204)
