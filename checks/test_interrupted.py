"""Killed, or the power cut, at each step on the disk: of a first start, an upgrade, a backup.

Some of the steps, chosen again each time; STRIDE=1 takes all of them.
"""

import itertools
import os
import random
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from checks.support.disk import Disk, Trials
from models import migrations, sqlite_file

pytestmark = pytest.mark.sqlite

STRIDE = int(os.environ.get("STRIDE") or (3 if os.environ.get("CI") == "true" else 9))
NEWEST = migrations.newest_of(migrations.STEPS)
# A step that is to come: it adds a column, fills it, and makes a table.
NEXT = """
from peewee import CharField


def up(migrator, db):
    migrator.migrate(migrator.add_column("todo", "colour", CharField(default="red")))
    db.execute_sql("UPDATE todo SET colour = 'green' WHERE completed_at IS NOT NULL")
    db.execute_sql("CREATE TABLE label (id INTEGER PRIMARY KEY, name TEXT NOT NULL)")
    db.execute_sql("INSERT INTO label (name) SELECT DISTINCT colour FROM todo")
"""
WAYS: dict[str, tuple[str, Callable[[Disk], Any]]] = {
    "killed": ("all", lambda disk: None),
    "cut": ("fsync", lambda disk: disk.cut()),
    "scattered": ("all", lambda disk: disk.cut(scattered=True)),
}
START = """
def work():
    store = SqliteStore(path, SqliteFile)
    store.open()
    sqlite_file.signing_key(path)
    store.close()
"""
UPGRADE = """
def work():
    migrations.open_file(path, Path({steps!r})).close()
"""
BACKUP = """
def work():
    migrations.copy_to(path, Path(f"{path}.copy"))
"""
ROWS = """
INSERT INTO user (id, username, join_date, shortcuts, presence, delay_messages)
    VALUES (1, 'ann', '2026', 1, 1, 0), (2, 'bob', '2026', 1, 1, 0);
INSERT INTO list (id, name, version, open, total, people, revision)
    VALUES (1, 'Casa', 3, 99, 99, 2, 0), (2, 'Work', 0, 0, 0, 1, 0);
INSERT INTO member (id, list_id, user_id, role, position, last_read_message, accepted)
    VALUES (1, 1, 1, 'owner', 1, 0, 1), (2, 1, 2, 'editor', 1, 0, 0), (3, 2, 1, 'owner', 2, 0, 1);
INSERT INTO change
    (id, list_id, version, user_id, verb, kind, title, touched, before, after, at) VALUES
    (1, 1, 1, 1, 'add', 'todo', 'tea', 1, '[]', '[{"id": 1, "completed": false}]', '2026'),
    (2, 1, 2, 1, 'add', 'todo', 'milk', 1, '[]', '[{"id": 2, "completed": false}]', '2026'),
    (3, 1, 3, 2, 'complete', 'todo', 'milk', 1, '[{"id": 2, "completed": false}]',
     '[{"id": 2, "completed": true}]', '2026');
"""
TODO = (
    "INSERT INTO todo (list_id, title, notes, completed_at, position, created, updated, version)"
    " VALUES (1, ?, ?, ?, ?, '2026', '2026', 1)"
)


def dump(path: Path) -> dict[str, Any]:
    """Return all that is in a database, except when its steps were run."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
        query = "SELECT name, sql FROM sqlite_schema WHERE type = 'table' ORDER BY name"
        found: dict[str, Any] = {"number": database.execute("PRAGMA user_version").fetchall()}
        for table, sql in database.execute(query).fetchall():
            names = "name" if table == "schema_migration" else "*"
            found[table] = sql, database.execute(f'SELECT {names} FROM "{table}"').fetchall()
    return found


def sample(folder: Path) -> Path:
    """Return a database of today's schema as a kill left it: the last changes are in its log."""
    making = folder.with_name("making")
    making.mkdir()
    migrations.open_file(making / "people.db").close()
    with closing(sqlite3.connect(making / "people.db")) as database, database:
        database.executescript(ROWS)
        database.executemany(TODO, [(f"todo {n}", "x" * 99, None, n) for n in range(99)])
        database.execute("UPDATE todo SET completed_at = '2026' WHERE id = 2")
        database.commit()
        shutil.copytree(making, folder)
    assert (folder / "people.db-wal").stat().st_size > 0
    return folder / "people.db"


def interrupt(disk: Disk, work: str, way: str, files: Path | None = None) -> Iterator[bool]:
    """Stop the work before a step, let happen what happens then; again, until it came to its end.

    Gives each time whether it did.
    """
    kind, then = WAYS[way]
    trials = Trials(disk, work)
    try:
        for number in itertools.count(random.randint(1, STRIDE), STRIDE):
            disk.start_anew(files)
            died = trials.died(f"{kind} {number}")
            then(disk)
            yield not died
            if not died:
                break
    finally:
        trials.close()


def tell(tried: int, way: str, what: str) -> None:
    """Write the figure down."""
    sys.stdout.write(f"\n{what}, {way}: {tried} moments\n")


@pytest.mark.parametrize("way", WAYS)
def test_a_first_start(disk: Disk, way: str) -> None:
    """The next one finds nothing, or everything; a key that was told stays the same."""
    path = disk.folder / "people.db"
    tried = 0
    for ended in interrupt(disk, START, way):
        tried += 1
        secret = Path(f"{path}.secret")
        assert (path.exists() and secret.exists()) or not ended
        migrations.open_file(path).close()
        key = sqlite_file.signing_key(path)
        assert dump(path)["number"] == [(NEWEST,)]
        assert sqlite_file.signing_key(path) == key and len(key) == 86
    tell(tried, way, "first start")


@pytest.mark.parametrize("way", WAYS)
def test_an_upgrade(disk: Disk, tmp_path: Path, way: str) -> None:
    """The next start brings it to an end, with all that was there; the copy of before is whole."""
    path, old = disk.folder / "people.db", sample(tmp_path / "old")
    steps = tmp_path / "steps"
    steps.mkdir()
    for step in migrations.STEPS.glob("[0-9]*.py"):
        shutil.copy(step, steps)
    (steps / f"{NEWEST + 1:04}_next.py").write_text(NEXT)
    shutil.copytree(old.parent, tmp_path / "new")
    migrations.open_file(tmp_path / "new/people.db", steps).close()
    before, after, tried = dump(old), dump(tmp_path / "new/people.db"), 0
    for ended in interrupt(disk, UPGRADE.format(steps=str(steps)), way, old.parent):
        tried += 1
        assert not ended or dump(path) == after
        migrations.open_file(path, steps).close()
        assert dump(path) == after
        assert dump(Path(f"{path}.schema-{NEWEST}")) == before
    tell(tried, way, "upgrade")


@pytest.mark.parametrize("way", WAYS)
def test_a_backup(disk: Disk, tmp_path: Path, way: str) -> None:
    """What has its name is whole; the next try makes it; the source is as it was."""
    old = sample(tmp_path / "old")
    path, copy = disk.folder / "people.db", disk.folder / "people.db.copy"
    before, tried = dump(old), 0
    for ended in interrupt(disk, BACKUP, way, old.parent):
        tried += 1
        assert dump(path) == before
        assert copy.exists() or not ended
        if not copy.exists():
            migrations.copy_to(path, copy)
        assert dump(copy) == before
    tell(tried, way, "backup")
