"""Links: the addresses in what people write, and the titles of their pages, once known."""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, ClassVar, NamedTuple

from peewee import BigIntegerField, CharField, ForeignKeyField, fn

from models import database
from models.clock import instant, moment, now
from models.database import Param, PreparedQuery
from models.messages import Message
from models.tables import List, Person, Table, Todo, User

# Found in one pass whatever the text (Tornado's linkify isn't); no punctuation at the end of one.
LINK = re.compile(r"https?://[^\s<>\"]{1,2000}(?<![.,:;!?'()\[\]])")
ADDRESS_LIMIT = 2000  # bytes, which an index of PostgreSQL can hold
PER_TEXT, PER_CHANGE = 10, 1000  # titles that are asked for
AGAIN = timedelta(days=30)  # when a title may have become another one
PAUSES = (timedelta(minutes=10), timedelta(hours=2), timedelta(days=1), AGAIN)  # after failures
LEASE = timedelta(minutes=5)  # that whoever asks has, before another process does
MINUTE = timedelta(minutes=1)


class Link(Table):
    """An address that someone wrote, and the title of its page, null until it is known.

    It was `asked` for last at an instant, is `due` at another, and `tries` have failed in a row.
    """

    blank: ClassVar[dict[str, Any] | None] = {}
    address = CharField(2000, unique=True)
    title = CharField(200, null=True)
    user = ForeignKeyField(User, backref="+", index=False)
    tries = BigIntegerField(default=0)
    asked = CharField(24, default="", index=True)
    due = CharField(24, index=True)


class ListLink(Table):
    """A list with a todo or a message in which a link is, or was."""

    link = ForeignKeyField(Link, backref="+", index=False)
    list = ForeignKeyField(List, backref="+")

    class Meta:
        indexes = ((("link", "list"), True),)


ADD = PreparedQuery(
    Link.insert(address=Param("address"), user=Param("user"), due=Param("due")).on_conflict_ignore()
)
LINKED = Link.select(Link.id, Param("list").cast("BIGINT")).where(Link.address == Param("address"))
MENTION = PreparedQuery(
    ListLink.insert_from(LINKED, [ListLink.link, ListLink.list]).on_conflict_ignore()
)
WAITING = PreparedQuery(Link.select(Link.id).where(Link.due <= Param("now")).limit(1))
KNOWN = PreparedQuery(
    Link.select(Link.address, Link.title)
    .join(ListLink)
    .where(ListLink.list == Param("list"), Link.title.is_null(False))
)
SAME = (Link.id == Param("link")) & (Link.address == Param("address"))
FOUND = PreparedQuery(Link.select(Link.title, Link.tries).where(SAME))
NEW = {name: Param(name) for name in ("title", "tries", "due")}
STORE = PreparedQuery(Link.update(NEW).where(Link.id == Param("link")))
NEWEST = PreparedQuery(List.select(fn.COALESCE(fn.MAX(List.revision), 0)))
NEWS = PreparedQuery(
    List.select(List.revision, List.id)
    .where(List.revision > Param("after"))
    .order_by(List.revision)
)


class Wanted(NamedTuple):
    """A link whose title this process shall ask for."""

    id: int
    address: str


def note(
    person: Person, list_id: int, before: list[dict[str, Any]], after: list[dict[str, Any]]
) -> None:
    """Want the titles of what a change of a list links to and did not before; see `described`."""
    old = {words(row) for row in before}
    new = [text for row in after if "://" in (text := words(row)) and text not in old]
    found = [address for text in new for address in LINK.findall(text)[:PER_TEXT]]
    for address in [*dict.fromkeys(found)][:PER_CHANGE]:
        if len(address.encode()) <= ADDRESS_LIMIT:
            ADD(address=address, user=person.id, due=now())
            MENTION(list=list_id, address=address)


def words(row: dict[str, Any]) -> str:
    """Return what is written in a todo or a message, as change rows hold it."""
    return str(row.get("title") or row.get("text") or "")


