"""Today and Upcoming: what is due in all lists, in the reader's zone, live, and over midnight."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import app  # noqa: F401  which fills what extras add
from checks.support.browser import Window, live, see, until
from checks.support.disk import build
from checks.support.programs import Program
from checks.support.servers import CLUSTERS, Server
from checks.support.visitors import PASSWORD, Visitor, alerts, join
from checks.test_when import EAST, LISBON, TOKYO, WEST, When, day
from models import due, lists, members, today, todos
from models.database import db
from models.errors import NotFound

YORK, LORD_HOWE = "America/New_York", "Australia/Lord_Howe"


class Days(When):
    """A database in which Ann has several lists; and it is an instant of choice."""

    def be(self, now: str) -> None:
        """Let it be an instant in UTC."""
        super().be(now)
        self.patch.setattr(today, "moment", due.moment)

    def put(self, title: str, **fields: Any) -> None:
        """Let Ann add a todo with these fields to the list `to`, or to her first."""
        seen = self.do(lists.get_for, self.ann, fields.pop("to", self.list), "change")
        self.do(todos.insert, self.ann, seen, [{"title": title, **fields}])

    def shown(self, name: str = "today", number: int = 1) -> dict[str, list[str]]:
        """Return the titles that Ann sees under each heading."""
        groups = self.do(today.read, self.ann, name, number).groups
        return {str(day): [item.row.title for item in some] for day, some in groups.items()}

    def counts(self) -> tuple[int, int]:
        """Return what stands beside the links to both."""
        counts: tuple[int, int] = self.do(today.counts, self.ann)
        return counts


@pytest.fixture
def days(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Days]:
    """Such a database."""
    days = Days(tmp_path / "people.db", monkeypatch)
    yield days
    days.store.close()


@pytest.mark.engine
def test_the_order(days: Days) -> None:
    """Overdue by day; today by time, then by list and order; done and undated are left out."""
    other = days.do(lists.create, days.ann, "Casa")
    days.put("second list", to=other, due="2026-12-01")
    days.put("all day", due="2026-12-01")
    days.put("late", due="2026-12-01", due_time="23:00")
    days.put("early", to=other, due="2026-12-01", due_time="13:00")
    days.put("over", due="2026-12-01", due_time="12:00")  # just now
    days.put("older", to=other, due="2026-11-01")
    days.put("yesterday", due="2026-11-30")
    days.put("done", due="2026-11-30", completed=True)
    days.put("tomorrow", due="2026-12-02")
    assert days.shown() == {
        "None": ["older", "yesterday", "over"],
        "2026-12-01": ["early", "late", "all day", "second list"],
    }
    assert days.shown("upcoming") == {"2026-12-02": ["tomorrow"]}
    assert days.counts() == (7, 1)


@pytest.mark.engine
def test_upcoming(days: Days) -> None:
    """A heading for each of fourteen days that has something; what is later is below the last."""
    for away in (0, 1, 14, 15):
        days.put(f"{away}", due=str(date(2026, 12, 1) + timedelta(away)))
    days.put("at nine", due="2026-12-15", due_time="09:00")
    assert days.shown("upcoming") == {
        "2026-12-02": ["1"],
        "2026-12-15": ["at nine", "14"],
        str(date.max): ["15"],
    }
    assert days.counts() == (1, 3)  # of the days that have headings


@pytest.mark.engine
@pytest.mark.parametrize(
    ("zone", "now", "last", "first"),
    [  # the last instant of a day somewhere, and the first of the next
        (EAST, "2026-12-31T10:00:00", "2026-12-31T09:59:59", "2027-01-01"),  # UTC+14
        (WEST, "2027-01-01T12:00:00", "2027-01-01T11:59:59", "2027-01-01"),  # UTC-12
        (LISBON, "2028-02-29T00:00:00", "2028-02-28T23:59:59", "2028-02-29"),
        (LISBON, "2026-03-29T23:00:00", "2026-03-29T22:59:59", "2026-03-30"),  # an hour less
        (LISBON, "2026-10-26T00:00:00", "2026-10-25T23:59:59", "2026-10-26"),  # an hour more
        (YORK, "2026-03-09T04:00:00", "2026-03-09T03:59:59", "2026-03-09"),
        (YORK, "2026-11-02T05:00:00", "2026-11-02T04:59:59", "2026-11-02"),
        (LORD_HOWE, "2026-04-05T13:30:00", "2026-04-05T13:29:59", "2026-04-06"),  # half an hour
        (LORD_HOWE, "2026-10-04T13:00:00", "2026-10-04T12:59:59", "2026-10-05"),
        (LISBON, "2026-12-01T00:00:00", "2026-11-30T23:59:59", "2026-12-01"),  # a month's end
    ],
)
def test_a_day_begins(days: Days, zone: str, now: str, last: str, first: str) -> None:
    """At the reader's midnight, wherever, whatever the clocks do that day; not a second before."""
    days.ann = days.ann._replace(timezone=zone)
    days.put("new", due=first)
    days.put("old", due=str(date.fromisoformat(first) - timedelta(1)))
    days.be(last)
    assert list(days.shown().values()) == [["old"]] and days.counts() == (1, 1)
    before = days.do(today.read, days.ann, "today", 1)
    assert before.turn == datetime.fromisoformat(f"{now}+00:00")
    days.be(now)
    assert days.shown() == {"None": ["old"], first: ["new"]} and days.counts() == (2, 0)
    assert days.do(today.read, days.ann, "today", 1).digest != before.digest


