"""Lists: who may do what with them, and what became of them, change by change."""

import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple

from peewee import SQL, Select, fn

from models import text
from models.clock import instant, moment, now
from models.database import Later, Lock, Param, PreparedQuery, pending
from models.errors import Forbidden, NotFound, Quota
from models.tables import Change, List, Member, Message, Person, ScheduledMessage, User

ROLES = ("viewer", "editor", "owner")  # each may do what those before it may
# The one table of rights: which role each action needs at least. For everyone else, a list that
# they are no member of isn't there.
REQUIRED_ROLE = {
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
TRASH_RETENTION = timedelta(days=30)  # how long what was deleted can be brought back

ACCESS_COLUMNS = (
    List.id,
    List.name,
    List.version,
    List.open,
    List.total,
    Member.role,
    List.people,
    List.revision,
)
ROLE_OF = List.select(*ACCESS_COLUMNS).join(Member)
UNREAD = (
    Message.select(Message.id)
    .where(
        Message.list == List.id,
        Message.id > Member.last_read_message,
        Message.user != Member.user,
        Message.deleted_at.is_null(),
    )
    .limit(UNREAD_LIMIT)
    .alias("unread")
)
HELD: Any = ScheduledMessage.select(
    fn.MAX(ScheduledMessage.due).concat(fn.COUNT(ScheduledMessage.id))
).where(ScheduledMessage.list == List.id, ScheduledMessage.user == Member.user)
MINE = PreparedQuery(
    ROLE_OF.select_extend(Select((UNREAD,), (fn.COUNT(SQL("*")),)), HELD)
    .where(Member.user == Param("person"), List.deleted_at.is_null())
    .order_by(Member.position, Member.id)
)
ONE = ROLE_OF.where(List.id == Param("list"), Member.user == Param("person"))
BY_ID = PreparedQuery(ONE.where(List.deleted_at.is_null()))
BY_ID_OR_TRASH = PreparedQuery(ONE)  # in the trash or not
FIRST = PreparedQuery(MINE.query.limit(1))
WATCHED = List.select(List.id, List.version, List.revision)
VERSIONS = PreparedQuery(WATCHED.where(List.id == fn.ANY(Param("lists"))))
LOCK = Lock(List.select(List.id).where(List.id == Param("list")))
LOCK_PERSON = Lock(User.select(User.id).where(User.id == Param("person")))
COLUMNS = ("list", "version", "user", "verb", "kind", "before", "after", "at")
RECORD = Later(Change.insert({name: Param(name) for name in COLUMNS}))
STEP = Later(
    List.update(
        version=Param("version"),
        open=List.open + Param("open"),
        total=List.total + Param("todo"),
        people=List.people + Param("member"),
    ).where(List.id == Param("list_id"))
)

Described = dict[str, Any]  # a todo or a list as change rows hold it


class ListAccess(NamedTuple):
    """A list as one person may use it.

    `version` is that of its last change, `open` the number of todos that are left to do, `total`
    that of all, `people` that of its members; `revision` differs when pages of it do though it
    hasn't changed; in `mine` alone, `unread` is that of messages, and `held` differs when other
    ones of theirs wait to be sent.
    """

    id: int
    name: str
    version: int
    open: int
    total: int
    role: str
    people: int = 1
    revision: int = 0
    unread: int = 0
    held: str | None = None

    def may(self, action: str) -> bool:
        """Say whether the person's role is enough for an action of NEEDS."""
        return ROLES.index(self.role) >= ROLES.index(REQUIRED_ROLE[action])


def get_for(
    person: Person, list_id: int, action: str = "read", query: PreparedQuery = BY_ID
) -> ListAccess:
    """Return the list as `person` may use it; with `ANY` also when it is in the trash.

    For any action but to read, it is locked: what is checked of it holds until COMMIT.

    Raises NotFound when they are no member of it, Forbidden when their role isn't enough for an
    action of NEEDS.
    """
    if action != "read":
        LOCK(list=list_id)
    for row in query(list=list_id, person=person.id):
        return require(ListAccess(*row), action)
    raise NotFound


def require(seen: ListAccess, action: str) -> ListAccess:
    """Return `seen` unchanged; raises Forbidden when the person may not do that."""
    if not seen.may(action):
        raise Forbidden
    return seen


def trash_begins() -> str:
    """Return the instant since when what was deleted can be brought back."""
    return instant(moment() - TRASH_RETENTION)


def record_change(
    person: Person,
    seen: ListAccess,
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
    if pending.changes is not None:
        pending.changes.append((seen.id, version, kind))


def mine(
    person: Person, lookup: Callable[..., list[Any]] = PreparedQuery.__call__
) -> list[ListAccess]:
    """Return the lists that `person` may read, in their own order."""
    return [ListAccess(*row) for row in lookup(MINE, person=person.id)]


def all_with_digest(
    person: Person, lookup: Callable[..., list[Any]]
) -> tuple[list[ListAccess], str]:
    """Return what `mine` does, and a digest that differs when any of it does."""
    rows = mine(person, lookup)
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


def first(person: Person, lookup: Callable[..., list[Any]]) -> ListAccess:
    """Return the first of `person`'s lists. Raises NotFound."""
    for row in lookup(FIRST, person=person.id):
        return ListAccess(*row)
    raise NotFound


def versions(numbers: tuple[int, ...], lookup: Callable[..., list[Any]]) -> list[tuple[int, ...]]:
    """Return ids, versions and revisions of lists (on PostgreSQL)."""
    return lookup(VERSIONS, lists=[*numbers])


def one(person: Person, list_id: int, lookup: Callable[..., list[Any]]) -> ListAccess:
    """Return a list, as `seen_by` does, on the event loop. Raises NotFound."""
    for row in lookup(BY_ID, list=list_id, person=person.id):
        return ListAccess(*row)
    raise NotFound


def create(person: Person, name: str) -> int:
    """Make a list that `person` owns, at the end of theirs; return its id. Raises Invalid."""
    LOCK_PERSON(person=person.id)
    if len(mine(person)) >= LISTS_LIMIT:
        limit = LISTS_LIMIT
        raise Quota("name", "Limit reached: {limit} lists.", limit=limit)
    made = List.create(name=text.line("name", name, NAME_LIMIT), version=0)
    last = Member.select(fn.MAX(Member.position)).where(Member.user == person.id).scalar() or 0
    Member.create(list=made, user=person.id, role="owner", position=last + 1)
    seen = ListAccess(made.id, made.name, 0, 0, 0, "owner")
    record_change(person, seen, "create", "list", [], [described(seen, 1)])
    return seen.id


def rename(person: Person, list_id: int, name: str) -> None:
    """Give the list another name. Raises NotFound, Forbidden unless `person` owns it, Invalid."""
    seen = get_for(person, list_id, "rename")
    name = text.line("name", name, NAME_LIMIT)
    if name != seen.name:
        rewrite(person, seen, "rename", seen._replace(name=name))


def delete(person: Person, list_id: int) -> None:
    """Put the list in the trash. Raises NotFound, Forbidden unless `person` owns it."""
    rewrite(person, get_for(person, list_id, "delete"), "delete", None)


def rewrite(
    person: Person, seen: ListAccess, verb: str, after: ListAccess | None, *, gone: bool = False
) -> None:
    """Make the list, which was `gone` before or not, what `after` says: None puts it in the trash.

    As one change of it.
    """
    values = {"name": after.name, "deleted_at": None} if after else {"deleted_at": now()}
    List.update(values).where(List.id == seen.id).execute()
    before = [] if gone else [described(seen, seen.version)]
    then = [described(after, seen.version + 1)] if after else []
    record_change(person, seen, verb, "list", before, then)


def described(seen: ListAccess, version: int) -> Described:
    """Return a list as change rows hold it."""
    return {"id": seen.id, "name": seen.name, "version": version}
