"""A model of the house: what it would do under a load that no machine here can make.

Whatever can be busy is a station with a queue before it; how long a request is served there was
measured. The model is held against measured rates first (`trials`), and then asked what how many
people a house is enough for (`steps`). Times are in seconds.
"""

import heapq
import random
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

Then = Callable[[], object]

CLIENTS, GROUP = 32, 128
WARM_UP, LONG = 1, 10  # seconds, simulated
# What people do in the busiest hour: these are assumptions, and stand in docs/scaling.rst.
ACTIVE, WINDOWS = 0.1, 1.5  # of all people; of each of those
PAGES, CHANGES = 20, 30  # by each of those, in that hour
HEARERS = 3  # windows that fetch the rows after a change, the own one too
KEPT_TODOS = 1000  # by each person, in a year
FULL, SOCKETS = 0.6, 10_000  # how full a part may be; windows of one process


class Costs(NamedTuple):
    """What was measured: seconds of CPU for each request, unless it says otherwise."""

    page: float  # of a list that nobody has changed
    rows: float  # the same, drawn anew for the HEARERS of a change
    add: float  # without its commit
    commit: float
    fsync: float  # seconds that the disk takes, not CPU
    far_page: float  # in a process of the house that has PostgreSQL
    far_add: float
    base_page: float  # in PostgreSQL
    base_add: float
    nginx: float
    asking: float  # by whoever asks, which has one core with nginx and PostgreSQL here
    redis: float  # for each message, and for each process that hears it
    sweep: float  # in PostgreSQL, for each list that is watched, once a second
    told: float  # for each socket that is told of a change
    idle: float  # for each socket and second
    place: float  # in each of several processes, for each window anywhere, once a second
    socket: float  # bytes
    todo: float  # bytes in PostgreSQL, with its changes


class World:
    """Time, and what is to happen."""

    def __init__(self) -> None:
        self.now = 0.0
        self.events: list[tuple[float, int, Then]] = []
        self.count = 0
        self.random = random.Random(7)  # the same each time

    def after(self, seconds: float, then: Then) -> None:
        """Let something happen later."""
        self.count += 1
        heapq.heappush(self.events, (self.now + seconds, self.count, then))

    def run(self, until: float) -> None:
        """Let it all happen."""
        while self.events and self.events[0][0] <= until:
            self.now, _, then = heapq.heappop(self.events)
            then()


class Station:
    """Serves so many at a time, the others wait in a queue."""

    def __init__(self, world: World, width: int = 1) -> None:
        self.world, self.free = world, width
        self.waiting: deque[tuple[float, Then]] = deque()

    def use(self, seconds: float, then: Then) -> None:
        """Serve someone, now or in their turn."""
        self.waiting.append((seconds, then))
        self.serve()

    def serve(self) -> None:
        """Begin with whoever is next."""
        if self.free and self.waiting:
            self.free -= 1
            seconds, then = self.waiting.popleft()
            self.world.after(seconds, lambda: self.let_go(then))

    def let_go(self, then: Then) -> None:
        """Be free again."""
        self.free += 1
        then()
        self.serve()


class OneProcess:
    """The house on SQLite: one interpreter for all, one writer that commits for a group at once."""

    def __init__(self, world: World, costs: Costs, group: int = GROUP) -> None:
        self.world, self.costs, self.group = world, costs, group
        self.python = Station(world)
        self.to_write: deque[Then] = deque()
        self.writing = False

    def page(self, done: Then) -> None:
        """Show a list."""
        self.python.use(self.costs.page, done)

    def add(self, done: Then) -> None:
        """Add a todo: half of the work is before, half is after it was written."""
        half = self.costs.add / 2
        self.python.use(half, lambda: self.write(lambda: self.python.use(half, done)))

    def write(self, then: Then) -> None:
        """Have the writer write."""
        self.to_write.append(then)
        if not self.writing:
            self.begin()

    def begin(self) -> None:
        """Commit for whoever waits."""
        self.writing = True
        group = [self.to_write.popleft() for _ in range(min(self.group, len(self.to_write)))]
        disk = self.costs.fsync

        def stored() -> None:
            self.writing = False
            for then in group:
                then()
            if self.to_write and not self.writing:
                self.begin()

        self.python.use(self.costs.commit, lambda: self.world.after(disk, stored))


