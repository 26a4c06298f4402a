"""Health: whether the server answers, what it counts, what blocks its event loop."""

import asyncio
import logging
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import requests
from prometheus_client import generate_latest

from app import App
from checks.support.servers import ROOT, Server, numbers
from checks.support.visitors import Visitor
from checks.support.waiting import wait
from config import Config
from controllers import base
from server import start as start_server
from server import stop as stop_server
from services.app_base import BaseApp
from services.metrics import Metrics


@pytest.mark.sqlite
def test_healthy(start: Callable[..., Server]) -> None:
    """While the database can be read and written; a lock by another program is a 503 at once."""
    server = start()
    answer = requests.get(f"{server.url}/healthz", timeout=9)
    assert answer.status_code == 200 and answer.text == "ok\n"
    assert requests.head(f"{server.url}/healthz", timeout=9).status_code == 200
    server.expected += ["/healthz"]
    with closing(sqlite3.connect(server.database)) as other:
        other.execute("BEGIN IMMEDIATE")
        asked = [f"{server.url}/healthz"] * 5
        with ThreadPoolExecutor(5) as several:
            ill = [*several.map(lambda url: requests.get(url, timeout=20), asked)]
        assert [answer.status_code for answer in ill] == [503] * 5
        assert all(answer.headers["Retry-After"] for answer in ill)
    lines = [line for line in server.log.read_text().splitlines() if "/healthz" in line]
    assert 1 <= len(lines) <= 2  # each reason once a minute
    assert requests.get(f"{server.url}/healthz", timeout=9).status_code == 200
    server.stop()


def test_what_is_counted(start: Callable[..., Server]) -> None:
    """Answers, how long they took, log-ins, commits; in Prometheus' own format."""
    server = start()
    ann = Visitor(server, "ann")
    ann.sign_up()
    ann.add("milk")
    ann.log_in(password="wrong")
    told = requests.get(f"{server.url}/metrics", timeout=9)
    assert told.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    found = numbers(told.text)
    assert found['requests_total{method="POST",status="303"}'] == 2
    assert found['events_total{kind="log-in",result="wrong"}'] == 1
    assert found["request_seconds_count"] == found['request_seconds_bucket{le="+Inf"}'] > 3
    assert found["writer_batch"] >= 1 and found["writer_queue"] == 0 and found["sockets"] == 0
    assert found["loop_late_seconds_count"] > 0
    server.stop()


FORWARDED = (
    ("X-Forwarded-For", "203.0.113.9"),
    ("X-Forwarded-For", "127.0.0.1"),
    ("X-Forwarded-For", "unknown"),
    ("X-Forwarded-For", "203.0.113.9:1234"),
    ("X-Forwarded-Proto", "https"),
    ("X-Real-IP", "127.0.0.1"),
    ("Forwarded", "for=203.0.113.9"),
    ("Via", "1.1 proxy"),
)


def test_who_may_see_it(start: Callable[..., Server]) -> None:
    """This machine, and who has the token; nobody who comes through a proxy."""
    server = start("--trusted_proxies=127.0.0.1", "--metrics_token=a long secret")
    url, far = f"{server.url}/metrics", {"X-Forwarded-For": "203.0.113.9"}
    assert requests.get(url, timeout=9).status_code == 200
    for name, value in FORWARDED:
        headers = {name: value}
        assert requests.get(url, headers=headers, timeout=9).status_code == 403, headers
        health = requests.get(f"{server.url}/healthz", headers=headers, timeout=9)
        assert (health.status_code, health.text) == (200, "ok\n")  # which says so to anyone
    for token, status in (("a long secret", 200), ("another", 403), ("", 403)):
        headers = far | {"Authorization": f"Bearer {token}"}
        assert requests.get(url, headers=headers, timeout=9).status_code == status
    server.stop()
    untold = start()
    for name, value in FORWARDED:
        answer = requests.get(f"{untold.url}/metrics", headers={name: value}, timeout=9)
        assert answer.status_code == 403, name


