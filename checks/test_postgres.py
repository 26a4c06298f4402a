"""PostgreSQL: what a start refuses, what is locked and tried again, what a lost server leaves."""

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
import requests
from peewee import (
    IntegrityError,
    PeeweeException,
    PostgresqlDatabase,
    ProgrammingError,
)
from tornado.options import Error

import app  # noqa: F401  which fills what extras add
from checks.support import cluster
from checks.support.database import ask
from checks.support.needs import needs_postgresql
from checks.support.programs import Program
from checks.support.servers import KEY, NEWEST, ROOT, Server, numbers, refused
from checks.support.sockets import UPGRADE, Client, Socket, aside, hear, held, play
from checks.support.visitors import Visitor, at, join
from checks.support.waiting import until
from checks.support.writers import Writer
from config import Config, read
from models import (
    account_closing,
    accounts,
    idempotency,
    invitations,
    invites,
    lists,
    members,
    messages,
    password_resets,
    rate_limits,
    sessions,
    todos,
    users,
)
from models.database import SqliteStore, db
from models.errors import Conflict, Forbidden, Invalid, NotFound, Unavailable, Uncertain
from models.postgres import PostgresStore, exclusive, prepare
from models.rate_limits import RateLimit
from models.sqlite_file import SqliteFile
from models.tables import Change, List, Session, Todo, User
from services.postgres_lookup_cache import PostgresLookupCache

pytestmark = [pytest.mark.postgresql, needs_postgresql]
BACK_WITHIN = 5  # seconds after the server is there again


@pytest.fixture
def own() -> Iterator[cluster.Cluster]:
    """A cluster of one's own, to pull the plug of, as durable as any."""
    made = cluster.Cluster()
    yield made
    made.stop()


def name_in(url: str) -> str:
    """Return the name of a database."""
    return urlsplit(url).path[1:]


def another_program(here: cluster.Cluster, url: str) -> PostgresqlDatabase:
    """Return a connection of another program to a database."""
    return PostgresqlDatabase(
        name_in(url), host="127.0.0.1", port=here.port, user="ana", prefer_psycopg3=True
    )


@pytest.fixture
def store(url: str) -> Iterator[PostgresStore]:
    """The store of a database of one's own."""
    with closing(PostgresStore(url)) as store:
        store.told = []  # type: ignore[attr-defined]  # what was committed
        store.on_changes = store.told.extend  # type: ignore[attr-defined]
        store.open()
        yield store


@pytest.fixture
def ann(store: PostgresStore) -> Any:
    """Ann, who has a list: number 1."""
    return ask(store.write, users.sign_up, "ann", None, None, "Things").result()


# ------------------------------------------------------------------------------- how it starts


def foreign(here: cluster.Cluster, url: str) -> str:
    here.execute("CREATE TABLE theirs (id int)", name_in(url))
    return "belongs to another program"


def newer(here: cluster.Cluster, url: str) -> str:
    with exclusive(url) as database:
        prepare(url, database)
    added = "INSERT INTO schema_migration (name, applied) VALUES ('0999_later', now())"
    here.execute(added, name_in(url))
    return f"has schema 999, but this program knows only {NEWEST}"


def careless(here: cluster.Cluster, url: str) -> str:
    here.execute(f"ALTER DATABASE {name_in(url)} SET synchronous_commit = off")
    return "synchronous_commit = off"


def locally(here: cluster.Cluster, url: str) -> str:
    here.execute(f"ALTER DATABASE {name_in(url)} SET synchronous_commit = local")
    return "synchronous_commit = local"


def ascii_only(here: cluster.Cluster, url: str) -> str:
    here.execute(f"DROP DATABASE {name_in(url)}")
    here.execute(f"CREATE DATABASE {name_in(url)} ENCODING 'SQL_ASCII' TEMPLATE template0")
    return "can't store Unicode"


def missing(here: cluster.Cluster, url: str) -> str:
    here.execute(f"DROP DATABASE {name_in(url)}")
    return "does not exist"


