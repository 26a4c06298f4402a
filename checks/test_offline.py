"""What is done and typed without a line outlives the page, and is sent once, by its writer only."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from checks.support.browser import ARGUMENTS, CHROMIUM, PRESENT, Window, live, until
from checks.support.visitors import PASSWORD, Visitor, join
from checks.test_script import changes

Launch = Callable[[], Any]


@pytest.fixture
def profile(browser: Any, tmp_path: Path) -> Iterator[Launch]:
    """Launch a browser with a profile of its own, again and again."""
    contexts = []

    def launch() -> Any:
        contexts.append(
            browser.browser_type.launch_persistent_context(
                tmp_path / "profile", executable_path=CHROMIUM, args=ARGUMENTS
            )
        )
        return contexts[-1]

    yield launch
    for context in contexts:
        context.close()


def kill(folder: Path) -> None:
    """Kill the processes of the browser with this profile, as they have it open."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
        except OSError:
            continue  # it has ended meanwhile
        if f"--user-data-dir={folder}".encode() in command and b"--type=" not in command:
            os.kill(int(process.name), signal.SIGKILL)


def close_tab(window: Window, folder: Path) -> None:
    """Close the tab."""
    window.page.close()


def follow_link(window: Window, folder: Path) -> None:
    """Follow a link, which leads to the browser's own page as there is no line."""
    with window.page.expect_event("requestfailed"):
        window.page.click("nav >> text=Lists", no_wait_after=True)


def close_browser(window: Window, folder: Path) -> None:
    """Close the browser."""
    window.page.context.close()


def kill_browser(window: Window, folder: Path) -> None:
    """Kill it, at once."""
    kill(folder)


@pytest.mark.parametrize("way", [close_tab, follow_link, close_browser, kill_browser])
def test_what_waits_is_sent_later(
    profile: Launch, tmp_path: Path, ann: Visitor, way: Callable[[Window, Path], None]
) -> None:
    """However the page was left; what was half typed is in its field again."""
    ann.add("tea")
    context = profile()
    window = Window(context, ann)
    live(window)
    context.set_offline(True)
    window.write("milk", "bread")
    window.page.click(f"{window.row(1)} .toggle")
    window.said("No connection. 3 changes wait to be sent.")
    signs = "document.querySelectorAll('[data-waiting=\"Waiting to be sent\"]').length === 3"
    until(window.page, signs)  # which they have when they are stored
    window.page.fill(".new-todo", "half a thou")
    window.page.evaluate("new Promise((go) => requestIdleCallback(go))")
    way(window, tmp_path / "profile")
    if way in (close_tab, kill_browser):  # else the browser may have sent the first by itself
        assert [row.title for row in ann.rows()] == ["tea"]
    if way in (close_browser, kill_browser):
        context = profile()
    context.set_offline(False)
    window = Window(context, ann)
    window.shows("✓tea", "milk", "bread")
    until(window.page, "document.querySelector('.new-todo').value === 'half a thou'")
    assert window.page.locator("[data-waiting], .waits").count() == 0
    assert changes(ann)[1:] == ["Added “tea”", "Added “milk”", "Added “bread”", "Completed “tea”"]
    window.open()
    until(window.page, "document.querySelector('.new-todo').value === 'half a thou'")


COUNT_LAST_WORDS = """
const { fetch } = window;
window.fetch = (address, options) => {
  if (options?.keepalive) localStorage.last = Number(localStorage.last ?? 0) + 1;
  return fetch(address, options);
};
"""


def test_a_page_that_goes_sends_the_first(browser: Any, ann: Visitor) -> None:
    """Several would overtake each other on their way; the next page sends the rest, in order."""
    context = browser.new_context()
    context.add_init_script(COUNT_LAST_WORDS)
    window = Window(context, ann)
    live(window)
    context.set_offline(True)
    window.write("milk", "bread", "honey")
    window.said("3 changes wait")
    window.page.close()
    context.set_offline(False)
    window = Window(context, ann)
    window.shows("milk", "bread", "honey")
    assert window.page.evaluate("localStorage.last") == "1"
    context.close()


def refuse(route: Any) -> None:
    """Let nothing be sent."""
    route.abort() if route.request.method == "POST" else route.continue_()


def test_two_windows_send_it_once(browser: Any, ann: Visitor) -> None:
    """Both have it, as the second found it in the browser's storage; in the order of typing."""
    context = browser.new_context()
    context.route("**/lists/*", refuse)
    one = Window(context, ann)
    one.write("milk", "bread")
    one.said("2 changes wait to be sent.")
    two = Window(context, ann)
    two.said("No connection. 2 changes wait to be sent.")
    assert two.page.evaluate(PRESENT) == ["milk", "bread"]
    context.unroute("**/lists/*", refuse)
    for window in (one, two):
        window.page.evaluate("dispatchEvent(new Event('online'))")
    for window in (one, two):
        window.shows("milk", "bread")
    assert changes(ann)[1:] == ["Added “milk”", "Added “bread”"]
    one.stayed()
    two.close()


