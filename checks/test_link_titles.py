"""Titles of links: of pages that behave, that misbehave in every way, and that nobody may reach."""

import asyncio
import gzip
import logging
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from html import escape
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import Mock
from urllib.parse import unquote

import pytest
from tornado.httputil import HTTPInputError
from tornado.tcpclient import TCPClient

from app import App
from checks.support.browser import Window, until
from checks.support.servers import Server
from checks.support.sockets import Socket, aside, play
from checks.support.visitors import PASSWORD, Visitor, join
from config import Config
from models import links
from services import link_titles
from services.jobs import Jobs
from services.limits import RateLimitedLog
from services.link_titles import (
    Gates,
    LinkTitles,
    PublicResolver,
    TitleReader,
    normalized,
    public,
)

NO_THREAD = RuntimeError("can't start new thread")
HTML = "Content-Type: text/html; charset=utf-8\r\n"
BLOCK = b"x" * 65536
BOMB = gzip.compress(bytes(100_000_000))  # 100 MB in 97 kB
HOSTILE = "</title><script>alert(1)</script>\"' onclick=x &lt;b&gt; \u202egpj.exe\0\x07 &#x202e;"
# Each is a spelling of 127.0.0.1 or of another place inside; PORT is one where somebody listens.
INSIDE = (
    "127.0.0.1 127.1 127.0.1 127.255.255.254 2130706433 0x7f000001 0x7f.0.0.1 0x7f.1 "
    "017700000001 0177.0.0.1 0177.0.0.01 0.0.0.0 0 localhost LOCALHOST LocalHost "
    "localhost.localdomain ip6-localhost 127.0.0.1. localhost. 127.0.0.1.. [::1] "
    "[0:0:0:0:0:0:0:1] [::] [::127.0.0.1] [::ffff:127.0.0.1] [::ffff:7f00:1] "
    "[0:0:0:0:0:ffff:7f00:1] [2002:7f00:1::] [64:ff9b::127.0.0.1] [64:ff9b::7f00:1] "
    "[64:ff9b:1::7f00:1] [2001:0:7f00:1::] [2001:0:808:808:0:0:80ff:fffe] [fe80::1] "
    "[fe80::1%25lo] [fc00::1] [ff02::1] [127.0.0.1] ①②⑦.⓪.⓪.① 127。0。0。1 ⑫７.0.0.1 "
    "127%2e0%2e0%2e1 %31%32%37.0.0.1 user@127.0.0.1 user:word@127.0.0.1 example.org@127.0.0.1 "
    "127.0.0.1\\@example.org example.org:80@127.0.0.1 10.0.0.1 172.16.0.1 192.168.0.1 "
    "169.254.169.254 100.64.0.1 224.0.0.1 255.255.255.255 2852039166 0xa9fea9fe "
    "0xa9.0xfe.0xa9.0xfe [::ffff:169.254.169.254] 012.1 "
)


