"""Sign up, log in, log out."""

from controllers.base import PageHandler, form, here
from models import tokens, users
from models.errors import Invalid
from models.tables import Person


class DoorHandler(PageHandler):
    """What signing up and logging in share."""

    public = True
    template = ""

    async def get(self) -> None:
        """Show the form, or go on for someone who is logged in."""
        if self.current_user:
            self.redirect(self.next(), status=303)
        else:
            await self.show()

    async def show(self) -> None:
        """Draw the form."""
        self.render(self.template, next=self.next())

    def next(self) -> str:
        """Return where to go after logging in: a path on this site, whatever was asked for."""
        if self.request.method == "POST":
            return here(self.field("next"))
        return here(self.get_query_argument("next", "", strip=False))

    async def let_in(self, person: Person) -> None:
        """Open a session and go on."""
        agent = self.request.headers.get("User-Agent", "")
        browser = tokens.Browser(self.request.remote_ip or "", agent)
        key = await self.commit(tokens.log_in, person, browser, self.session_key())
        self.set_signed_cookie(
            self.settings["session_cookie"],
            key,
            expires_days=tokens.LONGEST.days,
            httponly=True,
            samesite="Lax",
            secure=self.settings["config"].secure,
        )
        self.redirect(self.next(), status=303)


class SignUpHandler(DoorHandler):
    """A new account, with a list of its own."""

    template = "auth/signup.html"

    @form
    async def post(self) -> None:
        """Make the account and let its owner in."""
        username = users.clean_username(self.field("username"))
        email = users.clean_email(self.field("email"))
        own_words = (username, email or "")
        password = await self.hash(users.hash_password, self.field("password"), *own_words)
        name = self.locale.translate("Things to do")
        await self.let_in(await self.commit(users.sign_up, username, email, password, name))


class LogInHandler(DoorHandler):
    """Into an account."""

    template = "auth/login.html"

    async def post(self) -> None:
        """Let in who knows the password; else 403, the same words and time whatever was wrong."""
        username, password = self.field("username"), self.field("password")
        person, stored = await self.read(users.password_of, username)
        if await self.hash(users.password_fits, password, stored) and person:
            await self.let_in(person)
        else:
            self.error = Invalid("username", "This name and this password don't go together.")
            self.set_status(403)
            await self.show()


class LogOutHandler(PageHandler):
    """Out of the account, in this browser."""

    async def post(self) -> None:
        """End the session."""
        key = self.session_key()
        if key:
            await self.commit(tokens.log_out, key)
        self.drop_session_cookie()
        self.redirect(self.get_login_url(), status=303)
