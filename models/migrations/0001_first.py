"""The first schema: all tables as they were when the first version was released."""

from peewee import (
    BigAutoField,
    BigIntegerField,
    BooleanField,
    CharField,
    DoubleField,
    ForeignKeyField,
    Model,
    TextField,
)


def up(migrator, db):
    class Table(Model):
        id = BigAutoField()

        class Meta:
            database = db
            legacy_table_names = False

    class User(Table):
        username = CharField(40, unique=True)
        password = CharField(null=True)
        email = CharField(254, null=True)
        join_date = CharField(24)
        language = CharField(10, null=True)
        shortcuts = BooleanField(default=True)
        presence = BooleanField(default=True)
        delay_messages = BooleanField(default=False)
        timezone = CharField(64, null=True)

    class Session(Table):
        user = ForeignKeyField(User)
        hash = CharField(64, unique=True)
        created = CharField(24)
        last_seen = CharField(24)
        address = CharField(45)
        agent = CharField(200)

    class Token(Table):
        user = ForeignKeyField(User)
        hash = CharField(64, unique=True)
        name = CharField(200)
        scope = CharField(5)
        created = CharField(24)
        last_used = CharField(24, null=True)
        expires = CharField(24, null=True)

    class RateLimit(Table):
        key = CharField(150, unique=True)
        recent = BigIntegerField()
        total = BigIntegerField()
        since = CharField(24)
        until = CharField(24)

    class PasswordReset(Table):
        user = ForeignKeyField(User, index=False)
        hash = CharField(64, unique=True)
        expires = CharField(24)

    class Identity(Table):
        user = ForeignKeyField(User)
        issuer = CharField(255)
        subject = CharField(255)

    class List(Table):
        name = CharField(200)
        version = BigIntegerField()
        open = BigIntegerField(default=0)
        total = BigIntegerField(default=0)
        people = BigIntegerField(default=1)
        deleted_at = CharField(24, null=True)
        revision = BigIntegerField(default=0, index=True)

    class Member(Table):
        list = ForeignKeyField(List, index=False)
        user = ForeignKeyField(User)
        role = CharField(6)
        position = DoubleField()
        last_read_message = BigIntegerField(default=0)
        accepted = BooleanField(default=True)

    class Invite(Table):
        list = ForeignKeyField(List)
        user = ForeignKeyField(User, index=False)
        hash = CharField(64, unique=True)
        role = CharField(6)
        expires = CharField(24)
        ended = CharField(24, null=True)

    class Invitation(Table):
        list = ForeignKeyField(List, index=False)
        user = ForeignKeyField(User)
        inviter = ForeignKeyField(User, index=False)
        role = CharField(6)
        state = CharField(8)
        link = BigIntegerField(null=True)

    class Presence(Table):
        process = CharField(32)
        list = ForeignKeyField(List, index=False)
        user = ForeignKeyField(User, index=False)
        at = CharField(24)

    class Todo(Table):
        list = ForeignKeyField(List, index=False)
        title = CharField(1000)
        notes = TextField()
        completed_at = CharField(24, null=True)
        position = DoubleField()
        created = CharField(24)
        updated = CharField(24)
        version = BigIntegerField()
        deleted_at = CharField(24, null=True)
        added_by = ForeignKeyField(User, index=False, null=True)
        completed_by = ForeignKeyField(User, index=False, null=True)
        assigned_to = ForeignKeyField(User, index=False, null=True)
        written_by = ForeignKeyField(User, index=False, null=True)
        due = CharField(10, null=True)
        due_time = CharField(5, null=True)
        due_zone = CharField(64, null=True)
        repeat_from = CharField(4, null=True)
        repeat = CharField(255, null=True)

    class Message(Table):
        list = ForeignKeyField(List)
        user = ForeignKeyField(User, index=False)
        text = TextField()
        created = CharField(24)
        deleted_at = CharField(24, null=True)

    class ScheduledMessage(Table):
        list = ForeignKeyField(List, index=False)
        user = ForeignKeyField(User)
        text = TextField()
        due = CharField(24, index=True)

    class Link(Table):
        address = CharField(2000, unique=True)
        title = CharField(200, null=True)
        user = ForeignKeyField(User, index=False)
        tries = BigIntegerField(default=0)
        asked = CharField(24, default="", index=True)
        due = CharField(24, index=True)

    class ListLink(Table):
        link = ForeignKeyField(Link, index=False)
        list = ForeignKeyField(List)

    class Change(Table):
        list = ForeignKeyField(List, index=False)
        version = BigIntegerField()
        user = ForeignKeyField(User, index=False)
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

    class Usage(Table):
        user = ForeignKeyField(User, unique=True)
        stored = BigIntegerField()

    class IdempotencyKey(Table):
        user = ForeignKeyField(User, index=False)
        key = CharField(255)
        answer = TextField()
        at = CharField(24)

    class Job(Table):
        name = CharField(40, unique=True)
        due = CharField(24)
        failures = BigIntegerField()
        cursor = BigIntegerField(default=0)

    Identity.add_index(Identity.issuer, Identity.subject, unique=True)
    Invitation.add_index(Invitation.list, Invitation.user, Invitation.inviter, unique=True)
    Member.add_index(Member.list, Member.user, unique=True)
    Todo.add_index(Todo.list, Todo.position)
    open_and_due = Todo.due.is_null(False) & Todo.completed_at.is_null() & Todo.deleted_at.is_null()
    Todo.add_index(Todo.list, Todo.due, where=open_and_due)
    ListLink.add_index(ListLink.link, ListLink.list, unique=True)
    Change.add_index(Change.list, Change.version, unique=True)
    IdempotencyKey.add_index(IdempotencyKey.user, IdempotencyKey.key, unique=True)
    db.create_tables(Table.__subclasses__())
