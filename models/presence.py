"""Who has which list open, as the processes tell each other where there is no Redis."""

from collections.abc import Collection
from datetime import timedelta
from typing import Any

from peewee import CharField, ForeignKeyField

from models.clock import instant, moment, now
from models.tables import List, Table, User

BELIEVED_FOR = timedelta(seconds=40)  # how long what another process has stored counts


class Presence(Table):
    """A user who had a list open in a process at the instant `at`."""

    process = CharField(32)
    list = ForeignKeyField(List, backref="+", index=False)
    user = ForeignKeyField(User, backref="+", index=False)
    at = CharField(24)


def store(process: str, places: Collection[tuple[int, int]]) -> None:
    """Replace what a process has stored by these ids of lists and users."""
    at = now()
    old = Presence.at < instant(moment() - BELIEVED_FOR)
    Presence.delete().where((Presence.process == process) | old).execute()
    rows = [{"process": process, "list": a, "user": b, "at": at} for a, b in places]
    if rows:
        Presence.insert_many(rows).execute()


def visible(process: str, users: Collection[int]) -> tuple[dict[int, str], list[tuple[int, str]]]:
    """Return the names of those of `users` who show where they are, and who is in other processes.

    That is a list and a name each. Who has switched it off is in neither.
    """
    named: Any = User.select(User.id, User.username).where(User.id.in_([*users]), User.presence)
    since = instant(moment() - BELIEVED_FOR)
    elsewhere: Any = Presence.select(Presence.list, User.username).join(User)
    fresh = elsewhere.where(User.presence, Presence.process != process, Presence.at > since)
    return dict(named.tuples()), list(fresh.tuples())


def fix_future(at: str, soon: str) -> None:
    """Forget what was stored while the clock was set too late; see `cleanup.FUTURE`."""
    Presence.delete().where(Presence.at > soon).execute()
