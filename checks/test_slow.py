"""Slow and hostile clients: each is cut off in time, and nobody else notices."""

import asyncio
import itertools
import os
import re
import signal
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
import requests

import server as server_module
from app import App
from checks.support.servers import Server, numbers
from checks.support.sockets import (
    CLOSE,
    CONNECTIONS,
    CONTINUED,
    FINAL,
    PING,
    PONG,
    TEXT,
    UPGRADE,
    Client,
    frame,
    held,
)
from checks.support.visitors import Visitor
from checks.support.waiting import wait
from config import Config
from server import start as start_server
from server import stop as stop_server
from services.metrics import Metrics

CUT_WITHIN = 35  # seconds
EACH = 2  # of a kind
CROWD = 120  # sockets
TICKS = os.sysconf("SC_CLK_TCK")
FORM = "Content-Type: application/x-www-form-urlencoded\r\n"
LONG, CHUNKED = "Content-Length: 1000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n"
INSIDE = """
import gc, signal, sys
def tell(*anything):
    gc.unfreeze()
    gc.collect()
    kinds = [type(each).__name__ for each in gc.get_objects()]
    print("left", kinds.count("LiveHandler"), kinds.count("IOStream"), file=sys.stderr)
signal.signal(signal.SIGUSR1, tell)
"""  # what the server says of itself when it is asked
HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"  # of TLS, and no more of it
pytestmark = pytest.mark.skipif(not CONNECTIONS.exists(), reason="only Linux tells who is held")


Act = Callable[[Client], Awaitable[None]]


def asks(line: str, rest: str, drip: str = "", *, known: bool = True) -> Act:
    """Return who begins with a request, and then goes on a byte a second."""

    async def act(client: Client) -> None:
        await client.ask(line, rest, known=known)
        if drip:
            await client.drip(drip, drip[-1])

    return act


def says(data: bytes, drip: str = "") -> Act:
    """Return who says something that isn't a request, or not a whole one."""

    async def act(client: Client) -> None:
        await client.send(data)
        if drip:
            await client.drip(drip)

    return act


def comes_back(line: str, rest: str, drip: str = "") -> Act:
    """Return who is answered once, and then asks very slowly, or nothing at all."""

    async def act(client: Client) -> None:
        await client.send(f"{line}\r\nHost: x\r\n{rest}\r\n")
        assert b" 200 " in await client.read()
        if drip:
            await client.drip(drip)

    return act


def enters(data: bytes, drip: str = "", *, reads: bool = False) -> Act:
    """Return who opens a WebSocket, says something and goes on a byte a second; or only reads."""

    async def act(client: Client) -> None:
        await client.enter()
        await client.send(data)
        if drip:
            await client.drip(drip)
        while reads and await client.read():
            pass

    return act


def floods(data: bytes, begin: bytes = b"") -> Act:
    """Return who opens a WebSocket and sends frames without end."""

    async def act(client: Client) -> None:
        await client.enter()
        await client.send(begin)
        await client.flood(data)

    return act


async def hangs_up_halfway(client: Client) -> None:
    """Send half a request, and say that this was all, but keep the connection."""
    await client.ask("GET /healthz", "")
    client.socket.shutdown(socket.SHUT_WR)


