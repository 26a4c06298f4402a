"""Periodic jobs, which any process may do; and which rows are deleted when nobody needs them.

These are rows whose instant `expires` or `deleted_at` is past, those of lists that are gone, and
others that `expired` has rules for. They are deleted in units of at most SLICE rows. The newest
row of a table stays: SQLite would give its id to the next one, and ids are what links and news go
by.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from peewee import BigIntegerField, CharField, fn

from models import lists, sessions
from models.clock import instant, moment, now
from models.tables import Change, List, Session, Table, with_column

SLICE = 500
HISTORY = timedelta(days=365)  # how long it is kept what a change was
LEASE = timedelta(minutes=30)  # after which a process that began a job is taken for dead
FARTHEST = timedelta(days=8)  # no job is due later, unless a clock was set back
Rule = tuple[Any, Any]  # a table, and the condition of rows that nobody needs
BEFORE: list[
    Callable[[Any, Any], None]
] = []  # what extras do before rows are deleted: see extras.py
# The rules of extras, and what they do about instants in the future: both filled by extras.py.
EXPIRED: list[Callable[[], list[Rule]]] = []
FUTURE: list[Callable[[str, str], None]] = []  # take now, and a minute later


class Job(Table):
    """A periodic job: when it is due, and how often in a row it failed.

    `cursor` is the id of the last change that it has read, where it follows those.
    """

    name = CharField(40, unique=True)
    due = CharField(24)
    failures = BigIntegerField()
    cursor = BigIntegerField(default=0)


def claim(name: str) -> str | None:
    """Return a claim to do the job now, None when it isn't due or another process does it."""
    at, ends = now(), instant(moment() + LEASE)
    Job.insert(name=name, due=at, failures=0).on_conflict_ignore().execute()
    due = (Job.due <= at) | (Job.due > instant(moment() + FARTHEST))
    claimed = Job.update(due=ends).where(Job.name == name, due).execute()
    return ends if claimed else None


def is_behind(name: str) -> bool:
    """Say whether there are changes of lists after the cursor of a job."""
    newest = Change.select(fn.MAX(Change.id)).scalar() or 0
    return bool(newest > (Job.select(Job.cursor).where(Job.name == name).scalar() or 0))


def follow(name: str, read: Callable[[int], int]) -> bool:
    """Have a job read the changes after its cursor; say whether it got any further.

    `read` takes the id of a change, and returns the id to go on after. As two processes may read
    the same changes, doing so twice must be the same as once.
    """
    Job.insert(name=name, due=now(), failures=0).on_conflict_ignore().execute()
    cursor = read(Job.get(Job.name == name).cursor)
    moved = Job.update(cursor=cursor).where(Job.name == name, Job.cursor < cursor)
    return bool(moved.execute())


def done(name: str, claimed: str, seconds: float, failures: int = 0) -> None:
    """Record that a job was done; it is due again in so many seconds."""
    due = instant(moment() + timedelta(seconds=seconds))
    Job.update(due=due, failures=failures).where(Job.name == name, Job.due == claimed).execute()


def failed(name: str, claimed: str) -> None:
    """Record that a job has failed; it is due again in 2 minutes, then 4, at last in 8 hours."""
    failures = Job.select(Job.failures).where(Job.name == name).scalar() + 1
    done(name, claimed, 60 * min(2**failures, 480), failures)


def expired() -> list[Rule]:
    """Return, table by table, which rows nobody needs any more."""
    oldest, idlest, _, at = sessions.limits()
    year, gone = instant(moment() - HISTORY), lists.trash_begins()
    dead: Any = List.select(List.id).where(List.deleted_at < gone)
    recent = Change.select(fn.MIN(Change.id)).where(Change.at >= year)
    last = List.select(List.version).where(List.id == Change.list)
    rules: list[Rule] = [
        (Session, (Session.created < oldest) | (Session.last_seen < idlest)),
        (Change, (Change.id < recent) & (Change.version < last)),
    ]
    of_lists = with_column("list")
    rules += [(table, table.list.in_(dead)) for table in of_lists]
    rules += [(t, t.deleted_at < gone) for t in with_column("deleted_at") if t is not List]
    # Tokens, which may have no end, are shown to their owners.
    rules += [(t, t.expires < at) for t in with_column("expires") if not t.expires.null]
    for rule in EXPIRED:
        rules += rule()
    conditions: dict[Any, Any] = {}
    for table, condition in rules:  # each table is searched once
        conditions[table] = conditions[table] | condition if table in conditions else condition
    unneeded = List.deleted_at < gone
    for table in of_lists:
        unneeded &= ~fn.EXISTS(table.select(table.id).where(table.list == List.id))
    return [*conditions.items(), (List, unneeded)]


def delete_expired(number: int) -> bool:
    """Delete some of the rows of rule `number` of `expired`; say whether there are more."""
    table, condition = expired()[number]
    newest = table.select(fn.MAX(table.id))
    some = table.select(table.id).where(condition, table.id < newest).limit(SLICE)
    these = table.id.in_(some)
    for rule in BEFORE:
        rule(table, these)
    return bool(table.delete().where(these).execute() == SLICE)


def fix_future_timestamps() -> None:
    """Bring back to today what was stored while the clock was set too late."""
    at, soon = now(), instant(moment() + timedelta(minutes=1))
    Session.update(created=at, last_seen=at).where(Session.created > soon).execute()
    for fix in FUTURE:
        fix(at, soon)
