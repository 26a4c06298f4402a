"""Lists: who may do what with them, and what became of them, change by change."""

import hashlib
import json
from collections.abc import Callable, Collection
from datetime import timedelta
from typing import Any, NamedTuple

from peewee import fn

from models import database, text
from models.clock import instant, moment, now
from models.database import Param, PreparedQuery, pending, unit
from models.errors import Forbidden, NotFound, Quota
from models.tables import Change, List, Member, Person, lock_account

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
TRASH_RETENTION = timedelta(days=30)  # how long what was deleted can be brought back

LISTED = (List.id, List.name, List.version, List.open, List.total)
ACCESS_COLUMNS = (*LISTED, Member.role, List.people, List.revision)
ROLE_OF = List.select(*ACCESS_COLUMNS).join(Member)
ONE = ROLE_OF.where(List.id == Param("list"), Member.user == Param("person"))
OWN = ROLE_OF.where(Member.user == Param("person"), List.deleted_at.is_null())
# For all of these: 5 to 15 us, where a plain query takes 300 or more (2026-11). Each request asks
# for a list or for all of a person, and each change runs RECORD and STEP.
MINE = PreparedQuery(OWN.order_by(Member.position, Member.id))
BY_ID = PreparedQuery(ONE.where(List.deleted_at.is_null()))
BY_ID_OR_TRASH = PreparedQuery(ONE)  # in the trash or not
FACTS = ("list", "version", "user", "verb", "kind", "title", "former", "touched", "at")
RECORDED = (*FACTS, "before", "after")
RECORD = PreparedQuery(Change.insert({name: Param(name) for name in RECORDED}))
STEP = PreparedQuery(
    List.update(
        version=Param("version"),
        open=List.open + Param("open"),
        total=List.total + Param("todo"),
        people=List.people + Param("member"),
    ).where(List.id == Param("list_id"))
)

CALLED_BY = {"todo": "title", "list": "name", "member": "username", "message": "text"}
compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

Described = dict[str, Any]  # a todo or a list as change rows hold it
# What extras do in the same transaction: filled by extras.py. Each takes who did it, the columns of
# the change, its rows before and after, and the name of the field that was typed in, if known.
AFTER_CHANGE: list[Callable[..., None]] = []
Lookup = Callable[..., list[Any]]  # runs a prepared query: its call, or that of a LookupCache


class ListAccess(NamedTuple):
    """A list as one person may use it.

    `version` is that of its last change, `open` the number of todos that are left to do, `total`
    that of all, `people` that of its members; `revision` differs when pages of it do though it
    hasn't changed.
    """

    id: int
    name: str
    version: int
    open: int
    total: int
    role: str
    people: int = 1
    revision: int = 0

    def may(self, action: str) -> bool:
        """Say whether the person's role is enough for an action of REQUIRED_ROLE."""
        return ROLES.index(self.role) >= ROLES.index(REQUIRED_ROLE[action])


def get_for(
    person: Person,
    list_id: int,
    action: str = "read",
    query: PreparedQuery = BY_ID,
    lookup: Lookup = PreparedQuery.__call__,
) -> ListAccess:
    """Return the list as `person` may use it; with BY_ID_OR_TRASH also when it is in the trash.

    For any action but to read, it is locked: what is checked of it holds until COMMIT. Raises
    NotFound when they are no member, Forbidden when their role isn't enough for the action.
    """
    if action != "read":
        lock(list_id)
    for row in lookup(query, list=list_id, person=person.id):
        return require(ListAccess(*row), action)
    raise NotFound


def lock(list_id: int) -> None:
    """Lock the list until COMMIT, before it is read."""
    database.lock(List, List.id == list_id)


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
    *,
    opened: int = 0,
    at: str | None = None,
    field: str = "",
) -> None:
    """Raise the version of a list, and write the row of the change that the unit has made.

    `seen` is the list before it, so the rows the unit wrote have the version `seen.version + 1`.
    `opened` is how many more todos are left to do.
    """
    version = seen.version + 1
    names = [row[CALLED_BY[kind]] for row in (*before[:1], *after[:1])]
    facts = {"list": seen.id, "version": version, "user": person.id, "verb": verb, "kind": kind}
    facts |= {"title": names[-1], "former": names[0] if before and after else None}
    facts |= {"touched": len(before or after), "at": at or now()}
    # Row by row, as no other thread goes on while json encodes one value.
    facts |= {
        k: f"[{','.join(map(compact, v))}]" for k, v in (("before", before), ("after", after))
    }
    RECORD(**facts)
    there = [sum(not row.get("invited") for row in rows) for rows in (before, after)]
    more = {"open": opened, "todo": 0, "member": 0, kind: there[1] - there[0]}
    STEP(**more, list_id=seen.id, version=version)
    for rule in AFTER_CHANGE:
        rule(person, facts, before, after, field)
    if pending.changes is not None:
        pending.changes.append((seen.id, version, kind))


