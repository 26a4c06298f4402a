"""Repeats of todos: rules of RFC 5545 3.3.10 (RRULE) that step by days or more.

A rule is text such as FREQ=WEEKLY;BYDAY=MO,TH. It begins on the day its todo is due, which decides
what the rule leaves open: FREQ=WEEKLY is the same weekday again. A rule is checked before it is
expanded, and expanded a period at a time: a library would look for 30 February for ever. All of it
is about days; `dates.Due` makes instants of them, so 9:00 stays 9:00 when clocks change.
"""

import re
from calendar import monthrange
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from itertools import islice
from typing import NamedTuple
from zoneinfo import ZoneInfo

from dateutil.rrule import MONTHLY, YEARLY, rrule, weekday

from models.dates import LAST_YEAR, Due
from models.errors import Invalid
from models.text import N_

LIMIT = 255  # characters
CANDIDATES = 1000  # periods in which the next date is looked for
REFUSED = N_("Repeats must be every 1 to 999 days, weeks, months or years.")
DAY = timedelta(1)
WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
NUMBER, NAMES = "0?[1-9][0-9]{0,3}", "|".join(WEEKDAYS)
# What each part may say, and its largest number. Other parts are refused.
PARTS = {
    "FREQ": ("DAILY|WEEKLY|MONTHLY|YEARLY", 0),
    "INTERVAL": (NUMBER, 999),
    "BYMONTH": (f"{NUMBER}(,{NUMBER})*", 12),
    "BYMONTHDAY": (f"[+-]?{NUMBER}(,[+-]?{NUMBER})*", 31),
    "BYDAY": (f"([+-]?{NUMBER})?({NAMES})(,([+-]?{NUMBER})?({NAMES}))*", 53),
    "BYSETPOS": (f"[+-]?{NUMBER}(,[+-]?{NUMBER})*", 366),
    "COUNT": (NUMBER, 9999),
    "UNTIL": ("[0-9]{8}(T[0-9]{6}Z?)?", 0),
    "WKST": (NAMES, 0),
}
# Days that some months lack, as BYMONTHDAY and BYSETPOS: the last one up to it.
CLAMPED: dict[int, tuple[tuple[int, ...], tuple[int, ...]]] = {
    29: ((28, 29), (-1,)),
    30: ((28, 29, 30), (-1,)),
    31: ((-1,), ()),
}
END = date(LAST_YEAR, 12, 31)
BEYOND = 12 * 10_000  # months or years


class Rule(NamedTuple):
    """A rule that was parsed. Numbers are sorted; there are none where there is no such part."""

    freq: str
    interval: int = 1
    months: tuple[int, ...] = ()
    days: tuple[int, ...] = ()  # of the month; -1 is its last
    weekdays: tuple[tuple[int, int], ...] = ()  # (0, 0) is monday, (-1, 4) the last friday
    positions: tuple[int, ...] = ()  # which of a period's days; -1 is the last
    left: int | None = None  # how many dates (COUNT), the one it is due on included
    until: date | None = None  # the last day it may be due

    def __str__(self) -> str:
        named = [f"{number or ''}{WEEKDAYS[day]}" for number, day in self.weekdays]
        parts = {
            "FREQ": self.freq,
            "INTERVAL": str(self.interval) if self.interval > 1 else "",
            "BYMONTH": ",".join(map(str, self.months)),
            "BYMONTHDAY": ",".join(map(str, self.days)),
            "BYDAY": ",".join(named),
            "BYSETPOS": ",".join(map(str, self.positions)),
            "COUNT": str(self.left or ""),
            "UNTIL": self.until.isoformat().replace("-", "") if self.until else "",
        }
        return ";".join(f"{name}={value}" for name, value in parts.items() if value)


def parse(value: str, zone: str = "UTC", at: time | None = None) -> Rule:
    """Return the rule in `value`, of a todo that is due in `zone`, `at` a time or all day.

    Raises Invalid for repeat. Whether it has a date at all is for `clean` to find out.
    """
    try:
        return read(value, zone, at)
    except (KeyError, ValueError, OverflowError):
        raise Invalid("repeat", REFUSED) from None


