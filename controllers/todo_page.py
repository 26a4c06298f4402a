"""A todo's own page, with its notes. Two who have it open undo nothing of each other's."""

from collections.abc import Callable
from typing import Any

from controllers.base import redisplay_if_invalid
from controllers.links import linked
from controllers.todos import RenameHandler
from models import addresses, lists, members, todo_page, todos, users
from models.tables import Person


def read_todo(
    person: Person, todo_id: int
) -> tuple[lists.ListAccess, todos.Columns, list[str], bytes]:
    """Return a todo and its list, the names of its members, and the HTML of its title."""
    access, todo = todos.find(person, todo_id)
    assigned = users.names({todo["assigned_to"]} if todo["assigned_to"] else set())
    people = [member["username"] for member in members.every(person, access.id)[1]]
    title = linked(todo["title"], addresses.titles(access.id))
    return access, todo | {"assigned": assigned.get(todo["assigned_to"], "")}, people, title


# What extras add to the form: HTML, given what it holds (nothing for who may only read) and the
# columns of the todo as it would be; and the fields that they make of what was typed there.
PARTS: list[Callable[[Any, dict[str, Any], todos.Columns], bytes]] = []
READ: list[Callable[[Any, dict[str, str]], dict[str, str]]] = []


def preview(person: Person, todo_id: int, typed: dict[str, str]) -> todos.Columns:
    """Return the columns that a todo would have. Raises NotFound, Forbidden, Invalid."""
    access, todo = todos.find(person, todo_id)  # and no lock, as nothing is written
    lists.require(access, "change")
    return todo | todos.changed(person, todo, typed)[0]


class TodoPageHandler(RenameHandler):
    async def get(self, todo_id: str) -> None:
        await self.show_todo(int(todo_id))

    async def show_todo(self, todo_id: int, columns: todos.Columns | None = None) -> None:
        access, todo, people, title = await self.app.read(read_todo, self.current_user, todo_id)
        # What the form holds; after a conflict, what was changed in it and all else as it is now.
        form = todo | {"seen": todo["version"]} | getattr(self.error, "mine", self.typed)
        values: dict[str, Any] = {
            "list": access,
            "todo": todo,
            "people": people,
            "title": title,
            "form": form,
        }
        values["theirs"] = getattr(self.error, "theirs", {})
        writable = access.may("change")
        values["parts"] = [draw(self, form if writable else {}, columns or todo) for draw in PARTS]
        self.render("todo_page/todo.html", **values, writable=writable)

    async def show(self, todo_id: str) -> None:
        """Show the page again that a refused form came from: its own, or its list, the row open."""
        if self.typed.keys() & {"seen", "notes"}:
            await self.show_todo(int(todo_id))
        else:
            await super().show(todo_id)

    @redisplay_if_invalid
    async def post(self, todo_id: str) -> None:
        """Store the fields that are sent, but not those that are to `keep` what others wrote."""
        read = self.typed
        for each in READ:
            read = each(self, read)
        names = todos.FIELDS.keys() & read.keys() - {"completed", "completed_at", "order"}
        typed = {name: read[name] for name in names - {*self.field("keep").split()}}
        if self.field("preview"):
            columns = await self.app.read(preview, self.current_user, int(todo_id), typed)
            await self.show_todo(int(todo_id), columns)
            return
        args = self.current_user, int(todo_id), typed, self.id_field("seen")
        self.see_other("list", await self.commit(todo_page.save, *args))