def mine(person: Person, lookup: Lookup = PreparedQuery.__call__) -> list[ListAccess]:
    """Return the lists that `person` may read, in their own order."""
    return [ListAccess(*row) for row in lookup(MINE, person=person.id)]


def all_with_digest(person: Person, lookup: Lookup) -> tuple[list[ListAccess], str]:
    """Return what `mine` does, and for an ETag a digest that differs when any of it does."""
    rows = mine(person, lookup)
    return rows, hashlib.blake2b(repr(rows).encode(), digest_size=8).hexdigest()


def trash(person: Person) -> list[Any]:
    """Return the lists that `person` can bring back, the last deleted first.

    Each has an id, a name, and when (at) and by which change it was deleted.
    """
    later: Any = Change.alias()  # its people may have got other names since, or gone
    last = later.select(fn.MAX(later.version)).where(later.list == List.id, later.kind == "list")
    query: Any = (
        List.select(List.id, List.name, Change.id.alias("change"), Change.at)
        .join(Member)
        .join_from(List, Change, on=(Change.list == List.id) & (Change.version == last))
        .where(Member.user == person.id, Member.role == "owner", List.deleted_at > trash_begins())
        .order_by(List.deleted_at.desc())
    )
    return list(query.namedtuples())


def versions(numbers: Collection[int]) -> list[tuple[int, int, int]]:
    """Return id, version and revision of the lists with these ids."""
    found: Any = List.select(List.id, List.version, List.revision).where(List.id.in_([*numbers]))
    return list(found.tuples())


@unit
def create(person: Person, name: str) -> int:
    """Make a list that `person` owns, at the end of theirs; return its id. Raises Invalid."""
    if check_room(person) >= 2 * LISTS_LIMIT:
        limit = 2 * LISTS_LIMIT
        raise Quota("name", "Limit reached: {limit} lists, with those in the trash.", limit=limit)
    made = List.create(name=text.line("name", name, NAME_LIMIT), version=0)
    last = Member.select(fn.MAX(Member.position)).where(Member.user == person.id).scalar() or 0
    Member.create(list=made, user=person.id, role="owner", position=last + 1)
    seen = ListAccess(made.id, made.name, 0, 0, 0, "owner")
    record_change(person, seen, "create", "list", [], [described(seen, 1)])
    return seen.id


def check_room(person: Person) -> int:
    """Raise Quota unless someone may have another list; return how many, the deleted ones too."""
    lock_account(person)
    mine = Member.select().join(List).where(Member.user == person.id, Member.accepted)
    if mine.where(List.deleted_at.is_null()).count() >= LISTS_LIMIT:
        raise Quota("name", "Limit reached: {limit} lists.", limit=LISTS_LIMIT)
    return int(mine.count())


@unit
def rename(person: Person, list_id: int, name: str) -> None:
    """Give the list another name. Raises NotFound, Forbidden unless `person` owns it, Invalid."""
    seen = get_for(person, list_id, "rename")
    name = text.line("name", name, NAME_LIMIT)
    if name != seen.name:
        rewrite(person, seen, "rename", seen._replace(name=name))


@unit
def delete(person: Person, list_id: int) -> None:
    """Put the list in the trash. Raises NotFound, Forbidden unless `person` owns it."""
    rewrite(person, get_for(person, list_id, "delete"), "delete", None)


def rewrite(
    person: Person, seen: ListAccess, verb: str, after: ListAccess | None, *, gone: bool = False
) -> None:
    """Make the list, which was `gone` before or not, what `after` says: None puts it in the trash.

    As one change of it. Raises Quota when it comes back to someone who has enough.
    """
    if gone:
        check_room(person)
    values = {"name": after.name, "deleted_at": None} if after else {"deleted_at": now()}
    List.update(values).where(List.id == seen.id).execute()
    before = [] if gone else [described(seen, seen.version)]
    then = [described(after, seen.version + 1)] if after else []
    record_change(person, seen, verb, "list", before, then)


def described(seen: ListAccess, version: int) -> Described:
    return {"id": seen.id, "name": seen.name, "version": version}
