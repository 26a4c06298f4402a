"""The two doors to the database, and the threads behind them.

A *unit of work* is a plain peewee function. `Doors.write` runs it in a transaction and answers
only after COMMIT; `Doors.read` runs it on one snapshot, and it can't change anything. Both hand
back a future, so that whoever asked waits without standing in the way of others. Units return
plain data, never a query that has yet to run.

SQLite has one writer at a time, and a COMMIT that reaches the disk costs far more than the work it
saves. So one thread writes: it takes every unit that is waiting, runs each in a savepoint of its
own inside ONE transaction, commits once, and then answers them all (group commit).
"""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from peewee import (
    DatabaseError,
    DatabaseProxy,
    InterfaceError,
    Node,
    OperationalError,
    SqliteDatabase,
)

from models import upgrades
from models.errors import Unavailable

P = ParamSpec("P")
T = TypeVar("T")

db = DatabaseProxy()


def now() -> str:
    """Return this instant as it is stored; text order is time order."""
    return instant(datetime.now(UTC))


def instant(when: datetime) -> str:
    """Return `when` (aware) in UTC with milliseconds: 2026-11-20T09:00:00.000Z (RFC 3339)."""
    return when.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Slot(str):
    """Marks, among the parameters of a prepared query, where a named value goes."""


class Given(Node):
    """Stands in a prepared query for a value that is given each time it runs, unconverted."""

    def __init__(self, name: str) -> None:
        self.slot = Slot(name)

    def __sql__(self, ctx: Any) -> Any:
        return ctx.value(self.slot, converter=False)


class Prepared:
    """A peewee query whose SQL is built once: `FIND(name="ana")` then gives its rows as tuples.

    Building SQL and model instances is nine tenths of what a small query costs, so the few that
    every request needs are prepared, with `Given("name")` where a value goes.
    """

    def __init__(self, query: Any) -> None:
        self.query = query
        self.built_for: Any = None

    def __call__(self, **values: Any) -> list[tuple[Any, ...]]:
        if self.built_for is not db.obj:
            self.sql, self.params = self.query.bind(db.obj).sql()
            self.built_for = db.obj
        given = [values[p] if isinstance(p, Slot) else p for p in self.params]
        cursor = db.execute_sql(self.sql, given)
        return cursor.fetchall() if cursor.description else []


@dataclass(slots=True)
class Work:
    """A unit that waits for the writer, and the future its caller waits on."""

    unit: Callable[[], Any]
    future: "Future[Any]"


class Doors:
    """Reading and writing one SQLite file, from any thread.

    `group` is the most units that share a COMMIT, `readers` the number of reading threads.
    """

    def __init__(self, path: Path, group: int = 128, readers: int = 4) -> None:
        self.path = path
        self.group = group
        self.readers = readers

    def open(self) -> None:
        """Open the file, made or upgraded if need be, and start the threads.

        Raises CannotStart; see `upgrades.open_file`.
        """
        self._lock = upgrades.open_file(self.path)
        self._db = SqliteDatabase(
            str(self.path),
            # FULL: what was acknowledged survives a power cut; with NORMAL the last commits don't.
            pragmas={"journal_mode": "wal", "synchronous": "full", "foreign_keys": 1},
            autoconnect=False,  # a query hidden in a template fails, rather than stop the loop
            check_same_thread=False,  # `close` closes the connections of the reading threads
        )
        db.initialize(self._db)
        self._connections: list[Any] = []
        self._reading = ThreadPoolExecutor(self.readers, thread_name_prefix="reader")
        self._waiting: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._writing = threading.Thread(target=self._write_until_closed, name="writer")
        self._writing.start()

    def close(self) -> None:
        """Finish every unit that was handed in, then let go of the file."""
        self._reading.shutdown()
        for connection in self._connections:  # before the writer's, which tidies up as the last
            connection.close()
        self._waiting.put(None)
        self._writing.join()
        self._lock.close()

    def read(self, unit: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """Run `unit` on one snapshot of the database. The future may raise Unavailable."""
        return self._reading.submit(self._read, lambda: unit(*args, **kwargs))

    def write(self, unit: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """Run `unit` in a transaction; the future is done after COMMIT.

        When it raises, whatever it raises, nothing of the unit was stored.
        """
        future: Future[T] = Future()
        self._waiting.put(Work(lambda: unit(*args, **kwargs), future))
        return future

    def _read(self, unit: Callable[[], T]) -> T:
        try:
            if self._db.is_closed():
                self._db.connect()
                self._db.execute_sql("PRAGMA query_only = 1")
                self._db.execute_sql("PRAGMA wal_autocheckpoint = 0")  # that is the writer's
                self._connections.append(self._db.connection())
            with self._db.atomic():
                return unit()
        except (DatabaseError, InterfaceError) as error:
            self._forget_connection()
            raise refusal(error) from error

    def _write_until_closed(self) -> None:
        more = True
        while more:
            group: list[Work] = []
            with suppress(queue.Empty):
                while more and len(group) < self.group:
                    work = self._waiting.get(block=not group)
                    if work is None:
                        more = False
                    elif work.future.set_running_or_notify_cancel():
                        group.append(work)
            if group:
                self._write(group)
        self._db.close()

    def _write(self, group: list[Work]) -> None:
        """Run the units in one transaction and, once it is committed, answer each."""
        answers: list[tuple[Any, Exception | None]]
        try:
            if self._db.is_closed():
                self._db.connect()
            with self._db.atomic("IMMEDIATE"):
                answers = [self._attempt(work.unit) for work in group]
        except (DatabaseError, InterfaceError, Unavailable) as error:
            self._forget_connection()
            answers = [(None, refusal(error))] * len(group)
        for work, (result, refused) in zip(group, answers, strict=True):
            if refused is None:
                work.future.set_result(result)
            else:
                work.future.set_exception(refused)

    def _attempt(self, unit: Callable[[], T]) -> tuple[T | None, Exception | None]:
        """Run one unit in its savepoint: if it fails, what it did is undone, and only that."""
        try:
            with self._db.savepoint():
                return unit(), None
        except Exception as error:  # whatever it is, it belongs to the caller of this unit
            if not self._db.connection().in_transaction:
                raise refusal(error) from error  # SQLite itself undid all: the group has failed
            if isinstance(error, OperationalError):
                return None, refusal(error)
            return None, error

    def _forget_connection(self) -> None:
        """Assume nothing of a connection that failed: the thread's next unit opens another."""
        with suppress(DatabaseError, InterfaceError):
            self._db.close()


def refusal(cause: Exception) -> Unavailable:
    """Return what the waiting caller is told, with the cause for the log."""
    unavailable = Unavailable(str(cause))
    unavailable.__cause__ = cause
    return unavailable
