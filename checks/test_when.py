"""When todos are due and how they repeat: what is stored, told in history and taken back."""

import asyncio
import json
import re
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

import app  # noqa: F401  which fills what extras add
from checks.support.database import Database
from checks.support.programs import Program
from checks.support.servers import CLUSTERS, Server
from checks.support.visitors import Form, Visitor, alerts, join
from controllers import due as pages
from models import due, history, lists, recurrence, todos
from models.database import db
from models.errors import Invalid
from models.tables import Change, Person, Todo

pytestmark = pytest.mark.engine
COLUMNS = [getattr(Todo, name) for name in todos.DATED]
LISBON, TOKYO = "Europe/Lisbon", "Asia/Tokyo"
EAST, WEST = "Pacific/Kiritimati", "Etc/GMT+12"
WRONG_ZONE = "There is no time zone “Europe/Berln”."


class When(Database):
    """A database in which Ann, who lives in Lisbon, has one todo; and it is a day of choice."""

    def __init__(self, path: Path, patch: pytest.MonkeyPatch) -> None:
        super().__init__(path)
        self.patch = patch
        self.ann = self.ann._replace(timezone=LISBON)
        (self.todo,) = self.add("water the plants")
        self.be("2026-12-01T12:00:00")

    def be(self, now: str) -> None:
        """Let it be an instant in UTC."""
        self.patch.setattr(due, "moment", lambda: datetime.fromisoformat(f"{now}+00:00"))

    def edit(self, **fields: Any) -> None:
        """Let Ann change the todo."""
        self.do(todos.edit, self.ann, self.todo, **fields)

    def now(self) -> tuple[Any, ...]:
        """Return the day, the time, the zone, from what it repeats, and how."""
        return self.do(lambda: Todo.select(*COLUMNS).where(Todo.id == self.todo).tuples().get())

    def told(self) -> tuple[str, str]:
        """Return the verb of the last change, and the sentence about it."""

        def read() -> tuple[str, str]:
            record = history.page(self.ann, self.list, 0, 1)[1][0]
            return record.verb, record.message(lambda one, several="", n=1: one)

        return self.do(read)

    def rows(self) -> list[dict[str, Any]]:
        """Return what the last change holds of the todo before and after, beside its name."""
        change = self.do(self.last_change)
        rows = [json.loads(each)[0] for each in (change.before, change.after)]
        return [{k: v for k, v in r.items() if k not in ("id", "title", "version")} for r in rows]

    def last_change(self) -> Any:
        """Return it; a unit of work."""
        return Change.select().order_by(Change.id.desc()).get()

    def open(self) -> bool:
        """Return whether the todo is to be done."""
        return self.do(lambda: Todo.get_by_id(self.todo).completed_at) is None


