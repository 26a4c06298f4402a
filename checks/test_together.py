"""Two windows, by all three transports, through cuts and restarts: each ends with the truth."""

import errno
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from checks.support.browser import PRESENT, Window, live, see, until
from checks.support.disk import Disk
from checks.support.servers import Server
from checks.support.visitors import Visitor, join

# Ways in which a window may hear the news, when the others are blocked on the way.
BLOCKED = """
globalThis.%s = class {
    constructor() { setTimeout(() => (this.onclose ?? this.onerror)({ code: 1006 })) }
    close() {}
};
"""
TRANSPORTS = {
    "socket": "",
    "stream": BLOCKED % "WebSocket",
    "poll": BLOCKED % "WebSocket" + BLOCKED % "EventSource",
}


@pytest.fixture
def pair(browser: Any, ann: Visitor) -> Iterator[list[Window]]:
    """Two windows of Ann's, in two browsers."""
    windows = []
    for _ in range(2):
        context = browser.new_context(viewport={"width": 900, "height": 700})
        windows.append(Window(context, ann))
    yield windows
    for window in windows:
        window.close()


def test_a_change_is_in_the_other_window(pair: list[Window]) -> None:
    """Rows, counter, toggle-all, clear button and all; each way."""
    one, two = pair
    live(two)
    one.write("milk", "bread")
    see(two, "milk", "bread")
    two.page.click(f"{two.row(1)} .toggle")
    see(one, "✓milk", "bread")
    assert one.page.inner_text(".todo-count") == "1 item left"
    assert one.page.locator(".clear-completed").is_visible()
    one.page.click(".toggle-all")
    see(two, "✓milk", "✓bread")
    assert two.page.get_attribute(".toggle-all", "aria-checked") == "true"
    two.page.click(".clear-completed")
    see(one)
    assert not one.page.locator(".main").is_visible()


def test_nothing_is_disturbed(pair: list[Window]) -> None:
    """A draft, an open row, focus, selection and scroll stay when others change the list."""
    one, two = pair
    live(one)
    one.write(*[f"todo {number}" for number in range(30)])
    one.shows(*[f"todo {number}" for number in range(30)])
    page = one.page
    page.fill(".new-todo", "half a thou")
    page.evaluate("document.querySelector('.new-todo').setSelectionRange(2, 5)")
    page.evaluate("scrollTo(0, 300)")
    top = page.evaluate("scrollY")
    two.ann.add("from elsewhere")
    until(page, f"{PRESENT}.length === 31")
    assert page.input_value(".new-todo") == "half a thou" and one.focus() == "new-todo"
    assert page.evaluate("document.querySelector('.new-todo').selectionEnd") == 5
    assert page.evaluate("scrollY") == top
    page.dblclick(f"{one.row(12)} label")
    page.fill(".edit", "a draft")
    two.ann.post(f"/todos/{two.ann.find('todo 0')}/delete")
    two.ann.post(f"/todos/{two.ann.find('todo 11')}/complete")
    until(page, f"{PRESENT}.length === 30")
    until(page, "document.querySelector('.editing').matches('.completed')")
    assert page.input_value(".edit") == "a draft" and one.focus() == "todo 11 edit"
    page.keyboard.press("Enter")
    until(page, f"{PRESENT}.includes('✓a draft')")


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_every_transport_brings_the_news(browser: Any, ann: Visitor, transport: str) -> None:
    """Where a socket can't get through, the stream does; where that can't, the poll."""
    context = browser.new_context()
    context.add_init_script(TRANSPORTS[transport])
    window = Window(context, ann)
    live(window)
    ann.add("milk")
    see(window, "milk")
    ann.add("bread")
    see(window, "milk", "bread")
    window.close()


def test_after_a_restart_it_catches_up(
    browser: Any, start: Callable[..., Server], tmp_path: Any
) -> None:
    """Without reload; what was typed meanwhile is sent, once and in order."""
    server = start()
    ann = Visitor(server, "ann")
    ann.sign_up()
    window = Window(browser.new_context(), ann)
    live(window)
    port = re.sub(r".*:", "", server.url)
    server.stop()
    until(window.page, "document.body.dataset.live === 'off'")
    window.page.wait_for_selector(".offline", state="visible")
    window.write("while", "it was", "away")
    server = start(f"--port={port}")
    ann.http.close()
    ann.server = server
    window.shows("while", "it was", "away")
    live(window)
    ann.add("later")
    window.shows("while", "it was", "away", "later")
    window.close()
    server.stop()


def test_offline_and_back(browser: Any, ann: Visitor) -> None:
    """What others did meanwhile is there, and what was done here is delivered."""
    context = browser.new_context()
    window = Window(context, ann)
    live(window)
    context.set_offline(True)
    ann.add("from elsewhere")
    window.write("from here")
    window.said("No connection.")
    context.set_offline(False)
    window.shows("from elsewhere", "from here")
    window.close()


