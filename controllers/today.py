"""Today and Upcoming: what is due in all lists, with the rows and the verbs that lists have."""

import re
from datetime import date, timedelta
from typing import Any

from controllers.base import redisplay_if_invalid
from controllers.due import next_turn
from controllers.list_page import TITLES, Elements, ListPageHandler, PageContext, PagePart
from models import dates, due, lists, today
from models.clock import instant
from models.tables import Person
from models.text import N_
from models.todos import Row

NAMES = {"today": N_("Today"), "upcoming": N_("Upcoming")}


class TodayContext(PageContext):
    """Of such a page, `access` is the list of which the last change can be undone."""

    def values(self) -> dict[str, Any]:
        own = {"address": f"/{self.shown}", "here": 0, "role": "all", "movable": False}
        values = super().values() | own | {"page_name": NAMES[self.shown]}
        del values["back"]  # which the handler knows
        return values


def read_page(
    person: Person, shown: str, number: int
) -> tuple[today.Agenda | None, dict[int, bytes]]:
    """Return what `today.read` does, and the HTML of titles that are more than text, by id."""
    found = today.read(person, shown, number)
    labels: dict[int, bytes] = {}
    rows: dict[int, list[Row]] = {}
    for item in [item for group in found.groups.values() for item in group] if found else []:
        rows.setdefault(item.access.id, []).append(item.row)
    for list_id, some in rows.items():
        for draw in TITLES:
            labels |= draw(list_id, some)
    return found, labels


class TodayHandler(ListPageHandler):
    template = "today/page.html"
    agenda: Any = None

    async def get(self, shown: str) -> None:
        """Show a page of it; `?page=` says which, `?edit=` opens a row."""
        await self.show(shown)

    async def show(self, shown: str) -> None:
        asked = self.request.query_arguments and self.get_query_argument("page", "1")
        self.number = int(asked) if asked and re.fullmatch("[1-9][0-9]{0,3}", asked) else 1
        args = self.current_user, shown, self.number
        self.agenda, self.labels = await self.app.read(read_page, *args)
        if self.agenda is None:
            self.redirect(self.reverse_url("lists"), status=303)
        else:
            await self.show_list(0, shown, self.asked_row())

    @redisplay_if_invalid
    async def post(self, shown: str) -> None:
        """Add a todo to the reader's first list, for today or for the day `due`."""
        day = self.field("due") or str(due.today(self.current_user))
        await self.commit(today.add, self.current_user, self.field("title"), day)
        self.see_other("today", shown)

    async def page_of(self, list_id: int, shown: str) -> PageContext:
        found = self.agenda
        page = await self.context(found.here, shown, found.mine, f"{found.digest} {self.number}")
        return TodayContext._make(page)

    def get_template_namespace(self) -> dict[str, Any]:
        """Tell templates where a form leads back to, and what the script follows."""
        if self.agenda is None:  # an error's page
            return super().get_template_namespace()
        back = self.request.path + f"?page={self.number}" * (self.number > 1)
        own = {"back": back, "first": self.agenda.mine[0], "others": [*NAMES.items()]}
        tomorrow = due.today(self.current_user) + timedelta(1)
        return super().get_template_namespace() | own | {"tomorrow": tomorrow}

    async def draw_elements(self, page: PageContext, editing: int) -> Elements:
        parts = await self.draw_parts(page)
        elements = {"notices": self.notices, "side": await self.draw_side(page)}
        rows = self.draw_groups(page, editing)
        return elements | {"status": parts["status"], "rows": rows}

    def draw_groups(self, page: PageContext, editing: int) -> bytes:
        """Return the rows under their headings, one of them open for renaming."""
        found = self.agenda
        items = [item for group in found.groups.values() for item in group]
        rows = [item.row for item in items]
        values = page.values() | self.values_of(rows) | {"labels": self.labels}
        for item in items:
            if item.row.id == editing and item.writable:
                values |= self.values_of_open(item.row)
        groups = [(self.heading(day), group) for day, group in found.groups.items()]
        values |= {"groups": groups, "count": found.total, "more_pages": found.more}
        values["places"] = {item.row.id: item.access for item in items}
        return self.render_string("today/rows.html", **values, number=self.number)

    def heading(self, day: Any) -> str:
        """Return what is above the todos of a day."""
        translate, this = self.locale.translate, due.today(self.current_user)
        if day is None or day == date.max:
            return str(translate(N_("Overdue")) if day is None else translate(N_("Later")))
        near = {0: N_("Today"), 1: N_("Tomorrow")}.get((day - this).days)
        if near:
            return str(translate(near))
        return dates.weekday_words(day, this, translate, self.locale.code)


async def state(handler: Any, access: lists.ListAccess) -> str:
    """Return what the links in the side bar say beside Today and Upcoming."""
    counts = await handler.app.lookups(today.counts, handler.current_user)
    return str(counts)


async def above(handler: Any, page: PageContext) -> bytes:
    """Return the links to both, and when the page will be another by itself."""
    counts = await handler.app.lookups(today.counts, handler.current_user)
    turn = handler.agenda.turn if page.shown in NAMES else await next_turn(handler, page.access)
    links = [(name, NAMES[name], n) for name, n in zip(NAMES, counts, strict=True)]
    values = {"links": links, "shown": page.shown, "turn": instant(turn)}
    html: bytes = handler.render_string("today/side.html", **values)
    return html


async def draw(handler: Any, page: PageContext) -> Elements:
    return {}


PART = PagePart("today", state, draw, above=above)
