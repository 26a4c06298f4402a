"""Which lists have changed, by this process or another on the same database."""

import asyncio
import logging
import time
from contextlib import suppress
from functools import partial
from typing import Any

from models import lists
from models.errors import Unavailable
from services.app_base import BaseApp, Service
from services.hub import message

REST = 20  # after a look that took some time, it isn't looked again for so many times as long
log = logging.getLogger(__name__)


class ChangeFeed(Service):
    """Announces to the hub what is committed: what this process has, the store tells.

    What others have shows in the versions of the lists that are watched here. They are looked up
    when anyone has committed, every `LookupCache.poll_every` seconds at most, and at once when a
    notification by Redis says so.
    """

    def __init__(self, app: BaseApp) -> None:
        super().__init__(app)
        self.revisions: dict[int, int] = {}  # of watched lists, the last that was announced
        self.notified: set[int] = set()  # lists that another process says it has changed
        self.hint = asyncio.Event()
        self.as_of: object = None  # the snapshot of the database at the last look
        app.receivers["change"] = self.on_notification

    async def open(self) -> None:
        """Start with what is committed from now on."""
        loop = asyncio.get_running_loop()

        soon: Any = loop.call_soon_threadsafe  # it is called in the store's threads
        self.app.store.on_changes = partial(soon, self.announce)
        self.start(self.run())

    def announce(self, changes: list[tuple[int, int, str]]) -> None:
        """Tell the watchers here, and other processes, of changes: list, version and kind."""
        for change in changes:
            self.app.hub.announce(*change)
            self.app.publish("change", *change)

    def on_notification(self, list_id: object, version: object, kind: object) -> None:
        """Look at a list soon, if another process seems to have changed it; anyone may say that."""
        known = self.app.hub.versions.get(list_id) if type(list_id) is int else None
        if known is not None and type(version) is int and version > known:
            self.notified.add(list_id)  # type: ignore[arg-type]
            self.hint.set()

    async def run(self) -> None:
        rest = 0.0
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(max(self.app.lookups.poll_every, rest)):
                    await self.hint.wait()
            self.hint.clear()
            begun = time.monotonic()
            try:
                with suppress(Unavailable):  # the next look may find it
                    await self.poll()
            except Exception:  # no news for ever would be worse
                log.exception("Looking for changes has failed")
            rest = REST * (time.monotonic() - begun)

    async def poll(self) -> None:
        """Announce what is new on the lists that were notified, or else on all that are watched.

        Raises Unavailable.
        """
        watched, as_of = self.app.hub.versions, self.as_of
        notified, self.notified = self.notified, set()
        if not notified:
            as_of = await self.app.lookups.snapshot_id()
            if as_of == self.as_of:
                return
        list_ids = [*(notified or watched)]
        rows = await self.app.read(lists.versions, list_ids) if list_ids else []
        for list_id, version, revision in rows:
            if version > watched.get(list_id, version):
                self.app.hub.announce(list_id, version, "list")  # of whatever kind it was
            if revision > self.revisions.get(list_id, 0):
                self.revisions[list_id] = revision
                self.app.hub.broadcast(message("titles", list_id))
        self.revisions = {n: revision for n, revision in self.revisions.items() if n in watched}
        self.as_of = as_of
