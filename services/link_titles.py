"""Titles of links: fetched in the background, from servers that may be hostile.

People write the addresses, and must not reach what only this machine can (OWASP: SSRF). So each
host name is resolved once, and only public IP addresses are connected to.
"""

import asyncio
import codecs
import logging
import re
import socket
import traceback
import unicodedata
from collections.abc import Callable
from functools import partial
from html import unescape
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin, urlsplit
from weakref import WeakValueDictionary

from tornado.httpclient import AsyncHTTPClient, HTTPClientError
from tornado.httputil import HTTPHeaders, HTTPInputError
from tornado.iostream import UnsatisfiableReadError
from tornado.log import app_log, gen_log
from tornado.netutil import Resolver

from models import links, text
from services.app_base import BaseApp, Service
from services.daemon_thread import in_daemon_thread

AT_ONCE, PER_HOST, PER_MINUTE = 100, 10, 10  # pages fetched; the last for one person's links
REDIRECTS = 3  # that are followed
LOOK_UP, CONNECT, REQUEST = 2.5, 3, 5  # seconds; each includes those before it
FEW, GAP = 12, 0.02  # fetches started in a row, and the seconds between two of them
STEP = 0.25  # seconds in which titles are gathered, to be stored and announced together
BODY_LIMIT, HEADER_LIMIT = 256 * 1024, 32 * 1024  # bytes, unpacked
MAX_BODY_SIZE = 1 << 40  # of a page; we stop reading at BODY_LIMIT
TITLE_LIMIT = 200
BEGIN, END = re.compile(rb"<title[\s/>]", re.IGNORECASE), re.compile(rb"</title", re.IGNORECASE)
JOINERS = "\u200c\u200d"  # invisible, but some scripts need them
HOST = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")
CHARSET = re.compile(r"charset\s{0,9}=\s{0,9}[\"']?([\w:.-]{1,40})", re.IGNORECASE)
ENCODINGS = re.compile("utf-8|iso8859|cp125|cp8|cp9|koi8|mac-|gb|big5|euc_|shift_jis|tis")
GLOBAL = IPv6Network("2000::/3")  # all of IPv6 that is assigned
NAT64 = IPv6Network("64:ff9b::/96")
RESOLVER_THREADS = 16
PORTS, REDIRECT_STATUS = (80, 443), (301, 302, 303, 307, 308)
ENOUGH = "enough was read for a title"
log = logging.getLogger(__name__)
# Tornado would log that as an error of the server.
gen_log.addFilter(lambda record: ENOUGH not in record.getMessage())
Gates = WeakValueDictionary[str, asyncio.Semaphore]  # by host, while anyone waits at it


class Unresolved(OSError):
    """A host name that couldn't be looked up, or isn't public."""


# Tornado logs what a look-up raises after it has given it up.
app_log.addFilter(lambda record: not (record.exc_info and record.exc_info[0] is Unresolved))


def public(address: str) -> bool:
    """Say whether an IP address is public, and so is any address embedded in it."""
    ip = ip_address(address)
    if isinstance(ip, IPv4Address):
        return ip.is_global and not ip.is_multicast
    embedded = [ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())]
    if ip in NAT64:
        embedded.append(IPv4Address(ip.packed[-4:]))
    if any(embedded):
        return all(public(str(each)) for each in embedded if each)
    return ip in GLOBAL and ip.is_global


