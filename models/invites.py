"""Invite links: anyone who has one can join a list.

The key in a link is shown once, to who makes it; the database has only its hash.
"""

import secrets
from datetime import timedelta
from typing import Any, NamedTuple

from peewee import CharField, ForeignKeyField

from models import invitations, lists, members
from models.clock import instant, moment, now
from models.database import unit
from models.errors import Invalid, NotFound, Quota
from models.invitations import Invitation
from models.sessions import hash_of
from models.tables import List, Member, Person, Table, User
from models.text import N_

INVITES_LIMIT = 20  # of one list
INVITED = timedelta(days=7)  # how long a link is valid
SENTENCES = {"join member": (N_("Joined the list by invite link"), "")}  # for `history.SENTENCES`


class Invite(Table):
    """A link by which anyone can join a list, until it has `ended`.

    `hash` is the SHA-256 of the key in it.
    """

    list = ForeignKeyField(List, backref="+")
    user = ForeignKeyField(User, backref="+", index=False)
    hash = CharField(64, unique=True)
    role = CharField(6)
    expires = CharField(24)
    ended = CharField(24, null=True)


class Shown(NamedTuple):
    """A link as the owners of a list see it; `people` are the members who came by it."""

    id: int
    role: str
    by: str
    expires: str
    active: bool
    people: list[str]


@unit
def invite(person: Person, list_id: int, role: str) -> str:
    """Return the key of a new link, 128 random bits, by which anyone can join in that role.

    Raises NotFound, Forbidden, Invalid.
    """
    lists.get_for(person, list_id, "share")
    if role not in lists.ROLES[:2]:
        raise Invalid("link", "A link can only let people edit or view.")
    if sum(link.active for link in invites(list_id)) >= INVITES_LIMIT:
        raise Quota("link", "Limit reached: {limit} links.", limit=INVITES_LIMIT)
    used = Invitation.select(Invitation.link).where(Invitation.link.is_null(False))
    Invite.delete().where(Invite.expires < now(), Invite.id.not_in(used)).execute()
    key = secrets.token_urlsafe(16)
    ends = instant(moment() + INVITED)
    Invite.create(list=list_id, user=person.id, hash=hash_of(key), role=role, expires=ends)
    return key


def end_links(
    person: Person, list_id: int, user: int, before: str | None, after: str | None
) -> None:
    """End the links that are no good any more; see `members.AFTER_ROLE_CHANGE`.

    Those that someone made who may not make any now. When they were removed, all that there are,
    as they may have seen them; when they got a lower role, those that give a higher one.
    """
    end(Invite.list == list_id, Invite.user == user)
    if before and after:
        end(Invite.list == list_id, Invite.role.in_(lists.ROLES[lists.ROLES.index(after) + 1 :]))
    elif before and person.id != user:
        end(Invite.list == list_id)


def end(*which: Any) -> int:
    """End links; return how many there were."""
    return int(Invite.update(ended=now()).where(*which, Invite.ended.is_null()).execute())


def invites(list_id: int) -> list[Shown]:
    """Return the links into a list that can be used or, while they are members, were used."""
    came: dict[int, list[str]] = {}
    joined: Any = Invitation.select(Invitation.link, User.username)
    joined = joined.join(User, on=Invitation.user == User.id).order_by(User.username)
    here = (Invitation.list == list_id, Invitation.state == invitations.JOINED)
    for link, name in joined.where(*here, Invitation.link.is_null(False)).tuples():
        came.setdefault(link, []).append(name)
    query: Any = Invite.select(Invite.id, Invite.role, User.username, Invite.expires, Invite.ended)
    query = query.join(User).where(Invite.list == list_id).order_by(Invite.id)
    at = now()
    return [
        Shown(link, role, by, expires, ended is None and expires > at, came.get(link, []))
        for link, role, by, expires, ended in query.where(
            (Invite.expires > at) | Invite.id.in_([*came])
        ).tuples()
    ]


@unit
def revoke(person: Person, list_id: int, invite_id: int) -> None:
    """End a link of the list. Raises NotFound, Forbidden."""
    lists.get_for(person, list_id, "share")
    if not end(Invite.id == invite_id, Invite.list == list_id):
        raise NotFound


def invited(key: str) -> Any:
    """Return what a link leads to. Raises NotFound when it is unknown or has ended.

    It has its `id`, the id of a `list` and its `name`, a `role` there, and who gives that: their
    id as `maker`, and `by`, their name.
    """
    maker = (Invite.user.alias("maker"), User.username.alias("by"))
    query: Any = Invite.select(Invite.id, Invite.list.alias("list"), List.name, Invite.role, *maker)
    query = query.join(List).join_from(Invite, User).where(List.deleted_at.is_null())
    made = (Member.list == Invite.list) & (Member.user == Invite.user)
    query = query.join_from(Invite, Member, on=made).where(Member.role == "owner")
    valid = (Invite.hash == hash_of(key), Invite.expires > now(), Invite.ended.is_null())
    for link in query.where(*valid).namedtuples():
        return link
    raise NotFound


@unit
def join(person: Person, key: str) -> int:
    """Join the list that a link leads to; return its id. A member keeps their role.

    Raises NotFound, Invalid.
    """
    lists.lock(invited(key).list)
    link = invited(key)
    if person.username not in members.present(link.list):
        members.join(person, link.list, person.username, link.role, "join", [])
        joined_by = (link.maker, link.role, invitations.JOINED, link.id)
        invitations.remember(link.list, person.id, *joined_by)
    return int(link.list)
