"""The lists a person may read, and making and naming them."""

from controllers.base import PageHandler, form
from models import lists


class HomeHandler(PageHandler):
    """The front page: a person's first list."""

    public = True

    async def get(self) -> None:
        """Lead on: to the first list, to /lists when there is none, or to log in."""
        if self.current_user is None:
            self.ask_to_log_in(303)
            return
        mine = await self.read(lists.mine, self.current_user)
        place = self.reverse_url("list", mine[0].id) if mine else self.reverse_url("lists")
        self.redirect(place, status=303)


class ListsHandler(PageHandler):
    """All my lists."""

    async def get(self) -> None:
        """Show them."""
        await self.show()

    async def show(self) -> None:
        """Draw them, each with what is left to do."""
        self.render("lists/index.html", lists=await self.read(lists.mine, self.current_user))

    @form
    async def post(self) -> None:
        """Make another one and go to it."""
        made = await self.commit(lists.create, self.current_user, self.field("name"))
        self.see_other(self.reverse_url("list", made))
