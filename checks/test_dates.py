"""When a todo is due: what may be typed, whose day it is, and how it is said."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from checks.support.guard import guarded
from checks.support.languages import translator
from models import dates
from models.dates import Due
from models.errors import Invalid

# Where a day begins first and last, and where clocks change, by half an hour in one of them.
EAST, WEST = "Pacific/Kiritimati", "Etc/GMT+12"
NEW_YORK, LISBON, LORD_HOWE = "America/New_York", "Europe/Lisbon", "Australia/Lord_Howe"
MINUTE = timedelta(minutes=1)


def at(text: str) -> datetime:
    """Return an instant in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# What is typed


def test_what_may_be_typed() -> None:
    """A day, or a day and a time in a zone, one's own unless another is named."""
    assert dates.clean("") is dates.clean("", "", LISBON) is None
    assert dates.clean("2028-02-29") == Due(date(2028, 2, 29))
    assert dates.clean("1970-01-01", "", "Nowhere") == Due(date(1970, 1, 1)), "no time, no zone"
    last = dates.clean("2200-12-31", "23:59", zone=LISBON)
    assert last == Due(date(2200, 12, 31), time(23, 59), LISBON)
    there = dates.clean("2026-11-30", "00:00", NEW_YORK, LISBON)
    assert there == Due(date(2026, 11, 30), time(), NEW_YORK)


WRITTEN = "Dates must be written like 2026-12-31."
BETWEEN = "Dates must be between 1970 and 2200."
TIMES = "Times must be written like 09:30, from 00:00 to 23:59."


