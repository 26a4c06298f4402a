"""What this process counts, and what holds its event loop."""

import asyncio
import logging
import sys
import threading
import time
import traceback
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from tornado.web import RequestHandler

from services.app_base import BaseApp

TICK = 0.05  # seconds between two looks at the event loop's clock
LATE = 0.1  # seconds after which it is logged what holds the loop
BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)  # seconds

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


class Metrics:
    """What is counted in this process; gauges are asked when someone looks."""

    def __init__(self, app: BaseApp) -> None:
        self.app = app
        app.on_request.append(self.request)
        app.on_event.append(self.event)
        self.requests: Counter[tuple[str, int]] = Counter()
        self.events: Counter[tuple[str, str]] = Counter()
        self.latency, self.lateness = Histogram(), Histogram()
        self.registry = CollectorRegistry()
        self.registry.register(self)

    async def open(self) -> None:
        """Count from the beginning."""

    async def close(self) -> None:
        """Let the numbers go with the process."""

    def request(self, handler: RequestHandler) -> None:
        """Count an answer."""
        request = handler.request
        self.requests[request.method or "", handler.get_status()] += 1
        self.latency.observe(request.request_time())

    def event(self, kind: str, result: str) -> None:
        """Count what has happened, such as a log-in."""
        self.events[kind, result] += 1

    def gauges(self) -> dict[str, tuple[str, float]]:
        """Return the meanings and values of what is measured when someone looks."""
        app = self.app
        return {
            "sockets": ("open live connections", len(app.hub.sockets)),
            "writer_queue": ("units of work waiting for the writer", app.store.waiting()),
            "writer_batch": ("units of work per commit, recently", app.store.batch()),
            "hashes_waiting": ("passwords waiting to be hashed", app.hash_pool.waiting),
            "under_way": ("requests in progress", len(app.active_requests.requests)),
        }

    def collect(self) -> Iterator[Metric]:
        """Give every number."""
        counted = CounterMetricFamily("requests", "answers", labels=("method", "status"))
        for (method, status), count in [*self.requests.items()]:
            counted.add_metric((method, str(status)), count)
        yield counted
        happened = CounterMetricFamily("events", "logins and the like", labels=("kind", "result"))
        for kinds, count in [*self.events.items()]:
            happened.add_metric(kinds, count)
        yield happened
        yield self.latency.family("request_seconds", "time from request line to response")
        yield self.lateness.family("loop_late_seconds", "lag of the event loop")
        for name, (meaning, value) in self.gauges().items():
            yield GaugeMetricFamily(name, meaning, value=value)


class LoopMonitor:
    """Looks how late the event loop is, and what holds it when it is very late.

    A callback that takes long can't tell of itself: a thread looks at what the loop's thread does.
    """

    def __init__(self, app: BaseApp) -> None:
        self.metrics = app.service(Metrics)
        self.ending = threading.Event()

    async def open(self) -> None:
        """Watch the running loop."""
        self.loop_thread = threading.get_ident()
        self.due = time.monotonic() + TICK
        self.ticking = asyncio.get_running_loop().create_task(self.measure())
        threading.Thread(target=self.watch_thread, name="watch", daemon=True).start()

    async def measure(self) -> None:
        """Note how late each tick comes."""
        while True:
            self.due = time.monotonic() + TICK
            await asyncio.sleep(TICK)
            self.metrics.lateness.observe(max(0.0, time.monotonic() - self.due))

    def watch_thread(self) -> None:
        """Log what holds the loop, once for each time that it is held."""
        told = 0.0
        while not self.ending.wait(TICK):
            due = self.due
            late = time.monotonic() - due
            if late > LATE and due != told:
                told = due
                stack = traceback.extract_stack(sys._current_frames().get(self.loop_thread))[-6:]
                told_by = " > ".join(f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in stack)
                log.warning("The event loop was blocked for %.0f ms by %s", 1000 * late, told_by)

    async def close(self) -> None:
        """Look no more."""
        self.ending.set()
        self.ticking.cancel()
