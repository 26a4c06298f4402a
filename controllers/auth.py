"""Sign up, log in, log out."""

from urllib.parse import urlencode

from controllers.base import PageHandler, form, here
from models import tokens, users
from models.errors import Invalid


class EntranceHandler(PageHandler):
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
        """Draw the form, with the way to the other one."""
        place, other = self.next(), self.reverse_url(self.other)
        query = "" if place == "/" else "?" + urlencode({"next": place})
        ended = "ended" in self.request.query_arguments
        self.render(self.template, next=place, other=other + query, ended=ended)

    def next(self) -> str:
        """Return where to go after logging in: a path on this site, whatever was asked for."""
        if self.request.method == "POST":
            return here(self.field("next"))
        return here(self.get_query_argument("next", "", strip=False))

    def browser(self) -> tokens.Browser:
        """Return what is noted of this browser."""
        agent = self.request.headers.get("User-Agent", "")
        return tokens.Browser(self.request.remote_ip or "", agent)

    def let_in(self, key: str) -> None:
        """Hand out the key of a session, and go on; what the browser had before has ended."""
        self.settings["hub"].end_session(self.session_key())
        self.set_signed_cookie(
            self.settings["session_cookie"],
            key,
            expires_days=tokens.LONGEST.days,
            httponly=True,
            samesite="Lax",
            secure=self.settings["config"].secure,
        )
        self.redirect(self.next(), status=303)


class SignUpHandler(EntranceHandler):
    """A new account, with a list of its own."""

    template, other = "auth/signup.html", "login"

    @form
    async def post(self) -> None:
        """Make the account and let its owner in."""
        username = users.clean_username(self.field("username"))
        email = users.clean_email(self.field("email"))
        own_words = (username, (email or "").partition("@")[0])
        password = await self.hash(users.hash_password, self.field("password"), *own_words)
        name = self.locale.translate("Things to do")
        account = (username, email, password, name, self.browser(), self.session_key())
        self.let_in(await self.commit(tokens.sign_up, *account))


class LogInHandler(EntranceHandler):
    """Into an account."""

    template, other = "auth/login.html", "signup"

    async def post(self) -> None:
        """Let in who knows the password; else 403, the same words and time whatever was wrong."""
        username, password = self.field("username"), self.field("password")
        person, stored = await self.read(users.password_of, username)
        if await self.hash(users.password_fits, password, stored) and person:
            key = self.session_key()
            self.let_in(await self.commit(tokens.log_in, person, self.browser(), key))
        else:
            self.error = Invalid("username", "This user name and this password don't go together.")
            self.set_status(403)
            await self.show()


class LogOutHandler(PageHandler):
    """Out of the account, in this browser; also for someone who is out already."""

    public = True

    async def post(self) -> None:
        """End the session."""
        key = self.session_key()
        if key:
            await self.commit(tokens.log_out, key)
            self.settings["hub"].end_session(key)
        self.drop_session_cookie()
        self.set_header("Clear-Site-Data", '"cache", "storage"')
        self.redirect(self.get_login_url(), status=303)
