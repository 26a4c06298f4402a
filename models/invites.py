"""Invite links: anyone who has one can join a list.

The key in a link is shown once, to who makes it; the database has only its hash.
"""

import secrets
from datetime import timedelta
from typing import Any, NamedTuple

from peewee import CharField, ForeignKeyField

from models import lists, members
from models.clock import instant, moment, now
from models.database import unit
from models.errors import Invalid, NotFound, Quota
from models.sessions import hash_of
from models.tables import List, Member, Person, Table, User
from models.text import N_

INVITES_LIMIT = 20  # of one list
INVITED = timedelta(days=7)  # how long a link is valid
SENTENCES = {"join member": (N_("Joined the list by invite link"), "")}  # for `history.SENTENCES`


class Invite(Table):
    """A link by which anyone can join a list; `hash` is the SHA-256 of the key in it."""

    list = ForeignKeyField(List, backref="+")
    user = ForeignKeyField(User, backref="+", index=False)
    hash = CharField(64, unique=True)
    role = CharField(6)
    expires = CharField(24)


class Invited(NamedTuple):
    """What a link leads to: a list and a role in it, given by someone."""

    list: int
    name: str
    role: str
    by: str


@unit
def invite(person: Person, list_id: int, role: str) -> str:
    """Return the key of a new link, 128 random bits, by which anyone can join in that role.

    Raises NotFound, Forbidden, Invalid.
    """
    lists.get_for(person, list_id, "share")
    if role not in lists.ROLES[:2]:
        raise Invalid("link", "A link can only let people edit or view.")
    if len(invites(list_id)) >= INVITES_LIMIT:
        raise Quota("link", "Limit reached: {limit} links.", limit=INVITES_LIMIT)
    Invite.delete().where(Invite.expires < now()).execute()
    key = secrets.token_urlsafe(16)
    ends = instant(moment() + INVITED)
    Invite.create(list=list_id, user=person.id, hash=hash_of(key), role=role, expires=ends)
    return key


def end_links(list_id: int, user: int, before: str | None, after: str | None) -> None:
    """End the links that someone made who may not make any now; see `members.AFTER_ROLE_CHANGE`."""
    Invite.delete().where(Invite.list == list_id, Invite.user == user).execute()


def invites(list_id: int) -> list[Any]:
    """Return the links into a list: id, role, expires."""
    query: Any = Invite.select(Invite.id, Invite.role, Invite.expires)
    return list(query.where(Invite.list == list_id, Invite.expires > now()).namedtuples())


@unit
def revoke(person: Person, list_id: int, invite_id: int) -> None:
    """End a link of the list. Raises NotFound, Forbidden."""
    lists.get_for(person, list_id, "share")
    if not Invite.delete().where(Invite.id == invite_id, Invite.list == list_id).execute():
        raise NotFound


def invited(key: str) -> Invited:
    """Return what a link leads to. Raises NotFound when it is unknown or has ended."""
    query: Any = Invite.select(List.id, List.name, Invite.role, User.username)
    query = query.join(List).join_from(Invite, User).where(List.deleted_at.is_null())
    made = (Member.list == Invite.list) & (Member.user == Invite.user)
    query = query.join_from(Invite, Member, on=made).where(Member.role == "owner")
    for row in query.where(Invite.hash == hash_of(key), Invite.expires > now()).tuples():
        return Invited(*row)
    raise NotFound


@unit
def join(person: Person, key: str) -> int:
    """Join the list that a link leads to; return its id. A member keeps their role.

    Raises NotFound, Invalid.
    """
    lists.lock(invited(key).list)
    led = invited(key)
    there = members.present(led.list)
    if person.username not in there:
        members.join(led.list, person.username, led.role, len(there))
        seen = lists.get_for(person, led.list)
        joined = [members.described(person.username, led.role)]
        lists.record_change(person, seen, "join", "member", [], joined)
    return led.list
