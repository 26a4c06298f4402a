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
    "invite member": (N_("Shared the list with {title}"), ""),
    "role member": (N_("Changed {title}'s role"), ""),
    "remove member": (N_("Removed {title}"), ""),
    "leave member": (N_("Left the list"), ""),
    "assign todo": (N_("Reassigned “{title}”"), ""),
}
FACTS = (Change.id, Change.version, Change.verb, Change.kind, Change.at, CALLED)
EVERY: Any = Change.select(*FACTS, Change.before, Change.after).join(User)
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
    """A change: who did what, when, and the todos or the list it touched, before and after."""

    id: int
    version: int
    verb: str
    kind: str
    at: str
    user: str | None
    before: list[lists.Described]
    after: list[lists.Described]
    undoable: bool = True

    def message(self, translate: Callable[..., str]) -> str:
        """Return what was done, in the language of `translate`."""
        rows = self.before or self.after
        one, several = SENTENCES[f"{self.verb} {self.kind}"]
        sentence = translate(one, several, len(rows)) if several else translate(one)
        before, after = rows[0], (self.after or rows)[0]
        name = {"todo": "title", "member": "username", "message": "text"}.get(self.kind, "name")
        return sentence.format(title=after[name], before=before[name], count=len(rows))


def last(
    person: Person, seen: lists.ListAccess, query: PreparedQuery = LAST
) -> ChangeRecord | None:
    """Return the person's own last change of the list, if it is recent enough to regret.

    Or, by another `query`, the last one BY_OTHERS.
    """
    since, recent = seen.version - NEAR, instant(moment() - RECENT)
    for row in query(list=seen.id, person=person.id, since=since, recent=recent):
        return from_row(row)
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
    changes = [from_row(row) for row in rows.tuples()]
    written = todos.written(list_id, [change.version for change in changes])
    versions = {todo["id"]: todo["version"] for todo in written}
    return seen, [change._replace(undoable=can_undo(seen, change, versions)) for change in changes]


def can_undo(seen: lists.ListAccess, change: ChangeRecord, versions: dict[int, int]) -> bool:
    """Say whether what `change` left behind is still so, given the versions of the todos."""
    if change.at < lists.trash_begins():
        return False
    if change.kind == "todo":
        touched = (*change.before, *change.after)
        return all(versions.get(row["id"]) == change.version for row in touched)
    if change.kind != "list":
        return False
    if change.before and change.after:
        return bool(change.after[0]["name"] == seen.name)
    return change.version == seen.version


def from_row(row: Any) -> ChangeRecord:
    *facts, before, after = row
    return ChangeRecord._make([*facts, json.loads(before), json.loads(after), True])


@unit
def undo(person: Person, change_id: int) -> int | None:
    """Take a change back, which is a change too; return the list's id, None when it is deleted now.

    Raises NotFound, Forbidden, and Conflict when someone has changed the same thing since.
    """
    found = EVERY.select_extend(Change.list).where(Change.id == change_id).tuples()
    for *row, list_id in found:
        change = from_row(row)
        of_todos, gone = change.kind == "todo", not change.after
        action = "change" if of_todos else "rename" if change.before and not gone else "delete"
        query = lists.BY_ID_OR_TRASH if gone and not of_todos else lists.BY_ID
        seen = lists.get_for(person, list_id, action, query)
        current = todos.written(seen.id, [change.version]) if of_todos else []
        if not can_undo(seen, change, {todo["id"]: todo["version"] for todo in current}):
            raise Conflict("This has been changed since, so it can't be undone.")
        verb = "redo" if change.verb == "undo" else "undo"
        if of_todos:
            was = {row["id"]: row for row in change.before}
            each = [(todo, columns_before(person, todo, was.get(todo["id"]))) for todo in current]
            todos.rewrite(person, seen, verb, each)
            return seen.id
        after = seen._replace(name=change.before[0]["name"]) if change.before else None
        lists.rewrite(person, seen, verb, after, gone=gone)
        return seen.id if after else None
    raise NotFound


def columns_before(
    person: Person, todo: todos.Columns, old: lists.Described | None
) -> todos.Columns:
    """Return the columns with which a todo is what it was: `old`, or not there."""
    if old is None:
        return {"deleted_at": now()}
    new: todos.Columns = {"deleted_at": None}
    for name, field in todos.FIELDS.items():
        new |= (field.undo or field.clean)(person, todo, old.get(name))
    return new
