"""Several processes on one database, behind nginx: to everyone they are one server."""

import asyncio
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import Any

import pytest

from checks.support.nginx import Several, place_of
from checks.support.programs import Program
from checks.support.servers import OPTIONS, Server, inside
from checks.support.sockets import Socket, aside, hear, play
from checks.support.visitors import Visitor, at, version
from checks.support.waiting import PATIENCE, until

pytestmark = pytest.mark.engine


async def ended(watching: Socket) -> int | None:
    """Listen until the socket is closed; return the code."""
    async with asyncio.timeout(PATIENCE):
        while await watching.hear() is not None:
            pass
    return watching.connection.close_code


async def watch(visitor: Visitor, *servers: Any, stack: AsyncExitStack) -> list[Socket]:
    """Return someone's sockets at several servers, which watch the list."""
    sockets = [Socket(at(visitor, server), Origin=server.url) for server in servers]
    for each in sockets:
        await stack.enter_async_context(each)
        assert (await each.watch(visitor.list))["type"] == "watching"
    return sockets


def test_every_process_tells_what_any_has_stored(several: Several) -> None:
    """By sockets at each and through nginx, and by a stream through nginx, at once."""
    servers, front, ann, bob = several
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


def test_who_comes_is_passed_on(several: Several) -> None:
    """It is the browser's address that is noted, whatever the browser says it is."""
    far: Any = at(several.ann, several.front)
    far.http.get_adapter(far.server.url).init_poolmanager(1, 1, source_address=("127.0.0.9", 0))
    far.http.headers["X-Forwarded-For"] = "203.0.113.7"
    assert far.log_in().status_code == 303
    with inside(several.servers[0].database) as run:
        noted = run("SELECT address FROM session ORDER BY id")
    assert noted == [("127.0.0.1",), ("127.0.0.9",)]  # Bob's, and Ann's that has taken the place


def test_two_people_at_once(several: Several) -> None:
    """Fifty todos added and ticked by turns: nothing is lost, all see the same, in order."""
    servers, front, ann, bob = several
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
    assert all(at(each, server).rows() == rows for each in (ann, bob) for server in servers)
    assert len(rows) == 50 and all(row.completed for row in rows)
    for each in (ann, bob):
        mine = [row.title for row in rows if row.title.startswith(each.name)]
        assert mine == [f"{each.name} {number}" for number in range(25)]
    changes = Program(front, ann.name).get(f"/lists/{ann.list}/changes").json()
    assert [change["version"] for change in changes] == [*range(1, before + 101)]


def test_who_is_removed_hears_it_everywhere(several: Several) -> None:
    """And comes in nowhere; who stays, stays."""
    servers, front, ann, bob = several

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


def test_who_logs_out_is_out_everywhere(several: Several) -> None:
    """All sockets of the session end, with a code that says why; others stay."""
    servers, front, ann, bob = several

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


def test_a_repeat_is_known_everywhere(several: Several) -> None:
    """What comes to several processes with one `op`, one after another or at once, is done once."""
    servers, _, ann, _ = several
    now, page = version(ann), f"/lists/{ann.list}"
    windows = [at(ann, server) for server in servers]
    for title, workers in (("milk", 1), ("bread", 4)):
        fields = {"title": title, "op": str(uuid.uuid4())}
        with ThreadPoolExecutor(workers) as pool:
            answers = [
                *pool.map(lambda window, form=fields: window.post(page, **form), windows * 3)
            ]
        assert {(a.status_code, a.headers["Location"]) for a in answers} == {(303, page)}
    assert [row.title for row in ann.rows()] == ["milk", "bread"]
    assert version(ann) == now + 2


def test_a_process_dies(several: Several, start: Callable[..., Server]) -> None:
    """The others take its company, and what it was sent can be sent again; then it comes back."""
    servers, front, ann, bob = several
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
