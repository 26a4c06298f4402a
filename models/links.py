"""Links: the addresses in what people write, and the titles of their pages.

`collect` finds them in the changes of lists; services/link_titles.py fetches the titles.
"""

import json
from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, ClassVar, NamedTuple

from peewee import BigIntegerField, CharField, ForeignKeyField, Value, fn

from models import lists
from models.addresses import ADDRESS
from models.clock import instant, moment, now
from models.database import Param, PreparedQuery, db
from models.tables import Change, List, Table, Todo, User

ADDRESS_LIMIT = 2000  # bytes, which an index of PostgreSQL can hold
PER_TEXT, PER_CHANGE = 10, 1000  # links whose titles are fetched
CHANGES_SIZE = 1_000_000  # characters of changes that are read in one unit of work
OVERLAP = timedelta(seconds=30)  # more than any unit of work takes
AGAIN = timedelta(days=30)  # after which a title is fetched again
PAUSES = (timedelta(minutes=10), timedelta(hours=2), timedelta(days=1), AGAIN)  # after failures
LEASE = timedelta(minutes=5)  # after which another process fetches what one has claimed
MINUTE = timedelta(minutes=1)
TEXTS: list[Any] = [Todo.title]  # columns with links, of tables with `list` and `deleted_at`


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


KNOWN = PreparedQuery(
    Link.select(Link.address, Link.title)
    .join(ListLink)
    .where(ListLink.list == Param("list"), Link.title.is_null(False))
)


class Wanted(NamedTuple):
    """A link whose title this process has claimed to fetch."""

    id: int
    address: str


def collect(cursor: int) -> int:
    """Store the links that changes of lists after the one with id `cursor` have brought.

    Return the id of the last change that need not be read again. PostgreSQL gives ids in another
    order than that of the commits, so there the changes of the last OVERLAP are read again.
    """
    last: int = Change.select(fn.COALESCE(fn.MAX(Change.id), 0)).scalar()
    size = 0
    query: Any = Change.select(Change.id, Change.list, Change.user, Change.before, Change.after)
    query = query.where(Change.id > cursor, Change.after.contains("://")).order_by(Change.id)
    for change_id, list_id, user_id, before, after in query.tuples().iterator():
        addresses = added(json.loads(before), json.loads(after))
        if addresses:
            rows = [{"address": each, "user": user_id, "due": now()} for each in addresses]
            Link.insert_many(rows).on_conflict_ignore().execute()
            list_column = Value(list_id).cast("BIGINT")
            found = Link.select(Link.id, list_column).where(Link.address.in_(addresses))
            pairs = ListLink.insert_from(found, [ListLink.link, ListLink.list])
            pairs.on_conflict_ignore().execute()
        size += len(before) + len(after)
        if size > CHANGES_SIZE:
            last = change_id
            break
    if db.obj.for_update:
        settled = Change.select(fn.MAX(Change.id)).where(Change.at < instant(moment() - OVERLAP))
        last = min(last, settled.scalar() or 0)
    return max(cursor, last)


def added(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> list[str]:
    """Return the addresses that a change has brought: in titles, and texts of messages."""
    old = {row.get("title") or row.get("text") for row in before}
    texts = [row.get("title") or row.get("text") or "" for row in after]
    texts = [text for text in texts if text not in old]
    found = [address for text in texts for address in ADDRESS.findall(text)[:PER_TEXT]]
    several = [*dict.fromkeys(found)][:PER_CHANGE]
    return [address for address in several if len(address.encode()) <= ADDRESS_LIMIT]


def known(list_id: int) -> dict[str, str]:
    return dict(KNOWN(list=list_id))


def waiting() -> bool:
    return bool(Link.select(Link.id).where(Link.due <= now()).exists())


def claim(limit: int, per_person: int | None) -> list[Wanted]:
    """Claim links whose titles are to be fetched, the longest due first, for this process alone.

    At most `limit` of them, and `per_person` of any one person's in a minute.
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
    for link_id, person, address, before in query.order_by(Link.due).limit(limit).tuples():
        if before and not is_in_use(link_id, address):
            ListLink.delete().where(ListLink.link == link_id).execute()
            Link.delete().where(Link.id == link_id).execute()
        elif not per_person or asked[person] < per_person:
            asked[person] += 1
            taken.append(link_id)
    lease: Any = Link.update(due=instant(at + LEASE), asked=instant(at))
    rows = lease.where(Link.id.in_(taken), due).returning(Link.id, Link.address)
    return [Wanted(row.id, row.address) for row in rows.execute()]


def is_in_use(link_id: int, address: str) -> bool:
    """Say whether a link is still in one of TEXTS, outside the trash."""
    of_it = ListLink.select(ListLink.list).where(ListLink.link == link_id)
    for column in TEXTS:
        table = column.model
        shown = table.select().where(table.list.in_(of_it), table.deleted_at.is_null())
        if shown.where(column.contains(address)).exists():
            return True
    return False


def store(titles: Iterable[tuple[Wanted, str | None]]) -> None:
    """Store the titles that were found; None when there was none, then it is fetched again later.

    Lists with a link that has a new title get another revision, by which open pages learn of it.
    """
    changed = []
    for wanted, title in titles:
        link = Link.get_or_none(Link.id == wanted.id, Link.address == wanted.address)
        if link is None:  # that one is gone, and its id may be another's by now
            continue
        if title and title != link.title:
            changed.append(link.id)
        link.title = title or link.title
        link.tries = 0 if title else link.tries + 1
        pause = AGAIN if title else PAUSES[min(link.tries, len(PAUSES)) - 1]
        link.due = instant(moment() + pause)
        link.save(only=[Link.title, Link.tries, Link.due])
    here: Any = ListLink.select(ListLink.list).where(ListLink.link.in_(changed)).distinct()
    ids = sorted(list_id for (list_id,) in here.tuples()) if changed else []
    for list_id in ids:
        lists.lock(list_id)
    List.update(revision=List.revision + 1).where(List.id.in_(ids)).execute()


def delete_unused(person: object) -> None:
    """Delete the links of lists that were emptied; see `account_closing.AFTER`."""
    Link.delete().where(Link.id.not_in(ListLink.select(ListLink.link))).execute()


def expired() -> list[tuple[Any, Any]]:
    """Return which rows can be deleted; see `cleanup.EXPIRED`."""
    return [(Link, Link.id.not_in(ListLink.select(ListLink.link)))]


def fix_future(at: str, soon: str) -> None:
    """Bring back what was stored while the clock was set too late; see `cleanup.FUTURE`."""
    Link.update(asked="", due=at).where(Link.asked > soon).execute()
