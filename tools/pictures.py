"""Take the pictures in README.rst: the sample's shared list, light and dark, in a real browser.

`make picture` runs this. It draws the icon of phones, too, which can't be an SVG.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

from checks.support.browser import launch
from checks.support.servers import ROOT, Server

ICONS = ROOT / "views/statics/icons"


def take(folder: Path) -> None:
    """Write them to `folder`."""
    from playwright.sync_api import sync_playwright  # not in requirements.txt

    with tempfile.TemporaryDirectory() as place, sync_playwright() as playwright:
        database = Path(place) / "people.db"
        database.write_bytes((ROOT / "people.db.sample").read_bytes())
        server = Server(database)
        browser = launch(playwright)
        for scheme in ("light", "dark"):
            size = {"width": 1280, "height": 760}
            page = browser.new_page(viewport=size, device_scale_factor=1.5, color_scheme=scheme)
            page.goto(f"{server.url}/login")
            page.fill("[name=username]", "ana")
            page.fill("[name=password]", "only for looking")
            with page.expect_navigation():
                page.click("main button")
            page.wait_for_load_state("load")
            page.hover(".todo-list > li:nth-child(3)")
            page.screenshot(path=folder / f"page-{scheme}.png")
            page.context.close()
        draw_icon(browser)
        browser.close()
        server.stop()


def draw_icon(browser: Any) -> None:
    """Draw icon.svg without its round corners, which iOS cuts itself: they would be black there."""
    icon = (ICONS / "icon.svg").read_text().replace(' rx="9"', "")
    page = browser.new_page(viewport={"width": 180, "height": 180}, color_scheme="light")
    page.set_content(f"<style>body {{ margin: 0 }} svg {{ display: block }}</style>{icon}")
    page.screenshot(path=ICONS / "touch.png")


if __name__ == "__main__":
    take(Path(sys.argv[1]))
