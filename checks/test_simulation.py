"""The model in bench/ keeps the laws that queues are known to keep."""

import pytest

from bench.simulation import (
    CLIENTS,
    FULL,
    GROUP,
    SETUPS,
    SOCKETS,
    Cluster,
    Costs,
    OneProcess,
    World,
    load,
    pace,
    saturate,
    steps,
)

# Round numbers, in the order of magnitude of real ones.
COSTS = Costs(
    page=200e-6,
    rows=400e-6,
    add=300e-6,
    commit=100e-6,
    fsync=0.002,
    process_page=250e-6,
    process_add=500e-6,
    postgres_page=50e-6,
    postgres_add=250e-6,
    nginx=50e-6,
    client=10e-6,
    redis=20e-6,
    versions=2e-6,
    told=15e-6,
    idle=5e-6,
    presence=1e-6,
    socket=20e3,
    todo=1000,
)


def test_one_at_a_time() -> None:
    """A process that is always busy answers as often as its work goes into a second."""
    world = World()
    assert saturate(world, OneProcess(world, COSTS).page) == pytest.approx(5000, rel=0.01)


def test_a_commit_each() -> None:
    """Waits for the disk alone, so that no rate is higher than the disk's."""
    world = World()
    single = saturate(world, OneProcess(world, COSTS, group=1).add)
    assert 1 / (COSTS.fsync + COSTS.commit + COSTS.add) < single < 1 / COSTS.fsync


def test_a_commit_for_many() -> None:
    """Is shared by all that wait for it, and never by more than wait."""
    world = World()
    together = saturate(world, OneProcess(world, COSTS, GROUP).add)
    alone = saturate(world := World(), OneProcess(world, COSTS, 1).add)
    assert 4 * alone < together < min(1 / COSTS.add, CLIENTS / COSTS.fsync)


def test_a_queue_grows_with_the_load() -> None:
    """Whose mean wait is known (Pollaczek, Khinchine), and so is that of an idle process."""
    waits = []
    for rate in (5, 4000):  # 4,000 times 0.2 ms: 80 percent
        world = World()
        waits.append(pace(world, [(rate, OneProcess(world, COSTS).page)]))
    assert waits[0] == pytest.approx(COSTS.page, rel=0.5)
    mean = COSTS.page + 0.8 * COSTS.page / 2 / (1 - 0.8)
    assert 2 * mean < waits[1] < 10 * mean  # its tail falls like an exponential


def test_more_processes() -> None:
    """Answer more, until something that they share is busy all the time."""
    world = World()
    one = saturate(world, Cluster(world, COSTS, 1, 4, 4).page)
    four = saturate(world := World(), Cluster(world, COSTS, 4, 4, 4).page)
    narrow = saturate(world := World(), Cluster(world, COSTS, 4, 4, 1).page)
    assert one == pytest.approx(1 / COSTS.process_page, rel=0.02)
    assert 3 * one < four <= 4 * one
    assert narrow == pytest.approx(min(1 / COSTS.nginx, four), rel=0.2)


def test_how_many_people_a_setup_serves() -> None:
    """The busiest part is just as busy as it may be, and no request waits long."""
    found = [*steps(COSTS)]
    assert [step.setup for step in found] == [*SETUPS]
    for step in found:
        assert next(iter(step.parts.values())) == pytest.approx(FULL, rel=0.01)
        assert step.parts == pytest.approx(load(COSTS, step.setup, step.people))
        assert step.windows <= SOCKETS * step.setup.processes * step.setup.shards
        assert 0 < step.p99 < 0.02
