"""Measure the sockets: the memory of an idle one, the CPU of sending a change to all.

The sockets of each server are in a process of their own, on core 1, which only reads. All belong to
one user. What a number should be is printed beside it.
"""

import gc
import json
import multiprocessing
import os
import resource
import select
import socket
import statistics
import time
from contextlib import ExitStack
from functools import lru_cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from bench import peers
from bench.servers import Peer, Server
from bench.table import OURS, TABLE

SOCKETS, SPARE = 10_000, 500  # and the files that a process has open beside them
TURNS, PAUSE = 7, 1.5  # seconds after a change, in which the app checks whose session has ended
WINDOWS, RATE, SECONDS = 200, 50, 30  # changes a second
AT_ONCE = 100  # sockets opened together
IDLE: dict[str, float | None] = {"20 KiB": 1, "Starlette + uvicorn": None, "ws": None}
TOLD: dict[str, float | None] = {"Starlette + uvicorn": 1, "ws": None}
TIMEOUT = 60  # seconds
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10  # RFC 6455, 5.2
ENTER = (
    "GET /live HTTP/1.1\r\nHost: %s\r\nCookie: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
WATCH = b'{"type":"watch","list":1,"version":0}'


def frame(kind: int, data: bytes) -> bytes:
    """Return a frame as a browser sends it; the mask is of zeros."""
    return bytes([0x80 | kind, 0x80 | len(data), 0, 0, 0, 0]) + data


@lru_cache(maxsize=1000)
def frames(data: bytes) -> list[tuple[int, bytes, int]]:
    """Return the frames in what was read: kind, content, and the version it tells or 0."""
    found = []
    while data:
        kind, end = data[0] & 15, 2 + data[1]
        content, data = data[2:end], data[end:]
        assert end < 128 and len(content) == end - 2, "a frame is long or in pieces"
        found.append((kind, content, json.loads(content).get("version", 0) if kind == TEXT else 0))
    return found


def receive(each: socket.socket, data: bytes = b"") -> list[int]:
    """Return the versions in what was read, or is to be read now, and answer pings."""
    data = data or each.recv(65536)
    assert data, "the server has closed a socket"
    versions = []
    for kind, content, version in frames(data):
        assert kind != CLOSE, content
        if kind == PING:
            each.send(frame(PONG, content))
        elif version:
            versions.append(version)
    return versions


def open_sockets(
    url: str, cookie: str, count: int, poll: select.epoll
) -> tuple[dict[int, socket.socket], int]:
    """Open sockets that watch list 1; return them by number, and its version."""
    place, version = urlsplit(url), 0
    opened: dict[int, socket.socket] = {}
    hello = (ENTER % (place.netloc, cookie)).encode()
    while len(opened) < count:
        some = [
            socket.create_connection((place.hostname, place.port), timeout=TIMEOUT)
            for _ in range(min(AT_ONCE, count - len(opened)))
        ]
        for each in some:
            each.sendall(hello)
        for each in some:
            said = each.recv(4096)
            assert said.startswith(b"HTTP/1.1 101") and b"\r\n\r\n" in said, said
            each.sendall(frame(TEXT, WATCH))
        for each in some:
            said = each.recv(4096)
            while b'"watching"' not in said:  # that all is well may be said before
                more = each.recv(4096)
                assert more, said
                said += more
            version = max(receive(each, said), default=0)
            each.setblocking(False)
            poll.register(each, select.EPOLLIN)
        opened |= {each.fileno(): each for each in some}
        for number, _ in poll.poll(0):
            receive(opened[number])
    return opened, version


def run_sockets(pipe: Connection, url: str, cookie: str, count: int) -> None:
    """Open sockets, send the version of the list to the pipe, and read.

    A version that comes by the pipe is answered when all sockets have received it: with what each
    received since the last answer, as (socket, version, time).
    """
    poll = select.epoll()
    sockets, version = open_sockets(url, cookie, count, poll)
    pipe.send(version)
    gc.freeze()
    poll.register(pipe, select.EPOLLIN)
    received = dict.fromkeys(sockets, version)
    log: list[tuple[int, int, float]] = []
    wanted, behind = 0, set[int]()
    while True:
        for number, _ in poll.poll():
            if number not in sockets:
                try:
                    wanted = pipe.recv()
                except EOFError:
                    return
                behind = {each for each in received if received[each] < wanted}
                continue
            for version in receive(sockets[number]):
                log.append((number, version, time.monotonic()))
                received[number] = version
                if version >= wanted:
                    behind.discard(number)
        if wanted and not behind:
            pipe.send(log)
            wanted, log = 0, []


class SocketHolder:
    """The sockets of one server, in a process of their own."""

    def __init__(self, server: Server, count: int, ending: ExitStack) -> None:
        alone = multiprocessing.get_context("spawn")
        self.pipe, theirs = alone.Pipe()
        arguments = (theirs, server.url, server.headers.get("Cookie", ""), count)
        self.process = alone.Process(target=run_sockets, args=arguments, daemon=True)
        self.process.start()
        ending.callback(self.process.kill)
        theirs.close()
        self.version = self.answer()

    def expect(self, version: int) -> None:
        """Have `answer` wait until all have received a version."""
        self.version = version
        self.pipe.send(version)

    def answer(self) -> Any:
        """Return what the process sends next."""
        if not self.pipe.poll(TIMEOUT):
            raise RuntimeError(f"not all have received version {self.version}")
        return self.pipe.recv()

    def close(self) -> None:
        self.pipe.close()
        self.process.join(TIMEOUT)


class LivePeer(Peer):
    """A server that only tells its sockets of changes: see `bench.peers.LIVE`."""

    def __init__(self, folder: Path, name: str) -> None:
        self.launch(folder, peers.LIVE[name], {})
        self.body, self.kind = "", "text/plain"

    def blocked(self) -> float:
        """They don't measure it."""
        return 0


def live_server(folder: Path, name: str) -> Server:
    """Start the app without the limit of sockets per address, with a user."""
    app = Server(folder, "live", str(folder / f"{name}.db"))
    app.sign_up()
    return app


def change(server: Server) -> None:
    """Change list 1 by a request."""
    url, headers = f"{server.url}/lists/1", server.headers | {"Content-Type": server.kind}
    answer = requests.post(url, server.body, headers=headers, allow_redirects=False, timeout=9)
    assert answer.status_code in (204, 303), answer.text


def broadcast(server: Server, holder: SocketHolder) -> tuple[float, ...]:
    """Make a change; return what it takes until the last socket has received it, and afterwards.

    That is: seconds, those of them in which others had its core, and seconds of CPU, until then and
    in the pause after it; for how long at most it blocked its loop, in ms, until then and in the
    pause.
    """
    clock = ~server.process.pid << 3 | 2  # of its CPU: see clock_getcpuclockid(3)
    server.blocked()
    holder.expect(holder.version + 1)
    waited, used, begun = server.waited(), time.clock_gettime(clock), time.monotonic()
    change(server)
    last = max(at for _, _, at in holder.answer())
    told, waited, blocked = time.clock_gettime(clock), server.waited() - waited, server.blocked()
    time.sleep(PAUSE)
    after = time.clock_gettime(clock) - told
    return last - begun, waited, told - used, after, blocked, server.blocked()


def broadcasts(folder: Path, count: int, ending: ExitStack) -> None:
    """Measure the memory of idle sockets, then tell all of one change, beside the peers."""
    print(f"{count} idle sockets of each server; one change is told to all")
    servers: dict[str, Server] = {OURS: live_server(folder, "idle")}
    servers |= {name: LivePeer(folder, name) for name in peers.LIVE if peers.installed(name)}
    holders, weights = {}, {}
    for name, server in servers.items():
        before = server.memory()
        holders[name] = SocketHolder(server, count, ending)
        time.sleep(PAUSE)
        weights[name] = (server.memory() - before) / count
    taken: dict[str, list[tuple[float, ...]]] = {name: [] for name in servers}
    for turn in range(TURNS):
        for name in list(servers)[:: -1 if turn % 2 else 1]:
            taken[name].append(broadcast(servers[name], holders[name]))
    row, costs = "  {:22}{:>8}{:>12}{:>14}{:>17}{:>20}".format, {}
    print(
        row("", "KiB each", "s to all", "of it others'", "us of CPU each", f"in {PAUSE} s after it")
    )
    for name, rounds in taken.items():
        wall, others, cpu, after, *_ = (
            statistics.median(column) for column in zip(*rounds, strict=True)
        )
        costs[name] = 1e6 * cpu / count
        numbers = f"{weights[name]:.1f}", f"{wall:.3f}", f"{others:.3f}", f"{costs[name]:.1f}"
        print(row(name, *numbers, f"{1e6 * after / count:.1f}"))
    print(row("it should be", "<= 20", "< 0.3", "", "", ""))
    TABLE.sizes("memory of an idle socket", weights[OURS], weights | {"20 KiB": 20}, IDLE)
    TABLE.sizes("CPU of telling all sockets", costs[OURS], costs, TOLD)
    *_, telling, after_it = zip(*taken[OURS], strict=True)
    for when, blocked in (("telling", telling), ("after it", after_it)):
        most = f"{statistics.median(blocked):.1f} ms, once {max(blocked):.1f}"
        print(f"  the loop {when}: blocked for at most {most} (<= 5)", flush=True)
    for name, server in servers.items():
        holders[name].close()
        server.stop()


def follow(folder: Path, ending: ExitStack) -> None:
    """Measure how soon WINDOWS open pages hear of changes of a list, RATE a second."""
    print(f"{WINDOWS} windows on one list, {RATE} changes a second for {SECONDS} s")
    server = live_server(folder, "windows")
    holder = SocketHolder(server, WINDOWS, ending)
    first, due = holder.version + 1, time.monotonic()
    sent = {}
    for version in range(first, first + RATE * SECONDS):
        time.sleep(max(0, due - time.monotonic()))
        sent[version] = due  # if the one before was slow, this waits, and that counts
        change(server)
        due += 1 / RATE
    holder.expect(version)
    received: dict[int, int] = {}
    waits = []
    for window, told, at in holder.answer():
        seen = received.get(window, first - 1)
        waits += [1000 * (at - sent[each]) for each in range(seen + 1, told + 1)]
        received[window] = told
    waits.sort()
    p50, p99 = (waits[int(len(waits) * part)] for part in (0.5, 0.99))
    there = sum(told == version for told in received.values())
    print(f"  {there} end on the last version (all)")
    print(f"  sent to received: p50 {p50:.1f}, p99 {p99:.1f}, most {waits[-1]:.1f} ms (p99 < 250)")
    holder.close()
    print("  the loop: late by p50, p99, most", *server.stop(), "ms", flush=True)


def raise_file_limit() -> int:
    """Allow this process and its children many files; return how many sockets that is."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = SOCKETS + SPARE if most == resource.RLIM_INFINITY else min(SOCKETS + SPARE, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, most))
    return files - SPARE


def measure(folder: Path) -> None:
    """Take the measures of sockets."""
    count = raise_file_limit()
    with ExitStack() as ending:
        ending.callback(os.sched_setaffinity, 0, os.sched_getaffinity(0))
        os.sched_setaffinity(0, {1})  # and the processes of the sockets
        broadcasts(folder, count, ending)
        follow(folder, ending)
