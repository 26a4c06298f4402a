"""What this process counts, and what blocks its event loop."""

import asyncio
import logging
import sys
import threading
import time
import traceback
from functools import cache, partial
from pathlib import Path
from statistics import fmean

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from tornado.web import RequestHandler

from services.app_base import BaseApp

TICK = 0.05  # seconds between two measurements of the event loop's lag
BLOCKED = 0.1  # seconds of lag after which it is logged what blocks the loop
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)  # seconds
METHODS = {*RequestHandler.SUPPORTED_METHODS}  # clients send anything

log = logging.getLogger(__name__)
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # lines that nobody reads


class Metrics:
    """Counters, histograms and gauges, in a registry of this App's."""

    def __init__(self, app: BaseApp) -> None:
        app.on_request, app.event = self.count_request, self.count_event
        self.registry = registry = CollectorRegistry()
        counter = partial(Counter, registry=registry)
        histogram = partial(Histogram, registry=registry, buckets=BUCKETS)
        self.requests = cache(counter("requests", "answers", ["method", "status"]).labels)
        self.events = counter("events", "logins and the like", ["kind", "result"])
        self.latency = histogram("request_seconds", "time from request line to response")
        self.loop_lag = histogram("loop_late_seconds", "lag of the event loop")
        groups = app.store.groups
        for name, meaning, value in (
            ("sockets", "open live connections", lambda: len(app.hub.sockets)),
            ("writer_queue", "units of work waiting for the writer", lambda: app.store.waiting()),
            ("writer_batch", "units of work per commit, recently", lambda: fmean(groups or [0])),
            ("hashes_waiting", "passwords waiting to be hashed", lambda: app.hash_pool.waiting),
            ("under_way", "requests in progress", lambda: len(app.active_requests.requests)),
        ):
            Gauge(name, meaning, registry=registry).set_function(value)
        monitor = LoopMonitor(self.loop_lag)
        self.open, self.close = monitor.open, monitor.close

    def count_request(self, handler: RequestHandler) -> None:
        request = handler.request
        method = str(request.method)
        self.requests(method if method in METHODS else "other", handler.get_status()).inc()
        self.latency.observe(request.request_time())

    def count_event(self, kind: str, result: str) -> None:
        self.events.labels(kind, result).inc()


class LoopMonitor:
    """Measures the lag of the event loop, and logs what blocks it when that is long.

    A callback that takes long can't report itself: a thread looks at the loop's stack meanwhile.
    """

    def __init__(self, lag: Histogram) -> None:
        self.lag = lag
        self.closing = threading.Event()

    async def open(self) -> None:
        self.loop_thread = threading.get_ident()
        self.due = time.monotonic() + TICK
        self.measuring = asyncio.get_running_loop().create_task(self.measure())
        threading.Thread(target=self.watch_thread, name="loop monitor", daemon=True).start()

    async def measure(self) -> None:
        while True:
            self.due = time.monotonic() + TICK
            await asyncio.sleep(TICK)
            self.lag.observe(max(0.0, time.monotonic() - self.due))

    def watch_thread(self) -> None:
        """Log what blocks the loop, once for each time that it is blocked; runs in a thread."""
        logged = 0.0
        while not self.closing.wait(TICK):
            due = self.due
            late = time.monotonic() - due
            if late > BLOCKED and due != logged:
                logged = due
                # The interpreter's only way to see another thread's stack.
                frame = sys._current_frames().get(self.loop_thread)
                stack = traceback.extract_stack(frame)[-6:]
                calls = " > ".join(f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in stack)
                log.warning("The event loop was blocked for %.0f ms by %s", 1000 * late, calls)

    async def close(self) -> None:
        self.closing.set()
        self.measuring.cancel()
