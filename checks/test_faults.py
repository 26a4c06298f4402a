"""Faults while the house is open: what each gets, what goes on, and that it passes by itself."""

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

from checks.support.cast import Server, Visitor, alerts
from checks.test_api import Program
from checks.test_disk import Disk
from services.limits import RateLimitedLog

pytestmark = pytest.mark.sqlite


class House:
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
def house(disk: Disk, start: Callable[..., Server]) -> House:
    """Such a house, open."""
    return House(disk, start)


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
def test_writes_that_fail(house: House, error: int, reason: str) -> None:
    """Are refused, however many; reading goes on, and all is well as soon as the disk is."""
    program = Program(house.server, house.ann.name)
    house.disk.fail("write", error, "-wal")
    for _ in range(5):
        house.refuse()
        assert house.titles() == house.known
        answer = program.post("/todos", {"title": "refused"})
        code = "storage_full" if error == errno.ENOSPC else "unavailable"
        assert answer.status_code == 503 and answer.json()["type"] == f"/api#{code}"
        assert answer.headers["Retry-After"]
    house.disk.mend()
    house.add("after")
    assert house.titles() == house.known
    house.stop(reason)


def test_an_fsync_that_fails_twice(house: House) -> None:
    """Refuses its group; what is written afterwards survives a power cut. It counts anew then."""
    for round in range(3):
        house.disk.fail("fsync", errno.EIO, "-wal")
        house.refuse()
        house.refuse()
        assert house.titles() == house.known
        house.disk.mend()
        house.add(f"after {round}")
    assert house.titles() == house.known and len(house.lines()) == 1
    house.server.process.kill()
    house.server.process.wait()
    house.disk.cut()
    house.reopen()
    assert house.titles() == house.known
    house.stop()


@pytest.mark.parametrize("cut", [False, True], ids=["ended", "cut"])
def test_an_fsync_that_fails_for_ever(house: House, cut: bool) -> None:
    """Ends the house, after nothing of what met it was acknowledged; the next one has the rest."""
    house.disk.fail("fsync", errno.EIO, "-wal")

    def post(number: int) -> int:
        try:
            return house.ann.post(f"/lists/{house.ann.list}", title=f"{number}").status_code
        except requests.ConnectionError:  # it has closed already
            return 503

    with ThreadPoolExecutor(12) as crowd:
        assert {*crowd.map(post, range(60))} == {503}
    assert "failed 3 times in a row (disk I/O error)" in house.gives_up()
    assert len(house.lines()) == 2
    house.disk.mend()
    if cut:
        house.disk.cut()
    house.reopen()
    found = house.titles()
    assert {*house.known} <= {*found}
    house.add("after")
    house.stop()
    sys.stdout.write(f"\nrefused, and found all the same: {len(found) - 1}\n")


def test_what_cannot_be_read(house: House) -> None:
    """Is a 503, and read again when it can be."""
    house.stop()
    house.reopen()  # so that nothing of it is in memory
    house.disk.fail("read", errno.EIO, "people.db")
    for _ in range(3):
        assert house.ann.get(f"/lists/{house.ann.list}").status_code == 503
    house.disk.mend()
    assert house.titles() == house.known
    house.stop("people.db is damaged", "disk I/O error")


def test_a_damaged_page(house: House) -> None:
    """Is a 503 for who needs it; for others all goes on. The log says what to do."""
    bea = Visitor(house.server, "bea")
    bea.sign_up()
    bea.add(*(f"spoilt {number:03} {'x' * 900}" for number in range(40)))
    house.stop()
    house.reopen()
    bea.server = house.server
    whole = house.path.read_bytes()
    start = whole.index(b"spoilt 020") // 4096 * 4096
    with house.path.open("r+b") as file:
        file.seek(start)
        file.write(b"\xff" * 4096)
    for _ in range(3):
        assert bea.get(f"/lists/{bea.list}").status_code == 503
        assert house.titles() == house.known
        house.add("meanwhile")
    with house.path.open("r+b") as file:
        file.seek(start)
        file.write(whole[start : start + 4096])
    assert len(bea.rows()) == 40
    house.stop(f"{house.path} is damaged")
    assert "restore a backup" in house.server.log.read_text()


