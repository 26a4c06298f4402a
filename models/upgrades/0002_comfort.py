"""What the comfortable page needs: keys can be switched off, open todos counted, repeats known."""

from peewee import BigAutoField, CharField, ForeignKeyField, Model, TextField


def up(migrator, db):
    class User(Model):
        id = BigAutoField()

        class Meta:
            database = db

    class Answered(Model):
        id = BigAutoField()
        user = ForeignKeyField(User, index=False)
        key = CharField(255)
        answer = TextField()
        at = CharField(24)

        class Meta:
            database = db
            indexes = ((("user", "key"), True),)

    db.create_tables([Answered])
    # In plain SQL, as migrate.add_column makes the whole table anew for NOT NULL on SQLite.
    db.execute_sql('ALTER TABLE "user" ADD COLUMN shortcuts BOOLEAN NOT NULL DEFAULT true')
    db.execute_sql("ALTER TABLE list ADD COLUMN open BIGINT NOT NULL DEFAULT 0")
    db.execute_sql(
        "UPDATE list SET open = (SELECT COUNT(*) FROM todo WHERE todo.list_id = list.id"
        " AND todo.completed_at IS NULL AND todo.deleted_at IS NULL)"
    )
