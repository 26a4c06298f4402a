"""Sharing a list: who comes in, in which role, and who goes."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import pytest

from checks.support.browser import Window, live, see, until
from checks.support.programs import Program
from checks.support.servers import Server, dump, inside
from checks.support.visitors import PASSWORD, Visitor, alerts, join
from checks.support.waiting import wait


def people(visitor: Visitor, number: int) -> list[str]:
    """Return who shares a list, as its page says."""
    return re.findall(r'id="p-([^"]+)"', visitor.get(f"/lists/{number}/members").text)


def test_a_shared_list(ann: Visitor, cy: Visitor) -> None:
    """Is among theirs; a viewer reads, an editor writes, a stranger finds nothing."""
    page = f"/lists/{ann.list}"
    assert cy.get(page).status_code == cy.get(f"{page}/members").status_code == 404
    assert join(ann, cy, "viewer") == 303
    ann.add("milk")
    assert "milk" in cy.get(page).text and "new-todo" not in cy.get(page).text
    assert people(cy, ann.list) == [ann.name, cy.name]
    assert 'name="role"' not in cy.get(f"{page}/members").text
    assert cy.post(page, title="no").status_code == 403
    assert cy.post(f"/todos/{ann.find('milk')}/complete").status_code == 403
    assert join(ann, cy, "editor") == 303
    assert cy.post(page, title="bread").status_code == 303
    assert [row.title for row in ann.rows()] == ["milk", "bread"]
    assert cy.post(f"{page}/members", username=cy.name, role="owner").status_code == 403
    history = ann.get(f"{page}/history").text
    assert f"Invited {cy.name}" in history and f"Changed {cy.name}" in history
    assert "Accepted the invitation" in history
    removed = ann.post(f"{page}/members/{cy.name}/remove")
    assert removed.headers["Location"] == f"{page}/members"
    assert cy.get(page).status_code == cy.post(page, title="no").status_code == 404


def test_leaving(ann: Visitor, cy: Visitor) -> None:
    """Everyone may, apart from the only owner; a list can be handed over before."""
    page = f"/lists/{ann.list}"
    join(ann, cy)
    alone = ann.post(f"{page}/leave")
    assert alone.status_code == 409 and "an owner first" in alone.text
    assert ann.post(f"{page}/members", username=ann.name, role="viewer").status_code == 409
    join(ann, cy, "owner")
    assert ann.post(f"{page}/leave").headers["Location"] == "/lists"
    assert ann.get(page).status_code == 404
    assert people(cy, ann.list) == [cy.name]
    assert cy.post(f"{page}/leave").status_code == 409


def test_mistakes_are_said(ann: Visitor, cy: Visitor) -> None:
    """Next to the form, which keeps what was typed."""
    page = f"/lists/{ann.list}/members"
    for fields, words in (
        ({"username": "nobody at all", "role": "editor"}, "No such user."),
        ({"username": "", "role": "editor"}, "No such user."),
        ({"username": cy.name, "role": "king"}, "Unknown role"),
        ({"username": cy.name}, "Unknown role"),
    ):
        answer = ann.post(page, **fields)
        assert answer.status_code == 422
        assert alerts(answer.text)[0].startswith(words)
        assert f'value="{fields["username"]}"' in answer.text
    assert people(ann, ann.list) == [ann.name]
    assert ann.post(f"{page}/nobody/remove").status_code == 404


@pytest.fixture
def windows(browser: Any, ann: Visitor, cy: Visitor) -> Iterator[list[Window]]:
    """Ann's window and Cy's, on Ann's list."""
    join(ann, cy)
    cy.list = ann.list
    both = [Window(browser.new_context(), each) for each in (ann, cy)]
    yield both
    for window in both:
        window.page.context.close()


def test_two_people_see_each_other(windows: list[Window], server: Server) -> None:
    """At once; who is removed loses the list in the open window, too."""
    mine, theirs = windows
    for window in windows:
        live(window)
    mine.write("milk")
    see(theirs, "milk")
    theirs.page.click(f"{theirs.row(1)} .toggle")
    see(mine, "✓milk")
    page = f"/lists/{mine.ann.list}"
    mine.ann.post(f"{page}/members", username=theirs.ann.name, role="viewer")
    theirs.page.wait_for_selector(".new-todo", state="detached")
    mine.write("bread")
    see(theirs, "✓milk", "bread")
    mine.ann.post(f"{page}/members/{theirs.ann.name}/remove")
    theirs.page.wait_for_selector(".todo-list", state="detached")
    assert "Not found" in theirs.page.inner_text("h1")


