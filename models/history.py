"""What was done to a list: told, and taken back."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple

from models import lists, text, todos
from models.clock import instant, moment, now
from models.database import Param, PreparedQuery, unit
from models.errors import Conflict, NotFound
from models.tables import CALLED, Change, Person, User

RECENT = timedelta(minutes=10)  # how long a page offers to take one's last change back
NEAR = 500  # and how many changes by others may have come in between
N_, Ns_ = text.N_, text.Ns_
# By verb and kind: for one todo or list, and for several todos. app.py adds those of extras.
SENTENCES = {
    "add todo": Ns_("Added “{title}”", "Added {count} todos"),
    "complete todo": Ns_("Completed “{title}”", "Completed {count} todos"),
    "reopen todo": Ns_("Reopened “{title}”", "Reopened {count} todos"),
    "rename todo": (N_("Renamed “{before}” to “{title}”"), ""),
    "edit todo": (N_("Changed “{title}”"), ""),
    "note todo": (N_("Changed the notes of “{title}”"), ""),
    "move todo": (N_("Moved “{title}”"), ""),
    "delete todo": Ns_("Deleted “{title}”", "Deleted {count} todos"),
    "clear todo": Ns_("Cleared “{title}”", "Cleared {count} completed todos"),
    "restore todo": Ns_("Restored “{title}”", "Restored {count} todos"),
    "undo todo": Ns_("Undid a change to “{title}”", "Undid a change to {count} todos"),
    "redo todo": Ns_("Redid a change to “{title}”", "Redid a change to {count} todos"),
    "redo list": (N_("Redid a change to the list “{title}”"), ""),
    "create list": (N_("Created the list “{title}”"), ""),
    "rename list": (N_("Renamed the list “{before}” to “{title}”"), ""),
    "delete list": (N_("Deleted the list “{title}”"), ""),
    "undo list": (N_("Undid a change to the list “{title}”"), ""),
    "add member": (N_("Shared the list with {title}"), ""),
    "role member": (N_("Changed {title}'s role"), ""),
    "remove member": (N_("Removed {title}"), ""),
    "leave member": (N_("Left the list"), ""),
    "assign todo": (N_("Reassigned “{title}”"), ""),
}
FACTS = (Change.id, Change.version, Change.verb, Change.kind, Change.at, CALLED)
TOLD = (Change.title, Change.former, Change.touched)
EVERY: Any = Change.select(*FACTS, *TOLD).join(User)
# Both at each page that has changed: 92 us; 940 as a plain query (2026-11).
NEWLY = (
    EVERY.where(
        Change.list == Param("list"),
        Change.version > Param("since"),
        Change.at > Param("recent"),
    )
    .order_by(Change.version.desc())
    .limit(1)
)
KIND = Change.kind.in_(("todo", "list"))
LAST = PreparedQuery(NEWLY.where(Change.user == Param("person"), KIND))
BY_OTHERS = PreparedQuery(NEWLY.where(Change.user != Param("person")))


class ChangeRecord(NamedTuple):
    """A change: who did what, when, and to how many; see `tables.Change`."""

    id: int
    version: int
    verb: str
    kind: str
    at: str
    user: str | None
    title: str
    former: str | None
    touched: int
    undoable: bool = True

    def message(self, translate: Callable[..., str]) -> str:
        """Return what was done, in the language of `translate`."""
        one, several = SENTENCES[f"{self.verb} {self.kind}"]
        sentence = translate(one, several, self.touched) if several else translate(one)
        return sentence.format(title=self.title, before=self.former, count=self.touched)


def last(
    person: Person, seen: lists.ListAccess, query: PreparedQuery = LAST
) -> ChangeRecord | None:
    """Return the person's own last change of the list, if it is recent enough to regret.

    Or, by another `query`, the last one BY_OTHERS.
    """
    since, recent = seen.version - NEAR, instant(moment() - RECENT)
    for row in query(list=seen.id, person=person.id, since=since, recent=recent):
        return ChangeRecord(*row)
    return None


def page(
    person: Person, list_id: int, offset: int, limit: int
) -> tuple[lists.ListAccess, list[ChangeRecord]]:
    """Return the list, and a part of its changes, the last one first. Raises NotFound.

    A change is `undoable` when nobody has changed since what it changed.
    """
    seen = lists.get_for(person, list_id)
    some = EVERY.where(Change.list == list_id, Change.kind != "message")
    rows = some.order_by(Change.version.desc()).offset(offset).limit(limit)
    changes = [ChangeRecord(*row) for row in rows.tuples()]
    left = todos.counts_at(list_id, [change.version for change in changes])
    return seen, [change._replace(undoable=can_undo(seen, change, left)) for change in changes]


def can_undo(seen: lists.ListAccess, change: ChangeRecord, left: dict[int, int]) -> bool:
    """Say whether what `change` left behind is still so, given the todos left by version."""
    if change.at < lists.trash_begins():
        return False
    if change.kind == "todo":
        return left.get(change.version) == change.touched
    if change.kind != "list":
        return False
    if change.former is not None:
        return change.title == seen.name
    return change.version == seen.version


@unit
def undo(person: Person, change_id: int) -> int | None:
    """Take a change back, which is a change too; return the list's id, None when it is deleted now.

    Raises NotFound, Forbidden, and Conflict when someone has changed the same thing since.
    """
    query: Any = EVERY.select_extend(Change.list, Change.before, Change.after == "[]")
    for *row, list_id, before, gone in query.where(Change.id == change_id).tuples():
        change = ChangeRecord(*row)
        of_todos = change.kind == "todo"
        action = "change" if of_todos else "rename" if change.former is not None else "delete"
        query = lists.BY_ID_OR_TRASH if gone and not of_todos else lists.BY_ID
        seen = lists.get_for(person, list_id, action, query)
        if not can_undo(seen, change, todos.counts_at(seen.id, [change.version])):
            raise Conflict("This has been changed since, so it can't be undone.")
        was = {row["id"]: row for row in json.loads(before)}
        verb = "redo" if change.verb == "undo" else "undo"
        if of_todos:
            noted = any("notes" in row for row in was.values())
            most = todos.NOTES_LIMIT if noted else todos.TITLE_LIMIT
            new = {"deleted_at": now()}
            current = todos.present(seen.id, most, todos.WRITTEN_AT, change.version)
            pairs = [(t, columns_before(person, t, was[t["id"]]) if was else new) for t in current]
            todos.rewrite(person, seen, verb, pairs)
            return seen.id
        after = seen._replace(name=was[seen.id]["name"]) if was else None
        lists.rewrite(person, seen, verb, after, gone=gone)
        return seen.id if after else None
    raise NotFound


def columns_before(person: Person, todo: todos.Columns, old: lists.Described) -> todos.Columns:
    """Return those columns of a todo with which it is what it was, as far as `old` says."""
    new: todos.Columns = {"deleted_at": None}
    for name, field in todos.FIELDS.items():
        if name in old:
            new |= (field.undo or field.clean)(person, todo, old[name])
    return {column: value for column, value in new.items() if todo[column] != value}