BAD: dict[str, Act] = {
    "nothing comes": says(b""),
    "half a hello of TLS": says(HELLO),
    "the first line drips": says(b"GET /", "x"),
    "empty lines drip": says(b"", "\n\r" * 100),
    "a header drips": asks("GET /healthz", "X-Long: ", "x"),
    "headers drip": asks("GET /healthz", "", "A: b\r\n" * 100),
    "many headers, then it drips": asks("GET /healthz", "A: b\r\n" * 5000, "x"),
    "a path of 30 kB, then it drips": says(b"GET /" + b"x" * 30_000, "x"),
    "half a request, then its end": hangs_up_halfway,
    "nothing after an answer": comes_back("GET /healthz HTTP/1.1", ""),
    "a drip after an answer": comes_back("GET /healthz HTTP/1.1", "", "GET /"),
    "HTTP/1.0 that stays": comes_back("GET /healthz HTTP/1.0", "Connection: keep-alive\r\n", "G"),
    "a form never comes": asks("POST /login", FORM + LONG),
    "a form is expected": asks("POST /login", f"{FORM}Expect: 100-continue\r\n{LONG}"),
    "a form drips": asks("POST /login", FORM + LONG, "x"),
    "a form drips to nowhere": asks("POST /nowhere", FORM + LONG, "x"),
    "an unknown verb drips": asks("BREW /login", FORM + LONG, "x"),
    "a stranger's form drips": asks("POST /lists/1", FORM + LONG, "x", known=False),
    "a stranger's file drips": asks("POST /account/import", FORM + LONG, "x", known=False),
    "a file drips": asks("POST /account/import", FORM + LONG, "x"),
    "packed things drip": asks("POST /login", f"{FORM}Content-Encoding: gzip\r\n{LONG}", "\x1f"),
    "JSON drips": asks("POST /api/todos", "Content-Type: application/json\r\n" + LONG, "[["),
    "chunks drip": asks("POST /login", FORM + CHUNKED, "1\r\nx\r\n" * 100),
    "the size of a chunk drips": asks("POST /login", FORM + CHUNKED, "0"),
    "half a handshake": asks("GET /live", UPGRADE),
    "a handshake with a form that drips": asks("GET /live", UPGRADE + LONG, "x"),
    "a handshake with chunks that drip": asks("GET /live", UPGRADE + CHUNKED, "1\r\nx\r\n" * 100),
    "a handshake by POST": asks("POST /live", UPGRADE + LONG, "x", known=False),
    "a socket answers no pings": enters(b"", reads=True),
    "a socket never reads": enters(b""),
    "a frame drips": enters(frame(FINAL | TEXT, bytes(60_000))[:8], "x"),
    "a frame is huge": enters(bytes([FINAL | TEXT, 0xFF]) + (2**40).to_bytes(8) + bytes(4), "x"),
    "a farewell, and it stays": enters(frame(FINAL | CLOSE)),
    "a message in parts without end": floods(frame(CONTINUED), frame(TEXT, b"x")),
    "pings without end": floods(frame(FINAL | PING, b"x" * 100)),
    "pongs without end": floods(frame(FINAL | PONG)),
}


async def behave(act: Act, client: Client) -> None:
    """Do what is bad until one is cut off."""
    with suppress(OSError):
        await act(client)


async def end(tasks: list[asyncio.Task[None]]) -> None:
    """Have them do no more, and find that nothing went wrong with them."""
    for task in tasks:
        task.cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert [e for e in ended if e and not isinstance(e, asyncio.CancelledError)] == []


async def cut_off(clients: dict[Client, str], port: int, within: float) -> dict[str, float]:
    """Return after how many seconds the server has let go of the last client of each kind."""
    begun, after = time.monotonic(), dict[str, float]()
    left = dict(clients)
    while left and time.monotonic() < begun + within:
        await asyncio.sleep(0.2)
        here = held(port)
        for client in [client for client in left if client.port not in here]:
            name = left.pop(client)
            after[name] = max(after.get(name, 0), time.monotonic() - begun)
    return after | dict.fromkeys(left.values(), float("inf"))


