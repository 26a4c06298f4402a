"""Members: who shares a list, and in which role."""

from typing import Any

from peewee import fn

from models import lists, users
from models.errors import Conflict, Forbidden, Invalid, NotFound
from models.tables import Member, Person, User

MEMBERS_LIMIT = 200


def every(person: Person, list_id: int) -> tuple[lists.Seen, list[lists.Described]]:
    """Return the list and its members, those who came first first. Raises NotFound."""
    seen = lists.seen_by(person, list_id)
    return seen, [described(*row[1:]) for row in present(list_id)]


def put(person: Person, list_id: int, username: str, role: str) -> lists.Described:
    """Share the list with someone, or give them another role; return the member.

    Raises NotFound, Forbidden unless `person` owns the list, Conflict for its last owner, Invalid.
    """
    seen = lists.seen_by(person, list_id, "owner")
    if role not in lists.ROLES:
        raise Invalid("role", "There is no such role: owner, editor and viewer are there.")
    members = {name: (number, had) for number, name, had in present(list_id)}
    name = users.fold(username)
    number, had = members.get(name, (None, None))
    if number is None:
        come(list_id, name, role, len(members))
    elif had != role:
        keep_an_owner(members, name, role)
        Member.update(role=role).where(Member.id == number).execute()
    if had != role:
        before = [described(name, had)] if had else []
        verb = "role" if had else "invite"
        lists.changed(person, seen, verb, "member", before, [described(name, role)])
    return described(name, role)


def come(list_id: int, name: str, role: str, members: int) -> None:
    """Give someone a place in the list, and the list the last place among theirs."""
    user = User.get_or_none(User.username == name)
    if user is None:
        raise Invalid("username", "Nobody here has this name.")
    if members >= MEMBERS_LIMIT:
        limit = MEMBERS_LIMIT
        raise Invalid("username", "These are enough people: at most {limit}.", limit=limit)
    theirs: Any = Member.select(fn.COUNT(Member.id), fn.MAX(Member.position))
    count, last = theirs.where(Member.user == user).tuples().get()
    if count >= lists.LISTS_LIMIT:
        raise Invalid("username", "They have too many lists already.")
    Member.create(list=list_id, user=user, role=role, position=(last or 0) + 1)


def remove(person: Person, list_id: int, username: str) -> None:
    """Share the list with someone no more; everyone may leave.

    Raises NotFound, Forbidden when `person` neither owns the list nor leaves it, Conflict when the
    last owner would go.
    """
    seen = lists.seen_by(person, list_id)
    members = {name: (number, had) for number, name, had in present(list_id)}
    name = users.fold(username)
    if name != person.username and not seen.may("owner"):
        raise Forbidden
    if name not in members:
        raise NotFound
    number, role = members[name]
    keep_an_owner(members, name, None)
    Member.delete().where(Member.id == number).execute()
    verb = "leave" if name == person.username else "remove"
    lists.changed(person, seen, verb, "member", [described(name, role)], [])


def keep_an_owner(members: dict[str, tuple[int, str]], name: str, role: str | None) -> None:
    """Raise Conflict when nobody would own the list once `name` has `role`."""
    others = [had for member, (_, had) in members.items() if member != name]
    if "owner" not in (role, *others):
        raise Conflict("A list needs an owner: first make someone else one.")


def present(list_id: int) -> list[Any]:
    """Return id, name and role of each member."""
    query: Any = Member.select(Member.id, User.username, Member.role).join(User)
    return list(query.where(Member.list == list_id).order_by(Member.id).tuples())


def described(username: str, role: str) -> lists.Described:
    """Return a member as change rows hold it."""
    return {"username": username, "role": role}
