"""The API, as programs meet it on a live server."""

import json
import random
import re
import subprocess
import sys
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests

from checks.support.programs import Program
from checks.support.servers import ROOT, Server
from checks.support.visitors import PASSWORD, Visitor

HEADERS = "authorization,content-type,if-match,if-none-match,idempotency-key,last-event-id"


@pytest.fixture
def program(ann: Visitor) -> Program:
    """Ann's program."""
    return Program(ann.server, ann.name)


@pytest.fixture
def list_url(ann: Visitor) -> str:
    """Where Ann's list is."""
    return f"/lists/{ann.list}"


def test_a_todos_life(ann: Visitor, program: Program) -> None:
    """Made, read, changed, deleted, by program and page alike; instants, numbers, address."""
    answer = program.post("/todos", {"title": " milk 🥛 ", "order": 1.25, "notes": "two\r\nof it"})
    todo = answer.json()
    assert answer.status_code == 201 and answer.headers["Location"] == todo["url"]
    assert todo["url"] == f"{program.url}/todos/{todo['id']}"
    assert (todo["title"], todo["notes"], todo["order"]) == ("milk 🥛", "two\nof it", 1.25)
    assert todo["completed"] is False and todo["list"] == ann.list
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", todo["created"])
    assert program.get(todo["url"]).json() == todo == program.get("/todos").json()[0]
    assert [row.title for row in ann.rows()] == ["milk 🥛"]
    changed = program.patch(todo["url"], {"completed": True, "title": "oat milk"})
    assert changed.status_code == 200 and changed.json()["version"] == todo["version"] + 1
    assert program.get(todo["url"]).json() == changed.json()
    assert "Changed “milk 🥛”" not in ann.get(f"/lists/{ann.list}/history").text
    assert "Changed “oat milk”" in ann.get(f"/lists/{ann.list}/history").text
    assert program.patch(todo["url"], {}).json() == changed.json()
    deleted = program.delete(todo["url"])
    assert deleted.status_code == 204 and deleted.text == ""
    assert program.get(todo["url"]).status_code == program.delete(todo["url"]).status_code == 404
    ann.post(f"/todos/{todo['id']}/restore")
    assert program.get(todo["url"]).json()["title"] == "oat milk"
    assert program.delete("/todos").status_code == 204
    assert program.get("/todos").json() == []


def test_a_number_is_written_one_way(ann: Visitor, program: Program) -> None:
    """Whole ones without a fraction: made, changed, read, in changes and in files."""
    made = program.post("/todos", {"title": "milk", "order": 15})
    url = made.json()["url"]
    answers = [made, program.get(url), program.patch(url, {"title": "oat milk"}), program.get(url)]
    answers += [program.patch(url, {"order": 15.0}), program.get("/todos")]
    answers += [program.get(f"/lists/{ann.list}/changes"), ann.get(f"/lists/{ann.list}.json")]
    for answer in answers:
        assert re.findall(r'"order": ?([^,}]*)', answer.text)[-1] == "15", answer.text
    assert ",15," in ann.get(f"/lists/{ann.list}.csv").text
    for order, written in ((-0.0, "0"), (1e3, "1000"), (2**53, str(2**53)), (0.5, "0.5")):
        assert f'"order":{written},' in program.patch(url, {"order": order}).text
        assert f'"order":{written},' in program.get(url).text