def link_of(ann: Visitor, role: str) -> str:
    """Make a link into Ann's list; return its path."""
    made = ann.post(f"/lists/{ann.list}/invites", link=role)
    assert made.status_code == 201
    (link,) = re.findall(r'value="(http[^"]+/join/[^"]+)"', made.text)
    assert link.startswith(ann.server.url)
    return str(link.removeprefix(ann.server.url))


@pytest.mark.engine
def test_links_let_in(ann: Visitor, cy: Visitor, nobody: Visitor, server: Server) -> None:
    """Who has one, in its role, after logging in; an ended one lets in nobody."""
    link = link_of(ann, "viewer")
    assert nobody.get(link).headers["Location"] == "/login?" + urlencode({"next": link})
    assert "can view" in cy.get(link).text
    assert cy.get(f"/lists/{ann.list}").status_code == 404  # looking changes nothing
    for _ in range(2):
        assert cy.post(link).headers["Location"] == f"/lists/{ann.list}"
    assert people(ann, ann.list) == [ann.name, cy.name]
    assert "Joined the list by invite link" in ann.get(f"/lists/{ann.list}/history").text
    assert cy.post(f"/lists/{ann.list}", title="no").status_code == 403
    assert ann.post(link_of(ann, "editor")).status_code == 303
    assert ann.post(f"/lists/{ann.list}", title="still mine").status_code == 303
    late = Visitor(server, "late")
    late.sign_up()
    shown = ann.get(f"/lists/{ann.list}/members").text
    assert link not in shown  # only its hash is kept
    for number in re.findall(r"/invites/(\d+)/revoke", shown):
        assert ann.post(f"/lists/{ann.list}/invites/{number}/revoke").status_code == 303
    assert late.get(link).status_code == late.post(link).status_code == 404
    assert late.get("/join/" + "x" * 22).status_code == 404
    join(ann, late, "owner")
    late.list = ann.list
    link = link_of(late, "editor")
    ann.post(f"/lists/{ann.list}/members/{late.name}/remove")
    assert late.get(link).status_code == 404  # who made it may not make any now
    refused = ann.post(f"/lists/{ann.list}/invites", link="owner", op=str(uuid4()))
    assert refused.status_code == 422 and "edit or view" in alerts(refused.text)[0]
    assert link.rpartition("/")[2] not in dump(server.database)


@pytest.mark.engine
def test_links_end_by_themselves(ann: Visitor, cy: Visitor, server: Server) -> None:
    """After seven days, and with their list."""
    link, gone = link_of(ann, "viewer"), link_of(ann, "viewer")
    with inside(server.database) as run:
        ends = "SELECT MIN(expires) FROM invite WHERE list_id = ?"
        week = datetime.now(UTC) + timedelta(days=7)
        ((end,),) = run(ends, ann.list)
        assert abs(datetime.fromisoformat(end) - week) < timedelta(minutes=1)
        ((first,),) = run("SELECT MIN(id) FROM invite WHERE list_id = ?", ann.list)
        past = "UPDATE invite SET expires = '2020-01-01T00:00:00.000Z' WHERE id = ?"
        run(past, first)
    assert cy.get(link).status_code == cy.post(link).status_code == 404
    assert cy.get(gone).status_code == 200
    ann.post(f"/lists/{ann.list}/delete")
    assert cy.get(gone).status_code == cy.post(gone).status_code == 404


