"""Between threads and the event loop: units of work, and password hashes."""

import asyncio
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar
from weakref import WeakValueDictionary

from models.database import Answer
from models.errors import Unavailable

P = ParamSpec("P")
T = TypeVar("T")
Submit = Callable[[Callable[[], Any], Answer], None]  # `read` or `write` of a store

HASHES_WAITING = 32  # about a second of work


class ThreadBridge:
    """Gives units of work to the store's threads, and their answers back to the event loop.

    It wakes either side once for many: a commit answers a whole group of units, and
    `asyncio.wrap_future` would wake the loop for each of them.
    """

    def __init__(self) -> None:
        self.submitted: list[tuple[Submit, Callable[[], Any], Answer]] = []
        self.answers: deque[tuple[asyncio.Future[Any], Any, Exception | None]] = deque()
        self.woken = False
        # By user: their last commit, as long as anyone awaits it.
        self.last: WeakValueDictionary[int, asyncio.Future[Any]] = WeakValueDictionary()

    def run(self, submit: Submit, work: Callable[[], T]) -> asyncio.Future[T]:
        """Return the future answer of a unit of work, which all of this turn are submitted with."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def answer(result: T, error: Exception | None) -> None:  # runs in the store's thread
            self.answers.append((future, result, error))
            if not self.woken:
                self.woken = True
                loop.call_soon_threadsafe(self.deliver)

        if not self.submitted:
            loop.call_soon(self.submit)
        self.submitted.append((submit, work, answer))
        return future

    def submit(self) -> None:
        """Give the store all that came in one turn of the loop, for one commit."""
        submitted, self.submitted = self.submitted, []
        for submit, work, answer in submitted:
            submit(work, answer)

    def deliver(self) -> None:
        self.woken = False  # before the loop, so that an answer which comes from now on wakes again
        while self.answers:
            future, result, error = self.answers.popleft()
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
        """Run `work` on a password. Raises Unavailable when HASHES_WAITING wait already."""
        if self.waiting >= HASHES_WAITING:
            raise Unavailable("too many passwords waiting to be hashed")
        self.waiting += 1
        try:
            return await asyncio.wrap_future(self.threads.submit(work, *args, **kwargs))
        finally:
            self.waiting -= 1