class Outgrown:
    """Processes with PostgreSQL behind and nginx before them; the server groups commits itself."""

    def __init__(self, world: World, costs: Costs, processes: int, cores: int, front: int) -> None:
        self.world, self.costs = world, costs
        self.front = Station(world, front)
        self.processes = [Station(world) for _ in range(processes)]
        self.base = Station(world, cores)

    def page(self, done: Then) -> None:
        """Show a list."""
        self.through(self.costs.far_page, self.costs.base_page, 0, done)

    def add(self, done: Then) -> None:
        """Add a todo."""
        self.through(self.costs.far_add, self.costs.base_add, self.costs.fsync, done)

    def through(self, own: float, base: float, disk: float, done: Then) -> None:
        """Pass nginx, half of a process, PostgreSQL, its disk, and the other half."""
        process = self.world.random.choice(self.processes)
        path: list[Callable[[Then], None]] = [
            lambda then: self.front.use(self.costs.nginx, then),
            lambda then: process.use(own / 2, then),
            lambda then: self.base.use(base, then),
            lambda then: self.world.after(disk, then),
            lambda then: process.use(own / 2, then),
        ]

        def go_on(place: int = 0) -> None:
            if place == len(path):
                done()
            else:
                path[place](lambda: go_on(place + 1))

        go_on()


def saturate(world: World, ask: Callable[[Then], None], clients: int = CLIENTS) -> float:
    """Have clients ask again as soon as they are answered; return how many are, a second."""
    answered = 0

    def again() -> None:
        nonlocal answered
        answered += world.now > WARM_UP
        ask(again)

    for _ in range(clients):
        ask(again)
    world.run(WARM_UP + LONG)
    return answered / LONG


def pace(world: World, asks: list[tuple[float, Callable[[Then], None]]]) -> float:
    """Ask in several ways so many times a second, at random moments; return the p99 in seconds."""
    taken: list[float] = []

    def come(rate: float, ask: Callable[[Then], None]) -> None:
        begun = world.now
        ask(lambda: taken.append(world.now - begun))
        world.after(world.random.expovariate(rate), lambda: come(rate, ask))

    for rate, ask in asks:
        world.after(world.random.expovariate(rate), lambda r=rate, a=ask: come(r, a))  # type: ignore[misc]
    world.run(LONG)
    taken.sort()
    return taken[int(len(taken) * 0.99)] if taken else 0.0


def trials(costs: Costs, slower: float) -> dict[str, float]:
    """Return what the model says of what can be measured: requests a second of CLIENTS.

    `slower` are the seconds of an fsync on the slow disk.
    """
    slow = costs._replace(fsync=slower)
    found = {
        "pages": saturate(w := World(), OneProcess(w, costs).page),
        "adding": saturate(w := World(), OneProcess(w, costs).add),
        "adding, a commit each": saturate(w := World(), OneProcess(w, costs, 1).add),
        "adding, slow disk": saturate(w := World(), OneProcess(w, slow).add),
        "adding, slow disk, a commit each": saturate(w := World(), OneProcess(w, slow, 1).add),
    }
    # Here nginx and PostgreSQL share one core with whoever asks, so they are in each other's way.
    for name in ("page", "add"):
        w = World()
        shared = costs._replace(nginx=costs.nginx + costs.asking)
        outgrown = Outgrown(w, shared, 1, 1, 1)
        outgrown.base = outgrown.front
        found[f"through nginx, on PostgreSQL: {name}"] = saturate(w, getattr(outgrown, name))
    return found


