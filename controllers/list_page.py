"""The page of a list, which its handlers, its forms and its conversation show.

It is made of elements, each with an id. A script asks for them again when the list has changed.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from controllers.base import ID, PageHandler
from models import lists, todos
from models.errors import NotFound
from models.tables import Person
from models.text import N_

MANY = 200  # rows that take 10 ms to render; more are rendered in a thread
WHO = (N_("added by {name}"), N_("completed by {name}"), N_("assigned to {name}"))
TOKEN = b"\0"  # stands in a cached page for the token of its forms; no text of ours has it
Elements = dict[str, bytes]  # HTML by the id of its element, which the script replaces


class PagePart(NamedTuple):
    """What an extra adds to the page of a list; `extras.py` puts it into PARTS.

    `state` tells what `draw` depends on beside the list's version and its reader; it is asked for
    each request, so it should only look up by key. `badges` are HTML beside lists in the side bar,
    `above` is HTML above them, `chips` are HTML beside todos, which all share whose `state` is the
    same; `editor` is that of a row.
    """

    name: str
    state: Callable[[Any, lists.ListAccess], Awaitable[str]]
    draw: Callable[[Any, "PageContext"], Awaitable[Elements]]
    badges: Callable[[Any], Awaitable[dict[int, bytes]]] | None = None
    chips: Callable[[Any, Sequence[todos.Row]], dict[int, bytes]] | None = None
    editor: Callable[[Any, todos.Row], bytes] | None = None
    above: Callable[[Any, "PageContext"], Awaitable[bytes]] | None = None


PARTS: list[PagePart] = []
# The HTML of titles that are more than text, by the ids of their todos; filled by extras.py. It can
# take milliseconds, so it isn't done on the event loop.
TITLES: list[Callable[[int, Sequence[todos.Row]], dict[int, bytes]]] = []


class PageContext(NamedTuple):
    """A page of one list, as its reader has it; `shown` is one of todos.FILTERS, or an extra's."""

    access: lists.ListAccess
    shown: str
    mine: list[lists.ListAccess]
    digest: str  # of all that the page depends on
    chips: tuple[str, ...]  # the states of those parts that have some

    def values(self) -> dict[str, Any]:
        """Return what its templates have in common."""
        address = f"/lists/{self.access.id}"
        return {
            "list": self.access,
            "here": self.access.id,
            "address": address,
            "back": address if self.shown == "all" else f"{address}/{self.shown}",
            "shown": self.shown,
            "shared": self.access.people > 1,
            "writable": self.access.may("change"),
            "movable": self.access.may("change"),
            "owned": self.access.may("rename"),
            "role": self.access.role,
        }


def read_rows(
    person: Person, list_id: int, shown: str
) -> tuple[lists.ListAccess, todos.Rows, dict[int, bytes]]:
    """Return what `todos.rows` does, and what TITLES do."""
    access, found = todos.rows(person, list_id, shown)
    drawn = [draw(list_id, found.rows) for draw in TITLES]
    return access, found, {number: html for each in drawn for number, html in each.items()}


