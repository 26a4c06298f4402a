"""Measure by how much a process grows in an hour of load: pages, added todos, log-ins, windows.

HOUR says how many seconds that is, 3600 if nothing else; the first twelfth of it warms up.
"""

import os
import time
from contextlib import ExitStack
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from urllib.parse import urlencode

import requests

from bench.live import SocketHolder
from bench.servers import LISTS, AppServer, xsrf_token
from bench.table import TABLE

HOUR = int(os.environ.get("HOUR", "3600"))
RATE, WINDOWS, TURN = 20, 50, 100  # requests a second; requests of a turn


def turn(app: AppServer, http: requests.Session, number: int) -> None:
    """Look at pages, add todos, clear a list, so that none grows for ever, and log in once."""
    begun = time.monotonic()

    def send(place: str, headers: dict[str, str], form: str) -> None:
        headers = headers | {"Content-Type": app.kind}
        url = app.url + place
        answer = http.post(url, form, headers=headers, allow_redirects=False, timeout=9)
        assert answer.status_code == 303, answer.text

    for each in range(TURN):
        place = f"/lists/{2 + (number * TURN + each) % LISTS}"
        if each % 5:
            assert http.get(app.url + place, headers=app.headers, timeout=9).status_code == 200
        else:
            send(place, app.headers, app.body)
        time.sleep(max(0, begun + (each + 1) / RATE - time.monotonic()))
    place = f"/lists/{2 + number % LISTS}"
    send(f"{place}/toggle-all", app.headers, f"{app.body}&completed=true")
    send(f"{place}/clear-completed", app.headers, app.body)
    token = app.body.rpartition("_xsrf=")[2]
    form = f"{urlencode({'username': 'bob', 'password': 'three quiet otters'})}&_xsrf={token}"
    send("/login", app.without_session(), form)


def measure(folder: Path) -> None:
    """Take the measure."""
    app = AppServer(folder, f"--database={folder}/growth.db", "--fetch_titles=false")
    app.sign_up()
    with requests.Session() as other:
        other.get(f"{app.url}/login")
        account = {"username": "bob", "password": "three quiet otters"}
        other.post(f"{app.url}/signup", account | {"_xsrf": xsrf_token(other)})
    sizes: list[int] = []
    begun = time.monotonic()
    # Cookies of answers must not take the place of those that are sent.
    with ExitStack() as ending, requests.Session() as http:
        http.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        number = 0
        while time.monotonic() < begun + HOUR:
            sockets = SocketHolder(app, WINDOWS, ending)
            for _ in range(10):
                turn(app, http, number)
                number += 1
            sockets.close()
            if time.monotonic() > begun + HOUR / 12:
                sizes.append(app.memory())
    first, last = sizes[0], sizes[-1]
    print(f"{number * TURN} requests in {HOUR} s, {WINDOWS} windows that come and go")
    print(f"  {first / 1024:.1f} MiB resident after a twelfth of it, {last / 1024:.1f} at the end")
    print(f"  it grew by {100 * (last / first - 1):.1f} % (< 5)")
    TABLE.sizes(f"memory after {HOUR} s of load", last, {"5 % more": 1.05 * first}, {"5 % more": 1})
    app.stop()
