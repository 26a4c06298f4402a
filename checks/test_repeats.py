"""Repeats: which rules there are, what dates they have, how a form and a sentence say them."""

from calendar import monthrange
from datetime import date, time, timedelta
from itertools import islice
from typing import Any

import pytest

from checks.support.guard import guarded
from checks.support.languages import translator
from models import repeats
from models.dates import Due
from models.errors import Invalid
from models.repeat_words import Form, form_of, rule_of, words
from models.repeats import clean, next_date, next_five, parse, with_count

DAY = timedelta(1)
MONDAY = date(2026, 11, 30)
NEW_YORK, LISBON, LORD_HOWE = "America/New_York", "Europe/Lisbon", "Australia/Lord_Howe"
EAST, WEST = "Pacific/Kiritimati", "Etc/GMT+12"
REFUSED = "Repeats must be every 1 to 999 days, weeks, months or years."


def on(text: str) -> date:
    """Return a day."""
    return date.fromisoformat(text)


def refusal(value: str, due: Due | None = None) -> str:
    """Return why a rule isn't stored."""
    with guarded(), pytest.raises(Invalid) as refused:
        clean(value, due or Due(MONDAY))
    assert refused.value.field == "repeat"
    return refused.value.message(str)


# Which rules there are


@pytest.mark.parametrize(
    "value",
    [
        "FREQ=DAILY",
        "FREQ=DAILY;INTERVAL=999",
        "INTERVAL=2;FREQ=WEEKLY",
        "FREQ=WEEKLY;BYDAY=MO,TH;COUNT=9999",
        "FREQ=WEEKLY;BYDAY=TH,MO;UNTIL=20270101",
        "FREQ=WEEKLY;WKST=SU;BYDAY=MO",
        "FREQ=WEEKLY;INTERVAL=2;WKST=MO",
        "FREQ=MONTHLY",
        "FREQ=MONTHLY;BYMONTHDAY=1,15,-1",
        "FREQ=MONTHLY;BYDAY=2MO,-1FR",
        "FREQ=MONTHLY;BYDAY=+1MO",
        "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1",
        "FREQ=MONTHLY;BYMONTHDAY=31",
        "FREQ=YEARLY;INTERVAL=999",
        "FREQ=YEARLY;BYMONTH=02;BYMONTHDAY=29",
        "FREQ=YEARLY;BYDAY=53TU",
        "FREQ=DAILY;BYDAY=FR;BYMONTHDAY=13",
        "FREQ=DAILY;BYDAY=FR;BYSETPOS=1",
        "FREQ=DAILY;UNTIL=99991231",
    ],
)
def test_a_rule_is_kept_as_it_is(value: str) -> None:
    """Whatever the order of its parts, and what is written out though it needn't be."""
    due = Due(on("2026-11-23"))
    assert clean(value, due) == value
    assert clean(value.lower(), due) == value, "capitals don't count (RFC 5545 2)"
    again = parse(str(parse(value)))
    assert again == parse(value)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "DAILY",
        "FREQ",
        "FREQ=",
        "=",
        ";",
        "FREQ=DAILY;",
        "FREQ=DAILY;;INTERVAL=2",
        "FREQ=DAILY;FREQ=DAILY",
        "INTERVAL=2",
        "FREQ=HOURLY",
        "FREQ=MINUTELY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=SECONDLY",
        "FREQ=DAILY;INTERVAL=0",
        "FREQ=DAILY;INTERVAL=00",
        "FREQ=DAILY;INTERVAL=-1",
        "FREQ=DAILY;INTERVAL=1000",
        "FREQ=DAILY;INTERVAL=1.5",
        "FREQ=DAILY;INTERVAL=\u0662",
        "FREQ=DAILY;INTERVAL=２",  # noqa: RUF001
        "FREQ=DA\u0131LY",  # the capital of this letter is I
        "FREQ=DAILY;INTERVAL= 2",
        "FREQ=DAILY;INTERVAL=2\n",
        "FREQ=DAILY\0",
        "FREQ=DAILY;COUNT=0",
        "FREQ=DAILY;COUNT=10000",
        "FREQ=DAILY;COUNT=2;UNTIL=20270101",
        "FREQ=DAILY;UNTIL=2027-01-01",
        "FREQ=DAILY;UNTIL=20270230",
        "FREQ=DAILY;UNTIL=20270101T250000",
        "FREQ=DAILY;UNTIL=20270101T1000",
        "FREQ=DAILY;UNTIL=20270101T100000+0100",
        "FREQ=DAILY;UNTIL=00000101",
        "FREQ=DAILY;BYHOUR=9",
        "FREQ=DAILY;BYMINUTE=0",
        "FREQ=YEARLY;BYYEARDAY=1",
        "FREQ=YEARLY;BYWEEKNO=1",
        "FREQ=YEARLY;BYEASTER=0",
        "FREQ=DAILY;DTSTART=20260101",
        "FREQ=DAILY;X-NAME=1",
        "DTSTART:20260101\nRRULE:FREQ=DAILY",
        "FREQ=YEARLY;BYMONTH=13",
        "FREQ=YEARLY;BYMONTH=0",
        "FREQ=YEARLY;BYMONTH=-1",
        "FREQ=YEARLY;BYMONTH=1,,2",
        "FREQ=MONTHLY;BYMONTHDAY=32",
        "FREQ=MONTHLY;BYMONTHDAY=0",
        "FREQ=MONTHLY;BYMONTHDAY=--1",
        "FREQ=MONTHLY;BYDAY=0MO",
        "FREQ=MONTHLY;BYDAY=53MO",
        "FREQ=YEARLY;BYMONTH=12;BYDAY=MO,53TU",
        "FREQ=YEARLY;BYDAY=54MO",
        "FREQ=MONTHLY;BYDAY=XX",
        "FREQ=MONTHLY;BYDAY=MO;BYSETPOS=0",
        "FREQ=MONTHLY;BYDAY=MO;BYSETPOS=367",
        "FREQ=MONTHLY;BYSETPOS=1",
        "FREQ=WEEKLY;BYMONTHDAY=1",
        "FREQ=WEEKLY;BYDAY=1MO",
        "FREQ=DAILY;BYDAY=1MO",
        "FREQ=WEEKLY;INTERVAL=2;WKST=SU",
        # They have no date, or too few to be found.
        "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=MONTHLY;BYMONTH=2;BYMONTHDAY=-30",
        "FREQ=MONTHLY;BYDAY=5MO;BYMONTHDAY=1",
        "FREQ=YEARLY;BYDAY=53MO;BYMONTHDAY=1",
        "FREQ=MONTHLY;BYDAY=MO;BYSETPOS=6",
        "FREQ=MONTHLY;INTERVAL=12;BYMONTH=1",
        "FREQ=MONTHLY;INTERVAL=12;BYMONTHDAY=31",
        "FREQ=DAILY;INTERVAL=7;BYDAY=TU",
        "FREQ=DAILY;BYDAY=FR;BYSETPOS=2",
        "FREQ=WEEKLY;BYDAY=MO;BYSETPOS=2",
        "FREQ=YEARLY;INTERVAL=999;BYMONTH=1",
        "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=29",
        "FREQ=DAILY;INTERVAL=999;BYMONTH=2;BYMONTHDAY=29;BYDAY=MO",
        # They are long.
        "FREQ=DAILY;" + "X" * 10_000,
        "FREQ=DAILY;BYMONTHDAY=" + ",".join(["1"] * 200),
        "BYDAY=" + "MO," * 80 + "MO;FREQ=WEEKLY",
        ";" * 10_000,
        "=" * 10_000,
        "9" * 10_000,
    ],
    ids=lambda value: value[:60] or "empty",
)
def test_a_rule_is_refused(value: str) -> None:
    """Before a library can lose itself in it, and in the same words."""
    assert refusal(value) == REFUSED
    with guarded():
        assert [*islice(repeats.dates(parse("FREQ=DAILY"), MONDAY, MONDAY), 1)], "still well"


