"""Headers, cookies, redirects that stay on this site, and the check of a password."""

import logging
import re
from typing import Any
from urllib.parse import unquote, urlsplit

from tornado.web import RequestHandler

from config import Config
from models import users
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
    reads_cookies = True
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
        """Return what a cookie of ours is called, unlike those of an instance at another port."""
        return str(self.settings["cookie_name"]).format(name)

    def give_cookie(self, name: str, value: str, seconds: int) -> None:
        self.set_signed_cookie(self.cookie(name), value, **cookie_rules(self.app.config, seconds))

    def drop_cookie(self, name: str) -> None:
        """Remove a cookie of ours, by the name that `give_cookie` takes."""
        self.clear_cookie(self.cookie(name), secure=self.app.config.secure)

    async def authenticate(self, username: str, password: str) -> Person | None:
        """Return whose name and password these are; the same words and time whatever is wrong.

        `self.verified_hash` is the hash of the password then. Raises TooMany.
        """
        name = users.fold(username)
        person, stored = await self.app.read(users.password_of, username)
        forgive = await self.app.login_guard.admit(self, name, stored)
        fits = await self.app.hash_pool.run(users.password_fits, password, stored)
        result = "right" if fits else "wrong"
        security_log.info("%s password for %r from %s", result, name, self.request.remote_ip)
        self.app.event("log-in", result)
        if not fits or not person:
            return None
        await forgive()
        self.verified_hash = stored
        return person
