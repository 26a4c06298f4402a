"""The store of a PostgreSQL database, and how such a database is made and upgraded.

Its server lets many write at once, and groups their commits itself. So a few threads take whatever
waits, each with a connection of its own, and each unit has its own transaction: READ COMMITTED for
a unit that writes, which locks what it checks (`database.lock`), so that it waits for an earlier
one rather than fail; one snapshot for a unit that reads. psycopg 3 has the server keep the plan of
a statement that a connection runs for the sixth time.
"""

import queue
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from peewee import PeeweeException, PostgresqlDatabase
from playhouse.migrations import Runner

from models.database import (
    Answer,
    Commits,
    UnitResult,
    Work,
    as_unavailable,
    call_back,
    db,
    pending,
    start_thread,
)
from models.errors import StartupError, Unavailable, Uncertain
from models.migrations import APPLICATION_ID, STEPS, newest_of

READING, WRITING = "REPEATABLE READ READ ONLY", "READ COMMITTED"
# Serialization failure, deadlock; lost to another's same key, or to who deleted what it refers to.
RETRYABLE = ("40001", "40P01", "23505", "23503")
READ_ONLY = "25006"  # a standby, or a server that was made one
STALE = "0A000"  # a plan that is kept gives columns of other types now: they were upgraded
CLIENT_ERRORS = ("22", "23", "25", "42")  # classes of errors that aren't the server's fault
DURABLE = ("on", "remote_write", "remote_apply")
TRIES = 4
PATIENCE = 3  # seconds to connect
PAUSE = 0.5  # seconds after which a server that is away is tried again
OPTIONS = {
    "connect_timeout": str(PATIENCE),
    "tcp_user_timeout": "10000",  # ms without an answer, after which a connection is dead
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "2",
    "client_encoding": "UTF8",
    "application_name": "afazeres",
}
# A plan that is kept since a table was small would read all of it when it has grown; and one that
# must read all would be thought to cost so much that it is compiled first.
SESSION = "SET lock_timeout = '5s'; SET enable_seqscan = off; SET jit = off"
# Text sorts and compares by its bytes, as on SQLite, whatever the language of the server.
LETTERS = """
    SELECT 'ALTER TABLE ' || quote_ident(relname) || ' ALTER COLUMN ' || quote_ident(attname)
        || ' TYPE ' || format_type(atttypid, atttypmod) || ' COLLATE "C"'
    FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
    WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'
        AND attcollation NOT IN (0, '"C"'::regcollation)
"""


def redacted_url(url: str) -> str:
    """Return what may be shown of an address: its server and its name, no user, no password."""
    parts = urlsplit(url)
    return f"postgresql://{parts.netloc.rpartition('@')[2]}{parts.path}"


def database_at(url: str) -> PostgresqlDatabase:
    """Return the database at postgresql://user:password@host:port/name?options."""
    parts = urlsplit(url)
    given = {"user": parts.username, "password": parts.password, "host": parts.hostname}
    options: dict[str, Any] = {name: unquote(value) for name, value in given.items() if value}
    if parts.port:
        options["port"] = parts.port
    options = OPTIONS | options | dict(parse_qsl(parts.query))
    name = unquote(parts.path[1:])
    return PostgresqlDatabase(name, autoconnect=False, prefer_psycopg3=True, **options)


@contextmanager
def exclusive(url: str) -> Iterator[PostgresqlDatabase]:
    """Connect to a database that is fit for us, and keep others from upgrading it meanwhile.

    Raises StartupError, also for what the server says until the end.
    """
    place, database = redacted_url(url), database_at(url)
    try:
        with database.connection_context():
            setting = value_of(database, "SHOW synchronous_commit")
            if setting not in DURABLE:
                raise StartupError(
                    f"{place} has synchronous_commit = {setting}, which can lose acknowledged "
                    "writes: run ALTER DATABASE ... SET synchronous_commit = on."
                )
            if value_of(database, "SHOW server_encoding") != "UTF8":
                raise StartupError(f"{place} can't store Unicode: create it with ENCODING 'UTF8'.")
            database.execute_sql("SELECT pg_advisory_lock(%s)", (APPLICATION_ID,))
            yield database
    except PeeweeException as error:
        reason = f"{place} can't be used ({' '.join(str(error).split())})"
        raise StartupError(f"{reason}: fix that and restart.") from error


def value_of(database: PostgresqlDatabase, sql: str) -> Any:
    return database.execute_sql(sql).fetchone()[0]


def prepare(url: str, database: PostgresqlDatabase) -> None:
    """Bring the database to today's schema. Raises StartupError when it isn't ours, or is newer."""
    place, runner, newest = redacted_url(url), Runner(database, str(STEPS)), newest_of(STEPS)
    applied = runner.applied()
    if database.get_tables() and "0001_first" not in applied:
        raise StartupError(f"{place} belongs to another program: choose another --database.")
    number = max((int(name[:4]) for name in applied), default=0)
    if number > newest:
        raise StartupError(
            f"{place} has schema {number}, but this program knows only {newest}: "
            "install the newer Afazeres that created it."
        )
    if number < newest:
        with database.atomic():
            runner.up()
            for (statement,) in database.execute_sql(LETTERS).fetchall():
                database.execute_sql(statement)


