"""Measure what accounts cost: sixteen logins at once for everyone else, and a session a request."""

import asyncio
import os
import statistics
import time
from pathlib import Path

import requests
from tornado.httpclient import AsyncHTTPClient, HTTPRequest

from bench.servers import Server, xsrf_token

LOGINS, PACE, SECONDS, ROUNDS = 16, 100, 8, 3  # at once; pages a second


async def times(server: Server, logins: int) -> list[float]:
    """Return how long pages take, in ms, while so many people log in again and again."""
    client = AsyncHTTPClient(max_clients=200, force_instance=True)
    end, taken = time.monotonic() + SECONDS, []

    async def load() -> None:
        begun = time.perf_counter()
        await client.fetch(HTTPRequest(f"{server.url}/lists/1", headers=server.headers))
        taken.append(1000 * (time.perf_counter() - begun))

    async def log_in() -> None:
        while time.monotonic() < end:
            token = server.body.partition("&")[2]
            body = f"username=bob&password=three+quiet+otters&{token}"
            request = HTTPRequest(
                f"{server.url}/login",
                method="POST",
                headers=server.without_session(),
                body=body,
                follow_redirects=False,
            )
            await client.fetch(request, raise_error=False)

    people = [asyncio.create_task(log_in()) for _ in range(logins)]
    loading = []
    while time.monotonic() < end:
        loading.append(asyncio.create_task(load()))
        await asyncio.sleep(1 / PACE)
    await asyncio.gather(*people, *loading)
    return sorted(taken)


def measure(folder: Path) -> None:
    """Take the measures."""
    app = Server(folder, "app", str(folder / "accounts.db"))
    app.sign_up()
    with (
        requests.Session() as http
    ):  # another user logs in, as the fiftieth session of one ends the first
        http.get(f"{app.url}/login")
        account = {"username": "bob", "password": "three quiet otters"}
        http.post(f"{app.url}/signup", account | {"_xsrf": xsrf_token(http)})
    os.sched_setaffinity(app.process.pid, range(os.cpu_count() or 1))
    print(f"{LOGINS} logins at once, and {PACE} pages a second beside them")
    p99s: dict[int, list[float]] = {0: [], LOGINS: []}
    for _ in range(ROUNDS):
        for logins, found in p99s.items():
            taken = asyncio.run(times(app, logins))
            found.append(taken[int(len(taken) * 0.99)])
    idle, busy = (statistics.median(found) for found in p99s.values())
    print(
        f"  p99 of a page: {idle:.1f} ms alone, {busy:.1f} ms beside: {busy / idle:.1f} times (< 3)"
    )
    os.sched_setaffinity(app.process.pid, {0})
    costs: dict[str, list[float]] = {"with": [], "without": []}
    headers = {"with": app.headers, "without": app.without_session()}
    for turn in range(2 * ROUNDS):
        for name in list(costs)[:: -1 if turn % 2 else 1]:
            app.headers = headers[name]
            costs[name].append(app.load("/nothing", "GET")[1])
    more = statistics.median(costs["with"]) - statistics.median(costs["without"])
    print(f"  a session costs {more:.0f} us of CPU a request (<= 30)")
    app.stop()
