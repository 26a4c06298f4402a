"""The API: the twin of the pages for programs, by bearer token, in JSON.

It calls the same functions of the models and has no rules of its own. No cookie is ever read here,
so that pages of any origin may use it (CORS), and none can act for someone without a token.
"""

import functools
import hashlib
import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

from tornado.iostream import StreamClosedError
from tornado.web import HTTPError

from controllers.base import BaseHandler, PageHandler
from controllers.schema import (
    NOT_JSON,
    STRICT,
    ApiError,
    Operation,
    check_body,
    describe,
    read_json,
)
from controllers.security import HEADERS
from models import api_tokens, history, idempotency, lists, members, messages, sessions, todos
from models.errors import (
    Forbidden,
    Invalid,
    NotFound,
    PreconditionFailed,
    Pruned,
    Quota,
    Unavailable,
)
from models.text import N_
from services.hub import Subscriber

T = TypeVar("T")

MOST = 1000  # objects on a page
API_HEADERS = HEADERS | {  # which let pages of any origin read the answer, and nobody keep it
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "ETag, Link, Location, Retry-After",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "cross-origin",
}
ALLOWED = "Authorization, Content-Type, If-Match, If-None-Match, Idempotency-Key, Last-Event-ID"
CODES = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method",
    409: "conflict",
    410: "gone",
    412: "stale",
    422: "invalid",
    429: "throttled",
    503: "unavailable",
}
MORE_CODES = (  # of what is refused in more than one way
    (400, "bad_json"),
    (400, "bad_query"),
    (413, "too_large"),
    (415, "content_type"),
    (422, "quota"),
    (503, "storage_full"),
)
compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
FIRST = (float("-inf"), 0)  # before every place
SMALL = N_("The token or its owner's role doesn't allow this.")
QUERY = N_("Invalid limit, cursor or since in the query.")


