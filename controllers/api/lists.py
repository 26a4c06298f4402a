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
    @operation(200, "[List]")
    async def get(self) -> None:
        """My lists, in my order"""
        rows, digest = await self.app.lookups(lists.all_with_digest, self.current_user)
        if not self.not_modified(digest):
            await self.send_slice([list_object(access) for access in rows])

    @operation(201, "List", "name", "name")
    async def post(self) -> None:
        """Create a list"""

        def create(name: str) -> dict[str, Any]:
            list_id = lists.create(self.current_user, name)
            return list_object(lists.get_for(self.current_user, list_id))

        await self.send_created(await self.commit(create, **self.body))


class ListHandler(OfListHandler):
    """One list. Its ETag differs by role, as what it shows does."""

    def current_state(self) -> tuple[object, dict[str, Any]]:
        access = lists.get_for(self.current_user, self.list_id)
        return f"{access.version}-{access.role}", list_object(access)

    @operation(200, "List")
    async def get(self, list_id: str) -> None:
        """A list"""
        version, thing = await self.app.read(self.current_state)
        if not self.not_modified(version):
            await self.send_json(self.encode(thing))

    @operation(200, "List", "name")
    async def patch(self, list_id: str) -> None:
        """Rename a list"""

        def rename() -> dict[str, Any]:
            if "name" in self.body:
                lists.rename(self.current_user, self.list_id, self.body["name"])
            return list_object(lists.get_for(self.current_user, self.list_id, "rename"))

        thing = await self.commit(rename)
        self.set_header("ETag", f'"{thing["version"]}-{thing["role"]}"')
        await self.send_json(self.encode(thing))

    @operation(204)
    async def delete(self, list_id: str) -> None:
        """Move a list to the trash"""
        await self.commit(lists.delete, self.current_user, self.list_id)
