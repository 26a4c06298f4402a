"""The application: its table of addresses, its settings and its parts; `extras.py` has the rest."""

import asyncio
import logging
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from tornado import locale
from tornado.httputil import HTTPServerRequest
from tornado.log import access_log
from tornado.template import Loader
from tornado.web import RequestHandler, url

import extras
import server
from config import Config
from controllers import (
    account,
    auth,
    files,
    health,
    history,
    invitations,
    invites,
    lists,
    live,
    live_fallbacks,
    login_attempts,
    messages,
    password_resets,
    recurrence,
    sso,
    today,
    todo_page,
    todos,
    undo_steps,
)
from controllers.api import base as api
from controllers.api import changes as api_changes
from controllers.api import invitations as api_invitations
from controllers.api import lists as api_lists
from controllers.api import members as api_members
from controllers.api import messages as api_messages
from controllers.api import openapi as api_openapi
from controllers.api import recurrence as api_recurrence
from controllers.api import todos as api_todos
from controllers.api import tokens as api_tokens
from controllers.base import MissingHandler
from controllers.errors import path_without_key
from controllers.security import DAY, cookie_rules
from models.database import SqliteStore
from models.postgres import PostgresStore
from models.sqlite_file import SqliteFile, signing_key
from services.app_base import BaseApp
from services.lookup_cache import LookupCache
from services.postgres_lookup_cache import PostgresLookupCache

ID, NAME = "([1-9][0-9]{0,17})", "([^/]+)"
ADDRESSES: list[Any] = [
    url(r"/", lists.HomeHandler, name="home"),
    # lists
    url(r"/lists", lists.ListsHandler, name="lists"),
    url(rf"/lists/{ID}", todos.ListHandler, name="list"),
    url(rf"/lists/{ID}/(active|completed|mine)", todos.FilterHandler, name="filter"),
    url(rf"/lists/{ID}/messages", messages.MessagesHandler, name="messages"),
    url(rf"/messages/(held/)?{ID}/delete", messages.DeleteMessageHandler),
    url(rf"/lists/{ID}/rename", todos.RenameListHandler, name="rename-list"),
    url(rf"/lists/{ID}/(history|trash)", history.HistoryHandler, name="record"),
    url(rf"/lists/{ID}/(toggle-all|clear-completed|delete)", todos.ListVerbHandler),
    url(rf"/lists/{ID}/members", lists.MembersHandler, name="members"),
    url(rf"/lists/{ID}/members/{NAME}/remove", lists.RemoveHandler, name="remove"),
    url(rf"/lists/{ID}/invites", invites.InvitesHandler, name="invites"),
    url(rf"/lists/{ID}/invites/{ID}/revoke", invites.RevokeHandler, name="revoke"),
    url(r"/join/([\w-]{22})", invites.JoinHandler, name="join"),
    url(rf"/lists/{ID}/accept", invitations.AcceptHandler, name="accept"),
    url(rf"/lists/{ID}/leave", lists.RemoveHandler, name="leave"),
    url(r"/undo", undo_steps.StepHandler, name="steps"),
    url(r"/undo", history.UndoHandler, name="undo"),  # where there are no steps
    # todos
    url(rf"/todos/{ID}", todo_page.TodoPageHandler, name="todo"),
    url(rf"/todos/{ID}", todos.RenameHandler),  # where there is no such page
    url(rf"/todos/{ID}/(complete|reopen|delete|restore|move)", todos.VerbHandler, name="verb"),
    url(rf"/todos/{ID}/skip", recurrence.SkipHandler, name="skip"),
    url(r"/(today|upcoming)", today.TodayHandler, name="today"),
    # sessions
    url(r"/signup", auth.SignUpHandler, name="signup"),
    url(r"/login", auth.LogInHandler, name="login"),
    url(r"/logout", auth.LogOutHandler, name="logout"),
    url(r"/login/sso", sso.StartHandler, name="sso"),
    url(r"/oidc/callback", sso.CallbackHandler, name="sso-callback"),
    url(r"/reset/([\w-]{43})", password_resets.ResetHandler, name="reset"),
    # accounts
    url(r"/account", account.AccountHandler, name="account"),
    url(r"/account/password", account.PasswordHandler, name="password"),
    url(r"/account/attempts", login_attempts.AttemptsHandler, name="attempts"),
    url(r"/account/sessions", account.SessionsHandler, name="sessions"),
    url(r"/account/tokens", api_tokens.TokensPageHandler, name="tokens"),
    url(rf"/account/tokens/{ID}/end", api_tokens.RevokePageHandler, name="end-token"),
    url(rf"/account/identities/{ID}/end", sso.UnlinkHandler, name="unlink"),
    url(r"/account/close", account.CloseHandler, name="close"),
    # files
    url(rf"/lists/{ID}\.(txt|csv|json)", files.FileHandler, name="file"),
    url(r"/account/export", files.ExportHandler, name="export"),
    url(r"/account/import", files.ImportHandler, name="import"),
    url(r"/api", api_openapi.GuideHandler, name="api"),
    # monitoring
    (r"/healthz", health.HealthHandler),
    (r"/metrics", health.MetricsHandler),
    # live updates
    (r"/live", live.LiveHandler),
    (r"/live/events", live_fallbacks.EventsHandler),
    (r"/live/poll", live_fallbacks.PollHandler),
]
API_ADDRESSES: list[tuple[str, type[api.ApiHandler]]] = [
    (r"/api/todos", api_todos.FirstTodosHandler),
    (rf"/api/todos/{ID}", api_todos.TodoHandler),
    (rf"/api/todos/{ID}/skip", api_recurrence.SkipHandler),
    (r"/api/repeat", api_recurrence.RepeatHandler),
    (r"/api/lists", api_lists.ListsHandler),
    (rf"/api/lists/{ID}", api_lists.ListHandler),
    (rf"/api/lists/{ID}/todos", api_todos.TodosHandler),
    (rf"/api/lists/{ID}/messages", api_messages.MessagesHandler),
    (rf"/api/lists/{ID}/members", api_members.MembersHandler),
    (rf"/api/lists/{ID}/members/{NAME}", api_members.MemberHandler),
    (rf"/api/lists/{ID}/accept", api_invitations.AcceptHandler),
    (rf"/api/lists/{ID}/leave", api_members.LeaveHandler),
    (rf"/api/lists/{ID}/changes", api_changes.ChangesHandler),
    (r"/api/tokens", api_tokens.TokensHandler),
    (rf"/api/tokens/{ID}", api_tokens.TokenHandler),
    (r"/api/openapi.json", api_openapi.OpenApiHandler),
    (r"/api/.*", api.MissingApiHandler),
]
api_openapi.PATHS[:] = [  # as the API's description shows them
    (path.replace(ID, "{id}").replace(NAME, "{username}"), handler)
    for path, handler in API_ADDRESSES
]