class PublicResolver(Resolver):
    """Resolves a host name once for each request, and only to addresses that may be connected to.

    All addresses of a name must be public, or in `also`; if only some are, it may be a trap.
    """

    def initialize(self, also: str = "") -> None:
        """Take what may be connected to as well: IP:port,IP:port."""
        self.also = {each.strip() for each in also.split(",")}
        self.threads = asyncio.Semaphore(RESOLVER_THREADS)
        self.lookups: set[asyncio.Task[Any]] = set()

    async def resolve(
        self, host: str, port: int, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[tuple[int, Any]]:
        """Return families and addresses. Raises OSError if any of them isn't allowed."""
        look_up = partial(socket.getaddrinfo, host, port, family, socket.SOCK_STREAM)
        task = asyncio.create_task(self.in_thread(look_up))
        self.lookups.add(task)
        task.add_done_callback(self.forget)
        try:  # after a timeout it goes on, and takes one of the threads until it ends
            found = await asyncio.wait_for(asyncio.shield(task), LOOK_UP)
        except Exception as error:
            raise Unresolved(f"{host} can't be resolved: {error!r}") from error
        for *_, (address, *_) in found:
            known = f"[{address}]:{port}" if ":" in str(address) else f"{address}:{port}"
            if known not in self.also and not (port in PORTS and public(str(address))):
                raise Unresolved(f"{host} isn't public")
        return [(kind, address) for kind, _, _, _, address in found]

    async def in_thread(self, look_up: Callable[[], Any]) -> Any:
        async with self.threads:
            return await in_daemon_thread(look_up)

    def forget(self, task: "asyncio.Task[Any]") -> None:
        """Drop a look-up that has ended; its exception may have nobody waiting for it."""
        self.lookups.discard(task)
        if not task.cancelled():
            task.exception()

    def close(self) -> None:
        for task in self.lookups:
            task.cancel()


class TitleReader:
    """Takes in a response until there is enough of it for a title."""

    def __init__(self) -> None:
        self.status, self.headers, self.body = 0, HTTPHeaders(), bytearray()

    def head(self, line: str) -> None:
        if line.startswith("HTTP/"):
            self.status, self.headers = int(line.split()[1]), HTTPHeaders()
        elif line.strip():
            self.headers.parse_line(line)

    def read(self, chunk: bytes) -> None:
        """Take a part of the body. Raises HTTPInputError when it is enough: the connection ends."""
        self.body += chunk
        near = self.body[-len(chunk) - len(b"</title") :].lower()
        if not self.is_page() or b"</title" in near or len(self.body) >= BODY_LIMIT:
            raise HTTPInputError(ENOUGH)

    def is_page(self) -> bool:
        kind = self.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        return self.status == 200 and kind in ("text/html", "application/xhtml+xml")

    def title(self) -> str | None:
        """Return the page's title as a line of plain text, None when it has none.

        That is what is between the first title tags, with character references (HTML, 13.2.5.2).
        It is cut out before anything is parsed, as hostile pages can keep a parser busy.
        """
        body = bytes(self.body[:BODY_LIMIT]) if self.is_page() else b""
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
        """Return the page's encoding: what it declares, if that is a text encoding, or UTF-8."""
        declared = CHARSET.search(self.headers.get("Content-Type", "") + begin.decode("latin-1"))
        try:
            name = codecs.lookup(declared[1]).name if declared else ""
        except LookupError:
            name = ""
        if name in ("iso8859-1", "ascii"):
            return "cp1252"  # as in browsers (WHATWG Encoding, 4.2)
        return name if ENCODINGS.match(name) else "utf-8"


def plain(title: str) -> str | None:
    """Return a title as one line, without invisible and direction-changing characters.

    None if nothing is left.
    """
    visible = [c for c in title if c.isspace() or c in JOINERS or unicodedata.category(c)[0] != "C"]
    line = " ".join("".join(visible).split())[:TITLE_LIMIT].strip()
    return None if text.blank(line) else line


def normalized(address: str) -> str:
    """Return an address as it is fetched. Raises ValueError unless it is that of a web page."""
    parts = urlsplit(address)
    host, port = parts.hostname or "", parts.port
    if parts.scheme not in ("http", "https") or "@" in parts.netloc or len(host) > 253:
        raise ValueError("not an HTTP address")
    if ":" in host and "%" not in host:
        host = f"[{IPv6Address(host)}]"
    else:
        host = host.encode("idna").decode()
        if not HOST.fullmatch(host):
            raise ValueError("not a host name")
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~")
    query = "?" + quote(parts.query, safe="/%:@!$&'()*+,;=~?") if parts.query else ""
    where = host if port is None else f"{host}:{port}"
    return f"{parts.scheme}://{where}{path}{query}"


class LinkTitles(Service):
    async def open(self) -> None:
        """Make an HTTP client of our own, as these limits are for nothing else."""
        self.resolver = PublicResolver(also=self.app.config.fetch_from)
        self.client = AsyncHTTPClient(
            force_instance=True,
            resolver=self.resolver,
            max_clients=2 * AT_ONCE,  # a cancelled request may go on for a while
            max_buffer_size=BODY_LIMIT,
            max_header_size=HEADER_LIMIT,
            max_body_size=MAX_BODY_SIZE,
        )

    async def close(self) -> None:
        self.client.close()
        self.resolver.close()

    async def fetch_waiting(self) -> None:
        """Fetch the titles that wait, AT_ONCE at once, and store them, until none wait.

        What is being fetched when this is cancelled is fetched again later.
        """
        throttle = self.app.config.throttle
        gates, most = Gates(), PER_HOST if throttle else AT_ONCE
        claim = partial(links.claim, per_person=PER_MINUTE if throttle else None)
        fetching: set[asyncio.Task[tuple[links.Wanted, str | None]]] = set()
        try:
            while True:
                free, wanted = min(FEW, AT_ONCE - len(fetching)), []
                if free and await self.app.read(links.waiting):
                    wanted = await self.app.write(claim, free)
                for link in wanted:
                    fetching.add(asyncio.create_task(self.title_of(link, gates, most)))
                    await asyncio.sleep(GAP)
                if not fetching:
                    return
                done, fetching = await asyncio.wait(fetching, timeout=0 if wanted else STEP)
                if done:
                    await self.app.write(links.store, [task.result() for task in done])
        finally:
            for task in fetching:
                task.cancel()
            await asyncio.gather(*fetching, return_exceptions=True)

    async def title_of(
        self, link: links.Wanted, gates: Gates, most: int
    ) -> tuple[links.Wanted, str | None]:
        """Return a link, and the title of its page, None if there is none.

        No more than `most` pages of a host are fetched at once.
        """
        address, location = "", link.address
        for _ in range(REDIRECTS + 1):
            page = TitleReader()
            try:
                address = normalized(urljoin(address, location))
                async with gates.setdefault(urlsplit(address).netloc, asyncio.Semaphore(most)):
                    await self.fetch(address, page)
            except (HTTPClientError, OSError, UnsatisfiableReadError, ValueError) as error:
                log.debug("%s: %s", address, error)  # what was read may be enough
                if isinstance(error.__cause__, RuntimeError):  # no thread could be started, say
                    self.log(error.__cause__, link.address)
            except Exception as error:  # whatever is wrong with one must not stop the others
                self.log(error, link.address)
            location = page.headers.get("Location", "") if page.status in REDIRECT_STATUS else ""
            if not location:
                return link, page.title()
        return link, None

    def log(self, error: Exception, address: str) -> None:
        """Log a fault of ours once a minute, with the line of code where it was."""
        frame, line = [*traceback.walk_tb(error.__traceback__)][-1]
        reason = f"{type(error).__name__} at {Path(frame.f_code.co_filename).name}:{line}"
        self.app.error_log.log(reason, f"Fetching the title of {address!r} has failed, {error}")

    async def fetch(self, address: str, page: TitleReader) -> None:
        """Read a page into `page`, without cookies or anything else that tells who asks."""
        response = self.client.fetch(
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
        await asyncio.shield(response)  # Tornado logs what fails after it was cancelled


async def fetch_waiting(app: BaseApp) -> None:
    await app.service(LinkTitles).fetch_waiting()
