"""All of it at once: four processes, PostgreSQL, Redis and nginx, and all of them break.

WINDOWS says how many are open, 1,000 unless told: `WINDOWS=200 pytest checks/test_cluster.py`.
"""

import asyncio
import json
import os
import random
import resource
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.iostream import StreamClosedError
from tornado.websocket import WebSocketClosedError, websocket_connect

from checks.support import cluster
from checks.support.needs import needs_nginx, needs_postgresql, needs_redis
from checks.support.nginx import Nginx, place_of
from checks.support.redis_server import Redis
from checks.support.servers import KEY, OPTIONS, Server
from checks.support.sockets import aside, play
from checks.support.visitors import Visitor, at
from checks.support.waiting import until

WINDOWS = int(os.environ.get("WINDOWS") or 1000)
WRITERS = 8  # each with a list of their own
PACE = 0.25  # seconds between two todos of one writer: 4,000 news a second for all windows
PLANTED = {502, 503, 504}  # what may be answered while something is broken
pytestmark = [
    pytest.mark.postgresql,
    needs_postgresql,
    needs_redis,
    needs_nginx,
]


class Window:
    """Watches a list as a browser does, and comes again when it is cut off."""

    def __init__(self, visitor: Visitor, refused: Counter[int]) -> None:
        self.refused = refused  # with which status, or 0: cut off
        cookies = "; ".join(f"{c.name}={c.value}" for c in visitor.http.cookies)
        address = visitor.server.url.replace("http", "ws") + "/live"
        headers = {"Cookie": cookies, "Origin": visitor.server.url}
        self.request = HTTPRequest(address, headers=headers, request_timeout=60)
        self.list = visitor.list
        self.version, self.told, self.live, self.met = 0, 0, False, 0
        self.open = False
        self.wrong: list[Any] = []  # what it should not have heard

    async def stay(self, coming: asyncio.Semaphore) -> None:
        """Watch until cancelled."""
        while True:
            connection = None
            try:
                async with coming:
                    connection = await websocket_connect(self.request)
                    self.open = True
                    watch = {"type": "watch", "list": self.list, "version": self.version}
                    await connection.write_message(json.dumps(watch))
                    self.take(await connection.read_message())
                while self.live:
                    self.take(await connection.read_message())
            except HTTPClientError as error:
                self.refused[error.code] += 1
            except (OSError, StreamClosedError, WebSocketClosedError):
                self.refused[0] += 1
            finally:
                self.live = False
                if connection:
                    connection.close()
                    while self.open:  # or the loop that ends meanwhile would leave it so
                        self.take(await connection.read_message())
            await asyncio.sleep(random.uniform(0, 0.5))

    def take(self, text: Any) -> None:
        """Take a message: none is told twice, and versions only rise.

        What was answered may already be the version of news that are still on their way.
        """
        if text is None:
            self.live = self.open = False
            return
        message = json.loads(text)
        kind, version = message["type"], message.get("version", 0)
        if kind == "watching":
            self.live = True
            self.met += 1
            if version < self.version:
                self.wrong.append((self.version, message))
            self.version, self.told = version, 0
        elif kind == "changed":
            if version <= self.told:
                self.wrong.append((self.told, message))
            self.version, self.told = max(self.version, version), version
        elif kind == "error" and message["status"] == 503:
            self.refused[503] += 1
            self.live = False
        elif kind not in ("present", "alive"):
            self.wrong.append(message)


class Writer(threading.Thread):
    """Adds todos, each as often as it takes, and looks at the page."""

    def __init__(self, visitor: Visitor) -> None:
        super().__init__()
        self.visitor = visitor
        self.ending = threading.Event()
        self.known: list[str] = []  # acknowledged
        self.trying = ""  # and what is not
        self.answers: Counter[int] = Counter()

    def run(self) -> None:
        """Add until told to end, or for ever when something breaks for good."""
        page = f"/lists/{self.visitor.list}"
        while not self.ending.wait(PACE):
            self.trying = f"{uuid4()}"
            form, status = {"title": self.trying, "op": self.trying}, 0
            while status != 303 and not self.ending.wait(PACE * bool(status)):
                status = self.visitor.post(page, **form).status_code
                self.answers[status] += 1
            if status == 303:
                self.known.append(self.trying)
            self.answers[self.visitor.get(page).status_code] += 1


