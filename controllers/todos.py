"""Todos: a list under its filters, a todo's own page, and the forms on them."""

from collections.abc import Callable
from functools import partial

from controllers.base import ID, PageHandler, redisplay_if_invalid
from controllers.list_page import ListPageHandler, linked
from models import lists, members, text, todos, users
from models.tables import Person

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


def read_todo(
    person: Person, todo_id: int
) -> tuple[lists.ListAccess, todos.Columns, list[str], bytes]:
    """Return a todo and its list, the names of its members, and the HTML of its title."""
    access, todo = todos.find(person, todo_id)
    assigned = users.names({todo["assigned_to"]} if todo["assigned_to"] else set())
    people = [member["username"] for member in members.every(person, access.id)[1]]
    title = linked(todo["title"], todos.address_titles(access.id))
    return access, todo | {"assigned": assigned.get(todo["assigned_to"], "")}, people, title


class FilterHandler(ListPageHandler):
    async def get(self, list_id: str, shown: str = "all") -> None:
        """Show all its todos, the active or the completed ones, or those for the reader.

        `?edit=` opens a row, `?title=` is what was typed before logging in again.
        """
        edit = ""
        if self.request.query_arguments:
            edit = self.get_query_argument("edit", "")
            self.typed["title"] = self.get_query_argument("title", "")
        await self.show_list(int(list_id), shown, int(edit) if ID.fullmatch(edit) else 0)


class ListHandler(FilterHandler):
    @redisplay_if_invalid
    async def post(self, list_id: str) -> None:
        """Add a todo, or one for each of `lines`. Nothing typed adds nothing, and is no mistake."""
        lines = [self.field("title"), *self.field("lines").splitlines()]
        titles = [line for line in lines if not text.blank(line)]
        field = "lines" if self.field("lines") else "title"
        await self.commit(todos.add, self.current_user, int(list_id), *titles, field=field)
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
        given = [self.bool_field("completed")] if verb == "toggle-all" else []
        await self.commit(LIST_VERBS[verb], self.current_user, int(list_id), *given)
        if verb == "delete":
            self.see_other("lists")
        else:
            self.see_other("list", list_id)


class TodoHandler(ListPageHandler):
    async def get(self, todo_id: str) -> None:
        await self.show_todo(int(todo_id))

    async def show_todo(self, todo_id: int) -> None:
        access, todo, people, title = await self.app.read(read_todo, self.current_user, todo_id)
        values = {"list": access, "todo": todo, "people": people, "title": title}
        self.render("todos/todo.html", **values, writable=access.may("change"))

    async def show(self, todo_id: str) -> None:
        """Show the page again that a refused form came from: its own, or its list, the row open."""
        if "notes" in self.typed:
            await self.show_todo(int(todo_id))
        else:
            access, _ = await self.app.read(todos.find, self.current_user, int(todo_id))
            await self.show_list(access.id, self.shown_before(), int(todo_id))

    @redisplay_if_invalid
    async def post(self, todo_id: str) -> None:
        """Give it another title, and other notes if there are any; an empty title deletes it."""
        title, notes = self.field("title"), self.typed.get("notes")
        if text.blank(title):
            list_id = await self.commit(todos.delete, self.current_user, int(todo_id), notes)
        else:
            fields = {"title": title, "notes": notes, "assigned": self.typed.get("assigned")}
            todo = await self.commit(todos.edit, self.current_user, int(todo_id), **fields)
            list_id = todo["list"]
        self.see_other("list", list_id)


class VerbHandler(PageHandler):
    """What is done to one todo by a single button."""

    async def post(self, todo_id: str, verb: str) -> None:
        """Do it; `after` says after which todo it is moved, and is empty for the top."""
        given = [self.id_field("after")] if verb == "move" else []
        list_id = await self.commit(VERBS[verb], self.current_user, int(todo_id), *given)
        self.see_other("list", list_id)
