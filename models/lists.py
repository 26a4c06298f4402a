"""Lists: who may do what with them, and what became of them, change by change."""

import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple

from peewee import SQL, Select, fn

from models import links, text
from models.clock import instant, moment, now
from models.database import Given, Later, Lock, Prepared, noted
from models.errors import Forbidden, NotFound, Quota
from models.tables import Change, Held, List, Member, Message, Person, User

ROLES = ("viewer", "editor", "owner")  # each may do what those before it may
# The one table of rights: which role each action needs at least. For everyone else, a list that
# they are no member of isn't there.
NEEDS = {
    "read": "viewer",
    "leave": "viewer",
    "change": "editor",
    "say": "editor",
    "rename": "owner",
    "delete": "owner",
    "share": "owner",
}
NAME_LIMIT = 200
LISTS_LIMIT = 500  # a page looks them all up
UNREAD_LIMIT = 100  # from here on they are many
KEPT = timedelta(days=30)  # how long what was deleted can be brought back

SEEN = (
    List.id,
    List.name,
    List.version,
    List.open,
    List.total,
    Member.role,
    List.people,
    List.titles,
)
ROLE_OF = List.select(*SEEN).join(Member)
UNREAD = (
    Message.select(Message.id)
    .where(
        Message.list == List.id,
        Message.id > Member.read,
        Message.user != Member.user,
        Message.deleted_at.is_null(),
    )
    .limit(UNREAD_LIMIT)
    .alias("unread")
)
HELD: Any = Held.select(fn.MAX(Held.due).concat(fn.COUNT(Held.id))).where(
    Held.list == List.id, Held.user == Member.user
)
MINE = Prepared(
    ROLE_OF.select_extend(Select((UNREAD,), (fn.COUNT(SQL("*")),)), HELD)
    .where(Member.user == Given("person"), List.deleted_at.is_null())
    .order_by(Member.position, Member.id)
)
ONE = ROLE_OF.where(List.id == Given("list"), Member.user == Given("person"))
SEEN_BY = Prepared(ONE.where(List.deleted_at.is_null()))
ANY = Prepared(ONE)  # in the trash or not
FIRST = Prepared(MINE.query.limit(1))
WATCHED = List.select(List.id, List.version, List.titles)
VERSIONS = Prepared(WATCHED.where(List.id == fn.ANY(Given("lists"))))
LOCK = Lock(List.select(List.id).where(List.id == Given("list")))
LOCK_PERSON = Lock(User.select(User.id).where(User.id == Given("person")))
COLUMNS = ("list", "version", "user", "verb", "kind", "before", "after", "at")
RECORD = Later(Change.insert({name: Given(name) for name in COLUMNS}))
STEP = Later(
    List.update(
        version=Given("version"),
        open=List.open + Given("open"),
        total=List.total + Given("todo"),
        people=List.people + Given("member"),
    ).where(List.id == Given("list_id"))
)

Described = dict[str, Any]  # a todo or a list as change rows hold it


class Seen(NamedTuple):
    """A list as one person may use it.

    `version` is that of its last change, `open` the number of todos that are left to do, `total`
    that of all, `people` that of its members, `titles` of the last titles that arrived for its
    links; in `mine` alone, `unread` is that of messages, and `held` differs when other ones of
    theirs wait to be sent.
    """

    id: int
    name: str
    version: int
    open: int
    total: int
    role: str
    people: int = 1
    titles: int = 0
    unread: int = 0
    held: str | None = None

    def may(self, action: str) -> bool:
        """Say whether the person's role is enough for an action of NEEDS."""
        return ROLES.index(self.role) >= ROLES.index(NEEDS[action])


def seen_by(person: Person, list_id: int, action: str = "read", query: Prepared = SEEN_BY) -> Seen:
    """Return the list as `person` may use it; with `ANY` also when it is in the trash.

    For any action but to read, it is locked: what is checked of it holds until COMMIT.

    Raises NotFound when they are no member of it, Forbidden when their role isn't enough for an
    action of NEEDS.
    """
    if action != "read":
        LOCK(list=list_id)
    for row in query(list=list_id, person=person.id):
        return allowed(Seen(*row), action)
    raise NotFound


def allowed(seen: Seen, action: str) -> Seen:
    """Return `seen` unchanged; raises Forbidden when the person may not do that."""
    if not seen.may(action):
        raise Forbidden
    return seen


def trash_begins() -> str:
    """Return the instant since when what was deleted can be brought back."""
    return instant(moment() - KEPT)


