"""How a todo repeats: its fields, and what becomes of it when it is ticked or skipped."""

import json
from datetime import date

from models import history, repeats, todos
from models.database import unit
from models.due import WHEN, due_of, today, zone_of
from models.errors import Invalid
from models.lists import Described
from models.tables import Change, Person
from models.text import N_
from models.todos import Columns, Field

SENTENCES = {
    "repeat todo": (N_("Changed how “{title}” repeats"), ""),
    "unrepeat todo": (N_("Stopped repeating “{title}”"), ""),
    "skip todo": (N_("Skipped “{title}”"), ""),
}


def clean_repeat(person: Person, todo: Columns, value: str | None) -> Columns:
    return {"repeat": value or None}  # `settle` checks it, when it is known what else changes


def clean_from(person: Person, todo: Columns, value: str | None) -> Columns:
    if value and value not in ("due", "done"):
        raise Invalid("repeat_from", "This must be due or done.")
    return {"repeat_from": value or None}


FIELDS = {
    "repeat_from": Field("repeat", clean_from),
    "repeat": Field("repeat", clean_repeat, unset="unrepeat"),
}


def begin(person: Person, todo: Columns, new: Columns) -> Columns:
    """Let a todo without a date be due on the first of its repeat. A rule: see `todos.RULES`."""
    if not new.get("repeat") or (todo | new)["due"] or "due" in new:
        return new
    day = repeats.first_date(new["repeat"], today(person), zone_of(person))
    return new | {"due": day.isoformat()}


def settle(person: Person, todo: Columns, new: Columns) -> Columns:
    """Check a repeat whatever of it is new; and move on what is ticked. A rule, too."""
    now = todo | new
    if not now["repeat"]:
        return new | {"repeat_from": None} if now["repeat_from"] else new
    if new.keys() & {*WHEN, *FIELDS}:
        due, done = due_of(now), now["repeat_from"] == "done"
        rule = repeats.clean(now["repeat"], due, zone_of(person), done=done)
        new = new | {"repeat": rule, "repeat_from": "done" if done else "due"}
    if new.get("completed_at") and todo["repeat"] and (later := following(person, todo | new)):
        return {name: new[name] for name in new if not name.startswith("completed")} | later
    return new


def following(person: Person, todo: Columns) -> Columns:
    """Return the columns of a repeating todo at its next date, none where it has no other."""
    due = due_of(todo)
    rule = repeats.parse(todo["repeat"], due.zone or zone_of(person), due.at)
    done = todo["repeat_from"] == "done"
    day = repeats.next_date(rule, due.day, today(person), done=done)
    if day is None:
        return {}
    return {"due": day.isoformat(), "repeat": repeats.with_count(todo["repeat"], -1)}


def next_day(change: history.ChangeRecord) -> date | None:
    """Return to which day a change has moved a todo that repeats, None if it hasn't."""
    if change.verb not in ("complete", "skip") or change.touched > 1:
        return None
    (todo,) = json.loads(Change.select(Change.after).where(Change.id == change.id).scalar())
    return date.fromisoformat(todo["due"]) if todo.get("due") else None


@unit
def skip(person: Person, todo_id: int, due: str = "") -> Described:
    """Move a todo to its next date without ticking it, unless it has left the day `due`; return it.

    Raises NotFound, Forbidden, and Invalid when there is no other date.
    """
    seen, todo = todos.find(person, todo_id, "change")
    if due and due != todo["due"]:
        return todos.described([todo])[0]
    later = following(person, todo) if todo["repeat"] and not todo["completed_at"] else {}
    if not later:
        raise Invalid("repeat", "There is no next date.")
    stamp = todos.rewrite(person, seen, "skip", [(todo, later)])
    return todos.described([todo | later | stamp])[0]
