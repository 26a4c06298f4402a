"""The stage and the cast: a live server, and people who use it. A plugin of pytest."""

import itertools
import os
import re
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager
from html import unescape
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import requests
from peewee import sqlite3  # another copy of SQLite in one process would end its locks

from checks.support import cluster
from models.database import SqliteStore
from models.migrations import open_file
from models.postgres import PostgresStore, database_at

ROOT = Path(__file__).parent.parent.parent
PASSWORD = "three quiet otters"
NUMBERS = itertools.count(1)
OF_SQLITE = "about SQLite itself"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# In a container, where tests run as root, Chromium's own sandbox can't work.
ARGUMENTS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update"]


CLUSTERS: list[cluster.Cluster] = []  # with --engine=postgresql, the one that all tests use


def address(path: Path) -> str:
    """Return the --database that the house at `path` has: that file, or one in the cluster."""
    return CLUSTERS[0].database_for(path) if CLUSTERS else str(path)


def doors_to(path: Path) -> SqliteStore | PostgresStore:
    """Return the doors to that database."""
    return PostgresStore(address(path)) if CLUSTERS else SqliteStore(path, open_file)


@contextmanager
def inside(path: Path) -> Iterator[Callable[..., list[Any]]]:
    """Give what runs SQL in that database, with ? for values, and returns rows; then commit."""
    if CLUSTERS:
        database = database_at(address(path))
        with database.connection_context(), database.atomic():

            def run(statement: str, *values: Any) -> list[Any]:
                cursor = database.execute_sql(statement.replace("?", "%s"), values)
                return cursor.fetchall() if cursor.description else []

            yield run
    else:
        with closing(sqlite3.connect(path)) as file, file:
            yield lambda statement, *values: file.execute(statement, values).fetchall()


def dump(path: Path) -> str:
    """Return all that a database holds, as text."""
    tables = "SELECT name FROM sqlite_schema WHERE type = 'table'"
    if CLUSTERS:
        tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
    with inside(path) as run:
        return "".join(str(run(f'SELECT * FROM "{name}"')) for (name,) in run(tables))


class Server:
    """`python app.py` in a process of its own, on a free port and a database file.

    All tests come from one address, so it throttles nothing, and asks nobody for titles, unless
    told to.
    """

    def __init__(
        self, database: Path, *options: str, environment: dict[str, str] | None = None
    ) -> None:
        self.database = database
        self.log = Path(f"{database}.log-{next(NUMBERS)}")
        self.expected = ["event loop was blocked"]  # on a machine that is busy with other things
        command = [sys.executable, "-W", "error", "app.py", "--port=0", "--logging=warning"]
        command += ["--throttle=false", "--fetch_titles=false"]  # what comes later counts
        command.append(f"--database={address(database)}")
        if CLUSTERS:
            command.append(f"--cookie_secret={'s' * 64}")
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*command, *options],
                cwd=ROOT,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.process.stdout
        ready, _, _ = select.select([self.process.stdout], [], [], 30)
        said = self.process.stdout.readline() if ready else ""
        self.url = said.rpartition(" ")[2].strip().rstrip("/")
        assert self.url.startswith("http://"), self.log.read_text()

    def stop(self) -> None:
        """Close the house, and find that it ended well and complained of nothing unexpected."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(15) == 0
        self.release()
        lines = self.log.read_text().splitlines()
        unexpected = [line for line in lines if not any(e in line for e in self.expected)]
        assert unexpected == []

    def release(self) -> None:
        """Make sure that nothing of it is left, however it ended."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        assert self.process.stdout
        self.process.stdout.close()


class Row(NamedTuple):
    """A todo as a visitor finds it on the page."""

    id: int
    title: str
    completed: bool


class Visitor:
    """Someone with a browser without JavaScript: keeps cookies, sends forms, follows nothing."""

    def __init__(self, server: Server, name: str) -> None:
        self.server = server
        self.name = f"{name}-{next(NUMBERS)}"
        self.http = requests.Session()
        self.http.trust_env = False

    def get(self, path: str, **kwargs: Any) -> requests.Response:
        """Open an address."""
        return self.http.get(self.server.url + path, allow_redirects=False, timeout=20, **kwargs)

    def post(self, path: str, **fields: Any) -> requests.Response:
        """Send a form, with its token."""
        if "_xsrf" not in self.http.cookies:
            self.get("/login")
        form = {"_xsrf": self.http.cookies["_xsrf"], **fields}
        return self.http.post(self.server.url + path, form, allow_redirects=False, timeout=20)

    def sign_up(self, **fields: str) -> requests.Response:
        """Make an account, and note the list that came with it."""
        form = {"username": self.name, "password": PASSWORD, **fields}
        answer = self.post("/signup", **form)
        if answer.status_code == 303:
            self.list = int(self.get("/").headers["Location"].rpartition("/")[2])
        return answer

    def log_in(self, **fields: str) -> requests.Response:
        """Come back."""
        return self.post("/login", **{"username": self.name, "password": PASSWORD, **fields})

    def add(self, *titles: str) -> None:
        """Add todos to one's list."""
        for title in titles:
            assert self.post(f"/lists/{self.list}", title=title).status_code == 303

    def rows(self, shown: str = "") -> list[Row]:
        """Read one's list."""
        return rows(self.get(f"/lists/{self.list}{shown}").text)

    def find(self, title: str) -> int:
        """Return the id of a todo on one's list."""
        return next(row.id for row in self.rows() if row.title == title)


