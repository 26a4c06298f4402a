"""How a file becomes a sound database of today's schema: made, examined, locked, upgraded.

Each numbered file beside this one is one step of the schema, run by playhouse.migrations.
"""

import fcntl
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO
from urllib.parse import quote

from peewee import DatabaseError, SqliteDatabase
from playhouse.migrations import Runner

from models.errors import StartupError

STEPS = Path(__file__).parent
APPLICATION_ID = 0x4166617A  # "Afaz": marks our files (SQLite file format, 1.3.15)
WHOLE_CHECK = 500_000_000  # bytes; a larger file is not read through at every start
SHARED_SINCE = (3, 51, 3)  # older SQLite can corrupt a log that two processes write (WAL reset)


@contextmanager
def refusing(path: Path) -> Iterator[None]:
    """Turn what the disk or the engine says against `path` into StartupError."""
    try:
        yield
    except (OSError, DatabaseError) as error:
        raise StartupError(f"{path} can't be used ({error}): fix that and restart.") from error


def newest_of(steps: Path) -> int:
    return max(int(step.name[:4]) for step in steps.glob("[0-9]*.py"))


def open_file(path: Path, steps: Path = STEPS) -> IO[bytes]:
    """Make sure that `path` is a sound database of today's schema; return the held lock beside it.

    All processes on the file share the lock; to make or upgrade it, one must be alone. Raises
    StartupError, having touched nothing, when the file isn't ours, is damaged, newer or unwritable.
    """
    with refusing(path):
        check_place(path)
        newest = newest_of(steps)
        if path.exists():
            verify(path, newest)
        lock, alone = take_lock(path)
        try:
            number = verify(path, newest) if path.exists() else None
            if number != newest and not alone:
                raise StartupError(f"{path} must be upgraded: first stop the process that uses it.")
            if number is None:
                create(path, steps)
            elif number < newest:
                upgrade(path, steps)
            path.chmod(0o600)  # a copy of the sample, say, may be anyone's to read
            if SqliteDatabase.server_version >= SHARED_SINCE:
                fcntl.flock(lock, fcntl.LOCK_SH)
        except BaseException:
            lock.close()
            raise
        return lock


