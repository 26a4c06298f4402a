"""Measure several processes, PostgreSQL, Redis and nginx, and compute how far they scale.

The first process has core 0; the load, PostgreSQL, Redis and nginx share core 1. What each part
costs feeds the model of `bench.simulation`, which is compared with what was measured, and then
computes how many people a setup serves.
"""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from bench.live import SocketHolder, broadcast
from bench.servers import CLIENTS, ROUNDS, SECONDS, AppServer, Server, compare, cpu_of, slow_disk
from bench.simulation import FETCHES, Costs, steps, trials
from bench.table import BARE, OURS, TABLE, round_off
from bench.work import app_server, bare_server, stop_all
from checks.support.cluster import FOUND, Cluster
from checks.support.nginx import NGINX, Nginx
from checks.support.redis_server import REDIS, Redis
from models.postgres import database_at
from services.presence import Presence

PROCESSES, ASKING = 4, 2 * CLIENTS  # so that each always has requests
SECRET = "--cookie_secret=for measuring only, and long enough"
FSYNCS, COMMIT = 300, 40 * 1024  # how often, and the bytes that a commit writes
SOCKETS, QUIET = 2000, 22  # open pages; seconds, in which each gets one "alive"
MANY, TURNS = 1000, 50  # lists, or people, read at once; how often
TRY_FSYNC = f"""
import os, tempfile, time
with tempfile.TemporaryFile(dir=".") as file:
    taken = []
    for _ in range({FSYNCS}):
        file.write(bytes({COMMIT}))
        file.flush()
        begun = time.perf_counter()
        os.fdatasync(file.fileno())
        taken.append(time.perf_counter() - begun)
print(sorted(taken)[{FSYNCS} // 2])
"""


