"""The same work as others' tutorials teach it: a password, a token, 50 todos, one more.

Each has the tables of `create_database`, SQLite in WAL with synchronous=FULL, and one process.
Those of `LIVE` have no tables: they tell all their sockets of a change.
"""

import hashlib
import shutil
import sqlite3
import sys
from importlib.util import find_spec
from pathlib import Path

from argon2 import PasswordHasher

HERE = Path(__file__).parent
PASSWORD = "three quiet otters"
TOKEN = "todo_a-token-for-the-bench"
NODE_MODULES = Path(sys.prefix) / "node_modules"
NODE = shutil.which("node") or "node"
GUNICORN = [sys.executable, "-m", "gunicorn", "--workers=1", "--bind=127.0.0.1:PORT"]
UVICORN = [sys.executable, "-m", "uvicorn", "--host=127.0.0.1", "--port=PORT", "--no-access-log"]
COMMANDS = {
    "FastAPI + SQLModel": [*UVICORN, "--log-level=warning", "bench.peers.fastapi_app:app"],
    "Flask + SQLAlchemy": [*GUNICORN, "--threads=8", "bench.peers.flask_app:app"],
    "Django": [*GUNICORN, "--threads=8", "bench.peers.django_app:app"],
    "Express + better-sqlite3": [NODE, str(HERE / "express_app.js")],
}
LIVE = {
    "Starlette + uvicorn": [*UVICORN, "--log-level=warning", "bench.peers.starlette_live:app"],
    "ws": [NODE, str(HERE / "ws_live.js")],
}
NEEDS = {
    "FastAPI + SQLModel": "sqlmodel",
    "Flask + SQLAlchemy": "flask_sqlalchemy",
    "Django": "django",
    "Starlette + uvicorn": "websockets",
}
NODE_NEEDS = {"Express + better-sqlite3": "better-sqlite3", "ws": "ws"}


def installed(name: str) -> bool:
    """Return whether a peer is installed, with Node.js or in this environment."""
    if name in NEEDS:
        return find_spec(NEEDS[name]) is not None
    return (NODE_MODULES / NODE_NEEDS[name]).exists()


def create_database(path: Path) -> None:
    """Make a database with a user, their token, and 50 todos."""
    with sqlite3.connect(path) as db:
        db.executescript(
            """
            PRAGMA journal_mode = wal;
            CREATE TABLE user (id INTEGER PRIMARY KEY, name TEXT UNIQUE, password TEXT);
            CREATE TABLE token (
                id INTEGER PRIMARY KEY, user INTEGER NOT NULL REFERENCES user (id),
                hash TEXT UNIQUE NOT NULL
            );
            CREATE TABLE todo (
                id INTEGER PRIMARY KEY, list INTEGER NOT NULL REFERENCES user (id),
                title TEXT NOT NULL, notes TEXT NOT NULL, completed BOOLEAN NOT NULL,
                "order" REAL NOT NULL, created TEXT NOT NULL, updated TEXT NOT NULL,
                version INTEGER NOT NULL
            );
            CREATE INDEX todo_list ON todo (list, "order");
            """
        )
        hasher = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)
        db.execute("INSERT INTO user VALUES (1, 'ann', ?)", [hasher.hash(PASSWORD)])
        db.execute("INSERT INTO user VALUES (2, 'bob', '')")
        db.execute(
            "INSERT INTO token VALUES (1, 1, ?)", [hashlib.sha256(TOKEN.encode()).hexdigest()]
        )
        at = "2026-11-20T09:00:00.000Z"
        for n in range(50):
            row = (1, f"Water the plants, number {n}", "", False, n + 1, at, at, n + 2)
            db.execute("INSERT INTO todo VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?)", row)
    db.close()
