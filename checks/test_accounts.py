"""Accounts: who may try how often, sessions, passwords, tokens, and the way out."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from html import unescape
from pathlib import Path
from uuid import uuid4

import pytest
import requests

import app  # noqa: F401  for what is done when a name or a list goes
from checks.support.database import BROWSER, Database
from checks.support.programs import Program
from checks.support.servers import ROOT, Server, address, dump, inside
from checks.support.sockets import Socket, aside, play
from checks.support.visitors import PASSWORD, Form, Visitor, alerts, at, join, password_owner
from controllers.account import device
from controllers.errors import path_without_key
from models import (
    account_closing,
    accounts,
    api_tokens,
    identities,
    lists,
    members,
    rate_limits,
    sessions,
    todos,
    usernames,
    users,
)
from models.errors import Conflict, Forbidden, Invalid, TooMany
from models.rate_limits import RateLimit
from models.tables import Change, Member, Session
from models.users import NO_ACCENTS, NO_NAME

OTHER = "four louder badgers"


@pytest.fixture
def strict(start: Callable[..., Server]) -> Server:
    """A server that throttles."""
    return start("--throttle=true")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A database of one's own."""
    made = Database(tmp_path / "people.db")
    yield made
    made.store.close()


def person(server: Server, name: str = "ann") -> Visitor:
    """Return someone with an account."""
    visitor = Visitor(server, name)
    assert visitor.sign_up().status_code == 303
    return visitor


def guess(visitor: Visitor, name: str, password: str = "wrong") -> requests.Response:
    """Try to log in."""
    return visitor.post("/login", username=name, password=password)


# ------------------------------------------------------------------------------------ throttles


def test_five_wrong_passwords(start: Callable[..., Server], strict: Server) -> None:
    """Then 429 in the same words whether the name is known, in every process, after a restart."""
    ann = person(strict)
    stranger, said = Visitor(strict, "stranger"), []
    for name in (ann.name, "nobody-at-all"):
        for _ in range(5):
            assert guess(stranger, name).status_code == 403
        late = guess(stranger, name, PASSWORD)
        assert late.status_code == 429 and 50 < int(late.headers["Retry-After"]) <= 60
        assert f'value="{name}"' in late.text
        said.append(alerts(late.text))
    assert said[0] == said[1] == ["Too many attempts. Try again in 1 minute."]
    strict.stop()
    again = start("--throttle=true")
    assert guess(Visitor(again, "x"), ann.name, PASSWORD).status_code == 429
    token = {"username": ann.name, "password": PASSWORD, "name": "x"}
    answer = requests.post(f"{again.url}/api/tokens", json=token, timeout=9)
    assert answer.status_code == 429 and answer.json()["type"].endswith("#throttled")
    assert int(answer.headers["Retry-After"]) <= 60
    old = person(again)
    name = old.http.cookies.full("device")
    forgotten = old.http.cookies[name]
    change = {"current_password": PASSWORD, "new_password": OTHER}
    assert old.post("/account/password", **change).status_code == 303
    for _ in range(5):
        guess(Visitor(again, "x"), old.name)
    past = Visitor(again, "x")
    past.http.cookies[name] = forgotten
    assert guess(past, old.name, OTHER).status_code == 429  # it knew another password
    # The owner's own browser, which has logged in before, has tries of its own.
    mine = Visitor(again, "ann")
    mine.http.cookies[name] = ann.http.cookies[name]
    assert guess(mine, ann.name, PASSWORD).status_code == 303
    for _ in range(5):  # which frees the name, too
        assert guess(Visitor(again, "x"), ann.name).status_code == 403
    forged = Visitor(again, "forger")
    forged.http.cookies[name] = ann.http.cookies[name][:-4] + "0000"
    assert guess(forged, ann.name, PASSWORD).status_code == 429


def test_an_address_has_thirty(strict: Server) -> None:
    """Whatever the names; who gets in gives the try back."""
    ann, stranger = person(strict), Visitor(strict, "stranger")
    for number in range(29):
        assert guess(stranger, f"name-{number}").status_code == 403
    for _ in range(3):
        assert guess(stranger, ann.name, PASSWORD).status_code == 303
        stranger.post("/logout")
    assert guess(stranger, "one-more").status_code == 403
    assert guess(stranger, "and-more").status_code == 429
    assert guess(Visitor(strict, "stranger"), ann.name, PASSWORD).status_code == 429
    assert guess(ann, ann.name, PASSWORD).status_code == 303  # a browser that was let in before


