"""What happened last, on the page of a list: one's own changes with Undo and Redo, and others'."""

from collections.abc import Callable
from typing import Any

from controllers.history import UndoHandler
from controllers.list_page import Elements, PageContext, PagePart
from models import history, lists, undo_steps
from models.clock import clock
from models.tables import Person

# What to say of some changes instead of their sentence: each is a unit that returns what says it to
# a handler, or None. Filled by extras.py.
SAID: list[Callable[[history.ChangeRecord], Callable[[Any], str] | None]] = []


class StepHandler(UndoHandler):
    unit: Callable[..., int | None] = staticmethod(undo_steps.undo)


def read_steps(person: Person, seen: lists.ListAccess) -> dict[str, Any]:
    """Return a reader's last change of a list, which to undo and redo, and the last by others."""
    undo, redo = undo_steps.next_steps(person, seen)
    news = undo_steps.last(person, seen, undo_steps.BY_OTHERS)
    last = undo_steps.last(person, seen)
    said = [say(last) for say in SAID] if last else []
    return {"last": last, "undo": undo, "redo": redo, "news": news, "said": said}


async def state(handler: Any, access: lists.ListAccess) -> str:
    """Undo isn't offered for ever, so a page isn't cached for ever."""
    return str(clock.seconds() // undo_steps.RECENT.seconds)


async def draw(handler: Any, page: PageContext) -> Elements:
    steps = await handler.app.read(read_steps, handler.current_user, page.access)
    said = [say(handler) for say in steps["said"] if say]
    names, values = ("status", "news"), page.values() | steps | {"said": said}
    return {name: handler.render_string(f"undo_steps/{name}.html", **values) for name in names}


PART = PagePart("undo steps", state, draw)
