"""The front door: every address, the settings, how the house opens and how it closes."""

import asyncio
import gc
import hmac
import importlib
import logging
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tornado import locale
from tornado.httpserver import HTTPServer
from tornado.httputil import (
    HTTPMessageDelegate,
    HTTPServerRequest,
    ParseBodyConfig,
    ParseMultipartConfig,
    ParseUrlEncodedConfig,
    set_parse_body_config,
)
from tornado.ioloop import PeriodicCallback
from tornado.iostream import IOStream
from tornado.log import access_log
from tornado.netutil import bind_sockets, is_valid_ip
from tornado.options import Error
from tornado.template import Loader
from tornado.web import Application, RequestHandler, url

from bus import Bus, Carrier, PostgresBus
from config import Config, read
from controllers import account, api, auth, files, health, history, lists, live, sso, todos
from controllers.base import READ_WITHIN, MissingHandler, StaticHandler, path_without_key
from controllers.live import Hub
from controllers.loop import Answers, Complaints, FarLookups, Hashing, Kept, Lookups, Pace, UnderWay
from jobs import Job, Jobs, check_folder
from models import copying, tokens, upgrades
from models.database import Doors, db
from models.errors import CannotGoOn, CannotStart, NotFound
from models.postgres import PostgresDoors
from titles import Titles

ID, NAME = "([1-9][0-9]{0,17})", "([^/]+)"
ADDRESSES: list[Any] = [
    url(r"/", lists.HomeHandler, name="home"),
    # lists
    url(r"/lists", lists.ListsHandler, name="lists"),
    url(rf"/lists/{ID}", todos.ListHandler, name="list"),
    url(rf"/lists/{ID}/(active|completed|mine)", todos.FilterHandler, name="filter"),
    url(rf"/lists/{ID}/messages", todos.MessagesHandler, name="messages"),
    url(rf"/messages/(held/)?{ID}/delete", todos.TakeBackHandler),
    url(rf"/lists/{ID}/rename", todos.RenameListHandler, name="rename-list"),
    url(rf"/lists/{ID}/(history|trash)", history.RecordHandler, name="record"),
    url(rf"/lists/{ID}/(toggle-all|clear-completed|delete)", todos.ListVerbHandler),
    url(rf"/lists/{ID}/members", lists.MembersHandler, name="members"),
    url(rf"/lists/{ID}/members/{NAME}/remove", lists.RemoveHandler, name="remove"),
    url(rf"/lists/{ID}/invites", lists.InvitesHandler, name="invites"),
    url(rf"/lists/{ID}/invites/{ID}/revoke", lists.RevokeHandler, name="revoke"),
    url(r"/join/([\w-]{22})", lists.JoinHandler, name="join"),
    url(rf"/lists/{ID}/leave", lists.RemoveHandler, name="leave"),
    url(r"/undo", history.UndoHandler, name="undo"),
    # todos
    url(rf"/todos/{ID}", todos.TodoHandler, name="todo"),
    url(rf"/todos/{ID}/(complete|reopen|delete|restore|move)", todos.VerbHandler, name="verb"),
    # who comes in
    url(r"/signup", auth.SignUpHandler, name="signup"),
    url(r"/login", auth.LogInHandler, name="login"),
    url(r"/logout", auth.LogOutHandler, name="logout"),
    url(r"/login/sso", sso.StartHandler, name="sso"),
    url(r"/oidc/callback", sso.CallbackHandler, name="sso-callback"),
    url(r"/reset/([\w-]{43})", auth.ResetHandler, name="reset"),
    # an account
    url(r"/account", account.AccountHandler, name="account"),
    url(r"/account/password", account.PasswordHandler, name="password"),
    url(r"/account/sessions", account.SessionsHandler, name="sessions"),
    url(r"/account/tokens", account.TokensHandler, name="tokens"),
    url(rf"/account/tokens/{ID}/end", account.EndTokenHandler, name="end-token"),
    url(rf"/account/identities/{ID}/end", account.UnlinkHandler, name="unlink"),
    url(r"/account/close", account.CloseHandler, name="close"),
    # out and in
    url(rf"/lists/{ID}\.(txt|csv|json)", files.FileHandler, name="file"),
    url(r"/account/export", files.ExportHandler, name="export"),
    url(r"/account/import", files.ImportHandler, name="import"),
    url(r"/api", api.GuideHandler, name="api"),
    # how it is
    (r"/healthz", health.HealthHandler),
    (r"/metrics", health.MetricsHandler),
    # news
    (r"/live", live.LiveHandler),
    (r"/live/events", live.EventsHandler),
    (r"/live/poll", live.PollHandler),
]
API: list[tuple[str, type[api.ApiHandler]]] = [
    (r"/api/todos", api.FirstTodosHandler),
    (rf"/api/todos/{ID}", api.TodoHandler),
    (r"/api/lists", api.ListsHandler),
    (rf"/api/lists/{ID}", api.ListHandler),
    (rf"/api/lists/{ID}/todos", api.TodosHandler),
    (rf"/api/lists/{ID}/messages", api.MessagesHandler),
    (rf"/api/lists/{ID}/members", api.MembersHandler),
    (rf"/api/lists/{ID}/members/{NAME}", api.MemberHandler),
    (rf"/api/lists/{ID}/changes", api.ChangesHandler),
    (r"/api/tokens", api.TokensHandler),
    (rf"/api/tokens/{ID}", api.TokenHandler),
]
REST = [(r"/api/openapi.json", api.OpenApiHandler), (r"/api/.*", api.MissingApiHandler)]
VIEWS = Path(__file__).parent / "views"
TEMPLATES = Loader(str(VIEWS / "templates"))
ASKED_WITHIN = 30  # seconds for the head of a request, and as many for its body
PATHS_KEPT = 10_000  # of which it is remembered where they lead
SPARE = 64  # file descriptors for the database, the log and the like
SETTLE = 0.5  # seconds that someone who has just come in has to ask
NO_BACKUP = "--backup and --backup_folder copy SQLite files: with PostgreSQL use pg_dump."
NEW_KEY = "python3 -c 'import secrets; print(secrets.token_urlsafe(64))'"
LAST_WAIT = 8  # seconds that requests under way have when the house closes