def test_a_conversation(ann: Visitor, cy: Visitor) -> None:
    """Text with links, the newest at hand, older ones on demand; who wrote one may take it back."""
    join(ann, cy)
    page = f"/lists/{ann.list}/messages"
    words = "see <b>https://example.org/?a=1&b=2</b>\njavascript:alert(1)"
    assert ann.post(page, text=words).headers["Location"] == page
    shown = cy.get(page).text
    assert 'href="https://example.org/?a=1&amp;b=2' in shown
    assert "&lt;b&gt;" in shown and 'href="javascript' not in shown
    for number in range(40):
        cy.post(page, text=f"number {number}.")
    shown = ann.get(page).text
    assert "number 39." in shown and "number 10." in shown and "number 9." not in shown
    (older,) = re.findall(r'href="([^"]+before=\d+)"', shown)
    shown = ann.get(older).text
    assert "number 9." in shown and "number 10." not in shown and "see &lt;b&gt;" in shown
    mine = re.findall(r"/messages/(\d+)/delete", shown)
    assert len(mine) == 1
    assert cy.post(f"/messages/{mine[0]}/delete").status_code == 403
    assert ann.post(f"/messages/{mine[0]}/delete").headers["Location"] == page
    assert ann.post(f"/messages/{mine[0]}/delete").status_code == 404
    assert f'id="message-{mine[0]}"' not in cy.get(older).text
    assert "Deleted a message" in cy.get(f"/lists/{ann.list}").text
    changes = Program(ann.server, cy.name).get(f"/lists/{ann.list}/changes").json()
    assert "example.org" not in str(changes) and changes[-1]["verb"] == "delete"
    for empty in ("", " \n "):
        assert ann.post(page, text=empty).status_code == 422
    long = ann.post(page, text="x" * 4001, back=page)
    assert long.status_code == 422 and "x" * 4001 in long.text


def test_what_is_new_is_counted(ann: Visitor, cy: Visitor) -> None:
    """Until it is read on its page; one's own messages are never new."""
    join(ann, cy)
    page = f"/lists/{ann.list}/messages"
    for number in range(3):
        ann.post(page, text=f"number {number}")
    assert unread(cy, ann.list) == "3" and unread(ann, ann.list) == ""
    cy.get(f"/lists/{ann.list}")  # there they may be out of sight
    assert unread(cy, ann.list) == "3"
    cy.get(page)
    wait(lambda: unread(cy, ann.list) == "")
    ann.post(page, text="one more")
    assert unread(cy, ann.list) == "1"
    cy.post(page, text="I see")
    assert unread(cy, ann.list) == "" and unread(ann, ann.list) == "1"


def unread(visitor: Visitor, number: int) -> str:
    """Return how many messages of a list are new, as its page says."""
    pattern = r'id="talking"[^>]*>.*?</a>(?: <b>(\d+)</b>)?'
    return str(re.findall(pattern, visitor.get(f"/lists/{number}").text)[0])


def titles(visitor: Visitor, path: str) -> list[str]:
    """Return the titles of the rows on a page."""
    return re.findall(r'<label id="t-\d+" dir="auto">(.*?)</label>', visitor.get(path).text)


def test_who_did_what(ann: Visitor, cy: Visitor) -> None:
    """A row of a shared list says who added and who completed it, and who is to do it."""
    ann.add("milk", "bread")
    assert "added by" not in ann.get(f"/lists/{ann.list}").text
    join(ann, cy)
    cy.post(f"/todos/{ann.find('milk')}/complete")
    page = ann.get(f"/lists/{ann.list}").text
    assert f"added by {ann.name} · completed by {cy.name}" in page
    bread = f"/todos/{ann.find('bread')}"
    form = {"title": "bread", "notes": ""}
    assert f"<option>{cy.name}</option>" in ann.get(bread).text
    assert ann.post(bread, **form, assigned=cy.name).status_code == 303
    assert f"added by {ann.name} · assigned to {cy.name}" in ann.get(f"/lists/{ann.list}").text
    mine = f"/lists/{ann.list}/mine"
    assert titles(cy, mine) == ["bread"]
    program = Program(ann.server, ann.name)
    milk, alone = program.get(f"/lists/{ann.list}/todos").json()
    assert milk["assigned"] is None and alone["assigned"] == cy.name
    assert program.get(alone["url"]).json() == alone
    assert program.patch(alone["url"], alone).json() == alone  # what one has got may be sent
    assert "Nothing assigned to you." in ann.get(mine).text
    wrong = ann.post(bread, **form, assigned="nobody")
    assert wrong.status_code == 422 and "a member of this list" in alerts(wrong.text)[0]
    change = re.findall(r'name="change" value="(\d+)"', ann.get(f"/lists/{ann.list}/history").text)
    assert ann.post("/undo", change=change[0]).status_code == 303
    assert titles(cy, mine) == []
    assert cy.post("/undo", change=change[0]).status_code == 409
    assert ann.post(bread, **form, assigned=cy.name).status_code == 303
    assert ann.post(f"/lists/{ann.list}/members/{cy.name}/remove").status_code == 303
    assert program.get(alone["url"]).json()["assigned"] is None  # who has left does it no more
    told = program.get(f"/lists/{ann.list}/changes").json()[-2:]
    assert [change["verb"] for change in told] == ["assign", "remove"]


