"""What trust needs: throttles, one-time links for passwords, identities at other houses."""

from peewee import BigAutoField, BigIntegerField, CharField, ForeignKeyField, Model


def up(migrator, db):
    class Table(Model):
        id = BigAutoField()

        class Meta:
            database = db

    class User(Table):
        pass

    class Tries(Table):
        key = CharField(150, unique=True)
        recent = BigIntegerField()
        total = BigIntegerField()
        since = CharField(24)
        until = CharField(24)

    class Reset(Table):
        user = ForeignKeyField(User, index=False)
        hash = CharField(64, unique=True)
        expires = CharField(24)

    class Identity(Table):
        user = ForeignKeyField(User)
        issuer = CharField(255)
        subject = CharField(255)

        class Meta:
            database = db
            indexes = ((("issuer", "subject"), True),)

    db.create_tables([Tries, Reset, Identity])
