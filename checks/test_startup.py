"""Opening and closing the server: what it finds, what it refuses, what it leaves alone."""

import asyncio
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from tornado.options import Error
from tornado.testing import AsyncHTTPTestCase

from app import TEMPLATES, App
from checks.support.database import ask
from checks.support.servers import NEWEST, ROOT, Server, refused
from checks.support.visitors import Visitor
from config import Config, read
from models import migrations, sqlite_file, todos, users
from models.database import SqliteStore
from models.errors import StartupError, Unavailable
from models.sqlite_file import SqliteFile
from models.tables import Person
from server import start as start_server
from server import stop as stop_server
from services.bridge import HASHES_WAITING, HashPool

pytestmark = pytest.mark.sqlite

# Root may write anything; without its capabilities it is like anyone else.
PLAIN = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []


def steps_and(folder: Path, source: str) -> tuple[Path, Path]:
    """Return a folder with the steps of today's schema and one more, and the file of that one."""
    folder.mkdir(exist_ok=True)
    for step in migrations.STEPS.glob("[0-9]*.py"):
        (folder / step.name).write_text(step.read_text())
    coming = folder / f"{NEWEST + 1:04}_next.py"
    coming.write_text(source)
    return folder, coming


def contents(folder: Path) -> dict[str, bytes | None]:
    """Return everything in a folder, to compare with what it is later."""
    return {f.name: f.read_bytes() if f.is_file() else None for f in folder.iterdir()}


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A database with someone and something in it, closed."""
    path = tmp_path / "people.db"
    with closing(SqliteStore(path, SqliteFile)) as store:
        store.open()
        ann = ask(store.write, users.sign_up, "ann", None, None, "Things to do").result()
        for number in range(300):
            ask(store.write, todos.add, ann, 1, f"todo {number}").result()
    Path(f"{path}.lock").unlink()
    return path


def foreign(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("PRAGMA journal_mode = wal")
        other.execute("CREATE TABLE user (id INTEGER PRIMARY KEY)")


def newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as ours, ours:
        ours.execute("PRAGMA journal_mode = delete")
        ours.execute("PRAGMA user_version = 999")


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    for place in range(4096 + 8, len(data), 512):
        data[place] ^= 0xFF
    path.write_bytes(data)


FAULTS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "foreign": (foreign, "belongs to another program"),
    "newer": (newer, "has schema 999, but this program knows only "),
    "cut": (cut, "is damaged"),
    "flipped": (flipped, "is damaged"),
    "text": (lambda path: path.write_text("x" * 9000), "is not a database"),
    "emptied": (lambda path: path.write_bytes(b""), "is empty"),
    "a folder": (lambda path: (path.unlink(), path.mkdir()), "is a folder"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_file_that_cannot_be_opened(database: Path, fault: str) -> None:
    """Is named in one line that says what to do, and left exactly as it was."""
    make, reason = FAULTS[fault]
    make(database)
    before = contents(database.parent)
    said = refused(f"--database={database}")
    assert str(database) in said and reason in said
    assert contents(database.parent) == before


def test_a_folder_that_is_missing(tmp_path: Path) -> None:
    """Is not made: perhaps a disk isn't there yet."""
    assert "No such folder" in refused(f"--database={tmp_path}/none/people.db")
    assert contents(tmp_path) == {}


def test_a_log_without_its_database(database: Path) -> None:
    """Is not played into another one."""
    database.unlink()
    Path(f"{database}-wal").write_bytes(b"x" * 4096)
    before = contents(database.parent)
    assert "is of a database that is missing" in refused(f"--database={database}")
    assert contents(database.parent) == before


def test_a_link_that_leads_nowhere(tmp_path: Path) -> None:
    """Is not replaced by a file: perhaps a disk isn't there yet."""
    link = tmp_path / "people.db"
    link.symlink_to(tmp_path / "disk" / "people.db")
    assert "No such folder" in refused(f"--database={link}")
    assert link.is_symlink()


def test_a_file_that_is_only_locked(database: Path) -> None:
    """Is not called damaged."""
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = exclusive")
        other.execute("DELETE FROM session")
        other.execute("UPDATE todo SET title = 'theirs'")
        assert "can't be used (database is locked)" in refused(f"--database={database}")


def test_a_name_that_is_too_long(tmp_path: Path) -> None:
    """Is said in one line too."""
    assert "can't be used" in refused(f"--database={tmp_path}/{'x' * 300}")