# By `Config.engine`: what makes the store, and what looks things up in it by key.
ENGINES: dict[str, tuple[Callable[[Config], Any], Callable[[Any], Any]]] = {
    "sqlite": (lambda c: SqliteStore(c.database_path, SqliteFile), LookupCache),
    "postgresql": (lambda c: PostgresStore(c.database), PostgresLookupCache),
}
VIEWS = Path(__file__).parent / "views"
TEMPLATES = Loader(str(VIEWS / "templates"))


class App(BaseApp):
    """The application. Making one does no I/O; `open` opens the database and the services."""

    def __init__(self, config: Config) -> None:
        make_store, make_lookups = ENGINES[config.engine]
        store = make_store(config)
        locale.set_default_locale("en")
        locale.load_gettext_translations(str(VIEWS / "languages"), "afazeres")
        super().__init__(
            config,
            store,
            make_lookups(store),
            [(r"/api/.*", API_ADDRESSES), *ADDRESSES],
            debug=config.debug,
            compress_response=True,  # safe, as the token is masked again each time (BREACH)
            template_path=TEMPLATES.root,
            template_loader=TEMPLATES,
            static_path=str(VIEWS / "statics"),
            default_handler_class=MissingHandler,
            login_url="/login",
            websocket_max_message_size=64 * 1024,
            websocket_ping_interval=20,
            websocket_ping_timeout=8,  # and 5 s more for a farewell: who is silent goes in 33 s
            # Against forged posts: a token in each form, and what the browser tells of the page
            # that sends it (ASVS 3.5.1).
            xsrf_cookies=True,
            cross_origin_protection=True,
            xsrf_cookie_kwargs=cookie_rules(config, 30 * DAY),
            **extras.STATIC,
        )
        self.invitations, self.checks, self.jobs = extras.INVITATIONS, extras.CHECKS, extras.JOBS
        for kind in extras.SERVICES:
            self.services[kind] = kind(self)
        self.opening: asyncio.Task[None] | None = None

    def find_handler(self, request: HTTPServerRequest, **kwargs: Any) -> Any:
        """Set the client that a trusted proxy tells, before anything is counted or logged."""
        server.apply_forwarded_headers(self, request)
        return super().find_handler(request, **kwargs)

    async def open(self) -> None:
        """Open the database and the services, once. Raises StartupError, nothing left open."""
        if self.opening is None:
            self.opening = asyncio.create_task(self.open_parts())
        if not self.opening.done():
            await asyncio.shield(self.opening)
        self.opening.result()

    async def open_parts(self) -> None:
        """Open one after another; what fails closes the database again."""
        for path in VIEWS.rglob("*.html"):  # or the first page would take a tenth of a second more
            TEMPLATES.load(str(path.relative_to(TEMPLATES.root)))
        await asyncio.to_thread(self.store.open)
        try:
            key = self.config.cookie_secret or signing_key(self.config.database_path)
            name = f"{'__Host-' * self.config.secure}{{}}-{sha256(key.encode()).hexdigest()[:8]}"
            xsrf = name.format("xsrf" if self.config.secure else "_xsrf")
            self.settings |= {"cookie_secret": key, "cookie_name": name, "xsrf_cookie_name": xsrf}
            await self.hub.open()
            for service in self.services.values():
                await service.open()
        except BaseException:
            await asyncio.to_thread(self.store.close)
            raise

    async def close(self) -> None:
        """Close the services and the database, in the other order."""
        if not self.hub.closed:
            self.hub.close()
        await asyncio.to_thread(self.hash_pool.threads.shutdown)
        for service in reversed(self.services.values()):
            await service.close()
        await asyncio.to_thread(self.store.close)

    def log_request(self, handler: RequestHandler) -> None:
        """Log the status, the request, the time it took, the user and their address in one line.

        Faults of the server have lines of their own; see `ErrorHandler.log_exception`.
        """
        self.on_request(handler)
        if not access_log.isEnabledFor(logging.INFO):
            return
        request = handler.request
        what = handler.get_status(), request.method, path_without_key(request.path)
        who = getattr(handler.current_user, "username", "-"), request.remote_ip
        access_log.info("%d %s %r %.1f ms %s %s", *what, 1000 * request.request_time(), *who)


if __name__ == "__main__":
    sys.exit(server.main(App, extras.COMMANDS))