@pytest.mark.engine
def test_what_others_have_put_in_their_zones(days: Days) -> None:
    """A time is an instant: a day earlier here, a day later there."""
    days.put("far east", due="2026-12-02", due_time="01:00", due_zone=TOKYO)  # 16:00 here
    days.put("far west", due="2026-12-01", due_time="23:00", due_zone=WEST)  # 11:00 tomorrow
    assert days.shown() == {"2026-12-01": ["far east"]}
    assert days.shown("upcoming") == {"2026-12-02": ["far west"]}
    assert days.counts() == (1, 1)
    digest = days.do(today.read, days.ann, "today", 1).digest
    days.be("2026-12-01T16:00:00")
    assert days.shown() == {"None": ["far east"]}
    assert days.do(today.read, days.ann, "today", 1).digest != digest


@pytest.mark.engine
def test_zones_that_are_two_days_apart(days: Days) -> None:
    """It is shown on the reader's day, up to 26 hours away from the writer's."""
    days.ann = days.ann._replace(timezone="Pacific/Pago_Pago")
    days.be("2026-12-02T10:00:00")  # 1 December, 23:00 there
    days.put("party", due="2026-12-03", due_time="00:30", due_zone=EAST)  # 23:30 there
    assert days.shown() == {"2026-12-01": ["party"]} and days.counts() == (1, 0)
    days.ann = days.ann._replace(timezone=EAST)
    days.be("2026-12-01T10:30:00")  # 2 December there
    days.put("call", due="2026-12-01", due_time="23:30", due_zone="Pacific/Pago_Pago")
    assert days.shown("upcoming") == {"2026-12-03": ["party", "call"]}
    assert days.counts() == (0, 2)


@pytest.mark.engine
def test_a_zone_that_changes_while_a_todo_waits(days: Days) -> None:
    """Moving moves no date: it is only read on another day."""
    days.put("party", due="2026-12-02")
    days.put("call", due="2026-12-01", due_time="22:00")
    assert days.shown() == {"2026-12-01": ["call"]}
    days.ann = days.ann._replace(timezone=TOKYO)  # 21:00; the call is at 7:00 tomorrow
    assert days.shown() == {} and days.shown("upcoming") == {"2026-12-02": ["call", "party"]}