def operation(
    status: int, gives: str = "", takes: str = "", needs: str = ""
) -> Callable[[Callable[..., Awaitable[None]]], Callable[..., Awaitable[None]]]:
    """Tell what a method of an API handler takes and gives; see `schema.Operation`.

    Its body is read and checked before.
    """
    told = Operation(status, gives, tuple(takes.split()), tuple(needs.split()))

    def wrap(method: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        @functools.wraps(method)
        async def answer(self: "ApiHandler", *args: str) -> None:
            if told.takes:
                asked = self.request.headers
                kind, encoding = asked.get("Content-Type", ""), asked.get("Content-Encoding", "")
                body = read_json(self.request.body, kind, encoding)
                self.body = check_body(body, told)
            self.set_status(told.status)
            await method(self, *args)

        answer.operation = told  # type: ignore[attr-defined]
        return answer

    return wrap


class ApiHandler(BaseHandler):
    """What all addresses of the API share: the token, CORS, conditions, pages, problems."""

    default_headers = API_HEADERS
    public = False
    open_methods: tuple[str, ...] = ()  # those that need no token
    versioned = False  # what is written here, so that If-Match can be answered
    body: dict[str, Any]

    def check_xsrf_cookie(self) -> None:
        """A token can't be forged, and cookies are not looked at."""

    def check_trusted_origin(self, origin: str) -> bool:
        """Every origin may ask, as none can ask for someone else."""
        return True

    async def prepare(self) -> None:
        """Find out whose token it is, and whether it is good for this."""
        await super().prepare()
        method = str(self.request.method)
        if method == "OPTIONS" or self.public or method in self.open_methods:
            return
        visit = await self.visit()
        if visit is None:
            raise HTTPError(401)
        self.current_user = visit.person
        if visit.scope != "write" and method not in ("GET", "HEAD"):
            raise Forbidden

    def device_id(self, name: str, stored: str | None) -> str:
        """Return nothing: no cookie is read here."""
        return ""

    async def visit(self) -> sessions.Visit | None:
        """Return whose token came with the request, if it is one."""
        authorization = self.request.headers.get("Authorization", "")
        if not 0 < len(authorization) < 100:
            return None
        visit = await self.lookup(api_tokens.token_for, authorization)
        if visit and visit.stale:
            self.app.write_soon(api_tokens.touch, authorization)
        return visit

    def options(self, *args: str) -> None:
        """Tell a browser what it may ask on behalf of a page."""
        self.set_status(204)
        self.set_header("Allow", ", ".join(self.methods()))
        self.set_header("Access-Control-Allow-Methods", ", ".join(self.methods()))
        self.set_header("Access-Control-Allow-Headers", ALLOWED)
        self.set_header("Access-Control-Max-Age", "7200")

    def show_error(
        self, error: BaseException | None, status: int, title: str, sentence: str
    ) -> None:
        """Answer with a problem (RFC 9457)."""
        if status == 401:
            self.set_header("WWW-Authenticate", 'Bearer realm="Afazeres"')
        code = CODES.get(status, "internal")
        if isinstance(error, Unavailable):
            code = error.code
        if isinstance(error, Quota):
            code = "quota"
        if isinstance(error, Forbidden):
            sentence = self.locale.translate(SMALL)
        if status == 400 and self.request.headers.get("Content-Type", "").startswith("multipart/"):
            error, status = ApiError(415, "content_type", NOT_JSON), 415  # Tornado's own refusal
            self.set_status(status)
        if isinstance(error, ApiError):
            code, sentence = error.code, self.locale.translate(error.sentence)
        problem = {"type": f"/api#{code}", "title": title, "status": status, "detail": sentence}
        if isinstance(error, Invalid) and error.field:
            problem["errors"] = [{"field": error.field, "message": sentence}]
        if isinstance(error, PreconditionFailed) and error.args[0]:
            problem["current"] = self.linked(error.args[0])
        self.set_header("Content-Type", "application/problem+json")
        self.finish(json.dumps(problem))

    # -------------------------------------------------------------------------- answering

    def linked(self, thing: dict[str, Any]) -> dict[str, Any]:
        """Return an object with its address, if it has one."""
        if "title" in thing:
            return thing | {"url": f"{self.base}/api/todos/{thing['id']}"}
        if "open" in thing:
            return thing | {"url": f"{self.base}/api/lists/{thing['id']}"}
        return thing

    def encoded(self, value: Any) -> bytes:
        """Return objects in JSON."""
        value = self.linked(value) if type(value) is dict else [self.linked(v) for v in value]
        return compact(value).encode()

    def give(self, body: bytes) -> None:
        """Answer with JSON."""
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.finish(body)

    def made(self, thing: dict[str, Any], place: str = "") -> None:
        """Answer with an object that was made, and where it is."""
        thing = self.linked(thing)
        if place := thing.get("url") or place:
            self.set_header("Location", place)
        self.give(compact(thing).encode())

    def known(self, version: object) -> bool:
        """Set the ETag; say whether the program has that version already (304)."""
        self.set_header("ETag", f'"{version}"')  # else Tornado hashes the body at the end
        if self.check_etag_header():
            self.set_status(304)
            return True
        return False

    def whole(self, name: str, least: int, otherwise: int) -> int:
        """Return a number of the query."""
        values = self.get_query_arguments(name, strip=False)
        if not values:
            return otherwise
        if len(values) > 1 or not re.fullmatch("[0-9]{1,15}", values[0]) or int(values[0]) < least:
            raise ApiError(400, "bad_query", QUERY)
        return int(values[0])

    def limit(self) -> int:
        """Return how many objects the program wants."""
        return min(self.whole("limit", 1, MOST), MOST)

    def after(self) -> tuple[float, int]:
        """Return the place that the cursor holds, an order and a number; FIRST without one."""
        values = self.get_query_arguments("cursor")
        if not values:
            return FIRST
        try:
            (value,) = values
            order, number = STRICT.decode(urlsafe_b64decode(value.encode()).decode())
            if type(order) not in (int, float) or type(number) is not int:
                raise ValueError
            if not 0 <= number < 10**18:
                raise ValueError
            return float(order), number
        except (ValueError, TypeError, OverflowError, RecursionError):
            raise ApiError(400, "bad_query", QUERY) from None

    def give_page(self, body: bytes, cursor: bytes) -> None:
        """Answer with a part of a collection, and where the next part is, if there is one."""
        if cursor:
            self.link(f"limit={self.limit()}&cursor={cursor.decode()}")
        self.give(body)

    def give_part(self, rows: list[dict[str, Any]]) -> None:
        """Answer with a part of a short collection, of which all is at hand."""
        (_, begin), limit = self.after(), self.limit()
        end = begin + limit
        self.give_page(self.encoded(rows[begin:end]), cursor_at(0, end) if rows[end:] else b"")

    def link(self, query: str) -> None:
        """Say where the next page is (RFC 8288)."""
        self.set_header("Link", f'<{self.base}{self.request.path}?{query}>; rel="next"')

    # ---------------------------------------------------------------------------- writing

    def current(self) -> tuple[object, dict[str, Any] | None]:
        """Return the version that If-Match speaks of, and the object; a unit of work that reads.

        Where nothing is `versioned`, If-Match says nothing.
        """
        raise NotImplementedError

    def lock(self) -> None:
        """Keep that version from changing before COMMIT; a part of a unit of work."""

    def once(self, work: Callable[[], T]) -> Callable[[], T]:
        """Return `work` under the conditions of the request's headers."""
        match = self.request.headers.get("If-Match")
        if match and self.versioned:
            work = partial(self.matching, match, work)
        key = self.request.headers.get("Idempotency-Key", "")
        if not key or self.request.method != "POST" or not self.current_user:
            return work
        if len(key) > 255:
            raise ApiError(400, "bad_request", N_("The Idempotency-Key is too long."))
        asked = hashlib.sha256(self.request.body).hexdigest()
        key = hashlib.sha256(key.encode()).hexdigest()  # never one of the pages' UUIDs
        return partial(
            idempotency.once, self.current_user, key, f"{self.request.path} {asked}", work
        )

    def matching(self, match: str, work: Callable[[], T]) -> T:
        """Do the work if the object is still as the program knows it (RFC 9110, 13.1.1)."""
        self.lock()
        version, thing = self.current()
        known = [tag.strip() for tag in match.split(",")]  # ours have no commas in them
        if match != "*" and f'"{version}"' not in known:
            raise PreconditionFailed(thing)
        return work()


def cursor_at(order: float, number: int) -> bytes:
    """Return a cursor, from which the next page goes on; see `after`."""
    return urlsafe_b64encode(json.dumps([order, number]).encode())


class MissingApiHandler(ApiHandler):
    """Every other address under /api."""

    async def prepare(self) -> None:
        """Refuse."""
        raise NotFound


def as_object(seen: lists.ListAccess) -> dict[str, Any]:
    """Return a list as the API has it."""
    return {name: getattr(seen, name) for name in ("id", "name", "role", "version", "open")}


class ListsHandler(ApiHandler):
    """The lists of the token's owner."""

    @operation(200, "[List]")
    async def get(self) -> None:
        """My lists, in my order"""
        mine, digest = await self.lookup(lists.all_with_digest, self.current_user)
        if not self.known(digest):
            self.give_part([as_object(seen) for seen in mine])

    @operation(201, "List", "name", "name")
    async def post(self) -> None:
        """Create a list"""
        self.made(await self.commit(self.make, **self.body))

    def make(self, name: str) -> dict[str, Any]:
        """Make it and return it; a unit of work."""
        return as_object(lists.get_for(self.current_user, lists.create(self.current_user, name)))


class OfListHandler(ApiHandler):
    """What belongs to one list, the first of mine when the address names none."""

    versioned = True

    async def prepare(self) -> None:
        """Find out which list it is. Raises NotFound."""
        await super().prepare()
        self.first: lists.ListAccess | None = None
        if self.path_args:
            self.number = int(self.path_args[0])
        elif self.current_user:
            self.first = await self.lookup(lists.first, self.current_user)
            self.number = self.first.id

    async def seen(self) -> lists.ListAccess:
        """Return the list. Raises NotFound."""
        if self.first:
            return self.first
        return await self.lookup(lists.one, self.current_user, self.number)

    def lock(self) -> None:
        """Lock the list."""
        lists.LOCK(list=self.number)

    def current(self) -> tuple[object, dict[str, Any]]:
        """Return the list's version and itself."""
        seen = lists.get_for(self.current_user, self.number)
        return f"{seen.id}-{seen.version}", as_object(seen)


class ListHandler(OfListHandler):
    """One list."""

    def current(self) -> tuple[object, dict[str, Any]]:
        """Return its version and itself."""
        seen = lists.get_for(self.current_user, self.number)
        return f"{seen.version}-{seen.role}", as_object(seen)

    @operation(200, "List")
    async def get(self, list_id: str) -> None:
        """A list"""
        version, thing = await self.read(self.current)
        if not self.known(version):
            self.give(self.encoded(thing))

    @operation(200, "List", "name")
    async def patch(self, list_id: str) -> None:
        """Rename a list"""
        thing = await self.commit(self.change)
        self.set_header("ETag", f'"{thing["version"]}-{thing["role"]}"')
        self.give(self.encoded(thing))

    def change(self) -> dict[str, Any]:
        """Rename it and return it; a unit of work."""
        if "name" in self.body:
            lists.rename(self.current_user, self.number, self.body["name"])
        return as_object(lists.get_for(self.current_user, self.number, "rename"))

    @operation(204)
    async def delete(self, list_id: str) -> None:
        """Move a list to the trash"""
        await self.commit(lists.delete, self.current_user, int(list_id))


class TodosHandler(OfListHandler):
    """The todos of a list."""

    @operation(200, "[Todo]")
    async def get(self, *args: str) -> None:
        """The todos of a list, in its order"""
        seen = await self.seen()
        if self.known(f"{seen.id}-{seen.version}"):
            return
        plain = not self.request.query_arguments
        after, limit = (FIRST, MOST) if plain else (self.after(), self.limit())

        def draw() -> bytes:
            _, rows = todos.part(self.current_user, seen.id, after, limit + 1)
            more = b""
            if len(rows) > limit:
                rows = rows[:limit]
                more = cursor_at(rows[-1]["order"], rows[-1]["id"])
            return more + b"\n" + self.encoded(rows)

        if (after, limit) == (FIRST, MOST):  # which is what most ask for, and kept
            key = (seen.id, seen.version, "api", self.request.protocol, self.request.host)
            found = await self.app.render_cache.get_or_render(key, partial(self.read, draw))
        else:
            found = await self.read(draw)
        cursor, _, body = found.partition(b"\n")
        self.give_page(body, cursor)

    @operation(201, "Todo", "title notes completed order list", "title")
    async def post(self, *args: str) -> None:
        """Add a todo"""
        number = self.body.pop("list", self.number)
        if args and number != self.number:
            raise Invalid("list", "This isn't the list in the URL.")
        self.number = number
        self.made(await self.commit(self.subscribe, self.body))

    def subscribe(self, new: dict[str, Any]) -> dict[str, Any]:
        """Add it and return it; a unit of work."""
        seen = lists.get_for(self.current_user, self.number, "change")
        return todos.insert(self.current_user, seen, [new])[0]


class FirstTodosHandler(TodosHandler):
    """The todos of my first list: the conventions of Todo-Backend."""

    @operation(204)
    async def delete(self) -> None:
        """Move every todo of my first list to the trash"""
        await self.commit(todos.delete_all, self.current_user, self.number)


class TodoHandler(ApiHandler):
    """One todo."""

    versioned = True

    def lock(self) -> None:
        """Lock its list."""
        todos.LOCK(todo=int(self.path_args[0]))

    def current(self) -> tuple[object, dict[str, Any]]:
        """Return its version and itself."""
        _, todo = todos.find(self.current_user, int(self.path_args[0]))
        return todo["version"], todos.described(todo)

    @operation(200, "Todo")
    async def get(self, todo_id: str) -> None:
        """A todo"""
        version, thing = await self.read(self.current)
        if not self.known(version):
            self.give(self.encoded(thing))

    @operation(200, "Todo", "title notes completed order")
    async def patch(self, todo_id: str) -> None:
        """Update a todo"""
        thing = await self.commit(todos.edit, self.current_user, int(todo_id), **self.body)
        self.set_header("ETag", f'"{thing["version"]}"')
        self.give(self.encoded(thing))

    @operation(204)
    async def delete(self, todo_id: str) -> None:
        """Move a todo to the trash"""
        await self.commit(todos.delete, self.current_user, int(todo_id))


class MessagesHandler(OfListHandler):
    """The conversation of a list."""

    @operation(200, "[Message]")
    async def get(self, list_id: str) -> None:
        """The messages of a list, the oldest first"""
        seen = await self.seen()
        if self.known(f"{seen.id}-{seen.version}"):
            return
        (_, after), limit = self.after(), self.limit()
        _, rows = await self.read(messages.page, self.current_user, seen.id, after, limit + 1)
        more = cursor_at(0, rows[limit - 1]["id"]) if len(rows) > limit else b""
        self.give_page(self.encoded(rows[:limit]), more)

    @operation(201, "Message", "text", "text")
    async def post(self, list_id: str) -> None:
        """Send a message"""
        self.made(
            await self.commit(messages.say, self.current_user, int(list_id), self.body["text"])
        )


class MembersHandler(OfListHandler):
    """Who shares a list."""

    @operation(200, "[Member]")
    async def get(self, list_id: str) -> None:
        """The members of a list"""
        seen, rows = await self.read(members.every, self.current_user, int(list_id))
        if not self.known(f"{seen.id}-{seen.version}"):
            self.give_part(rows)

    @operation(201, "Member", "username role", "username role")
    async def post(self, list_id: str) -> None:
        """Add a member, or change their role"""
        member = await self.commit(members.put, self.current_user, int(list_id), **self.body)
        self.made(member, f"{self.base}{self.request.path}/{member['username']}")


class MemberHandler(OfListHandler):
    """Someone's place in a list."""

    @operation(204)
    async def delete(self, list_id: str, username: str) -> None:
        """Remove a member; your own name leaves the list"""
        await self.commit(members.remove, self.current_user, int(list_id), username)


class ChangesHandler(OfListHandler):
    """What was done to a list: each change once, in order."""

    @operation(200, "[Change]")
    async def get(self, list_id: str) -> None:
        """The changes of a list after a version; also as an event stream"""
        since, limit = self.whole("since", 0, 0), self.limit()
        streams = "text/event-stream" in self.request.headers.get("Accept", "")
        if streams and self.request.method == "GET":
            await self.stream(since)
            return
        seen, rows = await self.read(
            history.since, self.current_user, int(list_id), since, limit + 1
        )
        if self.known(f"{seen.id}-{seen.version}"):
            return
        rows = rows[:limit]
        if rows and rows[-1][0] < seen.version:
            self.link(f"limit={limit}&since={rows[-1][0]}")
        self.give(f"[{','.join(text for _, text in rows)}]".encode())

    async def stream(self, since: int) -> None:
        """Send changes as they come, until the program goes, or may not read them any more."""
        asked = self.request.headers.get("Last-Event-ID", "")
        since = int(asked) if re.fullmatch("[0-9]{1,15}", asked) else since
        self.watcher = Subscriber(self.app.hub, self.number, self.current_user)
        changes = partial(history.since, self.current_user, self.number)
        try:
            seen, rows = await self.read(changes, since, MOST)
            self.app.hub.know(seen.id, seen.version)
            self.set_header("Content-Type", "text/event-stream; charset=utf-8")
            self.set_header("X-Accel-Buffering", "no")  # nginx would hold it back
            self.write(": this goes on\n\n")
            await self.flushed()
            while not self.watcher.ended and await self.visit():
                for version, text in rows:
                    self.write(f"id: {version}\ndata: {text}\n\n")
                    since = version
                await self.flushed()
                if since == seen.version and not await self.watcher.wait():
                    self.write(": alive\n\n")
                seen, rows = await self.read(changes, since, MOST)
        except StreamClosedError:
            pass  # the program has gone
        except (NotFound, Pruned, Unavailable):
            if not self._headers_written:
                raise
        finally:
            self.watcher.end()

    def on_connection_close(self) -> None:
        """End with the program."""
        super().on_connection_close()
        if watcher := getattr(self, "watcher", None):
            watcher.end()


class TokensHandler(ApiHandler):
    """Tokens: a program's way in."""

    open_methods = ("POST",)

    @operation(200, "[Token]")
    async def get(self) -> None:
        """My tokens, without their secrets"""
        self.give_part(await self.read(api_tokens.mine, self.current_user))

    @operation(201, "NewToken", "username password name scope expires", "username password name")
    async def post(self) -> None:
        """Create a token with username and password; it is shown once"""
        username, password = self.body.pop("username"), self.body.pop("password")
        person = await self.authenticate(username, password)
        if person is None:
            sentence = N_("Wrong username or password.")
            raise ApiError(403, "forbidden", sentence)
        thing = await self.app.write(
            api_tokens.create, person, **self.body, stored=self.verified_hash
        )
        self.made(thing, f"{self.base}/api/tokens/{thing['id']}")


class TokenHandler(ApiHandler):
    """One token."""

    @operation(204)
    async def delete(self, token_id: str) -> None:
        """Revoke a token"""
        await self.app.write(api_tokens.delete, self.current_user, int(token_id))
        self.app.hub.recheck_access(self.current_user)


class OpenApiHandler(ApiHandler):
    """The description of all this for programs."""

    public = True

    async def get(self) -> None:
        """Give it."""
        self.give(json.dumps(describe(self.app.api_paths, self.base), indent=1).encode())


class GuideHandler(PageHandler):
    """The API, for people."""

    public = True

    async def get(self) -> None:
        """Show what there is, with examples."""
        paths = describe(self.app.api_paths, self.base)["paths"]
        # Their rows are kept in English, as is all that programmers write.
        rows = [
            (path, method.upper(), told["summary"])
            for path, methods in paths.items()
            for method, told in methods.items()
            if method != "parameters"
        ]
        codes = sorted([*CODES.items(), *MORE_CODES])
        self.render("api/index.html", rows=rows, base=self.base, codes=codes)