def test_lists_members_and_messages(ann: Visitor, cy: Visitor, program: Program) -> None:
    """A list is made, renamed, shared, talked about, left, deleted; rights are the pages' own."""
    made = program.post("/lists", {"name": "Casa"})
    casa = made.json()
    path = f"/lists/{casa['id']}"
    assert made.status_code == 201 and casa["role"] == "owner" and casa["open"] == 0
    assert program.patch(path, {"name": "Haus"}).json()["name"] == "Haus"
    other = Program(cy.server, cy.name)
    assert other.get(path).status_code == other.get(f"{path}/todos").status_code == 404
    shared = program.post(f"{path}/members", {"username": cy.name.upper(), "role": "viewer"})
    asked = {"username": cy.name, "role": "viewer", "invited": True}
    assert shared.status_code == 201 and shared.json() == asked
    assert program.get(f"{path}/members").json()[1:] == [asked]
    offered = [each for each in other.get("/lists").json() if each["invited"]]
    assert [(each["id"], each["role"]) for each in offered] == [(casa["id"], "viewer")]
    assert other.get(path).status_code == other.get(f"{path}/members").status_code == 404
    accepted = other.post(f"{path}/accept", {})
    assert accepted.status_code == 201 and accepted.json()["invited"] is False
    assert accepted.headers["Location"].endswith(f"/api{path}")
    assert other.get(path).json()["role"] == "viewer"
    assert other.post(f"{path}/todos", {"title": "no"}).status_code == 403
    assert other.post(f"{path}/messages", {"text": "no"}).status_code == 403
    assert other.post(f"{path}/members", {"username": "x", "role": "owner"}).status_code == 403
    assert other.patch(path, {"name": "no"}).status_code == other.delete(path).status_code == 403
    program.post(f"{path}/members", {"username": cy.name, "role": "editor"})
    assert other.post("/todos", {"title": "yes", "list": casa["id"]}).json()["list"] == casa["id"]
    said = other.post(f"{path}/messages", {"text": "hello\n<b>there</b>"}).json()
    assert program.get(f"{path}/messages").json() == [said] and said["user"] == cy.name
    members = program.get(f"{path}/members").json()
    owner = {"username": ann.name, "role": "owner", "invited": False}
    assert members == [owner, {"username": cy.name, "role": "editor", "invited": False}]
    nobody = program.post(f"{path}/members", {"username": "no such person", "role": "editor"})
    assert nobody.status_code == 422 and nobody.json()["errors"][0]["field"] == "username"
    assert program.delete(f"{path}/members/{ann.name}").status_code == 409
    demoted = program.post(f"{path}/members", {"username": ann.name, "role": "viewer"})
    assert demoted.status_code == 409
    assert other.delete(f"{path}/members/{ann.name}").status_code == 403
    assert other.post(f"{path}/leave", {}).status_code == 204
    assert other.get(path).status_code == 404
    assert program.delete(f"{path}/members/{cy.name}").status_code == 404
    kinds = [c["kind"] + " " + c["verb"] for c in program.get(f"{path}/changes").json()]
    assert kinds == [
        *("list create", "list rename", "member invite", "member accept", "member role"),
        *("todo add", "message say", "member leave"),
    ]
    assert program.delete(path).status_code == 204
    assert program.get(path).status_code == 404
    assert [each["id"] for each in program.get("/lists").json()] == [ann.list]


def test_tokens(ann: Visitor, cy: Visitor, program: Program) -> None:
    """They open until they end; reading ones write nothing; nobody sees another's."""
    assert program.made.headers["Location"].endswith(f"/api/tokens/{program.made.json()['id']}")
    reading = Program(ann.server, ann.name, scope="read", expires="2100-01-01T00:00:00+01:00")
    assert reading.get("/todos").status_code == 200
    assert reading.post("/todos", {"title": "x"}).status_code == 403
    assert reading.delete("/todos").status_code == 403
    told = program.get("/tokens").json()
    assert [each["scope"] for each in told] == ["write", "read"]
    assert told[1]["expires"] == "2099-12-31T23:00:00.000Z" and "token" not in told[0]
    other = Program(cy.server, cy.name)
    number = told[1]["id"]
    assert other.delete(f"/tokens/{number}").status_code == 404
    assert program.delete(f"/tokens/{number}").status_code == 204
    gone = reading.get("/todos")
    assert gone.status_code == 401 and gone.headers["WWW-Authenticate"].startswith("Bearer")
    wrong = {"password": "wrong", "name": "x"}
    refusals = [program.post("/tokens", {"username": n, **wrong}) for n in (ann.name, "nobody")]
    assert [answer.status_code for answer in refusals] == [403, 403]
    assert refusals[0].json() == refusals[1].json()
    odd = ({"scope": "all"}, {"expires": ""}, {"username": "\ud800"}, {"password": "\ud800"})
    for body in (*odd, {"expires": "2020-01-01T00:00:00Z"}, {"expires": "tomorrow"}):
        account = {"username": ann.name, "password": PASSWORD, "name": "x", **body}
        assert program.post("/tokens", account).status_code == 422, body
    for header in ("", "Bearer", "Bearer x", "Basic YTpi", "Bearer " + "é" * 40, "x" * 9000):
        program.http.headers["Authorization"] = header.encode()
        assert program.get("/todos").status_code == 401, header


