"""An account: how someone likes their pages, their password, sessions and tokens, and its end."""

from datetime import timedelta
from typing import Any

from controllers.base import ID, PageHandler, redisplay_if_invalid
from models import account_closing, api_tokens, identities, sessions, users
from models.clock import instant, moment
from models.errors import Invalid, WrongPassword
from models.text import N_

SYSTEMS = ("Android", "iPhone", "iPad", "Windows", "Macintosh", "CrOS", "Linux")
BROWSERS = ("Firefox", "Edg", "OPR", "Chrome", "Safari", "curl", "python-requests")
DAYS = (7, 30, 90, 365)
NOT_YOURS = N_("Wrong password. If you have none, log out, log in again, and come back here.")


class AccountPageHandler(PageHandler):
    """What the pages of an account share."""

    async def get(self) -> None:
        """Show the form."""
        await self.show()

    async def show(self) -> None:
        """Draw it."""
        raise NotImplementedError

    async def check_password(self) -> None:
        """Raise WrongPassword unless the form has the password of this account; each try counts.

        Who has none, as they come by single sign-on, must have come a moment ago.
        """
        person, password = self.current_user, self.field("current_password")
        if await self.read(sessions.recently_logged_in, person, self.session_key()):
            return
        if not password or await self.authenticate(person.username, password) is None:
            raise WrongPassword("current_password", NOT_YOURS)

    def draw(self, template: str, **values: Any) -> None:
        """Draw a page."""
        done = "saved" in self.request.query_arguments and not self.error
        wrong = self.error.field if self.error else ""
        self.render(f"account/{template}.html", saved=done, wrong=wrong, **values)


class AccountHandler(AccountPageHandler):
    """The e-mail address, the language, and what can be switched."""

    async def show(self) -> None:
        """Draw the form, filled in."""
        email = await self.read(users.email_of, self.current_user)
        linked = await self.read(identities.mine, self.current_user)
        values = {"languages": users.LANGUAGES.items(), "email": email, "linked": linked}
        self.draw("index", **values, sso=self.app.config.sso_name)

    @redisplay_if_invalid
    async def post(self) -> None:
        """Keep what was chosen; another address takes the password (ASVS 6.3.7)."""
        person, email = self.current_user, self.typed.get("email")
        known = await self.read(users.email_of, person)
        another = email is not None and email.strip() != known
        if another:
            users.clean_email(email or "")
            await self.check_password()
        switches = {name: bool(self.field(name)) for name in users.SWITCHES}
        await self.commit(users.prefer, person, self.field("language"), **switches)
        if another:
            await self.app.write(users.set_email, person, email or "", self.verified_hash)
        self.see_other("account", saved=True)


class PasswordHandler(AccountPageHandler):
    """The password."""

    async def show(self) -> None:
        """Draw the form."""
        self.draw("password")

    @redisplay_if_invalid
    async def post(self) -> None:
        """Change it; who is logged in elsewhere is so no more."""
        await self.check_password()
        person = self.current_user
        hashed = await self.hash(users.hash_password, self.field("new_password"), person.username)
        visit = hashed, self.browser(), self.session_key(), self.verified_hash
        key = await self.app.write(sessions.change_password, person, *visit)
        self.set_session_cookie(key)
        self.remember_device(person.username, hashed)
        self.see_other("account", saved=True)


class SessionsHandler(AccountPageHandler):
    """Where someone is logged in."""

    async def show(self) -> None:
        """Draw it."""
        key = self.session_key()
        rows = await self.read(sessions.sessions, self.current_user, key)
        self.draw("sessions", rows=[(row, device(row.agent)) for row in rows])

    async def post(self) -> None:
        """End one session, or all others; their windows notice within a second."""
        person, one = self.current_user, self.id_field("session")
        if one:
            await self.commit(sessions.end_session, person, one)
        else:
            await self.commit(sessions.end_others, person, self.session_key())
        self.see_other("sessions", saved=True)


class TokensHandler(AccountPageHandler):
    """Tokens, by which programs come in."""

    async def show(self, made: str = "") -> None:
        """Draw them; one that was just made is shown this once."""
        rows = await self.read(api_tokens.mine, self.current_user)
        self.draw("tokens", rows=rows, made=made, days=DAYS)

    @redisplay_if_invalid
    async def post(self) -> None:
        """Make one."""
        expires = self.field("expires")
        if expires and ID.fullmatch(expires) and int(expires) in DAYS:
            expires = instant(moment() + timedelta(days=int(expires)))
        given = (self.field("name"), self.field("scope") or "write", expires or None)
        if self.field("op"):
            raise Invalid("name", "Tokens can't be resubmitted.")
        thing = await self.commit(api_tokens.create, self.current_user, *given)
        self.set_status(201)
        await self.show(thing["token"])


class UnlinkHandler(PageHandler):
    """An identity of single sign-on that shall let in nobody any more."""

    async def post(self, identity_id: str) -> None:
        """End it."""
        await self.commit(identities.unlink, self.current_user, int(identity_id))
        self.see_other("account", saved=True)


class EndTokenHandler(PageHandler):
    """A token that shall open nothing any more."""

    async def post(self, token_id: str) -> None:
        """End it."""
        await self.commit(api_tokens.delete, self.current_user, int(token_id))
        self.app.hub.recheck_access(self.current_user)
        self.see_other("tokens", saved=True)


class CloseHandler(AccountPageHandler):
    """The end of an account."""

    async def show(self) -> None:
        """Draw the form, and what becomes of the lists."""
        self.draw("close", fates=await self.read(account_closing.fates, self.current_user))

    @redisplay_if_invalid
    async def post(self) -> None:
        """Close it, when the password is right."""
        await self.check_password()
        await self.app.write(account_closing.close, self.current_user, self.verified_hash)
        self.app.change_feed.schedule_poll()
        self.app.hub.end_session(self.session_key())
        self.app.hub.recheck_access(self.current_user)
        self.drop_cookie("session")
        self.set_header("Clear-Site-Data", '"cache", "storage"')
        self.redirect(self.reverse_url("signup"), status=303)


def device(agent: str) -> str:
    """Return what a browser calls itself, in two words as far as they are known."""
    words = [next((name for name in names if name in agent), "") for names in (BROWSERS, SYSTEMS)]
    names = {"Edg": "Edge", "OPR": "Opera", "Macintosh": "macOS", "CrOS": "ChromeOS"}
    return ", ".join(names.get(word, word) for word in words if word) or agent[:40]