def test_ten_accounts_an_hour(strict: Server) -> None:
    """From one address; a form that was refused doesn't count as one."""
    for number in range(10):
        assert Visitor(strict, "x").sign_up(email="no").status_code == 422, number
        person(strict)
    late = Visitor(strict, "late").sign_up()
    assert late.status_code == 429 and 3500 < int(late.headers["Retry-After"]) <= 3600
    assert alerts(late.text)[0].startswith("Too many attempts")


def test_refused_sign_ups_count(strict: Server) -> None:
    """As attempts of their address, or anyone could find out which names are taken."""
    ann = person(strict)
    words = {"username": ann.name, "password": PASSWORD}
    forms = (words, words | {"username": "no name"}, words | {"username": "x", "password": "x"})
    for number in range(30):
        refused = Visitor(strict, "x").post("/signup", **forms[number % 3])
        assert refused.status_code == 422, number
    for form in (*forms, {"username": "free", "password": PASSWORD}):
        refused = Visitor(strict, "x").post("/signup", **form)
        assert refused.status_code == 429 and 800 < int(refused.headers["Retry-After"]) <= 900
        assert f'value="{form["username"]}"' in refused.text
    assert guess(Visitor(strict, "x"), ann.name, PASSWORD).status_code == 429


@pytest.mark.engine
def test_the_owner_is_told_of_failed_attempts(start: Callable[..., Server]) -> None:
    """At their next log-in, until they have seen it; the hundredth leaves one attempt a day."""
    server = start("--throttle=true")
    ann = person(server)
    stranger = Visitor(server, "stranger")
    assert guess(stranger, ann.name).status_code == 403
    wait = "UPDATE rate_limit SET until = '2020-01-01T00:00:00.000Z', total = 99"
    with inside(server.database) as run:
        run(f"{wait} WHERE key = ?", f"name:{ann.name}")
    assert guess(stranger, ann.name).status_code == 403  # the hundredth
    late = guess(stranger, ann.name, PASSWORD)
    assert late.status_code == 429 and 86_000 < int(late.headers["Retry-After"]) <= 86_401
    assert "one attempt a day, the next in 24 hours." in alerts(late.text)[0]
    assert "failed login" not in ann.get("/account").text
    ann.post("/logout")
    assert ann.log_in().status_code == 303  # a browser that was let in before
    for page in (ann.get("/account").text, ann.get(f"/lists/{ann.list}").text):
        assert "100 failed login attempts" in page
    assert "100 times" in ann.get("/account/attempts").text
    assert ann.post("/account/attempts").status_code == 303
    assert "failed login" not in ann.get("/account").text
    assert guess(stranger, ann.name, PASSWORD).status_code == 303  # forgotten with the log-in
    assert "failed login" not in stranger.get("/account").text


def test_a_proxy_that_isnt_trusted(start: Callable[..., Server]) -> None:
    """Is told of once in the log, with the option; one that is, never."""
    far = {"X-Forwarded-For": "203.0.113.9"}
    server, trusting = start(), start("--trusted_proxies=127.0.0.1")
    for each in (server, server, trusting):
        assert requests.get(f"{each.url}/login", headers=far, timeout=9).status_code == 200
    trusting.stop()
    assert server.log.read_text().count("--trusted_proxies=127.0.0.1") == 1
    server.expected.append("--trusted_proxies=127.0.0.1")
    server.stop()


def test_writing_too_fast(strict: Server) -> None:
    """A hundred at once, then ten a second; the page's script tries again by itself."""
    ann = person(strict)
    codes = [ann.post(f"/lists/{ann.list}", title=f"{n}").status_code for n in range(300)]
    assert codes[:90] == [303] * 90 and 429 in codes
    assert [int(row.title) for row in ann.rows()] == [n for n, c in enumerate(codes) if c == 303]


