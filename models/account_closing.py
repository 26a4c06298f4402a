"""Closing an account: what is one's own goes, what is shared stays with the others."""

from typing import Any, NamedTuple

from models import lists, members, todos, users
from models.presence import Presence
from models.tables import (
    Change,
    IdempotencyKey,
    Identity,
    Invite,
    Link,
    List,
    ListLink,
    Member,
    Message,
    PasswordReset,
    Person,
    RateLimit,
    ScheduledMessage,
    Session,
    Todo,
    Token,
    User,
)

LONG_AGO = "1970-01-01T00:00:00.000Z"
OF_PEOPLE: list[Any] = [
    IdempotencyKey,
    ScheduledMessage,
    Identity,
    Invite,
    Presence,
    PasswordReset,
    Session,
    Token,
]


class ListOutcome(NamedTuple):
    """What becomes of a list: it goes when `heir` is None, who owns it from now on otherwise."""

    list: int
    name: str
    heir: str | None
    owned: bool


def fates(person: Person) -> list[ListOutcome]:
    """Return what would become of each of someone's lists, those in the trash too.

    Of the members of a list that they alone own, an editor inherits it before a viewer, and who
    came first before who came later.
    """
    mine: Any = Member.select(List.id, List.name, Member.role).join(List)
    found = []
    for list_id, name, role in mine.where(Member.user == person.id).order_by(List.id).tuples():
        rest = {n: had for n, (_, had) in members.present(list_id).items() if n != person.username}
        owned = role == "owner" and "owner" not in rest.values()
        heir = max(rest, key=lambda other: lists.ROLES.index(rest[other]), default=None)
        found.append(ListOutcome(list_id, name, heir, owned))
    return found


def close(person: Person, stored: str | None = None) -> None:
    """Close an account. In lists that others keep, what was done there is done by `gone:ID`.

    What goes is emptied rather than deleted: SQLite would give its ids to the next who come.
    Raises Forbidden when `stored` is given and is their password's hash no more.
    """
    users.recheck_password(person, stored)
    for fate in fates(person):
        lists.LOCK(list=fate.list)
    for fate in fates(person):
        if fate.heir is None:
            empty(fate.list)
        else:
            leave(person, fate)
    for table in OF_PEOPLE:
        table.delete().where(table.user == person.id).execute()
    Todo.update(assigned_to=None).where(Todo.assigned_to == person.id).execute()
    RateLimit.delete().where(RateLimit.key == f"name:{person.username}").execute()
    blank = {"username": f"gone:{person.id}", "password": None, "email": None, "language": None}
    User.update(blank).where(User.id == person.id).execute()


def empty(list_id: int) -> None:
    """Leave nothing of a list but its ids."""
    for table in (ScheduledMessage, Invite, Presence, Member, ListLink):
        table.delete().where(table.list == list_id).execute()
    Link.delete().where(Link.id.not_in(ListLink.select(ListLink.link))).execute()
    Todo.update(title="", notes="", deleted_at=LONG_AGO).where(Todo.list == list_id).execute()
    Message.update(text="", deleted_at=LONG_AGO).where(Message.list == list_id).execute()
    Change.update(before="[]", after="[]").where(Change.list == list_id).execute()
    List.update(name="", deleted_at=LONG_AGO).where(List.id == list_id).execute()


def leave(person: Person, fate: ListOutcome) -> None:
    """Leave a list to others, with an owner among them."""
    seen = lists.get_for(person, fate.list, "leave", lists.BY_ID_OR_TRASH)
    if fate.owned and fate.heir:
        number, role = members.present(fate.list)[fate.heir]
        Member.update(role="owner").where(Member.id == number).execute()
        before, after = (members.described(fate.heir, each) for each in (role, "owner"))
        lists.record_change(person, seen, "role", "member", [before], [after])
    todos.unassign(person, fate.list, person.id)
    seen = lists.get_for(person, fate.list, "leave", lists.BY_ID_OR_TRASH)
    Member.delete().where(Member.list == fate.list, Member.user == person.id).execute()
    gone = [members.described(person.username, seen.role)]
    lists.record_change(person, seen, "leave", "member", gone, [])