@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_cannot_be_written(database: Path, what: str) -> None:
    """Is refused at the start, not at the first write."""
    if PLAIN and not shutil.which(PLAIN[0]):
        pytest.skip("root may write anything, and no setpriv was found: apt install util-linux")
    (database if what == "file" else database.parent).chmod(0o555)
    before = contents(database.parent)
    assert "isn't writable" in refused(f"--database={database}", prefix=PLAIN)
    assert contents(database.parent) == before
    database.parent.chmod(0o755)


def test_a_port_in_use(tmp_path: Path) -> None:
    """Is found before anything is made."""
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        port = other.getsockname()[1]
        said = refused(f"--port={port}", f"--database={tmp_path}/people.db")
    assert f"port {port} of 127.0.0.1" in said and "in use" in said
    assert contents(tmp_path) == {}


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("--port=x", "--port must be a number, not 'x'"),
        ("--debug=maybe", "--debug must be true or false, not 'maybe'"),
        ("--colour=red", "unknown option '--colour=red'"),
        ("serve", "unknown option 'serve'"),
        ("--logging=loud", "--logging must be debug, info, warning, error or none"),
        ("--log_file_prefix=/no/such/folder/log", "--log_file_prefix can't be written"),
        ("--address=a..b", "Can't listen on port 0 of a..b"),
        ("--port=70000", "--port must be from 0 to 65535"),
        ("--database=mysql://x/y", "--database must be a path"),
        ("--cookie_secret=short", "--cookie_secret needs at least 32 characters"),
        ("--public_url=todo.example.org", "--public_url must look like https://"),
        ("--public_url=https://x.org/todo", "no path: 'https://x.org/todo'"),
        ("--public_url=https://x.org//", "no path"),
        ("--public_url=https://x.org?todo", "--public_url must look like https://"),
        ("--public_url=https://x.org/#todo", "--public_url must look like https://"),
        ("--public_url=https://me:word@x.org", "no path: 'https://x.org'"),
        ("--public_url=HTTPS://x.org", "--public_url must look like https://"),  # no Secure cookies
        ("--public_url=https://x.org:y", "--public_url must look like https://"),
        ("--address=no.such.host.invalid", "Can't listen on port 0 of no.such.host"),
    ],
)
def test_an_option_that_is_wrong(tmp_path: Path, option: str, reason: str) -> None:
    """Is said so, before anything is touched."""
    assert reason in refused(f"--database={tmp_path}/people.db", option)
    assert contents(tmp_path) == {}


def test_options_come_from_both_sides() -> None:
    """The environment says what the command line doesn't."""
    environment = {"AFAZERES_PORT": "1", "AFAZERES_PUBLIC_URL": "https://x.org", "PORT": "9"}
    environment |= {"AFAZERES_DEBUG": "", "AFAZERES_TRUSTED_PROXIES": "10.0.0.9"}
    told = read(["app.py", "--port=2", "--trusted_proxies=10.0.0.1, 10.0.0.2"], environment)
    assert told == Config(port=2, public_url="https://x.org", trusted_proxies="10.0.0.1, 10.0.0.2")
    for url in ("https://x.org/", "http://x.org:8888", "https://[2001:db8::1]:444"):
        assert Config(public_url=url).public_url == url
    assert told.secure and told.proxies == ["10.0.0.1", "10.0.0.2"]
    with pytest.raises(Error):
        read(["app.py", "serve"], {})


@pytest.mark.parametrize("key", ["", "short"])
def test_a_key_that_is_none(database: Path, key: str) -> None:
    """Is not taken for one."""
    secret = Path(f"{database}.secret")
    secret.write_text(key)
    secret.chmod(0o600)
    assert "is not a valid key" in refused(f"--database={database}")


def test_a_key_that_others_may_read(database: Path) -> None:
    """Is not trusted."""
    secret = Path(f"{database}.secret")
    secret.write_text("x" * 86)
    secret.chmod(0o644)
    assert "chmod 600" in refused(f"--database={database}")


def test_the_key_is_made_once(tmp_path: Path) -> None:
    """However many ask for it at the same time; it is whole, and its owner's only."""
    with ThreadPoolExecutor(8) as pool:
        keys = [*pool.map(sqlite_file.signing_key, [tmp_path / "people.db"] * 8)]
    assert len(set(keys)) == 1 and len(keys[0]) == 86
    assert list(contents(tmp_path)) == ["people.db.secret"]
    assert (tmp_path / "people.db.secret").stat().st_mode & 0o777 == 0o600


