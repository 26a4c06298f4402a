"""Measure what jobs cost other requests: cleaning up 100,000 todos, and a backup."""

import asyncio
import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

from bench.accounts import times
from bench.servers import Server

LISTS, TODOS = 100, 1000  # half of them expired in the trash

FILL = """
WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < {todos})
INSERT INTO todo (list_id, title, notes, position, created, updated, version, deleted_at, added_id)
SELECT {list}, 'Water the plants, number ' || n, '', n, '{long_ago}', '{long_ago}', 1,
    CASE n % 2 WHEN 0 THEN '{long_ago}' END, 1 FROM number
"""
LONG_AGO = "2020-01-01T00:00:00.000Z"


def fill(database: Path) -> None:
    """Give the first user LISTS lists of TODOS todos."""
    with closing(sqlite3.connect(database)) as connection, connection:
        for _ in range(LISTS):
            new = "INSERT INTO list (name, version, total) VALUES ('Full', 1, ?) RETURNING id"
            (number,) = connection.execute(new, (TODOS // 2,)).fetchone()
            member = (
                "INSERT INTO member (list_id, user_id, role, position) VALUES (?, 1, 'owner', ?)"
            )
            connection.execute(member, (number, number))
            connection.execute(FILL.format(todos=TODOS, list=number, long_ago=LONG_AGO))


def measure(folder: Path) -> None:
    """Take the measures."""
    database = folder / "jobs.db"
    app = Server(folder, "app", str(database))
    app.sign_up()
    fill(database)
    os.sched_setaffinity(app.process.pid, range(os.cpu_count() or 1))
    print(f"every job over {LISTS * TODOS} todos, half of them expired, and a backup")
    idle = asyncio.run(times(app, 0))
    before = app.blocked()
    app.process.send_signal(signal.SIGUSR2)
    busy = asyncio.run(times(app, 0))
    assert app.process.stdout
    seconds = float(app.process.stdout.readline())
    blocked = app.blocked()
    p99 = [each[int(len(each) * 0.99)] for each in (idle, busy)]
    print(f"  done in {seconds:.1f} s; loop blocked for {blocked:.1f} ms ({before:.1f} before)")
    print(f"  p99 of pages: {p99[0]:.1f} ms before, {p99[1]:.1f} ms beside: {p99[1] / p99[0]:.2f}")
    app.stop()
