"""Sessions: browsers that are logged in.

Only the browser has the key of its session; the database has its hash.
"""

import hashlib
import secrets
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple

from models import users
from models.clock import instant, moment, now
from models.database import Param, PreparedQuery, unit
from models.tables import Person, Session, User

IDLE = timedelta(days=14)
LONGEST = timedelta(days=30)
SEEN_EVERY = timedelta(minutes=10)  # how exactly `last_seen` is kept: most visits write nothing
SESSIONS_LIMIT = 50

PERSON = (User.id, *(getattr(User, name) for name in Person._fields[1:]))
LIVE = PreparedQuery(  # at each request: 10 us; 260 as a plain query (2026-11)
    Session.select(Session.last_seen, *PERSON)
    .join(User)
    .where(
        Session.hash == Param("hash"),
        Session.created > Param("oldest"),
        Session.last_seen > Param("idlest"),
    )
)


class Browser(NamedTuple):
    """What is stored of a session's browser: its IP address, and what it calls itself."""

    address: str
    agent: str


class Visit(NamedTuple):
    """Whose session or token it is, what it is for, and whether to note that it is in use."""

    person: Person
    stale: bool
    scope: str = "write"


@unit
def log_in(
    who: Person | Callable[[], Person],
    browser: Browser,
    old_key: str | None = None,
    stored: str | None = None,
) -> str:
    """Open a session and return its key: 256 random bits (ASVS 7.2.3).

    The session that this browser had before, if any, ends (7.2.4). `who` may be what makes the
    account first, such as `users.sign_up`. Raises Forbidden: see `users.recheck_password`.
    """
    person = who() if callable(who) else who
    users.recheck_password(person, stored)
    if old_key:
        log_out(old_key)
    every: Any = Session.select(Session.id).where(Session.user == person.id)
    kept = every.order_by(Session.last_seen.desc(), Session.id.desc()).limit(SESSIONS_LIMIT - 1)
    Session.delete().where(Session.user == person.id, Session.id.not_in(kept)).execute()
    key, at = secrets.token_urlsafe(32), now()
    seen = {"created": at, "last_seen": at, "agent": browser.agent[:200]}
    Session.create(user=person.id, hash=hash_of(key), address=browser.address, **seen)
    return key


@unit
def log_out(key: str) -> None:
    """End the session of `key`, if there is one."""
    Session.delete().where(Session.hash == hash_of(key)).execute()


def session_for(key: str, lookup: Callable[..., list[Any]]) -> Visit | None:
    """Return whose session `key` opens: None when it has ended, or is too old or idle."""
    oldest, idlest, stale, _ = limits()
    for last_seen, *person in lookup(LIVE, hash=hash_of(key), oldest=oldest, idlest=idlest):
        return Visit(Person(*person), last_seen < stale)
    return None


def limits() -> tuple[str, ...]:
    """Return since when a session was opened, used and marked as used to be valid; and now."""
    then = moment()
    return tuple(instant(then - ago) for ago in (LONGEST, IDLE, SEEN_EVERY, timedelta()))


def touch(key: str) -> None:
    """Store that the session of `key` is in use."""
    Session.update(last_seen=now()).where(Session.hash == hash_of(key)).execute()


def hash_of(key: str) -> str:
    """Return what is stored of a key. It is random, so a fast hash without salt will do."""
    return hashlib.sha256(key.encode()).hexdigest()
