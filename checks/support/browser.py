"""Windows of a real browser."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from checks.support.visitors import Visitor

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update"]


def launch(playwright: Any) -> Any:
    """Start Debian's Chromium."""
    return playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)


TITLES = "[...document.querySelectorAll('.todo-list > li')].filter(r => !r.hidden).map(TITLE)"
TITLE = "(r) => (r.matches('.completed') ? '✓' : '') + r.querySelector('label').textContent"
PRESENT = TITLES.replace("TITLE", TITLE)


def until(page: Any, expression: str, arg: Any = None) -> None:
    """Wait until `expression` is true in the page, without eval, which the policy forbids."""
    end = time.monotonic() + 10
    while not page.evaluate(expression, arg):
        assert time.monotonic() < end, f"never {expression} {arg!r}"
        page.wait_for_timeout(10)


class Window:
    """A window of Ann's, on her list, that complains when the page is left or breaks."""

    def __init__(self, context: Any, ann: Visitor) -> None:
        self.ann = ann
        self.complaints: list[str] = []
        cookies = [
            {"name": c.name, "value": c.value, "url": ann.server.url} for c in ann.http.cookies
        ]
        context.add_cookies(cookies)
        self.page = context.new_page()
        self.page.set_default_timeout(10_000)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.open()

    def open(self, path: str = "") -> None:
        """Open the list, or a part of it."""
        with self.leaving():
            self.page.goto(f"{self.ann.server.url}/lists/{self.ann.list}{path}")

    @contextmanager
    def leaving(self, **options: Any) -> Iterator[None]:
        """Wait for another page, which is meant to come; until now none came that wasn't."""
        self.stayed()
        with self.page.expect_navigation(**options):
            yield
        self.page.evaluate("window.stayed = true")

    def stayed(self) -> None:
        """Make sure that it is still the page that was opened last."""
        new = self.page.url == "about:blank"
        assert new or self.page.evaluate("window.stayed") is True, "the page was left"

    def write(self, *titles: str) -> None:
        """Type todos where the caret is."""
        for title in titles:
            self.page.keyboard.type(title)
            self.page.keyboard.press("Enter")

    def shows(self, *titles: str) -> None:
        """Wait until the list is this, here and, when all is sent, on the server."""
        until(self.page, f"(want) => String({PRESENT}) === String(want)", arg=[*titles])
        self.settle()
        assert self.page.evaluate(PRESENT) == [*titles]
        assert ["✓" * row.completed + row.title for row in self.ann.rows()] == [*titles]

    def settle(self) -> None:
        """Wait until nothing waits to be sent: every row is the server's."""
        until(self.page, "!document.body.matches('[data-sending]')")

    def row(self, number: int) -> str:
        """Return the selector of a row; the first is 1."""
        return f".todo-list > li:nth-child({number})"

    def focus(self) -> str:
        """Return where the focus is: row and class."""
        return str(
            self.page.evaluate(
                "[document.activeElement.closest('li')?.querySelector('label').textContent,"
                " document.activeElement.className || document.activeElement.tagName]"
                ".filter(Boolean).join(' ')"
            )
        )

    def said(self, text: str) -> None:
        """Wait until the status line says so."""
        until(
            self.page,
            "(text) => document.querySelector('.status')?.textContent.includes(text)",
            arg=text,
        )

    def close(self) -> None:
        """Close it, and find that it was never left unasked, nor broke."""
        fair = ("Failed to load resource", "Clear-Site-Data header", "WebSocket connection to")
        complaints = [c for c in self.complaints if not c.startswith(fair)]
        assert complaints == []
        self.stayed()
        self.page.context.close()

    def alert(self) -> str:
        """Wait for what is complained of."""
        return str(self.page.locator("[role=alert]").text_content())


def live(window: Window) -> None:
    """Wait until a window hears the news."""
    until(window.page, "document.body.dataset.live === 'on'")


def see(window: Window, *titles: str) -> None:
    """Wait until a window shows this."""
    until(window.page, f"(want) => String({PRESENT}) === String(want)", arg=[*titles])
