"""A list's page, a todo's own, and the forms on them: each a verb of the models."""

import time
from typing import Any

from controllers.base import ID, Kept, PageHandler, form
from models import history, lists, text, todos
from models.errors import Invalid, NotFound

VERBS = {
    "complete": todos.complete,
    "reopen": todos.reopen,
    "delete": todos.delete,
    "restore": todos.restore,
}


class TodoPageHandler(PageHandler):
    """What all of these share: the page of one list."""

    async def show_list(self, list_id: int, shown: str, editing: int = 0) -> None:
        """Draw it, or its rows alone for a script, or 304 when the script has them already.

        `shown` is one of todos.FILTERS, `editing` the todo whose row is open. What was drawn
        before is kept; whose lists they are and at which versions is looked up every time.
        """
        self.set_header("Vary", "X-Fragment")
        mine = lists.mine(self.current_user, self.look)
        seen = next((seen for seen in mine if seen.id == list_id), None)
        if seen is None:
            raise NotFound
        language, person = self.locale.code, self.current_user
        if self.fragment:
            self.etag = f'"{list_id}-{seen.version}-{shown}-{language}-{person.id}-{seen.role}"'
            self.set_header("ETag", self.etag)
            if self.request.headers.get("If-None-Match") == self.etag:
                self.set_status(304)
                return
        # After about an hour a page no longer offers to take back what its reader did last.
        key = (time.time() // 3600, language, person, shown, self.fragment, *mine, seen.id)
        plain = not (editing or self.error or self.request.query_arguments)
        kept: Kept = self.settings["kept"]
        parts = kept.get(key) if plain else None
        if parts is None:
            page = await self.draw(seen, mine, shown, editing)
            parts = page.split(self.xsrf_token)
            if plain:
                kept.put(key, parts)
        self.finish(self.xsrf_token.join(parts))

    async def draw(
        self, seen: lists.Seen, mine: list[lists.Seen], shown: str, editing: int
    ) -> bytes:
        """Return the page, or for a script the part of it that changes."""
        address = self.reverse_url("list", seen.id)
        place = {
            "list": seen,
            "shown": shown,
            "editing": editing,
            "back": address if shown == "all" else f"{address}/{shown}",
            "writable": seen.may("editor"),
        }
        rows = await self.rows(place)
        last = history.last(self.current_user, seen, self.look)
        said = self.render_string("todos/status.html", **place, last=last)
        if self.fragment:
            return said + rows
        return self.render_string("todos/page.html", **place, mine=mine, said=said, rows=rows)

    async def rows(self, place: dict[str, Any]) -> bytes:
        """Return the rows and what is counted below them, which all who read this list share."""
        kept: Kept = self.settings["kept"]
        seen, shown = place["list"], place["shown"]
        key = (seen.id, shown, self.locale.code, place["writable"])
        parts = kept.get((*key, seen.version))
        if parts and not place["editing"]:
            return parts[0]
        seen, rows = await self.read(todos.rows, self.current_user, seen.id, shown)
        html = self.render_string("todos/rows.html", **place | {"list": seen}, page=rows)
        if not place["editing"]:
            kept.put((*key, seen.version), [html])
        return html

    def compute_etag(self) -> str | None:
        """Return the version of what a script asks for; nothing is hashed."""
        return getattr(self, "etag", None)

    async def show(self, list_id: str) -> None:
        """Draw the list again for a form on it that was refused, as it was shown before."""
        await self.show_list(int(list_id), self.shown_before())

    def shown_before(self) -> str:
        """Return the filter of the page that a form came from."""
        name = self.field("back").rpartition("/")[2]
        return name if name in todos.FILTERS else "all"

    def asked_to_edit(self) -> int:
        """Return the todo that `?edit=` names, 0 for none."""
        asked = self.get_query_argument("edit", "")
        return int(asked) if ID.fullmatch(asked) else 0


class ListHandler(TodoPageHandler):
    """A list."""

    async def get(self, list_id: str) -> None:
        """Show all its todos; `?title=` is what was typed before logging in anew."""
        self.typed["title"] = self.get_query_argument("title", "")
        await self.show_list(int(list_id), "all", self.asked_to_edit())

    @form
    async def post(self, list_id: str) -> None:
        """Add a todo, or one for each of `lines`. Nothing typed adds nothing, and is no mistake."""
        lines = [self.field("title"), *self.field("lines").splitlines()]
        titles = [line for line in lines if not text.blank(line)]
        await self.commit(todos.add, self.current_user, int(list_id), *titles)
        self.see_other(self.reverse_url("list", list_id))


class FilterHandler(TodoPageHandler):
    """A list, under one of its filters."""

    async def get(self, list_id: str, shown: str) -> None:
        """Show the active or the completed todos."""
        await self.show_list(int(list_id), shown, self.asked_to_edit())


class RenameListHandler(TodoPageHandler):
    """The name of a list."""

    @form
    async def post(self, list_id: str) -> None:
        """Give it another one."""
        await self.commit(lists.rename, self.current_user, int(list_id), self.field("name"))
        self.see_other(self.reverse_url("list", list_id))


class DeleteListHandler(PageHandler):
    """A list that is no longer needed."""

    async def post(self, list_id: str) -> None:
        """Put it in the trash, which is on the page of all lists."""
        await self.commit(lists.delete, self.current_user, int(list_id))
        self.see_other(self.reverse_url("lists"))


class ToggleAllHandler(PageHandler):
    """All todos of a list at once."""

    async def post(self, list_id: str) -> None:
        """Complete or reopen them all, whatever the filter shows."""
        completed = {"true": True, "false": False}.get(self.field("completed"))
        if completed is None:
            raise Invalid("completed", "This must be true or false.")
        await self.commit(todos.complete_all, self.current_user, int(list_id), completed)
        self.see_other(self.reverse_url("list", list_id))


class ClearCompletedHandler(PageHandler):
    """The completed todos of a list."""

    async def post(self, list_id: str) -> None:
        """Put them in the trash."""
        await self.commit(todos.clear_completed, self.current_user, int(list_id))
        self.see_other(self.reverse_url("list", list_id))


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
            list_id = await self.commit(todos.delete, self.current_user, int(todo_id))
        else:
            list_id = await self.commit(todos.edit, self.current_user, int(todo_id), title, notes)
        self.see_other(self.reverse_url("list", list_id))


class VerbHandler(PageHandler):
    """What is done to one todo by a single button."""

    async def post(self, todo_id: str, verb: str) -> None:
        """Do it."""
        list_id = await self.commit(VERBS[verb], self.current_user, int(todo_id))
        self.see_other(self.reverse_url("list", list_id))


class MoveHandler(PageHandler):
    """The place of a todo among the others."""

    async def post(self, todo_id: str) -> None:
        """Put it after the todo that `after` names, or at the top when that is empty."""
        after = self.id_field("after")
        list_id = await self.commit(todos.move, self.current_user, int(todo_id), after)
        self.see_other(self.reverse_url("list", list_id))
