"""The account pages: preferences, password, sessions, and closing the account."""

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode

from controllers.base import FormHandler, PageHandler, redisplay_if_invalid
from models import account_closing, accounts, usernames, users
from models.errors import WrongPassword
from models.text import N_

SYSTEMS = ("Android", "iPhone", "iPad", "Windows", "Macintosh", "CrOS", "Linux")
BROWSERS = ("Firefox", "Edg", "OPR", "Chrome", "Safari", "curl", "python-requests")
WRONG_PASSWORD = N_("Wrong password. If you have none, log out, log in again, and come back here.")
# What extras add to the account page, filled by extras.py: each returns HTML.
SECTIONS: list[Callable[[PageHandler], Awaitable[bytes]]] = []
# And to its form, for more of `accounts.CHOICES`: each takes what the form holds, too.
FIELDS: list[Callable[[PageHandler, dict[str, str]], bytes]] = []


class AccountPageHandler(FormHandler):
    async def check_password(self) -> None:
        """Raise WrongPassword unless the form has the password of this account; each try counts.

        Someone without a password, who logs in by single sign-on, must have done so recently.
        """
        person, password = self.current_user, self.field("current_password")
        if await self.app.read(accounts.recently_logged_in, person, self.session_key()):
            return
        if not password or await self.authenticate(person.username, password) is None:
            raise WrongPassword("current_password", WRONG_PASSWORD)

    async def recently_logged_in(self) -> bool:
        """Return whether this session's log-in was minutes ago."""
        visit = self.current_user, self.session_key()
        return await self.app.read(accounts.recently_logged_in, *visit, anyone=True)

    async def check_identity(self) -> None:
        """Raise WrongPassword unless they logged in minutes ago, or the form has the password.

        It is asked where something is made that lasts longer than a session, which may be stolen.
        """
        if not await self.recently_logged_in():
            await self.check_password()


class AccountHandler(AccountPageHandler):
    """The username, the e-mail address, the language, and preferences."""

    async def show(self) -> None:
        person = self.current_user
        email = await self.app.read(accounts.email_of, person)
        stored = {"username": person.username, "email": email}
        stored |= {name: getattr(person, name) or "" for name in accounts.CHOICES}
        stored |= {name: "on" for name in accounts.SWITCHES if getattr(person, name)}
        form = self.typed if self.error else stored | {"seen": urlencode(stored)}
        sections = [await section(self) for section in SECTIONS]
        values = {"form": form, "sections": sections, "languages": accounts.LANGUAGES.items()}
        fields = [field(self, form) for field in FIELDS]
        self.render("account/index.html", **values, fields=fields)

    def changed(self) -> dict[str, str]:
        """Return what was changed in the form, which tells what it showed, as it is `seen`.

        A box that isn't checked isn't sent.
        """
        seen = dict(parse_qsl(self.field("seen"), keep_blank_values=True))
        typed = dict.fromkeys(seen, "") | self.typed
        return {name: value for name, value in typed.items() if value != seen.get(name)}

    @redisplay_if_invalid
    async def post(self) -> None:
        """Save what was changed; another name or e-mail address takes the password (ASVS 6.3.7)."""
        person, changed = self.current_user, self.changed()
        name, email = changed.get("username", person.username), changed.get("email")
        name = users.clean_username(name)
        known = await self.app.read(accounts.email_of, person)
        another = email is not None and email.strip() != known
        if another:
            users.clean_email(email or "")
        renamed = name != person.username
        if another or renamed:
            await self.check_password()
        chosen: dict[str, Any] = {k: v for k, v in changed.items() if k in accounts.CHOICES}
        chosen |= {each: bool(changed[each]) for each in accounts.SWITCHES if each in changed}

        def save() -> None:
            if renamed:
                usernames.change(person, name, self.verified_hash)
            accounts.prefer(person, **chosen)
            if another:
                accounts.set_email(person, email or "", self.verified_hash)

        await self.commit(save)
        if renamed and self.verified_hash:  # by which this browser is known, too
            self.app.login_guard.remember(self, name, self.verified_hash)
        self.see_other("account", saved=True)


class PasswordHandler(AccountPageHandler):
    async def show(self) -> None:
        self.render("account/password.html")

    @redisplay_if_invalid
    async def post(self) -> None:
        """Change it, and log out all other browsers; also programs, if that is wanted."""
        await self.check_password()
        person = self.current_user
        words = self.field("new_password"), person.username
        hashed = await self.app.hash_pool.run(users.hash_password, *words)
        args = person, hashed, self.browser(), self.session_key(), self.verified_hash
        end_tokens = bool(self.field("end_tokens"))
        key = await self.app.write(accounts.change_password, *args, end_tokens=end_tokens)
        self.app.hub.recheck_access(person)
        self.set_session_cookie(key)
        self.app.login_guard.remember(self, person.username, hashed)
        self.see_other("account", saved=True)


class SessionsHandler(AccountPageHandler):
    async def show(self) -> None:
        key = self.session_key()
        rows = await self.app.read(accounts.open_sessions, self.current_user, key)
        self.render("account/sessions.html", rows=[(row, device(row.agent)) for row in rows])

    async def post(self) -> None:
        """End one session, or all others; their open pages notice within a second."""
        person, one = self.current_user, self.id_field("session")
        if one:
            await self.commit(accounts.end_session, person, one)
        else:
            await self.commit(accounts.end_others, person, self.session_key())
        self.see_other("sessions", saved=True)


class CloseHandler(AccountPageHandler):
    async def show(self) -> None:
        fates = await self.app.read(account_closing.fates, self.current_user)
        self.render("account/close.html", fates=fates)

    @redisplay_if_invalid
    async def post(self) -> None:
        await self.check_password()
        await self.app.write(account_closing.close, self.current_user, self.verified_hash)
        self.app.hub.end_session(self.session_key())
        self.app.hub.recheck_access(self.current_user)
        self.drop_cookie("session")
        self.set_header("Clear-Site-Data", '"storage"')
        self.redirect(self.reverse_url("signup"), status=303)


def device(agent: str) -> str:
    """Return the browser and the system that a User-Agent names, or its first 40 characters."""
    words = [next((name for name in names if name in agent), "") for names in (BROWSERS, SYSTEMS)]
    names = {"Edg": "Edge", "OPR": "Opera", "Macintosh": "macOS", "CrOS": "ChromeOS"}
    return ", ".join(names.get(word, word) for word in words if word) or agent[:40]
