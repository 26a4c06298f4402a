"""A new password for someone who forgot theirs, by a link that `--reset_password` prints."""

from controllers.auth import AuthFormHandler
from controllers.base import redisplay_if_invalid
from models import password_resets, users


class ResetHandler(AuthFormHandler):
    async def get(self, key: str) -> None:  # type: ignore[override]
        await self.show(key)

    async def show(self, key: str) -> None:  # type: ignore[override]
        """Show it to the one for whom the link was made. Raises NotFound."""
        person = await self.app.read(password_resets.reset_owner, key)
        self.render("password_resets/reset.html", person=person)

    @redisplay_if_invalid
    async def post(self, key: str) -> None:
        person = await self.app.read(password_resets.reset_owner, key)
        words = self.field("new_password"), person.username
        hashed = await self.app.hash_pool.run(users.hash_password, *words)
        visit = hashed, self.browser(), self.session_key()
        made = await self.app.write(password_resets.reset_password, key, *visit)
        self.app.hub.recheck_access(person)
        self.start_session(made, person.username, hashed)
