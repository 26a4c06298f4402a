"""How often one may try to log in or sign up, by name, device and network."""

import hashlib
import logging
import secrets
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from models import rate_limits
from models.errors import TooMany
from services.app_base import BaseApp, Service

DAY = 86400  # seconds
DEVICE_DAYS = 400  # how long a browser that has logged in once is recognized
Forgive = Callable[[], Awaitable[object]]
security_log = logging.getLogger("afazeres.security")


class LoginLimits(Service):
    """The `login_guard` of the application, unless --throttle=false."""

    def __init__(self, app: BaseApp) -> None:
        super().__init__(app)
        app.login_guard = self
        rate_limits.lifted = not app.config.throttle

    async def admit(self, handler: Any, name: str, stored: str | None) -> Forgive:
        """Count an attempt at a password; return what to call if it was right. Raises TooMany.

        It counts for the device that logged in before, or else for the name and the network.
        """
        network = rate_limits.network(handler.request.remote_ip or "")
        device = self.device(handler, name, stored)
        keys = (f"device:{device}",) if device else (f"name:{name}", f"address:{network}")
        try:
            await self.app.write(rate_limits.count, *keys)
        except TooMany:
            security_log.info("too many attempts for %r from %s", name, network)
            raise
        return partial(self.app.write, rate_limits.give_back, *keys, f"name:{name}")

    async def admit_sign_up(self, handler: Any) -> Callable[..., Awaitable[None]]:
        """Count a new account; return what to call then, with whether it was `made`.

        If it wasn't, it counts as a wrong log-in does. Raises TooMany.
        """
        network = rate_limits.network(handler.request.remote_ip or "")
        account, attempt = f"signup:{network}", f"address:{network}"
        await self.app.write(rate_limits.count, account, attempt)

        async def settle(*, made: bool) -> None:
            await self.app.write(rate_limits.give_back, attempt if made else account)

        return settle

    def device(self, handler: Any, name: str, stored: str | None) -> str:
        """Return the mark of a browser that has logged in with that name and password, or "".

        It has attempts of its own, so that strangers can't lock the owner of a name out; another
        password, and another owner of the name, end it. The API reads no cookies.
        """
        if not handler.reads_cookies:
            return ""
        cookie = handler.get_signed_cookie(handler.cookie("device"), max_age_days=DEVICE_DAYS)
        known, _, device = (cookie or b"").decode().partition(" ")
        return device if stored and known == owner_of(name, stored) else ""

    def remember(self, handler: Any, name: str, stored: str) -> None:
        """Mark this browser as one that has logged in; a mark that it has stays the same."""
        device = self.device(handler, name, stored) or secrets.token_urlsafe(16)
        handler.give_cookie("device", f"{owner_of(name, stored)} {device}", DEVICE_DAYS * DAY)


def owner_of(name: str, stored: str) -> str:
    return hashlib.sha256(f"{name} {stored}".encode()).hexdigest()[:32]
