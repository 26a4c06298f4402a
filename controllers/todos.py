"""Todos: a list under its filters, and the forms on it."""

from collections.abc import Callable
from functools import partial
from typing import Any

from controllers.base import PageHandler, redisplay_if_invalid
from controllers.list_page import ListPageHandler
from models import lists, text, todos

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


class FilterHandler(ListPageHandler):
    async def get(self, list_id: str, shown: str = "all") -> None:
        """Show all its todos, the active or the completed ones, or those for the reader.

        `?edit=` opens a row, `?title=` is what was typed before logging in again.
        """
        if self.request.query_arguments:
            self.typed["title"] = self.get_query_argument("title", "")
        await self.show_list(int(list_id), shown, self.asked_row())


class ListHandler(FilterHandler):
    @redisplay_if_invalid
    async def post(self, list_id: str) -> None:
        """Add a todo, or one for each of `lines`. Nothing typed adds nothing, and is no mistake.

        Where only the reader's own are shown, it is theirs to do: it must not vanish.
        """
        lines = [self.field("title"), *self.field("lines").splitlines()]
        titles = [line for line in lines if not text.blank(line)]
        field = "lines" if self.field("lines") else "title"
        mine = self.shown_before() == "mine"
        args = self.current_user, int(list_id), *titles
        await self.commit(todos.add, *args, field=field, mine=mine)
        self.see_other("list", list_id)


class RenameListHandler(ListPageHandler):
    @redisplay_if_invalid
    async def post(self, list_id: str) -> None:
        await self.commit(lists.rename, self.current_user, int(list_id), self.field("name"))
        self.see_other("list", list_id)


class ListVerbHandler(PageHandler):
    """What is done to a whole list by a single button."""

    async def post(self, list_id: str, verb: str) -> None:
        """Do it. Who deletes a list goes to the page of all, where it can be restored."""
        given: list[Any] = [self.bool_field("completed")] if verb == "toggle-all" else []
        given += [self.field("shown") or "all"] if verb != "delete" else []
        await self.commit(LIST_VERBS[verb], self.current_user, int(list_id), *given)
        if verb == "delete":
            self.see_other("lists")
        else:
            self.see_other("list", list_id)


class RenameHandler(ListPageHandler):
    async def show(self, todo_id: str) -> None:
        """Show the list again that a refused form came from, with its row open."""
        access, _ = await self.app.read(todos.find, self.current_user, int(todo_id))
        await self.show_list(access.id, self.shown_before(), int(todo_id))

    @redisplay_if_invalid
    async def post(self, todo_id: str) -> None:
        """Give it another title; an empty one deletes it."""
        title = self.typed.get("title")
        if title is not None and text.blank(title):
            list_id = await self.commit(todos.delete, self.current_user, int(todo_id))
        else:
            todo = await self.commit(todos.edit, self.current_user, int(todo_id), title=title)
            list_id = todo["list"]
        self.see_other("list", list_id)


class VerbHandler(PageHandler):
    """What is done to one todo by a single button."""

    async def post(self, todo_id: str, verb: str) -> None:
        """Do it; `after` says after which todo it is moved, `due` for which day it is ticked."""
        given: list[Any] = [self.id_field("after")] if verb == "move" else []
        given += [True, self.field("due")] if verb == "complete" else []
        list_id = await self.commit(VERBS[verb], self.current_user, int(todo_id), *given)
        self.see_other("list", list_id)
