"""The rules of the models: who may do what, what it changes, and what it leaves to be read."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from playhouse.schema_diff import diff_models

import app  # noqa: F401  which imports every table, and fills what extras add
from checks.support.database import BROWSER, ask
from checks.support.database import Database as House
from checks.support.servers import dump
from models import (
    accounts,
    api_resources,
    files,
    history,
    idempotency,
    invites,
    lists,
    members,
    messages,
    sessions,
    text,
    todos,
    users,
)
from models.clock import instant
from models.database import db
from models.errors import Conflict, Forbidden, Invalid, NotFound, Pruned, Quota
from models.idempotency import IdempotencyKey
from models.tables import Change, List, Person, Session, Table, Todo

pytestmark = pytest.mark.engine


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A house of one's own."""
    house = House(tmp_path / "people.db")
    yield house
    house.store.close()


def test_every_change_is_told(house: House) -> None:
    """One version, one row, whatever the number of todos; who, what, before, after."""
    milk, bread = house.add("milk", "bread")
    house.do(todos.complete, house.ed, milk)
    house.do(todos.complete_all, house.ann, house.list, True)
    house.do(todos.complete, house.ann, bread, False)
    house.do(todos.edit, house.ann, bread, title="rye bread")
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
    assert house.page()[0].version == 10

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
        (todos.complete, milk, False),
        (partial(todos.edit, title=" milk "), milk),
        (partial(todos.edit, title="milk", notes=" \r\n"), milk),
        (todos.move, milk, None),
        (todos.move, milk, milk),
        (todos.add, house.list),
        (todos.complete_all, house.list, False),
        (todos.clear_completed, house.list),
        (lists.rename, house.list, "Things to do"),
    ):
        house.do(unit, house.ann, *args)
    assert house.page()[0].version == 2 == len(house.changes())


def test_a_refused_unit_leaves_nothing(house: House) -> None:
    """Neither a row nor a version."""
    for person, title, refusal in (
        (house.ann, "", Invalid),
        (house.bob, "milk", Forbidden),
        (house.cy, "milk", NotFound),
    ):
        with pytest.raises(refusal):
            house.do(todos.add, person, house.list, title)
    assert house.page()[0].version == 1 == len(house.changes())
    assert house.page()[1].rows == []


ACTIONS: dict[str, tuple[Any, str]] = {
    "read": (lambda h, p: todos.rows(p, h.list), "viewer"),
    "find": (lambda h, p: todos.find(p, h.todo), "viewer"),
    "read the trash": (lambda h, p: todos.trash(p, h.list, 0, 9), "viewer"),
    "read the history": (lambda h, p: history.page(p, h.list, 0, 9), "viewer"),
    "add": (lambda h, p: todos.add(p, h.list, "x"), "editor"),
    "complete": (lambda h, p: todos.complete(p, h.todo), "editor"),
    "reopen": (lambda h, p: todos.complete(p, h.todo, False), "editor"),
    "rename": (lambda h, p: todos.edit(p, h.todo, title="x", notes="y"), "editor"),
    "delete": (lambda h, p: todos.delete(p, h.todo), "editor"),
    "restore": (lambda h, p: todos.restore(p, h.gone), "editor"),
    "move": (lambda h, p: todos.move(p, h.todo, None), "editor"),
    "undo": (lambda h, p: history.undo(p, h.last_change), "editor"),
    "complete all": (lambda h, p: todos.complete_all(p, h.list, True), "editor"),
    "clear": (lambda h, p: todos.clear_completed(p, h.list), "editor"),
    "read a part": (lambda h, p: api_resources.todos_after(p, h.list, (0, 0), 9), "viewer"),
    "read the changes": (lambda h, p: api_resources.changes_since(p, h.list, 0, 9), "viewer"),
    "read the messages": (lambda h, p: messages.page(p, h.list, 0, 9), "viewer"),
    "see who shares it": (lambda h, p: members.every(p, h.list), "viewer"),
    "take it as a file": (lambda h, p: files.one(p, h.list, "json"), "viewer"),
    "take in a file": (
        lambda h, p: files.store(p, [files.Sheet("", [{"title": "x"}])], h.list, "x"),
        "editor",
    ),
    "delete every todo": (lambda h, p: api_resources.delete_todos(p, h.list), "editor"),
    "assign": (lambda h, p: todos.edit(p, h.todo, assigned="ann"), "editor"),
    "read the last messages": (lambda h, p: messages.latest(p, h.list, None, 9), "viewer"),
    "make a link": (lambda h, p: invites.invite(p, h.list, "viewer"), "owner"),
    "end a link": (lambda h, p: invites.revoke(p, h.list, h.link), "owner"),
    "say something": (lambda h, p: messages.say(p, h.list, "x"), "editor"),
    "share it": (lambda h, p: members.put(p, h.list, "cy", "viewer"), "owner"),
    "change a role": (lambda h, p: members.put(p, h.list, "bob", "editor"), "owner"),
    "rename the list": (lambda h, p: lists.rename(p, h.list, "x"), "owner"),
    "delete the list": (lambda h, p: lists.delete(p, h.list), "owner"),
    "undo a new name": (lambda h, p: history.undo(p, h.renaming), "owner"),
}


