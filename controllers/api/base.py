"""What all addresses of the API share: the token, CORS, conditions, pages of results, problems.

The API calls the same functions of the models as the pages and has no rules of its own. No cookie
is ever read here, so that pages of any origin may use it (CORS), and none can act for someone
without a token.
"""

import functools
import hashlib
import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

from tornado.web import HTTPError

from controllers.api.schema import NOT_JSON, STRICT, ApiError, Operation, check_body, read_json
from controllers.base import MissingHandler, OpenHandler
from controllers.errors import Error
from controllers.security import HEADERS
from models import api_tokens, idempotency, lists, sessions, todos
from models.errors import Forbidden, Invalid, NotFound, PreconditionFailed
from models.text import N_

T = TypeVar("T")
Method = Callable[..., Awaitable[None]]

PAGE_LIMIT = 1000  # objects on a page
API_HEADERS = HEADERS | {  # pages of any origin may read the answer, and no cache may keep it
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "ETag, Link, Location, Retry-After",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "cross-origin",
}
ALLOWED = "Authorization, Content-Type, If-Match, If-None-Match, Idempotency-Key, Last-Event-ID"
CODES = {  # how a problem's type ends, by status; the first where no exception has its own
    400: ("bad_request", "bad_json", "bad_query"),
    401: ("unauthorized",),
    403: ("forbidden",),
    404: ("not_found",),
    405: ("method",),
    409: ("conflict",),
    410: ("gone",),
    412: ("stale",),
    413: ("too_large",),
    415: ("content_type",),
    422: ("invalid", "quota"),
    429: ("throttled",),
    503: ("unavailable", "storage_full"),
}
START = (float("-inf"), 0)  # a cursor before every object
UNSET = dict.fromkeys((*todos.UNSET, "assigned"))  # of a todo
FORBIDDEN = N_("The token or its owner's role doesn't allow this.")
BAD_QUERY = N_("Invalid limit, cursor or since in the query.")
to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def operation(
    status: int, returns: str = "", takes: str = "", requires: str = ""
) -> Callable[[Method], Method]:
    """Declare what a method of a handler takes and returns (see `Operation`).

    When the method runs, `self.body` has been read and checked. Its docstring is its summary.
    """
    declared = Operation(status, returns, tuple(takes.split()), tuple(requires.split()))

    def wrap(method: Method) -> Method:
        @functools.wraps(method)
        async def answer(self: "ApiHandler", *args: str) -> None:
            if declared.takes:
                self.body = check_body(read_json(self.request), declared)
            self.set_status(declared.status)
            await method(self, *args)

        answer.operation = declared  # type: ignore[attr-defined]
        return answer

    return wrap


