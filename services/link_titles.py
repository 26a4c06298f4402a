"""Titles of links: asked for behind the answers, of whoever is there, who may be hostile.

People write the addresses, so a page of theirs must not reach what only this machine can: each
name is looked up once, and what it leads to is connected to only if it is public (OWASP, SSRF).
"""

import asyncio
import codecs
import logging
import re
import socket
import unicodedata
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from html import unescape
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from tornado.httpclient import AsyncHTTPClient, HTTPClientError
from tornado.httputil import HTTPHeaders, HTTPInputError
from tornado.iostream import UnsatisfiableReadError
from tornado.log import gen_log
from tornado.netutil import Resolver

from models import links, text
from services.app_base import BaseApp
from services.bridge import in_daemon_thread

AT_ONCE, PER_HOST, PER_MINUTE = 100, 10, 10  # pages asked; the last is of one person's links
HOPS = 3  # redirects that are followed
LOOK_UP, CONNECT, REQUEST = 2.5, 3, 5  # seconds; each holds those before it
FEW, GAP = 12, 0.02  # pages that are begun with in a row, and the seconds between two of them
STEP = 0.25  # seconds in which titles gather, to be stored and announced together
BODY_LIMIT, HEADER_LIMIT = 256 * 1024, 32 * 1024  # bytes, unpacked
BODY_MOST = 1 << 40  # that a page may have; we stop reading long before
TITLE_LIMIT = 200
BEGIN, END = re.compile(rb"<title[\s/>]", re.IGNORECASE), re.compile(rb"</title", re.IGNORECASE)
JOINERS = "\u200c\u200d"  # which some scripts need
HOST = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")
CHARSET = re.compile(r"charset\s{0,9}=\s{0,9}[\"']?([\w:.-]{1,40})", re.IGNORECASE)
ENCODINGS = re.compile("utf-8|iso8859|cp125|cp8|cp9|koi8|mac-|gb|big5|euc_|shift_jis|tis")
GLOBAL = IPv6Network("2000::/3")  # all that is given out of IPv6
NAT64 = IPv6Network("64:ff9b::/96")
LOOK_UPS = 16  # threads
PORTS, REDIRECTS = (80, 443), (301, 302, 303, 307, 308)
ENOUGH = "enough was read for a title"
log = logging.getLogger(__name__)
# Tornado would note that as a fault of whoever was asked.
gen_log.addFilter(lambda record: ENOUGH not in record.getMessage())
Gates = defaultdict[str, asyncio.Semaphore]  # by host


def public(address: str) -> bool:
    """Say whether an IP address is one of the internet, and so is one that is wrapped in it."""
    ip = ip_address(address)
    if isinstance(ip, IPv4Address):
        return ip.is_global and not ip.is_multicast
    wrapped = [ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())]
    if ip in NAT64:
        wrapped.append(IPv4Address(ip.packed[-4:]))
    if any(wrapped):
        return all(public(str(each)) for each in wrapped if each)
    return ip in GLOBAL and ip.is_global


