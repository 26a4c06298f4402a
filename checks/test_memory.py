"""What requests say isn't kept: a stranger can't fill the memory with words of their own."""

import itertools
import socket
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from checks.support.servers import Server
from checks.support.sockets import CONNECTIONS
from checks.support.visitors import Visitor
from checks.test_slow import memory

MANY = 10_000  # of each: methods, paths, hosts, cookies, languages, browsers, tokens
BOUND = 3  # MB; it grows by 1, and by 4 where languages are kept without end
WORD = "x" * 180  # nearly what is looked at of a language or a host
NUMBERS = itertools.count()


def requests(number: int, path: str) -> str:
    """Return three requests in which whatever can be made up is new."""
    word = f"{number}{WORD}"
    about = (
        f"Host: {word}\r\nUser-Agent: {word}\r\nAccept-Language: {word}, {word[:9]};q=0.5\r\n"
        f"Cookie: session={word}|1:0|; _xsrf={word}; {word}={word}; lang={word}\r\n"
        f"Authorization: Bearer todo_{word[-80:]}{number}\r\nOrigin: http://{word}\r\n"
        f"X-Forwarded-For: 10.{number // 65536}.{number // 256 % 256}.{number % 256}\r\n"
        f'If-None-Match: "{word}"\r\n{word}: x\r\n\r\n'
    )
    lines = f"GET {path}?next=/{word}", f"GET /api/lists?{word}", f"M{word} /{word}"
    return "".join(f"{line} HTTP/1.1\r\n{about}" for line in lines)


def ask(server: Server, many: int) -> None:
    """Send so many of each, with a connection for every hundred."""
    place = urlsplit(server.url)
    paths = itertools.cycle(["/login", "/nothing/", "/lists/1", "/static/js/main.js", "/live/poll"])
    for _ in range(0, many, 100):
        with socket.create_connection((place.hostname, place.port), timeout=20) as one:
            text = "".join(requests(next(NUMBERS), next(paths)) for _ in range(100))
            end = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            one.sendall((text + end).encode())
            answer = b""
            while data := one.recv(65536):
                answer = answer[-10:] + data
            assert answer.endswith(b"ok\n")


@pytest.mark.skipif(not CONNECTIONS.exists(), reason="only Linux tells how much memory there is")
def test_made_up_words_are_not_kept(start: Callable[..., Server]) -> None:
    """After a time in which all caches have filled, nothing is added."""
    server = start("--trusted_proxies=127.0.0.1", "--logging=error", "--throttle=true")
    ann = Visitor(server, "ann")
    ann.sign_up()
    ask(server, 1_000)
    before = memory(server)
    ask(server, MANY)
    assert memory(server) - before < BOUND
    assert ann.get(f"/lists/{ann.list}").status_code == 200
    server.stop()
