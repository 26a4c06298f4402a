"""The hub: who watches which list in this process. It knows no SQL and no rights."""

import asyncio
from collections import defaultdict

ALIVE = 20  # seconds after which a quiet watcher hears that all is well


class Watcher:
    """Waits for news of one list; news that come while it is busy are one."""

    def __init__(self, hub: "Hub", list_id: int) -> None:
        self.hub = hub
        self.list = list_id
        self.news = asyncio.Event()
        self.ended = hub.closed
        hub.watchers[list_id].add(self)

    async def wait(self) -> bool:
        """Wait for news; return False when nothing came for a while, and so it may be lonely."""
        try:
            await asyncio.wait_for(self.news.wait(), ALIVE)
        except TimeoutError:
            return False
        self.news.clear()
        return True

    def end(self) -> None:
        """Wait for nothing more."""
        self.ended = True
        self.news.set()
        self.hub.watchers[self.list].discard(self)
        if not self.hub.watchers[self.list]:
            del self.hub.watchers[self.list]


class Hub:
    """Tells the watchers of a list when it has changed."""

    def __init__(self) -> None:
        self.watchers: defaultdict[int, set[Watcher]] = defaultdict(set)
        self.closed = False

    def announce(self, list_id: int, version: int, kind: str) -> None:
        """Wake the watchers of a list, which has another version now."""
        for watcher in self.watchers.get(list_id, ()):
            watcher.news.set()

    def close(self) -> None:
        """Send everyone home."""
        self.closed = True
        for watchers in [*self.watchers.values()]:
            for watcher in [*watchers]:
                watcher.end()
