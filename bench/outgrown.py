"""Measure what comes when one process is outgrown: several, PostgreSQL, Redis, nginx.

The first process has core 0; whoever asks, PostgreSQL, Redis and nginx share core 1. What each part
takes feeds the model of `bench.simulation`, which is held against what was measured, and then says
how many people a house is enough for.
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
from typing import Any

from bench.live import Crowd, announce
from bench.servers import CLIENTS, ROUNDS, SECONDS, House, Server, compare, cpu_of, slow_disk
from bench.simulation import HEARERS, Costs, steps, trials
from bench.table import BARE, TABLE
from bench.work import bare, end_all, house
from checks.support.cluster import FOUND, Cluster
from checks.support.nginx import NGINX, Nginx
from checks.support.redis_server import REDIS, Redis
from models.postgres import database_at
from services.hub import Presence

PROCESSES, ASKING = 4, 2 * CLIENTS  # so that each has someone to serve all the time
SECRET = "--cookie_secret=for measuring only, and long enough"
FSYNCS, COMMIT = 300, 40 * 1024  # how often, and the bytes that a commit of the house writes
SOCKETS, QUIET = 2000, 22  # windows; seconds, in which each hears once that all is well
MANY, TURNS = 1000, 50  # lists whose versions are read at once, places that are heard of; how often
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
    """Ask one process, then four on the same file; both cores are everyone's."""
    options = (f"--database={folder}/several.db", "--fetch_titles=false")
    one = House(folder, *options, cores="0,1")
    one.move_in()
    more = [House(folder, *options, cores="0,1") for _ in range(PROCESSES - 1)]
    for each in more:
        each.know(one)
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
        f"{PROCESSES} processes on two cores", 1 / together, {"one": 1 / alone}, {"one": 1.7}
    )
    end_all()


def near(folder: Path, shim: str) -> tuple[dict[str, float], dict[str, float]]:
    """Ask the house on one file; return what is measured of it: costs, and rates as in `trials`."""
    costs, rates = {}, {}
    for disk, preloaded in (("", ""), (", slow disk", shim)):
        app = house(folder, "model", shim=preloaded)
        single = house(folder, "model-single", "1", shim=preloaded)
        print(f"what the model is fed with, and held against{disk}")
        taken = compare({"the house": app, "a commit each": single}, "/lists/LIST", "POST")
        rates[f"adding{disk}"] = taken["the house"][0]
        rates[f"adding{disk}, a commit each"] = taken["a commit each"][0]
        tried = [sys.executable, "-c", TRY_FSYNC]
        variables = os.environ | ({"LD_PRELOAD": preloaded} if preloaded else {})
        fsync = subprocess.run(
            tried, cwd=folder, env=variables, capture_output=True, text=True, check=True
        )
        costs["slower" if disk else "fsync"] = float(fsync.stdout)
        if not disk:
            # In a group of many the share of a commit is small.
            costs["add"] = taken["the house"][1] / 1e6
            costs["commit"] = (taken["a commit each"][1] - taken["the house"][1]) / 1e6
            rates["pages"], page, _ = compare({"pages": app}, "/lists/1", "GET")["pages"]
            changing = house(folder, "model-changing", kind="changing")
            print(f"  all rows changed, {HEARERS} clients, as after a change")
            rounds = [changing.load("/lists/1", "GET", HEARERS)[1] for _ in range(ROUNDS)]
            rows = statistics.median(rounds)
            costs |= {"page": page / 1e6, "rows": rows / 1e6}
        end_all()
    return costs, rates


def windows(folder: Path, ending: ExitStack) -> dict[str, float]:
    """Return what a window costs: bytes, CPU a second, and CPU when it is told of a change."""
    app = house(folder, "windows", kind="live")
    before = app.memory()
    crowd = Crowd(app, SOCKETS, ending)
    time.sleep(1)
    size, used = 1024 * (app.memory() - before) / SOCKETS, app.cpu()
    time.sleep(QUIET)
    idle = (app.cpu() - used) / QUIET / SOCKETS
    told = statistics.median(announce(app, crowd)[2] for _ in range(ROUNDS)) / SOCKETS
    crowd.end()
    end_all()
    return {"socket": size, "idle": idle, "told": told}


def places() -> float:
    """Return the CPU, for each place that another process tells of, to take in who is where."""
    heard = json.dumps([[number, f"somebody-{number}"] for number in range(MANY)])
    company = Presence(nobody)  # type: ignore[arg-type]

    async def hear() -> float:
        begun = time.thread_time()
        for _ in range(TURNS):
            company.hear("another", json.loads(heard))
            await company.news(set())
        return time.thread_time() - begun

    return asyncio.run(hear()) / TURNS / MANY


async def nobody(*anything: object) -> list[Any]:
    """Find nobody."""
    return []


def sweep(cluster: Cluster, database: str) -> float:
    """Return PostgreSQL's CPU for each list whose version is read."""
    base = database_at(cluster.url(database))
    with base.connection_context():
        add = "INSERT INTO list (name, version, open, total, people, titles)"
        add += f" SELECT 'x', 1, 0, 0, 1, 0 FROM generate_series(1, {MANY}) RETURNING id"
        numbers = [number for (number,) in base.execute_sql(add).fetchall()]
        before = cpu_of(cluster_process(cluster))
        for _ in range(TURNS * 10):
            asked = "SELECT id, version, titles FROM list WHERE id = ANY(%s)"
            base.execute_sql(asked, (numbers,)).fetchall()
        used = cpu_of(cluster_process(cluster)) - before
    return used / TURNS / 10 / MANY


