"""What company needs: invite links, presence, what was read, and who did what and shall do it."""

import json

from peewee import BigAutoField, CharField, ForeignKeyField, Model


def up(migrator, db):
    class Table(Model):
        id = BigAutoField()

        class Meta:
            database = db

    class User(Table):
        pass

    class List(Table):
        pass

    class Invite(Table):
        list = ForeignKeyField(List)
        user = ForeignKeyField(User, index=False)
        hash = CharField(64, unique=True)
        role = CharField(6)
        expires = CharField(24)

    class Presence(Table):
        process = CharField(32)
        list = ForeignKeyField(List, index=False)
        user = ForeignKeyField(User, index=False)
        at = CharField(24)

    db.create_tables([Invite, Presence])
    db.execute_sql('ALTER TABLE "user" ADD COLUMN presence BOOLEAN NOT NULL DEFAULT true')
    db.execute_sql("ALTER TABLE list ADD COLUMN people BIGINT NOT NULL DEFAULT 1")
    db.execute_sql(
        "UPDATE list SET people = (SELECT COUNT(*) FROM member WHERE member.list_id = list.id)"
    )
    db.execute_sql("ALTER TABLE member ADD COLUMN read BIGINT NOT NULL DEFAULT 0")
    db.execute_sql(
        "UPDATE member SET read = COALESCE("
        "(SELECT MAX(id) FROM message WHERE message.list_id = member.list_id), 0)"
    )
    for column in ("added", "ticked", "assigned"):
        db.execute_sql(f'ALTER TABLE todo ADD COLUMN {column}_id BIGINT REFERENCES "user" (id)')
    changes = db.execute_sql(
        "SELECT user_id, before, after FROM change WHERE kind = 'todo' ORDER BY id"
    )
    added, ticked = {}, {}
    for user, before, after in changes:
        done = {row["id"]: row["completed"] for row in json.loads(before)}
        for row in json.loads(after):
            added.setdefault(row["id"], user)
            if row["completed"] and not done.get(row["id"]):
                ticked[row["id"]] = user
    set_added = "UPDATE todo SET added_id = ? WHERE id = ?"
    set_ticked = "UPDATE todo SET ticked_id = ? WHERE id = ? AND completed_at IS NOT NULL"
    for statement, found in ((set_added, added), (set_ticked, ticked)):
        for todo, user in found.items():
            db.execute_sql(statement, (user, todo))