def believe(request: HTTPServerRequest, proxies: list[str]) -> None:
    """Note whom a proxy of ours speaks for: the last address that isn't a proxy's, and how.

    Tornado's own way believes any peer, and a header that a client may have sent (X-Real-Ip).
    """
    for address in reversed(request.headers.get("X-Forwarded-For", "").split(",")):
        if not is_valid_ip(address.strip()):
            break
        request.remote_ip = address.strip()
        if request.remote_ip not in proxies:
            break
    proto = request.headers.get("X-Forwarded-Proto", "")
    if proto in ("http", "https"):
        request.protocol = proto


def doors_to(config: Config) -> Doors | PostgresDoors:
    """Return the doors to the database that the options name."""
    return PostgresDoors(config.database) if config.postgresql else Doors(config.database_path)


def compile_templates() -> None:
    """Compile every template, in a thread: a page of several would hold the event loop long."""
    for path in Path(TEMPLATES.root).rglob("*.html"):
        TEMPLATES.load(str(path.relative_to(TEMPLATES.root)))


class Server(HTTPServer):
    """Tornado's, with room left for the database and the log when connections are very many."""

    def initialize(self, app: "App", **limits: Any) -> None:  # type: ignore[override]
        """Take as many as there are file descriptors, but SPARE."""
        super().initialize(app, **limits)
        self.app = app
        self.most = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - SPARE
        self.asking = app.under_way.asking
        # Tornado would set a timer for each request, which takes a tenth of its time.
        self.conn_params.header_timeout = None
        self.looking = PeriodicCallback(self.end_silent, 1000)
        self.looking.start()

    def end_silent(self) -> None:
        """End the connections of those who take too long to ask for something."""
        latest = time.monotonic() - ASKED_WITHIN
        for stream in [*takewhile(lambda each: self.asking[each] < latest, self.asking)]:
            stream.close()

    def on_close(self, server_conn: Any) -> None:
        """Forget a connection."""
        self.asking.pop(server_conn.stream, None)
        server_conn.stream.error = None  # whose traceback leads back to it: see `Hub.settle`
        super().on_close(server_conn)

    @property
    def open(self) -> int:
        """How many connections there are; what became a socket counts on its own."""
        return len(self._connections)

    def handle_stream(self, stream: IOStream, address: Any) -> None:
        """Begin with a connection, or end it at once when there are too many."""
        if self.open + len(self.app.hub.sockets) >= self.most:
            stream.close()
            return
        super().handle_stream(stream, address)

    async def stop_listening(self) -> None:
        """Take who waits at the door, close it, and give those who came SETTLE to ask at once.

        A proxy that was let in and then cut off wouldn't know whether its form was taken.
        """
        self.looking.stop()
        self.conn_params.no_keep_alive = True  # the next answer of a connection is its last
        for each in self._sockets.values():
            with suppress(OSError):  # nobody waits any more, or there are no descriptors
                while True:
                    self._handle_connection(*each.accept())
        self.stop()
        with suppress(TimeoutError):
            async with asyncio.timeout(SETTLE):
                while self.open:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)

    def start_request(self, server_conn: Any, request_conn: Any) -> HTTPMessageDelegate:
        """Begin with a request, unless whoever sent it has gone: Tornado would begin with all."""
        if request_conn.stream.closed():
            return HTTPMessageDelegate()
        self.app.under_way.hear(request_conn.stream)
        return super().start_request(server_conn, request_conn)


