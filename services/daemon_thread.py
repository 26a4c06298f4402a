"""A thread that the process, when it ends, does not wait for: asyncio's own are waited for."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


async def in_daemon_thread(work: Callable[[], T]) -> T:
    """Run `work` in a thread that the process, when it ends, does not wait for."""
    ended: Future[T] = Future()
    ended.set_running_or_notify_cancel()  # a caller who is cancelled doesn't stop the work

    def run() -> None:
        try:
            ended.set_result(work())
        except Exception as error:  # raised where it is awaited
            ended.set_exception(error)

    threading.Thread(target=run, name="aside", daemon=True).start()
    return await asyncio.wrap_future(ended)