@pytest.mark.parametrize("fault", [foreign, newer, careless, locally, ascii_only, missing])
def test_a_database_that_is_refused(here: cluster.Cluster, url: str, fault: Any) -> None:
    """Is named in one line, without its password, that says what is wrong; and left as it was."""
    reason = fault(here, url)
    tables = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = 'public'"
    before = fault is missing or here.execute(tables, name_in(url))
    said = refused(f"--database={url}", KEY)
    assert reason in said and name_in(url) in said and "a-secret" not in said
    assert before == (fault is missing or here.execute(tables, name_in(url)))


def test_a_server_that_is_not_there() -> None:
    """Is a line, too; and so is an option that there isn't."""
    url = f"postgresql://ana:a-secret@127.0.0.1:{cluster.free_port()}/people"
    said = refused(f"--database={url}", KEY)
    assert "refused" in said and "a-secret" not in said
    said = refused(f"--database={url}?sslmood=require", KEY)
    assert "sslmood" in said and "a-secret" not in said


def test_what_else_must_be_given(url: str, tmp_path: Path) -> None:
    """A key for cookies; backups are another program's matter; no password is ever said."""
    assert "secrets.token_urlsafe" in refused(f"--database={url}")
    for option in ("--backup", "--backup_folder"):
        assert "pg_dump" in refused(f"--database={url}", KEY, f"{option}={tmp_path}/x")
    for wrong in (
        "--database=postgres://ana:a-secret@there/people",
        "--database=postgresql://ana:a-secret?@there/people",
        "--database=postgresql://ana:a-secret@there:port/people",
        "--database=postgresql://ana:a-secret@there",
        "--databse=postgresql://ana:a-secret@there/people",
        "--migrate_to=mysql://ana:a-secret@there/people",
    ):
        with pytest.raises(Error) as error:
            read(["app.py", wrong], {})
        assert "a-secret" not in str(error.value) and "there" in str(error.value)
    with pytest.raises(Error, match="migrate_to copies a SQLite file"):
        Config(database=url, migrate_to=url)


def test_first_starts_at_the_same_time(
    here: cluster.Cluster, start: Callable[..., Server], url: str
) -> None:
    """Who upgrades is alone, the others wait for it; all serve."""
    waiting = "SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    with ThreadPoolExecutor(3) as pool:
        with exclusive(url) as database:
            begun = [pool.submit(start, f"--database={url}", KEY) for _ in range(3)]
            until(lambda: here.execute(waiting, name_in(url)) == [(3,)])
            assert database.get_tables() == []
        servers = [each.result() for each in begun]
    ann = Visitor(servers[0], "ann")
    ann.sign_up()
    for server in servers:
        assert at(ann, server).get("/lists").status_code == 200
    for server in servers:
        server.stop()


def test_the_columns(store: PostgresStore, here: cluster.Cluster) -> None:
    """Ids have 64 bits, and text sorts by its bytes."""
    columns = (
        "SELECT column_name, data_type, collation_name FROM information_schema.columns"
        " WHERE table_schema = 'public' AND table_name <> 'schema_migration'"
    )
    found = here.execute(columns, name_in(store.url))
    assert len(found) > 80
    for name, kind, collation in found:
        if name == "id" or name.endswith("_id"):
            assert kind == "bigint"
        if "char" in kind or kind == "text":
            assert collation == "C", name


# ------------------------------------------------------------------------------ units of work


def test_a_read_sees_one_moment(store: PostgresStore, ann: Any) -> None:
    """And can't write; a unit that writes is answered after COMMIT."""
    looked, go_on = threading.Event(), threading.Event()

    def names() -> list[str]:
        return [row.name for row in List.select().order_by(List.id)]

    def twice() -> tuple[list[str], list[str]]:
        before = names()
        looked.set()
        assert go_on.wait(10)
        return before, names()

    reading = ask(store.read, twice)
    assert looked.wait(10)
    ask(store.write, lists.rename, ann, 1, "Casa").result()
    assert ask(store.read, names).result() == ["Casa"]
    go_on.set()
    assert reading.result() == (["Things"], ["Things"])
    with pytest.raises(PeeweeException, match="read-only"):
        ask(store.read, lambda: User.update(email="x").execute()).result()


