"""The visitor's tour: what people can notice, tried on a live server with requests.

`python -m pytest` runs this and checks/; so does `python tests.py`.
"""

import re
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable
from html import unescape
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from checks.support.cast import PASSWORD, ROOT, Row, Server, Visitor, alerts, bare, inside, rows

TITLES = [
    "Buy milk",
    "Regar as plantas 🌱",
    "Acheter du thé — dès que possible",
    "قراءة الكتاب",
    "להתקשר לאמא שָׁלוֹם",
    "우유 사기",
    "한글 decomposed: é",
    "👩‍👩‍👧‍👦 and 🏳️‍🌈 with joiners",
    "<b>bold</b> <script>alert(1)</script>",
    "\"double\" 'single' & amp; &lt;",
    "{{ 7 * 7 }} {% raw x %} ${x} %(x)s {x}",
    "back\\slash and  two  spaces\tand a tab",
    "'; DROP TABLE todo; --",
    "\u202eright to left",
    "x" * 1000,
]


# A whole day


def test_the_main_job(start: Callable[..., Server]) -> None:
    """Sign up, keep a list, leave, come back after a restart, and find everything as it was."""
    server = start()
    ann = Visitor(server, "ann")
    assert ann.get("/").headers["Location"] == "/login?next=%2F"
    assert ann.sign_up().headers["Location"] == "/"
    assert ann.rows() == []

    ann.add("milk", "bread", "honey")
    milk, bread, honey = (row.id for row in ann.rows())
    assert ann.rows() == [(milk, "milk", False), (bread, "bread", False), (honey, "honey", False)]

    answer = ann.post(f"/todos/{milk}/complete")
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/lists/{ann.list}")
    assert [row.completed for row in ann.rows()] == [True, False, False]
    ann.post(f"/todos/{milk}/reopen")
    assert [row.completed for row in ann.rows()] == [False, False, False]
    ann.post(f"/lists/{ann.list}/toggle-all", completed="true")
    assert [row.completed for row in ann.rows()] == [True, True, True]
    ann.post(f"/lists/{ann.list}/toggle-all", completed="false")
    ann.post(f"/todos/{bread}", title="  rye bread ")
    ann.post(f"/todos/{honey}/delete")
    ann.post(f"/todos/{milk}/complete")
    assert ann.rows() == [(milk, "milk", True), (bread, "rye bread", False)]
    assert ann.rows("/active") == [(bread, "rye bread", False)]
    assert ann.rows("/completed") == [(milk, "milk", True)]
    ann.post(f"/lists/{ann.list}/clear-completed")
    assert ann.rows() == [(bread, "rye bread", False)]

    made = ann.post("/lists", name="Holidays").headers["Location"]
    assert ann.post(f"{made}/rename", name="Férias 🏖️").headers["Location"] == made
    assert ann.post(made, title="pack").status_code == 303

    ann.post("/logout")
    assert ann.get(made).headers["Location"] == f"/login?next={made.replace('/', '%2F')}"
    server.stop()
    ann.server = server = start()
    assert ann.log_in(next=made).headers["Location"] == made
    assert [row.title for row in rows(ann.get(made).text)] == ["pack"]
    assert "Férias 🏖️" in ann.get("/lists").text
    assert ann.rows() == [(bread, "rye bread", False)]
    server.stop()


def test_a_session_outlives_a_restart(start: Callable[..., Server]) -> None:
    """The key that signs cookies is kept beside the database, for its owner only."""
    server = start()
    ann = Visitor(server, "ann")
    ann.sign_up()
    server.stop()
    for file in server.database.parent.glob("people.db*"):
        if "log-" not in file.name:
            assert file.stat().st_mode & 0o077 == 0, file
    ann.server = start()
    assert ann.get(f"/lists/{ann.list}").status_code == 200
    ann.server.stop()


# Titles


@pytest.mark.parametrize("title", TITLES, ids=range(len(TITLES)))
def test_a_title_comes_back_as_typed(ann: Visitor, title: str) -> None:
    """On the page and in the field for renaming, whatever the script."""
    ann.add(title)
    assert [row.title for row in ann.rows()] == [title]
    todo = ann.find(title)
    page = ann.get(f"/lists/{ann.list}?edit={todo}").text
    assert rows(page) == [Row(todo, title, False)]
    assert "<b>bold" not in page and "<script>" not in page


def test_white_space_around_a_title_goes(ann: Visitor) -> None:
    """Unicode's too; white space inside is kept."""
    ann.add("\u00a0\u2003 two  words\u3000")
    assert [row.title for row in ann.rows()] == ["two  words"]


@pytest.mark.parametrize("title", ["", "   ", "\u3000\u2003", "\u200b\ufeff", "\u2060 \u00ad"])
def test_nothing_typed_adds_nothing(ann: Visitor, title: str) -> None:
    """And is no mistake either."""
    assert ann.post(f"/lists/{ann.list}", title=title).status_code == 303
    assert ann.rows() == []


