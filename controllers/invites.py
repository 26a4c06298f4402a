"""Invite links: anyone who has one may join the list."""

import re
from collections.abc import Callable

from controllers.base import PageHandler, T, redisplay_if_invalid
from controllers.lists import ROLES, MembersHandler
from models import invites, lists
from models.errors import NotFound

JOIN = re.compile(r"/join/([\w-]{22})")


class InvitesHandler(MembersHandler):
    link = ""  # the URL that was made just now; it is shown this once, as only its hash is stored

    def once(self, work: Callable[[], T]) -> Callable[[], T]:
        """Make another one each time: the answer must not be stored, as its repeats would be."""
        return work

    @redisplay_if_invalid
    async def post(self, list_id: str) -> None:
        role = self.field("link")
        key = await self.commit(invites.invite, self.current_user, int(list_id), role)
        self.link = f"{self.base}{self.reverse_url('join', key)}"
        self.set_status(201)
        await self.show(list_id)


class RevokeHandler(PageHandler):
    async def post(self, list_id: str, invite_id: str) -> None:
        await self.commit(invites.revoke, self.current_user, int(list_id), int(invite_id))
        self.see_other("members", list_id)


class JoinHandler(PageHandler):
    async def get(self, key: str) -> None:
        led = await self.app.read(invites.invited, key)
        self.render("invites/join.html", led=led)

    async def post(self, key: str) -> None:
        list_id = await self.commit(invites.join, self.current_user, key)
        self.see_other("list", list_id)


def admits(place: str) -> bool:
    """Return whether someone on the way to `place` has an invite link; a unit of work."""
    link = JOIN.fullmatch(place)
    try:
        return bool(link and invites.invited(link[1]))
    except NotFound:
        return False


async def draw(handler: MembersHandler, access: lists.ListAccess) -> bytes:
    """Return the links of a list for the page of its members; only owners see them."""
    if not access.may("share"):
        return b""
    links = await handler.app.read(invites.invites, access.id)
    values = {"roles": ROLES, "links": links, "link": getattr(handler, "link", "")}
    return handler.render_string("invites/links.html", list=access, **values)