def test_many_write_one_list(store: PostgresStore, ann: Any) -> None:
    """Each change gets a version of its own, none is lost, and the list counts right."""
    answers = [ask(store.write, todos.add, ann, 1, str(number)) for number in range(100)]
    for answer in answers:
        answer.result()

    def told() -> list[int]:
        return [change.version for change in Change.select().order_by(Change.version)]

    assert ask(store.read, told).result() == [*range(1, 102)]
    seen, page = ask(store.read, todos.rows, ann, 1).result()
    assert seen.version == 101 and seen.total == seen.open == len(page.rows) == 100
    assert sorted(version for _, version, _ in store.told) == [*range(1, 102)]


class HeldUnit:
    """A unit of work that has done something, and waits before it is committed."""

    def __init__(self, store: PostgresStore, unit: Callable[..., Any], *args: Any) -> None:
        self.began, self.end = threading.Event(), threading.Event()
        self.answer = ask(store.write, self.run, partial(unit, *args))
        assert self.began.wait(10)

    def run(self, unit: Callable[[], Any]) -> Any:
        """Do it, and wait."""
        result = unit()
        self.began.set()
        assert self.end.wait(10)
        return result


def waiting(here: cluster.Cluster) -> bool:
    """Say whether someone waits for a lock."""
    return bool(here.execute("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"))


def behind(here: cluster.Cluster, held: HeldUnit, store: PostgresStore, *work: Any) -> Any:
    """Hand in a unit that must wait for the held one, let that go; return the answer to come."""
    answer = ask(store.write, *work)
    until(waiting, here)
    assert not answer.done()
    held.end.set()
    held.answer.result()
    return answer


def test_who_was_removed_just_now(here: cluster.Cluster, store: PostgresStore, ann: Any) -> None:
    """Can't write any more, though they could when they asked; nor join by a link that ended."""
    bob = ask(store.write, users.sign_up, "bob", None, None, "His").result()
    ask(store.write, members.put, ann, 1, "bob", "editor").result()
    ask(store.write, invitations.accept, bob, 1).result()
    held = HeldUnit(store, members.remove, ann, 1, "bob")
    with pytest.raises(NotFound):
        behind(here, held, store, todos.add, bob, 1, "milk").result()
    key = ask(store.write, invites.invite, ann, 1, "editor").result()
    (link,) = ask(store.read, invites.invites, 1).result()
    held = HeldUnit(store, invites.revoke, ann, 1, link.id)
    with pytest.raises(NotFound):
        behind(here, held, store, invites.join, bob, key).result()


def test_two_owners_leave_at_once(here: cluster.Cluster, store: PostgresStore, ann: Any) -> None:
    """The second has become the last, and stays."""
    bob = ask(store.write, users.sign_up, "bob", None, None, "His").result()
    ask(store.write, members.put, ann, 1, "bob", "owner").result()
    ask(store.write, invitations.accept, bob, 1).result()
    held = HeldUnit(store, members.remove, ann, 1, "ann")
    with pytest.raises(Conflict):
        behind(here, held, store, members.remove, bob, 1, "bob").result()


def test_a_key_is_good_once(here: cluster.Cluster, store: PostgresStore, ann: Any) -> None:
    """However many use it at the same time."""
    browser = sessions.Browser("127.0.0.1", "x")
    key = ask(store.write, password_resets.create_reset, "ann").result()
    held = HeldUnit(store, password_resets.reset_password, key, "one", browser)
    with pytest.raises(NotFound):
        behind(here, held, store, password_resets.reset_password, key, "two", browser).result()
    (stored,) = ask(store.read, lambda: [user.password for user in User.select()]).result()
    assert stored == "one"