@pytest.mark.parametrize(
    ("title", "reason"),
    [
        ("x" * 1001, "This is too long: at most 1000 characters."),
        ("two\nlines", "This must be one line, without control characters."),
        ("next\u2028line", "This must be one line, without control characters."),
        ("bell\x07", "This must be one line, without control characters."),
    ],
)
def test_a_refused_title_is_not_lost(ann: Visitor, title: str, reason: str) -> None:
    """The page comes again, under the same filter, with what was typed and what is wrong."""
    ann.add("milk")
    todo = ann.find("milk")
    back = f"/lists/{ann.list}/active"
    for address in (f"/lists/{ann.list}", f"/todos/{todo}"):
        answer = ann.post(address, title=title, back=back)
        assert (answer.status_code, alerts(answer.text)) == (422, [reason])
        assert f'value="{title}"' in answer.text
        assert f'name="back" value="{back}"' in answer.text
    assert [row.title for row in ann.rows()] == ["milk"]


def test_an_empty_rename_deletes(ann: Visitor) -> None:
    """As emptying the text of a todo says."""
    ann.add("milk", "bread")
    ann.post(f"/todos/{ann.find('milk')}", title="  ")
    assert [row.title for row in ann.rows()] == ["bread"]


def test_the_counter_and_the_controls(ann: Visitor) -> None:
    """The footer tells the truth at every step."""
    page = ann.get(f"/lists/{ann.list}").text
    assert 'class="footer" hidden' in page and "Nothing here yet" in page
    ann.add("milk", "bread")
    page = ann.get(f"/lists/{ann.list}").text
    assert "<strong>2</strong> items left" in page and "Clear completed" not in page
    ann.post(f"/todos/{ann.find('milk')}/complete")
    page = ann.get(f"/lists/{ann.list}/completed").text
    assert "<strong>1</strong> item left" in page and "Clear completed" in page
    assert page.count('aria-current="page"') == 1 and "<title>(1) " in page
    ann.post(f"/lists/{ann.list}/toggle-all", completed="true")
    page = ann.get(f"/lists/{ann.list}/active").text
    assert "<strong>0</strong> items left" in page and "All done." in page
    assert 'role="checkbox" aria-checked="true">Complete all' in page


def test_an_action_stays_where_it_was(ann: Visitor) -> None:
    """The filter is kept, and only an address of ours is."""
    ann.add("milk")
    todo = ann.find("milk")
    back = f"/lists/{ann.list}/active"
    assert ann.post(f"/todos/{todo}/complete", back=back).headers["Location"] == back
    answer = ann.post(f"/todos/{todo}/reopen", back="//evil.example/")
    assert answer.headers["Location"] == f"/lists/{ann.list}"


def test_a_blank_name_of_a_list(ann: Visitor) -> None:
    """Is refused where it was typed."""
    assert alerts(ann.post("/lists", name=" ").text) == ["Please enter something here."]
    answer = ann.post(f"/lists/{ann.list}/rename", name="x" * 201)
    assert (answer.status_code, len(alerts(answer.text))) == (422, 1)
    assert "x" * 201 in answer.text


# Taking back, order, and what is sent twice


def test_a_repeat_changes_nothing_and_leads_to_the_same_place(ann: Visitor) -> None:
    """An `op` makes every form safe to send again, when its answer was lost."""
    op = {"op": str(uuid.uuid4())}
    places = {ann.post(f"/lists/{ann.list}", title="milk", **op).headers["Location"] for _ in "123"}
    assert places == {f"/lists/{ann.list}"}
    assert [row.title for row in ann.rows()] == ["milk"]
    todo = ann.find("milk")
    for path in (f"/todos/{todo}/complete", f"/todos/{todo}/delete"):
        op = {"op": uuid.uuid4().hex}
        answers = [ann.post(path, back=f"/lists/{ann.list}/active", **op) for _ in range(2)]
        assert [a.headers["Location"] for a in answers] == [f"/lists/{ann.list}/active"] * 2
    op = {"op": str(uuid.uuid4())}
    made = {ann.post("/lists", name="Holidays", **op).headers["Location"] for _ in range(2)}
    assert len(made) == 1 and ann.get("/lists").text.count("Holidays") == 1
    answer = ann.post(f"/lists/{ann.list}", title="honey", **op)
    assert (answer.status_code, len(alerts(answer.text))) == (409, 1)
    assert "honey" in answer.text
    for bad in ("x", "1" * 31, "None"):
        assert ann.post(f"/lists/{ann.list}", title="jam", op=bad).status_code == 400
    assert ann.rows() == []


def test_an_op_is_ones_own(ann: Visitor, cy: Visitor) -> None:
    """Someone else's `op` that is the same by chance or malice changes nothing for me."""
    op = str(uuid.uuid4())
    ann.post(f"/lists/{ann.list}", title="mine", op=op)
    assert cy.post(f"/lists/{cy.list}", title="his", op=op).status_code == 303
    assert ([r.title for r in ann.rows()], [r.title for r in cy.rows()]) == (["mine"], ["his"])


