"""The requests that are being answered, for who stops the server to wait for."""

import asyncio
from contextlib import suppress
from typing import Any

from tornado.web import HTTPError, RequestHandler


class ActiveRequests:
    def __init__(self) -> None:
        self.requests: set[RequestHandler] = set()
        self.closed = False

    async def drain(self, seconds: float) -> None:
        """Wait for those that there are, but no longer than that; refuse new ones then."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.requests:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        self.closed = True

    def begin(self, request: RequestHandler) -> None:
        """Count one in. Raises HTTPError 503 when nobody would hear the answer."""
        connection: Any = request.request.connection
        if self.closed or connection.stream.closed():
            raise HTTPError(503)
        self.requests.add(request)

    def end(self, request: RequestHandler) -> None:
        """Count one out, if it was in."""
        self.requests.discard(request)
