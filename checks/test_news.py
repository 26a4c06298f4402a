"""News and presence through Redis: at once while it is there, and whole when it is not."""

import asyncio
import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, closing, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from redis.backoff import DecorrelatedJitterBackoff
from tornado.options import Error

from checks.support import cluster
from checks.support.needs import needs_postgresql, needs_redis
from checks.support.redis_server import Redis
from checks.support.servers import KEY, Server
from checks.support.sockets import Socket, aside, hear, play
from checks.support.visitors import Visitor, at, join, version
from checks.support.waiting import until
from config import Config
from models.postgres import database_at
from services.presence import PROCESSES, Presence
from services.redis_pubsub import QUEUE, RedisPubSub, check

MANY, SOON = (
    20,
    5,
)  # changes, one after another; seconds: by the sweep alone each takes a half on the average
pytestmark = [pytest.mark.postgresql, needs_redis]


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    """One of one's own."""
    with closing(Redis(tmp_path / "redis")) as redis:
        yield redis


def said(server: Server, words: str) -> int:
    """Return how often a server's log says something."""
    return server.log.read_text().count(words)


def two(start: Callable[..., Server], *options: str, **more: Any) -> tuple[Visitor, Visitor]:
    """Start two processes; return Ann at the first, and Bob, who shares her list, at the second."""
    servers = [start(*options, **more) for _ in range(2)]
    ann, bob = Visitor(servers[0], "ann"), Visitor(servers[0], "bob")
    for each in (ann, bob):
        assert each.sign_up().status_code == 303
    assert join(ann, bob) == 303
    bob.list = ann.list
    return ann, at(bob, servers[1])


@pytest.fixture
def pair(start: Callable[..., Server], url: str, redis: Redis) -> tuple[Visitor, Visitor]:
    """Two processes that hear each other by Redis."""
    ann, bob = two(start, f"--database={url}", KEY, f"--redis={redis.url}")
    until(lambda: redis.listeners() == 2)
    return ann, bob


def end(*visitors: Visitor) -> None:
    """Stop their servers, which must not have complained."""
    for each in visitors:
        each.server.stop()


