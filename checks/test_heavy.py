"""What takes much memory and CPU: bounded for each person and for all, while the loop goes on."""

import asyncio
import io
import itertools
import json
import re
import socket
import threading
import zipfile
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from app import App
from checks.support.servers import Server
from checks.support.sockets import aside, play
from checks.support.visitors import Visitor, alerts
from checks.support.waiting import wait
from checks.test_files import send, store
from checks.test_slow import memory
from config import Config
from controllers import list_page
from models import files
from server import start as start_server
from server import stop as stop_server
from services import heavy_requests
from services.heavy_requests import HeavyRequests

SIZE = 14_000_000  # bytes of an upload, of 15,000,000 that are allowed
PEOPLE = 12
MANY = 4_000  # todos
HELD = re.compile(r"event loop was blocked for (\d+) ms")
LATER = "Try again in 10 seconds."


def upload(visitor: Visitor, size: int = SIZE) -> socket.socket:
    """Begin to send a file, all but its last byte; return the connection."""
    place = urlsplit(visitor.server.url)
    cookies = "; ".join(f"{c.name}={c.value}" for c in visitor.http.cookies)
    one = socket.create_connection((place.hostname, place.port), timeout=20)
    head = "Content-Type: multipart/form-data; boundary=x\r\n"
    head += f"Cookie: {cookies}\r\nContent-Length: {size + 1}\r\n\r\n"
    one.sendall(f"POST /account/import HTTP/1.1\r\nHost: x\r\n{head}".encode() + bytes(size))
    return one


def people(server: Server, number: int) -> list[Visitor]:
    """Return so many visitors with accounts."""
    visitors = [Visitor(server, "p") for _ in range(number)]
    for visitor in visitors:
        visitor.sign_up()
    return visitors


def refused(answer: requests.Response, status: int) -> bool:
    """Say whether it was refused for now, with the time in a header and in a sentence."""
    assert (answer.status_code, answer.headers.get("Retry-After")) == (status, "10")
    return LATER in answer.text


def test_one_for_each_person(start: Callable[..., Server]) -> None:
    """Whatever its kind; others aren't concerned, nor is who comes back when it has ended."""
    server = start()
    ann, cy = people(server, 2)
    begun = upload(ann, 100_000)
    wait(lambda: send(ann, "a.txt", b"milk").status_code == 429)
    assert refused(send(ann, "a.txt", b"milk"), 429)
    assert refused(ann.get("/account/export"), 429)
    assert refused(ann.get(f"/lists/{ann.list}.csv"), 429)
    assert ann.get("/account/import").status_code == ann.get("/lists").status_code == 200
    assert send(cy, "a.txt", b"milk").status_code == 200
    assert cy.get("/account/export").status_code == 200
    begun.close()
    wait(lambda: ann.get("/account/export").status_code == 200)
    assert send(ann, "a.txt", b"milk").status_code == 200
    server.stop()


def test_uploads_take_bounded_memory(start: Callable[..., Server]) -> None:
    """Of all who send together, and of it nothing is left when they have gone."""
    server = start("--throttle=true")
    visitors = people(server, PEOPLE - 3)  # ten can sign up in an hour
    before = memory(server)
    uploads = [upload(visitor) for visitor in visitors for _ in range(2)]
    assert requests.get(f"{server.url}/healthz", timeout=9).status_code == 200
    assert memory(server) - before < 80
    for one in uploads:
        one.close()
    large = b"x" * 60 + b"\n" + b"\n" * 100_000 + (b"y" * 999 + b"\n") * 4_800
    wait(lambda: send(visitors[0], "a.txt", large).status_code == 200)
    assert memory(server) - before < 160
    server.stop()


@asynccontextmanager
async def inside(folder: Path) -> AsyncIterator[tuple[App, Visitor]]:
    """Run the app in this process; Ann has an account there."""
    app = App(Config(port=0, database=str(folder / "people.db"), throttle=False))
    running = await start_server(app)
    ann = Visitor(SimpleNamespace(url=f"http://127.0.0.1:{running.port}"), "ann")  # type: ignore[arg-type]
    await aside(ann.sign_up)
    yield app, ann
    ann.http.close()
    await stop_server(running)


def test_two_for_the_process(tmp_path: Path) -> None:
    """Who comes third is asked to come back, and what was to be stored is still in the form."""

    async def scene() -> None:
        async with inside(tmp_path) as (app, ann):
            page = (await aside(send, ann, "a.txt", b'milk "<&\n')).text
            with ExitStack() as others:
                for _ in range(heavy_requests.AT_ONCE):
                    others.enter_context(app.service(HeavyRequests).work())
                assert refused(await aside(ann.get, "/account/export"), 503)
                assert refused(await aside(ann.get, f"/lists/{ann.list}.json"), 503)
                assert refused(await aside(send, ann, "a.txt", b"milk"), 503)
                kept = await aside(store, ann, page, list=str(ann.list))
                assert refused(kept, 503) and len(alerts(kept.text)) == 1
            made = await aside(store, ann, kept.text, list=str(ann.list))
            assert made.headers["Location"] == f"/lists/{ann.list}"
            assert [row.title for row in await aside(ann.rows)] == ['milk "<&']

    play(scene)


