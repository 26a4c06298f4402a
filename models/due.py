"""The day a todo is due, and the time: its fields, and what follows from them."""

from datetime import date, time
from typing import Any

from models import dates
from models.clock import moment
from models.database import Param, PreparedQuery
from models.errors import Invalid
from models.lists import Lookup
from models.tables import Person, Todo
from models.text import N_
from models.todos import DATED, Columns, Field

WHEN = ("due", "due_time", "due_zone")
# By an index of few todos, so that others cost nothing; it is used by who asks for just this.
OPEN_AND_DUE: Any = (
    Todo.due.is_null(False) & Todo.completed_at.is_null() & Todo.deleted_at.is_null()
)
Todo.add_index(Todo.list, Todo.due, where=OPEN_AND_DUE)
OF_LIST = PreparedQuery(  # of each list that is shown: 4 us; 150 as a plain query (2026-11)
    Todo.select(Todo.due, Todo.due_time, Todo.due_zone).where(
        Todo.list == Param("list"), OPEN_AND_DUE
    )
)
SENTENCES = {
    "schedule todo": (N_("Rescheduled “{title}”"), ""),
    "unschedule todo": (N_("Removed the date of “{title}”"), ""),
}


def zone_of(person: Person) -> str:
    return person.timezone or "UTC"


def clean_timezone(value: str) -> str | None:
    """Return the zone that someone chooses, None for none. Raises Invalid for timezone."""
    return dates.clean_zone("timezone", value) if value else None


def known_timezone(value: str) -> str | None:
    """Return the zone that a browser says it is in, None if it isn't one that is known here."""
    return value if value in dates.zones() else None


def today(person: Person) -> date:
    """Return which day it is for someone."""
    return dates.today(zone_of(person), moment())


def due_of(todo: Columns) -> dates.Due:
    """Return when a todo that has a date is due."""
    return due_at(todo["due"], todo["due_time"], todo["due_zone"])


def due_at(day: str | None, at: str | None, zone: str | None) -> dates.Due:
    """Return the same of these columns, the first of which has a day."""
    return dates.Due(date.fromisoformat(day or ""), time.fromisoformat(at) if at else None, zone)


def of_list(list_id: int, lookup: Lookup = PreparedQuery.__call__) -> list[dates.Due]:
    """Return when those todos of a list are due that are open and have a date."""
    return [due_at(*row) for row in lookup(OF_LIST, list=list_id)]


def clean_due(person: Person, todo: Columns, value: str | None) -> Columns:
    day = dates.clean_day("due", value or "")
    return {"due": day and day.isoformat()}


def clean_time(person: Person, todo: Columns, value: str | None) -> Columns:
    dates.clean_time("due_time", value or "")
    return {"due_time": value or None}


def clean_zone(person: Person, todo: Columns, value: str | None) -> Columns:
    return {"due_zone": dates.clean_zone("due_zone", value) if value else None}


FIELDS = {
    "due": Field("schedule", clean_due, unset="unschedule"),
    "due_time": Field("schedule", clean_time),
    "due_zone": Field("schedule", clean_zone),
}


def settle(person: Person, todo: Columns, new: Columns) -> Columns:
    """Take all along with a date that is taken away; put a time in the writer's zone, or another.

    A rule: see `todos.RULES`.
    """
    if not new.keys() & {*WHEN}:
        return new
    now = todo | new
    if now["due"] is None:
        if now["due_time"] and "due" not in new:
            raise Invalid("due_time", "A time needs a date.")
        return new | dict.fromkeys(DATED)
    zone = (now["due_zone"] or zone_of(person)) if now["due_time"] else None
    return new | {"due_zone": zone}