def test_sparse_rules_are_refused_whatever_day_it_is() -> None:
    """Also just before one of their dates."""
    for day in ("2028-02-01", "2028-02-29", "2028-03-01"):
        assert refusal("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=29", Due(on(day))) == REFUSED
        assert clean("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29", Due(on(day)))


def test_a_rule_must_not_end_before_it_begins() -> None:
    """On the day it begins it may."""
    assert clean("FREQ=DAILY;UNTIL=20261130", Due(MONDAY))
    for value in ("FREQ=DAILY;UNTIL=20261129", "FREQ=DAILY;UNTIL=00010101"):
        assert refusal(value) == "This repeat ends before it begins."
    late = Due(MONDAY, time(9), "UTC")
    assert (
        refusal("FREQ=DAILY;UNTIL=20261130T085959Z", late) == "This repeat ends before it begins."
    )


@pytest.mark.parametrize(
    ("until", "due_time", "zone", "last"),
    [
        ("20270101T000000Z", "", "UTC", "20270101"),
        ("20270101T000000Z", "", NEW_YORK, "20261231"),
        ("20270101T000000Z", "", EAST, "20270101"),
        ("20270101T110000Z", "", WEST, "20261231"),
        ("20270101T120000Z", "", WEST, "20270101"),
        ("20261231T100000Z", "", EAST, "20270101"),
        ("20270101T235959", "", NEW_YORK, "20270101"),
        ("20270101T140000Z", "09:00", NEW_YORK, "20270101"),
        ("20270101T135959Z", "09:00", NEW_YORK, "20261231"),
        ("20270701T130000Z", "09:00", NEW_YORK, "20270701"),
        ("20270101T000000", "09:00", NEW_YORK, "20261231"),
        ("20270101", "09:00", NEW_YORK, "20270101"),
        ("20270101", "00:00", NEW_YORK, "20270101"),
    ],
)
def test_until_is_stored_as_a_day(until: str, due_time: str, zone: str, last: str) -> None:
    """The last one for which it leaves the time, in the zone of the todo, or of the account."""
    at = time.fromisoformat(due_time) if due_time else None
    stored = f"FREQ=DAILY;UNTIL={last}"
    value = f"FREQ=DAILY;UNTIL={until}"
    assert clean(value, Due(MONDAY, at, zone if at else None), "UTC" if at else zone) == stored
    assert clean(stored, Due(MONDAY, at, zone if at else None), LISBON) == stored


@pytest.mark.parametrize("until", ["00010101T000000Z", "99991231T235959Z"])
def test_until_at_the_ends_of_time(until: str) -> None:
    """Where another zone would be in no year at all."""
    for zone in (EAST, WEST):
        with guarded():
            try:
                clean(f"FREQ=DAILY;UNTIL={until}", Due(MONDAY), zone)
            except Invalid as refused:
                assert refused.field == "repeat"


@pytest.mark.parametrize(
    ("due", "value", "stored"),
    [
        ("2026-01-31", "FREQ=MONTHLY", "FREQ=MONTHLY;BYMONTHDAY=-1"),
        ("2026-01-30", "FREQ=MONTHLY", "FREQ=MONTHLY;BYMONTHDAY=28,29,30;BYSETPOS=-1"),
        ("2026-01-29", "FREQ=MONTHLY", "FREQ=MONTHLY;BYMONTHDAY=28,29;BYSETPOS=-1"),
        ("2026-01-28", "FREQ=MONTHLY", "FREQ=MONTHLY"),
        (
            "2026-04-30",
            "FREQ=MONTHLY;COUNT=3",
            "FREQ=MONTHLY;BYMONTHDAY=28,29,30;BYSETPOS=-1;COUNT=3",
        ),
        ("2026-01-31", "FREQ=MONTHLY;INTERVAL=2", "FREQ=MONTHLY;INTERVAL=2;BYMONTHDAY=-1"),
        ("2026-01-31", "FREQ=MONTHLY;BYMONTH=1,2", "FREQ=MONTHLY;BYMONTH=1,2;BYMONTHDAY=-1"),
        ("2028-02-29", "FREQ=YEARLY", "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=-1"),
        ("2028-02-29", "FREQ=YEARLY;INTERVAL=4", "FREQ=YEARLY;INTERVAL=4;BYMONTH=2;BYMONTHDAY=-1"),
        ("2027-02-28", "FREQ=YEARLY", "FREQ=YEARLY"),
        ("2026-12-31", "FREQ=YEARLY", "FREQ=YEARLY"),
        ("2026-01-31", "FREQ=MONTHLY;BYMONTHDAY=31", "FREQ=MONTHLY;BYMONTHDAY=31"),
        ("2026-01-30", "FREQ=YEARLY;BYMONTH=2,3", "FREQ=YEARLY;BYMONTH=2,3"),
        ("2026-01-31", "FREQ=WEEKLY", "FREQ=WEEKLY"),
        ("2026-01-31", "FREQ=DAILY", "FREQ=DAILY"),
    ],
)
def test_a_day_that_some_months_lack_is_their_last(due: str, value: str, stored: str) -> None:
    """So the 31st stays the 31st, though February comes between."""
    assert clean(value, Due(on(due))) == stored
    assert clean(stored, Due(on(due))) == stored
    assert clean(value, Due(on(due)), done=True) == value, "counted from a day that isn't known yet"