class ListPageHandler(PageHandler):
    """What the pages of a list share: its elements, which the script asks for again and again."""

    template = "todos/page.html"

    async def show_list(self, list_id: int, shown: str, editing: int = 0) -> None:
        """Show the page, with the row `editing` open; a script gets the elements, or 304."""
        page = await self.page_of(list_id, shown)
        self.set_header("Vary", "X-Fragment")
        if self.fragment:
            self.set_header("ETag", f'"{page.digest}"')
            if self.check_etag_header():
                self.set_status(304)
            else:
                elements = await self.draw_elements(page, editing)
                await self.finish_large(b"".join(elements.values()))
        elif editing or self.error or self.request.query_arguments:
            await self.finish_large(await self.draw_page(page, editing))
        else:
            key = list_id, page.digest

            async def draw() -> bytes:
                return (await self.draw_page(page, 0)).replace(self.xsrf_token, TOKEN)

            html = await self.app.render_cache.get_or_render(key, draw)
            await self.finish_large(html.replace(TOKEN, self.xsrf_token))

    async def page_of(self, list_id: int, shown: str) -> PageContext:
        """Return what the page depends on, all of it looked up by key. Raises NotFound."""
        mine, digest = await self.app.lookups(lists.all_with_digest, self.current_user)
        access = next((each for each in mine if each.id == list_id), None)
        if access is None:
            raise NotFound
        return await self.context(access, shown, mine, digest)

    async def context(
        self, access: lists.ListAccess, shown: str, mine: list[lists.ListAccess], digest: str
    ) -> PageContext:
        """Return it, given a digest of what the database holds of it."""
        states = {part.name: await part.state(self, access) for part in PARTS}
        reader = self.current_user, self.locale.code, self.notices
        whole = repr((digest, access.id, shown, states, reader))
        digest = hashlib.blake2b(whole.encode(), digest_size=12).hexdigest()
        chips = tuple(states[part.name] for part in PARTS if part.chips)
        return PageContext(access, shown, mine, digest, chips)

    async def draw_page(self, page: PageContext, editing: int) -> bytes:
        values = page.values() | await self.draw_elements(page, editing) | {"editing": editing}
        values["blank"] = self.values_of_open(todos.Row(0, "", False, False))["more"]
        return self.render_string(self.template, **values)

    async def draw_elements(self, page: PageContext, editing: int) -> Elements:
        """Return the elements of the page: the side bar, the rows, PARTS."""
        elements = {"notices": self.notices, "side": await self.draw_side(page)}
        if page.shown in todos.FILTERS:
            elements["rows"] = await self.draw_rows(page, editing)
        return elements | await self.draw_parts(page)

    async def draw_side(self, page: PageContext) -> bytes:
        """Return the lists of the reader, with what extras add."""
        badges: dict[int, bytes] = {}
        for part in PARTS:
            badges |= await part.badges(self) if part.badges else {}
        above = [await part.above(self, page) for part in PARTS if part.above]
        values = page.values() | {"mine": page.mine, "badges": badges, "above": above}
        return self.render_string("todos/side.html", **values)

    async def draw_parts(self, page: PageContext) -> Elements:
        """Return the elements that extras add; there is always one that says what happened."""
        elements = {"status": self.render_string("todos/status.html", **page.values())}
        for part in PARTS:
            elements |= await part.draw(self, page)
        return elements

    async def draw_rows(self, page: PageContext, editing: int) -> bytes:
        """Return the rows and the counts below them, which all with the same right share."""
        if editing:
            return await self.render_rows(page, editing)
        access, shown = page.access, page.shown
        owner = self.current_user.id if shown == "mine" else 0
        version = (access.id, access.version, access.revision)
        key = (*version, shown, self.locale.code, access.may("change"), owner, page.chips)
        return await self.app.render_cache.get_or_render(key, partial(self.render_rows, page, 0))

    async def render_rows(self, page: PageContext, editing: int) -> bytes:
        """Render them, one of them open for renaming, with what was typed if it was refused."""
        access, found, labels = await self.app.read(
            read_rows, self.current_user, page.access.id, page.shown
        )
        values = page.values() | {"version": access.version, "rows": found.rows, "labels": labels}
        values |= {"open": found.open, "completed": found.completed}
        for place, row in enumerate(found.rows):
            if row.id == editing and access.may("change"):
                values |= self.values_of_open(row, *found.around(place))

        def draw() -> bytes:
            return self.render_string("todos/rows.html", **self.values_of(found.rows) | values)

        return await asyncio.to_thread(draw) if len(found.rows) > MANY else draw()

    def values_of(self, rows: Sequence[todos.Row]) -> dict[str, Any]:
        """Return what the template of a row needs, but for what `page.values` has."""
        credits = {who: self.credit(who) for who in {row.who for row in rows}}
        chips = {k: v for part in PARTS if part.chips for k, v in part.chips(self, rows).items()}
        return {"credits": credits, "chips": chips, "editing": 0, "places": {}}

    def values_of_open(
        self, row: todos.Row, up: int | str | None = None, down: int | None = None
    ) -> dict[str, Any]:
        """Return what it needs to draw this one open, which may move `up` and `down`."""
        typed = {"typed_title": self.field("title") or row.title, "problem": self.error}
        more = [part.editor(self, row) for part in PARTS if part.editor]
        return {"editing": row.id, "up": up, "down": down, "more": more} | typed

    def credit(self, who: tuple[str | None, ...]) -> str:
        """Return in words who added a todo, completed it and has it to do."""
        named = [(words, name) for words, name in zip(WHO, who, strict=True) if name]
        return " · ".join(self.locale.translate(words).format(name=name) for words, name in named)

    async def show(self, list_id: str) -> None:
        """Show the list again for a form on it that was refused, as it was shown before."""
        await self.show_list(int(list_id), self.shown_before())

    def asked_row(self) -> int:
        """Return the id of the row that `?edit=` opens, 0 for none."""
        asked = self.request.query_arguments and self.get_query_argument("edit", "")
        return int(asked) if asked and ID.fullmatch(asked) else 0

    def shown_before(self) -> str:
        """Return the filter of the page that a form came from."""
        name = self.field("back").rpartition("/")[2]
        return name if name in todos.FILTERS else "all"
