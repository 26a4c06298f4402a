"""What the page's script adds, in a real browser: at once, in order, once, and nothing lost."""

import re
import time
from collections.abc import Iterator
from html import unescape
from typing import Any

import pytest

from checks.support.browser import PRESENT, Window, until
from checks.support.visitors import PASSWORD, Visitor


class Roadblock:
    """Holds up a page's requests, apart from what is only read, until it is lifted."""

    def __init__(self, page: Any, pattern: str = "**/*") -> None:
        self.page = page
        self.held: list[Any] = []
        self.lifted = False
        page.route(pattern, self.stop)

    def stop(self, route: Any) -> None:
        """Let a request wait, or pass."""
        if self.lifted or route.request.method == "GET":
            route.continue_()
        else:
            self.held.append(route)

    def wait(self, count: int = 1) -> None:
        """Wait until so many requests have come to it."""
        end = time.monotonic() + 10
        while len(self.held) < count:
            assert time.monotonic() < end
            self.page.wait_for_timeout(10)

    def lift(self) -> None:
        """Let them go when the first one is here."""
        self.wait()
        self.lifted = True
        for route in self.held:
            route.continue_()


DEAF = "globalThis.WebSocket = class { send() {} close() {} };"


@pytest.fixture
def deaf(browser: Any, ann: Visitor) -> Iterator[Window]:
    """Ann's window, where no news arrive: what others do is not seen before an answer says so."""
    context = browser.new_context(viewport={"width": 900, "height": 700})
    context.add_init_script(DEAF)
    window = Window(context, ann)
    yield window
    window.close()


@pytest.fixture
def window(browser: Any, ann: Visitor) -> Iterator[Window]:
    """Ann's window. What was done in it never needed another page, nor broke this one."""
    context = browser.new_context(viewport={"width": 900, "height": 700})
    window = Window(context, ann)
    yield window
    window.close()


def test_adding_and_completing(window: Window) -> None:
    """TodoMVC's behaviours: in place, counted, the caret where it was."""
    page = window.page
    assert window.focus() == "new-todo"
    window.write("milk", "  bread  ", "   ", "<b>'honey'</b> {{ 1 }} 🌱")
    window.shows("milk", "bread", "<b>'honey'</b> {{ 1 }} 🌱")
    assert page.input_value(".new-todo") == "" and window.focus() == "new-todo"
    assert (
        page.title().startswith("(3) ")
        and page.inner_text(".side [data-list] small").strip() == "3"
    )
    page.click(f"{window.row(1)} .toggle")
    assert page.get_attribute(window.row(1), "class") == "completed"
    window.shows("✓milk", "bread", "<b>'honey'</b> {{ 1 }} 🌱")
    assert page.inner_text(".todo-count") == "2 items left"
    page.click(".toggle-all")
    page.wait_for_selector(".toggle-all[aria-checked=true]")
    page.click(f"{window.row(2)} .toggle")
    page.wait_for_selector(".toggle-all[aria-checked=false]")
    assert page.inner_text(".todo-count") == "1 item left"
    page.click(".clear-completed")
    window.shows("bread")
    assert page.locator(".clear-completed").count() == 0
    assert window.focus() == "new-todo"
    page.click(f"{window.row(1)} .destroy")
    window.shows()
    assert page.locator(".main").is_hidden() and page.locator(".footer").is_hidden()
    assert page.title().startswith("Things") and window.focus() == "new-todo"
    window.write("again")
    window.shows("again")
    assert page.get_attribute(".toggle-all", "aria-checked") == "false"


def test_filters_are_addresses(window: Window) -> None:
    """Rows leave when they no longer belong; links wait for what was done before them."""
    page = window.page
    window.write("milk", "bread")
    window.shows("milk", "bread")
    page.click(f"{window.row(1)} .toggle")
    with window.leaving():
        page.click(".filters >> text=Active")
    assert page.url.endswith("/active") and page.evaluate(PRESENT) == ["bread"]
    page.click(f"{window.row(1)} .toggle")
    until(page, f"{PRESENT}.length === 0")
    assert "All done." in page.inner_text("main")
    with window.leaving():
        page.click(".filters >> text=Completed")
    assert page.evaluate(PRESENT) == ["✓milk", "✓bread"]
    window.write("honey")
    until(page, "document.querySelector('.todo-count').textContent === '1 item left'")
    assert page.evaluate(PRESENT) == ["✓milk", "✓bread"]
    with window.leaving():
        page.go_back()
    until(page, f"String({PRESENT}) === 'honey'")