# What dates it has


@pytest.mark.parametrize(
    ("value", "due", "dates"),
    [
        ("FREQ=DAILY", "2026-12-30", "2026-12-30 2026-12-31 2027-01-01 2027-01-02 2027-01-03"),
        (
            "FREQ=DAILY;INTERVAL=2",
            "2028-02-27",
            "2028-02-27 2028-02-29 2028-03-02 2028-03-04 2028-03-06",
        ),
        (
            "FREQ=DAILY;BYDAY=SA,SU",
            "2026-11-30",
            "2026-12-05 2026-12-06 2026-12-12 2026-12-13 2026-12-19",
        ),
        ("FREQ=WEEKLY", "2026-12-25", "2026-12-25 2027-01-01 2027-01-08 2027-01-15 2027-01-22"),
        (
            "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR",
            "2026-12-31",
            "2026-12-31 2027-01-01 2027-01-04 2027-01-05 2027-01-06",
        ),
        (
            "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,SU",
            "2026-12-02",
            "2026-12-06 2026-12-14 2026-12-20 2026-12-28 2027-01-03",
        ),
        ("FREQ=MONTHLY", "2026-01-31", "2026-01-31 2026-02-28 2026-03-31 2026-04-30 2026-05-31"),
        ("FREQ=MONTHLY", "2027-12-30", "2027-12-30 2028-01-30 2028-02-29 2028-03-30 2028-04-30"),
        ("FREQ=MONTHLY", "2027-01-29", "2027-01-29 2027-02-28 2027-03-29 2027-04-29 2027-05-29"),
        (
            "FREQ=MONTHLY;INTERVAL=3",
            "2026-11-30",
            "2026-11-30 2027-02-28 2027-05-30 2027-08-30 2027-11-30",
        ),
        (
            "FREQ=MONTHLY;BYMONTHDAY=31",
            "2026-01-31",
            "2026-01-31 2026-03-31 2026-05-31 2026-07-31 2026-08-31",
        ),
        (
            "FREQ=MONTHLY;BYMONTHDAY=1,-1",
            "2027-02-02",
            "2027-02-28 2027-03-01 2027-03-31 2027-04-01 2027-04-30",
        ),
        (
            "FREQ=MONTHLY;BYDAY=3FR",
            "2026-11-30",
            "2026-12-18 2027-01-15 2027-02-19 2027-03-19 2027-04-16",
        ),
        (
            "FREQ=MONTHLY;BYDAY=-1FR",
            "2026-11-30",
            "2026-12-25 2027-01-29 2027-02-26 2027-03-26 2027-04-30",
        ),
        (
            "FREQ=MONTHLY;BYDAY=5MO",
            "2026-11-30",
            "2026-11-30 2027-03-29 2027-05-31 2027-08-30 2027-11-29",
        ),
        (
            "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1",
            "2026-11-30",
            "2026-11-30 2026-12-31 2027-01-29 2027-02-26 2027-03-31",
        ),
        (
            "FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13",
            "2026-11-30",
            "2027-08-13 2028-10-13 2029-04-13 2029-07-13 2030-09-13",
        ),
        ("FREQ=YEARLY", "2026-12-31", "2026-12-31 2027-12-31 2028-12-31 2029-12-31 2030-12-31"),
        ("FREQ=YEARLY", "2028-02-29", "2028-02-29 2029-02-28 2030-02-28 2031-02-28 2032-02-29"),
        (
            "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29",
            "2095-01-01",
            "2096-02-29 2104-02-29 2108-02-29 2112-02-29 2116-02-29",
        ),
        (
            "FREQ=YEARLY;BYMONTH=3,10;BYDAY=-1SU",
            "2026-11-30",
            "2027-03-28 2027-10-31 2028-03-26 2028-10-29 2029-03-25",
        ),
        (
            "FREQ=YEARLY;BYDAY=1MO",
            "2026-11-30",
            "2027-01-04 2028-01-03 2029-01-01 2030-01-07 2031-01-06",
        ),
        (
            "FREQ=MONTHLY;BYDAY=TU,-1MO",
            "2026-11-02",
            "2026-11-03 2026-11-10 2026-11-17 2026-11-24 2026-11-30",
        ),
        (
            "FREQ=YEARLY;BYDAY=TU,-1MO",
            "2026-12-20",
            "2026-12-22 2026-12-28 2026-12-29 2027-01-05 2027-01-12",
        ),
        ("FREQ=DAILY;COUNT=3", "2026-11-30", "2026-11-30 2026-12-01 2026-12-02"),
        ("FREQ=WEEKLY;BYDAY=TU;COUNT=3", "2026-11-30", "2026-12-01 2026-12-08"),  # and its own day
        ("FREQ=DAILY;UNTIL=20261202", "2026-11-30", "2026-11-30 2026-12-01 2026-12-02"),
        ("FREQ=YEARLY", "2198-05-01", "2198-05-01 2199-05-01 2200-05-01"),
        ("FREQ=DAILY", "2200-12-30", "2200-12-30 2200-12-31"),
        ("FREQ=YEARLY;INTERVAL=999", "2026-11-30", "2026-11-30"),
    ],
)
def test_the_next_five(value: str, due: str, dates: str) -> None:
    """From the day it is due; the stored rule has the same, and so has each day's tick."""
    day = on(due)
    expected = [on(each) for each in dates.split()]
    stored = parse(clean(value, Due(day)))
    for rule in (parse(value), stored):
        assert next_five(rule, day, day - DAY) == expected
        assert next_five(rule, day, day) == [each for each in expected if each > day][:5] or (
            next_five(rule, day, day)[:4] == [each for each in expected if each > day]
        )
    ticked = [day]
    rule = stored
    while len(ticked) < 6 and (following := next_date(rule, ticked[-1], ticked[-1])):
        ticked.append(following)
        rule = parse(with_count(str(rule), -1))
    assert [each for each in ticked if each in expected] == expected


