"""The rules of the models: who may do what, what it changes, and what it leaves to be read."""

import json
import random
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from peewee import fn, sqlite3
from playhouse.schema_diff import diff_models

import app  # noqa: F401  which imports every table, and fills what extras add
from checks.support.database import BROWSER, Database, ask
from checks.support.servers import dump
from models import (
    account_closing,
    accounts,
    api_resources,
    api_tokens,
    files,
    history,
    idempotency,
    identities,
    invitations,
    invites,
    lists,
    members,
    messages,
    sessions,
    text,
    todos,
    undo_steps,
    usernames,
    users,
)
from models.clock import instant
from models.database import db
from models.errors import Conflict, Forbidden, Invalid, NotFound, Pruned, Quota
from models.idempotency import IdempotencyKey
from models.tables import Change, List, Person, Session, Table, Todo

pytestmark = pytest.mark.engine


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A database of one's own."""
    database = Database(tmp_path / "people.db")
    yield database
    database.store.close()


def test_every_change_is_told(database: Database) -> None:
    """One version, one row, whatever the number of todos; who, what, before, after."""
    milk, bread = database.add("milk", "bread")
    database.do(todos.complete, database.ed, milk)
    database.do(todos.complete_all, database.ann, database.list, True)
    database.do(todos.complete, database.ann, bread, False)
    database.do(todos.edit, database.ann, bread, title="rye bread")
    database.do(todos.clear_completed, database.ann, database.list)
    database.do(todos.delete, database.ann, bread)
    database.do(lists.rename, database.ann, database.list, "Casa")
    told = database.changes()
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
    assert database.page()[0].version == 10

    created = told[0][5]
    assert created == [{"id": database.list, "name": "Things to do", "version": 1}]
    ((before, after),) = zip(told[6][4], told[6][5], strict=True)
    assert before == {"id": bread, "title": "bread", "version": 6}  # only what has changed
    assert after == {"id": bread, "title": "rye bread", "version": 7}
    ((new,),) = told[2][4:][1:]
    assert new.keys() == {
        *("id", "list", "title", "notes", "completed", "order", "created", "updated", "version")
    }
    opened = {"completed": False, "completed_at": None}
    assert told[4][4] == [{"id": bread, "title": "bread", "version": 3} | opened]
    (done,) = told[4][5]
    assert done == done | {"id": bread, "title": "bread", "version": 5, "completed": True}
    assert done.keys() == {"id", "title", "version", "completed", "completed_at"}
    assert told[7][4] == [{"id": milk, "title": "milk"}] and told[7][5] == []
    assert [row["name"] for row in told[9][4] + told[9][5]] == ["Things to do", "Casa"]


def test_what_changes_nothing_makes_no_version(database: Database) -> None:
    """Saying again what is so already, or something about no todos."""
    (milk,) = database.add("milk")
    for unit, *args in (
        (todos.complete, milk, False),
        (partial(todos.edit, title=" milk "), milk),
        (partial(todos.edit, title="milk", notes=" \r\n"), milk),
        (todos.move, milk, None),
        (todos.move, milk, milk),
        (todos.add, database.list),
        (todos.complete_all, database.list, False),
        (todos.clear_completed, database.list),
        (lists.rename, database.list, "Things to do"),
    ):
        database.do(unit, database.ann, *args)
    assert database.page()[0].version == 2 == len(database.changes())


def test_a_refused_unit_leaves_nothing(database: Database) -> None:
    """Neither a row nor a version."""
    for person, title, refusal in (
        (database.ann, "", Invalid),
        (database.bob, "milk", Forbidden),
        (database.cy, "milk", NotFound),
    ):
        with pytest.raises(refusal):
            database.do(todos.add, person, database.list, title)
    assert database.page()[0].version == 1 == len(database.changes())
    assert database.page()[1].rows == []


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
def test_who_may_do_what(database: Any, action: str) -> None:
    """Each role may do what those before it may; a stranger learns nothing."""
    database.do(lists.rename, database.ann, database.list, "Casa")
    database.renaming = database.last()
    database.todo, database.gone = database.add("milk", "bread")
    database.do(todos.delete, database.ann, database.gone)
    database.last_change = database.last()
    database.do(invites.invite, database.ann, database.list, "viewer")
    database.link = database.do(invites.invites, database.list)[0].id
    unit, least = ACTIONS[action]
    cast = {"viewer": database.bob, "editor": database.ed, "owner": database.ann}
    with pytest.raises(NotFound):
        database.do(unit, database, database.cy)
    for role, person in cast.items():
        if lists.ROLES.index(role) < lists.ROLES.index(least):
            with pytest.raises(Forbidden):
                database.do(unit, database, person)
    database.do(unit, database, cast[least])