def used(server: Server) -> float:
    """Return the seconds of CPU that a server has used."""
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory(server: Server) -> int:
    """Return the MB of memory that a server has."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) // 1024


def told(server: Server) -> dict[str, float]:
    """Return the numbers of a server."""
    with requests.get(f"{server.url}/metrics", timeout=9) as answer:
        return numbers(answer.text)


def test_bad_manners(start: Callable[..., Server]) -> None:
    """Whatever they do, they are cut off within 35 s; who behaves is answered all the while.

    All come at the same time, as it takes half a minute.
    """
    server = start("--throttle=true")
    ann = Visitor(server, "ann")
    ann.sign_up()
    ann.add("milk")
    waits: list[float] = []

    async def be_honest() -> None:
        while True:
            begun = time.monotonic()
            page = await asyncio.to_thread(ann.get, f"/lists/{ann.list}")
            health = await asyncio.to_thread(requests.get, f"{server.url}/healthz", timeout=9)
            assert (page.status_code, health.status_code) == (200, 200)
            waits.append(time.monotonic() - begun)
            await asyncio.sleep(0.2)

    async def scene() -> dict[str, float]:
        clients = {Client(ann): name for name in BAD for _ in range(EACH)}
        acting = [asyncio.create_task(behave(BAD[name], c)) for c, name in clients.items()]
        honest = asyncio.create_task(be_honest())
        after = await cut_off(clients, urlsplit(server.url).port or 0, CUT_WITHIN)
        assert not honest.done()
        await end([honest, *acting])
        for client in clients:
            client.socket.close()
        return after

    cpu, room, begun = used(server), memory(server), time.monotonic()
    after = asyncio.run(scene())
    assert {name for name, seconds in after.items() if seconds > CUT_WITHIN} == set()
    assert max(waits) < 2
    assert (used(server) - cpu) / (time.monotonic() - begun) < 0.2
    assert memory(server) - room < 30
    left = told(server)
    assert (left["sockets"], left["under_way"]) == (0, 1)  # which asks for this
    server.stop()  # nothing was logged


@pytest.mark.engine
def test_nothing_is_left_of_who_is_cut_off(start: Callable[..., Server], tmp_path: Path) -> None:
    """No handler and no stream, though they refer to each other."""
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside/sitecustomize.py").write_text(INSIDE)
    server = start(environment=os.environ | {"PYTHONPATH": str(tmp_path / "inside")})
    server.expected.append("left")
    ann = Visitor(server, "ann")
    ann.sign_up()

    def inside() -> list[int]:
        before = server.log.read_text().count("left")
        server.process.send_signal(signal.SIGUSR1)
        wait(lambda: re.findall(r"^left (\d+) (\d+)\n", server.log.read_text(), re.M)[before:])
        found = re.findall(r"^left (\d+) (\d+)\n", server.log.read_text(), re.M)[-1]
        return [int(number) for number in found]

    async def scene() -> None:
        ann.http.close()  # so is who asked whether the server had started
        wait(lambda: inside() == [0, 0])
        clients = [Client(ann) for _ in range(CROWD)]
        plain = [Client(ann) for _ in range(EACH)]
        for client in plain:  # which stay
            await client.ask("GET /healthz")
            await client.read()
        for client in clients:
            await client.enter()
        wait(lambda: inside()[0] == CROWD)
        for client in [*clients, *plain]:  # rudely
            linger = struct.pack("ii", 1, 0)
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            client.socket.close()
        wait(lambda: inside() == [0, 0])

    asyncio.run(scene())
    server.stop()


@asynccontextmanager
async def running_app(folder: Path) -> AsyncIterator[tuple[App, Visitor]]:
    """Run the app in this process; Ann has a list of 2 MB there."""
    app = App(Config(port=0, database=str(folder / "people.db"), throttle=False))
    running = await start_server(app)
    app.running = running  # type: ignore[attr-defined]
    ann = Visitor(SimpleNamespace(url=f"http://127.0.0.1:{running.port}"), "ann")  # type: ignore[arg-type]
    await asyncio.to_thread(ann.sign_up)
    lines = "\n".join(["x" * 990] * 1000)
    for _ in range(2):
        await asyncio.to_thread(lambda: ann.post(f"/lists/{ann.list}", lines=lines))
    ann.http.close()
    while running.open:  # noqa: ASYNC110  a scene begins with nobody inside
        await asyncio.sleep(0.01)
    yield app, ann
    await stop_server(running)


def asks_again(line: str) -> Act:
    """Return who asks the same for ever, and reads no answer."""

    async def act(client: Client) -> None:
        while True:
            await client.ask(line.replace("LIST", str(client.list)))

    return act


async def says_it_is_alive(client: Client) -> None:
    """Open a WebSocket and send what a ping would be answered with, but read nothing."""
    await client.enter()
    while True:
        await client.send(frame(FINAL | PONG))
        await asyncio.sleep(0.1)


DEAF: dict[str, Act] = {
    "a page": asks_again("GET /lists/LIST"),
    "a file": asks_again("GET /lists/LIST.json"),
    "a script": asks_again("GET /static/js/live.js"),
    "nothing": asks_again("GET /nothing"),
    "a stream": asks_again("GET /live/events?list=LIST&version=0"),
    "a socket": says_it_is_alive,
}


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="only Linux has this")
def test_who_never_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is cut off when nothing more gets through, whatever was asked for."""
    monkeypatch.setattr(server_module, "READ_WITHIN", 1)

    async def scene() -> None:
        async with running_app(tmp_path) as (app, ann):
            clients = {Client(ann, room=4096): name for name in DEAF}
            acting = [asyncio.create_task(behave(DEAF[name], c)) for c, name in clients.items()]
            waiting = asyncio.create_task(cut_off(clients, app.running.port, 20))
            for version in itertools.count(10):
                app.hub.announce(ann.list, version, "todo")
                if waiting.done():
                    break
                await asyncio.sleep(0.01)
            await end(acting)
            for client in clients:
                client.socket.close()
            assert {name for name, after in (await waiting).items() if after > 20} == set()

    asyncio.run(scene())


