"""Todos: the verbs people use, each one unit of work and one change of the list."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from peewee import ModelSelect, fn

from models import lists, text
from models.database import Given, Prepared, now
from models.errors import NotFound
from models.tables import Person, Todo

TITLE_LIMIT = 1000
FILTERS = ("all", "active", "completed")


def present(list_id: int | Given) -> "ModelSelect[Todo]":
    """Return the query of a list's todos outside the trash, in order; rights are not its matter."""
    here = (Todo.list == list_id) & Todo.deleted_at.is_null()
    return Todo.select().where(here).order_by(Todo.position, Todo.id)


COLUMNS = ("list", "title", "notes", "created", "updated", "version")
END = Todo.select(fn.COALESCE(fn.MAX(Todo.position), 0) + 1).where(Todo.list == Given("list"))
ADD = Prepared(
    Todo.insert({name: Given(name) for name in COLUMNS} | {"position": END}).returning(
        Todo.id, Todo.position
    )
)
ROWS = Prepared(present(Given("list")).select(Todo.id, Todo.title, Todo.completed_at))


class Row(NamedTuple):
    """A todo as its list's page shows it."""

    id: int
    title: str
    completed: bool


class Page(NamedTuple):
    """A list's page: the rows a filter lets through, in order, and the counts of the whole list."""

    list: lists.Seen
    rows: Sequence[Row]
    open: int
    completed: int


def page(person: Person, list_id: int, shown: str = "all") -> Page:
    """Return what the list's page shows under one of FILTERS. Raises NotFound."""
    seen = lists.seen_by(person, list_id)
    rows = [Row(number, title, done is not None) for number, title, done in ROWS(list=list_id)]
    completed = sum(row.completed for row in rows)
    through = [row for row in rows if shown == "all" or row.completed == (shown == "completed")]
    return Page(seen, through, len(rows) - completed, completed)


def add(person: Person, list_id: int, title: str) -> int:
    """Put a todo at the end of the list and return its id. Raises NotFound, Forbidden, Invalid."""
    seen = lists.seen_by(person, list_id, "editor")
    values: dict[str, Any] = {"list": list_id, "title": text.line("title", title, TITLE_LIMIT)}
    values |= {"notes": "", "version": seen.version + 1}
    values["created"] = values["updated"] = now()
    ((todo_id, position),) = ADD(**values)
    row = values | {"id": todo_id, "position": position, "completed_at": None}
    lists.changed(person, seen, "add", "todo", [], [described(row)])
    return int(todo_id)


def complete(person: Person, todo_id: int) -> int:
    """Tick the todo and return its list's id. Raises NotFound, Forbidden."""
    seen, todo = writable(person, todo_id)
    tick(person, seen, "complete", [todo], True)
    return seen.id


def reopen(person: Person, todo_id: int) -> int:
    """Take the tick away and return the list's id. Raises NotFound, Forbidden."""
    seen, todo = writable(person, todo_id)
    tick(person, seen, "reopen", [todo], False)
    return seen.id


def rename(person: Person, todo_id: int, title: str) -> int:
    """Give the todo another title and return its list's id. Raises NotFound, Forbidden, Invalid."""
    seen, todo = writable(person, todo_id)
    title = text.line("title", title, TITLE_LIMIT)
    if title != todo.title:
        change(person, seen, "rename", [todo], title=title)
    return seen.id


def delete(person: Person, todo_id: int) -> int:
    """Put the todo in the trash and return its list's id. Raises NotFound, Forbidden."""
    seen, todo = writable(person, todo_id)
    change(person, seen, "delete", [todo], deleted_at=now())
    return seen.id


def complete_all(person: Person, list_id: int, completed: bool) -> None:
    """Tick every todo of the list, or open every one again. Raises NotFound, Forbidden."""
    seen = lists.seen_by(person, list_id, "editor")
    tick(person, seen, "complete" if completed else "reopen", list(present(list_id)), completed)


def clear_completed(person: Person, list_id: int) -> None:
    """Put every completed todo of the list in the trash. Raises NotFound, Forbidden."""
    seen = lists.seen_by(person, list_id, "editor")
    done = list(present(list_id).where(Todo.completed_at.is_null(False)))
    change(person, seen, "clear", done, deleted_at=now())


def list_of(person: Person, todo_id: int) -> int:
    """Return the id of the list a todo is in. Raises NotFound."""
    return lists.seen_by(person, find(todo_id).list_id).id


def find(todo_id: int) -> Todo:
    """Return a todo outside the trash; rights are not its matter. Raises NotFound."""
    todo = Todo.get_or_none(Todo.id == todo_id, Todo.deleted_at.is_null())
    if todo is None:
        raise NotFound
    return todo


def writable(person: Person, todo_id: int) -> tuple[lists.Seen, Todo]:
    """Return a todo that `person` may change, after its list. Raises NotFound, Forbidden."""
    todo = find(todo_id)
    return lists.seen_by(person, todo.list_id, "editor"), todo


def tick(person: Person, seen: lists.Seen, verb: str, todos: list[Todo], completed: bool) -> None:
    """Complete or reopen those of `todos` that aren't so already, as one change."""
    others = [todo for todo in todos if (todo.completed_at is not None) != completed]
    change(person, seen, verb, others, completed_at=now() if completed else None)


def change(
    person: Person, seen: lists.Seen, verb: str, todos: list[Todo], **values: str | None
) -> None:
    """Write `values` into all of `todos`, as one change of their list; no todos, no change."""
    if not todos:
        return
    before = [described(todo.__data__) for todo in todos]
    written = values | {"updated": now(), "version": seen.version + 1}
    Todo.update(written).where(Todo.id.in_([todo.id for todo in todos])).execute()
    for todo in todos:
        todo.__data__.update(written)
    after = [described(todo.__data__) for todo in todos if todo.deleted_at is None]
    lists.changed(person, seen, verb, "todo", before, after)


def described(row: dict[str, Any]) -> dict[str, Any]:
    """Return a todo, given its columns, as change rows hold it."""
    same = ("id", "list", "title", "notes", "created", "updated", "version")
    return {name: row[name] for name in same} | {
        "completed": row["completed_at"] is not None,
        "order": row["position"],
    }
