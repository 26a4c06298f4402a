"""What handlers share: who is asking, the doors to the models, refusals, error pages, headers."""

import asyncio
import functools
import hashlib
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any, ParamSpec, TypeVar
from urllib.parse import unquote, urlencode, urlsplit
from uuid import UUID

from tornado import locale
from tornado.httputil import HTTPHeaders, HTTPServerRequest, format_timestamp, parse_cookie
from tornado.iostream import StreamClosedError
from tornado.log import app_log
from tornado.netutil import is_valid_ip
from tornado.web import HTTPError, RequestHandler, decode_signed_value

from models import idempotency, invites, rate_limits, sessions, users
from models.errors import (
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    PreconditionFailed,
    Pruned,
    Quota,
    TooLarge,
    TooMany,
    Unavailable,
    Uncertain,
    WrongPassword,
)
from models.tables import Person
from models.text import N_
from services.app_base import BaseApp

P = ParamSpec("P")
T = TypeVar("T")

# Nothing from elsewhere and nothing inline (ASVS 3.4.3); no framing; forms stay on this site.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; manifest-src 'self'; worker-src 'self'; "
    "form-action 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types server"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Server": "todo",
    "Content-Type": "text/html; charset=UTF-8",
}


class NotLoggedIn(HTTPError):
    """A form was sent by nobody, perhaps by someone whose session has ended."""

    def __init__(self) -> None:
        super().__init__(403)


ERROR_STATUS = {
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    Pruned: 410,
    PreconditionFailed: 412,
    TooLarge: 413,
    Invalid: 422,
    Quota: 422,
    WrongPassword: 403,
    TooMany: 429,
    Unavailable: 503,
    Uncertain: 503,
}
ERROR_TEXTS = {  # what an error page says first, and why
    400: (
        N_("Bad request"),
        N_("Your browser sent an invalid request."),
    ),
    401: (N_("Token required"), N_("A valid token is required: Authorization: Bearer todo_...")),
    403: (N_("Not allowed"), N_("You can't do this. Go back, reload the page, and try again.")),
    404: (N_("Not found"), N_("This doesn't exist, or isn't shared with you.")),
    405: (N_("Method not allowed"), N_("This address doesn't support this method.")),
    409: (N_("Conflict"), ""),
    410: (N_("No longer available"), N_("This is no longer available: fetch the list again.")),
    412: (N_("Changed in the meantime"), N_("This has been changed since you last fetched it.")),
    413: (N_("Too large"), ""),
    415: (N_("Unsupported format"), ""),
    422: (N_("Please check your input"), ""),
    429: (N_("Too many attempts"), ""),
    503: (
        N_("Temporarily unavailable"),
        N_("Temporarily unavailable, and nothing was changed. Please try again in a moment."),
    ),
}
UNCERTAIN = N_("We don't know whether this was saved. Check before you try again.")
INTERNAL_ERROR = (
    N_("Something went wrong"),
    N_("The problem is on our side. Please try again later."),
)
security_log = logging.getLogger("afazeres.security")
HERE = re.compile(r"/(?!/)[!-\[\]-~]*")  # visible ASCII without the backslash
HIDDEN = re.compile(r"[\\\x00-\x1f\x7f]")
JOIN = re.compile(r"/join/([\w-]{22})")
ID = re.compile("[1-9][0-9]{0,17}")
PORTUGUESE = re.compile(r"pt\b.*", re.IGNORECASE)
HOST_LIMIT = 261  # characters: a name of 255, a colon, and a port
COOKIES_KEPT = 1000  # characters: longer ones aren't ours, and not worth the room
DAY = 86400  # seconds
AGES = 100_000  # days; how long a session lasts its row says
KNOWN = 400  # days that a browser which logged in once is known
READ_WITHIN, SLOWEST = 60, 20_000  # seconds for an answer to be read; bytes a second of long ones
LOGGED = 200  # characters of a path
PATIENCE = 0.5  # seconds that a page waits for what its reader did just before


