"""A server to be measured: `python -m bench.serve KIND PATH`, of a database (a file, or
postgresql://...), or of a bare page.

All run on the event loop of `server.run`: uvloop's if that is installed.

KINDs are `app` (a third argument: how many units share a commit), `live` (the same, for sockets),
`titles` (a third argument: addresses it may fetch from), `changing` and `bare`.

Prints its port; at SIGTERM, how late its event loop was, in ms: p50, p99, the most; at SIGUSR1, for
how long at most it blocked its loop since the last, in ms, without the time others had its core.
"""

import asyncio
import gc
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from argon2 import PasswordHasher
from tornado.web import Application, RequestHandler

import server
from app import App
from config import Config
from controllers.base import PageHandler
from models.database import SqliteStore
from server import start, stop
from services import backups, daemon_thread
from services.render_cache import RenderCache

SECRET = "for measuring only, and long enough"
HASHER = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)
HASH = HASHER.hash("three quiet otters")
TICK = 0.005  # seconds between two checks of the loop


class BareHandler(RequestHandler):
    """What Tornado costs alone: the same bytes, from memory."""

    def initialize(self, page: bytes) -> None:
        self.page = page

    def compute_etag(self) -> None:
        return None

    def get(self) -> None:
        self.write(self.page)

    def post(self) -> None:
        self.redirect("/", status=303)


class BareLogInHandler(RequestHandler):
    """What checking a password costs alone, in one thread."""

    def initialize(self, threads: ThreadPoolExecutor) -> None:
        self.threads = threads

    async def post(self) -> None:
        loop = asyncio.get_running_loop()
        password = self.get_body_argument("password")
        await loop.run_in_executor(self.threads, HASHER.verify, HASH, password)
        self.redirect("/", status=303)


class NothingHandler(PageHandler):
    """An empty public page: what authentication costs."""

    public = True

    async def get(self) -> None:
        self.finish(b"")


async def watch(late: list[float], blocked: list[float]) -> None:
    """Measure how late each tick of the loop comes, and how much of that the loop was busy."""
    while True:
        due, used = time.perf_counter() + TICK, time.thread_time()
        await asyncio.sleep(TICK)
        late.append(1000 * (time.perf_counter() - due))
        blocked.append(min(late[-1], 1000 * (time.thread_time() - used)))


async def do_jobs(server: App) -> None:
    """Run every job once, back up the database, and print the seconds."""
    begun = time.monotonic()
    for job in server.jobs:
        await job.work(server)
    await daemon_thread.in_daemon_thread(
        partial(backups.back_up, server.store.path, server.store.path.parent)
    )
    print(f"{time.monotonic() - begun:.1f}", flush=True)


class Changing(RenderCache):
    """Caches all but what was rendered for a list at one version.

    So each request finds all rows changed; those that come meanwhile share the result.
    """

    def get(self, key: Any) -> bytes | None:
        of_a_version = isinstance(key[0], int)
        return None if of_a_version else super().get(key)


async def main(kind: str, path: str, more: str = "128") -> None:
    """Serve until SIGTERM."""
    closing = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, closing.set)
    late: list[float] = []
    blocked: list[float] = []

    def tell() -> None:
        print(f"{max(blocked, default=0):.2f}", flush=True)
        blocked.clear()

    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, tell)
    server: Any
    if kind != "bare":
        asking: dict[str, Any] = {
            "fetch_titles": kind == "titles",
            "fetch_from": more if kind == "titles" else "",
        }
        asking["cookie_secret"] = SECRET if path.startswith("postgresql:") else ""
        server = App(Config(port=0, database=path, throttle=False, **asking))
        if isinstance(server.store, SqliteStore) and kind != "titles":
            server.store.group = int(more)
        if kind == "changing":
            server.render_cache = Changing()
        server.add_handlers(".*", [("/nothing", NothingHandler)])
        working: set[asyncio.Task[None]] = set()

        def work() -> None:
            working.add(asyncio.create_task(do_jobs(server)))

        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR2, work)
        running = await start(server)
        print(running.port, flush=True)
    else:
        page = {"page": Path(path).read_bytes()}  # noqa: ASYNC240  before it serves
        routes: list[Any] = [("/login", BareLogInHandler, {"threads": ThreadPoolExecutor(1)})]
        routes.append(("/.*", BareHandler, page))
        bare = Application(routes, log_function=lambda handler: None)
        server = bare.listen(0, "127.0.0.1")
        print(next(iter(server._sockets.values())).getsockname()[1], flush=True)
    gc.collect()
    gc.freeze()  # as `server.serve` does
    watching = asyncio.create_task(watch(late, blocked))
    await closing.wait()
    watching.cancel()
    if kind != "bare":
        await stop(running)
    late = sorted(late) or [0]
    print(*(f"{late[int(len(late) * part)]:.2f}" for part in (0.5, 0.99)), f"{late[-1]:.2f}")


if __name__ == "__main__":
    server.run(main(*sys.argv[1:]))
