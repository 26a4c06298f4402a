"""What handlers share: who is asking, the doors to the models, refusals, error pages, headers."""

import asyncio
import functools
import os
import re
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any, ParamSpec, TypeVar
from urllib.parse import unquote, urlencode, urlsplit

from tornado.log import app_log
from tornado.web import HTTPError, RequestHandler, StaticFileHandler

from models import tokens
from models.database import Answer
from models.errors import Forbidden, Invalid, NotFound, Unavailable
from models.tables import Person

P = ParamSpec("P")
T = TypeVar("T")
Door = Callable[[Callable[[], Any], Answer], None]

# Nothing from elsewhere and nothing inline (ASVS 3.4.3); no framing; forms stay on this site.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; manifest-src 'self'; worker-src 'self'; "
    "form-action 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Server": "todo",
}


class NotLoggedIn(HTTPError):
    """A form was sent by nobody, perhaps by someone whose session has ended."""

    def __init__(self) -> None:
        super().__init__(403)


REFUSALS = {NotFound: 404, Forbidden: 403, Invalid: 422, Unavailable: 503}
SENTENCES = {
    400: "Your browser sent something that this page can't understand.",
    403: "This was refused. Go back, reload the page, and try again.",
    404: "There is nothing here, or it isn't shared with you.",
    405: "This address can't be used in that way.",
    503: "This didn't work just now, and nothing was changed. Please try again in a moment.",
}
FAULT = "Something went wrong here. It isn't your fault."
HERE = re.compile(r"/(?!/)[!-\[\]-~]*")  # visible ASCII without the backslash
HIDDEN = re.compile(r"[\\\x00-\x1f\x7f]")
HASHES_WAITING = 32  # about a second of work; whoever comes later is asked to try again


