"""News as they come: by socket, by stream, by poll; what hostile and broken clients get."""

import asyncio
import gc
import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import Mock

import pytest
import requests
from tornado.httpclient import HTTPClientError
from tornado.iostream import StreamClosedError

from checks.support.programs import Program
from checks.support.servers import Server
from checks.support.sockets import Socket, aside, play
from checks.support.visitors import Visitor, join, version
from checks.support.waiting import wait
from controllers.live import LiveHandler
from models.tables import Person
from services.hub import AT_ONCE, Hub, message
from services.subscriber import Subscriber

pytestmark = pytest.mark.engine


def test_a_change_is_told(ann: Visitor, cy: Visitor) -> None:
    """To every socket that watches the list, with its version; nothing to a stranger."""

    async def scene() -> None:
        async with Socket(ann) as one, Socket(ann) as two, Socket(cy) as other:
            now = version(ann)
            watching = {"type": "watching", "list": ann.list, "version": now}
            assert await one.watch(ann.list, now) == watching
            assert await two.watch(ann.list, 99) == watching
            refused = {"type": "error", "list": ann.list, "status": 404}
            assert await other.watch(ann.list) == refused
            await other.watch(cy.list)
            await aside(ann.add, "milk")
            changed = {"type": "changed", "list": ann.list, "version": now + 1}
            assert await one.hear() == await two.hear() == changed
            await one.say(type="unwatch", list=ann.list)
            await aside(ann.add, "bread")
            assert (await two.hear())["version"] == now + 2
            await aside(cy.add, "honey")
            assert (await other.hear())["list"] == cy.list
            assert (await one.watch(ann.list))["type"] == "watching"

    play(scene)


def test_many_changes_end_in_the_last(ann: Visitor) -> None:
    """However many come at once."""

    async def scene() -> None:
        async with Socket(ann) as socket:
            await socket.watch(ann.list)
            adding = [aside(ann.add, f"{number}") for number in range(30)]
            await asyncio.gather(*adding)
            last = await aside(version, ann)
            while (await socket.hear())["version"] != last:
                pass

    play(scene)


def test_other_processes_are_heard(start: Callable[..., Server]) -> None:
    """Of four on one file, each tells what any of them has stored."""
    servers = [start() for _ in range(4)]
    ann = Visitor(servers[0], "ann")
    ann.sign_up()
    others = []
    for server in servers[1:]:
        other = Visitor(server, ann.name)
        other.name, other.list = ann.name, ann.list
        other.log_in()
        others.append(other)

    async def scene() -> None:
        async with Socket(ann) as a, Socket(others[0]) as b, Socket(others[1]) as c:
            for socket in (a, b, c):
                await socket.watch(ann.list)
            for number, writer in enumerate((ann, *others), 2):
                await aside(writer.add, "milk")
                for socket in (a, b, c):
                    assert (await socket.hear())["version"] == number

    play(scene)
    for server in servers:
        server.stop()


def test_who_is_removed_hears_no_more(ann: Visitor, cy: Visitor) -> None:
    """At once, and so when the list is deleted."""
    program = Program(ann.server, ann.name)
    join(ann, cy, "viewer")

    async def scene() -> None:
        gone = {"type": "gone", "list": ann.list}
        async with Socket(cy) as other, Socket(ann) as mine:
            await other.watch(ann.list)
            await mine.watch(ann.list)
            await aside(program.delete, f"/lists/{ann.list}/members/{cy.name}")
            assert await other.hear() == gone
            assert (await mine.hear())["type"] == "changed"
            await aside(ann.add, "secret")
            assert (await mine.hear())["type"] == "changed"
            assert (await other.watch(ann.list))["status"] == 404
            await aside(ann.post, f"/lists/{ann.list}/delete")
            assert await mine.hear() == gone

    play(scene)


def test_who_knocks_is_not_here(ann: Visitor, cy: Visitor, server: Server) -> None:
    """Those of a list aren't told of a stranger who only asks for it."""
    bob = Visitor(server, "bob")
    bob.sign_up()
    assert join(ann, bob, "viewer") == 303

    async def scene() -> None:
        async with Socket(ann) as first, Socket(bob) as second:
            await first.watch(ann.list)
            for way in ("poll", "events"):
                answer = await aside(cy.get, f"/live/{way}?list={ann.list}&version=0")
                assert answer.status_code == 404
            await second.watch(ann.list)
            people: list[str] = []
            while bob.name not in people:
                people = (await first.hear("present"))["people"]
            assert sorted(people) == sorted([ann.name, bob.name])

    play(scene)


