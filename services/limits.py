"""How fast one person may go, and how often one error is logged."""

import time

from tornado.log import app_log

from models.errors import TooMany

PEOPLE_LIMIT = 10_000  # whose tokens are remembered
MINUTE, HOUR = 60, 3600  # seconds


class RateLimitedLog:
    """Logs each reason once a minute, however many requests fail for it."""

    def __init__(self) -> None:
        self.logged: dict[str, tuple[float, int]] = {}  # by reason: when, and how often since

    def log(self, reason: str, where: str) -> None:
        """Log it, or count it for the next line."""
        now = time.monotonic()
        since, count = self.logged.get(reason, (float("-inf"), 0))
        if now - since < MINUTE:
            self.logged[reason] = (since, count + 1)
            return
        more = f", and {count} times more since the last line" if count else ""
        app_log.error("%s: %s%s", where, reason, more)
        recent = [each for each in self.logged.items() if now - each[1][0] < HOUR]
        self.logged = dict(recent[-100:]) | {reason: (now, 0)}


class TokenBucket:
    """How fast each person may go: `rate` times a second, and `burst` at once."""

    def __init__(self, rate: float = 10, burst: int = 100) -> None:
        self.rate, self.burst = rate, burst
        self.left: dict[int, tuple[float, float]] = {}  # by user: tokens, and when counted

    def take(self, person: int) -> None:
        """Take a token of theirs. Raises TooMany when none is left."""
        now = time.monotonic()
        left, since = self.left.pop(person, (self.burst, now))
        left = min(self.burst, left + self.rate * (now - since))
        if left < 1:
            self.left[person] = (left, now)
            raise TooMany(1)
        self.left[person] = (left - 1, now)
        while len(self.left) > PEOPLE_LIMIT:
            del self.left[next(iter(self.left))]  # the one who was counted longest ago
