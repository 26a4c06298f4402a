"""Measure the app beside a bare Tornado handler, and group commit beside a commit per request.

And its API and its sockets beside what others would have built. `make bench` runs this. Servers
have core 0, the load core 1; rounds alternate (A B C, C B A, ...) and medians are taken, so that
what else the machine does falls on all alike. Read the ratios: the absolute numbers are this
machine's. Needs wrk, and gcc for the slow disk.
"""

import asyncio
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from bench import accounts, jobs, live, peers, slow, titles
from bench.servers import CLIENTS, HERE, PACE, RUNNING, Peer, Server

ROUNDS = 3


def compare(
    servers: dict[str, Server], path: str | dict[Server, str], method: str
) -> dict[str, tuple[float, ...]]:
    """Load each server in turn, there and back, and print the medians and their ratios."""
    paths = path if isinstance(path, dict) else dict.fromkeys(servers.values(), path)
    taken: dict[str, list[tuple[float, ...]]] = {name: [] for name in servers}
    for turn in range(ROUNDS):
        for name in list(servers)[:: -1 if turn % 2 else 1]:
            server = servers[name]
            taken[name].append(server.load(paths.get(server, "/api/todos"), method))
    medians = {
        name: tuple(statistics.median(column) for column in zip(*rounds, strict=True))
        for name, rounds in taken.items()
    }
    first = next(iter(medians.values()))
    for name, (rate, cpu, p99) in medians.items():
        ratios = f"{rate / first[0]:5.2f} of the first ({first[1] / cpu:.2f} by CPU)"
        print(f"  {name:24}{rate:8.0f}/s {cpu:6.0f} us {p99:7.1f} ms p99   {ratios}", flush=True)
    return medians


def visit(folder: Path, title: str, shim: str) -> None:
    """Take all measures on one kind of disk."""
    print(title)
    app = Server(folder, "app", str(folder / f"{title}.db"), shim=shim)
    app.move_in()
    single = Server(folder, "app", str(folder / f"{title}-single.db"), "1", shim=shim)
    single.move_in()
    changing = Server(folder, "changing", str(folder / f"{title}-changing.db"), shim=shim)
    changing.move_in()
    (folder / "page").write_bytes(app.page)
    bare = Server(folder, "bare", str(folder / "page"), shim=shim)
    bare.headers = app.headers  # the same request
    print(f" the page of 50 todos, {len(app.page)} bytes")
    pages = {"bare handler": bare, "the app": app, "all rows have changed": changing}
    compare(pages, "/lists/1", "GET")
    watcher = Server(folder, "app", str(folder / f"{title}-watcher.db"), shim=shim)
    watcher.move_in()
    watcher.have("/lists/1", **{"X-Fragment": "rows"})
    bare.headers = watcher.headers
    print(" the script, which has the rows already: 304")
    compare({"bare handler": bare, "the app": watcher}, "/lists/1", "GET")
    print(f" adding a todo, {CLIENTS} clients")
    names = {"bare handler": bare, "the app": app, "a commit per request": single}
    rates = compare(names, "/lists/LIST", "POST")
    gain = rates["the app"][0] / rates["a commit per request"][0]
    print(f"  group commit is {gain:.1f} times a commit per request")
    for server in (app, single, bare, changing, watcher):
        server.end()
    calm = Server(folder, "app", str(folder / f"{title}-calm.db"), shim=shim)
    calm.move_in()
    os.sched_setaffinity(0, {1})
    asyncio.run(calm.pace())
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    late = calm.end()
    print(
        f" the loop at {PACE} requests a second, 4 of 5 reads: late by p50, p99, most", *late, "ms"
    )


def visit_api(folder: Path, title: str, shim: str) -> None:
    """Take the measures of the API, beside a bare handler and the peers."""
    print(f"{title}: the API, CPU a request beside it")
    app = Server(folder, "app", str(folder / f"{title}-api.db"), shim=shim)
    changing = Server(folder, "changing", str(folder / f"{title}-api-changing.db"), shim=shim)
    knowing = Server(folder, "app", str(folder / f"{title}-api-knowing.db"), shim=shim)
    for server in (app, changing, knowing):
        server.move_in()
        server.be_a_program()
    knowing.have("/api/todos")
    (folder / "json").write_bytes(app.page)
    bare = Server(folder, "bare", str(folder / "json"), shim=shim)
    bare.headers, bare.body, bare.kind = app.headers, app.body, app.kind
    others: dict[str, Server] = {n: Peer(folder, n, shim) for n in peers.COMMANDS if peers.there(n)}
    print(f" 50 todos, {len(app.page)} bytes")
    ours = {"bare handler": bare, "the app": app, "it changes before each": changing}
    compare(ours | {"the app has them: 304": knowing} | others, "/api/todos", "GET")
    print(f" adding a todo, {CLIENTS} clients")
    ours = {"bare handler": bare, "the app": app}
    compare(ours | others, {app: "/api/lists/LIST/todos"}, "POST")
    for server in [*RUNNING]:
        server.end()


def main() -> None:
    """Measure on this disk, then on a slow one."""
    for tool in ("wrk", "taskset"):
        if not shutil.which(tool):
            sys.exit(f"{tool} is needed: apt install wrk util-linux")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what follows is ended, too
    with tempfile.TemporaryDirectory(dir=".", prefix=".bench-") as name:
        folder = Path(name).absolute()
        with ExitStack() as ending:  # none is left behind to disturb the next run
            ending.callback(lambda: [server.process.kill() for server in RUNNING])
            measure(folder)


def measure(folder: Path) -> None:
    """Measure what the command line names, such as `api` or `live`, or everything."""
    visits = {"pages": visit, "api": visit_api}
    # No disk is in their way.
    once = {"live": live.visit, "slow": slow.visit, "accounts": accounts.visit}
    once |= {"jobs": jobs.visit, "titles": titles.visit}
    names = sys.argv[1:] or [*visits, *once]
    chosen = [visits[name] for name in names if name not in once]
    for one in chosen:
        one(folder, "this disk", "")
    for name, visit_once in once.items():
        if name in names:
            visit_once(folder)
    if not chosen:
        return
    if shutil.which("gcc"):
        shim = str(folder / "slow_disk.so")
        source = str(HERE / "slow_disk.c")
        subprocess.run(["gcc", "-shared", "-fPIC", "-O2", "-o", shim, source, "-ldl"], check=True)
        for one in chosen:
            one(folder, "a disk with 2 ms more for each fsync", shim)
    else:
        print("no gcc: the slow disk is left out")


if __name__ == "__main__":
    main()