def read(value: str, zone: str, at: time | None) -> Rule:
    """Do as `parse` says. Raises KeyError, ValueError and OverflowError."""
    if len(value) > LIMIT or not value.isascii():
        raise ValueError
    parts = [part.split("=", 1) for part in value.upper().split(";")]
    said: dict[str, str] = dict(parts)
    numbers: dict[str, tuple[int, ...]] = {}
    for name, text in said.items():
        pattern, most = PARTS[name]
        found = {int(number) for number in re.findall("[+-]?[0-9]+", text)} if most else set()
        if not re.fullmatch(pattern, text) or max(map(abs, found), default=0) > most:
            raise ValueError
        numbers[name] = tuple(sorted(found, key=from_end))
    named = [day for day in said.get("BYDAY", "").split(",") if day]
    weekdays = {(int(day[:-2] or 0), WEEKDAYS.index(day[-2:])) for day in named}
    rule = Rule(
        said["FREQ"],
        numbers["INTERVAL"][0] if "INTERVAL" in said else 1,
        numbers.get("BYMONTH", ()),
        numbers.get("BYMONTHDAY", ()),
        tuple(sorted(weekdays, key=lambda day: (from_end(day[0]), day[1]))),
        numbers.get("BYSETPOS", ()),
        numbers["COUNT"][0] if "COUNT" in said else None,
        last_day(said["UNTIL"], zone, at) if "UNTIL" in said else None,
    )
    weekly = rule.freq == "WEEKLY"
    most = 53 if rule.freq == "YEARLY" and not rule.months else 5
    if (
        len(said) < len(parts)
        or {"COUNT", "UNTIL"} <= said.keys()
        or (weekly and rule.days)
        or (weekly and rule.interval > 1 and said.get("WKST", "MO") != "MO")
        or (rule.freq in ("DAILY", "WEEKLY") and any(number for number, _ in rule.weekdays))
        or any(abs(number) > most for number, _ in rule.weekdays)
        or (rule.positions and not rule.days and not rule.weekdays)
    ):
        raise ValueError
    return rule


def from_end(number: int) -> tuple[bool, int]:
    """Return how numbers are sorted: those that count from the end are last."""
    return number < 0, number


def last_day(until: str, zone: str, at: time | None) -> date:
    """Return the last day for which UNTIL leaves the time. Raises ValueError, OverflowError."""
    last = datetime.fromisoformat(until)
    local = last.astimezone(ZoneInfo(zone)) if until.endswith("Z") else last
    early = at is not None and "T" in until and local.time() < at
    return local.date() - DAY if early else local.date()


def clean(value: str, due: Due, zone: str = "UTC", *, done: bool = False) -> str:
    """Return the rule as it is stored with a todo; `zone` is the account's, for what is all day.

    `done`: it is counted from when it is done. Raises Invalid for repeat, also where the first
    dates are too far from each other to be found.
    """
    rule = parse(value, due.zone or zone, due.at)
    if rule.until and rule.until < due.day:
        raise Invalid("repeat", "This repeat ends before it begins.")
    found = list(islice(dates(rule, due.day, due.day - DAY), 5))
    if not found or None in found:
        raise Invalid("repeat", REFUSED)
    named = settled(rule, due.day)
    if not done and named.days not in (rule.days, (due.day.day,)):
        return str(named)  # or the 31st would be the 28th from February on
    # Of UNTIL the day is kept.
    return str(rule) if re.search("[0-9]T", value.upper()) else value.upper()


def settled(rule: Rule, start: date) -> Rule:
    """Return the same rule without what it leaves to the day it begins on, as short as it can be.

    A day that some months lack is the last one up to it.
    """
    if rule.freq == "MONTHLY" and len(rule.weekdays) == 1 == len(rule.positions) and not rule.days:
        ((number, day),) = rule.weekdays
        if number == 0 and abs(rule.positions[0]) <= 5:  # the second of all mondays
            return rule._replace(weekdays=((rule.positions[0], day),), positions=())
    if rule.freq == "DAILY" and {1, -1} & {*rule.positions}:  # of one day that is all
        return rule._replace(positions=())
    if rule.days or rule.weekdays or rule.freq == "DAILY":
        return rule
    if rule.freq == "WEEKLY":
        return rule._replace(weekdays=((0, start.weekday()),))
    if rule.freq == "MONTHLY":
        days, positions = CLAMPED.get(start.day, ((start.day,), ()))
        return rule._replace(days=days, positions=positions)
    months = rule.months or (start.month,)
    lacking = len(months) == 1 and start.day > monthrange(2001, months[0])[1]  # not a leap year
    return rule._replace(months=months, days=(-1,) if lacking else (start.day,))


# The dates of a rule


