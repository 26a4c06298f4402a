"""Members: who shares a list, and in which role."""

from collections.abc import Callable
from typing import Any

from peewee import fn

from models import database, lists, todos, users
from models.database import unit
from models.errors import Conflict, Forbidden, Invalid, NotFound, Quota
from models.tables import Member, Person, User
from models.text import N_

MEMBERS_LIMIT = 200
# What extras do in the same transaction when someone has joined, got another role or left: filled
# by extras.py. Each takes who did that, the ids of list and user, and the roles before and after.
AFTER_ROLE_CHANGE: list[Callable[[Person, int, int, str | None, str | None], None]] = []
# How people are asked before they are members, where extras.py adds that: a module whose `ask` and
# `end` are called here, while the API shows what is `waiting` for someone and `pending` in a list.
INVITATIONS: list[Any] = []


def every(person: Person, list_id: int) -> tuple[lists.ListAccess, list[lists.Described]]:
    """Return the list and its members, those who came first first. Raises NotFound."""
    seen = lists.get_for(person, list_id)
    return seen, [described(name, role) for name, (_, role) in present(list_id).items()]


@unit
def put(person: Person, list_id: int, username: str, role: str) -> lists.Described:
    """Share the list with someone, or give them another role; return the member, or who is invited.

    Raises NotFound, Forbidden unless `person` owns the list, Conflict for its last owner, Invalid.
    """
    seen = lists.get_for(person, list_id, "share")
    if role not in lists.ROLES:
        raise Invalid("role", "Unknown role: use owner, editor or viewer.")
    name = users.fold(username)
    _, had = present(list_id).get(name, (0, None))
    if had is None:
        for each in INVITATIONS:
            if asked := each.ask(person, seen, name, role):
                return dict(asked)
        join(person, list_id, name, role, "add", [])
    elif had != role:
        set_role(person, list_id, name, role, "role")
    return described(name, role)


def join(
    person: Person, list_id: int, name: str, role: str, verb: str, before: list[lists.Described]
) -> None:
    """Give someone a place in the list, and the list the last place among theirs, as one change.

    `before` is how they were invited. Raises Invalid for an unknown name, Quota for too many
    members, or lists of theirs: those that others add them to are counted apart from those that
    they have accepted.
    """
    database.lock(User, User.username == name)
    user = User.get_or_none(User.username == name)
    if user is None:
        raise Invalid("username", "No such user.")
    if len(present(list_id)) >= MEMBERS_LIMIT:
        raise Quota("username", "Limit reached: {limit} people.", limit=MEMBERS_LIMIT)
    accepted = name == person.username
    count = fn.COUNT(Member.id).filter(Member.accepted == accepted)
    theirs: Any = Member.select(count, fn.MAX(Member.position)).where(Member.user == user)
    count, last = theirs.tuples().get()
    if count >= lists.LISTS_LIMIT:
        raise Quota("username", "Limit reached: {limit} lists.", limit=lists.LISTS_LIMIT)
    place = {"position": (last or 0) + 1, "accepted": accepted}
    Member.create(list=list_id, user=user, role=role, **place)
    for rule in AFTER_ROLE_CHANGE:
        rule(person, list_id, user.id, None, role)
    seen = lists.get_for(person, list_id)
    lists.record_change(person, seen, verb, "member", before, [described(name, role)])


def set_role(person: Person, list_id: int, name: str, role: str | None, verb: str) -> None:
    """Give a member another role, as one change; without one they leave, and what was theirs to do.

    Raises Conflict when nobody would own the list then.
    """
    there = present(list_id)
    user, had = there.pop(name)
    if "owner" not in (role, *(other for _, other in there.values())):
        raise Conflict("Make someone else an owner first.", N_("A list needs an owner"))
    if role is None:
        todos.unassign(person, list_id, user)
    seen = lists.get_for(person, list_id, "leave", lists.BY_ID_OR_TRASH)
    theirs = (Member.list == list_id, Member.user == user)
    if role:
        Member.update(role=role).where(*theirs).execute()
    else:
        Member.delete().where(*theirs).execute()
    for rule in AFTER_ROLE_CHANGE:
        rule(person, list_id, user, had, role)
    after = [described(name, role)] if role else []
    lists.record_change(person, seen, verb, "member", [described(name, had)], after)


@unit
def remove(person: Person, list_id: int, username: str) -> None:
    """Remove someone from the list, or end their invitation; everyone may leave, or decline.

    Raises NotFound, Forbidden when `person` neither owns the list nor leaves it, Conflict when the
    last owner would go.
    """
    name = users.fold(username)
    if any(each.end(person, list_id, name) for each in INVITATIONS):
        return
    seen = lists.get_for(person, list_id, "leave")
    if name != person.username and not seen.may("share"):
        raise Forbidden
    if name not in present(list_id):
        raise NotFound
    set_role(person, list_id, name, None, "leave" if name == person.username else "remove")


def present(list_id: int) -> dict[str, tuple[int, str]]:
    """Return user id and role of each member by their name, those who came first first."""
    query: Any = Member.select(User.username, User.id, Member.role).join(User)
    rows = query.where(Member.list == list_id).order_by(Member.id).tuples()
    return {name: (number, role) for name, number, role in rows}


def described(username: str, role: str, *, invited: bool = False) -> lists.Described:
    return {"username": username, "role": role} | ({"invited": True} if invited else {})
