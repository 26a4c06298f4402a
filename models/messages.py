"""Messages: what the people of a list say to each other."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

from peewee import SQL, CharField, ForeignKeyField, Select, TextField, fn

from models import database, lists, text
from models.clock import instant, moment, now
from models.database import Param, PreparedQuery, unit
from models.errors import Conflict, Forbidden, Invalid, NotFound, Quota
from models.tables import CALLED, LONG_AGO, Change, List, Member, Person, Table, User
from models.text import N_

TEXT_LIMIT = 4000
UNREAD_LIMIT = 100  # unread messages of a list are counted up to here
DELAY, RETRY = timedelta(seconds=10), timedelta(hours=1)
BEFORE_HOLD: list[Callable[[Person, str], None]] = []  # raises Quota for a field: see extras.py
SENTENCES = {  # for `history.SENTENCES`
    "say message": (N_("Sent “{title}”"), ""),
    "delete message": (N_("Deleted a message"), ""),
}


class Message(Table):
    """What someone said to the others of a list."""

    blank = {"text": "", "deleted_at": LONG_AGO}  # noqa: RUF012
    list = ForeignKeyField(List, backref="+")
    user = ForeignKeyField(User, backref="+", index=False)
    text = TextField()
    created = CharField(24)
    deleted_at = CharField(24, null=True)


class ScheduledMessage(Table):
    """What someone will have said at the instant `due`, unless they take it back before."""

    list = ForeignKeyField(List, backref="+", index=False)
    user = ForeignKeyField(User, backref="+")
    text = TextField()
    due = CharField(24, index=True)


EVERY: Any = (
    Message.select(Message.id, CALLED, Message.text, Message.created)
    .join(User)
    .where(Message.deleted_at.is_null())
)
# Both at each page: 0.1 ms and 4 us; 0.75 ms and 340 us as plain queries (2026-11).
UNREAD_OF = Message.select(Message.id).where(
    Message.list == Member.list,
    Message.id > Member.last_read_message,
    Message.user != Member.user,
    Message.deleted_at.is_null(),
)
COUNTED = Select((UNREAD_OF.limit(UNREAD_LIMIT).alias("unread"),), (fn.COUNT(SQL("*")),))
UNREAD = PreparedQuery(Member.select(Member.list, COUNTED).where(Member.user == Param("person")))
LAST = (ScheduledMessage.list, fn.MAX(ScheduledMessage.due), fn.COUNT(ScheduledMessage.id))
PENDING = PreparedQuery(
    ScheduledMessage.select(*LAST)
    .where(ScheduledMessage.user == Param("person"))
    .group_by(ScheduledMessage.list)
)


def unread(person: Person, lookup: Callable[..., list[Any]]) -> dict[int, int]:
    """Return the number of unread messages, UNREAD_LIMIT at most, of each list that has any."""
    return {list_id: count for list_id, count in lookup(UNREAD, person=person.id) if count}


def pending(person: Person, lookup: Callable[..., list[Any]]) -> dict[int, tuple[str, int]]:
    """Return what differs, by list, when other messages of the person wait to be sent there."""
    return {list_id: (due, count) for list_id, due, count in lookup(PENDING, person=person.id)}


@unit
def say(person: Person, list_id: int, words: str) -> lists.Described:
    """Add a message to the conversation of the list; return it. What was said before is read.

    Raises NotFound, Forbidden, Invalid.
    """
    access = lists.get_for(person, list_id, "say")
    made = Message.create(list=list_id, user=person.id, text=clean(words), created=now())
    message = described(made.id, person.username, made.text, made.created)
    lists.record_change(person, access, "say", "message", [], [message])
    read(person.id, list_id, made.id)
    return message


def clean(words: str) -> str:
    words = text.several("text", words, TEXT_LIMIT)
    if text.blank(words):
        raise Invalid("text", "Please enter something here.")
    return words


@unit
def hold(person: Person, list_id: int, words: str) -> None:
    """Keep a message back for DELAY, while only `person` knows of it.

    Raises NotFound, Forbidden, Invalid.
    """
    lists.get_for(person, list_id, "say")
    words, at = clean(words), moment()
    for rule in BEFORE_HOLD:
        rule(person, "text")
    number = int(1e6 * at.timestamp())  # never given again: a button may be pressed too late
    due = instant(at + DELAY)
    ScheduledMessage.insert(id=number, list=list_id, user=person.id, text=words, due=due).execute()


def held(person: Person, list_id: int) -> list[tuple[int, str]]:
    """Return the ids and texts of what someone will have said, in their order."""
    rows: Any = ScheduledMessage.select(ScheduledMessage.id, ScheduledMessage.text)
    rows = rows.where(ScheduledMessage.list == list_id, ScheduledMessage.user == person.id)
    return list(rows.order_by(ScheduledMessage.id).tuples())


@unit
def drop(person: Person, held_id: int) -> int:
    """Never send what was held back; return its list's id. Raises Conflict when it was sent."""
    mine = (ScheduledMessage.id == held_id, ScheduledMessage.user == person.id)
    list_id = ScheduledMessage.select(ScheduledMessage.list).where(*mine).scalar()
    if not ScheduledMessage.delete().where(*mine).execute():
        raise Conflict("This message has already been sent.", N_("Already sent"))
    return int(list_id)


