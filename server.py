"""Opening and closing: limits, proxies, signals, draining, and the tasks of the command line."""

import asyncio
import gc
import importlib
import logging
import os
import resource
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Coroutine, Mapping
from contextlib import ExitStack, suppress
from typing import Any

from tornado import httputil
from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream
from tornado.netutil import bind_sockets, is_valid_ip
from tornado.options import Error

from config import Config, read
from controllers.base import READ_WITHIN
from models.errors import FatalError, StartupError
from services.app_base import BaseApp

REQUEST_WITHIN = 30  # seconds until the headers of a request have come; as many for its body
SPARE = 64  # file descriptors for the database, the log and the like
SETTLE = 0.5  # seconds that a new connection has to ask when the server stops
LAST_WAIT = 8  # seconds that active requests have when the server stops
LOG_LIMIT, TRACEBACK_LIMIT = 2_000, 20_000  # characters
log = logging.getLogger(__name__)
PROXY_WARNING = (
    "X-Forwarded-For from %s is ignored, so limits count all who come through it as one address. "
    "If that is your reverse proxy, set --trusted_proxies=%s"
)
NEW_KEY = "python3 -c 'import secrets; print(secrets.token_urlsafe(64))'"


class Server(HTTPServer):
    """Tornado's, with room left for the database and the log when connections are very many."""

    def initialize(self, app: BaseApp, **limits: Any) -> None:  # type: ignore[override]
        """Take as many connections as there are file descriptors, but SPARE."""
        super().initialize(app, **limits)
        self.app = app
        self.limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - SPARE
        self.open = 0  # connections; what became a WebSocket is counted by the hub
        self.sockets: list[socket.socket] = []  # that it listens on

    @property
    def port(self) -> int:
        return int(self.sockets[0].getsockname()[1])

    def handle_stream(self, stream: IOStream, address: Any) -> None:
        """Take a connection, or close it at once when there are too many."""
        if self.open + len(self.app.hub.sockets) >= self.limit:
            stream.close()
            return
        self.open += 1
        super().handle_stream(stream, address)

    def on_close(self, server_conn: Any) -> None:
        self.open -= 1
        super().on_close(server_conn)

    def start_request(self, server_conn: Any, request_conn: Any) -> httputil.HTTPMessageDelegate:
        """Begin with a request, unless its client has gone: Tornado would answer all of many."""
        if request_conn.stream.closed():
            return httputil.HTTPMessageDelegate()
        return super().start_request(server_conn, request_conn)

    async def stop_listening(self) -> None:
        """Take the connections that wait in the kernel, stop, and give them SETTLE to ask at once.

        A proxy that was let in and then cut off wouldn't know whether its form was taken.
        """
        self.conn_params.no_keep_alive = True  # the next answer of a connection is its last
        for each in self.sockets:
            with suppress(OSError):  # nobody waits any more, or there are no descriptors
                while True:
                    connection, address = each.accept()
                    size = {"max_buffer_size": self.max_buffer_size}
                    stream = IOStream(connection, read_chunk_size=self.read_chunk_size, **size)
                    self.handle_stream(stream, address)
        self.stop()
        with suppress(TimeoutError):
            async with asyncio.timeout(SETTLE):
                while self.open:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)


def apply_forwarded_headers(app: Any, request: httputil.HTTPServerRequest) -> None:
    """Set the client's address and protocol as a proxy of ours tells them; warn of one that isn't.

    The client is the last address in X-Forwarded-For that isn't a proxy's. Tornado's `xheaders`
    believes X-Real-Ip from anyone, so that a client could choose its own address.
    """
    peer, proxies = request.remote_ip, app.config.proxies
    if peer not in proxies:
        if "X-Forwarded-For" in request.headers and not app.untrusted_proxy:
            app.untrusted_proxy = peer
            log.warning(PROXY_WARNING, peer, peer)
        return
    for address in reversed(request.headers.get("X-Forwarded-For", "").split(",")):
        if not is_valid_ip(address.strip()):
            break
        request.remote_ip = address.strip()
        if request.remote_ip not in proxies:
            break
    proto = request.headers.get("X-Forwarded-Proto", "")
    if proto in ("http", "https"):
        request.protocol = proto


def check(config: Config) -> None:
    """Raise StartupError for PostgreSQL without a key that all processes share."""
    if config.engine == "postgresql" and not config.cookie_secret:
        raise StartupError(
            "With PostgreSQL, set --cookie_secret to the same value for every process, for "
            f"instance to the output of: {NEW_KEY}"
        )


