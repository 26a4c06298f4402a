"""The lists a person may read, and making them."""

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
        mine = self.look(lists.mine, self.current_user)
        place = self.reverse_url("list", mine[0].id) if mine else self.reverse_url("lists")
        self.redirect(place, status=303)


class ListsHandler(PageHandler):
    """All my lists."""

    async def get(self) -> None:
        """Show them."""
        await self.show()

    async def show(self) -> None:
        """Draw them, each with what is left to do, and those that can be brought back."""
        mine = self.look(lists.mine, self.current_user)
        trash = await self.read(lists.trash, self.current_user)
        self.render("lists/index.html", lists=mine, trash=trash)

    @form
    async def post(self) -> None:
        """Make another one and go to it."""
        made = await self.commit(lists.create, self.current_user, self.field("name"))
        self.see_other(self.reverse_url("list", made))
