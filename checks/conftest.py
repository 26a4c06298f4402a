"""What the checks share: the servers, the cast, a browser, a disk; and which engine they run on."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

pytest.register_assert_rewrite("checks.support")  # so that a failure there says what was found

from checks.support import cluster
from checks.support.browser import CHROMIUM, launch
from checks.support.disk import Disk, build
from checks.support.nginx import NGINX, Nginx, Several
from checks.support.servers import (
    CLUSTERS,
    ENGINE,
    OF_SQLITE,
    OPTIONS,
    ROOT,
    Server,
    start_engine,
    stop_engine,
)
from checks.support.visitors import Visitor, at, join
from checks.support.waiting import until
from models import migrations

INSTALL = "pip install -r checks/requirements.txt"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the tests run on another database engine."""
    parser.addoption("--engine", choices=("sqlite", "postgresql"), default=ENGINE)


def pytest_configure(config: pytest.Config) -> None:
    """Start PostgreSQL if it is the engine: one cluster for each process that runs tests."""
    config.addinivalue_line("markers", "engine: depends on the engine, so it runs on each")
    config.addinivalue_line("markers", f"sqlite: {OF_SQLITE}, skipped on another engine")
    config.addinivalue_line("markers", "postgresql: about PostgreSQL itself, which it starts")
    distributes = getattr(config.option, "numprocesses", None) and not hasattr(
        config, "workerinput"
    )
    if config.getoption("engine") == "postgresql" and not distributes:
        start_engine()


def pytest_unconfigure() -> None:
    """Stop it."""
    stop_engine()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What a visitor can notice must be the same on every engine."""
    for item in items:
        if item.path == ROOT / "tests.py":
            item.add_marker("engine")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what is about another engine."""
    if CLUSTERS and item.get_closest_marker("sqlite"):
        pytest.skip(OF_SQLITE)


def unwanted(terminalreporter: Any) -> list[Any]:
    """Return the tests that were skipped because something isn't installed."""
    skipped = terminalreporter.stats.get("skipped", [])
    return [report for report in skipped if OF_SQLITE not in str(report.longrepr)]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """In CI, where everything is installed, say that a skipped test is a failure."""
    if unwanted(terminalreporter) and os.environ.get("CI"):
        terminalreporter.section("skipped, but CI must run everything", red=True)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Let CI fail when anything was skipped there."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter and unwanted(reporter) and os.environ.get("CI"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


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


def tool(name: str) -> Any:
    """Return a package that is in checks/requirements.txt only; skip the test without it."""
    package = name.partition(".")[0]
    return pytest.importorskip(name, reason=f"no {package}: {INSTALL}")


@pytest.fixture
def hypothesis() -> Any:
    """What thinks of inputs that nobody would type."""
    return tool("hypothesis")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Share one browser among the tests of a file; its event loop ends with them."""
    if CHROMIUM is None:
        pytest.skip("no chromium found: apt install chromium")
    driver = tool("playwright.sync_api")
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


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the shim once."""
    return build("disk.c", tmp_path_factory.mktemp("shim"))


@pytest.fixture
def disk(shim: Path, tmp_path: Path) -> Disk:
    """An empty disk that can fail or lose power."""
    return Disk(shim, tmp_path / "disk")


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for localhost, and its key, that nobody has signed."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl found: apt install openssl")
    made = tmp_path / "localhost.pem"
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command += ["-keyout", f"{made}.key", "-out", str(made)]
    subprocess.run(command, check=True, capture_output=True)
    return made


@pytest.fixture(scope="module")
def here() -> Iterator[cluster.Cluster]:
    """A PostgreSQL server that the tests of a file share."""
    made = cluster.Cluster(cluster.QUICK)
    yield made
    made.stop()


@pytest.fixture
def url(here: cluster.Cluster) -> str:
    """The address of an empty database."""
    return here.make(f"d{uuid4().hex}")


@pytest.fixture
def several(start: Callable[..., Server], tmp_path: Path) -> Iterator[Several]:
    """Four processes behind nginx, and a list that Ann owns and Bob may edit."""
    if NGINX is None:
        pytest.skip("no nginx found: apt install nginx")
    if not CLUSTERS and migrations.SqliteDatabase.server_version < migrations.SHARED_SINCE:
        pytest.skip("this SQLite can't be shared: pip install pysqlite3, where it has a wheel")
    with ThreadPoolExecutor(4) as pool:
        servers = [*pool.map(lambda _: start(*OPTIONS), range(4))]
    front: Any = Nginx(tmp_path / "nginx", servers)
    try:
        until(front.listens)
        ann, bob = (at(Visitor(front, name), front) for name in ("ann", "bob"))
        for each in (ann, bob):
            assert each.sign_up().status_code == 303
        assert join(ann, bob) == 303
        bob.list = ann.list
        yield Several(servers, front, ann, bob)
        front.stop()
        with ThreadPoolExecutor(4) as pool:
            [*pool.map(Server.stop, servers)]
    finally:
        front.process.terminate()  # killed, it would leave its workers behind
        front.process.wait()
