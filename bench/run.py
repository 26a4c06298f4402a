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
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

import requests
from tornado.httpclient import AsyncHTTPClient, HTTPRequest

HERE = Path(__file__).parent
SECONDS, ROUNDS, CLIENTS = 4, 3, 32
PACE = 400  # requests a second of a normally loaded house
TICKS = os.sysconf("SC_CLK_TCK")


class Server:
    """One of the servers, and somebody logged in to it."""

    def __init__(self, folder: Path, *arguments: str, shim: str = "") -> None:
        self.process = subprocess.Popen(
            ["taskset", "-c", "0", sys.executable, "-m", "bench.serve", *arguments],
            cwd=HERE.parent,
            env=os.environ | ({"LD_PRELOAD": shim} if shim else {}),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout
        self.url = f"http://127.0.0.1:{int(self.process.stdout.readline())}"
        self.script = folder / f"{self.process.pid}.lua"
        self.headers: dict[str, str] = {}
        self.body = "title=Water+the+plants"

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
            http.post(f"{self.url}/lists", token | {"name": "To add to"})
            self.page = http.get(f"{self.url}/lists/1").content
            cookies = "; ".join(f"{name}={value}" for name, value in http.cookies.items())
            self.headers = {"Cookie": cookies}
            self.body += f"&_xsrf={quote(token['_xsrf'])}"

    def cpu(self) -> float:
        """Return the seconds of CPU used so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def have_rows(self) -> None:
        """From now on ask for what the page's script asks for, when it has it already."""
        self.headers["X-Fragment"] = "rows"
        answer = requests.get(f"{self.url}/lists/1", headers=self.headers, timeout=9)
        self.headers["If-None-Match"] = answer.headers["ETag"].replace("'", "\\'")

    def load(self, path: str, method: str) -> tuple[float, float, float]:
        """Return requests a second, microseconds of CPU a request, and the p99 in ms."""
        form = {"Content-Type": "application/x-www-form-urlencoded"} if method == "POST" else {}
        headers = "".join(
            f"wrk.headers['{name}'] = '{value}'\n" for name, value in (self.headers | form).items()
        )
        body = f"wrk.body = '{self.body}'\n" if method == "POST" else ""
        self.script.write_text(f"wrk.method = '{method}'\n{headers}{body}")
        command = ["taskset", "-c", "1", "wrk", "-t1", f"-c{CLIENTS}", f"-d{SECONDS}s", "--latency"]
        before = self.cpu()
        said = subprocess.run(
            [*command, "-s", str(self.script), self.url + path],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        used = self.cpu() - before
        if "Non-2xx" in said or "Socket errors" in said:
            raise RuntimeError(said)
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
        self.process.send_signal(signal.SIGTERM)
        return self.process.communicate(timeout=30)[0].split()


def compare(servers: dict[str, Server], path: str, method: str) -> dict[str, tuple[float, ...]]:
    """Load each server in turn, there and back, and print the medians and their ratios."""
    taken: dict[str, list[tuple[float, ...]]] = {name: [] for name in servers}
    for turn in range(ROUNDS):
        for name in list(servers)[:: -1 if turn % 2 else 1]:
            taken[name].append(servers[name].load(path, method))
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
    watcher.have_rows()
    bare.headers = watcher.headers
    print(" the script, which has the rows already: 304")
    compare({"bare handler": bare, "the app": watcher}, "/lists/1", "GET")
    print(f" adding a todo, {CLIENTS} clients")
    names = {"bare handler": bare, "the app": app, "a commit per request": single}
    rates = compare(names, "/lists/2", "POST")
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


def main() -> None:
    """Measure on this disk, then on a slow one."""
    for tool in ("wrk", "taskset"):
        if not shutil.which(tool):
            sys.exit(f"{tool} is needed: apt install wrk util-linux")
    with tempfile.TemporaryDirectory(dir=".", prefix=".bench-") as name:
        folder = Path(name).absolute()
        visit(folder, "this disk", "")
        if shutil.which("gcc"):
            shim = str(folder / "slow_disk.so")
            source = str(HERE / "slow_disk.c")
            subprocess.run(
                ["gcc", "-shared", "-fPIC", "-O2", "-o", shim, source, "-ldl"], check=True
            )
            visit(folder, "a disk with 2 ms more for each fsync", shim)
        else:
            print("no gcc: the slow disk is left out")


if __name__ == "__main__":
    main()
