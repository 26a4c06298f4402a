"""A list's page, a todo's own, and the forms on them: each a verb of the models."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from tornado.escape import xhtml_escape

from controllers.base import ID, PageHandler, fill, redisplay_if_invalid
from models import history, links, lists, members, messages, text, todos, users
from models.clock import clock
from models.errors import NotFound
from models.tables import Person
from models.text import N_
from services.render_cache import RenderCache

LIST_VERBS: dict[str, Callable[..., None]] = {
    "toggle-all": todos.complete_all,
    "clear-completed": todos.clear_completed,
    "delete": lists.delete,
}
WHO = (N_("added by {name}"), N_("completed by {name}"), N_("assigned to {name}"))
OWN = ("status", "news", "talking", "talk")  # parts of own.html
MESSAGES_SHOWN = 30
PAGE_KEPT = 200_000  # bytes of a page that is kept whole, for one reader
VERBS: dict[str, Callable[..., int]] = {
    "complete": todos.complete,
    "reopen": partial(todos.complete, completed=False),
    "delete": todos.delete,
    "restore": todos.restore,
    "move": todos.move,
}


def own_parts(person: Person, seen: lists.ListAccess, before: int | None) -> dict[str, Any]:
    """Return a reader's last change of a list, the last one by others, and messages with links.

    A unit of work: looking for links can take milliseconds, which are not the event loop's.
    """
    _, said = messages.latest(person, seen.id, before, MESSAGES_SHOWN + 1)
    shown, known = said[-MESSAGES_SHOWN:], links.known(seen.id)
    return {
        "last": history.last(person, seen),
        "news": history.last(person, seen, history.BY_OTHERS),
        "messages": [(message, linked(message["text"], known)) for message in shown],
        "held": []
        if before
        else [(n, linked(words, known)) for n, words in messages.held(person, seen.id)],
        "older": shown[0]["id"] if len(said) > len(shown) else None,
    }


def linked_rows(
    person: Person, list_id: int, shown: str
) -> tuple[lists.ListAccess, todos.Rows, dict[int, bytes]]:
    """Return what `todos.rows` does, and by id the HTML of the titles that have links."""
    seen, found = todos.rows(person, list_id, shown)
    known = links.known(list_id)
    return seen, found, {r.id: label(r.title, known) for r in found.rows if "://" in r.title}


def label(words: str, known: dict[str, str]) -> bytes:
    """Return the HTML of a todo's title; the script finds it as written in `title`, if it differs.

    Links whose titles are `known` show those.
    """
    html = linked(words, known)
    if known.keys().isdisjoint(links.LINK.findall(words)):
        return html
    return b'<span title="%b">%b</span>' % (xhtml_escape(words).encode(), html)


def linked(words: str, known: dict[str, str]) -> bytes:
    """Return the HTML of a plain text, with links for the addresses in it.

    One whose title is `known` shows that, and its host, as anyone can choose a title.
    """
    html, end = "", 0
    for found in links.LINK.finditer(words):
        address, shown = xhtml_escape(found[0]), known.get(found[0], found[0])
        html += xhtml_escape(words[end : found.start()])
        html += f'<a href="{address}" title="{address}" rel="noopener noreferrer nofollow ugc"'
        html += f' dir="auto">{xhtml_escape(shown)}</a>'
        if found[0] in known:
            html += f" <small>{xhtml_escape(urlsplit(found[0]).netloc)}</small>"
        end = found.end()
    return (html + xhtml_escape(words[end:])).encode()


def whole(person: Person, todo_id: int) -> tuple[lists.ListAccess, todos.Columns, list[str]]:
    """Return a todo as it is shown on its own page, after its list and before its members.

    Its `shown` is the HTML of its title, with links.
    """
    seen, todo = todos.find(person, todo_id)
    assigned = users.names({todo["assigned_to"]} if todo["assigned_to"] else set())
    people = [member["username"] for member in members.every(person, seen.id)[1]]
    shown = linked(todo["title"], links.known(seen.id))
    return seen, todo | {"assigned": assigned.get(todo["assigned_to"], ""), "shown": shown}, people


class Mould:
    """Casts rows of one kind, four times as fast as `fill`: ids go in between, a title in one."""

    def __init__(self, sample: list[bytes]) -> None:
        at = sample.index(b"title")
        self.sides = (sample[at - 1], sample[at + 1])
        self.between = [*sample[:at:2], *sample[at + 3 :: 2]]
        self.middle = at // 2

    def cast(self, number: int, title: bytes) -> bytes:
        """Return a row."""
        self.between[self.middle] = title.join(self.sides)
        return (b"%d" % number).join(self.between)


class PageContext(NamedTuple):
    """A page of one list, as its reader has it.

    `shown` is one of todos.FILTERS, or "messages"; `here` are the others who have it open.
    """

    seen: lists.ListAccess
    shown: str
    mine: list[lists.ListAccess]
    unread: dict[int, int]
    digest: str  # of those, which differs when any of them does
    here: tuple[str, ...]
    age: float  # differs after a while, as undo isn't offered for ever

    def values(self) -> dict[str, Any]:
        """Return what templates are told of it."""
        address = f"/lists/{self.seen.id}"
        return {
            "address": address,
            "back": address if self.shown == "all" else f"{address}/{self.shown}",
            "shown": self.shown,
            "shared": self.seen.people > 1,
            "writable": self.seen.may("change"),
            "sayable": self.seen.may("say"),
        }


class ListPageHandler(PageHandler):
    """What the pages of a list share: parts, which a script fetches anew, and what is around.

    What was drawn before is kept; which lists there are and at which versions is looked up.
    """

    async def show_list(
        self, list_id: int, shown: str, editing: int = 0, before: int | None = None
    ) -> None:
        """Draw it, with the row `editing` open; or the messages `before` one.

        A script gets the parts alone, or 304 when it has them already.
        """
        self._headers["Vary"] = "X-Fragment"
        person: Person = self.current_user
        mine, digest = await self.lookup(lists.all_with_digest, person)
        unread = await self.lookup(messages.unread, person)
        pending = await self.lookup(messages.pending, person)
        digest = lists.digest((digest, unread, pending))
        seen = next((seen for seen in mine if seen.id == list_id), None)
        if seen is None:
            raise NotFound
        here = self.app.hub.others(list_id, person.username)
        age = clock.seconds() // history.RECENT.seconds
        place = PageContext(seen, shown, mine, unread, digest, here, age)
        language = self.locale.code
        looking = shown == "messages" or "X-Seen" in self.request.headers
        if list_id in unread and looking and not before:
            self.app.write_soon(messages.read_all, person, list_id)
        etag = f'"{digest}-{list_id}-{shown}-{language}-{person.id}-{",".join(here)}"'
        if self.fragment:
            self._headers["ETag"] = etag
            if self.request.headers.get("If-None-Match") == etag:
                self.set_status(304)
            else:
                self.finish(b"".join((await self.draw(place, editing, before)).values()))
            return
        kept: RenderCache = self.app.render_cache
        key = (list_id, etag, person, age)
        plain = not (editing or before or self.error or self.request.query_arguments)
        page = kept.get(key) if plain else None
        if page is None:
            page = await self.draw_page(place, editing, before, plain=plain)
            if plain and sum(map(len, page)) < PAGE_KEPT:
                kept.put(key, page)
        self.finish(self.xsrf_token.join(page))

    async def draw_page(
        self, place: PageContext, editing: int, before: int | None, *, plain: bool
    ) -> list[bytes]:
        """Return the whole page, cut where the token of its forms belongs."""
        parts = await self.draw(place, editing, before) | {"token": b"\0"}
        kept: RenderCache = self.app.render_cache
        seen, shown, person = place.seen, place.shown, self.current_user
        frame = ("page", shown, seen.id, seen.name, seen.open, seen.role, person, self.locale.code)
        sample = kept.get(frame) if plain else None
        if sample is None:
            template = "todos/messages.html" if shown == "messages" else "todos/page.html"
            own = {"list": seen, "person": person, "editing": editing, "live": not before}
            values = place.values() | own | {"owned": seen.may("rename")}
            sample = self.sample(template, parts, values, keep=False)
            if plain:
                kept.put(frame, sample)
        return fill(sample, **parts).split(b"\0")

    async def draw(self, place: PageContext, editing: int, before: int | None) -> dict[str, bytes]:
        """Return the parts of the page."""
        seen, person, language = place.seen, self.current_user, self.locale.code
        # All who may do the same with a list share its rows.
        theirs = person.id if place.shown == "mine" else 0
        state = (seen.id, seen.version, seen.revision)
        shared = (*state, place.shown, language, seen.may("change"), theirs)
        alone = (seen.id, seen.version, seen[5:], language, person.id, *place[4:], before)
        around = ("side", place.digest, language, seen.id)

        async def draw_rows() -> list[bytes]:
            found = await self.read(linked_rows, person, seen.id, place.shown)
            return [self.draw_rows(place.values(), *found, editing)]

        rows = [b""]
        if editing:
            rows = await draw_rows()
        elif place.shown != "messages":
            rows = await self.render_once(shared, draw_rows)
        own = await self.render_once(alone, partial(self.draw_own, place, before))
        kept: RenderCache = self.app.render_cache
        side = kept.get(around)
        if side is None:
            side = [
                self.render_string(
                    "todos/side.html", mine=place.mine, unread=place.unread, here=seen.id
                )
            ]
            kept.put(around, side)
        return {"side": side[0], "rows": rows[0]} | dict(zip(OWN, own, strict=True))

    async def draw_own(self, place: PageContext, before: int | None) -> list[bytes]:
        """Return what is the reader's alone: their last change and that of others, messages."""
        parts = await self.read(own_parts, self.current_user, place.seen, before)
        last = parts["last"]
        # No key undoes that a list was made or brought back.
        if last and last.kind == "list" and not (last.before and last.after):
            last = None
        action = "change" if last and last.kind == "todo" else "rename"
        values = place.values() | parts | {"last": last, "undoable": place.seen.may(action)}
        values |= {
            "list": place.seen,
            "unread": place.unread.get(place.seen.id),
            "here": place.here,
            "person": self.current_user,
        }
        values["shared"] = place.seen.people > 1 or bool(parts["messages"])
        return self.sample("todos/own.html", ("cut",), values, keep=False)[::2]

    def draw_rows(
        self,
        place: dict[str, Any],
        seen: lists.ListAccess,
        rows: todos.Rows,
        html: dict[int, bytes],
        editing: int,
    ) -> bytes:
        """Return the rows of a list, one of them open, and what is counted below them.

        A long list is drawn often: of each kind of row one is drawn, and the others are made of
        it; and titles, which are lines, are escaped all at once, but those that have `html`.
        """
        titles = xhtml_escape("\n".join([row.title for row in rows.rows])).encode().split(b"\n")
        if html:
            pairs = zip(rows.rows, titles, strict=False)
            titles = [html.get(row.id, title) for row, title in pairs]
        kinds = {kind: Mould(self.draw_kind(place, *kind)) for kind in {r[2:] for r in rows.rows}}
        items = [
            kinds[row[2:]].cast(row[0], title)
            for row, title in zip(rows.rows, titles, strict=False)
        ]
        if editing and place["writable"]:
            for at, row in enumerate(rows.rows):
                if row.id == editing:
                    items[at] = self.open_row(place, row, titles[at], rows.around(at))
        holes = {"version": b"%d" % seen.version, "items": b"".join(items)}
        values = place | {"open": rows.open, "completed": rows.completed, "none": not rows.rows}
        return fill(self.sample("todos/rows.html", holes, values), **holes)

    def draw_kind(
        self,
        place: dict[str, Any],
        completed: bool,
        noted: bool,
        who: tuple[str | None, ...],
        editor: bytes = b"",
    ) -> list[bytes]:
        """Return a row without its number and title; `editor` is what opens it for renaming."""
        told = [
            self.locale.translate(words).format(name=name)
            for words, name in zip(WHO, who, strict=True)
            if name
        ]
        values = place | {"completed": completed, "noted": noted, "editor": editor}
        values["who"] = " · ".join(told)
        return self.sample("todos/row.html", ("id", "title"), values, keep=not editor)

    def open_row(
        self, place: dict[str, Any], row: todos.Row, title: bytes, around: tuple[Any, Any]
    ) -> bytes:
        """Return the row that is open for renaming, with what was typed if it was refused."""
        typed = {"typed_title": self.field("title") or row.title, "problem": self.error}
        moves = {"id": b"%d" % row.id, "up": around[0], "down": around[1]}
        editor = self.render_string("todos/editor.html", **place, **typed, **moves)
        kind = self.draw_kind(place, *row[2:], editor)
        return fill(kind, id=moves["id"], title=title)

    async def show(self, list_id: str) -> None:
        """Draw the list again for a form on it that was refused, as it was shown before."""
        await self.show_list(int(list_id), self.shown_before())

    def shown_before(self) -> str:
        """Return the filter of the page that a form came from."""
        name = self.field("back").rpartition("/")[2]
        return name if name in todos.FILTERS else "all"