@pytest.mark.engine
def test_only_what_one_may_read(days: Days) -> None:
    """Lists one has joined are there, those left, deleted or others' are not."""
    days.put("mine", due="2026-12-01")
    theirs = days.do(lists.mine, days.cy)[0].id
    seen = days.do(lists.get_for, days.cy, theirs, "change")
    days.do(todos.insert, days.cy, seen, [{"title": "Cy's", "due": "2026-12-01"}])
    of_ann = days.ann
    assert days.shown() == {"2026-12-01": ["mine"]}
    for who, title in ((days.ed, ["mine"]), (days.bob, ["mine"]), (days.cy, ["Cy's"])):
        days.ann = who._replace(timezone=LISBON)
        assert days.shown() == {"2026-12-01": title} and days.counts() == (1, 0)
    days.ann = of_ann
    days.do(members.remove, days.ann, days.list, "bob")
    days.do(lists.delete, days.ann, days.list)
    for who in (of_ann, days.ed, days.bob):
        days.ann = who
        assert days.do(today.counts, who) == (0, 0)
        found = days.do(today.read, who, "today", 1)
        assert found is None or not found.groups


@pytest.mark.engine
def test_pages_of_very_many(days: Days) -> None:
    """Each row is on one of them."""
    seen = days.do(lists.get_for, days.ann, days.list, "change")
    many = [{"title": f"{n:03}", "due": "2026-11-30"} for n in range(today.SIZE + 1)]
    days.do(todos.insert, days.ann, seen, many)
    first, second = (days.do(today.read, days.ann, "today", number) for number in (1, 2))
    assert (first.more, second.more) == (True, False)
    assert days.shown(number=2) == {"None": [f"{today.SIZE:03}"]}
    assert sum(map(len, first.groups.values())) == today.SIZE


@pytest.mark.engine
def test_adding(days: Days) -> None:
    """To the first list that one may change; nothing typed adds nothing."""
    days.do(today.add, days.ann, "tea", "2026-12-01")
    days.do(today.add, days.ann, "  ", "2026-12-01")
    assert days.shown() == {"2026-12-01": ["tea"]}
    bob = days.do(lists.mine, days.bob)[0]
    days.do(lists.delete, days.bob, bob.id)  # he may only read the other
    with pytest.raises(NotFound):
        days.do(today.add, days.bob, "tea", "2026-12-01")


@pytest.mark.engine
def test_they_are_found_by_an_index(days: Days) -> None:
    """So that what isn't due, or of others, costs nothing."""

    def plan(query: Any) -> str:
        sql, params = query.query.sql()
        params = [1 if p == "person" else p for p in params]
        if CLUSTERS:
            db.obj.execute_sql("SET LOCAL enable_seqscan = off")
            return str(db.obj.execute_sql(f"EXPLAIN {sql}", params).fetchall())
        return str(db.obj.execute_sql(f"EXPLAIN QUERY PLAN {sql}", params).fetchall())

    for query in (today.PLACES, today.COUNTS):
        found = days.do(plan, query)
        assert "todo_list_id_due" in found and "SCAN todo" not in found


# ------------------------------------------------------------------------------------ pages


def rows(visitor: Visitor, path: str = "/today") -> list[str]:
    """Return the titles on a page."""
    return re.findall(r'data-title="(.*?)"', visitor.get(path).text)