def test_renaming(window: Window) -> None:
    """By double click, pencil, F2 and e; Enter and leaving save once, Escape discards."""
    page = window.page
    window.write("milk", "bread")
    window.shows("milk", "bread")
    page.click(f"{window.row(1)} .toggle")
    page.dblclick(f"{window.row(1)} label")
    assert page.get_attribute(window.row(1), "class") == "completed editing"
    assert page.locator(f"{window.row(1)} .view").is_hidden()
    assert page.input_value(".edit") == "milk"
    page.keyboard.type("shake ")
    window.write("")
    window.shows("✓milkshake", "bread")
    assert window.focus() == "milkshake rename"

    page.keyboard.press("F2")
    page.fill(".edit", "never")
    page.keyboard.press("Escape")
    window.shows("✓milkshake", "bread")
    assert window.focus() == "milkshake rename"

    page.focus(f"{window.row(2)} .rename")
    page.keyboard.press("Enter")
    page.fill(".edit", "rye bread")
    page.click("h1")
    window.shows("✓milkshake", "rye bread")

    page.dblclick(f"{window.row(1)} label")
    page.fill(".edit", "shake")
    page.dblclick(f"{window.row(2)} label")
    assert page.locator(".editing").count() == 1 and page.input_value(".edit") == "rye bread"
    page.fill(".edit", "   ")
    page.keyboard.press("Enter")
    window.shows("✓shake")
    assert window.focus() == "shake rename"
    assert [told for told in changes(window.ann) if "Renamed" in told] == [
        "Renamed “milk” to “milkshake”",
        "Renamed “bread” to “rye bread”",
        "Renamed “milkshake” to “shake”",
    ], "each was saved once"


def changes(ann: Visitor) -> list[str]:
    """Return what the history of a list tells, the oldest first."""
    page = ann.get(f"/lists/{ann.list}/history").text
    return [unescape(t) for t in re.findall(r'<span id="c-\d+"[^>]*>(.*?)</span>', page)][::-1]


def test_typing_fast_keeps_the_order(window: Window) -> None:
    """However long each answer takes."""
    page = window.page
    window.write("0")
    window.shows("0")
    road = Roadblock(page)
    titles = [str(number) for number in range(1, 9)]
    window.write(*titles)
    assert page.evaluate(PRESENT) == ["0", *titles], "shown before any answer"
    for number, title in enumerate(titles):
        road.wait(number + 1)
        assert f"title={title}&" in road.held[number].request.post_data
        assert len(road.held) == number + 1, "one after the other"
        road.held[number].continue_()
    window.shows("0", *titles)


def test_a_toggle_waits_for_nobody(window: Window) -> None:
    """Its new state is shown while the request is still on its way; a change of mind too."""
    page = window.page
    window.write("milk", "bread")
    window.shows("milk", "bread")
    road = Roadblock(page)
    page.click(f"{window.row(1)} .toggle")
    page.click(f"{window.row(2)} .toggle")
    page.click(f"{window.row(2)} .toggle")
    assert page.evaluate(PRESENT) == ["✓milk", "bread"]
    assert page.get_attribute(f"{window.row(1)} .toggle", "aria-checked") == "true"
    assert [row.completed for row in window.ann.rows()] == [False, False]
    road.lift()
    window.shows("✓milk", "bread")
    until(page, "document.querySelector('.todo-count').textContent === '1 item left'")


def test_a_lost_answer_does_nothing_twice(window: Window) -> None:
    """The server did it, only the answer was lost: the page asks again, and it is done once."""
    page = window.page
    lost = []

    def lose(route: Any) -> None:
        if route.request.method == "POST" and len(lost) < 3:
            route.fetch(max_redirects=0)  # so it is done
            lost.append(route.request.post_data)
            route.abort()
        else:
            route.continue_()

    page.route("**/lists/*", lose)
    window.write("milk", "bread")
    window.said("No connection.")
    window.shows("milk", "bread")
    assert len(set(lost)) == 1, "the same, with the same op"
    assert changes(window.ann) == [
        "Created the list “Things to do”",
        "Added “milk”",
        "Added “bread”",
    ]


