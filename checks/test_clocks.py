"""Clocks that are set wrong, and right again: nothing is lost, nobody logged out, none kept in."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from checks.support.disk import build
from checks.support.servers import Server
from checks.support.visitors import Visitor
from models.clock import LASTING, Clock

HOUR, UNTIL_2038 = 3600, 12 * 365 * 24 * 3600


class Machine:
    """A machine's two clocks, for one to set."""

    def __init__(self) -> None:
        self.told, self.passed = 1_800_000_000.0, 1000.0

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.told += seconds
        self.passed += seconds


@pytest.fixture
def machine() -> Machine:
    """A machine."""
    return Machine()


@pytest.fixture
def clock(machine: Machine) -> Clock:
    """The server's clock on it."""
    return Clock(lambda: machine.told, lambda: machine.passed)


def test_what_is_set_in_passing_is_followed(machine: Machine, clock: Clock) -> None:
    """A second now and then, as time servers do, and as clocks drift."""
    for second in (0.4, -0.7, 30, -30, 30, 30, 30):
        machine.told += second
        assert clock.seconds() == machine.told
        machine.wait(10)


@pytest.mark.parametrize("jump", [HOUR, -HOUR, UNTIL_2038, -1_800_000_000])
def test_a_jump_is_followed_only_when_it_lasts(machine: Machine, clock: Clock, jump: int) -> None:
    """Until then time passes evenly; when the clock is set right again, nothing has happened."""
    begun = clock.seconds()
    machine.told += jump
    assert clock.seconds() == begun
    machine.wait(LASTING - 10)
    assert clock.seconds() == begun + LASTING - 10
    machine.told -= jump
    assert clock.seconds() == machine.told == begun + LASTING - 10
    machine.told += jump
    clock.seconds()
    machine.wait(LASTING - 10)
    assert clock.seconds() == machine.told - jump  # the hour began again
    machine.wait(20)
    clock.seconds()
    assert clock.seconds() == machine.told


def test_another_jump_begins_another_hour(machine: Machine, clock: Clock) -> None:
    """Only what stays as it is was meant."""
    begun = clock.seconds()
    for _ in range(5):
        machine.told += HOUR
        clock.seconds()
        machine.wait(LASTING - 10)
    assert clock.seconds() == begun + 5 * (LASTING - 10)


@pytest.fixture
def setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file that says by how many seconds a server's clock is set wrong."""
    setting = tmp_path / "set-by"
    setting.write_text("0")
    monkeypatch.setenv("LD_PRELOAD", str(build("clock.c", tmp_path)))
    monkeypatch.setenv("CLOCK_SET_BY", str(setting))
    return setting


def test_a_machine_whose_clock_is_set(setting: Path, start: Callable[..., Server]) -> None:
    """By an hour, to 2038 and to 1970, and back: everyone stays, everything is there, in order."""
    server = start()
    server.expected += ["The clock was set"]
    ann, wanted = Visitor(server, "ann"), []
    ann.sign_up()
    names = map(str, itertools.count())
    for seconds in (0, HOUR, -HOUR, UNTIL_2038, 0, -1_790_000_000, 0):
        setting.write_text(str(seconds))
        told = requests.get(server.url, timeout=9, allow_redirects=False).headers["Date"]
        assert ("2038" in told) == (seconds == UNTIL_2038), "the clock was not set"
        wanted += [next(names)]
        ann.add(wanted[-1])
        assert [row.title for row in ann.rows()] == wanted
        wrong = Visitor(server, "wrong").log_in()
        assert wrong.status_code == 403
        history = ann.get(f"/lists/{ann.list}/history")
        assert history.text.count("Added") == len(wanted)
    server.stop()
    again = start(database=server.database)
    again.expected += ["The clock was set"]
    ann.server = again
    assert [row.title for row in ann.rows()] == wanted
    again.stop()
