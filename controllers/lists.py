"""The lists a person may read, making them, and sharing them."""

from collections.abc import Awaitable, Callable
from typing import Any

from controllers.base import FormHandler, PageHandler, redisplay_if_invalid
from models import lists, members, users
from models.text import N_

ROLES = {"editor": N_("Can edit"), "viewer": N_("Can view"), "owner": N_("Owner")}
# HTML that extras add to the page of members; `extras.py` fills it.
MEMBERS_PARTS: list[Callable[[Any, lists.ListAccess], Awaitable[bytes]]] = []
LISTS_PARTS: list[Callable[[Any], Awaitable[bytes]]] = []  # and to the page of all lists


class HomeHandler(PageHandler):
    """The front page: a person's first list."""

    public = True

    async def get(self) -> None:
        """Lead on: to the first list, to /lists when there is none, or to log in."""
        if self.current_user is None:
            self.ask_to_log_in(303)
            return
        mine = await self.app.lookups(lists.mine, self.current_user)
        place = self.reverse_url("list", mine[0].id) if mine else self.reverse_url("lists")
        self.redirect(place, status=303)


class ListsHandler(FormHandler):
    async def show(self) -> None:
        """Show them, each with what is left to do, and those that can be restored."""
        mine = await self.app.lookups(lists.mine, self.current_user)
        trash = await self.app.read(lists.trash, self.current_user)
        parts = [await draw(self) for draw in LISTS_PARTS]
        self.render("lists/index.html", lists=mine, trash=trash, parts=parts)

    @redisplay_if_invalid
    async def post(self) -> None:
        made = await self.commit(lists.create, self.current_user, self.field("name"))
        self.see_other("list", made)


class MembersHandler(FormHandler):
    async def show(self, list_id: str) -> None:
        access, people = await self.app.read(members.every, self.current_user, int(list_id))
        parts = [await draw(self, access) for draw in MEMBERS_PARTS]
        values = {"owned": access.may("share"), "roles": ROLES, "parts": parts}
        self.render("lists/members.html", list=access, people=people, **values)

    @redisplay_if_invalid
    async def post(self, list_id: str) -> None:
        """Share the list with someone, or give them another role."""
        username, role = self.field("username"), self.field("role")
        await self.commit(members.put, self.current_user, int(list_id), username, role)
        self.see_other("members", list_id, saved=True)


class RemoveHandler(PageHandler):
    async def post(self, list_id: str, username: str | None = None) -> None:
        """Remove them; without a name, leave the list."""
        person = self.current_user
        await self.commit(members.remove, person, int(list_id), username or person.username)
        if username and users.fold(username) != person.username:
            self.see_other("members", list_id)
        else:
            self.see_other("lists")
