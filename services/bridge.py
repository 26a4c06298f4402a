"""What keeps the event loop free: work in threads and its answers, and what is kept of it."""

import asyncio
import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from models.database import Answer
from models.errors import Unavailable

P = ParamSpec("P")
T = TypeVar("T")
Door = Callable[[Callable[[], Any], Answer], None]

HASHES_WAITING = 32  # about a second of work; whoever comes later is asked to try again


class ThreadBridge:
    """Brings what the models' threads answer to the event loop, waking it once for many.

    A commit answers a whole group; `asyncio.wrap_future` would wake the loop for each of them.
    """

    def __init__(self) -> None:
        self.handed_in: list[tuple[Door, Callable[[], Any], Answer]] = []
        self.ready: deque[tuple[asyncio.Future[Any], Any, Exception | None]] = deque()
        self.called = False
        self.last: dict[int, asyncio.Future[Any]] = {}  # by person: the commit that is under way

    def of(self, door: Door, work: Callable[[], T]) -> asyncio.Future[T]:
        """Hand a unit of work in at a door of `models.database`; return its answer to come."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def answer(result: T, error: Exception | None) -> None:  # runs in the model's thread
            self.ready.append((future, result, error))
            if not self.called:
                self.called = True
                loop.call_soon_threadsafe(self.deliver)

        if not self.handed_in:
            loop.call_soon(self.hand_in)
        self.handed_in.append((door, work, answer))
        return future

    def hand_in(self) -> None:
        """Give the threads all that came in one turn of the loop, for one commit."""
        handed_in, self.handed_in = self.handed_in, []
        for door, work, answer in handed_in:
            door(work, answer)

    def deliver(self) -> None:
        """Give everyone their answer."""
        self.called = False  # before looking, so that what comes from now on calls again
        while self.ready:
            future, result, error = self.ready.popleft()
            if future.cancelled():
                continue
            if error is None:
                future.set_result(result)
            elif isinstance(error, StopIteration):  # which no future can hold
                future.set_exception(RuntimeError(repr(error)))
            else:
                future.set_exception(error)


class HashPool:
    """The threads for work on passwords: two at most, and one core is left for the rest."""

    def __init__(self) -> None:
        threads = max(1, min(2, (os.cpu_count() or 1) - 1))
        self.threads = ThreadPoolExecutor(threads, thread_name_prefix="hashing")
        self.waiting = 0

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Wait for `work` on a password. Raises Unavailable when too much waits already."""
        if self.waiting >= HASHES_WAITING:
            raise Unavailable("too many passwords waiting to be hashed")
        self.waiting += 1
        try:
            return await asyncio.wrap_future(self.threads.submit(work, *args, **kwargs))
        finally:
            self.waiting -= 1


async def in_daemon_thread(work: Callable[[], T]) -> T:
    """Wait for `work` in a thread that the house, when it closes, does not wait for."""
    ended: Future[T] = Future()
    ended.set_running_or_notify_cancel()  # whoever waits may go, but the work goes on

    def run() -> None:
        try:
            ended.set_result(work())
        except Exception as error:  # it belongs to whoever waits
            ended.set_exception(error)

    threading.Thread(target=run, name="aside", daemon=True).start()
    return await asyncio.wrap_future(ended)