class Host:
    """A server of one's own that does what its pages say, in a thread of its own.

    `asked` are the heads of requests, `sent` counts the bytes of answers; `here` requests that are
    under way, `most` at once.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.here = self.most = self.sent = 0
        self.gone = threading.Event()
        self.ready = threading.Event()
        self.sockets = [socket.create_server(("127.0.0.1", 0))]
        self.port: int = self.sockets[0].getsockname()[1]
        with suppress(OSError):
            inside = ("::1", self.port)
            self.sockets.append(socket.create_server(inside, family=socket.AF_INET6))
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        assert self.ready.wait(10)

    @property
    def place(self) -> str:
        """How an allow-list has it."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{self.place}"

    def run(self) -> None:
        """Serve until `stop`."""

        async def main() -> None:
            self.ended = asyncio.Event()
            servers = [await asyncio.start_server(self.answer, sock=s) for s in self.sockets]
            await self.ended.wait()
            for server in servers:
                server.close()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        with asyncio.Runner() as runner:
            self.loop = runner.get_loop()
            self.ready.set()
            runner.run(main())

    def stop(self) -> None:
        """End."""
        self.loop.call_soon_threadsafe(lambda: self.ended.set())
        self.thread.join()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Do what the path says."""
        self.here += 1
        self.most = max(self.most, self.here)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.asked.append(head)
            name, _, rest = head.split()[1].strip("/").partition("/")
            await getattr(self, f"do_{name}")(writer, unquote(rest))
        except (OSError, asyncio.IncompleteReadError):
            self.gone.set()  # who asked has had enough
        except asyncio.CancelledError:
            pass  # it is closing
        finally:
            self.here -= 1
            writer.close()

    async def send(self, writer: asyncio.StreamWriter, *parts: str | bytes) -> None:
        """Send something."""
        for part in parts:
            writer.write(part.encode() if isinstance(part, str) else part)
            await writer.drain()
            self.sent += len(part)

    async def page(self, writer: asyncio.StreamWriter, body: str | bytes, head: str = HTML) -> None:
        """Send a page."""
        data = body.encode() if isinstance(body, str) else body
        await self.send(
            writer, f"HTTP/1.1 200 OK\r\n{head}Content-Length: {len(data)}\r\n\r\n", data
        )

    async def redirect(self, writer: asyncio.StreamWriter, place: str) -> None:
        """Lead elsewhere."""
        head = f"HTTP/1.1 302 Found\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n"
        await self.send(writer, head)

    async def do_good(self, writer: Any, title: str) -> None:
        """Behave."""
        await self.page(writer, f"<!doctype html><title>{escape(title)}</title><p>Hello")

    async def do_late(self, writer: Any, title: str) -> None:
        """Behave, 2 s late."""
        await asyncio.sleep(2)
        await self.do_good(writer, title)

    async def do_never(self, writer: Any, _: str) -> None:
        """Never answer."""
        await asyncio.sleep(1000)

    async def do_drip(self, writer: Any, _: str) -> None:
        """Send a byte now and then."""
        await self.send(writer, f"HTTP/1.1 200 OK\r\n{HTML}\r\n<title>")
        while True:
            await self.send(writer, "x")
            await asyncio.sleep(0.1)

    async def do_slowhead(self, writer: Any, _: str) -> None:
        """Send a head that doesn't end, slowly."""
        await self.send(writer, "HTTP/1.1 200 OK\r\n")
        while True:
            await self.send(writer, "A: b\r\n")
            await asyncio.sleep(0.1)

    async def do_gigabyte(self, writer: Any, how: str) -> None:
        """Send a gigabyte, its length said or not, or in chunks."""
        length = {
            "said": "Content-Length: 1000000000\r\n",
            "chunked": "Transfer-Encoding: chunked\r\n",
        }
        await self.send(writer, f"HTTP/1.1 200 OK\r\n{HTML}{length.get(how, '')}\r\n")
        chunk = b"10000\r\n%b\r\n" % BLOCK if how == "chunked" else BLOCK
        for _ in range(1_000_000_000 // len(BLOCK)):
            await self.send(writer, chunk)

    async def do_giganthead(self, writer: Any, _: str) -> None:
        """Send a head of a gigabyte."""
        await self.send(writer, "HTTP/1.1 200 OK\r\n")
        for number in range(1_000_000_000 // len(BLOCK)):
            await self.send(writer, f"A{number}: ", BLOCK, "\r\n")

    async def do_bomb(self, writer: Any, _: str) -> None:
        """Send little that is much when it is unpacked."""
        await self.page(writer, BOMB, f"{HTML}Content-Encoding: gzip\r\n")

    async def do_notgzip(self, writer: Any, _: str) -> None:
        """Say that it is packed when it isn't."""
        await self.page(writer, "<title>no</title>", f"{HTML}Content-Encoding: gzip\r\n")

    async def do_loop(self, writer: Any, rest: str) -> None:
        """Lead back here."""
        await self.redirect(writer, f"/loop/{rest}")

    async def do_hops(self, writer: Any, rest: str) -> None:
        """Lead on, as often as said."""
        count = int(rest.partition("?")[0])
        await (self.redirect(writer, f"{count - 1}") if count else self.do_good(writer, "there"))

    async def do_to(self, writer: Any, place: str) -> None:
        """Lead somewhere."""
        await self.redirect(writer, place)

    async def do_short(self, writer: Any, _: str) -> None:
        """Say less than is sent."""
        await self.send(
            writer, f"HTTP/1.1 200 OK\r\n{HTML}Content-Length: 9\r\n\r\n", "<title>short</title>"
        )

    async def do_long(self, writer: Any, _: str) -> None:
        """Say more than is sent."""
        await self.send(
            writer, f"HTTP/1.1 200 OK\r\n{HTML}Content-Length: 999\r\n\r\n", "<title>long"
        )

    async def do_lengths(self, writer: Any, length: str) -> None:
        """Say what is no length."""
        await self.send(writer, f"HTTP/1.1 200 OK\r\n{HTML}Content-Length: {length}\r\n\r\nx")

    async def do_type(self, writer: Any, kind: str) -> None:
        """Say that it is something else."""
        await self.page(writer, "<title>no</title>", f"Content-Type: {kind}\r\n" if kind else "")

    async def do_status(self, writer: Any, status: str) -> None:
        """Answer with another status."""
        await self.send(
            writer, f"HTTP/1.1 {status} X\r\n{HTML}Content-Length: 17\r\n\r\n<title>no</title>"
        )

    async def do_half(self, writer: Any, where: str) -> None:
        """Close half way, rudely."""
        await self.send(writer, "HTTP/1.1 200 OK\r\n", *([HTML, "\r\n<title>ha"] if where else []))
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    async def do_noise(self, writer: Any, _: str) -> None:
        """Speak something else."""
        await self.send(writer, bytes(range(256)) * 10, "\r\n\r\n")

    async def do_patience(self, writer: Any, _: str) -> None:
        """Say for ever that an answer will come (RFC 9110, 15.2)."""
        while True:
            await self.send(writer, "HTTP/1.1 102 Processing\r\n\r\n")

    async def do_hostile(self, writer: Any, _: str) -> None:
        """Have a title that would like to be more."""
        await self.page(writer, f"<title>&lt;img src=x onerror=alert(1)&gt; {HOSTILE}</title>")

    async def do_biscuit(self, writer: Any, rest: str) -> None:
        """Set a cookie on the way."""
        place = "/good/biscuit" if rest else "/biscuit/2"
        head = f"HTTP/1.1 302 Found\r\nSet-Cookie: a=b\r\nLocation: {place}\r\n\r\n"
        await self.send(writer, head)


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    """A server that may be asked."""
    made = Host()
    yield made
    made.stop()


@pytest.fixture
def trap() -> Iterator[Host]:
    """A server inside, which nobody may reach."""
    made = Host()
    yield made
    made.stop()
    assert made.asked == []


def asked(*addresses: str, also: str = "") -> list[str | None]:
    """Return the titles that are found at addresses, all asked for at once."""

    async def main() -> list[str | None]:
        app = SimpleNamespace(config=Config(fetch_from=also), error_log=RateLimitedLog())
        asker = LinkTitles(cast(Any, app))
        await asker.open()
        gates = Gates()
        wanted = [asker.title_of(links.Wanted(0, address), gates, 100) for address in addresses]
        try:
            return [title for _, title in await asyncio.gather(*wanted)]
        finally:
            await asker.close()

    return asyncio.run(main())


def read(body: bytes, kind: str = "text/html", status: int = 200) -> str | None:
    """Return the title that a page of this body has."""
    page = TitleReader()
    page.head(f"HTTP/1.1 {status} OK\r\n")
    page.head(f"Content-Type: {kind}\r\n")
    page.body += body
    return page.title()


# ---- what a title is

PAGES = {
    "plain": (b"<title>Milk</title>", "Milk"),
    "lines": (b"<TITLE\n lang=en >\r\n Milk\t&amp;\n\n bread </Title >", "Milk & bread"),
    "references": (
        b"<title>&lt;b&gt; &eacute;&#x1F95B; &bogus; &#0;</title>",
        "<b> é🥛 &bogus; \ufffd",
    ),
    "tags": (b"<title>a <b>bold</b> one</title>", "a <b>bold</b> one"),
    "another": (b"<titles>no</titles><title>yes</title>", "yes"),
    "two": (b"<title>one</title><title>two</title>", "one"),
    "empty": (b"<title></title>", None),
    "blank": ("<title>\u200b \u2060\u3000</title>".encode(), None),
    "none": (b"<h1>Milk</h1>", None),
    "never closed": (b"<title>Milk", None),
    "never opened": (b"<title Milk", None),
    "long": (b"<title>" + b"x" * 9999 + b"</title>", "x" * 200),
    "letters": ("<title>🥛é漢</title>".encode(), "🥛é漢"),
    "joined": (
        "<title>\u0645\u06cc\u200c\u062e 👩\u200d🚀</title>".encode(),
        "\u0645\u06cc\u200c\u062e 👩\u200d🚀",
    ),
    "hidden": (
        "<title>a\0\x07\x1b[1m\u202eb\u2066c\u200f\ufeff\u00ad\x85d</title>".encode(),
        "a[1mbc d",
    ),
    "meta": (b'<meta charset="windows-1251"><title>\xcc\xee\xeb\xee\xea\xee</title>', "Молоко"),
    "pragma": (b"<meta content='text/html; charset = Shift_JIS'><title>\x8b\x8d</title>", "牛"),
    "not utf-8": (b"<title>caf\xe9</title>", "caf\ufffd"),
    "unknown": (b"<meta charset=klingon><title>caf\xc3\xa9</title>", "café"),
    "no letters": (b"<meta charset=rot13><title>Milk</title>", "Milk"),
    "costly": (b"<meta charset=punycode><title>Milk</title>", "Milk"),
    "twice packed": (b"<meta charset=zlib_codec><title>Milk</title>", "Milk"),
    "strange": (b"<meta charset=../../x><title>Milk</title>", "Milk"),
    "two bytes": ("\ufeff<title>Milk</title>".encode("utf-16-le"), "Milk"),
}


@pytest.mark.parametrize("name", PAGES)
def test_a_title_is_a_line_of_plain_text(name: str) -> None:
    """Whatever is in its page, and however that is written."""
    body, title = PAGES[name]
    assert read(body) == title


def test_only_pages_have_titles() -> None:
    """By type and status; the charset of the head counts before what is inside."""
    body = b"<meta charset=utf-8><title>caf\xe9</title>"
    assert read(body, "text/html; Charset='ISO-8859-1'") == "café"
    assert read(body, "application/xhtml+xml;charset=latin1") == "café"
    assert read(body, "TEXT/HTML") == "caf\ufffd"
    for kind in ("", "text/plain", "image/svg+xml", "text/htmlx", "application/json; text/html"):
        assert read(body, kind) is None
    for status in (204, 206, 404, 500):
        assert read(body, status=status) is None


def test_hostile_pages_are_read_in_a_moment() -> None:
    """256 kB of what makes parsers slow, which read the same again and again."""
    many = [
        b"<title ",
        b"<title>",
        b"</title",
        b"<!--",
        b"<",
        b"&",
        b"&#",
        b"charset=",
        b"charset ",
    ]
    for each in many:
        body = (each * link_titles.BODY_LIMIT)[: link_titles.BODY_LIMIT]
        for whole in (body, b"<title>" + body, b"<title>" + body[:9000] + b"</title>"):
            began = time.process_time()
            read(whole)
            assert time.process_time() - began < 0.5, whole[:20]


def test_no_more_is_read_than_a_title_needs() -> None:
    """Of what is unpacked, until the title ends, or 256 kB; nothing of what is no page."""
    for status, kind, parts, most in (
        (200, "text/html", [b"<title>a</ti", b"tle>", BLOCK], 16),
        (200, "text/html", [BLOCK] * 10, link_titles.BODY_LIMIT),
        (200, "image/png", [BLOCK] * 10, len(BLOCK)),
        (404, "text/html", [BLOCK] * 10, len(BLOCK)),
    ):
        page = TitleReader()
        page.head(f"HTTP/1.1 {status} X\r\n")
        page.head(f"Content-Type: {kind}\r\n")
        with pytest.raises(HTTPInputError):
            for part in parts:
                page.read(part)
        assert len(page.body) == most


# ---- where nobody may go

NOT_PUBLIC = (
    "0.0.0.0 10.1.2.3 100.64.0.1 127.0.0.1 169.254.169.254 172.16.0.1 192.0.0.1 192.0.2.1 "
    "192.168.1.1 198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.1 239.1.1.1 240.0.0.1 "
    "255.255.255.255 :: ::1 ::7f00:1 ::808:808 ::ffff:127.0.0.1 ::ffff:10.0.0.1 "
    "::ffff:0:127.0.0.1 64:ff9b::127.0.0.1 64:ff9b::a00:1 64:ff9b:1::7f00:1 100::1 "
    "2001:db8::1 2001:2::1 2001:10::1 2002:7f00:1:: 2002:a00:1:: 2002:a9fe:a9fe:: "
    "2001:0:7f00:1:: 2001:0:808:808:0:0:80ff:fffe 4000::1 fc00::1 fd12::1 fe80::1 "
    "fe80::1%eth0 fec0::1 ff02::1 ff0e::1 "
)
PUBLIC = (
    "8.8.8.8 1.1.1.1 93.184.215.14 100.63.255.255 172.32.0.1 2606:4700:4700::1111 "
    "2a00:1450::1 ::ffff:8.8.8.8 64:ff9b::8.8.8.8 2002:808:808::1 "
)


def test_what_is_public() -> None:
    """What is inside is so in every wrapping."""
    assert [each for each in NOT_PUBLIC.split() if public(each)] == []
    assert [each for each in PUBLIC.split() if not public(each)] == []


def test_an_address_is_normalized() -> None:
    """Written in one way only, so that nobody after the check reads it otherwise."""
    assert normalized("HTTPS://Example.ORG") == "https://example.org/"
    assert (
        normalized("http://bücher.example/ä b?q=ü#x")
        == "http://xn--bcher-kva.example/%C3%A4%20b?q=%C3%BC"
    )
    assert normalized("http://[2606:4700::0:1]:80/%41") == "http://[2606:4700::1]:80/%41"
    assert normalized("http://a/\r\nHost: b") == "http://a/Host:%20b"
    bad = ["ftp://a/", "file:///etc/passwd", "//a/", "a", "http://", "http:///x", "http://a:x/"]
    bad += [
        "http://a:99999/",
        "http://a@b/",
        "http://a:b@c/",
        "http://@a/",
        "http://a../",
        "http://a./",
    ]
    bad += [
        "http://[::1%25lo]/",
        "http://[x]/",
        "http://[::1/",
        "http://a\\@b/",
        "http://a b/",
        "http://a%2eb/",
    ]
    bad += [f"http://{'a' * 64}.b/", f"http://{'a.' * 200}b/", "gopher://a/", "javascript:alert(1)"]
    for address in bad:
        with pytest.raises(ValueError, match=r"."):
            normalized(address)


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Where connections are made to."""
    made: list[Any] = []
    create: Any = TCPClient._create_stream

    def noted(client: Any, size: Any, family: Any, place: Any, **more: Any) -> Any:
        made.append(place[:2])
        return create(client, size, family, place, **more)

    monkeypatch.setattr(TCPClient, "_create_stream", noted)
    return made


def spelled(port: int) -> list[str]:
    """Return the addresses of INSIDE, at a port."""
    return [f"http://{each}:{port}/good/reached" for each in INSIDE.split()]


def test_nobody_comes_inside(
    trap: Host, connected: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By no spelling, though the port would be one that may be asked."""
    monkeypatch.setattr(link_titles, "PORTS", (80, 443, trap.port))
    assert asked(*spelled(trap.port)) == [None] * len(INSIDE.split())
    assert connected == []


def test_what_keeps_them_out_is_the_address(
    trap: Host, connected: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were all addresses public, many spellings would lead inside; so the test above can fail."""
    monkeypatch.setattr(link_titles, "PORTS", (80, 443, trap.port))
    monkeypatch.setattr(link_titles, "public", lambda address: True)
    reached = asked(*spelled(trap.port))
    assert reached.count("reached") >= 20, [*zip(INSIDE.split(), reached, strict=True)]
    assert len(connected) >= 20
    trap.asked.clear()


def test_only_two_ports_are_asked(trap: Host, connected: list[Any]) -> None:
    """What is public has other ports that aren't for all."""
    assert (
        asked(f"http://8.8.8.8:{trap.port}/", "http://8.8.8.8:22/", "http://8.8.8.8:0/")
        == [None] * 3
    )
    assert connected == []


def test_the_allow_list_is_for_one_door(trap: Host, host: Host) -> None:
    """Not for its neighbours; and there is none by default."""
    assert asked(f"{host.url}/good/a", f"{trap.url}/good/b", also=host.place) == ["a", None]
    assert asked(f"{host.url}/good/a") == [None]
    assert Config().fetch_from == ""


def names(monkeypatch: pytest.MonkeyPatch, **known: list[list[tuple[str, int]]]) -> list[str]:
    """Have names lead to what each look-up of them says in turn; return what is looked up."""
    looked_up: list[str] = []

    def find(name: str, port: int, family: Any = 0, kind: Any = 0) -> list[Any]:
        looked_up.append(name)
        places = known[name.partition(".")[0]]
        found = places.pop(0) if len(places) > 1 else places[0]
        families = [socket.AF_INET6 if ":" in address else socket.AF_INET for address, _ in found]
        ways = zip(families, found, strict=True)
        return [(family, socket.SOCK_STREAM, 6, "", place) for family, place in ways]

    monkeypatch.setattr(socket, "getaddrinfo", find)
    return looked_up


def test_a_name_is_looked_up_once(
    host: Host, trap: Host, connected: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So it can't lead elsewhere when it is connected to (DNS rebinding); it stays the Host."""
    good, bad = [("127.0.0.1", host.port)], [("127.0.0.1", trap.port)]
    looked_up = names(monkeypatch, rebind=[good, bad])
    monkeypatch.setattr(link_titles, "PORTS", (80, 443, trap.port))
    assert asked(f"http://rebind.example:{host.port}/good/a", also=host.place) == ["a"]
    assert looked_up == ["rebind.example"] and connected == good
    assert f"\r\nHost: rebind.example:{host.port}\r\n" in host.asked[-1]


def test_each_hop_is_looked_up_again(
    host: Host, connected: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that was public a moment ago leads inside at the redirect."""
    good = [("127.0.0.1", host.port)]
    looked_up = names(monkeypatch, rebind=[good, [("127.0.0.2", host.port)]])
    address = f"http://rebind.example:{host.port}/to//good/a"
    assert asked(address, also=host.place) == [None]
    assert looked_up == ["rebind.example"] * 2 and connected == good


def test_one_address_inside_is_enough(
    host: Host, trap: Host, connected: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a name that leads to several, none is asked when one of them isn't for all."""
    good = ("127.0.0.1", host.port)
    inside = [("10.0.0.1", host.port), ("::1", host.port), ("fe80::1%2", host.port)]
    mixed = {f"n{number}": [[good, other]] for number, other in enumerate(inside)}
    names(monkeypatch, good=[[good, good]], **mixed)
    addresses = [f"http://{name}.example:{host.port}/good/a" for name in ("good", *mixed)]
    assert asked(*addresses, also=host.place) == ["a", None, None, None]
    assert connected == [good]


def test_a_name_that_is_never_found_holds_up_nobody(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its thread waits; the request, and all others, go on."""
    find, end = socket.getaddrinfo, threading.Event()

    def slow(name: str, *more: Any) -> Any:
        if name == "slow.example":
            end.wait(20)
            raise OSError
        return find(name, *more)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    monkeypatch.setattr(link_titles, "LOOK_UP", 0.1)
    addresses = ["http://slow.example/", f"{host.url}/good/a"]
    assert asked(*addresses, also=host.place) == [None, "a"]
    end.set()


def test_names_that_can_not_be_looked_up_do_not_fill_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Not those that are found missing after they were given up, either; faults have one line."""
    resolve, close, ended = PublicResolver.resolve, LinkTitles.close, list[str]()

    async def counted(self: Any, name: str, *more: Any) -> Any:
        try:
            return await resolve(self, name, *more)
        finally:
            ended.append(name)

    async def close_later(self: LinkTitles) -> None:
        async with asyncio.timeout(20):
            while len(ended) % len(addresses):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.01)  # the turn in which Tornado would log it
        await close(self)

    addresses = [f"http://none-{number}.example/" for number in range(50)]
    monkeypatch.setattr(PublicResolver, "resolve", counted)
    monkeypatch.setattr(LinkTitles, "close", close_later)
    monkeypatch.setattr(link_titles, "LOOK_UP", 0.4)
    end = threading.Event()

    def never(*place: Any) -> list[Any]:
        end.wait(20)
        return []

    faults = (OSError, NO_THREAD)
    for find, seconds in ((never, 0.1), *((Mock(side_effect=fault), 9) for fault in faults)):
        monkeypatch.setattr(link_titles, "CONNECT", seconds)
        monkeypatch.setattr(link_titles, "REQUEST", seconds)
        monkeypatch.setattr(socket, "getaddrinfo", find)
        assert {*asked(*addresses)} == {None}
        end.set()
    assert len(ended) == 3 * len(addresses)
    logged = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(logged) == 1 and "RuntimeError" in logged[0].getMessage()
    assert not any(record.exc_info for record in logged)


# ---- pages that misbehave

WRONG = (
    "never/ drip/ slowhead/ gigabyte/said gigabyte/ gigabyte/chunked giganthead/ bomb/ "
    "notgzip/ loop/ hops/4 long/ lengths/-1 lengths/1e9 lengths/99999999999999 type/ "
    "type/image%2fpng type/text%2fplain status/404 status/500 status/204 half/ half/body "
    "noise/ patience/ to/ to/http%3a%2f%2f[ to/file%3a%2f%2f%2fetc%2fpasswd "
    "to/%2f%2f127.0.0.1%2f "
)


def test_pages_that_misbehave_have_no_title(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    """All at once, each in the time it has; nothing of it is worth a warning."""
    late = [f"{host.url}/late/{number}" for number in range(5)]
    right = ["good/a", "hops/3", "short/", "biscuit/"]
    addresses = [*late, *(f"{host.url}/{path}" for path in right + WRONG.split())]
    began, host.sent = time.monotonic(), 0
    found = asked(*addresses, also=host.place)
    assert time.monotonic() - began < 2 * link_titles.REQUEST
    assert found[:9] == ["0", "1", "2", "3", "4", "a", "there", None, "biscuit"]
    assert dict(zip(WRONG.split(), found[9:], strict=True)) == dict.fromkeys(WRONG.split())
    assert host.gone.wait(10) and host.sent < 100_000_000  # what was under way included
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_redirects_never_lead_inside(
    host: Host, trap: Host, connected: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By no spelling either, and not by the second hop."""
    monkeypatch.setattr(link_titles, "PORTS", (80, 443, trap.port))
    inside = [f"{host.url}/to/{place}" for place in spelled(trap.port)]
    inside.append(f"{host.url}/to//to/{trap.url}/good/reached")
    inside.append(f"{host.url}/to/http://user@{host.place}/good/reached")
    assert asked(*inside, also=host.place) == [None] * len(inside)
    assert {port for _, port in connected} == {host.port}


def test_nothing_is_told_of_who_asks(host: Host) -> None:
    """No cookies, also none that were set on the way, no credentials, no version, no referrer."""
    before = len(host.asked)
    assert asked(f"{host.url}/biscuit/", also=host.place) == ["biscuit"]
    heads = host.asked[before:]
    assert [head.split()[1] for head in heads] == ["/biscuit/", "/biscuit/2", "/good/biscuit"]
    for head in heads:
        told = dict(line.split(": ") for line in head.strip().split("\r\n")[1:])
        assert told.pop("Host") == host.place
        assert told.pop("User-Agent") == "Afazeres"
        assert told.keys() == {"Connection", "Accept", "Accept-Encoding"}


# ---- whether anybody is asked


def test_nobody_is_asked_without_the_option() -> None:
    """--fetch_titles=false."""
    for wanted in (True, False):
        app = App(Config(fetch_titles=wanted))
        started = [job.name for job in app.service(Jobs).wanted()]
        assert ("fetch link titles" in started) is wanted


# ---- how they are shown


@pytest.fixture(scope="module")
def asking(host: Host, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that asks `host` for titles."""
    database = tmp_path_factory.mktemp("asking") / "people.db"
    made = Server(database, "--fetch_titles=true", f"--fetch_from={host.place}")
    yield made
    try:
        made.stop()
    finally:
        made.release()


@pytest.fixture
def eve(asking: Server) -> Visitor:
    """Eve, who is at home there."""
    visitor = Visitor(asking, "eve")
    visitor.sign_up()
    return visitor


def page(visitor: Visitor, *wanted: str, path: str = "") -> str:
    """Return the list of a visitor when all that is wanted is in its HTML."""
    end = time.monotonic() + 15
    while True:
        html = visitor.get(f"/lists/{visitor.list}{path}").text
        missing = [each for each in wanted if each not in html]
        if not missing:
            return html
        assert time.monotonic() < end, (missing, html)
        time.sleep(0.05)


def labels(html: str) -> list[str]:
    """Return the HTML of the titles on a page."""
    return re.findall(r'<label id="t-\d+" dir="auto">(.*?)</label>', html, re.S)


def link(address: str, shown: str = "") -> str:
    """Return the HTML of a link."""
    where = escape(address)
    html = f'<a href="{where}" title="{where}" rel="noopener noreferrer nofollow ugc" dir="auto">'
    host = f" <small>{address.split('/')[2]}</small>" if shown else ""
    return f"{html}{escape(shown) or where}</a>{host}"


def test_an_address_becomes_its_title(eve: Visitor, host: Host) -> None:
    """In todos and messages, without JavaScript; the address is shown until then."""
    good, late = f"{host.url}/good/Milk+%26+%3Cbread%3E?a=1&b=2", f"{host.url}/late/soon"
    eve.add(f"buy <{good}>!", f"then {late}.")
    eve.post(f"/lists/{eve.list}/messages", text=f"{good}\n<b>")
    first = labels(eve.get(f"/lists/{eve.list}").text)
    assert first[1] == f"then {link(late)}."
    html = page(eve, ">soon</a>")
    raw = escape(f"buy <{good}>!")
    shown = f"buy &lt;{link(good, 'Milk+&+<bread>?a=1&b=2')}&gt;!"
    assert labels(html) == [shown, f"then {link(late, 'soon')}."]
    assert f'data-title="{raw}"' in html, "which the script puts into the field"
    said = page(eve, "<p dir", path="/messages")
    assert f"{link(good, 'Milk+&+<bread>?a=1&b=2')}\n&lt;b&gt;</p>" in said


def test_a_title_can_not_be_more_than_text(eve: Visitor, host: Host) -> None:
    """Whatever a page is called, and however its address is written."""
    address = f"{host.url}/hostile/\"'><script>alert(1)</script>"
    eve.add(f"{host.url}/hostile/'onclick=alert(1)", address)
    html = page(eve, "&lt;img src=x onerror=alert(1)&gt;</a>")
    assert "<img" not in html and "<script>" not in html and "alert(1)</a>" not in html
    assert "\u202e" not in html and "\0" not in html


def test_what_was_written_stays(eve: Visitor, host: Host) -> None:
    """In the field for another title, the files, the history, and for programs."""
    written = f"read {host.url}/good/Stays now"
    eve.add(written)
    html = page(eve, ">Stays</a>")
    todo = re.findall(r'data-id="(\d+)"', html)[0]
    opened = eve.get(f"/lists/{eve.list}?edit={todo}").text
    assert f'name="title" value="{written}"' in opened
    assert f'name="title" value="{written}"' in eve.get(f"/todos/{todo}").text
    for path in (".txt", ".csv", ".json", "/history"):
        assert written in eve.get(f"/lists/{eve.list}{path}").text
    form = {"username": eve.name, "password": PASSWORD, "name": "x"}
    token = eve.http.post(f"{eve.server.url}/api/tokens", json=form).json()["token"]
    bearer = {"Authorization": f"Bearer {token}"}
    got = eve.http.get(f"{eve.server.url}/api/todos/{todo}", headers=bearer).json()
    assert got["title"] == written and got["version"] == 2


def test_a_reader_sees_them_too(eve: Visitor, host: Host) -> None:
    """On the page of the list, and of the todo."""
    bob = Visitor(eve.server, "bob")
    bob.sign_up()
    join(eve, bob, "viewer")
    address = f"{host.url}/good/Shared"
    eve.add(address)
    bob.list = eve.list
    html = page(bob, ">Shared</a>")
    todo = re.findall(r'data-id="(\d+)"', html)[0]
    shown = link(address, "Shared")
    assert labels(html) == [shown]
    assert f'<h1 dir="auto">{shown}</h1>' in bob.get(f"/todos/{todo}").text


def test_what_was_kept_is_not_stale(eve: Visitor, host: Host) -> None:
    """A window that has the rows is told that they differ, though the version is the same."""
    fragment = {"X-Fragment": "rows"}
    eve.add(f"{host.url}/late/Fresh")
    before = eve.get(f"/lists/{eve.list}", headers=fragment)
    seen = {**fragment, "If-None-Match": before.headers["ETag"]}
    assert eve.get(f"/lists/{eve.list}", headers=seen).status_code == 304
    page(eve, ">Fresh</a>")
    after = eve.get(f"/lists/{eve.list}", headers=seen)
    assert after.status_code == 200 and ">Fresh</a>" in after.text
    version = re.compile(r'data-version="(\d+)"')
    assert version.findall(before.text) == version.findall(after.text)


def test_programs_hear_of_titles(eve: Visitor, host: Host) -> None:
    """As of something else than a change: no version, so who does not know it loses nothing."""

    async def scene() -> None:
        async with Socket(eve) as socket:
            await socket.watch(eve.list)
            await aside(eve.add, f"{host.url}/late/Heard")
            assert await socket.hear() == {"type": "changed", "list": eve.list, "version": 2}
            assert await socket.hear() == {"type": "titles", "list": eve.list}

    play(scene)


def test_pages_answer_while_others_do_not(host: Host, start: Callable[..., Server]) -> None:
    """Fifty at once, of servers that misbehave; then the server stops as if nothing were."""
    server = start("--fetch_titles=true", f"--fetch_from={host.place}")
    eve = Visitor(server, "eve")
    eve.sign_up()
    host.most = host.here
    bad = [f"{host.url}/{path}?{number}" for number, path in enumerate(WRONG.split())]
    late = [f"{host.url}/late/late-{number}" for number in range(60)]
    lines = "\n".join([*bad, *late, f"{host.url}/good/first"])
    assert eve.post(f"/lists/{eve.list}", lines=lines).status_code == 303
    end = time.monotonic() + 10
    while host.most < 50:
        assert time.monotonic() < end, host.most
        began = time.monotonic()
        assert eve.get(f"/lists/{eve.list}").status_code == 200
        eve.add("meanwhile")
        assert time.monotonic() - began < link_titles.CONNECT  # it waited for none of them
    html = page(eve, ">first</a>", *(f">late-{number}</a>" for number in range(60)))
    assert all(escape(address) in html for address in bad)
    eve.add(*(f"{host.url}/never/{number}" for number in range(5)))
    end = time.monotonic() + 10
    while "/never/4" not in str(host.asked):
        assert time.monotonic() < end
        time.sleep(0.05)
    server.stop()


# ---- in open windows


@pytest.fixture
def window(browser: Any, eve: Visitor) -> Iterator[Window]:
    """A window of Eve's."""
    made = Window(browser.new_context(viewport={"width": 900, "height": 700}), eve)
    yield made
    made.close()


def test_a_title_arrives_by_itself(window: Window, host: Host) -> None:
    """While something else is being typed, which stays."""
    until(window.page, "document.body.dataset.live === 'on'")
    written = f"read {host.url}/late/Arrives"
    window.write(written)
    window.page.keyboard.type("half a th")
    until(window.page, "document.querySelector('label')?.innerText.startsWith('read Arrives 127')")
    assert window.page.input_value(".new-todo") == "half a th"
    assert window.page.get_attribute("label a", "href") == f"{host.url}/late/Arrives"
    window.stayed()


def test_renaming_is_about_what_was_written(window: Window, host: Host, eve: Visitor) -> None:
    """Not about titles; the same again is no change, and another one shows at once."""
    written = f"read {host.url}/good/Renamed now"
    window.write(written)
    label = window.page.locator(".todo-list label")
    until(window.page, "document.querySelector('label')?.innerText.startsWith('read Renamed 127')")
    label.dblclick(position={"x": label.bounding_box()["width"] - 5, "y": 5})
    edit = window.page.locator(".edit")
    assert edit.input_value() == written
    edit.press("Enter")
    edit.wait_for(state="detached")
    assert label.inner_text().startswith("read Renamed 127")
    label.dblclick(position={"x": label.bounding_box()["width"] - 5, "y": 5})
    window.page.locator(".new-todo").click()  # leaves the row as it is
    edit.wait_for(state="detached")
    assert 'data-version="2"' in eve.get(f"/lists/{eve.list}").text
    window.page.locator(".rename").focus()
    window.page.keyboard.press("e")
    edit.fill("bread")
    edit.press("Enter")
    window.shows("bread")
    window.stayed()
