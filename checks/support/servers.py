"""Live servers for the tests, and the databases that they have, on either engine."""

import itertools
import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from peewee import sqlite3  # another copy of SQLite in one process would end its locks

from checks.support import cluster
from models import migrations
from models.database import SqliteStore
from models.postgres import PostgresStore, database_at
from models.sqlite_file import SqliteFile

ROOT = Path(__file__).parent.parent.parent
NUMBERS = itertools.count(1)
CLUSTERS: list[cluster.Cluster] = []  # with --engine=postgresql, the one that all tests use
OF_SQLITE = "about SQLite itself"  # why a test is skipped on another engine
ENGINE = os.environ.get("ENGINE", "sqlite")  # or postgresql; pytest's --engine comes before it


def start_engine() -> None:
    """Start the PostgreSQL server that all databases are in from now on."""
    if not cluster.FOUND:
        sys.exit(cluster.MISSING)
    CLUSTERS.append(cluster.Cluster(cluster.QUICK))


def stop_engine() -> None:
    """Stop it, if it was started."""
    while CLUSTERS:
        CLUSTERS.pop().stop()


def address(path: Path) -> str:
    """Return the --database that stands for `path`: that file, or one in the cluster."""
    return CLUSTERS[0].database_for(path) if CLUSTERS else str(path)


def store_for(path: Path) -> SqliteStore | PostgresStore:
    """Return a store of that database, not yet open."""
    return PostgresStore(address(path)) if CLUSTERS else SqliteStore(path, SqliteFile)


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
        self,
        database: Path,
        *options: str,
        environment: dict[str, str] | None = None,
        root: Path = ROOT,
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
                cwd=root,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.process.stdout
        ready, _, _ = select.select([self.process.stdout], [], [], 30)
        said = self.process.stdout.readline() if ready else ""
        self.url = said.rpartition(" ")[2].strip().rstrip("/")
        if not self.url.startswith("http://"):
            self.release()
            raise AssertionError(self.log.read_text())

    def stop(self) -> None:
        """Close it; fail unless it ended well and complained of nothing unexpected."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(15) == 0
        self.release()
        lines = self.log.read_text().splitlines()
        unexpected = [line for line in lines if not any(e in line for e in self.expected)]
        assert not unexpected, "\n".join(unexpected)

    def release(self) -> None:
        """Kill what is left of it."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        assert self.process.stdout
        self.process.stdout.close()


def numbers(text: str) -> dict[str, float]:
    """Return what is told at /metrics."""
    return {k: float(v) for k, v in re.findall(r"^([a-z_]+(?:\{.*?\})?) (\S+)$", text, re.M)}


def refused(*options: str, prefix: list[str] | None = None) -> str:
    """Start the app where it can't start; return the one line that it says on the way out."""
    # Tornado leaves the socket that it can't bind for the collector to close.
    warnings = ["-W", "error", "-W", "ignore:unclosed <socket:ResourceWarning"]
    command = [*(prefix or []), sys.executable, *warnings, "app.py", "--port=0"]
    ran = subprocess.run(
        [*command, "--logging=warning", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (ran.returncode, ran.stdout) == (2, ""), ran.stderr
    assert ran.stderr.count("\n") == 1 and ran.stderr.startswith("afazeres: "), ran.stderr
    return ran.stderr


NEWEST = max(int(step.name[:4]) for step in migrations.STEPS.glob("[0-9]*.py"))
KEY = f"--cookie_secret={'k' * 64}"
OPTIONS = ("--trusted_proxies=127.0.0.1", "--throttle=false")
