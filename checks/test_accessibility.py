"""How every page looks and what it weighs: accessibility, sizes, budgets, by a real browser.

Screenshots are written to the folder that SCREENSHOTS names, for a person to look at.
"""

import gzip
import json
import os
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from checks.support.browser import Window, until
from checks.support.servers import ROOT, Server
from checks.support.visitors import Visitor

AXE = Path(sys.prefix) / "node_modules/axe-core/axe.min.js"
PAGES = (
    *("/lists", "/lists/LIST", "/lists/LIST/active", "/lists/LIST?edit=TODO", "/todos/TODO"),
    *(
        "/lists/LIST/history",
        "/lists/LIST/trash",
        "/lists/LIST/members",
        "/lists/EMPTY",
        "/account",
    ),
    *("/account/import", "/api", "/nothing", "/today", "/upcoming", "/today?edit=TODO"),
)
PUBLIC = ("/login", "/signup")
LONG = "x" * 300


@pytest.fixture(scope="module")
def bea(server: Server) -> Any:
    """Bea, who has used everything."""
    bea: Any = Visitor(server, "bea")
    bea.sign_up()
    bea.add("Water the plants 🌱", "اتصل بأمي", LONG, "Call the landlord about the heating", "gone")
    bea.post(f"/todos/{bea.find(LONG)}/complete")
    todo = bea.todo = bea.find("اتصل بأمي")
    bea.post(f"/todos/{todo}", title="اتصل بأمي", notes="12 34\n" + LONG)
    bea.post(f"/todos/{todo}", due="2026-01-05", repeat_kind="weekly")
    bea.post(f"/todos/{bea.find('Call the landlord about the heating')}", put="tomorrow")
    bea.post(f"/todos/{bea.find('gone')}/delete")
    for name in ("Holidays 🏖️", "A list with a name that is so long that it needs several lines"):
        made = bea.post("/lists", name=name).headers["Location"]
    bea.post(f"{made}/delete")
    bea.empty = bea.post("/lists", name="Nothing").headers["Location"].rpartition("/")[2]
    return bea


def address(bea: Any, page: str) -> str:
    """Return where a page of Bea's is."""
    numbers = {"LIST": bea.list, "TODO": bea.todo, "EMPTY": bea.empty}
    for name, number in numbers.items():
        page = page.replace(name, str(number))
    return str(bea.server.url + page)


def opened(browser: Any, visitor: Visitor | None, **options: Any) -> Any:
    """Return a new window of a visitor's browser."""
    context = browser.new_context(**options)
    if visitor:
        context.add_cookies(
            [
                {"name": c.name, "value": c.value, "url": visitor.server.url}
                for c in visitor.http.cookies
            ]
        )
    page = context.new_page()
    page.set_default_timeout(10_000)
    return page


@pytest.fixture(scope="module")
def axe() -> str:
    """The source of axe-core, which looks for what the guidelines forbid."""
    if not AXE.exists():
        pytest.skip("no axe-core: apt install npm, and make test fetches it")
    return AXE.read_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_axe_finds_nothing(browser: Any, bea: Visitor, axe: str, scheme: str, width: int) -> None:
    """On no page, by no rule, of no impact, in no state; best practices included."""
    size = {"width": width, "height": 800}
    page = opened(browser, bea, color_scheme=scheme, viewport=size)
    guest = opened(browser, None, color_scheme=scheme, viewport=size)
    complaints = []

    def check(page: Any, name: str) -> None:
        picture(page, f"{name.strip('/').replace('/', '-').replace('?', '-')}-{width}-{scheme}")
        page.evaluate(axe)
        options = "{ runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa', 'best-practice'] }"
        for found in page.evaluate(f"axe.run(document, {options})")["violations"]:
            nodes = [node["html"][:200] for node in found["nodes"]]
            complaints.append((name, found["id"], found["impact"], nodes))

    for name in PAGES:
        page.goto(address(bea, name))
        check(page, name)
    page.goto(address(bea, "/lists/LIST"))
    page.click(".list-menu summary")
    page.click(".several summary")
    page.evaluate("scrollTo(0, 0)")  # what is half below the new todo can be scrolled
    check(page, "everything open")
    page.focus(".todo-list > li:first-child .toggle")
    page.keyboard.press("?")
    check(page, "keys")
    page.goto(address(bea, "/account"))
    page.evaluate("document.querySelector('[name=language]').options[1].value = 'tlh'")
    page.select_option("[name=language]", "tlh")
    page.click("main .primary")
    page.wait_for_selector("[role=alert]")
    check(page, "refused")
    for name in PUBLIC:
        guest.goto(address(bea, name))
        check(guest, name)
        guest.fill("[name=username]", "no one")
        guest.fill("[name=password]", "wrong")
        guest.click("main .primary")
        guest.wait_for_selector("[role=alert]")
        check(guest, f"{name} refused")
    assert complaints == []
    page.context.close()
    guest.context.close()


