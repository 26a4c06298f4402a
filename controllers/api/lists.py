"""Lists, in the API."""

from typing import Any

from controllers.api.base import ApiHandler, OfListHandler, list_object, operation
from controllers.api.schema import FIELDS, ID, OBJECTS, URL
from models import lists

OBJECTS["List"] = {
    "id": ID,
    "name": FIELDS["name"],
    "role": FIELDS["role"],
    "version": ID,
    "open": {"type": "integer", "minimum": 0},
    "url": URL,
}


class ListsHandler(ApiHandler):
    """The lists of the token's owner."""

    @operation(200, "[List]")
    async def get(self) -> None:
        """My lists, in my order"""
        rows, digest = await self.lookup(lists.all_with_digest, self.current_user)
        if not self.not_modified(digest):
            self.send_slice([list_object(access) for access in rows])

    @operation(201, "List", "name", "name")
    async def post(self) -> None:
        """Create a list"""
        self.send_created(await self.commit(self.create, **self.body))

    def create(self, name: str) -> dict[str, Any]:
        """Create it and return it; a unit of work."""
        list_id = lists.create(self.current_user, name)
        return list_object(lists.get_for(self.current_user, list_id))


class ListHandler(OfListHandler):
    """One list. Its ETag differs by role, as what it shows does."""

    def current_state(self) -> tuple[object, dict[str, Any]]:
        """Return its version and the role, and itself."""
        access = lists.get_for(self.current_user, self.list_id)
        return f"{access.version}-{access.role}", list_object(access)

    @operation(200, "List")
    async def get(self, list_id: str) -> None:
        """A list"""
        version, thing = await self.read(self.current_state)
        if not self.not_modified(version):
            self.send_json(self.encode(thing))

    @operation(200, "List", "name")
    async def patch(self, list_id: str) -> None:
        """Rename a list"""
        thing = await self.commit(self.rename)
        self.set_header("ETag", f'"{thing["version"]}-{thing["role"]}"')
        self.send_json(self.encode(thing))

    def rename(self) -> dict[str, Any]:
        """Rename it and return it; a unit of work."""
        if "name" in self.body:
            lists.rename(self.current_user, self.list_id, self.body["name"])
        return list_object(lists.get_for(self.current_user, self.list_id, "rename"))

    @operation(204)
    async def delete(self, list_id: str) -> None:
        """Move a list to the trash"""
        await self.commit(lists.delete, self.current_user, self.list_id)
