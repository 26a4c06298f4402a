"""What only the API reads and writes: todos part by part, changes after a version."""

import json

from peewee import Tuple

from models import history, lists, todos
from models.clock import now
from models.database import Param, PreparedQuery
from models.errors import Pruned
from models.tables import Change, Person, Todo

CHANGES_SIZE = 1_000_000  # characters that are read of a list's changes at once
# A list of 50 todos: 160 us; 660 as a plain query (2026-11).
PART = PreparedQuery(
    todos.PRESENT.query.where(
        Tuple(Todo.position, Todo.id) > Tuple(Param("position"), Param("id"))
    ).limit(Param("limit"))
)


def todos_after(
    person: Person, list_id: int, place: tuple[float, int], limit: int
) -> list[lists.Described]:
    """Return the first todos of a list after a place (order and id). Raises NotFound."""
    lists.get_for(person, list_id)
    place_of = {"position": place[0], "id": place[1]}
    found = PART(list=list_id, **place_of, limit=limit, notes=todos.NOTES_LIMIT)
    return todos.described([dict(zip(todos.NAMES, row, strict=True)) for row in found])


def delete_todos(person: Person, list_id: int) -> None:
    """Put every todo of the list in the trash. Raises NotFound, Forbidden."""
    seen = lists.get_for(person, list_id, "change")
    new: todos.Columns = {"deleted_at": now()}
    todos.rewrite(person, seen, "delete", [(todo, new) for todo in todos.present(list_id, 0)])


def changes_since(
    person: Person, list_id: int, version: int, limit: int
) -> tuple[lists.ListAccess, list[tuple[int, str]]]:
    """Return the list, and the versions and JSON of its first changes after `version`.

    They are `limit` at most, and a million characters or little more, the oldest first. Raises
    NotFound, and Pruned when some of them aren't kept any more, or were never made.
    """
    seen = lists.get_for(person, list_id)
    later = history.EVERY.select(*history.FACTS, Change.before, Change.after)
    later = later.where(Change.list == list_id, Change.version > version)
    changes, size = [], 0
    for *facts, before, after in later.order_by(Change.version).limit(limit).tuples().iterator():
        about = json.dumps(dict(zip(history.ChangeRecord._fields, facts, strict=False)))[:-1]
        changes.append((facts[1], f'{about}, "before": {before}, "after": {after}}}'))
        size += len(before) + len(after)
        if size > CHANGES_SIZE:
            break
    first = changes[0][0] if changes else seen.version + 1
    if first != version + 1:
        raise Pruned
    return seen, changes