@pytest.mark.engine
def test_the_page_without_script(server: Server) -> None:
    """Rows with their list beside, the verbs of any row, new todos, and the way back here."""
    ann = Visitor(server, "ann")
    ann.sign_up(timezone=LISBON)
    program = Program(server, ann.name)
    casa = program.post("/lists", {"name": "Casa 🏡"}).json()["id"]
    path = f"/lists/{casa}/todos"
    milk = program.post(path, {"title": "milk", "due": day(0, LISBON)}).json()["id"]
    program.post(path, {"title": "rent", "due": day(3, LISBON)})
    assert ann.post("/today", title="tea", back="/today").headers["Location"] == "/today"
    page = ann.get("/today").text
    assert rows(ann) == ["tea", "milk"] and "Casa 🏡</a>" in page
    assert 'class="grip"' not in page and "Move to top" not in page
    assert re.findall(r'href="/(today|upcoming)".*?<small> ?(\d*)<', page) == [
        ("today", "2"),
        ("upcoming", "1"),
    ]
    assert ann.post(f"/todos/{milk}/complete", back="/today").headers["Location"] == "/today"
    page = ann.get("/today").text
    assert rows(ann) == ["tea"] and "Completed “milk”" in page
    change = re.search(r'formaction="/undo" name="change" value="(\d+)"', page)
    assert change and ann.post("/undo", change=change[1], back="/today").status_code == 303
    assert rows(ann) == ["tea", "milk"]
    edit = ann.get(f"/today?edit={milk}").text
    assert 'class="editor"' in edit and 'name="back" value="/today"' in edit
    assert ann.post(f"/todos/{milk}", title="oat milk", put="tomorrow", back="/today").ok
    assert rows(ann) == ["tea"] and rows(ann, "/upcoming") == ["oat milk", "rent"]
    later = ann.post("/upcoming", title="later", due="2100-01-01")
    assert later.headers["Location"] == "/upcoming"
    headings = re.findall("<h2>(.*?)</h2>", ann.get("/upcoming").text)
    assert headings[0] == "Tomorrow" and headings[-1] == "Later" and len(headings) == 3


@pytest.mark.engine
def test_what_is_refused(server: Server, ann: Visitor) -> None:
    """By a sentence, with what was typed; strangers log in first; who has no list makes one."""
    answer = ann.post("/upcoming", title="tea", due="2026-02-30")
    assert answer.status_code == 422 and 'value="tea"' in answer.text
    assert alerts(answer.text) == ["This day isn't in the calendar: 2026-02-30."]
    answer = ann.post("/today", title="x" * 1001)
    assert answer.status_code == 422 and "x" * 1001 in answer.text
    assert rows(ann) == [] and "Nothing is due today." in ann.get("/today").text
    for path in ("/today?page=0", "/today?page=x", "/upcoming?page=9", "/today?edit=x"):
        assert ann.get(path).status_code == 200
    assert ann.get("/today?page=1&page=2").status_code == 400
    assert "/login?next=%2Ftoday" in Visitor(server, "nobody").get("/today").headers["Location"]
    ann.post(f"/lists/{ann.list}/delete")
    assert ann.get("/today").headers["Location"] == "/lists"
    assert ann.post("/today", title="tea").status_code == 404


@pytest.mark.engine
def test_a_reader_of_a_list(server: Server, ann: Visitor, cy: Visitor) -> None:
    """Sees it on Today, and has no buttons for it; who has no zone is told so."""
    assert join(ann, cy, "viewer") == 303
    new = {"title": "milk", "due": day(-1), "repeat": "FREQ=WEEKLY"}
    milk = Program(server, ann.name).post("/todos", new).json()["id"]
    assert rows(cy) == ["milk"]
    todo = cy.get(f"/todos/{milk}").text
    assert "Yesterday, overdue</time>" in todo and "<p>every " in todo and "<select" not in todo
    page = cy.get("/today").text
    assert 'class="toggle"' not in page and "Your days begin at midnight in UTC." in page
    cy.post("/account", timezone=LISBON)
    assert "Your days begin" not in cy.get("/today").text


@pytest.mark.engine
def test_an_unchanged_page_answers_304(server: Server, ann: Visitor) -> None:
    """And another list's change is another page."""
    program = Program(server, ann.name)
    other = program.post("/lists", {"name": "Casa"}).json()["id"]
    script = {"X-Fragment": "rows"}
    tag = ann.get("/today", headers=script).headers["ETag"]
    assert ann.get("/today", headers=script | {"If-None-Match": tag}).status_code == 304
    program.post(f"/lists/{other}/todos", {"title": "tea", "due": day(0)})
    again = ann.get("/today", headers=script | {"If-None-Match": tag})
    assert again.status_code == 200 and "tea" in again.text


