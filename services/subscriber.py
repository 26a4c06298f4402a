"""Waits for news of one list: what event streams and long polls have in place of a socket."""

import asyncio
from typing import Any

from models.errors import TooMany
from models.tables import Person
from services.hub import ALIVE, Message

SLOT_WITHIN = 30  # seconds after which a long poll has ended


class Subscriber:
    """A watcher of one list. Of messages that come while it is busy, it keeps the last of a kind.

    Without the key of a session, as for programs, its person doesn't have the list open.
    """

    def __init__(self, handler: Any, list_id: int, key: str = "") -> None:
        """Subscribe the person of a handler. Raises TooMany."""
        self.hub = hub = handler.app.hub
        self.person: Person = handler.current_user
        self.address = handler.request.remote_ip
        if handler.app.config.throttle and hub.is_full(self.person, self.address):
            raise TooMany(SLOT_WITHIN)
        self.key = key
        self.watched: dict[int, int] = {}
        self.in_company = False
        self.came = asyncio.Event()
        self.news: dict[str, Message] = {}
        self.ended = False
        hub.streams.add(self)
        hub.subscribe(self, list_id, opens=bool(key))
        hub.connect(self)
        if hub.closed:
            self.end()

    def send(self, news: Message) -> None:
        """Keep a message; that nobody else is there is no news to who never had company."""
        if news.kind == "present":
            alone = {*news.fields["people"]} <= {self.person.username}
            if alone and not self.in_company:
                return
            self.in_company = not alone
        self.news[news.kind] = news
        self.came.set()
        if news.kind == "gone":
            self.end()

    async def wait(self, seconds: float = ALIVE) -> list[Message]:
        """Wait for messages; return none when none came, or when it was woken or ended."""
        try:
            await asyncio.wait_for(self.came.wait(), seconds)
        except TimeoutError:
            return []
        self.came.clear()
        news, self.news = self.news, {}
        return [*news.values()]

    def wake(self) -> None:
        self.came.set()

    def end(self, code: int = 0) -> None:
        """Let `wait` return, and receive nothing more."""
        self.ended = True
        self.came.set()
        self.hub.disconnect(self)
        self.hub.streams.discard(self)