def test_a_cookie_opens_nothing(ann: Visitor) -> None:
    """The API never looks at one."""
    assert ann.get("/api/todos").status_code == 401
    assert ann.post("/api/todos", title="x").status_code == 401


def test_any_origin_may_ask(program: Program) -> None:
    """A browser is told what it may send; no cookie is let through."""
    answer = program.ask("OPTIONS", "/todos", headers={"Origin": "https://elsewhere.example"})
    assert (
        answer.status_code == 204 and answer.headers["Allow"] == "GET, HEAD, POST, DELETE, OPTIONS"
    )
    assert answer.headers["Access-Control-Allow-Headers"].replace(" ", "").lower() == HEADERS
    assert "Access-Control-Allow-Credentials" not in answer.headers
    cross = {"Origin": "https://elsewhere.example", "Sec-Fetch-Site": "cross-site"}
    assert program.post("/todos", {"title": "x"}, headers=cross).status_code == 201


BODIES = [
    (b"", "bad_json"),
    (b"{", "bad_json"),
    (b'\xef\xbb\xbf{"title": "x"}', "bad_json"),
    (b'{"title": "\xff"}', "bad_json"),
    (b'{"title": NaN}', "bad_json"),
    (b'{"title": "x", "order": Infinity}', "bad_json"),
    (b'{"title": "x", "order": 1e999}', "bad_json"),
    (b'{"title": "x", "title": "y"}', "bad_json"),
    (b'{"title": ' + b"9" * 5000 + b"}", "bad_json"),
    (b'{"title": ' + b"[" * 100 + b"]" * 100 + b"}", "bad_json"),
    (b"[" * 100_000, "bad_json"),
    (b'["title"]', "bad_json"),
    (b'"title"', "bad_json"),
    (b"null", "bad_json"),
    (b"{}", "title"),
    (b'{"title": null}', "title"),
    (b'{"title": 7}', "title"),
    (b'{"title": ["x"]}', "title"),
    (b'{"title": "  "}', "title"),
    (b'{"title": "a\\u0000b"}', "title"),
    (b'{"title": "\\ud800"}', "title"),
    (b'{"title": "a\\nb"}', "title"),
    (json.dumps({"title": "x" * 1001}).encode(), "title"),
    (json.dumps({"title": " " + "x" * 1000}).encode(), "title"),
    (json.dumps({"title": "x", "notes": "x" * 16001}).encode(), "notes"),
    (b'{"title": "x", "completed": 1}', "completed"),
    (b'{"title": "x", "completed": "true"}', "completed"),
    (b'{"title": "x", "order": true}', "order"),
    (b'{"title": "x", "order": "1"}', "order"),
    (b'{"title": "x", "order": 9007199254740993}', "order"),
    (b'{"title": "x", "owner": 1}', "owner"),
    (b'{"title": "x", "\\ud800": 1}', "\ud800"),
    (b'{"title": "x", "list": 0}', "list"),
]