def test_how_many_are_shown() -> None:
    """Five unless told; of those that are left after the day it is due on, one fewer."""
    daily = parse("FREQ=DAILY")
    fifty = next_five(daily, MONDAY, MONDAY - DAY, most=50)
    assert fifty == [MONDAY + n * DAY for n in range(50)]
    late = MONDAY + 1000 * DAY
    assert next_five(daily, MONDAY, late) == [late + n * DAY for n in range(1, 6)]
    assert next_five(parse("FREQ=DAILY;COUNT=3"), MONDAY, late) == [late + DAY, late + 2 * DAY]
    assert next_five(parse("FREQ=DAILY;COUNT=1"), MONDAY, late) == []
    assert next_five(parse("FREQ=DAILY;COUNT=1"), MONDAY, MONDAY - DAY) == [MONDAY]
    assert next_five(daily, MONDAY, date(2026, 1, 1), most=2) == [MONDAY, MONDAY + DAY]
    twice = parse("FREQ=MONTHLY;BYMONTHDAY=1,15")
    assert next(repeats.dates(twice, on("2026-11-10"), on("2026-01-01"))) == on("2026-11-15")


@pytest.mark.parametrize(
    ("value", "due", "today", "following"),
    [
        ("FREQ=DAILY", "2026-11-30", "2026-11-30", "2026-12-01"),
        ("FREQ=DAILY", "2023-11-30", "2026-11-30", "2026-12-01"),  # three years late, none piled up
        ("FREQ=DAILY", "1970-01-01", "2200-12-30", "2200-12-31"),
        ("FREQ=DAILY", "1970-01-01", "2200-12-31", None),
        ("FREQ=DAILY", "2026-12-05", "2026-11-30", "2026-12-06"),  # early: after its own day
        ("FREQ=DAILY;INTERVAL=3", "2023-11-30", "2026-11-30", "2026-12-02"),
        ("FREQ=DAILY;INTERVAL=999", "1970-01-01", "2026-11-30", "2027-06-10"),
        ("FREQ=WEEKLY;INTERVAL=2", "2026-11-30", "2026-12-07", "2026-12-14"),
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,FR", "2026-11-30", "2026-12-02", "2026-12-04"),
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,FR", "2026-11-30", "2026-12-04", "2026-12-14"),
        ("FREQ=MONTHLY;BYMONTHDAY=-1", "2026-11-30", "2027-02-28", "2027-03-31"),
        ("FREQ=MONTHLY;INTERVAL=999", "2026-11-30", "2026-12-01", "2110-02-28"),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=-1", "2028-02-29", "2031-03-01", "2032-02-29"),
        ("FREQ=YEARLY;INTERVAL=999", "2026-11-30", "2026-11-30", None),
        ("FREQ=DAILY;COUNT=2", "2023-11-30", "2026-11-30", "2026-12-01"),
        ("FREQ=DAILY;COUNT=1", "2026-11-30", "2026-11-30", None),
        ("FREQ=DAILY;UNTIL=20261201", "2026-11-30", "2026-11-30", "2026-12-01"),
        ("FREQ=DAILY;UNTIL=20261201", "2026-11-30", "2026-12-01", None),
        ("FREQ=DAILY;UNTIL=20261201", "2026-12-01", "2026-11-30", None),
    ],
)
def test_the_next_date(value: str, due: str, today: str, following: str | None) -> None:
    """After today and after the day it was due."""
    with guarded():
        found = next_date(parse(value), on(due), on(today))
    assert found == (following and on(following))


@pytest.mark.parametrize(
    ("value", "due", "today", "following"),
    [
        ("FREQ=DAILY;INTERVAL=3", "2026-11-30", "2026-11-30", "2026-12-03"),
        ("FREQ=DAILY;INTERVAL=3", "2023-01-01", "2026-11-30", "2026-12-03"),
        ("FREQ=DAILY;INTERVAL=3", "2026-12-20", "2026-11-30", "2026-12-03"),
        ("FREQ=DAILY", "2026-12-01", "2026-11-30", "2026-12-02"),  # it doesn't stay where it is
        ("FREQ=WEEKLY;INTERVAL=2", "2026-11-30", "2026-12-04", "2026-12-18"),
        ("FREQ=MONTHLY", "2026-01-05", "2027-01-31", "2027-02-28"),
        ("FREQ=MONTHLY", "2027-02-28", "2027-02-28", "2027-03-28"),
        ("FREQ=YEARLY", "2026-01-05", "2028-02-29", "2029-02-28"),
        ("FREQ=DAILY;INTERVAL=3;COUNT=1", "2026-11-30", "2026-11-30", None),
        ("FREQ=DAILY;INTERVAL=3;UNTIL=20261202", "2026-11-30", "2026-11-30", None),
    ],
)
def test_counted_from_when_it_is_done(
    value: str, due: str, today: str, following: str | None
) -> None:
    """The day of the tick decides."""
    found = next_date(parse(value), on(due), on(today), done=True)
    assert found == (following and on(following))


