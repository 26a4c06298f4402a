"""Measure daily work beside a bare handler and the peers: pages, the API, adding, logging in."""

import asyncio
import os
from pathlib import Path

from bench import peers
from bench.servers import CLIENTS, PACE, RUNNING, SECONDS, Peer, Server, compare
from bench.table import BARE, PEERS, TABLE

# How many times as fast as each of the peers the house should be.
UNCHANGED: dict[str, float | None] = dict(zip(PEERS, (11, 8, 10, 1.6), strict=True))
CHANGING: dict[str, float | None] = dict(zip(PEERS, (6, 4, 5, 0.9), strict=True))
ADDING: dict[str, float | None] = dict(zip(PEERS, (6, 4.5, 4, 1.5), strict=True))
ON_A_SLOW_DISK: dict[str, float | None] = dict.fromkeys(PEERS, 6)
SINGLE = "a commit per request"
HASHES = 16  # clients that log in at once


def bare(folder: Path, ours: Server, shim: str = "") -> Server:
    """Return a bare handler that gives the same bytes and is asked in the same way."""
    (folder / "bytes").write_bytes(ours.page)
    server = Server(folder, "bare", str(folder / "bytes"), shim=shim)
    server.headers, server.body, server.kind = ours.headers, ours.body, ours.kind
    return server


def house(folder: Path, name: str, *options: str, kind: str = "app", shim: str = "") -> Server:
    """Return the house, with somebody in it."""
    server = Server(folder, kind, str(folder / f"{name} {bool(shim)}.db"), *options, shim=shim)
    server.move_in()
    return server


def others(folder: Path, shim: str) -> dict[str, Server]:
    """Return the peers that are installed."""
    return {name: Peer(folder, name, shim) for name in peers.COMMANDS if peers.there(name)}


def end_all() -> None:
    """End every server."""
    for server in [*RUNNING]:
        server.end()


def look_at_pages(folder: Path) -> None:
    """Ask for the page of a list that nobody changes, and of one that changes all the time."""
    app, changing = house(folder, "page"), house(folder, "page-changing", kind="changing")
    knowing = house(folder, "page-known")
    knowing.have("/lists/1", **{"X-Fragment": "rows"})
    print(f"the page of 50 todos, {len(app.page)} bytes")
    servers = {BARE: bare(folder, app), "the house": app, "all rows changed": changing}
    rates = compare(servers | {"its rows, known: 304": knowing}, "/lists/1", "GET")
    TABLE.rates("the page, unchanged", rates["the house"], rates, {BARE: 0.7})
    TABLE.rates("the page, all rows changed", rates["all rows changed"], rates, {BARE: 0.4})
    TABLE.rates("its rows, known: 304", rates["its rows, known: 304"], rates, {BARE: 0.85})
    end_all()


def look_at_api(folder: Path) -> None:
    """Ask for a list as JSON."""
    app, changing = house(folder, "api"), house(folder, "api-changing", kind="changing")
    knowing = house(folder, "api-known")
    for server in (app, changing, knowing):
        server.be_a_program()
    knowing.have("/api/todos")
    print(f"50 todos as JSON, {len(app.page)} bytes")
    servers = {BARE: bare(folder, app), "the house": app, "it changes before each": changing}
    servers |= {"it is known: 304": knowing} | others(folder, "")
    rates = compare(servers, "/api/todos", "GET")
    TABLE.rates("the API's list, unchanged", rates["the house"], rates, {BARE: 0.85} | UNCHANGED)
    changed = rates["it changes before each"]
    TABLE.rates("the API's list, changing", changed, rates, {BARE: 0.5} | CHANGING)
    TABLE.rates("the API's list, known: 304", rates["it is known: 304"], rates, {BARE: 0.9})
    end_all()


def add(folder: Path, disk: str, shim: str) -> None:
    """Add todos by the page and by the API, on this disk or on one that is slow."""
    app, single = house(folder, "add", shim=shim), house(folder, "single", "1", shim=shim)
    print(f"adding a todo by its page, {CLIENTS} clients, {disk}")
    servers = {BARE: bare(folder, app, shim), "the house": app, SINGLE: single}
    rates = compare(servers, "/lists/LIST", "POST")
    least = {BARE: None, SINGLE: 6.0} if shim else {BARE: 0.4, SINGLE: 1.7}
    TABLE.rates(f"adding by the page, {disk}", rates["the house"], rates, least)
    end_all()
    app = house(folder, "add-api", shim=shim)
    app.be_a_program()
    print(f"adding a todo by the API, {CLIENTS} clients, {disk}")
    servers = {BARE: bare(folder, app, shim), "the house": app} | others(folder, shim)
    rates = compare(servers, {app: "/api/lists/LIST/todos"}, "POST")
    wanted = {BARE: None} | ON_A_SLOW_DISK if shim else {BARE: 0.4} | ADDING
    TABLE.rates(f"adding by the API, {disk}", rates["the house"], rates, wanted)
    if shim:
        TABLE.sizes(f"its p99, {disk}", rates["the house"][2], {"30 ms": 30}, {"30 ms": 1})
    end_all()


def keep_pace(folder: Path, disk: str, shim: str) -> None:
    """Look how late the loop is in a house with a normal load."""
    calm = house(folder, "calm", shim=shim)
    os.sched_setaffinity(0, {1})
    asyncio.run(calm.pace())
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    p50, p99, most = calm.end()
    print(f"the loop at {PACE} requests a second, 4 of 5 reads, {disk}, is late by")
    print(f"  p50 {p50}, p99 {p99} (<= 5), most {most} ms")


def log_in(folder: Path) -> None:
    """Log in: whatever else it takes, it is the hash that costs."""
    app = house(folder, "log-in")
    app.headers = app.without_session()
    app.body += "&username=ann&password=three+quiet+otters"
    print(f"logging in, {HASHES} at once")
    everyone = others(folder, "")
    for peer in everyone.values():
        peer.body = f'{{"username": "ann", "password": "{peers.PASSWORD}"}}'
    servers = {BARE: bare(folder, app), "the house": app} | everyone
    for server in servers.values():
        server.seconds = 3 * SECONDS  # so that there are enough of them to count
    paths = dict.fromkeys((servers[BARE], app), "/login")
    rates = compare(servers, paths, "POST", HASHES, "/api/tokens")
    TABLE.rates("logging in", rates["the house"], rates, {BARE: 0.85} | dict.fromkeys(PEERS))
    end_all()
