"""What keeps the event loop free: work in threads and its answers, and what is kept of it."""

import asyncio
import os
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, ParamSpec, TypeVar

from tornado.iostream import IOStream
from tornado.log import app_log
from tornado.web import HTTPError, RequestHandler

from models.clock import clock
from models.database import Answer, Doors, Outcome, Prepared
from models.errors import NotFound, TooMany, Unavailable
from models.postgres import PostgresDoors

P = ParamSpec("P")
T = TypeVar("T")
Door = Callable[[Callable[[], Any], Answer], None]

KEPT_BYTES = 16 * 1024 * 1024  # of pages and parts of them that were drawn before
ENTRY = 1000  # bytes that keeping something takes beside it
PEOPLE_PACED = 10_000  # of whom it is remembered how fast they write
HASHES_WAITING = 32  # about a second of work; whoever comes later is asked to try again


class Answers:
    """Brings what the models' threads answer to the event loop, waking it once for many.

    A commit answers a whole group; `asyncio.wrap_future` would wake the loop for each of them.
    """

    def __init__(self) -> None:
        self.handed_in: list[tuple[Door, Callable[[], Any], Answer]] = []
        self.ready: deque[tuple[asyncio.Future[Any], Any, Exception | None]] = deque()
        self.called = False
        self.last: dict[int, asyncio.Future[Any]] = {}  # by person: the commit that is under way

    def of(self, door: Door, work: Callable[[], T]) -> asyncio.Future[T]:
        """Hand a unit of work in at a door of `models.database`; return its answer to come."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def answer(result: T, error: Exception | None) -> None:  # runs in the model's thread
            self.ready.append((future, result, error))
            if not self.called:
                self.called = True
                loop.call_soon_threadsafe(self.deliver)

        if not self.handed_in:
            loop.call_soon(self.hand_in)
        self.handed_in.append((door, work, answer))
        return future

    def hand_in(self) -> None:
        """Give the threads all that came in one turn of the loop, for one commit."""
        handed_in, self.handed_in = self.handed_in, []
        for door, work, answer in handed_in:
            door(work, answer)

    def deliver(self) -> None:
        """Give everyone their answer."""
        self.called = False  # before looking, so that what comes from now on calls again
        while self.ready:
            future, result, error = self.ready.popleft()
            if future.cancelled():
                continue
            if error is None:
                future.set_result(result)
            elif isinstance(error, StopIteration):  # which no future can hold
                future.set_exception(RuntimeError(repr(error)))
            else:
                future.set_exception(error)


class Lookups:
    """Looks things up by key, on the event loop itself, and remembers them until anyone commits.

    Whether anyone did is asked once in a turn of the loop. A request is read after its turn began,
    so what it is told is never older than what was acknowledged before it was sent.
    """

    def __init__(self, doors: Doors) -> None:
        self.doors = doors
        self.known: dict[Any, Any] = {}
        self.as_of = (0, 0)
        self.asked = False

    async def __call__(self, unit: Callable[..., T], *args: Any) -> T:
        """Return what `unit` answers, a function of a model that takes a `look`."""
        try:
            if not self.asked:
                self.asked = True
                asyncio.get_running_loop().call_soon(self.ask_again)
                now = self.doors.commits(), int(clock.seconds())  # by which sessions end, too
                if now != self.as_of:
                    self.known.clear()
                    self.as_of = now
            key = (unit, args)
            if key not in self.known:
                self.known[key] = unit(*args, look=self.doors.look)
            return self.known[key]  # type: ignore[no-any-return]
        except Exception:  # after which a new connection counts commits from the start
            self.known.clear()
            self.as_of = (0, 0)
            raise

    def ask_again(self) -> None:
        """Begin another turn."""
        self.asked = False

    async def moment(self) -> object:
        """Return what differs when anyone has committed since."""
        return self.doors.commits()


class FarLookups(Lookups):
    """The same for a database that is asked in a thread, for all requests of a turn at once.

    Two equal snapshots of PostgreSQL see equal data. So what is known as of one need not be looked
    up again while the next is the same, which is asked after the requests that it is good for came.
    """

    doors: PostgresDoors  # type: ignore[assignment]

    def __init__(self, doors: PostgresDoors) -> None:
        super().__init__(doors)  # type: ignore[arg-type]
        self.as_of: tuple[str, int] = ("", 0)  # type: ignore[assignment]
        self.waiting: list[tuple[Any, asyncio.Future[Any]]] = []
        self.asking: asyncio.Task[None] | None = None

    async def __call__(self, unit: Callable[..., T], *args: Any) -> T:
        """Return what `unit` answers, a function of a model that takes a `look`."""
        key = (unit, args)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self.waiting.append((key, future))
        if not self.asking:
            self.asking = loop.create_task(self.ask())
        return await future

    async def ask(self) -> None:
        """Answer those who wait, and those who come meanwhile after them."""
        loop = asyncio.get_running_loop()
        while self.waiting:
            waiting, self.waiting = self.waiting, []
            keys = {key for key, _ in waiting}
            done: asyncio.Future[Outcome] = loop.create_future()

            def answered(*outcome: Any, done: asyncio.Future[Outcome] = done) -> None:
                loop.call_soon_threadsafe(done.set_result, outcome)

            self.doors.peep(partial(self.find, keys, self.known, self.as_of), answered)
            answer, error = await done
            if error is None:
                moment, found = answer
                if moment != self.as_of:
                    self.as_of, self.known = moment, {}
                self.known |= {key: result for key, (result, no) in found.items() if no is None}
            for key, future in waiting:
                result, refusal = (None, error) if error else found[key]
                if future.cancelled():
                    continue
                if refusal:
                    future.set_exception(refusal)
                else:
                    future.set_result(result)
        self.asking = None

    def find(self, keys: set[Any], known: dict[Any, Any], as_of: tuple[str, int]) -> Any:
        """Return the moment, and an outcome for each key (in a thread)."""
        now = (self.doors.moment(), int(time.time()))
        found: dict[Any, Outcome] = {}
        for key in keys:
            unit, args = key
            try:
                if now == as_of and key in known:
                    found[key] = (known[key], None)
                else:
                    found[key] = (unit(*args, look=Prepared.__call__), None)
            except NotFound as refusal:
                found[key] = (None, refusal)
        return now, found

    async def moment(self) -> object:
        """Return what differs when anyone has committed since."""
        await self(nothing)
        return self.as_of[0]


def nothing(look: object) -> None:
    """Look nothing up."""


class UnderWay:
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


class Hashing:
    """The threads for work on passwords: two at most, and one core is left for the rest."""

    def __init__(self) -> None:
        threads = max(1, min(2, (os.cpu_count() or 1) - 1))
        self.threads = ThreadPoolExecutor(threads, thread_name_prefix="hashing")
        self.waiting = 0

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Wait for `work` on a password. Raises Unavailable when too much waits already."""
        if self.waiting >= HASHES_WAITING:
            raise Unavailable("too many passwords wait to be checked")
        self.waiting += 1
        try:
            return await asyncio.wrap_future(self.threads.submit(work, *args, **kwargs))
        finally:
            self.waiting -= 1


