"""Who has which list open, as other processes know it."""

from collections.abc import Callable, Collection
from datetime import timedelta
from typing import Any

from peewee import CharField, ForeignKeyField

from models.clock import instant, moment, now
from models.database import Param, PreparedQuery
from models.tables import List, Table, User

BELIEVED_FOR = timedelta(seconds=40)  # how long another process is believed who is there


class Presence(Table):
    """Who has a list open in one of the server's processes, as of the instant `at`."""

    process = CharField(32)
    list = ForeignKeyField(List, backref="+", index=False)
    user = ForeignKeyField(User, backref="+", index=False)
    at = CharField(24)


ELSEWHERE = PreparedQuery(
    Presence.select(Presence.list, User.username)
    .join(User)
    .where(User.presence, Presence.process != Param("process"), Presence.at > Param("since"))
)


def store(process: str, places: Collection[tuple[int, int]]) -> None:
    """Store who has which list open in a process, as ids of lists and people; nobody else has."""
    at = now()
    old = Presence.at < instant(moment() - BELIEVED_FOR)
    Presence.delete().where((Presence.process == process) | old).execute()
    rows = [{"process": process, "list": a, "user": b, "at": at} for a, b in places]
    if rows:
        Presence.insert_many(rows).execute()


def elsewhere(process: str, lookup: Callable[..., list[Any]]) -> list[tuple[int, str]]:
    """Return list and name of those who have one open in another process."""
    since = instant(moment() - BELIEVED_FOR)
    return lookup(ELSEWHERE, process=process, since=since)


def fix_future(at: str, soon: str) -> None:
    """Forget what was stored while the clock was set too late; see `cleanup.FUTURE`."""
    Presence.delete().where(Presence.at > soon).execute()
