"""What titles of links need: the addresses, the lists that mention them, and what has arrived."""

from peewee import BigAutoField, BigIntegerField, CharField, ForeignKeyField, Model


def up(migrator, db):
    class Table(Model):
        id = BigAutoField()

        class Meta:
            database = db

    class User(Table):
        pass

    class List(Table):
        pass

    class Link(Table):
        address = CharField(2000, unique=True)
        title = CharField(200, null=True)
        user = ForeignKeyField(User, index=False)
        tries = BigIntegerField(default=0)
        asked = CharField(24, default="", index=True)
        due = CharField(24, index=True)

    class Mention(Table):
        link = ForeignKeyField(Link, index=False)
        list = ForeignKeyField(List)

        class Meta:
            database = db
            indexes = ((("link", "list"), True),)

    db.create_tables([Link, Mention])
    db.execute_sql("ALTER TABLE list ADD COLUMN titles BIGINT NOT NULL DEFAULT 0")
    db.execute_sql("CREATE INDEX list_titles ON list (titles)")