def due() -> list[int]:
    """Return the ids of what has been held back for long enough."""
    rows: Any = ScheduledMessage.select(ScheduledMessage.id).where(ScheduledMessage.due <= now())
    return [number for (number,) in rows.order_by(ScheduledMessage.id).tuples()]


def send(held_id: int) -> None:
    """Send a delayed message, unless its author may no longer write there."""
    this = ScheduledMessage.id == held_id
    columns = (ScheduledMessage.list, ScheduledMessage.text, User.id, User.username)
    rows: Any = ScheduledMessage.select(*columns).join(User)
    for list_id, words, *person in rows.where(this, ScheduledMessage.due <= now()).tuples():
        try:
            with database.db.obj.atomic():
                if ScheduledMessage.delete().where(this).execute():
                    with suppress(NotFound, Forbidden):
                        say(Person(*person), list_id, words)
        except Quota:  # it goes on waiting, and its author sees it
            later = instant(moment() + RETRY)
            ScheduledMessage.update(due=later).where(this).execute()


@unit
def take_back(person: Person, message_id: int) -> int:
    """Delete a message of one's own; return its list's id. Raises NotFound, Forbidden.

    Nobody can read it any more, in the changes of the list neither.
    """
    there = Message.select(Message.list).where(Message.id == message_id)
    database.lock(List, List.id == there)
    for row in EVERY.select_extend(Message.list).where(Message.id == message_id).tuples():
        *message, list_id = row
        seen = lists.get_for(person, list_id, "say")
        if message[1] != person.username:
            raise Forbidden
        Message.update(deleted_at=now()).where(Message.id == message_id).execute()
        gone = described(*message) | {"text": ""}
        told = Change.list == list_id, Change.verb == "say", Change.kind == "message"
        of_it = Change.after.startswith(f'[{{"id":{message_id},')
        Change.update(after=lists.compact([gone]), title="").where(*told, of_it).execute()
        lists.record_change(person, seen, "delete", "message", [gone], [])
        return int(list_id)
    raise NotFound


@unit
def read(user: int, list_id: int, up_to: int | None = None) -> None:
    """Store that someone has read the conversation up to the message with this id, or all of it."""
    last = Message.select(fn.MAX(Message.id)).where(Message.list == list_id)
    to = up_to or last.scalar() or 0
    earlier = (Member.list == list_id, Member.last_read_message < to)
    Member.update(last_read_message=to).where(Member.user == user, *earlier).execute()


def page(person: Person, list_id: int, after: int, limit: int) -> list[lists.Described]:
    """Return the first messages of a list with ids above `after`. Raises NotFound."""
    lists.get_for(person, list_id)
    rows = EVERY.where(Message.list == list_id, Message.id > after).order_by(Message.id)
    return [described(*row) for row in rows.limit(limit).tuples()]


def latest(person: Person, list_id: int, before: int | None, limit: int) -> list[lists.Described]:
    """Return the last messages of a list, those with ids below `before`, the oldest first.

    Raises NotFound.
    """
    lists.get_for(person, list_id)
    rows = EVERY.where(Message.list == list_id).order_by(Message.id.desc()).limit(limit)
    rows = rows.where(Message.id < before) if before else rows
    return [described(*row) for row in rows.tuples()][::-1]


def described(number: int, user: str, words: str, created: str) -> lists.Described:
    return {"id": number, "user": user, "text": words, "created": created}


def skip_earlier(
    person: Person, list_id: int, user: int, before: str | None, after: str | None
) -> None:
    """For a new member, count what was said before as read; see `members.AFTER_ROLE_CHANGE`."""
    if before is None:
        read(user, list_id)