def several(folder: Path) -> None:
    """Load one process, then four on the same file; all share both cores."""
    options = (f"--database={folder}/several.db", "--fetch_titles=false")
    one = AppServer(folder, *options, cores="0,1")
    one.sign_up()
    more = [AppServer(folder, *options, cores="0,1") for _ in range(PROCESSES - 1)]
    for each in more:
        each.share_session(one)
    print(f"the page of 50 todos, {PROCESSES} processes on two cores beside one")
    rates: dict[int, list[float]] = {1: [], PROCESSES: []}
    with ThreadPoolExecutor(PROCESSES) as asking:
        for _ in range(ROUNDS):
            for count, found in rates.items():
                answers = [
                    asking.submit(s.load, "/lists/1", "GET", ASKING // count, "0,1")
                    for s in [one, *more][:count]
                ]
                found.append(sum(answer.result()[0] for answer in answers))
    alone, together = (statistics.median(found) for found in rates.values())
    print(f"  {alone:.0f}/s and {together:.0f}/s: {together / alone:.2f} times")
    TABLE.sizes(
        f"{PROCESSES} processes on two cores",
        1 / together,
        {"one process": 1 / alone},
        {"one process": 1.6},
    )
    stop_all()


def on_sqlite(folder: Path, shim: str) -> tuple[dict[str, float], dict[str, float]]:
    """Load one process on SQLite; return its costs, and rates as in `trials`."""
    costs, rates = {}, {}
    for disk, preloaded in (("", ""), (", slow disk", shim)):
        app = app_server(folder, "model", shim=preloaded)
        single = app_server(folder, "model-single", "1", shim=preloaded)
        print(f"for the model{disk}")
        taken = compare({OURS: app, "a commit each": single}, "/lists/LIST", "POST")
        rates[f"adding{disk}"] = taken[OURS][0]
        rates[f"adding{disk}, a commit each"] = taken["a commit each"][0]
        tried = [sys.executable, "-c", TRY_FSYNC]
        variables = os.environ | ({"LD_PRELOAD": preloaded} if preloaded else {})
        fsync = subprocess.run(
            tried, cwd=folder, env=variables, capture_output=True, text=True, check=True
        )
        costs["slower" if disk else "fsync"] = float(fsync.stdout)
        if not disk:
            # In a group of many the share of a commit is small.
            costs["add"] = taken[OURS][1] / 1e6
            costs["commit"] = (taken["a commit each"][1] - taken[OURS][1]) / 1e6
            rates["pages"], page, _ = compare({"pages": app}, "/lists/1", "GET")["pages"]
            changing = app_server(folder, "model-changing", kind="changing")
            print(f"  all rows changed, {FETCHES} clients, as after a change")
            rounds = [changing.load("/lists/1", "GET", FETCHES)[1] for _ in range(ROUNDS)]
            rows = statistics.median(rounds)
            costs |= {"page": page / 1e6, "rows": rows / 1e6}
        stop_all()
    return costs, rates


def windows(folder: Path, ending: ExitStack) -> dict[str, float]:
    """Return what an open page costs: bytes, CPU a second, and CPU when it is told of a change."""
    app = app_server(folder, "windows", kind="live")
    before = app.memory()
    sockets = SocketHolder(app, SOCKETS, ending)
    time.sleep(1)
    size, used = 1024 * (app.memory() - before) / SOCKETS, app.cpu()
    time.sleep(QUIET)
    idle = (app.cpu() - used) / QUIET / SOCKETS
    told = statistics.median(broadcast(app, sockets)[2] for _ in range(ROUNDS)) / SOCKETS
    sockets.close()
    stop_all()
    return {"socket": size, "idle": idle, "told": told}


def presence_cost() -> float:
    """Return the CPU for each person in the presence message of another process."""
    message = json.dumps([[number, f"user-{number}"] for number in range(MANY)])
    app: Any = SimpleNamespace(
        hub=SimpleNamespace(watchers={}, broadcast=lambda news: None), read=no_rows
    )
    app.receivers, app.publish = {}, lambda *words: True
    presence = Presence(app)

    async def receive() -> float:
        begun = time.thread_time()
        for _ in range(TURNS):
            presence.hear("another", json.loads(message))
            await presence.update()
        return time.thread_time() - begun

    return asyncio.run(receive()) / TURNS / MANY


async def no_rows(*arguments: object) -> tuple[dict[int, str], list[Any]]:
    """Stand in for a query of who is where."""
    return {}, []


def versions_cost(cluster: Cluster, database: str) -> float:
    """Return PostgreSQL's CPU for each list whose version is read."""
    base = database_at(cluster.url(database))
    with base.connection_context():
        add = "INSERT INTO list (name, version, open, total, people, revision)"
        add += f" SELECT 'x', 1, 0, 0, 1, 0 FROM generate_series(1, {MANY}) RETURNING id"
        numbers = [number for (number,) in base.execute_sql(add).fetchall()]
        before = cpu_of(cluster_process(cluster))
        for _ in range(TURNS * 10):
            asked = "SELECT id, version, revision FROM list WHERE id = ANY(%s)"
            base.execute_sql(asked, (numbers,)).fetchall()
        used = cpu_of(cluster_process(cluster)) - before
    return used / TURNS / 10 / MANY


def size_of(cluster: Cluster) -> tuple[int, int]:
    """Return the bytes of the database, and the number of its todos."""
    sql = "SELECT pg_database_size('whole'), count(*) FROM todo"
    size, todos = cluster.execute(sql, "whole")[0]
    return size, todos


def cluster_process(cluster: Cluster) -> int:
    """Return the process of a PostgreSQL server, of which the others are children."""
    return int((cluster.data / "postmaster.pid").read_text().split()[0])


def on_postgres(
    folder: Path, cluster: Cluster, redis: Redis, ending: ExitStack
) -> tuple[dict[str, float], dict[str, float]]:
    """Load one process on PostgreSQL, then through nginx with Redis; return costs and rates."""
    app = Server(folder, "app", cluster.make("direct"))
    app.sign_up()
    app.use_api()
    print("on PostgreSQL, which shares core 1 with the load")
    servers = {BARE: bare_server(folder, app), OURS: app}
    taken = compare(servers, "/api/todos", "GET")
    TABLE.rates("API list, PostgreSQL", taken[OURS], taken, {BARE: 0.45})
    taken = compare(servers, {app: "/api/lists/LIST/todos"}, "POST")
    TABLE.rates("API, adding, PostgreSQL", taken[OURS], taken, {BARE: 0.15})
    stop_all()
    options = f"--database={cluster.make('whole')}", f"--redis={redis.url}"
    whole = AppServer(folder, *options, SECRET, "--trusted_proxies=127.0.0.1")
    whole.sign_up()
    front = Nginx(folder / "nginx", [whole], connections=2000)  # type: ignore[list-item]
    ending.callback(front.process.terminate)  # killed, it would leave its workers
    while not front.listens():
        time.sleep(0.01)
    parts = {"nginx": front.process.pid, "redis": redis.process.pid}
    parts["postgres"] = cluster_process(cluster)
    print("through nginx, with Redis, on PostgreSQL: us of CPU a request")
    costs: dict[str, float] = {}
    rates: dict[str, float] = {}
    size, todos = size_of(cluster)
    for name, path, method in (("page", "/lists/1", "GET"), ("add", "/lists/LIST", "POST")):
        rounds = []
        for _ in range(ROUNDS):
            before = {part: cpu_of(pid) for part, pid in parts.items()}
            rate, own, _ = whole.load(path, method, url=front.url)
            used = {part: (cpu_of(pid) - before[part]) for part, pid in parts.items()}
            rounds.append(
                {p: cpu / rate / SECONDS for p, cpu in used.items()} | {"process": own / 1e6}
            )
            rounds[-1] |= {"rate": rate, "client": whole.client_cpu}
        found = {key: statistics.median(each[key] for each in rounds) for key in rounds[0]}
        rates[f"through nginx, on PostgreSQL: {name}"] = found.pop("rate")
        print(f"  {name}:", *(f"{part} {1e6 * cpu:.0f}" for part, cpu in found.items()), flush=True)
        costs |= {f"process_{name}": found["process"], f"postgres_{name}": found["postgres"]}
        costs |= {"nginx": found["nginx"], "client": found["client"]}
    # One process publishes, and one receives. It takes a few ticks of the clock a round.
    costs["redis"] = statistics.mean(each["redis"] for each in rounds) / 2
    costs["todo"] = (size_of(cluster)[0] - size) / (size_of(cluster)[1] - todos)
    stop_all()
    costs["versions"] = versions_cost(cluster, "whole")
    return costs, rates


def measure(folder: Path) -> None:
    """Measure, if PostgreSQL, Redis and nginx are installed."""
    if not (FOUND and REDIS and NGINX):
        print(
            "scaling needs PostgreSQL, Redis and nginx: apt install postgresql redis-server nginx"
        )
        return
    with ExitStack() as ending:
        ending.callback(os.sched_setaffinity, 0, os.sched_getaffinity(0))
        os.sched_setaffinity(0, {1})
        cluster = Cluster()
        ending.callback(cluster.stop)
        redis = Redis(folder / "redis")
        ending.callback(redis.close)
        costs, measured = on_sqlite(folder, slow_disk(folder))
        more, rates = on_postgres(folder, cluster, redis, ending)
        costs |= more
        measured |= rates
        costs |= windows(folder, ending) | {"presence": presence_cost()}
    slower = costs.pop("slower")
    report(Costs(**costs), slower, measured)


def report(costs: Costs, slower: float, measured: dict[str, float]) -> None:
    """Print and keep what each part costs, the model beside what was measured, and the steps."""
    print("costs, in us of CPU unless said otherwise")
    sizes = {"socket": f"{costs.socket / 1024:.1f} KiB", "todo": f"{costs.todo:.0f} bytes"}
    for name, cost in costs._asdict().items():
        print(f"  {name:14}", sizes.get(name, f"{1e6 * cost:.1f}"))
    print(f"  an fsync of the slow disk: {1e6 * slower:.0f}")
    print("requests a second: the model's, the measured, their ratio")
    simulated = trials(costs, slower)
    for name, rate in simulated.items():
        print(f"  {name:40}{rate:8.0f}{measured[name]:8.0f}{rate / measured[name]:8.2f}")
    print("how many people each setup serves, computed")
    computed = [*steps(costs)]
    for step in computed:
        parts = ", ".join(f"{name} {100 * part:.0f} %" for name, part in step.parts.items())
        print(f"  {step.setup.name}: {step.people:,} people, {step.windows:,.0f} open pages,")
        print(
            f"    {step.requests:,.0f} requests and {step.changes:,.0f} changes a second: {parts};"
        )
        print(f"    p99 {1000 * step.p99:.1f} ms; {step.stored / 1e9:,.0f} GB more in a year")
    TABLE.model = {
        "costs": {name: round_off(cost) for name, cost in costs._asdict().items()},
        "slower": round_off(slower),
        "trials": [
            {"work": name, "model": round(rate), "measured": round(measured[name])}
            for name, rate in simulated.items()
        ],
        "steps": [
            {
                "setup": step.setup.name,
                "people": int(round_off(step.people)),
                "busiest": next(iter(step.parts)),
            }
            for step in computed
        ],
    }
