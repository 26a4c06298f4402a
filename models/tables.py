"""Every table of the house on one screen. The verbs are in the modules named after them.

Instants are RFC 3339 text in UTC (`database.now`): they compare, print and travel as they are.
`models/upgrades/` makes these tables; a check compares the two.
"""

from typing import Any, NamedTuple

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

from models.database import db


class Table(Model):
    """What every table has."""

    id = BigAutoField()

    class Meta:
        database = db
        legacy_table_names = False  # IdempotencyKey is idempotency_key


class User(Table):
    """A person with an account: the folded name, an argon2id hash, an address, and preferences.

    `language` is one of `users.LANGUAGES`, null for the browser's; `shortcuts` are single keys;
    `presence` is whether others see where they are, `delay_messages` whether messages wait before they are sent.
    """

    username = CharField(40, unique=True)
    password = CharField(null=True)
    email = CharField(254, null=True)
    join_date = CharField(24)
    language = CharField(10, null=True)
    shortcuts = BooleanField(default=True)
    presence = BooleanField(default=True)
    delay_messages = BooleanField(default=False)


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


class Token(Table):
    """A program's way in; `hash` is the SHA-256 of the token, `scope` one of `tokens.SCOPES`."""

    user = ForeignKeyField(User, backref="+")
    hash = CharField(64, unique=True)
    name = CharField(200)
    scope = CharField(5)
    created = CharField(24)
    last_used = CharField(24, null=True)
    expires = CharField(24, null=True)


class RateLimit(Table):
    """How often something was tried, of late and in a row; not again until an instant."""

    key = CharField(150, unique=True)
    recent = BigIntegerField()
    total = BigIntegerField()
    since = CharField(24)
    until = CharField(24)


class PasswordReset(Table):
    """A link for a new password, good once; `hash` is the SHA-256 of the key in it."""

    user = ForeignKeyField(User, backref="+", index=False)
    hash = CharField(64, unique=True)
    expires = CharField(24)


class Identity(Table):
    """Who someone is at another house (OpenID Connect): `subject`, as `issuer` calls them."""

    user = ForeignKeyField(User, backref="+")
    issuer = CharField(255)
    subject = CharField(255)

    class Meta:
        indexes = ((("issuer", "subject"), True),)


class List(Table):
    """A list of todos. `version` counts its changes, making it is the first.

    `open` counts what is left to do, `total` all outside the trash, `people` who share it;
    `lists.record_change` updates them. `revision` is raised when what its page shows has changed
    without a change of the list: a link's title came.
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

    class Meta:
        indexes = ((("list", "user"), True),)


class Invite(Table):
    """A way into a list for whoever has the link; `hash` is the SHA-256 of the key in it."""

    list = ForeignKeyField(List, backref="+")
    user = ForeignKeyField(User, backref="+", index=False)
    hash = CharField(64, unique=True)
    role = CharField(6)
    expires = CharField(24)


class Presence(Table):
    """Who has a list open in one of the house's processes, as of the instant `at`."""

    process = CharField(32)
    list = ForeignKeyField(List, backref="+", index=False)
    user = ForeignKeyField(User, backref="+", index=False)
    at = CharField(24)


class Todo(Table):
    """A thing to do. `version` is the list's version at its last change.

    `added_by` and `completed_by` are who did that, `assigned_to` is who should do it.
    """

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

    class Meta:
        indexes = ((("list", "position"), False),)


class Message(Table):
    """What someone said to the others of a list."""

    list = ForeignKeyField(List, backref="+")
    user = ForeignKeyField(User, backref="+", index=False)
    text = TextField()
    created = CharField(24)
    deleted_at = CharField(24, null=True)


class ScheduledMessage(Table):
    """What someone will have said at the instant `due`, unless they take it back before."""

    list = ForeignKeyField(List, backref="+", index=False)
    user = ForeignKeyField(User, backref="+")
    text = TextField()
    due = CharField(24, index=True)


class Link(Table):
    """An address that someone wrote, and the title of its page, null until it is known.

    It was `asked` for last at an instant, is `due` at another, and `tries` have failed in a row.
    """

    address = CharField(2000, unique=True)
    title = CharField(200, null=True)
    user = ForeignKeyField(User, backref="+", index=False)
    tries = BigIntegerField(default=0)
    asked = CharField(24, default="", index=True)
    due = CharField(24, index=True)


class ListLink(Table):
    """A list with a todo or a message in which a link is, or was."""

    link = ForeignKeyField(Link, backref="+", index=False)
    list = ForeignKeyField(List, backref="+")

    class Meta:
        indexes = ((("link", "list"), True),)


class Change(Table):
    """What one unit of work did to a list: JSON arrays of the rows it touched, before and after.

    A list's versions run 1, 2, 3, ... without a gap, each with its row here.
    """

    list = ForeignKeyField(List, backref="+", index=False)
    version = BigIntegerField()
    user = ForeignKeyField(User, backref="+", index=False)
    verb = CharField(20)
    kind = CharField(10)
    before = TextField()
    after = TextField()
    at = CharField(24)

    class Meta:
        indexes = ((("list", "version"), True),)


class IdempotencyKey(Table):
    """What the unit of work with this key returned, as JSON, for whoever sends it again."""

    user = ForeignKeyField(User, backref="+", index=False)
    key = CharField(255)
    answer = TextField()
    at = CharField(24)

    class Meta:
        indexes = ((("user", "key"), True),)


class Job(Table):
    """A periodic job: when it is due, and how often in a row it failed.

    `cursor` is the id of the last change that it has read, where it follows those.
    """

    name = CharField(40, unique=True)
    due = CharField(24)
    failures = BigIntegerField()
    cursor = BigIntegerField(default=0)


class Person(NamedTuple):
    """Who is acting: what every unit of work takes first."""

    id: int
    username: str
    language: str | None = None
    shortcuts: bool = True
    presence: bool = True
    delay_messages: bool = False