def become(context: Any, visitor: Visitor) -> None:
    """Have the browser's cookies be those of someone else, as after their log-in."""
    context.clear_cookies()
    url = visitor.server.url
    cookies = [{"name": c.name, "value": c.value, "url": url} for c in visitor.http.cookies]
    context.add_cookies(cookies)


def test_nobody_else_sends_it(browser: Any, ann: Visitor, cy: Visitor) -> None:
    """Nor sees it, though they share the list: neither a later page, nor one still open."""
    assert join(ann, cy) == 303
    context = browser.new_context()
    context.route("**/lists/*", refuse)
    window = Window(context, ann)
    live(window)
    window.write("milk")
    window.said("1 change waits to be sent.")
    window.page.fill(".new-todo", "half a thou")
    become(context, cy)
    own = cy.list
    cy.list = ann.list
    other = Window(context, cy)
    live(other)
    assert other.page.evaluate(PRESENT) == [] and other.page.input_value(".new-todo") == ""
    with window.leaving():
        context.unroute("**/lists/*", refuse)
        window.page.evaluate("dispatchEvent(new Event('online'))")
    assert window.page.inner_text(".bar [translate=no]") == cy.name
    other.write("tea")
    other.shows("tea")
    cy.list = own
    become(context, ann)
    window.open()
    window.shows("tea", "milk")
    assert window.page.input_value(".new-todo") == "half a thou"
    page = ann.get(f"/lists/{ann.list}/history").text
    assert page.index(ann.name, page.index("Added “milk”"))
    assert changes(ann)[-2:] == ["Added “tea”", "Added “milk”"]
    context.close()


FORBIDDEN = "IDBFactory.prototype.open = () => { throw new DOMException('no', 'SecurityError') };"


@pytest.mark.parametrize("why", ["forbidden", "full"])
def test_what_can_not_be_stored(browser: Any, ann: Visitor, why: str) -> None:
    """The page says so, and asks before it is left."""
    context = browser.new_context()
    if why == "forbidden":
        context.add_init_script(FORBIDDEN)
    window = Window(context, ann)
    if why == "full":
        quota = {"origin": ann.server.url, "quotaSize": 1}
        context.new_cdp_session(window.page).send("Storage.overrideQuotaForOrigin", quota)
    window.page.route("**/lists/*", refuse)
    window.write("milk")
    window.said("1 change waits to be sent. Your browser can't store them: keep this page open.")
    asks = (
        "(() => { const e = new Event('beforeunload', { cancelable: true });"
        " dispatchEvent(e); return e.defaultPrevented })()"
    )
    assert window.page.evaluate(asks)
    window.page.unroute("**/lists/*")
    window.page.evaluate("dispatchEvent(new Event('online'))")
    window.shows("milk")
    assert not window.page.evaluate(asks)
    window.close()


def test_any_page_sends_it(browser: Any, ann: Visitor) -> None:
    """Also one without the list; what is refused there is said, and kept for the list's page."""
    context = browser.new_context()
    context.route("**/lists/*", refuse)
    window = Window(context, ann)
    window.write("milk", "x" * 1001)
    window.said("2 changes wait to be sent.")
    with window.leaving():
        window.page.goto(f"{ann.server.url}/account")
    window.said("to be sent.")  # but for what the browser has sent by itself
    context.unroute("**/lists/*", refuse)
    assert window.alert() == "This is too long: at most 1000 characters."
    assert window.page.inner_text(".kept") == "x" * 1001
    assert [row.title for row in ann.rows()] == ["milk"]
    window.open()
    until(window.page, "document.querySelector('.new-todo').value.length === 1001")
    window.page.fill(".new-todo", "")
    window.close()


def test_after_a_day_it_is_for_its_writer_to_check(browser: Any, ann: Visitor) -> None:
    """As the server no longer knows whether it was done: text comes back, the rest is sent."""
    ann.add("tea")
    context = browser.new_context()
    window = Window(context, ann)
    context.set_offline(True)
    window.page.evaluate("() => { const now = Date.now; Date.now = () => now() - 90_000_000 }")
    window.write("milk")
    window.page.click(f"{window.row(1)} .toggle")
    window.said("2 changes wait to be sent.")
    until(window.page, "document.querySelectorAll('[data-waiting]').length === 2")  # are stored
    window.page.close()
    context.set_offline(False)
    window = Window(context, ann)
    window.shows("✓tea")
    assert window.alert().startswith("You wrote this more than a day ago")
    assert window.page.input_value(".new-todo") == "milk"
    window.close()


