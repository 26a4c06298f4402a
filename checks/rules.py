"""The rules of the models: who may do what, what it changes, and what it leaves to be read."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playhouse.schema_diff import diff_models
from playhouse.test_utils import count_queries

from checks.cast import ask
from models import lists, text, todos, tokens, users
from models.database import Doors, db, instant
from models.errors import Forbidden, Invalid, NotFound
from models.tables import Change, List, Member, Person, Session, Table, Todo

BROWSER = tokens.Browser("127.0.0.1", "a browser")


class House:
    """A database with Ann, who owns a list, Ed, who edits it, Bob, who reads it, and Cy."""

    def __init__(self, path: Path) -> None:
        self.doors = Doors(path)
        self.doors.open()
        self.ann, self.ed, self.bob, self.cy = (
            self.do(users.sign_up, name, None, None, "Things to do")
            for name in ("ann", "ed", "bob", "cy")
        )
        self.list = self.do(lists.mine, self.ann)[0].id
        for person, role in ((self.ed, "editor"), (self.bob, "viewer")):
            values = {"list": self.list, "user": person.id, "role": role, "position": 2}
            self.do(lambda values=values: Member.create(**values))

    def do(self, unit: Any, *args: Any) -> Any:
        """Run a unit of work and wait for it."""
        return ask(self.doors.write, unit, *args).result()

    def add(self, *titles: str) -> list[int]:
        """Let Ann add todos."""
        return [self.do(todos.add, self.ann, self.list, title) for title in titles]

    def changes(self) -> list[Any]:
        """Return the list's changes: version, verb, kind, who, before, after."""

        def unit() -> list[Any]:
            rows = Change.select().where(Change.list == self.list).order_by(Change.id)
            return [
                (
                    r.version,
                    r.verb,
                    r.kind,
                    r.user.username,
                    json.loads(r.before),
                    json.loads(r.after),
                )
                for r in rows
            ]

        return self.do(unit)

    def page(self, shown: str = "all") -> todos.Page:
        """Return the list as Ann sees it."""
        return self.do(todos.page, self.ann, self.list, shown)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A house of one's own."""
    house = House(tmp_path / "people.db")
    yield house
    house.doors.close()


def test_every_change_is_told(house: House) -> None:
    """One version, one row, whatever the number of todos; who, what, before, after."""
    milk, bread = house.add("milk", "bread")
    house.do(todos.complete, house.ed, milk)
    house.do(todos.complete_all, house.ann, house.list, True)
    house.do(todos.reopen, house.ann, bread)
    house.do(todos.rename, house.ann, bread, "rye bread")
    house.do(todos.clear_completed, house.ann, house.list)
    house.do(todos.delete, house.ann, bread)
    house.do(lists.rename, house.ann, house.list, "Casa")
    told = house.changes()
    assert [row[:4] for row in told] == [
        (1, "create", "list", "ann"),
        (2, "add", "todo", "ann"),
        (3, "add", "todo", "ann"),
        (4, "complete", "todo", "ed"),
        (5, "complete", "todo", "ann"),
        (6, "reopen", "todo", "ann"),
        (7, "rename", "todo", "ann"),
        (8, "clear", "todo", "ann"),
        (9, "delete", "todo", "ann"),
        (10, "rename", "list", "ann"),
    ]
    assert house.page().list.version == 10

    created = told[0][5]
    assert created == [{"id": house.list, "name": "Things to do", "version": 1}]
    ((before, after),) = zip(told[6][4], told[6][5], strict=True)
    assert before | {"title": "rye bread", "updated": after["updated"], "version": 7} == after
    assert before == told[5][5][0] and set(before) == {
        *("id", "list", "title", "notes", "completed", "order", "created", "updated", "version")
    }
    assert [row["completed"] for row in told[4][4] + told[4][5]] == [False, True]
    assert [row["id"] for row in told[7][4]] == [milk] and told[7][5] == []
    assert [row["name"] for row in told[9][4] + told[9][5]] == ["Things to do", "Casa"]


def test_what_changes_nothing_makes_no_version(house: House) -> None:
    """Saying again what is so already, or something about no todos."""
    (milk,) = house.add("milk")
    for unit, *args in (
        (todos.reopen, milk),
        (todos.rename, milk, " milk "),
        (todos.complete_all, house.list, False),
        (todos.clear_completed, house.list),
        (lists.rename, house.list, "Things to do"),
    ):
        house.do(unit, house.ann, *args)
    assert house.page().list.version == 2 == len(house.changes())