def test_a_file_that_is_cut_short(house: House) -> None:
    """Is a 503 until it is whole."""
    house.stop()
    house.reopen()
    whole = house.path.read_bytes()
    os.truncate(house.path, 8192)
    for _ in range(3):
        assert house.ann.get(f"/lists/{house.ann.list}").status_code == 503
        house.refuse()
    with house.path.open("r+b") as file:
        file.write(whole)
    assert house.titles() == house.known
    house.add("after")
    house.stop(f"{house.path} is damaged")


def test_a_database_that_is_gone(house: House) -> None:
    """Isn't made anew, nor written where nobody would find it; it can be brought back."""
    away = house.path.with_name("away.db")
    house.path.rename(away)
    for _ in range(3):
        house.refuse()
        assert house.titles() == house.known and not house.path.exists()
    away.rename(house.path)
    house.add("after")
    assert house.titles() == house.known
    house.stop(f"{house.path} is missing")


def test_a_database_that_is_replaced(house: House) -> None:
    """Ends the house before anything is written to either; the other file is left as it is."""
    old, other = house.path.with_name("old.db"), house.path.with_name("other.db")
    with closing(sqlite3.connect(other)) as theirs, theirs:
        theirs.execute("CREATE TABLE row (number INTEGER)")
    was = other.read_bytes()
    os.link(house.path, old)
    other.replace(house.path)
    house.refuse()
    assert "isn't the file that was opened" in house.gives_up()
    assert house.path.read_bytes() == was
    with closing(sqlite3.connect(old)) as ours:
        assert ours.execute("SELECT title FROM todo").fetchall() == [("before",)]
        assert ours.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.parametrize("end", ["-wal", "-shm"])
def test_a_log_that_is_gone(house: House, end: str) -> None:
    """Ends the house, which brings all that was acknowledged into the database."""
    Path(f"{house.path}{end}").unlink()
    assert house.titles() == house.known
    house.refuse()
    assert "its -wal or its -shm" in house.gives_up()
    house.reopen()
    assert house.titles() == house.known
    house.add("after")
    house.stop()


def test_a_lock_that_is_held_long(house: House) -> None:
    """Is waited for, then refused; reading goes on."""
    with closing(sqlite3.connect(house.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with ThreadPoolExecutor() as pool:
            adding = pool.submit(house.refuse)
            while not adding.done():
                assert house.titles() == house.known
    house.add("after")
    house.stop("database is locked")


def test_stopped_for_a_while(house: House) -> None:
    """Whoever asks meanwhile waits, and is served once."""
    process = house.server.process
    process.send_signal(signal.SIGSTOP)
    with ThreadPoolExecutor() as pool:
        adding = [pool.submit(house.ann.add, f"{number}") for number in range(4)]
        time.sleep(3)  # the while
        assert not any(future.done() for future in adding)
        process.send_signal(signal.SIGCONT)
        for future in adding:
            future.result()
    assert sorted(house.titles()) == ["0", "1", "2", "3", "before"]
    house.stop()


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_start_on_a_broken_disk(disk: Disk, start: Callable[..., Server], call: str) -> None:
    """Is refused in one line, and the next one succeeds."""
    disk.fail(call, errno.EIO if call == "fsync" else errno.ENOSPC)
    path = disk.folder / "people.db"
    ran = disk.run("app.py", "--port=0", f"--database={path}")
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (2, "", 1)
    assert f"{path} can't be used" in ran.stderr
    disk.mend()
    House(disk, start).stop()


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_backup_on_a_broken_disk(house: House, call: str) -> None:
    """Has no name, and harms nothing; the next one succeeds."""
    copy = house.path.with_name("copy.db")
    command = ("app.py", f"--database={house.path}", f"--backup={copy}")
    house.disk.fail(call, errno.EIO if call == "fsync" else errno.ENOSPC, ".new")
    ran = house.disk.run(*command)
    assert ran.returncode == 2 and ran.stderr.count("\n") == 1 and not copy.exists()
    house.add("meanwhile")
    house.disk.mend()
    ran = house.disk.run(*command)
    assert (ran.returncode, ran.stderr) == (0, "")
    with closing(sqlite3.connect(copy)) as backup:
        assert backup.execute("SELECT COUNT(*) FROM todo").fetchone() == (2,)
    house.stop()


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
