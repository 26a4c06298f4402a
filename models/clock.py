"""The clock of the application: every instant that is stored or compared comes from it.

A clock that is set wrong would end every session and empty the trash, once for all. So when the
machine's clock jumps, this one runs on evenly, and follows only when the jump has lasted.
"""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

JUMP = 60  # seconds; what is less is how clocks are set right in passing
LASTING = 3600  # seconds after which a jump was meant
log = logging.getLogger(__name__)


def evenly() -> float:
    """Return seconds that nobody sets; where the system tells, those of its sleep included."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Clock:
    """`machine` is the clock that someone may set, `even` the one that nobody can, in seconds."""

    def __init__(
        self, machine: Callable[[], float] = time.time, even: Callable[[], float] = evenly
    ) -> None:
        self.machine, self.even = machine, even
        self.ahead = machine() - even()
        self.jump, self.since = 0.0, 0.0

    def seconds(self) -> float:
        """Return the seconds since 1970 (UTC)."""
        machine, even = self.machine(), self.even()
        gap = machine - even - self.ahead
        if abs(gap) < JUMP:
            self.ahead, self.jump = machine - even, 0.0
            return machine
        if abs(gap - self.jump) >= JUMP:
            self.jump, self.since = gap, even
            log.warning("The clock was set by %+.0f s: followed if it stays for an hour", gap)
        elif even - self.since > LASTING:
            self.ahead = machine - even  # by whichever thread, and twice does no harm
        return even + self.ahead


clock = Clock()


def moment() -> datetime:
    """Return this instant, aware, in UTC."""
    return datetime.fromtimestamp(clock.seconds(), UTC)


def now() -> str:
    """Return this instant as it is stored; text order is time order."""
    return instant(moment())


def instant(when: datetime) -> str:
    """Return `when` (aware) in UTC with milliseconds: 2026-11-20T09:00:00.000Z (RFC 3339)."""
    return when.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