def test_first_starts_at_the_same_time(tmp_path: Path) -> None:
    """Several processes find one database, whole, and one key."""
    if migrations.SqliteDatabase.server_version < migrations.SHARED_SINCE:
        pytest.skip("this SQLite can't be shared: pip install pysqlite3, where it has a wheel")
    (tmp_path / "people.db.new").write_bytes(b"what a killed first start left")
    with ThreadPoolExecutor(4) as pool:
        started = [*pool.map(Server, [tmp_path / "people.db"] * 4)]
    ann = Visitor(started[0], "ann")
    ann.sign_up()
    for server in started:
        ann.server = server
        assert ann.get(f"/lists/{ann.list}").status_code == 200
    for server in started:
        server.stop()
    assert not list(tmp_path.glob("*.new"))


def test_a_kill_in_the_first_start(tmp_path: Path) -> None:
    """At whatever moment, the next start finds no database or a whole one."""
    for moment in range(1, 9):
        path = tmp_path / str(moment) / "people.db"
        path.parent.mkdir()
        command = [sys.executable, "app.py", "--port=0", f"--database={path}"]
        silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        first = subprocess.Popen(command, cwd=ROOT, **silent)  # type: ignore[call-overload]
        # Killed at its n-th step on the disk: each makes, renames or removes a file.
        seen: set[frozenset[str]] = set()
        while len(seen) < moment and first.poll() is None:
            seen.add(frozenset(file.name for file in path.parent.iterdir()))
            if f"{path.name}.secret" in {file.name for file in path.parent.iterdir()}:
                break
        first.kill()
        first.wait()
        server = Server(path)
        server.stop()


def test_an_older_database_is_upgraded(database: Path, tmp_path: Path) -> None:
    """After it was copied aside; what was in it is still there."""
    steps, _ = steps_and(
        tmp_path / "steps",
        "from peewee import CharField\n\n\ndef up(migrator, db):\n"
        "    migrator.migrate(migrator.add_column('list', 'colour', CharField(default='red')))\n",
    )
    migrations.open_file(database, steps).close()
    with (
        closing(sqlite3.connect(database)) as now,
        closing(sqlite3.connect(f"{database}.schema-{NEWEST}")) as was,
    ):
        assert now.execute("PRAGMA user_version").fetchone() == (NEWEST + 1,)
        assert now.execute("SELECT name, version, colour FROM list").fetchall() == [
            ("Things to do", 301, "red")
        ]
        assert was.execute("PRAGMA user_version").fetchone() == (NEWEST,)
        assert was.execute("SELECT * FROM list").fetchall() == [
            (1, "Things to do", 301, 300, 300, 1, None, 0)
        ]
    knows = f"has schema {NEWEST + 1}, but this program knows only {NEWEST}"
    with pytest.raises(StartupError, match=knows):
        migrations.open_file(database)


OLDER = """
from peewee import BigAutoField, CharField, Model


def up(migrator, db):
    class List(Model):
        id = BigAutoField()
        name = CharField()

        class Meta:
            database = db

    db.create_tables([List])
"""
SECOND = """
from peewee import BigIntegerField


def up(migrator, db):
    migrator.migrate(migrator.add_column("list", "total", BigIntegerField(default=0)))
    db.execute_sql("UPDATE list SET total = length(name)")
"""
THIRD = """
def up(migrator, db):
    migrator.migrate(migrator.rename_column("list", "total", "letters"))
"""


def test_several_steps_are_taken_in_order(tmp_path: Path) -> None:
    """From a made-up older schema through two later ones: what was there is still there."""
    path, steps = tmp_path / "people.db", tmp_path / "steps"
    steps.mkdir()
    (steps / "0001_older.py").write_text(OLDER)
    migrations.open_file(path, steps).close()
    with closing(sqlite3.connect(path)) as old, old:
        old.execute("INSERT INTO list (name) VALUES ('Casa'), ('Trabalho')")
    (steps / "0002_second.py").write_text(SECOND)
    (steps / "0003_third.py").write_text(THIRD)
    migrations.open_file(path, steps).close()
    with closing(sqlite3.connect(path)) as now:
        assert now.execute("PRAGMA user_version").fetchone() == (3,)
        assert now.execute("SELECT name, letters FROM list").fetchall() == [
            ("Casa", 4),
            ("Trabalho", 8),
        ]
    assert Path(f"{path}.schema-1").exists()


def test_a_copy_of_the_sample_is_nobody_elses(database: Path) -> None:
    """Whatever the rights of the file that was copied."""
    database.chmod(0o644)
    migrations.open_file(database).close()
    assert database.stat().st_mode & 0o777 == 0o600


def test_nobody_makes_what_others_use(database: Path) -> None:
    """A database deleted under a running database is not made again beside it."""
    with closing(migrations.open_file(database)):
        database.unlink()
        with pytest.raises(StartupError, match=r"first stop|stop it first"):
            migrations.open_file(database)
    assert not database.exists()


