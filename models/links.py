"""Links: the addresses in what people write, and the titles of their pages, once known."""

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, NamedTuple

from peewee import fn

from models import text
from models.clock import instant, moment, now
from models.database import Later, Lock, Param, PreparedQuery
from models.tables import Link, List, ListLink, Message, Person, Todo

LINK = text.ADDRESS
ADDRESS_LIMIT = 2000  # bytes, which an index of PostgreSQL can hold
PER_TEXT, PER_CHANGE = 10, 1000  # titles that are asked for
AGAIN = timedelta(days=30)  # when a title may have become another one
PAUSES = (timedelta(minutes=10), timedelta(hours=2), timedelta(days=1), AGAIN)  # after failures
LEASE = timedelta(minutes=5)  # that whoever asks has, before another process does
MINUTE = timedelta(minutes=1)

ADD = Later(
    Link.insert(address=Param("address"), user=Param("user"), due=Param("due")).on_conflict_ignore()
)
LINKED = Link.select(Link.id, Param("list").cast("BIGINT")).where(Link.address == Param("address"))
MENTION = Later(ListLink.insert_from(LINKED, [ListLink.link, ListLink.list]).on_conflict_ignore())
WAITING = PreparedQuery(Link.select(Link.id).where(Link.due <= Param("now")).limit(1))
KNOWN = PreparedQuery(
    Link.select(Link.address, Link.title)
    .join(ListLink)
    .where(ListLink.list == Param("list"), Link.title.is_null(False))
)
SAME = (Link.id == Param("link")) & (Link.address == Param("address"))
FOUND = PreparedQuery(Link.select(Link.title, Link.tries).where(SAME))
NEW = {name: Param(name) for name in ("title", "tries", "due")}
STORE = Later(Link.update(NEW).where(Link.id == Param("link")))
HERE = List.id.in_(ListLink.select(ListLink.list).where(ListLink.link == Param("link")))
LOCK = Lock(List.select(List.id).where(HERE).order_by(List.id))
NEWEST = PreparedQuery(List.select(fn.COALESCE(fn.MAX(List.titles), 0)))
NEWS = PreparedQuery(
    List.select(List.titles, List.id).where(List.titles > Param("after")).order_by(List.titles)
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
    new = [each for row in after if "://" in (each := words(row)) and each not in old]
    found = [address for each in new for address in LINK.findall(each)[:PER_TEXT]]
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
    for number in arrived:
        LOCK(link=number)
    if arrived:
        List.update(titles=newest() + 1).where(List.id.in_(here)).execute()


def newest(lookup: Callable[..., list[Any]] = PreparedQuery.__call__) -> int:
    """Return the number of the last arrival of titles."""
    return int(lookup(NEWEST)[0][0])


def news(after: int, lookup: Callable[..., list[Any]]) -> list[tuple[int, int]]:
    """Return the number and the list of each arrival after one; they are not changes of a list."""
    return lookup(NEWS, after=after)
