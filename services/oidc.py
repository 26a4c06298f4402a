"""A client of an OpenID Connect provider.

The rules are those of OpenID Connect Core 1.0, 3.1, with PKCE (RFC 7636) and `iss` (RFC 9207).
"""

import asyncio
import json
import logging
import re
import time
from collections.abc import Awaitable, Callable
from functools import cached_property
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote_plus, urlencode

import jwt
from tornado.httpclient import AsyncHTTPClient, HTTPClientError
from tornado.iostream import UnsatisfiableReadError
from tornado.web import HTTPError

from models.text import N_
from services.app_base import BaseApp

security_log = logging.getLogger("afazeres.security")
T = TypeVar("T")
ALGORITHMS = {"RSA": "RS256", "EC": "ES256"}  # by kind of key; no others are believed
CLAIMS = ["iss", "sub", "aud", "exp", "iat"]
PLACES = ("authorization_endpoint", "token_endpoint", "jwks_uri")
PLACE = re.compile(r'https?://[!"$-~]+')  # visible ASCII, no fragment
SUBJECT = re.compile("[ -~]{1,255}")
TOKEN = re.compile("[!-~]+")
DAY, HOUR, MINUTE = 86400, 3600, 60
WITHIN = 10 * MINUTE  # from our page to the provider and back
PATIENCE = 10  # seconds for an answer of the provider
BODY_LIMIT = 1024 * 1024
LEEWAY = 60  # seconds that the provider's clock may be off
LOST = N_("This login wasn't started in this browser, or has expired. Please start again.")
DECLINED = N_("{name} declined the login. You can try again, or log in with a password.")
DOUBTFUL = N_("The response from {name} can't be trusted, so the login was refused.")
DOWN = N_("{name} isn't responding. Try again in a moment, or log in with a password.")
STALE = N_("To link your account to {name}, log out, log in again, and come back right away.")
CLOSED = N_(
    "You don't have an account here yet, and sign-up is by invitation only. If you do have one, "
    "log in with its password, and link it to {name} on your account page."
)


class SsoError(HTTPError):
    """A log-in that can't be. `sentence` tells people why, `cause` the log, if it is remarkable."""

    def __init__(self, status: int, sentence: str, cause: object = None) -> None:
        super().__init__(status)
        self.sentence = sentence
        if cause is not None:
            security_log.warning("single sign-on: %r", cause)


class PendingLogin(NamedTuple):
    """What this browser keeps of a log-in until it is back; `session` is its hash, if it had one.

    `next` is where to go in the end.
    """

    state: str
    nonce: str
    verifier: str
    session: str
    next: str