@pytest.fixture
def when(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[When]:
    """Such a database."""
    when = When(tmp_path / "people.db", monkeypatch)
    yield when
    when.store.close()


def test_a_date_and_what_goes_along(when: When) -> None:
    """A time is in the writer's zone; a new day keeps it; without a date all of it is gone."""
    when.edit(due="2026-12-31")
    assert when.now() == ("2026-12-31", None, None, None, None)
    assert when.told() == ("schedule", "Rescheduled “water the plants”")
    assert when.rows() == [{"due": None}, {"due": "2026-12-31"}]
    when.edit(due_time="09:00")
    assert when.now() == ("2026-12-31", "09:00", LISBON, None, None)
    when.edit(due="2027-01-02")
    assert when.now() == ("2027-01-02", "09:00", LISBON, None, None)
    when.edit(due_zone=TOKYO)
    when.edit(repeat="FREQ=DAILY", repeat_from="done")
    assert when.now() == ("2027-01-02", "09:00", TOKYO, "done", "FREQ=DAILY")
    assert when.told() == ("repeat", "Changed how “water the plants” repeats")
    whole = {"due": "2027-01-02", "due_time": "09:00", "due_zone": TOKYO}
    whole |= {"repeat_from": "done", "repeat": "FREQ=DAILY"}
    when.edit(due="", due_time="09:00", repeat="FREQ=DAILY")  # as a form sends what it shows
    assert when.now() == (None,) * 5
    assert when.told() == ("unschedule", "Removed the date of “water the plants”")
    assert when.rows() == [whole, dict.fromkeys(whole)]
    when.undo()
    assert when.now() == (*whole.values(),)
    when.edit(due_time="")
    assert when.now() == ("2027-01-02", None, None, "done", "FREQ=DAILY")
    when.edit(repeat="")
    assert when.now() == ("2027-01-02", None, None, None, None)
    assert when.told() == ("unrepeat", "Stopped repeating “water the plants”")
    when.undo()
    assert when.now()[3:] == ("done", "FREQ=DAILY")
    when.edit(due="2027-01-03", title="read")
    assert when.told() == ("edit", "Changed “read”")


def test_a_whole_todo_leaves_out_what_is_not_set(when: When) -> None:
    """In change rows, too: they are the same."""
    access = when.page()[0]
    new = {"title": "tea", "due": "2026-12-24", "due_time": "", "repeat": "", "repeat_from": None}
    (made,) = when.do(lambda: todos.insert(when.ann, lists.get_for(when.ann, access.id), [new]))
    assert made["due"] == "2026-12-24" and not made.keys() & {*todos.DATED[1:], "assigned"}
    change = when.do(when.last_change)
    assert json.loads(change.after) == [made]


@pytest.mark.parametrize(
    ("fields", "field", "reason"),
    [
        ({"due": "tomorrow"}, "due", "Dates must be written like 2026-12-31."),
        ({"due": "2027-02-30"}, "due", "This day isn't in the calendar: 2027-02-30."),
        ({"due_time": "09:00"}, "due_time", "A time needs a date."),
        ({"due": "2026-12-31", "due_zone": "Europe/Berln"}, "due_zone", "There is no time zone"),
        ({"repeat": "FREQ=HOURLY"}, "repeat", "Repeats must be every 1 to 999"),
        ({"repeat": "x" * 10_000}, "repeat", "Repeats must be every 1 to 999"),
        ({"due": "2026-12-31", "repeat": "FREQ=DAILY;UNTIL=20261230"}, "repeat", "This repeat"),
        ({"repeat": "FREQ=DAILY", "repeat_from": "then"}, "repeat_from", "This must be due or"),
    ],
)
def test_what_is_refused(when: When, fields: dict[str, str], field: str, reason: str) -> None:
    """For the field that it is about; and nothing is stored."""
    with pytest.raises(Invalid) as refused:
        when.edit(**fields)
    assert refused.value.field == field
    assert refused.value.message(lambda text: text).startswith(reason)
    assert when.now() == (None,) * 5
    with pytest.raises(Invalid):
        when.edit(due="2026-12-31", repeat="FREQ=DAILY;UNTIL=20270101")
        when.edit(due="2027-01-02")  # after its end


def test_a_repeat_without_a_date(when: When) -> None:
    """Begins on its first from the writer's today."""
    when.be("2026-12-01T23:30:00")
    when.ann = when.ann._replace(timezone=TOKYO)  # where it is the 2nd
    when.edit(repeat="FREQ=WEEKLY;BYDAY=TU,WE")
    assert when.now() == ("2026-12-02", None, None, "due", "FREQ=WEEKLY;BYDAY=TU,WE")
    when.edit(due="2026-12-31", repeat="FREQ=MONTHLY")
    assert when.now()[4] == "FREQ=MONTHLY;BYMONTHDAY=-1"
    when.edit(repeat="FREQ=MONTHLY;BYMONTHDAY=15")
    when.edit(repeat="FREQ=YEARLY", due="2028-02-29")
    assert when.now()[4] == "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=-1"


def test_ticking_what_repeats(when: When) -> None:
    """It is due next then, and open; Undo takes both back. Ticked for the same day, it is once."""
    when.edit(due="2026-11-03", due_time="09:00", repeat="FREQ=WEEKLY;COUNT=3")
    when.do(todos.complete, when.ann, when.todo, due="2026-11-03")
    assert when.open() and when.now()[::4] == ("2026-12-08", "FREQ=WEEKLY;COUNT=2")
    assert when.told() == ("complete", "Completed “water the plants”")
    assert when.rows() == [
        {"due": "2026-11-03", "repeat": "FREQ=WEEKLY;COUNT=3"},
        {"due": "2026-12-08", "repeat": "FREQ=WEEKLY;COUNT=2"},
    ]
    assert when.page()[1].open == when.page()[0].open == 1
    version = when.page()[0].version
    when.do(todos.complete, when.ed, when.todo, due="2026-11-03")  # who saw it as it was
    assert when.page()[0].version == version
    when.undo()
    assert when.open() and when.now()[::4] == ("2026-11-03", "FREQ=WEEKLY;COUNT=3")
    when.do(todos.complete, when.ed, when.todo)
    when.be("2026-12-07T00:00:00")
    when.do(todos.complete, when.ed, when.todo, due="2026-12-08")  # early
    assert when.open() and when.now()[::4] == ("2026-12-15", "FREQ=WEEKLY;COUNT=1")
    when.do(todos.complete, when.ed, when.todo, due="2026-12-15")
    assert not when.open() and when.now()[::4] == ("2026-12-15", "FREQ=WEEKLY;COUNT=1")
    when.undo()
    assert when.open()
    when.edit(completed=True, repeat="")
    assert not when.open()


def test_counted_from_when_it_is_done(when: When) -> None:
    """And today is that of who ticks it."""
    when.edit(due="2026-11-03", repeat="FREQ=DAILY;INTERVAL=3", repeat_from="done")
    when.be("2026-12-01T20:00:00")
    when.do(todos.complete, when.ed._replace(timezone=TOKYO), when.todo)
    assert when.now()[0] == "2026-12-05"


def test_skipping(when: When) -> None:
    """Moves on without a completion, as long as there is a date."""
    with pytest.raises(Invalid):
        when.do(recurrence.skip, when.ann, when.todo)
    when.edit(due="2026-12-01", repeat="FREQ=DAILY;COUNT=2")
    when.do(recurrence.skip, when.ann, when.todo, "2026-11-30")
    assert when.now()[::4] == ("2026-12-01", "FREQ=DAILY;COUNT=2")
    when.do(recurrence.skip, when.ann, when.todo, "2026-12-01")
    assert when.now()[::4] == ("2026-12-02", "FREQ=DAILY;COUNT=1")
    assert when.told() == ("skip", "Skipped “water the plants”")
    with pytest.raises(Invalid):
        when.do(recurrence.skip, when.ann, when.todo)
    when.undo()
    assert when.now()[::4] == ("2026-12-01", "FREQ=DAILY;COUNT=2")


def test_completing_all(when: When) -> None:
    """Each row is as if ticked by itself; one change, and one Undo."""
    (other,) = when.add("read")
    when.edit(due="2026-12-01", repeat="FREQ=DAILY")
    when.do(todos.complete_all, when.ann, when.list, True)
    assert when.titles() == ["water the plants", "✓read"] and when.now()[0] == "2026-12-02"
    assert when.page()[0].open == 1
    when.undo()
    assert when.titles() == ["water the plants", "read"] and when.now()[0] == "2026-12-01"
    when.do(todos.complete, when.ann, other)
    when.do(todos.clear_completed, when.ann, when.list)
    assert when.titles() == ["water the plants"]


def test_what_comes_completed_stays_so(when: When) -> None:
    """A file may have it."""
    new = {"title": "tea", "completed": True, "due": "2026-12-24", "repeat": "FREQ=DAILY"}
    when.do(lambda: todos.insert(when.ann, lists.get_for(when.ann, when.list), [new]))
    assert when.titles() == ["water the plants", "✓tea"]


def test_open_dated_todos_are_found_by_an_index(when: When) -> None:
    """Of several lists at once; others cost nothing."""
    query = Todo.select(Todo.id).where(Todo.list.in_([1, when.list]), due.OPEN_AND_DUE)

    def plan() -> str:
        sql, params = query.sql()
        if CLUSTERS:
            db.obj.execute_sql("SET LOCAL enable_seqscan = off")
            return str(db.obj.execute_sql(f"EXPLAIN {sql}", params).fetchall())
        return str(db.obj.execute_sql(f"EXPLAIN QUERY PLAN {sql}", params).fetchall())

    assert "todo_list_id_due" in when.do(plan)


# ------------------------------------------------------------------------------- the account


def test_the_time_zone_of_an_account(server: Server) -> None:
    """The browser's at sign-up, if it is one that is known; another by the account page."""
    for typed, stored in ((LISBON, LISBON), ("Mars/Olympus", ""), ("", "")):
        ann = Visitor(server, "ann")
        assert ann.sign_up(timezone=typed).status_code == 303
        form = Form(ann.get("/account").text, "/account").fields
        assert form["timezone"] == stored
    answer = ann.post("/account", **form | {"timezone": "Europe/Berln"})
    assert (answer.status_code, alerts(answer.text)) == (422, [WRONG_ZONE])
    assert Form(answer.text, "/account").fields["timezone"] == "Europe/Berln"
    assert ann.post("/account", **form | {"timezone": TOKYO}).status_code == 303
    form = Form(ann.get("/account").text, "/account").fields
    assert form["timezone"] == TOKYO
    assert ann.post("/account", **form | {"timezone": ""}).status_code == 303
    assert Form(ann.get("/account").text, "/account").fields["timezone"] == ""


# ----------------------------------------------------------------------------------- the API


@pytest.fixture
def program(server: Server) -> Program:
    """A program of someone who lives in Lisbon."""
    ann = Visitor(server, "ann")
    ann.sign_up(timezone=LISBON)
    return Program(server, ann.name)


def test_dates_in_the_api(program: Program) -> None:
    """What isn't set is null; null takes it away."""
    milk = program.post("/todos", {"title": "milk"}).json()
    unset = {*todos.DATED, "assigned", "completed_at"}
    assert {name for name in milk if milk[name] is None} == unset
    fields = {"due": "2026-12-31", "due_time": "09:00", "repeat": "FREQ=MONTHLY"}
    made = program.post("/todos", {"title": "rent", **fields}).json()
    stored = fields | {"repeat": "FREQ=MONTHLY;BYMONTHDAY=-1", "repeat_from": "due"}
    assert made == made | stored | {"due_zone": LISBON}
    assert program.get(made["url"]).json() == made
    assert program.patch(made["url"], made).json() == made  # what one has got may be sent
    assert program.get("/todos").json() == [milk, made]
    ticked = program.patch(made["url"], {"completed": True}).json()
    assert not ticked["completed"] and ticked["due"] == "2027-01-31"
    skipped = program.post(f"/todos/{made['id']}/skip", None)
    assert skipped.json()["due"] == "2027-02-28"
    assert skipped.headers["ETag"] == program.get(made["url"]).headers["ETag"]
    told = program.get(f"/lists/{made['list']}/changes").json()[-2:]
    assert [change["verb"] for change in told] == ["complete", "skip"]
    free = program.patch(made["url"], {"due": None, "assigned": None}).json()
    assert {name for name in free if free[name] is None} == unset
    assert program.post(f"/todos/{made['id']}/skip", None).status_code == 422
    old = {"If-Match": skipped.headers["ETag"]}
    assert program.post(f"/todos/{made['id']}/skip", None, headers=old).status_code == 412
    done = program.patch(milk["url"], {"completed": True}).json()
    assert done["completed_at"].startswith("20")


def test_asking_what_a_repeat_says(program: Program) -> None:
    """In words, with its next dates; nothing is stored."""
    monday = {"repeat": "FREQ=WEEKLY", "due": "2026-12-07", "due_time": "09:00"}
    answer = program.post("/repeat", monday | {"after": "2026-12-07", "count": 2})
    assert answer.json() == {
        "repeat": "FREQ=WEEKLY",
        "words": "every Monday at 9:00",
        "next": ["2026-12-14", "2026-12-21"],
    }
    french = program.post("/repeat", monday, headers={"Accept-Language": "fr"}).json()
    assert "lundi" in french["words"]
    assert len(french["next"]) == 5
    for wrong, field in (
        ({"repeat": "FREQ=MINUTELY"}, "repeat"),
        ({"repeat": "FREQ=DAILY;INTERVAL=0"}, "repeat"),
        ({"due": "2026-02-30"}, "due"),
        ({"due": None}, "due"),
        ({"due_zone": "Europe/Berln"}, "due_zone"),
        ({"repeat_from": "then"}, "repeat_from"),
        ({"after": "tomorrow"}, "after"),
        ({"count": 51}, "count"),
    ):
        answer = program.post("/repeat", monday | wrong)
        assert answer.status_code == 422 and answer.json()["errors"][0]["field"] == field, wrong


# ------------------------------------------------------------------------------- on the page


def chips(visitor: Visitor, path: str = "") -> list[str]:
    """Return the chips on the rows of someone's list: their class, machine's form, and words."""
    page = visitor.get(path or f"/lists/{visitor.list}").text
    return re.findall(r'<time class="(due.*?)" datetime="(.*?)".*?>(.*?)</time>', page)


def day(away: int, zone: str = "UTC") -> str:
    """Return the day that is so far from today."""
    return str((datetime.now(ZoneInfo(zone)) + timedelta(away)).date())


def test_chips(server: Server) -> None:
    """The day beside the title, in words; what is over says so; what is done says its day."""
    ann = Visitor(server, "ann")
    ann.sign_up()
    program = Program(server, ann.name)
    for away in (-1, 0, 1):
        program.post("/todos", {"title": f"{away}", "due": day(away)})
    program.post("/todos", {"title": "then", "due": "2100-01-01", "due_time": "09:00"})
    program.post("/todos", {"title": "done", "due": "2025-01-03", "completed": True})
    program.post("/todos", {"title": "undated"})
    assert chips(ann) == [
        ("due overdue", day(-1), "Yesterday, overdue"),
        ("due today", day(0), "Today"),
        ("due", day(1), "Tomorrow"),
        ("due", "2100-01-01T09:00:00Z", "1 Jan 2100 9:00"),
        ("due", "2025-01-03", "3 Jan 2025"),
    ]


def test_chips_are_for_the_readers_zone(server: Server) -> None:
    """Who read it before lives elsewhere: it is another day there, and another hour."""
    east, west = Visitor(server, "ann"), Visitor(server, "cy")
    east.sign_up(timezone=EAST)
    west.sign_up(timezone=WEST)
    assert join(east, west) == 303
    path = f"/lists/{east.list}"
    program = Program(server, east.name)
    program.post("/todos", {"title": "party", "due": day(0, EAST)})
    for _ in range(2):
        assert chips(east)[0][2] == "Today" and chips(west, path)[0][2] != "Today"
    program.patch(
        program.get("/todos").json()[0]["url"], {"due": "2100-01-02", "due_time": "00:00"}
    )
    for _ in range(2):
        assert chips(east)[0][2] == "2 Jan 2100 0:00"
        assert chips(west, path)[0][2] == "31 Dec 2099 22:00"  # 26 hours behind


def test_a_page_turns_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a page depends on differs as soon as something on it has turned; not before."""
    access = lists.ListAccess(7, "Casa", 3, 1, 1, "owner")
    timed = due.due_at("2026-12-01", "18:00", TOKYO)  # 9:00 in Lisbon
    states: list[list[str]] = []
    for dues in ([], [due.due_at("2026-12-01", None, None)], [timed]):
        handler = handler_of(dues, LISBON)
        told = []
        for now in ("2026-12-01T00:00", "08:59:59", "09:00", "23:59:59", "2026-12-02T00:00"):
            now = now if "T" in now else f"2026-12-01T{now}"
            instant = datetime.fromisoformat(f"{now}+00:00")
            monkeypatch.setattr(pages, "moment", lambda instant=instant: instant)
            told.append(asyncio.run(pages.state(handler, access)))
        states.append(told)
    none, days, times = states
    assert none == [""] * 5
    assert days == ["2026-12-01"] * 4 + ["2026-12-02"]
    assert len({*times}) == 3 and times[0] == times[1] and times[2] == times[3]
    assert all(LISBON in state for state in times)


class AnApp:
    """What stands for the application."""

    def __init__(self, lookups: Any) -> None:
        self.lookups = lookups


def handler_of(dues: list[Any], zone: str) -> Any:
    """Return what stands for a handler of someone there, with a list in which that is due."""

    async def lookups(unit: Any, list_id: int) -> list[Any]:
        return dues

    return SimpleNamespace(app=AnApp(lookups), current_user=Person(1, "ann", timezone=zone))


def test_a_page_with_dates_answers_304(server: Server) -> None:
    """As long as nothing has turned."""
    ann = Visitor(server, "ann")
    ann.sign_up()
    Program(server, ann.name).post("/todos", {"title": "tea", "due": day(0)})
    path, rows = f"/lists/{ann.list}", {"X-Fragment": "rows"}
    tag = ann.get(path, headers=rows).headers["ETag"]
    assert ann.get(path, headers=rows | {"If-None-Match": tag}).status_code == 304


def test_ticking_says_the_next_date(server: Server) -> None:
    """With Undo; and who ticks the row as it was drawn before does nothing."""
    ann = Visitor(server, "ann")
    ann.sign_up()
    new = {"title": "rent", "due": "2100-01-01", "repeat": "FREQ=MONTHLY"}
    rent = Program(server, ann.name).post("/todos", new).json()
    path = f"/lists/{ann.list}"
    button = re.search(r'<button class="toggle".*?>', ann.get(path).text)
    assert button and 'name="due" value="2100-01-01"' in button[0]
    for _ in range(2):
        assert ann.post(f"/todos/{rent['id']}/complete", due="2100-01-01").status_code == 303
        assert "Done. Next: Mon 1 Feb 2100" in ann.get(path).text
        assert not ann.rows()[0].completed
    change = re.search(r'name="change" value="(\d+)"', ann.get(path).text)
    assert change and ann.post("/undo", change=change[1]).status_code == 303
    assert chips(ann)[0][1] == "2100-01-01"
    assert ann.post(f"/todos/{rent['id']}/skip", due="2100-01-01").status_code == 303
    assert "Skipped. Next: Mon 1 Feb 2100" in ann.get(path).text


# --------------------------------------------------------------------------- the todo's page


@pytest.fixture
def tea(server: Server) -> tuple[Visitor, str]:
    """Someone, and the page of a todo of theirs."""
    ann = Visitor(server, "ann")
    ann.sign_up()
    ann.add("tea")
    return ann, f"/todos/{ann.find('tea')}"


def test_the_form_for_a_date(tea: tuple[Visitor, str]) -> None:
    """What is typed, or a button; what is refused comes back beside its field, as it was."""
    ann, page = tea
    form = Form(ann.get(page).text, page).fields
    assert ann.post(page, **form | {"due": "2100-01-03", "due_time": "09:00"}).status_code == 303
    assert chips(ann) == [("due", "2100-01-03T09:00:00Z", "3 Jan 2100 9:00")]
    monday = next(day(n) for n in range(1, 8) if date.fromisoformat(day(n)).weekday() == 0)
    for put, stored in (("today", day(0)), ("tomorrow", day(1)), ("next week", monday)):
        form = Form(ann.get(page).text, page).fields
        assert ann.post(page, **form | {"put": put}).status_code == 303
        form = Form(ann.get(page).text, page).fields
        assert (form["due"], form["due_time"]) == (stored, "09:00")
    assert ann.post(page, **form | {"put": "none"}).status_code == 303
    assert chips(ann) == []
    form = Form(ann.get(page).text, page).fields
    for typed in ({"due_time": "09:00"}, {"due": "30/2/2027"}, {"due": "2027-02-30"}):
        answer = ann.post(page, **form | typed | {"notes": "kept"})
        shown = Form(answer.text, page).fields
        assert answer.status_code == 422 and len(alerts(answer.text)) == 1
        assert shown == shown | typed | {"notes": "kept"}
    first = re.search(r"<form id=\"whole\".*?(<button.*?>)", ann.get(page).text, re.S)
    assert first and first[1] == "<button hidden>", "Enter would press another"


def test_the_form_for_a_repeat(tea: tuple[Visitor, str]) -> None:
    """Its next dates are shown before it is saved; saving something else leaves it as it is."""
    ann, page = tea
    form = Form(ann.get(page).text, page).fields
    typed = {"due": "2100-01-04", "repeat_kind": "weekly", "on_MO": "on", "on_TH": "on"}
    shown = ann.post(page, **form | typed | {"preview": "1"})
    assert shown.status_code == 200 and chips(ann) == []
    days = ["2100-01-04", "2100-01-07", "2100-01-11", "2100-01-14", "2100-01-18"]
    assert re.findall(r'<time class="day" datetime="(2100.*?)">', shown.text) == days
    form = Form(shown.text, page).fields
    assert form == form | typed
    assert ann.post(page, **form).status_code == 303
    program = Program(ann.server, ann.name)
    (tea_now,) = program.get("/todos").json()
    assert tea_now["repeat"] == "FREQ=WEEKLY;BYDAY=MO,TH"
    program.patch(tea_now["url"], {"repeat": "FREQ=WEEKLY"})  # the form would say BYDAY=MO
    form = Form(ann.get(page).text, page).fields
    assert form["repeat_kind"] == "weekly" and form["on_MO"] == "on"
    assert ann.post(page, **form | {"notes": "green"}).status_code == 303
    assert program.get(tea_now["url"]).json()["repeat"] == "FREQ=WEEKLY"
    program.patch(tea_now["url"], {"repeat": "FREQ=DAILY;BYDAY=MO,TU"})
    text = ann.get(page).text
    form = Form(text, page).fields
    assert form["repeat_kind"] == "other" and "every day, only on Mondays and Tuesdays" in text
    assert ann.post(page, **form | {"notes": "black"}).status_code == 303
    assert program.get(tea_now["url"]).json()["repeat"] == "FREQ=DAILY;BYDAY=MO,TU"
    wrong = ann.post(page, **form | {"repeat_kind": "daily", "every": "0", "preview": "1"})
    assert wrong.status_code == 422 and "Repeats must be every 1 to 999" in alerts(wrong.text)[0]
    assert Form(wrong.text, page).fields["every"] == "0"
    assert ann.post(page, **form | {"repeat_kind": ""}).status_code == 303
    (now,) = program.get("/todos").json()
    assert (now["repeat"], now["repeat_from"], now["due"]) == (None, None, "2100-01-04")


def test_a_row_that_is_open(tea: tuple[Visitor, str]) -> None:
    """Has the date, too; what is refused comes back in the row."""
    ann, page = tea
    path = f"/lists/{ann.list}?edit={page.rpartition('/')[2]}"
    form = Form(ann.get(path).text, page).fields
    assert (form["title"], form["due"], form["due_time"]) == ("tea", "", "")
    assert ann.post(page, **form | {"due": "2100-01-03", "due_time": "09:00"}).status_code == 303
    assert chips(ann)[0][1] == "2100-01-03T09:00:00Z"
    form = Form(ann.get(path).text, page).fields
    assert (form["due"], form["due_time"]) == ("2100-01-03", "09:00")
    assert ann.post(page, **form | {"title": "mint", "put": "tomorrow"}).status_code == 303
    assert chips(ann)[0][1] == f"{day(1)}T09:00:00Z" and ann.rows()[0].title == "mint"
    wrong = ann.post(page, **form | {"due": "2027-02-30"})
    assert wrong.status_code == 422 and len(alerts(wrong.text)) == 1
    assert Form(wrong.text, page).fields == form | {"due": "2027-02-30"}
    assert ann.post(page, due="2100-01-05").status_code == 303  # meanwhile
    assert ann.post(page, **form | {"title": "thyme"}).status_code == 303
    assert chips(ann)[0][1] == "2100-01-05T09:00:00Z" and ann.rows()[0].title == "thyme"
    assert ann.post(page, **form | {"put": "none"}).status_code == 303
    assert chips(ann) == []


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=MONTHLY;BYDAY=-2MO",
        "FREQ=MONTHLY;BYMONTHDAY=-3",
        "FREQ=MONTHLY;BYMONTHDAY=-31",
        "FREQ=DAILY;UNTIL=99991231",
        "FREQ=MONTHLY;BYDAY=-1FR",
        "FREQ=MONTHLY;BYMONTHDAY=-1",
    ],
)
def test_saving_the_page_keeps_the_repeat(tea: tuple[Visitor, str], rule: str) -> None:
    """Also one that the form can't say: it is shown in words."""
    ann, path = tea
    program = Program(ann.server, ann.name)
    new = {"due": "2026-12-05", "repeat": rule}
    assert program.patch(f"/todos/{ann.find('tea')}", new).status_code == 200
    stored = program.get("/todos").json()[0]["repeat"]
    page = ann.get(path)
    assert page.status_code == 200
    assert ann.post(path, **Form(page.text, path).fields).status_code == 303
    assert program.get("/todos").json()[0]["repeat"] == stored
