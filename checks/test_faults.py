"""Faults while the server runs: what each gets, what goes on, and that it passes by itself."""

import errno
import logging
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
import requests

from checks.support.disk import Disk
from checks.support.programs import Program
from checks.support.servers import Server
from checks.support.visitors import Visitor, alerts
from services.limits import RateLimitedLog

pytestmark = pytest.mark.sqlite


class FaultyServer:
    """A server on a disk that can fail, and Ann, who knows what was acknowledged to her."""

    def __init__(self, disk: Disk, start: Callable[..., Server]) -> None:
        self.disk, self.start = disk, start
        self.path = disk.folder / "people.db"
        self.open()
        self.ann = Visitor(self.server, "ann")
        self.ann.sign_up()
        self.known: list[str] = []
        self.add("before")

    def open(self) -> None:
        """Start the server, again perhaps."""
        self.server = self.start(database=self.path, environment=self.disk.environment())

    def reopen(self) -> None:
        """Start it where the last one has ended."""
        self.open()
        self.ann.server = self.server

    def add(self, title: str) -> None:
        """Add a todo."""
        self.ann.add(title)
        self.known.append(title)

    def refuse(self, title: str = "refused") -> None:
        """Find that a change is refused as one that may be tried again."""
        answer = self.ann.post(f"/lists/{self.ann.list}", title=title)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert "nothing was changed" in alerts(answer.text)[0]

    def titles(self) -> list[str]:
        """Return what Ann's page shows."""
        return [row.title for row in self.ann.rows()]

    def lines(self) -> list[str]:
        """Return what was logged, apart from a machine that is busy."""
        lines = self.server.log.read_text().splitlines()
        return [line for line in lines if "event loop was blocked" not in line]

    def gives_up(self) -> str:
        """Wait until it has ended, with status 1 and one line; return that."""
        assert self.server.process.wait(20) == 1
        said = [line for line in self.lines() if line.startswith("afazeres: ")]
        assert len(said) == 1 and said[0] == self.lines()[-1]
        return said[0]

    def stop(self, *expected: str) -> None:
        """Close it, well, with one line logged for each of these and none beside."""
        lines = self.lines()
        assert len(lines) == len(expected), lines
        for line, part in zip(lines, expected, strict=True):
            assert part in line
        self.server.expected += expected
        self.server.stop()


@pytest.fixture
def app(disk: Disk, start: Callable[..., Server]) -> FaultyServer:
    """Such a server, started."""
    return FaultyServer(disk, start)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (errno.ENOSPC, "database or disk is full"),
        (errno.EDQUOT, "disk I/O error"),
        (errno.EIO, "disk I/O error"),
        (errno.EROFS, "disk I/O error"),
    ],
    ids=["full", "quota", "broken", "read-only"],
)
def test_writes_that_fail(app: FaultyServer, error: int, reason: str) -> None:
    """Are refused, however many; reading goes on, and all is well as soon as the disk is."""
    program = Program(app.server, app.ann.name)
    app.disk.fail("write", error, "-wal")
    for _ in range(5):
        app.refuse()
        assert app.titles() == app.known
        answer = program.post("/todos", {"title": "refused"})
        code = "storage_full" if error == errno.ENOSPC else "unavailable"
        assert answer.status_code == 503 and answer.json()["type"] == f"/api#{code}"
        assert answer.headers["Retry-After"]
    app.disk.mend()
    app.add("after")
    assert app.titles() == app.known
    app.stop(reason)


def test_an_fsync_that_fails_twice(app: FaultyServer) -> None:
    """Refuses its group; later writes survive a power cut, and failures count from 0 again."""
    for round in range(3):
        app.disk.fail("fsync", errno.EIO, "-wal")
        app.refuse()
        app.refuse()
        assert app.titles() == app.known
        app.disk.mend()
        app.add(f"after {round}")
    assert app.titles() == app.known and len(app.lines()) == 1
    app.server.process.kill()
    app.server.process.wait()
    app.disk.cut()
    app.reopen()
    assert app.titles() == app.known
    app.stop()


@pytest.mark.parametrize("cut", [False, True], ids=["ended", "cut"])
def test_an_fsync_that_fails_for_ever(app: FaultyServer, cut: bool) -> None:
    """Ends the server, after nothing of what met it was acknowledged; the next one has the rest."""
    app.disk.fail("fsync", errno.EIO, "-wal")

    def post(number: int) -> int:
        try:
            return app.ann.post(f"/lists/{app.ann.list}", title=f"{number}").status_code
        except requests.ConnectionError:  # it has closed already
            return 503

    with ThreadPoolExecutor(12) as crowd:
        assert {*crowd.map(post, range(60))} == {503}
    assert "failed 3 times in a row (disk I/O error)" in app.gives_up()
    assert len(app.lines()) == 2
    app.disk.mend()
    if cut:
        app.disk.cut()
    app.reopen()
    found = app.titles()
    assert {*app.known} <= {*found}
    app.add("after")
    app.stop()
    sys.stdout.write(f"\nrefused, and found all the same: {len(found) - 1}\n")


def test_what_cannot_be_read(app: FaultyServer) -> None:
    """Is a 503, and read again when it can be."""
    app.stop()
    app.reopen()  # so that nothing of it is in memory
    app.disk.fail("read", errno.EIO, "people.db")
    for _ in range(3):
        assert app.ann.get(f"/lists/{app.ann.list}").status_code == 503
    app.disk.mend()
    assert app.titles() == app.known
    app.stop("disk I/O error")


