"""Members of a list, in the API."""

from controllers.api.base import ApiHandler, OfListHandler, operation
from controllers.api.schema import FIELDS, OBJECTS, text
from models import lists, members
from models.tables import Person

OBJECTS["Member"] = {
    "username": text(40),
    "role": FIELDS["role"],
    "invited": {"type": "boolean"},
}
NOT_INVITED = {"invited": False}


def everyone(person: Person, list_id: int) -> tuple[lists.ListAccess, list[lists.Described]]:
    """Return what `members.every` does, and then who is invited."""
    access, rows = members.every(person, list_id)
    invited = [row for each in members.INVITATIONS for row in each.pending(list_id)]
    return access, [NOT_INVITED | row for row in rows] + invited


class MembersHandler(OfListHandler):
    @operation(200, "[Member]")
    async def get(self, list_id: str) -> None:
        """The members of a list"""
        access, rows = await self.app.read(everyone, self.current_user, self.list_id)
        if not self.not_modified(f"{access.id}-{access.version}"):
            await self.send_slice(rows)

    @operation(201, "Member", "username role", "username role")
    async def post(self, list_id: str) -> None:
        """Add or invite someone, or change a role"""
        member = await self.commit(members.put, self.current_user, self.list_id, **self.body)
        url = f"{self.base}{self.request.path}/{member['username']}"
        await self.send_created(NOT_INVITED | member, url)


class MemberHandler(OfListHandler):
    @operation(204)
    async def delete(self, list_id: str, username: str) -> None:
        """Remove a member, or end an invitation; your own name leaves the list"""
        await self.commit(members.remove, self.current_user, self.list_id, username)


class LeaveHandler(ApiHandler):
    @operation(204)
    async def post(self, list_id: str) -> None:
        """Leave a list, or decline an invitation to it"""
        person = self.current_user
        await self.commit(members.remove, person, int(list_id), person.username)