@pytest.fixture
def roomy() -> Iterator[None]:
    """Allow this process as many descriptors as its windows take."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_all_of_it_breaks(start: Callable[..., Server], tmp_path: Path, roomy: None) -> None:
    """One part after another, while people write: nothing is lost, every window ends as it should.

    And nobody is told of an error but where something was broken just then.
    """
    own = cluster.Cluster()
    with closing(Redis(tmp_path / "redis")) as redis:
        url = own.make("people")
        told = [f"--database={url}", KEY, f"--redis={redis.url}", *OPTIONS]
        servers = [start(*told) for _ in range(4)]
        front: Any = Nginx(tmp_path / "nginx", servers, connections=10 * WINDOWS)
        front.expected = "upstream"
        try:
            until(front.listens)
            break_it(start, own, redis, servers, front, told)
            front.stop()
            for each in servers:
                each.expected = [""]  # that PostgreSQL was away
                assert "Traceback" not in each.log.read_text()
                each.stop()
        finally:
            front.process.terminate()
            front.process.wait()
            own.stop()


def break_it(
    start: Callable[..., Server],
    own: cluster.Cluster,
    redis: Redis,
    servers: list[Server],
    front: Any,
    told: list[str],
) -> None:
    """Let people in, break things, and look at what is left."""
    people = [at(Visitor(front, "ann"), front) for _ in range(WRITERS)]
    for each in people:
        assert each.sign_up().status_code == 303
    refused = Counter[int]()
    windows = [Window(people[number % WRITERS], refused) for number in range(WINDOWS)]
    writers = [Writer(each) for each in people]
    begun = time.monotonic()

    def all_go_on() -> None:
        """Wait until every window is live, and everyone has written."""
        had = [len(each.known) for each in writers]
        until(lambda: all(w.live for w in windows))
        until(lambda: all(len(w.known) > n + 2 for w, n in zip(writers, had, strict=True)))

    def kill(number: int) -> None:
        server = servers[number]
        here = sum(window.met for window in windows)
        server.process.kill()
        server.process.wait()
        until(lambda: sum(window.met for window in windows) > here)
        servers[number] = start(f"--port={place_of(server).split(':')[1]}", *told)

    def restart_redis() -> None:
        redis.kill()
        all_go_on()
        redis.start()

    def restart_postgresql() -> None:
        own.control("restart", "-m", "immediate")

    def versions() -> dict[int, int]:
        return dict(own.execute("SELECT id, version FROM list", "people"))

    async def scene() -> None:
        coming = asyncio.Semaphore(50)
        staying = [asyncio.create_task(window.stay(coming)) for window in windows]
        await aside(until, lambda: all(window.live for window in windows))
        for writer in writers:
            writer.start()
        try:
            await aside(all_go_on)
            for fault in (0, restart_redis, 1, restart_postgresql, 2, redis.client.flushall, 3):
                await (aside(kill, fault) if isinstance(fault, int) else aside(fault))
                await aside(all_go_on)
        finally:
            for writer in writers:
                writer.ending.set()
            for writer in writers:
                await aside(writer.join)
        last = await aside(versions)
        await aside(until, lambda: all(w.live and w.version == last[w.list] for w in windows))
        for task in staying:
            task.cancel()
        await asyncio.wait(staying)

    play(scene)
    seconds = time.monotonic() - begun
    there = [title for (title,) in own.execute("SELECT title FROM todo", "people")]
    known = {title for writer in writers for title in writer.known}
    assert len(there) == len({*there}), "done twice"
    assert known <= {*there} <= known | {writer.trying for writer in writers}, "lost or invented"
    last = versions()
    for each in people:
        shown = {row.title for row in each.rows()}
        assert len(shown) == last[each.list] - 1
    assert [window.wrong for window in windows if window.wrong] == []
    answers = sum((writer.answers for writer in writers), Counter[int]())
    assert {*answers} <= {200, 303} | PLANTED
    assert {*refused} <= {0} | PLANTED
    sys.stdout.write(
        f"\n{len(windows)} windows came {sum(w.met for w in windows)} times, and all ended on the"
        f" last version; {len(known)} todos acknowledged in {seconds:.0f} s, 0 lost;"
        f" answers {dict(answers)}, windows refused {dict(refused)}\n"
    )