@pytest.mark.parametrize("action", ACTIONS)
def test_who_may_do_what(house: Any, action: str) -> None:
    """Each role may do what those before it may; a stranger learns nothing."""
    house.do(lists.rename, house.ann, house.list, "Casa")
    house.renaming = house.last()
    house.todo, house.gone = house.add("milk", "bread")
    house.do(todos.delete, house.ann, house.gone)
    house.last_change = house.last()
    house.do(invites.invite, house.ann, house.list, "viewer")
    house.link = house.do(invites.invites, house.list)[0].id
    unit, least = ACTIONS[action]
    cast = {"viewer": house.bob, "editor": house.ed, "owner": house.ann}
    with pytest.raises(NotFound):
        house.do(unit, house, house.cy)
    for role, person in cast.items():
        if lists.ROLES.index(role) < lists.ROLES.index(least):
            with pytest.raises(Forbidden):
                house.do(unit, house, person)
    house.do(unit, house, cast[least])


def test_who_may_send_whom_away(house: House) -> None:
    """An owner everyone, everyone themselves, nobody the last owner; a stranger learns nothing."""
    away = (members.remove, house.ann, house.list)
    for person in (house.ed, house.bob):
        with pytest.raises(Forbidden):
            house.do(members.remove, person, house.list, "ann")
    with pytest.raises(NotFound):
        house.do(members.remove, house.cy, house.list, "bob")
    with pytest.raises(Conflict):
        house.do(*away, "ann")
    house.do(*away, "bob")
    house.do(members.remove, house.ed, house.list, " ED ")
    assert house.do(members.every, house.ann, house.list)[1] == [
        {"username": "ann", "role": "owner"}
    ]
    with pytest.raises(NotFound):
        house.do(*away, "bob")


def test_a_deleted_todo_is_not_found(house: House) -> None:
    """Nor is anything of a deleted list."""
    milk, bread = house.add("milk", "bread")
    house.do(todos.delete, house.ann, milk)
    with pytest.raises(NotFound):
        house.do(todos.edit, house.ann, milk, title="x")
    house.do(lambda: List.update(deleted_at=instant(datetime.now(UTC))).execute())
    for unit, number in ((todos.rows, house.list), (todos.complete, bread)):
        with pytest.raises(NotFound):
            house.do(unit, house.ann, number)
    assert house.do(lists.mine, house.ann) == []


def test_order_and_filters(house: House) -> None:
    """New todos go to the end, also after one from the end was deleted; filters keep the order."""
    first, second, third = house.add("1", "2", "3")
    house.do(todos.delete, house.ann, third)
    house.add("4")
    house.do(todos.complete, house.ann, second)
    assert [row.title for row in house.page()[1].rows] == ["1", "2", "4"]
    assert [row.title for row in house.page("active")[1].rows] == ["1", "4"]
    assert house.page("completed")[1] == ([(second, "2", True, False, (None, None, None))], 2, 1)
    assert house.page()[1].rows[0].id == first


def test_order_is_after_something(house: House) -> None:
    """Up, down, to the top and to the end; never after what is not there."""
    one, two, three, four = house.add(*"1234")
    for todo, after, order in [
        (four, None, "4123"),
        (four, three, "1234"),
        (one, two, "2134"),
        (three, two, "2314"),
        (two, four, "3142"),
    ]:
        house.do(todos.move, house.ann, todo, after)
        assert "".join(house.titles()) == order
    elsewhere = house.do(lists.create, house.ann, "Elsewhere")
    (stranger,) = house.do(todos.add, house.ann, elsewhere, "x")
    house.do(todos.delete, house.ann, one)
    for after in (stranger, one, 10**17):
        with pytest.raises(Invalid):
            house.do(todos.move, house.ann, two, after)
    assert "".join(house.titles()) == "342"


