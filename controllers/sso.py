"""Single sign-on: log in with a provider of OpenID Connect, by its authorization code flow.

The rules are those of OpenID Connect Core 1.0, 3.1, with PKCE (RFC 7636) and `iss` (RFC 9207).
"""

import base64
import hashlib
import hmac
import json
import secrets
from urllib.parse import urlencode

from tornado.auth import OAuth2Mixin

from controllers.base import PageHandler
from controllers.security import local_path, security_log
from models import identities, rate_limits, sessions
from models.errors import NotFound
from services.oidc import (
    CLOSED,
    DAY,
    DECLINED,
    DOUBTFUL,
    LOST,
    STALE,
    WITHIN,
    PendingLogin,
    Provider,
    SsoError,
)


class SsoHandler(PageHandler, OAuth2Mixin):
    """What the way there and the way back share."""

    public = True

    async def prepare(self) -> None:
        """Find out who is asking; without a provider there is nothing here."""
        await super().prepare()
        if not self.config.sso_name:
            raise NotFound

    def initialize(self) -> None:
        """Have what all of it is about at hand."""
        self.config = self.app.config
        self.provider = self.app.service(Provider)

    @property
    def back(self) -> str:
        """The address that the provider leads back to."""
        return self.base + self.reverse_url("sso-callback")

    def session(self) -> str:
        """Return the hash of the session that is asking, empty when nobody is logged in."""
        return sessions.hash_of(self.session_key()) if self.current_user else ""

    def show_error(
        self, error: BaseException | None, status: int, title: str, sentence: str
    ) -> None:
        """Say what went wrong between the provider and us."""
        if isinstance(error, SsoError):
            translate = self.locale.translate
            title = translate("Login failed") if status == 400 else title
            sentence = translate(error.sentence).format(name=self.config.sso_name)
        super().show_error(error, status, title, sentence)


class StartHandler(SsoHandler):
    """To the provider; someone who is logged in is asked whether to link their account to it.

    A link elsewhere must not do that: it would let in whoever the browser is logged in as there.
    """

    async def get(self) -> None:
        """Note what begins here in a cookie, and lead to the provider."""
        session = self.session()
        place = local_path(self.get_query_argument("next", "", strip=False))
        if self.current_user:
            place = self.reverse_url("account") + "?saved=1"
            meant = self.get_query_argument("meant", "")
            if self.get_signed_cookie("meant", meant, max_age_days=1) != session.encode():
                meant = self.create_signed_value("meant", session).decode()
                link = self.reverse_url("sso") + "?" + urlencode({"meant": meant})
                self.render("sso/link.html", link=link, sso=self.config.sso_name)
                return
            key = self.session_key()
            if not await self.read(
                sessions.recently_logged_in, self.current_user, key, anyone=True
            ):
                raise SsoError(403, STALE)  # whoever took a session gets no way in that stays
        self._OAUTH_AUTHORIZE_URL = (await self.provider.places())["authorization_endpoint"]
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        begun = json.dumps(PendingLogin(state, nonce, verifier, session, place))
        self.give_cookie("sso", begun, WITHIN)
        hashed = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest())
        verified_hash = {
            "code_challenge": hashed.decode().rstrip("="),
            "code_challenge_method": "S256",
        }
        self.authorize_redirect(
            redirect_uri=self.back,
            client_id=self.config.oidc_client_id,
            scope=["openid", "profile"],
            extra_params={"state": state, "nonce": nonce, **verified_hash},
        )


class CallbackHandler(SsoHandler):
    """Back from the provider."""

    async def get(self) -> None:
        """Let in who it says this is, or link them to the account that asked for it."""
        begun, code = self.begun(), self.told("code")
        if "error" in self.request.query_arguments or not code:
            raise SsoError(400, DECLINED)
        if self.told("iss") not in ("", self.config.oidc_issuer):
            raise SsoError(400, DOUBTFUL, ("iss", self.told("iss")))
        claims, access = await self.provider.exchange_code(code, begun, self.back)
        identity = claims["iss"], claims["sub"]
        security_log.info("single sign-on: %r from %s", identity, self.request.remote_ip)
        if self.current_user:
            await self.commit(identities.link, self.current_user, *identity)
        else:
            wanted = ""
            if not await self.read(identities.find, *identity):
                if not await self.may_sign_up(begun.next):
                    raise SsoError(403, CLOSED)
                await self.count(f"signup:{rate_limits.network(self.request.remote_ip or '')}")
                wanted = await self.provider.name(claims, access)
            names = wanted, self.locale.translate("Things to do")
            visit = *identity, *names, self.browser(), self.session_key()
            self.set_session_cookie(await self.commit(identities.log_in, *visit))
        self.redirect(begun.next, status=303)

    def begun(self) -> PendingLogin:
        """Return what this browser began, which ends here whatever comes of it. Raises SsoError."""
        value = self.get_signed_cookie(self.cookie("sso"), max_age_days=WITHIN / DAY)
        self.drop_cookie("sso")
        if not value:
            raise SsoError(400, LOST)
        begun = PendingLogin(*json.loads(value))
        same = hmac.compare_digest(begun.state.encode(), self.told("state").encode())
        if not same or begun.session != self.session():
            raise SsoError(400, LOST)
        return begun

    def told(self, name: str) -> str:
        """Return what the provider says in the address, empty if it doesn't, or says it twice."""
        values = self.get_query_arguments(name, strip=False)
        return values[0] if len(values) == 1 else ""