def room(cluster: Cluster) -> tuple[int, int]:
    """Return the bytes that the house on PostgreSQL takes, and the number of its todos."""
    sql = "SELECT pg_database_size('far'), count(*) FROM todo"
    size, todos = cluster.execute(sql, "far")[0]
    return size, todos


def cluster_process(cluster: Cluster) -> int:
    """Return the process of a PostgreSQL server, of which the others are children."""
    return int((cluster.data / "postmaster.pid").read_text().split()[0])


def far(
    folder: Path, cluster: Cluster, redis: Redis, ending: ExitStack
) -> tuple[dict[str, float], dict[str, float]]:
    """Ask the house on PostgreSQL, then through nginx with Redis; return costs and rates."""
    app = Server(folder, "app", cluster.make("near"))
    app.move_in()
    app.be_a_program()
    print("the house on PostgreSQL, which has core 1 with whoever asks")
    servers = {BARE: bare(folder, app), "the house": app}
    taken = compare(servers, "/api/todos", "GET")
    TABLE.rates("on PostgreSQL: the API's list", taken["the house"], taken, {BARE: 0.5})
    taken = compare(servers, {app: "/api/lists/LIST/todos"}, "POST")
    TABLE.rates("on PostgreSQL: adding by the API", taken["the house"], taken, {BARE: 0.2})
    end_all()
    options = f"--database={cluster.make('far')}", f"--redis={redis.url}"
    whole = House(folder, *options, SECRET, "--trusted_proxies=127.0.0.1")
    whole.move_in()
    front = Nginx(folder / "nginx", [whole], connections=2000)  # type: ignore[list-item]
    ending.callback(front.process.terminate)  # killed, it would leave its workers
    while not front.listens():
        time.sleep(0.01)
    parts = {"nginx": front.process.pid, "redis": redis.process.pid}
    parts["base"] = cluster_process(cluster)
    print("through nginx, with Redis, on PostgreSQL: us of CPU a request")
    costs: dict[str, float] = {}
    rates: dict[str, float] = {}
    size, todos = room(cluster)
    for name, path, method in (("page", "/lists/1", "GET"), ("add", "/lists/LIST", "POST")):
        rounds = []
        for _ in range(ROUNDS):
            before = {part: cpu_of(pid) for part, pid in parts.items()}
            rate, own, _ = whole.load(path, method, url=front.url)
            used = {part: (cpu_of(pid) - before[part]) for part, pid in parts.items()}
            rounds.append({p: cpu / rate / SECONDS for p, cpu in used.items()} | {"far": own / 1e6})
            rounds[-1] |= {"rate": rate, "asking": whole.asking}
        found = {key: statistics.median(each[key] for each in rounds) for key in rounds[0]}
        rates[f"through nginx, on PostgreSQL: {name}"] = found.pop("rate")
        print(f"  {name}:", *(f"{part} {1e6 * cpu:.0f}" for part, cpu in found.items()), flush=True)
        costs |= {f"far_{name}": found["far"], f"base_{name}": found["base"]}
        costs |= {"nginx": found["nginx"], "asking": found["asking"]}
    # One process says it, and one hears it. It takes a few ticks of the clock a round.
    costs["redis"] = statistics.mean(each["redis"] for each in rounds) / 2
    costs["todo"] = (room(cluster)[0] - size) / (room(cluster)[1] - todos)
    end_all()
    costs["sweep"] = sweep(cluster, "far")
    return costs, rates


def visit(folder: Path) -> None:
    """Take the measures, as far as PostgreSQL, Redis and nginx are there."""
    if not (FOUND and REDIS and NGINX):
        print("what is outgrown needs PostgreSQL, Redis and nginx: apt install them")
        return
    with ExitStack() as ending:
        ending.callback(os.sched_setaffinity, 0, os.sched_getaffinity(0))
        os.sched_setaffinity(0, {1})
        cluster = Cluster()
        ending.callback(cluster.stop)
        redis = Redis(folder / "redis")
        ending.callback(redis.close)
        costs, measured = near(folder, slow_disk(folder))
        more, rates = far(folder, cluster, redis, ending)
        costs |= more
        measured |= rates
        costs |= windows(folder, ending) | {"place": places()}
    slower = costs.pop("slower")
    tell(Costs(**costs), slower, measured)


def tell(costs: Costs, slower: float, measured: dict[str, float]) -> None:
    """Print what each part costs, the model beside what was measured, and how far a house goes."""
    print("costs, in us of CPU unless said otherwise")
    sizes = {"socket": f"{costs.socket / 1024:.1f} KiB", "todo": f"{costs.todo:.0f} bytes"}
    for name, cost in costs._asdict().items():
        print(f"  {name:12}", sizes.get(name, f"{1e6 * cost:.1f}"))
    print(f"  an fsync of the slow disk: {1e6 * slower:.0f}")
    print("requests a second: the model's, the measured, their ratio")
    for name, rate in trials(costs, slower).items():
        print(f"  {name:40}{rate:8.0f}{measured[name]:8.0f}{rate / measured[name]:8.2f}")
    print("how far a house goes, computed")
    for step in steps(costs):
        parts = ", ".join(f"{name} {100 * part:.0f} %" for name, part in step.parts.items())
        print(f"  {step.setup.name}: {step.people:,} people, {step.windows:,.0f} windows,")
        print(
            f"    {step.requests:,.0f} requests and {step.changes:,.0f} changes a second: {parts};"
        )
        print(f"    p99 {1000 * step.p99:.1f} ms; {step.stored / 1e9:,.0f} GB more in a year")
