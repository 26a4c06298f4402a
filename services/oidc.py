"""A client of an OpenID Connect provider.

The rules are those of OpenID Connect Core 1.0, 3.1, with PKCE (RFC 7636) and `iss` (RFC 9207).
"""

import asyncio
import json
import logging
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote_plus, urlencode

import jwt
from tornado.httpclient import AsyncHTTPClient, HTTPClientError
from tornado.iostream import UnsatisfiableReadError
from tornado.options import Error
from tornado.web import HTTPError

from config import Config
from models.text import N_
from services.app_base import BaseApp, Service

security_log = logging.getLogger("afazeres.security")
T = TypeVar("T")
ALGORITHMS = ["RS256", "ES256"]  # no others are accepted
USES = (None, "sig")  # of a key
CLAIMS = ["iss", "sub", "aud", "exp", "iat"]
ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")
# Without TLS anyone on the network could log in as anyone (OpenID Connect Core 1.0, 3.1.3.7, 6).
ISSUER = re.compile(
    r"https://[^/?#@\s]+(/[^?#\s]*)?|http://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?(/[^?#\s]*)?"
)
URL = re.compile(r'https?://[!"$-~]+')  # visible ASCII, no fragment
SUBJECT = re.compile("[ -~]{1,255}")
TOKEN = re.compile("[!-~]+")
DAY, HOUR, MINUTE = 86400, 3600, 60
LOGIN_TIME = 10 * MINUTE  # seconds from our page to the provider and back
TIMEOUT = 10  # seconds for an answer of the provider
BODY_LIMIT = 1024 * 1024
LEEWAY = 60  # seconds that the provider's clock may be off
LOST = N_("This login wasn't started in this browser, or has expired. Please start again.")
DECLINED = N_("{name} declined the login. You can try again, or log in with a password.")
UNTRUSTED = N_("The response from {name} can't be trusted, so the login was refused.")
UNREACHABLE = N_("{name} isn't responding. Try again in a moment, or log in with a password.")
CLOSED = N_(
    "You don't have an account here yet, and sign-up is by invitation only. If you do have one, "
    "log in with its password, and link it to {name} on your account page."
)


def check(config: Config) -> None:
    """Raise Error unless there is no provider, or all that is needed of one."""
    issuer = config.oidc_issuer
    needed = (issuer, config.oidc_client_id, config.oidc_client_secret)
    if any((*needed, config.oidc_name)) and not all(needed):
        raise Error("--oidc_issuer, --oidc_client_id and --oidc_client_secret must go together")
    if issuer and not ISSUER.fullmatch(issuer):
        raise Error(f"--oidc_issuer must look like https://id.example.org, not {issuer!r}")


class SsoError(HTTPError):
    """A login that failed: `sentence` is for the page, `cause` for the security log, if given."""

    def __init__(self, status: int, sentence: str, cause: object = None) -> None:
        super().__init__(status)
        self.sentence = sentence
        if cause is not None:
            security_log.warning("single sign-on: %r", cause)


class PendingLogin(NamedTuple):
    """A login that has begun, as the browser's cookie holds it.

    `session` is the hash of the session it began in, or ""; `next` the path to go to at the end.
    """

    state: str
    nonce: str
    verifier: str
    session: str
    next: str


