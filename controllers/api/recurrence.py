"""Repeats, in the API: what a rule says, and skipping a date."""

import asyncio
from typing import Any

from controllers.api.base import ApiHandler, operation
from controllers.api.schema import FIELDS, OBJECTS, text
from controllers.api.todos import OfTodoHandler, cleared
from models import dates, due, recurrence, repeat_words, repeats
from models.errors import Invalid

MOST = 50  # dates that are told
FIELDS |= {"after": FIELDS["due"], "count": {"type": "integer", "minimum": 1, "maximum": MOST}}
DATES = {"type": "array", "items": text(10)}
OBJECTS["Repeat"] = {"repeat": text(255), "words": text(1000), "next": DATES}


class RepeatHandler(ApiHandler):
    """Stores nothing."""

    @operation(200, "Repeat", "repeat due due_time due_zone repeat_from after count", "repeat due")
    async def post(self) -> None:
        """What a repeat says, and its next dates"""
        await self.send_json(self.encode(await asyncio.to_thread(self.expanded)))

    def expanded(self) -> dict[str, Any]:
        """Return it. Raises Invalid. Some rules take milliseconds, which aren't the loop's."""
        given, person = cleared(self.body), self.current_user
        zone, today = due.zone_of(person), due.today(person)
        day, at, named = (given.get(name, "") for name in due.WHEN)
        when = dates.clean(day, at if day else "", named, zone)
        if when is None:
            raise Invalid("due", "Required.")
        done = recurrence.clean_from(person, {}, given.get("repeat_from"))["repeat_from"] == "done"
        stored = repeats.clean(given["repeat"], when, zone, done=done)
        rule = repeats.parse(stored, when.zone or zone, when.at)
        after = dates.clean_day("after", given.get("after", "")) or today
        found = repeats.next_five(rule, when.day, after, done=done, most=given.get("count", 5))
        words = repeat_words.words(rule, when, self.locale.translate, self.locale.code, done=done)
        return {"repeat": stored, "words": words, "next": [day.isoformat() for day in found]}


class SkipHandler(OfTodoHandler):
    @operation(200, "Todo")
    async def post(self, todo_id: str) -> None:
        """Move a todo that repeats to its next date"""
        await self.send_changed(await self.commit(recurrence.skip, self.current_user, int(todo_id)))