def test_an_op_is_nothing_for_the_door(ann: Visitor, cy: Visitor) -> None:
    """Logging in and out is done each time; a key of a session is never kept as an answer."""
    for path, name in (("/login", cy.name), ("/login", ann.name), ("/login", cy.name)):
        op = {"op": "1" * 32}
        fields = {"username": name, "password": PASSWORD, **op}
        assert ann.post(path, **fields).status_code == 303
        assert f">{name}</a>" in ann.get("/lists").text
    for _ in range(2):
        copy = ann.http.cookies["session"]
        ann.post("/logout", op="2" * 32)
        assert ann.get("/lists", cookies={"session": copy}).status_code == 302
        ann.log_in()
    with inside(ann.server.database) as run:
        kept = run("SELECT answer FROM idempotency_key")
    assert not any("/log" in answer for (answer,) in kept)


def test_a_refused_form_is_no_answer(ann: Visitor) -> None:
    """After the mistake is mended, the same `op` does it."""
    op = {"op": str(uuid.uuid4())}
    assert ann.post(f"/lists/{ann.list}", title="x" * 1001, **op).status_code == 422
    assert ann.post(f"/lists/{ann.list}", title="milk", **op).status_code == 303
    assert [row.title for row in ann.rows()] == ["milk"]


def test_undo_says_when_it_is_too_late(ann: Visitor, cy: Visitor) -> None:
    """409 with the way back; 404 for what is no change of mine."""
    ann.add("milk")
    todo = ann.find("milk")
    ann.post(f"/todos/{todo}/complete")
    change = change_on(ann.get(f"/lists/{ann.list}").text)
    assert cy.post("/undo", change=change).status_code == 404
    assert ann.post("/undo", change="999999999").status_code == 404
    for nonsense in ("", "0", "x", "-1", "9" * 30):
        assert ann.post("/undo", change=nonsense).status_code in (404, 422), nonsense
    back = f"/lists/{ann.list}/completed"
    answer = ann.post("/undo", change=change, back=back)
    assert answer.headers["Location"] == back
    assert [row.completed for row in ann.rows()] == [False]
    answer = ann.post("/undo", change=change, back=back)
    assert (answer.status_code, len(alerts(answer.text))) == (409, 1)
    assert f'href="{back}"' in answer.text


def test_undoing_the_making_of_a_list(ann: Visitor) -> None:
    """Leads to the page of all lists, wherever it was asked for."""
    made = ann.post("/lists", name="Holidays").headers["Location"]
    change = change_on(ann.get(f"{made}/history").text)
    answer = ann.post("/undo", change=change, back=f"{made}/history")
    assert answer.headers["Location"] == "/lists"
    assert ann.get(made).status_code == 404
    change = change_on(ann.get("/lists").text)
    assert ann.post("/undo", change=change).headers["Location"] == made


def change_on(page: str) -> str:
    """Return the change that a page offers to undo."""
    return page.split('name="change" value="')[1].split('"')[0]


def test_order_by_after(ann: Visitor) -> None:
    """After a todo of the same list, or empty for the top; anything else is refused."""
    ann.add("1", "2", "3")
    one, two, three = (row.id for row in ann.rows())
    assert ann.post(f"/todos/{three}/move", after="").headers["Location"] == f"/lists/{ann.list}"
    ann.post(f"/todos/{one}/move", after=two)
    assert [row.title for row in ann.rows()] == ["3", "2", "1"]
    for after in ("0", "x", "999999999", "1e3"):
        answer = ann.post(f"/todos/{one}/move", after=after)
        assert (answer.status_code, len(alerts(answer.text))) == (422, 1), after
    assert [row.title for row in ann.rows()] == ["3", "2", "1"]


def test_several_at_once(ann: Visitor) -> None:
    """A line each; what is wrong with one refuses all, and keeps them."""
    ann.post(f"/lists/{ann.list}", lines="milk\r\n\r\n  bread  \r\n\u3000\r\nhoney")
    assert [row.title for row in ann.rows()] == ["milk", "bread", "honey"]
    lines = "fine\n" + "x" * 1001
    answer = ann.post(f"/lists/{ann.list}", lines=lines)
    assert (answer.status_code, len(alerts(answer.text))) == (422, 1)
    assert lines in answer.text and "fine" not in [row.title for row in ann.rows()]


