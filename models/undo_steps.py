"""One's last changes: the way back through them step by step, and forth again; and others' last."""

import json
from datetime import timedelta
from typing import Any

from peewee import fn

from models import history, lists
from models.clock import instant, moment
from models.database import Param, PreparedQuery, unit
from models.errors import Conflict
from models.history import ChangeRecord
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
# All at each page that has changed: 92 us; 940 as a plain query (2026-11).
LAST = PreparedQuery(OWN.limit(1))
BY_OTHERS = PreparedQuery(NEWLY.where(Change.user != Param("person")).limit(1))
BACKWARDS = PreparedQuery(OWN.limit(STEPS))


def recent(person: Person, seen: lists.ListAccess, query: PreparedQuery) -> list[ChangeRecord]:
    """Return what a query finds of the changes that are recent enough to regret."""
    since, begin = seen.version - NEAR, instant(moment() - RECENT)
    rows = query(list=seen.id, person=person.id, since=since, recent=begin)
    return [ChangeRecord(*row) for row in rows]


def last(
    person: Person, seen: lists.ListAccess, query: PreparedQuery = LAST
) -> ChangeRecord | None:
    """Return the person's own last change of the list, or by another `query` that BY_OTHERS."""
    return next(iter(recent(person, seen, query)), None)


def next_steps(
    person: Person, seen: lists.ListAccess
) -> tuple[ChangeRecord | None, ChangeRecord | None]:
    """Return the person's last change that isn't undone; and the last that is, to redo it.

    There is nothing to redo once something else was done. Going back ends where the list was made
    or restored, and leaves out what they may not do any more.
    """
    back, forth, renewed = None, None, False
    met: set[int] = set()
    for change in recent(person, seen, BACKWARDS):
        if change.kind == "list" and (change.origin_verb or change.verb) != "rename":
            break
        root = change.origin or change.id
        known = root in met  # what became of it was said by a later row
        met.add(root)
        if known or not seen.may("change" if change.kind == "todo" else "rename"):
            continue
        if change.verb != "undo":
            back = back or change
            renewed = renewed or not change.origin
        elif not renewed:
            forth = forth or change
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
