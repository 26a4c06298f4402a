"""What only the account pages do: preferences, a new password, and ending sessions."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

from models import sessions, users
from models.clock import instant, moment
from models.database import unit
from models.errors import Forbidden, Invalid, NotFound
from models.tables import Person, Session, User, lock_account

T = TypeVar("T")

LANGUAGES = {"en": "English", "fr": "Français", "pt_BR": "Português do Brasil"}
SWITCHES = ("shortcuts", "presence", "delay_messages")
SUDO = timedelta(minutes=10)
# What extras do in the same transaction after a new password; filled by extras.py.
AFTER_PASSWORD_CHANGE: list[Callable[[Person], None]] = []
# And if they are asked to: end what programs log in with. The API fills it.
END_TOKENS: list[Callable[[Person], None]] = []


@unit
def in_session(person: Person, key: str, work: Callable[[], T]) -> T:
    """Do what lasts longer than a session, and return what it does, if that is still open.

    A new password and closing the account end it; that it was open when the request came is not
    enough. Raises Forbidden.
    """
    lock_account(person)
    mine = (Session.user == person.id, Session.hash == sessions.hash_of(key))
    if not Session.select().where(*mine).exists():
        raise Forbidden
    return work()


def email_of(person: Person) -> str:
    """Return someone's e-mail address, empty when they gave none."""
    return User.get_by_id(person.id).email or ""


@unit
def set_email(person: Person, email: str, stored: str | None = None) -> None:
    """Store someone's e-mail address, or that they have none. Raises Invalid, Forbidden."""
    users.recheck_password(person, stored)
    User.update(email=users.clean_email(email)).where(User.id == person.id).execute()


def clean_language(code: str) -> str | None:
    """Return one of LANGUAGES, None for the browser's. Raises Invalid."""
    if code and code not in LANGUAGES:
        raise Invalid("language", "Unsupported language.")
    return code or None


# What one may choose, by its column: how it is cleaned. extras.py adds more.
CHOICES: dict[str, Callable[[str], str | None]] = {"language": clean_language}


@unit
def prefer(person: Person, **given: Any) -> None:
    """Store how `person` wants their pages: some of CHOICES and of SWITCHES. Raises Invalid."""
    values = {name: CHOICES[name](v) if name in CHOICES else v for name, v in given.items()}
    if values:
        User.update(values).where(User.id == person.id).execute()


@unit
def change_password(
    person: Person,
    hashed: str,
    browser: sessions.Browser,
    key: str | None = None,
    stored: str | None = None,
    *,
    end_tokens: bool = False,
) -> str:
    """Give `person` another password, as `users.hash_password` made it; return a session's key.

    All sessions they had end, and with `end_tokens` their API tokens. Raises Forbidden: see
    `users.recheck_password`.
    """
    users.recheck_password(person, stored)
    User.update(password=hashed).where(User.id == person.id).execute()
    for rule in (*AFTER_PASSWORD_CHANGE, *(END_TOKENS if end_tokens else ())):
        rule(person)
    end_others(person)
    return sessions.log_in(person, browser, key)


def open_sessions(person: Person, key: str) -> list[Any]:
    """Return a person's sessions, that of `key` first, then the last seen.

    Each has id, address, agent, created, last_seen, and whether it is `this` one.
    """
    oldest, idlest, _, _ = sessions.limits()
    this = Session.hash == sessions.hash_of(key)
    names = (Session.id, Session.address, Session.agent, Session.created, Session.last_seen)
    query: Any = Session.select(*names, this.alias("this")).where(
        Session.user == person.id, Session.created > oldest, Session.last_seen > idlest
    )
    return list(query.order_by(this.desc(), Session.last_seen.desc()).namedtuples())


def recently_logged_in(person: Person, key: str, *, anyone: bool = False) -> bool:
    """Say whether someone who has no password has logged in a moment ago, with the session `key`.

    They are asked for no password, but must be here (ASVS 7.5.1); or `anyone`, password or not.
    """
    recent = instant(moment() - SUDO)
    mine = Session.select().join(User).where(User.id == person.id)
    mine = mine.where(Session.hash == sessions.hash_of(key), Session.created > recent)
    return bool((mine if anyone else mine.where(User.password.is_null())).count())


@unit
def end_session(person: Person, session_id: int) -> None:
    """End one of a person's sessions. Raises NotFound."""
    if not Session.delete().where(Session.id == session_id, Session.user == person.id).execute():
        raise NotFound


@unit
def end_others(person: Person, key: str = "") -> None:
    """End all of a person's sessions but that of `key`."""
    others = (Session.user == person.id, Session.hash != sessions.hash_of(key))
    Session.delete().where(*others).execute()
