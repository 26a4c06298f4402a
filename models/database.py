"""The two doors to the database, and the threads behind them; PostgreSQL's are in `postgres.py`.

A *unit of work* is a plain peewee function. `SqliteStore.write` runs it in a transaction and answers
only after COMMIT; `SqliteStore.read` runs it on one snapshot, where it can't change anything. Neither
waits: the answer is called when there is one. Units return plain data, never a query that has yet
to run.

SQLite has one writer at a time, and a COMMIT that reaches the disk costs far more than the work it
saves. So one thread writes: it takes every unit that is waiting, runs each in a savepoint of its
own inside ONE transaction, commits once, and then answers them all (group commit).
"""

import logging
import os
import queue
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from peewee import (  # type: ignore[attr-defined]  # sqlite3 is the newest it found
    EXCEPTIONS,
    DatabaseError,
    DatabaseProxy,
    DataError,
    ExceptionWrapper,
    IntegrityError,
    InterfaceError,
    ProgrammingError,
    SqliteDatabase,
    Value,
    sqlite3,
)

from models import migrations
from models.errors import Unavailable

UnitResult = tuple[Any, Exception | None]  # what a unit returned, or what it raised
Answer = Callable[[Any, Exception | None], None]  # takes an outcome
Work = tuple[Callable[[], Any], Answer]

# SQLite's result codes for a mistake in SQL, a disk that fails, one that is full, a damaged file.
SQLITE_ERROR, SQLITE_IOERR, SQLITE_FULL, DAMAGED = 1, 10, 13, (11, 26)
FAILURES = 3  # of fsync, one after another: then the house gives up
log = logging.getLogger(__name__)
db = DatabaseProxy()
# Makes the driver's errors peewee's, as it does itself.
peewee_errors = ExceptionWrapper(EXCEPTIONS)


class Slot(str):
    """Marks, among the parameters of a prepared query, where a named value goes."""


class Ready(str):
    """Marks SQL that runs again and again, so a server may keep its plan."""


class Unheard(Ready):
    """Marks such whose answer nobody looks at: it may reach a server with what comes next."""


class Param(Value):
    """Stands in a prepared query for a value that is given each time it runs, unconverted."""

    def __init__(self, name: str) -> None:
        super().__init__(Slot(name), converter=False)


class PreparedQuery:
    """A peewee query whose SQL is built once: `FIND(name="ana")` then gives its rows as tuples.

    Building SQL and model instances is nine tenths of what a small query costs, so the few that
    every request needs are prepared, with `Given("name")` where a value goes, and handed to the
    driver itself.
    """

    kind = Ready

    def __init__(self, query: Any) -> None:
        self.query = query
        self.built_for: Any = None

    def __call__(self, **values: Any) -> list[tuple[Any, ...]]:
        with peewee_errors:
            return self.on(db.obj.connection(), values)

    def on(self, connection: Any, values: dict[str, Any]) -> list[tuple[Any, ...]]:
        """Run it on a connection of the driver's."""
        if self.built_for is not db.obj:
            sql, self.params = self.bound().sql()
            self.sql, self.built_for = self.kind(sql), db.obj
        given = [values[p] if isinstance(p, Slot) else p for p in self.params]
        cursor = connection.cursor()
        cursor.execute(self.sql, given)
        return cursor.fetchall() if cursor.description else []

    def bound(self) -> Any:
        """Return the query for the engine at hand."""
        return self.query.bind(db.obj)


class Later(PreparedQuery):
    """One that gives nothing; on PostgreSQL it may fail only in the next one, or in COMMIT."""

    kind = Unheard


class Lock(Later):
    """Keeps others from changing or locking the rows of a query until COMMIT.

    What is checked before something is written must be locked before it is read. On SQLite nothing
    is done: its one writer is alone.
    """

    def __call__(self, **values: Any) -> list[tuple[Any, ...]]:
        return super().__call__(**values) if db.obj.for_update else []

    def bound(self) -> Any:
        """Return it so that rows which refer to these can be made meanwhile."""
        return super().bound().for_update("FOR NO KEY UPDATE")


class PendingChanges(threading.local):
    """The changes of lists that this thread's unit has made: list, version, kind."""

    changes: list[tuple[int, int, str]] | None = None  # None where nobody takes them


pending = PendingChanges()