def test_a_session_that_ends_closes_its_sockets(ann: Visitor) -> None:
    """With a code of its own, so that the page goes to log in; others stay."""
    other = Visitor(ann.server, ann.name)
    other.name, other.list = ann.name, ann.list
    other.log_in()

    async def scene() -> None:
        async with Socket(ann) as socket, Socket(other) as stays:
            await socket.watch(ann.list)
            await stays.watch(ann.list)
            await aside(ann.post, "/logout")
            assert await socket.hear() is None
            assert socket.connection.close_code == 4401
            await aside(other.add, "milk")
            assert (await stays.hear())["type"] == "changed"

    play(scene)


def test_any_process_may_end_a_session(start: Callable[..., Server]) -> None:
    """The sockets and streams that others hold for it end, too."""
    here, there = start(), start()
    ann = Visitor(here, "ann")
    ann.sign_up()
    other = Visitor(there, ann.name)
    other.http.cookies.update(ann.http.cookies)

    async def scene() -> None:
        async with Socket(ann) as socket:
            await socket.watch(ann.list)
            poll = f"/live/poll?list={ann.list}&version={version(ann)}"
            waiting = asyncio.create_task(aside(ann.get, poll))
            await aside(other.post, "/logout")
            assert await socket.hear() is None
            assert socket.connection.close_code == 4401
            assert (await waiting).status_code in (200, 204, 401)

    play(scene)
    for server in (here, there):
        server.stop()


def test_who_may_not_come_in(ann: Visitor, nobody: Visitor) -> None:
    """401 without a session at all three transports, 403 from elsewhere."""
    asked = f"?list={ann.list}&version=1"
    for path in (f"/live/events{asked}", f"/live/poll{asked}"):
        assert nobody.get(path).status_code == 401
        for headers in ({"Origin": "https://elsewhere.example"}, {"Sec-Fetch-Site": "same-site"}):
            assert ann.get(path, headers=headers).status_code == 403
        assert ann.get(f"{path}&version=2").status_code == 400

    async def scene() -> None:
        for socket, status in (
            (Socket(nobody), 401),
            (Socket(ann, Origin="https://elsewhere.example"), 403),
            (Socket(ann, Origin="null"), 403),
        ):
            with pytest.raises(HTTPClientError) as refused:
                async with socket:
                    pass
            assert refused.value.code == status

    play(scene)
    assert ann.get("/live").status_code in (400, 426)


BAD = [
    *("", "x", "[]", "7", "{}", '{"type":"watch"}', '{"type":"watch","list":"7"}'),
    *('{"type":"watch","list":-1}', '{"type":"watch","list":true}', '{"type":"x","list":1}'),
    *('{"type":"watch","list":1,"version":"x"}', '{"type":"watch","list":1,"version":-1}'),
    *('{"type":"watch","list":1e99}', "[" * 50_000, b"\x00\xff"),
]


@pytest.mark.parametrize("text", BAD, ids=lambda text: repr(text)[:20])
def test_what_can_not_be_read(ann: Visitor, text: Any) -> None:
    """Is answered so, and the third time ends the socket, not the server."""

    async def scene() -> None:
        async with Socket(ann) as socket:
            for _ in range(3):
                await socket.connection.write_message(text, binary=isinstance(text, bytes))
                assert await socket.hear() == {"type": "error", "status": 400}
            assert await socket.hear() is None
            assert socket.connection.close_code == 1008

    play(scene)


def test_too_much(start: Callable[..., Server]) -> None:
    """Large messages, too many messages, too many sockets: only those are refused."""
    server = start("--throttle=true")
    ann, cy = Visitor(server, "ann"), Visitor(server, "cy")
    ann.sign_up()
    cy.sign_up()

    async def scene() -> None:
        async with Socket(cy) as socket:
            await socket.connection.write_message("x" * 70_000)
            assert await socket.hear() is None
        async with Socket(cy) as socket:
            for _ in range(200):
                await socket.say(type="unwatch", list=1)
            assert await socket.hear() is None
            assert socket.connection.close_code == 1008
        sockets = [Socket(ann) for _ in range(21)]
        for socket in sockets[:20]:
            await socket.__aenter__()
        with pytest.raises(HTTPClientError) as refused:
            await sockets[20].__aenter__()
        assert refused.value.code == 429
        for socket in sockets[:20]:
            await socket.__aexit__()

    play(scene)


