"""The store and the engine behind it: what is acknowledged, what a failure takes along."""

import asyncio
import resource
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from peewee import (
    IntegrityError,
    InterfaceError,
    OperationalError,
    ProgrammingError,
    SqliteDatabase,
)

from checks.support.database import ask
from checks.support.servers import Server
from checks.support.visitors import Visitor, alerts
from models import lists, todos, users
from models.database import PreparedQuery, SqliteStore, db
from models.errors import NotFound, Unavailable
from models.sqlite_file import SqliteFile
from models.tables import List, User
from services.app_base import BaseApp
from services.lookup_cache import LookupCache
from services.render_cache import RenderCache

pytestmark = pytest.mark.sqlite


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """A database of one's own."""
    store = SqliteStore(tmp_path / "people.db", SqliteFile)
    store.open()
    yield store
    store.close()


def make(name: str) -> int:
    """Write a row: a unit of work as plain as can be."""
    return List.create(name=name, version=1).id


def names() -> list[str]:
    """Read the rows: the same, for reading."""
    return [row.name for row in List.select().order_by(List.id)]


class HeldUnit:
    """A unit that keeps the writer busy until it is let go, so that others gather behind it."""

    def __init__(self, store: SqliteStore) -> None:
        self.began, self.end = threading.Event(), threading.Event()
        self.answer = ask(store.write, self.unit)
        assert self.began.wait(10)

    def unit(self) -> None:
        """Wait."""
        self.began.set()
        assert self.end.wait(10)


def test_an_answer_comes_after_commit(store: SqliteStore) -> None:
    """Another connection, as of another program, sees what was acknowledged."""
    ask(store.write, make, "milk").result()
    other = SqliteDatabase(str(store.path))
    with other.connection_context():
        rows = other.execute_sql('SELECT name FROM "list"').fetchall()
    assert rows == [("milk",)]


def test_no_answer_before_the_commit_of_all(store: SqliteStore) -> None:
    """The first of a group waits for the last: until then nothing of it is on the disk."""
    held = HeldUnit(store)
    first, slow = ask(store.write, make, "first"), threading.Event()
    began = threading.Event()
    last = ask(store.write, lambda: (began.set(), slow.wait(10)))
    held.end.set()
    assert began.wait(10)  # so the first unit has run, in the same group
    assert not first.done() and ask(store.read, names).result() == []
    slow.set()
    last.result()
    assert first.result() == 1 and ask(store.read, names).result() == ["first"]


def test_answers_come_in_the_order_of_the_units(store: SqliteStore) -> None:
    """Who came first is told first, and the rows are in that order."""
    held = HeldUnit(store)
    told: list[int] = []
    answers = [ask(store.write, make, str(i)) for i in range(200)]
    for number, answer in enumerate(answers):
        answer.add_done_callback(lambda _, number=number: told.append(number))
    held.end.set()
    ask(store.write, names).result()
    assert told == list(range(200))
    assert [answer.result() for answer in answers] == list(range(1, 201))


def test_units_that_wait_share_a_commit(store: SqliteStore) -> None:
    """Twenty units, one transaction."""
    statements: list[str] = []
    ask(store.write, lambda: db.connection().set_trace_callback(statements.append)).result()
    held = HeldUnit(store)
    answers = [ask(store.write, make, str(i)) for i in range(20)]
    held.end.set()
    for answer in answers:
        answer.result()
    assert statements.count("BEGIN IMMEDIATE") == statements.count("COMMIT") - 1 == 2
    assert sum(s.startswith("INSERT") for s in statements) == 20


def test_a_group_has_an_end(tmp_path: Path) -> None:
    """However many wait, no more than `group` share a commit."""
    store = SqliteStore(tmp_path / "people.db", SqliteFile, group=1)
    store.open()
    held = HeldUnit(store)
    first, slow = ask(store.write, make, "first"), threading.Event()
    last = ask(store.write, slow.wait, 10)
    held.end.set()
    assert first.result(10) == 1  # though the one behind it has not ended
    slow.set()
    last.result()
    store.close()


