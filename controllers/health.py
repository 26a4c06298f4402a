"""Whether the server works, and its metrics."""

import asyncio
import hmac

from prometheus_client import generate_latest
from tornado.web import HTTPError

from controllers.base import BaseHandler
from models import lists
from models.errors import Unavailable
from services.metrics import Metrics

LOOPBACK = ("127.0.0.1", "::1")
# What proxies add: a proxy on this machine passes on what may come from anywhere.
FORWARDED = (
    *("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip"),
    *("Forwarded", "Via"),
)
TIMEOUT = 5  # seconds for the database to answer


class HealthHandler(BaseHandler):
    default_headers = BaseHandler.default_headers | {"Cache-Control": "no-store"}

    async def get(self) -> None:
        """Answer 200 when the database can be read and written within TIMEOUT, 503 if not."""
        try:
            async with asyncio.timeout(TIMEOUT):
                await self.app.read(lists.versions, [1])
                await self.app.write(lists.versions, [1])
        except TimeoutError:
            raise Unavailable("the database does not answer") from None
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish("ok\n")


class MetricsHandler(BaseHandler):
    """Metrics for Prometheus: for this machine, and for requests with --metrics_token."""

    default_headers = BaseHandler.default_headers | {"Cache-Control": "no-store"}

    async def get(self) -> None:
        """Send them. Raises HTTPError 403."""
        token = self.app.config.metrics_token
        scheme, _, given = self.request.headers.get("Authorization", "").partition(" ")
        fits = token and hmac.compare_digest(given.encode(), token.encode())
        allowed = fits and scheme == "Bearer"
        proxied = any(name in self.request.headers for name in FORWARDED)
        if not allowed and (proxied or self.request.remote_ip not in LOOPBACK):
            raise HTTPError(403)
        self.set_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.finish(generate_latest(self.app.service(Metrics).registry))
