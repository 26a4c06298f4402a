"""Accepting an invitation, in the API; to decline one is to leave the list."""

from typing import Any

from controllers.api.base import ApiHandler, list_object, operation
from models import invitations, lists


class AcceptHandler(ApiHandler):
    @operation(201, "List")
    async def post(self, list_id: str) -> None:
        """Accept an invitation to a list"""

        def accept() -> dict[str, Any]:
            invitations.accept(self.current_user, int(list_id))
            return list_object(lists.get_for(self.current_user, int(list_id)))

        await self.send_created(await self.commit(accept))
