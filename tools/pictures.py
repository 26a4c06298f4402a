"""Take the pictures in README.rst: the sample's shared list, light and dark, in a real browser.

`make picture` runs this.
"""

import sys
import tempfile
from pathlib import Path

from checks.support.browser import launch
from checks.support.servers import ROOT, Server


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
        browser.close()
        server.stop()


if __name__ == "__main__":
    take(Path(sys.argv[1]))
