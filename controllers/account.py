"""How someone likes their pages."""

from controllers.base import PageHandler, form
from models import users


class AccountHandler(PageHandler):
    """The language, whether single keys do something, and whether others see where one is."""

    async def get(self) -> None:
        """Show the form."""
        await self.show()

    async def show(self) -> None:
        """Draw it, filled in."""
        saved = "saved" in self.request.query_arguments
        self.render("account/index.html", languages=users.LANGUAGES.items(), saved=saved)

    @form
    async def post(self) -> None:
        """Keep what was chosen."""
        switches = bool(self.field("shortcuts")), bool(self.field("presence"))
        await self.commit(users.prefer, self.current_user, self.field("language"), *switches)
        self.see_other(self.reverse_url("account") + "?saved=1")