def rows(page: str) -> list[Row]:
    """Return the todos on a page."""
    found = re.findall(r'<li id="todo-(\d+)".*?class="(.*?)".*?<label.*?>(.*?)</label>', page, re.S)
    return [Row(int(i), unescape(t), "completed" in c.split()) for i, c, t in found]


def bare(page: str) -> str:
    """Return a page without its token, which is masked anew each time."""
    return re.sub(r'name="_xsrf" value="[^"]*"', "", page)


def alerts(page: str) -> list[str]:
    """Return what a page complains of."""
    return [unescape(a) for a in re.findall(r'role="alert"[^>]*>(.*?)<', page)]


def ask(door: Any, unit: Callable[..., Any], *args: Any) -> "Future[Any]":
    """Return the answer of `doors.read` or `doors.write` as a future, for threads that may wait."""
    future: Future[Any] = Future()

    def answer(result: Any, error: Exception | None) -> None:
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    door(lambda: unit(*args), answer)
    return future


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start servers of one's own: `start()`, `start("--option=...")`. They end with the test."""
    servers = []

    def start(
        *options: str,
        database: Path = tmp_path / "people.db",
        environment: dict[str, str] | None = None,
    ) -> Server:
        servers.append(Server(database, *options, environment=environment))
        return servers[-1]

    yield start
    for server in servers:
        server.release()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Share one server among the tests that leave it as it is."""
    shared = Server(tmp_path_factory.mktemp("shared") / "people.db")
    yield shared
    try:
        shared.stop()
    finally:
        shared.release()


def launch(playwright: Any) -> Any:
    """Start Debian's Chromium."""
    return playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Share one browser among the tests of a file; its event loop ends with them."""
    if CHROMIUM is None:
        pytest.skip("no chromium found: apt install chromium")
    driver = pytest.importorskip(
        "playwright.sync_api", reason="no playwright: pip install -r checks/requirements.txt"
    )
    with driver.sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


@pytest.fixture
def ann(server: Server) -> Visitor:
    """Ann, who has an account and a list."""
    visitor = Visitor(server, "ann")
    visitor.sign_up()
    return visitor


@pytest.fixture
def cy(server: Server) -> Visitor:
    """Cy, a stranger to Ann, with an account and a list of his own."""
    visitor = Visitor(server, "cy")
    visitor.sign_up()
    return visitor


@pytest.fixture
def nobody(server: Server) -> Visitor:
    """Someone without an account."""
    return Visitor(server, "nobody")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let all tests run on another database engine."""
    parser.addoption("--engine", choices=("sqlite", "postgresql"), default="sqlite")


def pytest_configure(config: pytest.Config) -> None:
    """Start it, if it is one that must be started."""
    config.addinivalue_line("markers", f"sqlite: {OF_SQLITE}")
    if config.getoption("engine") == "postgresql":
        if not cluster.FOUND:
            raise pytest.UsageError(cluster.MISSING)
        CLUSTERS.append(cluster.Cluster(cluster.QUICK))


def pytest_unconfigure() -> None:
    """End it."""
    while CLUSTERS:
        CLUSTERS.pop().stop()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave out what is about another engine."""
    if CLUSTERS and item.get_closest_marker("sqlite"):
        pytest.skip(OF_SQLITE)


def unwanted(terminalreporter: Any) -> list[Any]:
    """Return the tests that were skipped for want of something."""
    skipped = terminalreporter.stats.get("skipped", [])
    return [report for report in skipped if OF_SQLITE not in str(report.longrepr)]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Where everything is installed, a test that skipped itself is a failure."""
    skipped = unwanted(terminalreporter)
    if skipped and os.environ.get("CI"):
        terminalreporter.section("skipped, but CI must run everything", red=True)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Say so in the exit status."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter and unwanted(reporter) and os.environ.get("CI"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