def picture(page: Any, name: str) -> None:
    """Write a screenshot, if someone wants to look."""
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)


@pytest.mark.parametrize(
    ("width", "style"),
    [
        (320, ""),
        (640, "html { font-size: 200% }"),
        (320, "* { line-height: 1.5 !important; letter-spacing: .12em; word-spacing: .16em }"),
        (1280, "html { direction: rtl }"),
        (1100, ""),
        (1920, ""),
    ],
)
def test_nothing_scrolls_sideways(browser: Any, bea: Visitor, width: int, style: str) -> None:
    """Narrow, wide, with text twice as large or set wider (WCAG 1.4.4, 1.4.10, 1.4.12)."""
    page = opened(browser, bea, viewport={"width": width, "height": 700})
    guest = opened(browser, None, viewport={"width": width, "height": 700})
    for window, names in ((page, PAGES), (guest, PUBLIC)):
        for name in names:
            window.goto(address(bea, name))
            if style:
                window.evaluate(
                    "(css) => { const sheet = new CSSStyleSheet(); sheet.replaceSync(css);"
                    " document.adoptedStyleSheets = [sheet] }",
                    style,
                )
            picture(window, f"{name.strip('/').replace('/', '-')}-{width}-{len(style)}")
            wide = window.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, f"{name} is {wide} wide"
            cut = window.evaluate(CUT)
            assert cut == [], f"{name}: outside of the window"
    page.context.close()
    guest.context.close()


# What can be seen, but not whole.
CUT = """[...document.querySelectorAll('main *, header *, .side *')]
    .filter((e) => e.checkVisibility({ visibilityProperty: true }) && !e.closest('.skip, pre'))
    .filter((e) => { const b = e.getBoundingClientRect();
                     return b.width && (b.left < -1 || b.right > innerWidth + 1) })
    .map((e) => e.outerHTML.slice(0, 100))"""
# What can be pressed, and is smaller than a finger; a link in a line of text may be (WCAG 2.5.8).
SMALL = """(least) => [...document.querySelectorAll('button, summary, a, input, select, textarea')]
    .filter((e) => e.checkVisibility({ visibilityProperty: true }) && !e.closest('.skip'))
    .filter((e) => { const b = (e.closest('label') ?? e).getBoundingClientRect();
                     return b.width < least[0] || b.height < least[1] })
    .map((e) => [e.outerHTML.slice(0, 80), e.getBoundingClientRect().toJSON()])"""


FINE_PRINT = """[...document.querySelectorAll('input, select, textarea')]
    .filter((e) => !['checkbox', 'hidden'].includes(e.type))
    .filter((e) => parseFloat(getComputedStyle(e).fontSize) < 16).map((e) => e.outerHTML)"""


@pytest.mark.parametrize("touch", [False, True])
def test_what_can_be_pressed_is_large_enough(browser: Any, bea: Visitor, touch: bool) -> None:
    """24 px for a mouse (WCAG 2.5.8), 44 for a finger (2.5.5), which is our own rule.

    And text of 16 px in fields on phones: into anything smaller Safari zooms.
    """
    page = opened(
        browser, bea, viewport={"width": 360, "height": 700}, has_touch=touch, is_mobile=touch
    )
    for name in PAGES:
        page.goto(address(bea, name))
        assert page.evaluate(SMALL, [44, 44] if touch else [24, 24]) == [], name
        assert not touch or page.evaluate(FINE_PRINT) == [], name
    page.context.close()


class Wire:
    """Counts the bytes that come over the wire, headers included, as the browser received them."""

    def __init__(self, page: Any) -> None:
        self.sizes: dict[str, float] = {}
        self.sockets = 0
        self.names: dict[str, str] = {}
        session = page.context.new_cdp_session(page)
        session.send("Network.enable")
        session.on("Network.requestWillBeSent", self.begin)
        session.on("Network.loadingFinished", self.end)
        session.on("Network.webSocketCreated", self.connect)

    def begin(self, event: Any) -> None:
        """Note an address."""
        self.names[event["requestId"]] = event["request"]["url"]

    def connect(self, event: Any) -> None:
        """Count a WebSocket."""
        self.sockets += 1

    def end(self, event: Any) -> None:
        """Note a size, if anything came over the wire."""
        url = self.names.get(event["requestId"], "")
        if event["encodedDataLength"]:
            self.sizes[url.rpartition("/")[2].partition("?")[0]] = event["encodedDataLength"]


@pytest.fixture
def twenty(server: Server) -> Iterator[Visitor]:
    """Someone with 20 todos."""
    visitor = Visitor(server, "dan")
    visitor.sign_up()
    visitor.post(
        f"/lists/{visitor.list}",
        lines="\n".join(f"Something to do, number {n}, before the weekend" for n in range(20)),
    )
    yield visitor