@pytest.mark.engine
def test_the_numbers(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """One try after 1, 2, 4, 8, 15 minutes; a hundred in a row, then one a day; success forgets."""
    clock = datetime.now(UTC)
    monkeypatch.setattr(rate_limits, "moment", lambda: clock)
    monkeypatch.setattr(rate_limits, "now", lambda: rate_limits.instant(clock))

    def refused(key: str) -> int:
        try:
            database.do(rate_limits.count, key)
        except TooMany as late:
            return late.seconds
        return 0

    assert [refused("name:ann") for _ in range(6)] == [0] * 5 + [60]
    for minutes in (1, 2, 4, 8, 15, 15):
        clock += timedelta(minutes=minutes, seconds=-1)
        assert refused("name:ann") > 0
        clock += timedelta(seconds=2)
        assert refused("name:ann") == 0
    while database.do(lambda: RateLimit.get(key="name:ann").total) < rate_limits.IN_A_ROW:
        clock += timedelta(minutes=16)
        assert refused("name:ann") == 0
    for _ in range(3):
        assert refused("name:ann") == 86_400
        clock += timedelta(hours=23, minutes=59)
        assert refused("name:ann") == 60
        clock += timedelta(minutes=2)
        assert refused("name:ann") == 0
    assert database.do(rate_limits.failed, database.ann) == 0
    database.do(rate_limits.give_back, "name:ann")
    assert database.do(rate_limits.failed, database.ann) == 103
    assert refused("name:ann") == 0
    assert [refused("address:1") for _ in range(31)] == [0] * 30 + [900]
    for minutes, free in ((16, 30), (13, 0), (3, 30)):
        clock += timedelta(minutes=minutes)
        assert [refused("address:1") for _ in range(60)].count(0) == free
    clock -= timedelta(hours=3)  # a clock that was set back locks nobody out for long
    assert refused("address:1") == 0


def test_what_an_address_is() -> None:
    """One IPv4 address, or the /64 of an IPv6 one, as one customer has all of it."""
    assert rate_limits.network("10.0.0.1") == "10.0.0.1"
    assert rate_limits.network("2001:db8:1:2::5") == rate_limits.network("2001:db8:1:2:ffff::1")
    assert rate_limits.network("2001:db8:1:2::5") != rate_limits.network("2001:db8:1:3::5")
    assert rate_limits.network("::ffff:10.0.0.1") != rate_limits.network("::ffff:10.0.0.2")


# ------------------------------------------------------------------------------------- sessions


def test_sessions(ann: Visitor, server: Server) -> None:
    """Are listed with their device; one is ended, then all others, and their windows notice."""
    phone, laptop = Visitor(server, "ann"), Visitor(server, "ann")
    phone.http.headers["User-Agent"] = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0) Safari/605.1"
    for visitor in (phone, laptop):
        visitor.name, visitor.list = ann.name, ann.list
        assert visitor.log_in().status_code == 303
    page = ann.get("/account/sessions").text
    assert "Safari, iPhone" in page and page.count("127.0.0.1") == 3
    (of_phone,) = re.findall(r'id="s-(\d+)">Safari, iPhone', page)

    async def scene() -> None:
        async with Socket(phone) as one, Socket(laptop) as two:
            for socket in (one, two):
                await socket.watch(ann.list)
            op = f"{uuid4()}"
            for _ in range(2):  # the second time it is a repeat
                ended = ann.post("/account/sessions", session=of_phone, op=op)
                assert ended.status_code == 303
            assert await one.hear() is None and one.connection.close_code == 4401
            assert phone.get("/account").status_code == 302
            assert laptop.get("/account").status_code == 200
            assert ann.post("/account/sessions").status_code == 303
            assert await two.hear() is None and two.connection.close_code == 4401

    play(scene)
    assert laptop.get("/account").status_code == 302 and ann.get("/account").status_code == 200
    stranger = Visitor(server, "stranger")
    stranger.sign_up()
    mine = re.findall(r'id="s-(\d+)"', ann.get("/account/sessions").text)[0]
    assert stranger.post("/account/sessions", session=mine).status_code == 404
    assert ann.get("/account").status_code == 200


