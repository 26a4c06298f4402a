"""Take the picture in README.rst: the sample's shared list, in a real browser.

`make picture` runs this.
"""

import sys
import tempfile
from pathlib import Path

from checks.cast import ROOT, Server, launch


def take(picture: Path) -> None:
    """Write the picture."""
    from playwright.sync_api import sync_playwright  # not in requirements.txt

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        database = Path(folder) / "people.db"
        database.write_bytes((ROOT / "people.db.sample").read_bytes())
        server = Server(database)
        browser = launch(playwright)
        page = browser.new_page(viewport={"width": 860, "height": 720}, device_scale_factor=2)
        page.goto(f"{server.url}/login")
        page.fill("[name=username]", "ana")
        page.fill("[name=password]", "only for looking")
        page.click("main button")
        page.wait_for_load_state("load")
        page.screenshot(path=picture)
        browser.close()
        server.stop()


if __name__ == "__main__":
    take(Path(sys.argv[1]))
