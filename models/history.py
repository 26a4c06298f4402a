"""What was done to a list: told, and taken back."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from models import lists, text, todos
from models.clock import now
from models.database import unit
from models.errors import Conflict, NotFound
from models.tables import CALLED, Change, Person, User

N_, Ns_ = text.N_, text.Ns_
# By verb and kind: for one todo or list, and for several todos. extras.py adds more.
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
    "create list": (N_("Created the list “{title}”"), ""),
    "rename list": (N_("Renamed the list “{before}” to “{title}”"), ""),
    "delete list": (N_("Deleted the list “{title}”"), ""),
    "add member": (N_("Shared the list with {title}"), ""),
    "role member": (N_("Changed {title}'s role"), ""),
    "remove member": (N_("Removed {title}"), ""),
    "leave member": (N_("Left the list"), ""),
    "assign todo": (N_("Reassigned “{title}”"), ""),
}
# What extras do to todos as a list had them before a version, to fit it now: filled by extras.py.
BEFORE_UNDO: list[Callable[[int, int, list[lists.Described]], None]] = []
BACK = {"undo": N_("Undid: {change}"), "redo": N_("Redid: {change}")}
FACTS = (Change.id, Change.version, Change.verb, Change.kind, Change.at, CALLED)
TOLD = (Change.title, Change.former, Change.touched, Change.origin, Change.origin_verb)
EVERY: Any = Change.select(*FACTS, *TOLD).join(User)


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
    origin: int | None  # which change it undoes or redoes, and what that did
    origin_verb: str | None
    undoable: bool = True

    def message(self, translate: Callable[..., str]) -> str:
        """Return what was done, in the language of `translate`."""
        if self.origin_verb:
            what = self._replace(verb=self.origin_verb, origin_verb=None)
            if self.verb == "undo" and self.former is not None:  # back to its former title
                what = what._replace(title=self.former, former=self.title)
            told = what.message(translate)
            return translate(BACK[self.verb]).format(change=told[0].lower() + told[1:])
        one, several = SENTENCES[f"{self.verb} {self.kind}"]
        sentence = translate(one, several, self.touched) if several else translate(one)
        return sentence.format(title=self.title, before=self.former, count=self.touched)


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


def can_undo(
    seen: lists.ListAccess, change: ChangeRecord, left: dict[int, int], *, gone: bool = False
) -> bool:
    """Say whether what `change` left behind is still so, given the todos left by version."""
    if change.at < lists.trash_begins():
        return False
    if change.kind == "todo":
        return left.get(change.version) == change.touched
    if change.kind != "list":
        return False
    if change.former is not None:
        return change.title == seen.name
    since = Change.select().where(Change.list == seen.id, Change.version > change.version)
    return not (since.where(Change.kind == "list") if gone else since).exists()


@unit
def undo(person: Person, change_id: int, at: dict[int, int] | None = None) -> int | None:
    """Take a change back, which is a change too; return the list's id, None when it is deleted now.

    `at`, if its todos were changed since and all that is undone, are their versions now, by id.

    Raises NotFound, Forbidden, and Conflict when someone has changed the same thing since.
    """
    query: Any = EVERY.select_extend(Change.list, Change.before, Change.after == "[]")
    for *row, list_id, before, gone in query.where(Change.id == change_id).tuples():
        change = ChangeRecord(*row)
        of_todos = change.kind == "todo"
        action = "change" if of_todos else "rename" if change.former is not None else "delete"
        query = lists.BY_ID_OR_TRASH if gone and not of_todos else lists.BY_ID
        seen = lists.get_for(person, list_id, action, query)
        left = todos.counts_at(seen.id, [change.version])
        if not at and not can_undo(seen, change, left, gone=gone):
            raise Conflict("This has been changed since, so it can't be undone.")
        was = {row["id"]: row for row in json.loads(before)}
        verb = "redo" if change.verb == "undo" else "undo"
        if of_todos:
            noted = any("notes" in row for row in was.values())
            most = todos.NOTES_LIMIT if noted else todos.TITLE_LIMIT
            new = {"deleted_at": now()}
            for rule in BEFORE_UNDO:
                rule(seen.id, change.version, [*was.values()])
            current = []
            for version in {*at.values()} if at else [change.version]:
                rows = todos.present(seen.id, most, todos.WRITTEN_AT, version)
                current += [row for row in rows if not at or row["id"] in at]
            pairs = [(t, columns_before(person, t, was[t["id"]]) if was else new) for t in current]
            todos.rewrite(person, seen, verb, pairs)
        else:
            after = seen._replace(name=was[seen.id]["name"]) if was else None
            lists.rewrite(person, seen, verb, after, gone=gone)
        origin, was_verb = change.origin or change.id, change.origin_verb or change.verb
        of: Any = {"origin": origin, "origin_verb": was_verb}
        Change.update(of).where(Change.list == seen.id, Change.version > seen.version).execute()
        return seen.id if of_todos or was else None
    raise NotFound


def columns_before(person: Person, todo: todos.Columns, old: lists.Described) -> todos.Columns:
    """Return those columns of a todo with which it is what it was, as far as `old` says."""
    new: todos.Columns = {"deleted_at": None}
    for name, field in todos.FIELDS.items():
        if name in old:
            new |= (field.undo or field.clean)(person, todo, old[name])
    return {column: value for column, value in new.items() if todo[column] != value}
