"""Several processes on one database, behind nginx: to everyone they are one house."""

import asyncio
import os
import pwd
import re
import shutil
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, closing, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from checks.support.cast import CLUSTERS, ROOT, Server, Visitor, inside
from checks.test_api import Program
from checks.test_live import Socket, aside, play, version
from checks.test_sharing import join
from models import migrations

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
PATIENCE = 60  # seconds; nothing here takes as long unless it is broken
OPTIONS = ("--trusted_proxies=127.0.0.1", "--throttle=false")
AROUND = """
daemon off;
pid %(pid)s;
%(user)s
worker_rlimit_nofile 16384;
events { worker_connections 8192; }
http {
    access_log off;
    types { text/css css; text/javascript js; image/svg+xml svg; image/png png; }
    %(folders)s
    %(site)s
}
"""


def free_port() -> int:
    """Return a port that nothing listens on."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        return int(free.getsockname()[1])


def site(port: int, plain: int, servers: list[Server], certificate: Path | None) -> str:
    """Return deploy/nginx.conf as it is, but for what is another machine's."""
    text = (ROOT / "deploy/nginx.conf").read_text()
    own, others = re.subn(r"    server 127\.0\.0\.1:900\d max_fails=0;\n", "", text)
    assert others == 4
    named = "".join(f"    server {place_of(each)} max_fails=0;\n" for each in servers)
    own = own.replace("upstream afazeres {\n", "upstream afazeres {\n" + named)
    own = own.replace("/srv/afazeres/", f"{ROOT}/")
    tls = " ssl http2" if certificate else ""
    own = own.replace("listen 443 ssl http2;", f"listen 127.0.0.1:{port}{tls};")
    own = own.replace("listen 80;", f"listen 127.0.0.1:{plain};")
    own = re.sub(r"(ssl_certificate_key) .*;", rf"\1 {certificate}.key;" if tls else "", own)
    own = re.sub(r"(ssl_certificate) .*;", rf"\1 {certificate};" if tls else "", own)
    return own.replace("server_tokens off;", "add_header Answered-By $upstream_addr always;")


def until(true: Callable[..., object], *args: Any) -> None:
    """Wait until something is true."""
    end = time.monotonic() + PATIENCE
    while not true(*args):
        assert time.monotonic() < end
        time.sleep(0.02)


def place_of(server: Any) -> str:
    """Return where something listens, as nginx writes it: 127.0.0.1:8888."""
    return str(server.url).removeprefix("http://")


class Nginx:
    """nginx, which takes each request to the next of several processes."""

    def __init__(
        self,
        folder: Path,
        servers: list[Server],
        certificate: Path | None = None,
        connections: int = 200,
    ) -> None:
        folder.mkdir()
        self.port, self.plain = free_port(), free_port()
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        values = {
            "pid": folder / "pid",
            "folders": " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds),
            "site": site(self.port, self.plain, servers, certificate).replace(
                "limit_conn addresses 200;", f"limit_conn addresses {connections};"
            ),
            # Started by root, its workers would be someone else.
            "user": f"user {pwd.getpwuid(0).pw_name};" if os.geteuid() == 0 else "",
        }
        config, self.log = folder / "nginx.conf", folder / "log"
        config.write_text(AROUND % values)
        self.url = f"http://127.0.0.1:{self.port}"
        self.expected = "nothing"
        command = [str(NGINX), "-p", str(folder), "-c", str(config), "-e", str(self.log)]
        self.process = subprocess.Popen(command)

    def listens(self) -> bool:
        """Say whether it is there already."""
        assert self.process.poll() is None, self.log.read_text()
        with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", self.port)):
            return True
        return False

    def stop(self) -> None:
        """End it, and find that it complained of nothing unexpected."""
        self.process.terminate()
        assert self.process.wait(PATIENCE) == 0
        unexpected = [x for x in self.log.read_text().splitlines() if self.expected not in x]
        assert unexpected == []


class House(NamedTuple):
    """Four processes, nginx before them, and two people who come through it to one list."""

    servers: list[Server]
    front: Any
    ann: Visitor
    bob: Visitor


def at(visitor: Visitor, server: Any) -> Visitor:
    """Return the same person, in the same session, at another door."""
    same = Visitor(server, "")
    same.name = visitor.name
    same.http.cookies.update(visitor.http.cookies)
    same.http.headers["Origin"] = server.url
    if hasattr(visitor, "list"):
        same.list = visitor.list
    return same