def test_the_next_five_from_when_it_is_done() -> None:
    """As if it were done on the day each time; what is late, today."""
    monthly = parse("FREQ=MONTHLY")
    january = on("2027-01-31")
    said = [str(day) for day in next_five(monthly, january, january - DAY, done=True)]
    assert said == ["2027-01-31", "2027-02-28", "2027-03-28", "2027-04-28", "2027-05-28"]
    late = next_five(parse("FREQ=DAILY;INTERVAL=3"), on("2020-01-01"), MONDAY, done=True, most=2)
    assert late == [MONDAY + 3 * DAY, MONDAY + 6 * DAY]


def test_how_many_are_left() -> None:
    """A tick takes one, undo gives it back, and what has no COUNT stays."""
    assert with_count("FREQ=DAILY;COUNT=10;INTERVAL=2", -1) == "FREQ=DAILY;COUNT=9;INTERVAL=2"
    assert with_count("FREQ=DAILY;COUNT=9", 1) == "FREQ=DAILY;COUNT=10"
    assert with_count("FREQ=DAILY;INTERVAL=2", -1) == "FREQ=DAILY;INTERVAL=2"


@pytest.mark.parametrize(
    ("value", "today", "first"),
    [
        ("FREQ=DAILY", "2026-11-30", "2026-11-30"),
        ("FREQ=MONTHLY", "2027-01-31", "2027-01-31"),
        ("FREQ=WEEKLY;BYDAY=SU", "2026-11-30", "2026-12-06"),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29", "2026-11-30", "2028-02-29"),
        ("FREQ=MONTHLY;BYDAY=-1FR;COUNT=1", "2026-11-30", "2026-12-25"),
    ],
)
def test_the_first_date(value: str, today: str, first: str) -> None:
    """Of a todo that has a rule, but no date."""
    assert repeats.first_date(value, on(today)) == on(first)


def test_no_first_date() -> None:
    """Of a rule that has none, or had its last."""
    for value in ("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30", "FREQ=DAILY;UNTIL=20200101", "x"):
        with guarded(), pytest.raises(Invalid, match="Repeats must be"):
            repeats.first_date(value, MONDAY)


@pytest.mark.parametrize(
    ("zone", "due", "hour", "instants"),
    [
        # 2:30 isn't on the 8th: an hour later, once.
        (NEW_YORK, "2026-03-07", "02:30", ["07T07:30", "08T07:30", "09T06:30"]),
        (NEW_YORK, "2026-10-31", "01:30", ["31T05:30", "01T05:30", "02T06:30"]),
        (LISBON, "2026-03-28", "01:30", ["28T01:30", "29T01:30", "30T00:30"]),
        (LISBON, "2026-10-24", "01:30", ["24T00:30", "25T00:30", "26T01:30"]),
        (LORD_HOWE, "2026-10-03", "02:15", ["02T15:45", "03T15:45", "04T15:15"]),
        (LORD_HOWE, "2026-04-04", "01:45", ["03T14:45", "04T14:45", "05T15:15"]),
        (EAST, "2026-12-31", "00:00", ["30T10:00", "31T10:00", "01T10:00"]),
        (WEST, "2026-12-31", "23:59", ["01T11:59", "02T11:59", "03T11:59"]),
    ],
)
def test_the_time_stays_when_clocks_change(
    zone: str, due: str, hour: str, instants: list[str]
) -> None:
    """Each day has it once."""
    days = next_five(parse("FREQ=DAILY"), on(due), on(due) - DAY, most=3)
    found = [Due(day, time.fromisoformat(hour), zone).instant() for day in days]
    assert [f"{instant:%dT%H:%M}" for instant in found if instant] == instants


# Random rules, against a plain enumeration


def enumerated(value: str, start: date, days: int) -> list[date]:
    """Return a rule's dates as RFC 5545 3.3.10 tells, by looking at one day after another."""
    said = dict(part.split("=") for part in value.split(";"))
    freq, interval = said["FREQ"], int(said.get("INTERVAL", "1"))
    months = [int(each) for each in said.get("BYMONTH", "").split(",") if each]
    month_days = [int(each) for each in said.get("BYMONTHDAY", "").split(",") if each]
    weekdays = [each for each in said.get("BYDAY", "").split(",") if each]
    open_day = freq != "DAILY" and not month_days and not weekdays
    if open_day and freq == "YEARLY" and not months:
        months = [start.month]

    def fits(day: date) -> bool:
        last = monthrange(day.year, day.month)[1]
        if months and day.month not in months:
            return False
        if open_day and freq == "WEEKLY":
            return day.weekday() == start.weekday()
        if open_day:
            clamps = freq == "MONTHLY" or len(months) == 1
            return day.day == (min(start.day, last) if clamps else start.day)
        if month_days and not {day.day, day.day - last - 1} & {*month_days}:
            return False
        if not weekdays:
            return True
        name = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")[day.weekday()]
        number, size = day.day, last
        if freq == "YEARLY" and not months:
            number, size = day.timetuple().tm_yday, date(day.year, 12, 31).timetuple().tm_yday
        return bool(
            {name, f"{(number + 6) // 7}{name}", f"-{(size - number) // 7 + 1}{name}"} & {*weekdays}
        )

    def period(day: date) -> int:
        if freq in ("DAILY", "WEEKLY"):
            monday = start - start.weekday() * DAY
            return (day - start).days if freq == "DAILY" else (day - monday).days // 7
        years = day.year - start.year
        return years if freq == "YEARLY" else 12 * years + day.month - start.month

    found: dict[int, list[date]] = {}
    end = start + days * DAY
    day = date(start.year - 1, 12, 1)
    while day <= date(end.year, 12, 31) + 7 * DAY:
        if period(day) >= 0 and period(day) % interval == 0 and fits(day):
            found.setdefault(period(day), []).append(day)
        day += DAY
    if "BYSETPOS" in said:
        places = [int(each) for each in said["BYSETPOS"].split(",")]
        found = {
            number: [d for n, d in enumerate(group) if {n + 1, n - len(group)} & {*places}]
            for number, group in found.items()
        }
    return [day for number in sorted(found) for day in found[number] if start <= day <= end]


