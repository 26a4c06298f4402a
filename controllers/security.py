"""Headers, cookies, redirects that stay on this site, and log-ins that are counted."""

import hashlib
import logging
import re
import secrets
from typing import Any
from urllib.parse import unquote, urlsplit

from tornado.web import RequestHandler

from config import Config
from models import rate_limits, users
from models.errors import TooMany
from models.tables import Person
from services.app_base import BaseApp

# Nothing from elsewhere and nothing inline (ASVS 3.4.3); no framing; forms stay on this site.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; manifest-src 'self'; worker-src 'self'; "
    "form-action 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types server"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Server": "todo",
}
security_log = logging.getLogger("afazeres.security")
LOCAL_PATH = re.compile(r"/(?!/)[!-\[\]-~]*")  # visible ASCII without the backslash
INVISIBLE = re.compile(r"[\\\x00-\x1f\x7f]")
DAY = 86400  # seconds
DEVICE_DAYS = 400  # how long a browser that has logged in once is recognized


def cookie_rules(config: Config, seconds: int) -> dict[str, Any]:
    """Return the rules of a cookie for so many seconds: a date would go by the browser's clock."""
    rules = {"max_age": seconds, "expires_days": None, "httponly": True, "samesite": "Lax"}
    return rules | {"secure": config.secure}


def local_path(place: str, otherwise: str = "/") -> str:
    """Return `place` if it is a path on this site, else `otherwise` (ASVS 3.7.2).

    Browsers take `//host` and `/\\host` for another site, and drop tabs before they look.
    """
    if len(place) > 2000 or not LOCAL_PATH.fullmatch(place):
        return otherwise
    decoded = unquote(urlsplit(place).path)  # what a proxy may make of it
    return otherwise if decoded.startswith("//") or INVISIBLE.search(decoded) else place


class SecureHandler(RequestHandler):
    """The headers and cookies of every answer, and the one way to check a password."""

    default_headers = HEADERS
    verified_hash: str | None = None  # the stored hash of the password that was right

    @property
    def app(self) -> BaseApp:
        """The application, with its typed parts."""
        return self.application  # type: ignore[return-value]

    def set_default_headers(self) -> None:
        """Set what errors have, too: Tornado calls this again before it writes one."""
        for name, value in self.default_headers.items():
            self.set_header(name, value)
        if self.app.config.secure:
            self.set_header("Strict-Transport-Security", "max-age=31536000; includeSubDomains")

    def cookie(self, name: str) -> str:
        """Return what a cookie of ours is called: behind TLS, no other host can set it."""
        return f"__Host-{name}" if self.app.config.secure else name

    def give_cookie(self, name: str, value: str, seconds: int) -> None:
        """Set a signed cookie for so many seconds."""
        self.set_signed_cookie(self.cookie(name), value, **cookie_rules(self.app.config, seconds))

    def drop_cookie(self, name: str) -> None:
        """Remove a cookie of ours, by the name that `give_cookie` takes."""
        self.clear_cookie(self.cookie(name), secure=self.app.config.secure)

    async def count(self, *keys: str) -> None:
        """Count an attempt under keys of `models.rate_limits`. Raises TooMany."""
        if self.app.config.throttle:
            await self.app.write(rate_limits.count, *keys)

    async def authenticate(self, username: str, password: str) -> Person | None:
        """Return whose name and password these are; the same words and time whatever is wrong.

        The attempt counts for the device that logged in before, or else for the name and the
        address. `self.verified_hash` is the hash of the password then. Raises TooMany.
        """
        name = users.fold(username)
        network = rate_limits.network(self.request.remote_ip or "")
        person, stored = await self.app.read(users.password_of, username)
        device = self.device_id(name, stored)
        keys = (f"device:{device}",) if device else (f"name:{name}", f"address:{network}")
        try:
            await self.count(*keys)
        except TooMany:
            security_log.info("too many attempts for %r from %s", name, network)
            raise
        fits = await self.app.hash_pool.run(users.password_fits, password, stored)
        result = "right" if fits else "wrong"
        security_log.info("%s password for %r from %s", result, name, network)
        self.app.event("log-in", result)
        if not fits or not person:
            return None
        await self.app.write(rate_limits.give_back, *keys, f"name:{name}")
        self.verified_hash = stored
        return person

    def device_id(self, name: str, stored: str | None) -> str:
        """Return the mark of a browser that has logged in with that name and password, or "".

        It has attempts of its own, so that strangers can't lock the owner of a name out; another
        password, and another owner of the name, end it.
        """
        cookie = self.get_signed_cookie(self.cookie("device"), max_age_days=DEVICE_DAYS)
        known, _, device = (cookie or b"").decode().partition(" ")
        return device if stored and known == self.device_owner(name, stored) else ""

    def remember_device(self, name: str, stored: str) -> None:
        """Mark this browser as one that has logged in; a mark that it has stays the same."""
        device = self.device_id(name, stored) or secrets.token_urlsafe(16)
        self.give_cookie("device", f"{self.device_owner(name, stored)} {device}", DEVICE_DAYS * DAY)

    @staticmethod
    def device_owner(name: str, stored: str) -> str:
        """Return a digest of a name and its password's hash."""
        return hashlib.sha256(f"{name} {stored}".encode()).hexdigest()[:32]