async def at_once(*pairs: tuple[Visitor, Socket], number: int) -> None:
    """Make changes in turn, each when the last was heard: too many for the sweep."""
    begun = time.monotonic()
    for _ in range(MANY // len(pairs)):
        for writer, socket in pairs:
            await aside(writer.add, "milk")
            number += 1
            assert await socket.hear() == {"type": "changed", "list": writer.list} | {
                "version": number
            }
            for other in {other for _, other in pairs} - {socket}:
                assert (await other.hear())["version"] == number
    assert time.monotonic() - begun < SOON


@needs_postgresql
def test_news_come_at_once(pair: tuple[Visitor, Visitor], redis: Redis) -> None:
    """From each process to the other; so does that someone may not come in any more."""
    ann, bob = pair

    async def scene() -> None:
        async with Socket(ann) as hers, Socket(bob) as his:
            now = (await hers.watch(ann.list))["version"]
            assert (await his.watch(ann.list))["version"] == now
            await at_once((ann, his), (bob, hers), number=now)
            await aside(redis.client.flushall)
            await at_once((ann, his), (bob, hers), number=now + MANY)
            path = f"/lists/{ann.list}/members/{bob.name}/remove"
            assert (await aside(ann.post, path)).status_code == 303
            await hear(his, type="gone", list=ann.list)

    play(scene)
    assert redis.client.dbsize() == 0
    end(ann, bob)


@needs_postgresql
@pytest.mark.parametrize("fault", ["killed", "cut off", "silent"])
def test_redis_is_gone(pair: tuple[Visitor, Visitor], redis: Redis, fault: str) -> None:
    """Writing goes on, the sweep shows it; then it is as before, without a gap or a repeat."""
    ann, bob = pair
    versions: list[int] = []

    async def listen(socket: Socket) -> None:
        while True:
            versions.append((await socket.hear())["version"])

    def come_to(number: int) -> None:
        until(lambda: versions[-1:] == [number])

    async def scene() -> None:
        async with AsyncExitStack() as stack:
            his = await stack.enter_async_context(Socket(bob))
            now = (await his.watch(ann.list))["version"]
            listening = asyncio.create_task(listen(his))
            await aside(ann.add, "before")
            await aside(come_to, now + 1)
            if fault == "killed":
                await aside(redis.kill)
            elif fault == "silent":
                redis.process.send_signal(signal.SIGSTOP)
            else:
                await aside(redis.client.client_kill_filter, _type="pubsub")
            for _ in range(MANY):
                await aside(ann.add, "meanwhile")
            await aside(come_to, now + 1 + MANY)
            for each in (ann, bob):
                await aside(until, lambda each=each: said(each.server, "Redis is down") == 1)
            if fault == "killed":
                await aside(redis.start)
            elif fault == "silent":
                redis.process.send_signal(signal.SIGCONT)
            for each in (ann, bob):
                await aside(until, lambda each=each: said(each.server, "Redis is back") == 1)
            begun = time.monotonic()
            for number in range(MANY):
                await aside(ann.add, "after")
                await aside(come_to, now + 2 + MANY + number)
            assert time.monotonic() - begun < SOON
            listening.cancel()
            await asyncio.wait([listening])

    play(scene)
    if fault == "silent":
        redis.process.send_signal(signal.SIGSTOP)  # which keeps nobody from stopping
    assert versions == sorted({*versions})
    for each in (ann, bob):
        assert said(each.server, "Redis is") == 2 and said(each.server, "a-secret") == 0
        each.server.expected.append("Redis is")
    end(ann, bob)


HOSTILE: list[Any] = [
    *(b"", b"\xff\xfe", b"{", b"null", b"7", b"[" * 100_000, b"1" * 5000, b"[]", b"[NaN,1,2]"),
    *([None] * 3, [1], [1, 2], ["change"], ["change", 1, 2], ["changes", 1, 2, "todo"]),
    *(["change", *words] for words in ([1.5, 1, "todo"], ["1", 2, "todo"], [True, True, True])),
    *(["change", *words] for words in ([{}, [], {}], [[], 1, "todo"], [1, 2, "todo", 4])),
    *(["change", *words] for words in ([0, 0, "todo"], [-1, -1, "todo"], [10**30, 10**30, "list"])),
    *(
        {"list": 1},
        {"change": 1},
        ["connected"],
        ["connected", 7],
        ["connected", "x"],
        ["alive", {}],
    ),
    *(["presence"], ["presence", "x"], ["presence", {}, []], ["presence", [], [[1, "me"]]]),
    *(["presence", "x", places] for places in ("y", {}, [1], ["ab"], [[1]], [[[], []]], None, 7)),
    *(["presence", "x", [place]] for place in ([1, 2, 3], ["1", "me"], [True, "me"], [1, None])),
    ["presence", "x", [[1, "m" * 2_000_000]]],
]


@needs_postgresql
def test_what_anyone_may_say(pair: tuple[Visitor, Visitor], redis: Redis) -> None:
    """There is only a reason to look: nothing is told that isn't so, and all that is."""
    ann, bob = pair
    (channel,) = redis.channels()
    both = {ann.name, bob.name}

    def shout() -> None:
        kinds = ("todo", "list", "member", "title", "", "x" * 1000)
        of_it = [
            ["change", ann.list, number, kind]
            for kind in kinds
            for number in (-1, 0, 1, 10**15, 10**30)
        ]
        for each in HOSTILE + of_it * 3:
            text = each if isinstance(each, bytes) else json.dumps(each).encode()
            redis.client.publish(channel, text)

    async def scene() -> None:
        async with Socket(ann) as hers, Socket(bob) as his:
            now = (await hers.watch(ann.list))["version"]
            await his.watch(ann.list)
            for number in range(now + 1, now + 4):
                await aside(shout)
                await aside(ann.add, "milk")
                for each in (hers, his):
                    while message := await each.hear("changed", "present", "gone", "titles"):
                        if message["type"] == "changed":
                            break
                        assert message["type"] == "titles" or {*message["people"]} <= both
                    assert message["version"] == number
            await at_once((ann, his), (bob, hers), number=now + 3)

    play(scene)
    end(ann, bob)


def in_the_table(address: str) -> set[str]:
    """Return who is noted in a database as present."""
    noted = 'SELECT username FROM presence JOIN "user" ON "user".id = presence.user_id'
    database = database_at(address)
    with database.connection_context():
        return {name for (name,) in database.execute_sql(noted).fetchall()}


async def together(socket: Socket, *people: Visitor) -> None:
    """Wait until just these are told to be here."""
    names = sorted(each.name for each in people)
    async with asyncio.timeout(30):
        while (await socket.hear("present"))["people"] != names:
            pass


@needs_postgresql
def test_who_is_here(pair: tuple[Visitor, Visitor], redis: Redis, url: str) -> None:
    """Is heard by Redis, and when it is gone by the table; nobody vanishes meanwhile."""
    ann, bob = pair
    cy = at(ann, ann.server)
    cy.http.cookies.clear()
    cy.name = f"cy-{ann.name}"
    cy.sign_up()
    join(ann, cy)

    async def comes_and_goes(his: Socket, *, noted: bool) -> None:
        async with Socket(cy) as theirs:
            await theirs.watch(ann.list)
            await together(his, ann, bob, cy)
            assert (cy.name in await aside(in_the_table, url)) == noted
        await together(his, ann, bob)

    def left_to_redis() -> None:
        until(lambda: in_the_table(url) == set())

    async def scene() -> None:
        async with Socket(ann) as hers:
            await hers.watch(ann.list)
            async with Socket(bob) as his:
                await his.watch(ann.list)
                for each in (hers, his):
                    await together(each, ann, bob)
            await together(hers, ann)
            await aside(left_to_redis)
            async with Socket(bob) as his:
                await his.watch(ann.list)
                await together(his, ann, bob)
                await comes_and_goes(his, noted=False)
                await aside(redis.kill)
                await aside(until, lambda: {ann.name, bob.name} <= in_the_table(url))
                await comes_and_goes(his, noted=True)
                await aside(redis.start)
                for each in (ann, bob):
                    await aside(until, lambda each=each: said(each.server, "Redis is back") == 1)
            await aside(left_to_redis)

    play(scene)
    for each in (ann, bob):
        each.server.expected.append("Redis is")
    end(ann, bob)


def test_two_houses_on_one_redis(
    start: Callable[..., Server], redis: Redis, tmp_path: Path
) -> None:
    """Have a channel each, though their lists have the same numbers; SQLite may use it, too."""
    paths = [tmp_path / name / "people.db" for name in ("one", "two")]
    for path in paths:
        path.parent.mkdir()
    servers = [two(start, f"--redis={redis.url}", database=path) for path in paths]
    until(lambda: redis.listeners() == 4)
    assert len(redis.channels()) == 2
    assert servers[0][0].list == servers[1][0].list

    async def scene() -> None:
        async with AsyncExitStack() as stack:
            sockets = []
            for ann, bob in servers:
                his = await stack.enter_async_context(Socket(bob))
                hers = await stack.enter_async_context(Socket(ann))
                for each in (his, hers):
                    await each.watch(ann.list)
                await together(his, ann, bob)
                sockets.append(his)
            for (ann, bob), his in zip(servers, sockets, strict=True):
                await at_once((ann, his), number=await aside(version, bob))

    play(scene)
    end(*servers[0], *servers[1])


@needs_postgresql
def test_with_tls(
    start: Callable[..., Server],
    url: str,
    certificate: Path,
    tmp_path: Path,
) -> None:
    """And a password, where the server has a name that its certificate says."""
    port = cluster.free_port()
    options = ["--tls-port", f"{port}", "--tls-cert-file", f"{certificate}", "--tls-auth-clients"]
    options += ["no", "--tls-key-file", f"{certificate}.key"]
    with closing(Redis(tmp_path / "redis", *options)) as redis:
        place = f"rediss://:a-secret@localhost:{port}/3?ssl_ca_certs={certificate}"
        ann, bob = two(start, f"--database={url}", KEY, f"--redis={place}")
        until(lambda: redis.listeners() == 2)

        async def scene() -> None:
            async with Socket(bob) as his:
                now = (await his.watch(ann.list))["version"]
                await at_once((ann, his), number=now)

        play(scene)
        end(ann, bob)


@pytest.mark.parametrize(
    "place",
    [
        "redis://:a-secret@127.0.0.1:{nobody}",
        "redis://:not-a-secret@127.0.0.1:{port}",
        "redis://127.0.0.1:{port}",
        "redis://:a-secret@127.0.0.1:{port}/99",
        "redis://127.0.0.1:{port}?password=not-a-secret",
        "redis://:a-secret@127.0.0.1:{port}?no_such_option=1",
        "redis://:a-secret@127.0.0.1:{port}?socket_timeout=x",
        "rediss://:a-secret@127.0.0.1:{port}",
        "redis://:a-secret@nowhere.invalid",
    ],
)
def test_redis_is_not_as_it_was_said(
    start: Callable[..., Server], redis: Redis, place: str
) -> None:
    """The server starts, says so in one line, and tells no password; it is never needed."""
    place = place.format(port=redis.port, nobody=cluster.free_port())
    server = start(f"--redis={place}")
    until(lambda: said(server, "Redis is down") == 1)
    ann = Visitor(server, "ann")
    assert ann.sign_up().status_code == 303
    ann.add("milk")
    assert said(server, "Redis is") == 1 and said(server, "secret") == 0
    server.expected.append("Redis is down")
    server.stop()


def test_what_is_no_address() -> None:
    """Is refused, without its password."""
    for wrong in (
        "there",
        "http://:a-secret@there",
        "redis://:a-secret@there:port",
        "redis://:a-secret@there:0",
        "redis://:a-secret@there/name",
        "unix:///there",
    ):
        with pytest.raises(Error) as error:
            check(Config(redis=wrong))
        assert "a-secret" not in str(error.value) and "there" in str(error.value)
    check(Config(redis="rediss://ana:a-secret@there:6380/2?ssl_ca_certs=x"))


def test_the_end_may_have_to_be_said_twice() -> None:
    """As redis-py swallows a cancellation that comes while it connects."""
    pubsub = RedisPubSub(SimpleNamespace(receivers={}))  # type: ignore[arg-type]

    async def deaf() -> None:
        for _ in range(2):
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(60)

    async def scene() -> None:
        pubsub.task = asyncio.create_task(deaf())
        await asyncio.sleep(0)
        await asyncio.wait_for(pubsub.close(), 10)
        assert pubsub.task.done()

    asyncio.run(scene())


def test_who_publishes_never_waits() -> None:
    """What Redis doesn't take in time is left out; nobody is believed to be in it for ever."""
    app: Any = SimpleNamespace(receivers={})
    pubsub, presence = RedisPubSub(app), Presence(app)
    assert not pubsub.publish("change", 7, 42, "todo") and pubsub.queue.qsize() == 0
    pubsub.dispatch(["alive", pubsub.process])
    for number in range(QUEUE + 10):
        assert pubsub.publish("change", 7, number, "todo")
    assert pubsub.queue.qsize() == QUEUE
    for number in range(10 * PROCESSES):
        pubsub.dispatch(["presence", f"{number}", [[7, "ann"]]])
    assert len(presence.heard) == PROCESSES
    assert DecorrelatedJitterBackoff(1, 0.05).compute(10**9) <= 1  # after years without it
