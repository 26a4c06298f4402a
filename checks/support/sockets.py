"""Connections of visitors: sockets that hear the news, and clients with bad manners."""

import asyncio
import json
import socket
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tornado.httpclient import HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from checks.support.visitors import Visitor
from checks.support.waiting import PATIENCE

CONNECTIONS = Path("/proc/net/tcp")
UPGRADE = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
CONTINUED, TEXT, CLOSE, PING, PONG, FINAL = 0, 1, 8, 9, 10, 0x80  # RFC 6455, 5.2


class Socket:
    """A visitor's socket."""

    def __init__(self, visitor: Visitor, **headers: str) -> None:
        cookies = "; ".join(f"{c.name}={c.value}" for c in visitor.http.cookies)
        address = visitor.server.url.replace("http", "ws") + "/live"
        self.request = HTTPRequest(address, headers={"Cookie": cookies, **headers})

    async def __aenter__(self) -> "Socket":
        self.connection: WebSocketClientConnection = await websocket_connect(self.request)
        self.closed = False
        return self

    async def __aexit__(self, *error: Any) -> None:
        self.connection.close()
        while not self.closed:  # what the loop leaves open when it ends, the collector complains of
            await self.hear()

    async def say(self, **message: Any) -> None:
        """Send a message."""
        await self.connection.write_message(json.dumps(message))

    async def hear(self, *kinds: str) -> Any:
        """Wait for news of these kinds; None when the socket is closed.

        Without kinds, for any but that all is well and who is present, which come at any time.
        """
        while True:
            text = await asyncio.wait_for(self.connection.read_message(), 10)
            self.closed = text is None
            message = text and json.loads(text)
            kind = message and message["type"]
            if kind is None or (kind in kinds if kinds else kind not in ("alive", "present")):
                return message

    async def watch(self, number: int, version: int = 0) -> Any:
        """Watch a list; return what is answered."""
        await self.say(type="watch", list=number, version=version)
        return await self.hear()


async def hear(watching: Socket, **wanted: Any) -> None:
    """Listen until this is said; versions only rise until then."""
    last = 0
    async with asyncio.timeout(PATIENCE):
        while True:
            message = await watching.hear()
            assert message is not None, watching.connection.close_code
            assert message.get("version", last) >= last
            last = message.get("version", last)
            if wanted.items() <= message.items():
                return


def play(scene: Callable[[], Awaitable[None]]) -> None:
    """Run a coroutine."""

    async def main() -> None:
        await scene()

    asyncio.run(main())


async def aside(work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Do blocking work in a thread."""
    return await asyncio.to_thread(lambda: work(*args, **kwargs))


class Subscriber(threading.Thread):
    """Has windows open, and notes with which code they were closed."""

    def __init__(self, visitor: Visitor, windows: int) -> None:
        super().__init__()
        self.visitor, self.windows = visitor, windows
        self.open = threading.Event()
        self.codes: list[int | None] = []

    def run(self) -> None:
        """Open them, and wait until all are closed."""
        asyncio.run(self.watch())

    async def watch(self) -> None:
        """Watch."""
        request = Socket(self.visitor).request
        sockets = [await websocket_connect(request) for _ in range(self.windows)]
        self.open.set()
        for each in sockets:
            while await each.read_message() is not None:
                pass
        self.codes = [each.close_code for each in sockets]
        for each in sockets:
            each.close()


def frame(kind: int, data: bytes = b"") -> bytes:
    """Return a frame as a client sends it; the mask is of zeros."""
    size = len(data)
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2)
    return bytes([kind]) + length + bytes(4) + data


def held(port: int) -> set[int]:
    """Return the ports of the clients whose connections the server on `port` still has."""
    found = set()
    for line in CONNECTIONS.read_text().splitlines()[1:]:
        fields = line.split()
        ours, theirs = (int(field.rpartition(":")[2], 16) for field in fields[1:3])
        if ours == port and fields[9] != "0":  # its inode: what nobody has open, has none
            found.add(theirs)
    return found


class Client:
    """Someone with bad manners, and a connection."""

    def __init__(self, visitor: Visitor, *, room: int = 0) -> None:
        place = urlsplit(visitor.server.url)
        self.cookie = "; ".join(f"{c.name}={c.value}" for c in visitor.http.cookies)
        self.list = visitor.list
        self.socket = socket.socket()
        if room:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        self.socket.connect((place.hostname, place.port))
        self.socket.setblocking(False)
        self.port = self.socket.getsockname()[1]

    async def send(self, data: bytes | str) -> None:
        """Send it all."""
        data = data.encode() if isinstance(data, str) else data
        await asyncio.get_running_loop().sock_sendall(self.socket, data)

    async def read(self) -> bytes:
        """Return what comes next."""
        return await asyncio.get_running_loop().sock_recv(self.socket, 65536)

    async def ask(self, line: str, rest: str = "\r\n", *, known: bool = True) -> None:
        """Send a request, or the beginning of one."""
        cookie = f"Cookie: {self.cookie}\r\n" if known else ""
        await self.send(f"{line} HTTP/1.1\r\nHost: x\r\n{cookie}{rest}")

    async def drip(self, text: str, end: str = "x") -> None:
        """Send a text a byte a second, and then its end for ever."""
        for number in range(10**6):
            await self.send(text[number : number + 1] or end)
            await asyncio.sleep(1)

    async def enter(self) -> None:
        """Open a WebSocket that watches the list."""
        await self.ask("GET /live", UPGRADE + "\r\n")
        assert (await self.read()).startswith(b"HTTP/1.1 101")
        await self.send(frame(FINAL | TEXT, b'{"type":"watch","list":%d,"version":0}' % self.list))

    async def flood(self, data: bytes) -> None:
        """Send the same without end, as fast as it is taken, and read."""
        while True:
            await self.send(data * 100)
            with suppress(BlockingIOError):
                self.socket.recv(65536)
            await asyncio.sleep(0.01)
