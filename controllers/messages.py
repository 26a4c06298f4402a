"""The conversation of a list: on a page of its own, and as a part of the list's page."""

from functools import partial
from typing import Any

from controllers.base import ID, PageHandler, redisplay_if_invalid
from controllers.links import linked
from controllers.list_page import Elements, ListPageHandler, PageContext, PagePart
from models import addresses, lists, messages
from models.tables import Person

MESSAGES_SHOWN = 30


class MessagesHandler(ListPageHandler):
    template = "messages/page.html"
    before: int | None = None  # shown are older messages than this one

    async def get(self, list_id: str) -> None:
        """Show the last messages, or those `?before=` one."""
        before = self.get_query_argument("before", "")
        self.before = int(before) if ID.fullmatch(before) else None
        await self.show_list(int(list_id), "messages")

    def get_template_namespace(self) -> dict[str, Any]:
        """Tell the template not to follow the list where older messages are shown."""
        return super().get_template_namespace() | {"live": not self.before}

    async def show(self, list_id: str) -> None:
        """Show a message that was refused where it was written: here, or on the list's page."""
        shown = "messages"
        if not self.field("back").endswith("/messages"):
            self.template, shown = ListPageHandler.template, self.shown_before()
        await self.show_list(int(list_id), shown)

    @redisplay_if_invalid
    async def post(self, list_id: str) -> None:
        """Send a message, after a while for those who want to be able to cancel it."""
        say = messages.hold if self.current_user.delay_messages else messages.say
        await self.commit(say, self.current_user, int(list_id), self.field("text"))
        self.see_other("messages", list_id)


class DeleteMessageHandler(PageHandler):
    async def post(self, held: str, message_id: str) -> None:
        unit = messages.drop if held else messages.take_back
        list_id = await self.commit(unit, self.current_user, int(message_id))
        self.see_other("messages", list_id)


def others_here(handler: ListPageHandler, list_id: int) -> tuple[str, ...]:
    return handler.app.others_here(list_id, handler.current_user.username)


async def state(handler: ListPageHandler, access: lists.ListAccess) -> str:
    """Return what differs when messages came, wait to be sent or were read, or others are here.

    What is looked at counts as read: a visible window says so, and so does the page of its own.
    """
    person = handler.current_user
    unread = await handler.app.lookups(messages.unread, person)
    visible = isinstance(handler, MessagesHandler) or "X-Seen" in handler.request.headers
    if access.id in unread and visible and not getattr(handler, "before", None):
        handler.app.write_soon(messages.read, person.id, access.id)
    pending = await handler.app.lookups(messages.pending, person)
    return repr((unread, pending.get(access.id), others_here(handler, access.id)))


async def badges(handler: ListPageHandler) -> dict[int, bytes]:
    """Return the HTML that tells how many messages are unread, by list."""
    unread = await handler.app.lookups(messages.unread, handler.current_user)
    draw = partial(handler.render_string, "messages/badge.html")
    return {list_id: draw(unread=count) for list_id, count in unread.items()}


def read_conversation(
    person: Person, access: lists.ListAccess, before: int | None
) -> dict[str, Any]:
    """Return the last messages with links in their HTML, and those that wait to be sent."""
    found = messages.latest(person, access.id, before, MESSAGES_SHOWN + 1)
    shown = found[-MESSAGES_SHOWN:]
    held = [] if before else messages.held(person, access.id)
    known = addresses.titles(access.id) if found or held else {}
    return {
        "messages": [(message, linked(message["text"], known)) for message in shown],
        "held": [(number, linked(words, known)) for number, words in held],
        "older": shown[0]["id"] if len(found) > len(shown) else None,
    }


async def draw(handler: ListPageHandler, page: PageContext) -> Elements:
    """Return the conversation, and the link to it, which narrow windows show in its place."""
    access, person = page.access, handler.current_user
    before = getattr(handler, "before", None)
    found = await handler.app.read(read_conversation, person, access, before)
    unread = await handler.app.lookups(messages.unread, person)
    values = page.values() | found | {"person": person, "here": others_here(handler, access.id)}
    values |= {"unread": unread.get(access.id), "shared": access.people > 1 or found["messages"]}
    return {
        "talking": handler.render_string("messages/talking.html", **values),
        "talk": handler.render_string("messages/talk.html", **values),
    }


PART = PagePart("messages", state, draw, badges)
