"""The requests that are being answered, for who stops the server to wait for."""

import asyncio
from contextlib import suppress
from typing import Any

from tornado.web import HTTPError, RequestHandler


class ActiveRequests:
    """The requests that are being answered; the event `none` is set while there are none."""

    def __init__(self) -> None:
        self.requests: set[RequestHandler] = set()
        self.closed = False
        self.none = asyncio.Event()
        self.none.set()

    async def drain(self, seconds: float) -> None:
        """Wait for those that there are, but no longer than that; refuse new ones then."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.requests:  # one may have begun before this task had its turn
                    await self.none.wait()
        self.closed = True

    def begin(self, request: RequestHandler) -> None:
        """Count one in. Raises HTTPError 503 when nobody would hear the answer."""
        connection: Any = request.request.connection
        if self.closed or connection.stream.closed():
            raise HTTPError(503)
        self.requests.add(request)
        self.none.clear()

    def end(self, request: RequestHandler) -> None:
        """Count one out, if it was in."""
        self.requests.discard(request)
        if not self.requests:
            self.none.set()
