"""Stopping under load and starting with much: everything under way is answered, nothing is lost."""

import asyncio
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import requests

from app import App
from checks.support.database import ask
from checks.support.servers import Server, inside, numbers, store_for
from checks.support.sockets import Subscriber
from checks.support.visitors import Visitor
from checks.support.waiting import wait
from checks.support.writers import WRITERS, Writer, examine
from config import Config
from models import lists, todos
from models.tables import Person
from server import start as start_server
from server import stop as stop_server

pytestmark = pytest.mark.engine


def load(server: Server) -> list[Writer]:
    """Return people who write there."""
    writers = []
    for _ in range(WRITERS):
        visitor = Visitor(server, "writer")
        visitor.sign_up()
        writers.append(Writer(visitor, None))
    for writer in writers:
        writer.start()
    wait(lambda: all(len(writer.known) > 5 for writer in writers))
    return writers


def close_books(server: Server, writers: list[Writer], *, answered: bool) -> int:
    """Find that all that was acknowledged is there; return how much that is.

    And nothing else, when all was `answered` that was begun.
    """
    for writer in writers:
        writer.ending.set()
        writer.join()
    known = {title for writer in writers for title in writer.known}
    doubtful = set() if answered else {t for writer in writers for t in writer.doubtful}
    examine(server, known, known | doubtful)
    return len(known)


def test_stopped_under_load(start: Callable[..., Server]) -> None:
    """What came is answered, windows hear 1001, the log of the database is empty, status 0."""
    server = start()
    cy = Visitor(server, "cy")
    cy.sign_up()
    polled: list[int] = []
    page = f"/live/poll?list={cy.list}&version=1"
    poll = threading.Thread(target=lambda: polled.append(cy.get(page).status_code))
    poll.start()
    metrics = f"{server.url}/metrics"
    wait(lambda: numbers(requests.get(metrics, timeout=9).text)["under_way"] == 2)
    watcher = Subscriber(cy, 50)
    watcher.start()
    assert watcher.open.wait(10)
    writers = load(server)
    begun = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(10) == 0
    seconds = time.monotonic() - begun
    watcher.join()
    poll.join()
    assert watcher.codes == [1001] * 50 and polled == [204]
    wal = Path(f"{server.database}-wal")
    assert not wal.exists() or wal.stat().st_size == 0
    count = close_books(server, writers, answered=True)
    lines = server.log.read_text().splitlines()
    assert [line for line in lines if "event loop was blocked" not in line] == []
    sys.stdout.write(f"\nstopped under load in {seconds:.2f} s, {count} acknowledged: all there\n")


def test_who_has_just_connected(tmp_path: Path) -> None:
    """Is answered, though the server stops before it has accepted the connection.

    A proxy that was let in and then cut off wouldn't know whether its form was taken.
    """

    async def scene() -> bytes:
        app = App(Config(port=0, database=str(tmp_path / "people.db")))
        running = await start_server(app)
        with socket.create_connection(("127.0.0.1", running.port)) as proxy:
            proxy.sendall(b"GET /login HTTP/1.1\r\nHost: x\r\n\r\n")
            await stop_server(running)  # and the loop had no turn in between
            return b"".join(iter(lambda: proxy.recv(65536), b""))

    answer = asyncio.run(scene())
    assert answer.startswith(b"HTTP/1.1 200") and b"Connection: close" in answer
    assert answer.endswith(b"</html>\n")


def test_stopped_twice(start: Callable[..., Server]) -> None:
    """Someone who can't wait: it ends at once, and loses nothing either."""
    server = start()
    writers = load(server)
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.05)  # any moment of the first one's work will do
    server.process.send_signal(signal.SIGTERM)
    server.process.wait(5)
    close_books(server, writers, answered=False)


def test_started_with_very_much(start: Callable[..., Server], tmp_path: Path) -> None:
    """100,000 todos, after an orderly stop and after a kill: ready in less than a second."""
    server = start()
    ann = Visitor(server, "ann")
    ann.sign_up()
    server.stop()
    with closing(store_for(server.database)) as store:
        store.open()
        for number in range(100):  # one by one: each locks ann's row for long
            ask(store.write, fill_lists, Person(1, ann.name), number).result()
    seconds = []
    for number in range(2):
        begun = time.monotonic()
        server = start(database=server.database)
        seconds.append(time.monotonic() - begun)
        ann.server = server
        ann.add(f"{number}")
        server.process.kill()
        server.process.wait()
    with inside(server.database) as run:
        assert run("SELECT COUNT(*) FROM todo") == [(100_002,)]
    sys.stdout.write(f"\n100,000 todos: ready in {max(seconds):.2f} s\n")


def fill_lists(person: Person, number: int) -> None:
    """Make a list of 1,000 todos."""
    made = lists.create(person, f"{number}")
    todos.add(person, made, *(f"todo {n} of many, and a little longer" for n in range(1000)))


def test_a_log_that_is_moved_away(start: Callable[..., Server], tmp_path: Path) -> None:
    """Is created again after SIGHUP."""
    log, moved = tmp_path / "app.log", tmp_path / "app.log.1"
    server = start(f"--log_file_prefix={log}", "--logging=info")
    requests.get(f"{server.url}/login?1", timeout=9)
    log.rename(moved)
    server.process.send_signal(signal.SIGHUP)

    def told() -> bool:  # a request right behind the signal may still be noted in the old log
        requests.get(f"{server.url}/login?2", timeout=9)
        return log.exists() and "/login" in log.read_text()

    wait(told)
    server.stop()