def rules(some: Any) -> Any:
    """Return Hypothesis' strategy for rules that may be parsed; many have few dates, or none."""

    def listed(values: Any, most: int) -> Any:
        lists = some.lists(values, min_size=1, max_size=most, unique=True)
        return some.none() | lists.map(lambda found: ",".join(map(str, found)))

    def parts(freq: str) -> Any:
        weekday = some.sampled_from(["MO", "TU", "WE", "TH", "FR", "SA", "SU"])
        if freq in ("MONTHLY", "YEARLY"):
            most = 5 if freq == "MONTHLY" else 53
            number = some.sampled_from([1, 2, 4, 5, most, -1, -2, -most])
            weekday |= some.builds("{}{}".format, number, weekday)
        month_day = some.integers(1, 31) | some.sampled_from([-1, -2, -29, -31, 29, 30, 31])
        position = some.sampled_from([1, 2, 3, 5, 31, 366, -1, -2, -5])
        return some.fixed_dictionaries(
            {
                "FREQ": some.just(freq),
                "INTERVAL": some.integers(1, 4) | some.integers(1, 999),
                "BYMONTH": listed(some.integers(1, 12), 4),
                "BYMONTHDAY": some.none() if freq == "WEEKLY" else listed(month_day, 6),
                "BYDAY": listed(weekday, 5),
                "BYSETPOS": listed(position, 3),
            }
        )

    def text(parts: dict[str, Any]) -> str:
        if not parts["BYMONTHDAY"] and not parts["BYDAY"]:
            parts["BYSETPOS"] = None
        if "53" in (parts["BYDAY"] or ""):
            parts["BYMONTH"] = None
        return ";".join(f"{name}={value}" for name, value in parts.items() if value)

    freqs = some.sampled_from(["DAILY", "WEEKLY", "MONTHLY", "YEARLY"])
    return freqs.flatmap(parts).map(text)


SPAN = 1100  # days: three years, and more than are searched for a daily rule's next date