@pytest.mark.parametrize(
    ("typed", "field", "reason"),
    [
        (("0001-01-01",), "due", BETWEEN),
        (("1969-12-31",), "due", BETWEEN),
        (("2201-01-01",), "due", BETWEEN),
        (("9999-12-31",), "due", BETWEEN),
        (("10000-01-01",), "due", WRITTEN),
        (("2026-02-30",), "due", "This day isn't in the calendar: 2026-02-30."),
        (("2027-02-29",), "due", "This day isn't in the calendar: 2027-02-29."),
        (("2026-13-01",), "due", "This day isn't in the calendar: 2026-13-01."),
        (("2026-00-10",), "due", "This day isn't in the calendar: 2026-00-10."),
        (("2026-1-1",), "due", WRITTEN),
        (("20260101",), "due", WRITTEN),
        (("2026-W01-1",), "due", WRITTEN),
        (("2026-01-01\n",), "due", WRITTEN),
        ((" 2026-01-01",), "due", WRITTEN),
        (("2026-01-01T10:00",), "due", WRITTEN),
        (("-2026-01-01",), "due", WRITTEN),
        (("\u0662\u0660\u0662\u0666-\u0660\u0661-\u0660\u0661",), "due", WRITTEN),
        (("２０２６-01-01",), "due", WRITTEN),  # noqa: RUF001
        (("2026-01-01\0",), "due", WRITTEN),
        (("2" * 10_000,), "due", WRITTEN),
        (("2026-01-01", "24:00"), "due_time", TIMES),
        (("2026-01-01", "9:00"), "due_time", TIMES),
        (("2026-01-01", "09:60"), "due_time", TIMES),
        (("2026-01-01", "09:00:00"), "due_time", TIMES),
        (("2026-01-01", "09:00\n"), "due_time", TIMES),
        (("2026-01-01", "\u0660\u0669:\u0660\u0660"), "due_time", TIMES),
        (("2026-01-01", "9" * 10_000), "due_time", TIMES),
        (("", "09:00"), "due_time", "A time needs a date."),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_may_not_be_typed(typed: tuple[str, ...], field: str, reason: str) -> None:
    """It says beside which field what is wanted, and at once."""
    with guarded(), pytest.raises(Invalid) as refusal:
        dates.clean(*typed)
    assert (refusal.value.field, refusal.value.message(str)) == (field, reason)


@pytest.mark.parametrize(
    ("zone", "shown"),
    [
        ("Europe/Berln", "Europe/Berln"),
        ("europe/berlin", "europe/berlin"),
        ("localtime", "localtime"),
        ("../UTC", "../UTC"),
        ("/etc/passwd", "/etc/passwd"),
        ("UTC\0", "UTC\0"),
        ("{limit}", "{limit}"),
        ("x" * 10_000, "x" * 99 + "…"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_there_is_no_such_zone(zone: str, shown: str) -> None:
    """Whether it came with a time, or as that of an account."""
    for typed in (("2026-01-01", "09:00", zone), ("2026-01-01", "09:00", "", zone)):
        with guarded(), pytest.raises(Invalid) as refusal:
            dates.clean(*typed)
        assert refusal.value.field == "due_zone"
        assert refusal.value.message(str) == f"There is no time zone “{shown}”."


# Whose day it is


@pytest.mark.parametrize(
    ("zone", "now", "day"),
    [
        (EAST, "2026-11-30 09:59", "2026-11-30"),
        (EAST, "2026-11-30 10:00", "2026-12-01"),
        (WEST, "2026-12-01 11:59", "2026-11-30"),
        (WEST, "2026-12-01 12:00", "2026-12-01"),
        (EAST, "2026-12-31 10:00", "2027-01-01"),
        (WEST, "2027-01-01 11:59", "2026-12-31"),
        (LISBON, "2028-02-29 23:59", "2028-02-29"),
        (LISBON, "2028-03-01 00:00", "2028-03-01"),
        (LISBON, "2026-06-30 23:00", "2026-07-01"),
        (NEW_YORK, "2026-03-08 04:59", "2026-03-07"),
        (NEW_YORK, "2026-03-09 03:59", "2026-03-08"),
        (NEW_YORK, "2026-11-01 03:59", "2026-10-31"),
        (NEW_YORK, "2026-11-02 04:59", "2026-11-01"),
        (LORD_HOWE, "2026-10-03 13:29", "2026-10-03"),
        (LORD_HOWE, "2026-10-04 12:59", "2026-10-04"),
        (LORD_HOWE, "2026-10-04 13:00", "2026-10-05"),
        ("Pacific/Apia", "2011-12-30 09:59", "2011-12-29"),
        ("Pacific/Apia", "2011-12-30 10:00", "2011-12-31"),  # they left the 30th out
    ],
)
def test_which_day_it_is(zone: str, now: str, day: str) -> None:
    """Where somebody is, not where the server is."""
    assert dates.today(zone, at(now)).isoformat() == day


@pytest.mark.parametrize(
    ("zone", "local", "instant"),
    [
        (NEW_YORK, "2026-03-08 01:59", "2026-03-08 06:59"),
        (NEW_YORK, "2026-03-08 02:30", "2026-03-08 07:30"),  # it isn't: an hour later, at 3:30
        (NEW_YORK, "2026-03-08 03:00", "2026-03-08 07:00"),
        (NEW_YORK, "2026-11-01 01:30", "2026-11-01 05:30"),  # twice: the first
        (NEW_YORK, "2026-11-01 02:00", "2026-11-01 07:00"),
        (LISBON, "2026-03-29 01:30", "2026-03-29 01:30"),
        (LISBON, "2026-10-25 01:30", "2026-10-25 00:30"),
        (LORD_HOWE, "2026-10-04 02:15", "2026-10-03 15:45"),  # half an hour later, at 2:45
        (LORD_HOWE, "2026-04-05 01:45", "2026-04-04 14:45"),
        (EAST, "2026-12-01 00:00", "2026-11-30 10:00"),
        (WEST, "2026-12-31 23:59", "2027-01-01 11:59"),
    ],
)
def test_the_instant_of_a_time(zone: str, local: str, instant: str) -> None:
    """Also in the nights when clocks change."""
    day, _, hour = local.partition(" ")
    assert Due(date.fromisoformat(day), time.fromisoformat(hour), zone).instant() == at(instant)


def test_nine_stays_nine() -> None:
    """The clock on the wall decides, before and after it changes."""
    for zone, before, after in (
        (NEW_YORK, "2026-03-07", "2026-03-09"),
        (LISBON, "2026-10-24", "2026-10-26"),
        (LORD_HOWE, "2026-04-04", "2026-04-06"),
    ):
        dues = [Due(date.fromisoformat(day), time(9), zone) for day in (before, after)]
        assert [due.shown(zone) for due in dues] == [(due.day, time(9)) for due in dues]
        first, second = (due.instant() for due in dues)
        assert first and second and second - first != timedelta(2)


def test_everyone_sees_a_time_in_their_own_zone() -> None:
    """And a day without one as the same day."""
    due = Due(date(2026, 12, 31), time(23), NEW_YORK)
    assert due.shown(NEW_YORK) == (date(2026, 12, 31), time(23))
    assert due.shown(EAST) == (date(2027, 1, 1), time(18))
    assert due.shown(WEST) == (date(2026, 12, 31), time(16))
    assert Due(date(2026, 12, 31)).shown(EAST) == Due(date(2026, 12, 31)).shown(WEST)
    assert Due(date(2026, 12, 31)).instant() is None


@pytest.mark.parametrize(
    ("due", "zone", "over"),
    [
        (Due(date(2026, 11, 30)), EAST, "2026-11-30 10:00"),
        (Due(date(2026, 11, 30)), WEST, "2026-12-01 12:00"),
        (Due(date(2026, 12, 31)), LISBON, "2027-01-01 00:00"),
        (Due(date(2028, 2, 29)), LISBON, "2028-03-01 00:00"),
        (Due(date(2026, 3, 8)), NEW_YORK, "2026-03-09 04:00"),
        (Due(date(2026, 11, 1)), NEW_YORK, "2026-11-02 05:00"),
        (Due(date(2026, 10, 4)), LORD_HOWE, "2026-10-04 13:00"),
        (Due(date(2026, 4, 5)), LORD_HOWE, "2026-04-05 13:30"),
        (Due(date(2026, 9, 5)), "America/Santiago", "2026-09-06 04:00"),  # no midnight that night
        (Due(date(2026, 11, 30), time(9), LISBON), EAST, "2026-11-30 09:00"),
        (Due(date(2026, 11, 30), time(9), LISBON), WEST, "2026-11-30 09:00"),
        (Due(date(2026, 3, 8), time(2, 30), NEW_YORK), LISBON, "2026-03-08 07:30"),
        (Due(date(2026, 11, 1), time(1, 30), NEW_YORK), LISBON, "2026-11-01 05:30"),
    ],
)
def test_when_it_is_overdue(due: Due, zone: str, over: str) -> None:
    """A day at the reader's midnight, a time at its instant, and that is when it turns."""
    instant = at(over)
    assert not due.overdue(zone, instant - MINUTE)
    assert due.overdue(zone, instant)
    assert dates.turns([due], zone, instant - MINUTE)[1] == instant
    assert dates.turns([due], zone, instant)[0] == instant


def test_what_turns_next_and_what_did_last() -> None:
    """The reader's midnight, whatever is shown; and the times of what is shown."""
    now = at("2026-11-30 12:00")
    midnight, following = at("2026-11-30 05:00"), at("2026-12-01 05:00")
    assert dates.turns([], NEW_YORK, now) == (midnight, following)
    shown = [Due(date(2026, 11, 30), time(hour), "UTC") for hour in (11, 13, 9, 15)]
    assert dates.turns(shown, NEW_YORK, now) == (at("2026-11-30 11:00"), at("2026-11-30 13:00"))
    far = [Due(date(day, 1, 1), time(9), "UTC") for day in (1970, 2200)]
    assert dates.turns(far, NEW_YORK, now) == (midnight, following)
    for zone in (EAST, WEST, NEW_YORK, LISBON, LORD_HOWE):
        now = at("2026-01-01 00:00")
        days = set()
        while now < at("2027-01-02 00:00"):
            last, now = dates.turns([], zone, now)[0], dates.turns([], zone, now)[1]
            assert last < now and now.astimezone(ZoneInfo(zone)).time() == time()
            days.add(dates.today(zone, now))
        assert len(days) in (366, 367), "each night of the year, also those of 23 and 25 hours"


# How it is said


@pytest.mark.parametrize(
    ("day", "english", "portuguese", "french"),
    [
        ("2026-11-30", "Today", "Hoje", "Aujourd\u2019hui"),
        ("2026-12-01", "Tomorrow", "Amanhã", "Demain"),
        ("2026-11-29", "Yesterday", "Ontem", "Hier"),
        ("2026-11-28", "28 Nov", "28 de nov.", "28 nov."),
        ("2026-12-02", "Wed", "qua.", "mer."),
        ("2026-12-06", "Sun", "dom.", "dim."),
        ("2026-12-07", "7 Dec", "7 de dez.", "7 déc."),
        ("2026-12-31", "31 Dec", "31 de dez.", "31 déc."),
        ("2027-01-01", "1 Jan 2027", "1º de jan. de 2027", "1er janv. 2027"),
        ("2025-11-30", "30 Nov 2025", "30 de nov. de 2025", "30 nov. 2025"),
        ("2028-02-29", "29 Feb 2028", "29 de fev. de 2028", "29 févr. 2028"),
    ],
)
def test_what_a_chip_says(day: str, english: str, portuguese: str, french: str) -> None:
    """What is near by its name, another year with the year."""
    due, now = Due(date.fromisoformat(day)), at("2026-11-30 12:00")
    for language, said in (("en", english), ("pt_BR", portuguese), ("fr", french)):
        assert dates.chip(due, "UTC", now, translator(language), language) == said


def test_what_a_chip_says_with_a_time() -> None:
    """In the reader's zone, where it may be another day."""
    due, now = Due(date(2026, 11, 30), time(23, 30), NEW_YORK), at("2026-12-01 05:00")

    def chip(zone: str, language: str, due: Due = due) -> str:
        return dates.chip(due, zone, now, translator(language), language)

    assert chip(NEW_YORK, "en") == "Yesterday 23:30"
    assert chip(LISBON, "en") == "Today 4:30"
    assert chip(LISBON, "en", Due(now.date(), time(0, 5), "UTC")) == "Today 0:05"
    assert chip(LISBON, "pt_BR") == "Hoje, 4h30"
    assert chip(LISBON, "fr") == "Aujourd\u2019hui à 4\u00a0h\u00a030"
    hour = Due(date(2026, 12, 3), time(9), LISBON)
    assert [chip(LISBON, code, hour) for code in ("en", "pt_BR", "fr")] == [
        "Thu 9:00",
        "qui., 9h",
        "jeu. à 9\u00a0h",
    ]


def test_days_in_words() -> None:
    """For headings and messages."""
    day, this = date(2026, 9, 25), date(2026, 1, 1)
    said = [
        dates.weekday_words(day, year, translator(code), code, width)
        for code in ("en", "pt_BR", "fr")
        for year, width in ((this, "abbreviated"), (None, "wide"))
    ]
    assert said == [
        "Fri 25 Sep",
        "Friday 25 September 2026",
        "sex., 25 de set.",
        "sexta-feira, 25 de setembro de 2026",
        "ven. 25 sept.",
        "vendredi 25 septembre 2026",
    ]