def connect(url: str) -> PostgresqlDatabase:
    """Return the database of a shell or a script. Raises StartupError; see `open_database`."""
    with exclusive(url) as database:
        prepare(url, database)
    return database_at(url)


def code_of(error: BaseException) -> str | None:
    """Return the SQLSTATE of what began it, empty for a connection's end; None if no engine's."""
    if not isinstance(error, PeeweeException) and not hasattr(error, "sqlstate"):
        return None  # peewee leaves some of the driver's errors as they are
    while error.__context__:
        error = error.__context__
    return getattr(error, "sqlstate", None) or ""


class PostgresStore:
    """Reading and writing one PostgreSQL database, from any thread: see `SqliteStore`."""

    def __init__(self, url: str, threads: int = 8) -> None:
        self.url = url
        self.threads = threads
        self.on_changes: Commits = lambda changes: None  # called after COMMIT, by the thread
        self.groups = (1,)  # units that share a commit: the server's matter
        self._away, self._try_at = "", 0.0  # why the server can't be reached, and when to try

    def open(self) -> None:
        """Make or upgrade the database if need be, and start the threads. Raises StartupError."""
        self._db = connect(self.url)
        db.initialize(self._db)
        self._work: queue.SimpleQueue[tuple[str, Work] | None] = queue.SimpleQueue()
        self._to_look_up: queue.SimpleQueue[tuple[str, Work] | None] = queue.SimpleQueue()
        queues = [self._work] * self.threads + [self._to_look_up]
        self._working = [start_thread(self._run_until_closed, each) for each in queues]

    def close(self) -> None:
        """Finish every unit that was handed in, then let go of the database."""
        for _ in range(self.threads):
            self._work.put(None)
        self._to_look_up.put(None)
        for thread in self._working:
            thread.join()

    def read(self, unit: Callable[[], Any], answer: Answer) -> None:
        self._work.put((READING, (unit, answer)))

    def write(self, unit: Callable[[], Any], answer: Answer) -> None:
        """Do what `SqliteStore.write` does, but `unit` may run several times.

        So it touches nothing but the database. When it is answered with an error nothing was
        stored; or, when the connection broke in COMMIT, it is Uncertain.
        """
        self._work.put((WRITING, (unit, answer)))

    def lookup(self, unit: Callable[[], Any], answer: Answer) -> None:
        """Have `unit` look things up, each query by itself, in the thread that is kept for this."""
        self._to_look_up.put(("", (unit, answer)))

    def snapshot_id(self) -> str:
        """Return what differs once anyone, here or elsewhere, has committed (in `lookup`)."""
        return str(value_of(self._db, "SELECT pg_current_snapshot()::text"))

    def waiting(self) -> int:
        return self._work.qsize()

    def _run_until_closed(self, source: "queue.SimpleQueue[tuple[str, Work] | None]") -> None:
        while work := source.get():
            mode, (unit, answer) = work
            call_back(answer, self._run(mode, unit))
        self._forget_connection()

    def _run(self, mode: str, unit: Callable[[], Any]) -> UnitResult:
        """Run a unit until it is committed, or refused for good."""
        tries = 0
        while True:
            tries, ended = tries + 1, False
            try:
                self._connect()
                pending.changes = []
                with self._db.atomic(mode) if mode else nullcontext():
                    result = unit()
                    if not self._db.is_connection_usable():
                        raise Unavailable("a statement failed, and its unit went on")
                    ended = True  # but for what waits for COMMIT
                if pending.changes:
                    call_back(self.on_changes, (pending.changes,))
                return result, None
            except Exception as error:  # whatever it is, it belongs to the caller of this unit
                code = code_of(error)
                lost = not self._db.is_closed() and self._db.connection().closed
                stays = code == READ_ONLY and mode == WRITING
                if lost or stays or code == STALE:
                    self._forget_connection()
                unknown = lost and ended and mode == WRITING  # what became of its COMMIT
                if (lost or code in (*RETRYABLE, STALE)) and not unknown and tries < TRIES:
                    time.sleep(0.01 * (code in RETRYABLE))  # what was in the way goes first
                    continue
                if unknown:
                    return None, as_unavailable(error, Uncertain)
                fault = stays or (code is not None and code[:2] not in CLIENT_ERRORS)
                return None, as_unavailable(error) if fault else error

    def _connect(self) -> None:
        """Make sure that this thread has a connection. Raises Unavailable.

        While the server is away one unit at a time tries, and the others fail at once.
        """
        if not self._db.is_closed():
            return
        if self._away:
            if time.monotonic() < self._try_at:
                raise Unavailable(self._away)
            self._try_at = time.monotonic() + PATIENCE + PAUSE
        try:
            self._db.connect()
            self._db.execute_sql(SESSION)
        except PeeweeException as error:
            self._forget_connection()
            refused = as_unavailable(error)
            self._away, self._try_at = str(refused), time.monotonic() + PAUSE
            raise refused from error
        self._away = ""

    def _forget_connection(self) -> None:
        """Close a connection that failed: the thread's next unit opens another."""
        with suppress(PeeweeException):
            self._db.close()
