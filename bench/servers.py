"""The servers that are measured: how each is started, loaded and stopped."""

import asyncio
import os
import random
import re
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import requests
from tornado.httpclient import AsyncHTTPClient, HTTPRequest

from bench import peers

HERE = Path(__file__).parent
ROUNDS, SECONDS, CLIENTS = 3, 2, 32
LISTS = 40  # to add to in turn, as one holds 10,000 todos
PACE = 400  # requests a second of a normal load
TICKS = os.sysconf("SC_CLK_TCK")

IN_TURN = """n = 0
function request()
  n = n %% %d + 1
  return wrk.format(nil, '%s')
end
"""
RUNNING: "list[Server]" = []


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def variables_of(**more: str) -> dict[str, str]:
    """Return the environment of a server, with the modules of Node.js."""
    return os.environ | {"NODE_MODULES": str(peers.NODE_MODULES)} | more


def xsrf_token(http: requests.Session) -> str:
    """Return the token of the forms that a session got; its cookie's name ends in a mark."""
    return next(str(value) for name, value in http.cookies.items() if name.startswith("_xsrf"))


def cpu_of(process: int) -> float:
    """Return the seconds of CPU that a process and its children have used so far."""
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            number, _, rest = stat.read_text().partition(" ")
            fields = rest.rpartition(")")[2].split()
            if str(process) in (number, fields[1]):
                total += int(fields[11]) + int(fields[12])
    return total / TICKS