def test_a_refused_unit_leaves_nothing(house: House) -> None:
    """Neither a row nor a version."""
    for person, title, refusal in (
        (house.ann, "", Invalid),
        (house.bob, "milk", Forbidden),
        (house.cy, "milk", NotFound),
    ):
        with pytest.raises(refusal):
            house.do(todos.add, person, house.list, title)
    assert house.page().list.version == 1 == len(house.changes())
    assert house.page().rows == []


ACTIONS: dict[str, tuple[Any, str]] = {
    "read": (lambda h, p: todos.page(p, h.list), "viewer"),
    "find": (lambda h, p: todos.list_of(p, h.todo), "viewer"),
    "add": (lambda h, p: todos.add(p, h.list, "x"), "editor"),
    "complete": (lambda h, p: todos.complete(p, h.todo), "editor"),
    "reopen": (lambda h, p: todos.reopen(p, h.todo), "editor"),
    "rename": (lambda h, p: todos.rename(p, h.todo, "x"), "editor"),
    "delete": (lambda h, p: todos.delete(p, h.todo), "editor"),
    "complete all": (lambda h, p: todos.complete_all(p, h.list, True), "editor"),
    "clear": (lambda h, p: todos.clear_completed(p, h.list), "editor"),
    "rename the list": (lambda h, p: lists.rename(p, h.list, "x"), "owner"),
}


@pytest.mark.parametrize("action", ACTIONS)
def test_who_may_do_what(house: Any, action: str) -> None:
    """Each role may do what those before it may; a stranger learns nothing."""
    (house.todo,) = house.add("milk")
    unit, least = ACTIONS[action]
    cast = {"viewer": house.bob, "editor": house.ed, "owner": house.ann}
    with pytest.raises(NotFound):
        house.do(unit, house, house.cy)
    for role, person in cast.items():
        if lists.ROLES.index(role) < lists.ROLES.index(least):
            with pytest.raises(Forbidden):
                house.do(unit, house, person)
    house.do(unit, house, cast[least])


def test_a_deleted_todo_is_not_found(house: House) -> None:
    """Nor is anything of a deleted list."""
    milk, bread = house.add("milk", "bread")
    house.do(todos.delete, house.ann, milk)
    with pytest.raises(NotFound):
        house.do(todos.rename, house.ann, milk, "x")
    house.do(lambda: List.update(deleted_at=instant(datetime.now(UTC))).execute())
    for unit, number in ((todos.page, house.list), (todos.complete, bread)):
        with pytest.raises(NotFound):
            house.do(unit, house.ann, number)
    assert house.do(lists.mine, house.ann) == []


def test_order_and_filters(house: House) -> None:
    """New todos go to the end, also after one from the end was deleted; filters keep the order."""
    first, second, third = house.add("1", "2", "3")
    house.do(todos.delete, house.ann, third)
    house.add("4")
    house.do(todos.complete, house.ann, second)
    assert [row.title for row in house.page().rows] == ["1", "2", "4"]
    assert [row.title for row in house.page("active").rows] == ["1", "4"]
    assert house.page("completed")[1:] == ([(second, "2", True)], 2, 1)
    assert house.page().rows[0].id == first


def test_lists_are_in_their_own_order_and_counted(house: House) -> None:
    """Each with what is left to do; those of others stay out."""
    house.add("milk", "bread")
    house.do(todos.complete_all, house.ann, house.list, True)
    house.add("honey")
    second = house.do(lists.create, house.ann, "Second")
    mine = [tuple(entry) for entry in house.do(lists.mine, house.ann)]
    assert mine == [(house.list, "Things to do", "owner", 1), (second, "Second", "owner", 0)]
    assert [entry.role for entry in house.do(lists.mine, house.bob)] == ["owner", "viewer"]


def test_more_todos_need_no_more_queries(house: House) -> None:
    """The page asks for the list and for its rows; an added todo asks once and writes thrice."""
    for _ in range(2):
        house.add(*"abcdefghij")
        counts = house.do(count_page_and_add, house)
        assert counts == (2, 4)


def count_page_and_add(house: House) -> tuple[int, int]:
    """Count the queries of reading the page, and of adding a todo."""
    with count_queries() as reading:
        todos.page(house.ann, house.list)
    with count_queries() as adding:
        todos.add(house.ann, house.list, "one more")
    return reading.count, adding.count


