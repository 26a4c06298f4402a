"""Killed, or the power cut, while people write: what was acknowledged is there, once, and whole.

KILLS says how often, 30 in CI, else 8: `KILLS=100 python -m pytest checks/killed.py -s`.
"""

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests

from checks.support.cast import CLUSTERS, ROOT, Server, Visitor, address, inside
from checks.test_api import Program
from checks.test_disk import Disk

KILLS = int(os.environ.get("KILLS") or (30 if os.environ.get("CI") == "true" else 8))
WRITERS = 6


class Writer(threading.Thread):
    """Adds todos by forms or by the API, and notes which were acknowledged."""

    def __init__(self, visitor: Visitor, program: Program | None) -> None:
        super().__init__()
        self.visitor, self.program = visitor, program
        self.known: list[str] = []  # acknowledged
        self.doubtful: list[str] = []  # sent, and never answered
        self.refused: set[int] = set()  # in which ways
        self.ending = threading.Event()

    def run(self) -> None:
        """Add, until told to end or cut off."""
        while not self.ending.is_set():
            title = f"{uuid4()}"
            self.doubtful.append(title)
            try:
                if self.program:
                    answer = self.program.post("/todos", {"title": title})
                else:
                    page = f"/lists/{self.visitor.list}"
                    answer = self.visitor.post(page, title=title, op=str(uuid4()))
            except requests.RequestException:
                return
            if answer.status_code in (201, 303):
                self.known.append(self.doubtful.pop())
            else:
                self.refused.add(answer.status_code)


def write_and_die(server: Server) -> tuple[set[str], set[str]]:
    """Kill a server while people write; return what was acknowledged, and all that was sent."""
    writers = []
    for number in range(WRITERS):
        visitor = Visitor(server, "writer")
        visitor.sign_up()
        program = Program(server, visitor.name) if number % 2 else None
        writers.append(Writer(visitor, program))
    for writer in writers:
        writer.start()
    time.sleep(random.uniform(0.05, 0.4))  # the moment is what is tried
    server.process.kill()
    server.process.wait()
    known, sent = set[str](), set[str]()
    for writer in writers:
        writer.ending.set()
        writer.join()
        known |= {*writer.known}
        sent |= {*writer.known, *writer.doubtful}
    return known, sent


def again_and_again(begin: Callable[[], Server], what: str, after: Callable[[], Any]) -> None:
    """Kill a server KILLS times, each time let something happen, begin anew and examine it."""
    server, known, sent, seconds = begin(), set[str](), set[str](), []
    for _ in range(KILLS):
        more_known, more_sent = write_and_die(server)
        known |= more_known
        sent |= more_sent
        after()
        begun = time.monotonic()
        server = begin()
        seconds.append(time.monotonic() - begun)
        examine(server, known, sent)
    assert len(known) > 10 * KILLS
    server.stop()
    told = f"{KILLS} {what}, {len(known)} acknowledged: none lost; ready in {max(seconds):.2f} s"
    sys.stdout.write(f"\n{told}\n")


def test_killed_while_people_write(start: Callable[..., Server]) -> None:
    """Again and again, at random moments: nothing lost, doubled, invented or half done."""
    again_and_again(start, "kills", lambda: None)


@pytest.mark.sqlite
@pytest.mark.parametrize("scattered", [False, True], ids=["lost", "scattered"])
def test_the_power_is_cut_while_people_write(
    start: Callable[..., Server], disk: Disk, scattered: bool
) -> None:
    """The same on a disk that keeps only what was synced, or beside it some of the rest."""
    path, environment = disk.folder / "people.db", disk.environment()
    again_and_again(
        lambda: start(database=path, environment=environment),
        "power cuts",
        lambda: disk.cut(scattered=scattered),
    )


def examine(server: Server, known: set[str], sent: set[str]) -> None:
    """Look at the data."""
    with inside(server.database) as ask:
        there = [title for (title,) in ask("SELECT title FROM todo")]
        assert known <= {*there} <= sent, "lost or invented"
        assert len(there) == len({*there}), "done twice"
        if not CLUSTERS:
            assert ask("PRAGMA integrity_check") == [("ok",)]
            assert not ask("PRAGMA foreign_key_check")
        gaps = ask(
            "SELECT list.id FROM list LEFT JOIN change ON change.list_id = list.id"
            " GROUP BY list.id HAVING COUNT(change.id) <> list.version"
            " OR MAX(change.version) <> list.version"
        )
        assert gaps == [], "a version without its change"
        counted = ask(
            "SELECT list.id FROM list WHERE total <> (SELECT COUNT(*) FROM todo WHERE"
            " todo.list_id = list.id AND todo.deleted_at IS NULL)"
        )
        assert counted == []


def test_killed_while_it_opens(start: Callable[..., Server]) -> None:
    """In the middle of the first start, many times: the next one succeeds."""
    server = start()
    for _ in range(KILLS):
        server.process.kill()
        server.process.wait()
        fresh = server.database.with_name(f"{uuid4()}.db")
        kill_the_start(fresh)
        server = start(database=fresh)
        visitor = Visitor(server, "ann")
        assert visitor.sign_up().status_code == 303
    server.stop()


def kill_the_start(path: Path) -> None:
    """Start a server and kill it at a random moment of its start."""
    command = [
        sys.executable,
        "app.py",
        "--port=0",
        f"--database={address(path)}",
        "--logging=none",
    ]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    with suppress(subprocess.TimeoutExpired):
        process.wait(random.uniform(0.2, 0.8))  # the moment is what is tried
    process.kill()
    process.wait()
