"""PostgreSQL for the tests: a cluster of their own, from Debian's packages, soon thrown away."""

import hashlib
import os
import shutil
import socket
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any

from models import postgres

FOLDERS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda f: float(f.parent.name))
FOUND = shutil.which("initdb") or (FOLDERS and str(FOLDERS[-1] / "initdb")) or ""
MISSING = "no PostgreSQL found: apt install postgresql"
# The server refuses to run as root.
USER = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
PLAIN = USER if os.geteuid() == 0 else []
QUICK = {"fsync": "off", "full_page_writes": "off", "max_connections": 400}


def free_port() -> int:
    """Return a port that nobody uses just now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Cluster:
    """A server with databases in it."""

    def __init__(self, settings: dict[str, Any] | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="afazeres-"))
        if PLAIN:
            shutil.chown(self.folder, "nobody", "nogroup")
        self.port = free_port()
        self.data = self.folder / "data"
        self.made: set[str] = set()
        self.making = threading.Lock()
        self.run("initdb", "--auth=trust", "--username=ana", "--encoding=UTF8", "--locale=C")
        options = {"listen_addresses": "127.0.0.1", "port": self.port}
        options |= {"unix_socket_directories": self.folder} | (settings or {})
        self.options = " ".join(f"-c {name}={value}" for name, value in options.items())
        self.control("start", "-o", self.options)

    def run(self, name: str, *arguments: str) -> None:
        """Run one of its programs, as someone who isn't root."""
        subprocess.run(
            [*PLAIN, Path(FOUND).with_name(name), "-D", self.data, *arguments],
            cwd="/",
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=60,
        )

    def control(self, *verb: str) -> None:
        """Start, stop or restart it: `control("restart", "-m", "immediate")`."""
        self.run("pg_ctl", *verb, "-w", "-l", f"{self.folder}/log")

    def url(self, name: str) -> str:
        """Return the address of a database."""
        return f"postgresql://ana:a-secret@127.0.0.1:{self.port}/{name}"

    def execute(self, statement: str, name: str = "postgres") -> list[Any]:
        """Run SQL outside a transaction; return its rows."""
        database = postgres.database_at(self.url(name))
        with database.connection_context():
            cursor = database.execute_sql(statement)
            return cursor.fetchall() if cursor.description else []

    def make(self, name: str, template: str = "template0") -> str:
        """Make a database, and return its address."""
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def database_for(self, path: Path) -> str:
        """Return the address of the database that stands for a file; the first time it is made."""
        name = f"t{hashlib.sha256(str(path).encode()).hexdigest()[:16]}"
        with self.making:
            if "furnished" not in self.made:
                url = self.make("furnished")
                with postgres.exclusive(url) as database:
                    postgres.prepare(url, database)
                self.made.add("furnished")
            if name not in self.made:
                self.make(name, "furnished")
                self.made.add(name)
        return self.url(name)

    def stop(self) -> None:
        """End it, and leave nothing."""
        self.control("stop", "-m", "immediate")
        shutil.rmtree(self.folder)
