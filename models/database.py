"""The SQLite database, and the threads that read and write it; PostgreSQL's are in `postgres.py`.

A *unit of work* is a plain peewee function. `SqliteStore.write` runs it in a transaction and calls
back only after COMMIT; `SqliteStore.read` runs it on one snapshot, where it can't change anything.
Neither waits. Units return plain data, never a query that has yet to run.

SQLite has one writer at a time, and a COMMIT that reaches the disk costs far more than the work it
saves. So one thread writes: it takes every unit that is waiting, runs each in a savepoint of its
own inside ONE transaction, commits once, and then calls all of them back (group commit).
"""

import logging
import queue
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar
from urllib.parse import quote

import peewee
from peewee import (
    DatabaseProxy,
    DataError,
    IntegrityError,
    PeeweeException,
    ProgrammingError,
    SqliteDatabase,
    Value,
)

from models.errors import Unavailable

P = ParamSpec("P")
T = TypeVar("T")
UnitResult = tuple[Any, Exception | None]  # what a unit returned, or what it raised
Answer = Callable[[Any, Exception | None], None]
Work = tuple[Callable[[], Any], Answer]
Commits = Callable[[list[tuple[int, int, str]]], None]  # takes list, version and kind of changes

# The latter where rows are fetched, which peewee doesn't wrap.
ENGINE_ERRORS = (PeeweeException, peewee.sqlite3.Error)  # type: ignore[attr-defined]
SQLITE_ERROR = 1  # SQLite's result code for a mistake in SQL
log = logging.getLogger(__name__)
db = DatabaseProxy()


class ParamName(str):
    """Marks, among the parameters of a prepared query, where a named value goes."""


class Param(Value):
    """Stands in a prepared query for a value that is given each time it runs, unconverted."""

    def __init__(self, name: str) -> None:
        super().__init__(ParamName(name), converter=False)


class PreparedQuery:
    """A peewee query whose SQL is built once: `FIND(name="ana")` then gives its rows as tuples.

    Building the SQL costs several times what SQLite takes to run a small query. So those that every
    request needs are prepared, with `Param("name")` where a value goes; each says what it saves.
    """

    def __init__(self, query: Any) -> None:
        self.query = query
        self.built_for: Any = None

    def __call__(self, database: Any = None, /, **values: Any) -> list[tuple[Any, ...]]:
        """Return its rows; `database` may be another connection to that of the store."""
        if self.built_for is not db.obj:
            self.sql, self.params = self.query.bind(db.obj).sql()
            self.built_for = db.obj
        given = [values[p] if isinstance(p, ParamName) else p for p in self.params]
        cursor = (database or db.obj).execute_sql(self.sql, given)
        return cursor.fetchall() if cursor.description else []


def lock(table: Any, where: Any) -> None:
    """Keep others from changing or locking these rows of a table until COMMIT.

    What is checked before something is written must be locked before it is read. Rows that refer to
    these can be made meanwhile. On SQLite nothing is done, as it has one writer at a time.
    """
    if db.obj.for_update:
        list(table.select(table.id).where(where).for_update("FOR NO KEY UPDATE").tuples())


def unit(function: Callable[P, T]) -> Callable[P, T]:
    """Mark a function that writes: outside a unit of work, as in a shell, it is one by itself."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        if db.obj.in_transaction():
            return function(*args, **kwargs)
        with db.obj.atomic(*() if db.obj.for_update else ("IMMEDIATE",)):  # as SQLite's writer
            return function(*args, **kwargs)

    return run


class PendingChanges(threading.local):
    """The changes of lists that this thread's unit has made: list, version, kind."""

    changes: list[tuple[int, int, str]] | None = None  # None outside a store


pending = PendingChanges()


def sqlite_at(path: Path) -> SqliteDatabase:
    return SqliteDatabase(
        f"file:{quote(str(path))}?mode=rw",  # one that is gone isn't made again
        uri=True,
        # FULL: what was acknowledged survives a power cut; with NORMAL the last commits don't.
        pragmas={"journal_mode": "wal", "synchronous": "full", "foreign_keys": 1},
        autoconnect=False,  # a query hidden in a template fails, rather than stop the loop
    )


