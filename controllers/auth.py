"""Sign up, log in, log out."""

from collections.abc import Callable
from functools import partial
from urllib.parse import urlencode

from controllers.base import PageHandler, redisplay_if_invalid
from controllers.security import local_path
from models import sessions, users
from models.errors import Invalid, WrongPassword

# What else is stored of someone who signs up, as the script knows it: by the name of its column and
# field, how it is cleaned. Filled by extras.py.
HIDDEN: dict[str, Callable[[str], str | None]] = {}


class AuthFormHandler(PageHandler):
    """What signing up and logging in share."""

    public = True
    template = other = ""

    async def get(self) -> None:
        """Show the form, or go on for someone who is logged in."""
        if self.current_user:
            self.redirect(self.next(), status=303)
        else:
            await self.show()

    async def show(self) -> None:
        """Show the form, with the way to the other one."""
        place, other = self.next(), self.reverse_url(self.other)
        query = "" if place == "/" else "?" + urlencode({"next": place})
        ended = "ended" in self.request.query_arguments
        signup, sso = await self.may_sign_up(place), self.app.config.sso_name
        links = {"next": place, "other": other + query, "query": query, "sso": sso}
        self.render(self.template, **links, ended=ended, signup=signup, hidden=HIDDEN)

    def next(self) -> str:
        """Return where to go after logging in: a path on this site, whatever was asked for."""
        if self.request.method == "POST":
            return local_path(self.field("next"))
        return local_path(self.get_query_argument("next", "", strip=False))

    def start_session(self, key: str, name: str, stored: str) -> None:
        """Give this browser the key of a session and the mark of its device, and go on."""
        self.set_session_cookie(key)
        self.app.login_guard.remember(self, name, stored)
        self.redirect(self.next(), status=303)


class SignUpHandler(AuthFormHandler):
    """A new account, with a list of its own."""

    template, other = "auth/signup.html", "login"

    async def show(self) -> None:
        await self.check_invitation()
        await super().show()

    async def check_invitation(self) -> None:
        """Raise WrongPassword where only invited people may sign up, without an invitation."""
        if not await self.may_sign_up(self.next()):
            raise WrongPassword(
                "", "Sign-up is by invitation only: ask for an invite link to a list."
            )

    @redisplay_if_invalid
    async def post(self) -> None:
        await self.check_invitation()
        settle = await self.app.login_guard.admit_sign_up(self)
        try:
            username = users.clean_username(self.field("username"))
            email = users.clean_email(self.field("email"))
            words = self.field("password"), username, (email or "").partition("@")[0]
            password = await self.app.hash_pool.run(users.hash_password, *words)
            name = self.locale.translate("Things to do")
            more = {column: clean(self.field(column)) for column, clean in HIDDEN.items()}
            account = partial(users.sign_up, username, email, password, name, **more)
            key = await self.commit(sessions.log_in, account, self.browser(), self.session_key())
        except Invalid:
            await settle(made=False)
            raise
        await settle(made=True)
        self.start_session(key, username, password)


class LogInHandler(AuthFormHandler):
    template, other = "auth/login.html", "signup"

    @redisplay_if_invalid
    async def post(self) -> None:
        """Log in who knows the password; else 403, the same words and time whatever was wrong."""
        person = await self.authenticate(self.field("username"), self.field("password"))
        if person is None:
            raise WrongPassword("username", "Wrong username or password.")
        visit = person, self.browser(), self.session_key(), self.verified_hash
        key = await self.app.write(sessions.log_in, *visit)
        self.start_session(key, person.username, self.verified_hash or "")


class LogOutHandler(PageHandler):
    """The end of a session; also for someone whose session has ended already."""

    public = True

    async def post(self) -> None:
        """Delete it, and have the browser forget what it has of it."""
        key = self.session_key()
        if key:
            await self.app.write(sessions.log_out, key)
            self.app.hub.end_session(key)
        self.drop_cookie("session")
        self.set_header("Clear-Site-Data", '"storage"')
        self.redirect(self.get_login_url(), status=303)
