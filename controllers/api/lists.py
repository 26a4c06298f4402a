"""Lists, in the API."""

from typing import Any

from controllers.api.base import ApiHandler, OfListHandler, list_object, operation
from controllers.api.schema import FIELDS, ID, OBJECTS, URL
from models import lists, members
from models.sessions import hash_of

OBJECTS["List"] = {
    "id": ID,
    "name": FIELDS["name"],
    "role": FIELDS["role"],
    "version": ID,
    "open": {"type": "integer", "minimum": 0},
    "url": URL,
    "invited": {"type": "boolean"},
}


class ListsHandler(ApiHandler):
    @operation(200, "[List]")
    async def get(self) -> None:
        """My lists, in my order, and those that I am invited to"""
        rows, digest = await self.app.lookups(lists.all_with_digest, self.current_user)
        extra = [each.waiting for each in members.INVITATIONS]
        more = [await self.app.lookups(waiting, self.current_user) for waiting in extra]
        invited = [access for found in more for access, _ in found]
        if not self.not_modified(f"{digest}-{hash_of(repr(invited))[:16]}" if invited else digest):
            mine = [list_object(access) for access in rows]
            await self.send_slice(mine + [list_object(access, invited=True) for access in invited])

    @operation(201, "List", "name", "name")
    async def post(self) -> None:
        """Create a list"""

        def create(name: str) -> dict[str, Any]:
            list_id = lists.create(self.current_user, name)
            return list_object(lists.get_for(self.current_user, list_id))

        await self.send_created(await self.commit(create, **self.body))


class ListHandler(OfListHandler):
    """One list. Its ETag differs by role, as what it shows does."""

    def current_state(self, action: str = "read") -> tuple[object, dict[str, Any]]:
        access = lists.get_for(self.current_user, self.list_id, action)
        return f"{access.version}-{access.role}", list_object(access)

    @operation(200, "List")
    async def get(self, list_id: str) -> None:
        """A list"""
        await self.send_state()

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