@pytest.mark.parametrize(("body", "wrong"), BODIES, ids=lambda value: repr(value)[:40])
def test_bad_bodies(program: Program, body: bytes, wrong: str) -> None:
    """Are refused with a reason, and change nothing."""
    headers = {"Content-Type": "application/json"}
    answer = program.ask("POST", "/todos", data=body, headers=headers)
    if wrong == "bad_json":
        assert answer.status_code == 400 and answer.json()["type"] == "/api#bad_json"
    else:
        assert answer.status_code == 422
        assert [error["field"] for error in answer.json()["errors"]] == [wrong]
    assert program.get("/todos").json() == []


def test_other_bad_requests(ann: Visitor, cy: Visitor, program: Program) -> None:
    """Kinds, queries, numbers, methods, other people's things."""
    kinds = ("text/plain", "", "application/x-www-form-urlencoded", "application/jsonl", "json")
    for kind in kinds:
        headers = {"Content-Type": kind}
        assert program.ask("POST", "/todos", data=b"{}", headers=headers).status_code == 415, kind
    parts = program.ask("POST", "/todos", files={"title": b"x"})
    assert parts.status_code == 415 and parts.json()["type"] == "/api#content_type"
    packed = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    assert program.ask("POST", "/todos", data=b"{}", headers=packed).status_code == 415
    fair = {"Content-Type": 'application/JSON; charset="UTF-8"'}
    assert program.ask("POST", "/todos", data=b'{"title":"x"}', headers=fair).status_code == 201
    nan = "cursor=" + urlsafe_b64encode(b'["nan", 1]').decode()
    for query in ("limit=0", "limit=x", "limit=1&limit=2", "cursor=x", "cursor=", nan):
        assert program.get(f"/todos?{query}").status_code == 400, query
    for query in ("since=x", "since=-1", "since=", "since=" + "9" * 16):
        assert program.get(f"/lists/{ann.list}/changes?{query}").status_code == 400, query
    assert program.get("/todos?limit=99999").status_code == 200
    for path in ("/todos/0", "/todos/01", "/todos/x", "/todos/" + "9" * 19, "/todos/1/", "/x", "/"):
        assert program.get(path).status_code == 404, path
    theirs = Program(cy.server, cy.name).post("/todos", {"title": "theirs"}).json()
    never = program.get("/todos/999999999").json()
    assert program.get(theirs["url"]).json() == never
    assert program.patch(theirs["url"], {"title": "mine"}).json() == never
    assert program.delete(theirs["url"]).json() == never
    assert program.post("/todos", {"title": "x", "list": theirs["list"]}).json() == never
    elsewhere = {"title": "x", "list": theirs["list"]}
    assert program.post(f"/lists/{ann.list}/todos", elsewhere).status_code == 422
    answer = program.ask("PUT", "/todos", json={"title": "x"})
    assert answer.status_code == 405 and "DELETE" in answer.headers["Allow"]
    sent_back = {"title": "x", "role": "owner", "open": 7, "version": 1}  # read-only, of any object
    assert program.post("/todos", sent_back).status_code == 201
    french = program.get("/todos/0", headers={"Accept-Language": "fr"}).json()
    assert "partagé" in french["detail"]


