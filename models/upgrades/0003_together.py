"""What programs and company need: API tokens, and the messages of a list."""

from peewee import BigAutoField, CharField, ForeignKeyField, Model, TextField


def up(migrator, db):
    class Table(Model):
        id = BigAutoField()

        class Meta:
            database = db

    class User(Table):
        pass

    class List(Table):
        pass

    class Token(Table):
        user = ForeignKeyField(User)
        hash = CharField(64, unique=True)
        name = CharField(200)
        scope = CharField(5)
        created = CharField(24)
        last_used = CharField(24, null=True)
        expires = CharField(24, null=True)

    class Message(Table):
        list = ForeignKeyField(List)
        user = ForeignKeyField(User, index=False)
        text = TextField()
        created = CharField(24)
        deleted_at = CharField(24, null=True)

    db.create_tables([Token, Message])
