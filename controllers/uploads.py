"""Heavy requests, and uploads among them: bounded in number and in memory."""

import asyncio
from typing import Any

from tornado import httputil
from tornado.web import HTTPError, stream_request_body

from controllers.base import SLOWEST, PageHandler
from controllers.errors import ERROR_STATUS, NotLoggedIn
from models.errors import TooMany
from services.heavy_requests import AlreadyRunning, Busy, HeavyRequests

SLOW_AFTER = 30  # seconds in which SLOW_AFTER * SLOWEST bytes of a form must come
FORM = httputil.ParseBodyConfig(multipart=httputil.ParseMultipartConfig(max_parts=10))
ERROR_STATUS |= {AlreadyRunning: 429, Busy: 503}


class HeavyHandler(PageHandler):
    """One that counts as the heavy request of its person from `begin_heavy` until it is answered.

    What it does is enclosed in `with self.heavy.work()`.
    """

    @property
    def heavy(self) -> HeavyRequests:
        return self.app.service(HeavyRequests)

    def begin_heavy(self) -> None:
        """Count this request in. Raises AlreadyRunning."""
        self.heavy.begin(self.current_user.id, self)

    def end_heavy(self) -> None:
        if self.current_user:
            self.heavy.end(self.current_user.id, self)

    def finish(self, chunk: Any = None) -> "asyncio.Future[None]":
        sent = super().finish(chunk)
        sent.add_done_callback(lambda _: self.end_heavy())
        return sent

    def on_connection_close(self) -> None:
        super().on_connection_close()
        self.end_heavy()


@stream_request_body
class UploadHandler(HeavyHandler):
    """A form with a file, of `body_limit` bytes at most, which `receive` returns."""

    body_limit = 0
    public = True  # to answer those who aren't logged in, their form must be read first
    gone = False
    refusal: TooMany | HTTPError | None = None  # why the form is read, but not kept
    received = held = 0  # bytes of the form
    speed_check: asyncio.TimerHandle | None = None

    async def prepare(self) -> None:
        """Allow a large body to those who are logged in, and to nobody else."""
        self.data = bytearray()
        connection: Any = self.request.connection
        connection.set_body_timeout(30)
        await super().prepare()
        self.public = False
        if self.current_user and self.request.method == "POST" and not self.gone:
            try:
                self.begin_heavy()
            except TooMany as refusal:
                self.refusal = refusal
            if not self.request.headers.get("Content-Type", "").startswith("multipart/form-data"):
                self.refusal = HTTPError(415)
            connection.set_max_body_size(self.body_limit)
            connection.set_body_timeout(120)
            self.check_speed()

    def check_speed(self, before: int | None = None) -> None:
        """Drop the connection if too little came since there were `before` bytes; check again."""
        if before is not None and self.received - before < SLOW_AFTER * SLOWEST:
            self.drop_connection()
        else:
            self.speed_check = asyncio.get_running_loop().call_later(
                SLOW_AFTER, self.check_speed, self.received
            )

    def stop_speed_check(self) -> None:
        if self.speed_check:
            self.speed_check.cancel()

    def data_received(self, chunk: bytes) -> None:
        """Keep what comes, unless it is refused: then it is only read, so that who sends it hears.

        Browsers show no answer that comes before they have sent all.
        """
        self.received += len(chunk)
        if self.current_user and not self.refusal:
            try:
                self.heavy.hold(len(chunk))
            except TooMany as refusal:
                self.refusal = refusal
                self.free()
            else:
                self.held += len(chunk)
                self.data += chunk

    def free(self) -> None:
        """Let go of what was sent: this handler may be there until the garbage collector comes."""
        self.heavy.hold(-self.held)
        self.held, self.data = 0, bytearray()

    def on_finish(self) -> None:
        self.stop_speed_check()
        self.free()
        self.typed, self.error = {}, None
        self.request.body_arguments.clear()
        self.request.arguments.clear()

    def on_connection_close(self) -> None:
        """Count the request out: when its form was cut short, no other method of ours is called."""
        super().on_connection_close()
        self.gone = True
        self.stop_speed_check()
        self.free()
        self.app.active_requests.end(self)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Show what is wrong, and close the connection, as the form may not have been read."""
        self.set_header("Connection", "close")
        super().write_error(status_code, **kwargs)

    def check_xsrf_cookie(self) -> None:
        """Leave it to `receive`: the token is in the body, which is still to come."""

    async def receive(self) -> Any:
        """Parse the form, check its token, and return the file in it, None if there is none.

        Raises NotLoggedIn, AlreadyRunning, Busy, HTTPError.
        """
        self.stop_speed_check()
        if self.current_user is None:
            raise NotLoggedIn(403)
        if self.refusal:
            raise self.refusal
        file = await asyncio.to_thread(self.parse)
        super().check_xsrf_cookie()
        return file

    def parse(self) -> Any:
        """Set `typed`, and return the file; runs in a thread."""
        found: dict[str, Any] = {}
        kind = self.request.headers.get("Content-Type", "")
        data, self.data = bytes(self.data), bytearray()
        fields = self.request.body_arguments
        try:
            httputil.parse_body_arguments(kind, data, fields, found, config=FORM)
        except httputil.HTTPInputError:
            raise HTTPError(400) from None
        self.request.arguments |= fields
        self.typed = {name: self.single_field(name) for name in fields}
        return found["file"][0] if found.get("file") else None