def test_there_is_always_room_in_between(house: House) -> None:
    """However often: when the numbers are used up, all get new ones, in one change."""
    one, two, three = house.add(*"123")
    for _ in range(60):
        house.do(todos.move, house.ann, three, one)
        house.do(todos.move, house.ann, two, one)
    assert house.titles() == ["1", "2", "3"]
    renumbered = [row for row in house.changes() if len(row[5]) == 3]
    assert renumbered and len(house.changes()) == house.page()[0].version == 4 + 120
    house.add("4")
    assert house.titles() == ["1", "2", "3", "4"]


def test_several_todos_are_one_change(house: House) -> None:
    """All or none."""
    house.do(todos.add, house.ann, house.list, "milk", "bread", "honey")
    assert house.titles() == ["milk", "bread", "honey"] and len(house.changes()) == 2
    for titles in (["fine", "x" * 1001], ["x"] * 1001):
        with pytest.raises(Invalid) as refused:
            house.do(todos.add, house.ann, house.list, *titles)
        assert refused.value.field == "title"
    house.undo()
    assert house.titles() == []


def test_notes(house: House) -> None:
    """Lines stay lines; a title alone leaves them as they are."""
    (milk,) = house.add("milk")
    house.do(todos.edit, house.ann, milk, title="milk", notes="\tone\r\ntwo\r\n")
    house.do(todos.edit, house.ann, milk, title="oat milk")
    _, todo = house.do(todos.find, house.ann, milk)
    assert (todo["title"], todo["notes"]) == ("oat milk", "\tone\ntwo")
    assert house.page()[1].rows[0].noted
    assert [row[1] for row in house.changes()[2:]] == ["note", "rename"]
    for notes in ("x" * 16_001, "a\0b", "a\x1bb", "\ud800"):
        with pytest.raises(Invalid) as refused:
            house.do(todos.edit, house.ann, milk, title="milk", notes=notes)
        assert refused.value.field == "notes"


DEEDS: dict[str, Any] = {
    "add": lambda h: todos.add(h.ann, h.list, "honey"),
    "complete": lambda h: todos.complete(h.ann, h.milk),
    "reopen": lambda h: todos.complete(h.ann, h.bread, False),
    "rename": lambda h: todos.edit(h.ann, h.milk, title="oat milk"),
    "note": lambda h: todos.edit(h.ann, h.milk, notes="two bottles"),
    "delete": lambda h: todos.delete(h.ann, h.milk),
    "restore": lambda h: todos.restore(h.ann, h.gone),
    "move": lambda h: todos.move(h.ann, h.milk, h.bread),
    "complete all": lambda h: todos.complete_all(h.ann, h.list, True),
    "reopen all": lambda h: todos.complete_all(h.ann, h.list, False),
    "clear": lambda h: todos.clear_completed(h.ann, h.list),
    "rename the list": lambda h: lists.rename(h.ann, h.list, "Casa"),
    "delete the list": lambda h: lists.delete(h.ann, h.list),
}


def everything(house: Any) -> Any:
    """Return all that a person can see of the list, apart from when it changed."""
    mine = [(seen.name, seen.open) for seen in lists.mine(house.ann)]
    if not mine:
        return None
    told = todos.described(todos.present(house.list))
    when = ("updated", "version")
    return mine, [{k: v for k, v in todo.items() if k not in when} for todo in told]


@pytest.mark.parametrize("deed", DEEDS)
def test_every_deed_can_be_undone(house: Any, deed: str) -> None:
    """And done again by undoing that; the count of what is left is right all the time."""
    house.milk, house.bread, house.gone = house.add("milk", "bread", "jam")
    house.do(todos.complete, house.ann, house.bread)
    house.do(todos.delete, house.ann, house.gone)
    before = house.do(everything, house)
    house.do(DEEDS[deed], house)
    after = house.do(everything, house)
    assert after != before
    there = house.list if after else None
    assert house.undo() == house.list
    assert house.do(everything, house) == before
    assert house.undo() == there
    assert house.do(everything, house) == after
    versions = [row[0] for row in house.changes()]
    assert versions == list(range(1, len(versions) + 1))


