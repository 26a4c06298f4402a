"""Who people are at the provider of single sign-on (OpenID Connect).

Who someone is there is its issuer and their subject, never a name or an address: those can change
hands, and anyone can have taken the same ones here.
"""

import re
import secrets
import unicodedata
from typing import Any

from peewee import CharField, ForeignKeyField

from models import users
from models.errors import Conflict, NotFound
from models.tables import Person, Table, User
from models.text import N_

STRAY = re.compile("[^a-z0-9_.-]+")


class Identity(Table):
    """Who someone is at a provider of single sign-on: `issuer` calls them `subject`."""

    user = ForeignKeyField(User, backref="+")
    issuer = CharField(255)
    subject = CharField(255)

    class Meta:
        indexes = ((("issuer", "subject"), True),)


def find(issuer: str, subject: str) -> Person | None:
    """Return whose identity it is, None when nobody has it."""
    query: Any = User.select(User.id, User.username).join(Identity)
    known = query.where(Identity.issuer == issuer, Identity.subject == subject)
    return next((Person(*row) for row in known.tuples()), None)


def link(person: Person, issuer: str, subject: str) -> None:
    """Let `person` log in with this identity, too. Raises Conflict when it is someone else's."""
    users.recheck_password(person, None)
    owner = find(issuer, subject)
    if owner is None:
        Identity.create(user=person.id, issuer=issuer, subject=subject)
    elif owner.id != person.id:
        raise Conflict("Another account is already linked to this identity.", N_("Already linked"))


def mine(person: Person) -> list[Any]:
    """Return the identities by which someone may log in: id, issuer, subject."""
    query: Any = Identity.select(Identity.id, Identity.issuer, Identity.subject)
    return list(query.where(Identity.user == person.id).order_by(Identity.id).namedtuples())


def unlink(person: Person, identity_id: int) -> None:
    """Let someone log in by an identity no more.

    Raises NotFound, and Conflict when they would have no way in then.
    """
    users.recheck_password(person, None)
    ids = [row.id for row in mine(person)]
    if identity_id not in ids:
        raise NotFound
    if len(ids) == 1 and User.get_by_id(person.id).password is None:
        raise Conflict(
            "Set a password first: this is your only way to log in.", N_("Password needed")
        )
    Identity.delete().where(Identity.id == identity_id).execute()


def find_or_create(issuer: str, subject: str, wanted: str, list_name: str) -> Person:
    """Return whose identity it is; for one that is new, make an account without a password.

    Its user name is like the `wanted` one, and nobody else's.
    """
    person = find(issuer, subject)
    if person:
        users.recheck_password(person, None)
        person = find(issuer, subject)  # unless it was closed, or unlinked, just now
    if person is None:
        person = users.create(list_name, username=free_name(wanted))
        link(person, issuer, subject)
    return person


def free_name(wanted: str) -> str:
    """Return a user name that nobody has, as like to `wanted` as can be."""
    plain = unicodedata.normalize("NFKD", wanted[:100].partition("@")[0]).encode("ascii", "ignore")
    like = STRAY.sub(".", plain.decode().lower()).strip("_.-")[:30] or "someone"
    name, tries = like, 0
    while User.get_or_none(User.username == name):
        name = f"{like}{2 + secrets.randbelow(4**tries)}"  # 2 first, then more and more to choose
        tries += 1
    return users.clean_username(name)