def test_a_password_of_just_now(here: cluster.Cluster, store: PostgresStore, ann: Any) -> None:
    """Who was let in by the old one a moment ago is not, once there is another."""
    browser = sessions.Browser("127.0.0.1", "x")
    ask(store.write, accounts.change_password, ann, "old", browser).result()
    held = HeldUnit(store, accounts.change_password, ann, "new", browser)
    with pytest.raises(Forbidden):
        behind(here, held, store, sessions.log_in, ann, browser, None, "old").result()
    held = HeldUnit(store, sessions.log_in, ann, browser, None, "new")
    behind(here, held, store, accounts.change_password, ann, "newest", browser).result()
    assert ask(store.read, lambda: Session.select().count()).result() == 1


def test_who_is_leaving_for_good(here: cluster.Cluster, store: PostgresStore, ann: Any) -> None:
    """Gets no list any more; and what someone joins at that moment stays theirs."""
    bob = ask(store.write, users.sign_up, "bob", None, None, "His").result()
    held = HeldUnit(store, account_closing.close, bob)
    with pytest.raises(Invalid):
        behind(here, held, store, members.put, ann, 1, "bob", "editor").result()
    cy = ask(store.write, users.sign_up, "cy", None, None, "Hers").result()
    ask(store.write, members.put, ann, 1, "cy", "editor").result()
    held = HeldUnit(store, invitations.accept, cy, 1)
    behind(here, held, store, account_closing.close, ann).result()
    names = ask(store.read, lambda: [row.name for row in List.select().order_by(List.id)])
    assert names.result() == ["Things", "", "Hers"]


def test_what_is_taken_back_twice(here: cluster.Cluster, store: PostgresStore, ann: Any) -> None:
    """Is gone the second time, and told once."""
    said = ask(store.write, messages.say, ann, 1, "hello").result()
    held = HeldUnit(store, messages.take_back, ann, said["id"])
    with pytest.raises(NotFound):
        behind(here, held, store, messages.take_back, ann, said["id"]).result()


def test_a_condition_holds_until_commit(start: Callable[..., Server], url: str) -> None:
    """Of many who change the same version of a todo, by If-Match, one does."""
    server = start(f"--database={url}", KEY)
    ann = Visitor(server, "ann")
    ann.sign_up()
    program = Program(server, ann.name)
    todo = program.post("/todos", {"title": "milk"})
    path, match = f"/todos/{todo.json()['id']}", f'"{todo.json()["version"]}"'

    def change(number: int) -> int:
        body = {"title": f"{number}"}
        return program.patch(path, body, headers={"If-Match": match}).status_code

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(change, range(8))) == [200, *[412] * 7]
    server.stop()


def test_a_repeat_at_the_same_time(here: cluster.Cluster, store: PostgresStore, ann: Any) -> None:
    """Waits for the first, is undone, and gets the same answer."""
    unit = partial(todos.add, ann, 1, "milk")
    held = HeldUnit(store, idempotency.once, ann, "key", "asked", unit)
    again = behind(here, held, store, idempotency.once, ann, "key", "asked", unit)
    assert again.result() == held.answer.result()
    assert ask(store.read, lambda: Todo.select().count()).result() == 1


def test_tries_at_the_same_time(here: cluster.Cluster, store: PostgresStore) -> None:
    """Are all counted, also the first ones, which make the row."""
    held = HeldUnit(store, rate_limits.count, "address:10.0.0.1")
    behind(here, held, store, rate_limits.count, "address:10.0.0.1").result()
    answers = [ask(store.write, rate_limits.count, "address:10.0.0.1") for _ in range(20)]
    for answer in answers:
        answer.result()
    assert ask(store.read, lambda: RateLimit.select().get().total).result() == 22


def test_a_name_is_one_persons(here: cluster.Cluster, store: PostgresStore) -> None:
    """Who comes second is told so, and what they did besides is not half done."""
    held = HeldUnit(store, users.sign_up, "ann", None, None, "Hers")
    with pytest.raises(Exception, match="That username is taken"):
        behind(here, held, store, users.sign_up, "ann", None, None, "Theirs").result()
    assert ask(store.read, lambda: [row.name for row in List.select()]).result() == ["Hers"]


