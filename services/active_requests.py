"""The requests that are being answered."""

import asyncio
import time
from contextlib import suppress
from typing import Any

from tornado.iostream import IOStream
from tornado.web import HTTPError, RequestHandler


class ActiveRequests:
    """The requests being answered; whoever closes the house waits until there are `none`.

    And those who are `asking`, since when: a part of a request, or nothing yet, has come from them.
    """

    def __init__(self) -> None:
        self.asking: dict[IOStream, float] = {}  # in the order of time
        self.requests: set[RequestHandler] = set()
        self.closed = False
        self.none = asyncio.Event()
        self.none.set()

    def hear(self, stream: IOStream) -> None:
        """Note that someone begins to ask, or goes on."""
        self.asking.pop(stream, None)
        self.asking[stream] = time.monotonic()

    async def last(self, seconds: float) -> None:
        """Wait for those that there are, and begin none any more."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.requests:  # one may have begun before this task had its turn
                    await self.none.wait()
        self.closed = True

    def begin(self, request: RequestHandler) -> None:
        """Count one in. Raises HTTPError 503 when it comes too late to be answered."""
        connection: Any = request.request.connection
        self.asking.pop(connection.stream, None)
        if self.closed or connection.stream.closed():
            raise HTTPError(503)
        self.requests.add(request)
        self.none.clear()

    def end(self, request: RequestHandler) -> None:
        """Count one out, if it was in."""
        self.requests.discard(request)
        if not self.requests:
            self.none.set()
