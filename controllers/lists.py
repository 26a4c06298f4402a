"""The lists a person may read, making them, and sharing them."""

from collections.abc import Callable

from controllers.base import PageHandler, T, redisplay_if_invalid
from models import invites, lists, members, users
from models.text import N_

ROLES = {"editor": N_("Can edit"), "viewer": N_("Can view"), "owner": N_("Owner")}


class HomeHandler(PageHandler):
    """The front page: a person's first list."""

    public = True

    async def get(self) -> None:
        """Lead on: to the first list, to /lists when there is none, or to log in."""
        if self.current_user is None:
            self.ask_to_log_in(303)
            return
        mine = await self.lookup(lists.mine, self.current_user)
        place = self.reverse_url("list", mine[0].id) if mine else self.reverse_url("lists")
        self.redirect(place, status=303)


class ListsHandler(PageHandler):
    """All my lists."""

    async def get(self) -> None:
        """Show them."""
        await self.show()

    async def show(self) -> None:
        """Draw them, each with what is left to do, and those that can be brought back."""
        mine = await self.lookup(lists.mine, self.current_user)
        trash = await self.read(lists.trash, self.current_user)
        self.render("lists/index.html", lists=mine, trash=trash)

    @redisplay_if_invalid
    async def post(self) -> None:
        """Make another one and go to it."""
        made = await self.commit(lists.create, self.current_user, self.field("name"))
        self.see_other("list", made)


class MembersHandler(PageHandler):
    """Who shares a list."""

    async def get(self, list_id: str) -> None:
        """Show them."""
        await self.show(list_id)

    async def show(self, list_id: str, link: str = "") -> None:
        """Draw them, with what an owner may change, and a `link` that is shown this once."""
        seen, people = await self.read(members.every, self.current_user, int(list_id))
        links = await self.read(invites.invites, seen.id) if seen.may("share") else []
        values = {"owned": seen.may("share"), "roles": ROLES, "links": links, "link": link}
        saved = "saved" in self.request.query_arguments
        self.render("lists/members.html", list=seen, people=people, saved=saved, **values)

    @redisplay_if_invalid
    async def post(self, list_id: str) -> None:
        """Share the list with someone, or give them another role."""
        username, role = self.field("username"), self.field("role")
        await self.commit(members.put, self.current_user, int(list_id), username, role)
        self.see_other("members", list_id, saved=True)


class RemoveHandler(PageHandler):
    """Someone's place in a list, by the one who gave it or the one who has it."""

    async def post(self, list_id: str, username: str | None = None) -> None:
        """Share the list with them no more; without a name, leave it."""
        person = self.current_user
        await self.commit(members.remove, person, int(list_id), username or person.username)
        if username and users.fold(username) != person.username:
            self.see_other("members", list_id)
        else:
            self.see_other("lists")


class InvitesHandler(MembersHandler):
    """Links by which others come into a list."""

    def once(self, work: Callable[[], T]) -> Callable[[], T]:
        """Make another one each time: what is answered must not be noted anywhere."""
        return work

    @redisplay_if_invalid
    async def post(self, list_id: str) -> None:
        """Make one, and show it; only its hash is kept."""
        role = self.field("link")
        key = await self.commit(invites.invite, self.current_user, int(list_id), role)
        self.set_status(201)
        await self.show(list_id, f"{self.base}{self.reverse_url('join', key)}")


class RevokeHandler(PageHandler):
    """A link that shall let in nobody else."""

    async def post(self, list_id: str, invite_id: str) -> None:
        """End it."""
        await self.commit(invites.revoke, self.current_user, int(list_id), int(invite_id))
        self.see_other("members", list_id)


class JoinHandler(PageHandler):
    """The other end of a link."""

    async def get(self, key: str) -> None:
        """Say where it leads."""
        led = await self.read(invites.invited, key)
        self.render("lists/join.html", led=led)

    async def post(self, key: str) -> None:
        """Come in."""
        list_id = await self.commit(invites.join, self.current_user, key)
        self.see_other("list", list_id)