@functools.lru_cache(maxsize=1000)
def best_locale(accepted: str) -> locale.Locale:
    """Return our language that suits an Accept-Language header best (RFC 9110, 12.5.4)."""
    wanted = []
    for choice in accepted.split(","):
        code, _, weight = choice.strip().partition(";q=")
        with suppress(ValueError):
            wanted.append((-float(weight or 1), PORTUGUESE.sub("pt_BR", code)))
    return locale.get(*(code for weight, code in sorted(wanted, key=lambda w: w[0]) if weight < 0))


# Its signature, not its age: that of the session decides. Checking it anew takes 25 us.
@functools.lru_cache(maxsize=10_000)
def signed_by_us(secret: str, name: str, value: str) -> str:
    """Return what is in a signed cookie, empty if it wasn't signed here, whatever its time says."""
    content = decode_signed_value(secret, name, value, max_age_days=AGES, min_version=2)
    return (content or b"").decode()


# What many requests have in common.
cookies_in = functools.lru_cache(maxsize=1000)(parse_cookie)


def path_without_key(path: str) -> str:
    """Return what may be logged of a path: the keys of links let in whoever reads them."""
    return re.sub("^/(reset|join)/.*", r"/\1/...", path)[:LOGGED]


class Headers(HTTPHeaders):
    """Tornado's, but a copy is made without looking at each name and value again."""

    def copy(self) -> "Headers":
        """Return headers that change on their own, though they share lists of values."""
        made = Headers.__new__(Headers)
        made._as_list, made._combined_cache = self._as_list.copy(), self._combined_cache.copy()
        return made

    def add(self, name: str, value: str, **how: Any) -> None:
        """Add a value of a header that may have several, to a list of one's own."""
        self._as_list = {name: [*values] for name, values in self._as_list.items()}
        super().add(name, value, **how)


def apply_forwarded_headers(request: HTTPServerRequest, proxies: list[str]) -> None:
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