def test_fifty_changes_from_both_sides(pair: list[Window]) -> None:
    """End in the same rows, in the same order, in both and in the database."""
    one, two = pair
    for number in range(25):
        one.write(f"one {number}")
        two.write(f"two {number}")
    for window in pair:
        until(window.page, f"{PRESENT}.length === 50")
        window.settle()
    truth = [row.title for row in one.ann.rows()]
    assert sorted(truth) == sorted([f"{who} {n}" for who in ("one", "two") for n in range(25)])
    for who in ("one", "two"):
        mine = [title for title in truth if title.startswith(who)]
        assert mine == [f"{who} {n}" for n in range(25)]
    for window in pair:
        see(window, *truth)


def test_logging_out_ends_every_window(browser: Any, ann: Visitor) -> None:
    """They go to log in, and keep what was being typed for the same person."""
    windows = [Window(browser.new_context(), ann) for _ in range(2)]
    for window in windows:
        live(window)
    one, two = windows
    two.page.fill(".new-todo", "half a thought")
    with two.leaving(url="**/login*"), one.leaving(url="**/login"):
        one.page.click(".bar button")
    assert "Your session has expired." in two.page.inner_text("[role=status]")
    two.page.fill("[name=username]", ann.name)
    two.page.fill("[name=password]", "three quiet otters")
    with two.leaving():
        two.page.keyboard.press("Enter")
    until(two.page, "document.querySelector('.new-todo')?.value === 'half a thought'")
    for window in windows:
        window.close()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_who_is_removed_while_typing(
    browser: Any, ann: Visitor, cy: Visitor, transport: str
) -> None:
    """Sees why, and still has what was typed."""
    assert join(ann, cy) == 303
    ann.add("milk")
    own, cy.list = cy.list, ann.list
    context = browser.new_context()
    context.add_init_script(TRANSPORTS[transport])
    window = Window(context, cy)
    live(window)
    window.page.fill(".new-todo", "half a thou")
    window.page.dblclick(f"{window.row(1)} label")
    window.page.fill(".edit", "oat milk")
    ann.post(f"/lists/{ann.list}/members/{cy.name}/remove")
    window.page.wait_for_selector(".kept")
    assert window.alert() == "This has been deleted, or is no longer shared with you."
    assert sorted(window.page.locator(".kept").all_inner_texts()) == ["half a thou", "oat milk"]
    assert window.page.locator(".todo-list").count() == 0
    cy.list = own
    window.open()
    assert window.page.locator(".kept, [role=alert]").count() == 0
    window.close()


def test_who_may_only_read_by_now(browser: Any, ann: Visitor, cy: Visitor) -> None:
    """Still has what was typed, and is told that it was not saved."""
    assert join(ann, cy) == 303
    cy.list = ann.list
    window = Window(browser.new_context(), cy)
    live(window)
    window.page.fill(".new-todo", "half a thou")
    with window.leaving():
        assert join(ann, cy, "viewer") == 303
    assert window.page.inner_text(".kept") == "half a thou"
    assert window.alert() == "This was not saved."
    window.close()


SILENT = """
globalThis.WebSocket = class {
    constructor() {
        globalThis.opened = (globalThis.opened ?? 0) + 1;
        setTimeout(() => this.onopen());
    }
    send(text) {
        const { list } = JSON.parse(text);
        setTimeout(() => this.onmessage({ data: JSON.stringify({ type: "watching", list }) }));
    }
    close() {}
};
"""


def test_a_dead_line_is_noticed(browser: Any, ann: Visitor) -> None:
    """When nothing at all was heard for 42 s: it is said 2 s later, and the page tries again."""
    context = browser.new_context()
    context.add_init_script(SILENT)
    context.clock.install()
    window = Window(context, ann)
    context.clock.run_for(100)
    live(window)
    context.clock.run_for(41_000)
    assert window.page.evaluate("[document.body.dataset.live, opened]") == ["on", 1]
    context.clock.run_for(2_500)
    assert window.page.evaluate("[document.body.dataset.live, opened]") != ["on", 1]
    window.close()


@pytest.mark.sqlite
def test_a_full_disk(browser: Any, start: Callable[..., Server], disk: Disk) -> None:
    """Is what the page says, not that there is no connection; it is sent when there is room."""
    server = start(database=disk.folder / "people.db", environment=disk.environment())
    ann = Visitor(server, "ann")
    ann.sign_up()
    window = Window(browser.new_context(), ann)
    live(window)
    disk.fail("write", errno.ENOSPC, "-wal")
    window.write("milk")
    window.said("The server's storage is full, and nothing was changed.")
    window.said("1 change waits to be sent.")
    disk.mend()
    window.page.evaluate("dispatchEvent(new Event('online'))")
    window.shows("milk")
    window.close()
    server.expected += ("full",)
    server.stop()
