"""The changes of a list, in the API: each once, in order, as pages or as an event stream."""

import re
from functools import partial

from tornado.iostream import StreamClosedError

from controllers.api.base import PAGE_LIMIT, OfListHandler, operation
from controllers.api.schema import ID, INSTANT, OBJECTS, text
from controllers.live_fallbacks import StreamHandler
from models import api_resources
from models.errors import NotFound, Pruned, Unavailable
from services.subscriber import Subscriber

OBJECTS["Change"] = {
    "id": ID,
    "version": ID,
    "verb": text(20),
    "kind": {"type": "string", "enum": ["todo", "list", "member", "message"]},
    "user": {"type": ["string", "null"]},
    "at": INSTANT,
    "before": {"type": "array", "items": {"type": "object"}},
    "after": {"type": "array", "items": {"type": "object"}},
}


class ChangesHandler(StreamHandler, OfListHandler):
    streaming = False  # whether something of a stream was sent, so that no error page can follow

    @operation(200, "[Change]")
    async def get(self, list_id: str) -> None:
        """The changes of a list after a version; also as an event stream"""
        since, limit = self.query_integer("since", 0, 0), self.limit()
        streams = "text/event-stream" in self.request.headers.get("Accept", "")
        if streams and self.request.method == "GET":
            await self.stream(since)
            return
        access, rows = await self.app.read(
            api_resources.changes_since, self.current_user, self.list_id, since, limit + 1
        )
        if self.not_modified(f"{access.id}-{access.version}"):
            return
        rows = rows[:limit]
        if rows and rows[-1][0] < access.version:
            self.set_next(f"limit={limit}&since={rows[-1][0]}")
        await self.send_json(f"[{','.join(text for _, text in rows)}]".encode())

    async def stream(self, since: int) -> None:
        """Send changes as they come, until the program goes, or may not read them any more."""
        last = self.request.headers.get("Last-Event-ID", "")
        since = int(last) if re.fullmatch("[0-9]{1,15}", last) else since
        subscriber = self.subscriber = Subscriber(self, self.list_id)
        changes = partial(api_resources.changes_since, self.current_user, self.list_id)
        try:
            access, rows = await self.app.read(changes, since, PAGE_LIMIT)
            self.app.hub.know(subscriber, access.id, access.version)
            self.begin_stream()
            self.streaming = True
            await self.send(": this goes on\n\n")
            while not subscriber.ended and await self.find_visit():
                events = [f"id: {version}\ndata: {text}\n\n" for version, text in rows]
                since = rows[-1][0] if rows else since
                await self.send("".join(events))
                if since == access.version and not await subscriber.wait():
                    self.write(": alive\n\n")
                access, rows = await self.app.read(changes, since, PAGE_LIMIT)
        except StreamClosedError:
            pass  # the program has gone
        except (NotFound, Pruned, Unavailable):
            if not self.streaming:
                raise
        finally:
            subscriber.end()
