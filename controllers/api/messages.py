"""Messages, in the API; this file goes with the messages."""

import asyncio

from controllers.api.base import OfListHandler, operation
from controllers.api.schema import FIELDS, ID, INSTANT, OBJECTS, text
from models import messages

FIELDS["text"] = text(messages.TEXT_LIMIT)
OBJECTS["Message"] = {
    "id": ID,
    "user": {"type": ["string", "null"]},
    "text": FIELDS["text"],
    "created": INSTANT,
}


class MessagesHandler(OfListHandler):
    @operation(200, "[Message]")
    async def get(self, list_id: str) -> None:
        """The messages of a list, the oldest first"""
        access = await self.access()
        if self.not_modified(f"{access.id}-{access.version}"):
            return
        (_, after), limit = self.cursor(), self.limit()
        rows = await self.app.read(messages.page, self.current_user, access.id, after, limit + 1)
        more = self.cursor_after(0, rows[limit - 1]["id"]) if len(rows) > limit else ""
        await self.send_page(await asyncio.to_thread(self.encode, rows[:limit]), more)

    @operation(201, "Message", "text", "text")
    async def post(self, list_id: str) -> None:
        """Send a message"""
        said = await self.commit(messages.say, self.current_user, self.list_id, self.body["text"])
        await self.send_created(said)