def test_a_server_that_is_away_for_a_moment(window: Window) -> None:
    """Is asked again, in the same order."""
    page = window.page
    refused = iter([503, 502, 504])

    def away(route: Any) -> None:
        if route.request.method == "POST" and (status := next(refused, None)):
            route.fulfill(status=status, body="")
        else:
            route.continue_()

    page.route("**/lists/*", away)
    window.write("milk", "bread")
    window.shows("milk", "bread")
    until(page, "!document.querySelector('.status').textContent.includes('connection')")


def test_a_refusal_is_said_and_put_right(deaf: Window) -> None:
    """Next to where it happened; what was typed is still there, and the page goes on."""
    window = deaf
    page = window.page
    window.write("milk", "bread")
    window.shows("milk", "bread")
    window.ann.post(f"/todos/{window.ann.find('milk')}/delete")
    page.click(f"{window.row(1)} .toggle")
    assert window.alert().startswith("This has been deleted")
    window.shows("bread")

    long = "x" * 1001
    page.fill(".new-todo", long)
    page.press(".new-todo", "Enter")
    page.wait_for_selector(".new [role=alert]")
    assert window.alert() == "This is too long: at most 1000 characters."
    assert page.input_value(".new-todo") == long
    page.fill(".new-todo", "")
    page.dblclick(f"{window.row(1)} label")
    page.fill(".edit", long)
    page.keyboard.press("Enter")
    page.wait_for_selector(f"{window.row(1)} [role=alert]")
    assert page.input_value(".edit") == long and page.locator(".editing").count() == 1
    page.fill(".edit", "rye bread")
    page.keyboard.press("Enter")
    window.shows("rye bread")
    assert page.locator("[role=alert]").count() == 0


def test_a_session_that_ended_keeps_the_text(deaf: Window) -> None:
    """And leads through log-in back to it: by any way out it is sent then."""
    window = deaf
    page = window.page
    copy = window.ann.http.cookies.copy()
    window.ann.post("/logout")
    long = "not to be lost ✓ " + "é" * 980
    page.route("**/lists/*", lambda route: page.wait_for_timeout(100) or route.continue_())
    with window.leaving():
        window.write(long, "nor this")
    page.wait_for_selector("[name=password]")
    assert "Your session has expired." in page.inner_text("[role=status]")
    page.unroute("**/lists/*")
    page.fill("[name=username]", window.ann.name)
    page.fill("[name=password]", PASSWORD)
    with window.leaving():
        page.keyboard.press("Enter")
    until(page, f"(want) => String({PRESENT}) === want", f"{long},nor this")
    assert page.input_value(".new-todo") == ""
    window.ann.http.cookies.update(copy)
    window.ann.log_in()
    assert changes(window.ann)[1:] == [f"Added “{long}”", "Added “nor this”"]


def test_undo(deaf: Window) -> None:
    """By the button and by z, for every verb; kindly refused when someone was quicker."""
    window = deaf
    page = window.page
    window.write("milk", "bread")
    window.shows("milk", "bread")
    window.said("Added “bread”")
    page.click(f"{window.row(1)} .destroy")
    window.said("Deleted “milk”")
    page.click(".undo")
    window.shows("milk", "bread")
    window.said("Undid: deleted “milk”")
    page.focus(f"{window.row(1)} .toggle")
    page.keyboard.press("d")
    window.shows("✓milk", "bread")
    page.keyboard.press("z")
    window.shows("milk", "bread")
    page.click(".redo")
    window.shows("✓milk", "bread")
    window.ann.post(f"/todos/{window.ann.find('milk')}", title="oat milk")
    page.keyboard.press("z")
    assert window.alert() == "This has been changed since, so it can't be undone."
    window.shows("✓oat milk", "bread")


