"""The pages where people create and revoke API tokens."""

from datetime import timedelta

from controllers.base import ID, PageHandler, redisplay_if_invalid
from models import api_tokens
from models.clock import instant, moment
from models.errors import Invalid

DAYS = (7, 30, 90, 365)  # after which a token may expire


class TokensHandler(PageHandler):
    """My tokens, and the form for a new one."""

    async def get(self) -> None:
        await self.show()

    async def show(self, token: str = "") -> None:
        """Draw them; `token` was just created and is shown this once."""
        rows = await self.read(api_tokens.mine, self.current_user)
        saved = "saved" in self.request.query_arguments and not self.error
        wrong = self.error.field if self.error else ""
        values = {"rows": rows, "made": token, "days": DAYS, "saved": saved, "wrong": wrong}
        self.render("api/tokens.html", **values)

    @redisplay_if_invalid
    async def post(self) -> None:
        """Create a token. The answer is no redirect, as it alone shows the token."""
        expires = self.field("expires")
        if expires and ID.fullmatch(expires) and int(expires) in DAYS:
            expires = instant(moment() + timedelta(days=int(expires)))
        values = (self.field("name"), self.field("scope") or "write", expires or None)
        if self.field("op"):
            raise Invalid("name", "Tokens can't be resubmitted.")
        token = await self.commit(api_tokens.create, self.current_user, *values)
        self.set_status(201)
        await self.show(token["token"])


class RevokeHandler(PageHandler):
    async def post(self, token_id: str) -> None:
        """Revoke it; streams that it opened end."""
        await self.commit(api_tokens.delete, self.current_user, int(token_id))
        self.app.hub.recheck_access(self.current_user)
        self.see_other("tokens", saved=True)