def known(list_id: int) -> dict[str, str]:
    """Return the titles that are known of what a list links to, by address."""
    return dict(KNOWN(list=list_id))


def waiting() -> bool:
    """Say whether there is anything to ask for."""
    return bool(WAITING(now=now()))


def claim(limit: int, per_person: int | None) -> list[Wanted]:
    """Take links to ask for, in the order they came; whoever takes one is the only one to.

    There are `limit` at most, and `per_person` in a minute, whose links they are.
    """
    at = moment()
    recent: Any = Link.select(Link.user, fn.COUNT(Link.id)).where(Link.asked > instant(at - MINUTE))
    asked = Counter(dict(recent.group_by(Link.user).tuples()))
    due = Link.due <= instant(at)
    query: Any = Link.select(Link.id, Link.user, Link.address, Link.asked).where(due)
    if per_person:
        busy = [person for person, count in asked.items() if count >= per_person]
        query = query.where(Link.user.not_in(busy))
    taken = []
    for number, person, address, before in query.order_by(Link.due).limit(limit).tuples():
        if before and not mentioned(number, address):
            ListLink.delete().where(ListLink.link == number).execute()
            Link.delete().where(Link.id == number).execute()
        elif not per_person or asked[person] < per_person:
            asked[person] += 1
            taken.append(number)
    lease: Any = Link.update(due=instant(at + LEASE), asked=instant(at))
    rows = lease.where(Link.id.in_(taken), due).returning(Link.id, Link.address)
    return [Wanted(row.id, row.address) for row in rows.execute()] if taken else []


def mentioned(number: int, address: str) -> bool:
    """Say whether a link is still in a todo or a message of a list, outside the trash."""
    lists = ListLink.select(ListLink.list).where(ListLink.link == number)
    texts = ((Todo, Todo.title), (Message, Message.text))
    for table, column in texts:
        here: Any = table.select(table.id).where(table.list.in_(lists), column.contains(address))
        if here.where(table.deleted_at.is_null()).exists():
            return True
    return False


def store(titles: Iterable[tuple[Wanted, str | None]]) -> None:
    """Note what was found: its title, or None, then it is asked for later.

    Unless the link is gone meanwhile; its id may be another's now.
    The lists that mention a link get the next number of an arrival, by which windows know of it.
    """
    arrived = []
    for (number, address), title in titles:
        for before, tries in FOUND(link=number, address=address):
            tries = 0 if title else tries + 1
            pause = AGAIN if title else PAUSES[min(tries, len(PAUSES)) - 1]
            due = instant(moment() + pause)
            STORE(link=number, title=title or before, tries=tries, due=due)
            if title and title != before:
                arrived.append(number)
    here = ListLink.select(ListLink.list).where(ListLink.link.in_(arrived))
    if arrived:
        database.lock(List.select(List.id).where(List.id.in_(here)).order_by(List.id))
        List.update(revision=newest() + 1).where(List.id.in_(here)).execute()


def newest(lookup: Callable[..., list[Any]] = PreparedQuery.__call__) -> int:
    """Return the number of the last arrival of titles."""
    return int(lookup(NEWEST)[0][0])


def news(after: int, lookup: Callable[..., list[Any]]) -> list[tuple[int, int]]:
    """Return the number and the list of each arrival after one; they are not changes of a list."""
    return lookup(NEWS, after=after)


def delete_unused() -> None:
    """Delete the links of lists that were emptied; see `account_closing.AFTER`."""
    Link.delete().where(Link.id.not_in(ListLink.select(ListLink.link))).execute()


def expired() -> list[tuple[Any, Any]]:
    """Return which rows can be deleted; see `cleanup.EXPIRED`."""
    return [(Link, Link.id.not_in(ListLink.select(ListLink.link)))]


def fix_future(at: str, soon: str) -> None:
    """Bring back what was stored while the clock was set too late; see `cleanup.FUTURE`."""
    Link.update(asked="", due=at).where(Link.asked > soon).execute()