def test_undo_goes_back_one_by_one(window: Window) -> None:
    """z each time the one before, Shift+z forth again, and it says which; also in a hurry."""
    page = window.page
    window.write("milk", "bread")
    window.shows("milk", "bread")
    page.dblclick(f"{window.row(1)} label")
    page.fill(".edit", "oat milk")
    page.keyboard.press("Enter")
    page.keyboard.press("d")
    window.shows("✓oat milk", "bread")
    for said, *titles in (
        ("Undid: completed “oat milk”", "oat milk", "bread"),
        ("Undid: renamed “milk” to “oat milk”", "milk", "bread"),
        ("Undid: added “bread”", "milk"),
    ):
        page.keyboard.press("z")
        window.said(said)
        window.shows(*titles)
    for said, *titles in (
        ("Redid: added “bread”", "milk", "bread"),
        ("Redid: renamed “milk” to “oat milk”", "oat milk", "bread"),
    ):
        page.keyboard.press("Shift+z")
        window.said(said)
        window.shows(*titles)
    road = Roadblock(page)
    for key in ("z", "z", "z", "Shift+z"):
        page.keyboard.press(key)
    road.wait()
    road.lift()
    window.said("Redid: added “milk”")
    window.shows("milk")
    page.focus(".new-todo")
    window.write("jam")
    window.shows("milk", "jam")
    assert page.locator(".redo").count() == 0, "something else was done"
    page.click(".undo")
    window.shows("milk")
    page.click(".redo")
    window.shows("milk", "jam")


def test_the_message_comes_along(window: Window) -> None:
    """To the page that a form without the script leads to; and to no other."""
    page = window.page
    window.ann.add("milk", "bread")
    window.open()
    assert page.locator(".said").is_hidden()

    def open_todo() -> None:
        page.click(f"{window.row(1)} .rename")
        with window.leaving():
            page.click(".editing .more")

    open_todo()
    page.fill("#title", "oat milk")
    with window.leaving():
        page.click("main .primary")
    assert page.is_visible(".said")
    window.said("Renamed “milk” to “oat milk”")
    open_todo()
    with window.leaving():
        page.click("main .cancel")
    assert page.locator(".said").is_hidden()
    open_todo()
    with window.leaving():
        page.click("main >> text=Delete")
    assert page.is_visible(".said")
    window.said("Deleted “oat milk”")
    page.click(".list-menu summary")
    with window.leaving():
        page.click("text=Trash")
    assert page.locator(".said").is_hidden()
    with window.leaving():
        page.click(".told button")
    assert page.is_visible(".said")
    window.said("Restored “oat milk”")
    with window.leaving():
        page.click(".undo")
    assert "oat milk" in page.inner_text(".told")
    assert page.is_visible(".said")
    window.said("Undid: restored “oat milk”")


def test_undo_means_what_was_done_last(window: Window) -> None:
    """Also when that is still on its way; and a button pressed twice in a hurry does it once."""
    page = window.page
    window.write("milk", "bread")
    window.shows("milk", "bread")
    road = Roadblock(page)
    page.focus(f"{window.row(1)} .toggle")
    page.keyboard.press("d")
    page.keyboard.press("z")
    road.wait()
    assert page.evaluate(PRESENT) == ["✓milk", "bread"]
    road.lift()
    window.said("Undid: completed “milk”")
    window.shows("milk", "bread")
    page.click(f"{window.row(2)} .destroy")
    window.said("Deleted “bread”")
    page.evaluate("() => { const b = document.querySelector('.undo'); b.click(); b.click() }")
    window.said("Undid: deleted “bread”")
    window.shows("milk", "bread")
    assert page.locator("[role=alert]").count() == 0


def test_a_lists_new_name_can_be_undone(deaf: Window) -> None:
    """With the page that shows it; that a list was restored is not for one key to undo."""
    window = deaf
    page = window.page
    window.ann.post(f"/lists/{window.ann.list}/rename", name="Casa")
    window.open()
    assert page.inner_text("h1") == "Casa"
    with window.leaving():
        page.click(".undo")
    assert page.inner_text("h1") == "Things to do" == page.inner_text(".side [aria-current] span")
    window.ann.post(f"/lists/{window.ann.list}/delete")
    change = window.ann.get("/lists").text.split('name="change" value="')[1].split('"')[0]
    window.ann.post("/undo", change=change)
    window.open()
    assert page.locator(".undo").count() == 0