def test_devices() -> None:
    """What they call themselves is cut down to what people know."""
    edge = "Mozilla/5.0 (Windows NT 10.0; Win64) AppleWebKit Chrome/120 Safari/537 Edg/120"
    assert device(edge) == "Edge, Windows"
    assert device("") == "" and device("x" * 100) == "x" * 40


def test_another_password(ann: Visitor, server: Server) -> None:
    """Needs the one of now; who is logged in elsewhere is so no more, programs stay."""
    elsewhere, program = Visitor(server, "x"), Program(server, ann.name)
    elsewhere.name = ann.name
    elsewhere.log_in()
    stolen = Visitor(server, "thief")
    stolen.http.cookies.update(ann.http.cookies)
    wrong = ann.post("/account/password", current_password="no", new_password=OTHER)
    assert wrong.status_code == 403 and alerts(wrong.text)[0].startswith("Wrong password.")
    for weak, words in (("short", "at least 8"), ("password1", "easy to guess"), (ann.name, "")):
        refused = ann.post("/account/password", current_password=PASSWORD, new_password=weak)
        assert refused.status_code == 422 and words in alerts(refused.text)[0]
    done = ann.post("/account/password", current_password=PASSWORD, new_password=OTHER)
    assert done.headers["Location"] == "/account?saved=1"
    assert ann.get("/account").status_code == 200
    assert stolen.get("/account").status_code == 302  # this browser, too, has another key
    assert elsewhere.get("/account").status_code == 302
    assert elsewhere.log_in().status_code == 403
    assert elsewhere.log_in(password=OTHER).status_code == 303
    assert program.get("/todos").status_code == 200


def test_another_address(ann: Visitor) -> None:
    """Of e-mail: with the password; without a change none is asked for."""
    form = {"language": "", "shortcuts": "on", "presence": "on"}
    asked = ann.post("/account", **form, email="ann@example.org")
    assert asked.status_code == 403 and 'value="ann@example.org"' in asked.text
    assert 'name="current_password"' in asked.text
    done = ann.post("/account", **form, email="ann@example.org", current_password=PASSWORD)
    assert done.status_code == 303
    assert 'value="ann@example.org"' in ann.get("/account").text
    assert ann.post("/account", **form, email="ann@example.org").status_code == 303
    bad = ann.post("/account", **form, email="nowhere", current_password=PASSWORD)
    assert bad.status_code == 422 and "e-mail" in alerts(bad.text)[0]


def test_another_username(ann: Visitor, cy: Visitor, server: Server) -> None:
    """All that is someone's stays theirs, everyone sees the new name, and the old one is free."""
    shared, old, new = f"/lists/{ann.list}", ann.name, ann.name.replace("ann", "maria")
    join(ann, cy)
    ann.add("milk")
    todo = ann.find("milk")
    cy.post(f"/todos/{todo}", title="milk", assigned=ann.name)
    ann.post(f"{shared}/messages", text="Hello")
    other, program, follower = at(ann, server), Program(server, old), Program(server, cy.name)
    tags = {
        path: follower.get(path).headers["ETag"]
        for path in (f"{shared}/todos", f"{shared}/members")
    }
    page = {"language": "", "shortcuts": "on", "presence": "on"}
    assert ann.post("/account", **page, username=old.upper()).status_code == 303
    asked = ann.post("/account", **page, username=new)
    assert asked.status_code == 403 and f'value="{new}"' in asked.text
    assert 'name="current_password"' in asked.text and ann.get("/account").status_code == 200
    for wrong, reason in ((cy.name, "That username is taken."), ("é", NO_ACCENTS), ("", NO_NAME)):
        refused = ann.post("/account", **page, username=wrong, current_password=PASSWORD)
        assert refused.status_code == 422 and alerts(refused.text) == [reason]
    assert ann.get("/").headers["Location"] == shared

    async def change() -> None:
        async with Socket(ann) as mine, Socket(cy) as theirs:
            for window in (mine, theirs):
                await window.watch(ann.list)
            while (await theirs.hear("present"))["people"] != sorted([old, cy.name]):
                pass
            fields = page | {"username": new, "current_password": PASSWORD}
            changed = await aside(ann.post, "/account", **fields)
            assert changed.status_code == 303
            while (await theirs.hear("present"))["people"] != sorted([new, cy.name]):
                pass

    play(change)
    for mine in (ann, other):
        assert f">{new}</h1>" in mine.get("/account").text
    assert program.get("/todos").json()[0]["assigned"] == new
    for path, tag in tags.items():
        answer = follower.get(path, headers={"If-None-Match": tag})
        assert answer.status_code == 200 and new in answer.text and old not in answer.text
    (said,) = follower.get(f"{shared}/messages").json()
    told = follower.get(f"{shared}/changes").json()
    assert said["user"] == new and {change["user"] for change in told} == {new, cy.name}
    (before,), (after,) = told[-1]["before"], told[-1]["after"]
    assert (before, after) == (
        {"username": old, "role": "owner"},
        {"username": new, "role": "owner"},
    )
    assert f"assigned to {new}" in cy.get(shared).text
    assert f"Changed the username {old} to {new}" in unescape(cy.get(f"{shared}/history").text)
    heir = Visitor(server, "heir")
    heir.name = old
    assert heir.log_in().status_code == 403 and heir.sign_up().status_code == 303
    assert heir.get(shared).status_code == 404
    ann.name = new
    assert ann.log_in().status_code == 303 and ann.find("milk") == todo


