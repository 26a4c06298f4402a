"""A simulation of the app: what it would do under a load that no machine here can make.

Whatever can be busy is a station with a queue; how long it serves a request was measured. The
simulation is compared with measured rates (`trials`), and then computes how many people each setup
serves (`steps`). Times are in seconds.
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
ACTIVE, WINDOWS = 0.1, 1.5  # share of all people; open pages of each of those
PAGES, CHANGES = 20, 30  # by each of those, in that hour
FETCHES = 3  # pages that fetch the rows after a change, the writer's own too
KEPT_TODOS = 1000  # by each person, in a year
FULL, SOCKETS = 0.6, 10_000  # how busy a part may be; open pages of one process


class Costs(NamedTuple):
    """What was measured: seconds of CPU for each request, unless it says otherwise."""

    page: float  # of a list that nobody has changed
    rows: float  # the same, rendered for the FETCHES of a change
    add: float  # without its commit
    commit: float
    fsync: float  # seconds that the disk takes, not CPU
    process_page: float  # in a process of ours with PostgreSQL
    process_add: float
    postgres_page: float  # in PostgreSQL
    postgres_add: float
    nginx: float
    client: float  # in the client, which shares a core with nginx and PostgreSQL here
    redis: float  # for each message, and for each process that receives it
    versions: float  # in PostgreSQL, for each list that is watched, once a second
    told: float  # for each socket that is told of a change
    idle: float  # for each socket and second
    presence: float  # in each of several processes, for each open page anywhere, once a second
    socket: float  # bytes
    todo: float  # bytes in PostgreSQL, with its changes


class World:
    """Simulated time, and the events to come."""

    def __init__(self) -> None:
        self.now = 0.0
        self.events: list[tuple[float, int, Then]] = []
        self.count = 0
        self.random = random.Random(7)  # the same each time

    def after(self, seconds: float, then: Then) -> None:
        """Call `then` so many seconds later."""
        self.count += 1
        heapq.heappush(self.events, (self.now + seconds, self.count, then))

    def run(self, until: float) -> None:
        """Handle the events until then."""
        while self.events and self.events[0][0] <= until:
            self.now, _, then = heapq.heappop(self.events)
            then()


class Station:
    """Serves so many at a time, the others wait in a queue."""

    def __init__(self, world: World, width: int = 1) -> None:
        self.world, self.free = world, width
        self.waiting: deque[tuple[float, Then]] = deque()

    def use(self, seconds: float, then: Then) -> None:
        """Serve for so many seconds, then call `then`; wait in the queue first if all are busy."""
        self.waiting.append((seconds, then))
        self.serve()

    def serve(self) -> None:
        if self.free and self.waiting:
            self.free -= 1
            seconds, then = self.waiting.popleft()
            self.world.after(seconds, lambda: self.release(then))

    def release(self, then: Then) -> None:
        self.free += 1
        then()
        self.serve()


class OneProcess:
    """One process on SQLite: one interpreter, one writer that commits for a group at once."""

    def __init__(self, world: World, costs: Costs, group: int = GROUP) -> None:
        self.world, self.costs, self.group = world, costs, group
        self.python = Station(world)
        self.to_write: deque[Then] = deque()
        self.writing = False

    def page(self, done: Then) -> None:
        self.python.use(self.costs.page, done)

    def add(self, done: Then) -> None:
        """Half of the work is before the commit, half after it."""
        half = self.costs.add / 2
        self.python.use(half, lambda: self.write(lambda: self.python.use(half, done)))

    def write(self, then: Then) -> None:
        self.to_write.append(then)
        if not self.writing:
            self.commit()

    def commit(self) -> None:
        """Commit once for all that wait, at most `group`."""
        self.writing = True
        group = [self.to_write.popleft() for _ in range(min(self.group, len(self.to_write)))]
        disk = self.costs.fsync

        def stored() -> None:
            self.writing = False
            for then in group:
                then()
            if self.to_write and not self.writing:
                self.commit()

        self.python.use(self.costs.commit, lambda: self.world.after(disk, stored))


class Cluster:
    """Processes behind nginx on PostgreSQL, whose server groups commits itself."""

    def __init__(self, world: World, costs: Costs, processes: int, cores: int, front: int) -> None:
        self.world, self.costs = world, costs
        self.front = Station(world, front)
        self.processes = [Station(world) for _ in range(processes)]
        self.postgres = Station(world, cores)

    def page(self, done: Then) -> None:
        self.serve(self.costs.process_page, self.costs.postgres_page, 0, done)

    def add(self, done: Then) -> None:
        self.serve(self.costs.process_add, self.costs.postgres_add, self.costs.fsync, done)

    def serve(self, own: float, postgres: float, disk: float, done: Then) -> None:
        """Go through nginx, half of the process's work, PostgreSQL, its disk, the other half."""
        process = self.world.random.choice(self.processes)
        path: list[Callable[[Then], None]] = [
            lambda then: self.front.use(self.costs.nginx, then),
            lambda then: process.use(own / 2, then),
            lambda then: self.postgres.use(postgres, then),
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
    """Have clients send again as soon as they are answered; return the answers a second."""
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
    """Send requests at these rates a second, at random moments; return the p99 in seconds."""
    taken: list[float] = []

    def arrive(rate: float, ask: Callable[[Then], None]) -> None:
        begun = world.now
        ask(lambda: taken.append(world.now - begun))
        world.after(world.random.expovariate(rate), lambda: arrive(rate, ask))

    for rate, ask in asks:
        world.after(world.random.expovariate(rate), lambda r=rate, a=ask: arrive(r, a))  # type: ignore[misc]
    world.run(LONG)
    taken.sort()
    return taken[int(len(taken) * 0.99)] if taken else 0.0


def trials(costs: Costs, slower: float) -> dict[str, float]:
    """Return the simulated rates of what can be measured: requests a second of CLIENTS.

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
    # Here nginx, PostgreSQL and the client share one core.
    for name in ("page", "add"):
        w = World()
        shared = costs._replace(nginx=costs.nginx + costs.client)
        cluster = Cluster(w, shared, 1, 1, 1)
        cluster.postgres = cluster.front
        found[f"through nginx, on PostgreSQL: {name}"] = saturate(w, getattr(cluster, name))
    return found


class Setup(NamedTuple):
    """So many processes on one file, or on so many cores of PostgreSQL, behind nginx."""

    name: str
    processes: int
    postgres: int = 0  # cores of PostgreSQL; none for one file
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
    """How many people a setup serves, what is busiest then, and the p99 in seconds."""

    setup: Setup
    people: int
    windows: float
    requests: float  # a second
    changes: float
    parts: dict[str, float]  # how busy each is, 1 is all that it can do; the busiest first
    p99: float
    stored: float  # bytes more in a year


def load(costs: Costs, setup: Setup, people: float) -> dict[str, float]:
    """Return how busy each part of a setup is with so many people: 1 is all that it can do."""
    active = people * ACTIVE / setup.shards
    windows = active * WINDOWS
    pages, changes = active * PAGES / 3600, active * CHANGES / 3600
    rows = changes * FETCHES
    rendering = costs.rows - costs.page
    own = rows * rendering + rows * costs.told + windows * costs.idle
    if setup.postgres:
        own += (pages + rows) * costs.process_page + changes * costs.process_add
    else:
        own += (pages + rows) * costs.page + changes * (costs.add + costs.commit)
    each = own / setup.processes
    if setup.processes > 1:
        each += windows * costs.presence
    found = {"the event loop": each, "open pages": windows / setup.processes / SOCKETS}
    if not setup.postgres:  # at worst each change has a commit of its own
        found["the file"] = changes * (costs.commit + costs.fsync)
    if setup.postgres:
        postgres = (
            (pages + rows) * costs.postgres_page
            + changes * costs.postgres_add
            + windows * costs.versions
        )
        found["PostgreSQL"] = postgres / setup.postgres
        found["Redis"] = changes * costs.redis * (1 + setup.processes)
    if setup.front:
        found["nginx"] = (pages + rows + changes) * costs.nginx / setup.front
    return found


def steps(costs: Costs) -> Iterator[Step]:
    """Give for each setup how many people it serves while no part is busier than FULL."""
    for setup in SETUPS:
        full = load(costs, setup, 1)
        people = int(FULL / max(full.values()))
        parts = load(costs, setup, people)
        active = people * ACTIVE
        pages, changes = active * PAGES / 3600, active * CHANGES / 3600
        rows = changes * FETCHES
        parts = dict(sorted(parts.items(), key=lambda each: -each[1]))
        p99 = pace(*offered_load(costs, setup, pages / setup.shards, changes / setup.shards))
        stored = people * KEPT_TODOS * costs.todo
        requests = pages + rows + changes
        yield Step(setup, people, active * WINDOWS, requests, changes, parts, p99, stored)


def offered_load(
    costs: Costs, setup: Setup, pages: float, changes: float
) -> tuple[World, list[tuple[float, Callable[[Then], None]]]]:
    """Return the world of a setup, and its requests with their rates a second."""
    world, rows = World(), changes * FETCHES
    if setup.postgres:
        cluster = Cluster(world, costs, setup.processes, setup.postgres, setup.front)
        return world, [(pages + rows, cluster.page), (changes, cluster.add)]
    process = OneProcess(world, costs)

    def rendered(done: Then) -> None:
        process.python.use(costs.rows, done)

    share = setup.processes  # all do the same: one is simulated
    return world, [
        (pages / share, process.page),
        (rows / share, rendered),
        (changes / share, process.add),
    ]