def test_a_row_opens_while_others_wait(deaf: Window) -> None:
    """And keeps its draft when they are answered; so does a refusal in between keep its word."""
    window = deaf
    page = window.page
    window.write("1", "2", "3")
    window.shows("1", "2", "3")
    road = Roadblock(page)
    window.ann.post(f"/todos/{window.ann.find('1')}/delete")
    page.click(f"{window.row(1)} .toggle")
    page.click(f"{window.row(2)} .toggle")
    page.click(f"{window.row(3)} .rename")
    page.keyboard.type(" and a draft")
    road.lift()
    window.settle()
    assert window.alert().startswith("This has been deleted")
    assert page.input_value(".edit") == "3 and a draft" and window.focus() == "3 edit"
    page.keyboard.press("Enter")
    window.shows("✓2", "3 and a draft")


def test_a_draft_whose_row_goes_is_kept(window: Window) -> None:
    """In the field for a new todo, with a word about it."""
    page = window.page
    window.write("milk", "bread")
    window.shows("milk", "bread")
    page.dblclick(f"{window.row(1)} label")
    page.fill(".edit", "oat milk")
    window.ann.post(f"/todos/{window.ann.find('milk')}/delete")
    until(page, "document.querySelector('.new-todo').value === 'oat milk'")
    assert window.alert().startswith("This has been deleted")
    assert window.focus() == "new-todo", "what is typed next goes on with it"
    page.keyboard.type(" and ")
    window.settle()
    assert page.input_value(".new-todo") == "oat milk and "
    assert page.locator(".problem").count() == 1 and page.locator(".several[open]").count() == 0
    assert not [told for told in changes(window.ann) if "Renamed" in told]
    page.fill(".new-todo", "")


def test_keys_meant_for_a_row_that_goes(window: Window) -> None:
    """Do nothing to its neighbour, which has the focus then; a second later they do."""
    page = window.page
    window.write("milk", "bread")
    window.shows("milk", "bread")
    page.evaluate("() => { window.now = 0; Date.now = () => window.now }")
    page.focus(f"{window.row(1)} .toggle")
    window.ann.post(f"/todos/{window.ann.find('milk')}/delete")
    until(page, f"String({PRESENT}) === 'bread'")
    assert window.focus() == "bread toggle"
    for key in ("d", "Space", "Enter", "e", "Alt+ArrowUp"):
        page.keyboard.press(key)
    window.shows("bread")
    assert window.focus() == "bread toggle"
    page.evaluate("window.now = 1_000")
    page.keyboard.press("d")
    window.shows("✓bread")


def test_keys_by_their_place(window: Window) -> None:
    """Where a layout has no Latin letters; where it has, each letter is itself."""
    page = window.page
    window.write("milk")
    window.shows("milk")
    press = """([key, code, shiftKey]) => document.activeElement.dispatchEvent(
        new KeyboardEvent('keydown', { key, code, shiftKey, bubbles: true, cancelable: true }))"""
    page.focus(f"{window.row(1)} .toggle")
    page.evaluate(press, ["в", "KeyD", False])
    window.shows("✓milk")
    page.evaluate(press, ["ç", "KeyD", False])
    page.evaluate(press, ["e", "KeyD", False])
    assert page.input_value(".edit") == "milk"
    page.keyboard.press("Escape")
    page.evaluate(press, ["؟", "Slash", True])
    assert page.locator("dialog[open]").count() == 1
    page.keyboard.press("Escape")
    page.evaluate(press, ["й", "KeyN", False])
    assert window.focus() == "new-todo"
    window.shows("✓milk")


def test_keys_that_end_a_composition(window: Window) -> None:
    """Neither save nor cancel: in Safari they come after its end, with the code 229."""
    page = window.page
    window.write("milk")
    window.shows("milk")
    page.dblclick(f"{window.row(1)} label")
    page.fill(".edit", "牛乳")
    for key in ("Escape", "Enter"):
        page.evaluate(
            "(key) => document.activeElement.dispatchEvent(new KeyboardEvent("
            "'keydown', { key, keyCode: 229, bubbles: true, cancelable: true }))",
            key,
        )
        assert page.input_value(".edit") == "牛乳"
    page.keyboard.press("Enter")
    window.shows("牛乳")


