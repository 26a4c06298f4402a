"""Sessions: browsers that are logged in; and the key that signs their cookies.

A session's key is shown once, to its owner; the database has only its hash.
"""

import functools
import hashlib
import os
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, NamedTuple

from models import users
from models.database import Given, Prepared, instant, now
from models.errors import CannotStart
from models.tables import Person, Session, User
from models.upgrades import refusing, sync_folder

IDLE = timedelta(days=14)
LONGEST = timedelta(days=30)
SEEN_EVERY = timedelta(minutes=10)  # how exactly `last_seen` is kept: most visits write nothing

LIVE = Prepared(
    Session.select(Session.last_seen, User.id, User.username, User.language, User.shortcuts)
    .join(User)
    .where(
        Session.hash == Given("hash"),
        Session.created > Given("oldest"),
        Session.last_seen > Given("idlest"),
    )
)


class Browser(NamedTuple):
    """What is noted of a session's browser: its IP address, and what it calls itself."""

    address: str
    agent: str


class Visit(NamedTuple):
    """Whose session it is, and whether it is time to note that it is in use."""

    person: Person
    stale: bool


def sign_up(
    username: str,
    email: str | None,
    password: str,
    list_name: str,
    browser: Browser,
    old_key: str | None = None,
) -> str:
    """Make an account and log in to it: see `users.sign_up` and `log_in`."""
    person = users.sign_up(username, email, password, list_name)
    return log_in(person, browser, old_key)


def log_in(person: Person, browser: Browser, old_key: str | None = None) -> str:
    """Open a session and return its key: 256 random bits (ASVS 7.2.3).

    The session that this browser had before, if any, ends (7.2.4).
    """
    if old_key:
        log_out(old_key)
    key = secrets.token_urlsafe(32)
    at = now()
    Session.create(
        user=person.id,
        hash=hash_of(key),
        created=at,
        last_seen=at,
        address=browser.address,
        agent=browser.agent[:200],
    )
    return key


def log_out(key: str) -> None:
    """End the session of `key`, if there is one."""
    Session.delete().where(Session.hash == hash_of(key)).execute()


def visit(key: str, look: Callable[..., list[Any]]) -> Visit | None:
    """Return whose session `key` opens: None when it has ended, or is too old or idle."""
    oldest, idlest, stale = limits(int(time.time()))
    for last_seen, *person in look(LIVE, hash=hash_of(key), oldest=oldest, idlest=idlest):
        return Visit(Person(*person), last_seen < stale)
    return None


@functools.lru_cache(maxsize=1)
def limits(second: int) -> tuple[str, ...]:
    """Return since when a session was opened, used, and noted to be used, if it is in order."""
    moment = datetime.fromtimestamp(second, UTC)
    return tuple(instant(moment - ago) for ago in (LONGEST, IDLE, SEEN_EVERY))


def seen(key: str) -> None:
    """Note that the session of `key` is in use."""
    Session.update(last_seen=now()).where(Session.hash == hash_of(key)).execute()


def hash_of(key: str) -> str:
    """Return what is stored of a key. It is random, so a fast hash without salt will do."""
    return hashlib.sha256(key.encode()).hexdigest()


def signing_key(database: Path) -> str:
    """Return the key that signs cookies, from the file beside `database`, made at the first start.

    The file gets its name only when it is whole and on the disk. Raises CannotStart when others
    may read it, or when it is too short to be a secret.
    """
    path = Path(f"{database}.secret")
    with refusing(path):
        return read_key(path)


def read_key(path: Path) -> str:
    """Return the key in the file at `path`, made if missing."""
    if not path.exists():
        with NamedTemporaryFile("w", dir=path.parent, prefix=f"{path.name}.") as draft:  # mode 0600
            draft.write(secrets.token_urlsafe(64))
            draft.flush()
            os.fsync(draft.fileno())
            with suppress(FileExistsError):  # another process was quicker: its key is the one
                os.link(draft.name, path)
        sync_folder(path.parent)
    if path.stat().st_mode & 0o077:
        raise CannotStart(f"Others may read {path}: say chmod 600 {path}")
    key = path.read_text().strip()
    if len(key) < 32:
        raise CannotStart(f"{path} is no good key: delete it, and everyone logs in anew.")
    return key