@pytest.fixture
def house(start: Callable[..., Server], tmp_path: Path) -> Iterator[House]:
    """Open it, with one list that Ann owns and Bob may change; close all of it well."""
    if NGINX is None:
        pytest.skip("no nginx found: apt install nginx")
    if not CLUSTERS and migrations.SqliteDatabase.server_version < migrations.SHARED_SINCE:
        pytest.skip("this SQLite can't be shared: pip install pysqlite3, where it has a wheel")
    with ThreadPoolExecutor(4) as pool:
        servers = [*pool.map(lambda _: start(*OPTIONS), range(4))]
    front: Any = Nginx(tmp_path / "nginx", servers)
    try:
        until(front.listens)
        ann, bob = (at(Visitor(front, name), front) for name in ("ann", "bob"))
        for each in (ann, bob):
            assert each.sign_up().status_code == 303
        assert join(ann, bob) == 303
        bob.list = ann.list
        yield House(servers, front, ann, bob)
        front.stop()
        with ThreadPoolExecutor(4) as pool:
            [*pool.map(Server.stop, servers)]
    finally:
        front.process.terminate()  # killed, it would leave its workers behind
        front.process.wait()


async def hear(watching: Socket, **wanted: Any) -> None:
    """Listen until this is said; versions only rise until then."""
    last = 0
    async with asyncio.timeout(PATIENCE):
        while True:
            message = await watching.hear()
            assert message is not None, watching.connection.close_code
            assert message.get("version", last) >= last
            last = message.get("version", last)
            if wanted.items() <= message.items():
                return


async def ended(watching: Socket) -> int | None:
    """Listen until the socket is closed; return the code."""
    async with asyncio.timeout(PATIENCE):
        while await watching.hear() is not None:
            pass
    return watching.connection.close_code


async def watch(visitor: Visitor, *doors: Any, stack: AsyncExitStack) -> list[Socket]:
    """Return someone's sockets at several doors, which watch the list."""
    sockets = [Socket(at(visitor, door), Origin=door.url) for door in doors]
    for each in sockets:
        await stack.enter_async_context(each)
        assert (await each.watch(visitor.list))["type"] == "watching"
    return sockets


def test_every_process_tells_what_any_has_stored(house: House) -> None:
    """By sockets at each and through nginx, and by a stream through nginx, at once."""
    servers, front, ann, bob = house
    now = version(ann)
    stream = f"{front.url}/live/events?list={ann.list}&version={now}"

    async def scene() -> None:
        async with AsyncExitStack() as stack:
            sockets = await watch(ann, *servers, front, stack=stack)
            answer = stack.enter_context(ann.http.get(stream, stream=True, timeout=PATIENCE))
            lines = (line.decode() for line in answer.iter_lines(chunk_size=1))
            for number, server in enumerate(servers, now + 1):
                await aside(at(bob, server).add, f"{number}")
                for each in sockets:
                    await hear(each, type="changed", list=ann.list, version=number)
                while await aside(next, lines) != f"id: {number}":
                    pass

    play(scene)


def test_who_comes_is_passed_on(house: House) -> None:
    """It is the browser's address that is noted, whatever the browser says it is."""
    far: Any = at(house.ann, house.front)
    far.http.get_adapter(far.server.url).init_poolmanager(1, 1, source_address=("127.0.0.9", 0))
    far.http.headers["X-Forwarded-For"] = "203.0.113.7"
    assert far.log_in().status_code == 303
    with inside(house.servers[0].database) as run:
        noted = run("SELECT address FROM session ORDER BY id")
    assert noted == [("127.0.0.1",), ("127.0.0.9",)]  # Bob's, and Ann's that has taken the place


def test_two_people_at_once(house: House) -> None:
    """Fifty todos added and ticked by turns: nothing is lost, all see the same, in order."""
    servers, front, ann, bob = house
    before = version(ann)
    asked: set[str] = set()

    def work(visitor: Visitor) -> None:
        page = f"/lists/{visitor.list}"
        for number in range(25):
            title = f"{visitor.name} {number}"
            added = visitor.post(page, title=title)
            ticked = visitor.post(f"/todos/{visitor.find(title)}/complete")
            assert added.status_code == ticked.status_code == 303
            asked.update(answer.headers["Answered-By"] for answer in (added, ticked))

    async def scene() -> None:
        async with AsyncExitStack() as stack:
            sockets = await watch(ann, *[front] * 4, stack=stack)
            sockets += await watch(bob, *[front] * 4, stack=stack)
            hearing = [hear(each, type="changed", version=before + 100) for each in sockets]
            await asyncio.gather(aside(work, ann), aside(work, bob), *hearing)

    play(scene)
    assert asked == {place_of(server) for server in servers}
    rows = ann.rows()
    assert all(at(each, door).rows() == rows for each in (ann, bob) for door in servers)
    assert len(rows) == 50 and all(row.completed for row in rows)
    for each in (ann, bob):
        mine = [row.title for row in rows if row.title.startswith(each.name)]
        assert mine == [f"{each.name} {number}" for number in range(25)]
    changes = Program(front, ann.name).get(f"/lists/{ann.list}/changes").json()
    assert [change["version"] for change in changes] == [*range(1, before + 101)]