def test_a_translated_page_renames_what_was_written(window: Window) -> None:
    """Not its translation, which the browser puts in the place of the text."""
    page = window.page
    window.write("milk", "bread")
    window.shows("milk", "bread")
    page.evaluate("""() => {
        for (const label of document.querySelectorAll('.todo-list label')) {
            const font = document.createElement('font');
            font.textContent = 'leite';
            label.replaceChildren(font);
        }
    }""")
    page.dblclick(f"{window.row(1)} label")
    assert page.input_value(".edit") == "milk"
    page.keyboard.press("Enter")
    page.dblclick(f"{window.row(2)} label")
    page.keyboard.type(" and butter")
    page.keyboard.press("Enter")
    until(page, "!document.body.matches('[data-sending]')")
    assert [row.title for row in window.ann.rows()] == ["milk", "bread and butter"]
    assert len([told for told in changes(window.ann) if "Renamed" in told]) == 1


def test_moving_among_rows_that_come_and_go(window: Window) -> None:
    """After a row that is there, not one that is on its way in or out."""
    page = window.page
    window.write("1", "2", "3")
    window.shows("1", "2", "3")
    road = Roadblock(page)
    window.write("4")
    page.click(f"{window.row(2)} .destroy")
    page.focus(f"{window.row(1)} .toggle")
    page.keyboard.press("Alt+ArrowDown")
    road.lift()
    window.shows("3", "1", "4")
    assert page.locator("[role=alert]").count() == 0


def test_an_older_answer_changes_nothing(deaf: Window) -> None:
    """A look at the list that was on its way when something was done."""
    window = deaf
    page = window.page
    window.write("1")
    window.shows("1")
    held: list[Any] = []

    def hold(route: Any) -> None:
        if route.request.method == "GET" and not held:
            held.append(route.fetch())
            page.evaluate("document.querySelector('.new-todo').focus()")
            window.write("2")
            window.shows("1", "2")
            route.fulfill(response=held[0])
        else:
            route.continue_()

    page.route("**/lists/*", hold)
    window.ann.post(f"/todos/{window.ann.find('1')}/complete")
    window.ann.post(f"/todos/{window.ann.find('1')}/reopen")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    while not held:
        page.wait_for_timeout(10)
    window.shows("1", "2")


def test_other_forms_wait_for_what_was_done(deaf: Window) -> None:
    """Logging out, say, comes after what was done before it."""
    window = deaf
    page = window.page
    copy = window.ann.http.cookies.copy()
    road = Roadblock(page)
    window.write("milk", "bread")
    page.click(".bar button")
    with window.leaving(url="**/login"):
        road.lift()
    window.ann.http.cookies.update(copy)
    window.ann.log_in()
    assert [row.title for row in window.ann.rows()] == ["milk", "bread"]


def test_keys(window: Window) -> None:
    """One key each while nothing is typed."""
    page = window.page
    window.write("milk", "bread", "honey", "njkedz?/")
    window.shows("milk", "bread", "honey", "njkedz?/")
    page.evaluate("document.activeElement.blur()")
    for key, focus in [
        ("j", "milk toggle"),
        ("j", "bread toggle"),
        ("k", "milk toggle"),
        ("k", "milk toggle"),
        ("d", "milk toggle"),
        ("n", "new-todo"),
    ]:
        page.keyboard.press(key)
        assert window.focus() == focus, key
    window.shows("✓milk", "bread", "honey", "njkedz?/")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("k")
    assert window.focus() == "njkedz?/ toggle"
    page.keyboard.press("e")
    assert page.input_value(".edit") == "njkedz?/"
    page.keyboard.type("nz")
    page.keyboard.press("Enter")
    window.shows("✓milk", "bread", "honey", "njkedz?/nz")
    page.keyboard.press("?")
    assert page.locator("dialog[open]").count() == 1
    page.keyboard.press("j")
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0 and window.focus() == "njkedz?/nz rename"
    page.keyboard.press("/")
    assert window.focus() == "new-todo" and page.input_value(".new-todo") == ""

    window.ann.post("/account", seen="shortcuts=on")  # and no such box is checked now
    window.open()
    page.evaluate("document.activeElement.blur()")
    for key in "njd?z":
        page.keyboard.press(key)
    assert window.focus() == "BODY" and page.locator("dialog[open]").count() == 0
    window.shows("✓milk", "bread", "honey", "njkedz?/nz")


