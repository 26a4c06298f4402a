"""Measure daily work beside a bare handler and the peers: pages, the API, adding, logging in."""

import asyncio
import os
from pathlib import Path

from bench import peers
from bench.servers import CLIENTS, PACE, RUNNING, SECONDS, Peer, Server, compare
from bench.table import BARE, OURS, PEERS, SLOW_DISK, TABLE

# How many times as fast as each of the peers it should be.
UNCHANGED: dict[str, float | None] = dict(zip(PEERS, (10, 7, 6.5, 2), strict=True))
CHANGING: dict[str, float | None] = dict(zip(PEERS, (6, 4, 5, 0.9), strict=True))
ADDING: dict[str, float | None] = dict(zip(PEERS, (5.5, 4, 3.2, 1.5), strict=True))
ON_A_SLOW_DISK: dict[str, float | None] = dict(zip(PEERS, (5.5, 5, 4.5, 3.5), strict=True))
SINGLE = "a commit per request"
HASHES = 16  # clients that log in at once


def bare_server(folder: Path, ours: Server, shim: str = "") -> Server:
    """Return a bare handler that gives the same bytes and gets the same requests."""
    (folder / "bytes").write_bytes(ours.page)
    server = Server(folder, "bare", str(folder / "bytes"), shim=shim)
    server.headers, server.body, server.kind = ours.headers, ours.body, ours.kind
    return server


def app_server(folder: Path, name: str, *options: str, kind: str = "app", shim: str = "") -> Server:
    """Return a server of ours with a user and lists; `kind` as in `bench.serve`."""
    server = Server(folder, kind, str(folder / f"{name} {bool(shim)}.db"), *options, shim=shim)
    server.sign_up()
    return server


def installed_peers(folder: Path, shim: str) -> dict[str, Server]:
    """Return those that are installed, started."""
    return {name: Peer(folder, name, shim) for name in peers.COMMANDS if peers.installed(name)}


def stop_all() -> None:
    """Stop every server that runs."""
    for server in [*RUNNING]:
        server.stop()


def pages(folder: Path) -> None:
    """Ask for the page of a list that nobody changes, and of one that changes all the time."""
    app = app_server(folder, "page")
    changing = app_server(folder, "page-changing", kind="changing")
    cached = app_server(folder, "page-cached")
    cached.remember_etag("/lists/1", **{"X-Fragment": "rows"})
    print(f"the page of 50 todos, {len(app.page)} bytes")
    servers = {BARE: bare_server(folder, app), OURS: app, "all rows changed": changing}
    rates = compare(servers | {"its rows, 304": cached}, "/lists/1", "GET")
    TABLE.rates("page, unchanged", rates[OURS], rates, {BARE: 0.5})
    TABLE.rates("page, changed", rates["all rows changed"], rates, {BARE: 0.3})
    TABLE.rates("page's rows, 304", rates["its rows, 304"], rates, {BARE: 0.7})
    stop_all()


def api(folder: Path) -> None:
    """Ask for a list as JSON."""
    app, changing = app_server(folder, "api"), app_server(folder, "api-changing", kind="changing")
    cached = app_server(folder, "api-cached")
    for server in (app, changing, cached):
        server.use_api()
    cached.remember_etag("/api/todos")
    print(f"50 todos as JSON, {len(app.page)} bytes")
    servers = {BARE: bare_server(folder, app), OURS: app, "it changes before each": changing}
    servers |= {"304": cached} | installed_peers(folder, "")
    rates = compare(servers, "/api/todos", "GET")
    TABLE.rates("API list, unchanged", rates[OURS], rates, {BARE: 0.7} | UNCHANGED)
    changed = rates["it changes before each"]
    TABLE.rates("API list, changing", changed, rates, {BARE: 0.55} | CHANGING)
    TABLE.rates("API list, 304", rates["304"], rates, {BARE: 0.7})
    stop_all()


def add(folder: Path, disk: str, shim: str) -> None:
    """Add todos by the page and by the API, on this disk or on one that is slow."""
    app, single = app_server(folder, "add", shim=shim), app_server(folder, "one", "1", shim=shim)
    print(f"adding a todo by its page, {CLIENTS} clients, {disk or 'this disk'}")
    servers = {BARE: bare_server(folder, app, shim), OURS: app, SINGLE: single}
    rates = compare(servers, "/lists/LIST", "POST")
    name = f", {disk}" if disk else ""
    least = {BARE: 0.35 if disk else 0.42, SINGLE: 6.0 if disk else 1.7}
    TABLE.rates(f"page, adding{name}", rates[OURS], rates, least)
    stop_all()
    app = app_server(folder, "add-api", shim=shim)
    app.use_api()
    print(f"adding a todo by the API, {CLIENTS} clients, {disk or 'this disk'}")
    servers = {BARE: bare_server(folder, app, shim), OURS: app} | installed_peers(folder, shim)
    rates = compare(servers, {app: "/api/lists/LIST/todos"}, "POST")
    wanted = {BARE: 0.35} | ON_A_SLOW_DISK if disk else {BARE: 0.42} | ADDING
    TABLE.rates(f"API, adding{name}", rates[OURS], rates, wanted)
    if disk == SLOW_DISK:
        TABLE.sizes(f"p99 of API, adding{name}", rates[OURS][2], {"30 ms": 30}, {"30 ms": 1})
    stop_all()


def normal_load(folder: Path, disk: str, shim: str) -> None:
    """Measure how late the event loop is under a normal load."""
    server = app_server(folder, "normal", shim=shim)
    os.sched_setaffinity(0, {1})
    asyncio.run(server.pace())
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    p50, p99, most = server.stop()
    print(f"the loop at {PACE} requests a second, 4 of 5 reads, {disk or 'this disk'}, is late by")
    print(f"  p50 {p50}, p99 {p99} (<= 5), most {most} ms")


def log_in(folder: Path) -> None:
    """Log in: the hash of the password is what costs."""
    app = app_server(folder, "log-in")
    app.headers = app.without_session()
    app.body += "&username=ann&password=three+quiet+otters"
    print(f"logging in, {HASHES} at once")
    others = installed_peers(folder, "")
    for peer in others.values():
        peer.body = f'{{"username": "ann", "password": "{peers.PASSWORD}"}}'
    servers = {BARE: bare_server(folder, app), OURS: app} | others
    for server in servers.values():
        server.seconds = 3 * SECONDS  # so that there are enough of them to count
    paths = dict.fromkeys((servers[BARE], app), "/login")
    rates = compare(servers, paths, "POST", HASHES, "/api/tokens")
    TABLE.rates("logging in", rates[OURS], rates, {BARE: 0.85} | dict.fromkeys(PEERS))
    stop_all()