def bind(config: Config) -> list[socket.socket]:
    """Open the port. Raises StartupError."""
    try:
        sockets = bind_sockets(config.port, config.address or None)
    except (OSError, UnicodeError) as error:
        place = f"port {config.port} of {config.address or 'this machine'}"
        reason = getattr(error, "strerror", None) or error
        advice = "choose another --port or --address."
        raise StartupError(f"Can't listen on {place} ({reason}): {advice}") from error
    for each in sockets:
        with suppress(AttributeError):  # only Linux ends whom nothing more gets through to
            unread = socket.TCP_USER_TIMEOUT, int(1000 * READ_WITHIN)
            each.setsockopt(socket.IPPROTO_TCP, *unread)
    return sockets


async def start(app: Any) -> Server:
    """Open the port, then the application, and serve. Raises StartupError, nothing left open."""
    for each in (check, *app.checks):
        each(app.config)
    with ExitStack() as undo:
        sockets = bind(app.config)
        for each in sockets:
            undo.callback(each.close)
        await app.open()
        # Every limit is set: Tornado's own are an hour without a request, and bodies of 100 MB.
        server = Server(
            app,
            max_header_size=32 * 1024,
            max_buffer_size=256 * 1024,
            max_body_size=1024 * 1024,
            chunk_size=64 * 1024,
            idle_connection_timeout=REQUEST_WITHIN,
            body_timeout=REQUEST_WITHIN,
        )
        server.add_sockets(sockets)
        server.sockets = sockets
        undo.pop_all()
    return server


async def stop(server: Server) -> None:
    """Take no new connections, finish the active requests, close everything."""
    app: Any = server.app
    app.hub.close()
    await server.stop_listening()
    await app.active_requests.drain(LAST_WAIT)
    await server.close_all_connections()
    await app.close()


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run the event loop: uvloop's where it is installed, which is a tenth faster."""
    factory: Any = None
    with suppress(ImportError):
        factory = importlib.import_module("uvloop").new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main)


class ShortLines(logging.Filter):
    """Cuts what is logged: what requests and errors hold may be as long as anyone likes."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Say that every record is logged."""
        message = record.getMessage()
        if len(message) > LOG_LIMIT:
            record.msg, record.args = f"{message[:LOG_LIMIT]}... ({len(message)} characters)", None
        if record.exc_info:
            text = "".join(traceback.format_exception(*record.exc_info)).rstrip()
            if len(text) > TRACEBACK_LIMIT:
                half = TRACEBACK_LIMIT // 2
                record.exc_text = f"{text[:half]}\n...\n{text[-half:]}"
        return True


def reopen_log() -> None:
    """Write on in the file of that name, as the one before was moved away."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler):
            handler.close()  # it opens its file when it next writes


async def serve(app: Any) -> None:
    """Serve until SIGTERM or Ctrl-C; a second one ends it at once.

    Raises FatalError, once all is closed, when the database can't be written any more.
    """
    loop = asyncio.get_running_loop()
    closing = asyncio.Event()
    reasons: list[str] = []

    def on_fatal(reason: str) -> None:  # runs in the writer's thread
        reasons.append(reason)
        loop.call_soon_threadsafe(closing.set)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, closing.set)
    if any(isinstance(each, logging.FileHandler) for each in logging.getLogger().handlers):
        loop.add_signal_handler(signal.SIGHUP, reopen_log)
    app.store.on_fatal = on_fatal
    server = await start(app)
    gc.collect()
    gc.freeze()  # what is loaded stays: looking at it again made the slowest answers
    try:
        address = app.config.address
        host = "localhost" if address in ("", "0.0.0.0", "::") else address  # noqa: S104
        sys.stdout.write(f"Afazeres is at http://{host}:{server.port}/\n")
        sys.stdout.flush()
        await closing.wait()
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
        await stop(server)
    if reasons:
        raise FatalError(reasons[0])


def main(make_app: Callable[[Config], Any], commands: Mapping[str, Callable[[Any], str]]) -> int:
    """Read the options, and serve or do one of `commands`; return the exit status.

    That is 2 when it can't start, and 1 when it can't go on, after one line on what is wrong.
    """
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # each socket takes one
    os.umask(0o077)  # the database, its log and its key are nobody else's
    forms = httputil.ParseUrlEncodedConfig(max_arguments=200)
    files = httputil.ParseMultipartConfig(enabled=False)
    httputil.set_parse_body_config(httputil.ParseBodyConfig(urlencoded=forms, multipart=files))
    try:
        config = read(sys.argv, os.environ)
        for handler in logging.getLogger().handlers:
            handler.addFilter(ShortLines())
        app = make_app(config)
        for option, command in commands.items():
            if getattr(config, option):
                sys.stdout.write(command(app))
                return 0
        run(serve(app))
    except (Error, StartupError, FatalError) as error:
        sys.stderr.write(f"afazeres: {error}\n")
        return 1 if isinstance(error, FatalError) else 2
    except KeyboardInterrupt:  # the second one
        return 130
    return 0
