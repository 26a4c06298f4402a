"""What people are told of others' attempts to log in as they."""

from controllers.base import FormHandler, PageHandler
from models import rate_limits


class AttemptsHandler(FormHandler):
    async def show(self) -> None:
        count = await self.app.lookups(rate_limits.failed, self.current_user)
        self.render("login_attempts/index.html", count=count)

    async def post(self) -> None:
        """Tell it no more."""
        await self.commit(rate_limits.told, self.current_user)
        self.see_other("home")


async def notice(handler: PageHandler) -> bytes:
    """Return how many attempts have failed, for the top of each page."""
    count = await handler.app.lookups(rate_limits.failed, handler.current_user)
    if not count:
        return b""
    return handler.render_string("login_attempts/notice.html", count=count)
