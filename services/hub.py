"""Who watches which list in this process: by sockets, event streams and long polls."""

import asyncio
import json
from collections import Counter, defaultdict
from contextlib import suppress
from itertools import count
from typing import Any, NamedTuple, Protocol

from tornado.log import app_log

from models import lists, sessions
from models.errors import NotFound, Unavailable
from models.tables import Person
from services.lookup_cache import LookupCache

ALIVE = 20  # seconds between two messages that say no more than that the line is alive
AT_ONCE = 25  # watchers that are sent to before the event loop turns: it is held for half a ms
PER_PERSON, PER_ADDRESS = 20, 100  # sockets, event streams and long polls together
SESSION_ENDED = 4401  # the close code of a socket; up to 4999 they are free (RFC 6455, 7.4.2)


class Message(NamedTuple):
    """JSON for the watchers of a list, encoded once for all; or only for who has the list open."""

    list: int
    kind: str
    data: bytes
    fields: dict[str, Any]
    open_only: bool = False


def message(kind: str, list_id: int = 0, *, open_only: bool = False, **fields: Any) -> Message:
    """Return a message about a list, or about none when its id is 0."""
    about = {"list": list_id} if list_id else {}
    text = json.dumps({"type": kind} | about | fields, separators=(",", ":"))
    return Message(list_id, kind, text.encode(), fields, open_only)


ALIVE_MESSAGE = message("alive")


class Watcher(Protocol):
    """A socket, or what waits in its place; `key` is its session's, empty for an API token."""

    person: Person
    key: str
    watched: dict[int, int]  # lists, and the last version of each that it was told

    def send(self, news: Message) -> None: ...  # now or later: the last of a kind is enough
    def wake(self) -> None: ...  # check whether it may go on
    def end(self, code: int) -> None: ...  # for the reason that a close code of sockets gives