class App(Application):
    """The house. Making one touches nothing; `start` opens the port and the database."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.found: dict[str, Any] = {}
        self.doors = doors_to(config)
        if isinstance(self.doors, Doors):
            self.lookups = Lookups(self.doors)
            self.hub = Hub(self.lookups)
            self.bus = Bus(self.doors, self.hub.announce)
        else:
            self.lookups = FarLookups(self.doors)
            self.hub = Hub(self.lookups)
            self.bus = PostgresBus(self.doors, self.hub.announce, self.hub.versions, self.lookups)
        self.hashing = Hashing()
        self.under_way = UnderWay()
        self.carrier = Carrier(config.redis, self.bus, self.hub.company) if config.redis else None
        self.numbers = health.Numbers(self.gauges())
        self.answers = Answers()
        read, write = (partial(self.answers.of, d) for d in (self.doors.read, self.doors.write))
        self.jobs = Jobs(read, write, self.numbers.job, config.database_path, config.backups)
        self.titles = Titles(config, read, write)
        if config.fetch_titles:
            self.jobs.table.append(Job("fetch titles", self.titles.fetch_waiting, look=1))
        self.watch = health.LoopWatch(self.numbers)
        locale.set_default_locale("en")
        locale.load_gettext_translations(str(VIEWS / "languages"), "afazeres")
        super().__init__(
            [(r"/api/.*", [*API, *REST]), *ADDRESSES],
            config=config,
            doors=self.doors,
            answers=self.answers,
            lookups=self.lookups,
            hashing=self.hashing,
            under_way=self.under_way,
            websocket_max_message_size=64 * 1024,
            hub=self.hub,
            numbers=self.numbers,
            bus=self.bus,
            provider=sso.Provider(config),
            kept=Kept(),
            pace=Pace(),
            complaints=Complaints(),
            api=[(p.replace(ID, "{id}").replace(NAME, "{username}"), h) for p, h in API],
            debug=config.debug,
            compress_response=True,  # safe, as the token is masked anew each time (BREACH)
            template_path=TEMPLATES.root,
            template_loader=TEMPLATES,
            static_path=str(VIEWS / "statics"),
            static_handler_class=StaticHandler,
            default_handler_class=MissingHandler,
            login_url="/login",
            # Against forged posts: a token in each form, and the browser's word where it is from
            # (ASVS 3.5.1).
            xsrf_cookies=True,
            cross_origin_protection=True,
            xsrf_cookie_name="__Host-xsrf" if config.secure else "_xsrf",
            xsrf_cookie_kwargs={
                "httponly": True,
                "samesite": "Lax",
                "secure": config.secure,
                "expires_days": None,
                "max_age": 30 * 24 * 3600,
            },
        )

    def gauges(self) -> dict[str, tuple[str, Callable[[], float]]]:
        """Return what /metrics asks for when someone looks: what it means, and how to know."""
        return {
            "sockets": ("windows that are live", lambda: len(self.hub.sockets)),
            "writer_queue": ("units of work that wait to be written", self.doors.waiting),
            "writer_batch": ("units that shared a commit, of late", self.doors.batch),
            "hashes_waiting": ("passwords that wait to be checked", lambda: self.hashing.waiting),
            "under_way": ("requests being answered", lambda: len(self.under_way.requests)),
        }

    def find_handler(self, request: HTTPServerRequest, **kwargs: Any) -> Any:
        """Return who answers; where a path leads is remembered, as looking takes a tenth of all."""
        connection: Any = request.connection
        self.under_way.hear(connection.stream)  # a form may come now, which has its own time
        if request.remote_ip in self.config.proxies:
            believe(request, self.config.proxies)
        if request.path in self.found:
            return self.get_handler_delegate(request, *self.found[request.path])
        found: Any = super().find_handler(request, **kwargs)
        if len(self.found) < PATHS_KEPT and len(request.path) < 100:
            self.found[request.path] = (found.handler_class, found.handler_kwargs, found.path_args)
        return found

    async def start(self) -> None:
        """Open the port, then the database, and serve. Raises CannotStart, nothing left open."""
        if self.config.postgresql and not self.config.cookie_secret:
            raise CannotStart(
                "With PostgreSQL give --cookie_secret, the same to every process, for instance "
                f"what this prints: {NEW_KEY}"
            )
        if self.config.postgresql and self.config.backups:
            raise CannotStart(NO_BACKUP)
        async with AsyncExitStack() as undo:
            if self.config.backups:
                check_folder(self.config.backups)
            try:
                sockets = bind_sockets(self.config.port, self.config.address or None)
            except (OSError, UnicodeError) as error:
                place = f"port {self.config.port} of {self.config.address or 'this machine'}"
                reason = getattr(error, "strerror", None) or error
                mend = "give another --port or --address."
                raise CannotStart(f"Can't serve {place} ({reason}): {mend}") from error
            for door in sockets:
                undo.callback(door.close)
                with suppress(AttributeError):  # only Linux ends whom nothing more gets through to
                    unread = socket.TCP_USER_TIMEOUT, int(1000 * READ_WITHIN)
                    door.setsockopt(socket.IPPROTO_TCP, *unread)
            await asyncio.to_thread(self.doors.open)
            undo.callback(self.doors.close)
            self.bus.open()
            self.hub.open()
            self.watch.begin()
            undo.callback(self.watch.end)
            undo.push_async_callback(self.bus.close)
            key = self.config.cookie_secret or tokens.signing_key(self.config.database_path)
            self.settings["cookie_secret"] = key
            self.port: int = sockets[0].getsockname()[1]
            # Every limit is said: Tornado's own are an hour of patience and 100 MB for everyone.
            self.server = Server(
                self,
                max_header_size=32 * 1024,
                max_buffer_size=256 * 1024,
                max_body_size=1024 * 1024,
                chunk_size=64 * 1024,
            )
            self.server.add_sockets(sockets)
            if self.carrier:  # its channel is this house's own, of all that share one Redis
                name = Path(urlsplit(self.config.database).path).name
                self.carrier.open(hmac.digest(key.encode(), name.encode(), "sha256").hex())
            self.titles.open()
            self.jobs.open()
            self.compiling = asyncio.get_running_loop().run_in_executor(None, compile_templates)
            undo.pop_all()

    async def stop(self) -> None:
        """Take no new connections, finish what is under way, let go of everything."""
        self.hub.close()
        await self.server.stop_listening()
        await self.under_way.last(LAST_WAIT)
        await self.server.close_all_connections()
        await asyncio.to_thread(self.hashing.threads.shutdown)
        await self.jobs.close()
        self.titles.close()
        await self.compiling
        await self.bus.close()
        if self.carrier:
            await self.carrier.close()
        self.watch.end()
        await asyncio.to_thread(self.doors.close)

    def log_request(self, handler: RequestHandler) -> None:
        """Write one line: the answer, what was asked, how long it took, for whom.

        The house's own faults have lines of their own; see `BaseHandler.log_exception`.
        """
        request = handler.request
        self.numbers.request(request.method or "", handler.get_status(), request.request_time())
        if not access_log.isEnabledFor(logging.INFO):
            return
        access_log.info(
            "%d %s %r %.1f ms %s %s",
            handler.get_status(),
            request.method,
            path_without_key(request.path),
            1000 * request.request_time(),
            getattr(handler.current_user, "username", "-"),
            request.remote_ip,
        )


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run the event loop: uvloop's where it is installed, which is a tenth faster."""
    factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
    with suppress(ImportError):
        factory = importlib.import_module("uvloop").new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main)


