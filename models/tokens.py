"""Sessions: browsers that are logged in; tokens: programs; and the key that signs cookies.

A key or a token is shown once, to its owner; the database has only its hash.
"""

import functools
import hashlib
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, NamedTuple

from models import lists, text, users
from models.clock import clock, instant, moment, now
from models.database import Given, Prepared
from models.errors import CannotStart, Invalid, NotFound, Quota
from models.tables import Person, Reset, Session, Token, Tries, User
from models.upgrades import refusing, sync_folder

IDLE = timedelta(days=14)
LONGEST = timedelta(days=30)
SEEN_EVERY = timedelta(minutes=10)  # how exactly `last_seen` is kept: most visits write nothing
SCOPES = ("read", "write")  # what a token is for; who may write may read
TOKENS_LIMIT = 50
SESSIONS_LIMIT = 50
SUDO = timedelta(minutes=10)
RESET_WITHIN = timedelta(hours=1)

PERSON = (User.id, *(getattr(User, name) for name in Person._fields[1:]))
LIVE = Prepared(
    Session.select(Session.last_seen, *PERSON)
    .join(User)
    .where(
        Session.hash == Given("hash"),
        Session.created > Given("oldest"),
        Session.last_seen > Given("idlest"),
    )
)
BEARER = Prepared(
    Token.select(Token.last_used, Token.scope, *PERSON)
    .join(User)
    .where(
        Token.hash == Given("hash"),
        Token.expires.is_null() | (Token.expires > Given("now")),
    )
)


class Browser(NamedTuple):
    """What is noted of a session's browser: its IP address, and what it calls itself."""

    address: str
    agent: str


class Visit(NamedTuple):
    """Whose session or token it is, what it is for, and whether to note that it is in use."""

    person: Person
    stale: bool
    scope: str = "write"


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


def log_in(
    person: Person, browser: Browser, old_key: str | None = None, stored: str | None = None
) -> str:
    """Open a session and return its key: 256 random bits (ASVS 7.2.3).

    The session that this browser had before, if any, ends (7.2.4). Raises Forbidden: `users.prove`.
    """
    users.prove(person, stored)
    if old_key:
        log_out(old_key)
    every: Any = Session.select(Session.id).where(Session.user == person.id)
    kept = every.order_by(Session.last_seen.desc(), Session.id.desc()).limit(SESSIONS_LIMIT - 1)
    Session.delete().where(Session.user == person.id, Session.id.not_in(kept)).execute()
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


def sessions(person: Person, key: str) -> list[Any]:
    """Return a person's sessions, that of `key` first, then the last seen.

    Each has id, address, agent, created, last_seen, and whether it is `this` one.
    """
    oldest, idlest, _, _ = limits(int(clock.seconds()))
    this = Session.hash == hash_of(key)
    names = (Session.id, Session.address, Session.agent, Session.created, Session.last_seen)
    query: Any = Session.select(*names, this.alias("this")).where(
        Session.user == person.id, Session.created > oldest, Session.last_seen > idlest
    )
    return list(query.order_by(this.desc(), Session.last_seen.desc()).namedtuples())


def just_came(person: Person, key: str, *, anyone: bool = False) -> bool:
    """Say whether someone who has no password has logged in a moment ago, with the session `key`.

    They are asked for no password, but must be here (ASVS 7.5.1); or `anyone`, password or not.
    """
    recent = instant(moment() - SUDO)
    mine = Session.select().join(User).where(User.id == person.id)
    mine = mine.where(Session.hash == hash_of(key), Session.created > recent)
    return bool((mine if anyone else mine.where(User.password.is_null())).count())


def end_session(person: Person, session_id: int) -> None:
    """End one of a person's sessions. Raises NotFound."""
    if not Session.delete().where(Session.id == session_id, Session.user == person.id).execute():
        raise NotFound


def end_others(person: Person, key: str = "") -> None:
    """End all of a person's sessions but that of `key`."""
    others = (Session.user == person.id, Session.hash != hash_of(key))
    Session.delete().where(*others).execute()


def change_password(
    person: Person, hashed: str, browser: Browser, key: str | None = None, stored: str | None = None
) -> str:
    """Give `person` another password, as `users.hash_password` made it; return a session's key.

    All sessions they had end, and so do links for a new password. Raises Forbidden: `users.prove`.
    """
    users.prove(person, stored)
    User.update(password=hashed).where(User.id == person.id).execute()
    Reset.delete().where(Reset.user == person.id).execute()
    Tries.delete().where(Tries.key == f"name:{person.username}").execute()
    end_others(person)
    return log_in(person, browser, key)


