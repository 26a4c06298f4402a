"""Links for a new password, good once."""

import secrets
from datetime import timedelta
from typing import Any

from peewee import CharField, ForeignKeyField

from models import users
from models.accounts import change_password
from models.clock import instant, moment, now
from models.database import db, lock
from models.errors import NotFound, StartupError
from models.sessions import Browser, hash_of
from models.tables import Person, Table, User

RESET_WITHIN = timedelta(hours=1)


class PasswordReset(Table):
    """A link for a new password, good once; `hash` is the SHA-256 of the key in it."""

    user = ForeignKeyField(User, backref="+", index=False)
    hash = CharField(64, unique=True)
    expires = CharField(24)


def create_reset(username: str) -> str:
    """Return a key, 256 random bits, for a new password: good once, for an hour (ASVS 6.4).

    Raises NotFound.
    """
    person, _ = users.password_of(username)
    if person is None:
        raise NotFound
    users.recheck_password(person, None)
    key = secrets.token_urlsafe(32)
    ends = instant(moment() + RESET_WITHIN)
    delete_all(person)
    PasswordReset.create(user=person.id, hash=hash_of(key), expires=ends)
    return key


def reset_owner(key: str) -> Person:
    """Return who the key for a new password was made for. Raises NotFound when it's no good."""
    valid = (PasswordReset.hash == hash_of(key), PasswordReset.expires > now())
    query: Any = PasswordReset.select(User.id, User.username).join(User)
    for row in query.where(*valid).tuples():
        return Person(*row)
    raise NotFound


def reset_password(key: str, hashed: str, browser: Browser, old_key: str | None = None) -> str:
    """Use such a key up, and log in; return the session's key. Raises NotFound.

    All other ways in end: who forgot a password may have lost it to someone.
    """
    lock(User, User.id == reset_owner(key).id)
    person = reset_owner(key)
    delete_all(person)
    return change_password(person, hashed, browser, old_key, end_tokens=True)


def delete_all(person: Person) -> None:
    """End all links for a new password of someone; see `accounts.AFTER_PASSWORD_CHANGE`."""
    PasswordReset.delete().where(PasswordReset.user == person.id).execute()


def print_link(app: Any) -> str:
    """Return a link for a new password of --reset_password. Raises StartupError."""
    config = app.config
    app.store.open()
    try:
        with db.connection_context(), db.atomic():
            key = create_reset(config.reset_password)
    except NotFound:
        raise StartupError(f"There is no user {config.reset_password!r}.") from None
    finally:
        app.store.close()
    base = config.public_url.rstrip("/") or f"http://localhost:{config.port}"
    return f"{base}/reset/{key}\nThis link works once, within one hour.\n"
