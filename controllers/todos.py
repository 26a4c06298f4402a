"""A list's page, a todo's own, and the forms on them: each a verb of the models."""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from tornado.escape import xhtml_escape

from controllers.base import ID, PageHandler, fill, form
from models import history, lists, text, todos
from models.errors import NotFound

LIST_VERBS: dict[str, Callable[..., None]] = {
    "toggle-all": todos.complete_all,
    "clear-completed": todos.clear_completed,
    "delete": lists.delete,
}
VERBS: dict[str, Callable[..., int]] = {
    "complete": todos.complete,
    "reopen": partial(todos.complete, completed=False),
    "delete": todos.delete,
    "restore": todos.restore,
    "move": todos.move,
}


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


class TodoPageHandler(PageHandler):
    """What all of these share: the page of one list."""

    async def show_list(self, list_id: int, shown: str, editing: int = 0) -> None:
        """Draw it; for a script without its frame, or 304 when it has that version already.

        `shown` is one of todos.FILTERS, `editing` the todo whose row is open. What was drawn
        before is kept; whose lists they are and at which versions is looked up every time.
        """
        self._headers["Vary"] = "X-Fragment"
        person, language, kept = self.current_user, self.locale.code, self.settings["kept"]
        mine = self.look(lists.mine, person)
        seen = next((seen for seen in mine if seen.id == list_id), None)
        if seen is None:
            raise NotFound
        fragment = self.fragment
        if fragment:
            etag = f'"{list_id}-{seen.version}-{shown}-{language}-{person.id}-{seen.role}"'
            self._headers["ETag"] = etag
            if self.request.headers.get("If-None-Match") == etag:
                self.set_status(304)
                return
        address, writable = f"/lists/{list_id}", seen.may("editor")
        back = address if shown == "all" else f"{address}/{shown}"
        place = {"address": address, "back": back, "shown": shown, "writable": writable}
        # All who may do the same with a list share its rows. After a while, undo isn't offered.
        shared = (list_id, seen.version, shown, language, writable)
        own = (
            list_id,
            seen.version,
            seen.role,
            language,
            person.id,
            time.time() // history.RECENT.seconds,
        )
        rows, said = kept.get(shared), kept.get(own)
        if not (rows and said) or editing:

            async def draw_rows() -> list[bytes]:
                page = await self.read(todos.rows, person, list_id, shown)
                return [self.draw_rows(place, *page, editing)]

            async def draw_last() -> list[bytes]:
                return [self.draw_last(seen, await self.read(history.last, person, seen))]

            rows, said = await asyncio.gather(
                draw_rows() if editing else self.drawn(shared, draw_rows),
                self.drawn(own, draw_last),
            )
        if fragment:
            self.finish(said[0] + rows[0])
            return
        names = tuple([(one.id, one.name, one.open) for one in mine])
        frame = place | {"list": seen._replace(version=0, total=0), "mine": names, "person": person}
        plain = not (editing or self.error or self.request.query_arguments)
        holes = {"said": said[0], "token": self.xsrf_token, "rows": rows[0]}
        values = frame | {"editing": editing, "owned": seen.may("owner")}
        self.finish(fill(self.sample("todos/page.html", holes, values, keep=plain), **holes))

    def draw_last(self, seen: lists.Seen, last: history.Told | None) -> bytes:
        """Return what the reader did last, and the way back."""
        holes, values = {}, {"verb": "", "kind": "", "mine": False}
        # No key undoes that a list was made or brought back.
        if last and (last.kind == "todo" or (last.before and last.after)):
            message = xhtml_escape(last.message(self.locale.translate))
            holes = {"message": message.encode(), "change": b"%d" % last.id}
            may = seen.may("editor" if last.kind == "todo" else "owner")
            values = {"verb": last.verb, "kind": last.kind, "mine": may}
        return fill(self.sample("todos/status.html", holes, values), **holes)

    def draw_rows(
        self, place: dict[str, Any], seen: lists.Seen, rows: todos.Rows, editing: int
    ) -> bytes:
        """Return the rows of a list, one of them open, and what is counted below them.

        A long list is drawn often: of each kind of row one is drawn, and the others are made of
        it; and titles, which are lines, are escaped all at once.
        """
        titles = xhtml_escape("\n".join([row.title for row in rows.rows])).encode().split(b"\n")
        kinds = {kind: Mould(self.draw_kind(place, *kind)) for kind in {r[2:] for r in rows.rows}}
        items = [
            kinds[completed, noted].cast(number, title)
            for (number, _, completed, noted), title in zip(rows.rows, titles, strict=False)
        ]
        if editing and place["writable"]:
            for at, row in enumerate(rows.rows):
                if row.id == editing:
                    items[at] = self.open_row(place, row, titles[at], rows.around(at))
        holes = {"version": b"%d" % seen.version, "items": b"".join(items)}
        values = place | {"open": rows.open, "completed": rows.completed, "none": not rows.rows}
        return fill(self.sample("todos/rows.html", holes, values), **holes)

    def draw_kind(
        self, place: dict[str, Any], completed: bool, noted: bool, editor: bytes = b""
    ) -> list[bytes]:
        """Return a row without its number and title; `editor` is what opens it for renaming."""
        values = place | {"completed": completed, "noted": noted, "editor": editor}
        return self.sample("todos/row.html", ("id", "title"), values, keep=not editor)

    def open_row(
        self, place: dict[str, Any], row: todos.Row, title: bytes, around: tuple[Any, Any]
    ) -> bytes:
        """Return the row that is open for renaming, with what was typed if it was refused."""
        typed = {"typed_title": self.field("title") or row.title, "problem": self.error}
        moves = {"id": b"%d" % row.id, "up": around[0], "down": around[1]}
        editor = self.render_string("todos/editor.html", **place, **typed, **moves)
        kind = self.draw_kind(place, row.completed, row.noted, editor)
        return fill(kind, id=moves["id"], title=title)

    async def show(self, list_id: str) -> None:
        """Draw the list again for a form on it that was refused, as it was shown before."""
        await self.show_list(int(list_id), self.shown_before())

    def shown_before(self) -> str:
        """Return the filter of the page that a form came from."""
        name = self.field("back").rpartition("/")[2]
        return name if name in todos.FILTERS else "all"

    async def show_asked(self, list_id: str, shown: str) -> None:
        """Draw what a link leads to.

        `?edit=` opens a row, `?title=` is what was typed before logging in anew.
        """
        edit = ""
        if self.request.query_arguments:
            edit = self.get_query_argument("edit", "")
            self.typed["title"] = self.get_query_argument("title", "")
        await self.show_list(int(list_id), shown, int(edit) if ID.fullmatch(edit) else 0)


