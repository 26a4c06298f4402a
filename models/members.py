"""Members: who shares a list, and in which role."""

import secrets
from datetime import timedelta
from typing import Any, NamedTuple

from peewee import fn

from models import lists, todos, users
from models.clock import instant, moment, now
from models.database import Lock, Param
from models.errors import Conflict, Forbidden, Invalid, NotFound, Quota
from models.sessions import hash_of
from models.tables import Invite, List, Member, Message, Person, User

MEMBERS_LIMIT = 200
INVITES_LIMIT = 20  # of one list
INVITED = timedelta(days=7)  # how long a link lets in

LOCK_NAME = Lock(User.select(User.id).where(User.username == Param("name")))


class Invited(NamedTuple):
    """What a link leads to: a list and a role in it, given by someone."""

    list: int
    name: str
    role: str
    by: str


def every(person: Person, list_id: int) -> tuple[lists.ListAccess, list[lists.Described]]:
    """Return the list and its members, those who came first first. Raises NotFound."""
    seen = lists.get_for(person, list_id)
    return seen, [described(name, role) for name, (_, role) in present(list_id).items()]


def put(person: Person, list_id: int, username: str, role: str) -> lists.Described:
    """Share the list with someone, or give them another role; return the member.

    Raises NotFound, Forbidden unless `person` owns the list, Conflict for its last owner, Invalid.
    """
    seen = lists.get_for(person, list_id, "share")
    if role not in lists.ROLES:
        raise Invalid("role", "Unknown role: use owner, editor or viewer.")
    members, name = present(list_id), users.fold(username)
    number, had = members.get(name, (None, None))
    if number is None:
        come(list_id, name, role, len(members))
    elif had != role:
        keep_an_owner(members, name, role)
        Member.update(role=role).where(Member.id == number).execute()
        end_links(list_id, name)
    if had != role:
        before = [described(name, had)] if had else []
        verb = "role" if had else "invite"
        lists.record_change(person, seen, verb, "member", before, [described(name, role)])
    return described(name, role)


def come(list_id: int, name: str, role: str, members: int) -> None:
    """Give someone a place in the list, and the list the last place among theirs."""
    LOCK_NAME(name=name)
    user = User.get_or_none(User.username == name)
    if user is None:
        raise Invalid("username", "No such user.")
    if members >= MEMBERS_LIMIT:
        limit = MEMBERS_LIMIT
        raise Quota("username", "Limit reached: {limit} people.", limit=limit)
    theirs: Any = Member.select(fn.COUNT(Member.id), fn.MAX(Member.position))
    count, last = theirs.where(Member.user == user).tuples().get()
    if count >= lists.LISTS_LIMIT:
        raise Quota("username", "This person already has too many lists.")
    said = Message.select(fn.MAX(Message.id)).where(Message.list == list_id).scalar() or 0
    Member.create(
        list=list_id, user=user, role=role, position=(last or 0) + 1, last_read_message=said
    )


def remove(person: Person, list_id: int, username: str) -> None:
    """Share the list with someone no more; everyone may leave.

    Raises NotFound, Forbidden when `person` neither owns the list nor leaves it, Conflict when the
    last owner would go.
    """
    seen = lists.get_for(person, list_id, "leave")
    members, name = present(list_id), users.fold(username)
    if name != person.username and not seen.may("share"):
        raise Forbidden
    if name not in members:
        raise NotFound
    number, role = members[name]
    keep_an_owner(members, name, None)
    user: Any = Member.select(Member.user).where(Member.id == number)
    todos.unassign(person, list_id, user.scalar())
    seen = lists.get_for(person, list_id, "leave")
    Member.delete().where(Member.id == number).execute()
    end_links(list_id, name)
    verb = "leave" if name == person.username else "remove"
    lists.record_change(person, seen, verb, "member", [described(name, role)], [])


def invite(person: Person, list_id: int, role: str) -> str:
    """Make a link's key, 128 random bits, for whoever has it to join the list in that role.

    Raises NotFound, Forbidden, Invalid.
    """
    lists.get_for(person, list_id, "share")
    if role not in lists.ROLES[:2]:
        raise Invalid("link", "A link can only let people edit or view.")
    if len(invites(list_id)) >= INVITES_LIMIT:
        limit = INVITES_LIMIT
        raise Quota("link", "Limit reached: {limit} links.", limit=limit)
    Invite.delete().where(Invite.expires < now()).execute()
    key = secrets.token_urlsafe(16)
    ends = instant(moment() + INVITED)
    Invite.create(list=list_id, user=person.id, hash=hash_of(key), role=role, expires=ends)
    return key


def end_links(list_id: int, name: str) -> None:
    """End the links that someone made who may not make any now."""
    maker: Any = User.select(User.id).where(User.username == name)
    Invite.delete().where(Invite.list == list_id, Invite.user.in_(maker)).execute()


def invites(list_id: int) -> list[Any]:
    """Return the links into a list: id, role, expires."""
    query: Any = Invite.select(Invite.id, Invite.role, Invite.expires)
    return list(query.where(Invite.list == list_id, Invite.expires > now()).namedtuples())


def revoke(person: Person, list_id: int, invite_id: int) -> None:
    """End a link. Raises NotFound, Forbidden."""
    lists.get_for(person, list_id, "share")
    if not Invite.delete().where(Invite.id == invite_id, Invite.list == list_id).execute():
        raise NotFound


def invited(key: str) -> Invited:
    """Return what a link leads to. Raises NotFound when it never did, or does no more."""
    query: Any = Invite.select(List.id, List.name, Invite.role, User.username)
    query = query.join(List).join_from(Invite, User).where(List.deleted_at.is_null())
    for row in query.where(Invite.hash == hash_of(key), Invite.expires > now()).tuples():
        return Invited(*row)
    raise NotFound


def join(person: Person, key: str) -> int:
    """Come into the list that a link leads to; return its id. Who is in it stays what they are.

    Raises NotFound, Invalid.
    """
    lists.LOCK(list=invited(key).list)
    led = invited(key)
    members = present(led.list)
    if person.username not in members:
        come(led.list, person.username, led.role, len(members))
        seen = lists.get_for(person, led.list)
        joined = [described(person.username, led.role)]
        lists.record_change(person, seen, "join", "member", [], joined)
    return led.list


def keep_an_owner(members: dict[str, tuple[int, str]], name: str, role: str | None) -> None:
    """Raise Conflict when nobody would own the list once `name` has `role`."""
    others = [had for member, (_, had) in members.items() if member != name]
    if "owner" not in (role, *others):
        raise Conflict("Make someone else an owner first.")


def present(list_id: int) -> dict[str, tuple[int, str]]:
    """Return id and role of each member by their name, those who came first first."""
    query: Any = Member.select(User.username, Member.id, Member.role).join(User)
    rows = query.where(Member.list == list_id).order_by(Member.id).tuples()
    return {name: (number, role) for name, number, role in rows}


def described(username: str, role: str) -> lists.Described:
    """Return a member as change rows hold it."""
    return {"username": username, "role": role}