def test_notes_on_a_page_of_their_own(ann: Visitor, cy: Visitor) -> None:
    """RenderCache by a rename, refused with the page again, and nobody else's business."""
    ann.add("milk")
    todo = ann.find("milk")
    notes = "\n two bottles <b>\r\n& cream"
    assert ann.post(f"/todos/{todo}", title="milk", notes=notes).status_code == 303
    ann.post(f"/todos/{todo}", title="oat milk")
    page = ann.get(f"/todos/{todo}").text
    assert "\n\n two bottles &lt;b&gt;\n&amp; cream</textarea>" in page
    assert 'value="oat milk"' in page
    answer = ann.post(f"/todos/{todo}", title="milk", notes="x" * 16_001)
    assert (answer.status_code, len(alerts(answer.text))) == (422, 1)
    assert "x" * 16_001 in answer.text
    assert cy.get(f"/todos/{todo}").status_code == 404
    ann.post(f"/todos/{todo}/delete")
    assert ann.get(f"/todos/{todo}").status_code == 404
    assert ann.post(f"/todos/{todo}/restore").headers["Location"] == f"/lists/{ann.list}"
    assert [row.title for row in ann.rows()] == ["oat milk"]
    assert ann.post(f"/todos/{todo}/restore").status_code == 404


def test_history_and_trash_come_in_pages(ann: Visitor) -> None:
    """With the way to the older and the newer ones."""
    ann.add(*map(str, range(60)))
    for path, verb in (("history", "Added"), ("trash", "Deleted")):
        if path == "trash":
            ann.post(f"/lists/{ann.list}/toggle-all", completed="true")
            ann.post(f"/lists/{ann.list}/clear-completed")
        address = f"/lists/{ann.list}/{path}"
        first = ann.get(address).text
        assert first.count("<time") == 50 and f"{address}?page=2" in first and verb
        second = ann.get(f"{address}?page=2").text
        assert 0 < second.count("<time") < 20 and f"{address}?page=1" in second
        for nonsense in ("0", "-1", "x", "9" * 30):
            assert ann.get(f"{address}?page={nonsense}").status_code == 200


# What a script asks for


def test_the_page_without_its_frame(ann: Visitor) -> None:
    """The same rows as on the page; nothing when nothing has changed, and never another's."""
    ann.add("milk", "bread")
    address = f"/lists/{ann.list}"
    asking = {"X-Fragment": "rows"}
    answer = ann.get(address, headers=asking)
    assert rows(answer.text) == ann.rows() and "<html" not in answer.text
    assert "X-Fragment" in answer.headers["Vary"] and "_xsrf" not in answer.text
    known = asking | {"If-None-Match": answer.headers["ETag"]}
    again = ann.get(address, headers=known)
    assert (again.status_code, again.text) == (304, "")
    french = ann.get(address, headers=known | {"Accept-Language": "fr"})
    assert french.status_code == 200 and french.headers["ETag"] != answer.headers["ETag"]
    assert ann.get(f"{address}/active", headers=known).status_code == 200
    ann.post(f"/todos/{ann.find('milk')}/complete")
    changed = ann.get(address, headers=known)
    assert changed.status_code == 200 and rows(changed.text) == ann.rows()
    ann.post("/logout")
    assert ann.get(address, headers=known).status_code == 302


def test_a_refusal_without_the_frame(ann: Visitor) -> None:
    """The script has the form still before it, and is told the reason alone."""
    token = {"_xsrf": ann.http.cookies["_xsrf"]}
    answer = ann.http.post(
        f"{ann.server.url}/lists/{ann.list}",
        token | {"title": "x" * 1001},
        headers={"X-Fragment": "rows"},
        timeout=20,
    )
    assert answer.status_code == 422
    assert alerts(answer.text) == ["This is too long: at most 1000 characters."]


def test_text_survives_the_end_of_a_session(ann: Visitor) -> None:
    """Without a script too: the refusal leads through log-in to the field, filled in."""
    ann.post("/logout")
    back = f"/lists/{ann.list}/active"
    page = ann.post(f"/lists/{ann.list}", title="milk & <honey> 🌱", back=back).text
    login = unescape(page.split('id="login" href="')[1].split('"')[0])
    following = unescape(ann.get(login).text.split('name="next" value="')[1].split('"')[0])
    place = ann.log_in(next=following).headers["Location"]
    assert place.startswith(back + "?title=")
    assert 'value="milk &amp; &lt;honey&gt; 🌱"' in ann.get(place).text


def test_pages_are_sent_small(ann: Visitor) -> None:
    """Compressed, for browsers that say they can read that."""
    ann.post(f"/lists/{ann.list}", lines="\n".join(map(str, range(100))))
    page = ann.get(f"/lists/{ann.list}", headers={"Accept-Encoding": "gzip"})
    assert page.headers["Content-Encoding"] == "gzip"
    assert int(page.headers["Content-Length"]) < len(page.content) / 4


# Who may


