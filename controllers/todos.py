"""A list's page, and the forms on it: each a verb of `models.todos` or `models.lists`."""

import re

from controllers.base import PageHandler, form
from models import lists, text, todos
from models.errors import Invalid

VERBS = {"complete": todos.complete, "reopen": todos.reopen, "delete": todos.delete}
EDIT = re.compile(r"[1-9][0-9]{0,17}")


class TodoPageHandler(PageHandler):
    """What all of these share: the page of one list."""

    async def show_list(self, list_id: int, shown: str, editing: int = 0) -> None:
        """Draw it. `shown` is one of todos.FILTERS, `editing` the todo whose row is open."""
        page = await self.read(todos.page, self.current_user, list_id, shown)
        address = self.reverse_url("list", list_id)
        self.render(
            "todos/page.html",
            page=page,
            writable=page.list.may("editor"),
            owned=page.list.may("owner"),
            shown=shown,
            editing=editing,
            back=address if shown == "all" else f"{address}/{shown}",
        )

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
        return int(asked) if EDIT.fullmatch(asked) else 0


class ListHandler(TodoPageHandler):
    """A list."""

    async def get(self, list_id: str) -> None:
        """Show all its todos."""
        await self.show_list(int(list_id), "all", self.asked_to_edit())

    @form
    async def post(self, list_id: str) -> None:
        """Add a todo. Nothing typed adds nothing, and is no mistake either."""
        title = self.field("title")
        if not text.blank(title):
            await self.commit(todos.add, self.current_user, int(list_id), title)
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


class ToggleAllHandler(TodoPageHandler):
    """All todos of a list at once."""

    async def post(self, list_id: str) -> None:
        """Complete or reopen them all, whatever the filter shows."""
        completed = {"true": True, "false": False}.get(self.field("completed"))
        if completed is None:
            raise Invalid("completed", "This is either true or false.")
        await self.commit(todos.complete_all, self.current_user, int(list_id), completed)
        self.see_other(self.reverse_url("list", list_id))


class ClearCompletedHandler(TodoPageHandler):
    """The completed todos of a list."""

    async def post(self, list_id: str) -> None:
        """Put them in the trash."""
        await self.commit(todos.clear_completed, self.current_user, int(list_id))
        self.see_other(self.reverse_url("list", list_id))


class TodoHandler(TodoPageHandler):
    """One todo."""

    async def show(self, todo_id: str) -> None:
        """Draw its list again with its row still open, for a title that was refused."""
        list_id = await self.read(todos.list_of, self.current_user, int(todo_id))
        await self.show_list(list_id, self.shown_before(), int(todo_id))

    @form
    async def post(self, todo_id: str) -> None:
        """Give it another title; an empty one deletes it."""
        title = self.field("title")
        if not text.blank(title):
            list_id = await self.commit(todos.rename, self.current_user, int(todo_id), title)
        else:
            list_id = await self.commit(todos.delete, self.current_user, int(todo_id))
        self.see_other(self.reverse_url("list", list_id))


class VerbHandler(PageHandler):
    """What is done to one todo by a single button."""

    async def post(self, todo_id: str, verb: str) -> None:
        """Do it."""
        list_id = await self.commit(VERBS[verb], self.current_user, int(todo_id))
        self.see_other(self.reverse_url("list", list_id))
