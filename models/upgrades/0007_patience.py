"""What second thoughts need: messages that wait a little before they are sent."""

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

    class Held(Table):
        list = ForeignKeyField(List, index=False)
        user = ForeignKeyField(User)
        text = TextField()
        due = CharField(24, index=True)

    db.create_tables([Held])
    db.execute_sql('ALTER TABLE "user" ADD COLUMN patience BOOLEAN NOT NULL DEFAULT false')