def test_who_leaves_is_served_no_more(tmp_path: Path) -> None:
    """Of many requests sent at once, none is begun when who sent them has gone."""

    async def scene() -> None:
        async with running_app(tmp_path) as (app, ann):
            registry = app.service(Metrics).registry
            sample = "requests_total", {"method": "GET", "status": "200"}
            before = registry.get_sample_value(*sample)
            client = Client(ann, room=4096)
            for _ in range(50):
                await client.ask(f"GET /lists/{ann.list}.json")
            while b" 200 " not in await client.read():
                pass
            client.socket.close()
            while app.running.open:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            while app.active_requests.requests:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            after = registry.get_sample_value(*sample)
            assert before and after and before < after < before + 5

    asyncio.run(scene())


def test_a_form_that_comes_too_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is not acted upon, as nobody would hear the answer."""
    monkeypatch.setattr(server_module, "REQUEST_WITHIN", 1)

    async def scene() -> None:
        async with running_app(tmp_path) as (app, ann):
            form = f"_xsrf={ann.http.cookies['_xsrf']}&title=late".encode()
            client = Client(ann)
            await client.ask(
                f"POST /lists/{ann.list}", f"{FORM}Content-Length: {len(form)}\r\n\r\n"
            )
            await asyncio.sleep(0.5)  # so that the server waits for the form
            # It comes while the loop is busy, and is read in the turn in which its time is over.
            client.socket.send(form)
            time.sleep(1)  # noqa: ASYNC251
            await asyncio.to_thread(wait, lambda: not app.running.open)
            client.socket.close()
            assert "late" not in {row.title for row in await asyncio.to_thread(ann.rows)}

    asyncio.run(scene())


def test_half_a_file(start: Callable[..., Server]) -> None:
    """Leaves nothing behind when who sent it has gone."""
    server = start()
    ann = Visitor(server, "ann")
    ann.sign_up()

    async def scene() -> None:
        for known in (True, False):
            client = Client(ann)
            await client.ask("POST /account/import", FORM + LONG + "x", known=known)
            await asyncio.to_thread(wait, lambda: told(server)["under_way"] == 2)
            client.socket.close()
            await asyncio.to_thread(wait, lambda: told(server)["under_way"] == 1)

    asyncio.run(scene())
    server.stop()
