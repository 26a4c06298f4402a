"""Repeats: a unit of work that comes with a key is done once a day, however often it is sent."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from models import lists
from models.clock import instant, moment, now
from models.database import Later, Param, PreparedQuery
from models.errors import Conflict
from models.tables import IdempotencyKey, Person

FIND = PreparedQuery(
    IdempotencyKey.select(IdempotencyKey.answer, IdempotencyKey.at).where(
        IdempotencyKey.user == Param("user"), IdempotencyKey.key == Param("key")
    )
)
FORGET = Later(
    IdempotencyKey.delete().where(
        IdempotencyKey.user == Param("user"), IdempotencyKey.key == Param("key")
    )
)
KEPT = timedelta(hours=24)
NOTE = Later(IdempotencyKey.insert({name: Param(name) for name in ("user", "key", "answer", "at")}))


def once(person: Person, key: str, asked: str, unit: Callable[[], Any]) -> Any:
    """Run `unit`, whose answer must be fit for JSON; the second time only return that answer.

    The answer is noted in the same transaction. Raises Conflict when `key` came before with
    something else `asked`.
    """
    lists.LOCK_PERSON(person=person.id)  # a repeat that comes too early waits for the first
    for row, at in FIND(user=person.id, key=key):
        if at < instant(moment() - KEPT):
            FORGET(user=person.id, key=key)
            break
        before, answer = json.loads(row)
        if before != asked:
            raise Conflict("This was already sent with another request.")
        return answer
    answer = unit()
    NOTE(user=person.id, key=key, answer=json.dumps([asked, answer]), at=now())
    return answer