def test_focus_finds_a_neighbour(window: Window) -> None:
    """When a row goes by key: the same control of the next one, else of the one before."""
    page = window.page
    window.write("1", "2", "3")
    window.shows("1", "2", "3")
    page.focus(f"{window.row(2)} .destroy")
    page.keyboard.press("Space")
    assert window.focus() == "3 destroy"
    window.shows("1", "3")
    page.keyboard.press("Enter")
    assert window.focus() == "1 destroy"
    window.shows("1")
    assert window.focus() == "1 destroy"
    page.keyboard.press("Enter")
    window.shows()
    assert window.focus() == "new-todo"


def test_order(window: Window) -> None:
    """By Alt and arrows, by the menu of an open row, and by dragging; a title typed is saved."""
    page = window.page
    window.write("1", "2", "3", "4")
    window.shows("1", "2", "3", "4")
    page.focus(f"{window.row(3)} .toggle")
    page.keyboard.press("Alt+ArrowUp")
    assert window.focus() == "3 toggle"
    page.keyboard.press("Alt+ArrowUp")
    page.keyboard.press("Alt+ArrowUp")
    window.shows("3", "1", "2", "4")
    page.keyboard.press("Alt+ArrowDown")
    window.shows("1", "3", "2", "4")
    assert window.focus() == "3 toggle"

    page.dblclick(f"{window.row(4)} label")
    page.fill(".edit", "four")
    page.click(".editor .top")
    window.shows("four", "1", "3", "2")
    page.dblclick(f"{window.row(1)} label")
    page.click(".editor .down")
    window.shows("1", "four", "3", "2")

    drag(window, 1, 3)
    window.shows("four", "3", "1", "2")
    drag(window, 4, 1)
    window.shows("2", "four", "3", "1")
    drag(window, 1, 4, cancel=True)
    window.shows("2", "four", "3", "1")


def drag(window: Window, row: int, to: int, cancel: bool = False) -> None:
    """Drag a row by its grip to the place of another."""
    page = window.page
    page.hover(window.row(row))
    start = page.locator(f"{window.row(row)} .grip").bounding_box()
    end = page.locator(window.row(to)).bounding_box()
    page.mouse.move(start["x"] + 5, start["y"] + 20)
    page.mouse.down()
    page.mouse.move(start["x"] + 5, (start["y"] + end["y"]) / 2 + 20)
    page.mouse.move(start["x"] + 5, end["y"] + (5 if to < row else end["height"] - 5), steps=5)
    assert page.locator(".dragged").count() == 1
    if cancel:
        page.keyboard.press("Escape")
    page.mouse.up()
    assert page.locator(".dragged").count() == 0


def test_a_finger_drags_too(browser: Any, ann: Visitor) -> None:
    """By the grip; elsewhere it scrolls."""
    context = browser.new_context(
        viewport={"width": 360, "height": 640}, has_touch=True, is_mobile=True
    )
    window = Window(context, ann)
    ann.add("1", "2", "3")
    window.open()
    grip = window.page.locator(f"{window.row(1)} .grip").bounding_box()
    last = window.page.locator(window.row(3)).bounding_box()
    finger = context.new_cdp_session(window.page)
    x, y = grip["x"] + 8, grip["y"] + 20

    def touch(kind: str, *points: tuple[float, float]) -> None:
        told = [{"x": px, "y": py} for px, py in points]
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": told})

    touch("touchStart", (x, y))
    for part in range(1, 9):
        touch("touchMove", (x, y + (last["y"] + 30 - y) * part / 8))
    touch("touchEnd")
    window.shows("2", "3", "1")
    context.close()


