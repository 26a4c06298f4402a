"""When a todo is due: what may be typed, which day it is for someone, and how a date is said.

All of it is calculation: `now` is an aware datetime (see `models.clock.moment`), `zone` the name of
a time zone in the IANA database, such as Europe/Lisbon.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import NamedTuple
from zoneinfo import ZoneInfo, available_timezones

from babel import Locale

from models.errors import Invalid
from models.text import N_

Translate = Callable[..., str]  # as Tornado's Locale.translate
FIRST_YEAR, LAST_YEAR = 1970, 2200
# \d would take the digits of every script.
DAY = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
# Names that say which zone only to the machine they are read on.
NO_ZONES = {"Factory", "localtime"}


class Due(NamedTuple):
    """A day, the same for everyone; or, with a time in a zone, an instant."""

    day: date
    at: time | None = None
    zone: str | None = None

    def instant(self) -> datetime | None:
        """Return the instant in UTC, if there is a time.

        What the clocks skip is one hour later, of what they show twice it is the first (PEP 495).
        """
        if self.at is None or self.zone is None:
            return None
        return datetime.combine(self.day, self.at, ZoneInfo(self.zone)).astimezone(UTC)

    def shown(self, zone: str) -> tuple[date, time | None]:
        """Return the day and the time at which a reader in `zone` sees it due."""
        instant = self.instant()
        local = instant.astimezone(ZoneInfo(zone)) if instant else None
        return (local.date(), local.time()) if local else (self.day, None)

    def overdue(self, zone: str, now: datetime) -> bool:
        """Say whether it is over for a reader in `zone`: the day at midnight, else the instant."""
        instant = self.instant()
        return instant <= now if instant else self.day < today(zone, now)


def clean(due: str, due_time: str = "", due_zone: str = "", zone: str = "UTC") -> Due | None:
    """Return what was typed, or None where nothing was.

    A time is in `due_zone`, or in `zone`, that of who types it. Raises Invalid for due, due_time
    and due_zone.
    """
    day, at = clean_day("due", due), clean_time("due_time", due_time)
    if at is None:
        return Due(day) if day else None
    if day is None:
        raise Invalid("due_time", "A time needs a date.")
    return Due(day, at, clean_zone("due_zone", due_zone or zone))


def clean_day(field: str, value: str) -> date | None:
    """Return the day that `value` says, None if it is empty. Raises Invalid for `field`."""
    if not value:
        return None
    match = DAY.fullmatch(value)
    if not match:
        raise Invalid(field, "Dates must be written like 2026-12-31.")
    year, month, day = map(int, match.groups())
    if not FIRST_YEAR <= year <= LAST_YEAR:
        reason = N_("Dates must be between {first} and {last}.")
        raise Invalid(field, reason, first=FIRST_YEAR, last=LAST_YEAR)
    try:
        return date(year, month, day)
    except ValueError:
        raise Invalid(field, "This day isn't in the calendar: {day}.", day=value) from None


def clean_time(field: str, value: str) -> time | None:
    """Return the time that `value` says, None if it is empty. Raises Invalid for `field`."""
    match = TIME.fullmatch(value)
    if value and not match:
        raise Invalid(field, "Times must be written like 09:30, from 00:00 to 23:59.")
    return time(int(match[1]), int(match[2])) if match else None


def clean_zone(field: str, value: str) -> str:
    """Return `value` if it is the name of a time zone. Raises Invalid for `field`."""
    if value not in zones():
        shown = value if len(value) <= 100 else f"{value[:99]}…"
        raise Invalid(field, "There is no time zone “{zone}”.", zone=shown)
    return value


@cache  # 25 ms, as it looks at every file
def zones() -> frozenset[str]:
    """Return the names of all time zones."""
    return frozenset(available_timezones() - NO_ZONES)


def today(zone: str, now: datetime) -> date:
    """Return which day it is for someone in `zone`: all of the application asks this."""
    return now.astimezone(ZoneInfo(zone)).date()


def turns(dues: Iterable[Due], zone: str, now: datetime) -> tuple[datetime, datetime]:
    """Return the last instant at which something about `dues` turned, and the next, in UTC.

    At the reader's midnight days get other names and are over, at its instant a time is.
    """
    day, tz = today(zone, now), ZoneInfo(zone)
    midnights = [datetime.combine(day + timedelta(n), time(), tz).astimezone(UTC) for n in (0, 1)]
    last, following = midnights
    for instant in filter(None, (due.instant() for due in dues)):
        if instant <= now:
            last = max(last, instant)
        else:
            following = min(following, instant)
    return last, following


def chip(due: Due, zone: str, now: datetime, translate: Translate, language: str) -> str:
    """Return how a row says when it is due: Today, Tomorrow 9:00, Fri, 3 Jan, 3 Jan 2028."""
    (day, at), this = due.shown(zone), today(zone, now)
    away = (day - this).days
    near = {-1: N_("Yesterday"), 0: N_("Today"), 1: N_("Tomorrow")}.get(away)
    if near:
        said = translate(near)
    elif 1 < away < 7:
        said = names(language, "days", "abbreviated")[day.weekday()]
    else:
        said = day_words(day, this, translate, language, "abbreviated")
    if at is None:
        return said
    return translate("{day} {time}").format(day=said, time=time_words(at, translate))


def day_words(
    day: date, this: date | None, translate: Translate, language: str, width: str = "wide"
) -> str:
    """Return a day as a language says it: 3 January, with the year unless it is that of `this`.

    With the `width` "abbreviated": 3 Jan.
    """
    month = names(language, "months", width)[day.month]
    said = translate("{day} {month}") if day.day > 1 else translate("1 {month}")
    said = said.format(day=day.day, month=month)
    if this and day.year == this.year:
        return said
    return translate("{date} {year}").format(date=said, year=day.year)


def weekday_words(
    day: date, this: date | None, translate: Translate, language: str, width: str = "wide"
) -> str:
    """Return a day as `day_words` does, after its weekday: Friday 25 September."""
    weekday = names(language, "days", width)[day.weekday()]
    said = day_words(day, this, translate, language, width)
    return translate("{weekday} {date}").format(weekday=weekday, date=said)


@cache
def names(language: str, kind: str, width: str) -> Mapping[int, str]:
    """Return the names of months (from 1) or days (monday is 0), as Babel has them.

    Its patterns for whole dates aren't used: they say neither "1er mai" nor "1º de maio".
    """
    locale = Locale.parse(language)
    found: Mapping[int, str] = getattr(locale, kind)["format"][width]
    return found


def time_words(at: time, translate: Translate) -> str:
    """Return a time as a language says it: 9:30, 9h30."""
    said = translate("{hour}:{minutes}") if at.minute else translate("{hour}:00")
    return said.format(hour=at.hour, minutes=f"{at.minute:02}")