class ApiHandler(OpenHandler):
    """A resource. Its methods are declared by `@operation`."""

    default_headers = API_HEADERS
    public = False
    reads_cookies = False
    open_methods: tuple[str, ...] = ()  # those that need no token
    versioned = False  # whether If-Match is answered for what is written here
    body: dict[str, Any]

    async def prepare(self) -> None:
        """Set `current_user` to the token's owner. Raises HTTPError 401, Forbidden."""
        await super().prepare()
        method = str(self.request.method)
        if self.public or method in ("OPTIONS", *self.open_methods):
            return
        visit = await self.find_visit()
        if visit is None:
            raise HTTPError(401)
        self.current_user = visit.person
        if visit.scope != "write" and method not in ("GET", "HEAD"):
            raise Forbidden

    async def find_visit(self) -> sessions.Visit | None:
        """Return the owner and the scope of the request's token, None without a valid one."""
        authorization = self.request.headers.get("Authorization", "")
        if not 0 < len(authorization) < 100:
            return None
        visit = await self.app.lookups(api_tokens.token_for, authorization)
        if visit and visit.stale:
            self.app.write_soon(api_tokens.touch, authorization)
        return visit

    def options(self, *args: str) -> None:
        methods = ", ".join(self.SUPPORTED_METHODS)
        self.set_status(204)
        self.set_header("Allow", methods)
        self.set_header("Access-Control-Allow-Methods", methods)
        self.set_header("Access-Control-Allow-Headers", ALLOWED)
        self.set_header("Access-Control-Max-Age", "7200")

    def show_error(self, error: Error, status: int, title: str, sentence: str) -> None:
        """Send a problem (RFC 9457)."""
        if status == 401:
            self.set_header("WWW-Authenticate", 'Bearer realm="Afazeres"')
        code = getattr(error, "code", CODES.get(status, ("internal",))[0])
        if isinstance(error, Forbidden):
            sentence = self.locale.translate(FORBIDDEN)
        if status == 400 and self.request.headers.get("Content-Type", "").startswith("multipart/"):
            error, status = ApiError(415, "content_type", NOT_JSON), 415  # Tornado refused it
            self.set_status(status)
        if isinstance(error, ApiError):
            code, sentence = error.code, self.locale.translate(error.sentence)
        problem = {"type": f"/api#{code}", "title": title, "status": status, "detail": sentence}
        if isinstance(error, Invalid) and error.field:
            problem["errors"] = [{"field": error.field, "message": sentence}]
        if isinstance(error, PreconditionFailed) and error.args[0]:
            problem["current"] = self.with_url(error.args[0])
        self.set_header("Content-Type", "application/problem+json")
        self.finish(json.dumps(problem))

    def with_url(self, thing: dict[str, Any]) -> dict[str, Any]:
        """Return an object with its `url`, if it has an address: todos and lists do."""
        if "title" in thing:
            return UNSET | thing | {"url": f"{self.base}/api/todos/{thing['id']}"}
        if "open" in thing:
            return thing | {"url": f"{self.base}/api/lists/{thing['id']}"}
        return thing

    def encode(self, value: dict[str, Any] | list[dict[str, Any]]) -> bytes:
        if isinstance(value, dict):
            return to_json(self.with_url(value)).encode()
        # One by one, as no other thread goes on while json encodes one value.
        return f"[{','.join([to_json(self.with_url(each)) for each in value])}]".encode()

    async def send_json(self, body: bytes) -> None:
        self.set_header("Content-Type", "application/json; charset=utf-8")
        await self.finish_large(body)

    async def send_created(self, thing: dict[str, Any], url: str = "") -> None:
        if url := self.with_url(thing).get("url") or url:
            self.set_header("Location", url)
        await self.send_json(self.encode(thing))

    def not_modified(self, version: object) -> bool:
        """Set the ETag; return True, and set 304, when the program has this version already."""
        self.set_header("ETag", f'"{version}"')
        if self.check_etag_header():
            self.set_status(304)
            return True
        return False

    def query_integer(self, name: str, least: int, default: int) -> int:
        """Return a number of the query. Raises ApiError."""
        value, *more = self.get_query_arguments(name, strip=False) or [str(default)]
        if more or not re.fullmatch("[0-9]{1,15}", value) or int(value) < least:
            raise ApiError(400, "bad_query", BAD_QUERY)
        return int(value)

    def limit(self) -> int:
        return min(self.query_integer("limit", 1, PAGE_LIMIT), PAGE_LIMIT)

    def cursor(self) -> tuple[float, int]:
        """Return where the page begins: after this order and id. Raises ApiError."""
        values = self.get_query_arguments("cursor")
        if not values:
            return START
        try:
            (value,) = values
            order, number = STRICT.decode(urlsafe_b64decode(value).decode())
            if type(number) is int and 0 <= number < 10**18 and type(order) in (int, float):
                return float(order), number
            raise ValueError
        except (ValueError, TypeError, OverflowError, RecursionError):
            raise ApiError(400, "bad_query", BAD_QUERY) from None

    def cursor_after(self, order: float, number: int) -> str:
        """Return the cursor of the page after an object."""
        return urlsafe_b64encode(json.dumps([order, number]).encode()).decode()

    async def send_page(self, body: bytes, next_cursor: str) -> None:
        """Answer with a page of a collection, and where the next one is, if there is one."""
        if next_cursor:
            self.set_next(f"limit={self.limit()}&cursor={next_cursor}")
        await self.send_json(body)

    async def send_slice(self, rows: list[dict[str, Any]]) -> None:
        """Answer with a page of a short collection, of which all `rows` are at hand."""
        (_, begin), limit = self.cursor(), self.limit()
        end = begin + limit
        more = self.cursor_after(0, end) if rows[end:] else ""
        await self.send_page(self.encode(rows[begin:end]), more)

    def set_next(self, query: str) -> None:
        """Set the link to the next page (RFC 8288)."""
        self.set_header("Link", f'<{self.base}{self.request.path}?{query}>; rel="next"')

    def current_state(self, action: str = "read") -> tuple[object, dict[str, Any]]:
        """Return the version that If-Match is compared with, and the object; a unit of work.

        For any action but to read, the version can't change before COMMIT.
        """
        raise NotImplementedError

    async def send_state(self) -> None:
        """Answer with the object, unless the program has this version already."""
        version, thing = await self.app.read(self.current_state)
        if not self.not_modified(version):
            await self.send_json(self.encode(thing))

    def once(self, work: Callable[[], T]) -> Callable[[], T]:
        """Return `work` under If-Match and Idempotency-Key. Raises ApiError."""
        match = self.request.headers.get("If-Match")
        if match and self.versioned:
            work = partial(self.if_match, match, work)
        key = self.request.headers.get("Idempotency-Key", "")
        if not key or self.request.method != "POST" or not self.current_user:
            return work
        if len(key) > 255:
            raise ApiError(400, "bad_request", N_("The Idempotency-Key is too long."))
        key = sessions.hash_of(key)  # never one of the pages' UUIDs
        request = f"{self.request.path} {hashlib.sha256(self.request.body).hexdigest()}"
        return partial(idempotency.once, self.current_user, key, request, work)

    def if_match(self, match: str, work: Callable[[], T]) -> T:
        """Run `work` if the version is one of `match` (RFC 9110, 13.1.1).

        Raises PreconditionFailed with the object as it is now.
        """
        version, thing = self.current_state("leave")
        known = [tag.strip() for tag in match.split(",")]  # our tags have no commas
        if match != "*" and f'"{version}"' not in known:
            raise PreconditionFailed(thing)
        return work()