class Complaints:
    """Logs what is wrong with the house once a minute, however many requests meet it."""

    def __init__(self) -> None:
        self.told: dict[str, tuple[float, int]] = {}

    def tell(self, what: str, where: str) -> None:
        """Log it, or count it for the next line."""
        now = time.monotonic()
        since, unsaid = self.told.get(what, (float("-inf"), 0))
        if now - since < 60:
            self.told[what] = (since, unsaid + 1)
            return
        more = f", and {unsaid} times more since the last line" if unsaid else ""
        app_log.error("%s: %s%s", where, what, more)
        kept = {what: told for what, told in self.told.items() if now - told[0] < 3600}
        self.told = {**kept, what: (now, 0)}


class Pace:
    """How fast each person may go: `rate` steps a second, and `burst` at once."""

    def __init__(self, rate: float = 10, burst: int = 100) -> None:
        self.rate, self.burst = rate, burst
        self.left: dict[int, tuple[float, float]] = {}  # by person: how many, and since when

    def step(self, person: int) -> None:
        """Count one step of theirs. Raises TooMany when they were too fast."""
        now = time.monotonic()
        left, since = self.left.pop(person, (self.burst, now))
        left = min(self.burst, left + self.rate * (now - since))
        if left < 1:
            self.left[person] = (left, now)
            raise TooMany(1)
        self.left[person] = (left - 1, now)
        while len(self.left) > PEOPLE_PACED:
            del self.left[next(iter(self.left))]  # who was seen longest ago


class Kept:
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
