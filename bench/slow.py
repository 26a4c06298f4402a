"""Measure what slow clients cost others: the p99 beside them, and the CPU of the server.

A process of their own has them, on core 1 like the load, and reconnects whenever one is cut off.
What a number should be is printed beside it.
"""

import gc
import multiprocessing
import os
import resource
import select
import socket
import statistics
import time
from contextlib import ExitStack, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from urllib.parse import urlsplit

import requests

from bench.live import TIMEOUT, SocketHolder, live_server, raise_file_limit
from bench.servers import Server

SILENT, DRIPPING, SOCKETS = 500, 350, 300
ROUNDS, SECONDS, RATE = 3, 20, 50  # requests a second, long enough to see all cut off at once
SETTLED, QUIET = 3, 8  # seconds
FILES, TOO_MANY = 150, 400  # file descriptors; connections
HEAD = b"GET /login HTTP/1.1\r\nHost: x\r\nX-Long: "
FORM = b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n"
CHUNKS = b"POST /login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


class Slow:
    """A connection that says nothing, or a byte a second."""

    def __init__(self, place: tuple[str, int], number: int, poll: select.epoll) -> None:
        self.place, self.poll = place, poll
        self.drips = number >= SILENT
        kinds = ((HEAD, b"x"), (FORM, b"x"), (CHUNKS, b"1\r\nx\r\n"))
        self.begin, self.more = kinds[number % 3] if self.drips else (b"", b"")
        self.open()

    def open(self) -> None:
        """Connect, or connect again."""
        self.socket = socket.create_connection(self.place, timeout=TIMEOUT)
        self.socket.setblocking(False)
        self.sent = 0
        self.poll.register(self.socket, select.EPOLLIN)
        self.due = time.monotonic() + self.socket.fileno() % 100 / 100
        if self.begin:
            self.socket.send(self.begin)

    def drip(self) -> None:
        """Send a byte, if one is due."""
        if self.drips and time.monotonic() >= self.due:
            self.due += 1
            at = self.sent % len(self.more)
            self.sent += 1
            with suppress(OSError):  # cut off: the poll reports it
                self.socket.send(self.more[at : at + 1])

    def receive(self) -> bool:
        """Read; return whether it was cut off, and has reconnected."""
        with suppress(ConnectionError):
            if self.socket.recv(65536):
                return False
        self.poll.unregister(self.socket)
        self.socket.close()
        self.open()
        return True


def run_clients(pipe: Connection, url: str) -> None:
    """Run the slow clients until the pipe says so; then send how often one was cut off."""
    place, poll = urlsplit(url), select.epoll()
    assert place.hostname and place.port
    connections = [Slow((place.hostname, place.port), n, poll) for n in range(SILENT + DRIPPING)]
    poll.register(pipe, select.EPOLLIN)
    cut, by_number = 0, {one.socket.fileno(): one for one in connections}
    gc.freeze()
    pipe.send(len(connections))
    while True:
        for number, _ in poll.poll(0.05):
            if number == pipe.fileno():
                pipe.send(cut)
                return
            one = by_number.pop(number)
            cut += one.receive()
            by_number[one.socket.fileno()] = one
        for one in connections:
            one.drip()


class SlowClients:
    """SILENT + DRIPPING connections, in a process of their own."""

    def __init__(self, server: Server, ending: ExitStack) -> None:
        alone = multiprocessing.get_context("spawn")
        self.pipe, theirs = alone.Pipe()
        self.process = alone.Process(target=run_clients, args=(theirs, server.url), daemon=True)
        self.process.start()
        ending.callback(self.process.kill)
        theirs.close()
        self.pipe.recv()

    def close(self) -> int:
        """Return how many were cut off."""
        self.pipe.send(None)
        cut: int = self.pipe.recv()
        self.process.join(TIMEOUT)
        return cut


def load(server: Server, http: requests.Session) -> tuple[float, float]:
    """Ask for a page RATE times a second for a while; return the p50 and the p99 in ms."""
    taken, due = [], time.monotonic()
    for _ in range(RATE * SECONDS):
        due += 1 / RATE
        time.sleep(max(0, due - time.monotonic()))
        begun = time.perf_counter()
        answer = http.get(f"{server.url}/lists/1", headers=server.headers, timeout=TIMEOUT)
        taken.append(1000 * (time.perf_counter() - begun))
        assert answer.status_code == 200
    taken.sort()
    return taken[len(taken) // 2], taken[int(len(taken) * 0.99)]


def busy(server: Server) -> float:
    """Return the part of its core that a server takes without requests, in percent."""
    before = server.cpu()
    time.sleep(QUIET)
    return 100 * (server.cpu() - before) / QUIET


def beside_them(folder: Path, ending: ExitStack) -> None:
    """Ask alone and beside them, in turns, and measure the server without requests."""
    print(f"{SILENT} silent and {DRIPPING} dripping connections, {SOCKETS} sockets beside them")
    server = live_server(folder, "slow")
    server.headers |= {"Accept-Encoding": "identity"}
    alone, beside, weights, costs, cut = [], [], [], [], 0
    with requests.Session() as http:
        load(server, http)
        calm = busy(server)
        for turn in range(2 * ROUNDS):
            if turn % 2 == 0:
                alone.append(load(server, http))
                continue
            before = server.memory()
            slow, live = SlowClients(server, ending), SocketHolder(server, SOCKETS, ending)
            time.sleep(SETTLED)
            costs.append(busy(server))
            beside.append(load(server, http))
            weights.append(server.memory() - before)
            cut += slow.close()
            live.close()
            time.sleep(SETTLED)
    for name, rounds in (("alone", alone), ("beside them", beside)):
        p50, p99 = (statistics.median(column) for column in zip(*rounds, strict=True))
        every = ", ".join(f"{p99:.1f}" for _, p99 in rounds)
        print(f"  {name:12} p50 {p50:.1f} ms, p99 {p99:.1f} ms ({every})")
    one, other = (statistics.median(p99 for _, p99 in rounds) for rounds in (alone, beside))
    print(f"  p99 beside them is {other / one:.2f} times the p99 alone (<= 3); {cut} were cut off")
    cost, weight = statistics.median(costs), max(weights)
    print(f"  CPU without requests: {calm:.1f} % alone, {cost:.1f} % with them (< 5)")
    print(f"  {weight / 1024:.1f} MiB more memory with all of them", flush=True)
    server.stop()


def without_descriptors(folder: Path) -> None:
    """Open more connections than there are file descriptors, and stay."""
    print(f"{TOO_MANY} connections to a server with {FILES} file descriptors")
    files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, files[1]))
    try:
        server = live_server(folder, "few")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, files)
    place = urlsplit(server.url)
    connections = [
        socket.create_connection((place.hostname, place.port), timeout=TIMEOUT)
        for _ in range(TOO_MANY)
    ]
    cost = busy(server)
    for one in connections:
        one.close()
    begun = time.monotonic()
    while True:
        with suppress(requests.ConnectionError):
            if requests.get(f"{server.url}/healthz", timeout=TIMEOUT).status_code == 200:
                break
    answered = time.monotonic() - begun
    print(f"  CPU {cost:.1f} % (< 5); it answers {answered:.2f} s after they go (<= 2)", flush=True)
    server.stop()


def measure(folder: Path) -> None:
    """Take the measures of slow clients."""
    raise_file_limit()
    with ExitStack() as ending:
        ending.callback(os.sched_setaffinity, 0, os.sched_getaffinity(0))
        os.sched_setaffinity(0, {1})  # and the process of the connections
        beside_them(folder, ending)
        without_descriptors(folder)
