"""The ways a model refuses. `controllers/errors.py` turns them into status codes and pages."""

from collections.abc import Callable


class NotFound(Exception):
    """It isn't there, or it isn't this person's to know of: both read the same (404)."""


class Forbidden(Exception):
    """The person may see it, but their role is too small for this (403)."""


class Invalid(Exception):
    """What was sent can't be taken (422).

    `field` names the form field at fault; `reason` is an English sentence, whose `{names}` are
    filled from `values` after it was translated.
    """

    def __init__(self, field: str, reason: str, **values: object) -> None:
        super().__init__(field, reason, values)
        self.field = field
        self.reason = reason
        self.values = values

    def message(self, translate: Callable[..., str]) -> str:
        """Return the reason in the language of `translate`."""
        return translate(self.reason).format(**self.values)


class Quota(Invalid):
    """There are as many of these as one may have (422)."""

    code = "quota"


class TooLarge(Invalid):
    """This is more than can be taken in at once (413)."""


class WrongPassword(Invalid):
    """A password is wrong, or an invitation missing (403); said like what is invalid."""


class Conflict(Exception):
    """It isn't as it would have to be for this (409), as someone has changed it since, say.

    Its arguments are English: a sentence, and if there is another the heading of its page.
    """


class Pruned(Exception):
    """What was asked for is not kept any more (410)."""


class PreconditionFailed(Exception):
    """It is not what the caller took it for (412). Its one argument is what it is now."""


class TooMany(Invalid):
    """This was tried too often (429).

    `seconds` says when to try again; `locked`, that there is one attempt a day, as 100 passwords in
    a row were wrong; a browser that has logged in before has its own, and so has a reset.
    """

    def __init__(self, seconds: int, *, locked: bool = False) -> None:
        reason = ""  # `message` has one for each case
        super().__init__("", reason)
        self.seconds = seconds
        self.locked = locked

    def message(self, translate: Callable[..., str]) -> str:
        if self.locked:
            hours = -(-self.seconds // 3600)
            return translate(
                "Too many wrong passwords: new devices get one attempt a day, the next in {hours} "
                "hour. Log in where you logged in before, or reset the password.",
                "Too many wrong passwords: new devices get one attempt a day, the next in {hours} "
                "hours. Log in where you logged in before, or reset the password.",
                hours,
            ).format(hours=hours)
        minutes = -(-self.seconds // 60)
        return translate(
            "Too many attempts. Try again in {minutes} minute.",
            "Too many attempts. Try again in {minutes} minutes.",
            minutes,
        ).format(minutes=minutes)


class Unavailable(Exception):
    """The database can't answer just now; what was not acknowledged was not stored (503)."""

    code = "unavailable"


class Uncertain(Unavailable):
    """Whether the database has stored it isn't known, as its answer was lost (503)."""


class StartupError(Exception):
    """The server can't start: one line that says what is wrong and how to mend it."""


class FatalError(Exception):
    """The server had to stop: one line that says why and how to mend it."""