def test_a_stranger_learns_nothing(ann: Visitor, cy: Visitor) -> None:
    """What is Ann's and what doesn't exist read the same to Cy, and he changes nothing."""
    ann.add("secret")
    todo = ann.find("secret")
    missing = bare(cy.get("/lists/999999").text)
    for path in ("", "/active", "/history", "/trash"):
        address = f"/lists/{ann.list}{path}"
        answer = cy.get(address)
        assert (answer.status_code, bare(answer.text)) == (404, missing)
    for address, fields in {
        f"/lists/{ann.list}": {"title": "mine"},
        f"/lists/{ann.list}/rename": {"name": "mine"},
        f"/lists/{ann.list}/toggle-all": {"completed": "true"},
        f"/lists/{ann.list}/clear-completed": {},
        f"/lists/{ann.list}/delete": {},
        f"/todos/{todo}": {"title": "mine"},
        f"/todos/{todo}/move": {"after": ""},
        f"/todos/{todo}/restore": {},
        f"/todos/{todo}/complete": {},
        f"/todos/{todo}/reopen": {},
        f"/todos/{todo}/delete": {},
    }.items():
        assert cy.post(address, **fields).status_code == 404, address
    assert ann.rows() == [Row(todo, "secret", False)]
    assert "Ann" not in cy.get("/lists").text


def test_a_viewer_reads(ann: Visitor, cy: Visitor) -> None:
    """Sees the list and nothing to change it with; what is sent all the same gets 403."""
    ann.add("milk")
    todo = ann.find("milk")
    with inside(ann.server.database) as run:
        run(
            "INSERT INTO member (list_id, user_id, role, position, last_read_message)"
            " SELECT ?, id, 'viewer', 9, 0 FROM \"user\" WHERE username = ?",
            ann.list,
            cy.name,
        )
    page = cy.get(f"/lists/{ann.list}?edit={todo}").text
    assert rows(page) == [Row(todo, "milk", False)]
    posts = page.count('method="post"')
    assert posts == 1 and "Log out" in page and "formaction" not in page
    for address in (f"/lists/{ann.list}", f"/lists/{ann.list}/rename", f"/todos/{todo}/delete"):
        assert cy.post(address, title="mine", name="mine").status_code == 403
    assert ann.rows() == [Row(todo, "milk", False)]
    for role, may in (("editor", True), ("viewer", False)):
        with inside(ann.server.database) as run:
            run("UPDATE member SET role = ? WHERE list_id = ? AND role <> 'owner'", role, ann.list)
        for fragment in ({}, {"X-Fragment": "rows"}):
            page = cy.get(f"/lists/{ann.list}", headers=fragment).text
            assert ("formaction" in page) == may
        if may:
            assert cy.post(f"/todos/{todo}/complete").status_code == 303


def test_nobody_is_sent_to_log_in(nobody: Visitor) -> None:
    """And comes back to where they wanted to go; what they send without logging in is refused."""
    answer = nobody.get("/lists/7/active?x=1")
    assert answer.status_code == 302
    assert answer.headers["Location"] == "/login?next=%2Flists%2F7%2Factive%3Fx%3D1"
    assert nobody.post("/lists/7", title="milk").status_code == 403
    answer = nobody.post("/lists/7", title="milk & <honey>")
    assert alerts(answer.text) == ["You are no longer logged in."]
    assert "milk &amp; &lt;honey&gt;" in answer.text
    assert nobody.post("/logout").headers["Location"] == "/login"


@pytest.mark.parametrize(
    "number", ["0", "-1", "01", "1.0", "x", "%31x", "٣", "9" * 19, "1_0", "1%00", "1/2", "1e3"]
)
def test_an_id_that_is_none(ann: Visitor, number: str) -> None:
    """Is not found, by any method and anywhere in the address."""
    for path in (f"/lists/{number}", f"/todos/{number}/complete", f"/lists/{number}/rename"):
        assert ann.get(path).status_code in (404, 405), path
        assert ann.post(path, title="x", name="x").status_code == 404, path
    assert ann.get(f"/lists/{ann.list}?edit={number}").status_code == 200
    assert ann.get(f"/lists/{ann.list}/{number}").status_code == 404


def test_unknown_addresses_and_methods(ann: Visitor) -> None:
    """404 for the one, 405 that says what can be done for the other."""
    for path in ("/nothing", "/lists/1/everything", "/lists/", "/static/none.css", "/static/%00"):
        assert ann.get(path).status_code == 404, path
    assert ann.post("/nothing").status_code == 404
    for method, path, allowed in [
        ("GET", "/logout", "POST"),
        ("PUT", f"/lists/{ann.list}", "GET, HEAD, POST"),
        ("POST", f"/lists/{ann.list}/active", "GET, HEAD"),
        ("DELETE", "/static/css/app.css", "GET, HEAD"),
        ("TRACE", "/login", None),
    ]:
        answer = ann.http.request(method, ann.server.url + path, timeout=20)
        assert answer.status_code == 405, (method, path)
        if allowed:
            assert ", ".join(sorted(answer.headers["Allow"].split(", "))) == allowed
    assert ann.get("/lists").status_code == 200
    head = ann.http.head(ann.server.url + "/lists", timeout=20)
    assert (head.status_code, head.text) == (200, "")


# Coming in and going out


