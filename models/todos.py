"""Todos: the verbs people use, each one unit of work and one change of the list."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from peewee import fn

from models import lists, text
from models.database import Given, Prepared, now
from models.errors import NotFound
from models.tables import List, Member, Person, Todo

TITLE_LIMIT = 1000
FILTERS = ("all", "active", "completed")


COLUMNS = [field for field in Todo._meta.sorted_fields if field.name != "deleted_at"]
NAMES = [field.name for field in COLUMNS]

PRESENT = Prepared(
    Todo.select(*COLUMNS)
    .where(Todo.list == Given("list"), Todo.deleted_at.is_null())
    .order_by(Todo.position, Todo.id)
)
ROWS = Prepared(PRESENT.query.select(Todo.id, Todo.title, Todo.completed_at))
FIND = Prepared(
    Todo.select(List.id, List.name, List.version, Member.role, *COLUMNS)
    .join(List)
    .join(Member)
    .where(
        Todo.id == Given("todo"),
        Member.user == Given("person"),
        Todo.deleted_at.is_null(),
        List.deleted_at.is_null(),
    )
)
GIVEN = ("list", "title", "notes", "created", "updated", "version")
END = Todo.select(fn.COALESCE(fn.MAX(Todo.position), 0) + 1).where(Todo.list == Given("list"))
ADD = Prepared(
    Todo.insert({name: Given(name) for name in GIVEN} | {"position": END}).returning(
        Todo.id, Todo.position
    )
)

Columns = dict[str, Any]  # a todo's columns by name


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
    seen, todo = find(person, todo_id, "editor")
    tick(person, seen, "complete", [todo], True)
    return seen.id


def reopen(person: Person, todo_id: int) -> int:
    """Take the tick away and return the list's id. Raises NotFound, Forbidden."""
    seen, todo = find(person, todo_id, "editor")
    tick(person, seen, "reopen", [todo], False)
    return seen.id


def rename(person: Person, todo_id: int, title: str) -> int:
    """Give the todo another title and return its list's id. Raises NotFound, Forbidden, Invalid."""
    seen, todo = find(person, todo_id, "editor")
    title = text.line("title", title, TITLE_LIMIT)
    if title != todo["title"]:
        change(person, seen, "rename", [todo], title=title)
    return seen.id


def delete(person: Person, todo_id: int) -> int:
    """Put the todo in the trash and return its list's id. Raises NotFound, Forbidden."""
    seen, todo = find(person, todo_id, "editor")
    change(person, seen, "delete", [todo], deleted_at=now())
    return seen.id


def complete_all(person: Person, list_id: int, completed: bool) -> None:
    """Tick every todo of the list, or open every one again. Raises NotFound, Forbidden."""
    seen = lists.seen_by(person, list_id, "editor")
    tick(person, seen, "complete" if completed else "reopen", present(list_id), completed)


def clear_completed(person: Person, list_id: int) -> None:
    """Put every completed todo of the list in the trash. Raises NotFound, Forbidden."""
    seen = lists.seen_by(person, list_id, "editor")
    done = [todo for todo in present(list_id) if todo["completed_at"]]
    change(person, seen, "clear", done, deleted_at=now())


def present(list_id: int) -> list[Columns]:
    """Return a list's todos outside the trash, in order; rights are not its matter."""
    return [dict(zip(NAMES, row, strict=True)) for row in PRESENT(list=list_id)]


def find(person: Person, todo_id: int, least: str) -> tuple[lists.Seen, Columns]:
    """Return a todo as `person` may use it, after its list.

    Raises NotFound when it isn't in a list of theirs, Forbidden when their role is below `least`.
    """
    for row in FIND(todo=todo_id, person=person.id):
        return lists.allowed(lists.Seen(*row[:4]), least), dict(zip(NAMES, row[4:], strict=True))
    raise NotFound


def list_of(person: Person, todo_id: int) -> int:
    """Return the id of the list a todo is in. Raises NotFound."""
    return find(person, todo_id, "viewer")[0].id


def tick(
    person: Person, seen: lists.Seen, verb: str, todos: list[Columns], completed: bool
) -> None:
    """Complete or reopen those of `todos` that aren't so already, as one change."""
    others = [todo for todo in todos if (todo["completed_at"] is not None) != completed]
    change(person, seen, verb, others, completed_at=now() if completed else None)


def change(
    person: Person, seen: lists.Seen, verb: str, todos: list[Columns], **values: str | None
) -> None:
    """Write `values` into all of `todos`, as one change of their list; no todos, no change."""
    if not todos:
        return
    written = values | {"updated": now(), "version": seen.version + 1}
    Todo.update(written).where(Todo.id.in_([todo["id"] for todo in todos])).execute()
    before = [described(todo) for todo in todos]
    after = [described(todo | written) for todo in todos if "deleted_at" not in values]
    lists.changed(person, seen, verb, "todo", before, after)


def described(row: Columns) -> dict[str, Any]:
    """Return a todo, given its columns, as change rows hold it."""
    same = ("id", "list", "title", "notes", "created", "updated", "version")
    return {name: row[name] for name in same} | {
        "completed": row["completed_at"] is not None,
        "order": row["position"],
    }
