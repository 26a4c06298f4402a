"""Another username for an account. Its todos, messages and sessions go by its id, and stay."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from peewee import IntegrityError

from models import lists, members, users
from models.clock import instant, moment
from models.database import unit
from models.errors import Invalid
from models.tables import Change, Member, Person, User
from models.text import N_

A_DAY = 5  # each is a change of every list that the person is in
SENTENCES = {"rename member": (N_("Changed the username {before} to {title}"), "")}
# What extras do in the same transaction, with the person as they were; filled by extras.py.
AFTER: list[Callable[[Person], None]] = []


@unit
def change(person: Person, username: str, stored: str | None = None) -> str:
    """Give an account another name, and return it. Anyone may take the one before from now on.

    It is a change of each of their lists, so that pages and programs see the new name. Raises
    Invalid, and Forbidden: see `users.recheck_password`.
    """
    users.recheck_password(person, stored)
    name, day_ago = users.clean_username(username), instant(moment() - timedelta(days=1))
    mine: Any = Member.select(Member.list).where(Member.user == person.id).order_by(Member.list)
    numbers = [list_id for (list_id,) in mine.tuples()]
    recent = (Change.user == person.id, Change.verb == "rename", Change.kind == "member")
    first = Change.select().where(Change.list == min(numbers, default=0), Change.at > day_ago)
    if first.where(*recent).count() >= A_DAY:
        raise Invalid("username", "At most {limit} new usernames a day.", limit=A_DAY)
    try:
        User.update(username=name).where(User.id == person.id).execute()
    except IntegrityError:
        raise Invalid("username", "That username is taken.") from None
    for rule in AFTER:
        rule(person)
    for list_id in numbers:  # in one order, so that two never wait for each other
        seen = lists.get_for(person, list_id, "leave", lists.BY_ID_OR_TRASH)
        before, after = (members.described(each, seen.role) for each in (person.username, name))
        lists.record_change(person, seen, "rename", "member", [before], [after])
    return name


def rename(list_id: int, version: int, before: list[lists.Described]) -> None:
    """Call people in todos before a version what they are called now; see `history.BEFORE_UNDO`."""
    later = (Change.list == list_id, Change.version > version, Change.verb == "rename")
    query: Any = Change.select(Change.former, Change.title).where(*later, Change.kind == "member")
    called: dict[str, str] = {}
    for former, name in query.order_by(Change.version.desc()).tuples():
        called[former] = called.pop(name, name)
    for todo in before:
        if todo.get("assigned") in called:
            todo["assigned"] = called[todo["assigned"]]