def test_signing_up_says_what_is_wrong(nobody: Visitor) -> None:
    """Beside the field, with the rest filled in, and never the password."""
    for fields, reason in [
        ({"username": ""}, "Use up to 40"),
        ({"username": " "}, "Use up to 40"),
        ({"username": "x" * 41}, "Use up to 40"),
        ({"username": "ana maria"}, "Use up to 40"),
        ({"username": "анна"}, "Usernames can't have accents"),
        ({"username": "joão"}, "Usernames can't have accents"),
        ({"username": "jose\u0301"}, "Usernames can't have accents"),
        ({"username": "ann🌱"}, "Use up to 40"),
        ({"username": "<b>"}, "Use up to 40"),
        ({"username": "-ann"}, "Use up to 40"),
        ({"email": "nowhere"}, "This isn't a valid e-mail address."),
        ({"email": "a b@c.d"}, "This isn't a valid e-mail address."),
        ({"password": ""}, "A password needs at least 8"),
        ({"password": "sh0rt!"}, "A password needs at least 8"),
        ({"password": "password123"}, "This password is easy to guess."),
        ({"password": f"{nobody.name}!"}, "This password is easy to guess."),
        ({"password": "x" * 1025}, "This is too long: at most 1024"),
    ]:
        answer = nobody.sign_up(**{"email": "nobody@example.org", **fields})
        assert answer.status_code == 422, fields
        (alert,) = alerts(answer.text)
        assert alert.startswith(reason), fields
        assert PASSWORD not in answer.text
        assert fields.get("email", "nobody@example.org") in answer.text
        if fields.get("password"):
            assert fields["password"] not in answer.text.replace(nobody.name, "")
    assert nobody.sign_up(email="nobody@example.org").status_code == 303


def test_a_name_is_taken_once(ann: Visitor, nobody: Visitor) -> None:
    """However it is spelt."""
    for spelling in (ann.name, ann.name.upper(), f" {ann.name} ", ann.name.replace("a", "\uff41")):
        answer = nobody.sign_up(username=spelling)
        assert (answer.status_code, alerts(answer.text)[0][:29]) == (
            422,
            "That username is taken.",
        )


def test_a_name_is_found_however_it_is_spelt(ann: Visitor) -> None:
    """Phones write a capital first."""
    ann.post("/logout")
    assert ann.log_in(username=ann.name.capitalize()).status_code == 303


def test_wrong_passwords_and_unknown_names_read_the_same(ann: Visitor, nobody: Visitor) -> None:
    """Apart from the name that was typed. And `next` survives the mistake."""
    pages = []
    for name in (ann.name, "x" * len(ann.name), "\U0001f331" * 3, "<script>", ""):
        answer = nobody.log_in(username=name, password="wrong wrong", next="/lists?a=1")
        assert answer.status_code == 403 and "Location" not in answer.headers
        assert "session" not in nobody.http.cookies
        assert 'name="next" value="/lists?a=1"' in answer.text
        pages.append(bare(answer.text).replace(f'value="{name}"', ""))
    assert pages[0] == pages[1] and alerts(pages[0]) == alerts(pages[3]) == alerts(pages[4])
    assert nobody.log_in(username=ann.name, password="x" * 5000).status_code == 403


def test_an_endless_name_holds_nobody_up(ann: Visitor, nobody: Visitor) -> None:
    """Putting its marks in order would take minutes, and everyone else would wait for it."""
    name = "a" + "\u0315" * 80_000 + "\u0316" * 80_000
    assert nobody.log_in(username=name, password="x").status_code == 403
    assert nobody.sign_up(username=name).status_code == 422
    assert ann.get("/lists").status_code == 200


@pytest.mark.parametrize(
    "place",
    [
        "//evil.example",
        "/\\evil.example",
        "/\t/evil.example",
        "\\\\evil.example",
        "https://evil.example/",
        "javascript:alert(1)",
        "/%5cevil.example",
        "/%2f/evil.example",
        "/%09/evil.example",
        "evil",
        " /lists",
        "/lists\r\nX-Evil: 1",
        "/" + "x" * 2000,
        "",
    ],
)
def test_next_stays_here(ann: Visitor, place: str) -> None:
    """Whatever it says, by form and by address."""
    assert ann.get("/login", params={"next": place}).headers["Location"] == "/"
    ann.post("/logout")
    assert ann.log_in(next=place).headers["Location"] == "/"


def test_logging_out_ends_the_session(ann: Visitor) -> None:
    """Also for someone who kept a copy of the cookie."""
    copy = ann.http.cookies["session"]
    page = ann.get(f"/lists/{ann.list}")
    assert page.headers["Cache-Control"] == "no-store"
    answer = ann.post("/logout")
    assert answer.headers["Location"] == "/login" and "session" not in ann.http.cookies
    assert answer.headers["Clear-Site-Data"] == '"cache", "storage"'
    assert ann.get(f"/lists/{ann.list}", cookies={"session": copy}).status_code == 302


def test_logging_in_again_changes_the_key(ann: Visitor) -> None:
    """And the key before it opens nothing any more."""
    before = ann.http.cookies["session"]
    ann.log_in()
    assert ann.http.cookies["session"] != before
    assert ann.get("/lists").status_code == 200
    ann.http.cookies.set("session", None)
    assert ann.get("/lists", cookies={"session": before}).status_code == 302