class FilterHandler(ListPageHandler):
    """A list, under one of its filters."""

    async def get(self, list_id: str, shown: str = "all") -> None:
        """Show all its todos, the active or the completed ones, or those for the reader.

        `?edit=` opens a row, `?title=` is what was typed before logging in anew.
        """
        edit = ""
        if self.request.query_arguments:
            edit = self.get_query_argument("edit", "")
            self.typed["title"] = self.get_query_argument("title", "")
        await self.show_list(int(list_id), shown, int(edit) if ID.fullmatch(edit) else 0)


class ListHandler(FilterHandler):
    """A list, and what is added to it."""

    @redisplay_if_invalid
    async def post(self, list_id: str) -> None:
        """Add a todo, or one for each of `lines`. Nothing typed adds nothing, and is no mistake."""
        lines = [self.field("title"), *self.field("lines").splitlines()]
        titles = [line for line in lines if not text.blank(line)]
        field = "lines" if self.field("lines") else "title"
        await self.commit(todos.add, self.current_user, int(list_id), *titles, field=field)
        self.see_other("list", list_id)


class MessagesHandler(ListPageHandler):
    """The conversation of a list, on a page of its own."""

    async def get(self, list_id: str) -> None:
        """Show the last messages, or those `?before=` one."""
        before = self.get_query_argument("before", "")
        number = int(before) if ID.fullmatch(before) else None
        await self.show_list(int(list_id), "messages", before=number)

    async def show(self, list_id: str) -> None:
        """Show it again for a message that was refused, where it was written."""
        there = "messages" if self.field("back").endswith("/messages") else self.shown_before()
        await self.show_list(int(list_id), there)

    @redisplay_if_invalid
    async def post(self, list_id: str) -> None:
        """Say something."""
        say = messages.hold if self.current_user.delay_messages else messages.say
        await self.commit(say, self.current_user, int(list_id), self.field("text"))
        self.see_other("messages", list_id)


