"""API tokens, in the API."""

from controllers.api.base import ApiHandler, operation
from controllers.api.schema import FIELDS, ID, INSTANT, OBJECTS, ApiError, text
from models import api_tokens, users
from models.text import N_

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
        self.send_slice(await self.read(api_tokens.mine, self.current_user))

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
        self.send_created(token, f"{self.base}/api/tokens/{token['id']}")


class TokenHandler(ApiHandler):
    @operation(204)
    async def delete(self, token_id: str) -> None:
        """Revoke a token"""
        await self.app.write(api_tokens.delete, self.current_user, int(token_id))
        self.app.hub.recheck_access(self.current_user)