def test_the_stream_and_the_poll(ann: Visitor) -> None:
    """The same messages; what differs is said at once, the rest as it comes."""
    now = version(ann)
    changed = {"type": "changed", "list": ann.list, "version": now}
    poll = f"/live/poll?list={ann.list}&version="
    assert ann.get(poll + "0").json() == [changed]
    assert ann.get(poll + "99").json() == [changed]

    async def scene() -> None:
        waiting = asyncio.create_task(aside(ann.get, poll + str(now)))
        other = Visitor(ann.server, ann.name)
        other.name, other.list = ann.name, ann.list
        await aside(other.log_in)
        await aside(other.add, "milk")
        assert (await waiting).json() == [changed | {"version": now + 1}]

    play(scene)
    url = f"{ann.server.url}/live/events?list={ann.list}&version={now}"
    with ann.http.get(url, stream=True, timeout=20) as answer:
        lines = (line.decode() for line in answer.iter_lines(chunk_size=1) if line)
        assert next(lines) == f"id: {now + 1}"
        assert json.loads(next(lines)[6:]) == changed | {"version": now + 1}
        Program(ann.server, ann.name).post("/todos", {"title": "bread"})
        assert next(lines) == f"id: {now + 2}"
    assert ann.http.head(url, timeout=5).status_code == 200
    last = {"Last-Event-ID": str(now + 2)}
    with ann.http.get(url, headers=last, stream=True, timeout=20) as answer:
        lines = (line.decode() for line in answer.iter_lines(chunk_size=1) if line)
        assert json.loads(next(lines)[6:]) == {"type": "alive"}
    for query in ("", f"list={ann.list}", f"list={ann.list}&version=x", "list=0&version=1"):
        assert ann.get(f"/live/poll?{query}").status_code == 400
    assert ann.get("/live/poll?list=999999&version=1").status_code == 404


def test_the_house_closes_with_company(start: Callable[..., Server]) -> None:
    """Sockets are told (1001), polls and streams end, and it takes no time."""
    server = start()
    ann = Visitor(server, "ann")
    ann.sign_up()

    async def scene() -> None:
        async with Socket(ann) as socket:
            await socket.watch(ann.list)
            poll = f"/live/poll?list={ann.list}&version={version(ann)}"
            waiting = asyncio.create_task(aside(ann.get, poll))
            closing = asyncio.create_task(aside(server.stop))
            assert await socket.hear() is None
            assert socket.connection.close_code == 1001
            with suppress(requests.ConnectionError):  # it may have come too late
                assert (await waiting).status_code == 204
            await closing

    play(scene)


def test_streams_count_with_sockets(start: Callable[..., Server]) -> None:
    """A person has twenty of all kinds together; who waits in another way doesn't get more."""
    server = start("--throttle=true")
    ann = Visitor(server, "ann")
    ann.sign_up()
    program = Program(server, ann.name)
    events = f"/live/events?list={ann.list}&version=0"
    changes = f"{server.url}/api/lists/{ann.list}/changes"
    accept = {"Accept": "text/event-stream"}

    def stream() -> requests.Response:
        return program.http.get(changes, headers=accept, stream=True, timeout=20)

    async def scene() -> None:
        sockets = [Socket(ann) for _ in range(18)]
        for socket in sockets:
            await socket.__aenter__()
        others = [await aside(ann.get, events, stream=True), await aside(stream)]
        assert [other.status_code for other in others] == [200, 200]
        with pytest.raises(HTTPClientError) as full:
            await Socket(ann).__aenter__()
        refused = [await aside(ann.get, events), await aside(stream)]
        refused.append(await aside(ann.get, events.replace("events", "poll")))
        assert [full.value.code, *(each.status_code for each in refused)] == [429] * 4
        assert all(each.headers["Retry-After"] for each in refused)
        for each in (*refused, others[0]):
            each.close()
        await aside(wait, lambda: ann.get(events.replace("events", "poll")).status_code == 200)
        others[1].close()
        for socket in sockets:
            await socket.__aexit__()

    play(scene)
    ann.http.close()
    program.http.close()
    server.stop()


def asker(hub: Hub, number: int) -> Any:
    """Return a handler of a request by the person of that id."""
    app = SimpleNamespace(hub=hub, config=SimpleNamespace(throttle=False))
    request = SimpleNamespace(remote_ip="127.0.0.1")
    return SimpleNamespace(app=app, current_user=Person(number, "ann"), request=request)