class Hub:
    """The watchers of each list, what they are sent, and whether they still may read it."""

    def __init__(self, lookups: LookupCache) -> None:
        self.lookups = lookups
        self.sockets: set[Any] = set()
        self.streams: set[Any] = set()  # which wait in the place of sockets
        self.sessions: defaultdict[str, set[Watcher]] = defaultdict(set)
        # By list: who watches it, and whether they have it open.
        self.watchers: defaultdict[int, dict[Watcher, bool]] = defaultdict(dict)
        self.versions: dict[int, int] = {}  # of each watched list, the last that was announced
        self.unchecked: set[int] = set()  # lists whose watchers may have lost the right to read
        self.unavailable: set[int] = set()  # those of them that couldn't be looked up
        self.waiting: dict[tuple[int, str], Message] = {}
        self.sending: asyncio.Task[None] | None = None
        self.beating: asyncio.Task[None] | None = None
        self.as_of: object = None  # the snapshot of the database when sessions were checked
        self.closed = False

    def is_full(self, person: Person, address: str | None) -> bool:
        """Say whether a person, or an address, has as many connections for news as they may."""
        every = (*self.sockets, *self.streams)
        count = Counter(key for each in every for key in (each.person.id, each.address))
        return count[person.id] >= PER_PERSON or count[address] >= PER_ADDRESS

    def connect(self, watcher: Watcher) -> None:
        """Add a watcher to those of its session."""
        if watcher.key:
            self.sessions[watcher.key].add(watcher)

    def disconnect(self, watcher: Watcher) -> None:
        """Remove a watcher, which may never have been connected, and all that it watches."""
        for list_id in [*watcher.watched]:
            self.unsubscribe(watcher, list_id)
        self.sessions[watcher.key].discard(watcher)
        if not self.sessions[watcher.key]:
            del self.sessions[watcher.key]

    def subscribe(self, watcher: Watcher, list_id: int, *, opens: bool) -> None:
        """Send a watcher what happens to a list, which its person may read, and has open or not."""
        self.watchers[list_id][watcher] = opens
        watcher.watched.setdefault(list_id, 0)

    def unsubscribe(self, watcher: Watcher, list_id: int) -> None:
        """Undo `subscribe`; nothing happens when that was never called."""
        watcher.watched.pop(list_id, None)
        here = self.watchers.get(list_id, {})
        here.pop(watcher, None)
        if not here:
            self.watchers.pop(list_id, None)
            self.versions.pop(list_id, None)

    def know(self, watcher: Watcher, list_id: int, version: int) -> int:
        """Return the version to tell who begins to watch: this, or a newer one told meanwhile."""
        if list_id in watcher.watched:
            self.versions.setdefault(list_id, version)
            watcher.watched[list_id] = max(version, watcher.watched[list_id])
        return watcher.watched.get(list_id, version)

    def announce(self, list_id: int, version: int, kind: str) -> None:
        """Tell the watchers of a list that it has a new version; of many at once, the last.

        Those who may not read it any more are removed first: that is checked after changes of the
        `kind` member or list, and when a version in between was never announced here.
        """
        if list_id not in self.watchers:
            return
        known = self.versions.get(list_id)
        if kind in ("member", "list") or (known is not None and version > known + 1):
            self.unchecked.add(list_id)
            self.schedule_broadcast()
        if known is None or version > known:
            self.versions[list_id] = version
            self.broadcast(message("changed", list_id, version=version))

    def broadcast(self, news: Message) -> None:
        """Send a message to the watchers of its list, soon."""
        self.waiting[news.list, news.kind] = news
        self.schedule_broadcast()

    def schedule_broadcast(self) -> None:
        self.sending = self.sending or asyncio.create_task(self.send_waiting())

    async def send_waiting(self) -> None:
        """Check the rights that may have changed, then send what is waiting."""
        try:
            while self.waiting or self.unchecked:
                if self.unchecked:
                    await self.check_rights(self.unchecked.pop())
                    continue
                news = self.waiting.pop(next(iter(self.waiting)))
                here = self.watchers.get(news.list, {})
                to = [each for each, opens in here.items() if opens or not news.open_only]
                await self.send(news, to)
        finally:
            self.sending = None

    async def send(self, news: Message, watchers: list[Watcher]) -> None:
        """Send to many, in slices that let others have their turn; no overtaken version."""
        version = news.fields.get("version")
        for begin in range(0, len(watchers), AT_ONCE):
            for watcher in watchers[begin : begin + AT_ONCE]:
                if version is not None:
                    if version <= watcher.watched.get(news.list, version):
                        continue
                    watcher.watched[news.list] = version
                try:
                    watcher.send(news)
                except Exception:  # whatever is wrong with one watcher must not rob the others
                    app_log.exception("Notifying a watcher has failed")
            await asyncio.sleep(0)

    async def check_rights(self, list_id: int) -> None:
        """Remove the watchers of a list who may not read it any more; they are sent `gone`."""
        await asyncio.sleep(0)  # what was looked up in this turn may be older than the change
        out = set()
        for person in {watcher.person for watcher in self.watchers.get(list_id, ())}:
            try:
                await self.lookups(lists.get_for, person, list_id)
            except NotFound:
                out.add(person)
            except Unavailable:
                self.unavailable.add(list_id)  # they stay until it can be looked up
        removed = [each for each in self.watchers.get(list_id, ()) if each.person in out]
        for watcher in removed:
            self.unsubscribe(watcher, list_id)
        await self.send(message("gone", list_id), removed)

    async def open(self) -> None:
        self.beating = asyncio.create_task(self.run())

    async def run(self) -> None:
        for second in count(1):
            await asyncio.sleep(1)
            try:
                await self.heartbeat(anyway=second % ALIVE == 0)
            except Exception:  # the next time may go well
                app_log.exception("The hub's heartbeat has failed")

    async def heartbeat(self, *, anyway: bool) -> None:
        """End the watchers of sessions that have ended, in this process or another.

        That is looked up when anyone has committed, and every ALIVE seconds `anyway`, as time ends
        sessions, too. Then sockets are also sent that the line is alive.
        """
        if anyway:
            await self.send(ALIVE_MESSAGE, [*self.sockets])
        self.unchecked |= self.unavailable
        self.unavailable.clear()
        self.schedule_broadcast()
        with suppress(Unavailable):  # everyone stays until it can be looked up
            snapshot = await self.lookups.snapshot_id()
            if snapshot == self.as_of and not anyway:
                return
            keys = [*self.sessions]
            for begin in range(0, len(keys), AT_ONCE):
                some = keys[begin : begin + AT_ONCE]
                looking = [self.lookups(sessions.session_for, key) for key in some]
                for key, session in zip(some, await asyncio.gather(*looking), strict=True):
                    if not session:
                        self.end_session(key)
            self.as_of = snapshot

    def end_session(self, key: str) -> None:
        for watcher in [*self.sessions.get(key, ())]:
            watcher.end(SESSION_ENDED)

    def recheck_access(self, person: Person) -> None:
        """Have a person's watchers check whether they may go on: one of their tokens has ended."""
        for watcher in set[Watcher]().union(*self.watchers.values()):
            if watcher.person.id == person.id:
                watcher.wake()

    def close(self) -> None:
        self.closed = True
        if self.beating:
            self.beating.cancel()
        for watcher in self.sockets.union(*self.watchers.values()):
            watcher.end(1001)  # going away