class Server:
    """`python -m bench.serve` with these arguments, and the headers of a user who is logged in."""

    seconds = SECONDS  # that a load lasts

    def __init__(self, folder: Path, *arguments: str, shim: str = "") -> None:
        command = [sys.executable, "-m", "bench.serve", *arguments]
        self.start(folder, command, {"LD_PRELOAD": shim} if shim else {})
        assert self.process.stdout
        self.url = f"http://127.0.0.1:{int(self.process.stdout.readline())}"
        self.body, self.kind = "title=Water+the+plants", "application/x-www-form-urlencoded"

    def start(
        self, folder: Path, command: list[str], variables: dict[str, str], cores: str = "0"
    ) -> None:
        """Start it on some cores."""
        self.process = subprocess.Popen(
            ["taskset", "-c", cores, *command],
            cwd=HERE.parent,
            env=variables_of(**variables),
            stdout=subprocess.PIPE,
            text=True,
        )
        RUNNING.append(self)
        self.script = folder / f"{self.process.pid}.lua"
        self.headers: dict[str, str] = {}

    def sign_up(self) -> None:
        """Sign up, and make list 1 with 50 todos and LISTS more to add to."""
        with requests.Session() as http:
            http.get(f"{self.url}/login")
            token = {"_xsrf": xsrf_token(http)}
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

    def use_api(self) -> None:
        """From now on send requests to the API, with a token."""
        account = {"username": "ann", "password": "three quiet otters", "name": "bench"}
        made = requests.post(f"{self.url}/api/tokens", json=account, timeout=9).json()
        self.headers = {"Authorization": f"Bearer {made['token']}"}
        self.body, self.kind = '{"title": "Water the plants"}', "application/json"
        self.page = requests.get(f"{self.url}/api/todos", headers=self.headers, timeout=9).content

    def without_session(self) -> dict[str, str]:
        """Return the headers of someone who isn't logged in."""
        cookies = self.headers["Cookie"].split("; ")
        return {"Cookie": "; ".join(c for c in cookies if not c.startswith("session"))}

    def cpu(self) -> float:
        """Return the seconds of CPU used so far, by its workers too."""
        return cpu_of(self.process.pid)

    def memory(self) -> int:
        """Return the KiB of memory it has."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+)", status)[0])

    def blocked(self) -> float:
        """Return for how long at most it blocked its loop since the last call, in ms."""
        self.process.send_signal(signal.SIGUSR1)
        assert self.process.stdout
        return float(self.process.stdout.readline())

    def waited(self) -> float:
        """Return the seconds for which others had its core while it had work."""
        return int(Path(f"/proc/{self.process.pid}/schedstat").read_text().split()[1]) / 1e9

    def remember_etag(self, path: str, **headers: str) -> None:
        """From now on send these headers, and the ETag of `path`: the answer is 304."""
        self.headers |= headers
        answer = requests.get(self.url + path, headers=self.headers, timeout=9)
        self.headers["If-None-Match"] = answer.headers["ETag"].replace("'", "\\'")

    def load(
        self, path: str, method: str, clients: int = CLIENTS, cores: str = "1", url: str = ""
    ) -> tuple[float, float, float]:
        """Return requests a second, microseconds of CPU a request, and the p99 in ms.

        `url` is of a proxy in front of it.
        """
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
        # As from elsewhere: an answer that arrives doesn't take the core from the server.
        batch = ["taskset", "-c", cores, "chrt", "--batch", "0"]
        command = [*batch, "wrk", "-t1", f"-c{clients}", f"-d{self.seconds}s"]
        before, start = self.cpu(), resource.getrusage(resource.RUSAGE_CHILDREN)
        said = subprocess.run(
            [*command, "--latency", "-s", str(self.script), (url or self.url) + path],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        used, after = self.cpu() - before, resource.getrusage(resource.RUSAGE_CHILDREN)
        failed = re.findall(r"Non-2xx.*|Socket errors.*", said)
        if failed and not isinstance(self, Peer):
            raise RuntimeError(said)
        if failed:
            print("  ", self.process.args, *failed)
        count = int(re.findall(r"(\d+) requests in", said)[0])
        self.client_cpu = after.ru_utime + after.ru_stime - start.ru_utime - start.ru_stime
        self.client_cpu /= count  # seconds of CPU that wrk takes for a request
        number, unit = re.findall(r"99%\s+([\d.]+)(us|ms|s)", said)[0]
        p99 = float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit]
        return float(re.findall(r"Requests/sec:\s+([\d.]+)", said)[0]), 1e6 * used / count, p99

    async def pace(self) -> None:
        """Send PACE requests a second for a while, at random moments, one in five an added todo."""
        client = AsyncHTTPClient(max_clients=200, force_instance=True)
        end, due, running = time.monotonic() + 6 * SECONDS, time.monotonic(), []
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

    def stop(self) -> list[str]:
        """Stop it; return how late its loop was: p50, p99 and the most, in ms."""
        RUNNING.remove(self)
        self.process.send_signal(signal.SIGTERM)
        return self.process.communicate(timeout=30)[0].split()


class AppServer(Server):
    """`python app.py` as people start it; several may share a database."""

    def __init__(self, folder: Path, *options: str, cores: str = "0") -> None:
        command = [sys.executable, "app.py", "--port=0", "--throttle=false", "--logging=warning"]
        self.start(folder, [*command, *options], {}, cores)
        assert self.process.stdout
        self.url = self.process.stdout.readline().split()[-1].strip("/")
        self.body, self.kind = "title=Water+the+plants", "application/x-www-form-urlencoded"

    def share_session(self, other: Server) -> None:
        """Be used by the same user as another process."""
        self.headers, self.body, self.kind = other.headers, other.body, other.kind


class Peer(Server):
    """The same work by another framework: see `bench.peers`."""

    def __init__(self, folder: Path, name: str, shim: str) -> None:
        database = Path(tempfile.mkdtemp(dir=folder), "peer.db")
        peers.create_database(database)
        variables = {"DATABASE": str(database), **({"LD_PRELOAD": shim} if shim else {})}
        self.launch(folder, peers.COMMANDS[name], variables)
        self.headers = {"Authorization": f"Bearer {peers.TOKEN}"}
        self.body, self.kind = '{"title": "Water the plants"}', "application/json"
        answer = requests.get(f"{self.url}/api/todos", headers=self.headers, timeout=9)
        assert len(answer.json()) == 50

    def launch(self, folder: Path, command: list[str], variables: dict[str, str]) -> None:
        """Start it on a free port, and wait until it answers."""
        port = str(free_port())
        self.start(
            folder, [part.replace("PORT", port) for part in command], {"PORT": port} | variables
        )
        self.url = f"http://127.0.0.1:{port}"
        for _ in range(200):
            with suppress(requests.ConnectionError):
                requests.get(self.url, timeout=9)
                return
            time.sleep(0.05)
        raise RuntimeError(f"{command} doesn't start")


def compare(
    servers: dict[str, Server],
    path: "str | dict[Server, str]",
    method: str,
    clients: int = CLIENTS,
    their_path: str = "/api/todos",
) -> dict[str, tuple[float, ...]]:
    """Load each server in turn, there and back, and print the medians and their ratios.

    `path` may be one for each of some servers; the others get `their_path` then.
    """
    paths = path if isinstance(path, dict) else dict.fromkeys(servers.values(), path)
    taken: dict[str, list[tuple[float, ...]]] = {name: [] for name in servers}
    for turn in range(ROUNDS):
        for name in list(servers)[:: -1 if turn % 2 else 1]:
            server = servers[name]
            taken[name].append(server.load(paths.get(server, their_path), method, clients))
    medians = {
        name: tuple(statistics.median(column) for column in zip(*rounds, strict=True))
        for name, rounds in taken.items()
    }
    first = next(iter(medians.values()))
    for name, (rate, cpu, p99) in medians.items():
        ratios = f"{rate / first[0]:5.2f} of the first ({first[1] / cpu:.2f} by CPU)"
        print(f"  {name:24}{rate:8.0f}/s {cpu:6.0f} us {p99:7.1f} ms p99   {ratios}", flush=True)
    return medians


def slow_disk(folder: Path) -> str:
    """Return a library that makes each fsync 2 ms slower when it is preloaded."""
    shim, source = str(folder / "slow_disk.so"), str(HERE / "slow_disk.c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-O2", "-o", shim, source, "-ldl"], check=True)
    return shim
