"""Lists: who may do what with them, and what became of them, change by change."""

import json
from typing import Any, NamedTuple

from peewee import JOIN, fn

from models import text
from models.database import Given, Prepared, now
from models.errors import Forbidden, NotFound
from models.tables import Change, List, Member, Person, Todo

ROLES = ("viewer", "editor", "owner")  # each may do what those before it may
NAME_LIMIT = 200

SEEN_BY = Prepared(
    List.select(List.id, List.name, List.version, Member.role)
    .join(Member)
    .where(List.id == Given("list"), List.deleted_at.is_null(), Member.user == Given("person"))
)
COLUMNS = ("list", "version", "user", "verb", "kind", "before", "after", "at")
RECORD = Prepared(Change.insert({name: Given(name) for name in COLUMNS}))
STEP = Prepared(List.update(version=Given("version")).where(List.id == Given("list")))


class Seen(NamedTuple):
    """A list as one person may use it; `version` is that of its last change."""

    id: int
    name: str
    version: int
    role: str

    def may(self, least: str) -> bool:
        """Say whether the person's role is `least` or more."""
        return ROLES.index(self.role) >= ROLES.index(least)


class Entry(NamedTuple):
    """A list in someone's list of lists; `open` counts what is left to do."""

    id: int
    name: str
    role: str
    open: int


def seen_by(person: Person, list_id: int, least: str = "viewer") -> Seen:
    """Return the list as `person` may use it.

    Raises NotFound when they are no member of it, Forbidden when their role is less than `least`.
    """
    for row in SEEN_BY(list=list_id, person=person.id):
        return allowed(Seen(*row), least)
    raise NotFound


def allowed(seen: Seen, least: str) -> Seen:
    """Return `seen` unchanged; raises Forbidden when the person's role is less than `least`."""
    if not seen.may(least):
        raise Forbidden
    return seen


def changed(
    person: Person,
    seen: Seen,
    verb: str,
    kind: str,
    before: list[dict[str, Any]],
    after: list[dict[str, Any]],
) -> None:
    """End a unit that changes a list: raise its version, and leave the row that tells the change.

    `seen` is the list before it, so the rows the unit wrote have the version `seen.version + 1`.
    """
    version = seen.version + 1
    rows = {"before": json.dumps(before), "after": json.dumps(after)}
    RECORD(list=seen.id, version=version, user=person.id, verb=verb, kind=kind, at=now(), **rows)
    STEP(list=seen.id, version=version)


def mine(person: Person) -> list[Entry]:
    """Return the lists that `person` may read, in their own order."""
    left = (Todo.list == List.id) & Todo.completed_at.is_null() & Todo.deleted_at.is_null()
    query: Any = (
        Member.select(List.id, List.name, Member.role, fn.COUNT(Todo.id))
        .join(List)
        .join(Todo, JOIN.LEFT_OUTER, on=left)
        .where(Member.user == person.id, List.deleted_at.is_null())
        .group_by(Member.id, List.id)
        .order_by(Member.position, Member.id)
    )
    return [Entry(*row) for row in query.tuples()]


def create(person: Person, name: str) -> int:
    """Make a list that `person` owns, at the end of theirs; return its id. Raises Invalid."""
    made = List.create(name=text.line("name", name, NAME_LIMIT), version=0)
    last = Member.select(fn.MAX(Member.position)).where(Member.user == person.id).scalar() or 0
    Member.create(list=made, user=person.id, role="owner", position=last + 1)
    seen = Seen(made.id, made.name, 0, "owner")
    changed(person, seen, "create", "list", [], [described(seen.id, seen.name, 1)])
    return seen.id


def rename(person: Person, list_id: int, name: str) -> None:
    """Give the list another name. Raises NotFound, Forbidden unless `person` owns it, Invalid."""
    seen = seen_by(person, list_id, "owner")
    name = text.line("name", name, NAME_LIMIT)
    if name == seen.name:
        return
    List.update(name=name).where(List.id == list_id).execute()
    before = described(list_id, seen.name, seen.version)
    after = described(list_id, name, seen.version + 1)
    changed(person, seen, "rename", "list", [before], [after])


def described(list_id: int, name: str, version: int) -> dict[str, Any]:
    """Return a list as change rows hold it."""
    return {"id": list_id, "name": name, "version": version}