@pytest.mark.parametrize("value", ["a\0b", "a\nb", "a\rb", "\x1b[31m", "\x7f", "a\ud800", "\udfff"])
def test_text_that_cannot_be_stored(value: str) -> None:
    """NUL, line ends, other control characters, and halves of surrogate pairs."""
    with pytest.raises(Invalid) as refused:
        text.line("title", value, 10)
    assert refused.value.field == "title"


def test_text_is_measured_in_characters() -> None:
    """Code points, whatever their size; and kept as typed."""
    assert (
        text.line("title", " \U0001f331" * 5 + "\t\u3000", 10) == "\U0001f331 " * 4 + "\U0001f331"
    )
    assert text.line("title", "e\u0301", 2) == "e\u0301"
    with pytest.raises(Invalid, match="too long"):
        text.line("title", "x" * 11, 10)
    with pytest.raises(Invalid) as refused:
        text.line("title", "x" * 2000, 1000)
    translated = refused.value.message(lambda reason: reason.replace("long", "longo"))
    assert translated == "This is too longo: at most 1,000 characters."


@pytest.mark.parametrize(
    ("typed", "stored"),
    [("Ann", "ann"), (" ann ", "ann"), ("\uff21nn", "ann"), ("a.b_c-9", "a.b_c-9"), ("7", "7")],
)
def test_names_have_one_form(typed: str, stored: str) -> None:
    """However they are typed."""
    assert users.clean_username(typed) == stored


def test_unknown_names_cost_the_same() -> None:
    """The stand-in has today's parameters, so that checking it takes as long."""
    assert not users.hasher.check_needs_rehash(users.NOBODY)
    assert not users.password_fits("anything", None)


def test_passwords() -> None:
    """Any characters, in either form of composition; the stored hash is argon2id."""
    stored = users.hash_password(" três lontras quiétas \U0001f9a6 ")
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert users.password_fits(" tre\u0302s lontras quie\u0301tas \U0001f9a6 ", stored)
    assert not users.password_fits("três lontras quiétas \U0001f9a6", stored)
    assert users.hash_password("ihrlqnx7wd")
    with pytest.raises(Invalid):
        users.hash_password("ihrlqnx7wd", "ann", "ihrlqnx7wd")


def test_a_session_ends(house: House) -> None:
    """When it is ended, after 14 days unused, and after 30 days whatever is done with it."""
    now = datetime.now(UTC)
    for created, last_seen, alive, stale in (
        (0, 0, True, False),
        (13, 0, True, False),
        (29.9, 13.9, True, True),
        (15, 14.1, False, False),
        (30.1, 0, False, False),
        (-1, -1, True, False),
    ):
        key = house.do(tokens.log_in, house.ann, BROWSER)
        values = {
            "created": instant(now - timedelta(days=created)),
            "last_seen": instant(now - timedelta(days=last_seen)),
        }
        mine = Session.hash == tokens.hash_of(key)
        house.do(lambda v=values, mine=mine: Session.update(v).where(mine).execute())
        expected = (house.ann, stale) if alive else None
        assert tokens.visit(house.doors.look, key) == expected, (created, last_seen)
    house.do(tokens.seen, key)
    house.do(tokens.log_out, key)
    assert tokens.visit(house.doors.look, key) is None


def test_a_key_is_not_stored(house: House) -> None:
    """Who reads the database can't log in with what they find."""
    key = house.do(tokens.log_in, house.ann, BROWSER)
    stored = b"".join(file.read_bytes() for file in house.doors.path.parent.glob("people.db*"))
    assert tokens.hash_of(key).encode() in stored and key.encode() not in stored


def test_logging_in_ends_the_session_before(house: House) -> None:
    """Of the same browser."""
    first = house.do(tokens.log_in, house.ann, BROWSER)
    second = house.do(tokens.log_in, house.ann, BROWSER, first)
    assert tokens.visit(house.doors.look, first) is None
    assert tokens.visit(house.doors.look, second).person == house.ann


def test_the_tables_are_what_the_upgrades_make(house: House) -> None:
    """`models/tables.py` and `models/upgrades/` say the same."""
    tables = [table for table in Table.__subclasses__() if table._meta.database is db]
    assert {table.__name__ for table in tables} >= {"User", "Session", "List", "Todo", "Change"}
    assert not any(house.do(diff_models, db.obj, tables))


def test_a_stranger_by_number(house: House) -> None:
    """Someone who does not exist owns nothing."""
    with pytest.raises(NotFound):
        house.do(todos.page, Person(10**17, "ghost"), house.list)
    assert house.do(lambda: Todo.select().count()) == 0
