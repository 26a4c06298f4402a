"""Measure how soon a server answers that has just been started, and what memory it takes then."""

import re
import statistics
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import requests

from bench import peers
from bench.servers import HERE, free_port, variables_of
from bench.table import BARE, OURS, PEERS, TABLE
from bench.work import app_server

ROUNDS, SETTLED = 5, 1  # seconds
LIVE = ("Starlette + uvicorn", "ws")
TORNADO = """
import asyncio, sys
from tornado.web import Application, RequestHandler

class Hello(RequestHandler):
    def get(self):
        self.finish("hello")

async def main():
    app = Application([("/.*", Hello)], log_function=lambda handler: None)
    app.listen(sys.argv[1], "127.0.0.1")
    await asyncio.Event().wait()

asyncio.run(main())
"""


def memory(process: int) -> int:
    """Return the bytes that a process and its children have; what they share counts once."""
    total = 0
    for status in Path("/proc").glob("[0-9]*/status"):
        with suppress(OSError):
            parent = re.findall(r"PPid:\s+(\d+)", status.read_text())[0]
            if str(process) in (status.parent.name, parent):
                shares = status.with_name("smaps_rollup").read_text()
                total += 1024 * int(re.findall(r"\nPss:\s+(\d+)", shares)[0])
    return total


def start_up(command: list[str], variables: dict[str, str]) -> tuple[float, int]:
    """Start a server; return after how many seconds it answers, and its bytes of memory."""
    port = str(free_port())
    begun = time.monotonic()
    process = subprocess.Popen(
        ["taskset", "-c", "0", *(part.replace("PORT", port) for part in command)],
        cwd=HERE.parent,
        env=variables_of(PORT=port, **variables),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while True:
            with suppress(requests.ConnectionError):
                requests.get(f"http://127.0.0.1:{port}/login", timeout=9)
                break
            time.sleep(0.002)
        ready = time.monotonic() - begun
        time.sleep(SETTLED)
        return ready, memory(process.pid)
    finally:
        process.terminate()
        process.wait(30)


def measure(folder: Path) -> None:
    """Take the measures."""
    print("a fresh process: seconds until it answers, MB of memory")
    app_server(folder, "fresh").stop()
    ours = [sys.executable, "app.py", "--port=PORT", f"--database={folder}/fresh False.db"]
    commands = {OURS: ours, BARE: [sys.executable, "-c", TORNADO, "PORT"]}
    commands |= {n: c for n, c in (peers.COMMANDS | peers.LIVE).items() if peers.installed(n)}
    peers.create_database(folder / "fresh-peers.db")
    variables = {"DATABASE": str(folder / "fresh-peers.db")}
    taken: dict[str, list[tuple[float, int]]] = {name: [] for name in commands}
    for turn in range(ROUNDS):
        for name in list(commands)[:: -1 if turn % 2 else 1]:
            taken[name].append(start_up(commands[name], variables))
    seconds = {name: statistics.median(s for s, _ in each) for name, each in taken.items()}
    sizes = {name: statistics.median(b for _, b in each) / 1e6 for name, each in taken.items()}
    for name in commands:
        print(f"  {name:26}{seconds[name]:6.2f} s {sizes[name]:6.0f} MB", flush=True)
    everyone: dict[str, float | None] = dict.fromkeys((BARE, *PEERS, *LIVE))
    TABLE.sizes("startup time", seconds[OURS], seconds, everyone)
    sizes["70 MB"] = 70
    everyone["70 MB"] = 1
    TABLE.sizes("memory at startup", sizes[OURS], sizes, everyone)
