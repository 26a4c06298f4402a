"""Opening and closing: limits, signals, draining, and the tasks of the command line."""

import asyncio
import gc
import importlib
import logging
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import ExitStack, suppress
from itertools import takewhile
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.httputil import (
    HTTPMessageDelegate,
    ParseBodyConfig,
    ParseMultipartConfig,
    ParseUrlEncodedConfig,
    set_parse_body_config,
)
from tornado.ioloop import PeriodicCallback
from tornado.iostream import IOStream
from tornado.netutil import bind_sockets
from tornado.options import Error

from config import Config, read
from controllers.base import READ_WITHIN
from models.errors import FatalError, StartupError
from services.app_base import BaseApp

REQUEST_WITHIN = 30  # seconds for the head of a request, and as many for its body
SPARE = 64  # file descriptors for the database, the log and the like
SETTLE = 0.5  # seconds that someone who has just come in has to ask
LAST_WAIT = 8  # seconds that requests under way have when the server closes
NEW_KEY = "python3 -c 'import secrets; print(secrets.token_urlsafe(64))'"


class Server(HTTPServer):
    """Tornado's, with room left for the database and the log when connections are very many."""

    port: int

    def initialize(self, app: BaseApp, **limits: Any) -> None:  # type: ignore[override]
        """Take as many as there are file descriptors, but SPARE."""
        super().initialize(app, **limits)
        self.app = app
        self.most = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - SPARE
        self.asking = app.active_requests.asking
        # Tornado would set a timer for each request, which takes a tenth of its time.
        self.conn_params.header_timeout = None
        self.looking = PeriodicCallback(self.end_silent, 1000)
        self.looking.start()

    def end_silent(self) -> None:
        """End the connections of those who take too long to ask for something."""
        latest = time.monotonic() - REQUEST_WITHIN
        for stream in [*takewhile(lambda each: self.asking[each] < latest, self.asking)]:
            stream.close()

    def on_close(self, server_conn: Any) -> None:
        """Forget a connection."""
        self.asking.pop(server_conn.stream, None)
        server_conn.stream.error = None  # whose traceback refers back to it
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
        self.app.active_requests.hear(request_conn.stream)
        return super().start_request(server_conn, request_conn)


def check(config: Config) -> None:
    """Raise StartupError for options that can't go together."""
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
        mend = "choose another --port or --address."
        raise StartupError(f"Can't listen on {place} ({reason}): {mend}") from error
    for each in sockets:
        with suppress(AttributeError):  # only Linux ends whom nothing more gets through to
            unread = socket.TCP_USER_TIMEOUT, int(1000 * READ_WITHIN)
            each.setsockopt(socket.IPPROTO_TCP, *unread)
    return sockets


async def start(app: Any) -> Server:
    """Open the port, then the application, and serve. Raises StartupError, nothing left open."""
    check(app.config)
    for check_extra in app.checks:
        check_extra(app.config)
    with ExitStack() as undo:
        sockets = bind(app.config)
        for each in sockets:
            undo.callback(each.close)
        await app.open()
        # Every limit is said: Tornado's own are an hour of patience and 100 MB for everyone.
        server = Server(
            app,
            max_header_size=32 * 1024,
            max_buffer_size=256 * 1024,
            max_body_size=1024 * 1024,
            chunk_size=64 * 1024,
        )
        server.add_sockets(sockets)
        server.port = sockets[0].getsockname()[1]
        undo.pop_all()
    return server


async def stop(server: Server) -> None:
    """Take no new connections, finish what is under way, let go of everything."""
    app: Any = server.app
    app.hub.close()
    await server.stop_listening()
    await app.active_requests.last(LAST_WAIT)
    await server.close_all_connections()
    await app.close()


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run the event loop: uvloop's where it is installed, which is a tenth faster."""
    factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
    with suppress(ImportError):
        factory = importlib.import_module("uvloop").new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main)


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
    set_parse_body_config(
        ParseBodyConfig(
            urlencoded=ParseUrlEncodedConfig(max_arguments=200),
            multipart=ParseMultipartConfig(enabled=False),
        )
    )
    try:
        config = read(sys.argv, os.environ)
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