def test_random_rules(hypothesis: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """No date is left out, none is there twice, and the search for the next one ends."""
    some = hypothesis.strategies
    searched: list[int] = []
    days_of = repeats.days_of
    monkeypatch.setattr(
        repeats, "days_of", lambda rule, period: searched.append(period) or days_of(rule, period)
    )
    days = some.dates(date(1970, 1, 1), date(2190, 12, 31))
    ends = some.sampled_from(["2024-02-29", "2026-12-31", "2027-01-31", "2026-04-30", "2096-02-29"])

    # Making a failure smaller takes minutes.
    phases = [each for each in hypothesis.Phase if each is not hypothesis.Phase.shrink]

    @hypothesis.settings(max_examples=1000, deadline=None, phases=phases)
    @hypothesis.given(rules(some), days | ends.map(on), some.integers(-400, SPAN))
    def compare(value: str, start: date, later: int) -> None:
        rule, after, end = parse(value), start + later * DAY, start + SPAN * DAY
        expected = [day for day in enumerated(value, start, SPAN) if day > after]
        found: list[date] = []
        since = max(start, after)
        with guarded():
            for day in repeats.dates(rule, start, after):
                if day is None or day > end:
                    break
                found.append(day)
        missing = expected[len(found) :]
        assert found == expected[: len(found)]
        if missing:
            since = max([since, *found])
            step = {"DAILY": 1, "WEEKLY": 7, "MONTHLY": 28, "YEARLY": 365}[rule.freq] * DAY
            assert missing[0] - since > (repeats.CANDIDATES - 2) * rule.interval * step
        searched.clear()
        with guarded():
            following = next_date(rule, start, after)
        assert len(searched) <= repeats.CANDIDATES
        first = next((day for day in found if day > start), None)
        assert following == first or (first is None and following and following > end)

    compare()


def test_any_text_is_a_rule_or_refused(hypothesis: Any) -> None:
    """Also of letters that rules are made of."""
    some = hypothesis.strategies
    pieces = [*repeats.PARTS, *repeats.WEEKDAYS, "DAILY", "MONTHLY", "YEARLY", "=", ";", ",", "-"]
    made = some.lists(
        some.sampled_from([*pieces, "1", "2", "0", "9", "T", "Z"]) | some.text(max_size=2)
    )

    @hypothesis.settings(max_examples=500, deadline=None)
    @hypothesis.given(made.map("".join), some.sampled_from([MONDAY, on("2028-02-29")]))
    def store(value: str, day: date) -> None:
        with guarded():
            try:
                stored = clean(value, Due(day))
            except Invalid as refused:
                assert refused.field == "repeat"
            else:
                assert clean(stored, Due(day)) == stored

    store()


# The form


@pytest.mark.parametrize(
    ("form", "value"),
    [
        (Form(), ""),
        (Form("daily"), "FREQ=DAILY"),
        (Form("daily", "3"), "FREQ=DAILY;INTERVAL=3"),
        (Form("weekday"), "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR"),
        (Form("weekly", "1", ("MO", "TH")), "FREQ=WEEKLY;BYDAY=MO,TH"),
        (Form("weekly", "2", ("SU",), times="4"), "FREQ=WEEKLY;INTERVAL=2;BYDAY=SU;COUNT=4"),
        (Form("monthly", day="5"), "FREQ=MONTHLY;BYMONTHDAY=5"),
        (Form("monthly", "2", day="-1"), "FREQ=MONTHLY;INTERVAL=2;BYMONTHDAY=-1"),
        (Form("monthly", day="29"), "FREQ=MONTHLY;BYMONTHDAY=28,29;BYSETPOS=-1"),
        (Form("monthly", day="30"), "FREQ=MONTHLY;BYMONTHDAY=28,29,30;BYSETPOS=-1"),
        (Form("nth", nth="2", weekday="MO"), "FREQ=MONTHLY;BYDAY=2MO"),
        (Form("nth", nth="-1", weekday="FR"), "FREQ=MONTHLY;BYDAY=-1FR"),
        (Form("yearly"), "FREQ=YEARLY"),
        (Form("yearly", "2", until="2030-12-31"), "FREQ=YEARLY;INTERVAL=2;UNTIL=20301231"),
    ],
)
def test_a_form_and_its_rule(form: Form, value: str) -> None:
    """The one gives the other, and back, and the rule may be stored."""
    assert rule_of(form) == value
    if value:
        assert form_of(parse(value), MONDAY) == form
        due = Due(on("2026-11-23"))
        assert clean(value, due) == value


@pytest.mark.parametrize(
    ("form", "value"),
    [
        (Form("weekly"), "FREQ=WEEKLY"),
        (Form("weekday", "3", ("SU",)), "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR"),
        (Form("monthly"), "FREQ=MONTHLY"),
        (Form("monthly", day="31"), "FREQ=MONTHLY;BYMONTHDAY=-1"),
        (Form("daily", "", day="5", nth="2", weekday="MO"), "FREQ=DAILY"),
    ],
)
def test_what_a_form_leaves_to_the_day(form: Form, value: str) -> None:
    """And fields of other kinds don't count."""
    assert rule_of(form) == value


@pytest.mark.parametrize(
    ("value", "start", "form"),
    [
        ("FREQ=WEEKLY", "2026-11-30", Form("weekly", weekdays=("MO",))),
        ("FREQ=MONTHLY", "2026-11-05", Form("monthly", day="5")),
        ("FREQ=MONTHLY", "2026-01-31", Form("monthly", day="-1")),
        ("FREQ=MONTHLY", "2026-01-30", Form("monthly", day="30")),
        ("FREQ=MONTHLY;BYDAY=TU;BYSETPOS=3", "2026-11-30", Form("nth", nth="3", weekday="TU")),
        ("FREQ=YEARLY;BYMONTH=11;BYMONTHDAY=30", "2026-11-30", Form("yearly")),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=-1", "2028-02-29", Form("yearly")),
        ("FREQ=YEARLY;BYMONTH=11;BYMONTHDAY=30", "2026-11-29", Form("other")),
        ("FREQ=MONTHLY;BYMONTHDAY=31", "2026-01-31", Form("other")),
        ("FREQ=MONTHLY;BYMONTHDAY=1,15", "2026-11-30", Form("other")),
        ("FREQ=MONTHLY;BYDAY=MO", "2026-11-30", Form("other")),
        ("FREQ=MONTHLY;BYDAY=1MO,3MO", "2026-11-30", Form("other")),
        ("FREQ=MONTHLY;BYMONTH=3;BYMONTHDAY=5", "2026-11-30", Form("other")),
        ("FREQ=WEEKLY;BYMONTH=3", "2026-11-30", Form("other")),
        ("FREQ=DAILY;BYDAY=SA;COUNT=2", "2026-11-30", Form("other", times="2")),
        ("FREQ=YEARLY;BYDAY=20MO", "2026-11-30", Form("other")),
    ],
)
def test_which_form_says_a_rule(value: str, start: str, form: Form) -> None:
    """One that has the same dates; if there is none, other."""
    assert form_of(parse(value), on(start)) == form


@pytest.mark.parametrize(
    "form",
    [
        Form("hourly"),
        Form("other"),
        Form("FREQ=DAILY"),
        Form("daily", "0"),
        Form("daily", "1000"),
        Form("daily", "\u0663"),
        Form("daily", "9" * 10_000),
        Form("weekly", weekdays=("XX",)),
        Form("weekly", weekdays=("MO",) * 1000),
        Form("weekly", weekdays=("1MO",)),
        Form("monthly", day="0"),
        Form("monthly", day="32"),
        Form("nth"),
        Form("nth", nth="6", weekday="MO"),
        Form("daily", times="0"),
        Form("daily", times="1", until="2027-01-01"),
    ],
)
def test_a_form_that_says_no_rule(form: Form) -> None:
    """Is refused as the rule is."""
    assert refusal(rule_of(form)) == REFUSED


def test_a_form_that_ends_on_no_day() -> None:
    """It says how to write one."""
    for until in ("2027-02-30", "9999-12-31", "31/12/2027", "x" * 10_000):
        with guarded(), pytest.raises(Invalid) as refused:
            rule_of(Form("daily", until=until))
        assert refused.value.field == "repeat" and refused.value.reason != REFUSED


# Words


@pytest.mark.parametrize(
    ("value", "english", "portuguese", "french"),
    [
        ("FREQ=DAILY", "every day", "todos os dias", "tous les jours"),
        ("FREQ=DAILY;INTERVAL=3", "every 3 days", "a cada 3 dias", "tous les 3 jours"),
        ("FREQ=WEEKLY", "every Wednesday", "toda quarta", "chaque mercredi"),
        ("FREQ=WEEKLY;BYDAY=SA", "every Saturday", "todo sábado", "chaque samedi"),
        (
            "FREQ=DAILY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=1",
            "every weekday",
            "de segunda a sexta",
            "du lundi au vendredi",
        ),
        (
            "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,TU,WE,TH,FR",
            "every 2 weeks on weekdays",
            "a cada 2 semanas, de segunda a sexta",
            "toutes les 2 semaines, du lundi au vendredi",
        ),
        (
            "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR",
            "every weekday",
            "de segunda a sexta",
            "du lundi au vendredi",
        ),
        (
            "FREQ=WEEKLY;BYDAY=MO,TH",
            "every week on Mondays and Thursdays",
            "toda semana, às segundas e às quintas",
            "chaque semaine, le lundi et le jeudi",
        ),
        (
            "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,SA",
            "every 2 weeks on Mondays and Saturdays",
            "a cada 2 semanas, às segundas e aos sábados",
            "toutes les 2 semaines, le lundi et le samedi",
        ),
        (
            "FREQ=MONTHLY;BYMONTHDAY=5",
            "every month on the 5th",
            "no dia 5 de cada mês",
            "le 5 de chaque mois",
        ),
        (
            "FREQ=MONTHLY;INTERVAL=2;BYMONTHDAY=1,22,-1,-3",
            "every 2 months on the 1st, the 22nd, the 3rd from the end, and the last day",
            "a cada 2 meses, no dia 1º, no dia 22, no dia 3 a contar do fim e no último dia",
            "tous les 2 mois, le 1er, le 22, le 3 en partant de la fin et le dernier jour",
        ),
        (
            "FREQ=MONTHLY;BYMONTHDAY=28,29,30;BYSETPOS=-1",
            "every month on the 30th or the last day",
            "no dia 30 ou no último dia de cada mês",
            "le 30 ou le dernier jour de chaque mois",
        ),
        (
            "FREQ=MONTHLY;BYDAY=SA;BYSETPOS=1",
            "every month on the 1st Saturday",
            "no 1º sábado de cada mês",
            "le 1er samedi de chaque mois",
        ),
        (
            "FREQ=MONTHLY;BYDAY=2MO,-1FR,-2SU",
            "every month on the 2nd Monday, the 2nd Sunday from the end, and the last Friday",
            "na 2ª segunda, no 2º domingo a contar do fim e na última sexta de cada mês",
            "le 2e lundi, le 2e dimanche en partant de la fin et le dernier vendredi"
            " de chaque mois",
        ),
        (
            "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1",
            "every month on the last weekday",
            "no último dia útil de cada mês",
            "le dernier jour ouvré de chaque mois",
        ),
        (
            "FREQ=MONTHLY;BYDAY=MO,TU;BYSETPOS=1,-1",
            "every month on Mondays and Tuesdays, only the 1st and the last of these days",
            "às segundas e às terças de cada mês, só o 1º e o último desses dias",
            "le lundi et le mardi de chaque mois, seulement le 1er et le dernier de ces jours",
        ),
        (
            "FREQ=YEARLY",
            "every year on 27 January",
            "todo ano, em 27 de janeiro",
            "chaque année le 27 janvier",
        ),
        (
            "FREQ=YEARLY;INTERVAL=2;BYMONTH=5;BYMONTHDAY=1",
            "every 2 years on 1 May",
            "a cada 2 anos, em 1º de maio",
            "tous les 2 ans le 1er mai",
        ),
        (
            "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=-1",
            "every year on the last day of February",
            "todo ano, no último dia de fevereiro",
            "chaque année en février, le dernier jour",
        ),
        (
            "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",  # which is refused in the end
            "every year on the 30th of February",
            "todo ano, no dia 30 de fevereiro",
            "chaque année en février, le 30",
        ),
        (
            "FREQ=YEARLY;BYMONTHDAY=11",
            "every year on the 11th of each month",
            "todo ano, no dia 11 de cada mês",
            "chaque année, le 11 de chaque mois",
        ),
        (
            "FREQ=YEARLY;BYDAY=20MO,53TU",
            "every year on the 20th Monday and the 53rd Tuesday",
            "todo ano, na 20ª segunda e na 53ª terça",
            "chaque année, le 20e lundi et le 53e mardi",
        ),
        (
            "FREQ=DAILY;BYMONTHDAY=13;BYDAY=FR;BYMONTH=3,8",
            "every day, only on the 13th, only on Fridays, in March and August",
            "todos os dias, só no dia 13, só às sextas, em março e agosto",
            "tous les jours, seulement le 13, seulement le vendredi, en mars et août",
        ),
    ],
)
def test_a_rule_in_words(value: str, english: str, portuguese: str, french: str) -> None:
    """As people say it, whatever the rule."""
    due = Due(on("2027-01-27"))
    for language, said in (("en", english), ("pt_BR", portuguese), ("fr", french)):
        assert words(parse(value), due, translator(language), language) == said


def test_a_rule_in_words_with_a_time_and_an_end() -> None:
    """By the clock and the grammar of each language."""

    def said(language: str, value: str, hour: str, *, done: bool = False) -> str:
        due = Due(MONDAY, time.fromisoformat(hour), LISBON)
        return words(parse(value), due, translator(language), language, done=done)

    assert said("en", "FREQ=WEEKLY", "09:00") == "every Monday at 9:00"
    assert said("pt_BR", "FREQ=WEEKLY", "09:00") == "toda segunda, às 9h"
    assert said("pt_BR", "FREQ=WEEKLY", "01:30") == "toda segunda, à 1h30"
    assert said("fr", "FREQ=WEEKLY", "09:30") == "chaque lundi à 9\u00a0h\u00a030"
    until = "FREQ=DAILY;UNTIL=20270501"
    assert said("en", until, "09:00") == "every day at 9:00, until 1 May 2027"
    assert said("pt_BR", until, "09:00") == "todos os dias, às 9h, até 1º de maio de 2027"
    assert said("fr", until, "09:00") == "tous les jours à 9\u00a0h, jusqu\u2019au 1er mai 2027"
    assert said("en", "FREQ=DAILY;COUNT=1", "09:00") == "every day at 9:00, 1 time"
    assert said("fr", "FREQ=DAILY;COUNT=2", "09:00") == "tous les jours à 9\u00a0h, 2 fois"
    done = said("en", "FREQ=DAILY;INTERVAL=3", "09:00", done=True)
    assert done == "every 3 days at 9:00, counted from when it is done"


def test_every_rule_is_said_and_stored_or_refused(hypothesis: Any) -> None:
    """Also one that no form says and that has no date; what is stored has the same dates."""
    some = hypothesis.strategies

    @hypothesis.settings(max_examples=100, deadline=None)
    @hypothesis.given(rules(some), some.dates(date(1970, 1, 1), date(2200, 12, 31)))
    def say(value: str, start: date) -> None:
        rule = parse(value)
        for language in ("en", "pt_BR", "fr"):
            said = words(rule, Due(start), translator(language), language)
            assert said and "{" not in said
        form = form_of(rule, start)
        if form.kind != "other":
            assert repeats.settled(parse(rule_of(form)), start) == repeats.settled(rule, start)
        with guarded():
            try:
                stored = parse(clean(value, Due(start)))
            except Invalid as refused:
                assert refused.reason == REFUSED
            else:
                assert next_five(stored, start, start - DAY) == next_five(rule, start, start - DAY)

    say()
