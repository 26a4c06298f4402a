"""How a file becomes a sound database of today's schema: made, examined, locked, upgraded.

Each numbered file beside this one is one step of the schema, run by playhouse.migrations.
"""

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import IO
from urllib.parse import quote

from peewee import DatabaseError, SqliteDatabase
from playhouse.migrations import Runner

from models.errors import CannotStart

STEPS = Path(__file__).parent
APPLICATION_ID = 0x4166617A  # "Afaz": marks our files (SQLite file format, 1.3.15)
WHOLE_CHECK = 500_000_000  # bytes; a larger file is not read through at every start
SHARED_SINCE = (3, 51, 3)  # older SQLite can corrupt a log that two processes write (WAL reset)


def open_file(path: Path, steps: Path = STEPS) -> IO[bytes]:
    """Make sure that `path` is a sound database of today's schema; return the held lock beside it.

    All processes on the file share the lock; whoever makes or upgrades it must be alone. Raises
    CannotStart, having touched nothing, when the file isn't ours, is damaged, newer or unwritable.
    """
    if not path.parent.is_dir():
        raise CannotStart(f"There is no folder {path.parent}: make it, or give another --database.")
    if path.is_dir():
        raise CannotStart(f"{path} is a folder: give --database the path of a file.")
    writable = os.access(path.parent, os.W_OK) and (not path.exists() or os.access(path, os.W_OK))
    if not writable:
        raise CannotStart(
            f"{path} can't be written: give this user that right, for its folder too."
        )
    newest = max(int(step.name[:4]) for step in steps.glob("[0-9]*.py"))
    if path.exists():
        examine(path, newest)
    lock, alone = take_lock(path)
    try:
        if not path.exists():
            make(path, steps, newest)
        elif examine(path, newest) < newest:
            if not alone:
                raise CannotStart(f"{path} must be upgraded: first stop the process that uses it.")
            upgrade(path, steps, newest)
        if SqliteDatabase.server_version >= SHARED_SINCE:
            fcntl.flock(lock, fcntl.LOCK_SH)
    except BaseException:
        lock.close()
        raise
    return lock


def take_lock(path: Path) -> tuple[IO[bytes], bool]:
    """Return the locked file beside `path`, and whether this process alone holds it."""
    lock = open(f"{path}.lock", "ab")  # noqa: SIM115  held until the house closes
    for _ in range(100):  # 5 s: another process may be making the file at this moment
        for kind in (fcntl.LOCK_EX, fcntl.LOCK_SH):
            with suppress(BlockingIOError):
                fcntl.flock(lock, kind | fcntl.LOCK_NB)
                return lock, kind == fcntl.LOCK_EX
        time.sleep(0.05)
    lock.close()
    raise CannotStart(
        f"Another process uses {path}: stop it first. (Only SQLite 3.51.3 or newer can be shared "
        f"safely, this one is {'.'.join(map(str, SqliteDatabase.server_version))}.)"
    )


def examine(path: Path, newest: int) -> int:
    """Return the schema number of the database at `path`, without touching it.

    Raises CannotStart when it is not ours, damaged, or newer than `newest`.
    """
    with path.open("rb") as file:
        header = file.read(100)  # SQLite file format, 1.3
    if header[:16] != b"SQLite format 3\0":
        raise CannotStart(f"{path} is no database: restore a backup, or give another --database.")
    if int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        raise CannotStart(f"{path} belongs to another program: give another --database.")
    log = Path(f"{path}-wal")
    quiet = "" if log.exists() and log.stat().st_size else "&immutable=1"  # makes no files either
    look = SqliteDatabase(f"file:{quote(str(path))}?mode=ro{quiet}", uri=True)
    number, damage = 0, "ok"
    try:
        with look.connection_context():
            number = look.pragma("user_version")
            if path.stat().st_size <= WHOLE_CHECK:
                damage = look.pragma("quick_check(1)")
    except DatabaseError as error:
        damage = str(error)
    if damage != "ok":
        reason = " ".join(damage.split())
        raise CannotStart(f"{path} is damaged ({reason}): restore a backup of it.")
    if number > newest:
        raise CannotStart(
            f"{path} has schema {number}, but this program knows only {newest}: "
            "install the newer Afazeres that made it."
        )
    return number


def make(path: Path, steps: Path, newest: int) -> None:
    """Make an empty database under another name; it gets its own when it is whole and on disk."""
    new = Path(f"{path}.new")
    new.unlink(missing_ok=True)
    pragmas = {"application_id": APPLICATION_ID, "synchronous": "extra"}
    fresh = SqliteDatabase(str(new), pragmas=pragmas)
    with fresh.connection_context():
        climb(fresh, steps, newest)
        fresh.pragma("journal_mode", "wal")
    new.rename(path)
    sync_folder(path.parent)


def upgrade(path: Path, steps: Path, newest: int) -> None:
    """Bring an older database to today's schema, after copying it aside."""
    older = SqliteDatabase(str(path), pragmas={"synchronous": "full"})
    with older.connection_context():
        aside = Path(f"{path}.schema-{older.pragma('user_version')}")
        if not aside.exists():  # an upgrade that was cut off has left the better copy
            older.execute_sql("VACUUM INTO ?", (str(aside),))
        climb(older, steps, newest)


def climb(database: SqliteDatabase, steps: Path, newest: int) -> None:
    """Run the steps that `database` has not seen, each in a transaction."""
    Runner(database, str(steps)).up()
    database.pragma("user_version", newest)


def sync_folder(folder: Path) -> None:
    """Wait until the names of the files in `folder` are on the disk."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
