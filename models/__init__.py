"""What is known: plain, synchronous peewee; no web, no asyncio.

In a shell or a script: `from models import open_database, User, List, Todo`.
"""

from pathlib import Path
from typing import Any

from models.tables import Change, List, Member, Person, Todo, User

__all__ = ["Change", "List", "Member", "Person", "Todo", "User", "open_database"]


def open_database(place: str | Path = "people.db") -> Any:
    """Open a SQLite file, made if missing, or a database at postgresql://...; return peewee's.

    Tables are plain peewee then, and each verb, such as `todos.add(user, 7, "milk")`, is committed
    when it returns: open pages show it at once. What extras add to verbs is there once `app` was
    imported. Don't open a file twice in one process. Raises StartupError.
    """
    from models import migrations, postgres  # not needed by a server on SQLite
    from models.database import db, sqlite_at

    database: Any
    if str(place).startswith("postgresql://"):
        with postgres.exclusive(str(place)) as prepared:
            postgres.prepare(str(place), prepared)
        database = postgres.database_at(str(place))
    else:
        path = Path(str(place).removeprefix("sqlite:///")).resolve()
        lock = migrations.open_file(path)
        database = sqlite_at(path)
        database.lock_file = lock  # as long as it is open, no other program upgrades the file
    db.initialize(database)
    database.connect()
    return database
