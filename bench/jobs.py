"""Measure what jobs cost other requests: cleaning up 100,000 todos, and a backup."""

import asyncio
import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import requests

from bench.accounts import times
from bench.servers import LISTS, Server

POSTS, TODOS = 100, 1000  # of each; half of all are deleted long ago
LONG_AGO = "2020-01-01T00:00:00.000Z"


def fill(server: Server, database: Path) -> None:
    """Add TODOS todos POSTS times, and move half of all to the trash, long ago."""
    lines = "\n".join(f"Water the plants, number {number}" for number in range(TODOS))
    with requests.Session() as http:
        http.headers.update(server.headers | {"Content-Type": server.kind})
        token = server.body.rpartition("_xsrf=")[2]
        for number in range(POSTS):
            form = f"lines={quote(lines)}&_xsrf={token}"
            answer = http.post(
                f"{server.url}/lists/{2 + number % LISTS}", form, allow_redirects=False
            )
            assert answer.status_code == 303, answer.text
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE todo SET deleted_at = ? WHERE id % 2", (LONG_AGO,))
        connection.execute("UPDATE list SET total = total / 2, open = open / 2")


def measure(folder: Path) -> None:
    """Take the measures."""
    database = folder / "jobs.db"
    app = Server(folder, "app", str(database))
    app.sign_up()
    fill(app, database)
    os.sched_setaffinity(app.process.pid, range(os.cpu_count() or 1))
    print(f"every job over {POSTS * TODOS} todos, half of them expired, and a backup")
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
