"""The disk of `support/disk.py` itself: it loses exactly what was not synced."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from checks.support.disk import Disk

pytestmark = pytest.mark.sqlite
COMMITS = """
import os, signal, sys
from peewee import sqlite3
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("PRAGMA journal_mode = wal")
database.execute("PRAGMA synchronous = full")
database.execute("CREATE TABLE row (number INTEGER)")
database.execute(f"PRAGMA synchronous = {sys.argv[2]}")
for number in range(9):
    database.execute("INSERT INTO row VALUES (?)", (number,))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(("synchronous", "left"), [("full", 9), ("normal", 0), ("off", 0)])
def test_it_loses_what_was_not_synced(disk: Disk, synchronous: str, left: int) -> None:
    """Commits survive with `synchronous = full` only, although a kill alone loses none."""
    path = disk.folder / "people.db"
    disk.run("-c", COMMITS, str(path), synchronous)
    killed = disk.folder.with_name("killed")
    shutil.copytree(disk.folder, killed)
    disk.cut()
    assert count(killed / path.name) == 9
    assert count(path) == left


def count(path: Path) -> int:
    """Return how many rows are there."""
    with closing(sqlite3.connect(path)) as database:
        return int(database.execute("SELECT COUNT(*) FROM row").fetchone()[0])