class Provider:
    """The provider: where it is asked what, and its keys, both kept for an hour."""

    def __init__(self, app: BaseApp) -> None:
        self.config = app.config
        self.kept: dict[str, tuple[float, asyncio.Task[Any]]] = {}

    @cached_property
    def client(self) -> AsyncHTTPClient:
        """What asks it; its own, so that nothing else is bound by these limits."""
        return AsyncHTTPClient(force_instance=True, max_body_size=BODY_LIMIT)

    async def ask(self, place: str, **request: Any) -> dict[str, Any]:
        """Return the JSON object found at `place`. Raises SsoError.

        A POST that it refuses is the visitor's fault (400), all else is its own (503).
        """
        request |= {"connect_timeout": PATIENCE, "request_timeout": PATIENCE}
        request |= {"follow_redirects": False, "decompress_response": False}
        try:
            answer = await self.client.fetch(place, user_agent="Afazeres", **request)
            said = json.loads(answer.body)
            if not isinstance(said, dict):
                raise ValueError("no JSON object")
        except HTTPClientError as error:
            cause = place, error, error.response and error.response.body[:300]
            if error.code == 400 and request.get("method") == "POST":
                raise SsoError(400, DECLINED, cause) from error
            raise SsoError(503, DOWN, cause) from error
        except (OSError, UnsatisfiableReadError, ValueError, RecursionError) as error:
            raise SsoError(503, DOWN, (place, error)) from error
        return said

    async def open(self) -> None:
        """Do nothing before someone logs in."""

    async def close(self) -> None:
        """Let go of the client, if there ever was one."""
        if "client" in vars(self):
            self.client.close()

    async def keep(self, name: str, load: Callable[[], Awaitable[T]], age: float) -> T:
        """Return what was loaded less than `age` seconds ago, or is now, once for all who ask."""
        since, task = self.kept.get(name, (0.0, None))
        failed = task and task.done() and (task.cancelled() or task.exception())
        if task is None or failed or time.monotonic() - since > age:
            task = asyncio.ensure_future(load())
            self.kept[name] = time.monotonic(), task
        known: T = await asyncio.shield(task)
        return known

    async def places(self) -> dict[str, Any]:
        """Return what it says of itself, with all PLACES. Raises SsoError."""
        return await self.keep("places", self.load_places, HOUR)

    async def load_places(self) -> dict[str, Any]:
        """Ask for it (OpenID Connect Discovery 1.0, 4). Raises SsoError."""
        issuer = self.config.oidc_issuer
        said = await self.ask(issuer.removesuffix("/") + "/.well-known/openid-configuration")
        if said.get("issuer") != issuer:
            raise SsoError(503, DOWN, ("another issuer", said.get("issuer")))
        for name in PLACES:
            self.check_place(said.get(name))
        return said

    def check_place(self, place: Any) -> str:
        """Return an address that it gave. Raises SsoError for what is none, or leaves TLS."""
        safe = "https://" if self.config.oidc_issuer.startswith("https://") else "http"
        if not isinstance(place, str) or not PLACE.fullmatch(place) or not place.startswith(safe):
            raise SsoError(503, DOWN, ("no address", place))
        return place

    async def key(self, kid: str | None) -> jwt.PyJWK:
        """Return the key of that name; one that is new is asked for, once a minute at most.

        Raises SsoError, and InvalidKeyError when there is none.
        """
        for age in (HOUR, MINUTE):
            keys = await self.keep("keys", self.load_keys, age)
            if kid in keys or (kid is None and len(keys) == 1):
                return keys[kid] if kid in keys else next(iter(keys.values()))
        raise jwt.InvalidKeyError(f"no key {kid!r}")

    async def load_keys(self) -> dict[str | None, jwt.PyJWK]:
        """Ask for its keys; those of other kinds are passed over. Raises SsoError."""
        said = await self.ask((await self.places())["jwks_uri"])
        keys = said.get("keys")
        found = [usable(key) for key in keys] if isinstance(keys, list) else []
        return {key.key_id: key for key in found if key}

    async def exchange_code(
        self, code: str, begun: PendingLogin, back: str
    ) -> tuple[dict[str, Any], str]:
        """Return who came back with `code`: the claims of the ID token; and the access token.

        Raises SsoError.
        """
        places, config = await self.places(), self.config
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": back}
        form["code_verifier"] = begun.verifier
        request: dict[str, Any] = {}
        methods = places.get("token_endpoint_auth_methods_supported")
        if isinstance(methods, list) and "client_secret_basic" not in methods:
            form |= {"client_id": config.oidc_client_id, "client_secret": config.oidc_client_secret}
        else:  # RFC 6749, 2.3.1
            request["auth_username"] = quote_plus(config.oidc_client_id)
            request["auth_password"] = quote_plus(config.oidc_client_secret)
        place = places["token_endpoint"]
        said = await self.ask(place, method="POST", body=urlencode(form), **request)
        return await self.check(str(said.get("id_token")), begun), str(said.get("access_token"))

    async def check(self, token: str, begun: PendingLogin) -> dict[str, Any]:
        """Return the claims of an ID token (Core 1.0, 3.1.3.7). Raises SsoError."""
        config = self.config
        try:
            key = await self.key(jwt.get_unverified_header(token).get("kid"))
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[*ALGORITHMS.values()],
                issuer=config.oidc_issuer,
                audience=config.oidc_client_id,
                leeway=LEEWAY,
                options={"require": CLAIMS, "enforce_minimum_key_length": True},
            )
        except (jwt.PyJWTError, ValueError) as error:
            raise SsoError(400, DOUBTFUL, error) from error
        alone = isinstance(claims["aud"], str) or len(claims["aud"]) == 1
        if claims.get("azp", config.oidc_client_id if alone else None) != config.oidc_client_id:
            raise SsoError(400, DOUBTFUL, ("azp", claims.get("azp")))
        if claims.get("nonce") != begun.nonce:
            raise SsoError(400, DOUBTFUL, "nonce")
        if not SUBJECT.fullmatch(claims["sub"]):
            raise SsoError(400, DOUBTFUL, ("sub", claims["sub"]))
        return claims

    async def name(self, claims: dict[str, Any], access: str) -> str:
        """Return what someone is called there; many tell it only when asked again (5.3)."""
        place = (await self.places()).get("userinfo_endpoint")
        if "preferred_username" not in claims and place and TOKEN.fullmatch(access):
            bearer = {"Authorization": f"Bearer {access}"}
            said = await self.ask(self.check_place(place), headers=bearer)
            if said.get("sub") == claims["sub"]:  # 5.3.2: it may be somebody else's
                claims = said | claims
        names = (claims.get("preferred_username"), claims.get("name"))
        return next((name for name in names if name and isinstance(name, str)), "")


def usable(key: Any) -> jwt.PyJWK | None:
    """Return a key of the provider's set (RFC 7517), None when it isn't for signatures of ours."""
    if not isinstance(key, dict) or not isinstance(key.get("kid", ""), str):
        return None
    algorithm = ALGORITHMS.get(str(key.get("kty")))
    if not algorithm or key.get("alg", algorithm) != algorithm or key.get("use", "sig") != "sig":
        return None
    try:
        return jwt.PyJWK(key, algorithm)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