class SqliteStore:
    """Reading and writing one SQLite file, from any thread.

    `group` is the most units that share a COMMIT, `readers` the number of reading threads.
    """

    def __init__(self, path: Path, group: int = 128, readers: int = 4) -> None:
        self.path = path
        self.group = group
        self.readers = readers
        self.groups: deque[int] = deque(maxlen=100)  # sizes of the last commits
        self.failures = 0  # of fsync, since something was committed
        self.on_fatal: Callable[[str], None] = log.critical  # told why, when no more can be written
        self.on_changes: Callable[[list[tuple[int, int, str]]], None] = lambda changes: None

    def open(self) -> None:
        """Open the file, made or upgraded if need be, and start the threads.

        Raises StartupError; see `migrations.open_file`.
        """
        self.path = self.path.resolve()  # two names of a file have one lock and one key
        self._lock = migrations.open_file(self.path)
        place = f"file:{quote(str(self.path))}?mode=rw"  # a file that is gone isn't made anew
        self._db = SqliteDatabase(
            place,
            uri=True,
            # FULL: what was acknowledged survives a power cut; with NORMAL the last commits don't.
            pragmas={"journal_mode": "wal", "synchronous": "full", "foreign_keys": 1},
            autoconnect=False,  # a query hidden in a template fails, rather than stop the loop
        )
        db.initialize(self._db)
        shared: dict[str, Any] = {"thread_safe": False, "check_same_thread": False}
        self._peephole = SqliteDatabase(
            place, uri=True, pragmas={"query_only": 1}, timeout=0, **shared
        )
        # It holds on to the log: what others close and open again is always the same one.
        self._anchor = SqliteDatabase(place, uri=True, **shared)
        with migrations.refusing(self.path):
            self._anchor.pragma("journal_mode", "wal")
            self._anchor.pragma("user_version")
        self._opened = self._files()
        self._log = open(f"{self.path}-wal", "rb")  # noqa: SIM115  see _count
        self._to_read: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._to_write: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._reading = [
            threading.Thread(target=self._read_until_closed, name="reader", daemon=True)
            for _ in range(self.readers)
        ]
        self._writing = threading.Thread(
            target=self._write_until_closed, name="writer", daemon=True
        )
        for thread in (*self._reading, self._writing):
            thread.start()

    def close(self) -> None:
        """Finish every unit that was handed in, then let go of the file."""
        for _ in self._reading:
            self._to_read.put(None)
        for thread in self._reading:
            thread.join()
        self._peephole.close()
        self._to_write.put(None)
        self._writing.join()
        self._anchor.close()  # which brings the log into the database, as the last
        self._log.close()
        self._lock.close()

    def read(self, unit: Callable[[], Any], answer: Answer) -> None:
        """Have `unit` run on one snapshot of the database, and `answer` called in that thread."""
        self._to_read.put((unit, answer))

    def write(self, unit: Callable[[], Any], answer: Answer) -> None:
        """Have `unit` run in a transaction, and `answer` called after COMMIT.

        When it is answered with an error, whichever, nothing of the unit was stored. Only when the
        disk failed at COMMIT, and then the house is killed, it may be found to be stored after all.
        """
        self._to_write.put((unit, answer))

    def waiting(self) -> int:
        """Return how many units wait for the writer."""
        return self._to_write.qsize()

    def batch(self) -> float:
        """Return how many units shared a commit, on the average of the last hundred."""
        return sum(self.groups) / len(self.groups) if self.groups else 0.0

    def lookup(self, query: PreparedQuery, **values: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a look-up by key, here and now, in the event loop's own thread.

        It takes microseconds, a tenth of a turn of another thread. Raises Unavailable.
        """
        try:
            return query.on(self._peephole.connection(), values)
        except (DatabaseError, sqlite3.Error) as error:
            raise self._blind(error) from error

    def commits(self) -> int:
        """Return a number that differs when anyone, here or elsewhere, has committed since."""
        try:
            if self._peephole.is_closed():
                self._check_files()
            found = self._peephole.connection().execute("PRAGMA data_version").fetchone()
        except (DatabaseError, sqlite3.Error) as error:
            raise self._blind(error) from error
        return int(found[0])

    def _blind(self, error: Exception) -> Unavailable:
        """Forget the event loop's connection, which failed; return what its caller is told."""
        self._peephole.close()
        return self._refusal(error)

    def _read_until_closed(self) -> None:
        self._read(lambda: self._db.pragma("user_version"))  # opens the files of now
        while work := self._to_read.get():
            unit, answer = work
            call_back(answer, self._read(unit))
        self._db.close()

    def _read(self, unit: Callable[[], Any]) -> UnitResult:
        """Run one unit in a transaction that only reads: what it sees is of one moment."""
        try:
            if self._db.is_closed():
                self._check_files()
                self._db.connect()
                self._db.execute_sql("PRAGMA query_only = 1")
                self._db.execute_sql("PRAGMA wal_autocheckpoint = 0")  # that is the writer's
            self._db.begin()
            try:
                return unit(), None
            finally:
                self._db.commit()
        except Exception as error:  # whatever it is, it belongs to the caller of this unit
            if isinstance(error, (DatabaseError, InterfaceError)):
                self._forget_connection()
            return None, self._refusal(error) if is_of_engine(error) else error

    def _write_until_closed(self) -> None:
        while work := self._to_write.get():
            group = [work]
            with suppress(queue.Empty):
                while len(group) < self.group and (work := self._to_write.get_nowait()):
                    group.append(work)
            self._write(group)
            if not work:  # the house closes
                break
        self._db.close()

    def _write(self, group: list[Work]) -> None:
        """Run the units in one transaction and, once it is committed, answer each."""
        self.groups.append(len(group))
        outcomes: list[UnitResult]
        changes: list[tuple[int, int, str]] = []
        try:
            self._check_files()
            if self._db.is_closed():
                self._db.connect()
            with self._db.atomic("IMMEDIATE"):
                outcomes = []
                for unit, _ in group:
                    pending.changes = []
                    outcomes.append(self._attempt(unit))
                    if outcomes[-1][1] is None:
                        changes += pending.changes
            self.failures = 0
        except Unavailable as error:
            outcomes = [(None, error)] * len(group)
            if self.path.exists():
                self._leave(error)
        except Exception as error:  # nothing of the group was stored
            self._forget_connection()
            refused = self._refusal(error)
            outcomes = [(None, refused)] * len(group)
            self._count(refused)
            changes = []
        if changes:
            call_back(lambda *_: self.on_changes(changes), (None, None))
        for (_, answer), outcome in zip(group, outcomes, strict=True):
            call_back(answer, outcome)

    def _count(self, refused: Unavailable) -> None:
        """Give up when fsync has failed for the third time: the next might seem to work, and lie.

        SQLite says no more than that something failed, perhaps a write over a quota, after which
        all is well. But Linux tells of a failed fsync to each descriptor of the file, once.
        """
        if getattr(refused.__cause__, "sqlite_errorcode", 0) & 0xFF != SQLITE_IOERR:
            return
        try:
            os.fsync(self._log.fileno())
        except OSError:
            self.failures += 1
            if self.failures == FAILURES:
                times = f"{FAILURES} times in a row"
                self.on_fatal(f"{self.path} failed {times} ({refused}): check its disk.")

    def _files(self) -> list[int]:
        """Return which files these are: another one of the same name has another inode."""
        return [os.stat(f"{self.path}{end}").st_ino for end in ("", "-wal", "-shm")]

    def _check_files(self) -> None:
        """Raise Unavailable when the files that are open have lost their names.

        What is written to them then, nobody would find again; who opened others would find less.
        """
        if not self.path.exists():  # a new start would make an empty one
            raise Unavailable(f"{self.path} is missing: restore it.")
        with suppress(FileNotFoundError):
            if self._files() == self._opened:
                return
        raise Unavailable(f"{self.path}, its -wal or its -shm isn't the file that was opened.")

    def _leave(self, why: Unavailable) -> None:
        """Bring what is in the log into the database, wherever it is now, and give up.

        A log that is left beside another database would be taken for its own.
        """
        with suppress(DatabaseError):
            self._anchor.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        self.on_fatal(str(why))

    def _attempt(self, unit: Callable[[], Any]) -> UnitResult:
        """Run one unit in its savepoint: if it fails, what it did is undone, and only that."""
        self._db.execute_sql("SAVEPOINT unit")
        try:
            result = unit()
        except Exception as error:  # whatever it is, it belongs to the caller of this unit
            if not self._db.connection().in_transaction:
                # SQLite itself undid all: the group has failed.
                raise self._refusal(error) from error
            self._db.execute_sql("ROLLBACK TO unit")
            self._db.execute_sql("RELEASE unit")
            return None, self._refusal(error) if is_of_engine(error) else error
        self._db.execute_sql("RELEASE unit")
        return result, None

    def _refusal(self, cause: BaseException) -> Unavailable:
        """Return what the waiting caller is told, which names what can be mended."""
        unavailable = as_unavailable(cause)
        code = getattr(unavailable.__cause__, "sqlite_errorcode", 0) & 0xFF
        if code in DAMAGED:
            mend = "stop the server and restore a backup."
            unavailable.args = (f"{self.path} is damaged ({unavailable}): {mend}",)
        if code == SQLITE_FULL:
            unavailable.code = "storage_full"
        return unavailable

    def _forget_connection(self) -> None:
        """Assume nothing of a connection that failed: the thread's next unit opens another."""
        with suppress(DatabaseError, InterfaceError):
            self._db.close()


def is_of_engine(error: Exception) -> bool:
    """Say whether it is the engine's fault (locked, full, broken) rather than a mistake in SQL."""
    code = getattr(error.__context__, "sqlite_errorcode", None)
    mistakes = (IntegrityError, ProgrammingError, DataError)
    return (
        isinstance(error, DatabaseError)
        and not isinstance(error, mistakes)
        and code != SQLITE_ERROR
    )


def call_back(answer: Answer, outcome: UnitResult) -> None:
    """Call back whoever waits; what goes wrong there is not for the house's threads to die of."""
    try:
        answer(*outcome)
    except Exception:
        log.exception("Delivering a result has failed")


def as_unavailable(cause: BaseException, kind: type[Unavailable] = Unavailable) -> Unavailable:
    """Return what the waiting caller is told, with the cause for the log.

    That is the first error of a chain: after a full disk, say, the rollback fails too.
    """
    while cause.__context__:
        cause = cause.__context__
    unavailable = kind(" ".join(str(cause).split()))  # some drivers say several lines
    unavailable.__cause__ = cause
    return unavailable