def test_lines_of_the_log_are_short(start: Callable[..., Server]) -> None:
    """However long a method, a path or a name is, and whatever a proxy says."""
    server = start("--logging=info")
    ann = Visitor(server, "ann")
    ann.log_in(username="n" * 300_000)
    long = "é" * 700
    ann.http.request("M" * 20_000, f"{server.url}/{long}", headers={"X-Forwarded-For": "f" * 3_000})
    ann.http.get(f"{server.url}/join/{long}", headers={"Host": "h" * 9_000})
    lines = server.log.read_text().splitlines()
    assert len(lines) > 3 and max(map(len, lines)) < 2_500
    server.expected += ["[I ", "[W "]
    server.stop()


def fake_app() -> Any:
    """Return what Metrics needs of an App."""
    app = SimpleNamespace(
        hub=SimpleNamespace(sockets=[]),
        store=SimpleNamespace(waiting=lambda: 0, groups=[]),
        hash_pool=SimpleNamespace(waiting=0),
        active_requests=SimpleNamespace(requests=[]),
    )
    metrics = Metrics(cast(BaseApp, app))
    app.service = lambda kind: metrics
    return app


def shown(metrics: Metrics) -> dict[str, float]:
    """Return what /metrics shows."""
    return numbers(generate_latest(metrics.registry).decode())


def test_buckets() -> None:
    """Each counts what took that long or less."""
    metrics = fake_app().service(Metrics)
    for seconds in (0.0005, 0.001, 0.3, 60):
        metrics.latency.observe(seconds)
    buckets = shown(metrics)
    bucket = 'request_seconds_bucket{{le="{}"}}'.format
    assert buckets[bucket("0.001")] == 2 and buckets[bucket("0.25")] == 2
    assert buckets[bucket("0.5")] == 3 and buckets[bucket("+Inf")] == 4
    assert buckets["request_seconds_count"] == 4


def test_methods_that_nobody_has() -> None:
    """Are one label: who asks can't fill the memory with names of their own."""
    metrics = fake_app().service(Metrics)
    for method in ("GET", "BREW", "x" * 1000, "get"):
        request = SimpleNamespace(method=method, request_time=lambda: 0.0)
        metrics.count_request(SimpleNamespace(request=request, get_status=lambda: 405))
    found = shown(metrics)
    assert {name: n for name, n in found.items() if name.startswith("requests")} == {
        'requests_total{method="GET",status="405"}': 1,
        'requests_total{method="other",status="405"}': 3,
    }


def test_what_holds_the_loop(caplog: pytest.LogCaptureFixture) -> None:
    """Is logged with its name, once, while it still holds it; and counted."""
    app = fake_app()

    def sit_on_the_loop() -> None:
        time.sleep(0.4)

    async def scene() -> None:
        monitor = app.service(Metrics)
        await monitor.open()
        await asyncio.sleep(0.01)
        sit_on_the_loop()
        await asyncio.sleep(0.1)
        await monitor.close()

    with caplog.at_level(logging.WARNING):
        asyncio.run(scene())
    held = [record.getMessage() for record in caplog.records if "blocked" in record.getMessage()]
    assert len(held) == 1 and "sit_on_the_loop" in held[0]
    found = shown(app.service(Metrics))
    late = 'loop_late_seconds_bucket{{le="{}"}}'.format
    assert found[late("+Inf")] - found[late("0.1")] >= 1


