"""What programs and company need: API tokens, messages of a list, how many todos it has."""

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
    db.execute_sql("ALTER TABLE list ADD COLUMN total BIGINT NOT NULL DEFAULT 0")
    db.execute_sql(
        "UPDATE list SET total = (SELECT COUNT(*) FROM todo WHERE todo.list_id = list.id"
        " AND todo.deleted_at IS NULL)"
    )