def test_who_may_send_whom_away(database: Database) -> None:
    """An owner everyone, everyone themselves, nobody the last owner; a stranger learns nothing."""
    away = (members.remove, database.ann, database.list)
    for person in (database.ed, database.bob):
        with pytest.raises(Forbidden):
            database.do(members.remove, person, database.list, "ann")
    with pytest.raises(NotFound):
        database.do(members.remove, database.cy, database.list, "bob")
    with pytest.raises(Conflict):
        database.do(*away, "ann")
    database.do(*away, "bob")
    database.do(members.remove, database.ed, database.list, " ED ")
    assert database.do(members.every, database.ann, database.list)[1] == [
        {"username": "ann", "role": "owner"}
    ]
    with pytest.raises(NotFound):
        database.do(*away, "bob")


def test_a_deleted_todo_is_not_found(database: Database) -> None:
    """Nor is anything of a deleted list."""
    milk, bread = database.add("milk", "bread")
    database.do(todos.delete, database.ann, milk)
    with pytest.raises(NotFound):
        database.do(todos.edit, database.ann, milk, title="x")
    database.do(lambda: List.update(deleted_at=instant(datetime.now(UTC))).execute())
    for unit, number in ((todos.rows, database.list), (todos.complete, bread)):
        with pytest.raises(NotFound):
            database.do(unit, database.ann, number)
    assert database.do(lists.mine, database.ann) == []


def test_order_and_filters(database: Database) -> None:
    """New todos go to the end, also after one from the end was deleted; filters keep the order."""
    first, second, third = database.add("1", "2", "3")
    database.do(todos.delete, database.ann, third)
    database.add("4")
    database.do(todos.complete, database.ann, second)
    assert [row.title for row in database.page()[1].rows] == ["1", "2", "4"]
    assert [row.title for row in database.page("active")[1].rows] == ["1", "4"]
    assert database.page("completed")[1] == ([todos.Row(second, "2", True, False)], 2, 1)
    assert database.page()[1].rows[0].id == first


def test_order_is_after_something(database: Database) -> None:
    """Up, down, to the top and to the end; never after what is not there."""
    one, two, three, four = database.add(*"1234")
    for todo, after, order in [
        (four, None, "4123"),
        (four, three, "1234"),
        (one, two, "2134"),
        (three, two, "2314"),
        (two, four, "3142"),
    ]:
        database.do(todos.move, database.ann, todo, after)
        assert "".join(database.titles()) == order
    elsewhere = database.do(lists.create, database.ann, "Elsewhere")
    (stranger,) = database.do(todos.add, database.ann, elsewhere, "x")
    database.do(todos.delete, database.ann, one)
    for after in (stranger, one, 10**17):
        with pytest.raises(Invalid):
            database.do(todos.move, database.ann, two, after)
    assert "".join(database.titles()) == "342"


def test_there_is_always_room_in_between(database: Database) -> None:
    """However often: when the numbers are used up, all get new ones, in one change."""
    one, two, three = database.add(*"123")
    for _ in range(60):
        database.do(todos.move, database.ann, three, one)
        database.do(todos.move, database.ann, two, one)
    assert database.titles() == ["1", "2", "3"]
    renumbered = [row for row in database.changes() if len(row[5]) == 3]
    assert renumbered and len(database.changes()) == database.page()[0].version == 4 + 120
    database.add("4")
    assert database.titles() == ["1", "2", "3", "4"]


def test_several_todos_are_one_change(database: Database) -> None:
    """All or none."""
    database.do(todos.add, database.ann, database.list, "milk", "bread", "honey")
    assert database.titles() == ["milk", "bread", "honey"] and len(database.changes()) == 2
    for titles in (["fine", "x" * 1001], ["x"] * 1001):
        with pytest.raises(Invalid) as refused:
            database.do(todos.add, database.ann, database.list, *titles)
        assert refused.value.field == "title"
    database.undo()
    assert database.titles() == []


def test_notes(database: Database) -> None:
    """Lines stay lines; a title alone leaves them as they are."""
    (milk,) = database.add("milk")
    database.do(todos.edit, database.ann, milk, title="milk", notes="\tone\r\ntwo\r\n")
    database.do(todos.edit, database.ann, milk, title="oat milk")
    _, todo = database.do(todos.find, database.ann, milk)
    assert (todo["title"], todo["notes"]) == ("oat milk", "\tone\ntwo")
    assert database.page()[1].rows[0].noted
    assert [row[1] for row in database.changes()[2:]] == ["note", "rename"]
    for notes in ("x" * 16_001, "a\0b", "a\x1bb", "\ud800"):
        with pytest.raises(Invalid) as refused:
            database.do(todos.edit, database.ann, milk, title="milk", notes=notes)
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


