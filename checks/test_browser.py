"""A day with a list in a real browser, JavaScript off."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from checks.support.servers import Server
from checks.support.visitors import PASSWORD, Visitor


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A window without JavaScript, as narrow as a phone."""
    context = browser.new_context(java_script_enabled=False, viewport={"width": 320, "height": 640})
    page = context.new_page()
    page.set_default_timeout(10_000)
    yield page
    context.close()


def titles(page: Any) -> list[str]:
    """Return the titles on the page, as a reader of its text finds them."""
    return page.locator(".todo-list > li label").all_text_contents()


def click(page: Any, selector: str) -> None:
    """Click what leads to another page, and wait for that."""
    with page.expect_navigation():
        page.click(selector)


def press(page: Any, key: str = "Enter") -> None:
    """Press a key that leads to another page, and wait for that."""
    with page.expect_navigation():
        page.keyboard.press(key)


def write(page: Any, text: str) -> None:
    """Type where the caret is, and press Enter."""
    page.keyboard.type(text)
    press(page)


def focused(page: Any) -> str:
    """Return the name of the field in which the caret is."""
    return str(page.evaluate("document.activeElement.name"))


def test_a_day_without_javascript(page: Any, start: Callable[..., Server]) -> None:
    """The main job, by mouse and keyboard, ending after a restart."""
    server = start()
    page.goto(server.url)
    assert page.url == f"{server.url}/login?next=%2F"
    click(page, "text=Sign up")
    assert focused(page) == "username"
    page.fill("[name=username]", "ann")
    page.fill("[name=email]", "ann@example.org")
    page.focus("[name=password]")
    write(page, "12345678")
    assert "easy to guess" in page.inner_text("[role=alert]")
    assert page.input_value("[name=email]") == "ann@example.org"
    assert focused(page) == "password"
    write(page, PASSWORD)
    assert page.inner_text("h1") == "Things to do"
    assert page.locator(".main").is_hidden() and page.locator(".footer").is_hidden()

    # The caret is where typing starts, so nothing need be clicked.
    for title in ("milk", "café 🌱", "x" * 300):
        write(page, title)
        assert page.input_value(".new-todo") == ""
    assert titles(page) == ["milk", "café 🌱", "x" * 300]
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width == 320, "the page scrolls sideways"

    click(page, ".todo-list li:first-child .toggle")
    assert page.get_attribute(".todo-list li:first-child", "class") == "completed"
    assert page.get_attribute(".todo-list li:first-child .toggle", "aria-checked") == "true"
    assert page.inner_text(".todo-count strong") == "2"
    click(page, ".filters >> text=Active")
    assert page.url.endswith("/active") and titles(page) == ["café 🌱", "x" * 300]
    click(page, ".todo-list li:first-child .toggle")
    assert page.url.endswith("/active") and titles(page) == ["x" * 300]
    click(page, ".filters >> text=Completed")
    click(page, ".todo-list li:first-child .toggle")
    assert page.url.endswith("/completed") and titles(page) == ["café 🌱"]
    click(page, ".filters >> text=All")

    page.focus(".todo-list li:first-child .rename")
    press(page)
    assert page.locator("li.editing .edit:focus").count() == 1
    assert page.locator("li.editing label").is_hidden()
    page.keyboard.press("Control+A")
    write(page, "  oat milk ")
    assert titles(page)[0] == "oat milk" and page.locator("li.editing").count() == 0
    page.focus(".todo-list li:nth-child(3) .destroy")
    press(page, "Space")
    assert titles(page) == ["oat milk", "café 🌱"]
    click(page, ".toggle-all")
    assert page.locator("li.completed").count() == 2
    click(page, ".clear-completed")
    assert titles(page) == [] and page.locator(".footer").is_hidden()

    write(page, "pack")
    click(page, "nav >> text=Lists")
    page.focus("[name=name]")
    write(page, "Holidays")
    page.click(".list-menu summary")
    page.fill("[name=name]", "Férias")
    press(page)
    assert page.inner_text("h1") == "Férias"
    holidays = page.url
    click(page, "text=Log out")
    page.goto(holidays)
    assert page.url.startswith(f"{server.url}/login?next=")

    server.stop()
    start(f"--port={server.url.rpartition(':')[2]}")
    page.fill("[name=username]", "ann")
    page.focus("[name=password]")
    write(page, PASSWORD)
    assert page.url == holidays and page.inner_text("h1") == "Férias"
    click(page, "nav >> text=Lists")
    click(page, "main >> text=Things to do")
    assert titles(page) == ["pack"]


