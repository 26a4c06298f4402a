"""A todo's own page, with its notes. Two who have it open undo nothing of each other's."""

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


class TodoPageHandler(RenameHandler):
    async def get(self, todo_id: str) -> None:
        await self.show_todo(int(todo_id))

    async def show_todo(self, todo_id: int) -> None:
        access, todo, people, title = await self.app.read(read_todo, self.current_user, todo_id)
        # What the form holds; after a conflict, what was changed in it and all else as it is now.
        form = todo | {"seen": todo["version"]} | getattr(self.error, "mine", self.typed)
        values = {"list": access, "todo": todo, "people": people, "title": title, "form": form}
        values["theirs"] = getattr(self.error, "theirs", {})
        self.render("todo_page/todo.html", **values, writable=access.may("change"))

    async def show(self, todo_id: str) -> None:
        """Show the page again that a refused form came from: its own, or its list, the row open."""
        if self.typed.keys() & {"seen", "notes"}:
            await self.show_todo(int(todo_id))
        else:
            await super().show(todo_id)

    @redisplay_if_invalid
    async def post(self, todo_id: str) -> None:
        """Store the fields that are sent, but not those that are to `keep` what others wrote."""
        names = todos.FIELDS.keys() & self.typed.keys() - {"completed", "order"}
        typed = {name: self.typed[name] for name in names - {*self.field("keep").split()}}
        args = self.current_user, int(todo_id), typed, self.id_field("seen")
        self.see_other("list", await self.commit(todo_page.save, *args))