def test_a_deadlock_is_tried_again(store: PostgresStore, ann: Any) -> None:
    """Two lists crosswise: the server ends one of the two units, which then succeeds."""
    ask(store.write, lists.create, ann, "Two").result()
    both, runs = threading.Barrier(2), []

    def cross(first: int, second: int) -> None:
        lists.lock(first)
        runs.append(first)
        if len(runs) <= 2:
            both.wait(10)
        lists.lock(second)
        todos.add(ann, second, "milk")

    answers = [ask(store.write, cross, *pair) for pair in ((1, 2), (2, 1))]
    for answer in answers:
        answer.result(20)
    assert len(runs) > 2
    assert ask(store.read, lambda: Todo.select().count()).result() == 2


def test_what_fails_for_ever(store: PostgresStore, here: cluster.Cluster, url: str) -> None:
    """Is tried four times, and then refused; a mistake is told as what it is, at once."""
    runs: list[int] = []
    here.execute(
        "CREATE FUNCTION fail(code text) RETURNS int LANGUAGE plpgsql"
        " AS 'BEGIN RAISE EXCEPTION USING ERRCODE = code, MESSAGE = code; END'",
        name_in(url),
    )

    def fail(code: str) -> None:
        runs.append(1)
        db.execute_sql("SELECT fail(%s)", (code,))

    for code, kind, times in (
        ("40001", Unavailable, 4),
        ("40P01", Unavailable, 4),
        ("23505", IntegrityError, 4),
        ("53100", Unavailable, 1),
        ("42P01", ProgrammingError, 1),
    ):
        runs.clear()
        with pytest.raises(kind) as failed:
            ask(store.write, fail, code).result()
        assert len(runs) == times and failed.type is kind, code


def test_plans_of_before_an_upgrade(here: cluster.Cluster, store: PostgresStore, ann: Any) -> None:
    """Are made again when what they give has become of another kind."""
    one = {"name": "Things", "revision": 0}

    def mine() -> dict[str, Any]:
        (seen,) = lists.mine(ann)
        return {name: getattr(seen, name) for name in one}

    for _ in range(20):
        assert ask(store.read, mine).result() == one
    widened = "ALTER TABLE list ALTER name TYPE varchar(200), ALTER revision TYPE numeric"
    here.execute(widened, name_in(store.url))
    answers = [ask(store.read, mine) for _ in range(20)]
    assert [answer.result() for answer in answers] == [one] * 20
    assert ask(store.write, todos.add, ann, 1, "milk").result()


def test_plans_of_before_a_house_grew(
    here: cluster.Cluster, store: PostgresStore, ann: Any
) -> None:
    """Don't read whole tables, though these were so small then that it was the quickest."""

    def rows(kind: str) -> int:
        stats = f"SELECT sum({kind}) FROM pg_stat_user_tables WHERE relname IN ('list', 'todo')"
        return int(here.execute(stats, name_in(store.url))[0][0])

    here.execute("VACUUM ANALYZE", name_in(store.url))
    before = rows("seq_tup_read")
    for number in range(400):
        ask(store.write, todos.add, ann, 1, str(number)).result()
    until(lambda: rows("n_tup_ins") > 400)  # told some seconds later
    assert rows("seq_tup_read") == before


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("mistake", ["SELECT nothing FROM nowhere", "SELEC"])
def test_a_failure_that_goes_unnoticed(
    mistake: str, first: bool, store: PostgresStore, ann: Any
) -> None:
    """Is no success: the server would make a rollback of its COMMIT."""

    def careless() -> None:
        if not first:
            todos.add(ann, 1, "milk")
        with suppress(PeeweeException):
            db.execute_sql(mistake)
        if first:
            with suppress(PeeweeException):
                todos.add(ann, 1, "milk")

    store.told.clear()
    with pytest.raises((Unavailable, PeeweeException)):
        ask(store.write, careless).result()
    assert ask(store.read, lambda: Todo.select().count()).result() == 0 and not store.told


