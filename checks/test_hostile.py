"""Bad input at every entry point: no fault of ours, no markup, no way off the site, no log line."""

import json
import re
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import pytest
import requests

from checks.support.programs import Program
from checks.support.servers import Server
from checks.support.visitors import Visitor

PAYLOADS = {
    "script": "<script>alert(1)</script>",
    "attribute": "\"'><img src=x onerror=alert(1)>",
    "template": "{{7*7}}{% raw x %}${7*7}%(x)s%s{0.__class__}",
    "sql": "'; DROP TABLE user; --",
    "nul": "a\0b",
    "lines": "a\r\nSet-Cookie: x=1\r\n\r\n<p>",
    "control": "\x1b[31m\x7f\x85\u2028",
    "bidi": "\u202eabc\u2066",
    "blank": "\u200b\u00a0\u3000",
    "mark": "\ufeffx",
    "digits": "٣٤",
    "negative": "-1",
    "zero": "0",
    "huge": "9" * 400,
    "infinite": "1e999",
    "nan": "NaN",
    "list": "[1,2]",
    "long": "x" * 70_000,
    "emoji": "👩‍👩‍👧‍👦" * 500,
    "zalgo": "z" + "\u0301" * 5000,
    "path": "../../../../etc/passwd",
    "scheme": "javascript:alert(1)",
    "host": "//evil.example/",
    "backslash": "/\\evil.example",
    "tab": "/\t/evil.example",
    "absolute": "https://evil.example/",
    "encoded": "/%2f%2fevil.example",
    "at": "/@evil.example/%5c%5cevil.example",
}
FORMS: dict[str, tuple[str, ...]] = {
    "/signup": ("username", "email", "password", "next"),
    "/login": ("username", "password", "next"),
    "/lists": ("name", "back", "op"),
    "/lists/{list}": ("title", "lines", "back", "op"),
    "/lists/{list}/rename": ("name", "back"),
    "/lists/{list}/toggle-all": ("completed", "back"),
    "/lists/{list}/clear-completed": ("back", "op"),
    "/lists/{list}/messages": ("text", "back"),
    "/lists/{list}/members": ("username", "role"),
    "/lists/{list}/invites": ("link",),
    "/todos/{todo}": (
        *("title", "notes", "assigned", "due", "due_time", "due_zone", "put", "back", "seen"),
        *("repeat", "repeat_from", "repeat_kind", "every", "until", "times", "preview"),
    ),
    "/todos/{todo}/skip": ("due", "back"),
    "/today": ("title", "due", "back"),
    "/upcoming": ("title", "due", "back"),
    "/todos/{todo}/move": ("after", "back"),
    "/undo": ("change", "back"),
    "/account": ("language", "timezone", "email", "current_password"),
    "/account/password": ("current_password", "new_password"),
    "/account/sessions": ("session",),
    "/account/tokens": ("name", "scope", "expires"),
    "/account/close": ("current_password",),
}
GIVEN = {"title": "x", "name": "x", "text": "x", "username": "nobody", "role": "viewer"}
GIVEN |= {"password": "three quiet otters", "current_password": "no", "completed": "true"}
QUERIES: dict[str, tuple[str, ...]] = {
    "/login": ("next", "ended"),
    "/signup": ("next",),
    "/lists/{list}": ("edit", "title"),
    "/today": ("page", "edit"),
    "/lists/{list}/messages": ("before",),
    "/lists/{list}/history": ("page",),
    "/lists/{list}/trash": ("page",),
    "/live/poll": ("list", "version"),
    "/live/events": ("list", "version"),
    "/account": ("saved",),
    "/api/todos": ("limit", "cursor"),
    "/api/lists/{list}/changes": ("since", "limit"),
}
BODIES: dict[str, tuple[str, ...]] = {
    "POST /api/todos": (
        *("title", "notes", "completed", "order", "list", "id", "url"),
        *("due", "due_time", "due_zone", "repeat", "repeat_from"),
    ),
    "PATCH /api/todos/{todo}": ("title", "notes", "completed", "order", "due", "repeat"),
    "POST /api/repeat": ("repeat", "due", "due_time", "due_zone", "repeat_from", "after", "count"),
    "POST /api/lists": ("name",),
    "PATCH /api/lists/{list}": ("name", "role", "version"),
    "POST /api/lists/{list}/messages": ("text", "user"),
    "POST /api/lists/{list}/members": ("username", "role"),
    "POST /api/tokens": ("username", "password", "name", "scope", "expires"),
}
VALUES: list[Any] = [None, True, 0, -1, 1.5, 2**63, 10**400, [], {}, [[]], {"a": 1}, "\ud800", ""]
HEADERS = (
    "Accept-Language",
    "Authorization",
    "Content-Type",
    "If-Match",
    "If-None-Match",
    "Idempotency-Key",
    "Last-Event-ID",
    "Range",
    "User-Agent",
    "X-Fragment",
    "X-Forwarded-For",
    "X-HTTP-Method-Override",
    "X-Seen",
    "Origin",
    "Sec-Fetch-Site",
)
each = pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)


