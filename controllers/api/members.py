"""Members of a list, in the API."""

from controllers.api.base import OfListHandler, operation
from controllers.api.schema import FIELDS, OBJECTS, text
from models import members

OBJECTS["Member"] = {"username": text(40), "role": FIELDS["role"]}


class MembersHandler(OfListHandler):
    @operation(200, "[Member]")
    async def get(self, list_id: str) -> None:
        """The members of a list"""
        access, rows = await self.app.read(members.every, self.current_user, self.list_id)
        if not self.not_modified(f"{access.id}-{access.version}"):
            await self.send_slice(rows)

    @operation(201, "Member", "username role", "username role")
    async def post(self, list_id: str) -> None:
        """Add a member, or change their role"""
        member = await self.commit(members.put, self.current_user, self.list_id, **self.body)
        await self.send_created(member, f"{self.base}{self.request.path}/{member['username']}")


class MemberHandler(OfListHandler):
    @operation(204)
    async def delete(self, list_id: str, username: str) -> None:
        """Remove a member; your own name leaves the list"""
        await self.commit(members.remove, self.current_user, self.list_id, username)
