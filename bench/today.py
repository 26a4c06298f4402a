"""Measure what Today takes of someone with 200 lists and 5,000 dated todos, after a change."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import requests

from bench.servers import Server
from bench.table import TABLE

LISTS, TODOS, OVERDUE = 200, 5000, 20  # the last: days of todos that are late
ROUNDS, MOST = 40, 30  # ms of CPU
LIST = """INSERT INTO list (id, name, version, open, total, people, revision)
    VALUES (?, ?, 0, 0, 0, 1, 0)"""
MEMBER = """INSERT INTO member (list_id, user_id, role, position, last_read_message, accepted)
    VALUES (?, 1, 'owner', ?, 0, 1)"""
TODO = """INSERT INTO todo (list_id, title, notes, position, created, updated, version, due)
    VALUES (?, ?, '', ?, ?, ?, 0, ?)"""


def measure(folder: Path) -> None:
    """Take the measure."""
    database = folder / "today.db"
    app = Server(folder, "today", str(database))
    app.sign_up()
    now = datetime.now(UTC)
    ids = [1000 + number for number in range(LISTS)]
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.executemany(LIST, [(number, f"List {number}") for number in ids])
        connection.executemany(MEMBER, [(number, number) for number in ids])
        for number in range(TODOS):
            day = (now + timedelta(number % 365 - OVERDUE)).date()
            row = ids[number % LISTS], f"Todo {number}", number, str(now), str(now), str(day)
            connection.execute(TODO, row)
    print(f"Today, with {LISTS} lists and {TODOS} dated todos, {MOST} ms of CPU at most")
    with requests.Session() as http:
        http.headers.update(app.headers)
        used = {"/healthz": 0.0, "/today": 0.0, "/upcoming": 0.0}
        for _ in range(ROUNDS):
            for path in used:
                http.post(f"{app.url}/lists/1", app.body, headers={"Content-Type": app.kind})
                begun = app.cpu()
                http.get(app.url + path).raise_for_status()
                used[path] += app.cpu() - begun
    for path in ("/today", "/upcoming"):
        ms = 1000 * (used[path] - used["/healthz"]) / ROUNDS
        print(f"  {path}: {ms:.1f} ms")
        if path == "/today":
            TABLE.sizes("Today, 5,000 dated todos", ms, {"30 ms": MOST}, {"30 ms": 1})
    app.stop()