def dates(rule: Rule, start: date, after: date) -> Iterator[date | None]:
    """Give the dates after a day of a rule that begins on `start`, oldest first.

    They end with the rule (COUNT aside), or with LAST_YEAR; or with None, where CANDIDATES
    periods have none.
    """
    rule, end = settled(rule, start), min(rule.until or END, END)
    first = period_of(rule, start)
    skipped = period_of(rule, max(start, after)) - first
    steps = range(first, period_of(rule, end) + 1, rule.interval)
    searched = 0
    for period in steps[skipped // rule.interval :]:
        found = [day for day in days_of(rule, period) if start <= day <= end and day > after]
        yield from found
        searched = 0 if found else searched + 1
        if searched == CANDIDATES:
            yield None
            return


def period_of(rule: Rule, day: date) -> int:
    """Return the number of the day, week, month or year of a rule that `day` is in."""
    if rule.freq in ("DAILY", "WEEKLY"):
        return day.toordinal() if rule.freq == "DAILY" else (day.toordinal() - 1) // 7
    return day.year if rule.freq == "YEARLY" else 12 * day.year + day.month - 1


def days_of(rule: Rule, period: int) -> list[date]:
    """Return the days of a rule in one of its periods, in order."""
    if rule.freq == "YEARLY":
        found = named_days(rule, date(period, 1, 1))
    elif rule.freq == "MONTHLY":
        found = named_days(rule, date(period // 12, period % 12 + 1, 1))
    else:
        numbers = [period] if rule.freq == "DAILY" else range(7 * period + 1, 7 * period + 8)
        days = map(date.fromordinal, numbers)
        found = [day for day in days if day in named_days(rule, day.replace(day=1))]
    if not rule.positions:
        return found
    places = [place for place in rule.positions if abs(place) <= len(found)]
    return sorted({found[place - 1 if place > 0 else place] for place in places})


@lru_cache(128)  # a daily rule asks for each month 30 times
def named_days(rule: Rule, first: date) -> list[date]:
    """Return the days that the lists of a rule name in the month, or year, that begins there."""
    plain = [day for number, day in rule.weekdays if number == 0]
    numbered = [weekday(day, number) for number, day in rule.weekdays if number]
    if numbered:  # dateutil would take what is both a TU and a -1MO, RFC 5545 takes either
        most = 5 if rule.months or rule.freq == "MONTHLY" else 53
        numbered += [weekday(day, number + 1) for day in plain for number in range(most)]
    found = rrule(
        YEARLY if rule.freq == "YEARLY" else MONTHLY,
        datetime.combine(first, time()),
        interval=BEYOND,  # the next period is after the year 9999, where dateutil stops
        bymonth=rule.months or None,
        bymonthday=rule.days or (None if rule.weekdays else range(1, 32)),
        byweekday=numbered or plain or None,
    )
    return [each.date() for each in found]


def first_date(value: str, today: date, zone: str = "UTC", at: time | None = None) -> date:
    """Return when a todo with this repeat, but no date, is due first. Raises Invalid for repeat."""
    day = next(dates(parse(value, zone, at), today, today - DAY), None)
    if day is None:
        raise Invalid("repeat", REFUSED)
    return day


def next_date(rule: Rule, due: date, today: date, *, done: bool = False) -> date | None:
    """Return when a todo that is ticked or skipped `today` is due next; None: never again.

    That is after today and after `due`. `done`: it is counted from today, so it may be before
    `due`, if it is early.
    """
    if rule.left == 1:
        return None
    found = dates(rule, today if done else due, today)
    return next((day for day in found if day != due), None)


def next_five(
    rule: Rule, due: date, after: date, *, done: bool = False, most: int = 5
) -> list[date]:
    """Return the next days after a day that a todo is due, as far as the rule goes.

    That on which it is due is among them, if it is one of the rule's and after that day. `done`:
    as if it were done each time on the day it is due.
    """
    found: list[date] = []
    left = rule.left or most
    if rule.left and next(dates(rule, due, max(after, due - DAY)), None) != due:
        left -= 1  # for the day it is due on, which isn't shown
    while len(found) < min(left, most):
        since = found[-1] if found else max(after, due - DAY)
        day = next(dates(rule, max(since, due) if done else due, since), None)
        if day is None:
            break
        found.append(day)
    return found


def with_count(value: str, change: int) -> str:
    """Return a rule with fewer dates left (-1) or more, if it has a COUNT."""
    return re.sub("COUNT=([0-9]+)", lambda match: f"COUNT={int(match[1]) + change}", value)