def forgotten(username: str) -> str:
    """Return a key, 256 random bits, for a new password: good once, for an hour (ASVS 6.4).

    Raises NotFound.
    """
    person, _ = users.password_of(username)
    if person is None:
        raise NotFound
    users.prove(person, None)
    key = secrets.token_urlsafe(32)
    ends = instant(moment() + RESET_WITHIN)
    Reset.delete().where((Reset.user == person.id) | (Reset.expires < now())).execute()
    Reset.create(user=person.id, hash=hash_of(key), expires=ends)
    return key


def who_forgot(key: str) -> Person:
    """Return who the key for a new password was made for. Raises NotFound when it's no good."""
    query: Any = Reset.select(User.id, User.username).join(User)
    for row in query.where(Reset.hash == hash_of(key), Reset.expires > now()).tuples():
        return Person(*row)
    raise NotFound


def renew_password(key: str, hashed: str, browser: Browser, old_key: str | None = None) -> str:
    """Use such a key up, and log in; return the session's key. Raises NotFound."""
    lists.LOCK_PERSON(person=who_forgot(key).id)
    person = who_forgot(key)
    return change_password(person, hashed, browser, old_key)


def visit(key: str, look: Callable[..., list[Any]]) -> Visit | None:
    """Return whose session `key` opens: None when it has ended, or is too old or idle."""
    oldest, idlest, stale, _ = limits(int(clock.seconds()))
    for last_seen, *person in look(LIVE, hash=hash_of(key), oldest=oldest, idlest=idlest):
        return Visit(Person(*person), last_seen < stale)
    return None


def give(
    person: Person,
    name: str,
    scope: str = "write",
    expires: str | None = None,
    stored: str | None = None,
) -> dict[str, Any]:
    """Make a token; return its id, its name, and itself: `todo_` and 43 letters (256 bits).

    It ends at the instant `expires`, or never. Raises Invalid, and Forbidden: `users.prove`.
    """
    users.prove(person, stored)
    name = text.line("name", name, 200)
    if scope not in SCOPES:
        raise Invalid("scope", "There is no such scope: read and write are there.")
    Token.delete().where(Token.user == person.id, Token.expires < now()).execute()
    if Token.select().where(Token.user == person.id).count() >= TOKENS_LIMIT:
        limit = TOKENS_LIMIT
        raise Quota("name", "These are enough tokens: at most {limit}.", limit=limit)
    token = f"todo_{secrets.token_urlsafe(32)}"
    made = Token.create(
        user=person.id,
        hash=hash_of(token),
        name=name,
        scope=scope,
        created=now(),
        expires=None if expires is None else ending(expires),
    )
    return {"id": made.id, "name": name, "token": token}


def ending(value: str) -> str:
    """Return an instant to come, given in RFC 3339, as it is stored; raises Invalid."""
    try:
        when = datetime.fromisoformat(value)
        stored = instant(when) if when.tzinfo else ""
    except (ValueError, OverflowError):
        stored = ""
    if not stored:
        raise Invalid("expires", "This is no time like 2027-01-31T12:00:00Z.")
    if stored <= now():
        raise Invalid("expires", "This time has passed.")
    return stored


def mine(person: Person) -> list[dict[str, Any]]:
    """Return the tokens of `person`, without what opens."""
    columns = (Token.id, Token.name, Token.scope, Token.created, Token.last_used, Token.expires)
    query: Any = Token.select(*columns).where(Token.user == person.id).order_by(Token.id)
    return list(query.dicts())


def end(person: Person, token_id: int) -> None:
    """End a token. Raises NotFound when it isn't theirs."""
    if not Token.delete().where(Token.id == token_id, Token.user == person.id).execute():
        raise NotFound


def bearer(authorization: str, look: Callable[..., list[Any]]) -> Visit | None:
    """Return whose token a header brings (RFC 6750), None when it brings none, or an ended one."""
    _, _, stale, at = limits(int(clock.seconds()))
    for last_used, scope, *person in look(BEARER, hash=hash_of(token_in(authorization)), now=at):
        return Visit(Person(*person), (last_used or "") < stale, scope)
    return None


def token_in(authorization: str) -> str:
    """Return the token of an Authorization header, empty when there is none."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def used(authorization: str) -> None:
    """Note that the token is in use."""
    digest = hash_of(token_in(authorization))
    Token.update(last_used=now()).where(Token.hash == digest).execute()


@functools.lru_cache(maxsize=1)
def limits(second: int) -> tuple[str, ...]:
    """Return since when a session was opened, used and noted to be used, if it is in order; now."""
    then = datetime.fromtimestamp(second, UTC)
    return tuple(instant(then - ago) for ago in (LONGEST, IDLE, SEEN_EVERY, timedelta()))


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
        if not path.exists():
            with NamedTemporaryFile("w", dir=path.parent, prefix=f"{path.name}.") as draft:  # 0600
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
