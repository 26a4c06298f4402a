"""HTML that was rendered before, keyed by everything that it depends on."""

import asyncio
from collections import OrderedDict
from typing import Any

KEPT_BYTES = 16 * 1024 * 1024  # of pages and parts of them that were drawn before
ENTRY = 1000  # bytes that keeping something takes beside it


class RenderCache:
    """HTML that was drawn before, under a key that holds all it depends on, so it's never stale.

    What was not used for longest goes when there is more of it than `limit` bytes.
    """

    def __init__(self, limit: int = KEPT_BYTES) -> None:
        self.limit = limit
        self.size = 0
        self.parts: OrderedDict[Any, list[bytes]] = OrderedDict()
        self.drawing: dict[Any, asyncio.Future[list[bytes]]] = {}

    def get(self, key: Any) -> list[bytes] | None:
        """Return what was kept under `key`, or None."""
        parts = self.parts.get(key)
        if parts is not None:
            self.parts.move_to_end(key)
        return parts

    def put(self, key: Any, parts: list[bytes]) -> None:
        """Keep `parts`, but not what would fill a fifth of the room."""
        if key in self.parts:
            return
        size = ENTRY + sum(map(len, parts))
        if size > self.limit / 5:
            return
        self.parts[key] = parts
        self.size += size
        while self.size > self.limit:
            self.size -= ENTRY + sum(map(len, self.parts.popitem(last=False)[1]))
