"""Copying a database from SQLite to PostgreSQL."""

import fcntl
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

from peewee import SqliteDatabase, chunked

from models import postgres
from models.errors import StartupError
from models.migrations import open_file, refusing
from models.tables import Table

PART = 500  # rows that are copied or compared at once


def migrate(app: Any) -> str:
    """Copy all to --migrate_to, and return what was done. Raises StartupError."""
    return copy(app.config.database_path, app.config.migrate_to) + "\n"


def copy(path: Path, url: str) -> str:
    """Copy every row of the SQLite database at `path`, and compare each; return what was done.

    Raises StartupError when the other database isn't empty, or when someone uses this one; then
    nothing was copied.
    """
    place = postgres.redacted_url(url)
    if not path.exists():
        raise StartupError(f"There is no database {path}: set --database.")
    with open_file(path) as held, refusing(path), postgres.exclusive(url) as target:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StartupError(f"{path} is in use: first stop the process that uses it.") from None
        postgres.prepare(url, target)
        source = SqliteDatabase(str(path), pragmas={"query_only": 1})
        tables: list[Any] = Table.__subclasses__()  # in the order in which they need each other
        with source.connection_context(), source.atomic(), target.atomic():
            for table in tables:
                if table.select().bind(target).exists():
                    raise StartupError(f"{place} is not empty: set --migrate_to to a new database.")
            count = sum(copy_table(table, source, target) for table in tables)
            for table in tables:
                for ours, theirs in zip_longest(rows(table, source), rows(table, target)):
                    if ours != theirs:
                        raise StartupError(
                            f"{place} differs from {path} in {table.__name__}: "
                            f"{theirs!r} for {ours!r}. Nothing was copied."
                        )
    return f"Copied {count} rows from {path} to {place}, and compared each."


def copy_table(table: Any, source: Any, target: Any) -> int:
    """Insert the rows of a table under the ids they have; return how many they are."""
    count = 0
    for part in chunked(rows(table, source), PART):
        table.insert_many(part).bind(target).execute()
        count += len(part)
    name = table._meta.table_name  # peewee offers no other way to it
    target.execute_sql(
        f"SELECT setval(pg_get_serial_sequence(%s, 'id'), MAX(id)) FROM \"{name}\"",  # noqa: S608
        (f'"{name}"',),
    )
    return count


def rows(table: Any, database: Any) -> Iterator[dict[str, Any]]:
    query = table.select().order_by(table.id).limit(PART).dicts()
    last = 0
    while part := [*query.where(table.id > last).bind(database).execute()]:
        yield from part
        last = part[-1]["id"]
