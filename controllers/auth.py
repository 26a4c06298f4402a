"""Sign up, log in, log out, and in again for who forgot their password."""

from urllib.parse import urlencode

from controllers.base import JOIN, PageHandler, local_path, redisplay_if_invalid
from models import password_resets, rate_limits, sessions, users
from models.errors import Invalid, WrongPassword


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
        """Draw the form, with the way to the other one."""
        place, other = self.next(), self.reverse_url(self.other)
        query = "" if place == "/" else "?" + urlencode({"next": place})
        ended = "ended" in self.request.query_arguments
        config = self.app.config
        signup = config.signup == "open" or JOIN.fullmatch(place)
        links = {"next": place, "other": other + query, "query": query, "sso": config.sso_name}
        self.render(self.template, **links, ended=ended, signup=signup)

    def next(self) -> str:
        """Return where to go after logging in: a path on this site, whatever was asked for."""
        if self.request.method == "POST":
            return local_path(self.field("next"))
        return local_path(self.get_query_argument("next", "", strip=False))

    def start_session(self, key: str, name: str, stored: str) -> None:
        """Hand out the key of a session, mark this browser as one that was let in, and go on."""
        self.set_session_cookie(key)
        self.remember_device(name, stored)
        self.redirect(self.next(), status=303)


class SignUpHandler(AuthFormHandler):
    """A new account, with a list of its own."""

    template, other = "auth/signup.html", "login"

    async def show(self) -> None:
        """Draw the form, if the door is open."""
        await self.check_door()
        await super().show()

    async def check_door(self) -> None:
        """Raise WrongPassword for who isn't invited where only invited people may sign up."""
        if not await self.may_sign_up(self.next()):
            raise WrongPassword(
                "", "Sign-up is by invitation only: ask for an invite link to a list."
            )

    @redisplay_if_invalid
    async def post(self) -> None:
        """Make the account and let its owner in."""
        await self.check_door()
        username = users.clean_username(self.field("username"))
        email = users.clean_email(self.field("email"))
        near = f"signup:{rate_limits.network(self.request.remote_ip or '')}"
        await self.count(near)
        try:
            own_words = (username, (email or "").partition("@")[0])
            password = await self.hash(users.hash_password, self.field("password"), *own_words)
            name = self.locale.translate("Things to do")
            account = (username, email, password, name, self.browser(), self.session_key())
            key = await self.commit(sessions.sign_up, *account)
        except Invalid:
            await self.commit_untracked(rate_limits.give_back, near)
            raise
        self.start_session(key, username, password)


class LogInHandler(AuthFormHandler):
    """Into an account."""

    template, other = "auth/login.html", "signup"

    @redisplay_if_invalid
    async def post(self) -> None:
        """Let in who knows the password; else 403, the same words and time whatever was wrong."""
        person = await self.authenticate(self.field("username"), self.field("password"))
        if person is None:
            raise WrongPassword("username", "Wrong username or password.")
        visit = person, self.browser(), self.session_key(), self.verified_hash
        key = await self.commit_untracked(sessions.log_in, *visit)
        self.start_session(key, person.username, self.verified_hash or "")


class LogOutHandler(PageHandler):
    """Out of the account, in this browser; also for someone who is out already."""

    public = True

    async def post(self) -> None:
        """End the session."""
        key = self.session_key()
        if key:
            await self.commit_untracked(sessions.log_out, key)
            self.app.hub.end_session(key)
        self.drop_cookie("session")
        self.set_header("Clear-Site-Data", '"cache", "storage"')
        self.redirect(self.get_login_url(), status=303)


class ResetHandler(AuthFormHandler):
    """A new password for who forgot theirs, by a link that the house's keeper prints."""

    async def get(self, key: str) -> None:  # type: ignore[override]
        """Show the form."""
        await self.show(key)

    async def show(self, key: str) -> None:  # type: ignore[override]
        """Draw it, for whom the link was made."""
        person = await self.read(password_resets.reset_owner, key)
        self.render("auth/reset.html", person=person)

    @redisplay_if_invalid
    async def post(self, key: str) -> None:
        """Change the password, and let its owner in."""
        person = await self.read(password_resets.reset_owner, key)
        hashed = await self.hash(users.hash_password, self.field("new_password"), person.username)
        visit = hashed, self.browser(), self.session_key()
        made = await self.commit_untracked(password_resets.reset_password, key, *visit)
        self.start_session(made, person.username, hashed)