@pytest.mark.parametrize("deed", DEEDS)
def test_undo_takes_back_nothing_of_others(house: Any, deed: str) -> None:
    """What someone changed since stays theirs; it is told so, and nothing is done."""
    house.milk, house.bread, house.gone = house.add("milk", "bread", "jam")
    house.do(todos.complete, house.ann, house.bread)
    house.do(todos.delete, house.ann, house.gone)
    answer = house.do(DEEDS[deed], house)
    house.made = answer[0] if deed == "add" else 0
    change = house.last()
    if deed == "delete the list":
        house.undo()
    elif deed == "rename the list":
        house.do(lists.rename, house.ann, house.list, "Mine")
    else:
        touched = {"add": house.made, "reopen": house.bread, "reopen all": house.bread}
        touched |= {"restore": house.gone, "clear": house.bread, "delete": house.milk}
        number = touched.get(deed, house.milk)
        with suppress(NotFound):
            house.do(todos.restore, house.ann, number)
        house.do(todos.edit, house.ed, number, title="Ed was here")
    before = house.do(everything, house)
    with pytest.raises(Conflict):
        house.undo(change)
    assert house.do(everything, house) == before


def test_undo_leaves_other_todos_alone(house: House) -> None:
    """A change can be taken back when others were made since, of something else."""
    milk, bread = house.add("milk", "bread")
    house.do(todos.delete, house.ann, milk)
    change = house.last()
    house.do(todos.edit, house.ed, bread, title="rye bread")
    house.undo(change)
    assert house.titles() == ["milk", "rye bread"]


def test_the_trash_keeps_for_thirty_days(house: House) -> None:
    """Who deleted what; after that it is gone, by restoring, undoing or asking."""
    milk, bread = house.add("milk", "bread")
    house.do(todos.delete, house.ed, bread)
    house.do(todos.delete, house.ann, milk)
    change = house.last()
    _, trash = house.do(todos.trash, house.bob, house.list, 0, 9)
    assert [(row.title, row.username) for row in trash] == [("milk", "ann"), ("bread", "ed")]
    assert len(house.do(todos.trash, house.bob, house.list, 1, 9)[1]) == 1
    house.do(todos.restore, house.ann, bread)
    old = instant(datetime.now(UTC) - timedelta(days=30, seconds=1))
    house.do(lambda: Todo.update(deleted_at=old).where(Todo.id == milk).execute())
    house.do(lambda: Change.update(at=old).where(Change.id == change).execute())
    assert house.do(todos.trash, house.bob, house.list, 0, 9)[1] == []
    with pytest.raises(NotFound):
        house.do(todos.restore, house.ann, milk)
    with pytest.raises(Conflict):
        house.undo(change)
    assert house.titles() == ["bread"]


def test_deleted_lists_come_back(house: House) -> None:
    """Only to their owner, with everything on them."""
    house.add("milk")
    house.do(lists.delete, house.ann, house.list)
    assert house.do(lists.mine, house.ann) == []
    assert house.do(lists.trash, house.ed) == []
    (deleted,) = house.do(lists.trash, house.ann)
    assert (deleted.id, deleted.name) == (house.list, "Things to do")
    with pytest.raises(Forbidden):
        house.do(history.undo, house.ed, deleted.change)
    house.undo(deleted.change)
    assert house.titles() == ["milk"] and house.do(lists.trash, house.ann) == []