def test_pasting_several_lines(window: Window) -> None:
    """Offers to add them all, as one change; one line is pasted as ever."""
    page = window.page
    paste = """(text) => {
        const data = new DataTransfer();
        data.setData('text', text);
        const options = { clipboardData: data, bubbles: true, cancelable: true };
        return document.activeElement.dispatchEvent(new ClipboardEvent('paste', options));
    }"""
    assert page.evaluate(paste, "one line\n") is True, "the browser's own matter"
    page.keyboard.type("and ")
    assert page.evaluate(paste, "milk\r\n\n bread \nhoney\n") is False
    assert page.input_value(".several textarea").splitlines() == [
        "and milk",
        "",
        " bread ",
        "honey",
    ]
    page.keyboard.press("Enter")
    window.shows("and milk", "bread", "honey")
    window.said("Added 3 todos")
    assert window.focus() == "new-todo" and page.locator(".several[open]").count() == 0
    page.click(".undo")
    window.shows()


def test_another_window_catches_up(window: Window, browser: Any) -> None:
    """When it is looked at again, without touching what is being typed in it."""
    page = window.page
    window.write("milk", "bread")
    window.shows("milk", "bread")
    page.dblclick(f"{window.row(1)} label")
    page.fill(".edit", "half a thou")
    page.evaluate("document.querySelector('.edit').setSelectionRange(2, 4)")
    window.ann.post(f"/todos/{window.ann.find('bread')}/complete")
    window.ann.post(f"/todos/{window.ann.find('milk')}/move", after=window.ann.find("bread"))
    window.ann.add("honey")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    until(page, f"String({PRESENT}) === '✓bread,milk,honey'")
    assert page.input_value(".edit") == "half a thou"
    edit = page.evaluate(
        "[document.activeElement.className, document.activeElement.selectionStart]"
    )
    assert edit == ["edit", 2]
    page.keyboard.press("Escape")


def test_two_hundred_rows_are_patched_in_place(window: Window) -> None:
    """Only what differs is touched."""
    window.ann.post(f"/lists/{window.ann.list}", lines="\n".join(map(str, range(200))))
    window.open()
    page = window.page
    page.evaluate("""() => {
        window.touched = 0;
        const count = (records) => { window.touched += records.length };
        const all = { subtree: true, childList: true, attributes: true, characterData: true };
        new MutationObserver(count).observe(document.querySelector('.todo-list'), all);
    }""")
    page.click(f"{window.row(100)} .toggle")
    until(page, "document.querySelector('.status').textContent.includes('Completed')")
    assert page.evaluate("window.touched") <= 3, "class, aria-checked and formaction"


# What a finger or a mouse can press, and the status line lies over.
COVERED = """() => {
    const said = document.querySelector('.said').getBoundingClientRect();
    const over = (b) => b.left < said.right && b.right > said.left
        && b.top < said.bottom && b.bottom > said.top;
    return [...document.querySelectorAll('main :is(button, a, input, summary):not(.said *)')]
        .filter((e) => e.checkVisibility() && over(e.getBoundingClientRect()))
        .map((e) => e.outerHTML.slice(0, 80));
}"""


@pytest.mark.parametrize("width", [320, 375, 900, 1280, 1920])
def test_the_status_line_covers_nothing(browser: Any, ann: Visitor, width: int) -> None:
    """It has its own room, always in sight: rows go below it as they do below the new todo."""
    ann.post(f"/lists/{ann.list}", lines="\n".join(f"Something, number {n}" for n in range(20)))
    context = browser.new_context(viewport={"width": width, "height": 700})
    window = Window(context, ann)
    page = window.page
    page.click(f"{window.row(1)} .toggle")
    window.said("Completed")
    assert page.evaluate(COVERED) == []
    line = "document.querySelector('.status').getBoundingClientRect()"
    page.evaluate("scrollTo(0, 500)")
    until(page, f"{line}.top === 56 && scrollY === 500")
    assert page.locator(".said").is_visible()
    page.focus(f"{window.row(20)} .toggle")
    for _ in range(20):
        page.keyboard.press("k")
        free = "document.activeElement.getBoundingClientRect().top >= " + line + ".bottom"
        assert page.evaluate(free), "the row that has the focus is in sight"
    window.close()