# ----------------------------------------------------------------------------------- live


@pytest.fixture
def open_today(browser: Any, ann: Visitor) -> Iterator[Callable[..., Window]]:
    """Open windows of Ann's, on Today unless told otherwise."""
    windows = []

    def open_window(path: str = "/today", **options: Any) -> Window:
        context = browser.new_context(viewport={"width": 1200, "height": 700}, **options)
        window = Window(context, ann)
        with window.leaving():
            window.page.goto(ann.server.url + path)
        windows.append(window)
        live(window)
        return window

    yield open_window
    for window in windows:
        window.close()


def test_it_is_live(server: Server, ann: Visitor, open_today: Callable[..., Window]) -> None:
    """Whichever list changes, also one that is joined while it is open, or left."""
    window = open_today()
    program = Program(server, ann.name)
    program.post("/todos", {"title": "mine", "due": day(0)})
    see(window, "mine")
    bob = Visitor(server, "bob")
    bob.sign_up()
    of_bob = Program(server, bob.name)
    of_bob.post("/todos", {"title": "Bob's", "due": day(0)})
    assert join(bob, ann) == 303
    see(window, "mine", "Bob's")
    of_bob.post("/todos", {"title": "another", "due": day(0)})
    see(window, "mine", "Bob's", "another")
    until(window.page, "document.querySelector('.side small').textContent.trim() === '3'")
    assert bob.post(f"/lists/{bob.list}/members/{ann.name}/remove").status_code == 303
    see(window, "mine")


def test_by_keys_alone(ann: Visitor, open_today: Callable[..., Window]) -> None:
    """A date on a row, there and back again, ticked, undone; the caret never lost."""
    window = open_today(f"/lists/{ann.list}")
    page, keys = window.page, window.page.keyboard
    window.write("milk", "bread")
    window.shows("milk", "bread")
    page.locator(".todo-list .toggle").first.focus()
    keys.press("t")
    assert page.evaluate("document.activeElement.name") == "due"
    page.fill(".editor [name=due]", day(0))
    keys.press("Enter")
    until(page, "document.querySelector('.due.today')?.textContent === 'Today'")
    with window.leaving():
        keys.press("g")
        keys.press("t")
    live(window)
    see(window, "milk")
    keys.press("n")
    window.write("tea")
    see(window, "milk", "tea")
    window.settle()
    page.locator(".todo-list .toggle").first.focus()
    keys.press("d")
    see(window, "tea")
    window.said("Completed “milk”")
    window.settle()
    keys.press("z")
    see(window, "milk", "tea")
    with window.leaving():
        keys.press("g")
        keys.press("u")
    assert page.url.endswith("/upcoming")


def test_the_buttons_of_an_open_row(ann: Visitor, open_today: Callable[..., Window]) -> None:
    """Today, Tomorrow and No date store it at once; leaving the row stores what was picked."""
    window = open_today(f"/lists/{ann.list}")
    page = window.page
    window.write("milk")
    window.shows("milk")
    for name, chip in (("Tomorrow", "Tomorrow"), ("Today", "Today"), ("No date", None)):
        page.click(".rename")
        page.click(".when summary")
        page.click(f".editor button:text-is('{name}')")
        want = f"'{chip}'" if chip else "undefined"
        until(page, f"document.querySelector('.todo-list .due')?.textContent == {want}")
        window.settle()
    page.click(".rename")
    page.click(".when summary")
    page.fill(".editor [name=due]", day(1))
    page.fill(".editor [name=due_time]", "18:30")
    page.click("h1")
    until(page, "document.querySelector('.todo-list .due')?.textContent === 'Tomorrow 18:30'")