def test_there_can_be_too_many_lists(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page looks up all of someone's lists."""
    monkeypatch.setattr(lists, "LISTS_LIMIT", 2)
    house.do(lists.create, house.ann, "second")
    with pytest.raises(Quota):
        house.do(lists.create, house.ann, "third")


def test_history_tells_it_in_words(house: House) -> None:
    """The last first; and what can't be taken back any more is known."""
    milk, _ = house.add("milk", "bread")
    house.do(todos.complete_all, house.ed, house.list, True)
    house.do(todos.edit, house.ann, milk, title="{oat} milk")
    _, changes = house.do(history.page, house.bob, house.list, 0, 9)
    told = [(c.user, c.message(lambda one, *more: more[0] if more else one)) for c in changes]
    assert told == [
        ("ann", "Renamed “milk” to “{oat} milk”"),
        ("ed", "Completed 2 todos"),
        ("ann", "Added 1 todos"),
        ("ann", "Added 1 todos"),
        ("ann", "Created the list “Things to do”"),
    ]
    assert [change.undoable for change in changes] == [True, False, False, False, False]
    assert len(house.do(history.page, house.bob, house.list, 1, 2)[1]) == 2


def test_ones_own_last_change(house: House) -> None:
    """Is offered to be taken back, for ten minutes, unless much was done since."""

    def last(person: Person) -> str | None:
        told = house.do(history.last, person, house.page()[0])
        return told and told.verb

    assert (last(house.ann), last(house.ed)) == ("create", None)
    (milk,) = house.add("milk")
    house.do(todos.complete, house.ed, milk)
    assert (last(house.ann), last(house.ed)) == ("add", "complete")
    house.add(*map(str, range(history.NEAR)))
    assert last(house.ed) is None
    old = instant(datetime.now(UTC) - timedelta(minutes=10, seconds=1))
    house.do(lambda: Change.update(at=old).execute())
    assert last(house.ann) is None


def test_a_repeat_does_nothing_twice(house: House) -> None:
    """It gets the first answer; a refusal isn't one; each person has keys of their own."""
    once = partial(todos.add, house.ann, house.list, "milk")
    answers = [house.do(idempotency.once, house.ann, "k", "a", once) for _ in range(2)]
    assert answers[0] == answers[1] and house.titles() == ["milk"]
    with pytest.raises(Conflict):
        house.do(idempotency.once, house.ann, "k", "b", once)
    house.do(
        idempotency.once, house.ed, "k", "a", partial(todos.add, house.ed, house.list, "bread")
    )
    with pytest.raises(Invalid):
        house.do(
            idempotency.once, house.ann, "l", "a", partial(todos.add, house.ann, house.list, "")
        )
    house.do(
        idempotency.once, house.ann, "l", "a", partial(todos.add, house.ann, house.list, "jam")
    )
    assert house.titles() == ["milk", "bread", "jam"]


def test_preferences(house: House) -> None:
    """A language we speak, or the browser's; single keys on or off."""
    key = house.do(sessions.log_in, house.ann, BROWSER)
    for language, shortcuts in (("fr", False), ("", True)):
        switches = {"shortcuts": shortcuts, "presence": not shortcuts, "delay_messages": shortcuts}
        house.do(partial(accounts.prefer, house.ann, language, **switches))
        person = sessions.session_for(key, house.lookup).person
        assert person[2:] == (language or None, shortcuts, not shortcuts, shortcuts)
    with pytest.raises(Invalid):
        house.do(accounts.prefer, house.ann, "tlh")


def test_lists_are_in_their_own_order_and_counted(house: House) -> None:
    """Each with what is left to do; those of others stay out."""
    house.add("milk", "bread")
    house.do(todos.complete_all, house.ann, house.list, True)
    house.add("honey")
    second = house.do(lists.create, house.ann, "Second")
    mine = [tuple(seen) for seen in house.do(lists.mine, house.ann)]
    assert mine == [
        (house.list, "Things to do", 5, 1, 3, "owner", 1, 0),
        (second, "Second", 1, 0, 0, "owner", 1, 0),
    ]
    assert mine == [tuple(seen) for seen in lists.mine(house.ann, house.lookup)]
    assert [entry.role for entry in house.do(lists.mine, house.bob)] == ["owner", "viewer"]


@pytest.mark.sqlite
def test_more_todos_need_no_more_queries(house: House) -> None:
    """The page asks for the list and for its rows; an added todo asks once and writes thrice."""
    for _ in range(2):
        house.add(*"abcdefghij")
        counts = house.do(count_page_and_add, house)
        assert counts == (2, 4)


def count_page_and_add(house: House) -> tuple[int, int]:
    """Count the queries of reading the page, and of adding a todo."""
    asked: list[str] = []
    connection = db.obj.connection()
    connection.set_trace_callback(asked.append)
    todos.rows(house.ann, house.list)
    reading = len(asked)
    todos.add(house.ann, house.list, "one more")
    connection.set_trace_callback(None)
    return reading, len(asked) - reading


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
    for letter in (
        "\U0001fae8",
        "\U0001fabf",
        "\ue000",
    ):  # newer than Python
        assert text.line("title", letter, 1) == letter and not text.blank(letter)
    assert text.blank(" \u00ad\u200b\u2060\ufeff\u3000")
    with pytest.raises(Invalid, match="too long"):
        text.line("title", "x" * 11, 10)
    with pytest.raises(Invalid) as refused:
        text.line("title", "x" * 2000, 1000)
    translated = refused.value.message(lambda reason: reason.replace("long", "longo"))
    assert translated == "This is too longo: at most 1000 characters."


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
        key = house.do(sessions.log_in, house.ann, BROWSER)
        values = {
            "created": instant(now - timedelta(days=created)),
            "last_seen": instant(now - timedelta(days=last_seen)),
        }
        mine = Session.hash == sessions.hash_of(key)
        house.do(lambda v=values, mine=mine: Session.update(v).where(mine).execute())
        expected = (house.ann, stale, "write") if alive else None
        assert sessions.session_for(key, house.lookup) == expected, (created, last_seen)
    house.do(sessions.touch, key)
    house.do(sessions.log_out, key)
    assert sessions.session_for(key, house.lookup) is None


def test_a_key_is_not_stored(house: House) -> None:
    """Who reads the database can't log in with what they find."""
    key = house.do(sessions.log_in, house.ann, BROWSER)
    stored = dump(house.path)
    assert sessions.hash_of(key) in stored and key not in stored


def test_logging_in_ends_the_session_before(house: House) -> None:
    """Of the same browser."""
    first = house.do(sessions.log_in, house.ann, BROWSER)
    second = house.do(sessions.log_in, house.ann, BROWSER, first)
    assert sessions.session_for(first, house.lookup) is None
    assert sessions.session_for(second, house.lookup).person == house.ann


def test_the_tables_are_what_the_upgrades_make(house: House) -> None:
    """`models/tables.py`, the extras' modules and `models/migrations/` say the same."""
    tables = [table for table in Table.__subclasses__() if table._meta.database is db]
    assert {table.__name__ for table in tables} >= {"User", "Session", "List", "Todo", "Change"}
    assert not any(house.do(diff_models, db.obj, tables))


def test_a_stranger_by_number(house: House) -> None:
    """Someone who does not exist owns nothing."""
    with pytest.raises(NotFound):
        house.do(todos.rows, Person(10**17, "ghost"), house.list)
    assert house.do(lambda: Todo.select().count()) == 0


def test_changes_that_are_not_kept(house: House) -> None:
    """Who asks for more than there is, or than there ever was, is told to begin anew."""
    house.add("milk", "bread")
    _, rows = house.do(api_resources.changes_since, house.ann, house.list, 0, 10)
    assert [version for version, _ in rows] == [1, 2, 3]
    assert house.do(api_resources.changes_since, house.ann, house.list, 3, 10)[1] == []
    with pytest.raises(Pruned):
        house.do(api_resources.changes_since, house.ann, house.list, 4, 10)
    house.do(lambda: Change.delete().where(Change.version < 3).execute())
    assert len(house.do(api_resources.changes_since, house.ann, house.list, 2, 10)[1]) == 1
    for version in (0, 1):
        with pytest.raises(Pruned):
            house.do(api_resources.changes_since, house.ann, house.list, version, 10)


def test_a_large_change_is_a_page_of_its_own(house: House, monkeypatch: Any) -> None:
    """However many are asked for."""
    house.add("milk", "bread", "honey")
    monkeypatch.setattr(api_resources, "CHANGES_SIZE", 300)
    seen, rows = house.do(api_resources.changes_since, house.ann, house.list, 0, 10)
    assert 1 <= len(rows) < seen.version == 4


def test_repeats_are_forgotten_after_a_day(house: House) -> None:
    """The same key then is another one."""

    def ask() -> Any:
        unit = partial(todos.add, house.ann, house.list, "milk")
        return idempotency.once(house.ann, "key", "asked", unit)

    first = house.do(ask)
    assert house.do(ask) == first
    house.do(lambda: IdempotencyKey.update(at="2020-01-01T00:00:00.000Z").execute())
    assert house.do(ask) != first


def test_a_repeat_that_overlaps(house: House) -> None:
    """Gets the answer of the first, not a refusal for what the first has done."""
    for number in house.add(*map(str, range(20))):
        unit = partial(todos.delete, house.ann, number)
        once = partial(idempotency.once, house.ann, f"key {number}", "delete", unit)
        both = [ask(house.store.write, once) for _ in range(4)]
        assert {each.result() for each in both} == {house.list}
