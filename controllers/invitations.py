"""Invitations: they are shown to who is invited, who accepts or declines, and to the owners."""

from controllers.base import PageHandler
from controllers.lists import ROLES
from models import invitations, lists


class AcceptHandler(PageHandler):
    """To decline is to leave, which the core knows."""

    async def post(self, list_id: str) -> None:
        await self.commit(invitations.accept, self.current_user, int(list_id))
        self.see_other("list", list_id)


async def notice(handler: PageHandler) -> bytes:
    """Return how many invitations wait for the reader, for the top of each page."""
    waiting = await handler.app.lookups(invitations.waiting, handler.current_user)
    if not waiting:
        return b""
    return handler.render_string("invitations/notice.html", count=len(waiting))


async def draw(handler: PageHandler) -> bytes:
    """Return the invitations, for the page of all lists."""
    waiting = await handler.app.lookups(invitations.waiting, handler.current_user)
    return handler.render_string("invitations/waiting.html", waiting=waiting, roles=ROLES)


async def draw_pending(handler: PageHandler, access: lists.ListAccess) -> bytes:
    """Return who is invited to a list, for the page of its members."""
    people = await handler.app.read(invitations.pending, access.id)
    values = {"people": people, "roles": ROLES, "owned": access.may("share")}
    return handler.render_string("invitations/pending.html", list=access, **values)