@pytest.mark.engine
def test_names_are_not_changed_all_day(database: Database) -> None:
    """Each change is one of up to 500 lists; and who takes the old name begins with no attempts."""
    database.do(rate_limits.count, "name:ann")
    for number in range(usernames.A_DAY):
        database.do(usernames.change, database.ann, f"ann-{number}")
        database.ann = database.ann._replace(username=f"ann-{number}")
    assert database.do(lambda: RateLimit.select().count()) == 0
    with pytest.raises(Invalid, match="At most"):
        database.do(usernames.change, database.ann, "ann")
    with pytest.raises(Invalid, match="taken"):
        database.do(usernames.change, database.cy, "bob")
    with pytest.raises(Forbidden):
        database.do(usernames.change, database.cy, "cyan", "another hash")
    database.do(lambda: Change.update(at="2026-01-01T00:00:00.000Z").execute())
    assert database.do(usernames.change, database.ann, "Ann") == "ann"


def test_two_windows_of_one_account(ann: Visitor) -> None:
    """Each form of the account writes what was changed in it, and asks again with all of that."""

    def stored() -> dict[str, str]:
        return Form(ann.get("/account").text, "/account").fields

    before = stored()
    assert before["shortcuts"] == before["presence"] == "on"
    unchecked = {name: value for name, value in before.items() if name != "presence"}
    assert ann.post("/account", **unchecked | {"email": "a@example.org"}).status_code == 403
    assert "presence" in stored()
    given = {"email": "a@example.org", "current_password": PASSWORD}
    assert ann.post("/account", **unchecked | given).status_code == 303
    assert ann.post("/account", **before | {"language": "fr"}).status_code == 303  # the other one
    after = stored()
    assert (after["email"], after["language"]) == ("a@example.org", "fr")
    assert after["shortcuts"] == "on" and "presence" not in after
    refused = ann.post("/account", **unchecked | {"email": "b@example.org"})
    again = Form(refused.text, "/account").fields
    assert again == unchecked | {"email": "b@example.org", "current_password": ""}
    ann.post("/account", language="")
    ann.post("/account", delay_messages="on")
    fields = {"email": "a@example.org", "language": "", "shortcuts": "on", "delay_messages": "on"}
    fields["timezone"] = ""
    assert stored() | {"seen": ""} == fields | {"username": ann.name, "seen": ""}


def test_tokens(ann: Visitor, cy: Visitor, server: Server) -> None:
    """Are made on a page that shows them once, and ended there."""
    made = ann.post("/account/tokens", name="my <b>laptop", scope="read", expires="7")
    assert made.status_code == 201
    (token,) = re.findall(r'value="(todo_[\w-]{43})"', made.text)
    program = Program.__new__(Program)
    program.url, program.http = f"{server.url}/api", requests.Session()
    program.http.headers["Authorization"] = f"Bearer {token}"
    assert program.get("/todos").status_code == 200
    assert program.post("/todos", {"title": "x"}).status_code == 403
    page = ann.get("/account/tokens").text
    assert token not in page and "my &lt;b&gt;laptop" in page and "read-only" in page
    (number,) = re.findall(r"/account/tokens/(\d+)/end", page)
    assert cy.post(f"/account/tokens/{number}/end").status_code == 404
    assert ann.post(f"/account/tokens/{number}/end").status_code == 303
    assert program.get("/todos").status_code == 401
    for wrong in ({"name": ""}, {"name": "x", "scope": "all"}, {"name": "x", "expires": "soon"}):
        assert ann.post("/account/tokens", **wrong).status_code == 422