class Provider(Service):
    """A client of the provider. Its metadata and keys are cached for an hour."""

    def __init__(self, app: BaseApp) -> None:
        super().__init__(app)
        self.config = app.config
        self.cache: dict[str, tuple[float, asyncio.Task[Any]]] = {}

    async def fetch_json(self, url: str, **request: Any) -> dict[str, Any]:
        """Return the JSON object at `url`. Raises SsoError.

        A POST that is refused is the visitor's fault (400), all else the provider's (503).
        """
        request |= {"connect_timeout": TIMEOUT, "request_timeout": TIMEOUT}
        request |= {"follow_redirects": False, "decompress_response": False}
        try:
            answer = await self.client.fetch(url, user_agent="Afazeres", **request)
            found = json.loads(answer.body)
            if not isinstance(found, dict):
                raise ValueError("no JSON object")
        except HTTPClientError as error:
            cause = url, error, error.response and error.response.body[:300]
            if error.code == 400 and request.get("method") == "POST":
                raise SsoError(400, DECLINED, cause) from error
            raise SsoError(503, UNREACHABLE, cause) from error
        except (OSError, UnsatisfiableReadError, ValueError, RecursionError) as error:
            raise SsoError(503, UNREACHABLE, (url, error)) from error
        return found

    async def open(self) -> None:
        """Make an HTTP client of its own, as these limits are for nothing else."""
        self.client = AsyncHTTPClient(force_instance=True, max_body_size=BODY_LIMIT)

    async def close(self) -> None:
        self.client.close()

    async def cached(self, name: str, load: Callable[[], Awaitable[T]], age: float) -> T:
        """Return what `load` gave, at most `age` seconds ago; all who wait share one load."""
        since, task = self.cache.get(name, (0.0, None))
        failed = task and task.done() and (task.cancelled() or task.exception())
        if task is None or failed or time.monotonic() - since > age:
            task = asyncio.ensure_future(load())
            self.cache[name] = time.monotonic(), task
        result: T = await asyncio.shield(task)
        return result

    async def metadata(self) -> dict[str, Any]:
        """Return the provider's metadata, which has all ENDPOINTS. Raises SsoError."""
        return await self.cached("metadata", self.load_metadata, HOUR)

    async def load_metadata(self) -> dict[str, Any]:
        """Fetch it (OpenID Connect Discovery 1.0, 4). Raises SsoError."""
        issuer = self.config.oidc_issuer
        place = issuer.removesuffix("/") + "/.well-known/openid-configuration"
        found = await self.fetch_json(place)
        if found.get("issuer") != issuer:
            raise SsoError(503, UNREACHABLE, ("another issuer", found.get("issuer")))
        for name in ENDPOINTS:
            self.check_url(found.get(name))
        return found

    def check_url(self, url: Any) -> str:
        """Return `url`, which the provider gave. Raises SsoError if it is no URL, or leaves TLS."""
        scheme = "https://" if self.config.oidc_issuer.startswith("https://") else "http"
        if not isinstance(url, str) or not URL.fullmatch(url) or not url.startswith(scheme):
            raise SsoError(503, UNREACHABLE, ("not a URL", url))
        return url

    async def key(self, kid: str | None) -> jwt.PyJWK:
        """Return the key with that id; for an unknown one keys are fetched, once a minute at most.

        Raises SsoError, and InvalidKeyError when there is none.
        """
        for age in (HOUR, MINUTE):
            keys = await self.cached("keys", self.load_keys, age)
            if kid in keys or (kid is None and len(keys) == 1):
                return keys[kid] if kid in keys else next(iter(keys.values()))
        raise jwt.InvalidKeyError(f"no key {kid!r}")

    async def load_keys(self) -> dict[str | None, jwt.PyJWK]:
        """Fetch the keys (RFC 7517); those that aren't for our signatures are left out.

        Raises SsoError.
        """
        found = await self.fetch_json((await self.metadata())["jwks_uri"])
        listed = found.get("keys")
        known = [key for key in listed if may_be_key(key)] if isinstance(listed, list) else []
        try:
            keys = jwt.PyJWKSet(known).keys
        except jwt.PyJWTError:  # there is none
            return {}
        fit = [k for k in keys if k.algorithm_name in ALGORITHMS and k.public_key_use in USES]
        return {key.key_id: key for key in fit if isinstance(key.key_id, str | None)}

    async def exchange_code(
        self, code: str, pending: PendingLogin, callback_url: str
    ) -> tuple[dict[str, Any], str]:
        """Exchange a code for tokens: the claims of the ID token, and the access token.

        Raises SsoError.
        """
        metadata, config = await self.metadata(), self.config
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": callback_url}
        form["code_verifier"] = pending.verifier
        request: dict[str, Any] = {}
        methods = metadata.get("token_endpoint_auth_methods_supported")
        if isinstance(methods, list) and "client_secret_basic" not in methods:
            form |= {"client_id": config.oidc_client_id, "client_secret": config.oidc_client_secret}
        else:  # RFC 6749, 2.3.1
            request["auth_username"] = quote_plus(config.oidc_client_id)
            request["auth_password"] = quote_plus(config.oidc_client_secret)
        url = metadata["token_endpoint"]
        tokens = await self.fetch_json(url, method="POST", body=urlencode(form), **request)
        claims = await self.verify(str(tokens.get("id_token")), pending)
        return claims, str(tokens.get("access_token"))

    async def verify(self, token: str, pending: PendingLogin) -> dict[str, Any]:
        """Return the claims of an ID token (Core 1.0, 3.1.3.7). Raises SsoError."""
        config = self.config
        try:
            key = await self.key(jwt.get_unverified_header(token).get("kid"))
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=ALGORITHMS,
                issuer=config.oidc_issuer,
                audience=config.oidc_client_id,
                leeway=LEEWAY,
                options={"require": CLAIMS, "enforce_minimum_key_length": True},
            )
        except (jwt.PyJWTError, ValueError) as error:
            raise SsoError(400, UNTRUSTED, error) from error
        only_us = isinstance(claims["aud"], str) or len(claims["aud"]) == 1
        if claims.get("azp", config.oidc_client_id if only_us else None) != config.oidc_client_id:
            raise SsoError(400, UNTRUSTED, ("azp", claims.get("azp")))
        if claims.get("nonce") != pending.nonce:
            raise SsoError(400, UNTRUSTED, "nonce")
        if not SUBJECT.fullmatch(claims["sub"]):
            raise SsoError(400, UNTRUSTED, ("sub", claims["sub"]))
        return claims

    async def username(self, claims: dict[str, Any], access: str) -> str:
        """Return the name someone has there, or ""; it may be in UserInfo only (5.3)."""
        url = (await self.metadata()).get("userinfo_endpoint")
        if "preferred_username" not in claims and url and TOKEN.fullmatch(access):
            bearer = {"Authorization": f"Bearer {access}"}
            info = await self.fetch_json(self.check_url(url), headers=bearer)
            if info.get("sub") == claims["sub"]:  # 5.3.2: it may be somebody else's
                claims = info | claims
        names = (claims.get("preferred_username"), claims.get("name"))
        return next((name for name in names if name and isinstance(name, str)), "")


def may_be_key(key: Any) -> bool:
    """Say whether PyJWT can read it, or leave it out: what is odder would cost all the others."""
    algorithm = key.get("alg", "") if isinstance(key, dict) else None
    return isinstance(algorithm, str) and key.get("kty") in ("RSA", "EC")
