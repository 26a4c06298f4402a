"""Measure what 200 links to slow pages cost everyone else, and how soon their titles are known."""

import asyncio
import os
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote

import requests

from bench.accounts import times
from bench.servers import HERE, Server

LINKS, LATE = 200, 2  # pages, and the seconds after which each answers
SLOW = f"""
import asyncio
from tornado.web import Application, RequestHandler

class Late(RequestHandler):
    async def get(self):
        await asyncio.sleep({LATE})
        self.finish(f"<title>The page {{self.request.path}}</title>")

async def main():
    server = Application([("/.*", Late)], log_function=lambda handler: None).listen(0, "127.0.0.1")
    print(next(iter(server._sockets.values())).getsockname()[1], flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def until_known(database: Path) -> float:
    """Wait until every title is known; return when that was."""
    with closing(sqlite3.connect(database)) as connection:
        while connection.execute("SELECT COUNT(title) FROM link").fetchone() != (LINKS,):
            time.sleep(0.05)
    return time.monotonic()


def measure(folder: Path) -> None:
    """Take the measures."""
    slow = subprocess.Popen(
        ["taskset", "-c", "1", sys.executable, "-c", SLOW],
        cwd=HERE.parent,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert slow.stdout
    port = int(slow.stdout.readline())
    database = folder / "titles.db"
    app = Server(folder, "titles", str(database), f"127.0.0.1:{port}")
    app.sign_up()
    os.sched_setaffinity(app.process.pid, range(os.cpu_count() or 1))
    print(f"{LINKS} links to pages that answer after {LATE} s, and 100 pages a second beside them")
    idle = asyncio.run(times(app, 0))
    begun = time.monotonic()
    links = "\n".join(f"http://127.0.0.1:{port}/{number}" for number in range(LINKS))
    form = {"lines": links, "_xsrf": unquote(app.body.partition("&_xsrf=")[2])}
    requests.post(f"{app.url}/lists/2", form, headers=app.headers, timeout=9).raise_for_status()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(until_known, database)
        busy = asyncio.run(times(app, 0))
        seconds = waiting.result() - begun
    p99 = [each[int(len(each) * 0.99)] for each in (idle, busy)]
    print(f"  all are known after {seconds:.1f} s (< 10)")
    print(f"  p99 of pages: {p99[0]:.1f} ms before, {p99[1]:.1f} ms beside: {p99[1] / p99[0]:.2f}")
    app.stop()
    slow.kill()
    slow.communicate()
