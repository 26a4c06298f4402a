"""Who watches which list in this process, and who else has it open."""

import asyncio
import gc
import json
import secrets
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import chain, count, islice, takewhile
from typing import Any, NamedTuple

from tornado.log import app_log

from models import lists, presence, sessions
from models.errors import NotFound, Unavailable
from models.tables import Person
from services.lookup_cache import LookupCache

ALIVE = 20  # seconds after which a quiet watcher hears that all is well
ASKED = 15  # seconds after which a socket hears that, and is asked whether it is there
TURNS = 20  # times a second that some are asked
AT_ONCE = 25  # watchers told in one go, before others have their turn: half a millisecond
LINGER = 3  # seconds that someone counts as here who has gone: a page that reloads
NOTED = 15  # seconds after which it is noted anew for other processes who is here
PROCESSES = 100  # whose word is taken
Here = set[tuple[int, int, str]]  # lists, and who has them open: their ids and names


class Message(NamedTuple):
    """What watchers are told: of which list, in JSON, and that as a frame of a WebSocket."""

    list: int
    kind: str
    text: str
    frame: bytes
    version: int = 0
    people: tuple[str, ...] = ()


def message(kind: str, list_id: int = 0, **more: Any) -> Message:
    """Return a message; it is encoded once, however many hear it."""
    about = {"list": list_id} if list_id else {}
    text = json.dumps({"type": kind} | about | more, separators=(",", ":"))
    data = text.encode()
    size = len(data)
    head = bytes([0x81, size]) if size < 126 else b"\x81\x7e" + size.to_bytes(2)  # RFC 6455, 5.2
    version, people = more.get("version", 0), more.get("people", ())
    return Message(list_id, kind, text, head + data, version, people)


ALL_IS_WELL = message("alive")
PING = ALL_IS_WELL._replace(frame=ALL_IS_WELL.frame + b"\x89\0")  # RFC 6455, 5.5.2


class Subscriber:
    """Someone who waits for news of one list; of news that come while it is busy, the last."""

    def __init__(self, hub: "Hub", list_id: int, person: Person, key: str = "") -> None:
        self.hub = hub
        self.list = list_id
        self.person = person
        self.key = key
        self.watched, self.present = set[int](), set[int]()
        self.presence = False
        self.came = asyncio.Event()
        self.news: dict[str, Message] = {}
        self.ended = hub.closed
        if self.ended:
            self.came.set()  # who comes too late doesn't wait
        hub.subscribe(self, list_id, present=bool(key))  # a program isn't someone who is here
        hub.connect(self)

    def send(self, news: Message) -> None:
        """Take a message; that nobody else is here is no news to who never had company."""
        if news.kind == "present":
            alone = news.people in ((), (self.person.username,))
            if alone and not self.presence:
                return
            self.presence = not alone
        self.news[news.kind] = news
        self.came.set()
        if news.kind == "gone":
            self.end()

    async def wait(self, seconds: float = ALIVE) -> list[Message]:
        """Wait for news; return none when none came."""
        try:
            await asyncio.wait_for(self.came.wait(), seconds)
        except TimeoutError:
            return []
        self.came.clear()
        news, self.news = self.news, {}
        return [*news.values()]

    def end(self) -> None:
        """Wait for nothing more."""
        self.ended = True
        self.came.set()
        self.hub.unsubscribe(self, self.list)
        self.hub.disconnect(self)


