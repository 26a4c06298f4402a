"""API tokens, in the API, and the pages where people create and revoke them."""

from datetime import timedelta
from functools import partial

from controllers.account import AccountPageHandler
from controllers.api.base import ApiHandler, operation
from controllers.api.schema import FIELDS, ID, INSTANT, OBJECTS, ApiError, text
from controllers.base import PageHandler, redisplay_if_invalid
from models import accounts, api_tokens, users
from models.clock import instant, moment
from models.errors import Invalid
from models.text import N_

accounts.END_TOKENS[:] = [api_tokens.delete_all]
DAYS = (7, 30, 90, 365)  # after which a token may expire
OPTIONAL_INSTANT = {"type": ["string", "null"], "format": "date-time"}
FIELDS |= {
    "password": text(users.PASSWORD_LIMIT),
    "scope": {"type": "string", "enum": [*api_tokens.SCOPES]},
    "expires": OPTIONAL_INSTANT,
}
OBJECTS["Token"] = {
    "id": ID,
    "name": FIELDS["name"],
    "scope": FIELDS["scope"],
    "created": INSTANT,
    "last_used": OPTIONAL_INSTANT,
    "expires": OPTIONAL_INSTANT,
}
OBJECTS["NewToken"] = {"id": ID, "name": FIELDS["name"], "token": text(100)}


class TokensHandler(ApiHandler):
    open_methods = ("POST",)

    @operation(200, "[Token]")
    async def get(self) -> None:
        """My tokens, without their secrets"""
        await self.send_slice(await self.app.read(api_tokens.mine, self.current_user))

    @operation(201, "NewToken", "username password name scope expires", "username password name")
    async def post(self) -> None:
        """Create a token with username and password; it is shown once"""
        username, password = self.body.pop("username"), self.body.pop("password")
        person = await self.authenticate(username, password)
        if person is None:
            raise ApiError(403, "forbidden", N_("Wrong username or password."))
        token = await self.app.write(
            api_tokens.create, person, **self.body, stored=self.verified_hash
        )
        await self.send_created(token, f"{self.base}/api/tokens/{token['id']}")


class TokenHandler(ApiHandler):
    @operation(204)
    async def delete(self, token_id: str) -> None:
        """Revoke a token"""
        await self.app.write(api_tokens.delete, self.current_user, int(token_id))
        self.app.hub.recheck_access(self.current_user)


class TokensPageHandler(AccountPageHandler):
    async def show(self, token: str = "") -> None:
        """Draw them; `token` was just created and is shown this once."""
        rows = await self.app.read(api_tokens.mine, self.current_user)
        values = {"made": token, "days": DAYS, "ask": not await self.recently_logged_in()}
        self.render("api/tokens.html", rows=rows, **values)

    @redisplay_if_invalid
    async def post(self) -> None:
        """Create a token. The answer is no redirect, as it alone shows the token.

        What lasts longer than a session takes the password, as the session may be stolen.
        """
        expires = self.field("expires")
        if expires in map(str, DAYS):
            expires = instant(moment() + timedelta(days=int(expires)))
        values = (self.field("name"), self.field("scope") or "write", expires or None)
        if self.field("op"):
            raise Invalid("name", "Tokens can't be resubmitted.")
        await self.check_identity()
        stored = self.verified_hash
        person, key = self.current_user, self.session_key()
        make = partial(api_tokens.create, person, *values, stored)
        token = await self.commit(accounts.in_session, person, key, make)
        self.set_status(201)
        await self.show(token["token"])


class RevokePageHandler(PageHandler):
    async def post(self, token_id: str) -> None:
        """Revoke it; streams that it opened end."""
        await self.commit(api_tokens.delete, self.current_user, int(token_id))
        self.app.hub.recheck_access(self.current_user)
        self.see_other("tokens", saved=True)
