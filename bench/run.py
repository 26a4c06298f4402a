"""Measure the app beside a bare Tornado handler, and group commit beside a commit per request.

`make bench` runs this. Servers have core 0, the load core 1; rounds alternate (A B C, C B A, ...)
and medians are taken, so that what else the machine does falls on all alike. Read the ratios: the
absolute numbers are this machine's. Needs wrk, and gcc for the slow disk.
"""

import asyncio
import os
import random
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import requests
from tornado.httpclient import AsyncHTTPClient, HTTPRequest

from bench import peers

HERE = Path(__file__).parent
SECONDS, ROUNDS, CLIENTS = 4, 3, 32
LISTS = 40  # to add to in turn, as one holds 10,000 todos
PACE = 400  # requests a second of a normally loaded house
TICKS = os.sysconf("SC_CLK_TCK")


IN_TURN = """n = 0
function request()
  n = n %% %d + 1
  return wrk.format(nil, '%s')
end
"""
RUNNING: "list[Server]" = []


class Server:
    """One of the servers, and somebody logged in to it."""

    def __init__(self, folder: Path, *arguments: str, shim: str = "") -> None:
        command = [sys.executable, "-m", "bench.serve", *arguments]
        self.start(folder, command, {"LD_PRELOAD": shim} if shim else {})
        assert self.process.stdout
        self.url = f"http://127.0.0.1:{int(self.process.stdout.readline())}"
        self.body, self.kind = "title=Water+the+plants", "application/x-www-form-urlencoded"

    def start(self, folder: Path, command: list[str], variables: dict[str, str]) -> None:
        """Start it on core 0."""
        self.process = subprocess.Popen(
            ["taskset", "-c", "0", *command],
            cwd=HERE.parent,
            env=os.environ | variables,
            stdout=subprocess.PIPE,
            text=True,
        )
        RUNNING.append(self)
        self.script = folder / f"{self.process.pid}.lua"
        self.headers: dict[str, str] = {}

    def move_in(self) -> None:
        """Sign up, keep a list of 50 todos to look at and another to add to."""
        with requests.Session() as http:
            http.get(f"{self.url}/login")
            token = {"_xsrf": http.cookies["_xsrf"]}
            account = {"username": "ann", "password": "three quiet otters"}
            http.post(f"{self.url}/signup", account | token)
            for number in range(50):
                title = f"Water the plants, number {number}"
                http.post(f"{self.url}/lists/1", token | {"title": title})
            for number in range(LISTS):
                http.post(f"{self.url}/lists", token | {"name": f"To add to, number {number}"})
            self.page = http.get(f"{self.url}/lists/1").content
            cookies = "; ".join(f"{name}={value}" for name, value in http.cookies.items())
            self.headers = {"Cookie": cookies}
            self.body += f"&_xsrf={quote(token['_xsrf'])}"

    def be_a_program(self) -> None:
        """From now on ask the API, with a token."""
        account = {"username": "ann", "password": "three quiet otters", "name": "bench"}
        made = requests.post(f"{self.url}/api/tokens", json=account, timeout=9).json()
        self.headers = {"Authorization": f"Bearer {made['token']}"}
        self.body, self.kind = '{"title": "Water the plants"}', "application/json"
        self.page = requests.get(f"{self.url}/api/todos", headers=self.headers, timeout=9).content

    def cpu(self) -> float:
        """Return the seconds of CPU used so far, by its workers too."""
        total = 0
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                number, _, rest = stat.read_text().partition(" ")
                fields = rest.rpartition(")")[2].split()
                if str(self.process.pid) in (number, fields[1]):
                    total += int(fields[11]) + int(fields[12])
        return total / TICKS

    def have(self, path: str, **headers: str) -> None:
        """From now on ask for something with these headers when one has it already."""
        self.headers |= headers
        answer = requests.get(self.url + path, headers=self.headers, timeout=9)
        self.headers["If-None-Match"] = answer.headers["ETag"].replace("'", "\\'")

    def load(self, path: str, method: str) -> tuple[float, float, float]:
        """Return requests a second, microseconds of CPU a request, and the p99 in ms."""
        form = {"Content-Type": self.kind} if method == "POST" else {}
        headers = "".join(
            f"wrk.headers['{name}'] = '{value}'\n" for name, value in (self.headers | form).items()
        )
        lua = f"wrk.method = '{method}'\n{headers}"
        if method == "POST":
            lua += f"wrk.body = '{self.body}'\n"
        if "LIST" in path:
            lua += IN_TURN % (LISTS, path.replace("LIST", "' .. n + 1 .. '"))
        self.script.write_text(lua)
        command = ["taskset", "-c", "1", "wrk", "-t1", f"-c{CLIENTS}", f"-d{SECONDS}s", "--latency"]
        before = self.cpu()
        said = subprocess.run(
            [*command, "-s", str(self.script), self.url + path],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        used = self.cpu() - before
        failed = re.findall(r"Non-2xx.*|Socket errors.*", said)
        if failed and type(self) is Server:
            raise RuntimeError(said)
        if failed:
            print("  ", self.process.args, *failed)
        count = int(re.findall(r"(\d+) requests in", said)[0])
        number, unit = re.findall(r"99%\s+([\d.]+)(us|ms|s)", said)[0]
        p99 = float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit]
        return float(re.findall(r"Requests/sec:\s+([\d.]+)", said)[0]), 1e6 * used / count, p99

    async def pace(self) -> None:
        """Send PACE requests a second for a while, at random moments, one in five an added todo."""
        client = AsyncHTTPClient(max_clients=200, force_instance=True)
        end, due, running = time.monotonic() + 3 * SECONDS, time.monotonic(), []
        while due < end:
            due += random.expovariate(PACE)
            await asyncio.sleep(max(0, due - time.monotonic()))
            adds = random.random() < 0.2
            request = HTTPRequest(
                f"{self.url}/lists/{2 if adds else 1}",
                method="POST" if adds else "GET",
                headers=self.headers,
                body=self.body if adds else None,
                follow_redirects=False,
            )
            running.append(asyncio.ensure_future(client.fetch(request, raise_error=False)))
        codes = {answer.code for answer in await asyncio.gather(*running)}
        if codes != {200, 303}:
            raise RuntimeError(codes)

    def end(self) -> list[str]:
        """Stop it; return how late its loop was."""
        RUNNING.remove(self)
        self.process.send_signal(signal.SIGTERM)
        return self.process.communicate(timeout=30)[0].split()


