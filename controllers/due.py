"""When todos are due, on pages: beside those of a list, and the zone of an account."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from weakref import WeakKeyDictionary

from tornado.escape import xhtml_escape

from controllers.list_page import Elements, PageContext, PagePart
from models import dates, due, lists
from models.clock import instant, moment
from models.text import N_
from models.todos import Columns, Row

SPANS_LIMIT = 10_000  # that are remembered
OVERDUE = N_("{date}, overdue")
# By application, and by list, version and zone: what the chips depend on, from when until when.
SPANS: WeakKeyDictionary[Any, dict[Any, tuple[str, datetime, datetime]]] = WeakKeyDictionary()


async def span(handler: Any, access: lists.ListAccess) -> tuple[str, datetime, datetime]:
    """Return what the chips of a list depend on, since when, and until when.

    That is the reader's day, where there are times also their zone and what has passed last; and
    nothing in a list without dates, so that all readers share what is drawn of it.
    """
    zone, now = due.zone_of(handler.current_user), moment()
    spans = SPANS.setdefault(handler.app, {})
    key = access.id, access.version, zone
    told, last, following = spans.get(key, ("", now, now))
    if not last <= now < following:
        dues = await handler.app.lookups(due.of_list, access.id)
        timed = [each for each in dues if each.at]
        last, following = dates.turns(timed, zone, now)
        told = str(dates.today(zone, now)) if dues else ""
        told = f"{zone} {instant(last)}" if timed else told
        if len(spans) > SPANS_LIMIT:
            spans.clear()
        spans[key] = told, last, following
    return told, last, following


async def state(handler: Any, access: lists.ListAccess) -> str:
    return (await span(handler, access))[0]


async def next_turn(handler: Any, access: lists.ListAccess) -> datetime:
    """Return when the page of a list is another one by itself; at the reader's midnight at last."""
    return (await span(handler, access))[2]


def chips(handler: Any, rows: Sequence[Row]) -> dict[int, bytes]:
    """Return by id the chip of each todo that has a date, for the reader's zone."""
    return {row.id: chip(handler, row).encode() for row in rows if row.due[0]}


def chip(handler: Any, row: Row) -> str:
    """Return when a todo is due; of one that is done the day it was, as that never turns."""
    zone, now, locale = due.zone_of(handler.current_user), moment(), handler.locale
    when = due.due_at(*row.due)
    at = when.instant()
    machine = at.astimezone(UTC).isoformat().replace("+00:00", "Z") if at else row.due[0]
    kind = "due"
    if row.completed:
        words = dates.day_words(when.day, None, locale.translate, locale.code, "abbreviated")
    else:
        words = dates.chip(when, zone, now, locale.translate, locale.code)
        if when.overdue(zone, now):
            kind, words = "due overdue", locale.translate(OVERDUE).format(date=words)
        elif when.shown(zone)[0] == dates.today(zone, now):
            kind = "due today"
    if row.repeat:
        kind += " repeats"
    form = f'data-due="{row.due[0]}" data-due_time="{row.due[1] or ""}"'  # for who opens the row
    form += f' data-repeats="{locale.translate(N_("repeats"))}"' if row.repeat else ""
    return f'<time class="{kind}" datetime="{machine}" {form}>{xhtml_escape(words)}</time>'


async def draw(handler: Any, page: PageContext) -> Elements:
    return {}


def editor(handler: Any, row: Row) -> bytes:
    """Return the fields of an open row for the day and the time."""
    form = {"due": row.due[0] or "", "due_time": row.due[1] or ""}
    form |= {f"{name}_was": value for name, value in form.items()} | handler.typed
    html: bytes = handler.render_string("due/editor.html", form=form)
    return html


PART = PagePart("due", state, draw, chips=chips, editor=editor)


def timezone_field(handler: Any, form: dict[str, str]) -> bytes:
    """Return the field of the account page for the time zone, with the names of places for it."""
    zones = sorted(name for name in dates.zones() if "/" in name and not name.startswith("Etc/"))
    html: bytes = handler.render_string("due/timezone.html", form=form, zones=zones)
    return html


def form_part(handler: Any, form: dict[str, Any], todo: Columns) -> bytes:
    """Return the fields of a todo's page for the day and the time; a chip for who only reads."""
    if not form:
        when, done = tuple(todo[name] for name in due.WHEN), bool(todo["completed_at"])
        row = Row(todo["id"], "", done, False, due=when, repeat=todo["repeat"])
        return f"<p>{chip(handler, row)}</p>".encode() if when[0] else b""
    zone = form["due_zone"] if form["due_zone"] != due.zone_of(handler.current_user) else ""
    html: bytes = handler.render_string("due/form.html", form=form, zone=zone)
    return html


def read_form(handler: Any, typed: dict[str, str]) -> dict[str, str]:
    """Return what was typed, with the day that a button like Tomorrow stands for.

    A row tells what it showed (`due_was`), as what wasn't changed there may have changed since.
    """
    same = {name for name in due.WHEN if typed.get(name) == typed.get(f"{name}_was")}
    typed = {name: value for name, value in typed.items() if name not in same}
    this = due.today(handler.current_user)
    monday = this + timedelta(7 - this.weekday())
    days = {"today": this, "tomorrow": this + timedelta(1), "next week": monday, "none": ""}
    put = typed.get("put")
    return typed | {"due": str(days[put])} if put in days else typed
