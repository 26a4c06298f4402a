"""Repeats: a unit of work that comes with a key is done once a day, however often it is sent."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from peewee import CharField, ForeignKeyField, TextField

from models.clock import instant, moment, now
from models.database import lock
from models.errors import Conflict
from models.tables import Person, Table, User
from models.text import N_

KEPT = timedelta(hours=24)


class IdempotencyKey(Table):
    """What the unit of work with this key returned, as JSON, for when it is sent again."""

    user = ForeignKeyField(User, backref="+", index=False)
    key = CharField(255)
    answer = TextField()
    at = CharField(24)

    class Meta:
        indexes = ((("user", "key"), True),)


def once(person: Person, key: str, asked: str, unit: Callable[[], Any]) -> Any:
    """Run `unit`, whose answer must be fit for JSON; the second time only return that answer.

    The answer is stored in the same transaction. Raises Conflict when `key` came before with
    something else `asked`.
    """
    lock(User, User.id == person.id)  # a repeat that comes too early waits for the first
    same = (IdempotencyKey.user == person.id, IdempotencyKey.key == key)
    found = IdempotencyKey.get_or_none(*same)
    if found and found.at < instant(moment() - KEPT):
        IdempotencyKey.delete().where(*same).execute()
    elif found:
        before, answer = json.loads(found.answer)
        if before != asked:
            raise Conflict("This was already sent with another request.", N_("Already sent"))
        return answer
    answer = unit()
    IdempotencyKey.create(user=person.id, key=key, answer=json.dumps([asked, answer]), at=now())
    return answer


def expired() -> list[tuple[Any, Any]]:
    """Return which rows can be deleted; see `cleanup.EXPIRED`."""
    return [(IdempotencyKey, IdempotencyKey.at < instant(moment() - KEPT))]