def sound(answer: requests.Response) -> requests.Response:
    """Find nothing wrong with an answer, whatever was asked."""
    assert answer.status_code < 500, (answer.request.method, answer.url[:200])
    place = answer.headers.get("Location")
    if place:
        expected = urlsplit(answer.url)
        there = urlsplit(urljoin(answer.url, place.replace("\\", "/").replace("\t", "")))
        assert (there.scheme, there.netloc) == (expected.scheme, expected.netloc), place
    assert "x=1" not in answer.headers.get("Set-Cookie", "")
    if answer.headers.get("Content-Type", "").startswith("text/html"):
        assert "<script>alert" not in answer.text and "<img src=x" not in answer.text
        assert not re.search(r"(href|src|action)=\"\s*javascript:", answer.text)
        assert "49" not in re.findall(r"<h1[^>]*>(.*?)</h1>", answer.text)
    return answer


@pytest.fixture
def ids(ann: Visitor) -> dict[str, int]:
    """A list and a todo of Ann's."""
    ann.add("milk")
    return {"list": ann.list, "todo": ann.find("milk")}


@each
def test_forms(ann: Visitor, nobody: Visitor, ids: dict[str, int], payload: str) -> None:
    """Each field of each form; what is refused is said, and the rest of the form kept."""
    for path, fields in FORMS.items():
        who = nobody if path in ("/signup", "/login") else ann
        for field in fields:
            given = {name: GIVEN[name] for name in fields if name in GIVEN} | {field: payload}
            sound(who.post(path.format(**ids), **given))
    for path in (
        "",
        "/messages",
        "/members",
        "/history",
        "/trash",
        "/mine",
        ".csv",
        ".txt",
        ".json",
    ):
        assert sound(ann.get(f"/lists/{ann.list}{path}")).status_code == 200
    for path in ("/lists", "/account", "/account/tokens", "/account/sessions", "/account/export"):
        assert sound(ann.get(path)).status_code == 200


@each
def test_queries_and_paths(ann: Visitor, ids: dict[str, int], payload: str) -> None:
    """In the query, in place of an id, at the end of a path."""
    word = quote(payload[:500], safe="")
    for path, names in QUERIES.items():
        for name in names:
            others = {"list": ann.list, "version": 0} if "live" in path else {}
            query = "&".join(f"{n}={v}" for n, v in (others | {name: word}).items())
            with ann.http.get(
                f"{ann.server.url}{path.format(**ids)}?{query}",
                allow_redirects=False,
                timeout=20,
                stream=True,
            ) as answer:
                if not answer.headers.get("Content-Type", "").startswith("text/event-stream"):
                    sound(answer)
    for path in (
        "/lists/",
        "/todos/",
        "/messages/",
        "/join/",
        "/reset/",
        "/static/",
        "/api/todos/",
    ):
        for end in ("", "/delete"):
            answer = sound(ann.get(f"{path}{word}{end}"))
            assert answer.status_code in (303, 400, 401, 403, 404, 405), path


