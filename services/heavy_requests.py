"""Few heavy requests at once: imports and exports take memory, and CPU that others need."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from models.errors import TooMany
from models.text import N_
from services.app_base import BaseApp, Service

AT_ONCE = 2  # that are worked on in this process
UPLOADS_LIMIT = 32 * 1024 * 1024  # bytes of uploads that this process holds
RETRY_AFTER = 10  # seconds


class AlreadyRunning(TooMany):
    """Another heavy request of the same person isn't done (429)."""

    sentence = N_(
        "Another import or export of yours is still running. Try again in {seconds} seconds."
    )

    def __init__(self) -> None:
        super().__init__(RETRY_AFTER)

    def message(self, translate: Callable[..., str]) -> str:
        return translate(self.sentence).format(seconds=self.seconds)


class Busy(AlreadyRunning):
    """This process has enough to do with those of others (503)."""

    sentence = N_("Too many imports and exports are running. Try again in {seconds} seconds.")


class HeavyRequests(Service):
    """One for each person, until its answer was sent; and AT_ONCE for the process to work on."""

    def __init__(self, app: BaseApp) -> None:
        super().__init__(app)
        self.requests: dict[int, object] = {}  # by user
        self.working = 0
        self.uploaded = 0  # bytes

    def begin(self, person_id: int, request: object) -> None:
        """Count a request in. Raises AlreadyRunning."""
        if self.requests.setdefault(person_id, request) is not request:
            raise AlreadyRunning

    def end(self, person_id: int, request: object) -> None:
        """Count a request out, if it was in."""
        if self.requests.get(person_id) is request:
            del self.requests[person_id]

    @contextmanager
    def work(self) -> Iterator[None]:
        """Enclose the work on a request, which goes on when its client has gone. Raises Busy."""
        if self.working >= AT_ONCE:
            raise Busy
        self.working += 1
        try:
            yield
        finally:
            self.working -= 1

    def hold(self, size: int) -> None:
        """Count in so many bytes of an upload, or out if it is less than 0. Raises Busy."""
        if size > 0 and self.uploaded + size > UPLOADS_LIMIT:
            raise Busy
        self.uploaded += size