def test_a_unit_that_fails_takes_only_itself_along(store: SqliteStore) -> None:
    """Its savepoint is undone; those before and behind it in the group are stored."""

    def half() -> None:
        make("half")
        raise KeyError("a mistake")

    held = HeldUnit(store)
    answers: list[Any] = [ask(store.write, make, "before"), ask(store.write, half)]
    answers.append(ask(store.write, lambda: User.create(username="x", join_date=None)))
    answers.append(ask(store.write, make, "behind"))
    held.end.set()
    assert answers[3].result() == 2
    with pytest.raises(KeyError):
        answers[1].result()
    with pytest.raises(IntegrityError):
        answers[2].result()
    assert ask(store.read, names).result() == ["before", "behind"]


def test_what_was_committed_is_told(store: SqliteStore) -> None:
    """After COMMIT and before anyone is answered; nothing of a unit that failed."""
    told: list[Any] = []
    ann = ask(store.write, users.sign_up, "ann", None, None, "Things").result()

    def on_changes(changes: list[tuple[int, int, str]]) -> None:
        other = SqliteDatabase(str(store.path))
        with other.connection_context():
            (found,) = other.execute_sql("SELECT version FROM list").fetchone()
        told.append((found, changes))

    def half() -> None:
        todos.add(ann, 1, "half")
        raise KeyError("a mistake")

    store.on_changes = on_changes
    held = HeldUnit(store)
    answers = [ask(store.write, todos.add, ann, 1, "milk"), ask(store.write, half)]
    answers.append(ask(store.write, lists.rename, ann, 1, "Casa"))
    answers[0].add_done_callback(lambda _: told.append("answered"))
    held.end.set()
    answers[2].result()
    assert told == [(3, [(1, 2, "todo"), (1, 3, "list")]), "answered"]
    told.clear()
    with pytest.raises(KeyError):
        ask(store.write, half).result()
    assert told == []


def break_commit() -> None:
    """Leave a foreign key that leads nowhere, which SQLite finds at COMMIT only."""
    db.execute_sql("PRAGMA defer_foreign_keys = 1")
    columns = "list_id, user_id, role, position, last_read_message, accepted"
    db.execute_sql(f'INSERT INTO "member" ({columns}) VALUES (9, 9, "x", 1, 0, 1)')


def break_transaction() -> None:
    """Make SQLite itself roll everything back, as it does when the disk is full."""
    make("within")
    db.execute_sql('INSERT OR ROLLBACK INTO "list" (id, name, version) VALUES (1, "again", 1)')


@pytest.mark.parametrize("breaking", [break_commit, break_transaction])
def test_a_commit_that_fails_fails_all(store: SqliteStore, breaking: Any) -> None:
    """None of the group was stored, all are told so, and the next unit finds all in order."""
    ask(store.write, make, "earlier").result()
    held = HeldUnit(store)
    answers: list[Any] = [
        ask(store.write, make, "a"),
        ask(store.write, breaking),
        ask(store.write, make, "b"),
    ]
    held.end.set()
    for answer in answers:
        with pytest.raises(Unavailable):
            answer.result()
    assert ask(store.read, names).result() == ["earlier"]
    assert ask(store.write, make, "later").result() == 2


def test_a_reader_cannot_write(store: SqliteStore) -> None:
    """Nor does its failure disturb the next."""
    with pytest.raises(Unavailable):
        ask(store.read, make, "milk").result()
    assert ask(store.read, names).result() == []


def test_a_read_sees_one_moment(store: SqliteStore) -> None:
    """What is committed meanwhile is not for a unit that has begun."""
    looked, go_on = threading.Event(), threading.Event()

    def twice() -> tuple[list[str], list[str]]:
        before = names()
        looked.set()
        go_on.wait(10)
        return before, names()

    reading = ask(store.read, twice)
    assert looked.wait(10)
    ask(store.write, make, "milk").result()
    go_on.set()
    assert reading.result() == ([], [])
    assert ask(store.read, names).result() == ["milk"]


