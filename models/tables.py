"""The tables of the core. An extra's are in its own module; the verbs in those named after them.

Instants are RFC 3339 text in UTC (`clock.now`): they compare, print and travel as they are.
`models/migrations/` makes these tables; a check compares the two.
"""

from typing import Any, ClassVar, NamedTuple

from peewee import (
    BigAutoField,
    BigIntegerField,
    BooleanField,
    Case,
    CharField,
    DoubleField,
    ForeignKeyField,
    Model,
    TextField,
)

from models.database import db, lock
from models.errors import Forbidden

LONG_AGO = "1970-01-01T00:00:00.000Z"


class Table(Model):
    """What every table has.

    `save()`, `create()` and `delete()` do what peewee says and no more: no right is checked, no
    version is raised, no change is recorded, and no open page hears of it. The verbs do all that.

    Rows go with the list or the account that they refer to by `list` or `user`. Where `blank` isn't
    None they stay, for the others of the list; with the list they become what it says.
    """

    blank: ClassVar[dict[str, Any] | None] = None
    id = BigAutoField()

    class Meta:
        database = db
        legacy_table_names = False  # RateLimit is rate_limit


def with_column(name: str) -> list[Any]:
    """Return the tables that have a column of that name, those of extras too."""
    return [table for table in Table.__subclasses__() if hasattr(table, name)]


class User(Table):
    """A person with an account: the folded name, an argon2id hash, an address, and preferences.

    `language` is one of `accounts.LANGUAGES`, null for the browser's; `shortcuts` are single keys;
    `presence` is whether others see where they are, `delay_messages` whether their messages wait
    before they are sent; `timezone` is the name of theirs, null for UTC.
    """

    username = CharField(40, unique=True)
    password = CharField(null=True)
    email = CharField(254, null=True)
    join_date = CharField(24)
    language = CharField(10, null=True)
    shortcuts = BooleanField(default=True)
    presence = BooleanField(default=True)
    delay_messages = BooleanField(default=False)
    timezone = CharField(64, null=True)


# What others call someone; null for who has closed their account.
CALLED: Any = Case(None, [(User.username.startswith("gone:"), None)], User.username)


class Session(Table):
    """A browser that is logged in; `hash` is the SHA-256 of the key in its cookie."""

    user = ForeignKeyField(User, backref="+")
    hash = CharField(64, unique=True)
    created = CharField(24)
    last_seen = CharField(24)
    address = CharField(45)
    agent = CharField(200)


class List(Table):
    """A list of todos. `version` counts its changes, making it is the first.

    `open` counts what is left to do, `total` all outside the trash, `people` who share it;
    `lists.record_change` keeps them. `revision` is raised when pages of the list show something
    else without a change of it, as when the title of a link has arrived.
    """

    name = CharField(200)
    version = BigIntegerField()
    open = BigIntegerField(default=0)
    total = BigIntegerField(default=0)
    people = BigIntegerField(default=1)
    deleted_at = CharField(24, null=True)
    revision = BigIntegerField(default=0, index=True)


class Member(Table):
    """Someone's place in a list, the list's place among theirs, and the last message they read."""

    list = ForeignKeyField(List, backref="+", index=False)
    user = ForeignKeyField(User, backref="+")
    role = CharField(6)
    position = DoubleField()
    last_read_message = BigIntegerField(default=0)
    accepted = BooleanField(default=True)  # or made; else someone added them

    class Meta:
        indexes = ((("list", "user"), True),)


class Todo(Table):
    """A thing to do. `version` is the list's version at its last change.

    `added_by` and `completed_by` are who did that, `assigned_to` is who should do it, `written_by`
    who has written its text since. `due.py` and `recurrence.py` have more of the last columns.
    """

    blank = {"title": "", "notes": "", "deleted_at": LONG_AGO}  # noqa: RUF012
    list = ForeignKeyField(List, backref="+", index=False)
    title = CharField(1000)
    notes = TextField()
    completed_at = CharField(24, null=True)
    position = DoubleField()
    created = CharField(24)
    updated = CharField(24)
    version = BigIntegerField()
    deleted_at = CharField(24, null=True)
    added_by = ForeignKeyField(User, backref="+", index=False, null=True)
    completed_by = ForeignKeyField(User, backref="+", index=False, null=True)
    assigned_to = ForeignKeyField(User, backref="+", index=False, null=True)
    written_by = ForeignKeyField(User, backref="+", index=False, null=True)
    due = CharField(10, null=True)
    due_time = CharField(5, null=True)
    due_zone = CharField(64, null=True)
    repeat_from = CharField(4, null=True)
    repeat = CharField(255, null=True)

    class Meta:
        indexes = ((("list", "position"), False),)


class Change(Table):
    """What one unit of work did to a list: JSON arrays of the rows it touched, before and after.

    These hold only what has changed. `title` is what the first of `touched` rows is called, and
    `former` what it was called before, null for a new one and one that is gone: for history, which
    reads no arrays. What undoes or redoes a change says which: `origin`, its id, and `origin_verb`.
    A list's versions run 1, 2, 3, ... without a gap, each with its row here.
    """

    blank = {"before": "[]", "after": "[]", "title": "", "former": None}  # noqa: RUF012
    list = ForeignKeyField(List, backref="+", index=False)
    version = BigIntegerField()
    user = ForeignKeyField(User, backref="+", index=False)
    verb = CharField(20)
    kind = CharField(10)
    title = TextField()
    former = TextField(null=True)
    touched = BigIntegerField()
    before = TextField()
    after = TextField()
    at = CharField(24)
    origin = BigIntegerField(null=True)
    origin_verb = CharField(20, null=True)

    class Meta:
        indexes = ((("list", "version"), True),)


class Person(NamedTuple):
    """Who is acting: what every unit of work takes first."""

    id: int
    username: str
    language: str | None = None
    shortcuts: bool = True
    presence: bool = True
    delay_messages: bool = False
    timezone: str | None = None


def lock_account(person: Person) -> None:
    """Keep an account as it is until COMMIT. Raises Forbidden if it was closed meanwhile."""
    lock(User, User.id == person.id)
    if not User.select().where(User.id == person.id, CALLED.is_null(False)).exists():
        raise Forbidden
