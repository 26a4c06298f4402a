"""Messages: what the people of a list say to each other."""

from typing import Any

from models import lists, text
from models.database import now
from models.errors import Invalid
from models.tables import Message, Person, User

TEXT_LIMIT = 4000


def say(person: Person, list_id: int, words: str) -> lists.Described:
    """Add a message to the conversation of the list; return it.

    Raises NotFound, Forbidden, Invalid.
    """
    seen = lists.seen_by(person, list_id, "editor")
    words = text.several("text", words, TEXT_LIMIT)
    if text.blank(words):
        raise Invalid("text", "Please write something here.")
    made = Message.create(list=list_id, user=person.id, text=words, created=now())
    message = described(made.id, person.username, words, made.created)
    lists.changed(person, seen, "say", "message", [], [message])
    return message


def page(
    person: Person, list_id: int, after: int, limit: int
) -> tuple[lists.Seen, list[lists.Described]]:
    """Return the list, and its first messages with ids above `after`. Raises NotFound."""
    seen = lists.seen_by(person, list_id)
    query: Any = (
        Message.select(Message.id, User.username, Message.text, Message.created)
        .join(User)
        .where(Message.list == list_id, Message.id > after, Message.deleted_at.is_null())
        .order_by(Message.id)
        .limit(limit)
    )
    return seen, [described(*row) for row in query.tuples()]


def described(number: int, user: str, words: str, created: str) -> lists.Described:
    """Return a message as change rows hold it."""
    return {"id": number, "user": user, "text": words, "created": created}
