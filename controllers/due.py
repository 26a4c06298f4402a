"""When todos are due, on pages."""

from typing import Any

from models import dates


def timezone_field(handler: Any, form: dict[str, str]) -> bytes:
    """Return the field of the account page for the time zone, with the names of places for it."""
    zones = sorted(name for name in dates.zones() if "/" in name and not name.startswith("Etc/"))
    html: bytes = handler.render_string("due/timezone.html", form=form, zones=zones)
    return html