def backup(database: Path, target: Path) -> "subprocess.CompletedProcess[str]":
    """Copy a database as an operator does."""
    command = [sys.executable, "app.py", f"--database={database}", f"--backup={target}"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.sqlite
def test_a_backup_comes_back(start: Callable[..., Server], tmp_path: Path) -> None:
    """Made while people write; nothing that was acknowledged before is missing in it."""
    server = start()
    ann = Visitor(server, "ann")
    ann.sign_up()
    ann.add("before")
    writing = threading.Thread(target=lambda: ann.add(*map(str, range(200))))
    writing.start()
    copy = tmp_path / "copy.db"
    done = backup(server.database, copy)
    writing.join()
    assert done.returncode == 0, done.stderr
    assert copy.stat().st_mode & 0o077 == 0
    refused = backup(server.database, copy)
    assert refused.returncode == 2 and "already exists" in refused.stderr
    assert backup(tmp_path / "none.db", tmp_path / "x.db").returncode == 2
    assert backup(server.database, tmp_path / "no folder/x.db").returncode == 2
    folder = tmp_path / "restored"
    folder.mkdir()
    shutil.copy(server.database, folder / "people.db")
    server.stop()
    restore = ["make", "-f", str(ROOT / "Makefile"), "-C", str(folder), "restore", f"FILE={copy}"]
    restore.append(f"BIN={Path(sys.executable).parent}")
    subprocess.run(restore, check=True, capture_output=True)
    assert len(list(folder.glob("people.db.before-*"))) == 1
    restored = Visitor(start(database=folder / "people.db"), "ann")
    restored.name = ann.name
    restored.log_in()
    restored.list = ann.list
    titles = [row.title for row in restored.rows()]
    assert titles[0] == "before" and titles[1:] == [str(n) for n in range(len(titles) - 1)]
    busy = subprocess.run(restore, check=False, capture_output=True, text=True)
    assert busy.returncode != 0 and "First stop" in busy.stdout


def test_too_many_connections(tmp_path: Path) -> None:
    """Some file descriptors are spared: who came before is served, and the database works."""
    limit = f"ulimit -n 150; exec {sys.executable} app.py --port=0 --throttle=false"
    command = ["sh", "-c", f"{limit} --database={tmp_path / 'people.db'} --logging=warning"]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout and process.stderr
        url = process.stdout.readline().rpartition(" ")[2].strip().rstrip("/")
        port = int(url.rpartition(":")[2])
        server: Any = SimpleNamespace(url=url)
        ann = Visitor(server, "ann")
        assert ann.sign_up().status_code == 303
        crowd = [socket.create_connection(("127.0.0.1", port), timeout=9) for _ in range(200)]
        ann.add("while they stand there")  # by a connection of before
        ended = [one for one in crowd if gone(one)]
        assert 100 < len(ended) < 200
        for one in crowd:
            one.close()
        ann.http.close()
        wait(lambda: healthy(url))
        process.terminate()
        said = process.stderr.read().splitlines()
        assert [line for line in said if "event loop was blocked" not in line] == []
        assert process.wait(15) == 0


def gone(one: socket.socket) -> bool:
    """Say whether the other side has closed a connection."""
    one.settimeout(0.05)
    try:
        return one.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionResetError:
        return True


def healthy(url: str) -> bool:
    """Say whether the server answers."""
    try:
        return requests.get(f"{url}/healthz", timeout=9).status_code == 200
    except requests.ConnectionError:
        return False


def test_who_does_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is cut off: neither a long answer nor a stream is kept for them for ever."""
    monkeypatch.setattr(base, "READ_WITHIN", 0.2)
    monkeypatch.setattr(base, "SLOWEST", 10**9)

    async def scene() -> None:
        app = App(Config(port=0, database=str(tmp_path / "people.db"), throttle=False))
        running = await start_server(app)
        server = SimpleNamespace(url=f"http://127.0.0.1:{running.port}")
        ann = Visitor(server, "ann")  # type: ignore[arg-type]
        await asyncio.to_thread(ann.sign_up)
        lines = "\n".join(["x" * 990] * 1000)
        for _ in range(4):
            await asyncio.to_thread(lambda: ann.post(f"/lists/{ann.list}", lines=lines))
        cookies = "; ".join(f"{c.name}={c.value}" for c in ann.http.cookies)
        with socket.socket() as lazy:
            lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            lazy.connect(("127.0.0.1", running.port))
            asked = f"GET /lists/{ann.list}.json HTTP/1.1\r\nHost: x\r\nCookie: {cookies}\r\n\r\n"
            lazy.sendall(asked.encode())
            while not app.active_requests.requests:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            async with asyncio.timeout(10):
                while app.active_requests.requests:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        await stop_server(running)

    asyncio.run(scene())
