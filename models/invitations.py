"""Invitations: nobody becomes a member of a stranger's list before they have agreed.

Those who share a list already add each other at once. Who has left or declined a list isn't asked
for it again by the same person; nor for another one, as long as the two share none.
"""

from typing import Any

from peewee import BigIntegerField, CharField, ForeignKeyField

from models import lists, members, rate_limits
from models.database import Param, PreparedQuery, lock, unit
from models.errors import Invalid, NotFound, Quota, TooMany
from models.lists import Described, ListAccess, Lookup
from models.tables import List, Member, Person, Table, User
from models.text import N_

ASKED, JOINED, REFUSED = "asked", "joined", "refused"
SHOWN = 100  # invitations that someone is shown, the newest
SENTENCES = {  # for `history.SENTENCES`
    "invite member": (N_("Invited {title}"), ""),
    "accept member": (N_("Accepted the invitation"), ""),
    "decline member": (N_("Declined the invitation"), ""),
    "withdraw member": (N_("Withdrew the invitation of {title}"), ""),
}


class Invitation(Table):
    """Whom the `inviter` has asked into a list, or added; `state` says what has come of it.

    `link` is the id of the invite link by which they came, if they did.
    """

    list = ForeignKeyField(List, backref="+", index=False)
    user = ForeignKeyField(User, backref="+")
    inviter = ForeignKeyField(User, backref="+", index=False)
    role = CharField(6)
    state = CharField(8)
    link = BigIntegerField(null=True)

    class Meta:
        indexes = ((("list", "user", "inviter"), True),)


Inviter: Any = User.alias()
WAITING = PreparedQuery(  # at each page
    Invitation.select(*lists.LISTED, Invitation.role, Inviter.username)
    .join(List)
    .join_from(Invitation, Inviter, on=Invitation.inviter == Inviter.id)
    .where(Invitation.user == Param("person"), Invitation.state == ASKED, List.deleted_at.is_null())
    .order_by(Invitation.id.desc())
    .limit(SHOWN)
)


def waiting(
    person: Person, lookup: Lookup = PreparedQuery.__call__
) -> list[tuple[ListAccess, str]]:
    """Return the lists that someone is invited to, with the role they would have, and by whom."""
    return [(ListAccess(*row[:6]), row[6]) for row in lookup(WAITING, person=person.id)]


def pending(list_id: int) -> list[Described]:
    """Return whom the owners of a list have invited."""
    query: Any = Invitation.select(User.username, Invitation.role)
    query = query.join(User, on=Invitation.user == User.id).order_by(Invitation.id)
    asked = query.where(Invitation.list == list_id, Invitation.state == ASKED).tuples()
    return [members.described(name, role, invited=True) for name, role in asked]


def ask(person: Person, seen: ListAccess, name: str, role: str) -> Described | None:
    """Invite someone to a list; see `members.INVITATIONS`.

    Return None when they are to be added at once, or don't exist. Raises Invalid when they
    don't want to be asked, Quota for too many invitations in a day, or of a list.
    """
    lock(User, User.username == name)
    user = User.get_or_none(User.username == name)
    if user is None or may_add(person, seen.id, user.id):
        return None
    there, asked = pending(seen.id), members.described(name, role, invited=True)
    before = [each for each in there if each["username"] == name]
    if asked in before:
        return asked
    if before:
        here = (Invitation.list == seen.id, Invitation.user == user, Invitation.state == ASKED)
        Invitation.update(role=role).where(*here).execute()
    else:
        check_limits(person, len(there))
        remember(seen.id, user.id, person.id, role, ASKED)
    lists.record_change(person, seen, "role" if before else "invite", "member", before, [asked])
    show_soon(user.id)
    return asked


def may_add(person: Person, list_id: int, user: int) -> bool:
    """Return whether someone needn't be asked: they share a list with `person`, and have room.

    But for a list that they have left or declined. Raises Invalid when they did so with this one
    and the same person, or with any of a stranger's.
    """
    theirs = Invitation.user == user
    refused = Invitation.select().where(theirs, Invitation.state == REFUSED)
    here, known = Invitation.list == list_id, share(person.id, user)
    by_me = refused.where(Invitation.inviter == person.id)
    if (by_me.where(here) if known else by_me).exists():
        raise Invalid(
            "username", "You can't invite this person again. Send them an invite link instead."
        )
    added = Member.select().where(Member.user == user, Member.accepted == False)  # noqa: E712
    room = added.count() < lists.LISTS_LIMIT
    return known and room and not refused.where(here).exists()


