"""How the house is: what it counts, whether it answers, and what holds its event loop."""

import asyncio
import hmac

from prometheus_client import generate_latest
from tornado.web import HTTPError

from controllers.base import BaseHandler
from models import history
from models.errors import Unavailable
from services.metrics import Metrics

LOOPBACK = ("127.0.0.1", "::1")
PATIENCE = 5  # seconds for the database to answer


class HealthHandler(BaseHandler):
    """Whether the house answers, for whoever keeps it running."""

    default_headers = BaseHandler.default_headers | {"Cache-Control": "no-store"}

    async def get(self) -> None:
        """Read and write through both doors: 200 when that works within PATIENCE, 503 if not."""
        try:
            async with asyncio.timeout(PATIENCE):
                await self.read(history.newest)
                await self.app.write(history.newest)
        except TimeoutError:
            raise Unavailable("the database does not answer") from None
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish("ok\n")


class MetricsHandler(BaseHandler):
    """What is counted, for Prometheus: to this machine, or to who has the token."""

    default_headers = BaseHandler.default_headers | {"Cache-Control": "no-store"}

    async def get(self) -> None:
        """Give it."""
        token = self.app.config.metrics_token
        scheme, _, given = self.request.headers.get("Authorization", "").partition(" ")
        fits = token and hmac.compare_digest(given.encode(), token.encode())
        known = fits and scheme == "Bearer"
        # What came through a proxy that we weren't told of may come from anywhere.
        hidden = "X-Forwarded-For" in self.request.headers and not self.app.config.proxies
        if not known and (hidden or self.request.remote_ip not in LOOPBACK):
            raise HTTPError(403)
        metrics = self.app.service(Metrics)
        self.set_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.finish(generate_latest(metrics.registry))