def test_an_answer_that_fails_harms_nobody(store: SqliteStore, caplog: Any) -> None:
    """The threads of the server don't die of what who asked does with the answer."""

    def fall(result: Any, error: Exception | None) -> None:
        raise SystemError("nobody is there")

    for _ in range(store.readers + 1):
        store.read(names, fall)
        store.write(names, fall)
    assert ask(store.write, make, "milk").result() == 1
    assert ask(store.read, names).result() == ["milk"]
    caplog.clear()


def test_a_connection_that_failed_is_replaced(store: SqliteStore) -> None:
    """Whatever happened to it, the thread's next unit has another."""

    def spoil() -> None:
        db.connection().close()
        names()

    for work in (store.read, store.write):
        for _ in range(store.readers + 1):
            with pytest.raises((Unavailable, ProgrammingError)):
                ask(work, spoil).result()
        assert ask(work, names).result() == []


@pytest.mark.parametrize(
    ("failing", "logged"), [(NotFound(), []), (Unavailable("full"), []), (KeyError(1), [KeyError])]
)
def test_a_fault_in_what_nobody_waits_for_is_logged(
    store: SqliteStore, caplog: pytest.LogCaptureFixture, failing: Exception, logged: list[Any]
) -> None:
    """A mistake of ours has its traceback in the log; a bad moment fills no log."""

    def unit() -> None:
        raise failing

    BaseApp.write_soon(SimpleNamespace(store=store), unit)  # type: ignore[arg-type]
    ask(store.write, names).result()  # which comes after it
    assert [each.exc_info and each.exc_info[0] for each in caplog.records] == logged


def test_a_mistake_in_sql_is_no_bad_moment(store: SqliteStore) -> None:
    """It is told as what it is, so that someone mends it."""
    for work in (store.read, store.write):
        with pytest.raises(OperationalError):
            ask(work, db.execute_sql, "SELECT nothing FROM nowhere").result()
        assert ask(work, names).result() == []


def test_the_peephole_only_looks(store: SqliteStore) -> None:
    """It runs on the event loop's own thread: it waits for nobody, and changes nothing."""
    ask(store.write, make, "milk").result()
    assert store.lookup(PreparedQuery(List.select(List.name))) == [("milk",)]
    with pytest.raises(Unavailable):
        store.lookup(PreparedQuery(List.delete()))
    assert store._lookups.timeout == 0
    assert ask(store.read, names).result() == ["milk"]


def test_what_was_looked_up_is_never_stale(store: SqliteStore) -> None:
    """Remembered until anyone commits: here, in another process, and around a failure."""
    query = PreparedQuery(List.select(List.name).order_by(List.id))

    def unit(lookup: Callable[..., Any]) -> list[str]:
        asked.append(1)
        return [name for (name,) in lookup(query)]

    async def live() -> None:
        lookups = LookupCache(store)
        assert (await lookups(unit), await lookups(unit), len(asked)) == ([], [], 1)
        ask(store.write, make, "milk").result()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert (await lookups(unit), await lookups(unit), len(asked)) == (["milk"], ["milk"], 2)
        other = SqliteDatabase(str(store.path))
        with other.connection_context():
            other.execute_sql("UPDATE list SET name = 'bread'")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert await lookups(unit) == ["bread"]
        store._lookups.close()
        store.lookup, lookup = broken, store.lookup  # type: ignore[method-assign]
        with pytest.raises(Unavailable):
            await lookups(lambda lookup: lookup(query))
        store.lookup = lookup  # type: ignore[method-assign]
        ask(store.write, make, "honey").result()
        assert await lookups(unit) == ["bread", "honey"]

    def broken(*args: Any, **values: Any) -> Any:
        raise Unavailable("on purpose")

    asked: list[int] = []
    asyncio.run(live())


def test_what_was_drawn_is_bounded() -> None:
    """The longest unused goes; what is very large isn't kept at all."""
    kept = RenderCache(100_000)
    for number in range(20):
        kept.put(number, b"x" * 9_000)  # and what it takes beside it
        kept.get(0)
    assert kept.get(0) and kept.get(19) and kept.get(1) is None
    assert kept.size == 100_000
    kept.put("large", b"x" * 19_001)
    assert kept.get("large") is None


