"""Closing an account: what is one's own is deleted, what is shared stays with the others."""

from collections.abc import Callable
from typing import Any, NamedTuple

from models import lists, members, users
from models.database import unit
from models.tables import LONG_AGO, List, Member, Person, Todo, User, with_column

# In the same transaction, after it, and before rows of a table are emptied: see extras.py.
AFTER: list[Callable[[Person], None]] = []
BEFORE: list[Callable[[Any, Any], None]] = []


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


@unit
def close(person: Person, stored: str | None = None) -> None:
    """Close an account. In lists that others keep, what was done there is done by `gone:ID`.

    Lists and the account are emptied rather than deleted: SQLite would give their ids to new ones.
    Raises Forbidden when `stored` is given and is no longer the hash of their password.
    """
    users.recheck_password(person, stored)
    for fate in fates(person):
        lists.lock(fate.list)
    for fate in fates(person):
        if fate.heir is None:
            empty(fate.list)
        else:
            leave(person, fate)
    for table in with_column("user"):
        if table.blank is None:
            table.delete().where(table.user == person.id).execute()
    for rule in AFTER:
        rule(person)
    Todo.update(assigned_to=None).where(Todo.assigned_to == person.id).execute()
    blank = {"username": f"gone:{person.id}", "password": None, "email": None, "language": None}
    blank |= {"timezone": None}
    User.update(blank).where(User.id == person.id).execute()


def empty(list_id: int) -> None:
    """Leave nothing of a list but ids."""
    for table in with_column("list"):
        for rule in BEFORE:
            rule(table, table.list == list_id)
        query = table.delete() if table.blank is None else table.update(table.blank)
        query.where(table.list == list_id).execute()
    List.update(name="", deleted_at=LONG_AGO).where(List.id == list_id).execute()


def leave(person: Person, fate: ListOutcome) -> None:
    """Leave a list to others, with an owner among them."""
    if fate.owned and fate.heir:
        members.set_role(person, fate.list, fate.heir, "owner", "role")
    members.set_role(person, fate.list, person.username, None, "leave")
