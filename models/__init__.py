"""What is known: plain, synchronous peewee; no web, no asyncio.

In a shell or a script: `from models import open_database, User, List, Todo`.
"""

from importlib import import_module
from pathlib import Path
from typing import Any

from models.database import db
from models.tables import Change, List, Member, Person, Todo, User

__all__ = ["Change", "List", "Member", "Person", "Todo", "User", "open_database"]
# The modules that connect to a database; a program needs one of them.
ENGINES = {"sqlite": "models.sqlite_file", "postgresql": "models.postgres"}


def open_database(place: str | Path = "people.db") -> Any:
    """Open a SQLite file, made if missing, or a database at postgresql://...; return peewee's.

    Tables are plain peewee then, and each verb, such as `todos.add(user, 7, "milk")`, is committed
    when it returns: open pages show it at once. What extras add to verbs is there once `app` was
    imported. Don't open a file twice in one process. Raises StartupError.
    """
    scheme = "postgresql" if str(place).startswith("postgresql://") else "sqlite"
    database = import_module(ENGINES[scheme]).connect(str(place))
    db.initialize(database)
    database.connect()
    return database