def test_a_page_open_over_midnight(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: Callable[..., Server], browser: Any
) -> None:
    """What was due is overdue, what was tomorrow's is today's: without a reload."""
    setting = tmp_path / "set-by"
    midnight = datetime(2028, 2, 29, tzinfo=UTC)
    ahead = int((midnight - datetime.now(UTC)).total_seconds()) - 8
    setting.write_text(str(ahead))
    monkeypatch.setenv("LD_PRELOAD", str(build("clock.c", tmp_path)))
    monkeypatch.setenv("CLOCK_SET_BY", str(setting))
    server = start()
    ann = Visitor(server, "ann")
    ann.sign_up()
    program = Program(server, ann.name)
    program.post("/todos", {"title": "leap", "due": "2028-02-29"})
    program.post("/todos", {"title": "over", "due": "2028-02-28"})
    context = browser.new_context()
    window = Window(context, ann)
    window.page.clock.install(time=datetime.now(UTC) + timedelta(seconds=ahead))
    with window.leaving():
        window.page.goto(f"{server.url}/today")
    live(window)
    see(window, "over")  # eight seconds before it
    see(window, "over", "leap")
    assert window.page.locator(".due").all_text_contents() == ["Yesterday, overdue", "Today"]
    window.close()
    server.stop()


def test_the_next_dates_while_choosing(browser: Any, ann: Visitor) -> None:
    """They are there before anything is saved; so is why a repeat isn't possible."""
    ann.add("rent")
    window = Window(browser.new_context(), ann)
    with window.leaving():
        window.page.goto(f"{ann.server.url}/todos/{ann.find('rent')}")
    window.page.fill("#due", "2100-01-31")
    window.page.select_option("#repeat_kind", "monthly")
    until(window.page, "document.querySelectorAll('.dates .day').length === 5")
    days = window.page.locator(".dates .day").evaluate_all("days => days.map(d => d.dateTime)")
    assert days[:2] == ["2100-01-31", "2100-02-28"]
    window.page.locator(".repeat summary").click()
    window.page.fill("#every", "1000")
    until(window.page, "document.querySelector('.dates').textContent.includes('1 to 999')")
    window.page.fill("#every", "2")
    until(window.page, "document.querySelectorAll('.dates .day').length === 5")
    assert Program(ann.server, ann.name).get("/todos").json()[0]["repeat"] is None
    window.close()


def test_the_browser_says_its_zone(browser: Any, server: Server) -> None:
    """When someone signs up: nobody has to be asked."""
    context = browser.new_context(timezone_id=TOKYO)
    page = context.new_page()
    page.goto(f"{server.url}/signup")
    page.fill("[name=username]", "zoned")
    page.fill("[name=password]", PASSWORD)
    page.click("main button.primary")
    page.wait_for_url("**/lists/*")
    page.goto(f"{server.url}/account")
    assert page.input_value("#timezone") == TOKYO
    context.close()


def test_a_row_that_moves_while_it_is_edited(
    ann: Visitor, open_today: Callable[..., Window]
) -> None:
    """It leaves the page, as it isn't due any more; what was typed is saved to it."""
    program = Program(ann.server, ann.name)
    new = {"title": "water", "due": day(0), "repeat": "FREQ=DAILY"}
    water = program.post("/todos", new).json()["id"]
    window = open_today()
    window.page.click(".rename")
    window.page.fill(".edit", "water the plants")
    program.patch(f"/todos/{water}", {"due": day(3)})
    see(window)
    window.settle()
    assert program.get(f"/todos/{water}").json()["title"] == "water the plants"
    assert window.page.input_value(".new-todo") == ""
    assert window.page.locator("[role=alert]").count() == 0


def test_a_press_reaches_what_it_began_on(ann: Visitor, open_today: Callable[..., Window]) -> None:
    """Also when a tall row above it closes by it: it closes after the press."""
    ann.add("milk", "bread")
    window = open_today(f"/lists/{ann.list}")
    page = window.page
    page.click(f"{window.row(1)} .rename")
    page.click(".when summary")
    page.fill(".edit", "oat milk")
    page.click(f"{window.row(2)} .toggle")
    window.shows("oat milk", "✓bread")