def check_limits(person: Person, invited: int) -> None:
    """Count an invitation. Raises Quota for too many who are `invited`, or in a day."""
    if invited >= members.MEMBERS_LIMIT:
        raise Quota("username", "Limit reached: {limit} people.", limit=members.MEMBERS_LIMIT)
    try:
        rate_limits.count(f"invite:{person.id}")
    except TooMany:
        limit = rate_limits.RULES["invite"].free
        raise Quota("username", "Limit reached: {limit} invitations a day.", limit=limit) from None


def share(one: int, other: int) -> bool:
    """Return whether two people share a list."""
    theirs = Member.select(Member.list).where(Member.user == other)
    ours = Member.select().join(List).where(Member.user == one, Member.list.in_(theirs))
    return bool(ours.where(List.deleted_at.is_null()).exists())


def remember(
    list_id: int, user: int, inviter: int, role: str, state: str, link: int | None = None
) -> None:
    """Store what someone did about someone else and a list, in place of what is known of that."""
    values = {"role": role, "state": state, "link": link}
    made = Invitation.insert(list=list_id, user=user, inviter=inviter, **values)
    unique = [Invitation.list, Invitation.user, Invitation.inviter]
    made.on_conflict(conflict_target=unique, update=values).execute()


@unit
def accept(person: Person, list_id: int) -> int:
    """Join a list that one is invited to; return its id. A member stays what they are.

    Raises NotFound, and Quota for too many lists.
    """
    lists.lock(list_id)
    if person.username not in members.present(list_id):
        _, row = find(list_id, person.username)
        asked = members.described(person.username, row.role, invited=True)
        members.join(person, list_id, person.username, row.role, "accept", [asked])
    return list_id


def end(person: Person, list_id: int, name: str) -> bool:
    """Decline an invitation, or take one's own list's back; see `members.INVITATIONS`.

    Raises NotFound, Forbidden.
    """
    lists.lock(list_id)
    try:
        seen, row = find(list_id, name)
    except NotFound:
        return False
    if name == person.username:
        verb, row.state = "decline", REFUSED
        row.save()
    else:
        verb = "withdraw"
        lists.get_for(person, list_id, "share")
        row.delete_instance()
    gone = members.described(name, row.role, invited=True)
    lists.record_change(person, seen, verb, "member", [gone], [])
    show_soon(row.user_id)
    return True


def find(list_id: int, name: str) -> tuple[ListAccess, Any]:
    """Return a list, as nobody's, and the invitation of someone to it. Raises NotFound."""
    query: Any = Invitation.select(Invitation, *lists.LISTED).join(List)
    query = query.join_from(Invitation, User, on=Invitation.user == User.id)
    asked = (Invitation.list == list_id, Invitation.state == ASKED, User.username == name)
    for row in query.where(*asked, List.deleted_at.is_null()):
        to = row.list
        return ListAccess(to.id, to.name, to.version, to.open, to.total, row.role), row
    raise NotFound


def follow(person: Person, list_id: int, user: int, before: str | None, after: str | None) -> None:
    """Store who came and went; see `members.AFTER_ROLE_CHANGE`.

    Those whom an ex-owner has invited aren't any more.
    """
    theirs = (Invitation.list == list_id, Invitation.user == user)
    if before is None and person.id != user:
        remember(list_id, user, person.id, str(after), JOINED)
    if before is None:
        Invitation.update(state=JOINED).where(*theirs, Invitation.state == ASKED).execute()
    elif after is None and person.id == user:
        Invitation.update(state=REFUSED).where(*theirs).execute()
    elif after is None:
        Invitation.delete().where(*theirs, Invitation.state == JOINED).execute()
    if after != "owner":
        mine = (Invitation.list == list_id, Invitation.inviter == user, Invitation.state == ASKED)
        for (invited,) in [*Invitation.select(Invitation.user).where(*mine).tuples()]:
            show_soon(invited)
        Invitation.delete().where(*mine).execute()
    show_soon(user)


def show_soon(user: int) -> None:
    """Have the open pages of someone asked for again, as for a new revision of their first list."""
    first = Member.select(Member.list).join(List).where(Member.user == user)
    first = first.where(List.deleted_at.is_null()).order_by(Member.position, Member.id).limit(1)
    List.update(revision=List.revision + 1).where(List.id.in_([*first.tuples()])).execute()
