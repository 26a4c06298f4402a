"""Sign up, log in, log out, and in again for who forgot their password."""

from urllib.parse import urlencode

from controllers.base import JOIN, PageHandler, form, here
from models import throttle, tokens, users
from models.errors import Invalid, Wrong


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
        config = self.settings["config"]
        signup = config.signup == "open" or JOIN.fullmatch(place)
        links = {"next": place, "other": other + query, "query": query, "sso": config.sso_name}
        self.render(self.template, **links, ended=ended, signup=signup)

    def next(self) -> str:
        """Return where to go after logging in: a path on this site, whatever was asked for."""
        if self.request.method == "POST":
            return here(self.field("next"))
        return here(self.get_query_argument("next", "", strip=False))

    def let_in(self, key: str, name: str, stored: str) -> None:
        """Hand out the key of a session, mark this browser as one that was let in, and go on."""
        self.keep_session(key)
        self.know_device(name, stored)
        self.redirect(self.next(), status=303)


class SignUpHandler(EntranceHandler):
    """A new account, with a list of its own."""

    template, other = "auth/signup.html", "login"

    async def show(self) -> None:
        """Draw the form, if the door is open."""
        await self.check_door()
        await super().show()

    async def check_door(self) -> None:
        """Raise Wrong for who isn't invited where only invited people may sign up."""
        if not await self.may_sign_up(self.next()):
            raise Wrong("", "Accounts are made by invitation here: ask for a link to a list.")

    @form
    async def post(self) -> None:
        """Make the account and let its owner in."""
        await self.check_door()
        username = users.clean_username(self.field("username"))
        email = users.clean_email(self.field("email"))
        near = f"signup:{throttle.network(self.request.remote_ip or '')}"
        await self.count(near)
        try:
            own_words = (username, (email or "").partition("@")[0])
            password = await self.hash(users.hash_password, self.field("password"), *own_words)
            name = self.locale.translate("Things to do")
            account = (username, email, password, name, self.browser(), self.session_key())
            key = await self.commit(tokens.sign_up, *account)
        except Invalid:
            await self.note(throttle.give_back, near)
            raise
        self.let_in(key, username, password)


class LogInHandler(EntranceHandler):
    """Into an account."""

    template, other = "auth/login.html", "signup"

    @form
    async def post(self) -> None:
        """Let in who knows the password; else 403, the same words and time whatever was wrong."""
        person = await self.who_knows(self.field("username"), self.field("password"))
        if person is None:
            raise Wrong("username", "This user name and this password don't go together.")
        visit = person, self.browser(), self.session_key(), self.proof
        key = await self.note(tokens.log_in, *visit)
        self.let_in(key, person.username, self.proof or "")


class LogOutHandler(PageHandler):
    """Out of the account, in this browser; also for someone who is out already."""

    public = True

    async def post(self) -> None:
        """End the session."""
        key = self.session_key()
        if key:
            await self.note(tokens.log_out, key)
            self.settings["hub"].end_session(key)
        self.drop_cookie("session")
        self.set_header("Clear-Site-Data", '"cache", "storage"')
        self.redirect(self.get_login_url(), status=303)


class ResetHandler(EntranceHandler):
    """A new password for who forgot theirs, by a link that the house's keeper prints."""

    async def get(self, key: str) -> None:  # type: ignore[override]
        """Show the form."""
        await self.show(key)

    async def show(self, key: str) -> None:  # type: ignore[override]
        """Draw it, for whom the link was made."""
        person = await self.read(tokens.who_forgot, key)
        self.render("auth/reset.html", person=person)

    @form
    async def post(self, key: str) -> None:
        """Change the password, and let its owner in."""
        person = await self.read(tokens.who_forgot, key)
        hashed = await self.hash(users.hash_password, self.field("new_password"), person.username)
        visit = hashed, self.browser(), self.session_key()
        made = await self.note(tokens.renew_password, key, *visit)
        self.let_in(made, person.username, hashed)
