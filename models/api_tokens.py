"""API tokens: how programs authenticate.

A token is shown once, to its owner; the database has only its hash.
"""

import secrets
from collections.abc import Callable
from datetime import datetime
from typing import Any

from peewee import CharField, ForeignKeyField

from models import text, users
from models.clock import instant, now
from models.database import Param, PreparedQuery
from models.errors import Invalid, NotFound, Quota
from models.sessions import PERSON, Visit, hash_of, limits
from models.tables import Person, Table, User

SCOPES = ("read", "write")  # what a token is for; who may write may read
TOKENS_LIMIT = 50


class Token(Table):
    """A program's way in; `hash` is the SHA-256 of the token, `scope` one of SCOPES."""

    user = ForeignKeyField(User, backref="+")
    hash = CharField(64, unique=True)
    name = CharField(200)
    scope = CharField(5)
    created = CharField(24)
    last_used = CharField(24, null=True)
    expires = CharField(24, null=True)


BEARER = PreparedQuery(  # at each request of a program, as `sessions.LIVE` at others
    Token.select(Token.last_used, Token.scope, *PERSON)
    .join(User)
    .where(
        Token.hash == Param("hash"),
        Token.expires.is_null() | (Token.expires > Param("now")),
    )
)


def create(
    person: Person,
    name: str,
    scope: str = "write",
    expires: str | None = None,
    stored: str | None = None,
) -> dict[str, Any]:
    """Make a token; return its id, its name, and itself: `todo_` and 43 letters (256 bits).

    It ends at the instant `expires`, or never. Raises Invalid, and Forbidden: see
    `users.recheck_password`.
    """
    users.recheck_password(person, stored)
    name = text.line("name", name, 200)
    if scope not in SCOPES:
        raise Invalid("scope", "Unknown scope: use read or write.")
    Token.delete().where(Token.user == person.id, Token.expires < now()).execute()
    if Token.select().where(Token.user == person.id).count() >= TOKENS_LIMIT:
        raise Quota("name", "Limit reached: {limit} tokens.", limit=TOKENS_LIMIT)
    token = f"todo_{secrets.token_urlsafe(32)}"
    ends = None if expires is None else ending(expires)
    about = {"name": name, "scope": scope, "created": now(), "expires": ends}
    made = Token.create(user=person.id, hash=hash_of(token), **about)
    return {"id": made.id, "name": name, "token": token}


def ending(value: str) -> str:
    """Return an instant to come, given in RFC 3339, as it is stored; raises Invalid."""
    try:
        when = datetime.fromisoformat(value)
        stored = instant(when) if when.tzinfo else ""
    except (ValueError, OverflowError):
        stored = ""
    if not stored:
        raise Invalid("expires", "Invalid time: use a format like 2027-01-31T12:00:00Z.")
    if stored <= now():
        raise Invalid("expires", "This time is in the past.")
    return stored


def mine(person: Person) -> list[dict[str, Any]]:
    """Return the tokens of `person`, without what opens."""
    columns = (Token.id, Token.name, Token.scope, Token.created, Token.last_used, Token.expires)
    query: Any = Token.select(*columns).where(Token.user == person.id).order_by(Token.id)
    return list(query.dicts())


def delete(person: Person, token_id: int) -> None:
    """End a token. Raises NotFound when it isn't theirs."""
    if not Token.delete().where(Token.id == token_id, Token.user == person.id).execute():
        raise NotFound


def delete_all(person: Person) -> None:
    """End all tokens of someone; see `accounts.END_TOKENS`."""
    Token.delete().where(Token.user == person.id).execute()


def token_for(authorization: str, lookup: Callable[..., list[Any]]) -> Visit | None:
    """Return whose token a header brings (RFC 6750), None when it brings none, or an ended one."""
    _, _, stale, at = limits()
    for last_used, scope, *person in lookup(BEARER, hash=hash_of(token_in(authorization)), now=at):
        return Visit(Person(*person), (last_used or "") < stale, scope)
    return None


def token_in(authorization: str) -> str:
    """Return the token of an Authorization header, empty when there is none."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def touch(authorization: str) -> None:
    digest = hash_of(token_in(authorization))
    Token.update(last_used=now()).where(Token.hash == digest).execute()