def everything(database: Any) -> Any:
    """Return all that a person can see of the list, apart from when it changed."""
    mine = [(seen.name, seen.open) for seen in lists.mine(database.ann)]
    if not mine:
        return None
    told = todos.described(todos.present(database.list))
    when = ("updated", "version")
    return mine, [{k: v for k, v in todo.items() if k not in when} for todo in told]


@pytest.mark.parametrize("deed", DEEDS)
def test_every_deed_can_be_undone(database: Any, deed: str) -> None:
    """And done again by undoing that; the count of what is left is right all the time."""
    database.milk, database.bread, database.gone = database.add("milk", "bread", "jam")
    database.do(todos.complete, database.ann, database.bread)
    database.do(todos.delete, database.ann, database.gone)
    before = database.do(everything, database)
    database.do(DEEDS[deed], database)
    after = database.do(everything, database)
    assert after != before
    there = database.list if after else None
    assert database.undo() == database.list
    assert database.do(everything, database) == before
    assert database.undo() == there
    assert database.do(everything, database) == after
    versions = [row[0] for row in database.changes()]
    assert versions == list(range(1, len(versions) + 1))


STEPS: list[Any] = [  # what one may do next, with a todo and another one of the list
    lambda h, one, other: todos.add(h.ann, h.list, "honey", "jam"),
    lambda h, one, other: todos.complete(h.ann, one),
    lambda h, one, other: todos.complete(h.ed, other, False),
    lambda h, one, other: todos.edit(h.ann, one, title="oat milk", notes="x" * 1001),
    lambda h, one, other: todos.edit(h.ann, other, notes="", assigned="ed", completed=True),
    lambda h, one, other: todos.edit(h.ed, one, assigned="", order=0.5),
    lambda h, one, other: todos.delete(h.ann, one),
    lambda h, one, other: todos.move(h.ann, one, other),
    lambda h, one, other: todos.complete_all(h.ann, h.list, True),
    lambda h, one, other: todos.complete_all(h.ann, h.list, False),
    lambda h, one, other: todos.clear_completed(h.ann, h.list),
    lambda h, one, other: api_resources.delete_todos(h.ann, h.list),
    lambda h, one, other: todos.restore(h.ann, todos.trash(h.ann, h.list, 0, 1)[1][0].id),
]


@pytest.mark.parametrize("seed", range(6))
def test_whatever_was_done_can_be_undone(database: Database, seed: int) -> None:
    """Step by step, there and back and there again, all fields; copies of programs follow."""
    dice = random.Random(seed)
    database.add("milk", "bread")
    copy: dict[int, Any] = {}
    version = 0
    for _ in range(25):
        before = database.do(everything, database)
        ids = [todo["id"] for todo in before[1]]
        one, other = dice.sample(ids, 2) if ids[1:] else (0, 0)
        last = database.last()
        with suppress(NotFound, IndexError):
            database.do(dice.choice(STEPS), database, one, other)
        if database.last() != last:
            after = database.do(everything, database)
            database.undo()
            assert database.do(everything, database) == before
            database.undo()
            assert database.do(everything, database) == after
        version = follow(database, copy, version)


def follow(database: Database, copy: dict[int, Any], since: int) -> int:
    """Do to a copy what changes of the list say; return their last version."""
    seen, rows = database.do(api_resources.changes_since, database.ann, database.list, since, 99)
    for change in [json.loads(told) for _, told in rows]:
        gone = {row["id"] for row in change["before"]} - {row["id"] for row in change["after"]}
        for row in change["after"] if change["kind"] == "todo" else ():
            copy[row["id"]] = (
                copy.get(row["id"], {}) | {"updated": change["at"]} | row | {"here": 1}
            )
        for number in gone:
            copy[number]["here"] = 0
    found = database.do(lambda: todos.described(todos.present(database.list)))
    here = [{k: v for k, v in row.items() if v is not None} for row in copy.values() if row["here"]]
    assert sorted(here, key=lambda row: row["id"]) == [
        row | {"here": 1} for row in sorted(found, key=lambda row: row["id"])
    ]
    return int(seen.version)