class PublicResolver(Resolver):
    """Looks a name up, once for each request, in threads, and gives only what may be connected to.

    All of its addresses must be public, or one of `also`; else it may be a trap.
    """

    def initialize(self, also: str = "") -> None:
        """Take IP:port,IP:port that may be asked, too."""
        self.also = {each.strip() for each in also.split(",")}
        self.asking = asyncio.Semaphore(LOOK_UPS)
        self.active_requests: set[asyncio.Task[Any]] = set()

    async def resolve(
        self, host: str, port: int, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[tuple[int, Any]]:
        """Return families and addresses. Raises OSError."""
        ask = partial(socket.getaddrinfo, host, port, family, socket.SOCK_STREAM)
        asked = asyncio.create_task(self.ask(ask))
        self.active_requests.add(asked)
        asked.add_done_callback(self.end)
        try:  # it goes on in its thread, whose place isn't free until then
            found = await asyncio.wait_for(asyncio.shield(asked), LOOK_UP)
        except (TimeoutError, UnicodeError) as error:
            raise OSError(f"{host} can't be looked up") from error
        for *_, (address, *_) in found:
            known = f"[{address}]:{port}" if ":" in str(address) else f"{address}:{port}"
            if known not in self.also and not (port in PORTS and public(str(address))):
                raise OSError(f"{host} is not for all")
        return [(kind, address) for kind, _, _, _, address in found]

    async def ask(self, look_up: Callable[[], Any]) -> Any:
        """Look a name up when others have been."""
        async with self.asking:
            return await in_daemon_thread(look_up)

    def end(self, asked: "asyncio.Task[Any]") -> None:
        """Take note that a look-up has ended, whoever still waits for it."""
        self.active_requests.discard(asked)
        if not asked.cancelled():
            asked.exception()

    def close(self) -> None:
        """End, without waiting for what nobody waits for."""
        for asked in self.active_requests:
            asked.cancel()


class TitleReader:
    """What is read of an answer, until there is enough of it."""

    def __init__(self) -> None:
        self.status, self.headers, self.body = 0, HTTPHeaders(), bytearray()

    def head(self, line: str) -> None:
        """Take a line of its head."""
        if line.startswith("HTTP/"):
            self.status, self.headers = int(line.split()[1]), HTTPHeaders()
        elif line.strip():
            self.headers.parse_line(line)

    def read(self, chunk: bytes) -> None:
        """Take a part of its body. Raises HTTPInputError, which ends the connection."""
        self.body += chunk
        near = self.body[-len(chunk) - len(b"</title") :].lower()
        if not self.promising() or b"</title" in near or len(self.body) >= BODY_LIMIT:
            raise HTTPInputError(ENOUGH)

    def promising(self) -> bool:
        """Say whether it is a page."""
        kind = self.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        return self.status == 200 and kind in ("text/html", "application/xhtml+xml")

    def title(self) -> str | None:
        """Return its title as a line of plain text, None when it has none.

        That is what is between the first tags, with references in it (HTML, 13.2.5.2). No parser
        sees more than that: what is hostile can keep one busy.
        """
        body = bytes(self.body[:BODY_LIMIT]) if self.promising() else b""
        if body[:2] in (b"\xff\xfe", b"\xfe\xff"):
            body = body.decode("utf-16", "replace").encode()
        opens = BEGIN.search(body)
        begin = body.find(b">", opens.end() - 1) + 1 if opens else 0
        ends = END.search(body, begin) if begin else None
        if not ends:
            return None
        inside = body[begin : ends.start()][: 20 * TITLE_LIMIT]
        return plain(unescape(inside.decode(self.encoding(body[:1024]), "replace")))

    def encoding(self, begin: bytes) -> str:
        """Return what its letters are encoded in: as it says, if that is for text."""
        said = CHARSET.search(self.headers.get("Content-Type", "") + begin.decode("latin-1"))
        try:
            name = codecs.lookup(said[1]).name if said else ""
        except LookupError:
            name = ""
        if name in ("iso8859-1", "ascii"):
            return "cp1252"  # as in browsers (WHATWG Encoding, 4.2)
        return name if ENCODINGS.match(name) else "utf-8"


def plain(words: str) -> str | None:
    """Return a title as one line, without what isn't seen or turns others around; None if blank."""
    seen = [c for c in words if c.isspace() or c in JOINERS or unicodedata.category(c)[0] != "C"]
    line = " ".join("".join(seen).split())[:TITLE_LIMIT].strip()
    return None if text.blank(line) else line


def checked(address: str) -> str:
    """Return an address as it is asked for. Raises ValueError for what no page of the web has."""
    parts = urlsplit(address)
    host, port = parts.hostname or "", parts.port
    if parts.scheme not in ("http", "https") or "@" in parts.netloc or len(host) > 253:
        raise ValueError("not an address of a page")
    if ":" in host and "%" not in host:
        host = f"[{IPv6Address(host)}]"
    else:
        host = host.encode("idna").decode()
        if not HOST.fullmatch(host):
            raise ValueError("not a name of a host")
    place = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~")
    query = "?" + quote(parts.query, safe="/%:@!$&'()*+,;=~?") if parts.query else ""
    where = host if port is None else f"{host}:{port}"
    return f"{parts.scheme}://{where}{place}{query}"


class LinkTitles:
    """Asks for the titles of links."""

    def __init__(self, app: BaseApp) -> None:
        self.app, self.config = app, app.config

    async def open(self) -> None:
        """Make what asks; its own, so that nothing else is bound by these limits."""
        self.names = PublicResolver(also=self.config.fetch_from)
        self.client = AsyncHTTPClient(
            force_instance=True,
            resolver=self.names,
            max_clients=2 * AT_ONCE,  # who was let go may not be gone yet
            max_buffer_size=BODY_LIMIT,
            max_header_size=HEADER_LIMIT,
            max_body_size=BODY_MOST,
        )

    async def close(self) -> None:
        """End."""
        self.client.close()
        self.names.close()

    async def fetch_waiting(self) -> None:
        """Ask for the titles that wait, AT_ONCE at once, and store them, until there are none.

        What is under way when this ends is asked for again later.
        """
        throttle = self.config.throttle
        gates = Gates(lambda: asyncio.Semaphore(PER_HOST if throttle else AT_ONCE))
        claim = partial(links.claim, per_person=PER_MINUTE if throttle else None)
        asking: set[asyncio.Task[tuple[links.Wanted, str | None]]] = set()
        try:
            while True:
                free, wanted = min(FEW, AT_ONCE - len(asking)), []
                if free and await self.app.read(links.waiting):
                    wanted = await self.app.write(claim, free)
                for link in wanted:
                    asking.add(asyncio.create_task(self.ask(link, gates)))
                    await asyncio.sleep(GAP)
                if not asking:
                    return
                done, asking = await asyncio.wait(asking, timeout=0 if wanted else STEP)
                if done:
                    await self.app.write(links.store, [task.result() for task in done])
        finally:
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)

    async def ask(self, link: links.Wanted, gates: Gates) -> tuple[links.Wanted, str | None]:
        """Return a link, and the title of its page, None if there is none to be had."""
        address, place = "", link.address
        for _ in range(HOPS + 1):
            page = TitleReader()
            try:
                address = checked(urljoin(address, place))
                async with gates[urlsplit(address).netloc]:
                    await self.fetch(address, page)
            except (HTTPClientError, OSError, UnsatisfiableReadError, ValueError) as error:
                log.debug("%s: %s", address, error)  # what was read may do
            except Exception:  # whatever is wrong with one is not for the others
                log.exception("Fetching the title of %r has failed", link.address)
            place = page.headers.get("Location", "") if page.status in REDIRECTS else ""
            if not place:
                return link, page.title()
        return link, None

    async def fetch(self, address: str, page: TitleReader) -> None:
        """Read a page, as someone whom nobody knows."""
        answer = self.client.fetch(
            address,
            headers={"Accept": "text/html, application/xhtml+xml"},
            user_agent="Afazeres",
            connect_timeout=CONNECT,
            request_timeout=REQUEST,
            follow_redirects=False,
            decompress_response=True,
            header_callback=page.head,
            streaming_callback=page.read,
            raise_error=False,
        )
        await asyncio.shield(answer)  # Tornado complains of what fails after it was cancelled


async def fetch_waiting(app: BaseApp) -> None:
    """Ask for the titles that wait, unless --fetch_titles=false."""
    if app.config.fetch_titles:
        await app.service(LinkTitles).fetch_waiting()