@each
def test_headers_and_cookies(ann: Visitor, server: Server, payload: str) -> None:
    """They make nobody someone else, and nothing that leaves the site."""
    server.expected.append("--trusted_proxies=127.0.0.1")
    safe = re.sub(r"[^\x20-\x7e]", "?", payload)[:8000]
    for header in HEADERS:
        for path in (f"/lists/{ann.list}", "/login", "/static/css/app.css"):
            sound(ann.get(path, headers={header: safe}))
        sound(requests.get(f"{server.url}/api/todos", headers={header: safe}, timeout=9))
        sound(requests.post(f"{server.url}/api/tokens", "{}", headers={header: safe}, timeout=9))
    for cookie in ("session", "device", "_xsrf"):
        value = re.sub(r"[;\s,\"]", "_", safe)
        stranger = {"Cookie": f"{ann.http.cookies.full(cookie)}={value}"}
        page = sound(requests.get(f"{server.url}/account", headers=stranger, timeout=9))
        assert "Log in" in page.text
        sound(requests.post(f"{server.url}/login", "a=b", headers=stranger, timeout=9))


@pytest.mark.parametrize("where", BODIES)
def test_bodies(ann: Visitor, server: Server, ids: dict[str, int], where: str) -> None:
    """Each field of each body, of every type, and every payload as a text."""
    program = Program(server, ann.name)
    method, path = where.format(**ids).split()
    path = path.removeprefix("/api")
    good = {"title": "x", "name": "x", "text": "x", "username": ann.name, "role": "owner"}
    for field in BODIES[where]:
        for value in [*VALUES, *PAYLOADS.values()]:
            needed = {name: good[name] for name in BODIES[where] if name in good}
            body = json.dumps(needed | {field: value}).encode()
            asked = {"Content-Type": "application/json"}
            sound(program.ask(method, path, data=body, headers=asked))
    for raw in (b"", b"\xff", b"{", b"[]", b"null", b'{"a":1,"a":1}', b"[" * 9999, b'"\\ud800"'):
        for kind in ("application/json", "text/plain", "multipart/form-data; boundary=x", ""):
            sound(program.ask(method, path, data=raw, headers={"Content-Type": kind}))


@pytest.mark.parametrize("method", ["TRACE", "PROPFIND", "CONNECT", "FOO"])
def test_methods(ann: Visitor, method: str) -> None:
    """Unknown ones are refused."""
    for path in ("/", "/login", f"/lists/{ann.list}", "/api/todos", "/static/css/app.css"):
        answer = ann.http.request(method, ann.server.url + path, allow_redirects=False, timeout=9)
        assert sound(answer).status_code in (400, 401, 403, 405), path


def test_anything_at_all(
    ann: Visitor, server: Server, ids: dict[str, int], hypothesis: Any
) -> None:
    """What comes to nobody's mind, in titles, notes, messages, names, and whole bodies."""
    some = hypothesis.strategies
    program = Program(server, ann.name)
    anything = some.recursive(
        some.none() | some.booleans() | some.floats() | some.integers() | some.text(),
        lambda inner: some.lists(inner) | some.dictionaries(some.text(), inner),
        max_leaves=9,
    )
    names = some.sampled_from(["title", "notes", "completed", "order", "list", "x"])

    @hypothesis.settings(max_examples=150, deadline=None, derandomize=True)
    @hypothesis.given(some.text(max_size=1200), some.dictionaries(names, anything))
    @hypothesis.example("\x1c", {"order": float("inf")})
    @hypothesis.example("\U000e0001", {"title": "\x1c"})
    def hold(text: str, body: dict[str, Any]) -> None:
        for path, field in (("", "title"), ("/messages", "text"), ("/rename", "name")):
            words = text.encode("utf-8", "replace").decode()
            answer = sound(ann.post(f"/lists/{ann.list}{path}", **{field: words}))
            assert answer.status_code in (303, 400, 422)
        raw = json.dumps(body).encode()
        asked = {"Content-Type": "application/json"}
        sound(program.ask("PATCH", f"/todos/{ids['todo']}", data=raw, headers=asked))

    hold()
    assert sound(ann.get(f"/lists/{ann.list}")).status_code == 200