def end_connection(here: cluster.Cluster, pid: int) -> None:
    """End a connection at the server, and wait until it has."""
    here.execute(f"SELECT pg_terminate_backend({pid}, 9000)")


def pid() -> int:
    """Return the number of this unit's connection."""
    return int(db.execute_sql("SELECT pg_backend_pid()").fetchone()[0])


def test_a_connection_that_breaks(here: cluster.Cluster, store: PostgresStore, ann: Any) -> None:
    """Before the unit, or in it, it is run on another; in COMMIT nobody knows what became of it."""
    runs: list[str] = []

    def broken(when: str) -> None:
        runs.append(when)
        first = runs.count(when) == 1
        todos.add(ann, 1, when)
        if first:
            end_connection(here, pid())
        if when == "in the unit" and first:
            db.execute_sql("SELECT 1")

    ask(store.write, broken, "in the unit").result()
    with pytest.raises(Uncertain):
        ask(store.write, broken, "in COMMIT").result()
    assert runs == ["in the unit", "in the unit", "in COMMIT"]
    others = "SELECT pg_terminate_backend(pid, 9000) FROM pg_stat_activity WHERE datname = '{}'"
    for unit, result in (
        (lambda: [t.title for t in Todo.select()], ["in the unit"]),
        (lambda: 1, 1),
    ):
        here.execute(others.format(name_in(store.url)))
        answers = [ask(store.read, unit) for _ in range(20)]
        assert [answer.result() for answer in answers] == [result] * 20


def test_a_lock_that_another_program_holds(
    here: cluster.Cluster, start: Callable[..., Server], url: str
) -> None:
    """Changes are refused after a while, reading goes on."""
    server = start(f"--database={url}", KEY)
    ann = Visitor(server, "ann")
    ann.sign_up()
    other = another_program(here, url)
    with other.connection_context(), other.atomic():
        other.execute_sql("SELECT * FROM list FOR UPDATE")
        assert ann.post(f"/lists/{ann.list}", title="milk").status_code == 503
        assert ann.rows() == []
    ann.add("milk")
    server.expected.append("lock timeout")
    server.stop()


def test_a_window_that_goes_before_it_is_let_in(
    here: cluster.Cluster, start: Callable[..., Server], url: str
) -> None:
    """Is counted neither in nor out."""
    server = start(f"--database={url}", KEY)
    ann = Visitor(server, "ann")
    ann.sign_up()
    other = another_program(here, url)
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    with other.connection_context(), other.atomic():
        other.execute_sql("LOCK TABLE session")
        here.execute("SELECT txid_current()", name_in(url))  # so the session must be looked up
        window = Client(ann)
        play(lambda: window.ask("GET /live", UPGRADE + "\r\n"))
        until(lambda: here.execute(waiting) == [(1,)])
        window.socket.close()
        until(lambda: window.port not in held(urlsplit(server.url).port or 0))
    until(lambda: ann.rows() == [])  # by now all is known of it
    assert numbers(ann.get("/metrics").text)["sockets"] == 0
    server.stop()


# -------------------------------------------------------------------------------- news and looks