def test_who_is_here(windows: list[Window], server: Server) -> None:
    """Others see it come and go, unless it is switched off in the account."""
    mine, theirs = windows
    for window in windows:
        live(window)
    here = "document.querySelector('#talk .here').textContent"
    until(mine.page, f"{here} === 'Here now: {theirs.ann.name}'")
    until(theirs.page, f"{here} === 'Here now: {mine.ann.name}'")
    theirs.ann.post("/account", seen="presence=on")  # unchecked in another tab
    until(mine.page, f"{here} === 'Nobody else is here right now.'")
    theirs.ann.post("/account", presence="on")
    theirs.page.reload()
    until(mine.page, f"{here} === 'Here now: {theirs.ann.name}'")
    theirs.page.goto(f"{server.url}/lists")
    until(mine.page, f"{here} === 'Nobody else is here right now.'")
    theirs.ann.post("/account", seen="presence=on")
    theirs.page.goto(f"{server.url}/lists/{mine.ann.list}")
    live(theirs)
    until(theirs.page, f"{here} === 'Here now: {mine.ann.name}'")
    assert mine.page.inner_text("#talk .here") == "Nobody else is here right now."


def test_talking_live(windows: list[Window]) -> None:
    """Messages come at once, drafts stay, and what others did is said, not more than needed."""
    mine, theirs = windows
    for window in windows:
        live(window)
    theirs.page.fill(".say textarea", "half a thou")
    mine.page.fill(".say textarea", "Hello!")
    mine.page.press(".say textarea", "Enter")
    assert mine.page.input_value(".say textarea") == ""
    theirs.page.wait_for_selector(".messages >> text=Hello!")
    assert theirs.page.input_value(".say textarea") == "half a thou"
    until(theirs.page, "document.querySelector('.news').textContent.includes('Sent “Hello!”')")
    until(mine.page, "!document.querySelector('.messages [inert]')")
    mine.page.hover(".messages li")
    mine.page.click(".take-back")
    theirs.page.wait_for_selector(".messages li", state="detached")
    theirs.page.press(".say textarea", "Shift+Enter")
    assert theirs.page.input_value(".say textarea") == "half a thou\n"
    theirs.page.fill(".say textarea", "x" * 4001)
    theirs.page.press(".say textarea", "Enter")
    theirs.page.wait_for_selector(".say [role=alert]")
    assert theirs.page.input_value(".say textarea") == "x" * 4001


def test_drafts_stay(windows: list[Window]) -> None:
    """When one's role changes, or one's session ends, each in its own field."""
    mine, theirs = windows
    for window in windows:
        live(window)
    theirs.page.fill(".new-todo", "half a todo")
    theirs.page.fill(".say textarea", "half a message")
    page = f"/lists/{mine.ann.list}/members"
    with theirs.page.expect_event("load"):
        mine.ann.post(page, username=theirs.ann.name, role="owner")
    drafts = "['.new-todo', '.say textarea'].map((s) => document.querySelector(s)?.value).join()"
    until(theirs.page, f"{drafts} === 'half a todo,half a message'")
    with theirs.page.expect_navigation(url="**/login?*"):
        theirs.ann.post("/logout")
    theirs.page.fill("#username", theirs.ann.name)
    theirs.page.fill("#password", PASSWORD)
    with theirs.page.expect_event("load"):
        theirs.page.press("#password", "Enter")
    until(theirs.page, f"{drafts} === 'half a todo,half a message'")