class SqliteStore:
    """Reading and writing one SQLite file, from any thread.

    `hold` makes or upgrades the file and returns what guards it meanwhile: see `SqliteFile`.
    `group` is the most units that share a COMMIT, `readers` the number of reading threads.
    """

    def __init__(
        self, path: Path, hold: Callable[..., Any], group: int = 128, readers: int = 4
    ) -> None:
        self.path = path
        self.hold = hold
        self.group = group
        self.readers = readers
        self.groups: deque[int] = deque(maxlen=100)  # sizes of the last commits
        self.on_fatal: Callable[[str], None] = log.critical  # gets why no more can be written
        self.on_changes: Commits = lambda changes: None  # called in the writer, after COMMIT

    def open(self) -> None:
        """Prepare and open the file, and start the threads. Raises StartupError."""
        self.path = self.path.resolve()  # two names of a file have one lock and one key
        self._file = self.hold(self.path, self.on_fatal)
        self._db = sqlite_at(self.path)
        db.initialize(self._db)
        shared: Any = {"thread_safe": False, "check_same_thread": False, "timeout": 0}
        pragmas = {"query_only": 1}
        self._lookups = SqliteDatabase(self._db.database, uri=True, pragmas=pragmas, **shared)
        self._to_read: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._to_write: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._reading = [start_thread(self._read_until_closed) for _ in range(self.readers)]
        self._writing = start_thread(self._write_until_closed)

    def close(self) -> None:
        """Finish every unit that was handed in, then close the file."""
        for _ in self._reading:
            self._to_read.put(None)
        for thread in self._reading:
            thread.join()
        self._lookups.close()
        self._to_write.put(None)
        self._writing.join()
        self._file.close()

    def read(self, unit: Callable[[], Any], callback: Answer) -> None:
        """Run `unit` on one snapshot of the database in a thread, and call back there."""
        self._to_read.put((unit, callback))

    def write(self, unit: Callable[[], Any], callback: Answer) -> None:
        """Run `unit` in a transaction in the writer's thread, and call back there after COMMIT.

        When it gets an error, nothing of the unit was stored. Only when the disk failed at COMMIT,
        and then the process ends, may the unit turn out to be stored after all.
        """
        self._to_write.put((unit, callback))

    def waiting(self) -> int:
        return self._to_write.qsize()

    def lookup(self, query: PreparedQuery, **values: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a look-up by key, in the calling thread: that of the event loop.

        It takes microseconds, a tenth of the way to another thread and back. Raises Unavailable.
        """
        return self._look(lambda: query(self._lookups, **values))

    def commits(self) -> int:
        """Return a number that differs when anyone, in any process, has committed since."""
        return int(self._look(lambda: self._lookups.pragma("data_version")))

    def _look(self, run: Callable[[], T]) -> T:
        try:
            if self._lookups.is_closed():
                self._file.check()
            return run()
        except ENGINE_ERRORS as error:
            self._lookups.close()
            raise self._file.refusal(error) from error

    def _read_until_closed(self) -> None:
        self._read(lambda: self._db.pragma("user_version"))  # opens the files of now
        while work := self._to_read.get():
            unit, callback = work
            call_back(callback, self._read(unit))
        self._db.close()

    def _read(self, unit: Callable[[], Any]) -> UnitResult:
        try:
            if self._db.is_closed():
                self._file.check()
                self._db.connect()
                self._db.execute_sql("PRAGMA query_only = 1")
                self._db.execute_sql("PRAGMA wal_autocheckpoint = 0")  # that is the writer's
            with self._db.atomic():
                return unit(), None
        except Exception as error:  # whatever it is, it belongs to the caller of this unit
            if isinstance(error, ENGINE_ERRORS):
                self._forget_connection()
            return None, self._outcome(error)

    def _write_until_closed(self) -> None:
        while work := self._to_write.get():
            group = [work]
            with suppress(queue.Empty):
                while len(group) < self.group and (work := self._to_write.get_nowait()):
                    group.append(work)
            self._write(group)
            if not work:  # the store closes
                break
        self._db.close()

    def _write(self, group: list[Work]) -> None:
        """Run the units in one transaction and, once it is committed, call each back."""
        self.groups.append(len(group))
        changes: list[tuple[int, int, str]] = []
        outcomes: list[UnitResult]
        try:
            self._file.check()
            if self._db.is_closed():
                self._db.connect()
            with self._db.atomic("IMMEDIATE"):
                outcomes = [self._attempt(unit, changes) for unit, _ in group]
            self._file.failures = 0
            if changes:
                call_back(self.on_changes, (changes,))
        except Exception as error:  # nothing of the group was stored
            self._forget_connection()
            outcomes = [(None, self._file.failed(error))] * len(group)
        for (_, callback), outcome in zip(group, outcomes, strict=True):
            call_back(callback, outcome)

    def _attempt(self, unit: Callable[[], Any], changes: list[tuple[int, int, str]]) -> UnitResult:
        """Run one unit in its savepoint: if it fails, what it did is undone, and only that."""
        pending.changes = []
        try:
            with self._db.savepoint():
                result = unit()
        except Exception as error:  # whatever it is, it belongs to the caller of this unit
            if not self._db.connection().in_transaction:
                raise  # SQLite itself undid all: the group has failed
            return None, self._outcome(error)
        changes += pending.changes
        return result, None

    def _outcome(self, error: Exception) -> Exception:
        """Return what the caller of a unit gets: a mistake in SQL isn't the engine's fault."""
        mistake = isinstance(error, (IntegrityError, ProgrammingError, DataError))
        mistake |= getattr(error.__context__, "sqlite_errorcode", None) == SQLITE_ERROR
        fault = isinstance(error, ENGINE_ERRORS) and not mistake
        return self._file.refusal(error) if fault else error

    def _forget_connection(self) -> None:
        """Close a connection that failed: the thread's next unit opens another."""
        with suppress(*ENGINE_ERRORS):
            self._db.close()


def start_thread(run: Callable[..., None], *args: Any) -> threading.Thread:
    """Start a thread that a process which ends in an error doesn't wait for."""
    thread = threading.Thread(target=run, args=args, daemon=True)
    thread.start()
    return thread


def call_back(callback: Callable[..., object], outcome: tuple[Any, ...]) -> None:
    """Call back; an error in there is logged, as the store's threads must not end by it."""
    try:
        callback(*outcome)
    except Exception:
        log.exception("Delivering a result has failed")


def as_unavailable(cause: BaseException, kind: type[Unavailable] = Unavailable) -> Unavailable:
    """Return what the caller gets, with the cause for the log.

    That is the first error of a chain: after a full disk, say, the rollback fails too.
    """
    while cause.__context__:
        cause = cause.__context__
    unavailable = kind(" ".join(str(cause).split()))  # some drivers say several lines
    unavailable.__cause__ = cause
    return unavailable
