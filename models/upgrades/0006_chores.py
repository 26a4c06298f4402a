"""What the house needs that does things by itself: which job is due when."""

from peewee import BigAutoField, BigIntegerField, CharField, Model


def up(migrator, db):
    class Chore(Model):
        id = BigAutoField()
        name = CharField(40, unique=True)
        due = CharField(24)
        failures = BigIntegerField()

        class Meta:
            database = db

    db.create_tables([Chore])