@pytest.mark.engine
def test_a_stolen_session_gains_no_token(ann: Visitor, server: Server) -> None:
    """Minutes after the log-in, the password is asked for; and the form is kept."""
    assert "current_password" not in ann.get("/account/tokens").text
    assert ann.post("/account/tokens", name="at once").status_code == 201
    age(ann, server)
    assert 'name="current_password"' in ann.get("/account/tokens").text
    form = {"name": "my laptop", "scope": "read", "expires": "30"}
    for password in ({}, {"current_password": "wrong"}):
        refused = ann.post("/account/tokens", **form, **password)
        assert refused.status_code == 403 and "Wrong password" in alerts(refused.text)[0]
        assert 'value="my laptop"' in refused.text and "todo_" not in refused.text
        assert refused.text.count(" selected") == 2
    assert ann.post("/account/tokens", **form, current_password=PASSWORD).status_code == 201
    assert "my laptop" in ann.get("/account/tokens").text


def age(visitor: Visitor, server: Server) -> None:
    """Let all log-ins of someone have been eleven minutes ago."""
    past = (datetime.now(UTC) - timedelta(minutes=11)).isoformat(timespec="milliseconds")
    ours = "(SELECT user_id FROM member WHERE list_id = ?)"
    with inside(server.database) as run:
        ago = past.replace("+00:00", "Z")
        run(f"UPDATE session SET created = ? WHERE user_id IN {ours}", ago, visitor.list)


@pytest.mark.engine
def test_a_new_password_may_end_tokens(ann: Visitor, server: Server) -> None:
    """If that is wanted; by a reset link it always does, and what is streamed to them ends."""
    program, change = Program(server, ann.name), {"current_password": PASSWORD}
    assert "Also end my API tokens" in ann.get("/account/password").text
    assert ann.post("/account/password", **change, new_password=PASSWORD).status_code == 303
    assert program.get("/todos").status_code == 200
    streaming = {"Accept": "text/event-stream"}
    url = f"{program.url}/lists/{ann.list}/changes?since=1"
    with closing(program.http.get(url, headers=streaming, stream=True, timeout=20)) as stream:
        change |= {"new_password": PASSWORD, "end_tokens": "on"}
        assert ann.post("/account/password", **change).status_code == 303
        assert program.get("/todos").status_code == 401
        assert all(line != b"data" for line in stream.iter_lines())  # to its end
    again = Program(server, ann.name)
    link = re.findall(r"/reset/[\w-]{43}", reset(server, ann.name).stdout)[0]
    assert "API tokens will end" in ann.get(link).text
    assert again.get("/todos").status_code == 200
    assert ann.post(link, new_password=OTHER).status_code == 303
    assert again.get("/todos").status_code == 401


# -------------------------------------------------------------------------------- ways in and out