def test_logging_out(browser: Any, ann: Visitor) -> None:
    """Asks while something waits; and has the browser forget what was half typed."""
    context = browser.new_context()
    window = Window(context, ann)
    page = window.page
    page.route("**/lists/*", refuse)
    window.write("milk")
    window.said("1 change waits to be sent.")
    asked: list[str] = []
    page.on("dialog", lambda dialog: [asked.append(dialog.message), dialog.dismiss()])
    page.click(".bar button")
    assert len(asked) == 1 and "are lost" in asked[0]
    page.unroute("**/lists/*")
    page.evaluate("dispatchEvent(new Event('online'))")
    window.shows("milk")
    page.fill(".new-todo", "half a thou")
    with window.leaving(url="**/login"):
        page.click(".bar button")
    assert len(asked) == 1
    page.fill("[name=username]", ann.name)
    page.fill("[name=password]", PASSWORD)
    with window.leaving():
        page.keyboard.press("Enter")
    live(window)
    assert page.input_value(".new-todo") == ""
    window.close()


def test_logging_out_keeps_nothing_that_was_being_stored(browser: Any, ann: Visitor) -> None:
    """The next person at this computer finds nothing of it."""
    context = browser.new_context()
    context.add_init_script("indexedDB.open = () => ({})")  # which never answers
    window = Window(context, ann)
    window.page.fill(".new-todo", "a secret")
    with window.leaving(url="**/login"):
        window.page.click(".bar button")
    assert "a secret" not in window.page.evaluate("JSON.stringify(localStorage)")
    context.close()


# A page that is closed takes with it what the browser has not stored.
SLOW_STORAGE = """
const open = indexedDB.open.bind(indexedDB);
indexedDB.open = (...given) => {
  const asked = {}, real = open(...given);
  const call = (name) => Object.assign(asked, { result: real.result })[name]();
  real.onupgradeneeded = () => call("onupgradeneeded");
  real.onsuccess = () => setTimeout(call, 300, "onsuccess");
  return asked;
};
"""


def test_half_typed_text_of_every_kind(browser: Any, ann: Visitor, cy: Visitor) -> None:
    """Titles, notes, lines, messages: back when the tab was closed, not when they were saved."""
    ann.add("tea")
    todo = ann.find("tea")
    assert join(ann, cy) == 303
    places = [
        (f"/lists/{ann.list}", "#lines", "a\nb"),
        (f"/lists/{ann.list}", ".edit", "green tea"),
        (f"/lists/{ann.list}/messages", ".say textarea", "hello"),
        (f"/todos/{todo}", "#notes", "two bags"),
    ]
    context = browser.new_context()
    context.add_init_script(SLOW_STORAGE)
    for path, selector, text in places:
        window = Window(context, ann)
        page = window.page
        page.goto(ann.server.url + path)
        if selector == ".edit":
            page.dblclick(f"{window.row(1)} label")
        page.evaluate("document.querySelector('details.several')?.setAttribute('open', '')")
        page.fill(selector, text)
        page.close()
        page = Window(context, ann).page
        page.goto(ann.server.url + path)
        page.wait_for_selector(selector, state="visible")
        until(page, "([s, text]) => document.querySelector(s).value === text", [selector, text])
        assert page.locator("[role=alert]").count() == 0
        send = "(e) => e.form.requestSubmit()"
        if selector == "#notes":
            with page.expect_navigation():
                page.locator(selector).evaluate(send)
        else:
            page.locator(selector).evaluate(send)
            until(page, "!document.body.matches('[data-sending]')")
        page.goto(ann.server.url + path)
        page.evaluate("new Promise((go) => setTimeout(go, 200))")
        left = page.evaluate("(s) => document.querySelector(s)?.value ?? ''", selector)
        assert left == ("two bags" if selector == "#notes" else "")
        page.close()
    context.close()


def test_text_whose_todo_was_changed_meanwhile(browser: Any, ann: Visitor) -> None:
    """Comes back with a word, so that nobody's change is undone unseen."""
    ann.add("tea")
    todo = ann.find("tea")
    context = browser.new_context()
    window = Window(context, ann)
    window.page.dblclick(f"{window.row(1)} label")
    window.page.fill(".edit", "green tea")
    window.page.close()
    ann.post(f"/todos/{todo}", title="black tea")
    window = Window(context, ann)
    assert window.alert() == "Someone has changed this since you wrote this."
    assert window.page.input_value(".edit") == "green tea"
    window.page.keyboard.press("Escape")
    context.close()


def test_what_is_refused_among_others(browser: Any, ann: Visitor) -> None:
    """The text of a row that is gone meanwhile is kept, and why, though what came after is done."""
    ann.add("one", "two")
    context = browser.new_context()
    window = Window(context, ann)
    live(window)
    context.set_offline(True)
    for number, title in ((1, "a long text"), (2, "second")):
        window.page.dblclick(f"{window.row(number)} label")
        window.page.fill(".edit", title)
        window.page.keyboard.press("Enter")
    window.said("2 changes")
    ann.post(f"/todos/{ann.find('one')}/delete")
    context.set_offline(False)
    window.shows("second")
    until(window.page, "document.querySelector('.new-todo').value === 'a long text'")
    assert "deleted" in window.alert()
    window.close()
