"""The first schema: people and their sessions, lists and their members, todos, and what changed."""

from peewee import (
    BigAutoField,
    BigIntegerField,
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

    class User(Table):
        username = CharField(40, unique=True)
        password = CharField(null=True)
        email = CharField(254, null=True)
        join_date = CharField(24)
        language = CharField(10, null=True)

    class Session(Table):
        user = ForeignKeyField(User)
        hash = CharField(64, unique=True)
        created = CharField(24)
        last_seen = CharField(24)
        address = CharField(45)
        agent = CharField(200)

    class List(Table):
        name = CharField(200)
        version = BigIntegerField()
        deleted_at = CharField(24, null=True)

    class Member(Table):
        list = ForeignKeyField(List, index=False)
        user = ForeignKeyField(User)
        role = CharField(6)
        position = DoubleField()

        class Meta:
            indexes = ((("list", "user"), True),)

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

        class Meta:
            indexes = ((("list", "position"), False),)

    class Change(Table):
        list = ForeignKeyField(List, index=False)
        version = BigIntegerField()
        user = ForeignKeyField(User, index=False)
        verb = CharField(20)
        kind = CharField(10)
        before = TextField()
        after = TextField()
        at = CharField(24)

        class Meta:
            indexes = ((("list", "version"), True),)

    db.create_tables([User, Session, List, Member, Todo, Change])