def reset(server: Server, name: str) -> "subprocess.CompletedProcess[str]":
    """Have the command line print a link."""
    command = [sys.executable, "app.py", f"--database={address(server.database)}", "--port=80"]
    command.append(f"--reset_password={name}")
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.engine
def test_a_forgotten_password(start: Callable[..., Server]) -> None:
    """The command line prints a link, good once and for an hour; who has it is in."""
    server = start("--throttle=true")
    ann, thief = person(server), Visitor(server, "thief")
    for _ in range(5):
        guess(thief, ann.name)
    assert reset(server, "nobody").returncode == 2
    first, second = reset(server, ann.name), reset(server, ann.name)
    assert first.returncode == second.returncode == 0
    link, newer = (re.findall(r"/reset/[\w-]{43}", one.stdout)[0] for one in (first, second))
    mine = Visitor(server, "mine")
    assert mine.get(link).status_code == 404  # the newer one took its place
    assert password_owner(mine.get(newer).text) == ann.name
    assert mine.post(newer, new_password="short").status_code == 422
    assert mine.post(newer, new_password=OTHER).status_code == 303
    assert mine.get("/account").status_code == 200 and ann.get("/account").status_code == 302
    assert mine.get(newer).status_code == mine.post(newer, new_password="x").status_code == 404
    assert guess(Visitor(server, "x"), ann.name, OTHER).status_code == 303
    third = re.findall(r"/reset/[\w-]{43}", reset(server, ann.name).stdout)[0]
    assert third.rpartition("/")[2] not in dump(server.database)
    with inside(server.database) as run:
        ((ends,),) = run("SELECT expires FROM password_reset")
        hour = datetime.now(UTC) + timedelta(hours=1)
        assert abs(datetime.fromisoformat(ends) - hour) < timedelta(minutes=1)
        run("UPDATE password_reset SET expires = '2020-01-01T00:00:00.000Z'")
    assert mine.get(third).status_code == 404


@pytest.mark.engine
def test_a_closed_door(start: Callable[..., Server]) -> None:
    """With --signup=closed only who has a link to a list may make an account."""
    server = start()
    ann = person(server)
    made = ann.post(f"/lists/{ann.list}/invites", link="editor").text
    (link,) = re.findall(r"/join/[\w-]{22}", made)
    server.stop()
    closed = start("--signup=closed")
    guest = Visitor(closed, "guest")
    assert guest.get("/signup").status_code == guest.sign_up().status_code == 403
    assert "by invitation" in alerts(guest.get("/signup").text)[0]
    assert "/signup" not in guest.get("/login").text
    login = guest.get(link).headers["Location"]
    assert "/signup?next=" in guest.get(login).text
    assert guest.get(f"/signup?next={link}").status_code == 200
    assert guest.sign_up(next=link).headers["Location"] == link
    assert guest.post(link).headers["Location"] == f"/lists/{ann.list}"
    assert Visitor(closed, "x").sign_up(next="/join/" + "x" * 22).status_code == 403


def test_closing_an_account(ann: Visitor, cy: Visitor, server: Server) -> None:
    """What is mine alone goes, what is shared is handed over, and everything says so before."""
    shared = ann.post("/lists", name="Casa").headers["Location"]
    ann.post(shared, title="milk")
    ann.post(f"{shared}/members", username=cy.name, role="viewer")
    cy.post(f"{shared}/accept")
    ann.post(f"{shared}/messages", text="Hello")
    program = Program(server, ann.name)
    page = ann.get("/account/close").text
    assert f"will go to {cy.name}" in page and "will be permanently deleted" in page
    wrong = ann.post("/account/close", current_password="no")
    assert wrong.status_code == 403 and ann.get("/account").status_code == 200
    closed = ann.post("/account/close", current_password=PASSWORD)
    assert closed.status_code == 303 and closed.headers["Clear-Site-Data"] == '"storage"'
    assert ann.get("/account").status_code == 302
    assert ann.log_in().status_code == 403 and program.get("/todos").status_code == 401
    mine = cy.get(f"{shared}/members").text
    assert re.findall(r'id="p-([^"]+)"', mine) == [cy.name] and "Leave list" in mine
    assert cy.post(f"{shared}/rename", name="Home").status_code == 303
    assert "milk" in cy.get(shared).text
    assert "a closed account" in cy.get(f"{shared}/history").text
    follower = Program(server, cy.name)
    told = follower.get(f"{shared}/changes").json()
    assert [change["user"] for change in told[-2:]] == [None, cy.name]
    assert {m["user"] for m in follower.get(f"{shared}/messages").json()} == {None}
    again = Visitor(server, "ann")
    again.name = ann.name
    assert again.sign_up().status_code == 303
    assert cy.get(f"/lists/{ann.list}").status_code == again.get(shared).status_code == 404