def test_one_broken_watcher_robs_nobody() -> None:
    """Whatever it raises; and who leaves while others are told is no trouble."""

    class Broken(Subscriber):
        def send(self, news: Any) -> None:
            raise ZeroDivisionError

    async def scene() -> None:
        hub: Any = Hub(cast(Any, None))
        handler = asker(hub, 1)
        watchers = [Broken(handler, 7), *(Subscriber(handler, 7) for _ in range(300))]
        hub.announce(7, 42, "todo")
        watchers[1].end()
        heard = await asyncio.gather(*(each.wait(5) for each in watchers[2:]))
        assert {news[0].fields["version"] for news in heard} == {42}
        assert watchers[1] not in hub.watchers[7]

    play(scene)


def test_a_fault_does_not_end_the_watch(caplog: pytest.LogCaptureFixture) -> None:
    """What goes wrong in one second is logged, and the next one is like any other."""
    hub = Hub(cast(Any, None))
    looks: list[bool] = []
    again = asyncio.Event()

    async def heartbeat(*, anyway: bool) -> None:
        looks.append(anyway)
        if len(looks) == 2:
            again.set()
        raise RuntimeError("on purpose")

    async def scene() -> None:
        hub.heartbeat = heartbeat  # type: ignore[method-assign]
        await hub.open()
        await asyncio.wait_for(again.wait(), 10)
        hub.close()

    play(scene)
    assert "The hub's heartbeat has failed" in caplog.text


class Reader:
    """Someone who notes what is sent to them, and when the event loop turned in between."""

    person = Person(1, "ann")
    key = "a session"

    def __init__(self, sent: list[str]) -> None:
        self.watched: dict[int, int] = {}
        self.sent = sent

    def send(self, news: Any) -> None:
        self.sent.append(news.kind)


def test_others_have_their_turn() -> None:
    """While many are told of a change, the event loop turns after some of them."""
    sent: list[str] = []

    async def scene() -> None:
        hub = Hub(cast(Any, None))
        for _ in range(10 * AT_ONCE):
            hub.subscribe(cast(Any, Reader(sent)), 7, opens=True)
        hub.announce(7, 42, "todo")
        while len(sent) < 10 * AT_ONCE:
            before = len(sent)
            await asyncio.sleep(0)
            assert len(sent) - before <= AT_ONCE

    play(scene)
    assert {*sent} == {"changed"}


def a_socket(sent: list[bytes]) -> tuple[Any, list["asyncio.Future[None]"]]:
    """Return a handler whose messages are written when a future is done, one for each of them."""
    handler: Any = object.__new__(LiveHandler)
    handler.writing, handler.pending, handler.starting = None, {}, set()
    writes: list[asyncio.Future[None]] = []

    def write_frame(fin: bool, opcode: int, data: bytes) -> "asyncio.Future[None]":
        sent.append(data)
        writes.append(asyncio.get_running_loop().create_future())
        return writes[-1]

    handler.ws_connection = Mock(_write_frame=write_frame)
    handler.ws_connection.is_closing.return_value = False
    return handler, writes


def test_a_slow_reader() -> None:
    """Is sent the last message of each kind when it has read the one before, and no others."""
    sent: list[bytes] = []
    news = [message("changed", 7, version=number) for number in range(100)]
    present, other = message("present", 7, people=[]), message("changed", 8, version=1)

    async def scene() -> None:
        handler, writes = a_socket(sent)
        for each in (news[0], present, *news[1:], other):
            handler.send(each)
        assert sent == [news[0].data] and len(handler.pending) == 3
        for number in range(4):
            writes[number].set_result(None)
            await asyncio.sleep(0)
        assert len(writes) == 4 and not handler.pending and not handler.writing

    play(scene)
    assert sent == [news[0].data, present.data, news[99].data, other.data]


def test_a_socket_that_dies(caplog: pytest.LogCaptureFixture) -> None:
    """At once or while it is written to: nothing is raised, kept or logged."""
    sent: list[bytes] = []

    async def scene() -> None:
        handler, writes = a_socket(sent)
        handler.send(message("changed", 7, version=1))
        handler.send(message("changed", 7, version=2))
        writes[0].set_exception(StreamClosedError())
        await asyncio.sleep(0)
        assert not handler.pending and not handler.writing
        handler.ws_connection._write_frame = Mock(side_effect=StreamClosedError)
        handler.send(message("changed", 7, version=3))
        handler.ws_connection.is_closing.return_value = True
        handler.send(message("changed", 7, version=4))
        handler.ws_connection = None
        handler.send(message("changed", 7, version=5))

    play(scene)
    gc.collect()  # which would tell of an exception that nobody has looked at
    assert len(sent) == 1 and not caplog.records


