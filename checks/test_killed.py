"""Killed, or the power cut, while people write: what was acknowledged is there, once, and whole.

KILLS says how often, 30 in CI, else 8: `KILLS=100 python -m pytest checks/killed.py -s`.
"""

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from checks.support.disk import Disk
from checks.support.programs import Program
from checks.support.servers import ROOT, Server, address
from checks.support.visitors import Visitor
from checks.support.writers import WRITERS, Writer, examine

pytestmark = pytest.mark.engine

KILLS = int(os.environ.get("KILLS") or (30 if os.environ.get("CI") == "true" else 8))


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
    """Kill a server KILLS times, each time let something happen, begin again and examine it."""
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