def test_the_page_is_light(browser: Any, twenty: Visitor) -> None:
    """First visit at most 40 KB in 14 requests with the socket, later ones 6 KB in one.

    Of these the scripts are 18 KB, and the style 8 KB.
    """
    page = opened(browser, twenty, viewport={"width": 360, "height": 700})
    wire = Wire(page)
    place = f"{twenty.server.url}/lists/{twenty.list}"
    page.goto(place, wait_until="networkidle")
    statics = ROOT / "views/statics"
    scripts = [len(gzip.compress(file.read_bytes(), 6)) for file in statics.glob("js/*.js")]
    assert sum(scripts) <= 18 * 1024, scripts
    assert len(gzip.compress((statics / "css/app.css").read_bytes(), 6)) <= 8 * 1024
    files = {file.name for file in statics.glob("js/*.js")}
    assert files < wire.sizes.keys() and wire.sockets == 1
    assert len(wire.sizes) + wire.sockets <= 14, wire.sizes
    assert sum(wire.sizes.values()) <= 40 * 1024, wire.sizes
    for again in (partial(page.goto, place), page.reload):
        wire.sizes.clear()
        again(wait_until="networkidle")
        assert len(wire.sizes) == 1 and sum(wire.sizes.values()) <= 6 * 1024, wire.sizes
    page.context.close()


OBSERVE = """
window.shifts = 0; window.long = [];
const seen = (kind, note) => new PerformanceObserver((list) =>
  list.getEntries().forEach(note)).observe({ type: kind, buffered: true });
seen("layout-shift", (e) => { if (!e.hadRecentInput) window.shifts += e.value });
seen("longtask", (e) => window.long.push(e.duration));
"""


def test_nothing_jumps_on_a_slow_network(browser: Any, twenty: Visitor) -> None:
    """What comes last is shown last: the page is drawn in pieces as it arrives."""
    context = browser.new_context(viewport={"width": 800, "height": 700})
    context.add_init_script(OBSERVE)
    page = Window(context, twenty).page
    network = context.new_cdp_session(page)
    slow = {"offline": False, "latency": 0, "downloadThroughput": 8_000, "uploadThroughput": -1}
    network.send("Network.emulateNetworkConditions", slow)
    page.reload()
    assert page.evaluate("window.shifts") <= 0.02
    context.close()


def test_the_page_is_calm(browser: Any, twenty: Visitor) -> None:
    """Nothing jumps, while loading and while working; no task is long; few nodes a row."""
    context = browser.new_context(viewport={"width": 800, "height": 700})
    context.add_init_script(OBSERVE)
    window = Window(context, twenty)
    page = window.page
    for number in (2, 4):
        page.click(f"{window.row(number)} .toggle")
        window.settle()
    page.click(f"{window.row(3)} .destroy")
    window.settle()
    page.focus(".new-todo")
    window.write("one more", "and another")
    window.settle()
    page.click(".clear-completed")
    until(page, "!document.querySelector('.clear-completed')")
    window.settle()
    assert page.evaluate("window.shifts") <= 0.02
    for _ in range(5):  # a busy machine makes any task long; a long task is long each time
        if page.evaluate("window.long") == []:
            break
        window.open()
        until(page, "document.readyState === 'complete'")
    else:
        raise AssertionError(page.evaluate("window.long"))
    nodes = page.evaluate("document.querySelector('.todo-list > li').querySelectorAll('*').length")
    assert nodes < 10
    assert window.complaints == []
    context.close()


def test_motion_is_opted_into(browser: Any, twenty: Visitor) -> None:
    """Who asks for less gets none."""
    for preference, moving in (("reduce", 0), ("no-preference", 1)):
        page = opened(browser, twenty, reduced_motion=preference)
        page.goto(f"{twenty.server.url}/lists/{twenty.list}")
        durations = page.evaluate(
            "[...document.querySelectorAll('*')].map((e) => getComputedStyle(e).transitionDuration)"
            ".filter((d) => d.split(', ').some((part) => parseFloat(part) > 0)).length"
        )
        assert bool(durations) == bool(moving)
        page.context.close()


def test_it_can_be_installed(browser: Any, twenty: Visitor) -> None:
    """The manifest is found, read without a complaint, and has icons; iOS finds one of its own."""
    page = opened(browser, twenty)
    page.goto(f"{twenty.server.url}/lists/{twenty.list}")
    session = page.context.new_cdp_session(page)
    told = session.send("Page.getAppManifest")
    assert told["errors"] == [] and '"start_url": "/"' in told["data"]
    icon = twenty.get("/static/icons/icon.svg")
    assert icon.headers["Content-Type"] == "image/svg+xml"
    touch = page.locator("link[rel=apple-touch-icon]").get_attribute("href")
    answer = twenty.get(touch)
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.headers["Cache-Control"].endswith("immutable")
    size = "async (url) => { const i = new Image(); i.src = url; await i.decode();"
    assert page.evaluate(f"{size} return [i.width, i.height] }}", touch) == [180, 180]
    for icon in json.loads(told["data"])["icons"]:
        assert twenty.get(f"/static/icons/{icon['src']}").headers["Content-Type"] == icon["type"]
    page.context.close()
