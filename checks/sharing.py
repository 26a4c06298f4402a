"""Sharing a list: who comes in, in which role, and who goes."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from checks.cast import Server, Visitor, alerts
from checks.script import Window
from checks.together import live, see


def join(owner: Visitor, other: Visitor, role: str = "editor") -> int:
    """Share the owner's list with someone; return the status of the answer."""
    fields = {"username": other.name, "role": role}
    return owner.post(f"/lists/{owner.list}/members", **fields).status_code


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
    assert f"Shared the list with {cy.name}" in history and f"Gave {cy.name} another" in history
    removed = ann.post(f"{page}/members/{cy.name}/remove")
    assert removed.headers["Location"] == f"{page}/members"
    assert cy.get(page).status_code == cy.post(page, title="no").status_code == 404


def test_leaving(ann: Visitor, cy: Visitor) -> None:
    """Everyone may, apart from the only owner; a list can be handed over before."""
    page = f"/lists/{ann.list}"
    join(ann, cy)
    alone = ann.post(f"{page}/leave")
    assert alone.status_code == 409 and "needs an owner" in alone.text
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
        ({"username": "nobody at all", "role": "editor"}, "Nobody here has this name."),
        ({"username": "", "role": "editor"}, "Nobody here has this name."),
        ({"username": cy.name, "role": "king"}, "There is no such role"),
        ({"username": cy.name}, "There is no such role"),
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
    with theirs.page.expect_navigation():
        mine.ann.post(f"{page}/members/{theirs.ann.name}/remove")
    assert "Nothing here" in theirs.page.inner_text("h1")
