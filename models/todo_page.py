"""A todo's own page: of two who have its form open, each changes what they changed there.

The form tells the version of the todo that it showed; the changes since then tell what that was.
"""

import json
from typing import Any

from models import text, todos
from models.database import unit
from models.errors import Invalid
from models.tables import Change, Person

READ_LIMIT = 2_000_000  # characters of change rows that are read for one form


class EditConflict(Invalid):
    """Someone else has changed the same fields since (409).

    `theirs` has what these fields hold now, `mine` all that was changed in the form, and as `seen`
    the version with which it can be sent again: what was `theirs` has been seen then.
    """

    def __init__(self, theirs: todos.Columns, mine: todos.Columns) -> None:
        super().__init__(
            "", "Someone else has changed this since you opened it. Which one to keep?"
        )
        self.theirs = theirs
        self.mine = mine


@unit
def save(person: Person, todo_id: int, typed: dict[str, str], seen: int | None) -> int:
    """Store the fields of a form that showed the version `seen`; return the list's id.

    An empty title deletes the todo. Raises NotFound, Forbidden, Invalid, and EditConflict.
    """
    access, todo = todos.find(person, todo_id, "change")
    fields = changed_fields(person, todo, typed, seen)
    if text.blank(fields.get("title", "as it was")):
        return todos.delete(person, todo_id, fields.get("notes"))
    todos.edit(person, todo_id, **fields)
    return access.id


def changed_fields(
    person: Person, todo: todos.Columns, typed: dict[str, str], seen: int | None
) -> dict[str, str]:
    """Return those of the typed fields of a todo that were changed in a form.

    The form showed the todo as of the version `seen`. Raises Invalid, and EditConflict for those
    that someone else has changed to something else since.
    """
    if seen is None or todo["version"] <= seen:
        return typed
    current = todos.described([todo])[0]
    shown = shown_at(todo, seen)
    mine, theirs = {}, {}
    for name, value in typed.items():
        field, now = todos.FIELDS[name], current.get(name) or ""
        gone = name == "title" and text.blank(value)  # which deletes the todo
        new = {} if gone else field.clean(person, todo, value)
        if shown is not None:
            old = shown.get(name, now) or ""
            columns = (field.undo or field.clean)(person, todo, old)
            if value == old or new == columns:
                continue
        mine[name] = value
        is_now = new and all(todo[column] == new[column] for column in new)
        if not is_now and (shown is None or any(todo[c] != columns[c] for c in columns)):
            theirs[name] = now
    if theirs:
        raise EditConflict(theirs, mine | {"seen": todo["version"]})
    return mine


def shown_at(todo: todos.Columns, seen: int) -> dict[str, Any] | None:
    """Return what a todo was at the version `seen`, of the fields that were changed since.

    None when that can't be told: it was in the trash meanwhile, or there are too many changes.
    """
    shown: dict[str, Any] = {}
    size = 0
    since = (Change.list == todo["list"], Change.version > seen, Change.kind == "todo")
    rows: Any = Change.select(Change.before, Change.after).where(*since).order_by(Change.version)
    for texts in rows.tuples().iterator():
        size += sum(map(len, texts))
        if size > READ_LIMIT:
            return None
        before, after = ([r for r in json.loads(t) if r["id"] == todo["id"]] for t in texts)
        if len(before) != len(after):
            return None
        for was, then in zip(before, after, strict=True):
            shown = {name: was.get(name) for name in was | then} | shown
    return shown