def changed(
    person: Person,
    seen: Seen,
    verb: str,
    kind: str,
    before: list[Described],
    after: list[Described],
) -> None:
    """End a unit that changes a list: raise its version, and leave the row that tells the change.

    `seen` is the list before it, so the rows the unit wrote have the version `seen.version + 1`.
    """
    version = seen.version + 1
    rows = {"before": json.dumps(before), "after": json.dumps(after)}
    RECORD(list=seen.id, version=version, user=person.id, verb=verb, kind=kind, at=now(), **rows)
    more = {"open": 0, "todo": 0, "member": 0, kind: len(after) - len(before)}
    if kind == "todo":
        was, left = (sum(not row["completed"] for row in rows) for rows in (before, after))
        more["open"] = left - was
    STEP(**more, list_id=seen.id, version=version)
    links.note(person, seen.id, before, after)
    if noted.changes is not None:
        noted.changes.append((seen.id, version, kind))


def mine(person: Person, look: Callable[..., list[Any]] = Prepared.__call__) -> list[Seen]:
    """Return the lists that `person` may read, in their own order."""
    return [Seen(*row) for row in look(MINE, person=person.id)]


def navigation(person: Person, look: Callable[..., list[Any]]) -> tuple[list[Seen], str]:
    """Return what `mine` does, and a digest that differs when any of it does."""
    rows = mine(person, look)
    return rows, hashlib.blake2b(repr(rows).encode(), digest_size=8).hexdigest()


def trash(person: Person) -> list[Any]:
    """Return the lists that `person` can bring back, the last deleted first.

    Each has an id, a name, and when (at) and by which change it was deleted.
    """
    query: Any = (
        List.select(List.id, List.name, Change.id.alias("change"), Change.at)
        .join(Member)
        .join_from(List, Change, on=(Change.list == List.id) & (Change.version == List.version))
        .where(Member.user == person.id, Member.role == "owner", List.deleted_at > trash_begins())
        .order_by(List.deleted_at.desc())
    )
    return list(query.namedtuples())


def first(person: Person, look: Callable[..., list[Any]]) -> Seen:
    """Return the first of `person`'s lists. Raises NotFound."""
    for row in look(FIRST, person=person.id):
        return Seen(*row)
    raise NotFound


def versions(numbers: tuple[int, ...], look: Callable[..., list[Any]]) -> list[tuple[int, ...]]:
    """Return ids of lists, their versions, and the numbers by which titles of links arrived.

    That is for those with these ids (on PostgreSQL).
    """
    return look(VERSIONS, lists=[*numbers])


def one(person: Person, list_id: int, look: Callable[..., list[Any]]) -> Seen:
    """Return a list, as `seen_by` does, on the event loop. Raises NotFound."""
    for row in look(SEEN_BY, list=list_id, person=person.id):
        return Seen(*row)
    raise NotFound


def create(person: Person, name: str) -> int:
    """Make a list that `person` owns, at the end of theirs; return its id. Raises Invalid."""
    LOCK_PERSON(person=person.id)
    if len(mine(person)) >= LISTS_LIMIT:
        limit = LISTS_LIMIT
        raise Quota("name", "These are enough lists: at most {limit}.", limit=limit)
    made = List.create(name=text.line("name", name, NAME_LIMIT), version=0)
    last = Member.select(fn.MAX(Member.position)).where(Member.user == person.id).scalar() or 0
    Member.create(list=made, user=person.id, role="owner", position=last + 1)
    seen = Seen(made.id, made.name, 0, 0, 0, "owner")
    changed(person, seen, "create", "list", [], [described(seen, 1)])
    return seen.id


def rename(person: Person, list_id: int, name: str) -> None:
    """Give the list another name. Raises NotFound, Forbidden unless `person` owns it, Invalid."""
    seen = seen_by(person, list_id, "rename")
    name = text.line("name", name, NAME_LIMIT)
    if name != seen.name:
        rewrite(person, seen, "rename", seen._replace(name=name))


def delete(person: Person, list_id: int) -> None:
    """Put the list in the trash. Raises NotFound, Forbidden unless `person` owns it."""
    rewrite(person, seen_by(person, list_id, "delete"), "delete", None)


def rewrite(
    person: Person, seen: Seen, verb: str, after: Seen | None, *, gone: bool = False
) -> None:
    """Make the list, which was `gone` before or not, what `after` says: None puts it in the trash.

    As one change of it.
    """
    values = {"name": after.name, "deleted_at": None} if after else {"deleted_at": now()}
    List.update(values).where(List.id == seen.id).execute()
    before = [] if gone else [described(seen, seen.version)]
    then = [described(after, seen.version + 1)] if after else []
    changed(person, seen, verb, "list", before, then)


def described(seen: Seen, version: int) -> Described:
    """Return a list as change rows hold it."""
    return {"id": seen.id, "name": seen.name, "version": version}