def test_what_many_ask_for_is_drawn_once() -> None:
    """A change sends all who watch a list to ask at once; a failure is shared, but not kept."""
    cache = RenderCache()
    drawings: list[int] = []

    async def draw() -> bytes:
        drawings.append(1)
        await asyncio.sleep(0)
        if len(drawings) == 1:
            raise Unavailable("on purpose")
        return b"rows"

    async def live() -> None:
        async def ask_for() -> Any:
            return await cache.get_or_render("key", draw)

        refused = await asyncio.gather(*[ask_for() for _ in range(9)], return_exceptions=True)
        assert all(isinstance(answer, Unavailable) for answer in refused)
        assert await asyncio.gather(*[ask_for() for _ in range(9)]) == [b"rows"] * 9
        assert await ask_for() == b"rows"

    asyncio.run(live())
    assert len(drawings) == 2


def test_outside_the_doors_nothing_is_asked(store: SqliteStore) -> None:
    """A query on the event loop's thread, hidden in a template perhaps, fails at once."""
    with pytest.raises(InterfaceError):
        names()


def test_the_settings_of_a_connection(store: SqliteStore) -> None:
    """What durability and integrity rest on, as SQLite itself tells it."""

    def settings() -> list[Any]:
        told = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout", "query_only")
        return [db.pragma(name) for name in told]

    assert ask(store.write, settings).result() == ["wal", 2, 1, 5000, 0]
    assert ask(store.read, settings).result() == ["wal", 2, 1, 5000, 1]
    assert ask(store.read, db.pragma, "wal_autocheckpoint").result() == 0


def test_closing_finishes_what_was_handed_in(tmp_path: Path) -> None:
    """And leaves one tidy file and its lock."""
    store = SqliteStore(tmp_path / "people.db", SqliteFile)
    store.open()
    ask(store.read, names).result()
    answers = [ask(store.write, make, str(i)) for i in range(300)]
    store.close()
    assert [answer.result() for answer in answers] == list(range(1, 301))
    assert {file.name for file in tmp_path.iterdir()} == {"people.db", "people.db.lock"}


def test_a_full_disk(start: Callable[..., Server]) -> None:
    """Changes are refused with 503, reading goes on, and nothing need be restarted afterwards."""
    server = start()
    ann = Visitor(server, "ann")
    ann.sign_up()
    ann.add("before")
    other = SqliteDatabase(str(server.database))
    with other.connection_context():  # so that her next visit is to be noted, on a full disk
        an_hour_ago = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-1 hour')"
        other.execute_sql(f"UPDATE session SET last_seen = {an_hour_ago}")
    log = Path(f"{server.database}-wal")
    unlimited = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (log.stat().st_size, unlimited[1]))
    assert [row.title for row in ann.rows()] == ["before"]
    for _ in range(3):
        answer = ann.post(f"/lists/{ann.list}", title="during")
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert "nothing was changed" in alerts(answer.text)[0]
    assert [row.title for row in ann.rows()] == ["before"]
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, unlimited)
    ann.add("after")
    assert [row.title for row in ann.rows()] == ["before", "after"]
    with other.connection_context():
        noted = other.execute_sql("SELECT last_seen >= created FROM session").fetchall()
    assert noted == [(1,)]
    server.expected += ["disk I/O error", "disk is full"]
    server.stop()


def test_a_database_locked_by_another_program(start: Callable[..., Server]) -> None:
    """Changes wait for it; reading does not, and neither do other pages."""
    server = start()
    ann = Visitor(server, "ann")
    ann.sign_up()
    other = SqliteDatabase(str(server.database))
    with other.connection_context():
        other.execute_sql("BEGIN IMMEDIATE")
        with ThreadPoolExecutor() as pool:
            adding = pool.submit(ann.add, "milk")
            assert ann.rows() == [] and not adding.done()
            other.execute_sql("ROLLBACK")
            adding.result()
    assert [row.title for row in ann.rows()] == ["milk"]
    server.stop()