@pytest.mark.engine
def test_second_thoughts(windows: list[Window], server: Server) -> None:
    """What waits is in one's own windows alone, until it is taken back, or sent by itself."""
    mine, theirs = windows
    mine.ann.post("/account", shortcuts="on", presence="on", delay_messages="on")
    mine.page.reload()
    for window in windows:
        live(window)
    for words in ("no, rather not", "yes"):
        mine.page.fill(".say textarea", words)
        mine.page.click(".say button")
        mine.page.wait_for_selector(f".messages li[id^='held-']:has-text('{words}')")
    mine.page.click(".messages li:has-text('rather not') button")
    texts = "[...document.querySelectorAll('.messages li > p')].map((p) => p.textContent).join()"
    until(mine.page, f"{texts} === 'yes'")
    theirs.ann.add("meanwhile")
    see(theirs, "meanwhile")
    assert theirs.page.evaluate(texts) == ""
    with inside(server.database) as ask:
        ask("UPDATE scheduled_message SET due = '2020-01-01T00:00:00.000Z'")
    for window in windows:
        until(window.page, f"{texts} === 'yes'")
        window.page.wait_for_selector(".messages li[id^='message-']")
        assert window.page.query_selector(".messages li[id^='held-']") is None


def test_a_session_that_ends_before_the_line_is_open(windows: list[Window]) -> None:
    """Is noticed by the page all the same, by whichever transport asks and hears 401."""
    _, theirs = windows
    script: list[Any] = []
    theirs.page.route("**/main.js", lambda route: script.append(route), times=1)
    theirs.page.reload(wait_until="commit")
    until(theirs.page, "document.body !== null")
    theirs.ann.post("/logout")
    with theirs.page.expect_navigation(url="**/login?*"):
        for route in script:
            route.continue_()


def test_another_list_calls(windows: list[Window], ann: Visitor, cy: Visitor) -> None:
    """Its name, what is left in it and what was said there is in the navigation of every window."""
    mine, theirs = windows
    other = mine.ann.post("/lists", name="Casa").headers["Location"]
    shared = {"username": theirs.ann.name, "role": "editor"}
    assert mine.ann.post(f"{other}/members", **shared).status_code == 303
    theirs.page.reload()
    live(theirs)
    theirs.ann.post(f"{other}/messages", text="mine")
    link = f".side [href='{other}']"
    mine.ann.post(f"{other}/messages", text="are you there?")
    theirs.page.wait_for_selector(f"{link} b", state="attached")
    mine.ann.post(other, title="milk")
    mine.ann.post(f"{other}/rename", name="Home")
    said = f"""document.querySelector("{link}").textContent.trim().split(/ +/).join(" ")"""
    until(theirs.page, f"{said} === 'Home 1 1'")
    mine.ann.post(f"/lists/{mine.ann.list}/rename", name="Errands")
    until(theirs.page, "document.querySelector('h1').textContent === 'Errands'")
    until(theirs.page, "document.title.startsWith('Errands')")


def invitations(visitor: Visitor) -> list[str]:
    """Return the names of the lists that someone is invited to, as their page says."""
    found = re.findall(r'id="w-\d+"[^>]*>(.*?)<', visitor.get("/lists").text)
    assert (f"{len(found)} invitation" in visitor.get("/account").text) == bool(found)
    return found


def invite(owner: Visitor, other: Visitor, page: str = "", role: str = "editor") -> Any:
    """Share a list of the owner's with someone; return the answer."""
    page = page or f"/lists/{owner.list}"
    return owner.post(f"{page}/members", username=other.name, role=role)


@pytest.mark.engine
def test_membership_begins_with_consent(ann: Visitor, cy: Visitor) -> None:
    """Who is invited is no member before they accept; who shares a list is added at once."""
    page = f"/lists/{ann.list}"
    assert invitations(cy) == []
    assert invite(ann, cy).status_code == invite(ann, cy, role="viewer").status_code == 303
    assert cy.get(page).status_code == 404 and people(ann, ann.list) == [ann.name]
    assert f'id="a-{cy.name}"' in ann.get(f"{page}/members").text
    assert invitations(cy) == ["Things to do"]
    shown = cy.get("/lists").text
    assert f'action="{page}/accept"' in shown and f'action="{page}/leave"' in shown
    assert cy.post(f"{page}/accept").headers["Location"] == page
    assert cy.post(f"{page}/accept").status_code == 303  # a repeat
    assert people(ann, ann.list) == [ann.name, cy.name] and invitations(cy) == []
    assert cy.post(page, title="no").status_code == 403  # the last role that was offered
    other = ann.post("/lists", name="Casa").headers["Location"]
    assert invite(ann, cy, other).status_code == 303 and cy.get(other).status_code == 200


