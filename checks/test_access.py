"""Every address, with every method, as everyone: nobody is let in, or told what there is."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from app import ADDRESSES, API_ADDRESSES
from checks.support.programs import Program
from checks.support.servers import Server, inside
from checks.support.visitors import PASSWORD, Visitor, join
from controllers.security import POLICY

pytestmark = pytest.mark.engine

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
NOTHING = "999999999"  # an id that nothing has
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Server": "todo",
}
OWN = {"/signup", "/login", "/logout", "/lists", "/", "/api", "/undo"}  # they lead to one's own
FIELDS = {"title": "x", "name": "x", "text": "x", "username": "cy", "role": "viewer"}
FIELDS |= {"completed": "true", "after": "", "link": "viewer", "password": PASSWORD}
BODY = {"title": "x"}


def patterns() -> list[str]:
    """Return the pattern of every address."""
    found = [getattr(rule, "matcher", None) for rule in ADDRESSES]
    pages = [each.regex.pattern.rstrip("$") for each in found if each]
    pages += [rule[0] for rule in ADDRESSES if isinstance(rule, tuple)]
    return [*pages, *(row[0] for row in API_ADDRESSES[:-1])]


def addresses(ids: dict[str, str]) -> Iterator[str]:
    """Give every address of the table, with these ids in it."""
    for pattern in patterns():
        kinds = re.findall(r"/(\w+)/\(\[1-9\]", pattern)
        path = pattern.replace(r"\.", ".")
        for kind in kinds:
            path = path.replace("([1-9][0-9]{0,17})", ids[kind], 1)
        path = path.replace("([^/]+)", ids["name"])
        path = re.sub(r"\(\[\\w-\]\{\d+\}\)", "x" * (43 if "reset" in path else 22), path)
        choices = re.search(r"\(([\w|-]+)\)", path)
        for choice in choices[1].split("|") if choices else [""]:
            yield re.sub(r"\([\w|-]+\)", choice, path)


def ask(who: Any, method: str, path: str) -> requests.Response:
    """Send a request, a form with its token from browsers."""
    url, http = who.server.url + path, who.http
    kwargs: dict[str, Any] = {"allow_redirects": False, "timeout": 20}
    if path.startswith("/api"):
        return http.request(
            method, url, json=BODY if method in ("POST", "PATCH") else None, **kwargs
        )
    form = None
    if method == "POST":
        if "_xsrf" not in http.cookies:
            who.get("/login")
        form = FIELDS | {"_xsrf": http.cookies["_xsrf"]}
    return http.request(method, url, data=form, **kwargs)


def look_over(answer: requests.Response) -> None:
    """Find every header of every answer, and nothing of ours in cookies but what is safe there."""
    headers = answer.headers
    for name, value in HEADERS.items():
        assert headers[name].startswith(value), (answer.url, name)
    api = answer.url.partition("//")[2].partition("/")[2].startswith("api/")
    policy = "cross-origin" if api else "same-origin"
    assert headers["Cross-Origin-Resource-Policy"] == policy
    assert headers.get("Cache-Control", "no-store") == "no-store" or answer.status_code == 101
    assert ("Access-Control-Allow-Origin" in headers) == api
    assert "Access-Control-Allow-Credentials" not in headers
    for cookie in headers.get("Set-Cookie", "").split(", _"):
        if cookie and "=;" not in cookie and '=""' not in cookie:
            assert "HttpOnly" in cookie and "SameSite=Lax" in cookie and "Path=/" in cookie
    assert answer.status_code < 500, (answer.request.method, answer.url)


def dump(server: Server, numbers: list[int]) -> list[Any]:
    """Return all that lists hold."""
    with inside(server.database) as run:
        return [
            run(f"SELECT * FROM {table} WHERE {column} = ? ORDER BY id", number)
            for number in numbers
            for table, column in (
                ("list", "id"),
                ("todo", "list_id"),
                ("message", "list_id"),
                ("change", "list_id"),
                ("invite", "list_id"),
            )
        ]


def plain(answer: requests.Response, *ids: str) -> str:
    """Return an answer without tokens and ids."""
    text = re.sub(r'name="_xsrf" value="[^"]*"', "", answer.text)
    return re.sub("|".join(sorted(set(ids), key=len, reverse=True)), "#", text)


@pytest.fixture
def ids(ann: Visitor, server: Server) -> dict[str, str]:
    """One of each of Ann's things, in a list of hers alone."""
    ann.add("a confidence")
    ann.post(f"/lists/{ann.list}/messages", text="a confidence")
    ann.post(f"/lists/{ann.list}/invites", link="editor")
    Program(server, ann.name)
    with inside(server.database) as run:
        last = {
            table: str(run(f"SELECT MAX(id) FROM {table}")[0][0])
            for table in ("message", "invite", "token")
        }
    return {
        "lists": str(ann.list),
        "todos": str(ann.find("a confidence")),
        "messages": last["message"],
        "invites": last["invite"],
        "tokens": last["token"],
        "identities": "1",
        "name": ann.name,
    }


def test_strangers_find_nothing(
    ann: Visitor, cy: Visitor, nobody: Visitor, server: Server, ids: dict[str, str]
) -> None:
    """What Ann has answers them like what nobody has."""
    read, write = Program(server, cy.name, scope="read"), Program(server, cy.name)
    none = dict.fromkeys(ids, NOTHING) | {"name": "nobody-has-this"}
    before, tries = dump(server, [ann.list]), 0
    for there, missing in zip(addresses(ids), addresses(none), strict=True):
        for method in METHODS:
            people = (read, write, nobody) if there.startswith("/api/") else (nobody, cy)
            for who in people:
                if there == missing and who is not nobody:
                    continue  # it names nothing of Ann's
                answer = ask(who, method, there)
                look_over(answer)
                tries += 1
                assert "a confidence" not in answer.text and ann.name not in answer.text.replace(
                    there, ""
                )
                if there == missing:
                    continue
                other = ask(who, method, missing)
                tries += 1
                assert answer.status_code == other.status_code, (method, there)
                assert answer.status_code >= 300 or method == "OPTIONS", (method, there)
                names = [*ids.values(), *none.values()]
                assert plain(answer, *names) == plain(other, *names)
    assert tries > 1000
    assert dump(server, [ann.list]) == before
    assert ann.get("/account").status_code == 200


def test_members_do_what_they_may(
    ann: Visitor, cy: Visitor, server: Server, ids: dict[str, str]
) -> None:
    """A viewer and a token that reads change nothing; an editor nothing that is the owner's."""
    page, tries = f"/lists/{ann.list}", 0
    read = Program(server, ann.name, scope="read")
    join(ann, cy, "viewer")
    before = dump(server, [ann.list])
    for path in addresses(ids):
        if path in (f"{page}/leave", f"{page}/members/{ann.name}/remove"):
            continue
        for method in METHODS:
            who = read if path.startswith("/api/") else cy
            if path in OWN or path.startswith(("/account", "/api/lists", "/live")):
                continue
            look_over(ask(who, method, path))
            tries += 1
    assert tries > 100 and dump(server, [ann.list]) == before
    join(ann, cy, "editor")
    for end in ("rename", "delete", "members", "invites", f"invites/{ids['invites']}/revoke"):
        assert ask(cy, "POST", f"{page}/{end}").status_code == 403
    assert ask(cy, "POST", f"{page}/members/{ann.name}/remove").status_code == 403