@pytest.mark.parametrize("changed", [41, 43])
def test_the_answer_comes_before_the_news(changed: int) -> None:
    """What happens to a list while it is looked up is a part of that; versions never go back."""
    sent: list[bytes] = []

    async def scene() -> None:
        handler, writes = a_socket(sent)
        handler.person, handler.watched = Person(1, "ann"), {}
        handler.hub = hub = Hub(cast(Any, None))
        hub.sockets.add(handler)

        async def lookup(unit: Any, person: Person, list_id: int) -> Any:
            if handler.watched:
                hub.announce(list_id, changed, "todo")
                await asyncio.gather(*filter(None, [hub.sending]))
            return SimpleNamespace(version=42)

        handler.application = SimpleNamespace(lookups=lookup)
        await handler.watch(7, opens=True)
        for number in (changed, 44):
            await hub.send(message("changed", 7, version=number), [handler])
            writes[-1].set_result(None)
            await asyncio.sleep(0)

    play(scene)
    told = [(each["type"], each["version"]) for each in map(json.loads, sent)]
    assert told == [("watching", max(42, changed)), ("changed", 44)]


def test_who_waits_is_never_told_an_older_version() -> None:
    """What is said to many in slices may have been overtaken; who stopped watching hears none."""

    async def scene() -> None:
        hub = Hub(cast(Any, None))
        one, two = (Subscriber(asker(hub, number), 7) for number in (1, 2))
        await hub.send(message("changed", 7, version=43), [one])
        await hub.send(message("changed", 7, version=42), [one, two])
        two.end()
        await hub.send(message("changed", 7, version=43), [one, two])
        heard = [[news.fields["version"] for news in await each.wait(1)] for each in (one, two)]
        assert heard == [[43], [42]]
        assert hub.know(one, 7, 41) == 43 and hub.know(two, 7, 41) == 41

    play(scene)


def test_who_only_listens() -> None:
    """Hears of changes, not of what concerns those who have the list open; who counts as open."""
    open_one, listening = list[str](), list[str]()

    async def scene() -> None:
        hub = Hub(cast(Any, None))
        watchers: list[Any] = [Reader(open_one), Reader(listening)]
        for watcher in watchers:
            hub.subscribe(watcher, 7, opens=watcher is watchers[0])
        assert [*hub.watchers[7].values()] == [True, False]
        hub.broadcast(message("present", 7, open_only=True, people=["ann"]))
        hub.announce(7, 42, "todo")
        await asyncio.sleep(0.01)
        hub.subscribe(watchers[1], 7, opens=True)
        hub.disconnect(watchers[0])
        assert [*hub.watchers[7].values()] == [True]
        hub.disconnect(watchers[1])
        assert not hub.watchers and not hub.versions

    play(scene)
    assert (open_one, listening) == (["present", "changed"], ["changed"])


def test_news_that_were_missed() -> None:
    """May have been of who may read the list: that is looked at again."""
    hub = Hub(None)  # type: ignore[arg-type]
    someone: Any = Reader([])
    hub.subscribe(someone, 7, opens=True)
    hub.schedule_broadcast = hub.broadcast = lambda *news: None  # type: ignore[method-assign]
    hub.know(someone, 7, 41)
    hub.announce(7, 42, "todo")
    assert not hub.unchecked
    hub.announce(7, 44, "todo")
    assert hub.unchecked == {7}


def test_without_uvloop(start: Callable[..., Server], tmp_path: Path) -> None:
    """Nothing is different but the speed: people sign up, write, and hear of it."""
    (tmp_path / "without").mkdir()
    (tmp_path / "without/uvloop.py").write_text("raise ImportError")
    usual = Path(f"/proc/{start(database=tmp_path / 'other.db').process.pid}/maps").read_text()
    server = start(environment=os.environ | {"PYTHONPATH": str(tmp_path / "without")})
    assert "/uvloop/" in usual
    assert "/uvloop/" not in Path(f"/proc/{server.process.pid}/maps").read_text()
    ann = Visitor(server, "ann")
    ann.sign_up()

    async def scene() -> None:
        async with Socket(ann) as socket:
            await socket.watch(ann.list)
            await aside(ann.add, "milk")
            assert (await socket.hear())["version"] == version(ann)

    play(scene)
    assert [row.title for row in ann.rows()] == ["milk"]
    server.stop()