@pytest.mark.engine
def test_who_declines_isnt_asked_again(ann: Visitor, cy: Visitor, server: Server) -> None:
    """By the same person; a link still lets them in, and so does someone else."""
    page = f"/lists/{ann.list}"
    other = ann.post("/lists", name="Casa").headers["Location"]
    invite(ann, cy)
    assert ann.post(f"{page}/members/{cy.name}/remove").status_code == 303  # withdrawn
    assert cy.post(f"{page}/accept").status_code == 404
    assert invite(ann, cy).status_code == 303
    ann.post(f"{page}/delete")
    assert invitations(cy) == []
    assert ann.post("/undo", change=int(change_of(ann, page))).status_code == 303
    assert invitations(cy) == ["Things to do"]
    assert cy.post(f"{page}/leave").headers["Location"] == "/lists"
    assert cy.post(f"{page}/accept").status_code == cy.post(f"{page}/leave").status_code == 404
    for again in (invite(ann, cy), invite(ann, cy, other)):
        assert again.status_code == 422 and "invite link" in alerts(again.text)[0]
        assert f'value="{cy.name}"' in again.text
    bob = Visitor(server, "bob")
    bob.sign_up()
    join(ann, bob, "owner")
    assert invite(bob, cy, page).status_code == 303 and invitations(cy) == ["Things to do"]
    assert ann.post(f"{page}/members/{bob.name}/remove").status_code == 303
    assert invitations(cy) == []  # who has asked may not ask any more
    assert cy.post(link_of(ann, "viewer")).status_code == 303
    assert invite(ann, cy, other).status_code == 303  # they share a list now
    assert cy.get(other).status_code == 200
    assert cy.post(f"{other}/leave").status_code == 303
    assert invite(ann, cy, other).status_code == 422 and cy.get(other).status_code == 404


def change_of(ann: Visitor, page: str) -> str:
    """Return the change that deleted a list, which can be restored."""
    shown = ann.get("/lists").text.partition(f'id="l-{page.rpartition("/")[2]}"')[2]
    return shown.partition('name="change" value="')[2].partition('"')[0]


@pytest.mark.engine
def test_links_end_with_who_may_have_seen_them(
    ann: Visitor, cy: Visitor, nobody: Visitor, server: Server
) -> None:
    """Who is removed, or lowered, doesn't come back by one; the owner sees who came by which."""
    page = f"/lists/{ann.list}"
    editor, viewer = link_of(ann, "editor"), link_of(ann, "viewer")
    assert cy.post(editor).status_code == 303
    shown = ann.get(f"{page}/members").text
    assert shown.count("joined by it:") == 1 and f"joined by it: {cy.name}" in shown
    assert "When you remove someone" in shown and "ended" not in shown
    assert "joined by it" not in cy.get(f"{page}/members").text
    assert invite(ann, cy, role="viewer").status_code == 303  # they get a lower role
    shown = ann.get(f"{page}/members").text
    assert re.search(f"ended, joined by it: {cy.name}", shown)
    assert cy.get(editor).status_code == 404 and cy.get(viewer).status_code == 200
    assert cy.post(f"{page}/leave").status_code == 303  # by themselves: they may come back
    assert cy.post(viewer).status_code == 303
    assert cy.post(page, title="no").status_code == 403
    assert ann.post(f"{page}/members/{cy.name}/remove").status_code == 303
    assert cy.get(viewer).status_code == cy.post(viewer).status_code == 404
    assert ann.get(f"{page}/members").text.count("ended") == 2
    assert cy.get(page).status_code == 404
    fresh = link_of(ann, "viewer")
    assert cy.post(fresh).status_code == 303


def test_invitations_are_live(browser: Any, ann: Visitor, cy: Visitor) -> None:
    """They are counted at the top of an open page, and not any more when they were answered."""
    window = Window(browser.new_context(), cy)
    live(window)
    invite(ann, cy)
    window.page.wait_for_selector("#notices a")
    assert window.page.inner_text("#notices").strip() == "1 invitation"
    cy.post(f"/lists/{ann.list}/accept")
    window.page.wait_for_selector("#notices a", state="detached")
    window.page.wait_for_selector(f".side [data-list='{ann.list}']", state="attached")
    window.page.context.close()
