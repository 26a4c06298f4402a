"""Messages: what the people of a list say to each other."""

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

from peewee import fn

from models import lists, text
from models.clock import instant, moment, now
from models.database import Lock, Param
from models.errors import Conflict, Forbidden, Invalid, NotFound
from models.tables import CALLED, Change, List, Member, Message, Person, ScheduledMessage, User

TEXT_LIMIT = 4000
PATIENCE = timedelta(seconds=10)
EVERY: Any = (
    Message.select(Message.id, CALLED, Message.text, Message.created)
    .join(User)
    .where(Message.deleted_at.is_null())
)
LIST_OF = Message.select(Message.list).where(Message.id == Param("message"))
LOCK = Lock(List.select(List.id).where(List.id == LIST_OF))


def say(person: Person, list_id: int, words: str) -> lists.Described:
    """Add a message to the conversation of the list; return it. What was said before is read.

    Raises NotFound, Forbidden, Invalid.
    """
    seen = lists.get_for(person, list_id, "say")
    words = clean(words)
    made = Message.create(list=list_id, user=person.id, text=words, created=now())
    message = described(made.id, person.username, words, made.created)
    lists.record_change(person, seen, "say", "message", [], [message])
    read(person, list_id, made.id)
    return message


def clean(words: str) -> str:
    """Return what can be said; raises Invalid."""
    words = text.several("text", words, TEXT_LIMIT)
    if text.blank(words):
        raise Invalid("text", "Please enter something here.")
    return words


def hold(person: Person, list_id: int, words: str) -> None:
    """Keep a message back for PATIENCE, while only `person` knows of it.

    Raises NotFound, Forbidden, Invalid.
    """
    lists.get_for(person, list_id, "say")
    words, at = clean(words), moment()
    number = int(1e6 * at.timestamp())  # never given again: a button may be pressed too late
    due = instant(at + PATIENCE)
    ScheduledMessage.insert(id=number, list=list_id, user=person.id, text=words, due=due).execute()


def held(person: Person, list_id: int) -> list[tuple[int, str]]:
    """Return the ids and texts of what someone will have said, in their order."""
    rows: Any = ScheduledMessage.select(ScheduledMessage.id, ScheduledMessage.text).order_by(
        ScheduledMessage.id
    )
    return list(
        rows.where(ScheduledMessage.list == list_id, ScheduledMessage.user == person.id).tuples()
    )


def drop(person: Person, held_id: int) -> int:
    """Never send what was held back; return its list's id. Raises Conflict when it was sent."""
    mine = (ScheduledMessage.id == held_id, ScheduledMessage.user == person.id)
    list_id = ScheduledMessage.select(ScheduledMessage.list).where(*mine).scalar()
    if not ScheduledMessage.delete().where(*mine).execute():
        raise Conflict("This message has already been sent.")
    return int(list_id)


def due() -> list[int]:
    """Return the ids of what has been held back for long enough."""
    rows: Any = (
        ScheduledMessage.select(ScheduledMessage.id)
        .where(ScheduledMessage.due <= now())
        .order_by(ScheduledMessage.id)
    )
    return [number for (number,) in rows.tuples()]


def send(held_id: int) -> None:
    """Say what was held back; whoever may no longer say anything there has said nothing."""
    rows: Any = ScheduledMessage.select(
        ScheduledMessage.list, ScheduledMessage.text, User.id, User.username
    ).join(User)
    due = (ScheduledMessage.id == held_id, ScheduledMessage.due <= now())
    for list_id, words, *person in rows.where(*due).tuples():
        if ScheduledMessage.delete().where(ScheduledMessage.id == held_id).execute():
            with suppress(NotFound, Forbidden):
                say(Person(*person), list_id, words)


def take_back(person: Person, message_id: int) -> int:
    """Delete a message of one's own; return its list's id. Raises NotFound, Forbidden.

    Nobody can read it any more, in the changes of the list neither.
    """
    LOCK(message=message_id)
    for row in EVERY.select_extend(Message.list).where(Message.id == message_id).tuples():
        *message, list_id = row
        seen = lists.get_for(person, list_id, "say")
        if message[1] != person.username:
            raise Forbidden
        Message.update(deleted_at=now()).where(Message.id == message_id).execute()
        gone = described(*message) | {"text": ""}
        told = Change.list == list_id, Change.verb == "say", Change.kind == "message"
        of_it = Change.after.startswith(f'[{{"id": {message_id}, ')
        Change.update(after=json.dumps([gone])).where(*told, of_it).execute()
        lists.record_change(person, seen, "delete", "message", [gone], [])
        return int(list_id)
    raise NotFound


def read(person: Person, list_id: int, message_id: int) -> None:
    """Note that `person` has read the conversation up to a message."""
    place = (
        Member.user == person.id,
        Member.list == list_id,
        Member.last_read_message < message_id,
    )
    Member.update(last_read_message=message_id).where(*place).execute()


def read_all(person: Person, list_id: int) -> None:
    """Note that `person` has read the whole conversation."""
    last = Message.select(fn.MAX(Message.id)).where(Message.list == list_id).scalar()
    read(person, list_id, last or 0)


def unread(person: Person, lookup: Callable[..., list[Any]]) -> dict[int, int]:
    """Return how many messages of others `person` has not read, by list; none are left out."""
    return {seen.id: seen.unread for seen in lists.mine(person, lookup) if seen.unread}


def pending(person: Person, lookup: Callable[..., list[Any]]) -> dict[int, str]:
    """Return what differs when other messages of `person` wait to be sent, by list."""
    return {seen.id: seen.held for seen in lists.mine(person, lookup) if seen.held}


def page(
    person: Person, list_id: int, after: int, limit: int
) -> tuple[lists.ListAccess, list[lists.Described]]:
    """Return the list, and its first messages with ids above `after`. Raises NotFound."""
    seen = lists.get_for(person, list_id)
    rows = EVERY.where(Message.list == list_id, Message.id > after).order_by(Message.id)
    return seen, [described(*row) for row in rows.limit(limit).tuples()]


def latest(
    person: Person, list_id: int, before: int | None, limit: int
) -> tuple[lists.ListAccess, list[lists.Described]]:
    """Return the list, and its last messages, those with ids below `before`, the oldest first.

    Raises NotFound.
    """
    seen = lists.get_for(person, list_id)
    rows = EVERY.where(Message.list == list_id).order_by(Message.id.desc()).limit(limit)
    rows = rows.where(Message.id < before) if before else rows
    return seen, [described(*row) for row in rows.tuples()][::-1]


def described(number: int, user: str, words: str, created: str) -> lists.Described:
    """Return a message as change rows hold it."""
    return {"id": number, "user": user, "text": words, "created": created}