def test_what_was_looked_up_is_never_stale(store: PostgresStore, ann: Any) -> None:
    """It is asked once for all requests of a turn, and remembered until anyone commits."""
    asked: list[int] = []

    def unit(lookup: Callable[..., Any]) -> str:
        asked.append(1)
        return lists.mine(ann, lookup)[0].name

    def nobody(lookup: Callable[..., Any]) -> None:
        raise NotFound

    async def scene() -> None:
        lookups = PostgresLookupCache(store)
        assert await asyncio.gather(*[lookups(unit) for _ in range(9)]) == ["Things"] * 9
        assert len(asked) == 1
        before = await lookups.snapshot_id()
        for name in ("Casa", "Jardim"):
            await aside(ask(store.write, lists.rename, ann, 1, name).result)
            assert await lookups(unit) == name
        assert await lookups.snapshot_id() != before
        with pytest.raises(NotFound):
            await lookups(nobody)
        with pytest.MonkeyPatch.context() as patch:  # as of one moment, whatever else is written
            patch.setattr(store, "snapshot_id", lambda: "the same")
            patch.setattr("services.postgres_lookup_cache.time", SimpleNamespace(time=lambda: 1.0))
            asked.clear()
            for _ in range(5):
                assert await lookups(unit) == "Jardim"
            assert len(asked) == 1

    play(scene)


def test_another_process_is_heard(start: Callable[..., Server], url: str) -> None:
    """Of what it stored, and of who may not read any more; both without Redis."""
    servers = [start(f"--database={url}", KEY) for _ in range(2)]
    ann, bob = Visitor(servers[0], "ann"), Visitor(servers[0], "bob")
    for each in (ann, bob):
        each.sign_up()
    assert join(ann, bob) == 303
    bob.list = ann.list
    there = at(bob, servers[1])

    async def scene() -> None:
        async with Socket(there) as socket:
            now = (await socket.watch(ann.list))["version"]
            await aside(ann.add, "milk")
            await hear(socket, type="changed", version=now + 1)
            path = f"/lists/{ann.list}/members/{bob.name}/remove"
            assert (await aside(ann.post, path)).status_code == 303
            await hear(socket, type="gone", list=ann.list)

    play(scene)
    for server in servers:
        server.stop()


# ------------------------------------------------------------------------------ a lost server


def test_the_server_is_restarted(start: Callable[..., Server], own: cluster.Cluster) -> None:
    """While people write, as if it had crashed: nothing acknowledged is lost, and it goes on."""
    url = own.make("people")
    server = start(f"--database={url}", KEY)
    server.expected = [""]
    known: set[str] = set()
    sent: set[str] = set()
    for _ in range(2):
        writers = []
        for number in range(4):
            visitor = Visitor(server, "writer")
            until(lambda visitor=visitor: visitor.sign_up().status_code == 303)
            program = Program(server, visitor.name) if number % 2 else None
            writers.append(Writer(visitor, program))
        for writer in writers:
            writer.start()
        until(lambda writers=writers: all(len(writer.known) > 5 for writer in writers))
        own.control("restart", "-m", "immediate")
        back = time.monotonic()
        had = [len(writer.known) for writer in writers]
        until(lambda w=writers, h=had: all(len(a.known) > b for a, b in zip(w, h, strict=True)))
        assert time.monotonic() - back < BACK_WITHIN
        for writer in writers:
            writer.ending.set()
            writer.join()
            known |= {*writer.known}
            sent |= {*writer.known, *writer.doubtful}
            assert writer.refused <= {503}
    there = [title for (title,) in own.execute("SELECT title FROM todo", "people")]
    assert known <= {*there} <= sent and len(there) == len({*there})
    gaps = (
        "SELECT list.id FROM list LEFT JOIN change ON change.list_id = list.id GROUP BY list.id"
        " HAVING COUNT(change.id) <> list.version"
    )
    assert own.execute(gaps, "people") == []
    server.stop()


def test_the_server_is_away(start: Callable[..., Server], own: cluster.Cluster) -> None:
    """Who asks meanwhile gets 503 at once, also when many do; then all is as before."""
    server = start(f"--database={own.make('people')}", KEY)
    server.expected = [""]
    ann = Visitor(server, "ann")
    ann.sign_up()

    def status(path: str) -> int:
        return requests.get(server.url + path, cookies=ann.http.cookies, timeout=20).status_code

    own.control("stop", "-m", "fast")
    with ThreadPoolExecutor(20) as pool:
        paths = ["/healthz", f"/lists/{ann.list}"] * 30
        assert {*pool.map(status, paths)} == {503}
    assert ann.post(f"/lists/{ann.list}", title="milk").status_code == 503
    assert requests.get(f"{server.url}/static/css/app.css", timeout=20).status_code == 200
    own.control("start", "-o", own.options)
    back = time.monotonic()
    until(lambda: status("/healthz") == 200)
    assert time.monotonic() - back < BACK_WITHIN
    assert status(f"/lists/{ann.list}") == 200 and ann.rows() == []
    ann.add("milk")
    server.stop()


