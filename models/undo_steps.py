"""One's last changes: the way back through them step by step, and forth again; and others' last."""

import json
from datetime import timedelta
from typing import Any, NamedTuple

from peewee import fn

from models import history, lists
from models.clock import instant, moment
from models.database import Param, PreparedQuery, unit
from models.errors import Conflict
from models.tables import Change, Person, Todo

RECENT = timedelta(minutes=10)  # how long a page offers to go back
NEAR = 500  # and how many changes by others may have come in between
STEPS = 200  # changes of one's own that are gone back through
READ_LIMIT = 2_000_000  # characters of change rows that are read for one undo
NEWLY = history.EVERY.where(
    Change.list == Param("list"),
    Change.version > Param("since"),
    Change.at > Param("recent"),
).order_by(Change.version.desc())
OWN = NEWLY.where(Change.user == Param("person"), Change.kind.in_(("todo", "list")))
ORIGIN = (Change.id, Change.verb, Change.kind, Change.origin, Change.origin_verb)
# All at each page that has changed: 92 us; 940 as a plain query (2026-11).
LAST = PreparedQuery(OWN.limit(1))
BY_OTHERS = PreparedQuery(NEWLY.where(Change.user != Param("person")).limit(1))
BACKWARDS = PreparedQuery(OWN.select(*ORIGIN).limit(STEPS))


def recent(person: Person, seen: lists.ListAccess, query: PreparedQuery) -> list[tuple[Any, ...]]:
    """Return what a query finds of the changes that are recent enough to regret."""
    since, begin = seen.version - NEAR, instant(moment() - RECENT)
    return query(list=seen.id, person=person.id, since=since, recent=begin)


def last(
    person: Person, seen: lists.ListAccess, query: PreparedQuery = LAST
) -> history.ChangeRecord | None:
    """Return the person's own last change of the list, or by another `query` that BY_OTHERS."""
    for row in recent(person, seen, query):
        return history.ChangeRecord(*row)
    return None


class Step(NamedTuple):
    """A change that Undo or Redo would take back."""

    id: int
    kind: str


def next_steps(person: Person, seen: lists.ListAccess) -> tuple[Step | None, Step | None]:
    """Return the person's last change that isn't undone; and the last that is, to redo it.

    There is nothing to redo once something else was done. Going back ends where the list was made
    or restored, and leaves out what they may not do any more.
    """
    back: Step | None = None
    forth: Step | None = None
    met, renewed = set(), False
    for number, verb, kind, origin, origin_verb in recent(person, seen, BACKWARDS):
        if kind == "list" and (origin_verb or verb) != "rename":
            break
        known = (origin or number) in met  # what became of it was said by a later row
        met.add(origin or number)
        if known or not seen.may("change" if kind == "todo" else "rename"):
            continue
        if verb != "undo":
            back = back or Step(number, kind)
            renewed = renewed or not origin
        elif not renewed:
            forth = forth or Step(number, kind)
    return back, forth


@unit
def undo(person: Person, change_id: int) -> int | None:
    """Do what `history.undo` does; also when what was done since to the same todos is undone."""
    try:
        return history.undo(person, change_id)
    except Conflict:
        at = undone_since(change_id)
        if not at:
            raise
        return history.undo(person, change_id, at)


def undone_since(change_id: int) -> dict[int, int]:
    """Return the versions of a change's todos, by id, if all that was done to them since is undone.

    Else, and when that would take too long to find out, return {}.
    """
    change: Any = Change.get_by_id(change_id)
    if change.kind != "todo" or change.at < lists.trash_begins():
        return {}
    of_list = Change.list == change.list_id
    later: Any = Change.select(Change.id, Change.version, Change.verb, Change.origin)
    later = later.where(of_list, Change.version > change.version, Change.kind == "todo")
    rows = list(later.order_by(Change.version).limit(NEAR + 1).tuples())
    was: dict[int, bool] = {}  # which changes were in force then
    now: dict[int, tuple[bool, int]] = {}  # and which are now, by a change at which version
    for number, version, verb, origin in rows:
        was.setdefault(origin or number, verb == "undo")
        now[origin or number] = verb != "undo", version
    if len(rows) > NEAR or (change.origin or change.id) in now:
        return {}
    others = touched(of_list, [at for root, (done, at) in now.items() if done != was[root]])
    ids = touched(of_list, [change.version])
    if ids is None or others is None or ids & others:
        return {}
    found: Any = Todo.select(Todo.id, Todo.version).where(Todo.id.in_(ids))
    return dict(found.tuples())


def touched(of_list: Any, versions: list[int]) -> set[int] | None:
    """Return the ids of the todos in the changes at these versions; None for too much to read."""
    where = of_list, Change.version.in_(versions)
    size = fn.SUM(fn.LENGTH(Change.before) + fn.LENGTH(Change.after))
    if (Change.select(size).where(*where).scalar() or 0) > READ_LIMIT:
        return None
    rows: Any = Change.select(Change.before, Change.after).where(*where).tuples()
    return {todo["id"] for texts in rows for each in texts for todo in json.loads(each)}