class ListHandler(TodoPageHandler):
    """A list."""

    async def get(self, list_id: str) -> None:
        """Show all its todos."""
        await self.show_asked(list_id, "all")

    @form
    async def post(self, list_id: str) -> None:
        """Add a todo, or one for each of `lines`. Nothing typed adds nothing, and is no mistake."""
        lines = [self.field("title"), *self.field("lines").splitlines()]
        titles = [line for line in lines if not text.blank(line)]
        field = "lines" if self.field("lines") else "title"
        await self.commit(todos.add, self.current_user, int(list_id), *titles, field=field)
        self.see_other(self.reverse_url("list", list_id))


class FilterHandler(TodoPageHandler):
    """A list, under one of its filters."""

    async def get(self, list_id: str, shown: str) -> None:
        """Show the active or the completed todos."""
        await self.show_asked(list_id, shown)


class RenameListHandler(TodoPageHandler):
    """The name of a list."""

    @form
    async def post(self, list_id: str) -> None:
        """Give it another one."""
        await self.commit(lists.rename, self.current_user, int(list_id), self.field("name"))
        self.see_other(self.reverse_url("list", list_id))


class ListVerbHandler(PageHandler):
    """What is done to a whole list by a single button."""

    async def post(self, list_id: str, verb: str) -> None:
        """Do it. Who deletes a list goes to the page of all, where it can be restored."""
        given = [self.truth_field("completed")] if verb == "toggle-all" else []
        await self.commit(LIST_VERBS[verb], self.current_user, int(list_id), *given)
        there = verb != "delete"
        self.see_other(self.reverse_url("list", list_id) if there else self.reverse_url("lists"))


class TodoHandler(TodoPageHandler):
    """One todo in full."""

    async def get(self, todo_id: str) -> None:
        """Show it on a page of its own."""
        await self.show_todo(int(todo_id))

    async def show_todo(self, todo_id: int) -> None:
        """Draw its page, with its notes."""
        seen, todo = await self.read(todos.find, self.current_user, todo_id)
        self.render("todos/todo.html", list=seen, todo=todo, writable=seen.may("editor"))

    async def show(self, todo_id: str) -> None:
        """Draw the page again that a refused form came from: its own, or its list, the row open."""
        if "notes" in self.typed:
            await self.show_todo(int(todo_id))
        else:
            seen, _ = await self.read(todos.find, self.current_user, int(todo_id))
            await self.show_list(seen.id, self.shown_before(), int(todo_id))

    @form
    async def post(self, todo_id: str) -> None:
        """Give it another title, and other notes if there are any; an empty title deletes it."""
        title, notes = self.field("title"), self.typed.get("notes")
        if text.blank(title):
            list_id = await self.commit(todos.delete, self.current_user, int(todo_id), notes)
        else:
            todo = await self.commit(todos.edit, self.current_user, int(todo_id), title, notes)
            list_id = todo["list"]
        self.see_other(self.reverse_url("list", list_id))


class VerbHandler(PageHandler):
    """What is done to one todo by a single button."""

    async def post(self, todo_id: str, verb: str) -> None:
        """Do it; `after` says after which todo it is moved, and is empty for the top."""
        given = [self.id_field("after")] if verb == "move" else []
        list_id = await self.commit(VERBS[verb], self.current_user, int(todo_id), *given)
        self.see_other(self.reverse_url("list", list_id))