# ------------------------------------------------------------------------------- moving over


def copy(source: Path, target: str) -> "subprocess.CompletedProcess[str]":
    """Move a server."""
    command = [sys.executable, "-W", "error", "app.py", "--logging=warning"]
    return subprocess.run(
        [*command, f"--database={source}", f"--migrate_to={target}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_house_moves_over(
    start: Callable[..., Server], here: cluster.Cluster, url: str, tmp_path: Path
) -> None:
    """The sample, with all that is in it; people go on where they were."""
    path = tmp_path / "people.db"
    path.write_bytes((ROOT / "people.db.sample").read_bytes())
    done = copy(path, url)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1 and "a-secret" not in done.stdout
    tables = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 2200"
    rows = 0
    for (table,) in here.execute(tables, name_in(url)):
        if table != "schema_migration":
            rows += here.execute(f'SELECT COUNT(*) FROM "{table}"', name_in(url))[0][0]
    assert rows > 40 and f"Copied {rows} rows" in done.stdout
    again = copy(path, url)
    assert again.returncode == 2 and "is not empty" in again.stderr
    server = start(f"--database={url}", KEY)
    ana = Visitor(server, "ana")
    assert ana.log_in(username="ana", password="only for looking").status_code == 303
    ana.list = int(ana.get("/").headers["Location"].rpartition("/")[2])
    before = ana.rows()
    ana.add("after the move")
    assert [row.title for row in ana.rows()] == [*(row.title for row in before), "after the move"]
    server.stop()


def test_a_house_that_arrives_changed(here: cluster.Cluster, url: str, tmp_path: Path) -> None:
    """Each row is compared with what it was, so this doesn't go unnoticed; nothing is kept."""
    path = tmp_path / "people.db"
    path.write_bytes((ROOT / "people.db.sample").read_bytes())
    with exclusive(url) as database:
        prepare(url, database)
    here.execute(
        "CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN NEW.title := upper(NEW.title); RETURN NEW; END'",
        name_in(url),
    )
    shout = "CREATE TRIGGER shout BEFORE INSERT ON todo FOR EACH ROW EXECUTE FUNCTION shout()"
    here.execute(shout, name_in(url))
    done = copy(path, url)
    assert done.returncode == 2 and "differs from" in done.stderr
    assert "in Todo" in done.stderr and done.stderr.count("\n") == 1
    assert here.execute("SELECT COUNT(*) FROM todo", name_in(url)) == [(0,)]


def test_a_house_that_cannot_move(here: cluster.Cluster, url: str, tmp_path: Path) -> None:
    """In use, or into another program's database, or with what can't be held: nothing is done."""
    path = tmp_path / "people.db"
    assert "There is no database" in copy(path, url).stderr
    with closing(SqliteStore(path, SqliteFile)) as store:
        store.open()
        ann = ask(store.write, users.sign_up, "ann", None, None, "Things").result()
        ask(store.write, todos.add, ann, 1, "milk").result()
        used = copy(path, url)
        assert used.returncode == 2 and "stop" in used.stderr
        ask(store.write, lambda: Todo.update(title="x" * 2000).execute()).result()
    long = copy(path, url)
    assert long.returncode == 2 and "too long" in long.stderr and long.stderr.count("\n") == 1
    assert here.execute('SELECT COUNT(*) FROM "user"', name_in(url)) == [(0,)]
    other = here.make(f"d{uuid4().hex}")
    here.execute("CREATE TABLE theirs (id int)", name_in(other))
    assert "belongs to another program" in copy(path, other).stderr