def test_a_database_is_never_made_over_another(database: Path) -> None:
    """Even one of ours that says it has no schema: it is copied aside, and brought up to date."""
    with closing(sqlite3.connect(database)) as ours, ours:
        ours.execute("PRAGMA user_version = 0")
    migrations.open_file(database).close()
    for file in (database, Path(f"{database}.schema-0")):
        with closing(sqlite3.connect(file)) as now:
            assert now.execute("SELECT count(*) FROM todo").fetchone() == (300,)
    with pytest.raises(FileExistsError):
        migrations.create(database, migrations.STEPS)


def test_an_upgrade_that_fails_changes_nothing(database: Path, tmp_path: Path) -> None:
    """And the next start tries again."""
    broken = "def up(migrator, db):\n    db.execute_sql('DELETE FROM todo')\n    1 / 0\n"
    steps, step = steps_and(tmp_path / "steps", broken)
    with pytest.raises(ZeroDivisionError):
        migrations.open_file(database, steps)
    with closing(sqlite3.connect(database)) as now:
        assert now.execute("SELECT count(*) FROM todo").fetchone() == (300,)
    step.write_text("def up(migrator, db):\n    pass\n")
    aside = Path(f"{database}.schema-{NEWEST}")
    aside.write_bytes(b"half a copy")
    migrations.open_file(database, steps).close()
    assert aside.stat().st_size > 4096


def test_nobody_upgrades_what_others_use(database: Path, tmp_path: Path) -> None:
    """The process that uses it would not know what happened to it."""
    steps, _ = steps_and(tmp_path / "steps", "def up(migrator, db):\n    pass\n")
    with (
        closing(migrations.open_file(database)),
        pytest.raises(StartupError, match=r"first stop|stop it first"),
    ):
        migrations.open_file(database, steps)


