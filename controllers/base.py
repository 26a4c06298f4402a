"""What handlers share: who is asking, reading and writing through the store, fields of a form."""

import asyncio
import gzip
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from functools import cached_property, lru_cache, partial, wraps
from typing import Any, ParamSpec, TypeVar
from urllib.parse import urlencode
from uuid import UUID

from tornado import locale
from tornado.web import HTTPError, RequestHandler, decode_signed_value

from controllers.errors import ERROR_STATUS, ErrorHandler, NotLoggedIn
from controllers.security import HEADERS, local_path
from models import sessions
from models.errors import Invalid, NotFound, TooMany
from models.tables import Person

P = ParamSpec("P")
T = TypeVar("T")

ID = re.compile("[1-9][0-9]{0,17}")
# What runs a unit of work once for the `op` of a form: see extras.py.
ONCE: list[Callable[..., Any]] = []
# HTML that extras add to the top of each page, for who is logged in; `extras.py` fills it.
NOTICES: list[Callable[[Any], Awaitable[bytes]]] = []
PORTUGUESE = re.compile(r"pt\b.*", re.IGNORECASE)
HOST_LIMIT = 261  # characters: a name of 255, a colon, and a port
SESSION_AGES = 100_000  # days; how long a session lasts its row says
COOKIE_LIMIT = 500  # characters of a session cookie; ours has 160
READ_WITHIN, SLOWEST = 60, 20_000  # seconds for an answer to be read; bytes a second of long ones
LARGE = 256 * 1024  # bytes of an answer, which take 5 ms to compress
OWN_WRITE_WAIT = 0.5  # seconds that a page waits for what its reader did just before


@lru_cache(maxsize=1000)
def best_locale(accepted: str) -> locale.Locale:
    """Return our language that suits an Accept-Language header best (RFC 9110, 12.5.4)."""
    wanted = []
    for choice in accepted.split(","):
        code, _, weight = choice.strip().partition(";q=")
        with suppress(ValueError):
            wanted.append((-float(weight or 1), PORTUGUESE.sub("pt_BR", code)))
    return locale.get(*(code for weight, code in sorted(wanted, key=lambda w: w[0]) if weight < 0))


@lru_cache(maxsize=1000)
def read_session_cookie(secret: str, name: str, value: str) -> str:
    """Return the key in a signed cookie, or "". Checking it again would be 8 % of a 304."""
    return (decode_signed_value(secret, name, value, SESSION_AGES, min_version=2) or b"").decode()