class Peer(Server):
    """What others would have built."""

    def __init__(self, folder: Path, name: str, shim: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        database = folder / f"{name} {bool(shim)}.db"
        peers.furnish(database)
        variables = {"DATABASE": str(database), "PORT": port}
        variables |= {
            "NODE_MODULES": str(peers.NODE_MODULES),
            **({"LD_PRELOAD": shim} if shim else {}),
        }
        command = [part.replace("PORT", port) for part in peers.COMMANDS[name]]
        self.start(folder, command, variables)
        self.url = f"http://127.0.0.1:{port}"
        self.headers = {"Authorization": f"Bearer {peers.TOKEN}"}
        self.body, self.kind = '{"title": "Water the plants"}', "application/json"
        for _ in range(200):
            with suppress(requests.ConnectionError):
                answer = requests.get(f"{self.url}/api/todos", headers=self.headers, timeout=9)
                assert len(answer.json()) == 50
                return
            time.sleep(0.05)
        raise RuntimeError(f"{name} doesn't start")


def there(name: str) -> bool:
    """Say whether a peer is installed."""
    if name in peers.NEEDS:
        return find_spec(peers.NEEDS[name]) is not None
    return (peers.NODE_MODULES / "better-sqlite3").exists()


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
    others: dict[str, Server] = {n: Peer(folder, n, shim) for n in peers.COMMANDS if there(n)}
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
    with tempfile.TemporaryDirectory(dir=".", prefix=".bench-") as name:
        folder = Path(name).absolute()
        with ExitStack() as ending:  # none is left behind to disturb the next run
            ending.callback(lambda: [server.process.kill() for server in RUNNING])
            measure(folder)


def measure(folder: Path) -> None:
    """Measure what the command line names: `pages`, `api`, or both."""
    visits = {"pages": visit, "api": visit_api}
    chosen = [visits[name] for name in sys.argv[1:] or visits]
    for one in chosen:
        one(folder, "this disk", "")
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
