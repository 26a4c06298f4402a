"""How fast one person may go, and how often one error is logged."""

import time

from tornado.log import app_log

from models.errors import TooMany

PEOPLE_PACED = 10_000  # of whom it is remembered how fast they write


class RateLimitedLog:
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


class TokenBucket:
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
