"""Single sign-on: log in with an OpenID Connect provider, by its authorization code flow.

The rules are those of OpenID Connect Core 1.0, 3.1, with PKCE (RFC 7636) and `iss` (RFC 9207).
"""

import base64
import hashlib
import hmac
import json
import secrets
from datetime import timedelta
from functools import partial
from urllib.parse import urlencode

from tornado.httputil import url_concat

from controllers.account import AccountPageHandler
from controllers.base import PageHandler, redisplay_if_invalid
from controllers.errors import Error, NotLoggedIn
from controllers.security import local_path, security_log
from models import accounts, identities, sessions
from models.errors import NotFound
from services import oidc
from services.oidc import DECLINED, LOGIN_TIME, LOST, PendingLogin, Provider, SsoError


class SsoHandler(PageHandler):
    """What the way to the provider and the way back share."""

    public = True

    async def prepare(self) -> None:
        """Raise NotFound when no provider is configured."""
        await super().prepare()
        self.config = self.app.config
        self.provider = self.app.service(Provider)
        if not self.config.sso_name:
            raise NotFound

    @property
    def callback_url(self) -> str:
        return self.base + self.reverse_url("sso-callback")

    def session_hash(self) -> str:
        """Return the hash of the session that is asking, empty when nobody is logged in."""
        return sessions.hash_of(self.session_key()) if self.current_user else ""

    def show_error(self, error: Error, status: int, title: str, sentence: str) -> None:
        if isinstance(error, SsoError):
            translate = self.locale.translate
            title = translate("Login failed") if status == 400 else title
            sentence = translate(error.sentence).format(name=self.app.config.sso_name)
        super().show_error(error, status, title, sentence)


class StartHandler(SsoHandler, AccountPageHandler):
    """To the provider; someone who is logged in is asked whether to link their account to it.

    A link on another site must not do that: it would let in the one who is logged in
    at the provider. So linking takes the `meant` value of our own page; and as a stolen session
    must not gain a login that lasts, that is given after a recent login, or the password.
    """

    async def show(self) -> None:
        """Show the link to the provider, or first ask for the password."""
        link = self.link() if await self.recently_logged_in() else ""
        self.render("sso/link.html", link=link, sso=self.config.sso_name)

    def link(self) -> str:
        meant = self.create_signed_value("meant", self.session_hash()).decode()
        return self.reverse_url("sso") + "?" + urlencode({"meant": meant})

    @redisplay_if_invalid
    async def post(self) -> None:
        """Show the link to who knows the password: a form may not lead to another site."""
        if self.current_user is None:
            raise NotLoggedIn(403)
        await self.check_identity()
        self.render("sso/link.html", link=self.link(), sso=self.config.sso_name)

    async def get(self, *args: str) -> None:
        """Remember the login in a cookie, and redirect to the provider."""
        session = self.session_hash()
        next_path = local_path(self.get_query_argument("next", "", strip=False))
        if self.current_user:
            next_path = self.reverse_url("account") + "?saved=1" if self.app.has("account") else "/"
            meant = self.get_query_argument("meant", "")
            days = accounts.SUDO / timedelta(days=1)
            if self.get_signed_cookie("meant", meant, max_age_days=days) != session.encode():
                await self.show()
                return
        endpoint = (await self.provider.metadata())["authorization_endpoint"]
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        pending = json.dumps(PendingLogin(state, nonce, verifier, session, next_path))
        self.give_cookie("sso", pending, LOGIN_TIME)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest())
        query = {
            "response_type": "code",
            "client_id": self.config.oidc_client_id,
            "redirect_uri": self.callback_url,
            "scope": "openid profile",
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge.decode().rstrip("="),
            "code_challenge_method": "S256",
        }
        self.redirect(url_concat(endpoint, query))


class CallbackHandler(SsoHandler):
    async def get(self) -> None:
        """Log in, or link the identity to the account that asked for it. Raises SsoError."""
        pending, code = self.pending_login(), self.parameter("code")
        if "error" in self.request.query_arguments or not code:
            raise SsoError(400, DECLINED)
        if self.parameter("iss") not in ("", self.config.oidc_issuer):
            raise SsoError(400, oidc.UNTRUSTED, ("iss", self.parameter("iss")))
        claims, access = await self.provider.exchange_code(code, pending, self.callback_url)
        identity = claims["iss"], claims["sub"]
        security_log.info("single sign-on: %r from %s", identity, self.request.remote_ip)
        if self.current_user:
            person, key = self.current_user, self.session_key()
            link = partial(identities.link, person, *identity)
            await self.commit(accounts.in_session, person, key, link)
        else:
            username, settle = "", None
            if not await self.app.read(identities.find, *identity):
                if not await self.may_sign_up(pending.next):
                    raise SsoError(403, oidc.CLOSED)
                settle = await self.app.login_guard.admit_sign_up(self)
                username = await self.provider.username(claims, access)
            names = username, self.locale.translate("Things to do")
            visit = partial(identities.find_or_create, *identity, *names), self.browser()
            self.set_session_cookie(await self.commit(sessions.log_in, *visit, self.session_key()))
            if settle:
                await settle(made=True)
        self.redirect(pending.next, status=303)

    def pending_login(self) -> PendingLogin:
        """Return what this browser began; it ends here, whatever comes of it. Raises SsoError."""
        value = self.get_signed_cookie(self.cookie("sso"), max_age_days=LOGIN_TIME / oidc.DAY)
        self.drop_cookie("sso")
        if not value:
            raise SsoError(400, LOST)
        pending = PendingLogin(*json.loads(value))
        same = hmac.compare_digest(pending.state.encode(), self.parameter("state").encode())
        if not same or pending.session != self.session_hash():
            raise SsoError(400, LOST)
        return pending

    def parameter(self, name: str) -> str:
        """Return a parameter of the provider's, empty if it is missing or comes twice."""
        values = self.get_query_arguments(name, strip=False)
        return values[0] if len(values) == 1 else ""


class UnlinkHandler(PageHandler):
    async def post(self, identity_id: str) -> None:
        await self.commit(identities.unlink, self.current_user, int(identity_id))
        self.see_other("account", saved=True)


async def account_section(handler: PageHandler) -> bytes:
    linked = await handler.app.read(identities.mine, handler.current_user)
    return handler.render_string("sso/account.html", linked=linked, sso=handler.app.config.sso_name)