class MissingApiHandler(MissingHandler, ApiHandler):
    SUPPORTED_METHODS = MissingHandler.SUPPORTED_METHODS


def list_object(access: lists.ListAccess, *, invited: bool = False) -> dict[str, Any]:
    shown = {name: getattr(access, name) for name in ("id", "name", "role", "version", "open")}
    return shown | {"invited": invited}


class OfListHandler(ApiHandler):
    """What belongs to one list: that of the address, or the owner's first where it names none.

    ETags hold id and version of the list.
    """

    versioned = True
    list_id: int
    first: lists.ListAccess | None = None

    async def prepare(self) -> None:
        """Find out which list it is. Raises NotFound."""
        await super().prepare()
        if self.path_args:
            self.list_id = int(self.path_args[0])
        elif self.current_user:
            mine = await self.app.lookups(lists.mine, self.current_user)
            if not mine:
                raise NotFound
            self.first, self.list_id = mine[0], mine[0].id

    async def access(self) -> lists.ListAccess:
        if self.first:
            return self.first
        return await self.app.lookups(lists.get_for, self.current_user, self.list_id)

    def current_state(self, action: str = "read") -> tuple[object, dict[str, Any]]:
        access = lists.get_for(self.current_user, self.list_id, action)
        return f"{access.id}-{access.version}", list_object(access)