def test_a_change_of_many_is_small(database: Database) -> None:
    """Whatever their notes; and history tells of it without reading all that it touched."""
    new = [{"title": str(number), "notes": "x" * 5000} for number in range(400)]
    database.do(lambda: todos.insert(database.ann, lists.get_for(database.ann, database.list), new))

    def toggle() -> None:
        for completed in (True, False):
            todos.complete_all(database.ann, database.list, completed)
            history.undo(database.ann, Change.select(fn.MAX(Change.id)).scalar())
        todos.complete_all(database.ann, database.list, True)
        todos.clear_completed(database.ann, database.list)
        history.undo(database.ann, Change.select(fn.MAX(Change.id)).scalar())

    database.do(toggle)
    sizes = database.do(lambda: [len(c.before) + len(c.after) for c in Change if c.version > 2])
    assert len(sizes) == 5 and max(sizes) < 400 * 200
    tracemalloc.start()
    _, told = database.do(history.page, database.ann, database.list, 0, 50)
    assert tracemalloc.get_traced_memory()[1] < 400_000
    tracemalloc.stop()
    assert [change.touched for change in told] == [*[400] * 6, 1]
    assert database.do(lambda: todos.present(database.list))[-1]["notes"] == "x" * 5000


@pytest.mark.sqlite
def test_few_bytes_are_written_for_many_todos(database: Database) -> None:
    """10,000 completed at once take less than 4 MiB of the log of SQLite, and of memory."""
    new = [{"title": f"todo number {number}"} for number in range(todos.TODOS_LIMIT)]
    database.do(lambda: todos.insert(database.ann, lists.get_for(database.ann, database.list), new))
    file, log = sqlite3.connect(database.path), database.path.with_name("people.db-wal")
    file.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    file.close()
    tracemalloc.start()
    database.do(todos.complete_all, database.ann, database.list, True)
    assert tracemalloc.get_traced_memory()[1] < 30 * 2**20
    tracemalloc.stop()
    assert 0 < log.stat().st_size < 4 * 2**20


@pytest.mark.parametrize("deed", DEEDS)
def test_undo_takes_back_nothing_of_others(database: Any, deed: str) -> None:
    """What someone changed since stays theirs; it is told so, and nothing is done."""
    database.milk, database.bread, database.gone = database.add("milk", "bread", "jam")
    database.do(todos.complete, database.ann, database.bread)
    database.do(todos.delete, database.ann, database.gone)
    answer = database.do(DEEDS[deed], database)
    database.made = answer[0] if deed == "add" else 0
    change = database.last()
    if deed == "delete the list":
        database.undo()
    elif deed == "rename the list":
        database.do(lists.rename, database.ann, database.list, "Mine")
    else:
        touched = {"add": database.made, "reopen": database.bread, "reopen all": database.bread}
        touched |= {"restore": database.gone, "clear": database.bread, "delete": database.milk}
        number = touched.get(deed, database.milk)
        with suppress(NotFound):
            database.do(todos.restore, database.ann, number)
        database.do(todos.edit, database.ed, number, title="Ed was here")
    before = database.do(everything, database)
    with pytest.raises(Conflict):
        database.undo(change)
    assert database.do(everything, database) == before


def steps(database: Database, person: Person) -> list[int | None]:
    """Return the changes that a person would undo and redo now."""
    found = database.do(undo_steps.next_steps, person, database.page()[0])
    return [step and step.id for step in found]


def step(database: Database, way: int) -> None:
    """Let Ann take a step back, or with 1 forth."""
    database.do(undo_steps.undo, database.ann, steps(database, database.ann)[way])


WALK: list[Any] = [
    lambda h: todos.edit(h.ann, h.milk, title="oat milk"),
    lambda h: todos.complete(h.ann, h.milk),
    lambda h: todos.edit(h.ann, h.milk, notes="two bottles", assigned="ed"),
    lambda h: todos.move(h.ann, h.milk, h.bread),
    lambda h: todos.complete_all(h.ann, h.list, True),
    lambda h: todos.clear_completed(h.ann, h.list),
    lambda h: todos.restore(h.ann, h.milk),
    lambda h: todos.delete(h.ann, h.milk),
    lambda h: lists.rename(h.ann, h.list, "Casa"),
    lambda h: todos.add(h.ann, h.list, "jam", "honey"),
]


def test_undo_goes_back_step_by_step(database: Any) -> None:
    """Through all that was done, of the same todo too, and forth again, as often as one likes."""
    database.milk, database.bread = database.add("milk", "bread")
    states = [database.do(everything, database)]
    for deed in WALK:
        database.do(deed, database)
        states.append(database.do(everything, database))
    at = len(WALK)
    for way, count in ((0, 10), (1, 4), (0, 2), (1, 8), (0, 5), (1, 3)):
        for _ in range(count):
            step(database, way)
            at += 1 if way else -1
            assert database.do(everything, database) == states[at], (way, at)
    assert steps(database, database.ann)[1] is not None
    database.do(todos.add, database.ann, database.list, "new")
    assert steps(database, database.ann)[1] is None, "something else was done"
    states[at:] = [states[at], database.do(everything, database)]
    for number in reversed(range(at + 1)):
        step(database, 0)
        assert database.do(everything, database) == states[number]
    step(database, 0)
    step(database, 0)
    assert database.titles() == [] and steps(database, database.ann)[0] is None


