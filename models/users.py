"""People: their names and their passwords."""

import re
import threading
import unicodedata
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from peewee import IntegrityError

from models import lists, text
from models.clock import now
from models.database import unit
from models.errors import Forbidden, Invalid
from models.tables import CALLED, Person, User, lock_account
from models.text import N_

USERNAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,39}")
EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f]{1,64}@[^@\s\x00-\x1f\x7f]{1,189}")
PASSWORD_LIMIT = 1024
judging = threading.Lock()  # zxcvbn keeps the words of the one it judges in a global
LEAST_SCORE = 2  # of zxcvbn's 0 to 4: from here on a guesser needs a million tries or more

NO_ACCENTS = N_("Usernames can't have accents or special letters: use only a to z.")
NO_NAME = N_(
    "Use up to 40 letters a to z, digits and . _ - with a letter or digit first, no spaces."
)

# OWASP's profile: 19 MiB, some 25 ms; one lane, so that a hash takes no more than its own core.
hasher = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)
# Checked for names that don't exist, so that they take the same time; nothing is known to match.
NOBODY = f"$argon2id$v=19$m=19456,t=2,p=1${'A' * 22}${'A' * 43}"


def fold(username: str) -> str:
    """Return the one form in which a name is stored and looked for, empty for what is no name.

    What is far too long is not even looked at: normalising it could take minutes.
    """
    if len(username) > 100:
        return ""
    folded = unicodedata.normalize("NFKC", username).casefold().strip()
    return folded if USERNAME.fullmatch(folded) else ""


def clean_username(username: str) -> str:
    """Return the folded name; raises Invalid when it can't be one."""
    folded = fold(username)
    if not folded:
        composed = unicodedata.normalize("NFKC", username[:100]).casefold()
        special = any(unicodedata.category(c)[0] in "LM" and not c.isascii() for c in composed)
        raise Invalid("username", NO_ACCENTS if special else NO_NAME)
    return folded


def clean_email(email: str) -> str | None:
    """Return the address, None when the field was left empty; raises Invalid if it isn't one."""
    email = email.strip()
    if email and not EMAIL.fullmatch(email):
        raise Invalid("email", "This isn't a valid e-mail address.")
    return email or None


def hash_password(password: str, *own_words: str) -> str:
    """Judge a new password and return its hash. Takes up to 250 ms of CPU: not on the event loop.

    Raises Invalid when it is shorter than 8 characters (ASVS 6.2.1) or easily guessed, also by
    someone who knows `own_words`, such as the name. There are no rules of composition (6.2.5).
    """
    if len(password) < 8:
        raise Invalid("password", "A password needs at least 8 characters.")
    text.check("password", password, PASSWORD_LIMIT)
    from zxcvbn import zxcvbn  # 13 MB, only to choose a password

    with judging:
        judged = zxcvbn(password[:24], [*own_words, "afazeres"])  # its work grows very fast
    if judged["score"] < LEAST_SCORE:
        raise Invalid("password", "This password is easy to guess. Several words would be better.")
    return hasher.hash(unicodedata.normalize("NFC", password))


def password_fits(password: str, stored: str | None) -> bool:
    """Say whether `password` matches the stored hash; without one, no, after the same work.

    Takes some 25 ms of CPU: not on the event loop.
    """
    if len(password) > PASSWORD_LIMIT:
        return False
    try:
        return hasher.verify(stored or NOBODY, unicodedata.normalize("NFC", password))
    except VerificationError:
        return False


def password_of(username: str) -> tuple[Person | None, str | None]:
    """Return the person of that name and the hash of their password, or Nones."""
    user = User.get_or_none(User.username == fold(username))
    return (Person(user.id, user.username), user.password) if user else (None, None)


def names(ids: set[int]) -> dict[int, str]:
    """Return the names of the people with these ids, but of those who have closed their account."""
    query: Any = User.select(User.id, User.username).where(User.id.in_(list(ids)))
    return dict(query.where(CALLED.is_null(False)).tuples()) if ids else {}


def recheck_password(person: Person, stored: str | None) -> None:
    """Raise Forbidden unless `stored`, if given, is still the hash of the person's password.

    It was checked in another transaction, long before: a hash takes its time. From now on until
    COMMIT the account is locked.
    """
    lock_account(person)
    if stored is not None:
        theirs = (User.id == person.id, User.password == stored)
        if not User.select().where(*theirs).exists():
            raise Forbidden


@unit
def sign_up(
    username: str, email: str | None, password: str | None, list_name: str, **more: Any
) -> Person:
    """Make an account, and a list of its own; `password` is what `hash_password` returned.

    In a shell it may be the password itself. Raises Invalid, also when the name is taken.
    """
    if password and not password.startswith("$argon2id$"):
        password = hash_password(password, username)
    try:
        more |= {"username": clean_username(username), "email": email, "password": password}
        return create(list_name, **more)
    except IntegrityError:  # the unique index decides: looking first would leave a gap
        raise Invalid("username", "That username is taken.") from None


def create(list_name: str, **columns: Any) -> Person:
    """Do what `sign_up` does. Raises peewee's IntegrityError when someone has the name already."""
    user = User.create(join_date=now(), **columns)
    person = Person(user.id, user.username)
    lists.create(person, list_name)
    return person