class Presence:
    """Who has which list open: those who watch it here, and those noted by other processes."""

    def __init__(self, lookups: LookupCache) -> None:
        self.lookups = lookups
        self.process = secrets.token_hex(16)
        self.seen: dict[tuple[int, str], float] = {}  # by list and name: when last, anywhere
        self.told: dict[int, tuple[str, ...]] = {}
        self.noted: tuple[Here | None, float] = (set(), 0)
        self.heard: dict[str, tuple[float, set[tuple[int, str]]]] = {}  # by process: when, who
        # takes lists and names to other processes, or says that the table has to
        self.publish: Callable[[list[tuple[int, str]]], bool] = lambda places: False
        self.tabled = False

    def hide_presence(self, person: Person) -> None:
        """Forget at once that someone was here just now."""
        self.seen = {place: at for place, at in self.seen.items() if place[1] != person.username}

    def hear(self, process: str, places: list[Any]) -> None:
        """Take what another process says of who is there: lists and names, or any nonsense."""
        with suppress(TypeError, ValueError):
            there = {(n, name) for n, name in places if type(n) is int and type(name) is str}
            if process in self.heard or len(self.heard) < PROCESSES:
                self.heard[process] = (time.monotonic(), there)

    def note_anew(self) -> None:
        """Have it noted soon who is here, though nothing has changed."""
        self.noted = (None, 0)

    async def news(self, present: Here) -> list[Message]:
        """Return what has changed since the last time, now that these are here."""
        elsewhere: list[tuple[int, str]] = []
        with suppress(Unavailable):
            elsewhere = await self.lookups(presence.elsewhere, self.process)
        now = time.monotonic()
        believed = presence.BELIEVED_FOR.total_seconds()
        self.heard = {key: each for key, each in self.heard.items() if each[0] > now - believed}
        here = [(number, name) for number, _, name in present]
        for places in (here, elsewhere, *(there for _, there in self.heard.values())):
            self.seen |= dict.fromkeys(places, now)
        self.seen = {place: at for place, at in self.seen.items() if at > now - LINGER}
        people: defaultdict[int, list[str]] = defaultdict(list)
        for list_id, name in self.seen:
            people[list_id].append(name)
        before, self.told = self.told, {number: tuple(sorted(n)) for number, n in people.items()}
        return [
            message("present", number, people=self.told.get(number, ()))
            for number in before | self.told
            if before.get(number) != self.told.get(number)
        ]

    def to_note(self, here: Here) -> set[tuple[int, int]] | None:
        """Return who is here, as ids of lists and people, if the table should hold that now."""
        places, at = self.noted
        if here == places and not (here and at < time.monotonic() - NOTED):
            return None
        self.noted = (here, time.monotonic())
        carried = self.publish([(number, name) for number, _, name in here])
        tabled, self.tabled = self.tabled, not carried
        if carried:
            return set() if tabled else None
        return {(number, person) for number, person, _ in here}