def test_a_step_back_over_others(database: Database) -> None:
    """What someone else did since to the same todo refuses it, until they undo that."""
    milk, bread = database.add("milk", "bread")
    database.do(todos.edit, database.ann, milk, title="oat milk")
    database.do(todos.complete, database.ann, milk)
    step(database, 0)
    database.do(todos.edit, database.ed, bread, title="rye bread")  # is another todo
    step(database, 0)
    step(database, 1)
    database.do(todos.complete, database.ed, milk)
    theirs = database.last()
    for way in (0, 1):
        with pytest.raises(Conflict):
            step(database, way)
    assert database.titles() == ["✓oat milk", "rye bread"]
    database.do(undo_steps.undo, database.ed, theirs)
    step(database, 0)
    assert database.titles() == ["milk", "rye bread"]
    for change in (theirs, steps(database, database.ed)[1]):
        assert change != steps(database, database.ann)[1]
    assert steps(database, database.bob) == [None, None]
    with pytest.raises(Conflict):
        database.do(undo_steps.undo, database.ed, theirs)  # is undone already
    with pytest.raises(NotFound):
        database.do(undo_steps.undo, database.cy, theirs)


def test_a_step_that_would_take_too_long(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Is refused: how much is read for one is limited."""
    milk, _ = database.add("milk", "bread")
    database.do(todos.edit, database.ann, milk, title="oat milk")
    database.do(todos.complete, database.ann, milk)
    step(database, 0)
    for name, value in (("NEAR", 1), ("READ_LIMIT", 10)):
        with monkeypatch.context() as patch:
            wanted = steps(database, database.ann)[0]
            patch.setattr(undo_steps, name, value)
            with pytest.raises(Conflict):
                database.do(undo_steps.undo, database.ann, wanted)
    step(database, 0)
    assert database.titles() == ["milk", "bread"]


def test_undo_leaves_other_todos_alone(database: Database) -> None:
    """A change can be taken back when others were made since, of something else."""
    milk, bread = database.add("milk", "bread")
    database.do(todos.delete, database.ann, milk)
    change = database.last()
    database.do(todos.edit, database.ed, bread, title="rye bread")
    database.undo(change)
    assert database.titles() == ["milk", "rye bread"]


def test_undo_finds_who_has_another_name(database: Database) -> None:
    """And not who has taken theirs."""
    (milk,) = database.add("milk")
    database.do(todos.edit, database.ann, milk, assigned="ed")
    database.do(todos.edit, database.ann, milk, assigned="")
    taken = database.last()
    database.do(usernames.change, database.ed, "edmund")
    database.do(usernames.change, database.ed._replace(username="edmund"), "eddie")
    database.do(usernames.change, database.bob, "ed")
    database.undo(taken)
    assert database.changes()[-1][5][0]["assigned"] == "eddie"


def test_the_trash_keeps_for_thirty_days(database: Database) -> None:
    """Who deleted what; after that it is gone, by restoring, undoing or asking."""
    milk, bread = database.add("milk", "bread")
    database.do(todos.delete, database.ed, bread)
    database.do(todos.delete, database.ann, milk)
    change = database.last()
    _, trash = database.do(todos.trash, database.bob, database.list, 0, 9)
    assert [(row.title, row.username) for row in trash] == [("milk", "ann"), ("bread", "ed")]
    assert len(database.do(todos.trash, database.bob, database.list, 1, 9)[1]) == 1
    database.do(todos.restore, database.ann, bread)
    old = instant(datetime.now(UTC) - timedelta(days=30, seconds=1))
    database.do(lambda: Todo.update(deleted_at=old).where(Todo.id == milk).execute())
    database.do(lambda: Change.update(at=old).where(Change.id == change).execute())
    assert database.do(todos.trash, database.bob, database.list, 0, 9)[1] == []
    with pytest.raises(NotFound):
        database.do(todos.restore, database.ann, milk)
    with pytest.raises(Conflict):
        database.undo(change)
    assert database.titles() == ["bread"]


def test_deleted_lists_come_back(database: Database) -> None:
    """Only to their owner, with everything on them."""
    database.add("milk")
    database.do(lists.delete, database.ann, database.list)
    assert database.do(lists.mine, database.ann) == []
    assert database.do(lists.trash, database.ed) == []
    (deleted,) = database.do(lists.trash, database.ann)
    assert (deleted.id, deleted.name) == (database.list, "Things to do")
    with pytest.raises(Forbidden):
        database.do(history.undo, database.ed, deleted.change)
    database.undo(deleted.change)
    assert database.titles() == ["milk"] and database.do(lists.trash, database.ann) == []


@pytest.mark.parametrize("what", ["another name", "closed account"])
def test_deleted_lists_come_back_whatever_their_people_did(database: Any, what: str) -> None:
    """Which is a change of the list, too."""
    milk, _ = database.add("milk", "bread")
    database.do(todos.edit, database.ann, milk, assigned="ed")
    database.do(lists.delete, database.ann, database.list)
    if what == "another name":
        database.do(usernames.change, database.ed, "eduardo")
    else:
        database.do(account_closing.close, database.ed)
    (deleted,) = database.do(lists.trash, database.ann)
    database.undo(deleted.change)
    assert database.titles() == ["milk", "bread"]
    with pytest.raises(Conflict):
        database.undo(deleted.change)


def test_there_can_be_too_many_lists(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page looks up all of someone's lists, and another username changes all."""
    monkeypatch.setattr(lists, "LISTS_LIMIT", 2)
    second = database.do(lists.create, database.ann, "second")
    with pytest.raises(Quota):
        database.do(lists.create, database.ann, "third")
    database.do(lists.delete, database.ann, second)
    deleted = database.last()
    third = database.do(lists.create, database.ann, "third")
    with pytest.raises(Quota):
        database.undo(deleted)
    database.do(lists.delete, database.ann, third)
    database.do(lists.delete, database.ann, database.do(lists.create, database.ann, "fourth"))
    with pytest.raises(Quota, match="in the trash"):
        database.do(lists.create, database.ann, "fifth")
    database.undo(deleted)
    assert [each.name for each in database.do(lists.mine, database.ann)][1:] == ["second"]


def test_the_trash_makes_no_list_longer(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Than it may be: what is brought back counts, one by one or by undoing."""
    monkeypatch.setattr(todos, "RESTORED", 3)
    milk, *_ = database.add("milk", "bread")
    database.do(api_resources.delete_todos, database.ann, database.list)
    deleted = database.last()
    database.add("tea", "honey")
    with pytest.raises(Quota):
        database.undo(deleted)
    database.do(todos.restore, database.ann, milk)
    database.do(todos.delete, database.ann, milk)
    database.add("rice")
    with pytest.raises(Quota):
        database.do(todos.restore, database.ann, milk)
    assert database.titles() == ["tea", "honey", "rice"]


def test_nobody_fills_up_someone_else(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """What someone is invited to, or added to, takes none of the places of what they accept."""
    monkeypatch.setattr(lists, "LISTS_LIMIT", 3)
    ann, cy = database.ann, database.cy
    made = [database.list, *(database.do(lists.create, ann, f"list {n}") for n in range(2))]
    for list_id in made:
        database.do(members.put, ann, list_id, "cy", "viewer")
    assert len(database.do(invitations.waiting, cy)) == 3
    database.do(lists.create, cy, "second")
    database.do(invitations.accept, cy, made[0])
    with pytest.raises(Quota):
        database.do(invitations.accept, cy, made[1])
    for list_id in made[1:]:  # they share one now
        database.do(members.put, ann, list_id, "cy", "viewer")
    assert len(database.do(lists.mine, cy)) == 5
    with pytest.raises(Quota):
        database.do(lists.create, cy, "third")
    database.do(members.remove, cy, made[0], "cy")
    database.do(lists.create, cy, "third")


def test_invitations_are_limited(database: Database) -> None:
    """By day and sender."""
    for number in range(51):
        database.do(users.sign_up, f"p{number}", None, None, "x")
    put = (members.put, database.ann, database.list)
    for number in range(50):
        assert database.do(*put, f"p{number}", "viewer")["invited"]
    with pytest.raises(Quota, match="invitations a day"):
        database.do(*put, "p50", "viewer")
    assert database.do(*put, "bob", "owner") == {"username": "bob", "role": "owner"}


def test_history_tells_it_in_words(database: Database) -> None:
    """The last first; and what can't be taken back any more is known."""
    milk, _ = database.add("milk", "bread")
    database.do(todos.complete_all, database.ed, database.list, True)
    database.do(todos.edit, database.ann, milk, title="{oat} milk")
    _, changes = database.do(history.page, database.bob, database.list, 0, 9)
    told = [(c.user, c.message(lambda one, *more: more[0] if more else one)) for c in changes]
    assert told == [
        ("ann", "Renamed “milk” to “{oat} milk”"),
        ("ed", "Completed 2 todos"),
        ("ann", "Added 1 todos"),
        ("ann", "Added 1 todos"),
        ("ann", "Created the list “Things to do”"),
    ]
    assert [change.undoable for change in changes] == [True, False, False, False, False]
    assert len(database.do(history.page, database.bob, database.list, 1, 2)[1]) == 2


def test_ones_own_last_change(database: Database) -> None:
    """Is offered to be taken back, for ten minutes, unless much was done since."""

    def last(person: Person) -> str | None:
        told = database.do(undo_steps.last, person, database.page()[0])
        return told and told.verb

    assert (last(database.ann), last(database.ed)) == ("create", None)
    (milk,) = database.add("milk")
    database.do(todos.complete, database.ed, milk)
    assert (last(database.ann), last(database.ed)) == ("add", "complete")
    database.add(*map(str, range(undo_steps.NEAR)))
    assert last(database.ed) is None
    old = instant(datetime.now(UTC) - timedelta(minutes=10, seconds=1))
    database.do(lambda: Change.update(at=old).execute())
    assert last(database.ann) is None


def test_a_repeat_does_nothing_twice(database: Database) -> None:
    """It gets the first answer; a refusal isn't one; each person has keys of their own."""
    once = partial(todos.add, database.ann, database.list, "milk")
    answers = [database.do(idempotency.once, database.ann, "k", "a", once) for _ in range(2)]
    assert answers[0] == answers[1] and database.titles() == ["milk"]
    with pytest.raises(Conflict):
        database.do(idempotency.once, database.ann, "k", "b", once)
    database.do(
        idempotency.once,
        database.ed,
        "k",
        "a",
        partial(todos.add, database.ed, database.list, "bread"),
    )
    with pytest.raises(Invalid):
        database.do(
            idempotency.once,
            database.ann,
            "l",
            "a",
            partial(todos.add, database.ann, database.list, ""),
        )
    database.do(
        idempotency.once,
        database.ann,
        "l",
        "a",
        partial(todos.add, database.ann, database.list, "jam"),
    )
    assert database.titles() == ["milk", "bread", "jam"]


def test_preferences(database: Database) -> None:
    """A language we speak, or the browser's; single keys on or off."""
    key = database.do(sessions.log_in, database.ann, BROWSER)
    for language, shortcuts in (("fr", False), ("", True)):
        switches = {"shortcuts": shortcuts, "presence": not shortcuts, "delay_messages": shortcuts}
        database.do(partial(accounts.prefer, database.ann, language=language, **switches))
        person = sessions.session_for(key, database.lookup).person
        assert person[2:6] == (language or None, shortcuts, not shortcuts, shortcuts)
    with pytest.raises(Invalid):
        database.do(accounts.prefer, database.ann, language="tlh")


def test_lists_are_in_their_own_order_and_counted(database: Database) -> None:
    """Each with what is left to do; those of others stay out."""
    database.add("milk", "bread")
    database.do(todos.complete_all, database.ann, database.list, True)
    database.add("honey")
    second = database.do(lists.create, database.ann, "Second")
    mine = [tuple(seen) for seen in database.do(lists.mine, database.ann)]
    assert mine == [
        (database.list, "Things to do", 5, 1, 3, "owner", 1, 0),
        (second, "Second", 1, 0, 0, "owner", 1, 0),
    ]
    assert mine == [tuple(seen) for seen in lists.mine(database.ann, database.lookup)]
    assert [entry.role for entry in database.do(lists.mine, database.bob)] == ["owner", "viewer"]


@pytest.mark.sqlite
def test_more_todos_need_no_more_queries(database: Database) -> None:
    """The page asks for the list and for its rows; adding one asks once and writes 4 times."""
    for _ in range(2):
        database.add(*"abcdefghij")
        counts = database.do(count_page_and_add, database)
        assert counts == (2, 5)


def count_page_and_add(database: Database) -> tuple[int, int]:
    """Count the queries of reading the page, and of adding a todo."""
    asked: list[str] = []
    connection = db.obj.connection()
    connection.set_trace_callback(asked.append)
    todos.rows(database.ann, database.list)
    reading = len(asked)
    todos.add(database.ann, database.list, "one more")
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


def test_a_session_ends(database: Database) -> None:
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
        key = database.do(sessions.log_in, database.ann, BROWSER)
        values = {
            "created": instant(now - timedelta(days=created)),
            "last_seen": instant(now - timedelta(days=last_seen)),
        }
        mine = Session.hash == sessions.hash_of(key)
        database.do(lambda v=values, mine=mine: Session.update(v).where(mine).execute())
        expected = (database.ann, stale, "write") if alive else None
        assert sessions.session_for(key, database.lookup) == expected, (created, last_seen)
    database.do(sessions.touch, key)
    database.do(sessions.log_out, key)
    assert sessions.session_for(key, database.lookup) is None


def test_a_key_is_not_stored(database: Database) -> None:
    """Who reads the database can't log in with what they find."""
    key = database.do(sessions.log_in, database.ann, BROWSER)
    stored = dump(database.path)
    assert sessions.hash_of(key) in stored and key not in stored


def test_logging_in_ends_the_session_before(database: Database) -> None:
    """Of the same browser."""
    first = database.do(sessions.log_in, database.ann, BROWSER)
    second = database.do(sessions.log_in, database.ann, BROWSER, first)
    assert sessions.session_for(first, database.lookup) is None
    assert sessions.session_for(second, database.lookup).person == database.ann


def test_the_tables_are_what_the_upgrades_make(database: Database) -> None:
    """`models/tables.py`, the extras' modules and `models/migrations/` say the same."""
    tables = [table for table in Table.__subclasses__() if table._meta.database is db]
    assert {table.__name__ for table in tables} >= {"User", "Session", "List", "Todo", "Change"}
    assert not any(database.do(diff_models, db.obj, tables))


def test_a_stranger_by_number(database: Database) -> None:
    """Someone who does not exist owns nothing."""
    with pytest.raises(NotFound):
        database.do(todos.rows, Person(10**17, "ghost"), database.list)
    assert database.do(lambda: Todo.select().count()) == 0


def test_changes_that_are_not_kept(database: Database) -> None:
    """Who asks for more than there is, or than there ever was, is told to begin again."""
    database.add("milk", "bread")
    _, rows = database.do(api_resources.changes_since, database.ann, database.list, 0, 10)
    assert [version for version, _ in rows] == [1, 2, 3]
    assert database.do(api_resources.changes_since, database.ann, database.list, 3, 10)[1] == []
    with pytest.raises(Pruned):
        database.do(api_resources.changes_since, database.ann, database.list, 4, 10)
    database.do(lambda: Change.delete().where(Change.version < 3).execute())
    assert len(database.do(api_resources.changes_since, database.ann, database.list, 2, 10)[1]) == 1
    for version in (0, 1):
        with pytest.raises(Pruned):
            database.do(api_resources.changes_since, database.ann, database.list, version, 10)


def test_a_large_change_is_a_page_of_its_own(database: Database, monkeypatch: Any) -> None:
    """However many are asked for."""
    database.add("milk", "bread", "honey")
    monkeypatch.setattr(api_resources, "CHANGES_SIZE", 300)
    seen, rows = database.do(api_resources.changes_since, database.ann, database.list, 0, 10)
    assert 1 <= len(rows) < seen.version == 4


def test_repeats_are_forgotten_after_a_day(database: Database) -> None:
    """The same key then is another one."""

    def ask() -> Any:
        unit = partial(todos.add, database.ann, database.list, "milk")
        return idempotency.once(database.ann, "key", "asked", unit)

    first = database.do(ask)
    assert database.do(ask) == first
    database.do(lambda: IdempotencyKey.update(at="2020-01-01T00:00:00.000Z").execute())
    assert database.do(ask) != first


def test_a_repeat_that_overlaps(database: Database) -> None:
    """Gets the answer of the first, not a refusal for what the first has done."""
    for number in database.add(*map(str, range(20))):
        unit = partial(todos.delete, database.ann, number)
        once = partial(idempotency.once, database.ann, f"key {number}", "delete", unit)
        both = [ask(database.store.write, once) for _ in range(4)]
        assert {each.result() for each in both} == {database.list}


def test_what_outlives_a_session_needs_it_still(database: Database) -> None:
    """It was open when the request came; a new password, or closing, has ended it since."""
    for end in (
        lambda key: database.do(accounts.change_password, database.cy, "hash", BROWSER, key),
        lambda key: database.do(sessions.log_out, key),
        lambda key: database.do(account_closing.close, database.cy),
    ):
        key = database.do(sessions.log_in, database.cy, BROWSER)
        token = partial(api_tokens.create, database.cy, "a program")
        assert database.do(accounts.in_session, database.cy, key, token)["token"]
        end(key)
        with pytest.raises(Forbidden):
            database.do(accounts.in_session, database.cy, key, token)
    for unit, *args in (
        (lists.create, "another"),
        (api_tokens.create, "a program"),
        (accounts.set_email, "cy@example.org"),
        (identities.link, "https://provider.example", "cy"),
    ):
        with pytest.raises(Forbidden):  # whose account is closed
            database.do(unit, database.cy, *args)
    assert database.do(lists.mine, database.cy) == []