def test_pages_of_a_collection(ann: Visitor, program: Program, list_url: str) -> None:
    """Each row once, in order, whatever the size of a page, by following the links."""
    for number in range(7):
        program.post("/todos", {"title": f"{number}", "order": number // 2})
        program.post(f"{list_url}/messages", {"text": f"{number}"})
        program.post("/lists", {"name": f"{number}"})
    for path, name in (("/todos", "title"), (f"{list_url}/messages", "text"), ("/lists", "name")):
        whole = [row[name] for row in program.get(path).json()]
        assert len(whole) >= 7 and whole[-1] == "6"
        for limit in (1, 3, 7, 8):
            found, following = [], f"{path}?limit={limit}"
            while following:
                answer = program.get(following)
                found += [row[name] for row in answer.json()]
                following = answer.links.get("next", {}).get("url", "")
            assert found == whole, (path, limit)
    found, following = [], f"{list_url}/changes?since=2&limit=4"
    while following:
        answer = program.get(following)
        found += [change["version"] for change in answer.json()]
        following = answer.links.get("next", {}).get("url", "")
    assert found == [*range(3, program.get(list_url).json()["version"] + 1)]


def test_versions(ann: Visitor, program: Program, list_url: str) -> None:
    """304 for what is known, 412 for what has changed, with what it is now."""
    todo = program.post("/todos", {"title": "milk"}).json()
    paths = ("/todos", todo["url"], "/lists", list_url, f"{list_url}/members", "/tokens")
    for path in (*paths, f"{list_url}/messages", f"{list_url}/changes"):
        etag = program.get(path).headers["ETag"]
        for value in (etag, f'"x", {etag}', f'"x",{etag}', f"W/{etag}", "*"):
            answer = program.get(path, headers={"If-None-Match": value})
            assert answer.status_code == 304 and answer.content == b"", (path, value)
        assert program.get(path, headers={"If-None-Match": '"x"'}).status_code == 200
    etag = program.get(todo["url"]).headers["ETag"]
    fresh = program.patch(todo["url"], {"title": "oat milk"}, headers={"If-Match": f'"x", {etag}'})
    assert fresh.status_code == 200 and fresh.headers["ETag"] != etag
    for ask in (
        partial(program.patch, todo["url"], {"title": "soy milk"}),
        partial(program.delete, todo["url"]),
    ):
        stale = ask(headers={"If-Match": etag})
        assert stale.status_code == 412 and stale.json()["current"] == fresh.json()
    stale = program.patch(list_url, {"name": "x"}, headers={"If-Match": '"1-owner"'})
    assert stale.status_code == 412 and stale.json()["current"]["name"] == "Things to do"
    etag = program.get("/todos").headers["ETag"]
    assert program.post("/todos", {"title": "a"}, headers={"If-Match": etag}).status_code == 201
    assert program.post("/todos", {"title": "b"}, headers={"If-Match": etag}).status_code == 412
    assert program.delete("/todos", headers={"If-Match": etag}).status_code == 412
    assert program.delete("/todos", headers={"If-Match": "*"}).status_code == 204


def test_a_repeat_does_nothing_twice(program: Program, list_url: str) -> None:
    """A POST with the same key gets the first answer again; with another body it is refused."""
    key = {"Idempotency-Key": "monday"}
    first = program.post("/todos", {"title": "milk"}, headers=key)
    again = program.post("/todos", {"title": "milk"}, headers=key)
    assert first.status_code == again.status_code == 201 and first.json() == again.json()
    assert first.headers["Location"] == again.headers["Location"]
    assert len(program.get("/todos").json()) == 1
    assert program.post("/todos", {"title": "bread"}, headers=key).status_code == 409
    assert program.post(f"{list_url}/messages", {"text": "x"}, headers=key).status_code == 409
    large = program.post("/todos", {"title": "x", "notes": "x" * 300_000})
    assert large.status_code == 413
    assert program.get("/todos", headers={"Host": "x" * 300}).status_code == 400
    long = {"Idempotency-Key": "x" * 256}
    assert program.post("/todos", {"title": "x"}, headers=long).status_code == 400


# ---------------------------------------------------------------------------------- changes


def replay(state: dict[int, Any], change: dict[str, Any]) -> None:
    """Do to a copy what was done to the list."""
    if change["kind"] == "todo":
        was = {row["id"]: state.pop(row["id"], {}) for row in change["before"]}
        for row in change["after"]:
            state[row["id"]] = was.get(row["id"], {}) | {"updated": change["at"]} | row


def events(answer: requests.Response) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read an event stream."""
    number = 0
    for line in answer.iter_lines(chunk_size=1):
        name, _, value = line.decode().partition(": ")
        if name == "id":
            number = int(value)
        elif name == "data":
            yield number, json.loads(value)


def test_who_follows_ends_with_the_truth(start: Callable[..., Server], tmp_path: Any) -> None:
    """With random writers, dropped connections and restarts: each change once, in order."""
    seed = random.randrange(10**6)
    chance = random.Random(seed)
    server = start()
    ann = Visitor(server, "ann")
    ann.sign_up()
    program = Program(server, ann.name)
    path = f"/lists/{ann.list}"
    state: dict[int, Any] = {}
    seen: list[int] = []
    over = threading.Event()
    failed: list[BaseException] = []

    def follow() -> None:
        http = requests.Session()
        http.headers["Authorization"] = program.http.headers["Authorization"]
        http.headers["Accept"] = "text/event-stream"
        try:
            while not over.is_set():
                try:
                    last = {"Last-Event-ID": str(seen[-1])} if seen else {}
                    url = f"{program.url}{path}/changes"
                    answer = http.get(url, headers=last, stream=True, timeout=25)
                    assert answer.status_code == 200
                    with closing(answer):
                        for number, change in events(answer):
                            assert number == change["version"]
                            seen.append(number)
                            replay(state, change)
                            if over.is_set() or chance.random() < 0.05:
                                break  # and it is not read to its end
                    over.wait(0.1)  # so that several changes wait for it
                except requests.RequestException:
                    time.sleep(0.02)  # the server is down for a moment
        except BaseException as error:
            failed.append(error)

    following = threading.Thread(target=follow)
    following.start()
    for turn in range(150):
        rows = program.get(f"{path}/todos").json()
        verb = chance.choice(["add", "add", "edit", "delete", "restore", "all", "say"])
        some = chance.choice(rows)["id"] if rows else None
        if verb == "add" or some is None:
            program.post("/todos", {"title": f"todo {turn}", "completed": chance.random() < 0.3})
        elif verb == "edit":
            program.patch(f"/todos/{some}", {"order": chance.random(), "notes": f"{turn}"})
        elif verb == "delete":
            program.delete(f"/todos/{some}")
            if chance.random() < 0.5:
                ann.post(f"/todos/{some}/restore")
        elif verb == "all":
            ann.post(f"{path}/toggle-all", completed="true")
        else:
            program.post(f"{path}/messages", {"text": f"{turn}"})
        if turn in (50, 100):
            server.stop()
            server = start("--port=" + server.url.rpartition(":")[2])
            program.http.close()
            ann.http.close()
    version = program.get(path).json()["version"]
    end = time.monotonic() + 20
    while (not seen or seen[-1] < version) and not failed and time.monotonic() < end:
        over.wait(0.01)
    over.set()
    program.post(f"{path}/messages", {"text": "wake up"})
    following.join(30)
    assert not failed, (seed, failed)
    assert seen[:version] == [*range(1, version + 1)], seed
    rows = program.get(f"{path}/todos").json()
    truth = [{k: v for k, v in row.items() if k != "url" and v is not None} for row in rows]
    known = [{k: v for k, v in row.items() if v is not None} for row in state.values()]
    assert sorted(known, key=lambda row: (row["order"], row["id"])) == truth, seed
    server.stop()


def test_a_stream_ends_with_the_right_to_it(ann: Visitor, cy: Visitor, program: Program) -> None:
    """Who is removed, or whose token ends, hears no more; what was never made is gone."""
    path = f"/lists/{ann.list}"
    program.post(f"{path}/members", {"username": cy.name, "role": "viewer"})
    other = Program(cy.server, cy.name)
    other.post(f"{path}/accept", {})
    live = {"Accept": "text/event-stream"}
    version = program.get(path).json()["version"]
    assert program.get(f"{path}/changes?since={version}").json() == []
    streaming = program.ask("HEAD", f"{path}/changes?since={version}", headers=live)
    assert streaming.status_code == 200
    assert program.get(f"{path}/changes?since={version + 1}").status_code == 410
    assert program.get(f"{path}/changes?since={version + 1}", headers=live).status_code == 410
    for whose, end in (
        (other, f"/tokens/{other.made.json()['id']}"),
        (program, f"{path}/members/{cy.name}"),
    ):
        version = program.get(path).json()["version"]
        url = f"{other.url}{path}/changes?since={version}"
        with closing(other.http.get(url, headers=live, stream=True, timeout=25)) as answer:
            reading = events(answer)
            program.post("/todos", {"title": "milk"})
            assert next(reading)[1]["after"][0]["title"] == "milk"
            whose.delete(end)
            program.post("/todos", {"title": "secret"})
            assert "secret" not in json.dumps([*reading])
        other = Program(cy.server, cy.name)


# ------------------------------------------------------------------------------ description


def test_the_description_is_true(program: Program) -> None:
    """Every address and method of the API is in it, and none that is not there."""
    from app import API_ADDRESSES

    told = requests.get(f"{program.url}/openapi.json", timeout=9).json()
    assert told["openapi"].startswith("3.1") and len(told["paths"]) == len(API_ADDRESSES[:-2])
    for path, methods in told["paths"].items():
        address = re.sub(r"{\w+}", "1", path.removeprefix("/api"))
        allowed = program.ask("OPTIONS", address).headers.get("Allow")
        if allowed:
            real = {m.lower() for m in allowed.split(", ")} - {"head", "options"}
            assert real == methods.keys() - {"parameters"}, path


def test_schemathesis_finds_nothing(start: Callable[..., Server]) -> None:
    """What is described is what is done, also with what nobody would send."""
    pytest.importorskip(
        "schemathesis", reason="no schemathesis: pip install -r checks/requirements.txt"
    )
    server = start()
    ann = Visitor(server, "ann")
    ann.sign_up()
    program = Program(server, ann.name)
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{program.url}/openapi.json"]
    options = [
        *("--header", f"Authorization: {program.http.headers['Authorization']}"),
        *("--max-examples", "25", "--phases", "examples,coverage,fuzzing,stateful"),
        *("--suppress-health-check", "all", "--no-color", "--seed", "20261120"),
        # A stream has no end, and the token that was just ended opens nothing more.
        *("--exclude-path-regex", "changes|tokens.{5}"),
        # What can be written in a text is for the models to say, not for a schema.
        *("--exclude-checks", "positive_data_acceptance"),
    ]
    folder = server.database.parent
    done = subprocess.run([*command, *options], cwd=folder, text=True, capture_output=True)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    tried = re.search(r"(\d+) generated, (\d+) passed", done.stdout)
    assert tried and int(tried[1]) > 500 and tried[1] == tried[2]
    server.stop()


def test_the_guides_examples_work(ann: Visitor, program: Program) -> None:
    """Typed in as they stand on the page, with one's own name and token."""
    from html import unescape

    page = ann.get("/api").text
    token = str(program.http.headers["Authorization"]).removeprefix("Bearer ")
    examples = re.findall(r'<code data-run="(\w+)">(.*?)</code>', page, re.S)
    assert [kind for kind, _ in examples] == ["sh", "sh", "python"]
    said = ""
    for kind, text in examples:
        for name, value in (("NAME", ann.name), ("PASSWORD", PASSWORD), ("TOKEN", token)):
            text = text.replace(name, value)
        command = ["sh", "-ec"] if kind == "sh" else [sys.executable, "-c"]
        done = subprocess.run(
            [*command, unescape(text)], text=True, capture_output=True, timeout=30, check=True
        )
        said += done.stdout
    assert '"token":"todo_' in said and "Water the plants" in said and "x Feed the cat" in said


def test_the_example_client(ann: Visitor) -> None:
    """docs/client.py adds, ticks and lists todos from the command line."""
    environment = {"AFAZERES_URL": ann.server.url, "PATH": "/usr/bin:/bin"}

    def client(*words: str) -> str:
        command = [sys.executable, str(ROOT / "docs/client.py"), *words]
        done = subprocess.run(
            command, env=environment, text=True, capture_output=True, timeout=30, check=True
        )
        return done.stdout

    environment["AFAZERES_TOKEN"] = Program(ann.server, ann.name).made.json()["token"]
    client("add", "Water", "the", "plants")
    client("add", "Feed the cat")
    assert client("list") == "1 [ ] Water the plants\n2 [ ] Feed the cat\n"
    client("tick", "2")
    assert client() == "1 [ ] Water the plants\n2 [x] Feed the cat\n"
    assert [(row.title, row.completed) for row in ann.rows()] == [
        ("Water the plants", False),
        ("Feed the cat", True),
    ]


# Runs in the page.
TODO_BACKEND = """async ({ root, token }) => {
    const told = [];
    const ask = async (method, url, body) => {
        const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
        const answer = await fetch(url, { method, headers, body: body && JSON.stringify(body) });
        const text = await answer.text();
        return answer.ok ? text && JSON.parse(text) : Promise.reject(`${method} ${url}: ${text}`);
    };
    const is = (what, truth) => told.push([what, truth]);
    is("the root answers", Array.isArray(await ask("GET", root)));
    is("a post gives the todo", (await ask("POST", root, { title: "a todo" })).title === "a todo");
    await ask("DELETE", root);
    is("none is left after DELETE", (await ask("GET", root)).length === 0);
    const { url } = await ask("POST", root, { title: "walk the dog" });
    const [first] = await ask("GET", root);
    is("it is on the list", first.title === "walk the dog" && first.url === url);
    is("it is not completed at first", first.completed === false);
    is("its url gives it", (await ask("GET", url)).title === "walk the dog");
    is("its title changes", (await ask("PATCH", url, { title: "bathe" })).title === "bathe");
    is("it completes", (await ask("PATCH", url, { completed: true })).completed === true);
    for (const again of [await ask("GET", url), (await ask("GET", root))[0]])
        is("both are kept", again.title === "bathe" && again.completed === true);
    await ask("DELETE", url);
    is("one is deleted", (await ask("GET", root)).length === 0);
    const ordered = await ask("POST", root, { title: "x", order: 523 });
    is("it has an order", ordered.order === 523);
    is("its order changes", (await ask("PATCH", ordered.url, { order: 95 })).order === 95);
    is("its order is kept", (await ask("GET", ordered.url)).order === 95);
    const answer = await fetch(root, { headers: { Authorization: `Bearer ${token}` } });
    is("a page may read the ETag", /^".+"$/.test(answer.headers.get("ETag")));
    const cookies = await fetch(root, { credentials: "include" }).then((a) => a.status, () => "no");
    is("cookies are not let through", cookies === "no");
    return told;
}"""


def test_the_conventions_of_todo_backend(browser: Any, ann: Visitor, program: Program) -> None:
    """What its public specification asks, from a page of another origin, in a real browser."""
    with elsewhere() as origin:
        page = browser.new_page()
        page.goto(origin)
        token = str(program.http.headers["Authorization"]).removeprefix("Bearer ")
        told = page.evaluate(TODO_BACKEND, {"root": f"{program.url}/todos", "token": token})
        page.close()
    assert len(told) == 16
    assert [what for what, truth in told if not truth] == []


@contextmanager
def elsewhere() -> Iterator[str]:
    """Serve an empty page at another origin."""

    class Empty(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<!doctype html><link rel=icon href='data:,'>")

        def log_message(self, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Empty) as site:
        thread = threading.Thread(target=site.serve_forever)
        thread.start()
        yield f"http://localhost:{site.server_port}/"
        site.shutdown()
        thread.join()