def print_reset(config: Config) -> None:
    """Print a link for a new password. Raises CannotStart when nobody has that name."""
    doors = doors_to(config)
    doors.open()
    try:
        with db.connection_context(), db.atomic():
            key = tokens.forgotten(config.reset_password)
    except NotFound:
        raise CannotStart(f"Nobody here is called {config.reset_password!r}.") from None
    finally:
        doors.close()
    base = config.public_url.rstrip("/") or f"http://localhost:{config.port}"
    sys.stdout.write(f"{base}/reset/{key}\nThis link is good once, for an hour.\n")


def reopen_log() -> None:
    """Write on in the file of that name, as the one before was moved away."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler):
            handler.close()  # it opens its file when it next writes


async def serve(config: Config) -> None:
    """Keep the house open until SIGTERM or Ctrl-C; a second one ends it at once.

    Raises CannotGoOn, once all is closed, when the database can't be written any more.
    """
    loop = asyncio.get_running_loop()
    closing = asyncio.Event()
    reasons: list[str] = []

    def give_up(reason: str) -> None:  # runs in the writer's thread
        reasons.append(reason)
        loop.call_soon_threadsafe(closing.set)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, closing.set)
    if any(isinstance(each, logging.FileHandler) for each in logging.getLogger().handlers):
        loop.add_signal_handler(signal.SIGHUP, reopen_log)
    app = App(config)
    if isinstance(app.doors, Doors):
        app.doors.give_up = give_up
    await app.start()
    gc.collect()
    gc.freeze()  # what is loaded stays: looking at it again made the slowest answers
    try:
        host = "localhost" if config.address in ("", "0.0.0.0", "::") else config.address  # noqa: S104
        sys.stdout.write(f"Afazeres is at http://{host}:{app.port}/\n")
        sys.stdout.flush()
        await closing.wait()
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
        await app.stop()
    if reasons:
        raise CannotGoOn(reasons[0])


def main() -> int:
    """Read the options and serve; return the exit status.

    That is 2 when the house can't open, and 1 when it can't go on, after one line on what is wrong.
    """
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # each window takes one
    os.umask(0o077)  # the database, its log and its key are nobody else's
    set_parse_body_config(
        ParseBodyConfig(
            urlencoded=ParseUrlEncodedConfig(max_arguments=200),
            multipart=ParseMultipartConfig(enabled=False),
        )
    )
    try:
        config = read(sys.argv, os.environ)
        if config.copy_to:
            sys.stdout.write(f"{copying.copy(config.database_path, config.copy_to)}\n")
        elif config.backup and config.postgresql:
            raise CannotStart(NO_BACKUP)
        elif config.backup:
            upgrades.back_up(config.database_path, Path(config.backup).absolute())
        elif config.reset_password:
            print_reset(config)
        else:
            run(serve(config))
    except (Error, CannotStart, CannotGoOn) as error:
        sys.stderr.write(f"afazeres: {error}\n")
        return 1 if isinstance(error, CannotGoOn) else 2
    except KeyboardInterrupt:  # the second one
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