@pytest.mark.engine
def test_nothing_is_left(database: Database) -> None:
    """Of someone who goes, but what they did in the lists of others."""
    database.add("milk")
    database.do(todos.add, database.ed, database.list, "eds")
    own = database.do(lists.mine, database.ed)[0].id
    gone = database.do(lists.create, database.ed, "In the trash")
    database.do(lists.delete, database.ed, gone)
    fates = {fate.list: fate for fate in database.do(account_closing.fates, database.ed)}
    assert fates[own].heir is None and fates[gone].heir is None
    assert fates[database.list].heir == "ann" and not fates[database.list].owned
    database.do(account_closing.close, database.ed)
    names = [
        member["username"] for member in database.do(members.every, database.ann, database.list)[1]
    ]
    assert names == ["ann", "bob"] and database.titles() == ["milk", "eds"]
    for other in (database.bob, database.ann, database.cy):
        database.do(account_closing.close, other)
    left = dump(database.path)
    assert "milk" not in left and "eds" not in left and "In the trash" not in left
    assert database.do(lambda: Member.select().count()) == 0
    person = database.do(users.sign_up, "ann", None, None, "Hers")
    new = database.do(lists.mine, person)[0].id
    assert new > gone  # what is kept of a list under its number is never another's
    with pytest.raises(Invalid):
        database.do(members.put, person, new, f"gone:{database.bob.id}", "owner")


@pytest.mark.engine
def test_who_has_no_password(database: Database) -> None:
    """As they come by single sign-on: they must have come a moment ago."""
    key = database.do(sessions.log_in, database.ann, BROWSER)
    assert database.do(accounts.recently_logged_in, database.ann, key)
    assert not database.do(accounts.recently_logged_in, database.ed, key)
    past = rate_limits.instant(datetime.now(UTC) - timedelta(minutes=11))
    database.do(lambda: Session.update(created=past).execute())
    assert not database.do(accounts.recently_logged_in, database.ann, key)
    fresh = database.do(sessions.log_in, database.ann, BROWSER)
    new = database.do(accounts.change_password, database.ann, "a hash", BROWSER, fresh)
    assert not database.do(accounts.recently_logged_in, database.ann, new)
    assert database.do(partial(accounts.recently_logged_in, anyone=True), database.ann, new)
    assert not any(sessions.session_for(old, database.lookup) for old in (key, fresh))
    assert sessions.session_for(new, database.lookup)
    for late in (
        sessions.log_in,
        api_tokens.create,
    ):  # whose password was checked before it was changed
        with pytest.raises(Forbidden):
            database.do(partial(late, database.ann, BROWSER, stored="the old hash"))
    with pytest.raises(Forbidden):
        database.do(account_closing.close, database.ann, "the old hash")


@pytest.mark.engine
def test_fifty_sessions(database: Database) -> None:
    """Are enough: the one that was seen longest ago ends."""
    keys = [database.do(sessions.log_in, database.ann, BROWSER) for _ in range(51)]
    assert sessions.session_for(keys[0], database.lookup) is None
    assert all(sessions.session_for(key, database.lookup) for key in keys[1:])


@pytest.mark.engine
def test_linked_identities(database: Database, ann: Visitor, cy: Visitor, server: Server) -> None:
    """Are on the account page, and ended there, but not the only way in."""
    issuer = "https://id.example.org"
    database.do(identities.link, database.ann, issuer, "1")
    (only,) = database.do(identities.mine, database.ann)
    with pytest.raises(Conflict):
        database.do(identities.unlink, database.ann, only.id)
    with inside(server.database) as run:
        ((number,),) = run('SELECT id FROM "user" WHERE username = ?', ann.name)
        insert = "INSERT INTO identity (user_id, issuer, subject) VALUES (?, ?, ?)"
        run(insert, number, issuer, f"<b>{ann.name}")
    page = ann.get("/account").text
    assert f"Linked to {issuer} as &lt;b&gt;{ann.name}." in page
    (path,) = re.findall(r"/account/identities/\d+/end", page)
    assert cy.post(path).status_code == 404
    assert ann.post(path).headers["Location"] == "/account?saved=1"
    assert "Linked to" not in ann.get("/account").text


def test_keys_are_not_logged() -> None:
    """Who has one of these gets in."""
    assert path_without_key("/reset/abc") == "/reset/..."
    assert path_without_key("/join/abc") == "/join/..."
    assert path_without_key("/lists/1/join/x") == "/lists/1/join/x"
    assert len(path_without_key("/" + "x" * 30_000)) == 200
