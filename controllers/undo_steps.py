"""What happened last, on the page of a list: one's own changes with Undo and Redo, and others'."""

from collections.abc import Callable
from typing import Any

from controllers.history import UndoHandler
from controllers.list_page import Elements, PageContext, PagePart
from models import lists, undo_steps
from models.clock import clock
from models.tables import Person


class StepHandler(UndoHandler):
    unit: Callable[..., int | None] = staticmethod(undo_steps.undo)


def read_steps(person: Person, seen: lists.ListAccess) -> dict[str, Any]:
    """Return a reader's last change of a list, which to undo and redo, and the last by others."""
    undo, redo = undo_steps.next_steps(person, seen)
    news = undo_steps.last(person, seen, undo_steps.BY_OTHERS)
    return {"last": undo_steps.last(person, seen), "undo": undo, "redo": redo, "news": news}


async def state(handler: Any, access: lists.ListAccess) -> str:
    """Undo isn't offered for ever, so a page isn't cached for ever."""
    return str(clock.seconds() // undo_steps.RECENT.seconds)


async def draw(handler: Any, page: PageContext) -> Elements:
    steps = await handler.app.read(read_steps, handler.current_user, page.access)
    names, values = ("status", "news"), page.values() | steps
    return {name: handler.render_string(f"undo_steps/{name}.html", **values) for name in names}


PART = PagePart("undo steps", state, draw)
