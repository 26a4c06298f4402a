"""The SQLite file of a store: held, watched while it is written, and the key file beside it."""

import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from peewee import DatabaseError, SqliteDatabase

from models.database import as_unavailable, sqlite_at
from models.errors import StartupError, Unavailable
from models.migrations import open_file, refusing, sync_folder

# SQLite's result codes for a disk that fails, one that is full, and a damaged file.
IOERR, FULL, DAMAGED = 10, 13, (11, 26)
FAILURES = 3  # of fsync, one after another, before the process gives up


class SqliteFile:
    """Made or upgraded when it is opened; it tells `on_fatal` why no more can be written."""

    def __init__(self, path: Path, on_fatal: Callable[[str], None]) -> None:
        """Hold the file. Raises StartupError."""
        self.path = path
        self.on_fatal = on_fatal
        self.lock = open_file(path)
        # It keeps the log open: what other connections close and open again is always the same one.
        # One connection for all threads: a new one might open another file of that name.
        shared: dict[str, Any] = {"thread_safe": False, "check_same_thread": False}
        self.anchor = SqliteDatabase(sqlite_at(path).database, uri=True, **shared)
        with refusing(path):
            self.anchor.pragma("journal_mode", "wal")
            self.anchor.pragma("user_version")
        self.opened = self.inodes()
        self.log = open(f"{path}-wal", "rb")  # noqa: SIM115  see count_failure
        self.failures = 0  # of fsync, since something was committed

    def close(self) -> None:
        """Bring the log into the database, when all other connections are closed."""
        self.anchor.close()
        self.log.close()
        self.lock.close()

    def inodes(self) -> list[int]:
        """Return which files these are: another one of the same name has another inode."""
        return [os.stat(f"{self.path}{end}").st_ino for end in ("", "-wal", "-shm")]

    def check(self) -> None:
        """Raise Unavailable when the open files have lost their names: writes would be lost."""
        if not self.path.exists():  # a new start would make an empty one
            raise Unavailable(f"{self.path} is missing: restore it.")
        with suppress(FileNotFoundError):
            if self.inodes() == self.opened:
                return
        raise Unavailable(f"{self.path}, its -wal or its -shm isn't the file that was opened.")

    def refusal(self, cause: BaseException) -> Unavailable:
        """Return what the caller gets, which says what can be mended."""
        unavailable = as_unavailable(cause)
        code = error_code(unavailable)
        if code in DAMAGED:
            mend = "stop the server and restore a backup."
            unavailable.args = (f"{self.path} is damaged ({unavailable}): {mend}",)
        if code == FULL:
            unavailable.code = "storage_full"
        return unavailable

    def failed(self, error: Exception) -> Unavailable:
        """Return the refusal of a group that wasn't stored; the process may have to end for it."""
        if not isinstance(error, Unavailable):
            refused = self.refusal(error)
            if error_code(refused) == IOERR:
                self.count_failure(refused)
            return refused
        if self.path.exists():  # as another file. Bring the log into its own, wherever that is:
            with suppress(DatabaseError):  # left beside another one, it would be taken for its log
                self.anchor.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)")
            self.on_fatal(str(error))
        return error

    def count_failure(self, refused: Unavailable) -> None:
        """Give up when fsync has failed for the third time: the next might seem to work, and lie.

        SQLite says no more than that something failed, perhaps a write over a quota, after which
        all is well. But Linux reports a failed fsync to each descriptor of the file, once.
        """
        try:
            os.fsync(self.log.fileno())
        except OSError:
            self.failures += 1
            if self.failures == FAILURES:
                times = f"{FAILURES} times in a row"
                self.on_fatal(f"{self.path} failed {times} ({refused}): check its disk.")


def error_code(refused: Unavailable) -> int:
    """Return SQLite's primary result code of what was refused, 0 if it has none."""
    return int(getattr(refused.__cause__, "sqlite_errorcode", 0)) & 0xFF


def connect(place: str | Path) -> Any:
    """Return the database of a shell or a script. Raises StartupError; see `open_database`."""
    path = Path(str(place).removeprefix("sqlite:///")).resolve()
    lock = open_file(path)
    database: Any = sqlite_at(path)
    database.lock_file = lock  # as long as it is open, no other program upgrades the file
    return database


def signing_key(database: Path) -> str:
    """Return the key that signs cookies, from the file beside `database`, made at the first start.

    The file gets its name only when it is whole and on the disk. Raises StartupError when others
    may read it, or when it is too short to be a secret.
    """
    path = Path(f"{database}.secret")
    with refusing(path):
        if not path.exists():
            with NamedTemporaryFile("w", dir=path.parent, prefix=f"{path.name}.") as draft:  # 0600
                draft.write(secrets.token_urlsafe(64))
                draft.flush()
                os.fsync(draft.fileno())
                with suppress(FileExistsError):  # another process was quicker: its key is the one
                    os.link(draft.name, path)
            sync_folder(path.parent)
        if path.stat().st_mode & 0o077:
            raise StartupError(f"Others can read {path}: run chmod 600 {path}")
        key = path.read_text().strip()
    if len(key) < 32:
        raise StartupError(f"{path} is not a valid key: delete it, and everyone logs in again.")
    return key