def test_cookies_that_are_not_ours(ann: Visitor) -> None:
    """Read as none, are taken away, and never break a page."""
    ann.server.expected += ["Invalid cookie signature", "Malformed cookie"]
    good = ann.http.cookies["session"]
    ann.http.cookies.clear()
    for cookie in (good[:-1] + "0", good.replace("|", "!"), "x" * 4000, "2|1:0|", "%ff\\", "é"):
        answer = ann.get("/lists", headers={"Cookie": f"session={cookie}".encode()})
        assert answer.status_code == 302, cookie
        assert 'session=""' in answer.headers["Set-Cookie"], cookie
    assert ann.get("/login", headers={"Cookie": b"session=\xff\xfe; _xsrf=\xff"}).status_code == 200


def test_forged_posts_change_nothing(ann: Visitor) -> None:
    """Without the token, with another's, and from another site even with it."""
    token = ann.http.cookies["_xsrf"]
    for form, headers in [
        ({}, {}),
        ({"_xsrf": ""}, {}),
        ({"_xsrf": "2|00000000|" + "0" * 32 + "|1"}, {}),
        ({"_xsrf": token}, {"Sec-Fetch-Site": "cross-site"}),
        ({"_xsrf": token}, {"Sec-Fetch-Site": "same-site"}),
        ({"_xsrf": token}, {"Origin": "null"}),
        ({"_xsrf": token}, {"Origin": "https://evil.example"}),
    ]:
        for path in (f"/lists/{ann.list}", "/logout", "/login", "/signup"):
            url = ann.server.url + path
            answer = ann.http.post(url, {"title": "x", **form}, headers=headers, timeout=20)
            assert (answer.status_code, len(alerts(answer.text))) == (403, 1)
    assert ann.rows() == []


def test_fields_that_are_no_text(ann: Visitor) -> None:
    """Get 400: they can't come from our form."""
    token = ann.http.cookies["_xsrf"]
    prefix = f"_xsrf={token.replace('|', '%7C')}&".encode()
    for body in (b"title=a%00b", b"title=%FF%FE", b"title=%ED%A0%80", b"title=a&title=b"):
        answer = ann.http.post(
            f"{ann.server.url}/lists/{ann.list}",
            prefix + body,
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            timeout=20,
        )
        assert (answer.status_code, len(alerts(answer.text))) == (400, 1), body
    many = "&".join(f"f{i}=1" for i in range(300)).encode()
    answer = ann.http.post(
        f"{ann.server.url}/lists/{ann.list}",
        prefix + many,
        headers={"Content-Type": "application/x-www-form-urlencoded"},
        timeout=20,
    )
    assert answer.status_code == 400
    assert ann.rows() == []


# Every answer


def test_the_headers_of_every_answer(ann: Visitor, nobody: Visitor) -> None:
    """Pages, redirects, refusals, static files, and the errors of all of these."""
    answers = [
        ann.get("/lists"),
        ann.get("/"),
        ann.post("/lists", name=""),
        ann.get("/logout"),
        ann.get("/nothing"),
        ann.get("/static/css/app.css"),
        ann.get("/static/css/none.css"),
        ann.get("/static/css/"),
        ann.get("/static/..%2fapp.py"),
        nobody.get("/lists"),
        nobody.post("/lists"),
        nobody.http.post(nobody.server.url + "/login", timeout=20),
    ]
    for answer in answers:
        headers = answer.headers
        assert headers["Content-Security-Policy"] == (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
            "font-src 'self'; connect-src 'self'; manifest-src 'self'; worker-src 'self'; "
            "form-action 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'; "
            "require-trusted-types-for 'script'; trusted-types server"
        ), answer.url
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["Permissions-Policy"] == "camera=(), microphone=(), geolocation=()"
        assert headers["Server"] == "todo"
        assert "Strict-Transport-Security" not in headers
    assert {a.status_code for a in answers} == {200, 302, 303, 403, 404, 405, 422}


def test_static_files_are_kept_by_their_hash(ann: Visitor) -> None:
    """With it for years, without it not unasked; modules that import each other share it."""
    page = ann.get("/lists").text
    addresses = re.findall(r'(?:src|href)="(/static/[^"]+)"', page)
    for address in addresses:
        answer = ann.get(address)
        assert answer.headers["Cache-Control"] == "max-age=315360000, immutable", address
        again = ann.get(address, headers={"If-None-Match": answer.headers["ETag"]})
        assert again.status_code == 304, address
    scripts = {address.rpartition("/")[0] for address in addresses if address.endswith(".js")}
    assert len(scripts) == 1
    assert ann.get("/static/css/app.css").headers["Cache-Control"] == "no-cache"