def test_who_is_removed_hears_it_everywhere(house: House) -> None:
    """And comes in nowhere; who stays, stays."""
    servers, front, ann, bob = house

    async def scene() -> None:
        async with AsyncExitStack() as stack:
            theirs = await watch(bob, *servers, front, stack=stack)
            mine = await watch(ann, *servers, front, stack=stack)
            removing = f"/lists/{ann.list}/members/{bob.name}/remove"
            assert (await aside(at(ann, servers[0]).post, removing)).status_code == 303
            now = version(ann)
            for each in theirs:
                await hear(each, type="gone", list=ann.list)
                await each.say(type="watch", list=ann.list, version=now)
                await hear(each, type="error", list=ann.list, status=404)
            for each in mine:
                await hear(each, type="changed", version=now)

    play(scene)
    assert {at(bob, s).get(f"/lists/{ann.list}").status_code for s in servers} == {404}


def test_who_logs_out_is_out_everywhere(house: House) -> None:
    """All sockets of the session end, with a code that says why; others stay."""
    servers, front, ann, bob = house

    async def scene() -> None:
        async with AsyncExitStack() as stack:
            mine = await watch(ann, *servers, front, stack=stack)
            theirs = await watch(bob, *servers, front, stack=stack)
            assert (await aside(at(ann, servers[0]).post, "/logout")).status_code == 303
            assert [await ended(each) for each in mine] == [4401] * 5
            await aside(bob.add, "milk")
            for each in theirs:
                await hear(each, type="changed", version=version(bob))

    play(scene)
    for server in servers:
        assert at(ann, server).get(f"/lists/{ann.list}").status_code == 302


def test_a_repeat_is_known_everywhere(house: House) -> None:
    """What comes to several processes with one `op`, one after another or at once, is done once."""
    servers, _, ann, _ = house
    now, page = version(ann), f"/lists/{ann.list}"
    doors = [at(ann, server) for server in servers]
    for title, workers in (("milk", 1), ("bread", 4)):
        fields = {"title": title, "op": str(uuid.uuid4())}
        with ThreadPoolExecutor(workers) as pool:
            answers = [*pool.map(lambda door, form=fields: door.post(page, **form), doors * 3)]
        assert {(a.status_code, a.headers["Location"]) for a in answers} == {(303, page)}
    assert [row.title for row in ann.rows()] == ["milk", "bread"]
    assert version(ann) == now + 2


def test_a_process_dies(house: House, start: Callable[..., Server]) -> None:
    """The others take its company, and what it was sent can be sent again; then it comes back."""
    servers, front, ann, bob = house
    front.expected = "upstream"
    page = f"/lists/{ann.list}"
    place, titles, enough = "", [], threading.Event()

    def sent(form: dict[str, str]) -> bool:
        return bob.post(page, **form).status_code == 303

    def add() -> None:
        while not enough.is_set():
            titles.append(f"{len(titles)}")
            until(sent, {"title": titles[-1], "op": str(uuid.uuid4())})

    def passed_on() -> bool:
        answer = ann.get(page)
        assert answer.status_code == 200
        return answer.headers["Answered-By"].startswith(f"{place}, ")

    async def scene() -> None:
        nonlocal place
        async with AsyncExitStack() as stack:
            (mine,) = await watch(ann, front, stack=stack)
            place = mine.connection.headers["Answered-By"]
            number = [place_of(server) for server in servers].index(place)
            adding = asyncio.create_task(aside(add))
            await hear(mine, type="changed", list=ann.list)
            servers[number].process.kill()
            assert await ended(mine) is None
            await hear(*await watch(ann, front, stack=stack), type="changed", list=ann.list)
            enough.set()
            await adding
            await aside(until, passed_on)
            async with Socket(ann, Origin=front.url) as again:
                now = {"type": "watching", "list": ann.list, "version": version(ann)}
                assert await again.watch(ann.list) == now
                servers[number] = await aside(start, f"--port={place.split(':')[1]}", *OPTIONS)
                (there,) = await watch(ann, servers[number], stack=stack)
                await aside(bob.add, "back")
                for each in (again, there):
                    await hear(each, type="changed", version=now["version"] + 1)

    play(scene)
    until(lambda: ann.get(page).headers["Answered-By"] == place)
    assert [row.title for row in ann.rows()] == [*titles, "back"]
