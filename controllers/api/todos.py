"""Todos, in the API."""

from functools import partial
from typing import Any

from controllers.api.base import PAGE_LIMIT, START, ApiHandler, OfListHandler, operation
from controllers.api.schema import FIELDS, ID, INSTANT, OBJECTS, SAFE_INTEGER, URL, or_null, text
from models import api_resources, lists, todos
from models.errors import Invalid

FIELDS |= {
    "title": text(todos.TITLE_LIMIT),
    "notes": text(todos.NOTES_LIMIT, 0),
    "completed": {"type": "boolean"},
    "order": {"type": "number", "minimum": -SAFE_INTEGER, "maximum": SAFE_INTEGER},
    "list": ID,
    "due": or_null(text(10, 0) | {"examples": ["2026-12-31"]}),
    "due_time": or_null(text(5, 0) | {"examples": ["09:30"]}),
    "due_zone": or_null(text(64, 0) | {"examples": ["Europe/Lisbon"]}),
    "repeat": or_null(text(255, 0) | {"examples": ["FREQ=WEEKLY;BYDAY=MO"]}),
    "repeat_from": or_null(text(4, 0) | {"examples": ["due", "done"]}),
    "assigned": or_null(text(40, 0)),
}
EDITED = "title notes completed order assigned due due_time due_zone repeat repeat_from"
OBJECTS["Todo"] = {
    "id": ID,
    "list": ID,
    **{name: FIELDS[name] for name in EDITED.split()},
    "completed_at": or_null(INSTANT),
    "created": INSTANT,
    "updated": INSTANT,
    "version": ID,
    "url": URL,
}


def cleared(body: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a body, empty where they are null: that clears them."""
    return {name: "" if value is None else value for name, value in body.items()}


class TodosHandler(OfListHandler):
    @operation(200, "[Todo]")
    async def get(self, *args: str) -> None:
        """The todos of a list, in its order"""
        access = await self.access()
        if self.not_modified(f"{access.id}-{access.version}"):
            return
        cursor, limit = self.cursor(), self.limit()
        draw = partial(self.draw, access.id, cursor, limit)
        if (cursor, limit) == (START, PAGE_LIMIT):  # what most programs ask for is cached
            protocol, host = self.request.protocol, self.request.host
            key = (access.id, access.version, "api", protocol, host)
            found = await self.app.render_cache.get_or_render(key, lambda: self.app.read(draw))
        else:
            found = await self.app.read(draw)
        cursor_after, _, page = found.partition(b"\n")
        await self.send_page(page, cursor_after.decode())

    def draw(self, list_id: int, cursor: tuple[float, int], limit: int) -> bytes:
        """Return the cursor of the next page, and after a line end this one as JSON."""
        rows = api_resources.todos_after(self.current_user, list_id, cursor, limit + 1)
        if len(rows) <= limit:
            return b"\n" + self.encode(rows)
        cursor_after = self.cursor_after(rows[limit - 1]["order"], rows[limit - 1]["id"])
        return cursor_after.encode() + b"\n" + self.encode(rows[:limit])

    @operation(201, "Todo", f"{EDITED} list", "title")
    async def post(self, *args: str) -> None:
        """Add a todo"""
        list_id = self.body.pop("list", self.list_id)
        if args and list_id != self.list_id:
            raise Invalid("list", "This isn't the list in the URL.")
        self.list_id = list_id
        await self.send_created(await self.commit(self.add, self.body))

    def add(self, todo: dict[str, Any]) -> dict[str, Any]:
        """Add it and return it; a unit of work."""
        access = lists.get_for(self.current_user, self.list_id, "change")
        return todos.insert(self.current_user, access, [cleared(todo)])[0]


class FirstTodosHandler(TodosHandler):
    """The todos of my first list, by the conventions of Todo-Backend."""

    @operation(204)
    async def delete(self) -> None:
        """Move every todo of my first list to the trash"""
        await self.commit(api_resources.delete_todos, self.current_user, self.list_id)


class OfTodoHandler(ApiHandler):
    versioned = True

    def current_state(self, action: str = "read") -> tuple[object, dict[str, Any]]:
        _, todo = todos.find(self.current_user, int(self.path_args[0]), action)
        return todo["version"], todos.described([todo])[0]

    async def send_changed(self, thing: dict[str, Any]) -> None:
        self.set_header("ETag", f'"{thing["version"]}"')
        await self.send_json(self.encode(thing))


class TodoHandler(OfTodoHandler):
    @operation(200, "Todo")
    async def get(self, todo_id: str) -> None:
        """A todo"""
        await self.send_state()

    @operation(200, "Todo", EDITED)
    async def patch(self, todo_id: str) -> None:
        """Update a todo"""
        fields = cleared(self.body)
        thing = await self.commit(todos.edit, self.current_user, int(todo_id), **fields)
        await self.send_changed(thing)

    @operation(204)
    async def delete(self, todo_id: str) -> None:
        """Move a todo to the trash"""
        await self.commit(todos.delete, self.current_user, int(todo_id))