class Answers:
    """Brings what the models' threads answer to the event loop, waking it once for many.

    A commit answers a whole group; `asyncio.wrap_future` would wake the loop for each of them.
    """

    def __init__(self) -> None:
        self.handed_in: list[tuple[Door, Callable[[], Any], Answer]] = []
        self.ready: deque[tuple[asyncio.Future[Any], Any, Exception | None]] = deque()
        self.called = False

    async def to(self, door: Door, unit: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Hand a unit of work in at a door of `models.database`, and wait for the answer."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def answer(result: T, error: Exception | None) -> None:  # runs in the model's thread
            self.ready.append((future, result, error))
            if not self.called:
                self.called = True
                loop.call_soon_threadsafe(self.deliver)

        if not self.handed_in:
            loop.call_soon(self.hand_in)
        self.handed_in.append((door, lambda: unit(*args, **kwargs), answer))
        return await future

    def hand_in(self) -> None:
        """Give the threads all that came in one turn of the loop, for one commit."""
        handed_in, self.handed_in = self.handed_in, []
        for door, unit, answer in handed_in:
            door(unit, answer)

    def deliver(self) -> None:
        """Give everyone their answer."""
        self.called = False  # before looking, so that what comes from now on calls again
        while self.ready:
            future, result, error = self.ready.popleft()
            if future.cancelled():
                continue
            if error is None:
                future.set_result(result)
            elif isinstance(error, StopIteration):  # which no future can hold
                future.set_exception(RuntimeError(repr(error)))
            else:
                future.set_exception(error)


class UnderWay:
    """The requests being answered; whoever closes the house waits until there are `none`."""

    def __init__(self) -> None:
        self.requests: set[RequestHandler] = set()
        self.none = asyncio.Event()
        self.none.set()

    def begin(self, request: RequestHandler) -> None:
        """Count one in."""
        self.requests.add(request)
        self.none.clear()

    def end(self, request: RequestHandler) -> None:
        """Count one out, if it was in."""
        self.requests.discard(request)
        if not self.requests:
            self.none.set()


class Hashing:
    """The threads for work on passwords: two at most, and one core is left for the rest."""

    def __init__(self) -> None:
        threads = max(1, min(2, (os.cpu_count() or 1) - 1))
        self.threads = ThreadPoolExecutor(threads, thread_name_prefix="hashing")
        self.waiting = 0

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Wait for `work` on a password. Raises Unavailable when too much waits already."""
        if self.waiting >= HASHES_WAITING:
            raise Unavailable("too many passwords wait to be checked")
        self.waiting += 1
        try:
            return await asyncio.wrap_future(self.threads.submit(work, *args, **kwargs))
        finally:
            self.waiting -= 1


class BaseHandler(RequestHandler):
    """The headers, the error page and the bookkeeping of every answer, static files included."""

    def set_default_headers(self) -> None:
        """Set what every answer has. Errors too: Tornado clears all else for them."""
        for name, value in HEADERS.items():
            self.set_header(name, value)
        if self.settings["config"].secure:
            self.set_header("Strict-Transport-Security", "max-age=31536000; includeSubDomains")

    @classmethod
    @functools.cache
    def methods(cls) -> list[str]:
        """Return the methods this address knows: those that aren't Tornado's own refusal."""
        known = [
            name
            for name in cls.SUPPORTED_METHODS
            if getattr(cls, name.lower()) is not getattr(RequestHandler, name.lower())
        ]
        return known if "GET" in known else [name for name in known if name != "HEAD"]

    def check_method(self) -> None:
        """Raise HTTPError 405 for a method that this address doesn't know."""
        if self.request.method not in self.methods():
            raise HTTPError(405)

    def check_xsrf_cookie(self) -> None:
        """Refuse an unknown method before asking for its token, as 405 is the better answer."""
        self.check_method()
        super().check_xsrf_cookie()

    async def prepare(self) -> None:
        """Count this request as under way."""
        self.settings["under_way"].begin(self)
        self.check_method()

    def finish(self, chunk: Any = None) -> "asyncio.Future[None]":
        """Answer; the request is under way until the last byte has left."""
        sent = super().finish(chunk)
        sent.add_done_callback(lambda _: self.settings["under_way"].end(self))
        return sent

    async def head(self, *args: str) -> None:
        """Answer as GET does; Tornado leaves out the body."""
        await self.get(*args)  # type: ignore[misc]  # every get of ours is a coroutine

    def log_exception(self, typ: Any, value: BaseException | None, tb: Any) -> None:
        """Log the house's own faults; a visitor's mistake has its line in the access log."""
        if isinstance(value, Unavailable):
            app_log.error("%s %r: %s", self.request.method, self.request.path, value)
        elif not isinstance(value, (HTTPError, NotFound, Forbidden, Invalid)):
            super().log_exception(typ, value, tb)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Draw the error page, without the database: it may be what failed."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        status = REFUSALS.get(type(error), status_code)
        if status == 500 and self.settings.get("serve_traceback"):
            super().write_error(status_code, **kwargs)
            return
        self.set_status(status)
        if status == 405:
            self.set_header("Allow", ", ".join(self.methods()))
        if status == 503:
            self.set_header("Retry-After", "5")
        translate = self.locale.translate
        sentence = translate(SENTENCES.get(status, FAULT))
        if isinstance(error, Invalid):
            sentence = error.message(translate)
        if isinstance(error, NotLoggedIn):
            sentence = translate("You are not logged in any more.")
        title = translate(HTTPStatus(status).phrase)
        self.render("error.html", title=title, sentence=sentence, kept=self.kept())

    def kept(self) -> list[str]:
        """Return what people wrote into the form that was refused, for them to copy."""
        values = [self.request.body_arguments.get(name, [b""])[0] for name in ("title", "name")]
        return [value.decode(errors="replace") for value in values if value.strip()]


class MissingHandler(BaseHandler):
    """Every address that isn't in the table: 404, whatever the method."""

    def check_xsrf_cookie(self) -> None:
        """Nothing happens here that could be forged."""

    def check_trusted_origin(self, origin: str) -> bool:
        """Nothing happens here that could be forged."""
        return True

    async def prepare(self) -> None:
        """Refuse."""
        raise NotFound


class StaticHandler(BaseHandler, StaticFileHandler):
    """The files of views/statics: with `?v=` kept for ever, without it asked for anew."""

    def parse_url_path(self, url_path: str) -> str:
        """Refuse NUL, on which the file system's functions raise."""
        if "\0" in url_path:
            raise NotFound
        return super().parse_url_path(url_path)

    def set_extra_headers(self, path: str) -> None:
        """Keep browsers from guessing how long a copy is good."""
        if "v" not in self.request.query_arguments:
            self.set_header("Cache-Control", "no-cache")


class PageHandler(BaseHandler):
    """A page for people: who is asking, the doors to the models, the fields of a form.

    It is for people who are logged in, unless its class says `public = True`.
    """

    public = False

    def set_default_headers(self) -> None:
        """Let nothing of a page be kept: after logging out, Back shows nothing private."""
        super().set_default_headers()
        self.set_header("Cache-Control", "no-store")

    def compute_etag(self) -> str | None:
        """Leave out Tornado's hash of the body: with a fresh token in it, it never matches."""
        return None

    async def prepare(self) -> None:
        """Find out who is asking, and send strangers to log in."""
        await super().prepare()
        self.error: Invalid | None = None
        self.typed = {name: self.only(name) for name in self.request.body_arguments}
        self.current_user = await self.find_person()
        if self.current_user is None and not self.public:
            if self.request.method == "POST":
                raise NotLoggedIn
            self.ask_to_log_in(302)

    def ask_to_log_in(self, status: int) -> None:
        """Redirect to the log-in page, which leads back here."""
        query = urlencode({"next": self.request.uri})
        self.redirect(f"{self.get_login_url()}?{query}", status=status)

    async def find_person(self) -> Person | None:
        """Return whose session the cookie holds; a cookie that opens none is taken away."""
        key = self.session_key()
        visit = tokens.visit(self.settings["doors"].look, key) if key else None
        if key and visit:
            if visit.stale:  # noted in passing: a page that is only read waits for no writer
                self.settings["doors"].write(lambda: tokens.seen(key), lambda result, error: None)
            return visit.person
        if self.get_cookie(self.settings["session_cookie"]) is not None:
            self.drop_session_cookie()
        return None

    def session_key(self) -> str | None:
        """Return the key in the session cookie, if it was signed here."""
        name = self.settings["session_cookie"]
        key = self.get_signed_cookie(name, max_age_days=tokens.LONGEST.days, min_version=2)
        return key.decode() if key else None

    def drop_session_cookie(self) -> None:
        """Take the session cookie away."""
        secure = self.settings["config"].secure
        self.clear_cookie(self.settings["session_cookie"], secure=secure)

    async def read(self, unit: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Wait for a unit of work that reads; see `models.database`."""
        answers: Answers = self.settings["answers"]
        return await answers.to(self.settings["doors"].read, unit, *args, **kwargs)

    async def commit(self, unit: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Wait for a unit of work that writes, and for its COMMIT (`write` is Tornado's name)."""
        answers: Answers = self.settings["answers"]
        return await answers.to(self.settings["doors"].write, unit, *args, **kwargs)

    async def hash(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Wait for work on a password, which has threads of its own."""
        hashing: Hashing = self.settings["hashing"]
        return await hashing.run(work, *args, **kwargs)

    def only(self, name: str) -> str:
        """Return a field exactly as sent; raises HTTPError 400 if it comes twice or isn't text."""
        values = self.request.body_arguments[name]
        value = self.decode_argument(values[0], name)
        if len(values) > 1 or "\0" in value:
            raise HTTPError(400)
        return value

    def field(self, name: str) -> str:
        """Return a field of the form exactly as sent, empty when it is missing."""
        return self.typed.get(name, "")

    def see_other(self, place: str) -> None:
        """End a POST with 303 to the form's `back`, or else to `place`."""
        self.redirect(here(self.field("back"), place), status=303)

    def get_template_namespace(self) -> dict[str, Any]:
        """Give every template what was typed, and what is wrong with it."""
        own = {"typed": getattr(self, "typed", {}), "error": getattr(self, "error", None)}
        return super().get_template_namespace() | own


def form(post: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """Wrap the `post` of a handler that has a `show` with the same arguments.

    When the model refuses a field, the page is shown again: 422, filled in, with the reason.
    """

    @functools.wraps(post)
    async def answer(self: Any, *args: str) -> None:
        try:
            await post(self, *args)
        except Invalid as error:
            self.error = error
            self.set_status(422)
            await self.show(*args)

    return answer


def here(place: str, otherwise: str = "/") -> str:
    """Return `place` if it is a path on this site, else `otherwise` (ASVS 3.7.2).

    Browsers take `//host` and `/\\host` for another site, and drop tabs before they look.
    """
    if len(place) > 2000 or not HERE.fullmatch(place):
        return otherwise
    decoded = unquote(urlsplit(place).path)  # what a proxy may make of it
    return otherwise if decoded.startswith("//") or HIDDEN.search(decoded) else place