def check_place(path: Path) -> None:
    """Raise StartupError where no database can be, or where it can't be written."""
    if not path.parent.is_dir():
        raise StartupError(f"No such folder {path.parent}: create it, or change --database.")
    if path.is_dir():
        raise StartupError(f"{path} is a folder: set --database to the path of a file.")
    if not os.access(path.parent, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise StartupError(f"{path} isn't writable: let this user write to it and its folder.")
    log = Path(f"{path}-wal")
    if not path.exists() and log.exists() and log.stat().st_size:
        raise StartupError(f"{log} is of a database that is missing: restore it, or move both.")


def take_lock(path: Path) -> tuple[IO[bytes], bool]:
    """Return the locked file beside `path`, and whether this process alone holds it."""
    lock = open(f"{path}.lock", "ab")  # noqa: SIM115  held until the server stops
    for _ in range(100):  # 5 s: another process may be making the file at this moment
        for kind in (fcntl.LOCK_EX, fcntl.LOCK_SH):
            with suppress(BlockingIOError):
                fcntl.flock(lock, kind | fcntl.LOCK_NB)
                return lock, kind == fcntl.LOCK_EX
        time.sleep(0.05)
    lock.close()
    why = ""
    if SqliteDatabase.server_version < SHARED_SINCE:
        version = ".".join(map(str, SqliteDatabase.server_version))
        why = f", and SQLite {version} can't share it safely (3.51.3 or newer can)"
    raise StartupError(f"Another process uses {path}{why}: stop it first.")


def verify(path: Path, newest: int) -> int:
    """Return the schema number of the database at `path`, without touching it.

    Raises StartupError when it is not ours, damaged, or newer than `newest`.
    """
    with path.open("rb") as file:
        header = file.read(100)  # SQLite file format, 1.3
    if not header:
        raise StartupError(f"{path} is empty: delete it, or restore a backup.")
    if header[:16] != b"SQLite format 3\0":
        raise StartupError(f"{path} is not a database: restore a backup, or change --database.")
    if int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        raise StartupError(f"{path} belongs to another program: choose another --database.")
    log = Path(f"{path}-wal")
    quiet = "" if log.exists() and log.stat().st_size else "&immutable=1"  # makes no files either
    lookup = SqliteDatabase(f"file:{quote(str(path))}?mode=ro{quiet}", uri=True)
    number, damage = 0, "ok"
    try:
        with lookup.connection_context():
            number = lookup.pragma("user_version")
            if path.stat().st_size <= WHOLE_CHECK:
                damage = lookup.pragma("quick_check(1)")
    except DatabaseError as error:
        if not re.search("malformed|not a database", str(error)):
            raise  # locked, or the disk: nothing is known of the file
        damage = str(error)
    if damage != "ok":
        reason = " ".join(damage.split())
        raise StartupError(
            f"{path} is damaged ({reason}): restore a backup, without -wal and -shm."
        )
    if number > newest:
        raise StartupError(
            f"{path} has schema {number}, but this program knows only {newest}: "
            "install the newer Afazeres that created it."
        )
    return number


@contextmanager
def drafted(path: Path) -> Iterator[str]:
    """Give another name for a file to be made; it gets its own when it is whole and on the disk.

    Raises FileExistsError rather than take the place of another file.
    """
    draft = Path(f"{path}.new")
    draft.unlink(missing_ok=True)
    yield str(draft)
    with draft.open("rb") as made:
        os.fsync(made.fileno())
    os.link(draft, path)  # which, unlike a rename, never replaces
    draft.unlink()
    sync_folder(path.parent)


def create(path: Path, steps: Path) -> None:
    pragmas = {"application_id": APPLICATION_ID, "synchronous": "extra"}
    with drafted(path) as draft:
        fresh = SqliteDatabase(draft, pragmas=pragmas)
        with fresh.connection_context():
            migrate(fresh, steps)
            fresh.pragma("journal_mode", "wal")


def upgrade(path: Path, steps: Path) -> None:
    """Bring an older database to today's schema, after copying it aside."""
    older = SqliteDatabase(str(path), pragmas={"synchronous": "full"})
    with older.connection_context():
        number = older.pragma("user_version")
        aside = Path(f"{path}.schema-{number}")
        begun = len(Runner(older, str(steps)).applied()) != number
        if not (begun and aside.exists()):  # a try that was cut off has made the better copy
            aside.unlink(missing_ok=True)
            with drafted(aside) as draft:
                older.execute_sql("VACUUM INTO ?", (draft,))
        migrate(older, steps)


def back_up(path: Path, target: Path) -> None:
    """Examine a database, and copy it. Raises StartupError."""
    if not path.exists():
        raise StartupError(f"There is no database {path}: set --database.")
    with refusing(path):
        verify(path, newest_of(STEPS))
    copy_to(path, target)


def copy_to(path: Path, target: Path) -> None:
    """Copy the database at `path`, in use or not, as it is at this moment (SQLite: VACUUM INTO).

    Raises StartupError, also when there is a file of that name already. The server itself may call
    it: opening the file by other means than SQLite's would end the locks of a process that has it
    open (SQLite, How To Corrupt, 2.2).
    """
    with refusing(target):
        if target.exists():
            raise StartupError(f"{target} already exists: choose another name for the copy.")
        source = SqliteDatabase(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=30)
        with drafted(target) as draft, source.connection_context():
            source.execute_sql("VACUUM INTO ?", (draft,))


def migrate(database: SqliteDatabase, steps: Path) -> None:
    """Run the steps that `database` has not seen, each in a transaction."""
    Runner(database, str(steps)).up()
    database.pragma("user_version", newest_of(steps))


def sync_folder(folder: Path) -> None:
    """Wait until the names of the files in `folder` are on the disk."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
