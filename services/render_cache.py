"""HTML and JSON that was rendered before, by everything that it depends on."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable

from models.errors import NotFound

BYTES_LIMIT = 16 * 1024 * 1024
OVERHEAD = 1000  # bytes that an entry takes beside what was rendered


class RenderCache:
    """What was rendered, under a key that holds all it depends on, so it's never stale.

    When there is more than `limit` bytes, what was not used for longest goes.
    """

    def __init__(self, limit: int = BYTES_LIMIT) -> None:
        self.limit = limit
        self.size = 0
        self.rendered: OrderedDict[Hashable, bytes] = OrderedDict()
        self.rendering: dict[Hashable, asyncio.Future[bytes]] = {}

    def get(self, key: Hashable) -> bytes | None:
        found = self.rendered.get(key)
        if found is not None:
            self.rendered.move_to_end(key)
        return found

    def put(self, key: Hashable, rendered: bytes) -> None:
        """Cache it, unless it would fill a fifth of the room."""
        size = OVERHEAD + len(rendered)
        if key in self.rendered or size > self.limit / 5:
            return
        self.rendered[key] = rendered
        self.size += size
        while self.size > self.limit:
            self.size -= OVERHEAD + len(self.rendered.popitem(last=False)[1])

    async def get_or_render(self, key: Hashable, render: Callable[[], Awaitable[bytes]]) -> bytes:
        """Return what is cached under `key`, or rendered now, once for all who wait for it.

        A change of a list makes all who have it open ask at the same moment.
        """
        found = self.get(key)
        while found is None:
            task = self.rendering.get(key)
            mine = task is None
            if task is None:
                task = self.rendering[key] = asyncio.ensure_future(render())
                task.add_done_callback(lambda _: self.rendering.pop(key))
            try:
                found = await task
            except NotFound:  # for the one whose request renders it, but perhaps not for others
                if mine:
                    raise
            else:
                self.put(key, found)
        return found