class Setup(NamedTuple):
    """A house: so many processes on one file, or on so many cores of PostgreSQL, behind nginx."""

    name: str
    processes: int
    base: int = 0  # cores of PostgreSQL; none for one file
    front: int = 0  # cores of nginx
    shards: int = 1  # of the lists, each with processes and PostgreSQL of its own


SETUPS = (
    Setup("one process, one file", 1),
    Setup("4 processes, one file", 4, front=1),
    Setup("4 processes, PostgreSQL with 4 cores", 4, 4, 1),
    Setup("16 processes, 16 cores", 16, 16, 2),
    Setup("64 processes, 32 cores", 64, 32, 8),
    Setup("8 shards of 16 processes, 16 cores", 16, 16, 2, 8),
)


class Step(NamedTuple):
    """How many people a house is enough for, what is full first then, and the p99 in seconds."""

    setup: Setup
    people: int
    windows: float
    requests: float  # a second
    changes: float
    parts: dict[str, float]  # how full each is; the first is the fullest
    p99: float
    stored: float  # bytes more in a year


def load(costs: Costs, setup: Setup, people: float) -> dict[str, float]:
    """Return how full each part of a house is with so many people: 1 is all that it can do."""
    active = people * ACTIVE / setup.shards
    windows = active * WINDOWS
    pages, changes = active * PAGES / 3600, active * CHANGES / 3600
    rows = changes * HEARERS
    drawing = costs.rows - costs.page
    own = rows * drawing + rows * costs.told + windows * costs.idle
    if setup.base:
        own += (pages + rows) * costs.far_page + changes * costs.far_add
    else:
        own += (pages + rows) * costs.page + changes * (costs.add + costs.commit)
    each = own / setup.processes
    if setup.processes > 1:
        each += windows * costs.place
    found = {"the event loop": each, "windows": windows / setup.processes / SOCKETS}
    if not setup.base:  # at worst each change has a commit of its own
        found["the file"] = changes * (costs.commit + costs.fsync)
    if setup.base:
        base = (pages + rows) * costs.base_page + changes * costs.base_add + windows * costs.sweep
        found["PostgreSQL"] = base / setup.base
        found["Redis"] = changes * costs.redis * (1 + setup.processes)
    if setup.front:
        found["nginx"] = (pages + rows + changes) * costs.nginx / setup.front
    return found


def steps(costs: Costs) -> Iterator[Step]:
    """Say for each house how many people it is enough for, when no part shall be FULLer."""
    for setup in SETUPS:
        full = load(costs, setup, 1)
        people = int(FULL / max(full.values()))
        parts = load(costs, setup, people)
        active = people * ACTIVE
        pages, changes = active * PAGES / 3600, active * CHANGES / 3600
        rows = changes * HEARERS
        parts = dict(sorted(parts.items(), key=lambda each: -each[1]))
        p99 = pace(*crowd(costs, setup, pages / setup.shards, changes / setup.shards))
        stored = people * KEPT_TODOS * costs.todo
        requests = pages + rows + changes
        yield Step(setup, people, active * WINDOWS, requests, changes, parts, p99, stored)


def crowd(
    costs: Costs, setup: Setup, pages: float, changes: float
) -> tuple[World, list[tuple[float, Callable[[Then], None]]]]:
    """Return the world of a house, and what is asked of it so many times a second."""
    world, rows = World(), changes * HEARERS
    if setup.base:
        far = Outgrown(world, costs, setup.processes, setup.base, setup.front)
        return world, [(pages + rows, far.page), (changes, far.add)]
    near = OneProcess(world, costs)

    def drawn(done: Then) -> None:
        near.python.use(costs.rows, done)

    share = setup.processes  # all do the same: one is looked at
    return world, [(pages / share, near.page), (rows / share, drawn), (changes / share, near.add)]
