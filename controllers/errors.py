"""What a model refuses, as a status and a page."""

import re
from typing import Any
from urllib.parse import urlencode

from tornado.log import app_log
from tornado.web import HTTPError, RequestHandler

from controllers.security import SecureHandler, local_path
from models import errors
from models.text import N_

ERROR_STATUS = {
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.Pruned: 410,
    errors.PreconditionFailed: 412,
    errors.TooLarge: 413,
    errors.Invalid: 422,
    errors.Quota: 422,
    errors.WrongPassword: 403,
    errors.TooMany: 429,
    errors.Unavailable: 503,
    errors.Uncertain: 503,
}
ERROR_TEXTS = {  # by status: the heading of an error page, and a sentence
    400: (N_("Bad request"), N_("Your browser sent an invalid request.")),
    401: (N_("Token required"), N_("A valid token is required: Authorization: Bearer todo_...")),
    403: (N_("Not allowed"), N_("You can't do this. Go back, reload the page, and try again.")),
    404: (N_("Not found"), N_("This doesn't exist, or isn't shared with you.")),
    405: (N_("Method not allowed"), N_("This address doesn't support this method.")),
    409: (N_("Changed in the meantime"), ""),
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
STORAGE_FULL = N_("The server's storage is full, and nothing was changed. Please tell its owner.")
UNCERTAIN = N_("We don't know whether this was saved. Check before you try again.")
INTERNAL_ERROR = (
    N_("Something went wrong"),
    N_("The problem is on our side. Please try again later."),
)
Error = BaseException | None  # what went wrong, if it was raised
PATH_LIMIT = 200  # characters of a path in a line of the log


class NotLoggedIn(HTTPError):
    """A form was sent without a session, which may have ended meanwhile."""


def path_without_key(path: str) -> str:
    """Return what may be logged of a path: the key of a link is as good as a password."""
    return re.sub("^/(reset|join)/.*", r"/\1/...", path)[:PATH_LIMIT]


class ErrorHandler(SecureHandler):
    """The error page and the log line of what went wrong."""

    def __init_subclass__(cls) -> None:
        """Support the methods that a class has, so that Tornado answers others with 405 at once."""
        super().__init_subclass__()
        if "SUPPORTED_METHODS" not in vars(cls):
            own = [
                name
                for name in RequestHandler.SUPPORTED_METHODS
                if getattr(cls, name.lower()) is not getattr(RequestHandler, name.lower())
            ]
            # HEAD answers as GET does.
            cls.SUPPORTED_METHODS = tuple(name for name in own if name != "HEAD" or "GET" in own)

    def log_exception(self, typ: Any, value: BaseException | None, tb: Any) -> None:
        """Log the faults of the server; what a client did wrong has its line in the access log."""
        where = f"{self.request.method} {path_without_key(self.request.path)!r}"
        if isinstance(value, errors.Unavailable):
            self.app.error_log.log(str(value), where)
        elif not isinstance(value, (HTTPError, *ERROR_STATUS)):
            app_log.error("Uncaught exception: %s", where, exc_info=value)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Say what is wrong, without the database: it may be what failed."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        status = ERROR_STATUS.get(type(error), status_code)
        if status == 500 and self.settings.get("serve_traceback"):
            super().write_error(status_code, **kwargs)
            return
        self.set_status(status)
        if status == 405:
            self.set_header("Allow", ", ".join(self.SUPPORTED_METHODS))
        if status in (429, 503):
            self.set_header("Retry-After", str(getattr(error, "seconds", 5)))
        translate = self.locale.translate
        texts = ERROR_TEXTS.get(status, INTERNAL_ERROR)
        title, sentence = (text and translate(text) for text in texts)
        if isinstance(error, errors.Invalid):
            sentence = error.message(translate)
        if isinstance(error, errors.Conflict):
            sentence, title = map(translate, (*error.args, texts[0])[:2])
        if getattr(error, "code", "") == "storage_full":
            sentence = translate(STORAGE_FULL)
        if isinstance(error, errors.Uncertain):
            sentence = translate(UNCERTAIN)
        self.show_error(error, status, title, sentence)

    def show_error(self, error: Error, status: int, title: str, sentence: str) -> None:
        """Render the error page, with what was typed."""
        names = ("title", "name", "lines", "notes", "text")
        fields = {name: self.plain_field(name) for name in names}
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
        values = {"title": title, "sentence": sentence, "kept": kept, "login": login, "back": back}
        # Forged forms are refused before it is known who sends them.
        known = self.get_cookie(self.cookie("session")) is not None
        self.render("error.html", **values, known=known)

    def plain_field(self, name: str) -> str:
        """Return a field of the refused form, "" when it is missing; never raises."""
        return self.request.body_arguments.get(name, [b""])[0].decode(errors="replace")