def rows(number: int) -> list[dict[str, Any]]:
    """Return todos with some notes."""
    return [{"title": f"{n} " + "x" * 80, "notes": '"<&' * 30} for n in range(number)]


def archive(data: bytes) -> bytes:
    """Return a zip with a list."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("lists/1.json", data)
    return file.getvalue()


def test_the_loop_goes_on(start: Callable[..., Server]) -> None:
    """Whatever is imported and exported, and however long a list is."""
    server = start()
    ann, cy = people(server, 2)
    bad = {
        "nested.json": b"[" + b"[]," * 1_600_000 + b"[]]",
        "numbers.json": b"[" + b"1.5," * 390_000 + b"1]",
        "lines.txt": b"\n" * 4_900_000,
        "lists.json": b"[" + b'{"todos":[]},' * 370_000 + b'{"todos":[]}]',
        "line.txt": b"x" * 4_900_000,
        "problems.json": b"[" + b'"",' * 19_000 + b'""]',
        "title.json": json.dumps([{"title": "\\ " * 1_600_000, "created": [1] * 100}]).encode(),
    }
    full = json.dumps(rows(MANY)).encode()
    ended = threading.Event()
    answered: list[int] = []

    def ask() -> None:
        while not ended.is_set():
            answered.append(requests.get(f"{server.url}/healthz", timeout=9).status_code)

    honest = threading.Thread(target=ask)
    honest.start()
    try:
        for name, data in bad.items():
            assert send(ann, name, data).status_code in (200, 413, 422), name
        for name, data in (("full.json", full), ("full.zip", archive(full))):
            made = store(ann, send(ann, name, data).text)
        page = made.headers["Location"]
        for path in (page, f"{page}/active", f"{page}.json", f"{page}.csv", f"{page}.txt"):
            assert ann.get(path).status_code == 200
        ann.get(page, headers={"X-Fragment": "rows"})
        assert ann.get("/account/export").status_code == 200
        assert cy.get("/lists").status_code == 200
    finally:
        ended.set()
        honest.join()
    assert {*answered} == {200} and len(answered) > 20
    # The machine may be busy with other things; what held the loop took ten times as long.
    assert [line for line in map(int, HELD.findall(server.log.read_text())) if line > 400] == []
    server.stop()


def test_a_long_page_is_rendered_while_others_are_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop turns meanwhile."""
    turns, meanwhile = itertools.count(), list[int]()
    render = list_page.ListPageHandler.render_string

    def watched(self: Any, template: str, **values: Any) -> bytes:
        begun = next(turns)
        html = render(self, template, **values)
        if template == "todos/rows.html":
            meanwhile.append(next(turns) - begun - 1)
        return html

    async def turn() -> None:
        while True:
            next(turns)
            await asyncio.sleep(0)

    async def scene() -> None:
        async with inside(tmp_path) as (_, ann):
            data = json.dumps(rows(MANY)).encode()
            page = (await aside(send, ann, "a.json", data)).text
            stored = await aside(store, ann, page)
            monkeypatch.setattr(list_page.ListPageHandler, "render_string", watched)
            turning = asyncio.create_task(turn())
            found = await aside(ann.get, stored.headers["Location"])
            turning.cancel()
            assert found.text.count("<li id=") == MANY
            assert len(meanwhile) == 1 and meanwhile[0] > 5

    play(scene)


def test_a_page_is_compressed_all_the_same(ann: Visitor) -> None:
    """Also one that is long: in a thread."""
    data = json.dumps(rows(1_000)).encode()
    page = store(ann, send(ann, "a.json", data).text).headers["Location"]
    found = ann.get(page)
    assert found.headers["Content-Encoding"] == "gzip" and found.text.count("<li id=") == 1_000
    assert "Accept-Encoding" in found.headers["Vary"]
    plain = ann.get(page, headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers and plain.text.count("<li id=") == 1_000


def test_reading_a_file_takes_what_it_holds() -> None:
    """The limits are of what people have: a list as long as may be, with prose in it."""
    text = {"title": "one, two, three", "notes": "first, and\nthen, " * 8}
    found = files.read("a.json", json.dumps([text] * 20_000).encode())
    assert len(found.sheets[0].todos) == 20_000
