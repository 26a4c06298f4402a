"""Messages: what the people of a list say to each other."""

import json
from typing import Any

from peewee import fn

from models import lists, text
from models.database import Given, Lock, now
from models.errors import Forbidden, Invalid, NotFound
from models.tables import Change, List, Member, Message, Person, User

TEXT_LIMIT = 4000
EVERY: Any = (
    Message.select(Message.id, User.username, Message.text, Message.created)
    .join(User)
    .where(Message.deleted_at.is_null())
)
LIST_OF = Message.select(Message.list).where(Message.id == Given("message"))
LOCK = Lock(List.select(List.id).where(List.id == LIST_OF))


def say(person: Person, list_id: int, words: str) -> lists.Described:
    """Add a message to the conversation of the list; return it. What was said before is read.

    Raises NotFound, Forbidden, Invalid.
    """
    seen = lists.seen_by(person, list_id, "say")
    words = text.several("text", words, TEXT_LIMIT)
    if text.blank(words):
        raise Invalid("text", "Please write something here.")
    made = Message.create(list=list_id, user=person.id, text=words, created=now())
    message = described(made.id, person.username, words, made.created)
    lists.changed(person, seen, "say", "message", [], [message])
    read(person, list_id, made.id)
    return message


def take_back(person: Person, message_id: int) -> int:
    """Delete a message of one's own; return its list's id. Raises NotFound, Forbidden.

    Nobody can read it any more, in the changes of the list neither.
    """
    LOCK(message=message_id)
    for row in EVERY.select_extend(Message.list).where(Message.id == message_id).tuples():
        *message, list_id = row
        seen = lists.seen_by(person, list_id, "say")
        if message[1] != person.username:
            raise Forbidden
        Message.update(deleted_at=now()).where(Message.id == message_id).execute()
        gone = described(*message) | {"text": ""}
        told = Change.list == list_id, Change.verb == "say", Change.kind == "message"
        of_it = Change.after.startswith(f'[{{"id": {message_id}, ')
        Change.update(after=json.dumps([gone])).where(*told, of_it).execute()
        lists.changed(person, seen, "delete", "message", [gone], [])
        return int(list_id)
    raise NotFound


def read(person: Person, list_id: int, message_id: int) -> None:
    """Note that `person` has read the conversation up to a message."""
    place = (Member.user == person.id, Member.list == list_id, Member.read < message_id)
    Member.update(read=message_id).where(*place).execute()


def read_all(person: Person, list_id: int) -> None:
    """Note that `person` has read the whole conversation."""
    last = Message.select(fn.MAX(Message.id)).where(Message.list == list_id).scalar()
    read(person, list_id, last or 0)


def page(
    person: Person, list_id: int, after: int, limit: int
) -> tuple[lists.Seen, list[lists.Described]]:
    """Return the list, and its first messages with ids above `after`. Raises NotFound."""
    seen = lists.seen_by(person, list_id)
    rows = EVERY.where(Message.list == list_id, Message.id > after).order_by(Message.id)
    return seen, [described(*row) for row in rows.limit(limit).tuples()]


def latest(
    person: Person, list_id: int, before: int | None, limit: int
) -> tuple[lists.Seen, list[lists.Described]]:
    """Return the list, and its last messages, those with ids below `before`, the oldest first.

    Raises NotFound.
    """
    seen = lists.seen_by(person, list_id)
    rows = EVERY.where(Message.list == list_id).order_by(Message.id.desc()).limit(limit)
    rows = rows.where(Message.id < before) if before else rows
    return seen, [described(*row) for row in rows.tuples()][::-1]


def described(number: int, user: str, words: str, created: str) -> lists.Described:
    """Return a message as change rows hold it."""
    return {"id": number, "user": user, "text": words, "created": created}
