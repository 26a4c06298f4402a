"""What every part of the application reaches as `app`, with its types."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, ParamSpec, TypeVar

from tornado.web import Application, RequestHandler

from config import Config
from models.database import SqliteStore
from models.errors import NotFound, Unavailable
from services.active_requests import ActiveRequests
from services.bridge import HashPool, ThreadBridge
from services.hub import Hub
from services.limits import RateLimitedLog, TokenBucket
from services.lookup_cache import LookupCache
from services.render_cache import RenderCache

P = ParamSpec("P")
T = TypeVar("T")
log = logging.getLogger(__name__)


class LoginGuard:
    """Is asked before a password is checked or an account made; this one admits all."""

    async def admit(self, handler: Any, name: str, stored: str | None) -> Callable[[], Any]:
        """Admit an attempt at a password; return what to await if it was right."""
        return self.forgive

    async def admit_sign_up(self, handler: Any) -> Callable[..., Any]:
        """Admit a new account; return what to await then, with whether it was `made`."""
        return self.forgive

    async def forgive(self, *, made: bool = True) -> None: ...
    def remember(self, handler: Any, name: str, stored: str) -> None: ...


class BaseApp(Application):
    """The parts of the application, and the ways to the database; `app.App` says which they are."""

    invitations: list[Callable[[str], bool]]  # units that say whether a path invites to sign up
    checks: list[Callable[[Config], None]]  # each raises StartupError or Error
    jobs: list[Any]

    def __init__(
        self,
        config: Config,
        store: SqliteStore,
        lookups: LookupCache,
        addresses: list[Any],
        **settings: Any,
    ) -> None:
        super().__init__(addresses, **settings)
        self.config, self.store, self.lookups = config, store, lookups
        self.bridge = ThreadBridge()
        self.hash_pool = HashPool()
        self.active_requests = ActiveRequests()
        self.render_cache = RenderCache()
        self.write_rate = TokenBucket()
        self.error_log = RateLimitedLog()
        self.login_guard: Any = LoginGuard()
        self.services: dict[type[Any], Any] = {}
        self.untrusted_proxy = ""  # who may be one that --trusted_proxies should name
        # Called after each answer, and when something happens, such as "log-in" and "right".
        self.on_request: Callable[[RequestHandler], object] = lambda handler: None
        self.event: Callable[[str, str], object] = lambda kind, result: None
        # Publishes a topic and its message to other processes, and returns whether it could; what
        # they publish goes to the receiver of its topic.
        self.publish: Callable[..., bool] = lambda *message: False
        self.receivers: dict[str, Callable[..., None]] = {}
        # Returns who has a list open, but for one name.
        self.others_here: Callable[[int, str], tuple[str, ...]] = lambda list_id, username: ()
        self.hub = Hub(lookups)

    async def open(self) -> None:
        """Open the database and the services, if they aren't open. Raises StartupError."""
        raise NotImplementedError

    def has(self, name: str) -> bool:
        """Return whether there is an address of that name: an extra may have been taken away."""
        return name in self.wildcard_router.named_rules

    def service(self, kind: type[T]) -> T:
        """Return the service of that class. Raises KeyError when `extras.SERVICES` has none."""
        service: T = self.services[kind]
        return service

    async def read(self, unit: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a unit of work that only reads, and return what it returns."""
        return await self.bridge.run(self.store.read, partial(unit, *args, **kwargs))

    async def write(self, unit: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a unit of work that writes, and return what it returns once it is committed."""
        return await self.bridge.run(self.store.write, partial(unit, *args, **kwargs))

    def write_soon(self, unit: Callable[P, Any], *args: P.args, **kwargs: P.kwargs) -> None:
        """Run a unit that writes what nobody waits for; a fault in it is logged."""

        def ended(result: object, error: Exception | None) -> None:
            if error and not isinstance(error, (NotFound, Unavailable)):
                log.error("What nobody waits for was not written", exc_info=error)

        self.store.write(partial(unit, *args, **kwargs), ended)


class Service:
    """What runs beside requests: opened after the database, and closed before it."""

    def __init__(self, app: BaseApp) -> None:
        self.app = app
        self.tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None: ...

    def start(self, *work: Coroutine[Any, Any, None]) -> None:
        """Begin what goes on until this is closed."""
        self.tasks += [asyncio.create_task(each) for each in work]

    async def close(self) -> None:
        """Cancel what goes on; a unit that is being written is finished."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