def test_a_page_from_before_a_deploy(ann: Visitor) -> None:
    """Gets the files there are, but may not keep them as those of its version."""
    now = ann.get("/static/css/app.css")
    old = ann.get("/static/css/0123456789abcdef/app.css")
    assert old.status_code == 200 and old.text == now.text
    assert old.headers["Cache-Control"] == "no-cache" and old.headers["ETag"]
    script = re.search(r'src="(/static/js/\w+/)\w+\.js"', ann.get("/lists").text)
    assert script is not None
    for outside in ("../../../../app.py", "..%2f..%2f..%2f..%2fapp.py", "//etc/passwd", "%00", "."):
        for folder in (script[1], "/static/js/0123456789abcdef/"):
            request = requests.Request("GET", "http://localhost").prepare()
            request.url = ann.server.url + folder + outside  # as it is: requests would resolve it
            assert ann.http.send(request, timeout=20).status_code in (403, 404), request.url


def test_the_cookies(ann: Visitor, nobody: Visitor) -> None:
    """No script reads them, and other sites don't get them sent."""
    given = nobody.get("/login").headers["Set-Cookie"], ann.log_in().headers["Set-Cookie"]
    cookies = [cookie for header in given for cookie in re.split(r", (?=device)", header)]
    for name, cookie in zip(("_xsrf", "session", "device"), cookies, strict=True):
        parts = cookie.split("; ")
        assert parts[0].startswith(f"{name}=")
        assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(parts)
        assert not any(part.startswith(("Secure", "Domain")) for part in parts)


def test_behind_tls(start: Callable[..., Server]) -> None:
    """With an https --public_url, cookies are Secure and bound to this host, and HSTS is on."""
    server = start("--public_url=https://todo.example.org")
    ann = Visitor(server, "ann")
    answer = ann.get("/login")
    assert answer.headers["Strict-Transport-Security"].startswith("max-age=31536000")
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("__Host-xsrf=") and "Secure" in cookie and "Domain" not in cookie
    token = cookie.split("=", 1)[1].split(";")[0]
    answer = ann.http.post(  # a browser sends Secure cookies over TLS only; requests knows that too
        f"{server.url}/signup",
        {"username": "ann", "password": PASSWORD, "_xsrf": token},
        headers={"Cookie": f"__Host-xsrf={token}"},
        allow_redirects=False,
        timeout=20,
    )
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("__Host-session=") and "Secure" in cookie and "HttpOnly" in cookie
    server.stop()


def test_a_body_too_large(ann: Visitor) -> None:
    """Is refused before it is read."""
    ann.server.expected.append("Content-Length too long")
    place = urlsplit(ann.server.url)
    connection = HTTPConnection(place.hostname or "", place.port, timeout=20)
    connection.putrequest("POST", "/login")
    connection.putheader("Content-Length", str(1024 * 1024 + 1))
    connection.endheaders()
    assert connection.getresponse().status in (400, 413)
    connection.close()


# Opening and closing


def test_a_stop_finishes_what_is_under_way(start: Callable[..., Server]) -> None:
    """Every answer that was begun arrives whole, and the exit status is 0."""
    server = start()
    ann = Visitor(server, "ann")
    ann.sign_up()
    statuses: list[int] = []
    begun, first = threading.Barrier(9), threading.Event()

    def log_in() -> None:
        visitor = Visitor(server, "x")
        visitor.get("/login")
        begun.wait()
        statuses.append(visitor.log_in(username=ann.name).status_code)
        first.set()

    threads = [threading.Thread(target=log_in) for _ in range(8)]
    for thread in threads:
        thread.start()
    begun.wait()
    # Passwords take a while: some of the eight are being checked when the house is told to close.
    assert first.wait(20)
    server.stop()
    for thread in threads:
        thread.join()
    assert statuses == [303] * 8


def test_it_stays_local(server: Server) -> None:
    """By default nobody is served but who asks this machine's own 127.0.0.1."""
    port = urlsplit(server.url).port or 0
    socket.create_connection(("127.0.0.1", port), timeout=5).close()
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.2", port), timeout=5)


@pytest.mark.sqlite
def test_the_sample(start: Callable[..., Server], tmp_path: Path) -> None:
    """`cp people.db.sample people.db` shows a furnished house, to those who share it."""
    (tmp_path / "people.db").write_bytes((ROOT / "people.db.sample").read_bytes())
    server = start()
    readme = (ROOT / "README.rst").read_text()
    for name in ("ana", "bob"):
        assert f"``{name}``" in readme
        visitor = Visitor(server, name)
        assert visitor.log_in(username=name, password="only for looking").status_code == 303
        lists = visitor.get("/lists").text
        shared = next(line for line in lists.splitlines() if "Casa &amp; jardim" in line)
        address = shared.split('href="')[1].split('"')[0]
        todos = rows(visitor.get(address).text)
        assert {row.completed for row in todos} == {True, False} and len(todos) > 5
    assert "only for looking" in readme
    server.stop()


if __name__ == "__main__":
    sys.exit(subprocess.call([sys.executable, "-m", "pytest", *sys.argv[1:]], cwd=ROOT))
