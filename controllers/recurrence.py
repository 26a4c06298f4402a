"""Todos that repeat, on pages: what is said when one has moved on, and skipping a date."""

from collections.abc import Callable
from typing import Any

from controllers.base import PageHandler
from models import dates, due, recurrence
from models.history import ChangeRecord
from models.text import N_

MOVED = {"complete": N_("Done. Next: {date}"), "skip": N_("Skipped. Next: {date}")}


def said(change: ChangeRecord) -> Callable[[Any], str] | None:
    """Return what says on which day a todo that was ticked or skipped is due next; a unit."""
    day = recurrence.next_day(change)
    if day is None:
        return None

    def say(handler: Any) -> str:
        translate, this = handler.locale.translate, due.today(handler.current_user)
        words = dates.weekday_words(day, this, translate, handler.locale.code, "abbreviated")
        return str(translate(MOVED[change.verb]).format(date=words))

    return say


class SkipHandler(PageHandler):
    async def post(self, todo_id: str) -> None:
        """Move a todo on that is due on the day `due` still, without completing it."""
        args = self.current_user, int(todo_id), self.field("due")
        todo = await self.commit(recurrence.skip, *args)
        self.see_other("list", todo["list"])
