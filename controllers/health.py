"""How the house is: what it counts, whether it answers, and what holds its event loop."""

import asyncio
import hmac
import logging
import sys
import threading
import time
import traceback
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from tornado.web import HTTPError

from controllers.base import BaseHandler
from models import history
from models.errors import Unavailable

TICK = 0.05  # seconds between two looks at the event loop's clock
LATE = 0.1  # seconds after which it is logged what holds the loop
BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)  # seconds
LOOPBACK = ("127.0.0.1", "::1")
PATIENCE = 5  # seconds for the database to answer
log = logging.getLogger(__name__)


class Histogram:
    """How often something took how long, in the buckets of BOUNDS."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.sum += seconds

    def family(self, name: str, meaning: str) -> Metric:
        """Return it as Prometheus has it: each bucket counts the smaller ones, too."""
        total, buckets = 0, []
        for bound, count in zip((*map(str, BOUNDS), "+Inf"), self.counts, strict=True):
            total += count
            buckets.append((bound, total))
        return HistogramMetricFamily(name, meaning, buckets=buckets, sum_value=self.sum)


class Numbers:
    """What is counted in this process. Plain numbers: a request is counted in half a microsecond.

    `gauges` are asked when someone looks.
    """

    def __init__(self, gauges: dict[str, tuple[str, Callable[[], float]]]) -> None:
        self.requests: Counter[tuple[str, int]] = Counter()
        self.events: Counter[tuple[str, str]] = Counter()
        self.latency, self.lateness = Histogram(), Histogram()
        self.gauges = gauges
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def request(self, method: str, status: int, seconds: float) -> None:
        """Count an answer."""
        self.requests[method, status] += 1
        self.latency.observe(seconds)

    def job(self, name: str, result: str) -> None:
        """Count a job that was done, or has failed."""
        self.events[f"job: {name}", result] += 1

    def collect(self) -> Iterator[Metric]:
        """Give every number."""
        counted = CounterMetricFamily("requests", "answers", labels=("method", "status"))
        for (method, status), count in [*self.requests.items()]:
            counted.add_metric((method, str(status)), count)
        yield counted
        happened = CounterMetricFamily("events", "log-ins and the like", labels=("kind", "result"))
        for kinds, count in [*self.events.items()]:
            happened.add_metric(kinds, count)
        yield happened
        yield self.latency.family("request_seconds", "from the first line to the answer")
        yield self.lateness.family("loop_late_seconds", "how late the event loop's clock ticks")
        for name, (meaning, ask) in self.gauges.items():
            yield GaugeMetricFamily(name, meaning, value=ask())


class LoopWatch:
    """Looks how late the event loop is, and what holds it when it is very late.

    A callback that takes long can't tell of itself: a thread looks at what the loop's thread does.
    """

    def __init__(self, numbers: Numbers) -> None:
        self.numbers = numbers
        self.ending = threading.Event()

    def begin(self) -> None:
        """Watch the running loop."""
        self.loop_thread = threading.get_ident()
        self.due = time.monotonic() + TICK
        self.ticking = asyncio.get_running_loop().create_task(self.tick())
        threading.Thread(target=self.look, name="watch", daemon=True).start()

    async def tick(self) -> None:
        """Note how late each tick comes."""
        while True:
            self.due = time.monotonic() + TICK
            await asyncio.sleep(TICK)
            self.numbers.lateness.observe(max(0.0, time.monotonic() - self.due))

    def look(self) -> None:
        """Log what holds the loop, once for each time that it is held."""
        told = 0.0
        while not self.ending.wait(TICK):
            due = self.due
            late = time.monotonic() - due
            if late > LATE and due != told:
                told = due
                stack = traceback.extract_stack(sys._current_frames().get(self.loop_thread))[-6:]
                told_by = " > ".join(f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in stack)
                log.warning("The event loop is held for %.0f ms by %s", 1000 * late, told_by)

    def end(self) -> None:
        """Look no more."""
        self.ending.set()
        self.ticking.cancel()


class HealthHandler(BaseHandler):
    """Whether the house answers, for whoever keeps it running."""

    default_headers = BaseHandler.default_headers | {"Cache-Control": "no-store"}

    async def get(self) -> None:
        """Read and write through both doors: 200 when that works within PATIENCE, 503 if not."""
        try:
            async with asyncio.timeout(PATIENCE):
                await self.read(history.newest)
                await self.note(history.newest)
        except TimeoutError:
            raise Unavailable("the database does not answer") from None
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish("ok\n")


class MetricsHandler(BaseHandler):
    """What is counted, for Prometheus: to this machine, or to who has the token."""

    default_headers = BaseHandler.default_headers | {"Cache-Control": "no-store"}

    async def get(self) -> None:
        """Give it."""
        token = self.settings["config"].metrics_token
        scheme, _, given = self.request.headers.get("Authorization", "").partition(" ")
        fits = token and hmac.compare_digest(given.encode(), token.encode())
        known = fits and scheme == "Bearer"
        # What came through a proxy that we weren't told of may come from anywhere.
        hidden = "X-Forwarded-For" in self.request.headers and not self.settings["config"].proxies
        if not known and (hidden or self.request.remote_ip not in LOOPBACK):
            raise HTTPError(403)
        numbers: Numbers = self.settings["numbers"]
        self.set_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.finish(generate_latest(numbers.registry))