class Hub:
    """Who watches which list in this process."""

    def __init__(self, lookups: LookupCache) -> None:
        self.lookups = lookups
        self.presence = Presence(lookups)
        self.watchers: defaultdict[int, set[Any]] = defaultdict(set)
        self.sockets: dict[Any, float] = {}  # when each was asked, in that order
        self.sessions: defaultdict[str, set[Any]] = defaultdict(set)
        self.versions: dict[int, int] = {}  # which the watchers of each list know
        self.unsure: set[int] = set()  # lists that someone may read no more, perhaps
        self.doubtful: set[int] = set()  # those of them that could not be looked up
        self.waiting: dict[tuple[int, str], Message] = {}
        self.telling: asyncio.Task[None] | None = None
        self.as_of: object = None  # of the database, when sessions were looked at
        self.stirred = 0
        self.closed = False

    def connect(self, each: Any) -> None:
        """Count someone in with their session; programs have none."""
        if each.key:
            self.sessions[each.key].add(each)

    def disconnect(self, each: Any) -> None:
        """Count someone out of their session, if they were in."""
        here = self.sessions.get(each.key, set())
        here.discard(each)
        if not here:
            self.sessions.pop(each.key, None)

    def subscribe(self, watcher: Any, list_id: int, *, present: bool) -> None:
        """Count a watcher in, and its person as present, or not."""
        self.watchers[list_id].add(watcher)
        watcher.watched.add(list_id)
        if present:
            watcher.present.add(list_id)

    def unsubscribe(self, watcher: Any, list_id: int) -> None:
        """Count a watcher out, if it was in."""
        watcher.watched.discard(list_id)
        watcher.present.discard(list_id)
        here = self.watchers.get(list_id, set())
        here.discard(watcher)
        if not here:
            self.watchers.pop(list_id, None)
            self.versions.pop(list_id, None)

    async def here(self) -> Here:
        """Return who has which list open in this process, but who doesn't want that to be seen.

        There may be very many windows: after AT_ONCE of them others have their turn.
        """
        windows = [*chain.from_iterable(self.sessions.values())]
        found: Here = set()
        for begin in range(0, len(windows), AT_ONCE):
            for each in windows[begin : begin + AT_ONCE]:
                person = each.person
                if person.presence:
                    found.update([(number, person.id, person.username) for number in each.present])
            await asyncio.sleep(0)
        return found

    def settle(self) -> None:
        """Count a socket that came, or a frame: after AT_ONCE, what lives now is taken to stay.

        The collector would look through all that 10,000 sockets hold now and then, and hold the
        loop for half a second. What goes is freed without it, unless it holds itself in a ring.
        """
        self.stirred += 1
        if self.stirred % AT_ONCE == 0:
            gc.collect()  # looks at what has come since the last time only
            gc.freeze()

    def hide_presence(self, key: str, person: Person) -> None:
        """Count out the windows of a session whose owner has switched presence off."""
        for each in self.sessions.get(key, ()):
            if each.person.presence:
                each.person = person
                self.presence.hide_presence(person)

    def others(self, list_id: int, username: str) -> tuple[str, ...]:
        """Return who else has a list open."""
        return tuple(name for name in self.presence.told.get(list_id, ()) if name != username)

    def announce(self, list_id: int, version: int, kind: str) -> None:
        """Tell the watchers of a list that it has another version; of many at once, the last.

        Those who may not read it any more are sent away before. Or, when `kind` is title, that a
        link on it has a title now.
        """
        if list_id not in self.watchers:
            return
        if kind == "title":
            self.broadcast(message("titles", list_id))
            return
        missed = version > self.versions.get(list_id, version) + 1
        if kind in ("member", "list") or missed:
            self.unsure.add(list_id)
            self.schedule_broadcast()
        if version > self.versions.get(list_id, 0):
            self.versions[list_id] = version
            self.broadcast(message("changed", list_id, version=version))

    def know(self, list_id: int, version: int) -> None:
        """Note at which version someone began to watch a list; later ones are announced."""
        if list_id in self.watchers:
            self.versions.setdefault(list_id, version)

    async def check(self, list_id: int) -> None:
        """Send away who may not read the list any more."""
        gone = message("gone", list_id)
        await asyncio.sleep(0)  # what is known in this turn may be older than the news
        people = [*{watcher.person for watcher in self.watchers.get(list_id, ())}]
        may = await asyncio.gather(*[self.may(person, list_id) for person in people])
        out = {person for person, each in zip(people, may, strict=True) if not each}
        for watcher in [*self.watchers.get(list_id, ())]:
            if watcher.person in out:
                watcher.send(gone)
                self.unsubscribe(watcher, list_id)

    async def may(self, person: Person, list_id: int) -> bool:
        """Say whether someone may read a list; yes while that can't be found out."""
        try:
            await self.lookups(lists.one, person, list_id)
        except NotFound:
            return False
        except Unavailable:
            self.doubtful.add(list_id)
        return True

    async def person_of(self, key: str) -> Person | None:
        """Return whose session it is, None when it has ended; what can't be found out, goes on."""
        try:
            visit = await self.lookups(sessions.session_for, key)
        except Unavailable:
            return Person(0, "")
        return visit.person if visit else None

    def broadcast(self, news: Message) -> None:
        """Tell the watchers of a list, soon."""
        self.waiting[news.list, news.kind] = news
        self.schedule_broadcast()

    def schedule_broadcast(self) -> None:
        """Begin to tell, unless that has begun."""
        if not self.telling:
            self.telling = asyncio.get_running_loop().create_task(self.send())

    async def send(self) -> None:
        """Tell all that waits, AT_ONCE watchers at a time."""
        try:
            while self.waiting or self.unsure:
                if self.unsure:
                    await self.check(self.unsure.pop())
                    continue
                news = self.waiting.pop(next(iter(self.waiting)))
                watchers = [*self.watchers.get(news.list, ())]
                for begin in range(0, len(watchers), AT_ONCE):
                    for watcher in watchers[begin : begin + AT_ONCE]:
                        if news.kind == "present" and news.list not in watcher.present:
                            continue  # it only listens
                        try:
                            watcher.send(news)
                        except Exception:  # whatever is wrong with one is not for the others
                            app_log.exception("Notifying a subscriber has failed")
                    await asyncio.sleep(0)
        finally:
            self.telling = None

    async def keep(self) -> None:
        """Look after those who are here, each second, and after some of their sockets each turn."""
        for turn in count(1):
            await asyncio.sleep(1 / TURNS)
            try:
                self.ping()
                if turn % TURNS == 0:
                    await self.heartbeat(anyway=not turn % (ALIVE * TURNS))
            except Exception:  # the next time may go well
                app_log.exception("The hub's heartbeat has failed")

    async def heartbeat(self, *, anyway: bool) -> None:
        """Say who is present, and let go of those whose session has ended.

        Any process may have ended a session, so they are looked at when anyone has committed; and
        now and then `anyway`, as time ends sessions, too.
        """
        here = await self.here()
        for news in await self.presence.news(here):
            self.broadcast(news)
        if self.doubtful:
            self.unsure |= self.doubtful
            self.doubtful.clear()
            self.schedule_broadcast()
        noted = self.presence.to_note(here)
        if noted is not None:
            note = partial(presence.store, self.presence.process, noted)
            self.lookups.store.write(note, lambda result, error: None)
        moment = None
        with suppress(Unavailable):  # then it is time to look, and all is well so far
            moment = await self.lookups.snapshot_id()
        if moment is not None and moment == self.as_of and not anyway:
            return
        self.as_of = moment
        keys = [*self.sessions]
        for begin in range(0, len(keys), AT_ONCE):
            some = keys[begin : begin + AT_ONCE]
            people = await asyncio.gather(*map(self.person_of, some))
            for key, person in zip(some, people, strict=True):
                if not person:
                    self.end_session(key)
                elif not person.presence:
                    self.hide_presence(key, person)

    def ping(self) -> None:
        """Say to the sockets whose turn it is that all is well; end those that didn't answer.

        Tornado would keep a task and a timer for each, a tenth of what a socket weighs. However
        many they are, each has its turn every ALIVE seconds.
        """
        now, most = time.monotonic(), max(AT_ONCE, len(self.sockets) // (ALIVE * TURNS) + 1)
        due = takewhile(lambda each: self.sockets[each] < now - ASKED, self.sockets)
        for each in [*islice(due, most)]:
            del self.sockets[each]
            self.sockets[each] = now
            if each.answered:
                each.answered = False
                each.send(PING)
            else:
                each.stream.close()

    def end_session(self, key: str) -> None:
        """Let go of those who came with a session that has ended just now."""
        for each in [*self.sessions.get(key, ())]:
            each.end()

    async def open(self) -> None:
        """Begin to keep company."""
        self.keeping = asyncio.get_running_loop().create_task(self.keep())

    def recheck_access(self, person: Person) -> None:
        """Have someone's streams look whether they may go on."""
        for watchers in self.watchers.values():
            for watcher in watchers:
                if isinstance(watcher, Subscriber) and watcher.person.id == person.id:
                    watcher.came.set()

    def close(self) -> None:
        """Send everyone home."""
        self.closed = True
        self.keeping.cancel()
        self.presence.publish([])
        gone = partial(presence.store, self.presence.process, ())
        self.lookups.store.write(gone, lambda result, error: None)
        for socket in [*self.sockets]:
            socket.close(1001)
        for watchers in [*self.watchers.values()]:
            for watcher in [*watchers]:
                if isinstance(watcher, Subscriber):
                    watcher.end()