class BaseHandler(RequestHandler):
    """The headers, the error page and the bookkeeping of every answer, static files included."""

    default_headers = HEADERS
    verified_hash: str | None = None  # the hash of the password that `who_knows` found to be right

    def clear(self) -> None:
        """Begin with the headers that every answer has, errors too; all else is as in Tornado.

        Its own way costs a tenth of a request: it writes the date anew and looks at each header.
        """
        self._headers = self.first_headers(self.app.config.secure, int(time.time())).copy()
        self._write_buffer: list[bytes] = []
        self._status_code, self._reason = 200, "OK"

    @classmethod
    @functools.lru_cache(maxsize=100)
    def first_headers(cls, secure: bool, second: int) -> "Headers":
        """Return the headers that answers of that second begin with."""
        headers = Headers(cls.default_headers | {"Date": format_timestamp(second)})
        if secure:
            headers["Strict-Transport-Security"] = "max-age=31536000; includeSubDomains"
        return headers

    @property
    def app(self) -> BaseApp:
        """The application, with its typed parts."""
        return self.application  # type: ignore[return-value]

    def get_user_locale(self) -> locale.Locale | None:
        """Return the language chosen in the account, if one was."""
        chosen = self.current_user and self.current_user.language
        return locale.get(chosen) if chosen else None

    def get_browser_locale(self, default: str = "en") -> locale.Locale:
        """Return the language the browser asks for; any Portuguese is Brazil's."""
        return best_locale(self.request.headers.get("Accept-Language", default)[:200])

    def get_cookie(self, name: str, default: str | None = None) -> str | None:  # type: ignore[override]
        """Return a cookie of the request, without the objects that Tornado makes of each."""
        header = self.request.headers.get("Cookie", "")
        cookies = cookies_in(header) if len(header) < COOKIES_KEPT else parse_cookie(header)
        return cookies.get(name, default)

    def get_query_argument(self, name: str, default: str, strip: bool = True) -> str:  # type: ignore[override]
        """Return what the query says; raises HTTPError 400 when it says it twice."""
        if len(self.request.query_arguments.get(name, ())) > 1:
            raise HTTPError(400)
        return super().get_query_argument(name, default, strip)

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

    def prepare(self) -> Awaitable[None] | None:
        """Count this request as under way."""
        self.app.active_requests.begin(self)
        self.check_method()
        if len(self.request.host) > HOST_LIMIT:
            raise HTTPError(400)
        return None

    def finish(self, chunk: Any = None) -> "asyncio.Future[None]":
        """Answer; the request is under way until the last byte has left."""
        sent = super().finish(chunk)
        if sent.done():
            self.app.active_requests.end(self)
        else:
            sent.add_done_callback(lambda _: self.app.active_requests.end(self))
            size = int(self._headers.get("Content-Length", 0))
            later = asyncio.get_running_loop().call_later
            cut = later(READ_WITHIN + size / SLOWEST, self.drop_connection)
            sent.add_done_callback(lambda _: cut.cancel())
        return sent

    def drop_connection(self) -> None:
        """End the connection with someone who doesn't read."""
        connection: Any = self.request.connection
        connection.stream.close()

    async def flushed(self) -> None:
        """Wait until a part of a stream has left. Raises StreamClosedError when nobody reads it."""
        try:
            await asyncio.wait_for(self.flush(), READ_WITHIN)
        except TimeoutError:
            self.drop_connection()
            raise StreamClosedError from None

    async def head(self, *args: str) -> None:
        """Answer as GET does; Tornado leaves out the body."""
        await self.get(*args)  # type: ignore[misc]  # every get of ours is a coroutine

    def log_exception(self, typ: Any, value: BaseException | None, tb: Any) -> None:
        """Log the house's own faults; a visitor's mistake has its line in the access log."""
        where = f"{self.request.method} {path_without_key(self.request.path)!r}"
        if isinstance(value, Unavailable):
            self.app.error_log.tell(str(value), where)
        elif not isinstance(value, (HTTPError, *ERROR_STATUS)):
            app_log.error("Uncaught exception: %s", where, exc_info=value)

    def lookup(self, unit: Callable[..., T], *args: Any) -> Awaitable[T]:
        """Wait for what is looked up by key; see `LookupCache`."""
        return self.app.lookups(unit, *args)

    async def read(self, unit: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Wait for a unit of work that reads; see `models.database`."""
        return await self.app.read(unit, *args, **kwargs)

    async def commit(self, unit: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Wait for a unit of work that writes, and for its COMMIT (`write` is Tornado's name)."""
        app, person = self.app, self.current_user
        if person and app.config.throttle:
            app.write_rate.step(person.id)
        answer = app.bridge.of(app.store.write, self.once(partial(unit, *args, **kwargs)))
        if person:
            app.bridge.last[person.id] = answer
        try:
            return await answer
        finally:
            if person and app.bridge.last.get(person.id) is answer:
                del app.bridge.last[person.id]

    async def commit_untracked(self, unit: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Wait for a unit of work that writes what this request only comes by, and its COMMIT."""
        return await self.app.write(unit, *args, **kwargs)

    async def count(self, *keys: str) -> None:
        """Count a try under keys of `models.rate_limits`. Raises TooMany."""
        if self.app.config.throttle:
            await self.commit_untracked(rate_limits.count, *keys)

    async def authenticate(self, username: str, password: str) -> Person | None:
        """Return whose name and password these are; the same words and time whatever is wrong.

        The try counts for the device that logged in before, or else for the name and the address.
        The hash of the password is `self.proof` then. Raises TooMany.
        """
        name = users.fold(username)
        near = rate_limits.network(self.request.remote_ip or "")
        person, stored = await self.read(users.password_of, username)
        device = self.device_id(name, stored)
        keys = (f"device:{device}",) if device else (f"name:{name}", f"address:{near}")
        try:
            await self.count(*keys)
        except TooMany:
            security_log.info("too many attempts for %r from %s", name, near)
            raise
        fits = await self.hash(users.password_fits, password, stored)
        security_log.info("%s password for %r from %s", "right" if fits else "wrong", name, near)
        self.app.event("log-in", "right" if fits else "wrong")
        if not fits or not person:
            return None
        await self.commit_untracked(rate_limits.give_back, *keys, f"name:{name}")
        self.verified_hash = stored
        return person

    def device_id(self, name: str, stored: str | None) -> str:
        """Return the mark of a browser that has logged in with that name and password, or nothing.

        It has tries of its own, so that strangers can't lock the owner of a name out; another
        password, and another owner of the name, end it.
        """
        cookie = self.get_signed_cookie(self.cookie("device"), max_age_days=KNOWN)
        known, _, device = (cookie or b"").decode().partition(" ")
        return device if stored and known == self.device_owner(name, stored) else ""

    def remember_device(self, name: str, stored: str) -> None:
        """Mark this browser as one that has logged in, or keep the mark it has."""
        device = self.device_id(name, stored) or secrets.token_urlsafe(16)
        self.give_cookie("device", f"{self.device_owner(name, stored)} {device}", KNOWN * DAY)

    def cookie(self, name: str) -> str:
        """Return what a cookie of ours is called: behind TLS, so that no other host can give it."""
        return f"__Host-{name}" if self.app.config.secure else name

    def give_cookie(self, name: str, value: str, seconds: int) -> None:
        """Give the browser a signed cookie; seconds depend on no clock, as a date would."""
        secure = self.app.config.secure
        rules: Any = {"expires_days": None, "max_age": seconds, "httponly": True}
        rules |= {"samesite": "Lax", "secure": secure}
        self.set_signed_cookie(self.cookie(name), value, **rules)

    def drop_cookie(self, name: str) -> None:
        """Take such a cookie away."""
        self.clear_cookie(self.cookie(name), secure=self.app.config.secure)

    @staticmethod
    def device_owner(name: str, stored: str) -> str:
        """Return what stands for a name with its password."""
        return hashlib.sha256(f"{name} {stored}".encode()).hexdigest()[:32]

    def once(self, work: Callable[[], T]) -> Callable[[], T]:
        """Return `work` so that a repeat of this request does nothing twice, if it can be told."""
        return work

    @functools.cached_property
    def base(self) -> str:
        """The address of the house, as people and programs know it."""
        public = self.app.config.public_url.rstrip("/")
        return public or f"{self.request.protocol}://{self.request.host}"

    async def hash(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Wait for work on a password, which has threads of its own."""
        return await self.app.hash_pool.run(work, *args, **kwargs)

    async def render_once(
        self, key: Any, draw: Callable[[], Awaitable[list[bytes]]]
    ) -> list[bytes]:
        """Return what is kept under `key`, or drawn now; who asks meanwhile waits for the same."""
        kept = self.app.render_cache
        parts = kept.get(key)
        while parts is None:
            drawing = kept.drawing.get(key)
            first = drawing is None
            if drawing is None:
                drawing = kept.drawing[key] = asyncio.ensure_future(draw())
                drawing.add_done_callback(lambda _: kept.drawing.pop(key))
            try:
                parts = await drawing
            except NotFound:  # whoever drew it may not read it any more; others may
                if first:
                    raise
            else:
                kept.put(key, parts)
        return parts

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Say what is wrong, without the database: it may be what failed."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        status = ERROR_STATUS.get(type(error), status_code)
        if status == 500 and self.settings.get("serve_traceback"):
            super().write_error(status_code, **kwargs)
            return
        self.set_status(status)
        if status == 405:
            self.set_header("Allow", ", ".join(self.methods()))
        if status in (429, 503):
            self.set_header("Retry-After", str(getattr(error, "seconds", 5)))
        translate = self.locale.translate
        title, sentence = (
            text and translate(text) for text in ERROR_TEXTS.get(status, INTERNAL_ERROR)
        )
        if isinstance(error, Invalid):
            sentence = error.message(translate)
        if isinstance(error, Conflict):
            sentence = translate(error.args[0])
        if isinstance(error, Uncertain):
            sentence = translate(UNCERTAIN)
        self.show_error(error, status, title, sentence)

    def show_error(
        self, error: BaseException | None, status: int, title: str, sentence: str
    ) -> None:
        """Draw the error page, with what was typed."""
        fields = {
            name: self.plain_field(name) for name in ("title", "name", "lines", "notes", "text")
        }
        back = local_path(self.plain_field("back"))
        login = ""
        if isinstance(error, NotLoggedIn):
            sentence = self.locale.translate("You are no longer logged in.")
            again = {"title": fields["title"]} if fields["title"] else {}
            if again and (todo := re.fullmatch("/todos/([0-9]+)", self.request.path)):
                again["edit"] = todo[1]
            place = {"next": f"{back}?{urlencode(again)}".strip("?"), "ended": 1}
            login = f"{self.get_login_url()}?{urlencode(place)}"
        kept = [text for text in fields.values() if text.strip()]
        self.render("error.html", title=title, sentence=sentence, kept=kept, login=login, back=back)

    def plain_field(self, name: str) -> str:
        """Return a field of the form that was refused, whatever is wrong with it."""
        return self.request.body_arguments.get(name, [b""])[0].decode(errors="replace")


class MissingHandler(BaseHandler):
    """Every address that isn't in the table: 404, whatever the method."""

    def check_xsrf_cookie(self) -> None:
        """Nothing happens here that could be forged."""

    def check_trusted_origin(self, origin: str) -> bool:
        """Nothing happens here that could be forged."""
        return True

    def prepare(self) -> None:
        """Refuse."""
        raise NotFound


class PageHandler(BaseHandler):
    """A page for people: who is asking, the doors to the models, the fields of a form.

    It is for people who are logged in, unless its class says `public = True`.
    """

    # Nothing of a page is kept: after logging out, Back shows nothing private.
    default_headers = HEADERS | {"Cache-Control": "no-store"}
    public = False
    error: Invalid | None = None  # what is wrong with what was typed

    def compute_etag(self) -> str | None:
        """Leave out Tornado's hash of the body: with a fresh token in it, it never matches."""
        return None

    def check_etag_header(self) -> bool:
        """Look no more at the end: what has an ETag was compared before it was drawn."""
        return False

    async def prepare(self) -> None:
        """Find out who is asking, and send strangers to log in."""
        super().prepare()
        posted = self.request.body_arguments if self.request.method == "POST" else ()
        self.typed = {name: self.single_field(name) for name in posted}
        self.current_user = await self.find_person()
        if self.request.method == "GET" and self.current_user:
            last = self.app.bridge.last.get(self.current_user.id)
            if last:  # who acts and reloads at once sees what they did
                await asyncio.wait([last], timeout=PATIENCE)
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
        visit = await self.lookup(sessions.session_for, key) if key else None
        if visit:
            if visit.stale:  # noted in passing: a page that is only read waits for no writer
                self.app.write_soon(sessions.touch, key)
            return visit.person
        if self.get_cookie(self.cookie("session")) is not None:
            self.drop_cookie("session")
        return None

    def session_key(self) -> str:
        """Return the key in the session cookie, empty if there is none that was signed here."""
        name = self.cookie("session")
        value = self.get_cookie(name) or ""
        if len(value) > COOKIES_KEPT:
            return ""
        return signed_by_us(self.settings["cookie_secret"], name, value)

    async def may_sign_up(self, place: str) -> bool:
        """Say whether someone on the way to `place` may: all may, or only to an invitation."""
        if self.app.config.signup == "open":
            return True
        if link := JOIN.fullmatch(place):
            with suppress(NotFound):
                await self.read(invites.invited, link[1])
                return True
        return False

    def browser(self) -> sessions.Browser:
        """Return what is noted of this browser."""
        agent = self.request.headers.get("User-Agent", "")
        return sessions.Browser(self.request.remote_ip or "", agent)

    def set_session_cookie(self, key: str) -> None:
        """Give this browser the key of a session; the one it had before has ended."""
        self.app.hub.end_session(self.session_key())
        self.give_cookie("session", key, sessions.LONGEST.days * DAY)

    def single_field(self, name: str) -> str:
        """Return a field exactly as sent; raises HTTPError 400 if it comes twice or isn't text."""
        values = self.request.body_arguments[name]
        value = self.decode_argument(values[0], name)
        if len(values) > 1 or "\0" in value:
            raise HTTPError(400)
        return value

    def field(self, name: str) -> str:
        """Return a field of the form exactly as sent, empty when it is missing."""
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
        if not op or not person or self.public:
            return work
        try:
            return partial(idempotency.once, person, str(UUID(op)), self.request.path, work)
        except ValueError:
            raise HTTPError(400) from None

    def see_other(self, page: str, *args: Any, saved: bool = False) -> None:
        """End a POST with 303 to the form's `back`, or else to a page, which may say `saved`."""
        place = self.reverse_url(page, *args) + "?saved=1" * saved
        self.redirect(local_path(self.field("back"), place), status=303)

    def sample(
        self, template: str, holes: Iterable[str], values: dict[str, Any], *, keep: bool = True
    ) -> list[bytes]:
        """Return a template drawn with `values`, for `fill` to put in what differs each time.

        It comes in parts: HTML and the names of holes take turns. No text of ours has NUL in it.

        It is kept for the next one with the same values, which must be all that it depends on.
        """
        kept = self.app.render_cache
        key = (template, self.locale.code, *values.values())
        parts = kept.get(key) if keep else None
        if parts is None:
            marks = {name: f"\0{name}\0".encode() for name in holes}
            html = self.render_string(template, **values, **marks)
            if "token" in marks:
                html = html.replace(self.xsrf_token, marks["token"])
            parts = html.split(b"\0")
            if keep:
                kept.put(key, parts)
        return parts

    @property
    def fragment(self) -> bool:
        """Say whether the page's own script asks, which needs the page without its frame."""
        return self.request.headers.get("X-Fragment") == "rows"

    def get_template_namespace(self) -> dict[str, Any]:
        """Give every template what was typed, what is wrong with it, and how to write a time."""
        own = {"typed": getattr(self, "typed", {}), "error": self.error}
        return super().get_template_namespace() | own | {"moment": self.moment, "has": self.app.has}

    def moment(self, at: str) -> str:
        """Return an instant of the database in words, in UTC; a script knows the reader's zone."""
        return self.locale.format_date(datetime.fromisoformat(at), full_format=True) + " UTC"


def redisplay_if_invalid(post: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """Wrap the `post` of a handler that has a `show` with the same arguments.

    When the model refuses a field, the page is shown again: 422, filled in, with the reason. A
    script has the form still before it, and gets the reason alone.
    """

    @functools.wraps(post)
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


def fill(sample: list[bytes], **values: bytes) -> bytes:
    """Return a sample with HTML in its holes."""
    parts = sample.copy()
    parts[1::2] = [values[name.decode()] for name in sample[1::2]]
    return b"".join(parts)


def local_path(place: str, otherwise: str = "/") -> str:
    """Return `place` if it is a path on this site, else `otherwise` (ASVS 3.7.2).

    Browsers take `//host` and `/\\host` for another site, and drop tabs before they look.
    """
    if len(place) > 2000 or not HERE.fullmatch(place):
        return otherwise
    decoded = unquote(urlsplit(place).path)  # what a proxy may make of it
    return otherwise if decoded.startswith("//") or HIDDEN.search(decoded) else place