def test_comfort_without_javascript(page: Any, server: Server, ann: Visitor) -> None:
    """Undo, order, notes, several at once, history, trash, deleted lists: forms and links."""
    page.context.add_cookies(
        [{"name": c.name, "value": c.value, "url": server.url} for c in ann.http.cookies]
    )
    page.goto(f"{server.url}/lists/{ann.list}")
    page.click(".several summary")
    page.fill(".several textarea", "milk\n\n bread \nhoney")
    click(page, ".several button")
    assert titles(page) == ["milk", "bread", "honey"]
    assert "Added 3 todos" in page.inner_text("[role=status]")
    click(page, ".undo")
    assert titles(page) == []
    click(page, ".redo")
    assert titles(page) == ["milk", "bread", "honey"]
    page.goto(f"{server.url}/lists/{ann.list}?edit={ann.find('milk')}")
    page.fill(".edit", "oat milk")
    page.keyboard.press("Enter")
    click(page, f"[aria-labelledby='t-{ann.find('bread')}']")
    for said in ("completed “bread”", "renamed “milk” to “oat milk”", "added 3 todos"):
        click(page, ".undo >> nth=0")
        assert f"Undid: {said}" in page.inner_text("[role=status]")
    assert titles(page) == []
    for _ in range(2):
        click(page, ".redo")
    assert "Redid: renamed “milk” to “oat milk”" in page.inner_text("[role=status]")
    click(page, ".undo >> nth=0")
    assert titles(page) == ["milk", "bread", "honey"]

    for row, button, order in (
        (3, "Move up", "milk honey bread"),
        (3, "Move to top", "bread milk honey"),
        (1, "Move down", "milk bread honey"),
    ):
        click(page, f".todo-list li:nth-child({row}) .rename")
        click(page, f".editing button[aria-label='{button}']")
        assert " ".join(titles(page)) == order
    click(page, ".todo-list li:first-child .rename")
    assert page.locator(".editing button[aria-label='Move up']").count() == 0
    click(page, ".editing .more")
    assert focused(page) == "notes"
    page.keyboard.type("two bottles")
    page.fill("[name=title]", "oat milk")
    click(page, "main .primary")
    assert titles(page) == ["oat milk", "bread", "honey"]
    click(page, ".todo-list li:first-child .noted")
    assert page.input_value("[name=notes]") == "two bottles"
    click(page, "main >> text=Delete")
    assert titles(page) == ["bread", "honey"]

    page.click(".list-menu summary")
    click(page, "text=History")
    told = page.locator(".told li").first.inner_text()
    assert "Deleted “oat milk”" in told and ann.name in told
    click(page, "main a >> text=Things to do")
    page.click(".list-menu summary")
    click(page, "text=Trash")
    click(page, ".told button")
    assert "The trash is empty." in page.inner_text("main")
    click(page, "main a >> text=Things to do")
    assert titles(page) == ["oat milk", "bread", "honey"]

    ann.post(f"/todos/{ann.find('oat milk')}", title="soy milk")
    page.reload()
    click(page, ".undo")
    ann.post(f"/todos/{ann.find('oat milk')}", title="rice milk")
    click(page, ".undo")
    assert "This has been changed since" in page.inner_text("[role=alert]")
    click(page, "main >> text=Go back")
    assert titles(page) == ["rice milk", "bread", "honey"]

    page.click(".list-menu summary")
    click(page, "text=Delete list")
    assert page.url.endswith("/lists") and "No lists yet." in page.inner_text("main")
    click(page, ".told button")
    assert titles(page) == ["rice milk", "bread", "honey"]