class DeleteMessageHandler(PageHandler):
    """A message of one's own, sent or held back."""

    async def post(self, held: str, message_id: str) -> None:
        """Delete it."""
        unit = messages.drop if held else messages.take_back
        list_id = await self.commit(unit, self.current_user, int(message_id))
        self.see_other("messages", list_id)


class RenameListHandler(ListPageHandler):
    """The name of a list."""

    @redisplay_if_invalid
    async def post(self, list_id: str) -> None:
        """Give it another one."""
        await self.commit(lists.rename, self.current_user, int(list_id), self.field("name"))
        self.see_other("list", list_id)


class ListVerbHandler(PageHandler):
    """What is done to a whole list by a single button."""

    async def post(self, list_id: str, verb: str) -> None:
        """Do it. Who deletes a list goes to the page of all, where it can be restored."""
        given = [self.bool_field("completed")] if verb == "toggle-all" else []
        await self.commit(LIST_VERBS[verb], self.current_user, int(list_id), *given)
        if verb == "delete":
            self.see_other("lists")
        else:
            self.see_other("list", list_id)


class TodoHandler(ListPageHandler):
    """One todo in full."""

    async def get(self, todo_id: str) -> None:
        """Show it on a page of its own."""
        await self.show_todo(int(todo_id))

    async def show_todo(self, todo_id: int) -> None:
        """Draw its page, with its notes."""
        seen, todo, people = await self.read(whole, self.current_user, todo_id)
        values = {"list": seen, "todo": todo, "people": people, "writable": seen.may("change")}
        self.render("todos/todo.html", **values, title=todo["shown"])

    async def show(self, todo_id: str) -> None:
        """Draw the page again that a refused form came from: its own, or its list, the row open."""
        if "notes" in self.typed:
            await self.show_todo(int(todo_id))
        else:
            seen, _ = await self.read(todos.find, self.current_user, int(todo_id))
            await self.show_list(seen.id, self.shown_before(), int(todo_id))

    @redisplay_if_invalid
    async def post(self, todo_id: str) -> None:
        """Give it another title, and other notes if there are any; an empty title deletes it."""
        title, notes = self.field("title"), self.typed.get("notes")
        if text.blank(title):
            list_id = await self.commit(todos.delete, self.current_user, int(todo_id), notes)
        else:
            fields: dict[str, Any] = {
                "title": title,
                "notes": notes,
                "assigned": self.typed.get("assigned"),
            }
            edit = partial(todos.edit, **fields)
            todo = await self.commit(edit, self.current_user, int(todo_id))
            list_id = todo["list"]
        self.see_other("list", list_id)


class VerbHandler(PageHandler):
    """What is done to one todo by a single button."""

    async def post(self, todo_id: str, verb: str) -> None:
        """Do it; `after` says after which todo it is moved, and is empty for the top."""
        given = [self.id_field("after")] if verb == "move" else []
        list_id = await self.commit(VERBS[verb], self.current_user, int(todo_id), *given)
        self.see_other("list", list_id)