class BaseHandler(ErrorHandler):
    """The language, the limits and the ways to the database of every answer."""

    def get_user_locale(self) -> locale.Locale | None:
        """Return the language chosen in the account, if one was."""
        chosen = self.current_user and self.current_user.language
        return locale.get(chosen) if chosen else None

    def get_browser_locale(self, default: str = "en") -> locale.Locale:
        """Return the language the browser asks for; any Portuguese is Brazil's."""
        return best_locale(self.request.headers.get("Accept-Language", default)[:200])

    def get_query_argument(self, name: str, default: str, strip: bool = True) -> str:  # type: ignore[override]
        """Return a parameter of the query; raises HTTPError 400 when it comes twice."""
        if len(self.request.query_arguments.get(name, ())) > 1:
            raise HTTPError(400)
        return super().get_query_argument(name, default, strip)

    async def prepare(self) -> None:
        """Count this request as active. Raises HTTPError for one that can't be answered."""
        await self.app.open()  # in Tornado's AsyncHTTPTestCase nobody else does
        self.app.active_requests.begin(self)
        if len(self.request.host) > HOST_LIMIT:
            raise HTTPError(400)

    def finish(self, chunk: Any = None) -> "asyncio.Future[None]":
        """Answer; the request is active until its last byte has left, and a slow reader cut off."""
        sent = super().finish(chunk)
        if sent.done():
            self.app.active_requests.end(self)
        else:
            sent.add_done_callback(lambda _: self.app.active_requests.end(self))
            size = len(chunk) if isinstance(chunk, (bytes, str)) else 0
            later = asyncio.get_running_loop().call_later
            cut = later(READ_WITHIN + size / SLOWEST, self.drop_connection)
            sent.add_done_callback(lambda _: cut.cancel())
        return sent

    async def finish_large(self, body: bytes) -> None:
        """Answer with what may be long: Tornado would compress it on the event loop."""
        if len(body) > LARGE and "gzip" in self.request.headers.get("Accept-Encoding", ""):
            body = await asyncio.to_thread(gzip.compress, body, 6, mtime=0)
            self.set_header("Content-Encoding", "gzip")
        self.finish(body)

    def drop_connection(self) -> None:
        """Close the connection at once, whatever is still to be sent or read."""
        connection: Any = self.request.connection
        connection.stream.close()

    async def head(self, *args: str) -> None:
        """Answer as GET does; Tornado leaves out the body."""
        await self.get(*args)  # type: ignore[misc]  # every get of ours is a coroutine

    async def commit(self, unit: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a unit of work for who is asking, once however often the request is repeated.

        Their next page waits until it is committed. Raises TooMany. (Tornado has a `write`.)
        """
        app, person = self.app, self.current_user
        if person and app.config.throttle:
            app.write_rate.take(person.id)
        answer = app.bridge.run(app.store.write, self.once(partial(unit, *args, **kwargs)))
        if person:
            app.bridge.last[person.id] = answer
        return await answer

    def once(self, work: Callable[[], T]) -> Callable[[], T]:
        """Return `work` so that a repeat of this request does nothing twice, if it can be told."""
        return work

    @cached_property
    def base(self) -> str:
        """The URL of the site, as people and programs know it, without a slash at the end."""
        public = self.app.config.public_url.rstrip("/")
        return public or f"{self.request.protocol}://{self.request.host}"


class OpenHandler(BaseHandler):
    """What any site may ask, as no cookie is read: there is nothing to forge."""

    def check_xsrf_cookie(self) -> None: ...
    def check_trusted_origin(self, origin: str) -> bool:
        return True


class PageHandler(BaseHandler):
    """A page for people: their session, the fields of a form, and what templates need."""

    # No page is stored by the browser: after logging out, Back shows nothing private.
    default_headers = HEADERS | {"Cache-Control": "no-store"}
    public = False  # whether it is also for people who aren't logged in
    error: Invalid | None = None  # what is wrong with what was typed
    notices = b""  # an element with what NOTICES have drawn

    def compute_etag(self) -> str | None:
        """Leave out Tornado's hash of the body: with a fresh token in it, it never matches."""
        return None

    async def prepare(self) -> None:
        """Find out who is asking, and send strangers to log in."""
        await super().prepare()
        posted = self.request.body_arguments if self.request.method == "POST" else ()
        self.typed = {name: self.single_field(name) for name in posted}
        self.current_user = await self.find_person()
        drawn_for = self.request.headers.get("X-User")  # who is logged in may be another by now
        if self.current_user and drawn_for not in (None, str(self.current_user.id)):
            self.current_user = None
        if self.current_user:
            last = self.app.bridge.last.get(self.current_user.id)
            if last and self.request.method == "GET":  # who reloads at once sees what they did
                await asyncio.wait([last], timeout=OWN_WRITE_WAIT)
            drawn = [await draw(self) for draw in NOTICES]
            self.notices = b'<div id="notices">%b</div>' % b"".join(drawn)
        elif not self.public:
            if self.request.method == "POST":
                raise NotLoggedIn(403)
            self.ask_to_log_in(302)

    def ask_to_log_in(self, status: int) -> None:
        """Redirect to the log-in page, which leads back here."""
        ended = {"ended": 1} if self.get_cookie(self.cookie("session")) else {}
        query = urlencode({"next": self.request.uri} | ended)
        self.redirect(f"{self.get_login_url()}?{query}", status=status)

    async def find_person(self) -> Person | None:
        """Return whose session the cookie holds; a cookie without a session is removed."""
        key = self.session_key()
        visit = await self.app.lookups(sessions.session_for, key) if key else None
        if visit and visit.stale:  # nobody waits for it: who only reads waits for no writer
            self.app.write_soon(sessions.touch, key)
        if not visit and self.get_cookie(self.cookie("session")) is not None:
            self.drop_cookie("session")
        return visit and visit.person

    def session_key(self) -> str:
        """Return the key in the session cookie, "" if there is none that was signed here."""
        name = self.cookie("session")
        value = self.get_cookie(name, "")[:COOKIE_LIMIT]
        return read_session_cookie(self.settings["cookie_secret"], name, value)

    async def may_sign_up(self, place: str) -> bool:
        """Return whether someone on the way to `place` may: all may, or only with an invitation."""
        if self.app.config.signup == "open":
            return True
        return any([await self.app.read(admits, place) for admits in self.app.invitations])

    def browser(self) -> sessions.Browser:
        """Return what a session's row says of this browser."""
        agent = self.request.headers.get("User-Agent", "")
        return sessions.Browser(self.request.remote_ip or "", agent)

    def set_session_cookie(self, key: str) -> None:
        """Give this browser the key of a session; the one it had before has ended."""
        self.app.hub.end_session(self.session_key())
        self.give_cookie("session", key, sessions.LONGEST.days * 86400)

    def single_field(self, name: str) -> str:
        """Return a field exactly as sent; raises HTTPError 400 if it comes twice or isn't text."""
        values = self.request.body_arguments[name]
        value = self.decode_argument(values[0], name)
        if len(values) > 1 or "\0" in value:
            raise HTTPError(400)
        return value

    def field(self, name: str) -> str:
        """Return a field of the form exactly as sent, "" when it is missing."""
        return self.typed.get(name, "")

    def id_field(self, name: str) -> int | None:
        """Return the id that a field holds, None when it is empty; raises Invalid."""
        value = self.field(name)
        if value and not ID.fullmatch(value):
            raise Invalid(name, "Invalid ID.")
        return int(value) if value else None

    def bool_field(self, name: str) -> bool:
        """Return whether a field says true; raises Invalid when it says neither true nor false."""
        if self.field(name) not in ("true", "false"):
            raise Invalid(name, "This must be true or false.")
        return self.field(name) == "true"

    def once(self, work: Callable[[], T]) -> Callable[[], T]:
        """Return `work`, done once for the `op` of the form, a UUID, however often it is sent."""
        person, op = self.current_user, self.field("op")
        if not op or not person or self.public or not ONCE:
            return work
        try:
            return partial(ONCE[0], person, str(UUID(op)), self.request.path, work)
        except ValueError:
            raise HTTPError(400) from None

    def see_other(self, page: str, *args: Any, saved: bool = False) -> None:
        """End a POST with 303 to the form's `back`, or else to a page, which may say `saved`."""
        place = self.reverse_url(page, *args) + "?saved=1" * saved
        self.redirect(local_path(self.field("back"), place), status=303)

    @property
    def fragment(self) -> bool:
        """Whether the page's own script asks, which needs the parts of the page alone."""
        return self.request.headers.get("X-Fragment") == "rows"

    def get_template_namespace(self) -> dict[str, Any]:
        """Give every template what was typed, what is wrong with it, and these functions."""
        own = {"typed": getattr(self, "typed", {}), "error": self.error}
        own |= {"moment": self.moment, "has": self.app.has, "notices": self.notices}
        own["saved"] = "saved" in self.request.query_arguments and not self.error
        own["wrong"] = self.error.field if self.error else ""  # the name of the field in error
        return super().get_template_namespace() | own

    def moment(self, at: str) -> str:
        """Return an instant of the database in words, in UTC; a script knows the reader's zone."""
        return self.locale.format_date(datetime.fromisoformat(at), full_format=True) + " UTC"


class MissingHandler(OpenHandler, PageHandler):
    """Every address that isn't in the table: 404, whatever the method."""

    SUPPORTED_METHODS = RequestHandler.SUPPORTED_METHODS
    public = True

    async def prepare(self) -> None:
        """Find out who is asking, for the navigation of the page."""
        await super().prepare()
        raise NotFound


class FormHandler(PageHandler):
    """A page with a form; `show` draws it, with `self.error` when what was typed is refused."""

    show: Callable[..., Awaitable[None]]

    async def get(self, *args: str) -> None:
        await self.show(*args)


def redisplay_if_invalid(post: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """Wrap the `post` of a handler that has a `show` with the same arguments.

    When the model refuses a field, the page is shown again: 422, filled in, with the reason. A
    script still has the form, and gets the reason alone.
    """

    @wraps(post)
    async def answer(self: Any, *args: str) -> None:
        try:
            await post(self, *args)
        except Invalid as error:
            if self.fragment:
                raise
            self.error = error
            if isinstance(error, TooMany):
                self.set_header("Retry-After", str(error.seconds))
            self.set_status(ERROR_STATUS[type(error)])
            await self.show(*args)

    return answer