def test_a_damaged_page(app: FaultyServer) -> None:
    """Is a 503 for who needs it; for others all goes on. The log says what to do."""
    bea = Visitor(app.server, "bea")
    bea.sign_up()
    bea.add(*(f"spoilt {number:03} {'x' * 900}" for number in range(40)))
    app.stop()
    app.reopen()
    bea.server = app.server
    whole = app.path.read_bytes()
    start = whole.index(b"spoilt 020") // 4096 * 4096
    with app.path.open("r+b") as file:
        file.seek(start)
        file.write(b"\xff" * 4096)
    for _ in range(3):
        assert bea.get(f"/lists/{bea.list}").status_code == 503
        assert app.titles() == app.known
        app.add("meanwhile")
    with app.path.open("r+b") as file:
        file.seek(start)
        file.write(whole[start : start + 4096])
    assert len(bea.rows()) == 40
    app.stop(f"{app.path} is damaged")
    assert "restore a backup" in app.server.log.read_text()


def test_a_file_that_is_cut_short(app: FaultyServer) -> None:
    """Is a 503 until it is whole."""
    app.stop()
    app.reopen()
    whole = app.path.read_bytes()
    os.truncate(app.path, 8192)
    for _ in range(3):
        assert app.ann.get(f"/lists/{app.ann.list}").status_code == 503
        app.refuse()
    with app.path.open("r+b") as file:
        file.write(whole)
    assert app.titles() == app.known
    app.add("after")
    app.stop(f"{app.path} is damaged")


def test_a_database_that_is_gone(app: FaultyServer) -> None:
    """Isn't created again, nor written where nobody would find it; it can be brought back."""
    away = app.path.with_name("away.db")
    app.path.rename(away)
    for _ in range(3):
        app.refuse()
        assert app.titles() == app.known and not app.path.exists()
    away.rename(app.path)
    app.add("after")
    assert app.titles() == app.known
    app.stop(f"{app.path} is missing")


def test_a_database_that_is_replaced(app: FaultyServer) -> None:
    """Ends the server before anything is written to either; the other file is left as it is."""
    old, other = app.path.with_name("old.db"), app.path.with_name("other.db")
    with closing(sqlite3.connect(other)) as theirs, theirs:
        theirs.execute("CREATE TABLE row (number INTEGER)")
    was = other.read_bytes()
    os.link(app.path, old)
    other.replace(app.path)
    app.refuse()
    assert "isn't the file that was opened" in app.gives_up()
    assert app.path.read_bytes() == was
    with closing(sqlite3.connect(old)) as ours:
        assert ours.execute("SELECT title FROM todo").fetchall() == [("before",)]
        assert ours.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.parametrize("end", ["-wal", "-shm"])
def test_a_log_that_is_gone(app: FaultyServer, end: str) -> None:
    """Ends the server, which brings all that was acknowledged into the database."""
    Path(f"{app.path}{end}").unlink()
    assert app.titles() == app.known
    app.refuse()
    assert "its -wal or its -shm" in app.gives_up()
    app.reopen()
    assert app.titles() == app.known
    app.add("after")
    app.stop()


def test_a_lock_that_is_held_long(app: FaultyServer) -> None:
    """Is waited for, then refused; reading goes on."""
    with closing(sqlite3.connect(app.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with ThreadPoolExecutor() as pool:
            adding = pool.submit(app.refuse)
            while not adding.done():
                assert app.titles() == app.known
    app.add("after")
    app.stop("database is locked")


def test_stopped_for_a_while(app: FaultyServer) -> None:
    """Who asks meanwhile waits, and is served once."""
    process = app.server.process
    process.send_signal(signal.SIGSTOP)
    with ThreadPoolExecutor() as pool:
        adding = [pool.submit(app.ann.add, f"{number}") for number in range(4)]
        time.sleep(3)  # the while
        assert not any(future.done() for future in adding)
        process.send_signal(signal.SIGCONT)
        for future in adding:
            future.result()
    assert sorted(app.titles()) == ["0", "1", "2", "3", "before"]
    app.stop()


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_start_on_a_broken_disk(disk: Disk, start: Callable[..., Server], call: str) -> None:
    """Is refused in one line, and the next one succeeds."""
    disk.fail(call, errno.EIO if call == "fsync" else errno.ENOSPC)
    path = disk.folder / "people.db"
    ran = disk.run("app.py", "--port=0", f"--database={path}")
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (2, "", 1)
    assert f"{path} can't be used" in ran.stderr
    disk.mend()
    FaultyServer(disk, start).stop()


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_backup_on_a_broken_disk(app: FaultyServer, call: str) -> None:
    """Has no name, and harms nothing; the next one succeeds."""
    copy = app.path.with_name("copy.db")
    command = ("app.py", f"--database={app.path}", f"--backup={copy}")
    app.disk.fail(call, errno.EIO if call == "fsync" else errno.ENOSPC, ".new")
    ran = app.disk.run(*command)
    assert ran.returncode == 2 and ran.stderr.count("\n") == 1 and not copy.exists()
    app.add("meanwhile")
    app.disk.mend()
    ran = app.disk.run(*command)
    assert (ran.returncode, ran.stderr) == (0, "")
    with closing(sqlite3.connect(copy)) as backup:
        assert backup.execute("SELECT COUNT(*) FROM todo").fetchone() == (2,)
    app.stop()


def test_each_reason_is_told_once_a_minute(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when several take turns; the next line says how often it was meanwhile."""
    log, clock = RateLimitedLog(), [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    with caplog.at_level(logging.ERROR):
        for second in range(90):
            clock[0] += 1
            log.log(("full", "locked")[second % 2], "GET '/'")
    told = [record.getMessage() for record in caplog.records]
    assert told[:2] == ["GET '/': full", "GET '/': locked"] and len(told) == 4
    assert told[2] == "GET '/': full, and 29 times more since the last line"