def test_an_older_sqlite_is_not_shared(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes that write with it could damage the file."""
    monkeypatch.setattr(migrations, "SHARED_SINCE", (99, 0, 0))
    monkeypatch.setattr(migrations.time, "sleep", lambda seconds: None)
    with (
        closing(migrations.open_file(database)),
        pytest.raises(StartupError, match="Another process uses"),
    ):
        migrations.open_file(database)
    migrations.open_file(database).close()


def test_sqlite_is_the_one_that_can_be_shared() -> None:
    """Where pysqlite3 has a wheel, it is the SQLite that is used."""
    pytest.importorskip("pysqlite3", reason="pysqlite3 has no wheel for this machine")
    assert migrations.SqliteDatabase.server_version >= migrations.SHARED_SINCE


def test_an_app_touches_nothing_until_it_starts(tmp_path: Path) -> None:
    """And several can live one after another in a process."""
    App(Config(port=0, database=str(tmp_path / "people.db")))
    assert contents(tmp_path) == {}

    async def live() -> tuple[int, bytes]:
        app = App(Config(port=0, database=str(tmp_path / "people.db")))
        running = await start_server(app)
        answer = await AsyncHTTPClient().fetch(f"http://127.0.0.1:{running.port}/login")
        await stop_server(running)
        return answer.code, answer.body[:15]

    for _ in range(2):
        assert asyncio.run(live()) == (200, b"<!doctype html>")


class SignUpTest(AsyncHTTPTestCase):
    """An App in Tornado's own test case, where nobody calls `open`: its first request does."""

    def setUp(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        super().setUp()

    def get_app(self) -> App:
        database = f"{self.folder.name}/people.db"
        self.app = App(Config(port=0, database=database, throttle=False, fetch_titles=False))
        return self.app

    def tearDown(self) -> None:
        self.io_loop.run_sync(self.app.close)
        super().tearDown()
        self.folder.cleanup()

    def test_sign_up(self) -> None:
        """The first two requests come at once, and both find it open."""

        async def scene() -> int:
            client, urls = self.http_client, [self.get_url("/signup"), self.get_url("/login")]
            page, _ = await asyncio.gather(*map(client.fetch, urls))
            cookie = page.headers["Set-Cookie"].split(";")[0]
            form = {"username": "ann", "password": "three quiet otters"}
            form["_xsrf"] = cookie.partition("=")[2]
            headers = {"Cookie": cookie}
            asked = HTTPRequest(urls[0], "POST", headers, urlencode(form), follow_redirects=False)
            answer = await client.fetch(asked, raise_error=False)
            return answer.code

        assert self.io_loop.run_sync(scene, timeout=30) == 303


def test_a_stop_waits_for_the_last_byte(start: Callable[..., Server], tmp_path: Path) -> None:
    """Also for someone who reads slowly: what was answered arrives whole."""
    server = start()
    ann = Visitor(server, "ann")
    ann.sign_up()
    server.stop()
    with closing(SqliteStore(server.database, SqliteFile)) as store:
        store.open()
        person = Person(1, ann.name)
        adding = [ask(store.write, todos.add, person, ann.list, "x" * 1000) for _ in range(5000)]
        adding[-1].result()
    server = start()
    port = int(server.url.rpartition(":")[2])
    cookies = "; ".join(f"{name}={value}" for name, value in ann.http.cookies.items())
    request = f"GET /lists/{ann.list} HTTP/1.1\r\nHost: x\r\nCookie: {cookies}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=20) as reader:
        reader.sendall(request.encode())
        page = reader.recv(1000)  # so the answer is on its way, and far too long for any buffer
        server.process.terminate()
        while more := reader.recv(100_000):
            page += more
    assert page.startswith(b"HTTP/1.1 200") and page.endswith(b"</html>\n") and len(page) > 5e6
    assert server.process.wait(15) == 0


class Clerk:
    """Counts who checks a password, in place of the hasher."""

    def __init__(self, hasher: Any) -> None:
        self.hasher, self.threads = hasher, []

    def __getattr__(self, name: str) -> Any:
        self.threads.append(threading.current_thread().name)
        return getattr(self.hasher, name)


def test_unknown_names_get_the_same_work(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One password is checked for each, and never on the event loop."""
    clerk = Clerk(users.hasher)
    monkeypatch.setattr(users, "hasher", clerk)

    async def live() -> None:
        app = App(Config(port=0, database=str(database)))
        running = await start_server(app)
        client = AsyncHTTPClient(force_instance=True)
        page = await client.fetch(f"http://127.0.0.1:{running.port}/login")
        cookie = page.headers["Set-Cookie"].split(";")[0]
        token = cookie.partition("=")[2]
        for count, name in enumerate(("ann", "nobody"), start=1):
            answer = await client.fetch(
                f"http://127.0.0.1:{running.port}/login",
                method="POST",
                body=urlencode({"username": name, "password": "x" * 20, "_xsrf": token}),
                headers={"Cookie": cookie},
                raise_error=False,
            )
            assert answer.code == 403
            assert len(clerk.threads) == count
        await stop_server(running)

    asyncio.run(live())
    assert all(name.startswith("hashing") for name in clerk.threads)


def test_too_many_passwords_at_once() -> None:
    """Who comes then is asked to try again, instead of waiting in a queue without end."""

    async def crowd() -> None:
        hashing, go_on = HashPool(), threading.Event()
        first = [asyncio.ensure_future(hashing.run(go_on.wait, 10)) for _ in range(HASHES_WAITING)]
        await asyncio.sleep(0)
        with pytest.raises(Unavailable):
            await hashing.run(len, "one more")
        go_on.set()
        await asyncio.gather(*first)
        assert await hashing.run(len, "now") == 3
        hashing.threads.shutdown()

    asyncio.run(crowd())


def test_limits_are_set(tmp_path: Path) -> None:
    """Tornado's own would let anyone fill the memory."""

    async def live() -> None:
        app = App(Config(port=0, database=str(tmp_path / "people.db")))
        running = await start_server(app)
        limits = running.conn_params
        await stop_server(running)
        assert limits.max_body_size == 2**20 and limits.max_header_size == 2**15
        assert limits.header_timeout == limits.body_timeout == 30
        assert limits.no_keep_alive

    asyncio.run(live())


def test_templates_are_compiled_aside(tmp_path: Path) -> None:
    """Else the first page after a start would hold the event loop for a tenth of a second."""
    there = Path(TEMPLATES.root).rglob("*.html")
    names = {str(each.relative_to(TEMPLATES.root)) for each in there}
    TEMPLATES.reset()

    async def live() -> None:
        app = App(Config(port=0, database=str(tmp_path / "people.db")))
        running = await start_server(app)
        assert {*TEMPLATES.templates} == names != set()
        await stop_server(running)

    asyncio.run(live())


def test_a_start_that_fails_leaves_nothing_open(database: Path) -> None:
    """Neither the port nor a thread, nor the lock."""
    Path(f"{database}.secret").write_text("short")
    Path(f"{database}.secret").chmod(0o600)
    threads = threading.active_count()
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]

    async def fail() -> None:
        with pytest.raises(StartupError):
            await start_server(App(Config(port=port, database=str(database))))

    asyncio.run(fail())
    socket.create_server(("127.0.0.1", port)).close()
    assert threading.active_count() == threads
    migrations.open_file(database).close()
